//! TIFF files that tests make, and what must be read in them.
#![allow(dead_code, unreachable_pub, reason = "every test uses another part")]

use std::fs::File;
use std::io::{BufWriter, Cursor};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tiff_writer::{Blocks, Compression, Format, Image, Kind, Order, TiffWriter};
use tilekeep::{
    BlockId, Dataset, EdgeBlocks, Interleave, Layout, Limits, OpenOptions, SampleType, WindowRequest, open_reader,
};

#[path = "../../examples/support/tiff_writer.rs"]
pub mod tiff_writer;

/// A whole image in memory: native samples, pixel-interleaved.
pub struct Pixels {
    pub width: u32,
    pub height: u32,
    pub n_bands: usize,
    pub kind: Kind,
    pub bytes: Vec<u8>,
}

impl Pixels {
    /// Samples of the image's size that differ from place to place and from band to band, with runs, and in all bytes
    /// of a sample. Another `seed`, another picture.
    pub fn new(image: &Image, seed: u64) -> Self {
        let value = |x: u32, y: u32, band: usize| {
            let n = u64::from(x / 5 * 3 + y * 13 + x * y / 7) + band as u64 * 101 + seed * 59;
            to_bytes(image.kind, |bits| n.wrapping_mul(0x0102_0408_1021_4387) >> (64 - bits), n as f64 * 0.37 - 1000.0)
        };
        Self::from_fn(image, value)
    }

    pub fn from_fn(image: &Image, mut value: impl FnMut(u32, u32, usize) -> Vec<u8>) -> Self {
        let n_bands = usize::from(image.n_bands);
        let mut bytes = Vec::new();
        for y in 0..image.height {
            for x in 0..image.width {
                (0..n_bands).for_each(|band| bytes.extend(value(x, y, band)));
            }
        }
        Self { width: image.width, height: image.height, n_bands, kind: image.kind, bytes }
    }

    pub fn sample(&self, x: u32, y: u32, band: usize) -> &[u8] {
        let at = (y as usize * self.width as usize + x as usize) * self.n_bands + band;
        &self.bytes[at * self.kind.bytes()..][..self.kind.bytes()]
    }

    /// The samples of a block as a file stores them; what lies beyond the image is neither 0 nor a sample.
    pub fn block(&self, image: &Image, plane: u16, col: u32, row: u32) -> Vec<u8> {
        let (width, height) = image.block_size();
        let bands = if image.planar { usize::from(plane)..usize::from(plane) + 1 } else { 0..self.n_bands };
        let mut block = Vec::new();
        for y in row * height..row * height + image.stored_rows(row) {
            for x in col * width..(col + 1) * width {
                for band in bands.clone() {
                    if x < self.width && y < self.height {
                        block.extend(self.sample(x, y, band));
                    } else {
                        block.extend([0xC3; 8][..self.kind.bytes()].iter());
                    }
                }
            }
        }
        block
    }

    pub fn by_band(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        for band in 0..self.n_bands {
            for y in 0..self.height {
                (0..self.width).for_each(|x| bytes.extend(self.sample(x, y, band)));
            }
        }
        bytes
    }
}

/// A sample of the lowest `bits` that `integer` is asked for, or of `float`.
pub fn to_bytes(kind: Kind, integer: impl Fn(u32) -> u64, float: f64) -> Vec<u8> {
    match kind {
        Kind::U8 | Kind::I8 => vec![integer(8) as u8],
        Kind::U16 | Kind::I16 => (integer(16) as u16).to_ne_bytes().to_vec(),
        Kind::U32 | Kind::I32 => (integer(32) as u32).to_ne_bytes().to_vec(),
        Kind::U64 | Kind::I64 => integer(64).to_ne_bytes().to_vec(),
        Kind::F32 => (float as f32).to_ne_bytes().to_vec(),
        Kind::F64 => float.to_ne_bytes().to_vec(),
    }
}

