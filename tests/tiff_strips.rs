//! TIFF files whose one strip holds the whole image: read in pieces of bounded size.

use std::io::Cursor;
use std::sync::Arc;

use counting::Counting;
use tiff_writer::{Blocks, Compression, Format, Image, Kind, Order, TiffWriter, Values};
use tilekeep::{
    BlockId, CachePolicy, Dataset, ErrorKind, Interleave, Layout, Limits, OpenOptions, ReadAt, ReadContext, Result,
    TileSource, WindowRequest, conformance, open_reader,
};

#[path = "common/counting.rs"]
mod counting;
#[allow(dead_code)]
#[path = "../examples/support/tiff_writer.rs"]
mod tiff_writer;

/// Above this a strip is cut; a piece is half of it.
const CUT_BYTES: usize = 2 << 20;

/// Native samples of a plane that differ from place to place.
fn samples(image: &Image, plane: u16) -> Vec<u8> {
    let n = image.width as usize * image.height as usize * image.bands_in_block();
    let value = |i: usize| (i as u64 / 3 * 7 + u64::from(plane) * 99).wrapping_mul(i as u64 / 1000 + 1);
    let write = |i: usize| match image.kind.bytes() {
        1 => vec![value(i) as u8],
        2 => (value(i) as u16).to_ne_bytes().to_vec(),
        _ if image.kind.is_float() => (value(i) as f32 * 0.5).to_ne_bytes().to_vec(),
        _ => (value(i) as u32).to_ne_bytes().to_vec(),
    };
    (0..n).flat_map(write).collect()
}

fn file_of(image: &Image, format: Format) -> Vec<u8> {
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()), format).unwrap();
    writer.image(image, |plane, _, _| Some(samples(image, plane))).unwrap();
    writer.finish().unwrap().into_inner()
}

fn open(file: Vec<u8>) -> (Arc<Counting>, Box<dyn TileSource>) {
    let file = Counting::of(file);
    let source = open_reader(Arc::clone(&file) as Arc<dyn ReadAt>, Limits::default()).unwrap();
    (file, Box::new(source))
}

fn read_piece(source: &dyn TileSource, plane: u32, row: u32) -> Result<Vec<u8>> {
    let at = BlockId::new(0, 0, row).with_plane(plane);
    let mut out = vec![0xa5; source.info().block_layout(at)?.bytes];
    source.read_block(at, &mut out, &mut ReadContext::default())?;
    Ok(out)
}

/// A picture of several pieces, and how it may be stored.
fn variants() -> Vec<Image> {
    let mut images = Vec::new();
    for (compression, predictors) in [
        (Compression::None, &[1][..]),
        (Compression::PackBits, &[1]),
        (Compression::Lzw, &[1, 2]),
        (Compression::Deflate, &[1, 2, 3]),
        (Compression::Zstd, &[1, 2]),
    ] {
        for predictor in predictors.iter().copied() {
            for (n_bands, planar, kind) in
                [(1, false, Kind::U16), (3, false, Kind::U8), (2, true, Kind::U16), (1, false, Kind::F32)]
            {
                if predictor < 3 || kind.is_float() {
                    let height = 3_500_000 / 1001 / kind.bytes() as u32;
                    let image = Image { n_bands, planar, kind, compression, predictor, ..Image::new(1001, height) };
                    images.push(image);
                }
            }
        }
    }
    images
}

