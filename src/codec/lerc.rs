//! LERC, Limited Error Raster Compression (Esri's LERC 1, and LERC 2 up to version 6), as TIFF compression 34887 stores
//! it: one blob a block, the samples of a pixel side by side. Writers swap bytes before they encode, so that in a file of
//! the other byte order the numbers of a blob are swapped ones.
//!
//! A blob can say that pixels hold nothing. What that means is libtiff's convention: a sample of floats is then no
//! number, an alpha band that the blob leaves out is 0 there and 255 elsewhere, and any other sample is 0.

use lerc_core::PixelData;
use lerc_reader::Decoded;

use crate::error::{Error, Result};
use crate::sample::SampleType;

use super::guard::guarded;

/// What a block is to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) width: u32,
    pub(crate) n_bands: usize,
    pub(crate) sample: SampleType,
    /// Whether the last band is alpha that may be stored as the blob's mask.
    pub(crate) alpha: bool,
}

/// Decodes the blob at the start of `input` to the start of `out` and returns how many bytes it wrote: whole rows, fewer
/// than `out` holds where the blob has fewer.
///
/// # Errors
///
/// Corrupt when the blob is broken or holds something else than a block. Unsupported for a version that is not known.
pub(crate) fn decode(input: &[u8], expected: Expected, out: &mut [u8]) -> Result<usize> {
    guarded("lerc blob", input.len(), || run(input, expected, out))
}

fn run(input: &[u8], expected: Expected, out: &mut [u8]) -> Result<usize> {
    let pixel_bytes = expected.n_bands * expected.sample.bytes();
    let row_bytes = pixel_bytes * expected.width as usize;
    let n_rows = out.len().checked_div(row_bytes).unwrap_or(0);
    // Before memory is taken for what the header says.
    let (width, height) = size(input).ok_or_else(|| failed(input, lerc_core::Error::InvalidMagic))?;
    if width != expected.width || height as usize > n_rows {
        let w = expected.width;
        return Err(Error::corrupt(format!("lerc blob of {width} x {height} pixels, expected {w} x {n_rows}")));
    }
    let info = lerc_reader::inspect_first(input).map_err(|error| failed(input, error))?;
    let without_alpha = expected.alpha && info.depth as usize + 1 == expected.n_bands;
    if !without_alpha && info.depth as usize != expected.n_bands {
        let (depth, n_bands) = (info.depth, expected.n_bands);
        return Err(Error::corrupt(format!("lerc blob of {depth} samples a pixel, expected {n_bands}")));
    }
    let Decoded { pixels, mask, info } = lerc_reader::decode_first(input).map_err(|error| failed(input, error))?;
    let stored = if without_alpha { expected.n_bands - 1 } else { expected.n_bands };
    let written = row_bytes * info.height as usize;
    let out = &mut out[..written];
    let valid = Valid { mask: mask.as_deref(), all: info.valid_pixel_count > 0 };
    use SampleType as S;
    match (&pixels, expected.sample) {
        (PixelData::U8(values), S::U8) if without_alpha => {
            put(values, valid, stored, pixel_bytes, out, 0, |value| [value]);
            for (at, alpha) in out.iter_mut().skip(stored).step_by(pixel_bytes).enumerate() {
                *alpha = if valid.at(at) { 255 } else { 0 };
            }
        }
        (PixelData::U8(values), S::U8) => put(values, valid, stored, pixel_bytes, out, 0, |value| [value]),
        (PixelData::I8(values), S::I8) => put(values, valid, stored, pixel_bytes, out, 0, i8::to_ne_bytes),
        (PixelData::U16(values), S::U16) => put(values, valid, stored, pixel_bytes, out, 0, u16::to_ne_bytes),
        (PixelData::I16(values), S::I16) => put(values, valid, stored, pixel_bytes, out, 0, i16::to_ne_bytes),
        (PixelData::U32(values), S::U32) => put(values, valid, stored, pixel_bytes, out, 0, u32::to_ne_bytes),
        (PixelData::I32(values), S::I32) => put(values, valid, stored, pixel_bytes, out, 0, i32::to_ne_bytes),
        (PixelData::F32(values), S::F32) => put(values, valid, stored, pixel_bytes, out, f32::NAN, f32::to_ne_bytes),
        (PixelData::F64(values), S::F64) => put(values, valid, stored, pixel_bytes, out, f64::NAN, f64::to_ne_bytes),
        (pixels, sample) => {
            let (stored, sample) = (pixels.data_type(), sample.name());
            return Err(Error::corrupt(format!("lerc blob of {stored:?} samples, expected {sample}")));
        }
    }
    Ok(written)
}

