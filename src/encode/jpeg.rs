//! Baseline JPEG.

use jpeg_encoder::{ColorType, Encoder};

use crate::error::{Error, Result};

use super::{Color, Picture};

/// The picture as a JPEG file of `quality` 1 to 100. Palettes are expanded; opacity is dropped, for the format has none.
pub(crate) fn encode(picture: &Picture<'_>, quality: u8) -> Result<Vec<u8>> {
    let (Ok(width), Ok(height)) = (u16::try_from(picture.width), u16::try_from(picture.height)) else {
        return Err(Error::invalid(format!("JPEG cannot hold {}x{} pixels", picture.width, picture.height)));
    };
    let mut file = Vec::with_capacity(picture.pixels.len() / 4 + 1024);
    let encoder = Encoder::new(&mut file, quality);
    let failed = |e: jpeg_encoder::EncodingError| Error::internal(format!("JPEG encoder: {e}"));
    let encoded = match picture.color {
        Color::Gray => encoder.encode(picture.pixels, width, height, ColorType::Luma),
        Color::Rgb => encoder.encode(picture.pixels, width, height, ColorType::Rgb),
        Color::Rgba => encoder.encode(picture.pixels, width, height, ColorType::Rgba),
        Color::GrayAlpha => {
            let gray: Vec<u8> = picture.pixels.iter().step_by(2).copied().collect();
            encoder.encode(&gray, width, height, ColorType::Luma)
        }
        Color::Palette(colors) => {
            let color = |index: u8| colors.get(usize::from(index)).map_or([0; 3], |c| [c[0], c[1], c[2]]);
            let rgb: Vec<u8> = picture.pixels.iter().flat_map(|index| color(*index)).collect();
            encoder.encode(&rgb, width, height, ColorType::Rgb)
        }
    };
    encoded.map_err(failed)?;
    Ok(file)
}
