//! Tiles that need no work: what the source stores is what the request asks for.

use crate::dataset::Dataset;
use crate::encode::{Color, Encoding};
use crate::grid::Window;
use crate::source::PictureFormat;

use super::look::Shown;
use super::tile::{Tile, TileRequest};

/// The tile as the source stores it: a file of exactly the pixels of `visible`, which are all that the tile has, with
/// nothing changed about them. Neither a block nor an encoder is used.
pub(super) fn tile(dataset: &Dataset, request: &TileRequest, visible: &Window, shown: &Shown<'_>) -> Option<Tile> {
    let format = match request.encoding {
        Encoding::Raw | Encoding::RawBands => return None,
        Encoding::Png | Encoding::PngSmall => PictureFormat::Png,
        Encoding::Jpeg { .. } => PictureFormat::Jpeg,
        Encoding::WebP { .. } | Encoding::WebPLossless => PictureFormat::WebP,
    };
    let info = dataset.info();
    let has_all_bands = shown.bands.are_all(info.n_bands);
    let are_colors_stored = match (format, shown.color) {
        (PictureFormat::Png, _)
        | (PictureFormat::Jpeg, Color::Gray | Color::Rgb)
        | (PictureFormat::WebP, Color::Rgb | Color::Rgba) => true,
        // Colours that the format does not have were made of indices, or dropped.
        _ => false,
    };
    if !request.pass_through || shown.range.is_some() || !has_all_bands || !are_colors_stored {
        return None;
    }
    let (width, height) = request.pixels_of(visible);
    if (u64::from(width), u64::from(height)) != (visible.width, visible.height) {
        return None;
    }
    let stored = dataset.stored_picture(request.frame, request.level, visible)?;
    let (n_bands, sample) = (info.n_bands, info.sample);
    (stored.format == format).then_some(Tile { bytes: stored.file.into(), width, height, n_bands, sample })
}
