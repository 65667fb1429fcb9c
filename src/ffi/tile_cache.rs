//! The cache of rendered tiles.

use crate::error::Result;
use crate::render::{self, TileCacheStats};

use super::dataset::tilekeep_dataset;
use super::pointers::{Growing, Out, borrow, end_of, out};
use super::status::{guard, tilekeep_status};

/// What the cache of rendered tiles did since the process began, and what it holds.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct tilekeep_tile_stats {
    /// sizeof(tilekeep_tile_stats), set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Tiles found in memory.
    pub hits: u64,
    /// Tiles that were not.
    pub misses: u64,
    /// Misses that waited for a tile that somebody else was making.
    pub coalesced: u64,
    /// Tiles made of pixels: styled, encoded or both.
    pub rendered: u64,
    /// Tiles that the source stores as they were asked for, so that nothing was decoded.
    pub passed: u64,
    /// Tiles that could not be made.
    pub failed: u64,
    /// Tiles forgotten to make room.
    pub evictions: u64,
    /// Tiles handed out without being kept: the budget had no room, or the reader only passed through.
    pub uncached: u64,
    /// Tiles kept.
    pub entries: u64,
    /// Bytes that count against the budget: tiles kept, and their overhead.
    pub bytes: u64,
    /// Of bytes, what is counted for every tile beside its bytes.
    pub overhead_bytes: u64,
    /// Bytes set aside for tiles that are being made.
    pub loading_bytes: u64,
    /// Bytes of all tiles that exist, kept or only held by a client.
    pub tile_bytes: u64,
    /// The budget, or the total of all caches where that is less.
    pub max_bytes: u64,
    /// Tiles found in the store; this and what follows since it was set, zeros without one.
    pub store_hits: u64,
    /// Tiles that were not in the store.
    pub store_misses: u64,
    /// Tiles that the store was not asked for, because it failed a moment ago.
    pub store_skipped: u64,
    /// Questions to the store and writes to it that failed.
    pub store_errors: u64,
    /// Values that came back damaged, and were removed.
    pub store_damaged: u64,
    /// Tiles written to the store.
    pub store_written: u64,
    /// Tiles that were not written: too many waited, or the write failed.
    pub store_dropped: u64,
    /// Bytes of the values that came back.
    pub store_read_bytes: u64,
    /// Bytes of the values written.
    pub store_written_bytes: u64,
    /// Bytes that wait to be written now.
    pub store_queued_bytes: u64,
}

// SAFETY: `repr(C)`, integers only, size first.
unsafe impl Growing for tilekeep_tile_stats {
    const NAME: &'static str = "tilekeep_tile_stats";
    const OLDEST: usize = end_of!(tilekeep_tile_stats, store_queued_bytes);

    fn defaults() -> Self {
        Self::default()
    }
}

impl From<TileCacheStats> for tilekeep_tile_stats {
    fn from(stats: TileCacheStats) -> Self {
        Self {
            struct_size: 0,
            reserved: 0,
            hits: stats.hits,
            misses: stats.misses,
            coalesced: stats.coalesced,
            rendered: stats.rendered,
            passed: stats.passed,
            failed: stats.failed,
            evictions: stats.evictions,
            uncached: stats.uncached,
            entries: stats.entries,
            bytes: stats.bytes,
            overhead_bytes: stats.overhead_bytes,
            loading_bytes: stats.loading_bytes,
            tile_bytes: stats.tile_bytes,
            max_bytes: stats.max_bytes,
            store_hits: stats.store.hits,
            store_misses: stats.store.misses,
            store_skipped: stats.store.skipped,
            store_errors: stats.store.errors,
            store_damaged: stats.store.damaged,
            store_written: stats.store.written,
            store_dropped: stats.store.dropped,
            store_read_bytes: stats.store.read_bytes,
            store_written_bytes: stats.store.written_bytes,
            store_queued_bytes: stats.store.queued_bytes,
        }
    }
}

/// Changes how many bytes of rendered tiles are kept, for all datasets together. Until it is called they are a 64th of the
/// memory that the process may use, as tilekeep_set_total_max describes it, from 2 to 64 MiB. What exceeds them goes at once;
/// 0 keeps nothing. They are a part of the total that no dataset can take.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn tilekeep_set_tile_cache_max(bytes: u64) -> tilekeep_status {
    guard(|| {
        render::set_tile_cache_max(bytes);
        Ok(())
    })
}

/// Says how many bytes of rendered tiles may be kept: the budget, or the total where that is less.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_get_tile_cache_max(bytes_out: *mut u64) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        *unsafe { out(bytes_out, "bytes_out") }? = render::tile_cache_max();
        Ok(())
    })
}

/// Says what the cache of rendered tiles did and holds.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_tile_cache_stats(stats_out: *mut tilekeep_tile_stats) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        unsafe { Out::new(stats_out) }?.write(&render::tile_cache_stats().into());
        Ok(())
    })
}

/// Forgets all rendered tiles in memory.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn tilekeep_clear_tile_cache() -> tilekeep_status {
    guard(|| {
        render::clear_tile_cache();
        Ok(())
    })
}

/// Forgets all that is known of the dataset's pixels: blocks, ranges that styles asked for, rendered tiles. For a
/// client's own source whose pixels changed. A block that is locked stays as it is for those who hold it, and nobody
/// finds it again. What is being read or rendered meanwhile is not found afterwards either.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_invalidate(dataset: *const tilekeep_dataset) -> tilekeep_status {
    guard(|| -> Result<()> {
        // SAFETY: the header's rules for pointers.
        unsafe { borrow(dataset, "dataset") }?.dataset.invalidate()
    })
}
