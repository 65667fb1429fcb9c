//! Files of several pictures of one size: every one has its own blocks, windows, tiles and coarser levels.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use tempfile::TempDir;
use tiff_writer::{Blocks, Compression, Format, Image, Kind, TiffWriter, Values};
use tilekeep::{
    Advice, BlockId, Dataset, Encoding, ErrorKind, Interleave, Layout, Limits, MaskKind, OpenOptions, TileRequest,
    Window, WindowRequest, conformance, open_path,
};

#[allow(dead_code)]
#[path = "../examples/support/tiff_writer.rs"]
mod tiff_writer;

const SIZE: (u32, u32) = (300, 200);

/// Where the reduced images of a frame are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reduced {
    None,
    Behind,
    InSubDirectories,
}

fn picture() -> Image {
    Image {
        blocks: Blocks::Tiles(64, 64),
        kind: Kind::U8,
        compression: Compression::Deflate,
        ..Image::new(SIZE.0, SIZE.1)
    }
}

/// The sample of a place in a picture that is told from every other.
fn sample(picture: u32, x: u32, y: u32) -> u8 {
    (picture * 67 + x + 3 * y) as u8
}

fn block(picture: u32, (col, row): (u32, u32)) -> Vec<u8> {
    (0..64 * 64).map(|i| sample(picture, col * 64 + i % 64, row * 64 + i / 64)).collect()
}

/// A file of frames; picture 10 × frame + level is what a level of a frame shows. Between the frames are directories
/// that are none.
fn write(folder: &TempDir, frames: &[Reduced]) -> PathBuf {
    let path = folder.path().join(format!("{frames:?}.tif"));
    let mut writer = TiffWriter::new(BufWriter::new(File::create(&path).unwrap()), Format::default()).unwrap();
    let base = picture();
    let reduced = base.reduced(2);
    for (frame, place) in (0..).zip(frames) {
        let coarse = |_, col, row| Some(block(10 * frame + 1, (col, row)));
        if *place == Reduced::InSubDirectories {
            writer.sub_image(&reduced, coarse).unwrap();
        }
        writer.image(&base, |_, col, row| Some(block(10 * frame, (col, row)))).unwrap();
        let mask = Image { subfile_type: 4, ..picture() };
        writer.image(&mask, |_, _, _| Some(vec![1; 64 * 64])).unwrap();
        let other_size = Image { subfile_type: 2, ..Image::new(80, 60) };
        writer.image(&other_size, |_, _, _| Some(vec![1; 80 * 60])).unwrap();
        let other_samples = Image { kind: Kind::I8, ..picture() };
        writer.image(&other_samples, |_, _, _| Some(vec![1; 64 * 64])).unwrap();
        if *place == Reduced::Behind {
            writer.image(&reduced, coarse).unwrap();
        }
    }
    writer.finish().unwrap();
    path
}

fn read(dataset: &Dataset, frame: u32, level: u32) -> Vec<u8> {
    let grid = dataset.levels()[level as usize];
    let request = WindowRequest::new(level, Window::new(0, 0, grid.width, grid.height)).frame(frame);
    let mut out = vec![0; dataset.window_bytes(&request).unwrap()];
    dataset.read_window(&request, &mut out).unwrap();
    out
}

fn expected(picture: u32, (width, height): (u32, u32)) -> Vec<u8> {
    (0..width * height).map(|i| sample(picture, i % width, i / width)).collect()
}

#[test]
fn every_frame_has_its_own_pixels_on_every_level() {
    let folder = TempDir::new().unwrap();
    for place in [Reduced::Behind, Reduced::InSubDirectories] {
        let path = write(&folder, &[place; 3]);
        let dataset = Dataset::open(&path).unwrap();
        assert_eq!(dataset.info().n_frames, 3);
        assert_eq!(dataset.info().levels.len(), 2, "{place:?}");
        // The last one first: no frame gets what another one left in memory.
        for frame in [2, 0, 1, 2] {
            assert_eq!(read(&dataset, frame, 0), expected(10 * frame, SIZE), "{place:?} {frame}");
            assert_eq!(read(&dataset, frame, 1), expected(10 * frame + 1, (150, 100)), "{place:?} {frame}");
        }
        assert_eq!(dataset.stats().loads, 3 * (5 * 4 + 3 * 2));
        let (source, _) = open_path(&path, Limits::default()).unwrap();
        conformance::check(&source).unwrap();
    }
}

