//! What a cache of blocks costs, and what it saves, when a whole image is read again and again, window by window.
//!
//! ```text
//! cargo run --release --example image_passes [-- FILE | FOLDER [ROUNDS]]
//! ```
//!
//! Reads the first band of a file of 16-bit samples in windows of 256 x 256 pixels into one buffer, four times, with
//! budgets from nothing to more than most files, and prints the CPU time of the first and of the repeated passes. An
//! uncompressed file is read by position and mapped. Without a file it makes four in the folder given, or in the system's
//! folder for temporary files: elevations of 172 and 380 MB, uncompressed and with Deflate.
//!
//! Every cell of the table is the median of five rounds, in which the cells take turns, each in a process of its own; the
//! ratios are medians too, of a round's cell over the same round's budget of nothing. The page cache is warm.
//!
//! Where GDAL's headers and a C compiler are found, a program that does the same with GDAL is measured beside.
//! `TILEKEEP_PEER_PASSES` may name another one: it is called with `FILE CACHE_MB PASSES rio 256 256` and prints a JSON
//! object with the CPU seconds of each pass as `cpu0`, `cpu1`, ..., and as `sum` the first and the last sample of all
//! windows added up, by which it is seen to read the same pixels.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tiff_writer::{Compression, Scene};
use tilekeep::{Dataset, OpenOptions, Result, Window, WindowRequest};

#[path = "../benches/support/gdal.rs"]
mod gdal;
#[path = "support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

const BUDGETS_MB: [u64; 6] = [0, 1, 10, 100, 200, 400];
const PASSES: usize = 4;
const ROUNDS: usize = 5;
const SIDE: u64 = 256;

/// Width and height of the files that are made: whole tiles, 172 and 380 MB.
const SIZES: [(u32, u32); 2] = [(10_496, 8_192), (12_800, 14_848)];

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match &arguments[..] {
        [word, file, access, megabytes] if word == "cell" => cell(Path::new(file), access == "map", megabytes),
        [] => tables(&std::env::temp_dir(), ROUNDS),
        [place] => tables(Path::new(place), ROUNDS),
        [place, rounds, ..] => tables(Path::new(place), number(rounds).max(1) as usize),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("image_passes: {error}");
            ExitCode::FAILURE
        }
    }
}

