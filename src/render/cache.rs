//! The one cache of rendered tiles that all datasets of the process share.

use std::sync::OnceLock;

use crate::cache::{Account, Cache, CacheBudget, CachePolicy, ENTRY_OVERHEAD, Total};
use crate::dataset::CacheUse;
use crate::encode::Encoding;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{Class, Ledger, default_budget};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};

use super::key::TileKey;
use super::store::{StoreOptions, StoreStats, StoreTier, StoredTile, TileHeader, TileStore, seal};
use super::tile::Tile;

/// The budget until somebody says otherwise: this part of the memory that the process may use, within bounds.
const DEFAULT_PART: u64 = 64;
const DEFAULT_LEAST: u64 = 2 << 20;
const DEFAULT_MOST: u64 = 64 << 20;

/// Rendered tiles, bounded in bytes; one rendering for many who ask.
pub(super) struct TileCache {
    tiles: Arc<Cache<TileKey, Tile>>,
    rendered: AtomicU64,
    passed: AtomicU64,
    failed: AtomicU64,
    /// Where tiles are kept beside memory.
    tier: Mutex<Option<Arc<StoreTier>>>,
}

/// Which tile is wanted, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) key: TileKey,
    /// Bytes that it will hardly exceed.
    pub(super) most: u64,
    pub(super) cache_use: CacheUse,
    /// Whether the key means the same to other processes.
    pub(super) is_shareable: bool,
    pub(super) encoding: Encoding,
}

/// How a tile that was not in memory came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// Pixels were read, and styled or encoded.
    Rendered,
    /// The source stores just this file.
    Passed,
}

impl TileCache {
    pub(super) fn process() -> &'static Self {
        static PROCESS: OnceLock<TileCache> = OnceLock::new();
        PROCESS.get_or_init(|| Self::new(Total::process()))
    }

    fn new(total: &Arc<Total>) -> Self {
        let budget = default_budget(DEFAULT_PART, DEFAULT_LEAST, DEFAULT_MOST);
        let account = Account::open_apart(total, CacheBudget::Own(budget));
        let tiles = Arc::new(Cache::new(account, CachePolicy::default(), Ledger::child_of(Ledger::process())));
        tiles.share();
        Self {
            tiles,
            rendered: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            tier: Mutex::new(None),
        }
    }

    /// The tile that is wanted: from memory, from the store, or made now.
    pub(super) fn get_or_make(&self, wanted: &Wanted, make: impl FnOnce() -> Result<(Tile, Made)>) -> Result<Tile> {
        self.get_or_fetch(wanted, |tier| tier.get(wanted.key), make)
    }

    /// As [`get_or_make`](Self::get_or_make), with `fetch` for what the store has.
    pub(super) fn get_or_fetch(
        &self,
        wanted: &Wanted,
        fetch: impl FnOnce(&StoreTier) -> Option<StoredTile>,
        make: impl FnOnce() -> Result<(Tile, Made)>,
    ) -> Result<Tile> {
        // A tile is an encoded file more often than not, and then far smaller than its pixels.
        let most = wanted.most.min(self.tiles.max_bytes() / 8);
        let found = self.tiles.get_or_make(wanted.key, most, wanted.cache_use.mode(), || {
            let tier = if wanted.is_shareable { self.tier() } else { None };
            let stored = tier.as_deref().and_then(fetch);
            let mut tile = match stored.filter(|stored| is_whole(stored, wanted.encoding)) {
                Some(stored) => opened(stored),
                None => {
                    let (tile, made) = make().inspect_err(|error| {
                        if error.kind() != ErrorKind::Cancelled {
                            self.count(&self.failed);
                        }
                    })?;
                    self.count(match made {
                        Made::Rendered => &self.rendered,
                        Made::Passed => &self.passed,
                    });
                    if let Some(tier) = tier.filter(|_| wanted.cache_use != CacheUse::NoCache) {
                        tier.put(wanted.key, seal(wanted.key, &header(&tile, wanted.encoding), &tile.bytes));
                    }
                    tile
                }
            };
            tile.bytes = tile.bytes.pooled();
            let bytes = tile.bytes.memory_bytes();
            Ok((tile, bytes))
        })?;
        Ok(found.clone())
    }

    /// The tile if it is in memory, which counts as a use of it.
    pub(super) fn peek(&self, key: TileKey) -> Option<Tile> {
        self.tiles.get(&key, CacheUse::Normal.mode()).map(|found| found.clone())
    }

    /// What the store has of those that are not in memory, with one question; in their order.
    pub(super) fn fetch_many(&self, wanted: &[Wanted]) -> Vec<Option<StoredTile>> {
        let mut fetched = vec![None; wanted.len()];
        let asked: Vec<usize> =
            (0..wanted.len()).filter(|i| wanted[*i].is_shareable && !self.tiles.contains(&wanted[*i].key)).collect();
        if let (Some(tier), false) = (self.tier(), asked.is_empty()) {
            let keys: Vec<_> = asked.iter().map(|i| wanted[*i].key).collect();
            asked.into_iter().zip(tier.get_many(&keys)).for_each(|(i, tile)| fetched[i] = tile);
        }
        fetched
    }

    fn tier(&self) -> Option<Arc<StoreTier>> {
        self.tier.lock().clone()
    }

    /// Forgets the tiles of one raster; an error when the store may still have some.
    pub(super) fn remove_source(&self, source: u128, is_shareable: bool) -> Result<()> {
        self.tiles.remove_if(|key| key.source == source);
        // What is not shareable was never stored.
        self.tier().filter(|_| is_shareable).map_or(Ok(()), |tier| tier.remove_source(source))
    }

    fn count(&self, number: &AtomicU64) {
        number.fetch_add(1, Ordering::Relaxed);
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
            store: self.tier().map_or_else(StoreStats::default, |tier| tier.stats()),
        }
    }
}

