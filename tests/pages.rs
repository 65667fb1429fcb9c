//! Files of several pictures that are not alike: each is opened by its number, with what belongs to it and nothing else.

use std::fs;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tiff_writer::{Blocks, Compression, Format, Image, Kind, TiffWriter, Values};
use tilekeep::{
    Dataset, Encoding, ErrorKind, Limits, MaskKind, MemorySource, OpenOptions, SampleType, TileRequest, TileSource,
    Window, WindowRequest, conformance, open_page, open_path, open_reader,
};

#[allow(dead_code)]
#[path = "../examples/support/tiff_writer.rs"]
mod tiff_writer;

/// Images of the chain, each filled with one byte.
fn write(path: &Path, images: &[(Image, u8)]) {
    let file = BufWriter::new(fs::File::create(path).unwrap());
    let mut writer = TiffWriter::new(file, Format::default()).unwrap();
    for (image, byte) in images {
        let bytes = |row| {
            let (width, _) = image.block_size();
            (width * image.stored_rows(row)) as usize * image.bands_in_block() * image.kind.bytes()
        };
        if image.tags.iter().any(|(tag, _)| *tag == SUB_IMAGE) {
            let tags = image.tags.iter().filter(|(tag, _)| *tag != SUB_IMAGE).cloned().collect();
            let image = Image { tags, ..image.clone() };
            writer.sub_image(&image, |_, _, row| Some(vec![*byte; bytes(row)])).unwrap();
        } else {
            writer.image(image, |_, _, row| Some(vec![*byte; bytes(row)])).unwrap();
        }
    }
    writer.finish().unwrap();
    // So old that a change would be seen.
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(100);
    fs::File::options().append(true).open(path).unwrap().set_modified(old).unwrap();
}

/// A tag that is not written: the image goes into a sub-directory of the next one.
const SUB_IMAGE: u16 = 65_000;

fn gray(width: u32, height: u32) -> Image {
    Image { blocks: Blocks::Tiles(32, 32), compression: Compression::Deflate, ..Image::new(width, height) }
}

fn reduced(width: u32, height: u32) -> Image {
    Image { subfile_type: 1, ..gray(width, height) }
}

fn mask(width: u32, height: u32) -> Image {
    Image { subfile_type: 4, ..gray(width, height) }
}

fn in_sub_directory(image: Image) -> Image {
    Image { tags: vec![(SUB_IMAGE, Values::Short(vec![0]))], ..image }
}

fn described(image: Image, text: &str) -> Image {
    Image { tags: vec![(270, Values::Ascii(text.to_owned()))], ..image }
}

fn open(path: &Path, page: u32) -> Dataset {
    Dataset::open_with(path, &OpenOptions::default().page(page)).unwrap()
}

/// The first byte of each stored level.
fn corners(dataset: &Dataset, frame: u32) -> Vec<u8> {
    let stored = (0..).zip(dataset.levels()).filter(|(_, level)| level.native);
    stored.map(|(number, _)| corner(dataset, number, frame)).collect()
}

fn corner(dataset: &Dataset, level: u32, frame: u32) -> u8 {
    let request = WindowRequest::new(level, Window::new(0, 0, 1, 1)).frame(frame);
    let mut pixel = vec![0; dataset.window_bytes(&request).unwrap()];
    dataset.read_window(&request, &mut pixel).unwrap();
    pixel[0]
}

/// Pages of three sizes, the third like the first; with overviews in every place where writers put them, and masks.
fn mixed(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("mixed.tif");
    let rgb = Image { n_bands: 3, kind: Kind::U16, ..gray(90, 60) };
    let rgb_half = Image { n_bands: 3, kind: Kind::U16, ..reduced(45, 30) };
    let text = described(gray(200, 100), "the first\nof several");
    let images = [
        (in_sub_directory(reduced(100, 50)), 11),
        (text, 10),
        (mask(200, 100), 255),
        (described(rgb, "  \r\n colours "), 20),
        (rgb_half, 21),
        (in_sub_directory(reduced(100, 50)), 31),
        (gray(200, 100), 30),
        (gray(80, 80), 40),
        (reduced(40, 40), 41),
        (mask(80, 80), 0),
        // Behind all, as some add them to the first: a quarter of each of those of 200 x 100.
        (reduced(50, 25), 12),
    ];
    write(&path, &images);
    path
}

