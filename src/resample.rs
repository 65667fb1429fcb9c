//! Pixels made from other pixels: half-size levels, and averages over any area. Nothing here knows a dataset.

use std::ops::Range;

use crate::sample::{Run, Sample, SampleType, convert, with_sample};
use crate::source::Nodata;
use crate::{BlockLayout, Result};

/// How many pixels become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Resampling {
    /// The pixel whose area holds the centre of the new one. Invents no sample values: right for classes and
    /// palettes.
    #[default]
    Nearest = 0,
    /// The mean over the area of the new pixel, without nodata and NaN. The result is nodata where there is nothing
    /// else. Complex samples are taken as by `Nearest`.
    Average = 1,
}

/// `nodata` as a sample of type `T`; `None` when no sample can have that value. NaN needs no test of its own:
/// averages leave it out anyway.
pub(crate) fn nodata_as<T: Sample>(nodata: Option<Nodata>) -> Option<T> {
    match nodata? {
        Nodata::Float(value) => {
            let sample = T::from_f64(value);
            (T::FLOAT && !value.is_nan() || sample.to_f64() == value).then_some(sample)
        }
        Nodata::Int(value) => exact(i128::from(value)),
        Nodata::UInt(value) => exact(i128::from(value)),
    }
}

fn exact<T: Sample>(value: i128) -> Option<T> {
    let sample = T::from_i128(value);
    (sample.to_i128() == value).then_some(sample)
}

/// The value next to `value`, for a mean that happens to be the number which means "nothing here".
fn beside<T: Sample>(value: T) -> T {
    if T::FLOAT {
        let v = value.to_f64();
        // The next representable float is not reachable through f64 for f32; a relative step is.
        let step = if v == 0.0 { 1e-30 } else { v.abs() * 1e-6 };
        return T::from_f64(v + step);
    }
    let up = T::from_i128(value.to_i128() + 1);
    if up == value { T::from_i128(value.to_i128() - 1) } else { up }
}

/// Makes a level of half the size: a pixel of `target` from up to four of `source`, whose top left pixel is the
/// first of the four for the top left pixel of `target`.
///
/// At the right and bottom edge of an odd size, two pixels or one make one. `nodata` is that of each of the blocks' bands.
pub(crate) fn halve(
    source: (&BlockLayout, &[u8]),
    target: (&BlockLayout, &mut [u8]),
    nodata: impl Fn(u32) -> Option<Nodata>,
    resampling: Resampling,
) {
    if resampling == Resampling::Nearest || source.0.sample.is_complex() {
        halve_nearest(source, target);
    } else {
        with_sample!(source.0.sample, T => halve_average::<T>(source, target, |band| nodata_as::<T>(nodata(band))));
    }
}

fn halve_nearest((from, source): (&BlockLayout, &[u8]), (to, target): (&BlockLayout, &mut [u8])) {
    let bytes = from.pixel_stride;
    for y in 0..to.height {
        for x in 0..to.width {
            let pixel = &source[from.offset(x * 2, y * 2, 0)..][..bytes];
            target[to.offset(x, y, 0)..][..bytes].copy_from_slice(pixel);
        }
    }
}

fn halve_average<T: Sample>(
    (from, source): (&BlockLayout, &[u8]),
    (to, target): (&BlockLayout, &mut [u8]),
    nodata: impl Fn(u32) -> Option<T>,
) {
    let nodata: Vec<Option<T>> = (0..to.n_bands).map(nodata).collect();
    for y in 0..to.height {
        let rows = if y * 2 + 1 < from.height { 2 } else { 1 };
        for x in 0..to.width {
            let cols = if x * 2 + 1 < from.width { 2 } else { 1 };
            for (band, nodata) in (0..).zip(&nodata) {
                let mut mean = Mean::default();
                for dy in 0..rows {
                    for dx in 0..cols {
                        mean.add(T::read(&source[from.offset(x * 2 + dx, y * 2 + dy, band)..]), *nodata);
                    }
                }
                mean.finish(*nodata).write(&mut target[to.offset(x, y, band)..]);
            }
        }
    }
}

