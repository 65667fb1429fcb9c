//! How fast the tiles of each codec are decoded, by type of sample and size of tile, beside libtiff with the same bytes.
//!
//! ```text
//! cargo bench --bench decode [-- WORD]
//! ```
//!
//! Files of 2048 x 2048 pixels, photos with noise and elevations, are made where they are missing. Ours are blocks that are
//! lent and not kept, libtiff's are tiles read into one buffer; one thread each, CPU time, the page cache warm. The readers
//! take turns, and the medians are megabytes of pixels a second. libtiff is left out where the system has no headers of it.
//! With an argument only the files with that word in their names are read.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use rustix::time::{ClockId, clock_gettime};
use tiff_writer::{Compression, Scene};
use tilekeep::{CacheUse, Dataset, OpenOptions, Result};

#[path = "../../examples/support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

const SIDE: u32 = 2048;
const ROUNDS: usize = 5;
/// Passes of a round; the first one is not counted.
const PASSES: usize = 3;
const TILES: [u32; 2] = [256, 512];

fn main() -> Result<()> {
    let word = env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let libtiff = libtiff(&folder)?;
    println!("{:<34} {:>9} {:>9} {:>7}", "MB/s of pixels", "tilekeep", "libtiff", "ratio");
    for (name, scene, stored) in files() {
        for tile in TILES {
            let name = format!("{name}, {tile} x {tile}");
            if word.as_ref().is_some_and(|word| !name.contains(word)) {
                continue;
            }
            let file = made(&folder, &name, scene, stored, tile)?;
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                ours.push(read(&file)?);
                theirs.extend(libtiff.as_ref().and_then(|program| read_with(program, &file)));
            }
            let ours = median(ours);
            match (theirs.len() == ROUNDS).then(|| median(theirs)) {
                Some(theirs) => println!("{name:<34} {ours:>9.0} {theirs:>9.0} {:>7.2}", ours / theirs),
                None => println!("{name:<34} {ours:>9.0} {:>9} {:>7}", "-", "-"),
            }
        }
    }
    Ok(())
}

/// What is measured: every codec with the predictors that make sense for it.
fn files() -> Vec<(String, Scene, (Compression, u16))> {
    let scenes = [(Scene::Photo, "rgb u8", 2), (Scene::Elevations, "u16", 2), (Scene::ElevationsInMetres, "f32", 3)];
    let codecs = [
        (Compression::None, "none", false),
        (Compression::PackBits, "packbits", false),
        (Compression::Lzw, "lzw", true),
        (Compression::Deflate, "deflate", true),
        (Compression::Zstd, "zstd", true),
        (Compression::Jpeg(85), "jpeg", false),
    ];
    let mut files = Vec::new();
    for (scene, kind, predictor) in scenes {
        for (codec, name, predicts) in codecs {
            if matches!(codec, Compression::Jpeg(_)) && scene != Scene::Photo {
                continue;
            }
            files.push((format!("{kind} {name}"), scene, (codec, 1)));
            if predicts {
                files.push((format!("{kind} {name} predictor {predictor}"), scene, (codec, predictor)));
            }
        }
    }
    files
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Megabytes of pixels a second, the best of the passes.
fn rate(seconds: &[f64], bytes: f64) -> f64 {
    bytes / seconds.iter().skip(1).copied().fold(f64::INFINITY, f64::min) / 1e6
}

fn read(file: &Path) -> Result<f64> {
    let dataset = Dataset::open_with(file, &OpenOptions::default().cache_max_bytes(0).shared(false))?;
    let level = dataset.levels()[0];
    let mut seconds = Vec::new();
    let mut bytes = 0;
    for _ in 0..PASSES {
        let start = cpu_seconds();
        bytes = 0;
        for (row, col) in (0..level.rows()).flat_map(|row| (0..level.cols()).map(move |col| (row, col))) {
            bytes += dataset.block_with((0, col, row), CacheUse::NoCache)?.bytes().len();
        }
        seconds.push(cpu_seconds() - start);
    }
    Ok(rate(&seconds, bytes as f64))
}

fn read_with(program: &Path, file: &Path) -> Option<f64> {
    let output = Command::new(program).arg(file).arg(PASSES.to_string()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let (bytes, seconds) = numbers.split_last()?;
    (output.status.success() && seconds.len() == PASSES).then(|| rate(seconds, *bytes))
}

/// The program beside this one, compiled against the system's libtiff.
fn libtiff(folder: &Path) -> io::Result<Option<PathBuf>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/decode/libtiff.c");
    let program = folder.join("decode_libtiff");
    let build = Command::new("cc").args(["-O2", "-o"]).arg(&program).arg(source).arg("-ltiff").output()?;
    if build.status.success() {
        return Ok(Some(program));
    }
    println!("left out: libtiff: {}", String::from_utf8_lossy(&build.stderr).lines().next().unwrap_or_default());
    Ok(None)
}

fn made(folder: &Path, name: &str, scene: Scene, stored: (Compression, u16), tile: u32) -> io::Result<PathBuf> {
    let file = folder.join(format!("decode_{}.tif", name.replace([' ', ','], "_")));
    if !file.is_file() {
        let part = file.with_extension("part");
        tiff_writer::sample_tiles(&part, scene, (SIDE, SIDE), tile, stored)?;
        fs::rename(&part, &file)?;
    }
    Ok(file)
}
