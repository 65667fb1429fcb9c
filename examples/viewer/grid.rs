//! Where a tile of XYZ, DeepZoom or IIIF lies: arithmetic, which knows no raster.
//!
//! All three cut a picture that is reduced by powers of two, its sides rounded up. What they ask for comes to an
//! [`Area`]: pixels of the picture that is reduced `step` times.

/// Pixels across and down a tile.
pub(crate) const TILE: u64 = 256;
/// A picture that IIIF clients get whole has at most so many pixels a side.
const MAX_WHOLE: u64 = 1024;

/// A picture of this size, reduced by 1, 2, 4, …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) width: u64,
    pub(crate) height: u64,
}

/// A rectangle of the picture that is reduced `step` times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) step: u64,
    pub(crate) x: u64,
    pub(crate) y: u64,
    pub(crate) width: u64,
    pub(crate) height: u64,
}

impl Area {
    /// The area as a tile of a picture of this size: the size of such tiles, and column and row.
    pub(crate) fn cut(&self, (width, height): (u64, u64)) -> Option<((u32, u32), (u32, u32))> {
        // A tile of the grid, or the whole where that is larger.
        let is_large = width > TILE || height > TILE;
        let is_whole = is_large && (self.x, self.y, self.width, self.height) == (0, 0, width, height);
        let size = if is_whole { (width, height) } else { (TILE, TILE) };
        let small = |number| u32::try_from(number).ok();
        let place = (small(self.x / size.0)?, small(self.y / size.1)?);
        Some(((small(size.0)?, small(size.1)?), place))
    }
}

impl Grid {
    /// The size of the picture reduced `step` times.
    pub(crate) fn size(&self, step: u64) -> (u64, u64) {
        (self.width.div_ceil(step), self.height.div_ceil(step))
    }

    /// The last zoom of XYZ, which is full resolution; at zoom 0 the picture is one tile.
    pub(crate) fn max_zoom(&self) -> u32 {
        halvings(self.width.max(self.height), TILE)
    }

    /// The last level of DeepZoom, which is full resolution; level 0 is one pixel.
    pub(crate) fn max_level(&self) -> u32 {
        halvings(self.width.max(self.height), 1)
    }

    /// The tile of zoom `z`; `x` counts from the left, `y` from the top.
    pub(crate) fn xyz(&self, z: u32, x: u64, y: u64) -> Option<Area> {
        self.tile(self.max_zoom().checked_sub(z)?, x, y)
    }

    /// The tile of DeepZoom's `level`, for tiles of [`TILE`] pixels that do not overlap.
    pub(crate) fn deep_zoom(&self, level: u32, col: u64, row: u64) -> Option<Area> {
        self.tile(self.max_level().checked_sub(level)?, col, row)
    }

    fn tile(&self, halvings: u32, col: u64, row: u64) -> Option<Area> {
        let step = 1 << halvings;
        let (width, height) = self.size(step);
        let (x, y) = (col.checked_mul(TILE)?, row.checked_mul(TILE)?);
        let inside = x < width && y < height;
        inside.then(|| Area { step, x, y, width: TILE.min(width - x), height: TILE.min(height - y) })
    }

    /// The scale factors at which IIIF clients get tiles: those of XYZ.
    pub(crate) fn scale_factors(&self) -> Vec<u64> {
        (0..=self.max_zoom()).map(|halvings| 1 << halvings).collect()
    }

    /// The sizes at which IIIF clients get the whole picture, the smallest first.
    pub(crate) fn whole_sizes(&self) -> Vec<(u64, u64)> {
        let small = |(width, height): &(u64, u64)| *width <= MAX_WHOLE && *height <= MAX_WHOLE;
        self.scale_factors().into_iter().rev().map(|step| self.size(step)).filter(small).collect()
    }

    /// What IIIF clients must take for the largest width and height: the largest whole picture's, but not less than a
    /// tile's.
    pub(crate) fn max_size(&self) -> (u64, u64) {
        let (width, height) = self.whole_sizes().last().copied().unwrap_or((TILE, TILE));
        (width.max(TILE), height.max(TILE))
    }

    /// The area of IIIF's region and size, where that is one of the tiles or sizes that are listed.
    pub(crate) fn iiif(&self, region: &str, size: &str) -> Option<Area> {
        if region == "full" {
            let sizes = self.whole_sizes();
            let wanted = if size == "max" { *sizes.last()? } else { pair(size)? };
            let step = self.scale_factors().into_iter().find(|step| self.size(*step) == wanted)?;
            return sizes.contains(&wanted).then_some(Area { step, x: 0, y: 0, width: wanted.0, height: wanted.1 });
        }
        let (place, extent) = region.match_indices(',').nth(1).map(|(at, _)| (&region[..at], &region[at + 1..]))?;
        let ((x, y), (width, height)) = (pair(place)?, pair(extent)?);
        // The last columns and rows are narrower, so several factors may lead to one size.
        let fits = |step: u64| {
            let side = step * TILE;
            if x % side != 0 || y % side != 0 || x >= self.width || y >= self.height {
                return None;
            }
            let area = self.tile(step.ilog2(), x / side, y / side)?;
            let whole = (side.min(self.width - x), side.min(self.height - y)) == (width, height);
            let sized = if size == "max" { step == 1 } else { pair(size) == Some((area.width, area.height)) };
            (whole && sized).then_some(area)
        };
        self.scale_factors().into_iter().find_map(fits)
    }
}

