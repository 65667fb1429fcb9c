//! How much memory a process really takes whose datasets change: its peak and what is left, beside the budget.
//!
//! ```text
//! cargo bench --bench churn
//! ```
//!
//! One dataset after another is read at random by four threads, three times the total budget each, with blocks of other
//! sizes every time and a tenth of the budget locked. They share the total: what was read stays open, with its blocks, and
//! the next one takes its memory from it. A large PNG is read in between; at the end come many datasets of small blocks, each
//! of which is forgotten for the next one. Lines give the resident memory over that at the start as shares of the budget: the
//! most that was seen, and what it was at the end.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread;

use resident::Resident;
use tilekeep::{
    BlockId, Dataset, Level, OpenOptions, ReadContext, Result, SampleType, SharedBlock, SourceInfo, TileSource,
    TrimLevel, check_block, process_stats, set_total_max, trim,
};

#[path = "support/resident.rs"]
mod resident;

const BUDGET: u64 = 256 << 20;
const THREADS: u64 = 4;
/// Bytes read from each dataset.
const READ: u64 = 3 * BUDGET;
/// One block in this many that are read is locked, until the share of its thread is full and the oldest one goes.
const LOCK_EVERY: u64 = 4;
const LOCKED: u64 = BUDGET / 10;

/// Datasets of small blocks.
const SMALL: u64 = 20;

const BLOCK_4K: (u32, u32) = (64, 64);
const BLOCK_64K: (u32, u32) = (256, 256);
const BLOCK_192K: (u32, u32) = (512, 384);
const BLOCK_768K: (u32, u32) = (1024, 768);

/// Levels of one size, each of them larger than the budget, in blocks of different sizes.
struct Made {
    info: SourceInfo,
}

impl Made {
    const WIDTH: u64 = 24 << 10;
    const HEIGHT: u64 = 24 << 10;

    fn new(blocks: &[(u32, u32)]) -> Result<Self> {
        let levels = blocks.iter().map(|(width, height)| Level::new(Self::WIDTH, Self::HEIGHT, *width, *height));
        Ok(Self { info: SourceInfo::new("made", levels.collect::<Result<_>>()?, 1, SampleType::U8) })
    }
}

/// The eight bytes at position `word` of a block.
fn word(at: BlockId, word: usize) -> [u8; 8] {
    let place = u64::from(at.level) << 60 | u64::from(at.col) << 40 | u64::from(at.row) << 20 | word as u64;
    place.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_ne_bytes()
}

impl TileSource for Made {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], _context: &mut ReadContext<'_>) -> Result<()> {
        check_block(&self.info, at, out)?;
        for (i, bytes) in out.chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&word(at, i));
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let Some(resident) = Resident::new(BUDGET) else {
        println!("resident memory is not known on this system");
        return Ok(());
    };
    set_total_max(BUDGET);
    let png = made_png(6000)?;
    let mut overall = 0;
    let mut locked: Vec<SharedBlock> = Vec::new();
    let mut open = Vec::new();
    let phases: [(&str, &[(u32, u32)]); 5] = [
        ("64 KiB", &[BLOCK_64K]),
        ("768 KiB", &[BLOCK_768K]),
        ("64 KiB and 768 KiB", &[BLOCK_768K, BLOCK_64K]),
        ("192 KiB", &[BLOCK_192K]),
        ("64 KiB again", &[BLOCK_64K]),
    ];
    for (number, (what, blocks)) in phases.into_iter().enumerate() {
        let dataset = Dataset::from_source(Made::new(blocks)?, &OpenOptions::default())?;
        // The locks of the one before stay until now.
        locked = churn(&dataset, number as u64, &resident)?;
        open.push(dataset);
        resident.report(what, &mut overall);
        if number == 2 {
            open.push(read_png(&png, &resident)?);
            resident.report("a PNG from top to bottom", &mut overall);
        }
    }
    let used = process_stats().used_bytes as f64 / BUDGET as f64;
    println!("{} datasets hold {used:.3} of the budget", open.len());
    drop(locked);
    trim(TrimLevel::All);
    resident.report("trimmed", &mut overall);
    println!("of all that: peak {:.3} of the budget", resident.share(overall));
    // Memory is no time: it is what it is on any machine.
    assert!(resident.share(overall) <= 1.1 && resident.share(resident.sample()) <= 0.2, "more than was promised");
    for number in 0..SMALL {
        let dataset = Dataset::from_source(Made::new(&[BLOCK_4K])?, &OpenOptions::default())?;
        drop(churn(&dataset, 100 + number, &resident)?);
        open.push(dataset);
    }
    resident.report(&format!("{SMALL} datasets, 4 KiB"), &mut overall);
    trim(TrimLevel::All);
    resident.report("trimmed", &mut overall);
    // What each needs to find its blocks comes from the allocator, in part, which keeps some of what was freed.
    assert!(resident.share(overall) <= 1.25 && resident.share(resident.sample()) <= 0.25, "more than is usual");
    Ok(())
}

