//! A cache of loaded values: bounded in bytes, one load for many who ask, found without a lock.
//!
//! It knows nothing of rasters. A value found or loaded comes back *pinned*: it stays, and stays findable, until the
//! pin is dropped. What is pinned for long is in no eviction structure, so it costs a miss nothing.
//!
//! ```text
//! hit:   hash -> index -> slot: pin (one atomic addition), compare the key -> a note in a ring. No lock.
//! miss:  mutex: note the load, make room; no lock: load; mutex: publish; wake who waited.
//! ```
//!
//! Apart from the ring, a hit looks at two lines of memory, one of the index and the first of the slot. Whoever has the
//! mutex next, a thread whose ring is full or one that misses, writes a stamp of the use into that line of the slot for
//! each note: that is all that the policy has to go by, and nothing else is touched, but for the few entries that are
//! watched.
//!
//! | file | what it is |
//! | --- | --- |
//! | `load` | one load for all who ask, and room for what it gives |
//! | `write_back` | values that must be written before they may go |
//! | `slots` | where entries live; their states, pins and last uses |
//! | `index` | from a key's hash to slots |
//! | `touches` | which entries were found, until somebody has the mutex |
//! | `policy` | which entry goes |
//! | `beside` | what comes by while somebody reads in passing |
//! | `curve` | how often a cache of another size would have hit |
//! | `flight` | a load, and those who wait for it |
//! | `state` | what the mutex guards: policy, budget, loads under way; what all of it takes, and how that shrinks |
//! | `total` | what several caches may hold together, and which of them gives something up |
//! | `worth` | what an entry is worth beside those of another cache |
//! | `seen` | what was loaded before |
//!
//! Locks: a thread takes the mutex of one cache, the one inside a flight, or the one of a total, never two at once, and
//! none while it loads or drops a value.

mod beside;
mod counts;
mod curve;
mod flight;
mod hash;
mod index;
mod kind;
mod load;
mod pinned;
mod policy;
mod seen;
mod slots;
mod state;
mod total;
mod touches;
mod worth;
mod write_back;

use std::hash::Hash;
use std::ops::Deref;

use crate::memory::{Class, Ledger};
use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering};

pub(crate) use counts::Counts;
use hash::hash_of;
use index::Index;
pub use kind::{CacheBudget, CacheClass, CachePolicy};
use pinned::Held;
pub(crate) use pinned::Pinned;
use slots::Slots;
use state::{Evicted, State};
pub(crate) use total::{Account, Cap, Total};
use total::{Holder, urgency};
use touches::Touches;

/// What an entry takes beside its value, counted against the budget: its slot, its places in the index and in the
/// policy.
pub(crate) const ENTRY_OVERHEAD: u64 = 320;

/// A cache of values of type `V` under keys of type `K`.
pub(crate) struct Cache<K: Copy + Eq + Hash, V> {
    slots: Slots<K, V>,
    index: Index,
    touches: Touches,
    state: Apart<Mutex<State<K, V>>>,
    /// Hits by readers who left no note.
    passing_hits: Apart<AtomicU64>,
    account: Arc<Account>,
    ledger: Arc<Ledger>,
}

/// On lines of the CPU's cache of its own: who writes to it does not take from hits what they read.
#[repr(align(128))]
struct Apart<T>(T);

impl<T> Deref for Apart<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// How a value is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For a moment: when the budget has no room the value is handed out and forgotten.
    Use,
    /// As `Use`, where loading is said to be no more than a copy: the default policy keeps a value only when it is loaded
    /// again, as long as that is so.
    Copy,
    /// As `Use`, by somebody who reads everything once: the entry goes soon, and others are not pushed out for it.
    Sequential,
    /// As `Use`, without leaving a trace: what is absent is not kept, what is there gets no younger.
    Passing,
    /// As `Passing`, for what came by and may be wanted at the next step: kept where room is free, or in the place of what
    /// came in the same way before; the rest of the cache gives up little for it.
    Beside,
    /// To stay: refused with `limit exceeded` when only pinned bytes are left.
    Lock,
}

impl<K: Copy + Eq + Hash, V> Cache<K, V> {
    /// A cache that holds what its account lets it.
    pub(crate) fn new(account: Arc<Account>, kind: CachePolicy, ledger: Arc<Ledger>) -> Self {
        Self {
            slots: Slots::new(),
            index: Index::new(),
            touches: Touches::new(),
            state: Apart(Mutex::new(State::new(Arc::clone(&account), kind))),
            passing_hits: Apart(AtomicU64::new(0)),
            account,
            ledger,
        }
    }

