//! The resolution steps of a dataset: the stored ones, and those made from the next finer one.

use crate::grid::Level;
use crate::resample::Resampling;
use crate::source::{ColorInterpretation, SourceInfo};

/// Levels are added until one fits in a square of this side.
const COARSEST: u64 = 256;
/// Blocks of levels that are not stored are squares of this side, unless the source's own are squarish.
const BLOCK: u32 = 256;

/// Where the blocks of a level come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The source's level of this number, which it may make itself.
    Stored(u32),
    /// Made from the level before.
    Finer,
}

/// Blocks of levels that are not stored have at most this many bytes, which only many bands make smaller than that.
const BLOCK_BYTES: usize = 2 << 20;

/// All levels of a dataset, finest first.
///
/// Between stored levels that are three or more times apart, and after the last one, levels of half the size (rounded
/// up) are put in, until the coarsest fits in 256 x 256 pixels. They also take the place of levels that the source would make,
/// where these are not what they are ([`are_plain_means`]).
pub(super) fn ladder(info: &SourceInfo) -> (Vec<Level>, Vec<Origin>) {
    let (mut levels, mut origins) = (Vec::new(), Vec::new());
    let bands_here = if info.n_planes() > 1 { 1 } else { info.n_bands as usize };
    let block = block_size(&info.levels[0], info.sample.bytes() * bands_here);
    let half = |finer: &Level| Level {
        width: finer.width.div_ceil(2),
        height: finer.height.div_ceil(2),
        block_width: block.0,
        block_height: block.1,
        edge_blocks: crate::grid::EdgeBlocks::Cropped,
        native: false,
    };
    let is_read = |level: &Level| level.native || are_plain_means(info);
    for (number, stored) in info.levels.iter().enumerate().filter(|(_, level)| is_read(level)) {
        if let Some(mut finer) = levels.last().copied() {
            while is_far(&finer, stored) {
                finer = half(&finer);
                levels.push(finer);
                origins.push(Origin::Finer);
            }
        }
        levels.push(*stored);
        origins.push(Origin::Stored(number as u32));
    }
    while let Some(last) = levels.last().filter(|last| last.width > COARSEST || last.height > COARSEST) {
        let next = half(last);
        levels.push(next);
        origins.push(Origin::Finer);
    }
    (levels, origins)
}

/// Pixels of level 0 that a pixel of each level measures. Exactly twice as many as the finer level's where a level is
/// made, although its size is rounded up; as the sizes say where it is stored.
pub(super) fn scales(levels: &[Level]) -> Vec<(f64, f64)> {
    let mut scales: Vec<(f64, f64)> = Vec::with_capacity(levels.len());
    for level in levels {
        let scale = match scales.last() {
            Some((across, down)) if !level.native => (across * 2.0, down * 2.0),
            _ => (levels[0].width as f64 / level.width as f64, levels[0].height as f64 / level.height as f64),
        };
        scales.push(scale);
    }
    scales
}

/// How levels that are not stored are made. The mean of two palette indices is another colour, unless the palette goes
/// from white to black or back.
pub(super) fn resampling(info: &SourceInfo) -> Resampling {
    let table = info.color_table.as_deref().unwrap_or_default();
    let is_gray = !table.is_empty() && table.iter().all(|c| c[0] == c[1] && c[1] == c[2] && c[3] == 255);
    let is_scale = is_gray && (table.is_sorted() || table.is_sorted_by(|a, b| a >= b));
    if info.colors.contains(&ColorInterpretation::Palette) && !is_scale {
        Resampling::Nearest
    } else {
        Resampling::Average
    }
}

/// Whether coarser levels are means of all samples. A source that makes levels gives nothing else: it knows neither the nodata
/// values nor the palettes that files beside it say it has.
fn are_plain_means(info: &SourceInfo) -> bool {
    resampling(info) == Resampling::Average && (0..info.n_bands).all(|band| info.band_nodata(band).is_none())
}

/// Whether a level of half of `finer`'s size has room before `stored`.
fn is_far(finer: &Level, stored: &Level) -> bool {
    finer.width >= stored.width.saturating_mul(3) && finer.height >= stored.height.saturating_mul(3)
}

