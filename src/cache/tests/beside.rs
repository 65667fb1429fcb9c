//! What a reader in passing leaves, and what is read in order.

use super::*;

#[test]
fn what_came_by_in_passing_takes_the_place_of_its_like_and_little_else() {
    // CLOCK-Pro has a small part of its own for all that is new.
    for kind in [CachePolicy::Lru, CachePolicy::Adaptive, CachePolicy::Clock] {
        let cache = own(32_000, kind);
        (0..32).for_each(|key| assert_eq!(get(&cache, key), key * 10));
        let offer = |key: u32| {
            let taken = cache.insert_with(key, ONE, Mode::Beside, || Some(key * 10));
            cache.check_invariants();
            taken
        };
        let kept = |keys: std::ops::Range<u32>| keys.filter(|key| cache.contains(key)).count();
        (100..200).for_each(|key| assert!(offer(key)));
        // An eighth of 32; of them the last.
        assert_eq!((kept(0..32), kept(100..200), kept(196..200)), (28, 4, 4), "{kind:?}");
        // What somebody else has used is no longer one of them; what he has who reads in passing still is.
        assert_eq!(get(&cache, 197), 1970);
        drop(cache.get(&198, Mode::Passing));
        drop(cache.get(&199, Mode::Beside));
        (200..204).for_each(|key| assert!(offer(key)));
        assert_eq!((kept(0..32), kept(197..198), kept(198..200)), (27, 1, 0), "{kind:?}");
        // None goes that is held, and nothing else for it.
        let held: Vec<_> = (200..204).map(|key| cache.get(&key, Mode::Passing).unwrap()).collect();
        assert!(!offer(204));
        assert_eq!(kept(0..32), 27, "{kind:?}");
        drop(held);
        assert!(offer(204));
        // Room that is free is for everybody.
        cache.remove_if(|key| *key < 32);
        (300..320).for_each(|key| assert!(offer(key)));
        assert_eq!(kept(200..320), 24, "{kind:?}");
        cache.check_invariants();
    }
}

#[test]
fn what_came_by_in_free_room_goes_first_down_to_its_share() {
    let cache = cache(32);
    for key in 100..132 {
        assert!(cache.insert_with(key, ONE, Mode::Beside, || Some(key)));
    }
    let kept = || (100..132).filter(|key| cache.contains(key)).count();
    (0..28).for_each(|key| assert_eq!(get(&cache, key), key * 10));
    assert_eq!((kept(), cache.counts().entries), (4, 32));
    cache.check_invariants();
}

#[test]
fn what_came_by_in_passing_leaves_the_other_caches_of_a_total_most_of_it() {
    let total = Total::new(64_000);
    let pooled = || {
        let cache = Cache::new(Account::open(&total, CacheBudget::default()), CachePolicy::Lru, Arc::default());
        let cache: Arc<Cache<u32, u32>> = Arc::new(cache);
        cache.share();
        cache
    };
    let (viewer, passer) = (pooled(), pooled());
    (0..64).for_each(|key| assert_eq!(get(&viewer, key), key * 10));
    for key in 0..100 {
        assert!(passer.insert_with(key, ONE, Mode::Beside, || Some(key)));
    }
    assert_eq!((viewer.counts().entries, passer.counts().entries), (56, 8));
    [&viewer, &passer].into_iter().for_each(|cache| cache.check_invariants());
}

#[test]
fn what_is_read_in_order_stays_what_goes_first_when_it_was_in_use_at_the_wrong_moment() {
    let cache = cache(3);
    [1, 2].into_iter().for_each(|key| assert_eq!(get(&cache, key), key * 10));
    let in_order = |key: u32| cache.get_or_load(key, ONE, Mode::Sequential, || Ok(key)).unwrap();
    // The other one goes for it, for this one is in use.
    let held = in_order(3);
    drop(in_order(4));
    drop(held);
    cache.check_invariants();
    drop(in_order(5));
    drop(in_order(6));
    assert!(cache.contains(&2) && !cache.contains(&1));
    cache.check_invariants();
}
