//! Opening, closing, and what a dataset says of itself.

use std::ffi::{CString, c_char};
use std::path::Path;

use crate::dataset::{Dataset, OpenOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::source::{Access, OsCache, Sidecars, SourceInfo};

use super::pointers::{Growing, Out, borrow, end_of, null, out, read_options, text};
use super::status::{guard, tilekeep_status};

/// The file is read by position, into memory of the library.
pub const TILEKEEP_ACCESS_READ: i32 = 0;
/// The file is mapped into memory, and uncompressed blocks that it stores as they are presented are lent from there:
/// without a copy, without a place in the cache, at no cost to the budget. A tilekeep_cache_stats counts them as mapped.
///
/// DANGER: nobody, in this process or another, may shorten or change the file, or the ".ovr" and ".msk" files beside it, for as long as
/// the dataset is open or a block of it is locked. Reading a part of a mapped file that was cut off kills the process with
/// SIGBUS, as does a disk or a network that fails to deliver it; bytes that change while they are read are undefined
/// behaviour. Only who is sure of that may choose this.
pub const TILEKEEP_ACCESS_MAP: i32 = 1;

/// The operating system keeps the bytes of files that were read as it likes, beside the decoded blocks of the dataset.
pub const TILEKEEP_OS_CACHE_KEEP: i32 = 0;
/// The operating system is told to let go of the bytes of every block that was read, and of those before it that it caches
/// in one unit with them, with one posix_fadvise a block. Linux, Android and FreeBSD; elsewhere, and with
/// TILEKEEP_ACCESS_MAP, it changes nothing.
pub const TILEKEEP_OS_CACHE_DROP: i32 = 1;

/// Files beside a raster that say more of it are read: ".aux.xml" (GDAL's metadata), ".ovr" (overviews) and ".msk" (a mask)
/// at the end of its name, and a world file (".tfw", ".pgw", ".jgw", ".wld") in the place of its extension. Each name is
/// looked up once; the folder is not listed. One that is damaged is as if it were not there.
pub const TILEKEEP_SIDECARS_READ: i32 = 0;
/// No file but the raster is touched.
pub const TILEKEEP_SIDECARS_IGNORE: i32 = 1;

/// An opened raster with a cache of its own for decoded blocks. Made by tilekeep_open, tilekeep_open_source and
/// tilekeep_open_associated, released by tilekeep_close. Every call on it may come from any thread at any time, except while or after it is
/// released.
///
/// @since 0.1
pub struct tilekeep_dataset {
    pub(super) dataset: Dataset,
    pub(super) words: Words,
}

/// How a dataset is opened. Set struct_size to sizeof(tilekeep_open_options) and all else to 0 for the defaults.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_open_options {
    /// sizeof(tilekeep_open_options).
    pub struct_size: u32,
    /// Must be 0.
    pub reserved: u32,
    /// Bytes of decoded blocks that the dataset may keep, a budget of its own; 0: a share of the total, as
    /// tilekeep_set_cache_budget describes it. tilekeep_set_cache_max can set it to nothing.
    pub cache_max_bytes: u64,
    /// Decoded bytes that one block may have; 0: 256 MiB.
    pub max_block_bytes: u64,
    /// Decoded bytes of an image whose format can only be decoded as a whole; 0: 1 GiB.
    pub max_image_bytes: u64,
    /// Bytes of directories and tags that are read; 0: 64 MiB.
    pub max_metadata_bytes: u64,
    /// How the bytes of a file are reached, one of TILEKEEP_ACCESS_. Of no matter to tilekeep_open_source.
    pub access: i32,
    /// What the operating system does with the bytes of a file, one of TILEKEEP_OS_CACHE_. Of no matter to
    /// tilekeep_open_source.
    pub os_cache: i32,
    /// Bytes of an index of places in a compressed stream (PNG, JPEG, large strips of a TIFF), which is no more than an
    /// eighth of the budget either; 0: 8 MiB.
    pub max_index_bytes: u64,
    /// Whether files beside the raster are read, one of TILEKEEP_SIDECARS_. Of no matter to tilekeep_open_source.
    pub sidecars: i32,
    /// 0: all who open the same file with equal options have one dataset, with one cache, until its budget or policy is
    /// changed; and what was parsed is kept when it is closed (tilekeep_set_catalog_max). 1: a dataset that nobody else has.
    /// Of no matter to tilekeep_open_source.
    pub own: u32,
    /// Which page of the file is opened: a number that tilekeep_page_info gives; 0: the first one. A page is a raster of its
    /// own, with its overviews, masks and texts; those behind it that have its size, blocks and samples, mean the same by
    /// them (photometric interpretation, palette, nodata) and have no other kind of mask are its further frames. A number
    /// that the file does not have is TILEKEEP_ERR_INVALID_ARGUMENT, and so is any but 0 for a PNG, a JPEG and
    /// tilekeep_open_source.
    pub page: u32,
    /// Must be 0.
    pub reserved_2: u32,
}

