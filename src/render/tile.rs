//! What is asked for, and what comes of it.

use crate::dataset::CacheUse;
use crate::encode::Encoding;
use crate::grid::Window;
use crate::sample::SampleType;

use super::bytes::TileBytes;
use super::plans::TileStyle;

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
    /// unless it is a progressive JPEG, and loses nothing on top of what the file lost; its quality, chroma and effort are
    /// then those of the file. `true` by default.
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
