//! A style against a dataset: which bands, which colours, which numbers.

use std::sync::OnceLock;

use crate::dataset::{Dataset, Summary};
use crate::error::{Error, Result};
use crate::resample::{Resampling, nodata_as};
use crate::sample::{Sample, SampleType, with_sample};
use crate::source::{ColorInterpretation, MaskKind, Nodata};
use crate::sync::Arc;

use super::color::Rgba;
use super::expr::{self, Op};
use super::icc::Profile;
use super::inputs::{Area, Input, Samples, Values};
use super::json::{is_gamma, is_name};
use super::plan::{Between, ColorMap, Layer, Output, Plan, Value, put_in_order};
use super::spec::{
    BandChoice, Bound, Colors, Composite, MAX_BANDS, Palette, Scheme, Style, StyleBand, StyleBands, StyleDtype,
    StyleNodata,
};

const BLACK: Rgba = [0.0, 0.0, 0.0, 255.0];
const WHITE: Rgba = [255.0; 4];
const CLEAR: Rgba = [255.0, 255.0, 255.0, 0.0];

impl Style {
    /// What the style comes to for a frame of a dataset. A range that is not given in numbers is looked up in the
    /// samples; for each band that costs a look at up to 1024 x 1024 pixels, once.
    ///
    /// # Errors
    ///
    /// `invalid argument` with the path of the key when there is no such band, frame or colour table, or when two keys
    /// contradict each other; `unsupported` when a colour profile shall be applied; otherwise what reading samples met.
    pub fn resolve(&self, dataset: &Dataset, frame: u32) -> Result<Plan> {
        let info = dataset.info();
        let profile = Profile::of(self, dataset)?;
        let given: &[StyleBand] = match &self.bands {
            StyleBands::These(bands) => bands,
            StyleBands::Visible => &visible(&info.colors),
            // As the samples are, but for their profile.
            StyleBands::Unstyled if self.icc == Some(true) && profile.is_some() => {
                &visible(&info.colors).into_iter().map(|band| band.range(Bound::Full, Bound::Full)).collect::<Vec<_>>()
            }
            StyleBands::Unstyled => &[],
        };
        if given.len() > MAX_BANDS {
            return Err(Error::limit(format!("bands: {} bands; a style may have {MAX_BANDS}", given.len())));
        }
        let mut resolver = Resolver { style: self, dataset, frame, profile: profile.as_ref(), inputs: Vec::new() };
        let mut layers = Vec::with_capacity(given.len());
        for (number, band) in given.iter().enumerate() {
            let layer = resolver.layer(band);
            layers
                .push(layer.map_err(|error| Error::new(error.kind(), format!("bands[{number}].{}", error.message())))?);
        }
        let first = |dtype: fn(&StyleBand) -> Option<StyleDtype>| self.dtype.or(given.iter().find_map(dtype));
        let output = match (first(|band| band.dtype), info.sample.part()) {
            (Some(StyleDtype::U16), _) | (Some(StyleDtype::Source), SampleType::U16) => Output::U16,
            (Some(StyleDtype::Float), _) | (Some(StyleDtype::Source), SampleType::F32 | SampleType::F64) => {
                Output::Float
            }
            _ => Output::U8,
        };
        let axis = self.axis.or(given.iter().find_map(|band| band.axis));
        if let Some(axis) = axis.filter(|axis| *axis > 3) {
            return Err(Error::invalid(format!("axis: {axis} is not 0, 1, 2 or 3")));
        }
        let n_channels = match (&layers[..], given) {
            ([layer], [band]) if info.n_bands == 1 && !is_alpha(band) && self.is_gray(layer, info.sample) => 1,
            _ => 4,
        };
        let inputs = resolver.inputs;
        let mut plan = Plan {
            // One that no input needs changes nothing.
            profile: profile.filter(|profile| inputs.iter().any(|input| profile.needs(*input).next().is_some())),
            inputs,
            layers,
            n_channels,
            axis: axis.filter(|axis| *axis < n_channels && n_channels > 1),
            output,
            resampling: self.resampling,
            sample: info.sample.part(),
            compat: self.compat,
            tables: OnceLock::new(),
            hash: OnceLock::new(),
        };
        plan.put_in_order();
        Ok(plan)
    }

