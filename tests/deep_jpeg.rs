//! JPEG of 12 bits, and of any sampling factors, in files and in TIFF.

mod common;

use std::io::Cursor;
use std::sync::Arc;

use deep_jpeg::DeepJpeg;
use tiff_writer::{Blocks, Compression, Format, Image, TiffWriter, Values};
use tilekeep::{
    Dataset, Encoding, ErrorKind, Interleave, Limits, OpenOptions, Result, SampleType, TileRequest, WindowRequest,
    open_reader,
};

#[path = "common/deep_jpeg.rs"]
mod deep_jpeg;
#[allow(dead_code)]
#[path = "../examples/support/tiff_writer.rs"]
mod tiff_writer;

fn open(file: Vec<u8>, budget: u64) -> Result<Dataset> {
    let source = open_reader(Arc::new(file), Limits::default())?;
    Dataset::from_source(source, &OpenOptions::default().cache_max_bytes(budget))
}

fn samples(dataset: &Dataset) -> Result<Vec<u16>> {
    let bytes = common::read_all(dataset, Interleave::Pixel)?;
    Ok(bytes.as_chunks::<2>().0.iter().map(|bytes| u16::from_ne_bytes(*bytes)).collect())
}

/// A sample of 12 bits: slopes without edges.
fn sample(component: usize, x: usize, y: usize) -> u16 {
    match component {
        0 => 500 + (x * 3 + y * 2) as u16,
        1 => 1700 + (x + 2 * y) as u16 / 4,
        2 => 2300 - (2 * x + y) as u16 / 4,
        _ => 3000 + (x + y) as u16 / 2,
    }
}

/// As [`sample`], with chroma that is steep, across in one component and down in the other: a block of it that is mirrored,
/// turned or elsewhere is far from it.
fn steep(component: usize, x: usize, y: usize) -> u16 {
    match component {
        0 => 1200 + (x * 3 + y * 2) as u16,
        1 => 1700 + (3 * x + y) as u16,
        _ => 2350 - (x + 6 * y) as u16 / 2,
    }
}

/// The sample of a component at a pixel.
type Samples = fn(usize, usize, usize) -> u16;

/// What a pixel of YCbCr is in red, green and blue.
fn rgb(of: Samples, x: usize, y: usize) -> [u16; 3] {
    let [y, cb, cr] = [0, 1, 2].map(|component| f64::from(of(component, x, y)));
    let (cb, cr) = (cb - 2048.0, cr - 2048.0);
    let colours = [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb];
    colours.map(|value| value.round().clamp(0.0, 4095.0) as u16)
}

fn expected(width: u16, height: u16, pixel: impl Fn(usize, usize) -> Vec<u16>) -> Vec<u16> {
    let places = (0..usize::from(height)).flat_map(|y| (0..usize::from(width)).map(move |x| (x, y)));
    places.flat_map(|(x, y)| pixel(x, y)).collect()
}

fn farthest(a: &[u16], b: &[u16]) -> u16 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

const SAMPLINGS: [(u8, u8); 7] = [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (4, 2), (4, 4)];

