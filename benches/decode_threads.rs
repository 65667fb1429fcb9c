//! How much faster two threads read one cold file than one: every block is decoded once, nothing comes from the cache.
//!
//! ```text
//! cargo bench --bench decode_threads [-- FILE]
//! ```
//!
//! Without a file it makes an RGB Deflate TIFF of 8192 x 8192 pixels. The runs with one and two threads alternate; the
//! medians of five rounds and their ratio are printed, and what a budget of nothing costs beside a filled cache.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use tilekeep::{Dataset, OpenOptions, Result};

#[path = "../examples/support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

const ROUNDS: usize = 5;

fn main() -> Result<()> {
    let file = std::env::args().skip(1).find(|a| !a.starts_with("--")).map(PathBuf::from);
    let file = match file {
        Some(file) => file,
        None => made(8192)?,
    };
    // Once before the first round: the page cache is warm, the pool of blocks is not.
    read(&file, 1, 0)?;
    for (what, budget) in [("nothing kept", 0), ("everything kept", 4 << 30)] {
        let mut seconds = [Vec::new(), Vec::new()];
        let mut bytes = 0;
        for _ in 0..ROUNDS {
            for threads in [1, 2] {
                let start = Instant::now();
                bytes = read(&file, threads, budget)?;
                seconds[threads - 1].push(start.elapsed().as_secs_f64());
            }
        }
        let [one, two] = seconds.map(|mut s| {
            s.sort_by(f64::total_cmp);
            s[ROUNDS / 2]
        });
        let rate = |seconds: f64| bytes as f64 / seconds / 1e6;
        println!("{what}: 1 thread {:.0} MB/s, 2 threads {:.0} MB/s, ratio {:.2}", rate(one), rate(two), one / two);
    }
    Ok(())
}

/// Reads every block of level 0 of a freshly opened dataset; returns the bytes of their pixels.
fn read(file: &Path, threads: usize, budget: u64) -> Result<u64> {
    let dataset = Dataset::open_with(file, &OpenOptions::default().cache_max_bytes(budget).shared(false))?;
    let level = dataset.levels()[0];
    let next = AtomicU32::new(0);
    let total: Result<u64> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut bytes = 0;
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        if i >= level.cols() * level.rows() {
                            return Ok(bytes);
                        }
                        bytes += dataset.block((0, i % level.cols(), i / level.cols()))?.bytes().len() as u64;
                    }
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("no reader panics")).sum()
    });
    assert_eq!(dataset.stats().loads, u64::from(level.cols() * level.rows()));
    total
}

fn made(side: u32) -> Result<PathBuf> {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("decode_threads_{side}.tif"));
    if !file.is_file() {
        let half = file.with_extension("part");
        tiff_writer::sample_pyramid(&half, side, side)?;
        std::fs::rename(&half, &file)?;
    }
    Ok(file)
}
