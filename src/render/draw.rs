//! One tile, from blocks to bytes.

use crate::cancel;
use crate::dataset::{Dataset, Layout, WindowRequest};
use crate::encode::Picture;
use crate::error::{Error, Result};
use crate::grid::Window;
use crate::memory::{Buffer, Pool};
use crate::sample::{Sample, SampleType, with_sample};
use crate::source::ColorInterpretation;

use super::bytes::TileBytes;
use super::cache::Made;
use super::look::{Look, Shown};
use super::tile::{Tile, TileRequest};
use super::{passed, styled};

/// Tiles of more bytes are refused, which only a great many bands can make.
const MAX_BYTES: usize = 2 << 30;

impl Dataset {
    /// Makes a tile.
    pub(super) fn draw(&self, request: &TileRequest, visible: &Window, look: &Look<'_>) -> Result<(Tile, Made)> {
        let tile = match look {
            Look::Styled(plan) => styled::read(self, request, visible, plan)?,
            Look::Plain(shown) => match passed::tile(self, request, visible, shown) {
                Some(tile) => return Ok((tile, Made::Passed)),
                None => self.draw_plain(request, visible, shown)?,
            },
        };
        Ok((tile, Made::Rendered))
    }

    fn draw_plain(&self, request: &TileRequest, visible: &Window, shown: &Shown<'_>) -> Result<Tile> {
        let info = self.info();
        let read_as = if shown.range.is_some() { info.sample.part() } else { info.sample };
        let n_bands = shown.bands.count(self);
        let (width, height) = request.pixels_of(visible);
        let pixel = n_bands * read_as.bytes();
        let mut pixels = pixels(width, height, pixel)?;
        let is_whole = (u64::from(width), u64::from(height)) == (visible.width, visible.height);
        if !is_whole {
            self.pad(&mut pixels, read_as, shown.bands.chosen());
        }
        let is_native = read_as == info.sample && shown.bands.are_all(info.n_bands);
        let is_read = is_whole
            && is_native
            && self.read_copy(request.frame, request.level, visible, request.cache_use, &mut pixels)?;
        if !is_read {
            let mut window = WindowRequest::new(request.level, *visible).frame(request.frame);
            window.bands = shown.bands.chosen().map(<[u32]>::to_vec);
            window.cache_use = request.cache_use;
            window.sample = Some(read_as);
            window.layout = Layout::Strided { pixel, row: pixel * width as usize, band: read_as.bytes() };
            self.read_window(&window, &mut pixels)?;
        }

        cancel::check()?;
        let (pixels, sample) = match shown.range {
            Some(range) => (to_eight_bits(&pixels, read_as, range)?, SampleType::U8),
            None => (pixels, read_as),
        };
        let (n_bands, color) = (n_bands as u32, shown.color);
        let file = request.encoding.encode(&Picture { width, height, n_bands, sample, color, pixels: &pixels })?;
        let bytes = file.map_or_else(|| TileBytes::new(pixels), TileBytes::from);
        Ok(Tile { bytes, width, height, n_bands, sample })
    }

    /// Fills a tile with "nothing here": nodata where there is such a value, 0 elsewhere and in bands of opacity.
    fn pad(&self, pixels: &mut [u8], sample: SampleType, bands: Option<&[u32]>) {
        pixels.fill(0);
        if sample.is_complex() {
            return;
        }
        let info = self.info();
        let n_bands = bands.map_or(info.n_bands as usize, <[u32]>::len);
        let band = |i: usize| bands.map_or(i as u32, |bands| bands[i]);
        with_sample!(sample, T => {
            let nothing = |band: u32| match info.colors[band as usize] {
                ColorInterpretation::Alpha => None,
                _ => crate::resample::nodata_as::<T>(info.band_nodata(band)),
            };
            let nothing: Vec<Option<T>> = (0..n_bands).map(|i| nothing(band(i))).collect();
            if nothing.iter().all(Option::is_none) {
                return;
            }
            for pixel in pixels.chunks_exact_mut(T::BYTES * n_bands) {
                for (target, nothing) in pixel.chunks_exact_mut(T::BYTES).zip(&nothing) {
                    nothing.iter().for_each(|nothing| nothing.write(target));
                }
            }
        });
    }
}

/// Memory for the pixels of a tile, with whatever was there before.
pub(super) fn pixels(width: u32, height: u32, pixel: usize) -> Result<Buffer> {
    let bytes = (width as usize).checked_mul(height as usize).and_then(|n| n.checked_mul(pixel));
    let bytes = bytes.filter(|bytes| *bytes <= MAX_BYTES);
    let bytes = bytes.ok_or_else(|| Error::limit(format!("a tile of {width}x{height} pixels of {pixel} bytes")))?;
    Pool::process().take(bytes)
}

/// The samples, with the ends of the range as 0 and 255.
fn to_eight_bits(samples: &[u8], sample: SampleType, (low, high): (f64, f64)) -> Result<Buffer> {
    let mut pixels = Pool::process().take(samples.len() / sample.bytes())?;
    let scale = 255.0 / (high - low);
    with_sample!(sample, T => {
        for (pixel, sample) in pixels.iter_mut().zip(samples.chunks_exact(T::BYTES)) {
            *pixel = u8::from_f64((T::read(sample).to_f64() - low) * scale);
        }
    });
    Ok(pixels)
}
