//! What it costs to open a file again that was closed, with a thousand and with a million others known.
//!
//! ```text
//! cargo bench --bench catalog [-- N]
//! ```
//!
//! The files are names of a few small TIFF files, made in a temporary folder; a million of them take about 4 GB of memory,
//! of which most is what was parsed. CPU time of the thread, medians of rounds, beside what the system's look at the file costs alone, which grows
//! with the number of names that it knows too.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use tiff_writer::{Blocks, Format, Image, TiffWriter};
use tilekeep::{Dataset, OpenOptions, Result, catalog_stats, set_catalog_max};

#[path = "../examples/support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

const ROUNDS: usize = 9;
const OPENINGS: usize = 2000;
/// Names that one file has; systems allow some ten thousand.
const NAMES: usize = 10_000;

fn main() -> Result<()> {
    let most = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(1_000_000);
    set_catalog_max(u64::MAX);
    let folder = tempfile::tempdir()?;
    let mut names = Vec::new();
    let mut costs = Vec::new();
    for n in [1000, most] {
        while names.len() < n {
            let name = name(folder.path(), names.len())?;
            drop(Dataset::open(&name)?);
            names.push(name);
        }
        let stats = catalog_stats();
        assert_eq!(stats.closed, n as u64);
        let cost = measure(&names)?;
        println!(
            "{n:>8} known: {:6.0} ns to open again, {:6.0} of them to look; {} bytes each",
            cost.again,
            cost.look,
            stats.bytes / n as u64
        );
        costs.push(cost);
    }
    let ratio = |of: fn(&Cost) -> f64| of(&costs[1]) / of(&costs[0]);
    println!("{most} to 1000: {:.2} to open, {:.2} without the look", ratio(|c| c.again), ratio(|c| c.again - c.look));
    let first = &names[..1000];
    let parsed = median(first, |name| {
        drop(Dataset::open_with(name, &OpenOptions::default().shared(false))?);
        Ok(())
    })?;
    println!("opening without the catalog: {parsed:.0} ns, {:.1} times as much", parsed / costs[0].again);
    Ok(())
}

/// Nanoseconds of one opening, and of one look.
struct Cost {
    again: f64,
    look: f64,
}

fn measure(names: &[PathBuf]) -> Result<Cost> {
    let again = median(names, |name| {
        drop(Dataset::open(name)?);
        Ok(())
    })?;
    let look = median(names, |name| {
        fs::metadata(name)?;
        Ok(())
    })?;
    Ok(Cost { again, look })
}

/// Nanoseconds of one call, the median of rounds in which places all over `names` are taken.
fn median(names: &[PathBuf], call: impl Fn(&Path) -> Result<()>) -> Result<f64> {
    let mut nanos = Vec::new();
    let mut at = 0;
    for _ in 0..ROUNDS {
        let start = cpu_nanos();
        for _ in 0..OPENINGS {
            at = (at + 7919) % names.len();
            call(&names[at])?;
        }
        nanos.push((cpu_nanos() - start) / OPENINGS as f64);
    }
    nanos.sort_by(f64::total_cmp);
    Ok(nanos[ROUNDS / 2])
}

/// What this thread worked so far, that of the system for it included.
fn cpu_nanos() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// One more name, of a new file now and then.
fn name(folder: &Path, number: usize) -> Result<PathBuf> {
    let subfolder = folder.join((number / NAMES).to_string());
    let file = subfolder.join("0.tif");
    if number.is_multiple_of(NAMES) {
        fs::create_dir(&subfolder)?;
        let image = Image { blocks: Blocks::Tiles(256, 256), ..Image::new(512, 512) };
        let mut writer = TiffWriter::new(fs::File::create(&file)?, Format::default())?;
        writer.image(&image, |_, _, _| Some(vec![7; 256 * 256]))?;
        writer.finish()?;
        // Old enough to be told from what it may become.
        let before = SystemTime::now() - Duration::new(3600, 1);
        fs::File::options().write(true).open(&file)?.set_modified(before)?;
        return Ok(file);
    }
    let name = subfolder.join(format!("{}.tif", number % NAMES));
    fs::hard_link(&file, &name)?;
    Ok(name)
}
