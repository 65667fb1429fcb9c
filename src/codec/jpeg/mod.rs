//! JPEG (ITU-T T.81): baseline, extended and progressive Huffman coding, to pixel-interleaved samples of 8 and 12 bits.
//!
//! What the decoder below does not know, 12 bits, two components, components in scans of their own and many sampling
//! factors, [`jpeg_planes`] decodes.
//!
//! What the colours mean is decided here, by the caller's word or by libjpeg's rules, and not by the decoder
//! below: it gets a copy of the stream whose header has no application markers left. The copy also brings
//! TIFF's shared tables and the stream of a block together.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::error::{Error, Result};
use crate::memory::zeroed;

use super::Contexts;
use super::jpeg_planes;
use super::jpeg_scan::{DHT, DQT, DRI, EOI, SOI, SOS, Segment, Segments};
pub(crate) use super::jpeg_scan::{JpegInfo, Parts, info};
pub(crate) use super::jpeg_whole::whole;

/// What the components of a stream mean, and so what becomes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// Components are bands: TIFF blocks that are not YCbCr.
    AsStored,
    /// Three components are YCbCr whatever markers say, and become RGB: TIFF blocks that are YCbCr.
    YcbcrToRgb,
    /// By markers and component identifiers, as libjpeg decides for files: three components become RGB. Four
    /// become CMYK as libjpeg gives it (Adobe's writers store it inverted), or RGB as GDAL makes it of that
    /// when three are asked for.
    Auto,
}

/// What is left to do after the decoder below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Bands,
    Ycbcr,
    Cmyk,
    Ycck,
}

/// Decodes one image to `out`: `width * height` pixels of `n_components` samples, all of them written. They are bytes, and
/// two of them in native order where the stream has more than 8 bits.
///
/// `tables` is TIFF's JPEGTables, a stream without image that defines tables for `stream`.
///
/// # Errors
///
/// As [`info`]. Invalid argument when `out` has another size. Corrupt when the frame is not `width * height`,
/// and when the stream ends before the last pixel or contradicts itself: no pixel is made up.
#[expect(clippy::too_many_arguments, reason = "a block's bytes, what they mean, and where they go")]
pub(crate) fn decode(
    contexts: &mut Contexts,
    tables: Option<&[u8]>,
    stream: &[u8],
    colour: Colour,
    out: &mut [u8],
    width: u32,
    height: u32,
    n_components: usize,
) -> Result<()> {
    let info = info(stream)?;
    if (info.width, info.height) != (width, height) {
        let (w, h) = (info.width, info.height);
        return Err(Error::corrupt(format!("jpeg frame of {w} x {h} pixels, expected {width} x {height}")));
    }
    // Both are below 65536.
    let n_pixels = width as usize * height as usize;
    if out.len() != n_pixels * n_components * info.sample_bytes() {
        let len = out.len();
        return Err(Error::invalid(format!("{len} bytes for {n_pixels} jpeg pixels of {n_components} components")));
    }
    let stored = stored_as(&info, colour);
    let n_stored = usize::from(info.components);
    let to_rgb = is_inks_to_rgb(&info, colour, n_components);
    if n_stored != n_components && !to_rgb {
        return Err(Error::corrupt(format!("jpeg frame with {n_stored} components, expected {n_components}")));
    }
    check_frame(&info)?;
    if is_by_planes(&info) {
        return jpeg_planes::decode(&info, tables, stream, colour, n_components, &mut contexts.samples, out);
    }
    let merged = &mut contexts.jpeg;
    merge(&info, tables, stream, merged)?;
    if to_rgb {
        let mut pixels = zeroed(n_pixels * 4)?;
        decode_merged(merged, &info, stored, &mut pixels)?;
        if stored == Stored::Ycck {
            ycck_to_cmyk(&mut pixels);
        }
        for (rgb, cmyk) in out.as_chunks_mut::<3>().0.iter_mut().zip(pixels.as_chunks::<4>().0) {
            *rgb = [0, 1, 2].map(|band| (u16::from(cmyk[band]) * u16::from(cmyk[3]) / 255) as u8);
        }
        return Ok(());
    }
    decode_merged(merged, &info, stored, out)?;
    if stored == Stored::Ycck {
        ycck_to_cmyk(out);
    }
    Ok(())
}

/// Whether [`jpeg_planes`] decodes what the decoder below does not.
fn is_by_planes(info: &JpegInfo) -> bool {
    // The decoder below mixes up the rows of components whose scans are apart.
    let is_apart = info.scan_components != info.components;
    info.bits > 8 || !info.progressive && (is_apart || info.components == 2 || !is_sampling_read(info))
}

/// Whether the components of a stream are some that [`decode`] decodes.
///
/// # Errors
///
/// Unsupported when they are not: when a sample is that of no whole number of pixels, and when the decoder below does not
/// know the number of components or the sampling factors of a progressive stream.
pub(crate) fn check_frame(info: &JpegInfo) -> Result<()> {
    if info.progressive && info.components == 2 {
        return Err(Error::unsupported("progressive jpeg with 2 components"));
    }
    let is_read = if is_by_planes(info) { info.is_of_whole_pixels() } else { is_sampling_read(info) };
    if is_read { Ok(()) } else { Err(info.factors_not_read()) }
}

