//! Samples to pixels.
//!
//! What a sample of 8 or 16 bits becomes is worked out once per plan for all of them; other samples, and expressions,
//! are worked out pixel by pixel.

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::resample::Resampling;
use crate::sample::{Sample, SampleType};

use super::blend::Brush;
use super::color::Rgba;
use super::expr::Op;
use super::icc::Profile;
use super::inputs::{Area, Samples, Values};
use super::plan::{Layer, Output, Plan};
use super::spec::Composite;

/// Pixels that are worked on at a time.
const RUN: usize = 1024;
/// Bytes that the tables of a plan may have; beyond them layers do without.
const MAX_TABLES: usize = 16 << 20;

/// What the samples of 8 or 16 bits become, by layer.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Finished pixels, of which the greatest byte counts in every channel: when all layers lighten and bytes are wanted.
    bytes: Option<Vec<Vec<[u8; 4]>>>,
    /// What is laid over what lies below; empty for a layer that is worked out pixel by pixel.
    paints: Vec<Vec<Rgba>>,
}

impl Plan {
    /// Reads what the plan works on.
    pub(crate) fn read(&self, dataset: &Dataset, area: Area<'_>) -> Result<Samples> {
        Samples::read(dataset, &self.inputs, self.profile.as_ref(), area)
    }

    /// How pixels of another size are made.
    pub(crate) fn resampling(&self) -> Resampling {
        self.resampling
    }

    /// Bytes that reading one pixel takes.
    pub(crate) fn input_bytes(&self) -> usize {
        self.inputs.len() * self.sample.bytes()
    }

    /// The colours of the 256 samples that there can be, when a sample is all that a pixel depends on. The bits of the
    /// samples of the only input are then the number of the colour.
    pub(crate) fn index_colors(&self) -> Option<&[[u8; 4]]> {
        let is_alone = |layer: &Layer| layer.value.masks.is_empty();
        if self.inputs.len() != 1
            || table_entries(self.sample) != 1 << 8
            || self.n_channels() != 4
            || !self.layers.iter().all(is_alone)
        {
            return None;
        }
        match self.tables.get_or_init(|| Tables::new(self)).bytes.as_deref() {
            Some([table]) => Some(table),
            _ => None,
        }
    }

    /// Bytes that the plan takes, with the tables that it may get.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let colors = self.layers.iter().map(Layer::memory_bytes).sum::<usize>();
        let tables = (self.layers.len() * table_entries(self.sample) * size_of::<Rgba>()).min(MAX_TABLES);
        let profile = self.profile.as_ref().map_or(0, Profile::memory_bytes);
        (size_of::<Self>() + colors + profile + tables) as u64
    }

    /// Bytes of one pixel of the result.
    pub(crate) fn pixel_bytes(&self) -> usize {
        self.n_channels() as usize * self.sample().bytes()
    }

    /// Writes the picture of `samples`, pixel-interleaved and without gaps.
    pub(crate) fn apply(&self, samples: &Samples, out: &mut [u8]) -> Result<()> {
        let wanted = samples.n_pixels.checked_mul(self.pixel_bytes());
        if wanted != Some(out.len()) || samples.planes.len() != self.inputs.len() || samples.sample != self.sample {
            return Err(Error::internal(format!("{} bytes for {} styled pixels", out.len(), samples.n_pixels)));
        }
        let none = Tables { bytes: None, paints: vec![Vec::new(); self.layers.len()] };
        // For less pixels than a table has entries it is not made, but used where there is one.
        let tables = match self.tables.get() {
            Some(tables) => tables,
            None if samples.n_pixels < table_entries(self.sample) => &none,
            None => self.tables.get_or_init(|| Tables::new(self)),
        };
        match &tables.bytes {
            Some(bytes) => self.look_up(bytes, samples, out),
            None => self.work_out(&tables.paints, samples, out),
        }
        Ok(())
    }

    /// Takes the greatest of what the tables say.
    fn look_up(&self, tables: &[Vec<[u8; 4]>], samples: &Samples, out: &mut [u8]) {
        let n_channels = self.n_channels() as usize;
        let mut run = [[0; 4]; RUN];
        for (i, out) in out.chunks_mut(RUN * n_channels).enumerate() {
            let n = out.len() / n_channels;
            let run = &mut run[..n];
            run.fill([0; 4]);
            for (table, layer) in tables.iter().zip(&self.layers) {
                let valid = Valid::new(layer, samples, i * RUN, n);
                each_index(layer, samples, i * RUN, n, |at, index| {
                    if valid.is(at) {
                        let (pixel, color) = (&mut run[at], table[index]);
                        (0..4).for_each(|channel| pixel[channel] = pixel[channel].max(color[channel]));
                    }
                });
            }
            if n_channels == 4 {
                out.copy_from_slice(run.as_flattened());
            } else {
                let channel = usize::from(self.axis.unwrap_or(0));
                out.iter_mut().zip(run).for_each(|(out, pixel)| *out = pixel[channel]);
            }
        }
    }

    /// Lays layer over layer.
    fn work_out(&self, tables: &[Vec<Rgba>], samples: &Samples, out: &mut [u8]) {
        let pixel_bytes = self.pixel_bytes();
        let brushes: Vec<_> = (0..self.layers.len()).map(|number| Brush::new(self, number)).collect();
        let (mut values, mut run) = (Values::default(), [[0.0; 4]; RUN]);
        for (i, out) in out.chunks_mut(RUN * pixel_bytes).enumerate() {
            let (first, n) = (i * RUN, out.len() / pixel_bytes);
            let run = &mut run[..n];
            run.fill([0.0; 4]);
            for ((brush, layer), table) in brushes.iter().zip(&self.layers).zip(tables) {
                if table.is_empty() {
                    values.read(&layer.value, samples, first, n);
                    for ((pixel, value), valid) in run.iter_mut().zip(&values.values).zip(&values.valid) {
                        brush.lay(&brush.paint(valid.then(|| brush.color(*value)).flatten()), pixel);
                    }
                } else {
                    let (valid, nothing) = (Valid::new(layer, samples, first, n), brush.paint(None));
                    each_index(layer, samples, first, n, |at, index| {
                        brush.lay(if valid.is(at) { &table[index] } else { &nothing }, &mut run[at]);
                    });
                }
            }
            for (pixel, out) in run.iter().zip(out.chunks_exact_mut(pixel_bytes)) {
                self.write(pixel, out);
            }
        }
    }

    /// Writes a pixel as samples of the result.
    fn write(&self, pixel: &Rgba, out: &mut [u8]) {
        let channels = match self.axis {
            Some(axis) => &pixel[usize::from(axis)..][..1],
            None => &pixel[..usize::from(self.n_channels)],
        };
        let wide = self.sample == SampleType::F64;
        let rounded = |number: f64| if wide { number } else { f64::from(number as f32) };
        for (channel, out) in channels.iter().zip(out.chunks_exact_mut(self.sample().bytes())) {
            match self.output {
                // `as` clips and truncates, and makes 0 of NaN.
                Output::U8 => out[0] = *channel as u8,
                Output::U16 => (rounded(rounded(channel * 65_535.0) / 255.0) as u16).write(out),
                Output::Float => (rounded(channel / 255.0) as f32).write(out),
            }
        }
    }
}

