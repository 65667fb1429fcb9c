//! CLOCK-Pro: entries that come back soon stay, whatever passes through beside them.
//!
//! After Jiang, Chen and Zhang, "CLOCK-Pro: an effective improvement of the CLOCK replacement" (USENIX ATC 2005), in
//! bytes instead of pages. An entry is *hot* or *cold*; cold ones go. One that came in is cold and *in test*: used again
//! before its test ends, it turns hot, also when it was evicted meanwhile: its hash stays as a *ghost*. What the hot
//! hand passes ends its test. Cold entries get the more room the more tests are passed.
//!
//! The paper has one clock with three hands, of which the cold one must walk over all that is hot to find the few that
//! are cold. Here each hand has a list of its own in the order of that clock and stands at its back, so that every step
//! of a hand is work done, and a victim costs O(1) amortised over uses.

use super::hashed::{self, Hashed};
use super::list::List;
use super::{Hint, Policy, Uses, lengthen, renumber};

const NONE: u32 = u32::MAX;
/// No entry's stamp: what was seen last of an entry that counts as used since.
const NEVER: u64 = u64::MAX;

/// Hot and cold entries, and the hashes of as many bytes of entries that are gone.
#[derive(Default)]
pub(crate) struct ClockPro {
    nodes: Vec<Node>,
    free: Vec<u32>,
    /// The node of a slot, `NONE` for one that is not here.
    node_of: Vec<u32>,
    /// Hot nodes and nodes in test, ghosts among them. The hot hand stands at the back.
    clock: List,
    /// Cold residents. The cold hand stands at the back.
    cold: List,
    /// Nodes in test without an entry. The test hand stands at the back.
    ghosts: List,
    ghost_of: Hashed<u32>,
    max_bytes: u64,
    /// What the entries may take together, as far as is known: the budget, or what was here when room was last needed.
    capacity: u64,
    /// An entry had to go since the budget last grew.
    full: bool,
    resident_bytes: u64,
    hot_bytes: u64,
    ghost_bytes: u64,
    /// The part of the capacity that is for cold entries.
    cold_target: u64,
}

#[derive(Clone, Copy)]
struct Node {
    hash: u64,
    bytes: u64,
    /// `NONE` for a ghost.
    slot: u32,
    hot: bool,
    in_test: bool,
    /// Its last use when a hand came by, or when it came in.
    seen: u64,
}

impl Node {
    /// Whether its entry was used since a hand came by.
    fn was_used(&self, uses: &dyn Uses) -> bool {
        uses.last_use(self.slot) != self.seen
    }

    /// Whether it was, and that it is known now.
    fn take_used(&mut self, uses: &dyn Uses) -> bool {
        let used = uses.last_use(self.slot);
        std::mem::replace(&mut self.seen, used) != used
    }
}

impl ClockPro {
    /// The share of the capacity that is for cold entries.
    pub(super) fn cold_share(&self) -> f64 {
        self.cold_target as f64 / self.capacity.max(1) as f64
    }

    /// Takes over entries that were cached under another policy, the one that would go soonest first: as hot as many of
    /// the last ones as the share leaves room for. `full_bytes` is what was here when room was last needed, if it was.
    pub(super) fn take_over(
        max_bytes: u64,
        full_bytes: Option<u64>,
        cold_share: f64,
        entries: &[(u32, u64, u64)],
        uses: &dyn Uses,
    ) -> Self {
        let mut pro = Self::default();
        pro.set_max_bytes(max_bytes, uses);
        pro.capacity = full_bytes.unwrap_or(max_bytes).min(max_bytes);
        pro.full = full_bytes.is_some();
        pro.set_cold_target((pro.capacity as f64 * cold_share) as u64);
        let mut newer_bytes: u64 = entries.iter().map(|(_, _, bytes)| bytes).sum();
        for &(slot, hash, bytes) in entries {
            let hot = newer_bytes <= pro.capacity - pro.cold_target;
            pro.add(Node { hash, bytes, slot, hot, in_test: false, seen: uses.last_use(slot) });
            newer_bytes -= bytes;
        }
        pro
    }

    /// Puts a resident node at the front of what it belongs to.
    fn add(&mut self, node: Node) {
        let id = self.free.pop().unwrap_or(self.nodes.len() as u32);
        lengthen(&mut self.nodes, id as usize + 1, node);
        self.nodes[id as usize] = node;
        let slot = node.slot as usize;
        lengthen(&mut self.node_of, slot + 1, NONE);
        self.node_of[slot] = id;
        self.resident_bytes += node.bytes;
        if node.hot {
            self.hot_bytes += node.bytes;
        } else {
            self.cold.push_front(id);
        }
        if node.hot || node.in_test {
            self.clock.push_front(id);
        }
    }

    /// Takes the entry of a slot out of everything.
    fn take_out(&mut self, slot: u32) -> Option<u32> {
        let id = std::mem::replace(self.node_of.get_mut(slot as usize)?, NONE);
        let node = self.nodes.get(id as usize)?;
        self.resident_bytes -= node.bytes;
        if node.hot {
            self.hot_bytes -= node.bytes;
        }
        self.cold.remove(id);
        Some(id)
    }

