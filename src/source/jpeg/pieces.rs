//! Pieces of a baseline JPEG: the MCUs of a block as a picture of their own.

use std::ops::Range;

use crate::cancel;
use crate::codec::inflate::Feed;
use crate::codec::jpeg::{JpegInfo, Parts};
use crate::codec::jpeg_entropy::{Coding, DC_TABLE, Excerpt, Place, Scanner};
use crate::error::Result;
use crate::grid::Window;
use crate::memory::{Charge, Class, Ledger};
use crate::sync::Mutex;

use super::super::ReadAt;

/// MCUs from one point of the index to the next, at least: about as many as a block has across.
const MIN_STEP: u64 = 16;
/// Bytes that are read at once on the way to an MCU that the index does not reach yet, and within reach of it.
const FAR_BYTES: usize = 64 << 10;
const NEAR_BYTES: usize = 4 << 10;

/// A picture whose MCUs can be found one by one.
///
/// The index has the place of every so many MCUs, as far as the entropy-coded data were read: without a transform, which is
/// a small part of what decoding costs. Restart markers are passed like anything else and are not in a piece.
pub(in crate::source) struct Pieces {
    coding: Coding,
    parts: Parts,
    size: (u32, u32),
    /// Neighbours that an MCU needs for pixels at its edge: none where chroma is not interpolated.
    margin: u32,
    index: Mutex<Index>,
}

struct Index {
    /// Places of the MCUs `step`, `2 * step`, and so on.
    points: Vec<Place>,
    step: u64,
    charge: Charge,
}

/// A part of the picture in whole MCUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source) struct Piece {
    cols: Range<u32>,
    rows: Range<u32>,
    /// Its pixels.
    pub(in crate::source) left: u32,
    pub(in crate::source) top: u32,
    pub(in crate::source) width: u32,
    pub(in crate::source) height: u32,
}

impl Pieces {
    /// Those of the picture that starts with `head`; `None` when it must be decoded whole.
    pub(in crate::source) fn new(head: &[u8], info: &JpegInfo, max_index_bytes: usize) -> Option<Self> {
        let coding = Coding::of(head, info)?;
        let parts = Parts::of(head)?;
        let is_subsampled = coding.mcu_width > 8 || coding.mcu_height > 8;
        let index = Index {
            points: Vec::new(),
            step: step(coding.n_mcus(), max_index_bytes),
            charge: Ledger::process().charge(Class::Metadata, 0),
        };
        Some(Self {
            coding,
            parts,
            size: (info.width, info.height),
            margin: u32::from(is_subsampled),
            index: Mutex::new(index),
        })
    }

    /// Bytes that it holds beside itself.
    pub(in crate::source) fn memory_bytes(&self) -> usize {
        self.coding.memory_bytes() + self.parts.memory_bytes() + self.index_bytes()
    }

    pub(in crate::source) fn index_bytes(&self) -> usize {
        self.index.lock().points.capacity() * size_of::<Place>()
    }

    /// Bytes that it takes when all of the picture was passed.
    pub(in crate::source) fn most_bytes(&self) -> usize {
        let n = self.coding.n_mcus() / self.index.lock().step;
        usize::try_from(n).unwrap_or(usize::MAX).saturating_mul(size_of::<Place>())
    }

    /// Changes how many bytes the index may take. One that is made thinner stays so.
    pub(in crate::source) fn set_max(&self, max_index_bytes: usize) {
        let wanted = step(self.coding.n_mcus(), max_index_bytes);
        let mut index = self.index.lock();
        if wanted == u64::MAX {
            index.points = Vec::new();
        }
        while !index.points.is_empty() && index.step < wanted {
            index.points = index.points.iter().skip(1).step_by(2).copied().collect();
            index.step *= 2;
        }
        if index.points.is_empty() {
            index.step = wanted;
        }
        index.count();
    }

    /// What must be decoded for `window`.
    pub(in crate::source) fn around(&self, window: &Window) -> Piece {
        let mcus = |start: u64, len: u64, side: u32, n: u32| {
            let first = (start / u64::from(side)) as u32;
            let end = (start + len).div_ceil(u64::from(side)) as u32;
            first.saturating_sub(self.margin)..(end + self.margin).min(n)
        };
        let Coding { mcu_width, mcu_height, mcus_across, mcus_down, .. } = self.coding;
        let cols = mcus(window.x, window.width, mcu_width, mcus_across);
        let rows = mcus(window.y, window.height, mcu_height, mcus_down);
        let (left, top) = (cols.start * mcu_width, rows.start * mcu_height);
        let (right, bottom) = ((cols.end * mcu_width).min(self.size.0), (rows.end * mcu_height).min(self.size.1));
        Piece { cols, rows, left, top, width: right - left, height: bottom - top }
    }

