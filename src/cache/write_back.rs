//! Values that were changed, and must be written back before they may go.
//!
//! A cache does not know where to. Whoever drops it [flushes](Cache::flush) before: what is dirty then is lost, and counted as
//! lost bytes, also in what the total remembers of caches that are gone.

use std::hash::Hash;

use crate::cancel;
use crate::error::Result;
use crate::sync::Arc;

use super::flight::{Duty, Flight, Landed};
use super::pinned::Held;
use super::slots::{HIDDEN, Place};
use super::{Cache, Pinned};

impl<K: Copy + Eq + Hash, V> Cache<K, V> {
    /// Makes the value of a pin one that must be written back before it may go. `false` when it cannot be: the cache does not
    /// keep it, or all was forgotten since, and another value may be there under its key.
    #[cfg_attr(not(test), expect(dead_code, reason = "datasets are read only so far"))]
    pub(crate) fn mark_dirty(&self, pinned: &Pinned<K, V, &Self>) -> bool {
        let Held::Slot(Place { slot, .. }) = pinned.held else { return false };
        let mut state = self.state.lock();
        if self.slots.word(slot).has(HIDDEN) {
            return false;
        }
        state.park(slot, &self.slots);
        self.slots.dirty(slot);
        true
    }

    /// Writes every dirty value back with `write`, which runs without a lock. One whose write fails stays dirty; the
    /// others are written all the same, and the first error is returned.
    ///
    /// One flush at a time: another one waits until it is over, and then writes what is dirty still or again. So `Ok` means
    /// that everything is written that was dirty before the call, by whomever. `write` must not flush the same cache.
    ///
    /// # Errors
    ///
    /// The first that `write` returned; `cancelled` when the work of this thread was taken back while it waited.
    #[cfg_attr(not(test), expect(dead_code, reason = "datasets are read only so far"))]
    pub(crate) fn flush(&self, mut write: impl FnMut(&K, &V) -> Result<()>) -> Result<()> {
        let _turn = self.turn_to_flush()?;
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

    /// Waits until nobody else flushes, and has others wait until what is returned is dropped.
    fn turn_to_flush(&self) -> Result<Turn<'_, K, V>> {
        loop {
            let mut state = self.state.lock();
            let Some(other) = state.flushing.as_ref().map(Arc::clone) else {
                let flight = Arc::new(Flight::new(0));
                state.flushing = Some(Arc::clone(&flight));
                return Ok(Turn { cache: self, flight });
            };
            other.join();
            drop(state);
            if other.wait_while_wanted().is_none() {
                return Err(cancel::stopped());
            }
        }
    }
}

/// One flush, for which others wait.
struct Turn<'a, K: Copy + Eq + Hash, V> {
    cache: &'a Cache<K, V>,
    flight: Arc<Flight<()>>,
}

impl<K: Copy + Eq + Hash, V> Drop for Turn<'_, K, V> {
    fn drop(&mut self) {
        self.cache.state.lock().flushing = None;
        self.flight.land(Ok(Landed::Nothing));
    }
}
