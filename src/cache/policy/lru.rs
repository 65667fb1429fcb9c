//! Least recently used first, exactly.

use super::{Hint, Policy, Uses, lengthen, shorten};

/// An order of no more entries is noted as a whole; of a larger one, up to as many are asked what the oldest are like.
const SAMPLE: usize = 512;
/// The part of a larger order that is noted at a time.
const PART: usize = 8;

/// The order of last use. A hit costs it nothing: it finds out who was used when somebody has to go.
///
/// Then it goes through the stamps of all entries and notes the oldest eighth in order. These go one after the other,
/// but for those that were used since: whatever comes in or is used later has a later stamp than all that are noted, so
/// the order is exact. It looks at eight stamps for each entry that goes, or that is used again when it was about to.
/// With an eighth instead of all, and room for twice as many, the notes take 4 bytes an entry. A list in the order of use
/// takes 8, and a hit writes to three places of it that are far apart.
#[derive(Default)]
pub(crate) struct Lru {
    entries: Members,
    /// What was noted of the oldest entries, the oldest last.
    oldest: Vec<Noted>,
    /// All entries that were used no later than this are noted.
    noted_to: u64,
}

/// An entry as it was found; it is no longer the same when it left the order or has another stamp.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Noted {
    used: u64,
    slot: u32,
}

/// A set of slots.
#[derive(Default)]
struct Members {
    bits: Vec<u64>,
    len: usize,
}

impl Lru {
    /// Notes the oldest entries.
    fn look_for_the_oldest(&mut self, uses: &dyn Uses) {
        let up_to = self.up_to(uses);
        let noted = |slot| Noted { used: uses.last_use(slot), slot };
        self.oldest.clear();
        self.oldest.extend(self.entries.iter().map(noted).filter(|noted| noted.used <= up_to));
        self.oldest.sort_unstable_by(|a, b| b.cmp(a));
        self.noted_to = self.oldest.first().map_or(0, |noted| noted.used);
    }

    /// A stamp that about an eighth of the entries have not passed: an estimate, on which only the number of notes
    /// depends.
    fn up_to(&self, uses: &dyn Uses) -> u64 {
        if self.entries.len <= SAMPLE {
            return u64::MAX;
        }
        let mut sample = [0; SAMPLE];
        let every = self.entries.iter().step_by(self.entries.len.div_ceil(SAMPLE));
        let n = sample.iter_mut().zip(every).map(|(used, slot)| *used = uses.last_use(slot)).count();
        *sample[..n].select_nth_unstable(n / PART).1
    }

    /// Takes the memory that the notes may need. To be called with every new entry: a hit takes none, and it may be one
    /// in a shadow of the cache, where something has to go for it.
    fn prepare(&mut self) {
        let notes = self.entries.len.min(SAMPLE.max(2 * self.entries.len / PART));
        if notes > self.oldest.capacity() {
            self.oldest.reserve_exact(notes + notes / 8 - self.oldest.len());
        }
    }
}

impl Policy for Lru {
    fn insert(&mut self, slot: u32, _hash: u64, _bytes: u64, _hint: Hint, uses: &dyn Uses) {
        self.entries.insert(slot);
        self.prepare();
        let used = uses.last_use(slot);
        if used > self.noted_to {
            return;
        }
        // Read in passing, it goes before all that are noted. They are given up, to be looked for again, where it would
        // have to go between them, and when notes of entries that left unasked have piled up.
        let is_oldest = self.oldest.last().is_none_or(|oldest| used < oldest.used);
        if is_oldest && self.oldest.len() <= SAMPLE + 2 * self.entries.len {
            self.oldest.push(Noted { used, slot });
        } else {
            self.oldest.clear();
            self.noted_to = 0;
        }
    }

    fn remove(&mut self, slot: u32) {
        self.entries.remove(slot);
    }

    fn restore(&mut self, slot: u32, hash: u64, bytes: u64, uses: &dyn Uses) {
        self.insert(slot, hash, bytes, Hint::Normal, uses);
    }

