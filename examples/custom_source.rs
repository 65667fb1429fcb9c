//! A raster of one's own: a source that makes its pixels, opened like any file.
//!
//! ```text
//! cargo run --release --example custom_source [TILE.png]
//! ```

use tilekeep::{
    BlockId, Dataset, Encoding, Level, OpenOptions, ReadContext, Result, SampleType, SourceInfo, TileRequest,
    TileSource, check_block,
};

/// The Mandelbrot set, 2^20 pixels square: a terabyte of pixels that is never stored. One band, 256 x 256 blocks.
struct Mandelbrot {
    info: SourceInfo,
}

impl Mandelbrot {
    const SIDE: u64 = 1 << 20;

    fn new() -> Result<Self> {
        // Every level is "stored", because making a coarse one is as cheap as making a fine one.
        let sides = (0..=12).map(|step| Self::SIDE >> step);
        let levels = sides.map(|side| Level::new(side, side, 256, 256)).collect::<Result<_>>()?;
        Ok(Self { info: SourceInfo::new("mandelbrot", levels, 1, SampleType::U8) })
    }
}

impl TileSource for Mandelbrot {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], _context: &mut ReadContext<'_>) -> Result<()> {
        let layout = check_block(&self.info, at, out)?;
        let pixel = 3.0 / self.info.levels[at.level as usize].width as f64;
        let (x0, y0) = (u64::from(at.col) * 256, u64::from(at.row) * 256);
        for y in 0..layout.height {
            for x in 0..layout.width {
                let re = (x0 + u64::from(x)) as f64 * pixel - 2.25;
                let im = (y0 + u64::from(y)) as f64 * pixel - 1.5;
                out[layout.offset(x, y, 0)] = escape(re, im);
            }
        }
        Ok(())
    }
}

/// How soon a point leaves the circle of radius 2: brighter for later, black for never.
fn escape(re: f64, im: f64) -> u8 {
    let (mut x, mut y) = (0.0, 0.0);
    for step in 0..255u8 {
        (x, y) = (x * x - y * y + re, 2.0 * x * y + im);
        if x * x + y * y > 4.0 {
            return step.saturating_mul(8);
        }
    }
    0
}

fn main() -> Result<()> {
    let file = std::env::args_os().nth(1).unwrap_or_else(|| "mandelbrot.png".into());
    let dataset = Dataset::from_source(Mandelbrot::new()?, &OpenOptions::default())?;
    // Level 10 is 1024 pixels square: one tile of it is the whole set.
    let tile = dataset.read_tile(&TileRequest::new(10, 0, 0).size(1024, 1024).encoding(Encoding::Png))?;
    std::fs::write(&file, &tile.bytes)?;
    println!("{}: {}x{} pixels out of {} blocks", file.display(), tile.width, tile.height, dataset.stats().loads);
    Ok(())
}
