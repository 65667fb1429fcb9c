//! A file mapped into memory, whose bytes are lent instead of read.

#![expect(unsafe_code, reason = "a mapping is sound only while nobody changes the file")]

use std::fs::File;

use memmap2::{Mmap, MmapOptions};

use crate::error::{Error, ErrorKind, Result};
use crate::memory::LentBytes;
use crate::sync::Arc;

use super::ReadAt;
use super::access::MapPromise;
use super::file::copy_at;

/// The bytes of a file as they were when it was mapped. Whoever keeps what is lent keeps the mapping, which needs no open
/// file.
#[derive(Debug)]
pub(super) struct MappedFile {
    map: Arc<Mmap>,
}

impl MappedFile {
    /// Maps the first `len` bytes of `file`, which has at least that many.
    pub(super) fn new(file: &File, len: u64, _promise: MapPromise) -> Result<Self> {
        let failed = |e: std::io::Error| Error::new(ErrorKind::Io, format!("mapping {len} bytes: {e}"));
        let bytes = usize::try_from(len).map_err(|_| Error::limit(format!("mapping {len} bytes")))?;
        // SAFETY: whoever made the promise answers for the file: it is neither shortened nor changed while it is mapped,
        // so that the bytes are there and stay as they are.
        let map = unsafe { MmapOptions::new().len(bytes).map(file) }.map_err(failed)?;
        Ok(Self { map: Arc::new(map) })
    }
}

impl ReadAt for MappedFile {
    fn len(&self) -> u64 {
        self.map.len() as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        copy_at(&self.map, offset, out)
    }

    fn lend(&self, offset: u64, len: usize) -> Option<LentBytes<'_>> {
        let start = usize::try_from(offset).ok()?;
        LentBytes::new(&self.map, start..start.checked_add(len)?)
    }

    fn will_need(&self, offset: u64, len: u64) {
        let start = offset.min(self.len());
        let len = len.min(self.len() - start);
        // Advice that is not taken changes nothing.
        #[cfg(unix)]
        let _ = self.map.advise_range(memmap2::Advice::WillNeed, start as usize, len as usize);
        #[cfg(not(unix))]
        let _ = (start, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(bytes: &[u8]) -> MappedFile {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        // SAFETY: nobody else knows the file, and nothing is written to it from here on.
        let promise = unsafe { MapPromise::new() };
        MappedFile::new(&file, bytes.len() as u64, promise).unwrap()
    }

    #[test]
    fn bytes_are_lent_and_copied_and_outlive_the_file() {
        let bytes: Vec<u8> = (0..200_u8).cycle().take(10_000).collect();
        let file = map(&bytes);
        let mut out = [0; 10];
        file.read_at(9_990, &mut out).unwrap();
        assert_eq!(out, bytes[9_990..]);
        assert_eq!(file.read_at(9_991, &mut out).unwrap_err().kind(), ErrorKind::Io);
        let kept = file.lend(4_097, 5_000).unwrap().keep();
        assert_eq!(kept.as_ptr(), file.lend(4_097, 1).unwrap().as_ptr());
        for (offset, len) in [(9_999, 2), (10_001, 0), (u64::MAX, 1), (1, usize::MAX)] {
            assert!(file.lend(offset, len).is_none());
            file.will_need(offset, len as u64);
        }
        drop(file);
        assert_eq!(*kept, bytes[4_097..9_097]);
    }

    #[test]
    fn an_empty_file_can_be_mapped() {
        let file = map(&[]);
        assert!(file.is_empty() && file.lend(0, 0).is_some() && file.lend(0, 1).is_none());
        file.read_at(0, &mut []).unwrap();
        file.will_need(0, 1);
    }
}
