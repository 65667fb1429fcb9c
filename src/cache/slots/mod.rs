//! Where entries live: slots that never move, each with one word that says what it holds and who pins it.
//!
//! Readers pin and unpin with one atomic addition each, without a lock. Everything that makes an entry appear or go
//! away happens under the cache's mutex; this file is where the transitions are.

#![expect(unsafe_code, reason = "entries are read while pinned, and written only while nobody can pin them")]

mod memory;
mod word;

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use crate::memory::Sparse;
use crate::sync::{AtomicPtr, AtomicU64, Ordering};

use super::policy::Uses;
pub(super) use word::{BESIDE, HIDDEN, SAMPLED, State, WATCHED, Word};
use word::{BIRTH, BIRTH_SHIFT, DIRTY, FLAGS, PARKED, PINS, VISIBLE, WRITING, is_last_of_parked};

/// Slots in the first segment; each following one has twice as many.
const FIRST: usize = 64;
const SEGMENTS: usize = 26;

/// The slots of a cache. They are made as they are needed, and where they are they stay until the cache goes.
pub(super) struct Slots<K, V> {
    segments: [AtomicPtr<Slot<K, V>>; SEGMENTS],
    /// What the pointers lead to.
    memory: [OnceLock<Sparse<Slot<K, V>>>; SEGMENTS],
    /// The birth of slots that are filled for the first time now. Changed under the mutex.
    births: AtomicU64,
}

/// The word, the stamp, the key and the start of the value share a line of the CPU's cache, all that a hit looks at;
/// neighbours share none.
#[repr(C, align(64))]
struct Slot<K, V> {
    word: AtomicU64,
    /// The stamp of the last use.
    used: AtomicU64,
    key: UnsafeCell<MaybeUninit<K>>,
    value: UnsafeCell<MaybeUninit<V>>,
}

/// A slot and where it is, so that who pins its entry need not look for it again.
pub(super) struct Place<K, V> {
    pub(super) slot: u32,
    at: NonNull<Slot<K, V>>,
}

impl<K, V> Clone for Place<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Place<K, V> {}

// SAFETY: an address; what may be done there says `Slots`, which is as below.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Place<K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Place<K, V> {}

// SAFETY: a slot hands `&V` to several threads at once and moves `V` from one thread to another; keys are copied.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Slots<K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Slots<K, V> {}

/// Why an entry cannot be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InUse;

impl<K: Copy + Eq, V> Slots<K, V> {
    /// The most slots that there can be.
    pub(super) const MAX: u32 = (FIRST * ((1 << SEGMENTS) - 1)) as u32;

    pub(super) fn new() -> Self {
        Self {
            segments: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            memory: std::array::from_fn(|_| OnceLock::new()),
            births: AtomicU64::new(1),
        }
    }

    /// Bytes of one slot.
    pub(super) const fn bytes() -> usize {
        size_of::<Slot<K, V>>()
    }

    /// Makes sure that `slot` exists. Under the cache's mutex.
    pub(super) fn grow_to(&self, slot: u32) {
        let (segment, _) = place(slot);
        if self.segments[segment].load(Ordering::Relaxed).is_null() {
            let slots = self.memory[segment].get_or_init(|| Sparse::new(FIRST << segment));
            self.segments[segment].store(slots.as_ptr().cast_mut(), Ordering::Release);
        }
    }

    /// Pins the entry of `slot` if it is the one of `key`. Without a lock.
    ///
    /// `Err(true)` when it is not, and the last pin on a parked entry was taken back by finding that out: the caller
    /// must put it in an eviction structure again, as after [`unpin`](Self::unpin).
    #[inline]
    pub(super) fn pin(&self, slot: u32, key: &K) -> Result<Place<K, V>, bool> {
        let this = self.slot(slot);
        // Acquire: what was written before the entry became visible is seen from here on.
        let before = this.word.fetch_add(1, Ordering::Acquire);
        if before & VISIBLE == 0 {
            return Err(take_back(this, before));
        }
        // SAFETY: the entry was visible when it was pinned, so its key was written before and is not written again until
        // the pin is taken back.
        let found = unsafe { &*this.key.get().cast::<K>() };
        if found == key {
            return Ok(Place { slot, at: NonNull::from(this) });
        }
        Err(unpin(this))
    }

    /// Where a slot is.
    pub(super) fn place(&self, slot: u32) -> Place<K, V> {
        Place { slot, at: NonNull::from(self.slot(slot)) }
    }

    /// Adds a pin to an entry that is pinned already, or under the mutex.
    pub(super) fn pin_again(&self, slot: u32) {
        self.slot(slot).word.fetch_add(1, Ordering::Acquire);
    }

