//! The values of a cache: found by key, ordered by last use, pinned ones out of that order.

use std::collections::HashMap;
use std::hash::Hash;

use crate::sync::Arc;

const NONE: u32 = u32::MAX;

/// Values in stable slots, a map from key to slot, and a list through the slots that are not pinned.
pub(super) struct Entries<K, V> {
    map: HashMap<K, u32>,
    slots: Vec<Slot<K, V>>,
    free: Vec<u32>,
    /// Most and least recently used of the unpinned slots.
    newest: u32,
    oldest: u32,
    bytes: u64,
    pinned_bytes: u64,
}

struct Slot<K, V> {
    /// `None` while the slot is free.
    entry: Option<(K, Arc<V>)>,
    weight: u64,
    pins: u32,
    newer: u32,
    older: u32,
}

impl<K, V> Default for Entries<K, V> {
    fn default() -> Self {
        Self {
            map: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
            bytes: 0,
            pinned_bytes: 0,
        }
    }
}

impl<K, V> Entries<K, V> {
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn pinned_bytes(&self) -> u64 {
        self.pinned_bytes
    }
}

impl<K: Copy + Eq + Hash, V> Entries<K, V> {
    pub(super) fn find(&self, key: &K) -> Option<u32> {
        self.map.get(key).copied()
    }

    /// Whether pinning `slot` would leave no more than `max` bytes pinned.
    pub(super) fn may_pin(&self, slot: u32, max: u64) -> bool {
        let slot = &self.slots[slot as usize];
        slot.pins > 0 || self.pinned_bytes + slot.weight <= max
    }

    pub(super) fn pin(&mut self, slot: u32) -> Arc<V> {
        if self.slots[slot as usize].pins == 0 {
            self.unlink(slot);
            self.pinned_bytes += self.slots[slot as usize].weight;
        }
        let slot = &mut self.slots[slot as usize];
        slot.pins += 1;
        match &slot.entry {
            Some((_, value)) => Arc::clone(value),
            None => unreachable!("slots found by key hold an entry"),
        }
    }

    /// Takes one pin back. The last one makes the entry the most recently used; then entries go until `max` bytes
    /// are left.
    #[must_use]
    pub(super) fn unpin(&mut self, slot: u32, max: u64) -> Vec<Arc<V>> {
        let pinned = &mut self.slots[slot as usize];
        pinned.pins -= 1;
        if pinned.pins > 0 {
            return Vec::new();
        }
        self.pinned_bytes -= pinned.weight;
        self.link_newest(slot);
        if self.bytes > max { self.evict_to(max) } else { Vec::new() }
    }

    /// Adds a value under a key that is absent, pinned once.
    pub(super) fn insert(&mut self, key: K, value: Arc<V>, weight: u64) -> u32 {
        let fresh = Slot { entry: Some((key, value)), weight, pins: 1, newer: NONE, older: NONE };
        let number = match self.free.pop() {
            Some(number) => {
                self.slots[number as usize] = fresh;
                number
            }
            None => {
                self.slots.push(fresh);
                (self.slots.len() - 1) as u32
            }
        };
        self.map.insert(key, number);
        self.bytes += weight;
        self.pinned_bytes += weight;
        number
    }

    /// Takes entries out, least recently used first, until `max` bytes or only pinned ones are left.
    #[must_use]
    pub(super) fn evict_to(&mut self, max: u64) -> Vec<Arc<V>> {
        let mut evicted = Vec::new();
        while self.bytes > max && self.oldest != NONE {
            evicted.extend(self.remove(self.oldest));
        }
        evicted
    }

    /// Takes out every unpinned entry for which `which` holds.
    #[must_use]
    pub(super) fn remove_if(&mut self, mut which: impl FnMut(&K) -> bool) -> Vec<Arc<V>> {
        let mut removed = Vec::new();
        let mut next = self.newest;
        while next != NONE {
            let slot = next;
            next = self.slots[slot as usize].older;
            if self.slots[slot as usize].entry.as_ref().is_some_and(|(key, _)| which(key)) {
                removed.extend(self.remove(slot));
            }
        }
        removed
    }

    fn remove(&mut self, slot: u32) -> Option<Arc<V>> {
        self.unlink(slot);
        let (key, value) = self.slots[slot as usize].entry.take()?;
        self.bytes -= self.slots[slot as usize].weight;
        self.map.remove(&key);
        self.free.push(slot);
        Some(value)
    }

    fn unlink(&mut self, slot: u32) {
        let (newer, older) = (self.slots[slot as usize].newer, self.slots[slot as usize].older);
        match newer {
            NONE => self.newest = older,
            newer => self.slots[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.slots[older as usize].newer = newer,
        }
    }

    fn link_newest(&mut self, slot: u32) {
        let older = std::mem::replace(&mut self.newest, slot);
        let linked = &mut self.slots[slot as usize];
        (linked.newer, linked.older) = (NONE, older);
        match older {
            NONE => self.oldest = slot,
            older => self.slots[older as usize].newer = slot,
        }
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        let mut listed = 0;
        let (mut next, mut newer) = (self.newest, NONE);
        while next != NONE {
            let slot = &self.slots[next as usize];
            assert_eq!((slot.pins, slot.newer), (0, newer));
            assert!(slot.entry.is_some());
            listed += 1;
            (newer, next) = (next, slot.older);
        }
        assert_eq!(self.oldest, newer);
        let live: Vec<_> = self.slots.iter().filter(|s| s.entry.is_some()).collect();
        let pinned: Vec<_> = live.iter().filter(|s| s.pins > 0).collect();
        assert_eq!(live.len(), self.map.len());
        assert_eq!(live.len(), listed + pinned.len());
        assert_eq!(self.slots.len(), live.len() + self.free.len());
        assert_eq!(self.bytes, live.iter().map(|s| s.weight).sum());
        assert_eq!(self.pinned_bytes, pinned.iter().map(|s| s.weight).sum());
        for (key, slot) in &self.map {
            assert!(self.slots[*slot as usize].entry.as_ref().is_some_and(|(k, _)| k == key));
        }
    }
}