    /// Whether the only layer goes from black to white and, but for `compat`, no pixel can be masked.
    fn is_gray(&self, layer: &Layer, sample: SampleType) -> bool {
        let ColorMap::Even { colors, clamp, .. } = &layer.map else { return false };
        let value = &layer.value;
        let all_valid = value.nodata.is_none()
            && value.masks.is_empty()
            && matches!(value.ops[..], [Op::Input(_)])
            && !sample.is_float()
            && *clamp;
        colors[..] == [BLACK, WHITE] && (all_valid || self.compat)
    }
}

/// The style of a dataset of which nobody says anything.
fn visible(colors: &[ColorInterpretation]) -> Vec<StyleBand> {
    use ColorInterpretation as C;
    let find = |color: C| colors.iter().position(|c| *c == color).map(|band| band as u32 + 1);
    let from_black = |(band, [r, g, b]): (u32, [f64; 3])| {
        let palette = Palette(Colors::Even(vec![BLACK, [r, g, b, 255.0]]));
        StyleBand::new(band).palette(palette).nodata(StyleNodata::Auto)
    };
    let mut bands: Vec<_> = match (find(C::Red), find(C::Green), find(C::Blue), find(C::Palette)) {
        (Some(red), Some(green), Some(blue), _) => {
            let of = [(red, [255.0, 0.0, 0.0]), (green, [0.0, 255.0, 0.0]), (blue, [0.0, 0.0, 255.0])];
            of.into_iter().map(from_black).collect()
        }
        (.., Some(table)) => vec![StyleBand::new(table).palette(Palette::COLORTABLE).nodata(StyleNodata::Auto)],
        _ => vec![from_black((find(C::Gray).unwrap_or(1), [255.0; 3]))],
    };
    if let Some(alpha) = find(C::Alpha) {
        let opacity = StyleBand::new(alpha).palette(Palette(Colors::Even(vec![CLEAR, WHITE])));
        bands.push(opacity.composite(Composite::Multiply).range(Bound::Full, Bound::Full));
    }
    bands
}

fn is_alpha(band: &StyleBand) -> bool {
    matches!(&band.band, BandChoice::Named(name) if name == "alpha")
}

struct Resolver<'a> {
    style: &'a Style,
    dataset: &'a Dataset,
    frame: u32,
    profile: Option<&'a Profile>,
    inputs: Vec<Input>,
}