    /// Takes a pin back. `true`: it was the last one on a parked entry.
    ///
    /// # Safety
    ///
    /// The place is of these slots.
    #[inline]
    pub(super) unsafe fn unpin(&self, place: Place<K, V>) -> bool {
        // SAFETY: slots stay where they are until `self` is dropped.
        unpin(unsafe { place.at.as_ref() })
    }

    #[inline]
    pub(super) fn word(&self, slot: u32) -> Word {
        Word(self.slot(slot).word.load(Ordering::Acquire))
    }

    /// Stamps a use. Under the mutex.
    #[inline]
    pub(super) fn note_use(&self, slot: u32, stamp: u64) {
        self.slot(slot).used.store(stamp, Ordering::Relaxed);
    }

    /// As `note_use`, if there is a stamp, for an entry that has none of these flags; gives whether it is in an eviction
    /// structure. `None`: nothing was done, it has one, or there is no entry. Under the mutex.
    #[inline]
    pub(super) fn note_plain_use(&self, slot: u32, stamp: Option<u64>, flags: u64) -> Option<bool> {
        let this = self.slot(slot);
        let word = this.word.load(Ordering::Relaxed);
        if word & (VISIBLE | flags) != VISIBLE {
            return None;
        }
        if let Some(stamp) = stamp {
            this.used.store(stamp, Ordering::Relaxed);
        }
        Some(word & PARKED == 0)
    }

    /// Sets or clears one of the flags of an entry. Under the mutex.
    pub(super) fn set_flag(&self, slot: u32, flag: u64, on: bool) {
        debug_assert_eq!(flag & !FLAGS, 0);
        let word = &self.slot(slot).word;
        if on {
            word.fetch_or(flag, Ordering::Relaxed)
        } else {
            word.fetch_and(!flag, Ordering::Relaxed)
        };
    }

    /// The value of an entry.
    ///
    /// # Safety
    ///
    /// The place is of these slots, and the caller holds a pin on the entry for as long as the reference lives.
    #[inline]
    pub(super) unsafe fn value(&self, place: Place<K, V>) -> &V {
        // SAFETY: slots stay where they are until `self` is dropped.
        let this = unsafe { place.at.as_ref() };
        // SAFETY: a pinned entry is visible, so its value was written, and is not touched until the pin is taken back.
        unsafe { &*this.value.get().cast::<V>() }
    }

    /// The key of a visible entry. Under the mutex.
    pub(super) fn key(&self, slot: u32) -> Option<K> {
        let this = self.slot(slot);
        if this.word.load(Ordering::Acquire) & VISIBLE == 0 {
            return None;
        }
        // SAFETY: visible, and only holders of the mutex make it otherwise.
        Some(unsafe { this.key.get().cast::<K>().read() })
    }

    /// Fills a free slot and makes it visible with these pins and flags, used as the stamp says; whether that was its first
    /// filling since it has its memory. Under the mutex.
    pub(super) fn publish(&self, slot: u32, (key, value): (K, V), pins: u32, flags: u64, stamp: u64) -> bool {
        debug_assert_eq!(flags & !FLAGS, 0);
        let this = self.slot(slot);
        debug_assert_eq!(Word(this.word.load(Ordering::Relaxed)).state(), State::Absent);
        // SAFETY: the slot is invisible, so no reader looks at the key, and the mutex keeps other writers away.
        unsafe { this.key.get().cast::<K>().write(key) };
        // SAFETY: as above.
        unsafe { this.value.get().cast::<V>().write(value) };
        this.used.store(stamp, Ordering::Relaxed);
        let entry = (VISIBLE | flags) + u64::from(pins);
        let is_first = !this.has_memory();
        if is_first {
            // Readers that pinned by mistake leave that alone now.
            this.word.swap(entry | self.births.load(Ordering::Relaxed) << BIRTH_SHIFT, Ordering::Release);
        } else {
            // An addition, not a store: readers that pin by mistake and take it back may be under way.
            this.word.fetch_add(entry, Ordering::Release);
        }
        is_first
    }

    /// Takes a clean entry that nobody pins out of its slot, which is free afterwards. Under the mutex.
    pub(super) fn take(&self, slot: u32) -> Result<V, InUse> {
        let this = self.slot(slot);
        let word = this.word.load(Ordering::Relaxed);
        if word & !(PARKED | FLAGS | BIRTH) != VISIBLE {
            return Err(InUse);
        }
        // Acquire: readers are done with the value.
        this.word.compare_exchange(word, word & BIRTH, Ordering::Acquire, Ordering::Relaxed).map_err(|_| InUse)?;
        // SAFETY: the value was visible, hence written; from now on it is invisible, so nobody reads it, and it is
        // not read again before the next `publish`.
        Ok(unsafe { this.value.get().cast::<V>().read() })
    }