/// The mean of up to four samples, exact for integers.
struct Mean {
    integer: i128,
    float: f64,
    n: i128,
}

impl Default for Mean {
    fn default() -> Self {
        Self { integer: 0, float: 0.0, n: 0 }
    }
}

impl Mean {
    #[inline(always)]
    fn add<T: Sample>(&mut self, sample: T, nodata: Option<T>) {
        if nodata == Some(sample) {
            return;
        }
        if T::FLOAT {
            let value = sample.to_f64();
            if value.is_nan() {
                return;
            }
            self.float += value;
        } else {
            self.integer += sample.to_i128();
        }
        self.n += 1;
    }

    #[inline(always)]
    fn finish<T: Sample>(self, nodata: Option<T>) -> T {
        if self.n == 0 {
            return nodata.unwrap_or_else(|| T::from_f64(f64::NAN));
        }
        let mean = if T::FLOAT {
            T::from_f64(self.float / self.n as f64)
        } else {
            // Half away from zero.
            let half = self.n / 2 * self.integer.signum();
            T::from_i128((self.integer + half) / self.n)
        };
        if nodata == Some(mean) { beside(mean) } else { mean }
    }
}

/// Which source pixels a row or column of new pixels is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    /// Where the first new pixel starts, in source pixels.
    pub(crate) start: f64,
    /// Source pixels per new pixel.
    pub(crate) step: f64,
    /// Source pixels there are.
    pub(crate) size: u64,
}

impl Axis {
    /// The source pixel under the centre of new pixel `i`.
    pub(crate) fn nearest(&self, i: u32) -> u64 {
        let at = (self.start + (f64::from(i) + 0.5) * self.step).floor();
        (at.max(0.0) as u64).min(self.size - 1)
    }

    /// The part of the axis that new pixel `i` covers.
    pub(crate) fn span(&self, i: u32) -> (f64, f64) {
        let end = self.size as f64;
        let low = (self.start + f64::from(i) * self.step).clamp(0.0, end);
        let high = (self.start + (f64::from(i) + 1.0) * self.step).clamp(0.0, end);
        (low, high)
    }

    /// First and one past the last source pixel that new pixel `i` is made of.
    ///
    /// A source pixel of which it covers next to nothing is left out: whether it does is a matter of rounding, and
    /// beside nodata it would be all there is.
    pub(crate) fn pixels(&self, i: u32) -> (u64, u64) {
        let (low, high) = self.span(i);
        let sliver = (high - low) * 1e-6;
        let first = ((low + sliver).floor() as u64).min(self.size - 1);
        (first, ((high - sliver).ceil() as u64).clamp(first + 1, self.size))
    }

    /// How much of source pixel `at` lies in the span.
    fn weight((low, high): (f64, f64), at: u64) -> f64 {
        let at = at as f64;
        (high.min(at + 1.0) - low.max(at)).max(f64::MIN_POSITIVE)
    }
}

/// What one new pixel takes from an axis.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// First and one past the last source pixel.
    first: u64,
    end: u64,
    span: (f64, f64),
}

impl Axis {
    fn parts(&self, new: Range<u32>) -> Vec<Part> {
        new.map(|i| {
            let (first, end) = self.pixels(i);
            Part { first, end, span: self.span(i) }
        })
        .collect()
    }
}

/// The parts that touch source pixels from `start` up to `end`. Parts are in order.
fn touching(parts: &[Part], start: u64, end: u64) -> Range<usize> {
    parts.partition_point(|part| part.end <= start)..parts.partition_point(|part| part.first < end)
}

/// Area-weighted means of a rectangle of new pixels, built up block by block.
pub(crate) struct Averages {
    cols: Vec<Part>,
    rows: Vec<Part>,
    n_bands: usize,
    sums: Vec<f64>,
    weights: Vec<f64>,
}

impl Averages {
    /// Bytes of memory for one row of new pixels.
    pub(crate) fn row_bytes(width: u32, n_bands: u32) -> usize {
        (width as usize).saturating_mul(n_bands as usize).saturating_mul(16)
    }

