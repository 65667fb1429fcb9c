//! What a miss costs that has to evict, with many locked blocks elsewhere in the same dataset: they should not matter.
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
                let before = dataset.stats().misses;
                let start = Instant::now();
                for i in 0..MISSES {
                    drop(dataset.block(at(200_000 + round * MISSES + i))?);
                }
                nanos.push(start.elapsed().as_nanos() as f64 / f64::from(MISSES));
                assert_eq!(dataset.stats().misses - before, u64::from(MISSES));
            }
        }
        let medians: Vec<f64> = nanos
            .into_iter()
            .map(|mut nanos| {
                nanos.sort_by(f64::total_cmp);
                nanos[ROUNDS / 2]
            })
            .collect();
        for (n, nanos) in locked.iter().zip(&medians) {
            println!("{policy:?}, {n:>6} blocks locked: {nanos:>6.0} ns a miss, x {:.2}", nanos / medians[0]);
        }
        drop(locks);
    }
    Ok(())
}

fn dataset(locked: u32, policy: CachePolicy) -> Result<Dataset> {
    let level = Level::new(1024 * 8, 1024 * 8, 8, 8)?;
    let budget = CacheBudget::Own((u64::from(locked) + ROOM) * BLOCK);
    let options = OpenOptions::default().cache_budget(budget).cache_policy(policy);
    Dataset::from_source(Grid(SourceInfo::new("grid", vec![level], 1, SampleType::U8)), &options)
}

fn at(number: u32) -> BlockId {
    BlockId::new(0, number % 1024, number / 1024)
}