/// Width and height as a blob's header has them.
fn size(input: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| input.get(at..at + 4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let at = if input.starts_with(b"Lerc2 ") {
        // Behind the version, and from version 3 on a checksum.
        if number(6)? < 3 { 10 } else { 14 }
    } else {
        // LERC 1: behind version and type.
        input.starts_with(b"CntZImage ").then_some(18)?
    };
    Some((number(at + 4)?, number(at)?))
}

/// Which pixels hold something.
#[derive(Clone, Copy)]
struct Valid<'a> {
    /// A byte a pixel, 0 for nothing.
    mask: Option<&'a [u8]>,
    /// Without a mask: whether all of them do, or none.
    all: bool,
}

impl Valid<'_> {
    fn at(&self, pixel: usize) -> bool {
        self.mask.map_or(self.all, |mask| mask.get(pixel).is_some_and(|byte| *byte != 0))
    }
}

/// Writes `stored` samples to each pixel of `out`, and `nothing` where the blob has none.
fn put<T: Copy, const B: usize>(
    values: &[T],
    valid: Valid<'_>,
    stored: usize,
    pixel_bytes: usize,
    out: &mut [u8],
    nothing: T,
    bytes: fn(T) -> [u8; B],
) {
    for (at, (pixel, values)) in out.chunks_exact_mut(pixel_bytes).zip(values.chunks_exact(stored)).enumerate() {
        let is_valid = valid.at(at);
        for (sample, value) in pixel.as_chunks_mut::<B>().0.iter_mut().zip(values) {
            *sample = bytes(if is_valid { *value } else { nothing });
        }
    }
}

#[cold]
fn failed(input: &[u8], error: lerc_core::Error) -> Error {
    let message = format!("lerc blob of {} bytes: {error}", input.len());
    match error {
        lerc_core::Error::UnsupportedVersion(_) | lerc_core::Error::UnsupportedFeature(_) => {
            Error::unsupported(message)
        }
        _ => Error::corrupt(message),
    }
}

#[cfg(test)]
mod tests {
    use lerc_core::Sample;
    use lerc_writer::{EncodeOptions, MaskView, RasterView};

    use super::*;
    use crate::error::ErrorKind;

    const WIDTH: u32 = 37;
    const HEIGHT: u32 = 21;

    fn expected(n_bands: usize, sample: SampleType) -> Expected {
        Expected { width: WIDTH, n_bands, sample, alpha: false }
    }

    fn blob<T: Sample>(values: &[T], depth: u32, mask: Option<&[u8]>) -> Vec<u8> {
        let raster = RasterView::new(WIDTH, HEIGHT, depth, values).unwrap();
        let mask = mask.map(|mask| MaskView::new(WIDTH, HEIGHT, mask).unwrap());
        lerc_writer::encode(raster, mask, EncodeOptions::new()).unwrap()
    }

    fn decoded(input: &[u8], expected: Expected) -> Result<Vec<u8>> {
        let bytes = (WIDTH * HEIGHT) as usize * expected.n_bands * expected.sample.bytes();
        let mut out = vec![0xa5; bytes + 7];
        decode(input, expected, &mut out).map(|n| out[..n].to_vec())
    }

    fn check<T: Sample>(sample: SampleType, value: impl Fn(u32) -> T, bytes: impl Fn(T) -> Vec<u8>, nothing: T) {
        // Far apart, near each other, all the same.
        for step in [7919, 3, 0] {
            for depth in [1, 3] {
                let values: Vec<T> = (0..WIDTH * HEIGHT * depth).map(|i| value(i / 5 * step)).collect();
                let plain: Vec<u8> = values.iter().flat_map(|value| bytes(*value)).collect();
                let expected = expected(depth as usize, sample);
                assert!(decoded(&blob(&values, depth, None), expected).unwrap() == plain, "{sample:?} {step} {depth}");
                for kept in [0, 1, 5] {
                    let mask: Vec<u8> = (0..WIDTH * HEIGHT).map(|i| u8::from(i % 7 < kept)).collect();
                    let masked = values
                        .iter()
                        .enumerate()
                        .flat_map(|(at, value)| bytes(if mask[at / depth as usize] == 1 { *value } else { nothing }));
                    let got = decoded(&blob(&values, depth, Some(&mask)), expected).unwrap();
                    assert!(got.iter().copied().eq(masked), "{sample:?} {step} {depth}, {kept} of 7 kept");
                }
            }
        }
    }

