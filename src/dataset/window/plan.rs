//! A request as it is carried out: which pixels of which level, and where their samples go.

use crate::block::{Block, Interleave};
use crate::dataset::CacheUse;
use crate::error::{Error, Result};
use crate::grid::{BlockId, Level, Window};
use crate::memory::{Rows, copy_rows};
use crate::resample::Axis;
use crate::sample::{Run, SampleType, convert};

use super::Layout;

/// A request that was checked against a dataset, with every default filled in.
pub(in crate::dataset) struct Plan {
    pub(super) bands: Vec<u32>,
    pub(in crate::dataset) sample: SampleType,
    pub(in crate::dataset) width: u32,
    pub(in crate::dataset) height: u32,
    pub(super) strides: Strides,
    pub(super) frame: u32,
    /// The level that is read, which may be coarser than the one asked for.
    pub(super) level: u32,
    pub(super) cols: Axis,
    pub(super) rows: Axis,
    pub(super) cache_use: CacheUse,
}

#[derive(Clone, Copy)]
pub(super) struct Strides {
    pixel: usize,
    row: usize,
    band: usize,
}

impl Plan {
    pub(super) fn block(&self, plane: u32, col: u32, row: u32) -> BlockId {
        BlockId { frame: self.frame, level: self.level, plane, row, col }
    }

    /// Whether `out` has room for the result.
    pub(in crate::dataset) fn check(&self, out: &[u8]) -> Result<()> {
        let reach = self.reach();
        if reach.is_some_and(|reach| reach <= out.len()) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "{}x{} pixels with {} bands of {} take {} bytes, the memory given has {}",
            self.width,
            self.height,
            self.bands.len(),
            self.sample.name(),
            reach.map_or_else(|| "too many".to_owned(), |n| n.to_string()),
            out.len()
        )))
    }

    /// The plan for `n` rows of the result from row `first` on.
    pub(in crate::dataset) fn rows(&self, first: u32, n: u32) -> Self {
        let rows = Axis { start: self.rows.start + f64::from(first) * self.rows.step, ..self.rows };
        Self { bands: self.bands.clone(), rows, height: n, ..*self }
    }

    /// Bytes of the bands of a pixel.
    pub(in crate::dataset) fn pixel_bytes(&self) -> usize {
        self.bands.len().saturating_mul(self.sample.bytes())
    }

    /// Sets every sample, each of which is one byte.
    pub(in crate::dataset) fn fill(&self, byte: u8, out: &mut [u8]) {
        for y in 0..self.height {
            for x in 0..self.width {
                out[self.offset(x, y, 0)] = byte;
            }
        }
    }

    pub(super) fn run(&self) -> Run {
        Run { sample: self.sample, stride: self.strides.pixel }
    }

    pub(in crate::dataset) fn offset(&self, x: u32, y: u32, band: usize) -> usize {
        x as usize * self.strides.pixel + y as usize * self.strides.row + band * self.strides.band
    }

    /// Bytes from the first to the end of the last sample.
    pub(super) fn reach(&self) -> Option<usize> {
        let steps = [
            (self.width as usize - 1, self.strides.pixel),
            (self.height as usize - 1, self.strides.row),
            (self.bands.len() - 1, self.strides.band),
        ];
        steps.into_iter().try_fold(self.sample.bytes(), |sum, (n, stride)| sum.checked_add(n.checked_mul(stride)?))
    }

    /// How many blocks of the level it reads, at most.
    pub(super) fn n_blocks(&self, level: &Level) -> u64 {
        let along = |axis: &Axis, n: u32, block: u32| {
            let (first, end) = (axis.pixels(0).0, axis.pixels(n - 1).1);
            end.div_ceil(u64::from(block)) - first / u64::from(block)
        };
        along(&self.cols, self.width, level.block_width).saturating_mul(along(
            &self.rows,
            self.height,
            level.block_height,
        ))
    }

    /// The window of the level that is read whose pixels are those of the result, one for one, if there is one.
    pub(super) fn one_for_one(&self) -> Option<Window> {
        let whole = |axis: &Axis, n: u32| {
            let first = (axis.step == 1.0 && axis.start.fract() == 0.0).then_some(axis.start as u64)?;
            (first.checked_add(u64::from(n))? <= axis.size).then_some(first)
        };
        let (x, y) = (whole(&self.cols, self.width)?, whole(&self.rows, self.height)?);
        Some(Window::new(x, y, u64::from(self.width), u64::from(self.height)))
    }

    /// Copies `size` pixels of a block, from `from` in the block to `to` in the result. `bands` are those of the block
    /// and their places in the result.
    pub(super) fn copy(
        &self,
        block: &Block,
        bands: &[(u32, usize)],
        size: (u32, u32),
        from: (u32, u32),
        to: (u32, u32),
        out: &mut [u8],
    ) -> Result<()> {
        let layout = block.layout();
        let rows = size.1 as usize;
        if self.is_whole_pixels(bands, layout.n_bands) {
            let n = size.0 as usize * layout.n_bands as usize;
            let source = &block.bytes()[layout.offset(from.0, from.1, 0)..];
            let target = &mut out[self.offset(to.0, to.1, 0)..];
            let run = |sample: SampleType| Run { sample, stride: sample.bytes() };
            if layout.sample == self.sample {
                let row_bytes = n * layout.sample.bytes();
                let (source_stride, target_stride) = (layout.row_stride, self.strides.row);
                copy_rows(source, target, Rows { n_rows: rows, row_bytes, source_stride, target_stride });
                return Ok(());
            }
            for row in 0..rows {
                let (source, target) = (&source[row * layout.row_stride..], &mut target[row * self.strides.row..]);
                convert(source, run(layout.sample), target, run(self.sample), n)?;
            }
            return Ok(());
        }
        for (band, place) in bands {
            let source = &block.bytes()[layout.offset(from.0, from.1, *band)..];
            let target = &mut out[self.offset(to.0, to.1, *place)..];
            let run = Run { sample: layout.sample, stride: layout.pixel_stride };
            for row in 0..rows {
                let (source, target) = (&source[row * layout.row_stride..], &mut target[row * self.strides.row..]);
                convert(source, run, target, self.run(), size.0 as usize)?;
            }
        }
        Ok(())
    }

    /// Whether a row of a block is a row of the result, all bands in order and without gaps on both sides.
    fn is_whole_pixels(&self, bands: &[(u32, usize)], n_bands: u32) -> bool {
        let in_order = bands.len() == n_bands as usize
            && bands.iter().enumerate().all(|(i, (from, to))| *from as usize == i && *to == i);
        let sample = self.sample.bytes();
        let tight = self.strides.pixel == sample * n_bands as usize && (n_bands == 1 || self.strides.band == sample);
        in_order && self.bands.len() == n_bands as usize && tight
    }
}

