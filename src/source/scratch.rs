//! Read buffers and decoder state of a source, reused from block to block.

use crate::codec::Scratch;
use crate::codec::jpeg::DecodeBytes;
use crate::memory::{Charge, Class, Ledger};
use crate::sync::{Arc, Mutex};

/// A buffer that grew beyond this for one block is not kept for the next.
const KEEP_BYTES: usize = 4 << 20;
/// At most this many are kept; more exist only while more threads decode at once.
const KEEP: usize = 8;

/// As many [`Scratch`]es as blocks are decoded at once, on a ledger for as long as they exist.
pub(super) struct ScratchPool {
    free: Mutex<Vec<Counted>>,
    ledger: Arc<Ledger>,
}

/// A scratch and what is known of its size.
pub(super) struct Counted {
    pub(super) scratch: Scratch,
    charge: Charge,
}

impl Default for ScratchPool {
    fn default() -> Self {
        Self::on(Ledger::process())
    }
}

impl ScratchPool {
    fn on(ledger: &Arc<Ledger>) -> Self {
        Self { free: Mutex::default(), ledger: Arc::clone(ledger) }
    }

    /// Gives up those that nobody uses.
    pub(super) fn rest(&self) {
        let free = std::mem::take(&mut *self.free.lock());
        drop(free);
    }

    /// Runs `work` with a scratch of its own. No lock is held meanwhile.
    ///
    /// What the scratch holds already counts while `work` runs; what it grows by, when `work` says so, at the latest
    /// when it is done.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Counted) -> T) -> T {
        let kept = self.free.lock().pop();
        let mut counted = kept
            .unwrap_or_else(|| Counted { scratch: Scratch::default(), charge: self.ledger.charge(Class::Scratch, 0) });
        let result = work(&mut counted);
        if counted.count() <= KEEP_BYTES {
            let mut free = self.free.lock();
            if free.len() < KEEP {
                free.push(counted);
            }
        }
        result
    }
}

impl Counted {
    /// Puts what the scratch holds now on the ledger.
    pub(super) fn count(&mut self) -> usize {
        let bytes = self.scratch.memory_bytes();
        self.charge.resize(bytes as u64);
        bytes
    }

    /// Puts what the scratch holds now on the ledger, and what decoding a JPEG is about to take more: what its samples grow
    /// by, and what nobody keeps.
    pub(super) fn count_decoding(&mut self, bytes: DecodeBytes) {
        let have = (self.scratch.contexts.samples.capacity() * size_of::<u16>()) as u64;
        let more = bytes.samples.saturating_sub(have).saturating_add(bytes.others);
        self.charge.resize((self.scratch.memory_bytes() as u64).saturating_add(more));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_is_reused_unless_it_grew_too_large() {
        let pool = ScratchPool::default();
        let first = pool.with(|counted| {
            counted.scratch.bytes.resize(1000, 0);
            counted.scratch.bytes.as_ptr()
        });
        let second = pool.with(|counted| {
            let start = counted.scratch.bytes.as_ptr();
            counted.scratch.bytes.resize(KEEP_BYTES + 1, 0);
            start
        });
        assert_eq!(first, second);
        assert_eq!(pool.with(|counted| counted.scratch.bytes.capacity()), 0);
        pool.with(|counted| counted.scratch.bytes.resize(1000, 0));
        pool.rest();
        assert_eq!(pool.with(|counted| counted.scratch.bytes.capacity()), 0);
    }

    #[test]
    fn a_scratch_counts_while_it_is_used_and_while_it_is_kept() {
        let ledger = Arc::new(Ledger::default());
        let pool = ScratchPool::on(&ledger);
        let counted_bytes = || ledger.bytes(Class::Scratch) as usize;
        pool.with(|counted| counted.scratch.bytes = Vec::with_capacity(1000));
        assert_eq!(counted_bytes(), 1000);
        pool.with(|first| {
            assert_eq!((first.scratch.memory_bytes(), counted_bytes()), (1000, 1000));
            pool.with(|second| {
                second.scratch.decoded = Vec::with_capacity(KEEP_BYTES + 1);
                second.scratch.contexts.samples = Vec::with_capacity(20);
                let decode = |samples, others| DecodeBytes { samples, others };
                second.count_decoding(decode(50, 0));
                assert_eq!(counted_bytes(), 1000 + KEEP_BYTES + 1 + 50, "it is about to grow");
                second.count_decoding(decode(30, 0));
                assert_eq!(counted_bytes(), 1000 + KEEP_BYTES + 1 + 40, "there are more already");
                second.count_decoding(decode(30, 7));
                assert_eq!(counted_bytes(), 1000 + KEEP_BYTES + 1 + 40 + 7, "and what is not of the scratch");
                second.count();
                assert_eq!(counted_bytes(), 1000 + KEEP_BYTES + 1 + 40);
            });
            assert_eq!(counted_bytes(), 1000, "it was too large to be kept");
        });
        drop(pool);
        assert_eq!(counted_bytes(), 0);
    }
}
