//! Jobs in order of urgency: each done once for all who asked for it, dropped when nobody does any more.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::cancel::Token;
use crate::sync::Arc;

/// What kind of wish a job serves; of equal priorities the first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Something to show until the real thing is there.
    Preview,
    /// Asked for.
    Wanted,
    /// May be asked for soon.
    Ahead,
}

/// How urgent a job is to one who waits for it; the least is the most urgent. What somebody asked for goes before what nobody
/// did, then by priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) is_ahead: bool,
    pub(super) priority: Reverse<i32>,
    pub(super) class: Class,
    /// Of a viewport, levels finer than the coarsest one; 0 of others.
    pub(super) finer: u32,
    /// Of a viewport, how far from its centre; 0 of others.
    pub(super) far: u64,
}

impl Rank {
    pub(super) fn new(class: Class, priority: i32) -> Self {
        Self { is_ahead: class == Class::Ahead, priority: Reverse(priority), class, finer: 0, far: 0 }
    }
}

/// One who waits for a job: the job's number, which is its age, and his own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    job: u64,
    waiter: u64,
}

/// Jobs that wait or run, and who waits for them. `A` is who asks, `W` what is done. Every operation takes a time that
/// grows with the logarithm of how many there are.
pub(super) struct Queue<A, W> {
    jobs: HashMap<u64, Job<A, W>>,
    /// The job that whoever asks for this joins.
    by_key: HashMap<u128, u64>,
    waiting: BTreeSet<(Rank, u64)>,
    last: u64,
    running: usize,
    /// Of these, jobs that nobody asked for yet.
    running_ahead: usize,
    most_ahead: usize,
}

struct Job<A, W> {
    key: u128,
    token: Arc<Token>,
    /// `None` as soon as it runs.
    work: Option<W>,
    waiters: BTreeMap<u64, (Rank, A)>,
    /// The ranks of the waiters; the first is the job's own.
    ranks: BTreeSet<(Rank, u64)>,
    /// Whether it runs as one that nobody asked for.
    is_ahead: bool,
}

impl<A, W> Job<A, W> {
    fn rank(&self) -> Option<Rank> {
        self.ranks.first().map(|(rank, _)| *rank)
    }
}

/// What became of a job when somebody left it.
pub(super) enum Left<W> {
    /// Others wait for it, or it was over already.
    Goes,
    /// It had not begun.
    Dropped(W),
    /// It runs, and was told to stop.
    Stopping(Arc<Token>),
}

/// A job to run.
pub(super) struct Started<W> {
    pub(super) number: u64,
    pub(super) work: W,
    pub(super) token: Arc<Token>,
}

impl<A, W> Queue<A, W> {
    /// An empty queue of which at most so many jobs run at once that nobody asked for.
    pub(super) fn new(most_ahead: usize) -> Self {
        Self {
            jobs: HashMap::new(),
            by_key: HashMap::new(),
            waiting: BTreeSet::new(),
            last: 0,
            running: 0,
            running_ahead: 0,
            most_ahead,
        }
    }

    /// Changes how many jobs at most run at once that nobody asked for. Those that run go on.
    pub(super) fn set_most_ahead(&mut self, n: usize) {
        self.most_ahead = n;
    }

    /// Waits for the job of `key`, which is `work` when there is none yet; whether there was one.
    pub(super) fn add(&mut self, key: u128, rank: Rank, asks: A, work: W) -> (Place, bool) {
        self.last += 1;
        let waiter = self.last;
        let known = self.by_key.get(&key).copied();
        let number = known.unwrap_or(waiter);
        if known.is_none() {
            self.by_key.insert(key, number);
            let (token, waiters, ranks) = (Arc::default(), BTreeMap::new(), BTreeSet::new());
            self.jobs.insert(number, Job { key, token, work: Some(work), waiters, ranks, is_ahead: false });
        }
        self.change(number, |job| {
            job.waiters.insert(waiter, (rank, asks));
            job.ranks.insert((rank, waiter));
        });
        (Place { job: number, waiter }, known.is_some())
    }

    /// Changes how urgent a job is to one who waits for it; whether he still does.
    pub(super) fn set_rank(&mut self, place: Place, rank: Rank) -> bool {
        self.change(place.job, |job| {
            let Some((old, _)) = job.waiters.get_mut(&place.waiter) else { return false };
            job.ranks.remove(&(*old, place.waiter));
            *old = rank;
            job.ranks.insert((rank, place.waiter));
            true
        })
        .unwrap_or(false)
    }