/// How often `side` must be halved to be at most `goal`.
fn halvings(side: u64, goal: u64) -> u32 {
    side.div_ceil(goal).max(1).next_power_of_two().ilog2()
}

/// Two numbers with a comma.
fn pair(text: &str) -> Option<(u64, u64)> {
    let (first, second) = text.split_once(',')?;
    Some((number(first)?, number(second)?))
}

/// A number of digits alone: `+1` and ` 1` are none.
pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: Grid = Grid { width: 8192, height: 5000 };
    const SMALL: Grid = Grid { width: 300, height: 200 };

    fn area(step: u64, x: u64, y: u64, width: u64, height: u64) -> Option<Area> {
        Some(Area { step, x, y, width, height })
    }

    #[test]
    fn zoom_0_of_xyz_is_one_tile_and_the_last_one_is_full_resolution() {
        for (side, zooms) in [(1, 0), (256, 0), (257, 1), (512, 1), (513, 2), (8192, 5), (1 << 40, 32)] {
            assert_eq!(Grid { width: side, height: 1 }.max_zoom(), zooms, "{side}");
            assert_eq!(Grid { width: 1, height: side }.max_zoom(), zooms, "{side}");
        }
        assert_eq!(MAP.xyz(0, 0, 0), area(32, 0, 0, 256, 157));
        assert_eq!(MAP.xyz(5, 31, 19), area(1, 7936, 4864, 256, 136));
        assert_eq!(SMALL.xyz(1, 1, 0), area(1, 256, 0, 44, 200));
        for (z, x, y) in [(0, 1, 0), (0, 0, 1), (5, 32, 0), (5, 0, 20), (6, 0, 0), (5, u64::MAX, 0), (u32::MAX, 0, 0)] {
            assert_eq!(MAP.xyz(z, x, y), None, "{z}/{x}/{y}");
        }
    }

    #[test]
    fn level_0_of_deep_zoom_is_one_pixel() {
        assert_eq!((MAP.max_level(), SMALL.max_level()), (13, 9));
        assert_eq!(Grid { width: 1, height: 1 }.max_level(), 0);
        assert_eq!(MAP.deep_zoom(0, 0, 0), area(8192, 0, 0, 1, 1));
        assert_eq!(MAP.deep_zoom(8, 0, 0), area(32, 0, 0, 256, 157));
        assert_eq!(SMALL.deep_zoom(8, 0, 0), area(2, 0, 0, 150, 100));
        assert_eq!(SMALL.deep_zoom(9, 1, 0), area(1, 256, 0, 44, 200));
        assert_eq!((SMALL.deep_zoom(9, 2, 0), SMALL.deep_zoom(10, 0, 0)), (None, None));
    }

    #[test]
    fn iiif_tiles_are_those_of_the_scale_factors() {
        assert_eq!(MAP.scale_factors(), [1, 2, 4, 8, 16, 32]);
        assert_eq!(MAP.iiif("0,0,256,256", "256,256"), area(1, 0, 0, 256, 256));
        assert_eq!(MAP.iiif("512,0,512,512", "256,256"), area(2, 256, 0, 256, 256));
        assert_eq!(MAP.iiif("7936,4864,256,136", "256,136"), area(1, 7936, 4864, 256, 136));
        assert_eq!(MAP.iiif("7936,4864,256,136", "max"), area(1, 7936, 4864, 256, 136));
        assert_eq!(MAP.iiif("0,4096,4096,904", "256,57"), area(16, 0, 256, 256, 57));
        for (region, size) in [
            ("0,0,256,256", "128,128"),
            ("1,0,256,256", "256,256"),
            ("0,0,8192,8192", "256,256"),
            ("8192,0,256,256", "256,256"),
            ("0,0,256", "256,256"),
            ("0,0,256,256", "256,"),
            ("+0,0,256,256", "256,256"),
            ("square", "max"),
        ] {
            assert_eq!(MAP.iiif(region, size), None, "{region}/{size}");
        }
    }

    #[test]
    fn iiif_gives_the_whole_picture_at_the_sizes_that_are_listed() {
        assert_eq!(MAP.whole_sizes(), [(256, 157), (512, 313), (1024, 625)]);
        assert_eq!(MAP.iiif("full", "max"), area(8, 0, 0, 1024, 625));
        assert_eq!(MAP.iiif("full", "512,313"), area(16, 0, 0, 512, 313));
        assert_eq!((MAP.iiif("full", "2048,1250"), MAP.iiif("full", "511,313")), (None, None));
        assert_eq!((SMALL.iiif("full", "max"), SMALL.max_size()), (area(1, 0, 0, 300, 200), (300, 256)));
    }

    #[test]
    fn the_tiles_of_each_zoom_cover_it_once() {
        for grid in [MAP, SMALL, Grid { width: 1, height: 3000 }] {
            for z in 0..=grid.max_zoom() {
                let (width, height) = grid.size(1 << (grid.max_zoom() - z));
                let (cols, rows) = (width.div_ceil(TILE), height.div_ceil(TILE));
                let tiles = (0..rows).flat_map(|row| (0..cols).map(move |col| (col, row)));
                let pixels: u64 = tiles.map(|(x, y)| grid.xyz(z, x, y).unwrap()).map(|a| a.width * a.height).sum();
                assert_eq!(pixels, width * height);
                assert_eq!((grid.xyz(z, cols, 0), grid.xyz(z, 0, rows)), (None, None));
            }
        }
    }
}
