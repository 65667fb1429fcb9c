//! Samples out of the coefficients of a sequential JPEG, of 8 and of 12 bits: of any MCUs, at full size or reduced.
//!
//! The decoder of whole streams that most blocks go through knows neither 12 bits nor reduced sizes, and not every sampling
//! of chroma. What is here does, of sequential streams; [`jpeg_entropy`](super::jpeg_entropy) reads them.

mod idct;
mod present;
mod sequential;

use std::ops::Range;

use crate::error::{Error, Result};

use super::jpeg::{Colour, Stored, stored_as};
use super::jpeg_entropy::{Component, Visitor, extended};
use super::jpeg_scan::{DQT, JpegInfo, Segments};
use idct::{ORDER, factors, inverse, inverse_cut};
pub(super) use sequential::{decode, sample_bytes};

/// Quantisation tables in the order of the stream.
#[derive(Clone, Default)]
struct Quantisation([Option<Box<[u16; 64]>>; 4]);

impl Quantisation {
    /// Takes in the body of a segment that defines tables. `None` when it is wrong.
    fn define(&mut self, mut body: &[u8]) -> Option<()> {
        while let [kind, rest @ ..] = body {
            let (table, rest) = match kind >> 4 {
                0 => rest.split_first_chunk::<64>().map(|(table, rest)| (table.map(u16::from), rest))?,
                1 => {
                    let (table, rest) = rest.split_first_chunk::<128>()?;
                    let (pairs, _) = table.as_chunks::<2>();
                    (std::array::from_fn(|at| u16::from_be_bytes(pairs[at])), rest)
                }
                _ => return None,
            };
            *self.0.get_mut(usize::from(kind & 15))? = Some(Box::new(table));
            body = rest;
        }
        Some(())
    }

    fn of(&self, info: &JpegInfo, component: usize) -> Option<&[u16; 64]> {
        self.0.get(usize::from(info.quantisation[component]))?.as_deref()
    }
}

/// What of a frame its samples depend on.
pub(crate) struct Frame {
    info: JpegInfo,
    stored: Stored,
    quantisation: Quantisation,
}

impl Frame {
    /// That of the stream that starts with `head`, which goes up to its first scan at least. `None` when tables are missing
    /// or wrong, and when samples are no whole number of pixels.
    pub(crate) fn of(head: &[u8], info: &JpegInfo, colour: Colour) -> Option<Self> {
        let mut frame = Self::new(info, colour)?;
        for segment in Segments::new(head).ok()?.filter(|segment| segment.marker == DQT) {
            frame.quantisation.define(segment.body)?;
        }
        let has_all = (0..usize::from(info.components)).all(|at| frame.quantisation.of(info, at).is_some());
        has_all.then_some(frame)
    }

    /// That without its tables.
    fn new(info: &JpegInfo, colour: Colour) -> Option<Self> {
        let stored = stored_as(info, colour);
        info.is_of_whole_pixels().then(|| Self { info: info.clone(), stored, quantisation: Quantisation::default() })
    }

    /// Whether reduced pictures have a sample for each pixel of every component: where one is of three pixels they do not.
    pub(crate) fn is_reducible(&self) -> bool {
        let (across, down) = self.info.most_sampled();
        let mut factors = self.info.sampling[..usize::from(self.info.components)].iter();
        factors.all(|(h, v)| (across / h).is_power_of_two() && (down / v).is_power_of_two())
    }

