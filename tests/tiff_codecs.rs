//! Compressions that few writers use, in files put together here.

use std::io::Cursor;
use std::sync::Arc;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use tiff_writer::{Blocks, Compression, Format, Image, TiffWriter, Values};
use tilekeep::{Dataset, ErrorKind, Interleave, Layout, Limits, OpenOptions, Result, WindowRequest, open_reader};

#[allow(dead_code)]
#[path = "../examples/support/tiff_writer.rs"]
mod tiff_writer;

/// The bytes of a file whose blocks are given as they are stored, in the order of the file.
fn file_of(image: &Image, blocks: &[&[u8]]) -> Vec<u8> {
    let mut blocks = blocks.iter();
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()), Format::default()).unwrap();
    writer.image(image, |_, _, _| blocks.next().map(|block| block.to_vec())).unwrap();
    writer.finish().unwrap().into_inner()
}

fn open(file: Vec<u8>) -> Result<Dataset> {
    Dataset::from_source(open_reader(Arc::new(file), Limits::default())?, &OpenOptions::default())
}

/// All samples, those of a pixel side by side.
fn read(file: Vec<u8>) -> Result<Vec<u8>> {
    let dataset = open(file)?;
    let request = WindowRequest::new(0, dataset.level(0)?.window()).layout(Layout::Tight(Interleave::Pixel));
    let mut pixels = vec![0x5A; dataset.window_bytes(&request)?];
    dataset.read_window(&request, &mut pixels)?;
    Ok(pixels)
}

/// One band of samples of this many bits, in strips of two rows.
fn packed(compression: u16, bits: u16, width: u32, height: u32) -> Image {
    Image {
        blocks: Blocks::Strips(2),
        compression: Compression::AsGiven(compression),
        tags: vec![(258, Values::Short(vec![bits]))],
        ..Image::new(width, height)
    }
}

/// Zeros and ones, filled up with zeros to whole bytes.
fn bits(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|digit| *digit != b' ').map(|digit| digit - b'0').collect();
    digits.chunks(8).map(|byte| (0..8).fold(0, |sum, at| sum << 1 | byte.get(at).copied().unwrap_or(0))).collect()
}

/// Ten pixels: 3 white, 4 black, 3 white; then 4 white, 4 black, 2 white; then the first row again.
const ROWS: [u8; 30] = [
    0, 0, 0, 1, 1, 1, 1, 0, 0, 0, //
    0, 0, 0, 0, 1, 1, 1, 1, 0, 0, //
    0, 0, 0, 1, 1, 1, 1, 0, 0, 0,
];

#[test]
fn fax_rows_are_read_from_every_scheme_and_fill_order() {
    const FIRST: &str = "1000 011 1000";
    const SECOND: &str = "1011 011 0111";
    const MARK: &str = "000000000001";
    // The second row against the first: both changes one to the right. Against white: a horizontal mode.
    let against_first = "011 011 1";
    let against_white = "001 1000 011 1";
    // Compression, options of group 3, the first strip, the second.
    let cases = [
        (2, 0, format!("{FIRST} 00000 {SECOND}"), FIRST.to_owned()),
        (32771, 0, format!("{FIRST} 00000 {SECOND}"), FIRST.to_owned()),
        (3, 0, format!("{MARK}{FIRST}{MARK}{SECOND}"), format!("{MARK}{FIRST}")),
        (3, 4, format!("0000{MARK}{FIRST} 0{MARK}{SECOND}"), format!("0000{MARK}{FIRST}")),
        (3, 1, format!("{MARK}1{FIRST}{MARK}0{against_first}"), format!("{MARK}1{FIRST}")),
        (4, 0, format!("{against_white}{against_first}{MARK}{MARK}"), format!("{against_white}{MARK}{MARK}")),
    ];
    for (compression, options, first, second) in cases {
        for fill_order in [1, 2] {
            let mut image = packed(compression, 1, 10, 3);
            image.photometric = Some(0);
            image.tags.push((292, Values::Long(vec![options])));
            image.tags.push((266, Values::Short(vec![fill_order])));
            let turned = |byte: &u8| if fill_order == 2 { byte.reverse_bits() } else { *byte };
            let [first, second] = [&first, &second].map(|strip| bits(strip).iter().map(turned).collect::<Vec<_>>());
            let file = file_of(&image, &[&first, &second]);
            let what = format!("compression {compression}, options {options}, fill order {fill_order}");
            let pixels = read(file).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(pixels, ROWS, "{what}");
        }
    }
}

