//! A doubly linked list through slots.

use super::lengthen;

const NONE: u32 = u32::MAX;
/// In `Link::ahead`: the slot is on no list.
const OUT: u32 = u32::MAX - 1;

/// Slots in an order, each at most once. Everything is O(1) and only putting a slot in that was never seen allocates.
pub(super) struct List {
    links: Vec<Link>,
    front: u32,
    back: u32,
}

#[derive(Clone, Copy)]
struct Link {
    ahead: u32,
    behind: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { links: Vec::new(), front: NONE, back: NONE }
    }
}

impl List {
    #[cfg(test)]
    pub(super) fn contains(&self, slot: u32) -> bool {
        self.links.get(slot as usize).is_some_and(|link| link.ahead != OUT)
    }

    pub(super) fn back(&self) -> Option<u32> {
        (self.back != NONE).then_some(self.back)
    }

    /// Puts in a slot that is not on the list.
    pub(super) fn push_front(&mut self, slot: u32) {
        let behind = std::mem::replace(&mut self.front, slot);
        match behind {
            NONE => self.back = slot,
            behind => self.links[behind as usize].ahead = slot,
        }
        *self.link_of_new(slot) = Link { ahead: NONE, behind };
    }

    /// Puts in a slot that is not on the list.
    pub(super) fn push_back(&mut self, slot: u32) {
        let ahead = std::mem::replace(&mut self.back, slot);
        match ahead {
            NONE => self.front = slot,
            ahead => self.links[ahead as usize].behind = slot,
        }
        *self.link_of_new(slot) = Link { ahead, behind: NONE };
    }

    /// Takes a slot out if it is on the list.
    pub(super) fn remove(&mut self, slot: u32) -> bool {
        let Some(link) = self.links.get_mut(slot as usize).filter(|link| link.ahead != OUT) else { return false };
        let Link { ahead, behind } = std::mem::replace(link, Link { ahead: OUT, behind: OUT });
        match ahead {
            NONE => self.front = behind,
            ahead => self.links[ahead as usize].behind = behind,
        }
        match behind {
            NONE => self.back = ahead,
            behind => self.links[behind as usize].ahead = ahead,
        }
        true
    }

    /// Brings a slot to the front if it is on the list.
    pub(super) fn move_to_front(&mut self, slot: u32) {
        if slot != self.front && self.remove(slot) {
            self.push_front(slot);
        }
    }

    pub(super) fn iter_from_back(&self) -> impl Iterator<Item = u32> {
        let mut next = self.back;
        std::iter::from_fn(move || {
            let slot = next;
            next = self.links.get(slot as usize)?.ahead;
            Some(slot)
        })
    }

    /// The same order of other numbers.
    pub(super) fn renumber(&mut self, to: &[u32]) {
        let before = std::mem::take(self);
        before.iter_from_back().for_each(|slot| self.push_front(to[slot as usize]));
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.links.capacity() * size_of::<Link>()
    }

    fn link_of_new(&mut self, slot: u32) -> &mut Link {
        let index = slot as usize;
        lengthen(&mut self.links, index + 1, Link { ahead: OUT, behind: OUT });
        debug_assert!(self.links[index].ahead == OUT, "slot {slot} is on the list already");
        &mut self.links[index]
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        let (mut listed, mut ahead, mut next) = (0, NONE, self.front);
        while next != NONE {
            let link = self.links[next as usize];
            assert_eq!(link.ahead, ahead, "slot {next}");
            listed += 1;
            assert!(listed <= self.links.len(), "the list is a ring");
            (ahead, next) = (next, link.behind);
        }
        assert_eq!(self.back, ahead);
        assert_eq!(self.links.iter().filter(|link| link.ahead != OUT).count(), listed);
    }
}
