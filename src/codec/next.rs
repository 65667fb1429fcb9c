//! The run lengths of NeXT's computers, TIFF compression 32766: rows of pixels of 2 bits.

use crate::error::{Error, Result};

/// All of the row as it is.
const LITERAL_ROW: u8 = 0x00;
/// A piece of the row as it is; the rest is white.
const LITERAL_SPAN: u8 = 0x40;

/// Decodes rows of `width` pixels to the start of `out`, each in `row_bytes`, until `out` is full or the input ends.
/// Returns how many bytes it wrote.
///
/// # Errors
///
/// Corrupt for a row that breaks off or says more than it can hold.
pub(crate) fn decode(input: &[u8], width: u32, row_bytes: usize, out: &mut [u8]) -> Result<usize> {
    if row_bytes != (width as usize).div_ceil(4) || row_bytes == 0 {
        return Err(Error::corrupt(format!("NeXT rows of {width} pixels of 2 bits in {row_bytes} bytes")));
    }
    let mut rest = input;
    let mut written = 0;
    for (number, row) in out.chunks_exact_mut(row_bytes).enumerate() {
        if rest.is_empty() {
            break;
        }
        rest = decode_row(rest, width, row)
            .ok_or_else(|| Error::corrupt(format!("NeXT row {number} of {width} pixels is broken")))?;
        written += row_bytes;
    }
    Ok(written)
}

/// Decodes the row at the start of `input` and gives what follows it.
fn decode_row<'a>(input: &'a [u8], width: u32, row: &mut [u8]) -> Option<&'a [u8]> {
    let (&code, rest) = input.split_first()?;
    row.fill(0xff);
    match code {
        LITERAL_ROW => {
            let (literal, rest) = rest.split_at_checked(row.len())?;
            row.copy_from_slice(literal);
            Some(rest)
        }
        LITERAL_SPAN => {
            let (&[o1, o0, n1, n0], rest) = rest.split_first_chunk::<4>()?;
            let (at, n) = (u16::from_be_bytes([o1, o0]).into(), u16::from_be_bytes([n1, n0]).into());
            let (literal, rest) = rest.split_at_checked(n)?;
            row.get_mut(at..at + n)?.copy_from_slice(literal);
            Some(rest)
        }
        _ => {
            // Runs of one grey, until the row is full. A last run that is too long is cut, as by other readers.
            let mut rest = input;
            let mut x = 0;
            while x < width as usize {
                let (&run, after) = rest.split_first()?;
                rest = after;
                let grey = run >> 6;
                let end = (x + usize::from(run & 0x3f)).min(width as usize);
                for at in x..end {
                    let shift = 6 - at % 4 * 2;
                    row[at / 4] = row[at / 4] & !(3 << shift) | grey << shift;
                }
                x = end;
            }
            // What fills the last byte up is nothing.
            if !x.is_multiple_of(4) {
                row[x / 4] &= 0xff << (8 - x % 4 * 2);
            }
            Some(rest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn decoded(input: &[u8], width: u32, n_rows: usize) -> Result<Vec<u8>> {
        let row_bytes = (width as usize).div_ceil(4);
        let mut out = vec![0xa5; row_bytes * n_rows];
        let n = decode(input, width, row_bytes, &mut out)?;
        out.truncate(n);
        Ok(out)
    }

    #[test]
    fn rows_are_literal_partly_literal_or_runs() {
        let stream = [
            &[0x00, 0x1b, 0x1b, 0x1b][..],
            &[0x40, 0, 1, 0, 1, 0x00],
            // Two of grey 0, seven of grey 1, one of grey 2 and more than fit.
            &[0x02, 0x47, 0x88],
        ]
        .concat();
        let rows = [[0x1b, 0x1b, 0x1b], [0xff, 0x00, 0xff], [0b0000_0101, 0b0101_0101, 0b0110_0000]].concat();
        assert_eq!(decoded(&stream, 10, 3).unwrap(), rows);
        assert_eq!(decoded(&stream, 10, 5).unwrap(), rows, "the input ends");
    }

    #[test]
    fn rows_that_break_off_or_reach_too_far_are_corrupt() {
        for stream in [
            &[0x00, 1, 2][..],
            &[0x40, 0, 0, 0],
            &[0x40, 0, 0, 0, 2, 7],
            &[0x40, 0, 2, 0, 2, 7, 7],
            &[0x40, 0xff, 0xff, 0, 0],
            &[0x41, 0x80, 0x80],
        ] {
            let error = decoded(stream, 10, 1).unwrap_err();
            assert_eq!((error.kind(), error.message()), (ErrorKind::Corrupt, "NeXT row 0 of 10 pixels is broken"));
        }
    }
}