/// Reads blocks at random; returns those that are locked at the end.
fn churn(dataset: &Dataset, seed: u64, resident: &Resident) -> Result<Vec<SharedBlock>> {
    thread::scope(|scope| {
        let readers: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || churn_alone(dataset, seed * THREADS + thread + 1, resident)))
            .collect();
        let mut locked = Vec::new();
        for reader in readers {
            locked.extend(reader.join().expect("no reader panics")?);
        }
        Ok(locked)
    })
}

fn churn_alone(dataset: &Dataset, seed: u64, resident: &Resident) -> Result<Vec<SharedBlock>> {
    let mut random = Random(seed);
    let (mut locked, mut locked_bytes) = (Vec::new(), 0);
    let (mut read, mut sampled) = (0, 0);
    while read < READ / THREADS {
        let at = random_block(dataset, &mut random);
        let bytes = if random.below(LOCK_EVERY) == 0 {
            let block = dataset.lock_block(at)?.into_shared();
            let bytes = block.bytes().len() as u64;
            check(at, block.bytes());
            locked.push(block);
            locked_bytes += bytes;
            while locked_bytes > LOCKED / THREADS {
                locked_bytes -= locked.remove(0).bytes().len() as u64;
            }
            bytes
        } else {
            let block = dataset.block(at)?;
            check(at, block.bytes());
            block.bytes().len() as u64
        };
        read += bytes;
        if read - sampled >= 4 << 20 {
            sampled = read;
            resident.sample();
        }
    }
    Ok(locked)
}

/// Any block: levels get the same share of the bytes, as they are of one size.
fn random_block(dataset: &Dataset, random: &mut Random) -> BlockId {
    let levels = dataset.info().levels.as_slice();
    let blocks: u64 = levels.iter().map(|level| u64::from(level.cols()) * u64::from(level.rows())).sum();
    let mut n = random.below(blocks);
    for (number, level) in levels.iter().enumerate() {
        let here = u64::from(level.cols()) * u64::from(level.rows());
        if n < here {
            let cols = u64::from(level.cols());
            return BlockId::new(number as u32, (n % cols) as u32, (n / cols) as u32);
        }
        n -= here;
    }
    unreachable!("{n} blocks beyond the last level")
}

fn check(at: BlockId, bytes: &[u8]) {
    for i in [0, bytes.len() / 16, bytes.len() / 8 - 1] {
        assert_eq!(bytes[i * 8..][..8], word(at, i), "{at}");
    }
}

fn read_png(path: &Path, resident: &Resident) -> Result<Dataset> {
    let dataset = Dataset::open_with(path, &OpenOptions::default().shared(false))?;
    let level = dataset.levels()[0];
    for row in 0..level.rows() {
        let block = dataset.block((0, 0, row))?;
        let first = u64::from(row) * u64::from(level.block_height);
        assert_eq!(block.bytes()[..3], pixel(0, first as u32));
        resident.sample();
    }
    Ok(dataset)
}

fn pixel(x: u32, y: u32) -> [u8; 3] {
    [x as u8, y as u8, ((x * y) >> 6) as u8]
}

fn made_png(side: u32) -> Result<PathBuf> {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("churn_{side}.png"));
    if !path.is_file() {
        let half = path.with_extension("part");
        let mut encoder = png::Encoder::new(BufWriter::new(File::create(&half)?), side, side);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::Fastest);
        let mut writer = encoder.write_header().map_err(std::io::Error::other)?;
        let mut rows = writer.stream_writer().map_err(std::io::Error::other)?;
        for y in 0..side {
            let row: Vec<u8> = (0..side).flat_map(|x| pixel(x, y)).collect();
            rows.write_all(&row)?;
        }
        rows.finish().map_err(std::io::Error::other)?;
        writer.finish().map_err(std::io::Error::other)?;
        std::fs::rename(&half, &path)?;
    }
    Ok(path)
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}