#[test]
fn files_of_12_bits_have_words_of_12_bits_at_once_and_in_pieces() {
    let (width, height) = (300, 200);
    let grey = expected(width, height, |x, y| vec![sample(0, x, y)]);
    let colour = expected(width, height, |x, y| rgb(sample, x, y).to_vec());
    let steep_colour = expected(width, height, |x, y| rgb(steep, x, y).to_vec());
    let adobe = b"\xFF\xEE\x00\x0EAdobe\0\x64\0\0\0\0\0".to_vec();
    let stored = expected(width, height, |x, y| (0..3).map(|band| sample(band, x, y)).collect());
    let inks = expected(width, height, |x, y| {
        (0..3).map(|band| (u32::from(sample(band, x, y)) * u32::from(sample(3, x, y)) / 4095) as u16).collect()
    });
    let mut cases = vec![
        ("grey".to_owned(), DeepJpeg::new(width, height, 1), sample as Samples, &grey, 1),
        ("rgb".to_owned(), DeepJpeg { first: adobe.clone(), ..DeepJpeg::new(width, height, 3) }, sample, &stored, 3),
        ("inks".to_owned(), DeepJpeg { first: adobe, ..DeepJpeg::new(width, height, 4) }, sample, &inks, 3),
    ];
    for factors in SAMPLINGS {
        for (restart, apart) in [(0, false), (7, false), (0, true)] {
            let what = format!("{factors:?}, restart {restart}, apart {apart}");
            let factors = vec![factors, (1, 1), (1, 1)];
            let picture = DeepJpeg { factors, restart, apart, ..DeepJpeg::new(width, height, 3) };
            cases.push((what, picture, sample, &colour, 3));
        }
        let factors = vec![factors, (1, 1), (1, 1)];
        let picture = DeepJpeg { factors: factors.clone(), ..DeepJpeg::new(width, height, 3) };
        cases.push((format!("{factors:?}, steep"), picture, steep, &steep_colour, 3));
    }
    for (what, picture, of, expected, n_bands) in cases {
        let file = picture.encode(of);
        let dataset = open(file.clone(), 64 << 20).unwrap();
        let info = dataset.info();
        assert_eq!((info.sample, info.n_bits, info.n_bands), (SampleType::U16, Some(12), n_bands), "{what}");
        let at_once = samples(&dataset).unwrap();
        // Where chroma is shared by four pixels it is repeated.
        let far = farthest(&at_once, expected);
        assert!(far <= if what.contains("(4,") { 16 } else { 8 }, "{what}: {far}");
        assert!(samples(&open(file.clone(), 1 << 20).unwrap()).unwrap() == at_once, "{what}: in pieces");
        // Nobody else reads it as it is, so it is encoded anew or not at all.
        let tile = TileRequest::new(0, 0, 0).size(300, 200).encoding(Encoding::jpeg(90));
        let error = dataset.read_tile(&tile).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{what}: {error}");
        assert!(error.message().contains("samples of type u16 need a range"), "{what}: {error}");
        // Where all of it at once is too much, it is read in pieces all the same.
        if !picture.apart {
            let mut limits = Limits::default();
            limits.max_image_bytes = usize::from(width) * usize::from(height) * usize::from(n_bands as u16) * 2 + 1000;
            let source = open_reader(Arc::new(file.clone()), limits).unwrap();
            let options = OpenOptions::default().cache_max_bytes(64 << 20);
            assert!(samples(&Dataset::from_source(source, &options).unwrap()).unwrap() == at_once, "{what}: limited");
        }
        for cut in [file.len() / 2, file.len() - 10] {
            let error = samples(&open(file[..cut].to_vec(), 1 << 20).unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        }
    }
}

/// The file of an image whose only block is this one.
fn tiff(image: &Image, block: &[u8]) -> Vec<u8> {
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()), Format::default()).unwrap();
    writer.image(image, |_, _, _| Some(block.to_vec())).unwrap();
    writer.finish().unwrap().into_inner()
}

fn image(n_bands: u16, photometric: u16, bits: u16, tables: Option<Vec<u8>>) -> Image {
    let bits = (258, Values::Short(vec![bits; n_bands.into()]));
    let tables = tables.map(|tables| (347, Values::Bytes(tables)));
    Image {
        n_bands,
        photometric: Some(photometric),
        compression: Compression::AsGiven(7),
        blocks: Blocks::Tiles(64, 48),
        tags: tables.into_iter().chain([bits]).collect(),
        ..Image::new(64, 48)
    }
}

/// The tables of a stream as a stream of their own, and the stream without them.
fn split(stream: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut tables, mut rest, mut at) = (vec![0xFF, 0xD8], vec![0xFF, 0xD8], 2);
    while stream[at + 1] != 0xDA {
        let end = at + 2 + usize::from(u16::from_be_bytes([stream[at + 2], stream[at + 3]]));
        let part = if matches!(stream[at + 1], 0xC4 | 0xDB) { &mut tables } else { &mut rest };
        part.extend(&stream[at..end]);
        at = end;
    }
    rest.extend(&stream[at..]);
    tables.extend([0xFF, 0xD9]);
    (tables, rest)
}

