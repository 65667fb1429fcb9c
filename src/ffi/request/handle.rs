//! One request: taken back, hurried, waited for.

use std::time::Duration;

use crate::dataset::SharedBlock;
use crate::error::{Error, ErrorKind, Result};
use crate::render::{Tile, TileBytes};
use crate::request::{Answer, Request};
use crate::sync::{Arc, Mutex};

use super::super::blocks::tilekeep_block;
use super::super::pointers::{Out, borrow, out};
use super::super::status::{guard, tilekeep_status};
use super::super::tile::{put_tile, tilekeep_tile};
use super::super::tokens::Tokens;
use super::block::without_gaps;
use super::target::Target;

/// Wait for as long as it takes.
pub const TILEKEEP_WAIT_FOREVER: u64 = u64::MAX;

/// A tile, a block or a window that was asked for. Give it to tilekeep_request_free.
///
/// @since 0.1
pub struct tilekeep_request {
    asked: Mutex<Option<Arc<Asked>>>,
}

/// What was asked for, and the client's buffer that it goes to, if there is one.
pub(super) enum Asked {
    Tile(Request<Tile>),
    Block(Request<Arc<SharedBlock>>, Option<Arc<Target>>),
    Window(Request<TileBytes>, Arc<Target>),
}

/// An answer that may go to a buffer.
pub(super) trait Fills: Answer {
    fn fill(&self, target: &Target) -> Result<()>;
}

impl Fills for Arc<SharedBlock> {
    fn fill(&self, target: &Target) -> Result<()> {
        target.fill(self.bytes(), self.layout().row_stride)
    }
}

impl Fills for TileBytes {
    fn fill(&self, target: &Target) -> Result<()> {
        target.fill_dense(self)
    }
}

/// The answer, after it was copied to where it shall go.
pub(super) fn filled<T: Fills>(answer: Result<T>, target: Option<&Arc<Target>>) -> Result<T> {
    let answer = answer?;
    target.map_or(Ok(()), |target| answer.fill(target))?;
    Ok(answer)
}

impl Asked {
    fn cancel(&self) {
        match self {
            Self::Tile(request) => drop(request.cancel()),
            Self::Block(request, target) => cancel(request, target.as_ref()),
            Self::Window(request, target) => cancel(request, Some(target)),
        }
    }

    fn set_priority(&self, priority: i32) {
        match self {
            Self::Tile(request) => request.set_priority(priority),
            Self::Block(request, _) => request.set_priority(priority),
            Self::Window(request, _) => request.set_priority(priority),
        }
    }

    fn poll(&self) -> bool {
        match self {
            Self::Tile(request) => request.poll().is_some(),
            Self::Block(request, target) => request.poll().map(|answer| filled(answer, target.as_ref())).is_some(),
            Self::Window(request, target) => request.poll().map(|answer| filled(answer, Some(target))).is_some(),
        }
    }

    fn detach(self) {
        match self {
            Self::Tile(request) => request.detach(),
            Self::Block(request, _) => request.detach(),
            Self::Window(request, _) => request.detach(),
        }
    }
}

/// Takes a request back, and gives the client its buffer back: with the answer, if that was there.
fn cancel<T: Fills>(request: &Request<T>, target: Option<&Arc<Target>>) {
    if !request.cancel()
        && let Some(answer) = request.peek()
    {
        // What went wrong with it is for those who wait.
        drop(filled(answer, target));
    }
    target.into_iter().for_each(|target| target.give_back());
}

fn wait<T: Answer>(request: &Request<T>, timeout_ms: u64) -> Result<T> {
    let answer = match timeout_ms {
        TILEKEEP_WAIT_FOREVER => Some(request.wait()),
        _ => request.wait_for(Duration::from_millis(timeout_ms)),
    };
    answer.unwrap_or_else(|| Err(Error::new(ErrorKind::NotFound, format!("no answer within {timeout_ms} ms"))))
}

/// Fails when nobody would hear of an answer.
pub(super) fn somebody_hears(has_callback: bool, request_out: *mut *mut tilekeep_request) -> Result<()> {
    if request_out.is_null() && !has_callback {
        return Err(Error::invalid("callback and request_out are NULL: nobody would hear of the answer"));
    }
    Ok(())
}

/// Gives a request to the caller, or lets it go on without him where `request_out` is NULL.
pub(super) unsafe fn hand_out(asked: Asked, request_out: *mut *mut tilekeep_request) {
    if request_out.is_null() {
        return asked.detach();
    }
    let boxed = Box::new(tilekeep_request { asked: Mutex::new(Some(Arc::new(asked))) });
    // SAFETY: not NULL, and the caller promises a place for a pointer.
    unsafe { request_out.write(Box::into_raw(boxed)) };
}

