//! What several caches may hold together, and whose entry goes when that is reached.
//!
//! Every cache has an [`Account`] in a [`Total`]. A load takes its bytes from the total before it starts. When they are
//! not there, the cache whose next victim is the most worth giving up gives it up: the longest unused for what such an
//! entry is worth. What a cache was promised, its floor, is not taken from it.
//!
//! Ranking is GreedyDual (Cao and Irani, "Cost-aware WWW proxy caching algorithms", USITS 1997) turned round: instead of
//! a rank that ages by an inflation L, the age itself is divided by the worth, which orders the same and needs nothing
//! written when an entry is used.

mod account;
mod search;

use std::sync::OnceLock;

use crate::memory::{Pool, default_budget};
use crate::sync::{Arc, AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering};

use super::Counts;
use super::state::FIRST_STAMP;
pub(crate) use account::Account;
pub(super) use search::urgency;
use search::{Search, Victim};

/// What the process's caches hold together, beside what was promised to some of them, until somebody says otherwise: this
/// part of the memory that it may use, within bounds.
const DEFAULT_PART: u64 = 8;
const DEFAULT_LEAST: u64 = 16 << 20;
const DEFAULT_MOST: u64 = 512 << 20;
/// Floors that nobody asked for take no more than this part of what those leave that somebody asked for, or idle caches
/// would hold all of it.
const UNASKED_FLOORS: f64 = 0.5;
/// Bytes that caches may hold together.
pub(crate) struct Total {
    /// What holds: `wanted_bytes`, or what it is capped to.
    max_bytes: AtomicU64,
    /// What the total shall be when there is memory for it.
    wanted_bytes: AtomicU64,
    /// What it is beside promises when no client said what it is.
    default_bytes: u64,
    /// Whether a client said what the total is. If not, it grows with every promise.
    is_set: AtomicBool,
    /// Entries and loads under way, of all accounts.
    used: AtomicU64,
    clock: AtomicU64,
    accounts: Mutex<Accounts>,
    /// Where the memory of entries comes from, if that follows the total.
    pool: Option<Arc<Pool>>,
    /// Where the next search for a victim begins.
    next: AtomicUsize,
}

#[derive(Default)]
struct Accounts {
    open: Vec<Arc<Account>>,
    /// Promised because a client said so, and because a cache has always something.
    asked: u128,
    unasked: u128,
    /// What the caches did that are gone.
    closed: Counts,
    /// What the total shall not exceed for now, for each who says so.
    caps: Vec<(Cap, u64)>,
}

/// One who caps a total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cap(u64);

/// A cache that can be asked to give memory up.
pub(crate) trait Holder: Send + Sync {
    /// Evicts what its policy names until `bytes` bytes have gone, what is held would fall below `floor`, or the next
    /// entry's `urgency` is below `least`. Returns the bytes that went; 0 as well when somebody else is at work on the cache and
    /// `wait` is `false`.
    fn give_up(&self, bytes: u64, floor: u64, least: f64, wait: bool) -> u64;

    /// The total has changed.
    fn total_changed(&self);

    /// Gives back the memory of its structures that its entries do not need.
    fn give_back(&self);

    fn counts(&self) -> Counts;
}

