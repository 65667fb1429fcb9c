//! Where a GeoTIFF lies on the ground: the transform, and the key directory.

use crate::error::Result;
use crate::grid::Geotransform;
use crate::source::{Gcp, GeoKey, GeoKeyValue, MetadataItem, SourceInfo};

use super::directory::{Directory, Parser};
use super::tags;

const RASTER_TYPE_KEY: u16 = 1025;
const VERTICAL_UNITS_KEY: u16 = 4099;
const PIXEL_IS_AREA: u16 = 1;
const PIXEL_IS_POINT: u16 = 2;
/// Keys looked at, and bytes of their values: many times what the specification has names for.
const MAX_KEYS: usize = 1024;
const MAX_VALUE_BYTES: usize = 1 << 20;
/// Control points looked at: a grid of 256 by 256.
const MAX_POINTS: usize = 1 << 16;

/// The keys in the order of the file. Keys that point outside their parameters are left out, and what exceeds a
/// thousand keys or a mebibyte of values.
fn keys(parser: &Parser<'_>, directory: &Directory) -> Result<Vec<GeoKey>> {
    let Some(shorts) = parser.unsigned(directory, tags::GEO_KEY_DIRECTORY, 1 << 17)? else { return Ok(Vec::new()) };
    let doubles = parser.floats(directory, tags::GEO_DOUBLE_PARAMS)?;
    let ascii = match directory.entry(tags::GEO_ASCII_PARAMS) {
        Some(entry) => parser.bytes(entry)?,
        None => Vec::new(),
    };
    let n_keys = (shorts.get(3).copied().unwrap_or(0) as usize).min(MAX_KEYS);
    let mut left = MAX_VALUE_BYTES;
    let entries = shorts.get(4..).unwrap_or_default().chunks_exact(4).take(n_keys);
    let range = |offset: u64, count: u64| offset as usize..(offset as usize).saturating_add(count as usize);
    Ok(entries
        .filter_map(|entry| {
            let [id, location, count, value] = [entry[0], entry[1], entry[2], entry[3]];
            left = left.checked_sub((count as usize).saturating_mul(8))?;
            let value = match location as u16 {
                0 => GeoKeyValue::Short(value as u16),
                tags::GEO_DOUBLE_PARAMS => GeoKeyValue::Doubles(doubles.get(range(value, count))?.to_vec()),
                tags::GEO_ASCII_PARAMS => {
                    let text = String::from_utf8_lossy(ascii.get(range(value, count))?);
                    // Values are separated by '|', which counts as part of the text that it ends.
                    GeoKeyValue::Ascii(text.trim_end_matches(['|', '\0']).to_owned())
                }
                tags::GEO_KEY_DIRECTORY => {
                    let codes = shorts.get(range(value, count))?.iter().map(|code| *code as u16).collect();
                    GeoKeyValue::Shorts(codes)
                }
                _ => return None,
            };
            Some(GeoKey { id: id as u16, value })
        })
        .collect())
}

/// Where the image lies, as far as its tags can be read.
pub(super) fn place(parser: &Parser<'_>, directory: &Directory, info: &mut SourceInfo) {
    info.geo_keys = keys(parser, directory).unwrap_or_default();
    let floats = |tag| parser.floats(directory, tag).unwrap_or_default();
    let (ties, is_point) = (floats(tags::MODEL_TIEPOINT), is_point(&info.geo_keys));
    info.geotransform =
        transform(&floats(tags::MODEL_PIXEL_SCALE), &ties, &floats(tags::MODEL_TRANSFORMATION), is_point);
    if info.geotransform.is_none() {
        info.gcps = control_points(&ties, is_point);
    }
    if let Some(unit) = vertical_unit(&info.geo_keys) {
        info.bands.iter_mut().for_each(|band| unit.clone_into(&mut band.unit));
    }
    let raster_type = info.geo_keys.iter().find(|key| key.id == RASTER_TYPE_KEY).map(|key| &key.value);
    let value = match raster_type {
        Some(GeoKeyValue::Short(PIXEL_IS_AREA)) => "Area",
        Some(GeoKeyValue::Short(PIXEL_IS_POINT)) => "Point",
        _ => return,
    };
    let item = MetadataItem { domain: String::new(), key: "AREA_OR_POINT".to_owned(), value: value.to_owned() };
    info.metadata.push(item);
}

