//! One directory as an image: sizes, samples, and how its blocks are stored.

use crate::block::Interleave;
use crate::codec::ycbcr::Conversion;
use crate::error::{Error, Result};
use crate::grid::{EdgeBlocks, Level};
use crate::sample::SampleType;
use crate::source::ColorInterpretation;

use super::directory::{Directory, Parser};
use super::offsets::LazyArray;
use super::storage::{Storage, StripCodec, sample_type, storage};
use super::strip_jpeg;
use super::tags::{self, Compression};

/// The image of one directory.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) level: Level,
    pub(super) n_bands: u32,
    pub(super) sample: SampleType,
    pub(super) interleave: Interleave,
    pub(super) photometric: u64,
    pub(super) storage: Storage,
    /// Whether a block is a piece of the one strip that a plane has: a strip that large is not held at once.
    pub(super) in_pieces: bool,
    /// Blocks in a row, and in a plane, as the file has them.
    n_blocks: (u64, u64),
    offsets: LazyArray,
    /// Absent from some files of one uncompressed strip.
    byte_counts: Option<LazyArray>,
}

/// Where a block's stored bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// The file has no bytes for the block: all of it is "nothing here".
    Sparse,
    At {
        offset: u64,
        /// `None` when the file does not say: as many as the decoded block has.
        len: Option<u64>,
    },
}

impl Image {
    /// The image that `directory` describes. Nothing but the tags is read.
    pub(super) fn parse(parser: &Parser<'_>, directory: &Directory, file_len: u64) -> Result<Self> {
        let first = |tag| parser.first(directory, tag);
        let required = |tag: u16, name: &str| {
            first(tag)?.ok_or_else(|| Error::corrupt(format!("directory at {}: no {name}", directory.offset)))
        };
        let width = required(tags::IMAGE_WIDTH, "ImageWidth")?;
        let height = required(tags::IMAGE_LENGTH, "ImageLength")?;
        let n_bands = first(tags::SAMPLES_PER_PIXEL)?.unwrap_or(1);
        if n_bands == 0 || n_bands > 65_535 {
            return Err(Error::corrupt(format!("SamplesPerPixel is {n_bands}")));
        }
        let photometric = first(tags::PHOTOMETRIC)?.unwrap_or(tags::PHOTOMETRIC_MIN_IS_BLACK);
        let interleave = match first(tags::PLANAR_CONFIGURATION)?.unwrap_or(1) {
            2 if n_bands > 1 => Interleave::Band,
            1 | 2 => Interleave::Pixel,
            other => return Err(Error::unsupported(format!("PlanarConfiguration {other}"))),
        };
        let (sample, bits, float) = sample_type(parser, directory, n_bands)?;
        let storage = storage(parser, directory, photometric, (n_bands, interleave), sample, bits, float)?;
        let n_planes = if interleave == Interleave::Band { n_bands } else { 1 };
        let (level, tiled) = level(parser, directory, width, height)?;

        let n_blocks = (u64::from(level.cols()), u64::from(level.cols()) * u64::from(level.rows()));
        let per_pixel = if interleave == Interleave::Band { 1 } else { n_bands };
        let pieces =
            if tiled || n_blocks.1 > 1 { None } else { pieces(&level, per_pixel, sample, &storage, file_len)? };
        let (level, in_pieces) = pieces.map_or((level, false), |level| (level, true));
        let wanted = n_blocks
            .1
            .checked_mul(n_planes)
            .ok_or_else(|| Error::limit(format!("{} blocks in each of {n_planes} planes", n_blocks.1)))?;
        let array = |choices: [u16; 2]| -> Result<Option<LazyArray>> {
            let entry = choices.iter().find_map(|tag| directory.entry(*tag));
            entry.map(|entry| LazyArray::new(*entry, parser.header.order, wanted, file_len)).transpose()
        };
        let (offsets, byte_counts) = if tiled {
            ([tags::TILE_OFFSETS, tags::STRIP_OFFSETS], [tags::TILE_BYTE_COUNTS, tags::STRIP_BYTE_COUNTS])
        } else {
            ([tags::STRIP_OFFSETS, tags::TILE_OFFSETS], [tags::STRIP_BYTE_COUNTS, tags::TILE_BYTE_COUNTS])
        };
        let offsets =
            array(offsets)?.ok_or_else(|| Error::corrupt(format!("directory at {}: no offsets", directory.offset)))?;
        let byte_counts = array(byte_counts)?;
        let n_bands = n_bands as u32;
        Ok(Self { level, n_bands, sample, interleave, photometric, storage, in_pieces, n_blocks, offsets, byte_counts })
    }