    /// Lets other caches of the total have what this one does not need as much.
    pub(crate) fn share(self: &Arc<Self>)
    where
        K: Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        let this: Arc<dyn Holder> = Arc::<Self>::clone(self);
        self.account.set_holder(Arc::downgrade(&this));
        // What changed before anybody could say so.
        self.apply_budget();
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The value under `key` if it is there: no lock, no allocation, no system call.
    // Always, for as a call it would take a tenth longer.
    #[inline(always)]
    pub(crate) fn get(&self, key: &K, mode: Mode) -> Option<Pinned<K, V, &Self>> {
        for slot in self.index.probe(hash_of(key)) {
            match self.slots.pin(slot, key) {
                Ok(place) => {
                    self.note_hit(slot, mode);
                    return Some(Pinned::new(self, Held::Slot(place)));
                }
                Err(true) => self.settle(slot),
                Err(false) => {}
            }
        }
        None
    }

    /// Whether there is a value under `key`; asking is not a use of it. No lock; what just comes may not be seen.
    pub(crate) fn contains(&self, key: &K) -> bool {
        // With a pin, for else another key may be written there while this one is compared.
        self.index.probe(hash_of(key)).any(|slot| match self.slots.pin(slot, key) {
            Ok(place) => {
                drop(Pinned::new(self, Held::Slot(place)));
                true
            }
            Err(is_last) => {
                if is_last {
                    self.settle(slot);
                }
                false
            }
        })
    }

    /// Changes the budget. What exceeds it and is not pinned goes at once.
    pub(crate) fn set_budget(&self, budget: CacheBudget) {
        self.account.set_budget(budget);
        self.apply_budget();
    }

    fn apply_budget(&self) {
        let mut state = self.state.lock();
        state.set_max_bytes(self.account.room_bytes(), &self.slots);
        let evicted = self.shrink(&mut state);
        state.follow_entries(&self.slots, &self.index);
        drop(state);
        drop(evicted);
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.account.max_bytes()
    }

    /// Leaves bytes of the budget to what is held beside the cache, a quarter of it at most. What exceeds the rest and is
    /// not pinned goes at once.
    pub(crate) fn reserve(&self, bytes: u64) {
        self.account.reserve(bytes);
        self.apply_budget();
    }

    /// Says how many bytes are held beside the cache now; other entries of the total go for them.
    pub(crate) fn hold_beside(&self, bytes: u64) {
        self.account.hold_beside(bytes);
        self.account.total().shrink(false);
    }

    /// What may be kept of values that nobody asked for, without pushing out too much of what somebody did.
    pub(crate) fn max_unasked_bytes(&self) -> u64 {
        self.account.max_unasked_bytes()
    }

    /// As [`max_unasked_bytes`](Self::max_unasked_bytes), for what a reader in passing is offered at once.
    pub(crate) fn max_beside_bytes(&self) -> u64 {
        let room = {
            let mut state = self.state.lock();
            self.drain(&mut state);
            state.room_beside()
        };
        room.min(self.max_unasked_bytes())
    }

    /// Promises the cache at least this much, unless its budget says something else.
    pub(crate) fn suggest_floor(&self, bytes: u64) {
        self.account.suggest_floor(bytes);
    }

    /// The hit ratios that budgets are predicted to reach with LRU, by what was read so far.
    pub(crate) fn curve(&self, budgets_bytes: &[u64]) -> Vec<f64> {
        let mut state = self.state.lock();
        self.drain(&mut state);
        state.curve.predict(budgets_bytes)
    }

    /// The least budget that is predicted to reach a hit ratio.
    pub(crate) fn suggest(&self, target_ratio: f64) -> Option<u64> {
        let mut state = self.state.lock();
        self.drain(&mut state);
        state.curve.suggest(target_ratio)
    }

    /// Changes the policy. Entries stay, and when they were last used is known to the new one.
    pub(crate) fn set_policy(&self, kind: CachePolicy) {
        let mut state = self.state.lock();
        self.drain(&mut state);
        let evicted = state.set_policy(kind, &self.slots, &self.index);
        state.follow_entries(&self.slots, &self.index);
        self.let_go(state, evicted);
    }

    /// Makes the value under `key` as young as if it had been asked for, which does not count as a hit; whether it is
    /// there.
    pub(crate) fn renew(&self, key: &K) -> bool {
        let mut state = self.state.lock();
        let found = self.find(key);
        if let Some(slot) = found {
            self.drain(&mut state);
            state.renew(slot, &self.slots);
        }
        found.is_some()
    }

    /// Forgets every value that is not pinned or dirty and for which `which` holds. They do not count as evictions.
    pub(crate) fn remove_if(&self, mut which: impl FnMut(&K) -> bool) {
        let mut state = self.state.lock();
        self.drain(&mut state);
        let removed = (0..state.n_slots())
            .filter(|slot| self.slots.key(*slot).is_some_and(|key| which(&key)))
            .filter_map(|slot| state.remove(slot, &self.slots, &self.index))
            .collect();
        state.follow_entries(&self.slots, &self.index);
        self.let_go(state, removed);
    }

