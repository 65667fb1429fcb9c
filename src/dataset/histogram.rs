//! How the samples of a band are spread: what the controls of a viewer are drawn over.

use crate::error::{Error, Result};
use crate::memory::zeroed;
use crate::sample::SampleType;
use crate::source::{ColorInterpretation, MaskKind};

use super::{Dataset, WindowRequest};

/// Bins that a histogram may have.
const MAX_BINS: usize = 65_536;

/// How often samples lie where, in bins of equal width.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Histogram {
    /// The lower edge of the first bin: the least sample.
    pub low: f64,
    /// The upper edge of the last bin: the greatest sample, which is counted in that bin; of integers, one more than the
    /// greatest.
    pub high: f64,
    /// Samples in each bin.
    pub counts: Vec<u64>,
}

impl Histogram {
    fn new(values: &[f64], integers: bool, n_bins: usize) -> Option<Self> {
        let low = values.iter().copied().reduce(f64::min)?;
        let greatest = values.iter().copied().reduce(f64::max)?;
        let high = if integers { greatest + 1.0 } else { greatest };
        // Halved, so that the widest range of floats has a width.
        let width = high / 2.0 - low / 2.0;
        let n_bins = if integers { n_bins.min((2.0 * width) as usize).max(1) } else { n_bins };
        let mut counts = vec![0; n_bins];
        for value in values {
            let part = (value / 2.0 - low / 2.0) / width;
            // A single value makes 0 / 0, which lies in the first bin.
            counts[((part * n_bins as f64) as usize).min(n_bins - 1)] += 1;
        }
        Some(Self { low, high, counts })
    }

