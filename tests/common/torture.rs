//! Everything that a client may ask of a file, under the rules that no file may break: no panic, no hang, no more memory
//! than the declared pixels are worth, no pixels of another picture. Goes with `goods.rs`.
#![allow(dead_code, unreachable_pub, reason = "every test uses another part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tilekeep::{
    BlockId, Dataset, Encoding, ErrorKind, Limits, MemorySource, OpenOptions, Result, SampleType, TileRequest, Window,
    WindowRequest, open_reader,
};

use super::goods::{Good, Random};

/// No input may take longer; the slowest good one takes a thousandth of this.
pub const HANG: Duration = Duration::from_secs(20);
/// What reading may take beside the declared pixels.
pub const OVERHEAD_BYTES: usize = 256 << 20;
/// A file that declares more pixels than this is not thereby allowed more memory.
pub const MAX_DECLARED_BYTES: u64 = 1 << 30;

thread_local! {
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<isize> = const { Cell::new(0) };
}

pub struct Counting;

/// Counts memory that is wanted: an attempt that the system refuses is one that it might have granted.
pub fn count_wanted(bytes: usize) {
    // Gone while the thread ends, and then nobody asks any more.
    let live = LIVE_BYTES.try_with(Cell::get).unwrap_or(0);
    let _ = PEAK_BYTES.try_with(|peak| peak.set(peak.get().max(live.saturating_add(bytes as isize))));
}

pub fn count_live(change: isize) {
    let _ = LIVE_BYTES.try_with(|live| live.set(live.get() + change));
}

#[expect(unsafe_code, reason = "a global allocator is an unsafe trait")]
// SAFETY: every call is handed to the system's allocator as it is; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_wanted(layout.size());
        // SAFETY: the caller keeps the promises of `GlobalAlloc::alloc`, which are those of this call.
        let start = unsafe { System.alloc(layout) };
        count_live(if start.is_null() { 0 } else { layout.size() as isize });
        start
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_wanted(layout.size());
        // SAFETY: as in `alloc`.
        let start = unsafe { System.alloc_zeroed(layout) };
        count_live(if start.is_null() { 0 } else { layout.size() as isize });
        start
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_wanted(size);
        // SAFETY: as in `alloc`; `start` came from this allocator and so from the system's.
        let start = unsafe { System.realloc(start, layout, size) };
        count_live(if start.is_null() { 0 } else { size as isize - layout.size() as isize });
        start
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        count_live(-(layout.size() as isize));
        // SAFETY: as in `realloc`.
        unsafe { System.dealloc(start, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

pub const OTHERS: [u8; 16] = *b"\xA5another\x5Apicture";

/// Leaves buffers full of `OTHERS` behind for blocks of `bytes`.
pub fn leave_other_pixels(bytes: usize) {
    if bytes == 0 || bytes > 1 << 20 {
        return;
    }
    const BLOCKS: usize = 12;
    let pixels = OTHERS.iter().copied().cycle().take(bytes * BLOCKS).collect();
    let source = MemorySource::new(bytes as u32, BLOCKS as u32, 1, SampleType::U8, (bytes as u32, 1), pixels).unwrap();
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    (0..BLOCKS as u32).for_each(|row| drop(dataset.block((0, 0, row)).unwrap()));
}

/// Whether 64 bytes in a row are of the other picture; they are then at some turn of its pattern.
pub fn holds_other_pixels(bytes: &[u8]) -> bool {
    // A run of 64 holds three whole patterns at least.
    let needle = OTHERS.repeat(3);
    bytes.windows(needle.len()).any(|window| window[0] == needle[0] && window == needle)
}

/// What came of an input, or which rule was broken.
pub type Rule<T> = std::result::Result<T, String>;

/// What came of an input that kept the rules.
#[derive(Default)]
pub struct Outcome {
    pub errors: usize,
    pub blocks: usize,
}

impl Outcome {
    /// An error is fine when it says something and is nobody's fault but the file's.
    pub fn take<T>(&mut self, result: Result<T>) -> Rule<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::Internal => Err(error.to_string()),
            Err(error) if error.message().is_empty() => Err(format!("an error without a message: {error:?}")),
            Err(_) => {
                self.errors += 1;
                Ok(None)
            }
        }
    }
}

/// Opens, and reads up to 64 blocks of each level, a window and a tile. `Err` says which rule was broken.
pub fn torture(open: impl FnOnce() -> Result<Dataset>) -> Rule<Outcome> {
    let before = LIVE_BYTES.get();
    PEAK_BYTES.set(before);
    let start = Instant::now();
    let mut declared = 0;
    let worked = catch_unwind(AssertUnwindSafe(|| -> Rule<Outcome> {
        let mut outcome = Outcome::default();
        let Some(dataset) = outcome.take(open())? else { return Ok(outcome) };
        let info = dataset.info();
        let level = info.levels[0];
        let pixel = u64::from(info.n_bands) * info.sample.bytes() as u64;
        let image = level.width.saturating_mul(level.height).saturating_mul(pixel);
        declared = image.min(MAX_DECLARED_BYTES) as usize;
        leave_other_pixels(dataset.block_layout((0, 0, 0)).map_or(0, |layout| layout.bytes));
        read_everything(&dataset, &mut outcome)?;
        Ok(outcome)
    }));
    let outcome = worked.map_err(|_| "it panicked".to_owned())??;
    let took = start.elapsed();
    if took > HANG {
        return Err(format!("it took {took:?}"));
    }
    let peak = (PEAK_BYTES.get() - before).max(0) as usize;
    if peak > declared + OVERHEAD_BYTES {
        return Err(format!("{peak} bytes were allocated for an image of {declared}"));
    }
    Ok(outcome)
}

