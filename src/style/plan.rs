//! What a style comes to: everything that pixels depend on, and nothing else.

use std::sync::OnceLock;

use xxhash_rust::xxh3::xxh3_128;

use crate::resample::Resampling;
use crate::sample::SampleType;

use super::apply::Tables;
use super::color::Rgba;
use super::expr::Op;
use super::icc::Profile;
use super::inputs::Input;
use super::spec::Composite;

/// Raised whenever equal bytes would mean other pixels.
const VERSION: u8 = 1;

/// A style resolved against one frame of a dataset: bands, colours and ranges are numbers.
///
/// ```
/// use tilekeep::{Dataset, MemorySource, OpenOptions, SampleType, Style};
///
/// # fn main() -> tilekeep::Result<()> {
/// let source = MemorySource::new(2, 1, 1, SampleType::U8, (2, 1), vec![10, 200])?;
/// let dataset = Dataset::from_source(source, &OpenOptions::default())?;
/// let hash = |style: &str| Style::parse(style)?.resolve(&dataset, 0).map(|plan| plan.hash());
/// assert_eq!(hash(r#"{"min": 10, "max": 200}"#)?, hash(r#"{"bands": [{"max": "max", "min": "10.0"}]}"#)?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Plan {
    /// What is read, each once and in order.
    pub(super) inputs: Vec<Input>,
    /// What is applied to the samples first.
    pub(super) profile: Option<Profile>,
    /// From the lowest to the highest. Without any, samples stay as they are.
    pub(super) layers: Vec<Layer>,
    /// 1 or 4, before one of them is picked.
    pub(super) n_channels: u8,
    /// The one that is picked, when there are four.
    pub(super) axis: Option<u8>,
    pub(super) output: Output,
    pub(super) resampling: Resampling,
    /// The type of the samples that are read.
    pub(super) sample: SampleType,
    pub(super) compat: bool,
    pub(super) tables: OnceLock<Tables>,
    pub(super) hash: OnceLock<u128>,
}

/// The samples of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Output {
    U8 = 0,
    U16 = 1,
    Float = 2,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layer {
    pub(super) value: Value,
    pub(super) map: ColorMap,
    pub(super) composite: Composite,
}

/// A number for every pixel, or nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Value {
    pub(super) ops: Vec<Op>,
    /// The value that is nothing.
    pub(super) nodata: Option<f64>,
    /// Inputs of which one value is nothing, by their places.
    pub(super) input_nodata: Vec<(u32, f64)>,
    /// Inputs that are masks, by their places.
    pub(super) masks: Vec<u32>,
}

/// Colours for values.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ColorMap {
    /// Colours spread evenly over a range.
    Even { min: f64, delta: f64, gamma: f64, clamp: bool, discrete: bool, colors: Vec<Rgba> },
    /// Colours of values, which ascend.
    ByValue { values: Vec<f64>, colors: Vec<Rgba>, between: Between, clamp: bool },
}

/// What a value has that lies between two values with colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Between {
    Nothing = 0,
    Lower = 1,
    Mixed = 2,
}

impl Plan {
    /// What tells pictures of one dataset apart: equal for plans that make equal pictures, however the style was spelled.
    /// The same in every process that runs the same version of this library's rules for pixels.
    #[must_use]
    pub fn hash(&self) -> u128 {
        *self.hash.get_or_init(|| self.hashed())
    }

    fn hashed(&self) -> u128 {
        let mut bytes = Bytes(vec![VERSION]);
        bytes.0.extend([u8::from(self.compat), self.n_channels, self.axis.map_or(u8::MAX, |axis| axis)]);
        bytes.0.extend([self.output as u8, self.resampling as u8, self.sample as u8]);
        bytes.number(self.inputs.len() as u32);
        self.inputs.iter().for_each(|input| bytes.input(input));
        bytes.number(self.layers.len() as u32);
        for layer in &self.layers {
            bytes.0.extend(layer.bytes());
        }
        // Nothing follows where there is none.
        bytes.0.extend(self.profile.iter().flat_map(|profile| profile.hash().to_le_bytes()));
        xxh3_128(&bytes.0)
    }

    /// Whether samples stay as they are.
    #[must_use]
    pub fn is_unstyled(&self) -> bool {
        self.layers.is_empty()
    }

    /// Channels of the result: 1, or red, green, blue and opacity.
    #[must_use]
    pub fn n_channels(&self) -> u32 {
        if self.axis.is_some() { 1 } else { u32::from(self.n_channels) }
    }

    /// The type of the samples of the result.
    #[must_use]
    pub fn sample(&self) -> SampleType {
        match self.output {
            Output::U8 => SampleType::U8,
            Output::U16 => SampleType::U16,
            Output::Float => SampleType::F32,
        }
    }

    /// The same plan with samples of 8 bits, as encoders want them.
    #[must_use]
    pub fn eight_bits(self) -> Self {
        Self { output: Output::U8, tables: OnceLock::new(), hash: OnceLock::new(), ..self }
    }

