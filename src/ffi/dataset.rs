//! Opening and closing.

use std::ffi::{CString, c_char};
use std::path::Path;

use crate::dataset::Dataset;
use crate::error::{Error, ErrorKind};
use crate::source::SourceInfo;

use super::options::tilekeep_open_options;
use super::pointers::{out, read_options, text};
use super::status::{guard, tilekeep_status};

/// An opened raster with a cache of its own for decoded blocks. Made by tilekeep_open, tilekeep_open_source and
/// tilekeep_open_associated, released by tilekeep_close. Every call on it may come from any thread at any time, except while or after it is
/// released.
///
/// @since 0.1
pub struct tilekeep_dataset {
    pub(super) dataset: Dataset,
    pub(super) words: Words,
}

/// The texts of a dataset, made into C's once.
pub(super) struct Words {
    pub(super) format: CString,
    pub(super) compression: CString,
    pub(super) srs_wkt: Option<CString>,
    pub(super) metadata: Vec<[CString; 3]>,
    pub(super) geo_keys: Vec<CString>,
    /// Description and unit of each band.
    pub(super) bands: Vec<[CString; 2]>,
    pub(super) categories: Vec<Vec<CString>>,
    /// Name and more words of each point.
    pub(super) gcps: Vec<[CString; 2]>,
    pub(super) associated: Vec<CString>,
    pub(super) blobs: Vec<CString>,
    /// The description of each page.
    pub(super) pages: Vec<CString>,
}

impl Words {
    fn new(info: &SourceInfo) -> Self {
        let c = |text: &str| CString::new(text.replace('\0', " ")).unwrap_or_default();
        Self {
            format: c(&info.format),
            compression: c(&info.compression),
            metadata: info.metadata.iter().map(|item| [c(&item.domain), c(&item.key), c(&item.value)]).collect(),
            geo_keys: info.geo_keys.iter().map(|key| c(&key.value.to_string())).collect(),
            srs_wkt: info.srs_wkt.as_deref().map(c),
            bands: info.bands.iter().map(|band| [c(&band.description), c(&band.unit)]).collect(),
            categories: info.bands.iter().map(|band| band.categories.iter().map(|name| c(name)).collect()).collect(),
            gcps: info.gcps.iter().map(|point| [c(&point.id), c(&point.info)]).collect(),
            associated: info.associated.iter().map(|image| c(&image.name)).collect(),
            blobs: info.blobs.iter().map(|name| c(name)).collect(),
            pages: info.pages.iter().map(|page| c(&page.description)).collect(),
        }
    }
}

/// Hands a dataset to the client.
pub(super) fn give(dataset: Dataset, dataset_out: &mut *mut tilekeep_dataset) {
    let words = Words::new(dataset.info());
    *dataset_out = Box::into_raw(Box::new(tilekeep_dataset { dataset, words }));
}

/// Opens the raster file at path, with what the files beside it say. options may be NULL. Every handle that this gives is
/// to be closed, also when several are of one dataset (see own in tilekeep_open_options).
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_open(
    path: *const c_char,
    options: *const tilekeep_open_options,
    dataset_out: *mut *mut tilekeep_dataset,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers hold for all three.
        let (path, options) = unsafe { (text(path, "path")?, read_options(options)?) };
        // SAFETY: as above.
        let dataset_out = unsafe { out(dataset_out, "dataset_out") }?;
        let dataset = Dataset::open_with(Path::new(path), &options.to_options()?)?;
        give(dataset, dataset_out);
        Ok(())
    })
}

/// Releases a dataset. Blocks that are locked stay so, with their memory, until they are unlocked. NULL does nothing.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_close(dataset: *mut tilekeep_dataset) {
    if dataset.is_null() {
        return;
    }
    guard(|| {
        // SAFETY: not NULL, made by `give`, and the caller gives it up now.
        drop(unsafe { Box::from_raw(dataset) });
        Ok(())
    });
}

pub(super) fn past(what: &str, index: u32, n: usize) -> Error {
    Error::new(ErrorKind::NotFound, format!("{what} {index} of {n}"))
}
