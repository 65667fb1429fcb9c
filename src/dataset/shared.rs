//! Datasets of files in the catalog: shared while they are open, known when they were closed.

use std::path::Path;
use std::sync::OnceLock;

use xxhash_rust::xxh3::xxh3_128;

use crate::cache::CacheBudget;
use crate::catalog::{Catalog, CatalogStats, Kind, Parsed, Wanted};
use crate::error::Result;
use crate::memory::{Ledger, default_budget};
use crate::source::{self, Access, RasterFile, Stamp};
use crate::sync::Arc;

use super::{Core, Dataset, OpenOptions};

/// Bytes of what is known of closed files, until somebody says otherwise: this part of the memory that the process may use,
/// within bounds.
const DEFAULT_PART: u64 = 64;
const DEFAULT_LEAST: u64 = 1 << 20;
const DEFAULT_MOST: u64 = 64 << 20;

/// Changes how many bytes of what was parsed of closed files are kept. Those closed the longest ago go first; 0 keeps
/// nothing. Until this is called it is a 64th of the memory that the process may use, as
/// [`set_total_max`](crate::set_total_max) describes it, from 1 to 64 MiB.
///
/// A file of which this much is known is opened again at the cost of one look at it, which tells whether it has changed. The
/// files beside it that were read are not looked at: when one of them changes, or appears, [`forget`] the raster.
pub fn set_catalog_max(bytes: u64) {
    catalog().set_max_bytes(bytes);
}

/// How many bytes of what was parsed of closed files are kept.
#[must_use]
pub fn catalog_max() -> u64 {
    catalog().max_bytes()
}

/// What is known of files, open and closed.
#[must_use]
pub fn catalog_stats() -> CatalogStats {
    CatalogStats { open_files: source::open_files() as u64, ..catalog().stats() }
}

/// Forgets what is known of the file at `path`: whoever opens it next gets what is there then, sidecars included. Datasets
/// that are open stay as they are, for those who have them.
pub fn forget(path: impl AsRef<Path>) {
    if let Ok(path) = std::path::absolute(path.as_ref()) {
        catalog().forget(place(&path));
    }
}

/// Files and their datasets.
pub(super) struct Files;

impl Kind for Files {
    type Source = RasterFile;
    type Dataset = Core;
    type Options = OpenOptions;
    type Stamp = Stamp;

    fn reads_alike(a: &OpenOptions, b: &OpenOptions) -> bool {
        a.reads_as(b)
    }

    fn rest(file: &RasterFile, options: &OpenOptions) -> Option<u64> {
        // Nobody promised anything of a mapped file for longer than it is open.
        if options.access() == Access::Map {
            return None;
        }
        file.source.rest();
        Some(file.metadata_bytes())
    }
}

pub(super) fn catalog() -> &'static Catalog<Files> {
    static CATALOG: OnceLock<Catalog<Files>> = OnceLock::new();
    CATALOG.get_or_init(|| Catalog::new(default_budget(DEFAULT_PART, DEFAULT_LEAST, DEFAULT_MOST), Ledger::process()))
}

/// What files are found by: 128 bits of the absolute path, compared by what a look sees at it.
fn place(absolute: &Path) -> u128 {
    xxh3_128(source::native_bytes(absolute))
}

pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Arc<Core>> {
    // Only a path of nothing has none; the system says what it thinks of that.
    let absolute = std::path::absolute(path).unwrap_or_default();
    catalog().open(&Wanted {
        place: place(&absolute),
        options: *options,
        look: &|| source::look(path),
        parse: &|| {
            let file = source::open_file(path, options.file_use(), options.sidecars, options.page, options.limits)?;
            // With what lies beside it: links to one file may have files of their own beside them.
            let identity = file.tile_source();
            Ok(Parsed { stamp: file.seen.stamp, identity, source: Arc::new(file) })
        },
        make: &|file, number| Dataset::of_file(path, file, number, options).map(|dataset| dataset.core),
    })
}

/// The budget or the policy of a dataset is about to be changed.
pub(super) fn steered(core: &Core) {
    if let Some(number) = core.catalog_number {
        catalog().steered(number);
    }
}

/// The file of a dataset is no longer the one that was opened.
pub(super) fn forget_changed(core: &Core, file: &RasterFile) {
    if let Some(number) = core.catalog_number {
        catalog().forget_open(number);
    }
    catalog().forget(place(&file.seen.path));
}

impl Drop for Core {
    fn drop(&mut self) {
        if let Some(number) = self.catalog_number {
            catalog().closed(number);
        }
        // The mask has the cache, too.
        drop(self.mask.take());
        if self.first_plane == 0 && Arc::strong_count(&self.cache) > 1 {
            // A block that is still lent holds the cache, and must not hold the blocks that nobody can ask for any more.
            self.cache.remove_if(|_| true);
            self.cache.set_budget(CacheBudget::Own(0));
            self.cache.hold_beside(0);
        }
    }
}