fn block_size(base: &Level, pixel_bytes: usize) -> (u32, u32) {
    let squarish = |side: u32| (64..=1024).contains(&side);
    let (mut width, mut height) = if squarish(base.block_width) && squarish(base.block_height) {
        (base.block_width, base.block_height)
    } else {
        (BLOCK, BLOCK)
    };
    while width as usize * height as usize > BLOCK_BYTES / pixel_bytes.min(BLOCK_BYTES) && width.max(height) > 1 {
        (width, height) = (width.div_ceil(2), height.div_ceil(2));
    }
    (width, height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::SampleType;
    use crate::source::Nodata;

    fn sizes(stored: &[(u64, u64)]) -> Vec<(u64, u64, bool)> {
        let levels = stored.iter().map(|(w, h)| Level::new(*w, *h, 256, 256).unwrap()).collect();
        let (levels, origins) = ladder(&SourceInfo::new("test", levels, 1, SampleType::U8));
        assert!(levels.iter().zip(&origins).all(|(l, o)| l.native == (*o != Origin::Finer)));
        levels.iter().map(|l| (l.width, l.height, l.native)).collect()
    }

    #[test]
    fn missing_levels_are_filled_in_down_to_one_tile() {
        assert_eq!(sizes(&[(256, 200)]), [(256, 200, true)]);
        assert_eq!(sizes(&[(1001, 600)]), [(1001, 600, true), (501, 300, false), (251, 150, false)]);
        assert_eq!(
            sizes(&[(4000, 4000), (1000, 1000)]),
            [(4000, 4000, true), (2000, 2000, false), (1000, 1000, true), (500, 500, false), (250, 250, false)]
        );
        assert_eq!(sizes(&[(600, 600), (300, 300), (150, 150)]).len(), 3);
    }

    #[test]
    fn levels_that_the_source_makes_are_read_unless_nodata_or_a_palette_count() {
        let level = |width, native| Level { native, ..Level::new(width, width, 256, 256).unwrap() };
        let origins = |change: fn(&mut SourceInfo)| {
            let levels = vec![level(1000, true), level(500, false), level(250, false)];
            let mut info = SourceInfo::new("test", levels, 3, SampleType::U8);
            change(&mut info);
            let (levels, origins) = ladder(&info);
            assert!(levels.iter().map(|level| level.width).eq([1000, 500, 250]));
            origins
        };
        use Origin::{Finer, Stored};
        assert_eq!(origins(|_| {}), [Stored(0), Stored(1), Stored(2)]);
        assert_eq!(origins(|info| info.nodata = Some(Nodata::Float(0.0))), [Stored(0), Finer, Finer]);
        assert_eq!(origins(|info| info.bands[2].nodata = Some(Nodata::Float(0.0))), [Stored(0), Finer, Finer]);
        assert_eq!(origins(|info| info.colors[0] = ColorInterpretation::Palette), [Stored(0), Finer, Finer]);
    }

    #[test]
    fn many_bands_make_small_blocks() {
        let base = Level::new(4000, 4000, 256, 256).unwrap();
        assert_eq!([1, 32, 128, 60_000, 1 << 24].map(|bytes| block_size(&base, bytes).0), [256, 256, 128, 4, 1]);
    }

    #[test]
    fn only_a_palette_of_colours_must_not_be_mixed() {
        let level = Level::new(600, 600, 256, 256).unwrap();
        let of = |table: Option<&[u8]>, color: ColorInterpretation| {
            let mut info = SourceInfo::new("test", vec![level], 1, SampleType::U8);
            info.color_table = table.map(|grays| grays.iter().map(|gray| [*gray, *gray, *gray, 255]).collect());
            info.colors = vec![color];
            resampling(&info)
        };
        use ColorInterpretation::{Gray, Palette};
        assert_eq!(of(None, Gray), Resampling::Average);
        assert_eq!(of(None, Palette), Resampling::Nearest);
        assert_eq!([&[255, 0][..], &[0, 7, 7, 9]].map(|table| of(Some(table), Palette)), [Resampling::Average; 2]);
        assert_eq!(of(Some(&[0, 255, 128]), Palette), Resampling::Nearest);
    }

    #[test]
    fn a_very_long_strip_ends_too() {
        let sizes = sizes(&[(1, 1 << 39)]);
        assert_eq!(sizes.last().map(|s| (s.0, s.1)), Some((1, 256)));
    }
}
