//! Samples in another order.

use crate::error::Result;
use crate::memory::zeroed;
use crate::sample::{Run, convert};

use super::Picture;

/// The samples, a whole band after the other.
pub(crate) fn by_band(picture: &Picture<'_>) -> Result<Vec<u8>> {
    let sample = picture.sample;
    let (n_bands, size) = (picture.n_bands as usize, sample.bytes());
    let n_pixels = picture.pixels.len() / (n_bands * size);
    let mut planes = zeroed(picture.pixels.len())?;
    if n_pixels > 0 {
        for (band, plane) in planes.chunks_exact_mut(n_pixels * size).enumerate() {
            let from = Run { sample, stride: n_bands * size };
            convert(&picture.pixels[band * size..], from, plane, Run { sample, stride: size }, n_pixels)?;
        }
    }
    Ok(planes)
}

#[cfg(test)]
mod tests {
    use super::super::Color;
    use super::*;
    use crate::sample::SampleType;

    #[test]
    fn bands_come_one_after_the_other() {
        for sample in SampleType::ALL {
            for n_bands in 1..=5_usize {
                let size = sample.bytes();
                // Every byte says where its sample belongs.
                let byte = |pixel: usize, band: usize, i: usize| (pixel * 50 + band * 9 + i) as u8;
                let pixel = |at: usize| byte(at / size / n_bands, at / size % n_bands, at % size);
                let pixels: Vec<u8> = (0..6 * n_bands * size).map(pixel).collect();
                let picture = Picture {
                    width: 3,
                    height: 2,
                    n_bands: n_bands as u32,
                    sample,
                    color: Color::Gray,
                    pixels: &pixels,
                };
                let expected: Vec<u8> =
                    (0..6 * n_bands * size).map(|at| byte(at / size % 6, at / size / 6, at % size)).collect();
                assert_eq!(by_band(&picture).unwrap(), expected, "{}, {n_bands} bands", sample.name());
            }
        }
    }
}
