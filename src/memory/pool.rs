//! Where the pixels of blocks live: buffers that are recycled by size.

#![expect(unsafe_code, reason = "owns raw allocations")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::HashMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::sync::{Arc, Mutex};

/// Sizes are rounded up to a multiple of this, so that blocks of nearly the same size share one free list. Smaller
/// ones are rounded up to a power of two.
const GRANULE: usize = 4096;
/// The smallest size.
const SMALLEST: usize = 64;
/// Every buffer starts at a multiple of this, which suits every sample type. It is also the largest alignment for
/// which the system's allocator hands out zeroed pages without writing to them.
const ALIGN: usize = 16;
/// Free bytes kept for the next block; what exceeds them goes back to the system at once.
const SLACK: usize = 16 << 20;

/// A source of [`Buffer`]s that keeps a bounded number of freed ones for reuse.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    /// By allocated size, last freed on top: its pages are the most likely to be in the CPU's caches.
    lists: HashMap<usize, Vec<Raw>>,
    bytes: usize,
}

impl Pool {
    /// The pool that all datasets of the process share, so that memory freed by one serves the next.
    pub(crate) fn process() -> &'static Arc<Self> {
        static PROCESS: OnceLock<Arc<Pool>> = OnceLock::new();
        PROCESS.get_or_init(Arc::default)
    }

    /// A buffer of `len` bytes.
    ///
    /// Its contents are whatever the last owner left there, or zeros: write every byte before lending it.
    ///
    /// # Errors
    ///
    /// `limit exceeded` when the system has no such memory.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> Result<Buffer> {
        let size = Self::size_of(len).ok_or_else(|| Error::limit(format!("a block of {len} bytes")))?;
        let recycled = {
            let mut free = self.free.lock();
            let raw = free.lists.get_mut(&size).and_then(Vec::pop);
            if raw.is_some() {
                free.bytes -= size;
            }
            raw
        };
        let raw = match recycled {
            Some(raw) => raw,
            None => Raw::allocate(size).ok_or_else(|| Error::limit(format!("no memory for a block of {len} bytes")))?,
        };
        Ok(Buffer { raw: Some(raw), len, pool: Arc::clone(self) })
    }

    /// Bytes that a buffer of `len` bytes really takes.
    pub(crate) fn size_of(len: usize) -> Option<usize> {
        if len < GRANULE {
            return Some(len.next_power_of_two().max(SMALLEST));
        }
        len.checked_next_multiple_of(GRANULE).filter(|size| *size <= isize::MAX as usize)
    }

    /// Bytes kept for reuse.
    pub(crate) fn free_bytes(&self) -> usize {
        self.free.lock().bytes
    }

    /// Gives all that is free back to the system.
    pub(crate) fn trim(&self) {
        let free = std::mem::take(&mut *self.free.lock());
        drop(free);
    }

    fn give_back(&self, raw: Raw) {
        let mut free = self.free.lock();
        if free.bytes + raw.size <= SLACK {
            free.bytes += raw.size;
            free.lists.entry(raw.size).or_default().push(raw);
        } else {
            // Freed outside the lock.
            drop(free);
            drop(raw);
        }
    }
}

/// One allocation; `size` is one of those that `Pool::size_of` gives.
#[derive(Debug)]
struct Raw {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: a `Raw` is the only owner of its allocation, which any thread may use and free.
unsafe impl Send for Raw {}
// SAFETY: a shared `Raw` gives out shared slices only.
unsafe impl Sync for Raw {}

impl Raw {
    fn layout(size: usize) -> Option<Layout> {
        Layout::from_size_align(size, ALIGN).ok()
    }

    fn allocate(size: usize) -> Option<Self> {
        let layout = Self::layout(size)?;
        // SAFETY: `Pool::size_of` gives at least `SMALLEST`, so the layout's size is not 0.
        let start = unsafe { alloc_zeroed(layout) };
        NonNull::new(start).map(|start| Self { start, size })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.size) {
            // SAFETY: `allocate` got `start` from the same allocator with the same layout, and nobody else owns it.
            unsafe { dealloc(self.start.as_ptr(), layout) };
        }
    }
}

/// Bytes of block memory; goes back to its pool when dropped.
pub(crate) struct Buffer {
    /// `None` only while being dropped.
    raw: Option<Raw>,
    len: usize,
    pool: Arc<Pool>,
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.raw {
            // SAFETY: `len <= raw.size`, the allocation was zeroed when made, so every byte is initialised, and it
            // lives as long as `self` does.
            Some(raw) => unsafe { std::slice::from_raw_parts(raw.start.as_ptr(), self.len) },
            None => &[],
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.raw {
            // SAFETY: as in `deref`; `&mut self` makes this the only reference.
            Some(raw) => unsafe { std::slice::from_raw_parts_mut(raw.start.as_ptr(), self.len) },
            None => &mut [],
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(raw) = self.raw.take() {
            self.pool.give_back(raw);
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_buffer_serves_the_next_of_its_size() {
        let pool = Arc::new(Pool::default());
        let mut first = pool.take(5000).unwrap();
        assert!(first.iter().all(|b| *b == 0));
        first.fill(7);
        let start = first.as_ptr();
        drop(first);
        assert_eq!(pool.free_bytes(), 8192);
        let second = pool.take(8000).unwrap();
        assert_eq!((second.as_ptr(), second.len(), pool.free_bytes()), (start, 8000, 0));
        assert_eq!(start as usize % ALIGN, 0);
    }

    #[test]
    fn free_memory_is_bounded() {
        let pool = Arc::new(Pool::default());
        let buffers: Vec<_> = (0..40).map(|_| pool.take(1 << 20).unwrap()).collect();
        drop(buffers);
        assert_eq!(pool.free_bytes(), SLACK);
    }

    #[test]
    fn memory_that_nobody_has_is_a_limit_not_an_abort() {
        let pool = Arc::new(Pool::default());
        for len in [usize::MAX, isize::MAX as usize - 10_000] {
            assert_eq!(pool.take(len).unwrap_err().kind(), crate::ErrorKind::LimitExceeded);
        }
        assert_eq!(pool.take(0).unwrap().len(), 0);
    }
}
