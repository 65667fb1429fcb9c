//! The pixels of one block, as the source stores them, and how to step through them.

use crate::error::{Error, Result};
use crate::memory::{Buffer, Charge};
use crate::sample::SampleType;

/// Which index runs fastest in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Interleave {
    /// The bands of one pixel lie side by side.
    Pixel = 0,
    /// A whole band, then the next one.
    Band = 1,
}

/// Where the samples of a block lie in its memory. Strides are distances in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLayout {
    /// Valid pixels across: the block's width, less at the right edge of the level.
    pub width: u32,
    /// Valid pixels down: the block's height, less at the bottom edge of the level.
    pub height: u32,
    /// Bands in this block: all of them, or 1 where every band is a plane of its own.
    pub n_bands: u32,
    /// The type of a sample.
    pub sample: SampleType,
    /// From a sample to the same band's sample of the next pixel to the right.
    pub pixel_stride: usize,
    /// From a sample to the same band's sample one row down.
    pub row_stride: usize,
    /// From a sample to the same pixel's sample in the next band.
    pub band_stride: usize,
    /// Bytes of the whole block, padding at the edges included.
    pub bytes: usize,
}

impl BlockLayout {
    /// A block that stores `stored` (width, height) pixels, pixel-interleaved, of which the top left
    /// `width` x `height` are valid.
    ///
    /// # Errors
    ///
    /// `limit exceeded` when its bytes do not fit in memory's address range.
    pub fn new(stored: (u32, u32), width: u32, height: u32, n_bands: u32, sample: SampleType) -> Result<Self> {
        debug_assert!(width <= stored.0 && height <= stored.1);
        let band_stride = sample.bytes();
        let of = |a: usize, b: u32| a.checked_mul(b as usize);
        let strides = of(band_stride, n_bands).and_then(|pixel| Some((pixel, of(pixel, stored.0)?)));
        match strides.and_then(|(pixel, row)| Some((pixel, row, of(row, stored.1)?))) {
            Some((pixel_stride, row_stride, bytes)) if bytes <= isize::MAX as usize => {
                Ok(Self { width, height, n_bands, sample, pixel_stride, row_stride, band_stride, bytes })
            }
            _ => Err(Error::limit(format!(
                "a block of {}x{} pixels with {n_bands} bands of {}",
                stored.0,
                stored.1,
                sample.name()
            ))),
        }
    }

    /// Distance in bytes from the start of the block to the sample at `x, y` of `band`.
    #[must_use]
    pub const fn offset(&self, x: u32, y: u32, band: u32) -> usize {
        x as usize * self.pixel_stride + y as usize * self.row_stride + band as usize * self.band_stride
    }
}

/// The immutable pixels of one block.
///
/// Where the pixels are comes first: a cache keeps it on the same line as the key, which a hit has just looked at.
#[derive(Debug)]
#[repr(C)]
pub struct Block {
    pixels: Buffer,
    layout: BlockLayout,
    /// On the ledger for as long as the pixels live, whoever holds them.
    _charge: Charge,
}

impl Block {
    pub(crate) fn new(layout: BlockLayout, pixels: Buffer, charge: Charge) -> Self {
        debug_assert_eq!(layout.bytes, pixels.len());
        Self { layout, pixels, _charge: charge }
    }

    /// Where the samples lie.
    #[must_use]
    pub const fn layout(&self) -> &BlockLayout {
        &self.layout
    }

    /// All bytes of the block; samples are in native byte order and aligned to their size.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.pixels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_count_bytes_of_the_stored_block() {
        let layout = BlockLayout::new((256, 128), 200, 100, 3, SampleType::U16).unwrap();
        assert_eq!((layout.pixel_stride, layout.row_stride, layout.band_stride, layout.bytes), (6, 1536, 2, 196_608));
        assert_eq!(layout.offset(5, 2, 1), 2 * 1536 + 5 * 6 + 2);
    }

    #[test]
    fn a_block_that_no_memory_can_hold_is_refused() {
        let huge = BlockLayout::new((u32::MAX, u32::MAX), 1, 1, 65_535, SampleType::F64);
        assert_eq!(huge.unwrap_err().kind(), crate::ErrorKind::LimitExceeded);
    }
}
