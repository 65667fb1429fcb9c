//! What the samples of a dataset are like as a whole: the range and the percentiles that styles are stretched over.
//!
//! A summary is taken once from at most 1024 x 1024 pixels, so that all tiles of a dataset are stretched alike, and kept
//! with the dataset for as long as that lives.

use std::collections::HashMap;

use crate::error::Result;
use crate::grid::Window;
use crate::memory::{Charge, Class, Ledger};
use crate::sync::{Arc, Mutex};

use super::{CacheUse, Dataset, Origin};

/// Pixels across and down that are looked at.
const SIDE: u64 = 1024;
/// A level that is not stored is looked at when it is made of at most so many pixels.
const MAX_SOURCE_PIXELS: u64 = 1 << 26;
/// Otherwise so many places across and down, of so many pixels.
const PLACES: u64 = 8;
const PLACE: u64 = SIDE / PLACES;
/// Steps from the least to the greatest sample that are kept.
const STEPS: usize = 2048;
/// Bins of the histogram.
const BINS: usize = 256;
/// Summaries that a dataset keeps.
const MAX_KEPT: usize = 1024;

/// Samples in order, thinned out, and their histogram.
#[derive(Debug)]
pub(crate) struct Summary {
    /// Empty when there was no sample, else one more than steps.
    steps: Vec<f64>,
    /// Samples from the least up to one more than the greatest, in bins of equal width.
    bins: Vec<u64>,
    _charge: Charge,
}

impl Summary {
    fn new(mut values: Vec<f64>, ledger: &Arc<Ledger>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let last = values.len().saturating_sub(1);
        let steps: Vec<f64> = match values.len() {
            0 => Vec::new(),
            _ => (0..=STEPS).map(|i| values[(i * last + STEPS / 2) / STEPS]).collect(),
        };
        let mut bins = vec![0; BINS];
        if let (Some(low), Some(high)) = (values.first(), values.last()) {
            let scale = BINS as f64 / (high + 1.0 - low);
            values.iter().for_each(|value| bins[(((value - low) * scale) as usize).min(BINS - 1)] += 1);
        }
        let bytes = size_of::<Self>() + (steps.len() + bins.len()) * 8;
        Self { steps, bins, _charge: ledger.charge(Class::Metadata, bytes as u64) }
    }

    /// The least sample; none where there was none.
    pub(crate) fn min(&self) -> Option<f64> {
        self.steps.first().copied()
    }

    /// The greatest sample.
    pub(crate) fn max(&self) -> Option<f64> {
        self.steps.last().copied()
    }

    /// The sample below which this part of all samples lies.
    pub(crate) fn quantile(&self, part: f64) -> Option<f64> {
        self.steps.get((part * STEPS as f64).round() as usize).copied()
    }

    /// The edge of a bin of the histogram beyond which, counted from below or from above, at most this part of all
    /// samples lies.
    pub(crate) fn bin_edge(&self, part: f64, from_above: bool) -> Option<f64> {
        let (low, high) = (self.min()?, self.max()?);
        let limit = part * self.bins.iter().sum::<u64>() as f64;
        let mut tally = 0;
        for i in 0..BINS {
            tally += self.bins[if from_above { BINS - 1 - i } else { i }];
            if tally as f64 > limit {
                let edge = if from_above { BINS - i } else { i };
                return Some(match i {
                    0 if from_above => high,
                    0 => low,
                    _ => low + (high + 1.0 - low) * edge as f64 / BINS as f64,
                });
            }
        }
        Some(if from_above { low } else { high + 1.0 })
    }
}

/// The summaries of a dataset by what they are of.
#[derive(Default)]
pub(super) struct Summaries(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    summaries: HashMap<Vec<u8>, Arc<Summary>>,
    /// How often all of them were forgotten: what was begun before that is out of date.
    forgotten: u64,
}

impl Summaries {
    /// Forgets all of them.
    pub(super) fn clear(&self) {
        let mut kept = self.0.lock();
        kept.forgotten += 1;
        let forgotten = std::mem::take(&mut kept.summaries);
        drop(kept);
        drop(forgotten);
    }
}

impl Dataset {
    /// The summary that is kept under `key`. When there is none yet, `read` adds the values of some windows to a list:
    /// each is given by level and place in it.
    pub(crate) fn summary(
        &self,
        key: &[u8],
        mut read: impl FnMut(u32, &Window, CacheUse, &mut Vec<f64>) -> Result<()>,
    ) -> Result<Arc<Summary>> {
        let began = {
            let kept = self.core.summaries.0.lock();
            if let Some(known) = kept.summaries.get(key) {
                return Ok(Arc::clone(known));
            }
            kept.forgotten
        };
        // No lock is held while samples are read. Of two that are made at once one is kept.
        let ledger = self.core.cache.ledger();
        let mut values = Vec::new();
        let mut charge = ledger.charge(Class::Scratch, 0);
        let (level, windows) = self.looked_at();
        for window in &windows {
            read(level, window, CacheUse::Normal, &mut values)?;
            charge.resize(values.capacity() as u64 * 8);
        }
        let made = Arc::new(Summary::new(values, ledger));
        let mut kept = self.core.summaries.0.lock();
        if kept.forgotten != began {
            return Ok(made);
        }
        let is_full = kept.summaries.len() >= MAX_KEPT;
        let forgotten = if is_full { std::mem::take(&mut kept.summaries) } else { HashMap::new() };
        let summary = Arc::clone(kept.summaries.entry(key.to_vec()).or_insert(made));
        drop(kept);
        drop(forgotten);
        Ok(summary)
    }

