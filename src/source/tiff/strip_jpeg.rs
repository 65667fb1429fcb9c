//! A JPEG strip that is too large to be a block, in square blocks, each of which is decoded alone.

use std::sync::OnceLock;

use crate::block::Interleave;
use crate::cancel;
use crate::codec::Scratch;
use crate::codec::jpeg::{self, Colour, DecodeBytes};
use crate::codec::jpeg_entropy::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::grid::{BlockId, Level};
use crate::source::jpeg::check_whole;
use crate::source::jpeg::pieces::Pieces;
use crate::source::rows::Decoded;
use crate::source::{Limits, ReadAt, ReadContext};
use crate::sync::{Arc, AtomicBool, Mutex, Ordering};

use super::decode::check_bits;
use super::strip_index::StripIndex;
use super::{LevelImage, TiffSource};

/// Pixels of a block, across and down.
pub(super) const BLOCK: u64 = 256;
/// The header is looked for in this many bytes first, and in more when it is not among them.
const HEAD: u64 = 64 << 10;

/// What is known of a strip. One that is not coded in a single baseline scan is decoded as a whole.
pub(super) struct JpegStrip {
    max_bytes: Mutex<usize>,
    parts: OnceLock<Option<Parts>>,
    /// Whether the pieces could not be decoded where the whole could.
    only_whole: AtomicBool,
}

struct Parts {
    pieces: Pieces,
    file: Spliced,
}

impl JpegStrip {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes: Mutex::new(max_bytes), parts: OnceLock::new(), only_whole: AtomicBool::new(false) }
    }

    /// Bytes that the index of a strip of this size takes at most when nobody bounds it: a place for 16 blocks of 8 x 8.
    pub(super) fn wanted_bytes(level: &Level) -> u64 {
        let n = level.width.div_ceil(8).saturating_mul(level.height.div_ceil(8)) / 16;
        n.saturating_mul(size_of::<Place>() as u64)
    }

    pub(super) fn set_max(&self, max_bytes: usize) {
        *self.max_bytes.lock() = max_bytes;
        self.tell_parts();
    }

    /// Tells the parts of the maximum, and again if another thread changes it meanwhile.
    fn tell_parts(&self) {
        let Some(parts) = self.parts() else { return };
        loop {
            let max_bytes = *self.max_bytes.lock();
            parts.pieces.set_max(max_bytes);
            if *self.max_bytes.lock() == max_bytes {
                return;
            }
        }
    }

    pub(super) fn index_bytes(&self) -> usize {
        self.parts().map_or(0, |parts| parts.pieces.index_bytes())
    }

    fn parts(&self) -> Option<&Parts> {
        self.parts.get().and_then(Option::as_ref)
    }

    /// What the strip's header says, which is read once.
    fn read_parts(
        &self,
        level: &LevelImage,
        n_components: usize,
        (start, end): (u64, u64),
        limits: Limits,
    ) -> Result<Option<&Parts>> {
        if let Some(known) = self.parts.get() {
            return Ok(known.as_ref());
        }
        let file = Spliced::new(level, start, end);
        let most = file.len().min(limits.max_metadata_bytes as u64);
        let mut len = HEAD.min(most);
        let (info, head) = loop {
            let mut head = vec![0; len as usize];
            file.read_at(0, &mut head)?;
            match jpeg::info(&head) {
                Ok(info) => break (Some(info), head),
                // What is wrong with it is found out with all of it.
                Err(error) if len == most || error.kind() == ErrorKind::Unsupported => break (None, head),
                Err(_) => len = len.saturating_mul(8).min(most),
            }
        };
        if let Some(info) = &info {
            check_bits(&level.image, info)?;
        }
        let grid = &level.image.level;
        let info = info.filter(|info| {
            (u64::from(info.width), u64::from(info.height)) == (grid.width, grid.height)
                && usize::from(info.components) == n_components
        });
        let max_bytes = *self.max_bytes.lock();
        let pieces = info.and_then(|info| Pieces::new(&head, &info, max_bytes));
        Ok(self.keep(pieces.map(|pieces| Parts { pieces, file })))
    }

    /// Keeps what was made of the header, unless somebody else was first. The maximum may have changed since it was made.
    fn keep(&self, parts: Option<Parts>) -> Option<&Parts> {
        self.parts.get_or_init(|| parts);
        self.tell_parts();
        self.parts()
    }
}

impl TiffSource {
    /// Reads the block `at` of a strip that `offset` and `len` say where it is.
    pub(super) fn read_jpeg_piece(
        &self,
        level: &LevelImage,
        at: BlockId,
        (offset, len): (u64, Option<u64>),
        out: &mut [u8],
        context: &mut ReadContext<'_>,
    ) -> Result<()> {
        let image = &level.image;
        let n_components = if image.interleave == Interleave::Band { 1 } else { image.n_bands as usize };
        let whole_bytes = image.level.width.saturating_mul(image.level.height).saturating_mul(n_components as u64);
        let len = level.len_to_read(offset, len, whole_bytes)?;
        let max_whole = self.limits.max_image_bytes as u64;
        if whole_bytes > self.max_at_once.load(Ordering::Relaxed).min(max_whole) {
            let place = (at.frame, at.level, at.plane);
            let index = self.strip_indexes.get(place, |max| StripIndex::Jpeg(JpegStrip::new(max)));
            let strip = index.jpeg().ok_or_else(|| Error::internal("a JPEG strip with an index of rows"))?;
            let parts = strip.read_parts(level, n_components, (offset, offset + len as u64), self.limits)?;
            if let Some(parts) = parts.filter(|_| !strip.only_whole.load(Ordering::Relaxed)) {
                let window = image.level.block_window(at.col, at.row);
                let window = window.ok_or_else(|| Error::internal(format!("{at} has no pixels")))?;
                let Parts { pieces, file } = parts;
                let decode = |scratch: &mut Scratch, out: &mut [u8]| {
                    pieces.decode(file, colour(level), scratch, &window, n_components, out)
                };
                match self.scratch.with(|counted| decode(&mut counted.scratch, out)) {
                    Err(error) if error.kind() == ErrorKind::Corrupt && whole_bytes <= max_whole => {
                        self.read_jpeg_strip(level, at, (offset, len), n_components, out, context)?;
                        strip.only_whole.store(true, Ordering::Relaxed);
                        return Ok(());
                    }
                    read => return read,
                }
            }
        }
        self.read_jpeg_strip(level, at, (offset, len), n_components, out, context)
    }