#[test]
fn blocks_of_12_bits_are_words_whatever_their_components_mean_and_wherever_their_tables_are() {
    let grey = expected(64, 48, |x, y| vec![sample(0, x, y)]);
    let stored = expected(64, 48, |x, y| (0..3).map(|band| sample(band, x, y)).collect());
    let colour = expected(64, 48, |x, y| rgb(steep, x, y).to_vec());
    let mut cases = vec![(1, 1, (1, 1), sample as Samples, &grey), (3, 2, (1, 1), sample, &stored)];
    cases.extend(SAMPLINGS.map(|factors| (3, 6, factors, steep as Samples, &colour)));
    for (n_bands, photometric, factors, of, expected) in cases {
        let mut picture = DeepJpeg::new(64, 48, n_bands.into());
        picture.factors[0] = factors;
        let stream = picture.encode(of);
        let whole = open(tiff(&image(n_bands, photometric, 12, None), &stream), 1 << 20).unwrap();
        let info = whole.info();
        assert_eq!((info.sample, info.n_bits, &info.compression[..]), (SampleType::U16, Some(12), "jpeg"));
        let (tables, rest) = split(&stream);
        let apart = open(tiff(&image(n_bands, photometric, 12, Some(tables)), &rest), 1 << 20).unwrap();
        let pixels = samples(&whole).unwrap();
        let far = farthest(&pixels, expected);
        assert!(far <= if factors.0 == 4 { 16 } else { 8 }, "{photometric}, {factors:?}: {far}");
        assert!(samples(&apart).unwrap() == pixels, "{photometric}, {factors:?}: tables apart");
        let without = open(tiff(&image(n_bands, photometric, 12, None), &rest), 1 << 20).unwrap();
        assert_eq!(samples(&without).unwrap_err().kind(), ErrorKind::Corrupt);
        // Samples of another width than the directory says.
        let other = open(tiff(&image(n_bands, photometric, 8, None), &stream), 1 << 20).unwrap();
        let error = common::read_all(&other, Interleave::Pixel).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.message().contains("12 bits") && error.message().contains("8 bits"), "{error}");
    }
}

#[test]
fn levels_of_12_bits_are_means_of_the_pixels() {
    // Sides that end within a block.
    let (width, height) = (597, 523);
    let picture = DeepJpeg { factors: vec![(2, 2), (1, 1), (1, 1)], ..DeepJpeg::new(width as u16, height as u16, 3) };
    let dataset = open(picture.encode(sample), 64 << 20).unwrap();
    let whole = samples(&dataset).unwrap();
    for level in 1..dataset.levels().len() as u32 {
        let grid = dataset.levels()[level as usize];
        let side = 1_usize << level;
        for (col, row) in (0..grid.rows()).flat_map(|row| (0..grid.cols()).map(move |col| (col, row))) {
            let block = dataset.block((level, col, row)).unwrap();
            let window = grid.block_window(col, row).unwrap();
            for (at, bytes) in block.bytes().as_chunks::<2>().0.iter().enumerate() {
                let (band, pixel) = (at % 3, at / 3);
                let x = (window.x as usize + pixel % window.width as usize) * side;
                let y = (window.y as usize + pixel / window.width as usize) * side;
                let (right, bottom) = ((x + side).min(width), (y + side).min(height));
                let places = (y..bottom).flat_map(|y| (x..right).map(move |x| (x, y)));
                let sum: usize = places.map(|(x, y)| usize::from(whole[(y * width + x) * 3 + band])).sum();
                let (mean, value) = (sum / ((right - x) * (bottom - y)), usize::from(u16::from_ne_bytes(*bytes)));
                assert!(mean.abs_diff(value) <= 16, "level {level}, ({x}, {y}), band {band}: {value} for {mean}");
            }
        }
    }
}

