//! What the cache's mutex guards: the policy, the budget, and the loads under way.

#[cfg(test)]
mod check;
mod memory;
mod room;

use std::collections::HashMap;
use std::hash::Hash;

use crate::sync::Arc;

use crate::cache::beside::Beside;
use crate::cache::curve::ReuseCurve;
use crate::cache::flight::Flight;
use crate::cache::index::Index;
use crate::cache::kind::CachePolicy;
use crate::cache::policy::{Hint, Policy, Uses, lengthen};
use crate::cache::seen::Seen;
use crate::cache::slots::{BESIDE, HIDDEN, SAMPLED, Slots, State as SlotState, WATCHED};
use crate::cache::worth::Worth;
use crate::cache::{Account, Counts, Mode};

/// Values that were taken out, to be dropped when the mutex is free again.
pub(in crate::cache) type Evicted<V> = Vec<V>;

pub(in crate::cache) struct State<K, V> {
    metas: Vec<Meta>,
    /// The one that is filled next is the last one.
    free: Vec<u32>,
    /// Slots that have memory.
    slots_with_memory: usize,
    /// The most entries since memory was last given back, and how many went.
    most_entries: u64,
    gone_entries: u64,
    /// Entries that came, for what is looked at every now and then.
    came_entries: u64,
    pub(in crate::cache) flights: HashMap<K, Arc<Flight<V>>>,
    /// The flush under way, for those who wait for their turn.
    pub(in crate::cache) flushing: Option<Arc<Flight<()>>>,
    /// `None` keeps nothing that is not pinned.
    policy: Option<Box<dyn Policy>>,
    pub(in crate::cache) max_bytes: u64,
    /// Told of every byte that comes and goes.
    account: Arc<Account>,
    worth: Worth,
    /// Whether the policy asks what a load costs.
    weighs_cost: bool,
    seen: Seen,
    /// Bytes of entries.
    pub(in crate::cache) bytes: u64,
    /// Of these, bytes of entries that no policy knows, because they are pinned or dirty.
    parked_bytes: u64,
    beside: Beside,
    /// Reserved for loads under way.
    pub(in crate::cache) loading_bytes: u64,
    pub(in crate::cache) entries: u64,
    /// How often everything was forgotten: a load that began before that is out of date.
    pub(in crate::cache) forgotten: u64,
    pub(in crate::cache) counts: Counts,
    pub(in crate::cache) curve: ReuseCurve,
    /// The last stamp of a use, and of a use in passing: those count down, so that the last one is the first to go.
    clock: u64,
    passing_clock: u64,
}

/// Hits of which only the number matters to the curve, and to the policy if the entry is in its order.
#[derive(Default)]
struct Plain {
    hits: u64,
    in_order: u64,
}

/// The memory of structures changes slowly: it is looked at once for so many entries that come.
const ENTRIES_BETWEEN_LOOKS: u64 = 64;

/// Where stamps start: above those of what was read in passing, in every cache.
pub(in crate::cache) const FIRST_STAMP: u64 = 1 << 40;

/// What is known of a slot's entry beside its key and value.
#[derive(Clone, Copy, Default)]
struct Meta {
    hash: u64,
    bytes: u64,
}

impl<K: Copy + Eq + Hash, V> State<K, V> {
    pub(in crate::cache) fn new(account: Arc<Account>, kind: CachePolicy) -> Self {
        let max_bytes = account.room_bytes();
        Self {
            metas: Vec::new(),
            free: Vec::new(),
            slots_with_memory: 0,
            most_entries: 0,
            gone_entries: 0,
            came_entries: 0,
            flights: HashMap::new(),
            flushing: None,
            policy: kind.build(max_bytes),
            max_bytes,
            account,
            worth: Worth::default(),
            weighs_cost: kind == CachePolicy::Adaptive,
            seen: Seen::default(),
            bytes: 0,
            parked_bytes: 0,
            beside: Beside::default(),
            loading_bytes: 0,
            entries: 0,
            forgotten: 0,
            counts: Counts::default(),
            curve: ReuseCurve::default(),
            clock: FIRST_STAMP,
            passing_clock: FIRST_STAMP,
        }
    }

    /// The stamp for a use that happens now.
    #[inline]
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Lets stamps from now on be later than those of all caches before loads that are over.
    fn catch_up(&mut self) {
        self.clock = self.clock.max(self.account.total().now());
    }

