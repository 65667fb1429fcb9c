//! TIFF files in every combination of byte order, layout, compression, predictor and sample type, made here, and what
//! they say of themselves.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tiff_writer::{Blocks, Compression, Format, Geo, Image, Kind, Order, TiffWriter, Values};
use tilekeep::{
    BlockId, CachePolicy, ColorInterpretation, Dataset, EdgeBlocks, ErrorKind, GeoKeyValue, Geotransform, Interleave,
    Layout, Limits, Nodata, OpenOptions, SampleType, WindowRequest, conformance, open_path, open_reader,
};

#[allow(dead_code)]
#[path = "../examples/support/tiff_writer.rs"]
mod tiff_writer;

/// A whole image in memory: native samples, pixel-interleaved.
struct Pixels {
    width: u32,
    height: u32,
    n_bands: usize,
    kind: Kind,
    bytes: Vec<u8>,
}

impl Pixels {
    /// Samples of the image's size that differ from place to place and from band to band, with runs, and in all bytes
    /// of a sample. Another `seed`, another picture.
    fn new(image: &Image, seed: u64) -> Self {
        let value = |x: u32, y: u32, band: usize| {
            let n = u64::from(x / 5 * 3 + y * 13 + x * y / 7) + band as u64 * 101 + seed * 59;
            to_bytes(image.kind, |bits| n.wrapping_mul(0x0102_0408_1021_4387) >> (64 - bits), n as f64 * 0.37 - 1000.0)
        };
        Self::from_fn(image, value)
    }

    fn from_fn(image: &Image, mut value: impl FnMut(u32, u32, usize) -> Vec<u8>) -> Self {
        let n_bands = usize::from(image.n_bands);
        let mut bytes = Vec::new();
        for y in 0..image.height {
            for x in 0..image.width {
                (0..n_bands).for_each(|band| bytes.extend(value(x, y, band)));
            }
        }
        Self { width: image.width, height: image.height, n_bands, kind: image.kind, bytes }
    }

    fn sample(&self, x: u32, y: u32, band: usize) -> &[u8] {
        let at = (y as usize * self.width as usize + x as usize) * self.n_bands + band;
        &self.bytes[at * self.kind.bytes()..][..self.kind.bytes()]
    }