    /// Stops waiting. `None` when the answer is on its way.
    pub(super) fn remove(&mut self, place: Place) -> Option<(A, Left<W>)> {
        let (_, asks) = self.change(place.job, |job| {
            let (rank, asks) = job.waiters.remove(&place.waiter)?;
            job.ranks.remove(&(rank, place.waiter));
            Some((rank, asks))
        })??;
        let job = self.jobs.get_mut(&place.job)?;
        if !job.waiters.is_empty() {
            return Some((asks, Left::Goes));
        }
        // Whoever asks from now on begins anew.
        self.by_key.remove(&job.key);
        let left = match job.work.take() {
            Some(work) => {
                self.jobs.remove(&place.job);
                Left::Dropped(work)
            }
            None => Left::Stopping(Arc::clone(&job.token)),
        };
        Some((asks, left))
    }

    /// The most urgent job that may run now.
    pub(super) fn take(&mut self) -> Option<Started<W>> {
        let (rank, number) = *self.waiting.first()?;
        let is_ahead = rank.is_ahead;
        if is_ahead && self.running_ahead >= self.most_ahead {
            return None;
        }
        let job = self.jobs.get_mut(&number)?;
        let work = job.work.take()?;
        job.is_ahead = is_ahead;
        self.waiting.remove(&(rank, number));
        self.running += 1;
        self.running_ahead += usize::from(is_ahead);
        Some(Started { number, work, token: Arc::clone(&job.token) })
    }

    /// A job is over. Who waits for it is to be answered.
    pub(super) fn finish(&mut self, number: u64) -> Vec<A> {
        let Some(job) = self.jobs.remove(&number) else { return Vec::new() };
        self.running -= 1;
        self.running_ahead -= usize::from(job.is_ahead);
        if self.by_key.get(&job.key) == Some(&number) {
            self.by_key.remove(&job.key);
        }
        job.waiters.into_values().map(|(_, asks)| asks).collect()
    }

    /// Takes everything back: all who wait, what had not begun, and the tokens of what runs.
    pub(super) fn clear(&mut self) -> (Vec<A>, Vec<W>, Vec<Arc<Token>>) {
        let (mut asks, mut dropped, mut running) = (Vec::new(), Vec::new(), Vec::new());
        self.waiting.clear();
        self.by_key.clear();
        self.jobs.retain(|_, job| {
            asks.extend(std::mem::take(&mut job.waiters).into_values().map(|(_, asks)| asks));
            job.ranks.clear();
            let is_running = job.work.is_none();
            if is_running {
                running.push(Arc::clone(&job.token));
            }
            dropped.extend(job.work.take());
            is_running
        });
        (asks, dropped, running)
    }

    pub(super) fn n_waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn n_running(&self) -> usize {
        self.running
    }

    /// Changes a job and puts it where its rank is by then.
    fn change<T>(&mut self, number: u64, change: impl FnOnce(&mut Job<A, W>) -> T) -> Option<T> {
        let job = self.jobs.get_mut(&number)?;
        let before = job.rank();
        let changed = change(job);
        let after = job.rank();
        if job.work.is_none() {
            // One that somebody asks for while it runs is no longer ahead of anything.
            if job.is_ahead && after.is_some_and(|rank| !rank.is_ahead) {
                job.is_ahead = false;
                self.running_ahead -= 1;
            }
        } else if before != after {
            before.map(|rank| self.waiting.remove(&(rank, number)));
            after.map(|rank| self.waiting.insert((rank, number)));
        }
        Some(changed)
    }

