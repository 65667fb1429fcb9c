//! Tiles that are asked for and taken back.

use std::ffi::c_void;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::render::Tile;
use crate::request::{Delivery, Request, RequestStats, Requests};
use crate::sync::{Arc, Mutex};

use super::dataset::tilekeep_dataset;
use super::pointers::{Growing, Out, borrow, end_of, out, read_options, read_struct};
use super::read::{put_tile, tilekeep_tile, tilekeep_tile_options};
use super::source::tilekeep_destroy_fn;
use super::status::{TILEKEEP_OK, guard, message_of, status_of, tilekeep_status};

/// Wait for as long as it takes.
pub const TILEKEEP_WAIT_FOREVER: u64 = u64::MAX;

/// Threads that serve requests. Everything may be called from any thread, its own callbacks included.
///
/// @since 0.1
pub struct tilekeep_requests {
    requests: Arc<Requests>,
}

/// A tile that was asked for. Give it to tilekeep_request_free.
///
/// @since 0.1
pub struct tilekeep_request {
    request: Mutex<Option<Arc<Request<Tile>>>>,
}

/// Hears how a request ended: called exactly once, never under a lock of the library. status is TILEKEEP_OK and tile the
/// tile, which is valid during the call only (to keep its bytes for longer, take the tile with tilekeep_request_wait);
/// or status is a failure (TILEKEEP_ERR_CANCELLED when the request was taken back), tile is NULL and message says why,
/// which is valid during the call and otherwise NULL.
///
/// It runs in a thread of the tilekeep_requests, several of them at once for several requests; or, for a request that is
/// taken back, in the thread that does so. It may call anything, with this request too, but must not wait for requests
/// that have no answer yet: that is TILEKEEP_ERR_INVALID_ARGUMENT.
///
/// @since 0.1
pub type tilekeep_tile_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        status: tilekeep_status,
        tile: *const tilekeep_tile,
        message: *const std::ffi::c_char,
    ),
>;

/// Who hears of a tile. The struct is copied.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_tile_callback {
    /// sizeof(tilekeep_tile_callback).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Given to the functions as their first argument.
    pub user_data: *mut c_void,
    /// Hears of the tile. May be NULL.
    pub arrived: tilekeep_tile_fn,
    /// Releases user_data. Called exactly once, after the last call of arrived, from any thread. May be NULL.
    pub destroy: tilekeep_destroy_fn,
}

// SAFETY: `repr(C)`, size first. A function pointer is wrapped in `Option`, for which NULL is a value; that any other
// bytes are a function is the caller's promise, as for every pointer.
unsafe impl Growing for tilekeep_tile_callback {
    const NAME: &'static str = "tilekeep_tile_callback";
    const OLDEST: usize = end_of!(tilekeep_tile_callback, destroy);

    fn defaults() -> Self {
        Self { struct_size: 0, reserved: 0, user_data: std::ptr::null_mut(), arrived: None, destroy: None }
    }
}

/// What was asked for and what became of it, since the threads were started.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct tilekeep_request_stats {
    /// sizeof(tilekeep_request_stats), set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Jobs that wait for a thread.
    pub queued: u64,
    /// Jobs that run.
    pub running: u64,
    /// Requests answered with what they asked for, or with why it could not be had.
    pub answered: u64,
    /// Of these, those that were answered with a failure.
    pub failed: u64,
    /// Requests that were taken back before they were answered.
    pub cancelled: u64,
    /// Requests that joined a job which somebody else had asked for.
    pub joined: u64,
    /// Jobs that were dropped before they began, because nobody wanted them any more.
    pub dropped: u64,
    /// Jobs that were told to stop while they ran, for the same reason.
    pub stopped: u64,
}

// SAFETY: `repr(C)`, integers only, size first.
unsafe impl Growing for tilekeep_request_stats {
    const NAME: &'static str = "tilekeep_request_stats";
    const OLDEST: usize = end_of!(tilekeep_request_stats, stopped);

    fn defaults() -> Self {
        Self::default()
    }
}

