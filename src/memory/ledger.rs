//! Bytes by what they are for, per dataset and summed over the process.

use std::sync::OnceLock;

use crate::sync::{Arc, AtomicU64, Ordering};

/// What bytes are held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Pixels of blocks, kept by a cache or lent.
    Block,
    /// What a cache needs beside the pixels, entry by entry.
    Overhead,
    /// Read buffers and decoder state.
    Scratch,
    /// Parsed metadata and offset tables of sources.
    Metadata,
    /// Memory of freed blocks that the pool has not given back to the system.
    Pool,
}

const CLASSES: usize = 5;

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
        Charge { ledger: Arc::clone(self), class, bytes }
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

/// Bytes on a [`Ledger`] for as long as this lives.
#[derive(Debug)]
pub(crate) struct Charge {
    ledger: Arc<Ledger>,
    class: Class,
    bytes: u64,
}

impl Charge {
    /// Changes how many bytes are meant.
    pub(crate) fn resize(&mut self, bytes: u64) {
        if bytes >= self.bytes {
            self.ledger.add(self.class, bytes - self.bytes);
        } else {
            self.ledger.sub(self.class, self.bytes - bytes);
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.ledger.sub(self.class, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_counts_here_and_in_the_parent_until_it_goes() {
        let parent = Arc::new(Ledger::default());
        let child = Ledger::child_of(&parent);
        let mut charge = child.charge(Class::Block, 100);
        charge.resize(70);
        for ledger in [&child, &parent] {
            assert_eq!((ledger.bytes(Class::Scratch), ledger.bytes(Class::Block)), (0, 70));
        }
        drop(charge);
        assert_eq!((child.bytes(Class::Block), parent.bytes(Class::Block)), (0, 0));
    }
}
