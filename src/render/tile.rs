//! One tile, from blocks to bytes.

use crate::cancel;
use crate::dataset::{CacheUse, Dataset, Layout, WindowRequest};
use crate::encode::{Color, Encoding, Picture};
use crate::error::{Error, Result};
use crate::grid::Window;
use crate::memory::zeroed;
use crate::sample::{Sample, SampleType, with_sample};
use crate::source::ColorInterpretation;
use crate::style::StylePlan;
use crate::sync::Arc;

use super::bytes::TileBytes;
use super::cache::{Made, TileCache, Wanted};
use super::key::TileKey;
use super::plans::{Plans, TileStyle};
use super::{passed, styled};

/// Sides beyond this are refused: a tile is something to show, and its memory is not bounded by the file.
const MAX_SIDE: u32 = 16_384;
/// So are tiles of more bytes, which only a great many bands can make.
pub(super) const MAX_BYTES: usize = 2 << 30;

/// Which tile, and how it shall come. Build it with [`new`](Self::new) and change what differs.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TileRequest {
    /// Which of several pictures; 0 by default.
    pub frame: u32,
    /// The level that is cut into tiles.
    pub level: u32,
    /// Tiles from the left.
    pub col: u32,
    /// Tiles from the top.
    pub row: u32,
    /// Pixels across and down a tile; 256 x 256 by default.
    pub size: (u32, u32),
    /// What the tiles of the last column and row are.
    pub edge: Edge,
    /// The form of the result.
    pub encoding: Encoding,
    /// Bands in the order wanted, numbered from 0. By default all of them in a raw tile; in an encoded one the colour
    /// bands (or the first) and opacity.
    pub bands: Option<Vec<u32>>,
    /// Sample values that become 0 and 255; what lies beyond is clamped, between them it is linear, rounded. NaN
    /// becomes 0. The samples of the result are then of 8 bits. By default encoded samples of 1 to 15 bits are shown by
    /// the range that they can hold.
    pub range: Option<(f64, f64)>,
    /// The colours of the picture, in place of `bands` and `range`. What comes of it in an encoded tile has 8 bits; in a
    /// raw one the bands are the channels of the picture, in the sample type that the style says.
    pub style: Option<TileStyle>,
    /// What the read means for the blocks that it comes by.
    pub cache_use: CacheUse,
    /// Whether a tile may be the file that the source stores of it, where there is one of the format asked for and nothing
    /// is to be changed about its pixels: a block of a TIFF, or a whole PNG or JPEG. It costs no encoding, and no decoding
    /// unless it is a progressive JPEG, and loses nothing on top of what the file lost; its quality, chroma and effort are then those of the file. `true` by default.
    pub pass_through: bool,
}

/// What a tile that reaches over the edge of its level is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(i32)]
pub enum Edge {
    /// Smaller: the pixels that there are.
    #[default]
    Crop = 0,
    /// Whole: the rest is nodata where there is such a value, otherwise 0 (transparent where there is opacity).
    Pad = 1,
}

/// A tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// The file, or the samples. Who clones the tile shares them.
    pub bytes: TileBytes,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Bands of a raw tile; of an encoded one, those that were given to the encoder.
    pub n_bands: u32,
    /// The sample type of a raw tile; of an encoded one, that of the samples given to the encoder.
    pub sample: SampleType,
}

impl TileRequest {
    /// The raw tile of 256 x 256 pixels at `level, col, row`.
    #[must_use]
    pub fn new(level: u32, col: u32, row: u32) -> Self {
        Self {
            frame: 0,
            level,
            col,
            row,
            size: (256, 256),
            edge: Edge::Crop,
            encoding: Encoding::Raw,
            bands: None,
            range: None,
            style: None,
            cache_use: CacheUse::Normal,
            pass_through: true,
        }
    }

    /// The same request, with stored files handed out as they are or not.
    #[must_use]
    pub fn pass_through(mut self, pass_through: bool) -> Self {
        self.pass_through = pass_through;
        self
    }

