//! PNG.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::sample::SampleType;

use super::{Color, Picture, color_of};

/// What is spent on a small file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// The encoder's fastest setting.
    Least,
    /// A search for repetitions, and for the best filter of each row.
    More,
}

/// The picture as a PNG file. Palettes stay palettes.
pub(crate) fn encode(picture: &Picture<'_>, effort: Effort) -> Result<Vec<u8>> {
    let mut file = Vec::with_capacity(picture.pixels.len() / 2 + 1024);
    let failed = |e: png::EncodingError| Error::internal(format!("PNG encoder: {e}"));
    let mut encoder = png::Encoder::new(&mut file, picture.width, picture.height);
    encoder.set_compression(match effort {
        Effort::Least => png::Compression::Fastest,
        Effort::More => png::Compression::Balanced,
    });
    let is_wide = picture.sample == SampleType::U16;
    encoder.set_depth(if is_wide { png::BitDepth::Sixteen } else { png::BitDepth::Eight });
    encoder.set_color(match picture.color {
        Color::Gray => png::ColorType::Grayscale,
        Color::GrayAlpha => png::ColorType::GrayscaleAlpha,
        Color::Rgb => png::ColorType::Rgb,
        Color::Rgba => png::ColorType::Rgba,
        Color::Palette(_) => png::ColorType::Indexed,
    });
    if let Color::Palette(colors) = picture.color {
        // The format has room for 256, and every index needs a colour.
        let table: Vec<_> = (0..=255).map(|index| color_of(colors, index)).collect();
        encoder.set_palette(table.iter().flat_map(|c| [c[0], c[1], c[2]]).collect::<Vec<u8>>());
        if table.iter().any(|c| c[3] != 255) {
            encoder.set_trns(table.iter().map(|c| c[3]).collect::<Vec<u8>>());
        }
    }
    let mut writer = encoder.write_header().map_err(failed)?;
    let mut pixels = Cow::Borrowed(picture.pixels);
    if is_wide && cfg!(target_endian = "little") {
        crate::codec::bytes::swap_in_place(pixels.to_mut(), 2);
    }
    match effort {
        #[cfg(feature = "libdeflate")]
        Effort::More => {
            let pixel_bytes = picture.color.n_bands() * picture.sample.bytes();
            let has_filters = !matches!(picture.color, Color::Palette(_));
            let row_bytes = picture.width as usize * pixel_bytes;
            let data = super::png_small::image_data(&pixels, row_bytes, pixel_bytes, has_filters)?;
            // A chunk has a length of 31 bits.
            for part in data.chunks(1 << 30) {
                writer.write_chunk(png::chunk::IDAT, part).map_err(failed)?;
            }
        }
        _ => writer.write_image_data(&pixels).map_err(failed)?,
    }
    writer.finish().map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_effort_makes_a_smaller_file_of_the_same_pixels() {
        let colors: Vec<[u8; 4]> = (0..=255).map(|i| [i, 255 - i, i / 2, 255 - i / 3]).collect();
        for (color, sample) in [
            (Color::Gray, SampleType::U8),
            (Color::GrayAlpha, SampleType::U16),
            (Color::Rgb, SampleType::U8),
            (Color::Rgb, SampleType::U16),
            (Color::Rgba, SampleType::U8),
            (Color::Palette(&colors), SampleType::U8),
        ] {
            let n_bands = color.n_bands();
            let value = |i: usize| {
                let (x, y, band) = (i / n_bands % 64, i / n_bands / 64, i % n_bands);
                (x * y / 8 + 1000 * band + x) as u16
            };
            let pixels: Vec<u8> = match sample {
                SampleType::U16 => (0..64 * 40 * n_bands).flat_map(|i| value(i).to_ne_bytes()).collect(),
                _ => (0..64 * 40 * n_bands).map(|i| (value(i) / 2) as u8).collect(),
            };
            let picture = Picture { width: 64, height: 40, n_bands: n_bands as u32, sample, color, pixels: &pixels };
            let files = [Effort::Least, Effort::More].map(|effort| encode(&picture, effort).unwrap());
            assert!(files[1].len() < files[0].len(), "{color:?}: {} and {} bytes", files[0].len(), files[1].len());
            for file in &files {
                let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
                let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
                reader.next_frame(&mut pixels).unwrap();
                if sample == SampleType::U16 && cfg!(target_endian = "little") {
                    crate::codec::bytes::swap_in_place(&mut pixels, 2);
                }
                assert!(pixels == picture.pixels, "{color:?}");
            }
        }
    }
}