/// Where samples go that are laid out like this.
pub(super) fn strides(layout: Layout, width: u32, height: u32, n_bands: usize, sample: SampleType) -> Result<Strides> {
    let size = sample.bytes();
    let too_large = || Error::invalid(format!("{width}x{height} pixels with {n_bands} bands are too many"));
    let mul = |a: usize, b: usize| a.checked_mul(b).ok_or_else(too_large);
    let (width, height) = (width as usize, height as usize);
    match layout {
        Layout::Tight(Interleave::Pixel) => {
            let pixel = mul(size, n_bands)?;
            Ok(Strides { pixel, row: mul(pixel, width)?, band: size })
        }
        Layout::Tight(Interleave::Band) => {
            let row = mul(size, width)?;
            Ok(Strides { pixel: size, row, band: mul(row, height)? })
        }
        Layout::Strided { pixel, row, band } => {
            // Sorted by size, each step must clear everything that the smaller ones reach.
            let mut steps = [(pixel, width), (row, height), (band, n_bands)];
            steps.sort_unstable();
            let mut reach = size;
            for (stride, n) in steps.into_iter().filter(|(_, n)| *n > 1) {
                if stride < reach {
                    return Err(Error::invalid(format!(
                        "strides of {pixel} bytes a pixel, {row} a row and {band} a band make samples overlap"
                    )));
                }
                reach = mul(stride, n - 1)?.checked_add(reach).ok_or_else(too_large)?;
            }
            Ok(Strides { pixel, row, band })
        }
    }
}