impl From<RequestStats> for tilekeep_request_stats {
    fn from(stats: RequestStats) -> Self {
        Self {
            struct_size: 0,
            reserved: 0,
            queued: stats.queued,
            running: stats.running,
            answered: stats.answered,
            failed: stats.failed,
            cancelled: stats.cancelled,
            joined: stats.joined,
            dropped: stats.dropped,
            stopped: stats.stopped,
        }
    }
}

/// Starts n_threads threads, 1 to 1024, that serve requests.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_requests_new(
    n_threads: u32,
    requests_out: *mut *mut tilekeep_requests,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let requests_out = unsafe { out(requests_out, "requests_out") }?;
        let requests = Arc::new(Requests::new(n_threads as usize)?);
        *requests_out = Box::into_raw(Box::new(tilekeep_requests { requests }));
        Ok(())
    })
}

/// Takes back all requests that have no answer yet, and returns when the threads are gone: no callback runs any more. In
/// a callback of its own it returns at once, and that thread goes when the callback is over.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_requests_free(requests: *mut tilekeep_requests) {
    guard(|| {
        if !requests.is_null() {
            // SAFETY: `tilekeep_requests_new` made the box, and the caller gives it up.
            drop(unsafe { Box::from_raw(requests) });
        }
        Ok(())
    });
}

/// Says what was asked for and what became of it.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_requests_stats(
    requests: *const tilekeep_requests,
    stats_out: *mut tilekeep_request_stats,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, stats_out) = unsafe { (borrow(requests, "requests")?, Out::new(stats_out)?) };
        stats_out.write(&handle.requests.stats().into());
        Ok(())
    })
}

/// Asks for a tile, as tilekeep_read_tile gives it, and returns at once. Greater priorities go first, of equal ones the
/// oldest. Equal requests are made once, at the highest priority of all.
///
/// options may be NULL, and so may callback. request_out may be NULL where there is a callback: the request then goes on
/// until it is answered, and cannot be taken back. Otherwise the callback may run before this returns.
///
/// destroy of the callback is called exactly once, also when this returns a failure (arrived is then never called); not,
/// though, when callback's struct_size is wrong, for then it cannot be known.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_request_tile(
    requests: *const tilekeep_requests,
    dataset: *const tilekeep_dataset,
    level: u32,
    col: u32,
    row: u32,
    options: *const tilekeep_tile_options,
    priority: i32,
    callback: *const tilekeep_tile_callback,
    request_out: *mut *mut tilekeep_request,
) -> tilekeep_status {
    guard(|| {
        // From here on `destroy` runs, whatever happens.
        // SAFETY: the header's rules for pointers.
        let client = if callback.is_null() { None } else { Some(Client(unsafe { read_struct(callback) }?)) };
        // SAFETY: as above.
        let (handle, from) = unsafe { (borrow(requests, "requests")?, borrow(dataset, "dataset")?) };
        // SAFETY: as above.
        let request = unsafe { read_options(options)?.to_request(level, col, row) }?;
        if request_out.is_null() && client.is_none() {
            return Err(Error::invalid("callback and request_out are NULL: nobody would hear of the tile"));
        }
        let delivery = match client {
            Some(client) => Delivery::callback(move |answer| client.tell(answer)),
            None => Delivery::handle(),
        };
        let asked = handle.requests.request_tile(&from.dataset, request, priority, delivery);
        if request_out.is_null() {
            asked.detach();
        } else {
            let boxed = Box::new(tilekeep_request { request: Mutex::new(Some(Arc::new(asked))) });
            // SAFETY: not NULL, and the caller promises a place for a pointer.
            unsafe { request_out.write(Box::into_raw(boxed)) };
        }
        Ok(())
    })
}

/// Takes a request back: its callback hears TILEKEEP_ERR_CANCELLED in this thread, before this returns. One that has its
/// answer keeps it. Others who asked for the same tile are served; when nobody is left, the work is dropped, or stops soon.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_request_cancel(request: *const tilekeep_request) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        unsafe { asked(request) }?.cancel();
        Ok(())
    })
}

/// Changes the priority of a request that still waits for a thread.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_request_set_priority(
    request: *const tilekeep_request,
    priority: i32,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        unsafe { asked(request) }?.set_priority(priority);
        Ok(())
    })
}

