//! What formats that are one stream of rows share: the cut into bands and blocks, and bytes read forward.

use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::ops::Range;

use crate::error::{Error, Result};
use crate::grid::{BlockId, Level, Window};
use crate::memory::{Rows, copy_rows};
use crate::sync::Arc;

use super::{ReadAt, ReadContext};

/// Decoded bytes of a band, unless a row alone has more.
const BAND_BYTES: u64 = 1 << 20;
/// A band is no higher than that: of a window of a narrow picture little more is decoded than what it shows.
const MAX_BAND_ROWS: u64 = 256;
/// A band of more columns than that is cut into blocks, so that a cache need not keep whole rows of a wide picture for
/// a viewer who looks at a part of them.
const MAX_WHOLE_WIDTH: u64 = 1024;
/// What the blocks of a band have at least.
const MIN_BLOCK_BYTES: u64 = 48 << 10;

/// A level in bands of its whole width, each decoded at once and cut into blocks.
pub(super) fn bands(width: u64, height: u64, pixel_bytes: u64) -> Result<Level> {
    let row_bytes = width.saturating_mul(pixel_bytes).max(1);
    let rows = prev_power_of_two((BAND_BYTES / row_bytes).clamp(1, MAX_BAND_ROWS)).min(height.max(1));
    let columns = if width <= MAX_WHOLE_WIDTH {
        width
    } else {
        (MIN_BLOCK_BYTES / (rows * pixel_bytes)).next_power_of_two().clamp(256, width)
    };
    Level::new(width, height, columns as u32, rows as u32)
}

fn prev_power_of_two(n: u64) -> u64 {
    1 << n.ilog2()
}

/// Rows that were decoded, of the whole width and without padding.
pub(super) struct Decoded<'a> {
    pub(super) level: &'a Level,
    pub(super) pixel_bytes: usize,
    /// The rows of blocks that they are.
    pub(super) rows: Range<u32>,
    pub(super) pixels: &'a [u8],
}

impl Decoded<'_> {
    /// Copies the block `at` to `out`.
    pub(super) fn copy_block(&self, at: BlockId, out: &mut [u8]) -> Result<()> {
        let level = self.level;
        let window = level.block_window(at.col, at.row).filter(|_| self.rows.contains(&at.row));
        let window = window.ok_or_else(|| Error::internal(format!("{at} is not in rows {:?}", self.rows)))?;
        let first = window.y - u64::from(self.rows.start) * u64::from(level.block_height);
        let place = (window.x as usize, first as usize);
        copy_part(self.pixels, level.width as usize * self.pixel_bytes, self.pixel_bytes, place, &window, out);
        Ok(())
    }

    /// Offers all blocks but `asked`, those first that whoever reads `asked` probably wants next: on the right, on the
    /// left, below, above.
    pub(super) fn offer(&self, asked: BlockId, context: &mut ReadContext<'_>) {
        let n_cols = self.level.cols();
        let rows = &self.rows;
        let here = rows.contains(&asked.row).then_some(asked.row);
        let below = (asked.row + 1).max(rows.start)..rows.end;
        let above = rows.start..asked.row.min(rows.end);
        for row in here.into_iter().chain(below).chain(above.rev()) {
            for col in (asked.col..n_cols).chain((0..asked.col.min(n_cols)).rev()) {
                let at = BlockId { col, row, ..asked };
                if at != asked {
                    context.offer(at, &mut |out| self.copy_block(at, out));
                }
            }
        }
    }
}

/// Copies the pixels of `window`, the first of which is in this column and row of rows of `stride` bytes, to `out`, which has
/// them without padding.
pub(super) fn copy_part(
    pixels: &[u8],
    stride: usize,
    pixel_bytes: usize,
    (column, row): (usize, usize),
    window: &Window,
    out: &mut [u8],
) {
    let row_bytes = window.width as usize * pixel_bytes;
    let (n_rows, target_stride) = (window.height as usize, row_bytes);
    let source = &pixels[row * stride + column * pixel_bytes..];
    copy_rows(source, out, Rows { n_rows, row_bytes, source_stride: stride, target_stride });
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
        let start = self.end - self.buffer.len() as u64;
        if (start..=self.end).contains(&target) {
            self.used = (target - start) as usize;
        } else {
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
    fn bands_have_about_a_mebibyte_and_wide_ones_are_cut() {
        let shape = |width, height, pixel| {
            let level = bands(width, height, pixel).unwrap();
            (level.block_width, level.block_height)
        };
        assert_eq!(shape(8192, 8192, 3), (512, 32));
        assert_eq!(shape(1000, 3000, 3), (1000, 256));
        assert_eq!(shape(10, 10, 3), (10, 10));
        assert_eq!(shape(4_000_000, 3, 1), (65_536, 1));
    }

    #[test]
    fn blocks_of_a_band_are_cut_from_its_rows_and_offered_from_the_asked_one_on() {
        struct Taken(Vec<(BlockId, Vec<u8>)>);
        impl super::super::Siblings for Taken {
            fn offer(&mut self, at: BlockId, fill: &mut dyn FnMut(&mut [u8]) -> Result<()>) -> bool {
                let mut pixels = vec![0; if at.col == 2 { 2 } else { 8 }];
                fill(&mut pixels).unwrap();
                self.0.push((at, pixels));
                true
            }
        }
        let level = Level::new(9, 6, 4, 2).unwrap();
        let pixels: Vec<u8> = (18..54).collect();
        let decoded = Decoded { level: &level, pixel_bytes: 1, rows: 1..3, pixels: &pixels };
        let mut out = [0; 8];
        decoded.copy_block(BlockId::new(0, 1, 1), &mut out).unwrap();
        assert_eq!(out, [22, 23, 24, 25, 31, 32, 33, 34]);
        let mut taken = Taken(Vec::new());
        decoded.offer(BlockId::new(0, 1, 1), &mut ReadContext::with_siblings(&mut taken));
        let order: Vec<_> = taken.0.iter().map(|(at, _)| (at.col, at.row)).collect();
        assert_eq!(order, [(2, 1), (0, 1), (1, 2), (2, 2), (0, 2)]);
        assert_eq!(taken.0[3].1, [44, 53]);
        assert!(decoded.copy_block(BlockId::new(0, 0, 0), &mut out).is_err());
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
