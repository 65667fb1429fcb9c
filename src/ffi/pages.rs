//! The pages of a file.

use std::ffi::c_char;

use super::dataset::{past, tilekeep_dataset};
use super::pointers::{Growing, Out, borrow, end_of};
use super::status::{guard, tilekeep_status};

/// A page of a file: a picture that is opened as a raster of its own, with its number as page in tilekeep_open_options.
/// Texts belong to the dataset and are valid until it is closed.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_page {
    /// sizeof(tilekeep_page), set by the caller.
    pub struct_size: u32,
    /// What it is opened by: which of all pictures in the file it is, from 0. The numbers of those that only belong to
    /// another one, as its overviews and masks, are left out; so are those of pictures that cannot be read.
    pub number: u32,
    /// Pixels across.
    pub width: u64,
    /// Pixels down.
    pub height: u64,
    /// Bands.
    pub n_bands: u32,
    /// The type of a sample, one of TILEKEEP_SAMPLE_.
    pub sample_type: i32,
    /// Which frame of this dataset it is; -1 for one that is no part of it.
    pub frame: i32,
    /// 0.
    pub reserved: u32,
    /// The first line of what the page says of itself, up to 200 characters of it; often empty.
    pub description: *const c_char,
}

// SAFETY: `repr(C)`, numbers and raw pointers only, size first.
unsafe impl Growing for tilekeep_page {
    const NAME: &'static str = "tilekeep_page";
    const OLDEST: usize = end_of!(tilekeep_page, description);

    fn defaults() -> Self {
        Self {
            struct_size: 0,
            number: 0,
            width: 0,
            height: 0,
            n_bands: 0,
            sample_type: 0,
            frame: -1,
            reserved: 0,
            description: std::ptr::null(),
        }
    }
}

/// Says what the page at place index, from 0, of the list of pages is. No file is read. TILEKEEP_ERR_NOT_FOUND past the last
/// one.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_page_info(
    dataset: *const tilekeep_dataset,
    index: u32,
    page_out: *mut tilekeep_page,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, page_out) = unsafe { (borrow(dataset, "dataset")?, Out::new(page_out)?) };
        let pages = &handle.dataset.info().pages;
        let page = pages.get(index as usize).ok_or_else(|| past("page", index, pages.len()))?;
        page_out.write(&tilekeep_page {
            struct_size: 0,
            number: page.number,
            width: page.width,
            height: page.height,
            n_bands: page.n_bands,
            sample_type: page.sample as i32,
            // No more than 65,536 are looked at, unless somebody asks for more; -1 says too little then, and nothing wrong.
            frame: page.frame.and_then(|frame| i32::try_from(frame).ok()).unwrap_or(-1),
            reserved: 0,
            description: handle.words.pages[index as usize].as_ptr(),
        });
        Ok(())
    })
}
