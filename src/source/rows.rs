//! What formats that are one stream of rows share: the cut into strips, and bytes read forward.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

use crate::block::BlockLayout;
use crate::error::Result;
use crate::grid::{BlockId, Level};
use crate::sync::Arc;

use super::{ReadAt, ReadContext, SourceInfo};

/// Strips have about this many bytes.
const STRIP_BYTES: u64 = 1 << 20;

/// A level in strips of its whole width, each a multiple of `rows` high and of about a mebibyte.
pub(super) fn strips(width: u64, height: u64, row_bytes: u64, rows: u32) -> Result<Level> {
    let wanted = (STRIP_BYTES / row_bytes.max(1)).clamp(1, height.max(1));
    let strip_rows = wanted.next_multiple_of(u64::from(rows)).min(height.max(1));
    Level::new(width, height, width.min(u64::from(u32::MAX)) as u32, strip_rows as u32)
}

/// Gives the strip `at` from a picture that was decoded whole, and offers the others.
///
/// `whole` holds rows of `layout.row_stride` bytes. The strips after the one asked for are offered first: whoever
/// reads on wants them next.
pub(super) fn deal(
    info: &SourceInfo,
    at: BlockId,
    layout: &BlockLayout,
    whole: &[u8],
    out: &mut [u8],
    context: &mut ReadContext<'_>,
) {
    let level = &info.levels[0];
    let start = |row: u32| row as usize * level.block_height as usize * layout.row_stride;
    out.copy_from_slice(&whole[start(at.row)..][..layout.bytes]);
    for row in (at.row + 1..level.rows()).chain(0..at.row) {
        context.offer(BlockId::new(0, 0, row), &mut |strip| {
            strip.copy_from_slice(&whole[start(row)..][..strip.len()]);
            Ok(())
        });
    }
}

/// Reads a [`ReadAt`] from a position forward, through a buffer.
pub(super) struct Cursor {
    reader: Arc<dyn ReadAt>,
    buffer: Vec<u8>,
    /// What of the buffer was consumed.
    used: usize,
    /// Where in the file the buffer ends.
    end: u64,
}

impl Cursor {
    const BUFFER: u64 = 64 << 10;

    pub(super) fn new(reader: Arc<dyn ReadAt>) -> Self {
        Self { reader, buffer: Vec::new(), used: 0, end: 0 }
    }
}

impl BufRead for Cursor {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.buffer.len() {
            self.reader.was_read(self.end - self.buffer.len() as u64, self.buffer.len() as u64);
            let n = self.reader.len().saturating_sub(self.end).min(Self::BUFFER);
            self.used = 0;
            self.buffer.resize(n as usize, 0);
            if let Err(error) = self.reader.read_at(self.end, &mut self.buffer) {
                self.buffer.clear();
                return Err(io::Error::other(error));
            }
            self.end += n;
        }
        Ok(&self.buffer[self.used..])
    }

    fn consume(&mut self, n: usize) {
        self.used = (self.used + n).min(self.buffer.len());
    }
}

impl Read for Cursor {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let n = bytes.len().min(out.len());
        out[..n].copy_from_slice(&bytes[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let here = self.end - (self.buffer.len() - self.used) as u64;
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(delta) => self.reader.len().checked_add_signed(delta),
            SeekFrom::Current(delta) => here.checked_add_signed(delta),
        };
        let target = target.ok_or(io::ErrorKind::InvalidInput)?;
        if target != here {
            self.buffer.clear();
            self.used = 0;
            self.end = target;
        }
        Ok(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_cover_the_height_in_about_a_mebibyte_each() {
        let level = strips(8192, 8192, 8192 * 3, 16).unwrap();
        assert_eq!((level.block_width, level.block_height), (8192, 48));
        assert_eq!(strips(10, 10, 30, 16).unwrap().block_height, 10);
        assert_eq!(strips(4_000_000, 3, 4_000_000, 1).unwrap().block_height, 1);
    }

    #[test]
    fn the_cursor_reads_seeks_and_ends() {
        let bytes: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let mut cursor = Cursor::new(Arc::new(bytes.clone()));
        let mut all = Vec::new();
        cursor.read_to_end(&mut all).unwrap();
        assert_eq!(all, bytes);
        cursor.seek(SeekFrom::Start(150_000)).unwrap();
        cursor.seek(SeekFrom::Current(-1)).unwrap();
        let mut one = [0];
        cursor.read_exact(&mut one).unwrap();
        assert_eq!(one[0], bytes[149_999]);
        assert!(cursor.seek(SeekFrom::Current(-200_000)).is_err());
    }
}
