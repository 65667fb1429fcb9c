use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::ErrorKind;

const ONE: u64 = 1000 - ENTRY_OVERHEAD;

fn cache(entries: u64) -> Cache<u32, u32> {
    Cache::new(entries * 1000, Arc::new(Ledger::default()))
}

fn get(cache: &Cache<u32, u32>, key: u32) -> u32 {
    *cache.get_or_load(key, ONE, Mode::Use, || Ok(key * 10)).unwrap()
}

#[test]
fn the_least_recently_used_goes_first() {
    let cache = cache(3);
    for key in [1, 2, 3, 1, 4] {
        assert_eq!(get(&cache, key), key * 10);
    }
    for (key, here) in [(1, true), (2, false), (3, true), (4, true)] {
        assert_eq!(cache.get(&key).is_some(), here, "{key}");
    }
    let counts = cache.counts();
    assert_eq!((counts.misses, counts.loads, counts.evictions, counts.bytes), (4, 4, 1, 3000));
}

#[test]
fn a_pinned_value_stays_and_a_lock_beyond_the_budget_is_refused() {
    let cache = cache(2);
    let first = cache.get_or_load(1, ONE, Mode::Lock, || Ok(10)).unwrap();
    let second = cache.get_or_load(2, ONE, Mode::Lock, || Ok(20)).unwrap();
    let refused = cache.get_or_load(3, ONE, Mode::Lock, || panic!("nothing is loaded for a lock that is refused"));
    assert_eq!(refused.err().map(|e| e.kind()), Some(ErrorKind::LimitExceeded));
    // Reads go on, uncached.
    let third = cache.get_or_load(3, ONE, Mode::Use, || Ok(30)).unwrap();
    assert!(!third.is_kept() && *third == 30);
    // Locking again what is locked takes nothing.
    assert_eq!(*cache.get_or_load(1, ONE, Mode::Lock, || panic!("it is there")).unwrap(), *first);
    drop((first, second, third));
    assert_eq!(cache.counts().locked_bytes, 0);
    assert_eq!(get(&cache, 3), 30);
    cache.check_invariants();
}

#[test]
fn a_budget_of_nothing_keeps_nothing_and_a_shrunk_one_holds_at_once() {
    let cache = cache(4);
    (0..4).for_each(|key| assert_eq!(get(&cache, key), key * 10));
    let pinned = cache.get_or_load(0, ONE, Mode::Lock, || Ok(0)).unwrap();
    cache.set_max_bytes(0);
    assert_eq!(cache.counts().bytes, 1000);
    drop(pinned);
    assert_eq!((cache.counts().bytes, get(&cache, 7), cache.counts().bytes), (0, 70, 0));
    cache.check_invariants();
}

#[test]
fn many_ask_one_loads_and_all_get_it() {
    let cache = cache(4);
    let (loads, everybody) = (AtomicUsize::new(0), Barrier::new(16));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                everybody.wait();
                let value = cache
                    .get_or_load(5, ONE, Mode::Use, || {
                        loads.fetch_add(1, Ordering::Relaxed);
                        // The load ends only when everybody else waits for it or could not have come earlier.
                        while cache.counts().coalesced < 15 {
                            thread::yield_now();
                        }
                        Ok(50)
                    })
                    .unwrap();
                assert_eq!(*value, 50);
            });
        }
    });
    let counts = cache.counts();
    assert_eq!((loads.into_inner(), counts.loads, counts.misses, counts.hits), (1, 1, 16, 0));
}

#[test]
fn a_failed_load_reaches_all_waiters_and_is_not_cached() {
    let cache = &cache(4);
    let failed = || Err(Error::corrupt("bad block"));
    thread::scope(|scope| {
        let (started, start) = mpsc::channel();
        let leader = scope.spawn(|| {
            cache
                .get_or_load(1, ONE, Mode::Use, move || {
                    started.send(()).unwrap();
                    while cache.counts().coalesced < 1 {
                        thread::yield_now();
                    }
                    failed()
                })
                .map(|pin| *pin)
        });
        start.recv().unwrap();
        let waiter = cache.get_or_load(1, ONE, Mode::Use, || panic!("somebody else loads")).map(|pin| *pin);
        assert_eq!(waiter.unwrap_err().message(), "bad block");
        assert_eq!(leader.join().unwrap().unwrap_err().message(), "bad block");
    });
    assert_eq!((get(cache, 1), cache.counts().failed_loads, cache.counts().loading_bytes), (10, 1, 0));
    cache.check_invariants();
}

