//! A cache of loaded values: bounded in bytes, least recently used first out, one load for many who ask.
//!
//! It knows nothing of rasters. A value found or loaded comes back *pinned*: it stays, and stays findable, until the
//! pin is dropped. What is pinned is on no eviction list, so it costs a miss nothing.
//!
//! One mutex guards the entries. No load runs and no value is dropped while it is held; a hit takes it for a map
//! look-up and a few links.

mod entries;
mod flight;

use std::hash::Hash;
use std::ops::Deref;

use crate::error::{Error, Result};
use crate::memory::{Class, Ledger};
use crate::sync::{Arc, Mutex};

use entries::Entries;
use flight::{Flight, Landing};

/// What an entry takes beside its value, counted against the budget.
pub(crate) const ENTRY_OVERHEAD: u64 = 128;

/// A cache of values of type `V` under keys of type `K`.
pub(crate) struct Cache<K, V> {
    state: Mutex<State<K, V>>,
    ledger: Arc<Ledger>,
}

struct State<K, V> {
    entries: Entries<K, V>,
    flights: std::collections::HashMap<K, Arc<Flight<V>>>,
    max_bytes: u64,
    /// Reserved for loads under way.
    loading_bytes: u64,
    counts: Counts,
}

/// What happened in a cache since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) loads: u64,
    pub(crate) failed_loads: u64,
    /// Misses that found their load under way and waited for it.
    pub(crate) coalesced: u64,
    /// Values that came beside one that was asked for.
    pub(crate) siblings: u64,
    pub(crate) evictions: u64,
    /// Values handed out that the budget had no room for.
    pub(crate) uncached: u64,
    /// Bytes of entries, overhead included.
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    pub(crate) locked_bytes: u64,
    pub(crate) loading_bytes: u64,
    pub(crate) max_bytes: u64,
}

/// How a value is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For a moment: when the budget has no room the value is handed out and forgotten.
    Use,
    /// To stay: refused with `limit exceeded` when only pinned bytes are left.
    Lock,
}

/// A value that stays while this lives. `C` is how the cache is held: borrowed, or shared when the pin must be able
/// to outlive whoever made it.
pub(crate) struct Pinned<K: Copy + Eq + Hash, V, C: Deref<Target = Cache<K, V>>> {
    cache: C,
    value: Arc<V>,
    /// `None` for a value that the cache does not keep, and after it moved to another pin.
    slot: Option<u32>,
}

