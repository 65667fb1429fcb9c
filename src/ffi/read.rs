//! Windows and tiles.

use std::ffi::{c_char, c_void};

use crate::dataset::{Layout, WindowRequest};
use crate::error::{Error, Result};
use crate::grid::Window;
use crate::render::{Chroma, Edge, Encoding, Tile, TileBytes, TileRequest};
use crate::resample::Resampling;
use crate::sample::SampleType;
use crate::style::Style;

use super::blocks::cache_use;
use super::dataset::tilekeep_dataset;
use super::pointers::{Growing, Out, array, borrow, buffer, end_of, out, read_options, read_struct, text};
use super::status::{guard, tilekeep_status};

/// The samples' own type.
pub const TILEKEEP_SAMPLE_NATIVE: i32 = 0;
/// Unsigned, 8 bits.
pub const TILEKEEP_SAMPLE_U8: i32 = 1;
/// Signed, 8 bits.
pub const TILEKEEP_SAMPLE_I8: i32 = 2;
/// Unsigned, 16 bits.
pub const TILEKEEP_SAMPLE_U16: i32 = 3;
/// Signed, 16 bits.
pub const TILEKEEP_SAMPLE_I16: i32 = 4;
/// Unsigned, 32 bits.
pub const TILEKEEP_SAMPLE_U32: i32 = 5;
/// Signed, 32 bits.
pub const TILEKEEP_SAMPLE_I32: i32 = 6;
/// Unsigned, 64 bits.
pub const TILEKEEP_SAMPLE_U64: i32 = 7;
/// Signed, 64 bits.
pub const TILEKEEP_SAMPLE_I64: i32 = 8;
/// IEEE 754 float, 32 bits.
pub const TILEKEEP_SAMPLE_F32: i32 = 9;
/// IEEE 754 float, 64 bits.
pub const TILEKEEP_SAMPLE_F64: i32 = 10;
/// Complex: two signed 16-bit integers, real part first.
pub const TILEKEEP_SAMPLE_COMPLEX_I16: i32 = 11;
/// Complex: two signed 32-bit integers, real part first.
pub const TILEKEEP_SAMPLE_COMPLEX_I32: i32 = 12;
/// Complex: two 32-bit floats, real part first.
pub const TILEKEEP_SAMPLE_COMPLEX_F32: i32 = 13;
/// Complex: two 64-bit floats, real part first.
pub const TILEKEEP_SAMPLE_COMPLEX_F64: i32 = 14;

/// A band of which nothing is known.
pub const TILEKEEP_COLOR_UNDEFINED: i32 = 0;
/// A band of luminance, or any single quantity.
pub const TILEKEEP_COLOR_GRAY: i32 = 1;
/// A band of indices into the colour table.
pub const TILEKEEP_COLOR_PALETTE: i32 = 2;
/// A red band.
pub const TILEKEEP_COLOR_RED: i32 = 3;
/// A green band.
pub const TILEKEEP_COLOR_GREEN: i32 = 4;
/// A blue band.
pub const TILEKEEP_COLOR_BLUE: i32 = 5;
/// A band of opacity.
pub const TILEKEEP_COLOR_ALPHA: i32 = 6;
/// A band of cyan ink.
pub const TILEKEEP_COLOR_CYAN: i32 = 7;
/// A band of magenta ink.
pub const TILEKEEP_COLOR_MAGENTA: i32 = 8;
/// A band of yellow ink.
pub const TILEKEEP_COLOR_YELLOW: i32 = 9;
/// A band of black ink.
pub const TILEKEEP_COLOR_BLACK: i32 = 10;
/// The luminance of a CIE L*a*b* or YCbCr picture.
pub const TILEKEEP_COLOR_LUMINANCE: i32 = 11;
/// The first chrominance.
pub const TILEKEEP_COLOR_CHROMA_FIRST: i32 = 12;
/// The second chrominance.
pub const TILEKEEP_COLOR_CHROMA_SECOND: i32 = 13;

/// The pixel whose area holds the centre of the new one.
pub const TILEKEEP_RESAMPLING_NEAREST: i32 = 0;
/// The mean over the area of the new pixel, without nodata and NaN.
pub const TILEKEEP_RESAMPLING_AVERAGE: i32 = 1;

/// Samples as they are, without a file around them.
pub const TILEKEEP_ENCODING_RAW: i32 = 0;
/// A PNG file.
pub const TILEKEEP_ENCODING_PNG: i32 = 1;
/// A JPEG file.
pub const TILEKEEP_ENCODING_JPEG: i32 = 2;
/// A WebP file; lossy ones only where the library was built with libwebp, as it is by default.
pub const TILEKEEP_ENCODING_WEBP: i32 = 3;

