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
//! | `slots` | where entries live; their states, pins and last uses |
//! | `index` | from a key's hash to slots |
//! | `touches` | which entries were found, until somebody has the mutex |
//! | `policy` | which entry goes |
//! | `curve` | how often a cache of another size would have hit |
//! | `flight` | a load, and those who wait for it |
//! | `state` | what the mutex guards: policy, budget, loads under way |
//! | `total` | what several caches may hold together, and which of them gives something up |
//! | `worth` | what an entry is worth beside those of another cache |
//! | `seen` | what was loaded before |
//!
//! Locks: a thread takes the mutex of one cache, the one inside a flight, or the one of a total, never two at once, and
//! none while it loads or drops a value.

mod counts;
mod curve;
mod flight;
mod index;
mod kind;
mod pinned;
mod policy;
mod seen;
mod slots;
mod state;
mod total;
mod touches;
mod worth;

use std::hash::Hash;
use std::ops::Deref;
use std::time::Instant;

use crate::cancel;
use crate::error::{Error, Result};
use crate::memory::{Class, Ledger};
use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering};

pub(crate) use counts::Counts;
use flight::{Duty, Flight, Landed};
use index::Index;
pub use kind::{CacheBudget, CacheClass, CachePolicy};
use pinned::Held;
pub(crate) use pinned::Pinned;
use slots::{Place, Slots};
use state::{Evicted, State};
pub(crate) use total::{Account, Total};
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

    /// Whether there is a value under `key`; asking is not a use of it.
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.index.probe(hash_of(key)).any(|slot| self.slots.key(slot).as_ref() == Some(key))
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
        self.get_or_make(key, bytes, mode, || Ok((load()?, bytes)))
    }

    /// As [`get_or_load`](Self::get_or_load) for a value whose size is known only when it is there: `make` gives both, and
    /// `most` is what is set aside for it until then. A value that comes out larger is kept only if the rest can be had.
    pub(crate) fn get_or_make(
        &self,
        key: K,
        most: u64,
        mode: Mode,
        make: impl FnOnce() -> Result<(V, u64)>,
    ) -> Result<Pinned<K, V, &Self>> {
        if let Some(found) = self.get(&key, mode) {
            return Ok(found);
        }
        let mut waited = false;
        loop {
            let mut state = self.state.lock();
            // A reader without the mutex can miss what is there.
            if let Some(slot) = self.find(&key) {
                self.slots.pin_again(slot);
                drop(state);
                if !waited {
                    self.note_hit(slot, mode);
                }
                return Ok(Pinned::new(self, Held::Slot(self.slots.place(slot))));
            }
            state.counts.misses += u64::from(!waited);
            let Some(flight) = state.flights.get(&key).map(Arc::clone) else {
                return self.lead(state, key, most.saturating_add(ENTRY_OVERHEAD), mode, make);
            };
            flight.join();
            if !waited {
                state.counts.coalesced += 1;
                state.note_miss(hash_of(&key), most.saturating_add(ENTRY_OVERHEAD), mode);
            }
            waited = true;
            let is_out_of_date = flight.born != state.forgotten;
            drop(state);
            if is_out_of_date {
                // It is not kept, so that nothing is left to be given back. Its error is not ours either.
                drop(flight.wait());
                continue;
            }
            let held = match flight.wait()? {
                Landed::Kept(slot) => Held::Slot(self.slots.place(slot)),
                // Whoever loaded it did not want it kept, or found no room: a lock asks for itself.
                Landed::Loose(_) if mode == Mode::Lock => continue,
                Landed::Loose(value) => Held::Loose(value),
                // Nothing is known about loading it.
                Landed::Nothing => continue,
            };
            return Ok(Pinned::new(self, held));
        }
    }

    /// Keeps a value that nobody asked for yet, unless it is there or being loaded, or there is no room even with
    /// everything else evicted. `make` runs without the lock.
    pub(crate) fn insert_with(&self, key: K, bytes: u64, make: impl FnOnce() -> Option<V>) -> bool {
        let weight = bytes.saturating_add(ENTRY_OVERHEAD);
        let mut state = self.state.lock();
        if state.is_off() || self.find(&key).is_some() || state.flights.contains_key(&key) {
            return false;
        }
        let (room, evicted) = self.make_room(&mut state, weight);
        let flight = Arc::new(Flight::new(state.forgotten));
        if room {
            state.loading_bytes += weight;
            state.flights.insert(key, Arc::clone(&flight));
        }
        let taken = room && self.account.try_take(weight);
        drop(state);
        drop(evicted);
        if !room {
            return false;
        }
        let nothing = |reserved| {
            let mut state = self.state.lock();
            state.finish(&key, weight, reserved);
            drop(state);
            flight.land(Ok(Landed::Nothing));
            false
        };
        if !taken && !self.account.take(weight, false) {
            return nothing(0);
        }
        let duty = Duty::new(|error| self.give_up_load(&key, (weight, weight), &flight, error));
        let value = make();
        duty.done();
        let Some(value) = value else { return nothing(weight) };
        let mut state = self.state.lock();
        self.drain(&mut state);
        if state.forgotten != flight.born || (state.is_off() && flight.waiters() == 0) {
            // Nothing stays that is out of date, or that nobody holds, and nobody does.
            drop(state);
            return nothing(weight);
        }
        state.counts.siblings += 1;
        state.finish(&key, weight, 0);
        let slot = self.publish(&mut state, key, value, weight, flight.waiters(), Mode::Use);
        let evicted = self.shrink(&mut state);
        drop(state);
        flight.land(Ok(Landed::Kept(slot)));
        drop(evicted);
        true
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
        self.count_out(&evicted);
        drop(state);
        drop(evicted);
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
        let slots = 0..state.n_slots();
        let removed: Evicted<V> = slots
            .filter(|slot| self.slots.key(*slot).is_some_and(|key| which(&key)))
            .filter_map(|slot| state.remove(slot, &self.slots, &self.index))
            .collect();
        self.count_out(&removed);
        drop(state);
        drop(removed);
    }

    /// As [`remove_if`](Self::remove_if) for all values, those too that are being loaded: who waits for one already gets
    /// it, and it is not kept.
    pub(crate) fn forget(&self) {
        self.state.lock().forgotten += 1;
        self.remove_if(|_| true);
    }

    /// Makes the value of a pin one that must be written back before it may go.
    #[cfg_attr(not(test), expect(dead_code, reason = "datasets are read only so far"))]
    pub(crate) fn mark_dirty(&self, pinned: &Pinned<K, V, &Self>) {
        if let Held::Slot(Place { slot, .. }) = pinned.held {
            let mut state = self.state.lock();
            state.park(slot, &self.slots);
            self.slots.dirty(slot);
        }
    }

    /// Writes every dirty value back with `write`, which runs without a lock. One whose write fails stays dirty; the
    /// others are written all the same, and the first error is returned.
    ///
    /// # Errors
    ///
    /// The first that `write` returned.
    #[cfg_attr(not(test), expect(dead_code, reason = "datasets are read only so far"))]
    pub(crate) fn flush(&self, mut write: impl FnMut(&K, &V) -> Result<()>) -> Result<()> {
        let n_slots = self.state.lock().n_slots();
        let mut failure = Ok(());
        for slot in 0..n_slots {
            let key = {
                let state = self.state.lock();
                if !self.slots.begin_writing(slot) {
                    continue;
                }
                self.slots.pin_again(slot);
                let key = self.slots.key(slot);
                drop(state);
                key
            };
            let pinned = Pinned::new(self, Held::Slot(self.slots.place(slot)));
            let written = key.map_or(Ok(()), |key| {
                // A write that panics has failed, and the value is dirty still.
                let rollback = Duty::new(|_| self.slots.end_writing(slot, false));
                let written = write(&key, &pinned);
                rollback.done();
                written
            });
            let state = self.state.lock();
            self.slots.end_writing(slot, written.is_ok());
            drop(state);
            drop(pinned);
            if failure.is_ok() {
                failure = written;
            }
        }
        failure
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut state = self.state.lock();
        self.drain(&mut state);
        let (locked_bytes, dirty_bytes) = state.held_bytes(&self.slots);
        Counts {
            hits: self.touches.hits() + self.passing_hits.load(Ordering::Relaxed),
            bytes: state.bytes,
            entries: state.entries,
            structure_bytes: (Touches::bytes() + self.index.bytes() + state.structure_bytes()) as u64,
            locked_bytes,
            dirty_bytes,
            loading_bytes: state.loading_bytes,
            max_bytes: self.account.max_bytes(),
            ..state.counts
        }
    }

    fn lead(
        &self,
        mut state: MutexGuard<'_, State<K, V>>,
        key: K,
        weight: u64,
        mode: Mode,
        load: impl FnOnce() -> Result<(V, u64)>,
    ) -> Result<Pinned<K, V, &Self>> {
        self.drain(&mut state);
        state.note_miss(hash_of(&key), weight, mode);
        let keeps = match mode {
            Mode::Passing => false,
            Mode::Copy => state.keeps_copy(hash_of(&key)),
            Mode::Use | Mode::Sequential | Mode::Lock => true,
        };
        let (mut room, evicted) = if keeps { self.make_room(&mut state, weight) } else { (false, Vec::new()) };
        if !room && mode == Mode::Lock {
            let (locked, max) = (state.bytes + state.loading_bytes, state.max_bytes);
            drop(state);
            drop(evicted);
            return Err(no_room(weight, locked, max));
        }
        let mut reserved = if room { weight } else { 0 };
        let taken = room && self.account.try_take(weight);
        let flight = Arc::new(Flight::new(state.forgotten));
        state.loading_bytes += reserved;
        state.flights.insert(key, Arc::clone(&flight));
        state.counts.loads += 1;
        drop(state);
        drop(evicted);
        if room && !taken {
            room = self.account.take(weight, mode == Mode::Lock);
            if !room {
                let mut state = self.state.lock();
                state.loading_bytes -= reserved;
                reserved = 0;
                if mode == Mode::Lock {
                    state.counts.loads -= 1;
                    state.finish(&key, 0, 0);
                    drop(state);
                    flight.land(Ok(Landed::Nothing));
                    let total = self.account.total();
                    return Err(no_room(weight, total.used_bytes(), total.max_bytes()));
                }
            }
        }

        let duty = Duty::new(|error| self.give_up_load(&key, (reserved, reserved), &flight, error));
        let start = Instant::now();
        let loaded = {
            // Whoever waits keeps a load going that is taken back.
            let _waited_for = cancel::waited_for(flight.waited_for());
            load()
        };
        let (value, weight) = match loaded {
            Ok((value, bytes)) => (value, bytes.saturating_add(ENTRY_OVERHEAD)),
            Err(error) => {
                duty.fail(error.clone());
                return Err(error);
            }
        };
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        duty.done();
        let mut state = self.state.lock();
        self.drain(&mut state);
        state.note_load(hash_of(&key), weight, nanos);
        // The budget may have shrunk meanwhile.
        let more = weight.saturating_sub(reserved);
        let (fits, evicted) = if room && more > 0 { self.make_room(&mut state, more) } else { (room, Vec::new()) };
        let keep = fits
            && state.forgotten == flight.born
            && state.bytes + state.loading_bytes + more <= state.max_bytes
            && (more == 0 || self.account.try_take(more));
        state.finish(&key, reserved, if keep { reserved.saturating_sub(weight) } else { reserved });
        if keep {
            let slot = self.publish(&mut state, key, value, weight, flight.waiters() + 1, mode);
            drop(state);
            flight.land(Ok(Landed::Kept(slot)));
            drop(evicted);
            return Ok(Pinned::new(self, Held::Slot(self.slots.place(slot))));
        }
        state.counts.uncached += 1;
        drop(state);
        drop(evicted);
        let value = Arc::new(value);
        flight.land(Ok(Landed::Loose(Arc::clone(&value))));
        if mode == Mode::Lock {
            return Err(Error::limit("the budget shrank while the value to lock was loaded"));
        }
        Ok(Pinned::new(self, Held::Loose(value)))
    }

    /// The load of `key` is over without a value. Who waited for one that was taken back tries for himself.
    fn give_up_load(&self, key: &K, (loading, reserved): (u64, u64), flight: &Flight<V>, error: Error) {
        let mut state = self.state.lock();
        state.finish(key, loading, reserved);
        let was_taken_back = cancel::is_cancelled();
        state.counts.failed_loads += u64::from(!was_taken_back);
        drop(state);
        flight.land(if was_taken_back { Ok(Landed::Nothing) } else { Err(error) });
    }

    fn publish(&self, state: &mut State<K, V>, key: K, value: V, weight: u64, pins: u32, mode: Mode) -> u32 {
        self.ledger.add(Class::Overhead, ENTRY_OVERHEAD);
        state.publish((key, hash_of(&key)), value, weight, (pins, mode), &self.slots, &self.index)
    }

    /// The slot of `key`. Under the mutex, which makes the answer certain.
    fn find(&self, key: &K) -> Option<u32> {
        self.index.probe(hash_of(key)).find(|slot| self.slots.key(*slot).as_ref() == Some(key))
    }

    #[inline]
    fn note_hit(&self, slot: u32, mode: Mode) {
        if mode == Mode::Passing {
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

    fn make_room(&self, state: &mut State<K, V>, weight: u64) -> (bool, Evicted<V>) {
        self.drain(state);
        state.follow_budget(&self.slots);
        let (room, evicted) = state.make_room(weight, &self.slots, &self.index);
        self.count_out(&evicted);
        (room, evicted)
    }

    fn shrink(&self, state: &mut State<K, V>) -> Evicted<V> {
        self.make_room(state, 0).1
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
        self.count_out(&evicted);
        drop(state);
        drop(evicted);
        gone
    }

    fn total_changed(&self) {
        self.apply_budget();
    }

    fn counts(&self) -> Counts {
        Self::counts(self)
    }
}

impl<K: Copy + Eq + Hash, V> Drop for Cache<K, V> {
    fn drop(&mut self) {
        let counts = Self::counts(self);
        self.ledger.sub(Class::Overhead, counts.entries * ENTRY_OVERHEAD);
        self.account.close(&counts);
    }
}

fn no_room(weight: u64, taken: u64, max: u64) -> Error {
    Error::limit(format!("a lock of {weight} bytes with {taken} of {max} bytes taken by what cannot go"))
}

/// Mixes a key well enough that both halves of the result can be used on their own.
#[inline]
fn hash_of<K: Hash>(key: &K) -> u64 {
    use std::hash::Hasher;

    /// One folded multiplication for every 16 bytes. In wyhash a second one follows, which takes a twentieth of a hit; here
    /// the second half of the bytes is in both factors, which spreads blocks that lie in a pattern as well.
    struct Fold {
        folded: u64,
        /// What was written and not folded in yet, the first of it in the lowest bits, and how many bits that is.
        pending: u128,
        bits: u32,
    }

    impl Fold {
        #[inline]
        fn put(&mut self, n: u64, bits: u32) {
            if self.bits + bits > 128 {
                (self.folded, self.pending, self.bits) = (self.finish(), 0, 0);
            }
            self.pending |= u128::from(n) << self.bits;
            self.bits += bits;
        }
    }

    impl Hasher for Fold {
        #[inline]
        fn write(&mut self, bytes: &[u8]) {
            bytes.iter().for_each(|byte| self.put(u64::from(*byte), 8));
        }

        #[inline]
        fn write_u32(&mut self, n: u32) {
            self.put(u64::from(n), 32);
        }

        #[inline]
        fn write_u64(&mut self, n: u64) {
            self.put(n, 64);
        }

        #[inline]
        fn finish(&self) -> u64 {
            let (low, high) = (self.pending as u64, (self.pending >> 64) as u64);
            let factors = (low ^ high.rotate_left(23) ^ self.folded, high ^ 0xA076_1D64_78BD_642F);
            let product = u128::from(factors.0) * u128::from(factors.1);
            (product as u64) ^ (product >> 64) as u64
        }
    }

    let mut fold = Fold { folded: 0x9E37_79B9_7F4A_7C15, pending: 0, bits: 0 };
    key.hash(&mut fold);
    fold.finish()
}

#[cfg(all(test, shuttle))]
mod races;
#[cfg(test)]
mod tests;
