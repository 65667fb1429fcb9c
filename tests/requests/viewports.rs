//! Frames of a viewer, what can be shown at once, and what is loaded ahead.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use tilekeep::{
    BlockId, Dataset, Delivery, ErrorKind, Level, OpenOptions, ReadContext, Requests, Result, SampleType, SourceInfo,
    TileRequest, TileSource, Window,
};

use super::{Gate, idle, linger, pyramid, tile, tiles, until};

#[test]
fn a_viewport_is_loaded_coarse_before_fine_and_from_its_centre_outwards() {
    let _tiles = tiles();
    let (gate, dataset) = pyramid();
    let requests = Requests::new(1).unwrap();
    let (sender, arrived) = channel();
    let sender = Mutex::new(sender);
    let mut viewport = requests.viewport(&dataset, 0, move |request, tile| {
        sender.lock().unwrap().send((request.clone(), tile.is_ok())).unwrap();
    });
    // One that holds the thread.
    let first = requests.request_tile(&dataset, tile(0, 63, 63), 100, Delivery::handle());
    gate.wait_for(1);
    let like = |level, col, row| tile(level, col, row).size(64, 64);
    let fine: Vec<_> = (0..16).map(|i| like(0, i % 4, i / 4)).collect();
    let both: Vec<_> = fine.iter().cloned().chain([like(1, 0, 0), like(1, 1, 1)]).collect();
    assert_eq!(viewport.want(&both, (32.0, 32.0)), 18);
    // The one that is gone was never begun, and one that stays is asked for once.
    let fewer: Vec<_> = both.iter().filter(|r| (r.level, r.col) != (0, 3)).cloned().collect();
    assert_eq!(viewport.want(&fewer, (224.0, 32.0)), 14);
    gate.open();
    let order: Vec<_> = arrived.iter().take(14 + 16).collect();
    assert!(first.wait().is_ok() && order.iter().all(|(_, is_ok)| *is_ok));
    // The coarsest level, of 256 x 256 pixels, came with it.
    let levels: Vec<_> = order.iter().map(|(request, _)| request.level).collect();
    assert!(levels.is_sorted_by(|a, b| a >= b), "{levels:?}");
    assert_eq!(levels.iter().filter(|level| **level == 2).count(), 16);
    let far = |request: &TileRequest| {
        let centre = |n: u32| f64::from(n * 64 + 32);
        ((centre(request.col) - 224.0).powi(2) + (centre(request.row) - 32.0).powi(2)) as u64
    };
    let fine: Vec<_> =
        order.iter().filter(|(request, _)| request.level == 0).map(|(request, _)| far(request)).collect();
    assert!(fine.len() == 12 && fine.is_sorted(), "{fine:?}");
    assert!(order.iter().all(|(request, _)| (request.level, request.col) != (0, 3)));
    assert_eq!(viewport.want(&fewer, (224.0, 32.0)), 0);

    // What is shown is found whatever the cache forgets, and nothing is read for it.
    idle(&requests);
    let reads = gate.begun().len();
    tilekeep::clear_tile_cache();
    dataset.evict_all();
    assert!(fewer.iter().all(|request| viewport.tile(request).is_some()));
    assert!(fewer.iter().all(|request| viewport.best_available(request).is_some_and(|a| a.covered == 1.0)));
    let all = viewport.best_available(&like(0, 15, 15)).unwrap();
    assert_eq!((all.covered, all.parts[0].level, gate.begun().len()), (1.0, Some(2), reads));
    assert!(requests.best_available(&dataset, &like(0, 0, 0)).is_some());
    drop(viewport);
    assert!(requests.best_available(&dataset, &like(0, 0, 0)).is_none());
}

