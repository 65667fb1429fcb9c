//! Read buffers and decoder state of a source, reused from block to block.

use crate::codec::Scratch;
use crate::memory::{Charge, Class, Ledger};
use crate::sync::Mutex;

/// A buffer that grew beyond this for one block is not kept for the next.
const KEEP_BYTES: usize = 4 << 20;
/// At most this many are kept; more exist only while more threads decode at once.
const KEEP: usize = 8;

/// As many [`Scratch`]es as blocks are decoded at once. Those that are kept are on the process's ledger.
#[derive(Default)]
pub(super) struct ScratchPool {
    free: Mutex<Vec<Counted>>,
}

struct Counted {
    scratch: Scratch,
    charge: Charge,
}

impl ScratchPool {
    /// Runs `work` with a scratch of its own. No lock is held meanwhile.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let kept = self.free.lock().pop();
        let mut counted = kept.unwrap_or_else(|| Counted {
            scratch: Scratch::default(),
            charge: Ledger::process().charge(Class::Scratch, 0),
        });
        let result = work(&mut counted.scratch);
        let bytes = counted.scratch.memory_bytes();
        if bytes <= KEEP_BYTES {
            counted.charge.resize(bytes as u64);
            let mut free = self.free.lock();
            if free.len() < KEEP {
                free.push(counted);
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_is_reused_unless_it_grew_too_large() {
        let pool = ScratchPool::default();
        let first = pool.with(|s| {
            s.bytes.resize(1000, 0);
            s.bytes.as_ptr()
        });
        let second = pool.with(|s| {
            let start = s.bytes.as_ptr();
            s.bytes.resize(KEEP_BYTES + 1, 0);
            start
        });
        assert_eq!(first, second);
        assert_eq!(pool.with(|s| s.bytes.capacity()), 0);
    }
}
