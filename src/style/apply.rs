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
    /// Whether the bits of all those pixels together are the greatest bytes: when no two layers have different bytes in one
    /// channel, but for 0.
    apart: bool,
    /// The layers whose samples are red, green and blue as they are, when that is all.
    colors: Option<[usize; 3]>,
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
        let none = Tables { paints: vec![Vec::new(); self.layers.len()], ..Tables::default() };
        // For less pixels than a table has entries it is not made, but used where there is one.
        let tables = match self.tables.get() {
            Some(tables) => tables,
            None if samples.n_pixels < table_entries(self.sample) => &none,
            None => self.tables.get_or_init(|| Tables::new(self)),
        };
        if tables.bytes.is_some() {
            self.look_up(tables, samples, out);
        } else {
            self.work_out(&tables.paints, samples, out);
        }
        Ok(())
    }

    /// Takes the greatest of what the tables say.
    fn look_up(&self, tables: &Tables, samples: &Samples, out: &mut [u8]) {
        let mut colors = [[0; 4]; RUN];
        if self.n_channels() == 4 {
            for (i, run) in out.as_chunks_mut::<4>().0.chunks_mut(RUN).enumerate() {
                self.look_up_run(tables, samples, i * RUN, &mut colors, run);
            }
            return;
        }
        let channel = usize::from(self.axis.unwrap_or(0));
        let mut run = [[0; 4]; RUN];
        for (i, out) in out.chunks_mut(RUN).enumerate() {
            let run = &mut run[..out.len()];
            self.look_up_run(tables, samples, i * RUN, &mut colors, run);
            out.iter_mut().zip(run).for_each(|(out, pixel)| *out = pixel[channel]);
        }
    }

    /// The same for the pixels from `first` on; `colors` is room for those of one layer.
    fn look_up_run(
        &self,
        tables: &Tables,
        samples: &Samples,
        first: usize,
        colors: &mut [[u8; 4]; RUN],
        run: &mut [[u8; 4]],
    ) {
        if let Some(colors) = tables.colors {
            let [r, g, b] = colors.map(|layer| self.layers[layer].bytes_of(samples, first, run.len()));
            for (((pixel, r), g), b) in run.iter_mut().zip(r).zip(g).zip(b) {
                *pixel = [*r, *g, *b, 255];
            }
            return;
        }
        let together = |a: [u8; 4], b: [u8; 4]| (u32::from_ne_bytes(a) | u32::from_ne_bytes(b)).to_ne_bytes();
        for (number, (table, layer)) in tables.bytes.iter().flatten().zip(&self.layers).enumerate() {
            let valid = Valid::new(layer, samples, first, run.len());
            let masked = |at: usize, color: &[u8; 4]| if valid.is(at) { *color } else { [0; 4] };
            match (number, valid.is_all(), tables.apart) {
                (0, true, _) => layer.gather(table, samples, first, run, |_, color, _| *color),
                (0, false, _) => layer.gather(table, samples, first, run, |at, color, _| masked(at, color)),
                (_, true, true) => layer.gather(table, samples, first, run, |_, color, below| together(*color, below)),
                // The greatest of bytes that lie one after the other are found many at once.
                (_, is_all, _) => {
                    let colors = &mut colors[..run.len()];
                    if is_all {
                        layer.gather(table, samples, first, colors, |_, color, _| *color);
                    } else {
                        layer.gather(table, samples, first, colors, |at, color, _| masked(at, color));
                    }
                    let pairs = run.as_flattened_mut().iter_mut().zip(colors.as_flattened());
                    pairs.for_each(|(byte, other)| *byte = (*byte).max(*other));
                }
            }
        }
    }

    /// Lays layer over layer.
    fn work_out(&self, tables: &[Vec<Rgba>], samples: &Samples, out: &mut [u8]) {
        let pixel_bytes = self.pixel_bytes();
        let brushes: Vec<_> = (0..self.layers.len()).map(|number| Brush::new(self, number)).collect();
        let mut values = Values::default();
        let (mut paints, mut run) = (vec![[0.0; 4]; RUN], vec![[0.0; 4]; RUN]);
        for (i, out) in out.chunks_mut(RUN * pixel_bytes).enumerate() {
            let (first, n) = (i * RUN, out.len() / pixel_bytes);
            let (run, paints) = (&mut run[..n], &mut paints[..n]);
            run.fill([0.0; 4]);
            for ((brush, layer), table) in brushes.iter().zip(&self.layers).zip(tables) {
                if table.is_empty() {
                    values.read(&layer.value, samples, first, n);
                    brush.paint_run(values.values(), &values.valid, paints);
                } else {
                    let (valid, nothing) = (Valid::new(layer, samples, first, n), brush.paint(None));
                    if valid.is_all() {
                        layer.gather(table, samples, first, paints, |_, paint, _| *paint);
                    } else {
                        let masked = |at: usize, paint: &Rgba| if valid.is(at) { *paint } else { nothing };
                        layer.gather(table, samples, first, paints, |at, paint, _| masked(at, paint));
                    }
                }
                brush.lay_run(paints, run);
            }
            match (self.output, self.axis, self.n_channels) {
                (Output::U8, None, 4) => {
                    let (out, _) = out.as_chunks_mut::<4>();
                    // `as` clips and truncates, and makes 0 of NaN.
                    out.iter_mut().zip(run).for_each(|(out, pixel)| *out = pixel.map(|channel| channel as u8));
                }
                _ => run.iter().zip(out.chunks_exact_mut(pixel_bytes)).for_each(|(pixel, out)| self.write(pixel, out)),
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
            let bytes: Vec<_> = (0..plan.layers.len()).map(table).collect();
            let (apart, colors) = (are_apart(&bytes), as_they_are(plan, &bytes));
            return Self { bytes: Some(bytes), apart, colors, paints: Vec::new() };
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
        Self { paints: (0..plan.layers.len()).map(&mut table).collect(), ..Self::default() }
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

/// Whether no two tables have different bytes in a channel, other than 0.
fn are_apart(tables: &[Vec<[u8; 4]>]) -> bool {
    // What is known of each channel: nothing, or the one byte that it has, if it is one.
    let mut known: [Option<Option<u8>>; 4] = [None; 4];
    for table in tables {
        for channel in 0..4 {
            let mut found = table.iter().map(|color| color[channel]).filter(|byte| *byte != 0);
            let Some(first) = found.next() else { continue };
            let constant = found.all(|byte| byte == first).then_some(first);
            match (known[channel], constant) {
                (None, _) => known[channel] = Some(constant),
                (Some(before), Some(_)) if before == constant => {}
                _ => return false,
            }
        }
    }
    true
}

/// The layers of red, green and blue, when there are three whose samples are those bytes.
fn as_they_are(plan: &Plan, tables: &[Vec<[u8; 4]>]) -> Option<[usize; 3]> {
    let is_plain = plan.layers.len() == 3 && plan.layers.iter().all(|layer| layer.value.masks.is_empty());
    if !is_plain || plan.sample != SampleType::U8 {
        return None;
    }
    let shows = |channel: usize| {
        let is_byte = |(byte, color): (usize, &[u8; 4])| {
            let mut wanted = [0, 0, 0, 255];
            wanted[channel] = byte as u8;
            *color == wanted
        };
        tables.iter().position(|table| table.iter().enumerate().all(is_byte))
    };
    Some([shows(0)?, shows(1)?, shows(2)?])
}

impl Layer {
    /// The bytes of a run of the layer's samples, which has a table.
    fn bytes_of<'a>(&self, samples: &'a Samples, first: usize, n: usize) -> &'a [u8] {
        let [Op::Input(place)] = self.value.ops[..] else { return &[] };
        let bytes = samples.sample.bytes();
        &samples.planes[place as usize][first * bytes..(first + n) * bytes]
    }

    /// Makes each pixel of a run of its place in the run, of what the table has for the bits of its sample, and of what
    /// it was.
    #[inline]
    fn gather<T, U: Copy>(
        &self,
        table: &[T],
        samples: &Samples,
        first: usize,
        run: &mut [U],
        each: impl Fn(usize, &T, U) -> U,
    ) {
        let bits = self.bytes_of(samples, first, run.len());
        // Tables of all samples that there can be: no index lies beyond.
        if let Ok(table) = <&[T; 1 << 8]>::try_from(table) {
            for (at, (out, bits)) in run.iter_mut().zip(bits).enumerate() {
                *out = each(at, &table[usize::from(*bits)], *out);
            }
        } else if let Ok(table) = <&[T; 1 << 16]>::try_from(table) {
            for (at, (out, bytes)) in run.iter_mut().zip(bits.as_chunks::<2>().0).enumerate() {
                *out = each(at, &table[usize::from(u16::from_ne_bytes(*bytes))], *out);
            }
        }
    }
}

/// The masks over a run of pixels.
struct Valid<'a>(Vec<&'a [u8]>);

impl<'a> Valid<'a> {
    fn new(layer: &Layer, samples: &'a Samples, first: usize, n: usize) -> Self {
        let masks = layer.value.masks.iter();
        Self(masks.map(|place| &samples.planes[*place as usize][first..first + n]).collect())
    }

    /// Whether there are no masks.
    fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    fn is(&self, at: usize) -> bool {
        self.0.iter().all(|mask| mask[at] != 0)
    }
}
