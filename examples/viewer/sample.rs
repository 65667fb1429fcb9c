//! Rasters to look at when nobody names any.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::tiff_writer;

const SIDE: u32 = 8192;

/// A landscape in colours and its heights in metres, made in the system's folder for temporary files unless they are
/// there.
pub(crate) fn files() -> io::Result<Vec<PathBuf>> {
    let folder = std::env::temp_dir().join("tilekeep-viewer");
    fs::create_dir_all(&folder)?;
    let make = |name: &str, write: fn(PathBuf, u32, u32) -> io::Result<()>| {
        once(&folder, name, |path| write(path, SIDE, SIDE))
    };
    Ok(vec![make("landscape", tiff_writer::sample_pyramid)?, make("heights", tiff_writer::sample_elevations)?])
}

/// The file of this name. It is written under another one first, so that one that was broken off is not taken for it.
fn once(folder: &Path, name: &str, write: impl FnOnce(PathBuf) -> io::Result<()>) -> io::Result<PathBuf> {
    let path = folder.join(format!("{name}-{SIDE}.tif"));
    if path.is_file() {
        return Ok(path);
    }
    eprintln!("making {}, once", path.display());
    let part = tempfile::Builder::new().prefix(name).suffix(".part").tempfile_in(folder)?.into_temp_path();
    write(part.to_path_buf())?;
    part.persist(&path).map_err(|failed| failed.error)?;
    Ok(path)
}
