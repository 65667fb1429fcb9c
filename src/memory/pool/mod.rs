//! Where the pixels of blocks live: buffers of whole pages, whose memory is recycled by size or given back.
//!
//! A general allocator keeps what was freed for objects like it. A cache that reads blocks of one size after blocks of
//! another then holds several times its budget. Here memory is apart from address space: a free buffer either keeps
//! its pages for the next one of its size, up to a slack that is one number for all sizes, or its pages go back to the
//! system at once and only its addresses stay, which join those of its neighbours to serve any size.
//!
//! | module | what it is |
//! | --- | --- |
//! | `pages` | buffers of a page or more: recycled, and the order in which their memory goes back |
//! | `pages::warm` | free buffers that keep their memory |
//! | `pages::space` | reserved addresses without memory |
//! | `pages::map` | the system calls |
//! | `plain` | buffers of less than a page |
//! | `unpaged` | in place of `pages` where a range cannot lose its memory and keep its addresses |

#![expect(unsafe_code, reason = "lends raw memory as slices")]

// Linux alone promises that the memory of a range is gone when the call returns. Miri knows no such call.
#[cfg(all(target_os = "linux", not(miri)))]
mod pages;
#[cfg(not(all(target_os = "linux", not(miri))))]
#[path = "unpaged.rs"]
mod pages;
mod plain;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::memory::{Class, Ledger};
use crate::sync::{Arc, AtomicUsize, Ordering};

use pages::Pages;
pub(super) use pages::{Map, page};

/// The size of the smallest buffer.
const SMALLEST: usize = 64;

/// A source of [`Buffer`]s that keeps a bounded amount of freed memory for reuse.
#[derive(Debug)]
pub(crate) struct Pool {
    pages: Pages,
    /// Lent, in buffers of less than a page.
    small_bytes: AtomicUsize,
}

/// How a pool deals with memory; multiples of a page.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(all(target_os = "linux", not(miri))), expect(dead_code, reason = "nothing is kept there"))]
struct Sizes {
    /// Free bytes that keep their memory.
    slack: usize,
    /// Addresses are reserved in regions of this many bytes.
    region: usize,
    /// The largest buffer that lies in a region beside others. A larger one is mapped for itself.
    largest_shared: usize,
}

/// The part of what may be lent that free memory may come to, but for the least that saves readers page faults.
const SLACK_PART: u64 = 16;
const LEAST_SLACK: usize = 1 << 20;

impl Sizes {
    /// The slack, which is less where [less may be lent](Pool::follow_total), is what readers and the eviction between them turn over. Regions are large, so that there are few to
    /// search, and small beside any budget. A buffer of its own costs two system calls, little beside its page faults.
    const PROCESS: Self = Self { slack: 16 << 20, region: 32 << 20, largest_shared: 4 << 20 };
}

/// Bytes of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    free: usize,
    lent: usize,
    reserved: usize,
}

impl Pool {
    /// The pool that all datasets of the process share, so that memory freed by one serves the next.
    pub(crate) fn process() -> &'static Arc<Self> {
        static PROCESS: OnceLock<Arc<Pool>> = OnceLock::new();
        PROCESS.get_or_init(|| Arc::new(Self::new(Ledger::process(), Sizes::PROCESS)))
    }

    /// A pool whose free memory is on `ledger`.
    fn new(ledger: &Arc<Ledger>, sizes: Sizes) -> Self {
        Self { pages: Pages::new(ledger.charge(Class::Pool, 0), sizes), small_bytes: AtomicUsize::new(0) }
    }

    /// A buffer of `len` bytes.
    ///
    /// Its contents are whatever the last owner left there, or zeros: write every byte before lending it. It starts at
    /// a page, or at a multiple of 16 when it is smaller than one.
    ///
    /// When a buffer of its size was freed lately this is a look into a list under a mutex. Otherwise the system maps
    /// memory, without the mutex.
    ///
    /// # Errors
    ///
    /// `limit exceeded` when the system has no such memory.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> Result<Buffer> {
        let size = Self::size_of(len).ok_or_else(|| Error::limit(format!("a block of {len} bytes")))?;
        let start = if size < page() { self.take_small(size) } else { self.pages.take(size) };
        let start = start.ok_or_else(|| Error::limit(format!("no memory for a block of {len} bytes")))?;
        Ok(Buffer { start, len, pool: Arc::clone(self) })
    }

    /// Bytes that a buffer of `len` bytes really takes: whole pages, or a power of two below a page.
    pub(crate) fn size_of(len: usize) -> Option<usize> {
        let page = page();
        if len <= page / 2 {
            return Some(len.next_power_of_two().max(SMALLEST));
        }
        len.checked_next_multiple_of(page).filter(|size| *size <= isize::MAX as usize)
    }

    /// Small buffers are freed to the allocator at once: nothing is kept for them, and a cache of such blocks spends
    /// most of its budget on its own entries, which come from there too.
    fn take_small(&self, size: usize) -> Option<Start> {
        let start = plain::allocate(size)?;
        self.small_bytes.fetch_add(size, Ordering::Relaxed);
        Some(start)
    }

    fn give_back(&self, start: Start, len: usize) {
        match Self::size_of(len) {
            Some(size) if size < page() => {
                // SAFETY: the buffer that is dropped was made by `take_small` with this size, and nobody else has it.
                unsafe { plain::free(start, size) };
                self.small_bytes.fetch_sub(size, Ordering::Relaxed);
            }
            // SAFETY: as above, by `Pages::take`.
            Some(size) => unsafe { self.pages.give_back(start, size) },
            None => debug_assert!(false, "a buffer of {len} bytes was lent"),
        }
    }
}

impl Pool {
    /// Keeps free memory in proportion to the bytes that may be lent, and gives back what is more.
    pub(crate) fn follow_total(&self, bytes: u64) {
        let part = usize::try_from(bytes / SLACK_PART).unwrap_or(usize::MAX);
        self.pages.set_slack(part.max(LEAST_SLACK));
    }

    /// Gives all free memory and all unused addresses back to the system.
    pub(crate) fn trim(&self) {
        self.pages.trim();
    }

    /// Bytes of memory kept for reuse.
    pub(crate) fn free_bytes(&self) -> usize {
        self.pages.counts().free
    }

    /// Bytes of all buffers that are lent, rounded as [`size_of`](Self::size_of) does.
    #[cfg(test)]
    pub(crate) fn lent_bytes(&self) -> usize {
        self.pages.counts().lent + self.small_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of addresses taken from the system, with or without memory behind them.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.pages.counts().reserved + self.small_bytes.load(Ordering::Relaxed)
    }
}

/// The first byte of memory that belongs to whoever has this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Start(pub(super) NonNull<u8>);

// SAFETY: an address; what may be done with the memory is said by who has it, whichever thread that is.
unsafe impl Send for Start {}
// SAFETY: as above.
unsafe impl Sync for Start {}

/// Bytes of block memory; goes back to its pool when dropped.
///
/// What a reader needs comes first: a cache keeps it on the line of the CPU's cache that it has just looked at.
#[repr(C)]
pub(crate) struct Buffer {
    start: Start,
    len: usize,
    pool: Arc<Pool>,
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` is the first of at least `len` bytes, which the pool gave to this buffer alone and takes back
        // when it is dropped. They came as zeros from the system or the allocator, so they are initialised.
        unsafe { slice::from_raw_parts(self.start.0.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes this the only reference.
        unsafe { slice::from_raw_parts_mut(self.start.0.as_ptr(), self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.give_back(self.start, self.len);
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish_non_exhaustive()
    }
}
