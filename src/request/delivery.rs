//! How an answer reaches the one who asked.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::mpsc::Sender;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::cancel;
use crate::error::{Error, Result};
use crate::render::Tile;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, wait, wait_for};

use super::available::Available;
use super::calls::{call, may_wait};
use super::pool::{Asks, Shared};
use super::queue::{Class, Place, Rank};
use super::signal::Signal;
use super::work::{Answer, Outcome};

/// How an answer comes, beside through the [`Request`] that is returned.
pub struct Delivery<T>(Option<Courier<T>>);

enum Courier<T> {
    Once(Box<dyn FnOnce(Result<T>) + Send>),
    Often(Box<dyn FnMut(Arrival<T>) + Send>),
}

/// What a progressive request brings.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Arrival<T> {
    /// Something to show until the real thing is there; at most once, and never after it.
    Preview(Available),
    /// The answer, once.
    Final(Result<T>),
}

impl<T> Delivery<T> {
    /// Only through the [`Request`].
    #[must_use]
    pub fn handle() -> Self {
        Self(None)
    }

    /// To a function, which is called exactly once, with no lock held: in a thread of the [`Requests`](super::Requests), or
    /// with `cancelled` in the thread that takes the request back. It may do anything but wait for other requests. What waits
    /// for callbacks elsewhere does not in a callback: see [`Request::cancel`].
    pub fn callback(callback: impl FnOnce(Result<T>) + Send + 'static) -> Self {
        Self(Some(Courier::Once(Box::new(callback))))
    }

    /// To a channel, with a tag that tells which request it answers. It does not matter whether somebody still listens.
    #[must_use]
    pub fn channel<K: Send + 'static>(sender: Sender<(K, Result<T>)>, tag: K) -> Self
    where
        T: Send + 'static,
    {
        Self::callback(move |answer| {
            let _ = sender.send((tag, answer));
        })
    }
}

impl Delivery<Tile> {
    /// To a function that also gets a preview where something coarser is at hand sooner than the tile: cached tiles of other
    /// levels, a thumbnail in the file, or its coarsest level. Called with no lock held and never twice at once; the last
    /// call brings the answer, unless the first one panics. While it hears of a preview it must not wait for a thread that
    /// takes the request back: that thread waits for it. Otherwise as [`callback`](Self::callback).
    pub fn progressive(callback: impl FnMut(Arrival<Tile>) + Send + 'static) -> Self {
        Self(Some(Courier::Often(Box::new(callback))))
    }

    pub(super) fn is_progressive(&self) -> bool {
        matches!(self.0, Some(Courier::Often(_)))
    }
}

impl<T> Delivery<T> {
    /// Whether nobody but whoever has the request is told.
    pub(super) fn is_handle(&self) -> bool {
        self.0.is_none()
    }
}

/// What one who asked and those who answer share.
pub(super) struct Waiting<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    /// Notified when a preview was heard.
    heard: Condvar,
    /// Told how many answers nobody has looked at.
    signal: Option<Arc<Signal>>,
}

struct State<T> {
    answer: Option<Result<T>>,
    courier: Option<Courier<T>>,
    /// Whether the courier is away to bring a preview.
    is_previewing: bool,
    /// Whether somebody waits for its return, to bring the answer.
    is_awaited: bool,
    waker: Option<Waker>,
    /// Whether whoever asked has looked at the answer, or will not.
    is_seen: bool,
}

impl<T: Answer> Waiting<T> {
    /// One who hears of an answer by `delivery`, or else by looking, for which there may be a signal.
    pub(super) fn new(delivery: Delivery<T>, signal: Option<&Arc<Signal>>) -> Arc<Self> {
        let signal = signal.filter(|_| delivery.is_handle()).cloned();
        let state = State {
            answer: None,
            courier: delivery.0,
            is_previewing: false,
            is_awaited: false,
            waker: None,
            is_seen: false,
        };
        Arc::new(Self { state: Mutex::new(state), arrived: Condvar::new(), heard: Condvar::new(), signal })
    }

