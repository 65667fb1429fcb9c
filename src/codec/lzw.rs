//! LZW as TIFF compression 5 stores it: codes of 9 to 12 bits, most significant bit first, the width growing
//! one code early (TIFF 6.0, section 13). Also the variant of the earliest writers: least significant bit
//! first, no early growth; its streams are told by their first two bytes.
//!
//! The output is the dictionary. A new entry is the previous string and the byte that follows it, and those
//! lie side by side in the output already, so an entry is an offset and a length: no chains to walk
//! backwards, and a string is copied forwards in wide steps.

use crate::error::{Error, Result};

const CLEAR: usize = 256;
const END: usize = 257;
const FIRST_FREE: usize = 258;
const MAX_WIDTH: u32 = 12;
const TABLE_LEN: usize = 1 << MAX_WIDTH;

/// Bytes that one copy step moves; most strings are shorter.
const STEP: usize = 16;

/// Decodes `input` to the start of `out` and returns how many bytes it wrote.
///
/// Stops at the end code, where `out` is full, or where the input ends. Bytes of `out` behind the returned
/// count may have been overwritten.
///
/// # Errors
///
/// Corrupt when a code is not in the table yet. Limit exceeded when `out` holds 4 GiB or more.
pub(crate) fn decode(input: &[u8], out: &mut [u8]) -> Result<usize> {
    if u32::try_from(out.len()).is_err() {
        return Err(Error::limit(format!("lzw block of {} bytes, the limit is {} bytes", out.len(), u32::MAX)));
    }
    match input {
        [0, second, ..] if second & 1 == 1 => run::<LeastFirst>(input, out),
        _ => run::<MostFirst>(input, out),
    }
}

/// A string of the dictionary.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// The first bytes, the first of all in the lowest bits; zeros behind the last one.
    head: u64,
    /// Where the output has it, unless it is a single byte.
    offset: u32,
    len: u32,
}

/// Bytes of the head of a string.
const HEAD: usize = 8;

impl Entry {
    /// This string and the first byte of `next`, which follows it in the output.
    #[inline(always)]
    fn and(self, next: u64) -> Self {
        let at = 8 * self.len;
        let head = if at < u64::BITS { self.head | (next & 0xff) << at } else { self.head };
        Self { head, offset: self.offset, len: self.len + 1 }
    }
}

fn run<B: BitOrder>(input: &[u8], out: &mut [u8]) -> Result<usize> {
    let mut lzw = Lzw::<B>::new(input);
    loop {
        match lzw.width {
            _ if lzw.previous.len == 0 => {}
            9 => lzw.many::<9>(out),
            10 => lzw.many::<10>(out),
            11 => lzw.many::<11>(out),
            _ => lzw.many::<12>(out),
        }
        if !lzw.one(out)? {
            return Ok(lzw.written);
        }
    }
}

/// A decoder between two codes.
struct Lzw<'a, B> {
    table: [Entry; TABLE_LEN],
    bits: Bits<'a, B>,
    /// Where the table ends.
    next: usize,
    width: u32,
    written: usize,
    /// The string of the previous code; empty right after a clear, when no entry is made.
    previous: Entry,
}

impl<'a, B: BitOrder> Lzw<'a, B> {
    fn new(input: &'a [u8]) -> Self {
        let mut table = [Entry::default(); TABLE_LEN];
        for (byte, entry) in table[..CLEAR].iter_mut().enumerate() {
            *entry = Entry { head: byte as u64, offset: 0, len: 1 };
        }
        let (bits, previous) = (Bits::new(input), Entry::default());
        Self { table, bits, next: FIRST_FREE, width: 9, written: 0, previous }
    }

    /// Decodes codes of `WIDTH` bits, four for each look at the input. It stops, somewhere before, at what is not the usual:
    /// a code that means no string, a table that is nearly full, the ends of input and output.
    ///
    /// Strings of a byte are entries as all others, and short ones are stored from their heads: which of them come next
    /// cannot be foretold, so there is no branch between them.
    fn many<const WIDTH: u32>(&mut self, out: &mut [u8]) {
        const CODES: usize = 4;
        let end = if WIDTH < MAX_WIDTH { (1 << WIDTH) - B::EARLY } else { TABLE_LEN };
        // In registers.
        let (mut bits, mut next, mut written, mut previous) = (self.bits, self.next, self.written, self.previous);
        let table = &mut self.table;
        'codes: while next + CODES < end && bits.refill() {
            for _ in 0..CODES {
                let code = B::first(bits.buffer, WIDTH);
                let mut entry = table[code % TABLE_LEN];
                if code >= next {
                    if code > next {
                        break 'codes;
                    }
                    // The very entry that it completes: the string begins as the previous one.
                    entry = previous.and(previous.head);
                }
                let len = entry.len as usize;
                if len.wrapping_sub(1) < HEAD {
                    let Some(target) = out.get_mut(written..written + HEAD) else { break 'codes };
                    target.copy_from_slice(&entry.head.to_le_bytes());
                } else if len == 0 || len > out.len() - written {
                    break 'codes;
                } else {
                    copy(out, entry.offset as usize, written, len);
                }
                table[next % TABLE_LEN] = previous.and(entry.head);
                next += 1;
                bits.skip(WIDTH);
                previous = Entry { offset: written as u32, ..entry };
                written += len;
            }
        }
        (self.bits, self.next, self.written, self.previous) = (bits, next, written, previous);
    }

