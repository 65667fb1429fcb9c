//! Traces of accesses replayed through the public API: hits counted to the unit, and beside the optimum.

mod common;

use std::io::Read;

use tilekeep::{
    BlockId, CachePolicy, Dataset, Level, OpenOptions, ReadContext, Result, SampleType, SourceInfo, TileSource,
    check_block,
};

/// Bytes of a block: small, since only their number counts.
const BLOCK_BYTES: u64 = 64;

/// A source of 16 levels of 256 x 256 blocks whose pixels say nothing.
struct Grid(SourceInfo);

impl Grid {
    fn dataset(capacity: u64, policy: CachePolicy) -> Dataset {
        let level = Level::new(256 * 8, 256 * 8, 8, 8).unwrap();
        let source = Self(SourceInfo::new("grid", vec![level; 16], 1, SampleType::U8));
        let budget = capacity * (BLOCK_BYTES + Dataset::BLOCK_OVERHEAD);
        Dataset::from_source(source, &OpenOptions::default().cache_max_bytes(budget).cache_policy(policy)).unwrap()
    }
}

impl TileSource for Grid {
    fn info(&self) -> &SourceInfo {
        &self.0
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], _: &mut ReadContext<'_>) -> Result<()> {
        check_block(&self.0, at, out)?;
        out.fill(at.col as u8);
        Ok(())
    }
}

/// Hits of a replay; every access is a block read and let go.
fn hits(dataset: &Dataset, trace: &[BlockId]) -> u64 {
    for at in trace {
        drop(dataset.block(*at).unwrap());
    }
    let stats = dataset.stats();
    assert_eq!(stats.hits + stats.misses, trace.len() as u64);
    assert_eq!((stats.misses, stats.uncached, stats.locked_bytes), (stats.loads, 0, 0));
    stats.hits
}

fn numbered(i: u32) -> BlockId {
    BlockId::new(0, i % 256, i / 256)
}

/// Twelve passes over 4,000 blocks.
fn loops() -> Vec<BlockId> {
    (0..12).flat_map(|_| (0..4000).map(numbered)).collect()
}

/// Four passes over 64 x 60 blocks, each row of blocks read eight times from left to right.
fn rows() -> Vec<BlockId> {
    (0..4)
        .flat_map(|_| {
            (0..60).flat_map(|row| (0..8).flat_map(move |_| (0..64).map(move |col| BlockId::new(0, col, row))))
        })
        .collect()
}

/// The trace of a viewer of four images: image and block of every access. `None` when the file is not there.
fn viewer() -> Option<Vec<(u32, BlockId)>> {
    let packed = std::fs::read(common::data_dir()?.join("traces/w2_viewer.trace.gz")).unwrap();
    // A gzip file without options: ten bytes of header, eight at the end.
    assert_eq!(packed[..4], [0x1F, 0x8B, 8, packed[3]]);
    let name = if packed[3] & 8 != 0 { packed[10..].iter().position(|b| *b == 0).unwrap() + 1 } else { 0 };
    let text = miniz_oxide::inflate::decompress_to_vec(&packed[10 + name..packed.len() - 8]).unwrap();
    let mut lines = String::new();
    text.as_slice().read_to_string(&mut lines).unwrap();
    let access = |line: &str| {
        let n: Vec<u32> = line.split_whitespace().take(4).map(|n| n.parse().unwrap()).collect();
        (n[0], BlockId::new(n[1], n[3], n[2]))
    };
    Some(lines.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(access).collect())
}

#[test]
fn lru_hits_what_an_exact_lru_hits() {
    for capacity in [40, 1000, 2000, 3600, 4000] {
        let expected = if capacity == 4000 { 44_000 } else { 0 };
        assert_eq!(hits(&Grid::dataset(capacity, CachePolicy::Lru), &loops()), expected, "loop in {capacity}");
    }
    for capacity in [67, 192, 960] {
        assert_eq!(hits(&Grid::dataset(capacity, CachePolicy::Lru), &rows()), 107_520, "rows in {capacity}");
    }
}

#[test]
fn lru_hits_what_an_exact_lru_hits_for_a_viewer() {
    let Some(viewer) = viewer() else { return };
    let one: Vec<BlockId> = viewer.iter().map(|(image, at)| BlockId { level: at.level + 4 * image, ..*at }).collect();
    for (capacity, expected) in [(256, 39_214), (512, 43_403), (1024, 45_612)] {
        assert_eq!(hits(&Grid::dataset(capacity, CachePolicy::Lru), &one), expected, "one cache of {capacity}");
    }
    for (capacity, expected) in [(91, 28_999), (182, 44_605), (365, 59_005)] {
        let images: Vec<Dataset> = (0..4).map(|_| Grid::dataset(capacity, CachePolicy::Lru)).collect();
        for (image, at) in &viewer {
            drop(images[*image as usize].block(*at).unwrap());
        }
        assert_eq!(images.iter().map(|d| d.stats().hits).sum::<u64>(), expected, "own caches of {capacity}");
    }
}

#[test]
fn adaptive_keeps_a_part_of_loops_and_is_lru_where_that_is_right() {
    let share = |hits: u64, of: u64| hits as f64 / of as f64;
    for (capacity, optimum, least) in
        [(1000, 11_000, 0.85), (2000, 22_000, 0.85), (3600, 39_600, 0.83), (4000, 44_000, 1.0)]
    {
        let reached = hits(&Grid::dataset(capacity, CachePolicy::Adaptive), &loops());
        println!("loop in {capacity}: {reached} of {optimum}");
        assert!(share(reached, optimum) >= least, "loop in {capacity}: {reached} of {optimum}");
    }
    for capacity in [67, 192, 960] {
        let reached = hits(&Grid::dataset(capacity, CachePolicy::Adaptive), &rows());
        assert!(share(reached, 107_520) >= 0.99, "rows in {capacity}: {reached} of 107520");
    }
    let Some(viewer) = viewer() else { return };
    let one: Vec<BlockId> = viewer.iter().map(|(image, at)| BlockId { level: at.level + 4 * image, ..*at }).collect();
    for (capacity, lru) in [(256, 39_214), (512, 43_403), (1024, 45_612)] {
        let reached = hits(&Grid::dataset(capacity, CachePolicy::Adaptive), &one);
        assert!(share(reached, lru) >= 0.99, "viewer in {capacity}: {reached} of {lru}");
    }
}

#[test]
fn the_curve_predicts_what_budgets_reach_and_suggests_one_that_does() {
    let capacities = [100, 192, 500, 1000, 2000, 3600, 4000, 8000];
    let entry = BLOCK_BYTES + Dataset::BLOCK_OVERHEAD;
    let mut traces = vec![("loop", loops()), ("rows", rows())];
    if let Some(viewer) = viewer() {
        let one = viewer.iter().map(|(image, at)| BlockId { level: at.level + 4 * image, ..*at }).collect();
        traces.push(("viewer", one));
    }
    for (name, trace) in traces {
        // What is predicted does not depend on the budget that it was watched in.
        let watched = Grid::dataset(700, CachePolicy::Adaptive);
        hits(&watched, &trace);
        let ratio = |capacity| hits(&Grid::dataset(capacity, CachePolicy::Lru), &trace) as f64 / trace.len() as f64;
        let predicted = watched.cache_curve(&capacities.map(|capacity| capacity * entry));
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
            let budget = watched.suggest_cache_max(target).unwrap();
            let reached = ratio(budget / entry);
            assert!(reached >= target, "{name}: {budget} bytes reach {reached}, not {target}");
        }
        assert_eq!(watched.suggest_cache_max(1.0), None);
    }
}
