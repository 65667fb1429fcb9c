//! Entropy-coded data put together from MCUs of elsewhere.

use crate::error::{Error, Result};

use super::{DC_CATEGORIES, Visitor, low};

/// Entropy-coded data that are put together from MCUs of elsewhere.
#[derive(Default)]
pub(crate) struct Excerpt {
    bits: BitWriter,
    dc: [i32; 4],
}

impl Excerpt {
    /// Appends to `stream`.
    pub(crate) fn to(stream: Vec<u8>) -> Self {
        Self { bits: BitWriter { out: stream, ..BitWriter::default() }, dc: [0; 4] }
    }

    /// The stream, up to a whole byte.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.bits.finish()
    }

    fn dc(&mut self, component: usize, value: i32) -> Result<()> {
        let difference = value - self.dc[component];
        let n = 32 - difference.unsigned_abs().leading_zeros();
        if n >= u32::from(DC_CATEGORIES) {
            return Err(Error::corrupt(format!("DC values that differ by {difference}")));
        }
        self.dc[component] = value;
        let bits = if difference < 0 { difference + (1 << n) - 1 } else { difference };
        self.bits.put(u64::from(n) << n | bits as u64, 4 + n);
        Ok(())
    }
}

impl Visitor for Excerpt {
    /// # Errors
    ///
    /// Corrupt when the value is farther from those before than any encoder makes it.
    #[inline]
    fn begin(&mut self, component: usize, _block: u8, dc: i32) -> Result<()> {
        self.dc(component, dc)
    }

    #[inline]
    fn code(&mut self, _at: usize, _symbol: u8, bits: u64, n: u32) {
        self.bits.put(bits, n);
    }

    fn end(&mut self) {}
}

/// Bits to bytes, with a zero after every 0xff.
#[derive(Default)]
pub(super) struct BitWriter {
    out: Vec<u8>,
    hold: u64,
    n_bits: u32,
}

impl BitWriter {
    /// Appends the lowest `n` bits, at most 32 of them; the others are zeros.
    #[inline]
    pub(super) fn put(&mut self, bits: u64, n: u32) {
        self.hold = self.hold << n | bits;
        self.n_bits += n;
        if self.n_bits >= 32 {
            self.n_bits -= 32;
            let word = (self.hold >> self.n_bits) as u32;
            if (!word).wrapping_sub(0x0101_0101) & word & 0x8080_8080 == 0 {
                self.out.extend_from_slice(&word.to_be_bytes());
            } else {
                word.to_be_bytes().into_iter().for_each(|byte| self.push(byte));
            }
        }
    }

    fn push(&mut self, byte: u8) {
        self.out.push(byte);
        if byte == 0xff {
            self.out.push(0);
        }
    }

    /// Fills up the last byte with ones.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let spare = self.n_bits.next_multiple_of(8) - self.n_bits;
        self.hold = self.hold << spare | low(spare);
        self.n_bits += spare;
        while self.n_bits > 0 {
            self.n_bits -= 8;
            self.push((self.hold >> self.n_bits) as u8);
        }
        self.out
    }
}
