//! Coefficients to Huffman codes (ITU-T T.81, F.1.2).
//!
//! What the transform leaves of a block is mostly zeros. It says with a bit each which coefficients are none; those bits are
//! put into the order of codes by table, a row at a time, and the loop goes from one to the next.
//!
//! Bits are collected in 64; a full one is written as a whole unless a byte of it is 0xff, after which a zero is due.

use super::Layout;
use super::color::Strip;
use super::tables::{self, Codes, ZIGZAG};
use super::transform::{PLACES, Pair};

/// Bytes that wait to be put to the file.
const BUFFER: usize = 1 << 14;
/// More than an MCU of six blocks can take: of 64 codes of up to 26 bits each, every byte with a zero after it.
const MCU_MAX: usize = 6 * 64 * 26 / 8 * 2 + 16;

/// For each row of a transposed block and each pattern of coefficients in it, the same bits in the order of codes.
static IN_ORDER: [[u64; 256]; 8] = {
    // The place in the order of each coefficient of a transposed block.
    let mut order = [0; 64];
    let mut at = 0;
    while at < 64 {
        order[(ZIGZAG[at] % 8 * 8 + ZIGZAG[at] / 8) as usize] = at;
        at += 1;
    }
    let mut table = [[0; 256]; 8];
    let mut i = 0;
    while i < 8 * 256 * 8 {
        let (row, pattern, bit) = (i / 2048, i / 8 % 256, i % 8);
        if pattern >> bit & 1 == 1 {
            table[row][pattern] |= 1 << order[8 * row + bit];
        }
        i += 1;
    }
    table
};

/// Codes of luma, or of chroma: in the lowest [`LENGTH_BITS`] bits how many there are, above them the code, with zeros below
/// it where the bits of the coefficient go.
struct Coder {
    /// By the bits of the difference.
    dc: [u32; 16],
    /// By 16 times the number of zeros before, plus the bits of the coefficient.
    ac: [u32; 256],
}

const LENGTH_BITS: u32 = 5;
const ZEROS_16: usize = 0xf0;
const END_OF_BLOCK: usize = 0;

impl Coder {
    const fn new(dc: &Codes, ac: &Codes) -> Self {
        let mut coder = Self { dc: [0; 16], ac: [0; 256] };
        let (dc, ac) = (dc.by_symbol(), ac.by_symbol());
        let mut symbol = 0;
        while symbol < 256 {
            let bits = symbol as u32 % 16;
            if symbol < 16 {
                coder.dc[symbol] = packed(dc[symbol], bits);
            }
            // Coefficients of 8-bit samples have no more.
            if bits <= 10 {
                coder.ac[symbol] = packed(ac[symbol], bits);
            }
            symbol += 1;
        }
        coder
    }
}

const fn packed((code, length): (u16, u8), bits: u32) -> u32 {
    if length == 0 { 0 } else { (code as u32) << (bits + LENGTH_BITS) | (length as u32 + bits) }
}

static LUMA: Coder = Coder::new(&tables::LUMA_DC, &tables::LUMA_AC);
static CHROMA: Coder = Coder::new(&tables::CHROMA_DC, &tables::CHROMA_AC);

/// The entropy-coded data of a picture, as far as it got.
#[derive(Debug)]
pub(super) struct Entropy {
    layout: Layout,
    bits: Bits,
    /// The last mean of each component.
    means: [i32; 3],
    buffer: Box<[u8; BUFFER]>,
}

/// Bits that make no whole 64 yet, and how many bytes of the buffer are in use.
#[derive(Clone, Copy, Debug)]
struct Bits {
    waiting: u64,
    free: i32,
    len: usize,
}

