//! A source, and the levels and the mask that lie in files beside it, as one source.

use crate::error::Result;
use crate::grid::{BlockId, Window};
use crate::memory::LentBytes;
use crate::source::tiff::TiffSource;
use crate::source::{ReadContext, SourceInfo, StoredPicture, TileSource};
use crate::sync::Arc;

/// The levels of `base`, then those of `overviews`, which take the place of levels that `base` does not store.
pub(super) struct Joined {
    info: SourceInfo,
    base: Box<dyn TileSource>,
    /// Levels that are those of `base`.
    n_own: u32,
    overviews: Option<TiffSource>,
    mask: Option<Arc<dyn TileSource>>,
}

impl Joined {
    /// `info` is what is known of `base`; levels and the mask, with how many of its bands count, are added to it.
    pub(super) fn new(
        base: Box<dyn TileSource>,
        mut info: SourceInfo,
        overviews: Option<TiffSource>,
        mask: Option<(Arc<dyn TileSource>, u32)>,
    ) -> Self {
        let mut n_own = info.levels.len() as u32;
        if let Some(overviews) = &overviews {
            let n_stored = info.levels.iter().take_while(|level| level.native).count();
            info.levels.truncate(n_stored);
            n_own = n_stored as u32;
            info.levels.extend(&overviews.info().levels);
        }
        let (mask, n_mask_bands) = mask.map_or((None, info.n_mask_bands), |(mask, n)| (Some(mask), n));
        info.n_mask_bands = n_mask_bands;
        Self { info, base, n_own, overviews, mask }
    }

    /// The sources of files beside it.
    fn beside(&self) -> impl Iterator<Item = &dyn TileSource> {
        let overviews = self.overviews.iter().map(|source| source as &dyn TileSource);
        overviews.chain(self.mask.iter().map(|source| &**source))
    }

    /// Who has the block `at`, and where.
    fn owner(&self, at: BlockId) -> (&dyn TileSource, BlockId) {
        let n_own = self.n_own;
        match &self.overviews {
            Some(overviews) if at.level >= n_own => (overviews, BlockId { level: at.level - n_own, ..at }),
            _ => (&*self.base, at),
        }
    }
}

impl TileSource for Joined {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], context: &mut ReadContext<'_>) -> Result<()> {
        let (owner, there) = self.owner(at);
        if there == at {
            return owner.read_block(at, out, context);
        }
        // Blocks that are offered would have the numbers of their own file.
        owner.read_block(there, out, &mut ReadContext::default())
    }

    fn lend(&self, at: BlockId) -> Option<LentBytes<'_>> {
        let (owner, there) = self.owner(at);
        owner.lend(there)
    }

    fn stored_picture(
        &self,
        frame: u32,
        level: u32,
        window: &Window,
        context: &mut ReadContext<'_>,
    ) -> Option<StoredPicture> {
        // The colours of indices may be those of a file beside it.
        if self.info.color_table != self.base.info().color_table {
            return None;
        }
        let (owner, there) = self.owner(BlockId::new(level, 0, 0));
        owner.stored_picture(frame, there.level, window, context)
    }

    fn will_need(&self, at: BlockId) {
        let (owner, there) = self.owner(at);
        owner.will_need(there);
    }

    fn is_a_copy(&self, at: BlockId) -> bool {
        let (owner, there) = self.owner(at);
        owner.is_a_copy(there)
    }

    /// Overviews and mask may have a quarter each; what they do not need is for the raster, which has half of it at least.
    fn may_keep(&self, bytes: u64) -> u64 {
        let beside = self.beside().map(|source| source.may_keep(bytes / 4)).sum::<u64>();
        beside.saturating_add(self.base.may_keep(bytes - beside.min(bytes / 2)))
    }

    fn index_bytes(&self) -> u64 {
        self.base.index_bytes() + self.beside().map(|source| source.index_bytes()).sum::<u64>()
    }

    fn metadata_bytes(&self) -> u64 {
        let overviews = self.overviews.as_ref().map_or(0, TileSource::metadata_bytes);
        let mask = self.mask.as_ref().map_or(0, TileSource::metadata_bytes);
        size_of::<Self>() as u64 + self.info.memory_bytes() + self.base.metadata_bytes() + overviews + mask
    }

    fn rest(&self) {
        self.base.rest();
        self.overviews.iter().for_each(TileSource::rest);
        self.mask.iter().for_each(TileSource::rest);
    }

    fn mask(&self) -> Option<Arc<dyn TileSource>> {
        self.mask.clone().or_else(|| self.base.mask())
    }

    fn open_associated(&self, name: &str) -> Result<Box<dyn TileSource>> {
        self.base.open_associated(name)
    }

    fn read_blob(&self, name: &str) -> Result<Vec<u8>> {
        self.base.read_blob(name)
    }
}