/// Bytes that [`decode`] takes beside the pixels, where they grow with these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DecodeBytes {
    /// Of `samples` in [`Contexts`].
    pub(crate) samples: u64,
    /// Of what it has only while it runs.
    pub(crate) others: u64,
}

impl DecodeBytes {
    pub(crate) fn sum(self) -> u64 {
        self.samples.saturating_add(self.others)
    }
}

/// Those of a stream that becomes pixels of `n_components` samples.
pub(crate) fn decode_bytes(info: &JpegInfo, colour: Colour, n_components: usize) -> DecodeBytes {
    if is_by_planes(info) {
        return DecodeBytes { samples: jpeg_planes::sample_bytes(info), others: 0 };
    }
    // The decoder below keeps all coefficients of a progressive stream, which are as large as samples by planes.
    let coefficients = if info.progressive { jpeg_planes::sample_bytes(info) } else { 0 };
    let inks =
        if is_inks_to_rgb(info, colour, n_components) { 4 * u64::from(info.width) * u64::from(info.height) } else { 0 };
    DecodeBytes { samples: 0, others: coefficients + inks }
}

/// Whether four inks are decoded on the way to red, green and blue.
fn is_inks_to_rgb(info: &JpegInfo, colour: Colour, n_components: usize) -> bool {
    info.components == 4 && n_components == 3 && colour == Colour::Auto
}

/// libjpeg's rules (`default_decompress_parms`).
pub(super) fn stored_as(info: &JpegInfo, colour: Colour) -> Stored {
    match (colour, info.components) {
        (Colour::YcbcrToRgb, 3) => Stored::Ycbcr,
        (Colour::Auto, 3) => match (info.jfif, info.adobe_transform) {
            (true, _) => Stored::Ycbcr,
            (false, Some(0)) => Stored::Bands,
            (false, None) if info.component_ids[..3] == *b"RGB" => Stored::Bands,
            (false, _) => Stored::Ycbcr,
        },
        (Colour::Auto, 4) => match info.adobe_transform {
            None | Some(0) => Stored::Cmyk,
            Some(_) => Stored::Ycck,
        },
        _ => Stored::Bands,
    }
}

/// Puts one stream together: the tables of `tables`, then `stream`, without application data and comments.
fn merge(info: &JpegInfo, tables: Option<&[u8]>, stream: &[u8], merged: &mut Vec<u8>) -> Result<()> {
    merged.clear();
    merged.extend_from_slice(&[0xff, SOI]);
    let mut has_huffman = false;
    if let Some(tables) = tables {
        for Segment { marker, range, .. } in Segments::new(tables)? {
            if matches!(marker, DQT | DHT | DRI) {
                merged.extend_from_slice(&tables[range]);
                has_huffman |= marker == DHT;
            }
        }
    }
    for Segment { marker, range, .. } in Segments::new(stream)? {
        has_huffman |= marker == DHT;
        if marker == SOS {
            if !has_huffman {
                // The marker of motion JPEG: the decoder then takes the standard's own tables, as libjpeg does.
                merged.extend_from_slice(b"\xff\xe0\x00\x07AVI1\0");
            }
            return merge_scans(info, stream, range, merged);
        }
        if !matches!(marker, 0xe0..=0xef | 0xfe) {
            let start = merged.len();
            merged.extend_from_slice(&stream[range]);
            // Those of a single component mean nothing, but the decoder below does not take all of them.
            if info.components == 1
                && matches!(marker, 0xc0..=0xc2)
                && let Some(factors) = merged.get_mut(start + 11)
            {
                *factors = 0x11;
            }
        }
    }
    Err(Error::corrupt(format!("jpeg stream of {} bytes has no scan", stream.len())))
}

/// Appends the scans of `stream`, the first header of which is `header`, up to the end of the image.
///
/// The decoder below reads zeros behind a scan that is too short, and so makes up the rest of the image. So
/// scans are lengthened by bits that no Huffman table may use as a code; a sound scan ends before them.
/// Where the decoder must find the next marker right behind the scan that is not done: a first progressive
/// scan.
fn merge_scans(info: &JpegInfo, stream: &[u8], header: Range<usize>, merged: &mut Vec<u8>) -> Result<()> {
    let truncated = || Error::corrupt(format!("jpeg stream of {} bytes breaks off in its scans", stream.len()));
    let (mut segment, mut n_scans) = (header, 0);
    loop {
        let is_scan = stream[segment.start + 1] == SOS;
        let mut at = segment.end;
        merged.extend_from_slice(&stream[segment]);
        let after = at + if is_scan { entropy_len(&stream[at..]) } else { 0 };
        merged.extend_from_slice(&stream[at..after]);
        at = after;
        if is_scan {
            n_scans += 1;
            let whole_image = !info.progressive;
            if whole_image || info.progressive && n_scans > 1 {
                merged.extend_from_slice(&[0xff, 0].repeat(8));
            }
            // Whatever follows, an end of image or none, this scan is all there is to decode.
            if whole_image {
                break;
            }
        }
        // Fill bytes may precede a marker.
        while stream[at..].starts_with(&[0xff, 0xff]) {
            at += 1;
        }
        match stream.get(at..) {
            Some(&[0xff, EOI, ..]) => break,
            Some(&[0xff, _, high, low, ..]) => {
                let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
                if end < at + 4 || end > stream.len() {
                    return Err(truncated());
                }
                segment = at..end;
            }
            _ => return Err(truncated()),
        }
    }
    merged.extend_from_slice(&[0xff, EOI]);
    Ok(())
}