/// Squares of two by two pixels of a JPEG share their colour (4:2:0) below a quality of 90, none from there on.
pub const TILEKEEP_CHROMA_AUTO: i32 = 0;
/// Squares of two by two pixels share their colour (4:2:0).
pub const TILEKEEP_CHROMA_HALVED: i32 = 1;
/// Every pixel has its own colour (4:4:4).
pub const TILEKEEP_CHROMA_FULL: i32 = 2;

/// The samples of a pixel lie side by side.
pub const TILEKEEP_INTERLEAVE_PIXEL: i32 = 0;
/// A whole band, then the next one.
pub const TILEKEEP_INTERLEAVE_BAND: i32 = 1;

/// Tiles of the last column and row are smaller.
pub const TILEKEEP_EDGE_CROP: i32 = 0;
/// Tiles of the last column and row are whole, filled up with nodata or 0.
pub const TILEKEEP_EDGE_PAD: i32 = 1;

/// Which pixels to read, and how they shall come. Set struct_size, level and the window; all else may be 0.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_window {
    /// sizeof(tilekeep_window).
    pub struct_size: u32,
    /// The level whose pixels the window counts.
    pub level: u32,
    /// Pixels from the left edge of the level.
    pub x: u64,
    /// Pixels from the top edge of the level.
    pub y: u64,
    /// Pixels across; the window must lie in the level.
    pub width: u64,
    /// Pixels down.
    pub height: u64,
    /// Pixels across the result; 0: as the window.
    pub out_width: u32,
    /// Pixels down the result; 0: as the window.
    pub out_height: u32,
    /// One of TILEKEEP_RESAMPLING_.
    pub resampling: i32,
    /// 1: take the pixels of level even where a coarser one would do. Otherwise 0.
    pub exact_level: u32,
    /// The sample type of the result, one of TILEKEEP_SAMPLE_.
    pub sample_type: i32,
    /// Bands in bands; 0: all bands of the dataset.
    pub n_bands: u32,
    /// The bands wanted, numbered from 0, in the order wanted. May be NULL when n_bands is 0.
    pub bands: *const u32,
    /// Bytes from a sample of the result to the next pixel's. All three strides 0: pixel-interleaved without gaps.
    pub pixel_stride: usize,
    /// Bytes from a sample of the result to that of the pixel below.
    pub row_stride: usize,
    /// Bytes from a sample of the result to the next band's.
    pub band_stride: usize,
    /// One of TILEKEEP_USE_.
    pub cache_use: i32,
    /// The frame: 0, or which of several pictures.
    pub frame: u32,
}

// SAFETY: `repr(C)`, integers and a raw pointer only, size first.
unsafe impl Growing for tilekeep_window {
    const NAME: &'static str = "tilekeep_window";
    const OLDEST: usize = end_of!(tilekeep_window, frame);

    fn defaults() -> Self {
        Self {
            struct_size: 0,
            level: 0,
            x: 0,
            y: 0,
            width: 0,
            height: 0,
            out_width: 0,
            out_height: 0,
            resampling: 0,
            exact_level: 0,
            sample_type: 0,
            n_bands: 0,
            bands: std::ptr::null(),
            pixel_stride: 0,
            row_stride: 0,
            band_stride: 0,
            cache_use: 0,
            frame: 0,
        }
    }
}

impl tilekeep_window {
    pub(super) unsafe fn to_request(self) -> Result<WindowRequest> {
        let mut request = WindowRequest::new(self.level, Window::new(self.x, self.y, self.width, self.height));
        if (self.out_width == 0) != (self.out_height == 0) {
            return Err(Error::invalid(format!(
                "out_width {} and out_height {}; both or none may be 0",
                self.out_width, self.out_height
            )));
        }
        if self.out_width > 0 {
            request.size = (self.out_width, self.out_height);
        }
        request.resampling = match self.resampling {
            TILEKEEP_RESAMPLING_NEAREST => Resampling::Nearest,
            TILEKEEP_RESAMPLING_AVERAGE => Resampling::Average,
            other => return Err(Error::invalid(format!("resampling {other}"))),
        };
        request.exact_level = flag("exact_level", self.exact_level)?;
        if self.sample_type != TILEKEEP_SAMPLE_NATIVE {
            let sample = SampleType::from_number(self.sample_type);
            request.sample = Some(sample.ok_or_else(|| Error::invalid(format!("sample_type {}", self.sample_type)))?);
        }
        // SAFETY: the header's rules for pointers.
        request.bands = unsafe { bands(self.bands, self.n_bands) }?;
        request.cache_use = cache_use(self.cache_use)?;
        request.frame = self.frame;
        let (pixel, row, band) = (self.pixel_stride, self.row_stride, self.band_stride);
        if (pixel, row, band) != (0, 0, 0) {
            request.layout = Layout::Strided { pixel, row, band };
        }
        Ok(request)
    }
}

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

