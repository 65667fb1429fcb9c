//! The colour of a value, and layers over layers.

use super::color::Rgba;
use super::expr::Op;
use super::plan::{Between, ColorMap, Layer, Plan};
use super::spec::Composite;
use crate::sample::SampleType;

/// A layer made ready for many values.
pub(super) struct Brush<'a> {
    map: &'a ColorMap,
    compat: bool,
    /// The arithmetic of the range is that of 32-bit floats, as the samples are.
    single: bool,
    columns: [Column; 4],
    n_channels: usize,
    multiply: bool,
    lowest: bool,
    wide: bool,
    /// Where the knots lie, and how steep it is from each to the next.
    knots: Vec<f64>,
    slopes: Vec<Rgba>,
}

/// What the colours of a palette have in one channel.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Column {
    /// Nothing happens.
    Skipped,
    Constant(f64),
    /// From 0 to this.
    Proportional(f64),
    Varying,
}

impl<'a> Brush<'a> {
    /// The brush of layer `number`, counted from the lowest.
    pub(super) fn new(plan: &'a Plan, number: usize) -> Self {
        let Layer { value, map, composite } = &plan.layers[number];
        let multiply = *composite == Composite::Multiply;
        let identity = if multiply { 255.0 } else { 0.0 };
        let plain = matches!(value.ops[..], [Op::Input(_)]);
        let (single, colors, two) = match map {
            ColorMap::Even { min, delta, colors, discrete, .. } => {
                // Where 32 bits cannot hold the range, 64 are used.
                let (min, delta) = (*min as f32, *delta as f32);
                let fits = min.is_finite() && delta.is_normal();
                (plain && fits && plan.sample == SampleType::F32, colors, colors.len() == 2 && !*discrete)
            }
            ColorMap::ByValue { colors, .. } => (false, colors, false),
        };
        let column = |channel: usize| {
            let first = colors[0][channel];
            if colors.iter().all(|color| color[channel] == first) {
                return if first == identity { Column::Skipped } else { Column::Constant(first) };
            }
            if two && first == 0.0 { Column::Proportional(colors[1][channel]) } else { Column::Varying }
        };
        let (knots, slopes) = match map {
            ColorMap::Even { colors, discrete: false, .. } => {
                let step = 1.0 / (colors.len() - 1) as f64;
                let mut knots: Vec<f64> = (0..colors.len()).map(|i| i as f64 * step).collect();
                knots[colors.len() - 1] = 1.0;
                let slopes = slopes(&knots, colors);
                (knots, slopes)
            }
            ColorMap::ByValue { values, colors, between: Between::Mixed, .. } => {
                (values.clone(), slopes(values, colors))
            }
            _ => (Vec::new(), Vec::new()),
        };
        Self {
            map,
            compat: plan.compat,
            single,
            columns: [0, 1, 2, 3].map(column),
            n_channels: usize::from(plan.n_channels),
            multiply,
            lowest: number == 0,
            wide: plan.sample == SampleType::F64,
            knots,
            slopes,
        }
    }

    /// The colour of a value that is not nodata; `None` where there is nothing.
    ///
    /// Channels that the layer leaves alone may have any number.
    pub(super) fn color(&self, value: f64) -> Option<Rgba> {
        if value.is_nan() && !self.compat {
            return None;
        }
        match self.map {
            ColorMap::Even { min, delta, gamma, clamp, discrete, colors } => {
                let mut t = if self.single {
                    f64::from((value as f32 - *min as f32) / *delta as f32)
                } else {
                    (value - min) / delta
                };
                if !clamp && !(0.0..=1.0).contains(&t) || t.is_nan() && !self.compat {
                    return None;
                }
                if !self.compat {
                    t = t.clamp(0.0, 1.0);
                }
                if *gamma != 1.0 {
                    t = if t <= 0.0 { 0.0 } else { t.powf(1.0 / gamma) };
                }
                let step = (t * colors.len() as f64).floor().clamp(0.0, (colors.len() - 1) as f64) as usize;
                let at = if *discrete { 0 } else { segment(&self.knots, t) };
                Some(std::array::from_fn(|channel| match self.columns[channel] {
                    Column::Skipped => 0.0,
                    Column::Constant(constant) => constant,
                    Column::Proportional(top) => t * top,
                    Column::Varying if *discrete => colors[step][channel],
                    Column::Varying => self.mixed(colors, at, t, channel),
                }))
            }
            ColorMap::ByValue { values, colors, between, clamp } => {
                if value.is_nan() {
                    return None;
                }
                let above = values.partition_point(|known| *known <= value);
                let (first, last) = (values[0], values[values.len() - 1]);
                match between {
                    Between::Nothing => (above > 0 && values[above - 1] == value).then(|| colors[above - 1]),
                    Between::Lower if above == 0 => clamp.then(|| colors[0]),
                    Between::Lower => Some(colors[above - 1]),
                    Between::Mixed if !clamp && !(first..=last).contains(&value) => None,
                    Between::Mixed => {
                        let at = segment(values, value);
                        Some(std::array::from_fn(|channel| self.mixed(colors, at, value, channel)))
                    }
                }
            }
        }
    }

    /// The colour at `t`, which lies in the segment after knot `at`; beyond the ends that of the end.
    fn mixed(&self, colors: &[Rgba], at: usize, t: f64, channel: usize) -> f64 {
        if t < self.knots[0] {
            return colors[0][channel];
        }
        if at + 1 >= self.knots.len() {
            return if t.is_nan() { t } else { colors[colors.len() - 1][channel] };
        }
        self.slopes[at][channel] * (t - self.knots[at]) + colors[at][channel]
    }

    /// What a layer does to each channel, given its colour: the number to compare or to multiply with.
    pub(super) fn paint(&self, color: Option<Rgba>) -> Rgba {
        if !self.multiply {
            return color.unwrap_or_default();
        }
        let Some(color) = color else { return [1.0; 4] };
        std::array::from_fn(|channel| match self.columns[channel] {
            Column::Constant(constant) if self.single => f64::from(constant as f32 / 255.0),
            _ => color[channel] / 255.0,
        })
    }

    /// Lays `paint` over `below`.
    #[inline]
    pub(super) fn lay(&self, paint: &Rgba, below: &mut Rgba) {
        if self.multiply && self.lowest {
            return;
        }
        for channel in 0..self.n_channels {
            if self.columns[channel] == Column::Skipped {
                continue;
            }
            let (paint, below) = (paint[channel], &mut below[channel]);
            let sum = if self.multiply {
                *below * paint
            } else if self.lowest || paint > *below || paint.is_nan() {
                paint
            } else {
                *below
            };
            *below = if self.wide { sum } else { f64::from(sum as f32) };
        }
    }
}

fn slopes(knots: &[f64], colors: &[Rgba]) -> Vec<Rgba> {
    let slope = |(knots, colors): (&[f64], &[Rgba])| {
        std::array::from_fn(|channel| (colors[1][channel] - colors[0][channel]) / (knots[1] - knots[0]))
    };
    knots.windows(2).zip(colors.windows(2)).map(slope).collect()
}

/// The last knot at or below `t`; the first below all of them, and the last for NaN.
fn segment(knots: &[f64], t: f64) -> usize {
    if t.is_nan() {
        return knots.len() - 1;
    }
    knots.partition_point(|knot| *knot <= t).saturating_sub(1)
}
