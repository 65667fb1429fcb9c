//! TIFF and BigTIFF, with what GeoTIFF, GDAL and COG put into them.
//!
//! Directories are parsed once, when the file is opened; afterwards every block is read by position and decoded by
//! whoever asks for it, without a lock. The offset arrays are read a page at a time, when they are needed.

mod decode;
mod decompress;
mod directory;
mod frames;
mod geo;
mod image;
mod offsets;
mod pieces;
mod tags;
mod words;

use std::path::{Path, PathBuf};

use crate::block::BlockLayout;
use crate::codec::stream::StreamCodec;
use crate::error::{Error, ErrorKind, Result};
use crate::grid::BlockId;
use crate::memory::{Charge, Class, Ledger, LentBytes};
use crate::sync::{Arc, Mutex};

use super::access::FileUse;
use super::file::open_file;
use super::scratch::ScratchPool;
use super::{Limits, Nodata, ReadAt, ReadContext, SourceInfo, TileSource, check_block};
use directory::Parser;
use image::{Image, Stored};
use pieces::StripStream;
use tags::Compression;

/// A TIFF file and, where there is one, the `.ovr` file beside it.
pub(super) struct TiffSource {
    info: SourceInfo,
    frames: Vec<Frame>,
    scratch: ScratchPool,
    /// Where the last read of a strip in pieces stopped. Taken out while it is used, so that no lock is held while decoding.
    strip: Mutex<Option<StripStream>>,
    _metadata: Charge,
}

/// One picture of the file: an image a level, as in `info.levels`.
type Frame = Vec<LevelImage>;

struct LevelImage {
    reader: Arc<dyn ReadAt>,
    image: Image,
    /// Whether `reader` has the file in memory.
    lent: bool,
}

impl TiffSource {
    /// Whether a file that starts with these bytes calls itself a TIFF.
    pub(super) fn matches(head: &[u8]) -> bool {
        directory::Header::matches(head)
    }

    /// Reads the directories of `reader`. If it stores no overview and is the file at a `place`, those of the overview
    /// file beside it are read too.
    pub(super) fn open(reader: Arc<dyn ReadAt>, place: Option<(&Path, FileUse)>, limits: Limits) -> Result<Self> {
        let parser = Parser::new(&*reader, limits)?;
        let directories = parser.chain(parser.header.first)?;
        let first = &directories[0];
        let base = Image::parse(&parser, first, reader.len())?;
        check_block_bytes(&base, limits)?;

        let mut info = SourceInfo::new(
            if parser.header.big { "bigtiff" } else { "tiff" },
            vec![base.level],
            base.n_bands,
            base.sample,
        );
        info.compression = base.storage.compression.name().to_owned();
        info.interleave = base.interleave;
        info.n_bits = (base.storage.bits as usize != base.sample.bytes() * 8).then_some(base.storage.bits);
        info.colors =
            base.colors(&parser.unsigned(first, tags::EXTRA_SAMPLES, u64::from(base.n_bands))?.unwrap_or_default());
        // What only describes the pixels must not make them unreadable.
        info.nodata = words::nodata(&parser, first, base.sample).unwrap_or_default();
        info.geo_keys = geo::keys(&parser, first).unwrap_or_default();
        info.geotransform = geo::transform(&parser, first, &info.geo_keys).unwrap_or_default();
        info.metadata = words::metadata(&parser, first).unwrap_or_default();
        if base.photometric == tags::PHOTOMETRIC_PALETTE && base.n_bands == 1 {
            info.color_table = words::color_table(&parser, first, base.storage.bits).unwrap_or_default();
        }

        let mut frames = frames::read(&parser, &directories, &reader, base, limits);
        if let ([only], Some((path, file_use))) = (&mut frames[..], place)
            && only.len() == 1
        {
            let beside = external_overviews(path, file_use, limits);
            frames::add_overviews(only, beside, limits);
        }
        info.n_frames = u32::try_from(frames.len()).map_err(|_| Error::limit("too many frames"))?;
        info.levels = frames[0].iter().map(|image| image.image.level).collect();
        let memory = frames.iter().flatten().map(|i| i.image.memory_bytes()).sum();
        let metadata = Ledger::process().charge(Class::Metadata, memory);
        Ok(Self { info, frames, scratch: ScratchPool::default(), strip: Mutex::default(), _metadata: metadata })
    }

