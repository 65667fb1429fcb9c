//! Watching memory.

use std::ffi::c_void;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::pressure::{PressureOptions, PressureStats, PressureWatch};
use crate::sync::Arc;

use super::client::{Callback, Listener};
use super::pointers::{Growing, Out, borrow, end_of, out, read_options};
use super::source::tilekeep_destroy_fn;
use super::status::{guard, tilekeep_status};

/// Level of pressure: there is enough memory.
pub const TILEKEEP_PRESSURE_NONE: i32 = 0;
/// Little is free, or processes stand still for want of memory: caches are made smaller.
pub const TILEKEEP_PRESSURE_MODERATE: i32 = 1;
/// The system is about to end the process, or hardly gets anything done.
pub const TILEKEEP_PRESSURE_CRITICAL: i32 = 2;

/// Lowers the total of all caches while the process is short of memory, until it is released.
///
/// It looks at the machine's memory, at the limits of the process's control groups, and at how long processes stood still
/// for want of memory. Caches may fill what leaves a quarter of each limit free, of 4 GiB at most. Where more is used, by
/// whomever, the total is lowered at once by as much, and while processes stand still by a quarter or a half of what caches
/// hold, again and again; memory that is free then goes back to the system. When nothing was wrong for four intervals the
/// total grows by a quarter of what is missing, or a 16th of what was asked for with tilekeep_set_total_max, and so on, up
/// to that, which may be changed meanwhile. Locked blocks stay.
///
/// @since 0.1
pub struct tilekeep_pressure_watch {
    watch: Arc<PressureWatch>,
}

/// How memory is watched; zeros are the defaults.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct tilekeep_pressure_options {
    /// sizeof(tilekeep_pressure_options).
    pub struct_size: u32,
    /// 1: no thread looks, only tilekeep_pressure_watch_check does. 0: a thread does.
    pub no_thread: u32,
    /// Milliseconds from one look to the next; 0: 250.
    pub interval_ms: u64,
    /// What the process itself may hold, files apart, if that is less than what the system lets it have; 0: not said.
    pub limit_bytes: u64,
}

// SAFETY: `repr(C)`, integers only, size first.
unsafe impl Growing for tilekeep_pressure_options {
    const NAME: &'static str = "tilekeep_pressure_options";
    const OLDEST: usize = end_of!(tilekeep_pressure_options, limit_bytes);

    fn defaults() -> Self {
        Self::default()
    }
}

impl tilekeep_pressure_options {
    fn to_options(self) -> Result<PressureOptions> {
        let defaults = PressureOptions::default();
        let has_thread = match self.no_thread {
            0 => true,
            1 => false,
            other => return Err(Error::invalid(format!("tilekeep_pressure_options: no_thread {other}"))),
        };
        let interval = if self.interval_ms == 0 { defaults.interval } else { Duration::from_millis(self.interval_ms) };
        Ok(PressureOptions { interval, limit_bytes: (self.limit_bytes > 0).then_some(self.limit_bytes), has_thread })
    }
}

/// What a watch saw when it looked last, and did since it began.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct tilekeep_pressure_stats {
    /// sizeof(tilekeep_pressure_stats), set by the caller.
    pub struct_size: u32,
    /// How short of memory the process is: one of TILEKEEP_PRESSURE_.
    pub level: i32,
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

// SAFETY: `repr(C)`, integers only, size first.
unsafe impl Growing for tilekeep_pressure_stats {
    const NAME: &'static str = "tilekeep_pressure_stats";
    const OLDEST: usize = end_of!(tilekeep_pressure_stats, used_bytes);

    fn defaults() -> Self {
        Self::default()
    }
}

impl From<PressureStats> for tilekeep_pressure_stats {
    fn from(stats: PressureStats) -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            level: stats.level as i32,
            checks: stats.checks,
            shrinks: stats.shrinks,
            growths: stats.growths,
            total_max_bytes: stats.total_max_bytes,
            total_now_bytes: stats.total_now_bytes,
            limit_bytes: stats.limit_bytes,
            used_bytes: stats.used_bytes,
        }
    }
}

/// Hears that the level of pressure is another one; stats is valid during the call. It runs in the thread of the watch, or in
/// one that checks or starts it, never under a lock of the library. It may call anything, and release the watch.
///
/// @since 0.1
pub type tilekeep_pressure_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, stats: *const tilekeep_pressure_stats)>;

/// Who hears of pressure. The struct is copied.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_pressure_callback {
    /// sizeof(tilekeep_pressure_callback).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Given to the functions as their first argument.
    pub user_data: *mut c_void,
    /// Hears of it. May be NULL.
    pub changed: tilekeep_pressure_fn,
    /// Releases user_data. Called exactly once, after the last call of changed, from any thread. May be NULL.
    pub destroy: tilekeep_destroy_fn,
}

