//! What every [`TileSource`] promises, as a check that any implementation can run in its own tests.

use std::thread;

use crate::codec;
use crate::error::{Error, ErrorKind, Result};
use crate::grid::{BlockId, Window};
use crate::sync::Arc;

use super::{Limits, PictureFormat, ReadContext, Siblings, SourceInfo, TileSource, open_reader};

/// At most this many blocks of a level are read, spread evenly and always with the last one.
const BLOCKS_PER_LEVEL: usize = 64;
const THREADS: usize = 4;

/// Reads through `source` and fails on the first promise that it breaks.
///
/// Checked are: the description is consistent; every valid pixel of a block is written, whatever the memory held
/// before; reading again, from several threads at once too, gives the same pixels; offered blocks are the ones that
/// reading them gives; blocks that are lent are as long as their layout says, have the same pixels as when they are read,
/// and are lent from the same place again; places outside the source and memory of a wrong length are `invalid argument`,
/// and nothing is lent there; after those errors the source still reads.
///
/// # Errors
///
/// `internal` with a sentence that names the promise and the block, or the error of a block that cannot be read.
pub fn check(source: &dyn TileSource) -> Result<()> {
    let info = source.info();
    super::check_info(info).map_err(|error| broken(error.message().to_owned()))?;
    let blocks = sample_blocks(info);
    let mut expected = Vec::with_capacity(blocks.len());
    for at in &blocks {
        let ones = read(source, *at, 0xFF)?;
        let zeros = read(source, *at, 0x00)?;
        if ones != zeros {
            return Err(broken(format!("{at} depends on what its memory held before, or changes from read to read")));
        }
        expected.push(ones);
    }
    check_refusals(source, &blocks)?;
    check_threads(source, &blocks, &expected)?;
    check_loans(source, &blocks, &expected)?;
    check_pictures(source, &blocks)?;
    check_offers(source, &blocks)
}

fn check_refusals(source: &dyn TileSource, blocks: &[BlockId]) -> Result<()> {
    let info = source.info();
    let last = &info.levels[info.levels.len() - 1];
    let level = info.levels.len() as u32 - 1;
    let outside = [
        BlockId::new(level + 1, 0, 0),
        BlockId::new(u32::MAX, 0, 0),
        BlockId::new(level, last.cols(), 0),
        BlockId::new(level, 0, last.rows()),
        BlockId::new(level, u32::MAX, u32::MAX),
        BlockId::new(level, 0, 0).with_plane(info.n_planes()),
        BlockId::new(level, 0, 0).with_frame(info.n_frames),
    ];
    for at in outside {
        let refused = source.read_block(at, &mut [0; 16], &mut ReadContext::default());
        expect_invalid(&refused, &format!("{at}, which does not exist,"))?;
        if source.lend(at).is_some() {
            return Err(broken(format!("{at}, which does not exist, was lent")));
        }
        source.will_need(at);
    }
    for at in blocks {
        let bytes = info.block_layout(*at)?.bytes;
        for wrong in [bytes + 1, bytes.saturating_sub(1)] {
            let refused = source.read_block(*at, &mut vec![0; wrong], &mut ReadContext::default());
            expect_invalid(&refused, &format!("{at} into {wrong} bytes instead of {bytes}"))?;
        }
    }
    Ok(())
}