pub fn sample_type(kind: Kind) -> SampleType {
    match kind {
        Kind::U8 => SampleType::U8,
        Kind::I8 => SampleType::I8,
        Kind::U16 => SampleType::U16,
        Kind::I16 => SampleType::I16,
        Kind::U32 => SampleType::U32,
        Kind::I32 => SampleType::I32,
        Kind::U64 => SampleType::U64,
        Kind::I64 => SampleType::I64,
        Kind::F32 => SampleType::F32,
        Kind::F64 => SampleType::F64,
    }
}

/// A folder of its own with files in it.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn writer(&self, name: &str, format: Format) -> (PathBuf, TiffWriter<BufWriter<File>>) {
        let path = self.path(name);
        let file = BufWriter::new(File::create(&path).unwrap());
        (path, TiffWriter::new(file, format).unwrap())
    }

    /// A file with one image.
    pub fn write(&self, format: Format, image: &Image, pixels: &Pixels) -> PathBuf {
        let (path, mut writer) = self.writer("image.tif", format);
        writer.image(image, |plane, col, row| Some(pixels.block(image, plane, col, row))).unwrap();
        writer.finish().unwrap();
        path
    }
}

/// All pixels of a level.
pub fn read(dataset: &Dataset, level: u32, interleave: Interleave) -> tilekeep::Result<Vec<u8>> {
    let window = dataset.level(level)?.window();
    let request = WindowRequest::new(level, window).layout(Layout::Tight(interleave));
    let mut pixels = vec![0x5A; dataset.window_bytes(&request)?];
    dataset.read_window(&request, &mut pixels)?;
    Ok(pixels)
}

pub fn assert_pixels(dataset: &Dataset, level: u32, expected: &Pixels, what: &str) {
    let by_pixel = read(dataset, level, Interleave::Pixel).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(by_pixel == expected.bytes, "{what}: level {level} has other pixels");
    let by_band = read(dataset, level, Interleave::Band).unwrap();
    assert!(by_band == expected.by_band(), "{what}: level {level} has other pixels, band after band");
}

/// The description, the layout of the blocks and every pixel of a file with one image.
pub fn assert_reads(path: &Path, format: Format, image: &Image, pixels: &Pixels, what: &str) {
    let dataset = Dataset::open(path).unwrap_or_else(|e| panic!("{what}: {e}"));
    let info = dataset.info();
    assert_eq!(info.format, if format.big { "bigtiff" } else { "tiff" }, "{what}");
    assert_eq!((info.n_bands, info.sample), (u32::from(image.n_bands), sample_type(image.kind)), "{what}");
    let codec = match image.compression {
        Compression::None => "none",
        Compression::Lzw => "lzw",
        Compression::Deflate => "deflate",
        Compression::PackBits => "packbits",
        Compression::Zstd => "zstd",
        Compression::Jpeg(_) => "jpeg",
        Compression::AsGiven(tag) => panic!("{tag} is not written by the writer"),
    };
    assert_eq!(info.compression, codec, "{what}");
    let planar = image.planar && image.n_bands > 1;
    assert_eq!(info.interleave, if planar { Interleave::Band } else { Interleave::Pixel }, "{what}");
    let level = dataset.levels()[0];
    let (block_width, block_height) = image.block_size();
    let tiled = matches!(image.blocks, Blocks::Tiles(..));
    assert_eq!((level.width, level.height), (u64::from(image.width), u64::from(image.height)), "{what}");
    let block_size = (block_width, if tiled { block_height } else { block_height.min(image.height) });
    assert_eq!((level.block_width, level.block_height), block_size, "{what}");
    assert_eq!(level.edge_blocks, if tiled { EdgeBlocks::Padded } else { EdgeBlocks::Cropped }, "{what}");
    assert!(level.native && info.levels.len() == 1, "{what}");
    assert_pixels(&dataset, 0, pixels, what);

    // The last block of every plane, sample by sample.
    let (cols, rows) = image.grid();
    let (left, top) = ((cols - 1) * block_width, (rows - 1) * block_height);
    for plane in 0..info.n_planes() {
        let block = dataset.block(BlockId::new(0, cols - 1, rows - 1).with_plane(plane)).unwrap();
        let layout = block.layout();
        assert_eq!((layout.width, layout.height), (image.width - left, image.height - top), "{what}");
        assert_eq!(layout.row_stride, block_width as usize * layout.pixel_stride, "{what}");
        assert_eq!(layout.bytes, image.stored_rows(rows - 1) as usize * layout.row_stride, "{what}");
        for (x, y, band) in [(0, 0, 0), (layout.width - 1, layout.height - 1, layout.n_bands - 1)] {
            let sample = &block.bytes()[layout.offset(x, y, band)..][..image.kind.bytes()];
            assert_eq!(sample, pixels.sample(left + x, top + y, (plane + band) as usize), "{what}");
        }
    }
}

