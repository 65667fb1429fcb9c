//! A simulator: access traces replayed through the public API with a counting source, hits counted to the unit, and
//! printed beside the optimum and beside LRU.
//!
//! ```text
//! cargo test --test traces -- --nocapture
//! ```

mod common;

use std::collections::HashMap;

use common::traces::{Access, Counted, belady, loops, lru, rows, tile_server, viewer};
use tilekeep::{BlockId, CacheBudget, CachePolicy, Dataset};

/// Pixels of a block: few, since only their number counts.
const SMALL: u64 = 64;

/// A cache for so many small blocks.
fn small(blocks: u64, policy: CachePolicy) -> Counted {
    Counted::new(8, CacheBudget::Own(blocks * (SMALL + Dataset::BLOCK_OVERHEAD)), policy)
}

/// Hits of a replay in one cache; every access is a block read and let go.
fn hits(cache: &Counted, trace: &[Access]) -> u64 {
    let hits = trace.iter().filter(|access| cache.reads(in_one(access))).count() as u64;
    let stats = cache.dataset.stats();
    assert_eq!((stats.hits, stats.hits + stats.misses), (hits, trace.len() as u64));
    assert_eq!((stats.misses, stats.uncached, stats.locked_bytes), (cache.loads(), 0, 0));
    hits
}

/// The datasets of a trace as levels of one.
fn in_one(access: &Access) -> BlockId {
    BlockId { level: access.at.level + 4 * access.dataset, ..access.at }
}

fn share(hits: u64, of: u64) -> f64 {
    hits as f64 / of.max(1) as f64
}

/// Prints a line of the table.
fn print(name: &str, capacity: u64, trace: &[Access], results: &[(&str, u64)]) {
    let optimum = results[0].1;
    let results: Vec<String> = results
        .iter()
        .map(|(policy, hits)| {
            format!(
                "{policy} {hits} ({:.1} %, {:.1} % of OPT)",
                100.0 * share(*hits, trace.len() as u64),
                100.0 * share(*hits, optimum)
            )
        })
        .collect();
    println!("{name} in {capacity}, {} accesses: {}", trace.len(), results.join(", "));
}

#[test]
fn lru_hits_what_an_exact_lru_hits() {
    for capacity in [40, 1000, 2000, 3600, 4000] {
        let expected = if capacity == 4000 { 44_000 } else { 0 };
        assert_eq!(hits(&small(capacity, CachePolicy::Lru), &loops(4000, 12)), expected, "loop in {capacity}");
    }
    for capacity in [67, 192, 960] {
        assert_eq!(hits(&small(capacity, CachePolicy::Lru), &rows(64, 60, 4, 8)), 107_520, "rows in {capacity}");
    }
}

#[test]
fn lru_hits_what_an_exact_lru_hits_for_a_viewer() {
    let Some(viewer) = viewer() else { return };
    for (capacity, expected) in [(256, 39_214), (512, 43_403), (1024, 45_612)] {
        assert_eq!(hits(&small(capacity, CachePolicy::Lru), &viewer), expected, "one cache of {capacity}");
        assert_eq!(lru(&viewer, capacity * 65_536), expected, "the simple twin");
    }
    for (capacity, expected) in [(91, 28_999), (182, 44_605), (365, 59_005)] {
        let images: Vec<Counted> = (0..4).map(|_| small(capacity, CachePolicy::Lru)).collect();
        let hits = viewer.iter().filter(|access| images[access.dataset as usize].reads(access.at)).count();
        assert_eq!(hits, expected, "own caches of {capacity}");
    }
}

#[test]
fn adaptive_keeps_a_part_of_loops_and_is_lru_where_that_is_right() {
    let run = |name: &str, trace: &[Access], cases: &[(u64, u64, f64, f64)]| {
        for (capacity, optimum, least_of_optimum, least_of_lru) in cases {
            let best = belady(trace, capacity * 65_536);
            let results = [CachePolicy::Adaptive, CachePolicy::Lru, CachePolicy::Clock, CachePolicy::ClockPro]
                .map(|policy| hits(&small(*capacity, policy), trace));
            let [adaptive, lru, clock, pro] = results;
            print(
                name,
                *capacity,
                trace,
                &[("OPT", best), ("Adaptive", adaptive), ("LRU", lru), ("CLOCK", clock), ("CLOCK-Pro", pro)],
            );
            assert_eq!(best, *optimum);
            assert!(share(adaptive, best) >= *least_of_optimum, "{name} in {capacity}: {adaptive} of {best}");
            assert!(lru == 0 || share(adaptive, lru) >= *least_of_lru, "{name} in {capacity}: {adaptive}, LRU {lru}");
        }
    };
    run(
        "loop",
        &loops(4000, 12),
        &[
            (40, 440, 0.0, 1.0),
            (1000, 11_000, 0.85, 1.0),
            (2000, 22_000, 0.85, 1.0),
            (3600, 39_600, 0.83, 1.0),
            (4000, 44_000, 1.0, 1.0),
        ],
    );
    run("rows", &rows(64, 60, 4, 8), &[(67, 107_532, 0.0, 0.99), (192, 108_032, 0.0, 0.99), (960, 110_400, 0.0, 0.99)]);
    let Some(viewer) = viewer() else { return };
    run("viewer", &viewer, &[(256, 49_663, 0.0, 0.99), (512, 59_959, 0.0, 0.99), (1024, 69_635, 0.0, 0.99)]);
}

