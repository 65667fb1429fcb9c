//! What a frame of a viewer shows: a set of tiles that replaces the one before.

use std::ffi::{c_char, c_void};

use crate::error::{Error, Result};
use crate::grid::Window;
use crate::render::{Tile, TileRequest};
use crate::request::{Shown, Viewport};
use crate::sync::Mutex;

use super::super::client::{Callback, Listener, failure};
use super::super::dataset::tilekeep_dataset;
use super::super::pointers::{Growing, Out, array, borrow, end_of, out, read_options, read_struct};
use super::super::source::tilekeep_destroy_fn;
use super::super::status::{TILEKEEP_OK, guard, tilekeep_status};
use super::super::tile::{put_tile, tilekeep_tile, tilekeep_tile_options};
use super::super::tiles::tilekeep_tile_place;
use super::available::{give, nothing, tilekeep_available};
use super::tile::lent_tile;
use super::tilekeep_requests;

/// What a viewer wants to show of one dataset, frame by frame. Tiles of the frame stay in memory for as long as they are in
/// it, and so do those of the coarsest level, whatever the cache of rendered tiles forgets. Give it to
/// tilekeep_viewport_free. Everything may be called from any thread, its own callback included.
///
/// @since 0.1
pub struct tilekeep_viewport {
    /// Held while a frame is handed in, around the locks of those who work: none of them takes it, and nothing of the client's
    /// runs meanwhile.
    viewport: Mutex<Option<Viewport>>,
    shown: Shown,
    /// How the tiles of the last frame look.
    like: Mutex<TileRequest>,
}

/// Hears of a tile of a viewport as it arrives, or of what went wrong with it; not of those that were dropped meanwhile.
/// tile and message are as in tilekeep_tile_fn. It runs in threads of the tilekeep_requests, in several of them at once for
/// several tiles, never under a lock of the library; or with TILEKEEP_ERR_CANCELLED in the thread that frees these. It may
/// call anything but what waits for requests, with the viewport too: tilekeep_viewport_free waits for it. Only where another
/// callback frees the viewport must the client see to it that this one does not use it meanwhile.
///
/// @since 0.1
pub type tilekeep_viewport_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        level: u32,
        col: u32,
        row: u32,
        status: tilekeep_status,
        tile: *const tilekeep_tile,
        message: *const c_char,
    ),
>;

/// Who hears of the tiles of a viewport. The struct is copied.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_viewport_callback {
    /// sizeof(tilekeep_viewport_callback).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Given to the functions as their first argument.
    pub user_data: *mut c_void,
    /// Hears of every tile. May be NULL.
    pub arrived: tilekeep_viewport_fn,
    /// Releases user_data. Called exactly once, when the viewport was freed and after the last call of arrived, from any
    /// thread. May be NULL.
    pub destroy: tilekeep_destroy_fn,
}

// SAFETY: `repr(C)`, size first. A function pointer is wrapped in `Option`, for which NULL is a value; that any other
// bytes are a function is the caller's promise, as for every pointer.
unsafe impl Growing for tilekeep_viewport_callback {
    const NAME: &'static str = "tilekeep_viewport_callback";
    const OLDEST: usize = end_of!(tilekeep_viewport_callback, destroy);

    fn defaults() -> Self {
        Self { struct_size: 0, reserved: 0, user_data: std::ptr::null_mut(), arrived: None, destroy: None }
    }
}

impl Callback for tilekeep_viewport_callback {
    fn user_data(&self) -> *mut c_void {
        self.user_data
    }

    fn destroy(&self) -> tilekeep_destroy_fn {
        self.destroy
    }
}

/// What a frame shows. Set struct_size, and either the tiles or the levels and the window; and the centre.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_frame {
    /// sizeof(tilekeep_frame).
    pub struct_size: u32,
    /// Tiles in tiles.
    pub n_tiles: u32,
    /// The tiles wanted, of one level or of several. May be NULL when n_tiles is 0.
    pub tiles: *const tilekeep_tile_place,
    /// How all of them shall look. NULL: as tilekeep_read_tile does with NULL.
    pub options: *const tilekeep_tile_options,
    /// Where the viewer looks, in pixels of level 0: what is near is loaded first.
    pub centre_x: f64,
    /// The same, from the top.
    pub centre_y: f64,
    /// With n_tiles 0 and a width: all tiles of this level
    pub finest_level: u32,
    /// to this one are wanted that lie under a window of level 0, which may reach beyond it.
    pub coarsest_level: u32,
    /// Pixels of level 0 from the left.
    pub x: u64,
    /// Pixels from the top.
    pub y: u64,
    /// Pixels across. 0, with n_tiles 0: nothing is wanted any more.
    pub width: u64,
    /// Pixels down.
    pub height: u64,
}

