//! Blocks: copied out, lent and given back; the budget; the counts.

use std::ffi::c_void;

use crate::block::BlockLayout;
use crate::cache::CachePolicy;
use crate::dataset::{CacheUse, Stats};
use crate::error::{Error, ErrorKind, Result};
use crate::grid::{BlockId, Window};

use super::dataset::tilekeep_dataset;
use super::pointers::{Growing, Out, array, borrow, buffer, end_of, null, out, read_options, read_struct};
use super::status::{guard, tilekeep_status};
use super::tokens::Tokens;

/// The block is lent to be read: the only mode so far.
pub const TILEKEEP_LOCK_READ: i32 = 0;

/// LRU or CLOCK-Pro, whichever does better on a sample of what is read.
pub const TILEKEEP_POLICY_ADAPTIVE: i32 = 0;
/// Blocks may be wanted again: they are kept, and remembered as used.
pub const TILEKEEP_USE_NORMAL: i32 = 0;
/// Everything is read once, in order: blocks are kept where they leave first, and those that are there gain nothing.
pub const TILEKEEP_USE_SEQUENTIAL: i32 = 1;
/// The reader only passes through: absent blocks are not kept, and nothing is remembered. What had to be decoded beside
/// them is kept for the next steps where room is free, or in an eighth of the budget.
pub const TILEKEEP_USE_NO_CACHE: i32 = 2;

/// The least recently used block goes first, exactly.
pub const TILEKEEP_POLICY_LRU: i32 = 1;
/// Second chance: nearly TILEKEEP_POLICY_LRU.
pub const TILEKEEP_POLICY_CLOCK: i32 = 2;
/// CLOCK-Pro: keeps a part of a loop that is larger than the cache, and what is asked for often.
pub const TILEKEEP_POLICY_CLOCK_PRO: i32 = 3;
/// Nothing is kept that is not locked or in use.
pub const TILEKEEP_POLICY_NONE: i32 = 4;

/// Which block of a place, and what for. Set struct_size to sizeof(tilekeep_block_options) and all else to 0 for the
/// defaults.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct tilekeep_block_options {
    /// sizeof(tilekeep_block_options).
    pub struct_size: u32,
    /// The plane: 0, or the band when every band is stored in blocks of its own.
    pub plane: u32,
    /// TILEKEEP_LOCK_READ.
    pub mode: i32,
    /// Of tilekeep_read_block: one of TILEKEEP_USE_. A lock takes TILEKEEP_USE_NORMAL only.
    pub cache_use: i32,
    /// The frame: 0, or which of several pictures.
    pub frame: u32,
}

// SAFETY: `repr(C)`, integers only, size first.
unsafe impl Growing for tilekeep_block_options {
    const NAME: &'static str = "tilekeep_block_options";
    const OLDEST: usize = end_of!(tilekeep_block_options, cache_use);

    fn defaults() -> Self {
        Self::default()
    }
}

impl tilekeep_block_options {
    pub(super) fn at(self, level: u32, col: u32, row: u32) -> Result<BlockId> {
        if self.mode != TILEKEEP_LOCK_READ {
            return Err(Error::invalid(format!("tilekeep_block_options: mode {}", self.mode)));
        }
        Ok(BlockId::new(level, col, row).with_plane(self.plane).with_frame(self.frame))
    }
}

/// A block and how its samples lie in memory. Strides are distances in bytes.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_block {
    /// sizeof(tilekeep_block), set by the caller.
    pub struct_size: u32,
    /// Pixels across; fewer than a block's at the right edge of the level.
    pub width: u32,
    /// Pixels down; fewer than a block's at the bottom edge of the level.
    pub height: u32,
    /// Bands in the block: all, or 1 when every band is stored in blocks of its own.
    pub n_bands: u32,
    /// The type of a sample, one of TILEKEEP_SAMPLE_.
    pub sample_type: i32,
    /// 0.
    pub reserved: u32,
    /// The first sample of the top left pixel, aligned to the size of a sample. NULL after tilekeep_read_block.
    pub data: *const c_void,
    /// Bytes from data on.
    pub size: usize,
    /// From a sample to that of the next pixel to the right.
    pub pixel_stride: usize,
    /// From a sample to that of the pixel below.
    pub row_stride: usize,
    /// From a sample to that of the next band at the same pixel.
    pub band_stride: usize,
    /// What tilekeep_unlock_block knows the lock by. 0 after tilekeep_read_block.
    pub token: u64,
}

