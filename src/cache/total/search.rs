//! Which cache gives something up.

use crate::sync::{Arc, Ordering};

use super::{Account, Total};

/// Caches with something to spare that are looked at for one victim; of more, these many from a place that moves on.
const LOOKED_AT: usize = 64;
/// Caches that are gone through for them, once one was found: most of those that are open may have nothing.
const PASSED: usize = 512;

/// The search for room for one load.
pub(super) struct Search<'a> {
    pub(super) asking: Option<&'a Account>,
    pub(super) bytes: u64,
    /// Caches that were asked and gave nothing, and how often.
    pub(super) in_vain: Vec<(*const Account, u32)>,
}

/// A cache that should give something up.
pub(super) struct Victim {
    pub(super) account: Arc<Account>,
    /// What must be left to it, if that matters.
    pub(super) floor: u64,
    /// What it has beyond that.
    pub(super) spare: u64,
    /// How urgent the next victim of any other cache is.
    pub(super) second: f64,
}

/// How urgently the next victim of a cache should go. Larger goes first.
pub(in crate::cache) fn urgency(now: u64, last_use: u64, worth: f32) -> f64 {
    (now.saturating_sub(last_use) + 1) as f64 / f64::from(worth)
}

impl Search<'_> {
    pub(super) fn is_asking(&self, account: &Account) -> bool {
        self.asking.is_some_and(|asking| std::ptr::eq(asking, account))
    }

    pub(super) fn tries(&self, account: &Account) -> u32 {
        self.in_vain.iter().find(|(seen, _)| std::ptr::eq(*seen, account)).map_or(0, |(_, n)| *n)
    }

    pub(super) fn note_in_vain(&mut self, account: &Account) {
        match self.in_vain.iter_mut().find(|(seen, _)| std::ptr::eq(*seen, account)) {
            Some((_, n)) => *n += 1,
            None => self.in_vain.push((account, 1)),
        }
    }

    /// The cache whose next victim is the most urgent, of those with something to spare; when nobody has, the one that
    /// asks.
    pub(super) fn victim(&self, total: &Total) -> Option<Victim> {
        let now = total.now();
        let accounts = total.accounts.lock();
        let scale = accounts.floor_scale(total.max_bytes());
        let n = accounts.open.len();
        let start = if n > LOOKED_AT { total.next.fetch_add(LOOKED_AT, Ordering::Relaxed) % n } else { 0 };
        let asks = self.asking.and_then(|asking| accounts.open.get(asking.place.load(Ordering::Relaxed)));
        let others = (0..n).map(|i| &accounts.open[(start + i) % n]).filter(|account| !self.is_asking(account));
        let spare = |account: &Arc<Account>| {
            let used = account.used.load(Ordering::Relaxed);
            let wanted = if self.is_asking(account) { self.bytes } else { 0 };
            used.saturating_add(wanted).saturating_sub(account.floor(scale)).min(used)
        };
        let (mut best, mut second) = (None, 0.0);
        let candidates = asks.into_iter().chain(others).filter(|account| self.tries(account) < 2);
        let mut looked_at = 0;
        for (passed, (account, spare)) in candidates.map(|a| (a, spare(a))).enumerate() {
            if looked_at == LOOKED_AT || passed >= PASSED && looked_at > 0 {
                break;
            }
            if spare == 0 {
                continue;
            }
            looked_at += 1;
            let urgency = urgency(now, account.oldest.load(Ordering::Relaxed), account.worth());
            match best {
                Some((_, _, most)) if most >= urgency => second = f64::max(second, urgency),
                _ => {
                    second = best.map_or(second, |(_, _, most)| most);
                    best = Some((account, spare, urgency));
                }
            }
        }
        let own = || {
            let asks = asks.filter(|asks| self.tries(asks) < 2)?;
            Some((asks, asks.used.load(Ordering::Relaxed), 0.0)).filter(|(_, used, _)| *used > 0)
        };
        best.or_else(own).map(|(account, spare, _)| {
            // A floor that somebody asked for is not cut into, as long as there is room for all of them; of others, which
            // shrink the more datasets there are, as little as a whole entry makes necessary: or each of a thousand idle
            // caches would keep one.
            let is_kept = account.is_asked() && scale.0 >= 1.0;
            let is_free = self.is_asking(account) || !is_kept;
            let floor = if is_free { 0 } else { account.floor(scale) };
            Victim { account: Arc::clone(account), floor, spare, second }
        })
    }
}