pub const FORMATS: [Format; 4] = [
    Format { big: false, order: Order::Little },
    Format { big: false, order: Order::Big },
    Format { big: true, order: Order::Little },
    Format { big: true, order: Order::Big },
];

/// Opens a file of one small image that `change` made special.
pub fn open_special(change: impl FnOnce(&mut Image)) -> tilekeep::Result<Dataset> {
    let mut image = Image { blocks: Blocks::Tiles(16, 16), ..Image::new(20, 20) };
    change(&mut image);
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()), FORMATS[1]).unwrap();
    writer.image(&image, |plane, col, row| Some(Pixels::new(&image, 0).block(&image, plane, col, row))).unwrap();
    let bytes = writer.finish().unwrap().into_inner();
    Dataset::from_source(open_reader(Arc::new(bytes), Limits::default())?, &OpenOptions::default())
}

/// A level of half the size as the plainest code makes it: means of up to four samples without nodata and NaN,
/// integers rounded half away from zero.
pub fn halved(pixels: &Pixels, nodata: Option<f64>) -> Pixels {
    let size = Image {
        n_bands: pixels.n_bands as u16,
        kind: pixels.kind,
        ..Image::new(pixels.width.div_ceil(2), pixels.height.div_ceil(2))
    };
    Pixels::from_fn(&size, |x, y, band| {
        let mut found = Vec::new();
        for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let (x, y) = (x * 2 + dx, y * 2 + dy);
            if x < pixels.width && y < pixels.height {
                found.push(pixels.sample(x, y, band));
            }
        }
        mean(pixels.kind, &found, nodata)
    })
}

pub fn mean(kind: Kind, samples: &[&[u8]], nodata: Option<f64>) -> Vec<u8> {
    if kind.is_float() {
        let values = samples.iter().map(|s| match s.len() {
            4 => f64::from(f32::from_ne_bytes((*s).try_into().unwrap())),
            _ => f64::from_ne_bytes((*s).try_into().unwrap()),
        });
        let kept: Vec<f64> = values.filter(|v| !v.is_nan() && Some(*v) != nodata).collect();
        let mean = match kept.len() {
            0 => nodata.unwrap_or(f64::NAN),
            n => kept.iter().sum::<f64>() / n as f64,
        };
        return to_bytes(kind, |_| 0, mean);
    }
    let signed = matches!(kind, Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64);
    let bits = kind.bytes() as u32 * 8;
    let values = samples.iter().map(|sample| {
        let fold = |n: u64, byte: &u8| n << 8 | u64::from(*byte);
        let raw = if cfg!(target_endian = "little") {
            sample.iter().rev().fold(0, fold)
        } else {
            sample.iter().fold(0, fold)
        };
        let sign = 1 << (bits - 1);
        if signed && raw & sign != 0 { i128::from(raw) - (2 * i128::from(sign)) } else { i128::from(raw) }
    });
    let kept: Vec<i128> = values.filter(|v| Some(*v as f64) != nodata).collect();
    let n = kept.len() as i128;
    let mean = match kept.iter().sum::<i128>() {
        _ if n == 0 => nodata.unwrap() as i128,
        sum => (2 * sum.abs() + n) / (2 * n) * sum.signum(),
    };
    // A mean of samples that say something must not say "nothing here".
    let mean = if n > 0 && Some(mean as f64) == nodata { mean + 1 } else { mean };
    to_bytes(kind, |_| mean as u64, 0.0)
}
