//! Windows.

use std::ffi::c_void;

use crate::dataset::{Layout, WindowRequest};
use crate::error::{Error, Result};
use crate::grid::Window;
use crate::resample::Resampling;
use crate::sample::SampleType;

use super::blocks::cache_use;
use super::codes::{TILEKEEP_RESAMPLING_AVERAGE, TILEKEEP_RESAMPLING_NEAREST, TILEKEEP_SAMPLE_NATIVE};
use super::dataset::tilekeep_dataset;
use super::pointers::{Growing, array, borrow, buffer, end_of, out, read_struct};
use super::status::{guard, tilekeep_status};

/// Which pixels to read, and how they shall come. Set struct_size, level and the window; all else may be 0.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_window {
    /// sizeof(tilekeep_window).
    pub struct_size: u32,
    /// The level whose pixels the window counts.
    pub level: u32,
    /// Pixels from the left edge of the level.
    pub x: u64,
    /// Pixels from the top edge of the level.
    pub y: u64,
    /// Pixels across; the window must lie in the level.
    pub width: u64,
    /// Pixels down.
    pub height: u64,
    /// Pixels across the result; 0: as the window.
    pub out_width: u32,
    /// Pixels down the result; 0: as the window.
    pub out_height: u32,
    /// One of TILEKEEP_RESAMPLING_.
    pub resampling: i32,
    /// 1: take the pixels of level even where a coarser one would do. Otherwise 0.
    pub exact_level: u32,
    /// The sample type of the result, one of TILEKEEP_SAMPLE_.
    pub sample_type: i32,
    /// Bands in bands; 0: all bands of the dataset.
    pub n_bands: u32,
    /// The bands wanted, numbered from 0, in the order wanted. May be NULL when n_bands is 0.
    pub bands: *const u32,
    /// Bytes from a sample of the result to the next pixel's. All three strides 0: pixel-interleaved without gaps.
    pub pixel_stride: usize,
    /// Bytes from a sample of the result to that of the pixel below.
    pub row_stride: usize,
    /// Bytes from a sample of the result to the next band's.
    pub band_stride: usize,
    /// One of TILEKEEP_USE_.
    pub cache_use: i32,
    /// The frame: 0, or which of several pictures.
    pub frame: u32,
}

// SAFETY: `repr(C)`, integers and a raw pointer only, size first.
unsafe impl Growing for tilekeep_window {
    const NAME: &'static str = "tilekeep_window";
    const OLDEST: usize = end_of!(tilekeep_window, frame);

    fn defaults() -> Self {
        Self {
            struct_size: 0,
            level: 0,
            x: 0,
            y: 0,
            width: 0,
            height: 0,
            out_width: 0,
            out_height: 0,
            resampling: 0,
            exact_level: 0,
            sample_type: 0,
            n_bands: 0,
            bands: std::ptr::null(),
            pixel_stride: 0,
            row_stride: 0,
            band_stride: 0,
            cache_use: 0,
            frame: 0,
        }
    }
}

impl tilekeep_window {
    pub(super) unsafe fn to_request(self) -> Result<WindowRequest> {
        let mut request = WindowRequest::new(self.level, Window::new(self.x, self.y, self.width, self.height));
        if (self.out_width == 0) != (self.out_height == 0) {
            return Err(Error::invalid(format!(
                "out_width {} and out_height {}; both or none may be 0",
                self.out_width, self.out_height
            )));
        }
        if self.out_width > 0 {
            request.size = (self.out_width, self.out_height);
        }
        request.resampling = match self.resampling {
            TILEKEEP_RESAMPLING_NEAREST => Resampling::Nearest,
            TILEKEEP_RESAMPLING_AVERAGE => Resampling::Average,
            other => return Err(Error::invalid(format!("resampling {other}"))),
        };
        request.exact_level = flag("exact_level", self.exact_level)?;
        if self.sample_type != TILEKEEP_SAMPLE_NATIVE {
            let sample = SampleType::from_number(self.sample_type);
            request.sample = Some(sample.ok_or_else(|| Error::invalid(format!("sample_type {}", self.sample_type)))?);
        }
        // SAFETY: the header's rules for pointers.
        request.bands = unsafe { bands(self.bands, self.n_bands) }?;
        request.cache_use = cache_use(self.cache_use)?;
        request.frame = self.frame;
        let (pixel, row, band) = (self.pixel_stride, self.row_stride, self.band_stride);
        if (pixel, row, band) != (0, 0, 0) {
            request.layout = Layout::Strided { pixel, row, band };
        }
        Ok(request)
    }
}

/// Reads a window into buffer. What is needed beside the blocks is a few MiB at most, whatever the sizes.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_read_window(
    dataset: *const tilekeep_dataset,
    window: *const tilekeep_window,
    buffer: *mut c_void,
    buffer_size: usize,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, window) = unsafe { (borrow(dataset, "dataset")?, read_struct(window)?) };
        // SAFETY: as above.
        let (request, target) = unsafe { (window.to_request()?, self::buffer(buffer, buffer_size, "buffer")?) };
        handle.dataset.read_window(&request, target)
    })
}

/// Says how many bytes tilekeep_read_window needs for a window.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_window_size(
    dataset: *const tilekeep_dataset,
    window: *const tilekeep_window,
    size_out: *mut usize,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, window) = unsafe { (borrow(dataset, "dataset")?, read_struct(window)?) };
        // SAFETY: as above.
        let (request, size_out) = unsafe { (window.to_request()?, out(size_out, "size_out")?) };
        *size_out = handle.dataset.window_bytes(&request)?;
        Ok(())
    })
}

/// A number that is 0 or 1.
pub(super) fn flag(name: &str, value: u32) -> Result<bool> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Error::invalid(format!("{name} {other}; 0 or 1"))),
    }
}

/// Numbers of bands; `None` when there are none.
pub(super) unsafe fn bands(pointer: *const u32, n: u32) -> Result<Option<Vec<u32>>> {
    // SAFETY: forwarded.
    let bands = unsafe { array(pointer, n as usize, "bands") }?;
    Ok((n > 0).then(|| bands.to_vec()))
}
