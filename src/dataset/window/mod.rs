//! Any window at any size, in any sample type and layout, out of blocks.

mod plan;
mod request;

use std::ops::Range;

use crate::block::{Block, Interleave};
use crate::cancel;
use crate::error::{Error, Result};
use crate::grid::{Level, Window};
use crate::resample::{Averages, Axis, Resampling};
use crate::sample::{Run, convert};

use super::{CacheUse, Dataset};
pub(super) use plan::Plan;
use plan::strides;
pub use request::{Layout, WindowRequest};

/// Memory for averages that are being built up.
const AVERAGES_BYTES: usize = 4 << 20;
/// A result is made in areas of at most this many pixels across and down.
const AREA: u32 = 1 << 15;
/// A coarser level serves a request that is this little finer than it.
const TOLERANCE: f64 = 1.0 + 1e-6;

impl Dataset {
    /// Reads a window into `out`.
    ///
    /// Only the blocks that the result needs are read, through the cache. Beside them it takes a few MiB of memory at
    /// most, whatever the sizes.
    ///
    /// # Errors
    ///
    /// `invalid argument` when the window does not lie in its level, a band does not exist, a size is 0, strides
    /// overlap or `out` is too small; otherwise what reading a block met. `out` is then unspecified.
    pub fn read_window(&self, request: &WindowRequest, out: &mut [u8]) -> Result<()> {
        let plan = self.plan(request, self)?;
        plan.check(out)?;
        self.read_planned(&plan, request.resampling, out)
    }

    /// Reads what was planned into `out`, which was found to be large enough.
    pub(super) fn read_planned(&self, plan: &Plan, resampling: Resampling, out: &mut [u8]) -> Result<()> {
        if plan.cache_use == CacheUse::Normal {
            let planes = self.planes(&plan.bands).len() as u64;
            self.suggest_floor(plan.n_blocks(self.level(plan.level)?).saturating_mul(planes));
        }
        if let Some(window) = plan.one_for_one() {
            return self.copied(plan, &window, out);
        }
        let averaged = resampling == Resampling::Average && !self.info().sample.is_complex();
        // Part by part, so that what is needed beside the blocks and the result stays small.
        let row_bytes = Averages::row_bytes(1, plan.bands.len() as u32);
        let side = if averaged { (AVERAGES_BYTES / row_bytes).clamp(1, AREA as usize) as u32 } else { AREA };
        for y in (0..plan.height).step_by(AREA as usize) {
            let down = y..plan.height.min(y.saturating_add(AREA));
            for x in (0..plan.width).step_by(side as usize) {
                let across = x..plan.width.min(x.saturating_add(side));
                if averaged {
                    self.average(plan, across, down.clone(), out)?;
                } else {
                    self.nearest(plan, across, down.clone(), out)?;
                }
            }
        }
        Ok(())
    }

    /// Bytes that [`read_window`](Self::read_window) needs for `request`.
    ///
    /// # Errors
    ///
    /// `invalid argument` as there.
    pub fn window_bytes(&self, request: &WindowRequest) -> Result<usize> {
        let reach = self.plan(request, self)?.reach();
        reach.ok_or_else(|| Error::invalid("a result larger than any memory"))
    }

    /// How to read a window of a level of `raster` from here: from itself, or from the mask that lies over it.
    pub(super) fn plan(&self, request: &WindowRequest, raster: &Self) -> Result<Plan> {
        raster.check_window(request.level, &request.window)?;
        let info = self.info();
        let bands = match &request.bands {
            Some(bands) => bands.clone(),
            None => (0..info.n_bands).collect(),
        };
        if let Some(band) = bands.iter().find(|band| **band >= info.n_bands) {
            return Err(Error::invalid(format!("band {band}: the bands are numbered 0 to {}", info.n_bands - 1)));
        }
        self.check_frame(request.frame)?;
        let (width, height) = request.size;
        if width == 0 || height == 0 || bands.is_empty() {
            return Err(Error::invalid(format!("a result of {width}x{height} pixels with {} bands", bands.len())));
        }
        let sample = request.sample.unwrap_or(info.sample);
        let strides = strides(request.layout, width, height, bands.len(), sample)?;
        let from = raster.core.scales[request.level as usize];
        let level = self.level_for(request, from);
        let to = self.core.scales[level as usize];
        let size = self.level(level)?;
        let axis = |start: u64, window: u64, n: u32, ratio: f64, size: u64| Axis {
            start: start as f64 * ratio,
            step: window as f64 * ratio / f64::from(n),
            size,
        };
        let w = &request.window;
        let cols = axis(w.x, w.width, width, from.0 / to.0, size.width);
        let rows = axis(w.y, w.height, height, from.1 / to.1, size.height);
        let (frame, cache_use) = (request.frame, request.cache_use);
        Ok(Plan { bands, sample, width, height, strides, frame, level, cols, rows, cache_use })
    }

