//! A file descriptor that tells an event loop of answers.

use std::os::fd::BorrowedFd;
use std::sync::Barrier;
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tilekeep::{Delivery, ErrorKind, Request, Requests, Tile, Window, WindowRequest};

use super::{Gate, kind, tile, tiles};

/// Whether it is readable now.
fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).unwrap() == 1
}

/// Sleeps until it is readable.
fn wait_readable(fd: BorrowedFd<'_>) {
    while poll(&mut [PollFd::new(&fd, PollFlags::IN)], None).is_ok_and(|n| n == 0) {}
}

#[test]
fn it_is_readable_while_there_are_answers_that_nobody_looked_at() {
    let _tiles = tiles();
    tilekeep::clear_tile_cache();
    let gate = Gate::new(8, 2);
    let (dataset, requests) = (gate.dataset(), Requests::new(1).unwrap());
    let before = requests.request_tile(&dataset, tile(0, 7, 1), 9, Delivery::handle());
    let fd = requests.fd().unwrap();
    let ask = |col| requests.request_tile(&dataset, tile(0, col, 0), 0, Delivery::handle());
    let all = [ask(0), ask(1), ask(2), ask(3), ask(4)];
    let window = WindowRequest::new(0, Window::new(0, 16, 16, 16));
    let window = requests.request_window(&dataset, window, 0, Delivery::handle());
    let block = requests.request_block(&dataset, (0, 1, 1), 0, Delivery::handle());
    let told = requests.request_tile(&dataset, tile(0, 5, 0), -1, Delivery::callback(|_| {}));
    gate.wait_for(1);
    assert!(!is_readable(fd));

    // One that is taken back has its answer; looking twice is looking.
    assert!(all[0].cancel());
    assert!(is_readable(fd));
    assert_eq!(kind(all[0].wait()), Some(ErrorKind::Cancelled));
    assert!(all[0].poll().is_some() && !is_readable(fd));

    // One that was made before does not count, nor does one that somebody else is told of.
    gate.open();
    assert!(told.wait().is_ok());
    assert!(before.wait().is_ok());
    wait_readable(fd);
    assert!(all[1].wait().is_ok() && all[2].wait().is_ok() && is_readable(fd));
    assert!(window.wait().is_ok() && block.wait().is_ok());
    drop(all);
    assert!(!is_readable(fd));

    // One that is there at once; and one that nobody will look at.
    let cached = ask(1);
    assert!(is_readable(fd) && cached.poll().is_some() && !is_readable(fd));
    ask(6).detach();
    assert!(requests.request_tile(&dataset, tile(0, 6, 1), -1, Delivery::callback(|_| {})).wait().is_ok());
    assert!(!is_readable(fd));
}

#[test]
fn an_event_loop_misses_no_answer_of_many_threads_and_sleeps_when_there_is_none() {
    let gate = Gate::new(64, 32);
    gate.open();
    let (dataset, requests) = (gate.dataset(), Requests::new(4).unwrap());
    let fd = requests.fd().unwrap();
    let (n_askers, n_each) = (4_u32, 400_u32);
    let (sender, asked) = std::sync::mpsc::channel::<Request<Tile>>();
    let start = Barrier::new(n_askers as usize);
    let mut n_answered = 0;
    thread::scope(|scope| {
        for asker in 0..n_askers {
            let (sender, start, requests, dataset) = (sender.clone(), &start, &requests, &dataset);
            scope.spawn(move || {
                start.wait();
                for n in 0..n_each {
                    let place = asker * n_each + n;
                    let request = tile(0, place % 64, place / 64 % 32).range(0.0, 255.0);
                    let request = requests.request_tile(dataset, request, (n % 7) as i32, Delivery::handle());
                    if n % 5 == 0 {
                        request.cancel();
                    }
                    sender.send(request).unwrap();
                }
            });
        }
        drop(sender);
        // It knows of nothing but the descriptor: an answer that it does not hear of leaves it asleep for ever.
        let mut open = Vec::new();
        while n_answered < n_askers * n_each {
            wait_readable(fd);
            open.extend(asked.try_iter());
            open.retain(|request| {
                let is_answered = request.poll().is_some();
                n_answered += u32::from(is_answered);
                !is_answered
            });
        }
    });
    assert!(!is_readable(fd));
    assert_eq!(n_answered, n_askers * n_each);
}
