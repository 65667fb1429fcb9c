//! What a client says about how it is going to read.

use std::ops::Range;

use crate::cache::Mode;
use crate::error::Result;
use crate::grid::{BlockId, Window};
use crate::sync::{AtomicUsize, Ordering, RwLock};

use super::{Dataset, blocks};

/// Windows that are remembered as read in order; the oldest one is forgotten.
const MOST_WINDOWS: usize = 64;

/// Blocks that are looked at for one piece of advice.
const MOST_BLOCKS: u64 = 1 << 14;

/// How a window is going to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum Advice {
    /// Soon: its blocks that are in memory count as just used, and the system is asked to read the stored bytes of the
    /// others ahead. Nothing is decoded yet, and nobody waits.
    WillNeed = 0,
    /// Not again: its blocks that are not locked are forgotten.
    DontNeed = 1,
    /// Once, in order: from now on its blocks are read as with [`CacheUse::Sequential`](super::CacheUse::Sequential).
    Sequential = 2,
    /// In any order, as if nothing had been said.
    Random = 3,
}

impl Advice {
    /// The advice with this number (the enum's discriminant, as in the C ABI).
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::WillNeed, Self::DontNeed, Self::Sequential, Self::Random]
            .into_iter()
            .find(|advice| *advice as i32 == number)
    }
}

/// The windows that are read in order.
#[derive(Default)]
pub(super) struct Advised {
    windows: RwLock<Vec<Blocks>>,
    /// How many there are, for readers that have none to ask about.
    n: AtomicUsize,
}

/// The blocks of a window.
#[derive(Clone, PartialEq, Eq)]
struct Blocks {
    frames: Range<u32>,
    level: u32,
    cols: Range<u32>,
    rows: Range<u32>,
}

impl Blocks {
    fn contains(&self, at: BlockId) -> bool {
        let is_there = self.frames.contains(&at.frame) && self.cols.contains(&at.col) && self.rows.contains(&at.row);
        self.level == at.level && is_there
    }

    fn touches(&self, other: &Self) -> bool {
        let overlap = |a: &Range<u32>, b: &Range<u32>| a.start < b.end && b.start < a.end;
        let there = overlap(&self.frames, &other.frames) && overlap(&self.cols, &other.cols);
        self.level == other.level && there && overlap(&self.rows, &other.rows)
    }
}

impl Advised {
    /// How a block is read that is wanted in this way, in memory or not. It costs one look at a number where nothing was
    /// said; readers do not wait for each other.
    #[inline]
    pub(super) fn mode(&self, at: BlockId, mode: Mode) -> Mode {
        let may_be_in_order = mode == Mode::Use && self.n.load(Ordering::Relaxed) > 0;
        if may_be_in_order && self.is_in_order(at) { Mode::Sequential } else { mode }
    }

    #[cold]
    fn is_in_order(&self, at: BlockId) -> bool {
        self.windows.read().iter().any(|window| window.contains(at))
    }

    fn set(&self, window: Blocks, in_order: bool) {
        let mut windows = self.windows.write();
        windows.retain(|before| !before.touches(&window) || (in_order && *before != window));
        if in_order {
            if windows.len() == MOST_WINDOWS {
                windows.remove(0);
            }
            windows.push(window);
        }
        self.n.store(windows.len(), Ordering::Relaxed);
    }
}

impl Dataset {
    /// Says how `window` of `level` is going to be read, in every frame. Only advice: it reads nothing itself and changes
    /// no pixel.
    ///
    /// [`Advice::WillNeed`] looks at no more blocks than the budget has room for, and at 16,384 at most, from the top left
    /// on. For levels that are not stored it reads nothing ahead.
    ///
    /// # Errors
    ///
    /// `invalid argument` when there is no such level, or when the window does not lie in it.
    pub fn advise(&self, level: u32, window: &Window, advice: Advice) -> Result<()> {
        self.advise_frames(0..self.info().n_frames, level, window, advice)
    }

    /// As [`advise`](Self::advise) for one frame.
    ///
    /// # Errors
    ///
    /// As [`advise`](Self::advise), and `invalid argument` when there is no such frame.
    pub fn advise_frame(&self, frame: u32, level: u32, window: &Window, advice: Advice) -> Result<()> {
        self.check_frame(frame)?;
        self.advise_frames(frame..frame + 1, level, window, advice)
    }

    fn advise_frames(&self, frames: Range<u32>, level: u32, window: &Window, advice: Advice) -> Result<()> {
        self.check_window(level, window)?;
        let (cols, rows) = self.level(level)?.blocks_of(window);
        let blocks = Blocks { frames, level, cols, rows };
        match advice {
            Advice::WillNeed => self.will_need(&blocks),
            Advice::DontNeed => self.core.cache.remove_if(|at| self.core.has(*at) && blocks.contains(*at)),
            Advice::Sequential => self.core.advised.set(blocks, true),
            Advice::Random => self.core.advised.set(blocks, false),
        }
        Ok(())
    }

    fn will_need(&self, window: &Blocks) {
        let Ok(layout) = self.block_layout((window.level, window.cols.start, window.rows.start)) else { return };
        let room = (self.cache_max() / (blocks::weight(&layout) + Self::BLOCK_OVERHEAD)).min(MOST_BLOCKS);
        let places = window.rows.clone().flat_map(|row| window.cols.clone().map(move |col| (col, row)));
        let n_planes = self.info().n_planes();
        let planes = window.frames.clone().flat_map(|frame| (0..n_planes).map(move |plane| (frame, plane)));
        let places = planes.flat_map(|(frame, plane)| {
            places.clone().map(move |(col, row)| BlockId { frame, plane, ..BlockId::new(window.level, col, row) })
        });
        for at in places.take(usize::try_from(room).unwrap_or(usize::MAX)) {
            if !self.core.cache.renew(&at) {
                self.will_need_stored(at);
            }
        }
    }
}
