//! Predictors and shared chroma of TIFF files, at all widths of rows and samples.

use tiff::tiff_writer::{Blocks, Compression, Format, Image, Kind, Values};
use tiff::{FORMATS, Folder, Pixels, assert_pixels, read};
use tilekeep::{Dataset, ErrorKind, Interleave, SampleType};

#[path = "common/tiff.rs"]
mod tiff;

/// Shorter, as long and longer than the registers that rows are worked on in, and none a multiple of them.
const WIDTHS: [u32; 12] = [1, 2, 3, 5, 7, 9, 15, 17, 31, 33, 65, 127];

#[test]
fn rows_of_any_width_and_samples_of_any_size_come_back_from_predictors() {
    let folder = Folder::new();
    for kind in Kind::ALL {
        for predictor in if kind.is_float() { &[2, 3][..] } else { &[2] } {
            for (width, n_bands) in WIDTHS.into_iter().flat_map(|width| (1..=5).map(move |n| (width, n))) {
                let image = Image {
                    n_bands,
                    kind,
                    photometric: Some(1),
                    predictor: *predictor,
                    compression: Compression::Deflate,
                    blocks: Blocks::Strips(2),
                    ..Image::new(width, 3)
                };
                let pixels = Pixels::new(&image, u64::from(width));
                for format in &FORMATS[..2] {
                    let dataset = Dataset::open(folder.write(*format, &image, &pixels)).unwrap();
                    assert_pixels(&dataset, 0, &pixels, &format!("{format:?} {image:?}"));
                }
            }
        }
    }
}

/// A number above 0 in a float of `exponent` and `mantissa` bits, which has to hold it exactly.
fn short_float(value: f32, exponent: u32, mantissa: u32) -> u32 {
    let bits = value.to_bits();
    assert_eq!(bits & ((1 << (23 - mantissa)) - 1), 0, "{value} needs more bits");
    let unbiased = (bits >> 23) as i32 - 127;
    let stored = (unbiased + (1 << (exponent - 1)) - 1) as u32;
    stored << mantissa | (bits & 0x7F_FFFF) >> (23 - mantissa)
}

#[test]
fn floats_of_16_and_24_bits_come_back_from_the_predictor_of_floats() {
    let folder = Folder::new();
    for (exponent, mantissa) in [(5, 10), (7, 16)] {
        let n_bytes = (1 + exponent + mantissa) as usize / 8;
        for (width, n_bands) in WIDTHS.into_iter().flat_map(|width| [(width, 1), (width, 3)]) {
            let n = width as usize * usize::from(n_bands);
            let value = |i: usize| (i * 7 % 1000 + 1) as f32 * 0.25;
            // The highest bytes of all samples, then the next ones; then differences between pixels.
            let mut row = Vec::new();
            for byte in (0..n_bytes).rev() {
                row.extend((0..n).map(|i| (short_float(value(i), exponent, mantissa) >> (8 * byte)) as u8));
            }
            let n_bands_bytes = usize::from(n_bands);
            let differences: Vec<u8> = (0..row.len())
                .map(|i| row[i].wrapping_sub(if i < n_bands_bytes { 0 } else { row[i - n_bands_bytes] }))
                .collect();
            let stored = miniz_oxide::deflate::compress_to_vec_zlib(&differences, 6);
            let image = Image {
                n_bands,
                photometric: Some(1),
                blocks: Blocks::Strips(1),
                compression: Compression::AsGiven(8),
                tags: vec![
                    (258, Values::Short(vec![n_bytes as u16 * 8; n_bands_bytes])),
                    (317, Values::Short(vec![3])),
                    (339, Values::Short(vec![3; n_bands_bytes])),
                ],
                ..Image::new(width, 1)
            };
            for format in &FORMATS[..2] {
                let (path, mut writer) = folder.writer("short.tif", *format);
                writer.image(&image, |_, _, _| Some(stored.clone())).unwrap();
                writer.finish().unwrap();
                let dataset = Dataset::open(&path).unwrap();
                assert_eq!(dataset.info().sample, SampleType::F32);
                let expected: Vec<u8> = (0..n).flat_map(|i| value(i).to_ne_bytes()).collect();
                let what = format!("{width} pixels of {n_bands} floats of {n_bytes} bytes, {format:?}");
                assert!(read(&dataset, 0, Interleave::Pixel).unwrap() == expected, "{what}");
            }
        }
    }
}

/// YCbCr without colour: red, green and blue are luma.
fn grey(width: u32, blocks: Blocks, compression: Compression, subsampling: [u16; 2]) -> Image {
    Image {
        n_bands: 3,
        photometric: Some(6),
        blocks,
        compression,
        tags: vec![(530, Values::Short(subsampling.to_vec()))],
        ..Image::new(width, 13)
    }
}

fn luma(x: u32, y: u32) -> u8 {
    (x * 3 + y * 5 + x * y / 7) as u8
}

#[test]
fn ycbcr_with_a_predictor_is_rgb_when_each_pixel_has_its_chroma() {
    let folder = Folder::new();
    for width in WIDTHS {
        for compression in [Compression::Deflate, Compression::Lzw, Compression::Zstd] {
            for blocks in [Blocks::Tiles(16, 16), Blocks::Strips(5)] {
                let image = Image { predictor: 2, ..grey(width, blocks, compression, [1, 1]) };
                let stored = Pixels::from_fn(&image, |x, y, band| vec![if band == 0 { luma(x, y) } else { 128 }]);
                let expected = Pixels::from_fn(&image, |x, y, _| vec![luma(x, y)]);
                for format in FORMATS {
                    let dataset = Dataset::open(folder.write(format, &image, &stored)).unwrap();
                    assert_pixels(&dataset, 0, &expected, &format!("{format:?} {image:?}"));
                }
            }
        }
    }
}

#[test]
fn pixels_that_share_chroma_are_read_at_any_width_and_refused_with_a_predictor() {
    let folder = Folder::new();
    for width in WIDTHS {
        for (h, v) in [(1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4)] {
            let shared = [h as u16, v as u16];
            let image = grey(width, Blocks::Strips(13), Compression::AsGiven(8), shared);
            let mut units = Vec::new();
            for top in (0..13).step_by(v as usize) {
                for left in (0..width).step_by(h as usize) {
                    (0..h * v).for_each(|i| units.push(luma(left + i % h, top + i / h)));
                    units.extend([128, 128]);
                }
            }
            let stored = miniz_oxide::deflate::compress_to_vec_zlib(&units, 6);
            let write = |image: &Image| {
                let (path, mut writer) = folder.writer("shared.tif", Format::default());
                writer.image(image, |_, _, _| Some(stored.clone())).unwrap();
                writer.finish().unwrap();
                Dataset::open(path)
            };
            let expected = Pixels::from_fn(&image, |x, y, _| vec![luma(x, y)]);
            assert_pixels(&write(&image).unwrap(), 0, &expected, &format!("{image:?}"));

            let mut predicted = image.clone();
            predicted.tags.insert(0, (317, Values::Short(vec![2])));
            let error = write(&predicted).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            assert!(error.message().contains("317") && error.message().contains("530"), "{error}");
        }
    }
}
