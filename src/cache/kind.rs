//! The policies by name.

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
        policy.set_max_bytes(max_bytes);
        Some(policy)
    }
}
