//! Access traces, a source to replay them through, and the optimum to compare with.
#![allow(dead_code, unreachable_pub, reason = "every test uses another part")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tilekeep::{
    BlockId, CacheBudget, CachePolicy, CacheUse, Dataset, Level, OpenOptions, ReadContext, Result, SampleType,
    SourceInfo, TileSource, check_block,
};

/// One line of a trace.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    pub dataset: u32,
    pub at: BlockId,
    /// Bytes of the block's pixels.
    pub bytes: u64,
    /// Part of the first view after another dataset was looked at.
    pub is_first: bool,
}

/// A dataset that counts what is read from its source: levels of 256 x 256 blocks whose pixels say where they are.
pub struct Counted {
    pub dataset: Dataset,
    loads: Arc<AtomicU64>,
}

struct Grid {
    info: SourceInfo,
    loads: Arc<AtomicU64>,
}

impl Counted {
    /// 16 levels of square blocks with this side, one byte a pixel.
    pub fn new(side: u32, budget: CacheBudget, policy: CachePolicy) -> Self {
        Self::of_levels(&[(side, side); 16], budget, policy)
    }

    /// Levels of 65,536 x 65,536 pixels, one byte each, in blocks of these sizes.
    pub fn of_levels(blocks: &[(u32, u32)], budget: CacheBudget, policy: CachePolicy) -> Self {
        let level = |(width, height): &(u32, u32)| Level::new(1 << 16, 1 << 16, *width, *height).unwrap();
        let levels = blocks.iter().map(level).collect();
        let loads = Arc::<AtomicU64>::default();
        let source = Grid { info: SourceInfo::new("grid", levels, 1, SampleType::U8), loads: Arc::clone(&loads) };
        let options = OpenOptions::default().cache_budget(budget).cache_policy(policy);
        Self { dataset: Dataset::from_source(source, &options).unwrap(), loads }
    }

    /// Reads a block and lets it go; whether it was in memory.
    pub fn reads(&self, at: BlockId) -> bool {
        self.reads_with(at, CacheUse::Normal)
    }

    pub fn reads_with(&self, at: BlockId, cache_use: CacheUse) -> bool {
        let before = self.loads.load(Ordering::Relaxed);
        let block = self.dataset.block_with(at, cache_use).unwrap();
        assert_eq!(block.bytes()[0], stamp(at));
        self.loads.load(Ordering::Relaxed) == before
    }

    pub fn loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }
}

fn stamp(at: BlockId) -> u8 {
    (at.level ^ at.row.wrapping_mul(31) ^ at.col.wrapping_mul(7)) as u8
}

impl TileSource for Grid {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], _: &mut ReadContext<'_>) -> Result<()> {
        check_block(&self.info, at, out)?;
        self.loads.fetch_add(1, Ordering::Relaxed);
        out.fill(stamp(at));
        Ok(())
    }
}

/// Block number `i` of level 0, 256 in a row.
pub fn numbered(i: u32) -> BlockId {
    BlockId::new(0, i % 256, i / 256)
}

/// Passes over `n` blocks.
pub fn loops(n: u32, passes: u32) -> Vec<Access> {
    (0..passes).flat_map(|_| (0..n).map(|i| access(numbered(i)))).collect()
}

/// Passes over `cols` x `rows` blocks, each row of blocks read `times` times from left to right.
pub fn rows(cols: u32, rows: u32, passes: u32, times: u32) -> Vec<Access> {
    let row = |row| (0..times).flat_map(move |_| (0..cols).map(move |col| access(BlockId::new(0, col, row))));
    (0..passes).flat_map(|_| (0..rows).flat_map(row)).collect()
}

fn access(at: BlockId) -> Access {
    Access { dataset: 0, at, bytes: 65_536, is_first: false }
}

/// A viewer of four images, looked at in turn. `None` when the recording is not there.
pub fn viewer() -> Option<Vec<Access>> {
    recorded("w2_viewer.trace.gz")
}

/// A tile server's requests: few tiles make most of them; blocks of several sizes. `None` when it is not there.
pub fn tile_server() -> Option<Vec<Access>> {
    recorded("w3_zipf.trace.gz")
}

/// A recording: `dataset level row col bytes cost flags`, an access a line.
fn recorded(name: &str) -> Option<Vec<Access>> {
    let packed = std::fs::read(super::data_dir()?.join("traces").join(name)).unwrap();
    // A gzip file without options: ten bytes of header, perhaps a name, eight bytes at the end.
    assert_eq!(packed[..3], [0x1F, 0x8B, 8]);
    let name = if packed[3] & 8 != 0 { packed[10..].iter().position(|b| *b == 0).unwrap() + 1 } else { 0 };
    let text = miniz_oxide::inflate::decompress_to_vec(&packed[10 + name..packed.len() - 8]).unwrap();
    let line = |line: &str| {
        let mut n = line.split_whitespace().map(|n| n.parse::<u32>().unwrap());
        let mut next = || n.next().unwrap();
        let (dataset, level, row, col, bytes, _cost, flags) = (next(), next(), next(), next(), next(), next(), next());
        Access { dataset, at: BlockId::new(level, col, row), bytes: u64::from(bytes), is_first: flags & 1 != 0 }
    };
    Some(String::from_utf8(text).unwrap().lines().filter(|line| !line.is_empty()).map(line).collect())
}

/// The hits of one cache that knows the future (Belady): what is used again last goes first, or is not kept at all. The
/// most that is possible where blocks have one size; a good bound where they do not.
pub fn belady(trace: &[Access], max_bytes: u64) -> u64 {
    let mut next_use = vec![usize::MAX; trace.len()];
    let mut seen = HashMap::new();
    for (i, access) in trace.iter().enumerate().rev() {
        next_use[i] = seen.insert((access.dataset, access.at), i).unwrap_or(usize::MAX);
    }
    // Bytes by next use; what is never used again has a place of its own too.
    let mut kept = BTreeMap::<(usize, usize), u64>::new();
    let (mut bytes, mut hits, mut place_of) = (0, 0, HashMap::new());
    for (i, access) in trace.iter().enumerate() {
        let key = (access.dataset, access.at);
        match place_of.remove(&key).and_then(|place| kept.remove(&place)) {
            Some(_) => hits += 1,
            None => bytes += access.bytes,
        }
        let place = (next_use[i], i);
        kept.insert(place, access.bytes);
        place_of.insert(key, place);
        while bytes > max_bytes {
            let Some((_, gone)) = kept.pop_last() else { break };
            bytes -= gone;
        }
    }
    hits
}

/// The hits of one exact LRU cache.
pub fn lru(trace: &[Access], max_bytes: u64) -> u64 {
    let (mut last_use, mut order) = (HashMap::new(), BTreeMap::new());
    let (mut bytes, mut hits) = (0, 0);
    for (i, access) in trace.iter().enumerate() {
        let key = (access.dataset, access.at);
        match last_use.insert(key, i) {
            Some(before) => {
                order.remove(&before);
                hits += 1;
            }
            None => bytes += access.bytes,
        }
        order.insert(i, (key, access.bytes));
        while bytes > max_bytes {
            let Some((_, (key, gone))) = order.pop_first() else { break };
            last_use.remove(&key);
            bytes -= gone;
        }
    }
    hits
}
