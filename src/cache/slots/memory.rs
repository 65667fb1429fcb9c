//! How the memory of free slots goes back to the system under readers who are late.

use std::ops::Range;

use crate::cache::policy::Uses;
use crate::memory::Zero;
use crate::sync::Ordering;

use super::word::{BIRTH, BIRTH_SHIFT, FLAGS, PARKED, VISIBLE};
use super::{FIRST, InUse, Slot, Slots, place};

impl<K: Copy + Eq, V> Slots<K, V> {
    /// Gives back the memory of free slots, in ranges; gives how many have none any more that had some. Under the mutex.
    ///
    /// A reader that is late may pin one of them by mistake, before or after, or just now: then its pin may be lost with the
    /// memory, and it must not be taken back from whoever has the slot next. So a slot has a [`BIRTH`], by which the reader
    /// knows.
    pub(in crate::cache) fn discard(&self, ranges: impl Iterator<Item = Range<u32>>) -> usize {
        let births = self.births.load(Ordering::Relaxed) + 1;
        if births > BIRTH >> BIRTH_SHIFT {
            return 0;
        }
        self.births.store(births, Ordering::Relaxed);
        ranges.map(|range| self.discard_range(range)).sum()
    }

    fn discard_range(&self, slots: Range<u32>) -> usize {
        let (mut from, mut discarded) = (slots.start, 0);
        while from < slots.end {
            let (segment, offset) = place(from);
            let n = ((FIRST << segment) - offset).min((slots.end - from) as usize);
            if let Some(memory) = self.memory[segment].get() {
                let slots = &memory[offset..offset + n];
                debug_assert!(slots.iter().all(|slot| !slot.is_visible()));
                let with_memory = || slots.iter().filter(|slot| slot.has_memory()).count();
                let before = with_memory();
                if before > 0 && memory.discard(offset..offset + n) > 0 {
                    discarded += before - with_memory();
                }
            }
            from += n as u32;
        }
        discarded
    }

    /// How often memory was given back, and one.
    #[cfg(test)]
    pub(in crate::cache) fn births(&self) -> u64 {
        self.births.load(Ordering::Relaxed)
    }

    /// How many slots were filled since they have their memory.
    #[cfg(test)]
    pub(in crate::cache) fn with_memory(&self) -> usize {
        let slots = self.memory.iter().filter_map(|memory| memory.get()).flat_map(|memory| memory.iter());
        slots.filter(|slot| slot.has_memory()).count()
    }

    /// Moves a clean entry that nobody pins, and that is in an eviction structure, to a free slot, as it is; whether that was
    /// the slot's first filling. Under the mutex.
    pub(in crate::cache) fn relocate(&self, from: u32, to: u32) -> Result<bool, InUse> {
        let (word, stamp) = (self.slot(from).word.load(Ordering::Relaxed), self.last_use(from));
        let key = self.key(from).filter(|_| word & PARKED == 0).ok_or(InUse)?;
        let value = self.take(from)?;
        Ok(self.publish(to, (key, value), 0, word & FLAGS, stamp))
    }
}

impl<K, V> Slot<K, V> {
    pub(super) fn is_visible(&self) -> bool {
        self.word.load(Ordering::Relaxed) & VISIBLE != 0
    }

    /// Whether it was filled since it has its memory.
    pub(super) fn has_memory(&self) -> bool {
        self.word.load(Ordering::Relaxed) & BIRTH != 0
    }
}

// SAFETY: a word of 0 is that of an absent entry, of which nothing else is looked at. `discard` makes it 0 under free slots
// only, whose key and value nobody looks at either. What is in a slot is dropped by those who take it out.
unsafe impl<K, V> Zero for Slot<K, V> {
    #[cfg(shuttle)]
    fn zero() -> Self {
        use crate::sync::AtomicU64;
        use std::cell::UnsafeCell;
        use std::mem::MaybeUninit;

        Slot {
            word: AtomicU64::new(0),
            used: AtomicU64::new(0),
            key: UnsafeCell::new(MaybeUninit::uninit()),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    #[cfg(shuttle)]
    fn clear(&self) {
        self.word.store(0, Ordering::Relaxed);
    }
}
