//! What finding a block in memory costs: `lock_block` and dropping the lock, beside what one would write around a crate.
//!
//! ```text
//! cargo bench --bench hit
//! ```
//!
//! Blocks are asked for in a fixed random order. Each line gives the medians of five rounds, in which the candidates take
//! turns; with two threads each has blocks of its own.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use tilekeep::{BlockId, Dataset, MemorySource, OpenOptions, Result, SampleType};

const ROUNDS: usize = 5;
const HITS: usize = 1 << 20;
const BLOCK: u32 = 8;

trait Candidate: Sync {
    fn name(&self) -> &'static str;
    /// Finds the block and looks at its first byte.
    fn hit(&self, at: BlockId) -> u8;
}

impl Candidate for Dataset {
    fn name(&self) -> &'static str {
        "tilekeep"
    }

    fn hit(&self, at: BlockId) -> u8 {
        self.lock_block(at).expect("it is in memory").bytes()[0]
    }
}

type Value = Arc<Vec<u8>>;

struct LockedLru(Mutex<lru::LruCache<BlockId, Value>>);

impl Candidate for LockedLru {
    fn name(&self) -> &'static str {
        "Mutex<LruCache>"
    }

    fn hit(&self, at: BlockId) -> u8 {
        let value = self.0.lock().expect("nobody panics").get(&at).cloned();
        value.expect("it is in memory")[0]
    }
}

impl Candidate for quick_cache::sync::Cache<BlockId, Value> {
    fn name(&self) -> &'static str {
        "quick_cache"
    }

    fn hit(&self, at: BlockId) -> u8 {
        self.get(&at).expect("it is in memory")[0]
    }
}

impl Candidate for moka::sync::Cache<BlockId, Value> {
    fn name(&self) -> &'static str {
        "moka"
    }

    fn hit(&self, at: BlockId) -> u8 {
        self.get(&at).expect("it is in memory")[0]
    }
}

fn main() -> Result<()> {
    for side in [8, 256, 1024] {
        let blocks: Vec<BlockId> =
            (0..side).flat_map(|row| (0..side).map(move |col| BlockId::new(0, col, row))).collect();
        let candidates = candidates(side, &blocks)?;
        let order = shuffled(&blocks);
        let mut nanos = vec![[Vec::new(), Vec::new()]; candidates.len()];
        for _ in 0..ROUNDS {
            for (candidate, nanos) in candidates.iter().zip(&mut nanos) {
                nanos[0].push(measure(&**candidate, &[&order]));
                let (left, right) = order.split_at(order.len() / 2);
                nanos[1].push(measure(&**candidate, &[left, right]));
            }
        }
        println!("{} blocks in memory: ns a hit with one thread, with two, and how much more the two do", blocks.len());
        for (candidate, nanos) in candidates.iter().zip(nanos) {
            let [one, two] = nanos.map(|mut n| {
                n.sort_by(f64::total_cmp);
                n[ROUNDS / 2]
            });
            println!("  {:<16} {one:>7.1} {two:>7.1}   x {:.2}", candidate.name(), 2.0 * one / two);
        }
    }
    Ok(())
}

fn candidates(side: u32, blocks: &[BlockId]) -> Result<Vec<Box<dyn Candidate>>> {
    let pixels = vec![7; (side * BLOCK) as usize * (side * BLOCK) as usize];
    let source = MemorySource::new(side * BLOCK, side * BLOCK, 1, SampleType::U8, (BLOCK, BLOCK), pixels)?;
    let dataset = Dataset::from_source(source, &OpenOptions::default().cache_max_bytes(4 << 30))?;
    let locked = LockedLru(Mutex::new(lru::LruCache::new(NonZeroUsize::new(blocks.len() * 2).expect("not 0"))));
    let quick = quick_cache::sync::Cache::new(blocks.len() * 2);
    let moka = moka::sync::Cache::new(blocks.len() as u64 * 2);
    for at in blocks {
        drop(dataset.block(*at)?);
        let value: Value = Arc::new(vec![7; 64]);
        locked.0.lock().expect("nobody panics").put(*at, Arc::clone(&value));
        quick.insert(*at, Arc::clone(&value));
        moka.insert(*at, value);
    }
    moka.run_pending_tasks();
    Ok(vec![Box::new(dataset), Box::new(locked), Box::new(quick), Box::new(moka)])
}

/// Nanoseconds a hit in each thread; every thread goes through its blocks until it made its share of the hits.
fn measure(candidate: &dyn Candidate, shares: &[&[BlockId]]) -> f64 {
    let start = Instant::now();
    thread::scope(|scope| {
        for share in shares {
            scope.spawn(move || {
                for at in share.iter().cycle().take(HITS) {
                    black_box(candidate.hit(*at));
                }
            });
        }
    });
    start.elapsed().as_nanos() as f64 / HITS as f64
}

/// The blocks in an order without a pattern, the same in every run.
fn shuffled(blocks: &[BlockId]) -> Vec<BlockId> {
    let mut order = blocks.to_vec();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for i in (1..order.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(i, (state % (i as u64 + 1)) as usize);
    }
    order
}