#[test]
fn a_level_that_one_frame_lacks_is_made_for_all() {
    let folder = TempDir::new().unwrap();
    let dataset = Dataset::open(write(&folder, &[Reduced::Behind, Reduced::None])).unwrap();
    assert_eq!((dataset.info().n_frames, dataset.info().levels.len()), (2, 1));
    for frame in 0..2 {
        assert_eq!(read(&dataset, frame, 0), expected(10 * frame, SIZE));
        // x + 3 y changes by 1 and 3 from pixel to pixel: a half of 2 x 2 of them is 2 more than the first, where none of
        // them wraps.
        let coarse = read(&dataset, frame, 1);
        for (x, y) in [(0, 0), (40, 10), (20, 3)] {
            let first = u32::from(sample(10 * frame, 2 * x, 2 * y));
            assert!(first < 250);
            assert_eq!(u32::from(coarse[(y * 150 + x) as usize]), first + 2, "frame {frame} at {x}, {y}");
        }
    }
}

#[test]
fn tiles_and_blocks_are_those_of_their_frame() {
    let folder = TempDir::new().unwrap();
    let dataset = Dataset::open(write(&folder, &[Reduced::Behind; 2])).unwrap();
    let tile = |frame| dataset.read_tile(&TileRequest::new(0, 1, 0).size(100, 100).frame(frame)).unwrap();
    for frame in 0..2 {
        assert_eq!(tile(frame).bytes[0], sample(10 * frame, 100, 0));
        let at = BlockId::new(1, 1, 1).with_frame(frame);
        assert_eq!(dataset.lock_block(at).unwrap().bytes(), block(10 * frame + 1, (1, 1)));
    }
    let png = TileRequest::new(1, 0, 0).encoding(Encoding::Png);
    assert_ne!(dataset.read_tile(&png).unwrap(), dataset.read_tile(&png.clone().frame(1)).unwrap());
}

#[test]
fn a_frame_that_is_not_there_is_named() {
    let folder = TempDir::new().unwrap();
    let dataset = Dataset::open(write(&folder, &[Reduced::None; 2])).unwrap();
    let window = Window::new(0, 0, 1, 1);
    let failures = [
        dataset.block(BlockId::new(0, 0, 0).with_frame(2)).map(drop),
        dataset.read_window(&WindowRequest::new(0, window).frame(2), &mut [0]),
        dataset.read_tile(&TileRequest::new(0, 0, 0).frame(2)).map(drop),
        dataset.advise_frame(2, 0, &window, Advice::WillNeed),
    ];
    for failure in failures {
        let error = failure.unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidArgument && error.message().contains("frame 2"), "{error}");
    }
    assert_eq!(dataset.stats().loads, 0);
}

#[test]
fn advice_for_one_frame_leaves_the_others_alone() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, &[Reduced::None; 3]);
    let dataset = Dataset::open_with(&path, &OpenOptions::default().cache_max_bytes(64 << 20)).unwrap();
    (0..3).for_each(|frame| drop(read(&dataset, frame, 0)));
    let whole = Window::new(0, 0, u64::from(SIZE.0), u64::from(SIZE.1));
    assert_eq!(dataset.stats().entries, 60);
    dataset.advise_frame(1, 0, &whole, Advice::DontNeed).unwrap();
    assert_eq!(dataset.stats().entries, 40);
    drop(read(&dataset, 0, 0));
    assert_eq!(dataset.stats().loads, 60);
    dataset.advise(0, &whole, Advice::DontNeed).unwrap();
    assert_eq!(dataset.stats().entries, 0);
}

