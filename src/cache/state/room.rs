//! What goes when there is no room, and in which order.

use std::hash::Hash;

use crate::cache::Mode;
use crate::cache::beside::Beside;
use crate::cache::index::Index;
use crate::cache::slots::{BESIDE, Slots};

use super::{Evicted, State, came_so};

impl<K: Copy + Eq + Hash, V> State<K, V> {
    /// Evicts until `weight` bytes more fit in the budget; `false` when pins and loads leave no room for them, or nothing that
    /// may go for what is wanted in this way.
    pub(in crate::cache) fn make_room(
        &mut self,
        weight: u64,
        mode: Mode,
        slots: &Slots<K, V>,
        index: &Index,
    ) -> (bool, Evicted<V>) {
        let mut evicted = Vec::new();
        // When what cannot go is too much already, nothing else needs to.
        let fixed = self.parked_bytes.saturating_add(self.loading_bytes);
        if weight > 0 && fixed.saturating_add(weight) > self.max_bytes {
            return (false, evicted);
        }
        if self.loading_bytes.checked_add(weight).is_none() {
            return (false, evicted);
        }
        while self.bytes.saturating_add(self.loading_bytes).saturating_add(weight) > self.max_bytes {
            let is_beside = mode == Mode::Beside;
            if self.is_full_beside(if is_beside { weight } else { 0 }) {
                if let Some(value) = self.evict_beside(slots, index) {
                    evicted.push(value);
                    continue;
                }
                if is_beside {
                    return (false, evicted);
                }
            }
            let Some(slot) = self.policy.as_mut().and_then(|policy| policy.victim(slots)) else {
                return (false, evicted);
            };
            evicted.extend(self.evict(slot, slots, index));
        }
        (true, evicted)
    }

    /// Whether what came by in passing has its share, or would have more with `more` bytes.
    pub(in crate::cache) fn is_full_beside(&self, more: u64) -> bool {
        self.beside.is_full(more, self.max_bytes)
    }

    /// What may come by at once and be kept: in free room and in the place of what came in the same way, or its share of the
    /// rest.
    pub(in crate::cache) fn room_beside(&self) -> u64 {
        let others = self.bytes.saturating_sub(self.beside.bytes).saturating_add(self.loading_bytes);
        Beside::share(self.max_bytes).max(self.max_bytes.saturating_sub(others))
    }

    /// Evicts what came by in passing until `bytes` bytes have gone, as far as it can go.
    pub(in crate::cache) fn give_up_beside(&mut self, bytes: u64, slots: &Slots<K, V>, index: &Index) -> Evicted<V> {
        let enough = self.bytes.saturating_sub(bytes);
        let mut evicted = Vec::new();
        while self.bytes > enough {
            let Some(value) = self.evict_beside(slots, index) else { break };
            evicted.push(value);
        }
        evicted
    }

    /// Evicts what came by in passing first of all that is still there; `None` when there is nothing, or it is in use.
    fn evict_beside(&mut self, slots: &Slots<K, V>, index: &Index) -> Option<V> {
        let slot = self.beside.oldest(|slot, stamp| came_so(slots, slot, stamp))?;
        let value = self.remove(slot, slots, index)?;
        self.counts.evictions += 1;
        Some(value)
    }

    /// Evicts for another cache until `bytes` bytes have gone, or what is held would fall below `floor`, or the next
    /// entry is not urgent.
    pub(in crate::cache) fn give_up(
        &mut self,
        (bytes, floor): (u64, u64),
        is_urgent: impl Fn(u64) -> bool,
        slots: &Slots<K, V>,
        index: &Index,
    ) -> Evicted<V> {
        let mut evicted = Vec::new();
        let enough = self.bytes.saturating_sub(bytes);
        loop {
            let Some((slot, last_use)) = self.oldest(slots) else {
                self.account.set_oldest(u64::MAX);
                return evicted;
            };
            let bytes = self.metas[slot as usize].bytes;
            self.account.set_oldest(last_use);
            // Not what is set aside here: a load that waits for its bytes has none yet.
            let after = self.account.used().saturating_sub(bytes);
            if self.bytes <= enough || after < floor || !is_urgent(last_use) {
                return evicted;
            }
            // Now room is needed.
            let slot = self.policy.as_mut().and_then(|policy| policy.victim(slots)).unwrap_or(slot);
            evicted.extend(self.evict(slot, slots, index));
        }
    }

    /// Evicts what the policy named, or parks it when it is in use.
    fn evict(&mut self, slot: u32, slots: &Slots<K, V>, index: &Index) -> Option<V> {
        let was_beside = slots.word(slot).has(BESIDE);
        let Ok(value) = slots.take(slot) else {
            // If the pin goes at this moment the entry is looked at once more.
            self.park(slot, slots);
            return None;
        };
        if let Some(policy) = &mut self.policy {
            policy.evict(slot);
        }
        self.forget(slot, was_beside, index);
        self.counts.evictions += 1;
        Some(value)
    }
}
