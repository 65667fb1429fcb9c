//! Windows that are asked for.

use std::ffi::{c_char, c_void};

use crate::block::Interleave;
use crate::dataset::{Dataset, Layout, WindowRequest};
use crate::error::Result;
use crate::request::Delivery;

use super::super::client::{Callback, Listener, failure};
use super::super::dataset::tilekeep_dataset;
use super::super::pointers::{Growing, borrow, end_of, read_struct};
use super::super::source::tilekeep_destroy_fn;
use super::super::status::{TILEKEEP_OK, guard, tilekeep_status};
use super::super::window::tilekeep_window;
use super::block::target;
use super::handle::{Asked, filled, hand_out, somebody_hears, tilekeep_request};
use super::target::Shape;
use super::tilekeep_requests;

/// Hears how a request for a window ended: as tilekeep_tile_fn, with the pixels in the buffer that was given for them.
///
/// @since 0.1
pub type tilekeep_window_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, status: tilekeep_status, message: *const c_char)>;

/// Who hears of a window. The struct is copied.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_window_callback {
    /// sizeof(tilekeep_window_callback).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Given to the functions as their first argument.
    pub user_data: *mut c_void,
    /// Hears of the window. May be NULL.
    pub arrived: tilekeep_window_fn,
    /// Releases user_data. Called exactly once, after the last call of arrived, from any thread. May be NULL.
    pub destroy: tilekeep_destroy_fn,
}

// SAFETY: `repr(C)`, size first. A function pointer is wrapped in `Option`, for which NULL is a value; that any other
// bytes are a function is the caller's promise, as for every pointer.
unsafe impl Growing for tilekeep_window_callback {
    const NAME: &'static str = "tilekeep_window_callback";
    const OLDEST: usize = end_of!(tilekeep_window_callback, destroy);

    fn defaults() -> Self {
        Self { struct_size: 0, reserved: 0, user_data: std::ptr::null_mut(), arrived: None, destroy: None }
    }
}

impl Callback for tilekeep_window_callback {
    fn user_data(&self) -> *mut c_void {
        self.user_data
    }

    fn destroy(&self) -> tilekeep_destroy_fn {
        self.destroy
    }
}

/// Asks for a window, which is read as by tilekeep_read_window, and returns at once; otherwise as tilekeep_request_tile. What
/// lies between the samples in buffer stays as it is; windows that differ in their strides only are read once.
///
/// buffer must live until arrived or, where that is NULL, destroy is called. Without a callback it must live until
/// tilekeep_request_poll says 1, a wait ends with the answer, or tilekeep_request_cancel or tilekeep_request_free returns, and
/// these are what writes to it. What is in it when a request fails is not defined. Until the request is released, the
/// library keeps the pixels too.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_request_window(
    requests: *const tilekeep_requests,
    dataset: *const tilekeep_dataset,
    window: *const tilekeep_window,
    buffer: *mut c_void,
    buffer_size: usize,
    priority: i32,
    callback: *const tilekeep_window_callback,
    request_out: *mut *mut tilekeep_request,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let listener = unsafe { Listener::new(callback) }?;
        // SAFETY: as above.
        let (handle, from) = unsafe { (borrow(requests, "requests")?, borrow(dataset, "dataset")?) };
        // SAFETY: as above.
        let request = unsafe { read_struct(window)?.to_request() }?;
        let needed = from.dataset.window_bytes(&request)?;
        let shape = shape(&from.dataset, &request);
        // SAFETY: as above, and the buffer lives until the answer; the strides take what the window does.
        let target = unsafe { target(buffer, buffer_size, (needed, &"the window"), shape) }?;
        somebody_hears(listener.is_some(), request_out)?;
        let delivery = match listener {
            None => Delivery::handle(),
            Some(listener) => {
                let target = target.clone();
                Delivery::callback(move |answer| listener.tell(filled(answer, Some(&target)).map(drop)))
            }
        };
        let request = request.layout(Layout::Tight(Interleave::Pixel));
        let asked = handle.requests.request_window(&from.dataset, request, priority, delivery);
        // SAFETY: the caller promises a place for a pointer, or NULL.
        unsafe { hand_out(Asked::Window(asked, target), request_out) };
        Ok(())
    })
}

/// Where the samples of a window go, which was found to be right.
fn shape(dataset: &Dataset, request: &WindowRequest) -> Shape {
    let info = dataset.info();
    let sample = request.sample.unwrap_or(info.sample).bytes();
    let n_bands = request.bands.as_ref().map_or(info.n_bands as usize, Vec::len);
    let (width, height) = (request.size.0 as usize, request.size.1 as usize);
    let (pixel, row, band) = match request.layout {
        Layout::Strided { pixel, row, band } => (pixel, row, band),
        Layout::Tight(_) => (n_bands * sample, n_bands * sample * width, sample),
    };
    Shape { width, height, n_bands, sample, pixel, row, band }
}

impl Listener<tilekeep_window_callback> {
    fn tell(&self, answer: Result<()>) {
        let callback = self.callback();
        let Some(arrived) = callback.arrived else { return };
        match answer {
            // SAFETY: the client's function with the client's data.
            Ok(()) => unsafe { arrived(callback.user_data, TILEKEEP_OK, std::ptr::null()) },
            Err(error) => {
                let (status, message) = failure(&error);
                // SAFETY: as above, and a message that lives during the call.
                unsafe { arrived(callback.user_data, status, message.as_ptr()) };
            }
        }
    }
}