// SAFETY: `repr(C)`, integers and a raw pointer only, size first.
unsafe impl Growing for tilekeep_block {
    const NAME: &'static str = "tilekeep_block";
    const OLDEST: usize = end_of!(tilekeep_block, token);

    fn defaults() -> Self {
        Self {
            struct_size: 0,
            width: 0,
            height: 0,
            n_bands: 0,
            sample_type: 0,
            reserved: 0,
            data: std::ptr::null(),
            size: 0,
            pixel_stride: 0,
            row_stride: 0,
            band_stride: 0,
            token: 0,
        }
    }
}

impl tilekeep_block {
    pub(super) fn of(layout: &BlockLayout) -> Self {
        Self {
            width: layout.width,
            height: layout.height,
            n_bands: layout.n_bands,
            sample_type: layout.sample as i32,
            size: layout.bytes,
            pixel_stride: layout.pixel_stride,
            row_stride: layout.row_stride,
            band_stride: layout.band_stride,
            ..Self::defaults()
        }
    }
}

/// What the block cache of a dataset did since it was opened, and what it holds now.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct tilekeep_cache_stats {
    /// sizeof(tilekeep_cache_stats), set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Blocks found in memory.
    pub hits: u64,
    /// Blocks that were not.
    pub misses: u64,
    /// Blocks read and decoded, or made from a finer level; failed ones included.
    pub loads: u64,
    /// Loads that ended in an error.
    pub failed_loads: u64,
    /// Misses that waited for a load that somebody else had begun.
    pub coalesced: u64,
    /// Blocks that were decoded on the way to another one, and kept.
    pub siblings: u64,
    /// Blocks forgotten to make room.
    pub evictions: u64,
    /// Blocks handed out without being kept: because the budget had no room, because the reader only passed through, or
    /// because reading them is a copy of what the system keeps and they were read for the first time.
    pub uncached: u64,
    /// Blocks kept.
    pub entries: u64,
    /// Bytes that count against the budget.
    pub bytes: u64,
    /// Of these, bytes of locked blocks and of blocks in use.
    pub locked_bytes: u64,
    /// Bytes set aside for loads under way.
    pub loading_bytes: u64,
    /// Bytes of pixels of all blocks of the dataset that exist, kept or only lent.
    pub pixel_bytes: u64,
    /// The budget.
    pub max_bytes: u64,
    /// What the cache's own structures take. The budget counts a share of them with every block; what they take for blocks
    /// that are gone counts against the total, until it is given back.
    pub structure_bytes: u64,
    /// Loads of a block that had been loaded before: what a larger budget might have saved. Counted in a sample when
    /// more than a million blocks were loaded; those that were loaded before nearly all went to others, or were trimmed,
    /// may be new again.
    pub redundant_loads: u64,
    /// Nanoseconds spent in loads that succeeded, all threads together.
    pub load_ns: u64,
    /// Of bytes, what is counted for every block beside its pixels.
    pub overhead_bytes: u64,
    /// Of bytes, those of blocks that were written to and must be written back.
    pub dirty_bytes: u64,
    /// Blocks lent from a mapped file, which are neither hits nor misses.
    pub mapped: u64,
    /// What the source keeps to find its way in a compressed stream (PNG, JPEG): a part of the budget, an eighth of it at most.
    pub index_bytes: u64,
}

// SAFETY: `repr(C)`, integers only, size first.
unsafe impl Growing for tilekeep_cache_stats {
    const NAME: &'static str = "tilekeep_cache_stats";
    const OLDEST: usize = end_of!(tilekeep_cache_stats, structure_bytes);

    fn defaults() -> Self {
        Self::default()
    }
}