    /// Marks an entry that is pinned or dirty as being in no eviction structure. `false` when it is neither any more.
    /// Under the mutex.
    pub(super) fn park(&self, slot: u32) -> bool {
        self.change(slot, |word| (word & (PINS | DIRTY | WRITING) != 0).then_some(word | PARKED))
    }

    /// Takes the mark away from an entry that is clean and not pinned. `false` when it is either, or was not marked.
    /// Under the mutex.
    pub(super) fn unpark(&self, slot: u32) -> bool {
        self.change(slot, |word| (word & !(FLAGS | BIRTH) == VISIBLE | PARKED).then_some(word & !PARKED))
    }

    /// Clean or writing becomes dirty. Under the mutex, with a pin held.
    pub(super) fn dirty(&self, slot: u32) {
        self.slot(slot).word.fetch_or(DIRTY | PARKED, Ordering::AcqRel);
    }

    /// Dirty becomes writing; `false` when it is not dirty or is being written already. Under the mutex.
    pub(super) fn begin_writing(&self, slot: u32) -> bool {
        self.change(slot, |word| {
            (word & (DIRTY | WRITING | VISIBLE) == DIRTY | VISIBLE).then_some((word & !DIRTY) | WRITING)
        })
    }

    /// Writing becomes clean, or dirty again after a failure; what was made dirty meanwhile stays so. Under the mutex.
    pub(super) fn end_writing(&self, slot: u32, written: bool) {
        self.change(slot, |word| Some((word & !WRITING) | if written { 0 } else { DIRTY }));
    }

    fn change(&self, slot: u32, to: impl Fn(u64) -> Option<u64>) -> bool {
        let word = &self.slot(slot).word;
        let mut now = word.load(Ordering::Acquire);
        loop {
            let Some(next) = to(now) else { return false };
            match word.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
    }

    #[inline]
    fn slot(&self, slot: u32) -> &Slot<K, V> {
        let (segment, offset) = place(slot);
        let start = self.segments[segment].load(Ordering::Acquire);
        debug_assert!(!start.is_null());
        // SAFETY: slot numbers are handed out after `grow_to` made their segment, which has `FIRST << segment` slots.
        let slot = unsafe { start.add(offset) };
        // SAFETY: as above, and the segment stays until `self` is dropped.
        unsafe { &*slot }
    }
}

#[inline]
fn unpin<K, V>(slot: &Slot<K, V>) -> bool {
    // Release: what this reader did with the value is over before somebody else may take it out.
    is_last_of_parked(slot.word.fetch_sub(1, Ordering::Release))
}

/// Takes back a pin on what was no entry; as `unpin` says. Without a lock.
///
/// One may be there by now. If the slot's memory was given back meanwhile the pin went with it, or with what was put there
/// next. Pins on a slot of no birth are of such readers alone, and one of them may take back that of another: the other one
/// finds none left.
#[cold]
fn take_back<K, V>(slot: &Slot<K, V>, before: u64) -> bool {
    let mut now = slot.word.load(Ordering::Relaxed);
    while now & BIRTH == before & BIRTH && now & PINS != 0 {
        match slot.word.compare_exchange_weak(now, now - 1, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return is_last_of_parked(now),
            Err(other) => now = other,
        }
    }
    false
}

/// Segment of a slot, and its place in there.
#[inline]
fn place(slot: u32) -> (usize, usize) {
    let shifted = slot as usize + FIRST;
    let segment = (shifted.ilog2() - FIRST.ilog2()) as usize;
    (segment, shifted - (FIRST << segment))
}

impl<K: Copy + Eq, V> Uses for Slots<K, V> {
    fn last_use(&self, slot: u32) -> u64 {
        self.slot(slot).used.load(Ordering::Relaxed)
    }
}

impl<K, V> Drop for Slots<K, V> {
    fn drop(&mut self) {
        for slot in self.memory.iter().filter_map(|memory| memory.get()).flat_map(|memory| memory.iter()) {
            if slot.is_visible() {
                // SAFETY: nobody else is left.
                let value = unsafe { &mut *slot.value.get() };
                // SAFETY: visible, hence written, and dropped only here.
                unsafe { value.assume_init_drop() };
            }
        }
    }
}

#[cfg(test)]
mod tests;
