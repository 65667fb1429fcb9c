//! WebP, lossy and lossless, as TIFF compression 50001 stores it: one picture a block, RGB or RGBA of 8 bits.
//!
//! The reference library decodes lossy pictures more than twice as fast as the decoder in Rust, which is there for builds
//! without C and as a check on the other.
#![cfg_attr(feature = "libwebp", expect(unsafe_code, reason = "the reference library is in C"))]

use crate::error::{Error, Result};

/// Decodes a picture of `width` pixels across to the start of `out`, in pixels of `n_bands` bytes (3, or 4 with alpha),
/// and returns how many bytes it wrote: whole rows, fewer than `out` holds where the picture has fewer. A picture without
/// alpha is opaque.
///
/// # Errors
///
/// Corrupt when the stream is broken, breaks off or has another size. Unsupported for other numbers of bands.
pub(crate) fn decode(input: &[u8], width: u32, n_bands: usize, out: &mut [u8]) -> Result<usize> {
    if !matches!(n_bands, 3 | 4) {
        return Err(Error::unsupported(format!("webp with {n_bands} samples a pixel")));
    }
    #[cfg(feature = "libwebp")]
    return with_c(input, width, n_bands, out);
    #[cfg(not(feature = "libwebp"))]
    return with_rust(input, width, n_bands, out);
}

/// The bytes of a picture of this size, if it is one that a block of `out` may hold.
fn picture_bytes(input: &[u8], (w, h): (u32, u32), width: u32, n_bands: usize, out: &[u8]) -> Result<usize> {
    let row_bytes = width as usize * n_bands;
    let n_rows = out.len().checked_div(row_bytes).unwrap_or(0);
    if w != width || h as usize > n_rows {
        let len = input.len();
        return Err(Error::corrupt(format!(
            "webp stream of {len} bytes: {w} x {h} pixels, expected {width} x {n_rows}"
        )));
    }
    Ok(row_bytes * h as usize)
}

#[cfg(feature = "libwebp")]
fn with_c(input: &[u8], width: u32, n_bands: usize, out: &mut [u8]) -> Result<usize> {
    use libwebp_sys::{WebPDecodeRGBAInto, WebPDecodeRGBInto, WebPGetInfo};
    let (mut w, mut h) = (0, 0);
    // SAFETY: `input` has as many bytes as it says, and the two numbers live for the call.
    let is_webp = unsafe { WebPGetInfo(input.as_ptr(), input.len(), &raw mut w, &raw mut h) } != 0;
    let size = (u32::try_from(w).unwrap_or(0), u32::try_from(h).unwrap_or(0));
    if !is_webp {
        return Err(broken(input));
    }
    let bytes = picture_bytes(input, size, width, n_bands, out)?;
    let out = &mut out[..bytes];
    let stride = i32::try_from(width as usize * n_bands).map_err(|_| broken(input))?;
    let decode = if n_bands == 4 { WebPDecodeRGBAInto } else { WebPDecodeRGBInto };
    // SAFETY: `input` and `out` have as many bytes as they say and do not overlap; rows are `stride` apart. The function
    // writes nothing behind the length that it is given, whatever the stream turns out to hold.
    let end = unsafe { decode(input.as_ptr(), input.len(), out.as_mut_ptr(), out.len(), stride) };
    if end.is_null() { Err(broken(input)) } else { Ok(bytes) }
}

#[cfg(any(test, not(feature = "libwebp")))]
fn with_rust(input: &[u8], width: u32, n_bands: usize, out: &mut [u8]) -> Result<usize> {
    super::guard::guarded("webp stream", input.len(), || {
        let mut decoder = image_webp::WebPDecoder::new(std::io::Cursor::new(input)).map_err(|_| broken(input))?;
        let bytes = picture_bytes(input, decoder.dimensions(), width, n_bands, out)?;
        let out = &mut out[..bytes];
        let n_stored = if decoder.has_alpha() { 4 } else { 3 };
        if n_stored == n_bands {
            decoder.read_image(out).map_err(|_| broken(input))?;
            return Ok(bytes);
        }
        let mut pixels = vec![0; bytes / n_bands * n_stored];
        decoder.read_image(&mut pixels).map_err(|_| broken(input))?;
        for (target, pixel) in out.chunks_exact_mut(n_bands).zip(pixels.chunks_exact(n_stored)) {
            target[..3].copy_from_slice(&pixel[..3]);
            target[3..].fill(255);
        }
        Ok(bytes)
    })
}

/// What a stored picture is, as its headers say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WholeWebP {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) has_alpha: bool,
    /// Bytes of the file; what is behind them belongs to nobody.
    pub(crate) len: usize,
}

