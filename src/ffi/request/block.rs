//! Blocks that are asked for.

use std::ffi::{c_char, c_void};

use crate::block::BlockLayout;
use crate::dataset::{CacheUse, SharedBlock};
use crate::error::{Error, Result};
use crate::request::Delivery;
use crate::sync::Arc;

use super::super::blocks::{cache_use, tilekeep_block, tilekeep_block_options};
use super::super::client::{Callback, Listener, failure};
use super::super::dataset::tilekeep_dataset;
use super::super::pointers::{Growing, borrow, buffer, end_of, read_options};
use super::super::source::tilekeep_destroy_fn;
use super::super::status::{TILEKEEP_OK, guard, tilekeep_status};
use super::handle::{Asked, filled, hand_out, lent_block, somebody_hears, tilekeep_request};
use super::target::{Shape, Target};
use super::tilekeep_requests;

/// Hears how a request for a block ended: as tilekeep_tile_fn, with block in place of the tile. Its data is the buffer that
/// was given for it, or else the block itself, to be read during the call only; its token is 0. To keep a block for longer,
/// take it with tilekeep_request_wait_block.
///
/// @since 0.1
pub type tilekeep_block_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        status: tilekeep_status,
        block: *const tilekeep_block,
        message: *const c_char,
    ),
>;

/// Who hears of a block. The struct is copied.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_block_callback {
    /// sizeof(tilekeep_block_callback).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Given to the functions as their first argument.
    pub user_data: *mut c_void,
    /// Hears of the block. May be NULL.
    pub arrived: tilekeep_block_fn,
    /// Releases user_data. Called exactly once, after the last call of arrived, from any thread. May be NULL.
    pub destroy: tilekeep_destroy_fn,
}

// SAFETY: `repr(C)`, size first. A function pointer is wrapped in `Option`, for which NULL is a value; that any other
// bytes are a function is the caller's promise, as for every pointer.
unsafe impl Growing for tilekeep_block_callback {
    const NAME: &'static str = "tilekeep_block_callback";
    const OLDEST: usize = end_of!(tilekeep_block_callback, destroy);

    fn defaults() -> Self {
        Self { struct_size: 0, reserved: 0, user_data: std::ptr::null_mut(), arrived: None, destroy: None }
    }
}

impl Callback for tilekeep_block_callback {
    fn user_data(&self) -> *mut c_void {
        self.user_data
    }

    fn destroy(&self) -> tilekeep_destroy_fn {
        self.destroy
    }
}

/// Asks for a block, and returns at once; otherwise as tilekeep_request_tile. options may be NULL; its cache_use must be
/// TILEKEEP_USE_NORMAL.
///
/// With a buffer, the pixels are copied there as tilekeep_read_block does. It must live until arrived or, where that is
/// NULL, destroy is called. Without a callback it must live until tilekeep_request_poll says 1, a wait ends with the answer, or
/// tilekeep_request_cancel or tilekeep_request_free returns, and these are what writes to it. What is in it when a request
/// fails is not defined. buffer may be NULL and buffer_size 0: the block is then lent where it lies, without a copy.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_request_block(
    requests: *const tilekeep_requests,
    dataset: *const tilekeep_dataset,
    level: u32,
    col: u32,
    row: u32,
    options: *const tilekeep_block_options,
    buffer: *mut c_void,
    buffer_size: usize,
    priority: i32,
    callback: *const tilekeep_block_callback,
    request_out: *mut *mut tilekeep_request,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let listener = unsafe { Listener::new(callback) }?;
        // SAFETY: as above.
        let (handle, from) = unsafe { (borrow(requests, "requests")?, borrow(dataset, "dataset")?) };
        // SAFETY: as above.
        let options = unsafe { read_options(options) }?;
        if cache_use(options.cache_use)? != CacheUse::Normal {
            return Err(Error::invalid(format!("a request for a block with cache_use {}", options.cache_use)));
        }
        let at = options.at(level, col, row)?;
        let layout = without_gaps(&from.dataset.block_layout(at)?)?;
        let target = if buffer.is_null() && buffer_size == 0 {
            None
        } else {
            // SAFETY: as above, and the buffer lives until the answer.
            Some(unsafe { target(buffer, buffer_size, (layout.bytes, &at), Shape::of_block(&layout)) }?)
        };
        somebody_hears(listener.is_some(), request_out)?;
        let delivery = match listener {
            None => Delivery::handle(),
            Some(listener) => {
                let target = target.clone();
                Delivery::callback(move |answer| listener.tell(filled(answer, target.as_ref()), target.as_ref()))
            }
        };
        let asked = handle.requests.request_block(&from.dataset, at, priority, delivery);
        // SAFETY: the caller promises a place for a pointer, or NULL.
        unsafe { hand_out(Asked::Block(asked, target), request_out) };
        Ok(())
    })
}

/// How a block lies in memory where its rows follow each other.
pub(super) fn without_gaps(layout: &BlockLayout) -> Result<BlockLayout> {
    BlockLayout::new((layout.width, layout.height), layout.width, layout.height, layout.n_bands, layout.sample)
}

/// The client's buffer for `what`, which takes so many bytes.
///
/// # Safety
///
/// It has `size` bytes, if it is not NULL, and nobody else uses them until there is an answer; `shape` takes no more than
/// `needed`.
pub(super) unsafe fn target(
    pointer: *mut c_void,
    size: usize,
    (needed, what): (usize, &dyn std::fmt::Display),
    shape: Shape,
) -> Result<Arc<Target>> {
    // SAFETY: forwarded.
    unsafe { buffer(pointer, size, "buffer") }?;
    if size < needed {
        return Err(Error::invalid(format!("{what} takes {needed} bytes, the buffer given has {size}")));
    }
    // SAFETY: forwarded, and the size was checked.
    Ok(Arc::new(unsafe { Target::new(pointer.cast(), shape) }))
}

impl Listener<tilekeep_block_callback> {
    fn tell(&self, answer: Result<Arc<SharedBlock>>, target: Option<&Arc<Target>>) {
        let callback = self.callback();
        let Some(arrived) = callback.arrived else { return };
        // The block lives as long as the answer.
        let told = answer.as_ref().map_err(Error::clone).and_then(|block| lent_block(block, target));
        match told {
            Ok(block) => {
                // SAFETY: the client's function with the client's data, and a block that lives during the call.
                unsafe { arrived(callback.user_data, TILEKEEP_OK, &raw const block, std::ptr::null()) };
            }
            Err(error) => {
                let (status, message) = failure(&error);
                // SAFETY: as above; the message lives during the call too.
                unsafe { arrived(callback.user_data, status, std::ptr::null(), message.as_ptr()) };
            }
        }
    }
}
