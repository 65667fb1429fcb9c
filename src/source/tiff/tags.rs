//! Numbers of the TIFF 6.0, BigTIFF, GeoTIFF and GDAL specifications.

use crate::codec::stream::StreamCodec;

pub(super) const NEW_SUBFILE_TYPE: u16 = 254;
pub(super) const IMAGE_WIDTH: u16 = 256;
pub(super) const IMAGE_LENGTH: u16 = 257;
pub(super) const BITS_PER_SAMPLE: u16 = 258;
pub(super) const COMPRESSION: u16 = 259;
pub(super) const PHOTOMETRIC: u16 = 262;
pub(super) const FILL_ORDER: u16 = 266;
pub(super) const IMAGE_DESCRIPTION: u16 = 270;
pub(super) const STRIP_OFFSETS: u16 = 273;
pub(super) const SAMPLES_PER_PIXEL: u16 = 277;
pub(super) const ROWS_PER_STRIP: u16 = 278;
pub(super) const STRIP_BYTE_COUNTS: u16 = 279;
pub(super) const X_RESOLUTION: u16 = 282;
pub(super) const Y_RESOLUTION: u16 = 283;
pub(super) const PLANAR_CONFIGURATION: u16 = 284;
pub(super) const PAGE_NAME: u16 = 285;
pub(super) const T4_OPTIONS: u16 = 292;
pub(super) const RESOLUTION_UNIT: u16 = 296;
pub(super) const PREDICTOR: u16 = 317;
pub(super) const COLOR_MAP: u16 = 320;
pub(super) const TILE_WIDTH: u16 = 322;
pub(super) const TILE_LENGTH: u16 = 323;
pub(super) const TILE_OFFSETS: u16 = 324;
pub(super) const TILE_BYTE_COUNTS: u16 = 325;
pub(super) const SUB_IFDS: u16 = 330;
pub(super) const EXTRA_SAMPLES: u16 = 338;
pub(super) const SAMPLE_FORMAT: u16 = 339;
pub(super) const JPEG_TABLES: u16 = 347;
pub(super) const YCBCR_COEFFICIENTS: u16 = 529;
pub(super) const YCBCR_SUBSAMPLING: u16 = 530;
pub(super) const REFERENCE_BLACK_WHITE: u16 = 532;
pub(super) const MODEL_PIXEL_SCALE: u16 = 33550;
pub(super) const MODEL_TIEPOINT: u16 = 33922;
pub(super) const MODEL_TRANSFORMATION: u16 = 34264;
pub(super) const GEO_KEY_DIRECTORY: u16 = 34735;
pub(super) const GEO_DOUBLE_PARAMS: u16 = 34736;
pub(super) const GEO_ASCII_PARAMS: u16 = 34737;
pub(super) const LERC_PARAMETERS: u16 = 50674;
pub(super) const GDAL_METADATA: u16 = 42112;
pub(super) const GDAL_NODATA: u16 = 42113;
pub(super) const RPC_COEFFICIENTS: u16 = 50844;

/// Tags whose bytes are for others, and what they are called.
pub(super) const BLOBS: [(&str, u16); 4] = [("icc", 34675), ("iptc", 33723), ("photoshop", 34377), ("xmp", 700)];

/// Tags whose text becomes metadata, under the names that GDAL gives them.
pub(super) const TEXT_TAGS: [(u16, &str); 11] = [
    (269, "TIFFTAG_DOCUMENTNAME"),
    (270, "TIFFTAG_IMAGEDESCRIPTION"),
    (271, "TIFFTAG_MAKE"),
    (272, "TIFFTAG_MODEL"),
    (285, "TIFFTAG_PAGENAME"),
    (305, "TIFFTAG_SOFTWARE"),
    (306, "TIFFTAG_DATETIME"),
    (315, "TIFFTAG_ARTIST"),
    (316, "TIFFTAG_HOSTCOMPUTER"),
    (700, "TIFFTAG_XMP"),
    (33432, "TIFFTAG_COPYRIGHT"),
];

/// Of ExtraSamples: alpha that is not multiplied into the colours.
pub(super) const ALPHA_NOT_ASSOCIATED: u64 = 2;

pub(super) const SUBFILE_REDUCED: u64 = 1;
pub(super) const SUBFILE_MASK: u64 = 4;

pub(super) const PHOTOMETRIC_MIN_IS_WHITE: u64 = 0;
pub(super) const PHOTOMETRIC_MIN_IS_BLACK: u64 = 1;
pub(super) const PHOTOMETRIC_RGB: u64 = 2;
pub(super) const PHOTOMETRIC_PALETTE: u64 = 3;
pub(super) const PHOTOMETRIC_SEPARATED: u64 = 5;
pub(super) const PHOTOMETRIC_YCBCR: u64 = 6;
pub(super) const PHOTOMETRIC_CIELAB: u64 = 8;

/// Of Compression: JPEG 2000 whose components are YCbCr, as Aperio's slides have it.
pub(super) const JPEG_2000_YCBCR: u64 = 33003;

