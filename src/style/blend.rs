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
    /// The same for runs of values; empty where they are worked out one by one.
    stops: Vec<Stop>,
}

/// A knot of evenly spread colours.
#[derive(Clone, Copy, Debug)]
struct Stop {
    knot: f64,
    /// The next knot; beyond the last there is none.
    next: f64,
    color: Rgba,
    slope: Rgba,
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
        let stops = match map {
            ColorMap::Even { gamma: 1.0, discrete: false, colors, .. } if !plan.compat && !multiply => {
                let stop = |at: usize| Stop {
                    knot: knots[at],
                    next: knots.get(at + 1).copied().unwrap_or(f64::INFINITY),
                    color: colors[at],
                    slope: slopes.get(at).copied().unwrap_or_default(),
                };
                (0..knots.len()).map(stop).collect()
            }
            _ => Vec::new(),
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
            stops,
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

    /// What the layer does to each pixel of a run, given the values and which of them are not nodata.
    pub(super) fn paint_run(&self, values: &[f64], valid: &[bool], paints: &mut [Rgba]) {
        let pairs = paints.iter_mut().zip(values.iter().zip(valid));
        let ColorMap::Even { min, delta, clamp, .. } = self.map else {
            return pairs.for_each(|(paint, (value, valid))| *paint = self.paint_of(*value, *valid));
        };
        if self.stops.is_empty() {
            return pairs.for_each(|(paint, (value, valid))| *paint = self.paint_of(*value, *valid));
        }
        // What `color` says, without its choices.
        let n_steps = (self.stops.len() - 1) as f64;
        let (min_single, delta_single) = (*min as f32, *delta as f32);
        for (paint, (value, valid)) in pairs {
            let t = if self.single {
                f64::from((*value as f32 - min_single) / delta_single)
            } else {
                (value - min) / delta
            };
            let shown = valid & !t.is_nan() & (*clamp | (0.0..=1.0).contains(&t));
            let t = if shown { t.clamp(0.0, 1.0) } else { 0.0 };
            // Off by one at most, where the product was rounded over a knot.
            let near = (t * n_steps) as usize;
            let mut stop = &self.stops[near];
            if stop.knot > t {
                stop = &self.stops[near - 1];
            } else if stop.next <= t {
                stop = &self.stops[near + 1];
            }
            let along = t - stop.knot;
            *paint = std::array::from_fn(|channel| {
                let color = stop.slope[channel] * along + stop.color[channel];
                if shown { color } else { 0.0 }
            });
        }
    }

    fn paint_of(&self, value: f64, valid: bool) -> Rgba {
        self.paint(valid.then(|| self.color(value)).flatten())
    }

    /// Lays `paint` over `below`.
    pub(super) fn lay(&self, paint: &Rgba, below: &mut Rgba) {
        self.lay_run(std::slice::from_ref(paint), std::slice::from_mut(below));
    }

    /// Lays paints over the pixels of a run.
    pub(super) fn lay_run(&self, paints: &[Rgba], run: &mut [Rgba]) {
        let pick = |paint: f64, below: f64| if paint > below || paint.is_nan() { paint } else { below };
        match (self.multiply, self.lowest) {
            (true, true) => {}
            (true, false) => self.lay_by(paints, run, |paint, below| below * paint),
            (false, true) => self.lay_by(paints, run, |paint, _| paint),
            (false, false) => self.lay_by(paints, run, pick),
        }
    }

    #[inline]
    fn lay_by(&self, paints: &[Rgba], run: &mut [Rgba], sum: impl Fn(f64, f64) -> f64) {
        let changes: [bool; 4] =
            std::array::from_fn(|channel| channel < self.n_channels && self.columns[channel] != Column::Skipped);
        let wide = self.wide;
        for (paint, below) in paints.iter().zip(run) {
            for channel in 0..4 {
                let sum = sum(paint[channel], below[channel]);
                let sum = if wide { sum } else { f64::from(sum as f32) };
                below[channel] = if changes[channel] { sum } else { below[channel] };
            }
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