    fn peek(&mut self, uses: &dyn Uses) -> Option<u32> {
        loop {
            while let Some(noted) = self.oldest.last() {
                if self.entries.contains(noted.slot) && uses.last_use(noted.slot) == noted.used {
                    return Some(noted.slot);
                }
                self.oldest.pop();
            }
            if self.entries.len == 0 {
                return None;
            }
            self.look_for_the_oldest(uses);
        }
    }

    fn evict(&mut self, slot: u32) {
        self.entries.remove(slot);
    }

    fn for_each(&self, uses: &dyn Uses, visit: &mut dyn FnMut(u32)) {
        let mut order: Vec<Noted> = self.entries.iter().map(|slot| Noted { used: uses.last_use(slot), slot }).collect();
        order.sort_unstable();
        order.into_iter().for_each(|noted| visit(noted.slot));
    }

    fn renumber(&mut self, to: &[u32], n_slots: usize) {
        let entries = std::mem::take(&mut self.entries);
        entries.iter().for_each(|slot| self.entries.insert(to[slot as usize]));
        shorten(&mut self.entries.bits, n_slots.div_ceil(64));
        // What is noted of one that left would be taken for another one.
        self.oldest.retain(|noted| entries.contains(noted.slot));
        self.oldest.iter_mut().for_each(|noted| noted.slot = to[noted.slot as usize]);
        self.oldest.shrink_to_fit();
        self.prepare();
    }

    fn start_anew(&mut self, _uses: &dyn Uses) {
        *self = Self::default();
    }

    fn memory_bytes(&self) -> usize {
        self.entries.bits.capacity() * size_of::<u64>() + self.oldest.capacity() * size_of::<Noted>()
    }

    #[cfg(test)]
    fn check_invariants(&self, uses: &dyn Uses) {
        assert_eq!(self.entries.len, self.entries.iter().count());
        assert!(self.oldest.is_sorted_by(|a, b| a > b));
        let noted = |slot: u32| self.oldest.iter().any(|noted| *noted == Noted { used: uses.last_use(slot), slot });
        assert!(self.entries.iter().all(|slot| uses.last_use(slot) > self.noted_to || noted(slot)));
    }
}

impl Members {
    fn contains(&self, slot: u32) -> bool {
        self.bits.get(slot as usize / 64).is_some_and(|bits| bits >> (slot % 64) & 1 != 0)
    }

    fn insert(&mut self, slot: u32) {
        let index = slot as usize / 64;
        lengthen(&mut self.bits, index + 1, 0);
        debug_assert!(!self.contains(slot), "slot {slot} is in the order already");
        self.bits[index] |= 1 << (slot % 64);
        self.len += 1;
    }

