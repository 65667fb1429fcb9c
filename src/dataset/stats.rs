//! What the cache of a dataset did and holds.

use std::time::Duration;

use crate::cache::Counts;
use crate::memory::{Class, Ledger};

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
    /// than a million blocks were loaded.
    pub redundant_loads: u64,
    /// Time spent in loads that succeeded, all threads together.
    pub load_time: Duration,
    /// Misses that waited for a load that somebody else had begun.
    pub coalesced: u64,
    /// Blocks that were decoded on the way to another one, and kept.
    pub siblings: u64,
    /// Blocks forgotten to make room.
    pub evictions: u64,
    /// Blocks handed out without being kept, because the budget had no room.
    pub uncached: u64,
    /// Blocks kept.
    pub entries: u64,
    /// Bytes that count against the budget: pixels and overhead of the blocks kept.
    pub bytes: u64,
    /// What the cache's own structures take. The budget counts a share of them with every block.
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
        }
    }
}
