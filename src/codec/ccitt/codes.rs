//! The code words of ITU-T T.4 and T.6, and tables that find them.

/// White runs of 0 to 63 pixels.
const WHITE: &str = "00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101 \
    101010 101011 0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 0011000 00000010 \
    00000011 00011010 00011011 00010010 00010011 00010100 00010101 00010110 00010111 00101000 00101001 00101010 \
    00101011 00101100 00101101 00000100 00000101 00001010 00001011 01010010 01010011 01010100 01010101 00100100 \
    00100101 01011000 01011001 01011010 01011011 01001010 01001011 00110010 00110011 00110100";

/// White runs of 64, 128, … 1728 pixels.
const LONG_WHITE: &str = "11011 10010 010111 0110111 00110110 00110111 01100100 01100101 01101000 01100111 011001100 \
    011001101 011010010 011010011 011010100 011010101 011010110 011010111 011011000 011011001 011011010 011011011 \
    010011000 010011001 010011010 011000 010011011";

/// Black runs of 0 to 63 pixels.
const BLACK: &str = "0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111 \
    000011000 0000010111 0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000 00000010111 \
    00000011000 000011001010 000011001011 000011001100 000011001101 000001101000 000001101001 000001101010 \
    000001101011 000011010010 000011010011 000011010100 000011010101 000011010110 000011010111 000001101100 \
    000001101101 000011011010 000011011011 000001010100 000001010101 000001010110 000001010111 000001100100 \
    000001100101 000001010010 000001010011 000000100100 000000110111 000000111000 000000100111 000000101000 \
    000001011000 000001011001 000000101011 000000101100 000001011010 000001100110 000001100111";

/// Black runs of 64, 128, … 1728 pixels.
const LONG_BLACK: &str = "0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 \
    0000001101100 0000001101101 0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 0000001110011 \
    0000001110100 0000001110101 0000001110110 0000001110111 0000001010010 0000001010011 0000001010100 0000001010101 \
    0000001011010 0000001011011 0000001100100 0000001100101";

/// Runs of 1792, 1856, … 2560 pixels of either colour.
const LONGEST: &str = "00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101 \
    000000010110 000000010111 000000011100 000000011101 000000011110 000000011111";

/// What two-dimensional code words stand for, in the order of `MODES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Pass,
    Horizontal,
    /// The change lies this far from the one above.
    Vertical(i8),
    /// Uncompressed data, or something that T.6 leaves to others.
    Extension,
}

/// Pass, horizontal, vertical 0, right 1 to 3, left 1 to 3, extension.
const MODES: &str = "0001 001 1 011 000011 0000011 010 000010 0000010 0000001";

/// Bits of the longest code word of a run.
pub(super) const RUN_BITS: u32 = 13;
/// Bits of the longest code word of a mode.
pub(super) const MODE_BITS: u32 = 7;

/// A code word found: its length in bits, 0 where no code word starts so, and the run or the mode it stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) bits: u8,
    pub(super) value: u16,
}

pub(super) static WHITE_RUNS: [Code; 1 << RUN_BITS] = runs(WHITE, LONG_WHITE);
pub(super) static BLACK_RUNS: [Code; 1 << RUN_BITS] = runs(BLACK, LONG_BLACK);
static MODE_CODES: [Code; 1 << MODE_BITS] = fill([Code { bits: 0, value: 0 }; 1 << MODE_BITS], MODES, 0, 1, MODE_BITS);

/// The mode that the next `MODE_BITS` bits start with, and the bits of its code word.
pub(super) fn mode(bits: u32) -> Option<(Mode, u32)> {
    let code = MODE_CODES[bits as usize];
    let mode = match code.value {
        0 => Mode::Pass,
        1 => Mode::Horizontal,
        right @ 2..=5 => Mode::Vertical(right as i8 - 2),
        left @ 6..=8 => Mode::Vertical(5 - left as i8),
        _ => Mode::Extension,
    };
    (code.bits > 0).then_some((mode, u32::from(code.bits)))
}

