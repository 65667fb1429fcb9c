//! TIFF files that are cut off, damaged, swapped or made to harm, and files that no reader takes: an error in words or
//! pixels, in bounded time and memory.

mod common;

use std::io::Cursor;

use common::{data_dir, read_all, real_files};
use goods::{Good, sample};
use std::sync::Arc;
use tiff_writer::{Blocks, Compression, Format, Geo, Image, Kind, Order, TiffWriter};
use tilekeep::{Dataset, Interleave, Limits, OpenOptions, open_reader};
use torture::{torture, torture_bytes, torture_format};

#[path = "common/goods.rs"]
mod goods;
#[allow(dead_code)]
#[path = "../examples/support/tiff_writer.rs"]
mod tiff_writer;
#[path = "common/torture.rs"]
mod torture;

fn to_bytes(kind: Kind, value: u32) -> Vec<u8> {
    match kind {
        Kind::U8 | Kind::I8 => vec![value as u8],
        Kind::U16 | Kind::I16 => (value as u16 * 11).to_ne_bytes().to_vec(),
        Kind::F32 => (value as f32 * 0.37).to_ne_bytes().to_vec(),
        _ => u64::from(value).to_ne_bytes()[..kind.bytes()].to_vec(),
    }
}

/// A TIFF of `image` and an overview of it.
fn tiff(name: &str, format: Format, image: &Image) -> Good {
    let block = |image: &Image, plane: u16, col: u32, row: u32| {
        let (width, height) = image.block_size();
        let bands = if image.planar { plane..plane + 1 } else { 0..image.n_bands };
        let mut block = Vec::new();
        for y in row * height..row * height + image.stored_rows(row) {
            for x in col * width..(col + 1) * width {
                bands.clone().for_each(|band| block.extend(to_bytes(image.kind, sample(x, y, band.into()))));
            }
        }
        block
    };
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()), format).unwrap();
    writer.image(image, |plane, col, row| Some(block(image, plane, col, row))).unwrap();
    let overview = image.reduced(2);
    writer.image(&overview, |plane, col, row| Some(block(&overview, plane, col, row))).unwrap();
    Good { name: name.to_owned(), bytes: writer.finish().unwrap().into_inner(), mend: |_| {} }
}

/// A tiled RGB image that says all sorts of things about itself.
fn talkative(compression: Compression) -> Image {
    Image {
        blocks: Blocks::Tiles(32, 32),
        n_bands: 3,
        compression,
        nodata: Some("0".to_owned()),
        gdal_metadata: Some("<GDALMetadata><Item name=\"A\">1</Item></GDALMetadata>".to_owned()),
        pixel_scale: Some([10.0, 10.0, 0.0]),
        tiepoints: vec![[0.0, 0.0, 0.0, 500.0, 900.0, 0.0]],
        geo_keys: vec![(1025, Geo::Short(1)), (1026, Geo::Ascii("there".to_owned())), (3072, Geo::Short(32632))],
        ..Image::new(90, 70)
    }
}

const LITTLE: Format = Format { big: false, order: Order::Little };
const BIG_ENDIAN: Format = Format { big: false, order: Order::Big };
const BIG_TIFF: Format = Format { big: true, order: Order::Little };

#[test]
fn broken_uncompressed_tiffs_do_no_harm() {
    let strips = Image { blocks: Blocks::Strips(16), kind: Kind::U16, planar: true, ..talkative(Compression::None) };
    let tiles = talkative(Compression::None);
    torture_format(&[tiff("tiles", LITTLE, &tiles), tiff("planar strips", BIG_ENDIAN, &strips)]);
}

#[test]
fn broken_lzw_tiffs_do_no_harm() {
    let image = Image { predictor: 2, ..talkative(Compression::Lzw) };
    torture_format(&[tiff("lzw", LITTLE, &image)]);
}

#[test]
fn broken_deflate_tiffs_do_no_harm() {
    let image = Image { predictor: 2, kind: Kind::U16, planar: true, ..talkative(Compression::Deflate) };
    let floats = Image { predictor: 3, kind: Kind::F32, ..talkative(Compression::Deflate) };
    torture_format(&[tiff("deflate", BIG_ENDIAN, &image), tiff("deflate of floats", LITTLE, &floats)]);
}

#[test]
fn broken_packbits_tiffs_do_no_harm() {
    let image = Image { blocks: Blocks::Strips(16), ..talkative(Compression::PackBits) };
    torture_format(&[tiff("packbits", LITTLE, &image)]);
}

#[test]
fn broken_zstd_tiffs_do_no_harm() {
    torture_format(&[tiff("zstd", LITTLE, &talkative(Compression::Zstd))]);
}

