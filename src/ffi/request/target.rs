//! A client's buffer that an answer is copied to.

use crate::block::BlockLayout;
use crate::error::{Error, Result};
use crate::sync::Mutex;

/// A buffer of the client's until an answer was copied there, or the client has it back.
///
/// Only a copy is made under its lock, so that the client has its buffer back as soon as it says so.
pub(super) struct Target {
    shape: Shape,
    buffer: *mut u8,
    /// Whether something may still be written there.
    is_lent: Mutex<bool>,
}

/// Where samples go.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) n_bands: usize,
    /// Bytes of a sample.
    pub(super) sample: usize,
    /// From a sample to that of the next pixel, of the pixel below, and of the next band.
    pub(super) pixel: usize,
    pub(super) row: usize,
    pub(super) band: usize,
}

// SAFETY: whoever made the target promises that nobody else uses the buffer while it is lent.
unsafe impl Send for Target {}
// SAFETY: as above, and the buffer is written under the lock only.
unsafe impl Sync for Target {}

impl Shape {
    /// Of a block whose rows lie without gaps.
    pub(super) fn of_block(layout: &BlockLayout) -> Self {
        Self {
            width: layout.width as usize,
            height: layout.height as usize,
            n_bands: layout.n_bands as usize,
            sample: layout.sample.bytes(),
            pixel: layout.pixel_stride,
            row: layout.row_stride,
            band: layout.band_stride,
        }
    }

    /// Bytes of a row of pixels without gaps.
    fn row_bytes(&self) -> usize {
        self.width * self.n_bands * self.sample
    }

    /// Whether the samples of a row lie side by side.
    fn is_dense(&self) -> bool {
        self.pixel == self.n_bands * self.sample && (self.n_bands == 1 || self.band == self.sample)
    }
}

impl Target {
    /// # Safety
    ///
    /// `buffer` has room for `shape`, and nobody else uses that until [`fill`](Self::fill) or
    /// [`give_back`](Self::give_back) returned.
    pub(super) unsafe fn new(buffer: *mut u8, shape: Shape) -> Self {
        Self { shape, buffer, is_lent: Mutex::new(true) }
    }

    /// Where the buffer is, or was.
    pub(super) fn address(&self) -> *mut u8 {
        self.buffer
    }

    /// Copies samples there, unless that was done or the client has the buffer back. They are pixel-interleaved, in rows
    /// that are `row_stride` apart.
    pub(super) fn fill(&self, samples: &[u8], row_stride: usize) -> Result<()> {
        let mut is_lent = self.is_lent.lock();
        if !*is_lent {
            return Ok(());
        }
        let shape = &self.shape;
        let needed = row_stride.checked_mul(shape.height.saturating_sub(1)).map(|start| start + shape.row_bytes());
        if row_stride < shape.row_bytes() || needed.is_none_or(|needed| samples.len() < needed) {
            return Err(Error::internal(format!("an answer of {} bytes in rows of {row_stride}", samples.len())));
        }
        *is_lent = false;
        for y in 0..shape.height {
            let source = &samples[y * row_stride..][..shape.row_bytes()];
            let copy = |from: &[u8], to: usize| {
                // SAFETY: the buffer has room for every sample of the shape, and is ours until it is given back, for which
                // the lock is needed.
                let to = unsafe { self.buffer.add(to) };
                // SAFETY: as above; the answer is not the client's memory.
                unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
            };
            if shape.is_dense() {
                copy(source, y * shape.row);
                continue;
            }
            for (x, pixel) in source.chunks_exact(shape.n_bands * shape.sample).enumerate() {
                for (band, sample) in pixel.chunks_exact(shape.sample).enumerate() {
                    copy(sample, y * shape.row + x * shape.pixel + band * shape.band);
                }
            }
        }
        Ok(())
    }

    /// As [`fill`](Self::fill) with rows without gaps.
    pub(super) fn fill_dense(&self, samples: &[u8]) -> Result<()> {
        self.fill(samples, self.shape.row_bytes())
    }

    /// Nothing is written to the buffer any more.
    pub(super) fn give_back(&self) {
        *self.is_lent.lock() = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_go_where_the_strides_say_and_the_rest_stays() {
        let samples: Vec<u8> = (1..=2 * 3 * 2).collect();
        let shape = |pixel, row, band| Shape { width: 3, height: 2, n_bands: 2, sample: 1, pixel, row, band };
        let cases = [
            (shape(2, 6, 1), vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0, 0]),
            (shape(2, 8, 1), vec![1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 10, 11, 12, 0, 0]),
            (shape(1, 3, 8), vec![1, 3, 5, 7, 9, 11, 0, 0, 2, 4, 6, 8, 10, 12, 0, 0]),
        ];
        for (shape, expected) in cases {
            let mut out = vec![0; 16];
            // SAFETY: the shapes fit into 16 bytes, which live until the end.
            let target = unsafe { Target::new(out.as_mut_ptr(), shape) };
            assert!(target.fill(&samples, 6).is_ok());
            // It is copied once.
            assert!(target.fill(&[0; 12], 6).is_ok());
            assert_eq!(out, expected);
        }
        let mut out = [0; 16];
        // SAFETY: as above.
        let target = unsafe { Target::new(out.as_mut_ptr(), shape(2, 6, 1)) };
        target.give_back();
        assert!(target.fill(&samples, 6).is_ok());
        assert_eq!(out, [0; 16]);
        // SAFETY: as above.
        let target = unsafe { Target::new(out.as_mut_ptr(), shape(2, 6, 1)) };
        assert!(target.fill(&samples[1..], 6).is_err());
        // What failed is not taken for done.
        assert!(target.fill(&samples[1..], 6).is_err());
        assert_eq!(out, [0; 16]);
    }
}
