//! One directory as an image: sizes, samples, and how its blocks are stored.

use crate::block::Interleave;
use crate::codec::ccitt::Scheme;
use crate::codec::stream::StreamCodec;
use crate::codec::ycbcr::{Conversion, Subsampling};
use crate::error::{Error, Result};
use crate::grid::{EdgeBlocks, Level};
use crate::sample::SampleType;
use crate::source::ColorInterpretation;

use super::directory::{ByteOrder, Directory, FieldType, Parser};
use super::offsets::LazyArray;
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

/// What turns a block's stored bytes into samples.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) compression: Compression,
    pub(super) predictor: Predictor,
    pub(super) order: ByteOrder,
    pub(super) fill_order_reversed: bool,
    /// Bits of a stored sample.
    pub(super) bits: u32,
    /// Whether the bits are an IEEE float (of 16, 24, 32 or 64 bits).
    pub(super) float: bool,
    /// Whether CCITT rows of group 3 may be coded in two dimensions.
    pub(super) two_dimensional: bool,
    /// How LERC blobs are compressed once more, if they are.
    pub(super) lerc_packing: Option<Compression>,
    /// Whether the last band is alpha, not multiplied into the others.
    pub(super) alpha: bool,
    pub(super) jpeg_tables: Option<Vec<u8>>,
    /// Whether components of JPEG or JPEG 2000 are YCbCr, to be presented as RGB.
    pub(super) jpeg_ycbcr: bool,
    /// How YCbCr samples without JPEG become RGB; `None` for other samples, and for those presented as they are.
    pub(super) ycbcr: Option<Ycbcr>,
}

/// How a strip that is too large to be a block is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StripCodec {
    /// Bytes in order.
    Bytes(StreamCodec),
    /// Rows in order.
    Rows(Scheme),
    /// Any part of it alone.
    Jpeg,
}

/// How YCbCr samples are stored, and how they become RGB.
#[derive(Debug)]
pub(super) struct Ycbcr {
    pub(super) subsampling: Subsampling,
    pub(super) conversion: Box<Conversion>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    Horizontal,
    Float,
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

impl Storage {
    fn strip_codec(&self) -> Option<StripCodec> {
        match self.compression {
            // Other pictures than those of 8 bits cannot be taken apart.
            Compression::Jpeg => (self.bits == 8).then_some(StripCodec::Jpeg),
            other => other.stream().map(StripCodec::Bytes).or_else(|| self.scheme().map(StripCodec::Rows)),
        }
    }

