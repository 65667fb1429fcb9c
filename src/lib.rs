//! Opens rasters far larger than memory (satellite mosaics, terrain, microscope slides, photo collections) and serves
//! their blocks, windows and tiles, with a cache of decoded blocks for every dataset that the client steers.
//!
//! ```
//! use tilekeep::{Dataset, Encoding, MemorySource, OpenOptions, Resampling, SampleType, TileRequest, Window, WindowRequest};
//!
//! # fn main() -> tilekeep::Result<()> {
//! // A file is opened with `Dataset::open(path)`; this one is made up.
//! let pixels = (0..600 * 400).map(|i| (i % 600 / 3) as u8).collect();
//! let dataset = Dataset::from_source(
//!     MemorySource::new(600, 400, 1, SampleType::U8, (256, 256), pixels)?,
//!     &OpenOptions::default().cache_max_bytes(64 << 20),
//! )?;
//!
//! // A block: lent without a copy, found again as long as it is held.
//! let block = dataset.lock_block((0, 1, 0))?;
//! assert_eq!(block.bytes()[block.layout().offset(2, 0, 0)], 86);
//!
//! // A window: any rectangle, any size, any sample type.
//! let request = WindowRequest::new(0, Window::new(0, 0, 600, 400)).size(60, 40).resampling(Resampling::Average);
//! let mut small = vec![0; dataset.window_bytes(&request)?];
//! dataset.read_window(&request, &mut small)?;
//!
//! // A tile: what a viewer shows.
//! let tile = dataset.read_tile(&TileRequest::new(0, 0, 0).encoding(Encoding::Png))?;
//! assert_eq!(&tile.bytes[1..4], b"PNG");
//! # Ok(())
//! # }
//! ```
//!
//! # What is read
//!
//! TIFF and BigTIFF (GeoTIFF, COG): tiles and strips, both byte orders, pixel- and band-interleaved; uncompressed,
//! Deflate, LZW, PackBits, ZSTD, LZMA, LERC, JPEG, WebP, CCITT RLE, group 3 and group 4, NeXT and ThunderScan; with the
//! features `jpeg2000` and `jpegxl` also JPEG 2000 of unsigned integers and JPEG XL;
//! predictors 1 to 3; integers of 1 to 64 bits, floats of 16 to 64 bits, complex samples; stored overviews and masks;
//! several pages, as frames where they are alike, else each opened as a raster of its own ([`OpenOptions::page`]); sparse
//! blocks. PNG of every colour type and depth. JPEG, in files and in TIFF: baseline and progressive of 8 bits, sequential
//! of 12 bits.
//! The files beside a raster that say more of it are read too ([`Sidecars`]). Files are read by position, or mapped by a
//! client who can promise that nobody changes them
//! ([`OpenOptions::access_map`]). A client's own reader is a [`TileSource`]. Anything else is an error of kind
//! [`Unsupported`](ErrorKind::Unsupported) that names what was found.
//!
//! # How it fits together
//!
//! Each layer uses only what stands above it:
//!
//! | module | what it is |
//! | --- | --- |
//! | `error`, `sync` | the one error; locks and atomics |
//! | `cancel` | work that may be taken back, and the points where it asks |
//! | `memory` | the ledger of bytes; block memory, from a pool or lent, and copies of it; what the system has |
//! | `sample`, `grid` | sample types; levels, blocks, windows, geotransform |
//! | `block` | the immutable pixels of one block, in memory of ours or of the source |
//! | `cache` | byte-bounded, found without a lock, one load for many waiters, policies; knows no raster |
//! | `codec` | stored bytes to samples; knows no file |
//! | `source` | where bytes lie: TIFF, PNG, JPEG, memory; files read or mapped |
//! | `resample` | pixels out of other pixels |
//! | `catalog` | what was opened, shared and known afterwards; knows no raster |
//! | `dataset` | one opened raster and its cache; levels that are not stored; windows |
//! | `pressure` | the total, lowered while the system is short of memory |
//! | `style` | a picture's description, resolved against a dataset; samples to colours |
//! | `encode` | pixels to PNG, JPEG and WebP |
//! | `render` | tiles, the one cache of rendered tiles, and stores that keep them beyond the process |
//! | `request` | work that a viewer asks for and takes back, and the threads that do it |
//! | `ffi` | the same for C; nothing uses it |
//!
//! What holds at all times:
//!
//! 1. Only `source` reads rasters. `codec`, `resample` and `encode` are functions of bytes and blocks. `cache` knows no
//!    raster.
//! 2. No lock is held while a source, a codec or a callback runs, nor while an evicted block is freed. A thread holds
//!    one lock at a time; but for that of a viewport's handle in `ffi`, which is held around others while a frame is handed
//!    in, and which nobody takes who holds another.
//! 3. One load per block at a time. All who wait for it sleep, and get the same block or the same error. A failure is
//!    not remembered, concerns its one block, and pixels are never invented for it.
//!    The same holds for rendered tiles.
//! 4. A published block never changes.
//! 5. A locked block stays findable, unless the client says that the pixels changed. Blocks that are locked for long are
//!    in no eviction structure.
//! 6. Cached blocks, their overhead and loads under way stay within the budget of their dataset, rendered tiles within
//!    theirs, and all of them within the total. What a dataset was promised is not taken from it for another one. When
//!    what is locked, in use or being loaded leaves no room a further lock is refused; reads go on, uncached. Making a
//!    level that is not stored takes up to 8 MiB more for each such level on the way, up to 16 MiB where the decoder of a
//!    JPEG makes it, and what a source of one compressed stream keeps to find its way in it up to an eighth of the budget.
//!    A block that the source has in memory, as of a mapped file, takes none of ours.
//!    Nor is what a client has asked for in any budget while it has it: answers, and the tiles that a [`Viewport`] shows,
//!    which are those of its frame and of the coarsest level. Tiles loaded ahead for the viewports of a [`Requests`] take a
//!    quarter of the budget of rendered tiles at most, beside it.
//! 7. Level 0 is full resolution. Coordinates are pixels of their own level; levels, columns and rows of blocks and
//!    tiles count from the top left.
//! 8. No thread starts, but for those of a [`Requests`], the one of a [`PressureWatch`], and the one that writes to a store
//!    of tiles; no file is written, but for a store of tiles that the client names; no logger or panic hook is installed.
//! 9. A hit makes no system call and no allocation, nor does lending a block of a mapped file. Opening a file costs
//!    nothing per file beside it; opening one that is known costs one look at it, however many are known.
//! 10. An [`Identity`] is never that of other content. A file that changed is noticed when it is opened, by
//!     [`Dataset::revalidate`], and when it was closed meanwhile to have fewer files open; files beside it are looked at by
//!     [`Dataset::revalidate`] only.
//! 11. Whoever takes a request back is answered at once and disturbs nobody. When the last one goes, work that was not begun
//!     is dropped, and work that runs stops at its next check point and leaves nothing behind.
//!
//! Absent on purpose: one list of blocks for all datasets, a global list of drivers, an async runtime, warping between
//! coordinate systems.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod block;
mod cache;
mod cancel;
mod catalog;
mod codec;
mod dataset;
mod encode;
mod error;
#[doc(hidden)]
pub mod ffi;
mod grid;
mod memory;
mod pressure;
mod render;
mod request;
mod resample;
mod sample;
mod source;
mod style;
mod sync;

