//! One load that many may wait for.

use std::hash::Hash;

use crate::error::{Error, Result};
use crate::sync::{Arc, Condvar, Mutex};

use super::Cache;

/// A load under way. Whoever wants its value sleeps here, and nowhere else.
pub(super) struct Flight<V> {
    result: Mutex<Option<Result<Arc<V>>>>,
    landed: Condvar,
}

impl<V> Default for Flight<V> {
    fn default() -> Self {
        Self { result: Mutex::new(None), landed: Condvar::new() }
    }
}

impl<V> Flight<V> {
    pub(super) fn wait(&self) -> Result<Arc<V>> {
        let mut result = self.result.lock();
        loop {
            match &*result {
                Some(Ok(value)) => return Ok(Arc::clone(value)),
                Some(Err(error)) => return Err(error.clone()),
                None => self.landed.wait(&mut result),
            }
        }
    }

    fn finish(&self, with: Result<Arc<V>>) {
        *self.result.lock() = Some(with);
        self.landed.notify_all();
    }
}

/// The leader's duty to end its flight: if it panics, the waiters are told and the key is absent again.
pub(super) struct Landing<'a, K: Copy + Eq + Hash, V> {
    cache: &'a Cache<K, V>,
    key: K,
    reserved: u64,
    flight: &'a Flight<V>,
    over: bool,
}

impl<'a, K: Copy + Eq + Hash, V> Landing<'a, K, V> {
    pub(super) fn new(cache: &'a Cache<K, V>, key: K, reserved: u64, flight: &'a Flight<V>) -> Self {
        Self { cache, key, reserved, flight, over: false }
    }

    /// Tells the waiters. The cache's own state must have been brought up to date before.
    pub(super) fn land(mut self, result: Result<Arc<V>>) {
        self.over = true;
        self.flight.finish(result);
    }

    /// Makes the key absent and tells the waiters why.
    pub(super) fn fail(mut self, error: &Error) {
        self.over = true;
        self.give_up(error.clone());
    }

    fn give_up(&self, error: Error) {
        self.cache.abandon(&self.key, self.reserved);
        self.flight.finish(Err(error));
    }
}

impl<K: Copy + Eq + Hash, V> Drop for Landing<'_, K, V> {
    fn drop(&mut self) {
        if !self.over {
            self.give_up(Error::internal("the load panicked in the thread that ran it"));
        }
    }
}