#[test]
fn a_page_whose_samples_mean_something_else_is_no_frame() {
    let folder = TempDir::new().unwrap();
    let colors = |red: u16| (0..256).map(|i| [if i == 1 { red } else { 0 }, i, 0]).collect();
    let page = |red, nodata: &str| Image {
        color_map: Some(colors(red)),
        photometric: Some(3),
        nodata: Some(nodata.to_owned()),
        ..picture()
    };
    for (second, n_frames) in [(page(9, "3"), 2), (page(8, "3"), 1), (page(9, "4"), 1)] {
        let path = folder.path().join("pages.tif");
        let mut writer = TiffWriter::new(BufWriter::new(File::create(&path).unwrap()), Format::default()).unwrap();
        for image in [page(9, "3"), second] {
            writer.image(&image, |_, col, row| Some(block(0, (col, row)))).unwrap();
        }
        writer.finish().unwrap();
        assert_eq!(Dataset::open(&path).unwrap().info().n_frames, n_frames);
    }
}

#[test]
fn a_page_of_one_long_strip_whose_bands_are_arranged_otherwise_is_no_frame() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("planes.tif");
    // A row is more than a piece of a strip should have, so that pieces of both are one row.
    let (width, height, n_bands) = (300_000, 4, 3);
    let image = Image { kind: Kind::U16, n_bands, compression: Compression::Deflate, ..Image::new(width, height) };
    let value = |page: u16, band: u16| 1 + 10 * page + band;
    let n = (width * height) as usize;
    let mut writer = TiffWriter::new(BufWriter::new(File::create(&path).unwrap()), Format::default()).unwrap();
    for page in 0..2 {
        let image = Image { planar: page == 1, ..image.clone() };
        let pixel = |band| if page == 1 { vec![value(page, band)] } else { (0..3).map(|b| value(page, b)).collect() };
        let samples = |band| pixel(band).repeat(n).into_iter().flat_map(u16::to_ne_bytes).collect();
        writer.image(&image, |plane, _, _| Some(samples(plane))).unwrap();
    }
    writer.finish().unwrap();
    for page in 0..2 {
        let dataset = Dataset::open_with(&path, &OpenOptions::default().page(page.into())).unwrap();
        assert_eq!((dataset.info().n_frames, dataset.levels()[0].block_height), (1, 1), "page {page}");
        let request = WindowRequest::new(0, Window::new(299_990, 0, 10, 4)).layout(Layout::Tight(Interleave::Pixel));
        let mut out = vec![0; dataset.window_bytes(&request).unwrap()];
        dataset.read_window(&request, &mut out).unwrap();
        let expected: Vec<u8> =
            [0, 1, 2].map(|band| value(page, band)).repeat(40).into_iter().flat_map(u16::to_ne_bytes).collect();
        assert_eq!(out, expected, "page {page}");
    }
}

/// Which parts of a frame are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Valid {
    /// Nobody says.
    All,
    /// The left half, in a mask of so many bits a pixel with tiles of so many pixels.
    Left { bits: u16, tile: u32 },
}

fn write_masked(folder: &TempDir, frames: &[Valid]) -> PathBuf {
    let path = folder.path().join("masked.tif");
    let mut writer = TiffWriter::new(BufWriter::new(File::create(&path).unwrap()), Format::default()).unwrap();
    for (frame, valid) in (0..).zip(frames) {
        writer.image(&picture(), |_, col, row| Some(block(10 * frame, (col, row)))).unwrap();
        let Valid::Left { bits, tile } = *valid else { continue };
        let tags = vec![(258, Values::Short(vec![bits])), (259, Values::Short(vec![1]))];
        let mask = Image {
            blocks: Blocks::Tiles(tile, tile),
            subfile_type: 4,
            compression: Compression::AsGiven(1),
            tags,
            ..picture()
        };
        let samples = |col: u32| (0..tile * tile).map(move |i| col * tile + i % tile < SIZE.0 / 2);
        let pack = |bits: &[bool]| bits.iter().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit));
        let stored = |col| match bits {
            1 => samples(col).collect::<Vec<_>>().chunks(8).map(pack).collect(),
            _ => samples(col).map(|valid| if valid { 255 } else { 0 }).collect(),
        };
        writer.image(&mask, |_, col, _| Some(stored(col))).unwrap();
    }
    writer.finish().unwrap();
    path
}

