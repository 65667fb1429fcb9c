//! LRU or CLOCK-Pro, whichever does better of late.

use super::shadow::{Hits, Shadows};
use super::{ClockPro, Hint, Lru, Policy, Uses, lengthen, renumber};

/// An epoch has no fewer accesses than this, and two for each entry.
const LEAST_EPOCH: u64 = 1024;

/// Runs LRU, and CLOCK-Pro while the [`Shadows`] of both say that it hits more.
///
/// They are compared after every epoch of max(2 × entries, 1024) accesses. The policy changes when the other one hit 5 %
/// more, older epochs counting less. Taking over the entries is O(n) that the epoch has paid for: CLOCK-Pro gets them in
/// the order in which they would have gone, LRU knows when they were used. With each epoch judged by itself and no
/// allowance for chance, a viewer in a small cache lost 1 to 3 % of its hits by changing to and fro. Hits of entries that
/// are not sampled are counted, no more.
#[derive(Default)]
pub(crate) struct Adaptive {
    running: Running,
    shadows: Shadows,
    /// Of the entry in each slot.
    hashes: Vec<u64>,
    known: Vec<Known>,
    max_bytes: u64,
    /// Of the entries in the order.
    entries: u64,
    bytes: u64,
    epoch: Epoch,
    /// Whether room was needed of late. As long as nothing has to go, what is found makes no difference between the
    /// policies, and is not followed.
    is_pressed: bool,
    /// The hits of the shadows, where those of an epoch count half as much as those of the next.
    score: Hits,
}

enum Running {
    Lru(Lru),
    ClockPro(Box<ClockPro>),
}

/// What else is known of the entry in a slot, also while it is out because it is locked.
#[derive(Clone, Copy, Default)]
struct Known {
    bytes: u64,
    in_order: bool,
}

#[derive(Default)]
struct Epoch {
    accesses: u64,
    /// The most bytes that were here when room was needed.
    full_bytes: Option<u64>,
}

impl Default for Running {
    fn default() -> Self {
        Self::Lru(Lru::default())
    }
}

impl Adaptive {
    fn policy(&self) -> &dyn Policy {
        match &self.running {
            Running::Lru(lru) => lru,
            Running::ClockPro(pro) => &**pro,
        }
    }

    fn policy_mut(&mut self) -> &mut dyn Policy {
        match &mut self.running {
            Running::Lru(lru) => lru,
            Running::ClockPro(pro) => &mut **pro,
        }
    }

    fn put_in(&mut self, slot: u32, hash: u64, bytes: u64) {
        let index = slot as usize;
        lengthen(&mut self.hashes, index + 1, 0);
        lengthen(&mut self.known, index + 1, Known::default());
        self.hashes[index] = hash;
        self.known[index] = Known { bytes, in_order: true };
        self.entries += 1;
        self.bytes += bytes;
    }

    fn take_out(&mut self, slot: u32) {
        if let Some(known) = self.known.get_mut(slot as usize).filter(|known| known.in_order) {
            known.in_order = false;
            self.entries -= 1;
            self.bytes -= known.bytes;
        }
    }

    fn note_access(&mut self, slot: u32) {
        self.epoch.accesses += 1;
        let slot = slot as usize;
        if self.shadows.samples(self.hashes[slot]) {
            self.shadows.access(self.hashes[slot], self.known[slot].bytes);
        }
    }

    /// The shadows follow hits until so many accesses came by in which nothing had to go.
    fn most_followed(&self) -> u64 {
        4 * LEAST_EPOCH.max(2 * self.entries)
    }

    /// Compares the shadows when enough was read. Only a new entry makes a difference between policies, and only then
    /// may memory be taken: a hit allocates nothing.
    fn end_epoch_if_due(&mut self, uses: &dyn Uses) {
        if self.epoch.accesses >= LEAST_EPOCH.max(2 * self.entries) {
            self.end_epoch(uses);
        }
    }

    fn end_epoch(&mut self, uses: &dyn Uses) {
        let Epoch { full_bytes, .. } = std::mem::take(&mut self.epoch);
        self.is_pressed = full_bytes.is_some();
        let Hits { lru, pro } = self.shadows.take_hits();
        self.score = Hits { lru: self.score.lru / 2 + lru, pro: self.score.pro / 2 + pro };
        let Hits { lru, pro } = self.score;
        match self.running {
            Running::Lru(_) if hits_more(pro, lru) => self.run_clock_pro(full_bytes, uses),
            Running::ClockPro(_) if hits_more(lru, pro) => self.run_lru(uses),
            _ => {}
        }
        // What others leave this cache of its budget, or what locks do, is all that the shadows may count on.
        self.shadows.set_max_bytes(full_bytes.unwrap_or(self.max_bytes));
        self.shadows.resample(self.entries);
    }

    /// As if the other policy did better.
    #[cfg(test)]
    pub(super) fn change(&mut self, uses: &dyn Uses) {
        match self.running {
            Running::Lru(_) => self.run_clock_pro(self.epoch.full_bytes, uses),
            Running::ClockPro(_) => self.run_lru(uses),
        }
    }

    #[cfg(test)]
    pub(super) fn runs_lru(&self) -> bool {
        matches!(self.running, Running::Lru(_))
    }

    fn run_lru(&mut self, uses: &dyn Uses) {
        let mut lru = Lru::default();
        self.policy().for_each(uses, &mut |slot| lru.restore(slot, 0, 0, uses));
        self.running = Running::Lru(lru);
    }