    /// The image that a block is part of. The block is there.
    fn image(&self, at: BlockId) -> &LevelImage {
        &self.frames[at.frame as usize][at.level as usize]
    }
}

impl LevelImage {
    fn new(reader: &Arc<dyn ReadAt>, image: Image) -> Self {
        Self { reader: Arc::clone(reader), image, lent: reader.lend(0, 0).is_some() }
    }

    /// Where the stored bytes of a block are; those of the whole strip, where a block is a piece of one that must be
    /// decoded.
    fn stored(&self, at: BlockId) -> Result<Stored> {
        let stored = self.image.stored(&*self.reader, at.plane, at.col, at.row)?;
        let Stored::At { offset, len } = stored else { return Ok(stored) };
        if !self.image.in_pieces || self.image.storage.compression != Compression::None {
            return Ok(stored);
        }
        let before = self.image.stored_bytes(self.image.level.block_height as usize);
        let before = before.and_then(|bytes| (bytes as u64).checked_mul(u64::from(at.row)));
        let offset = before.and_then(|before| offset.checked_add(before));
        match (offset, before) {
            (Some(offset), Some(before)) => Ok(Stored::At { offset, len: len.map(|len| len.saturating_sub(before)) }),
            _ => Err(Error::corrupt(format!("piece {} of a strip lies outside of any file", at.row))),
        }
    }

    /// The codec of a strip that is decoded in pieces.
    fn stream(&self) -> Option<StreamCodec> {
        self.image.storage.compression.stream().filter(|_| self.image.in_pieces)
    }

    /// How many of the stored bytes of a block are looked at, which decode to `decoded` bytes.
    fn len_to_read(&self, offset: u64, len: Option<u64>, decoded: u64) -> Result<usize> {
        let compression = self.image.storage.compression;
        let file_len = self.reader.len();
        let left = file_len.saturating_sub(offset);
        // No byte count: what is left of the file, which can be more than the block needs. Some writers state more than
        // there is of a block; decoders stop when the block is full.
        let len = len.unwrap_or(left).min(decoded.saturating_mul(2).saturating_add(1 << 20));
        if len > left {
            return Err(Error::new(
                ErrorKind::Io,
                format!("{len} bytes at {offset} reach past the end; {file_len} bytes were there at open"),
            ));
        }
        if len.saturating_mul(compression.max_ratio()) < decoded {
            return Err(Error::corrupt(format!(
                "{len} bytes of {} data cannot hold {decoded} bytes of pixels",
                compression.name()
            )));
        }
        usize::try_from(len).map_err(|_| Error::limit(format!("{len} bytes of a block")))
    }

    /// Reads the bytes of a block by position.
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.reader.read_at(offset, out)?;
        self.reader.was_read(offset, out.len() as u64);
        Ok(())
    }
}

/// Whether a block of `image` may be held: as it is presented and, where samples are widened, as it is stored too.
fn check_block_bytes(image: &Image, limits: Limits) -> Result<()> {
    let n_bands = if image.interleave == crate::block::Interleave::Band { 1 } else { image.n_bands };
    let size = (image.level.block_width, image.level.block_height);
    let layout = BlockLayout::new(size, 1, 1, n_bands, image.sample)?;
    let stored =
        if decode::stored_as_presented(image, &layout) { Some(0) } else { image.stored_bytes(size.1 as usize) };
    let bytes = stored.and_then(|stored| stored.checked_add(layout.bytes)).unwrap_or(usize::MAX);
    if bytes > limits.max_block_bytes {
        return Err(Error::limit(format!("blocks of {bytes} bytes, the limit is {} bytes", limits.max_block_bytes)));
    }
    Ok(())
}