impl Entropy {
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout, bits: Bits { waiting: 0, free: 64, len: 0 }, means: [0; 3], buffer: Box::new([0; BUFFER]) }
    }

    /// Adds the first `n_mcus` of a transformed strip.
    #[inline(always)]
    pub(super) fn add(&mut self, strip: &Strip, n_mcus: usize, file: &mut Vec<u8>) {
        let mut bits = self.bits;
        let [mut y, mut cb, mut cr] = self.means;
        let buffer = &mut *self.buffer;
        for mcu in 0..n_mcus {
            if bits.len > BUFFER - MCU_MAX {
                file.extend_from_slice(&buffer[..bits.len]);
                bits.len = 0;
            }
            match self.layout {
                Layout::Gray | Layout::Full => {
                    bits = bits.block(buffer, &LUMA, &strip.luma[mcu / 2], mcu % 2, &mut y);
                }
                Layout::Halved => {
                    for i in 0..4 {
                        bits = bits.block(buffer, &LUMA, &strip.luma[2 * mcu + i / 2], i % 2, &mut y);
                    }
                }
            }
            if self.layout != Layout::Gray {
                bits = bits.block(buffer, &CHROMA, &strip.chroma[mcu], 0, &mut cb);
                bits = bits.block(buffer, &CHROMA, &strip.chroma[mcu], 1, &mut cr);
            }
        }
        (self.bits, self.means) = (bits, [y, cb, cr]);
    }

    /// Writes what waits. The last byte is filled up with ones.
    pub(super) fn finish(self, file: &mut Vec<u8>) {
        file.extend_from_slice(&self.buffer[..self.bits.len]);
        let n_bits = (64 - self.bits.free) as usize;
        if n_bits > 0 {
            let ones = u64::MAX.checked_shr(n_bits as u32).unwrap_or(0);
            let last = self.bits.waiting.checked_shl(self.bits.free as u32).unwrap_or(0) | ones;
            for byte in &last.to_be_bytes()[..n_bits.div_ceil(8)] {
                file.push(*byte);
                if *byte == 0xff {
                    file.push(0);
                }
            }
        }
    }
}

impl Bits {
    /// One block of a pair, the first or the second.
    #[inline(always)]
    fn block(mut self, buffer: &mut [u8; BUFFER], coder: &Coder, pair: &Pair, which: usize, mean: &mut i32) -> Self {
        let coefficients = pair.rows.as_flattened();
        let first = 8 * which;
        let new = i32::from(coefficients[first]);
        let (n_bits, low) = magnitude(new - *mean);
        *mean = new;
        self = self.put(buffer, coder.dc[n_bits as usize % 16], low);

        let nonzero = pair.nonzero[which].to_le_bytes();
        let mut left = 0;
        for (row, order) in nonzero.into_iter().zip(&IN_ORDER) {
            left |= order[usize::from(row)];
        }
        left &= !1;
        let mut before = 0;
        while left != 0 {
            let at = left.trailing_zeros();
            left &= left - 1;
            let mut zeros = at - before - 1;
            before = at;
            while zeros >= 16 {
                self = self.put(buffer, coder.ac[ZEROS_16], 0);
                zeros -= 16;
            }
            let place = usize::from(PLACES[at as usize % 64]) + first;
            let (n_bits, low) = magnitude(i32::from(coefficients[place % 128]));
            self = self.put(buffer, coder.ac[(16 * zeros + n_bits) as usize % 256], low);
        }
        if before != 63 {
            self = self.put(buffer, coder.ac[END_OF_BLOCK], 0);
        }
        self
    }

    /// Adds a code and, in the zeros below it, `low`.
    #[inline(always)]
    fn put(mut self, buffer: &mut [u8; BUFFER], code: u32, low: u32) -> Self {
        let n_bits = (code % (1 << LENGTH_BITS)) as i32;
        let code = u64::from(code >> LENGTH_BITS | low);
        self.free -= n_bits;
        if self.free >= 0 {
            self.waiting = self.waiting << n_bits | code;
            return self;
        }
        // Of the code, as many bits as there is room for; the rest comes to the front with those that follow.
        let full = self.waiting << (n_bits + self.free) | code >> -self.free;
        self.waiting = code;
        self.free += 64;
        self.write(buffer, full)
    }

    #[inline(always)]
    fn write(mut self, buffer: &mut [u8; BUFFER], full: u64) -> Self {
        const EACH: u64 = u64::MAX / 0xff;
        let inverse = !full;
        // Not 0 when a byte of the inverse is.
        if inverse.wrapping_sub(EACH) & full & (EACH << 7) == 0 {
            buffer[self.len..][..8].copy_from_slice(&full.to_be_bytes());
            self.len += 8;
        } else {
            self.len = write_stuffed(buffer, self.len, full);
        }
        self
    }
}

#[cold]
#[inline(never)]
fn write_stuffed(buffer: &mut [u8; BUFFER], mut len: usize, full: u64) -> usize {
    for byte in full.to_be_bytes() {
        buffer[len] = byte;
        buffer[len + 1] = 0;
        len += if byte == 0xff { 2 } else { 1 };
    }
    len
}

/// How many bits a value has without its sign, and those bits: for negative values the complement, so that they start
/// with 0.
#[inline(always)]
fn magnitude(value: i32) -> (u32, u32) {
    let n_bits = 32 - value.unsigned_abs().leading_zeros();
    (n_bits, (value + (value >> 31)) as u32 & ((1 << n_bits) - 1))
}
