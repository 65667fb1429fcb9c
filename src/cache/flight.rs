//! One load that many may wait for.

use crate::cancel::{self, Token};
use crate::error::{Error, Result};
use crate::sync::{Arc, AtomicBool, AtomicU32, Condvar, Mutex, Ordering, wait};

/// A load under way. Whoever wants its value sleeps here, and nowhere else.
pub(super) struct Flight<V> {
    progress: Mutex<Progress<V>>,
    arrived: Condvar,
    /// For those who sleep under another lock.
    has_landed: AtomicBool,
    /// Counted under the cache's mutex, until the leader takes the flight off the cache's list.
    waiters: Arc<AtomicU32>,
    /// Of the work that loads: it may go on only for those who wait, and must hear when they have left.
    leader: Option<Arc<Token>>,
    /// How often everything had been forgotten when it began.
    pub(super) born: u64,
}

struct Progress<V> {
    landed: Option<Result<Landed<V>>>,
    /// Of the work that waits and may be taken back: it sleeps where it hears of both.
    tokens: Vec<Arc<Token>>,
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
    /// A load by this thread that begins when everything was forgotten so many times.
    pub(super) fn new(born: u64) -> Self {
        Self {
            progress: Mutex::new(Progress { landed: None, tokens: Vec::new() }),
            arrived: Condvar::new(),
            has_landed: AtomicBool::new(false),
            waiters: Arc::default(),
            leader: cancel::token(),
            born,
        }
    }

    /// One more will wait. Under the cache's mutex.
    pub(super) fn join(&self) {
        self.waiters.fetch_add(1, Ordering::Relaxed);
    }

    /// One of those who wait does so no more. Under the cache's mutex, while others can join; then [`left`](Self::left).
    pub(super) fn leave(&self) {
        self.waiters.fetch_sub(1, Ordering::Relaxed);
    }

    /// Lets the one who loads hear that somebody left.
    pub(super) fn left(&self) {
        if let Some(leader) = &self.leader {
            leader.wake();
        }
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
        let mut progress = self.progress.lock();
        loop {
            match &progress.landed {
                Some(result) => return result.clone(),
                None => progress = wait(&self.arrived, progress),
            }
        }
    }

    /// As [`wait`](Self::wait); `None` when the work of this thread was taken back before the load was over.
    pub(super) fn wait_while_wanted(&self) -> Option<Result<Landed<V>>> {
        if let Some(token) = cancel::token() {
            let mut progress = self.progress.lock();
            if progress.landed.is_none() {
                progress.tokens.push(Arc::clone(&token));
                drop(progress);
                if !token.sleep_until(|| self.has_landed.load(Ordering::SeqCst)) {
                    self.progress.lock().tokens.retain(|other| !Arc::ptr_eq(other, &token));
                    return None;
                }
            }
        }
        Some(self.wait())
    }

    /// Tells the waiters. The cache's own state must have been brought up to date before.
    pub(super) fn land(&self, result: Result<Landed<V>>) {
        let tokens = {
            let mut progress = self.progress.lock();
            progress.landed = Some(result);
            self.has_landed.store(true, Ordering::SeqCst);
            std::mem::take(&mut progress.tokens)
        };
        self.arrived.notify_all();
        tokens.iter().for_each(|token| token.wake());
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
