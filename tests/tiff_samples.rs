//! Samples of every width, and arrays of offsets of every type, in files put together here.

use std::io::Cursor;
use std::sync::Arc;

use tiff_writer::{Blocks, Compression, Format, Image, Order, TiffWriter, Values};
use tilekeep::{
    Dataset, EdgeBlocks, Interleave, Layout, Limits, OpenOptions, Result, SampleType, WindowRequest, conformance,
    open_reader,
};

#[allow(dead_code)]
#[path = "../examples/support/tiff_writer.rs"]
mod tiff_writer;

/// A file whose blocks all are these stored bytes.
fn file_of(image: &Image, format: Format, block: &[u8]) -> Vec<u8> {
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()), format).unwrap();
    writer.image(image, |_, _, _| Some(block.to_vec())).unwrap();
    writer.finish().unwrap().into_inner()
}

fn open(file: Vec<u8>) -> Result<Dataset> {
    Dataset::from_source(open_reader(Arc::new(file), Limits::default())?, &OpenOptions::default())
}

/// All samples, those of a pixel side by side.
fn read(dataset: &Dataset) -> Vec<u8> {
    let request = WindowRequest::new(0, dataset.levels()[0].window()).layout(Layout::Tight(Interleave::Pixel));
    let mut pixels = vec![0x5A; dataset.window_bytes(&request).unwrap()];
    dataset.read_window(&request, &mut pixels).unwrap();
    pixels
}

const ORDERS: [Order; 2] = [Order::Little, Order::Big];

fn format(order: Order) -> Format {
    Format { order, ..Format::default() }
}

/// Rows of numbers of `bits` each, the most significant bit first, every row in whole bytes.
fn pack(rows: &[Vec<u32>], bits: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in rows {
        let digits: Vec<u8> = row.iter().flat_map(|v| (0..bits).rev().map(move |bit| (v >> bit & 1) as u8)).collect();
        bytes.extend(digits.chunks(8).map(|d| (0..8).fold(0, |sum, at| sum << 1 | d.get(at).copied().unwrap_or(0))));
    }
    bytes
}

#[test]
fn samples_of_any_number_of_bits_are_read_without_a_sign() {
    let formats = [1, 2].into_iter().flat_map(|sign| (1..32).map(move |bits| (sign, bits)));
    for (sign, bits) in formats.filter(|(_, bits)| ![8, 16, 24].contains(bits)) {
        for n_bands in [1, 3] {
            let (width, height) = (13_u32, 4_u32);
            let mask = u32::MAX >> (32 - bits);
            let row = |y: u32| {
                (0..width * n_bands)
                    .map(|i| (i.wrapping_mul(0x9E37_79B9).wrapping_add(y * 77)).rotate_left(y) & mask)
                    .collect()
            };
            let rows: Vec<Vec<u32>> = (0..height).map(row).collect();
            for order in ORDERS {
                let image = Image {
                    n_bands: n_bands as u16,
                    photometric: Some(1),
                    compression: Compression::AsGiven(1),
                    tags: vec![
                        (258, Values::Short(vec![bits as u16; n_bands as usize])),
                        (339, Values::Short(vec![sign; n_bands as usize])),
                    ],
                    ..Image::new(width, height)
                };
                let dataset = open(file_of(&image, format(order), &pack(&rows, bits))).unwrap();
                let expected: Vec<u8> = rows
                    .iter()
                    .flatten()
                    .flat_map(|value| match dataset.info().sample {
                        SampleType::U8 => vec![*value as u8],
                        SampleType::U16 => (*value as u16).to_ne_bytes().to_vec(),
                        _ => value.to_ne_bytes().to_vec(),
                    })
                    .collect();
                assert_eq!(read(&dataset), expected, "{bits} bits, {n_bands} bands, {order:?}");
                assert_eq!(dataset.info().n_bits, Some(bits));
            }
        }
    }
}

