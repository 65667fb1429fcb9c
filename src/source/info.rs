//! What a source says of itself.

use std::fmt;

use crate::block::{BlockLayout, Interleave};
use crate::error::{Error, Result};
use crate::grid::{BlockId, EdgeBlocks, Geotransform, Level};
use crate::sample::SampleType;

use super::{AssociatedImage, BandInfo, Gcp, PageInfo};

/// What a source holds: its levels, its samples, and what the file says about them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SourceInfo {
    /// Short name of the format: `tiff`, `bigtiff`, `png`, `jpeg`, `memory`, or the client's own.
    pub format: String,
    /// Short name of how pixels are compressed: `none`, `deflate`, `jpeg`, …
    pub compression: String,
    /// The levels that the source gives, finest first; never empty. All are stored, but for those that it makes while it
    /// decodes, each of half the size of the one before, rounded up: they are not [`native`](Level::native).
    pub levels: Vec<Level>,
    /// The page of the file that it is, one of `pages` as a rule; 0 for a source that is no file of pages.
    pub page: u32,
    /// The pages of the file, in its order; none where the format has no such thing. Frames of this raster are among them.
    pub pages: Vec<PageInfo>,
    /// Pictures of this size and kind; every one has all levels.
    pub n_frames: u32,
    /// Bands of every level.
    pub n_bands: u32,
    /// The type of every sample.
    pub sample: SampleType,
    /// Bits of a sample that carry information, when fewer than the type has.
    pub n_bits: Option<u32>,
    /// `Band`: every band is stored in blocks of its own, and is a plane of [`BlockId`].
    pub interleave: Interleave,
    /// What each band shows; as many as there are bands.
    pub colors: Vec<ColorInterpretation>,
    /// What is known of each band beside that; as many as there are bands.
    pub bands: Vec<BandInfo>,
    /// The sample that means "nothing here", for all bands.
    pub nodata: Option<Nodata>,
    /// Bands of the mask that the source stores: 0 for none, 1 for one that is good for all bands, else one a band.
    pub n_mask_bands: u32,
    /// Where level 0 lies on the ground.
    pub geotransform: Option<Geotransform>,
    /// Points whose place on the ground is known; most files have none.
    pub gcps: Vec<Gcp>,
    /// The coordinate reference system as well-known text, where a file beside the raster states it so.
    pub srs_wkt: Option<String>,
    /// The keys of the GeoTIFF key directory, in the order of the file.
    pub geo_keys: Vec<GeoKey>,
    /// RGBA of each sample, for a single band of palette indices.
    pub color_table: Option<Vec<[u8; 4]>>,
    /// Micrometres that a pixel of level 0 measures, across and down, as slides and scans say it.
    pub pixel_size_um: Option<(f64, f64)>,
    /// Further pictures, each of which is a dataset of its own.
    pub associated: Vec<AssociatedImage>,
    /// Names of the blocks of bytes that the file carries for others: `exif`, `icc`, `xmp`.
    pub blobs: Vec<String>,
    /// Everything else the file says in words.
    pub metadata: Vec<MetadataItem>,
}

impl SourceInfo {
    /// A source of pixel-interleaved samples about which nothing else is known.
    #[must_use]
    pub fn new(format: &str, levels: Vec<Level>, n_bands: u32, sample: SampleType) -> Self {
        Self {
            format: format.to_owned(),
            compression: "none".to_owned(),
            levels,
            page: 0,
            pages: Vec::new(),
            n_frames: 1,
            n_bands,
            sample,
            n_bits: None,
            interleave: Interleave::Pixel,
            colors: ColorInterpretation::defaults(n_bands),
            bands: vec![BandInfo::default(); n_bands as usize],
            nodata: None,
            n_mask_bands: 0,
            geotransform: None,
            gcps: Vec::new(),
            srs_wkt: None,
            geo_keys: Vec::new(),
            color_table: None,
            pixel_size_um: None,
            associated: Vec::new(),
            blobs: Vec::new(),
            metadata: Vec::new(),
        }
    }

