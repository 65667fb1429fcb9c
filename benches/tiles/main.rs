//! Rendered tiles beside large_image's, on the same files and with the same styles, in one run.
//!
//! ```text
//! TILEKEEP_PYTHON=PYTHON cargo bench --bench tiles [-- CASE]
//! ```
//!
//! Two files of 4096 x 4096 pixels, RGB in tiles of 256 x 256, JPEG and Deflate, are made where they are missing. The
//! page cache is warm. "Cold" is every tile of the file once, nothing of it being in any cache; "warm" is 16 tiles again and
//! again. JPEG is made at quality 90 without subsampling on both sides. The two take turns; medians of the rounds are
//! printed; with `CASE`, those that have it in their name. `TILEKEEP_PYTHON` names a Python that has large_image and its TIFF source.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;
use std::{env, fs};

use tiff_writer::{Compression, Scene};
use tilekeep::{Dataset, Encoding, OpenOptions, Result, Style, TileRequest, clear_tile_cache};

#[path = "../../examples/support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

const ROUNDS: usize = 5;
const SIDE: u32 = 4096;
const PALETTE: &str =
    r##"{"band": 1, "min": 0, "max": 255, "palette": ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"]}"##;

/// What is measured: a name, cold or warm, encoding, style; and whether the file is the one of JPEG only.
const CASES: [(&str, &str, &str, &str); 6] = [
    ("plain PNG", "cold", "PNG", "{}"),
    ("palette PNG", "cold", "PNG", PALETTE),
    ("plain JPEG", "cold", "JPEG", "{}"),
    ("palette JPEG", "cold", "JPEG", PALETTE),
    ("palette PNG", "warm", "PNG", PALETTE),
    ("plain JPEG", "warm", "JPEG", "{}"),
];

fn main() -> Result<()> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let filter = env::args().skip(1).find(|argument| argument != "--bench").unwrap_or_default();
    let mut peer = Peer::start();
    for (name, compression) in [("jpeg", (Compression::Jpeg(85), 1)), ("deflate", (Compression::Deflate, 2))] {
        let file = folder.join(format!("tiles_{name}_{SIDE}.tif"));
        if !file.is_file() {
            let part = file.with_extension("part");
            let made = tiff_writer::sample_tiles(&part, Scene::Photo, (SIDE, SIDE), 256, compression);
            made.and_then(|()| fs::rename(&part, &file)).expect("the sample is written");
        }
        println!("{name}: microseconds a tile");
        let wanted = |(name, kind, ..): &(&str, &str, &str, &str)| format!("{kind} {name}").contains(&filter);
        for case in CASES.into_iter().filter(wanted) {
            compare(&file, case, peer.as_mut())?;
        }
    }
    Ok(())
}

fn compare(
    file: &Path,
    (name, kind, encoding, style): (&str, &str, &str, &str),
    mut peer: Option<&mut Peer>,
) -> Result<()> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(seconds_a_tile(file, kind, encoding, style)?);
        theirs.extend(peer.as_mut().and_then(|peer| peer.seconds_a_tile(file, kind, encoding, style)));
    }
    let ours = median(ours);
    print!("  {kind} {name:<14} tilekeep {:>8.2}", ours * 1e6);
    if theirs.len() == ROUNDS {
        let theirs = median(theirs);
        print!("   large_image {:>8.1}   x {:.1}", theirs * 1e6, theirs / ours);
    }
    println!();
    Ok(())
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn seconds_a_tile(file: &Path, kind: &str, encoding: &str, style: &str) -> Result<f64> {
    clear_tile_cache();
    let dataset = Dataset::open_with(file, &OpenOptions::default())?;
    let encoding = if encoding == "PNG" { Encoding::Png } else { Encoding::jpeg(90) };
    let base = TileRequest::new(0, 0, 0).encoding(encoding);
    let base = if style == "{}" { base } else { base.style(Style::parse(style)?) };
    let at = |i: u32, side: u32| {
        let mut request = base.clone();
        (request.col, request.row) = (i % side, i / side);
        request
    };
    if kind == "cold" {
        let side = SIDE / 256;
        let start = Instant::now();
        for i in 0..side * side {
            std::hint::black_box(dataset.read_tile(&at(i, side))?);
        }
        return Ok(start.elapsed().as_secs_f64() / f64::from(side * side));
    }
    let requests: Vec<_> = (0..16).map(|i| at(i, 4)).collect();
    for request in &requests {
        dataset.read_tile(request)?;
    }
    let start = Instant::now();
    for _ in 0..5000 {
        for request in &requests {
            std::hint::black_box(dataset.read_tile(request)?);
        }
    }
    Ok(start.elapsed().as_secs_f64() / 80_000.0)
}

/// large_image in a process of its own.
struct Peer {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start() -> Option<Self> {
        let python = env::var_os("TILEKEEP_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/tiles/large_image_tiles.py");
        let mut command = Command::new(&python);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().ok()?;
        let (questions, answers) = (process.stdin.take()?, BufReader::new(process.stdout.take()?));
        let mut peer = Self { process, questions, answers };
        let mut version = String::new();
        peer.answers.read_line(&mut version).ok()?;
        if version.is_empty() {
            println!("left out: large_image: {} cannot import it", python.display());
            return None;
        }
        print!("beside {version}");
        Some(peer)
    }

    fn seconds_a_tile(&mut self, file: &Path, kind: &str, encoding: &str, style: &str) -> Option<f64> {
        writeln!(self.questions, "{kind}\t{}\t{encoding}\t{style}", file.display()).ok()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).ok()?;
        answer.trim().parse().ok()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
