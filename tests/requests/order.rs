//! In which order requests are served, and what is left when some are taken back.

use std::collections::HashSet;
use std::sync::mpsc::channel;
use std::thread;

use tilekeep::{Delivery, ErrorKind, Requests};

use super::{Gate, kind, tile, tiles, until};

#[test]
fn of_a_thousand_of_which_ten_are_left_no_more_than_ten_are_read_in_their_order() {
    for n_threads in [1, 2, 4] {
        let gate = Gate::new(40, 25);
        let dataset = gate.dataset();
        let requests = Requests::new(n_threads).unwrap();
        let (sender, arrived) = channel();
        let all: Vec<_> = (0..1000u32)
            .map(|i| {
                let delivery = Delivery::channel(sender.clone(), i);
                // Greater numbers are more urgent, in a jumble.
                requests.request_tile(&dataset, tile(0, i % 40, i / 40), (i * 7 % 1000) as i32, delivery)
            })
            .collect();
        gate.wait_for(n_threads);
        let is_kept = |i: &u32| i % 100 == 50;
        let begun = gate.begun();
        let mut kept = Vec::new();
        for (i, request) in (0..).zip(all) {
            let at_gate = begun.iter().any(|at| (at.col, at.row) == (i % 40, i / 40));
            if is_kept(&i) && !at_gate {
                kept.push((i, request));
            } else {
                assert!(request.cancel());
                assert!(!request.cancel());
                assert_eq!(kind(request.wait()), Some(ErrorKind::Cancelled));
            }
        }
        assert_eq!(gate.finished(), 0);
        let n_kept = kept.len();
        assert!(n_kept + n_threads >= 10);
        gate.open();
        kept.iter().for_each(|(_, request)| assert!(request.wait().is_ok()));
        until(|| requests.stats().running == 0);
        let reads = gate.begun().len();
        assert!(reads <= n_kept + n_threads, "{reads} blocks were read for {n_kept} with {n_threads} threads");
        assert_eq!(dataset.stats().failed_loads, 0);

        let arrivals: Vec<_> = arrived.iter().take(1000).collect();
        assert!(arrived.try_recv().is_err());
        assert_eq!(arrivals.iter().map(|(i, _)| *i).collect::<HashSet<_>>().len(), 1000);
        let order: Vec<_> = arrivals.iter().filter(|(_, tile)| tile.is_ok()).map(|(i, _)| *i).collect();
        assert_eq!(order.len(), n_kept);
        if n_threads == 1 {
            assert!(order.is_sorted_by_key(|i| std::cmp::Reverse(i * 7 % 1000)), "{order:?}");
        }
        let stats = requests.stats();
        assert_eq!((stats.queued, stats.running, stats.answered, stats.failed), (0, 0, n_kept as u64, 0));
        assert_eq!(stats.cancelled, 1000 - n_kept as u64, "{stats:?}");
        assert_eq!(stats.dropped + stats.stopped, 1000 - n_kept as u64);
        assert!(stats.stopped <= n_threads as u64);
    }
}

#[test]
fn one_of_two_who_wait_for_a_tile_cancels_and_the_other_is_served() {
    let gate = Gate::new(4, 4);
    let (dataset, requests) = (gate.dataset(), Requests::new(2).unwrap());
    let [stays, goes] = [0, 5].map(|n| requests.request_tile(&dataset, tile(0, 1, 1), n, Delivery::handle()));
    gate.wait_for(1);
    assert!(goes.cancel());
    assert_eq!(kind(goes.wait()), Some(ErrorKind::Cancelled));
    assert!(stays.poll().is_none());
    gate.open();
    assert!(stays.wait().is_ok());
    assert_eq!((dataset.stats().loads, requests.stats().joined), (1, 1));
    assert!(!stays.cancel());
}

