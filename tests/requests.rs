//! What is asked for and taken back: in which order it is served, how it is delivered, and what is left when nobody wants it.

use std::collections::HashSet;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use tilekeep::{
    Arrival, AssociatedImage, BlockId, Dataset, Delivery, Encoding, ErrorKind, Limits, MemorySource, OpenOptions,
    ReadAt, ReadContext, Requests, Result, SampleType, SourceInfo, Throttled, TileRequest, TileSource, Window,
    WindowRequest, open_reader,
};

/// Pixels across and down a block.
const BLOCK: u32 = 16;

/// A source that lets reads through one by one, or all of them.
#[derive(Clone)]
struct Gate(Arc<(Mutex<Passed>, Condvar, MemorySource)>);

#[derive(Default)]
struct Passed {
    /// What is being or was read, in order.
    begun: Vec<BlockId>,
    finished: usize,
    allowed: usize,
}

impl Gate {
    fn new(cols: u32, rows: u32) -> Self {
        let (width, height) = (cols * BLOCK, rows * BLOCK);
        let pixels = (0..width * height).map(|i| (i / 7 % 251) as u8).collect();
        let source = MemorySource::new(width, height, 1, SampleType::U8, (BLOCK, BLOCK), pixels).unwrap();
        Self(Arc::new((Mutex::default(), Condvar::new(), source)))
    }

    fn dataset(&self) -> Dataset {
        Dataset::from_source(self.clone(), &OpenOptions::default()).unwrap()
    }

    fn allow(&self, n: usize) {
        let mut passed = self.0.0.lock().unwrap();
        passed.allowed = passed.allowed.saturating_add(n);
        drop(passed);
        self.0.1.notify_all();
    }

    fn open(&self) {
        self.allow(usize::MAX);
    }

    fn begun(&self) -> Vec<BlockId> {
        self.0.0.lock().unwrap().begun.clone()
    }

    fn finished(&self) -> usize {
        self.0.0.lock().unwrap().finished
    }

    /// Returns when so many reads stand before the gate or have passed it.
    fn wait_for(&self, n: usize) {
        let mut passed = self.0.0.lock().unwrap();
        while passed.begun.len() < n {
            passed = self.0.1.wait(passed).unwrap();
        }
    }
}

impl TileSource for Gate {
    fn info(&self) -> &SourceInfo {
        self.0.2.info()
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], context: &mut ReadContext<'_>) -> Result<()> {
        let (passed, changed, source) = &*self.0;
        let mut state = passed.lock().unwrap();
        state.begun.push(at);
        changed.notify_all();
        while state.allowed == 0 {
            state = changed.wait(state).unwrap();
        }
        state.allowed -= usize::from(state.allowed < usize::MAX);
        drop(state);
        context.check()?;
        source.read_block(at, out, context)?;
        passed.lock().unwrap().finished += 1;
        Ok(())
    }
}

