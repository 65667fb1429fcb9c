//! A block's stored bytes turned into samples, straight into block memory.

use crate::block::{BlockLayout, Interleave};
use crate::codec::{self, Contexts, Scratch};
use crate::error::{Error, Result};

use super::directory::ByteOrder;
use super::image::{Image, Predictor};
use super::tags::Compression;

/// Decodes the stored bytes in `scratch.bytes` into `out`, all rows that `layout` has memory for.
///
/// `out` must have `layout.bytes` bytes; every one of them is written, or an error is returned. What `scratch.bytes`
/// holds afterwards is unspecified.
pub(super) fn decode(image: &Image, layout: &BlockLayout, scratch: &mut Scratch, out: &mut [u8]) -> Result<()> {
    let Scratch { bytes, decoded, contexts } = scratch;
    if image.storage.compression == Compression::Jpeg {
        return decode_jpeg(image, layout, bytes, contexts, decoded, out);
    }
    if image.storage.fill_order_reversed {
        codec::bytes::reverse_bits(bytes);
    }
    let row_bytes = image.stored_row_bytes().ok_or_else(|| Error::limit("a row of a block is too long"))?;
    if stored_as_presented(image, layout) {
        decompress(image, bytes, contexts, out, row_bytes * layout.height as usize)?;
        return finish_samples(image, out, row_bytes, bytes);
    }
    decoded.clear();
    decoded.resize(row_bytes * (layout.bytes / layout.row_stride), 0);
    decompress(image, bytes, contexts, decoded, row_bytes * layout.height as usize)?;
    finish_samples(image, decoded, row_bytes, bytes)?;
    widen(image, layout, decoded, row_bytes, out)
}

/// Whether stored samples are as wide as presented ones, so that they can be decoded in place.
pub(super) fn stored_as_presented(image: &Image, layout: &BlockLayout) -> bool {
    image.storage.bits as usize == image.sample.bytes() * 8 && image.stored_row_bytes() == Some(layout.row_stride)
}

/// Undoes the compression. Data for the first `needed` bytes must be there; some writers leave out the rows of a tile
/// that lie below the image, which are then zeros.
fn decompress(image: &Image, input: &[u8], contexts: &mut Contexts, out: &mut [u8], needed: usize) -> Result<()> {
    let compression = image.storage.compression;
    let written = match compression {
        Compression::None => {
            let n = input.len().min(out.len());
            out[..n].copy_from_slice(&input[..n]);
            n
        }
        Compression::Lzw => codec::lzw::decode(input, out)?,
        Compression::Deflate => codec::deflate::decode_zlib(contexts, input, out)?,
        Compression::PackBits => codec::packbits::decode(input, out),
        Compression::Zstd => codec::zstd::decode(contexts, input, out)?,
        Compression::Jpeg => return Err(Error::internal("JPEG is decoded elsewhere")),
    };
    if written < needed {
        return Err(Error::corrupt(format!(
            "{} bytes of {} data decode to {written} bytes instead of {needed}",
            input.len(),
            compression.name()
        )));
    }
    out[written..].fill(0);
    Ok(())
}

/// Byte order and predictor, in place. `spare` is overwritten.
fn finish_samples(image: &Image, samples: &mut [u8], row_bytes: usize, spare: &mut Vec<u8>) -> Result<()> {
    let sample_bytes = (image.storage.bits / 8) as usize;
    let per_pixel = if image.interleave == Interleave::Band { 1 } else { image.n_bands as usize };
    match image.storage.predictor {
        Predictor::Float => codec::predictor::undo_float(samples, row_bytes, per_pixel, sample_bytes, spare),
        Predictor::None => {
            finish_order(image, samples);
            Ok(())
        }
        Predictor::Horizontal => {
            finish_order(image, samples);
            codec::predictor::undo_horizontal(samples, row_bytes, per_pixel, sample_bytes)
        }
    }
}

/// Native byte order for samples of whole bytes; those of 24 bits are turned round when they are widened.
pub(super) fn finish_order(image: &Image, samples: &mut [u8]) {
    if !image.storage.order.is_native() && image.storage.bits % 8 == 0 && image.storage.bits != 24 {
        let parts = if image.sample.is_complex() { 2 } else { 1 };
        codec::bytes::swap_in_place(samples, image.storage.bits as usize / 8 / parts);
    }
}

/// Samples of other widths become the type they are presented as.
fn widen(image: &Image, layout: &BlockLayout, stored: &[u8], row_bytes: usize, out: &mut [u8]) -> Result<()> {
    let n_samples = layout.row_stride / image.sample.bytes();
    let bits = image.storage.bits;
    let big = image.storage.order == ByteOrder::Big;
    for (row, target) in stored.chunks_exact(row_bytes).zip(out.chunks_exact_mut(layout.row_stride)) {
        match (bits, image.storage.float) {
            // The predictor leaves native order behind.
            (16, true) => codec::bits::widen_f16(row, target),
            (24, true) => {
                let native = image.storage.predictor == Predictor::Float;
                codec::bits::widen_f24(row, if native { cfg!(target_endian = "big") } else { big }, target);
            }
            (24, false) => codec::bits::widen_u24(row, big, target),
            _ => codec::bits::unpack(row, bits, n_samples, target)?,
        }
    }
    Ok(())
}

fn decode_jpeg(
    image: &Image,
    layout: &BlockLayout,
    stream: &[u8],
    contexts: &mut Contexts,
    whole: &mut Vec<u8>,
    out: &mut [u8],
) -> Result<()> {
    let components = if image.interleave == Interleave::Band { 1 } else { image.n_bands as usize };
    let colour = if image.storage.jpeg_ycbcr { codec::jpeg::Colour::YcbcrToRgb } else { codec::jpeg::Colour::AsStored };
    let tables = image.storage.jpeg_tables.as_deref();
    let info = codec::jpeg::info(stream)?;
    let width = image.level.block_width;
    let rows = (layout.bytes / layout.row_stride) as u32;
    if info.width != width || info.height < rows || info.height > image.level.block_height.max(rows) {
        return Err(Error::corrupt(format!(
            "a JPEG stream of {}x{} pixels in a block of {width}x{rows}",
            info.width, info.height
        )));
    }
    if info.height == rows {
        return codec::jpeg::decode(contexts, tables, stream, colour, out, width, rows, components);
    }
    // The last strip of some files is stored whole.
    whole.clear();
    whole.resize(layout.row_stride * info.height as usize, 0);
    codec::jpeg::decode(contexts, tables, stream, colour, whole, width, info.height, components)?;
    out.copy_from_slice(&whole[..out.len()]);
    Ok(())
}