impl Total {
    /// The total of the process.
    pub(crate) fn process() -> &'static Arc<Self> {
        static PROCESS: OnceLock<Arc<Total>> = OnceLock::new();
        PROCESS.get_or_init(|| {
            let bytes = default_budget(DEFAULT_PART, DEFAULT_LEAST, DEFAULT_MOST);
            let total = Self::over(bytes, Some(Arc::clone(Pool::process())));
            total.is_set.store(false, Ordering::Relaxed);
            total
        })
    }

    #[cfg(test)]
    pub(crate) fn new(max_bytes: u64) -> Arc<Self> {
        Self::over(max_bytes, None)
    }

    fn over(max_bytes: u64, pool: Option<Arc<Pool>>) -> Arc<Self> {
        if let Some(pool) = &pool {
            pool.follow_total(max_bytes);
        }
        Arc::new(Self {
            max_bytes: AtomicU64::new(max_bytes),
            wanted_bytes: AtomicU64::new(max_bytes),
            default_bytes: max_bytes,
            is_set: AtomicBool::new(true),
            used: AtomicU64::new(0),
            clock: AtomicU64::new(FIRST_STAMP),
            accounts: Mutex::default(),
            pool,
            next: AtomicUsize::new(0),
        })
    }

    /// The total that holds now.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes.load(Ordering::Relaxed)
    }

    /// The total that somebody asked for, whatever it is [capped](Self::set_cap) to.
    pub(crate) fn wanted_bytes(&self) -> u64 {
        self.wanted_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of entries and loads under way in all caches.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Changes the total. What exceeds it and can go goes at once.
    pub(crate) fn set_max_bytes(&self, max_bytes: u64) {
        {
            let accounts = self.accounts.lock();
            self.is_set.store(true, Ordering::Relaxed);
            self.want(&accounts, max_bytes);
        }
        self.obey();
    }

    /// Caps the total to so many bytes for now, or no more. What was asked for is kept, and holds again when nobody caps it.
    /// What exceeds the least of all caps and can go goes at once.
    pub(crate) fn set_cap(&self, who: Cap, bytes: Option<u64>) {
        let is_changed = {
            let mut accounts = self.accounts.lock();
            accounts.caps.retain(|(other, _)| *other != who);
            accounts.caps.extend(bytes.map(|bytes| (who, bytes)));
            let before = self.max_bytes();
            self.want(&accounts, self.wanted_bytes());
            self.max_bytes() != before
        };
        if is_changed {
            self.obey();
        }
    }

    /// Changes what is wanted, and with it what holds.
    fn want(&self, accounts: &Accounts, bytes: u64) {
        let cap = accounts.caps.iter().map(|(_, bytes)| *bytes).min().unwrap_or(u64::MAX);
        self.wanted_bytes.store(bytes, Ordering::Relaxed);
        self.max_bytes.store(bytes.min(cap), Ordering::Relaxed);
    }

    /// The total was changed: tells the caches, and gives up what exceeds it. No lock may be held.
    fn obey(&self) {
        if let Some(pool) = &self.pool {
            pool.follow_total(self.max_bytes());
        }
        self.holders().iter().for_each(|holder| holder.total_changed());
        self.shrink(true);
    }

    /// Gives up what exceeds the total and can go. No lock may be held.
    pub(super) fn shrink(&self, wait: bool) {
        if self.used_bytes() > self.max_bytes() {
            // What is locked goes when it is unlocked.
            let _fits = self.make_room(None, 0, wait);
        }
    }

    /// Gives up this part of what every cache holds, floors or not.
    pub(crate) fn give_up(&self, numerator: u64, denominator: u64) {
        for account in self.open_accounts() {
            let used = account.used.load(Ordering::Relaxed);
            if let Some(holder) = account.holder() {
                holder.give_up(used.saturating_mul(numerator).div_ceil(denominator), 0, 0.0, true);
            }
        }
    }

    /// Has every cache give back what its structures hold beyond its entries.
    pub(crate) fn give_back(&self) {
        self.holders().iter().for_each(|holder| holder.give_back());
    }

    /// What all caches did and hold, those that are gone included.
    pub(crate) fn counts(&self) -> (Counts, u64) {
        let (mut counts, open) = {
            let accounts = self.accounts.lock();
            let of_datasets = accounts.open.iter().filter(|account| !account.is_apart);
            (accounts.closed, of_datasets.map(Arc::clone).collect::<Vec<_>>())
        };
        open.iter().filter_map(|account| account.holder()).for_each(|holder| counts.add(&holder.counts()));
        (counts, open.len() as u64)
    }

    /// The time, in loads: later for whatever happens after more was loaded.
    pub(super) fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Counts `after` bytes where `before` were counted, whether they fit or not.
    fn replace(&self, before: u64, after: u64) {
        if after >= before {
            self.used.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.used.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Takes `bytes` from what is left of the total.
    fn try_take(&self, bytes: u64) -> bool {
        let max = self.max_bytes();
        let take = |used: u64| used.checked_add(bytes).filter(|used| *used <= max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Evicts until `bytes` more fit, which are taken then. No lock may be held. With `wait`, also what needs waiting for
    /// another thread.
    fn make_room(&self, asking: Option<&Account>, bytes: u64, wait: bool) -> bool {
        if bytes > self.max_bytes() {
            return false;
        }
        let mut search = Search { asking, bytes, in_vain: Vec::new() };
        loop {
            if self.try_take(bytes) {
                return true;
            }
            let missing = self.used_bytes().saturating_add(bytes).saturating_sub(self.max_bytes());
            let Some(Victim { account, floor, spare, second }) = search.victim(self) else { return false };
            // The first look may only find out that the next entry was used meanwhile.
            let least = if search.tries(&account) > 0 { 0.0 } else { second };
            let wait = wait || search.is_asking(&account);
            let gone = account.holder().map_or(0, |holder| holder.give_up(missing.min(spare), floor, least, wait));
            if gone == 0 && missing > 0 {
                search.note_in_vain(&account);
            }
        }
    }

    /// Lets the total grow and shrink with what is promised, as long as nobody said what it is.
    fn follow(&self, accounts: &Accounts) {
        if !self.is_set.load(Ordering::Relaxed) {
            let max = u64::try_from(u128::from(self.default_bytes) + accounts.asked).unwrap_or(u64::MAX);
            self.want(accounts, max);
        }
    }

    fn open_accounts(&self) -> Vec<Arc<Account>> {
        self.accounts.lock().open.clone()
    }

    fn holders(&self) -> Vec<Arc<dyn Holder>> {
        self.open_accounts().iter().filter_map(|account| account.holder()).collect()
    }
}

impl Cap {
    /// One whom nobody else is.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Accounts {
    /// By how much floors that were asked for, and the others, must shrink to fit in the total.
    fn floor_scale(&self, max_bytes: u64) -> (f64, f64) {
        let max = max_bytes as f64;
        let asked = if self.asked > u128::from(max_bytes) { max / self.asked as f64 } else { 1.0 };
        let left = (max - self.asked as f64).max(0.0) * UNASKED_FLOORS;
        (asked, (left / self.unasked.max(1) as f64).min(1.0))
    }

    fn promised(&mut self, asked: bool) -> &mut u128 {
        if asked { &mut self.asked } else { &mut self.unasked }
    }
}

#[cfg(test)]
mod tests;