    /// Takes a slot out if it is in.
    fn remove(&mut self, slot: u32) {
        if self.contains(slot) {
            self.bits[slot as usize / 64] &= !(1 << (slot % 64));
            self.len -= 1;
        }
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        self.bits.iter().zip(0..).flat_map(|(bits, index): (&u64, u32)| {
            let mut left = *bits;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(index * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order as one would write it down, and the stamps that go with it.
    struct Checked {
        lru: Lru,
        /// The one to go first in front.
        order: Vec<u32>,
        out: Vec<u32>,
        used: Vec<u64>,
        clock: u64,
        passing_clock: u64,
    }

    impl Checked {
        fn new(slots: u32) -> Self {
            Self {
                lru: Lru::default(),
                order: Vec::new(),
                out: (0..slots).collect(),
                used: vec![0; slots as usize],
                clock: 1 << 32,
                passing_clock: 1 << 32,
            }
        }

        fn stamp(&mut self, slot: u32) {
            self.clock += 1;
            self.used[slot as usize] = self.clock;
        }

        fn insert(&mut self, slot: u32) {
            self.stamp(slot);
            self.lru.insert(slot, 0, 1, Hint::Normal, &self.used);
            self.order.push(slot);
        }

        fn insert_in_passing(&mut self, slot: u32) {
            self.passing_clock -= 1;
            self.used[slot as usize] = self.passing_clock;
            self.lru.insert(slot, 0, 1, Hint::Sequential, &self.used);
            self.order.insert(0, slot);
        }

        fn restore(&mut self, slot: u32) {
            self.stamp(slot);
            self.lru.restore(slot, 0, 1, &self.used);
            self.order.push(slot);
        }

        fn touch(&mut self, at: usize) {
            let slot = self.order.remove(at);
            self.stamp(slot);
            self.order.push(slot);
        }

        fn remove(&mut self, at: usize) {
            let slot = self.order.remove(at);
            self.lru.remove(slot);
            self.out.push(slot);
        }

        fn evict(&mut self) {
            assert_eq!(self.lru.victim(&self.used), self.order.first().copied());
            if !self.order.is_empty() {
                let slot = self.order.remove(0);
                self.lru.evict(slot);
                self.out.push(slot);
            }
        }

        /// Every entry into one of the first slots that is free, the last ones first, but for one that stays.
        fn renumber(&mut self, stays: u32) {
            let mut to: Vec<u32> = (0..self.used.len() as u32).collect();
            for from in (0..self.used.len() as u32).rev().filter(|slot| *slot != stays) {
                let Some(at) = self.order.iter().position(|slot| *slot == from) else { continue };
                let Some(first) = (0..from).find(|slot| !self.order.contains(slot)) else { break };
                (to[from as usize], self.order[at]) = (first, first);
                self.used[first as usize] = self.used[from as usize];
            }
            let n_slots = self.order.iter().max().map_or(0, |last| last + 1);
            self.lru.renumber(&to, n_slots as usize);
            self.out = (0..self.used.len() as u32).filter(|slot| !self.order.contains(slot)).collect();
        }

        fn check(&self) {
            self.lru.check_invariants(&self.used);
            let mut order = Vec::new();
            self.lru.for_each(&self.used, &mut |slot| order.push(slot));
            assert_eq!(order, self.order);
        }
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut lru = Checked::new(5);
        (0..4).for_each(|slot| lru.insert(slot));
        lru.evict();
        lru.touch(0);
        lru.remove(1);
        lru.insert_in_passing(4);
        lru.restore(3);
        assert_eq!(lru.order, [4, 2, 1, 3]);
        lru.check();
        (0..5).for_each(|_| lru.evict());
    }

    /// Small and large ones, nearly empty and nearly full ones, ones that are read more than they change.
    #[test]
    fn it_is_the_list_in_order_of_use_whatever_happens() {
        for (slots, puts_of_8, touches) in
            [(3, 5, 2), (64, 4, 1), (64, 6, 200), (700, 7, 3), (4000, 7, 1), (4000, 7, 20)]
        {
            let mut random = u64::from(slots) + touches;
            let mut next = |below: usize| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                (random >> 16) as usize % below.max(1)
            };
            let mut lru = Checked::new(slots);
            for step in 0..20_000 {
                let (kind, is_put) = (next(16), next(8) < puts_of_8);
                match lru.out.pop() {
                    Some(slot) if is_put => match kind {
                        0..2 => lru.insert_in_passing(slot),
                        2..4 => lru.restore(slot),
                        _ => lru.insert(slot),
                    },
                    slot => {
                        lru.out.extend(slot);
                        match kind {
                            0 if !lru.order.is_empty() => lru.remove(next(lru.order.len())),
                            _ => lru.evict(),
                        }
                    }
                }
                for _ in 0..next(2 * touches as usize) {
                    // The oldest are touched as well as the newest.
                    let at = if kind % 2 == 0 { next(lru.order.len()) } else { next(lru.order.len().min(20)) };
                    if at < lru.order.len() {
                        lru.touch(at);
                    }
                }
                if step % 1000 == 0 {
                    lru.check();
                }
                if step % 1500 == 0 && slots < 1000 {
                    lru.renumber(slots / 2);
                    lru.check();
                }
            }
            lru.check();
            while !lru.order.is_empty() {
                lru.evict();
            }
            lru.evict();
        }
    }

    #[test]
    fn what_leaves_unasked_leaves_no_pile_of_notes() {
        let mut lru = Checked::new(2000);
        (0..1000).for_each(|slot| lru.insert(slot));
        lru.evict();
        for _ in 0..1000 {
            (1000..1100).for_each(|slot| lru.insert_in_passing(slot));
            (0..100).for_each(|_| lru.remove(0));
        }
        assert!(lru.lru.memory_bytes() < 100_000, "{}", lru.lru.memory_bytes());
        lru.check();
    }
}
