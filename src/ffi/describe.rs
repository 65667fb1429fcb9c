//! What a dataset says beside its pixels: bands, masks, control points, further pictures, blocks of bytes.

use std::ffi::{c_char, c_void};

use crate::error::Error;

use super::dataset::{give, past, tilekeep_dataset};
use super::pointers::{Growing, Out, borrow, buffer, end_of, out, read_struct, text};
use super::status::{guard, tilekeep_status};
use super::window::tilekeep_window;

/// A mask is stored, for this band alone.
pub const TILEKEEP_MASK_STORED_FOR_BAND: i32 = 0;
/// Nobody says that any pixels are not valid.
pub const TILEKEEP_MASK_ALL_VALID: i32 = 1;
/// A mask is stored, in the file or in a ".msk" file beside it, for all bands.
pub const TILEKEEP_MASK_STORED: i32 = 2;
/// The last band is the opacity of the others.
pub const TILEKEEP_MASK_ALPHA: i32 = 6;
/// Pixels that are not nodata are valid.
pub const TILEKEEP_MASK_NODATA: i32 = 8;
/// Pixels that are not nodata in all bands at once are valid.
pub const TILEKEEP_MASK_NODATA_VALUES: i32 = 10;

/// What is known of a band. Texts belong to the dataset and are valid until it is closed.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_band {
    /// sizeof(tilekeep_band), set by the caller.
    pub struct_size: u32,
    /// What the band shows, one of TILEKEEP_COLOR_.
    pub color: i32,
    /// How it is known which pixels are valid, one of TILEKEEP_MASK_. The numbers are GDAL's mask flags.
    pub mask: i32,
    /// Names that tilekeep_category has.
    pub n_categories: u32,
    /// Whether nodata is one: 1 or 0.
    pub has_nodata: u8,
    /// Whether min, max, mean and std_dev are known: 1 or 0.
    pub has_statistics: u8,
    /// 0.
    pub reserved: [u8; 6],
    /// The sample that means "nothing here" in this band; it may be NaN. 64-bit integers may lose their last digits.
    pub nodata: f64,
    /// What is measured is offset + scale * sample; 1 when nothing is said.
    pub scale: f64,
    /// See scale; 0 when nothing is said.
    pub offset: f64,
    /// The least sample, as somebody wrote it down.
    pub min: f64,
    /// The greatest sample.
    pub max: f64,
    /// The mean of the samples.
    pub mean: f64,
    /// The standard deviation of the samples.
    pub std_dev: f64,
    /// A name or a sentence; often empty.
    pub description: *const c_char,
    /// The unit of what is measured; often empty.
    pub unit: *const c_char,
}

// SAFETY: `repr(C)`, numbers and raw pointers only, size first.
unsafe impl Growing for tilekeep_band {
    const NAME: &'static str = "tilekeep_band";
    const OLDEST: usize = end_of!(tilekeep_band, unit);

    fn defaults() -> Self {
        Self {
            struct_size: 0,
            color: 0,
            mask: 0,
            n_categories: 0,
            has_nodata: 0,
            has_statistics: 0,
            reserved: [0; 6],
            nodata: 0.0,
            scale: 1.0,
            offset: 0.0,
            min: 0.0,
            max: 0.0,
            mean: 0.0,
            std_dev: 0.0,
            description: std::ptr::null(),
            unit: std::ptr::null(),
        }
    }
}

/// A point whose place in the picture and on the ground is known. Texts belong to the dataset and are valid until it is
/// closed.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_gcp {
    /// sizeof(tilekeep_gcp), set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Pixels from the left edge of level 0.
    pub col: f64,
    /// Pixels from the top edge of level 0.
    pub row: f64,
    /// Ground coordinate.
    pub x: f64,
    /// Ground coordinate.
    pub y: f64,
    /// Height.
    pub z: f64,
    /// A name; the file's number of it, from 1, when it says nothing else.
    pub id: *const c_char,
    /// More words; often empty.
    pub info: *const c_char,
}

// SAFETY: `repr(C)`, numbers and raw pointers only, size first.
unsafe impl Growing for tilekeep_gcp {
    const NAME: &'static str = "tilekeep_gcp";
    const OLDEST: usize = end_of!(tilekeep_gcp, info);