    /// Decodes one code. `false` when nothing comes after it.
    fn one(&mut self, out: &mut [u8]) -> Result<bool> {
        let Self { table, previous, .. } = self;
        let Some(code) = self.bits.take(self.width) else { return Ok(false) };
        if code == CLEAR {
            (self.next, self.width, self.previous) = (FIRST_FREE, 9, Entry::default());
            return Ok(true);
        }
        if code == END {
            return Ok(false);
        }
        let first = if code == self.next { previous.head } else { table[code].head };
        if previous.len != 0 && self.next < TABLE_LEN {
            table[self.next] = previous.and(first);
            self.next += 1;
        }
        if code >= self.next {
            let (written, next) = (self.written, self.next);
            return Err(Error::corrupt(format!("lzw code {code} after {written} bytes, the table ends at {next}")));
        }
        let entry = table[code];
        if !append(out, self.written, entry) {
            self.written = out.len();
            return Ok(false);
        }
        *previous = Entry { offset: self.written as u32, ..entry };
        self.written += entry.len as usize;
        if self.next + B::EARLY >= 1 << self.width && self.width < MAX_WIDTH {
            self.width += 1;
        }
        Ok(true)
    }
}

/// Writes a string to `to`, as much as there is room for. Whether that was all of it.
fn append(out: &mut [u8], to: usize, entry: Entry) -> bool {
    let (from, len, left) = (entry.offset as usize, entry.len as usize, out.len() - to);
    if len <= HEAD {
        let len = len.min(left);
        out[to..to + len].copy_from_slice(&entry.head.to_le_bytes()[..len]);
        return left >= entry.len as usize;
    }
    if len > left {
        // `from + left` lies in what was written: only the last byte of `len` may not.
        out.copy_within(from..from + left, to);
        return false;
    }
    copy(out, from, to, len);
    true
}

/// Copies `len` bytes from `from` to `to`, where `from + len <= to + 1 <= out.len()`: the source may reach
/// one byte into the destination, and that byte is the first of the string. May write up to a step too far.
#[inline(always)]
fn copy(out: &mut [u8], from: usize, to: usize, len: usize) {
    if len <= STEP && to + STEP <= out.len() {
        step(out, from, to);
    } else {
        copy_long(out, from, to, len);
    }
    if from + len > to {
        out[to + len - 1] = out[from];
    }
}

#[inline(always)]
fn step(out: &mut [u8], from: usize, to: usize) {
    let mut bytes = [0; STEP];
    bytes.copy_from_slice(&out[from..from + STEP]);
    out[to..to + STEP].copy_from_slice(&bytes);
}

fn copy_long(out: &mut [u8], from: usize, to: usize, len: usize) {
    let rounded = len.next_multiple_of(STEP);
    if to + rounded > out.len() {
        out.copy_within(from..from + len, to);
        return;
    }
    for at in (0..rounded).step_by(STEP) {
        step(out, from + at, to + at);
    }
}

/// The order in which codes fill bytes, and when the width grows.
trait BitOrder: Copy {
    /// How many codes before the table is full the width grows.
    const EARLY: usize;
    fn refill(buffer: u64, n_bits: u32, word: [u8; 8]) -> u64;
    fn refill_byte(buffer: u64, n_bits: u32, byte: u8) -> u64;
    fn first(buffer: u64, width: u32) -> usize;
    fn rest(buffer: u64, width: u32) -> u64;
}

#[derive(Clone, Copy)]
struct MostFirst;

impl BitOrder for MostFirst {
    const EARLY: usize = 1;

    #[inline(always)]
    fn refill(buffer: u64, n_bits: u32, word: [u8; 8]) -> u64 {
        buffer | (u64::from_be_bytes(word) >> n_bits)
    }

    #[inline(always)]
    fn refill_byte(buffer: u64, n_bits: u32, byte: u8) -> u64 {
        buffer | (u64::from(byte) << (56 - n_bits))
    }