/// The tile that is one block.
fn tile(level: u32, col: u32, row: u32) -> TileRequest {
    TileRequest::new(level, col, row).size(BLOCK, BLOCK).encoding(Encoding::Png)
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// The cache of rendered tiles is one for all tests: those to which it matters what it holds run one after another.
fn tiles() -> MutexGuard<'static, ()> {
    static TILES: Mutex<()> = Mutex::new(());
    TILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks until something is so that another thread will make so.
fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

#[test]
fn of_a_thousand_of_which_ten_are_left_no_more_than_ten_are_read_in_their_order() {
    for n_threads in [1, 2, 4] {
        let gate = Gate::new(40, 25);
        let dataset = gate.dataset();
        let requests = Requests::new(n_threads).unwrap();
        let (sender, arrived) = channel();
        let all: Vec<_> = (0..1000u32)
            .map(|i| {
                let delivery = Delivery::channel(sender.clone(), i);
                // Greater numbers are more urgent, in a jumble.
                requests.request_tile(&dataset, tile(0, i % 40, i / 40), (i * 7 % 1000) as i32, delivery)
            })
            .collect();
        gate.wait_for(n_threads);
        let is_kept = |i: &u32| i % 100 == 50;
        let begun = gate.begun();
        let mut kept = Vec::new();
        for (i, request) in (0..).zip(all) {
            let at_gate = begun.iter().any(|at| (at.col, at.row) == (i % 40, i / 40));
            if is_kept(&i) && !at_gate {
                kept.push((i, request));
            } else {
                assert!(request.cancel());
                assert!(!request.cancel());
                assert_eq!(kind(request.wait()), Some(ErrorKind::Cancelled));
            }
        }
        assert_eq!(gate.finished(), 0);
        let n_kept = kept.len();
        assert!(n_kept + n_threads >= 10);
        gate.open();
        kept.iter().for_each(|(_, request)| assert!(request.wait().is_ok()));
        until(|| requests.stats().running == 0);
        let reads = gate.begun().len();
        assert!(reads <= n_kept + n_threads, "{reads} blocks were read for {n_kept} with {n_threads} threads");
        assert_eq!(dataset.stats().failed_loads, 0);

        let arrivals: Vec<_> = arrived.iter().take(1000).collect();
        assert!(arrived.try_recv().is_err());
        assert_eq!(arrivals.iter().map(|(i, _)| *i).collect::<HashSet<_>>().len(), 1000);
        let order: Vec<_> = arrivals.iter().filter(|(_, tile)| tile.is_ok()).map(|(i, _)| *i).collect();
        assert_eq!(order.len(), n_kept);
        if n_threads == 1 {
            assert!(order.is_sorted_by_key(|i| std::cmp::Reverse(i * 7 % 1000)), "{order:?}");
        }
        let stats = requests.stats();
        assert_eq!((stats.queued, stats.running, stats.answered, stats.failed), (0, 0, n_kept as u64, 0));
        assert_eq!(stats.cancelled, 1000 - n_kept as u64, "{stats:?}");
        assert_eq!(stats.dropped + stats.stopped, 1000 - n_kept as u64);
        assert!(stats.stopped <= n_threads as u64);
    }
}

#[test]
fn one_of_two_who_wait_for_a_tile_cancels_and_the_other_is_served() {
    let gate = Gate::new(4, 4);
    let (dataset, requests) = (gate.dataset(), Requests::new(2).unwrap());
    let [stays, goes] = [0, 5].map(|n| requests.request_tile(&dataset, tile(0, 1, 1), n, Delivery::handle()));
    gate.wait_for(1);
    assert!(goes.cancel());
    assert_eq!(kind(goes.wait()), Some(ErrorKind::Cancelled));
    assert!(stays.poll().is_none());
    gate.open();
    assert!(stays.wait().is_ok());
    assert_eq!((dataset.stats().loads, requests.stats().joined), (1, 1));
    assert!(!stays.cancel());
}

#[test]
fn when_both_cancel_the_slot_is_absent_and_the_next_request_loads_it() {
    let gate = Gate::new(4, 4);
    let (dataset, requests) = (gate.dataset(), Requests::new(1).unwrap());
    let both = [0, 5].map(|n| requests.request_tile(&dataset, tile(0, 1, 1), n, Delivery::handle()));
    gate.wait_for(1);
    assert!(both.iter().all(|request| request.cancel()));
    gate.allow(1);
    until(|| requests.stats().running == 0);
    let stats = dataset.stats();
    assert_eq!((gate.finished(), stats.entries, stats.failed_loads, stats.loading_bytes), (0, 0, 0, 0));
    gate.open();
    assert!(requests.request_tile(&dataset, tile(0, 1, 1), 0, Delivery::handle()).wait().is_ok());
    assert_eq!((gate.begun().len(), gate.finished(), dataset.stats().entries), (2, 1, 1));
}

#[test]
fn a_plain_read_that_waits_for_a_request_keeps_it_going() {
    let _tiles = tiles();
    let gate = Gate::new(4, 4);
    let (dataset, requests) = (gate.dataset(), Requests::new(1).unwrap());
    // By the block, and by the tile.
    for (col, coalesced) in [(0, 1), (1, 1)] {
        let asked = requests.request_tile(&dataset, tile(0, col, 0), 0, Delivery::handle());
        gate.wait_for(col as usize + 1);
        let before = (dataset.stats().coalesced, tilekeep::tile_cache_stats().coalesced);
        let reader = {
            let dataset = dataset.clone();
            thread::spawn(move || match col {
                0 => dataset.block((0, 0, 0)).map(|block| u32::from(block.bytes()[0])),
                _ => dataset.read_tile(&tile(0, col, 0)).map(|tile| tile.width),
            })
        };
        until(|| match col {
            0 => dataset.stats().coalesced - before.0 == coalesced,
            _ => tilekeep::tile_cache_stats().coalesced - before.1 >= coalesced,
        });
        assert!(asked.cancel());
        gate.allow(1);
        assert!(reader.join().unwrap().is_ok());
        assert_eq!((gate.begun().len(), gate.finished()), (col as usize + 1, col as usize + 1));
    }
}

#[test]
fn running_work_stops_between_blocks() {
    let gate = Gate::new(8, 8);
    let (dataset, requests) = (gate.dataset(), Requests::new(1).unwrap());
    // A window of all blocks, one that is averaged, a tile of several, and a level that is made.
    let window = || WindowRequest::new(0, Window::new(0, 0, 128, 128));
    let average = || window().size(100, 100).resampling(tilekeep::Resampling::Average);
    for n in 0..3 {
        let (mut tiles, mut windows) = (Vec::new(), Vec::new());
        match n {
            0 => windows.push(requests.request_window(&dataset, window(), 0, Delivery::handle())),
            1 => windows.push(requests.request_window(&dataset, average(), 0, Delivery::handle())),
            _ => tiles.push(requests.request_tile(&dataset, TileRequest::new(0, 0, 0), 0, Delivery::handle())),
        }
        gate.wait_for(2 * n + 1);
        gate.allow(1);
        gate.wait_for(2 * n + 2);
        windows.iter().for_each(|request| assert!(request.cancel()));
        tiles.iter().for_each(|request| assert!(request.cancel()));
        gate.allow(1);
        until(|| requests.stats().running == 0);
        assert_eq!((gate.begun().len(), gate.finished()), (2 * n + 2, n + 1));
        dataset.evict_all();
    }
}

#[test]
fn priorities_change_while_queued_and_are_inherited() {
    let gate = Gate::new(8, 1);
    let (dataset, requests) = (gate.dataset(), Requests::new(1).unwrap());
    let first = requests.request_tile(&dataset, tile(0, 0, 0), 0, Delivery::handle());
    gate.wait_for(1);
    let ask = |col, priority| requests.request_tile(&dataset, tile(0, col, 0), priority, Delivery::handle());
    let all = [ask(1, 1), ask(2, 1), ask(3, 3), ask(4, 4), ask(5, 5)];
    // 2 goes first for the sake of another one who wants it, 5 last, and 4 as 3 does, which is older.
    let other = ask(2, 9);
    all[4].set_priority(-1);
    all[3].set_priority(3);
    gate.open();
    all.iter().for_each(|request| assert!(request.wait().is_ok()));
    assert!(first.wait().is_ok() && other.wait().is_ok());
    assert_eq!(gate.begun().iter().map(|at| at.col).collect::<Vec<_>>(), [0, 2, 3, 4, 1, 5]);

    // What one asked for urgently goes back to its place when he takes it back.
    let (gate, requests) = (Gate::new(8, 1), Requests::new(1).unwrap());
    let dataset = gate.dataset();
    let ask = |col, priority| requests.request_tile(&dataset, tile(0, col, 0), priority, Delivery::handle());
    let _first = ask(0, 0);
    gate.wait_for(1);
    let all = [ask(1, 1), ask(2, 2)];
    drop(ask(1, 9));
    gate.open();
    all.iter().for_each(|request| assert!(request.wait().is_ok()));
    assert_eq!(gate.begun().iter().map(|at| at.col).collect::<Vec<_>>(), [0, 2, 1]);
}

#[test]
fn blocks_and_windows_are_what_a_plain_call_gives() {
    let gate = Gate::new(4, 3);
    gate.open();
    let (dataset, requests) = (gate.dataset(), Requests::new(2).unwrap());
    let block = requests.request_block(&dataset, (0, 2, 1), 0, Delivery::handle()).wait().unwrap();
    assert_eq!(block.bytes(), dataset.block((0, 2, 1)).unwrap().bytes());
    let window = WindowRequest::new(0, Window::new(3, 5, 40, 30)).size(20, 15);
    let bytes = requests.request_window(&dataset, window.clone(), 0, Delivery::handle()).wait().unwrap();
    let mut plain = vec![0; dataset.window_bytes(&window).unwrap()];
    dataset.read_window(&window, &mut plain).unwrap();
    assert_eq!(bytes, plain);
    let outside = requests.request_block(&dataset, (0, 9, 9), 0, Delivery::handle()).wait();
    assert_eq!(kind(outside), Some(ErrorKind::InvalidArgument));
    assert_eq!(requests.stats().failed, 1);
    assert!(Requests::new(0).is_err());
}

#[test]
fn requests_are_futures_of_any_executor() {
    struct Woken(thread::Thread);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
        let waker = Waker::from(Arc::new(Woken(thread::current())));
        loop {
            match std::pin::Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(output) => return output,
                Poll::Pending => thread::park(),
            }
        }
    }
    let gate = Gate::new(4, 4);
    let (dataset, requests) = (gate.dataset(), Requests::new(1).unwrap());
    let tile_0 = requests.request_tile(&dataset, tile(0, 0, 0), 0, Delivery::handle());
    let opens = {
        let gate = gate.clone();
        thread::spawn(move || {
            gate.wait_for(1);
            gate.open();
        })
    };
    assert!(block_on(tile_0).is_ok());
    opens.join().unwrap();
    let cancelled = requests.request_tile(&dataset, tile(0, 1, 0), 0, Delivery::handle());
    cancelled.cancel();
    assert!(block_on(cancelled).is_err() || gate.finished() > 1);
}

