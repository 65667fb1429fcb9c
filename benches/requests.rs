//! What a request costs beside a plain call, and what a viewer sees of a slow source with and without looking ahead.
//!
//! ```text
//! cargo bench --bench requests
//! ```

use std::hint::black_box;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tilekeep::{
    BlockId, Dataset, Delivery, Encoding, Level, MemorySource, OpenOptions, ReadContext, RequestStats, Requests,
    SampleType, SourceInfo, Throttled, TileRequest, TileSource,
};

/// Requests of one round.
const N: u32 = 4_000;
const ROUNDS: usize = 7;

fn main() {
    overhead();
    trace();
}

/// The least time of some rounds, for one of `N`.
fn nanos(mut round: impl FnMut()) -> f64 {
    let times = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        round();
        start.elapsed().as_nanos() as f64 / f64::from(N)
    });
    times.fold(f64::INFINITY, f64::min)
}

fn overhead() {
    let source = MemorySource::new(256, 256, 1, SampleType::U8, (256, 256), vec![7; 256 * 256]).unwrap();
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    let requests = Requests::new(1).unwrap();
    let tile = |n: u32| TileRequest::new(0, 0, 0).encoding(Encoding::Png).range(0.0, 255.0 + f64::from(n));
    (0..N).for_each(|n| drop(dataset.read_tile(&tile(n)).unwrap()));

    let plain = nanos(|| {
        for n in 0..N {
            black_box(dataset.read_tile(&tile(n)).unwrap());
        }
    });
    let at_once = nanos(|| {
        for n in 0..N {
            let asked = requests.request_tile(&dataset, tile(n), 0, Delivery::handle());
            black_box(asked.wait().unwrap());
        }
    });
    // Through the queue and a thread, many under way.
    let arrived = Arc::new((Mutex::new(0), Condvar::new()));
    let queued = nanos(|| {
        *arrived.0.lock().unwrap() = 0;
        for n in 0..N {
            let arrived = Arc::clone(&arrived);
            let callback = move |tile| {
                drop(black_box::<tilekeep::Result<tilekeep::Tile>>(tile));
                let mut count = arrived.0.lock().unwrap();
                *count += 1;
                if *count == N {
                    arrived.1.notify_all();
                }
            };
            requests.request_tile(&dataset, tile(n), 0, Delivery::callback(callback)).detach();
        }
        let mut count = arrived.0.lock().unwrap();
        while *count < N {
            count = arrived.1.wait(count).unwrap();
        }
    });
    // Asked for and taken back before a thread comes to it.
    let slow = MemorySource::new(16, 16, 1, SampleType::U8, (16, 16), vec![7; 256]).unwrap();
    let slow = Dataset::from_source(Throttled::new(slow, Duration::from_secs(60), 0), &OpenOptions::default()).unwrap();
    let holds = requests.request_block(&slow, (0, 0, 0), i32::MAX, Delivery::handle());
    let cancelled = nanos(|| {
        let all: Vec<_> = (0..N)
            .map(|n| {
                let tile = TileRequest::new(0, 0, 0).encoding(Encoding::Png).range(0.0, 1000.0 + f64::from(n));
                requests.request_tile(&dataset, tile, n as i32, Delivery::handle())
            })
            .collect();
        drop(all);
    });
    holds.cancel();
    println!("a cached tile: plain call {plain:.0} ns");
    println!("  through a handle {at_once:.0} ns, {:.0} more", at_once - plain);
    println!("  through queue, thread and callback {queued:.0} ns, {:.0} more", queued - plain);
    println!("a request that is queued among {N} and taken back: {cancelled:.0} ns");
}

/// A raster with its overviews, as a COG has them.
struct Pyramid(SourceInfo);

impl Pyramid {
    fn new(side: u64, tile: u32) -> Self {
        let levels = (0..5).map(|n| Level::new(side >> n, side >> n, tile, tile).unwrap()).collect();
        Self(SourceInfo::new("pyramid", levels, 1, SampleType::U8))
    }
}