    /// The stamp for a new entry that was read in passing.
    fn tick_passing(&mut self) -> u64 {
        self.passing_clock -= 1;
        self.passing_clock
    }

    /// Whether nothing is kept that is not pinned.
    pub(in crate::cache) fn is_off(&self) -> bool {
        self.policy.is_none()
    }

    pub(in crate::cache) fn n_slots(&self) -> u32 {
        self.metas.len() as u32
    }

    pub(in crate::cache) fn set_max_bytes(&mut self, max_bytes: u64, slots: &Slots<K, V>) {
        self.max_bytes = max_bytes;
        if let Some(policy) = &mut self.policy {
            policy.set_max_bytes(max_bytes, slots);
        }
    }

    /// Obeys what the account allows by now: the total may have changed.
    pub(in crate::cache) fn follow_budget(&mut self, slots: &Slots<K, V>) {
        let max_bytes = self.account.room_bytes();
        if max_bytes != self.max_bytes {
            self.set_max_bytes(max_bytes, slots);
        }
    }

    /// Notes of hits reached the mutex: slots, and whether they were found in passing.
    ///
    /// Most of them only stamp the slot, whose line is still near, and are counted.
    pub(in crate::cache) fn note_hits(&mut self, notes: impl Iterator<Item = (u32, bool)>, slots: &Slots<K, V>) {
        let follows = self.policy.as_ref().is_some_and(|policy| policy.follows_hits());
        let flags = WATCHED | BESIDE | if follows { SAMPLED } else { 0 };
        self.catch_up();
        let (mut plain, mut skippable) = (Plain::default(), self.curve.skippable());
        for (slot, sequential) in notes {
            let stamp = (!sequential).then(|| self.tick());
            if plain.hits < skippable
                && let Some(in_order) = slots.note_plain_use(slot, stamp, flags)
            {
                plain.hits += 1;
                plain.in_order += u64::from(in_order && !sequential);
            } else {
                self.tell(std::mem::take(&mut plain));
                self.note_hit(slot, stamp, slots);
                skippable = self.curve.skippable();
            }
        }
        self.tell(plain);
    }

    fn tell(&mut self, plain: Plain) {
        self.worth.note_hits(plain.hits);
        self.curve.skip(plain.hits);
        if let Some(policy) = &mut self.policy {
            policy.note_hits(plain.in_order);
        }
    }

    /// A hit that may be more to the curve or the policy than one more. In passing it has no stamp.
    fn note_hit(&mut self, slot: u32, stamp: Option<u64>, slots: &Slots<K, V>) {
        let word = slots.word(slot);
        // The entry may have gone since, and another one come.
        if word.state() == SlotState::Absent {
            return;
        }
        self.worth.note_hits(1);
        let Meta { hash, bytes } = self.metas[slot as usize];
        let mut watched = word.has(WATCHED);
        self.curve.record_known(hash, bytes, &mut watched);
        if watched != word.has(WATCHED) {
            slots.set_flag(slot, WATCHED, watched);
        }
        let Some(stamp) = stamp else { return };
        self.note_wanted(slot, slots);
        slots.note_use(slot, stamp);
        match &mut self.policy {
            Some(policy) if !word.is_parked() && word.has(SAMPLED) => policy.note_sampled_hit(slot),
            Some(policy) if !word.is_parked() => policy.note_hits(1),
            _ => {}
        }
    }

    /// Somebody says that an entry will be wanted.
    pub(in crate::cache) fn renew(&mut self, slot: u32, slots: &Slots<K, V>) {
        self.catch_up();
        self.note_wanted(slot, slots);
        slots.note_use(slot, self.tick());
    }

    /// An entry is one like all others from now on, however it came.
    fn note_wanted(&mut self, slot: u32, slots: &Slots<K, V>) {
        if slots.word(slot).has(BESIDE) {
            slots.set_flag(slot, BESIDE, false);
            self.beside.note_gone(self.metas[slot as usize].bytes);
        }
    }

    /// An entry was asked for and not found.
    pub(in crate::cache) fn note_miss(&mut self, hash: u64, bytes: u64, mode: Mode) {
        self.catch_up();
        if !matches!(mode, Mode::Passing | Mode::Beside) {
            self.curve.prepare();
            self.curve.record(hash, bytes);
        }
    }

