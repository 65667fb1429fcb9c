//! The memory that a process really takes, watched.

use std::sync::atomic::{AtomicU64, Ordering};

/// The resident memory of this process, as shares of a budget.
pub(crate) struct Resident {
    budget: u64,
    start: u64,
    peak: AtomicU64,
}

impl Resident {
    /// From now on; `None` where the system does not tell.
    pub(crate) fn new(budget: u64) -> Option<Self> {
        Some(Self { budget, start: Self::now()?, peak: AtomicU64::new(0) })
    }

    fn now() -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
    }

    /// The share of the budget by which there is more than at the start.
    pub(crate) fn share(&self, bytes: u64) -> f64 {
        bytes.saturating_sub(self.start) as f64 / self.budget as f64
    }

    pub(crate) fn sample(&self) -> u64 {
        let now = Self::now().unwrap_or(0);
        self.peak.fetch_max(now, Ordering::Relaxed);
        now
    }

    /// Prints the peak since this was last called, and what there is now; the largest peak is kept in `overall`.
    pub(crate) fn report(&self, what: &str, overall: &mut u64) {
        let now = self.sample();
        let peak = self.peak.swap(0, Ordering::Relaxed);
        println!("{what:24} peak {:.3}, at the end {:.3}", self.share(peak), self.share(now));
        *overall = peak.max(*overall);
    }
}
