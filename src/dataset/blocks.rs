//! Blocks by place: from the cache, from the source, or made from a finer level.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::block::{BlockLayout, LentBlock, OwnedBlock};
use crate::cache::Mode;
use crate::cancel;
use crate::error::{Error, Result, panic_message};
use crate::grid::{BlockId, Window};
use crate::memory::{Buffer, Class, LentBytes, Pool, Rows, copy_rows};
use crate::resample;
use crate::source::{ReadContext, Siblings};
use crate::sync::Arc;

use super::levels::Origin;
use super::options::CacheUse;
use super::{BlockRef, Dataset};

impl Dataset {
    /// The block `at`, from memory or read now.
    ///
    /// A block in memory costs no system call and no allocation. Of all threads that ask for an absent block one
    /// reads and decodes it. When the budget has no room the block is lent all the same, and not kept.
    ///
    /// # Errors
    ///
    /// `invalid argument` when there is no such block, otherwise what reading it met; the message names the dataset
    /// and the block. Other blocks stay readable, and a later call tries again.
    pub fn block(&self, at: impl Into<BlockId>) -> Result<BlockRef<'_>> {
        self.block_with(at, CacheUse::Normal)
    }

    /// The block `at` as [`block`](Self::block) gives it, for a reader of another kind.
    ///
    /// # Errors
    ///
    /// As [`block`](Self::block).
    #[inline]
    pub fn block_with(&self, at: impl Into<BlockId>, cache_use: CacheUse) -> Result<BlockRef<'_>> {
        let (at, mode) = (at.into(), cache_use.mode());
        self.found_or(at, mode, |error| self.named(error))
    }

    /// The block `at`, to be held for longer: it counts against the budget for as long as it is lent.
    ///
    /// Dropping what is returned unlocks it.
    ///
    /// # Errors
    ///
    /// As [`block`](Self::block), and `limit exceeded` when the budget has no room beside the blocks that are locked,
    /// in use or being loaded at the moment.
    #[inline]
    pub fn lock_block(&self, at: impl Into<BlockId>) -> Result<BlockRef<'_>> {
        let at = at.into();
        self.found_or(at, Mode::Lock, |error| self.named(error))
    }

    /// Copies the valid pixels of the block `at` to the start of `out`: rows from the top without padding, bands side
    /// by side, samples in native byte order. Returns how the copy lies in memory.
    ///
    /// # Errors
    ///
    /// As [`block`](Self::block), and `invalid argument` when `out` is too small.
    pub fn read_block(&self, at: impl Into<BlockId>, out: &mut [u8]) -> Result<BlockLayout> {
        self.read_block_with(at, out, CacheUse::Normal)
    }

    /// Copies a block as [`read_block`](Self::read_block) does, for a reader of another kind.
    ///
    /// # Errors
    ///
    /// As [`read_block`](Self::read_block).
    pub fn read_block_with(&self, at: impl Into<BlockId>, out: &mut [u8], cache_use: CacheUse) -> Result<BlockLayout> {
        let at = at.into();
        let valid = self.block_layout(at)?;
        let size = (valid.width, valid.height);
        let tight = BlockLayout::new(size, size.0, size.1, valid.n_bands, valid.sample)?;
        if out.len() < tight.bytes {
            return Err(Error::invalid(format!(
                "{at} takes {} bytes, the memory given has {}",
                tight.bytes,
                out.len()
            )));
        }
        let block = self.block_with(at, cache_use)?;
        let (n_rows, row_bytes) = (tight.height as usize, tight.row_stride);
        let (source_stride, target_stride) = (block.layout().row_stride, row_bytes);
        copy_rows(block.bytes(), out, Rows { n_rows, row_bytes, source_stride, target_stride });
        Ok(tight)
    }

    /// The block if it is in memory. A place that does not exist is never found.
    #[inline]
    pub(super) fn found(&self, at: BlockId, mode: Mode) -> Option<BlockRef<'_>> {
        let cache = &self.core.cache;
        // The blocks of a mask are in the same cache.
        if !self.core.has(at) {
            return None;
        }
        cache.get(&at, mode).map(|pin| BlockRef::cached(pin, cache))
    }

    /// The block from memory or read now; `say` puts more words to a failure.
    #[inline]
    fn found_or(&self, at: BlockId, mode: Mode, say: impl Fn(Error) -> Error) -> Result<BlockRef<'_>> {
        let mode = self.core.advised.mode(at, mode);
        match self.found(at, mode) {
            Some(found) => Ok(found),
            None => self.absent(at, mode, say),
        }
    }

    #[inline(never)]
    fn absent(&self, at: BlockId, mode: Mode, say: impl Fn(Error) -> Error) -> Result<BlockRef<'_>> {
        let cache = &self.core.cache;
        cancel::check()?;
        let layout = self.shared_layout(at).map_err(&say)?;
        let lent = self.lent_by_source(at).map_err(&say)?;
        if let Some(block) = lent.and_then(|bytes| LentBlock::new(layout, bytes)) {
            self.core.mapped.add_one();
            return Ok(BlockRef::of_source(block, cache));
        }
        let mode = match mode {
            Mode::Use if self.is_a_copy(at) => Mode::Copy,
            mode => mode,
        };
        self.share_budget();
        // Before anything makes room for it.
        self.check_block_bytes(layout).map_err(&say)?;
        let pin = cache.get_or_load(at, weight(layout), mode, || self.load(at, layout, mode)).map_err(say)?;
        self.count_index();
        Ok(BlockRef::cached(pin, cache))
    }

    pub(super) fn is_a_copy(&self, at: BlockId) -> bool {
        let Origin::Stored(level) = self.core.origins[at.level as usize] else { return false };
        // A source that panics says so when it reads.
        unharmed(|| Ok(self.core.source.is_a_copy(BlockId { level, ..at }))).unwrap_or(false)
    }

    fn lent_by_source(&self, at: BlockId) -> Result<Option<LentBytes<'_>>> {
        let Origin::Stored(level) = self.core.origins[at.level as usize] else { return Ok(None) };
        unharmed(|| Ok(self.core.source.lend(BlockId { level, ..at }))).map_err(|error| error.context(at))
    }

    /// Puts the dataset's name before a message.
    #[cold]
    pub(super) fn named(&self, error: Error) -> Error {
        error.context(&self.core.name)
    }

    /// Reads or makes the block `at` for a reader of this kind.
    fn load(&self, at: BlockId, layout: &Arc<BlockLayout>, mode: Mode) -> Result<OwnedBlock> {
        let (mut pixels, charge) = self.memory_for(layout)?;
        match self.core.origins[at.level as usize] {
            Origin::Stored(level) => {
                let read = self.read_stored(BlockId { level, ..at }, layout, mode, &mut pixels);
                read.map_err(|error| error.context(at))?;
            }
            // A failure names the stored block that could not be read.
            Origin::Finer => self.make_from_finer(at, layout, mode, &mut pixels)?,
        }
        Ok(OwnedBlock::new(Arc::clone(layout), pixels, charge))
    }

    fn memory_for(&self, layout: &BlockLayout) -> Result<(Buffer, crate::memory::Charge)> {
        self.check_block_bytes(layout)?;
        let pixels = Pool::process().take(layout.bytes)?;
        Ok((pixels, self.core.cache.ledger().charge(Class::Block, weight(layout))))
    }

    fn check_block_bytes(&self, layout: &BlockLayout) -> Result<()> {
        let max = self.core.max_block_bytes;
        if layout.bytes <= max {
            return Ok(());
        }
        Err(Error::limit(format!("a block of {} bytes, the limit is {max} bytes", layout.bytes)))
    }

    /// Lets the source read ahead what a block is made from.
    pub(super) fn will_need_stored(&self, at: BlockId) {
        if let Origin::Stored(level) = self.core.origins[at.level as usize] {
            let advised = unharmed(|| {
                self.core.source.will_need(BlockId { level, ..at });
                Ok(())
            });
            // It was advice: what cannot be read says so when it is read.
            drop(advised);
        }
    }

    fn read_stored(&self, at: BlockId, layout: &BlockLayout, mode: Mode, pixels: &mut [u8]) -> Result<()> {
        let cache = &self.core.cache;
        let (mode, room) = match of_what_comes_by(mode) {
            Mode::Beside => (Mode::Beside, cache.max_beside_bytes()),
            mode => (mode, cache.max_unasked_bytes().saturating_sub(weight(layout))),
        };
        let mut siblings = Keep { dataset: self, mode, room };
        let mut context = ReadContext::with_siblings(&mut siblings);
        unharmed(|| self.core.source.read_block(at, pixels, &mut context))
    }

    fn make_from_finer(&self, at: BlockId, layout: &BlockLayout, mode: Mode, pixels: &mut [u8]) -> Result<()> {
        let finer = self.level(at.level - 1)?;
        let here = self.level(at.level)?;
        let (x, y) =
            (u64::from(at.col) * u64::from(here.block_width) * 2, u64::from(at.row) * u64::from(here.block_height) * 2);
        let width = (u64::from(layout.width) * 2).min(finer.width - x) as u32;
        let height = (u64::from(layout.height) * 2).min(finer.height - y) as u32;
        let gathered = BlockLayout::new((width, height), width, height, layout.n_bands, layout.sample)?;
        let (mut from, _charge) = self.memory_for(&gathered)?;
        let window = Window::new(x, y, u64::from(width), u64::from(height));
        self.gather((BlockId { level: at.level - 1, ..at }, mode), &window, &gathered, &mut from)?;
        let nodata = |band| self.info().band_nodata(self.band_of(at.plane, band));
        resample::halve((&gathered, &from), (layout, pixels), nodata, self.level_resampling());
        Ok(())
    }

    /// Copies the pixels of `window` from the blocks of the level and plane of `at`, for a reader of this kind.
    fn gather(&self, (at, mode): (BlockId, Mode), window: &Window, layout: &BlockLayout, out: &mut [u8]) -> Result<()> {
        let level = *self.level(at.level)?;
        let (cols, rows) = level.blocks_of(window);
        for row in rows {
            cancel::check()?;
            for col in cols.clone() {
                let at = BlockId { col, row, ..at };
                let Some(covered) = level.block_window(col, row) else { continue };
                let Some(part) = covered.intersection(window) else { continue };
                // What sticks out is needed for the block beside the one that is made as well.
                let is_used_up = part == covered && matches!(mode, Mode::Passing | Mode::Sequential);
                let block = self.found_or(at, if is_used_up { mode } else { of_what_comes_by(mode) }, |error| error)?;
                let (left, top) = (
                    (part.x - u64::from(col) * u64::from(level.block_width)) as u32,
                    (part.y - u64::from(row) * u64::from(level.block_height)) as u32,
                );
                let from = &block.bytes()[block.layout().offset(left, top, 0)..];
                let to = layout.offset((part.x - window.x) as u32, (part.y - window.y) as u32, 0);
                let rows = Rows {
                    n_rows: part.height as usize,
                    row_bytes: part.width as usize * layout.pixel_stride,
                    source_stride: block.layout().row_stride,
                    target_stride: layout.row_stride,
                };
                copy_rows(from, &mut out[to..], rows);
            }
        }
        Ok(())
    }
}