    fn defaults() -> Self {
        let nothing = std::ptr::null();
        Self { struct_size: 0, reserved: 0, col: 0.0, row: 0.0, x: 0.0, y: 0.0, z: 0.0, id: nothing, info: nothing }
    }
}

/// Says what is known of a band. Bands are numbered from 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_band_info(
    dataset: *const tilekeep_dataset,
    band: u32,
    band_out: *mut tilekeep_band,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, band_out) = unsafe { (borrow(dataset, "dataset")?, Out::new(band_out)?) };
        let info = handle.dataset.info();
        let mask = handle.dataset.mask_kind(band)? as i32;
        let (known, nodata, statistics) = (info.band(band), info.band_nodata(band), info.statistics(band));
        let words = handle.words.bands.get(band as usize);
        let word = |i: usize| words.map_or(c"".as_ptr(), |words| words[i].as_ptr());
        let number = |of: fn(&crate::source::Statistics) -> f64| statistics.as_ref().map_or(0.0, of);
        band_out.write(&tilekeep_band {
            struct_size: 0,
            color: info.colors.get(band as usize).map_or(0, |color| *color as i32),
            mask,
            n_categories: known.categories.len() as u32,
            has_nodata: u8::from(nodata.is_some()),
            has_statistics: u8::from(statistics.is_some()),
            reserved: [0; 6],
            nodata: nodata.map_or(0.0, |nodata| nodata.as_f64()),
            scale: known.scale.unwrap_or(1.0),
            offset: known.offset.unwrap_or(0.0),
            min: number(|s| s.min),
            max: number(|s| s.max),
            mean: number(|s| s.mean),
            std_dev: number(|s| s.std_dev),
            description: word(0),
            unit: word(1),
        });
        Ok(())
    })
}

/// Gives the name of sample number index, from 0, of a band of classes. It is valid until the dataset is closed.
/// TILEKEEP_ERR_NOT_FOUND past the last name.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_category(
    dataset: *const tilekeep_dataset,
    band: u32,
    index: u32,
    name_out: *mut *const c_char,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, name_out) = unsafe { (borrow(dataset, "dataset")?, out(name_out, "name_out")?) };
        handle.dataset.mask_kind(band)?;
        let names = handle.words.categories.get(band as usize).map(Vec::as_slice).unwrap_or_default();
        *name_out = names.get(index as usize).ok_or_else(|| past("category", index, names.len()))?.as_ptr();
        Ok(())
    })
}

/// Reads which pixels of a band are valid, for the window that tilekeep_read_window would read: one byte a pixel, 0 where
/// there is nothing, 255 where the pixel is valid. With an alpha band, and where the pixels of a stored mask are averaged,
/// what is between says how much. The window must say neither bands nor a sample type. Without strides buffer takes as
/// many bytes as the result has pixels.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_read_mask_window(
    dataset: *const tilekeep_dataset,
    band: u32,
    window: *const tilekeep_window,
    buffer: *mut c_void,
    buffer_size: usize,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, window) = unsafe { (borrow(dataset, "dataset")?, read_struct(window)?) };
        // SAFETY: as above.
        let request = unsafe { window.to_request() }?;
        // SAFETY: as above.
        let pixels = unsafe { self::buffer(buffer, buffer_size, "buffer") }?;
        handle.dataset.read_mask_window(band, &request, pixels)
    })
}

/// Gives control point number index, from 0. TILEKEEP_ERR_NOT_FOUND past the last one.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_gcp_info(
    dataset: *const tilekeep_dataset,
    index: u32,
    gcp_out: *mut tilekeep_gcp,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, gcp_out) = unsafe { (borrow(dataset, "dataset")?, Out::new(gcp_out)?) };
        let points = &handle.dataset.info().gcps;
        let point = points.get(index as usize).ok_or_else(|| past("control point", index, points.len()))?;
        let [id, info] = &handle.words.gcps[index as usize];
        gcp_out.write(&tilekeep_gcp {
            struct_size: 0,
            reserved: 0,
            col: point.col,
            row: point.row,
            x: point.x,
            y: point.y,
            z: point.z,
            id: id.as_ptr(),
            info: info.as_ptr(),
        });
        Ok(())
    })
}

