//! Second chance.

use super::list::List;
use super::{Hint, Policy, Uses, lengthen, renumber};

/// First in, first out, where an entry that was used since it was last looked at comes in once more.
#[derive(Default)]
pub(crate) struct Clock {
    /// The hand stands at the back; what it passes comes to the front.
    order: List,
    /// The last use of each slot's entry when it was looked at, or came in.
    seen: Vec<u64>,
}

impl Policy for Clock {
    fn insert(&mut self, slot: u32, _hash: u64, _bytes: u64, hint: Hint, uses: &dyn Uses) {
        match hint {
            Hint::Normal => self.order.push_front(slot),
            Hint::Sequential => self.order.push_back(slot),
        }
        lengthen(&mut self.seen, slot as usize + 1, 0);
        self.seen[slot as usize] = uses.last_use(slot);
    }

    fn remove(&mut self, slot: u32) {
        self.order.remove(slot);
    }

    fn restore(&mut self, slot: u32, hash: u64, bytes: u64, uses: &dyn Uses) {
        self.insert(slot, hash, bytes, Hint::Normal, uses);
    }

    fn peek(&mut self, uses: &dyn Uses) -> Option<u32> {
        loop {
            let slot = self.order.back()?;
            let used = uses.last_use(slot);
            if std::mem::replace(&mut self.seen[slot as usize], used) == used {
                return Some(slot);
            }
            self.order.move_to_front(slot);
        }
    }

    fn evict(&mut self, slot: u32) {
        self.order.remove(slot);
    }

    fn for_each(&self, uses: &dyn Uses, visit: &mut dyn FnMut(u32)) {
        let was_used = |slot: u32| self.seen[slot as usize] != uses.last_use(slot);
        self.order.iter_from_back().filter(|slot| !was_used(*slot)).for_each(&mut *visit);
        self.order.iter_from_back().filter(|slot| was_used(*slot)).for_each(visit);
    }

    fn renumber(&mut self, to: &[u32], n_slots: usize) {
        self.order.renumber(to);
        renumber(&mut self.seen, 0, to, n_slots);
    }

    fn start_anew(&mut self, _uses: &dyn Uses) {
        *self = Self::default();
    }

    fn memory_bytes(&self) -> usize {
        self.order.memory_bytes() + self.seen.capacity() * size_of::<u64>()
    }

    #[cfg(test)]
    fn check_invariants(&self, _uses: &dyn Uses) {
        self.order.check_invariants();
        assert!(self.order.iter_from_back().all(|slot| (slot as usize) < self.seen.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    use proptest::prelude::*;

    #[test]
    fn what_was_used_gets_a_second_chance() {
        let mut used: Vec<u64> = (0..5).collect();
        let mut clock = Clock::default();
        (0..4).for_each(|slot| clock.insert(slot, 0, 1, Hint::Normal, &used));
        used[0] = 10;
        clock.insert(4, 0, 1, Hint::Sequential, &used);
        let mut order = Vec::new();
        clock.for_each(&used, &mut |slot| order.push(slot));
        assert_eq!(order, [4, 1, 2, 3, 0]);
        for slot in order {
            clock.check_invariants(&used);
            assert_eq!(clock.victim(&used), Some(slot));
            clock.evict(slot);
        }
        assert_eq!(clock.victim(&used), None);
    }

    proptest! {
        /// The model has a bit for each entry.
        #[test]
        fn it_is_the_clock_whose_bits_are_set_by_uses(steps in prop::collection::vec((0..6, 0..20u32), 1..400)) {
            let (mut clock, mut model) = (Clock::default(), VecDeque::<(u32, bool)>::new());
            let mut used = vec![0; 20];
            for ((step, slot), now) in steps.into_iter().zip(1..) {
                let known = model.iter().position(|(known, _)| *known == slot);
                match (step, known) {
                    (0, None) => {
                        used[slot as usize] = now;
                        clock.insert(slot, 0, 1, Hint::Sequential, &used);
                        model.push_front((slot, false));
                    }
                    (1 | 2, None) => {
                        used[slot as usize] = now;
                        clock.insert(slot, 0, 1, Hint::Normal, &used);
                        model.push_back((slot, false));
                    }
                    (0..3, Some(at)) => {
                        used[slot as usize] = now;
                        model[at].1 = true;
                    }
                    (3, Some(at)) => {
                        clock.remove(slot);
                        model.remove(at);
                    }
                    _ => {
                        while let Some((slot, true)) = model.front().copied() {
                            model.rotate_left(1);
                            *model.back_mut().expect("it was rotated") = (slot, false);
                        }
                        let victim = model.pop_front().map(|(slot, _)| slot);
                        prop_assert_eq!(clock.victim(&used), victim);
                        victim.into_iter().for_each(|slot| clock.evict(slot));
                    }
                }
                clock.check_invariants(&used);
            }
        }
    }
}
