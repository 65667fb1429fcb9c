//! Tiles.

use std::ffi::{c_char, c_void};

use crate::error::{Error, Result};
use crate::render::{Chroma, Edge, Encoding, Tile, TileBytes, TileRequest};
use crate::style::Style;

use super::blocks::cache_use;
use super::codes::{
    TILEKEEP_CHROMA_AUTO, TILEKEEP_CHROMA_FULL, TILEKEEP_CHROMA_HALVED, TILEKEEP_EDGE_CROP, TILEKEEP_EDGE_PAD,
    TILEKEEP_ENCODING_JPEG, TILEKEEP_ENCODING_PNG, TILEKEEP_ENCODING_RAW, TILEKEEP_ENCODING_WEBP,
    TILEKEEP_INTERLEAVE_BAND, TILEKEEP_INTERLEAVE_PIXEL,
};
use super::dataset::tilekeep_dataset;
use super::pointers::{Growing, Out, borrow, end_of, read_options, read_struct, text};
use super::status::{guard, tilekeep_status};
use super::window::{bands, flag};

/// How a tile shall come. Set struct_size to sizeof(tilekeep_tile_options) and all else to 0 for a raw tile of
/// 256 x 256 pixels.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_tile_options {
    /// sizeof(tilekeep_tile_options).
    pub struct_size: u32,
    /// Pixels across a tile; 0: 256.
    pub width: u32,
    /// Pixels down a tile; 0: 256.
    pub height: u32,
    /// One of TILEKEEP_ENCODING_.
    pub encoding: i32,
    /// Of a JPEG or a lossy WebP, from 1 to 100; 0: 85 for a JPEG, 75 for a WebP.
    pub quality: u32,
    /// One of TILEKEEP_EDGE_.
    pub edge: i32,
    /// 1: samples from range_min to range_max become 0 to 255. Otherwise 0.
    pub has_range: u32,
    /// Bands in bands; 0: all in a raw tile, those that make a picture in an encoded one.
    pub n_bands: u32,
    /// The bands wanted, numbered from 0, in the order wanted. May be NULL when n_bands is 0.
    pub bands: *const u32,
    /// The sample that becomes 0.
    pub range_min: f64,
    /// The sample that becomes 255.
    pub range_max: f64,
    /// One of TILEKEEP_USE_.
    pub cache_use: i32,
    /// The frame: 0, or which of several pictures.
    pub frame: u32,
    /// The colours of the picture: a style as JSON, large_image's with additions (as
    /// {"band": 1, "min": 0, "max": "auto:0.02", "palette": "viridis"}). NULL: none. With it n_bands and has_range must be
    /// 0. An encoded tile then has 8 bits; a raw one has the channels of the picture (1, or red, green, blue and opacity)
    /// in the sample type that the style says, or 8 bits.
    pub style: *const c_char,
    /// Of a JPEG, one of TILEKEEP_CHROMA_.
    pub chroma: i32,
    /// Of a WebP, 1: exactly these pixels; quality is then not looked at. Otherwise 0.
    pub lossless: u32,
    /// Of a raw tile, one of TILEKEEP_INTERLEAVE_.
    pub interleave: i32,
    /// Of a PNG, 1: often half the bytes, for ten to twenty times the time that it takes to encode. Otherwise 0.
    pub small_file: u32,
    /// 1: decode and encode even a tile of which the file stores a picture in the encoding asked for, with nothing to be
    /// changed about its pixels. Otherwise 0: such a picture is handed out as it is, whatever its quality.
    pub no_pass_through: u32,
    /// Must be 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, numbers and raw pointers only, size first.
unsafe impl Growing for tilekeep_tile_options {
    const NAME: &'static str = "tilekeep_tile_options";
    const OLDEST: usize = end_of!(tilekeep_tile_options, frame);

    fn defaults() -> Self {
        Self {
            struct_size: 0,
            width: 0,
            height: 0,
            encoding: 0,
            quality: 0,
            edge: 0,
            has_range: 0,
            n_bands: 0,
            bands: std::ptr::null(),
            range_min: 0.0,
            range_max: 0.0,
            cache_use: 0,
            frame: 0,
            style: std::ptr::null(),
            chroma: 0,
            lossless: 0,
            interleave: 0,
            small_file: 0,
            no_pass_through: 0,
            reserved: 0,
        }
    }
}

impl tilekeep_tile_options {
    fn encoding(&self) -> Result<Encoding> {
        let (lossless, small_file) = (flag("lossless", self.lossless)?, flag("small_file", self.small_file)?);
        let by_band = match self.interleave {
            TILEKEEP_INTERLEAVE_PIXEL => false,
            TILEKEEP_INTERLEAVE_BAND => true,
            other => return Err(Error::invalid(format!("interleave {other}"))),
        };
        let quality = |name: &str, default: u8| match self.quality {
            0 => Ok(default),
            other => u8::try_from(other).map_err(|_| Error::invalid(format!("{name} quality {other}"))),
        };
        let chroma = match self.chroma {
            TILEKEEP_CHROMA_AUTO => None,
            TILEKEEP_CHROMA_HALVED => Some(Chroma::Halved),
            TILEKEEP_CHROMA_FULL => Some(Chroma::Full),
            other => return Err(Error::invalid(format!("chroma {other}"))),
        };
        Ok(match self.encoding {
            TILEKEEP_ENCODING_RAW if by_band => Encoding::RawBands,
            TILEKEEP_ENCODING_RAW => Encoding::Raw,
            TILEKEEP_ENCODING_PNG if small_file => Encoding::PngSmall,
            TILEKEEP_ENCODING_PNG => Encoding::Png,
            TILEKEEP_ENCODING_JPEG => {
                let quality = quality("JPEG", 85)?;
                chroma.map_or(Encoding::jpeg(quality), |chroma| Encoding::Jpeg { quality, chroma })
            }
            TILEKEEP_ENCODING_WEBP if lossless => Encoding::WebPLossless,
            TILEKEEP_ENCODING_WEBP => Encoding::webp(quality("WebP", 75)?),
            other => return Err(Error::invalid(format!("encoding {other}"))),
        })
    }