    /// Whether a value is worth keeping that is said to cost no more to load than to copy: to fill new memory costs more
    /// than several such loads.
    pub(in crate::cache) fn keeps_copy(&self, hash: u64) -> bool {
        !self.weighs_cost || !self.worth.is_copy() || self.seen.contains(hash)
    }

    /// A load is over that took so long.
    pub(in crate::cache) fn note_load(&mut self, hash: u64, bytes: u64, nanos: u64) {
        self.counts.load_nanos += nanos;
        self.counts.redundant_loads += self.seen.load(hash);
        if let Some(worth) = self.worth.note_load(bytes, nanos) {
            self.account.set_worth(worth);
        }
    }

    /// Takes a pinned or dirty entry out of the policy.
    pub(in crate::cache) fn park(&mut self, slot: u32, slots: &Slots<K, V>) {
        if !slots.word(slot).is_parked() && slots.park(slot) {
            if let Some(policy) = &mut self.policy {
                policy.remove(slot);
            }
            self.parked_bytes += self.metas[slot as usize].bytes;
        }
    }

    /// The last pin on a parked entry went: the policy gets it back, unless somebody pinned it again.
    pub(in crate::cache) fn settle(&mut self, slot: u32, slots: &Slots<K, V>, index: &Index) -> Evicted<V> {
        if self.policy.is_none() || slots.word(slot).has(HIDDEN) {
            return self.remove(slot, slots, index).into_iter().collect();
        }
        if slots.unpark(slot) {
            let meta = self.metas[slot as usize];
            self.parked_bytes -= meta.bytes;
            // Who read in passing does not make it younger by having had it at the wrong moment.
            if slots.last_use(slot) < FIRST_STAMP {
                slots.note_use(slot, self.tick_passing());
            } else if !slots.word(slot).has(BESIDE) {
                slots.note_use(slot, self.tick());
            }
            if let Some(policy) = &mut self.policy {
                policy.restore(slot, meta.hash, meta.bytes, slots);
            }
            // It may be all that can go.
            self.account.lower_oldest(slots.last_use(slot));
        }
        Vec::new()
    }

