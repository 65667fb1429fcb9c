//! From a key to the hash that it is found by.

use std::hash::{Hash, Hasher};

/// Mixes a key well enough that both halves of the result can be used on their own.
#[inline]
pub(super) fn hash_of<K: Hash>(key: &K) -> u64 {
    let mut fold = Fold { folded: 0x9E37_79B9_7F4A_7C15, pending: 0, bits: 0 };
    key.hash(&mut fold);
    fold.finish()
}

/// One folded multiplication for every 16 bytes. In wyhash a second one follows, which takes a twentieth of a hit; here
/// the second half of the bytes is in both factors, which spreads blocks that lie in a pattern as well.
struct Fold {
    folded: u64,
    /// What was written and not folded in yet, the first of it in the lowest bits, and how many bits that is.
    pending: u128,
    bits: u32,
}

impl Fold {
    #[inline]
    fn put(&mut self, n: u64, bits: u32) {
        if self.bits + bits > 128 {
            (self.folded, self.pending, self.bits) = (self.finish(), 0, 0);
        }
        self.pending |= u128::from(n) << self.bits;
        self.bits += bits;
    }
}

impl Hasher for Fold {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.put(u64::from(*byte), 8));
    }

    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.put(u64::from(n), 32);
    }

    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.put(n, 64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        let (low, high) = (self.pending as u64, (self.pending >> 64) as u64);
        let factors = (low ^ high.rotate_left(23) ^ self.folded, high ^ 0xA076_1D64_78BD_642F);
        let product = u128::from(factors.0) * u128::from(factors.1);
        (product as u64) ^ (product >> 64) as u64
    }
}