    fn run_clock_pro(&mut self, full_bytes: Option<u64>, uses: &dyn Uses) {
        let mut entries = Vec::with_capacity(self.entries as usize);
        self.policy().for_each(uses, &mut |slot| {
            entries.push((slot, self.hashes[slot as usize], self.known[slot as usize].bytes));
        });
        let pro = ClockPro::take_over(self.max_bytes, full_bytes, self.shadows.cold_share(), &entries, uses);
        self.running = Running::ClockPro(Box::new(pro));
    }
}

/// By 5 %, and by more than chance makes of so few.
fn hits_more(one: u64, other: u64) -> bool {
    one > other + other / 20 + 2 * (one + other).isqrt()
}

impl Policy for Adaptive {
    fn insert(&mut self, slot: u32, hash: u64, bytes: u64, hint: Hint, uses: &dyn Uses) {
        self.put_in(slot, hash, bytes);
        self.policy_mut().insert(slot, hash, bytes, hint, uses);
        if self.shadows.are_too_many(self.entries) {
            self.shadows.resample(self.entries);
        }
        if hint == Hint::Normal {
            self.note_access(slot);
            self.end_epoch_if_due(uses);
        }
    }

    fn remove(&mut self, slot: u32) {
        self.take_out(slot);
        self.policy_mut().remove(slot);
    }

    fn restore(&mut self, slot: u32, hash: u64, bytes: u64, uses: &dyn Uses) {
        self.put_in(slot, hash, bytes);
        self.policy_mut().restore(slot, hash, bytes, uses);
    }

    fn peek(&mut self, uses: &dyn Uses) -> Option<u32> {
        self.policy_mut().peek(uses)
    }

    fn victim(&mut self, uses: &dyn Uses) -> Option<u32> {
        self.is_pressed = true;
        self.epoch.full_bytes = self.epoch.full_bytes.max(Some(self.bytes.min(self.max_bytes)));
        self.policy_mut().victim(uses)
    }

    fn evict(&mut self, slot: u32) {
        self.take_out(slot);
        self.policy_mut().evict(slot);
    }

    fn set_max_bytes(&mut self, bytes: u64, uses: &dyn Uses) {
        self.max_bytes = bytes;
        self.epoch.full_bytes = None;
        self.shadows.set_max_bytes(bytes);
        self.policy_mut().set_max_bytes(bytes, uses);
    }

    fn for_each(&self, uses: &dyn Uses, visit: &mut dyn FnMut(u32)) {
        self.policy().for_each(uses, visit);
    }

    fn renumber(&mut self, to: &[u32], n_slots: usize) {
        self.policy_mut().renumber(to, n_slots);
        renumber(&mut self.hashes, 0, to, n_slots);
        renumber(&mut self.known, Known::default(), to, n_slots);
    }

    fn samples(&self, hash: u64) -> bool {
        self.shadows.samples(hash)
    }

    fn take_resampled(&mut self) -> bool {
        self.shadows.take_resampled()
    }

    fn follows_hits(&self) -> bool {
        self.is_pressed
    }

    fn note_hits(&mut self, n: u64) {
        self.epoch.accesses += n;
        self.is_pressed &= self.epoch.accesses < self.most_followed();
    }

    fn note_sampled_hit(&mut self, slot: u32) {
        if self.is_pressed {
            self.note_access(slot);
        } else {
            self.epoch.accesses += 1;
        }
        self.is_pressed &= self.epoch.accesses < self.most_followed();
    }

    fn start_anew(&mut self, uses: &dyn Uses) {
        let max_bytes = self.max_bytes;
        *self = Self::default();
        self.set_max_bytes(max_bytes, uses);
    }

    fn memory_bytes(&self) -> usize {
        self.policy().memory_bytes()
            + self.hashes.capacity() * size_of::<u64>()
            + self.known.capacity() * size_of::<Known>()
    }

    fn learned_bytes(&self) -> usize {
        self.shadows.memory_bytes()
    }

    #[cfg(test)]
    fn check_invariants(&self, uses: &dyn Uses) {
        self.policy().check_invariants(uses);
        self.shadows.check_invariants();
        let in_order = || self.known.iter().filter(|known| known.in_order);
        assert_eq!(self.entries, in_order().count() as u64);
        assert_eq!(self.bytes, in_order().map(|known| known.bytes).sum::<u64>());
        let mut ordered = 0;
        self.policy().for_each(uses, &mut |slot| {
            assert!(self.known[slot as usize].in_order);
            ordered += 1;
        });
        assert_eq!(self.entries, ordered);
    }
}

#[cfg(test)]
mod tests {
    use super::super::replay::{self, BLOCK, Replay};
    use super::*;

    #[test]
    fn a_loop_changes_it_to_clock_pro_and_rows_change_it_back() {
        let mut cache = Replay::new(Adaptive::default(), 1000 * BLOCK);
        replay::cyclic(4000, 3).into_iter().for_each(|access| {
            cache.access(access);
        });
        assert!(!cache.policy.runs_lru());
        cache.check_invariants();
        replay::rows(700, 20, 2, 8).into_iter().for_each(|access| {
            cache.access(access);
        });
        assert!(cache.policy.runs_lru());
        cache.check_invariants();
    }

    #[test]
    fn its_own_memory_is_bounded_by_the_entries() {
        let mut cache = Replay::new(Adaptive::default(), 20_000 * BLOCK);
        replay::cyclic(100_000, 2).into_iter().for_each(|access| {
            cache.access(access);
        });
        // Under CLOCK-Pro, as many ghosts beside.
        assert!(cache.policy.memory_bytes() < 20_000 * 256, "{}", cache.policy.memory_bytes());
        assert!(cache.policy.learned_bytes() < 600 << 10, "{}", cache.policy.learned_bytes());
    }
}