    #[inline(always)]
    fn first(buffer: u64, width: u32) -> usize {
        (buffer >> (64 - width)) as usize
    }

    #[inline(always)]
    fn rest(buffer: u64, width: u32) -> u64 {
        buffer << width
    }
}

#[derive(Clone, Copy)]
struct LeastFirst;

impl BitOrder for LeastFirst {
    const EARLY: usize = 0;

    #[inline(always)]
    fn refill(buffer: u64, n_bits: u32, word: [u8; 8]) -> u64 {
        buffer | (u64::from_le_bytes(word) << n_bits)
    }

    #[inline(always)]
    fn refill_byte(buffer: u64, n_bits: u32, byte: u8) -> u64 {
        buffer | (u64::from(byte) << n_bits)
    }

    #[inline(always)]
    fn first(buffer: u64, width: u32) -> usize {
        (buffer & ((1 << width) - 1)) as usize
    }

    #[inline(always)]
    fn rest(buffer: u64, width: u32) -> u64 {
        buffer >> width
    }
}

/// Takes codes off a byte string.
#[derive(Clone, Copy)]
struct Bits<'a, B> {
    input: &'a [u8],
    /// The bytes of `input` that count as being in `buffer`.
    at: usize,
    /// The next `n_bits` bits. Bits beyond those may be set, and then equal what a refill puts there again.
    buffer: u64,
    n_bits: u32,
    order: std::marker::PhantomData<B>,
}