    /// The same request for another frame.
    #[must_use]
    pub fn frame(mut self, frame: u32) -> Self {
        self.frame = frame;
        self
    }

    /// The same request by a reader of another kind.
    #[must_use]
    pub fn cache_use(mut self, cache_use: CacheUse) -> Self {
        self.cache_use = cache_use;
        self
    }

    /// The same request for tiles of another size; `col` and `row` count tiles of that size.
    #[must_use]
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.size = (width, height);
        self
    }

    /// The same request with another treatment of the edge.
    #[must_use]
    pub fn edge(mut self, edge: Edge) -> Self {
        self.edge = edge;
        self
    }

    /// The same request in another form.
    #[must_use]
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// The same request for these bands, numbered from 0.
    #[must_use]
    pub fn bands(mut self, bands: impl Into<Vec<u32>>) -> Self {
        self.bands = Some(bands.into());
        self
    }

    /// The same request with `low` shown as 0 and `high` as 255.
    #[must_use]
    pub fn range(mut self, low: f64, high: f64) -> Self {
        self.range = Some((low, high));
        self
    }

    /// The same request in the colours of a style.
    #[must_use]
    pub fn style(mut self, style: impl Into<TileStyle>) -> Self {
        self.style = Some(style.into());
        self
    }

    /// Pixels across and down the tile, `visible` of which lie in the level.
    pub(super) fn pixels_of(&self, visible: &Window) -> (u32, u32) {
        match self.edge {
            Edge::Crop => (visible.width as u32, visible.height as u32),
            Edge::Pad => self.size,
        }
    }
}

impl Dataset {
    /// One tile, raw or encoded: from the cache of rendered tiles, or made now. One that the source stores as it was asked
    /// for is handed out as it is, without a block being read ([`TileRequest::pass_through`]).
    ///
    /// Of all threads that ask for an absent tile one makes it. Raw tiles whose samples stay as they are are not in that
    /// cache: they are made of the blocks, which have one of their own.
    ///
    /// # Errors
    ///
    /// `invalid argument` when there is no such tile, band or size, when `range` is not two different finite numbers,
    /// or when the encoding has no such samples: PNG takes 8 and 16 bits unsigned, JPEG and WebP 8 bits, anything else
    /// needs a `range`. So are a style together with bands or a range, and what
    /// [`Style::resolve`](crate::Style::resolve) finds wrong. `unsupported` for an encoding that this build lacks.
    /// Otherwise what reading a block met.
    pub fn read_tile(&self, request: &TileRequest) -> Result<Tile> {
        let (visible, look) = (self.tile_window(request)?, self.look(request)?);
        match self.wanted(request, &look) {
            None => self.draw(request, &visible, &look).map(|(tile, _)| tile),
            Some(wanted) => TileCache::process().get_or_make(&wanted, || self.draw(request, &visible, &look)),
        }
    }

