//! The forms that a tile comes in.

use crate::error::{Error, Result};

use super::{Picture, jpeg, png, raw, webp};

/// The form of a tile.
///
/// Files are of the pixels alone: they carry no colour profile, no orientation and no words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// Samples in native byte order, pixel-interleaved, without padding.
    #[default]
    Raw,
    /// The same samples, a whole band after the other.
    RawBands,
    /// A PNG file, of 8 or 16 bits a sample, encoded fast: a tile is written once and read a few times.
    Png,
    /// A PNG file of often half the bytes, which takes ten to twenty times as long to encode. For tiles that are sent often.
    PngSmall,
    /// A JPEG file. Opacity is dropped, for the format has none.
    Jpeg {
        /// From 1 to 100.
        quality: u8,
        /// How many pixels share their colour.
        chroma: Chroma,
    },
    /// A lossy WebP file. Opacity is kept. Builds without the feature `libwebp` do not make it.
    WebP {
        /// From 1 to 100.
        quality: u8,
    },
    /// A WebP file of exactly these pixels, colours that nobody sees included.
    WebPLossless,
}

/// How many pixels of a JPEG share their colour; each has a brightness of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Chroma {
    /// Squares of two by two pixels share it (4:2:0), as in most photographs.
    Halved = 1,
    /// None (4:4:4): thin lines and text keep their colours.
    Full = 2,
}

impl Encoding {
    /// A JPEG file of this quality, from 1 to 100, whose pixels share their colours up to a quality of 89.
    #[must_use]
    pub const fn jpeg(quality: u8) -> Self {
        Self::Jpeg { quality, chroma: if quality < 90 { Chroma::Halved } else { Chroma::Full } }
    }

    /// A lossy WebP file of this quality, from 1 to 100.
    #[must_use]
    pub const fn webp(quality: u8) -> Self {
        Self::WebP { quality }
    }

    /// Whether a tile is samples without a file around them.
    pub(crate) const fn is_raw(self) -> bool {
        matches!(self, Self::Raw | Self::RawBands)
    }

    /// Whether samples of 16 bits can be encoded.
    pub(crate) const fn takes_16_bits(self) -> bool {
        matches!(self, Self::Png | Self::PngSmall)
    }

    /// A number that no other encoding has. Tiles in stores are known by it: it never changes.
    pub(crate) const fn number(self) -> u32 {
        let (tag, first, second) = match self {
            Self::Raw => (0, 0, 0),
            Self::RawBands => (1, 0, 0),
            Self::Png => (2, 0, 0),
            Self::PngSmall => (3, 0, 0),
            Self::Jpeg { quality, chroma } => (4, quality, chroma as u8),
            Self::WebP { quality } => (5, quality, 0),
            Self::WebPLossless => (6, 0, 0),
        };
        u32::from_le_bytes([tag, first, second, 0])
    }

    /// Whether this build can encode so.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Jpeg { quality, .. } if !(1..=100).contains(&quality) => {
                Err(Error::invalid(format!("JPEG quality {quality}; it goes from 1 to 100")))
            }
            Self::WebP { quality } if !(1..=100).contains(&quality) => {
                Err(Error::invalid(format!("WebP quality {quality}; it goes from 1 to 100")))
            }
            Self::WebP { .. } if cfg!(not(feature = "libwebp")) => Err(Error::unsupported(
                "lossy WebP, for which this build lacks the feature `libwebp`; it makes lossless WebP",
            )),
            _ => Ok(()),
        }
    }

    /// The bytes of a tile of this picture, whose samples the encoding takes; `None` where they are the pixels as they are.
    pub(crate) fn encode(self, picture: &Picture<'_>) -> Result<Option<Vec<u8>>> {
        let file = match self {
            Self::Raw => return Ok(None),
            Self::RawBands if picture.n_bands == 1 => return Ok(None),
            Self::RawBands => raw::by_band(picture)?,
            Self::Png => png::encode(picture, png::Effort::Least)?,
            Self::PngSmall => png::encode(picture, png::Effort::More)?,
            Self::Jpeg { quality, chroma } => jpeg::encode(picture, quality, chroma)?,
            Self::WebP { quality } => webp::encode(picture, Some(quality))?,
            Self::WebPLossless => webp::encode(picture, None)?,
        };
        Ok(Some(file))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn encodings_that_make_different_bytes_have_different_numbers() {
        let mut all =
            vec![Encoding::Raw, Encoding::RawBands, Encoding::Png, Encoding::PngSmall, Encoding::WebPLossless];
        for quality in 1..=100 {
            all.push(Encoding::webp(quality));
            all.extend([Chroma::Halved, Chroma::Full].map(|chroma| Encoding::Jpeg { quality, chroma }));
        }
        let numbers: HashSet<_> = all.iter().map(|encoding| encoding.number()).collect();
        assert_eq!(numbers.len(), all.len());
        // They are kept beyond a process: these stay.
        assert_eq!((Encoding::Png.number(), Encoding::jpeg(85).number()), (2, 4 | 85 << 8 | 1 << 16));
    }

    #[test]
    fn qualities_that_there_are_not_are_refused() {
        for encoding in [0, 101, 255].into_iter().flat_map(|quality| [Encoding::jpeg(quality), Encoding::webp(quality)])
        {
            let error = encoding.check().unwrap_err();
            assert!(error.message().contains("goes from 1 to 100"), "{error}");
        }
        assert!(Encoding::jpeg(1).check().is_ok() && Encoding::jpeg(100).check().is_ok());
        assert_eq!(Encoding::webp(75).check().is_ok(), cfg!(feature = "libwebp"));
    }

    #[test]
    fn good_jpegs_share_no_colours_by_default() {
        let chroma = |quality| match Encoding::jpeg(quality) {
            Encoding::Jpeg { chroma, .. } => chroma,
            other => panic!("{other:?}"),
        };
        assert_eq!([chroma(89), chroma(90)], [Chroma::Halved, Chroma::Full]);
    }
}