impl<'a, B: BitOrder> Bits<'a, B> {
    fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0, buffer: 0, n_bits: 0, order: std::marker::PhantomData }
    }

    /// Makes it 56 bits or more. `false` near the end of the input, where nothing is done.
    #[inline(always)]
    fn refill(&mut self) -> bool {
        let Some(word) = self.input.get(self.at..).and_then(|rest| rest.first_chunk()) else { return false };
        self.buffer = B::refill(self.buffer, self.n_bits, *word);
        self.at += ((63 - self.n_bits) / 8) as usize;
        self.n_bits |= 56;
        true
    }

    /// Drops bits that are there.
    #[inline(always)]
    fn skip(&mut self, width: u32) {
        self.buffer = B::rest(self.buffer, width);
        self.n_bits -= width;
    }

    /// The next code, or nothing where fewer than `width` bits are left.
    fn take(&mut self, width: u32) -> Option<usize> {
        if self.n_bits < width && !self.refill() {
            self.refill_slowly();
            if self.n_bits < width {
                return None;
            }
        }
        let code = B::first(self.buffer, width);
        self.skip(width);
        Some(code)
    }

    #[cold]
    fn refill_slowly(&mut self) {
        while self.n_bits <= 48 {
            let Some(&byte) = self.input.get(self.at) else { return };
            self.buffer = B::refill_byte(self.buffer, self.n_bits, byte);
            self.at += 1;
            self.n_bits += 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use weezl::BitOrder as Order;

    fn random(len: usize, values: u32, mut state: u32) -> Vec<u8> {
        (0..len)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((state >> 8) % values) as u8
            })
            .collect()
    }

    fn inputs() -> Vec<(String, Vec<u8>)> {
        let mut inputs = vec![("nothing".to_owned(), vec![])];
        for len in [1, 2, 15, 16, 17, 255, 4000, 20_000] {
            inputs.push((format!("{len} equal"), vec![7; len]));
            inputs.push((format!("{len} of 256 values"), random(len, 256, 1)));
            inputs.push((format!("{len} of 2 values"), random(len, 2, 2)));
            inputs.push((format!("{len} of 6 values"), random(len, 6, 3)));
            inputs.push((format!("{len} ramp"), (0..len).map(|i| (i / 3) as u8).collect()));
        }
        inputs
    }

    fn decoded(input: &[u8], out_len: usize) -> Result<Vec<u8>> {
        let mut out = vec![0xa5; out_len];
        decode(input, &mut out).map(|n| out[..n].to_vec())
    }

    /// Codes in TIFF's order; a clear code starts them, and one at `clear_at` entries if the table may not fill.
    fn encode(data: &[u8], clear_at: Option<usize>) -> Vec<u8> {
        let (mut out, mut buffer, mut n_bits) = (vec![], 0_u64, 0);
        let mut put = |code: usize, width: u32, out: &mut Vec<u8>| {
            buffer = buffer << width | code as u64;
            n_bits += width;
            while n_bits >= 8 {
                n_bits -= 8;
                out.push((buffer >> n_bits) as u8);
            }
            buffer << (8 - n_bits)
        };
        let mut table = std::collections::HashMap::new();
        let (mut next, mut width) = (FIRST_FREE, 9);
        put(CLEAR, width, &mut out);
        let mut at = 0;
        while at < data.len() {
            let (mut code, mut len) = (usize::from(data[at]), 1);
            while let Some(&longer) = data.get(..at + len + 1).and_then(|_| table.get(&data[at..at + len + 1])) {
                (code, len) = (longer, len + 1);
            }
            put(code, width, &mut out);
            if next < TABLE_LEN {
                if let Some(string) = data.get(at..at + len + 1) {
                    table.insert(string, next);
                }
                next += 1;
                // The encoder is one entry ahead of the decoder.
                width = (usize::BITS - next.leading_zeros()).clamp(9, MAX_WIDTH);
            }
            at += len;
            if clear_at == Some(next) {
                put(CLEAR, width, &mut out);
                table.clear();
                (next, width) = (FIRST_FREE, 9);
            }
        }
        put(END, width, &mut out);
        let last = put(0, 0, &mut out);
        out.push(last as u8);
        out
    }

    #[test]
    fn what_weezl_encodes_comes_back() {
        for (name, data) in inputs() {
            let most = weezl::encode::Encoder::with_tiff_size_switch(Order::Msb, 8).encode(&data).unwrap();
            let least = weezl::encode::Encoder::new(Order::Lsb, 8).encode(&data).unwrap();
            for stream in [most, least] {
                assert!(decoded(&stream, data.len()).unwrap() == data, "{name}");
                assert!(decoded(&stream, data.len() + 100).unwrap() == data, "{name}, larger output");
                let half = data.len() / 2;
                assert!(decoded(&stream, half).unwrap() == data[..half], "{name}, smaller output");
            }
        }
    }

    #[test]
    fn a_table_may_be_cleared_early_or_stay_full() {
        for (name, data) in inputs() {
            for clear_at in [Some(259), Some(511), Some(512), Some(4094), None] {
                let stream = encode(&data, clear_at);
                let oracle = weezl::decode::Decoder::with_tiff_size_switch(Order::Msb, 8).decode(&stream).unwrap();
                assert!(oracle == data, "the test's own encoder, {name}, {clear_at:?}");
                assert!(decoded(&stream, data.len()).unwrap() == data, "{name}, {clear_at:?}");
            }
        }
    }

    #[test]
    fn a_code_may_name_the_entry_that_it_completes() {
        // Clear, 'a', 258 = "aa", 259 = "aaa", 260, end: each names the entry made in the same step.
        let (mut bits, mut stream) = (String::new(), vec![]);
        for code in [CLEAR, 97, 258, 259, 260, END] {
            bits += &format!("{code:09b}");
        }
        bits += "00";
        for byte in bits.as_bytes().chunks(8) {
            stream.push(u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap());
        }
        assert_eq!(decoded(&stream, 10).unwrap(), b"aaaaaaaaaa");
        assert_eq!(decoded(&stream, 100).unwrap(), b"aaaaaaaaaa");
        assert_eq!(decoded(&stream, 9).unwrap(), b"aaaaaaaaa");
    }

    #[test]
    fn a_truncated_stream_gives_what_was_complete() {
        let data = random(5000, 6, 9);
        let stream = encode(&data, None);
        let mut longest = 0;
        for cut in (0..stream.len()).step_by(3) {
            let part = decoded(&stream[..cut], data.len()).unwrap();
            assert!(part.len() >= longest && part == data[..part.len()]);
            longest = part.len();
        }
    }

    #[test]
    fn a_code_beyond_the_table_is_corrupt() {
        // Clear, then code 300.
        let stream = [0x80, 0x4b, 0, 0, 0];
        assert_eq!(decoded(&stream, 10).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn random_changes_give_what_weezl_gives_or_an_error() {
        let data = random(3000, 20, 4);
        let stream = encode(&data, Some(4094));
        for (seed, at) in (0..stream.len()).enumerate() {
            let mut broken = stream.clone();
            broken[at] ^= 1 << (seed % 8);
            let mut ours = vec![0xa5; 6000];
            let mut oracle = vec![0xa5; 6000];
            let n = match decode(&broken, &mut ours) {
                Ok(n) => n,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt);
                    continue;
                }
            };
            let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(Order::Msb, 8);
            let result = decoder.decode_bytes(&broken, &mut oracle);
            let n = n.min(result.consumed_out);
            assert!(ours[..n] == oracle[..n], "bit {} of byte {at}", seed % 8);
        }
    }

    #[test]
    fn noise_never_panics() {
        let mut out = vec![0; 1000];
        for seed in 0..1000 {
            let mut noise = random(200, 256, seed);
            if seed % 2 == 0 {
                noise[..2].copy_from_slice(&[0, 1]);
            }
            if let Ok(n) = decode(&noise, &mut out) {
                assert!(n <= out.len());
            }
        }
    }
}
