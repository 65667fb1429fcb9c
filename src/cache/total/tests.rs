use std::collections::VecDeque;
use std::ops::Range;
use std::thread;

use proptest::prelude::*;

use super::super::{Cache, CacheBudget, CacheClass, CachePolicy, ENTRY_OVERHEAD, Mode, Pinned};
use super::*;
use crate::memory::Ledger;

const DEFAULT_MAX: u64 = DEFAULT_MOST;

type Shared = Arc<Cache<u32, u32>>;

fn member(total: &Arc<Total>, budget: CacheBudget, policy: CachePolicy) -> Shared {
    let cache = Arc::new(Cache::new(Account::open(total, budget), policy, Arc::new(Ledger::default())));
    cache.share();
    cache
}

fn pooled(floor: u64) -> CacheBudget {
    CacheBudget::Pooled { floor_bytes: Some(floor), ceiling_bytes: u64::MAX, class: CacheClass::Interactive }
}

fn read(cache: &Shared, key: u32, bytes: u64) -> bool {
    let mut hit = true;
    let load = || {
        hit = false;
        Ok(key)
    };
    assert_eq!(*cache.get_or_load(key, bytes - ENTRY_OVERHEAD, Mode::Use, load).unwrap(), key);
    hit
}

fn read_all(cache: &Shared, keys: Range<u32>) {
    keys.for_each(|key| {
        read(cache, key, 1000);
    });
}

#[test]
fn what_was_not_used_for_longest_goes_first_wherever_it_is() {
    let total = Total::new(4000);
    let [a, b] = [(); 2].map(|()| member(&total, pooled(0), CachePolicy::Lru));
    for (cache, key) in [(&a, 1), (&b, 2), (&a, 3), (&b, 4), (&a, 1)] {
        read(cache, key, 1000);
    }
    // In order of use: 2 of b, 3 of a, 4 of b, 1 of a.
    read(&a, 5, 1000);
    assert!(b.get(&2, Mode::Passing).is_none() && a.get(&3, Mode::Passing).is_some());
    read(&a, 6, 1000);
    assert!(a.get(&3, Mode::Passing).is_none() && b.get(&4, Mode::Passing).is_some());
    assert_eq!((total.used_bytes(), a.counts().entries, b.counts().entries), (4000, 3, 1));
    drop(a);
    assert_eq!((total.used_bytes(), total.counts().0.loads, total.counts().1), (1000, 6, 1));
}

#[test]
fn a_cache_that_had_nothing_to_give_is_asked_again_when_it_has() {
    for policy in [CachePolicy::Lru, CachePolicy::Adaptive, CachePolicy::Clock] {
        for is_let_go in [false, true] {
            let total = Total::new(10_000);
            let [idle, busy] = [(); 2].map(|()| member(&total, pooled(0), policy));
            // All that it has is held when it is asked.
            let held: Vec<_> = (0..2)
                .map(|key| idle.get_or_load(key, 1000 - ENTRY_OVERHEAD, Mode::Lock, || Ok(key)).unwrap())
                .collect();
            total.give_up(1, 1);
            assert_eq!(idle.counts().entries, 2);
            let still_held = if is_let_go {
                drop(held);
                Vec::new()
            } else {
                read_all(&idle, 2..8);
                held
            };
            read_all(&busy, 100..4000);
            let most = still_held.len() as u64;
            assert!(
                idle.counts().entries <= most,
                "{policy:?}: {} of {}",
                idle.counts().entries,
                busy.counts().entries
            );
        }
    }
}

#[test]
fn of_thousands_of_caches_that_one_gives_which_has_something_the_others_do_not_need() {
    let total = Total::new(100_000);
    let empty: Vec<Shared> = (0..2000).map(|_| member(&total, pooled(0), CachePolicy::Lru)).collect();
    let [idle, busy] = [(); 2].map(|()| member(&total, pooled(0), CachePolicy::Lru));
    read_all(&idle, 0..50);
    read_all(&busy, 0..2000);
    assert_eq!((idle.counts().entries, busy.counts().entries), (0, 100));
    // So does it when nobody is asking who has something himself.
    read_all(&empty[1000], 0..60);
    assert_eq!(total.used_bytes(), 100_000);
}

