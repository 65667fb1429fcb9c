//! Bytes by position, from a file or from memory.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, ErrorKind, Result};
use crate::memory::LentBytes;
use crate::sync::Arc;

use super::access::{FileUse, OsCache};
use super::handles::{Handle, open_with_room};
use super::identity::{Identity, Seen, Stamp};
use super::mapped::MappedFile;

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

    /// The same `len` bytes where they are, for a reader that has them in memory: they are then not copied. `None` by
    /// default, and where there are not that many.
    ///
    /// What is lent must never change. A reader lends everything or nothing.
    fn lend(&self, _offset: u64, _len: usize) -> Option<LentBytes<'_>> {
        None
    }

    /// Hears that these bytes will be read soon. Advice: nothing by default, and no bytes need be there.
    fn will_need(&self, _offset: u64, _len: u64) {}

    /// Hears that these bytes were read as part of a block, and that whoever read them keeps what was made of them.
    /// Advice, as [`will_need`](Self::will_need).
    fn was_read(&self, _offset: u64, _len: u64) {}

    /// Whether the operating system keeps bytes that were read, so that reading them again is a copy. `false` by default.
    fn is_kept_by_system(&self) -> bool {
        false
    }

    /// Hears that nothing will be read for a while. A reader that can take up what it holds again, as an open file, lets go
    /// of it. Nothing by default.
    fn rest(&self) {}
}

impl<R: ReadAt + ?Sized> ReadAt for Arc<R> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        (**self).read_at(offset, out)
    }

    fn lend(&self, offset: u64, len: usize) -> Option<LentBytes<'_>> {
        (**self).lend(offset, len)
    }

    fn will_need(&self, offset: u64, len: u64) {
        (**self).will_need(offset, len);
    }

    fn was_read(&self, offset: u64, len: u64) {
        (**self).was_read(offset, len);
    }

    fn is_kept_by_system(&self) -> bool {
        (**self).is_kept_by_system()
    }

    fn rest(&self) {
        (**self).rest();
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        Self::len(self) as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        copy_at(self, offset, out)
    }
}

/// Fills `out` with what `bytes` has from `offset` on. Nothing is everywhere, as it is in a file.
pub(super) fn copy_at(bytes: &[u8], offset: u64, out: &mut [u8]) -> Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    let found = usize::try_from(offset).ok().and_then(|start| bytes.get(start..start.checked_add(out.len())?));
    out.copy_from_slice(found.ok_or_else(|| past_end(offset, out.len(), bytes.len() as u64))?);
    Ok(())
}

/// Opens a regular file, to be read by position or mapped, and says which one it is.
pub(super) fn open_file(path: &Path, file_use: FileUse) -> Result<(Arc<dyn ReadAt>, Seen, Identity)> {
    // A time before the look, so that a change after it cannot seem older than it is.
    let now = SystemTime::now();
    let (file, metadata) = open_checked(path)?;
    let stamp = Stamp::of(&metadata);
    let seen = Seen::new(path, stamp, now);
    let canonical = path.canonicalize().unwrap_or_else(|_| seen.path.clone());
    let reader = reader(file, stamp, canonical.clone(), file_use).map_err(|e| e.context(path.display()))?;
    Ok((reader, seen, Identity::new(canonical, &stamp, now)))
}

/// Opens a regular file of whose identity nobody asks. One that does not exist costs one call of the system.
pub(super) fn open_regular(path: &Path, file_use: FileUse) -> Result<(Arc<dyn ReadAt>, Seen)> {
    let now = SystemTime::now();
    let (file, metadata) = open_checked(path)?;
    let stamp = Stamp::of(&metadata);
    let seen = Seen::new(path, stamp, now);
    let reader = reader(file, stamp, seen.path.clone(), file_use).map_err(|e| e.context(path.display()))?;
    Ok((reader, seen))
}

fn reader(file: File, stamp: Stamp, path: PathBuf, file_use: FileUse) -> Result<Arc<dyn ReadAt>> {
    Ok(match file_use {
        FileUse::Read(os_cache) => Arc::new(DiskFile { handle: Handle::new(path, file, stamp), os_cache }),
        FileUse::Map(promise) => Arc::new(MappedFile::new(&file, stamp.len, promise)?),
    })
}