impl From<Stats> for tilekeep_cache_stats {
    fn from(stats: Stats) -> Self {
        Self {
            struct_size: 0,
            reserved: 0,
            hits: stats.hits,
            misses: stats.misses,
            loads: stats.loads,
            failed_loads: stats.failed_loads,
            coalesced: stats.coalesced,
            siblings: stats.siblings,
            evictions: stats.evictions,
            uncached: stats.uncached,
            entries: stats.entries,
            bytes: stats.bytes,
            locked_bytes: stats.locked_bytes,
            loading_bytes: stats.loading_bytes,
            pixel_bytes: stats.pixel_bytes,
            max_bytes: stats.max_bytes,
            structure_bytes: stats.structure_bytes,
            redundant_loads: stats.redundant_loads,
            load_ns: u64::try_from(stats.load_time.as_nanos()).unwrap_or(u64::MAX),
            overhead_bytes: stats.overhead_bytes,
            dirty_bytes: stats.dirty_bytes,
            mapped: stats.mapped,
            index_bytes: stats.index_bytes,
        }
    }
}

/// Copies the pixels of a block into buffer: rows from the top without padding, bands side by side, samples in native
/// byte order. options may be NULL. block_out, which may be NULL too, is told how the copy lies in memory; its data and
/// token are 0, and there is nothing to unlock.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_read_block(
    dataset: *const tilekeep_dataset,
    level: u32,
    col: u32,
    row: u32,
    options: *const tilekeep_block_options,
    buffer: *mut c_void,
    buffer_size: usize,
    block_out: *mut tilekeep_block,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, options) = unsafe { (borrow(dataset, "dataset")?, read_options(options)?) };
        // SAFETY: as above.
        let target = unsafe { self::buffer(buffer, buffer_size, "buffer") }?;
        // SAFETY: as above.
        let block_out = if block_out.is_null() { None } else { Some(unsafe { Out::new(block_out) }?) };
        let cache_use = cache_use(options.cache_use)?;
        let layout = handle.dataset.read_block_with(options.at(level, col, row)?, target, cache_use)?;
        if let Some(block_out) = block_out {
            block_out.write(&tilekeep_block::of(&layout));
        }
        Ok(())
    })
}

/// Lends a block without a copy. It stays where it is, and asking for it again finds it, until its token is given to
/// tilekeep_unlock_block; the dataset may be closed before that. options may be NULL. The pixels must not be written.
///
/// TILEKEEP_ERR_LIMIT_EXCEEDED when the budget has no room beside the blocks that are locked, in use or being loaded at the
/// moment.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_lock_block(
    dataset: *const tilekeep_dataset,
    level: u32,
    col: u32,
    row: u32,
    options: *const tilekeep_block_options,
    block_out: *mut tilekeep_block,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, options) = unsafe { (borrow(dataset, "dataset")?, read_options(options)?) };
        // SAFETY: as above.
        let block_out = unsafe { Out::new(block_out) }?;
        if cache_use(options.cache_use)? != CacheUse::Normal {
            return Err(Error::invalid(format!("a lock with cache_use {}", options.cache_use)));
        }
        let block = handle.dataset.lock_block(options.at(level, col, row)?)?;
        let mut lent = tilekeep_block::of(block.layout());
        lent.data = block.bytes().as_ptr().cast();
        lent.token = Tokens::process().put(block.into_shared());
        block_out.write(&lent);
        Ok(())
    })
}

/// Gives a lent block back. Its token is used up: a second call with it is TILEKEEP_ERR_INVALID_ARGUMENT and does no
/// harm.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_unlock_block(block: *const tilekeep_block) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let block = unsafe { read_struct(block) }?;
        Tokens::process().take(block.token).map(drop)
    })
}

/// Gives the dataset a budget of its own: so many bytes of decoded blocks are kept. What exceeds them goes at once, locked
/// blocks when they are unlocked. 0 keeps nothing. tilekeep_set_cache_budget gives it a share of the total again.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_set_cache_max(dataset: *const tilekeep_dataset, bytes: u64) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        unsafe { borrow(dataset, "dataset") }?.dataset.set_cache_max(bytes);
        Ok(())
    })
}

/// Changes which blocks the dataset forgets first: one of TILEKEEP_POLICY_. Blocks that are kept stay.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_set_cache_policy(dataset: *const tilekeep_dataset, policy: i32) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let handle = unsafe { borrow(dataset, "dataset") }?;
        let policy = CachePolicy::from_number(policy).ok_or_else(|| Error::invalid(format!("policy {policy}")))?;
        handle.dataset.set_cache_policy(policy);
        Ok(())
    })
}

