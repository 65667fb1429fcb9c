//! What a client has a dataset's cache do: how much it keeps, what it forgets, and what it would do with other budgets.

use crate::cache::{CacheBudget, CachePolicy};
use crate::error::Result;
use crate::grid::{BlockId, Window};
use crate::sync::Ordering;

use super::{Dataset, shared};

/// Which part of the budget a source may keep for itself, beside the blocks.
const SOURCE_SHARE: u64 = 8;

impl Dataset {
    /// Gives the dataset a budget of its own: this many bytes of decoded blocks are kept. What exceeds them goes at once,
    /// locked blocks when they are unlocked. 0 keeps nothing. It is from then on not [shared](super::OpenOptions::shared) with those
    /// who open the file later.
    pub fn set_cache_max(&self, bytes: u64) {
        self.set_cache_budget(CacheBudget::Own(bytes));
    }

    /// Changes how many bytes of decoded blocks are kept, and how they are shared with other datasets. As
    /// [`set_cache_max`](Self::set_cache_max) it leaves the dataset to those who have it.
    pub fn set_cache_budget(&self, budget: CacheBudget) {
        shared::steered(&self.core);
        self.core.cache.set_budget(budget);
        self.suggest_floor(0);
        self.share_budget();
    }

    /// Tells the source what it may keep beside the blocks, which have what it leaves, if the budget is not the one that it
    /// was told of: the total may have changed. The source of a mask keeps nothing.
    pub(super) fn share_budget(&self) {
        let max = self.cache_max();
        if self.core.first_plane == 0 && self.core.shared_max.swap(max, Ordering::Relaxed) != max {
            let kept = self.core.source.may_keep(max / SOURCE_SHARE);
            self.core.cache.reserve(kept);
            self.count_index();
        }
    }

    /// Has what the source keeps beside the blocks counted against the total, if it changed.
    pub(super) fn count_index(&self) {
        let core = &*self.core;
        if core.first_plane == 0 {
            let bytes = core.source.index_bytes();
            if core.counted_index.swap(bytes, Ordering::Relaxed) != bytes {
                core.cache.hold_beside(bytes);
            }
        }
    }

    /// How many bytes of decoded blocks may be kept: the budget, or the total where that is less.
    #[must_use]
    pub fn cache_max(&self) -> u64 {
        self.core.cache.max_bytes()
    }

    /// Changes which decoded blocks are forgotten first. Those that are kept stay. As
    /// [`set_cache_max`](Self::set_cache_max) it leaves the dataset to those who have it.
    pub fn set_cache_policy(&self, policy: CachePolicy) {
        shared::steered(&self.core);
        self.core.cache.set_policy(policy);
    }

    /// Forgets all decoded blocks that are not locked.
    pub fn evict_all(&self) {
        self.core.cache.remove_if(|_| true);
    }

    /// Forgets the decoded blocks of `level`, of every frame, that touch `window` and are not locked.
    ///
    /// # Errors
    ///
    /// `invalid argument` when there is no such level, or when the window does not lie in it.
    pub fn evict(&self, level: u32, window: &Window) -> Result<()> {
        let grid = self.level(level)?;
        self.check_window(level, window)?;
        let (cols, rows) = grid.blocks_of(window);
        let is_there = |at: &BlockId| cols.contains(&at.col) && rows.contains(&at.row);
        self.core.cache.remove_if(|at| self.core.has(*at) && at.level == level && is_there(at));
        Ok(())
    }

    /// The share of reads that each budget would have found in memory so far, predicted from a sample of what was read:
    /// with LRU, first reads counted as misses. It costs no read and changes nothing.
    #[must_use]
    pub fn cache_curve(&self, budgets_bytes: &[u64]) -> Vec<f64> {
        self.core.cache.curve(budgets_bytes)
    }

    /// A budget that is predicted to find this share of reads in memory, from 0 to 1; `None` when no budget is, because
    /// too much is read for the first time.
    #[must_use]
    pub fn suggest_cache_max(&self, target_ratio: f64) -> Option<u64> {
        self.core.cache.suggest(target_ratio)
    }
}