pub use cache::{CacheBudget, CacheClass, CachePolicy};
pub use dataset::{
    Advice, BlockRef, CacheUse, Dataset, Histogram, Layout, OpenOptions, ProcessStats, SharedBlock, Stats, TrimLevel,
    WindowRequest, catalog_max, catalog_stats, forget, process_stats, set_catalog_max, set_total_max, total_max, trim,
};

pub use catalog::CatalogStats;

pub use pressure::{PressureLevel, PressureOptions, PressureStats, PressureWatch};

pub use render::{
    Chroma, Edge, Encoding, StoreStats, Tile, TileBytes, TileCacheStats, TileKey, TileRequest, TileStore, TileStyle,
    clear_tile_cache, clear_tile_store, flush_tile_store, open_store, set_tile_cache_max, set_tile_store,
    tile_cache_max, tile_cache_stats, tile_store_error,
};

pub use request::{Answer, Arrival, Available, AvailablePart, Delivery, Request, RequestStats, Requests, Viewport};

pub use style::{
    BandChoice, Bound, Composite, Palette, RenderingIntent, Scheme, Style, StyleBand, StyleBands, StyleDtype,
    StyleNodata, StylePlan,
};

pub use block::{Block, BlockLayout, Interleave};
pub use grid::{BlockId, EdgeBlocks, Geotransform, Level, Window};
pub use memory::LentBytes;
pub use resample::Resampling;
pub use sample::SampleType;

pub use source::{
    Access, AssociatedImage, BandInfo, ColorInterpretation, Gcp, GeoKey, GeoKeyValue, Identity, Limits, MaskKind,
    MemorySource, MetadataItem, Nodata, OsCache, PageInfo, PictureFormat, ReadAt, ReadContext, Siblings, Sidecars,
    SourceInfo, Statistics, StoredPicture, Throttled, TileSource, check_block, conformance, max_open_files, open_page,
    open_path, open_reader, set_max_open_files,
};

pub use error::{Error, ErrorKind, Result};

/// The README's Rust program compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
