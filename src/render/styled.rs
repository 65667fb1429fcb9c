//! One tile in the colours of a style.

use crate::dataset::Dataset;
use crate::encode::{Color, Picture};
use crate::error::{Error, Result};
use crate::grid::Window;
use crate::memory::zeroed;
use crate::style::{Area, StylePlan};

use super::tile::{Edge, MAX_BYTES, Tile, TileRequest};

/// Samples are read in so many bytes at a time, if they make one row.
const PART_BYTES: usize = 8 << 20;

/// Reads the pixels of `visible`, which lie in the tile, and makes the tile of them. What lies beyond them is 0:
/// transparent, and black where there is no opacity.
pub(super) fn read(dataset: &Dataset, request: &TileRequest, visible: &Window, plan: &StylePlan) -> Result<Tile> {
    request.encoding.check()?;
    let (width, height) = match request.edge {
        Edge::Crop => (visible.width as u32, visible.height as u32),
        Edge::Pad => request.size,
    };
    let pixel = plan.pixel_bytes();
    let bytes = (width as usize).checked_mul(height as usize).and_then(|n| n.checked_mul(pixel));
    let bytes = bytes.filter(|bytes| *bytes <= MAX_BYTES);
    let bytes = bytes.ok_or_else(|| Error::limit(format!("a tile of {width}x{height} pixels of {pixel} bytes")))?;
    let mut pixels = zeroed(bytes)?;

    let row = visible.width as usize * pixel;
    let row_read = (visible.width as usize * plan.input_bytes()).max(1);
    let n_rows = (PART_BYTES / row_read).clamp(1, visible.height as usize);
    let mut styled = zeroed(n_rows * row)?;
    for (first, target) in (0..visible.height).step_by(n_rows).zip(pixels.chunks_mut(n_rows * width as usize * pixel)) {
        let n_rows = (n_rows as u64).min(visible.height - first);
        let window = Window::new(visible.x, visible.y + first, visible.width, n_rows);
        let area =
            Area { level: request.level, window: &window, resampling: plan.resampling(), cache_use: request.cache_use };
        let styled = &mut styled[..n_rows as usize * row];
        plan.apply(&plan.read(dataset, area)?, styled)?;
        for (from, to) in styled.chunks_exact(row).zip(target.chunks_mut(width as usize * pixel)) {
            to[..row].copy_from_slice(from);
        }
    }

    let color = if plan.n_channels() == 1 { Color::Gray } else { Color::Rgba };
    let file = request.encoding.file(&Picture { width, height, color, wide: false, pixels: &pixels })?;
    let bytes = file.unwrap_or(pixels).into();
    Ok(Tile { bytes, width, height, n_bands: plan.n_channels(), sample: plan.sample() })
}
