//! What the cache of a dataset did and holds.

use std::cell::Cell;
use std::time::Duration;

use crate::cache::Counts;
use crate::memory::{Class, Ledger};
use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// Counts since the dataset was opened, and bytes held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Blocks found in memory.
    pub hits: u64,
    /// Blocks that were not.
    pub misses: u64,
    /// Blocks read and decoded, or made from a finer level; failed ones included.
    pub loads: u64,
    /// Loads that ended in an error.
    pub failed_loads: u64,
    /// Loads of a block that had been loaded before: what a larger budget might have saved. Counted in a sample when more
    /// than a million blocks were loaded; those that were loaded before nearly all went to others, or were trimmed, may be
    /// new again.
    pub redundant_loads: u64,
    /// Time spent in loads that succeeded, all threads together. That of a block which is made of finer ones has theirs in it,
    /// as far as they were loaded for it, and theirs counts by itself too.
    pub load_time: Duration,
    /// Misses that waited for a load that somebody else had begun.
    pub coalesced: u64,
    /// Blocks that were decoded on the way to another one, and kept.
    pub siblings: u64,
    /// Blocks forgotten to make room.
    pub evictions: u64,
    /// Blocks handed out without being kept: because the budget had no room, because the reader only passed through, or
    /// because reading them is a copy of what the system keeps and they were read for the first time.
    pub uncached: u64,
    /// Blocks kept.
    pub entries: u64,
    /// Bytes that count against the budget: pixels and overhead of the blocks kept.
    pub bytes: u64,
    /// What the cache's own structures take. The budget counts a share of them with every block; what slots, index and policy
    /// take for blocks that are gone counts against the total, until it is given back. What was learned of blocks that went is
    /// bounded and counts in neither.
    pub structure_bytes: u64,
    /// Of `bytes`, what is counted for every block beside its pixels.
    pub overhead_bytes: u64,
    /// Of `bytes`, those of locked blocks and of blocks in use.
    pub locked_bytes: u64,
    /// Of `bytes`, those of blocks that were written to and must be written back.
    pub dirty_bytes: u64,
    /// Bytes set aside for loads under way.
    pub loading_bytes: u64,
    /// Bytes of pixels of all blocks of the dataset that exist, kept or only lent.
    pub pixel_bytes: u64,
    /// The budget.
    pub max_bytes: u64,
    /// Blocks lent from a mapped file, or from other memory of the source: neither hits nor misses.
    pub mapped: u64,
    /// What the source keeps to find its way in a compressed stream: a part of the budget, an eighth of it at most.
    pub index_bytes: u64,
}

impl Stats {
    pub(super) fn new(counts: &Counts, ledger: &Ledger) -> Self {
        Self {
            hits: counts.hits,
            misses: counts.misses,
            loads: counts.loads,
            failed_loads: counts.failed_loads,
            redundant_loads: counts.redundant_loads,
            load_time: Duration::from_nanos(counts.load_nanos),
            coalesced: counts.coalesced,
            siblings: counts.siblings,
            evictions: counts.evictions,
            uncached: counts.uncached,
            entries: counts.entries,
            structure_bytes: counts.structure_bytes,
            bytes: counts.bytes,
            overhead_bytes: counts.entries * crate::cache::ENTRY_OVERHEAD,
            locked_bytes: counts.locked_bytes,
            dirty_bytes: counts.dirty_bytes,
            loading_bytes: counts.loading_bytes,
            pixel_bytes: ledger.bytes(Class::Block),
            max_bytes: counts.max_bytes,
            mapped: 0,
            index_bytes: 0,
        }
    }
}

/// A count that several threads raise without getting into each other's way.
#[derive(Default)]
pub(super) struct Tally {
    lanes: [Lane; LANES],
}

const LANES: usize = 8;

/// On lines of the CPU's cache that no other lane is on.
#[derive(Default)]
#[repr(align(128))]
struct Lane(AtomicU64);

impl Tally {
    #[inline]
    pub(super) fn add_one(&self) {
        self.lanes[lane()].0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sum(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.0.load(Ordering::Relaxed)).sum()
    }
}

/// The lane of the thread that asks; a thread that is going away shares the first one.
#[inline]
fn lane() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    MINE.try_with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed) % LANES);
        }
        mine.get()
    })
    .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_what_all_threads_counted() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| (0..100).for_each(|_| tally.add_one()));
            }
        });
        assert_eq!(tally.sum(), 2000);
    }
}