    /// Settles what the answer is, and brings it; whether it was not settled before. While a preview is brought this waits, or
    /// where it must not leaves the answer to the thread that does so.
    fn settle(&self, answer: Result<T>) -> bool {
        let mut state = self.state.lock();
        if state.answer.is_some() {
            return false;
        }
        state.answer = Some(answer.clone());
        let (courier, waker, is_seen) = (state.courier.take(), state.waker.take(), state.is_seen);
        let is_awaited = state.is_previewing && may_wait();
        state.is_awaited = is_awaited;
        drop(state);
        self.arrived.notify_all();
        if let Some(signal) = self.signal.as_ref().filter(|_| !is_seen) {
            signal.change(1);
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        bring(if is_awaited { self.returned() } else { courier }, answer);
        true
    }

    /// The courier, when it is back.
    fn returned(&self) -> Option<Courier<T>> {
        let mut state = self.state.lock();
        while state.is_previewing {
            state = wait(&self.heard, state);
        }
        state.courier.take()
    }

    /// Brings a preview, unless the answer has come.
    pub(super) fn preview(&self, preview: Available) {
        let mut state = self.state.lock();
        // Whoever answers meanwhile finds no courier, and waits for it or leaves the answer here.
        let Some(Courier::Often(mut callback)) = state.courier.take() else { return };
        state.is_previewing = true;
        drop(state);
        let heard = catch_unwind(AssertUnwindSafe(|| call(|| callback(Arrival::Preview(preview)))));
        // One that panics hears no more.
        let courier = heard.is_ok().then(|| Courier::Often(callback));
        let mut state = self.state.lock();
        state.is_previewing = false;
        match state.answer.clone() {
            Some(answer) if !state.is_awaited => {
                drop(state);
                bring(courier, answer);
            }
            _ => {
                state.courier = courier;
                drop(state);
                self.heard.notify_all();
            }
        }
    }

    fn is_answered(&self) -> bool {
        self.state.lock().answer.is_some()
    }

    /// The answer if it is there, which was then looked at.
    fn look(&self) -> Option<Result<T>> {
        let state = self.state.lock();
        let answer = state.answer.clone()?;
        self.saw(state);
        Some(answer)
    }

    /// Whoever asked has looked at the answer, or will not.
    fn saw(&self, mut state: MutexGuard<'_, State<T>>) {
        let was_signalled = !std::mem::replace(&mut state.is_seen, true) && state.answer.is_some();
        drop(state);
        if let Some(signal) = self.signal.as_ref().filter(|_| was_signalled) {
            signal.change(-1);
        }
    }

    /// As [`look`](Self::look), after a while.
    fn wait(&self, until: Option<Instant>) -> Option<Result<T>> {
        let mut state = self.state.lock();
        loop {
            if let Some(answer) = state.answer.clone() {
                self.saw(state);
                return Some(answer);
            }
            state = match until {
                None => wait(&self.arrived, state),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    wait_for(&self.arrived, state, left)
                }
            };
        }
    }
}

fn bring<T>(courier: Option<Courier<T>>, answer: Result<T>) {
    match courier {
        None => {}
        Some(Courier::Once(callback)) => call(|| callback(answer)),
        Some(Courier::Often(mut callback)) => call(|| callback(Arrival::Final(answer))),
    }
}

impl<T: Answer> Asks<Outcome> for Waiting<T> {
    fn answer(&self, answer: Result<Outcome>) -> bool {
        let none = || Error::internal("a request was answered with something else");
        self.settle(answer.and_then(|outcome| T::of(outcome).ok_or_else(none)))
    }
}

/// Something that was asked for. It is taken back when this is dropped, unless it was [`detach`](Self::detach)ed.
///
/// It is a [`Future`] of the answer that any executor can poll.
#[must_use = "a request is taken back when it is dropped"]
pub struct Request<T: Answer> {
    waiting: Arc<Waiting<T>>,
    shared: Arc<Shared<Outcome>>,
    /// `None` when it was answered at once.
    place: Option<Place>,
    /// Where its preview waits.
    preview: Option<Place>,
}

impl<T: Answer> Request<T> {
    pub(super) fn new(
        shared: &Arc<Shared<Outcome>>,
        waiting: Arc<Waiting<T>>,
        (place, preview): (Option<Place>, Option<Place>),
    ) -> Self {
        Self { waiting, shared: Arc::clone(shared), place, preview }
    }

