//! Maps under hashes that are hashes already.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Numbers found by the well mixed 64-bit hash of a key.
pub(super) type Hashed = HashMap<u64, u32, BuildHasherDefault<AsItIs>>;

/// Passes a `u64` through.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("only u64 is hashed here");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Bytes that `map` holds, about: hashbrown keeps one control byte beside each place.
pub(super) fn memory_bytes(map: &Hashed) -> usize {
    map.capacity() * 8 / 7 * (size_of::<(u64, u32)>() + 1)
}