#[test]
fn when_both_cancel_the_slot_is_absent_and_the_next_request_loads_it() {
    let gate = Gate::new(4, 4);
    let (dataset, requests) = (gate.dataset(), Requests::new(1).unwrap());
    let both = [0, 5].map(|n| requests.request_tile(&dataset, tile(0, 1, 1), n, Delivery::handle()));
    gate.wait_for(1);
    assert!(both.iter().all(|request| request.cancel()));
    gate.allow(1);
    until(|| requests.stats().running == 0);
    let stats = dataset.stats();
    assert_eq!((gate.finished(), stats.entries, stats.failed_loads, stats.loading_bytes), (0, 0, 0, 0));
    gate.open();
    assert!(requests.request_tile(&dataset, tile(0, 1, 1), 0, Delivery::handle()).wait().is_ok());
    assert_eq!((gate.begun().len(), gate.finished(), dataset.stats().entries), (2, 1, 1));
}

#[test]
fn a_plain_read_that_waits_for_a_request_keeps_it_going() {
    let _tiles = tiles();
    let gate = Gate::new(4, 4);
    let (dataset, requests) = (gate.dataset(), Requests::new(1).unwrap());
    // By the block, and by the tile.
    for (col, coalesced) in [(0, 1), (1, 1)] {
        let asked = requests.request_tile(&dataset, tile(0, col, 0), 0, Delivery::handle());
        gate.wait_for(col as usize + 1);
        let before = (dataset.stats().coalesced, tilekeep::tile_cache_stats().coalesced);
        let reader = {
            let dataset = dataset.clone();
            thread::spawn(move || match col {
                0 => dataset.block((0, 0, 0)).map(|block| u32::from(block.bytes()[0])),
                _ => dataset.read_tile(&tile(0, col, 0)).map(|tile| tile.width),
            })
        };
        until(|| match col {
            0 => dataset.stats().coalesced - before.0 == coalesced,
            _ => tilekeep::tile_cache_stats().coalesced - before.1 >= coalesced,
        });
        assert!(asked.cancel());
        gate.allow(1);
        assert!(reader.join().unwrap().is_ok());
        assert_eq!((gate.begun().len(), gate.finished()), (col as usize + 1, col as usize + 1));
    }
}

#[test]
fn priorities_change_while_queued_and_are_inherited() {
    let gate = Gate::new(8, 1);
    let (dataset, requests) = (gate.dataset(), Requests::new(1).unwrap());
    let first = requests.request_tile(&dataset, tile(0, 0, 0), 0, Delivery::handle());
    gate.wait_for(1);
    let ask = |col, priority| requests.request_tile(&dataset, tile(0, col, 0), priority, Delivery::handle());
    let all = [ask(1, 1), ask(2, 1), ask(3, 3), ask(4, 4), ask(5, 5)];
    // 2 goes first for the sake of another one who wants it, 5 last, and 4 as 3 does, which is older.
    let other = ask(2, 9);
    all[4].set_priority(-1);
    all[3].set_priority(3);
    gate.open();
    all.iter().for_each(|request| assert!(request.wait().is_ok()));
    assert!(first.wait().is_ok() && other.wait().is_ok());
    assert_eq!(gate.begun().iter().map(|at| at.col).collect::<Vec<_>>(), [0, 2, 3, 4, 1, 5]);

    // What one asked for urgently goes back to its place when he takes it back.
    let (gate, requests) = (Gate::new(8, 1), Requests::new(1).unwrap());
    let dataset = gate.dataset();
    let ask = |col, priority| requests.request_tile(&dataset, tile(0, col, 0), priority, Delivery::handle());
    let _first = ask(0, 0);
    gate.wait_for(1);
    let all = [ask(1, 1), ask(2, 2)];
    drop(ask(1, 9));
    gate.open();
    all.iter().for_each(|request| assert!(request.wait().is_ok()));
    assert_eq!(gate.begun().iter().map(|at| at.col).collect::<Vec<_>>(), [0, 2, 1]);
}
