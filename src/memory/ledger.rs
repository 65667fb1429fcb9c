//! Bytes by what they are for, per dataset and summed over the process.

use std::sync::OnceLock;

use crate::sync::{Arc, AtomicU64, Ordering};

/// What bytes are held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Pixels of blocks, kept by a cache or lent.
    Block,
    /// Bytes of rendered tiles, kept by the tile cache or lent.
    Tile,
    /// What a cache needs beside the pixels, entry by entry.
    Overhead,
    /// Read buffers and decoder state.
    Scratch,
    /// Parsed metadata and offset tables of sources.
    Metadata,
    /// Memory of freed blocks that the pool has not given back to the system.
    Pool,
}

impl Class {
    const ALL: [Self; 6] = [Self::Block, Self::Tile, Self::Overhead, Self::Scratch, Self::Metadata, Self::Pool];
}

const CLASSES: usize = Class::ALL.len();

/// Counts of bytes. A dataset's ledger adds to the process's one as well.
///
/// A charge is one relaxed atomic addition per ledger; nothing waits.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    bytes: [AtomicU64; CLASSES],
    parent: Option<Arc<Ledger>>,
}

impl Ledger {
    /// The ledger of the whole process.
    pub(crate) fn process() -> &'static Arc<Self> {
        static PROCESS: OnceLock<Arc<Ledger>> = OnceLock::new();
        PROCESS.get_or_init(Arc::default)
    }

    /// A ledger whose charges count for `parent` too.
    pub(crate) fn child_of(parent: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self { bytes: Default::default(), parent: Some(Arc::clone(parent)) })
    }

    /// Bytes held for `class`.
    pub(crate) fn bytes(&self, class: Class) -> u64 {
        self.bytes[class as usize].load(Ordering::Relaxed)
    }

    /// Counts `bytes` until the returned charge is dropped.
    pub(crate) fn charge(self: &Arc<Self>, class: Class, bytes: u64) -> Charge {
        self.add(class, bytes);
        Charge { ledger: Arc::clone(self), bytes_and_class: pack(bytes, class) }
    }

    pub(crate) fn add(&self, class: Class, bytes: u64) {
        self.bytes[class as usize].fetch_add(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.parent {
            parent.add(class, bytes);
        }
    }

    pub(crate) fn sub(&self, class: Class, bytes: u64) {
        self.bytes[class as usize].fetch_sub(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.parent {
            parent.sub(class, bytes);
        }
    }
}

/// Bytes on a [`Ledger`] for as long as this lives. Small, because every block in a cache has one.
#[derive(Debug)]
pub(crate) struct Charge {
    ledger: Arc<Ledger>,
    /// The class in the lowest bits, the bytes above them.
    bytes_and_class: u64,
}

const fn pack(bytes: u64, class: Class) -> u64 {
    debug_assert!(bytes <= u64::MAX / CLASSES as u64);
    bytes * CLASSES as u64 + class as u64
}

impl Charge {
    fn class(&self) -> Class {
        Class::ALL[self.bytes_and_class as usize % CLASSES]
    }

    /// Bytes that are counted.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes_and_class / CLASSES as u64
    }

    /// Changes how many bytes are meant.
    pub(crate) fn resize(&mut self, bytes: u64) {
        let (class, before) = (self.class(), self.bytes());
        if bytes >= before {
            self.ledger.add(class, bytes - before);
        } else {
            self.ledger.sub(class, before - bytes);
        }
        self.bytes_and_class = pack(bytes, class);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.ledger.sub(self.class(), self.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_counts_here_and_in_the_parent_until_it_goes() {
        let parent = Arc::new(Ledger::default());
        let child = Ledger::child_of(&parent);
        for class in Class::ALL {
            let mut charge = child.charge(class, 100);
            charge.resize(70);
            for ledger in [&child, &parent] {
                let others: u64 = Class::ALL.into_iter().filter(|c| *c != class).map(|c| ledger.bytes(c)).sum();
                assert_eq!((ledger.bytes(class), others), (70, 0));
            }
            drop(charge);
            assert_eq!((child.bytes(class), parent.bytes(class)), (0, 0));
        }
    }
}
