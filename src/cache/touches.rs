//! Which entries were found, in order, so that a hit needs no lock to be remembered.
//!
//! Every thread writes into one of a few rings. A holder of the cache's mutex empties them before it decides what goes.
//! One thread alone loses nothing: its hits arrive in the order in which they happened. Threads that share a ring, or
//! find it full while somebody else holds the mutex, may lose some, which makes the order a little older than it is.

use std::cell::Cell;

use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

const RINGS: usize = 8;
const RING: usize = 256;
/// Hits between two attempts to empty a full ring. A part of `RING`, so that the first one comes when it is full.
const PATIENCE: u64 = 32;

/// A slot is remembered as one more than its number; 0 is an empty place.
const SEQUENTIAL: u32 = 1 << 31;

pub(super) struct Touches {
    rings: [Ring; RINGS],
}

#[repr(align(128))]
struct Ring {
    /// Hits so far; also where the next one goes.
    head: AtomicU64,
    /// Hits that were taken out.
    tail: AtomicU64,
    places: [AtomicU32; RING],
}

thread_local! {
    static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The ring of the thread that asks.
#[inline]
fn mine() -> usize {
    // A thread that is going away shares the first ring.
    MINE.try_with(|mine| match mine.get() {
        usize::MAX => {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let ring = NEXT.fetch_add(1, Ordering::Relaxed) % RINGS;
            mine.set(ring);
            ring
        }
        ring => ring,
    })
    .unwrap_or(0)
}

impl Touches {
    pub(super) fn new() -> Self {
        let ring = || Ring {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            places: std::array::from_fn(|_| AtomicU32::new(0)),
        };
        Self { rings: std::array::from_fn(|_| ring()) }
    }

    /// Remembers a hit. When the thread's ring is full, `drain` is called with its number first; it empties the ring if
    /// it can. If it cannot, it is called again every now and then only: somebody else is at work.
    #[inline]
    pub(super) fn push(&self, slot: u32, sequential: bool, drain: impl FnOnce(usize)) {
        let number = mine();
        let ring = &self.rings[number];
        let noted = ring.head.load(Ordering::Relaxed).wrapping_sub(ring.tail.load(Ordering::Relaxed));
        if noted >= RING as u64 && noted.is_multiple_of(PATIENCE) {
            drain(number);
        }
        let at = ring.head.fetch_add(1, Ordering::Relaxed);
        let place = (slot + 1) | if sequential { SEQUENTIAL } else { 0 };
        ring.places[at as usize % RING].store(place, Ordering::Release);
    }

    /// Hands out what was remembered, and forgets it. Under the mutex.
    pub(super) fn drain(&self, mut each: impl FnMut(u32, bool)) {
        (0..RINGS).for_each(|ring| self.drain_ring(ring, &mut each));
    }

    /// As [`drain`](Self::drain) for one ring. A thread that empties its own only does not fetch from other threads what
    /// they are about to write. Under the mutex.
    pub(super) fn drain_ring(&self, ring: usize, mut each: impl FnMut(u32, bool)) {
        let ring = &self.rings[ring];
        let (head, tail) = (ring.head.load(Ordering::Acquire), ring.tail.load(Ordering::Relaxed));
        let lost = (head - tail).saturating_sub(RING as u64);
        for at in tail + lost..head {
            let place = ring.places[at as usize % RING].swap(0, Ordering::Acquire);
            if let Some(slot) = (place & !SEQUENTIAL).checked_sub(1) {
                each(slot, place & SEQUENTIAL != 0);
            }
        }
        ring.tail.store(head, Ordering::Release);
    }

    /// Hits remembered so far.
    pub(super) fn hits(&self) -> u64 {
        self.rings.iter().map(|ring| ring.head.load(Ordering::Relaxed)).sum()
    }

    /// Bytes that the rings take.
    pub(super) const fn bytes() -> usize {
        size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_loses_nothing_and_keeps_its_order() {
        let touches = Touches::new();
        let seen = std::cell::RefCell::new(Vec::new());
        let drain = |_| touches.drain(|slot, sequential| seen.borrow_mut().push((slot, sequential)));
        for slot in 0..1000 {
            touches.push(slot, slot % 3 == 0, drain);
        }
        drain(0);
        assert_eq!(seen.into_inner(), (0..1000).map(|slot| (slot, slot % 3 == 0)).collect::<Vec<_>>());
        assert_eq!(touches.hits(), 1000);
    }

    #[test]
    fn what_nobody_takes_out_is_lost_from_the_oldest_on() {
        let touches = Touches::new();
        (0..1000).for_each(|slot| touches.push(slot, false, |_| {}));
        let mut seen = Vec::new();
        touches.drain(|slot, _| seen.push(slot));
        assert_eq!(seen, (1000 - RING as u32..1000).collect::<Vec<_>>());
    }
}
