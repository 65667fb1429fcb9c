//! PNG.

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
    if is_wide && cfg!(target_endian = "little") {
        let mut swapped = picture.pixels.to_vec();
        crate::codec::bytes::swap_in_place(&mut swapped, 2);
        writer.write_image_data(&swapped).map_err(failed)?;
    } else {
        writer.write_image_data(picture.pixels).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_effort_makes_a_smaller_file_of_the_same_pixels() {
        let pixels: Vec<u8> = (0..64 * 64 * 3).map(|i| ((i / 3 % 64) * (i / 192) / 16 + i % 3) as u8).collect();
        let picture =
            Picture { width: 64, height: 64, n_bands: 3, sample: SampleType::U8, color: Color::Rgb, pixels: &pixels };
        let files = [Effort::Least, Effort::More].map(|effort| encode(&picture, effort).unwrap());
        assert!(files[1].len() < files[0].len(), "{} and {} bytes", files[0].len(), files[1].len());
        for file in &files {
            let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut pixels).unwrap();
            assert!(pixels == picture.pixels);
        }
    }
}
