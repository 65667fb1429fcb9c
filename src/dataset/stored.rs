//! What a source stores, handed out as it is.

use crate::error::Result;
use crate::grid::{BlockId, Window};
use crate::memory::copy_bytes;
use crate::source::{ReadContext, StoredPicture};

use super::Dataset;
use super::blocks::unharmed;
use super::levels::Origin;
use super::options::CacheUse;

impl Dataset {
    /// The picture that the source stores of exactly these pixels; see
    /// [`TileSource::stored_picture`](crate::TileSource::stored_picture). No block is read.
    pub(crate) fn stored_picture(&self, frame: u32, level: u32, window: &Window) -> Option<StoredPicture> {
        let Origin::Stored(level) = *self.core.origins.get(level as usize)? else { return None };
        let source = &self.core.source;
        // A source that panics here is asked to decode next, and says so then if it must.
        unharmed(|| Ok(source.stored_picture(frame, level, window, &mut ReadContext::default()))).ok().flatten()
    }

    /// Reads the block of exactly these pixels straight into `out`, for a reader that only passes through: nothing of it
    /// would be kept. `false` for anything but a whole block of all bands that is a copy of stored bytes.
    ///
    /// # Errors
    ///
    /// What reading the block met.
    pub(crate) fn read_copy(
        &self,
        frame: u32,
        level: u32,
        window: &Window,
        cache_use: CacheUse,
        out: &mut [u8],
    ) -> Result<bool> {
        if cache_use != CacheUse::NoCache || self.info().n_planes() > 1 {
            return Ok(false);
        }
        let grid = self.level(level)?;
        let (Ok(col), Ok(row)) = (
            u32::try_from(window.x / u64::from(grid.block_width)),
            u32::try_from(window.y / u64::from(grid.block_height)),
        ) else {
            return Ok(false);
        };
        let at = BlockId::new(level, col, row).with_frame(frame);
        if grid.block_window(col, row) != Some(*window) || !self.is_a_copy(at) {
            return Ok(false);
        }
        let layout = self.shared_layout(at)?;
        // Nothing but valid pixels.
        let pixels = layout.width as usize * layout.height as usize;
        if layout.bytes != out.len() || layout.bytes != pixels * layout.pixel_stride {
            return Ok(false);
        }
        if let Some(block) = self.found(at, cache_use.mode()) {
            copy_bytes(block.bytes(), out);
            return Ok(true);
        }
        let Origin::Stored(stored) = self.core.origins[level as usize] else { return Ok(false) };
        let read = unharmed(|| {
            let at = BlockId { level: stored, ..at };
            self.core.source.read_block(at, out, &mut ReadContext::default())
        });
        read.map_err(|error| self.named(error.context(at)))?;
        Ok(true)
    }
}
