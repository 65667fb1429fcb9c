//! Windows here and there in pictures that are one compressed stream each, with a budget that holds a small part of them.
//!
//! ```text
//! cargo bench --bench random_windows
//! ```
//!
//! Makes an RGB PNG and a baseline JPEG of 8192 x 8192 pixels, once per machine, in the folder for temporary files, and
//! reads 200 windows of 256 x 256 pixels of each: with an index of the stream, without one (every window that lies above
//! the last one is decoded from the top, fewer of them are read), and with GDAL, where its headers and a C compiler are
//! found, with a cache of the same size. The PNG is also read from the top to the bottom, beside the `png` crate. Times are
//! CPU times of one thread, the first window apart: it goes through all of the stream above it. Memory is the most that the
//! process held, less what it held before it opened the file, the pages of its own code that it ran through since among
//! it; every reader runs in a process of its own.

use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use tilekeep::{CacheUse, Dataset, Limits, OpenOptions, Window, WindowRequest};

#[path = "support/gdal.rs"]
mod gdal;

const SIDE: u64 = 8192;
const WINDOW: u64 = 256;
const BUDGET: u64 = 8 << 20;
const WINDOWS: usize = 200;
/// From the top each of them takes long.
const WINDOWS_FROM_TOP: usize = 12;
/// How often the whole picture is read by each reader.
const ROUNDS: usize = 5;

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> AnyResult<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, reader, file, windows, ..] = arguments.as_slice()
        && reader.starts_with("child")
    {
        return child(reader == "child-without-index", Path::new(file), windows);
    }
    if let [_, reader, file, ..] = arguments.as_slice()
        && reader.starts_with("down")
    {
        return down(reader == "down-with-crate", Path::new(file));
    }
    let peer = gdal::program("benches/peers/gdal_windows.c", &std::env::temp_dir());
    for file in [png_file()?, jpeg_file()?] {
        println!("{}: {} MB", file.display(), std::fs::metadata(&file)?.len() >> 20);
        let ours =
            run(Command::new(&arguments[0]).arg("child").arg(&file).arg(places(WINDOWS)), "index of the stream")?;
        let plain =
            Command::new(&arguments[0]).arg("child-without-index").arg(&file).arg(places(WINDOWS_FROM_TOP)).output();
        report(plain?, "no index", Some(ours))?;
        match &peer {
            Ok(program) => {
                let theirs =
                    Command::new(program).arg(&file).arg(places(WINDOWS)).arg((BUDGET >> 20).to_string()).output();
                report(theirs?, "GDAL", Some(ours))?;
            }
            Err(reason) => println!("  GDAL: SKIPPED, {reason}"),
        }
        if file.extension().is_some_and(|extension| extension == "png") {
            compare_down(&arguments[0], &file)?;
        }
    }
    Ok(())
}

fn run(command: &mut Command, name: &str) -> AnyResult<f64> {
    report(command.output()?, name, None)
}

/// Prints how fast the whole picture is read, beside the `png` crate; the two take turns.
fn compare_down(this: &str, file: &Path) -> AnyResult<()> {
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (rates, reader) in rates.iter_mut().zip(["down", "down-with-crate"]) {
            let output = Command::new(this).arg(reader).arg(file).output()?;
            rates.push(String::from_utf8(output.stdout)?.trim().parse::<f64>()?);
        }
    }
    let [ours, theirs] = rates.map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates[ROUNDS / 2]
    });
    println!(
        "  from top to bottom {ours:.0} MB/s of pixels, the png crate {theirs:.0}: x {:.2} of its rate",
        ours / theirs
    );
    Ok(())
}

/// Reads the whole picture and prints megabytes of pixels in a second.
fn down(with_crate: bool, file: &Path) -> AnyResult<()> {
    let mut pixels = vec![1; (SIDE * WINDOW * 3) as usize];
    let start = cpu_ms();
    if with_crate {
        let mut reader = png::Decoder::new(BufReader::new(File::open(file)?)).read_info()?;
        for y in 0..SIDE {
            let row = reader.next_row()?.ok_or("a row too few")?;
            let row_bytes = row.data().len();
            pixels[(y % WINDOW) as usize * row_bytes..][..row_bytes].copy_from_slice(row.data());
        }
    } else {
        let dataset = Dataset::open_with(file, &OpenOptions::default().cache_max_bytes(BUDGET).shared(false))?;
        for y in (0..SIDE).step_by(WINDOW as usize) {
            let request = WindowRequest::new(0, Window::new(0, y, SIDE, WINDOW)).cache_use(CacheUse::Sequential);
            dataset.read_window(&request, &mut pixels)?;
        }
    }
    let seconds = (cpu_ms() - start) / 1e3;
    std::hint::black_box(&pixels);
    writeln!(std::io::stdout().lock(), "{}", (SIDE * SIDE * 3) as f64 / seconds / 1e6)?;
    Ok(())
}

