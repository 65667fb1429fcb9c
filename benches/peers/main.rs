//! Whole files read with tilekeep and with its peers, one thread and two, in one run.
//!
//! ```text
//! cargo bench --bench peers [-- SIDE [FILE]]
//! ```
//!
//! Files of `SIDE` x `SIDE` pixels (8192 by default) in tiles of 256 x 256 are made where they are missing: one for each
//! codec, RGB with the noise of a sensor and elevations. The page cache is warm. Every reader is a process of its own that
//! opens the file, reads all pixels, a row of tiles at a time, into one buffer, and says how long that took; the readers
//! take turns, and the medians of the rounds and their ratios are printed. "Lent" are blocks that are looked at where they
//! are, without a copy. What two processes of one thread do at once, which share nothing but the machine, is what two
//! threads can do at best. Peers are compiled here; one whose library is missing is left out, and named. `TILEKEEP_PYTHON`
//! names a Python that has tifffile and imagecodecs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use std::{env, fs, io, thread};

use tiff_writer::{Compression, Scene};
use tilekeep::{CacheUse, Dataset, OpenOptions, Result, Window, WindowRequest};

#[path = "../../examples/support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

const ROUNDS: usize = 5;
/// A window is as wide as the file and a row of tiles high.
const ROWS: u64 = 256;

/// The files, by name: what they show and how it is stored.
const FILES: [(&str, Scene, (Compression, u16)); 9] = [
    ("rgb none", Scene::Photo, (Compression::None, 1)),
    ("rgb jpeg 85", Scene::Photo, (Compression::Jpeg(85), 1)),
    ("rgb deflate predictor 2", Scene::Photo, (Compression::Deflate, 2)),
    ("rgb lzw", Scene::Photo, (Compression::Lzw, 1)),
    ("rgb lzw predictor 2", Scene::Photo, (Compression::Lzw, 2)),
    ("rgb zstd", Scene::Photo, (Compression::Zstd, 1)),
    ("rgb zstd predictor 2", Scene::Photo, (Compression::Zstd, 2)),
    ("u16 deflate predictor 2", Scene::Elevations, (Compression::Deflate, 2)),
    ("f32 deflate predictor 3", Scene::ElevationsInMetres, (Compression::Deflate, 3)),
];

/// A program that reads a file, with a number of threads as its last argument.
struct Reader {
    name: &'static str,
    command: Vec<PathBuf>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [what, file, threads] = &arguments[..]
        && what.starts_with("--read")
    {
        return read_and_report(Path::new(file), threads.parse().expect("a number of threads"), what);
    }
    let side = arguments.first().map_or(8192, |side| side.parse().expect("a number of pixels"));
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let readers = readers(&folder)?;
    let files = match arguments.get(1) {
        Some(file) => vec![(file.clone(), PathBuf::from(file))],
        None => made(&folder, side)?,
    };
    for (name, file) in files {
        compare(&name, &file, &readers);
    }
    Ok(())
}

/// Prints the rates of all readers, and how much faster than each of the others the first one is.
fn compare(name: &str, file: &Path, readers: &[Reader]) {
    println!("{name}, {} bytes", fs::metadata(file).map_or(0, |m| m.len()));
    // With one thread, with two, and two processes.
    let mut rates = vec![[Vec::new(), Vec::new(), Vec::new()]; readers.len()];
    for _ in 0..ROUNDS {
        for (reader, rates) in readers.iter().zip(&mut rates) {
            rates[0].extend(reader.rate(file, 1));
        }
        for (reader, rates) in readers.iter().zip(&mut rates) {
            rates[1].extend(reader.rate(file, 2));
        }
        for (reader, rates) in readers.iter().zip(&mut rates).take(2) {
            rates[2].extend(reader.rate_of_two(file));
        }
    }
    let medians: Vec<[Option<f64>; 3]> = rates.into_iter().map(|rates| rates.map(median)).collect();
    let Some([Some(first), Some(first_two), _]) = medians.first() else {
        println!("  not read");
        return;
    };
    for (reader, medians) in readers.iter().zip(&medians) {
        match medians {
            [Some(one), Some(two), processes] => println!(
                "  {:<18} {one:>7.0} MB/s, {two:>7.0} with two threads (x {:.2}{}); tilekeep is x {:.2} and x {:.2} as fast",
                reader.name,
                two / one,
                processes.map_or(String::new(), |both| format!(", two processes x {:.2}", both / one)),
                first / one,
                first_two / two
            ),
            _ => println!("  {:<18} does not read it", reader.name),
        }
    }
}

fn median(mut rates: Vec<f64>) -> Option<f64> {
    rates.sort_by(f64::total_cmp);
    (rates.len() == ROUNDS).then(|| rates[ROUNDS / 2])
}

impl Reader {
    fn begin(&self, file: &Path, threads: usize) -> io::Result<Child> {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).arg(file).arg(threads.to_string());
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
    }

    /// Megabytes of pixels in a second.
    fn rate(&self, file: &Path, threads: usize) -> Option<f64> {
        let (seconds, bytes) = said(self.begin(file, threads).ok()?)?;
        Some(bytes / seconds / 1e6)
    }

    /// Megabytes of pixels in a second that two processes of one thread read at once.
    fn rate_of_two(&self, file: &Path) -> Option<f64> {
        let both = [self.begin(file, 1).ok()?, self.begin(file, 1).ok()?];
        let [one, other] = both.map(said);
        let ((seconds, bytes), (other_seconds, other_bytes)) = (one?, other?);
        Some((bytes + other_bytes) / seconds.max(other_seconds) / 1e6)
    }
}