#[test]
fn the_best_available_is_the_tile_its_children_or_its_nearest_ancestors() {
    let _tiles = tiles();
    let (gate, dataset) = pyramid();
    gate.open();
    let requests = Requests::new(1).unwrap();
    let like = |level, col, row| tile(level, col, row).size(64, 64);
    let asked = like(1, 2, 3);
    assert!(requests.best_available(&dataset, &asked).is_none());
    dataset.read_tile(&like(2, 1, 1)).unwrap();
    let found = requests.best_available(&dataset, &asked).unwrap();
    assert_eq!((found.covered, found.parts.len(), found.parts[0].level), (1.0, 1, Some(2)));
    assert_eq!(found.parts[0].from, [0.0, 32.0, 32.0, 32.0]);
    assert_eq!(found.parts[0].to, [0.0, 0.0, 64.0, 64.0]);
    // Sharper ones lie on top; without the ancestor they cover a part.
    dataset.read_tile(&like(0, 5, 7)).unwrap();
    let found = requests.best_available(&dataset, &asked).unwrap();
    assert_eq!((found.covered, found.parts.len(), found.parts[1].level), (1.0, 2, Some(0)));
    assert_eq!(found.parts[1].to, [32.0, 32.0, 32.0, 32.0]);
    assert_eq!(found.parts[1].from, [0.0, 0.0, 64.0, 64.0]);
    let other = like(1, 3, 1);
    dataset.read_tile(&like(0, 6, 3)).unwrap();
    assert_eq!(requests.best_available(&dataset, &other).unwrap().covered, 0.25);
    // All children are better than any ancestor, and the tile itself is best.
    for (col, row) in [(4, 6), (5, 6), (4, 7)] {
        dataset.read_tile(&like(0, col, row)).unwrap();
    }
    let found = requests.best_available(&dataset, &asked).unwrap();
    assert!(found.covered == 1.0 && found.parts.len() == 4 && found.parts.iter().all(|part| part.level == Some(0)));
    dataset.read_tile(&asked).unwrap();
    let found = requests.best_available(&dataset, &asked).unwrap();
    assert_eq!((found.parts.len(), found.parts[0].level, found.covered), (1, Some(1), 1.0));
}

