//! An area of a raster as a picture file.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use tilekeep::{
    Bound, Dataset, Delivery, Encoding, Error, ErrorKind, Level, Requests, Result, SampleType, Style, StyleBands,
    TileRequest, TileStyle, Window, WindowRequest,
};

use crate::grid::{Area, Grid, TILE};
use crate::reduced::Reduced;
use crate::views::BEFORE_VIEWS;

/// Styles that are kept, and rasters of what no level has; each is small.
const MAX_KEPT: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Ranges are found in the finest level that has no more pixels a side.
const MAX_LOOKED_AT: u64 = 1024;

/// What a picture is of, beside where. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) frame: u32,
    pub(crate) style: TileStyle,
    /// What the style comes to: the same for equal pictures, however it is spelled.
    pub(crate) plan: u128,
}

/// The pictures of one raster, and what would take long to find out again for each of them.
pub(crate) struct Pictures {
    dataset: Dataset,
    /// By frame, and the text of the style.
    looks: Mutex<LruCache<(u32, String), Look>>,
    /// The frame of which samples were read for styles.
    read: Mutex<Option<u32>>,
    /// What no level has, by its plan, frame and step.
    reduced: Mutex<LruCache<(u128, u32, u64), Dataset>>,
}

impl Pictures {
    pub(crate) fn new(dataset: Dataset) -> Self {
        let (looks, reduced) = (LruCache::new(MAX_KEPT), LruCache::new(MAX_KEPT));
        Self { dataset, looks: Mutex::new(looks), read: Mutex::default(), reduced: Mutex::new(reduced) }
    }

    /// What the text of a style means; the raster as it describes itself where there is none. Samples that have to be looked
    /// at for that are read by all threads of `requests`.
    pub(crate) fn look(&self, requests: &Requests, frame: u32, style: &str) -> Result<Look> {
        if let Some(look) = self.known_look(frame, style) {
            return Ok(look);
        }
        // Ranges may have to be found in the samples: nobody waits for that who wants another style.
        let key = (frame, style.to_owned());
        let style = if style.is_empty() { Style::default() } else { Style::parse(style)? };
        if needs_samples(&style) && frame < self.dataset.info().n_frames {
            self.read_samples(requests, frame);
        }
        let plan = style.resolve(&self.dataset, frame)?.hash();
        let look = Look { frame, style: style.into(), plan };
        self.looks.lock().put(key, look.clone());
        Ok(look)
    }

    /// The same if it is known without looking at samples.
    pub(crate) fn known_look(&self, frame: u32, style: &str) -> Option<Look> {
        self.looks.lock().get(&(frame, style.to_owned())).cloned()
    }

    /// Reads the level that ranges are found in, where it is stored. They are found in one block after the other: over a
    /// slow line that would take so many times as long.
    fn read_samples(&self, requests: &Requests, frame: u32) {
        // Who comes second waits, and need not read.
        let mut read = self.read.lock();
        if *read == Some(frame) {
            return;
        }
        let small = |level: &Level| level.width <= MAX_LOOKED_AT && level.height <= MAX_LOOKED_AT;
        let Some(number) = self.dataset.levels().iter().position(small) else { return };
        let level = self.dataset.levels()[number];
        if !level.native {
            return;
        }
        let starts = |side: u64| (0..side).step_by(TILE as usize);
        let cells = starts(level.height).flat_map(|y| starts(level.width).map(move |x| (x, y)));
        let ask = |(x, y): (u64, u64)| {
            let window = Window::new(x, y, TILE.min(level.width - x), TILE.min(level.height - y));
            let request = WindowRequest::new(number as u32, window).frame(frame);
            requests.request_window(&self.dataset, request, BEFORE_VIEWS, Delivery::handle())
        };
        let asked: Vec<_> = cells.map(ask).collect();
        // What cannot be read is told by whoever needs it.
        asked.iter().for_each(|window| drop(window.wait()));
        *read = Some(frame);
    }

    /// The tile that shows `area`, and the raster that it is one of. Where a level of the raster has these pixels it is one
    /// of its tiles; otherwise, as below the coarsest level and where levels are not halves of each other, it is a tile of
    /// a raster that is made from a finer level.
    pub(crate) fn tile(&self, area: Area, look: &Look, encoding: Encoding) -> Result<(Dataset, TileRequest)> {
        if let Some(request) = self.level_tile(area, look, encoding) {
            return Ok((self.dataset.clone(), request));
        }
        let (size, (col, row)) = area.cut(grid(&self.dataset).size(area.step)).ok_or_else(|| nowhere(area))?;
        let request = TileRequest::new(0, col, row).size(size.0, size.1).encoding(encoding);
        Ok((self.reduced(look, area.step)?, request))
    }

    /// The tile of the raster itself that has the pixels of `area`, if a level has them.
    pub(crate) fn level_tile(&self, area: Area, look: &Look, encoding: Encoding) -> Option<TileRequest> {
        tile(&self.dataset, area).map(|request| dressed(request, look).encoding(encoding))
    }

    /// The same with samples of 8 bits as they are, which takes no look at others: all but the same as the raster's own look.
    pub(crate) fn plain_tile(&self, area: Area, frame: u32) -> Option<TileRequest> {
        let is_plain = self.dataset.info().sample == SampleType::U8;
        tile(&self.dataset, area).filter(|_| is_plain).map(|request| request.frame(frame))
    }

