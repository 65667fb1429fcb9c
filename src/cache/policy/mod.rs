//! Which entry goes next.
//!
//! A policy orders the entries that may go and knows nothing else of them: no key, no value, no lock. Its owner calls it
//! under its own mutex, in the order in which the entries were used. Entries are known by their slot, a small dense
//! number that is used again once its entry is gone, so that a policy is a few arrays and a touch allocates nothing.
//!
//! [`Lru`] is exact. [`Clock`] is second chance: a touch writes one byte. [`Adaptive`] runs LRU or CLOCK-Pro, whichever
//! of two sampled shadows of the cache hit more of late: LRU is right for viewers and for reading rows, CLOCK-Pro for
//! loops that are larger than the cache and for skewed popularity.

mod adaptive;
mod clock;
mod clock_pro;
pub(crate) mod hashed;
mod list;
mod lru;
mod shadow;

pub(crate) use adaptive::Adaptive;
pub(crate) use clock::Clock;
pub(crate) use clock_pro::ClockPro;
pub(crate) use lru::Lru;

/// An order in which entries go.
///
/// What is asked of an entry that is not in the order (removed because it is locked, say) is ignored, not an error:
/// touches reach the policy late.
pub(crate) trait Policy: Send {
    /// Takes in a new entry: its slot, a well mixed 64-bit hash of its key, its bytes. Counts as an access, a miss.
    fn insert(&mut self, slot: u32, hash: u64, bytes: u64, hint: Hint);

    /// An entry was found. Counts as an access, a hit, also while the entry is out because it is locked.
    fn touch(&mut self, slot: u32, hint: Hint);

    /// Takes an entry out unjudged: its owner dropped it, or it is locked or dirty and `victim` must not see it.
    fn remove(&mut self, slot: u32);

    /// Takes an entry in again that was removed because it was locked or dirty, as just used. No access.
    fn restore(&mut self, slot: u32, hash: u64, bytes: u64, hint: Hint);

    /// The entry that should go next, `None` when there is none. It stays in the order: the caller goes on to `evict`
    /// it, or to `remove` it when it turns out to be locked. Amortised O(1).
    fn victim(&mut self) -> Option<u32>;

    /// Takes the entry out that `victim` named: it is gone, but may be remembered.
    fn evict(&mut self, slot: u32);

    /// The budget in bytes changed. No entry goes by that alone.
    fn set_max_bytes(&mut self, bytes: u64);

    /// Every entry in the order, the one that would go first first.
    fn for_each(&self, visit: &mut dyn FnMut(u32));

    /// Bytes of memory that the policy itself holds.
    fn memory_bytes(&self) -> usize;

    #[cfg(test)]
    fn check_invariants(&self);
}

/// How an entry is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hint {
    #[default]
    Normal,
    /// Read in passing: a new entry goes where it leaves soonest, one that is there gains nothing.
    Sequential,
}

#[cfg(test)]
pub(crate) mod replay;
#[cfg(test)]
mod tests;
