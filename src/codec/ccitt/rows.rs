//! Rows one after the other, of codes that come in parts; and what is needed to go on behind any row.

use crate::error::{Error, Result};

use super::{Bits, Changes, Scheme};

/// Bits behind the codes of a row that are looked at, and some.
const LOOKAHEAD_BITS: usize = 32;

/// A decoder between two rows.
pub(crate) struct Rows {
    scheme: Scheme,
    width: u32,
    /// Of the row that comes next.
    number: usize,
    above: Changes,
    row: Changes,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A row whose codes end before this bit of the input.
    Row(usize),
    /// The row may go on behind the input: it is to be tried again with more.
    More,
    /// The data says that no row follows.
    End,
}

impl Rows {
    /// Before the first row.
    pub(crate) fn new(scheme: Scheme, width: u32) -> Self {
        Self { scheme, width, number: 0, above: Changes::default(), row: Changes::default() }
    }

    /// Before the row of this number, where `above` is the packed one before it.
    pub(crate) fn after(scheme: Scheme, width: u32, number: usize, above: &[u8]) -> Self {
        Self { number, above: Changes::of(width, above), ..Self::new(scheme, width) }
    }

    /// Decodes the row whose codes start at `bit` of `input`, to `out`, in whole bytes. `is_all` says that nothing follows
    /// the input; it starts at a multiple of four bytes of the data.
    ///
    /// # Errors
    ///
    /// As [`decode`](super::decode).
    pub(crate) fn step(&mut self, input: &[u8], bit: usize, is_all: bool, out: &mut [u8]) -> Result<Step> {
        if out.len() != self.width.div_ceil(8) as usize || out.is_empty() {
            return Err(Error::internal(format!("{} bytes for a row of {} pixels", out.len(), self.width)));
        }
        let mut bits = Bits { input, at: bit };
        let found = self.scheme.row(&mut bits, self.number, self.width, &self.above, &mut self.row);
        // Whatever was found there, it may be of zeros that are none.
        if !is_all && bits.at + LOOKAHEAD_BITS > input.len() * 8 {
            return Ok(Step::More);
        }
        if !found? {
            return Ok(Step::End);
        }
        self.row.paint(self.width, out);
        std::mem::swap(&mut self.above, &mut self.row);
        self.number += 1;
        Ok(Step::Row(bits.at))
    }

    /// The row before the next one, packed; white before the first.
    pub(crate) fn above(&self) -> Box<[u8]> {
        let mut row = vec![0; self.width.div_ceil(8) as usize];
        self.above.paint(self.width, &mut row);
        row.into()
    }

    /// Heap bytes held.
    pub(crate) fn memory_bytes(&self) -> usize {
        (self.above.0.capacity() + self.row.0.capacity()) * size_of::<u32>()
    }
}