    /// One that was answered before anybody had to do anything.
    pub(super) fn answered(shared: &Arc<Shared<Outcome>>, signal: Option<&Arc<Signal>>, answer: Result<T>) -> Self {
        let waiting = Waiting::new(Delivery::handle(), signal);
        waiting.settle(answer);
        Self::new(shared, waiting, (None, None))
    }

    /// The answer, when it is there. A callback may still be about to get it.
    ///
    /// # Errors
    ///
    /// What the request met; `cancelled` when it was taken back; `invalid argument` in a callback, where waiting could last
    /// for ever.
    pub fn wait(&self) -> Result<T> {
        self.check_thread()?;
        self.waiting.wait(None).unwrap_or_else(|| Err(Error::internal("an answer that never came")))
    }

    /// As [`wait`](Self::wait) for at most so long; `None` when there is no answer by then.
    pub fn wait_for(&self, at_most: Duration) -> Option<Result<T>> {
        if let Err(error) = self.check_thread() {
            return Some(Err(error));
        }
        match Instant::now().checked_add(at_most) {
            Some(until) => self.waiting.wait(Some(until)),
            None => self.waiting.wait(None),
        }
    }

    fn check_thread(&self) -> Result<()> {
        if self.shared.is_mine() && !self.waiting.is_answered() {
            return Err(Error::invalid("waiting for a request in a thread that answers requests"));
        }
        Ok(())
    }

    /// The answer if it is there.
    pub fn poll(&self) -> Option<Result<T>> {
        self.waiting.look()
    }

    /// As [`poll`](Self::poll), of which nobody else hears.
    pub(crate) fn peek(&self) -> Option<Result<T>> {
        self.waiting.state.lock().answer.clone()
    }

    /// Takes the request back: it is answered `cancelled` now, in this thread, unless it has its answer; whether it had
    /// none. Others who asked for the same are served. When nobody is left, what was not begun is dropped, and what runs
    /// stops at its next check point.
    ///
    /// While a callback hears of the request's preview in another thread this waits until that is over. Not so in a callback
    /// or in a thread of a [`Requests`](super::Requests), where nothing waits for callbacks: the function then hears
    /// `cancelled` in the thread that brings it the preview, as soon as it is done with that.
    pub fn cancel(&self) -> bool {
        if let Some(preview) = self.preview {
            self.shared.withdraw(preview);
        }
        let Some(place) = self.place else { return false };
        // Between the end of the work and the answer nobody waits for it any more, and it can still be taken back.
        if self.shared.cancel(place) {
            return true;
        }
        let is_first = self.waiting.settle(Err(cancel::stopped()));
        if is_first {
            self.shared.count(|stats| stats.cancelled += 1);
        }
        is_first
    }

    /// Changes its priority, if it still waits, and that of its preview: a greater one goes first. What others asked for too
    /// goes by the highest of all.
    pub fn set_priority(&self, priority: i32) {
        if let Some(preview) = self.preview {
            self.shared.set_rank(preview, Rank::new(Class::Preview, priority));
        }
        if let Some(place) = self.place {
            self.shared.set_rank(place, Rank::new(Class::Wanted, priority));
        }
    }

    /// Lets it go on when this is dropped: for callbacks and channels.
    pub fn detach(mut self) {
        self.place = None;
        self.preview = None;
    }
}

impl<T: Answer> Drop for Request<T> {
    fn drop(&mut self) {
        // An answered one is in no queue, and asking costs its lock.
        if self.place.is_some() && !self.waiting.is_answered() {
            self.waiting.saw(self.waiting.state.lock());
            self.cancel();
        } else if self.waiting.signal.is_some() {
            self.waiting.saw(self.waiting.state.lock());
        }
    }
}

impl<T: Answer> Future for Request<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let mut state = self.waiting.state.lock();
        if let Some(answer) = state.answer.clone() {
            self.waiting.saw(state);
            return Poll::Ready(answer);
        }
        let before = state.waker.replace(context.waker().clone());
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl<T: Answer> std::fmt::Debug for Request<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("is_answered", &self.waiting.is_answered()).finish_non_exhaustive()
    }
}