    /// Bytes held beside itself.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.quantisation.0.iter().flatten().count() * size_of::<[u16; 64]>()
    }

    /// Bytes that [`planes`](Self::planes) takes for so many pixels of the reduced picture.
    pub(crate) fn bytes(&self, width: u64, height: u64) -> u64 {
        // Chroma that is shared takes less.
        width.saturating_mul(height).saturating_mul(u64::from(self.info.components)).saturating_mul(2)
    }

    /// Pixels of the picture that is reduced to `1 / 2^reduction`, across and down.
    pub(crate) fn size(&self, reduction: u32) -> (u32, u32) {
        (self.info.width.div_ceil(1 << reduction), self.info.height.div_ceil(1 << reduction))
    }

    /// Memory for the samples of these columns and rows of the MCUs of a scan of all components, reduced to
    /// `1 / 2^reduction`, 0 to 3. It is `samples`.
    ///
    /// # Errors
    ///
    /// Limit exceeded when there is no memory for them.
    pub(crate) fn planes<'a>(
        &'a self,
        reduction: u32,
        cols: Range<u32>,
        rows: Range<u32>,
        samples: &'a mut Vec<u16>,
    ) -> Result<Planes<'a>> {
        let n = 8 >> reduction;
        let most = self.info.most_sampled();
        let count = |range: &Range<u32>| range.end.saturating_sub(range.start) as usize;
        let too_many = || Error::limit("a part of a JPEG has too many samples");
        let mut planes: Vec<Plane> = Vec::new();
        let mut len = 0_usize;
        for (h, v) in &self.info.sampling[..usize::from(self.info.components)] {
            let blocks = (usize::from(*h), usize::from(*v));
            let shared = (usize::from(most.0 / h), usize::from(most.1 / v));
            let side = (side(n, shared.0), side(n, shared.1));
            let stride = count(&cols) * blocks.0 * side.0;
            let n_rows = count(&rows) * blocks.1 * side.1;
            let (left, top) = (cols.start as usize * blocks.0, rows.start as usize * blocks.1);
            let ratio = (shared.0 * n / side.0, shared.1 * n / side.1);
            let own = |pixels: u32, shared: usize| (pixels as usize).div_ceil(shared);
            let size = (own(self.info.width, shared.0), own(self.info.height, shared.1));
            planes.push(Plane { start: len, stride, n_rows, side, left, top, size, ratio, factors: [0.0; 64] });
            len = stride.checked_mul(n_rows).and_then(|n| len.checked_add(n)).ok_or_else(too_many)?;
        }
        samples.clear();
        samples.try_reserve_exact(len).map_err(|_| too_many())?;
        samples.resize(len, 0);
        let mut planes =
            Planes { frame: self, reduction, samples, planes, scan: &[], mcu: (0, 0), block: Block::default() };
        for at in 0..planes.planes.len() {
            if let Some(table) = self.quantisation.of(&self.info, at) {
                planes.set_table(at, table);
            }
        }
        Ok(planes)
    }
}

/// Samples of a block across or down, of those components too that have one for several pixels: as many as there are
/// pixels, if the block has them.
fn side(n: usize, shared: usize) -> usize {
    if shared.is_power_of_two() { (n * shared).min(8) } else { n }
}

/// The samples of a part of a picture, component by component. It takes the coefficients of MCU after MCU.
pub(crate) struct Planes<'a> {
    frame: &'a Frame,
    reduction: u32,
    samples: &'a mut Vec<u16>,
    planes: Vec<Plane>,
    /// The components of the scan that is read.
    scan: &'a [Component],
    /// The column and row of the MCU that is read.
    mcu: (usize, usize),
    block: Block,
}

/// The samples of a component.
struct Plane {
    start: usize,
    stride: usize,
    n_rows: usize,
    /// Samples of a block across and down.
    side: (usize, usize),
    /// The first column and row of blocks.
    left: usize,
    top: usize,
    /// Samples that the picture stores of it, across and down; those behind them only fill up the last blocks.
    size: (usize, usize),
    /// Pixels of a sample across and down.
    ratio: (usize, usize),
    /// Those of [`factors`].
    factors: [f32; 64],
}

/// The coefficients of a block as far as they were read.
struct Block {
    plane: usize,
    /// Where its first sample is.
    at: usize,
    coefficients: [f32; 64],
    /// Whether its mean is all that is wanted of it.
    is_mean: bool,
    /// Whether there is more than a mean.
    has_more: bool,
    /// Its samples that are of the picture, across and down, where others would get into the means.
    cut: Option<(usize, usize)>,
}

