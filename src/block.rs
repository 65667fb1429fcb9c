//! The pixels of one block, as the source stores them, and how to step through them.

#![expect(unsafe_code, reason = "a block knows where its pixels are, whoever owns them")]

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::error::{Error, Result};
use crate::memory::{Buffer, Charge, KeptBytes, LentBytes};
use crate::sample::SampleType;
use crate::sync::Arc;

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
/// It owns nothing: it is part of what does, and lent by that. It is small, so that a cache has it on the same line of
/// memory as the key, which a hit has just looked at; how the pixels lie is said once for all blocks that lie alike.
pub struct Block {
    start: NonNull<u8>,
    layout: NonNull<BlockLayout>,
}

// SAFETY: this refers to bytes and a layout that are only read.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    /// Where the samples lie.
    #[must_use]
    #[inline]
    pub const fn layout(&self) -> &BlockLayout {
        // SAFETY: a block is part of what keeps its layout where it is and is not given away, so `self` is borrowed from
        // that.
        unsafe { self.layout.as_ref() }
    }

    /// All bytes of the block; samples are in native byte order and aligned to their size.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: as for the layout. Whoever made the block saw to it that its owner has `layout.bytes` bytes at `start`,
        // which stay there, and unchanged, while it lives.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.layout().bytes) }
    }

    /// The same block in other hands.
    ///
    /// # Safety
    ///
    /// Whoever gets it keeps what this one is part of, and lends the block for no longer than that.
    pub(crate) const unsafe fn again(&self) -> Self {
        Self { start: self.start, layout: self.layout }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("layout", self.layout()).finish_non_exhaustive()
    }
}

/// A block and what keeps its pixels and its layout where they are.
pub(crate) struct HeldBlock<O> {
    block: Block,
    owner: O,
}

/// A block in memory of the pool, on the ledger for as long as it lives, whoever holds it.
pub(crate) type OwnedBlock = HeldBlock<Box<(Buffer, Charge, Arc<BlockLayout>)>>;
/// A block in memory of its source, which is borrowed: no reference is counted for it.
pub(crate) type LentBlock<'a> = HeldBlock<(LentBytes<'a>, &'a Arc<BlockLayout>)>;
/// A block in memory of its source, which it keeps alive.
pub(crate) type KeptBlock = HeldBlock<(KeptBytes, Arc<BlockLayout>)>;

impl OwnedBlock {
    /// # Panics
    ///
    /// When `pixels` is not as long as `layout` says.
    pub(crate) fn new(layout: Arc<BlockLayout>, pixels: Buffer, charge: Charge) -> Self {
        assert_eq!(layout.bytes, pixels.len());
        // A buffer does not move its memory when it is moved, and nobody writes to this one any more.
        let block = Block { start: NonNull::from(&*pixels).cast(), layout: NonNull::from(&*layout) };
        Self { block, owner: Box::new((pixels, charge, layout)) }
    }
}

impl<'a> LentBlock<'a> {
    /// `None` when the bytes are not as many as `layout` says, or not aligned to the size of a sample.
    #[inline]
    pub(crate) fn new(layout: &'a Arc<BlockLayout>, lent: LentBytes<'a>) -> Option<Self> {
        let start: NonNull<u8> = NonNull::from(lent.bytes()).cast();
        let fits = lent.len() == layout.bytes && start.addr().get().is_multiple_of(layout.sample.bytes());
        let block = Block { start, layout: NonNull::from(&**layout) };
        fits.then_some(Self { block, owner: (lent, layout) })
    }

    /// The same block with a share in its owners.
    pub(crate) fn keep(self) -> KeptBlock {
        let (lent, layout) = self.owner;
        let (kept, layout) = (lent.keep(), Arc::clone(layout));
        let block = Block { start: NonNull::from(&*kept).cast(), layout: NonNull::from(&*layout) };
        HeldBlock { block, owner: (kept, layout) }
    }
}

impl<O> Deref for HeldBlock<O> {
    type Target = Block;

    #[inline]
    fn deref(&self) -> &Block {
        &self.block
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

    #[test]
    fn a_slot_of_the_cache_has_room_for_a_block_on_its_line() {
        // Beside it are a word, a stamp and a key.
        assert!(16 + size_of::<crate::BlockId>() + size_of::<OwnedBlock>() <= 64);
    }

    #[test]
    fn lent_bytes_become_a_block_when_they_fit_its_layout() {
        let layout = Arc::new(BlockLayout::new((4, 2), 3, 2, 1, SampleType::U32).unwrap());
        // Alignment is told by the address, so there are more bytes than the block has.
        let owner = Arc::new((0..40).collect::<Vec<u8>>());
        let first = owner.as_ptr().align_offset(4);
        let lend = |range: std::ops::Range<usize>| LentBlock::new(&layout, LentBytes::new(&owner, range).unwrap());
        assert!(lend(first + 1..first + 33).is_none() && lend(first..first + 31).is_none());
        let lent = lend(first..first + 32).unwrap();
        assert_eq!(lent.bytes().as_ptr(), &raw const owner[first]);
        let kept = lent.keep();
        drop(owner);
        assert_eq!((kept.bytes()[0], kept.bytes()[31]), (first as u8, first as u8 + 31));
    }
}
