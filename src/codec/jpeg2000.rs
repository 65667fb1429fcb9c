//! JPEG 2000 (ITU-T T.800) as TIFF stores it: one picture a block, a codestream alone or in its container, unsigned
//! samples of up to 16 bits.
//!
//! The decoder takes memory for every tile, precinct and component that headers speak of. So those are walked over first
//! ([`Codestream`]), and what is out of proportion to the block or to the stream's length is refused. The walk also makes
//! sure that there is a part of every tile: the decoder leaves zeros where there is none.

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use crate::error::{Error, Result};

use super::guard::guarded;
use super::jpeg::ycc_bytes_to_rgb;

/// What a block is to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) width: u32,
    pub(crate) n_bands: usize,
    /// Bytes of a sample: 1 or 2.
    pub(crate) sample_bytes: usize,
    /// Whether the three components of a codestream are YCbCr whatever it says, and become RGB; of 8 bits then.
    pub(crate) ycbcr: bool,
}

/// Decodes the picture at the start of `input` to the start of `out`, pixel-interleaved in native byte order, and returns
/// how many bytes it wrote: whole rows, fewer than `out` holds where the picture has fewer.
///
/// # Errors
///
/// Corrupt when the stream is broken, breaks off, or holds something else than a block. Unsupported for signed samples,
/// those of other widths, and precincts of less than 256 samples.
pub(crate) fn decode(input: &[u8], expected: Expected, out: &mut [u8]) -> Result<usize> {
    guarded("jpeg 2000 stream", input.len(), || run(input, expected, out))
}

fn run(input: &[u8], expected: Expected, out: &mut [u8]) -> Result<usize> {
    let broken = |reason: String| Error::corrupt(format!("jpeg 2000 stream of {} bytes: {reason}", input.len()));
    let pixel_bytes = expected.n_bands * expected.sample_bytes;
    let row_bytes = pixel_bytes * expected.width as usize;
    let n_rows = out.len().checked_div(row_bytes).unwrap_or(0);
    let stream = codestream(input).ok_or_else(|| broken("no codestream".to_owned()))?;
    let header = Codestream::read(stream)?;
    let (width, height) = (header.width, header.height);
    if width != expected.width || height as usize > n_rows {
        let w = expected.width;
        return Err(broken(format!("{width} x {height} pixels, expected {w} x {n_rows}")));
    }
    let n_components = header.components.len();
    if n_components != expected.n_bands {
        return Err(broken(format!("{n_components} components, expected {}", expected.n_bands)));
    }
    header.check(8 * expected.sample_bytes as u32)?;
    let settings = DecodeSettings { resolve_palette_indices: false, strict: true, target_resolution: None };
    let failed = |error| broken(format!("{error:?}"));
    let image = Image::new(input, &settings).map_err(failed)?;
    if (image.width(), image.height()) != (width, height) {
        return Err(broken(format!("{} x {} pixels behind {width} x {height}", image.width(), image.height())));
    }
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(failed)?;
    let planes = decoded.components();
    let n_pixels = width as usize * height as usize;
    if planes.len() != n_components || planes.iter().any(|plane| plane.samples().len() != n_pixels) {
        return Err(broken(format!("{} components that are no picture", planes.len())));
    }
    let out = &mut out[..n_pixels * pixel_bytes];
    for (band, (plane, component)) in planes.iter().zip(&header.components).enumerate() {
        let most = ((1_u32 << component.bits) - 1) as f32;
        let values = plane.samples().iter().map(|value| value.round().clamp(0.0, most) as u16);
        let samples = out.chunks_exact_mut(pixel_bytes);
        if expected.sample_bytes == 1 {
            samples.zip(values).for_each(|(pixel, value)| pixel[band] = value as u8);
        } else {
            samples.zip(values).for_each(|(pixel, value)| {
                pixel[2 * band..2 * band + 2].copy_from_slice(&value.to_ne_bytes());
            });
        }
    }
    // The decoder takes chroma of its own resolution, and what a container calls YCbCr, for that, and has made RGB of it.
    if expected.ycbcr && stream.len() == input.len() && !header.shares_chroma() {
        for pixel in out.as_chunks_mut::<3>().0 {
            *pixel = ycc_bytes_to_rgb(*pixel);
        }
    }
    Ok(out.len())
}

const SIGNATURE: &[u8] = b"\0\0\0\x0CjP  ";

