//! What a slot's word says: what the slot holds, who pins it, and since when it has its memory.

/// Pins are counted in the low half of a word.
pub(super) const PINS: u64 = (1 << 32) - 1;
/// Readers may pin the entry.
pub(super) const VISIBLE: u64 = 1 << 32;
/// The value must be written back before it may go.
pub(super) const DIRTY: u64 = 1 << 33;
/// The value is being written back.
pub(super) const WRITING: u64 = 1 << 34;
/// The entry is in no eviction structure: it was found pinned, or it is dirty. Whoever takes the last pin back puts
/// it in again.
pub(super) const PARKED: u64 = 1 << 35;

/// The bits that say more of this entry to others. Nothing here depends on them.
pub(super) const FLAGS: u64 = WATCHED | SAMPLED | HIDDEN | BESIDE;
/// The reuse curve may watch the entry.
pub(in crate::cache) const WATCHED: u64 = 1 << 36;
/// The policy follows a sample of keys, and this is one of it.
pub(in crate::cache) const SAMPLED: u64 = 1 << 37;
/// The index no longer leads to the entry, which goes with its last pin.
pub(in crate::cache) const HIDDEN: u64 = 1 << 38;
/// The entry came by while somebody read in passing, and nobody else had it.
pub(in crate::cache) const BESIDE: u64 = 1 << 39;

/// The upper bits: how often memory had been [given back](super::Slots::discard) when the slot was first filled; 0 when it was not
/// filled since it has its memory. What a reader pinned by mistake before is void, and counted no more.
pub(super) const BIRTH: u64 = !0 << BIRTH_SHIFT;
pub(super) const BIRTH_SHIFT: u32 = 40;

/// What a slot holds, as a word says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum State {
    /// Nothing that a reader may see: free, or being filled.
    Absent,
    /// A value that can be dropped.
    Clean,
    /// A value that must be written back first.
    Dirty,
    /// A value that is being written back.
    Writing,
}

/// A snapshot of a slot's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) struct Word(pub(super) u64);

impl Word {
    pub(in crate::cache) fn state(self) -> State {
        match self.0 {
            w if w & VISIBLE == 0 => State::Absent,
            w if w & WRITING != 0 => State::Writing,
            w if w & DIRTY != 0 => State::Dirty,
            _ => State::Clean,
        }
    }

    pub(in crate::cache) fn pins(self) -> u32 {
        (self.0 & PINS) as u32
    }

    pub(in crate::cache) fn is_parked(self) -> bool {
        self.0 & PARKED != 0
    }

    /// Whether one of these flags is set.
    #[inline]
    pub(in crate::cache) fn has(self, flags: u64) -> bool {
        debug_assert_eq!(flags & !FLAGS, 0);
        self.0 & flags != 0
    }
}

/// Whether a word says that of the pins on a parked entry one is left.
#[inline]
pub(super) fn is_last_of_parked(word: u64) -> bool {
    word & PINS == 1 && word & (PARKED | VISIBLE) == PARKED | VISIBLE
}
