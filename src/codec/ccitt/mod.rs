//! The codes of fax machines, ITU-T T.4 and T.6, as TIFF stores them (TIFF 6.0, sections 10 and 11): one bit a pixel,
//! runs of white and black.
//!
//! A row is known by where its colour changes. In one dimension the distances between changes are coded; in two, where
//! they lie compared with the row above. Rows are written as packed bits, 1 for black, whatever the file says that black
//! is: what 0 and 1 look like is for the photometric interpretation to say.

mod codes;
mod rows;

use crate::error::{Error, Result};

use super::Contexts;
use codes::{BLACK_RUNS, MODE_BITS, Mode, RUN_BITS, WHITE_RUNS};
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

/// Where the colour of a row changes: from white to black, back, and so on, in rising order.
#[derive(Default)]
struct Changes(Vec<u32>);

impl Changes {
    /// Adds a change. Two at one place are none.
    fn push(&mut self, at: u32) {
        if self.0.last() == Some(&at) {
            self.0.pop();
        } else {
            self.0.push(at);
        }
    }

    /// Those of packed pixels.
    fn of(width: u32, row: &[u8]) -> Self {
        let mut changes = Vec::new();
        let mut black = 0;
        for (first, byte) in (0..).step_by(8).zip(row) {
            // Bits that differ from the one before.
            let mut differ = byte ^ (byte >> 1 | black << 7);
            black = byte & 1;
            while differ != 0 {
                let bit = differ.leading_zeros();
                differ &= !(0x80 >> bit);
                changes.push(first + bit);
            }
        }
        while changes.last().is_some_and(|last| *last >= width) {
            changes.pop();
        }
        Self(changes)
    }

    /// Sets the bits that are black, and no other.
    fn paint(&self, width: u32, row: &mut [u8]) {
        row.fill(0);
        for run in self.0.chunks(2) {
            let (start, end) = (run[0] as usize, run.get(1).copied().unwrap_or(width) as usize);
            if start >= end {
                continue;
            }
            let (first, last) = (start / 8, (end - 1) / 8);
            let (head, tail) = (0xff >> (start % 8), 0xff << (7 - (end - 1) % 8));
            if first == last {
                row[first] |= head & tail;
            } else {
                row[first] |= head;
                row[first + 1..last].fill(0xff);
                row[last] |= tail;
            }
        }
    }
}

/// Takes bits off a byte string, the most significant first. Behind its end are zeros.
struct Bits<'a> {
    input: &'a [u8],
    /// Bits taken.
    at: usize,
}

