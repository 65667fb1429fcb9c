//! Where entries live: slots that never move, each with one word that says what it holds and who pins it.
//!
//! Readers pin and unpin with one atomic addition each, without a lock. Everything that makes an entry appear or go
//! away happens under the cache's mutex; this file is where the transitions are.

#![expect(unsafe_code, reason = "entries are read while pinned, and written only while nobody can pin them")]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr;

use crate::sync::{AtomicPtr, AtomicU64, Ordering};

/// Pins are counted in the low half of a word.
const PINS: u64 = (1 << 32) - 1;
/// Readers may pin the entry.
const VISIBLE: u64 = 1 << 32;
/// The value must be written back before it may go.
const DIRTY: u64 = 1 << 33;
/// The value is being written back.
const WRITING: u64 = 1 << 34;
/// The entry is in no eviction structure: it was found pinned, or it is dirty. Whoever takes the last pin back puts
/// it in again.
const PARKED: u64 = 1 << 35;

/// Slots in the first segment; each following one has twice as many.
const FIRST: usize = 64;
const SEGMENTS: usize = 26;

/// What a slot holds, as a word says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
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
pub(super) struct Word(u64);

impl Word {
    pub(super) fn state(self) -> State {
        match self.0 {
            w if w & VISIBLE == 0 => State::Absent,
            w if w & WRITING != 0 => State::Writing,
            w if w & DIRTY != 0 => State::Dirty,
            _ => State::Clean,
        }
    }

    pub(super) fn pins(self) -> u32 {
        (self.0 & PINS) as u32
    }

    pub(super) fn is_parked(self) -> bool {
        self.0 & PARKED != 0
    }
}

/// The slots of a cache. They are made as they are needed and stay until the cache goes.
pub(super) struct Slots<K, V> {
    segments: [AtomicPtr<Slot<K, V>>; SEGMENTS],
}

