//! Budgets of datasets and of the process, advice, memory pressure.

use crate::cache::{CacheBudget, CacheClass};
use crate::dataset::{self, Advice, ProcessStats, TrimLevel};
use crate::error::{Error, Result};
use crate::grid::Window;

use super::blocks::tilekeep_cache_stats;
use super::dataset::tilekeep_dataset;
use super::pointers::{Growing, Out, borrow, end_of, out, read_struct};
use super::status::{guard, tilekeep_status};

/// A share of the total that grows and shrinks with what is read.
pub const TILEKEEP_BUDGET_POOLED: i32 = 0;
/// Bytes that are the dataset's own.
pub const TILEKEEP_BUDGET_OWN: i32 = 1;

/// Somebody looks at the dataset and comes back to what was seen.
pub const TILEKEEP_CLASS_INTERACTIVE: i32 = 0;
/// A job reads more than can be kept: it may hold a twentieth of the total, and is promised nothing.
pub const TILEKEEP_CLASS_BATCH: i32 = 1;

/// Soon: blocks in memory count as just used, and the system is asked to read the stored bytes of the others ahead.
pub const TILEKEEP_ADVICE_WILL_NEED: i32 = 0;
/// Not again: blocks that are not locked are forgotten.
pub const TILEKEEP_ADVICE_DONT_NEED: i32 = 1;
/// Once, in order: from now on its blocks are read as with TILEKEEP_USE_SEQUENTIAL.
pub const TILEKEEP_ADVICE_SEQUENTIAL: i32 = 2;
/// In any order, as if nothing had been said.
pub const TILEKEEP_ADVICE_RANDOM: i32 = 3;

/// Give back what is free already.
pub const TILEKEEP_TRIM_FREE: i32 = 0;
/// Also the half of every dataset's blocks that would go first, and of what is known of closed files.
pub const TILEKEEP_TRIM_HALF: i32 = 1;
/// Also every block that is not locked or in use, and all that is known of closed files.
pub const TILEKEEP_TRIM_ALL: i32 = 2;

/// No floor at all, in tilekeep_cache_budget.
pub const TILEKEEP_NO_FLOOR: u64 = u64::MAX;

/// What a dataset's cache may hold. Set struct_size to sizeof(tilekeep_cache_budget) and all else to 0 for the default, a
/// share of the total.
///
/// All caches of the process together hold no more than the total. What a cache was promised is not taken from it for
/// the sake of another one; when promises come to more than the total, all shrink by the same part.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct tilekeep_cache_budget {
    /// sizeof(tilekeep_cache_budget), set by the caller.
    pub struct_size: u32,
    /// One of TILEKEEP_BUDGET_.
    pub kind: i32,
    /// Own: bytes of decoded blocks that are kept, all of them promised; 0 keeps nothing. Pooled: the most that it may
    /// hold; 0: up to the total.
    pub max_bytes: u64,
    /// Pooled: bytes that no other dataset can take; 0: those of the last window that was read, at least 32 blocks;
    /// TILEKEEP_NO_FLOOR: none. Own: must be 0.
    pub floor_bytes: u64,
    /// Pooled: one of TILEKEEP_CLASS_. Own: must be 0.
    pub cache_class: i32,
    /// Must be 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, integers only, size first.
unsafe impl Growing for tilekeep_cache_budget {
    const NAME: &'static str = "tilekeep_cache_budget";
    const OLDEST: usize = end_of!(tilekeep_cache_budget, reserved);

    fn defaults() -> Self {
        Self::default()
    }
}

impl tilekeep_cache_budget {
    fn to_budget(self) -> Result<CacheBudget> {
        let Self { kind, max_bytes, floor_bytes, cache_class, reserved, .. } = self;
        if reserved != 0 {
            return Err(Error::invalid("tilekeep_cache_budget: reserved is not 0"));
        }
        let class = CacheClass::from_number(cache_class);
        let class = class.ok_or_else(|| Error::invalid(format!("tilekeep_cache_budget: class {cache_class}")))?;
        match kind {
            TILEKEEP_BUDGET_OWN if floor_bytes == 0 && cache_class == 0 => Ok(CacheBudget::Own(max_bytes)),
            TILEKEEP_BUDGET_OWN => {
                Err(Error::invalid("tilekeep_cache_budget: a budget of its own with a floor or a class"))
            }
            TILEKEEP_BUDGET_POOLED => Ok(CacheBudget::Pooled {
                floor_bytes: match floor_bytes {
                    0 => None,
                    TILEKEEP_NO_FLOOR => Some(0),
                    bytes => Some(bytes),
                },
                ceiling_bytes: if max_bytes == 0 { u64::MAX } else { max_bytes },
                class,
            }),
            _ => Err(Error::invalid(format!("tilekeep_cache_budget: kind {kind}"))),
        }
    }
}