    #[cfg(all(test, not(shuttle)))]
    fn check_invariants(&self) {
        let queued = self.jobs.iter().filter(|(_, job)| job.work.is_some());
        let expected: BTreeSet<_> = queued.filter_map(|(number, job)| Some((job.rank()?, *number))).collect();
        assert_eq!(expected, self.waiting);
        let running: Vec<_> = self.jobs.values().filter(|job| job.work.is_none()).collect();
        assert_eq!(running.len(), self.running);
        assert_eq!(running.iter().filter(|job| job.is_ahead).count(), self.running_ahead);
        assert!(self.running_ahead <= self.most_ahead);
        for (number, job) in &self.jobs {
            let ranks: BTreeSet<_> = job.waiters.iter().map(|(waiter, (rank, _))| (*rank, *waiter)).collect();
            assert_eq!(ranks, job.ranks);
            assert_eq!(self.by_key.get(&job.key) == Some(number), !job.waiters.is_empty());
        }
        assert!(self.by_key.iter().all(|(key, number)| self.jobs[number].key == *key));
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A job: key, whether it runs, whether it was left, age, and for each who waits his name and rank.
    type Known = (u128, bool, bool, usize, Vec<(u32, Rank)>);

    /// What the queue does, said in the plainest way.
    #[derive(Default)]
    struct Model {
        jobs: Vec<Known>,
        n: usize,
    }

    fn rank(n: u8) -> Rank {
        let class = [Class::Preview, Class::Wanted, Class::Wanted, Class::Ahead][usize::from(n % 4)];
        Rank { finer: u32::from(n / 64), far: u64::from(n / 16 % 4), ..Rank::new(class, i32::from(n / 4 % 4)) }
    }

    proptest! {
        #[test]
        fn it_does_what_a_list_does(steps in prop::collection::vec((0..5u8, any::<u8>(), 0..6u8), 1..200)) {
            let mut queue: Queue<u32, u128> = Queue::new(1);
            let (mut model, mut places, mut running) = (Model::default(), Vec::new(), Vec::new());
            for (name, (step, n, key)) in (0..).zip(steps) {
                let key = u128::from(key);
                match step {
                    0 | 1 => {
                        let (place, joined) = queue.add(key, rank(n), name, key);
                        places.push((name, place));
                        let same = model.jobs.iter_mut().find(|job| job.0 == key && !job.2);
                        assert_eq!(joined, same.is_some());
                        model.n += 1;
                        match same {
                            Some(job) => job.4.push((name, rank(n))),
                            None => model.jobs.push((key, false, false, model.n, vec![(name, rank(n))])),
                        }
                    }
                    2 if !places.is_empty() => {
                        let (name, place) = places[usize::from(n) % places.len()];
                        let is_there = model.jobs.iter_mut().flat_map(|job| &mut job.4).find(|w| w.0 == name);
                        assert_eq!(queue.set_rank(place, rank(n)), is_there.is_some());
                        is_there.into_iter().for_each(|w| w.1 = rank(n));
                    }
                    3 if !places.is_empty() => {
                        let (name, place) = places.swap_remove(usize::from(n) % places.len());
                        let i = model.jobs.iter().position(|job| job.4.iter().any(|w| w.0 == name));
                        match (queue.remove(place), i) {
                            (None, None) => {}
                            (Some((asks, left)), Some(i)) => {
                                assert_eq!(asks, name);
                                model.jobs[i].4.retain(|w| w.0 != name);
                                let (_, runs, _, _, waiters) = &model.jobs[i];
                                match left {
                                    Left::Goes => assert!(!waiters.is_empty()),
                                    Left::Dropped(work) => {
                                        assert!(waiters.is_empty() && !runs && work == model.jobs[i].0);
                                        model.jobs.remove(i);
                                    }
                                    Left::Stopping(_) => {
                                        assert!(waiters.is_empty() && *runs);
                                        model.jobs[i].2 = true;
                                    }
                                }
                            }
                            (found, i) => panic!("{} and {i:?}", found.is_some()),
                        }
                    }
                    4 if n % 2 == 0 => {
                        let best = |job: &&mut Known| (job.4.iter().map(|w| w.1).min(), job.3);
                        let first = model.jobs.iter_mut().filter(|job| !job.1).min_by_key(best);
                        let started = queue.take();
                        // It may hold back what nobody asked for.
                        if let Some(started) = started {
                            let first = first.unwrap();
                            assert_eq!(started.work, first.0);
                            first.1 = true;
                            running.push((started.number, first.3));
                        } else {
                            assert!(first.is_none_or(|job| job.4.iter().all(|w| w.1.class == Class::Ahead)));
                        }
                    }
                    _ if !running.is_empty() => {
                        let (number, age) = running.swap_remove(usize::from(n) % running.len());
                        let i = model.jobs.iter().position(|job| job.3 == age).unwrap();
                        let expected: Vec<_> = model.jobs.remove(i).4.iter().map(|w| w.0).collect();
                        assert_eq!(queue.finish(number), expected);
                    }
                    _ => {}
                }
                queue.check_invariants();
            }
            let (asks, dropped, stopped) = queue.clear();
            assert_eq!(asks.len(), model.jobs.iter().map(|job| job.4.len()).sum::<usize>());
            assert_eq!((dropped.len(), stopped.len()), (model.jobs.len() - running.len(), running.len()));
            running.into_iter().for_each(|(number, _)| assert!(queue.finish(number).is_empty()));
            queue.check_invariants();
            assert!(queue.jobs.is_empty());
        }
    }
}