/// Bits of a sample, SampleFormat, what it is presented as, one sample most significant byte first, and as presented.
#[test]
fn floats_complex_numbers_and_what_nobody_names_are_read_in_either_byte_order() {
    let ne32 = |value: f32| value.to_ne_bytes().to_vec();
    let cases = [
        (16, 3, SampleType::F32, vec![0xC1, 0x00], ne32(-2.5)),
        (24, 3, SampleType::F32, vec![0xC0, 0x40, 0x00], ne32(-2.5)),
        (32, 3, SampleType::F32, 2.5_f32.to_be_bytes().to_vec(), ne32(2.5)),
        (64, 3, SampleType::F64, 2.5_f64.to_be_bytes().to_vec(), 2.5_f64.to_ne_bytes().to_vec()),
        (24, 1, SampleType::U32, vec![1, 2, 3], 0x0001_0203_u32.to_ne_bytes().to_vec()),
        (32, 5, SampleType::ComplexI16, vec![1, 2, 3, 4], [0x0102_u16, 0x0304].map(u16::to_ne_bytes).concat()),
        (64, 5, SampleType::ComplexI32, vec![0, 0, 0, 1, 0, 0, 0, 2], [1_u32, 2].map(u32::to_ne_bytes).concat()),
        (
            64,
            6,
            SampleType::ComplexF32,
            [2.5_f32, -1.0].map(f32::to_be_bytes).concat(),
            [2.5_f32, -1.0].map(f32::to_ne_bytes).concat(),
        ),
        (
            128,
            6,
            SampleType::ComplexF64,
            [2.5_f64, -1.0].map(f64::to_be_bytes).concat(),
            [2.5_f64, -1.0].map(f64::to_ne_bytes).concat(),
        ),
        (16, 4, SampleType::U16, vec![1, 2], 0x0102_u16.to_ne_bytes().to_vec()),
    ];
    for (bits, sample_format, sample, big, native) in cases {
        for order in ORDERS {
            let parts = if sample.is_complex() { 2 } else { 1 };
            let mut stored = big.clone();
            if order == Order::Little {
                stored.chunks_exact_mut(big.len() / parts).for_each(<[u8]>::reverse);
            }
            let image = Image {
                compression: Compression::AsGiven(1),
                tags: vec![(258, Values::Short(vec![bits])), (339, Values::Short(vec![sample_format]))],
                ..Image::new(5, 3)
            };
            let dataset = open(file_of(&image, format(order), &stored.repeat(15))).unwrap();
            // Integers of 24 bits are packed bits, whatever the byte order.
            if (bits, sample_format, order) == (24, 1, Order::Little) {
                continue;
            }
            assert_eq!(dataset.info().sample, sample);
            assert_eq!(read(&dataset), native.repeat(15), "{bits} bits, format {sample_format}, {order:?}");
        }
    }
}

#[test]
fn offsets_and_counts_may_have_any_integer_type() {
    for big in [false, true] {
        // The only block follows the header.
        let start = if big { 16 } else { 8 };
        for order in ORDERS {
            let types = |value: u8| {
                [
                    Values::Bytes(vec![value]),
                    Values::Short(vec![value.into()]),
                    Values::Long(vec![value.into()]),
                    Values::Long8(vec![value.into()]),
                ]
            };
            for offset in types(start) {
                for count in types(12) {
                    let what = format!("{offset:?} {count:?} {order:?}");
                    let tags = vec![(273, offset.clone()), (279, count)];
                    let image = Image { compression: Compression::AsGiven(1), tags, ..Image::new(4, 3) };
                    let pixels: Vec<u8> = (1..=12).collect();
                    let dataset = open(file_of(&image, Format { big, order }, &pixels)).unwrap();
                    assert_eq!(read(&dataset), pixels, "{what}");
                }
            }
        }
    }
}