#[test]
fn pages_are_listed_with_size_samples_and_the_frames_that_they_are() {
    let folder = TempDir::new().unwrap();
    let path = mixed(&folder);
    let first = open(&path, 0);
    let list = |dataset: &Dataset| -> Vec<_> {
        let pages = dataset.info().pages.iter();
        pages.map(|p| (p.number, (p.width, p.height), p.n_bands, p.sample, p.frame, p.description.clone())).collect()
    };
    let u8 = SampleType::U8;
    let expected = [
        (0, (200, 100), 1, u8, Some(0), "the first".to_owned()),
        (2, (90, 60), 3, SampleType::U16, None, "colours".to_owned()),
        (4, (200, 100), 1, u8, Some(1), String::new()),
        (5, (80, 80), 1, u8, None, String::new()),
    ];
    assert_eq!(list(&first), expected);
    assert_eq!((first.info().n_frames, first.info().page), (2, 0));
    for (page, frames) in [(2, [None, Some(0), None, None]), (4, [None, None, Some(0), None])] {
        let dataset = open(&path, page);
        let found: Vec<_> = dataset.info().pages.iter().map(|page| page.frame).collect();
        assert_eq!((found, dataset.info().n_frames, dataset.info().page), (frames.to_vec(), 1, page));
        let numbers: Vec<_> = dataset.info().pages.iter().map(|page| page.number).collect();
        assert_eq!(numbers, [0, 2, 4, 5], "the list is that of the file");
    }
}

#[test]
fn a_page_has_its_own_pixels_overviews_mask_and_words() {
    let folder = TempDir::new().unwrap();
    let path = mixed(&folder);
    let pages: Vec<_> = [0, 2, 4, 5].map(|page| open(&path, page)).into();
    // Nothing says which of the two pages of 200 x 100 the last overview is of.
    let expected: [&[u8]; 4] = [&[10, 11], &[20, 21], &[30, 31], &[40, 41]];
    for (dataset, expected) in pages.iter().zip(expected) {
        assert_eq!(corners(dataset, 0), expected);
    }
    assert_eq!(corners(&pages[0], 1), [30, 31]);
    let sizes: Vec<_> = pages[1].info().levels.iter().map(|level| (level.width, level.height)).collect();
    assert_eq!(sizes, [(90, 60), (45, 30)]);
    assert_eq!((pages[1].info().n_bands, pages[1].info().sample), (3, SampleType::U16));
    assert_eq!(pages[1].info().metadata("", "TIFFTAG_IMAGEDESCRIPTION"), Some("  \r\n colours "));
    assert_eq!(pages[2].info().metadata("", "TIFFTAG_IMAGEDESCRIPTION"), None);
    let kinds = pages.iter().map(|page| page.mask_kind(0).unwrap());
    let none = MaskKind::AllValid;
    assert_eq!(kinds.collect::<Vec<_>>(), [MaskKind::Stored, none, none, MaskKind::Stored]);
    for (page, value) in [(0, 255), (3, 0)] {
        let mut valid = [7];
        pages[page].read_mask_window(0, &WindowRequest::new(0, Window::new(3, 3, 1, 1)), &mut valid).unwrap();
        assert_eq!(valid, [value]);
    }
    for (page, expected) in [0, 2, 4, 5].into_iter().zip(expected) {
        let reader = Arc::new(fs::read(&path).unwrap());
        let source = open_page(reader, page, Limits::default()).unwrap();
        conformance::check(&source).unwrap();
        assert_eq!(corners(&Dataset::from_source(source, &OpenOptions::default()).unwrap(), 0), expected);
    }
}

