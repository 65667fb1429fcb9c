//! The entropy-coded data of a file, read ahead.

use crate::codec::inflate::Feed;
use crate::error::Result;

use super::super::ReadAt;

/// The bytes of a file from a position on.
pub(super) struct Ahead<'a> {
    reader: &'a dyn ReadAt,
    buffer: Vec<u8>,
    used: usize,
    /// Where in the file the buffer ends.
    end: u64,
    /// Bytes that are read at once.
    at_once: usize,
}

impl<'a> Ahead<'a> {
    pub(super) fn new(reader: &'a dyn ReadAt, offset: u64, at_once: usize) -> Self {
        Self { reader, buffer: Vec::new(), used: 0, end: offset, at_once }
    }

    #[cold]
    fn read(&mut self) -> Result<()> {
        let left = self.buffer.len() - self.used;
        if self.end < self.reader.len() {
            let start = self.end - left as u64;
            self.reader.was_read(self.end - self.buffer.len() as u64, self.buffer.len() as u64);
            let n = (self.reader.len() - start).min(self.at_once as u64);
            self.buffer.resize(n as usize, 0);
            self.reader.read_at(start, &mut self.buffer)?;
            (self.used, self.end) = (0, start + n);
        }
        Ok(())
    }
}

impl Feed for Ahead<'_> {
    #[inline]
    fn bytes(&mut self) -> Result<&[u8]> {
        if self.buffer.len() - self.used < 8 {
            self.read()?;
        }
        Ok(&self.buffer[self.used..])
    }

    #[inline]
    fn consume(&mut self, n: usize) {
        self.used += n;
    }
}
