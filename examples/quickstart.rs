//! Opens a raster, prints what it is, and writes one of its tiles as PNG.
//!
//! ```text
//! cargo run --release --example quickstart [FILE [TILE.png]]
//! ```
//!
//! Without a file it makes a sample pyramid first.

use std::path::PathBuf;
use std::process::ExitCode;

use tilekeep::{Dataset, Encoding, Result, SampleType, TileRequest, WindowRequest};

#[path = "support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let file = match arguments.next() {
        Some(file) => file,
        None => {
            let sample = PathBuf::from("sample.tif");
            tiff_writer::sample_pyramid(&sample, 4096, 4096)?;
            println!("made {}", sample.display());
            sample
        }
    };
    let tile_file = arguments.next().unwrap_or_else(|| PathBuf::from("tile.png"));

    let dataset = Dataset::open(&file)?;
    describe(&dataset);

    // The tile in the middle of the finest level that has at least two tiles a side, or the only tile there is.
    let last = dataset.levels().len() as u32 - 1;
    let level = (0..=last).rev().find(|level| dataset.levels()[*level as usize].width > 512).unwrap_or(0);
    let size = &dataset.levels()[level as usize];
    let (col, row) = ((size.width / 512) as u32, (size.height / 512) as u32);
    let mut request = TileRequest::new(level, col, row).encoding(Encoding::Png);
    if !matches!(dataset.info().sample, SampleType::U8 | SampleType::U16) {
        request.range = Some(range(&dataset)?);
    }
    let tile = dataset.read_tile(&request)?;
    std::fs::write(&tile_file, &tile.bytes)?;
    println!(
        "tile ({col}, {row}) of level {level}: {}x{} pixels, {} bytes, in {}",
        tile.width,
        tile.height,
        tile.bytes.len(),
        tile_file.display()
    );

    // The same tile once more comes out of the cache: nothing is read.
    let loads = dataset.stats().loads;
    dataset.read_tile(&request)?;
    println!("read again: {} more blocks loaded, {} hits", dataset.stats().loads - loads, dataset.stats().hits);
    Ok(())
}

fn describe(dataset: &Dataset) {
    let info = dataset.info();
    println!("{} ({}), {} band(s) of {}", info.format, info.compression, info.n_bands, info.sample.name());
    for (number, level) in dataset.levels().iter().enumerate() {
        println!(
            "  level {number}: {}x{} in {}x{} blocks of {}x{}, {}",
            level.width,
            level.height,
            level.cols(),
            level.rows(),
            level.block_width,
            level.block_height,
            if level.native { "stored" } else { "made when asked for" }
        );
    }
    if let Some(transform) = info.geotransform {
        println!("  geotransform {:?}", transform.0);
    }
    if let Some(code) = info.epsg() {
        println!("  EPSG:{code}");
    }
    if let Some(nodata) = info.nodata {
        println!("  nodata {}", nodata.as_f64());
    }
}

/// Lowest and highest sample of the coarsest level, nodata and NaN aside.
fn range(dataset: &Dataset) -> Result<(f64, f64)> {
    let coarsest = dataset.levels().len() as u32 - 1;
    let window = dataset.levels()[coarsest as usize].window();
    let request = WindowRequest::new(coarsest, window).bands([0]).sample(SampleType::F64);
    let mut bytes = vec![0; dataset.window_bytes(&request)?];
    dataset.read_window(&request, &mut bytes)?;
    let nodata = dataset.info().nodata.map(|nodata| nodata.as_f64());
    let samples = bytes.chunks_exact(8).map(|b| f64::from_ne_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]));
    let valid = samples.filter(|v| v.is_finite() && Some(*v) != nodata);
    let (low, high) = valid.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    Ok(if low < high { (low, high) } else { (0.0, 1.0) })
}
