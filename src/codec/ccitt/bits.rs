//! Code words taken off a stream of bits: marks, runs, and rows of them.

use crate::error::{Error, Result};

use super::changes::Changes;
use super::codes::{self, BLACK_RUNS, MODE_BITS, Mode, RUN_BITS, WHITE_RUNS};

/// Takes bits off a byte string, the most significant first. Behind its end are zeros.
pub(super) struct Bits<'a> {
    pub(super) input: &'a [u8],
    /// Bits taken.
    pub(super) at: usize,
}

impl Bits<'_> {
    /// The next `n` bits, 24 at most.
    #[inline]
    pub(super) fn peek(&self, n: u32) -> u32 {
        let start = self.at / 8;
        let word = match self.input.get(start..start + 4) {
            Some(bytes) => u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            None => (0..4).fold(0, |word, i| word << 8 | u32::from(self.input.get(start + i).copied().unwrap_or(0))),
        };
        (word << (self.at % 8)) >> (32 - n)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.input.len() * 8
    }

    pub(super) fn align(&mut self, bytes: usize) {
        self.at = self.at.next_multiple_of(bytes * 8);
    }

    /// Skips the marks before a row and says whether the row is coded in one dimension; `None` at the end.
    pub(super) fn end_of_line(&mut self, row: usize, two_dimensional: bool) -> Result<Option<bool>> {
        let mut one_dimensional = None;
        // Six marks in a row are the end of the page, and so is the end of the bytes.
        for _ in 0..6 {
            if self.is_at_end() {
                return Ok(None);
            }
            if self.peek(11) != 0 {
                // The mark is left out before the first row, or everywhere.
                return match one_dimensional {
                    Some(one_dimensional) => Ok(Some(one_dimensional)),
                    None if !two_dimensional => Ok(Some(true)),
                    None => Err(Error::corrupt(format!("CCITT row {row}: no mark says how it is coded"))),
                };
            }
            self.at += 11;
            while self.peek(1) == 0 {
                // Whole bytes of filling at a time.
                let skip = if self.peek(24) == 0 { 24 } else { 1 };
                self.at += skip;
                if self.is_at_end() {
                    return Ok(None);
                }
            }
            self.at += 1;
            one_dimensional = Some(true);
            if two_dimensional {
                one_dimensional = Some(self.peek(1) == 1);
                self.at += 1;
            }
        }
        Ok(None)
    }

    /// The length of a run that starts here.
    #[inline]
    fn run(&mut self, black: bool) -> Result<u32> {
        let table = if black { &BLACK_RUNS } else { &WHITE_RUNS };
        let mut run = 0_u32;
        loop {
            let code = table[self.peek(RUN_BITS) as usize];
            if code.bits == 0 {
                return Err(self.unknown(RUN_BITS));
            }
            self.at += usize::from(code.bits);
            run = run.saturating_add(u32::from(code.value));
            if code.value < 64 {
                return Ok(run);
            }
        }
    }

    pub(super) fn one_dimensional(&mut self, width: u32, row: &mut Changes) -> Result<()> {
        let (mut at, mut black) = (0_u32, false);
        while at < width {
            at = within(at, self.run(black)?, width)?;
            row.push(at);
            black = !black;
        }
        Ok(())
    }

    pub(super) fn two_dimensional(&mut self, width: u32, above: &Changes, row: &mut Changes) -> Result<()> {
        let (mut at, mut black) = (0_u32, false);
        // The next change above that may matter.
        let mut next = 0;
        let mut at_start = true;
        while at < width {
            // The first change above to the right of here, and to the other colour.
            while next > 0 && above.0.get(next - 1).is_none_or(|change| *change > at) {
                next -= 1;
            }
            while above.0.get(next).is_some_and(|change| *change < at || *change == at && !at_start) {
                next += 1;
            }
            if next % 2 != usize::from(black) {
                next += 1;
            }
            let change = |index: usize| above.0.get(index).copied().unwrap_or(width);
            let Some((mode, bits)) = codes::mode(self.peek(MODE_BITS)) else { return Err(self.unknown(MODE_BITS)) };
            self.at += bits as usize;
            match mode {
                Mode::Pass => at = change(next + 1),
                Mode::Horizontal => {
                    for black in [black, !black] {
                        at = within(at, self.run(black)?, width)?;
                        row.push(at);
                    }
                }
                Mode::Vertical(by) => {
                    let target = change(next).checked_add_signed(i32::from(by)).filter(|to| (at..=width).contains(to));
                    at = target.ok_or_else(|| {
                        Error::corrupt(format!("a change {by} beside {} from pixel {at} of {width}", change(next)))
                    })?;
                    row.push(at);
                    black = !black;
                }
                Mode::Extension => return Err(Error::unsupported("CCITT codes with uncompressed data between them")),
            }
            at_start = false;
            // Codes for nothing cost bits; without any left there is no end to them.
            if self.at > self.input.len() * 8 {
                break;
            }
        }
        Ok(())
    }

    #[cold]
    fn unknown(&self, n: u32) -> Error {
        if self.at + n as usize > self.input.len() * 8 {
            return Error::corrupt(format!("{} bytes of codes end within the row", self.input.len()));
        }
        Error::corrupt(format!(
            "no code word starts with {:0width$b} at bit {}",
            self.peek(n),
            self.at,
            width = n as usize
        ))
    }
}

fn within(at: u32, run: u32, width: u32) -> Result<u32> {
    let end = at.saturating_add(run);
    if end > width {
        return Err(Error::corrupt(format!("a run of {run} pixels at {at} of {width}")));
    }
    Ok(end)
}