    /// The stream of a piece, put together in the memory of `stream`.
    pub(in crate::source) fn stream(&self, reader: &dyn ReadAt, piece: &Piece, mut stream: Vec<u8>) -> Result<Vec<u8>> {
        stream.clear();
        self.parts.start(&mut stream, piece.width, piece.height, |out| {
            for id in self.coding.dc_tables() {
                let len = (2 + 1 + DC_TABLE.len()) as u16;
                out.extend_from_slice(&[0xff, 0xc4, (len >> 8) as u8, len as u8, id]);
                out.extend_from_slice(&DC_TABLE);
            }
        });
        let mut copy = Excerpt::to(stream);
        let mut scanner: Option<Scanner<'_, Ahead<'_>>> = None;
        for row in piece.rows.clone() {
            cancel::check()?;
            let first = u64::from(row) * u64::from(self.coding.mcus_across) + u64::from(piece.cols.start);
            let (mcu, place) = self.nearest(reader, first)?;
            let mut here = match scanner.take() {
                Some(scanner) if (mcu..=first).contains(&scanner.mcu()) => scanner,
                _ => Scanner::new(&self.coding, Ahead::new(reader, place.offset(), NEAR_BYTES), mcu, &place),
            };
            while here.mcu() < first {
                here.skip()?;
            }
            for _ in piece.cols.clone() {
                here.copy(&mut copy)?;
            }
            scanner = Some(here);
        }
        let mut stream = copy.finish();
        stream.extend_from_slice(&[0xff, 0xd9]);
        Ok(stream)
    }

    /// The last MCU at or before this one whose place is in the index, which is filled up to there.
    fn nearest(&self, reader: &dyn ReadAt, mcu: u64) -> Result<(u64, Place)> {
        let start = Place::start(self.parts.data_offset());
        let (step, n_known, known) = {
            let index = self.index.lock();
            let wanted = (mcu / index.step) as usize;
            let n = wanted.min(index.points.len());
            let place = n.checked_sub(1).map_or(start, |last| index.points[last]);
            if n == wanted {
                return Ok((n as u64 * index.step, place));
            }
            (index.step, n, place)
        };
        let feed = Ahead::new(reader, known.offset(), FAR_BYTES);
        let mut scanner = Scanner::new(&self.coding, feed, n_known as u64 * step, &known);
        let mut found = Vec::new();
        let scanned: Result<()> = (n_known as u64 + 1..=mcu / step).try_for_each(|n| {
            cancel::check()?;
            while scanner.mcu() < n * step {
                scanner.skip()?;
            }
            found.push(scanner.place());
            Ok(())
        });
        let result = found.last().map(|place| ((n_known + found.len()) as u64 * step, *place));
        let mut index = self.index.lock();
        // Somebody else may have been faster, or have made it thinner.
        if index.step == step && index.points.len() >= n_known {
            let have = index.points.len() - n_known;
            // Once for all: a vector that grows by itself may take twice of what is allowed.
            let all = (self.coding.n_mcus() / step) as usize;
            let more = all.saturating_sub(index.points.len());
            index.points.reserve_exact(more);
            index.points.extend(found.iter().skip(have));
            index.count();
        }
        drop(index);
        scanned?;
        Ok(result.unwrap_or((n_known as u64 * step, known)))
    }
}

impl Index {
    fn count(&mut self) {
        let bytes = self.points.capacity() * size_of::<Place>();
        self.charge.resize(bytes as u64);
    }
}

/// MCUs between points, so that those of the whole picture have room.
fn step(n_mcus: u64, max_bytes: usize) -> u64 {
    match (max_bytes / size_of::<Place>()) as u64 {
        0 => u64::MAX,
        n => n_mcus.div_ceil(n).max(MIN_STEP),
    }
}

/// The bytes of a file from a position on.
struct Ahead<'a> {
    reader: &'a dyn ReadAt,
    buffer: Vec<u8>,
    used: usize,
    /// Where in the file the buffer ends.
    end: u64,
    /// Bytes that are read at once.
    at_once: usize,
}

impl<'a> Ahead<'a> {
    fn new(reader: &'a dyn ReadAt, offset: u64, at_once: usize) -> Self {
        Self { reader, buffer: Vec::new(), used: 0, end: offset, at_once }
    }

    #[cold]
    fn read(&mut self) -> Result<()> {
        let left = self.buffer.len() - self.used;
        if self.end < self.reader.len() {
            let start = self.end - left as u64;
            self.reader.was_read(self.end - self.buffer.len() as u64, self.buffer.len() as u64);
            let n = (self.reader.len() - start).min(self.at_once as u64);
            self.buffer.resize(n as usize, 0);
            self.reader.read_at(start, &mut self.buffer)?;
            (self.used, self.end) = (0, start + n);
        }
        Ok(())
    }
}

impl Feed for Ahead<'_> {
    #[inline]
    fn bytes(&mut self) -> Result<&[u8]> {
        if self.buffer.len() - self.used < 8 {
            self.read()?;
        }
        Ok(&self.buffer[self.used..])
    }

    #[inline]
    fn consume(&mut self, n: usize) {
        self.used += n;
    }
}
