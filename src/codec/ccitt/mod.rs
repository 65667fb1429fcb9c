//! The codes of fax machines, ITU-T T.4 and T.6, as TIFF stores them (TIFF 6.0, sections 10 and 11): one bit a pixel,
//! runs of white and black.
//!
//! A row is known by where its colour changes. In one dimension the distances between changes are coded; in two, where
//! they lie compared with the row above. Rows are written as packed bits, 1 for black, whatever the file says that black
//! is: what 0 and 1 look like is for the photometric interpretation to say.

mod bits;
mod changes;
mod codes;
mod rows;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};

use super::Contexts;
use bits::Bits;
use changes::Changes;
pub(crate) use rows::{Rows, Step};

/// How rows are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// One dimension, no marks between rows; every row starts at a whole byte (TIFF compression 2), or word (32771).
    Rle { align_bytes: usize },
    /// Rows end with a mark (compression 3). With `two_dimensional` a bit behind it says how the next row is coded.
    /// Zeros may fill up a row so that its mark ends with a byte.
    Group3 { two_dimensional: bool },
    /// Two dimensions, no marks but one at the end (compression 4).
    Group4,
}

/// Rows as places where the colour changes, kept from block to block.
#[derive(Default)]
pub(crate) struct Context {
    above: Changes,
    row: Changes,
}

impl Context {
    pub(super) fn memory_bytes(&self) -> usize {
        (self.above.0.capacity() + self.row.0.capacity()) * size_of::<u32>()
    }
}

/// Decodes rows of `width` pixels to the start of `out`, each in whole bytes, until `out` is full or the data says that
/// it ends. Returns how many bytes it wrote.
///
/// # Errors
///
/// Corrupt for a row that is broken, ends early or is too long: none of its pixels is made up. Unsupported for
/// uncompressed data between the codes.
pub(crate) fn decode(
    contexts: &mut Contexts,
    scheme: Scheme,
    input: &[u8],
    width: u32,
    out: &mut [u8],
) -> Result<usize> {
    let Context { above, row } = &mut contexts.ccitt;
    let row_bytes = width.div_ceil(8) as usize;
    if row_bytes == 0 {
        return Err(Error::corrupt("rows of 0 pixels"));
    }
    above.0.clear();
    let mut bits = Bits { input, at: 0 };
    let mut written = 0;
    for (number, target) in out.chunks_exact_mut(row_bytes).enumerate() {
        if !scheme.row(&mut bits, number, width, above, row)? {
            break;
        }
        row.paint(width, target);
        std::mem::swap(above, row);
        written += row_bytes;
    }
    Ok(written)
}

impl Scheme {
    /// Decodes the row of this number, which starts at `bits`; `false` when the data says that there is none.
    fn row(self, bits: &mut Bits<'_>, number: usize, width: u32, above: &Changes, row: &mut Changes) -> Result<bool> {
        let one_dimensional = match self {
            Self::Rle { align_bytes } => {
                bits.align(align_bytes);
                !bits.is_at_end()
            }
            Self::Group3 { two_dimensional } => match bits.end_of_line(number, two_dimensional)? {
                Some(one_dimensional) => one_dimensional,
                None => return Ok(false),
            },
            Self::Group4 => false,
        };
        if bits.is_at_end() || self == Self::Group4 && bits.peek(12) == 1 {
            return Ok(false);
        }
        row.0.clear();
        let context = |e: Error| e.context(format!("CCITT row {number}"));
        if one_dimensional {
            bits.one_dimensional(width, row).map_err(context)?;
        } else {
            bits.two_dimensional(width, above, row).map_err(context)?;
        }
        let n = bits.input.len();
        if bits.at > n * 8 {
            return Err(context(Error::corrupt(format!("{n} bytes of codes end within the row"))));
        }
        Ok(true)
    }
}