#[test]
fn a_frame_without_a_mask_is_valid_all_over_and_takes_none_from_the_others() {
    let folder = TempDir::new().unwrap();
    for bits in [1, 8] {
        let left = Valid::Left { bits, tile: 64 };
        for frames in [[left, Valid::All, left], [Valid::All, left, Valid::All]] {
            let path = write_masked(&folder, &frames);
            tilekeep::forget(&path);
            let dataset = Dataset::open(&path).unwrap();
            let info = dataset.info();
            assert_eq!((info.n_frames, info.n_mask_bands), (3, 1), "{frames:?}");
            assert_eq!(dataset.mask_kind(0).unwrap(), MaskKind::Stored);
            for (frame, valid) in (0..).zip(frames) {
                let right = if valid == Valid::All { 255 } else { 0 };
                for level in 0..2 {
                    let grid = dataset.levels()[level as usize];
                    let request = WindowRequest::new(level, grid.window()).frame(frame);
                    let mut mask = vec![7; (grid.width * grid.height) as usize];
                    dataset.read_mask_window(0, &request, &mut mask).unwrap();
                    let expected = |i: usize| if (i as u64 % grid.width) < grid.width / 2 { 255 } else { right };
                    assert!(mask.iter().enumerate().all(|(i, v)| *v == expected(i)), "{frames:?}, {frame}, {level}");
                }
                // A tile with opacity shows it.
                let tile = TileRequest::new(0, 0, 0).size(300, 300).frame(frame).encoding(Encoding::Png);
                let style =
                    tilekeep::Style::parse(r#"{"bands": [{"band": 1, "min": 0, "max": 255, "nodata": "auto"}]}"#)
                        .unwrap();
                let tile = tile.style(style);
                let file = dataset.read_tile(&tile).unwrap().bytes.to_vec();
                let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
                let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
                let shown = reader.next_frame(&mut pixels).unwrap();
                let n = shown.color_type.samples();
                let opacity = |x: usize| if matches!(n, 2 | 4) { pixels[x * n + n - 1] } else { 255 };
                assert_eq!((opacity(10), opacity(290)), (255, right), "{frames:?}, {frame}");
            }
            let (source, _) = open_path(&path, Limits::default()).unwrap();
            conformance::check(&source).unwrap();
            conformance::check(&source.mask().unwrap()).unwrap();
        }
    }
}

#[test]
fn a_page_whose_mask_is_of_another_kind_is_no_frame_and_keeps_it() {
    let folder = TempDir::new().unwrap();
    let masks = [Valid::Left { bits: 1, tile: 64 }, Valid::Left { bits: 1, tile: 32 }, Valid::All];
    let path = write_masked(&folder, &masks);
    let dataset = Dataset::open(&path).unwrap();
    let frames: Vec<_> = dataset.info().pages.iter().map(|page| (page.number, page.frame)).collect();
    assert_eq!(frames, [(0, Some(0)), (2, None), (4, Some(1))]);
    let other = Dataset::open_with(&path, &OpenOptions::default().page(2)).unwrap();
    for dataset in [dataset, other] {
        let mut valid = [7; 2];
        let request = WindowRequest::new(0, Window::new(149, 100, 2, 1));
        dataset.read_mask_window(0, &request, &mut valid).unwrap();
        assert_eq!(valid, [255, 0]);
    }
}
