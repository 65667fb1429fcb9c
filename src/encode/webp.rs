//! WebP, lossy and lossless.
//!
//! The reference library makes both. The encoder in Rust makes lossless files only; it is there for builds without C.
#![cfg_attr(feature = "libwebp", expect(unsafe_code, reason = "the reference library is in C"))]

use std::borrow::Cow;

use crate::error::{Error, Result};

use super::{Color, Picture, color_of};

/// The format has 14 bits for a side.
const MAX_SIDE: u32 = 16_383;

/// The picture as a WebP file of `quality` 1 to 100, or lossless without one. The format has no palettes of its own and no
/// greys: both become colours.
pub(crate) fn encode(picture: &Picture<'_>, quality: Option<u8>) -> Result<Vec<u8>> {
    let (width, height) = (picture.width, picture.height);
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(Error::invalid(format!("WebP cannot hold {width}x{height} pixels; sides go up to {MAX_SIDE}")));
    }
    let pixels = picture.pixels;
    let (pixels, has_alpha): (Cow<'_, [u8]>, bool) = match picture.color {
        Color::Rgb => (pixels.into(), false),
        Color::Rgba => (pixels.into(), true),
        Color::Gray => (pixels.iter().flat_map(|gray| [*gray; 3]).collect(), false),
        Color::GrayAlpha => {
            let pixels = pixels.as_chunks::<2>().0.iter();
            (pixels.flat_map(|[gray, alpha]| [*gray, *gray, *gray, *alpha]).collect(), true)
        }
        Color::Palette(colors) if colors.iter().all(|color| color[3] == 255) => {
            (pixels.iter().flat_map(|index| color_of(colors, *index).into_iter().take(3)).collect(), false)
        }
        Color::Palette(colors) => (pixels.iter().flat_map(|index| color_of(colors, *index)).collect(), true),
    };
    #[cfg(feature = "libwebp")]
    return with_c(width, height, &pixels, has_alpha, quality);
    #[cfg(not(feature = "libwebp"))]
    return match quality {
        Some(_) => Err(Error::unsupported("lossy WebP, for which this build lacks the feature `libwebp`")),
        None => with_rust(width, height, &pixels, has_alpha),
    };
}

/// The library's picture and the file that it writes; both are its memory.
#[cfg(feature = "libwebp")]
struct Job {
    picture: libwebp_sys::WebPPicture,
    writer: libwebp_sys::WebPMemoryWriter,
}

#[cfg(feature = "libwebp")]
impl Drop for Job {
    fn drop(&mut self) {
        // SAFETY: the library initialised the picture, and owns what it points to.
        unsafe { libwebp_sys::WebPPictureFree(&raw mut self.picture) };
        // SAFETY: as above, for the writer.
        unsafe { libwebp_sys::WebPMemoryWriterClear(&raw mut self.writer) };
    }
}

#[cfg(feature = "libwebp")]
fn with_c(width: u32, height: u32, pixels: &[u8], has_alpha: bool, quality: Option<u8>) -> Result<Vec<u8>> {
    use libwebp_sys::{WebPEncodingError as E, WebPPictureImportRGB, WebPPictureImportRGBA};
    let n_bands = if has_alpha { 4 } else { 3 };
    if pixels.len() != width as usize * height as usize * n_bands {
        return Err(Error::internal(format!("{} bytes of {width}x{height} pixels", pixels.len())));
    }
    let version = || Error::internal("libwebp has another version than its bindings");
    let config = config(quality).ok_or_else(version)?;
    let picture = libwebp_sys::WebPPicture::new().map_err(|()| version())?;
    let writer =
        libwebp_sys::WebPMemoryWriter { mem: std::ptr::null_mut(), size: 0, max_size: 0, pad: Default::default() };
    // Boxed: the picture points to the writer, which must stay where it is.
    let mut job = Box::new(Job { picture, writer });
    job.picture.use_argb = i32::from(quality.is_none());
    // Both were found to be small.
    (job.picture.width, job.picture.height) = (width as i32, height as i32);
    job.picture.writer = Some(libwebp_sys::WebPMemoryWrite);
    job.picture.custom_ptr = (&raw mut job.writer).cast();
    let failed = |job: &Job| match job.picture.error_code {
        E::VP8_ENC_ERROR_OUT_OF_MEMORY | E::VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY => {
            Error::limit(format!("no memory to encode {width}x{height} pixels as WebP"))
        }
        code => Error::internal(format!("libwebp fails to encode {width}x{height} pixels: {code:?}")),
    };
    let import = if has_alpha { WebPPictureImportRGBA } else { WebPPictureImportRGB };
    // SAFETY: the picture was initialised and has its size; `pixels` has that many rows of so many bytes.
    if unsafe { import(&raw mut job.picture, pixels.as_ptr(), (width as usize * n_bands) as i32) } == 0 {
        return Err(failed(&job));
    }
    // SAFETY: configuration and picture were initialised, the picture has pixels, and what it writes with is in `job`.
    if unsafe { libwebp_sys::WebPEncode(&raw const config, &raw mut job.picture) } == 0 {
        return Err(failed(&job));
    }
    if job.writer.mem.is_null() {
        return Err(Error::internal("libwebp wrote nothing"));
    }
    // SAFETY: the writer holds so many bytes of its own, which live until `job` is dropped.
    Ok(unsafe { std::slice::from_raw_parts(job.writer.mem, job.writer.size) }.to_vec())
}