#[test]
fn pages_have_identities_caches_and_tiles_of_their_own_and_are_shared_like_files() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("alike.tif");
    // Alike but for their nodata, so that the tiles of both have the same request.
    let page = |nodata: &str| Image { nodata: Some(nodata.to_owned()), ..gray(64, 64) };
    write(&path, &[(page("1"), 50), (page("2"), 60)]);
    let (first, second) = (open(&path, 0), open(&path, 1));
    assert_eq!((first.info().n_frames, second.info().n_frames), (1, 1));
    let (one, two) = (first.identity().unwrap(), second.identity().unwrap());
    assert!(one != two && one.hash() != two.hash() && one.is_shareable() && two.is_shareable());
    assert_eq!((one.page, two.page), (0, 1));
    assert_eq!(one, open_path(&path, Limits::default()).map(|(_, identity)| identity).as_ref().unwrap());

    let request = TileRequest::new(0, 0, 0).encoding(Encoding::Png);
    let tiles = [&first, &second, &first].map(|dataset| dataset.read_tile(&request).unwrap());
    assert!(tiles[0] != tiles[1] && tiles[0] == tiles[2]);

    // The same number is the same dataset.
    let again = open(&path, 1);
    assert_eq!((corner(&again, 0, 0), again.stats().loads), (60, second.stats().loads));
    drop((first, second, again));
    let reopened = [open(&path, 1), open(&path, 0)];
    assert_eq!(reopened.each_ref().map(|dataset| corner(dataset, 0, 0)), [60, 50]);

    // A file that changed is noticed on every page.
    write(&path, &[(page("1"), 51), (page("2"), 61), (gray(10, 10), 1)]);
    for dataset in &reopened {
        assert_eq!(dataset.revalidate().unwrap_err().kind(), ErrorKind::Changed);
    }
    assert_eq!([open(&path, 0), open(&path, 1)].map(|dataset| corner(&dataset, 0, 0)), [51, 61]);
}

#[test]
fn a_page_that_is_not_there_is_an_error_that_says_which_are() {
    let folder = TempDir::new().unwrap();
    let path = mixed(&folder);
    let error = Dataset::open_with(&path, &OpenOptions::default().page(9)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("page 9") && error.message().contains("0 to 8"), "{error}");
    assert!(error.message().contains("mixed.tif"), "{error}");

    let png = folder.path().join("one.png");
    let mut encoder = png::Encoder::new(fs::File::create(&png).unwrap(), 4, 3);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[7; 12]).unwrap();
    let jpeg = folder.path().join("one.jpg");
    jpeg_encoder::Encoder::new_file(&jpeg, 90).unwrap().encode(&[7; 64], 8, 8, jpeg_encoder::ColorType::Luma).unwrap();
    for path in [png, jpeg] {
        assert_eq!((open(&path, 0).info().page, open(&path, 0).info().pages.len()), (0, 0));
        let error = Dataset::open_with(&path, &OpenOptions::default().page(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("page 1") && error.message().contains("one page"), "{error}");
    }
    let source = MemorySource::new(4, 3, 1, SampleType::U8, (4, 4), vec![1; 12]).unwrap();
    let error = Dataset::from_source(source, &OpenOptions::default().page(3)).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidArgument && error.message().contains("page 3"), "{error}");
}

#[test]
fn a_page_is_read_where_another_one_cannot_be() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("broken.tif");
    let foreign = Image { tags: vec![(259, Values::Short(vec![6]))], ..gray(200, 100) };
    write(&path, &[(foreign.clone(), 1), (gray(50, 40), 2), (reduced(25, 20), 3), (foreign, 4), (gray(30, 30), 5)]);
    assert_eq!(Dataset::open(&path).unwrap_err().kind(), ErrorKind::Unsupported);
    let error = Dataset::open_with(&path, &OpenOptions::default().page(3)).unwrap_err();
    assert!(error.kind() == ErrorKind::Unsupported && error.message().contains("page 3"), "{error}");
    let dataset = open(&path, 1);
    assert_eq!(corners(&dataset, 0), [2, 3]);
    assert_eq!(dataset.info().pages.iter().map(|page| page.number).collect::<Vec<_>>(), [1, 4]);
    assert_eq!(corners(&open(&path, 4), 0), [5]);
}

#[test]
fn what_belongs_to_another_picture_is_opened_by_its_number_and_listed_by_none() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("one.tif");
    write(&path, &[(gray(128, 64), 1), (mask(128, 64), 255), (reduced(64, 32), 2), (reduced(32, 16), 3)]);
    let whole = open(&path, 0);
    assert_eq!((corners(&whole, 0), whole.info().pages.len()), (vec![1, 2, 3], 1));
    let coarse = open(&path, 2);
    assert_eq!((corners(&coarse, 0), coarse.info().pages.len(), coarse.info().n_frames), (vec![2, 3], 1, 1));
    assert_eq!(coarse.mask_kind(0).unwrap(), MaskKind::AllValid);
    assert_eq!(corners(&open(&path, 1), 0), [255]);
    // Of two pictures: the last may be of the other one.
    let (full, half) = (|byte| (gray(200, 100), byte), |byte| (reduced(100, 50), byte));
    write(&path, &[full(1), full(2), half(3), half(4), (reduced(50, 25), 5)]);
    assert_eq!(corners(&open(&path, 2), 0), [3]);
}

