//! How the blocks of an image are stored: samples, compression, and what must be undone after it.

use crate::block::Interleave;
use crate::codec::ccitt::Scheme;
use crate::codec::stream::StreamCodec;
use crate::codec::ycbcr::{Conversion, Subsampling};
use crate::error::{Error, Result};
use crate::sample::SampleType;

use super::directory::{ByteOrder, Directory, FieldType, Parser};
use super::tags::{self, Compression};

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

impl Storage {
    /// How a strip is decoded in pieces; `None` for one that is not compressed, or all at once.
    pub(super) fn strip_codec(&self) -> Option<StripCodec> {
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

/// The type that samples are presented as, their stored bits, and whether those are a float.
pub(super) fn sample_type(parser: &Parser<'_>, directory: &Directory, n_bands: u64) -> Result<(SampleType, u32, bool)> {
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
        // Few write these with a sign; GDAL presents them without.
        (2, 1..=7) => SampleType::U8,
        (2, 9..=15) => SampleType::U16,
        (2, 17..=31) => SampleType::U32,
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

/// How `directory` says that blocks of such samples are stored.
pub(super) fn storage(
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
        2 if matches!(bits, 8 | 16 | 32 | 64) => Predictor::Horizontal,
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
    if compression == Compression::Jpeg
        && !matches!((sample, bits), (SampleType::U8 | SampleType::I8, 8) | (SampleType::U16, 12))
    {
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