    fn forget(&mut self, id: u32) {
        self.clock.remove(id);
        self.free.push(id);
    }

    fn forget_ghost(&mut self, id: u32) {
        let Node { hash, bytes, .. } = self.nodes[id as usize];
        self.ghosts.remove(id);
        self.ghost_of.remove(&hash);
        self.ghost_bytes -= bytes;
        self.forget(id);
    }

    /// Gives back what free nodes take: those that are left close ranks.
    fn compact(&mut self) {
        let mut to: Vec<u32> = vec![0; self.nodes.len()];
        self.free.iter().for_each(|id| to[*id as usize] = NONE);
        let mut n_nodes = 0;
        for to in to.iter_mut().filter(|to| **to != NONE) {
            (*to, n_nodes) = (n_nodes, n_nodes + 1);
        }
        let mut of_node = to.iter();
        self.nodes.retain(|_| of_node.next().is_some_and(|to| *to != NONE));
        self.nodes.shrink_to_fit();
        self.free = Vec::new();
        [&mut self.clock, &mut self.cold, &mut self.ghosts].into_iter().for_each(|list| list.renumber(&to));
        self.node_of.iter_mut().filter(|id| **id != NONE).for_each(|id| *id = to[*id as usize]);
        self.ghost_of.values_mut().for_each(|id| *id = to[*id as usize]);
        self.ghost_of.shrink_to_fit();
    }

    /// Changes the capacity and leaves cold entries their share of it.
    fn set_capacity(&mut self, bytes: u64, uses: &dyn Uses) {
        let share = self.cold_share();
        self.capacity = bytes;
        self.set_cold_target((share * bytes as f64) as u64);
        self.trim_ghosts();
        self.cool(uses);
    }

    fn set_cold_target(&mut self, bytes: u64) {
        let least = self.capacity / 32;
        self.cold_target = bytes.clamp(least, (self.capacity - self.capacity / 16).max(least));
    }

    /// Lets the hot hand go on until the hot entries leave the cold ones their part.
    fn cool(&mut self, uses: &dyn Uses) {
        while self.hot_bytes > self.capacity - self.cold_target {
            self.move_hot_hand(uses);
        }
        // Behind the last hot entry nothing can pass its test any more.
        while let Some(id) = self.clock.back().filter(|id| !self.nodes[*id as usize].hot) {
            self.end_test(id, uses);
        }
    }

    fn move_hot_hand(&mut self, uses: &dyn Uses) {
        let Some(id) = self.clock.back() else { return };
        let node = &mut self.nodes[id as usize];
        if !node.hot {
            self.end_test(id, uses);
        } else if node.take_used(uses) {
            self.clock.move_to_front(id);
        } else {
            node.hot = false;
            self.hot_bytes -= node.bytes;
            self.clock.remove(id);
            self.cold.push_front(id);
        }
    }

    /// Nobody came back for `id` in time, so cold entries have more room than they use.
    fn end_test(&mut self, id: u32, uses: &dyn Uses) {
        let node = &mut self.nodes[id as usize];
        if node.slot == NONE {
            return self.end_test_of_ghost(id);
        }
        node.in_test = false;
        let (passed, bytes) = (node.was_used(uses), node.bytes);
        self.clock.remove(id);
        if !passed {
            self.set_cold_target(self.cold_target.saturating_sub(bytes));
        }
    }

    fn end_test_of_ghost(&mut self, id: u32) {
        let bytes = self.nodes[id as usize].bytes;
        self.forget_ghost(id);
        self.set_cold_target(self.cold_target.saturating_sub(bytes));
    }

    fn trim_ghosts(&mut self) {
        while self.ghost_bytes > self.capacity {
            let Some(id) = self.ghosts.back() else { return };
            self.end_test_of_ghost(id);
        }
    }

    /// Room is needed, so what is here is what there is room for.
    fn note_full(&mut self, uses: &dyn Uses) {
        self.full = true;
        let held = self.resident_bytes.min(self.max_bytes);
        // Entries of many sizes never fill a budget quite.
        if held > self.capacity || held < self.capacity - self.capacity / 16 {
            self.set_capacity(held, uses);
        }
    }
}

impl Policy for ClockPro {
    fn insert(&mut self, slot: u32, hash: u64, bytes: u64, hint: Hint, uses: &dyn Uses) {
        let mut node = Node { hash, bytes, slot, hot: false, in_test: false, seen: uses.last_use(slot) };
        if hint == Hint::Sequential {
            self.add(node);
            let id = self.node_of[slot as usize];
            self.cold.remove(id);
            self.cold.push_back(id);
            return;
        }
        if let Some(&ghost) = self.ghost_of.get(&hash) {
            self.forget_ghost(ghost);
            self.set_cold_target(self.cold_target.saturating_add(bytes));
            node.hot = true;
        } else if !self.full && self.hot_bytes + bytes <= self.capacity - self.cold_target {
            node.hot = true;
        } else {
            node.in_test = true;
        }
        self.add(node);
        self.cool(uses);
    }