// SAFETY: `repr(C)`, size first. A function pointer is wrapped in `Option`, for which NULL is a value; that any other
// bytes are a function is the caller's promise, as for every pointer.
unsafe impl Growing for tilekeep_pressure_callback {
    const NAME: &'static str = "tilekeep_pressure_callback";
    const OLDEST: usize = end_of!(tilekeep_pressure_callback, destroy);

    fn defaults() -> Self {
        Self { struct_size: 0, reserved: 0, user_data: std::ptr::null_mut(), changed: None, destroy: None }
    }
}

impl Callback for tilekeep_pressure_callback {
    fn user_data(&self) -> *mut c_void {
        self.user_data
    }

    fn destroy(&self) -> tilekeep_destroy_fn {
        self.destroy
    }
}

/// Looks for the first time, and begins to watch memory. options may be NULL, and so may callback, which may be called
/// before this returns. TILEKEEP_ERR_UNSUPPORTED where the system does not say what memory there is, as all but Linux.
///
/// destroy of the callback is called exactly once, also when this returns a failure; not, though, when callback's
/// struct_size is wrong, for then it cannot be known.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_watch_pressure(
    options: *const tilekeep_pressure_options,
    callback: *const tilekeep_pressure_callback,
    watch_out: *mut *mut tilekeep_pressure_watch,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let listener = unsafe { Listener::new(callback) }?;
        // SAFETY: as above.
        let watch_out = unsafe { out(watch_out, "watch_out") }?;
        // SAFETY: as above.
        let options = unsafe { read_options(options) }?.to_options()?;
        let watch = match listener {
            Some(listener) => PressureWatch::with_callback(&options, move |stats| listener.tell(*stats))?,
            None => PressureWatch::new(&options)?,
        };
        *watch_out = Box::into_raw(Box::new(tilekeep_pressure_watch { watch: Arc::new(watch) }));
        Ok(())
    })
}

/// Looks now, unless another thread does so just then, and says what is known. stats_out may be NULL.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_pressure_watch_check(
    watch: *const tilekeep_pressure_watch,
    stats_out: *mut tilekeep_pressure_stats,
) -> tilekeep_status {
    guard(|| {
        // A share of it, for the callback may release the handle.
        // SAFETY: the header's rules for pointers.
        let watch = Arc::clone(&unsafe { borrow(watch, "watch") }?.watch);
        // SAFETY: as above.
        let stats_out = if stats_out.is_null() { None } else { Some(unsafe { Out::new(stats_out) }?) };
        let seen = watch.check();
        if let Some(stats_out) = stats_out {
            stats_out.write(&seen.into());
        }
        Ok(())
    })
}

/// Says what was seen and done, without looking.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_pressure_watch_stats(
    watch: *const tilekeep_pressure_watch,
    stats_out: *mut tilekeep_pressure_stats,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, stats_out) = unsafe { (borrow(watch, "watch")?, Out::new(stats_out)?) };
        stats_out.write(&handle.watch.stats().into());
        Ok(())
    })
}

/// Stops watching: the total is what was asked for again. Returns when the thread is gone and no callback runs any more;
/// within a callback at once, and destroy then follows when the callback is over. NULL does nothing.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_pressure_watch_free(watch: *mut tilekeep_pressure_watch) {
    guard(|| {
        if !watch.is_null() {
            // SAFETY: `tilekeep_watch_pressure` made the box, and the caller gives it up.
            drop(unsafe { Box::from_raw(watch) });
        }
        Ok(())
    });
}

impl Listener<tilekeep_pressure_callback> {
    fn tell(&self, stats: PressureStats) {
        let callback = self.callback();
        if let Some(changed) = callback.changed {
            let stats = tilekeep_pressure_stats::from(stats);
            // SAFETY: the client's function with the client's data, and numbers that live during the call.
            unsafe { changed(callback.user_data, &raw const stats) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pressure::PressureLevel;

    #[test]
    fn constants_are_the_numbers_of_the_levels() {
        for (constant, level) in [
            (TILEKEEP_PRESSURE_NONE, PressureLevel::None),
            (TILEKEEP_PRESSURE_MODERATE, PressureLevel::Moderate),
            (TILEKEEP_PRESSURE_CRITICAL, PressureLevel::Critical),
        ] {
            assert_eq!(constant, level as i32);
        }
    }

    #[test]
    fn zeros_are_the_default_options_and_odd_ones_are_refused() {
        let zeros = tilekeep_pressure_options::default();
        assert_eq!(zeros.to_options().unwrap(), PressureOptions::default());
        let some = tilekeep_pressure_options { no_thread: 1, interval_ms: 7, limit_bytes: 9, ..zeros };
        let same = PressureOptions::default().no_thread().interval(Duration::from_millis(7)).limit_bytes(9);
        assert_eq!(some.to_options().unwrap(), same);
        assert!(tilekeep_pressure_options { no_thread: 2, ..zeros }.to_options().is_err());
    }
}