/// Gives the name and the size in pixels of further picture number index, from 0: "thumbnail", "label", "macro", ... Any
/// of the three outputs may be NULL. The name is valid until the dataset is closed. TILEKEEP_ERR_NOT_FOUND past the last
/// one.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_associated_info(
    dataset: *const tilekeep_dataset,
    index: u32,
    name_out: *mut *const c_char,
    width_out: *mut u64,
    height_out: *mut u64,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let handle = unsafe { borrow(dataset, "dataset") }?;
        let images = &handle.dataset.info().associated;
        let image = images.get(index as usize).ok_or_else(|| past("picture", index, images.len()))?;
        // SAFETY: NULL or places of the caller's.
        let (name_out, width_out, height_out) = unsafe { (name_out.as_mut(), width_out.as_mut(), height_out.as_mut()) };
        if let Some(name_out) = name_out {
            *name_out = handle.words.associated[index as usize].as_ptr();
        }
        if let Some(width_out) = width_out {
            *width_out = image.width;
        }
        if let Some(height_out) = height_out {
            *height_out = image.height;
        }
        Ok(())
    })
}

/// Opens the further picture of this name as a dataset of its own, which tilekeep_close releases. It may outlive the
/// dataset that it comes from. TILEKEEP_ERR_NOT_FOUND when there is none of this name.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_open_associated(
    dataset: *const tilekeep_dataset,
    name: *const c_char,
    dataset_out: *mut *mut tilekeep_dataset,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, name) = unsafe { (borrow(dataset, "dataset")?, text(name, "name")?) };
        // SAFETY: as above.
        let dataset_out = unsafe { out(dataset_out, "dataset_out") }?;
        give(handle.dataset.associated(name)?, dataset_out);
        Ok(())
    })
}

/// Gives the name of block of bytes number index, from 0: "exif", "icc", "xmp", ... It is valid until the dataset is
/// closed. TILEKEEP_ERR_NOT_FOUND past the last one.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_blob_name(
    dataset: *const tilekeep_dataset,
    index: u32,
    name_out: *mut *const c_char,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, name_out) = unsafe { (borrow(dataset, "dataset")?, out(name_out, "name_out")?) };
        let names = &handle.words.blobs;
        *name_out = names.get(index as usize).ok_or_else(|| past("block of bytes", index, names.len()))?.as_ptr();
        Ok(())
    })
}

/// Reads the block of bytes of this name from the file to the start of buffer, and gives its size. With a buffer_size of
/// 0 nothing is written to buffer, which may then be NULL, and the size is given all the same. A buffer that is too small
/// is an error. TILEKEEP_ERR_NOT_FOUND when there is none of this name.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_read_blob(
    dataset: *const tilekeep_dataset,
    name: *const c_char,
    buffer: *mut c_void,
    buffer_size: usize,
    size_out: *mut usize,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, name) = unsafe { (borrow(dataset, "dataset")?, text(name, "name")?) };
        // SAFETY: as above.
        let size_out = unsafe { out(size_out, "size_out") }?;
        let bytes = handle.dataset.read_blob(name)?;
        if buffer_size > 0 {
            // SAFETY: as above.
            let room = unsafe { self::buffer(buffer, buffer_size, "buffer") }?;
            let target = room.get_mut(..bytes.len()).ok_or_else(|| too_small(name, bytes.len(), buffer_size))?;
            target.copy_from_slice(&bytes);
        }
        *size_out = bytes.len();
        Ok(())
    })
}

fn too_small(name: &str, needed: usize, given: usize) -> Error {
    Error::invalid(format!("the block of bytes {name:?} takes {needed} bytes, the memory given has {given}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MaskKind;

    #[test]
    fn kinds_of_masks_have_their_numbers() {
        for (kind, number) in [
            (MaskKind::StoredForBand, TILEKEEP_MASK_STORED_FOR_BAND),
            (MaskKind::AllValid, TILEKEEP_MASK_ALL_VALID),
            (MaskKind::Stored, TILEKEEP_MASK_STORED),
            (MaskKind::Alpha, TILEKEEP_MASK_ALPHA),
            (MaskKind::Nodata, TILEKEEP_MASK_NODATA),
            (MaskKind::NodataValues, TILEKEEP_MASK_NODATA_VALUES),
        ] {
            assert_eq!(kind as i32, number);
        }
    }
}
