//! From a key's hash to the slots that may hold it, read without a lock.
//!
//! Readers probe while a holder of the cache's mutex changes the table under them. They may miss an entry that is
//! there; whoever misses asks again under the mutex. They are never sent to a wrong entry, for they compare the key in
//! the slot.

use std::sync::OnceLock;

use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// Places in the first table; each following one has four times as many.
const FIRST: usize = 256;
const TABLES: usize = 15;

/// An open-addressed table of (tag, slot). When it gets full the next one takes over; the old ones stay, for readers may
/// still look at them, which costs a third of the last one's memory.
pub(super) struct Index {
    tables: [OnceLock<Box<[AtomicU64]>>; TABLES],
    current: AtomicUsize,
}

/// The slots that a probe comes by.
pub(super) struct Probe<'a> {
    table: &'a [AtomicU64],
    at: usize,
    left: usize,
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
        let table: &[AtomicU64] = match self.tables[self.current.load(Ordering::Acquire)].get() {
            Some(table) => table,
            None => &[],
        };
        Probe { table, at: hash as usize, left: table.len(), tag: tag(hash) }
    }

    /// Adds an entry. `len` is how many there are already, `hash_of` gives the hash of each. Under the mutex.
    pub(super) fn insert(&self, hash: u64, slot: u32, len: usize, hash_of: impl Fn(u32) -> u64) {
        let current = self.current.load(Ordering::Relaxed);
        let mut table: &[AtomicU64] = self.tables[current].get_or_init(|| empty(FIRST << (2 * current)));
        if (len + 1) * 2 > table.len() && current + 1 < TABLES {
            let larger = self.tables[current + 1].get_or_init(|| empty(FIRST << (2 * (current + 1))));
            for moved in table.iter().filter_map(|place| slot_of(place.load(Ordering::Relaxed))) {
                put(larger, hash_of(moved), moved);
            }
            self.current.store(current + 1, Ordering::Release);
            table = larger;
        }
        put(table, hash, slot);
    }

    /// Takes an entry out. Under the mutex.
    pub(super) fn remove(&self, hash: u64, slot: u32, hash_of: impl Fn(u32) -> u64) {
        let Some(table) = self.tables[self.current.load(Ordering::Relaxed)].get() else { return };
        let mask = table.len() - 1;
        let entry = entry(hash, slot);
        let mut hole = hash as usize & mask;
        while table[hole].load(Ordering::Relaxed) != entry {
            if table[hole].load(Ordering::Relaxed) == 0 {
                return;
            }
            hole = (hole + 1) & mask;
        }
        // Entries behind the hole move into it, unless they would come before the place where they are looked for: so
        // probes end at the first empty place, and there are no graves to clear away.
        let mut next = (hole + 1) & mask;
        while let Some(moved) = slot_of(table[next].load(Ordering::Relaxed)) {
            let home = hash_of(moved) as usize & mask;
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(hole) & mask) {
                table[hole].store(table[next].load(Ordering::Relaxed), Ordering::Release);
                hole = next;
            }
            next = (next + 1) & mask;
        }
        table[hole].store(0, Ordering::Release);
    }
}

impl Iterator for Probe<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        while self.left > 0 {
            let entry = self.table[self.at & (self.table.len() - 1)].load(Ordering::Acquire);
            if entry == 0 {
                return None;
            }
            self.at = self.at.wrapping_add(1);
            self.left -= 1;
            if entry & !LOW == self.tag {
                return slot_of(entry);
            }
        }
        None
    }
}

/// The half of an entry that holds the slot, counted from 1.
const LOW: u64 = (1 << 32) - 1;

fn tag(hash: u64) -> u64 {
    hash & !LOW
}

fn entry(hash: u64, slot: u32) -> u64 {
    tag(hash) | (u64::from(slot) + 1)
}

fn slot_of(entry: u64) -> Option<u32> {
    ((entry & LOW) as u32).checked_sub(1)
}

fn empty(places: usize) -> Box<[AtomicU64]> {
    (0..places).map(|_| AtomicU64::new(0)).collect()
}

fn put(table: &[AtomicU64], hash: u64, slot: u32) {
    let mask = table.len() - 1;
    let mut at = hash as usize & mask;
    while table[at].load(Ordering::Relaxed) != 0 {
        at = (at + 1) & mask;
    }
    table[at].store(entry(hash, slot), Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// Few different homes, so that probes collide.
    fn hash(slot: u32) -> u64 {
        u64::from(slot % 7) | u64::from(slot % 3) << 40
    }

    proptest! {
        #[test]
        fn it_finds_what_was_put_in_and_nothing_that_was_taken_out(steps in prop::collection::vec((any::<bool>(), 0..600u32), 1..900)) {
            let (index, mut model) = (Index::new(), HashMap::new());
            for (insert, slot) in steps {
                if insert && !model.contains_key(&slot) {
                    index.insert(hash(slot), slot, model.len(), hash);
                    model.insert(slot, ());
                } else if !insert && model.remove(&slot).is_some() {
                    index.remove(hash(slot), slot, hash);
                }
                prop_assert_eq!(index.probe(hash(slot)).any(|found| found == slot), model.contains_key(&slot));
            }
            for slot in 0..600 {
                prop_assert_eq!(index.probe(hash(slot)).any(|found| found == slot), model.contains_key(&slot));
            }
        }
    }
}