    /// Many tiles, as [`read_tile`](Self::read_tile) gives each: those of a viewport. The store, if there is one, is asked
    /// for all of them at once.
    pub fn read_tiles(&self, requests: &[TileRequest]) -> Vec<Result<Tile>> {
        let parts = requests.iter().map(|request| Ok((self.tile_window(request)?, self.look(request)?)));
        let parts: Vec<Result<(Window, Look<'_>)>> = parts.collect();
        let wanted = requests
            .iter()
            .zip(&parts)
            .map(|(request, parts)| parts.as_ref().ok().and_then(|(_, look)| self.wanted(request, look)));
        let wanted: Vec<Option<Wanted>> = wanted.collect();
        let kept: Vec<Wanted> = wanted.iter().flatten().copied().collect();
        let mut fetched = TileCache::process().fetch_many(&kept).into_iter();
        let tiles = requests.iter().zip(parts).zip(wanted).map(|((request, parts), wanted)| {
            let fetched = wanted.and_then(|_| fetched.next().flatten());
            let (visible, look) = parts?;
            let draw = || self.draw(request, &visible, &look);
            match wanted {
                None => draw().map(|(tile, _)| tile),
                // Nobody asks a second time for what was not there a moment ago.
                Some(wanted) => TileCache::process().get_or_fetch(&wanted, |_| fetched, draw),
            }
        });
        tiles.collect()
    }

    /// What the tile of a request is known by; `None` when it is no more than samples of blocks.
    pub(super) fn wanted(&self, request: &TileRequest, look: &Look<'_>) -> Option<Wanted> {
        if look.is_native(request) {
            return None;
        }
        let [a, b, c, d, ..] = request.encoding.key_bytes();
        Some(Wanted {
            key: TileKey::new(self, request, look),
            most: look.pixel_bytes(self) as u64 * u64::from(request.size.0) * u64::from(request.size.1),
            cache_use: request.cache_use,
            is_shareable: self.has_shareable_tiles(),
            form: u32::from_le_bytes([a, b, c, d]),
        })
    }

    /// Forgets all that is known of the pixels: blocks that are not locked, ranges that styles asked for, and rendered
    /// tiles. For a client's own source whose pixels changed.
    ///
    /// What is being read or rendered meanwhile is not found afterwards either.
    ///
    /// # Errors
    ///
    /// `store error` when the store may still have tiles; they are not found through this dataset any more.
    pub fn invalidate(&self) -> Result<()> {
        self.forget_pixels();
        TileCache::process().remove_source(self.tile_source(), self.has_shareable_tiles())
    }

    /// Makes a tile.
    fn draw(&self, request: &TileRequest, visible: &Window, look: &Look<'_>) -> Result<(Tile, Made)> {
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
        let mut window = WindowRequest::new(request.level, *visible).frame(request.frame);
        window.bands.clone_from(&shown.bands);
        window.cache_use = request.cache_use;
        let read_as = if shown.range.is_some() { self.info().sample.part() } else { self.info().sample };
        window.sample = Some(read_as);
        let n_bands = shown.bands.as_ref().map_or(self.info().n_bands as usize, Vec::len);
        let (width, height) = request.pixels_of(visible);
        let pixel = n_bands * read_as.bytes();
        let bytes = (width as usize).checked_mul(height as usize).and_then(|n| n.checked_mul(pixel));
        let bytes = bytes.filter(|bytes| *bytes <= MAX_BYTES);
        let bytes = bytes.ok_or_else(|| Error::limit(format!("a tile of {width}x{height} pixels, {n_bands} bands")))?;
        let mut pixels = zeroed(bytes)?;
        let is_whole = (u64::from(width), u64::from(height)) == (visible.width, visible.height);
        if !is_whole {
            self.pad(&mut pixels, read_as, window.bands.as_deref());
        }
        window.layout = Layout::Strided { pixel, row: pixel * width as usize, band: read_as.bytes() };
        let is_native = read_as == self.info().sample && shown.has_all_bands(self.info().n_bands);
        let is_read = is_whole
            && is_native
            && self.read_copy(request.frame, request.level, visible, request.cache_use, &mut pixels)?;
        if !is_read {
            self.read_window(&window, &mut pixels)?;
        }

        cancel::check()?;
        let (pixels, sample) = match shown.range {
            Some(range) => (to_eight_bits(&pixels, read_as, range), SampleType::U8),
            None => (pixels, read_as),
        };
        let n_bands = n_bands as u32;
        let file = request.encoding.encode(&Picture {
            width,
            height,
            n_bands,
            sample,
            color: shown.color,
            pixels: &pixels,
        })?;
        Ok(Tile { bytes: file.unwrap_or(pixels).into(), width, height, n_bands, sample })
    }

    /// What the pixels of a request are to look like; checks that the encoding can hold it.
    fn look(&self, request: &TileRequest) -> Result<Look<'_>> {
        let Some(style) = &request.style else { return self.shown(request).map(Look::Plain) };
        if request.bands.is_some() || request.range.is_some() {
            let what = if request.bands.is_some() { "bands" } else { "a range" };
            return Err(Error::invalid(format!("a tile with a style and {what}; the style says which")));
        }
        let plan = Plans::process().plan(self, request.frame, style, !request.encoding.is_raw())?;
        if plan.is_unstyled() {
            return self.shown(request).map(Look::Plain);
        }
        Ok(Look::Styled(plan))
    }

