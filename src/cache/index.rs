//! From a key's hash to the slots that may hold it, read without a lock.
//!
//! Readers probe while a holder of the cache's mutex changes the table under them. They may miss an entry that is
//! there; whoever misses asks again under the mutex. They are never sent to a wrong entry, for they compare the key in
//! the slot.

#![expect(unsafe_code, reason = "says what may be all zeros")]

use std::sync::OnceLock;

use crate::memory::{Sparse, Zero};
use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// Places in the first table, as a power of two; each following one has twice as many.
const FIRST_BITS: u32 = 8;
const TABLES: usize = 25;

/// An open-addressed table of (tag, slot). When it gets half full the next one takes over, and one before it when few entries
/// are [left](Self::shrink). The others stay, for readers may still look at them, but are empty, and large ones without memory.
///
/// The tag is the upper half of the hash, and the home of an entry, where it is looked for first, is told by the tag's
/// first bits: entries move within a table and to the next one without a look at their slots, and in order.
pub(super) struct Index {
    tables: [OnceLock<Sparse<Place>>; TABLES],
    current: AtomicUsize,
    /// A bit for each table that has memory. Changed under the mutex.
    with_memory: AtomicUsize,
}

/// An entry of the table, or 0.
struct Place(AtomicU64);

// SAFETY: an atomic number.
unsafe impl Zero for Place {
    #[cfg(shuttle)]
    fn zero() -> Self {
        Self(AtomicU64::new(0))
    }

    #[cfg(shuttle)]
    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// The slots that a probe comes by.
pub(super) struct Probe<'a> {
    table: &'a [Place],
    at: usize,
    tag: u64,
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            tables: std::array::from_fn(|_| OnceLock::new()),
            current: AtomicUsize::new(0),
            with_memory: AtomicUsize::new(0),
        }
    }

    /// Bytes of all tables that have memory. Under the mutex.
    pub(super) fn bytes(&self) -> usize {
        let with_memory = self.with_memory.load(Ordering::Relaxed);
        (0..TABLES)
            .filter(|number| with_memory >> number & 1 != 0)
            .map(|number| size_of::<Place>() << bits(number))
            .sum()
    }

    /// The slots that may hold a key of this hash.
    #[inline]
    pub(super) fn probe(&self, hash: u64) -> Probe<'_> {
        let current = self.current.load(Ordering::Acquire);
        let table: &[Place] = match self.tables[current].get() {
            Some(table) => table,
            None => &[],
        };
        Probe { table, at: home(hash, current), tag: tag(hash) }
    }

    /// Adds an entry. `len` is how many there are already. Under the mutex.
    pub(super) fn insert(&self, hash: u64, slot: u32, len: usize) {
        let mut current = self.current.load(Ordering::Relaxed);
        if (len + 1) * 2 > 1 << bits(current) && current + 1 < TABLES {
            current += 1;
            self.move_to(current);
        }
        put(self.table(current), home(hash, current), entry(hash, slot));
    }

    /// Gives memory back when there are few entries; `len` is how many. Under the mutex.
    pub(super) fn shrink(&self, len: usize) {
        // A quarter full, so that it does not grow again at once.
        let fits = (0..TABLES).find(|number| len * 4 <= 1 << bits(*number));
        if let Some(number) = fits.filter(|number| *number < self.current.load(Ordering::Relaxed)) {
            self.move_to(number);
        }
    }

    /// Lets another table, which is empty, take over.
    fn move_to(&self, number: usize) {
        let before = self.current.load(Ordering::Relaxed);
        let (from, to) = (self.table(before), self.table(number));
        self.with_memory.fetch_or(1 << number, Ordering::Relaxed);
        let entries = from.iter().map(Place::load).filter(|entry| *entry != 0);
        entries.for_each(|entry| put(to, home(entry, number), entry));
        self.current.store(number, Ordering::Release);
        if from.discard(0..from.len()) < from.len() {
            from.iter().for_each(|place| place.0.store(0, Ordering::Relaxed));
        } else {
            self.with_memory.fetch_and(!(1 << before), Ordering::Relaxed);
        }
    }

    /// Takes an entry out. Under the mutex.
    pub(super) fn remove(&self, hash: u64, slot: u32) {
        let current = self.current.load(Ordering::Relaxed);
        let table = self.table(current);
        let mask = table.len() - 1;
        let at = |place: usize| table[place].load();
        let (mut hole, entry) = (home(hash, current), entry(hash, slot));
        while at(hole) != entry {
            if at(hole) == 0 {
                return;
            }
            hole = (hole + 1) & mask;
        }
        // Entries behind the hole move into it, unless they would come before the place where they are looked for: so
        // probes end at the first empty place, and there are no graves to clear away.
        let mut next = (hole + 1) & mask;
        while at(next) != 0 {
            let moved = at(next);
            if (next.wrapping_sub(home(moved, current)) & mask) >= (next.wrapping_sub(hole) & mask) {
                table[hole].0.store(moved, Ordering::Release);
                hole = next;
            }
            next = (next + 1) & mask;
        }
        table[hole].0.store(0, Ordering::Release);
    }

    /// Under the mutex.
    fn table(&self, number: usize) -> &Sparse<Place> {
        self.tables[number].get_or_init(|| {
            self.with_memory.fetch_or(1 << number, Ordering::Relaxed);
            Sparse::new(1 << bits(number))
        })
    }
}

