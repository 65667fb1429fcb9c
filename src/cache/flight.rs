//! One load that many may wait for.

use crate::error::{Error, Result};
use crate::sync::{Arc, AtomicU32, Condvar, Mutex, Ordering, wait};

/// A load under way. Whoever wants its value sleeps here, and nowhere else.
pub(super) struct Flight<V> {
    landed: Mutex<Option<Result<Landed<V>>>>,
    arrived: Condvar,
    /// Counted under the cache's mutex, until the leader takes the flight off the cache's list.
    waiters: Arc<AtomicU32>,
    /// How often everything had been forgotten when it began.
    pub(super) born: u64,
}

/// How a load ended well.
pub(super) enum Landed<V> {
    /// In this slot, with one pin for each waiter.
    Kept(u32),
    /// The budget had no room.
    Loose(Arc<V>),
    /// There is no value, and no reason why loading it should fail: it was offered and then not there, or whoever loaded
    /// it was told to stop.
    Nothing,
}

impl<V> Clone for Landed<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Kept(slot) => Self::Kept(*slot),
            Self::Loose(value) => Self::Loose(Arc::clone(value)),
            Self::Nothing => Self::Nothing,
        }
    }
}

impl<V> Flight<V> {
    /// A load that begins when everything was forgotten so many times.
    pub(super) fn new(born: u64) -> Self {
        Self { landed: Mutex::new(None), arrived: Condvar::new(), waiters: Arc::default(), born }
    }

    /// One more will wait. Under the cache's mutex.
    pub(super) fn join(&self) {
        self.waiters.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of those who wait, for whoever loads: nobody has to go on when there are none.
    pub(super) fn waited_for(&self) -> &Arc<AtomicU32> {
        &self.waiters
    }

    /// How many wait. Under the cache's mutex, when nobody can join any more.
    pub(super) fn waiters(&self) -> u32 {
        self.waiters.load(Ordering::Relaxed)
    }

    /// Sleeps until the load is over. A slot that it gives has a pin for the caller.
    pub(super) fn wait(&self) -> Result<Landed<V>> {
        let mut landed = self.landed.lock();
        loop {
            match &*landed {
                Some(result) => return result.clone(),
                None => landed = wait(&self.arrived, landed),
            }
        }
    }

    /// Tells the waiters. The cache's own state must have been brought up to date before.
    pub(super) fn land(&self, result: Result<Landed<V>>) {
        *self.landed.lock() = Some(result);
        self.arrived.notify_all();
    }
}

/// The leader's duty to end its flight: if the load panics, `give_up` runs with an error for everybody.
pub(super) struct Duty<F: FnMut(Error)> {
    give_up: F,
    done: bool,
}

impl<F: FnMut(Error)> Duty<F> {
    pub(super) fn new(give_up: F) -> Self {
        Self { give_up, done: false }
    }

    /// The load ended without a panic.
    pub(super) fn done(mut self) {
        self.done = true;
    }

    /// The load failed.
    pub(super) fn fail(mut self, error: Error) {
        self.done = true;
        (self.give_up)(error);
    }
}

impl<F: FnMut(Error)> Drop for Duty<F> {
    fn drop(&mut self) {
        if !self.done {
            (self.give_up)(Error::internal("the load panicked in the thread that ran it"));
        }
    }
}
