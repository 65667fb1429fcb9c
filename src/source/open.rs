//! Which source reads a file: told by its first bytes, never by its name.

use std::path::Path;

use crate::error::{Error, Result};
use crate::sync::Arc;

use super::access::{FileUse, OsCache, Sidecars};
use super::file;
use super::identity::Identity;
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
    open_file(path, FileUse::Read(OsCache::Keep), Sidecars::Read, limits)
}

/// As [`open_path`], with files used as `file_use` says.
pub(crate) fn open_file(
    path: &Path,
    file_use: FileUse,
    sidecars: Sidecars,
    limits: Limits,
) -> Result<(Box<dyn TileSource>, Identity)> {
    let (reader, identity) = file::open_file(path, file_use)?;
    let source = open_reader(reader, limits).map_err(|e| e.context(path.display()))?;
    let source = match sidecars {
        Sidecars::Read => sidecar::add(source, &Beside { path, file_use, limits }),
        Sidecars::Ignore => source,
    };
    Ok((source, identity))
}

/// Opens a raster whose bytes a client delivers.
///
/// # Errors
///
/// As [`open_path`].
pub fn open_reader(reader: Arc<dyn ReadAt>, limits: Limits) -> Result<Box<dyn TileSource>> {
    let mut head = [0; 8];
    let have = reader.len().min(8) as usize;
    reader.read_at(0, &mut head[..have])?;
    let head = &head[..have];
    if TiffSource::matches(head) {
        Ok(Box::new(TiffSource::open(reader, limits)?))
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
