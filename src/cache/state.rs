//! What the cache's mutex guards: the policy, the budget, and the loads under way.

use std::collections::HashMap;
use std::hash::Hash;

use crate::sync::Arc;

use super::curve::ReuseCurve;
use super::flight::Flight;
use super::index::Index;
use super::kind::CachePolicy;
use super::policy::{Hint, Policy};
use super::seen::Seen;
use super::slots::{Slots, State as SlotState};
use super::worth::Worth;
use super::{Account, Counts, Mode};

/// Values that were taken out, to be dropped when the mutex is free again.
pub(super) type Evicted<V> = Vec<V>;

pub(super) struct State<K, V> {
    metas: Vec<Meta>,
    free: Vec<u32>,
    pub(super) flights: HashMap<K, Arc<Flight<V>>>,
    /// `None` keeps nothing that is not pinned.
    policy: Option<Box<dyn Policy>>,
    pub(super) max_bytes: u64,
    /// Told of every byte that comes and goes.
    account: Arc<Account>,
    /// Of the last use that was noted.
    clock: u64,
    worth: Worth,
    /// Whether the policy asks what a load costs.
    weighs_cost: bool,
    seen: Seen,
    /// Bytes of entries.
    pub(super) bytes: u64,
    /// Of these, bytes of entries that no policy knows, because they are pinned or dirty.
    parked_bytes: u64,
    /// Reserved for loads under way.
    pub(super) loading_bytes: u64,
    pub(super) entries: u64,
    pub(super) counts: Counts,
    pub(super) curve: ReuseCurve,
}

/// What is known of a slot's entry beside its key and value.
#[derive(Clone, Copy, Default)]
struct Meta {
    hash: u64,
    bytes: u64,
    /// Whether the curve may watch it.
    watched: bool,
    last_use: u64,
}

impl<K: Copy + Eq + Hash, V> State<K, V> {
    pub(super) fn new(account: Arc<Account>, kind: CachePolicy) -> Self {
        let max_bytes = account.max_bytes();
        Self {
            metas: Vec::new(),
            free: Vec::new(),
            flights: HashMap::new(),
            policy: kind.build(max_bytes),
            max_bytes,
            account,
            clock: 0,
            worth: Worth::default(),
            weighs_cost: kind == CachePolicy::Adaptive,
            seen: Seen::default(),
            bytes: 0,
            parked_bytes: 0,
            loading_bytes: 0,
            entries: 0,
            counts: Counts::default(),
            curve: ReuseCurve::default(),
        }
    }

    /// Whether nothing is kept that is not pinned.
    pub(super) fn is_off(&self) -> bool {
        self.policy.is_none()
    }

    pub(super) fn n_slots(&self) -> u32 {
        self.metas.len() as u32
    }

    pub(super) fn set_max_bytes(&mut self, max_bytes: u64) {
        self.max_bytes = max_bytes;
        if let Some(policy) = &mut self.policy {
            policy.set_max_bytes(max_bytes);
        }
    }

    /// A note of a hit reached the mutex.
    pub(super) fn touch(&mut self, slot: u32, sequential: bool, slots: &Slots<K, V>) {
        let word = slots.word(slot);
        // The entry may have gone since, and another one come.
        if word.state() == SlotState::Absent {
            return;
        }
        let now = self.tick();
        let meta = &mut self.metas[slot as usize];
        self.curve.record_known(meta.hash, meta.bytes, &mut meta.watched);
        self.worth.note_hit();
        if !sequential {
            meta.last_use = now;
        }
        if !word.is_parked()
            && let Some(policy) = &mut self.policy
        {
            policy.touch(slot, if sequential { Hint::Sequential } else { Hint::Normal });
        }
    }

    /// Somebody says that an entry will be wanted.
    pub(super) fn renew(&mut self, slot: u32, slots: &Slots<K, V>) {
        self.metas[slot as usize].last_use = self.tick();
        if !slots.word(slot).is_parked()
            && let Some(policy) = &mut self.policy
        {
            policy.touch(slot, Hint::Normal);
        }
    }

    /// A time later than all before, and later than loads of other caches that are over.
    fn tick(&mut self) -> u64 {
        self.clock = (self.clock + 1).max(self.account.total().now());
        self.clock
    }

    /// An entry was asked for and not found.
    pub(super) fn note_miss(&mut self, hash: u64, bytes: u64, mode: Mode) {
        if mode != Mode::Passing {
            self.curve.prepare();
            self.curve.record(hash, bytes);
        }
    }