#[test]
fn callbacks_may_ask_cancel_and_fail() {
    let gate = Gate::new(8, 1);
    let dataset = gate.dataset();
    let requests = Arc::new(Requests::new(1).unwrap());
    let (sender, arrived) = channel();
    let victim = requests.request_tile(&dataset, tile(0, 3, 0), -1, Delivery::channel(sender.clone(), "victim"));
    let first = {
        let (again, dataset, sender) = (Arc::clone(&requests), dataset.clone(), sender.clone());
        Delivery::callback(move |answer| {
            sender.send(("first", answer)).unwrap();
            assert!(victim.cancel());
            let next = again.request_tile(&dataset, tile(0, 2, 0), 0, Delivery::channel(sender.clone(), "next"));
            let waited = kind(next.wait());
            next.detach();
            assert_eq!(waited, Some(ErrorKind::InvalidArgument));
            drop(again);
            panic!("a callback that fails");
        })
    };
    // The victim may be at the gate already; then its place in the order is all that differs.
    requests.request_tile(&dataset, tile(0, 1, 0), 1, first).detach();
    gate.open();
    let order: Vec<_> = arrived.iter().take(3).map(|(name, answer)| (name, answer.is_ok())).collect();
    let place = |name| order.iter().position(|(other, _)| *other == name).unwrap();
    assert!(place("first") < place("next"), "{order:?}");
    assert!(requests.request_tile(&dataset, tile(0, 4, 0), 0, Delivery::handle()).wait().is_ok());
}

