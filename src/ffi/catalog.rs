//! What is known of files: sharing, looking again, forgetting, open files.

use std::ffi::c_char;
use std::path::Path;

use crate::catalog::CatalogStats;
use crate::dataset;
use crate::error::Result;
use crate::source;

use super::dataset::tilekeep_dataset;
use super::pointers::{Growing, Out, borrow, end_of, text};
use super::status::{guard, tilekeep_status};

/// What is known of files, open and closed.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct tilekeep_catalog_stats {
    /// sizeof(tilekeep_catalog_stats), set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Files that are known: open ones, and those that were closed and are still known.
    pub n_entries: u64,
    /// Of these, those that were closed.
    pub n_closed: u64,
    /// Bytes of what is known of closed files.
    pub bytes: u64,
    /// The most that these may be.
    pub max_bytes: u64,
    /// Openings for which nothing was parsed.
    pub hits: u64,
    /// Openings for which the file was parsed.
    pub misses: u64,
    /// Closed files that were forgotten to make room.
    pub evictions: u64,
    /// Files of which the process has a descriptor open for reading by position.
    pub n_open_files: u64,
}

// SAFETY: `repr(C)`, integers only, size first.
unsafe impl Growing for tilekeep_catalog_stats {
    const NAME: &'static str = "tilekeep_catalog_stats";
    const OLDEST: usize = end_of!(tilekeep_catalog_stats, n_open_files);

    fn defaults() -> Self {
        Self::default()
    }
}

impl From<CatalogStats> for tilekeep_catalog_stats {
    fn from(stats: CatalogStats) -> Self {
        Self {
            struct_size: 0,
            reserved: 0,
            n_entries: stats.entries,
            n_closed: stats.closed,
            bytes: stats.bytes,
            max_bytes: stats.max_bytes,
            hits: stats.hits,
            misses: stats.misses,
            evictions: stats.evictions,
            n_open_files: stats.open_files,
        }
    }
}

/// Looks whether the file of a dataset, and those beside it that were read, are still those that were opened.
/// TILEKEEP_ERR_CHANGED when one of them is not: opening the path again gives what is there now. The same when it cannot be
/// told, because the file was written to less than 50 ms before it was opened (2.1 s where its time is in whole seconds).
/// A client's own source is not asked.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_revalidate(dataset: *const tilekeep_dataset) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let handle = unsafe { borrow(dataset, "dataset") }?;
        handle.dataset.revalidate()
    })
}

/// Forgets what is known of the file at path: whoever opens it next gets what is there then, files beside it included.
/// Datasets that are open stay as they are.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_forget(path: *const c_char) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let path = unsafe { text(path, "path") }?;
        dataset::forget(Path::new(path));
        Ok(())
    })
}

/// Changes how many bytes of what was parsed of closed files are kept. Those closed the longest ago go first; 0 keeps
/// nothing. Until this is called it is a 64th of the memory that the process may use, from 1 to 64 MiB. A file of which this much is known is opened again at the cost of one look at it.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn tilekeep_set_catalog_max(bytes: u64) -> tilekeep_status {
    guard(|| {
        dataset::set_catalog_max(bytes);
        Ok(())
    })
}

/// Says what is known of files.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_get_catalog_stats(stats_out: *mut tilekeep_catalog_stats) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let stats_out = unsafe { Out::new(stats_out) }?;
        stats_out.write(&dataset::catalog_stats().into());
        Ok(())
    })
}

/// Changes how many files, of all datasets that read by position, stay open between reads: 64 until this is called. The
/// least recently read ones are closed and opened again when they are read; TILEKEEP_ERR_CHANGED when another file is there
/// then.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn tilekeep_set_max_open_files(n: u32) -> tilekeep_status {
    guard(|| -> Result<()> {
        source::set_max_open_files(n as usize);
        Ok(())
    })
}