    pub(super) unsafe fn to_request(self, level: u32, col: u32, row: u32) -> Result<TileRequest> {
        if self.reserved != 0 {
            return Err(Error::invalid("tilekeep_tile_options: reserved is not 0"));
        }
        let side = |n: u32| if n == 0 { 256 } else { n };
        let mut request = TileRequest::new(level, col, row).size(side(self.width), side(self.height));
        request.encoding = self.encoding()?;
        request.edge = match self.edge {
            TILEKEEP_EDGE_CROP => Edge::Crop,
            TILEKEEP_EDGE_PAD => Edge::Pad,
            other => return Err(Error::invalid(format!("edge {other}"))),
        };
        request.cache_use = cache_use(self.cache_use)?;
        request.frame = self.frame;
        request.pass_through = !flag("no_pass_through", self.no_pass_through)?;
        request.range = flag("has_range", self.has_range)?.then_some((self.range_min, self.range_max));
        // SAFETY: the header's rules for pointers.
        request.bands = unsafe { bands(self.bands, self.n_bands) }?;
        if !self.style.is_null() {
            // SAFETY: as above.
            request.style = Some(Style::parse(unsafe { text(self.style, "style") }?)?.into());
        }
        Ok(request)
    }
}

/// A tile: a file in memory, or samples. Give it to tilekeep_free_tile.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_tile {
    /// sizeof(tilekeep_tile), set by the caller.
    pub struct_size: u32,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Bands of a raw tile, which lie without gaps; of an encoded one, those that were encoded.
    pub n_bands: u32,
    /// The type of a sample, one of TILEKEEP_SAMPLE_.
    pub sample_type: i32,
    /// 0.
    pub reserved: u32,
    /// The bytes, to be read only: the cache may have them too. They stay until tilekeep_free_tile.
    pub data: *const c_void,
    /// How many there are.
    pub size: usize,
    /// What keeps the bytes; not to be touched.
    pub owner: *mut c_void,
}

// SAFETY: `repr(C)`, integers and a raw pointer only, size first.
unsafe impl Growing for tilekeep_tile {
    const NAME: &'static str = "tilekeep_tile";
    const OLDEST: usize = end_of!(tilekeep_tile, owner);

    fn defaults() -> Self {
        Self {
            struct_size: 0,
            width: 0,
            height: 0,
            n_bands: 0,
            sample_type: 0,
            reserved: 0,
            data: std::ptr::null(),
            size: 0,
            owner: std::ptr::null_mut(),
        }
    }
}

/// Reads a tile, raw or encoded. col and row count tiles of the size asked for. options may be NULL. The bytes in
/// tile_out belong to the caller until it gives them to tilekeep_free_tile.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_read_tile(
    dataset: *const tilekeep_dataset,
    level: u32,
    col: u32,
    row: u32,
    options: *const tilekeep_tile_options,
    tile_out: *mut tilekeep_tile,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, options) = unsafe { (borrow(dataset, "dataset")?, read_options(options)?) };
        // SAFETY: as above.
        let (request, tile_out) = unsafe { (options.to_request(level, col, row)?, Out::new(tile_out)?) };
        put_tile(handle.dataset.read_tile(&request)?, tile_out);
        Ok(())
    })
}

/// Gives a tile to the caller.
pub(super) fn put_tile(tile: Tile, tile_out: Out<tilekeep_tile>) {
    let (data, size) = (tile.bytes.as_ptr().cast(), tile.bytes.len());
    tile_out.write(&tilekeep_tile {
        struct_size: 0,
        width: tile.width,
        height: tile.height,
        n_bands: tile.n_bands,
        sample_type: tile.sample as i32,
        reserved: 0,
        data,
        size,
        owner: Box::into_raw(Box::new(tile.bytes)).cast(),
    });
}

/// Releases the bytes of a tile and sets its data to NULL and its size to 0, so that a second call does nothing. A tile
/// of NULL, or one that was released, does nothing.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_free_tile(tile: *mut tilekeep_tile) {
    guard(|| {
        if tile.is_null() {
            return Ok(());
        }
        // SAFETY: the header's rules for pointers.
        let (mut given, tile_out) = unsafe { (read_struct(tile.cast_const())?, Out::new(tile)?) };
        let owner = std::mem::replace(&mut given.owner, std::ptr::null_mut());
        (given.data, given.size) = (std::ptr::null(), 0);
        tile_out.write(&given);
        if !owner.is_null() {
            // SAFETY: `tilekeep_read_tile` made the box, and it is given up once: `owner` is NULL from now on.
            drop(unsafe { Box::from_raw(owner.cast::<TileBytes>()) });
        }
        Ok(())
    });
}
