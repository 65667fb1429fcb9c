//! TIFF files in every combination of byte order, layout, compression, predictor and sample type, made here.

use std::fs::File;

use tiff::tiff_writer::{Blocks, Compression, Format, Image, Kind, TiffWriter, Values};
use tiff::{FORMATS, Folder, Pixels, assert_pixels, assert_reads, read, to_bytes};
use tilekeep::{Dataset, Interleave, Limits, conformance, open_path};

#[path = "common/tiff.rs"]
mod tiff;

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