#[test]
fn a_jpeg_of_12_bits_in_a_large_strip_of_8_bits_is_corrupt() {
    // As large as one that is read in pieces; what it says of itself is enough.
    let (width, height) = (2000_u16, 1200_u16);
    let mut stream = DeepJpeg::new(16, 16, 1).encode(|_, x, y| sample(0, x, y));
    let frame = stream.windows(2).position(|marker| marker == [0xFF, 0xC1]).unwrap();
    stream[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    stream[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    // Enough bytes for so many pixels.
    stream.resize(stream.len() + 100_000, 0);
    let image = Image { compression: Compression::AsGiven(7), ..Image::new(width.into(), height.into()) };
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()), Format::default()).unwrap();
    writer.image(&image, |_, _, _| Some(stream.clone())).unwrap();
    let file = writer.finish().unwrap().into_inner();
    // In pieces, and at once.
    for budget in [1 << 20, 1 << 30] {
        let dataset = open(file.clone(), budget).unwrap();
        assert_eq!(dataset.levels()[0].block_width, 256);
        let error = dataset.block((0, 1, 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.message().contains("12 bits"), "{error}");
    }
}

/// A sample of 8 bits that goes up and down, by up to 2 a pixel across and down, in each component elsewhere: one that is
/// eight pixels from its place is far from what is there.
fn wave(component: usize, x: usize, y: usize) -> u16 {
    let triangle = |at: usize, half: usize| (at % (2 * half)).abs_diff(half) as u16;
    match component {
        0 => 30 + 2 * triangle(x, 41) + triangle(y, 57),
        1 => 40 + triangle(x + 20, 63) + 2 * triangle(y + 11, 37),
        2 => 220 - 2 * triangle(x + 33, 43) - 2 * triangle(y + 25, 39),
        _ => 250 - 2 * triangle(x + 7, 31) - triangle(y, 90),
    }
}

/// Three components that are stored as they are, of 8 bits.
fn three(width: u16, height: u16, factors: &[(u8, u8); 3]) -> DeepJpeg {
    let first = b"\xFF\xEE\x00\x0EAdobe\0\x64\0\0\0\0\0".to_vec();
    DeepJpeg { bits: 8, factors: factors.to_vec(), quantisation: 2, first, ..DeepJpeg::new(width, height, 3) }
}

/// That the samples of each component are about those of `of`, nearer where fewer pixels share one.
fn check_places(what: &str, width: u16, factors: &[(u8, u8)], pixels: &[u8], of: Samples) {
    let most = factors.iter().fold((1, 1), |most, f| (f.0.max(most.0), f.1.max(most.1)));
    for (at, sample) in pixels.iter().enumerate() {
        let (component, pixel) = (at % factors.len(), at / factors.len());
        let (x, y) = (pixel % usize::from(width), pixel / usize::from(width));
        let (h, v) = factors[component];
        let shared = u16::from(most.0 / h + most.1 / v);
        let (sample, expected) = (u16::from(*sample), of(component, x, y));
        let far = sample.abs_diff(expected);
        assert!(far <= 2 + shared, "{what}: component {component} at {x}, {y}: {sample} for {expected}");
    }
}

/// All sampling factors of three components that the standard has room for in a scan, of whole numbers of pixels.
fn whole_factors() -> Vec<[(u8, u8); 3]> {
    let all: Vec<(u8, u8)> = (1..=4).flat_map(|h| (1..=4).map(move |v| (h, v))).collect();
    let pairs = all.iter().flat_map(|a| all.iter().map(move |b| (*a, *b)));
    let threes = pairs.flat_map(|(a, b)| all.iter().map(move |c| [a, b, *c]));
    let is_possible = |factors: &[(u8, u8); 3]| {
        let most = factors.iter().fold((1, 1), |most, f| (f.0.max(most.0), f.1.max(most.1)));
        factors.iter().all(|(h, v)| most.0 % h == 0 && most.1 % v == 0)
            && factors.iter().map(|(h, v)| h * v).sum::<u8>() <= 10
    };
    threes.filter(is_possible).collect()
}

#[test]
fn components_of_all_sampling_factors_are_in_their_places_whichever_has_the_most_samples() {
    let (width, height) = (53, 46);
    let all = whole_factors();
    assert_eq!(all.len(), 311);
    for factors in all {
        let mut read = vec![];
        for apart in [false, true] {
            let file = DeepJpeg { apart, ..three(width, height, &factors) }.encode(wave);
            let dataset = open(file, 64 << 20).unwrap();
            assert_eq!((dataset.info().sample, dataset.info().n_bands), (SampleType::U8, 3));
            let pixels = common::read_all(&dataset, Interleave::Pixel).unwrap();
            check_places(&format!("{factors:?}, apart {apart}"), width, &factors, &pixels, wave);
            read.push(pixels);
        }
        // Two decoders may have done them.
        let far = read[0].iter().zip(&read[1]).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(far <= Some(2), "{factors:?}: {far:?}");
    }
}

/// Some of those, with more than all others in each of the components, and with factors of three and four.
const UNUSUAL: [[(u8, u8); 3]; 10] = [
    [(1, 1), (2, 2), (2, 2)],
    [(1, 1), (2, 1), (1, 1)],
    [(1, 1), (2, 1), (1, 2)],
    [(1, 2), (2, 2), (1, 2)],
    [(2, 2), (4, 1), (1, 2)],
    [(2, 1), (1, 1), (4, 1)],
    [(3, 1), (1, 1), (1, 1)],
    [(1, 1), (1, 3), (1, 1)],
    [(1, 4), (1, 2), (1, 2)],
    [(4, 2), (1, 1), (1, 1)],
];

#[test]
fn windows_and_levels_of_unusual_sampling_factors_are_those_of_the_whole() {
    let (width, height) = (605, 540);
    for factors in UNUSUAL {
        for restart in [0, 7] {
            let what = format!("{factors:?}, restart {restart}");
            let file = DeepJpeg { restart, ..three(width, height, &factors) }.encode(wave);
            let dataset = open(file.clone(), 64 << 20).unwrap();
            let whole = common::read_all(&dataset, Interleave::Pixel).unwrap();
            check_places(&what, width, &factors, &whole, wave);
            let pieces = open(file, 256 << 10).unwrap();
            assert!(common::read_all(&pieces, Interleave::Pixel).unwrap() == whole, "{what}: in pieces");
            assert!(pieces.stats().index_bytes > 0, "{what}");
            assert!(pieces.levels().len() == 3, "{what}");
            for level in 1..3 {
                let grid = pieces.levels()[level];
                let request = WindowRequest::new(level as u32, grid.window());
                let mut pixels = vec![0; pieces.window_bytes(&request).unwrap()];
                pieces.read_window(&request, &mut pixels).unwrap();
                for (at, value) in pixels.iter().enumerate() {
                    let (band, x, y) = (at % 3, at / 3 % grid.width as usize, at / 3 / grid.width as usize);
                    let (left, top) = (x << level, y << level);
                    let (right, bottom) = ((left + (1 << level)).min(605), (top + (1 << level)).min(540));
                    let places = (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y)));
                    let sum: u32 = places.map(|(x, y)| u32::from(wave(band, x, y))).sum();
                    let mean = sum / ((right - left) * (bottom - top)) as u32;
                    let far = mean.abs_diff(u32::from(*value));
                    assert!(far <= 6, "{what}, level {level}, band {band}, {x}, {y}: {value} for {mean}");
                }
            }
        }
    }
}

