//! A raster in memory, cut into blocks: for tests, for made-up pictures, and as the plainest model of a source.

use crate::error::{Error, Result};
use crate::grid::{BlockId, Level};
use crate::sample::SampleType;

use super::{ReadContext, SourceInfo, TileSource, check_block};

/// Pixels of one level held in memory, pixel-interleaved.
#[derive(Debug)]
pub struct MemorySource {
    info: SourceInfo,
    pixels: Vec<u8>,
}

impl MemorySource {
    /// A source over `pixels`: rows from the top, no padding, samples in native byte order.
    ///
    /// # Errors
    ///
    /// `invalid argument` when `pixels` is not exactly as long as the size says.
    pub fn new(
        width: u32,
        height: u32,
        n_bands: u32,
        sample: SampleType,
        block: (u32, u32),
        pixels: Vec<u8>,
    ) -> Result<Self> {
        let level = Level::new(u64::from(width), u64::from(height), block.0, block.1)
            .map_err(|e| Error::invalid(e.message().to_owned()))?;
        let expected = (width as usize)
            .checked_mul(height as usize)
            .and_then(|n| n.checked_mul(n_bands as usize))
            .and_then(|n| n.checked_mul(sample.bytes()));
        if n_bands == 0 || expected != Some(pixels.len()) {
            return Err(Error::invalid(format!(
                "{width}x{height} pixels with {n_bands} bands of {} do not take {} bytes",
                sample.name(),
                pixels.len()
            )));
        }
        Ok(Self { info: SourceInfo::new("memory", vec![level], n_bands, sample), pixels })
    }

    /// The description, to add what is known about the pixels. Levels, bands and sample type must stay as they are.
    pub fn info_mut(&mut self) -> &mut SourceInfo {
        &mut self.info
    }
}

impl TileSource for MemorySource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], _context: &mut ReadContext<'_>) -> Result<()> {
        let layout = check_block(&self.info, at, out)?;
        let level = &self.info.levels[0];
        let row_bytes = level.width as usize * layout.pixel_stride;
        let left = at.col as usize * level.block_width as usize * layout.pixel_stride;
        let top = at.row as usize * level.block_height as usize;
        for (y, row) in out.chunks_exact_mut(layout.row_stride).enumerate() {
            row.copy_from_slice(&self.pixels[(top + y) * row_bytes + left..][..row.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_promises_of_a_source() {
        let pixels = (0..70 * 45 * 3 * 2).map(|i| (i * 7 % 251) as u8).collect();
        let source = MemorySource::new(70, 45, 3, SampleType::U16, (32, 16), pixels).unwrap();
        super::super::conformance::check(&source).unwrap();
    }

    #[test]
    fn pixels_that_do_not_fit_the_size_are_refused() {
        assert!(MemorySource::new(10, 10, 1, SampleType::U8, (4, 4), vec![0; 99]).is_err());
        assert!(MemorySource::new(10, 10, 0, SampleType::U8, (4, 4), vec![]).is_err());
        assert!(MemorySource::new(0, 10, 1, SampleType::U8, (4, 4), vec![]).is_err());
    }
}
