//! The total of all caches, lowered while the system is short of memory.
//!
//! | file | what it is |
//! | --- | --- |
//! | `steps` | from what the system says to what the total may be |
//! | `wait` | how a thread waits for the next look |
//!
//! Locks: none while the total is changed, what is evicted goes, or a callback runs. Looks exclude each other by a flag, and
//! who comes second does not wait.

mod steps;
mod wait;

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::cache::{Cap, Total};
use crate::dataset::{TrimLevel, trim_beside};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{Reading, System};
use crate::sync::{Arc, AtomicBool, Mutex, Ordering, thread};

use steps::Steps;
use wait::{Awaited, Waiting};

/// How short of memory the process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum PressureLevel {
    /// There is enough.
    #[default]
    None = 0,
    /// Little is free, or processes stand still for want of memory: caches are made smaller.
    Moderate = 1,
    /// The system is about to end the process, or hardly gets anything done.
    Critical = 2,
}

/// How memory is watched; the default suits a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PressureOptions {
    /// From one look to the next, 250 ms by default.
    pub interval: Duration,
    /// What the process itself may hold, files apart, if that is less than what the system lets it have.
    pub limit_bytes: Option<u64>,
    /// Whether a thread looks. Without one only [`PressureWatch::check`] does.
    pub has_thread: bool,
}

impl Default for PressureOptions {
    fn default() -> Self {
        Self { interval: Duration::from_millis(250), limit_bytes: None, has_thread: true }
    }
}

impl PressureOptions {
    /// The same options with another time between two looks.
    #[must_use]
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// The same options with a limit for what the process itself holds.
    #[must_use]
    pub const fn limit_bytes(mut self, bytes: u64) -> Self {
        self.limit_bytes = Some(bytes);
        self
    }

    /// The same options without a thread.
    #[must_use]
    pub const fn no_thread(mut self) -> Self {
        self.has_thread = false;
        self
    }
}

/// What a [`PressureWatch`] saw when it looked last, and did since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PressureStats {
    /// How short of memory the process is.
    pub level: PressureLevel,
    /// How often it looked.
    pub checks: u64,
    /// How often it lowered the total.
    pub shrinks: u64,
    /// How often it raised it again.
    pub growths: u64,
    /// The total that was asked for: what it grows back to.
    pub total_max_bytes: u64,
    /// The total that holds.
    pub total_now_bytes: u64,
    /// The limit that leaves least: the machine's memory, that of a control group, or what the client said.
    pub limit_bytes: u64,
    /// What of it is used, by whomever, without what the system would take back for the asking.
    pub used_bytes: u64,
}

/// Lowers the total of all caches while the process is short of memory, until this is dropped.
///
/// It looks at the machine's memory, at the limits of the process's control groups (version 1 and 2, `memory.high` as well as
/// `memory.max`), and at how long processes stood still for want of memory (PSI): those of its own group of version 2, or all
/// of them while the machine itself is short. Caches may fill what leaves a quarter of each limit free, of 4 GiB at most.
/// Where more is used, by whomever, the total is lowered at once by as much, and while processes stand still by a quarter or
/// a half of what caches hold, again and again; memory that is free then goes back to the system. A 32nd of the limit, of
/// 4 GiB at most, is left to the caches as long as it is not nearly used up, but no more than a quarter of what was asked for
/// with [`set_total_max`](crate::set_total_max). When nothing was wrong for four intervals the total grows by a quarter of
/// what is missing, or a 16th of what was asked for, and so on, up to that, which may be changed meanwhile. Locked blocks stay,
/// promises are cut all by the same part.
///
/// What fills faster than it is looked at, and is not a cache, is not seen in time. With PSI the system wakes the thread
/// between two looks, where it permits that. A look costs a few reads of small files.
///
/// ```
/// use tilekeep::{PressureOptions, PressureWatch};
///
/// # fn main() -> tilekeep::Result<()> {
/// # if !cfg!(target_os = "linux") { return Ok(()); }
/// let watch = PressureWatch::new(&PressureOptions::default())?;
/// let seen = watch.stats();
/// assert!(seen.total_now_bytes <= seen.total_max_bytes);
/// # Ok(())
/// # }
/// ```
pub struct PressureWatch {
    inner: Arc<Inner>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Who hears that the level is another one.
type OnChange = Box<dyn Fn(&PressureStats) + Send + Sync>;

struct Inner {
    options: PressureOptions,
    total: Arc<Total>,
    cap: Cap,
    began: Instant,
    /// Whether somebody looks.
    is_busy: AtomicBool,
    /// Only who looks takes this.
    look: Mutex<Look>,
    stats: Mutex<PressureStats>,
    on_change: Option<OnChange>,
    waiting: Waiting,
}

struct Look {
    system: System,
    steps: Steps,
    cap: u64,
}

impl PressureWatch {
    /// Looks for the first time, and begins to watch.
    ///
    /// # Errors
    ///
    /// `unsupported` where the system does not say what memory there is, as all but Linux; `invalid argument` for an interval
    /// of less than a millisecond; `i/o error` when the system gives no thread.
    pub fn new(options: &PressureOptions) -> Result<Self> {
        Self::begin(options, None)
    }

    /// As [`new`](Self::new), with a function that hears of every change of the level: in the thread of the watch, or in the
    /// one that [checks](Self::check) or begins it, with no lock held. It may call anything, and drop the watch.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_callback(
        options: &PressureOptions,
        on_change: impl Fn(&PressureStats) + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::begin(options, Some(Box::new(on_change)))
    }