    /// Makes an entry of a loaded value, for which room was made. What was found was noted.
    pub(in crate::cache) fn publish(
        &mut self,
        (key, hash): (K, u64),
        value: V,
        bytes: u64,
        (pins, mode): (u32, Mode),
        slots: &Slots<K, V>,
        index: &Index,
    ) -> u32 {
        self.came_entries += 1;
        if self.came_entries.is_multiple_of(ENTRIES_BETWEEN_LOOKS) {
            self.follow_entries(slots, index);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            let slot = self.metas.len() as u32;
            assert!(slot < Slots::<K, V>::MAX, "more entries than slots");
            slots.grow_to(slot);
            lengthen(&mut self.metas, slot as usize + 1, Meta::default());
            slot
        });
        self.metas[slot as usize] = Meta { hash, bytes };
        let (hint, stamp) = match mode {
            Mode::Sequential => (Hint::Sequential, self.tick_passing()),
            _ => (Hint::Normal, self.tick()),
        };
        if self.entries == 0 {
            self.account.set_oldest(stamp);
        } else {
            self.account.lower_oldest(stamp);
        }
        let is_sampled = self.policy.as_ref().is_some_and(|policy| policy.samples(hash));
        let is_beside = mode == Mode::Beside;
        let flags = WATCHED | if is_sampled { SAMPLED } else { 0 } | if is_beside { BESIDE } else { 0 };
        self.slots_with_memory += usize::from(slots.publish(slot, (key, value), pins, flags, stamp));
        if is_beside {
            self.beside.push(slot, stamp, bytes, |slot, stamp| came_so(slots, slot, stamp));
        }
        index.insert(hash, slot, self.entries as usize);
        self.entries += 1;
        self.most_entries = self.most_entries.max(self.entries);
        self.bytes += bytes;
        if let Some(policy) = &mut self.policy {
            policy.insert(slot, hash, bytes, hint, slots);
            if policy.take_resampled() {
                self.flag_sampled(slots);
            }
        }
        // What will be held for long is not worth looking at. Without a policy nothing stays once it is let go.
        if pins > 0 && (mode == Mode::Lock || self.policy.is_none()) {
            self.park(slot, slots);
        }
        slot
    }

    /// Marks the entries whose hits the policy follows.
    fn flag_sampled(&self, slots: &Slots<K, V>) {
        for (meta, slot) in self.metas.iter().zip(0..) {
            let word = slots.word(slot);
            let is_sampled = self.policy.as_ref().is_some_and(|policy| policy.samples(meta.hash));
            if word.state() != SlotState::Absent && word.has(SAMPLED) != is_sampled {
                slots.set_flag(slot, SAMPLED, is_sampled);
            }
        }
    }

    /// The entry that the policy would let go next, and its stamp. Nothing is concluded from being asked.
    pub(in crate::cache) fn oldest(&mut self, slots: &Slots<K, V>) -> Option<(u32, u64)> {
        let slot = self.policy.as_mut()?.peek(slots)?;
        Some((slot, slots.last_use(slot)))
    }

    /// Takes an entry out because somebody wants it gone; `None` when it is pinned or dirty.
    pub(in crate::cache) fn remove(&mut self, slot: u32, slots: &Slots<K, V>, index: &Index) -> Option<V> {
        let word = slots.word(slot);
        let value = slots.take(slot).ok()?;
        if word.is_parked() {
            self.parked_bytes -= self.metas[slot as usize].bytes;
        } else if let Some(policy) = &mut self.policy {
            policy.remove(slot);
        }
        self.forget(slot, word.has(BESIDE), index);
        Some(value)
    }

    /// Takes an entry out, or, when it is pinned, lets nobody find it any more: it goes with its last pin. What is dirty
    /// stays.
    pub(in crate::cache) fn hide(&mut self, slot: u32, slots: &Slots<K, V>, index: &Index) -> Option<V> {
        // Pins come and go meanwhile: it can be taken, or be parked, or it is asked again.
        loop {
            if let Some(value) = self.remove(slot, slots, index) {
                return Some(value);
            }
            let word = slots.word(slot);
            if word.state() != SlotState::Clean || word.has(HIDDEN) {
                return None;
            }
            self.park(slot, slots);
            // Whoever takes the last pin back waits for the mutex, and finds the mark then.
            if slots.word(slot).is_parked() {
                index.remove(self.metas[slot as usize].hash, slot);
                slots.set_flag(slot, HIDDEN, true);
                return None;
            }
        }
    }

    /// The slot is free from now on.
    fn forget(&mut self, slot: u32, was_beside: bool, index: &Index) {
        let Meta { hash, bytes } = self.metas[slot as usize];
        if was_beside {
            self.beside.note_gone(bytes);
        }
        // There is nothing to remove for one that was hidden.
        index.remove(hash, slot);
        self.bytes -= bytes;
        self.account.give(bytes);
        self.entries -= 1;
        self.gone_entries += 1;
        self.free.push(slot);
    }

    /// Puts another policy in. Without one, what nobody holds goes.
    pub(in crate::cache) fn set_policy(&mut self, kind: CachePolicy, slots: &Slots<K, V>, index: &Index) -> Evicted<V> {
        let mut order = Vec::new();
        if let Some(old) = &self.policy {
            old.for_each(slots, &mut |slot| order.push(slot));
        }
        self.policy = kind.build(self.max_bytes);
        self.weighs_cost = kind == CachePolicy::Adaptive;
        let mut evicted = Vec::new();
        for slot in order {
            let Meta { hash, bytes } = self.metas[slot as usize];
            match &mut self.policy {
                Some(policy) => policy.restore(slot, hash, bytes, slots),
                // Pins come and go meanwhile; one of both will do.
                None => loop {
                    if slots.park(slot) {
                        self.parked_bytes += bytes;
                        break;
                    }
                    if let Some(value) = self.remove(slot, slots, index) {
                        evicted.push(value);
                        break;
                    }
                },
            }
        }
        self.flag_sampled(slots);
        evicted
    }

    /// A load is over for which `loading` bytes were set aside. Of these, `unused` are not for an entry now.
    pub(in crate::cache) fn finish(&mut self, key: &K, loading: u64, unused: u64) {
        self.flights.remove(key);
        self.loading_bytes -= loading;
        if unused > 0 {
            self.account.give(unused);
        }
    }

    /// Bytes of pinned entries, and of those that must be written back.
    pub(in crate::cache) fn held_bytes(&self, slots: &Slots<K, V>) -> (u64, u64) {
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
}

/// Whether there is an entry in a slot that came by in passing with this stamp, and was not used since.
fn came_so<K: Copy + Eq, V>(slots: &Slots<K, V>, slot: u32, stamp: u64) -> bool {
    slots.word(slot).has(BESIDE) && slots.last_use(slot) == stamp
}
