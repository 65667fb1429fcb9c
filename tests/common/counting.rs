//! A file in memory that counts how many of its bytes are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tilekeep::{ReadAt, Result};

pub(crate) struct Counting {
    bytes: Vec<u8>,
    read: AtomicU64,
}

impl Counting {
    pub(crate) fn of(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { bytes, read: AtomicU64::new(0) })
    }

    /// Bytes that were read so far.
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl ReadAt for Counting {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.read.fetch_add(out.len() as u64, Ordering::Relaxed);
        self.bytes.read_at(offset, out)
    }
}