    /// Puts inputs and layers in the order that they have in every plan that says the same.
    pub(super) fn put_in_order(&mut self) {
        put_in_order(&mut self.inputs, self.layers.iter_mut().map(|layer| &mut layer.value));
        // The greatest of several is the same in any order. Values below 0, which only `compat` has, make a difference.
        if !self.compat && self.layers.iter().all(|layer| layer.composite == Composite::Lighten) {
            self.layers.sort_by_cached_key(Layer::bytes);
            self.layers.dedup();
        }
    }
}

/// Sorts inputs, and tells the values that refer to them.
pub(super) fn put_in_order<'a>(inputs: &mut Vec<Input>, values: impl Iterator<Item = &'a mut Value>) {
    let mut sorted = inputs.clone();
    sorted.sort_unstable();
    let places: Vec<u32> = inputs.iter().map(|input| sorted.partition_point(|s| s < input) as u32).collect();
    let moved = |place: &mut u32| *place = places[*place as usize];
    for value in values {
        for op in &mut value.ops {
            if let Op::Input(place) = op {
                moved(place);
            }
        }
        value.input_nodata.iter_mut().for_each(|(place, _)| moved(place));
        value.input_nodata.sort_by_key(|(place, _)| *place);
        value.input_nodata.dedup();
        value.masks.iter_mut().for_each(moved);
        value.masks.sort_unstable();
        value.masks.dedup();
    }
    *inputs = sorted;
}

impl Layer {
    /// Bytes that the layer takes.
    pub(super) fn memory_bytes(&self) -> usize {
        let n_colors = match &self.map {
            ColorMap::Even { colors, .. } | ColorMap::ByValue { colors, .. } => colors.len(),
        };
        size_of::<Self>() + n_colors * size_of::<(f64, Rgba)>() + self.value.ops.len() * size_of::<Op>()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Bytes(Vec::new());
        self.value.write(&mut bytes);
        bytes.0.push(self.composite as u8);
        match &self.map {
            ColorMap::Even { min, delta, gamma, clamp, discrete, colors } => {
                bytes.0.extend([0, u8::from(*clamp), u8::from(*discrete)]);
                [min, delta, gamma].into_iter().for_each(|number| bytes.float(*number));
                bytes.number(colors.len() as u32);
                colors.iter().flatten().for_each(|number| bytes.float(*number));
            }
            ColorMap::ByValue { values, colors, between, clamp } => {
                bytes.0.extend([1, u8::from(*clamp), *between as u8]);
                bytes.number(colors.len() as u32);
                values.iter().chain(colors.iter().flatten()).for_each(|number| bytes.float(*number));
            }
        }
        bytes.0
    }
}

impl Value {
    fn write(&self, bytes: &mut Bytes) {
        bytes.number(self.ops.len() as u32);
        for op in &self.ops {
            match op {
                Op::Input(place) => {
                    bytes.0.push(0);
                    bytes.number(*place);
                }
                Op::Number(number) => {
                    bytes.0.push(1);
                    bytes.float(*number);
                }
                Op::Unary(unary) => bytes.0.extend([2, *unary as u8]),
                Op::Binary(binary) => bytes.0.extend([3, *binary as u8]),
            }
        }
        bytes.0.push(u8::from(self.nodata.is_some()));
        bytes.float(self.nodata.unwrap_or_default());
        bytes.number(self.input_nodata.len() as u32);
        for (place, nodata) in &self.input_nodata {
            bytes.number(*place);
            bytes.float(*nodata);
        }
        bytes.number(self.masks.len() as u32);
        self.masks.iter().for_each(|place| bytes.number(*place));
    }

    /// What a summary of these values is kept under.
    pub(super) fn key(&self, inputs: &[Input], profile: Option<&Profile>) -> Vec<u8> {
        let mut bytes = Bytes(Vec::new());
        self.write(&mut bytes);
        bytes.number(inputs.len() as u32);
        inputs.iter().for_each(|input| bytes.input(input));
        bytes.0.extend(profile.iter().flat_map(|profile| profile.hash().to_le_bytes()));
        bytes.0
    }
}

/// Numbers as bytes that are the same on every machine.
struct Bytes(Vec<u8>);

impl Bytes {
    fn number(&mut self, number: u32) {
        self.0.extend(number.to_le_bytes());
    }

    fn input(&mut self, input: &Input) {
        let (kind, frame, band) = match input {
            Input::Band { frame, band } => (0, *frame, *band),
            Input::Mask { frame, band } => (1, *frame, *band),
        };
        self.0.push(kind);
        self.number(frame);
        self.number(band);
    }

    fn float(&mut self, number: f64) {
        // There is one 0 and one NaN.
        let number = if number.is_nan() { f64::NAN } else { number + 0.0 };
        self.0.extend(number.to_bits().to_le_bytes());
    }
}
