//! PNG, with the encoder's fastest setting: a tile is written once and read a few times.

use crate::error::{Error, Result};

use super::{Color, Picture};

/// The picture as a PNG file. Palettes stay palettes.
pub(crate) fn encode(picture: &Picture<'_>) -> Result<Vec<u8>> {
    let mut file = Vec::with_capacity(picture.pixels.len() / 2 + 1024);
    let failed = |e: png::EncodingError| Error::internal(format!("PNG encoder: {e}"));
    let mut encoder = png::Encoder::new(&mut file, picture.width, picture.height);
    encoder.set_compression(png::Compression::Fastest);
    encoder.set_depth(if picture.wide { png::BitDepth::Sixteen } else { png::BitDepth::Eight });
    encoder.set_color(match picture.color {
        Color::Gray => png::ColorType::Grayscale,
        Color::GrayAlpha => png::ColorType::GrayscaleAlpha,
        Color::Rgb => png::ColorType::Rgb,
        Color::Rgba => png::ColorType::Rgba,
        Color::Palette(_) => png::ColorType::Indexed,
    });
    if let Color::Palette(colors) = picture.color {
        // The format has room for 256, and every index needs a colour.
        let mut table = [[0, 0, 0, 255]; 256];
        table.iter_mut().zip(colors).for_each(|(entry, color)| *entry = *color);
        encoder.set_palette(table.iter().flat_map(|c| [c[0], c[1], c[2]]).collect::<Vec<u8>>());
        if table.iter().any(|c| c[3] != 255) {
            encoder.set_trns(table.iter().map(|c| c[3]).collect::<Vec<u8>>());
        }
    }
    let mut writer = encoder.write_header().map_err(failed)?;
    if picture.wide && cfg!(target_endian = "little") {
        let mut swapped = picture.pixels.to_vec();
        crate::codec::bytes::swap_in_place(&mut swapped, 2);
        writer.write_image_data(&swapped).map_err(failed)?;
    } else {
        writer.write_image_data(picture.pixels).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    Ok(file)
}
