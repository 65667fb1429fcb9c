//! Where a GeoTIFF lies on the ground: the transform, and the key directory.

use crate::error::Result;
use crate::grid::Geotransform;
use crate::source::{GeoKey, GeoKeyValue};

use super::directory::{Directory, Parser};
use super::tags;

const RASTER_TYPE_KEY: u16 = 1025;
const PIXEL_IS_POINT: u16 = 2;
/// Keys looked at, and bytes of their values: many times what the specification has names for.
const MAX_KEYS: usize = 1024;
const MAX_VALUE_BYTES: usize = 1 << 20;

/// The keys in the order of the file. Keys that point outside their parameters are left out, and what exceeds a
/// thousand keys or a mebibyte of values.
pub(super) fn keys(parser: &Parser<'_>, directory: &Directory) -> Result<Vec<GeoKey>> {
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

/// The transform, as GDAL derives it: from one tie point and the pixel scale, or from the matrix; moved by half a
/// pixel when the coordinates are those of pixel centres. Several tie points without a scale are control points, not
/// a transform.
pub(super) fn transform(parser: &Parser<'_>, directory: &Directory, keys: &[GeoKey]) -> Result<Option<Geotransform>> {
    let scale = parser.floats(directory, tags::MODEL_PIXEL_SCALE)?;
    let ties = parser.floats(directory, tags::MODEL_TIEPOINT)?;
    let matrix = parser.floats(directory, tags::MODEL_TRANSFORMATION)?;
    let mut g = if scale.len() >= 2 && scale[0] != 0.0 && scale[1] != 0.0 && ties.len() >= 6 {
        let (dx, dy) = (scale[0], -scale[1].abs());
        [ties[3] - ties[0] * dx, dx, 0.0, ties[4] - ties[1] * dy, 0.0, dy]
    } else if matrix.len() == 16 {
        [matrix[3], matrix[0], matrix[1], matrix[7], matrix[4], matrix[5]]
    } else {
        return Ok(None);
    };
    let is_point = keys.iter().any(|k| k.id == RASTER_TYPE_KEY && k.value == GeoKeyValue::Short(PIXEL_IS_POINT));
    if is_point {
        g[0] -= (g[1] + g[2]) * 0.5;
        g[3] -= (g[4] + g[5]) * 0.5;
    }
    Ok(Some(Geotransform(g)))
}