// SAFETY: `repr(C)`, integers only, size first.
unsafe impl Growing for tilekeep_open_options {
    const NAME: &'static str = "tilekeep_open_options";
    const OLDEST: usize = end_of!(tilekeep_open_options, max_metadata_bytes);

    fn defaults() -> Self {
        Self {
            struct_size: 0,
            reserved: 0,
            cache_max_bytes: 0,
            max_block_bytes: 0,
            max_image_bytes: 0,
            max_metadata_bytes: 0,
            access: TILEKEEP_ACCESS_READ,
            os_cache: TILEKEEP_OS_CACHE_KEEP,
            max_index_bytes: 0,
            sidecars: TILEKEEP_SIDECARS_READ,
            own: 0,
            page: 0,
            reserved_2: 0,
        }
    }
}

impl tilekeep_open_options {
    pub(super) fn to_options(self) -> Result<OpenOptions> {
        if self.reserved != 0 || self.reserved_2 != 0 {
            return Err(Error::invalid("tilekeep_open_options: reserved is not 0"));
        }
        let mut options = OpenOptions::default().page(self.page);
        let set = |target: &mut usize, value: u64| {
            if value > 0 {
                *target = usize::try_from(value).unwrap_or(usize::MAX);
            }
        };
        set(&mut options.limits.max_block_bytes, self.max_block_bytes);
        set(&mut options.limits.max_image_bytes, self.max_image_bytes);
        set(&mut options.limits.max_metadata_bytes, self.max_metadata_bytes);
        set(&mut options.limits.max_index_bytes, self.max_index_bytes);
        if self.cache_max_bytes > 0 {
            options = options.cache_max_bytes(self.cache_max_bytes);
        }
        let unknown = |name: &str, number: i32| Error::invalid(format!("tilekeep_open_options: {name} {number}"));
        options = match self.own {
            0 => options,
            1 => options.shared(false),
            other => return Err(Error::invalid(format!("tilekeep_open_options: own {other}"))),
        };
        options.os_cache = OsCache::from_number(self.os_cache).ok_or_else(|| unknown("os_cache", self.os_cache))?;
        options.sidecars = Sidecars::from_number(self.sidecars).ok_or_else(|| unknown("sidecars", self.sidecars))?;
        Ok(match Access::from_number(self.access).ok_or_else(|| unknown("access", self.access))? {
            Access::Read => options,
            // SAFETY: the header asks of whoever chooses this what is asked for here.
            Access::Map => unsafe { options.access_map() },
        })
    }
}

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

/// The texts of a dataset, made into C's once.
pub(super) struct Words {
    format: CString,
    compression: CString,
    srs_wkt: Option<CString>,
    metadata: Vec<[CString; 3]>,
    geo_keys: Vec<CString>,
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

pub(super) fn past(what: &str, index: u32, n: usize) -> Error {
    Error::new(ErrorKind::NotFound, format!("{what} {index} of {n}"))
}

fn absent(what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("the dataset has no {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_those_of_the_dataset_or_an_error_that_names_them() {
        let options = tilekeep_open_options { access: TILEKEEP_ACCESS_MAP, os_cache: TILEKEEP_OS_CACHE_DROP, ..none() };
        let both = options.to_options().unwrap();
        assert_eq!((both.access(), both.os_cache), (Access::Map, OsCache::Drop));
        assert_eq!(none().to_options().unwrap(), OpenOptions::default());
        let alone = tilekeep_open_options { sidecars: TILEKEEP_SIDECARS_IGNORE, ..none() };
        assert_eq!(alone.to_options().unwrap().sidecars, Sidecars::Ignore);
        let third = tilekeep_open_options { page: 2, ..none() };
        assert_eq!(third.to_options().unwrap(), OpenOptions::default().page(2));
        let own = tilekeep_open_options { own: 1, ..none() };
        assert!(!own.to_options().unwrap().is_shared() && none().to_options().unwrap().is_shared());
        for (wrong, name) in [
            (tilekeep_open_options { access: 2, ..none() }, "access 2"),
            (tilekeep_open_options { os_cache: -1, ..none() }, "os_cache -1"),
            (tilekeep_open_options { sidecars: 2, ..none() }, "sidecars 2"),
            (tilekeep_open_options { reserved: 1, ..none() }, "reserved"),
            (tilekeep_open_options { reserved_2: 1, ..none() }, "reserved"),
            (tilekeep_open_options { own: 2, ..none() }, "own 2"),
        ] {
            let error = wrong.to_options().unwrap_err();
            assert!(error.kind() == ErrorKind::InvalidArgument && error.message().contains(name), "{error}");
        }
    }

    fn none() -> tilekeep_open_options {
        tilekeep_open_options::defaults()
    }

    #[test]
    fn structs_of_the_first_version_keep_their_sizes() {
        #[cfg(target_pointer_width = "64")]
        assert_eq!(tilekeep_open_options::OLDEST, 40);
    }
}
