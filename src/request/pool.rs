//! Threads that work a queue off.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::cancel;
use crate::error::{Error, ErrorKind, Result, panic_message};
use crate::sync::{Arc, Condvar, Mutex, thread, thread_local, wait};

use super::calls::{InCall, may_wait};
use super::queue::{Left, Place, Queue, Rank, Started};
use super::stats::RequestStats;

/// Something to do, once for all who asked for it.
pub(super) trait Work<O>: Send {
    fn run(&self) -> Result<O>;
}

/// One who asked.
pub(super) trait Asks<O>: Send + Sync {
    /// Takes the answer; whether it was the first. Called without a lock.
    fn answer(&self, answer: Result<O>) -> bool;

    /// Hears, in the thread that asks, that the threads are going.
    fn refuse(&self) {
        self.answer(Err(cancel::stopped()));
    }

    /// Whether somebody asked in so many words.
    fn is_request(&self) -> bool {
        true
    }
}

/// A queue, and what those who work it off say to each other.
pub(super) struct Shared<O> {
    state: Mutex<State<O>>,
    has_work: Condvar,
}

struct State<O> {
    queue: Queue<Arc<dyn Asks<O>>, Box<dyn Work<O>>>,
    closing: bool,
    /// Threads that tell what came of a job that is done.
    answering: u64,
    stats: RequestStats,
}

thread_local! {
    /// The queue that this thread works off, by its place in memory.
    static MINE: Cell<usize> = const { Cell::new(0) };
}