#[test]
fn one_strip_is_read_in_pieces_from_the_top_and_in_any_order() {
    for (turn, image) in variants().iter().enumerate() {
        let what = format!("{image:?}");
        let format = Format { big: turn % 2 == 1, order: if turn % 3 == 0 { Order::Big } else { Order::Little } };
        // Without the C library ZSTD is decoded as a whole.
        let in_pieces = image.compression != Compression::Zstd || cfg!(feature = "libzstd");
        let (_, source) = open(file_of(image, format));
        let level = source.info().levels[0];
        assert_eq!((level.cols(), level.rows() > 1), (1, in_pieces), "{what}");
        let planes: Vec<_> = (0..image.n_planes()).map(|plane| samples(image, plane)).collect();
        let row_bytes = planes[0].len() / image.height as usize;
        let mut order: Vec<_> = (0..level.rows()).collect();
        // All from the top; then from the bottom, then the first again.
        order.extend((0..level.rows()).rev());
        order.extend([level.rows() / 2, 0]);
        for (plane, expected) in planes.iter().enumerate() {
            for row in &order {
                let piece = read_piece(&*source, plane as u32, *row).unwrap_or_else(|e| panic!("{what}: {e}"));
                let start = (*row * level.block_height) as usize * row_bytes;
                assert!(piece.len() <= CUT_BYTES || !in_pieces, "{what}");
                assert!(piece[..] == expected[start..][..piece.len()], "{what}: piece {row} of plane {plane}");
            }
        }
        if turn % 4 == 0 {
            conformance::check(&source).unwrap_or_else(|e| panic!("{what}: {e}"));
        }
    }
}

#[test]
fn reading_down_a_strip_reads_its_bytes_once_and_so_does_one_jump_to_its_end() {
    let image = Image { compression: Compression::Deflate, kind: Kind::U16, ..Image::new(1001, 4000) };
    let file = file_of(&image, Format::default());
    let stored = file.len() as u64;
    let (counting, source) = open(file);
    let n_rows = source.info().levels[0].rows();
    assert!(n_rows >= 7, "{n_rows} pieces");
    let opened = counting.read();
    (0..n_rows).for_each(|row| drop(read_piece(&*source, 0, row).unwrap()));
    let read = counting.read() - opened;
    assert!(read <= stored, "{read} bytes of {stored}");

    // A dataset keeps what it passes on the way.
    let options = OpenOptions::default().cache_max_bytes(64 << 20).cache_policy(CachePolicy::Lru);
    let dataset = Dataset::from_source(source, &options).unwrap();
    dataset.block((0, 0, n_rows - 1)).unwrap();
    let after_jump = counting.read();
    for row in 0..n_rows {
        dataset.block((0, 0, row)).unwrap();
    }
    assert_eq!(counting.read(), after_jump);
    assert_eq!(dataset.stats().siblings, u64::from(n_rows) - 1);
}

#[test]
fn decoders_that_are_kept_are_told_to_the_budget() {
    let image = Image { kind: Kind::U16, ..Image::new(1001, 4000) };
    let may_keep = |image: &Image| open(file_of(image, Format::default())).1.may_keep(1 << 20);
    let coded = Image { compression: Compression::Deflate, ..image.clone() };
    // Four of a buffer of 64 KiB and a window of 32 KiB, and no index.
    assert!((4 * (96 << 10)..1 << 20).contains(&may_keep(&coded)), "{}", may_keep(&coded));
    assert_eq!(may_keep(&image), 0);
    assert_eq!(may_keep(&Image { height: 400, blocks: Blocks::Strips(400), ..coded }), 0);
}

#[test]
fn a_piece_of_an_uncompressed_strip_reads_no_other() {
    let image = Image { n_bands: 3, ..Image::new(1001, 4000) };
    let (counting, source) = open(file_of(&image, Format::default()));
    let n_rows = source.info().levels[0].rows();
    read_piece(&*source, 0, 0).unwrap();
    let before = counting.read();
    let piece = read_piece(&*source, 0, n_rows - 2).unwrap();
    assert_eq!(counting.read() - before, piece.len() as u64);
}

