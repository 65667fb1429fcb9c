//! Locked blocks by token: a number that is good once, so that a second unlock is an error and not a crash.

use std::sync::OnceLock;

use crate::dataset::SharedBlock;
use crate::error::{Error, Result};
use crate::sync::{Arc, AtomicU32, Mutex, Ordering, thread_local};

/// Lists of blocks: threads have different ones, as far as there are as many, so that they do not wait for each other.
const LISTS: u32 = 16;

/// Blocks that clients hold. A token is a list and a slot of it, and how often that slot was used before.
#[derive(Default)]
pub(super) struct Tokens {
    lists: [List; LISTS as usize],
}

/// What one thread writes is on no line of another.
#[derive(Default)]
#[repr(align(128))]
struct List(Mutex<Slots>);

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
        let list = list_of_thread();
        let mut slots = self.lists[list as usize].0.lock();
        let number = slots.free.pop().unwrap_or_else(|| {
            slots.slots.push(Slot { generation: 0, block: None });
            (slots.slots.len() - 1) as u32
        });
        let slot = &mut slots.slots[number as usize];
        slot.generation = slot.generation.wrapping_add(1).max(1);
        slot.block = Some(block);
        u64::from(slot.generation) << 32 | u64::from(number * LISTS + list)
    }

    /// The block of a token, which is used up by this.
    pub(super) fn take(&self, token: u64) -> Result<Held> {
        let (generation, place) = ((token >> 32) as u32, token as u32);
        let (number, list) = (place / LISTS, place % LISTS);
        let mut slots = self.lists[list as usize].0.lock();
        let slot = slots.slots.get_mut(number as usize).filter(|slot| slot.generation == generation);
        let block = slot.and_then(|slot| slot.block.take());
        let block = block.ok_or_else(|| {
            Error::invalid(format!("token {token:#x} locks no block; it was unlocked before, or never given out"))
        })?;
        slots.free.push(number);
        Ok(block)
    }
}

/// The list of this thread.
fn list_of_thread() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static LIST: u32 = NEXT.fetch_add(1, Ordering::Relaxed) % LISTS;
    }
    // While the thread ends any one will do.
    LIST.try_with(|list| *list).unwrap_or(0)
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

    #[test]
    fn another_thread_may_unlock() {
        let source = MemorySource::new(4, 4, 1, SampleType::U8, (4, 4), vec![9; 16]).unwrap();
        let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
        let tokens = Tokens::default();
        let put = || (0..10).map(|_| tokens.put(dataset.lock_block((0, 0, 0)).unwrap().into_shared())).collect();
        let mut all: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2 * LISTS).map(|_| scope.spawn(put)).collect();
            threads.into_iter().flat_map(|thread| -> Vec<u64> { thread.join().unwrap() }).collect()
        });
        assert!(all.iter().all(|token| tokens.take(*token).is_ok() && tokens.take(*token).is_err()));
        all.sort_unstable();
        all.dedup();
        let is_of_first = |token: &u64| token % u64::from(LISTS) == all[0] % u64::from(LISTS);
        assert!(!all.iter().all(is_of_first), "threads share one list");
        assert_eq!((all.len(), dataset.stats().locked_bytes), (20 * LISTS as usize, 0));
    }
}
