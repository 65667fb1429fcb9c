//! How a dataset is opened.

use crate::dataset::OpenOptions;
use crate::error::{Error, Result};
use crate::source::{Access, OsCache, Sidecars};

use super::pointers::{Growing, end_of};

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
    /// Decoded bytes of an image whose format can only be decoded as a whole, and what decoding it takes beside them; 0:
    /// 1 GiB.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

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