const fn runs(short: &str, long: &str) -> [Code; 1 << RUN_BITS] {
    let table = fill([Code { bits: 0, value: 0 }; 1 << RUN_BITS], short, 0, 1, RUN_BITS);
    let table = fill(table, long, 64, 64, RUN_BITS);
    fill(table, LONGEST, 1792, 64, RUN_BITS)
}

/// Enters the code words of a list, whose values are `first`, `first + step`, and so on.
const fn fill<const N: usize>(mut table: [Code; N], words: &str, first: u16, step: u16, width: u32) -> [Code; N] {
    let words = words.as_bytes();
    let (mut at, mut value) = (0, first);
    while at < words.len() {
        let (mut word, mut bits) = (0_usize, 0);
        while at < words.len() && words[at] != b' ' {
            word = word << 1 | (words[at] - b'0') as usize;
            bits += 1;
            at += 1;
        }
        while at < words.len() && words[at] == b' ' {
            at += 1;
        }
        let free = width - bits;
        let mut rest = 0;
        while rest < 1 << free {
            let entry = &mut table[word << free | rest];
            assert!(entry.bits == 0, "a code word starts with another one");
            *entry = Code { bits: bits as u8, value };
            rest += 1;
        }
        value += step;
    }
    table
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The code words for a run of one colour, the longest first, as zeros and ones.
    pub(in super::super) fn words_of_run(black: bool, mut run: usize) -> String {
        let (short, long) = if black { (BLACK, LONG_BLACK) } else { (WHITE, LONG_WHITE) };
        let word = |list: &str, at: usize| list.split_whitespace().nth(at).unwrap().to_owned();
        let mut words = String::new();
        while run >= 2560 {
            words += &word(LONGEST, 12);
            run -= 2560;
        }
        if run >= 1792 {
            words += &word(LONGEST, (run - 1792) / 64);
        } else if run >= 64 {
            words += &word(long, run / 64 - 1);
        }
        words + &word(short, run % 64)
    }

    pub(in super::super) fn word_of_mode(mode: Mode) -> String {
        let at = match mode {
            Mode::Pass => 0,
            Mode::Horizontal => 1,
            Mode::Vertical(by) if by >= 0 => 2 + by as usize,
            Mode::Vertical(by) => (5 - by) as usize,
            Mode::Extension => 9,
        };
        MODES.split_whitespace().nth(at).unwrap().to_owned()
    }

    #[test]
    fn every_code_word_is_found_and_none_is_missing() {
        assert_eq!(WHITE.split_whitespace().count(), 64);
        assert_eq!(BLACK.split_whitespace().count(), 64);
        assert_eq!((LONG_WHITE.split_whitespace().count(), LONG_BLACK.split_whitespace().count()), (27, 27));
        assert_eq!(LONGEST.split_whitespace().count(), 13);
        for (table, black) in [(&WHITE_RUNS, false), (&BLACK_RUNS, true)] {
            // A multiple of 64 is followed by a run of 0.
            for run in (0..64).chain((64..2561).step_by(64)) {
                let word = words_of_run(black, run);
                let word = if run < 64 { &word[..] } else { word.strip_suffix(&words_of_run(black, 0)).unwrap() };
                let at = usize::from_str_radix(&format!("{word:0<13}"), 2).unwrap();
                assert_eq!(table[at], Code { bits: word.len() as u8, value: run as u16 }, "{run}");
            }
            // What is left starts with seven zeros or more, or is one of the words that T.4 does not use.
            let unused = table.iter().filter(|code| code.bits == 0).count();
            assert!(unused < 1 << 7, "{unused} of 8192 patterns stand for nothing");
        }
    }

    #[test]
    fn modes_are_found() {
        for found in [Mode::Pass, Mode::Horizontal, Mode::Extension].into_iter().chain((-3..=3).map(Mode::Vertical)) {
            let word = word_of_mode(found);
            let bits = u32::from_str_radix(&format!("{word:0<7}"), 2).unwrap();
            assert_eq!(mode(bits), Some((found, word.len() as u32)));
        }
        assert_eq!(mode(0), None);
    }
}