    /// Evicts until `weight` bytes more fit in the budget; `false` when pins and loads leave no room for them.
    pub(super) fn make_room(&mut self, weight: u64, slots: &Slots<K, V>, index: &Index) -> (bool, Evicted<V>) {
        let mut evicted = Vec::new();
        // When what cannot go is too much already, nothing else needs to.
        let fixed = self.parked_bytes.saturating_add(self.loading_bytes);
        if weight > 0 && fixed.saturating_add(weight) > self.max_bytes {
            return (false, evicted);
        }
        while self.bytes.saturating_add(self.loading_bytes).saturating_add(weight) > self.max_bytes {
            let Some(slot) = self.policy.as_mut().and_then(|policy| policy.victim()) else { return (false, evicted) };
            evicted.extend(self.evict(slot, slots, index));
        }
        (true, evicted)
    }

    /// Whether a value is worth keeping that is said to cost no more to load than to copy: to fill new memory costs more
    /// than several such loads.
    pub(super) fn keeps_copy(&self, hash: u64) -> bool {
        !self.weighs_cost || !self.worth.is_copy() || self.seen.contains(hash)
    }

    /// A load is over that took so long.
    pub(super) fn note_load(&mut self, hash: u64, bytes: u64, nanos: u64) {
        self.counts.load_nanos += nanos;
        self.counts.redundant_loads += self.seen.load(hash);
        if let Some(worth) = self.worth.note_load(bytes, nanos) {
            self.account.set_worth(worth);
        }
    }

    /// Evicts for another cache until `bytes` bytes have gone, or what is held would fall below `floor`, or the next
    /// entry is not urgent.
    pub(super) fn give_up(
        &mut self,
        (bytes, floor): (u64, u64),
        is_urgent: impl Fn(u64) -> bool,
        slots: &Slots<K, V>,
        index: &Index,
    ) -> Evicted<V> {
        let mut evicted = Vec::new();
        let enough = self.bytes.saturating_sub(bytes);
        loop {
            let Some(slot) = self.policy.as_mut().and_then(|policy| policy.victim()) else {
                self.account.set_oldest(u64::MAX);
                return evicted;
            };
            let Meta { bytes, last_use, .. } = self.metas[slot as usize];
            self.account.set_oldest(last_use);
            let after = (self.bytes + self.loading_bytes).saturating_sub(bytes);
            if self.bytes <= enough || after < floor || !is_urgent(last_use) {
                return evicted;
            }
            evicted.extend(self.evict(slot, slots, index));
        }
    }

    /// Evicts what the policy named, or parks it when it is in use.
    fn evict(&mut self, slot: u32, slots: &Slots<K, V>, index: &Index) -> Option<V> {
        let Ok(value) = slots.take(slot) else {
            // If the pin goes at this moment the entry is looked at once more.
            self.park(slot, slots);
            return None;
        };
        if let Some(policy) = &mut self.policy {
            policy.evict(slot);
        }
        self.forget(slot, index);
        self.counts.evictions += 1;
        Some(value)
    }

    /// Takes a pinned or dirty entry out of the policy.
    pub(super) fn park(&mut self, slot: u32, slots: &Slots<K, V>) {
        if !slots.word(slot).is_parked() && slots.park(slot) {
            if let Some(policy) = &mut self.policy {
                policy.remove(slot);
            }
            self.parked_bytes += self.metas[slot as usize].bytes;
        }
    }

    /// The last pin on a parked entry went: the policy gets it back, unless somebody pinned it again.
    pub(super) fn settle(&mut self, slot: u32, slots: &Slots<K, V>, index: &Index) -> Evicted<V> {
        if self.policy.is_none() {
            return self.remove(slot, slots, index).into_iter().collect();
        }
        if slots.unpark(slot) {
            let meta = self.metas[slot as usize];
            self.parked_bytes -= meta.bytes;
            self.metas[slot as usize].last_use = self.tick();
            if let Some(policy) = &mut self.policy {
                policy.restore(slot, meta.hash, meta.bytes, Hint::Normal);
            }
        }
        Vec::new()
    }

