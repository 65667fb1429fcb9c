//! Buffers of a page or more: lent, kept warm up to a slack, then given back to the system.

mod map;
mod space;
mod warm;

use super::{Counts, Sizes, Start};
use crate::memory::Charge;
use crate::sync::{Arc, AtomicUsize, Mutex, MutexGuard, Ordering};

pub(in crate::memory) use map::{Map, page};
use space::Space;
use warm::{Span, Warm};

/// A page is in one of four states: lent, warm, leaving (out of both lists while its memory is given back), or free
/// addresses without memory. Changes are made under the mutex, system calls without it.
#[derive(Debug)]
pub(super) struct Pages {
    sizes: Sizes,
    /// Free bytes that keep their memory: at most what `sizes` say.
    slack: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    warm: Warm,
    space: Space,
    /// Bytes lent.
    lent: usize,
    /// Bytes warm and leaving.
    free: usize,
    /// `free` on a ledger.
    charge: Charge,
}

impl State {
    fn note_free(&mut self, change: impl FnOnce(usize) -> usize) {
        self.free = change(self.free);
        self.charge.resize(self.free as u64);
    }
}

impl Pages {
    /// `charge` is resized to what is free.
    pub(super) fn new(charge: Charge, sizes: Sizes) -> Self {
        let (warm, space) = (Warm::new(sizes.largest_shared), Space::default());
        Self {
            sizes,
            slack: AtomicUsize::new(sizes.slack),
            state: Mutex::new(State { warm, space, lent: 0, free: 0, charge }),
        }
    }

    /// A buffer of `size` bytes, a multiple of a page.
    pub(super) fn take(&self, size: usize) -> Option<Start> {
        {
            let mut state = self.state.lock();
            if let Some(start) = state.warm.take(size) {
                state.lent += size;
                state.note_free(|free| free - size);
                return Some(start);
            }
        }
        if size > self.sizes.largest_shared { self.take_own(size) } else { self.take_shared(size) }
    }

    /// Takes a buffer back.
    ///
    /// # Safety
    ///
    /// `start` was taken with this `size` and is used no more.
    pub(super) unsafe fn give_back(&self, start: Start, size: usize) {
        let slack = self.slack.load(Ordering::Relaxed);
        let span = Span { start, size };
        let mut state = self.state.lock();
        state.lent -= size;
        state.note_free(|free| free + size);
        // What would not fit even alone must not push out all the others.
        let leaving = if size > slack {
            vec![span]
        } else {
            state.warm.put(span);
            if state.warm.bytes() <= slack {
                return;
            }
            // Some more than must go, so that not every buffer from now on costs a system call.
            state.warm.shed(slack - slack / 8)
        };
        // SAFETY: nobody has what was given back, by the promises of all who did so.
        unsafe { self.discard(state, leaving) };
    }

    /// Keeps no more free memory than this, nor ever more than the pool was made for.
    pub(super) fn set_slack(&self, bytes: usize) {
        let slack = bytes.min(self.sizes.slack);
        self.slack.store(slack, Ordering::Relaxed);
        let mut state = self.state.lock();
        let leaving = state.warm.shed(slack);
        // SAFETY: nobody has what is warm.
        unsafe { self.discard(state, leaving) };
    }

    /// Gives all free memory and all empty regions back.
    pub(super) fn trim(&self) {
        let mut state = self.state.lock();
        let leaving = state.warm.shed(0);
        // SAFETY: nobody has what is warm.
        unsafe { self.discard(state, leaving) };
        let empty = self.state.lock().space.take_empty();
        // Unmapped outside the lock.
        drop(empty);
    }

    pub(super) fn counts(&self) -> Counts {
        let state = self.state.lock();
        Counts { free: state.free, lent: state.lent, reserved: state.space.bytes() }
    }

    fn take_shared(&self, size: usize) -> Option<Start> {
        let mut fresh = None;
        let place = loop {
            let mut state = self.state.lock();
            // Another thread may have made room while this one mapped a region, which is then not needed.
            let found = state.space.take(size).or_else(|| {
                state.space.add(fresh.take()?);
                state.space.take(size)
            });
            if let Some(place) = found {
                state.lent += size;
                break place;
            }
            drop(state);
            fresh = Some(Map::sparse(self.sizes.region)?);
        };
        place.populate();
        Some(place.start())
    }

    fn take_own(&self, size: usize) -> Option<Start> {
        let map = Map::whole(size)?;
        let mut state = self.state.lock();
        state.lent += size;
        Some(state.space.add_own(map).start())
    }

    /// Gives the memory of buffers that are in no list any more back to the system, then their addresses to the space.
    ///
    /// # Safety
    ///
    /// Nobody has any of them.
    unsafe fn discard(&self, state: MutexGuard<'_, State>, leaving: Vec<Span>) {
        let places = state.space.places(leaving);
        drop(state);
        for place in &places {
            // SAFETY: by the caller's promise; until the lock is taken again the place is in no list either.
            unsafe { place.discard() };
        }
        let mut state = self.state.lock();
        let empty: Vec<Arc<Map>> = places.iter().filter_map(|place| state.space.give(place)).collect();
        state.note_free(|free| free - places.iter().map(|place| place.len).sum::<usize>());
        drop(state);
        // Unmapped outside the lock.
        drop((places, empty));
    }
}

#[cfg(test)]
impl Pages {
    /// Panics unless every page is in exactly one state. Nobody may be at work.
    pub(super) fn check_invariants(&self) {
        let state = self.state.lock();
        assert_eq!(state.free, state.warm.bytes());
        state.space.check_invariants(state.warm.spans(), state.lent);
    }
}