#[test]
fn colours_of_which_chroma_has_more_samples_than_luma_are_red_green_and_blue() {
    let (width, height) = (120, 90);
    for factors in [[(1, 1), (2, 2), (2, 2)], [(1, 2), (2, 1), (1, 1)], [(3, 1), (1, 1), (3, 1)]] {
        // No marker says that these are not YCbCr.
        let of = |component: usize, x: usize, y: usize| match component {
            0 => (70 + x / 2 + y / 2) as u16,
            1 => (90 + x / 2) as u16,
            _ => (160 - y / 2) as u16,
        };
        let file = DeepJpeg { first: vec![], ..three(width, height, &factors) }.encode(of);
        let pixels = common::read_all(&open(file, 64 << 20).unwrap(), Interleave::Pixel).unwrap();
        for (at, pixel) in pixels.as_chunks::<3>().0.iter().enumerate() {
            let [y, cb, cr] = [0, 1, 2].map(|band| f64::from(of(band, at % 120, at / 120)));
            let (cb, cr) = (cb - 128.0, cr - 128.0);
            let rgb = [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb];
            for (value, expected) in pixel.iter().zip(rgb) {
                let far = (f64::from(*value) - expected.clamp(0.0, 255.0)).abs();
                assert!(far <= 6.0, "{factors:?}, pixel {at}: {pixel:?} for {rgb:?}");
            }
        }
    }
}

