//! PNG: one level in bands of rows, decoded from the nearest place in the stream that is known.

mod describe;
mod idat;
mod passes;
mod rows;
mod whole;

use std::io::{Read, Seek, SeekFrom};

use crate::codec;
use crate::error::{Error, Result};
use crate::grid::{BlockId, Window};
use crate::memory::{Charge, Class, Ledger, zeroed};
use crate::sample::SampleType;
use crate::sync::{Arc, Mutex};

use super::restarts::Restarts;
use super::rows::{self as bands, Cursor, Decoded};
use super::together::Together;
use super::{Limits, PictureFormat, ReadAt, ReadContext, SourceInfo, StoredPicture, TileSource, check_block, no_such};
use describe::describe;
use idat::Place;
use passes::Pass;
use rows::{Restart, Rows};

/// Decoders that are kept for the next read. More exist only while more threads decode at once.
const KEEP: usize = 2;

/// A PNG file, samples as stored: palettes are not expanded, and 1, 2 and 4 bits keep their numbers in a byte each.
///
/// The picture is one compressed stream. Blocks are pieces of bands, which are decoded whole; the rest of a band is
/// offered to the reader, as are the bands that were decoded on the way to it, and given to threads that wait for it
/// ([`Together`]). The decoders of the last reads are kept
/// where they stopped, so that going down the picture decodes every row once. As the stream is decoded, places from which
/// it can be taken up again are put into an index of bounded memory ([`Restarts`]); any other band is decoded from the
/// nearest of them. An interlaced picture is seven such streams of rows in one, each with a decoder of its own.
pub(super) struct PngSource {
    info: SourceInfo,
    reader: Arc<dyn ReadAt>,
    limits: Limits,
    bits: u32,
    /// Whether one colour, of pixels that are no indices, is clear.
    has_clear_color: bool,
    passes: Vec<Pass>,
    /// Where the image data start.
    start: Place,
    restarts: Restarts<Restart>,
    /// Bands that are being decoded.
    together: Together,
    /// Taken out while they are used, so that no lock is held while decoding.
    kept: Mutex<Vec<Decoder>>,
}

/// Decoders of rows where they stopped, and the band that was decoded last.
struct Decoder {
    /// One for each pass.
    rows: Vec<Option<Rows>>,
    band: Option<u32>,
    pixels: Vec<u8>,
    /// Samples of one row of a pass.
    samples: Vec<u8>,
    charge: Charge,
}

impl PngSource {
    pub(super) fn matches(head: &[u8]) -> bool {
        head.starts_with(b"\x89PNG\r\n\x1a\n")
    }

    pub(super) fn open(reader: Arc<dyn ReadAt>, limits: Limits) -> Result<Self> {
        let png = read_header(&reader, limits)?;
        let header = png.info();
        let bits = header.bit_depth as u32;
        let sample = if bits == 16 { SampleType::U16 } else { SampleType::U8 };
        let (width, height) = (u64::from(header.width), u64::from(header.height));
        let n_bands = header.color_type.samples() as u32;
        let row_bytes = width * u64::from(n_bands) * sample.bytes() as u64;
        if row_bytes > limits.max_block_bytes as u64 {
            return Err(Error::limit(format!("a row takes {row_bytes} bytes")));
        }
        // Deflate makes at most 1,032 bytes of one.
        let pixel_bits = u64::from(n_bands) * u64::from(bits);
        let stored = (width * pixel_bits).div_ceil(8).saturating_mul(height);
        if stored / 1032 > reader.len() {
            let len = reader.len();
            return Err(Error::corrupt(format!("{len} bytes of PNG cannot hold {stored} bytes of pixels")));
        }
        let level = bands::bands(width, height, u64::from(n_bands) * sample.bytes() as u64)?;
        let mut info = SourceInfo::new("png", vec![level], n_bands, sample);
        "deflate".clone_into(&mut info.compression);
        info.n_bits = (bits < 8).then_some(bits);
        describe(&mut info, header);
        let has_clear_color = header.trns.is_some() && header.color_type != png::ColorType::Indexed;
        let passes = Pass::all(header.width, header.height, pixel_bits, header.interlaced);
        let stream_bytes = passes.last().map_or(0, |last| last.position(last.n_rows));
        let point_bytes = Restart::max_bytes(passes.iter().map(|pass| pass.row_bytes).max().unwrap_or(0));
        let start = Place::before_chunk(first_image_data(&reader)?);
        let restarts = Restarts::new(stream_bytes, point_bytes, limits.max_index_bytes);
        let together = Together::default();
        Ok(Self {
            info,
            reader,
            limits,
            bits,
            has_clear_color,
            passes,
            start,
            restarts,
            together,
            kept: Mutex::default(),
        })
    }

