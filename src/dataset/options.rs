//! How a dataset is opened.

use crate::source::Limits;

/// How a dataset is opened; the default suits a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// Bytes of decoded blocks that the dataset may keep; 128 MiB by default. 0 keeps nothing.
    pub cache_max_bytes: u64,
    /// Bounds on what the file may make us allocate.
    pub limits: Limits,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { cache_max_bytes: 128 << 20, limits: Limits::default() }
    }
}

impl OpenOptions {
    /// The same options with another budget of decoded blocks.
    #[must_use]
    pub const fn cache_max_bytes(mut self, bytes: u64) -> Self {
        self.cache_max_bytes = bytes;
        self
    }

    /// The same options with other limits.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}
