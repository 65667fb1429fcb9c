//! How a value that is absent gets in: one load for all who ask, within the budget, or kept by nobody.

use std::hash::Hash;
use std::time::Instant;

use crate::cancel;
use crate::error::{Error, Result};
use crate::memory::Class;
use crate::sync::{Arc, MutexGuard};

use super::flight::{Duty, Flight, Landed};
use super::hash::hash_of;
use super::pinned::Held;
use super::state::{Evicted, State};
use super::{Cache, ENTRY_OVERHEAD, Mode, Pinned};

impl<K: Copy + Eq + Hash, V> Cache<K, V> {
    /// The value under `key`, loaded by `load` when it is not there. `bytes` is what it will take.
    ///
    /// Of all who ask for an absent value at once one loads it; the others sleep until it is there and get the same
    /// value, or the same error. A failure is not remembered. It is loaded once, but for a lock during whose load all was
    /// forgotten: what that gave would not be found again, so it is loaded anew.
    ///
    /// # Errors
    ///
    /// What `load` returned; `internal` when it panicked; `limit exceeded` for a lock that the budget has no room for.
    pub(crate) fn get_or_load(
        &self,
        key: K,
        bytes: u64,
        mode: Mode,
        mut load: impl FnMut() -> Result<V>,
    ) -> Result<Pinned<K, V, &Self>> {
        self.get_or_try(key, bytes, mode, || Ok((load()?, bytes)))
    }

    /// As [`get_or_load`](Self::get_or_load) for a value whose size is known only when it is there: `make` gives both, and
    /// `most` is what is set aside for it until then. A value that comes out larger is kept only if the rest can be had.
    /// Not for a lock, which may need it to be made again.
    pub(crate) fn get_or_make(
        &self,
        key: K,
        most: u64,
        mode: Mode,
        make: impl FnOnce() -> Result<(V, u64)>,
    ) -> Result<Pinned<K, V, &Self>> {
        debug_assert_ne!(mode, Mode::Lock);
        let mut make = Some(make);
        self.get_or_try(key, most, mode, || match make.take() {
            Some(make) => make(),
            None => Err(Error::internal("a value was to be made a second time")),
        })
    }

    fn get_or_try(
        &self,
        key: K,
        most: u64,
        mode: Mode,
        mut make: impl FnMut() -> Result<(V, u64)>,
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
                if let Some(loaded) = self.lead(state, key, most.saturating_add(ENTRY_OVERHEAD), mode, &mut make)? {
                    return Ok(loaded);
                }
                waited = true;
                cancel::check()?;
                continue;
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
                drop(self.landed(&key, &flight)?);
                continue;
            }
            let held = match self.landed(&key, &flight)?? {
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
    /// everything else evicted that may go for it. `make` runs without the lock.
    pub(crate) fn insert_with(&self, key: K, bytes: u64, mode: Mode, make: impl FnOnce() -> Option<V>) -> bool {
        let weight = bytes.saturating_add(ENTRY_OVERHEAD);
        let mut state = self.state.lock();
        if state.is_off() || self.find(&key).is_some() || state.flights.contains_key(&key) {
            return false;
        }
        let (room, evicted) = self.make_room(&mut state, weight, mode);
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
        if !taken && !self.take(weight, mode) {
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
        let slot = self.publish(&mut state, key, value, weight, flight.waiters(), mode);
        let evicted = self.shrink(&mut state);
        drop(state);
        flight.land(Ok(Landed::Kept(slot)));
        drop(evicted);
        true
    }

    /// What came of a load that this thread has joined.
    ///
    /// # Errors
    ///
    /// `cancelled` when the work of this thread was taken back meanwhile; then it does not wait for the load any more.
    fn landed(&self, key: &K, flight: &Arc<Flight<V>>) -> Result<Result<Landed<V>>> {
        if let Some(landed) = flight.wait_while_wanted() {
            return Ok(landed);
        }
        let state = self.state.lock();
        if state.flights.get(key).is_some_and(|listed| Arc::ptr_eq(listed, flight)) {
            flight.leave();
            drop(state);
            flight.left();
            return Err(cancel::stopped());
        }
        drop(state);
        // It is over but for the news, and this thread has its pin.
        if let Ok(Landed::Kept(slot)) = flight.wait() {
            drop(Pinned::new(self, Held::Slot(self.slots.place(slot))));
        }
        Err(cancel::stopped())
    }

    /// Loads a value for itself and for all who join; `None` when it is to be locked and was out of date before it was there.
    fn lead(
        &self,
        mut state: MutexGuard<'_, State<K, V>>,
        key: K,
        weight: u64,
        mode: Mode,
        load: impl FnOnce() -> Result<(V, u64)>,
    ) -> Result<Option<Pinned<K, V, &Self>>> {
        self.drain(&mut state);
        state.note_miss(hash_of(&key), weight, mode);
        let keeps = match mode {
            Mode::Passing => false,
            Mode::Copy => state.keeps_copy(hash_of(&key)),
            Mode::Use | Mode::Sequential | Mode::Beside | Mode::Lock => true,
        };
        let (mut room, evicted) = if keeps { self.make_room(&mut state, weight, mode) } else { (false, Vec::new()) };
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
            room = self.take(weight, mode);
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
        let (fits, evicted) =
            if room && more > 0 { self.make_room(&mut state, more, mode) } else { (room, Vec::new()) };
        let is_out_of_date = state.forgotten != flight.born;
        let keep = fits
            && !is_out_of_date
            && state.bytes + state.loading_bytes + more <= state.max_bytes
            && (more == 0 || self.account.try_take(more));
        state.finish(&key, reserved, if keep { reserved.saturating_sub(weight) } else { reserved });
        if keep {
            let slot = self.publish(&mut state, key, value, weight, flight.waiters() + 1, mode);
            drop(state);
            flight.land(Ok(Landed::Kept(slot)));
            drop(evicted);
            return Ok(Some(Pinned::new(self, Held::Slot(self.slots.place(slot)))));
        }
        state.counts.uncached += 1;
        drop(state);
        drop(evicted);
        let value = Arc::new(value);
        flight.land(Ok(Landed::Loose(Arc::clone(&value))));
        match mode {
            Mode::Lock if is_out_of_date => Ok(None),
            Mode::Lock => Err(Error::limit("the budget shrank while the value to lock was loaded")),
            _ => Ok(Some(Pinned::new(self, Held::Loose(value)))),
        }
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

    /// Takes bytes of the total that are not there at once, for what is wanted in this way. No lock may be held.
    fn take(&self, bytes: u64, mode: Mode) -> bool {
        if mode == Mode::Beside {
            let mut state = self.state.lock();
            let is_full = state.is_full_beside(bytes);
            let gone = if is_full { state.give_up_beside(bytes, &self.slots, &self.index) } else { Evicted::new() };
            self.let_go(state, gone);
            if is_full {
                return self.account.try_take(bytes);
            }
        }
        self.account.take(bytes, mode == Mode::Lock)
    }

    fn publish(&self, state: &mut State<K, V>, key: K, value: V, weight: u64, pins: u32, mode: Mode) -> u32 {
        self.ledger.add(Class::Overhead, ENTRY_OVERHEAD);
        state.publish((key, hash_of(&key)), value, weight, (pins, mode), &self.slots, &self.index)
    }
}

fn no_room(weight: u64, taken: u64, max: u64) -> Error {
    Error::limit(format!("a lock of {weight} bytes with {taken} of {max} bytes taken by what cannot go"))
}