    /// The kept decoder from which the band is nearest, or a new one.
    fn decoder(&self, band: u32) -> Result<Decoder> {
        let wanted = self.band_rows(band).start;
        let distance = |decoder: &Decoder| {
            if decoder.band == Some(band) {
                return 0;
            }
            let wanted = self.passes.iter().map(|pass| pass.position(pass.rows_in(&(wanted..wanted)).start));
            let here = decoder.rows.iter().map(|rows| rows.as_ref().map_or(u64::MAX, Rows::position));
            let ahead = wanted.zip(here).map(|(wanted, here)| wanted.checked_sub(here));
            ahead.map(|ahead| ahead.map_or(u64::MAX >> 3, |ahead| ahead + 1)).fold(0, u64::saturating_add)
        };
        let mut kept = self.kept.lock();
        let best = (0..kept.len()).min_by_key(|i| distance(&kept[*i]));
        if let Some(best) = best {
            return Ok(kept.swap_remove(best));
        }
        drop(kept);
        let level = &self.info.levels[0];
        let row_bytes = level.width as usize * self.pixel_bytes();
        let pixels = zeroed(row_bytes * level.block_height as usize)?;
        let samples = if self.passes.iter().all(Pass::is_whole) { Vec::new() } else { zeroed(row_bytes)? };
        let bytes = pixels.len() + samples.len();
        let charge = Ledger::process().charge(Class::Scratch, bytes as u64);
        Ok(Decoder { rows: self.passes.iter().map(|_| None).collect(), band: None, pixels, samples, charge })
    }

    /// A band that `pixels` are of.
    fn decoded<'a>(&'a self, band: u32, pixels: &'a [u8]) -> Decoded<'a> {
        Decoded { level: &self.info.levels[0], pixel_bytes: self.pixel_bytes(), rows: band..band + 1, pixels }
    }

    fn pixel_bytes(&self) -> usize {
        self.info.n_bands as usize * self.info.sample.bytes()
    }

    /// Bytes of one decoder: the band that it holds, and what each pass decodes with.
    fn decoder_bytes(&self) -> usize {
        let level = &self.info.levels[0];
        let row_bytes = level.width as usize * self.pixel_bytes();
        let rows = self.passes.iter().map(|pass| Rows::state_bytes(pass.row_bytes)).sum::<usize>();
        row_bytes.saturating_mul(level.block_height as usize).saturating_add(rows)
    }

    /// The rows of the picture that a band has.
    fn band_rows(&self, band: u32) -> std::ops::Range<u32> {
        let level = &self.info.levels[0];
        // The first row of a band that exists has a number of 32 bits, as has the row after the last.
        let first = band * level.block_height;
        first..first.saturating_add(level.block_height).min(level.height as u32)
    }

    /// Makes `band` the decoded one.
    fn decode(&self, decoder: &mut Decoder, asked: BlockId, context: &mut ReadContext<'_>) -> Result<()> {
        decoder.band = None;
        let rows = self.band_rows(asked.row);
        for number in 0..self.passes.len() {
            let wanted = self.passes[number].rows_in(&rows);
            if !wanted.is_empty() {
                self.go_to(decoder, number, wanted.start)?;
                self.pass_by(decoder, number, wanted.start, asked, context)?;
                self.decode_rows(decoder, number, wanted, rows.start)?;
            }
        }
        decoder.band = Some(asked.row);
        Ok(())
    }