    /// Bytes that the description holds beside itself.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let text = String::capacity;
        let points = self.gcps.iter().map(|point| size_of::<Gcp>() + text(&point.id) + text(&point.info));
        let pictures = self.associated.iter().map(|picture| size_of::<AssociatedImage>() + text(&picture.name));
        let pages = self.pages.iter().map(|page| size_of::<PageInfo>() + text(&page.description));
        let blobs = self.blobs.iter().map(|name| size_of::<String>() + text(name));
        let items = self
            .metadata
            .iter()
            .map(|item| size_of::<MetadataItem>() + text(&item.domain) + text(&item.key) + text(&item.value));
        let keys = self.geo_keys.iter().map(|key| {
            size_of::<GeoKey>()
                + match &key.value {
                    GeoKeyValue::Short(_) => 0,
                    GeoKeyValue::Shorts(codes) => size_of_val(&**codes),
                    GeoKeyValue::Doubles(numbers) => size_of_val(&**numbers),
                    GeoKeyValue::Ascii(value) => text(value),
                }
        });
        let bands = self.bands.iter().map(|band| {
            let names: usize = band.categories.iter().map(|name| size_of::<String>() + text(name)).sum();
            size_of::<BandInfo>() + text(&band.description) + text(&band.unit) + names
        });
        let lists: usize = points.chain(pictures).chain(pages).chain(blobs).chain(items).chain(keys).chain(bands).sum();
        let texts = text(&self.format) + text(&self.compression) + self.srs_wkt.as_ref().map_or(0, text);
        let tables = size_of_val(&*self.levels)
            + size_of_val(&*self.colors)
            + self.color_table.as_ref().map_or(0, |table| size_of_val(&**table));
        (lists + texts + tables) as u64
    }

    /// Planes of blocks: one a band when the source is band-sequential, otherwise 1.
    #[must_use]
    pub fn n_planes(&self) -> u32 {
        match self.interleave {
            Interleave::Pixel => 1,
            Interleave::Band => self.n_bands,
        }
    }

    /// How the block `at` lies in memory.
    ///
    /// # Errors
    ///
    /// `invalid argument` when there is no such block, `limit exceeded` when no memory could hold it.
    pub fn block_layout(&self, at: BlockId) -> Result<BlockLayout> {
        let level = self.levels.get(at.level as usize).ok_or_else(|| {
            Error::invalid(format!("{at}: the levels are numbered 0 to {}", self.levels.len().saturating_sub(1)))
        })?;
        layout_in(level, at, self)
    }

    /// The value of the first metadata item with this domain and key.
    #[must_use]
    pub fn metadata(&self, domain: &str, key: &str) -> Option<&str> {
        self.metadata.iter().find(|item| item.domain == domain && item.key == key).map(|item| item.value.as_str())
    }

    /// The EPSG code of the coordinate reference system, when one is stated: by the well-known text where
    /// there is one, else by the GeoTIFF keys, where it is that of the projected
    /// system, else of the geographic one.
    #[must_use]
    pub fn epsg(&self) -> Option<u16> {
        const PROJECTED: u16 = 3072;
        const GEOGRAPHIC: u16 = 2048;
        if let Some(wkt) = &self.srs_wkt {
            return epsg_of_wkt(wkt);
        }
        [PROJECTED, GEOGRAPHIC].into_iter().find_map(|id| {
            self.geo_keys.iter().find_map(|key| match key.value {
                GeoKeyValue::Short(code) if key.id == id && (1024..32767).contains(&code) => Some(code),
                _ => None,
            })
        })
    }
}

/// The code at the end of well-known text, which is that of the whole: `AUTHORITY["EPSG","32631"]]`, or `ID["EPSG",32631]]`.
fn epsg_of_wkt(wkt: &str) -> Option<u16> {
    let rest = wkt.trim().strip_suffix("]]")?;
    let at = rest.rfind('[')?;
    let named = ["AUTHORITY", "ID"].iter().any(|name| rest[..at].ends_with(name));
    let (authority, code) = rest[at + 1..].split_once(',')?;
    let code = code.trim().trim_matches('"').parse().ok()?;
    (named && authority.trim() == "\"EPSG\"").then_some(code)
}

/// Checks that a description is one that blocks can be read by.
///
/// # Errors
///
/// `invalid argument` with what contradicts itself.
pub(crate) fn check_info(info: &SourceInfo) -> Result<()> {
    let Some(first) = info.levels.first() else {
        return Err(Error::invalid("a source without a level"));
    };
    if info.n_frames == 0 {
        return Err(Error::invalid("a source without a frame"));
    }
    if info.n_bands == 0 || info.colors.len() != info.n_bands as usize {
        return Err(Error::invalid(format!(
            "a source of {} bands with {} colour interpretations",
            info.n_bands,
            info.colors.len()
        )));
    }
    let mut finer = first;
    for (number, level) in info.levels.iter().enumerate() {
        // Sizes that `Level::new` would refuse.
        Level::new(level.width, level.height, level.block_width, level.block_height)
            .map_err(|error| Error::invalid(error.message().to_owned()))?;
        if level.width > finer.width || level.height > finer.height {
            return Err(Error::invalid(format!("a level of {}x{} follows a smaller one", level.width, level.height)));
        }
        let half = (finer.width.div_ceil(2), finer.height.div_ceil(2));
        if !level.native && (number == 0 || (level.width, level.height) != half) {
            return Err(Error::invalid(format!(
                "level {number} of {}x{} is not stored, and not half of the one before",
                level.width, level.height
            )));
        }
        finer = level;
    }
    Ok(())
}

