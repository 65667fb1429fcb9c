//! How far the total is lowered and raised, step by step: a function of what the system says and of the time, which asks
//! nobody anything.
//!
//! Of every limit four shares are told apart, counted in units of a twentieth of the limit, or of 4 GiB where the limit is
//! larger:
//!
//! ```text
//! free:  0 ......... 1 ......... 3 ......... 5 .............................. 20 units
//!         critical      moderate     left free    what caches may fill
//! ```
//!
//! How much too much is used is known of a limit, so that one step is enough for it, before pressure is felt at all. Of
//! processes that stand still for want of memory it is not: every sample of stalls costs the caches a part of what they
//! hold.

use std::time::Duration;

use crate::memory::{Bound, Reading};

use super::PressureLevel;

/// The largest limit that a unit is a twentieth of.
const UNIT_OF: u64 = 4 << 30;
const UNITS: u64 = 20;
/// Caches leave so many units free.
const LEFT_FREE: u64 = 5;
/// Fewer free units than these are a level; the second number is how many must be free for it to be over.
const MODERATE: (u64, u64) = (3, 4);
const CRITICAL: (u64, u64) = (1, 2);
/// Caches keep this part of a limit, or of `UNIT_OF` where it is larger, while others use all of it, and a quarter of that
/// when it is nearly used up; but no more than this part of what was asked for.
const LEAST_PART: u64 = 32;
const LEAST_OF_WANTED: u64 = 4;
/// The total grows by no less than a unit, or this part of what was asked for.
const STEP_OF_WANTED: u64 = 16;

/// Thousandths of the time during which somebody stood still that are a level, and at which it is over.
const STALL_MODERATE: (u64, u64) = (100, 50);
const STALL_CRITICAL: (u64, u64) = (400, 200);
/// Stalls are sampled over no less than this.
const SAMPLE: Duration = Duration::from_millis(500);

/// What is known of the past.
#[derive(Debug)]
pub(super) struct Steps {
    /// How long nothing may be wrong before the total grows by one step.
    calm: Duration,
    cap: u64,
    level: PressureLevel,
    calm_since: Option<Duration>,
    stalls: Stalls,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// What the total shall not exceed.
    pub(super) cap: u64,
    pub(super) level: PressureLevel,
}

impl Steps {
    pub(super) fn new(calm: Duration) -> Self {
        Self { calm, cap: u64::MAX, level: PressureLevel::None, calm_since: None, stalls: Stalls::default() }
    }

    /// The next step at a time `now`, when the caches hold `held` bytes and a client asked for a total of `wanted`. `woken`:
    /// the system says by itself that processes stand still.
    pub(super) fn next(&mut self, reading: &Reading, held: u64, wanted: u64, now: Duration, woken: bool) -> Step {
        let bounds = || reading.host.iter().chain(&reading.bounds);
        // Stalls of all processes are those of some other group as long as the machine has memory.
        let host_is_short = reading.host.is_none_or(|host| free_units(&host) < LEFT_FREE);
        let stalled = reading.stalled.filter(|stalled| stalled.is_ours || host_is_short);
        let sample = self.stalls.sample(stalled.map(|stalled| stalled.micros), now, woken);
        let share = self.stalls.share;

        let was = self.level;
        let is = |level, (from, until): (u64, u64), (stall_from, stall_until): (u64, u64)| {
            let (units, stall) = if was >= level { (until, stall_until) } else { (from, stall_from) };
            bounds().any(|bound| free_units(bound) < units) || share >= stall
        };
        self.level = match () {
            () if is(PressureLevel::Critical, CRITICAL, STALL_CRITICAL) => PressureLevel::Critical,
            () if is(PressureLevel::Moderate, MODERATE, STALL_MODERATE) => PressureLevel::Moderate,
            () => PressureLevel::None,
        };
        let is_near_its_end = bounds().any(|bound| free_units(bound) < CRITICAL.0);

        let fit = bounds().map(|bound| fit(bound, held)).min().unwrap_or(u64::MAX);
        let slack = bounds().map(unit).min().unwrap_or(UNIT_OF / UNITS);
        let mut cap = self.cap;
        // Readings waver by less than half a unit.
        if cap.saturating_sub(fit) > slack / 2 {
            cap = fit;
        }
        match sample {
            Some(share) if share >= STALL_CRITICAL.0 => cap = cap.min(held / 2),
            Some(share) if share >= STALL_MODERATE.0 => cap = cap.min(held / 4 * 3),
            _ => {}
        }
        if is_near_its_end {
            cap = cap.min(held / 2);
        }
        let limit = bounds().map(|bound| bound.limit).min().unwrap_or(u64::MAX).min(UNIT_OF);
        let least = (limit / LEAST_PART).min(wanted / LEAST_OF_WANTED);
        cap = cap.max(if is_near_its_end { least / 4 } else { least.min(self.cap) });

        if self.level == PressureLevel::None && cap >= self.cap {
            let since = *self.calm_since.get_or_insert(now);
            // Beyond what was asked for nobody sees it grow.
            let goal = if cap < wanted { fit.min(wanted) } else { fit };
            let missing = goal.saturating_sub(cap);
            // What was asked for does not waver, and is reached to the last byte.
            let is_enough = missing >= if goal == wanted { 1 } else { slack };
            if now.saturating_sub(since) >= self.calm && is_enough {
                cap += (missing / 4).max(slack.min(wanted / STEP_OF_WANTED)).clamp(1, missing);
                self.calm_since = Some(now);
            }
        } else {
            self.calm_since = None;
        }
        self.cap = cap;
        Step { cap, level: self.level }
    }
}

/// The limit of which the least is free, by how it is judged.
pub(super) fn tightest(reading: &Reading) -> Option<Bound> {
    reading.host.iter().chain(&reading.bounds).copied().min_by_key(free_units)
}

fn unit(bound: &Bound) -> u64 {
    (bound.limit.min(UNIT_OF) / UNITS).max(1)
}

fn free_units(bound: &Bound) -> u64 {
    bound.limit.saturating_sub(bound.used) / unit(bound)
}

/// What caches that hold `held` bytes may hold for `LEFT_FREE` units to be free.
fn fit(bound: &Bound, held: u64) -> u64 {
    held.saturating_add(bound.limit).saturating_sub(bound.used.saturating_add(unit(bound) * LEFT_FREE))
}

/// For what part of the time somebody stood still.
#[derive(Debug, Default)]
struct Stalls {
    /// When the last sample ended, and how long somebody had stood still by then.
    last: Option<(Duration, u64)>,
    /// Thousandths of the last sample.
    share: u64,
}

impl Stalls {
    /// The share of a sample that ends now, if one does.
    fn sample(&mut self, micros: Option<u64>, now: Duration, woken: bool) -> Option<u64> {
        let Some(micros) = micros else {
            *self = Self::default();
            return None;
        };
        let Some((then, before)) = self.last else {
            self.last = Some((now, micros));
            return None;
        };
        let elapsed = now.saturating_sub(then);
        if elapsed < SAMPLE && !woken {
            return None;
        }
        let elapsed = u64::try_from(elapsed.max(SAMPLE).as_micros()).unwrap_or(u64::MAX);
        let share = micros.saturating_sub(before).saturating_mul(1000) / elapsed;
        self.last = Some((now, micros));
        self.share = if woken { share.max(STALL_MODERATE.0) } else { share };
        Some(self.share)
    }
}