    /// Brings the decoder of a pass to `row` or as near before it as is known.
    fn go_to(&self, decoder: &mut Decoder, number: usize, row: u32) -> Result<()> {
        let wanted = self.passes[number].position(row);
        let standing = decoder.rows.iter().enumerate().filter_map(|(i, rows)| Some((rows.as_ref()?.position(), i)));
        // The decoder of another pass may stand nearer, above all where that one ends and this one starts.
        let nearest = standing.filter(|(position, _)| *position <= wanted).max_by_key(|(at, i)| (*at, *i == number));
        let known = self.restarts.nearest(wanted);
        let known = known.filter(|(position, _)| nearest.is_none_or(|(standing, _)| *position > standing));
        if known.is_none() && nearest.is_some_and(|(_, i)| i == number) {
            return Ok(());
        }
        let restart = match (&known, nearest) {
            (Some((position, restart)), _) => Some((*position, Arc::clone(restart))),
            (None, Some((position, i))) => decoder.rows[i].as_ref().map(|rows| {
                let is_first = self.passes.iter().any(|pass| pass.position(0) == position);
                (position, Arc::new(rows.restart(is_first)))
            }),
            (None, None) => None,
        };
        if decoder.rows[number].is_none() {
            let bytes = decoder.charge.bytes() + Rows::state_bytes(self.passes[number].row_bytes) as u64;
            decoder.charge.resize(bytes);
        }
        let rows = decoder.rows[number].get_or_insert_with(|| Rows::new(Arc::clone(&self.reader), self.start));
        match restart {
            Some((position, restart)) => rows.go_to(position, &restart),
            None => {
                rows.go_to_start(self.start);
                Ok(())
            }
        }
    }

    /// Decodes up to `row` of a pass. Whole bands on the way that may be wanted soon are offered.
    fn pass_by(
        &self,
        decoder: &mut Decoder,
        number: usize,
        row: u32,
        asked: BlockId,
        context: &mut ReadContext<'_>,
    ) -> Result<()> {
        let wanted = self.passes[number].position(row);
        // Farther away than what one run decodes they would only push out others.
        let offered_from = wanted.saturating_sub(self.restarts.spacing());
        loop {
            let Some(rows) = &mut decoder.rows[number] else { return Ok(()) };
            let position = rows.position();
            if position >= wanted {
                return Ok(());
            }
            // The row is one of the pass where it stands, which is an earlier one than where it is going.
            context.check()?;
            let pass = self.passes.iter().rev().find(|pass| pass.position(0) <= position);
            let pass = pass.unwrap_or(&self.passes[0]);
            let at = pass.row_at(position);
            let height = self.info.levels[0].block_height;
            if !pass.is_whole() || !at.is_multiple_of(height) || position < offered_from {
                rows.next(pass, &self.restarts)?;
                continue;
            }
            self.decode_rows(decoder, number, at..at + height, at)?;
            let band = at / height;
            self.decoded(band, &decoder.pixels).offer(asked, context);
        }
    }

    /// Decodes rows of a pass, where its decoder stands, to the band that starts at row `top` of the picture.
    fn decode_rows(&self, decoder: &mut Decoder, number: usize, wanted: std::ops::Range<u32>, top: u32) -> Result<()> {
        let (pass, pixel) = (&self.passes[number], self.pixel_bytes());
        let stride = self.info.levels[0].width as usize * pixel;
        let Some(rows) = &mut decoder.rows[number] else { return Err(Error::internal("a pass without a decoder")) };
        for number in wanted {
            let row = rows.next(pass, &self.restarts)?;
            let target = &mut decoder.pixels[(pass.y(number) - top) as usize * stride..][..stride];
            if pass.is_whole() {
                self.present(row, target)?;
                continue;
            }
            let samples = &mut decoder.samples[..pass.width as usize * pixel];
            self.present(row, samples)?;
            let targets = target[pass.x() * pixel..].chunks_mut(pass.across as usize * pixel);
            for (target, sample) in targets.zip(samples.chunks_exact(pixel)) {
                target[..pixel].copy_from_slice(sample);
            }
        }
        Ok(())
    }

    /// Stored samples become native ones.
    fn present(&self, row: &[u8], target: &mut [u8]) -> Result<()> {
        if self.bits < 8 {
            return codec::bits::unpack(row, self.bits, target.len(), target);
        }
        target.copy_from_slice(row);
        if self.bits == 16 && cfg!(target_endian = "little") {
            codec::bytes::swap_in_place(target, 2);
        }
        Ok(())
    }
}

