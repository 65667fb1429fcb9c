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
mod tests;