#[test]
fn what_lies_ahead_of_a_pan_is_loaded_and_a_jump_gives_it_up() {
    let gate = Gate::new(256, 64);
    gate.open();
    let (dataset, requests) = (gate.dataset(), Requests::new(2).unwrap());
    let mut viewport = requests.viewport(&dataset, 0, |_, _| {});
    let frame =
        |left: u32| -> Vec<TileRequest> { (0..16).map(|i| tile(0, left + i % 4, 8 + i / 4).size(64, 64)).collect() };
    let centre = |left: u32| (f64::from(left * 64 + 128), 640.0);
    // The first frame and the first step are new; from there on all is there before it is asked for.
    let mut missing = Vec::new();
    for left in 0..10 {
        missing.push(viewport.want(&frame(left), centre(left)));
        idle(&requests);
    }
    assert_eq!(missing, [16, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
    let stats = requests.stats();
    assert_eq!((stats.prefetch_used, stats.prefetch_wasted), (8 * 4, 0));
    assert!(stats.prefetched >= 8 * 4 && stats.prefetched <= 12 * 4, "{stats:?}");
    viewport.want(&frame(40), centre(40));
    let after = requests.stats();
    assert_eq!(after.prefetch_used + after.prefetch_wasted, after.prefetched);
    idle(&requests);
    assert_eq!(requests.stats().prefetched, after.prefetched);
    viewport.set_prefetch_max(0);
    viewport.want(&frame(41), centre(41));
    idle(&requests);
    assert_eq!(requests.stats().prefetched, after.prefetched);
}

#[test]
fn the_next_level_of_a_zoom_is_loaded_ahead() {
    let (gate, dataset) = pyramid();
    gate.open();
    let requests = Requests::new(2).unwrap();
    let mut viewport = requests.viewport(&dataset, 0, |_, _| {});
    // The same 128 x 128 pixels of the screen around one place, ever finer.
    let frame = |level: u32| -> Vec<TileRequest> {
        let first = 8 >> level;
        (0..4).map(|i| tile(level, first + i % 2, first + i / 2).size(64, 64)).collect()
    };
    let centre = (576.0, 576.0);
    assert_eq!(viewport.want(&frame(2), centre), 4);
    idle(&requests);
    viewport.want(&frame(1), centre);
    idle(&requests);
    assert_eq!(viewport.want(&frame(0), centre), 0);
    assert_eq!(requests.stats().prefetch_used, 4);
}

#[test]
fn the_tiles_of_some_levels_under_a_window_are_listed() {
    let (_, dataset) = pyramid();
    let requests = Requests::new(1).unwrap();
    let viewport = requests.viewport(&dataset, 0, |_, _| {});
    let like = tile(0, 0, 0).size(64, 64);
    let places = |levels, x, y, width, height| -> Vec<_> {
        let tiles = viewport.tiles_under(&like, levels, &Window::new(x, y, width, height)).unwrap();
        assert!(tiles.iter().all(|tile| tile.size == (64, 64) && tile.encoding == like.encoding));
        tiles.iter().map(|tile| (tile.level, tile.col, tile.row)).collect()
    };
    assert_eq!(places(0..=0, 0, 0, 64, 64), [(0, 0, 0)]);
    assert_eq!(places(0..=0, 63, 64, 2, 64), [(0, 0, 1), (0, 1, 1)]);
    assert_eq!(places(1..=2, 200, 0, 128, 1), [(1, 1, 0), (1, 2, 0), (2, 0, 0), (2, 1, 0)]);
    // It may reach beyond the raster, of 1024 x 1024 pixels, or lie there.
    assert_eq!(places(0..=0, 1000, 1000, u64::MAX, 500), [(0, 15, 15)]);
    assert_eq!(places(0..=2, 1024, 0, 64, 64), []);
    let kind = |levels, like: &TileRequest| {
        viewport.tiles_under(like, levels, &Window::new(0, 0, 1024, 1024)).unwrap_err().kind()
    };
    assert_eq!(kind(0..=3, &like), ErrorKind::InvalidArgument);
    assert_eq!(kind(0..=2, &tile(0, 0, 0).size(1, 1)), ErrorKind::LimitExceeded);
}

#[test]
fn dropping_a_viewport_waits_for_the_calls_that_run_in_other_threads() {
    let _tiles = tiles();
    // Of one tile, so that there is one call.
    let gate = Gate::new(1, 1);
    let (dataset, requests) = (gate.dataset(), Requests::new(2).unwrap());
    gate.open();
    let (begun, begins) = channel();
    let (goes_on, go_on) = channel::<()>();
    let (is_over, go_on) = (Arc::new(AtomicBool::new(false)), Mutex::new(go_on));
    let mut viewport = requests.viewport(&dataset, 0, {
        let is_over = Arc::clone(&is_over);
        move |_, tile| {
            begun.send(tile.is_ok()).unwrap();
            go_on.lock().unwrap().recv().unwrap();
            is_over.store(true, Ordering::SeqCst);
        }
    });
    let wanted = tile(0, 0, 0);
    viewport.want(std::slice::from_ref(&wanted), (0.0, 0.0));
    assert_eq!(begins.recv(), Ok(true));
    thread::scope(|scope| {
        let drops = scope.spawn(|| {
            drop(viewport);
            is_over.load(Ordering::SeqCst)
        });
        // It lets go of its tiles first.
        until(|| {
            tilekeep::clear_tile_cache();
            requests.best_available(&dataset, &wanted).is_none()
        });
        linger();
        goes_on.send(()).unwrap();
        assert!(drops.join().unwrap());
    });
}

/// A level that is larger than tiles can be counted.
struct Huge(SourceInfo);

impl TileSource for Huge {
    fn info(&self) -> &SourceInfo {
        &self.0
    }

    fn read_block(&self, _at: BlockId, out: &mut [u8], _context: &mut ReadContext<'_>) -> Result<()> {
        out.fill(0);
        Ok(())
    }
}

#[test]
fn more_tiles_than_can_be_counted_are_too_many() {
    let level = Level::new(1 << 33, 16, 1 << 14, 16).unwrap();
    let source = Huge(SourceInfo::new("huge", vec![level], 1, SampleType::U8));
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    let requests = Requests::new(1).unwrap();
    let viewport = requests.viewport(&dataset, 0, |_, _| {});
    let like = tile(0, 0, 0).size(1, 1);
    let all = viewport.tiles_under(&like, 0..=0, &Window::new(0, 0, u64::MAX, u64::MAX));
    assert_eq!(all.unwrap_err().kind(), ErrorKind::LimitExceeded);
    let some = viewport.tiles_under(&like, 0..=0, &Window::new(7, 3, 2, 1)).unwrap();
    assert_eq!(some.iter().map(|tile| (tile.col, tile.row)).collect::<Vec<_>>(), [(7, 3), (8, 3)]);
}
