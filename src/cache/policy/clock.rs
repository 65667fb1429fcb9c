//! Second chance.

use super::list::List;
use super::{Hint, Policy};

/// First in, first out, where an entry that was touched since it was last looked at comes in once more. A touch writes
/// one byte and moves nothing.
#[derive(Default)]
pub(crate) struct Clock {
    /// The hand stands at the back; what it passes comes to the front.
    order: List,
    touched: Vec<bool>,
}

impl Policy for Clock {
    fn insert(&mut self, slot: u32, _hash: u64, _bytes: u64, hint: Hint) {
        match hint {
            Hint::Normal => self.order.push_front(slot),
            Hint::Sequential => self.order.push_back(slot),
        }
        if slot as usize >= self.touched.len() {
            self.touched.resize(slot as usize + 1, false);
        }
        self.touched[slot as usize] = false;
    }

    fn touch(&mut self, slot: u32, hint: Hint) {
        if let (Hint::Normal, Some(touched)) = (hint, self.touched.get_mut(slot as usize)) {
            *touched = true;
        }
    }

    fn remove(&mut self, slot: u32) {
        self.order.remove(slot);
    }

    fn restore(&mut self, slot: u32, hash: u64, bytes: u64, hint: Hint) {
        self.insert(slot, hash, bytes, hint);
    }

    fn victim(&mut self) -> Option<u32> {
        loop {
            let slot = self.order.back()?;
            if !std::mem::take(&mut self.touched[slot as usize]) {
                return Some(slot);
            }
            self.order.move_to_front(slot);
        }
    }

    fn evict(&mut self, slot: u32) {
        self.order.remove(slot);
    }

    fn set_max_bytes(&mut self, _bytes: u64) {}

    fn for_each(&self, visit: &mut dyn FnMut(u32)) {
        let mut visit_where = |touched| {
            self.order.iter_from_back().filter(|slot| self.touched[*slot as usize] == touched).for_each(&mut *visit);
        };
        visit_where(false);
        visit_where(true);
    }

    fn memory_bytes(&self) -> usize {
        self.order.memory_bytes() + self.touched.capacity()
    }

    #[cfg(test)]
    fn check_invariants(&self) {
        self.order.check_invariants();
        assert!(self.order.iter_from_back().all(|slot| (slot as usize) < self.touched.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_touched_gets_a_second_chance() {
        let mut clock = Clock::default();
        (0..4).for_each(|slot| clock.insert(slot, 0, 1, Hint::Normal));
        clock.touch(0, Hint::Normal);
        clock.touch(1, Hint::Sequential);
        clock.insert(4, 0, 1, Hint::Sequential);
        let mut order = Vec::new();
        clock.for_each(&mut |slot| order.push(slot));
        assert_eq!(order, [4, 1, 2, 3, 0]);
        for slot in order {
            clock.check_invariants();
            assert_eq!(clock.victim(), Some(slot));
            clock.evict(slot);
        }
        assert_eq!(clock.victim(), None);
    }
}
