//! One opened raster and its block cache.

mod advise;
mod blocks;
mod histogram;
mod layouts;
mod levels;
mod loan;
mod mask;
mod options;
mod process;
mod shared;
mod stats;
mod steer;
mod stored;
mod summary;
mod window;

use std::path::Path;
use std::sync::OnceLock;

use xxhash_rust::xxh3::xxh3_128;

use crate::block::{BlockLayout, OwnedBlock};
use crate::cache::{Account, Cache, Total};
use crate::error::{Error, ErrorKind, Result};
use crate::grid::{BlockId, Geotransform, Level, Window};
use crate::memory::Ledger;
use crate::resample::Resampling;
use crate::source::{self, Identity, Limits, RasterFile, SourceInfo, TileSource};
use crate::sync::{Arc, AtomicU64, Ordering};

pub use advise::Advice;
use advise::Advised;
pub use histogram::Histogram;
use layouts::Layouts;
use levels::Origin;
pub use loan::{BlockRef, SharedBlock};
pub use options::{CacheUse, OpenOptions};
pub(crate) use process::trim_beside;
pub use process::{ProcessStats, TrimLevel, process_stats, set_total_max, total_max, trim};
pub use shared::{catalog_max, catalog_stats, forget, set_catalog_max};
pub use stats::Stats;
use stats::Tally;
use summary::Summaries;
pub(crate) use summary::Summary;
pub use window::{Layout, WindowRequest};

/// Blocks that a dataset in a pool is promised when nobody says otherwise.
const LEAST_FLOOR: u64 = 32;

type BlockCache = Cache<BlockId, OwnedBlock>;

/// One opened raster with a cache of its own for decoded blocks.
///
/// A dataset is a handle: clones share the source and the cache, as do those who open the same file with equal options
/// ([`OpenOptions::shared`]), and every method may be called from any thread.
/// Coordinates are those of [`levels`](Self::levels).
///
/// ```
/// use tilekeep::{Dataset, MemorySource, OpenOptions, SampleType};
///
/// # fn main() -> tilekeep::Result<()> {
/// let source = MemorySource::new(512, 512, 1, SampleType::U8, (256, 256), vec![7; 512 * 512])?;
/// let dataset = Dataset::from_source(source, &OpenOptions::default())?;
/// let block = dataset.lock_block((0, 1, 1))?;
/// assert_eq!(block.bytes()[block.layout().offset(10, 20, 0)], 7);
/// assert_eq!(dataset.stats().loads, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Dataset {
    core: Arc<Core>,
}

struct Core {
    /// No two cores of the process have the same.
    number: u64,
    /// How often the client said that the pixels changed.
    epoch: AtomicU64,
    /// What rendered tiles are kept under: the same for all who opened the same file alike.
    tile_source: u128,
    /// Whether it is the same in other processes.
    has_shareable_tiles: bool,
    /// What the dataset is called in messages: its path, or the source's format.
    name: String,
    /// Where the source comes from; `None` for a client's own, and for what belongs to another dataset.
    file: Option<Arc<RasterFile>>,
    /// What the catalog calls the dataset, if it knows it.
    catalog_number: Option<u64>,
    source: Arc<dyn TileSource>,
    levels: Vec<Level>,
    origins: Vec<Origin>,
    layouts: Layouts,
    /// Pixels of level 0 that a pixel of each level measures, across and down.
    scales: Vec<(f64, f64)>,
    level_resampling: Resampling,
    /// Decoded bytes that one block may have.
    max_block_bytes: usize,
    advised: Advised,
    /// Shared apart from the rest, so that a lent block keeps its memory but not the file.
    cache: Arc<BlockCache>,
    /// Blocks that the source lent.
    mapped: Tally,
    /// The budget that the source was told of.
    shared_max: AtomicU64,
    /// What it keeps beside the blocks, as far as that was counted.
    counted_index: AtomicU64,
    /// The number of the first plane of the blocks: 0, but for a mask, whose blocks share the cache of its raster.
    first_plane: u32,
    /// The mask that the source stores, from when it is first asked for.
    mask: OnceLock<Option<Dataset>>,
    /// The ranges of samples that styles asked for.
    summaries: Summaries,
}