/// Reads a window into buffer. What is needed beside the blocks is a few MiB at most, whatever the sizes.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_read_window(
    dataset: *const tilekeep_dataset,
    window: *const tilekeep_window,
    buffer: *mut c_void,
    buffer_size: usize,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, window) = unsafe { (borrow(dataset, "dataset")?, read_struct(window)?) };
        // SAFETY: as above.
        let (request, target) = unsafe { (window.to_request()?, self::buffer(buffer, buffer_size, "buffer")?) };
        handle.dataset.read_window(&request, target)
    })
}

/// Says how many bytes tilekeep_read_window needs for a window.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_window_size(
    dataset: *const tilekeep_dataset,
    window: *const tilekeep_window,
    size_out: *mut usize,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, window) = unsafe { (borrow(dataset, "dataset")?, read_struct(window)?) };
        // SAFETY: as above.
        let (request, size_out) = unsafe { (window.to_request()?, out(size_out, "size_out")?) };
        *size_out = handle.dataset.window_bytes(&request)?;
        Ok(())
    })
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

fn flag(name: &str, value: u32) -> Result<bool> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Error::invalid(format!("{name} {other}; 0 or 1"))),
    }
}

unsafe fn bands(pointer: *const u32, n: u32) -> Result<Option<Vec<u32>>> {
    // SAFETY: forwarded.
    let bands = unsafe { array(pointer, n as usize, "bands") }?;
    Ok((n > 0).then(|| bands.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ColorInterpretation as C;

    #[test]
    fn constants_are_the_numbers_of_the_enums() {
        let samples = [
            TILEKEEP_SAMPLE_U8,
            TILEKEEP_SAMPLE_I8,
            TILEKEEP_SAMPLE_U16,
            TILEKEEP_SAMPLE_I16,
            TILEKEEP_SAMPLE_U32,
            TILEKEEP_SAMPLE_I32,
            TILEKEEP_SAMPLE_U64,
            TILEKEEP_SAMPLE_I64,
            TILEKEEP_SAMPLE_F32,
            TILEKEEP_SAMPLE_F64,
            TILEKEEP_SAMPLE_COMPLEX_I16,
            TILEKEEP_SAMPLE_COMPLEX_I32,
            TILEKEEP_SAMPLE_COMPLEX_F32,
            TILEKEEP_SAMPLE_COMPLEX_F64,
        ];
        assert_eq!(samples, SampleType::ALL.map(|sample| sample as i32));
        for (number, color) in [
            (TILEKEEP_COLOR_UNDEFINED, C::Undefined),
            (TILEKEEP_COLOR_GRAY, C::Gray),
            (TILEKEEP_COLOR_PALETTE, C::Palette),
            (TILEKEEP_COLOR_RED, C::Red),
            (TILEKEEP_COLOR_GREEN, C::Green),
            (TILEKEEP_COLOR_BLUE, C::Blue),
            (TILEKEEP_COLOR_ALPHA, C::Alpha),
            (TILEKEEP_COLOR_CYAN, C::Cyan),
            (TILEKEEP_COLOR_MAGENTA, C::Magenta),
            (TILEKEEP_COLOR_YELLOW, C::Yellow),
            (TILEKEEP_COLOR_BLACK, C::Black),
            (TILEKEEP_COLOR_LUMINANCE, C::Luminance),
            (TILEKEEP_COLOR_CHROMA_FIRST, C::ChromaFirst),
            (TILEKEEP_COLOR_CHROMA_SECOND, C::ChromaSecond),
        ] {
            assert_eq!(number, color as i32);
        }
        assert_eq!(TILEKEEP_RESAMPLING_AVERAGE, Resampling::Average as i32);
        assert_eq!(TILEKEEP_INTERLEAVE_BAND, crate::block::Interleave::Band as i32);
        assert_eq!(TILEKEEP_EDGE_PAD, Edge::Pad as i32);
        assert_eq!([TILEKEEP_CHROMA_HALVED, TILEKEEP_CHROMA_FULL], [Chroma::Halved as i32, Chroma::Full as i32]);
    }
}