impl Bits<'_> {
    /// The next `n` bits, 24 at most.
    #[inline]
    fn peek(&self, n: u32) -> u32 {
        let start = self.at / 8;
        let word = match self.input.get(start..start + 4) {
            Some(bytes) => u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            None => (0..4).fold(0, |word, i| word << 8 | u32::from(self.input.get(start + i).copied().unwrap_or(0))),
        };
        (word << (self.at % 8)) >> (32 - n)
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.input.len() * 8
    }

    fn align(&mut self, bytes: usize) {
        self.at = self.at.next_multiple_of(bytes * 8);
    }

    /// Skips the marks before a row and says whether the row is coded in one dimension; `None` at the end.
    fn end_of_line(&mut self, row: usize, two_dimensional: bool) -> Result<Option<bool>> {
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

    fn one_dimensional(&mut self, width: u32, row: &mut Changes) -> Result<()> {
        let (mut at, mut black) = (0_u32, false);
        while at < width {
            at = within(at, self.run(black)?, width)?;
            row.push(at);
            black = !black;
        }
        Ok(())
    }

    fn two_dimensional(&mut self, width: u32, above: &Changes, row: &mut Changes) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::codes::tests::{word_of_mode, words_of_run};
    use super::*;
    use crate::error::ErrorKind;

    const END_OF_LINE: &str = "000000000001";

    /// Packed rows with runs of many lengths, the first of either colour.
    fn picture(width: u32, n_rows: usize, seed: u32) -> Vec<u8> {
        let row_bytes = width.div_ceil(8) as usize;
        let mut rows = vec![0; row_bytes * n_rows];
        let mut state = seed;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 10) % below
        };
        for y in 0..n_rows {
            if y > 0 && random(3) > 0 {
                // Nearly the row above.
                let (before, row) = rows[(y - 1) * row_bytes..].split_at_mut(row_bytes);
                row[..row_bytes].copy_from_slice(before);
                for _ in 0..random(4) {
                    let at = random(width) as usize;
                    row[at / 8] ^= 0x80 >> (at % 8);
                }
                continue;
            }
            let (mut at, mut black) = (0, random(2) == 1);
            let longest = [3, 70, 3000][random(3) as usize];
            while at < width {
                let end = (at + 1 + random(longest)).min(width);
                for x in (at..end).filter(|_| black) {
                    rows[y * row_bytes + x as usize / 8] |= 0x80 >> (x % 8);
                }
                (at, black) = (end, !black);
            }
        }
        rows
    }

    fn pixel(row: &[u8], x: u32) -> bool {
        row[x as usize / 8] >> (7 - x % 8) & 1 == 1
    }

    /// The first place right of `from` whose colour is not `colour`, or the width.
    fn end_of_run(row: &[u8], width: u32, from: u32, colour: bool) -> u32 {
        (from..width).find(|x| pixel(row, *x) != colour).unwrap_or(width)
    }

    fn one_dimensional(row: &[u8], width: u32) -> String {
        let (mut words, mut at, mut black) = (String::new(), 0, false);
        while at < width {
            let end = end_of_run(row, width, at, black);
            words += &words_of_run(black, (end - at) as usize);
            (at, black) = (end, !black);
        }
        words
    }

    /// The steps of T.6, section 2.2, pixel by pixel.
    fn two_dimensional(above: &[u8], row: &[u8], width: u32) -> String {
        let colour_at = |row: &[u8], x: i64| x >= 0 && pixel(row, x as u32);
        let changes_at = |row: &[u8], x: i64| colour_at(row, x) != colour_at(row, x - 1);
        let (mut words, mut a0, mut black) = (String::new(), -1_i64, false);
        let n = i64::from(width);
        while a0 < n {
            let b1 = (a0 + 1..n).find(|x| changes_at(above, *x) && colour_at(above, *x) != black).unwrap_or(n);
            let b2 = (b1 + 1..n).find(|x| changes_at(above, *x)).unwrap_or(n);
            let a1 = (a0.max(0)..n).find(|x| colour_at(row, *x) != black).unwrap_or(n);
            let a2 = (a1..n).find(|x| colour_at(row, *x) == black).unwrap_or(n);
            if b2 < a1 {
                words += &word_of_mode(Mode::Pass);
                a0 = b2;
            } else if (a1 - b1).abs() <= 3 {
                words += &word_of_mode(Mode::Vertical((a1 - b1) as i8));
                (a0, black) = (a1, !black);
            } else {
                words += &word_of_mode(Mode::Horizontal);
                words += &words_of_run(black, (a1 - a0.max(0)) as usize);
                words += &words_of_run(!black, (a2 - a1) as usize);
                a0 = a2;
            }
        }
        words
    }

    fn pad(words: &mut String, bits: usize) {
        while !words.len().is_multiple_of(bits) {
            words.push('0');
        }
    }

    fn to_bytes(mut words: String) -> Vec<u8> {
        pad(&mut words, 8);
        words.as_bytes().chunks(8).map(|b| u8::from_str_radix(std::str::from_utf8(b).unwrap(), 2).unwrap()).collect()
    }

    /// How a test's stream is put together beyond what the scheme says.
    #[derive(Clone, Copy, Debug, Default)]
    struct Style {
        marks_end_with_bytes: bool,
        /// No mark before the first row.
        late_marks: bool,
        ends_with_marks: bool,
    }

    fn encode(scheme: Scheme, style: Style, rows: &[u8], width: u32) -> Vec<u8> {
        let row_bytes = width.div_ceil(8) as usize;
        let white = vec![0; row_bytes];
        let mut words = String::new();
        let mut above = &white[..];
        for (y, row) in rows.chunks(row_bytes).enumerate() {
            match scheme {
                Scheme::Rle { align_bytes } => {
                    pad(&mut words, align_bytes * 8);
                    words += &one_dimensional(row, width);
                }
                Scheme::Group3 { two_dimensional: false } => {
                    if y > 0 || !style.late_marks {
                        while style.marks_end_with_bytes && !(words.len() + 12).is_multiple_of(8) {
                            words.push('0');
                        }
                        words += END_OF_LINE;
                    }
                    words += &one_dimensional(row, width);
                }
                Scheme::Group3 { two_dimensional: true } => {
                    words += END_OF_LINE;
                    let one = y % 3 == 0;
                    words.push(if one { '1' } else { '0' });
                    words += &if one { one_dimensional(row, width) } else { two_dimensional(above, row, width) };
                }
                Scheme::Group4 => words += &two_dimensional(above, row, width),
            }
            above = row;
        }
        if style.ends_with_marks {
            match scheme {
                Scheme::Group4 => words += &END_OF_LINE.repeat(2),
                Scheme::Group3 { two_dimensional } => {
                    words += &format!("{END_OF_LINE}{}", if two_dimensional { "1" } else { "" }).repeat(6);
                }
                Scheme::Rle { .. } => {}
            }
        }
        to_bytes(words)
    }

    fn decoded(scheme: Scheme, input: &[u8], width: u32, out_len: usize) -> Result<Vec<u8>> {
        let mut out = vec![0xa5; out_len];
        let n = decode(&mut Contexts::default(), scheme, input, width, &mut out)?;
        assert!(out[n..].iter().all(|byte| *byte == 0xa5), "nothing behind the count is touched");
        out.truncate(n);
        Ok(out)
    }

    const SCHEMES: [Scheme; 5] = [
        Scheme::Rle { align_bytes: 1 },
        Scheme::Rle { align_bytes: 2 },
        Scheme::Group3 { two_dimensional: false },
        Scheme::Group3 { two_dimensional: true },
        Scheme::Group4,
    ];

    #[test]
    fn rows_of_every_scheme_come_back() {
        for scheme in SCHEMES {
            for (seed, width) in [1, 2, 7, 8, 9, 63, 64, 65, 1728, 2560, 6000].into_iter().enumerate() {
                let rows = picture(width, 40, seed as u32);
                for style in [
                    Style::default(),
                    Style { ends_with_marks: true, ..Style::default() },
                    Style { marks_end_with_bytes: true, ends_with_marks: true, ..Style::default() },
                    Style { late_marks: true, ..Style::default() },
                ] {
                    let stream = encode(scheme, style, &rows, width);
                    let got = decoded(scheme, &stream, width, rows.len()).unwrap();
                    assert!(got == rows, "{scheme:?} {style:?}, {width} pixels");
                }
            }
        }
    }

    #[test]
    fn an_end_mark_ends_the_data_before_the_output_is_full() {
        let (width, style) = (100, Style { ends_with_marks: true, ..Style::default() });
        let rows = picture(width, 9, 1);
        for scheme in &SCHEMES[2..] {
            let stream = encode(*scheme, style, &rows, width);
            assert_eq!(decoded(*scheme, &stream, width, rows.len() + 26).unwrap(), rows, "{scheme:?}");
        }
    }

    #[test]
    fn codes_that_end_early_give_whole_rows_or_are_corrupt() {
        let width = 300;
        let rows = picture(width, 30, 5);
        for scheme in SCHEMES {
            let stream = encode(scheme, Style::default(), &rows, width);
            for cut in 0..stream.len() {
                match decoded(scheme, &stream[..cut], width, rows.len()) {
                    // Zeros behind the last whole row may be filling.
                    Ok(part) => assert!(rows.starts_with(&part) && part.len() < rows.len(), "{scheme:?} {cut}"),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
                }
            }
        }
    }

    #[test]
    fn rows_that_are_too_long_and_unknown_codes_are_corrupt() {
        let long = to_bytes(words_of_run(false, 101));
        let error = decoded(SCHEMES[0], &long, 100, 13).unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Corrupt, "CCITT row 0: a run of 101 pixels at 0 of 100")
        );
        let unknown = [0, 0x08, 0, 0];
        assert_eq!(decoded(SCHEMES[0], &unknown, 100, 13).unwrap_err().kind(), ErrorKind::Corrupt);
        let extension = to_bytes("0000001111".to_owned());
        assert_eq!(decoded(Scheme::Group4, &extension, 100, 13).unwrap_err().kind(), ErrorKind::Unsupported);
        let no_mark = to_bytes(words_of_run(false, 100));
        assert_eq!(decoded(SCHEMES[3], &no_mark, 100, 13).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn random_changes_never_get_out_of_hand() {
        let (width, mut state) = (200, 1_u32);
        let rows = picture(width, 20, 3);
        for scheme in SCHEMES {
            let stream = encode(scheme, Style::default(), &rows, width);
            for _ in 0..2000 {
                let mut broken = stream.clone();
                for _ in 0..3 {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let at = (state >> 8) as usize % broken.len();
                    broken[at] ^= 1 << (state & 7);
                }
                if let Ok(part) = decoded(scheme, &broken, width, rows.len()) {
                    assert!(part.len() <= rows.len());
                }
            }
        }
    }

    /// Rows of `stream` as they come when it is given in parts of so many bytes, from each `every` rows anew.
    fn in_parts(scheme: Scheme, stream: &[u8], width: u32, n_rows: usize, part: usize, every: usize) -> Vec<u8> {
        let row_bytes = width.div_ceil(8) as usize;
        let (mut rows, mut out) = (Rows::new(scheme, width), Vec::new());
        let (mut start, mut end, mut bit) = (0, part.min(stream.len()), 0);
        while out.len() < n_rows * row_bytes {
            let mut row = vec![0xa5; row_bytes];
            match rows.step(&stream[start..end], bit, end == stream.len(), &mut row).unwrap() {
                Step::Row(next) => {
                    out.extend(row);
                    (start, bit) = (start + next / 32 * 4, next % 32);
                    if (out.len() / row_bytes).is_multiple_of(every) {
                        rows = Rows::after(scheme, width, out.len() / row_bytes, &rows.above());
                    }
                }
                Step::More => end = (end + part).min(stream.len()),
                Step::End => break,
            }
        }
        out
    }

    #[test]
    fn rows_come_back_from_parts_and_from_any_row_on() {
        for scheme in SCHEMES {
            for (seed, width) in [1, 7, 64, 65, 1728, 6000].into_iter().enumerate() {
                let rows = picture(width, 40, seed as u32);
                let style = Style { ends_with_marks: true, marks_end_with_bytes: true, ..Style::default() };
                let stream = encode(scheme, style, &rows, width);
                for (part, every) in [(1, 1), (5, 3), (1000, 7), (1 << 20, 1)] {
                    let got = in_parts(scheme, &stream, width, 40, part, every);
                    assert!(got == rows, "{scheme:?}, {width} pixels, parts of {part}, {every}");
                }
            }
        }
    }
}
