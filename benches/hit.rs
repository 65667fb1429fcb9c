//! What finding a block in memory costs: `lock_block` and dropping the lock, beside what one would write around a crate.
//!
//! ```text
//! cargo bench --bench hit
//! ```
//!
//! The candidates hold as many values under the same keys and are asked for them in the same order: as they came in,
//! where one block's entry lies beside the next one's, and at random. "Lock and unlock" leaves the pixels alone; for the
//! others it is a clone of the `Arc` and its drop. Each line gives the medians of the rounds, in which the candidates
//! take turns; with two threads each has blocks of its own. A number of blocks as the argument measures that one only.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::ptr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use tilekeep::{BlockId, Dataset, MemorySource, OpenOptions, Result, SampleType};

const ROUNDS: usize = 5;
const HITS: usize = 1 << 20;
/// Blocks in a row and in a column, pixels in a row and in a column of a block: as large as memory allows.
const SIZES: [(u32, u32); 3] = [(8, 64), (256, 32), (1024, 16)];

trait Candidate: Sync {
    fn name(&self) -> &'static str;
    /// Finds where the block is and lets it go.
    fn find(&self, at: BlockId);
    /// Finds the block and looks at its first byte.
    fn look(&self, at: BlockId) -> u8;

    // The loops are here, so that what is measured holds no call through a pointer.

    fn find_all(&self, blocks: &[BlockId]) {
        passes(blocks).for_each(|pass| pass.iter().for_each(|at| self.find(*at)));
    }

    fn look_at_all(&self, blocks: &[BlockId]) {
        passes(blocks).for_each(|pass| pass.iter().for_each(|at| _ = black_box(self.look(*at))));
    }
}

/// The blocks again and again, until enough were found.
fn passes(blocks: &[BlockId]) -> impl Iterator<Item = &[BlockId]> {
    (0..HITS).step_by(blocks.len()).map(|before| &blocks[..blocks.len().min(HITS - before)])
}

impl Candidate for Dataset {
    fn name(&self) -> &'static str {
        "tilekeep"
    }

    #[inline(always)]
    fn find(&self, at: BlockId) {
        black_box(ptr::from_ref(&*self.lock_block(at).expect("it is in memory")));
    }

    #[inline(always)]
    fn look(&self, at: BlockId) -> u8 {
        self.lock_block(at).expect("it is in memory").bytes()[0]
    }
}

/// As a decoded block: an object with a pointer to its pixels.
type Value = Arc<Vec<u8>>;

struct LockedLru(Mutex<lru::LruCache<BlockId, Value>>);

impl LockedLru {
    fn get(&self, at: BlockId) -> Value {
        let value = self.0.lock().expect("nobody panics").get(&at).cloned();
        value.expect("it is in memory")
    }
}

impl Candidate for LockedLru {
    fn name(&self) -> &'static str {
        "Mutex<LruCache>"
    }

    #[inline(always)]
    fn find(&self, at: BlockId) {
        black_box(ptr::from_ref(&*self.get(at)));
    }

    #[inline(always)]
    fn look(&self, at: BlockId) -> u8 {
        self.get(at)[0]
    }
}

impl Candidate for quick_cache::sync::Cache<BlockId, Value> {
    fn name(&self) -> &'static str {
        "quick_cache"
    }

    #[inline(always)]
    fn find(&self, at: BlockId) {
        black_box(ptr::from_ref(&*self.get(&at).expect("it is in memory")));
    }

    #[inline(always)]
    fn look(&self, at: BlockId) -> u8 {
        self.get(&at).expect("it is in memory")[0]
    }
}

impl Candidate for moka::sync::Cache<BlockId, Value> {
    fn name(&self) -> &'static str {
        "moka"
    }

    #[inline(always)]
    fn find(&self, at: BlockId) {
        black_box(ptr::from_ref(&*self.get(&at).expect("it is in memory")));
    }

    #[inline(always)]
    fn look(&self, at: BlockId) -> u8 {
        self.get(&at).expect("it is in memory")[0]
    }
}

