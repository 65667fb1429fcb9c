//! Which source reads a file: told by its first bytes, never by its name.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, Result};
use crate::memory::{Charge, Class, Ledger};
use crate::sync::Arc;

use super::access::{FileUse, OsCache, Sidecars};
use super::file;
use super::identity::{Identity, Seen};
use super::jpeg::JpegSource;
use super::png::PngSource;
use super::sidecar::{self, Beside};
use super::tiff::TiffSource;
use super::{Limits, ReadAt, TileSource};

/// Opens the raster file at `path`, with what the files beside it say ([`Sidecars`]); the folder is not listed.
///
/// # Errors
///
/// `not found` or `i/o error` from the system, `unsupported` when no source knows the format, or what the source
/// finds wrong. All name the path.
pub fn open_path(path: &Path, limits: Limits) -> Result<(Box<dyn TileSource>, Identity)> {
    let opened = open_file(path, FileUse::Read(OsCache::Keep), Sidecars::Read, 0, limits)?;
    Ok((Box::new(opened.source), opened.identity))
}

/// A raster file that was opened.
pub(crate) struct RasterFile {
    pub(crate) source: Arc<dyn TileSource>,
    pub(crate) identity: Identity,
    /// The path that was asked for, made absolute, and what is there.
    pub(crate) seen: Seen,
    /// The files beside it that were read.
    beside: Vec<Seen>,
    charge: Charge,
}

/// As [`open_path`], with files used as `file_use` says. What lies beside a file is about its first page.
pub(crate) fn open_file(
    path: &Path,
    file_use: FileUse,
    sidecars: Sidecars,
    page: u32,
    limits: Limits,
) -> Result<RasterFile> {
    let (reader, seen, identity) = file::open_file(path, file_use)?;
    let identity = identity.of_page(page);
    let source = open_page(reader, page, limits).map_err(|e| e.context(path.display()))?;
    let (source, beside) = match sidecars {
        Sidecars::Read if page == 0 => {
            let beside = Beside::new(path, file_use, limits);
            (sidecar::add(source, &beside), beside.into_seen())
        }
        _ => (source, Vec::new()),
    };
    let charge = Ledger::process().charge(Class::Metadata, 0);
    let mut file = RasterFile { source: Arc::from(source), identity, seen, beside, charge };
    file.charge.resize(file.metadata_bytes());
    Ok(file)
}

impl RasterFile {
    /// Looks whether the files are still those that were opened.
    ///
    /// # Errors
    ///
    /// `changed` when one is not, or when it was opened so soon after it was written to that this cannot be told.
    pub(crate) fn check(&self) -> Result<()> {
        [&self.seen].into_iter().chain(&self.beside).try_for_each(Seen::check)
    }

    /// What pictures of the raster are known by, in all processes of a machine: its identity, and the files beside it that
    /// were read. `None` when one of them could change without that being seen.
    pub(crate) fn tile_source(&self) -> Option<u128> {
        let is_shareable = self.identity.is_shareable() && !self.beside.iter().any(Seen::is_young);
        is_shareable.then(|| {
            let mut bytes = self.identity.hash().to_le_bytes().to_vec();
            self.beside.iter().for_each(|seen| seen.write(&mut bytes));
            xxh3_128(&bytes)
        })
    }

    /// Bytes that are held as long as nothing is read.
    pub(crate) fn metadata_bytes(&self) -> u64 {
        let paths = self.beside.iter().chain([&self.seen]).map(|seen| seen.path.capacity()).sum::<usize>();
        let own = size_of::<Self>() + paths + self.identity.path.capacity() + size_of_val(&*self.beside);
        own as u64 + self.source.metadata_bytes()
    }
}

/// Opens a raster whose bytes a client delivers.
///
/// # Errors
///
/// As [`open_path`].
pub fn open_reader(reader: Arc<dyn ReadAt>, limits: Limits) -> Result<Box<dyn TileSource>> {
    open_page(reader, 0, limits)
}

/// As [`open_reader`], with the page of this number, one of [`SourceInfo::pages`](crate::SourceInfo::pages).
///
/// # Errors
///
/// As [`open_path`], and `invalid argument` when there is no such page.
pub fn open_page(reader: Arc<dyn ReadAt>, page: u32, limits: Limits) -> Result<Box<dyn TileSource>> {
    let mut head = [0; 8];
    let have = reader.len().min(8) as usize;
    reader.read_at(0, &mut head[..have])?;
    let head = &head[..have];
    if TiffSource::matches(head) {
        Ok(Box::new(TiffSource::open(reader, page, limits)?))
    } else if page > 0 && (PngSource::matches(head) || JpegSource::matches(head)) {
        Err(Error::invalid(format!("page {page}: PNG and JPEG files have one page, number 0")))
    } else if PngSource::matches(head) {
        Ok(Box::new(PngSource::open(reader, limits)?))
    } else if JpegSource::matches(head) {
        Ok(Box::new(JpegSource::open(reader, limits)?))
    } else if head.is_empty() {
        Err(Error::corrupt("an empty file"))
    } else {
        Err(Error::unsupported(format!("no source knows a file that starts with {head:02x?}")))
    }
}
