//! PNG: one level in strips of whole rows, decoded as the stream goes.

use crate::block::BlockLayout;
use crate::codec;
use crate::error::{Error, Result};
use crate::grid::BlockId;
use crate::memory::zeroed;
use crate::sample::SampleType;
use crate::sync::{Arc, Mutex};

use super::rows::{self, Cursor};
use super::{
    ColorInterpretation, Limits, MetadataItem, Nodata, ReadAt, ReadContext, SourceInfo, TileSource, check_block,
};

/// A PNG file, samples as stored: palettes are not expanded, and 1, 2 and 4 bits keep their numbers in a byte each.
///
/// The stream is decoded in order. Where the last read stopped is kept, so that going down the picture decodes every
/// row once; going up starts again from the top. An interlaced picture is decoded whole.
pub(super) struct PngSource {
    info: SourceInfo,
    reader: Arc<dyn ReadAt>,
    limits: Limits,
    bits: u32,
    interlaced: bool,
    /// Where the last read stopped. Taken out while it is used, so that no lock is held while decoding.
    stream: Mutex<Option<Stream>>,
}

struct Stream {
    png: png::Reader<Cursor>,
    next_row: u64,
}

impl PngSource {
    pub(super) fn matches(head: &[u8]) -> bool {
        head.starts_with(b"\x89PNG\r\n\x1a\n")
    }

    pub(super) fn open(reader: Arc<dyn ReadAt>, limits: Limits) -> Result<Self> {
        let stream = open_stream(&reader, limits)?;
        let header = stream.png.info();
        let bits = header.bit_depth as u32;
        let sample = if bits == 16 { SampleType::U16 } else { SampleType::U8 };
        let (width, height) = (u64::from(header.width), u64::from(header.height));
        let n_bands = header.color_type.samples() as u32;
        let row_bytes = width * u64::from(n_bands) * sample.bytes() as u64;
        if row_bytes > limits.max_block_bytes as u64 {
            return Err(Error::limit(format!("a row takes {row_bytes} bytes")));
        }
        // Deflate makes at most 1,032 bytes of one.
        let stored = (width * u64::from(n_bands) * u64::from(bits)).div_ceil(8).saturating_mul(height);
        if stored / 1032 > reader.len() {
            let len = reader.len();
            return Err(Error::corrupt(format!("{len} bytes of PNG cannot hold {stored} bytes of pixels")));
        }
        let level = rows::strips(width, height, row_bytes, 1)?;
        let mut info = SourceInfo::new("png", vec![level], n_bands, sample);
        "deflate".clone_into(&mut info.compression);
        info.n_bits = (bits < 8).then_some(bits);
        describe(&mut info, header);
        let interlaced = header.interlaced;
        Ok(Self { info, reader, limits, bits, interlaced, stream: Mutex::new(Some(stream)) })
    }

    fn read_rows(
        &self,
        at: BlockId,
        layout: &BlockLayout,
        out: &mut [u8],
        context: &mut ReadContext<'_>,
    ) -> Result<()> {
        let level = &self.info.levels[0];
        let first = u64::from(at.row) * u64::from(level.block_height);
        let kept = self.stream.lock().take();
        let mut stream = match kept {
            Some(stream) if stream.next_row <= first => stream,
            _ => open_stream(&self.reader, self.limits)?,
        };
        // Strips on the way down are whole only when the stream stands at their top.
        while stream.next_row < first {
            let strip = (stream.next_row / u64::from(level.block_height)) as u32;
            let strip_end = (u64::from(strip) + 1) * u64::from(level.block_height);
            let mut failure = None;
            let whole = stream.next_row.is_multiple_of(u64::from(level.block_height));
            let taken = whole
                && context.offer(BlockId::new(0, 0, strip), &mut |pixels| {
                    let read = self.next_rows(&mut stream, layout.row_stride, pixels);
                    failure = read.as_ref().err().cloned();
                    read
                });
            if let Some(error) = failure {
                return Err(error);
            }
            if !taken {
                let mut row = vec![0; layout.row_stride];
                while stream.next_row < strip_end {
                    self.next_rows(&mut stream, layout.row_stride, &mut row)?;
                }
            }
        }
        self.next_rows(&mut stream, layout.row_stride, out)?;
        let older = self.stream.lock().replace(stream);
        // Not under the lock.
        drop(older);
        Ok(())
    }

    /// Decodes the next rows of the stream into `out`, as many as fit.
    fn next_rows(&self, stream: &mut Stream, row_stride: usize, out: &mut [u8]) -> Result<()> {
        for target in out.chunks_exact_mut(row_stride) {
            let number = stream.next_row;
            let row = stream.png.next_row().map_err(|e| failed(&e).context(format!("row {number}")))?;
            let row = row.ok_or_else(|| Error::corrupt(format!("the picture ends before row {number}")))?;
            self.present(row.data(), target)?;
            stream.next_row += 1;
        }
        Ok(())
    }

