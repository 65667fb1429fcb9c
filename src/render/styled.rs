//! One tile in the colours of a style.

use crate::cancel;
use crate::dataset::Dataset;
use crate::encode::{Color, Picture};
use crate::error::Result;
use crate::grid::Window;
use crate::sample::SampleType;
use crate::style::{Area, Samples, StylePlan};

use super::bytes::TileBytes;
use super::draw::pixels;
use super::tile::{Tile, TileRequest};

/// Samples are read in so many bytes at a time, if they make one row.
const PART_BYTES: usize = 8 << 20;

/// Reads the pixels of `visible`, which lie in the tile, and makes the tile of them. What lies beyond them is 0:
/// transparent, and black where there is no opacity.
pub(super) fn read(dataset: &Dataset, request: &TileRequest, visible: &Window, plan: &StylePlan) -> Result<Tile> {
    request.encoding.check()?;
    let (width, height) = request.pixels_of(visible);
    let of_plan = |bytes: TileBytes| Tile { bytes, width, height, n_bands: plan.n_channels(), sample: plan.sample() };
    let is_whole = (u64::from(width), u64::from(height)) == (visible.width, visible.height);
    if is_whole
        && !request.encoding.is_raw()
        && let Some(colors) = plan.index_colors()
    {
        // No more colours than a palette has: the samples are the picture, and are encoded in a third of the time.
        let mut pixels = pixels(width, height, 1)?;
        for_parts(dataset, request, visible, plan, |first, samples| {
            let plane = samples.plane(0);
            pixels[(first * visible.width) as usize..][..plane.len()].copy_from_slice(plane);
            Ok(())
        })?;
        let (color, sample) = (Color::Palette(colors), SampleType::U8);
        let picture = Picture { width, height, n_bands: 1, sample, color, pixels: &pixels };
        if let Some(file) = request.encoding.encode(&picture)? {
            return Ok(of_plan(file.into()));
        }
    }

    let pixel = plan.pixel_bytes();
    let mut pixels = pixels(width, height, pixel)?;
    let (row, target_row) = (visible.width as usize * pixel, width as usize * pixel);
    if !is_whole {
        pixels.fill(0);
    }
    let mut part = Vec::new();
    for_parts(dataset, request, visible, plan, |first, samples| {
        let target = &mut pixels[first as usize * target_row..];
        let bytes = samples.n_pixels() * pixel;
        if is_whole {
            return plan.apply(samples, &mut target[..bytes]);
        }
        part.resize(bytes, 0);
        plan.apply(samples, &mut part)?;
        for (from, to) in part.chunks_exact(row).zip(target.chunks_mut(target_row)) {
            to[..row].copy_from_slice(from);
        }
        Ok(())
    })?;
    cancel::check()?;
    let color = if plan.n_channels() == 1 { Color::Gray } else { Color::Rgba };
    let (n_bands, sample) = (plan.n_channels(), plan.sample());
    let file = request.encoding.encode(&Picture { width, height, n_bands, sample, color, pixels: &pixels })?;
    Ok(of_plan(file.map_or_else(|| TileBytes::new(pixels), TileBytes::from)))
}

/// Reads what the plan works on, a few rows at a time, and gives them to `each` with the number of the first row.
fn for_parts(
    dataset: &Dataset,
    request: &TileRequest,
    visible: &Window,
    plan: &StylePlan,
    mut each: impl FnMut(u64, &Samples) -> Result<()>,
) -> Result<()> {
    let row_bytes = (visible.width as usize * plan.input_bytes()).max(1);
    let n_rows = (PART_BYTES / row_bytes).clamp(1, visible.height as usize) as u64;
    for first in (0..visible.height).step_by(n_rows as usize) {
        let window = Window::new(visible.x, visible.y + first, visible.width, n_rows.min(visible.height - first));
        let area =
            Area { level: request.level, window: &window, resampling: plan.resampling(), cache_use: request.cache_use };
        let samples = plan.read(dataset, area)?;
        cancel::check()?;
        each(first, &samples)?;
    }
    Ok(())
}