    /// Makes an entry of a loaded value, for which room was made.
    pub(super) fn publish(
        &mut self,
        (key, hash): (K, u64),
        value: V,
        bytes: u64,
        (pins, mode): (u32, Mode),
        slots: &Slots<K, V>,
        index: &Index,
    ) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            let slot = self.metas.len() as u32;
            assert!(slot < Slots::<K, V>::MAX, "more entries than slots");
            slots.grow_to(slot);
            self.metas.push(Meta::default());
            slot
        });
        let last_use = self.tick();
        self.metas[slot as usize] = Meta { hash, bytes, watched: true, last_use };
        if self.entries == 0 {
            self.account.set_oldest(last_use);
        }
        slots.publish(slot, key, value, pins);
        let metas = &self.metas;
        index.insert(hash, slot, self.entries as usize, |slot| metas[slot as usize].hash);
        self.entries += 1;
        self.bytes += bytes;
        let hint = if mode == Mode::Sequential { Hint::Sequential } else { Hint::Normal };
        if let Some(policy) = &mut self.policy {
            policy.insert(slot, hash, bytes, hint);
        }
        // What will be held for long is not worth looking at. Without a policy nothing stays once it is let go.
        if pins > 0 && (mode == Mode::Lock || self.policy.is_none()) {
            self.park(slot, slots);
        }
        slot
    }

    /// Takes an entry out because somebody wants it gone; `None` when it is pinned or dirty.
    pub(super) fn remove(&mut self, slot: u32, slots: &Slots<K, V>, index: &Index) -> Option<V> {
        let was_parked = slots.word(slot).is_parked();
        let value = slots.take(slot).ok()?;
        if was_parked {
            self.parked_bytes -= self.metas[slot as usize].bytes;
        } else if let Some(policy) = &mut self.policy {
            policy.remove(slot);
        }
        self.forget(slot, index);
        Some(value)
    }

    /// The slot is free from now on.
    fn forget(&mut self, slot: u32, index: &Index) {
        let Meta { hash, bytes, .. } = self.metas[slot as usize];
        index.remove(hash, slot, |slot| self.metas[slot as usize].hash);
        self.bytes -= bytes;
        self.account.give(bytes);
        self.entries -= 1;
        self.free.push(slot);
    }

    /// Puts another policy in. Without one, what nobody holds goes.
    pub(super) fn set_policy(&mut self, kind: CachePolicy, slots: &Slots<K, V>, index: &Index) -> Evicted<V> {
        // The order of the old policy is the best that is known.
        let mut order = Vec::new();
        if let Some(old) = &self.policy {
            old.for_each(&mut |slot| order.push(slot));
        }
        self.policy = kind.build(self.max_bytes);
        self.weighs_cost = kind == CachePolicy::Adaptive;
        let mut evicted = Vec::new();
        for slot in order {
            let Meta { hash, bytes, .. } = self.metas[slot as usize];
            match &mut self.policy {
                Some(policy) => policy.restore(slot, hash, bytes, Hint::Normal),
                None if slots.park(slot) => self.parked_bytes += bytes,
                None => evicted.extend(self.remove(slot, slots, index)),
            }
        }
        evicted
    }

    /// A load is over for which `loading` bytes were set aside. Of these, `unused` are not for an entry now.
    pub(super) fn finish(&mut self, key: &K, loading: u64, unused: u64) {
        self.flights.remove(key);
        self.loading_bytes -= loading;
        if unused > 0 {
            self.account.give(unused);
        }
    }

    /// Bytes of slots, of what is known of them, and of the policy.
    pub(super) fn structure_bytes(&self) -> usize {
        let policy = self.policy.as_ref().map_or(0, |policy| policy.memory_bytes());
        self.metas.capacity() * (size_of::<Meta>() + Slots::<K, V>::bytes())
            + self.free.capacity() * 4
            + policy
            + self.curve.memory_bytes()
            + self.seen.memory_bytes()
    }

    /// Bytes of pinned entries, and of those that must be written back.
    pub(super) fn held_bytes(&self, slots: &Slots<K, V>) -> (u64, u64) {
        self.metas.iter().zip(0..).fold((0, 0), |(pinned, dirty), (meta, slot)| {
            let word = slots.word(slot);
            match word.state() {
                SlotState::Absent => (pinned, dirty),
                state => (
                    pinned + if word.pins() > 0 { meta.bytes } else { 0 },
                    dirty + if state == SlotState::Clean { 0 } else { meta.bytes },
                ),
            }
        })
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self, slots: &Slots<K, V>, is_found: impl Fn(&K, u32) -> bool) {
        let (mut bytes, mut parked, mut entries) = (0, 0, 0);
        for slot in 0..self.n_slots() {
            let word = slots.word(slot);
            if word.state() == SlotState::Absent {
                assert!(self.free.contains(&slot));
                continue;
            }
            let meta = self.metas[slot as usize];
            assert!(slots.key(slot).is_some_and(|key| is_found(&key, slot)));
            assert!(word.is_parked() || word.state() == SlotState::Clean, "a dirty entry is in no policy");
            assert!(!word.is_parked() || word.pins() > 0 || word.state() != SlotState::Clean);
            entries += 1;
            bytes += meta.bytes;
            parked += if word.is_parked() { meta.bytes } else { 0 };
        }
        assert_eq!((bytes, parked, entries), (self.bytes, self.parked_bytes, self.entries));
        // A load that is about to start has its bytes set aside here before it has them of the total.
        assert!(self.account.used() <= self.bytes + self.loading_bytes);
        assert!(self.loading_bytes > 0 || self.account.used() == self.bytes);
        assert_eq!(self.free.len() as u64 + entries, self.metas.len() as u64);
        let (held, dirty) = self.held_bytes(slots);
        assert!(self.bytes <= self.max_bytes.max(held + dirty), "{} of {}", self.bytes, self.max_bytes);
        if let Some(policy) = &self.policy {
            policy.check_invariants();
        }
    }
}