/// Blocks of 64 and 128 KiB, here of an eighth. The overhead makes the small ones 2 % more than half of the large ones,
/// which leaves a little less room than the recording's figures had.
#[test]
fn adaptive_serves_a_tile_server_with_blocks_of_two_sizes() {
    const LARGE: u64 = (16 << 10) + Dataset::BLOCK_OVERHEAD;
    let Some(trace) = tile_server() else { return };
    let mut places = HashMap::new();
    let places: Vec<BlockId> = trace
        .iter()
        .map(|access| {
            let number = places.len() as u32;
            let number = *places.entry((access.dataset, access.at)).or_insert(number);
            BlockId::new(u32::from(access.bytes > 65_536), number % 512, number / 512)
        })
        .collect();
    for (capacity, optimum, lru_hits, adaptive_hits) in
        [(4096, 204_169, 70_876, 144_324), (16_384, 288_780, 158_070, 217_066)]
    {
        let run = |policy| {
            let budget = CacheBudget::Own(capacity * LARGE / 2);
            let cache = Counted::of_levels(&[(64, 128), (128, 128)], budget, policy);
            let hits = places.iter().filter(|at| cache.reads(**at)).count() as u64;
            let predicted = cache.dataset.cache_curve(&[capacity * LARGE / 2])[0];
            (hits, predicted)
        };
        let ((adaptive, predicted), (exact, _)) = (run(CachePolicy::Adaptive), run(CachePolicy::Lru));
        assert_eq!(lru(&trace, capacity * 65_536), lru_hits, "the simple twin");
        let results = [("OPT", belady(&trace, capacity * 65_536)), ("Adaptive", adaptive), ("LRU", exact)];
        print("tile server", capacity, &trace, &results);
        assert!(share(results[0].1.abs_diff(optimum), optimum) < 0.01, "{} of {optimum}", results[0].1);
        assert!(share(exact.abs_diff(lru_hits), lru_hits) < 0.02, "{exact} of {lru_hits}");
        assert!(share(adaptive, adaptive_hits) >= 0.98, "{adaptive} of {adaptive_hits}");
        assert!((predicted - share(exact, trace.len() as u64)).abs() < 0.02, "{predicted} {exact}");
    }
}

#[test]
fn the_curve_predicts_what_budgets_reach_and_suggests_one_that_does() {
    let capacities = [100, 192, 500, 1000, 2000, 3600, 4000, 8000];
    let entry = SMALL + Dataset::BLOCK_OVERHEAD;
    let mut traces = vec![("loop", loops(4000, 12)), ("rows", rows(64, 60, 4, 8))];
    traces.extend(viewer().map(|viewer| ("viewer", viewer)));
    for (name, trace) in traces {
        // What is predicted does not depend on the budget that it was watched in.
        let watched = small(700, CachePolicy::Adaptive);
        hits(&watched, &trace);
        let ratio = |capacity| share(hits(&small(capacity, CachePolicy::Lru), &trace), trace.len() as u64);
        let predicted = watched.dataset.cache_curve(&capacities.map(|capacity| capacity * entry));
        let errors: Vec<f64> = capacities
            .iter()
            .zip(&predicted)
            .map(|(capacity, predicted)| (ratio(*capacity) - predicted).abs())
            .collect();
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        println!("{name}: mean error {:.2} points, {errors:.3?}", mean * 100.0);
        assert!(mean <= 0.02, "{name}: {errors:.3?}");
        let best = ratio(1 << 20);
        for target in [best * 0.5, best * 0.9] {
            let budget = watched.dataset.suggest_cache_max(target).unwrap();
            let reached = ratio(budget / entry);
            assert!(reached >= target, "{name}: {budget} bytes reach {reached}, not {target}");
        }
        assert_eq!(watched.dataset.suggest_cache_max(1.0), None);
    }
}