#[test]
fn a_fax_block_that_is_broken_is_corrupt_and_leaves_the_others_readable() {
    let broken = bits("1000 011 0000000000000");
    let sound = bits("1000 011 1000");
    let dataset = open(file_of(&packed(2, 1, 10, 3), &[&broken, &sound])).unwrap();
    let error = dataset.block((0, 0, 0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.message().contains("CCITT row 0"), "{error}");
    assert_eq!(dataset.block((0, 0, 1)).unwrap().bytes(), &ROWS[20..]);
}

#[test]
fn greys_of_two_and_four_bits_are_read_from_codecs_of_their_own() {
    let next = file_of(&packed(32766, 2, 5, 3), &[&[0x00, 0x1b, 0x40, 0x03, 0x82], &[0x40, 0, 1, 0, 1, 0]]);
    assert_eq!(read(next).unwrap(), [0, 1, 2, 3, 1, 0, 0, 0, 2, 2, 3, 3, 3, 3, 0]);
    let thunder = file_of(&packed(32809, 4, 5, 3), &[&[0xc7, 0x04, 0xcf, 0xc1, 0x5b, 0x01], &[0x05]]);
    assert_eq!(read(thunder).unwrap(), [7, 7, 7, 7, 7, 15, 1, 2, 1, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn codecs_of_one_kind_of_sample_refuse_others_by_name_and_number() {
    for (compression, name) in [(2, "ccitt rle"), (4, "ccitt group 4"), (32766, "next"), (32809, "thunderscan")] {
        let error = open(file_of(&packed(compression, 8, 10, 3), &[&[1], &[1]])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        for part in ["259", &compression.to_string(), name, "8 bits"] {
            assert!(error.message().contains(part), "{error}");
        }
    }
}

#[test]
fn lzw_of_the_first_writers_is_read() {
    // Codes of 9 bits, the least significant bit first: clear, 7, 8, the pair of both, 9, end.
    let mut codes = 0_u128;
    for (at, code) in [256_u128, 7, 8, 258, 9, 257].into_iter().enumerate() {
        codes |= code << (9 * at);
    }
    let stream = &codes.to_le_bytes()[..7];
    let image = Image { compression: Compression::AsGiven(5), ..Image::new(5, 1) };
    assert_eq!(read(file_of(&image, &[stream])).unwrap(), [7, 8, 7, 8, 9]);
}

/// A stream of a smooth picture, as YCbCr whose chroma is halved as asked for.
fn jpeg_stream(sampling: SamplingFactor, width: u16, height: u16) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut encoder = Encoder::new(&mut stream, 98);
    encoder.set_sampling_factor(sampling);
    encoder.encode(&smooth(width, height), width, height, ColorType::Rgb).unwrap();
    stream
}

fn smooth(width: u16, height: u16) -> Vec<u8> {
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    places.flat_map(|(x, y)| [40 + x + y / 2, 60 + x / 2 + y, 200 - x - y / 2].map(|value| value as u8)).collect()
}

/// The segments of these kinds as a stream of their own, and the stream without them.
fn split(stream: &[u8], kinds: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut tables, mut rest) = (vec![0xFF, 0xD8], vec![0xFF, 0xD8]);
    let mut at = 2;
    while stream[at + 1] != 0xDA {
        let end = at + 2 + usize::from(u16::from_be_bytes([stream[at + 2], stream[at + 3]]));
        let part = if kinds.contains(&stream[at + 1]) { &mut tables } else { &mut rest };
        part.extend(&stream[at..end]);
        at = end;
    }
    rest.extend(&stream[at..]);
    tables.extend([0xFF, 0xD9]);
    (tables, rest)
}

fn jpeg_image(width: u16, height: u16, tables: Option<Vec<u8>>) -> Image {
    let tables = tables.map(|tables| (347, Values::Bytes(tables)));
    Image {
        n_bands: 3,
        photometric: Some(6),
        compression: Compression::AsGiven(7),
        tags: tables.into_iter().chain([(530, Values::Short(vec![2, 2]))]).collect(),
        ..Image::new(width.into(), height.into())
    }
}

#[test]
fn jpeg_tables_are_taken_from_the_directory_from_the_block_or_from_both() {
    const QUANTISATION: u8 = 0xDB;
    const HUFFMAN: u8 = 0xC4;
    let stream = jpeg_stream(SamplingFactor::R_4_2_0, 48, 32);
    let whole = read(file_of(&jpeg_image(48, 32, None), &[&stream])).unwrap();
    for kinds in [&[][..], &[QUANTISATION], &[HUFFMAN], &[QUANTISATION, HUFFMAN]] {
        let (tables, rest) = split(&stream, kinds);
        let apart = read(file_of(&jpeg_image(48, 32, Some(tables)), &[&rest])).unwrap();
        assert_eq!(apart, whole, "{kinds:02x?} are in the directory");
    }
    let (_, without) = split(&stream, &[QUANTISATION]);
    assert_eq!(read(file_of(&jpeg_image(48, 32, None), &[&without])).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn chroma_of_every_sampling_becomes_rgb() {
    use SamplingFactor as S;
    for (sampling, most) in [
        (S::F_1_1, 8),
        (S::F_1_2, 8),
        (S::F_2_1, 8),
        (S::F_2_2, 8),
        (S::F_4_1, 8),
        // Repeated, and not interpolated.
        (S::F_1_4, 12),
        (S::F_2_4, 12),
        (S::F_4_2, 12),
    ] {
        let stream = jpeg_stream(sampling, 64, 48);
        let pixels = read(file_of(&jpeg_image(64, 48, None), &[&stream])).unwrap();
        let far = pixels.iter().zip(smooth(64, 48)).map(|(a, b)| a.abs_diff(b)).max();
        assert!(far <= Some(most), "{sampling:?}: {far:?} steps");
    }
    let mut stream = jpeg_stream(S::F_2_1, 64, 48);
    let frame = stream.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    stream[frame + 11] = 0x31;
    stream[frame + 14] = 0x21;
    let error = read(file_of(&jpeg_image(64, 48, None), &[&stream])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.message().contains("sampling factors 3x1, 2x1, 1x1"), "{error}");
}

#[test]
fn jpegs_of_other_processes_are_refused_by_name_and_number() {
    let old =
        open(file_of(&Image { compression: Compression::AsGiven(6), ..Image::new(8, 8) }, &[&[0; 9]])).unwrap_err();
    let deep = Image { tags: vec![(258, Values::Short(vec![10; 3]))], ..jpeg_image(8, 8, None) };
    let deep = open(file_of(&deep, &[&[0; 9]])).unwrap_err();
    let mut stream = jpeg_stream(SamplingFactor::R_4_4_4, 16, 16);
    let frame = stream.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    stream[frame + 1] = 0xC3;
    let lossless = read(file_of(&jpeg_image(16, 16, None), &[&stream])).unwrap_err();
    let cases =
        [(old, ["259", "6", "old-style JPEG"]), (deep, ["259", "7", "10 bits"]), (lossless, ["SOF3", "", "lossless"])];
    for (error, parts) in cases {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(parts.iter().all(|part| error.message().contains(part)), "{error}");
    }
}
