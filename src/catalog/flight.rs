//! An opening that is under way, and those who wait for it.

use crate::error::{Error, Result};
use crate::sync::{Arc, Condvar, Mutex, wait};

/// How an opening ended that did not fail.
pub(super) enum Landed<D> {
    /// All who wait share what was opened.
    Shared(Arc<D>),
    /// What was opened is for whoever opened it: the others open for themselves.
    Alone,
    /// Another thing was opened than those who wait asked for: they look again.
    Again,
}

impl<D> Clone for Landed<D> {
    fn clone(&self) -> Self {
        match self {
            Self::Shared(dataset) => Self::Shared(Arc::clone(dataset)),
            Self::Alone => Self::Alone,
            Self::Again => Self::Again,
        }
    }
}

pub(super) struct Flight<D> {
    landed: Mutex<Option<Result<Landed<D>>>>,
    arrived: Condvar,
}

impl<D> Default for Flight<D> {
    fn default() -> Self {
        Self { landed: Mutex::new(None), arrived: Condvar::new() }
    }
}

impl<D> Flight<D> {
    /// Sleeps until the opening is over.
    pub(super) fn wait(&self) -> Result<Landed<D>> {
        let mut landed = self.landed.lock();
        loop {
            match &*landed {
                Some(result) => return result.clone(),
                None => landed = wait(&self.arrived, landed),
            }
        }
    }

    pub(super) fn land(&self, result: Result<Landed<D>>) {
        *self.landed.lock() = Some(result);
        self.arrived.notify_all();
    }
}

/// The duty of whoever opens to end the flight: if the opening panics, those who wait are told so.
pub(super) struct Duty<F: FnMut(Result<Landed<D>>), D> {
    land: F,
    ended: bool,
    _of: std::marker::PhantomData<D>,
}

impl<F: FnMut(Result<Landed<D>>), D> Duty<F, D> {
    pub(super) fn new(land: F) -> Self {
        Self { land, ended: false, _of: std::marker::PhantomData }
    }

    pub(super) fn end(mut self, result: Result<Landed<D>>) {
        self.ended = true;
        (self.land)(result);
    }
}

impl<F: FnMut(Result<Landed<D>>), D> Drop for Duty<F, D> {
    fn drop(&mut self) {
        if !self.ended {
            (self.land)(Err(Error::internal("the opening panicked in the thread that ran it")));
        }
    }
}
