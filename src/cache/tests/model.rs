//! Random steps beside a model of what must be so.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;

/// An exact LRU as one would write it in five minutes: keys, oldest first.
#[derive(Default)]
struct Model {
    queue: VecDeque<u32>,
    max: usize,
}

impl Model {
    fn touch(&mut self, key: u32) -> bool {
        let hit = self.queue.iter().position(|k| *k == key).map(|i| self.queue.remove(i)).is_some();
        self.queue.push_back(key);
        self.settle();
        hit
    }

    fn settle(&mut self) {
        while self.queue.len() > self.max {
            self.queue.pop_front();
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Get(u32),
    Pass(u32, Mode),
    /// A value beside one that was asked for.
    Offer(u32, Mode),
    Lock(u32),
    Unlock(usize),
    Remove(u32),
    Max(u64),
    Policy(CachePolicy),
    MakeDirty(usize),
    Flush(u32),
    Forget,
    GiveBack,
}

fn reads() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..12u32).prop_map(Step::Get),
        1 => (0..12u32).prop_map(Step::Remove),
        1 => (0..8u64).prop_map(Step::Max),
        1 => Just(Step::GiveBack),
    ];
    prop::collection::vec(step, 1..300)
}

fn everything() -> impl Strategy<Value = Vec<Step>> {
    let policies = prop::sample::select(CachePolicy::ALL.to_vec());
    let step = prop_oneof![
        6 => (0..12u32).prop_map(Step::Get),
        4 => (0..12u32, prop::sample::select(vec![Mode::Passing, Mode::Sequential, Mode::Beside]))
            .prop_map(|(key, mode)| Step::Pass(key, mode)),
        2 => (0..12u32, prop::sample::select(vec![Mode::Use, Mode::Beside]))
            .prop_map(|(key, mode)| Step::Offer(key, mode)),
        3 => (0..12u32).prop_map(Step::Lock),
        3 => (0..100usize).prop_map(Step::Unlock),
        1 => (0..12u32).prop_map(Step::Remove),
        1 => (0..8u64).prop_map(Step::Max),
        1 => policies.prop_map(Step::Policy),
        1 => (0..100usize).prop_map(Step::MakeDirty),
        1 => (0..3u32).prop_map(Step::Flush),
        1 => Just(Step::Forget),
        1 => Just(Step::GiveBack),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    #[test]
    fn read_by_one_thread_it_is_an_exact_lru(steps in reads()) {
        let cache = cache(4);
        let mut model = Model { max: 4, ..Model::default() };
        for step in steps {
            match step {
                Step::Get(key) => {
                    let mut hit = true;
                    let pin = cache.get_or_load(key, ONE, Mode::Use, || { hit = false; Ok(key * 10) }).unwrap();
                    prop_assert_eq!(*pin, key * 10);
                    drop(pin);
                    prop_assert_eq!(hit, model.touch(key));
                }
                Step::Remove(key) => {
                    cache.remove_if(|k| *k == key);
                    model.queue.retain(|k| *k != key);
                }
                Step::Max(entries) => {
                    cache.set_budget(CacheBudget::Own(entries * 1000));
                    model.max = entries as usize;
                    model.settle();
                }
                Step::GiveBack => cache.give_back(),
                _ => unreachable!("reads only"),
            }
            cache.check_invariants();
            prop_assert_eq!(cache.counts().entries as usize, model.queue.len());
        }
    }

    #[test]
    fn whatever_is_done_it_keeps_its_promises(steps in everything()) {
        let total = Total::new(u64::MAX);
        let account = Account::open(&total, CacheBudget::Own(4000));
        let cache: Cache<u32, u32> = Cache::new(account, CachePolicy::Lru, Arc::default());
        let mut max = 4000;
        // What is locked, and what was made dirty and not written since.
        let mut pins: Vec<Pin<'_>> = Vec::new();
        let mut dirty = BTreeSet::new();
        // Values say when they were loaded. Of those of before, what was dirty when all was forgotten is found.
        let mut kept = BTreeSet::new();
        let mut forgotten = 0;
        for step in steps {
            match step {
                Step::Get(key) | Step::Pass(key, _) => {
                    let mode = if let Step::Pass(_, mode) = step { mode } else { Mode::Use };
                    let before = cache.counts().evictions;
                    let is_found = |value: u32| value / 1000 == key && (value % 1000 == forgotten || kept.contains(&value));
                    let must_hit = dirty.iter().copied().chain(pins.iter().map(|pin| **pin)).any(is_found);
                    let mut hit = true;
                    let pin = cache.get_or_load(key, ONE, mode, || { hit = false; Ok(key * 1000 + forgotten) }).unwrap();
                    prop_assert!(is_found(*pin), "{} of {} is of before", *pin, key);
                    prop_assert!(hit || !must_hit, "{} is locked or dirty and was not found", key);
                    let evicted = cache.counts().evictions - before;
                    prop_assert!(mode != Mode::Passing || evicted == 0);
                    drop(pin);
                }
                Step::Offer(key, mode) => {
                    let is_there = cache.contains(&key);
                    let taken = cache.insert_with(key, ONE, mode, || Some(key * 1000 + forgotten));
                    prop_assert!(!(taken && is_there));
                    prop_assert_eq!(cache.contains(&key), taken || is_there);
                }
                Step::Lock(key) => {
                    let pin = cache.get_or_load(key, ONE, Mode::Lock, || Ok(key * 1000 + forgotten));
                    // A lock is refused only when there is no room beside what must stay.
                    if pin.is_err() {
                        let counts = cache.counts();
                        prop_assert!(counts.bytes + 1000 > max, "{:?}", counts);
                    }
                    pins.extend(pin);
                }
                Step::Unlock(index) if !pins.is_empty() => drop(pins.remove(index % pins.len())),
                Step::Unlock(_) => {}
                Step::Remove(key) => cache.remove_if(|k| *k == key),
                Step::Max(entries) => {
                    max = entries * 1000;
                    cache.set_budget(CacheBudget::Own(max));
                }
                Step::Policy(kind) => cache.set_policy(kind),
                Step::MakeDirty(index) if !pins.is_empty() => {
                    let pin = &pins[index % pins.len()];
                    // What is not found any more is not written either.
                    let is_found = **pin % 1000 == forgotten || kept.contains(&**pin);
                    prop_assert_eq!(cache.mark_dirty(pin), is_found);
                    dirty.extend(is_found.then_some(**pin));
                }
                Step::MakeDirty(_) => {}
                Step::Flush(fail) => {
                    // Every third key cannot be written, or none.
                    let is_bad = |value: u32| fail == 1 && (value / 1000).is_multiple_of(3);
                    let mut written = BTreeSet::new();
                    let flushed = cache.flush(|key, value| {
                        assert_eq!(*value / 1000, *key);
                        assert!(written.insert(*value));
                        if is_bad(*value) { Err(Error::new(ErrorKind::Io, "disk full")) } else { Ok(()) }
                    });
                    prop_assert_eq!(&written, &dirty);
                    prop_assert_eq!(flushed.is_err(), dirty.iter().any(|value| is_bad(*value)));
                    dirty.retain(|value| is_bad(*value));
                }
                Step::Forget => {
                    forgotten += 1;
                    kept.clone_from(&dirty);
                    cache.forget();
                }
                Step::GiveBack => cache.give_back(),
            }
            cache.check_invariants();
            prop_assert_eq!(cache.counts().dirty_bytes, dirty.len() as u64 * 1000);
            prop_assert_eq!(cache.counts().loading_bytes, 0);
        }
        drop(pins);
        cache.check_invariants();
        prop_assert_eq!(cache.counts().locked_bytes, 0);
        drop(cache);
        prop_assert_eq!(total.used_bytes(), 0);
        prop_assert_eq!(total.counts().0.lost_bytes, dirty.len() as u64 * 1000);
    }
}
