//! What a miss costs that has to evict, with many locked blocks elsewhere in the same dataset, and with many other datasets
//! open that hold nothing: they should not matter.
//!
//! ```text
//! cargo bench --bench miss
//! ```
//!
//! The room beside the locked blocks is the same each time, and the source costs next to nothing. Medians of rounds in
//! which the candidates take turns. (Blocks that wait to be written back are held in the same way;
//! `cargo test --release --lib -- --ignored --nocapture dirty` prints the same for them.)

use std::time::Instant;

use tilekeep::{
    BlockId, CacheBudget, CachePolicy, Dataset, Level, OpenOptions, ReadContext, Result, SampleType, SourceInfo,
    TileSource, check_block,
};

const ROUNDS: usize = 9;
const MISSES: u32 = 20_000;
/// Blocks that there is room for beside those that are locked.
const ROOM: u64 = 1000;
const BLOCK: u64 = 64 + Dataset::BLOCK_OVERHEAD;

/// 1024 x 1024 blocks of 64 bytes.
struct Grid(SourceInfo);

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

fn main() -> Result<()> {
    for policy in [CachePolicy::Lru, CachePolicy::Adaptive] {
        let locked = [0, 1000, 100_000];
        let datasets: Vec<Dataset> = locked.iter().map(|n| dataset(*n, policy)).collect::<Result<_>>()?;
        let locks: Vec<Vec<_>> = datasets
            .iter()
            .zip(locked)
            .map(|(dataset, n)| (0..n).map(|i| dataset.lock_block(at(i))).collect::<Result<_>>())
            .collect::<Result<_>>()?;
        let mut nanos = vec![Vec::new(); locked.len()];
        for round in 0..ROUNDS as u32 {
            for (dataset, nanos) in datasets.iter().zip(&mut nanos) {
                nanos.push(nanos_a_miss(dataset, round)?);
            }
        }
        let medians: Vec<f64> = nanos.into_iter().map(median).collect();
        for (n, nanos) in locked.iter().zip(&medians) {
            println!("{policy:?}, {n:>6} blocks locked: {nanos:>6.0} ns a miss, x {:.2}", nanos / medians[0]);
        }
        drop(locks);
    }
    beside_open_datasets()
}

/// Of a dataset that fills the total, beside one that holds little and many that hold nothing.
fn beside_open_datasets() -> Result<()> {
    tilekeep::set_total_max(2 * ROOM * BLOCK);
    let pooled = || with_budget(CacheBudget::default(), CachePolicy::Lru);
    let (other, reading) = (with_budget(CacheBudget::Own(BLOCK), CachePolicy::Lru)?, pooled()?);
    drop(other.block(at(0))?);
    let (mut open, mut first) = (Vec::new(), None);
    for n in [0, 100, 5000] {
        while open.len() < n {
            open.push(pooled()?);
        }
        let nanos = median((0..ROUNDS as u32).map(|round| nanos_a_miss(&reading, round)).collect::<Result<_>>()?);
        println!("{n:>6} datasets open: {nanos:>6.0} ns a miss, x {:.2}", nanos / *first.get_or_insert(nanos));
    }
    Ok(())
}

fn nanos_a_miss(dataset: &Dataset, round: u32) -> Result<f64> {
    let before = dataset.stats().misses;
    let start = Instant::now();
    for i in 0..MISSES {
        drop(dataset.block(at(200_000 + round * MISSES + i))?);
    }
    let nanos = start.elapsed().as_nanos() as f64 / f64::from(MISSES);
    assert_eq!(dataset.stats().misses - before, u64::from(MISSES));
    Ok(nanos)
}

fn median(mut nanos: Vec<f64>) -> f64 {
    nanos.sort_by(f64::total_cmp);
    nanos[nanos.len() / 2]
}

fn dataset(locked: u32, policy: CachePolicy) -> Result<Dataset> {
    with_budget(CacheBudget::Own((u64::from(locked) + ROOM) * BLOCK), policy)
}

fn with_budget(budget: CacheBudget, policy: CachePolicy) -> Result<Dataset> {
    let level = Level::new(1024 * 8, 1024 * 8, 8, 8)?;
    let options = OpenOptions::default().cache_budget(budget).cache_policy(policy);
    Dataset::from_source(Grid(SourceInfo::new("grid", vec![level], 1, SampleType::U8)), &options)
}

fn at(number: u32) -> BlockId {
    BlockId::new(0, number % 1024, number / 1024)
}