#[test]
fn what_is_read_in_order_does_not_take_the_place_of_what_others_have() {
    let total = Total::new(10_000);
    let [viewer, reader] = [(); 2].map(|()| member(&total, pooled(0), CachePolicy::Lru));
    read_all(&reader, 0..4);
    read_all(&viewer, 0..6);
    // Used after what the viewer has.
    read_all(&reader, 0..4);
    for key in 100..150 {
        drop(reader.get_or_load(key, 1000 - ENTRY_OVERHEAD, Mode::Sequential, || Ok(key)).unwrap());
    }
    assert!(viewer.counts().entries >= 5, "{}", viewer.counts().entries);
}

#[test]
fn what_is_held_beside_a_cache_counts_until_it_is_closed() {
    let total = Total::new(10_000);
    let [a, b] = [(); 2].map(|()| member(&total, pooled(0), CachePolicy::Lru));
    read_all(&a, 0..10);
    b.hold_beside(3500);
    assert_eq!((total.used_bytes(), a.counts().entries, b.counts().entries), (9500, 6, 0));
    // What was used last stayed.
    assert!(a.get(&9, Mode::Passing).is_some() && a.get(&3, Mode::Passing).is_none());
    b.hold_beside(500);
    assert_eq!(total.used_bytes(), 6500);
    read_all(&b, 0..3);
    assert_eq!((total.used_bytes(), a.counts().entries), (9500, 6));
    drop(b);
    assert_eq!(total.used_bytes(), 6000);
}

#[test]
fn a_budget_of_its_own_is_a_floor_and_a_ceiling() {
    let total = Total::new(10_000);
    let own = member(&total, CacheBudget::Own(3000), CachePolicy::Lru);
    let pool = member(&total, pooled(0), CachePolicy::Lru);
    read_all(&own, 0..20);
    read_all(&pool, 0..100);
    assert_eq!((own.counts().bytes, pool.counts().bytes), (3000, 7000));
    assert!((17..20).all(|key| read(&own, key, 1000)));
    // What it does not use others may have, until it does.
    own.remove_if(|_| true);
    read_all(&pool, 100..120);
    assert_eq!(pool.counts().bytes, 10_000);
    read_all(&own, 0..3);
    assert_eq!((own.counts().bytes, pool.counts().bytes), (3000, 7000));
}

#[test]
fn a_total_that_nobody_set_grows_with_promises() {
    let total = Total::new(DEFAULT_MAX);
    total.is_set.store(false, Ordering::Relaxed);
    let pool = member(&total, CacheBudget::default(), CachePolicy::Lru);
    let own = member(&total, CacheBudget::Own(4 << 30), CachePolicy::Lru);
    assert_eq!(
        (total.max_bytes(), own.max_bytes(), pool.max_bytes()),
        (DEFAULT_MAX + (4 << 30), 4 << 30, DEFAULT_MAX + (4 << 30))
    );
    drop(own);
    assert_eq!((total.max_bytes(), pool.max_bytes()), (DEFAULT_MAX, DEFAULT_MAX));
    total.set_max_bytes(1000);
    let own = member(&total, CacheBudget::Own(4 << 30), CachePolicy::Lru);
    assert_eq!((total.max_bytes(), own.max_bytes()), (1000, 1000));
}

#[test]
fn what_was_locked_when_the_total_shrank_goes_when_it_is_unlocked() {
    let total = Total::new(2000);
    let caches = [(); 2].map(|()| member(&total, pooled(0), CachePolicy::Lru));
    let locks = caches.each_ref().map(|cache| cache.get_or_load(1, 600, Mode::Lock, || Ok(1)).unwrap());
    total.set_max_bytes(1000);
    assert!(total.used_bytes() > 1000);
    drop(locks);
    assert!(total.used_bytes() <= 1000);
}