impl<O: Clone + Send + 'static> Shared<O> {
    fn new(most_ahead: usize) -> Self {
        let state =
            State { queue: Queue::new(most_ahead), closing: false, answering: 0, stats: RequestStats::default() };
        Self { state: Mutex::new(state), has_work: Condvar::new() }
    }

    /// Has `work` done for one who asks, unless the same is being done already. `None` when the threads are going: the
    /// answer is then `cancelled`.
    pub(super) fn ask(&self, key: u128, rank: Rank, asks: Arc<dyn Asks<O>>, work: Box<dyn Work<O>>) -> Option<Place> {
        let mut state = self.state.lock();
        if state.closing {
            drop(state);
            asks.refuse();
            return None;
        }
        let (place, joined) = state.queue.add(key, rank, asks, work);
        state.stats.joined += u64::from(joined);
        drop(state);
        self.has_work.notify_one();
        Some(place)
    }

    /// Changes how urgent something is to one who asked; whether he still waits.
    pub(super) fn set_rank(&self, place: Place, rank: Rank) -> bool {
        let is_there = self.state.lock().queue.set_rank(place, rank);
        self.has_work.notify_one();
        is_there
    }

    /// Changes how many threads at most work ahead of what is asked for.
    pub(super) fn set_most_ahead(&self, n: usize) {
        self.state.lock().queue.set_most_ahead(n);
        self.has_work.notify_all();
    }

    /// Takes back what one asked for. He is answered `cancelled` at once, in this thread, unless he has his answer.
    pub(super) fn cancel(&self, place: Place) -> bool {
        let is_first = self.leave(place).is_some_and(|asks| asks.answer(Err(cancel::stopped())));
        // Two may take it back at once.
        if is_first {
            self.count(|stats| stats.cancelled += 1);
        }
        is_first
    }

    /// As [`cancel`](Self::cancel) where nobody wants to hear of it; whether it still waited.
    pub(super) fn withdraw(&self, place: Place) -> bool {
        self.leave(place).is_some()
    }

    fn leave(&self, place: Place) -> Option<Arc<dyn Asks<O>>> {
        let mut state = self.state.lock();
        let (asks, left) = state.queue.remove(place)?;
        match &left {
            Left::Goes => {}
            Left::Dropped(_) => state.stats.dropped += 1,
            Left::Stopping(_) => state.stats.stopped += 1,
        }
        drop(state);
        if let Left::Stopping(token) = &left {
            token.cancel();
        }
        Some(asks)
    }

    /// Whether this thread is one of those that work the queue off.
    pub(super) fn is_mine(&self) -> bool {
        MINE.try_with(Cell::get) == Ok(std::ptr::from_ref(self).addr())
    }

    /// Counts something.
    pub(super) fn count(&self, count: impl FnOnce(&mut RequestStats)) {
        count(&mut self.state.lock().stats);
    }

    pub(super) fn stats(&self) -> RequestStats {
        let state = self.state.lock();
        let (queued, running) = (state.queue.n_waiting() as u64, state.queue.n_running() as u64);
        RequestStats { queued, running: running + state.answering, ..state.stats }
    }

    fn work(&self) {
        MINE.with(|mine| mine.set(std::ptr::from_ref(self).addr()));
        let _in_call = InCall::begin();
        let mut state = self.state.lock();
        loop {
            if state.closing {
                return;
            }
            let Some(Started { number, work, token }) = state.queue.take() else {
                state = wait(&self.has_work, state);
                continue;
            };
            drop(state);
            let done =
                catch_unwind(AssertUnwindSafe(|| cancel::run(&token, || cancel::check().and_then(|()| work.run()))));
            let done = done.unwrap_or_else(|panic| {
                Err(Error::internal(format!("a request panicked: {}", panic_message(&*panic))))
            });
            drop(work);
            let failed = done.as_ref().is_err_and(|error| error.kind() != ErrorKind::Cancelled);
            let count = |stats: &mut RequestStats, n: u64, change: fn(u64, u64) -> u64| {
                stats.answered = change(stats.answered, n);
                stats.failed = change(stats.failed, if failed { n } else { 0 });
            };
            state = self.state.lock();
            let asks = state.queue.finish(number);
            state.answering += 1;
            // Before anybody has his answer, and may want to know.
            let requests = asks.iter().filter(|asks| asks.is_request()).count() as u64;
            count(&mut state.stats, requests, u64::wrapping_add);
            drop(state);
            let mut too_late = 0;
            for asks in asks {
                // A callback that panics has had its answer.
                let is_first = catch_unwind(AssertUnwindSafe(|| asks.answer(done.clone()))).unwrap_or(true);
                too_late += u64::from(asks.is_request() && !is_first);
            }
            drop(done);
            state = self.state.lock();
            state.answering -= 1;
            count(&mut state.stats, too_late, u64::wrapping_sub);
        }
    }

    /// Answers all who wait with `cancelled` and lets the threads go.
    fn close(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        let (asks, dropped, running) = state.queue.clear();
        state.stats.cancelled += asks.len() as u64;
        drop(state);
        self.has_work.notify_all();
        running.iter().for_each(|token| token.cancel());
        drop(dropped);
        for asks in asks {
            let _ = catch_unwind(AssertUnwindSafe(|| asks.answer(Err(cancel::stopped()))));
        }
    }
}

/// The threads of a queue, joined when this is dropped where that may be waited for; elsewhere they end by themselves.
pub(super) struct Pool<O: Clone + Send + 'static> {
    pub(super) shared: Arc<Shared<O>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl<O: Clone + Send + 'static> Pool<O> {
    /// Starts so many threads, half of which at most work ahead of what is asked for.
    pub(super) fn new(n_threads: usize) -> Result<Self> {
        if n_threads == 0 || n_threads > 1024 {
            return Err(Error::invalid(format!("{n_threads} threads; 1 to 1024")));
        }
        let mut pool = Self { shared: Arc::new(Shared::new((n_threads / 2).max(1))), threads: Vec::new() };
        for number in 0..n_threads {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new().name(format!("tilekeep-{number}")).spawn(move || shared.work());
            // Those that were started are joined.
            pool.threads.push(thread.map_err(|error| Error::from(error).context("a thread for requests"))?);
        }
        Ok(pool)
    }
}

impl<O: Clone + Send + 'static> Drop for Pool<O> {
    fn drop(&mut self) {
        self.shared.close();
        // A callback may be what drops the last of it. It would wait for its own thread, or for one whose callback waits for it.
        if may_wait() {
            self.threads.drain(..).for_each(|thread| drop(thread.join()));
        }
    }
}

#[cfg(all(test, shuttle))]
mod races;
