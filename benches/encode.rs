//! How fast tiles become files: JPEG beside `jpeg-encoder`, and PNG.
//!
//! ```text
//! cargo bench --bench encode [-- FILE]
//! ```
//!
//! Tiles of 256 x 256 pixels, of FILE or of a made-up landscape, are in the block cache and not in that of tiles; what it takes
//! to ask for one is part of ours, and printed. The encoders take turns; medians of the rounds are printed, as MB of
//! pixels a second and as a ratio.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};
use tiff_writer::{Compression, Scene};
use tilekeep::{Chroma, Dataset, Encoding, Result, Tile, TileRequest, set_tile_cache_max};

#[path = "../examples/support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

const ROUNDS: usize = 11;
const SIDE: u32 = 1024;

fn main() -> Result<()> {
    let file = std::env::args().skip(1).find(|a| !a.starts_with("--")).map_or_else(made, PathBuf::from);
    set_tile_cache_max(0);
    let dataset = Dataset::open(file)?;
    let level = dataset.levels()[0];
    // Whole ones only.
    let (across, down) = ((level.width / 256) as u32, (level.height / 256) as u32);
    let request = |i: u32, encoding| {
        let request = TileRequest::new(0, i % across, i / across % down);
        request.pass_through(false).encoding(encoding)
    };
    let n_tiles = (across * down).min(64);
    let raw: Vec<Tile> = (0..n_tiles).map(|i| dataset.read_tile(&request(i, Encoding::Raw))).collect::<Result<_>>()?;
    let (color, n_bands) = match raw[0].bytes.len() / (256 * 256) {
        1 => (ColorType::Luma, 1),
        4 => (ColorType::Rgba, 4),
        _ => (ColorType::Rgb, 3),
    };
    let megabytes = f64::from(n_tiles * 256 * 256 * n_bands) / 1e6;
    let seconds = |of: &mut dyn FnMut(u32) -> Result<()>| -> Result<f64> {
        let start = Instant::now();
        (0..n_tiles).try_for_each(of)?;
        Ok(start.elapsed().as_secs_f64())
    };
    let ours = |encoding| seconds(&mut |i| dataset.read_tile(&request(i, encoding)).map(|tile| drop(black_box(tile))));
    for (quality, chroma) in
        [(75, Chroma::Halved), (85, Chroma::Halved), (90, Chroma::Full), (95, Chroma::Full), (100, Chroma::Full)]
    {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            here.push(ours(Encoding::Jpeg { quality, chroma })?);
            there.push(seconds(&mut |i| {
                drop(black_box(by_jpeg_encoder(&raw[i as usize].bytes, color, quality, chroma)));
                Ok(())
            })?);
        }
        let (here, there) = (median(here), median(there));
        println!(
            "JPEG {quality:>3} {chroma:<6?} tilekeep {:>5.0} MB/s   jpeg-encoder {:>5.0} MB/s   x {:.2}",
            megabytes / here,
            megabytes / there,
            there / here
        );
    }
    for (name, encoding) in [("PNG", Encoding::Png), ("samples as they are", Encoding::Raw)] {
        let rounds = (0..ROUNDS).map(|_| ours(encoding)).collect::<Result<_>>()?;
        println!("{name}: tilekeep {:.0} MB/s", megabytes / median(rounds));
    }
    Ok(())
}

fn by_jpeg_encoder(pixels: &[u8], color: ColorType, quality: u8, chroma: Chroma) -> Vec<u8> {
    let mut file = Vec::with_capacity(pixels.len() / 4 + 1024);
    let mut encoder = Encoder::new(&mut file, quality);
    encoder.set_sampling_factor(match chroma {
        Chroma::Halved => SamplingFactor::R_4_2_0,
        Chroma::Full => SamplingFactor::R_4_4_4,
    });
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    encoder.encode(pixels, 256, 256, color).expect("a tile is encoded");
    file
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn made() -> PathBuf {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("encode.tif");
    let made = tiff_writer::sample_tiles(&file, Scene::Photo, (SIDE, SIDE), 256, (Compression::Deflate, 2));
    made.expect("the sample is written");
    file
}
