//! Flushes that meet or fail, and what nobody wrote.

use super::*;

#[test]
fn a_flush_that_meets_another_one_waits_for_it_and_writes_what_that_could_not() {
    let cache = &cache(3);
    let lock = cache.get_or_load(1, ONE, Mode::Lock, || Ok(10)).unwrap();
    assert!(cache.mark_dirty(&lock));
    let full = || Err(Error::new(ErrorKind::Io, "disk full"));
    for second_fails in [true, false] {
        thread::scope(|scope| {
            let (started, start) = mpsc::channel();
            let first = scope.spawn(move || {
                cache.flush(|_, _| {
                    started.send(()).unwrap();
                    // Until the other one waits.
                    while cache.state.lock().flushing.as_ref().is_none_or(|turn| turn.waiters() == 0) {
                        thread::yield_now();
                    }
                    full()
                })
            });
            start.recv().unwrap();
            let second = cache.flush(|_, _| if second_fails { full() } else { Ok(()) });
            assert_eq!(first.join().unwrap().unwrap_err().kind(), ErrorKind::Io);
            assert_eq!(second.is_err(), second_fails);
        });
        assert_eq!(cache.counts().dirty_bytes, if second_fails { 1000 } else { 0 });
    }
    // One who is told to stop does not wait.
    assert!(cache.mark_dirty(&lock));
    let token = Arc::new(cancel::Token::default());
    let write = |_: &u32, _: &u32| {
        token.cancel();
        let stopped = cancel::run(&token, || cache.flush(|_, _| Ok(())));
        assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
        Ok(())
    };
    cache.flush(write).unwrap();
    assert!(cache.state.lock().flushing.is_none());
}

#[test]
fn a_flush_that_panics_lets_the_next_one_have_its_turn() {
    let cache = cache(3);
    let lock = cache.get_or_load(1, ONE, Mode::Lock, || Ok(10)).unwrap();
    assert!(cache.mark_dirty(&lock));
    let panicked =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cache.flush(|_, _| panic!("in the write"))));
    assert!(panicked.is_err());
    assert_eq!(cache.counts().dirty_bytes, 1000);
    cache.flush(|_, _| Ok(())).unwrap();
    assert_eq!(cache.counts().dirty_bytes, 0);
}

#[test]
fn what_is_dirty_when_its_cache_goes_is_counted_as_lost() {
    for flushes in [false, true] {
        let total = Total::new(u64::MAX);
        let account = Account::open(&total, CacheBudget::Own(4000));
        let cache: Cache<u32, u32> = Cache::new(account, CachePolicy::Lru, Arc::default());
        for key in 0..3 {
            let lock = cache.get_or_load(key, ONE, Mode::Lock, || Ok(key)).unwrap();
            assert!(key == 0 || cache.mark_dirty(&lock));
        }
        if flushes {
            cache.flush(|_, _| Ok(())).unwrap();
        }
        drop(cache);
        let (counts, n_open) = total.counts();
        assert_eq!((counts.lost_bytes, counts.dirty_bytes, n_open), (if flushes { 0 } else { 2000 }, 0, 0));
    }
}