impl Resolver<'_> {
    fn layer(&mut self, band: &StyleBand) -> Result<Layer> {
        if !is_gamma(band.gamma) {
            return Err(Error::invalid(format!("gamma: {} is not a number from 0.01 to 100", band.gamma)));
        }
        let frame = self.frame_of(band)?;
        let value = self.value(band, frame)?;
        let map = self.map(band, &value, frame)?;
        let of_style = self.style.composite.filter(|_| !self.style.compat);
        let fallback = if is_alpha(band) { Composite::Multiply } else { Composite::Lighten };
        let composite = band.composite.or(of_style).unwrap_or(fallback);
        Ok(Layer { value, map, composite })
    }

    fn frame_of(&self, band: &StyleBand) -> Result<u32> {
        let n_frames = self.dataset.info().n_frames;
        let (key, frame) = match band.frame {
            Some(frame) => ("frame", i64::from(frame)),
            None => ("framedelta", i64::from(self.frame).saturating_add(band.frame_delta)),
        };
        let known = u32::try_from(frame).ok().filter(|frame| *frame < n_frames);
        known.ok_or_else(|| {
            Error::invalid(format!("{key}: frame {frame}; the frames are numbered 0 to {}", n_frames.saturating_sub(1)))
        })
    }

    fn place(&mut self, input: Input) -> u32 {
        let place = self.inputs.iter().position(|known| *known == input).unwrap_or(self.inputs.len());
        if place == self.inputs.len() {
            self.inputs.push(input);
            for needed in self.profile.into_iter().flat_map(|profile| profile.needs(input)) {
                if !self.inputs.contains(&needed) {
                    self.inputs.push(needed);
                }
            }
        }
        place as u32
    }

    /// What a band shows, with all that is nothing.
    fn value(&mut self, band: &StyleBand, frame: u32) -> Result<Value> {
        let n_bands = self.dataset.info().n_bands;
        let mut ops = match &band.band {
            BandChoice::Expression(text) => expr::parse(text).map_err(|error| error.context("expression"))?,
            choice => vec![match self.number(choice)? {
                Some(number) => Op::Input(number + 1),
                None => Op::Number(255.0),
            }],
        };
        let mut value = Value::default();
        let mut bands = Vec::new();
        for op in &mut ops {
            let Op::Input(number) = op else { continue };
            if *number == 0 || *number > n_bands {
                let key = if matches!(band.band, BandChoice::Expression(_)) { "expression" } else { "band" };
                return Err(Error::invalid(format!("{key}: band {number}; the bands are numbered 1 to {n_bands}")));
            }
            bands.push(*number - 1);
            *op = Op::Input(self.place(Input::Band { frame, band: *number - 1 }));
        }
        value.ops = ops;
        let plain = matches!(value.ops[..], [Op::Input(_)]);
        match band.nodata {
            StyleNodata::None => {}
            StyleNodata::Value(nodata) if plain => value.nodata = self.possible(Nodata::Float(nodata)),
            StyleNodata::Value(nodata) => value.nodata = Some(nodata).filter(|nodata| !nodata.is_nan()),
            StyleNodata::Auto => {
                for number in bands {
                    self.leave_out(&mut value, frame, number);
                }
                if let ([(_, nodata)], true) = (&value.input_nodata[..], plain) {
                    value.nodata = Some(*nodata);
                    value.input_nodata.clear();
                }
            }
        }
        Ok(value)
    }

    /// Leaves out what the dataset says is nothing.
    fn leave_out(&mut self, value: &mut Value, frame: u32, band: u32) {
        let info = self.dataset.info();
        match info.mask_kind(band) {
            MaskKind::AllValid | MaskKind::Alpha => {}
            // Nodata is a sample of the file, before a profile made another one of it.
            MaskKind::Nodata if self.is_converted(frame, band) => {
                value.masks.push(self.place(Input::Mask { frame, band }))
            }
            MaskKind::Nodata => {
                if let Some(nodata) = info.band_nodata(band).and_then(|nodata| self.possible(nodata)) {
                    let place = self.place(Input::Band { frame, band });
                    value.input_nodata.push((place, nodata));
                }
            }
            // One mask for all bands is that of the first.
            MaskKind::Stored | MaskKind::NodataValues => value.masks.push(self.place(Input::Mask { frame, band: 0 })),
            MaskKind::StoredForBand => value.masks.push(self.place(Input::Mask { frame, band })),
        }
    }

    fn is_converted(&self, frame: u32, band: u32) -> bool {
        self.profile.is_some_and(|profile| profile.needs(Input::Band { frame, band }).next().is_some())
    }

    /// The number that samples of that value have; `None` when none can, or when it is NaN, which is nothing anyway.
    fn possible(&self, nodata: Nodata) -> Option<f64> {
        with_sample!(self.dataset.info().sample, T => {
            nodata_as::<T>(Some(nodata)).map(|sample| sample.to_f64()).filter(|value| !value.is_nan())
        })
    }

    /// The band that is meant, from 0; `None` for opacity that no band has.
    fn number(&self, choice: &BandChoice) -> Result<Option<u32>> {
        let info = self.dataset.info();
        let (n_bands, compat) = (info.n_bands, self.style.compat);
        let second = if n_bands <= 2 { 0 } else { 1 };
        let shows = |color: ColorInterpretation| {
            let found = info.colors.iter().position(|c| *c == color).filter(|_| !compat);
            found.map(|band| band as u32)
        };
        let name = match choice {
            BandChoice::Number(number) if compat && !(1..=n_bands).contains(number) => return Ok(Some(second)),
            BandChoice::Number(number) => {
                let band = number.checked_sub(1).filter(|band| *band < n_bands);
                return band.map(Some).ok_or_else(|| {
                    Error::invalid(format!("band: band {number}; the bands are numbered 1 to {n_bands}"))
                });
            }
            BandChoice::Named(name) => name.as_str(),
            BandChoice::Default | BandChoice::Expression(_) => {
                let on_the_ground = info.geotransform.is_some() || info.srs_wkt.is_some() || !info.gcps.is_empty();
                return Ok(Some(if on_the_ground && !compat { 0 } else { second }));
            }
        };
        if !is_name(name) {
            return Err(Error::invalid(format!("band: \"{name}\" is not red, green, blue, gray or alpha")));
        }
        Ok(match name {
            "red" => Some(shows(ColorInterpretation::Red).unwrap_or(0)),
            "green" => Some(shows(ColorInterpretation::Green).unwrap_or(second)),
            "blue" => Some(shows(ColorInterpretation::Blue).unwrap_or(if n_bands > 2 { 2 } else { 0 })),
            "alpha" => {
                let last = matches!(n_bands, 2 | 4).then_some(n_bands - 1);
                shows(ColorInterpretation::Alpha).or(last)
            }
            _ => Some(shows(ColorInterpretation::Gray).unwrap_or(second)),
        })
    }

    fn map(&self, band: &StyleBand, value: &Value, frame: u32) -> Result<ColorMap> {
        let own_range = (band.min, band.max) != (Bound::Auto(0.0), Bound::Auto(0.0));
        let colors = match band.palette.as_ref().map(|palette| &palette.0) {
            None if is_alpha(band) => vec![CLEAR, WHITE],
            None => vec![BLACK, WHITE],
            Some(Colors::Even(colors)) => colors.clone(),
            Some(Colors::Table) => {
                let table = self.dataset.info().color_table.as_deref().filter(|table| !table.is_empty());
                let table = table.ok_or_else(|| Error::invalid("palette: the dataset has no colour table"))?;
                let colors: Vec<Rgba> = table.iter().map(|color| color.map(f64::from)).collect();
                if !own_range && !self.style.compat {
                    let values = (0..colors.len()).map(|index| index as f64).collect();
                    return Ok(ColorMap::ByValue { values, colors, between: Between::Nothing, clamp: true });
                }
                if !own_range {
                    let last = (colors.len() - 1) as f64;
                    return even(band, (0.0, last), colors);
                }
                colors
            }
            Some(Colors::ByValue(by_value)) => {
                if own_range || band.gamma != 1.0 {
                    let key = if band.gamma != 1.0 { "gamma" } else { "min, max" };
                    return Err(Error::invalid(format!("{key}: a palette by value goes by its values alone")));
                }
                let between = match band.scheme {
                    None | Some(Scheme::Discrete) => Between::Nothing,
                    Some(Scheme::Interval) => Between::Lower,
                    Some(Scheme::Linear) => Between::Mixed,
                };
                let (values, colors) = by_value.iter().copied().unzip();
                let clamp = band.clamp || between == Between::Nothing;
                return Ok(ColorMap::ByValue { values, colors, between, clamp });
            }
        };
        if band.scheme == Some(Scheme::Interval) {
            return Err(Error::invalid(
                "scheme: interval takes a palette by value, as {\"0\": \"#fff\", \"10\": \"#000\"}",
            ));
        }
        let min = self.bound(band.min, false, value, frame).map_err(|error| error.context("min"))?;
        let max = self.bound(band.max, true, value, frame).map_err(|error| error.context("max"))?;
        even(band, (min, max), colors)
    }

    /// One end of a range as a number.
    fn bound(&self, bound: Bound, upper: bool, value: &Value, frame: u32) -> Result<f64> {
        let top = match self.dataset.info().sample.part() {
            SampleType::U16 => 65_535.0,
            SampleType::F32 | SampleType::F64 => 1.0,
            _ => 255.0,
        };
        let constant = !value.ops.iter().any(|op| matches!(op, Op::Input(_)));
        let (bound, part) = match bound {
            Bound::Number(number) if !number.is_finite() => {
                return Err(Error::invalid(format!("{number} is not finite")));
            }
            Bound::Number(number) => return Ok(number),
            Bound::Full => return Ok(if upper { top } else { 0.0 }),
            Bound::Min(part) | Bound::Max(part) | Bound::Auto(part) if !(0.0..=1.0).contains(&part) => {
                return Err(Error::invalid(format!("a part of {part}; it goes from 0 to 1")));
            }
            // Full opacity is full, whatever the samples of other bands.
            _ if constant && !self.style.compat => return Ok(if upper { 255.0 } else { 0.0 }),
            Bound::Auto(_) if self.is_eight_bits(value, frame)? => return Ok(if upper { 255.0 } else { 0.0 }),
            Bound::Auto(part) => (if upper { Bound::Max(part) } else { Bound::Min(part) }, part),
            Bound::Min(part) | Bound::Max(part) => (bound, part),
        };
        let from_above = matches!(bound, Bound::Max(_));
        let unknown = if from_above { top } else { 0.0 };
        if constant {
            return Ok(unknown);
        }
        let summary = self.summary(value, frame)?;
        let found = match part {
            0.0 if from_above => summary.max(),
            0.0 => summary.min(),
            _ if self.style.compat => summary.bin_edge(part, from_above),
            _ if from_above => summary.quantile(1.0 - part),
            _ => summary.quantile(part),
        };
        Ok(found.unwrap_or(unknown))
    }

    /// Whether all samples of the frame are such as 8 bits hold.
    fn is_eight_bits(&self, value: &Value, frame: u32) -> Result<bool> {
        // What arithmetic makes is no picture to begin with.
        let plain = matches!(value.ops[..], [Op::Input(_)]);
        if !plain && !self.style.compat {
            return Ok(false);
        }
        let fits = |summary: &Summary| match (summary.min(), summary.max()) {
            (Some(min), Some(max)) => (0.0..=254.0).contains(&min) && (2.0..=255.0).contains(&max),
            _ => true,
        };
        if plain && !fits(&*self.summary(value, frame)?) {
            return Ok(false);
        }
        for band in 0..self.dataset.info().n_bands {
            let mut of_band = Resolver { inputs: Vec::new(), ..*self };
            let place = of_band.place(Input::Band { frame, band });
            if !fits(&*of_band.summary(&Value { ops: vec![Op::Input(place)], ..Value::default() }, frame)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What the values are like, without all that the dataset or the style says is nothing.
    fn summary(&self, value: &Value, frame: u32) -> Result<Arc<Summary>> {
        // As a plan of its own, so that equal values are found whatever else a style has.
        let mut alone = Resolver { inputs: Vec::new(), ..*self };
        let mut own = Value { nodata: value.nodata, ..Value::default() };
        for op in &value.ops {
            own.ops.push(match op {
                Op::Input(place) => Op::Input(alone.place(self.inputs[*place as usize])),
                other => *other,
            });
        }
        let compat = self.style.compat;
        // Of the bands that the values are made of, not of those that a profile needs beside them.
        let used = own.ops.iter().filter_map(|op| match op {
            Op::Input(place) => Some(*place as usize),
            _ => None,
        });
        let used: Vec<Input> = used.map(|place| alone.inputs[place]).collect();
        if compat {
            own.nodata = None;
        } else {
            let bands = used.iter().map(|input| match input {
                Input::Band { band, .. } | Input::Mask { band, .. } => *band,
            });
            for band in bands {
                alone.leave_out(&mut own, frame, band);
            }
        }
        let mut inputs = alone.inputs;
        put_in_order(&mut inputs, std::iter::once(&mut own));
        self.dataset.summary(&own.key(&inputs, self.profile), |level, window, cache_use, out| {
            let area = Area { level, window, resampling: Resampling::Nearest, cache_use };
            let samples = Samples::read(self.dataset, &inputs, self.profile, area)?;
            let mut values = Values::default();
            for first in (0..samples.n_pixels).step_by(RUN) {
                values.read(&own, &samples, first, RUN.min(samples.n_pixels - first));
                let pairs = values.values().iter().zip(&values.valid);
                out.extend(pairs.filter(|(value, valid)| **valid && value.is_finite()).map(|(value, _)| *value));
            }
            Ok(())
        })
    }
}

/// Pixels whose values are worked out at a time.
const RUN: usize = 4096;

fn even(band: &StyleBand, (min, max): (f64, f64), colors: Vec<Rgba>) -> Result<ColorMap> {
    let delta = if max == min { 1.0 } else { max - min };
    if !delta.is_finite() {
        return Err(Error::invalid(format!("max: from {min} to {max} is too far")));
    }
    let discrete = band.scheme == Some(Scheme::Discrete);
    Ok(ColorMap::Even { min, delta, gamma: band.gamma, clamp: band.clamp, discrete, colors })
}
