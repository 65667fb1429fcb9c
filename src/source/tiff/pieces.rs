//! A strip that is too large to be a block: its rows decoded in order, a piece at a time.
//!
//! A decoder of bytes goes on where it stopped, or starts at the top. One of CCITT rows can also go on behind any row when
//! it has that row and knows where the codes of the next one are: such places are kept in an index.

use crate::block::BlockLayout;
use crate::codec::ccitt::{Rows, Step as RowStep};
use crate::codec::stream::{Step, Stream, StreamCodec};
use crate::codec::{self, Scratch};
use crate::error::{Error, ErrorKind, Result};
use crate::grid::BlockId;
use crate::memory::{Charge, Class, Ledger};
use crate::source::restarts::Restarts;
use crate::source::{ReadAt, ReadContext};

use super::storage::StripCodec;
use super::strip_index::{StripIndex, StripPlace};
use super::{LevelImage, TiffSource, decode};

/// Decoders that are kept for the next read: those of a few bands, or of a few readers.
const KEEP: usize = 4;

/// Stored bytes read at a time.
const BUFFER: u64 = 64 << 10;
/// Bytes of codes that a CCITT row may have beyond four for each of its pixels, of which no encoder makes one.
const ROW_CODES: usize = 256 << 10;

/// A decoder in the middle of a strip.
pub(super) struct StripStream {
    place: StripPlace,
    /// The piece that comes next.
    next: u32,
    decoder: Decoder,
    input: Input,
    charge: Charge,
}

/// The stored bytes of a strip.
struct Input {
    buffer: Vec<u8>,
    /// Where the strip starts, the bytes behind the buffer are, and the strip ends.
    start: u64,
    at: u64,
    end: u64,
    reversed: bool,
}

enum Decoder {
    Bytes {
        codec: StreamCodec,
        /// Made when the first bytes are there.
        stream: Option<Box<Stream>>,
        /// Bytes of the buffer that are done with.
        used: usize,
    },
    Rows {
        rows: Rows,
        row_bytes: usize,
        /// Bits of the buffer that are done with.
        used: usize,
    },
}

/// Where a CCITT row starts, and the one before it.
pub(super) struct RowPlace {
    piece: u32,
    /// Bytes from the start of the strip, a multiple of four, and bits from there.
    offset: u64,
    bits: usize,
    above: Box<[u8]>,
}

impl RowPlace {
    /// Bytes of one in an image of this width.
    pub(super) fn bytes(width: u32) -> usize {
        size_of::<Self>() + width.div_ceil(8) as usize
    }
}

