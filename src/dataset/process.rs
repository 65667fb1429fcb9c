//! What concerns all datasets of the process: the total of their caches, memory pressure, sums.

use crate::cache::Total;
use crate::memory::{Class, Ledger, Pool};

use super::Stats;
use super::shared::catalog;

/// Changes how many bytes of decoded blocks the caches of all datasets hold together. What exceeds them goes at once,
/// locked blocks when they are unlocked.
///
/// Until this is called the total is an eighth of the memory that the process may use, from 16 to 512 MiB, and beside that
/// what datasets were promised, budgets of their own included. On Linux that memory is the least of the machine's and of the
/// limits of the process's control groups, as they were when they were first asked for; elsewhere it is taken to be 4 GiB.
/// Afterwards the total is what was said: promises that come to more are cut by the same part. A
/// [`PressureWatch`](crate::PressureWatch) may lower it for a while.
pub fn set_total_max(bytes: u64) {
    Total::process().set_max_bytes(bytes);
}

/// How many bytes of decoded blocks the caches of all datasets may hold together when there is memory for them.
/// [`ProcessStats::total_now_bytes`] is what they may hold now.
#[must_use]
pub fn total_max() -> u64 {
    Total::process().wanted_bytes()
}

/// How much memory to give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum TrimLevel {
    /// What is free already and kept for the next block, and what caches need for more blocks than they have, which they go
    /// through for it. Costs nothing else but taking it from the system again.
    Free = 0,
    /// Also the half of every dataset's blocks that would go first, and of what is known of closed files.
    Half = 1,
    /// Also every block that is not locked or in use, and all that is known of closed files. A cache without a block forgets
    /// what its policy learned.
    All = 2,
}

impl TrimLevel {
    /// The level with this number (the enum's discriminant, as in the C ABI).
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Free, Self::Half, Self::All].into_iter().find(|level| *level as i32 == number)
    }
}

/// Gives memory back to the system: what a client calls when the system says that it is short of it. Budgets stay as they
/// are, so that caches fill again; a [`PressureWatch`](crate::PressureWatch) lowers and raises them by itself.
pub fn trim(level: TrimLevel) {
    match level {
        TrimLevel::Free => {}
        TrimLevel::Half => Total::process().give_up(1, 2),
        TrimLevel::All => Total::process().give_up(1, 1),
    }
    trim_beside(level);
}

/// As [`trim`] for what blocks and tiles do not make room for.
pub(crate) fn trim_beside(level: TrimLevel) {
    Total::process().give_back();
    match level {
        TrimLevel::Free => {}
        TrimLevel::Half => catalog().give_up(1, 2),
        TrimLevel::All => catalog().give_up(1, 1),
    }
    Pool::process().trim();
}

/// What all datasets of the process did and hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessStats {
    /// Sums over all datasets. Those that are closed still count in what happened; `max_bytes` is the total that was asked
    /// for.
    pub datasets: Stats,
    /// The total that holds now: less than was asked for while a [`PressureWatch`](crate::PressureWatch) keeps it low.
    pub total_now_bytes: u64,
    /// Datasets that are open, or of which a block is still lent.
    pub n_datasets: u64,
    /// Bytes that count against the total: blocks and rendered tiles kept, what is under way, what sources keep to find
    /// their way in compressed streams, and what caches needed for blocks that are gone.
    pub used_bytes: u64,
    /// Read buffers and decoder state.
    pub scratch_bytes: u64,
    /// Parsed metadata and offset tables.
    pub metadata_bytes: u64,
    /// Free block memory that is kept for the next block; [`trim`] gives it back.
    pub free_bytes: u64,
    /// Addresses taken for block memory, lent, free, or with nothing behind them.
    pub reserved_bytes: u64,
}

impl ProcessStats {
    /// Everything that the library holds for pixels and what belongs to them.
    #[must_use]
    pub const fn held_bytes(&self) -> u64 {
        self.datasets.pixel_bytes
            + self.datasets.structure_bytes
            + self.scratch_bytes
            + self.metadata_bytes
            + self.free_bytes
    }
}

/// What all datasets of the process did and hold together.
#[must_use]
pub fn process_stats() -> ProcessStats {
    let (counts, n_datasets) = Total::process().counts();
    let ledger = Ledger::process();
    let mut datasets = Stats::new(&counts, ledger);
    datasets.max_bytes = total_max();
    ProcessStats {
        datasets,
        total_now_bytes: Total::process().max_bytes(),
        n_datasets,
        used_bytes: Total::process().used_bytes(),
        scratch_bytes: ledger.bytes(Class::Scratch),
        metadata_bytes: ledger.bytes(Class::Metadata),
        free_bytes: Pool::process().free_bytes() as u64,
        reserved_bytes: Pool::process().reserved_bytes() as u64,
    }
}
