//! Work that may be taken back: a token that says so, and the points where work asks it.
//!
//! Who runs work for somebody else sets the token of the work for his thread. The work asks with [`check`] where it can
//! stop without leaving anything half done: between blocks, rows, reads and codec calls. Without a token that costs one
//! look at a variable of the thread, and nothing is ever cancelled.
//!
//! A load that others wait for too goes on: what they wait for is said with [`waited_for`].

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Arc, AtomicBool, AtomicU32, Condvar, Mutex, Ordering, thread_local, wait, wait_for};

/// Whether a piece of work was taken back.
#[derive(Default)]
pub(crate) struct Token {
    cancelled: AtomicBool,
    /// For those who sleep until then.
    asleep: Mutex<()>,
    woken: Condvar,
}

impl Token {
    /// Takes the work back. It stops at its next check point.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Lets the work look again at what it sleeps for.
    pub(crate) fn wake(&self) {
        // Whoever looked before sleeps by now, or has not got the lock yet and looks again.
        drop(self.asleep.lock());
        self.woken.notify_all();
    }

    /// Sleeps until something is so, of which [`wake`](Self::wake) tells; `false` when the work, which is that of this thread,
    /// must stop before.
    pub(crate) fn sleep_until(&self, is_so: impl Fn() -> bool) -> bool {
        let mut asleep = self.asleep.lock();
        loop {
            if is_so() {
                return true;
            }
            if is_stopping() {
                return false;
            }
            asleep = wait(&self.woken, asleep);
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

/// The work of a thread.
struct Current {
    token: Arc<Token>,
    /// How many wait for each of the loads that it is in.
    waiters: Vec<Arc<AtomicU32>>,
}

impl Current {
    /// Whether nobody wants what is being made.
    fn must_stop(&self) -> bool {
        self.token.is_cancelled() && self.waiters.iter().all(|n| n.load(Ordering::Relaxed) == 0)
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// Runs `work`, which may be taken back with `token`.
pub(crate) fn run<T>(token: &Arc<Token>, work: impl FnOnce() -> T) -> T {
    /// Puts back what was current before, also when the work panics.
    struct Restore(Option<Current>);

    impl Drop for Restore {
        fn drop(&mut self) {
            let before = self.0.take();
            let _ = CURRENT.try_with(|current| current.replace(before));
        }
    }

    let current = Current { token: Arc::clone(token), waiters: Vec::new() };
    let _restore = Restore(CURRENT.with(|place| place.replace(Some(current))));
    work()
}

/// Goes on, or stops with `cancelled` when the work of this thread was taken back and nobody else waits for it.
///
/// # Errors
///
/// `cancelled`.
#[inline]
pub(crate) fn check() -> Result<()> {
    if is_stopping() { Err(stopped()) } else { Ok(()) }
}

/// Whether [`check`] would fail.
pub(crate) fn is_stopping() -> bool {
    CURRENT.try_with(|current| current.borrow().as_ref().is_some_and(Current::must_stop)).unwrap_or(false)
}

/// Whether the work of this thread was taken back, whoever else waits for it.
pub(crate) fn is_cancelled() -> bool {
    let is_cancelled = |current: &RefCell<Option<Current>>| {
        current.borrow().as_ref().is_some_and(|current| current.token.is_cancelled())
    };
    CURRENT.try_with(is_cancelled).unwrap_or(false)
}

/// The token of this thread's work, if it may be taken back.
pub(crate) fn token() -> Option<Arc<Token>> {
    CURRENT.try_with(|current| current.borrow().as_ref().map(|current| Arc::clone(&current.token))).ok().flatten()
}

/// What a piece of work that was taken back ends with.
pub(crate) fn stopped() -> Error {
    Error::new(ErrorKind::Cancelled, "the request was taken back")
}

/// Says how many others wait for what this thread is about to load, until what is returned is dropped.
pub(crate) fn waited_for(n: &Arc<AtomicU32>) -> WaitedFor {
    let push = |current: &RefCell<Option<Current>>| {
        current.borrow_mut().as_mut().map(|current| current.waiters.push(Arc::clone(n))).is_some()
    };
    WaitedFor { is_pushed: CURRENT.try_with(push).unwrap_or(false) }
}

/// See [`waited_for`].
pub(crate) struct WaitedFor {
    is_pushed: bool,
}

impl Drop for WaitedFor {
    fn drop(&mut self) {
        if self.is_pushed {
            let _ = CURRENT.try_with(|current| current.borrow_mut().as_mut().map(|current| current.waiters.pop()));
        }
    }
}

/// Sleeps for so long, or until the work is taken back.
///
/// # Errors
///
/// `cancelled`.
pub(crate) fn sleep(time: Duration) -> Result<()> {
    // What cannot be taken back is woken by nobody.
    let token = token().unwrap_or_default();
    let start = Instant::now();
    let mut asleep = token.asleep.lock();
    loop {
        let left = time.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        check()?;
        asleep = wait_for(&token.woken, asleep, left);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn work_stops_when_it_is_taken_back_and_nobody_else_waits() {
        let (token, others) = (Arc::new(Token::default()), Arc::new(AtomicU32::new(1)));
        assert!(check().is_ok());
        run(&token, || {
            assert!(check().is_ok());
            token.cancel();
            assert_eq!(check().unwrap_err().kind(), ErrorKind::Cancelled);
            let waited = waited_for(&others);
            assert!(check().is_ok() && is_cancelled());
            others.store(0, Ordering::Relaxed);
            assert!(check().is_err());
            others.store(1, Ordering::Relaxed);
            drop(waited);
            assert!(check().is_err());
            // Work within work.
            run(&Arc::default(), || assert!(check().is_ok()));
            assert!(check().is_err());
        });
        assert!(check().is_ok() && !is_cancelled());
    }

    #[test]
    fn who_sleeps_is_woken() {
        let token = Arc::new(Token::default());
        let sleeper = {
            let token = Arc::clone(&token);
            std::thread::spawn(move || run(&token, || sleep(Duration::from_secs(3600))))
        };
        token.cancel();
        assert_eq!(sleeper.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(sleep(Duration::from_nanos(1)).is_ok());
        assert!(run(&Arc::default(), || sleep(Duration::from_nanos(1))).is_ok());
    }
}