impl<K: Copy + Eq + Hash, V> Cache<K, V> {
    pub(crate) fn new(max_bytes: u64, ledger: Arc<Ledger>) -> Self {
        let state = State {
            entries: Entries::default(),
            flights: std::collections::HashMap::new(),
            max_bytes,
            loading_bytes: 0,
            counts: Counts::default(),
        };
        Self { state: Mutex::new(state), ledger }
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The value under `key`, loaded by `load` when it is not there. `bytes` is what it will take.
    ///
    /// Of all who ask for an absent value at once one loads it; the others sleep until it is there and get the same
    /// value, or the same error. A failure is not remembered.
    ///
    /// # Errors
    ///
    /// What `load` returned; `internal` when it panicked; `limit exceeded` for a lock that the budget has no room for.
    pub(crate) fn get_or_load(
        &self,
        key: K,
        bytes: u64,
        mode: Mode,
        load: impl FnOnce() -> Result<V>,
    ) -> Result<Pinned<K, V, &Self>> {
        let weight = bytes.saturating_add(ENTRY_OVERHEAD);
        let mut waited = false;
        loop {
            let mut state = self.state.lock();
            if let Some(slot) = state.entries.find(&key) {
                if !waited {
                    state.counts.hits += 1;
                }
                return self.pin(&mut state, slot, mode);
            }
            if !waited {
                state.counts.misses += 1;
            }
            if let Some(flight) = state.flights.get(&key) {
                let flight = Arc::clone(flight);
                if !waited {
                    state.counts.coalesced += 1;
                }
                waited = true;
                drop(state);
                let value = flight.wait()?;
                if mode == Mode::Use {
                    return Ok(self.pin_if_kept(&key, value));
                }
                continue;
            }
            return self.lead(state, key, weight, mode, load);
        }
    }

    /// The value under `key` if it is there. Counts as a hit, or as nothing.
    #[cfg(test)]
    pub(crate) fn get(&self, key: &K) -> Option<Pinned<K, V, &Self>> {
        let mut state = self.state.lock();
        let slot = state.entries.find(key)?;
        state.counts.hits += 1;
        self.pin(&mut state, slot, Mode::Use).ok()
    }

    /// Keeps a value that nobody asked for yet, unless it is there or being loaded, or there is no room even with
    /// everything else evicted. `make` runs without the lock.
    pub(crate) fn insert_with(&self, key: K, bytes: u64, make: impl FnOnce() -> Option<V>) -> bool {
        let weight = bytes.saturating_add(ENTRY_OVERHEAD);
        let flight = Arc::new(Flight::default());
        {
            let mut state = self.state.lock();
            if state.entries.find(&key).is_some() || state.flights.contains_key(&key) {
                return false;
            }
            let (room, evicted) = state.reserve(weight);
            self.count_out(&evicted);
            if !room {
                drop(state);
                return false;
            }
            state.flights.insert(key, Arc::clone(&flight));
            drop(state);
            drop(evicted);
        }
        let landing = Landing::new(self, key, weight, &flight);
        match make() {
            Some(value) => {
                let value = Arc::new(value);
                let mut state = self.state.lock();
                state.counts.siblings += 1;
                state.finish(&key, weight);
                let slot = state.entries.insert(key, Arc::clone(&value), weight);
                self.ledger.add(Class::Overhead, ENTRY_OVERHEAD);
                let max = state.max_bytes.saturating_sub(state.loading_bytes);
                let evicted = state.entries.unpin(slot, max);
                self.count_out(&evicted);
                state.counts.evictions += evicted.len() as u64;
                drop(state);
                landing.land(Ok(value));
                true
            }
            None => {
                landing.fail(&Error::internal("a value offered beside another was not delivered"));
                false
            }
        }
    }

    /// Changes the budget. What exceeds it and is not pinned goes at once.
    pub(crate) fn set_max_bytes(&self, max_bytes: u64) {
        let mut state = self.state.lock();
        state.max_bytes = max_bytes;
        let evicted = state.shrink_to_budget();
        self.count_out(&evicted);
        drop(state);
        drop(evicted);
    }

    /// Forgets every value that is not pinned and for which `which` holds. They do not count as evictions.
    pub(crate) fn remove_if(&self, which: impl FnMut(&K) -> bool) {
        let mut state = self.state.lock();
        let removed = state.entries.remove_if(which);
        self.count_out(&removed);
        drop(state);
        drop(removed);
    }

    pub(crate) fn counts(&self) -> Counts {
        let state = self.state.lock();
        Counts {
            bytes: state.entries.bytes(),
            entries: state.entries.len() as u64,
            locked_bytes: state.entries.pinned_bytes(),
            loading_bytes: state.loading_bytes,
            max_bytes: state.max_bytes,
            ..state.counts
        }
    }

    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        let state = self.state.lock();
        state.entries.check_invariants();
        assert!(state.entries.bytes() - state.entries.pinned_bytes() <= state.max_bytes);
    }

    fn lead(
        &self,
        mut state: parking_lot::MutexGuard<'_, State<K, V>>,
        key: K,
        weight: u64,
        mode: Mode,
        load: impl FnOnce() -> Result<V>,
    ) -> Result<Pinned<K, V, &Self>> {
        let (room, evicted) = state.reserve(weight);
        self.count_out(&evicted);
        if !room && mode == Mode::Lock {
            let (locked, max) = (state.entries.pinned_bytes() + state.loading_bytes, state.max_bytes);
            drop(state);
            return Err(Error::limit(format!("a lock of {weight} bytes with {locked} of {max} bytes locked already")));
        }
        let flight = Arc::new(Flight::default());
        state.flights.insert(key, Arc::clone(&flight));
        state.counts.loads += 1;
        drop(state);
        drop(evicted);

        let landing = Landing::new(self, key, if room { weight } else { 0 }, &flight);
        let value = match load() {
            Ok(value) => Arc::new(value),
            Err(error) => {
                landing.fail(&error);
                return Err(error);
            }
        };
        let mut state = self.state.lock();
        state.finish(&key, if room { weight } else { 0 });
        // The budget may have shrunk meanwhile.
        let keep = room && state.entries.bytes() + weight <= state.max_bytes;
        let slot = keep.then(|| state.entries.insert(key, Arc::clone(&value), weight));
        if keep {
            self.ledger.add(Class::Overhead, ENTRY_OVERHEAD);
        } else {
            state.counts.uncached += 1;
        }
        drop(state);
        landing.land(Ok(Arc::clone(&value)));
        if slot.is_none() && mode == Mode::Lock {
            return Err(Error::limit("the budget shrank while the block to lock was loaded"));
        }
        Ok(Pinned { cache: self, value, slot })
    }

