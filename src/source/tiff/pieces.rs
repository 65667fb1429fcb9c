//! A strip that is too large to be a block: its rows decoded in order, a piece at a time.

use crate::block::BlockLayout;
use crate::codec::stream::{Step, Stream, StreamCodec};
use crate::codec::{self, Scratch};
use crate::error::{Error, ErrorKind, Result};
use crate::grid::BlockId;
use crate::memory::{Charge, Class, Ledger};
use crate::source::{ReadAt, ReadContext};

use super::{LevelImage, TiffSource, decode};

/// Decoders that are kept for the next read: those of a few bands, or of a few readers.
const KEEP: usize = 4;

/// Stored bytes read at a time.
const BUFFER: u64 = 64 << 10;

/// A decoder in the middle of a strip.
pub(super) struct StripStream {
    /// Of which frame, level and plane the strip is.
    place: (u32, u32, u32),
    /// The piece that comes next.
    next: u32,
    codec: StreamCodec,
    /// Made when the first bytes are there.
    stream: Option<Stream>,
    buffer: Vec<u8>,
    used: usize,
    /// Where the bytes behind the buffer are, and where the strip ends.
    at: u64,
    end: u64,
    reversed: bool,
    charge: Charge,
}

impl TiffSource {
    /// Reads a piece of a strip that is decoded in order. The last read is gone on with where that is possible; pieces
    /// on the way are offered.
    pub(super) fn read_piece(
        &self,
        level: &LevelImage,
        at: BlockId,
        codec: StreamCodec,
        (offset, len): (u64, Option<u64>),
        out: &mut [u8],
        context: &mut ReadContext<'_>,
    ) -> Result<()> {
        let place = (at.frame, at.level, at.plane);
        let kept = {
            let mut strips = self.strips.lock();
            let usable = |strip: &StripStream| strip.place == place && strip.next <= at.row;
            let nearest = (0..strips.len()).filter(|i| usable(&strips[*i])).max_by_key(|i| strips[*i].next);
            nearest.map(|i| strips.remove(i))
        };
        let mut strip = match kept {
            Some(strip) => strip,
            None => {
                let file_len = level.reader.len();
                let end = len.map_or(file_len, |len| offset.saturating_add(len));
                if end > file_len || offset > end {
                    return Err(Error::new(
                        ErrorKind::Io,
                        format!("a strip from {offset} to {end} reaches past the end; the file has {file_len} bytes"),
                    ));
                }
                StripStream::new(place, codec, (offset, end), level.image.storage.fill_order_reversed)
            }
        };
        while strip.next < at.row {
            context.check()?;
            let id = BlockId { row: strip.next, ..at };
            let layout = self.info.block_layout(id)?;
            let mut failure = None;
            let taken = context.offer(id, &mut |pixels| {
                let read = self.next_piece(level, &mut strip, &layout, pixels);
                failure = read.as_ref().err().cloned();
                read
            });
            if let Some(error) = failure {
                return Err(error);
            }
            // What was not wanted after all was decoded all the same.
            if !taken && strip.next == id.row {
                self.skip_piece(level, &mut strip, &layout)?;
            }
        }
        self.next_piece(level, &mut strip, &self.info.block_layout(at)?, out)?;
        let mut strips = self.strips.lock();
        strips.push(strip);
        let oldest = (strips.len() > KEEP).then(|| strips.remove(0));
        drop(strips);
        // Not under the lock.
        drop(oldest);
        Ok(())
    }

    fn next_piece(
        &self,
        level: &LevelImage,
        strip: &mut StripStream,
        layout: &BlockLayout,
        out: &mut [u8],
    ) -> Result<()> {
        self.scratch.with(|counted| {
            let Scratch { decoded, spare, .. } = &mut counted.scratch;
            let rows = |rows: &mut [u8], _needed| strip.fill(&*level.reader, rows);
            decode::present(&level.image, layout, decoded, spare, out, rows)
        })?;
        strip.next += 1;
        Ok(())
    }

    fn skip_piece(&self, level: &LevelImage, strip: &mut StripStream, layout: &BlockLayout) -> Result<()> {
        let bytes = level.image.stored_bytes(layout.height as usize);
        let bytes = bytes.ok_or_else(|| Error::limit("a piece of a strip is too large"))?;
        self.scratch.with(|counted| {
            let decoded = &mut counted.scratch.decoded;
            decoded.resize(bytes, 0);
            strip.fill(&*level.reader, decoded)
        })?;
        strip.next += 1;
        Ok(())
    }
}

impl StripStream {
    /// At the start of the strip whose stored bytes are those from `start` to `end`.
    fn new(place: (u32, u32, u32), codec: StreamCodec, (start, end): (u64, u64), reversed: bool) -> Self {
        let charge = Ledger::process().charge(Class::Scratch, BUFFER);
        Self { place, next: 0, codec, stream: None, buffer: Vec::new(), used: 0, at: start, end, reversed, charge }
    }

    /// Decodes on until `out` is full.
    fn fill(&mut self, reader: &dyn ReadAt, out: &mut [u8]) -> Result<()> {
        let mut written = 0;
        while written < out.len() {
            if self.used == self.buffer.len() {
                self.refill(reader)?;
            }
            let stream = self.stream.get_or_insert_with(|| Stream::new(self.codec, &self.buffer));
            let Step { consumed, written: n, end } = stream.step(&self.buffer[self.used..], &mut out[written..])?;
            self.used += consumed;
            written += n;
            let is_stuck = consumed == 0 && n == 0;
            if written < out.len() && (end || is_stuck && (self.at == self.end || self.used < self.buffer.len())) {
                let (expected, next) = (out.len(), self.next);
                return Err(Error::corrupt(format!(
                    "the strip ends after {written} of the {expected} bytes of its piece {next}"
                )));
            }
        }
        let held = self.stream.as_ref().map_or(0, Stream::memory_bytes) + self.buffer.capacity();
        self.charge.resize(held as u64);
        Ok(())
    }

    fn refill(&mut self, reader: &dyn ReadAt) -> Result<()> {
        let n = (self.end - self.at).min(BUFFER);
        self.used = 0;
        self.buffer.resize(n as usize, 0);
        if let Err(error) = reader.read_at(self.at, &mut self.buffer) {
            self.buffer.clear();
            return Err(error);
        }
        reader.was_read(self.at, n);
        self.at += n;
        if self.reversed {
            codec::bytes::reverse_bits(&mut self.buffer);
        }
        Ok(())
    }
}