    /// Samples in all bins together.
    #[must_use]
    pub fn n_samples(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl Dataset {
    /// How the samples of a band of `frame` are spread, bands numbered from 0; `None` when no pixel has one.
    ///
    /// Looks at the samples that the ranges of a [`Style`](crate::Style) are taken from: those of a level of at most 1024 x
    /// 1024 pixels, or of places spread over a level where there is none and making it costs too much. Left out are NaN,
    /// infinities, and pixels that are nodata or not valid by a mask. Integers get no more bins than there are numbers
    /// from the least to the greatest. Nothing but the blocks that were read is kept.
    ///
    /// ```
    /// use tilekeep::{Dataset, MemorySource, OpenOptions, SampleType};
    ///
    /// # fn main() -> tilekeep::Result<()> {
    /// let source = MemorySource::new(4, 1, 1, SampleType::U8, (4, 1), vec![10, 12, 12, 13])?;
    /// let dataset = Dataset::from_source(source, &OpenOptions::default())?;
    /// let histogram = dataset.histogram(0, 0, 256)?.expect("four samples");
    /// assert_eq!((histogram.low, histogram.high), (10.0, 14.0));
    /// assert_eq!(histogram.counts, [1, 0, 2, 1]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `invalid argument` when there is no such frame or band, for no bins or more than 65,536; otherwise what reading a
    /// block met.
    pub fn histogram(&self, frame: u32, band: u32, n_bins: usize) -> Result<Option<Histogram>> {
        if !(1..=MAX_BINS).contains(&n_bins) {
            return Err(Error::invalid(format!("a histogram of {n_bins} bins; it may have 1 to {MAX_BINS}")));
        }
        self.check_frame(frame)?;
        let mask = self.mask_kind(band)?;
        let is_opacity = self.info().colors[band as usize] == ColorInterpretation::Alpha;
        let mut values = Vec::new();
        let (level, windows) = self.looked_at();
        for window in windows {
            let request = WindowRequest::new(level, window).frame(frame);
            let of_band = request.clone().bands([band]).sample(SampleType::F64);
            let mut samples = zeroed(self.window_bytes(&of_band)?)?;
            self.read_window(&of_band, &mut samples)?;
            let samples = samples.as_chunks().0.iter().map(|sample| f64::from_ne_bytes(*sample));
            if mask == MaskKind::AllValid || is_opacity {
                values.extend(samples.filter(|value| value.is_finite()));
                continue;
            }
            let mut valid = zeroed((window.width * window.height) as usize)?;
            self.read_mask_window(band, &request, &mut valid)?;
            let valid = samples.zip(&valid).filter(|(value, valid)| **valid > 0 && value.is_finite());
            values.extend(valid.map(|(value, _)| value));
        }
        Ok(Histogram::new(&values, !self.info().sample.part().is_float(), n_bins))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, MemorySource, Nodata, OpenOptions};

    fn dataset(sample: SampleType, pixels: Vec<u8>, nodata: Option<f64>) -> Dataset {
        let width = (pixels.len() / sample.bytes()) as u32;
        let mut source = MemorySource::new(width, 1, 1, sample, (64, 1), pixels).unwrap();
        source.info_mut().nodata = nodata.map(Nodata::Float);
        Dataset::from_source(source, &OpenOptions::default()).unwrap()
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_ne_bytes()).collect()
    }

    #[test]
    fn nodata_and_what_is_no_number_are_left_out() {
        let values = [0.0, 1.0, 2.5, 10.0, -9999.0, f32::NAN, f32::INFINITY];
        let of = dataset(SampleType::F32, floats(&values), Some(-9999.0)).histogram(0, 0, 4).unwrap().unwrap();
        assert_eq!((of.low, of.high, of.n_samples()), (0.0, 10.0, 4));
        assert_eq!(of.counts, [2, 1, 0, 1]);
        let none = dataset(SampleType::F32, floats(&[-9999.0, f32::NAN]), Some(-9999.0));
        assert_eq!(none.histogram(0, 0, 4).unwrap(), None);
    }

    #[test]
    fn every_integer_has_a_bin_of_its_own_where_there_is_room() {
        let of = |pixels: &[u8], n_bins| {
            dataset(SampleType::U8, pixels.to_vec(), None).histogram(0, 0, n_bins).unwrap().unwrap()
        };
        assert_eq!(of(&[7, 9, 9], 256), Histogram { low: 7.0, high: 10.0, counts: vec![1, 0, 2] });
        assert_eq!(of(&(0..=255).collect::<Vec<_>>(), 64).counts, [4; 64]);
        assert_eq!(of(&[3; 5], 16), Histogram { low: 3.0, high: 4.0, counts: vec![5] });
    }

    #[test]
    fn one_value_and_the_widest_range_have_their_bins() {
        let of = |values: &[f32]| dataset(SampleType::F32, floats(values), None).histogram(0, 0, 2).unwrap().unwrap();
        assert_eq!(of(&[2.5, 2.5]).counts, [2, 0]);
        let far = |values: [f64; 3]| Histogram::new(&values, false, 2).unwrap().counts;
        assert_eq!(far([f64::MIN, f64::MAX, f64::MAX]), [1, 2]);
        assert_eq!(Histogram::new(&[f64::MIN, f64::MAX], true, 2).unwrap().counts, [1, 1]);
    }

    #[test]
    fn pixels_that_a_mask_or_opacity_hides_do_not_count() {
        let mut source = MemorySource::new(4, 1, 2, SampleType::U8, (4, 1), vec![1, 255, 2, 0, 3, 9, 4, 0]).unwrap();
        source.info_mut().colors = vec![ColorInterpretation::Gray, ColorInterpretation::Alpha];
        let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
        let of = |band| dataset.histogram(0, band, 256).unwrap().unwrap();
        assert_eq!((of(0).low, of(0).high, of(0).n_samples()), (1.0, 4.0, 2));
        assert_eq!((of(1).low, of(1).high, of(1).n_samples()), (0.0, 256.0, 4));
    }

    #[test]
    fn what_there_is_not_is_refused() {
        let dataset = dataset(SampleType::U8, vec![1], None);
        for (frame, band, n_bins) in [(1, 0, 8), (0, 1, 8), (0, 0, 0), (0, 0, MAX_BINS + 1)] {
            let error = dataset.histogram(frame, band, n_bins).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        }
    }

    #[test]
    fn a_large_raster_is_looked_at_by_a_level_that_is_small() {
        let pixels = (0..2000 * 1500).map(|i| if i % 2000 < 1000 { 10 } else { 20 }).collect();
        let source = MemorySource::new(2000, 1500, 1, SampleType::U8, (256, 256), pixels).unwrap();
        let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
        let of = dataset.histogram(0, 0, 256).unwrap().unwrap();
        assert_eq!(of.n_samples(), 1000 * 750);
        assert_eq!((of.counts[0], of.counts[10]), (500 * 750, 500 * 750));
    }
}