    fn pin(&self, state: &mut State<K, V>, slot: u32, mode: Mode) -> Result<Pinned<K, V, &Self>> {
        if mode == Mode::Lock && !state.entries.may_pin(slot, state.max_bytes) {
            let (locked, max) = (state.entries.pinned_bytes(), state.max_bytes);
            return Err(Error::limit(format!("a further lock with {locked} of {max} bytes locked already")));
        }
        let value = state.entries.pin(slot);
        Ok(Pinned { cache: self, value, slot: Some(slot) })
    }

    /// A pin on the value that a load just gave, whether or not the cache still has it.
    fn pin_if_kept(&self, key: &K, value: Arc<V>) -> Pinned<K, V, &Self> {
        let mut state = self.state.lock();
        match state.entries.find(key) {
            Some(slot) => Pinned { cache: self, value: state.entries.pin(slot), slot: Some(slot) },
            None => {
                state.counts.uncached += 1;
                Pinned { cache: self, value, slot: None }
            }
        }
    }

    /// Takes entries off the ledger; their values count until they are dropped.
    fn count_out(&self, gone: &[Arc<V>]) {
        self.ledger.sub(Class::Overhead, gone.len() as u64 * ENTRY_OVERHEAD);
    }

    /// The load of `key` is over without a value.
    fn abandon(&self, key: &K, reserved: u64) {
        let mut state = self.state.lock();
        state.finish(key, reserved);
        state.counts.failed_loads += 1;
    }

    fn unpin(&self, slot: u32) {
        let mut state = self.state.lock();
        let max = state.max_bytes.saturating_sub(state.loading_bytes);
        let evicted = state.entries.unpin(slot, max);
        state.counts.evictions += evicted.len() as u64;
        self.count_out(&evicted);
        drop(state);
        drop(evicted);
    }
}

impl<K: Copy + Eq + Hash, V> State<K, V> {
    /// Sets `weight` bytes aside, evicting what stands in the way; `false` when pins and loads leave no room.
    fn reserve(&mut self, weight: u64) -> (bool, Vec<Arc<V>>) {
        let fixed = self.entries.pinned_bytes() + self.loading_bytes;
        if fixed.saturating_add(weight) > self.max_bytes {
            return (false, Vec::new());
        }
        let evicted = self.entries.evict_to(self.max_bytes - weight - self.loading_bytes);
        self.counts.evictions += evicted.len() as u64;
        self.loading_bytes += weight;
        (true, evicted)
    }

    fn shrink_to_budget(&mut self) -> Vec<Arc<V>> {
        let evicted = self.entries.evict_to(self.max_bytes.saturating_sub(self.loading_bytes));
        self.counts.evictions += evicted.len() as u64;
        evicted
    }

    fn finish(&mut self, key: &K, reserved: u64) {
        self.flights.remove(key);
        self.loading_bytes -= reserved;
    }
}

impl<K, V> Drop for Cache<K, V> {
    fn drop(&mut self) {
        let entries = self.state.get_mut().entries.len() as u64;
        self.ledger.sub(Class::Overhead, entries * ENTRY_OVERHEAD);
    }
}

impl<K: Copy + Eq + Hash, V, C: Deref<Target = Cache<K, V>>> Pinned<K, V, C> {
    /// The same pin held through `cache`, which must be the cache that this pin is of.
    pub(crate) fn held_by<D: Deref<Target = Cache<K, V>>>(mut self, cache: D) -> Pinned<K, V, D> {
        debug_assert!(std::ptr::eq(&*self.cache, &*cache));
        Pinned { cache, value: Arc::clone(&self.value), slot: self.slot.take() }
    }

    /// Whether the cache keeps the value.
    pub(crate) fn is_kept(&self) -> bool {
        self.slot.is_some()
    }
}

impl<K: Copy + Eq + Hash, V, C: Deref<Target = Cache<K, V>>> Deref for Pinned<K, V, C> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

impl<K: Copy + Eq + Hash, V, C: Deref<Target = Cache<K, V>>> Drop for Pinned<K, V, C> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.cache.unpin(slot);
        }
    }
}

#[cfg(test)]
mod tests;
