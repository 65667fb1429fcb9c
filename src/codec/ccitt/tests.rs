//! Streams of every scheme, made pixel by pixel.

use super::codes::Mode;
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
    assert_eq!((error.kind(), error.message()), (ErrorKind::Corrupt, "CCITT row 0: a run of 101 pixels at 0 of 100"));
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
