//! Buffers from the allocator of the process.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use super::Start;

/// Suits every sample type, and is the largest alignment for which the allocator need not write the zeros itself.
const ALIGN: usize = 16;
/// The alignment of buffers of a page or more.
const LARGE_ALIGN: usize = 64;

/// `size` zeros; not 0.
pub(super) fn allocate(size: usize) -> Option<Start> {
    debug_assert_ne!(size, 0);
    let layout = layout(size)?;
    // SAFETY: the size is not 0.
    let start = unsafe { alloc_zeroed(layout) };
    NonNull::new(start).map(Start)
}

/// Frees what [`allocate`] gave.
///
/// # Safety
///
/// `start` was allocated with this `size` and is used no more.
pub(super) unsafe fn free(start: Start, size: usize) {
    if let Some(layout) = layout(size) {
        // SAFETY: the caller's promise; the same size gives the same layout.
        unsafe { dealloc(start.0.as_ptr(), layout) };
    }
}

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size, if size < 4096 { ALIGN } else { LARGE_ALIGN }).ok()
}
