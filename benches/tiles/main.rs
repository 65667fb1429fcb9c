//! Rendered tiles beside large_image's, on the same files and with the same styles, in one run.
//!
//! ```text
//! TILEKEEP_PYTHON=PYTHON cargo bench --bench tiles [-- CASE]
//! ```
//!
//! Two files of 4096 x 4096 pixels, RGB in tiles of 256 x 256, JPEG and Deflate, are made where they are missing. The
//! page cache is warm. "Cold" is every tile of the file once, nothing of it being in any cache; "warm" is 16 tiles again and
//! again; "memcached" is the same with a memcached server as the only cache of tiles of either, and "socket" with one that
//! both reach by a Unix socket. JPEG is made at quality 90 without subsampling on both sides. The two take turns; medians of
//! the rounds are printed; with `CASE`, those that have it in their name. `TILEKEEP_PYTHON` names a Python that has
//! large_image and its TIFF source.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;
use std::{env, fs};

use tiff_writer::{Compression, Scene};
use tilekeep::{
    Chroma, Dataset, Encoding, OpenOptions, Result, Style, TileRequest, clear_tile_cache, flush_tile_store, open_store,
    set_tile_cache_max, set_tile_store, tile_cache_stats,
};

#[path = "../../tests/common/servers.rs"]
mod servers;
#[path = "../../examples/support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

const ROUNDS: usize = 5;
const SIDE: u32 = 4096;
const PALETTE: &str =
    r##"{"band": 1, "min": 0, "max": 255, "palette": ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"]}"##;

/// What is measured.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    kind: Kind,
    encoding: Encoding,
    style: &'static str,
    /// Whether stored JPEGs may be handed out as they are. large_image decodes them and encodes them anew.
    pass_through: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Every tile of the file once.
    Cold,
    /// Tiles in memory.
    Warm,
    /// Tiles in memcached.
    Memcached,
    /// The same by a socket.
    Socket,
    /// Tiles in memcached, all of a viewport at once; by large_image one by one.
    Viewport,
}

const JPEG: Encoding = Encoding::Jpeg { quality: 90, chroma: Chroma::Full };

const fn case(name: &'static str, kind: Kind, encoding: Encoding, style: &'static str) -> Case {
    Case { name, kind, encoding, style, pass_through: false }
}

const CASES: [Case; 13] = [
    case("cold plain PNG", Kind::Cold, Encoding::Png, "{}"),
    case("cold palette PNG", Kind::Cold, Encoding::Png, PALETTE),
    case("cold palette JPEG", Kind::Cold, JPEG, PALETTE),
    case("cold plain JPEG", Kind::Cold, JPEG, "{}"),
    Case { pass_through: true, ..case("cold plain JPEG passed", Kind::Cold, JPEG, "{}") },
    case("warm palette PNG", Kind::Warm, Encoding::Png, PALETTE),
    case("warm plain JPEG", Kind::Warm, JPEG, "{}"),
    case("memcached palette PNG", Kind::Memcached, Encoding::Png, PALETTE),
    case("memcached plain JPEG", Kind::Memcached, JPEG, "{}"),
    case("socket palette PNG", Kind::Socket, Encoding::Png, PALETTE),
    case("socket plain JPEG", Kind::Socket, JPEG, "{}"),
    case("memcached, 16 palette PNG", Kind::Viewport, Encoding::Png, PALETTE),
    case("memcached, 16 plain JPEG", Kind::Viewport, JPEG, "{}"),
];