/// How a block is compressed, as far as this build reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    CcittRle,
    /// Rows start at words of 16 bits.
    CcittRleWords,
    CcittGroup3,
    CcittGroup4,
    Lzw,
    Jpeg,
    Jpeg2000,
    JpegXl,
    Deflate,
    Next,
    PackBits,
    Thunder,
    Lerc,
    Lzma,
    Zstd,
    WebP,
}

impl Compression {
    pub(super) fn from_tag(value: u64) -> Option<Self> {
        match value {
            1 => Some(Self::None),
            2 => Some(Self::CcittRle),
            3 => Some(Self::CcittGroup3),
            4 => Some(Self::CcittGroup4),
            5 => Some(Self::Lzw),
            7 => Some(Self::Jpeg),
            8 | 32946 => Some(Self::Deflate),
            32766 => Some(Self::Next),
            32771 => Some(Self::CcittRleWords),
            32773 => Some(Self::PackBits),
            32809 => Some(Self::Thunder),
            34887 => Some(Self::Lerc),
            34925 => Some(Self::Lzma),
            50000 => Some(Self::Zstd),
            50001 => Some(Self::WebP),
            JPEG_2000_YCBCR | 33005 | 34712 if cfg!(feature = "jpeg2000") => Some(Self::Jpeg2000),
            50002 | 52546 if cfg!(feature = "jpegxl") => Some(Self::JpegXl),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::CcittRle | Self::CcittRleWords => "ccitt rle",
            Self::CcittGroup3 => "ccitt group 3",
            Self::CcittGroup4 => "ccitt group 4",
            Self::Lzw => "lzw",
            Self::Deflate => "deflate",
            Self::Next => "next",
            Self::PackBits => "packbits",
            Self::Thunder => "thunderscan",
            Self::Lzma => "lzma",
            Self::Jpeg => "jpeg",
            Self::Jpeg2000 => "jpeg 2000",
            Self::JpegXl => "jpeg xl",
            Self::Zstd => "zstd",
            Self::Lerc => "lerc",
            Self::WebP => "webp",
        }
    }

    /// The codec that decodes a piece at a time, where there is one.
    pub(super) fn stream(self) -> Option<StreamCodec> {
        match self {
            Self::Lzw => Some(StreamCodec::Lzw),
            Self::Deflate => Some(StreamCodec::Deflate),
            Self::PackBits => Some(StreamCodec::PackBits),
            Self::Lzma => Some(StreamCodec::Lzma),
            #[cfg(feature = "libzstd")]
            Self::Zstd => Some(StreamCodec::Zstd),
            _ => None,
        }
    }

    /// Whether a block is a picture that says of itself what its samples are, not bytes of them.
    pub(super) fn is_picture(self) -> bool {
        matches!(self, Self::Jpeg | Self::Jpeg2000 | Self::JpegXl | Self::WebP)
    }

    /// The only number of bits of a sample that this codec knows, of which a block then has one a pixel.
    pub(super) fn only_bits(self) -> Option<u64> {
        match self {
            Self::CcittRle | Self::CcittRleWords | Self::CcittGroup3 | Self::CcittGroup4 => Some(1),
            Self::Next => Some(2),
            Self::Thunder => Some(4),
            _ => None,
        }
    }

    /// No valid stream of this codec makes more bytes than this out of one: a block that claims more is refused
    /// before memory is taken for it.
    pub(super) fn max_ratio(self) -> u64 {
        match self {
            Self::None => 1,
            // One bit may stand for a row of any length.
            Self::CcittRle | Self::CcittRleWords | Self::CcittGroup3 | Self::CcittGroup4 => u64::MAX,
            // A block of one value or colour takes a header.
            Self::Lerc | Self::WebP | Self::Jpeg2000 | Self::JpegXl => u64::MAX,
            // A code of four bytes may stand for a row of any length.
            Self::Next => u64::MAX,
            // A run of 63 pixels.
            Self::Thunder => 32,
            // 273 bytes from as little as a third of a bit.
            Self::Lzma => 16_384,
            // A 12-bit code stands for at most 4,096 - 257 bytes.
            Self::Lzw => 2560,
            // 258 bytes from a length code and a distance code of one bit each.
            Self::Deflate => 1032,
            // 128 bytes from 2.
            Self::PackBits => 64,
            // A block of 64 samples takes at least two bits; chroma blocks stand for up to 16 times their samples.
            Self::Jpeg => 4096,
            // A repeated block of 128 KiB takes 4 bytes.
            Self::Zstd => 32_768,
        }
    }
}

/// Names of compressions that exist and that this build does not read, for messages.
pub(super) fn foreign_compression(value: u64) -> &'static str {
    match value {
        6 => "old-style JPEG",
        32845 | 34676 => "SGI Log",
        JPEG_2000_YCBCR | 33005 | 34712 => "JPEG 2000, for which this build lacks the feature `jpeg2000`",
        50002 | 52546 => "JPEG XL, for which this build lacks the feature `jpegxl`",
        _ => "unknown",
    }
}
