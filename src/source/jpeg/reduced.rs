//! Levels at a half, a quarter and an eighth of the size, which the transform makes instead of the pixels.
//!
//! They have the sizes and, nearly, the pixels of levels that are averaged from the blocks of the finer one, but for what
//! rings beyond black and white, and chroma, which is averaged as it is stored. They cost the codes of what they show, read
//! once, and a transform that is the smaller the coarser they are.

use crate::cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::grid::{BlockId, Level, Window};

use super::super::ReadContext;
use super::pieces::Pieces;
use super::{BLOCK, JpegSource};

/// The transform of 8 samples has three halves.
const MOST: usize = 3;

/// Adds the levels that the transform makes, for as long as the coarsest does not fit in a block.
pub(super) fn add_levels(levels: &mut Vec<Level>) {
    let base = levels[0];
    // As levels have them that are made elsewhere: those of a narrow picture would be narrow too.
    let is_narrow = base.block_width.min(base.block_height) < 64;
    let (block_width, block_height) =
        if is_narrow { (BLOCK as u32, BLOCK as u32) } else { (base.block_width, base.block_height) };
    while let Some(finer) = levels.last().copied().filter(|level| level.width.max(level.height) > BLOCK)
        && levels.len() <= MOST
    {
        let (width, height) = (finer.width.div_ceil(2), finer.height.div_ceil(2));
        levels.push(Level { width, height, block_width, block_height, native: false, ..base });
    }
}

impl JpegSource {
    /// Makes the block `at` of a level that is not stored, and offers those beside it when they are passed on the way.
    pub(super) fn read_reduced(
        &self,
        pieces: &Pieces,
        at: BlockId,
        out: &mut [u8],
        context: &mut ReadContext<'_>,
    ) -> Result<()> {
        let level = &self.info.levels[at.level as usize];
        let window_of = |col: u32| {
            let window = level.block_window(col, at.row);
            window.ok_or_else(|| Error::internal(format!("block ({col}, {}) has no pixels", at.row)))
        };
        let window = window_of(at.col)?;
        let mut row = window;
        (row.x, row.width) = (0, level.width);
        let n_bands = self.info.n_bands as usize;
        let mut read = |part: &Window, others: &mut dyn Iterator<Item = u32>| {
            self.scratch.with(|counted| -> Result<()> {
                let samples = &mut counted.scratch.contexts.samples;
                let planes = pieces.planes(&*self.reader, at.level, part, samples)?;
                planes.present(&window, n_bands, out)?;
                for col in others {
                    context.offer(BlockId { col, ..at }, &mut |out| planes.present(&window_of(col)?, n_bands, out));
                }
                Ok(())
            })
        };
        if pieces.is_better_wide(at.level, &row) {
            // Those first that whoever reads this one probably wants next.
            match read(&row, &mut (at.col + 1..level.cols()).chain((0..at.col).rev())) {
                // Damage beside the block is none of its own, and whether it is met must not depend on the index.
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                read => return read,
            }
        }
        read(&window, &mut std::iter::empty())
    }
}

/// Averages `pixels`, rows of `width` pixels of `n_bands` samples of this many bytes, to `1 / 2^reduction` of the size, where
/// they are: for what breaks a rule that only the decoder of whole streams does not insist on.
///
/// # Errors
///
/// Cancelled.
pub(super) fn average(
    pixels: &mut Vec<u8>,
    width: usize,
    n_bands: usize,
    sample_bytes: usize,
    reduction: u32,
) -> Result<()> {
    let side = 1 << reduction;
    let row_samples = width * n_bands;
    let height = pixels.len() / (row_samples * sample_bytes);
    let sample = |pixels: &[u8], at: usize| match sample_bytes {
        1 => u32::from(pixels[at]),
        _ => u32::from(u16::from_ne_bytes([pixels[2 * at], pixels[2 * at + 1]])),
    };
    let mut n_written = 0;
    for top in (0..height).step_by(side) {
        cancel::check()?;
        for left in (0..width).step_by(side) {
            let (rows, cols) = (top..(top + side).min(height), left..(left + side).min(width));
            let n = (rows.len() * cols.len()) as u32;
            for band in 0..n_bands {
                let places = rows.clone().flat_map(|y| cols.clone().map(move |x| y * row_samples + x * n_bands + band));
                let mean = (places.map(|at| sample(pixels, at)).sum::<u32>() + n / 2) / n;
                // No place is written before all that need it were read: means are fewer than what they are of.
                match &mut pixels[n_written * sample_bytes..][..sample_bytes] {
                    [byte] => *byte = mean as u8,
                    bytes => bytes.copy_from_slice(&(mean as u16).to_ne_bytes()),
                }
                n_written += 1;
            }
        }
    }
    pixels.truncate(n_written * sample_bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_averaged_where_they_are_with_what_there_is_at_the_edges() {
        // 5 x 3 pixels of two bands.
        let samples: Vec<u8> = (0..30).map(|at| (at / 2) * 10 + at % 2).collect();
        let mut bytes = samples.clone();
        average(&mut bytes, 5, 2, 1, 1).unwrap();
        assert_eq!(bytes, [30, 31, 50, 51, 65, 66, 105, 106, 125, 126, 140, 141]);
        let mut words: Vec<u8> = samples.iter().flat_map(|value| (u16::from(*value) * 16).to_ne_bytes()).collect();
        average(&mut words, 5, 2, 2, 2).unwrap();
        let means: Vec<u16> = words.as_chunks::<2>().0.iter().map(|bytes| u16::from_ne_bytes(*bytes)).collect();
        assert_eq!(means, [65 * 16, 66 * 16, 90 * 16, 91 * 16]);
    }

    #[test]
    fn averaging_can_be_taken_back() {
        let token = crate::sync::Arc::new(cancel::Token::default());
        token.cancel();
        let averaged = cancel::run(&token, || average(&mut vec![0; 600], 20, 1, 1, 1));
        assert_eq!(averaged.unwrap_err().kind(), ErrorKind::Cancelled);
    }

    #[test]
    fn levels_are_halved_until_one_is_a_block_or_the_transform_has_no_more_halves() {
        let sizes = |width, height| {
            let side = |n: u64| n.min(BLOCK) as u32;
            let mut levels = vec![Level::new(width, height, side(width), side(height)).unwrap()];
            add_levels(&mut levels);
            let sizes = levels.iter().map(|level| (level.width, level.height, level.block_height));
            sizes.collect::<Vec<_>>()
        };
        assert_eq!(sizes(256, 200), [(256, 200, 200)]);
        assert_eq!(sizes(1001, 600), [(1001, 600, 256), (501, 300, 256), (251, 150, 256)]);
        assert_eq!(sizes(8193, 40), [(8193, 40, 40), (4097, 20, 256), (2049, 10, 256), (1025, 5, 256)]);
    }
}
