//! How a dataset is opened.

use crate::cache::{CachePolicy, Mode};
use crate::source::Limits;

/// What a read means for the blocks that it comes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum CacheUse {
    /// They may be wanted again: kept, and remembered as used.
    #[default]
    Normal = 0,
    /// Everything is read once, in order: blocks are kept where they leave first, and those that are there gain
    /// nothing.
    Sequential = 1,
    /// The reader only passes through: absent blocks are not kept, and nothing is remembered.
    NoCache = 2,
}

impl CacheUse {
    /// The use with this number (the enum's discriminant, as in the C ABI).
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Normal, Self::Sequential, Self::NoCache].into_iter().find(|cache_use| *cache_use as i32 == number)
    }

    pub(super) fn mode(self) -> Mode {
        match self {
            Self::Normal => Mode::Use,
            Self::Sequential => Mode::Sequential,
            Self::NoCache => Mode::Passing,
        }
    }
}

/// How a dataset is opened; the default suits a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// Bytes of decoded blocks that the dataset may keep; 128 MiB by default. 0 keeps nothing.
    pub cache_max_bytes: u64,
    /// Which decoded blocks are forgotten first.
    pub cache_policy: CachePolicy,
    /// Bounds on what the file may make us allocate.
    pub limits: Limits,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { cache_max_bytes: 128 << 20, cache_policy: CachePolicy::default(), limits: Limits::default() }
    }
}

impl OpenOptions {
    /// The same options with another budget of decoded blocks.
    #[must_use]
    pub const fn cache_max_bytes(mut self, bytes: u64) -> Self {
        self.cache_max_bytes = bytes;
        self
    }

    /// The same options with another policy.
    #[must_use]
    pub const fn cache_policy(mut self, policy: CachePolicy) -> Self {
        self.cache_policy = policy;
        self
    }

    /// The same options with other limits.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}
