//! The rows of the stream of a PNG: those of the picture, or of the seven pictures that an interlaced one is cut into.

use std::ops::Range;

/// Rows of the stream that follow each other and are equally long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    /// Where in the picture its first pixel is, and how far it is to the next one, across and down.
    left: u32,
    top: u32,
    pub(super) across: u32,
    down: u32,
    /// Pixels of a row.
    pub(super) width: u32,
    pub(super) n_rows: u32,
    /// Bytes of a row without its filter.
    pub(super) row_bytes: usize,
    /// Bytes of a pixel, at least 1: how far left filters look.
    pub(super) pixel_bytes: usize,
    /// Where in the inflated stream its first row starts.
    first_byte: u64,
}

/// Where Adam7 starts and how far it steps, across and down.
const ADAM7: [[u32; 4]; 7] =
    [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

impl Pass {
    /// Those of a picture, in the order of the stream; passes without a pixel are not stored.
    pub(super) fn all(width: u32, height: u32, pixel_bits: u64, interlaced: bool) -> Vec<Self> {
        let steps: &[[u32; 4]] = if interlaced { &ADAM7 } else { &[[0, 0, 1, 1]] };
        let mut first_byte = 0;
        let mut passes = Vec::new();
        for &[left, top, across, down] in steps {
            let (width, n_rows) =
                (width.saturating_sub(left).div_ceil(across), height.saturating_sub(top).div_ceil(down));
            if width > 0 && n_rows > 0 {
                let row_bytes = (u64::from(width) * pixel_bits).div_ceil(8) as usize;
                let pixel_bytes = pixel_bits.div_ceil(8) as usize;
                let pass = Self { left, top, across, down, width, n_rows, row_bytes, pixel_bytes, first_byte };
                first_byte = pass.position(n_rows);
                passes.push(pass);
            }
        }
        passes
    }

    /// Where in the inflated stream the row starts, or where it ends if it is the one after the last.
    pub(super) fn position(&self, row: u32) -> u64 {
        self.first_byte + u64::from(row) * (self.row_bytes as u64 + 1)
    }

    /// The row that starts at `position`, which lies in the pass.
    pub(super) fn row_at(&self, position: u64) -> u32 {
        ((position - self.first_byte) / (self.row_bytes as u64 + 1)) as u32
    }

    /// Its rows that lie in these rows of the picture.
    pub(super) fn rows_in(&self, rows: &Range<u32>) -> Range<u32> {
        let index = |y: u32| y.saturating_sub(self.top).div_ceil(self.down).min(self.n_rows);
        index(rows.start)..index(rows.end)
    }

    /// Where in the picture its row lies.
    pub(super) fn y(&self, row: u32) -> u32 {
        self.top + row * self.down
    }

    pub(super) fn x(&self) -> usize {
        self.left as usize
    }

    /// Whether its rows are those of the picture.
    pub(super) fn is_whole(&self) -> bool {
        self.across == 1 && self.down == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_of_a_picture_is_in_one_pass() {
        for (width, height) in [(1, 1), (2, 3), (5, 1), (8, 8), (33, 17)] {
            for interlaced in [false, true] {
                let mut seen = vec![0; (width * height) as usize];
                let passes = Pass::all(width, height, 24, interlaced);
                for pass in &passes {
                    // In any bands, every row once.
                    for band in (0..height).step_by(3).map(|y| y..(y + 3).min(height)) {
                        for row in pass.rows_in(&band) {
                            assert!(band.contains(&pass.y(row)));
                            for i in 0..pass.width {
                                let x = pass.x() as u32 + i * pass.across;
                                seen[(pass.y(row) * width + x) as usize] += 1;
                            }
                        }
                    }
                }
                assert!(seen.iter().all(|n| *n == 1), "{width}x{height}, {interlaced}");
                for pair in passes.windows(2) {
                    assert_eq!(pair[0].position(pair[0].n_rows), pair[1].position(0));
                    assert_eq!(pair[1].row_at(pair[1].position(0)), 0);
                }
            }
        }
    }

    #[test]
    fn rows_of_fewer_than_eight_bits_are_whole_bytes() {
        let pass = Pass::all(13, 4, 1, false)[0];
        assert_eq!((pass.row_bytes, pass.position(2), pass.row_at(6)), (2, 6, 2));
    }
}
