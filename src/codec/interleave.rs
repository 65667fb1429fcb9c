//! Copies samples between layouts: all bands of a pixel beside each other, or one band after the other.

use crate::error::{Error, Result};

/// Where the samples of a block lie in a buffer. Strides are distances in bytes; samples do not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// From a sample to that of the pixel to the right.
    pub(crate) pixel_stride: usize,
    /// From a sample to that of the pixel below.
    pub(crate) row_stride: usize,
    /// From a sample to that of the next band.
    pub(crate) band_stride: usize,
}

impl Layout {
    /// Pixels of `n_bands` samples, rows without gaps.
    pub(crate) fn interleaved(width: usize, n_bands: usize, sample_bytes: usize) -> Self {
        let pixel_stride = n_bands * sample_bytes;
        Self { pixel_stride, row_stride: width * pixel_stride, band_stride: sample_bytes }
    }

    /// Bands one after the other, rows without gaps.
    pub(crate) fn sequential(width: usize, height: usize, sample_bytes: usize) -> Self {
        let row_stride = width * sample_bytes;
        Self { pixel_stride: sample_bytes, row_stride, band_stride: height * row_stride }
    }

    /// The bytes from the first sample to behind the last.
    fn extent(&self, width: usize, height: usize, n_bands: usize, sample_bytes: usize) -> Option<usize> {
        if width == 0 || height == 0 || n_bands == 0 {
            return Some(0);
        }
        (width - 1)
            .checked_mul(self.pixel_stride)?
            .checked_add((height - 1).checked_mul(self.row_stride)?)?
            .checked_add((n_bands - 1).checked_mul(self.band_stride)?)?
            .checked_add(sample_bytes)
    }
}

/// Copies `width * height` pixels of `n_bands` samples of 1, 2, 4, 8 or 16 bytes from one layout to another.
///
/// Bytes of `to` that are no sample stay as they are.
///
/// # Errors
///
/// Invalid argument when a layout reaches beyond its buffer, or for any other sample size.
#[expect(clippy::too_many_arguments, reason = "two buffers with their layouts, and what to copy")]
pub(crate) fn copy(
    from: &[u8],
    from_layout: Layout,
    to: &mut [u8],
    to_layout: Layout,
    width: usize,
    height: usize,
    n_bands: usize,
    sample_bytes: usize,
) -> Result<()> {
    let copy_samples = match sample_bytes {
        1 => copy_sized::<1>,
        2 => copy_sized::<2>,
        4 => copy_sized::<4>,
        8 => copy_sized::<8>,
        16 => copy_sized::<16>,
        _ => return Err(Error::invalid(format!("samples of {sample_bytes} bytes"))),
    };
    for (layout, len) in [(from_layout, from.len()), (to_layout, to.len())] {
        if layout.extent(width, height, n_bands, sample_bytes).is_none_or(|extent| extent > len) {
            return Err(Error::invalid(format!(
                "{width} x {height} pixels of {n_bands} bands of {sample_bytes} bytes do not fit {len} bytes"
            )));
        }
    }
    if width != 0 && n_bands != 0 {
        copy_samples(from, from_layout, to, to_layout, width, height, n_bands);
    }
    Ok(())
}

fn copy_sized<const B: usize>(
    from: &[u8],
    from_layout: Layout,
    to: &mut [u8],
    to_layout: Layout,
    width: usize,
    height: usize,
    n_bands: usize,
) {
    let planar = |layout: Layout| layout.pixel_stride == B;
    let pixels = |layout: Layout| layout.band_stride == B && layout.pixel_stride == n_bands * B;
    for row in 0..height {
        let from = &from[row * from_layout.row_stride..];
        let to = &mut to[row * to_layout.row_stride..];
        if pixels(from_layout) && pixels(to_layout) {
            to[..width * n_bands * B].copy_from_slice(&from[..width * n_bands * B]);
        } else if planar(from_layout) && planar(to_layout) {
            for band in 0..n_bands {
                let (from, to) = (&from[band * from_layout.band_stride..], &mut to[band * to_layout.band_stride..]);
                to[..width * B].copy_from_slice(&from[..width * B]);
            }
        } else if pixels(from_layout) && planar(to_layout) && (2..=4).contains(&n_bands) {
            let row = &from[..width * n_bands * B];
            match n_bands {
                2 => split::<B, 2>(row, to, to_layout.band_stride, width),
                3 => split::<B, 3>(row, to, to_layout.band_stride, width),
                _ => split::<B, 4>(row, to, to_layout.band_stride, width),
            }
        } else if planar(from_layout) && pixels(to_layout) && (2..=4).contains(&n_bands) {
            let row = &mut to[..width * n_bands * B];
            match n_bands {
                2 => join::<B, 2>(from, from_layout.band_stride, row, width),
                3 => join::<B, 3>(from, from_layout.band_stride, row, width),
                _ => join::<B, 4>(from, from_layout.band_stride, row, width),
            }
        } else {
            copy_each::<B>(from, from_layout, to, to_layout, width, n_bands);
        }
    }
}

