//! Datasets that share the total of the process: a viewer's trace replayed through the public API, hits counted.
//!
//! The total is the process's, so that the tests take turns.

mod common;

use std::sync::{Mutex, MutexGuard, PoisonError};

use common::traces::{self, Access, Counted};
use tilekeep::{
    BlockId, CacheBudget, CacheClass, CachePolicy, CacheUse, Dataset, TrimLevel, Window, WindowRequest, process_stats,
    set_total_max, total_max, trim,
};

const BLOCK: u64 = 65_536 + Dataset::BLOCK_OVERHEAD;
/// The neighbourhoods of the four images, in blocks.
const NEIGHBOURHOODS: u64 = 4 * 365;

/// Sets the total for one test at a time.
fn total(blocks: u64) -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    set_total_max(blocks * BLOCK);
    turn
}

fn pooled(floor_blocks: u64) -> CacheBudget {
    CacheBudget::Pooled {
        floor_bytes: Some(floor_blocks * BLOCK),
        ceiling_bytes: u64::MAX,
        class: CacheClass::Interactive,
    }
}

#[derive(Debug)]
struct Viewed {
    hits: u64,
    /// The share of reads that hit in the first view after another image was looked at.
    switch: f64,
}

/// Replays the viewer over four datasets, beside a `scan` of so many blocks over and over, if there is one: eight of its
/// blocks for every one of the viewer's.
fn view(trace: &[Access], budget: CacheBudget, scan: Option<(CacheBudget, u32)>) -> Viewed {
    let images: Vec<Counted> = (0..4).map(|_| Counted::new(256, budget, CachePolicy::Adaptive)).collect();
    let scan = scan.map(|(budget, n)| (Counted::new(256, budget, CachePolicy::Adaptive), n));
    let (mut hits, mut first, mut first_hits, mut scanned) = (0, 0, 0, 0);
    for access in trace {
        let hit = images[access.dataset as usize].reads(access.at);
        hits += u64::from(hit);
        first += u32::from(access.is_first);
        first_hits += u32::from(access.is_first && hit);
        if let Some((scan, n)) = &scan {
            for _ in 0..8 {
                let number = scanned % n;
                scan.reads(BlockId::new(number >> 16, number & 255, number >> 8 & 255));
                scanned += 1;
            }
        }
        assert!(process_stats_are_within_the_total(scanned));
    }
    Viewed { hits, switch: f64::from(first_hits) / f64::from(first) }
}

/// Looked at every now and then: it is a sum over all datasets.
fn process_stats_are_within_the_total(now: u32) -> bool {
    now % 1024 != 8 || process_stats().used_bytes <= total_max()
}

#[test]
fn a_pool_with_floors_hits_like_one_lru_and_saves_the_view_that_one_comes_back_to() {
    let Some(trace) = traces::viewer() else { return };
    for (part, least_switch) in [(4, 0.85), (2, 0.97), (1, 0.97)] {
        let blocks = NEIGHBOURHOODS / part;
        let _turn = total(blocks);
        let one_lru = traces::lru(&trace, blocks * 65_536);
        let viewed = view(&trace, pooled(blocks / 8), None);
        println!("1/{part} of the neighbourhoods: {viewed:?}, one LRU {one_lru}");
        assert!(viewed.hits as f64 >= 0.98 * one_lru as f64, "{viewed:?}, one LRU {one_lru}");
        assert!(viewed.switch >= least_switch, "{viewed:?}");
    }
}

#[test]
fn with_budgets_of_their_own_the_view_that_one_comes_back_to_is_there() {
    let Some(trace) = traces::viewer() else { return };
    for part in [4, 2, 1] {
        let blocks = NEIGHBOURHOODS / part;
        let _turn = total(blocks);
        let viewed = view(&trace, CacheBudget::Own(blocks / 4 * BLOCK), None);
        println!("1/{part} of the neighbourhoods, own budgets: {viewed:?}");
        assert!(viewed.switch >= 0.97, "{viewed:?}");
    }
}

#[test]
fn a_scan_of_another_dataset_leaves_the_viewer_its_hits() {
    let Some(trace) = traces::viewer() else { return };
    let part = &trace[..30_000];
    for n in [NEIGHBOURHOODS / 4, NEIGHBOURHOODS / 2] {
        let _turn = total(n);
        let alone = view(part, CacheBudget::default(), None).hits;
        for (name, budget, n_blocks, least) in [
            ("one pass", CacheBudget::default(), u32::MAX, 0.90),
            ("one pass as a batch", CacheBudget::BATCH, u32::MAX, 0.95),
            ("passes as a batch", CacheBudget::BATCH, 4000, 0.95),
        ] {
            let beside = view(part, CacheBudget::default(), Some((budget, n_blocks))).hits;
            println!("{n} blocks, beside {name}: {beside} hits, alone {alone}");
            assert!(beside as f64 >= least * alone as f64, "{n} blocks, beside {name}: {beside} hits, alone {alone}");
        }
    }
}

