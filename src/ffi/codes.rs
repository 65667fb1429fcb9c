//! The numbers that stand for kinds of things.

/// The samples' own type.
pub const TILEKEEP_SAMPLE_NATIVE: i32 = 0;
/// Unsigned, 8 bits.
pub const TILEKEEP_SAMPLE_U8: i32 = 1;
/// Signed, 8 bits.
pub const TILEKEEP_SAMPLE_I8: i32 = 2;
/// Unsigned, 16 bits.
pub const TILEKEEP_SAMPLE_U16: i32 = 3;
/// Signed, 16 bits.
pub const TILEKEEP_SAMPLE_I16: i32 = 4;
/// Unsigned, 32 bits.
pub const TILEKEEP_SAMPLE_U32: i32 = 5;
/// Signed, 32 bits.
pub const TILEKEEP_SAMPLE_I32: i32 = 6;
/// Unsigned, 64 bits.
pub const TILEKEEP_SAMPLE_U64: i32 = 7;
/// Signed, 64 bits.
pub const TILEKEEP_SAMPLE_I64: i32 = 8;
/// IEEE 754 float, 32 bits.
pub const TILEKEEP_SAMPLE_F32: i32 = 9;
/// IEEE 754 float, 64 bits.
pub const TILEKEEP_SAMPLE_F64: i32 = 10;
/// Complex: two signed 16-bit integers, real part first.
pub const TILEKEEP_SAMPLE_COMPLEX_I16: i32 = 11;
/// Complex: two signed 32-bit integers, real part first.
pub const TILEKEEP_SAMPLE_COMPLEX_I32: i32 = 12;
/// Complex: two 32-bit floats, real part first.
pub const TILEKEEP_SAMPLE_COMPLEX_F32: i32 = 13;
/// Complex: two 64-bit floats, real part first.
pub const TILEKEEP_SAMPLE_COMPLEX_F64: i32 = 14;

/// A band of which nothing is known.
pub const TILEKEEP_COLOR_UNDEFINED: i32 = 0;
/// A band of luminance, or any single quantity.
pub const TILEKEEP_COLOR_GRAY: i32 = 1;
/// A band of indices into the colour table.
pub const TILEKEEP_COLOR_PALETTE: i32 = 2;
/// A red band.
pub const TILEKEEP_COLOR_RED: i32 = 3;
/// A green band.
pub const TILEKEEP_COLOR_GREEN: i32 = 4;
/// A blue band.
pub const TILEKEEP_COLOR_BLUE: i32 = 5;
/// A band of opacity.
pub const TILEKEEP_COLOR_ALPHA: i32 = 6;
/// A band of cyan ink.
pub const TILEKEEP_COLOR_CYAN: i32 = 7;
/// A band of magenta ink.
pub const TILEKEEP_COLOR_MAGENTA: i32 = 8;
/// A band of yellow ink.
pub const TILEKEEP_COLOR_YELLOW: i32 = 9;
/// A band of black ink.
pub const TILEKEEP_COLOR_BLACK: i32 = 10;
/// The luminance of a CIE L*a*b* or YCbCr picture.
pub const TILEKEEP_COLOR_LUMINANCE: i32 = 11;
/// The first chrominance.
pub const TILEKEEP_COLOR_CHROMA_FIRST: i32 = 12;
/// The second chrominance.
pub const TILEKEEP_COLOR_CHROMA_SECOND: i32 = 13;

/// The pixel whose area holds the centre of the new one.
pub const TILEKEEP_RESAMPLING_NEAREST: i32 = 0;
/// The mean over the area of the new pixel, without nodata and NaN.
pub const TILEKEEP_RESAMPLING_AVERAGE: i32 = 1;

