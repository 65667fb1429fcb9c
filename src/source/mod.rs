//! Where blocks come from: the [`TileSource`] trait and the sources of this crate.

mod access;
mod bands;
pub mod conformance;
mod file;
mod handles;
mod identity;
mod info;
mod jpeg;
mod jpeg_marks;
mod limits;
mod mapped;
mod memory;
mod numbers;
mod open;
mod pages;
mod png;
mod restarts;
mod rows;
mod scratch;
mod sidecar;
mod throttled;
mod tiff;
mod together;
mod xml;

pub use access::{Access, OsCache, Sidecars};
pub(crate) use access::{FileUse, MapPromise};
pub use bands::{AssociatedImage, BandInfo, Gcp, MaskKind, Statistics};
pub use file::ReadAt;
pub(crate) use handles::open_files;
pub use handles::{max_open_files, set_max_open_files};
pub use identity::Identity;
pub(crate) use identity::{Stamp, look, native_bytes};
pub use info::{ColorInterpretation, GeoKey, GeoKeyValue, MetadataItem, Nodata, SourceInfo};
pub(crate) use info::{check_info, layout_in};
pub use limits::Limits;
pub use memory::MemorySource;
pub(crate) use open::{RasterFile, open_file};
pub use open::{open_page, open_path, open_reader};
pub use pages::PageInfo;
pub use throttled::Throttled;

use crate::block::BlockLayout;
use crate::cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::grid::{BlockId, Window};
use crate::memory::LentBytes;
use crate::sync::Arc;

/// A raster that can deliver its blocks from any number of threads at once.
///
/// A source describes itself once, in [`info`](Self::info), and then only reads. It keeps no pixels, but for those that it
/// decodes at once: caching is what the dataset above it is for. [`conformance::check`] runs every promise of this trait against an implementation.
pub trait TileSource: Send + Sync {
    /// What the source holds. The same for as long as the source lives, and free of I/O.
    fn info(&self) -> &SourceInfo;

    /// Reads the block `at` into `out`, samples in native byte order, as [`SourceInfo::block_layout`] lays them out.
    ///
    /// `out` has exactly the layout's `bytes` and holds old bytes of other blocks: all of the valid pixels must be
    /// written before this returns `Ok`. A failure concerns this one block; others stay readable. It must not read from
    /// the dataset that it is the source of: that would wait for itself.
    ///
    /// # Errors
    ///
    /// `invalid argument` for a place outside the source, otherwise what the bytes of the block make necessary.
    fn read_block(&self, at: BlockId, out: &mut [u8], context: &mut ReadContext<'_>) -> Result<()>;

    /// The block `at` where it is, for a source that has it in memory as [`read_block`](Self::read_block) would write it.
    ///
    /// A dataset asks before it reads: what is lent takes no memory of its own, is in no cache and counts against no
    /// budget. The bytes must be as many as the layout has and never change; those that do not start at a multiple of the
    /// size of a sample are not used. This is asked again for every use of the block, so it should cost next to nothing.
    /// `None` by default, for places outside the source, and for a block that must be read, which then says what is
    /// wrong with it.
    fn lend(&self, _at: BlockId) -> Option<LentBytes<'_>> {
        None
    }

    /// The picture of exactly the pixels of `window`, as the source stores it: a file that shows in any viewer what
    /// [`read_block`](Self::read_block) reads of all bands, without being decoded here.
    ///
    /// A dataset asks where a tile of such a file was asked for and nothing is to be changed about its pixels. Most windows
    /// are no stored picture: `None` for those, for places outside the source, and for a picture that is not all there or
    /// whose markers say more than its pixels (an orientation), which is then decoded. `None` by default.
    fn stored_picture(
        &self,
        _frame: u32,
        _level: u32,
        _window: &Window,
        _context: &mut ReadContext<'_>,
    ) -> Option<StoredPicture> {
        None
    }

    /// Hears that the block `at` will be read soon. Advice: nothing by default, and no failure is reported. It must not
    /// wait for the block to be there.
    fn will_need(&self, _at: BlockId) {}

    /// Whether to read the block `at` is to copy bytes that the operating system keeps in a cache of its own, without
    /// decoding them. The default policy keeps such blocks only when they are read again, as long as reading is measured
    /// to be as cheap as that. `false` by default.
    fn is_a_copy(&self, _at: BlockId) -> bool {
        false
    }

    /// Hears how many bytes it may keep beside the blocks that it is read for, as an index of the places in its stream
    /// from which it can decode on. A dataset says an eighth of its budget. Returns how many bytes it will hold at most, the
    /// decoders that it keeps between reads included: its blocks have so much less of the budget, but three quarters of it
    /// in any case. Nothing by default.
    fn may_keep(&self, _bytes: u64) -> u64 {
        0
    }

    /// Bytes of such an index that there are now; 0 by default.
    fn index_bytes(&self) -> u64 {
        0
    }

    /// About how many bytes the source holds as long as nobody reads: its description, tables, offsets that were read.
    fn metadata_bytes(&self) -> u64 {
        self.info().memory_bytes()
    }

    /// Hears that nobody has it open, and that it is kept in case it is opened again. It gives up buffers, decoders, indices
    /// and open files, which it makes again when it is read. Nothing by default.
    fn rest(&self) {}

    /// The mask that the source stores, as a raster of bytes: 0 where there is nothing, 255 where a pixel is valid. Its
    /// level 0 has the size of the source's own, and its bands are the [`n_mask_bands`](SourceInfo::n_mask_bands) of the
    /// source. `None` by default.
    fn mask(&self) -> Option<Arc<dyn TileSource>> {
        None
    }