    /// The coarsest level that still has a pixel for every pixel of the result, none finer than that whose scale is
    /// `asked`.
    fn level_for(&self, request: &WindowRequest, asked: (f64, f64)) -> u32 {
        let factor_x = request.window.width as f64 / f64::from(request.size.0);
        let factor_y = request.window.height as f64 / f64::from(request.size.1);
        let scales = &self.core.scales;
        let within = |scale: &(f64, f64), factor: (f64, f64)| {
            scale.0 / asked.0 <= factor.0 * TOLERANCE && scale.1 / asked.1 <= factor.1 * TOLERANCE
        };
        let mut best = scales.iter().rposition(|scale| within(scale, (1.0, 1.0))).unwrap_or(0) as u32;
        if request.exact_level {
            return best;
        }
        for (number, level) in self.levels().iter().enumerate().skip(best as usize + 1) {
            let enough = within(&scales[number], (factor_x, factor_y));
            if enough && (level.native || request.resampling == Resampling::Average) {
                best = number as u32;
            }
        }
        best
    }

    fn copied(&self, plan: &Plan, window: &Window, out: &mut [u8]) -> Result<()> {
        let level = *self.level(plan.level)?;
        let planes = self.planes(&plan.bands);
        let (cols, rows) = level.blocks_of(window);
        for row in rows {
            cancel::check()?;
            for col in cols.clone() {
                let covered = level.block_window(col, row);
                let Some(part) = covered.and_then(|covered| covered.intersection(window)) else { continue };
                let corner =
                    (u64::from(col) * u64::from(level.block_width), u64::from(row) * u64::from(level.block_height));
                let from = ((part.x - corner.0) as u32, (part.y - corner.1) as u32);
                let to = ((part.x - window.x) as u32, (part.y - window.y) as u32);
                for (plane, bands) in &planes {
                    let at = plan.block(*plane, col, row);
                    let block = self.block_with(at, plan.cache_use)?;
                    plan.copy(&block, bands, (part.width as u32, part.height as u32), from, to, out)?;
                }
            }
        }
        Ok(())
    }