pub fn read_everything(dataset: &Dataset, outcome: &mut Outcome) -> Rule<()> {
    for number in 0..dataset.levels().len() as u32 {
        let level = dataset.levels()[number as usize];
        let places =
            (0..dataset.info().n_planes()).flat_map(|plane| (0..level.rows()).map(move |row| (plane, row))).flat_map(
                |(plane, row)| (0..level.cols()).map(move |col| BlockId::new(number, col, row).with_plane(plane)),
            );
        for at in places.take(64) {
            if let Some(block) = outcome.take(dataset.block(at))? {
                outcome.blocks += 1;
                if holds_other_pixels(block.bytes()) {
                    return Err(format!("{at} holds pixels of another picture"));
                }
            }
        }
        // Somewhere in the middle, as large as a few blocks, and of a size that a test can afford.
        let pixel = u64::from(dataset.info().n_bands) * dataset.info().sample.bytes() as u64;
        let side = if pixel < 64 { 200 } else { 1 };
        let (width, height) = (level.width.min(side), level.height.min(side));
        let window = Window::new((level.width - width) / 2, (level.height - height) / 2, width, height);
        let mut pixels = vec![0; (width * height * pixel) as usize];
        outcome.take(dataset.read_window(&WindowRequest::new(number, window), &mut pixels))?;
        if holds_other_pixels(&pixels) {
            return Err(format!("{window} of level {number} holds pixels of another picture"));
        }
    }
    if dataset.info().n_bands < 64 {
        outcome.take(dataset.read_tile(&TileRequest::new(0, 0, 0)))?;
    }
    // What may be handed out as it is stored.
    let first = dataset.levels()[0];
    if first.block_width.max(first.block_height) <= 1024 && dataset.info().n_bands < 64 {
        for encoding in [Encoding::Png, Encoding::jpeg(80), Encoding::WebPLossless] {
            let request = TileRequest::new(0, 0, 0).size(first.block_width, first.block_height).encoding(encoding);
            let read = dataset.read_tile(&request);
            // The encoding has no such samples.
            if read.as_ref().is_err_and(|error| error.kind() == ErrorKind::InvalidArgument) {
                continue;
            }
            if let Some(tile) = outcome.take(read)?
                && holds_other_pixels(&tile.bytes)
            {
                return Err(format!("a tile as {encoding:?} holds pixels of another picture"));
            }
        }
    }
    Ok(())
}

pub fn torture_bytes(bytes: &[u8]) -> Rule<Outcome> {
    let bytes = Arc::new(bytes.to_vec());
    torture(|| Dataset::from_source(open_reader(bytes, Limits::default())?, &OpenOptions::default()))
}

pub const EXTREMES: [u64; 12] =
    [0, 1, 2, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 40, i64::MAX as u64, u64::MAX];

/// One to four places of damage: flipped bytes, runs of 0xFF, numbers at the edge of their range.
pub fn corrupt(bytes: &mut [u8], random: &mut Random) {
    for _ in 0..=random.below(4) {
        // Headers and directories are small, and more depends on them.
        let (start, end) = match random.below(4) {
            0 => (0, bytes.len().min(256)),
            1 => (bytes.len().saturating_sub(1024), bytes.len()),
            _ => (0, bytes.len()),
        };
        let at = start + random.below(end - start);
        match random.below(3) {
            0 => bytes[at] ^= 1 << random.below(8) | random.below(2) as u8,
            1 => {
                let end = (at + 1 + random.below(40)).min(bytes.len());
                bytes[at..end].fill(0xFF);
            }
            _ => {
                let size = [1, 2, 4, 8][random.below(4)];
                let at = at / 2 * 2;
                let value = EXTREMES[random.below(EXTREMES.len())];
                let value = if random.below(2) == 0 {
                    value.to_le_bytes()[..size].to_vec()
                } else {
                    value.to_be_bytes()[8 - size..].to_vec()
                };
                let n = size.min(bytes.len() - at);
                bytes[at..at + n].copy_from_slice(&value[..n]);
            }
        }
    }
}

/// Cuts every file of a format short in many places, and damages them a thousand times in all.
pub fn torture_format(goods: &[Good]) {
    let mut failures = Vec::new();
    let mut note = |what: String, outcome: Rule<Outcome>| {
        if let Err(rule) = outcome {
            failures.push(format!("{what}: {rule}"));
        }
    };
    for (number, good) in goods.iter().enumerate() {
        match torture_bytes(&good.bytes) {
            Ok(outcome) => assert!(outcome.errors == 0 && outcome.blocks > 0, "{} is no good file", good.name),
            Err(rule) => panic!("{}: {rule}", good.name),
        }
        let len = good.bytes.len();
        for cut in (0..len.min(512)).chain((512..len).step_by(97)) {
            note(format!("{} cut at {cut}", good.name), torture_bytes(&good.bytes[..cut]));
        }
        let share = 1000_usize.div_ceil(goods.len());
        for turn in 0..share {
            let seed = (number * share + turn + 1) as u64;
            let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let mut bytes = good.bytes.clone();
            corrupt(&mut bytes, &mut random);
            if random.below(4) > 0 {
                (good.mend)(&mut bytes);
            }
            note(format!("{} damaged with seed {seed}", good.name), torture_bytes(&bytes));
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures[..failures.len().min(30)].join("\n"));
}