    /// The finest level of at most 1024 x 1024 pixels, whole; or, where making it would mean to read too much, places
    /// spread over the coarsest stored level.
    pub(super) fn looked_at(&self) -> (u32, Vec<Window>) {
        let levels = self.levels();
        let fits = levels.iter().position(|level| level.width <= SIDE && level.height <= SIDE);
        let number = fits.unwrap_or(levels.len() - 1);
        let stored = |number: &usize| self.core.origins[*number] != Origin::Finer;
        let from = (0..=number).rev().find(stored).unwrap_or(0);
        let n_pixels = levels[from].width.saturating_mul(levels[from].height);
        if from == number || n_pixels <= MAX_SOURCE_PIXELS {
            return (number as u32, vec![levels[number].window()]);
        }
        let places = |size: u64| -> Vec<(u64, u64)> {
            let n = PLACES.min(size.div_ceil(PLACE));
            let length = PLACE.min(size);
            (0..n).map(|i| (((size - length) * i).checked_div(n - 1).unwrap_or(0), length)).collect()
        };
        let (across, down) = (places(levels[from].width), places(levels[from].height));
        let window = |(y, height): &(u64, u64)| -> Vec<Window> {
            across.iter().map(|(x, width)| Window::new(*x, *y, *width, *height)).collect()
        };
        (from as u32, down.iter().flat_map(window).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemorySource, OpenOptions, SampleType};

    fn summary(values: &[f64]) -> Summary {
        Summary::new(values.to_vec(), &Arc::default())
    }

    #[test]
    fn quantiles_leave_out_the_part_that_is_asked_for() {
        let values: Vec<f64> = (0..10_000).rev().map(f64::from).collect();
        let of = summary(&values);
        assert_eq!((of.min(), of.max()), (Some(0.0), Some(9999.0)));
        for (part, wanted) in [(0.0, 0.0), (0.02, 200.0), (0.5, 5000.0), (1.0, 9999.0)] {
            let got = of.quantile(part).unwrap();
            assert!((got - wanted).abs() <= 10_000.0 / STEPS as f64, "{part}: {got}");
        }
        let nothing = summary(&[]);
        assert_eq!((nothing.min(), nothing.max(), nothing.quantile(0.5)), (None, None, None));
        assert_eq!(nothing.bin_edge(0.1, true), None);
        assert_eq!(summary(&[7.0]).quantile(0.3), Some(7.0));
    }

    #[test]
    fn edges_of_bins_are_those_beyond_which_the_part_lies() {
        let of = summary(&(0..256).map(f64::from).collect::<Vec<_>>());
        assert_eq!((of.bin_edge(0.0, false), of.bin_edge(0.0, true)), (Some(0.0), Some(255.0)));
        assert_eq!((of.bin_edge(0.5, false), of.bin_edge(0.5, true)), (Some(128.0), Some(128.0)));
    }

    #[test]
    fn a_summary_is_taken_once_and_shared_by_clones() {
        let source = MemorySource::new(300, 200, 1, SampleType::U8, (64, 64), vec![9; 60_000]).unwrap();
        let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
        let before = dataset.core.cache.ledger().bytes(Class::Metadata);
        let mut n = 0;
        for dataset in [&dataset, &dataset.clone()] {
            let made = dataset.summary(b"key", |_, window, _, values| {
                n += 1;
                values.extend((0..window.width).map(|x| x as f64));
                Ok(())
            });
            assert_eq!(made.unwrap().max(), Some(299.0));
        }
        assert_eq!(n, 1);
        let ledger = dataset.core.cache.ledger();
        assert!(ledger.bytes(Class::Metadata) - before >= STEPS as u64 * 8);
        assert_eq!(ledger.bytes(Class::Scratch), 0);
        let failed = dataset.summary(b"other", |_, _, _, _| Err(crate::Error::corrupt("no")));
        assert!(failed.is_err());
        assert!(dataset.summary(b"other", |_, _, _, _| Ok(())).unwrap().min().is_none());
    }

    #[test]
    fn at_most_a_million_pixels_are_looked_at() {
        for size in [(1, 1), (1024, 1024), (5000, 700), (1 << 20, 1 << 20), (1, 1 << 39), (100, 1 << 30)] {
            let mut info = crate::SourceInfo::new("test", vec![], 1, SampleType::U8);
            info.levels = vec![crate::Level::new(size.0, size.1, 256, 256).unwrap()];
            let dataset = Dataset::from_source(Described(info), &OpenOptions::default()).unwrap();
            let (level, windows) = dataset.looked_at();
            let n: u64 = windows.iter().map(|window| window.width * window.height).sum();
            assert!((1..=SIDE * SIDE).contains(&n), "{size:?}: {n}");
            for (i, window) in windows.iter().enumerate() {
                dataset.check_window(level, window).unwrap();
                assert!(windows[..i].iter().all(|other| other.intersection(window).is_none()), "{size:?}");
            }
        }
    }

    struct Described(crate::SourceInfo);

    impl crate::TileSource for Described {
        fn info(&self) -> &crate::SourceInfo {
            &self.0
        }

        fn read_block(&self, _: crate::BlockId, _: &mut [u8], _: &mut crate::ReadContext<'_>) -> Result<()> {
            Ok(())
        }
    }
}