/// How much the library tries, from 0 to 6. A tile of 256 x 256 pixels takes 1.1 ms; 4, its default, takes 2.8 times as
/// long for files that are a twentieth smaller.
#[cfg(feature = "libwebp")]
const LOSSY_METHOD: i32 = 2;
/// The same of the presets for lossless files, from 0 to 9. 1 takes up to 3.4 times as long for at best an eighth.
#[cfg(feature = "libwebp")]
const LOSSLESS_LEVEL: i32 = 0;

#[cfg(feature = "libwebp")]
fn config(quality: Option<u8>) -> Option<libwebp_sys::WebPConfig> {
    let mut config = libwebp_sys::WebPConfig::new().ok()?;
    match quality {
        Some(quality) => {
            config.quality = f32::from(quality);
            config.method = LOSSY_METHOD;
        }
        None => {
            // SAFETY: the configuration was initialised.
            if unsafe { libwebp_sys::WebPConfigLosslessPreset(&raw mut config, LOSSLESS_LEVEL) } == 0 {
                return None;
            }
            // The colours of clear pixels are pixels too.
            config.exact = 1;
        }
    }
    // SAFETY: as above.
    (unsafe { libwebp_sys::WebPValidateConfig(&raw const config) } != 0).then_some(config)
}

#[cfg(any(test, not(feature = "libwebp")))]
fn with_rust(width: u32, height: u32, pixels: &[u8], has_alpha: bool) -> Result<Vec<u8>> {
    use image_webp::{ColorType, WebPEncoder};
    let color = if has_alpha { ColorType::Rgba8 } else { ColorType::Rgb8 };
    let mut file = Vec::with_capacity(pixels.len() / 2 + 1024);
    let encoded = WebPEncoder::new(&mut file).encode(pixels, width, height, color);
    encoded.map_err(|e| Error::internal(format!("WebP encoder: {e}")))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::sample::SampleType;

    const COLORS: &[[u8; 4]] = &[[255, 0, 0, 255], [0, 200, 0, 255]];
    const CLEAR: &[[u8; 4]] = &[[255, 0, 0, 255], [0, 200, 0, 0]];

    fn picture<'a>(color: Color<'a>, pixels: &'a [u8]) -> Picture<'a> {
        let n_bands = color.n_bands() as u32;
        let width = 20;
        Picture { width, height: pixels.len() as u32 / n_bands / width, n_bands, sample: SampleType::U8, color, pixels }
    }

    fn samples(n: usize) -> Vec<u8> {
        (0..n).map(|i| (i * i / 30 + i) as u8).collect()
    }

    fn decoded(file: &[u8], n_bands: usize, n_pixels: usize) -> Vec<u8> {
        let mut out = vec![0; n_pixels * n_bands];
        assert_eq!(crate::codec::webp::decode(file, 20, n_bands, &mut out).unwrap(), out.len());
        out
    }

    #[test]
    fn lossless_files_have_every_pixel_clear_ones_included() {
        for (color, has_alpha) in [
            (Color::Gray, false),
            (Color::GrayAlpha, true),
            (Color::Rgb, false),
            (Color::Rgba, true),
            (Color::Palette(COLORS), false),
            (Color::Palette(CLEAR), true),
        ] {
            let pixels = samples(20 * 11 * color.n_bands());
            let expected: Vec<u8> = match color {
                Color::Gray => pixels.iter().flat_map(|g| [*g, *g, *g, 255]).collect(),
                Color::GrayAlpha => pixels.chunks(2).flat_map(|p| [p[0], p[0], p[0], p[1]]).collect(),
                Color::Rgb => pixels.chunks(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect(),
                Color::Rgba => pixels.clone(),
                Color::Palette(colors) => pixels.iter().flat_map(|i| color_of(colors, *i)).collect(),
            };
            let file = encode(&picture(color, &pixels), None).unwrap();
            assert!(decoded(&file, 4, 20 * 11) == expected, "{color:?}");
            let stored = image_webp::WebPDecoder::new(std::io::Cursor::new(&file)).unwrap();
            assert_eq!(stored.has_alpha(), has_alpha, "{color:?}");
        }
        let pixels = samples(20 * 11 * 4);
        assert!(decoded(&with_rust(20, 11, &pixels, true).unwrap(), 4, 20 * 11) == pixels);
    }

    #[test]
    fn lossy_files_are_close_smaller_and_keep_opacity() {
        let smooth = |i: usize| (40 + i / 4 % 20 * 6 + i / 80 + 10 * (i % 4)) as u8;
        let pixels: Vec<u8> =
            (0..20 * 60 * 4).map(|i| if i % 4 == 3 { (i / 80 / 15 * 85) as u8 } else { smooth(i) }).collect();
        let picture = picture(Color::Rgba, &pixels);
        if cfg!(not(feature = "libwebp")) {
            assert_eq!(encode(&picture, Some(90)).unwrap_err().kind(), ErrorKind::Unsupported);
            return;
        }
        let files = [90, 10].map(|quality| encode(&picture, Some(quality)).unwrap());
        assert!(files[1].len() < files[0].len());
        let back = decoded(&files[0], 4, 20 * 60);
        for (there, here) in back.chunks(4).zip(picture.pixels.chunks(4)) {
            assert_eq!(there[3], here[3], "opacity is not lossy");
            let far = there.iter().zip(here).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(here[3] == 0 || far <= Some(24), "{there:?} of {here:?}");
        }
    }

    #[test]
    fn a_side_that_the_format_has_no_bits_for_is_refused() {
        let pixels = vec![0; 16_384 * 3];
        let long = Picture { width: 16_384, height: 1, ..picture(Color::Rgb, &pixels) };
        assert_eq!(encode(&long, None).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
