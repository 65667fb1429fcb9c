//! Leaving something alone that failed, and trying it again.

use std::time::{Duration, Instant};

/// For how long something is left alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// After the first failure; twice as long after each further one.
    pub(crate) first: Duration,
    /// And never longer than this: what comes back is noticed so soon.
    pub(crate) longest: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(4) }
    }
}

/// Whether something works, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    waits: Waits,
    /// Failures in a row.
    failures: u32,
    /// When it may be tried again; `None` while it works.
    until: Option<Instant>,
    /// Whether somebody tries it now.
    probing: bool,
}

impl Backoff {
    pub(super) fn new(waits: Waits) -> Self {
        Self { waits, ..Self::default() }
    }

    /// Whether it may be used now. Of those who ask after the time is up only the first may, until that one has called
    /// [`succeeded`](Self::succeeded) or [`failed`](Self::failed), which every user must.
    pub(super) fn may_use(&mut self, now: Instant) -> bool {
        match self.until {
            None => true,
            Some(until) if now < until || self.probing => false,
            Some(_) => {
                self.probing = true;
                true
            }
        }
    }

    /// It worked.
    pub(super) fn succeeded(&mut self) {
        *self = Self::new(self.waits);
    }

    /// It did not. Of several who began while it worked, the first to fail counts.
    pub(super) fn failed(&mut self, now: Instant) {
        if self.until.is_some() && !self.probing {
            return;
        }
        let delay = self.waits.first.saturating_mul(1 << self.failures.min(16)).min(self.waits.longest);
        self.failures = self.failures.saturating_add(1);
        (self.until, self.probing) = (Some(now + delay), false);
    }

    /// When it may be tried again; `None` when it may be used.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_double_the_wait_up_to_a_bound_and_a_success_forgets_them() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        for round in 0..2 {
            let waits: Vec<_> = (0..40)
                .map(|_| {
                    assert!(backoff.may_use(now));
                    backoff.failed(now);
                    let wait = backoff.until().unwrap() - now;
                    assert!(!backoff.may_use(now + wait - Duration::from_nanos(1)));
                    now += wait;
                    wait.as_millis()
                })
                .collect();
            assert_eq!(waits[..8], [100, 200, 400, 800, 1600, 3200, 4000, 4000], "round {round}");
            assert!(waits[8..].iter().all(|wait| *wait == 4000));
            assert!(backoff.may_use(now));
            backoff.succeeded();
            assert!(backoff.may_use(now) && backoff.may_use(now));
        }
    }

    #[test]
    fn one_at_a_time_tries_again() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        backoff.failed(now);
        let later = now + Waits::default().first;
        assert_eq!([(); 3].map(|()| backoff.may_use(later)), [true, false, false]);
        backoff.failed(later);
        assert!(!backoff.may_use(later));
        assert_eq!([(); 2].map(|()| backoff.may_use(later + Waits::default().first * 2)), [true, false]);
    }

    #[test]
    fn failures_of_those_who_began_together_count_once() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        assert!((0..8).all(|_| backoff.may_use(now)));
        for _ in 0..8 {
            backoff.failed(now);
        }
        assert_eq!(backoff.until(), Some(now + Waits::default().first));
    }
}
