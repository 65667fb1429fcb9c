//! Loads that nobody wants any more.

use std::sync::Barrier;
use std::thread;

use super::*;

#[test]
fn a_load_stops_when_all_who_wait_for_it_were_told_to() {
    for leader_first in [true, false] {
        let cache = &cache(4);
        let (leads, waits) = (Arc::new(cancel::Token::default()), Arc::new(cancel::Token::default()));
        // One takes an hour; the other one waits for it within a load of its own.
        let hour = || cancel::sleep(std::time::Duration::from_secs(3600)).map(|()| 1);
        let slow = || cache.get_or_load(1, ONE, Mode::Use, hour).map(|pin| *pin);
        let outer = || cache.get_or_load(2, ONE, Mode::Use, || get_or_no(cache, 1)).map(|pin| *pin);
        thread::scope(|scope| {
            let leader = scope.spawn(|| cancel::run(&leads, slow));
            while cache.counts().loads < 1 {
                thread::yield_now();
            }
            let waiter = scope.spawn(|| cancel::run(&waits, outer));
            while cache.counts().coalesced < 1 {
                thread::yield_now();
            }
            let kind = |end: thread::Result<Result<u32>>| end.unwrap().map_err(|error| error.kind());
            if leader_first {
                leads.cancel();
                assert!(!leader.is_finished());
                waits.cancel();
                assert_eq!(kind(waiter.join()), Err(ErrorKind::Cancelled));
                assert_eq!(kind(leader.join()), Err(ErrorKind::Cancelled));
            } else {
                waits.cancel();
                assert_eq!(kind(waiter.join()), Err(ErrorKind::Cancelled));
                assert!(!leader.is_finished());
                leads.cancel();
                assert_eq!(kind(leader.join()), Err(ErrorKind::Cancelled));
            }
        });
        cache.check_invariants();
        let counts = cache.counts();
        assert_eq!((counts.failed_loads, counts.loading_bytes, counts.entries), (0, 0, 0));
        assert_eq!(get(cache, 1), 10);
    }
}

#[test]
fn who_leads_one_load_and_waits_for_another_goes_on_for_those_who_wait_for_it() {
    let cache = &cache(4);
    let [leads, waits] = [(); 2].map(|()| Arc::new(cancel::Token::default()));
    let may_end = Barrier::new(2);
    let outer = || cache.get_or_load(2, ONE, Mode::Use, || get_or_no(cache, 1)).map(|pin| *pin);
    thread::scope(|scope| {
        let inner = scope.spawn(|| {
            let load = || {
                may_end.wait();
                Ok(1)
            };
            cache.get_or_load(1, ONE, Mode::Use, load).map(|pin| *pin)
        });
        while cache.counts().loads < 1 {
            thread::yield_now();
        }
        let leader = scope.spawn(|| cancel::run(&leads, outer));
        while cache.counts().coalesced < 1 {
            thread::yield_now();
        }
        let waiter = scope.spawn(|| cancel::run(&waits, outer));
        while cache.counts().coalesced < 2 {
            thread::yield_now();
        }
        // The second one waits for what the first one makes, who is told to stop and must not; until nobody is left.
        leads.cancel();
        assert!(!leader.is_finished());
        waits.cancel();
        assert_eq!(waiter.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(leader.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        may_end.wait();
        assert_eq!(inner.join().unwrap().unwrap(), 1);
    });
    cache.check_invariants();
    assert_eq!((cache.counts().entries, cache.counts().locked_bytes), (1, 0));
}

fn get_or_no(cache: &Cache<u32, u32>, key: u32) -> Result<u32> {
    cache.get_or_load(key, ONE, Mode::Use, || panic!("it is being loaded")).map(|pin| *pin)
}
