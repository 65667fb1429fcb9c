//! Blocks in the hands of whoever asked for them.

#![expect(unsafe_code, reason = "a loan says where the pixels are without a look at who keeps them")]

use std::fmt;
use std::ops::Deref;

use crate::block::{Block, KeptBlock, LentBlock, OwnedBlock};
use crate::cache::Pinned;
use crate::grid::BlockId;
use crate::sync::Arc;

use super::BlockCache;

/// A block lent by a dataset: it stays, and asking for it again finds it, until this is dropped.
pub struct BlockRef<'a> {
    /// What `loan` keeps.
    block: Block,
    loan: Loan<Pin<&'a BlockCache>, LentBlock<'a>>,
    cache: &'a Arc<BlockCache>,
}

/// A lent block that does not borrow the dataset and may outlive it.
pub struct SharedBlock(Loan<Pin<Arc<BlockCache>>, KeptBlock>);

type Pin<C> = Pinned<BlockId, OwnedBlock, C>;

/// Who has a lent block.
enum Loan<C, S> {
    /// The cache, or only whoever asked for it where the budget had no room.
    Cache(C),
    /// The source, whose own memory the pixels are.
    Source(S),
}

impl<'a> BlockRef<'a> {
    /// A block that is pinned in `cache`.
    #[inline]
    pub(super) fn cached(pin: Pin<&'a BlockCache>, cache: &'a Arc<BlockCache>) -> Self {
        // SAFETY: the pin keeps the block and stays here until `self` is dropped or becomes a `SharedBlock`; it is lent
        // only while `self` is borrowed.
        let block = unsafe { pin.again() };
        Self { block, loan: Loan::Cache(pin), cache }
    }

    /// A block that the source has anyway.
    #[inline]
    pub(super) fn of_source(lent: LentBlock<'a>, cache: &'a Arc<BlockCache>) -> Self {
        // SAFETY: as above.
        let block = unsafe { lent.again() };
        Self { block, loan: Loan::Source(lent), cache }
    }

    /// The same loan without the borrow, for the price of a reference count.
    #[must_use]
    pub fn into_shared(self) -> SharedBlock {
        SharedBlock(match self.loan {
            Loan::Cache(pin) => Loan::Cache(pin.held_by(Arc::clone(self.cache))),
            Loan::Source(lent) => Loan::Source(lent.keep()),
        })
    }

    /// Whether the dataset's cache keeps the block. `false` when the budget had no room for it, and when it
    /// [is mapped](Self::is_mapped) and needs none.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        matches!(&self.loan, Loan::Cache(pin) if pin.is_kept())
    }

    /// Whether the pixels are those of a mapped file, or other memory of the source, and not a copy.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        matches!(self.loan, Loan::Source(_))
    }
}

impl Deref for BlockRef<'_> {
    type Target = Block;

    #[inline]
    fn deref(&self) -> &Block {
        &self.block
    }
}

impl Deref for SharedBlock {
    type Target = Block;

    #[inline]
    fn deref(&self) -> &Block {
        match &self.0 {
            Loan::Cache(pin) => pin,
            Loan::Source(block) => block,
        }
    }
}

impl fmt::Debug for BlockRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BlockRef").field(&self.block).finish()
    }
}

impl fmt::Debug for SharedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedBlock").field(&**self).finish()
    }
}
