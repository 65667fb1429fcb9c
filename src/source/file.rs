//! Bytes by position, from a file or from memory, and what makes a file the same file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::error::{Error, ErrorKind, Result};

/// Bytes that any number of threads read by position, without a shared cursor and without a lock.
pub trait ReadAt: Send + Sync {
    /// Bytes in all.
    ///
    /// Known when opened; a file that shrinks afterwards gives an error when bytes that are gone are read.
    fn len(&self) -> u64;

    /// Whether there is nothing to read.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// `i/o error` when there are not that many; `out` is then unspecified.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()>;
}

impl<R: ReadAt + ?Sized> ReadAt for std::sync::Arc<R> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        (**self).read_at(offset, out)
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        Self::len(self) as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(out.len())?))
            .ok_or_else(|| past_end(offset, out.len(), Self::len(self) as u64))?;
        out.copy_from_slice(bytes);
        Ok(())
    }
}

/// What makes two opened files the same raster: never reused for other content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The path with links resolved.
    pub path: PathBuf,
    /// Bytes.
    pub len: u64,
    /// Last modification, nanoseconds since 1970.
    pub modified_ns: u128,
    /// Device and inode, where the system has them.
    pub inode: (u64, u64),
}

/// A regular file opened for reading by position.
#[derive(Debug)]
pub(crate) struct DiskFile {
    file: File,
    identity: Identity,
}

impl DiskFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let context = |e: std::io::Error| Error::from(e).context(path.display());
        // Asked before it is opened: opening a pipe waits for somebody to write to it.
        if !std::fs::metadata(path).map_err(context)?.is_file() {
            return Err(Error::new(ErrorKind::Unsupported, format!("{}: not a regular file", path.display())));
        }
        let file = File::open(path).map_err(context)?;
        let metadata = file.metadata().map_err(context)?;
        let modified_ns = metadata
            .modified()
            .ok()
            .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
            .map_or(0, |since| since.as_nanos());
        #[cfg(unix)]
        let inode = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let inode = (0, 0);
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Ok(Self { file, identity: Identity { path, len: metadata.len(), modified_ns, inode } })
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl ReadAt for DiskFile {
    fn len(&self) -> u64 {
        self.identity.len
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        read_exact_at(&self.file, offset, out).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => past_end(offset, out.len(), self.identity.len),
            _ => Error::new(ErrorKind::Io, format!("reading {} bytes at {offset}: {e}", out.len())),
        })
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt;
    file.read_exact_at(out, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut offset: u64, mut out: &mut [u8]) -> std::io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !out.is_empty() {
        match file.seek_read(out, offset) {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                offset += n as u64;
                out = &mut out[n..];
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn past_end(offset: u64, wanted: usize, len: u64) -> Error {
    Error::new(ErrorKind::Io, format!("{wanted} bytes at {offset} reach past the end; {len} bytes were there at open"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_past_the_end_is_an_error_with_the_numbers() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut out = [0; 10];
        bytes.read_at(90, &mut out).unwrap();
        assert_eq!(out[9], 99);
        for offset in [91, 100, u64::MAX] {
            let error = bytes.read_at(offset, &mut out).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io);
            assert!(error.message().contains("10 bytes"), "{error}");
        }
    }

    #[test]
    fn a_file_is_read_by_position_and_named_when_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ten");
        std::fs::write(&path, b"0123456789").unwrap();
        let file = DiskFile::open(&path).unwrap();
        let mut out = [0; 3];
        file.read_at(4, &mut out).unwrap();
        assert_eq!((&out, file.len()), (b"456", 10));
        assert!(file.read_at(8, &mut out).is_err());

        let error = DiskFile::open(&dir.path().join("absent")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.message().contains("absent"));
        assert_eq!(DiskFile::open(dir.path()).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
