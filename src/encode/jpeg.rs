//! Baseline JPEG.

use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};

use crate::error::{Error, Result};

use super::{Chroma, Color, Picture, color_of};

/// The picture as a JPEG file of `quality` 1 to 100. Palettes are expanded; opacity is dropped.
pub(crate) fn encode(picture: &Picture<'_>, quality: u8, chroma: Chroma) -> Result<Vec<u8>> {
    let (Ok(width), Ok(height)) = (u16::try_from(picture.width), u16::try_from(picture.height)) else {
        return Err(Error::invalid(format!("JPEG cannot hold {}x{} pixels", picture.width, picture.height)));
    };
    let pixels = picture.pixels;
    let mut file = Vec::with_capacity(pixels.len() / 4 + 1024);
    let mut encoder = Encoder::new(&mut file, quality);
    encoder.set_sampling_factor(match chroma {
        Chroma::Halved => SamplingFactor::R_4_2_0,
        Chroma::Full => SamplingFactor::R_4_4_4,
    });
    // The colour of one pixel for all four makes thin lines vanish or double.
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    let encoded = match picture.color {
        Color::Gray => encoder.encode(pixels, width, height, ColorType::Luma),
        Color::Rgb => encoder.encode(pixels, width, height, ColorType::Rgb),
        Color::Rgba => encoder.encode(pixels, width, height, ColorType::Rgba),
        Color::GrayAlpha => {
            let gray: Vec<u8> = pixels.iter().step_by(2).copied().collect();
            encoder.encode(&gray, width, height, ColorType::Luma)
        }
        Color::Palette(colors) => {
            let rgba: Vec<u8> = pixels.iter().flat_map(|index| color_of(colors, *index)).collect();
            encoder.encode(&rgba, width, height, ColorType::Rgba)
        }
    };
    encoded.map_err(|e| Error::internal(format!("JPEG encoder: {e}")))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::jpeg::info;
    use crate::sample::SampleType;

    #[test]
    fn pixels_share_their_colours_as_asked_for() {
        let samples: Vec<u8> = (0..800).map(|i| (i * 7) as u8).collect();
        let picture = |color: Color<'static>, n_bands: u32| Picture {
            width: 20,
            height: 10,
            n_bands,
            sample: SampleType::U8,
            color,
            pixels: &samples[..200 * n_bands as usize],
        };
        const COLORS: &[[u8; 4]] = &[[9, 8, 7, 255]];
        for (color, n_bands, n_components) in [
            (Color::Gray, 1, 1),
            (Color::GrayAlpha, 2, 1),
            (Color::Palette(COLORS), 1, 3),
            (Color::Rgb, 3, 3),
            (Color::Rgba, 4, 3),
        ] {
            for (chroma, luma) in [(Chroma::Halved, (2, 2)), (Chroma::Full, (1, 1))] {
                let file = encode(&picture(color, n_bands), 80, chroma).unwrap();
                let info = info(&file).unwrap();
                assert_eq!((info.width, info.height, info.components), (20, 10, n_components), "{color:?}");
                if n_components == 3 {
                    assert_eq!(info.sampling[..3], [luma, (1, 1), (1, 1)], "{color:?}");
                }
            }
        }
    }
}