    /// How a strip of the image is decoded in pieces; `None` for one that is not compressed, or all at once.
    pub(super) fn strip_codec(&self) -> Option<StripCodec> {
        self.storage.strip_codec()
    }

    /// Bits of a sample that carry information, when fewer than its type has.
    pub(super) fn n_bits(&self) -> Option<u32> {
        (self.storage.bits as usize != self.sample.bytes() * 8).then_some(self.storage.bits)
    }

    /// Bytes that the image may hold beside itself.
    pub(super) fn memory_bytes(&self) -> u64 {
        let conversion = if self.storage.ycbcr.is_some() { size_of::<Conversion>() as u64 } else { 0 };
        self.offsets.memory_bytes() + self.byte_counts.as_ref().map_or(0, LazyArray::memory_bytes) + conversion
    }

    /// Bytes that the image holds now beside itself.
    pub(super) fn held_bytes(&self) -> u64 {
        let conversion = if self.storage.ycbcr.is_some() { size_of::<Conversion>() } else { 0 };
        let tables = self.storage.jpeg_tables.as_ref().map_or(0, Vec::capacity);
        let arrays = self.offsets.held_bytes() + self.byte_counts.as_ref().map_or(0, LazyArray::held_bytes);
        arrays + (conversion + tables) as u64
    }

    /// Where the stored bytes of a block are; those of the whole strip, where a block is a piece of one.
    pub(super) fn stored(&self, reader: &dyn crate::source::ReadAt, plane: u32, col: u32, row: u32) -> Result<Stored> {
        let (per_row, per_plane) = self.n_blocks;
        let (col, row) = if self.in_pieces { (0, 0) } else { (col, u64::from(row)) };
        let index = u64::from(plane) * per_plane + row * per_row + u64::from(col);
        let offset = self.offsets.get(reader, index)?;
        let len = self.byte_counts.as_ref().map(|counts| counts.get(reader, index)).transpose()?;
        let is_one_strip = per_plane == 1 && self.level.edge_blocks == EdgeBlocks::Cropped;
        Ok(match (offset, len) {
            // Some writers of one strip do not count its bytes; others read it all the same.
            (1.., Some(0)) if is_one_strip => Stored::At { offset, len: None },
            (0, _) | (_, Some(0)) => Stored::Sparse,
            (offset, len) => Stored::At { offset, len },
        })
    }

    /// Bytes of one row of a block as stored, before any widening of samples. Where pixels share their chroma, a row
    /// of such units.
    pub(super) fn stored_row_bytes(&self) -> Option<usize> {
        if let Some(ycbcr) = &self.storage.ycbcr {
            return ycbcr.subsampling.row_bytes(self.level.block_width as usize);
        }
        let per_pixel = if self.interleave == Interleave::Band { 1 } else { u64::from(self.n_bands) };
        let bits =
            u64::from(self.level.block_width).checked_mul(per_pixel)?.checked_mul(u64::from(self.storage.bits))?;
        usize::try_from(bits.div_ceil(8)).ok()
    }

    /// Bytes of `n_rows` rows of pixels of a block as stored.
    pub(super) fn stored_bytes(&self, n_rows: usize) -> Option<usize> {
        let n_rows = self.storage.ycbcr.as_ref().map_or(n_rows, |ycbcr| ycbcr.subsampling.rows(n_rows));
        self.stored_row_bytes()?.checked_mul(n_rows)
    }