/// Runs what a source does. One that panics must not take the client down: its block failed, nothing else.
pub(super) fn unharmed<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Error::internal(format!("the source panicked: {}", panic_message(&*panic)))))
}

/// Bytes that a block of this layout takes.
pub(super) fn weight(layout: &BlockLayout) -> u64 {
    Pool::size_of(layout.bytes).unwrap_or(layout.bytes) as u64
}

/// How blocks are kept that a reader of this kind did not ask for: those of one who passes through are no reason for others
/// to go.
fn of_what_comes_by(mode: Mode) -> Mode {
    match mode {
        Mode::Passing | Mode::Sequential | Mode::Beside => Mode::Beside,
        Mode::Use | Mode::Copy | Mode::Lock => Mode::Use,
    }
}

/// Takes the blocks that a source had to decode on the way, as far as the budget goes.
struct Keep<'a> {
    dataset: &'a Dataset,
    mode: Mode,
    /// What may be taken without pushing out the block that was asked for.
    room: u64,
}

impl Siblings for Keep<'_> {
    fn offer(&mut self, at: BlockId, fill: &mut dyn FnMut(&mut [u8]) -> Result<()>) -> bool {
        let core = &self.dataset.core;
        let level = core.origins.iter().position(|origin| *origin == Origin::Stored(at.level));
        let Some(at) = level.map(|level| BlockId { level: level as u32, ..at }) else { return false };
        let Ok(layout) = self.dataset.shared_layout(at) else { return false };
        if self.dataset.check_block_bytes(layout).is_err() {
            return false;
        }
        let weight = weight(layout);
        let taken_bytes = weight + Dataset::BLOCK_OVERHEAD;
        if taken_bytes > self.room {
            return false;
        }
        let taken = core.cache.insert_with(at, weight, self.mode, || {
            let (mut pixels, charge) = self.dataset.memory_for(layout).ok()?;
            fill(&mut pixels).ok()?;
            Some(OwnedBlock::new(Arc::clone(layout), pixels, charge))
        });
        if taken {
            self.room -= taken_bytes;
        }
        taken
    }
}
