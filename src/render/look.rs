//! What samples become on their way into a tile.

use crate::dataset::Dataset;
use crate::encode::Color;
use crate::error::{Error, Result};
use crate::grid::Window;
use crate::sample::SampleType;
use crate::source::ColorInterpretation;
use crate::style::StylePlan;
use crate::sync::Arc;

use super::plans::{Plans, TileStyle};
use super::tile::TileRequest;

/// Sides beyond this are refused: a tile is something to show, and its memory is not bounded by the file.
const MAX_SIDE: u32 = 16_384;

/// What samples become on their way into a tile.
pub(super) enum Look<'a> {
    Plain(Shown<'a>),
    Styled(Arc<StylePlan>),
}

/// Bands as they are, or stretched over a range, and what an encoder makes of them.
pub(super) struct Shown<'a> {
    pub(super) bands: Bands<'a>,
    pub(super) color: Color<'a>,
    pub(super) range: Option<(f64, f64)>,
}

/// Which bands, in which order. Choosing them takes no memory: it is done for every tile, those that are found included.
pub(super) enum Bands<'a> {
    All,
    Asked(&'a [u32]),
    /// The first so many of these make a picture.
    Picture([u32; 4], usize),
}

impl Bands<'_> {
    /// The bands that were chosen; `None` for all of them.
    pub(super) fn chosen(&self) -> Option<&[u32]> {
        match self {
            Self::All => None,
            Self::Asked(bands) => Some(bands),
            Self::Picture(bands, n) => bands.get(..*n),
        }
    }

    /// How many they are of a dataset's.
    pub(super) fn count(&self, dataset: &Dataset) -> usize {
        self.chosen().map_or(dataset.info().n_bands as usize, <[u32]>::len)
    }

    /// Whether they are all bands of so many, in their order.
    pub(super) fn are_all(&self, n_bands: u32) -> bool {
        self.chosen().is_none_or(|bands| bands.iter().copied().eq(0..n_bands))
    }
}

impl Look<'_> {
    /// Whether a tile of it is no more than samples of blocks in order.
    pub(super) fn is_native(&self, request: &TileRequest) -> bool {
        request.encoding.is_raw() && matches!(self, Look::Plain(Shown { range: None, .. }))
    }

    /// Bytes of a pixel before it is encoded.
    pub(super) fn pixel_bytes(&self, dataset: &Dataset) -> usize {
        match self {
            Look::Styled(plan) => plan.pixel_bytes(),
            Look::Plain(Shown { bands, range, .. }) => {
                bands.count(dataset) * if range.is_some() { 1 } else { dataset.info().sample.bytes() }
            }
        }
    }
}

impl Dataset {
    /// What the pixels of a request are to look like; checks that the encoding can hold it.
    pub(super) fn look<'a>(&'a self, request: &'a TileRequest) -> Result<Look<'a>> {
        let plan = style_of(request)?
            .map(|style| Plans::process().plan(self, request.frame, style, !request.encoding.is_raw()))
            .transpose()?;
        self.look_of(request, plan)
    }

    /// As [`look`](Self::look), without resolving a style that was not resolved before.
    pub(super) fn known_look<'a>(&'a self, request: &'a TileRequest) -> Option<Look<'a>> {
        let plan = match style_of(request).ok()? {
            Some(style) => Some(Plans::process().known(self, request.frame, style, !request.encoding.is_raw())?),
            None => None,
        };
        self.look_of(request, plan).ok()
    }

    fn look_of<'a>(&'a self, request: &'a TileRequest, plan: Option<Arc<StylePlan>>) -> Result<Look<'a>> {
        match plan {
            Some(plan) if !plan.is_unstyled() => Ok(Look::Styled(plan)),
            _ => self.shown(request).map(Look::Plain),
        }
    }

