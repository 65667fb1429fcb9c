//! Which pixels are valid: masks that are stored, and those that follow from the samples.
//!
//! A stored mask is a dataset over the same cache: its blocks are found, counted and forgotten like those of the raster,
//! under planes that no raster has. A dataset with a cache of its own would need a budget of its own.

use crate::block::Interleave;
use crate::error::{Error, Result};
use crate::grid::BlockId;
use crate::memory::{LentBytes, zeroed};
use crate::sample::{Sample, SampleType, with_sample};
use crate::source::{MaskKind, Nodata, ReadContext, Siblings, SourceInfo, TileSource};
use crate::sync::Arc;

use super::Dataset;
use super::window::{Layout, Plan, WindowRequest};

/// The first plane of the blocks of masks.
pub(super) const FIRST_PLANE: u32 = 1 << 31;
/// Samples are looked at in so many bytes at a time.
const PART_BYTES: usize = 1 << 20;

impl Dataset {
    /// How it is known which pixels of `band` are valid; bands are numbered from 0.
    ///
    /// # Errors
    ///
    /// `invalid argument` when there is no such band.
    pub fn mask_kind(&self, band: u32) -> Result<MaskKind> {
        let info = self.info();
        if band >= info.n_bands {
            return Err(Error::invalid(format!("band {band}: the bands are numbered 0 to {}", info.n_bands - 1)));
        }
        Ok(info.mask_kind(band))
    }

    /// Reads which pixels of `band` are valid, for the window that [`read_window`](Self::read_window) would read: one
    /// byte a pixel, 0 where there is nothing, 255 where the pixel is valid. With an alpha band, and where the pixels of
    /// a stored mask are averaged, what is between says how much.
    ///
    /// The request says neither bands nor a sample type. The blocks of a stored mask go through the same cache as those
    /// of the bands.
    ///
    /// # Errors
    ///
    /// As [`read_window`](Self::read_window); `out` is then unspecified.
    pub fn read_mask_window(&self, band: u32, request: &WindowRequest, out: &mut [u8]) -> Result<()> {
        let kind = self.mask_kind(band)?;
        if request.bands.is_some() || request.sample.is_some() {
            return Err(Error::invalid("a mask has one band of bytes; the request asks for bands or a sample type"));
        }
        let as_bytes = |band: u32| request.clone().bands([band]).sample(SampleType::U8);
        let all_valid = self.plan(&as_bytes(band), self)?;
        all_valid.check(out)?;
        let native = |bands: Vec<u32>| {
            let tight = request.clone().bands(bands).layout(Layout::Tight(Interleave::Pixel));
            self.plan(&tight, self)
        };
        match kind {
            MaskKind::AllValid => all_valid.fill(255, out),
            MaskKind::Stored | MaskKind::StoredForBand => {
                let mask = self.stored_mask()?;
                let band = if kind == MaskKind::Stored { 0 } else { band };
                let plan = mask.plan(&as_bytes(band), self)?;
                mask.read_planned(&plan, request.resampling, out)?;
            }
            MaskKind::Alpha if self.info().sample == SampleType::U8 => {
                self.read_planned(&self.plan(&as_bytes(self.info().n_bands - 1), self)?, request.resampling, out)?;
            }
            MaskKind::Alpha => {
                let plan = native(vec![self.info().n_bands - 1])?;
                self.each_pixel(&plan, request, (&all_valid, out), |pixel| {
                    let alpha = u32::from(u16::read(pixel));
                    // What is not wholly clear stays so.
                    if alpha == 0 { 0 } else { (alpha * 255 / 65_535).max(1) as u8 }
                })?;
            }
            MaskKind::Nodata => {
                let Some(nodata) = self.info().band_nodata(band) else { return Ok(()) };
                let plan = native(vec![band])?;
                with_sample!(plan.sample, T => {
                    let is_nodata = matches::<T>(nodata);
                    self.each_pixel(&plan, request, (&all_valid, out), |pixel| byte(!is_nodata(T::read(pixel))))?;
                });
            }
            MaskKind::NodataValues => {
                let values = self.info().nodata_values().unwrap_or_default();
                let plan = native((0..self.info().n_bands).collect())?;
                let size = self.info().sample.bytes();
                with_sample!(plan.sample, T => {
                    let tests: Vec<_> = values.iter().map(|value| matches::<T>(Nodata::Float(*value))).collect();
                    self.each_pixel(&plan, request, (&all_valid, out), |pixel| {
                        let mut bands = pixel.chunks_exact(size).zip(&tests);
                        byte(!bands.all(|(sample, is_nodata)| is_nodata(T::read(sample))))
                    })?;
                });
            }
        }
        Ok(())
    }

