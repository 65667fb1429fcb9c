//! What threads do to each other, in schedules that a model checker chooses.
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle" cargo test --lib races
//! ```

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner, thread};

use super::*;
use crate::memory::Ledger;
use crate::sync::AtomicU32;
use crate::{Error, ErrorKind, Result, cancel};

/// Schedules tried of each test, for each of two ways to choose them.
const SCHEDULES: usize = 1000;
/// Bytes of an entry, overhead included.
const ENTRY: u64 = 1000;

type Shared = Arc<Cache<u32, Value>>;

/// A value that knows whether it was dropped.
struct Value {
    key: u32,
    /// How many were made before it.
    nth: u32,
    alive: AtomicU32,
    dropped: Arc<AtomicU32>,
}

impl Value {
    fn check(&self, key: u32) {
        assert_eq!((self.key, self.alive.load(Ordering::SeqCst)), (key, 1), "a value that is gone, or another one");
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        assert_eq!(self.alive.swap(0, Ordering::SeqCst), 1, "dropped twice");
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// What threads share in one run.
#[derive(Clone)]
struct Run {
    cache: Shared,
    made: Arc<AtomicU32>,
    dropped: Arc<AtomicU32>,
}

impl Run {
    fn new(entries: u64) -> Self {
        Self::within(&Total::new(u64::MAX), CacheBudget::Own(entries * ENTRY))
    }

    fn within(total: &Arc<Total>, budget: CacheBudget) -> Self {
        let cache = Cache::new(Account::open(total, budget), CachePolicy::Lru, Arc::new(Ledger::default()));
        let cache = Arc::new(cache);
        cache.share();
        Self { cache, made: Arc::default(), dropped: Arc::default() }
    }

    fn value(&self, key: u32) -> Value {
        let nth = self.made.fetch_add(1, Ordering::SeqCst);
        Value { key, nth, alive: AtomicU32::new(1), dropped: Arc::clone(&self.dropped) }
    }

    fn get(&self, key: u32, mode: Mode) -> Result<Pinned<u32, Value, &Cache<u32, Value>>> {
        let load = || {
            thread::yield_now();
            Ok(self.value(key))
        };
        self.cache.get_or_load(key, ENTRY - ENTRY_OVERHEAD, mode, load)
    }

    fn read(&self, key: u32, mode: Mode) {
        if let Ok(pin) = self.get(key, mode) {
            pin.check(key);
            thread::yield_now();
            pin.check(key);
        } else {
            assert_eq!(mode, Mode::Lock);
        }
    }

    /// Everything is as if nobody had been at work, and no value was lost.
    fn check_end(self) {
        self.cache.check_invariants();
        let counts = self.cache.counts();
        assert_eq!((counts.locked_bytes, counts.loading_bytes), (0, 0));
        assert!(counts.bytes <= counts.max_bytes);
        assert_eq!(u64::from(self.made.load(Ordering::SeqCst) - self.dropped.load(Ordering::SeqCst)), counts.entries);
        drop(self.cache);
        assert_eq!(self.made.load(Ordering::SeqCst), self.dropped.load(Ordering::SeqCst));
    }
}

/// Runs threads in many schedules.
fn check(test: fn()) {
    let config = || {
        let mut config = Config::new();
        config.stack_size = 1 << 20;
        config
    };
    Runner::new(RandomScheduler::new(SCHEDULES), config()).run(test);
    Runner::new(PctScheduler::new(3, SCHEDULES), config()).run(test);
}

fn spawn(run: &Run, work: impl FnOnce(Run) + Send + 'static) -> thread::JoinHandle<()> {
    let run = run.clone();
    thread::spawn(move || work(run))
}

/// Waits for threads, all of which run by now.
fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    let threads: Vec<_> = threads.into_iter().collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn loads_hits_and_evictions() {
    check(|| {
        // Room for two of three, so that every thread evicts what another one reads.
        let run = Run::new(2);
        join((0..3).map(|first| spawn(&run, move |run| (0..3).for_each(|i| run.read((first + i) % 3, Mode::Use)))));
        run.check_end();
    });
}

#[test]
fn locks_are_found_while_others_evict() {
    check(|| {
        let run = Run::new(2);
        let locker = spawn(&run, |run| {
            // Refused when both others are in use at this moment.
            let Ok(lock) = run.get(0, Mode::Lock) else { return };
            for _ in 0..2 {
                let again = run.cache.get_or_load(0, ENTRY, Mode::Use, || panic!("a locked entry stays findable"));
                again.unwrap().check(0);
            }
            lock.check(0);
        });
        let others = [1, 2]
            .map(|key| spawn(&run, move |run| [key, 0].map(|key| run.read(key, Mode::Use)).into_iter().collect()));
        join(others.into_iter().chain([locker]));
        run.check_end();
    });
}

#[test]
fn a_lock_that_waits_for_a_reader_who_keeps_nothing_is_not_refused() {
    check(|| {
        let run = Run::new(2);
        let passing = spawn(&run, |run| run.read(7, Mode::Passing));
        let locks = [(); 2].map(|()| {
            spawn(&run, |run| {
                let lock = run.get(7, Mode::Lock).expect("there is room");
                assert!(lock.is_kept());
                lock.check(7);
            })
        });
        join(locks.into_iter().chain([passing]));
        run.check_end();
    });
}

#[test]
fn a_policy_that_keeps_nothing_leaves_nothing_behind() {
    check(|| {
        let run = Run::new(3);
        let reads = [0, 1].map(|key| {
            spawn(&run, move |run| [key, key, 1 - key].map(|key| run.read(key, Mode::Use)).into_iter().collect())
        });
        let offers = spawn(&run, |run| {
            run.cache.insert_with(2, ENTRY - ENTRY_OVERHEAD, Mode::Use, || {
                thread::yield_now();
                Some(run.value(2))
            });
        });
        let changes = spawn(&run, |run| run.cache.set_policy(CachePolicy::None));
        join(reads.into_iter().chain([offers, changes]));
        assert_eq!(run.cache.counts().entries, 0);
        run.check_end();
    });
}

#[test]
fn unlocking_and_shrinking() {
    check(|| {
        let run = Run::new(3);
        let lockers = [0, 1].map(|key| spawn(&run, move |run| run.read(key, Mode::Lock)));
        let shrinks = spawn(&run, |run| {
            run.cache.set_budget(CacheBudget::Own(ENTRY));
            run.read(2, Mode::Use);
            run.cache.remove_if(|_| true);
        });
        join(lockers.into_iter().chain([shrinks]));
        run.check_end();
    });
}

#[test]
fn many_wait_for_one_load_that_ends_well_or_not() {
    check(|| {
        let run = Run::new(2);
        let fails = Arc::new(AtomicU32::new(1));
        let threads = (0..3).map(|_| {
            let fails = Arc::clone(&fails);
            spawn(&run, move |run| {
                let load = || {
                    thread::yield_now();
                    match fails.swap(0, Ordering::SeqCst) {
                        0 => Ok(run.value(7)),
                        _ => Err(Error::corrupt("the first load fails")),
                    }
                };
                match run.cache.get_or_load(7, ENTRY - ENTRY_OVERHEAD, Mode::Use, load) {
                    Ok(pin) => pin.check(7),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
                }
            })
        });
        join(threads);
        run.read(7, Mode::Use);
        run.check_end();
    });
}

#[test]
fn what_is_pinned_while_all_is_forgotten_is_not_found_afterwards() {
    check(|| {
        let run = Run::new(2);
        drop(run.get(7, Mode::Use));
        let holders = [Mode::Use, Mode::Lock].map(|mode| spawn(&run, move |run| run.read(7, mode)));
        let forgets = spawn(&run, |run| {
            run.cache.forget();
            // Only what was loaded after that is there now.
            let pin = run.get(7, Mode::Use).unwrap();
            pin.check(7);
            assert!(pin.nth > 0, "a value of before");
        });
        join(holders.into_iter().chain([forgets]));
        run.check_end();
    });
}

#[test]
fn who_waits_is_served_although_the_one_who_loads_is_told_to_stop() {
    check(|| {
        let run = Run::new(2);
        let token = Arc::new(cancel::Token::default());
        let get = |run: &Run| {
            let load = || {
                for _ in 0..2 {
                    thread::yield_now();
                    cancel::check()?;
                }
                Ok(run.value(7))
            };
            run.cache.get_or_load(7, ENTRY - ENTRY_OVERHEAD, Mode::Use, load).map(|pin| pin.check(7))
        };
        let stopped = {
            let token = Arc::clone(&token);
            spawn(&run, move |run| {
                if let Err(error) = cancel::run(&token, || get(&run)) {
                    assert_eq!(error.kind(), ErrorKind::Cancelled);
                }
            })
        };
        let others = [(); 2].map(|()| spawn(&run, move |run| get(&run).expect("nobody told this one to stop")));
        let stops = thread::spawn(move || token.cancel());
        join(others.into_iter().chain([stopped, stops]));
        assert_eq!(run.made.load(Ordering::SeqCst), 1);
        assert_eq!(run.cache.counts().failed_loads, 0);
        run.check_end();
    });
}

#[test]
fn a_load_that_is_told_to_stop_leaves_nothing_behind() {
    check(|| {
        let run = Run::new(2);
        let token = Arc::new(cancel::Token::default());
        let both = [(); 2].map(|()| {
            let token = Arc::clone(&token);
            spawn(&run, move |run| {
                let load = || {
                    thread::yield_now();
                    cancel::check()?;
                    Ok(run.value(7))
                };
                let got = cancel::run(&token, || {
                    run.cache.get_or_load(7, ENTRY - ENTRY_OVERHEAD, Mode::Use, load).map(|pin| pin.check(7))
                });
                if let Err(error) = got {
                    assert_eq!(error.kind(), ErrorKind::Cancelled);
                }
            })
        });
        let stops = thread::spawn(move || token.cancel());
        join(both.into_iter().chain([stops]));
        run.read(7, Mode::Use);
        run.check_end();
    });
}

#[test]
fn who_waits_and_is_told_to_stop_leaves_no_pin_behind() {
    check(|| {
        let run = Run::new(2);
        let get = |run: &Run| {
            let load = || {
                thread::yield_now();
                cancel::check()?;
                Ok(run.value(7))
            };
            run.cache.get_or_load(7, ENTRY - ENTRY_OVERHEAD, Mode::Use, load).map(|pin| pin.check(7))
        };
        let tokens = [(); 2].map(|()| Arc::new(cancel::Token::default()));
        let stopped = tokens.clone().map(|token| {
            spawn(&run, move |run| {
                if let Err(error) = cancel::run(&token, || get(&run)) {
                    assert_eq!(error.kind(), ErrorKind::Cancelled);
                }
            })
        });
        let other = spawn(&run, move |run| get(&run).expect("nobody told this one to stop"));
        let stops = thread::spawn(move || tokens.iter().for_each(|token| token.cancel()));
        join(stopped.into_iter().chain([other, stops]));
        assert_eq!(run.cache.counts().failed_loads, 0);
        run.check_end();
    });
}

#[test]
fn writing_back_while_others_read_and_evict() {
    check(|| {
        let run = Run::new(2);
        let writer = spawn(&run, |run| {
            if let Ok(pin) = run.get(0, Mode::Lock) {
                assert!(run.cache.mark_dirty(&pin));
            }
        });
        let flusher = spawn(&run, |run| {
            run.cache
                .flush(|key, value| {
                    value.check(*key);
                    thread::yield_now();
                    Ok(())
                })
                .unwrap();
        });
        let reader = spawn(&run, |run| [1, 0, 2].into_iter().for_each(|key| run.read(key, Mode::Use)));
        join([writer, flusher, reader]);
        run.cache.flush(|_, _| Ok(())).unwrap();
        assert_eq!(run.cache.counts().dirty_bytes, 0);
        run.check_end();
    });
}

#[test]
fn what_is_offered_while_it_is_asked_for() {
    check(|| {
        let run = Run::new(2);
        let offers = spawn(&run, |run| {
            for (key, good) in [(1, true), (2, false)] {
                run.cache.insert_with(key, ENTRY - ENTRY_OVERHEAD, Mode::Use, || {
                    thread::yield_now();
                    good.then(|| run.value(key))
                });
            }
        });
        let asks = [1, 2].map(|key| spawn(&run, move |run| run.read(key, Mode::Use)));
        join(asks.into_iter().chain([offers]));
        run.check_end();
    });
}

#[test]
fn caches_that_take_memory_from_each_other() {
    check(|| {
        let total = Total::new(3 * ENTRY);
        let floor =
            CacheBudget::Pooled { floor_bytes: Some(ENTRY), ceiling_bytes: u64::MAX, class: CacheClass::Interactive };
        let runs = [(); 2].map(|()| Run::within(&total, floor));
        let threads: Vec<_> = runs
            .iter()
            .flat_map(|run| {
                [0, 1].map(|first| {
                    spawn(run, move |run| {
                        (0..2).for_each(|i| run.read(first + 2 * i, if first == 0 { Mode::Use } else { Mode::Lock }));
                    })
                })
            })
            .collect();
        let trims = {
            let total = Arc::clone(&total);
            thread::spawn(move || total.give_up(1, 2))
        };
        join(threads.into_iter().chain([trims]));
        assert!(total.used_bytes() <= total.max_bytes());
        runs.into_iter().for_each(Run::check_end);
        assert_eq!(total.used_bytes(), 0);
    });
}

#[test]
fn memory_is_given_back_under_readers_who_are_late() {
    check(|| {
        let run = Run::new(3);
        // One of them is held, so that there are free slots before and behind it.
        (0..3).for_each(|key| run.read(key, Mode::Use));
        let held = spawn(&run, |run| {
            let Ok(lock) = run.get(1, Mode::Lock) else { return };
            thread::yield_now();
            lock.check(1);
        });
        let readers =
            [0, 2].map(|first| spawn(&run, move |run| (0..3).for_each(|i| run.read((first + i) % 4, Mode::Use))));
        let gives_back = spawn(&run, |run| {
            run.cache.remove_if(|key| *key != 1);
            run.cache.give_back();
            thread::yield_now();
            run.cache.give_back();
        });
        join(readers.into_iter().chain([held, gives_back]));
        run.check_end();
    });
}

#[expect(unsafe_code, reason = "takes pins back")]
#[test]
fn a_pin_by_mistake_takes_none_from_whoever_has_the_slot_next() {
    check(|| {
        let slots = Arc::new(Slots::<u32, u32>::new());
        slots.grow_to(0);
        slots.publish(0, (1, 10), 0, 0, 0);
        let late = [(); 2].map(|()| {
            let slots = Arc::clone(&slots);
            thread::spawn(move || {
                if let Ok(place) = slots.pin(0, &1) {
                    // SAFETY: the place is of these slots.
                    let _is_last = unsafe { slots.unpin(place) };
                }
            })
        });
        // The only one with the mutex.
        let owner = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || {
                let mut key = 1;
                while key < 4 && slots.take(0).is_ok() {
                    slots.discard(std::iter::once(0..1));
                    key += 1;
                    slots.publish(0, (key, 10), 0, 0, 0);
                }
                slots.pin_again(0);
            })
        };
        join(late.into_iter().chain([owner]));
        assert_eq!(slots.word(0).pins(), 1);
    });
}