#[test]
fn dropping_a_request_takes_it_back_and_dropping_the_threads_takes_all_back() {
    let gate = Gate::new(8, 1);
    let (dataset, requests) = (gate.dataset(), Requests::new(1).unwrap());
    let (sender, arrived) = channel();
    let running = requests.request_tile(&dataset, tile(0, 0, 0), 0, Delivery::channel(sender.clone(), 0));
    gate.wait_for(1);
    drop(requests.request_tile(&dataset, tile(0, 1, 0), 0, Delivery::channel(sender.clone(), 1)));
    assert_eq!(arrived.recv().map(|(i, answer)| (i, kind(answer))), Ok((1, Some(ErrorKind::Cancelled))));
    requests.request_tile(&dataset, tile(0, 2, 0), 0, Delivery::channel(sender.clone(), 2)).detach();
    let opens = {
        let gate = gate.clone();
        thread::spawn(move || gate.open())
    };
    let viewport = requests.viewport(&dataset, 0, |_, _| {});
    drop(requests);
    opens.join().unwrap();
    let rest: HashSet<_> = arrived.try_iter().map(|(i, _)| i).collect();
    assert_eq!(rest, HashSet::from([0, 2]));
    assert!(running.poll().is_some());
    // What is left of it asks nobody.
    let mut viewport = viewport;
    assert_eq!(viewport.want(&[tile(0, 5, 0)], (0.0, 0.0)), 1);
}

#[test]
fn a_throttled_source_is_taken_back_while_it_sleeps() {
    let source = MemorySource::new(64, 64, 1, SampleType::U8, (16, 16), vec![1; 64 * 64]).unwrap();
    let source = Arc::new(Throttled::new(source, Duration::from_secs(3600), 0));
    let dataset = Dataset::from_source(Arc::clone(&source), &OpenOptions::default()).unwrap();
    let requests = Requests::new(1).unwrap();
    let slow = requests.request_block(&dataset, (0, 1, 1), 0, Delivery::handle());
    until(|| source.reads() == 1);
    assert!(slow.cancel());
    until(|| requests.stats().running == 0);
    assert_eq!((source.finished(), dataset.stats().entries), (0, 0));
}

