//! Least recently used first, exactly.

use super::list::List;
use super::{Hint, Policy};

/// The order of last use: 8 bytes an entry, a few writes a touch.
#[derive(Default)]
pub(crate) struct Lru {
    /// Most recently used in front.
    order: List,
}

impl Policy for Lru {
    fn insert(&mut self, slot: u32, _hash: u64, _bytes: u64, hint: Hint) {
        match hint {
            Hint::Normal => self.order.push_front(slot),
            Hint::Sequential => self.order.push_back(slot),
        }
    }

    fn touch(&mut self, slot: u32, hint: Hint) {
        if hint == Hint::Normal {
            self.order.move_to_front(slot);
        }
    }

    fn remove(&mut self, slot: u32) {
        self.order.remove(slot);
    }

    fn restore(&mut self, slot: u32, hash: u64, bytes: u64, hint: Hint) {
        self.insert(slot, hash, bytes, hint);
    }

    fn victim(&mut self) -> Option<u32> {
        self.order.back()
    }

    fn evict(&mut self, slot: u32) {
        self.order.remove(slot);
    }

    fn set_max_bytes(&mut self, _bytes: u64) {}

    fn for_each(&self, visit: &mut dyn FnMut(u32)) {
        self.order.iter_from_back().for_each(visit);
    }

    fn memory_bytes(&self) -> usize {
        self.order.memory_bytes()
    }

    #[cfg(test)]
    fn check_invariants(&self) {
        self.order.check_invariants();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut lru = Lru::default();
        (0..4).for_each(|slot| lru.insert(slot, 0, 1, Hint::Normal));
        lru.touch(0, Hint::Normal);
        lru.touch(1, Hint::Sequential);
        lru.remove(2);
        lru.touch(2, Hint::Normal);
        lru.insert(4, 0, 1, Hint::Sequential);
        lru.restore(2, 0, 1, Hint::Normal);
        let mut order = Vec::new();
        lru.for_each(&mut |slot| order.push(slot));
        assert_eq!(order, [4, 1, 3, 0, 2]);
        for slot in order {
            lru.check_invariants();
            assert_eq!(lru.victim(), Some(slot));
            lru.evict(slot);
        }
        assert_eq!(lru.victim(), None);
    }
}
