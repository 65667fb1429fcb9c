//! Places: blocks of a level, windows of pixels, and where pixels lie on the earth.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::error::{Error, Result};

/// The coordinates of a block: level, column and row from the top left, the plane, and the frame.
///
/// A source whose bands share a block has one plane, 0. A band-sequential source (TIFF's planar configuration 2)
/// stores each band in blocks of its own and has one plane a band. Most sources have one frame, 0; one with more holds
/// several pictures of the same size and kind: the pages of a file, focal planes, points in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockId {
    /// Which of several pictures; 0 unless the source has more.
    pub frame: u32,
    /// Resolution step; 0 is full resolution.
    pub level: u32,
    /// Which stored plane; 0 unless the source is band-sequential.
    pub plane: u32,
    /// Blocks from the top.
    pub row: u32,
    /// Blocks from the left.
    pub col: u32,
}

impl BlockId {
    /// The block of plane 0 and frame 0 at `level, col, row`.
    #[must_use]
    pub const fn new(level: u32, col: u32, row: u32) -> Self {
        Self { frame: 0, level, plane: 0, row, col }
    }

    /// The block at the same place in another plane.
    #[must_use]
    pub const fn with_plane(self, plane: u32) -> Self {
        Self { plane, ..self }
    }

    /// The block at the same place in another frame.
    #[must_use]
    pub const fn with_frame(self, frame: u32) -> Self {
        Self { frame, ..self }
    }
}

impl Hash for BlockId {
    /// Two numbers instead of five, which differ for different blocks unless there are millions of frames.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.row) << 32 | u64::from(self.col));
        state.write_u64(u64::from(self.frame ^ self.level.rotate_right(6)) << 32 | u64::from(self.plane));
    }
}

impl From<(u32, u32, u32)> for BlockId {
    /// From `(level, col, row)`.
    fn from((level, col, row): (u32, u32, u32)) -> Self {
        Self::new(level, col, row)
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block ({}, {}) of level {}", self.col, self.row, self.level)?;
        if self.plane > 0 {
            write!(f, ", plane {}", self.plane)?;
        }
        if self.frame > 0 { write!(f, ", frame {}", self.frame) } else { Ok(()) }
    }
}

/// A rectangle of pixels of one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Pixels from the left edge of the level.
    pub x: u64,
    /// Pixels from the top edge of the level.
    pub y: u64,
    /// Pixels across.
    pub width: u64,
    /// Pixels down.
    pub height: u64,
}

impl Window {
    /// The rectangle with its top left corner at `x, y`.
    #[must_use]
    pub const fn new(x: u64, y: u64, width: u64, height: u64) -> Self {
        Self { x, y, width, height }
    }

    /// First column to the right of the window; saturates.
    #[must_use]
    pub const fn right(&self) -> u64 {
        self.x.saturating_add(self.width)
    }

    /// First row below the window; saturates.
    #[must_use]
    pub const fn bottom(&self) -> u64 {
        self.y.saturating_add(self.height)
    }

    /// What both windows cover, if anything.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let (right, bottom) = (self.right().min(other.right()), self.bottom().min(other.bottom()));
        (x < right && y < bottom).then(|| Self::new(x, y, right - x, bottom - y))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "window {}x{} at ({}, {})", self.width, self.height, self.x, self.y)
    }
}

/// One resolution step of a dataset and how it is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Pixels across.
    pub width: u64,
    /// Pixels down.
    pub height: u64,
    /// Pixels across a block; the last column of blocks may hold fewer.
    pub block_width: u32,
    /// Pixels down a block; the last row of blocks may hold fewer.
    pub block_height: u32,
    /// What the blocks of the last column and row hold in memory.
    pub edge_blocks: EdgeBlocks,
    /// Whether the source stores this level. The others are made when they are asked for: from the next finer one, or by
    /// the source while it decodes.
    pub native: bool,
}

/// What the blocks at the right and bottom edge of a level hold in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeBlocks {
    /// The pixels of the level only.
    Cropped,
    /// A whole block; what lies beyond the level is unspecified. TIFF tiles are stored so.
    Padded,
}

