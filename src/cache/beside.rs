//! What comes by while somebody reads in passing: kept for his next steps, in a small room.
//!
//! A reader who passes through wants nothing kept, but a source may have decoded more than he asked for: the rest of a
//! strip, of a band, of a whole picture. If none of it stayed, all of it would be decoded again for the next block. So it
//! is kept where room is free, and otherwise in the place of what came in the same way before, the oldest first; of the
//! rest of the cache it takes a small part only.

use std::collections::VecDeque;

/// The part of the budget that entries of this kind may take from the others.
const PART: u64 = 8;
/// Notes of entries that are gone or were used are swept when there are twice as many as entries, and some.
const SLACK: usize = 64;

/// The entries that nobody but readers in passing has had, the oldest first.
#[derive(Default)]
pub(super) struct Beside {
    /// Slots, and the stamp with which each entry came: one that has another was used, or is another entry.
    queue: VecDeque<(u32, u64)>,
    entries: usize,
    pub(super) bytes: u64,
}

impl Beside {
    /// What these entries may take from others, of a budget of so much.
    pub(super) fn share(max_bytes: u64) -> u64 {
        max_bytes / PART
    }

    /// Whether others must not go for `more` bytes. One entry may always come.
    pub(super) fn is_full(&self, more: u64, max_bytes: u64) -> bool {
        self.bytes > 0 && self.bytes.saturating_add(more) > Self::share(max_bytes)
    }

    /// An entry came.
    pub(super) fn push(&mut self, slot: u32, stamp: u64, bytes: u64, is_one: impl Fn(u32, u64) -> bool) {
        if self.queue.len() > 2 * self.entries + SLACK {
            self.queue.retain(|(slot, stamp)| is_one(*slot, *stamp));
        }
        self.queue.push_back((slot, stamp));
        self.entries += 1;
        self.bytes += bytes;
    }

    /// An entry went, or somebody used it.
    pub(super) fn note_gone(&mut self, bytes: u64) {
        self.entries -= 1;
        self.bytes -= bytes;
    }

    /// The oldest entry, as far as `is_one` says that it is there as it came.
    pub(super) fn oldest(&mut self, is_one: impl Fn(u32, u64) -> bool) -> Option<u32> {
        while let Some((slot, stamp)) = self.queue.front() {
            if is_one(*slot, *stamp) {
                return Some(*slot);
            }
            self.queue.pop_front();
        }
        None
    }

    /// Entries are in other slots from now on, `to[slot]` each.
    pub(super) fn renumber(&mut self, to: &[u32], is_one: impl Fn(u32, u64) -> bool) {
        let is_there = |(slot, stamp): &(u32, u64)| is_one(*slot, *stamp);
        let renumbered = self.queue.iter().map(|(slot, stamp)| (to[*slot as usize], *stamp));
        self.queue = renumbered.filter(is_there).collect();
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.queue.capacity() * size_of::<(u32, u64)>()
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self, entries: usize, bytes: u64, is_one: impl Fn(u32, u64) -> bool) {
        assert_eq!((self.entries, self.bytes), (entries, bytes));
        assert_eq!(self.queue.iter().filter(|(slot, stamp)| is_one(*slot, *stamp)).count(), entries);
    }
}