fn main() -> Result<()> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let filter = env::args().skip(1).find(|argument| argument != "--bench").unwrap_or_default();
    let server = servers::Server::memcached(&["-m", "256"]);
    let address = server.as_ref().map(|server| server.address());
    #[cfg(unix)]
    let by_socket = servers::Server::by_socket("memcached", &["-m", "256"]);
    #[cfg(not(unix))]
    let by_socket: Option<servers::Server> = None;
    let socket = by_socket.as_ref().map(|server| server.address().trim_start_matches("unix:").to_owned());
    let by_port_uri = address.as_ref().map(|address| format!("memcached://{address}/bench"));
    let by_socket_uri = socket.as_ref().map(|path| format!("memcached:unix:{path}?prefix=bench"));
    let with_server = |server: &Option<String>| server.as_deref().and_then(|server| Peer::start(Some(server)));
    let mut peers = [Peer::start(None), with_server(&address), with_server(&socket)];
    for (name, compression) in [("jpeg", (Compression::Jpeg(85), 1)), ("deflate", (Compression::Deflate, 2))] {
        let file = folder.join(format!("tiles_{name}_{SIDE}.tif"));
        if !file.is_file() {
            let part = file.with_extension("part");
            let made = tiff_writer::sample_tiles(&part, Scene::Photo, (SIDE, SIDE), 256, compression);
            made.and_then(|()| fs::rename(&part, &file)).expect("the sample is written");
        }
        println!("{name}: microseconds a tile");
        for case in CASES.into_iter().filter(|case| case.name.contains(&filter)) {
            let (uri, peer) = match case.kind {
                Kind::Cold | Kind::Warm => {
                    compare(&file, case, peers[0].as_mut())?;
                    continue;
                }
                Kind::Memcached | Kind::Viewport => (&by_port_uri, peers[1].as_mut()),
                Kind::Socket => (&by_socket_uri, peers[2].as_mut()),
            };
            let Some(uri) = uri else {
                println!("  {}: left out, there is no memcached", case.name);
                continue;
            };
            set_tile_store(open_store(uri)?)?;
            set_tile_cache_max(0);
            compare(&file, case, peer)?;
            set_tile_cache_max(64 << 20);
            set_tile_store(None)?;
        }
    }
    Ok(())
}

fn compare(file: &Path, case: Case, mut peer: Option<&mut Peer>) -> Result<()> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(seconds_a_tile(file, case)?);
        theirs.extend(peer.as_mut().and_then(|peer| peer.seconds_a_tile(file, case)));
    }
    let ours = median(ours);
    print!("  {:<25} tilekeep {:>8.2}", case.name, ours * 1e6);
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

fn seconds_a_tile(file: &Path, case: Case) -> Result<f64> {
    clear_tile_cache();
    let dataset = Dataset::open_with(file, &OpenOptions::default().shared(false))?;
    let mut base = TileRequest::new(0, 0, 0).encoding(case.encoding);
    base.pass_through = case.pass_through;
    if case.style != "{}" {
        base = base.style(Style::parse(case.style)?);
    }
    let at = |i: u32, side: u32| {
        let mut request = base.clone();
        (request.col, request.row) = (i % side, i / side);
        request
    };
    if case.kind == Kind::Cold {
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
    flush_tile_store();
    let n = if case.kind == Kind::Warm { 5000 } else { 50 };
    let (before, start) = (tile_cache_stats(), Instant::now());
    for _ in 0..n {
        if case.kind == Kind::Viewport {
            std::hint::black_box(dataset.read_tiles(&requests).into_iter().collect::<Result<Vec<_>>>()?);
            continue;
        }
        for request in &requests {
            std::hint::black_box(dataset.read_tile(request)?);
        }
    }
    let seconds = start.elapsed().as_secs_f64() / f64::from(n * 16);
    let stats = tile_cache_stats();
    assert_eq!((stats.rendered, stats.passed), (before.rendered, before.passed), "a tile was not kept");
    Ok(seconds)
}

/// large_image in a process of its own.
struct Peer {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// With its tiles in the memcached server at this address or path, or in its own memory.
    fn start(memcached: Option<&str>) -> Option<Self> {
        let python = env::var_os("TILEKEEP_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/tiles/large_image_tiles.py");
        let mut command = Command::new(&python);
        command.arg(script).args(memcached).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().ok()?;
        let (questions, answers) = (process.stdin.take()?, BufReader::new(process.stdout.take()?));
        let mut peer = Self { process, questions, answers };
        let mut version = String::new();
        peer.answers.read_line(&mut version).ok()?;
        if version.is_empty() {
            println!("left out: large_image: {} cannot import it", python.display());
            return None;
        }
        print!("beside {}{version}", if memcached.is_some() { "memcached with " } else { "" });
        Some(peer)
    }

    fn seconds_a_tile(&mut self, file: &Path, case: Case) -> Option<f64> {
        let kind = if case.kind == Kind::Cold { "cold" } else { "warm" };
        let encoding = if case.encoding == JPEG { "JPEG" } else { "PNG" };
        writeln!(self.questions, "{kind}\t{}\t{encoding}\t{}", file.display(), case.style).ok()?;
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