/// The images of the file whose name is that of the raster with `.ovr` at its end.
fn external_overviews(path: &Path, file_use: FileUse, limits: Limits) -> Vec<LevelImage> {
    let mut name = path.as_os_str().to_owned();
    name.push(".ovr");
    let Ok((reader, _)) = open_file(&PathBuf::from(name), file_use) else { return Vec::new() };
    let Ok(parser) = Parser::new(&*reader, limits) else { return Vec::new() };
    let Ok(directories) = parser.chain(parser.header.first) else { return Vec::new() };
    directories
        .iter()
        .filter(|directory| frames::kind(&parser, directory) & tags::SUBFILE_MASK == 0)
        .filter_map(|directory| Image::parse(&parser, directory, reader.len()).ok())
        .map(|image| LevelImage::new(&reader, image))
        .collect()
}

impl TileSource for TiffSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], context: &mut ReadContext<'_>) -> Result<()> {
        let layout = check_block(&self.info, at, out)?;
        let level = self.image(at);
        let (offset, len) = match level.stored(at)? {
            Stored::Sparse => {
                fill(out, self.info.nodata, &layout);
                return Ok(());
            }
            Stored::At { offset, len } => (offset, len),
        };
        if let Some(codec) = level.stream() {
            return self.read_piece(level, at, codec, (offset, len), out, context);
        }
        if decode::stored_in_place(&level.image, &layout) {
            if let Some(len) = len.filter(|len| *len < out.len() as u64) {
                return Err(Error::corrupt(format!("{len} bytes are stored of {}", out.len())));
            }
            level.read(offset, out)?;
            decode::finish_order(&level.image, out);
            return Ok(());
        }
        let stored_bytes = level.image.stored_bytes(layout.bytes / layout.row_stride);
        let stored_bytes = stored_bytes.ok_or_else(|| Error::limit("a block is too large"))?;
        let len = level.len_to_read(offset, len, stored_bytes as u64)?;
        let lent = level.reader.lend(offset, len);
        self.scratch.with(|counted| {
            let scratch = &mut counted.scratch;
            if lent.is_none() {
                // All of them are written, so those that are there need not be zeros.
                scratch.bytes.resize(len, 0);
                level.read(offset, &mut scratch.bytes)?;
            }
            decode::decode(&level.image, &layout, lent.as_deref(), scratch, out)
        })
    }

    fn lend(&self, at: BlockId) -> Option<LentBytes<'_>> {
        let layout = self.info.block_layout(at).ok()?;
        let level = self.image(at);
        if !level.lent || !decode::stored_in_place(&level.image, &layout) || decode::is_turned(&level.image) {
            return None;
        }
        match level.stored(at).ok()? {
            Stored::At { offset, len } if len.is_none_or(|len| len >= layout.bytes as u64) => {
                level.reader.lend(offset, layout.bytes)
            }
            _ => None,
        }
    }

    fn is_a_copy(&self, at: BlockId) -> bool {
        let Ok(layout) = self.info.block_layout(at) else { return false };
        let level = self.image(at);
        let in_place = || decode::stored_in_place(&level.image, &layout) && !decode::is_turned(&level.image);
        level.reader.is_kept_by_system() && in_place()
    }

    /// May read the pages of the offset arrays that name the block, as reading the block would.
    fn will_need(&self, at: BlockId) {
        let Ok(layout) = self.info.block_layout(at) else { return };
        let level = self.image(at);
        // All of a strip to get at one piece of it: more than anybody would want.
        if level.stream().is_some() {
            return;
        }
        if let Ok(Stored::At { offset, len }) = level.stored(at) {
            level.reader.will_need(offset, len.unwrap_or(layout.bytes as u64));
        }
    }
}

/// Fills a block that the file does not store with nodata, or with zeros.
fn fill(out: &mut [u8], nodata: Option<Nodata>, layout: &BlockLayout) {
    use crate::sample::{Sample, with_sample};
    let Some(nodata) = nodata else {
        out.fill(0);
        return;
    };
    let part = layout.sample.part();
    with_sample!(part, T => {
        let value: T = match nodata {
            Nodata::Float(value) => Sample::from_f64(value),
            Nodata::Int(value) => Sample::from_i128(i128::from(value)),
            Nodata::UInt(value) => Sample::from_i128(i128::from(value)),
        };
        for sample in out.chunks_exact_mut(part.bytes()) {
            value.write(sample);
        }
    });
}