impl TileSource for Pyramid {
    fn info(&self) -> &SourceInfo {
        &self.0
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], _context: &mut ReadContext<'_>) -> tilekeep::Result<()> {
        out.iter_mut().zip(0..).for_each(|(out, i)| *out = (i / 11 % 253 + at.col + at.row + at.level) as u8);
        Ok(())
    }
}

/// A viewer of 4 x 3 tiles that pans, zooms in, pans back, jumps and zooms out, over a source of 20 ms a block.
fn trace() {
    for prefetch in [false, true] {
        let tile = 128;
        let source = Throttled::new(Pyramid::new(4096, tile), Duration::from_millis(20), 0);
        let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
        let requests = Requests::new(2).unwrap();
        let mut viewport = requests.viewport(&dataset, 0, |_, _| {});
        if !prefetch {
            viewport.set_prefetch_max(0);
        }
        let (mut blank, mut touched, mut frames) = (0, 0, 0);
        let (mut uncovered, mut complete) = (0, Vec::new());
        for (level, x, y) in steps() {
            let wanted = frame(&dataset, level, x, y, tile);
            let new: Vec<_> = wanted.iter().filter(|request| viewport.tile(request).is_none()).collect();
            touched += new.len();
            let start = Instant::now();
            let mut missing = viewport.want(&wanted, (x, y));
            // The first frame has nothing to be ahead of.
            if frames > 0 {
                blank += missing;
                uncovered += wanted.iter().filter(|r| viewport.best_available(r).is_none()).count();
            }
            // A frame every 100 ms; the next one does not wait for this one.
            while start.elapsed() < Duration::from_millis(100) {
                if missing > 0 && wanted.iter().all(|request| viewport.tile(request).is_some()) {
                    complete.push(start.elapsed().as_secs_f64() * 1e3);
                    missing = 0;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            frames += 1;
        }
        complete.sort_by(f64::total_cmp);
        let part = |p: f64| complete.get((complete.len() as f64 * p) as usize).copied().unwrap_or(f64::NAN);
        drop(viewport);
        let RequestStats { prefetched, prefetch_used, prefetch_wasted, .. } = requests.stats();
        println!(
            "prefetch {prefetch}: {frames} frames, {blank} of {touched} tiles blank at first touch, {uncovered} with nothing \
             to show; {prefetched} loaded ahead, {prefetch_used} used, {prefetch_wasted} wasted; {} blocks; frames that \
             were completed late in {:.0} ms (p50), {:.0} ms (p95)",
            dataset.stats().loads,
            part(0.5),
            part(0.95),
        );
    }
}

/// Level and centre, in pixels of level 0, of each frame.
fn steps() -> Vec<(u32, f64, f64)> {
    let mut steps = Vec::new();
    let pan = |steps: &mut Vec<_>, level, (x, y): (f64, f64), (dx, dy): (f64, f64), n: u32| {
        (0..n).for_each(|i| steps.push((level, x + dx * f64::from(i), y + dy * f64::from(i))));
    };
    pan(&mut steps, 0, (400.0, 400.0), (40.0, 0.0), 40);
    pan(&mut steps, 0, (1960.0, 400.0), (0.0, 40.0), 30);
    pan(&mut steps, 0, (1960.0, 1600.0), (-30.0, 30.0), 20);
    pan(&mut steps, 1, (1390.0, 2170.0), (40.0, 0.0), 20);
    pan(&mut steps, 0, (3400.0, 3000.0), (-40.0, 0.0), 30);
    steps
}

fn frame(dataset: &Dataset, level: u32, x: f64, y: f64, tile: u32) -> Vec<TileRequest> {
    let scale = f64::from(1 << level);
    let grid = dataset.level(level).unwrap();
    let span = |at: f64, n: u32, size: u64| {
        let most = size.div_ceil(u64::from(tile)) as u32;
        let first = (at / scale / f64::from(tile) - f64::from(n) / 2.0).floor().max(0.0) as u32;
        first.min(most)..(first + n + 1).min(most)
    };
    let cols = span(x, 4, grid.width);
    let at = |row: u32| cols.clone().map(move |col| (col, row));
    let places = span(y, 3, grid.height).flat_map(at);
    places.map(|(col, row)| TileRequest::new(level, col, row).size(tile, tile).encoding(Encoding::Png)).collect()
}
