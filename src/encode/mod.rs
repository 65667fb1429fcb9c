//! Pixels to the bytes of a tile: files that viewers show, or samples. Nothing here knows a dataset or a cache.

mod encoding;
mod jpeg;
mod png;
#[cfg(feature = "libdeflate")]
mod png_small;
mod raw;
mod webp;

use crate::sample::SampleType;

pub use encoding::{Chroma, Encoding};

/// Pixels to encode: rows without padding, bands side by side, samples in native byte order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picture<'a> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) n_bands: u32,
    /// Files take 8 bits, PNG 16 too.
    pub(crate) sample: SampleType,
    /// What the bands are; nothing that samples without a file around them depend on.
    pub(crate) color: Color<'a>,
    pub(crate) pixels: &'a [u8],
}

/// What the bands of a [`Picture`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Color<'a> {
    Gray,
    GrayAlpha,
    Rgb,
    Rgba,
    /// Indices into these colours.
    Palette(&'a [[u8; 4]]),
}

impl Color<'_> {
    pub(crate) fn n_bands(self) -> usize {
        match self {
            Self::Gray | Self::Palette(_) => 1,
            Self::GrayAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }
}

/// The colour of an index; those without one are opaque black.
fn color_of(colors: &[[u8; 4]], index: u8) -> [u8; 4] {
    colors.get(usize::from(index)).copied().unwrap_or([0, 0, 0, 255])
}