fn header(tile: &Tile, encoding: Encoding) -> TileHeader {
    let form = encoding.number();
    TileHeader { width: tile.width, height: tile.height, n_bands: tile.n_bands, sample: tile.sample, form }
}

/// Whether it is a tile in this encoding and, without a file around its samples, they are as many as it says. A checksum
/// is no signature.
fn is_whole(StoredTile { header, bytes }: &StoredTile, encoding: Encoding) -> bool {
    let n = |n: u32| usize::try_from(n).ok();
    let samples =
        n(header.width).zip(n(header.height)).and_then(|(w, h)| w.checked_mul(h)?.checked_mul(n(header.n_bands)?));
    let n_bytes = || samples.and_then(|samples| samples.checked_mul(header.sample.bytes()));
    header.form == encoding.number() && (!encoding.is_raw() || n_bytes() == Some(bytes.len()))
}

fn opened(StoredTile { header, bytes }: StoredTile) -> Tile {
    let TileHeader { width, height, n_bands, sample, form: _ } = header;
    Tile { bytes: bytes.into(), width, height, n_bands, sample }
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
    /// What was asked of the store since it was set; zeros without one.
    pub store: StoreStats,
}

/// Changes how many bytes of rendered tiles are kept. What exceeds them goes at once; 0 keeps nothing.
///
/// Until this is called they are a 64th of the memory that the process may use, as [`set_total_max`](crate::set_total_max)
/// describes it, from 2 to 64 MiB.
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

/// Keeps rendered tiles in `store` too, beyond this process's memory; `None` for no store, as at first. A tile that is not
/// in memory is looked for there before it is made, and written there by a thread of its own after it was made. A store
/// that fails costs nobody a tile: see [`StoreStats`].
///
/// Only tiles of files are stored, and of those not the ones that changed the moment before they were opened. They are
/// known by path, device and inode, so that processes of one machine share them. Tiles that wait to be written to the store
/// before go there first, for up to 5 s, if no thread is asking it just then.
///
/// # Errors
///
/// `i/o error` when the system gives no thread.
///
/// ```
/// # fn main() -> tilekeep::Result<()> {
/// # let dir = std::env::temp_dir().join("tilekeep-doc-store");
/// # #[cfg(feature = "disk")]
/// tilekeep::set_tile_store(tilekeep::open_store(&format!("disk:{}?max=1G", dir.display()))?)?;
/// tilekeep::set_tile_store(None)?;
/// # let _ = std::fs::remove_dir_all(dir);
/// # Ok(())
/// # }
/// ```
pub fn set_tile_store(store: Option<Box<dyn TileStore>>) -> Result<()> {
    let tier = store.map(|store| StoreTier::new(store, StoreOptions::default())).transpose()?;
    let before = std::mem::replace(&mut *TileCache::process().tier.lock(), tier.map(Arc::new));
    drop(before);
    Ok(())
}

/// Returns when the tiles made so far are in the store, or were dropped because it failed.
pub fn flush_tile_store() {
    if let Some(tier) = TileCache::process().tier() {
        tier.flush();
    }
}

/// Forgets what tilekeep has in the store, for all who share it.
///
/// # Errors
///
/// `store error` when some of it may still be there; `not found` when there is no store.
pub fn clear_tile_store() -> Result<()> {
    let tier = TileCache::process().tier();
    tier.ok_or_else(|| Error::new(ErrorKind::NotFound, "no tile store is set"))?.clear()
}

/// What the store failed with last, however long ago.
#[must_use]
pub fn tile_store_error() -> Option<Error> {
    TileCache::process().tier()?.last_error()
}