    /// The mask as a dataset; made once.
    fn stored_mask(&self) -> Result<&Self> {
        let made = match self.core.mask.get() {
            Some(made) => made,
            None => {
                // Not while others wait: the source is asked for it. Of two that are made one is kept.
                let made = self.make_mask();
                self.core.mask.get_or_init(|| made)
            }
        };
        made.as_ref().ok_or_else(|| {
            Error::invalid(format!("{}: the source says that it stores a mask, and has none that fits", self.core.name))
        })
    }

    fn make_mask(&self) -> Option<Self> {
        let mask = Shifted(self.core.source.mask()?);
        let size = |info: &SourceInfo| info.levels.first().map(|level| (level.width, level.height));
        if size(mask.info()) != size(self.info()) || mask.info().n_bands < self.info().n_mask_bands {
            return None;
        }
        let (name, cache) = (format!("the mask of {}", self.core.name), Arc::clone(&self.core.cache));
        Self::over(name, None, Arc::new(mask), self.core.max_block_bytes, cache, FIRST_PLANE).ok()
    }

    /// Reads a part of `plan` after the other, tight, and writes a byte for every pixel where `result` says.
    fn each_pixel(
        &self,
        plan: &Plan,
        request: &WindowRequest,
        (result, out): (&Plan, &mut [u8]),
        byte: impl Fn(&[u8]) -> u8,
    ) -> Result<()> {
        let pixel_bytes = plan.pixel_bytes();
        let row_bytes = pixel_bytes.saturating_mul(plan.width as usize);
        let n_rows = (PART_BYTES / row_bytes).clamp(1, plan.height as usize) as u32;
        let mut samples = zeroed(row_bytes.saturating_mul(n_rows as usize))?;
        for first in (0..plan.height).step_by(n_rows as usize) {
            let n_rows = n_rows.min(plan.height - first);
            self.read_planned(&plan.rows(first, n_rows), request.resampling, &mut samples)?;
            for (row, y) in samples.chunks_exact(row_bytes).zip(first..first + n_rows) {
                for (pixel, x) in row.chunks_exact(pixel_bytes).zip(0..) {
                    out[result.offset(x, y, 0)] = byte(pixel);
                }
            }
        }
        Ok(())
    }
}

fn byte(is_valid: bool) -> u8 {
    if is_valid { 255 } else { 0 }
}

/// Whether a sample is `nodata`, as GDAL compares: floats that differ by a few units of their last place are the same.
fn matches<T: Sample>(nodata: Nodata) -> impl Fn(T) -> bool {
    let as_sample = crate::resample::nodata_as::<T>(Some(nodata));
    let value = nodata.as_f64();
    let step = if T::BYTES == 4 { f64::from(f32::EPSILON) } else { f64::EPSILON };
    move |sample: T| {
        if !T::FLOAT {
            return as_sample == Some(sample);
        }
        let sample = sample.to_f64();
        sample == value
            || (sample.is_nan() && value.is_nan())
            || (sample - value).abs() < step * (sample + value).abs() * 2.0
    }
}

/// The mask of a source, asked for by the planes that its blocks have in the cache of the raster.
struct Shifted(Arc<dyn TileSource>);

fn shifted(at: BlockId) -> BlockId {
    at.with_plane(at.plane.wrapping_sub(FIRST_PLANE))
}

impl TileSource for Shifted {
    fn info(&self) -> &SourceInfo {
        self.0.info()
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], context: &mut ReadContext<'_>) -> Result<()> {
        let mut siblings = ShiftedBack(context);
        self.0.read_block(shifted(at), out, &mut ReadContext::with_siblings(&mut siblings))
    }

    fn lend(&self, at: BlockId) -> Option<LentBytes<'_>> {
        self.0.lend(shifted(at))
    }

    fn will_need(&self, at: BlockId) {
        self.0.will_need(shifted(at));
    }

    fn is_a_copy(&self, at: BlockId) -> bool {
        self.0.is_a_copy(shifted(at))
    }
}

/// Hands on what the mask's source decoded on the way.
struct ShiftedBack<'a, 'b>(&'a mut ReadContext<'b>);

impl Siblings for ShiftedBack<'_, '_> {
    fn offer(&mut self, at: BlockId, fill: &mut dyn FnMut(&mut [u8]) -> Result<()>) -> bool {
        self.0.offer(at.with_plane(at.plane.wrapping_add(FIRST_PLANE)), fill)
    }
}