    #[test]
    fn every_kind_of_sample_comes_back_with_and_without_a_mask() {
        check(SampleType::U8, |n| n as u8, |v| v.to_ne_bytes().to_vec(), 0);
        check(SampleType::I8, |n| n as i8, |v| v.to_ne_bytes().to_vec(), 0);
        check(SampleType::U16, |n| n as u16, |v| v.to_ne_bytes().to_vec(), 0);
        check(SampleType::I16, |n| n as i16, |v| v.to_ne_bytes().to_vec(), 0);
        check(SampleType::U32, |n| n.wrapping_mul(65_537), |v| v.to_ne_bytes().to_vec(), 0);
        check(SampleType::I32, |n| n as i32 - 70_000, |v| v.to_ne_bytes().to_vec(), 0);
        check(SampleType::F32, |n| n as f32 * 0.37 - 9.0, |v| v.to_ne_bytes().to_vec(), f32::NAN);
        check(SampleType::F64, |n| f64::from(n) * 1e-3, |v| v.to_ne_bytes().to_vec(), f64::NAN);
    }

    #[test]
    fn an_alpha_band_may_be_the_mask() {
        let colours: Vec<u8> = (0..WIDTH * HEIGHT * 3).map(|i| (i % 251) as u8).collect();
        let mask: Vec<u8> = (0..WIDTH * HEIGHT).map(|i| u8::from(i % 5 != 0)).collect();
        let rgba = Expected { alpha: true, ..expected(4, SampleType::U8) };
        let got = decoded(&blob(&colours, 3, Some(&mask)), rgba).unwrap();
        for (at, pixel) in got.chunks_exact(4).enumerate() {
            let (colour, alpha) = (&colours[at * 3..][..3], 255 * mask[at]);
            assert!(pixel[3] == alpha && pixel[..3] == if alpha == 0 { &[0; 3] } else { colour }[..], "pixel {at}");
        }
        let opaque = decoded(&blob(&colours, 3, None), rgba).unwrap();
        assert!(opaque.chunks_exact(4).all(|pixel| pixel[3] == 255));
        assert!(decoded(&blob(&colours, 3, None), expected(4, SampleType::U8)).is_err(), "no alpha is expected");
    }

    #[test]
    fn blobs_of_something_else_are_corrupt() {
        let values = vec![7_u8; (WIDTH * HEIGHT) as usize];
        let blob = blob(&values, 1, None);
        for other in [
            Expected { width: WIDTH + 1, ..expected(1, SampleType::U8) },
            expected(2, SampleType::U8),
            expected(1, SampleType::I8),
            expected(1, SampleType::F32),
        ] {
            assert_eq!(decoded(&blob, other).unwrap_err().kind(), ErrorKind::Corrupt, "{other:?}");
        }
        let mut small = vec![0; values.len() - 1];
        assert!(decode(&blob, expected(1, SampleType::U8), &mut small).is_err());
    }

    #[test]
    fn truncated_blobs_and_random_changes_are_errors() {
        let values: Vec<u16> = (0..WIDTH * HEIGHT).map(|i| (i * i % 997) as u16).collect();
        let blob = blob(&values, 1, None);
        let expected = expected(1, SampleType::U16);
        for cut in 0..blob.len() {
            assert!(decoded(&blob[..cut], expected).is_err(), "{cut} of {} bytes", blob.len());
        }
        for at in 0..blob.len() {
            let mut broken = blob.clone();
            broken[at] ^= 1 << (at % 8);
            // What is behind the header is under a checksum.
            assert!(decoded(&broken, expected).is_err(), "byte {at}");
        }
    }
}