impl TileSource for PngSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], context: &mut ReadContext<'_>) -> Result<()> {
        check_block(&self.info, at, out)?;
        self.together.read(at, at.row, out, |out, lead| {
            let mut decoder = self.decoder(at.row)?;
            if decoder.band != Some(at.row) {
                self.decode(&mut decoder, at, context)?;
            }
            lead.hand_out(&self.decoded(at.row, &decoder.pixels), at, out, context)?;
            let mut kept = self.kept.lock();
            let too_many = if kept.len() < KEEP { None } else { Some(kept.remove(0)) };
            kept.push(decoder);
            drop(kept);
            // Not under the lock.
            drop(too_many);
            Ok(())
        })
    }

    fn stored_picture(
        &self,
        frame: u32,
        level: u32,
        window: &Window,
        _context: &mut ReadContext<'_>,
    ) -> Option<StoredPicture> {
        // What is clear in the file is a colour like any other in the samples.
        if (frame, level) != (0, 0) || *window != self.info.levels[0].window() || self.has_clear_color {
            return None;
        }
        // Deflate makes few more bytes of what it cannot compress; a palette and the other chunks are small.
        let samples = (window.width + 1).checked_mul(window.height)?.checked_mul(u64::from(self.info.n_bands) * 2)?;
        let max_bytes = samples.checked_mul(2)?.checked_add(64 << 10)?;
        let file = whole::file(&self.reader, max_bytes)?;
        Some(StoredPicture { format: PictureFormat::Png, file })
    }

    fn may_keep(&self, bytes: u64) -> u64 {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.limits.max_index_bytes);
        self.restarts.set_max(bytes);
        self.restarts.most_bytes() as u64 + (KEEP * self.decoder_bytes()) as u64
    }

    fn index_bytes(&self) -> u64 {
        self.restarts.bytes() as u64
    }

    fn metadata_bytes(&self) -> u64 {
        let own = size_of::<Self>() + self.passes.capacity() * size_of::<Pass>() + self.restarts.bytes();
        own as u64 + self.info.memory_bytes()
    }

    fn rest(&self) {
        let kept = std::mem::take(&mut *self.kept.lock());
        drop(kept);
        self.restarts.set_max(0);
        self.reader.rest();
    }

    fn read_blob(&self, name: &str) -> Result<Vec<u8>> {
        let png = read_header(&self.reader, self.limits)?;
        describe::blob(png.info(), name).ok_or_else(|| no_such("block of bytes", name))
    }
}

/// Everything that stands before the picture.
fn read_header(reader: &Arc<dyn ReadAt>, limits: Limits) -> Result<png::Reader<Cursor>> {
    let mut decoder = png::Decoder::new_with_limits(
        Cursor::new(Arc::clone(reader)),
        png::Limits { bytes: limits.max_metadata_bytes },
    );
    decoder.set_transformations(png::Transformations::IDENTITY);
    decoder.read_info().map_err(|e| failed(&e))
}

/// Where the first image data chunk starts. There is one, or the header could not have been read.
fn first_image_data(reader: &Arc<dyn ReadAt>) -> Result<u64> {
    let mut cursor = Cursor::new(Arc::clone(reader));
    let mut offset = 8;
    loop {
        let mut head = [0; 8];
        let read = cursor.seek(SeekFrom::Start(offset)).and_then(|_| cursor.read_exact(&mut head));
        read.map_err(|e| failed(&png::DecodingError::IoError(e)))?;
        let [l3, l2, l1, l0, name @ ..] = head;
        if name == *b"IDAT" {
            return Ok(offset);
        }
        offset = offset.saturating_add(12 + u64::from(u32::from_be_bytes([l3, l2, l1, l0])));
    }
}

fn failed(error: &png::DecodingError) -> Error {
    match error {
        png::DecodingError::IoError(e) => {
            match e.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
                // Our own reader's error, which the decoder only carried.
                Some(ours) => ours.clone(),
                None => Error::corrupt(format!("PNG: {e}")),
            }
        }
        png::DecodingError::LimitsExceeded => Error::limit("PNG: larger than the limits allow"),
        other => Error::corrupt(format!("PNG: {other}")),
    }
}