    /// Forgets every value that is not dirty. One that is pinned stays with those who pin it, and is found by nobody else;
    /// one that is being loaded is got by those who wait for it already, and not kept.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock();
        self.drain(&mut state);
        state.forgotten += 1;
        let entries = (0..state.n_slots()).filter(|slot| self.slots.key(*slot).is_some());
        let removed = entries.filter_map(|slot| state.hide(slot, &self.slots, &self.index)).collect();
        state.follow_entries(&self.slots, &self.index);
        self.let_go(state, removed);
    }

    /// Drops what was taken out, without the mutex.
    fn let_go(&self, state: MutexGuard<'_, State<K, V>>, gone: Evicted<V>) {
        self.count_out(&gone);
        drop(state);
        drop(gone);
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut state = self.state.lock();
        self.drain(&mut state);
        let (locked_bytes, dirty_bytes) = state.held_bytes(&self.slots);
        Counts {
            hits: self.touches.hits() + self.passing_hits.load(Ordering::Relaxed),
            bytes: state.bytes,
            entries: state.entries,
            structure_bytes: (Touches::bytes() + state.structure_bytes(&self.index)) as u64,
            locked_bytes,
            dirty_bytes,
            loading_bytes: state.loading_bytes,
            max_bytes: self.account.max_bytes(),
            ..state.counts
        }
    }

    /// The slot of `key`. Under the mutex, which makes the answer certain.
    fn find(&self, key: &K) -> Option<u32> {
        self.index.probe(hash_of(key)).find(|slot| self.slots.key(*slot).as_ref() == Some(key))
    }

    #[inline]
    fn note_hit(&self, slot: u32, mode: Mode) {
        if matches!(mode, Mode::Passing | Mode::Beside) {
            self.passing_hits.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.touches.push(slot, mode == Mode::Sequential, |ring| self.drain_ring(ring));
    }

    /// Stamps what was found by those who share a ring, unless the mutex is taken.
    #[cold]
    fn drain_ring(&self, ring: usize) {
        if let Some(mut state) = self.state.try_lock() {
            state.note_hits(self.touches.drain_ring(ring), &self.slots);
        }
    }

    /// Stamps what was found since this was last done.
    fn drain(&self, state: &mut State<K, V>) {
        state.note_hits(self.touches.drain(), &self.slots);
    }

    fn make_room(&self, state: &mut State<K, V>, weight: u64, mode: Mode) -> (bool, Evicted<V>) {
        self.drain(state);
        state.follow_budget(&self.slots);
        let (room, evicted) = state.make_room(weight, mode, &self.slots, &self.index);
        self.count_out(&evicted);
        (room, evicted)
    }

    fn shrink(&self, state: &mut State<K, V>) -> Evicted<V> {
        self.make_room(state, 0, Mode::Use).1
    }

    /// Takes entries off the ledger; their values count until they are dropped.
    fn count_out(&self, gone: &Evicted<V>) {
        self.ledger.sub(Class::Overhead, gone.len() as u64 * ENTRY_OVERHEAD);
    }

    /// Puts an entry whose last pin went back into the eviction structure, from which it was taken while pinned.
    #[cold]
    fn settle(&self, slot: u32) {
        let mut state = self.state.lock();
        // What was found before the pin went back is older.
        self.drain(&mut state);
        let gone = state.settle(slot, &self.slots, &self.index);
        self.count_out(&gone);
        let evicted = self.shrink(&mut state);
        if !(gone.is_empty() && evicted.is_empty()) {
            state.follow_entries(&self.slots, &self.index);
        }
        drop(state);
        drop((gone, evicted));
        self.account.total().shrink(false);
    }

    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        let mut state = self.state.lock();
        self.drain(&mut state);
        state.check_invariants(&self.slots, |key, slot| self.find(key) == Some(slot));
    }
}

impl<K: Copy + Eq + Hash + Send + Sync, V: Send + Sync> Holder for Cache<K, V> {
    fn give_up(&self, bytes: u64, floor: u64, least: f64, wait: bool) -> u64 {
        let state = if wait { Some(self.state.lock()) } else { self.state.try_lock() };
        let Some(mut state) = state else { return 0 };
        self.drain(&mut state);
        let (now, worth) = (self.account.total().now(), self.account.worth());
        let is_urgent = |last_use| urgency(now, last_use, worth) >= least;
        let before = state.bytes;
        let evicted = state.give_up((bytes, floor), is_urgent, &self.slots, &self.index);
        let gone = before - state.bytes;
        state.follow_entries(&self.slots, &self.index);
        self.count_out(&evicted);
        drop(state);
        drop(evicted);
        gone
    }

    fn total_changed(&self) {
        self.apply_budget();
    }

    fn give_back(&self) {
        let mut state = self.state.lock();
        self.drain(&mut state);
        state.give_back(&self.slots, &self.index);
    }

    fn counts(&self) -> Counts {
        Self::counts(self)
    }
}

impl<K: Copy + Eq + Hash, V> Drop for Cache<K, V> {
    fn drop(&mut self) {
        let counts = Self::counts(self);
        self.ledger.sub(Class::Overhead, counts.entries * ENTRY_OVERHEAD);
        // Nothing is dropped silently.
        self.account.close(&Counts { lost_bytes: counts.dirty_bytes, ..counts });
    }
}

#[cfg(all(test, shuttle))]
mod races;
#[cfg(test)]
mod tests;