// SAFETY: `repr(C)`, numbers and raw pointers only, size first.
unsafe impl Growing for tilekeep_frame {
    const NAME: &'static str = "tilekeep_frame";
    const OLDEST: usize = end_of!(tilekeep_frame, height);

    fn defaults() -> Self {
        Self {
            struct_size: 0,
            n_tiles: 0,
            tiles: std::ptr::null(),
            options: std::ptr::null(),
            centre_x: 0.0,
            centre_y: 0.0,
            finest_level: 0,
            coarsest_level: 0,
            x: 0,
            y: 0,
            width: 0,
            height: 0,
        }
    }
}

/// Makes a viewport on a dataset, which wants nothing yet. Its tiles are requests of this priority. callback may be NULL:
/// tilekeep_viewport_tile tells what is there. destroy of it is called exactly once, also when this returns a failure; not,
/// though, when its struct_size is wrong. The dataset may be closed meanwhile, and the viewport may outlive requests, from
/// when on nothing arrives.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_viewport_new(
    requests: *const tilekeep_requests,
    dataset: *const tilekeep_dataset,
    priority: i32,
    callback: *const tilekeep_viewport_callback,
    viewport_out: *mut *mut tilekeep_viewport,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let listener = unsafe { Listener::new(callback) }?;
        // SAFETY: as above.
        let (handle, from) = unsafe { (borrow(requests, "requests")?, borrow(dataset, "dataset")?) };
        // SAFETY: as above.
        let viewport_out = unsafe { out(viewport_out, "viewport_out") }?;
        let viewport = handle.requests.viewport(&from.dataset, priority, move |request, answer| {
            if let Some(listener) = &listener {
                listener.tell(request, &answer);
            }
        });
        let like = Mutex::new(TileRequest::new(0, 0, 0));
        let shown = viewport.shown();
        let made = tilekeep_viewport { viewport: Mutex::new(Some(viewport)), shown, like };
        *viewport_out = Box::into_raw(Box::new(made));
        Ok(())
    })
}

/// Hands in the next frame, which replaces the one before: what is no longer wanted is dropped from the queue, what still is
/// keeps its place by its new distance. Coarse levels are loaded before fine ones, and within a level what is near the centre
/// first; then, as the frames so far suggest, what comes next in a pan or a zoom. A jump gives that up. The tiles of the
/// coarsest level are wanted too, if they are few and it is stored or cheap to make.
///
/// n_missing_out may be NULL; it is told how many tiles of the frame are not at hand yet. The callback hears of each of them,
/// and of the coarsest level's. One that failed is asked for again when a frame did without it.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_viewport_want(
    viewport: *const tilekeep_viewport,
    frame: *const tilekeep_frame,
    n_missing_out: *mut usize,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, frame) = unsafe { (borrow(viewport, "viewport")?, read_struct(frame)?) };
        // SAFETY: as above.
        let (like, places) = unsafe {
            (read_options(frame.options)?.to_request(0, 0, 0)?, array(frame.tiles, frame.n_tiles as usize, "tiles")?)
        };
        if frame.finest_level > frame.coarsest_level {
            let (finest, coarsest) = (frame.finest_level, frame.coarsest_level);
            return Err(Error::invalid(format!("finest_level {finest} and coarsest_level {coarsest}")));
        }
        let wanted = if places.is_empty() && frame.width > 0 {
            let window = Window::new(frame.x, frame.y, frame.width, frame.height);
            handle.shown.tiles_under(&like, frame.finest_level..=frame.coarsest_level, &window)?
        } else {
            let at = |place: &tilekeep_tile_place| {
                let tilekeep_tile_place { level, col, row } = *place;
                TileRequest { level, col, row, ..like.clone() }
            };
            places.iter().map(at).collect()
        };
        *handle.like.lock() = like;
        let n_missing = handle.with(|viewport| viewport.want(&wanted, (frame.centre_x, frame.centre_y)))?;
        if !n_missing_out.is_null() {
            // SAFETY: not NULL, and the caller promises a place for a number.
            unsafe { n_missing_out.write(n_missing) };
        }
        Ok(())
    })
}