#[test]
fn a_cap_holds_for_now_and_what_was_asked_for_is_kept() {
    let total = Total::new(10_000);
    let [a, b] = [(); 2].map(|()| member(&total, CacheBudget::Own(5000), CachePolicy::Lru));
    for cache in [&a, &b] {
        read_all(cache, 0..5);
    }
    let [first, second] = [Cap::new(), Cap::new()];
    total.set_cap(first, Some(4000));
    // Both promises are cut by the same part.
    assert_eq!((total.max_bytes(), total.wanted_bytes()), (4000, 10_000));
    assert_eq!([&a, &b].map(|cache| cache.counts().bytes), [2000; 2]);
    assert_eq!(a.max_bytes(), 4000);
    total.set_cap(second, Some(2000));
    total.set_cap(first, Some(6000));
    assert_eq!((total.max_bytes(), total.used_bytes()), (2000, 2000));
    // Asked for while it is capped: obeyed as far as it goes.
    total.set_max_bytes(20_000);
    assert_eq!((total.max_bytes(), total.wanted_bytes()), (2000, 20_000));
    total.set_max_bytes(0);
    assert_eq!((total.max_bytes(), total.used_bytes()), (0, 0));
    total.set_max_bytes(8000);
    total.set_cap(second, None);
    assert_eq!(total.max_bytes(), 6000);
    total.set_cap(first, None);
    assert_eq!((total.max_bytes(), total.wanted_bytes()), (8000, 8000));
    read_all(&a, 0..5);
    assert_eq!(a.counts().bytes, 5000);
    [&a, &b].iter().for_each(|cache| cache.check_invariants());
}

#[test]
fn what_is_locked_stays_under_a_cap_until_it_is_unlocked() {
    let total = Total::new(10_000);
    let cache = member(&total, CacheBudget::default(), CachePolicy::Lru);
    read_all(&cache, 0..5);
    let locked = cache.get_or_load(9, 1000 - ENTRY_OVERHEAD, Mode::Lock, || Ok(9)).unwrap();
    let cap = Cap::new();
    total.set_cap(cap, Some(0));
    assert_eq!((total.used_bytes(), *locked), (1000, 9));
    let refused = cache.get_or_load(1, 1000, Mode::Lock, || Ok(1)).err().unwrap();
    assert_eq!(refused.kind(), crate::ErrorKind::LimitExceeded);
    assert!(!read(&cache, 1, 1000) && !read(&cache, 1, 1000), "read, and not kept");
    drop(locked);
    assert_eq!(total.used_bytes(), 0);
    total.set_cap(cap, None);
    assert!(!read(&cache, 1, 1000) && read(&cache, 1, 1000));
}

#[test]
fn a_total_that_nobody_set_grows_with_promises_below_its_cap() {
    let total = Total::new(10_000);
    total.is_set.store(false, Ordering::Relaxed);
    let cap = Cap::new();
    total.set_cap(cap, Some(12_000));
    let own = member(&total, CacheBudget::Own(5000), CachePolicy::Lru);
    assert_eq!((total.max_bytes(), total.wanted_bytes()), (12_000, 15_000));
    drop(own);
    assert_eq!((total.max_bytes(), total.wanted_bytes()), (10_000, 10_000));
}

#[test]
fn a_cache_that_was_promised_much_and_closes_takes_its_promise_along() {
    let total = Total::new(DEFAULT_MAX);
    total.is_set.store(false, Ordering::Relaxed);
    let own = member(&total, CacheBudget::Own(4 << 30), CachePolicy::Lru);
    let pool = member(&total, CacheBudget::default(), CachePolicy::Lru);
    pool.suggest_floor(1 << 20);
    assert_eq!(total.accounts.lock().floor_scale(total.max_bytes()), (1.0, 1.0));
    (0..20).for_each(|key| {
        read(&pool, key, 64 << 20);
    });
    assert_eq!(total.used_bytes(), 20 * (64 << 20));
    drop(own);
    assert_eq!(total.used_bytes(), DEFAULT_MAX);
    assert!(read(&pool, 19, 64 << 20) && !read(&pool, 0, 64 << 20));
}