    fn nearest(&self, plan: &Plan, across: Range<u32>, down: Range<u32>, out: &mut [u8]) -> Result<()> {
        let level = *self.level(plan.level)?;
        let (left, top) = (across.start, down.start);
        let cols: Vec<u64> = across.map(|i| plan.cols.nearest(i)).collect();
        let rows: Vec<u64> = down.map(|i| plan.rows.nearest(i)).collect();
        let mut line = Vec::new();
        let planes = self.planes(&plan.bands);
        for (row, targets) in groups(&rows, level.block_height) {
            cancel::check()?;
            for (col, across) in groups(&cols, level.block_width) {
                for (plane, bands) in &planes {
                    let at = plan.block(*plane, col, row);
                    let block = self.block_with(at, plan.cache_use)?;
                    let cols = &cols[across.start as usize..across.end as usize];
                    let part = Part { level: &level, plan, row, col, left: left + across.start, cols, bands };
                    for y in targets.clone() {
                        part.copy_row(&block, rows[y as usize], top + y, &mut line, out)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn average(&self, plan: &Plan, across: Range<u32>, down: Range<u32>, out: &mut [u8]) -> Result<()> {
        let level = *self.level(plan.level)?;
        let info = self.info();
        let n_bands = plan.bands.len() as u32;
        let row_bytes = Averages::row_bytes(across.len() as u32, n_bands);
        let rows_at_once = (AVERAGES_BYTES / row_bytes).clamp(1, down.len());
        let span = |axis: &Axis, new: &Range<u32>| (axis.pixels(new.start).0, axis.pixels(new.end - 1).1);
        let (left, right) = span(&plan.cols, &across);
        for first in down.clone().step_by(rows_at_once) {
            let rows_now = first..down.end.min(first + rows_at_once as u32);
            let mut averages = Averages::new((plan.cols, across.clone()), (plan.rows, rows_now.clone()), n_bands);
            let (top, bottom) = span(&plan.rows, &rows_now);
            let (cols, rows) = level.blocks_of(&Window::new(left, top, right - left, bottom - top));
            for row in rows {
                cancel::check()?;
                for col in cols.clone() {
                    for (plane, bands) in self.planes(&plan.bands) {
                        let block = self.block_with(plan.block(plane, col, row), plan.cache_use)?;
                        let corner = (
                            u64::from(col) * u64::from(level.block_width),
                            u64::from(row) * u64::from(level.block_height),
                        );
                        for (from, to) in bands {
                            let pixels = (block.layout(), block.bytes());
                            let nodata = info.band_nodata(plan.bands[to]);
                            averages.add(pixels, corner, (from, to as u32), nodata);
                        }
                    }
                }
            }
            for y in rows_now.clone() {
                for (place, band) in plan.bands.iter().enumerate() {
                    let target = &mut out[plan.offset(across.start, y, place)..];
                    let nodata = info.band_nodata(*band);
                    averages.write_row(y - first, place as u32, info.sample, nodata, target, plan.run())?;
                }
            }
        }
        Ok(())
    }

    /// Which band of the dataset is band `band` of the blocks of a plane.
    pub(super) fn band_of(&self, plane: u32, band: u32) -> u32 {
        match self.info().interleave {
            Interleave::Pixel => band,
            Interleave::Band => plane.saturating_sub(self.core.first_plane),
        }
    }

    /// The planes that hold these bands, and for each its bands: number in the block and place in the result.
    fn planes(&self, bands: &[u32]) -> Vec<(u32, Vec<(u32, usize)>)> {
        let (places, first) = (bands.iter().enumerate(), self.core.first_plane);
        match self.info().interleave {
            Interleave::Pixel => vec![(first, places.map(|(place, band)| (*band, place)).collect())],
            Interleave::Band => places.map(|(place, band)| (first + *band, vec![(0, place)])).collect(),
        }
    }
}

/// The pixels of a result that come from one block.
struct Part<'a> {
    level: &'a Level,
    plan: &'a Plan,
    row: u32,
    col: u32,
    /// The first column of the result.
    left: u32,
    /// The source pixel of each column.
    cols: &'a [u64],
    bands: &'a [(u32, usize)],
}

impl Part<'_> {
    /// Writes row `y` of the result, which is row `source_y` of the level.
    fn copy_row(&self, block: &Block, source_y: u64, y: u32, line: &mut Vec<u8>, out: &mut [u8]) -> Result<()> {
        let layout = block.layout();
        let in_block = |x: u64| (x - u64::from(self.col) * u64::from(self.level.block_width)) as u32;
        let top = (source_y - u64::from(self.row) * u64::from(self.level.block_height)) as u32;
        let cols = self.cols;
        let (n, bytes) = (cols.len(), layout.sample.bytes());
        if self.plan.cols.step == 1.0 {
            let (from, to) = ((in_block(cols[0]), top), (self.left, y));
            return self.plan.copy(block, self.bands, (n as u32, 1), from, to, out);
        }
        line.resize(n * bytes, 0);
        for (from_band, place) in self.bands {
            for (x, target) in cols.iter().zip(line.chunks_exact_mut(bytes)) {
                target.copy_from_slice(&block.bytes()[layout.offset(in_block(*x), top, *from_band)..][..bytes]);
            }
            let to = &mut out[self.plan.offset(self.left, y, *place)..];
            convert(line, Run { sample: layout.sample, stride: bytes }, to, self.plan.run(), n)?;
        }
        Ok(())
    }
}

/// Runs of result pixels whose source pixels lie in one block: the block's number and the run.
fn groups(source: &[u64], block: u32) -> Vec<(u32, Range<u32>)> {
    let mut groups: Vec<(u32, Range<u32>)> = Vec::new();
    for (i, at) in source.iter().enumerate() {
        let number = (at / u64::from(block)) as u32;
        match groups.last_mut() {
            Some((last, run)) if *last == number => run.end = i as u32 + 1,
            _ => groups.push((number, i as u32..i as u32 + 1)),
        }
    }
    groups
}
