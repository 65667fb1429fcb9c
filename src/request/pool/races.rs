//! What requesters do to each other, in schedules that a model checker chooses.

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

use super::*;
use crate::request::queue::Class;
use crate::sync::{AtomicU32, Ordering};

/// Schedules tried of each test, for each of two ways to choose them.
const SCHEDULES: usize = 1000;

fn check(test: fn()) {
    let config = || {
        let mut config = Config::new();
        config.stack_size = 1 << 20;
        config
    };
    Runner::new(RandomScheduler::new(SCHEDULES), config()).run(test);
    Runner::new(PctScheduler::new(3, SCHEDULES), config()).run(test);
}

/// Work that can be stopped in the middle, and counts how often it was begun and brought to its end.
#[derive(Clone, Default)]
struct Counted {
    begun: Arc<AtomicU32>,
    done: Arc<AtomicU32>,
}

impl Work<u32> for Counted {
    fn run(&self) -> Result<u32> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        thread::yield_now();
        cancel::check()?;
        Ok(self.done.fetch_add(1, Ordering::SeqCst))
    }
}

/// One who wants exactly one answer.
#[derive(Default)]
struct One {
    answers: AtomicU32,
    good: AtomicU32,
    arrived: Condvar,
    state: Mutex<bool>,
}

impl One {
    fn wait(&self) {
        let mut state = self.state.lock();
        while !*state {
            state = wait(&self.arrived, state);
        }
    }

    fn counts(&self) -> (u32, u32) {
        (self.answers.load(Ordering::SeqCst), self.good.load(Ordering::SeqCst))
    }
}

impl Asks<u32> for One {
    fn answer(&self, answer: Result<u32>) -> bool {
        self.answers.fetch_add(1, Ordering::SeqCst);
        self.good.fetch_add(u32::from(answer.is_ok()), Ordering::SeqCst);
        *self.state.lock() = true;
        self.arrived.notify_all();
        true
    }
}

fn ask(pool: &Pool<u32>, key: u128, work: &Counted) -> (Arc<One>, Option<Place>) {
    let one = Arc::new(One::default());
    let place = pool.shared.ask(key, Rank::new(Class::Wanted, 0), Arc::<One>::clone(&one), Box::new(work.clone()));
    (one, place)
}

#[test]
fn one_of_two_cancels_and_the_other_is_served() {
    check(|| {
        let pool = Pool::new(1).unwrap();
        let work = Counted::default();
        let (stays, _) = ask(&pool, 7, &work);
        let (goes, place) = ask(&pool, 7, &work);
        let canceller = {
            let shared = Arc::clone(&pool.shared);
            thread::spawn(move || place.is_some_and(|place| shared.cancel(place)))
        };
        stays.wait();
        goes.wait();
        let was_cancelled = canceller.join().unwrap();
        assert_eq!(stays.counts(), (1, 1));
        assert_eq!(goes.counts(), (1, u32::from(!was_cancelled)));
        drop(pool);
        // The second may have come when the first was served.
        assert!(work.done.load(Ordering::SeqCst) >= 1);
    });
}

#[test]
fn both_cancel_and_the_next_is_served() {
    check(|| {
        let pool = Pool::new(2).unwrap();
        let work = Counted::default();
        let both = [(); 2].map(|()| ask(&pool, 7, &work));
        let cancellers = both.each_ref().map(|(_, place)| {
            let (shared, place) = (Arc::clone(&pool.shared), *place);
            thread::spawn(move || place.is_some_and(|place| shared.cancel(place)))
        });
        let (next, _) = ask(&pool, 7, &work);
        next.wait();
        assert_eq!(next.counts(), (1, 1));
        for ((one, _), canceller) in both.iter().zip(cancellers) {
            one.wait();
            assert_eq!(one.counts(), (1, u32::from(!canceller.join().unwrap())));
        }
        drop(pool);
    });
}

#[test]
fn all_are_answered_once_when_the_threads_go() {
    check(|| {
        let pool = Pool::new(2).unwrap();
        let work = Counted::default();
        let all = [1, 2, 2, 3].map(|key| ask(&pool, key, &work).0);
        drop(pool);
        assert!(all.iter().all(|one| one.counts().0 == 1));
        assert!(work.done.load(Ordering::SeqCst) <= work.begun.load(Ordering::SeqCst));
    });
}

#[test]
fn what_nobody_asked_for_leaves_threads_to_what_somebody_did() {
    check(|| {
        let pool = Pool::new(2).unwrap();
        let work = Counted::default();
        let ahead = [1, 2, 3].map(|key| {
            let one = Arc::new(One::default());
            pool.shared.ask(key, Rank::new(Class::Ahead, 0), Arc::<One>::clone(&one), Box::new(work.clone()));
            one
        });
        let (asked, _) = ask(&pool, 2, &work);
        asked.wait();
        ahead.iter().for_each(|one| one.wait());
        assert_eq!(pool.shared.stats().queued, 0);
        assert!(ahead.iter().all(|one| one.counts() == (1, 1)));
        drop(pool);
    });
}