    fn read_whole(
        &self,
        at: BlockId,
        layout: &BlockLayout,
        out: &mut [u8],
        context: &mut ReadContext<'_>,
    ) -> Result<()> {
        let mut stream = open_stream(&self.reader, self.limits)?;
        let bytes = stream.png.output_buffer_size().filter(|bytes| *bytes <= self.limits.max_image_bytes);
        let bytes = bytes.ok_or_else(|| {
            Error::limit(format!("an interlaced picture of more than {} bytes", self.limits.max_image_bytes))
        })?;
        let presented = layout.row_stride.saturating_mul(self.info.levels[0].height as usize);
        if presented > self.limits.max_image_bytes {
            return Err(Error::limit(format!("an interlaced picture of {presented} bytes")));
        }
        let mut whole = zeroed(bytes)?;
        let frame = stream.png.next_frame(&mut whole).map_err(|e| failed(&e))?;
        if self.bits < 8 {
            let packed = std::mem::take(&mut whole);
            whole = zeroed(presented)?;
            for (row, target) in packed.chunks_exact(frame.line_size).zip(whole.chunks_exact_mut(layout.row_stride)) {
                codec::bits::unpack(row, self.bits, target.len(), target)?;
            }
        } else if self.bits == 16 && cfg!(target_endian = "little") {
            codec::bytes::swap_in_place(&mut whole, 2);
        }
        rows::deal(&self.info, at, layout, &whole, out, context);
        Ok(())
    }

    /// Stored samples become native ones.
    fn present(&self, row: &[u8], target: &mut [u8]) -> Result<()> {
        if self.bits < 8 {
            return codec::bits::unpack(row, self.bits, target.len(), target);
        }
        if row.len() != target.len() {
            return Err(Error::corrupt(format!("a row of {} bytes instead of {}", row.len(), target.len())));
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
        let layout = check_block(&self.info, at, out)?;
        if self.interlaced {
            self.read_whole(at, &layout, out, context)
        } else {
            self.read_rows(at, &layout, out, context)
        }
    }
}

fn open_stream(reader: &Arc<dyn ReadAt>, limits: Limits) -> Result<Stream> {
    let mut decoder = png::Decoder::new_with_limits(
        Cursor::new(Arc::clone(reader)),
        png::Limits { bytes: limits.max_metadata_bytes },
    );
    decoder.set_transformations(png::Transformations::IDENTITY);
    let png = decoder.read_info().map_err(|e| failed(&e))?;
    Ok(Stream { png, next_row: 0 })
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

fn describe(info: &mut SourceInfo, header: &png::Info<'_>) {
    use ColorInterpretation as C;
    info.colors = match header.color_type {
        png::ColorType::Grayscale => vec![C::Gray],
        png::ColorType::GrayscaleAlpha => vec![C::Gray, C::Alpha],
        png::ColorType::Rgb => vec![C::Red, C::Green, C::Blue],
        png::ColorType::Rgba => vec![C::Red, C::Green, C::Blue, C::Alpha],
        png::ColorType::Indexed => vec![C::Palette],
    };
    let transparent = header.trns.as_deref().unwrap_or_default();
    // The decoder leaves one byte of each of the chunk's numbers, or two when samples have 16 bits.
    let numbers: Vec<u16> = match header.bit_depth {
        png::BitDepth::Sixteen => transparent.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect(),
        _ => transparent.iter().map(|b| u16::from(*b)).collect(),
    };
    match (header.color_type, numbers.as_slice()) {
        (png::ColorType::Indexed, alphas) => {
            let alpha = |i: usize| alphas.get(i).map_or(255, |a| *a as u8);
            let palette = header.palette.as_deref().unwrap_or_default().chunks_exact(3).enumerate();
            info.color_table = Some(palette.map(|(i, c)| [c[0], c[1], c[2], alpha(i)]).collect());
            // One transparent colour alone is an index that means "nothing here".
            let mut clear = alphas.iter().enumerate().filter(|(_, alpha)| **alpha == 0);
            if let (Some((index, _)), None) = (clear.next(), clear.next()) {
                info.nodata = Some(Nodata::Float(index as f64));
            }
        }
        (png::ColorType::Grayscale, [value]) => info.nodata = Some(Nodata::Float(f64::from(*value))),
        (png::ColorType::Rgb, [r, g, b]) => {
            let value = format!("{r} {g} {b}");
            info.metadata.push(MetadataItem { domain: String::new(), key: "NODATA_VALUES".to_owned(), value });
            // A transparent colour is one value for all bands only when it is grey.
            if r == g && g == b {
                info.nodata = Some(Nodata::Float(f64::from(*r)));
            }
        }
        _ => {}
    }
    let latin = header.uncompressed_latin1_text.iter().map(|t| (t.keyword.clone(), Some(t.text.clone())));
    let packed = header.compressed_latin1_text.iter().map(|t| (t.keyword.clone(), t.get_text().ok()));
    let utf8 = header.utf8_text.iter().map(|t| (t.keyword.clone(), t.get_text().ok()));
    for (key, value) in latin.chain(packed).chain(utf8) {
        if let Some(value) = value {
            info.metadata.push(MetadataItem { domain: String::new(), key, value });
        }
    }
}
