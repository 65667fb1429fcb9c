//! Buffers of a page or more where the system offers no way to take the memory of a range and leave its addresses:
//! each is allocated and freed for itself, and nothing is kept.

use super::{Counts, Sizes, Start, plain};
use crate::memory::Charge;
use crate::sync::{AtomicUsize, Ordering};

/// What sizes are rounded to.
pub(in crate::memory) const fn page() -> usize {
    4096
}

/// There are no maps.
#[derive(Debug)]
pub(in crate::memory) enum Map {}

impl Map {
    pub(crate) fn sparse(_len: usize) -> Option<Self> {
        None
    }

    pub(crate) fn with_pointers(self) -> Self {
        self
    }

    pub(crate) fn start(&self) -> Start {
        match *self {}
    }

    /// # Safety
    ///
    /// Nobody can call it.
    pub(crate) unsafe fn discard(&self, _offset: usize, _len: usize) -> bool {
        match *self {}
    }
}

/// The buffers that are lent.
#[derive(Debug)]
pub(super) struct Pages {
    lent: AtomicUsize,
}

impl Pages {
    pub(super) fn new(_free: Charge, _sizes: Sizes) -> Self {
        Self { lent: AtomicUsize::new(0) }
    }

    pub(super) fn take(&self, size: usize) -> Option<Start> {
        let start = plain::allocate(size)?;
        self.lent.fetch_add(size, Ordering::Relaxed);
        Some(start)
    }

    /// # Safety
    ///
    /// `start` was taken with this `size` and is used no more.
    pub(super) unsafe fn give_back(&self, start: Start, size: usize) {
        // SAFETY: the caller's promise; `take` allocated it.
        unsafe { plain::free(start, size) };
        self.lent.fetch_sub(size, Ordering::Relaxed);
    }

    pub(super) fn set_slack(&self, _bytes: usize) {}

    pub(super) fn trim(&self) {}

    pub(super) fn counts(&self) -> Counts {
        let lent = self.lent.load(Ordering::Relaxed);
        Counts { free: 0, lent, reserved: lent }
    }
}