/// Entries of a table for such samples; 0 where there is none.
fn table_entries(sample: SampleType) -> usize {
    match sample {
        SampleType::U8 | SampleType::I8 => 1 << 8,
        SampleType::U16 | SampleType::I16 => 1 << 16,
        _ => 0,
    }
}

impl Tables {
    fn new(plan: &Plan) -> Self {
        let n = table_entries(plan.sample);
        let is_plain = |layer: &Layer| matches!(layer.value.ops[..], [Op::Input(_)]);
        let lightens = |layer: &Layer| layer.composite == Composite::Lighten && is_plain(layer);
        let as_bytes = n > 0 && !plan.compat && plan.output == Output::U8 && plan.layers.iter().all(lightens);
        if as_bytes && plan.layers.len() * n * 4 <= MAX_TABLES {
            let table = |number| {
                let brush = Brush::new(plan, number);
                let finished = |paint: &Rgba| {
                    let mut pixel = [0.0; 4];
                    brush.lay(paint, &mut pixel);
                    pixel.map(|channel| channel as u8)
                };
                paints(&brush, plan, number, n).iter().map(finished).collect()
            };
            return Self { bytes: Some((0..plan.layers.len()).map(table).collect()), paints: Vec::new() };
        }
        let mut left = MAX_TABLES;
        let mut table = |number: usize| {
            let bytes = n * size_of::<Rgba>();
            if n == 0 || bytes > left || !is_plain(&plan.layers[number]) {
                return Vec::new();
            }
            left -= bytes;
            paints(&Brush::new(plan, number), plan, number, n)
        };
        Self { bytes: None, paints: (0..plan.layers.len()).map(&mut table).collect() }
    }
}

/// What a layer lays down for each of `n` samples, in the order of their bits.
fn paints(brush: &Brush<'_>, plan: &Plan, number: usize, n: usize) -> Vec<Rgba> {
    let value = &plan.layers[number].value;
    let paint = |bits: usize| {
        let sample = match plan.sample {
            SampleType::I8 => f64::from(bits as u8 as i8),
            SampleType::I16 => f64::from(bits as u16 as i16),
            _ => bits as f64,
        };
        let nodata = value.nodata == Some(sample) || value.input_nodata.iter().any(|(_, nodata)| *nodata == sample);
        brush.paint(if nodata { None } else { brush.color(sample) })
    };
    (0..n).map(paint).collect()
}

/// Calls `each` with the place and the bits of the samples of a layer that has a table.
fn each_index(layer: &Layer, samples: &Samples, first: usize, n: usize, mut each: impl FnMut(usize, usize)) {
    let [Op::Input(place)] = layer.value.ops[..] else { return };
    let plane = &samples.planes[place as usize];
    if samples.sample.bytes() == 1 {
        plane[first..first + n].iter().enumerate().for_each(|(at, bits)| each(at, usize::from(*bits)));
    } else {
        let plane = &plane[first * 2..(first + n) * 2];
        plane.chunks_exact(2).enumerate().for_each(|(at, bytes)| each(at, usize::from(u16::read(bytes))));
    }
}

/// The masks over a run of pixels.
struct Valid<'a>(Vec<&'a [u8]>);

impl<'a> Valid<'a> {
    fn new(layer: &Layer, samples: &'a Samples, first: usize, n: usize) -> Self {
        let masks = layer.value.masks.iter();
        Self(masks.map(|place| &samples.planes[*place as usize][first..first + n]).collect())
    }

    #[inline]
    fn is(&self, at: usize) -> bool {
        self.0.iter().all(|mask| mask[at] != 0)
    }
}