    /// The raster in this look, reduced so many times. It is the same one as long as it is kept, so that its tiles are
    /// found again.
    fn reduced(&self, look: &Look, step: u64) -> Result<Dataset> {
        // To make it reads nothing.
        let make = || Reduced::open(self.dataset.clone(), look.clone(), step);
        self.reduced.lock().try_get_or_insert((look.plan, look.frame, step), make).cloned()
    }
}

/// Whether it takes a look at samples to know what a style comes to.
fn needs_samples(style: &Style) -> bool {
    let is_given = |bound: &Bound| matches!(bound, Bound::Number(_) | Bound::Full);
    match &style.bands {
        StyleBands::These(bands) => !bands.iter().all(|band| is_given(&band.min) && is_given(&band.max)),
        bands => *bands == StyleBands::Visible,
    }
}

pub(crate) fn dressed(request: TileRequest, look: &Look) -> TileRequest {
    request.frame(look.frame).style(look.style.clone())
}

pub(crate) fn grid(dataset: &Dataset) -> Grid {
    let base = &dataset.levels()[0];
    Grid { width: base.width, height: base.height }
}

fn nowhere(area: Area) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("{area:?} is no tile"))
}

/// The tile of the dataset that has exactly the pixels of the area.
fn tile(dataset: &Dataset, area: Area) -> Option<TileRequest> {
    let (width, height) = grid(dataset).size(area.step);
    // Sides may have been rounded down. What is left out then is the last pixel, which only the last tiles have.
    let same = |level: u64, grid: u64| level == grid || (level + 1 == grid && level >= TILE / 2);
    let level = dataset.levels().iter().position(|level| same(level.width, width) && same(level.height, height))?;
    let there = &dataset.levels()[level];
    if area.x + area.width > there.width || area.y + area.height > there.height {
        return None;
    }
    let (size, (col, row)) = area.cut((there.width, there.height))?;
    Some(TileRequest::new(level as u32, col, row).size(size.0, size.1))
}

#[cfg(test)]
mod tests {
    use tilekeep::{MemorySource, OpenOptions, TileBytes};

    use super::*;
    use crate::reduced::colors_of_png;

    const OWN: &str = "null";

    fn pictures(width: u32, height: u32, value: impl Fn(u32, u32) -> u8) -> Pictures {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| value(x, y)).collect();
        let source = MemorySource::new(width, height, 1, SampleType::U8, (64, 64), pixels).unwrap();
        Pictures::new(Dataset::from_source(source, &OpenOptions::default()).unwrap())
    }

    fn look_of(pictures: &Pictures, style: &str) -> Look {
        pictures.look(&Requests::new(2).unwrap(), 0, style).unwrap()
    }

    fn file(pictures: &Pictures, area: Area, look: &Look, encoding: Encoding) -> TileBytes {
        let (dataset, request) = pictures.tile(area, look, encoding).unwrap();
        dataset.read_tile(&request).unwrap().bytes
    }

    #[test]
    fn a_style_needs_samples_where_it_does_not_give_its_ranges() {
        for (text, needs) in [
            ("null", true),
            ("{}", false),
            (r#"{"bands": [{"band": 1}]}"#, true),
            (r#"{"bands": [{"band": 1, "min": 0, "max": "max:0.02"}]}"#, true),
            (r#"{"bands": [{"band": 1, "min": 0, "max": "full"}]}"#, false),
            (r#"{"min": -1.5, "max": 7}"#, false),
        ] {
            assert_eq!(needs_samples(&Style::parse(text).unwrap()), needs, "{text}");
        }
    }

    #[test]
    fn an_area_that_a_level_has_is_a_tile_of_it_and_shares_its_bytes() {
        let pictures = pictures(600, 300, |x, y| (x / 3) as u8 ^ y as u8);
        let area = grid(&pictures.dataset).xyz(2, 2, 1).unwrap();
        let made = file(&pictures, area, &look_of(&pictures, OWN), Encoding::Png);
        let same = TileRequest::new(0, 2, 1).style(Style::default()).encoding(Encoding::Png);
        assert_eq!(made.as_ptr(), pictures.dataset.read_tile(&same).unwrap().bytes.as_ptr());
    }

    #[test]
    fn what_no_level_has_is_the_mean_of_a_finer_one_and_found_again() {
        let pictures = pictures(200, 100, |x, _| if x % 2 == 0 { 40 } else { 60 });
        let (grid, look) = (grid(&pictures.dataset), look_of(&pictures, OWN));
        for (level, width, height) in [(7, 100, 50), (5, 25, 13), (1, 2, 1), (0, 1, 1)] {
            let area = grid.deep_zoom(level, 0, 0).unwrap();
            assert_eq!((area.width, area.height), (width, height));
            let made = file(&pictures, area, &look, Encoding::Png);
            let (across, colors) = colors_of_png(&made).unwrap();
            assert_eq!((across as u64, colors.len() as u64), (width, width * height));
            assert!(colors.iter().all(|color| *color == [50, 50, 50, 255]), "level {level}");
            // A style that comes to the same finds it too.
            let again = file(&pictures, area, &look_of(&pictures, " null "), Encoding::Png);
            assert_eq!(made.as_ptr(), again.as_ptr());
            let jpeg = file(&pictures, area, &look, Encoding::jpeg(90));
            assert_eq!(jpeg[..2], [0xFF, 0xD8]);
        }
    }
}
