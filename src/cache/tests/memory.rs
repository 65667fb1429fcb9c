//! What the structures of a cache take, and that it follows the entries.

use std::sync::atomic::AtomicBool;

use super::*;

/// Where memory can be taken from under addresses.
const GIVES_BACK: bool = cfg!(all(target_os = "linux", not(miri)));

fn pooled(total: &Arc<Total>, kind: CachePolicy) -> Arc<Cache<u32, u32>> {
    let cache = Arc::new(Cache::new(Account::open(total, CacheBudget::default()), kind, Arc::default()));
    cache.share();
    cache
}

#[test]
fn a_cache_that_gave_its_entries_to_others_keeps_no_memory_for_them() {
    for kind in [CachePolicy::Lru, CachePolicy::Adaptive, CachePolicy::Clock] {
        let total = Total::new(4_000_000);
        let (first, second) = (pooled(&total, kind), pooled(&total, kind));
        let check = || {
            first.check_invariants();
            second.check_invariants();
            assert!(total.used_bytes() <= total.max_bytes(), "{kind:?}");
        };
        for _ in 0..2 {
            (0..4000).for_each(|key| assert_eq!(get(&first, key), key * 10));
        }
        check();
        let full = first.counts();
        assert_eq!((full.entries, total.used_bytes()), (4000, 4_000_000));
        assert!(full.structure_bytes <= 4000 * ENTRY_OVERHEAD + (1 << 20), "{kind:?}: {}", full.structure_bytes);
        // More than it can hold, so that they go however much longer theirs took to load.
        for key in 0..40_000 {
            assert_eq!(get(&second, key), key * 10);
            if key % 5000 == 0 {
                check();
            }
        }
        check();
        let left = first.counts();
        // Some went for what it kept until then.
        assert!(left.entries == 0 && second.counts().entries >= 3950, "{kind:?}: {:?}", second.counts());
        // Of what was learned it keeps what it has: that is for all entries alike.
        first.give_back();
        let bytes = first.counts().structure_bytes;
        assert!(bytes <= 128 << 10 || !GIVES_BACK, "{kind:?}: {bytes} of {}", full.structure_bytes);
        drop(second);
        // And it is as good as new.
        (0..4000).for_each(|key| assert_eq!(get(&first, key), key * 10));
        first.check_invariants();
        assert_eq!(first.counts().entries, 4000, "{kind:?}");
    }
}

#[test]
fn what_structures_hold_for_entries_that_are_gone_is_taken_from_the_total() {
    let total = Total::new(4_000_000);
    let (first, second) = (pooled(&total, CachePolicy::Lru), pooled(&total, CachePolicy::Lru));
    (0..4000).for_each(|key| assert_eq!(get(&first, key), key * 10));
    // A little more than what makes it move them together.
    first.remove_if(|key| *key >= 1001);
    let apart = total.used_bytes() - first.account.used();
    let (left, overhead) = (first.counts(), 1001 * ENTRY_OVERHEAD);
    assert!(apart > 0 && apart <= left.structure_bytes - overhead, "{apart} of {}", left.structure_bytes);
    (0..2990).for_each(|key| assert_eq!(get(&second, key), key * 10));
    assert!(total.used_bytes() <= total.max_bytes());
    assert!(first.counts().entries + second.counts().entries < 1001 + 2990, "something went for it");
    first.remove_if(|key| *key >= 10);
    assert_eq!(total.used_bytes(), first.account.used() + second.account.used());
    drop(first);
    assert_eq!(total.used_bytes(), second.account.used());
}