/// Opens a regular file, and looks at what was opened.
pub(super) fn open_checked(path: &Path) -> Result<(File, Metadata)> {
    let context = |e: std::io::Error| Error::from(e).context(path.display());
    // Asked before it is opened: opening a pipe waits for somebody to write to it.
    if !std::fs::metadata(path).map_err(context)?.is_file() {
        return Err(Error::new(ErrorKind::Unsupported, format!("{}: not a regular file", path.display())));
    }
    let file = open_with_room(|| File::open(path)).map_err(context)?;
    let metadata = file.metadata().map_err(context)?;
    Ok((file, metadata))
}

/// A regular file read by position.
#[derive(Debug)]
struct DiskFile {
    handle: Handle,
    os_cache: OsCache,
}

/// The most bytes that Linux caches as one, at a multiple of their number. It drops such a unit only as a whole: told of
/// nothing but the bytes of the blocks, it kept 357 of 362 MB of a file that was read in order.
const OS_UNIT: u64 = 2 << 20;

impl ReadAt for DiskFile {
    fn len(&self) -> u64 {
        self.handle.stamp().len
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        read_exact_at(&*self.handle.file()?, offset, out).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => past_end(offset, out.len(), self.len()),
            _ => Error::new(ErrorKind::Io, format!("reading {} bytes at {offset}: {e}", out.len())),
        })
    }

    fn will_need(&self, offset: u64, len: u64) {
        // It was advice: what cannot be opened says so when it is read.
        if let Ok(file) = self.handle.file() {
            advise(&file, offset, len, Advice::WillNeed);
        }
    }

    fn was_read(&self, offset: u64, len: u64) {
        if self.os_cache == OsCache::Drop
            && let Ok(file) = self.handle.file()
        {
            let start = offset - offset % OS_UNIT;
            advise(&file, start, len.saturating_add(offset - start), Advice::DontNeed);
        }
    }

    fn is_kept_by_system(&self) -> bool {
        self.os_cache == OsCache::Keep
    }

    fn rest(&self) {
        self.handle.close();
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
use rustix::fs::Advice;

/// Advice that is not taken changes nothing.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn advise(file: &File, offset: u64, len: u64, advice: Advice) {
    // No length would mean up to the end of the file.
    if let Some(len) = std::num::NonZeroU64::new(len) {
        let _ = rustix::fs::fadvise(file, offset, Some(len), advice);
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
enum Advice {
    WillNeed,
    DontNeed,
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn advise(_file: &File, _offset: u64, _len: u64, _advice: Advice) {}

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
    fn a_file_that_was_closed_is_opened_again_if_it_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ten");
        std::fs::write(&path, b"0123456789").unwrap();
        let file = open_regular(&path, FileUse::Read(OsCache::Keep)).unwrap().0;
        let read = || {
            file.rest();
            let mut out = [0; 3];
            file.read_at(4, &mut out).map(|()| out)
        };
        assert_eq!(read().unwrap(), *b"456");

        let aside = dir.path().join("aside");
        std::fs::rename(&path, &aside).unwrap();
        std::fs::write(&path, b"9876543210").unwrap();
        let error = read().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changed);
        assert!(error.message().contains("ten"), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read().unwrap_err().kind(), ErrorKind::Changed);
        std::fs::create_dir(&path).unwrap();
        assert_eq!(read().unwrap_err().kind(), ErrorKind::Unsupported);
        std::fs::remove_dir(&path).unwrap();
        // The failures are not remembered.
        std::fs::rename(&aside, &path).unwrap();
        assert_eq!(read().unwrap(), *b"456");
    }

    #[test]
    fn a_file_is_read_by_position_and_named_when_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ten");
        std::fs::write(&path, b"0123456789").unwrap();
        let open = |path: &Path| open_file(path, FileUse::Read(OsCache::Drop));
        let (file, _, identity) = open(&path).unwrap();
        let mut out = [0; 3];
        file.read_at(4, &mut out).unwrap();
        assert_eq!((&out, file.len(), identity.len), (b"456", 10, 10));
        assert!(file.read_at(8, &mut out).is_err());
        // Advice about anything at all is no error.
        for (offset, len) in [(0, 10), (9, 100), (u64::MAX, u64::MAX), (0, 0)] {
            file.will_need(offset, len);
            file.was_read(offset, len);
        }

        let error = open(&dir.path().join("absent")).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.message().contains("absent"));
        assert_eq!(open(dir.path()).err().unwrap().kind(), ErrorKind::Unsupported);
    }
}