    /// As [`look`](Self::look), without resolving a style that was not resolved before.
    pub(super) fn known_look(&self, request: &TileRequest) -> Option<Look<'_>> {
        let Some(style) = &request.style else { return self.shown(request).ok().map(Look::Plain) };
        let plan = Plans::process().known(self, request.frame, style, !request.encoding.is_raw())?;
        if plan.is_unstyled() { self.shown(request).ok().map(Look::Plain) } else { Some(Look::Styled(plan)) }
    }

    /// The pixels of the level that lie in the tile.
    fn tile_window(&self, request: &TileRequest) -> Result<Window> {
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
    fn shown(&self, request: &TileRequest) -> Result<Shown<'_>> {
        let raw = Shown { bands: request.bands.clone(), color: Color::Gray, range: request.range };
        if let Some((low, high)) = request.range
            && (!low.is_finite() || !high.is_finite() || low == high)
        {
            return Err(Error::invalid(format!("a range from {low} to {high}")));
        }
        if request.encoding.is_raw() {
            return Ok(raw);
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
        let bands = request.bands.clone().unwrap_or_else(|| picture_bands(&info.colors));
        let color = match (&bands[..], &info.color_table) {
            ([0], Some(table)) if request.range.is_none() && info.sample == SampleType::U8 => Color::Palette(table),
            ([_], _) => Color::Gray,
            ([_, _], _) => Color::GrayAlpha,
            ([_, _, _], _) => Color::Rgb,
            ([_, _, _, _], _) => Color::Rgba,
            _ => return Err(Error::invalid(format!("a picture of {} bands; 1 to 4 can be encoded", bands.len()))),
        };
        debug_assert_eq!(color.n_bands(), bands.len());
        // Samples of 1, 4 or 12 bits are shown by what they can hold, not by what their type could.
        let own_range = match (info.n_bits, color) {
            (Some(bits), Color::Gray | Color::GrayAlpha | Color::Rgb | Color::Rgba) if bits < 16 && fits => {
                Some((0.0, f64::from((1u32 << bits) - 1)))
            }
            _ => None,
        };
        Ok(Shown { bands: Some(bands), color, range: request.range.or(own_range) })
    }

    /// Fills a tile with "nothing here": nodata where there is such a value, 0 elsewhere and in bands of opacity.
    fn pad(&self, pixels: &mut [u8], sample: SampleType, bands: Option<&[u32]>) {
        if sample.is_complex() {
            return;
        }
        let info = self.info();
        let n_bands = bands.map_or(info.n_bands as usize, <[u32]>::len);
        let is_alpha = |i: usize| {
            let band = bands.map_or(i, |bands| bands[i] as usize);
            info.colors[band] == ColorInterpretation::Alpha
        };
        with_sample!(sample, T => {
            let Some(nodata) = crate::resample::nodata_as::<T>(info.nodata) else { return };
            for pixel in pixels.chunks_exact_mut(T::BYTES * n_bands) {
                for (i, target) in pixel.chunks_exact_mut(T::BYTES).enumerate() {
                    if !is_alpha(i) {
                        nodata.write(target);
                    }
                }
            }
        });
    }
}

/// What samples become on their way into a tile.
pub(super) enum Look<'a> {
    Plain(Shown<'a>),
    Styled(Arc<StylePlan>),
}

/// Bands as they are, or stretched over a range, and what an encoder makes of them.
pub(super) struct Shown<'a> {
    pub(super) bands: Option<Vec<u32>>,
    pub(super) color: Color<'a>,
    pub(super) range: Option<(f64, f64)>,
}

impl Shown<'_> {
    /// Whether they are all bands of so many, in their order.
    pub(super) fn has_all_bands(&self, n_bands: u32) -> bool {
        self.bands.as_ref().is_none_or(|bands| bands.iter().copied().eq(0..n_bands))
    }
}

