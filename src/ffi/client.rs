//! A client's functions, and what it wants back exactly once.

use std::ffi::{CString, c_void};

use crate::error::{Error, Result};

use super::pointers::{Growing, read_struct};
use super::source::tilekeep_destroy_fn;
use super::status::{message_of, status_of, tilekeep_status};

/// What the client wants back exactly once: `destroy` of it runs when this is dropped.
pub(super) struct Client {
    pub(super) user_data: *mut c_void,
    pub(super) destroy: tilekeep_destroy_fn,
}

// SAFETY: the header says that the functions are called from any thread, and the client agreed by giving them.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(destroy) = self.destroy {
            // SAFETY: the client's function with the client's data, once, when nothing else can use them.
            unsafe { destroy(self.user_data) };
        }
    }
}

/// A struct of functions that share what they are given first.
pub(super) trait Callback: Growing {
    fn user_data(&self) -> *mut c_void;
    fn destroy(&self) -> tilekeep_destroy_fn;
}

/// Who hears of something.
pub(super) struct Listener<C: Callback> {
    callback: C,
    _client: Client,
}

// SAFETY: as for `Client`.
unsafe impl<C: Callback> Send for Listener<C> {}
// SAFETY: as above; several at once are said where that is so.
unsafe impl<C: Callback> Sync for Listener<C> {}

impl<C: Callback> Listener<C> {
    /// Takes the client's functions, if there are any: from here on `destroy` runs, whatever happens.
    pub(super) unsafe fn new(callback: *const C) -> Result<Option<Self>> {
        if callback.is_null() {
            return Ok(None);
        }
        // SAFETY: forwarded.
        let callback = unsafe { read_struct(callback) }?;
        let client = Client { user_data: callback.user_data(), destroy: callback.destroy() };
        Ok(Some(Self { callback, _client: client }))
    }

    pub(super) fn callback(&self) -> &C {
        &self.callback
    }
}

/// A failure as callbacks hear of it.
pub(super) fn failure(error: &Error) -> (tilekeep_status, CString) {
    (status_of(error.kind()), message_of(error))
}