/// What all datasets of the process did and hold together.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct tilekeep_memory_stats {
    /// sizeof(tilekeep_memory_stats), set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// The total that was asked for.
    pub total_max_bytes: u64,
    /// Bytes that count against the total: blocks and rendered tiles kept, what is under way, what sources keep to find
    /// their way in compressed streams, and what caches needed for blocks that are gone.
    pub used_bytes: u64,
    /// Datasets that are open, or of which a block is still lent.
    pub n_datasets: u64,
    /// Read buffers and decoder state.
    pub scratch_bytes: u64,
    /// Parsed metadata and offset tables.
    pub metadata_bytes: u64,
    /// Free block memory that is kept for the next block; tilekeep_trim gives it back.
    pub free_bytes: u64,
    /// Addresses taken for block memory, lent, free, or with nothing behind them.
    pub reserved_bytes: u64,
    /// The total that holds now: less than was asked for while a tilekeep_pressure_watch keeps it low.
    pub total_now_bytes: u64,
}

// SAFETY: `repr(C)`, integers only, size first.
unsafe impl Growing for tilekeep_memory_stats {
    const NAME: &'static str = "tilekeep_memory_stats";
    const OLDEST: usize = end_of!(tilekeep_memory_stats, reserved_bytes);

    fn defaults() -> Self {
        Self::default()
    }
}

impl From<ProcessStats> for tilekeep_memory_stats {
    fn from(stats: ProcessStats) -> Self {
        Self {
            struct_size: 0,
            reserved: 0,
            total_max_bytes: stats.datasets.max_bytes,
            used_bytes: stats.used_bytes,
            n_datasets: stats.n_datasets,
            scratch_bytes: stats.scratch_bytes,
            metadata_bytes: stats.metadata_bytes,
            free_bytes: stats.free_bytes,
            reserved_bytes: stats.reserved_bytes,
            total_now_bytes: stats.total_now_bytes,
        }
    }
}

/// Changes what the dataset's cache may hold, and how it is shared with other datasets. What exceeds it goes at once,
/// locked blocks when they are unlocked.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_set_cache_budget(
    dataset: *const tilekeep_dataset,
    budget: *const tilekeep_cache_budget,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, budget) = unsafe { (borrow(dataset, "dataset")?, read_struct(budget)?) };
        handle.dataset.set_cache_budget(budget.to_budget()?);
        Ok(())
    })
}

/// Changes how many bytes of decoded blocks the caches of all datasets hold together. What exceeds them goes at once,
/// locked blocks when they are unlocked. Until this is called the total is an eighth of the memory that the process may use,
/// from 16 to 512 MiB, and beside that what datasets were promised, budgets of their own included. On Linux that memory is
/// the least of the machine's and of the limits of the process's control groups, as they were when they were first asked
/// for; elsewhere it is taken to be 4 GiB. A tilekeep_pressure_watch may lower the total for a while.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn tilekeep_set_total_max(bytes: u64) -> tilekeep_status {
    guard(|| {
        dataset::set_total_max(bytes);
        Ok(())
    })
}

/// Says how many bytes of decoded blocks the caches of all datasets may hold together when there is memory for them;
/// total_now_bytes of tilekeep_memory_stats is what they may hold now.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_get_total_max(bytes_out: *mut u64) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        *unsafe { out(bytes_out, "bytes_out") }? = dataset::total_max();
        Ok(())
    })
}

/// Gives memory back to the system: what to call when the system says that it is short of it. level is one of
/// TILEKEEP_TRIM_. Budgets stay as they are, so that caches fill again;
/// a tilekeep_pressure_watch lowers and raises them by itself.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn tilekeep_trim(level: i32) -> tilekeep_status {
    guard(|| {
        dataset::trim(TrimLevel::from_number(level).ok_or_else(|| Error::invalid(format!("trim level {level}")))?);
        Ok(())
    })
}

