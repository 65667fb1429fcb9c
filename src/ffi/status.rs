//! Status codes, the last error of a thread, and the way back out of every call.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, ErrorKind, Result, panic_message};

/// What a call that can fail returns: TILEKEEP_OK, or one of the negative TILEKEEP_ERR_ codes.
///
/// @since 0.1
pub type tilekeep_status = i32;

/// The call did what it says.
pub const TILEKEEP_OK: i32 = 0;
/// The call itself is wrong: a NULL, a coordinate out of range, a buffer too small, an unknown number of an enum.
pub const TILEKEEP_ERR_INVALID_ARGUMENT: i32 = -1;
/// The named thing does not exist: a file, a geotransform, a nodata value.
pub const TILEKEEP_ERR_NOT_FOUND: i32 = -2;
/// The operating system, or a source of the client, could not deliver the bytes.
pub const TILEKEEP_ERR_IO: i32 = -3;
/// The bytes are there and contradict themselves or their format.
pub const TILEKEEP_ERR_CORRUPT: i32 = -4;
/// The bytes are fine as far as can be told; this build cannot read them.
pub const TILEKEEP_ERR_UNSUPPORTED: i32 = -5;
/// A budget, or a limit on sizes that come from files, forbids it.
pub const TILEKEEP_ERR_LIMIT_EXCEEDED: i32 = -6;
/// The requester took the request back.
pub const TILEKEEP_ERR_CANCELLED: i32 = -7;
/// The dataset cannot be written.
pub const TILEKEEP_ERR_READ_ONLY: i32 = -8;
/// The source is no longer the one that was opened.
pub const TILEKEEP_ERR_CHANGED: i32 = -9;
/// A tile store failed.
pub const TILEKEEP_ERR_STORE: i32 = -10;
/// A bug of the library, or a panic in a callback. The handle stays usable.
pub const TILEKEEP_ERR_INTERNAL: i32 = -11;

const KINDS: [(i32, ErrorKind); 11] = [
    (TILEKEEP_ERR_INVALID_ARGUMENT, ErrorKind::InvalidArgument),
    (TILEKEEP_ERR_NOT_FOUND, ErrorKind::NotFound),
    (TILEKEEP_ERR_IO, ErrorKind::Io),
    (TILEKEEP_ERR_CORRUPT, ErrorKind::Corrupt),
    (TILEKEEP_ERR_UNSUPPORTED, ErrorKind::Unsupported),
    (TILEKEEP_ERR_LIMIT_EXCEEDED, ErrorKind::LimitExceeded),
    (TILEKEEP_ERR_CANCELLED, ErrorKind::Cancelled),
    (TILEKEEP_ERR_READ_ONLY, ErrorKind::ReadOnly),
    (TILEKEEP_ERR_CHANGED, ErrorKind::Changed),
    (TILEKEEP_ERR_STORE, ErrorKind::Store),
    (TILEKEEP_ERR_INTERNAL, ErrorKind::Internal),
];

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
    /// What a callback said, until the call that ran it takes it. Apart from `LAST`, whose text the client may be
    /// looking at.
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

pub(super) fn status_of(kind: ErrorKind) -> tilekeep_status {
    KINDS.iter().find(|(_, k)| *k == kind).map_or(TILEKEEP_ERR_INTERNAL, |(status, _)| *status)
}

/// The kind that a callback's status stands for; what is no status of ours is an I/O error.
pub(super) fn kind_of(status: tilekeep_status) -> ErrorKind {
    KINDS.iter().find(|(s, _)| *s == status).map_or(ErrorKind::Io, |(_, kind)| *kind)
}

/// Runs a call: an error or a panic becomes a status, and its text the last error of the thread.
pub(super) fn guard(call: impl FnOnce() -> Result<()>) -> tilekeep_status {
    let result = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let result = Err(Error::internal(format!("panic: {}", panic_message(&*panic))));
        // What was thrown may itself panic when dropped, and that must not leave this function.
        std::mem::forget(panic);
        result
    });
    match result {
        Ok(()) => TILEKEEP_OK,
        Err(error) => {
            set_last(&error.to_string());
            status_of(error.kind())
        }
    }
}

fn set_last(message: &str) {
    let message = c_text(message);
    // A thread that is going away has no last error any more.
    let _ = LAST.try_with(|last| *last.borrow_mut() = message);
}

fn c_text(message: &str) -> CString {
    CString::new(message.replace('\0', " ")).unwrap_or_default()
}

/// What the last error says of this one.
pub(super) fn message_of(error: &Error) -> CString {
    c_text(&error.to_string())
}

/// Takes what callbacks of this thread said since it was last taken.
pub(super) fn take_said() -> String {
    SAID.try_with(|said| std::mem::take(&mut *said.borrow_mut())).unwrap_or_default()
}

/// The message of the last call that failed on this thread: one line, UTF-8, ending in 0. Empty when none did.
///
/// A call that succeeds leaves it alone. It is valid until the next call on this thread fails.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn tilekeep_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// Says in words why a callback is about to return a failure: the message becomes part of what the caller of the
/// library is told. For callbacks only; what tilekeep_last_error gives does not change. NULL is taken as an empty text.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_set_last_error(message: *const c_char) {
    let text = if message.is_null() {
        String::new()
    } else {
        // SAFETY: not NULL, and the caller gives a text that ends in 0.
        unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned()
    };
    // A thread that is going away says nothing any more.
    let _ = SAID.try_with(|said| *said.borrow_mut() = text);
}

/// The version of the library, as "major.minor.patch". Valid for as long as the program runs.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn tilekeep_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> String {
        // SAFETY: the function gives a text that ends in 0 and stays until the next failure.
        unsafe { CStr::from_ptr(tilekeep_last_error()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn failures_leave_a_message_and_successes_leave_it_alone() {
        assert_eq!(guard(|| Err(Error::corrupt("first\0second"))), TILEKEEP_ERR_CORRUPT);
        assert_eq!(guard(|| Ok(())), TILEKEEP_OK);
        assert_eq!(last(), "corrupt data: first second");
    }

    #[test]
    fn a_panic_becomes_an_internal_error_with_its_words() {
        assert_eq!(guard(|| panic!("number {}", 7)), TILEKEEP_ERR_INTERNAL);
        assert_eq!(last(), "internal error: panic: number 7");
    }

    #[test]
    fn every_kind_has_its_number() {
        for (status, kind) in KINDS {
            assert_eq!((status_of(kind), kind_of(status)), (status, kind));
        }
        assert_eq!(kind_of(-99), ErrorKind::Io);
    }
}