impl Place {
    /// Under the mutex.
    fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Iterator for Probe<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        // There is always an empty place to stop at.
        loop {
            let entry = self.table.get(self.at & self.table.len().wrapping_sub(1))?.0.load(Ordering::Acquire);
            self.at = self.at.wrapping_add(1);
            if entry == 0 || entry & !LOW == self.tag {
                return slot_of(entry);
            }
        }
    }
}

/// The half of an entry that holds the slot, counted from 1.
const LOW: u64 = (1 << 32) - 1;

#[inline]
fn tag(hash: u64) -> u64 {
    hash & !LOW
}

fn entry(hash: u64, slot: u32) -> u64 {
    tag(hash) | (u64::from(slot) + 1)
}

#[inline]
fn slot_of(entry: u64) -> Option<u32> {
    ((entry & LOW) as u32).checked_sub(1)
}

#[inline]
fn bits(table: usize) -> u32 {
    FIRST_BITS + table as u32
}

/// Where a table has the entry of this hash, if there is nothing in the way. An entry tells it as its hash does.
#[inline]
fn home(hash: u64, table: usize) -> usize {
    (hash >> (u64::BITS - bits(table))) as usize
}

fn put(table: &[Place], home: usize, entry: u64) {
    let mask = table.len() - 1;
    let mut at = home;
    while table[at].load() != 0 {
        at = (at + 1) & mask;
    }
    table[at].0.store(entry, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// Few different homes, so that probes collide.
    fn hash(slot: u32) -> u64 {
        u64::from(slot % 7) << 61 | u64::from(slot % 3) << 40
    }

    proptest! {
        #[test]
        fn it_finds_what_was_put_in_and_nothing_that_was_taken_out(steps in prop::collection::vec((0..9, 0..600u32), 1..900)) {
            let (index, mut model) = (Index::new(), HashMap::new());
            for (step, slot) in steps {
                if step < 5 && !model.contains_key(&slot) {
                    index.insert(hash(slot), slot, model.len());
                    model.insert(slot, ());
                } else if step < 8 && model.remove(&slot).is_some() {
                    index.remove(hash(slot), slot);
                } else if step == 8 && slot % 8 == 0 {
                    // Most of them, and the memory for them.
                    for slot in (0..600).filter(|slot| slot % 5 != 0 && model.remove(slot).is_some()) {
                        index.remove(hash(slot), slot);
                    }
                    index.shrink(model.len());
                }
                prop_assert_eq!(index.probe(hash(slot)).any(|found| found == slot), model.contains_key(&slot));
            }
            for slot in 0..600 {
                prop_assert_eq!(index.probe(hash(slot)).any(|found| found == slot), model.contains_key(&slot));
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "an interpreter takes too long")]
    fn its_memory_follows_the_entries_up_and_down() {
        let index = Index::new();
        let hash = |slot: u32| super::super::policy::replay::hash(u64::from(slot));
        let is_there = |slot: u32| index.probe(hash(slot)).any(|found| found == slot);
        (0..100_000).for_each(|slot| index.insert(hash(slot), slot, slot as usize));
        let bytes = index.bytes();
        // As many places as are needed, and the tables before that are too small to be given back.
        assert!(
            (100_000 * 16..100_000 * 32 + (16 << 10)).contains(&bytes) || !cfg!(all(target_os = "linux", not(miri))),
            "{bytes}"
        );
        (1000..100_000).for_each(|slot| index.remove(hash(slot), slot));
        index.shrink(1000);
        assert!(index.bytes() <= 64 << 10 || !cfg!(all(target_os = "linux", not(miri))), "{}", index.bytes());
        assert!((0..1000).all(is_there) && !(1000..100_000).any(is_there));
        (1000..100_000).for_each(|slot| index.insert(hash(slot), slot, slot as usize));
        assert!((0..100_000).all(is_there) && index.bytes() == bytes);
    }
}
