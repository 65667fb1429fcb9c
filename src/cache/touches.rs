//! Which entries were found, in order, so that a hit needs no lock to be remembered.
//!
//! Every thread writes into one of a few rings. A holder of the cache's mutex empties them before it decides what goes.
//! One thread alone loses nothing: its hits arrive in the order in which they happened. Threads that find their ring full
//! while somebody else holds the mutex lose some, which makes the order a little older than it is.
//!
//! The first threads of the process have a ring of their own in every cache until they end, and write there without an
//! atomic addition, which is a fifth of what a hit costs at best. The others share some; what they note at the same time
//! may be lost too, or count for what was noted there before. A thread gets its ring with its first hit, for which the
//! system may take a few bytes: it must be told to give the ring back when the thread ends.

use std::cell::Cell;
// What the process knows of its threads is none of the model checker's business.
use std::sync::atomic::{AtomicU32 as ProcessU32, AtomicUsize as ProcessUsize};

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Rings of one thread. The model checker runs all its threads in one.
const OWNED: usize = if cfg!(shuttle) { 0 } else { 8 };
/// And those for all other threads.
const SHARED: usize = 4;
const RINGS: usize = OWNED + SHARED;
const RING: usize = 256;
/// Hits between two looks at how full the ring is.
const PATIENCE: u64 = 32;

/// A slot is remembered as one more than its number; 0 is a place that was never written to.
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

/// What is taken out of a ring.
pub(super) struct Drain<'a> {
    ring: &'a Ring,
    at: u64,
    head: u64,
}

impl Ring {
    #[inline]
    fn place(&self, at: u64) -> &AtomicU32 {
        &self.places[at as usize % RING]
    }

    /// Whether it would overflow before the next look.
    #[inline]
    fn is_about_full(&self, head: u64) -> bool {
        head + PATIENCE > self.tail.load(Ordering::Relaxed) + RING as u64
    }
}

thread_local! {
    /// The number of this thread's ring.
    static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
    static OWNER: Owner = const { Owner };
}

/// Gives the ring of a thread that ends to the next one.
struct Owner;

impl Drop for Owner {
    fn drop(&mut self) {
        TAKEN.give_back(MINE.replace(share()));
    }
}

/// The number of the ring of the thread that asks, which may have none yet.
fn mine() -> usize {
    if MINE.get() < RINGS {
        return MINE.get();
    }
    // A thread that is going away cannot be an owner any more.
    let owned = OWNER.try_with(|_| TAKEN.take()).ok().flatten();
    MINE.set(owned.unwrap_or_else(share));
    MINE.get()
}

/// One of the rings that nobody owns.
fn share() -> usize {
    static NEXT: ProcessUsize = ProcessUsize::new(0);
    OWNED + NEXT.fetch_add(1, Ordering::Relaxed) % SHARED
}

/// The rings that have an owner, by the bits of their numbers.
struct Taken(ProcessU32);

static TAKEN: Taken = Taken(ProcessU32::new(0));

