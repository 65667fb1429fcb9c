//! One cache's part in a total: what it holds, what it was promised, what it may hold at most.

use std::sync::{OnceLock, Weak};

use crate::sync::{Arc, AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::super::Counts;
use super::super::kind::{CacheBudget, CacheClass};
use super::{Holder, Total};

/// A batch has the total divided by this.
const BATCH_PART: u64 = 20;
/// The clock advances by this for every byte that is loaded, so that uses between two loads have room for an order.
const TICKS_PER_BYTE: u64 = 1 << 10;

/// One cache's part in a total.
pub(crate) struct Account {
    total: Arc<Total>,
    /// Entries and loads under way. Changed under the cache's mutex, or by a load that holds no lock.
    pub(super) used: AtomicU64,
    floor: AtomicU64,
    /// Whether somebody asked for the floor.
    asked: AtomicBool,
    ceiling: AtomicU64,
    is_batch: AtomicBool,
    /// Of something else than the blocks of a dataset: its counts are not summed up with theirs.
    pub(super) is_apart: bool,
    /// Bytes of the budget that the cache does not have, for they are held beside it.
    reserved: AtomicU64,
    /// Bytes of the total that are held beside the cache.
    beside: AtomicU64,
    /// Bytes of the total that its structures hold beyond what is counted with each entry.
    structures: AtomicU64,
    /// When the entry that would go next was last used, as far as anybody looked.
    pub(super) oldest: AtomicU64,
    /// How much an entry's age counts less than its neighbours': the bits of an `f32`.
    pub(super) worth: AtomicU32,
    pub(super) place: AtomicUsize,
    holder: OnceLock<Weak<dyn Holder>>,
}

impl Account {
    /// Opens an account in `total`.
    pub(crate) fn open(total: &Arc<Total>, budget: CacheBudget) -> Arc<Self> {
        Self::build(total, budget, false)
    }

    /// Opens an account whose counts are not part of those of the total.
    pub(crate) fn open_apart(total: &Arc<Total>, budget: CacheBudget) -> Arc<Self> {
        Self::build(total, budget, true)
    }

    fn build(total: &Arc<Total>, budget: CacheBudget, is_apart: bool) -> Arc<Self> {
        let account = Arc::new(Self {
            total: Arc::clone(total),
            used: AtomicU64::new(0),
            floor: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            ceiling: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
            beside: AtomicU64::new(0),
            structures: AtomicU64::new(0),
            is_batch: AtomicBool::new(false),
            is_apart,
            oldest: AtomicU64::new(u64::MAX),
            worth: AtomicU32::new(1_f32.to_bits()),
            place: AtomicUsize::new(0),
            holder: OnceLock::new(),
        });
        {
            let mut accounts = total.accounts.lock();
            account.place.store(accounts.open.len(), Ordering::Relaxed);
            accounts.open.push(Arc::clone(&account));
        }
        account.set_budget(budget);
        account
    }

    /// Says who holds the memory. Until then nothing is taken from it for others.
    pub(crate) fn set_holder(&self, holder: Weak<dyn Holder>) {
        // Only the first one counts; a cache says it once.
        let _ = self.holder.set(holder);
    }

    /// The account is closed: what it holds is free, and what its cache did is remembered. Nothing may be taken any more.
    pub(crate) fn close(&self, counts: &Counts) {
        self.give(self.used.load(Ordering::Relaxed));
        self.hold_beside(0);
        self.hold_structures(0);
        let mut accounts = self.total.accounts.lock();
        *accounts.promised(self.asked.load(Ordering::Relaxed)) -= u128::from(self.floor.load(Ordering::Relaxed));
        self.total.follow(&accounts);
        if !self.is_apart {
            accounts.closed.add(&counts.of_the_past());
        }
        let place = self.place.load(Ordering::Relaxed);
        let gone = accounts.open.swap_remove(place);
        if let Some(moved) = accounts.open.get(place) {
            moved.place.store(place, Ordering::Relaxed);
        }
        drop(accounts);
        drop(gone);
        self.total.shrink(true);
    }

    pub(crate) fn total(&self) -> &Total {
        &self.total
    }

    /// Changes what is promised and allowed.
    pub(crate) fn set_budget(&self, budget: CacheBudget) {
        let (floor, ceiling, class) = match budget {
            CacheBudget::Own(bytes) => (Some(bytes), bytes, CacheClass::Interactive),
            CacheBudget::Pooled { floor_bytes, ceiling_bytes, class } => (floor_bytes, ceiling_bytes, class),
        };
        let is_batch = class == CacheClass::Batch;
        self.ceiling.store(ceiling, Ordering::Relaxed);
        self.is_batch.store(is_batch, Ordering::Relaxed);
        // A batch is promised nothing unless somebody asks for it.
        let floor = floor.or(is_batch.then_some(0));
        self.promise(floor.map(|floor| floor.min(ceiling)), 0);
    }

    /// Promises so much unless somebody asked for another floor; a quarter of the total at most. What is not much less
    /// than what was promised already changes nothing.
    pub(crate) fn suggest_floor(&self, bytes: u64) {
        let bytes = bytes.min(self.max_bytes() / 4);
        let now = self.floor.load(Ordering::Relaxed);
        if !self.asked.load(Ordering::Relaxed) && (bytes > now || bytes < now / 2) {
            self.promise(None, bytes);
        }
    }

    fn promise(&self, asked: Option<u64>, unasked: u64) {
        let mut accounts = self.total.accounts.lock();
        let was_asked = self.asked.load(Ordering::Relaxed);
        if asked.is_none() && unasked > 0 && was_asked {
            return;
        }
        *accounts.promised(was_asked) -= u128::from(self.floor.load(Ordering::Relaxed));
        self.asked.store(asked.is_some(), Ordering::Relaxed);
        let floor = asked.unwrap_or(unasked);
        self.floor.store(floor, Ordering::Relaxed);
        *accounts.promised(asked.is_some()) += u128::from(floor);
        self.total.follow(&accounts);
        drop(accounts);
        self.total.shrink(true);
    }

    /// Sets bytes of the budget apart for what is held beside the cache. They are not taken from the total before they are
    /// held ([`hold_beside`](Self::hold_beside)): most of them may never be.
    pub(crate) fn reserve(&self, bytes: u64) {
        self.reserved.store(bytes, Ordering::Relaxed);
    }

    /// Says how many bytes are held beside the cache now. They are taken from the total whether they fit or not: blocks can
    /// go, and these cannot.
    pub(crate) fn hold_beside(&self, bytes: u64) {
        self.total.replace(self.beside.swap(bytes, Ordering::Relaxed), bytes);
    }

    /// Says how many bytes the structures of the cache hold beyond what is counted with each entry. They are taken from the
    /// total as those beside the cache are.
    pub(crate) fn hold_structures(&self, bytes: u64) {
        self.total.replace(self.structures.swap(bytes, Ordering::Relaxed), bytes);
    }

    /// The most that the cache may hold.
    pub(crate) fn room_bytes(&self) -> u64 {
        let max = self.max_bytes();
        max - self.reserved.load(Ordering::Relaxed).min(max / 4)
    }

    /// The budget: the most that the cache and what is held beside it may be.
    pub(crate) fn max_bytes(&self) -> u64 {
        let total = self.total.max_bytes();
        let total = if self.is_batch.load(Ordering::Relaxed) { total / BATCH_PART } else { total };
        self.ceiling.load(Ordering::Relaxed).min(total)
    }

    /// As [`room_bytes`](Self::room_bytes), for what nobody asked for: in a pool, a quarter.
    pub(crate) fn max_unasked_bytes(&self) -> u64 {
        let max = self.room_bytes();
        let own = self.asked.load(Ordering::Relaxed) && self.floor.load(Ordering::Relaxed) >= max;
        if own { max } else { (max / 4).max(self.floor.load(Ordering::Relaxed).min(max)) }
    }

    pub(super) fn floor(&self, (asked, unasked): (f64, f64)) -> u64 {
        let floor = self.floor.load(Ordering::Relaxed);
        let scale = if self.asked.load(Ordering::Relaxed) { asked } else { unasked };
        if scale >= 1.0 { floor } else { (floor as f64 * scale) as u64 }
    }

    /// Takes bytes for a load if they are there at once.
    pub(crate) fn try_take(&self, bytes: u64) -> bool {
        let taken = self.total.try_take(bytes);
        if taken {
            self.count_in(bytes);
        }
        taken
    }

    /// Takes bytes for a load; others, or this cache itself, give up what they can for it. No lock may be held. With
    /// `wait`, also what needs waiting for another thread.
    pub(crate) fn take(&self, bytes: u64, wait: bool) -> bool {
        let taken = self.total.make_room(Some(self), bytes, wait);
        if taken {
            self.count_in(bytes);
        }
        taken
    }

    fn count_in(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        self.total.clock.fetch_add(bytes.saturating_mul(TICKS_PER_BYTE), Ordering::Relaxed);
    }

    /// Gives bytes back.
    pub(crate) fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        self.total.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes of entries and of loads that have theirs.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether somebody asked for the floor.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Says when the entry that goes next was last used; `u64::MAX` when nothing can go.
    pub(crate) fn set_oldest(&self, last_use: u64) {
        self.oldest.store(last_use, Ordering::Relaxed);
    }

    /// There is an entry that was last used then. Under the cache's mutex, as is [`set_oldest`](Self::set_oldest).
    pub(crate) fn lower_oldest(&self, last_use: u64) {
        if last_use < self.oldest.load(Ordering::Relaxed) {
            self.set_oldest(last_use);
        }
    }

    pub(crate) fn set_worth(&self, worth: f32) {
        self.worth.store(worth.to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn worth(&self) -> f32 {
        f32::from_bits(self.worth.load(Ordering::Relaxed))
    }

    pub(super) fn holder(&self) -> Option<Arc<dyn Holder>> {
        self.holder.get().and_then(Weak::upgrade)
    }
}