    /// Decodes the whole strip for the block `at` and all that others wait for, and offers the others.
    fn read_jpeg_strip(
        &self,
        level: &LevelImage,
        at: BlockId,
        stored: (u64, usize),
        n_components: usize,
        out: &mut [u8],
        context: &mut ReadContext<'_>,
    ) -> Result<()> {
        self.together.read(at, 0, out, |out, lead| {
            self.decode_jpeg_strip(level, stored, n_components, |decoded| lead.hand_out(decoded, at, out, context))
        })
    }

    /// Decodes the whole strip and has `take` take it.
    fn decode_jpeg_strip(
        &self,
        level: &LevelImage,
        (offset, len): (u64, usize),
        n_components: usize,
        take: impl FnOnce(&Decoded<'_>) -> Result<()>,
    ) -> Result<()> {
        let grid = level.image.level;
        let n_bytes = grid.width.saturating_mul(grid.height).saturating_mul(n_components as u64);
        let check = |beside| check_whole("JPEG strip", n_bytes, beside, self.limits);
        check(DecodeBytes::default())?;
        self.scratch.with(|counted| {
            let lent = level.reader.lend(offset, len);
            let Scratch { bytes, decoded, .. } = &mut counted.scratch;
            if lent.is_none() {
                bytes.resize(len, 0);
                level.read(offset, bytes)?;
            }
            let info = jpeg::info(lent.as_deref().unwrap_or(bytes))?;
            check_bits(&level.image, &info)?;
            let more = jpeg::decode_bytes(&info, colour(level), n_components);
            check(more)?;
            decoded.clear();
            decoded.resize(n_bytes as usize, 0);
            cancel::check()?;
            counted.count_decoding(more);
            let Scratch { bytes, decoded, contexts, .. } = &mut counted.scratch;
            let stored = lent.as_deref().unwrap_or(bytes);
            let tables = level.image.storage.jpeg_tables.as_deref();
            // A level of blocks has sides of 32 bits.
            let (width, height) = (grid.width as u32, grid.height as u32);
            jpeg::decode(contexts, tables, stored, colour(level), decoded, width, height, n_components)?;
            take(&Decoded { level: &grid, pixel_bytes: n_components, rows: 0..grid.rows(), pixels: decoded })
        })
    }
}

fn colour(level: &LevelImage) -> Colour {
    if level.image.storage.jpeg_ycbcr { Colour::YcbcrToRgb } else { Colour::AsStored }
}

/// A strip with the tables that all blocks of its image share put before it: a file of its own.
struct Spliced {
    reader: Arc<dyn ReadAt>,
    tables: Vec<u8>,
    /// The part of the strip behind its first marker, which the tables have too.
    start: u64,
    end: u64,
}

impl Spliced {
    fn new(level: &LevelImage, start: u64, end: u64) -> Self {
        let mut tables = level.image.storage.jpeg_tables.clone().unwrap_or_default();
        if tables.is_empty() {
            tables = vec![0xff, 0xd8];
        }
        if tables.ends_with(&[0xff, 0xd9]) {
            tables.truncate(tables.len() - 2);
        }
        Self { reader: Arc::clone(&level.reader), tables, start: end.min(start + 2), end }
    }
}

impl ReadAt for Spliced {
    fn len(&self) -> u64 {
        self.tables.len() as u64 + self.end - self.start
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let n = (self.tables.len() as u64).saturating_sub(offset).min(out.len() as u64) as usize;
        let (first, rest) = out.split_at_mut(n);
        if n > 0 {
            first.copy_from_slice(&self.tables[offset as usize..][..n]);
        }
        if rest.is_empty() {
            return Ok(());
        }
        let behind = offset + n as u64 - self.tables.len() as u64;
        self.reader.read_at(self.start.saturating_add(behind), rest)
    }

    fn was_read(&self, offset: u64, len: u64) {
        if let Some(behind) = offset.checked_sub(self.tables.len() as u64) {
            self.reader.was_read(self.start + behind, len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maximum_that_changes_while_the_header_is_read_counts() {
        let mut file = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut file, 90);
        encoder.encode(&[7; 512 * 512], 512, 512, jpeg_encoder::ColorType::Luma).unwrap();
        let info = jpeg::info(&file).unwrap();
        let strip = JpegStrip::new(1 << 20);
        let pieces = Pieces::new(&file, &info, 1 << 20).unwrap();
        assert!(pieces.most_bytes() > 0);
        strip.set_max(0);
        let len = file.len() as u64;
        let file = Spliced { reader: Arc::new(file), tables: Vec::new(), start: 0, end: len };
        let kept = strip.keep(Some(Parts { pieces, file })).unwrap();
        assert_eq!(kept.pieces.most_bytes(), 0);
    }
}