/// A dataset of 64 x 64 blocks in 3 levels, where all that is read is recorded.
fn pyramid() -> (Gate, Dataset) {
    let gate = Gate::new(64, 64);
    let dataset = gate.dataset();
    assert_eq!(dataset.levels().len(), 3);
    (gate, dataset)
}

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
    let idle = |requests: &Requests| {
        until(|| {
            let stats = requests.stats();
            stats.queued == 0 && stats.running == 0
        });
    };
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
fn a_progressive_request_brings_a_preview_and_then_the_tile() {
    let _tiles = tiles();
    let (gate, dataset) = pyramid();
    let requests = Requests::new(2).unwrap();
    let like = |level, col, row| tile(level, col, row).size(64, 64);
    gate.open();
    dataset.read_tile(&like(2, 0, 0)).unwrap();
    dataset.evict_all();
    let (sender, arrived) = channel();
    let delivery = |sender: &std::sync::mpsc::Sender<_>| {
        let sender = sender.clone();
        Delivery::progressive(move |arrival| sender.send(arrival).unwrap())
    };
    let request = requests.request_tile(&dataset, like(0, 3, 3), 0, delivery(&sender));
    let all: Vec<_> = [arrived.recv().unwrap()].into_iter().collect();
    assert!(request.wait().is_ok());
    match &all[0] {
        Arrival::Preview(preview) => {
            assert_eq!((preview.covered, preview.parts[0].level), (1.0, Some(2)));
            assert!(matches!(arrived.recv().unwrap(), Arrival::Final(Ok(_))));
        }
        // The tile may have been faster.
        Arrival::Final(tile) => assert!(tile.is_ok()),
        other => panic!("{other:?}"),
    }
    // Nothing coarser is at hand for the coarsest, and a preview of what is there is not needed.
    requests.request_tile(&dataset, like(2, 1, 1), 0, delivery(&sender)).detach();
    assert!(matches!(arrived.recv().unwrap(), Arrival::Final(Ok(_))));
    drop(sender);
    drop(requests);
    assert!(arrived.recv().is_err());
}

#[test]
fn a_preview_comes_first_where_one_thread_does_both() {
    let _tiles = tiles();
    static N: AtomicUsize = AtomicUsize::new(0);
    let (gate, dataset) = pyramid();
    gate.open();
    let requests = Requests::new(1).unwrap();
    let (sender, arrived) = channel();
    let callback = move |arrival| {
        N.fetch_add(1, Ordering::Relaxed);
        sender.send(arrival).unwrap();
    };
    let request = tile(0, 3, 3).size(64, 64);
    let asked = requests.request_tile(&dataset, request, 0, Delivery::progressive(callback));
    // Nothing is in memory: the coarsest level is made, which is cheap here.
    assert!(matches!(arrived.recv().unwrap(), Arrival::Preview(preview) if preview.parts[0].level == Some(2)));
    assert!(matches!(arrived.recv().unwrap(), Arrival::Final(Ok(_))));
    assert!(asked.wait().is_ok());
    drop(requests);
    assert_eq!(N.load(Ordering::Relaxed), 2);
}

#[test]
fn the_next_level_of_a_zoom_is_loaded_ahead() {
    let (gate, dataset) = pyramid();
    gate.open();
    let requests = Requests::new(2).unwrap();
    let mut viewport = requests.viewport(&dataset, 0, |_, _| {});
    let idle = || {
        until(|| {
            let stats = requests.stats();
            stats.queued == 0 && stats.running == 0
        });
    };
    // The same 128 x 128 pixels of the screen around one place, ever finer.
    let frame = |level: u32| -> Vec<TileRequest> {
        let first = 8 >> level;
        (0..4).map(|i| tile(level, first + i % 2, first + i / 2).size(64, 64)).collect()
    };
    let centre = (576.0, 576.0);
    assert_eq!(viewport.want(&frame(2), centre), 4);
    idle();
    viewport.want(&frame(1), centre);
    idle();
    assert_eq!(viewport.want(&frame(0), centre), 0);
    assert_eq!(requests.stats().prefetch_used, 4);
}