#[test]
fn broken_jpeg_tiffs_do_no_harm() {
    let image = talkative(Compression::Jpeg(80));
    let shared = Image { photometric: Some(6), shared_jpeg_tables: true, ..image.clone() };
    torture_format(&[tiff("jpeg", BIG_ENDIAN, &image), tiff("jpeg with shared tables", LITTLE, &shared)]);
}

#[test]
fn broken_big_tiffs_do_no_harm() {
    let none = talkative(Compression::None);
    let deflate = Image { predictor: 2, ..talkative(Compression::Deflate) };
    torture_format(&[tiff("big", BIG_TIFF, &none), tiff("big deflate", Format { big: true, ..BIG_ENDIAN }, &deflate)]);
}

#[test]
fn files_that_no_other_reader_takes_do_no_harm() {
    let Some(dir) = data_dir() else { return };
    let mut failures = Vec::new();
    let (mut refused, mut taken) = (0, 0);
    for real in real_files(&dir).iter().filter(|real| real.expect == "refused") {
        if let Err(rule) = torture(|| Dataset::open(&real.path)) {
            failures.push(format!("{}: {rule}", real.name));
        }
        match Dataset::open(&real.path).and_then(|dataset| read_all(&dataset, Interleave::Pixel)) {
            Err(_) => refused += 1,
            // Other readers give up where pixels can be had: no harm, but to be known.
            Ok(pixels) => {
                taken += 1;
                println!("read {}: {} bytes of pixels", real.name, pixels.len());
            }
        }
    }
    println!("{refused} refused, {taken} read");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A JPEG whose frame header says that it is of this size.
fn jpeg_that_says(width: u16, height: u16, progressive: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 80);
    encoder.set_progressive(progressive);
    encoder.encode(&[100; 32 * 32 * 3], 32, 32, jpeg_encoder::ColorType::Rgb).unwrap();
    let frame = bytes.windows(2).position(|marker| matches!(marker, [0xff, 0xc0 | 0xc2])).unwrap();
    bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    bytes
}

#[test]
fn a_block_that_says_that_it_is_larger_is_not_decoded() {
    for (progressive, planar) in [(true, false), (false, false), (true, true)] {
        let image = Image {
            blocks: Blocks::Tiles(32, 32),
            n_bands: 3,
            planar,
            compression: Compression::AsGiven(7),
            photometric: Some(6),
            ..Image::new(64, 32)
        };
        let file = |stored: &[u8]| {
            let mut writer = TiffWriter::new(Cursor::new(Vec::new()), Format::default()).unwrap();
            writer.image(&image, |_, _, _| Some(stored.to_vec())).unwrap();
            writer.finish().unwrap().into_inner()
        };
        if !planar {
            let good = torture_bytes(&file(&jpeg_that_says(32, 32, progressive))).unwrap();
            assert!(good.errors == 0 && good.blocks > 0);
        }
        let bad = torture_bytes(&file(&jpeg_that_says(60_000, 60_000, progressive))).unwrap();
        assert!(bad.errors > 0 && bad.blocks == 0, "progressive {progressive}, planar {planar}");
    }
}

#[test]
fn many_frames_of_many_planes_in_strips_are_not_counted_one_by_one() {
    // Little-endian directories of 2048 x 2048 pixels of 65,535 bands apart, group 4, all of which have one strip.
    const N: u32 = 3000;
    let tags: [(u16, u16, u32); 7] =
        [(256, 3, 2048), (257, 3, 2048), (259, 3, 4), (262, 3, 1), (273, 4, 8), (277, 3, 65_535), (284, 3, 2)];
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    for n in 1..=N {
        bytes.extend((tags.len() as u16).to_le_bytes());
        for (tag, kind, value) in tags {
            bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
            bytes.extend([1_u32.to_le_bytes(), value.to_le_bytes()].concat());
        }
        let next = if n == N { 0 } else { bytes.len() as u32 + 4 };
        bytes.extend(next.to_le_bytes());
    }
    let bytes = Arc::new(bytes);
    torture(|| {
        let mut opened = 0;
        let dataset = Dataset::from_source(open_reader(bytes, Limits::default())?, &OpenOptions::default())?;
        for max in [1 << 20, 8 << 20, 64 << 20] {
            dataset.set_cache_max(max);
            opened += dataset.info().n_frames;
        }
        assert_eq!(opened, 3 * N);
        Err(tilekeep::Error::new(tilekeep::ErrorKind::Unsupported, "its pixels are not read"))
    })
    .unwrap();
}
