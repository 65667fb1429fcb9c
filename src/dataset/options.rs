//! How a dataset is opened.

#![expect(unsafe_code, reason = "that a file may be mapped is the caller's promise")]

use crate::cache::{CacheBudget, CachePolicy, Mode};
use crate::source::{Access, FileUse, Limits, MapPromise, OsCache, Sidecars};

/// What a read means for the blocks that it comes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum CacheUse {
    /// They may be wanted again: kept, and remembered as used.
    #[default]
    Normal = 0,
    /// Everything is read once, in order: blocks are kept where they leave first, and those that are there gain
    /// nothing.
    Sequential = 1,
    /// The reader only passes through: absent blocks are not kept, and nothing is remembered. What a source had to decode
    /// beside them is kept for the next steps where room is free, or in an eighth of the budget.
    NoCache = 2,
}

impl CacheUse {
    /// The use with this number (the enum's discriminant, as in the C ABI).
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Normal, Self::Sequential, Self::NoCache].into_iter().find(|cache_use| *cache_use as i32 == number)
    }

    pub(crate) fn mode(self) -> Mode {
        match self {
            Self::Normal => Mode::Use,
            Self::Sequential => Mode::Sequential,
            Self::NoCache => Mode::Passing,
        }
    }
}

/// How a dataset is opened; the default suits a viewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// How many bytes of decoded blocks the dataset may keep; by default a share of the total.
    pub cache_budget: CacheBudget,
    /// Which decoded blocks are forgotten first.
    pub cache_policy: CachePolicy,
    /// Bounds on what the file may make us allocate.
    pub limits: Limits,
    /// What the operating system shall do with the bytes of the file that were read.
    pub os_cache: OsCache,
    /// Whether files beside the raster are read that say more of it.
    pub sidecars: Sidecars,
    /// Which page of the file is opened.
    pub page: u32,
    /// `Map` by way of [`access_map`](Self::access_map) only.
    access: Access,
    /// Whether the dataset is not [shared](Self::shared).
    is_apart: bool,
}

impl OpenOptions {
    /// The same options with another budget of decoded blocks.
    #[must_use]
    pub const fn cache_budget(mut self, budget: CacheBudget) -> Self {
        self.cache_budget = budget;
        self
    }

    /// The same options with a budget of so many bytes that are the dataset's own. 0 keeps nothing.
    #[must_use]
    pub const fn cache_max_bytes(self, bytes: u64) -> Self {
        self.cache_budget(CacheBudget::Own(bytes))
    }

    /// The same options with another policy.
    #[must_use]
    pub const fn cache_policy(mut self, policy: CachePolicy) -> Self {
        self.cache_policy = policy;
        self
    }

    /// The same options with other limits.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same options with another use of the operating system's cache. It matters to files only, and only while they
    /// are read by position.
    #[must_use]
    pub const fn os_cache(mut self, os_cache: OsCache) -> Self {
        self.os_cache = os_cache;
        self
    }

    /// The same options with another choice about the files beside the raster. It matters to files only.
    #[must_use]
    pub const fn sidecars(mut self, sidecars: Sidecars) -> Self {
        self.sidecars = sidecars;
        self
    }

    /// The same options with another page of the file, one of those that [`SourceInfo::pages`](crate::SourceInfo::pages)
    /// lists; 0, the first, by default.
    ///
    /// A page is a raster of its own, with its overviews, masks, metadata, cache and [`Identity`](crate::Identity). Pages
    /// behind it that have its size, blocks and samples, mean the same by them (photometric interpretation, palette, nodata)
    /// and have no other kind of mask are its further frames. The number counts all pictures of the file, as GDAL's
    /// `GTIFF_DIR:` does from 1; one that is an overview or a mask of another is opened as it is. What lies beside the file
    /// is about its first page. It matters to files only: a PNG or a JPEG has one page, and a client's own source says
    /// itself what it is.
    #[must_use]
    pub const fn page(mut self, page: u32) -> Self {
        self.page = page;
        self
    }

    /// The same options with another choice about who has the dataset.
    ///
    /// By default all who open the same file with equal options have one dataset: one source, one cache with its blocks,
    /// budget and statistics; what one of them advises or evicts concerns all. When the last of them lets go of it, what was parsed is kept ([`set_catalog_max`]), so that
    /// opening it again costs one look at the file. A dataset whose budget or policy was changed after it was opened is
    /// left to those who have it; others then get another one. `false` gives a dataset that nobody else has, parsed now.
    ///
    /// [`set_catalog_max`]: crate::set_catalog_max
    #[must_use]
    pub const fn shared(mut self, shared: bool) -> Self {
        self.is_apart = !shared;
        self
    }

    /// Whether all who open the same file with these options have one dataset.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        !self.is_apart
    }

    /// Whether sources that are opened with these and with `other` options are alike.
    pub(super) fn reads_as(&self, other: &Self) -> bool {
        let of = |options: &Self| (options.limits, options.os_cache, options.sidecars, options.page, options.access);
        of(self) == of(other)
    }

    /// The same options with files mapped into memory instead of read by position.
    ///
    /// Uncompressed blocks that the file stores as they are presented (native byte order, samples of whole bytes that
    /// start at a multiple of their size) are then lent from the mapping: no copy, no load, no entry in the cache, nothing
    /// against the budget. [`Stats::mapped`](crate::Stats::mapped) counts them. Other blocks are decoded from the mapping
    /// and cached as ever. It does not matter to a client's own source.
    ///
    /// # Safety
    ///
    /// Nobody, in this process or another, shortens or changes the file, or the `.ovr` and `.msk` files beside it, for as long as the
    /// dataset or a block lent by it lives. Reading a part of a mapped file that was cut off kills the process with
    /// `SIGBUS`, as does a disk or a network that fails to deliver it; bytes that change under a reader are undefined
    /// behaviour.
    #[must_use]
    pub const unsafe fn access_map(mut self) -> Self {
        self.access = Access::Map;
        self
    }

    /// How the bytes of files are reached.
    #[must_use]
    pub const fn access(&self) -> Access {
        self.access
    }

    pub(super) fn file_use(&self) -> FileUse {
        match self.access {
            Access::Read => FileUse::Read(self.os_cache),
            // SAFETY: `access_map` alone sets this, and its caller promised what is asked for here.
            Access::Map => FileUse::Map(unsafe { MapPromise::new() }),
        }
    }
}
