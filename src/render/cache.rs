//! The one cache of rendered tiles that all datasets of the process share.

use std::sync::OnceLock;

use crate::cache::{Account, Cache, CacheBudget, CachePolicy, ENTRY_OVERHEAD, Total};
use crate::dataset::CacheUse;
use crate::error::Result;
use crate::memory::{Class, Ledger};
use crate::sync::{Arc, AtomicU64, Ordering};

use super::key::TileKey;
use super::tile::Tile;

/// The budget until somebody says otherwise.
const DEFAULT_MAX: u64 = 64 << 20;

/// Rendered tiles, bounded in bytes; one rendering for many who ask.
pub(super) struct TileCache {
    tiles: Arc<Cache<TileKey, Tile>>,
    rendered: AtomicU64,
    passed: AtomicU64,
    failed: AtomicU64,
}

/// How a tile that was not in memory came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// Pixels were read, and styled or encoded.
    Rendered,
    /// The source stores just this file.
    #[allow(dead_code, reason = "no source says so yet")]
    Passed,
}

impl TileCache {
    pub(super) fn process() -> &'static Self {
        static PROCESS: OnceLock<TileCache> = OnceLock::new();
        PROCESS.get_or_init(|| Self::new(Total::process()))
    }

    fn new(total: &Arc<Total>) -> Self {
        let account = Account::open_apart(total, CacheBudget::Own(DEFAULT_MAX));
        let tiles = Arc::new(Cache::new(account, CachePolicy::default(), Ledger::child_of(Ledger::process())));
        tiles.share();
        Self { tiles, rendered: AtomicU64::new(0), passed: AtomicU64::new(0), failed: AtomicU64::new(0) }
    }

    /// The tile under `key`, from memory or made now. `most` is what it will hardly exceed, in bytes.
    pub(super) fn get_or_make(
        &self,
        key: TileKey,
        most: u64,
        cache_use: CacheUse,
        make: impl FnOnce() -> Result<(Tile, Made)>,
    ) -> Result<Tile> {
        // A tile is an encoded file more often than not, and then far smaller than its pixels.
        let most = most.min(self.tiles.max_bytes() / 8);
        let found = self.tiles.get_or_make(key, most, cache_use.mode(), || {
            let (mut tile, made) = make().inspect_err(|_| self.count(&self.failed))?;
            self.count(match made {
                Made::Rendered => &self.rendered,
                Made::Passed => &self.passed,
            });
            tile.bytes = tile.bytes.pooled();
            let bytes = tile.bytes.memory_bytes();
            Ok((tile, bytes))
        })?;
        Ok(found.clone())
    }

    fn count(&self, number: &AtomicU64) {
        number.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets the tiles of one raster.
    pub(super) fn remove_source(&self, source: u128) {
        self.tiles.remove_if(|key| key.source == source);
    }

    fn stats(&self) -> TileCacheStats {
        let counts = self.tiles.counts();
        TileCacheStats {
            hits: counts.hits,
            misses: counts.misses,
            coalesced: counts.coalesced,
            rendered: self.rendered.load(Ordering::Relaxed),
            passed: self.passed.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            evictions: counts.evictions,
            uncached: counts.uncached,
            entries: counts.entries,
            bytes: counts.bytes,
            overhead_bytes: counts.entries * ENTRY_OVERHEAD,
            loading_bytes: counts.loading_bytes,
            tile_bytes: Ledger::process().bytes(Class::Tile),
            max_bytes: counts.max_bytes,
        }
    }
}

/// What the cache of rendered tiles did since the process began, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TileCacheStats {
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
    /// Of `bytes`, what is counted for every tile beside its bytes.
    pub overhead_bytes: u64,
    /// Bytes set aside for tiles that are being made.
    pub loading_bytes: u64,
    /// Bytes of all tiles that exist, kept or only held by a client.
    pub tile_bytes: u64,
    /// The budget, or the total of all caches where that is less.
    pub max_bytes: u64,
}

/// Changes how many bytes of rendered tiles are kept, 64 MiB by default. What exceeds them goes at once; 0 keeps nothing.
///
/// They are a part of the total ([`set_total_max`](crate::set_total_max)) that no dataset can take.
pub fn set_tile_cache_max(bytes: u64) {
    TileCache::process().tiles.set_budget(CacheBudget::Own(bytes));
}

/// How many bytes of rendered tiles may be kept.
#[must_use]
pub fn tile_cache_max() -> u64 {
    TileCache::process().tiles.max_bytes()
}

/// What the cache of rendered tiles did, and holds.
#[must_use]
pub fn tile_cache_stats() -> TileCacheStats {
    TileCache::process().stats()
}

/// Forgets all rendered tiles in memory.
pub fn clear_tile_cache() {
    TileCache::process().tiles.remove_if(|_| true);
}
