//! JPEG XL (ISO/IEC 18181) as TIFF stores it: one picture a block, its extra channels behind its colours; integers of up
//! to 16 bits, and floats of 32.

use jxl_oxide::image::BitDepth;
use jxl_oxide::{AllocTracker, JxlImage};

use crate::error::{Error, Result};
use crate::sample::SampleType;

use super::guard::guarded;

/// What a block is to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) width: u32,
    pub(crate) n_bands: usize,
    pub(crate) sample: SampleType,
}

/// Decodes the picture `input` to the start of `out`, pixel-interleaved in native byte order, and returns how many bytes
/// it wrote: whole rows, fewer than `out` holds where the picture has fewer.
///
/// # Errors
///
/// Corrupt when the stream is broken, breaks off, or holds something else than a block; also when its decoder would take
/// more memory than such a block can need. Unsupported for a picture that is to be turned, and for samples of other kinds.
pub(crate) fn decode(input: &[u8], expected: Expected, out: &mut [u8]) -> Result<usize> {
    guarded("jpeg xl stream", input.len(), || run(input, expected, out))
}

fn run(input: &[u8], expected: Expected, out: &mut [u8]) -> Result<usize> {
    let Expected { width, n_bands, sample } = expected;
    let broken = |reason: String| Error::corrupt(format!("jpeg xl stream of {} bytes: {reason}", input.len()));
    let row_bytes = width as usize * n_bands * sample.bytes();
    let n_rows = out.len().checked_div(row_bytes).unwrap_or(0);
    // Channels are held as floats, in several stages; and groups of 256 x 256 whatever the picture's size is.
    let n_samples = width as usize * n_rows * n_bands;
    let limit = n_samples.saturating_mul(64).saturating_add(64 << 20);
    let image = JxlImage::builder().alloc_tracker(AllocTracker::with_limit(limit)).read(input);
    let image = image.map_err(|error| broken(error.to_string()))?;
    let metadata = &image.image_header().metadata;
    let (w, h) = (image.width(), image.height());
    if w != width || h as usize > n_rows {
        return Err(broken(format!("{w} x {h} pixels, expected {width} x {n_rows}")));
    }
    if metadata.orientation != 1 {
        return Err(Error::unsupported(format!("jpeg xl with orientation {}", metadata.orientation)));
    }
    let n_colours = if metadata.grayscale() { 1 } else { 3 };
    let n_channels = n_colours + metadata.ec_info.len();
    if n_channels != n_bands {
        return Err(broken(format!("{n_channels} channels, expected {n_bands}")));
    }
    let depths =
        std::iter::repeat_n(metadata.bit_depth, n_colours).chain(metadata.ec_info.iter().map(|ec| ec.bit_depth));
    // What 1.0 stands for.
    let mut scales = Vec::with_capacity(n_bands);
    for depth in depths {
        scales.push(match (depth, sample) {
            (BitDepth::IntegerSample { bits_per_sample: bits @ 1..=8 }, SampleType::U8) => ((1 << bits) - 1) as f32,
            (BitDepth::IntegerSample { bits_per_sample: bits @ 1..=16 }, SampleType::U16) => ((1 << bits) - 1) as f32,
            (BitDepth::FloatSample { bits_per_sample: 32, exp_bits: 8 }, SampleType::F32) => 1.0,
            (depth, sample) => {
                return Err(Error::unsupported(format!("jpeg xl with {depth:?} for samples of {}", sample.name())));
            }
        });
    }
    let render = image.render_frame(0).map_err(|error| broken(error.to_string()))?;
    let pixels = render.image_all_channels();
    if (pixels.width(), pixels.height(), pixels.channels()) != (w as usize, h as usize, n_bands) {
        let (w, h, n) = (pixels.width(), pixels.height(), pixels.channels());
        return Err(broken(format!("a frame of {w} x {h} pixels of {n} channels")));
    }
    let out = &mut out[..h as usize * row_bytes];
    let values = pixels.buf().iter().zip(scales.iter().cycle());
    match sample {
        SampleType::U8 => {
            let values = values.map(|(value, scale)| (value * scale).round() as u8);
            out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
        }
        SampleType::U16 => {
            let values = values.map(|(value, scale)| (value * scale).round() as u16);
            out.as_chunks_mut::<2>().0.iter_mut().zip(values).for_each(|(out, value)| *out = value.to_ne_bytes());
        }
        _ => {
            let values = pixels.buf().iter();
            out.as_chunks_mut::<4>().0.iter_mut().zip(values).for_each(|(out, value)| *out = value.to_ne_bytes());
        }
    }
    Ok(out.len())
}