/// Says in is_answered_out whether a request has its answer: 1 or 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_request_poll(
    request: *const tilekeep_request,
    is_answered_out: *mut i32,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (asked, is_answered_out) = unsafe { (asked(request)?, out(is_answered_out, "is_answered_out")?) };
        *is_answered_out = i32::from(asked.poll().is_some());
        Ok(())
    })
}

/// Waits for the answer to a request for at most timeout_ms milliseconds, or TILEKEEP_WAIT_FOREVER. Returns what the
/// request ended with, TILEKEEP_ERR_CANCELLED when it was taken back, or TILEKEEP_ERR_NOT_FOUND when there is no answer by
/// then. tile_out may be NULL; otherwise its bytes belong to the caller until it gives them to tilekeep_free_tile. It may be
/// called again. A callback may still be about to hear of it.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_request_wait(
    request: *const tilekeep_request,
    timeout_ms: u64,
    tile_out: *mut tilekeep_tile,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let asked = unsafe { asked(request) }?;
        // SAFETY: as above.
        let tile_out = if tile_out.is_null() { None } else { Some(unsafe { Out::new(tile_out) }?) };
        let answer = match timeout_ms {
            TILEKEEP_WAIT_FOREVER => Some(asked.wait()),
            _ => asked.wait_for(Duration::from_millis(timeout_ms)),
        };
        let none = || Error::new(crate::ErrorKind::NotFound, format!("no answer within {timeout_ms} ms"));
        let tile = answer.ok_or_else(none)??;
        if let Some(tile_out) = tile_out {
            put_tile(tile, tile_out);
        }
        Ok(())
    })
}

/// Releases a request. One that has no answer yet is taken back, and its callback hears TILEKEEP_ERR_CANCELLED before this
/// returns. NULL does nothing.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_request_free(request: *mut tilekeep_request) {
    guard(|| {
        if !request.is_null() {
            // SAFETY: `tilekeep_request_tile` made the box, and the caller gives it up.
            let request = unsafe { Box::from_raw(request) };
            let asked = request.request.lock().take();
            // Another thread may be in a call with it, and has a share of it until that is over.
            if let Some(asked) = &asked {
                asked.cancel();
            }
        }
        Ok(())
    });
}

/// A share of a request, which stays while it is used though the callback that the call runs releases the request.
unsafe fn asked(request: *const tilekeep_request) -> Result<Arc<Request<Tile>>> {
    // SAFETY: forwarded.
    let handle = unsafe { borrow(request, "request") }?;
    let asked = handle.request.lock().clone();
    asked.ok_or_else(|| Error::invalid("request was released"))
}

/// The client's functions and what it wants back exactly once.
struct Client(tilekeep_tile_callback);

// SAFETY: the header says that the functions are called from any thread, and the client agreed by giving them.
unsafe impl Send for Client {}

impl Client {
    fn tell(self, answer: Result<Tile>) {
        let Some(arrived) = self.0.arrived else { return };
        match answer {
            Ok(tile) => {
                let lent = tilekeep_tile {
                    struct_size: size_of::<tilekeep_tile>() as u32,
                    width: tile.width,
                    height: tile.height,
                    n_bands: tile.n_bands,
                    sample_type: tile.sample as i32,
                    reserved: 0,
                    data: tile.bytes.as_ptr().cast(),
                    size: tile.bytes.len(),
                    owner: std::ptr::null_mut(),
                };
                // SAFETY: the client's function with the client's data, and a tile that lives during the call.
                unsafe { arrived(self.0.user_data, TILEKEEP_OK, &raw const lent, std::ptr::null()) };
            }
            Err(error) => {
                let message = message_of(&error);
                // SAFETY: as above; the message lives during the call too.
                unsafe { arrived(self.0.user_data, status_of(error.kind()), std::ptr::null(), message.as_ptr()) };
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(destroy) = self.0.destroy {
            // SAFETY: the client's function with the client's data, once, when nothing else can use them.
            unsafe { destroy(self.0.user_data) };
        }
    }
}
