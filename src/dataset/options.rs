//! How a dataset is opened.

use crate::cache::{CacheBudget, CachePolicy, Mode};
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// How many bytes of decoded blocks the dataset may keep; by default a share of the total.
    pub cache_budget: CacheBudget,
    /// Which decoded blocks are forgotten first.
    pub cache_policy: CachePolicy,
    /// Bounds on what the file may make us allocate.
    pub limits: Limits,
}

impl OpenOptions {
    /// The same options with another budget of decoded blocks.
    #[must_use]
    pub const fn cache_budget(mut self, budget: CacheBudget) -> Self {
        self.cache_budget = budget;
        self
    }

    /// The same options with a budget of so many bytes that are the dataset's own. 0 keeps nothing.
    #[must_use]
    pub const fn cache_max_bytes(self, bytes: u64) -> Self {
        self.cache_budget(CacheBudget::Own(bytes))
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