/// Says how many bytes of decoded blocks the dataset may keep: its budget, or the total where that is less.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_get_cache_max(
    dataset: *const tilekeep_dataset,
    bytes_out: *mut u64,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, bytes_out) = unsafe { (borrow(dataset, "dataset")?, out(bytes_out, "bytes_out")?) };
        *bytes_out = handle.dataset.cache_max();
        Ok(())
    })
}

/// Forgets the blocks of level that touch a window of its pixels and are not locked. The window must lie in the level.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_evict(
    dataset: *const tilekeep_dataset,
    level: u32,
    x: u64,
    y: u64,
    width: u64,
    height: u64,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let handle = unsafe { borrow(dataset, "dataset") }?;
        handle.dataset.evict(level, &Window::new(x, y, width, height))
    })
}

/// Predicts the share of reads, from 0 to 1, that each of n budgets would have found in memory so far. ratios_out must
/// have room for n numbers.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_cache_curve(
    dataset: *const tilekeep_dataset,
    budgets_bytes: *const u64,
    n: u32,
    ratios_out: *mut f64,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let handle = unsafe { borrow(dataset, "dataset") }?;
        // SAFETY: as above.
        let budgets = unsafe { array(budgets_bytes, n as usize, "budgets_bytes") }?;
        if ratios_out.is_null() {
            return Err(null("ratios_out"));
        }
        for (i, ratio) in handle.dataset.cache_curve(budgets).into_iter().enumerate() {
            // SAFETY: not NULL, and the caller promises room for `n` numbers.
            unsafe { ratios_out.add(i).write_unaligned(ratio) };
        }
        Ok(())
    })
}

/// Gives a budget that is predicted to find this share of reads, from 0 to 1, in memory. TILEKEEP_ERR_NOT_FOUND when no
/// budget is, because too much is read for the first time.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_suggest_cache_max(
    dataset: *const tilekeep_dataset,
    target_ratio: f64,
    bytes_out: *mut u64,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, bytes_out) = unsafe { (borrow(dataset, "dataset")?, out(bytes_out, "bytes_out")?) };
        if !(0.0..=1.0).contains(&target_ratio) {
            return Err(Error::invalid(format!("target_ratio {target_ratio}; from 0 to 1")));
        }
        *bytes_out = handle.dataset.suggest_cache_max(target_ratio).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("no budget is predicted to reach a hit ratio of {target_ratio}"))
        })?;
        Ok(())
    })
}

/// Says what the block cache of the dataset did, and what it holds.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_stats(
    dataset: *const tilekeep_dataset,
    stats_out: *mut tilekeep_cache_stats,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, stats_out) = unsafe { (borrow(dataset, "dataset")?, Out::new(stats_out)?) };
        stats_out.write(&handle.dataset.stats().into());
        Ok(())
    })
}

pub(super) fn cache_use(number: i32) -> Result<CacheUse> {
    CacheUse::from_number(number).ok_or_else(|| Error::invalid(format!("cache_use {number}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_the_numbers_of_the_enum() {
        let numbers = [
            TILEKEEP_POLICY_ADAPTIVE,
            TILEKEEP_POLICY_LRU,
            TILEKEEP_POLICY_CLOCK,
            TILEKEEP_POLICY_CLOCK_PRO,
            TILEKEEP_POLICY_NONE,
        ];
        assert_eq!(numbers, CachePolicy::ALL.map(|policy| policy as i32));
        for (number, cache_use) in [
            (TILEKEEP_USE_NORMAL, CacheUse::Normal),
            (TILEKEEP_USE_SEQUENTIAL, CacheUse::Sequential),
            (TILEKEEP_USE_NO_CACHE, CacheUse::NoCache),
        ] {
            assert_eq!(number, cache_use as i32);
        }
    }

    #[test]
    fn structs_of_the_first_version_keep_their_sizes() {
        // What a program compiled against 0.1 says its structs measure, where pointers have 64 bits.
        #[cfg(target_pointer_width = "64")]
        assert_eq!(
            [tilekeep_block_options::OLDEST, tilekeep_block::OLDEST, tilekeep_cache_stats::OLDEST],
            [16, 72, 128]
        );
    }
}
