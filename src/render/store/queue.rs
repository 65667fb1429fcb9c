//! What waits to be written to a store: bounded in bytes, taken by one thread.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::memory::{Charge, Class, Ledger};
use crate::render::key::TileKey;
use crate::sync::{Arc, AtomicU64, Condvar, Mutex, Ordering, wait, wait_for};

/// What a job counts beside its value.
const OVERHEAD: usize = 160;

/// Something to be done to the store.
pub(super) enum Job {
    Put(TileKey, Arc<Vec<u8>>),
    Remove(TileKey),
}

impl Job {
    fn key(&self) -> TileKey {
        match self {
            Self::Put(key, _) | Self::Remove(key) => *key,
        }
    }

    fn bytes(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Put(_, value) => value.len(),
                Self::Remove(_) => 0,
            }
    }
}

/// Jobs in the order in which they came.
pub(super) struct Queue {
    max_bytes: usize,
    close_within: Duration,
    /// Values that found no room, or were given up.
    dropped: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Each with its number.
    jobs: VecDeque<(u64, Job)>,
    /// The number of the job that is added next.
    next: u64,
    /// What waits or is being written, by its key.
    values: HashMap<TileKey, Arc<Vec<u8>>>,
    /// On the ledger of the process: jobs that wait, and the one that is being done.
    bytes: Charge,
    /// The number of the job that is being done.
    busy: Option<u64>,
    /// Threads that wait for the end of the queue.
    draining: usize,
    /// When the rest is given up.
    closing: Option<Instant>,
}

impl Queue {
    pub(super) fn new(max_bytes: usize, close_within: Duration) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            next: 0,
            values: HashMap::new(),
            bytes: Ledger::process().charge(Class::Scratch, 0),
            busy: None,
            draining: 0,
            closing: None,
        };
        Self { max_bytes, close_within, dropped: AtomicU64::new(0), state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Queues a value, if there is room. One that waits already under `key` is equal, and stays.
    pub(super) fn push(&self, key: TileKey, value: Vec<u8>) {
        let value = Arc::new(value);
        let mut state = self.state.lock();
        if state.values.contains_key(&key) {
            // Unlocked before the value is freed.
            drop(state);
        } else if self.add(&mut state, Job::Put(key, Arc::clone(&value))) {
            state.values.insert(key, value);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            drop(state);
        }
    }

    /// Queues the removal of a damaged value, if there is room.
    pub(super) fn push_removal(&self, key: TileKey) {
        self.add(&mut self.state.lock(), Job::Remove(key));
    }

    fn add(&self, state: &mut State, job: Job) -> bool {
        let bytes = state.bytes.bytes().saturating_add(job.bytes() as u64);
        if bytes > self.max_bytes as u64 || state.closing.is_some() {
            return false;
        }
        state.bytes.resize(bytes);
        state.jobs.push_back((state.next, job));
        state.next += 1;
        self.changed.notify_all();
        true
    }

    /// The value that waits under `key`, or is being written.
    pub(super) fn value(&self, key: TileKey) -> Option<Arc<Vec<u8>>> {
        self.state.lock().values.get(&key).cloned()
    }

    pub(super) fn bytes(&self) -> usize {
        self.state.lock().bytes.bytes() as usize
    }

    /// Values that were pushed and will not be written, for another reason than that writing them failed.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The next job, when there is one and `pause` is over; `None` when the queue is closed and empty. A pause is not
    /// kept when somebody waits for the end. What was taken must be given to [`done`](Self::done).
    pub(super) fn next(&self, pause: impl Fn() -> Option<Instant>) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if state.jobs.is_empty() {
                if state.closing.is_some() {
                    return None;
                }
                state = wait(&self.changed, state);
                continue;
            }
            // The lock of the pause is not taken under that of the queue.
            drop(state);
            let left = pause().and_then(|until| until.checked_duration_since(Instant::now()));
            state = self.state.lock();
            match left {
                Some(left) if !left.is_zero() && state.draining == 0 && state.closing.is_none() => {
                    state = wait_for(&self.changed, state, left);
                }
                _ => {
                    if let Some((number, job)) = state.jobs.pop_front() {
                        state.busy = Some(number);
                        return Some(job);
                    }
                }
            }
        }
    }

    /// Ends a job. When the store `failed` and somebody waits for the end, or closing took too long, the rest is given
    /// up.
    pub(super) fn done(&self, job: &Job, failed: bool) {
        let mut state = self.state.lock();
        state.busy = None;
        state.remove(job);
        let mut given_up = VecDeque::new();
        let too_late = state.closing.is_some_and(|end| Instant::now() >= end);
        if too_late || failed && (state.draining > 0 || state.closing.is_some()) {
            given_up = std::mem::take(&mut state.jobs);
            for (_, job) in &given_up {
                state.remove(job);
            }
            let values = given_up.iter().filter(|(_, job)| matches!(job, Job::Put(..))).count();
            self.dropped.fetch_add(values as u64, Ordering::Relaxed);
        }
        self.changed.notify_all();
        drop(state);
        drop(given_up);
    }

    /// Returns when all that is queued now is done or given up.
    pub(super) fn drain(&self) {
        let mut state = self.state.lock();
        state.draining += 1;
        self.changed.notify_all();
        let end = state.next;
        while state.busy.or(state.jobs.front().map(|(number, _)| *number)).is_some_and(|number| number < end) {
            state = wait(&self.changed, state);
        }
        state.draining -= 1;
    }

    /// Takes out the jobs for keys of which `which` is true, and waits for the one that is being done.
    pub(super) fn forget(&self, which: impl Fn(TileKey) -> bool) {
        let mut state = self.state.lock();
        let (gone, kept): (VecDeque<_>, _) =
            std::mem::take(&mut state.jobs).into_iter().partition(|(_, job)| which(job.key()));
        state.jobs = kept;
        for (_, job) in &gone {
            state.remove(job);
        }
        let busy = state.busy;
        while busy.is_some() && state.busy == busy {
            state = wait(&self.changed, state);
        }
        self.changed.notify_all();
        drop(state);
        drop(gone);
    }

    /// Nothing more comes; what waits is done, as far as it can be in the time that closing may take.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closing = Some(Instant::now() + self.close_within);
        self.changed.notify_all();
    }
}

impl State {
    fn remove(&mut self, job: &Job) {
        self.bytes.resize(self.bytes.bytes().saturating_sub(job.bytes() as u64));
        if let Job::Put(key, value) = job
            && self.values.get(key).is_some_and(|other| Arc::ptr_eq(value, other))
        {
            self.values.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u128) -> TileKey {
        TileKey { source: 0, tile: n }
    }

    #[test]
    fn what_is_left_when_closing_took_too_long_is_given_up() {
        let queue = Queue::new(1 << 20, Duration::ZERO);
        for n in 0..5 {
            queue.push(key(n), vec![0; 100]);
        }
        let job = queue.next(|| None).unwrap();
        queue.close();
        queue.push(key(9), vec![0; 100]);
        queue.done(&job, false);
        assert!(queue.next(|| None).is_none());
        assert_eq!((queue.dropped(), queue.bytes()), (5, 0));
        assert!((0..10).all(|n| queue.value(key(n)).is_none()));
    }

    #[test]
    fn a_pause_is_kept_unless_somebody_waits_for_the_end() {
        let queue = Queue::new(1 << 20, Duration::from_secs(60));
        queue.push(key(1), vec![0; 100]);
        let long = || Some(Instant::now() + Duration::from_secs(3600));
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| queue.next(long).map(|job| queue.done(&job, false)));
            queue.drain();
            assert!(writer.join().unwrap().is_some());
        });
    }
}
