//! Samples to colours: how fast styles are applied, beside a copy of the pixels that come out and beside reading the
//! samples alone.
//!
//! ```text
//! cargo bench --bench styles [-- CASE]
//! ```
//!
//! Tiles of 1024 x 1024 pixels of rasters in memory, not encoded and not kept, by one thread. The copy is of the bytes of
//! the picture; reading is the same tile without a style, as far as the samples are those that the style reads. The
//! median of the rounds, all of one case taking turns.

use std::env;
use std::hint::black_box;
use std::time::Instant;

use tilekeep::{
    Dataset, Encoding, MemorySource, OpenOptions, Result, SampleType, Style, TileRequest, set_tile_cache_max,
};

const SIDE: u32 = 1024;
const ROUNDS: usize = 15;

/// A name, the raster, and the style.
const CASES: [(&str, SampleType, u32, &str); 10] = [
    (
        "u8 RGB, default",
        SampleType::U8,
        3,
        r#"{"bands": [{"band": 1, "palette": "R", "min": 0, "max": 255},
        {"band": 2, "palette": "G", "min": 0, "max": 255}, {"band": 3, "palette": "B", "min": 0, "max": 255}]}"#,
    ),
    (
        "u8 RGB, stretched",
        SampleType::U8,
        3,
        r#"{"bands": [{"band": 1, "palette": "R", "min": 20, "max": 200},
        {"band": 2, "palette": "G", "min": 20, "max": 200}, {"band": 3, "palette": "B", "min": 20, "max": 200}]}"#,
    ),
    ("u8 grey", SampleType::U8, 1, r#"{"min": 20, "max": 200}"#),
    ("u8 palette", SampleType::U8, 1, r#"{"min": 20, "max": 200, "palette": "viridis", "nodata": 7}"#),
    ("u16 palette", SampleType::U16, 1, r#"{"min": 100, "max": 50000, "palette": "viridis", "nodata": 0}"#),
    ("f32 grey", SampleType::F32, 1, r#"{"min": 0, "max": 1, "nodata": 0}"#),
    ("f32 palette", SampleType::F32, 1, r#"{"min": 0, "max": 1, "palette": "viridis", "nodata": 0}"#),
    (
        "u8 lighten x 4",
        SampleType::U8,
        4,
        r##"{"bands": [{"band": 1, "palette": "#f80", "min": 0, "max": 255},
        {"band": 2, "palette": "#08f", "min": 0, "max": 255}, {"band": 3, "palette": "#8f0", "min": 0, "max": 255},
        {"band": 4, "palette": "#f0f", "min": 0, "max": 255}]}"##,
    ),
    (
        "u16 multiply x 2",
        SampleType::U16,
        2,
        r#"{"bands": [{"band": 1, "palette": "viridis", "min": 0, "max": 65535},
        {"band": 2, "composite": "multiply", "min": 0, "max": 65535}]}"#,
    ),
    (
        "u16 expression",
        SampleType::U16,
        2,
        r#"{"expression": "(b2 - b1) / (b2 + b1)", "min": -1, "max": 1,
        "palette": "viridis"}"#,
    ),
];

fn main() -> Result<()> {
    let filter = env::args().skip(1).find(|argument| argument != "--bench").unwrap_or_default();
    set_tile_cache_max(0);
    println!("{:<20} {:>8} {:>10} {:>10}", "million pixels a second", "", "of a copy", "of reading");
    for (name, sample, n_bands, style) in CASES.into_iter().filter(|(name, ..)| name.contains(&filter)) {
        let dataset = dataset(sample, n_bands)?;
        let styled = TileRequest::new(0, 0, 0).size(SIDE, SIDE).style(Style::parse(style)?);
        let by_band = TileRequest::new(0, 0, 0).size(SIDE, SIDE).encoding(Encoding::RawBands);
        let picture = dataset.read_tile(&styled)?.bytes.to_vec();
        let mut copy = vec![0; picture.len()];
        let (mut styling, mut copying, mut reading) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            styling.push(seconds(|| dataset.read_tile(&styled).map(|tile| drop(black_box(tile))))?);
            copying.push(seconds(|| {
                black_box(&mut copy).copy_from_slice(black_box(&picture));
                Ok(())
            })?);
            reading.push(seconds(|| dataset.read_tile(&by_band).map(|tile| drop(black_box(tile))))?);
        }
        let [styling, copying, reading] = [styling, copying, reading].map(median);
        let rate = f64::from(SIDE * SIDE) / styling / 1e6;
        println!("{name:<20} {rate:>12.0} {:>10.3} {:>10.3}", copying / styling, reading / styling);
    }
    Ok(())
}

/// Samples all over their range, with runs as pictures have them.
fn dataset(sample: SampleType, n_bands: u32) -> Result<Dataset> {
    let mut bytes = Vec::with_capacity((SIDE * SIDE * n_bands) as usize * sample.bytes());
    for y in 0..SIDE {
        for x in 0..SIDE {
            for band in 0..n_bands {
                let smooth = (x * 3 + y * 5 + band * 311) % 1021;
                let noise = x.wrapping_mul(0x9E37_79B9).wrapping_add(y.wrapping_mul(0x85EB_CA6B)) >> 25;
                let part = f64::from(smooth * 8 + noise % 64) / 8232.0;
                match sample {
                    SampleType::U8 => bytes.push((part * 255.0) as u8),
                    SampleType::U16 => bytes.extend(((part * 65_535.0) as u16).to_ne_bytes()),
                    _ => bytes.extend((part as f32).to_ne_bytes()),
                }
            }
        }
    }
    let source = MemorySource::new(SIDE, SIDE, n_bands, sample, (256, 256), bytes)?;
    Dataset::from_source(source, &OpenOptions::default())
}

fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