    fn remove(&mut self, slot: u32) {
        if let Some(id) = self.take_out(slot) {
            self.forget(id);
        }
    }

    fn restore(&mut self, slot: u32, hash: u64, bytes: u64, uses: &dyn Uses) {
        // The hand named it when it was cold. It was used, so next time it turns hot.
        self.add(Node { hash, bytes, slot, hot: false, in_test: true, seen: NEVER });
        self.cool(uses);
    }

    fn peek(&mut self, uses: &dyn Uses) -> Option<u32> {
        loop {
            let Some(id) = self.cold.back() else {
                // All is hot, or nothing is here but ghosts.
                self.clock.back()?;
                self.move_hot_hand(uses);
                continue;
            };
            let node = &mut self.nodes[id as usize];
            if !node.take_used(uses) {
                return Some(node.slot);
            }
            let bytes = node.bytes;
            if node.in_test {
                (node.hot, node.in_test) = (true, false);
                self.hot_bytes += bytes;
                self.cold.remove(id);
                self.clock.move_to_front(id);
                self.set_cold_target(self.cold_target.saturating_add(bytes));
                self.cool(uses);
            } else {
                node.in_test = true;
                self.cold.move_to_front(id);
                self.clock.push_front(id);
            }
        }
    }

    fn victim(&mut self, uses: &dyn Uses) -> Option<u32> {
        self.note_full(uses);
        self.peek(uses)
    }

    fn evict(&mut self, slot: u32) {
        let Some(id) = self.take_out(slot) else { return };
        let Node { hash, bytes, in_test, .. } = self.nodes[id as usize];
        if !in_test {
            return self.forget(id);
        }
        if let Some(&older) = self.ghost_of.get(&hash) {
            self.forget_ghost(older);
        }
        let node = &mut self.nodes[id as usize];
        (node.slot, node.hot) = (NONE, false);
        self.ghosts.push_front(id);
        self.ghost_of.insert(hash, id);
        self.ghost_bytes += bytes;
        self.trim_ghosts();
    }

    fn set_max_bytes(&mut self, bytes: u64, uses: &dyn Uses) {
        let more = bytes > std::mem::replace(&mut self.max_bytes, bytes);
        self.full &= !more;
        self.set_capacity(if more { bytes } else { bytes.min(self.capacity) }, uses);
    }

    fn for_each(&self, _uses: &dyn Uses, visit: &mut dyn FnMut(u32)) {
        let slot = |id: u32| self.nodes[id as usize].slot;
        self.cold.iter_from_back().map(slot).for_each(&mut *visit);
        self.clock.iter_from_back().filter(|id| self.nodes[*id as usize].hot).map(slot).for_each(visit);
    }

    fn renumber(&mut self, to: &[u32], n_slots: usize) {
        self.compact();
        self.nodes.iter_mut().filter(|node| node.slot != NONE).for_each(|node| node.slot = to[node.slot as usize]);
        renumber(&mut self.node_of, NONE, to, n_slots);
    }

    fn start_anew(&mut self, uses: &dyn Uses) {
        let max_bytes = self.max_bytes;
        *self = Self::default();
        self.set_max_bytes(max_bytes, uses);
    }

    fn memory_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + (self.free.capacity() + self.node_of.capacity()) * size_of::<u32>()
            + self.clock.memory_bytes()
            + self.cold.memory_bytes()
            + self.ghosts.memory_bytes()
            + hashed::memory_bytes(&self.ghost_of)
    }

    #[cfg(test)]
    fn check_invariants(&self, _uses: &dyn Uses) {
        for list in [&self.clock, &self.cold, &self.ghosts] {
            list.check_invariants();
        }
        let (mut resident, mut hot, mut ghost, mut live) = (0, 0, 0, 0);
        for (id, node) in (0..).zip(&self.nodes).filter(|(id, _)| !self.free.contains(id)) {
            live += 1;
            let is_ghost = node.slot == NONE;
            assert_eq!(self.clock.contains(id), node.hot || node.in_test);
            assert_eq!(self.cold.contains(id), !node.hot && !is_ghost);
            assert_eq!(self.ghosts.contains(id), is_ghost);
            assert!(!(node.hot && node.in_test) && (!is_ghost || node.in_test));
            if is_ghost {
                assert_eq!(self.ghost_of.get(&node.hash), Some(&id));
                ghost += node.bytes;
            } else {
                assert_eq!(self.node_of[node.slot as usize], id);
                resident += node.bytes;
                hot += if node.hot { node.bytes } else { 0 };
            }
        }
        assert_eq!((resident, hot, ghost), (self.resident_bytes, self.hot_bytes, self.ghost_bytes));
        assert_eq!(self.nodes.len(), live + self.free.len());
        assert_eq!(self.ghost_of.len(), self.ghosts.iter_from_back().count());
        assert!(self.capacity <= self.max_bytes && self.ghost_bytes <= self.capacity);
        assert!(self.cold_target <= self.capacity);
    }
}
