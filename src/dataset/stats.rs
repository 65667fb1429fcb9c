//! What the cache of a dataset did and holds.

use super::BlockCache;
use crate::memory::Class;

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
    /// Of `bytes`, those of locked blocks and of blocks in use.
    pub locked_bytes: u64,
    /// Bytes set aside for loads under way.
    pub loading_bytes: u64,
    /// Bytes of pixels of all blocks of the dataset that exist, kept or only lent.
    pub pixel_bytes: u64,
    /// The budget.
    pub max_bytes: u64,
}

impl Stats {
    pub(super) fn new(cache: &BlockCache) -> Self {
        let counts = cache.counts();
        Self {
            hits: counts.hits,
            misses: counts.misses,
            loads: counts.loads,
            failed_loads: counts.failed_loads,
            coalesced: counts.coalesced,
            siblings: counts.siblings,
            evictions: counts.evictions,
            uncached: counts.uncached,
            entries: counts.entries,
            structure_bytes: counts.structure_bytes,
            bytes: counts.bytes,
            locked_bytes: counts.locked_bytes,
            loading_bytes: counts.loading_bytes,
            pixel_bytes: cache.ledger().bytes(Class::Block),
            max_bytes: counts.max_bytes,
        }
    }
}