/// The seconds and bytes that a reader says at its end.
fn said(reader: Child) -> Option<(f64, f64)> {
    let output = reader.wait_with_output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.split_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

fn read_and_report(file: &Path, threads: u32, what: &str) -> Result<()> {
    let start = Instant::now();
    let mut options = OpenOptions::default().cache_max_bytes(0);
    if what == "--read-mapped" {
        // SAFETY: nobody writes to the files of this bench while it runs.
        #[expect(unsafe_code, reason = "mapping takes a promise about the file")]
        unsafe {
            options = options.access_map();
        }
    }
    let dataset = Dataset::open_with(file, &options.shared(false))?;
    let (next, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || match what {
        "--read" => read_windows(&dataset, &next, &bytes),
        _ => look_at_blocks(&dataset, &next, &bytes),
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        work()?;
        others.into_iter().try_for_each(|other| other.join().expect("no reader panics"))
    })?;
    if what == "--read-mapped" && dataset.stats().loads > 0 {
        return Err(tilekeep::Error::new(tilekeep::ErrorKind::Unsupported, "these blocks are not lent from the file"));
    }
    println!("{:.6} {}", start.elapsed().as_secs_f64(), bytes.into_inner());
    Ok(())
}

/// Pixels of level 0, a row of tiles at a time, copied into one buffer.
fn read_windows(dataset: &Dataset, next: &AtomicU64, bytes: &AtomicU64) -> Result<()> {
    let level = dataset.levels()[0];
    let mut out = Vec::new();
    loop {
        let y = next.fetch_add(1, Ordering::Relaxed) * ROWS;
        if y >= level.height {
            return Ok(());
        }
        let window = Window::new(0, y, level.width, ROWS.min(level.height - y));
        let request = WindowRequest::new(0, window).cache_use(CacheUse::NoCache);
        let size = dataset.window_bytes(&request)?;
        out.resize(out.len().max(size), 0);
        dataset.read_window(&request, &mut out)?;
        bytes.fetch_add(size as u64, Ordering::Relaxed);
    }
}

/// Blocks of level 0 where they are, one byte of every page looked at.
fn look_at_blocks(dataset: &Dataset, next: &AtomicU64, bytes: &AtomicU64) -> Result<()> {
    let level = dataset.levels()[0];
    loop {
        let i = next.fetch_add(1, Ordering::Relaxed) as u32;
        if i >= level.cols() * level.rows() {
            return Ok(());
        }
        let block = dataset.block_with((0, i % level.cols(), i / level.cols()), CacheUse::NoCache)?;
        let pages = block.bytes().iter().step_by(4096);
        std::hint::black_box(pages.fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
        bytes.fetch_add(block.bytes().len() as u64, Ordering::Relaxed);
    }
}

/// This program, and the peers whose libraries are there.
fn readers(folder: &Path) -> io::Result<Vec<Reader>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
    let this = env::current_exe()?;
    let mut readers = vec![
        Reader { name: "tilekeep", command: vec![this.clone(), "--read".into()] },
        Reader { name: "tilekeep, lent", command: vec![this.clone(), "--read-lent".into()] },
        Reader { name: "tilekeep, mapped", command: vec![this, "--read-mapped".into()] },
    ];
    let compiled: [(&'static str, &str, &str, &str); 3] = [
        ("GDAL", "c++", "gdal.cpp", "gdal-config --cflags; gdal-config --libs"),
        ("OpenImageIO", "c++", "oiio.cpp", "pkg-config --cflags --libs OpenImageIO"),
        ("libvips", "cc", "vips.c", "pkg-config --cflags --libs vips"),
    ];
    for (name, compiler, source, flags) in compiled {
        let program = folder.join(format!("peer_{}", source.replace('.', "_")));
        let line = format!("{compiler} -O2 -pthread -o \"$1\" \"$2\" $({flags}) -lm");
        let build = Command::new("sh").args(["-c", &line, "sh"]).arg(&program).arg(here.join(source)).output()?;
        if build.status.success() {
            readers.push(Reader { name, command: vec![program] });
        } else {
            println!("left out: {name}: {}", String::from_utf8_lossy(&build.stderr).lines().next().unwrap_or_default());
        }
    }
    let python = env::var_os("TILEKEEP_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let is_there = Command::new(&python).args(["-c", "import tifffile, imagecodecs"]).output();
    if is_there.is_ok_and(|output| output.status.success()) {
        readers.push(Reader { name: "tifffile", command: vec![python, here.join("tifffile_read.py")] });
    } else {
        println!("left out: tifffile: {} cannot import it with imagecodecs", python.display());
    }
    Ok(readers)
}

/// The files of the bench, written where they are missing.
fn made(folder: &Path, side: u32) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for (name, scene, stored) in FILES {
        let file = folder.join(format!("peers_{}_{side}.tif", name.replace(' ', "_")));
        if !file.is_file() {
            println!("making {}", file.display());
            let part = file.with_extension("part");
            tiff_writer::sample_tiles(&part, scene, (side, side), 256, stored)?;
            fs::rename(&part, &file)?;
        }
        files.push((name.to_owned(), file));
    }
    // No writer of WebP is at hand here.
    let webp = folder.join(format!("peers_rgb_webp_75_{side}.tif"));
    if !webp.is_file() {
        let options = ["-q", "-of", "GTiff", "-co", "TILED=YES", "-co", "COMPRESS=WEBP", "-co", "WEBP_LEVEL=75"];
        let part = webp.with_extension("part");
        let made = Command::new("gdal_translate").args(options).arg(&files[0].1).arg(&part).status();
        if made.is_ok_and(|status| status.success()) {
            fs::rename(&part, &webp)?;
        }
    }
    if webp.is_file() {
        files.push(("rgb webp 75".to_owned(), webp));
    } else {
        println!("left out: webp: gdal_translate did not write it");
    }
    Ok(files)
}
