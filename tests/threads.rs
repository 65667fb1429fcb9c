//! Many threads on one file.

use std::fs::File;
use std::io::BufWriter;
use std::sync::{Arc, Barrier, OnceLock};
use std::thread;
use std::time::Duration;

use tilekeep::{
    BlockId, Dataset, Level, OpenOptions, ReadContext, Result, SampleType, SourceInfo, TileSource, WindowRequest,
    check_block,
};

#[path = "../examples/support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;
use tiff_writer::{Blocks, Compression, Format, Image, Order, TiffWriter};

const SIDE: u32 = 1500;
const TILE: u32 = 128;

fn sample(x: u32, y: u32, band: u32) -> u8 {
    (x * 3 + y * 5 + band * 90 + (x * y) / 64) as u8
}

fn deflate_tiff(path: &std::path::Path) {
    let image = Image {
        blocks: Blocks::Tiles(TILE, TILE),
        n_bands: 3,
        compression: Compression::Deflate,
        predictor: 2,
        ..Image::new(SIDE, SIDE)
    };
    let out = BufWriter::new(File::create(path).unwrap());
    let mut writer = TiffWriter::new(out, Format { big: false, order: Order::Little }).unwrap();
    let tile = |_: u16, col: u32, row: u32| {
        let pixels = (0..TILE * TILE).map(|i| (col * TILE + i % TILE, row * TILE + i / TILE));
        Some(pixels.flat_map(|(x, y)| [sample(x, y, 0), sample(x, y, 1), sample(x, y, 2)]).collect())
    };
    writer.image(&image, tile).unwrap();
    writer.finish().unwrap().into_inner().unwrap();
}

fn check(dataset: &Dataset) {
    let level = dataset.levels()[0];
    let request = WindowRequest::new(0, level.window());
    let mut pixels = vec![0; dataset.window_bytes(&request).unwrap()];
    dataset.read_window(&request, &mut pixels).unwrap();
    for (i, pixel) in pixels.chunks_exact(3).enumerate() {
        let (x, y) = (i as u32 % SIDE, i as u32 / SIDE);
        assert_eq!(pixel, [sample(x, y, 0), sample(x, y, 1), sample(x, y, 2)], "({x}, {y})");
    }
}

#[test]
fn eight_threads_read_one_deflate_tiff_and_decode_each_block_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deflate.tif");
    deflate_tiff(&path);
    let dataset = Dataset::open(&path).unwrap();
    let everybody = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                everybody.wait();
                check(&dataset);
            });
        }
    });
    let (stats, blocks) = (dataset.stats(), u64::from(dataset.levels()[0].cols() * dataset.levels()[0].rows()));
    assert_eq!((stats.loads, stats.entries, stats.evictions), (blocks, blocks, 0));
    assert_eq!(stats.hits + stats.misses, 8 * blocks);
    assert_eq!(stats.misses, blocks + stats.coalesced);
}

#[test]
fn eight_threads_in_a_budget_of_three_blocks_still_get_the_right_pixels() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deflate.tif");
    deflate_tiff(&path);
    let block = u64::from(TILE * TILE * 3);
    let dataset = Dataset::open_with(&path, &OpenOptions::default().cache_max_bytes(block * 3 + 1000)).unwrap();
    thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(|| check(&dataset)))));
    let stats = dataset.stats();
    assert!(stats.bytes <= stats.max_bytes && stats.entries <= 3);
    assert_eq!((stats.locked_bytes, stats.loading_bytes), (0, 0));
    assert_eq!(stats.pixel_bytes, stats.entries * block);
}

/// One block, whose reader takes its time once everybody waits for it.
struct Slow {
    info: SourceInfo,
    /// The dataset over this source, and how many shall wait.
    waiting: OnceLock<(Dataset, u64)>,
}

impl TileSource for Slow {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], _: &mut ReadContext<'_>) -> Result<()> {
        check_block(&self.info, at, out)?;
        let (dataset, n) = self.waiting.get().unwrap();
        while dataset.stats().coalesced < *n {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(300));
        out.fill(7);
        Ok(())
    }
}

/// Nanoseconds of CPU that this thread used, where the system says so.
fn cpu_nanos() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

#[test]
fn sixty_four_threads_that_ask_for_one_block_cause_one_load_and_sleep_meanwhile() {
    const N: u64 = 64;
    let level = Level::new(256, 256, 256, 256).unwrap();
    let source =
        Arc::new(Slow { info: SourceInfo::new("slow", vec![level], 1, SampleType::U8), waiting: OnceLock::new() });
    let dataset = Dataset::from_source(Arc::clone(&source), &OpenOptions::default()).unwrap();
    source.waiting.set((dataset.clone(), N - 1)).ok().unwrap();
    let ask = || {
        let before = cpu_nanos();
        assert_eq!(dataset.block((0, 0, 0)).unwrap().bytes()[65_535], 7);
        cpu_nanos().zip(before).map(|(after, before)| after - before)
    };
    let mut nanos: Vec<Option<u64>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..N).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let stats = dataset.stats();
    assert_eq!((stats.loads, stats.misses, stats.coalesced, stats.hits), (1, N, N - 1, 0));
    // One of them read; the others slept, which is a few microseconds of work each, where polling would be their share of
    // 300 ms on every core.
    nanos.sort_unstable();
    if let Some(waiters) = nanos[..N as usize - 1].iter().copied().sum::<Option<u64>>() {
        println!("63 waiters used {:.2} ms of CPU while a load of 300 ms ran", waiters as f64 / 1e6);
        assert!(waiters < 50_000_000, "{waiters} ns");
    }
}