#[test]
fn a_window_is_promised_to_the_dataset_that_read_it() {
    let _turn = total(400);
    let (image, other) = (Counted::new(256, CacheBudget::default(), CachePolicy::Lru), || {
        Counted::new(256, CacheBudget::default(), CachePolicy::Lru)
    });
    let view = WindowRequest::new(0, Window::new(0, 0, 10 * 256, 8 * 256));
    let mut pixels = vec![0; image.dataset.window_bytes(&view).unwrap()];
    image.dataset.read_window(&view, &mut pixels).unwrap();
    assert_eq!(image.loads(), 80);
    let others: Vec<Counted> = (0..2).map(|_| other()).collect();
    (0..2000).for_each(|i| assert!(!others[i as usize % 2].reads(traces::numbered(i))));
    image.dataset.read_window(&view, &mut pixels).unwrap();
    assert_eq!((image.loads(), image.dataset.stats().redundant_loads), (80, 0), "all of it was still there");
    assert!(process_stats().used_bytes <= total_max());
}

#[test]
fn a_smaller_total_and_trim_give_memory_back_at_once() {
    let _turn = total(100);
    let images: Vec<Counted> = (0..3).map(|_| Counted::new(256, pooled(10), CachePolicy::Lru)).collect();
    for image in &images {
        (0..50).for_each(|i| assert!(!image.reads(traces::numbered(i))));
    }
    let held = || images.iter().map(|image| image.dataset.stats().entries).sum::<u64>();
    assert_eq!(held(), 100);
    set_total_max(60 * BLOCK);
    assert_eq!(held(), 60);
    let lock = images[0].dataset.lock_block(traces::numbered(49)).unwrap();
    trim(TrimLevel::Half);
    assert!((30..=33).contains(&held()), "{}", held());
    trim(TrimLevel::All);
    assert_eq!((held(), process_stats().free_bytes), (1, 0));
    assert_eq!(lock.bytes().len(), 65_536);
    drop(lock);
    assert!(images[0].reads(traces::numbered(49)));
}

#[test]
fn what_the_total_has_no_room_for_is_read_uncached_and_a_lock_is_refused() {
    let _turn = total(10);
    let (image, other) =
        (Counted::new(256, pooled(0), CachePolicy::Lru), Counted::new(256, pooled(0), CachePolicy::Lru));
    let locks: Vec<_> = (0..10).map(|i| image.dataset.lock_block(traces::numbered(i)).unwrap()).collect();
    let refused = other.dataset.lock_block(traces::numbered(0)).unwrap_err();
    assert_eq!(refused.kind(), tilekeep::ErrorKind::LimitExceeded, "{refused}");
    assert!(!other.reads(traces::numbered(0)) && !other.reads(traces::numbered(0)));
    assert_eq!((other.dataset.stats().uncached, other.dataset.stats().redundant_loads), (2, 1));
    drop(locks);
    assert!(!other.reads(traces::numbered(0)) && other.reads(traces::numbered(0)));
    // Who only passes through takes nothing from anybody.
    assert!(!other.reads_with(traces::numbered(1), CacheUse::NoCache));
    assert_eq!(image.dataset.stats().entries + other.dataset.stats().entries, 10);
}

#[test]
fn sums_over_all_datasets_count_those_that_are_closed() {
    let _turn = total(100);
    let before = process_stats();
    let image = Counted::new(256, pooled(10), CachePolicy::Lru);
    (0..20).for_each(|i| assert!(!image.reads(traces::numbered(i % 10)) || i >= 10));
    let during = process_stats();
    assert_eq!((during.datasets.hits - before.datasets.hits, during.datasets.loads - before.datasets.loads), (10, 10));
    assert_eq!((during.used_bytes - before.used_bytes, during.n_datasets - before.n_datasets), (10 * BLOCK, 1));
    assert!(during.datasets.load_time > before.datasets.load_time && during.held_bytes() >= 10 * 65_536);
    let lent = image.dataset.block(traces::numbered(3)).unwrap().into_shared();
    drop(image);
    let closed = process_stats();
    assert_eq!(closed.n_datasets - before.n_datasets, 1, "a lent block holds its cache");
    assert_eq!(closed.used_bytes - before.used_bytes, BLOCK, "and no other block");
    assert_eq!(closed.datasets.evictions, during.datasets.evictions, "to close is not to evict");
    // Nothing is promised to it any more.
    let other = Counted::new(256, pooled(0), CachePolicy::Lru);
    (0..200).for_each(|i| assert!(!other.reads(traces::numbered(i % 100)) || i >= 100));
    let more = other.dataset.stats();
    assert_eq!(more.entries, 99);
    drop((other, lent));
    let after = process_stats();
    assert_eq!((after.n_datasets, after.used_bytes), (before.n_datasets, before.used_bytes));
    assert_eq!(after.datasets.loads - before.datasets.loads, 10 + more.loads);
}
