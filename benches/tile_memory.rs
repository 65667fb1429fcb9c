//! How much memory a process really takes through whose cache of rendered tiles large tiles of floats pass.
//!
//! ```text
//! cargo bench --bench tile_memory [-- TILES]
//! ```
//!
//! 10,000 tiles of 1024 x 1024 pixels, red, green, blue and opacity in 32-bit floats, 16 MiB each, are rendered by two
//! threads, under a hundred styles; every third is asked for a second time. The cache of tiles has 128 MiB, the total is
//! 192 MiB. Lines give the resident memory over that at the start as shares of the total and of one tile for each thread,
//! which a client holds while it looks at it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, thread};

use resident::Resident;
use tilekeep::{
    Dataset, MemorySource, OpenOptions, Result, SampleType, Style, TileRequest, TileStyle, TrimLevel, process_stats,
    set_tile_cache_max, set_total_max, tile_cache_stats, trim,
};

#[path = "support/resident.rs"]
mod resident;

const TOTAL: u64 = 192 << 20;
const TILES_MAX: u64 = 128 << 20;
const TILE: u64 = 16 << 20;
const THREADS: u64 = 2;
const STYLES: u32 = 100;

fn main() -> Result<()> {
    let n_tiles = env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10_000_u32);
    let samples = (0..2048 * 2048_u32).flat_map(|i| ((i % 2048 * 17 + i / 2048) as u16).to_ne_bytes()).collect();
    let source = MemorySource::new(2048, 2048, 1, SampleType::U16, (256, 256), samples)?;
    let dataset = Dataset::from_source(source, &OpenOptions::default())?;
    let styles = (0..STYLES).map(|i| {
        let text = format!(r#"{{"min": {i}, "max": 40000, "palette": "viridis", "dtype": "float"}}"#);
        Style::parse(&text).map(TileStyle::from)
    });
    let styles = styles.collect::<Result<Vec<_>>>()?;
    let Some(resident) = Resident::new(TOTAL + THREADS * TILE) else {
        println!("resident memory is not known on this system");
        return Ok(());
    };
    set_total_max(TOTAL);
    set_tile_cache_max(TILES_MAX);

    let (next, mut overall) = (AtomicU32::new(0), 0);
    let render = || -> Result<()> {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= n_tiles {
                return Ok(());
            }
            let style = styles[(i / 4 % STYLES) as usize].clone();
            let request = TileRequest::new(0, i % 2, i / 2 % 2).size(1024, 1024).style(style);
            let tile = dataset.read_tile(&request)?;
            assert_eq!(tile.bytes.len() as u64, TILE);
            resident.sample();
            if i % 3 == 0 {
                dataset.read_tile(&request)?;
            }
            let stats = tile_cache_stats();
            assert!(stats.bytes + stats.loading_bytes <= TILES_MAX, "{stats:?}");
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(render)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no thread panics"))
    })?;
    let stats = tile_cache_stats();
    println!("{} tiles rendered, {} found again, {} kept", stats.rendered, stats.hits, stats.entries);
    resident.report("while they pass", &mut overall);
    trim(TrimLevel::All);
    resident.report("trimmed", &mut overall);
    println!("of the whole run: peak {:.3}; {} bytes counted", resident.share(overall), process_stats().used_bytes);
    Ok(())
}