/// Says how a window of pixels of level is going to be read, in every frame: advice is one of TILEKEEP_ADVICE_. The window
/// must lie in the level. Nothing is decoded, and no pixel changes.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_advise(
    dataset: *const tilekeep_dataset,
    level: u32,
    x: u64,
    y: u64,
    width: u64,
    height: u64,
    advice: i32,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let handle = unsafe { borrow(dataset, "dataset") }?;
        let advice = Advice::from_number(advice).ok_or_else(|| Error::invalid(format!("advice {advice}")))?;
        handle.dataset.advise(level, &Window::new(x, y, width, height), advice)
    })
}

/// As tilekeep_advise for one frame.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_advise_frame(
    dataset: *const tilekeep_dataset,
    frame: u32,
    level: u32,
    x: u64,
    y: u64,
    width: u64,
    height: u64,
    advice: i32,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let handle = unsafe { borrow(dataset, "dataset") }?;
        let advice = Advice::from_number(advice).ok_or_else(|| Error::invalid(format!("advice {advice}")))?;
        handle.dataset.advise_frame(frame, level, &Window::new(x, y, width, height), advice)
    })
}

/// Says what all datasets of the process did and hold together. Either output may be NULL. Datasets that are closed count
/// in what happened.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_process_stats(
    stats_out: *mut tilekeep_memory_stats,
    datasets_out: *mut tilekeep_cache_stats,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let stats_out = (!stats_out.is_null()).then(|| unsafe { Out::new(stats_out) }).transpose()?;
        // SAFETY: as above.
        let datasets_out = (!datasets_out.is_null()).then(|| unsafe { Out::new(datasets_out) }).transpose()?;
        let stats = dataset::process_stats();
        if let Some(stats_out) = stats_out {
            stats_out.write(&stats.into());
        }
        if let Some(datasets_out) = datasets_out {
            datasets_out.write(&stats.datasets.into());
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_the_numbers_of_the_enums() {
        for (constant, number) in [
            (TILEKEEP_CLASS_INTERACTIVE, CacheClass::Interactive as i32),
            (TILEKEEP_CLASS_BATCH, CacheClass::Batch as i32),
            (TILEKEEP_ADVICE_WILL_NEED, Advice::WillNeed as i32),
            (TILEKEEP_ADVICE_DONT_NEED, Advice::DontNeed as i32),
            (TILEKEEP_ADVICE_SEQUENTIAL, Advice::Sequential as i32),
            (TILEKEEP_ADVICE_RANDOM, Advice::Random as i32),
            (TILEKEEP_TRIM_FREE, TrimLevel::Free as i32),
            (TILEKEEP_TRIM_HALF, TrimLevel::Half as i32),
            (TILEKEEP_TRIM_ALL, TrimLevel::All as i32),
        ] {
            assert_eq!(constant, number);
        }
    }

    #[test]
    fn a_budget_of_zeros_is_the_default_and_what_contradicts_itself_is_refused() {
        let zeros = tilekeep_cache_budget::default();
        assert_eq!(zeros.to_budget().unwrap(), CacheBudget::default());
        let own = tilekeep_cache_budget { kind: TILEKEEP_BUDGET_OWN, max_bytes: 7, ..zeros };
        assert_eq!(own.to_budget().unwrap(), CacheBudget::Own(7));
        let none = tilekeep_cache_budget { floor_bytes: TILEKEEP_NO_FLOOR, max_bytes: 9, cache_class: 1, ..zeros };
        assert_eq!(
            none.to_budget().unwrap(),
            CacheBudget::Pooled { floor_bytes: Some(0), ceiling_bytes: 9, class: CacheClass::Batch }
        );
        for wrong in [
            tilekeep_cache_budget { kind: 2, ..zeros },
            tilekeep_cache_budget { cache_class: -1, ..zeros },
            tilekeep_cache_budget { floor_bytes: 1, ..own },
            tilekeep_cache_budget { reserved: 1, ..zeros },
        ] {
            assert!(wrong.to_budget().is_err());
        }
    }
}