#[test]
fn a_panic_in_a_load_reaches_the_waiters_as_an_error() {
    let cache = &cache(4);
    thread::scope(|scope| {
        let (started, start) = mpsc::channel();
        let leader = scope.spawn(|| {
            let _value = cache.get_or_load(1, ONE, Mode::Use, move || {
                started.send(()).unwrap();
                while cache.counts().coalesced < 1 {
                    thread::yield_now();
                }
                panic!("in the load")
            });
        });
        start.recv().unwrap();
        let waiter = cache.get_or_load(1, ONE, Mode::Use, || Ok(1)).map(|pin| *pin);
        assert_eq!(waiter.unwrap_err().kind(), ErrorKind::Internal);
        assert!(leader.join().is_err());
    });
    assert_eq!(get(cache, 1), 10);
}

#[test]
fn a_pin_may_outlive_the_handle_that_made_it() {
    let cache = Arc::new(cache(1));
    let pin = cache.get_or_load(1, ONE, Mode::Lock, || Ok(10)).unwrap().held_by(Arc::clone(&cache));
    let ledger = Arc::clone(cache.ledger());
    drop(cache);
    assert_eq!((*pin, ledger.bytes(Class::Overhead)), (10, ENTRY_OVERHEAD));
    drop(pin);
    assert_eq!(ledger.bytes(Class::Overhead), 0);
}

#[test]
fn what_is_offered_is_kept_only_where_there_is_room() {
    let cache = cache(2);
    let pin = cache.get_or_load(1, ONE, Mode::Lock, || Ok(10)).unwrap();
    assert!(cache.insert_with(2, ONE, || Some(20)));
    assert!(!cache.insert_with(2, ONE, || panic!("it is there")));
    assert!(cache.insert_with(3, ONE, || Some(30)));
    let other = cache.get_or_load(3, ONE, Mode::Lock, || panic!("it was offered")).unwrap();
    assert!(!cache.insert_with(4, ONE, || panic!("no room")));
    assert_eq!((*pin, *other, cache.counts().siblings), (10, 30, 2));
    drop((pin, other));
    assert!(!cache.insert_with(4, ONE, || None));
    assert_eq!(cache.counts().loading_bytes, 0);
    cache.check_invariants();
}

/// The cache as one would write it in five minutes: a queue of keys, oldest first, and the keys that are locked.
#[derive(Default)]
struct Model {
    queue: VecDeque<u32>,
    locked: Vec<u32>,
    max: usize,
}

impl Model {
    fn touch(&mut self, key: u32) -> bool {
        if self.locked.contains(&key) {
            return true;
        }
        let hit = self.queue.iter().position(|k| *k == key).map(|i| self.queue.remove(i)).is_some();
        if self.distinct_locked() < self.max {
            self.queue.push_back(key);
        }
        self.settle();
        hit
    }

    fn lock(&mut self, key: u32) -> bool {
        if !self.locked.contains(&key) && self.distinct_locked() >= self.max {
            return false;
        }
        self.queue.retain(|k| *k != key);
        self.locked.push(key);
        self.settle();
        true
    }

    fn unlock(&mut self, index: usize) {
        let key = self.locked.remove(index);
        if !self.locked.contains(&key) {
            self.queue.push_back(key);
        }
        self.settle();
    }

    fn distinct_locked(&self) -> usize {
        let mut keys = self.locked.clone();
        keys.sort_unstable();
        keys.dedup();
        keys.len()
    }

    fn settle(&mut self) {
        while !self.queue.is_empty() && self.queue.len() + self.distinct_locked() > self.max {
            self.queue.pop_front();
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Get(u32),
    Lock(u32),
    Unlock(usize),
    Max(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..12u32).prop_map(Step::Get),
        2 => (0..12u32).prop_map(Step::Lock),
        2 => (0..100usize).prop_map(Step::Unlock),
        1 => (0..8u64).prop_map(Step::Max),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn it_does_what_the_plain_model_does(steps in steps()) {
        let cache = cache(4);
        let mut model = Model { max: 4, ..Model::default() };
        let mut pins = Vec::new();
        for step in steps {
            match step {
                Step::Get(key) => {
                    let mut hit = true;
                    let pin = cache.get_or_load(key, ONE, Mode::Use, || { hit = false; Ok(key * 10) }).unwrap();
                    prop_assert_eq!(*pin, key * 10);
                    drop(pin);
                    prop_assert_eq!(hit, model.touch(key));
                }
                Step::Lock(key) => {
                    let pin = cache.get_or_load(key, ONE, Mode::Lock, || Ok(key * 10));
                    prop_assert_eq!(pin.is_ok(), model.lock(key));
                    pins.extend(pin);
                }
                Step::Unlock(index) if !pins.is_empty() => {
                    let index = index % pins.len();
                    drop(pins.remove(index));
                    model.unlock(index);
                }
                Step::Unlock(_) => {}
                Step::Max(entries) => {
                    cache.set_max_bytes(entries * 1000);
                    model.max = entries as usize;
                    model.settle();
                }
            }
            cache.check_invariants();
            prop_assert_eq!(cache.counts().entries as usize, model.queue.len() + model.distinct_locked());
        }
    }
}