#[test]
fn sampling_factors_that_nothing_decodes_are_refused_by_name() {
    let refused = |file: Vec<u8>, parts: [&str; 2]| {
        let error = open(file, 1 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(parts.iter().all(|part| error.message().contains(part)), "{error}");
    };
    let mut file = three(40, 40, &[(1, 1), (1, 1), (1, 1)]).encode(wave);
    let frame = file.windows(2).position(|marker| marker == [0xFF, 0xC1]).unwrap();
    // What is no whole number of pixels.
    file[frame + 11] = 0x31;
    file[frame + 14] = 0x21;
    refused(file, ["jpeg with sampling factors", "3x1, 2x1, 1x1"]);
    let pixels = vec![100; 40 * 40 * 3];
    for (factors, names) in [
        ([0x11, 0x22, 0x22], "1x1, 2x2, 2x2"),
        ([0x31, 0x11, 0x11], "3x1, 1x1, 1x1"),
        ([0x14, 0x12, 0x12], "1x4, 1x2, 1x2"),
        ([0x42, 0x21, 0x11], "4x2, 2x1, 1x1"),
        ([0x22, 0x11, 0x13], "2x2, 1x1, 1x3"),
    ] {
        let mut file = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut file, 90);
        encoder.set_progressive(true);
        encoder.encode(&pixels, 40, 40, jpeg_encoder::ColorType::Rgb).unwrap();
        let frame = file.windows(2).position(|marker| marker == [0xFF, 0xC2]).unwrap();
        for (at, factors) in factors.into_iter().enumerate() {
            file[frame + 11 + 3 * at] = factors;
        }
        refused(file, ["progressive jpeg with sampling factors", names]);
    }
}

#[test]
fn the_sampling_factors_of_a_single_component_mean_nothing() {
    let grey = DeepJpeg { bits: 8, quantisation: 2, ..DeepJpeg::new(90, 70, 1) };
    let expected = common::read_all(&open(grey.encode(wave), 1 << 20).unwrap(), Interleave::Pixel).unwrap();
    check_places("grey", 90, &[(1, 1)], &expected, wave);
    for factors in [(2, 2), (3, 1), (1, 3), (4, 4), (2, 4)] {
        let file = DeepJpeg { factors: vec![factors], ..grey.clone() }.encode(wave);
        let pixels = common::read_all(&open(file, 1 << 20).unwrap(), Interleave::Pixel).unwrap();
        assert!(pixels == expected, "{factors:?}");
    }
}