impl Default for Block {
    fn default() -> Self {
        Self { plane: 0, at: 0, coefficients: [0.0; 64], is_mean: false, has_more: false, cut: None }
    }
}

impl Plane {
    /// How much of the block in column `x` and row `y` is of the picture, if that is not all of it and means are made of it.
    #[inline]
    fn cut(&self, x: usize, y: usize) -> Option<(usize, usize)> {
        let (across, down) = (self.size.0.saturating_sub(8 * x).min(8), self.size.1.saturating_sub(8 * y).min(8));
        let has_others = across < 8 && self.side.0 < 8 || down < 8 && self.side.1 < 8;
        // Nobody sees a block that fills up an MCU.
        (has_others && across > 0 && down > 0).then_some((across, down))
    }
}

impl<'a> Planes<'a> {
    fn set_table(&mut self, component: usize, table: &[u16; 64]) {
        self.planes[component].factors = factors(table);
    }

    /// Begins a scan of these components.
    pub(crate) fn begin_scan(&mut self, components: &'a [Component]) {
        self.scan = components;
    }

    /// Says where in the scan the next MCU is.
    #[inline]
    pub(crate) fn begin_mcu(&mut self, col: u32, row: u32) {
        self.mcu = (col as usize, row as usize);
    }
}

impl Visitor for Planes<'_> {
    #[inline]
    fn begin(&mut self, component: usize, block: u8, dc: i32) -> Result<()> {
        let component = &self.scan[component];
        let plane = &self.planes[component.index];
        let (across, down) = (usize::from(component.across), usize::from(component.down));
        let block = usize::from(block);
        let (x, y) = (self.mcu.0 * across + block % across, self.mcu.1 * down + block / across);
        let at = x.checked_sub(plane.left).zip(y.checked_sub(plane.top)).and_then(|(x, y)| {
            let (x, y) = (x * plane.side.0, y * plane.side.1);
            (x < plane.stride && y < plane.n_rows).then_some(plane.start + y * plane.stride + x)
        });
        self.block.at = at.ok_or_else(|| Error::internal("an MCU beside the part that is decoded"))?;
        self.block.plane = component.index;
        self.block.cut = plane.cut(x, y);
        self.block.is_mean = plane.side == (1, 1) && self.block.cut.is_none();
        self.block.coefficients[0] = dc as f32 * plane.factors[0];
        Ok(())
    }

    #[inline]
    fn code(&mut self, at: usize, symbol: u8, bits: u64, _n: u32) {
        let n = u32::from(symbol & 15);
        let plane = &self.planes[self.block.plane];
        if n == 0 || at > 63 || self.block.is_mean {
            return;
        }
        self.block.has_more = true;
        self.block.coefficients[usize::from(ORDER[at])] = extended(bits, n) as f32 * plane.factors[at];
    }

    #[inline]
    fn end(&mut self) {
        let Plane { stride, side, .. } = self.planes[self.block.plane];
        let half = (1 << (self.frame.info.bits - 1)) as f32;
        let most = 2.0 * half - 1.0;
        // Added to what is between 0 and 65535 it leaves the nearest whole number in the lowest bits.
        const WHOLE: f32 = 8_388_608.0;
        let sample = |value: f32| ((value + half).clamp(0.0, most) + WHOLE).to_bits() as u16;
        let target = &mut self.samples[self.block.at..];
        if self.block.has_more {
            let mut put = |row: usize, values: &[f32]| {
                for (target, value) in target[row * stride..].iter_mut().zip(values) {
                    *target = sample(*value);
                }
            };
            match self.block.cut {
                Some(cut) => inverse_cut(&self.block.coefficients, side, cut, (-half, most - half), put),
                None => inverse(&self.block.coefficients, side, &mut put),
            }
            self.block.coefficients = [0.0; 64];
            self.block.has_more = false;
        } else {
            let mean = sample(self.block.coefficients[0]);
            for row in 0..side.1 {
                target[row * stride..][..side.0].fill(mean);
            }
        }
    }
}

#[cfg(test)]
mod tests;
