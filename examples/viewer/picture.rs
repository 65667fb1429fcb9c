//! An area of a dataset as a picture file.

use tilekeep::{
    CacheUse, ColorInterpretation, Dataset, Encoding, Error, ErrorKind, MemorySource, OpenOptions, Result, SampleType,
    Style, TileRequest,
};

use crate::grid::{Area, Grid, TILE};

/// What a picture is of, beside where.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) frame: u32,
    pub(crate) style: Style,
    pub(crate) encoding: Encoding,
}

/// The file of `area`. Where a level of the dataset has these pixels it is one of its tiles; otherwise, as below the
/// coarsest level and where levels are not halves of each other, it is made from the tiles of a finer level.
pub(crate) fn file(dataset: &Dataset, area: Area, look: &Look) -> Result<Vec<u8>> {
    match tile(dataset, area) {
        Some(request) => Ok(dataset.read_tile(&dressed(request, look))?.bytes.to_vec()),
        None => made(dataset, area, look),
    }
}

fn dressed(request: TileRequest, look: &Look) -> TileRequest {
    request.frame(look.frame).style(look.style.clone()).encoding(look.encoding).cache_use(CacheUse::Normal)
}

fn grid(dataset: &Dataset) -> Grid {
    let base = &dataset.levels()[0];
    Grid { width: base.width, height: base.height }
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
    // A tile of the grid, or the whole.
    let side = if (area.x, area.y, area.width, area.height) == (0, 0, there.width, there.height) {
        (area.width as u32, area.height as u32)
    } else {
        (TILE as u32, TILE as u32)
    };
    let (col, row) = (area.x / u64::from(side.0), area.y / u64::from(side.1));
    Some(TileRequest::new(level as u32, u32::try_from(col).ok()?, u32::try_from(row).ok()?).size(side.0, side.1))
}

/// The area out of the tiles of the next finer level.
fn made(dataset: &Dataset, area: Area, look: &Look) -> Result<Vec<u8>> {
    let (width, height) = grid(dataset).size(area.step);
    let fine_enough = |level: &tilekeep::Level| level.width + 1 >= width && level.height + 1 >= height;
    let number = dataset.levels().iter().rposition(fine_enough).unwrap_or(0);
    let level = &dataset.levels()[number];
    let across = Axis::new(level.width, width, area.x, area.width);
    let down = Axis::new(level.height, height, area.y, area.height);
    let (cols, rows) = (across.end - across.start, down.end - down.start);
    if cols * rows > 64 << 20 {
        return Err(Error::new(ErrorKind::LimitExceeded, format!("a picture made of {cols}x{rows} pixels")));
    }

    let mut pixels = vec![[0u8; 4]; (cols * rows) as usize];
    for row in down.start / TILE..down.end.div_ceil(TILE) {
        for col in across.start / TILE..across.end.div_ceil(TILE) {
            let request = TileRequest::new(number as u32, col as u32, row as u32).size(TILE as u32, TILE as u32);
            let as_png = Look { encoding: Encoding::Png, ..look.clone() };
            let tile = dataset.read_tile(&dressed(request, &as_png))?;
            let tile = Pixels::of_png(&tile.bytes[..])?;
            for (y, line) in (row * TILE..).zip(tile.colors.chunks_exact(tile.width as usize)) {
                for (x, pixel) in (col * TILE..).zip(line) {
                    if (across.start..across.end).contains(&x) && (down.start..down.end).contains(&y) {
                        pixels[((y - down.start) * cols + x - across.start) as usize] = *pixel;
                    }
                }
            }
        }
    }
    let mix = !dataset.info().colors.contains(&ColorInterpretation::Palette);
    let mut out = Vec::with_capacity((area.width * area.height * 4) as usize);
    for y in 0..area.height {
        for x in 0..area.width {
            let (columns, lines) = (across.pixel(x, mix), down.pixel(y, mix));
            out.extend(mean(lines.flat_map(|line| &pixels[line * cols as usize..][columns.clone()])));
        }
    }
    encoded(area.width as u32, area.height as u32, out, look.encoding)
}

/// Pixels of a level that lie under pixels of an area, along one side.
struct Axis {
    start: u64,
    end: u64,
    /// Pixels of the level to a pixel of the area, and where the first pixel begins, counted from `start`.
    scale: f64,
    first: f64,
}

impl Axis {
    fn new(level: u64, grid: u64, at: u64, length: u64) -> Self {
        let scale = level as f64 / grid as f64;
        let start = ((at as f64 * scale) as u64).min(level - 1);
        let end = (((at + length) as f64 * scale).ceil() as u64).clamp(start + 1, level);
        Self { start, end, scale, first: at as f64 * scale - start as f64 }
    }

    /// The pixels that pixel `i` of the area is made of: all whose middle lies in it, or the one in its middle.
    fn pixel(&self, i: u64, all: bool) -> std::ops::Range<usize> {
        let n = (self.end - self.start) as usize;
        let place = |i: f64| self.first + i * self.scale;
        let middle = (place(i as f64 + 0.5) as usize).min(n - 1);
        let within = |edge: f64| (place(edge) + 0.5).max(0.0) as usize;
        let (start, end) = (within(i as f64), within(i as f64 + 1.0).min(n));
        if all && start < end { start..end } else { middle..middle + 1 }
    }
}

