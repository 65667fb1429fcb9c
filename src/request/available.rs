//! What can be shown of a tile at once: other levels that are in memory.

use crate::dataset::Dataset;
use crate::grid::Window;
use crate::render::{Tile, TileRequest};

/// More tiles than these are not looked for in one level.
const MOST_TILES: u64 = 64;

/// Tiles in memory that show a tile, or parts of it, in another resolution. Drawn in their order the sharpest is on top.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Available {
    /// What to draw, the coarsest first.
    pub parts: Vec<AvailablePart>,
    /// How much of the tile's area is covered, from 0 to 1.
    pub covered: f64,
}

/// A part of a tile that is at hand, and the part of the wanted tile that it shows.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AvailablePart {
    /// The level of the tile at hand; that of the wanted one if it is the tile itself. `None` for a picture of its own, as
    /// a thumbnail.
    pub level: Option<u32>,
    /// The tile at hand.
    pub tile: Tile,
    /// Which of its pixels: x, y, width, height from its top left.
    pub from: [f64; 4],
    /// Where in the wanted tile they go, in its pixels.
    pub to: [f64; 4],
}

/// A rectangle of pixels of level 0, or of a tile: left, top, right, bottom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect([f64; 4]);

impl Rect {
    /// Of a window of level 0.
    pub(super) fn of(window: &Window) -> Self {
        let [x, y] = [window.x, window.y].map(|at| at as f64);
        Self([x, y, x + window.width as f64, y + window.height as f64])
    }

    fn intersection(self, other: Self) -> Option<Self> {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        let both = [a.max(e), b.max(f), c.min(g), d.min(h)];
        // What is thinner than a thousandth of a pixel is an error of rounding.
        (both[2] - both[0] > 1e-3 && both[3] - both[1] > 1e-3).then_some(Self(both))
    }

    fn area(self) -> f64 {
        self.width() * self.height()
    }

    pub(super) fn width(self) -> f64 {
        self.0[2] - self.0[0]
    }

    pub(super) fn height(self) -> f64 {
        self.0[3] - self.0[1]
    }

    pub(super) fn union(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a.min(e), b.min(f), c.max(g), d.max(h)])
    }

    pub(super) fn moved(self, by: (f64, f64)) -> Self {
        let [a, b, c, d] = self.0;
        Self([a + by.0, b + by.1, c + by.0, d + by.1])
    }

    /// A rectangle of so many times its size around another centre.
    pub(super) fn scaled(self, (x, y): (f64, f64), by: f64) -> Self {
        let (width, height) = (self.width() * by / 2.0, self.height() * by / 2.0);
        Self([x - width, y - height, x + width, y + height])
    }

    /// The square of how far its centre is from a point, in whole pixels.
    pub(super) fn far_from(self, (x, y): (f64, f64)) -> u64 {
        let (dx, dy) = ((self.0[0] + self.0[2]) / 2.0 - x, (self.0[1] + self.0[3]) / 2.0 - y);
        // What does not fit is as far as can be.
        (dx * dx + dy * dy) as u64
    }

    /// As x, y, width, height in pixels of such a size that count from `origin`.
    fn seen_from(self, origin: Self, pixel: (f64, f64)) -> [f64; 4] {
        let [left, top, right, bottom] = self.0;
        let (x, y) = ((left - origin.0[0]) / pixel.0, (top - origin.0[1]) / pixel.1);
        [x, y, (right - left) / pixel.0, (bottom - top) / pixel.1]
    }
}

/// The pixels of level 0 under those of a tile that lie in its level; `None` when there are none.
pub(super) fn place(dataset: &Dataset, request: &TileRequest) -> Option<Rect> {
    let (level, scale) = (dataset.level(request.level).ok()?, dataset.scale(request.level)?);
    let (width, height) = (f64::from(request.size.0), f64::from(request.size.1));
    let (left, top) = (f64::from(request.col) * width, f64::from(request.row) * height);
    let (right, bottom) = ((left + width).min(level.width as f64), (top + height).min(level.height as f64));
    let is_there = left < right && top < bottom;
    is_there.then_some(Rect([left * scale.0, top * scale.1, right * scale.0, bottom * scale.1]))
}

/// The pixels of level 0 under a level.
pub(super) fn place_of_level(dataset: &Dataset, level: u32) -> Option<Rect> {
    let (grid, scale) = (dataset.level(level).ok()?, dataset.scale(level)?);
    Some(Rect([0.0, 0.0, grid.width as f64 * scale.0, grid.height as f64 * scale.1]))
}

/// The requests for the tiles of `level` that lie under a part of level 0, in the same look; none when there is no such
/// level, or too many.
pub(super) fn tiles_under(dataset: &Dataset, like: &TileRequest, level: u32, part: Rect) -> Vec<TileRequest> {
    at_most_tiles_under(MOST_TILES, dataset, like, level, part).unwrap_or_default()
}