/// Looks over the chunks of a WebP file, without decoding. `None` where one is not all there, and for files with more than
/// a picture in them: animations, orientations, colour profiles, words.
pub(crate) fn whole(input: &[u8]) -> Option<WholeWebP> {
    let number = |bytes: &[u8], at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?) as usize);
    if !input.starts_with(b"RIFF") || input.get(8..12)? != b"WEBP" {
        return None;
    }
    let len = number(input, 4)?.checked_add(8)?;
    let mut rest = input.get(12..len)?;
    let (mut size, mut has_alpha, mut has_picture) = (None, false, false);
    while !rest.is_empty() {
        let chunk_len = number(rest, 4)?;
        let chunk = rest.get(8..chunk_len.checked_add(8)?)?;
        let at = |i: usize| chunk.get(i).copied().map(u32::from);
        let found = match &rest[..4] {
            // Flags: of all that there can be, only opacity. Then the size, less one.
            b"VP8X" if size.is_none() && at(0)? & !0x10 == 0 => {
                has_alpha = at(0)? & 0x10 != 0;
                let three = |i: usize| Some((at(i)? | at(i + 1)? << 8 | at(i + 2)? << 16) + 1);
                (three(4)?, three(7)?)
            }
            b"ALPH" if size.is_some() && !has_picture => {
                // Whatever the flag says: decoders take it.
                has_alpha = true;
                rest = rest.get(8 + chunk_len + chunk_len % 2..)?;
                continue;
            }
            b"VP8 " if !has_picture && chunk.get(3..6)? == b"\x9d\x01\x2a" => {
                has_picture = true;
                let first = at(0)? | at(1)? << 8 | at(2)? << 16;
                // A key frame, and the first of its parts is all there.
                if first & 1 != 0 || (first >> 5) as usize > chunk_len - 6 {
                    return None;
                }
                ((at(6)? | at(7)? << 8) & 0x3fff, (at(8)? | at(9)? << 8) & 0x3fff)
            }
            b"VP8L" if !has_picture && at(0)? == 0x2f => {
                has_picture = true;
                let bits = u32::from_le_bytes(*chunk.get(1..)?.first_chunk()?);
                has_alpha |= bits >> 28 & 1 != 0;
                ((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1)
            }
            _ => return None,
        };
        if size.is_some_and(|size| size != found) {
            return None;
        }
        size = Some(found);
        // Chunks start at even places; the last one may end at an odd one.
        rest = rest.get(8 + chunk_len + chunk_len % 2..).unwrap_or_default();
    }
    let (width, height) = size.filter(|_| has_picture)?;
    Some(WholeWebP { width, height, has_alpha, len })
}

#[cold]
fn broken(input: &[u8]) -> Error {
    Error::corrupt(format!("webp stream of {} bytes is broken", input.len()))
}

#[cfg(test)]
mod tests {
    use image_webp::{ColorType, WebPEncoder};

    use super::*;
    use crate::error::ErrorKind;

    const WIDTH: u32 = 33;
    const HEIGHT: u32 = 20;

    /// A lossy picture of 16 x 16 pixels, dark but for the corner at the bottom right.
    const LOSSY: &[u8] = &[
        0x52, 0x49, 0x46, 0x46, 0x32, 0x00, 0x00, 0x00, 0x57, 0x45, 0x42, 0x50, 0x56, 0x50, 0x38, 0x20, 0x26, 0x00,
        0x00, 0x00, 0x90, 0x01, 0x00, 0x9d, 0x01, 0x2a, 0x10, 0x00, 0x10, 0x00, 0x02, 0x80, 0x42, 0x25, 0xa4, 0x00,
        0x02, 0xe7, 0x59, 0xb6, 0x00, 0x00, 0xfe, 0xfd, 0x51, 0x15, 0x1b, 0x75, 0x0e, 0xb3, 0x05, 0x91, 0xac, 0x19,
        0xdc, 0xb0, 0x00, 0x00,
    ];

    fn pixels(n_bands: usize) -> Vec<u8> {
        (0..WIDTH as usize * HEIGHT as usize * n_bands).map(|i| (i * i / 50 + i % n_bands * 40) as u8).collect()
    }

    fn lossless(n_bands: usize) -> Vec<u8> {
        let mut stream = Vec::new();
        let kind = if n_bands == 4 { ColorType::Rgba8 } else { ColorType::Rgb8 };
        WebPEncoder::new(&mut stream).encode(&pixels(n_bands), WIDTH, HEIGHT, kind).unwrap();
        stream
    }

    /// Decodes with every decoder that there is, checks that they agree, and gives the bytes.
    fn decoded(input: &[u8], width: u32, n_bands: usize, out_len: usize) -> Result<Vec<u8>> {
        let run = |decode: fn(&[u8], u32, usize, &mut [u8]) -> Result<usize>| {
            let mut out = vec![0xa5; out_len];
            decode(input, width, n_bands, &mut out).map(|n| out[..n].to_vec())
        };
        let (first, second) = (run(decode), run(with_rust));
        match (&first, &second) {
            (Ok(a), Ok(b)) => {
                let far = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(a.len() == b.len() && far <= Some(2), "the decoders are {far:?} apart");
            }
            (Err(a), Err(b)) => assert_eq!(a.kind(), b.kind()),
            (a, b) => panic!("one decoder reads it: {:?}, {:?}", a.as_ref().err(), b.as_ref().err()),
        }
        first
    }

