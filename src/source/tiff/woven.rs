//! Levels whose bands are stored in another arrangement than those of the first: GDAL writes overviews a plane a band,
//! whatever the raster does.

use crate::block::{BlockLayout, Interleave};
use crate::error::Result;
use crate::grid::BlockId;
use crate::memory::{Class, Ledger, zeroed};

use super::{LevelImage, ReadContext, TiffSource};

impl TiffSource {
    /// Reads a block of `level` and arranges its samples as `layout` wants them.
    pub(super) fn read_rearranged(
        &self,
        level: &LevelImage,
        at: BlockId,
        layout: &BlockLayout,
        out: &mut [u8],
    ) -> Result<()> {
        let stored = ((layout.row_stride / layout.pixel_stride) as u32, (layout.bytes / layout.row_stride) as u32);
        let n_bands = self.info.n_bands;
        let like = |n_bands| BlockLayout::new(stored, layout.width, layout.height, n_bands, layout.sample);
        if level.image.interleave == Interleave::Band {
            let one = like(1)?;
            let _charge = Ledger::process().charge(Class::Scratch, one.bytes as u64);
            let mut plane = zeroed(one.bytes)?;
            for band in 0..n_bands {
                self.read_stored(level, at.with_plane(band), &one, &mut plane, &mut ReadContext::default())?;
                copy_band(
                    (&plane, one.pixel_stride),
                    (&mut out[layout.offset(0, 0, band)..], layout.pixel_stride),
                    &one,
                );
            }
            return Ok(());
        }
        let all = like(n_bands)?;
        let _charge = Ledger::process().charge(Class::Scratch, all.bytes as u64);
        let mut whole = zeroed(all.bytes)?;
        self.read_stored(level, at.with_plane(0), &all, &mut whole, &mut ReadContext::default())?;
        copy_band((&whole[all.offset(0, 0, at.plane)..], all.pixel_stride), (out, layout.pixel_stride), layout);
        Ok(())
    }
}

/// Copies a sample of every pixel; both sides have as many pixels as `layout`, and a stride from one to the next.
fn copy_band((from, from_stride): (&[u8], usize), (to, to_stride): (&mut [u8], usize), layout: &BlockLayout) {
    let bytes = layout.sample.bytes();
    let n = layout.bytes / layout.pixel_stride;
    for (source, target) in from.chunks(from_stride).zip(to.chunks_mut(to_stride)).take(n) {
        target[..bytes].copy_from_slice(&source[..bytes]);
    }
}
