//! How answers reach whoever asked.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use tilekeep::{Delivery, ErrorKind, Requests, Window, WindowRequest};

use super::{Gate, kind, tile};

#[test]
fn blocks_and_windows_are_what_a_plain_call_gives() {
    let gate = Gate::new(4, 3);
    gate.open();
    let (dataset, requests) = (gate.dataset(), Requests::new(2).unwrap());
    let block = requests.request_block(&dataset, (0, 2, 1), 0, Delivery::handle()).wait().unwrap();
    assert_eq!(block.bytes(), dataset.block((0, 2, 1)).unwrap().bytes());
    let window = WindowRequest::new(0, Window::new(3, 5, 40, 30)).size(20, 15);
    let bytes = requests.request_window(&dataset, window.clone(), 0, Delivery::handle()).wait().unwrap();
    let mut plain = vec![0; dataset.window_bytes(&window).unwrap()];
    dataset.read_window(&window, &mut plain).unwrap();
    assert_eq!(bytes, plain);
    let outside = requests.request_block(&dataset, (0, 9, 9), 0, Delivery::handle()).wait();
    assert_eq!(kind(outside), Some(ErrorKind::InvalidArgument));
    assert_eq!(requests.stats().failed, 1);
    assert!(Requests::new(0).is_err());
}

#[test]
fn requests_are_futures_of_any_executor() {
    struct Woken(thread::Thread);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
        let waker = Waker::from(Arc::new(Woken(thread::current())));
        loop {
            match std::pin::Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(output) => return output,
                Poll::Pending => thread::park(),
            }
        }
    }
    let gate = Gate::new(4, 4);
    let (dataset, requests) = (gate.dataset(), Requests::new(1).unwrap());
    let tile_0 = requests.request_tile(&dataset, tile(0, 0, 0), 0, Delivery::handle());
    let opens = {
        let gate = gate.clone();
        thread::spawn(move || {
            gate.wait_for(1);
            gate.open();
        })
    };
    assert!(block_on(tile_0).is_ok());
    opens.join().unwrap();
    let cancelled = requests.request_tile(&dataset, tile(0, 1, 0), 0, Delivery::handle());
    cancelled.cancel();
    assert!(block_on(cancelled).is_err() || gate.finished() > 1);
}

#[test]
fn callbacks_may_ask_cancel_and_fail() {
    let gate = Gate::new(8, 1);
    let dataset = gate.dataset();
    let requests = Arc::new(Requests::new(1).unwrap());
    let (sender, arrived) = channel();
    let victim = requests.request_tile(&dataset, tile(0, 3, 0), -1, Delivery::channel(sender.clone(), "victim"));
    let first = {
        let (again, dataset, sender) = (Arc::clone(&requests), dataset.clone(), sender.clone());
        Delivery::callback(move |answer| {
            sender.send(("first", answer)).unwrap();
            assert!(victim.cancel());
            let next = again.request_tile(&dataset, tile(0, 2, 0), 0, Delivery::channel(sender.clone(), "next"));
            let waited = kind(next.wait());
            next.detach();
            assert_eq!(waited, Some(ErrorKind::InvalidArgument));
            drop(again);
            panic!("a callback that fails");
        })
    };
    // The victim may be at the gate already; then its place in the order is all that differs.
    requests.request_tile(&dataset, tile(0, 1, 0), 1, first).detach();
    gate.open();
    let order: Vec<_> = arrived.iter().take(3).map(|(name, answer)| (name, answer.is_ok())).collect();
    let place = |name| order.iter().position(|(other, _)| *other == name).unwrap();
    assert!(place("first") < place("next"), "{order:?}");
    assert!(requests.request_tile(&dataset, tile(0, 4, 0), 0, Delivery::handle()).wait().is_ok());
}

#[test]
fn dropping_a_request_takes_it_back_and_dropping_the_threads_takes_all_back() {
    let gate = Gate::new(8, 1);
    let (dataset, requests) = (gate.dataset(), Requests::new(1).unwrap());
    let (sender, arrived) = channel();
    let running = requests.request_tile(&dataset, tile(0, 0, 0), 0, Delivery::channel(sender.clone(), 0));
    gate.wait_for(1);
    drop(requests.request_tile(&dataset, tile(0, 1, 0), 0, Delivery::channel(sender.clone(), 1)));
    assert_eq!(arrived.recv().map(|(i, answer)| (i, kind(answer))), Ok((1, Some(ErrorKind::Cancelled))));
    requests.request_tile(&dataset, tile(0, 2, 0), 0, Delivery::channel(sender.clone(), 2)).detach();
    let opens = {
        let gate = gate.clone();
        thread::spawn(move || gate.open())
    };
    let viewport = requests.viewport(&dataset, 0, |_, _| {});
    drop(requests);
    opens.join().unwrap();
    let rest: HashSet<_> = arrived.try_iter().map(|(i, _)| i).collect();
    assert_eq!(rest, HashSet::from([0, 2]));
    assert!(running.poll().is_some());
    // What is left of it asks nobody.
    let mut viewport = viewport;
    assert_eq!(viewport.want(&[tile(0, 5, 0)], (0.0, 0.0)), 1);
}

#[test]
fn threads_that_are_dropped_in_a_callback_are_not_waited_for() {
    let gate = Gate::new(4, 1);
    let open_gate = Gate::new(4, 1);
    open_gate.open();
    let (dataset, other, requests) = (gate.dataset(), open_gate.dataset(), Arc::new(Requests::new(2).unwrap()));
    // A source that does not ask whether it is wanted holds one of them.
    let held = requests.request_tile(&dataset, tile(0, 0, 0), 0, Delivery::handle());
    gate.wait_for(1);
    let (goes_on, go_on) = channel::<()>();
    let (sender, arrived) = channel();
    let callback = {
        let requests = Arc::clone(&requests);
        move |answer: tilekeep::Result<_>| {
            go_on.recv().unwrap();
            drop(requests);
            sender.send(answer.is_ok()).unwrap();
        }
    };
    requests.request_block(&other, (0, 1, 0), 0, Delivery::callback(callback)).detach();
    drop(requests);
    goes_on.send(()).unwrap();
    assert_eq!(arrived.recv(), Ok(true));
    assert_eq!(kind(held.wait()), Some(ErrorKind::Cancelled));
    gate.open();
}
