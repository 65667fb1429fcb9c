//! The locks and atomics that the rest of the crate uses, in one place so that a model checker can stand in.

pub(crate) use std::sync::Arc;
#[cfg(not(shuttle))]
use std::time::Duration;

#[cfg(not(shuttle))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
#[cfg(not(shuttle))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

#[cfg(shuttle)]
mod checked;
#[cfg(shuttle)]
pub(crate) use checked::{Condvar, Mutex, MutexGuard, RwLock, wait, wait_for};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
#[cfg(shuttle)]
pub(crate) use shuttle::{thread, thread_local};
#[cfg(not(shuttle))]
pub(crate) use std::{thread, thread_local};

/// Waits until somebody notifies.
#[cfg(not(shuttle))]
pub(crate) fn wait<'a, T>(condvar: &Condvar, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(&mut guard);
    guard
}

/// Waits until somebody notifies, for `at_most` so long.
#[cfg(not(shuttle))]
pub(crate) fn wait_for<'a, T>(condvar: &Condvar, mut guard: MutexGuard<'a, T>, at_most: Duration) -> MutexGuard<'a, T> {
    condvar.wait_for(&mut guard, at_most);
    guard
}
