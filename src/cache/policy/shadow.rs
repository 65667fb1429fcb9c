//! What two other caches would have made of the same accesses.

use super::hashed::{self, Hashed};
use super::{ClockPro, Hint, Lru, Policy};

/// The sample stands for at least as many entries as this, where the cache has as many.
const LEAST_ENTRIES: u64 = 512;
/// When the shadows hold more keys than this, ghosts aside, fewer are sampled.
const MOST_TRACKED: usize = 8 * LEAST_ENTRIES as usize;

/// A cache under LRU and one under CLOCK-Pro, without values and in small: one key in 2^`shift` is followed, chosen by
/// its hash, in budgets smaller by as much, which hit about as often as the whole (Waldspurger et al., "Efficient MRC
/// construction with SHARDS", FAST 2015). Typically 100 KiB, at most some 600.
pub(super) struct Shadows {
    lru: Shadow<Lru>,
    pro: Shadow<ClockPro>,
    keys: Keys,
    max_bytes: u64,
    shift: u32,
    /// Whether `shift` changed since somebody asked.
    resampled: bool,
}

/// The keys in either shadow. Both know a key by the same number, their slot for it.
#[derive(Default)]
struct Keys {
    number_of: Hashed<u32>,
    tracked: Vec<Tracked>,
    /// Of each key, when it was last accessed. Both shadows see the same accesses.
    used: Vec<u64>,
    clock: u64,
    free: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Tracked {
    hash: u64,
    bytes: u64,
    /// A bit for each shadow that holds it.
    held_by: u8,
}

struct Shadow<P> {
    policy: P,
    bit: u8,
    bytes: u64,
    max_bytes: u64,
    hits: u64,
}

/// Sampled hits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hits {
    pub(super) lru: u64,
    pub(super) pro: u64,
}

impl Default for Shadows {
    fn default() -> Self {
        Self {
            lru: Shadow::new(1),
            pro: Shadow::new(2),
            keys: Keys::default(),
            max_bytes: 0,
            shift: 0,
            resampled: false,
        }
    }
}

impl Shadows {
    /// Whether a key is one of the sample. By bits of the hash that a hash map does not look at.
    pub(super) fn samples(&self, hash: u64) -> bool {
        (hash >> 32) & ((1 << self.shift) - 1) == 0
    }

    /// Follows an access of a key of the sample.
    pub(super) fn access(&mut self, hash: u64, bytes: u64) {
        debug_assert!(self.samples(hash));
        let number = self.keys.number(hash, bytes);
        self.keys.note_use(number);
        self.lru.access(number, &mut self.keys);
        self.pro.access(number, &mut self.keys);
        self.keys.forget_if_gone(number);
        if self.keys.number_of.len() > MOST_TRACKED {
            self.set_shift(self.shift + 1);
        }
    }

    /// The hits since the last call.
    pub(super) fn take_hits(&mut self) -> Hits {
        Hits { lru: std::mem::take(&mut self.lru.hits), pro: std::mem::take(&mut self.pro.hits) }
    }

    /// The share of its budget that CLOCK-Pro has for cold entries.
    pub(super) fn cold_share(&self) -> f64 {
        self.pro.policy.cold_share()
    }

    pub(super) fn set_max_bytes(&mut self, bytes: u64) {
        if bytes != self.max_bytes {
            self.max_bytes = bytes;
            self.apply();
        }
    }

    /// Whether a cache of so many entries wants a thinner sample.
    pub(super) fn are_too_many(&self, entries: u64) -> bool {
        entries >> self.shift >= 2 * LEAST_ENTRIES
    }

    /// Samples as much as suits a cache of so many entries.
    pub(super) fn resample(&mut self, entries: u64) {
        let mut shift = self.shift;
        while shift > 0 && entries >> shift < LEAST_ENTRIES {
            shift -= 1;
        }
        while entries >> shift >= 2 * LEAST_ENTRIES {
            shift += 1;
        }
        if shift != self.shift {
            self.set_shift(shift);
        }
    }

    /// Whether `samples` may answer otherwise than when this was last asked.
    pub(super) fn take_resampled(&mut self) -> bool {
        std::mem::take(&mut self.resampled)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.lru.policy.memory_bytes() + self.pro.policy.memory_bytes() + self.keys.memory_bytes()
    }

    fn set_shift(&mut self, shift: u32) {
        self.shift = shift;
        self.resampled = true;
        self.apply();
    }

    /// Makes the shadows obey `shift` and `max_bytes`.
    fn apply(&mut self) {
        let outside: Vec<u32> =
            self.keys.number_of.iter().filter(|(hash, _)| !self.samples(**hash)).map(|(_, number)| *number).collect();
        for number in outside {
            self.lru.remove(number, &mut self.keys);
            self.pro.remove(number, &mut self.keys);
            self.keys.forget_if_gone(number);
        }
        let bytes = self.max_bytes >> self.shift;
        self.lru.set_max_bytes(bytes, &mut self.keys);
        self.pro.set_max_bytes(bytes, &mut self.keys);
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        self.lru.check_invariants(&self.keys);
        self.pro.check_invariants(&self.keys);
        assert_eq!(self.keys.used.len(), self.keys.tracked.len());
        assert_eq!(self.lru.max_bytes, self.max_bytes >> self.shift);
        assert_eq!(self.keys.number_of.len() + self.keys.free.len(), self.keys.tracked.len());
        for (hash, number) in &self.keys.number_of {
            let tracked = self.keys.tracked[*number as usize];
            assert!(tracked.hash == *hash && self.samples(*hash) && tracked.held_by != 0);
        }
    }
}