/// The layout of a block of `level`; shared by stored levels and those made from them.
pub(crate) fn layout_in(level: &Level, at: BlockId, info: &SourceInfo) -> Result<BlockLayout> {
    let n_planes = info.n_planes();
    let is_there = at.plane < n_planes && at.frame < info.n_frames;
    let window = level.block_window(at.col, at.row).filter(|_| is_there).ok_or_else(|| {
        Error::invalid(format!(
            "{at}: the level has {} columns and {} rows of blocks in {n_planes} planes and {} frames",
            level.cols(),
            level.rows(),
            info.n_frames
        ))
    })?;
    let valid = (window.width as u32, window.height as u32);
    let stored = match level.edge_blocks {
        EdgeBlocks::Cropped => valid,
        EdgeBlocks::Padded => (level.block_width, level.block_height),
    };
    let bands_here = if n_planes > 1 { 1 } else { info.n_bands };
    BlockLayout::new(stored, valid.0, valid.1, bands_here, info.sample)
}

/// What a band shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ColorInterpretation {
    /// Nothing is known.
    Undefined = 0,
    /// Luminance, or any single quantity.
    Gray = 1,
    /// An index into the colour table.
    Palette = 2,
    /// Red.
    Red = 3,
    /// Green.
    Green = 4,
    /// Blue.
    Blue = 5,
    /// Opacity.
    Alpha = 6,
    /// Cyan ink.
    Cyan = 7,
    /// Magenta ink.
    Magenta = 8,
    /// Yellow ink.
    Yellow = 9,
    /// Black ink.
    Black = 10,
    /// Luminance of a CIE L*a*b* or YCbCr picture.
    Luminance = 11,
    /// First chrominance.
    ChromaFirst = 12,
    /// Second chrominance.
    ChromaSecond = 13,
}

impl ColorInterpretation {
    /// What `n_bands` bands show when nobody says: grey, or red, green, blue when there are three; the rest unknown.
    #[must_use]
    pub fn defaults(n_bands: u32) -> Vec<Self> {
        let first: &[Self] = if n_bands >= 3 { &[Self::Red, Self::Green, Self::Blue] } else { &[Self::Gray] };
        (0..n_bands as usize).map(|band| first.get(band).copied().unwrap_or(Self::Undefined)).collect()
    }
}

/// The sample value that means "nothing here".
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Nodata {
    /// For samples of up to 32 bits and floats; may be NaN.
    Float(f64),
    /// For signed 64-bit samples, where a float is not exact.
    Int(i64),
    /// For unsigned 64-bit samples.
    UInt(u64),
}

impl Nodata {
    /// The value as a float; 64-bit integers may lose their last digits.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Float(value) => value,
            Self::Int(value) => value as f64,
            Self::UInt(value) => value as f64,
        }
    }
}

/// One entry of a GeoTIFF key directory.
#[derive(Clone, Debug, PartialEq)]
pub struct GeoKey {
    /// The key's number, as in the GeoTIFF specification.
    pub id: u16,
    /// What it is set to.
    pub value: GeoKeyValue,
}

/// The value of a [`GeoKey`].
#[derive(Clone, Debug, PartialEq)]
pub enum GeoKeyValue {
    /// A code.
    Short(u16),
    /// Codes.
    Shorts(Vec<u16>),
    /// Numbers.
    Doubles(Vec<f64>),
    /// Text.
    Ascii(String),
}

impl fmt::Display for GeoKeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, values: &[T]) -> fmt::Result {
            values.iter().enumerate().try_for_each(|(i, v)| write!(f, "{}{v}", if i > 0 { " " } else { "" }))
        }
        match self {
            Self::Short(code) => write!(f, "{code}"),
            Self::Shorts(codes) => list(f, codes),
            Self::Doubles(numbers) => list(f, numbers),
            Self::Ascii(text) => f.write_str(text),
        }
    }
}

/// Something that the file says in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataItem {
    /// Where it was said: empty for what describes the whole dataset, `band/0` for the first band, or a name that
    /// the format uses (`IMAGE_STRUCTURE`, `RPC`).
    pub domain: String,
    /// The name.
    pub key: String,
    /// The text.
    pub value: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_well_known_text_is_that_of_the_whole() {
        let one = r#"PROJCS["u",GEOGCS["w",AUTHORITY["EPSG","4326"]],UNIT["m",1],AUTHORITY["EPSG","32631"]]"#;
        assert_eq!(epsg_of_wkt(one), Some(32631));
        assert_eq!(epsg_of_wkt(r#"PROJCRS["u",BASEGEOGCRS["w",ID["EPSG",4326]],ID["EPSG", 3857]]"#), Some(3857));
        for none in [r#"PROJCS["u",GEOGCS["w",AUTHORITY["EPSG","4326"]],UNIT["m",1]]"#, "", "]]", "x]]", "[,]]"] {
            assert_eq!(epsg_of_wkt(none), None, "{none}");
        }
    }
}
