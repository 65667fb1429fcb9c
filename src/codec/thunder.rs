//! ThunderScan, TIFF compression 32809: rows of pixels of 4 bits, as runs and differences to the pixel before.

use crate::error::{Error, Result};

/// What the two bits of a small difference mean; `None`: no pixel.
const SMALL: [Option<u8>; 4] = [Some(0), Some(1), None, Some(15)];
/// What the three bits of a larger difference mean.
const LARGE: [Option<u8>; 8] = [Some(0), Some(1), Some(2), Some(3), None, Some(13), Some(14), Some(15)];

/// Decodes rows of `width` pixels to the start of `out`, each in `row_bytes`, until `out` is full or the input ends.
/// Returns how many bytes it wrote.
///
/// # Errors
///
/// Corrupt for a row that breaks off or has too many pixels.
pub(crate) fn decode(input: &[u8], width: u32, row_bytes: usize, out: &mut [u8]) -> Result<usize> {
    if row_bytes != (width as usize).div_ceil(2) || row_bytes == 0 {
        return Err(Error::corrupt(format!("ThunderScan rows of {width} pixels of 4 bits in {row_bytes} bytes")));
    }
    let mut codes = input.iter();
    let mut written = 0;
    for (number, target) in out.chunks_exact_mut(row_bytes).enumerate() {
        if codes.as_slice().is_empty() {
            break;
        }
        let mut row = Row { out: target, width: width as usize, x: 0, last: 0 };
        row.out.fill(0);
        while row.x < row.width {
            let fits = codes.next().is_some_and(|code| row.take(*code));
            if !fits {
                let x = row.x;
                return Err(Error::corrupt(format!("ThunderScan row {number} is broken at pixel {x} of {width}")));
            }
        }
        written += row_bytes;
    }
    Ok(written)
}

struct Row<'a> {
    out: &'a mut [u8],
    width: usize,
    x: usize,
    /// The pixel before; 0 at the start of a row.
    last: u8,
}

impl Row<'_> {
    /// Adds the pixels of a code; `false` when they are too many.
    fn take(&mut self, code: u8) -> bool {
        let difference = |row: &mut Self, difference: Option<u8>| match difference {
            // A code stands for several pixels, of which the end of a row may need fewer.
            Some(by) if row.x < row.width => row.push(row.last.wrapping_add(by)),
            _ => true,
        };
        match code >> 6 {
            0 => (0..code & 0x3f).all(|_| self.push(self.last)),
            1 => [4, 2, 0].into_iter().all(|at| difference(self, SMALL[usize::from(code >> at & 3)])),
            2 => [3, 0].into_iter().all(|at| difference(self, LARGE[usize::from(code >> at & 7)])),
            _ => self.push(code),
        }
    }

    fn push(&mut self, value: u8) -> bool {
        self.last = value & 15;
        if self.x == self.width {
            return false;
        }
        self.out[self.x / 2] |= if self.x.is_multiple_of(2) { self.last << 4 } else { self.last };
        self.x += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn decoded(input: &[u8], width: u32, n_rows: usize) -> Result<Vec<u8>> {
        let row_bytes = (width as usize).div_ceil(2);
        let mut out = vec![0xa5; row_bytes * n_rows];
        let n = decode(input, width, row_bytes, &mut out)?;
        out.truncate(n);
        Ok(out)
    }

    #[test]
    fn runs_differences_and_plain_pixels_make_a_row() {
        // 9; three times that; +1, none, -1; -3, +2; 0; and a row of its own that starts from 0.
        let stream = [0xc9, 0x03, 0b0101_1011, 0b1010_1010, 0xc0, 0x05, 0xcf, 0x03];
        assert_eq!(decoded(&stream, 9, 2).unwrap(), [0x99, 0x99, 0xa9, 0x68, 0x00, 0x00, 0x00, 0x0f, 0xff, 0xf0]);
        assert_eq!(decoded(&stream, 9, 3).unwrap().len(), 10, "the input ends");
    }

    #[test]
    fn rows_that_are_too_long_or_too_short_are_corrupt() {
        assert!(decoded(&[0x08, 0b0100_0000], 9, 1).is_ok(), "differences come in threes");
        for (stream, x) in [(&[0xc1, 0x09][..], 9), (&[0xc1, 0x02], 3)] {
            let error = decoded(stream, 9, 1).unwrap_err();
            let message = format!("ThunderScan row 0 is broken at pixel {x} of 9");
            assert_eq!((error.kind(), error.message()), (ErrorKind::Corrupt, &message[..]));
        }
    }
}
