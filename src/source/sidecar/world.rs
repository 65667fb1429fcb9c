//! World files: six numbers, a line each.

use crate::grid::Geotransform;

use super::beside::Beside;

/// No world file is larger than this; another file may have its name.
const MOST_BYTES: u64 = 64 << 10;

/// The transform of the first world file beside the raster that has one.
pub(super) fn read(beside: &Beside<'_>) -> Option<Geotransform> {
    beside.world_files().iter().find_map(|path| parse(&beside.text(path, MOST_BYTES)?))
}

/// The lines are: pixel width, rotation, rotation, pixel height (negative where rows go south), and the place of the
/// centre of the top left pixel. A decimal comma is read as a point.
fn parse(text: &str) -> Option<Geotransform> {
    let mut numbers = text.lines().map(|line| line.trim().replace(',', ".").parse::<f64>().ok());
    let mut next = || numbers.next().flatten().filter(|number| number.is_finite());
    let [across_x, across_y, down_x, down_y, x, y] = [next()?, next()?, next()?, next()?, next()?, next()?];
    if (across_x == 0.0 && down_x == 0.0) || (across_y == 0.0 && down_y == 0.0) {
        return None;
    }
    let (x, y) = (x - 0.5 * across_x - 0.5 * down_x, y - 0.5 * across_y - 0.5 * down_y);
    Some(Geotransform([x, across_x, down_x, y, across_y, down_y]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_centre_of_the_first_pixel_becomes_its_corner() {
        let numbers = |text| parse(text).map(|g| g.0);
        assert_eq!(numbers("2\n0\n0\n-3\n101\n98.5\n"), Some([100.0, 2.0, 0.0, 100.0, 0.0, -3.0]));
        assert_eq!(numbers("2.0\r\n1\r\n4\r\n-3\r\n101\r\n98,5"), Some([98.0, 2.0, 4.0, 99.5, 1.0, -3.0]));
    }

    #[test]
    fn what_is_no_world_file_gives_nothing() {
        for text in ["", "2\n0\n0\n-3\n101\n", "2\n0\n0\n-3\nx\n1\n", "0\n0\n0\n-3\n1\n1\n", "nan\n0\n0\n-3\n1\n1\n"] {
            assert!(parse(text).is_none(), "{text:?}");
        }
    }
}