#[test]
fn overviews_of_another_page_are_no_levels() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pages.tif");
    let sizes = |dataset: &Dataset| -> Vec<u64> { dataset.info().levels.iter().map(|level| level.width).collect() };
    // Behind the page that they are of; then those of the first behind all.
    let behind = [(gray(200, 200), 1), (reduced(100, 100), 2), (gray(160, 160), 3), (reduced(80, 80), 4)];
    let last = [(gray(200, 200), 1), (gray(160, 160), 3), (reduced(100, 100), 2), (reduced(50, 50), 5)];
    for (images, first, second, number) in
        [(&behind, &[200, 100][..], &[160, 80][..], 2), (&last, &[200, 100, 50], &[160], 1)]
    {
        write(&path, images);
        assert_eq!((&sizes(&open(&path, 0))[..], &sizes(&open(&path, number))[..]), (first, second));
    }
    // Behind a page of half the size, from the smallest on; and behind one that cannot be read, whose they are then.
    let upwards = [(gray(200, 200), 1), (gray(100, 100), 3), (reduced(50, 50), 5), (reduced(100, 100), 2)];
    write(&path, &upwards);
    assert_eq!((sizes(&open(&path, 0)), sizes(&open(&path, 1))), (vec![200, 100, 50], vec![100]));
    let foreign = Image { tags: vec![(259, Values::Short(vec![6]))], ..gray(160, 160) };
    write(&path, &[(gray(200, 200), 1), (foreign, 3), (reduced(80, 80), 4)]);
    assert_eq!(sizes(&open(&path, 0)), [200]);
    // Of two pages alike neither has what only one can have.
    write(&path, &[(gray(200, 200), 1), (gray(200, 200), 2), (reduced(100, 100), 3)]);
    assert_eq!((sizes(&open(&path, 0)), sizes(&open(&path, 1))), (vec![200], vec![200]));
}

/// As the reader of the file says what is not valid in it.
fn with_nodata(image: Image, nodata: &str) -> Image {
    Image { nodata: Some(nodata.to_owned()), ..image }
}

#[test]
fn an_overview_is_of_the_page_that_it_can_be_of_and_of_none_where_that_is_not_clear() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("alike.tif");
    let (a, b) = (|| (with_nodata(gray(200, 100), "1"), 10), || (with_nodata(gray(200, 100), "2"), 20));
    let half = |byte| (reduced(100, 50), byte);
    let half_with = |nodata, byte| (with_nodata(reduced(100, 50), nodata), byte);
    let quarter = |byte| (reduced(50, 25), byte);
    let photometric = |image, photometric| Image { photometric: Some(photometric), ..image };
    let palette = |image, red: u16| Image {
        color_map: Some((0..256).map(|i| [if i == 1 { red } else { 0 }, i, 0]).collect()),
        ..photometric(image, 3)
    };
    let (gray, reduced) = (gray(200, 100), reduced(100, 50));
    let cases = [
        // Behind both, as GDAL adds those of the first.
        ("nodata of the first", vec![a(), b(), half_with("1", 11)], vec![10, 11], vec![20]),
        ("nodata of each", vec![a(), b(), half_with("1", 11), half_with("2", 21)], vec![10, 11], vec![20, 21]),
        ("nodata of neither", vec![a(), b(), half_with("3", 11)], vec![10], vec![20]),
        ("nodata of the first, and more", vec![a(), b(), half_with("1", 11), quarter(12)], vec![10, 11, 12], vec![20]),
        (
            "white and black",
            vec![(gray.clone(), 10), (photometric(gray.clone(), 0), 20), (reduced.clone(), 11)],
            vec![10, 11],
            vec![20],
        ),
        (
            "palettes",
            vec![(palette(gray.clone(), 9), 10), (palette(gray.clone(), 8), 20), (palette(reduced.clone(), 9), 11)],
            vec![10, 11],
            vec![20],
        ),
        ("not said", vec![a(), b(), half(11)], vec![10], vec![20]),
        ("not said of two", vec![a(), b(), half(11), half(21)], vec![10], vec![20]),
        // Page by page, as others write them.
        ("each its own", vec![a(), half(11), b(), half(21)], vec![10, 11], vec![20, 21]),
        ("more of the second", vec![a(), half(11), b(), half(21), quarter(22)], vec![10, 11], vec![20, 21, 22]),
        ("of one or the other", vec![a(), half(11), b(), quarter(12)], vec![10, 11], vec![20]),
    ];
    for (what, images, first, second) in cases {
        write(&path, &images);
        let pages: Vec<_> = open(&path, 0).info().pages.iter().map(|page| page.number).collect();
        assert_eq!(pages.len(), 2, "{what}");
        assert_eq!((corners(&open(&path, 0), 0), corners(&open(&path, pages[1]), 0)), (first, second), "{what}");
    }
}

