//! What a dataset and its levels are.

use std::ffi::c_char;

use super::dataset::tilekeep_dataset;
use super::pointers::{Growing, Out, borrow, end_of};
use super::status::{guard, tilekeep_status};

/// What a dataset is. Texts belong to the dataset and are valid until it is closed.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_dataset_info {
    /// sizeof(tilekeep_dataset_info), set by the caller.
    pub struct_size: u32,
    /// Levels, those that are made from finer ones included. Level 0 is full resolution.
    pub n_levels: u32,
    /// Pixels across level 0.
    pub width: u64,
    /// Pixels down level 0.
    pub height: u64,
    /// Bands.
    pub n_bands: u32,
    /// Planes of blocks: 1, or one a band when every band is stored in blocks of its own.
    pub n_planes: u32,
    /// The type of a sample, one of TILEKEEP_SAMPLE_.
    pub sample_type: i32,
    /// Bytes of a sample.
    pub sample_bytes: u32,
    /// Bits of a sample that carry information.
    pub n_bits: u32,
    /// Items that tilekeep_metadata has.
    pub n_metadata: u32,
    /// Keys that tilekeep_geo_key has.
    pub n_geo_keys: u32,
    /// Colours that tilekeep_color_table has; 0 when there is no table.
    pub n_colors: u32,
    /// The EPSG code of the coordinate reference system when the file states one, otherwise 0.
    pub epsg: u32,
    /// Whether tilekeep_geotransform gives one: 1 or 0.
    pub has_geotransform: u8,
    /// Whether tilekeep_nodata gives one: 1 or 0.
    pub has_nodata: u8,
    /// 0.
    pub reserved: [u8; 2],
    /// Short name of the format: "tiff", "bigtiff", "png", "jpeg", or what a client's source calls itself.
    pub format: *const c_char,
    /// Short name of how pixels are compressed: "none", "deflate", ...
    pub compression: *const c_char,
    /// Pictures of this size and kind: 1, or more for a file of several pages.
    pub n_frames: u32,
    /// The coordinate reference system as well-known text, where a file beside the raster states it so; otherwise NULL.
    pub srs_wkt: *const c_char,
    /// Micrometres that a pixel of level 0 measures across, as slides and scans say it; 0 when nothing is said.
    pub pixel_width_um: f64,
    /// Micrometres that a pixel of level 0 measures down.
    pub pixel_height_um: f64,
    /// Points that tilekeep_gcp_info has.
    pub n_gcps: u32,
    /// Pictures that tilekeep_associated_info has.
    pub n_associated: u32,
    /// Blocks of bytes that tilekeep_blob_name has.
    pub n_blobs: u32,
    /// Bands of the mask that is stored: 0 for none, 1 for one that is good for all bands, else one a band.
    pub n_mask_bands: u32,
    /// Pages that tilekeep_page_info has; 0 for a format that has no such thing.
    pub n_pages: u32,
    /// The page that this is.
    pub page: u32,
}

// SAFETY: `repr(C)`, numbers and raw pointers only, size first.
unsafe impl Growing for tilekeep_dataset_info {
    const NAME: &'static str = "tilekeep_dataset_info";
    const OLDEST: usize = end_of!(tilekeep_dataset_info, compression);

    fn defaults() -> Self {
        Self {
            struct_size: 0,
            n_levels: 0,
            width: 0,
            height: 0,
            n_bands: 0,
            n_planes: 0,
            sample_type: 0,
            sample_bytes: 0,
            n_bits: 0,
            n_metadata: 0,
            n_geo_keys: 0,
            n_colors: 0,
            epsg: 0,
            has_geotransform: 0,
            has_nodata: 0,
            reserved: [0; 2],
            format: std::ptr::null(),
            compression: std::ptr::null(),
            n_frames: 0,
            srs_wkt: std::ptr::null(),
            pixel_width_um: 0.0,
            pixel_height_um: 0.0,
            n_gcps: 0,
            n_associated: 0,
            n_blobs: 0,
            n_mask_bands: 0,
            n_pages: 0,
            page: 0,
        }
    }
}

/// One level of a dataset and how it is cut into blocks.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct tilekeep_level {
    /// sizeof(tilekeep_level), set by the caller.
    pub struct_size: u32,
    /// 1 when the file stores the level, 0 when it is made when it is asked for.
    pub is_stored: u32,
    /// Pixels across.
    pub width: u64,
    /// Pixels down.
    pub height: u64,
    /// Pixels across a block.
    pub block_width: u32,
    /// Pixels down a block.
    pub block_height: u32,
    /// Columns of blocks.
    pub n_cols: u32,
    /// Rows of blocks.
    pub n_rows: u32,
}

// SAFETY: `repr(C)`, integers only, size first.
unsafe impl Growing for tilekeep_level {
    const NAME: &'static str = "tilekeep_level";
    const OLDEST: usize = end_of!(tilekeep_level, n_rows);

    fn defaults() -> Self {
        Self::default()
    }
}

/// Says what a dataset is. No file is read.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_info(
    dataset: *const tilekeep_dataset,
    info_out: *mut tilekeep_dataset_info,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, info_out) = unsafe { (borrow(dataset, "dataset")?, Out::new(info_out)?) };
        let (info, levels) = (handle.dataset.info(), handle.dataset.levels());
        info_out.write(&tilekeep_dataset_info {
            struct_size: 0,
            n_levels: levels.len() as u32,
            width: levels[0].width,
            height: levels[0].height,
            n_bands: info.n_bands,
            n_planes: info.n_planes(),
            sample_type: info.sample as i32,
            sample_bytes: info.sample.bytes() as u32,
            n_bits: info.n_bits.unwrap_or(info.sample.bytes() as u32 * 8),
            n_metadata: handle.words.metadata.len() as u32,
            n_geo_keys: info.geo_keys.len() as u32,
            n_colors: info.color_table.as_ref().map_or(0, |table| table.len() as u32),
            epsg: info.epsg().map_or(0, u32::from),
            has_geotransform: u8::from(info.geotransform.is_some()),
            has_nodata: u8::from(info.nodata.is_some()),
            reserved: [0; 2],
            format: handle.words.format.as_ptr(),
            compression: handle.words.compression.as_ptr(),
            n_frames: info.n_frames,
            srs_wkt: handle.words.srs_wkt.as_ref().map_or(std::ptr::null(), |text| text.as_ptr()),
            pixel_width_um: info.pixel_size_um.map_or(0.0, |size| size.0),
            pixel_height_um: info.pixel_size_um.map_or(0.0, |size| size.1),
            n_gcps: info.gcps.len() as u32,
            n_associated: info.associated.len() as u32,
            n_blobs: info.blobs.len() as u32,
            n_mask_bands: info.n_mask_bands,
            n_pages: info.pages.len() as u32,
            page: info.page,
        });
        Ok(())
    })
}

/// Says what a level is.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_level_info(
    dataset: *const tilekeep_dataset,
    level: u32,
    level_out: *mut tilekeep_level,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, level_out) = unsafe { (borrow(dataset, "dataset")?, Out::new(level_out)?) };
        let level = handle.dataset.level(level)?;
        level_out.write(&tilekeep_level {
            struct_size: 0,
            is_stored: u32::from(level.native),
            width: level.width,
            height: level.height,
            block_width: level.block_width,
            block_height: level.block_height,
            n_cols: level.cols(),
            n_rows: level.rows(),
        });
        Ok(())
    })
}