    /// The pixels of the level that lie in the tile.
    pub(super) fn tile_window(&self, request: &TileRequest) -> Result<Window> {
        let level = self.level(request.level)?;
        let (width, height) = request.size;
        if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
            return Err(Error::invalid(format!("a tile of {width}x{height} pixels; sides go from 1 to {MAX_SIDE}")));
        }
        let (x, y) = (u64::from(request.col) * u64::from(width), u64::from(request.row) * u64::from(height));
        let whole = Window::new(x, y, u64::from(width), u64::from(height));
        whole.intersection(&level.window()).ok_or_else(|| {
            Error::invalid(format!(
                "tile ({}, {}) of {width}x{height} pixels lies outside level {} of {}x{}",
                request.col, request.row, request.level, level.width, level.height
            ))
        })
    }

    /// The bands to read and what an encoder makes of them; checks that it can.
    fn shown<'a>(&'a self, request: &'a TileRequest) -> Result<Shown<'a>> {
        let asked = asked_bands(request, self.info().n_bands)?;
        if let Some((low, high)) = request.range
            && (!low.is_finite() || !high.is_finite() || low == high)
        {
            return Err(Error::invalid(format!("a range from {low} to {high}")));
        }
        if request.encoding.is_raw() {
            return Ok(Shown { bands: asked.unwrap_or(Bands::All), color: Color::Gray, range: request.range });
        }
        request.encoding.check()?;
        let info = self.info();
        let fits = match info.sample {
            SampleType::U8 => true,
            SampleType::U16 => request.encoding.takes_16_bits(),
            _ => false,
        };
        if !fits && request.range.is_none() {
            return Err(Error::invalid(format!("samples of type {} need a range to be encoded", info.sample.name())));
        }
        let bands = asked.unwrap_or_else(|| picture_bands(&info.colors));
        let color = match (bands.chosen().unwrap_or_default(), &info.color_table) {
            ([0], Some(table)) if request.range.is_none() && info.sample == SampleType::U8 => Color::Palette(table),
            ([_], _) => Color::Gray,
            ([_, _], _) => Color::GrayAlpha,
            ([_, _, _], _) => Color::Rgb,
            ([_, _, _, _], _) => Color::Rgba,
            (bands, _) => {
                return Err(Error::invalid(format!("a picture of {} bands; 1 to 4 can be encoded", bands.len())));
            }
        };
        debug_assert_eq!(color.n_bands(), bands.count(self));
        // Samples of 1, 4 or 12 bits are shown by what they can hold, not by what their type could.
        let own_range = match (info.n_bits, color) {
            (Some(bits), Color::Gray | Color::GrayAlpha | Color::Rgb | Color::Rgba) if bits < 16 && fits => {
                Some((0.0, f64::from((1u32 << bits) - 1)))
            }
            _ => None,
        };
        Ok(Shown { bands, color, range: request.range.or(own_range) })
    }
}

/// The style that gives the colours of a request; checks that nothing else does.
fn style_of(request: &TileRequest) -> Result<Option<&TileStyle>> {
    if request.style.is_some() && (request.bands.is_some() || request.range.is_some()) {
        let what = if request.bands.is_some() { "bands" } else { "a range" };
        return Err(Error::invalid(format!("a tile with a style and {what}; the style says which")));
    }
    Ok(request.style.as_ref())
}

/// The bands that a request names; checks that there are such.
fn asked_bands(request: &TileRequest, n_bands: u32) -> Result<Option<Bands<'_>>> {
    let Some(bands) = request.bands.as_deref() else { return Ok(None) };
    if bands.is_empty() {
        return Err(Error::invalid("a tile of no bands"));
    }
    if let Some(band) = bands.iter().find(|band| **band >= n_bands) {
        return Err(Error::invalid(format!("band {band}: the bands are numbered 0 to {}", n_bands - 1)));
    }
    Ok(Some(Bands::Asked(bands)))
}

/// The bands that make a picture: red, green, blue or the first one, and opacity.
fn picture_bands(colors: &[ColorInterpretation]) -> Bands<'static> {
    use ColorInterpretation as C;
    let find = |color: C| colors.iter().position(|c| *c == color).map(|band| band as u32);
    let (mut bands, mut n) = match (find(C::Red), find(C::Green), find(C::Blue)) {
        (Some(red), Some(green), Some(blue)) => ([red, green, blue, 0], 3),
        _ => ([0; 4], 1),
    };
    if let Some(alpha) = find(C::Alpha).filter(|alpha| !bands[..n].contains(alpha)) {
        bands[n] = alpha;
        n += 1;
    }
    Bands::Picture(bands, n)
}