    #[test]
    fn lossless_pictures_come_back_with_and_without_alpha() {
        for n_bands in [3, 4] {
            let plain = pixels(n_bands);
            let stream = lossless(n_bands);
            assert!(decoded(&stream, WIDTH, n_bands, plain.len()).unwrap() == plain);
            let longer = plain.len() + WIDTH as usize * n_bands * 3;
            assert!(decoded(&stream, WIDTH, n_bands, longer).unwrap() == plain, "a short block");
        }
        let opaque = decoded(&lossless(3), WIDTH, 4, pixels(4).len()).unwrap();
        let expected = pixels(3).chunks(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect::<Vec<_>>();
        assert!(opaque == expected);
    }

    #[test]
    fn lossy_pictures_are_read() {
        let got = decoded(LOSSY, 16, 3, 16 * 16 * 3).unwrap();
        assert!(got[..16 * 3 * 5].iter().all(|value| *value < 4), "{got:?}");
        let near = |pixel: &[u8], expected: [u8; 3]| pixel.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 3);
        assert!(near(&got[16 * 16 * 3 - 3..], [75, 82, 38]), "{got:?}");
        assert_eq!(decoded(LOSSY, 16, 4, 16 * 16 * 4).unwrap()[3], 255);
    }

    #[test]
    fn headers_tell_what_a_whole_picture_is() {
        let of = |width, height, has_alpha, len| Some(WholeWebP { width, height, has_alpha, len });
        assert_eq!(whole(LOSSY), of(16, 16, false, LOSSY.len()));
        for n_bands in [3, 4] {
            let stream = lossless(n_bands);
            assert_eq!(whole(&stream), of(WIDTH, HEIGHT, n_bands == 4, stream.len()));
            assert_eq!(whole(&[&stream[..], b"more"].concat()), whole(&stream));
        }
        // The same pictures with an extended header, which says what more there is.
        let extended = |flags: u8, picture: &[u8], size: (u32, u32)| {
            let mut file = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0".to_vec();
            file.extend([flags, 0, 0, 0]);
            file.extend(&(size.0 - 1).to_le_bytes()[..3]);
            file.extend(&(size.1 - 1).to_le_bytes()[..3]);
            file.extend(&picture[12..]);
            let len = (file.len() - 8) as u32;
            file[4..8].copy_from_slice(&len.to_le_bytes());
            file
        };
        let file = extended(0x10, LOSSY, (16, 16));
        assert_eq!(whole(&file), of(16, 16, true, file.len()));
        for flags in [0x02, 0x04, 0x08, 0x20] {
            assert_eq!(whole(&extended(flags, LOSSY, (16, 16))), None, "{flags:#x}");
        }
        assert_eq!(whole(&extended(0, LOSSY, (16, 17))), None);
        let with_alpha = [&LOSSY[..12], b"ALPH\x02\0\0\0\0\0", &LOSSY[12..]].concat();
        assert_eq!(whole(&extended(0, &with_alpha, (16, 16))).map(|picture| picture.has_alpha), Some(true));
    }

    #[test]
    fn what_breaks_off_or_is_damaged_is_not_whole() {
        for stream in [lossless(3), LOSSY.to_vec()] {
            for cut in 0..stream.len() {
                assert_eq!(whole(&stream[..cut]), None, "{cut} of {} bytes", stream.len());
            }
            for i in 0..stream.len() {
                for bit in 0..8 {
                    let mut other = stream.clone();
                    other[i] ^= 1 << bit;
                    let _ = whole(&other);
                }
            }
        }
    }

    #[test]
    fn other_sizes_bands_and_streams_are_refused() {
        let stream = lossless(3);
        let len = pixels(3).len();
        let kind = |input: &[u8], width, n_bands, len| decoded(input, width, n_bands, len).unwrap_err().kind();
        assert_eq!(kind(&stream, WIDTH + 1, 3, len * 2), ErrorKind::Corrupt);
        assert_eq!(kind(&stream, WIDTH, 3, len - 1), ErrorKind::Corrupt);
        assert_eq!(kind(b"no picture at all", WIDTH, 3, len), ErrorKind::Corrupt);
        assert_eq!(decode(&stream, WIDTH, 1, &mut [0; 9]).unwrap_err().kind(), ErrorKind::Unsupported);
        for cut in (0..stream.len()).step_by(5) {
            assert_eq!(kind(&stream[..cut], WIDTH, 3, len), ErrorKind::Corrupt, "{cut} bytes");
        }
    }

    #[test]
    fn random_changes_never_get_out_of_hand() {
        let mut state = 1_u32;
        for stream in [lossless(4), LOSSY.to_vec()] {
            for _ in 0..500 {
                let mut broken = stream.clone();
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (state >> 8) as usize % broken.len();
                broken[at] ^= 1 << (state & 7);
                let mut out = vec![0; pixels(4).len()];
                for decode in [decode, with_rust] {
                    let _ = decode(&broken, WIDTH, 4, &mut out);
                }
            }
        }
    }
}