    /// Looks now, if nobody else does so just then, and says what is known.
    pub fn check(&self) -> PressureStats {
        self.inner.check(false);
        self.stats()
    }

    /// What was seen and done.
    #[must_use]
    pub fn stats(&self) -> PressureStats {
        let mut stats = *self.inner.stats.lock();
        stats.total_max_bytes = self.inner.total.wanted_bytes();
        stats.total_now_bytes = self.inner.total.max_bytes();
        stats
    }

    fn begin(options: &PressureOptions, on_change: Option<OnChange>) -> Result<Self> {
        let unknown = || Error::new(ErrorKind::Unsupported, "this system does not say what memory there is");
        let system = System::here().ok_or_else(unknown)?;
        if options.interval < Duration::from_millis(1) {
            return Err(Error::invalid(format!("an interval of {:?}; at least 1 ms", options.interval)));
        }
        Self::on(system, Total::process(), options, options.interval.saturating_mul(4), on_change)
    }

    /// A watch on a system and a total.
    fn on(
        mut system: System,
        total: &Arc<Total>,
        options: &PressureOptions,
        calm: Duration,
        on_change: Option<OnChange>,
    ) -> Result<Self> {
        if is_silent(&system.read(options.limit_bytes)) {
            return Err(Error::new(ErrorKind::Unsupported, "this system does not say what memory is used"));
        }
        let inner = Arc::new(Inner {
            options: *options,
            total: Arc::clone(total),
            cap: Cap::new(),
            began: Instant::now(),
            is_busy: AtomicBool::new(false),
            look: Mutex::new(Look { system, steps: Steps::new(calm), cap: u64::MAX }),
            stats: Mutex::default(),
            on_change,
            waiting: Waiting::new()?,
        });
        // What was done is undone if there is no thread.
        let mut watch = Self { inner, thread: None };
        watch.inner.check(false);
        if options.has_thread {
            let inner = Arc::clone(&watch.inner);
            let thread = thread::Builder::new().name("tilekeep-memory".to_owned()).spawn(move || inner.watch());
            watch.thread = Some(thread.map_err(|error| Error::from(error).context("a thread that watches memory"))?);
        }
        Ok(watch)
    }
}

impl Inner {
    fn watch(&self) {
        let mut place = 0;
        let mut trigger = None;
        loop {
            {
                let look = self.look.lock();
                if look.system.place() != place {
                    place = look.system.place();
                    trigger = look.system.stall_trigger();
                }
            }
            match self.waiting.wait(trigger.as_ref(), self.options.interval) {
                Awaited::Time => self.check(false),
                Awaited::Stalls => self.check(true),
                Awaited::NoMoreStalls => trigger = None,
                Awaited::End => return,
            }
        }
    }

    /// Looks, and does what follows from it, unless somebody else does.
    fn check(&self, woken: bool) {
        let Some(_turn) = Turn::take(&self.is_busy) else { return };
        // First what caches hold: what they load meanwhile then counts for what others use.
        let (held, wanted) = (self.total.used_bytes(), self.total.wanted_bytes());
        let (step, cap_before, bound) = {
            let mut look = self.look.lock();
            let reading = look.system.read(self.options.limit_bytes);
            let step = look.steps.next(&reading, held, wanted, self.began.elapsed(), woken);
            (step, std::mem::replace(&mut look.cap, step.cap), steps::tightest(&reading).unwrap_or_default())
        };
        let (before, now) = (wanted.min(cap_before), wanted.min(step.cap));
        self.total.set_cap(self.cap, Some(step.cap));
        let level_before = self.stats.lock().level;
        match step.level {
            PressureLevel::Critical => trim_beside(TrimLevel::All),
            PressureLevel::Moderate if level_before == PressureLevel::None => trim_beside(TrimLevel::Half),
            _ if now < before || step.level > PressureLevel::None => trim_beside(TrimLevel::Free),
            _ => {}
        }
        let stats = {
            let mut stats = self.stats.lock();
            *stats = PressureStats {
                level: step.level,
                checks: stats.checks + 1,
                shrinks: stats.shrinks + u64::from(now < before),
                growths: stats.growths + u64::from(now > before),
                total_max_bytes: wanted,
                total_now_bytes: self.total.max_bytes(),
                limit_bytes: bound.limit,
                used_bytes: bound.used,
            };
            *stats
        };
        if let Some(on_change) = self.on_change.as_ref().filter(|_| step.level != level_before) {
            // One that panics has heard of it.
            let _ = catch_unwind(AssertUnwindSafe(|| on_change(&stats)));
        }
    }
}

impl Drop for PressureWatch {
    fn drop(&mut self) {
        self.inner.waiting.end();
        // The callback may be what drops it: its own thread goes when the callback is over.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id()) {
            let _ = thread.join();
        }
        self.inner.total.set_cap(self.inner.cap, None);
    }
}

impl std::fmt::Debug for PressureWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PressureWatch").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

fn is_silent(reading: &Reading) -> bool {
    reading.host.is_none() && reading.bounds.is_empty() && reading.stalled.is_none()
}

/// Whoever has this looks; nobody waits for it.
struct Turn<'a>(&'a AtomicBool);

impl<'a> Turn<'a> {
    fn take(is_busy: &'a AtomicBool) -> Option<Self> {
        (!is_busy.swap(true, Ordering::Acquire)).then(|| Self(is_busy))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