/// Gives a tile of the frame if it is there, and TILEKEEP_ERR_NOT_FOUND otherwise. Its bytes belong to the caller until it
/// gives them to tilekeep_free_tile.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_viewport_tile(
    viewport: *const tilekeep_viewport,
    level: u32,
    col: u32,
    row: u32,
    tile_out: *mut tilekeep_tile,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, tile_out) = unsafe { (borrow(viewport, "viewport")?, Out::new(tile_out)?) };
        let request = handle.at(level, col, row);
        put_tile(handle.shown.tile(&request).ok_or_else(|| nothing(&request))?, tile_out);
        Ok(())
    })
}

/// As tilekeep_best_available for a tile that looks as those of the last frame, out of this viewport too.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_viewport_best_available(
    viewport: *const tilekeep_viewport,
    level: u32,
    col: u32,
    row: u32,
    available_out: *mut *mut tilekeep_available,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let handle = unsafe { borrow(viewport, "viewport") }?;
        // SAFETY: as above.
        let available_out = unsafe { out(available_out, "available_out") }?;
        let request = handle.at(level, col, row);
        give(handle.shown.best_available(&request), &request, available_out)
    })
}

/// Changes how many bytes of tiles that nobody has asked for yet are kept for the viewport. All viewports of one
/// tilekeep_requests together keep a quarter of what may be kept of rendered tiles at most, of which the oldest go first; until
/// this is called one may have all of that. 0: nothing is loaded ahead.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_viewport_set_prefetch_max(
    viewport: *const tilekeep_viewport,
    bytes: u64,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        unsafe { borrow(viewport, "viewport") }?.with(|viewport| viewport.set_prefetch_max(bytes))
    })
}

/// Releases a viewport: what it waits for is dropped, and when this returns no call of its callback begins any more, and none
/// runs. Within a callback, its own or another one, nothing waits for callbacks: calls that run in other threads then go on,
/// and must not use the viewport any more. destroy may still be about to be called. NULL does nothing.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_viewport_free(viewport: *mut tilekeep_viewport) {
    guard(|| {
        if !viewport.is_null() {
            // Callbacks may use the handle until they are over, which is waited for here.
            // SAFETY: the header's rules for pointers.
            let gone = unsafe { borrow(viewport, "viewport") }?.viewport.lock().take();
            drop(gone);
            // SAFETY: `tilekeep_viewport_new` made the box, and the caller gives it up.
            drop(unsafe { Box::from_raw(viewport) });
        }
        Ok(())
    });
}

impl tilekeep_viewport {
    fn with<T>(&self, call: impl FnOnce(&mut Viewport) -> T) -> Result<T> {
        let gone = || Error::invalid("the viewport was released");
        self.viewport.lock().as_mut().map(call).ok_or_else(gone)
    }

    fn at(&self, level: u32, col: u32, row: u32) -> TileRequest {
        TileRequest { level, col, row, ..self.like.lock().clone() }
    }
}

impl Listener<tilekeep_viewport_callback> {
    fn tell(&self, request: &TileRequest, answer: &Result<Tile>) {
        let callback = self.callback();
        let Some(arrived) = callback.arrived else { return };
        let TileRequest { level, col, row, .. } = *request;
        match answer {
            Ok(tile) => {
                let lent = lent_tile(tile);
                // SAFETY: the client's function with the client's data, and a tile that lives during the call.
                unsafe { arrived(callback.user_data, level, col, row, TILEKEEP_OK, &raw const lent, std::ptr::null()) };
            }
            Err(error) => {
                let ((status, message), none) = (failure(error), std::ptr::null());
                // SAFETY: as above; the message lives during the call too.
                unsafe { arrived(callback.user_data, level, col, row, status, none, message.as_ptr()) };
            }
        }
    }
}
