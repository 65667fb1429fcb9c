//! From a key's hash to the slots that may hold it, read without a lock.
//!
//! Readers probe while a holder of the cache's mutex changes the table under them. They may miss an entry that is
//! there; whoever misses asks again under the mutex. They are never sent to a wrong entry, for they compare the key in
//! the slot.

use std::sync::OnceLock;

use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// Places in the first table, as a power of two; each following one has twice as many.
const FIRST_BITS: u32 = 8;
const TABLES: usize = 25;

/// An open-addressed table of (tag, slot). When it gets half full the next one takes over; the old ones stay, for readers
/// may still look at them, which costs as much again as the last one. Tables that grew by four would cost a third, but
/// be an eighth full at first: more lines for the CPU's caches to hold.
///
/// The tag is the upper half of the hash, and the home of an entry, where it is looked for first, is told by the tag's
/// first bits: entries move within a table and to the next one without a look at their slots, and in order.
pub(super) struct Index {
    tables: [OnceLock<Box<[AtomicU64]>>; TABLES],
    current: AtomicUsize,
}

/// The slots that a probe comes by.
pub(super) struct Probe<'a> {
    table: &'a [AtomicU64],
    at: usize,
    tag: u64,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { tables: std::array::from_fn(|_| OnceLock::new()), current: AtomicUsize::new(0) }
    }

    /// Bytes of all tables.
    pub(super) fn bytes(&self) -> usize {
        self.tables.iter().filter_map(|table| table.get()).map(|table| table.len() * 8).sum()
    }

    /// The slots that may hold a key of this hash.
    #[inline]
    pub(super) fn probe(&self, hash: u64) -> Probe<'_> {
        let current = self.current.load(Ordering::Acquire);
        let table: &[AtomicU64] = match self.tables[current].get() {
            Some(table) => table,
            None => &[],
        };
        Probe { table, at: home(hash, current), tag: tag(hash) }
    }

    /// Adds an entry. `len` is how many there are already. Under the mutex.
    pub(super) fn insert(&self, hash: u64, slot: u32, len: usize) {
        let mut current = self.current.load(Ordering::Relaxed);
        let mut table = self.table(current);
        if (len + 1) * 2 > table.len() && current + 1 < TABLES {
            current += 1;
            let larger = self.table(current);
            let entries = table.iter().map(|place| place.load(Ordering::Relaxed)).filter(|entry| *entry != 0);
            entries.for_each(|entry| put(larger, home(entry, current), entry));
            self.current.store(current, Ordering::Release);
            table = larger;
        }
        put(table, home(hash, current), entry(hash, slot));
    }

    /// Takes an entry out. Under the mutex.
    pub(super) fn remove(&self, hash: u64, slot: u32) {
        let current = self.current.load(Ordering::Relaxed);
        let table = self.table(current);
        let mask = table.len() - 1;
        let at = |place: usize| table[place].load(Ordering::Relaxed);
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
                table[hole].store(moved, Ordering::Release);
                hole = next;
            }
            next = (next + 1) & mask;
        }
        table[hole].store(0, Ordering::Release);
    }

    fn table(&self, number: usize) -> &[AtomicU64] {
        self.tables[number].get_or_init(|| (0..1_usize << bits(number)).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Iterator for Probe<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        // There is always an empty place to stop at.
        loop {
            let entry = self.table.get(self.at & self.table.len().wrapping_sub(1))?.load(Ordering::Acquire);
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

fn put(table: &[AtomicU64], home: usize, entry: u64) {
    let mask = table.len() - 1;
    let mut at = home;
    while table[at].load(Ordering::Relaxed) != 0 {
        at = (at + 1) & mask;
    }
    table[at].store(entry, Ordering::Release);
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
        fn it_finds_what_was_put_in_and_nothing_that_was_taken_out(steps in prop::collection::vec((any::<bool>(), 0..600u32), 1..900)) {
            let (index, mut model) = (Index::new(), HashMap::new());
            for (insert, slot) in steps {
                if insert && !model.contains_key(&slot) {
                    index.insert(hash(slot), slot, model.len());
                    model.insert(slot, ());
                } else if !insert && model.remove(&slot).is_some() {
                    index.remove(hash(slot), slot);
                }
                prop_assert_eq!(index.probe(hash(slot)).any(|found| found == slot), model.contains_key(&slot));
            }
            for slot in 0..600 {
                prop_assert_eq!(index.probe(hash(slot)).any(|found| found == slot), model.contains_key(&slot));
            }
        }
    }
}