impl Look<'_> {
    /// Whether a tile of it is no more than samples of blocks in order.
    fn is_native(&self, request: &TileRequest) -> bool {
        request.encoding.is_raw() && matches!(self, Look::Plain(Shown { range: None, .. }))
    }

    /// Bytes of a pixel before it is encoded.
    fn pixel_bytes(&self, dataset: &Dataset) -> usize {
        match self {
            Look::Styled(plan) => plan.pixel_bytes(),
            Look::Plain(Shown { bands, range, .. }) => {
                let n_bands = bands.as_ref().map_or(dataset.info().n_bands as usize, Vec::len);
                n_bands * if range.is_some() { 1 } else { dataset.info().sample.bytes() }
            }
        }
    }
}

/// The bands that make a picture: red, green, blue or the first one, and opacity.
fn picture_bands(colors: &[ColorInterpretation]) -> Vec<u32> {
    use ColorInterpretation as C;
    let find = |color: C| colors.iter().position(|c| *c == color).map(|band| band as u32);
    let mut bands = match (find(C::Red), find(C::Green), find(C::Blue)) {
        (Some(red), Some(green), Some(blue)) => vec![red, green, blue],
        _ => vec![0],
    };
    bands.extend(find(C::Alpha).filter(|alpha| !bands.contains(alpha)));
    bands
}