/// Takes a request back: its callback hears TILEKEEP_ERR_CANCELLED in this thread, before this returns. One that has its
/// answer keeps it. Others who asked for the same are served; when nobody is left, the work is dropped, or stops soon.
///
/// While another thread calls its preview this waits until that is over; preview must therefore not wait for a thread that
/// calls this. Within a callback, and within read_block of a source in a thread of the tilekeep_requests, nothing waits for
/// callbacks: arrived then hears TILEKEEP_ERR_CANCELLED in the thread that calls preview, as soon as that is over.
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

/// Changes the priority of a request that still waits for a thread, and of its preview.
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
        *is_answered_out = i32::from(asked.poll());
        Ok(())
    })
}

/// Waits for the answer to a request for at most timeout_ms milliseconds, or TILEKEEP_WAIT_FOREVER. Returns what the
/// request ended with, TILEKEEP_ERR_CANCELLED when it was taken back, or TILEKEEP_ERR_NOT_FOUND when there is no answer by
/// then. tile_out may be NULL, and must be for what is no tile; otherwise its bytes belong to the caller until it gives them
/// to tilekeep_free_tile. It may be called again. A callback may still be about to hear of it.
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
        match (&*asked, tile_out) {
            (Asked::Tile(request), None) => wait(request, timeout_ms).map(drop),
            (Asked::Tile(request), Some(tile_out)) => {
                put_tile(wait(request, timeout_ms)?, tile_out);
                Ok(())
            }
            (_, Some(_)) => Err(Error::invalid("tile_out: no tile was asked for")),
            (Asked::Block(request, target), None) => filled(wait(request, timeout_ms), target.as_ref()).map(drop),
            (Asked::Window(request, target), None) => filled(wait(request, timeout_ms), Some(target)).map(drop),
        }
    })
}

/// As tilekeep_request_wait for a block that was asked for. block_out tells how it lies in memory. With a buffer, data is
/// that buffer and token is 0. Without one the block is lent as by tilekeep_lock_block until it is given to
/// tilekeep_unlock_block, once for every call of this; it is never refused for want of budget, but only in the cache where
/// that has room.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_request_wait_block(
    request: *const tilekeep_request,
    timeout_ms: u64,
    block_out: *mut tilekeep_block,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (asked, block_out) = unsafe { (asked(request)?, Out::new(block_out)?) };
        let Asked::Block(request, target) = &*asked else {
            return Err(Error::invalid("block_out: no block was asked for"));
        };
        let block = filled(wait(request, timeout_ms), target.as_ref())?;
        let mut told = lent_block(&block, target.as_ref())?;
        if target.is_none() {
            told.token = Tokens::process().put_asked(block);
        }
        block_out.write(&told);
        Ok(())
    })
}

/// A block as it lies in the client's buffer, or in ours.
pub(super) fn lent_block(block: &SharedBlock, target: Option<&Arc<Target>>) -> Result<tilekeep_block> {
    let mut told = match target {
        None => tilekeep_block::of(block.layout()),
        Some(_) => tilekeep_block::of(&without_gaps(block.layout())?),
    };
    told.struct_size = size_of::<tilekeep_block>() as u32;
    told.data = target.map_or(block.bytes().as_ptr(), |target| target.address().cast_const()).cast();
    Ok(told)
}

/// Releases a request. One that has no answer yet is taken back as by tilekeep_request_cancel. A callback that was about to
/// hear of the answer in another thread still does, and is not waited for: one that uses the request itself may only do so
/// where the client sees to it that it is not released meanwhile. NULL does nothing.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_request_free(request: *mut tilekeep_request) {
    guard(|| {
        if !request.is_null() {
            // SAFETY: `hand_out` made the box, and the caller gives it up.
            let request = unsafe { Box::from_raw(request) };
            let asked = request.asked.lock().take();
            // Another thread may be in a call with it, and has a share of it until that is over.
            if let Some(asked) = &asked {
                asked.cancel();
            }
        }
        Ok(())
    });
}

/// A share of a request, which stays while it is used though the callback that the call runs releases the request.
unsafe fn asked(request: *const tilekeep_request) -> Result<Arc<Asked>> {
    // SAFETY: forwarded.
    let handle = unsafe { borrow(request, "request") }?;
    let asked = handle.asked.lock().clone();
    asked.ok_or_else(|| Error::invalid("request was released"))
}