/// How many bytes of `scan` are before its first marker that is neither a restart nor a stuffed zero.
pub(super) fn entropy_len(scan: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&[byte, next]) = scan.get(at..at + 2) {
        match (byte, next) {
            (0xff, 0 | 0xd0..=0xd7) => at += 2,
            (0xff, _) => return at,
            _ => {
                // Eight bytes at a time over what holds no 0xff.
                at += 1;
                while let Some(word) = scan[at..].first_chunk::<8>() {
                    let word = !u64::from_ne_bytes(*word);
                    if word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080 != 0 {
                        break;
                    }
                    at += 8;
                }
            }
        }
    }
    // A last byte without a successor says something only if it is no half of a marker.
    if scan.last() == Some(&0xff) && at < scan.len() { at } else { scan.len() }
}

/// Whether the decoder below puts every component in its place. It takes the first one for that with the most samples, and
/// gives wrong pixels without an error where another has more of them, and for some mixtures where that has 4 x 2. Most
/// other factors of 3 and 4 it takes for damage.
pub(super) fn is_sampling_read(info: &JpegInfo) -> bool {
    let (across, down) = info.sampling[0];
    let mut others = info.sampling[1..].iter().take(usize::from(info.components) - 1);
    matches!((across, down), (1 | 2, 1 | 2) | (4, 1))
        && others.all(|(h, v)| across.is_multiple_of(*h) && down.is_multiple_of(*v))
}

/// Decodes to the components as stored, but for YCbCr to RGB, which the decoder below does fastest.
fn decode_merged(merged: &[u8], info: &JpegInfo, stored: Stored, out: &mut [u8]) -> Result<()> {
    let options = DecoderOptions::default()
        .set_max_width(info.width as usize)
        .set_max_height(info.height as usize)
        .set_strict_mode(true);
    let failed = |error: zune_jpeg::errors::DecodeErrors| {
        let reason = format!("{error:?}").replace('\n', " ");
        Error::corrupt(format!("jpeg stream of {} bytes: {reason}", merged.len()))
    };
    let run = || {
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(merged), options);
        decoder.decode_headers().map_err(failed)?;
        let stored_space = decoder.input_colorspace().unwrap_or(ColorSpace::Unknown);
        let convert_below = stored == Stored::Ycbcr && stored_space == ColorSpace::YCbCr;
        let out_space = if convert_below { ColorSpace::RGB } else { stored_space };
        decoder.set_options(decoder.options().jpeg_set_out_colorspace(out_space));
        match decoder.output_buffer_size() {
            Some(len) if len == out.len() => {}
            _ => return Err(Error::corrupt(format!("jpeg stream does not give {} bytes", out.len()))),
        }
        decoder.decode_into(out).map_err(failed)?;
        if stored == Stored::Ycbcr && !convert_below {
            for pixel in out.as_chunks_mut::<3>().0 {
                *pixel = ycc_bytes_to_rgb(*pixel);
            }
        }
        Ok(())
    };
    // Hostile streams can bring the decoder to a panic; it holds nothing that outlives this call.
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(Error::corrupt(format!("jpeg stream of {} bytes breaks the decoder", merged.len()))))
}

fn ycck_to_cmyk(pixels: &mut [u8]) {
    for pixel in pixels.as_chunks_mut::<4>().0 {
        let [y, cb, cr, k] = *pixel;
        let [r, g, b] = ycc_bytes_to_rgb([y, cb, cr]);
        *pixel = [255 - r, 255 - g, 255 - b, k];
    }
}

/// The conversion of JFIF in libjpeg's fixed point, of samples from 0 to `max`.
#[inline]
pub(super) fn ycc_to_rgb([y, cb, cr]: [u16; 3], max: u32) -> [u16; 3] {
    const HALF: i32 = 1 << 15;
    let (max, zero) = (max as i32, (max / 2 + 1) as i32);
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - zero, i32::from(cr) - zero);
    let r = y + ((91_881 * cr + HALF) >> 16);
    let g = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16);
    let b = y + ((116_130 * cb + HALF) >> 16);
    [r, g, b].map(|value| value.clamp(0, max) as u16)
}

/// That of bytes.
pub(super) fn ycc_bytes_to_rgb(pixel: [u8; 3]) -> [u8; 3] {
    ycc_to_rgb(pixel.map(u16::from), 255).map(|value| value as u8)
}

#[cfg(test)]
mod tests;