    /// What the bands show, as the photometric interpretation and the extra samples say.
    pub(super) fn colors(&self, extra_samples: &[u64]) -> Vec<ColorInterpretation> {
        use ColorInterpretation as C;
        let base: &[C] = match self.photometric {
            tags::PHOTOMETRIC_RGB => &[C::Red, C::Green, C::Blue],
            tags::PHOTOMETRIC_YCBCR if self.storage.jpeg_ycbcr || self.storage.ycbcr.is_some() => {
                &[C::Red, C::Green, C::Blue]
            }
            tags::PHOTOMETRIC_PALETTE => &[C::Palette],
            tags::PHOTOMETRIC_SEPARATED => &[C::Cyan, C::Magenta, C::Yellow, C::Black],
            tags::PHOTOMETRIC_YCBCR | tags::PHOTOMETRIC_CIELAB => &[C::Luminance, C::ChromaFirst, C::ChromaSecond],
            _ => &[C::Gray],
        };
        let base = if base.len() <= self.n_bands as usize { base } else { &[] };
        (0..self.n_bands as usize)
            .map(|band| match base.get(band) {
                Some(color) => *color,
                // 1: premultiplied, 2: not.
                None => match extra_samples.get(band - base.len()) {
                    Some(1 | 2) => C::Alpha,
                    _ => C::Undefined,
                },
            })
            .collect()
    }
}

/// Size in pixels and blocks, and whether the blocks are tiles.
fn level(parser: &Parser<'_>, directory: &Directory, width: u64, height: u64) -> Result<(Level, bool)> {
    let side = |tag: u16, name: &str| -> Result<Option<u32>> {
        let value = parser.first(directory, tag)?;
        let fits = |v: u64| u32::try_from(v).map_err(|_| Error::limit(format!("{name} is {v}")));
        value.map(fits).transpose()
    };
    let tile = (side(tags::TILE_WIDTH, "TileWidth")?, side(tags::TILE_LENGTH, "TileLength")?);
    if let (Some(tile_width), Some(tile_height)) = tile {
        return Ok((Level::new(width, height, tile_width, tile_height)?.padded(), true));
    }
    let block_width = u32::try_from(width).map_err(|_| Error::limit(format!("strips of {width} pixels")))?;
    // Absent, 0 or larger than the image (some writers put 2^32 - 1): one strip.
    let rows = parser.first(directory, tags::ROWS_PER_STRIP)?.filter(|rows| *rows > 0).unwrap_or(height).min(height);
    let block_height = u32::try_from(rows).map_err(|_| Error::limit(format!("strips of {rows} rows")))?;
    Ok((Level::new(width, height, block_width, block_height)?, false))
}

/// A single strip of more bytes than this is read in pieces.
const MAX_STRIP_BYTES: u64 = 2 << 20;
/// Pieces have about this many bytes.
const PIECE_BYTES: u64 = 1 << 20;

/// The level in pieces of the one strip that it is, if that is large, and compressed so that pieces can be decoded. Not
/// where no file of `file_len` bytes can hold it: one offset would stand for any number of blocks.
fn pieces(
    level: &Level,
    per_pixel: u64,
    sample: SampleType,
    storage: &Storage,
    file_len: u64,
) -> Result<Option<Level>> {
    let row_samples = level.width.saturating_mul(per_pixel);
    let row_bytes = row_samples.saturating_mul(sample.bytes() as u64);
    let codec = storage.strip_codec();
    let can_stop = storage.compression == Compression::None || codec.is_some();
    // Three samples of pixels that share their chroma take a byte and a little more.
    let (bits, rows) = match &storage.ycbcr {
        Some(ycbcr) => (storage.bits / 3, ycbcr.subsampling.vertical()),
        None => (storage.bits, 1),
    };
    let stored = row_samples.saturating_mul(u64::from(bits)).saturating_mul(level.height) / 8;
    let is_large = row_bytes.saturating_mul(level.height) > MAX_STRIP_BYTES;
    if !can_stop || !is_large || stored / storage.compression.max_ratio() > file_len {
        return Ok(None);
    }
    if codec == Some(StripCodec::Jpeg) {
        let side = |pixels: u64| strip_jpeg::BLOCK.min(pixels) as u32;
        return Level::new(level.width, level.height, side(level.width), side(level.height)).map(Some);
    }
    // A multiple of the rows that share their chroma.
    let wanted = (PIECE_BYTES / row_bytes.max(1)).clamp(1, level.height);
    let piece_rows = wanted.next_multiple_of(u64::from(rows)).min(level.height) as u32;
    Level::new(level.width, level.height, level.block_width, piece_rows).map(Some)
}