#[test]
fn a_single_strip_without_a_count_of_bytes_reaches_to_the_end() {
    let pixels: Vec<u8> = (1..=12).collect();
    for (compression, stored) in [
        (1, pixels.clone()),
        (8, miniz_oxide::deflate::compress_to_vec_zlib(&pixels, 3)),
        (32773, [&[11][..], &pixels].concat()),
    ] {
        let tags = vec![(279, Values::Long(vec![0]))];
        let image = Image { compression: Compression::AsGiven(compression), tags, ..Image::new(4, 3) };
        assert_eq!(read(&open(file_of(&image, Format::default(), &stored)).unwrap()), pixels, "{compression}");
    }
    // Of several strips it is one that is not stored.
    let tags = vec![(279, Values::Long(vec![0, 4, 4]))];
    let image = Image { blocks: Blocks::Strips(1), compression: Compression::AsGiven(1), tags, ..Image::new(4, 3) };
    let dataset = open(file_of(&image, Format::default(), &[7; 4])).unwrap();
    assert_eq!(read(&dataset), [[0; 4], [7; 4], [7; 4]].concat());
}

#[test]
fn tiles_of_odd_sizes_and_larger_than_the_image_are_read() {
    for (width, height) in [(10, 7), (3, 100), (100, 3), (64, 64)] {
        let image = Image { blocks: Blocks::Tiles(width, height), ..Image::new(25, 20) };
        let mut writer = TiffWriter::new(Cursor::new(Vec::new()), Format::default()).unwrap();
        let block = |col: u32, row: u32| {
            let places = (0..height).flat_map(|y| (0..width).map(move |x| (col * width + x, row * height + y)));
            places.map(|(x, y)| (x * 7 + y * 31) as u8).collect()
        };
        writer.image(&image, |_, col, row| Some(block(col, row))).unwrap();
        let file = writer.finish().unwrap().into_inner();
        conformance::check(&open_reader(Arc::new(file.clone()), Limits::default()).unwrap()).unwrap();
        let dataset = open(file).unwrap();
        assert_eq!(dataset.levels()[0].edge_blocks, EdgeBlocks::Padded);
        let expected: Vec<u8> = (0..20).flat_map(|y| (0..25).map(move |x| (x * 7 + y * 31) as u8)).collect();
        assert_eq!(read(&dataset), expected, "tiles of {width} x {height}");
    }
}

#[test]
fn samples_of_which_0_is_white_keep_their_numbers() {
    let image = Image { photometric: Some(0), ..Image::new(4, 1) };
    assert_eq!(read(&open(file_of(&image, Format::default(), &[0, 1, 254, 255])).unwrap()), [0, 1, 254, 255]);
}

#[test]
fn complex_samples_come_back_from_the_predictor_as_one_number_each() {
    // SampleFormat, bytes of a sample.
    for (sample_format, n_bytes, sample) in
        [(5, 4, SampleType::ComplexI16), (5, 8, SampleType::ComplexI32), (6, 8, SampleType::ComplexF32)]
    {
        let (width, height) = (7_u64, 3);
        let value = |i: u64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - 8 * n_bytes);
        let row = |y: u64| (0..width).map(move |x| value(y * width + x));
        for order in ORDERS {
            let bytes_of = |value: u64| match order {
                Order::Little => value.to_le_bytes()[..n_bytes as usize].to_vec(),
                Order::Big => value.to_be_bytes()[8 - n_bytes as usize..].to_vec(),
            };
            let mut stored = Vec::new();
            for y in 0..height {
                let mut before = 0_u64;
                for value in row(y) {
                    stored.extend(bytes_of(value.wrapping_sub(before)));
                    before = value;
                }
            }
            let image = Image {
                photometric: Some(1),
                compression: Compression::AsGiven(8),
                tags: vec![
                    (258, Values::Short(vec![8 * n_bytes as u16])),
                    (317, Values::Short(vec![2])),
                    (339, Values::Short(vec![sample_format])),
                ],
                ..Image::new(width as u32, height as u32)
            };
            let block = miniz_oxide::deflate::compress_to_vec_zlib(&stored, 6);
            let dataset = open(file_of(&image, format(order), &block)).unwrap();
            assert_eq!(dataset.info().sample, sample);
            let native = |value: u64| match cfg!(target_endian = "little") {
                true => value.to_le_bytes()[..n_bytes as usize].to_vec(),
                false => value.to_be_bytes()[8 - n_bytes as usize..].to_vec(),
            };
            let expected: Vec<u8> = (0..width * height).map(value).flat_map(native).collect();
            assert_eq!(read(&dataset), expected, "{sample:?}, {order:?}");
        }
    }
}