impl Taken {
    fn take(&self) -> Option<usize> {
        let with_one_more = |taken: u32| (taken.trailing_ones() < OWNED as u32).then_some(taken | (taken + 1));
        // Acquire: this owner goes on where the last one stopped.
        let before = self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, with_one_more);
        before.ok().map(|taken| taken.trailing_ones() as usize)
    }

    fn give_back(&self, ring: usize) {
        if ring < OWNED {
            self.0.fetch_and(!(1 << ring), Ordering::Release);
        }
    }
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

    /// Remembers a hit. When that about fills the thread's ring, `drain` is called with its number; it empties the ring if
    /// it can. If it cannot, it is called again every now and then only: somebody else is at work.
    #[inline]
    pub(super) fn push(&self, slot: u32, sequential: bool, drain: impl FnOnce(usize)) {
        let place = (slot + 1) | if sequential { SEQUENTIAL } else { 0 };
        let number = MINE.get();
        let (number, head) = if number < OWNED {
            let ring = &self.rings[number];
            let head = ring.head.load(Ordering::Relaxed);
            ring.place(head).store(place, Ordering::Relaxed);
            ring.head.store(head + 1, Ordering::Release);
            (number, head + 1)
        } else {
            self.push_to_any(place)
        };
        if head.is_multiple_of(PATIENCE) && self.rings[number].is_about_full(head) {
            drain(number);
        }
    }

    /// As `push` for a thread that has no ring of its own, or none yet. Gives the ring and its head.
    #[cold]
    fn push_to_any(&self, place: u32) -> (usize, u64) {
        let number = mine();
        let ring = &self.rings[number];
        let head = ring.head.fetch_add(1, Ordering::Relaxed);
        ring.place(head).store(place, Ordering::Relaxed);
        (number, head + 1)
    }

    /// Hands out what was remembered, and forgets it. Under the mutex, to its end.
    pub(super) fn drain(&self) -> impl Iterator<Item = (u32, bool)> {
        (0..RINGS).flat_map(|ring| self.drain_ring(ring))
    }

    /// As [`drain`](Self::drain) for one ring. A thread that empties its own only does not fetch from other threads what
    /// they are about to write. Under the mutex, to its end.
    pub(super) fn drain_ring(&self, ring: usize) -> Drain<'_> {
        let ring = &self.rings[ring];
        let (head, tail) = (ring.head.load(Ordering::Acquire), ring.tail.load(Ordering::Relaxed));
        let lost = (head - tail).saturating_sub(RING as u64);
        Drain { ring, at: tail + lost, head }
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

impl Iterator for Drain<'_> {
    type Item = (u32, bool);

    #[inline]
    fn next(&mut self) -> Option<(u32, bool)> {
        while self.at < self.head {
            let place = self.ring.place(self.at).load(Ordering::Relaxed);
            self.at += 1;
            if let Some(slot) = (place & !SEQUENTIAL).checked_sub(1) {
                return Some((slot, place & SEQUENTIAL != 0));
            }
        }
        if self.ring.tail.load(Ordering::Relaxed) != self.head {
            self.ring.tail.store(self.head, Ordering::Release);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_loses_nothing_and_keeps_its_order() {
        let touches = Touches::new();
        let seen = std::cell::RefCell::new(Vec::new());
        let drain = |_| seen.borrow_mut().extend(touches.drain());
        for slot in 0..1000 {
            touches.push(slot, slot % 3 == 0, drain);
        }
        drain(0);
        assert_eq!(seen.into_inner(), (0..1000).map(|slot| (slot, slot % 3 == 0)).collect::<Vec<_>>());
        assert_eq!(touches.hits(), 1000);
    }

    #[test]
    fn a_ring_has_one_owner_at_a_time() {
        let taken = Taken(ProcessU32::new(0));
        let rings: Vec<_> = (0..OWNED + 1).map(|_| taken.take()).collect();
        assert_eq!(rings, (0..OWNED).map(Some).chain([None]).collect::<Vec<_>>());
        taken.give_back(3);
        taken.give_back(share());
        assert_eq!((taken.take(), taken.take()), (Some(3), None));
    }

    #[test]
    fn many_threads_lose_no_count() {
        // An interpreter takes its time.
        const N: u32 = if cfg!(miri) { 50 } else { 10_000 };
        let touches = Touches::new();
        std::thread::scope(|scope| {
            for _ in 0..RINGS + OWNED {
                scope.spawn(|| (0..N).for_each(|slot| touches.push(slot, false, |_| {})));
            }
        });
        assert_eq!(touches.hits(), (RINGS + OWNED) as u64 * u64::from(N));
    }

    #[test]
    fn what_nobody_takes_out_is_lost_from_the_oldest_on() {
        let touches = Touches::new();
        (0..1000).for_each(|slot| touches.push(slot, false, |_| {}));
        let seen: Vec<u32> = touches.drain().map(|(slot, _)| slot).collect();
        assert_eq!(seen, (1000 - RING as u32..1000).collect::<Vec<_>>());
    }
}
