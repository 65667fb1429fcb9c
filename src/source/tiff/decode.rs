//! A block's stored bytes turned into samples, straight into block memory.

use crate::block::{BlockLayout, Interleave};
use crate::codec::{self, Scratch};
use crate::error::{Error, Result};
use crate::source::Limits;
use crate::source::jpeg::check_whole;
use crate::source::scratch::Counted;

use super::decompress::decompress;
use super::directory::ByteOrder;
use super::image::Image;
use super::storage::{Predictor, Ycbcr};
use super::tags::Compression;

/// Decodes the stored bytes of a block into `out`, all rows that `layout` has memory for. The bytes are those that are
/// `lent`, otherwise those in `scratch.bytes`.
///
/// `out` must have `layout.bytes` bytes; every one of them is written, or an error is returned. What `scratch.bytes`
/// holds afterwards is unspecified.
pub(super) fn decode(
    image: &Image,
    layout: &BlockLayout,
    mut lent: Option<&[u8]>,
    counted: &mut Counted,
    limits: Limits,
    out: &mut [u8],
) -> Result<()> {
    if image.storage.compression == Compression::Jpeg {
        return decode_jpeg(image, layout, lent, counted, limits, out);
    }
    let Scratch { bytes, decoded, spare, contexts } = &mut counted.scratch;
    if image.storage.fill_order_reversed && !image.storage.compression.is_picture() {
        if let Some(lent) = lent.take() {
            bytes.clear();
            bytes.extend_from_slice(lent);
        }
        codec::bytes::reverse_bits(bytes);
    }
    let input = lent.unwrap_or(bytes);
    let rows = |rows: &mut [u8], needed| decompress(image, input, contexts, rows, needed);
    present(image, layout, decoded, spare, out, rows)
}

/// Makes the samples of a block of its stored rows, which `rows` puts into memory; what they need at least is the number
/// that it gets.
pub(super) fn present(
    image: &Image,
    layout: &BlockLayout,
    decoded: &mut Vec<u8>,
    spare: &mut Vec<u8>,
    out: &mut [u8],
    rows: impl FnOnce(&mut [u8], usize) -> Result<()>,
) -> Result<()> {
    let row_bytes = image.stored_row_bytes().ok_or_else(|| Error::limit("a row of a block is too long"))?;
    let bytes = |n_rows: usize| image.stored_bytes(n_rows).ok_or_else(|| Error::limit("a block is too large"));
    let needed = bytes(layout.height as usize)?;
    if image.storage.ycbcr.is_none() && stored_as_presented(image, layout) {
        rows(out, needed)?;
        return finish_samples(image, out, row_bytes, spare);
    }
    decoded.clear();
    decoded.resize(bytes(layout.bytes / layout.row_stride)?, 0);
    rows(decoded, needed)?;
    finish_samples(image, decoded, row_bytes, spare)?;
    match &image.storage.ycbcr {
        Some(Ycbcr { subsampling, conversion }) => {
            codec::ycbcr::to_rgb(conversion, *subsampling, decoded, image.level.block_width as usize, out)
        }
        None => widen(image, layout, decoded, row_bytes, out),
    }
}

/// Whether stored samples are as wide as presented ones, so that they can be decoded in place.
pub(super) fn stored_as_presented(image: &Image, layout: &BlockLayout) -> bool {
    image.storage.ycbcr.is_none()
        && image.storage.bits as usize == image.sample.bytes() * 8
        && image.stored_row_bytes() == Some(layout.row_stride)
}

/// Whether the stored bytes are the block's, but for the [order](is_turned) of bytes in a sample.
pub(super) fn stored_in_place(image: &Image, layout: &BlockLayout) -> bool {
    image.storage.compression == Compression::None
        && !image.storage.fill_order_reversed
        && stored_as_presented(image, layout)
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
    if is_turned(image) && image.storage.bits != 24 {
        codec::bytes::swap_in_place(samples, part_bytes(image));
    }
}

/// Whether samples of whole bytes are stored in the other order than the machine's.
pub(super) fn is_turned(image: &Image) -> bool {
    !image.storage.order.is_native()
        && !image.storage.compression.is_picture()
        && image.storage.bits.is_multiple_of(8)
        && part_bytes(image) > 1
}

/// Bytes of a stored number: half of a complex sample, of which the predictor makes one number, as libtiff does.
fn part_bytes(image: &Image) -> usize {
    let is_split = image.sample.is_complex() && image.storage.predictor != Predictor::Horizontal;
    let parts = if is_split { 2 } else { 1 };
    image.storage.bits as usize / 8 / parts
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
            _ => codec::bits::unpack(row, bits, n_samples, target)?,
        }
    }
    Ok(())
}

