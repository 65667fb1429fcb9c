//! Something to show until a tile is there.

use crate::dataset::Dataset;
use crate::error::Result;
use crate::render::{Tile, TileRequest};
use crate::sync::Arc;

use super::available::{self, Available};
use super::delivery::Waiting;
use super::pool::{Asks, Work};
use super::viewport::backdrop;
use super::work::{Outcome, tile_key};

/// The name of the small picture of all pixels that files have in them.
const THUMBNAIL: &str = "thumbnail";
/// A thumbnail shows all pixels when its sides are to each other as theirs, but for so much.
const MOST_SKEW: f64 = 0.03;

/// Looks for something coarser than a tile: in memory, in the file, or its coarsest level.
pub(super) struct PreviewWork(pub(super) Dataset, pub(super) TileRequest);

/// What a preview is known by, beside its tile.
pub(super) fn preview_key(dataset: &Dataset, request: &TileRequest) -> u128 {
    tile_key(dataset, request) ^ u128::from_le_bytes(*b"tilekeep preview")
}

impl Work<Outcome> for PreviewWork {
    fn run(&self) -> Result<Outcome> {
        let Self(dataset, request) = self;
        let in_memory = |tile: &TileRequest| dataset.found_tile(tile);
        let found = match available::available(dataset, request, in_memory) {
            // The tile itself is no preview of it.
            Some(found) if found.parts.iter().any(|part| part.level == Some(request.level)) => None,
            Some(found) => Some(found),
            None => match thumbnail(dataset, request) {
                Some(found) => Some(found),
                None => coarsest(dataset, request)?,
            },
        };
        Ok(Outcome::Preview(found))
    }
}

/// The part of the file's thumbnail under a tile, if it looks as the tile will.
fn thumbnail(dataset: &Dataset, request: &TileRequest) -> Option<Available> {
    let info = dataset.info();
    info.associated.iter().find(|picture| picture.name == THUMBNAIL)?;
    if request.frame > 0 || request.style.is_some() || request.bands.is_some() || request.range.is_some() {
        return None;
    }
    // One that cannot be read is none.
    let picture = dataset.associated(THUMBNAIL).ok()?;
    let (small, large) = (picture.level(0).ok()?, dataset.level(0).ok()?);
    let aspect = |width: u64, height: u64| width as f64 / height as f64;
    let skew = aspect(small.width, small.height) / aspect(large.width, large.height);
    let coarsest = dataset.level(request.level).ok()?;
    if (skew - 1.0).abs() > MOST_SKEW || small.width >= coarsest.width {
        return None;
    }
    let is_alike = (picture.info().n_bands, picture.info().sample) == (info.n_bands, info.sample);
    if request.encoding.is_raw() && !is_alike {
        return None;
    }
    let size = (u32::try_from(small.width).ok()?, u32::try_from(small.height).ok()?);
    let all = TileRequest::new(0, 0, 0).size(size.0, size.1).encoding(request.encoding);
    let tile: Tile = picture.read_tile(&all).ok()?;
    available::part_of_picture(dataset, request, tile)
}

/// The tile out of the coarsest level, which stays in memory for the next one.
fn coarsest(dataset: &Dataset, request: &TileRequest) -> Result<Option<Available>> {
    let tiles = backdrop(dataset, request);
    if tiles.first().is_none_or(|tile| tile.level <= request.level) {
        return Ok(None);
    }
    let mut read = Vec::with_capacity(tiles.len());
    for tile in tiles {
        read.push((tile.clone(), dataset.read_tile(&tile)?));
    }
    let find = |tile: &TileRequest| read.iter().find(|(asked, _)| asked == tile).map(|(_, tile)| tile.clone());
    Ok(available::available(dataset, request, find))
}

/// One who gets the preview of what he waits for.
pub(super) struct ForPreview(pub(super) Arc<Waiting<Tile>>);

impl Asks<Outcome> for ForPreview {
    fn is_request(&self) -> bool {
        false
    }

    fn answer(&self, answer: Result<Outcome>) -> bool {
        if let Ok(Outcome::Preview(Some(preview))) = answer {
            self.0.preview(preview);
        }
        false
    }
}