impl TiffSource {
    /// Reads a piece of a strip that is decoded in order. The last read is gone on with where that is possible; pieces
    /// on the way are offered.
    pub(super) fn read_piece(
        &self,
        level: &LevelImage,
        at: BlockId,
        layout: &BlockLayout,
        (codec, offset, len): (StripCodec, u64, Option<u64>),
        out: &mut [u8],
        context: &mut ReadContext<'_>,
    ) -> Result<()> {
        let place = (at.frame, at.level, at.plane);
        let index = match codec {
            StripCodec::Rows(_) => Some(self.strip_indexes.get(place, |max| StripIndex::of_rows(&level.image, max))),
            _ => None,
        };
        let index = index.as_ref().and_then(|index| index.rows());
        // The position in the index of the start of a piece.
        let whole = self.info.block_layout(BlockId { row: 0, ..at })?;
        let position = |piece: u32| u64::from(piece) * whole.bytes as u64;
        let kept = {
            let mut strips = self.strips.lock();
            let usable = |strip: &StripStream| strip.place == place && strip.next <= at.row;
            let nearest = (0..strips.len()).filter(|i| usable(&strips[*i])).max_by_key(|i| strips[*i].next);
            nearest.map(|i| strips.remove(i))
        };
        let known = index.and_then(|index| index.nearest(position(at.row))).map(|(_, point)| point);
        let known = known.filter(|point| kept.as_ref().is_none_or(|strip| strip.next < point.piece));
        let mut strip = match (kept, known) {
            (Some(strip), None) => strip,
            (_, known) => {
                let file_len = level.reader.len();
                let end = len.map_or(file_len, |len| offset.saturating_add(len));
                if end > file_len || offset > end {
                    return Err(Error::new(
                        ErrorKind::Io,
                        format!("a strip from {offset} to {end} reaches past the end; the file has {file_len} bytes"),
                    ));
                }
                StripStream::new(level, place, codec, (offset, end), known.as_deref())?
            }
        };
        while strip.next < at.row {
            context.check()?;
            strip.note(index, position(strip.next));
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
        strip.note(index, position(strip.next));
        self.next_piece(level, &mut strip, layout, out)?;
        strip.note(index, position(strip.next));
        let mut strips = self.strips.lock();
        strips.push(strip);
        let oldest = (strips.len() > KEEP).then(|| strips.remove(0));
        drop(strips);
        // Not under the lock.
        drop(oldest);
        Ok(())
    }

    /// Bytes of the decoders that are kept between reads, when there are as many as there may be.
    pub(super) fn decoder_bytes(&self) -> u64 {
        let strips = self.frames.iter().flatten().filter_map(|level| Some((level, level.strip()?)));
        let most = strips.map(|(level, codec)| StripStream::usual_bytes(level, codec)).max();
        most.unwrap_or(0).saturating_mul(KEEP as u64)
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
    /// At the start of the strip whose stored bytes are those from `start` to `end`, or at a place in it that is known.
    fn new(
        level: &LevelImage,
        place: StripPlace,
        codec: StripCodec,
        (start, end): (u64, u64),
        known: Option<&RowPlace>,
    ) -> Result<Self> {
        let charge = Ledger::process().charge(Class::Scratch, BUFFER);
        let image = &level.image;
        let (mut next, mut at) = (0, start);
        let decoder = match codec {
            StripCodec::Bytes(codec) => Decoder::Bytes { codec, stream: None, used: 0 },
            StripCodec::Rows(scheme) => {
                let row_bytes = image.stored_row_bytes().ok_or_else(|| Error::limit("a row of a strip is too long"))?;
                let width = image.level.block_width;
                let (rows, used) = match known {
                    None => (Rows::new(scheme, width), 0),
                    Some(known) => {
                        (next, at) = (known.piece, start + known.offset);
                        let n_rows = known.piece as usize * image.level.block_height as usize;
                        (Rows::after(scheme, width, n_rows, &known.above), known.bits)
                    }
                };
                Decoder::Rows { rows, row_bytes, used }
            }
            StripCodec::Jpeg => return Err(Error::internal("a JPEG strip is not decoded in order")),
        };
        let input = Input { buffer: Vec::new(), start, at, end, reversed: image.storage.fill_order_reversed };
        Ok(Self { place, next, decoder, input, charge })
    }

    /// Bytes that one holds when an encoder that is in use wrote its strip.
    fn usual_bytes(level: &LevelImage, codec: StripCodec) -> u64 {
        match codec {
            StripCodec::Bytes(codec) => BUFFER + Stream::usual_bytes(codec) as u64,
            // What is left of a buffer before the next, and the changes of two rows.
            StripCodec::Rows(_) => 2 * BUFFER + 2 * 4 * u64::from(level.image.level.block_width),
            StripCodec::Jpeg => 0,
        }
    }

    /// Puts into the index from where the next piece can be decoded, which is at `position`, if that is worth its memory.
    fn note(&self, index: Option<&Restarts<RowPlace>>, position: u64) {
        let (Some(index), Decoder::Rows { rows, row_bytes, used }) = (index, &self.decoder) else { return };
        if self.next > 0 && index.wants(position) {
            let Input { buffer, at, start, .. } = &self.input;
            let offset = at - start - buffer.len() as u64 + (used / 32 * 4) as u64;
            let place = RowPlace { piece: self.next, offset, bits: used % 32, above: rows.above() };
            index.add(position, place, size_of::<RowPlace>() + row_bytes);
        }
    }

    /// Decodes on until `out` is full.
    fn fill(&mut self, reader: &dyn ReadAt, out: &mut [u8]) -> Result<()> {
        let input = &mut self.input;
        let (written, held) = match &mut self.decoder {
            Decoder::Bytes { codec, stream, used } => {
                let written = fill_bytes(*codec, stream, used, input, reader, out)?;
                (written, stream.as_ref().map_or(0, |stream| stream.memory_bytes()))
            }
            Decoder::Rows { rows, row_bytes, used } => {
                let written = fill_rows(rows, *row_bytes, used, input, reader, out)?;
                (written, rows.memory_bytes())
            }
        };
        if written < out.len() {
            let (expected, next) = (out.len(), self.next);
            return Err(Error::corrupt(format!(
                "the strip ends after {written} of the {expected} bytes of its piece {next}"
            )));
        }
        self.charge.resize((held + self.input.buffer.capacity()) as u64);
        Ok(())
    }
}

/// Decodes bytes until `out` is full or nothing is left. Returns how many were written.
fn fill_bytes(
    codec: StreamCodec,
    stream: &mut Option<Box<Stream>>,
    used: &mut usize,
    input: &mut Input,
    reader: &dyn ReadAt,
    out: &mut [u8],
) -> Result<usize> {
    let mut written = 0;
    while written < out.len() {
        if *used == input.buffer.len() {
            *used = 0;
            input.buffer.clear();
            input.read_more(reader)?;
        }
        let stream = stream.get_or_insert_with(|| Box::new(Stream::new(codec, &input.buffer)));
        let Step { consumed, written: n, end } = stream.step(&input.buffer[*used..], &mut out[written..])?;
        *used += consumed;
        written += n;
        let is_stuck = consumed == 0 && n == 0;
        if end || is_stuck && (input.at == input.end || *used < input.buffer.len()) {
            break;
        }
    }
    Ok(written)
}

/// As [`fill_bytes`], for whole rows.
fn fill_rows(
    rows: &mut Rows,
    row_bytes: usize,
    used: &mut usize,
    input: &mut Input,
    reader: &dyn ReadAt,
    out: &mut [u8],
) -> Result<usize> {
    let mut written = 0;
    while let Some(row) = out.get_mut(written..written + row_bytes) {
        match rows.step(&input.buffer, *used, input.at == input.end, row)? {
            RowStep::Row(end) => {
                *used = end;
                written += row_bytes;
            }
            RowStep::More => {
                input.buffer.drain(..*used / 32 * 4);
                *used %= 32;
                let most = row_bytes.saturating_mul(32).saturating_add(ROW_CODES);
                if input.buffer.len() > most {
                    return Err(Error::corrupt(format!("a CCITT row of more than {most} bytes of codes")));
                }
                input.read_more(reader)?;
            }
            RowStep::End => break,
        }
    }
    Ok(written)
}

impl Input {
    /// Appends stored bytes to the buffer, if there are any left.
    fn read_more(&mut self, reader: &dyn ReadAt) -> Result<()> {
        let n = (self.end - self.at).min(BUFFER);
        let had = self.buffer.len();
        self.buffer.resize(had + n as usize, 0);
        let new = &mut self.buffer[had..];
        if let Err(error) = reader.read_at(self.at, new) {
            self.buffer.truncate(had);
            return Err(error);
        }
        if self.reversed {
            codec::bytes::reverse_bits(new);
        }
        reader.was_read(self.at, n);
        self.at += n;
        Ok(())
    }
}