/// Prints what a reader says of itself: milliseconds a window, bytes of memory, and anything else.
fn report(output: std::process::Output, name: &str, ours: Option<f64>) -> AnyResult<f64> {
    if !output.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let mut words = text.split_whitespace();
    let mut next = || -> AnyResult<f64> { Ok(words.next().ok_or("a reader says too little")?.parse()?) };
    let (ms, first_ms, memory) = (next()?, next()?, next()?);
    let rest: Vec<&str> = words.collect();
    let ratio = ours.map_or(String::new(), |ours| format!(", x {:.1} of ours", ms / ours));
    let memory = memory / f64::from(1 << 20);
    println!(
        "  {name:<20} {ms:>8.2} ms a window (the first {first_ms:.0} ms){ratio}, {memory:.1} MiB, {}",
        rest.join(" ")
    );
    Ok(ms)
}

/// `x,y` of windows, the same for every reader.
fn places(n: usize) -> String {
    let mut state = 12_345_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % (SIDE - WINDOW)
    };
    (0..n).map(|_| format!("{},{}", next(), next())).collect::<Vec<_>>().join(";")
}

fn child(without_index: bool, file: &Path, places: &str) -> AnyResult<()> {
    let mut limits = Limits::default();
    if without_index {
        limits.max_index_bytes = 0;
    }
    let mut pixels = vec![1; (WINDOW * WINDOW * 3) as usize];
    let (before, code_before) = (resident_bytes("VmRSS")?, resident_bytes("RssFile")?);
    let dataset =
        Dataset::open_with(file, &OpenOptions::default().cache_max_bytes(BUDGET).limits(limits).shared(false))?;
    let (mut times, mut sum) = (Vec::new(), 0_u64);
    for place in places.split(';') {
        let (x, y) = place.split_once(',').ok_or("a place without a comma")?;
        let request = WindowRequest::new(0, Window::new(x.parse()?, y.parse()?, WINDOW, WINDOW));
        let start = cpu_ms();
        dataset.read_window(&request, &mut pixels)?;
        times.push(cpu_ms() - start);
        sum = pixels.iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    }
    let memory = resident_bytes("VmHWM")? - before;
    let code = (resident_bytes("RssFile")? - code_before) >> 10;
    let mean = times[1..].iter().sum::<f64>() / (times.len() - 1) as f64;
    let mut out = std::io::stdout().lock();
    let index = dataset.stats().index_bytes >> 10;
    writeln!(out, "{mean} {} {memory} {code} KiB of it code, index {index} KiB, pixels {sum:016x}", times[0])?;
    Ok(())
}

/// Milliseconds of CPU time of this process, which has one thread.
fn cpu_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// A number of bytes that Linux tells of this process; 0 elsewhere.
fn resident_bytes(name: &str) -> AnyResult<u64> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    Ok(line.split_whitespace().nth(1).unwrap_or("0").parse::<u64>()? << 10)
}

/// Slopes, waves and noise, as photos have them.
fn rows() -> impl Iterator<Item = Vec<u8>> {
    let mut state = 1_u32;
    (0..SIDE).map(move |y| {
        let mut row = Vec::with_capacity(SIDE as usize * 3);
        for x in 0..SIDE {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (noise, wave) = (state >> 28, ((x / 3 + y / 5) % 64).abs_diff(32) + ((x * y) >> 14) % 24);
            let slope = (x + y) / 96;
            row.extend(
                [slope + wave, slope / 2 + wave * 2, 200 - slope].map(|v| (v + u64::from(noise)).min(255) as u8),
            );
        }
        row
    })
}

/// The file of this name in the folder for temporary files, made when it is not there.
fn made(name: &str, write: impl FnOnce(&Path) -> AnyResult<()>) -> AnyResult<PathBuf> {
    let path = std::env::temp_dir().join(name);
    if !path.exists() {
        let part = path.with_extension("part");
        write(&part)?;
        std::fs::rename(part, &path)?;
    }
    Ok(path)
}

fn png_file() -> AnyResult<PathBuf> {
    made("tilekeep-windows-8192.png", |path| {
        let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), SIDE as u32, SIDE as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::Balanced);
        encoder.set_filter(png::Filter::Adaptive);
        let mut writer = encoder.write_header()?;
        let mut stream = writer.stream_writer()?;
        rows().try_for_each(|row| stream.write_all(&row))?;
        stream.finish()?;
        Ok(())
    })
}

fn jpeg_file() -> AnyResult<PathBuf> {
    made("tilekeep-windows-8192.jpg", |path| {
        let mut encoder = jpeg_encoder::Encoder::new_file(path, 88)?;
        encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::R_4_2_0);
        let pixels: Vec<u8> = rows().flatten().collect();
        encoder.encode(&pixels, SIDE as u16, SIDE as u16, jpeg_encoder::ColorType::Rgb)?;
        Ok(())
    })
}