/// A raster with a thumbnail of half its size, all of it of one value.
struct WithThumbnail {
    source: MemorySource,
    value: u8,
}

impl TileSource for WithThumbnail {
    fn info(&self) -> &SourceInfo {
        self.source.info()
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], context: &mut ReadContext<'_>) -> Result<()> {
        self.source.read_block(at, out, context)
    }

    fn open_associated(&self, _name: &str) -> Result<Box<dyn TileSource>> {
        let pixels = vec![self.value; 100 * 50];
        Ok(Box::new(MemorySource::new(100, 50, 1, SampleType::U8, (100, 50), pixels)?))
    }
}

#[test]
fn a_thumbnail_in_the_file_is_a_preview() {
    let mut source = MemorySource::new(200, 100, 1, SampleType::U8, (200, 100), vec![1; 200 * 100]).unwrap();
    source.info_mut().associated = vec![AssociatedImage { name: "thumbnail".to_owned(), width: 100, height: 50 }];
    let dataset = Dataset::from_source(WithThumbnail { source, value: 99 }, &OpenOptions::default()).unwrap();
    let requests = Requests::new(1).unwrap();
    let (sender, arrived) = channel();
    let delivery = || {
        let sender = sender.clone();
        Delivery::progressive(move |arrival| sender.send(arrival).unwrap())
    };
    let raw = TileRequest::new(0, 1, 0).size(64, 64);
    requests.request_tile(&dataset, raw.clone(), 0, delivery()).detach();
    let Arrival::Preview(preview) = arrived.recv().unwrap() else { panic!("no preview") };
    let part = &preview.parts[0];
    assert_eq!((part.level, preview.covered, part.tile.bytes[0]), (None, 1.0, 99));
    assert_eq!((part.from, part.to), ([32.0, 0.0, 32.0, 32.0], [0.0, 0.0, 64.0, 64.0]));
    assert!(matches!(arrived.recv().unwrap(), Arrival::Final(Ok(tile)) if tile.bytes[0] == 1));
    // A tile that looks different has none.
    requests.request_tile(&dataset, raw.range(0.0, 10.0), 0, delivery()).detach();
    assert!(matches!(arrived.recv().unwrap(), Arrival::Final(Ok(_))));
}

/// Bytes that lets reads through as a [`Gate`] does.
struct GatedBytes {
    bytes: Vec<u8>,
    /// Reads that were begun, and whether they may go on.
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl ReadAt for GatedBytes {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.changed.notify_all();
        while !state.1 {
            state = self.changed.wait(state).unwrap();
        }
        drop(state);
        self.bytes.read_at(offset, out)
    }
}

#[test]
fn a_stream_that_is_taken_back_is_not_read_to_its_end() {
    // Noise, so that the file is as long as its pixels.
    let (side, mut seed) = (1500_u32, 1_u64);
    let noise: Vec<u8> = (0..side * side)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        })
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&noise).unwrap();
    let reader = Arc::new(GatedBytes { bytes, state: Mutex::new((0, true)), changed: Condvar::new() });
    let source = open_reader(Arc::<GatedBytes>::clone(&reader), Limits::default()).unwrap();
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    let requests = Requests::new(1).unwrap();
    *reader.state.lock().unwrap() = (0, false);
    let last = dataset.levels()[0].rows() - 1;
    let asked = requests.request_block(&dataset, (0, 0, last), 0, Delivery::handle());
    let state = reader.state.lock().unwrap();
    drop(reader.changed.wait_while(state, |state| state.0 == 0).unwrap());
    assert!(asked.cancel());
    reader.state.lock().unwrap().1 = true;
    reader.changed.notify_all();
    until(|| requests.stats().running == 0);
    // The file has more than thirty times what is read at once.
    let reads = reader.state.lock().unwrap().0;
    assert!(reads <= 2, "{reads}");
    let stats = dataset.stats();
    assert_eq!((stats.entries, stats.failed_loads, stats.loading_bytes), (0, 0, 0));
    let block = requests.request_block(&dataset, (0, 0, last), 0, Delivery::handle()).wait().unwrap();
    assert_eq!(block.bytes()[..100], noise[block_start(&dataset, last)..][..100]);
}

fn block_start(dataset: &Dataset, row: u32) -> usize {
    let level = &dataset.levels()[0];
    row as usize * level.block_height as usize * level.width as usize
}