/// The unit of heights, as the keys state it; a raster that has one is taken for a raster of heights.
fn vertical_unit(keys: &[GeoKey]) -> Option<&'static str> {
    match keys.iter().find(|key| key.id == VERTICAL_UNITS_KEY)?.value {
        GeoKeyValue::Short(9001) => Some("metre"),
        GeoKeyValue::Short(9002) => Some("foot"),
        GeoKeyValue::Short(9003) => Some("US survey foot"),
        _ => None,
    }
}

fn is_point(keys: &[GeoKey]) -> bool {
    keys.iter().any(|k| k.id == RASTER_TYPE_KEY && k.value == GeoKeyValue::Short(PIXEL_IS_POINT))
}

/// The transform, as GDAL derives it: from one tie point and the pixel scale, or from the matrix; moved by half a
/// pixel when the coordinates are those of pixel centres.
fn transform(scale: &[f64], ties: &[f64], matrix: &[f64], is_point: bool) -> Option<Geotransform> {
    let mut g = if scale.len() >= 2 && scale[0] != 0.0 && scale[1] != 0.0 && ties.len() >= 6 {
        let (dx, dy) = (scale[0], -scale[1].abs());
        [ties[3] - ties[0] * dx, dx, 0.0, ties[4] - ties[1] * dy, 0.0, dy]
    } else if matrix.len() == 16 {
        [matrix[3], matrix[0], matrix[1], matrix[7], matrix[4], matrix[5]]
    } else {
        return None;
    };
    if is_point {
        g[0] -= (g[1] + g[2]) * 0.5;
        g[3] -= (g[4] + g[5]) * 0.5;
    }
    Some(Geotransform(g))
}

/// Tie points without a scale: pixel, line, level, and the ground coordinates, six numbers each.
fn control_points(ties: &[f64], is_point: bool) -> Vec<Gcp> {
    // Pixels are counted from their corners here, and there from their centres.
    let shift = if is_point { 0.5 } else { 0.0 };
    let points = ties.chunks_exact(6).take(MAX_POINTS).enumerate();
    points
        .map(|(i, t)| Gcp {
            id: (i + 1).to_string(),
            info: String::new(),
            col: t[0] + shift,
            row: t[1] + shift,
            x: t[3],
            y: t[4],
            z: t[5],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transform_comes_from_scale_and_tie_point_or_from_the_matrix() {
        let ties = [1.0, 2.0, 0.0, 100.0, 200.0, 0.0];
        let of = |scale: &[f64], matrix: &[f64], is_point| transform(scale, &ties, matrix, is_point).map(|g| g.0);
        assert_eq!(of(&[10.0, 5.0, 0.0], &[], false), Some([90.0, 10.0, 0.0, 210.0, 0.0, -5.0]));
        assert_eq!(of(&[10.0, -5.0, 0.0], &[], true), Some([85.0, 10.0, 0.0, 212.5, 0.0, -5.0]));
        let matrix: Vec<f64> = (1..17).map(f64::from).collect();
        assert_eq!(of(&[0.0, 5.0, 0.0], &matrix, false), Some([4.0, 1.0, 2.0, 8.0, 5.0, 6.0]));
        assert_eq!(of(&[], &matrix, true), Some([2.5, 1.0, 2.0, 2.5, 5.0, 6.0]));
        assert_eq!(of(&[], &[], false), None);
    }

    #[test]
    fn tie_points_without_a_scale_are_control_points() {
        let ties: Vec<f64> = (0..13).map(f64::from).collect();
        let points = control_points(&ties, true);
        assert_eq!(points.len(), 2);
        let second = Gcp { id: "2".to_owned(), info: String::new(), col: 6.5, row: 7.5, x: 9.0, y: 10.0, z: 11.0 };
        assert_eq!(points[1], second);
        assert_eq!(control_points(&ties, false)[0].col, 0.0);
    }
}
