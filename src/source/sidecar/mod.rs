//! Files beside a raster that say more of it: metadata, a place on the ground, overviews, a mask.
//!
//! What counts when two of them say different things is what GDAL does, which is not the same for every format.

mod beside;
mod joined;
mod pam;
mod world;

pub(super) use beside::Beside;

use std::collections::HashMap;

use crate::sample::SampleType;
use crate::sync::Arc;

use super::tiff::TiffSource;
use super::{ColorInterpretation, MetadataItem, SourceInfo, TileSource};
use joined::Joined;
use pam::Pam;

/// The `source` that lies there, with what the files beside it add. One that is damaged adds nothing.
pub(super) fn add(source: Box<dyn TileSource>, beside: &Beside<'_>) -> Box<dyn TileSource> {
    let info = source.info();
    let most = beside.limits.max_metadata_bytes as u64;
    let pam = beside.text(&beside.with_suffix(".aux.xml"), most).and_then(|text| Pam::parse(&text, info.sample));
    let is_placed = pam.as_ref().is_some_and(|pam| pam.geotransform.is_some() && info.format != "png");
    let has_points = pam.as_ref().is_some_and(|pam| !pam.gcps.is_empty() && is_tiff(info));
    let world = if info.geotransform.is_some() || is_placed || has_points { None } else { world::read(beside) };
    let overviews = overviews(info, beside);
    let mask = if info.n_mask_bands == 0 { mask(info, beside) } else { None };
    if pam.is_none() && world.is_none() && overviews.is_none() && mask.is_none() {
        return source;
    }
    let mut info = info.clone();
    if let Some(pam) = pam {
        apply(pam, &mut info);
    }
    if let Some(world) = world {
        info.geotransform = Some(world);
        if is_tiff(&info) {
            info.gcps.clear();
        }
    }
    Box::new(Joined::new(source, info, overviews, mask))
}

fn is_tiff(info: &SourceInfo) -> bool {
    info.format.ends_with("tiff")
}

/// The levels in the file whose name is that of the raster and `.ovr`.
fn overviews(info: &SourceInfo, beside: &Beside<'_>) -> Option<TiffSource> {
    // Files beside a raster know of one picture.
    if info.levels.iter().filter(|level| level.native).count() > 1 || info.n_frames > 1 {
        return None;
    }
    TiffSource::overviews_of(info, beside.open(&beside.with_suffix(".ovr"))?, beside.limits)
}

/// The mask in the file whose name is that of the raster and `.msk`, and the number of its bands that count.
fn mask(info: &SourceInfo, beside: &Beside<'_>) -> Option<(Arc<dyn TileSource>, u32)> {
    const PER_DATASET: u32 = 2;
    if info.n_frames > 1 {
        return None;
    }
    let path = beside.with_suffix(".msk");
    let mask = TiffSource::open(beside.open(&path)?, 0, beside.limits).ok()?.into_mask();
    let (base, image) = (mask.info().levels[0], info.levels[0]);
    let flags: u32 = mask.info().metadata("", "INTERNAL_MASK_FLAGS_1")?.trim().parse().ok()?;
    let n_bands = if flags & PER_DATASET == 0 { info.n_bands } else { 1 };
    let fits = (base.width, base.height) == (image.width, image.height)
        && mask.info().n_frames == 1
        && mask.info().sample == SampleType::U8
        && mask.info().n_bands >= n_bands;
    if !fits {
        return None;
    }
    // A mask may have overviews of its own beside it, but no mask.
    let beside_mask = beside.of(&path);
    let mask_info = mask.info().clone();
    let coarser = overviews(&mask_info, &beside_mask);
    beside.add_seen(beside_mask);
    Some(match coarser {
        Some(found) => (Arc::new(Joined::new(Box::new(mask), mask_info, Some(found), None)), n_bands),
        None => (Arc::new(mask), n_bands),
    })
}

/// Puts what GDAL wrote beside the raster into what the raster says of itself.
fn apply(pam: Pam, info: &mut SourceInfo) {
    let is_tiff = is_tiff(info);
    if pam.geotransform.is_some() {
        info.geotransform = pam.geotransform;
    }
    // Of a TIFF's own place nothing is left where there is another one.
    if is_tiff && (pam.geotransform.is_some() || !pam.gcps.is_empty()) {
        info.geotransform = pam.geotransform;
        info.gcps.clear();
    }
    if !pam.gcps.is_empty() {
        info.gcps = pam.gcps;
    }
    if pam.srs_wkt.is_some() {
        info.srs_wkt = pam.srs_wkt;
    }
    merge(pam.metadata, &mut info.metadata);
    let own_nodata = info.nodata;
    for (number, theirs) in pam.bands {
        let Some(band) = info.bands.get_mut(number as usize) else { continue };
        if band.description.is_empty() {
            band.description = theirs.info.description;
        }
        if band.unit.is_empty() {
            band.unit = theirs.info.unit;
        }
        band.scale = band.scale.or(theirs.info.scale);
        band.offset = band.offset.or(theirs.info.offset);
        if band.categories.is_empty() {
            band.categories = theirs.info.categories;
        }
        if is_tiff || own_nodata.is_none() {
            band.nodata = theirs.info.nodata;
        }
        if let (Some(color), true) = (theirs.color, is_tiff) {
            info.colors[number as usize] = color;
        }
        if info.n_bands == 1 && info.color_table.is_none() && theirs.color_table.is_some() {
            info.color_table = theirs.color_table;
            if info.colors[0] == ColorInterpretation::Gray {
                info.colors[0] = ColorInterpretation::Palette;
            }
        }
    }
    share_nodata(info);
}

/// Says once what is true of all bands, so that whoever asks for the nodata value of the raster is told.
fn share_nodata(info: &mut SourceInfo) {
    let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
    let Some(first) = info.band_nodata(0) else { return };
    let all = (0..info.n_bands).all(|band| info.band_nodata(band).is_some_and(|n| same(n.as_f64(), first.as_f64())));
    if all {
        info.nodata = Some(first);
        info.bands.iter_mut().for_each(|band| band.nodata = None);
    }
}

/// Adds items, each in the place of one of the same domain and name.
fn merge(more: Vec<MetadataItem>, items: &mut Vec<MetadataItem>) {
    let place = |(i, item): (usize, &MetadataItem)| ((item.domain.clone(), item.key.clone()), i);
    let mut places: HashMap<_, _> = items.iter().enumerate().map(place).collect();
    for item in more {
        let at = *places.entry((item.domain.clone(), item.key.clone())).or_insert(items.len());
        match items.get_mut(at) {
            Some(old) => *old = item,
            None => items.push(item),
        }
    }
}