#[test]
fn a_total_below_what_was_promised_holds_however_many_have_a_promise() {
    let total = Total::new(1_000_000);
    let own = |_| member(&total, CacheBudget::Own(10_000), CachePolicy::Lru);
    let caches: Vec<Shared> = (0..100).map(own).collect();
    caches.iter().for_each(|cache| read_all(cache, 0..10));
    assert_eq!(total.used_bytes(), 1_000_000);
    // Half an entry for each.
    total.set_max_bytes(50_000);
    assert_eq!(total.used_bytes(), 50_000);
    caches.iter().for_each(|cache| read_all(cache, 0..3));
    assert!(total.used_bytes() <= 50_000, "{}", total.used_bytes());
    caches.iter().for_each(|cache| cache.check_invariants());
    total.set_max_bytes(1_000_000);
    caches.iter().for_each(|cache| read_all(cache, 0..10));
    assert_eq!(total.used_bytes(), 1_000_000);
}

#[test]
fn a_batch_has_a_twentieth_and_floors_that_nobody_asked_for_half() {
    let total = Total::new(100_000);
    let batch = member(&total, CacheBudget::BATCH, CachePolicy::Lru);
    read_all(&batch, 0..50);
    assert_eq!(batch.counts().bytes, 5000);
    let idle: Vec<Shared> = (0..100)
        .map(|_| {
            let idle = member(&total, CacheBudget::default(), CachePolicy::Lru);
            idle.suggest_floor(20_000);
            read_all(&idle, 0..20);
            idle
        })
        .collect();
    let busy = member(&total, CacheBudget::default(), CachePolicy::Lru);
    read_all(&busy, 0..200);
    assert!(busy.counts().bytes >= 49_000, "{}", busy.counts().bytes);
    assert!(idle.iter().map(|idle| idle.counts().bytes).sum::<u64>() <= 51_000);
}

#[derive(Clone, Debug)]
enum Step {
    Read(usize, u32),
    Lock(usize, u32),
    Unlock(usize),
    Evict(usize, u32),
    Budget(usize, CacheBudget),
    Policy(usize, CachePolicy),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || 0..3usize;
    let budget = prop_oneof![
        (0..9u64).prop_map(|n| CacheBudget::Own(n * 1000)),
        (0..9u64).prop_map(|n| pooled(n * 1000)),
        Just(CacheBudget::default()),
        Just(CacheBudget::BATCH),
    ];
    let policy = prop::sample::select(CachePolicy::ALL.to_vec());
    let step = prop_oneof![
        // The last one is hostile: it reads much and comes back to nothing.
        8 => (who(), 0..16u32).prop_map(|(who, key)| Step::Read(who, key)),
        12 => (0..10_000u32).prop_map(|key| Step::Read(2, key)),
        2 => (who(), 0..16u32).prop_map(|(who, key)| Step::Lock(who, key)),
        2 => (0..100usize).prop_map(Step::Unlock),
        1 => (who(), 0..16u32).prop_map(|(who, key)| Step::Evict(who, key)),
        1 => (who(), budget).prop_map(|(who, budget)| Step::Budget(who, budget)),
        1 => (who(), policy).prop_map(|(who, policy)| Step::Policy(who, policy)),
    ];
    prop::collection::vec(step, 1..400)
}

