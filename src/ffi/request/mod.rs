//! What is asked for and taken back.
//!
//! | file | what it is |
//! | --- | --- |
//! | `mod` | the threads that serve requests |
//! | `handle` | one request: taken back, hurried, waited for |
//! | `tile`, `block`, `window` | what can be asked for |
//! | `available` | what can be shown of a tile at once |
//! | `viewport` | the set of tiles of a frame |
//! | `target` | a client's buffer that an answer is copied to |

pub mod available;
pub mod block;
pub mod handle;
mod target;
pub mod tile;
pub mod viewport;
pub mod window;

use crate::error::Result;
use crate::request::{RequestStats, Requests};

use super::pointers::{Growing, Out, borrow, end_of, out};
use super::status::{guard, tilekeep_status};

/// Threads that serve requests. Everything may be called from any thread, its own callbacks included.
///
/// @since 0.1
pub struct tilekeep_requests {
    requests: Requests,
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
    /// Jobs that run, or whose answers are being given.
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
    /// Tiles that were loaded before anybody asked for them.
    pub prefetched: u64,
    /// Of these, tiles that were then asked for.
    pub prefetch_used: u64,
    /// Of these, tiles that were given up without having been asked for.
    pub prefetch_wasted: u64,
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
            prefetched: stats.prefetched,
            prefetch_used: stats.prefetch_used,
            prefetch_wasted: stats.prefetch_wasted,
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
        let requests = Requests::new(n_threads as usize)?;
        *requests_out = Box::into_raw(Box::new(tilekeep_requests { requests }));
        Ok(())
    })
}

/// Takes back all requests that have no answer yet, and returns when the threads are gone: no callback runs any more. In a
/// callback, its own or of other requests, it returns at once: the threads go as soon as what they are at is over, and
/// callbacks that run in others go on meanwhile.
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

/// Gives a file descriptor for event loops, which is readable (as poll, epoll and kqueue say it) for as long as there are
/// answers that nobody has looked at: to requests without a callback, made after the first call of this. Looking is
/// tilekeep_request_poll that says 1, a wait that ends with the answer, and tilekeep_request_free.
///
/// It is to be waited on only, never read, written or closed, and not to be used after tilekeep_requests_free. Without a
/// call of this there is none. TILEKEEP_ERR_UNSUPPORTED where the system is no Unix.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_requests_fd(requests: *const tilekeep_requests, fd_out: *mut i32) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, fd_out) = unsafe { (borrow(requests, "requests")?, out(fd_out, "fd_out")?) };
        *fd_out = fd(&handle.requests)?;
        Ok(())
    })
}

#[cfg(unix)]
fn fd(requests: &Requests) -> Result<i32> {
    use std::os::fd::AsRawFd;
    Ok(requests.fd()?.as_raw_fd())
}

#[cfg(not(unix))]
fn fd(_requests: &Requests) -> Result<i32> {
    Err(crate::error::Error::unsupported("a file descriptor for requests on this system"))
}

/// Changes how many threads at most load what nobody has asked for yet, for the viewports of requests: half of them until
/// this is called, and one at least. 0: nothing is loaded ahead.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_requests_set_prefetch_threads(
    requests: *const tilekeep_requests,
    n_threads: u32,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        unsafe { borrow(requests, "requests") }?.requests.set_prefetch_threads(n_threads as usize);
        Ok(())
    })
}