fn to_eight_bits(pixels: &[u8], sample: SampleType, (low, high): (f64, f64)) -> Vec<u8> {
    let scale = 255.0 / (high - low);
    with_sample!(sample, T => {
        pixels.chunks_exact(T::BYTES).map(|s| u8::from_f64((T::read(s).to_f64() - low) * scale)).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, MemorySource, OpenOptions};

    fn dataset(sample: SampleType, n_bands: u32, value: impl Fn(usize) -> Vec<u8>) -> Dataset {
        let pixels = (0..300 * 200 * n_bands as usize).flat_map(value).collect();
        let source = MemorySource::new(300, 200, n_bands, sample, (64, 64), pixels).unwrap();
        Dataset::from_source(source, &OpenOptions::default()).unwrap()
    }

    fn decode_png(file: &[u8]) -> (Vec<u8>, png::OutputInfo) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        pixels.truncate(info.buffer_size());
        (pixels, info)
    }

    #[test]
    fn edge_tiles_are_cropped_or_padded() {
        let dataset = dataset(SampleType::U8, 1, |i| vec![(i % 300) as u8 | 1]);
        let cropped = dataset.read_tile(&TileRequest::new(0, 1, 0)).unwrap();
        assert_eq!((cropped.width, cropped.height, cropped.bytes.len()), (44, 200, 44 * 200));
        let padded = dataset.read_tile(&TileRequest::new(0, 1, 0).edge(Edge::Pad)).unwrap();
        assert_eq!((padded.width, padded.height, padded.bytes.len()), (256, 256, 256 * 256));
        for (y, row) in padded.bytes.chunks(256).enumerate() {
            let valid = if y < 200 { &cropped.bytes[y * 44..][..44] } else { &[][..] };
            assert_eq!(&row[..valid.len()], valid);
            assert!(row[valid.len()..].iter().all(|s| *s == 0));
        }
        let outside = dataset.read_tile(&TileRequest::new(0, 2, 0)).unwrap_err();
        assert_eq!(outside.kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn png_holds_the_pixels_of_the_raw_tile() {
        for (sample, n_bands) in [(SampleType::U8, 1), (SampleType::U8, 3), (SampleType::U16, 1), (SampleType::U16, 3)]
        {
            let dataset = dataset(sample, n_bands, |i| (i as u16).to_ne_bytes()[..sample.bytes()].to_vec());
            let request = TileRequest::new(0, 0, 0).size(128, 100);
            let raw = dataset.read_tile(&request).unwrap();
            let file = dataset.read_tile(&request.encoding(Encoding::Png)).unwrap();
            let (mut pixels, info) = decode_png(&file.bytes);
            if sample == SampleType::U16 && cfg!(target_endian = "little") {
                pixels.chunks_exact_mut(2).for_each(<[u8]>::reverse);
            }
            assert_eq!((info.width, info.height), (128, 100));
            assert_eq!(pixels, raw.bytes);
        }
    }

    #[test]
    fn a_range_makes_eight_bits_of_anything() {
        let dataset = dataset(SampleType::F32, 1, |i| ((i % 300) as f32 - 10.0).to_ne_bytes().to_vec());
        let request = TileRequest::new(0, 0, 0).size(300, 1);
        assert!(dataset.read_tile(&request.clone().encoding(Encoding::Png)).is_err());
        let tile = dataset.read_tile(&request.clone().range(0.0, 255.0)).unwrap();
        assert_eq!(
            (tile.sample, tile.bytes[5], tile.bytes[10], tile.bytes[110], tile.bytes[299]),
            (SampleType::U8, 0, 0, 100, 255)
        );
        let inverted = dataset.read_tile(&request.clone().range(255.0, 0.0)).unwrap();
        assert_eq!(inverted.bytes[110], 155);
        for (low, high) in [(1.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
            assert!(dataset.read_tile(&request.clone().range(low, high)).is_err());
        }
    }

    #[test]
    fn jpeg_is_close_to_the_raw_tile() {
        let dataset = dataset(SampleType::U8, 3, |i| vec![(i / 900) as u8]);
        let request = TileRequest::new(0, 0, 0).size(160, 96);
        let raw = dataset.read_tile(&request).unwrap();
        let file = dataset.read_tile(&request.clone().encoding(Encoding::jpeg(90))).unwrap();
        let decoded = crate::source::open_reader(Arc::new(file.bytes.to_vec()), crate::Limits::default()).unwrap();
        let decoded = Dataset::from_source(decoded, &OpenOptions::default()).unwrap();
        let back = decoded.read_tile(&request).unwrap();
        assert!(raw.bytes.iter().zip(&back.bytes).all(|(a, b)| a.abs_diff(*b) <= 4));
        assert!(dataset.read_tile(&request.encoding(Encoding::jpeg(0))).is_err());
    }

    #[test]
    fn palettes_stay_palettes_in_png_and_are_expanded_for_jpeg() {
        let mut source = MemorySource::new(4, 1, 1, SampleType::U8, (4, 1), vec![0, 1, 2, 9]).unwrap();
        source.info_mut().colors = vec![ColorInterpretation::Palette];
        source.info_mut().color_table = Some(vec![[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 0]]);
        let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
        let file = dataset.read_tile(&TileRequest::new(0, 0, 0).encoding(Encoding::Png)).unwrap();
        let (pixels, info) = decode_png(&file.bytes);
        assert_eq!((pixels, info.color_type), (vec![0, 1, 2, 9], png::ColorType::Indexed));
        let file = dataset.read_tile(&TileRequest::new(0, 0, 0).encoding(Encoding::jpeg(90))).unwrap();
        assert!(file.bytes.starts_with(&[0xFF, 0xD8]));
    }

    #[test]
    fn samples_of_few_bits_are_shown_by_what_they_can_hold() {
        let mut source = MemorySource::new(4, 1, 1, SampleType::U8, (4, 1), vec![0, 1, 2, 3]).unwrap();
        source.info_mut().n_bits = Some(2);
        let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
        let request = TileRequest::new(0, 0, 0);
        assert_eq!(dataset.read_tile(&request).unwrap().bytes, [0, 1, 2, 3]);
        let file = dataset.read_tile(&request.encoding(Encoding::Png)).unwrap();
        assert_eq!(decode_png(&file.bytes).0, [0, 85, 170, 255]);
    }

    #[test]
    fn padding_is_nodata_and_transparent() {
        let mut source = MemorySource::new(1, 1, 2, SampleType::U8, (1, 1), vec![7, 255]).unwrap();
        source.info_mut().nodata = Some(crate::Nodata::Float(9.0));
        source.info_mut().colors = vec![ColorInterpretation::Gray, ColorInterpretation::Alpha];
        let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
        let request = TileRequest::new(0, 0, 0).size(2, 1).edge(Edge::Pad);
        assert_eq!(dataset.read_tile(&request).unwrap().bytes, [7, 255, 9, 0]);
        assert_eq!(dataset.read_tile(&request.bands([1])).unwrap().bytes, [255, 0]);
    }

    #[test]
    fn bands_one_after_the_other_are_those_of_the_interleaved_tile() {
        let dataset = dataset(SampleType::U16, 3, |i| (i as u16).to_ne_bytes().to_vec());
        let request = TileRequest::new(0, 1, 0).bands([2, 0]).edge(Edge::Pad);
        let by_pixel = dataset.read_tile(&request).unwrap();
        let by_band = dataset.read_tile(&request.encoding(Encoding::RawBands)).unwrap();
        assert_eq!(by_band.bytes.len(), by_pixel.bytes.len());
        for (i, pixel) in by_pixel.bytes.chunks(4).enumerate() {
            assert_eq!(by_band.bytes[2 * i..][..2], pixel[..2]);
            assert_eq!(by_band.bytes[2 * (256 * 256 + i)..][..2], pixel[2..]);
        }
    }

    #[test]
    fn webp_holds_the_pixels_of_the_raw_tile() {
        let dataset = dataset(SampleType::U8, 4, |i| vec![(i / 4 * (i % 4 + 1)) as u8]);
        let request = TileRequest::new(0, 0, 0).size(100, 80);
        let raw = dataset.read_tile(&request).unwrap();
        let request = request.bands([0, 1, 2, 3]);
        let file = dataset.read_tile(&request.clone().encoding(Encoding::WebPLossless)).unwrap();
        let mut pixels = vec![0; raw.bytes.len()];
        crate::codec::webp::decode(&file.bytes, 100, 4, &mut pixels).unwrap();
        assert!(pixels == raw.bytes);
        let lossy = dataset.read_tile(&request.encoding(Encoding::webp(40)));
        match cfg!(feature = "libwebp") {
            true => assert_eq!(lossy.unwrap().bytes[8..16], *b"WEBPVP8X"),
            false => assert_eq!(lossy.unwrap_err().kind(), ErrorKind::Unsupported),
        }
    }

    #[test]
    fn wide_samples_need_a_range_where_a_file_has_eight_bits() {
        let dataset = dataset(SampleType::U16, 1, |i| (i as u16).to_ne_bytes().to_vec());
        for encoding in [Encoding::jpeg(80), Encoding::WebPLossless] {
            let request = TileRequest::new(0, 0, 0).encoding(encoding);
            let error = dataset.read_tile(&request).unwrap_err();
            assert!(error.message().contains("u16"), "{error}");
            assert_eq!(dataset.read_tile(&request.range(0.0, 60_000.0)).unwrap().sample, SampleType::U8);
        }
        assert!(dataset.read_tile(&TileRequest::new(0, 0, 0).encoding(Encoding::PngSmall)).is_ok());
    }

    #[test]
    fn a_tile_that_no_memory_can_hold_is_refused() {
        let source = MemorySource::new(1, 1, 60_000, SampleType::F64, (1, 1), vec![0; 480_000]).unwrap();
        let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
        let request = TileRequest::new(0, 0, 0).size(16_384, 16_384).edge(Edge::Pad);
        assert_eq!(dataset.read_tile(&request).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn four_bands_that_are_no_picture_need_to_be_chosen_from() {
        let dataset = dataset(SampleType::U8, 5, |i| vec![i as u8]);
        let request = TileRequest::new(0, 0, 0).encoding(Encoding::Png);
        assert_eq!(dataset.read_tile(&request).unwrap().n_bands, 3);
        assert_eq!(dataset.read_tile(&request.clone().bands([4])).unwrap().n_bands, 1);
        assert!(dataset.read_tile(&request.clone().bands([0, 1, 2, 3, 4])).is_err());
        assert!(dataset.read_tile(&request.bands([5])).is_err());
    }
}