#[test]
fn a_mask_is_of_the_page_that_it_can_be_of_and_of_none_where_that_is_not_clear() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("alike.tif");
    let (a, b) = (|| (with_nodata(gray(200, 100), "1"), 10), || (with_nodata(gray(200, 100), "2"), 20));
    let (between, masks) = (|| (Image { kind: Kind::I8, ..gray(200, 100) }, 30), || (mask(200, 100), 255));
    let cases = [
        ("each its own", vec![a(), masks(), b(), masks()], 2, [true, true]),
        ("each its own, and a page between", vec![a(), masks(), between(), b(), masks()], 3, [true, true]),
        ("that of the first", vec![a(), masks(), b()], 2, [true, false]),
        ("that of the second, before another", vec![a(), b(), masks(), between()], 1, [false, true]),
        ("behind both", vec![a(), b(), masks()], 1, [false, false]),
        ("with an overview", vec![a(), b(), (with_nodata(reduced(100, 50), "1"), 11), masks()], 1, [true, false]),
    ];
    for (what, images, second, expected) in cases {
        write(&path, &images);
        let has_mask = [0, second].map(|page| open(&path, page).mask_kind(0).unwrap() == MaskKind::Stored);
        assert_eq!(has_mask, expected, "{what}");
    }
}

#[test]
fn a_slide_lists_itself_and_no_level_or_label_of_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("slide.svs");
    let text = |image, words: &str| described(image, &format!("Aperio Image Library v11.2.1 \r\n{words}"));
    let plain = |width, height| Image { compression: Compression::Deflate, ..Image::new(width, height) };
    let images = [
        (text(gray(800, 400), "800x400 [0,0 800x400] (32x32)"), 1),
        (text(plain(100, 50), "800x400 -> 100x50"), 2),
        (text(gray(200, 100), "800x400 -> 200x100"), 3),
        (text(gray(50, 25), "800x400 -> 50x25"), 4),
        (text(Image { subfile_type: 1, ..plain(60, 50) }, "label 60x50"), 5),
    ];
    write(&path, &images);
    let slide = open(&path, 0);
    assert_eq!((corners(&slide, 0), slide.info().pages.len()), (vec![1, 3, 4], 1));
    assert_eq!(slide.info().associated.iter().map(|image| &image.name[..]).collect::<Vec<_>>(), ["thumbnail", "label"]);
    // Any of them by its number, with the coarser levels behind it.
    for (page, expected) in [(1, &[2][..]), (2, &[3, 4]), (3, &[4]), (4, &[5])] {
        assert_eq!(corners(&open(&path, page), 0), expected, "page {page}");
    }
}

#[test]
fn the_list_of_many_pages_is_bounded_like_all_metadata() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("many.tif");
    let pages = (0..300_u32).map(|i| (described(Image::new(1 + i % 7, 1), &"é".repeat(300)), i as u8));
    write(&path, &pages.collect::<Vec<_>>());
    let bytes = Arc::new(fs::read(&path).unwrap());
    let source = open_reader(Arc::clone(&bytes) as _, Limits::default()).unwrap();
    let info = source.info();
    assert_eq!((info.pages.len(), info.n_frames), (300, 43));
    assert!(info.pages.iter().all(|page| page.description.chars().count() == 200));
    assert!(source.metadata_bytes() > 300 * 400 && source.metadata_bytes() < 300 * 2000, "{}", source.metadata_bytes());
    let mut limits = Limits::default();
    limits.max_directories = 20;
    let few = open_reader(bytes, limits).unwrap();
    assert_eq!(few.info().pages.len(), 20);
}