    /// How CCITT rows are put together.
    pub(super) fn scheme(&self) -> Option<Scheme> {
        match self.compression {
            Compression::CcittRle => Some(Scheme::Rle { align_bytes: 1 }),
            Compression::CcittRleWords => Some(Scheme::Rle { align_bytes: 2 }),
            Compression::CcittGroup3 => Some(Scheme::Group3 { two_dimensional: self.two_dimensional }),
            Compression::CcittGroup4 => Some(Scheme::Group4),
            _ => None,
        }
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

/// The type that samples are presented as, their stored bits, and whether those are a float.
fn sample_type(parser: &Parser<'_>, directory: &Directory, n_bands: u64) -> Result<(SampleType, u32, bool)> {
    let all_equal = |tag: u16, name: &str, default: u64| -> Result<u64> {
        let values = parser.unsigned(directory, tag, n_bands)?.unwrap_or_default();
        let first = values.first().copied().unwrap_or(default);
        // Fewer values than samples: the rest is like the last.
        match values.iter().take(n_bands as usize).find(|v| **v != first) {
            Some(other) => Err(Error::unsupported(format!("{name} differs between bands: {first} and {other}"))),
            None => Ok(first),
        }
    };
    let bits = all_equal(tags::BITS_PER_SAMPLE, "BitsPerSample", 1)?;
    let format = all_equal(tags::SAMPLE_FORMAT, "SampleFormat", 1)?;
    let unsupported =
        || Error::unsupported(format!("samples of {bits} bits (BitsPerSample, tag 258), SampleFormat {format}"));
    let sample = match (format, bits) {
        // 4 is "void": bytes whose meaning nobody states.
        (1 | 4, 1..=8) => SampleType::U8,
        (1 | 4, 9..=16) => SampleType::U16,
        (1 | 4, 17..=32) => SampleType::U32,
        (1 | 4, 64) => SampleType::U64,
        (2, 8) => SampleType::I8,
        (2, 16) => SampleType::I16,
        (2, 32) => SampleType::I32,
        (2, 64) => SampleType::I64,
        // Nobody writes these with a sign; GDAL presents them so.
        (2, 24) => SampleType::U32,
        (3, 16 | 24 | 32) => SampleType::F32,
        (3, 64) => SampleType::F64,
        (5, 32) => SampleType::ComplexI16,
        (5, 64) => SampleType::ComplexI32,
        (6, 64) => SampleType::ComplexF32,
        (6, 128) => SampleType::ComplexF64,
        _ => return Err(unsupported()),
    };
    Ok((sample, bits as u32, format == 3))
}

fn storage(
    parser: &Parser<'_>,
    directory: &Directory,
    photometric: u64,
    (n_bands, interleave): (u64, Interleave),
    sample: SampleType,
    bits: u32,
    float: bool,
) -> Result<Storage> {
    let number = parser.first(directory, tags::COMPRESSION)?.unwrap_or(1);
    let compression = Compression::from_tag(number).ok_or_else(|| {
        Error::unsupported(format!("Compression (tag 259) {number}, {}", tags::foreign_compression(number)))
    })?;
    let per_pixel = if interleave == Interleave::Band { 1 } else { n_bands };
    if let Some(only) = compression.only_bits()
        && (u64::from(bits), per_pixel) != (only, 1)
    {
        return Err(Error::unsupported(format!(
            "Compression (tag 259) {number}, {}, with {per_pixel} samples of {bits} bits a pixel instead of one of {only}",
            compression.name()
        )));
    }
    let uses_predictor =
        matches!(compression, Compression::Lzw | Compression::Deflate | Compression::Lzma | Compression::Zstd);
    let predictor = match parser.first(directory, tags::PREDICTOR)?.unwrap_or(1) {
        _ if !uses_predictor => Predictor::None,
        1 => Predictor::None,
        2 if matches!(bits, 8 | 16 | 32 | 64) && !sample.is_complex() => Predictor::Horizontal,
        3 if float => Predictor::Float,
        other => {
            return Err(Error::unsupported(format!(
                "Predictor (tag 317) {other} with samples of {bits} bits as {}",
                sample.name()
            )));
        }
    };
    if compression == Compression::Lerc
        && (bits as usize != sample.bytes() * 8 || bits > 32 && sample != SampleType::F64)
    {
        return Err(Error::unsupported(format!("LERC (Compression, tag 259, 34887) with samples of {bits} bits")));
    }
    if compression == Compression::WebP && (sample != SampleType::U8 || bits != 8 || !matches!(per_pixel, 3 | 4)) {
        return Err(Error::unsupported(format!(
            "WebP (Compression, tag 259, 50001) with {per_pixel} samples of {bits} bits as {} a pixel",
            sample.name()
        )));
    }
    if compression == Compression::Jpeg && bits != 8 {
        return Err(Error::unsupported(format!("JPEG (Compression, tag 259, 7) with samples of {bits} bits")));
    }
    let jpeg_ycbcr = match compression {
        Compression::Jpeg => photometric == tags::PHOTOMETRIC_YCBCR,
        Compression::Jpeg2000 => number == tags::JPEG_2000_YCBCR || photometric == tags::PHOTOMETRIC_YCBCR,
        _ => false,
    };
    if matches!(compression, Compression::Jpeg2000 | Compression::JpegXl) {
        let fits = match sample {
            SampleType::U8 => bits == 8,
            SampleType::U16 => bits == 16,
            SampleType::F32 => bits == 32 && compression == Compression::JpegXl,
            _ => false,
        };
        let has_three_bytes = per_pixel == 3 && bits == 8;
        let is_ycbcr = jpeg_ycbcr || photometric == tags::PHOTOMETRIC_YCBCR;
        if !fits || is_ycbcr && !(has_three_bytes && compression == Compression::Jpeg2000) {
            let ycbcr = if is_ycbcr { " of YCbCr" } else { "" };
            return Err(Error::unsupported(format!(
                "Compression (tag 259) {number}, {}, with {per_pixel} samples{ycbcr} of {bits} bits as {} a pixel",
                compression.name(),
                sample.name()
            )));
        }
    }
    let says_itself = matches!(compression, Compression::Jpeg | Compression::Jpeg2000 | Compression::JpegXl);
    let ycbcr = if photometric == tags::PHOTOMETRIC_YCBCR && !says_itself {
        ycbcr(parser, directory, (n_bands, interleave), sample, bits)?
    } else {
        None
    };
    if predictor != Predictor::None && ycbcr.as_ref().is_some_and(|ycbcr| !ycbcr.subsampling.is_none()) {
        return Err(Error::unsupported("Predictor (tag 317) 2 where YCbCrSubSampling (tag 530) is not [1, 1]"));
    }
    let jpeg_tables = match directory.entry(tags::JPEG_TABLES) {
        Some(entry) if compression == Compression::Jpeg => Some(parser.bytes(entry)?),
        _ => None,
    };
    let lerc_packing = if compression == Compression::Lerc { lerc_packing(parser, directory)? } else { None };
    let extra = parser.unsigned(directory, tags::EXTRA_SAMPLES, n_bands)?.unwrap_or_default();
    Ok(Storage {
        compression,
        predictor,
        order: parser.header.order,
        fill_order_reversed: parser.first(directory, tags::FILL_ORDER)? == Some(2),
        bits,
        float,
        two_dimensional: parser.first(directory, tags::T4_OPTIONS)?.unwrap_or(0) & 1 == 1,
        lerc_packing,
        alpha: extra.last() == Some(&tags::ALPHA_NOT_ASSOCIATED),
        jpeg_tables,
        jpeg_ycbcr,
        ycbcr,
    })
}

/// What LERC blobs are compressed with once more.
fn lerc_packing(parser: &Parser<'_>, directory: &Directory) -> Result<Option<Compression>> {
    // The version of LERC, which a blob states too; then the compression.
    let parameters = parser.unsigned(directory, tags::LERC_PARAMETERS, 2)?.unwrap_or_default();
    match parameters.get(1).copied().unwrap_or(0) {
        0 => Ok(None),
        1 => Ok(Some(Compression::Deflate)),
        2 => Ok(Some(Compression::Zstd)),
        other => Err(Error::unsupported(format!("LercParameters (tag 50674): additional compression {other}"))),
    }
}

/// How YCbCr samples that are not JPEG become RGB. Those of other than 8 bits are presented as they are, if every pixel
/// has chroma of its own.
fn ycbcr(
    parser: &Parser<'_>,
    directory: &Directory,
    (n_bands, interleave): (u64, Interleave),
    sample: SampleType,
    bits: u32,
) -> Result<Option<Ycbcr>> {
    const WHAT: &str = "YCbCr (PhotometricInterpretation, tag 262, 6) without JPEG compression";
    let (horizontal, vertical) = match parser.unsigned(directory, tags::YCBCR_SUBSAMPLING, 2)?.as_deref() {
        None => (2, 2),
        Some([horizontal, vertical]) => (*horizontal, *vertical),
        Some(other) => {
            return Err(Error::corrupt(format!("YCbCrSubSampling (tag 530) has {} values instead of 2", other.len())));
        }
    };
    let subsampling = Subsampling::new(horizontal, vertical).map_err(|e| {
        e.context(format!("YCbCrSubSampling (tag 530) [{horizontal}, {vertical}] without JPEG compression"))
    })?;
    if n_bands != 3 {
        return Err(Error::unsupported(format!("{WHAT}: SamplesPerPixel (tag 277) {n_bands}")));
    }
    if bits != 8 || sample != SampleType::U8 {
        if subsampling.is_none() {
            return Ok(None);
        }
        let sample = sample.name();
        return Err(Error::unsupported(format!(
            "YCbCrSubSampling (tag 530) [{horizontal}, {vertical}] with samples of {bits} bits as {sample}"
        )));
    }
    if interleave == Interleave::Band {
        return Err(Error::unsupported(format!("{WHAT}: PlanarConfiguration (tag 284) 2")));
    }
    let coefficients = floats(parser, directory, tags::YCBCR_COEFFICIENTS)?.unwrap_or(Conversion::DEFAULT_COEFFICIENTS);
    let reference = floats(parser, directory, tags::REFERENCE_BLACK_WHITE)?.unwrap_or(Conversion::DEFAULT_REFERENCE);
    let conversion = Conversion::new(coefficients, reference)
        .map_err(|e| e.context("YCbCrCoefficients (tag 529), ReferenceBlackWhite (tag 532)"))?;
    Ok(Some(Ycbcr { subsampling, conversion: Box::new(conversion) }))
}

/// The first `N` values of a tag; `None` where there are fewer. A fraction whose denominator is 0 is taken as 0.
fn floats<const N: usize>(parser: &Parser<'_>, directory: &Directory, tag: u16) -> Result<Option<[f32; N]>> {
    let is_fraction =
        directory.entry(tag).is_some_and(|e| matches!(e.kind, FieldType::Rational | FieldType::SRational));
    let values = parser.floats(directory, tag)?;
    let value = |v: f64| if is_fraction && !v.is_finite() { 0.0 } else { v as f32 };
    Ok(values.first_chunk::<N>().map(|values| values.map(value)))
}
