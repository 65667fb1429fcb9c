//! How blocks lie in memory, said once for all that lie alike.

use crate::block::BlockLayout;
use crate::grid::{BlockId, Level};
use crate::source::{SourceInfo, layout_in};
use crate::sync::Arc;

/// The layouts of all blocks of a dataset.
pub(super) struct Layouts {
    levels: Box<[Alike]>,
    n_planes: u32,
    n_frames: u32,
}

/// The layouts of one level: blocks inside, in the last column, in the last row, and in both. `None` where no memory
/// could hold such a block.
struct Alike {
    cols: u32,
    rows: u32,
    layouts: [Option<Arc<BlockLayout>>; 4],
}

impl Layouts {
    pub(super) fn new(info: &SourceInfo, levels: &[Level]) -> Self {
        let alike = |(level, grid): (usize, &Level)| {
            let (cols, rows) = (grid.cols(), grid.rows());
            let layouts = std::array::from_fn(|which| {
                // Where there is one column it is the last one, and nobody asks for one inside.
                let col = if which & 1 != 0 { cols.saturating_sub(1) } else { 0 };
                let row = if which & 2 != 0 { rows.saturating_sub(1) } else { 0 };
                layout_in(grid, BlockId::new(level as u32, col, row), info).ok().map(Arc::new)
            });
            Alike { cols, rows, layouts }
        };
        let levels = levels.iter().enumerate().map(alike).collect();
        Self { levels, n_planes: info.n_planes(), n_frames: info.n_frames }
    }

    /// The layout of the block `at`, if there is such a block and memory could hold it.
    pub(super) fn find(&self, at: BlockId) -> Option<&Arc<BlockLayout>> {
        let Alike { cols, rows, layouts } = self.levels.get(at.level as usize)?;
        if at.col >= *cols || at.row >= *rows || at.plane >= self.n_planes || at.frame >= self.n_frames {
            return None;
        }
        let which = usize::from(at.col + 1 == *cols) | usize::from(at.row + 1 == *rows) << 1;
        layouts[which].as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Interleave;
    use crate::grid::EdgeBlocks;
    use crate::sample::SampleType;

    #[test]
    fn every_block_has_the_layout_that_its_place_says_and_no_other_has_one() {
        let cropped = |w, h| Level::new(w, h, 64, 32).unwrap();
        let levels = [
            cropped(200, 100),
            Level { edge_blocks: EdgeBlocks::Padded, ..cropped(130, 96) },
            cropped(64, 32),
            cropped(65, 20),
        ];
        for interleave in [Interleave::Pixel, Interleave::Band] {
            let mut info = SourceInfo::new("test", levels.to_vec(), 3, SampleType::U16);
            info.interleave = interleave;
            info.n_frames = 2;
            let layouts = Layouts::new(&info, &levels);
            for (level, grid) in levels.iter().enumerate() {
                for i in 0..6 * 6 * 4 * 3 {
                    let at =
                        BlockId { frame: i / 144, level: level as u32, plane: i / 36 % 4, row: i / 6 % 6, col: i % 6 };
                    assert_eq!(layouts.find(at).map(|l| **l), layout_in(grid, at, &info).ok(), "{at}");
                }
            }
            assert!(layouts.find(BlockId::new(4, 0, 0)).is_none());
        }
    }
}
