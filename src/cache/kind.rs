//! What a cache may hold and what it forgets first, by name.

use super::policy::{Adaptive, Clock, ClockPro, Lru, Policy};

/// Which blocks a cache forgets first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum CachePolicy {
    /// LRU or CLOCK-Pro, whichever does better on a sample of what is read; it changes when the reading does.
    #[default]
    Adaptive = 0,
    /// The least recently used, exactly: what viewers and row-wise readers want, and what is easy to reason about.
    Lru = 1,
    /// Second chance: nearly LRU.
    Clock = 2,
    /// CLOCK-Pro: keeps a part of a loop that is larger than the cache, and what is asked for often.
    ClockPro = 3,
    /// Nothing is kept that is not locked or in use.
    None = 4,
}

/// What a dataset's cache may hold.
///
/// All caches of the process together hold no more than the total (see [`set_total_max`](crate::set_total_max)). What a
/// cache was promised is not taken from it for the sake of another one. When promises come to more than the total, all
/// shrink by the same part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CacheBudget {
    /// Up to this many bytes, all of them promised. 0 keeps nothing.
    Own(u64),
    /// A share of the total that grows and shrinks with what is read, here and in other datasets: what was not used for
    /// long goes first, the sooner the cheaper it is to load and the less the dataset's blocks were used again of late.
    Pooled {
        /// Bytes that no other dataset can take. By default those of the last window that was read, at least 32 blocks;
        /// such a floor is a quarter of the total at most, and all of them are cut to half of what other promises leave.
        floor_bytes: Option<u64>,
        /// The most that it may hold.
        ceiling_bytes: u64,
        /// What reads the dataset.
        class: CacheClass,
    },
}

/// What reads a dataset whose cache is pooled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum CacheClass {
    /// Somebody looks at it and comes back to what was seen.
    #[default]
    Interactive = 0,
    /// A job that reads more than can be kept: it may hold a twentieth of the total, and is promised nothing.
    Batch = 1,
}

impl Default for CacheBudget {
    fn default() -> Self {
        Self::Pooled { floor_bytes: None, ceiling_bytes: u64::MAX, class: CacheClass::Interactive }
    }
}

impl CacheBudget {
    /// The default share of the total for a job that reads more than can be kept.
    pub const BATCH: Self = Self::Pooled { floor_bytes: None, ceiling_bytes: u64::MAX, class: CacheClass::Batch };
}

impl CacheClass {
    /// The class with this number (the enum's discriminant, as in the C ABI).
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Interactive, Self::Batch].into_iter().find(|class| *class as i32 == number)
    }
}

impl CachePolicy {
    /// Every policy, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Adaptive, Self::Lru, Self::Clock, Self::ClockPro, Self::None];

    /// The policy with this number (the enum's discriminant, as in the C ABI).
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| *policy as i32 == number)
    }

    pub(super) fn build(self, max_bytes: u64) -> Option<Box<dyn Policy>> {
        let mut policy: Box<dyn Policy> = match self {
            Self::Adaptive => Box::<Adaptive>::default(),
            Self::Lru => Box::<Lru>::default(),
            Self::Clock => Box::<Clock>::default(),
            Self::ClockPro => Box::<ClockPro>::default(),
            Self::None => return None,
        };
        policy.set_max_bytes(max_bytes, &Vec::new());
        Some(policy)
    }
}
