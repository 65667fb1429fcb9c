//! Callbacks under way, and who may wait until others are over.
//!
//! Whoever takes something back waits for a callback that just then runs in another thread. Within a callback nobody does, nor
//! in a thread that serves requests: two callbacks that take back each other's requests would wait for each other for ever, and
//! so would one that has a lock which another one needs.

use std::cell::Cell;

use crate::sync::thread_local;

thread_local! {
    /// Callbacks that this thread is in, one within another. One that serves requests is always in one.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// This thread is in a callback until this is dropped.
pub(super) struct InCall(());

impl InCall {
    pub(super) fn begin() -> Self {
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        Self(())
    }
}

impl Drop for InCall {
    fn drop(&mut self) {
        // A thread that ends is in none.
        let _ = DEPTH.try_with(|depth| depth.set(depth.get() - 1));
    }
}

/// Calls a callback.
pub(super) fn call<T>(callback: impl FnOnce() -> T) -> T {
    let _in_call = InCall::begin();
    callback()
}

/// Whether this thread may wait until callbacks in others are over.
pub(super) fn may_wait() -> bool {
    DEPTH.try_with(Cell::get).is_ok_and(|depth| depth == 0)
}