/// The mean of colours, each counting as much as it is opaque.
fn mean<'a>(pixels: impl Iterator<Item = &'a [u8; 4]>) -> [u8; 4] {
    let (mut sum, mut opacity, mut n) = ([0u64; 3], 0, 0);
    for [red, green, blue, alpha] in pixels {
        let alpha = u64::from(*alpha);
        sum.iter_mut().zip([red, green, blue]).for_each(|(sum, part)| *sum += u64::from(*part) * alpha);
        (opacity, n) = (opacity + alpha, n + 1);
    }
    let part = |sum: u64| sum.checked_div(opacity).unwrap_or(0) as u8;
    let rounded = |sum: u64| part(sum + opacity / 2);
    [rounded(sum[0]), rounded(sum[1]), rounded(sum[2]), (opacity + n / 2).checked_div(n).unwrap_or(0) as u8]
}

/// Red, green, blue and opacity of pixels, row by row.
struct Pixels {
    width: u32,
    colors: Vec<[u8; 4]>,
}

impl Pixels {
    /// Those of a PNG file that the library wrote.
    fn of_png(file: &[u8]) -> Result<Self> {
        let failed =
            |what: &dyn std::fmt::Display| Error::new(ErrorKind::Internal, format!("a tile's own PNG: {what}"));
        let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
        decoder.set_transformations(png::Transformations::normalize_to_color8() | png::Transformations::ALPHA);
        let mut reader = decoder.read_info().map_err(|e| failed(&e))?;
        let mut samples = vec![0; reader.output_buffer_size().ok_or_else(|| failed(&"too large"))?];
        let info = reader.next_frame(&mut samples).map_err(|e| failed(&e))?;
        let colors = match info.color_type {
            png::ColorType::Rgba => samples.as_chunks().0.to_vec(),
            png::ColorType::GrayscaleAlpha => samples.as_chunks().0.iter().map(|[v, a]| [*v, *v, *v, *a]).collect(),
            other => return Err(failed(&format!("{other:?} samples"))),
        };
        Ok(Self { width: info.width, colors })
    }
}

/// Pixels as a file: they are opened as a raster of their own.
fn encoded(width: u32, height: u32, pixels: Vec<u8>, encoding: Encoding) -> Result<Vec<u8>> {
    let mut source = MemorySource::new(width, height, 4, SampleType::U8, (width, height), pixels)?;
    source.info_mut().colors[3] = ColorInterpretation::Alpha;
    let picture = Dataset::from_source(source, &OpenOptions::default().cache_max_bytes(0))?;
    Ok(picture.read_tile(&TileRequest::new(0, 0, 0).size(width, height).encoding(encoding))?.bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: fn(Encoding) -> Look = |encoding| Look { frame: 0, style: Style::unstyled(), encoding };

    fn dataset(width: u32, height: u32, value: impl Fn(u32, u32) -> u8) -> Dataset {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| value(x, y)).collect();
        let source = MemorySource::new(width, height, 1, SampleType::U8, (64, 64), pixels).unwrap();
        Dataset::from_source(source, &OpenOptions::default()).unwrap()
    }

    #[test]
    fn an_area_that_a_level_has_is_a_tile_of_it() {
        let dataset = dataset(600, 300, |x, y| (x / 3) as u8 ^ y as u8);
        let area = grid(&dataset).xyz(2, 2, 1).unwrap();
        let file = file(&dataset, area, &LOOK(Encoding::Png)).unwrap();
        let same = TileRequest::new(0, 2, 1).style(Style::unstyled()).encoding(Encoding::Png);
        assert_eq!(file, dataset.read_tile(&same).unwrap().bytes[..]);
    }

    #[test]
    fn what_no_level_has_is_the_mean_of_a_finer_one() {
        let dataset = dataset(200, 100, |x, _| if x % 2 == 0 { 40 } else { 60 });
        let grid = grid(&dataset);
        for (level, width, height) in [(7, 100, 50), (5, 25, 13), (1, 2, 1), (0, 1, 1)] {
            let area = grid.deep_zoom(level, 0, 0).unwrap();
            assert_eq!((area.width, area.height), (width, height));
            let pixels = Pixels::of_png(&file(&dataset, area, &LOOK(Encoding::Png)).unwrap()).unwrap();
            assert_eq!((u64::from(pixels.width), pixels.colors.len() as u64), (width, width * height));
            assert!(pixels.colors.iter().all(|color| *color == [50, 50, 50, 255]), "level {level}");
        }
    }

    #[test]
    fn jpeg_files_are_made_too() {
        let dataset = dataset(200, 100, |_, _| 90);
        let area = grid(&dataset).deep_zoom(3, 0, 0).unwrap();
        let file = file(&dataset, area, &LOOK(Encoding::jpeg(90))).unwrap();
        assert_eq!(file[..2], [0xFF, 0xD8]);
    }

    #[test]
    fn clear_pixels_do_not_darken_their_neighbours() {
        assert_eq!(mean([[200, 100, 0, 255], [0, 0, 0, 0]].iter()), [200, 100, 0, 128]);
        assert_eq!(mean([[9, 9, 9, 0]].iter()), [0; 4]);
    }

    #[test]
    fn an_axis_has_every_pixel_of_a_level_once() {
        for (level, grid) in [(200u64, 100u64), (300, 200), (256, 257), (7, 2), (1, 1)] {
            let all = Axis::new(level, grid, 0, grid);
            let covered: usize = (0..grid).map(|i| all.pixel(i, true).len()).sum();
            assert!(covered as u64 >= level.min(grid) && covered as u64 <= level.max(grid), "{level} on {grid}");
            let half = Axis::new(level, grid, grid / 2, grid - grid / 2);
            assert_eq!(half.end, level);
            assert!((0..grid - grid / 2).all(|i| half.pixel(i, true).end as u64 <= half.end - half.start));
        }
    }
}