#[test]
fn giving_back_changes_neither_what_is_there_nor_the_order() {
    for kind in CachePolicy::ALL.into_iter().filter(|kind| *kind != CachePolicy::None) {
        let [cache, other] = [own(6_000_000, kind), own(6_000_000, kind)];
        let all = [&cache, &other];
        for cache in all {
            (0..5000).for_each(|key| assert_eq!(get(cache, key), key * 10));
            // The last slots, and one in the middle, are held.
            (0..5000).filter(|key| key % 7 == 0).for_each(|key| assert_eq!(get(cache, key), key * 10));
        }
        let locks =
            all.map(|cache| [4999, 2500, 4000].map(|key| cache.get_or_load(key, ONE, Mode::Lock, || Ok(1)).unwrap()));
        let bytes = cache.counts().structure_bytes;
        cache.remove_if(|key| key % 5 != 0);
        cache.give_back();
        other.remove_if(|key| key % 5 != 0);
        cache.check_invariants();
        let gone = bytes - cache.counts().structure_bytes;
        assert!(gone > 3000 * 80 || !GIVES_BACK, "{kind:?}: {gone} of {bytes}");
        for lock in &locks[0] {
            assert!(**lock >= 25_000);
            let found = cache.get(&(**lock / 10), Mode::Use).expect("a locked entry stays findable");
            assert!(std::ptr::eq(&raw const *found, &raw const **lock), "and is where it was");
        }
        let there = |cache: &Cache<u32, u32>| (0..5000).filter(|key| cache.contains(key)).collect::<Vec<_>>();
        assert_eq!(there(&cache).len(), 1001);
        // They go in the same order, whether structures were given back or not.
        drop(locks);
        for budget in (0..1001).rev().step_by(17) {
            all.iter().for_each(|cache| cache.set_budget(CacheBudget::Own(budget * 1000)));
            cache.check_invariants();
            assert_eq!(there(&cache), there(&other), "{kind:?}, {budget}");
        }
    }
}

#[test]
fn what_goes_with_its_last_pin_is_counted_and_given_back_too() {
    let total = Total::new(u64::MAX);
    let account = Account::open(&total, CacheBudget::Own(10_000_000));
    let cache: Cache<u32, u32> = Cache::new(account, CachePolicy::Lru, Arc::default());
    let pins: Vec<_> = (0..5000).map(|key| cache.get_or_load(key, ONE, Mode::Lock, || Ok(key)).unwrap()).collect();
    let full = cache.counts().structure_bytes;
    cache.forget();
    cache.check_invariants();
    for (pin, left) in pins.into_iter().zip((0..5000_u64).rev()) {
        drop(pin);
        assert!(left != 1300 || total.used_bytes() > cache.account.used(), "it is counted until it is given back");
    }
    cache.check_invariants();
    let left = cache.counts();
    assert_eq!((left.entries, total.used_bytes()), (0, 0));
    assert!(left.structure_bytes < full / 4 || !GIVES_BACK, "{} of {full}", left.structure_bytes);
}

#[test]
fn few_that_come_and_go_behind_one_that_is_held_do_not_have_all_slots_gone_through() {
    let cache = own(30_000_000, CachePolicy::Lru);
    (0..20_000).for_each(|key| assert_eq!(get(&cache, key), key * 10));
    let last = cache.get_or_load(19_999, ONE, Mode::Lock, || Ok(1)).unwrap();
    cache.remove_if(|_| true);
    let births = cache.slots.births();
    for _ in 0..10 {
        (0..300).for_each(|key| assert_eq!(get(&cache, key), key * 10));
        cache.remove_if(|_| true);
    }
    cache.check_invariants();
    // 3,000 of 20,000 have gone.
    assert_eq!((cache.slots.births(), *last), (births, 199_990));
    (0..3000).for_each(|key| assert_eq!(get(&cache, key), key * 10));
    cache.remove_if(|_| true);
    assert_eq!(cache.slots.births(), births + 1);
    cache.check_invariants();
}

#[test]
fn readers_find_what_they_ask_for_while_memory_is_given_back() {
    let cache = own(2_000_000, CachePolicy::Adaptive);
    let (is_over, locks) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for thread in 0..3_u32 {
            let (cache, is_over, locks) = (&cache, &is_over, &locks);
            scope.spawn(move || {
                let mut random = thread + 1;
                while !is_over.load(Ordering::Relaxed) {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let key = (random >> 16) % 3000;
                    let mode = if random & 0x100 == 0 { Mode::Lock } else { Mode::Use };
                    let Ok(pin) = cache.get_or_load(key, ONE, mode, || Ok(key * 10)) else { continue };
                    assert_eq!(*pin, key * 10);
                    if mode == Mode::Lock {
                        let load = || panic!("a locked entry stays findable");
                        let again = cache.get_or_load(key, ONE, Mode::Use, load).unwrap();
                        assert!(std::ptr::eq(&raw const *again, &raw const *pin));
                        locks.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for round in 0..200 {
            while locks.load(Ordering::Relaxed) < round * 50 {
                thread::yield_now();
            }
            cache.remove_if(|key| u64::from(*key) % 10 != round % 10);
            cache.give_back();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    cache.check_invariants();
    assert_eq!(cache.counts().locked_bytes, 0);
}