/// As [`tiles_under`]; `None` when there are more than `most`.
pub(super) fn at_most_tiles_under(
    most: u64,
    dataset: &Dataset,
    like: &TileRequest,
    level: u32,
    part: Rect,
) -> Option<Vec<TileRequest>> {
    let (Ok(grid), Some(scale)) = (dataset.level(level), dataset.scale(level)) else { return Some(Vec::new()) };
    let span = |start: f64, end: f64, scale: f64, side: u32, size: u64| {
        let (start, end) = ((start / scale).max(0.0), (end / scale).min(size as f64));
        let n = |at: f64| (at / f64::from(side)) as u32;
        // An end that is a hair beyond a tile's edge is an error of rounding.
        if end - start > 1e-3 { n(start + 1e-4)..n(end - 1e-4).saturating_add(1) } else { 0..0 }
    };
    let cols = span(part.0[0], part.0[2], scale.0, like.size.0.max(1), grid.width);
    let rows = span(part.0[1], part.0[3], scale.1, like.size.1.max(1), grid.height);
    if cols.len() as u64 * rows.len() as u64 > most {
        return None;
    }
    let at = |row: u32| cols.clone().map(move |col| TileRequest { level, col, row, ..like.clone() });
    Some(rows.flat_map(at).collect())
}

/// What is in memory of a tile, where `find` looks for one: the tile itself; or all of the next finer level; or the nearest
/// coarser levels as far as needed to cover it, and on top what there is of the next finer one.
pub(super) fn available(
    dataset: &Dataset,
    request: &TileRequest,
    find: impl Fn(&TileRequest) -> Option<Tile>,
) -> Option<Available> {
    let whole = place(dataset, request)?;
    let at_hand = |level: u32| -> (Vec<AvailablePart>, f64) {
        let tiles = tiles_under(dataset, request, level, whole);
        let found = tiles.into_iter().filter_map(|tile| Some((find(&tile)?, tile)));
        let parts: Vec<_> = found.filter_map(|(tile, asked)| part(dataset, (request, whole), &asked, tile)).collect();
        let covered = parts.iter().map(|(_, area)| area / whole.area()).sum::<f64>().min(1.0);
        (parts.into_iter().map(|(part, _)| part).collect(), covered)
    };
    let is_all = |covered: f64| covered > 1.0 - 1e-6;

    if let Some(tile) = find(request) {
        let all = [0.0, 0.0, f64::from(tile.width), f64::from(tile.height)];
        let part = AvailablePart { level: Some(request.level), tile, from: all, to: all };
        return Some(Available { parts: vec![part], covered: 1.0 });
    }
    let (finer, finer_covered) = request.level.checked_sub(1).map_or_else(|| (Vec::new(), 0.0), at_hand);
    if is_all(finer_covered) {
        return Some(Available { parts: finer, covered: 1.0 });
    }
    let (mut coarser, mut covered) = (Vec::new(), 0.0_f64);
    for level in request.level + 1..dataset.levels().len() as u32 {
        let (parts, more) = at_hand(level);
        if !parts.is_empty() {
            coarser.push(parts);
            covered = covered.max(more);
        }
        if is_all(covered) {
            break;
        }
    }
    let parts: Vec<_> = coarser.into_iter().rev().flatten().chain(finer).collect();
    let covered = covered.max(finer_covered);
    (!parts.is_empty()).then_some(Available { parts, covered: if is_all(covered) { 1.0 } else { covered } })
}

/// The part of a tile at hand that shows a part of the wanted one, and how much of level 0 that is.
fn part(
    dataset: &Dataset,
    (wanted, whole): (&TileRequest, Rect),
    asked: &TileRequest,
    tile: Tile,
) -> Option<(AvailablePart, f64)> {
    let here = place(dataset, asked)?;
    let both = here.intersection(whole)?;
    let (from, to) = (dataset.scale(asked.level)?, dataset.scale(wanted.level)?);
    let part = AvailablePart {
        level: Some(asked.level),
        tile,
        from: both.seen_from(here, from),
        to: both.seen_from(whole, to),
    };
    Some((part, both.area()))
}

/// A tile as a part of a picture that shows all of level 0.
pub(super) fn part_of_picture(dataset: &Dataset, wanted: &TileRequest, tile: Tile) -> Option<Available> {
    let whole = place(dataset, wanted)?;
    let level = dataset.level(0).ok()?;
    let all = Rect([0.0, 0.0, level.width as f64, level.height as f64]);
    let both = whole.intersection(all)?;
    let pixel = (level.width as f64 / f64::from(tile.width), level.height as f64 / f64::from(tile.height));
    let from = both.seen_from(all, pixel);
    let to = both.seen_from(whole, dataset.scale(wanted.level)?);
    Some(Available { parts: vec![AvailablePart { level: None, tile, from, to }], covered: 1.0 })
}