    /// The picture of this name, one of the [`associated`](SourceInfo::associated) ones. None by default.
    ///
    /// # Errors
    ///
    /// `not found` when there is none of this name, otherwise what is wrong with it.
    fn open_associated(&self, name: &str) -> Result<Box<dyn TileSource>> {
        Err(no_such("picture", name))
    }

    /// The block of bytes of this name, one of [`blobs`](SourceInfo::blobs), as the file holds it. None by default.
    ///
    /// # Errors
    ///
    /// `not found` when there is none of this name, otherwise what reading it met.
    fn read_blob(&self, name: &str) -> Result<Vec<u8>> {
        Err(no_such("block of bytes", name))
    }
}

/// A picture as its source stores it; see [`TileSource::stored_picture`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPicture {
    /// What kind of file it is.
    pub format: PictureFormat,
    /// The file.
    pub file: Vec<u8>,
}

/// A kind of file that viewers show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PictureFormat {
    /// JPEG of one component, grey, or of three, which its markers say to be YCbCr or RGB. Baseline or progressive.
    Jpeg,
    /// PNG. One of indices has the colours of [`SourceInfo::color_table`].
    Png,
    /// WebP, lossy or lossless, of three bands, or of four where the fourth is opacity.
    WebP,
}

fn no_such(what: &str, name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no {what} called {name:?}"))
}

/// A pointer to a source is the same source.
macro_rules! forward_to_source {
    ($pointer:ident) => {
        impl<S: TileSource + ?Sized> TileSource for $pointer<S> {
            fn info(&self) -> &SourceInfo {
                (**self).info()
            }

            fn read_block(&self, at: BlockId, out: &mut [u8], context: &mut ReadContext<'_>) -> Result<()> {
                (**self).read_block(at, out, context)
            }

            fn lend(&self, at: BlockId) -> Option<LentBytes<'_>> {
                (**self).lend(at)
            }

            fn stored_picture(
                &self,
                frame: u32,
                level: u32,
                window: &Window,
                context: &mut ReadContext<'_>,
            ) -> Option<StoredPicture> {
                (**self).stored_picture(frame, level, window, context)
            }

            fn will_need(&self, at: BlockId) {
                (**self).will_need(at);
            }

            fn is_a_copy(&self, at: BlockId) -> bool {
                (**self).is_a_copy(at)
            }

            fn may_keep(&self, bytes: u64) -> u64 {
                (**self).may_keep(bytes)
            }

            fn index_bytes(&self) -> u64 {
                (**self).index_bytes()
            }

            fn metadata_bytes(&self) -> u64 {
                (**self).metadata_bytes()
            }

            fn rest(&self) {
                (**self).rest();
            }

            fn mask(&self) -> Option<Arc<dyn TileSource>> {
                (**self).mask()
            }

            fn open_associated(&self, name: &str) -> Result<Box<dyn TileSource>> {
                (**self).open_associated(name)
            }

            fn read_blob(&self, name: &str) -> Result<Vec<u8>> {
                (**self).read_blob(name)
            }
        }
    };
}

forward_to_source!(Arc);
forward_to_source!(Box);

/// What the reader of a block and the source say to each other while it is read.
#[derive(Default)]
pub struct ReadContext<'a> {
    siblings: Option<&'a mut dyn Siblings>,
}

impl<'a> ReadContext<'a> {
    /// Goes on, or fails when nobody wants the block any more: for a source to ask between reads and decoding steps, at
    /// points where it can stop and be read again. What `read_block` then returns is this error.
    ///
    /// # Errors
    ///
    /// `cancelled` when the last request for the block was taken back while it was read.
    #[inline]
    pub fn check(&self) -> Result<()> {
        cancel::check()
    }

    /// A context whose reader takes blocks that it did not ask for.
    pub fn with_siblings(siblings: &'a mut dyn Siblings) -> Self {
        Self { siblings: Some(siblings) }
    }

    /// Offers a block that was decoded on the way to the one asked for.
    ///
    /// When the reader wants it, `fill` is called once with its memory (see [`TileSource::read_block`] for what it
    /// must do); a source that has to decode in one go thereby decodes once. Returns whether it was taken: not when
    /// `fill` fails.
    pub fn offer(&mut self, at: BlockId, fill: &mut dyn FnMut(&mut [u8]) -> Result<()>) -> bool {
        self.siblings.as_mut().is_some_and(|siblings| siblings.offer(at, fill))
    }
}

/// A reader that takes blocks it did not ask for; see [`ReadContext::offer`].
pub trait Siblings {
    /// Takes the block `at` by calling `fill` with its memory, or declines by returning `false`. A block whose `fill`
    /// fails must be forgotten: its memory holds anything.
    fn offer(&mut self, at: BlockId, fill: &mut dyn FnMut(&mut [u8]) -> Result<()>) -> bool;
}

/// Checks a block's place and its memory, as every source must before it reads, and gives the block's layout.
///
/// # Errors
///
/// `invalid argument` when `at` lies outside the source or `out` has the wrong length.
pub fn check_block(info: &SourceInfo, at: BlockId, out: &[u8]) -> Result<BlockLayout> {
    let layout = info.block_layout(at)?;
    if layout.bytes != out.len() {
        return Err(Error::invalid(format!("{at} takes {} bytes, the memory given has {}", layout.bytes, out.len())));
    }
    Ok(layout)
}
