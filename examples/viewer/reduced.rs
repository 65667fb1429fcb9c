//! What no level has, as a raster of its own: in colours, made from the tiles of a finer level.
//!
//! The library takes it like any client's source, so that its tiles are made once for all who ask, are kept in the one
//! cache of tiles, and count there.

use tilekeep::{
    BlockId, ColorInterpretation, Dataset, Encoding, Error, ErrorKind, Level, OpenOptions, ReadContext, Result,
    SampleType, SourceInfo, TileRequest, TileSource, check_block,
};

use crate::grid::TILE;
use crate::picture::{Look, dressed, grid};

/// Pixels of the finer level that one block may be made of.
const MAX_PIXELS: u64 = 64 << 20;

/// A raster in one look, reduced so many times.
pub(crate) struct Reduced {
    dataset: Dataset,
    look: Look,
    /// The level that it is made from.
    level: u32,
    /// Whether pixels may be mixed: those of a colour table mean something of their own.
    mix: bool,
    info: SourceInfo,
}

impl Reduced {
    pub(crate) fn open(dataset: Dataset, look: Look, step: u64) -> Result<Dataset> {
        let (width, height) = grid(&dataset).size(step);
        let fine_enough = |level: &Level| level.width + 1 >= width && level.height + 1 >= height;
        let level = dataset.levels().iter().rposition(fine_enough).unwrap_or(0) as u32;
        let levels = vec![Level::new(width, height, TILE as u32, TILE as u32)?];
        let mut info = SourceInfo::new("reduced", levels, 4, SampleType::U8);
        info.colors[3] = ColorInterpretation::Alpha;
        let mix = !dataset.info().colors.contains(&ColorInterpretation::Palette);
        // Its tiles are kept; then nobody asks for its blocks again.
        Dataset::from_source(Self { dataset, look, level, mix, info }, &OpenOptions::default().cache_max_bytes(0))
    }

    /// Red, green, blue and opacity of all pixels of the finer level that lie under a block, row by row.
    fn pixels(&self, across: &Axis, down: &Axis) -> Result<Vec<[u8; 4]>> {
        let (cols, rows) = (across.end - across.start, down.end - down.start);
        if cols.saturating_mul(rows) > MAX_PIXELS {
            return Err(Error::new(ErrorKind::LimitExceeded, format!("a block made of {cols}x{rows} pixels")));
        }
        let mut pixels = vec![[0u8; 4]; (cols * rows) as usize];
        for row in down.start / TILE..down.end.div_ceil(TILE) {
            for col in across.start / TILE..across.end.div_ceil(TILE) {
                // As PNG, they are the tiles of who looks closer, and have 8 bits whatever the samples have.
                let request = TileRequest::new(self.level, col as u32, row as u32).encoding(Encoding::Png);
                let tile = self.dataset.read_tile(&dressed(request, &self.look))?;
                let (width, colors) = colors_of_png(&tile.bytes)?;
                for (y, line) in (row * TILE..).zip(colors.chunks_exact(width)) {
                    for (x, pixel) in (col * TILE..).zip(line) {
                        if (across.start..across.end).contains(&x) && (down.start..down.end).contains(&y) {
                            pixels[((y - down.start) * cols + x - across.start) as usize] = *pixel;
                        }
                    }
                }
            }
        }
        Ok(pixels)
    }
}

impl TileSource for Reduced {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], _context: &mut ReadContext<'_>) -> Result<()> {
        let layout = check_block(&self.info, at, out)?;
        let (whole, level) = (&self.info.levels[0], &self.dataset.levels()[self.level as usize]);
        let (x, y) = (u64::from(at.col) * TILE, u64::from(at.row) * TILE);
        let across = Axis::new(level.width, whole.width, x, u64::from(layout.width));
        let down = Axis::new(level.height, whole.height, y, u64::from(layout.height));
        let (pixels, cols) = (self.pixels(&across, &down)?, (across.end - across.start) as usize);
        for y in 0..layout.height {
            let lines = down.pixel(u64::from(y), self.mix);
            for x in 0..layout.width {
                let columns = across.pixel(u64::from(x), self.mix);
                let color = mean(lines.clone().flat_map(|line| &pixels[line * cols..][columns.clone()]));
                out[layout.offset(x, y, 0)..][..4].copy_from_slice(&color);
            }
        }
        Ok(())
    }
}

/// Pixels of a level that lie under pixels of a block, along one side.
struct Axis {
    start: u64,
    end: u64,
    /// Pixels of the level to a pixel of the block, and where the first pixel begins, counted from `start`.
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

    /// The pixels that pixel `i` of the block is made of: all whose middle lies in it, or the one in its middle.
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

/// The width of a PNG file that the library wrote, and red, green, blue and opacity of its pixels.
pub(crate) fn colors_of_png(file: &[u8]) -> Result<(usize, Vec<[u8; 4]>)> {
    let failed = |what: &dyn std::fmt::Display| Error::new(ErrorKind::Internal, format!("a tile's own PNG: {what}"));
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
    Ok((info.width as usize, colors))
}

#[cfg(test)]
mod tests {
    use super::*;

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