impl Level {
    /// A level as the source stores it, with cropped edge blocks.
    ///
    /// # Errors
    ///
    /// `limit exceeded` when a side is 0, or when the blocks of a side do not fit in 32 bits.
    pub fn new(width: u64, height: u64, block_width: u32, block_height: u32) -> Result<Self> {
        if width == 0 || height == 0 || block_width == 0 || block_height == 0 {
            return Err(Error::corrupt(format!(
                "a level of {width}x{height} in blocks of {block_width}x{block_height}"
            )));
        }
        let fits = |size: u64, block: u32| u32::try_from(size.div_ceil(u64::from(block))).is_ok();
        // 2^62 keeps every sum and product with a block's side inside 64 bits.
        if width >= 1 << 62 || height >= 1 << 62 || !fits(width, block_width) || !fits(height, block_height) {
            return Err(Error::limit(format!("{width}x{height} pixels in blocks of {block_width}x{block_height}")));
        }
        Ok(Self { width, height, block_width, block_height, edge_blocks: EdgeBlocks::Cropped, native: true })
    }

    /// The same level with whole blocks at its edges.
    #[must_use]
    pub const fn padded(self) -> Self {
        Self { edge_blocks: EdgeBlocks::Padded, ..self }
    }

    /// Columns of blocks.
    #[must_use]
    pub fn cols(&self) -> u32 {
        self.width.div_ceil(u64::from(self.block_width)) as u32
    }

    /// Rows of blocks.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.height.div_ceil(u64::from(self.block_height)) as u32
    }

    /// The pixels of the level that lie in the block at `col, row`: smaller than a block at the right and bottom
    /// edge. `None` outside the level.
    #[must_use]
    pub fn block_window(&self, col: u32, row: u32) -> Option<Window> {
        // No column begins behind the level; asking for their number would be a division, on the way to every block.
        let (x, y) = (u64::from(col) * u64::from(self.block_width), u64::from(row) * u64::from(self.block_height));
        if x >= self.width || y >= self.height {
            return None;
        }
        let width = u64::from(self.block_width).min(self.width - x);
        let height = u64::from(self.block_height).min(self.height - y);
        Some(Window::new(x, y, width, height))
    }

    /// The whole level as a window.
    #[must_use]
    pub const fn window(&self) -> Window {
        Window::new(0, 0, self.width, self.height)
    }

    /// Columns and rows of the blocks that a window touches, both as half-open ranges.
    ///
    /// The window must lie in the level and not be empty.
    pub(crate) fn blocks_of(&self, window: &Window) -> (std::ops::Range<u32>, std::ops::Range<u32>) {
        let (bw, bh) = (u64::from(self.block_width), u64::from(self.block_height));
        let cols = (window.x / bw) as u32..window.right().div_ceil(bw) as u32;
        let rows = (window.y / bh) as u32..window.bottom().div_ceil(bh) as u32;
        (cols, rows)
    }
}

/// How pixels map to coordinates on the ground: six numbers in GDAL's order.
///
/// `x = g[0] + col * g[1] + row * g[2]`, `y = g[3] + col * g[4] + row * g[5]`; `(0, 0)` is the top left *corner* of
/// the top left pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Geotransform(pub [f64; 6]);

impl Geotransform {
    /// Ground coordinates of a place in pixels of level 0.
    #[must_use]
    pub fn apply(&self, col: f64, row: f64) -> (f64, f64) {
        let g = &self.0;
        (g[0] + col * g[1] + row * g[2], g[3] + col * g[4] + row * g[5])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_blocks_hold_what_is_left() {
        let level = Level::new(1000, 513, 256, 512).unwrap();
        assert_eq!((level.cols(), level.rows()), (4, 2));
        assert_eq!(level.block_window(3, 1), Some(Window::new(768, 512, 232, 1)));
        assert_eq!(level.block_window(4, 0), None);
        assert_eq!(level.blocks_of(&Window::new(255, 511, 2, 2)), (0..2, 0..2));
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        assert!(Level::new(0, 1, 1, 1).is_err());
        assert!(Level::new(1 << 40, 1, 1, 1).is_err());
        assert!(Level::new(1 << 62, 1, u32::MAX, 1).is_err());
        assert!(Level::new(u64::from(u32::MAX), 1, 1, 1).is_ok());
    }

    #[test]
    fn windows_meet_or_do_not() {
        let a = Window::new(10, 10, 10, 10);
        assert_eq!(a.intersection(&Window::new(15, 0, 100, 12)), Some(Window::new(15, 10, 5, 2)));
        assert_eq!(a.intersection(&Window::new(20, 10, 5, 5)), None);
    }
}