#[test]
fn two_components_are_two_bands_in_tiffs_and_in_files() {
    for (restart, apart) in [(0, false), (5, false), (0, true)] {
        let picture = DeepJpeg { bits: 8, quantisation: 2, restart, apart, ..DeepJpeg::new(64, 48, 2) };
        let stream = picture.encode(wave);
        let (tables, rest) = split(&stream);
        let tiffs = [
            tiff(&image(2, 1, 8, None), &stream),
            tiff(&image(2, 1, 8, Some(tables)), &rest),
            tiff(&Image { blocks: Blocks::Strips(48), ..image(2, 1, 8, None) }, &stream),
        ];
        for file in tiffs.into_iter().chain([stream]) {
            let dataset = open(file, 1 << 20).unwrap();
            assert_eq!((dataset.info().n_bands, &dataset.info().compression[..]), (2, "jpeg"));
            let pixels = common::read_all(&dataset, Interleave::Pixel).unwrap();
            check_places(&format!("restart {restart}, apart {apart}"), 64, &[(1, 1); 2], &pixels, wave);
        }
    }
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, 90);
    encoder.set_progressive(true);
    encoder.encode(&[100; 40 * 40], 40, 40, jpeg_encoder::ColorType::Luma).unwrap();
    let frame = file.windows(2).position(|marker| marker == [0xFF, 0xC2]).unwrap();
    // One more component in the frame.
    (file[frame + 3], file[frame + 9]) = (file[frame + 3] + 3, 2);
    file.splice(frame + 13..frame + 13, [9, 0x11, 0]);
    let error = open(file, 1 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("progressive jpeg with 2 components"), "{error}");
}

#[test]
fn a_large_picture_of_two_components_has_the_same_pixels_in_pieces_and_levels_of_its_own() {
    let (width, height) = (605, 300);
    let file = DeepJpeg { bits: 8, quantisation: 2, ..DeepJpeg::new(width, height, 2) }.encode(wave);
    let dataset = open(file.clone(), 64 << 20).unwrap();
    let whole = common::read_all(&dataset, Interleave::Pixel).unwrap();
    check_places("two", width, &[(1, 1); 2], &whole, wave);
    let pieces = open(file, 256 << 10).unwrap();
    assert!(common::read_all(&pieces, Interleave::Pixel).unwrap() == whole);
    assert_eq!((pieces.levels()[1].width, pieces.levels()[1].height), (303, 150));
    let block = pieces.block((1, 0, 0)).unwrap();
    for (at, value) in block.bytes().iter().enumerate() {
        let (band, x, y) = (at % 2, at / 2 % 256 * 2, at / 512 * 2);
        let sum: u32 = [(0, 0), (1, 0), (0, 1), (1, 1)].iter().map(|(a, b)| u32::from(wave(band, x + a, y + b))).sum();
        assert!((sum / 4).abs_diff(u32::from(*value)) <= 5, "band {band}, {x}, {y}: {value} for {}", sum / 4);
    }
}

#[test]
fn coefficients_of_a_progressive_strip_count_as_memory_of_it() {
    let (width, height) = (2000_u16, 1200_u16);
    let mut stream = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut stream, 90);
    encoder.set_progressive(true);
    let places = (0..usize::from(height)).flat_map(|y| (0..usize::from(width)).map(move |x| (x, y)));
    let pixels: Vec<u8> = places.map(|(x, y)| wave(0, x, y) as u8).collect();
    encoder.encode(&pixels, width, height, jpeg_encoder::ColorType::Luma).unwrap();
    let image = Image { compression: Compression::AsGiven(7), ..Image::new(width.into(), height.into()) };
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()), Format::default()).unwrap();
    writer.image(&image, |_, _, _| Some(stream.clone())).unwrap();
    let file = writer.finish().unwrap().into_inner();
    let block = |max| {
        let mut limits = Limits::default();
        limits.max_image_bytes = max;
        let source = open_reader(Arc::new(file.clone()), limits)?;
        Dataset::from_source(source, &OpenOptions::default().cache_max_bytes(64 << 20))?.block((0, 1, 1)).map(drop)
    };
    // Two bytes for each sample.
    let all = 3 * 2000 * 1200;
    block(all).unwrap();
    let error = block(all - 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    for part in [format!("{} bytes of pixels", all / 3), format!("{} bytes that decoding takes", all / 3 * 2)] {
        assert!(error.message().contains(&part), "{error}");
    }
}