/// One row of pixels to `N` rows of samples, band by band, so that each pass writes one run.
fn split<const B: usize, const N: usize>(from: &[u8], to: &mut [u8], band_stride: usize, width: usize) {
    let pixels = from.as_chunks::<B>().0.as_chunks::<N>().0;
    for band in 0..N {
        let samples = to[band * band_stride..][..width * B].as_chunks_mut::<B>().0;
        for (sample, pixel) in samples.iter_mut().zip(pixels) {
            *sample = pixel[band];
        }
    }
}

/// `N` rows of samples to one row of pixels.
fn join<const B: usize, const N: usize>(from: &[u8], band_stride: usize, to: &mut [u8], width: usize) {
    let bands: [&[[u8; B]]; N] =
        std::array::from_fn(|band| &from[band * band_stride..][..width * B].as_chunks::<B>().0[..width]);
    let pixels = &mut to.as_chunks_mut::<B>().0.as_chunks_mut::<N>().0[..width];
    for at in 0..width {
        pixels[at] = std::array::from_fn(|band| bands[band][at]);
    }
}

fn copy_each<const B: usize>(
    from: &[u8],
    from_layout: Layout,
    to: &mut [u8],
    to_layout: Layout,
    width: usize,
    n_bands: usize,
) {
    for band in 0..n_bands {
        let (mut from_at, mut to_at) = (band * from_layout.band_stride, band * to_layout.band_stride);
        for _ in 0..width {
            to[to_at..to_at + B].copy_from_slice(&from[from_at..from_at + B]);
            from_at += from_layout.pixel_stride;
            to_at += to_layout.pixel_stride;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn layouts(width: usize, height: usize, n_bands: usize, sample_bytes: usize) -> Vec<Layout> {
        let mut padded = Layout::interleaved(width, n_bands, sample_bytes);
        padded.row_stride += 5;
        let mut gaps = Layout::interleaved(width, n_bands + 1, sample_bytes);
        gaps.row_stride += 3;
        let sequential = Layout::sequential(width, height, sample_bytes);
        let lines = Layout {
            pixel_stride: sample_bytes,
            row_stride: n_bands * width * sample_bytes,
            band_stride: width * sample_bytes,
        };
        vec![Layout::interleaved(width, n_bands, sample_bytes), padded, gaps, sequential, lines]
    }

    #[test]
    fn every_pair_of_layouts_copies_as_sample_by_sample() {
        for sample_bytes in [1, 2, 4, 8, 16] {
            for n_bands in [1, 2, 3, 4, 5] {
                for (width, height) in [(1, 1), (7, 3), (33, 2)] {
                    for from_layout in layouts(width, height, n_bands, sample_bytes) {
                        for to_layout in layouts(width, height, n_bands, sample_bytes) {
                            let extent = |layout: Layout| layout.extent(width, height, n_bands, sample_bytes).unwrap();
                            let from: Vec<u8> = (0..extent(from_layout)).map(|i| (i * 7 + i / 251) as u8).collect();
                            let mut to = vec![0xa5; extent(to_layout) + 2];
                            let mut expected = to.clone();
                            for (row, col, band) in (0..height)
                                .flat_map(|row| (0..width).map(move |col| (row, col)))
                                .flat_map(|(row, col)| (0..n_bands).map(move |band| (row, col, band)))
                            {
                                let at = |layout: Layout| {
                                    row * layout.row_stride + col * layout.pixel_stride + band * layout.band_stride
                                };
                                expected[at(to_layout)..][..sample_bytes]
                                    .copy_from_slice(&from[at(from_layout)..][..sample_bytes]);
                            }
                            copy(&from, from_layout, &mut to, to_layout, width, height, n_bands, sample_bytes).unwrap();
                            assert_eq!(to, expected, "{from_layout:?} to {to_layout:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_layout_beyond_its_buffer_is_refused() {
        let layout = Layout::interleaved(4, 3, 1);
        let kind = |from_len: usize, to_len: usize, sample_bytes| {
            copy(&vec![0; from_len], layout, &mut vec![0; to_len], layout, 4, 2, 3, sample_bytes).unwrap_err().kind()
        };
        assert_eq!(kind(23, 24, 1), ErrorKind::InvalidArgument);
        assert_eq!(kind(24, 23, 1), ErrorKind::InvalidArgument);
        assert_eq!(kind(24, 24, 3), ErrorKind::InvalidArgument);
        let huge = Layout { pixel_stride: usize::MAX, ..layout };
        assert!(copy(&[0; 24], huge, &mut [0; 24], layout, 4, 2, 3, 1).is_err());
    }

    #[test]
    fn nothing_to_copy_is_no_error() {
        let layout = Layout::interleaved(0, 3, 1);
        copy(&[], layout, &mut [], layout, 0, 5, 3, 1).unwrap();
        copy(&[], layout, &mut [], layout, 5, 0, 3, 1).unwrap();
    }
}