/// Samples as they are, without a file around them.
pub const TILEKEEP_ENCODING_RAW: i32 = 0;
/// A PNG file.
pub const TILEKEEP_ENCODING_PNG: i32 = 1;
/// A JPEG file.
pub const TILEKEEP_ENCODING_JPEG: i32 = 2;
/// A WebP file; lossy ones only where the library was built with libwebp, as it is by default.
pub const TILEKEEP_ENCODING_WEBP: i32 = 3;

/// Squares of two by two pixels of a JPEG share their colour (4:2:0) below a quality of 90, none from there on.
pub const TILEKEEP_CHROMA_AUTO: i32 = 0;
/// Squares of two by two pixels share their colour (4:2:0).
pub const TILEKEEP_CHROMA_HALVED: i32 = 1;
/// Every pixel has its own colour (4:4:4).
pub const TILEKEEP_CHROMA_FULL: i32 = 2;

/// The samples of a pixel lie side by side.
pub const TILEKEEP_INTERLEAVE_PIXEL: i32 = 0;
/// A whole band, then the next one.
pub const TILEKEEP_INTERLEAVE_BAND: i32 = 1;

/// Tiles of the last column and row are smaller.
pub const TILEKEEP_EDGE_CROP: i32 = 0;
/// Tiles of the last column and row are whole, filled up with nodata or 0.
pub const TILEKEEP_EDGE_PAD: i32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{Chroma, Edge};
    use crate::resample::Resampling;
    use crate::sample::SampleType;
    use crate::source::ColorInterpretation as C;

    #[test]
    fn constants_are_the_numbers_of_the_enums() {
        let samples = [
            TILEKEEP_SAMPLE_U8,
            TILEKEEP_SAMPLE_I8,
            TILEKEEP_SAMPLE_U16,
            TILEKEEP_SAMPLE_I16,
            TILEKEEP_SAMPLE_U32,
            TILEKEEP_SAMPLE_I32,
            TILEKEEP_SAMPLE_U64,
            TILEKEEP_SAMPLE_I64,
            TILEKEEP_SAMPLE_F32,
            TILEKEEP_SAMPLE_F64,
            TILEKEEP_SAMPLE_COMPLEX_I16,
            TILEKEEP_SAMPLE_COMPLEX_I32,
            TILEKEEP_SAMPLE_COMPLEX_F32,
            TILEKEEP_SAMPLE_COMPLEX_F64,
        ];
        assert_eq!(samples, SampleType::ALL.map(|sample| sample as i32));
        for (number, color) in [
            (TILEKEEP_COLOR_UNDEFINED, C::Undefined),
            (TILEKEEP_COLOR_GRAY, C::Gray),
            (TILEKEEP_COLOR_PALETTE, C::Palette),
            (TILEKEEP_COLOR_RED, C::Red),
            (TILEKEEP_COLOR_GREEN, C::Green),
            (TILEKEEP_COLOR_BLUE, C::Blue),
            (TILEKEEP_COLOR_ALPHA, C::Alpha),
            (TILEKEEP_COLOR_CYAN, C::Cyan),
            (TILEKEEP_COLOR_MAGENTA, C::Magenta),
            (TILEKEEP_COLOR_YELLOW, C::Yellow),
            (TILEKEEP_COLOR_BLACK, C::Black),
            (TILEKEEP_COLOR_LUMINANCE, C::Luminance),
            (TILEKEEP_COLOR_CHROMA_FIRST, C::ChromaFirst),
            (TILEKEEP_COLOR_CHROMA_SECOND, C::ChromaSecond),
        ] {
            assert_eq!(number, color as i32);
        }
        assert_eq!(TILEKEEP_RESAMPLING_AVERAGE, Resampling::Average as i32);
        assert_eq!(TILEKEEP_INTERLEAVE_BAND, crate::block::Interleave::Band as i32);
        assert_eq!(TILEKEEP_EDGE_PAD, Edge::Pad as i32);
        assert_eq!([TILEKEEP_CHROMA_HALVED, TILEKEEP_CHROMA_FULL], [Chroma::Halved as i32, Chroma::Full as i32]);
    }
}