proptest! {
    #[test]
    fn what_one_was_promised_no_other_takes(steps in steps(), floors in [0..6u64, 0..6u64, 0..6u64]) {
        let total = Total::new(12_000);
        let caches = floors.map(|floor| member(&total, pooled(floor * 1000), CachePolicy::Adaptive));
        let mut locks: VecDeque<(usize, Pinned<u32, u32, Shared>)> = VecDeque::new();
        for step in steps {
            let held = |cache: &Shared| {
                let (scale, max) = (total.accounts.lock().floor_scale(total.max_bytes()), total.max_bytes());
                // Into one that nobody asked for, or that there is no room for, others may cut by a part of an entry.
                let cut = if cache.account.is_asked() && scale.0 >= 1.0 { 0 } else { 1200 };
                (cache.account.used(), cache.account.floor(scale).min(max).saturating_sub(cut))
            };
            let before = caches.each_ref().map(held);
            let who = match step {
                Step::Read(who, key) => {
                    read(&caches[who], key, 1000 + u64::from(key % 3) * 100);
                    who
                }
                Step::Lock(who, key) => {
                    let bytes = 1000 + u64::from(key % 3) * 100 - ENTRY_OVERHEAD;
                    if let Ok(pin) = caches[who].get_or_load(key, bytes, Mode::Lock, || Ok(key)) {
                        locks.push_back((who, pin.held_by(Arc::clone(&caches[who]))));
                    }
                    who
                }
                Step::Unlock(at) => {
                    let Some((who, pin)) = locks.remove(at % locks.len().max(1)) else { continue };
                    drop(pin);
                    who
                }
                Step::Evict(who, key) => {
                    caches[who].remove_if(|k| *k == key);
                    who
                }
                Step::Budget(who, budget) => {
                    caches[who].set_budget(budget);
                    who
                }
                Step::Policy(who, policy) => {
                    caches[who].set_policy(policy);
                    who
                }
            };
            for (other, (used, floor)) in before.into_iter().enumerate() {
                let now = caches[other].account.used();
                prop_assert!(other == who || now >= used.min(floor), "{other} held {used}, was promised {floor}: {now}");
            }
            caches.iter().for_each(|cache| cache.check_invariants());
            prop_assert_eq!(total.used_bytes(), caches.iter().map(|cache| cache.account.used()).sum::<u64>());
            prop_assert!(total.used_bytes() <= total.max_bytes());
        }
        drop(locks);
        drop(caches);
        prop_assert_eq!((total.used_bytes(), total.counts().1), (0, 0));
        let accounts = total.accounts.lock();
        prop_assert_eq!((accounts.asked, accounts.unasked), (0, 0));
    }
}

#[test]
fn threads_that_share_a_total_stay_within_it() {
    let total = Total::new(40_000);
    let caches: Vec<Shared> = [pooled(5000), pooled(0), CacheBudget::Own(9000), CacheBudget::BATCH]
        .map(|budget| member(&total, budget, CachePolicy::Adaptive))
        .into();
    thread::scope(|scope| {
        for seed in 1..=4u32 {
            let (total, caches) = (&total, &caches);
            scope.spawn(move || {
                let mut random = seed.wrapping_mul(0x9E37_79B9) | 1;
                let mut locks = VecDeque::new();
                for i in 0..8000 {
                    random ^= random << 13;
                    random ^= random >> 17;
                    random ^= random << 5;
                    let (cache, key) = (&caches[(random >> 30) as usize], random >> 8 & 63);
                    let mode = if random & 7 == 0 { Mode::Lock } else { Mode::Use };
                    if let Ok(pin) = cache.get_or_load(key, 1000, mode, || Ok(key)) {
                        assert_eq!(*pin, key);
                        if mode == Mode::Lock {
                            locks.push_back(pin);
                        }
                    }
                    if locks.len() > 2 {
                        locks.pop_front();
                    }
                    assert!(total.used_bytes() <= 40_000);
                    match i % 1000 {
                        500 => total.give_up(1, 2),
                        700 => drop(member(total, pooled(1000), CachePolicy::Lru)),
                        _ => {}
                    }
                }
            });
        }
    });
    caches.iter().for_each(|cache| cache.check_invariants());
    assert_eq!(total.used_bytes(), caches.iter().map(|cache| cache.counts().bytes).sum::<u64>());
    total.give_up(1, 1);
    assert_eq!(total.used_bytes(), 0);
}