impl Core {
    /// Whether a block in the cache is one of the raster, or of the mask, that this is.
    #[inline]
    fn has(&self, at: BlockId) -> bool {
        (at.plane ^ self.first_plane) < mask::FIRST_PLANE
    }
}

impl Dataset {
    /// What every kept block counts against the budget beside its pixels, in bytes.
    pub const BLOCK_OVERHEAD: u64 = crate::cache::ENTRY_OVERHEAD;

    /// Opens the raster file at `path` with default options.
    ///
    /// # Errors
    ///
    /// `not found`, `i/o error`, `unsupported`, `corrupt` or `limit exceeded`; the message names the path.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// Opens the raster file at `path`. If it is open with equal options already, this is the same dataset, unless the
    /// options say otherwise ([`OpenOptions::shared`]).
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and `invalid argument` for a [page](OpenOptions::page) that the file does not have.
    pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        let path = path.as_ref();
        if options.is_shared() {
            return shared::open(path, options).map(|core| Self { core });
        }
        let file = source::open_file(path, options.file_use(), options.sidecars, options.page, options.limits)?;
        Self::of_file(path, Arc::new(file), None, options)
    }

    /// A dataset over a file that was opened by the name of `path`, and what the catalog calls it.
    fn of_file(path: &Path, file: Arc<RasterFile>, number: Option<u64>, options: &OpenOptions) -> Result<Self> {
        let source = Arc::clone(&file.source);
        Self::build(path.display().to_string(), Some((file, number)), source, options)
    }

    /// A dataset over a client's own source.
    ///
    /// # Errors
    ///
    /// `invalid argument` when the source's description contradicts itself, and when the options ask for a page, of which
    /// a source has none but itself ([`open_page`](crate::open_page) opens one).
    pub fn from_source(source: impl TileSource + 'static, options: &OpenOptions) -> Result<Self> {
        let (wanted, is) = (options.page, source.info().page);
        if wanted != 0 && wanted != is {
            return Err(Error::invalid(format!("page {wanted} of a source that was opened before, as page {is}")));
        }
        Self::build(source.info().format.clone(), None, Arc::new(source), options)
    }

    fn build(
        name: String,
        file: Option<(Arc<RasterFile>, Option<u64>)>,
        source: Arc<dyn TileSource>,
        options: &OpenOptions,
    ) -> Result<Self> {
        let ledger = Ledger::child_of(Ledger::process());
        let account = Account::open(Total::process(), options.cache_budget);
        let cache = Arc::new(Cache::new(account, options.cache_policy, ledger));
        cache.share();
        let dataset = Self::over(name, file, source, options.limits.max_block_bytes, cache, 0)?;
        dataset.suggest_floor(0);
        dataset.share_budget();
        Ok(dataset)
    }

    /// A dataset whose blocks are in `cache`, under planes from `first_plane` on.
    fn over(
        name: String,
        file: Option<(Arc<RasterFile>, Option<u64>)>,
        source: Arc<dyn TileSource>,
        max_block_bytes: usize,
        cache: Arc<BlockCache>,
        first_plane: u32,
    ) -> Result<Self> {
        let info = source.info();
        source::check_info(info).map_err(|error| error.context(&name))?;
        let (levels, origins) = levels::ladder(info);
        let scales = levels::scales(&levels);
        let layouts = Layouts::new(info, &levels);
        let level_resampling = levels::resampling(info);
        let (file, catalog_number) = file.map_or((None, None), |(file, number)| (Some(file), number));
        let number = next_number();
        let shared_tiles = file.as_ref().and_then(|file| file.tile_source());
        Ok(Self {
            core: Arc::new(Core {
                number,
                epoch: AtomicU64::new(0),
                tile_source: shared_tiles.unwrap_or_else(|| xxh3_128(&number.to_le_bytes())),
                has_shareable_tiles: shared_tiles.is_some(),
                name,
                file,
                catalog_number,
                source,
                levels,
                origins,
                layouts,
                scales,
                level_resampling,
                max_block_bytes,
                advised: Advised::default(),
                cache,
                mapped: Tally::default(),
                shared_max: AtomicU64::new(u64::MAX),
                counted_index: AtomicU64::new(0),
                first_plane,
                mask: OnceLock::new(),
                summaries: Summaries::default(),
            }),
        })
    }

    /// Promises the dataset what a window of so many blocks takes, at least 32 of them, unless its budget says something
    /// else.
    fn suggest_floor(&self, n_blocks: u64) {
        // The floor is that of the raster; its mask takes little beside it.
        if self.core.first_plane > 0 {
            return;
        }
        let Ok(layout) = self.block_layout((0, 0, 0)) else { return };
        let block = blocks::weight(&layout) + Self::BLOCK_OVERHEAD;
        self.core.cache.suggest_floor(block.saturating_mul(n_blocks.max(LEAST_FLOOR)));
    }

    /// What the source says of itself. Its `levels` are the stored ones only.
    #[must_use]
    pub fn info(&self) -> &SourceInfo {
        self.core.source.info()
    }

    /// All levels, finest first: the stored ones, and those that are made from a finer one when asked for.
    #[must_use]
    pub fn levels(&self) -> &[Level] {
        &self.core.levels
    }

    /// What makes the file the same file; `None` for a client's own source.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.core.file.as_ref().map(|file| &file.identity)
    }

    /// Looks whether the file, and those beside it that were read, are still those that were opened. A client's own source
    /// is not asked.
    ///
    /// # Errors
    ///
    /// `changed` when one of them is not: the dataset is then not shared any more, and opening the path again gives what is
    /// there now. The same when it cannot be told, because the file was opened so soon after it was written to that it has
    /// an identity of its own ([`Identity`]). Otherwise what looking met.
    pub fn revalidate(&self) -> Result<()> {
        let Some(file) = &self.core.file else { return Ok(()) };
        file.check().inspect_err(|error| {
            if error.kind() == ErrorKind::Changed {
                shared::forget_changed(&self.core, file);
            }
        })
    }

    /// Ground coordinates of the pixels of `level`. `None` when the source has none, or there is no such level.
    #[must_use]
    pub fn geotransform(&self, level: u32) -> Option<Geotransform> {
        let Geotransform(g) = self.info().geotransform?;
        let (across, down) = *self.core.scales.get(level as usize)?;
        Some(Geotransform([g[0], g[1] * across, g[2] * down, g[3], g[4] * across, g[5] * down]))
    }

    /// The associated picture of this name, one of [`SourceInfo::associated`], as a dataset of its own.
    ///
    /// Its cache takes a share of the total, as those of other datasets that are opened without a budget.
    ///
    /// # Errors
    ///
    /// `not found` when there is none of this name, otherwise what is wrong with it.
    pub fn associated(&self, name: &str) -> Result<Self> {
        let source = self.core.source.open_associated(name).map_err(|error| error.context(&self.core.name))?;
        let limits = Limits { max_block_bytes: self.core.max_block_bytes, ..Limits::default() };
        Self::build(format!("{}: {name}", self.core.name), None, source.into(), &OpenOptions::default().limits(limits))
    }

    /// The block of bytes of this name, one of [`SourceInfo::blobs`], as the file holds it. It is read now, and not kept.
    ///
    /// # Errors
    ///
    /// `not found` when there is none of this name, otherwise what reading it met.
    pub fn read_blob(&self, name: &str) -> Result<Vec<u8>> {
        self.core.source.read_blob(name).map_err(|error| error.context(&self.core.name))
    }

    /// How the block `at` lies in memory.
    ///
    /// # Errors
    ///
    /// `invalid argument` when there is no such block.
    pub fn block_layout(&self, at: impl Into<BlockId>) -> Result<BlockLayout> {
        self.shared_layout(at.into()).map(|layout| **layout)
    }

    fn shared_layout(&self, at: BlockId) -> Result<&Arc<BlockLayout>> {
        let core = &*self.core;
        // Wrapped around it is no plane at all.
        let at = at.with_plane(at.plane.wrapping_sub(core.first_plane));
        match core.layouts.find(at) {
            Some(layout) => Ok(layout),
            // It says why there is none.
            None => {
                Err(match self.level(at.level).and_then(|level| source::layout_in(level, at, core.source.info())) {
                    Err(error) => error,
                    Ok(_) => Error::internal(format!("{at} has a layout that was not found")),
                })
            }
        }
    }

    /// The level of this number.
    ///
    /// # Errors
    ///
    /// `invalid argument` when there is no such level.
    pub fn level(&self, level: u32) -> Result<&Level> {
        self.core.levels.get(level as usize).ok_or_else(|| {
            Error::invalid(format!("level {level}: the levels are numbered 0 to {}", self.core.levels.len() - 1))
        })
    }

    /// What the cache did and holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (mapped, index_bytes) = (self.core.mapped.sum(), self.core.source.index_bytes());
        Stats { mapped, index_bytes, ..Stats::new(&self.core.cache.counts(), self.core.cache.ledger()) }
    }

    /// Pixels of level 0 that a pixel of a level measures, across and down.
    pub(crate) fn scale(&self, level: u32) -> Option<(f64, f64)> {
        self.core.scales.get(level as usize).copied()
    }

    /// Which of all opened datasets it is; clones are the same one.
    pub(crate) fn number(&self) -> u64 {
        self.core.number
    }

    /// How often the client said that the pixels changed.
    pub(crate) fn epoch(&self) -> u64 {
        self.core.epoch.load(Ordering::Acquire)
    }

    /// What rendered tiles of the dataset are kept under.
    pub(crate) fn tile_source(&self) -> u128 {
        self.core.tile_source
    }

    /// Whether the tiles of the dataset may be kept where other processes find them.
    pub(crate) fn has_shareable_tiles(&self) -> bool {
        self.core.has_shareable_tiles
    }

    /// Forgets blocks and ranges, those too that are being read.
    pub(crate) fn forget_pixels(&self) {
        self.core.cache.forget();
        self.core.summaries.clear();
        // Last: what is found under the new number was made of what was read since.
        self.core.epoch.fetch_add(1, Ordering::Release);
    }

    /// How levels that are not stored are made: palette indices must not be mixed, unless they are a scale of greys.
    fn level_resampling(&self) -> Resampling {
        self.core.level_resampling
    }

    /// Checks that there is such a frame.
    fn check_frame(&self, frame: u32) -> Result<()> {
        let n_frames = self.info().n_frames;
        if frame < n_frames { Ok(()) } else { Err(no_frame(frame, n_frames)) }
    }

    pub(crate) fn check_window(&self, level: u32, window: &Window) -> Result<()> {
        let grid = self.level(level)?;
        let inside = window.width > 0
            && window.height > 0
            && window.x.checked_add(window.width).is_some_and(|right| right <= grid.width)
            && window.y.checked_add(window.height).is_some_and(|bottom| bottom <= grid.height);
        if inside {
            return Ok(());
        }
        Err(Error::invalid(format!("{window} does not lie in level {level} of {}x{}", grid.width, grid.height)))
    }
}

/// A number that no core of the process had before.
fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn no_frame(frame: u32, n_frames: u32) -> Error {
    Error::invalid(format!("frame {frame}: the frames are numbered 0 to {}", n_frames.saturating_sub(1)))
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dataset")
            .field("name", &self.core.name)
            .field("levels", &self.core.levels)
            .finish_non_exhaustive()
    }
}