/// The word and the key share a line of the CPU's cache; neighbours share none.
#[repr(C, align(64))]
struct Slot<K, V> {
    word: AtomicU64,
    key: UnsafeCell<MaybeUninit<K>>,
    value: UnsafeCell<MaybeUninit<V>>,
}

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
        Self { segments: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())) }
    }

    /// Bytes of one slot.
    pub(super) const fn bytes() -> usize {
        size_of::<Slot<K, V>>()
    }

    /// Makes sure that `slot` exists. Under the cache's mutex.
    pub(super) fn grow_to(&self, slot: u32) {
        let (segment, _) = place(slot);
        if self.segments[segment].load(Ordering::Relaxed).is_null() {
            let fresh: Box<[Slot<K, V>]> = (0..FIRST << segment)
                .map(|_| Slot {
                    word: AtomicU64::new(0),
                    key: UnsafeCell::new(MaybeUninit::uninit()),
                    value: UnsafeCell::new(MaybeUninit::uninit()),
                })
                .collect();
            self.segments[segment].store(Box::into_raw(fresh).cast(), Ordering::Release);
        }
    }

    /// Pins the entry of `slot` if it is the one of `key`. Without a lock.
    ///
    /// `Err(true)` when it is not, and the last pin on a parked entry was taken back by finding that out: the caller
    /// must put it in an eviction structure again, as after [`unpin`](Self::unpin).
    #[inline]
    pub(super) fn pin(&self, slot: u32, key: &K) -> Result<(), bool> {
        let this = self.slot(slot);
        // Acquire: what was written before the entry became visible is seen from here on.
        let before = this.word.fetch_add(1, Ordering::Acquire);
        if before & VISIBLE != 0 {
            // SAFETY: the entry was visible when it was pinned, so its key was written before and is not written
            // again until the pin is taken back.
            let found = unsafe { &*this.key.get().cast::<K>() };
            if found == key {
                return Ok(());
            }
        }
        Err(self.unpin(slot))
    }

    /// Adds a pin to an entry that is pinned already, or under the mutex.
    pub(super) fn pin_again(&self, slot: u32) {
        self.slot(slot).word.fetch_add(1, Ordering::Acquire);
    }

    /// Takes a pin back. `true`: it was the last one on a parked entry.
    #[inline]
    pub(super) fn unpin(&self, slot: u32) -> bool {
        // Release: what this reader did with the value is over before somebody else may take it out.
        let before = self.slot(slot).word.fetch_sub(1, Ordering::Release);
        before & PINS == 1 && before & (PARKED | VISIBLE) == PARKED | VISIBLE
    }

    pub(super) fn word(&self, slot: u32) -> Word {
        Word(self.slot(slot).word.load(Ordering::Acquire))
    }

    /// The value of an entry.
    ///
    /// # Safety
    ///
    /// The caller holds a pin on the entry for as long as the reference lives.
    #[inline]
    pub(super) unsafe fn value(&self, slot: u32) -> &V {
        // SAFETY: a pinned entry is visible, so its value was written, and is not touched until the pin is taken back.
        unsafe { &*self.slot(slot).value.get().cast::<V>() }
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

    /// Fills a free slot and makes it visible with `pins` pins. Under the mutex.
    pub(super) fn publish(&self, slot: u32, key: K, value: V, pins: u32) {
        let this = self.slot(slot);
        debug_assert_eq!(Word(this.word.load(Ordering::Relaxed)).state(), State::Absent);
        // SAFETY: the slot is invisible, so no reader looks at the key, and the mutex keeps other writers away.
        unsafe { this.key.get().cast::<K>().write(key) };
        // SAFETY: as above.
        unsafe { this.value.get().cast::<V>().write(value) };
        // An addition, not a store: readers that pin by mistake and take it back may be under way.
        this.word.fetch_add(VISIBLE + u64::from(pins), Ordering::Release);
    }

    /// Takes a clean entry that nobody pins out of its slot, which is free afterwards. Under the mutex.
    pub(super) fn take(&self, slot: u32) -> Result<V, InUse> {
        let this = self.slot(slot);
        let word = this.word.load(Ordering::Relaxed);
        if word & !PARKED != VISIBLE {
            return Err(InUse);
        }
        // Acquire: readers are done with the value.
        this.word.compare_exchange(word, 0, Ordering::Acquire, Ordering::Relaxed).map_err(|_| InUse)?;
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
        self.change(slot, |word| (word & !PARKED == VISIBLE && word & PARKED != 0).then_some(word & !PARKED))
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

/// Segment of a slot, and its place in there.
#[inline]
fn place(slot: u32) -> (usize, usize) {
    let shifted = slot as usize + FIRST;
    let segment = (shifted.ilog2() - FIRST.ilog2()) as usize;
    (segment, shifted - (FIRST << segment))
}

impl<K, V> Drop for Slots<K, V> {
    fn drop(&mut self) {
        for (segment, start) in self.segments.iter_mut().enumerate() {
            let start = std::mem::replace(start.get_mut(), ptr::null_mut());
            if start.is_null() {
                continue;
            }
            let all = ptr::slice_from_raw_parts_mut(start, FIRST << segment);
            // SAFETY: `grow_to` leaked exactly this slice, and nothing refers to it any more.
            let mut all = unsafe { Box::from_raw(all) };
            for slot in all.iter_mut().filter_map(|slot| (*slot.word.get_mut() & VISIBLE != 0).then_some(slot)) {
                // SAFETY: visible, hence written, and dropped only here.
                unsafe { slot.value.get_mut().assume_init_drop() };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn slots_are_found_in_growing_segments() {
        assert_eq!([0, 63, 64, 191, 192].map(place), [(0, 0), (0, 63), (1, 0), (1, 127), (2, 0)]);
        assert_eq!(place(Slots::<u32, u32>::MAX - 1).0, SEGMENTS - 1);
    }

    #[test]
    fn an_entry_is_pinned_by_its_key_only_and_taken_only_when_nobody_pins_it() {
        let slots = Slots::new();
        slots.grow_to(0);
        assert_eq!(slots.pin(0, &7), Err(false));
        let value = Arc::new(70);
        slots.publish(0, 7, Arc::clone(&value), 1);
        assert_eq!((slots.pin(0, &8), slots.pin(0, &7)), (Err(false), Ok(())));
        assert_eq!((slots.word(0).state(), slots.word(0).pins()), (State::Clean, 2));
        assert_eq!(slots.take(0), Err(InUse));
        assert!(slots.park(0));
        assert!(!slots.unpin(0));
        assert!(slots.unpin(0), "the last pin of a parked entry says so");
        assert!(slots.unpark(0) && !slots.unpark(0) && !slots.park(0));
        assert_eq!(slots.take(0).as_deref(), Ok(&70));
        assert_eq!(
            (slots.word(0).state(), slots.pin(0, &7), Arc::strong_count(&value)),
            (State::Absent, Err(false), 1)
        );
    }

    #[test]
    fn a_dirty_entry_stays_until_it_is_written() {
        let slots = Slots::new();
        slots.grow_to(100);
        slots.publish(100, 'k', 5, 0);
        slots.dirty(100);
        assert_eq!((slots.take(100), slots.word(100).state()), (Err(InUse), State::Dirty));
        assert!(slots.begin_writing(100) && !slots.begin_writing(100));
        assert_eq!((slots.take(100), slots.word(100).state()), (Err(InUse), State::Writing));
        slots.end_writing(100, false);
        assert_eq!(slots.word(100).state(), State::Dirty);
        assert!(slots.begin_writing(100));
        // Written to again while it is written back.
        slots.dirty(100);
        slots.end_writing(100, true);
        assert_eq!(slots.word(100).state(), State::Dirty);
        assert!(slots.begin_writing(100));
        slots.end_writing(100, true);
        assert!(slots.unpark(100));
        assert_eq!(slots.take(100), Ok(5));
    }

    #[test]
    fn values_that_are_left_are_dropped_with_the_slots() {
        let value = Arc::new(());
        let slots = Slots::new();
        slots.grow_to(3);
        slots.publish(3, 0, Arc::clone(&value), 0);
        drop(slots);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
