//! The bytes of a tile, shared by whoever holds the tile and the cache.

use std::fmt;
use std::ops::Deref;

use crate::memory::{Buffer, Charge, Class, Ledger, Pool};
use crate::sync::Arc;

/// The bytes of a tile: a slice that is shared, not copied, when the tile is cloned or found in the cache.
///
/// ```
/// use tilekeep::TileBytes;
///
/// let bytes = TileBytes::from(vec![1, 2, 3]);
/// assert_eq!(bytes.len(), 3);
/// assert_eq!(bytes.as_ptr(), bytes.clone().as_ptr());
/// ```
#[derive(Clone)]
pub struct TileBytes(Arc<Held>);

struct Held {
    memory: Memory,
    charge: Charge,
}

enum Memory {
    Pool(Buffer),
    Heap(Vec<u8>),
}

impl TileBytes {
    /// Bytes in the pool's memory, which a cache that many sizes go through does not scatter.
    pub(super) fn new(memory: Buffer) -> Self {
        let bytes = Pool::size_of(memory.len()).unwrap_or(memory.len());
        Self::held(Memory::Pool(memory), bytes)
    }

    /// The bytes in memory of the pool, where they are in one that takes part of it.
    pub(super) fn pooled(self) -> Self {
        let Memory::Heap(bytes) = &self.0.memory else { return self };
        // Without memory for a copy they stay where they are.
        let Ok(mut copy) = Pool::process().take(bytes.len()) else { return self };
        copy.copy_from_slice(bytes);
        Self::new(copy)
    }

    /// What the memory takes, beside what is counted for every tile.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.0.charge.bytes()
    }

    fn held(memory: Memory, bytes: usize) -> Self {
        Self(Arc::new(Held { memory, charge: Ledger::process().charge(Class::Tile, bytes as u64) }))
    }
}

impl Deref for TileBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0.memory {
            Memory::Pool(buffer) => buffer,
            Memory::Heap(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for TileBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for TileBytes {
    fn from(bytes: Vec<u8>) -> Self {
        let capacity = bytes.capacity();
        Self::held(Memory::Heap(bytes), capacity)
    }
}

impl PartialEq for TileBytes {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

impl Eq for TileBytes {}

impl PartialEq<[u8]> for TileBytes {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl PartialEq<Vec<u8>> for TileBytes {
    fn eq(&self, other: &Vec<u8>) -> bool {
        **self == **other
    }
}

impl PartialEq<TileBytes> for Vec<u8> {
    fn eq(&self, other: &TileBytes) -> bool {
        **self == **other
    }
}

impl<'a> IntoIterator for &'a TileBytes {
    type Item = &'a u8;
    type IntoIter = std::slice::Iter<'a, u8>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<const N: usize> PartialEq<[u8; N]> for TileBytes {
    fn eq(&self, other: &[u8; N]) -> bool {
        **self == *other
    }
}

impl fmt::Debug for TileBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_same_wherever_they_lie() {
        for len in [0, 1, 63, 5000, 100_000] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let heap = TileBytes::from(bytes.clone());
            let pooled = heap.clone().pooled();
            assert_eq!((&heap, &pooled), (&pooled, &heap));
            assert_eq!(pooled, bytes);
            assert_eq!(pooled.memory_bytes(), Pool::size_of(len).unwrap() as u64);
            assert_eq!(pooled.as_ptr(), pooled.clone().pooled().as_ptr());
        }
        assert_ne!(TileBytes::from(vec![1]), TileBytes::from(vec![2]));
    }
}
