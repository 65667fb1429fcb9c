//! Pixels to files that viewers show. Nothing here knows a dataset or a cache.

mod jpeg;
mod png;

pub(crate) use self::jpeg::encode as jpeg;
pub(crate) use self::png::encode as png;

/// Pixels to encode: 8 bits a sample (16 for PNG only), rows without padding, bands side by side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picture<'a> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) color: Color<'a>,
    /// Samples of 16 bits in native byte order.
    pub(crate) wide: bool,
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