impl<P: Policy + Default> Shadow<P> {
    fn new(bit: u8) -> Self {
        Self { policy: P::default(), bit, bytes: 0, max_bytes: 0, hits: 0 }
    }

    fn access(&mut self, number: u32, keys: &mut Keys) {
        let Tracked { hash, bytes, held_by } = keys.tracked[number as usize];
        if held_by & self.bit != 0 {
            self.hits += 1;
        } else if bytes <= self.max_bytes {
            self.evict_to(self.max_bytes - bytes, keys);
            self.policy.insert(number, hash, bytes, Hint::Normal, &keys.used);
            self.bytes += bytes;
            keys.tracked[number as usize].held_by |= self.bit;
        }
    }

    fn set_max_bytes(&mut self, bytes: u64, keys: &mut Keys) {
        self.max_bytes = bytes;
        self.policy.set_max_bytes(bytes, &keys.used);
        self.evict_to(bytes, keys);
    }

    fn evict_to(&mut self, bytes: u64, keys: &mut Keys) {
        while self.bytes > bytes {
            let Some(number) = self.policy.victim(&keys.used) else { return };
            self.policy.evict(number);
            self.let_go(number, keys);
            keys.forget_if_gone(number);
        }
    }

    fn remove(&mut self, number: u32, keys: &mut Keys) {
        if keys.tracked[number as usize].held_by & self.bit != 0 {
            self.policy.remove(number);
            self.let_go(number, keys);
        }
    }

    fn let_go(&mut self, number: u32, keys: &mut Keys) {
        let tracked = &mut keys.tracked[number as usize];
        tracked.held_by &= !self.bit;
        self.bytes -= tracked.bytes;
    }

    #[cfg(test)]
    fn check_invariants(&self, keys: &Keys) {
        self.policy.check_invariants(&keys.used);
        let held = || keys.tracked.iter().filter(|tracked| tracked.held_by & self.bit != 0);
        assert_eq!(self.bytes, held().map(|tracked| tracked.bytes).sum::<u64>());
        assert!(self.bytes <= self.max_bytes);
        let mut ordered = 0;
        self.policy.for_each(&keys.used, &mut |number| {
            assert!(keys.tracked[number as usize].held_by & self.bit != 0);
            ordered += 1;
        });
        assert_eq!(ordered, held().count());
    }
}

impl Keys {
    fn number(&mut self, hash: u64, bytes: u64) -> u32 {
        let Self { number_of, tracked, used, free, .. } = self;
        *number_of.entry(hash).or_insert_with(|| {
            let new = Tracked { hash, bytes, held_by: 0 };
            match free.pop() {
                Some(number) => {
                    tracked[number as usize] = new;
                    number
                }
                None => {
                    tracked.push(new);
                    used.push(0);
                    (tracked.len() - 1) as u32
                }
            }
        })
    }

    fn note_use(&mut self, number: u32) {
        self.clock += 1;
        self.used[number as usize] = self.clock;
    }

    fn forget_if_gone(&mut self, number: u32) {
        let Tracked { hash, held_by, .. } = self.tracked[number as usize];
        if held_by == 0 && self.number_of.remove(&hash).is_some() {
            self.free.push(number);
        }
    }

    fn memory_bytes(&self) -> usize {
        hashed::memory_bytes(&self.number_of)
            + self.tracked.capacity() * size_of::<Tracked>()
            + self.used.capacity() * size_of::<u64>()
            + self.free.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::super::replay::hash;
    use super::*;

    fn access(shadows: &mut Shadows, hash: u64, bytes: u64) {
        if shadows.samples(hash) {
            shadows.access(hash, bytes);
        }
    }

    #[test]
    fn the_sample_follows_the_size_of_the_cache_and_is_never_large() {
        let mut shadows = Shadows::default();
        for (entries, max_bytes) in [(100, 300), (3_000, 9_000), (50_000, 150_000), (50_000, u64::MAX), (2_000, 6_000)]
        {
            shadows.set_max_bytes(max_bytes);
            shadows.resample(entries);
            shadows.check_invariants();
            for key in 0..2 * entries {
                let key = key * key % (3 * entries);
                access(&mut shadows, hash(key), 1 + key % 5);
            }
            shadows.check_invariants();
            assert!(entries < LEAST_ENTRIES || entries >> shadows.shift >= LEAST_ENTRIES / 2, "{}", shadows.shift);
            assert!(shadows.memory_bytes() < 700 << 10, "{}", shadows.memory_bytes());
        }
    }

    #[test]
    fn a_sample_hits_as_often_as_the_whole() {
        let mut shadows = Shadows::default();
        shadows.set_max_bytes(8_000);
        shadows.resample(8_000);
        assert_eq!(shadows.shift, 3);
        (0..4).for_each(|_| (0..16_000).for_each(|key| access(&mut shadows, hash(key), 1)));
        let Hits { lru, pro } = shadows.take_hits();
        assert_eq!(lru, 0);
        // Three passes after the first, half of each.
        assert!((2_700..3_100).contains(&pro), "{pro}");
    }
}
