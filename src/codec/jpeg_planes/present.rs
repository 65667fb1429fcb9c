//! Samples of components to pixels.

use crate::error::{Error, Result};
use crate::grid::Window;

use super::super::jpeg::{Stored, ycc_to_rgb};
use super::{Plane, Planes};

impl Planes<'_> {
    /// Writes the pixels of `window`, which counts pixels of the reduced picture, to `out`: rows without padding of
    /// `n_bands` samples a pixel, of a byte each for a picture of 8 bits and otherwise of two in native order. Three bands of
    /// a picture of four components are red, green and blue.
    ///
    /// Where chroma has half of the samples of luma, the others are interpolated as libjpeg does; otherwise they are
    /// repeated.
    ///
    /// # Errors
    ///
    /// Invalid argument when `out` has another size, internal when the window is not in the part that was decoded.
    pub(crate) fn present(&self, window: &Window, n_bands: usize, out: &mut [u8]) -> Result<()> {
        let info = &self.frame.info;
        let sample_bytes = info.sample_bytes();
        let (width, height) = (window.width as usize, window.height as usize);
        let stride = width * n_bands * sample_bytes;
        if out.len() != stride * height || stride == 0 {
            return Err(Error::invalid(format!("{} bytes for {window} of {n_bands} bands", out.len())));
        }
        let is_here = self.planes.iter().all(|plane| {
            let (left, top) = (plane.left * plane.side.0 * plane.ratio.0, plane.top * plane.side.1 * plane.ratio.1);
            let (right, bottom) = (left + plane.stride * plane.ratio.0, top + plane.n_rows * plane.ratio.1);
            window.x as usize >= left
                && window.y as usize >= top
                && window.right() as usize <= right
                && window.bottom() as usize <= bottom
        });
        let n_planes = self.planes.len();
        if !is_here || n_bands != n_planes && (n_bands, n_planes) != (3, 4) {
            return Err(Error::internal(format!("{window} of {n_bands} bands is not in the part that was decoded")));
        }
        let mut rows: Vec<Vec<u16>> = self.planes.iter().map(|_| vec![0; width]).collect();
        for (y, target) in (window.y as usize..).zip(out.chunks_exact_mut(stride)) {
            for (at, row) in rows.iter_mut().enumerate() {
                self.row(at, window.x as usize, y, row);
            }
            if sample_bytes == 1 {
                let (target, _) = target.as_chunks_mut::<1>();
                self.pixels(&rows, n_bands, target, |value| [value as u8]);
            } else {
                let (target, _) = target.as_chunks_mut::<2>();
                self.pixels(&rows, n_bands, target, u16::to_ne_bytes);
            }
        }
        Ok(())
    }

    /// A sample for each of the pixels from `x, y` on.
    fn row(&self, component: usize, x: usize, y: usize, out: &mut [u16]) {
        let plane = &self.planes[component];
        let size = self.frame.size(self.reduction);
        // The last samples of the picture; what comes behind them fills up the last blocks.
        let last = |pixels: u32, ratio: usize, first: usize, n: usize| {
            ((pixels as usize).div_ceil(ratio) - 1).saturating_sub(first).min(n - 1)
        };
        let (left, top) = (plane.left * plane.side.0, plane.top * plane.side.1);
        let (last_col, last_row) =
            (last(size.0, plane.ratio.0, left, plane.stride), last(size.1, plane.ratio.1, top, plane.n_rows));
        let line = |row: usize| &self.samples[plane.start + row * plane.stride..][..plane.stride];
        let near = line(y / plane.ratio.1 - top);
        if !self.is_interpolated(plane) {
            let from = &near[x / plane.ratio.0 - left..];
            match plane.ratio.0 {
                1 => out.copy_from_slice(&from[..out.len()]),
                ratio => {
                    for (at, sample) in out.iter_mut().enumerate() {
                        *sample = from[(x % ratio + at) / ratio];
                    }
                }
            }
            return;
        }
        // Three parts of the nearest sample and one of the next; rounded up and down by turns where it is in the middle.
        let next = |at: usize, first: usize, last: usize| {
            let nearest = at / 2 - first;
            if at.is_multiple_of(2) { nearest.saturating_sub(1) } else { (nearest + 1).min(last) }
        };
        let far = if plane.ratio.1 == 2 { line(next(y, top, last_row)) } else { near };
        let down = |col: usize| match plane.ratio.1 {
            2 => 3 * u32::from(near[col]) + u32::from(far[col]),
            _ => u32::from(near[col]),
        };
        for (x, sample) in (x..).zip(out) {
            let even = u32::from(x.is_multiple_of(2));
            let value = match plane.ratio {
                (2, ratio) => {
                    let sum = 3 * down(x / 2 - left) + down(next(x, left, last_col));
                    if ratio == 2 { (sum + 7 + even) >> 4 } else { (sum + 2 - even) >> 2 }
                }
                _ => (down(x - left) + 1 + (y % 2) as u32) >> 2,
            };
            *sample = value as u16;
        }
    }

    fn is_interpolated(&self, plane: &Plane) -> bool {
        self.reduction == 0 && matches!(plane.ratio, (2, 1 | 2) | (1, 2))
    }

    /// Pixels of samples by component. What they mean is as in the decoder of whole streams.
    fn pixels<const B: usize>(
        &self,
        rows: &[Vec<u16>],
        n_bands: usize,
        out: &mut [[u8; B]],
        put: impl Fn(u16) -> [u8; B],
    ) {
        let max = (1_u32 << self.frame.info.bits) - 1;
        match (self.frame.stored, rows) {
            (Stored::Ycbcr, [luma, blue, red]) => {
                let samples = luma.iter().zip(blue).zip(red);
                for (pixel, ((y, cb), cr)) in out.as_chunks_mut::<3>().0.iter_mut().zip(samples) {
                    *pixel = ycc_to_rgb([*y, *cb, *cr], max).map(&put);
                }
            }
            (stored, [c, m, y, k]) if stored == Stored::Ycck || n_bands == 3 => {
                let inks = c.iter().zip(m).zip(y).zip(k);
                for (pixel, (((c, m), y), k)) in out.chunks_exact_mut(n_bands).zip(inks) {
                    let inks = match stored {
                        Stored::Ycck => ycc_to_rgb([*c, *m, *y], max).map(|value| max as u16 - value),
                        _ => [*c, *m, *y],
                    };
                    match pixel {
                        [r, g, b] => {
                            let light = inks.map(|ink| (u32::from(ink) * u32::from(*k) / max) as u16);
                            [*r, *g, *b] = light.map(&put);
                        }
                        _ => {
                            for (target, value) in pixel.iter_mut().zip(inks.into_iter().chain([*k])) {
                                *target = put(value);
                            }
                        }
                    }
                }
            }
            (_, rows) => {
                for (at, row) in rows.iter().enumerate() {
                    for (target, value) in out[at..].iter_mut().step_by(rows.len()).zip(row) {
                        *target = put(*value);
                    }
                }
            }
        }
    }
}