    /// For the new pixels of these columns and rows.
    pub(crate) fn new((cols, across): (Axis, Range<u32>), (rows, down): (Axis, Range<u32>), n_bands: u32) -> Self {
        let n = across.len() * down.len() * n_bands as usize;
        Self {
            cols: cols.parts(across),
            rows: rows.parts(down),
            n_bands: n_bands as usize,
            sums: vec![0.0; n],
            weights: vec![0.0; n],
        }
    }

    /// Adds band `from_band` of a block whose top left pixel is `x0, y0` to band `to_band`.
    pub(crate) fn add(
        &mut self,
        (layout, pixels): (&BlockLayout, &[u8]),
        (x0, y0): (u64, u64),
        (from_band, to_band): (u32, u32),
        nodata: Option<Nodata>,
    ) {
        with_sample!(layout.sample, T => {
            self.add_band::<T>(layout, pixels, (x0, y0), (from_band, to_band), nodata_as::<T>(nodata));
        });
    }

    fn add_band<T: Sample>(
        &mut self,
        layout: &BlockLayout,
        pixels: &[u8],
        (x0, y0): (u64, u64),
        (from_band, to_band): (u32, u32),
        nodata: Option<T>,
    ) {
        let (right, bottom) = (x0 + u64::from(layout.width), y0 + u64::from(layout.height));
        let across = touching(&self.cols, x0, right);
        for j in touching(&self.rows, y0, bottom) {
            let row = self.rows[j];
            for y in row.first.max(y0)..row.end.min(bottom) {
                let weight_y = Axis::weight(row.span, y);
                let line = &pixels[layout.offset(0, (y - y0) as u32, from_band)..];
                for i in across.clone() {
                    let col = self.cols[i];
                    let at = (j * self.cols.len() + i) * self.n_bands + to_band as usize;
                    for x in col.first.max(x0)..col.end.min(right) {
                        let sample = T::read(&line[(x - x0) as usize * layout.pixel_stride..]);
                        let value = sample.to_f64();
                        if nodata == Some(sample) || value.is_nan() {
                            continue;
                        }
                        let weight = weight_y * Axis::weight(col.span, x);
                        self.sums[at] += value * weight;
                        self.weights[at] += weight;
                    }
                }
            }
        }
    }

    /// Writes band `band` of row `row` (counted from the first) as samples of `from`'s type converted to `run`.
    pub(crate) fn write_row(
        &self,
        row: u32,
        band: u32,
        from: SampleType,
        nodata: Option<Nodata>,
        out: &mut [u8],
        run: Run,
    ) -> Result<()> {
        let mut line = vec![0; self.cols.len() * from.part().bytes()];
        with_sample!(from, T => self.means::<T>(row, band, nodata_as::<T>(nodata), &mut line));
        let part = Run { sample: from.part(), stride: from.part().bytes() };
        convert(&line, part, out, run, self.cols.len())
    }

