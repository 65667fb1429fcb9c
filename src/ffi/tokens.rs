//! Locked blocks by token: a number that is good once, so that a second unlock is an error and not a crash.

use std::sync::OnceLock;

use crate::dataset::SharedBlock;
use crate::error::{Error, Result};
use crate::sync::{Arc, Mutex};

/// Blocks that clients hold. A token is a slot and how often that slot was used before.
#[derive(Default)]
pub(super) struct Tokens {
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    generation: u32,
    block: Option<Held>,
}

/// A block that was locked, or one that was asked for, which others may have too.
pub(super) enum Held {
    Locked(SharedBlock),
    Asked(Arc<SharedBlock>),
}

impl std::ops::Deref for Held {
    type Target = SharedBlock;

    fn deref(&self) -> &SharedBlock {
        match self {
            Self::Locked(block) => block,
            Self::Asked(block) => block,
        }
    }
}

impl Tokens {
    pub(super) fn process() -> &'static Self {
        static PROCESS: OnceLock<Tokens> = OnceLock::new();
        PROCESS.get_or_init(Self::default)
    }

    /// Keeps the block until its token comes back. Never 0.
    pub(super) fn put(&self, block: SharedBlock) -> u64 {
        self.hold(Held::Locked(block))
    }

    /// As [`put`](Self::put) for a block that somebody asked for.
    pub(super) fn put_asked(&self, block: Arc<SharedBlock>) -> u64 {
        self.hold(Held::Asked(block))
    }

    fn hold(&self, block: Held) -> u64 {
        let mut slots = self.slots.lock();
        let number = slots.free.pop().unwrap_or_else(|| {
            slots.slots.push(Slot { generation: 0, block: None });
            (slots.slots.len() - 1) as u32
        });
        let slot = &mut slots.slots[number as usize];
        slot.generation = slot.generation.wrapping_add(1).max(1);
        slot.block = Some(block);
        u64::from(slot.generation) << 32 | u64::from(number)
    }

    /// The block of a token, which is used up by this.
    pub(super) fn take(&self, token: u64) -> Result<Held> {
        let (generation, number) = ((token >> 32) as u32, token as u32);
        let mut slots = self.slots.lock();
        let slot = slots.slots.get_mut(number as usize).filter(|slot| slot.generation == generation);
        let block = slot.and_then(|slot| slot.block.take());
        let block = block.ok_or_else(|| {
            Error::invalid(format!("token {token:#x} locks no block; it was unlocked before, or never given out"))
        })?;
        slots.free.push(number);
        Ok(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dataset, MemorySource, OpenOptions, SampleType};

    #[test]
    fn a_token_is_good_once() {
        let source = MemorySource::new(4, 4, 1, SampleType::U8, (4, 4), vec![9; 16]).unwrap();
        let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
        let lock = || dataset.lock_block((0, 0, 0)).unwrap().into_shared();
        let tokens = Tokens::default();
        let first = tokens.put(lock());
        assert_eq!(tokens.take(first).unwrap().bytes(), [9; 16]);
        let second = tokens.put(lock());
        assert_ne!(first, second);
        for wrong in [first, 0, u64::MAX, second + 1] {
            assert!(tokens.take(wrong).is_err());
        }
        assert!(tokens.take(second).is_ok());
        assert_eq!(dataset.stats().locked_bytes, 0);
    }
}
