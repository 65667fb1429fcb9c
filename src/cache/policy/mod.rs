//! Which entry goes next.
//!
//! A policy orders the entries that may go and knows nothing else of them: no key, no value, no lock. Its owner calls it
//! under its own mutex. Entries are known by their slot, a small dense number that is used again once its entry is gone,
//! so that a policy is a few arrays.
//!
//! Hits are not reported to it, for there are too many: each entry has a stamp of its last use, which the policy reads
//! when it has to decide. Only hits of a sample are told, to the policy that follows one.
//!
//! [`Lru`] is exact. [`Clock`] is second chance. [`Adaptive`] runs LRU or CLOCK-Pro, whichever of two sampled shadows of
//! the cache hit more of late: LRU is right for viewers and for reading rows, CLOCK-Pro for loops that are larger than
//! the cache and for skewed popularity.

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

/// When entries were last used.
pub(crate) trait Uses {
    /// The stamp of the last use of an entry: the later, the larger. An entry that was read in passing has one that is
    /// smaller than all others so far. No two entries have the same, and no use has that of another.
    fn last_use(&self, slot: u32) -> u64;
}

/// By slot.
impl Uses for Vec<u64> {
    fn last_use(&self, slot: u32) -> u64 {
        self[slot as usize]
    }
}

/// An order in which entries go.
///
/// What is asked of an entry that is not in the order (removed because it is locked, say) is ignored, not an error.
pub(crate) trait Policy: Send {
    /// Takes in a new entry: its slot, a well mixed 64-bit hash of its key, its bytes. Counts as an access, a miss. Its
    /// stamp is that of this use already.
    fn insert(&mut self, slot: u32, hash: u64, bytes: u64, hint: Hint, uses: &dyn Uses);

    /// Takes an entry out unjudged: its owner dropped it, or it is locked or dirty and `victim` must not see it.
    fn remove(&mut self, slot: u32);

    /// Takes an entry in again that was removed because it was locked or dirty, as just used. No access.
    fn restore(&mut self, slot: u32, hash: u64, bytes: u64, uses: &dyn Uses);

    /// The entry that would go next, `None` when there is none. Amortised O(1) over this and uses.
    fn peek(&mut self, uses: &dyn Uses) -> Option<u32>;

    /// The entry that should go next because room is needed. It stays in the order: the caller goes on to `evict` it, or
    /// to `remove` it when it turns out to be locked.
    fn victim(&mut self, uses: &dyn Uses) -> Option<u32> {
        self.peek(uses)
    }

    /// Takes the entry out that `victim` named: it is gone, but may be remembered.
    fn evict(&mut self, slot: u32);

    /// The budget in bytes changed. No entry goes by that alone.
    fn set_max_bytes(&mut self, _bytes: u64, _uses: &dyn Uses) {}

    /// Every entry in the order, the one that would go first first.
    fn for_each(&self, uses: &dyn Uses, visit: &mut dyn FnMut(u32));

    /// The entry of each slot is in slot `to[slot]` from now on, and none in one of `n_slots` or more: what was held for more of
    /// them is given back. The order is as it was.
    fn renumber(&mut self, to: &[u32], n_slots: usize);

    /// Forgets what was learned of entries that are gone. There is no entry.
    fn start_anew(&mut self, uses: &dyn Uses);

    /// Whether hits of keys with this hash are to be told one by one, as far as `follows_hits`.
    fn samples(&self, _hash: u64) -> bool {
        false
    }

    /// Whether `samples` may answer otherwise than when this was last asked.
    fn take_resampled(&mut self) -> bool {
        false
    }

    /// Whether hits of the sample make a difference at present. It ends with hits and begins with `victim` or `insert`.
    fn follows_hits(&self) -> bool {
        false
    }

    /// Entries in the order were found so many times, none that is followed.
    fn note_hits(&mut self, _n: u64) {}

    /// An entry in the order was found, perhaps one of the sample. In access order with `note_hits`.
    fn note_sampled_hit(&mut self, _slot: u32) {}

    /// Bytes of memory that the policy itself holds for its entries, and those it remembers.
    fn memory_bytes(&self) -> usize;

    /// Bytes of memory that it holds beside, however many entries there are.
    fn learned_bytes(&self) -> usize {
        0
    }

    #[cfg(test)]
    fn check_invariants(&self, uses: &dyn Uses);
}

/// Makes `values` at least `len` long. With little to spare: there are many such arrays, as long as there are entries.
pub(crate) fn lengthen<T: Clone>(values: &mut Vec<T>, len: usize, value: T) {
    if len > values.capacity() {
        values.reserve_exact(len + len / 8 - values.len());
    }
    if len > values.len() {
        values.resize(len, value);
    }
}

/// Makes `values`, one for each slot, those of the slots as they are numbered [from now on](Policy::renumber); `none` for a slot
/// whose entry went.
pub(crate) fn renumber<T: Copy>(values: &mut Vec<T>, none: T, to: &[u32], n_slots: usize) {
    for (from, to) in to.iter().enumerate().take(values.len()).filter(|(from, to)| **to != *from as u32) {
        values[*to as usize] = std::mem::replace(&mut values[from], none);
    }
    shorten(values, n_slots);
}

/// Makes `values` at most `len` long, with little to spare.
pub(crate) fn shorten<T>(values: &mut Vec<T>, len: usize) {
    values.truncate(len);
    values.shrink_to(values.len() + values.len() / 8);
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