#[test]
fn bits_and_shared_chroma_are_cut_between_rows() {
    // 8 pixels a byte.
    let tags = vec![(258, Values::Short(vec![1]))];
    let image = Image { compression: Compression::AsGiven(1), tags, ..Image::new(2000, 3000) };
    let stored: Vec<u8> = (0..250 * 3000_u64).map(|i| (i * i / 7) as u8).collect();
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()), Format::default()).unwrap();
    writer.image(&image, |_, _, _| Some(stored.clone())).unwrap();
    let dataset = Dataset::from_source(open(writer.finish().unwrap().into_inner()).1, &OpenOptions::default()).unwrap();
    assert!(dataset.levels()[0].rows() > 1);
    let mut pixels = vec![0; 2000 * 3000];
    let request = WindowRequest::new(0, dataset.levels()[0].window()).layout(Layout::Tight(Interleave::Pixel));
    dataset.read_window(&request, &mut pixels).unwrap();
    assert!(pixels.iter().enumerate().all(|(at, bit)| *bit == stored[at / 8] >> (7 - at % 8) & 1));

    // Units of 2 x 2 pixels: four of luma, two of chroma that means grey.
    let unit = |i: usize| [i as u8, i as u8, i as u8, i as u8, 128, 128];
    let units: Vec<u8> = (0..600 * 801).flat_map(|i| unit(i / 600)).collect();
    let image = Image {
        n_bands: 3,
        compression: Compression::AsGiven(8),
        photometric: Some(6),
        tags: vec![(530, Values::Short(vec![2, 2]))],
        ..Image::new(1200, 1602)
    };
    let stream = miniz_oxide::deflate::compress_to_vec_zlib(&units, 3);
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()), Format::default()).unwrap();
    writer.image(&image, |_, _, _| Some(stream.clone())).unwrap();
    let (_, source) = open(writer.finish().unwrap().into_inner());
    let level = source.info().levels[0];
    assert!(level.rows() > 1 && level.block_height.is_multiple_of(2));
    for row in (0..level.rows()).rev() {
        let piece = read_piece(&*source, 0, row).unwrap();
        for (y, line) in piece.chunks(1200 * 3).enumerate() {
            let luma = ((row * level.block_height) as usize + y) / 2;
            assert!(line.iter().all(|value| *value == luma as u8), "row {y} of piece {row}");
        }
    }
}

#[test]
fn a_strip_that_breaks_off_is_read_as_far_as_it_goes() {
    for compression in [Compression::None, Compression::Lzw, Compression::Deflate, Compression::PackBits] {
        let image = Image { compression, kind: Kind::U16, ..Image::new(1001, 4000) };
        let whole = file_of(&image, Format::default());
        let (_, source) = open(whole);
        let n_rows = source.info().levels[0].rows();
        let expected = read_piece(&*source, 0, 0).unwrap();
        // The byte count says that half of the strip is there.
        let count = match compression {
            Compression::None => 4_004_000,
            _ => stored_bytes(&image) / 2,
        };
        let short = Image { tags: vec![(279, Values::Long(vec![count]))], ..image };
        let (_, source) = open(file_of(&short, Format::default()));
        for _ in 0..2 {
            assert!(read_piece(&*source, 0, 0).unwrap() == expected, "{compression:?}");
            let error = read_piece(&*source, 0, n_rows - 1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{compression:?}: {error}");
        }
    }
}

fn stored_bytes(image: &Image) -> u32 {
    // Header and directory are small beside the strip.
    file_of(image, Format::default()).len() as u32
}

#[test]
fn a_strip_that_the_file_cannot_hold_is_refused() {
    for (compression, height) in [(1, 1 << 20), (8, 1 << 30)] {
        let sides = [257, 278].map(|tag| (tag, Values::Long(vec![height])));
        // No bytes: nothing is stored, and the file would be all zeros.
        let tags = sides.into_iter().chain([(279, Values::Long(vec![0]))]).collect();
        let image = Image { compression: Compression::AsGiven(compression), tags, ..Image::new(2000, 2) };
        let mut writer = TiffWriter::new(Cursor::new(Vec::new()), Format::default()).unwrap();
        writer.image(&image, |_, _, _| Some(vec![7; 4000])).unwrap();
        let file = writer.finish().unwrap().into_inner();
        let error = open_reader(Arc::new(file), Limits::default()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    }
}

#[test]
fn strips_that_are_small_or_several_are_blocks_as_they_are() {
    for (height, blocks) in [(1000, Blocks::Strips(1000)), (4000, Blocks::Strips(2000))] {
        let image = Image { blocks, compression: Compression::Deflate, ..Image::new(1500, height) };
        let mut writer = TiffWriter::new(Cursor::new(Vec::new()), Format::default()).unwrap();
        let rows = image.block_size().1 as usize;
        writer.image(&image, |_, _, _| Some(vec![7; 1500 * rows])).unwrap();
        let (_, source) = open(writer.finish().unwrap().into_inner());
        assert_eq!(source.info().levels[0].block_height as usize, rows);
    }
}