fn check_threads(source: &dyn TileSource, blocks: &[BlockId], expected: &[Vec<u8>]) -> Result<()> {
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|start| {
                scope.spawn(move || -> Result<()> {
                    // Every thread starts elsewhere, so that different blocks are read at once, and all read all.
                    let shift = start * blocks.len() / THREADS;
                    for (at, pixels) in blocks.iter().zip(expected).cycle().skip(shift).take(blocks.len()) {
                        if read(source, *at, start as u8)? != *pixels {
                            return Err(broken(format!("{at} differs when several threads read at once")));
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|w| w.join().unwrap_or_else(|_| Err(broken("a read panicked".to_owned()))))
    })
}

fn check_loans(source: &dyn TileSource, blocks: &[BlockId], expected: &[Vec<u8>]) -> Result<()> {
    for (at, pixels) in blocks.iter().zip(expected) {
        source.will_need(*at);
        let Some(lent) = source.lend(*at) else { continue };
        let bytes = source.info().block_layout(*at)?.bytes;
        if lent.len() != bytes {
            return Err(broken(format!("{at} was lent with {} bytes instead of {bytes}", lent.len())));
        }
        let mut copy = lent.to_vec();
        blank_padding(source.info(), *at, &mut copy)?;
        if copy != *pixels {
            return Err(broken(format!("{at} as lent is not what reading it gives")));
        }
        if source.lend(*at).is_none_or(|again| again.as_ptr() != lent.as_ptr()) {
            return Err(broken(format!("{at} was lent from one place and then not from there")));
        }
    }
    Ok(())
}

fn check_pictures(source: &dyn TileSource, blocks: &[BlockId]) -> Result<()> {
    let info = source.info();
    let ask = |frame, level, window: &Window| source.stored_picture(frame, level, window, &mut ReadContext::default());
    let (first, n_levels) = (info.levels[0].window(), info.levels.len() as u32);
    let shifted = Window { x: first.width, ..first };
    let far = Window::new(u64::MAX, u64::MAX, u64::MAX, u64::MAX);
    let outside = [(info.n_frames, 0, first), (0, n_levels, first), (0, u32::MAX, first), (0, 0, shifted), (0, 0, far)];
    for (frame, level, window) in outside {
        if ask(frame, level, &window).is_some() {
            return Err(broken(format!("{window} of level {level}, frame {frame}, does not exist and is a picture")));
        }
    }
    let of_blocks = blocks
        .iter()
        .filter_map(|at| Some((at.frame, at.level, info.levels[at.level as usize].block_window(at.col, at.row)?)));
    let of_levels = (0..n_levels).map(|level| (0, level, info.levels[level as usize].window()));
    for (frame, level, window) in of_blocks.chain(of_levels) {
        let Some(picture) = ask(frame, level, &window) else { continue };
        let what = format!("the stored picture of {window} of level {level}");
        let (width, height, n_bands) = match picture.format {
            PictureFormat::WebP => {
                let found = codec::webp::whole(&picture.file);
                let found = found.ok_or_else(|| broken(format!("{what} is no whole WebP file")))?;
                // Opacity may be left out where there is none.
                let n_bands = if info.n_bands == 4 || found.has_alpha { 4 } else { 3 };
                (u64::from(found.width), u64::from(found.height), n_bands)
            }
            format => {
                let opened = open_reader(Arc::new(picture.file), Limits::default()).map_err(|e| e.context(&what))?;
                let (found, name) = (opened.info(), if format == PictureFormat::Png { "png" } else { "jpeg" });
                if found.format != name {
                    return Err(broken(format!("{what} is said to be {name} and is {}", found.format)));
                }
                (found.levels[0].width, found.levels[0].height, found.n_bands)
            }
        };
        if (width, height, n_bands) != (window.width, window.height, info.n_bands) {
            return Err(broken(format!("{what} has {width}x{height} pixels of {n_bands} bands")));
        }
    }
    Ok(())
}

fn check_offers(source: &dyn TileSource, blocks: &[BlockId]) -> Result<()> {
    struct Collect<'a> {
        info: &'a SourceInfo,
        taken: Vec<(BlockId, Vec<u8>)>,
        failure: Option<Error>,
    }
    impl Siblings for Collect<'_> {
        fn offer(&mut self, at: BlockId, fill: &mut dyn FnMut(&mut [u8]) -> Result<()>) -> bool {
            match self.info.block_layout(at) {
                Ok(layout) if self.taken.len() < BLOCKS_PER_LEVEL => {
                    let mut pixels = vec![0x5A; layout.bytes];
                    let filled = fill(&mut pixels);
                    if let Err(error) = filled {
                        self.failure = Some(error);
                        return false;
                    }
                    self.taken.push((at, pixels));
                    true
                }
                Ok(_) => false,
                Err(error) => {
                    self.failure = Some(error);
                    false
                }
            }
        }
    }
    let Some(at) = blocks.first() else { return Ok(()) };
    let info = source.info();
    let mut collect = Collect { info, taken: Vec::new(), failure: None };
    let mut pixels = vec![0; info.block_layout(*at)?.bytes];
    source.read_block(*at, &mut pixels, &mut ReadContext::with_siblings(&mut collect))?;
    if let Some(error) = collect.failure {
        return Err(error.context("offered a block and then did not deliver it"));
    }
    for (offered, mut pixels) in collect.taken {
        blank_padding(info, offered, &mut pixels)?;
        if pixels != read(source, offered, 0)? {
            return Err(broken(format!("{offered} as offered beside {at} is not what reading it gives")));
        }
    }
    Ok(())
}

/// The block in memory that held `old` before, with everything that is not a valid pixel set to 0.
fn read(source: &dyn TileSource, at: BlockId, old: u8) -> Result<Vec<u8>> {
    let info = source.info();
    let mut pixels = vec![old; info.block_layout(at)?.bytes];
    source.read_block(at, &mut pixels, &mut ReadContext::default()).map_err(|e| e.context(at))?;
    blank_padding(info, at, &mut pixels)?;
    Ok(pixels)
}

fn blank_padding(info: &SourceInfo, at: BlockId, pixels: &mut [u8]) -> Result<()> {
    let layout = info.block_layout(at)?;
    for (y, row) in pixels.chunks_mut(layout.row_stride).enumerate() {
        let valid = if y < layout.height as usize { layout.width as usize * layout.pixel_stride } else { 0 };
        row[valid..].fill(0);
    }
    Ok(())
}

fn sample_blocks(info: &SourceInfo) -> Vec<BlockId> {
    let mut blocks = Vec::new();
    for (number, level) in info.levels.iter().enumerate() {
        let (cols, rows, planes) = (level.cols() as usize, level.rows() as usize, info.n_planes() as usize);
        let total = cols.saturating_mul(rows).saturating_mul(planes).saturating_mul(info.n_frames as usize);
        let taken = total.min(BLOCKS_PER_LEVEL);
        for i in 0..taken {
            // From the first to the last, evenly.
            let index = if taken == 1 { 0 } else { (i as u128 * (total - 1) as u128 / (taken - 1) as u128) as usize };
            let (plane, within) = (index / (cols * rows), index % (cols * rows));
            let at = BlockId::new(number as u32, (within % cols) as u32, (within / cols) as u32);
            blocks.push(at.with_plane((plane % planes) as u32).with_frame((plane / planes) as u32));
        }
    }
    blocks
}

fn expect_invalid(result: &Result<()>, what: &str) -> Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::InvalidArgument => Ok(()),
        Err(error) => Err(broken(format!("{what} was refused with another kind of error: {error}"))),
        Ok(()) => Err(broken(format!("{what} was read"))),
    }
}

fn broken(what: String) -> Error {
    Error::internal(format!("the source breaks a promise: {what}"))
}
