//! Anonymous memory of the system: mapped, filled, emptied, unmapped.

use std::ffi::CStr;
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
    /// Gone before the addresses are.
    root: Option<Root>,
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
        Some(Self { root: None, map, start })
    }

    /// The map, in which there will be pointers to memory of the allocator.
    pub(crate) fn with_pointers(mut self) -> Self {
        self.root = Root::new(self.start, self.len());
        self
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

/// Memory that a leak sanitizer in this process looks for pointers in. It does not know of maps, and would take what is
/// pointed to from there only for leaked.
#[derive(Debug)]
struct Root {
    start: Start,
    len: usize,
    forget: Region,
}

/// A function of the sanitizer that is told of a range.
type Region = unsafe extern "C" fn(*const libc::c_void, usize);

impl Root {
    /// `None` where there is no sanitizer.
    fn new(start: Start, len: usize) -> Option<Self> {
        static FOUND: OnceLock<Option<(Region, Region)>> = OnceLock::new();
        let found = || Some((region(c"__lsan_register_root_region")?, region(c"__lsan_unregister_root_region")?));
        let (note, forget) = (*FOUND.get_or_init(found))?;
        // SAFETY: the range is mapped, and is so until it is forgotten.
        unsafe { note(start.0.as_ptr().cast(), len) };
        Some(Self { start, len, forget })
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // SAFETY: exactly this range was noted.
        unsafe { (self.forget)(self.start.0.as_ptr().cast(), self.len) };
    }
}

/// The function of this name, which is a sanitizer's.
fn region(name: &'static CStr) -> Option<Region> {
    // SAFETY: it looks a name up.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: the sanitizer's interface says that both functions are of this type; that of a null pointer is `None`.
    unsafe { std::mem::transmute::<*mut libc::c_void, Option<Region>>(found) }
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