    /// The samples of a block as a file stores them; what lies beyond the image is neither 0 nor a sample.
    fn block(&self, image: &Image, plane: u16, col: u32, row: u32) -> Vec<u8> {
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

    fn by_band(&self) -> Vec<u8> {
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
fn to_bytes(kind: Kind, integer: impl Fn(u32) -> u64, float: f64) -> Vec<u8> {
    match kind {
        Kind::U8 | Kind::I8 => vec![integer(8) as u8],
        Kind::U16 | Kind::I16 => (integer(16) as u16).to_ne_bytes().to_vec(),
        Kind::U32 | Kind::I32 => (integer(32) as u32).to_ne_bytes().to_vec(),
        Kind::U64 | Kind::I64 => integer(64).to_ne_bytes().to_vec(),
        Kind::F32 => (float as f32).to_ne_bytes().to_vec(),
        Kind::F64 => float.to_ne_bytes().to_vec(),
    }
}

fn sample_type(kind: Kind) -> SampleType {
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
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn writer(&self, name: &str, format: Format) -> (PathBuf, TiffWriter<BufWriter<File>>) {
        let path = self.path(name);
        let file = BufWriter::new(File::create(&path).unwrap());
        (path, TiffWriter::new(file, format).unwrap())
    }

    /// A file with one image.
    fn write(&self, format: Format, image: &Image, pixels: &Pixels) -> PathBuf {
        let (path, mut writer) = self.writer("image.tif", format);
        writer.image(image, |plane, col, row| Some(pixels.block(image, plane, col, row))).unwrap();
        writer.finish().unwrap();
        path
    }
}

/// All pixels of a level.
fn read(dataset: &Dataset, level: u32, interleave: Interleave) -> tilekeep::Result<Vec<u8>> {
    let window = dataset.level(level)?.window();
    let request = WindowRequest::new(level, window).layout(Layout::Tight(interleave));
    let mut pixels = vec![0x5A; dataset.window_bytes(&request)?];
    dataset.read_window(&request, &mut pixels)?;
    Ok(pixels)
}

fn assert_pixels(dataset: &Dataset, level: u32, expected: &Pixels, what: &str) {
    let by_pixel = read(dataset, level, Interleave::Pixel).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(by_pixel == expected.bytes, "{what}: level {level} has other pixels");
    let by_band = read(dataset, level, Interleave::Band).unwrap();
    assert!(by_band == expected.by_band(), "{what}: level {level} has other pixels, band after band");
}

/// The description, the layout of the blocks and every pixel of a file with one image.
fn assert_reads(path: &Path, format: Format, image: &Image, pixels: &Pixels, what: &str) {
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

const FORMATS: [Format; 4] = [
    Format { big: false, order: Order::Little },
    Format { big: false, order: Order::Big },
    Format { big: true, order: Order::Little },
    Format { big: true, order: Order::Big },
];

/// Lossless compressions and the predictors that go with them.
const CODECS: [(Compression, &[u16]); 5] = [
    (Compression::None, &[1]),
    (Compression::PackBits, &[1]),
    (Compression::Lzw, &[1, 2, 3]),
    (Compression::Deflate, &[1, 2, 3]),
    (Compression::Zstd, &[1, 2, 3]),
];

/// Every image of the cross product for `kind`.
fn variants(kind: Kind) -> Vec<Image> {
    let mut images = Vec::new();
    for (compression, predictors) in CODECS {
        for predictor in predictors.iter().copied().filter(|p| *p < 3 || kind.is_float()) {
            for blocks in [Blocks::Tiles(32, 48), Blocks::Strips(7)] {
                for (n_bands, planar) in [(1, false), (3, false), (3, true)] {
                    let image = Image { blocks, n_bands, kind, planar, compression, predictor, ..Image::new(75, 61) };
                    images.push(image);
                }
            }
        }
    }
    images
}

fn check_kind(kind: Kind) {
    let folder = Folder::new();
    for (number, image) in variants(kind).iter().enumerate() {
        let pixels = Pixels::new(image, number as u64);
        for (turn, format) in FORMATS.into_iter().enumerate() {
            let path = folder.write(format, image, &pixels);
            let what = format!("{format:?} {image:?}");
            assert_reads(&path, format, image, &pixels, &what);
            // A promise that is broken for one image in five of every format is broken for the others too.
            if (number + turn) % 5 == 0 {
                let (source, _) = open_path(&path, Limits::default()).unwrap();
                conformance::check(&source).unwrap_or_else(|e| panic!("{what}: {e}"));
            }
        }
    }
}

#[test]
fn bytes_come_back_from_every_variant() {
    [Kind::U8, Kind::I8].into_iter().for_each(check_kind);
}

#[test]
fn integers_of_16_bits_come_back_from_every_variant() {
    [Kind::U16, Kind::I16].into_iter().for_each(check_kind);
}

#[test]
fn integers_of_32_bits_come_back_from_every_variant() {
    [Kind::U32, Kind::I32].into_iter().for_each(check_kind);
}

#[test]
fn integers_of_64_bits_come_back_from_every_variant() {
    [Kind::U64, Kind::I64].into_iter().for_each(check_kind);
}

#[test]
fn floats_come_back_from_every_variant() {
    [Kind::F32, Kind::F64].into_iter().for_each(check_kind);
}

#[test]
fn blocks_of_any_shape_are_read() {
    let shapes = [
        Blocks::Tiles(16, 16),
        Blocks::Tiles(16, 128),
        Blocks::Tiles(256, 16),
        Blocks::Tiles(128, 128),
        Blocks::Strips(1),
        Blocks::Strips(64),
        Blocks::Strips(1000),
    ];
    let folder = Folder::new();
    for (width, height) in [(1, 1), (1, 70), (70, 1), (128, 128), (129, 127)] {
        for blocks in shapes {
            let image = Image {
                blocks,
                n_bands: 2,
                kind: Kind::U16,
                compression: Compression::Deflate,
                predictor: 2,
                ..Image::new(width, height)
            };
            let pixels = Pixels::new(&image, 1);
            let path = folder.write(Format::default(), &image, &pixels);
            assert_reads(&path, Format::default(), &image, &pixels, &format!("{image:?}"));
        }
    }
}

#[test]
fn bands_without_end_are_read_from_either_planar_configuration() {
    let folder = Folder::new();
    for planar in [false, true] {
        for n_bands in [2, 4, 5, 17, 300] {
            let image = Image {
                blocks: Blocks::Tiles(16, 16),
                n_bands,
                planar,
                photometric: Some(1),
                compression: Compression::Lzw,
                predictor: 2,
                ..Image::new(35, 18)
            };
            let pixels = Pixels::new(&image, 2);
            let path = folder.write(Format::default(), &image, &pixels);
            assert_reads(&path, Format::default(), &image, &pixels, &format!("{image:?}"));
        }
    }
}

#[test]
fn jpeg_blocks_are_close_to_what_was_stored() {
    let shapes = [Blocks::Tiles(64, 48), Blocks::Strips(24)];
    // Bands, planar, photometric interpretation.
    let samples = [(1, false, 1), (3, false, 2), (3, false, 6), (3, true, 2), (4, false, 5)];
    let folder = Folder::new();
    for blocks in shapes {
        for (n_bands, planar, photometric) in samples {
            for shared_jpeg_tables in [false, true] {
                for format in FORMATS {
                    let image = Image {
                        blocks,
                        n_bands,
                        planar,
                        photometric: Some(photometric),
                        compression: Compression::Jpeg(97),
                        shared_jpeg_tables,
                        ..Image::new(100, 75)
                    };
                    let smooth = |x: u32, y: u32, band: usize| vec![(x + y / 2 + 30 * band as u32) as u8];
                    let pixels = Pixels::from_fn(&image, smooth);
                    let path = folder.path("jpeg.tif");
                    let mut writer = TiffWriter::new(File::create(&path).unwrap(), format).unwrap();
                    // What lies beyond the edge goes on smoothly: a step would shine through the picture.
                    let beyond = Image { width: 128, height: 96, ..image.clone() };
                    let beyond = Pixels::from_fn(&beyond, smooth);
                    let is_tiled = matches!(blocks, Blocks::Tiles(..));
                    let from = if is_tiled { &beyond } else { &pixels };
                    writer.image(&image, |plane, col, row| Some(from.block(&image, plane, col, row))).unwrap();
                    writer.finish().unwrap();
                    let dataset = Dataset::open(&path).unwrap_or_else(|e| panic!("{image:?}: {e}"));
                    let read = read(&dataset, 0, Interleave::Pixel).unwrap_or_else(|e| panic!("{image:?}: {e}"));
                    let worst = read.iter().zip(&pixels.bytes).map(|(a, b)| a.abs_diff(*b)).max();
                    assert!(worst <= Some(5), "{image:?}: a sample is {worst:?} steps away");
                    assert_eq!(dataset.info().compression, "jpeg");
                    let (source, _) = open_path(&path, Limits::default()).unwrap();
                    conformance::check(&source).unwrap_or_else(|e| panic!("{image:?}: {e}"));
                }
            }
        }
    }
}

#[test]
fn bits_stored_in_reverse_order_are_turned_round() {
    let image = Image { tags: vec![(266, Values::Short(vec![2]))], ..Image::new(40, 30) };
    let pixels = Pixels::new(&image, 3);
    let reversed = Pixels::from_fn(&image, |x, y, band| vec![pixels.sample(x, y, band)[0].reverse_bits()]);
    let folder = Folder::new();
    let path = folder.write(Format::default(), &image, &reversed);
    assert_reads(&path, Format::default(), &image, &pixels, "reversed");
}

/// What is special about where the reduced images of a file are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Chain,
    /// Coarsest first.
    ChainBackwards,
    SubDirectories,
    /// In a file of their own, with `.ovr` at the end of its name.
    Beside,
}

#[test]
fn overviews_are_found_wherever_they_are() {
    let folder = Folder::new();
    for place in [Place::Chain, Place::ChainBackwards, Place::SubDirectories, Place::Beside] {
        for (planar, format) in [false, true].into_iter().zip([FORMATS[0], FORMATS[3]]) {
            let base = Image {
                blocks: Blocks::Tiles(64, 64),
                n_bands: 3,
                planar,
                kind: Kind::U16,
                compression: Compression::Deflate,
                ..Image::new(401, 303)
            };
            // Overviews may be stored otherwise than the first image.
            let overviews = [
                Image { compression: Compression::Lzw, blocks: Blocks::Tiles(128, 32), ..base.reduced(2) },
                Image { compression: Compression::None, blocks: Blocks::Strips(10), ..base.reduced(4) },
            ];
            let pictures: Vec<_> =
                [&base].into_iter().chain(&overviews).zip(0..).map(|(i, n)| Pixels::new(i, n)).collect();
            let block = |n: usize, image: &Image, plane, col, row| Some(pictures[n].block(image, plane, col, row));
            let (path, mut writer) = folder.writer(&format!("{place:?}-{planar}.tif"), format);
            if place == Place::SubDirectories {
                for (n, image) in overviews.iter().enumerate() {
                    writer.sub_image(image, |plane, col, row| block(n + 1, image, plane, col, row)).unwrap();
                }
            }
            writer.image(&base, |plane, col, row| block(0, &base, plane, col, row)).unwrap();
            // Neither a mask nor another page is a level.
            let mask = Image { subfile_type: 4, ..Image::new(401, 303) };
            let page = Image { subfile_type: 2, ..base.reduced(2) };
            writer.image(&mask, |_, _, _| Some(vec![0; 401 * 303])).unwrap();
            writer.image(&page, |_, _, _| None).unwrap();
            if place == Place::Beside {
                writer.finish().unwrap();
                writer = folder.writer(&format!("{place:?}-{planar}.tif.ovr"), format).1;
            }
            if place != Place::SubDirectories {
                let mut order = [0, 1];
                if place == Place::ChainBackwards {
                    order.reverse();
                }
                for n in order {
                    let image = &overviews[n];
                    writer.image(image, |plane, col, row| block(n + 1, image, plane, col, row)).unwrap();
                }
            }
            writer.finish().unwrap();

            let dataset = Dataset::open(&path).unwrap();
            let sizes: Vec<_> = dataset.levels().iter().map(|l| (l.width, l.height, l.native)).collect();
            assert_eq!(sizes, [(401, 303, true), (201, 152, true), (101, 76, true)], "{place:?}");
            for (level, pixels) in (0..).zip(&pictures) {
                assert_pixels(&dataset, level, pixels, &format!("{place:?}"));
            }
            let (source, _) = open_path(&path, Limits::default()).unwrap();
            conformance::check(&source).unwrap();
        }
    }
}

#[test]
fn overviews_of_the_file_itself_win_over_those_beside_it() {
    let folder = Folder::new();
    let base = Image { blocks: Blocks::Tiles(64, 64), ..Image::new(400, 300) };
    let small = Image { blocks: Blocks::Tiles(64, 64), ..base.reduced(2) };
    for (name, seed) in [("both.tif", 1), ("both.tif.ovr", 7)] {
        let (_, mut writer) = folder.writer(name, Format::default());
        for image in [&base, &small].into_iter().skip(usize::from(seed == 7)) {
            let pixels = Pixels::new(image, seed);
            writer.image(image, |plane, col, row| Some(pixels.block(image, plane, col, row))).unwrap();
        }
        writer.finish().unwrap();
    }
    let dataset = Dataset::open(folder.path("both.tif")).unwrap();
    assert_pixels(&dataset, 1, &Pixels::new(&small, 1), "both");
}

#[test]
fn an_overview_that_cannot_be_read_is_made_from_the_finer_level() {
    let folder = Folder::new();
    let base = Image { blocks: Blocks::Tiles(64, 64), ..Image::new(400, 300) };
    let foreign = Image { tags: vec![(259, Values::Short(vec![65000]))], ..base.reduced(2) };
    let pixels = Pixels::new(&base, 4);
    let (path, mut writer) = folder.writer("foreign.tif", Format::default());
    writer.image(&base, |plane, col, row| Some(pixels.block(&base, plane, col, row))).unwrap();
    writer.image(&foreign, |_, _, _| Some(vec![9; 64 * 64])).unwrap();
    writer.finish().unwrap();
    let dataset = Dataset::open(&path).unwrap();
    assert!(!dataset.levels()[1].native);
    assert_eq!(read(&dataset, 1, Interleave::Pixel).unwrap(), halved(&pixels, None).bytes);
}

#[test]
fn blocks_that_are_not_stored_hold_nodata_or_zeros() {
    let folder = Folder::new();
    for kind in Kind::ALL {
        for (nodata, expected) in [(None, 0), (Some("7"), 7)] {
            for (blocks, planar) in
                [(Blocks::Tiles(32, 32), false), (Blocks::Tiles(32, 32), true), (Blocks::Strips(9), false)]
            {
                let image = Image {
                    blocks,
                    planar,
                    kind,
                    n_bands: 2,
                    compression: Compression::Deflate,
                    nodata: nodata.map(str::to_owned),
                    ..Image::new(70, 50)
                };
                let is_stored = |plane: u16, col: u32, row: u32| (u32::from(plane) + col + row).is_multiple_of(2);
                let full = Pixels::new(&image, 5);
                let (path, mut writer) = folder.writer("sparse.tif", FORMATS[1]);
                writer
                    .image(&image, |plane, col, row| {
                        is_stored(plane, col, row).then(|| full.block(&image, plane, col, row))
                    })
                    .unwrap();
                writer.finish().unwrap();
                let (width, height) = image.block_size();
                let holey = Pixels::from_fn(&image, |x, y, band| {
                    let plane = if planar { band as u16 } else { 0 };
                    if is_stored(plane, x / width, y / height) {
                        full.sample(x, y, band).to_vec()
                    } else {
                        to_bytes(kind, |_| expected, expected as f64)
                    }
                });
                let dataset = Dataset::open(&path).unwrap();
                assert_pixels(&dataset, 0, &holey, &format!("{image:?}"));
            }
        }
    }
}

/// Opens a file of one small image that `change` made special.
fn open_special(change: impl FnOnce(&mut Image)) -> tilekeep::Result<Dataset> {
    let mut image = Image { blocks: Blocks::Tiles(16, 16), ..Image::new(20, 20) };
    change(&mut image);
    let mut writer = TiffWriter::new(std::io::Cursor::new(Vec::new()), FORMATS[1]).unwrap();
    writer.image(&image, |plane, col, row| Some(Pixels::new(&image, 0).block(&image, plane, col, row))).unwrap();
    let bytes = writer.finish().unwrap().into_inner();
    Dataset::from_source(open_reader(Arc::new(bytes), Limits::default())?, &OpenOptions::default())
}

#[test]
fn compressions_that_are_not_read_are_named_with_tag_and_number() {
    for number in [6, 34676, 34712, 65000] {
        let error = open_special(|image| image.tags = vec![(259, Values::Short(vec![number]))]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        for part in ["259", &number.to_string()] {
            assert!(error.message().contains(part), "{error}");
        }
    }
}

#[test]
fn predictors_that_do_not_fit_are_named_with_tag_and_number() {
    for (predictor, kind) in [(3, Kind::U16), (4, Kind::U8), (34892, Kind::F32)] {
        let error = open_special(|image| {
            image.kind = kind;
            image.compression = Compression::Lzw;
            image.tags = vec![(317, Values::Short(vec![predictor]))];
        });
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.message().contains("317") && error.message().contains(&predictor.to_string()), "{error}");
    }
}

#[test]
fn nodata_is_given_as_the_samples_have_it() {
    let cases = [
        (Kind::U8, "255", Some(Nodata::Float(255.0))),
        (Kind::I16, "-32768", Some(Nodata::Float(-32768.0))),
        (Kind::F32, "-3.4028234663852886e+38", Some(Nodata::Float(f64::from(f32::MIN)))),
        (Kind::F64, "1e300", Some(Nodata::Float(1e300))),
        (Kind::I64, "-9223372036854775808", Some(Nodata::Int(i64::MIN))),
        (Kind::U64, "18446744073709551615", Some(Nodata::UInt(u64::MAX))),
        (Kind::U8, "nothing", None),
        (Kind::U8, "", None),
    ];
    for (kind, text, expected) in cases {
        let dataset = open_special(|image| (image.kind, image.nodata) = (kind, Some(text.to_owned()))).unwrap();
        assert_eq!(dataset.info().nodata, expected, "{text} in {kind:?}");
    }
    let dataset = open_special(|image| (image.kind, image.nodata) = (Kind::F32, Some("nan".to_owned()))).unwrap();
    assert!(dataset.info().nodata.unwrap().as_f64().is_nan());
}

#[test]
fn the_geotransform_counts_from_the_corner_of_the_first_pixel() {
    let scale = Some([10.0, 20.0, 0.0]);
    let corner = [0.0, 0.0, 0.0, 5000.0, 9000.0, 0.0];
    let inside = [2.0, 3.0, 0.0, 5020.0, 8940.0, 0.0];
    let north_up = [5000.0, 10.0, 0.0, 9000.0, 0.0, -20.0];
    let moved = [4995.0, 10.0, 0.0, 9010.0, 0.0, -20.0];
    let turned = [100.0, 3.0, 4.0, 200.0, 5.0, -6.0];
    let matrix = vec![3.0, 4.0, 0.0, 100.0, 5.0, -6.0, 0.0, 200.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    let point = vec![(1025, Geo::Short(2))];
    let area = vec![(1025, Geo::Short(1))];
    let cases = [
        (scale, vec![corner], area.clone(), vec![], Some(north_up)),
        (scale, vec![inside], vec![], vec![], Some(north_up)),
        (scale, vec![corner], point.clone(), vec![], Some(moved)),
        (None, vec![], area, vec![(34264, Values::Double(matrix.clone()))], Some(turned)),
        (None, vec![], point, vec![(34264, Values::Double(matrix))], Some([96.5, 3.0, 4.0, 200.5, 5.0, -6.0])),
        (None, vec![corner, inside], vec![], vec![], None),
        (scale, vec![], vec![], vec![], None),
        (None, vec![], vec![], vec![], None),
    ];
    for (number, (pixel_scale, tiepoints, geo_keys, tags, expected)) in cases.into_iter().enumerate() {
        let dataset = open_special(|image| {
            (image.pixel_scale, image.tiepoints, image.geo_keys, image.tags) = (pixel_scale, tiepoints, geo_keys, tags);
        });
        assert_eq!(dataset.unwrap().info().geotransform, expected.map(Geotransform), "case {number}");
    }
}

#[test]
fn coarser_levels_have_coarser_geotransforms() {
    let folder = Folder::new();
    let path = folder.path("sample.tif");
    tiff_writer::sample_pyramid(&path, 600, 401).unwrap();
    let dataset = Dataset::open(&path).unwrap();
    assert_eq!(dataset.info().epsg(), Some(32632));
    assert!(dataset.levels().iter().all(|level| level.native));
    let (base, last) = (dataset.levels()[0], dataset.levels()[2]);
    assert_eq!((last.width, last.height), (150, 101));
    let far =
        |level: u32, width: u64, height: u64| dataset.geotransform(level).unwrap().apply(width as f64, height as f64);
    let (fine, coarse) = (far(0, base.width, base.height), far(2, last.width, last.height));
    assert!((fine.0 - coarse.0).abs() < 1e-6 && (fine.1 - coarse.1).abs() < 1e-6, "{fine:?} {coarse:?}");
}

#[test]
fn geo_keys_and_the_epsg_code_are_given() {
    let keys = vec![
        (1024, Geo::Short(1)),
        (1026, Geo::Ascii("somewhere".to_owned())),
        (2048, Geo::Short(4258)),
        (2057, Geo::Double(6_378_137.0)),
        (2059, Geo::Double(298.257)),
        (3072, Geo::Short(25832)),
        (3073, Geo::Ascii("here".to_owned())),
    ];
    let dataset = open_special(|image| image.geo_keys = keys).unwrap();
    let said: Vec<_> = dataset.info().geo_keys.iter().map(|key| (key.id, key.value.to_string())).collect();
    let expected = [
        (1024, "1"),
        (1026, "somewhere"),
        (2048, "4258"),
        (2057, "6378137"),
        (2059, "298.257"),
        (3072, "25832"),
        (3073, "here"),
    ];
    assert!(said.iter().map(|(id, text)| (*id, text.as_str())).eq(expected), "{said:?}");
    assert_eq!(dataset.info().geo_keys[0].value, GeoKeyValue::Short(1));
    assert_eq!(dataset.info().epsg(), Some(25832));

    let geographic = open_special(|image| image.geo_keys = vec![(2048, Geo::Short(4326))]).unwrap();
    assert_eq!(geographic.info().epsg(), Some(4326));
    let user_defined = open_special(|image| image.geo_keys = vec![(3072, Geo::Short(32767))]).unwrap();
    assert_eq!(user_defined.info().epsg(), None);
}

#[test]
fn the_colour_table_has_eight_bits_a_part() {
    for scale in [1, 257] {
        let dataset = open_special(|image| {
            image.photometric = Some(3);
            image.color_map = Some((0..256).map(|i| [i * scale, (255 - i) * scale, 7 * scale]).collect());
        });
        let dataset = dataset.unwrap();
        let table = dataset.info().color_table.as_ref().unwrap();
        assert_eq!((table.len(), table[0], table[200]), (256, [0, 255, 7, 255], [200, 55, 7, 255]));
        assert_eq!(dataset.info().colors, [ColorInterpretation::Palette]);
    }
}

#[test]
fn bands_show_what_photometric_and_extra_samples_say() {
    use ColorInterpretation as C;
    let cases: [(u16, u16, &[u16], &[C]); 6] = [
        (1, 1, &[], &[C::Gray]),
        (2, 1, &[2], &[C::Gray, C::Alpha]),
        (3, 2, &[], &[C::Red, C::Green, C::Blue]),
        (4, 2, &[1], &[C::Red, C::Green, C::Blue, C::Alpha]),
        (4, 2, &[0], &[C::Red, C::Green, C::Blue, C::Undefined]),
        (4, 5, &[], &[C::Cyan, C::Magenta, C::Yellow, C::Black]),
    ];
    for (n_bands, photometric, extra, expected) in cases {
        let dataset = open_special(|image| {
            (image.n_bands, image.photometric, image.extra_samples) = (n_bands, Some(photometric), extra.to_vec());
        });
        assert_eq!(dataset.unwrap().info().colors, expected);
    }
}

#[test]
fn metadata_is_given_by_domain_and_key() {
    let xml = r#"<GDALMetadata><Item name="AREA">north</Item><Item name="gain" sample="1">2</Item>
        <Item name="SCALE" sample="1" role="scale">3</Item><Item name="k" domain="RPC">v &lt; w</Item></GDALMetadata>"#;
    let dataset = open_special(|image| {
        image.n_bands = 2;
        image.gdal_metadata = Some(xml.to_owned());
        image.tags = vec![(305, Values::Ascii("a test".to_owned()))];
    });
    let dataset = dataset.unwrap();
    let cases = [
        ("", "AREA", Some("north")),
        ("band/1", "gain", Some("2")),
        ("RPC", "k", Some("v < w")),
        ("", "TIFFTAG_SOFTWARE", Some("a test")),
        ("", "gain", None),
        ("band/1", "SCALE", None),
    ];
    for (domain, key, value) in cases {
        assert_eq!(dataset.info().metadata(domain, key), value, "{domain} {key}");
    }
    assert_eq!([0, 1].map(|band| dataset.info().band(band).scale), [None, Some(3.0)]);
}

/// A level of half the size as the plainest code makes it: means of up to four samples without nodata and NaN,
/// integers rounded half away from zero.
fn halved(pixels: &Pixels, nodata: Option<f64>) -> Pixels {
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

fn mean(kind: Kind, samples: &[&[u8]], nodata: Option<f64>) -> Vec<u8> {
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

#[test]
fn missing_levels_are_means_of_the_finer_one() {
    let folder = Folder::new();
    for kind in Kind::ALL {
        for nodata in [None, Some(7.0)] {
            for (planar, blocks) in [(false, Blocks::Tiles(128, 64)), (true, Blocks::Strips(11))] {
                let image = Image {
                    kind,
                    planar,
                    blocks,
                    n_bands: 2,
                    nodata: nodata.map(|value| value.to_string()),
                    ..Image::new(277, 531)
                };
                let bits = kind.bytes() as u32 * 8;
                let picture = Pixels::from_fn(&image, |x, y, band| {
                    let place = u64::from(x) * 31 + u64::from(y) * 17 + band as u64;
                    let noise = place.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    // A third is nodata, in patches that hide whole pixels of the coarser level too.
                    if (x / 3 + y / 3) % 3 == 0 {
                        return to_bytes(kind, |_| 7, 7.0);
                    }
                    to_bytes(kind, |_| noise >> (64 - bits), (noise >> 40) as f64 * 0.013 - 9000.0)
                });
                let path = folder.write(Format::default(), &image, &picture);
                let dataset = Dataset::open(&path).unwrap();
                let sizes: Vec<_> = dataset.levels().iter().map(|l| (l.width, l.height, l.native)).collect();
                assert_eq!(sizes, [(277, 531, true), (139, 266, false), (70, 133, false)]);
                let half = halved(&picture, nodata);
                let what = format!("{kind:?} {nodata:?} {blocks:?}");
                assert_pixels(&dataset, 1, &half, &what);
                assert_pixels(&dataset, 2, &halved(&half, nodata), &what);
            }
        }
    }
}

#[test]
fn palette_indices_are_not_mixed() {
    let image = Image {
        blocks: Blocks::Tiles(64, 64),
        photometric: Some(3),
        color_map: Some((0..256).map(|i| [i, 255 - i, i]).collect()),
        ..Image::new(300, 200)
    };
    let picture = Pixels::new(&image, 6);
    let folder = Folder::new();
    let dataset = Dataset::open(folder.write(Format::default(), &image, &picture)).unwrap();
    let first = Pixels::from_fn(&Image::new(150, 100), |x, y, _| picture.sample(x * 2, y * 2, 0).to_vec());
    assert_pixels(&dataset, 1, &first, "palette");
}

#[test]
fn levels_between_stored_ones_that_are_far_apart_are_made() {
    let folder = Folder::new();
    let base = Image { blocks: Blocks::Tiles(128, 128), ..Image::new(1100, 900) };
    let small = Image { blocks: Blocks::Tiles(128, 128), ..base.reduced(4) };
    let (fine, coarse) = (Pixels::new(&base, 1), Pixels::new(&small, 2));
    let (path, mut writer) = folder.writer("gap.tif", Format::default());
    writer.image(&base, |plane, col, row| Some(fine.block(&base, plane, col, row))).unwrap();
    writer.image(&small, |plane, col, row| Some(coarse.block(&small, plane, col, row))).unwrap();
    writer.finish().unwrap();
    let dataset = Dataset::open(&path).unwrap();
    let made: Vec<_> = dataset.levels().iter().map(|l| l.native).collect();
    assert_eq!(made, [true, false, true, false]);
    for (level, expected) in (0..).zip([&fine, &halved(&fine, None), &coarse, &halved(&coarse, None)]) {
        assert_pixels(&dataset, level, expected, "gap");
    }
}

#[test]
fn each_block_of_a_pyramid_is_made_once() {
    let folder = Folder::new();
    let image = Image { blocks: Blocks::Tiles(64, 64), ..Image::new(601, 402) };
    let path = folder.write(Format::default(), &image, &Pixels::new(&image, 8));
    // The default policy keeps uncompressed blocks only when they are read again.
    let dataset = Dataset::open_with(path, &OpenOptions::default().cache_policy(CachePolicy::Lru)).unwrap();
    let counts: Vec<_> = dataset.levels().iter().map(|l| u64::from(l.cols() * l.rows())).collect();
    assert_eq!(counts, [70, 20, 6]);
    read(&dataset, 2, Interleave::Pixel).unwrap();
    let after_coarsest = dataset.stats();
    assert_eq!((after_coarsest.loads, after_coarsest.misses, after_coarsest.entries), (96, 96, 96));
    for level in [1, 0, 2] {
        read(&dataset, level, Interleave::Band).unwrap();
    }
    let stats = dataset.stats();
    assert_eq!((stats.loads, stats.misses, stats.failed_loads, stats.evictions), (96, 96, 0, 0));
    assert_eq!(stats.hits - after_coarsest.hits, 96);

    // One block of the coarsest level needs what lies under it and nothing else.
    dataset.evict_all();
    dataset.block((2, 0, 0)).unwrap();
    assert_eq!(dataset.stats().loads - stats.loads, 1 + 4 + 16);
}