/// Nanoseconds a hit, of every round: with one thread and with two.
#[derive(Clone, Default)]
struct Nanos([Vec<f64>; 2]);

impl Nanos {
    fn median(&self, threads: usize) -> f64 {
        let mut nanos = self.0[threads - 1].clone();
        nanos.sort_by(f64::total_cmp);
        nanos[nanos.len() / 2]
    }
}

fn main() -> Result<()> {
    let wanted: Option<usize> = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    for (side, pixels) in SIZES {
        let blocks: Vec<BlockId> =
            (0..side).flat_map(|row| (0..side).map(move |col| BlockId::new(0, col, row))).collect();
        if wanted.is_some_and(|wanted| wanted != blocks.len()) {
            continue;
        }
        let candidates = candidates(side, pixels, &blocks)?;
        println!("{} blocks in memory: ns a hit with one thread, with two, and how much more the two do", blocks.len());
        for (name, order) in [("as they came in", &blocks), ("at random", &shuffled(&blocks))] {
            println!("  {name:<18} lock and unlock               and look at the first byte");
            for (candidate, [find, look]) in candidates.iter().zip(measure(&candidates, order)) {
                let columns = [find, look].map(|nanos| {
                    let (one, two) = (nanos.median(1), nanos.median(2));
                    format!("{one:>7.1} {two:>7.1}   x {:<4.2}", 2.0 * one / two)
                });
                println!("    {:<16} {}      {}", candidate.name(), columns[0], columns[1]);
            }
        }
    }
    Ok(())
}

/// Each is filled on its own, so that what belongs to it lies together.
fn candidates(side: u32, block: u32, blocks: &[BlockId]) -> Result<Vec<Box<dyn Candidate>>> {
    let across = side * block;
    let pixels = vec![7; across as usize * across as usize];
    let source = MemorySource::new(across, across, 1, SampleType::U8, (block, block), pixels)?;
    let dataset = Dataset::from_source(source, &OpenOptions::default().cache_max_bytes(4 << 30))?;
    for at in blocks {
        drop(dataset.block(*at)?);
    }
    let value = || Value::new(vec![7; (block * block) as usize]);
    let locked = LockedLru(Mutex::new(lru::LruCache::new(NonZeroUsize::new(blocks.len() * 2).expect("not 0"))));
    for at in blocks {
        locked.0.lock().expect("nobody panics").put(*at, value());
    }
    let quick = quick_cache::sync::Cache::new(blocks.len() * 2);
    blocks.iter().for_each(|at| quick.insert(*at, value()));
    let moka = moka::sync::Cache::new(blocks.len() as u64 * 2);
    blocks.iter().for_each(|at| moka.insert(*at, value()));
    moka.run_pending_tasks();
    Ok(vec![Box::new(dataset), Box::new(locked), Box::new(quick), Box::new(moka)])
}

/// Of every candidate what a find costs, and a look.
fn measure(candidates: &[Box<dyn Candidate>], order: &[BlockId]) -> Vec<[Nanos; 2]> {
    let mut all = vec![[Nanos::default(), Nanos::default()]; candidates.len()];
    let (left, right) = order.split_at(order.len() / 2);
    for _ in 0..ROUNDS {
        for (candidate, nanos) in candidates.iter().zip(&mut all) {
            for (nanos, look) in nanos.iter_mut().zip([false, true]) {
                nanos.0[0].push(time(&**candidate, look, &[order]));
                nanos.0[1].push(time(&**candidate, look, &[left, right]));
            }
        }
    }
    all
}

/// Nanoseconds a hit in each thread; every thread goes through its blocks until it made its share of the hits.
fn time(candidate: &dyn Candidate, look: bool, shares: &[&[BlockId]]) -> f64 {
    let start = Instant::now();
    thread::scope(|scope| {
        for share in shares {
            scope.spawn(move || if look { candidate.look_at_all(share) } else { candidate.find_all(share) });
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
