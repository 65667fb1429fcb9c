//! Anonymous memory of the system: mapped, filled, emptied, unmapped.

use std::ptr::NonNull;
use std::sync::OnceLock;

use memmap2::{Advice, MmapOptions, MmapRaw, UncheckedAdvice};

use super::super::Start;
use crate::sync::Arc;

/// Bytes of a page of memory, at least 4096.
pub(crate) fn page() -> usize {
    static PAGE: OnceLock<usize> = OnceLock::new();
    *PAGE.get_or_init(|| {
        // SAFETY: it reads a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(page).map_or(4096, |page| page.max(4096))
    })
}

/// Mapped addresses, unmapped when dropped. They read as zeros until they are written to.
#[derive(Debug)]
pub(crate) struct Map {
    map: MmapRaw,
    start: Start,
}

impl Map {
    /// Addresses that get memory in part, page by page.
    pub(crate) fn sparse(len: usize) -> Option<Self> {
        let map = Self::new(MmapOptions::new().len(len).no_reserve_swap())?;
        // With huge pages a block would take the memory of its neighbours too, and what is given back in parts would
        // stay with the process in truth. They make a cache fill at a fifth of the faults; but where a hypervisor takes
        // back free memory, which it does in such pages, each of them then costs more than all the faults it saves. A
        // kernel without them does not know the advice, and needs none.
        let _ = map.map.advise(Advice::NoHugePage);
        Some(map)
    }

    /// Addresses that get memory as a whole. Unlike a sparse map this is refused when it is clear that there is not so
    /// much memory.
    pub(super) fn whole(len: usize) -> Option<Self> {
        Self::new(MmapOptions::new().len(len))
    }

    fn new(options: &MmapOptions) -> Option<Self> {
        let map = MmapRaw::from(options.map_anon().ok()?);
        let start = Start(NonNull::new(map.as_mut_ptr())?);
        Some(Self { map, start })
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn start(&self) -> Start {
        self.start
    }

    /// Gives the memory of a part back to the system, which reads as zeros afterwards; `false` when it does not: the process
    /// locked its memory.
    ///
    /// # Safety
    ///
    /// The part consists of whole pages of the map, and nobody has a reference to a byte of it that does not allow for its
    /// becoming 0.
    pub(crate) unsafe fn discard(&self, offset: usize, len: usize) -> bool {
        // SAFETY: no byte outside of the part changes; that nobody relies on these is the caller's promise.
        unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, offset, len) }.is_ok()
    }
}

/// A part of a map: whole pages.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) map: Arc<Map>,
    pub(super) offset: usize,
    pub(super) len: usize,
}

impl Place {
    pub(super) fn start(&self) -> Start {
        Start(self.map.start.0.map_addr(|start| start.saturating_add(self.offset)))
    }

    /// Gives the place its memory: one system call instead of a fault for every page.
    pub(super) fn populate(&self) {
        // A kernel that does not know the advice makes the faults when the memory is used.
        if self.len > page() {
            let _ = self.map.map.advise_range(Advice::PopulateWrite, self.offset, self.len);
        }
    }

    /// Gives the memory of the place back to the system. Unless the process locked its memory, the place reads as
    /// zeros afterwards.
    ///
    /// # Safety
    ///
    /// Nobody has a reference into the place.
    pub(super) unsafe fn discard(&self) {
        // What is locked was meant to stay.
        // SAFETY: the place lies in the map and consists of whole pages; the rest is the caller's promise.
        let _ = unsafe { self.map.discard(self.offset, self.len) };
    }
}
