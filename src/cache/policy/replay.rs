//! Access traces, and a cache without values to replay them through.

use std::collections::BTreeMap;

use super::hashed::Hashed;
use super::{Hint, Policy};

/// The bytes of most blocks.
pub(crate) const BLOCK: u64 = 65_536;

/// One line of a trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub(crate) dataset: u32,
    /// Of the block's key, dataset included.
    pub(crate) hash: u64,
    pub(crate) bytes: u64,
}

/// A cache under a policy and a budget, for one thread.
pub(crate) struct Replay<P> {
    pub(crate) policy: P,
    pub(crate) hits: u64,
    slot_of: Hashed<u32>,
    entries: Vec<(u64, u64)>,
    used: Vec<u64>,
    clock: u64,
    free: Vec<u32>,
    bytes: u64,
    max_bytes: u64,
}

impl<P: Policy> Replay<P> {
    pub(crate) fn new(mut policy: P, max_bytes: u64) -> Self {
        policy.set_max_bytes(max_bytes, &Vec::new());
        Self {
            policy,
            hits: 0,
            slot_of: Hashed::default(),
            entries: Vec::new(),
            used: Vec::new(),
            clock: 0,
            free: Vec::new(),
            bytes: 0,
            max_bytes,
        }
    }

    /// Whether it was a hit. What goes goes before the new entry comes.
    pub(crate) fn access(&mut self, access: Access) -> bool {
        let Access { hash, bytes, .. } = access;
        self.clock += 1;
        if let Some(slot) = self.slot_of.get(&hash) {
            self.hits += 1;
            self.used[*slot as usize] = self.clock;
            match self.policy.samples(hash) && self.policy.follows_hits() {
                true => self.policy.note_sampled_hit(*slot),
                false => self.policy.note_hits(1),
            }
            return true;
        }
        if bytes > self.max_bytes {
            return false;
        }
        while self.bytes + bytes > self.max_bytes {
            let victim = self.policy.victim(&self.used).expect("what is cached can go");
            self.policy.evict(victim);
            let (hash, bytes) = self.entries[victim as usize];
            self.slot_of.remove(&hash);
            self.free.push(victim);
            self.bytes -= bytes;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push((0, 0));
            self.used.push(0);
            self.entries.len() as u32 - 1
        });
        self.entries[slot as usize] = (hash, bytes);
        self.slot_of.insert(hash, slot);
        self.bytes += bytes;
        self.used[slot as usize] = self.clock;
        self.policy.insert(slot, hash, bytes, Hint::Normal, &self.used);
        false
    }

    pub(crate) fn check_invariants(&self) {
        self.policy.check_invariants(&self.used);
    }
}

/// The hits of Belady's policy, which knows the future: what is used again last goes first, or does not come in at all.
/// The most that is possible where all blocks have one size; a good bound where they do not.
pub(crate) fn belady(trace: &[Access], max_bytes: u64) -> u64 {
    let mut next_use = vec![usize::MAX; trace.len()];
    let mut seen = Hashed::<usize>::default();
    for (at, access) in trace.iter().enumerate().rev() {
        next_use[at] = seen.insert(access.hash, at).unwrap_or(usize::MAX);
    }
    // By next use; what is never used again by its hash as well.
    let mut residents = BTreeMap::<(usize, u64), u64>::new();
    let (mut bytes, mut hits) = (0, 0);
    for (at, access) in trace.iter().enumerate() {
        match residents.remove(&(at, access.hash)) {
            Some(_) => hits += 1,
            None => bytes += access.bytes,
        }
        residents.insert((next_use[at], access.hash), access.bytes);
        while bytes > max_bytes {
            let Some((_, gone)) = residents.pop_last() else { break };
            bytes -= gone;
        }
    }
    hits
}

pub(crate) fn hash(key: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&key.to_le_bytes())
}

/// Passes over the same blocks.
pub(crate) fn cyclic(blocks: u64, passes: u64) -> Vec<Access> {
    (0..passes).flat_map(|_| 0..blocks).map(block).collect()
}

/// Passes over a raster of blocks, each row of blocks read several times from left to right before the next.
pub(crate) fn rows(cols: u64, rows: u64, passes: u64, times: u64) -> Vec<Access> {
    let row = |row: u64| (0..times).flat_map(move |_| (0..cols).map(move |col| block(row * cols + col)));
    (0..passes).flat_map(|_| (0..rows).flat_map(row)).collect()
}

/// Four images, looked at in turn, with jumps back to where one was before.
pub(crate) fn viewer() -> Option<Vec<Access>> {
    recorded("w2_viewer.trace.gz")
}

/// A tile server's requests, few tiles making most of them; blocks of two sizes.
pub(crate) fn tile_server() -> Option<Vec<Access>> {
    recorded("w3_zipf.trace.gz")
}

fn block(number: u64) -> Access {
    Access { dataset: 0, hash: hash(number), bytes: BLOCK }
}

/// A trace that is kept beside the repository: `dataset level row col bytes cost flags`, an access a line.
fn recorded(name: &str) -> Option<Vec<Access>> {
    let path = format!("{}/../shared/data/traces/{name}", env!("CARGO_MANIFEST_DIR"));
    let Ok(gz) = std::fs::read(&path) else {
        assert!(std::env::var_os("TILEKEEP_REQUIRE_DATA").is_none(), "{path} is not there");
        eprintln!("skipped: there is no {path}");
        return None;
    };
    let access = |line: &str| {
        let fields: Vec<u64> = line.split(' ').take(5).map(|field| field.parse().expect("a number")).collect();
        let key: Vec<u8> = fields[..4].iter().flat_map(|field| field.to_le_bytes()).collect();
        Access { dataset: fields[0] as u32, hash: xxhash_rust::xxh3::xxh3_64(&key), bytes: fields[4] }
    };
    Some(gunzip(&gz).lines().map(access).collect())
}

fn gunzip(gz: &[u8]) -> String {
    const HAS_NAME: u8 = 8;
    assert!(gz.starts_with(&[0x1f, 0x8b, 8]) && gz[3] & !HAS_NAME == 0, "a plain gzip file");
    let name = if gz[3] == HAS_NAME { gz[10..].iter().position(|byte| *byte == 0).expect("an end") + 1 } else { 0 };
    let text = miniz_oxide::inflate::decompress_to_vec(&gz[10 + name..]).expect("deflated data");
    String::from_utf8(text).expect("a text")
}
