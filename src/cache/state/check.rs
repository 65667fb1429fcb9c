//! What holds between the parts of a state, for tests.

use std::collections::HashSet;
use std::hash::Hash;

use crate::cache::slots::{BESIDE, HIDDEN, SAMPLED, Slots, State as SlotState, WATCHED};

use super::{State, came_so};

impl<K: Copy + Eq + Hash, V> State<K, V> {
    pub(in crate::cache) fn check_invariants(&self, slots: &Slots<K, V>, is_found: impl Fn(&K, u32) -> bool) {
        let (mut bytes, mut parked, mut entries) = (0, 0, 0);
        let (mut n_beside, mut beside_bytes) = (0, 0);
        for slot in 0..self.n_slots() {
            let word = slots.word(slot);
            if word.state() == SlotState::Absent {
                assert!(self.free.contains(&slot));
                continue;
            }
            let meta = self.metas[slot as usize];
            // Another one under the same key may be watched now; what is hidden is found by nobody.
            assert!(word.has(WATCHED | HIDDEN) || !self.curve.watches(meta.hash));
            let is_sampled = self.policy.as_ref().is_some_and(|policy| policy.samples(meta.hash));
            assert!(!is_sampled || word.has(SAMPLED));
            assert!(slots.key(slot).is_some_and(|key| is_found(&key, slot) != word.has(HIDDEN)));
            assert!(word.is_parked() || word.state() == SlotState::Clean, "a dirty entry is in no policy");
            assert!(!word.is_parked() || word.pins() > 0 || word.state() != SlotState::Clean);
            entries += 1;
            bytes += meta.bytes;
            if word.has(BESIDE) {
                n_beside += 1;
                beside_bytes += meta.bytes;
            }
            parked += if word.is_parked() { meta.bytes } else { 0 };
        }
        assert_eq!((bytes, parked, entries), (self.bytes, self.parked_bytes, self.entries));
        self.beside.check_invariants(n_beside, beside_bytes, |slot, stamp| came_so(slots, slot, stamp));
        // A load that is about to start has its bytes set aside here before it has them of the total.
        assert!(self.account.used() <= self.bytes + self.loading_bytes);
        assert!(self.loading_bytes > 0 || self.account.used() == self.bytes);
        assert_eq!(self.free.len() as u64 + entries, self.metas.len() as u64);
        assert!(self.entries <= self.most_entries);
        assert_eq!(self.free.iter().collect::<HashSet<_>>().len(), self.free.len());
        assert_eq!(self.slots_with_memory, slots.with_memory());
        let (held, dirty) = self.held_bytes(slots);
        assert!(self.bytes <= self.max_bytes.max(held + dirty), "{} of {}", self.bytes, self.max_bytes);
        if let Some(policy) = &self.policy {
            policy.check_invariants(slots);
        }
    }
}
