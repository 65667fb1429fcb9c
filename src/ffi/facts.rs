//! What a file says of its pixels: texts, keys, the place on the ground, colours.

use std::ffi::c_char;

use crate::error::{Error, ErrorKind};

use super::dataset::{past, tilekeep_dataset};
use super::pointers::{borrow, null, out};
use super::status::{guard, tilekeep_status};

/// Gives item number index, from 0, of what the file says in words. The domain is empty for what describes the whole
/// dataset, "band/0" for the first band. Any of the three outputs may be NULL. The texts are valid until the dataset is
/// closed. TILEKEEP_ERR_NOT_FOUND past the last item.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_metadata(
    dataset: *const tilekeep_dataset,
    index: u32,
    domain_out: *mut *const c_char,
    key_out: *mut *const c_char,
    value_out: *mut *const c_char,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let handle = unsafe { borrow(dataset, "dataset") }?;
        let items = &handle.words.metadata;
        let item = items.get(index as usize).ok_or_else(|| past("metadata item", index, items.len()))?;
        for (target, text) in [domain_out, key_out, value_out].into_iter().zip(item) {
            // SAFETY: NULL or a place of the caller's.
            if let Some(target) = unsafe { target.as_mut() } {
                *target = text.as_ptr();
            }
        }
        Ok(())
    })
}

/// Gives key number index, from 0, of the GeoTIFF key directory, and its value as text. The text is valid until the
/// dataset is closed. TILEKEEP_ERR_NOT_FOUND past the last key.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_geo_key(
    dataset: *const tilekeep_dataset,
    index: u32,
    id_out: *mut u16,
    value_out: *mut *const c_char,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let handle = unsafe { borrow(dataset, "dataset") }?;
        // SAFETY: as above.
        let (id_out, value_out) = unsafe { (out(id_out, "id_out")?, out(value_out, "value_out")?) };
        let keys = &handle.dataset.info().geo_keys;
        let key = keys.get(index as usize).ok_or_else(|| past("key", index, keys.len()))?;
        *id_out = key.id;
        *value_out = handle.words.geo_keys[index as usize].as_ptr();
        Ok(())
    })
}

/// Gives the transform from pixels of level 0 to the ground: six numbers in GDAL's order, for the top left corner of
/// the top left pixel. transform_out must have room for all six. TILEKEEP_ERR_NOT_FOUND when there is none.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_geotransform(
    dataset: *const tilekeep_dataset,
    transform_out: *mut f64,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let handle = unsafe { borrow(dataset, "dataset") }?;
        if transform_out.is_null() {
            return Err(null("transform_out"));
        }
        let transform = handle.dataset.info().geotransform.ok_or_else(|| absent("geotransform"))?;
        // SAFETY: not NULL, and the caller promises room for six numbers.
        unsafe { transform_out.cast::<[f64; 6]>().write_unaligned(transform.0) };
        Ok(())
    })
}

/// Gives the sample value that means "nothing here"; it may be NaN. 64-bit integers may lose their last digits.
/// TILEKEEP_ERR_NOT_FOUND when there is none.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_nodata(dataset: *const tilekeep_dataset, nodata_out: *mut f64) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, nodata_out) = unsafe { (borrow(dataset, "dataset")?, out(nodata_out, "nodata_out")?) };
        *nodata_out = handle.dataset.info().nodata.ok_or_else(|| absent("nodata value"))?.as_f64();
        Ok(())
    })
}

/// Says what a band shows, as one of TILEKEEP_COLOR_. Bands are numbered from 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_band_color(
    dataset: *const tilekeep_dataset,
    band: u32,
    color_out: *mut i32,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, color_out) = unsafe { (borrow(dataset, "dataset")?, out(color_out, "color_out")?) };
        let colors = &handle.dataset.info().colors;
        let color = colors.get(band as usize);
        *color_out = *color.ok_or_else(|| Error::invalid(format!("band {band} of {}", colors.len())))? as i32;
        Ok(())
    })
}

/// Gives colour number index of the colour table as four bytes: red, green, blue, opacity.
/// TILEKEEP_ERR_NOT_FOUND past the last colour.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_color_table(
    dataset: *const tilekeep_dataset,
    index: u32,
    rgba_out: *mut u8,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let handle = unsafe { borrow(dataset, "dataset") }?;
        if rgba_out.is_null() {
            return Err(null("rgba_out"));
        }
        let table = handle.dataset.info().color_table.as_deref().unwrap_or_default();
        let color = *table.get(index as usize).ok_or_else(|| past("colour", index, table.len()))?;
        // SAFETY: not NULL, and the caller promises room for four bytes.
        unsafe { rgba_out.cast::<[u8; 4]>().write_unaligned(color) };
        Ok(())
    })
}

fn absent(what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("the dataset has no {what}"))
}