fn number(text: &OsString) -> u64 {
    text.to_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// One cell of a table: opens the file, reads it, and prints as JSON what it took.
fn cell(file: &Path, map: bool, megabytes: &OsString) -> Result<()> {
    let dataset = open(file, map, number(megabytes) << 20)?;
    let level = dataset.levels()[0];
    let mut buffer = vec![0; (SIDE * SIDE) as usize * 2];
    let (mut report, mut sum) = (json!({}), 0);
    for pass in 0..PASSES {
        let start = cpu_seconds();
        for y in (0..level.height).step_by(SIDE as usize) {
            for x in (0..level.width).step_by(SIDE as usize) {
                let window = Window::new(x, y, SIDE.min(level.width - x), SIDE.min(level.height - y));
                dataset.read_window(&WindowRequest::new(0, window).bands([0]), &mut buffer)?;
                let last = (window.width * window.height) as usize * 2 - 2;
                let sample = |at: usize| u64::from(u16::from_ne_bytes([buffer[at], buffer[at + 1]]));
                sum += sample(0) + sample(last);
            }
        }
        report[format!("cpu{pass}")] = json!(cpu_seconds() - start);
    }
    let stats = dataset.stats();
    report["sum"] = json!(sum);
    report["hit_ratio"] = json!(stats.hits as f64 / (stats.hits + stats.misses).max(1) as f64);
    println!("{report}");
    Ok(())
}

#[expect(unsafe_code, reason = "mapping a file takes a promise")]
fn open(file: &Path, map: bool, budget: u64) -> Result<Dataset> {
    let options = OpenOptions::default().cache_max_bytes(budget).shared(false);
    // SAFETY: files that are measured are let alone meanwhile; whoever starts this program sees to it.
    let options = if map { unsafe { options.access_map() } } else { options };
    Dataset::open_with(file, &options)
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn tables(place: &Path, rounds: usize) -> Result<()> {
    let files = if place.is_dir() { made(place)? } else { vec![place.to_owned()] };
    for file in files {
        table(&file, rounds)?;
    }
    Ok(())
}

/// The test files in `folder`, written where they are missing.
fn made(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for (compression, name) in [(Compression::None, "plain"), (Compression::Deflate, "deflate")] {
        for (width, height) in SIZES {
            let file = folder.join(format!("image_passes_{name}_{width}x{height}.tif"));
            if !file.is_file() {
                println!("making {}", file.display());
                let part = file.with_extension("part");
                tiff_writer::sample_tiles(&part, Scene::Elevations, (width, height), 256, (compression, 1))?;
                std::fs::rename(&part, &file)?;
            }
            files.push(file);
        }
    }
    Ok(files)
}

/// What is measured side by side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Read,
    Map,
    Peer,
}

/// The program to be measured beside, or why there is none.
fn peer() -> std::result::Result<OsString, String> {
    let of_client = std::env::var_os("TILEKEEP_PEER_PASSES");
    let with_gdal = || gdal::program("benches/peers/gdal_passes.c", &std::env::temp_dir()).map(Into::into);
    of_client.map_or_else(with_gdal, Ok)
}

/// CPU milliseconds and the share of hits.
#[derive(Clone, Copy)]
struct Cell {
    first: f64,
    repeated: f64,
    hit_ratio: f64,
}

fn table(file: &Path, rounds: usize) -> Result<()> {
    let dataset = Dataset::open(file)?;
    let (info, level) = (dataset.info(), dataset.levels()[0]);
    let mut readers = vec![Reader::Read];
    if info.compression == "none" {
        readers.push(Reader::Map);
    }
    let peer = peer();
    match &peer {
        Ok(_) => readers.push(Reader::Peer),
        Err(reason) => println!("\nwithout GDAL: {reason}"),
    }
    let peer = peer.ok();
    let megabytes = (level.width * level.height * info.sample.bytes() as u64) as f64 / 1e6;
    println!(
        "\n{}: {} x {} {}, {}, {megabytes:.0} MB\nCPU ms, first pass -> repeated passes, each (over budget 0); {rounds} rounds\n",
        file.file_name().unwrap_or_default().display(),
        level.width,
        level.height,
        info.sample.name(),
        info.compression,
    );
    // One after the other, all budgets and readers in each round. The first measurement warms the page cache.
    let sum = measure(file, Reader::Read, 0, peer.as_ref())?.1;
    let mut cells = vec![vec![Vec::new(); readers.len()]; BUDGETS_MB.len()];
    for _ in 0..rounds {
        for (row, megabytes) in cells.iter_mut().zip(BUDGETS_MB) {
            for (cell, reader) in row.iter_mut().zip(&readers) {
                let (measured, seen) = measure(file, *reader, megabytes, peer.as_ref())?;
                if seen != sum {
                    return Err(io::Error::other("the programs read different pixels").into());
                }
                cell.push(measured);
            }
        }
    }
    print_head(&readers);
    for (row, megabytes) in cells.iter().zip(BUDGETS_MB) {
        print!("| {megabytes} |");
        for ((cell, nothing), reader) in row.iter().zip(&cells[0]).zip(&readers) {
            print_cell(cell, nothing, *reader);
        }
        println!();
    }
    Ok(())
}

fn print_head(readers: &[Reader]) {
    let (mut names, mut line) = ("| budget MB |".to_owned(), "| --- |".to_owned());
    for reader in readers {
        let (name, columns) = match reader {
            Reader::Read => (" read | hits |", 2),
            Reader::Map => (" mapped |", 1),
            Reader::Peer => (" peer |", 1),
        };
        names += name;
        line += &" --- |".repeat(columns);
    }
    println!("{names}\n{line}");
}

fn print_cell(cell: &[Cell], nothing: &[Cell], reader: Reader) {
    let of = |what: fn(&Cell) -> f64| median(cell.iter().map(what));
    let ratio = |what: fn(&Cell) -> f64| median(cell.iter().zip(nothing).map(|(a, b)| what(a) / what(b)));
    print!(
        " {:.1} -> {:.1} ({:.2}, {:.2}) |",
        of(|c| c.first),
        of(|c| c.repeated),
        ratio(|c| c.first),
        ratio(|c| c.repeated)
    );
    if reader == Reader::Read {
        print!(" {:.0} % |", 100.0 * of(|c| c.hit_ratio));
    }
}

/// Runs one reader in a process of its own; gives the cell and the sum of what it saw.
fn measure(file: &Path, reader: Reader, megabytes: u64, peer: Option<&OsString>) -> io::Result<(Cell, Value)> {
    let mut command = match (reader, peer) {
        (Reader::Peer, Some(peer)) => {
            let mut command = Command::new(peer);
            command.arg(file).args([&megabytes.to_string(), &PASSES.to_string(), "rio", "256", "256"]);
            command
        }
        _ => {
            let mut command = Command::new(std::env::current_exe()?);
            let access = if reader == Reader::Map { "map" } else { "read" };
            command.arg("cell").arg(file).args([access, &megabytes.to_string()]);
            command
        }
    };
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(io::Error::other(format!("{command:?}: {}: {said}", output.status)));
    }
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let pass = |number: usize| report[format!("cpu{number}")].as_f64().unwrap_or(f64::NAN) * 1e3;
    let cell = Cell {
        first: pass(0),
        repeated: median((1..PASSES).map(pass)),
        hit_ratio: report["hit_ratio"].as_f64().unwrap_or(0.0),
    };
    Ok((cell, report["sum"].clone()))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
