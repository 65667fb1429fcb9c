//! What a cache did and holds, in numbers.

/// What happened in a cache since it was made, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) loads: u64,
    pub(crate) failed_loads: u64,
    /// Loads of a value that had been loaded before.
    pub(crate) redundant_loads: u64,
    /// Time spent in loads that succeeded, all threads together.
    pub(crate) load_nanos: u64,
    /// Misses that found their load under way and waited for it.
    pub(crate) coalesced: u64,
    /// Values that came beside one that was asked for.
    pub(crate) siblings: u64,
    pub(crate) evictions: u64,
    /// Loads whose value the budget had no room for.
    pub(crate) uncached: u64,
    /// Bytes of entries, overhead included.
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    /// What the structures of the cache itself take.
    pub(crate) structure_bytes: u64,
    pub(crate) locked_bytes: u64,
    pub(crate) dirty_bytes: u64,
    /// Bytes of entries that were dirty when their cache went: nobody wrote them.
    pub(crate) lost_bytes: u64,
    pub(crate) loading_bytes: u64,
    pub(crate) max_bytes: u64,
}

impl Counts {
    /// Adds what another cache did and holds; the budgets are not added.
    pub(super) fn add(&mut self, other: &Self) {
        let Self {
            hits,
            misses,
            loads,
            failed_loads,
            redundant_loads,
            load_nanos,
            coalesced,
            siblings,
            evictions,
            uncached,
            bytes,
            entries,
            structure_bytes,
            locked_bytes,
            dirty_bytes,
            lost_bytes,
            loading_bytes,
            max_bytes: _,
        } = *other;
        for (sum, n) in [
            (&mut self.hits, hits),
            (&mut self.misses, misses),
            (&mut self.loads, loads),
            (&mut self.failed_loads, failed_loads),
            (&mut self.redundant_loads, redundant_loads),
            (&mut self.load_nanos, load_nanos),
            (&mut self.coalesced, coalesced),
            (&mut self.siblings, siblings),
            (&mut self.evictions, evictions),
            (&mut self.uncached, uncached),
            (&mut self.bytes, bytes),
            (&mut self.entries, entries),
            (&mut self.structure_bytes, structure_bytes),
            (&mut self.locked_bytes, locked_bytes),
            (&mut self.dirty_bytes, dirty_bytes),
            (&mut self.lost_bytes, lost_bytes),
            (&mut self.loading_bytes, loading_bytes),
        ] {
            *sum += n;
        }
    }

    /// What stays true of a cache that is gone.
    pub(super) fn of_the_past(&self) -> Self {
        Self {
            bytes: 0,
            entries: 0,
            structure_bytes: 0,
            locked_bytes: 0,
            dirty_bytes: 0,
            loading_bytes: 0,
            max_bytes: 0,
            ..*self
        }
    }
}
