//! A client's functions, and what it wants back exactly once.

use std::ffi::{CString, c_void};

use crate::error::{Error, Result};

use super::super::pointers::{Growing, read_struct};
use super::super::source::tilekeep_destroy_fn;
use super::super::status::{message_of, status_of, tilekeep_status};

/// A struct of functions that share what they are given first.
pub(super) trait Callback: Growing {
    fn user_data(&self) -> *mut c_void;
    fn destroy(&self) -> tilekeep_destroy_fn;
}

/// Who hears of something. `destroy` of it runs when this is dropped.
pub(super) struct Listener<C: Callback>(C);

// SAFETY: the header says that the functions are called from any thread, and the client agreed by giving them.
unsafe impl<C: Callback> Send for Listener<C> {}
// SAFETY: as above; several at once are said where that is so.
unsafe impl<C: Callback> Sync for Listener<C> {}

impl<C: Callback> Listener<C> {
    /// Takes the client's functions, if there are any: from here on `destroy` runs, whatever happens.
    pub(super) unsafe fn new(callback: *const C) -> Result<Option<Self>> {
        // SAFETY: forwarded.
        if callback.is_null() { Ok(None) } else { Ok(Some(Self(unsafe { read_struct(callback) }?))) }
    }

    pub(super) fn callback(&self) -> &C {
        &self.0
    }
}

impl<C: Callback> Drop for Listener<C> {
    fn drop(&mut self) {
        if let Some(destroy) = self.0.destroy() {
            // SAFETY: the client's function with the client's data, once, when nothing else can use them.
            unsafe { destroy(self.0.user_data()) };
        }
    }
}

/// A failure as callbacks hear of it.
pub(super) fn failure(error: &Error) -> (tilekeep_status, CString) {
    (status_of(error.kind()), message_of(error))
}
