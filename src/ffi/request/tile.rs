//! Tiles that are asked for.

use std::ffi::c_void;

use crate::error::Result;
use crate::render::Tile;
use crate::request::{Arrival, Delivery};

use super::super::client::{Callback, Listener, failure};
use super::super::dataset::tilekeep_dataset;
use super::super::pointers::{Growing, borrow, end_of, read_options};
use super::super::source::tilekeep_destroy_fn;
use super::super::status::{TILEKEEP_OK, guard, tilekeep_status};
use super::super::tile::{tilekeep_tile, tilekeep_tile_options};
use super::available::tilekeep_available;
use super::handle::{Asked, hand_out, somebody_hears, tilekeep_request};
use super::tilekeep_requests;

/// Hears how a request ended: called exactly once, never under a lock of the library. status is TILEKEEP_OK and tile the
/// tile, which is valid during the call only (to keep its bytes for longer, take the tile with tilekeep_request_wait);
/// or status is a failure (TILEKEEP_ERR_CANCELLED when the request was taken back), tile is NULL and message says why,
/// which is valid during the call and otherwise NULL.
///
/// It runs in a thread of the tilekeep_requests, several of them at once for several requests; or, for a request that is
/// taken back, in the thread that does so. It may call anything, but must not wait for requests that have no answer yet:
/// that is TILEKEEP_ERR_INVALID_ARGUMENT. It may use and release this request too, where the client sees to it that no other
/// thread releases it meanwhile.
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

/// Hears of something to show until the tile is there: cached tiles of other levels, a thumbnail in the file, or its
/// coarsest level. Called at most once, before arrived and never at the same time; not when nothing is at hand sooner.
/// preview is valid during the call only, and is not to be freed.
///
/// It runs as tilekeep_tile_fn does.
///
/// @since 0.1
pub type tilekeep_preview_fn = Option<unsafe extern "C" fn(user_data: *mut c_void, preview: *const tilekeep_available)>;

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
    /// Releases user_data. Called exactly once, after the last call of the others, from any thread. May be NULL.
    pub destroy: tilekeep_destroy_fn,
    /// Hears of a preview. NULL: none is looked for.
    pub preview: tilekeep_preview_fn,
}

// SAFETY: `repr(C)`, size first. A function pointer is wrapped in `Option`, for which NULL is a value; that any other
// bytes are a function is the caller's promise, as for every pointer.
unsafe impl Growing for tilekeep_tile_callback {
    const NAME: &'static str = "tilekeep_tile_callback";
    const OLDEST: usize = end_of!(tilekeep_tile_callback, destroy);

    fn defaults() -> Self {
        Self {
            struct_size: 0,
            reserved: 0,
            user_data: std::ptr::null_mut(),
            arrived: None,
            destroy: None,
            preview: None,
        }
    }
}

impl Callback for tilekeep_tile_callback {
    fn user_data(&self) -> *mut c_void {
        self.user_data
    }

    fn destroy(&self) -> tilekeep_destroy_fn {
        self.destroy
    }
}

/// Asks for a tile, as tilekeep_read_tile gives it, and returns at once. Greater priorities go first, of equal ones the
/// oldest. Equal requests are made once, at the highest priority of all.
///
/// With a preview in callback, something coarser comes first where it is at hand sooner; all of that is one request.
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
        // SAFETY: the header's rules for pointers.
        let listener = unsafe { Listener::new(callback) }?;
        // SAFETY: as above.
        let (handle, from) = unsafe { (borrow(requests, "requests")?, borrow(dataset, "dataset")?) };
        // SAFETY: as above.
        let request = unsafe { read_options(options)?.to_request(level, col, row) }?;
        somebody_hears(listener.is_some(), request_out)?;
        let delivery = match listener {
            None => Delivery::handle(),
            Some(listener) if listener.callback().preview.is_none() => {
                Delivery::callback(move |answer| listener.tell(&answer))
            }
            Some(listener) => {
                let mut listener = Some(listener);
                Delivery::progressive(move |arrival| match arrival {
                    Arrival::Preview(preview) => {
                        if let Some(listener) = &listener {
                            listener.preview(&preview.into());
                        }
                    }
                    Arrival::Final(answer) => {
                        if let Some(listener) = listener.take() {
                            listener.tell(&answer);
                        }
                    }
                })
            }
        };
        let asked = handle.requests.request_tile(&from.dataset, request, priority, delivery);
        // SAFETY: the caller promises a place for a pointer, or NULL.
        unsafe { hand_out(Asked::Tile(asked), request_out) };
        Ok(())
    })
}

impl Listener<tilekeep_tile_callback> {
    fn preview(&self, preview: &tilekeep_available) {
        let callback = self.callback();
        if let Some(function) = callback.preview {
            // SAFETY: the client's function with the client's data, and what lives during the call.
            unsafe { function(callback.user_data, preview) };
        }
    }

    fn tell(&self, answer: &Result<Tile>) {
        let callback = self.callback();
        let Some(arrived) = callback.arrived else { return };
        match answer {
            Ok(tile) => {
                let lent = lent_tile(tile);
                // SAFETY: the client's function with the client's data, and a tile that lives during the call.
                unsafe { arrived(callback.user_data, TILEKEEP_OK, &raw const lent, std::ptr::null()) };
            }
            Err(error) => {
                let (status, message) = failure(error);
                // SAFETY: as above; the message lives during the call too.
                unsafe { arrived(callback.user_data, status, std::ptr::null(), message.as_ptr()) };
            }
        }
    }
}

/// A tile that stays the library's.
pub(super) fn lent_tile(tile: &Tile) -> tilekeep_tile {
    tilekeep_tile {
        struct_size: size_of::<tilekeep_tile>() as u32,
        width: tile.width,
        height: tile.height,
        n_bands: tile.n_bands,
        sample_type: tile.sample as i32,
        reserved: 0,
        data: tile.bytes.as_ptr().cast(),
        size: tile.bytes.len(),
        owner: std::ptr::null_mut(),
    }
}