/// Whether a JPEG stream has the samples that its image should have.
pub(super) fn check_bits(image: &Image, info: &codec::jpeg::JpegInfo) -> Result<()> {
    if u32::from(info.bits) != image.storage.bits {
        return Err(Error::corrupt(format!(
            "a JPEG stream with samples of {} bits in blocks of {} bits",
            info.bits, image.storage.bits
        )));
    }
    Ok(())
}

fn decode_jpeg(
    image: &Image,
    layout: &BlockLayout,
    lent: Option<&[u8]>,
    counted: &mut Counted,
    limits: Limits,
    out: &mut [u8],
) -> Result<()> {
    let components = if image.interleave == Interleave::Band { 1 } else { image.n_bands as usize };
    let colour = if image.storage.jpeg_ycbcr { codec::jpeg::Colour::YcbcrToRgb } else { codec::jpeg::Colour::AsStored };
    let tables = image.storage.jpeg_tables.as_deref();
    let info = codec::jpeg::info(lent.unwrap_or(&counted.scratch.bytes))?;
    let width = image.level.block_width;
    let rows = (layout.bytes / layout.row_stride) as u32;
    if info.width != width || info.height < rows || info.height > image.level.block_height.max(rows) {
        return Err(Error::corrupt(format!(
            "a JPEG stream of {}x{} pixels in a block of {width}x{rows}",
            info.width, info.height
        )));
    }
    check_bits(image, &info)?;
    let more = codec::jpeg::decode_bytes(&info, colour, components);
    if more.sum() > 0 {
        let pixels = layout.row_stride as u64 * u64::from(info.height);
        check_whole("JPEG block", pixels, more, limits)?;
        counted.count_decoding(more);
    }
    let Scratch { bytes, decoded: whole, contexts, .. } = &mut counted.scratch;
    let stream = lent.unwrap_or(bytes);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tags::*;
    use super::super::{TiffSource, TileSource};
    use crate::error::{ErrorKind, Result};
    use crate::grid::BlockId;
    use crate::source::{ColorInterpretation, Limits, ReadContext};
    use crate::sync::Arc;

    /// Tags and their values.
    type Tags<'a> = &'a [(u16, &'a [u32])];

    /// An uncompressed TIFF of 5x5 YCbCr pixels with these tags besides the usual ones, or instead of them.
    fn ycbcr_file(more: Tags<'_>, blocks: &[Vec<u8>]) -> Vec<u8> {
        let lens: Vec<u32> = blocks.iter().map(|block| block.len() as u32).collect();
        let mut tags: BTreeMap<u16, Vec<u32>> = [
            (IMAGE_WIDTH, vec![5]),
            (IMAGE_LENGTH, vec![5]),
            (BITS_PER_SAMPLE, vec![8, 8, 8]),
            (PHOTOMETRIC, vec![PHOTOMETRIC_YCBCR as u32]),
            (SAMPLES_PER_PIXEL, vec![3]),
            (STRIP_BYTE_COUNTS, lens.clone()),
            (STRIP_OFFSETS, vec![0; blocks.len()]),
        ]
        .into();
        tags.extend(more.iter().map(|(tag, values)| (*tag, values.to_vec())));
        let values_at = 8 + 2 + 12 * tags.len() as u32 + 4;
        let n_values: u32 = tags.values().map(|values| values.len() as u32).filter(|n| *n > 1).sum();
        let mut at = values_at + 4 * n_values;
        for (offset, len) in tags.get_mut(&STRIP_OFFSETS).unwrap().iter_mut().zip(lens) {
            *offset = at;
            at += len;
        }
        let mut file = b"II*\0\x08\0\0\0".to_vec();
        file.extend((tags.len() as u16).to_le_bytes());
        let mut behind = Vec::new();
        for (tag, values) in tags {
            const LONG: u16 = 4;
            file.extend([tag, LONG].map(u16::to_le_bytes).concat());
            file.extend((values.len() as u32).to_le_bytes());
            let bytes = values.iter().flat_map(|value| value.to_le_bytes());
            if values.len() == 1 {
                file.extend(bytes);
            } else {
                file.extend((values_at + behind.len() as u32).to_le_bytes());
                behind.extend(bytes);
            }
        }
        file.extend([0; 4]);
        file.extend(behind);
        file.extend(blocks.concat());
        file
    }

    fn open(file: Vec<u8>) -> Result<TiffSource> {
        TiffSource::open(Arc::new(file), 0, Limits::default())
    }

    fn read(source: &TiffSource, row: u32) -> Result<Vec<u8>> {
        let at = BlockId::new(0, 0, row);
        let mut out = vec![0xa5; source.info().block_layout(at)?.bytes];
        source.read_block(at, &mut out, &mut ReadContext::default())?;
        Ok(out)
    }

    /// Units of pixels without colour whose luma is `10 * y + x`, `first_row` and the rows behind it.
    fn units((h, v): (u32, u32), first_row: u32, n_rows: u32, width: u32) -> Vec<u8> {
        let unit = |x0: u32, y0: u32| {
            let pixels = (0..h * v).map(move |i| (10 * (y0 + i / h) + x0 + i % h) as u8);
            pixels.chain([128, 128])
        };
        let rows = (0..n_rows.div_ceil(v)).map(|row| first_row + row * v);
        rows.flat_map(|y| (0..width.div_ceil(h)).flat_map(move |col| unit(col * h, y))).collect()
    }

    #[test]
    fn pixels_that_share_chroma_are_rgb_in_strips_and_in_tiles() {
        for shared in [(1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4)] {
            let subsampling = (YCBCR_SUBSAMPLING, &[shared.0, shared.1][..]);
            let strips = [units(shared, 0, 3, 5), units(shared, 3, 2, 5)];
            let strips = open(ycbcr_file(&[subsampling, (ROWS_PER_STRIP, &[3])], &strips)).unwrap();
            let tile = [units(shared, 0, 16, 16)];
            let tile = open(ycbcr_file(&[subsampling, (TILE_WIDTH, &[16]), (TILE_LENGTH, &[16])], &tile)).unwrap();
            for (source, row, first_row, n_rows, width) in
                [(&strips, 0, 0, 3, 5), (&strips, 1, 3, 2, 5), (&tile, 0, 0, 16, 16)]
            {
                let pixel = |y: u32, x: u32| [(10 * y + x) as u8; 3];
                let rows = first_row..first_row + n_rows;
                let expected: Vec<u8> = rows.flat_map(|y| (0..width).flat_map(move |x| pixel(y, x))).collect();
                assert_eq!(read(source, row).unwrap(), expected, "{shared:?}, {n_rows} rows of {width}");
            }
            use ColorInterpretation::{Blue, Green, Red};
            assert_eq!(strips.info().colors, [Red, Green, Blue]);
        }
    }

    #[test]
    fn a_predictor_is_undone_before_colours_are_converted() {
        // Deflate: one stored block.
        let differences = [[10, 128, 128], [1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]].concat().repeat(5);
        let mut stream = vec![0x78, 0x01, 0x01];
        stream.extend([75_u16, !75].map(u16::to_le_bytes).concat());
        stream.extend(&differences);
        let (a, b) = differences.iter().fold((1, 0), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65_521;
            (a, (b + a) % 65_521)
        });
        stream.extend((b << 16 | a).to_be_bytes());
        let more: [(u16, &[u32]); 3] = [(YCBCR_SUBSAMPLING, &[1, 1]), (COMPRESSION, &[8]), (PREDICTOR, &[2])];
        let source = open(ycbcr_file(&more, &[stream])).unwrap();
        let row: Vec<u8> = (10..15).flat_map(|y| [y; 3]).collect();
        assert_eq!(read(&source, 0).unwrap(), row.repeat(5));
    }

    #[test]
    fn ycbcr_that_is_not_read_is_refused_with_tag_and_value() {
        let cases: [(Tags<'_>, ErrorKind, &str); 8] = [
            (&[(YCBCR_SUBSAMPLING, &[2, 4])], ErrorKind::Unsupported, "(tag 530) [2, 4]"),
            (&[(YCBCR_SUBSAMPLING, &[3, 3])], ErrorKind::Corrupt, "(tag 530) [3, 3]"),
            (&[(YCBCR_SUBSAMPLING, &[2])], ErrorKind::Corrupt, "(tag 530) has 1 values"),
            (&[(COMPRESSION, &[5]), (PREDICTOR, &[2])], ErrorKind::Unsupported, "(tag 317) 2"),
            (&[(PLANAR_CONFIGURATION, &[2])], ErrorKind::Unsupported, "(tag 284) 2"),
            (&[(SAMPLES_PER_PIXEL, &[4])], ErrorKind::Unsupported, "(tag 277) 4"),
            (&[(BITS_PER_SAMPLE, &[16])], ErrorKind::Unsupported, "16 bits"),
            (&[(YCBCR_COEFFICIENTS, &[1, 0, 1])], ErrorKind::Corrupt, "(tag 529)"),
        ];
        for (more, kind, text) in cases {
            let error = open(ycbcr_file(more, &[vec![0; 54], vec![0; 54], vec![0; 54]])).err().unwrap();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.message().contains(text), "{error}");
        }
    }

    #[test]
    fn a_block_with_too_few_units_is_corrupt() {
        let mut block = [units((2, 2), 0, 5, 5)];
        assert!(read(&open(ycbcr_file(&[], &block)).unwrap(), 0).is_ok());
        block[0].pop();
        let error = read(&open(ycbcr_file(&[], &block)).unwrap(), 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}