/// The codestream of a picture: all of it, or that of the container.
fn codestream(input: &[u8]) -> Option<&[u8]> {
    if !input.starts_with(SIGNATURE) {
        return input.starts_with(&[0xff, 0x4f, 0xff, 0x51]).then_some(input);
    }
    let mut rest = input;
    loop {
        let len = u32_at(rest, 0)? as usize;
        let (head, len) = match len {
            0 => (8, rest.len()),
            1 => (16, usize::try_from(u64::from(u32_at(rest, 8)?) << 32 | u64::from(u32_at(rest, 12)?)).ok()?),
            _ => (8, len),
        };
        let body = rest.get(head..len)?;
        if &rest[4..8] == b"jp2c" {
            return Some(body);
        }
        rest = &rest[len..];
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

const COD: u16 = 0xff52;
const COC: u16 = 0xff53;
const SOT: u16 = 0xff90;
const SOD: u16 = 0xff93;
const EOC: u16 = 0xffd9;

/// The smallest part of a tile: its header and the marker that ends it.
const TILE_PART: usize = 14;

/// Samples of the smallest precinct that is read, as a power of two. Each takes some 300 bytes to decode.
const PRECINCT_BITS: u8 = 8;

struct Component {
    bits: u32,
    signed: bool,
    /// Pixels of the reference grid for a sample.
    spacing: (u8, u8),
}

/// What the headers of a codestream say (T.800, annex A).
struct Codestream {
    width: u32,
    height: u32,
    components: Vec<Component>,
}

impl Codestream {
    fn read(stream: &[u8]) -> Result<Self> {
        let broken =
            || Error::corrupt(format!("jpeg 2000 codestream of {} bytes: its headers are broken", stream.len()));
        let (header, n_tiles) = Self::size(stream).ok_or_else(broken)?;
        if n_tiles > (stream.len() / TILE_PART) as u64 {
            let len = stream.len();
            return Err(Error::corrupt(format!("jpeg 2000 codestream of {len} bytes for {n_tiles} tiles")));
        }
        let mut is_there = vec![false; n_tiles as usize];
        header.walk(stream, &mut is_there)?.ok_or_else(broken)?;
        match is_there.iter().position(|there| !there) {
            Some(tile) => Err(Error::corrupt(format!("jpeg 2000 codestream without tile {tile} of {n_tiles}"))),
            None => Ok(header),
        }
    }

    /// The picture's size and components, and its number of tiles.
    fn size(stream: &[u8]) -> Option<(Self, u64)> {
        let len = usize::from(u16_at(stream, 4)?);
        let body = stream.get(6..4 + len)?;
        let pair = |at: usize| Some((u32_at(body, at)?, u32_at(body, at + 4)?));
        let (end, start, tile, first) = (pair(2)?, pair(10)?, pair(18)?, pair(26)?);
        let (width, height) = (end.0.checked_sub(start.0)?, end.1.checked_sub(start.1)?);
        let across = end.0.checked_sub(first.0)?.div_ceil(tile.0.max(1));
        let down = end.1.checked_sub(first.1)?.div_ceil(tile.1.max(1));
        let n = usize::from(u16_at(body, 34)?);
        let components = body.get(36..36 + 3 * n)?.as_chunks::<3>().0;
        let components = components.iter().map(|[size, x, y]| Component {
            bits: u32::from(size & 0x7f) + 1,
            signed: size & 0x80 != 0,
            spacing: (*x, *y),
        });
        let header = Self { width, height, components: components.collect() };
        Some((header, u64::from(across) * u64::from(down)))
    }

    /// Goes over all headers and notes of which tiles there are parts. `None` where they are broken.
    fn walk(&self, stream: &[u8], is_there: &mut [bool]) -> Result<Option<()>> {
        let mut at = 2;
        // Where the part of a tile ends that `at` is in the header of.
        let mut part_end = stream.len();
        loop {
            let Some(marker) = u16_at(stream, at) else { return Ok(None) };
            match marker {
                EOC => return Ok(Some(())),
                SOD => {
                    at = part_end;
                    // Whether anything is missing behind the last part is for the decoder to say.
                    if at >= stream.len() {
                        return Ok(Some(()));
                    }
                    continue;
                }
                // Markers without a segment.
                0xff30..=0xff3f => {
                    at += 2;
                    continue;
                }
                _ => {}
            }
            let Some(len) = u16_at(stream, at + 2).filter(|len| *len >= 2) else { return Ok(None) };
            let Some(body) = stream.get(at + 4..at + 2 + usize::from(len)) else { return Ok(None) };
            match marker {
                SOT => {
                    let (Some(tile), Some(len)) = (u16_at(body, 0), u32_at(body, 2)) else { return Ok(None) };
                    part_end = if len == 0 { stream.len() } else { at.saturating_add(len as usize) };
                    let Some(there) = is_there.get_mut(usize::from(tile)) else { return Ok(None) };
                    if part_end < at + TILE_PART || part_end > stream.len() {
                        return Ok(None);
                    }
                    *there = true;
                }
                COD => precincts(body, 0, 10)?,
                // Behind the number of a component.
                COC if self.components.len() < 257 => precincts(body, 1, 7)?,
                COC => precincts(body, 2, 8)?,
                _ => {}
            }
            at += 2 + usize::from(len);
        }
    }

    /// Whether its samples are such as are read, and fit into `max_bits`.
    fn check(&self, max_bits: u32) -> Result<()> {
        let is_full = |component: &Component| component.spacing == (1, 1);
        for (at, Component { bits, signed, spacing: (x, y) }) in self.components.iter().enumerate() {
            let has_place = self.components.iter().all(is_full) || self.shares_chroma() && is_full(&self.components[0]);
            if *signed || *bits > max_bits || !has_place {
                let sign = if *signed { "signed" } else { "unsigned" };
                return Err(Error::unsupported(format!(
                    "jpeg 2000 component {at} of {bits} bits, {sign}, one sample for {x} x {y} pixels"
                )));
            }
        }
        Ok(())
    }

    /// Whether the second and third of three components have fewer samples than the first.
    fn shares_chroma(&self) -> bool {
        let [y, cb, cr] = &self.components[..] else { return false };
        let has_fewer = cb.spacing.0 >= y.spacing.0 && cb.spacing.1 >= y.spacing.1;
        cb.spacing == cr.spacing && cb.spacing != y.spacing && has_fewer
    }
}

/// Refuses precincts that are too small. `style` is where a segment says whether it states their sizes, and `start` where
/// it does.
fn precincts(body: &[u8], style: usize, start: usize) -> Result<()> {
    if body.get(style).is_none_or(|style| style & 1 == 0) {
        return Ok(());
    }
    match body.iter().skip(start).find(|size| (*size & 15) + (*size >> 4) < PRECINCT_BITS) {
        Some(size) => {
            let (x, y) = (1_u32 << (size & 15), 1_u32 << (size >> 4));
            Err(Error::unsupported(format!("jpeg 2000 precincts of {x} x {y} samples")))
        }
        None => Ok(()),
    }
}