    fn means<T: Sample>(&self, row: u32, band: u32, nodata: Option<T>, line: &mut [u8]) {
        let start = row as usize * self.cols.len() * self.n_bands + band as usize;
        for (i, target) in line.chunks_exact_mut(T::BYTES).enumerate() {
            let at = start + i * self.n_bands;
            let mean = if self.weights[at] > 0.0 {
                let mean = T::from_f64(self.sums[at] / self.weights[at]);
                if nodata == Some(mean) { beside(mean) } else { mean }
            } else {
                nodata.unwrap_or_else(|| T::from_f64(f64::NAN))
            };
            mean.write(target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<T: Sample>(values: &[T]) -> Vec<u8> {
        let mut bytes = vec![0; values.len() * T::BYTES];
        bytes.chunks_exact_mut(T::BYTES).zip(values).for_each(|(b, v)| v.write(b));
        bytes
    }

    fn halved<T: Sample>(sample: SampleType, size: (u32, u32), values: &[T], nodata: Option<Nodata>) -> Vec<u8> {
        let from = BlockLayout::new(size, size.0, size.1, 1, sample).unwrap();
        let half = (size.0.div_ceil(2), size.1.div_ceil(2));
        let to = BlockLayout::new(half, half.0, half.1, 1, sample).unwrap();
        let mut out = vec![0x77; to.bytes];
        halve((&from, &bytes(values)), (&to, &mut out), |_| nodata, Resampling::Average);
        out
    }

    #[test]
    fn halves_are_rounded_means_and_odd_edges_have_fewer_pixels() {
        let out = halved(SampleType::U8, (3, 3), &[0u8, 1, 10, 1, 1, 20, 7, 8, 255], None);
        assert_eq!(out, [1, 15, 8, 255]);
        let out = halved(SampleType::I16, (2, 1), &[-3i16, -4], None);
        assert_eq!(out, bytes(&[-4i16]));
    }

    #[test]
    fn nodata_and_nan_do_not_enter_and_do_not_come_out_by_chance() {
        let nodata = Some(Nodata::Float(0.0));
        assert_eq!(halved(SampleType::U8, (2, 2), &[0u8, 0, 0, 9], nodata), [9]);
        assert_eq!(halved(SampleType::U8, (2, 2), &[0u8, 0, 0, 0], nodata), [0]);
        // -1 and 1 are two samples that say something; their mean is the number that says nothing.
        assert_eq!(halved(SampleType::I16, (2, 1), &[-1i16, 1], nodata), bytes(&[1i16]));
        assert_eq!(halved(SampleType::F32, (2, 1), &[f32::NAN, 4.0], None), bytes(&[4f32]));
        let nothing = halved(SampleType::F32, (2, 1), &[f32::NAN, f32::NAN], None);
        assert!(f32::read(&nothing).is_nan());
        // A nodata value that no sample can have changes nothing.
        assert_eq!(halved(SampleType::U8, (2, 1), &[0u8, 4], Some(Nodata::Float(-9999.0))), [2]);
    }

    #[test]
    fn wide_integers_keep_their_last_digit() {
        let big = u64::MAX - 1;
        assert_eq!(halved(SampleType::U64, (2, 1), &[big, big], None), bytes(&[big]));
        assert_eq!(halved(SampleType::I64, (2, 1), &[i64::MIN, 5], Some(Nodata::Int(i64::MIN))), bytes(&[5i64]));
    }

    #[test]
    fn no_pixel_is_made_of_a_neighbour_that_rounding_lets_in() {
        for (width, n) in (1..200u32).flat_map(|w| (1..=w).map(move |n| (w, n))) {
            let axis = Axis { start: 0.0, step: f64::from(width) / f64::from(n), size: u64::from(width) };
            for i in 0..n {
                let exact = (
                    u64::from(i) * u64::from(width) / u64::from(n),
                    (u64::from(i + 1) * u64::from(width)).div_ceil(u64::from(n)),
                );
                assert_eq!(axis.pixels(i), exact, "{i} of {n} made of {width}");
            }
        }
    }

    #[test]
    fn averages_weigh_by_area() {
        // Three pixels become two: each new one covers one and a half.
        let layout = BlockLayout::new((3, 1), 3, 1, 1, SampleType::F64).unwrap();
        let cols = Axis { start: 0.0, step: 1.5, size: 3 };
        let rows = Axis { start: 0.0, step: 1.0, size: 1 };
        let mut averages = Averages::new((cols, 0..2), (rows, 0..1), 1);
        averages.add((&layout, &bytes(&[3.0f64, 6.0, 12.0])), (0, 0), (0, 0), None);
        let mut out = vec![0; 16];
        averages.write_row(0, 0, SampleType::F64, None, &mut out, Run { sample: SampleType::F64, stride: 8 }).unwrap();
        assert!((f64::read(&out) - 4.0).abs() < 1e-6, "{}", f64::read(&out));
        assert!((f64::read(&out[8..]) - 10.0).abs() < 1e-6, "{}", f64::read(&out[8..]));
    }
}
