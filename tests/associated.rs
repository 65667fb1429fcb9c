//! Further pictures in a file, blocks of bytes for others, and what a pixel measures.

use std::fs::{self, File};
use std::path::Path;

use tiff_writer::{Blocks, Compression, Format, Image, TiffWriter, Values};
use tilekeep::{Dataset, ErrorKind, Window, WindowRequest};

#[path = "../examples/support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

/// A file whose images are filled with one sample each.
fn write(path: &Path, images: &[(Image, u8)], sub_images: &[(Image, u8)]) {
    let mut writer = TiffWriter::new(File::create(path).unwrap(), Format::default()).unwrap();
    let block = |image: &Image, row: u32, sample: u8| {
        vec![sample; (image.block_size().0 * image.stored_rows(row)) as usize * image.bands_in_block()]
    };
    for (image, sample) in sub_images {
        writer.sub_image(image, |_, _, row| Some(block(image, row, *sample))).unwrap();
    }
    for (image, sample) in images {
        writer.image(image, |_, _, row| Some(block(image, row, *sample))).unwrap();
    }
    writer.finish().unwrap();
}

fn rgb(width: u32, height: u32) -> Image {
    Image { n_bands: 3, compression: Compression::Deflate, ..Image::new(width, height) }
}

fn described(image: Image, text: &str) -> Image {
    Image { tags: vec![(270, Values::Ascii(text.to_owned()))], ..image }
}

fn list(dataset: &Dataset) -> Vec<(String, u64, u64)> {
    dataset.info().associated.iter().map(|image| (image.name.clone(), image.width, image.height)).collect()
}

fn corner(dataset: &Dataset) -> u8 {
    let mut pixel = [0; 3];
    dataset.read_window(&WindowRequest::new(0, Window::new(0, 0, 1, 1)), &mut pixel).unwrap();
    pixel[0]
}

#[test]
fn a_slide_has_its_levels_and_its_label_thumbnail_and_macro_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("slide.svs");
    let tiled = |width, height| Image { blocks: Blocks::Tiles(64, 64), ..rgb(width, height) };
    let text =
        "Aperio Image Library v11.2.1 \r\n1000x800 [0,0 1000x800] (64x64) JPEG/RGB Q=70|AppMag = 20|MPP = 0.4990";
    let label = described(Image { subfile_type: 1, ..rgb(90, 80) }, "Aperio Image Library v11.2.1 \r\nlabel 90x80");
    let macro_image =
        described(Image { subfile_type: 9, ..rgb(200, 70) }, "Aperio Image Library v11.2.1 \r\nmacro 200x70");
    let images = [
        (described(tiled(1000, 800), text), 1),
        (described(rgb(128, 102), "Aperio Image Library v11.2.1 \r\n1000x800 -> 128x102 - |AppMag = 20"), 2),
        (tiled(250, 200), 3),
        (label, 4),
        (macro_image, 5),
    ];
    write(&path, &images, &[]);
    let dataset = Dataset::open(&path).unwrap();
    let stored: Vec<_> = dataset.info().levels.iter().map(|level| (level.width, level.height)).collect();
    assert_eq!(stored, [(1000, 800), (250, 200)]);
    assert_eq!(dataset.info().pixel_size_um, Some((0.499, 0.499)));
    assert!(dataset.info().metadata("", "TIFFTAG_IMAGEDESCRIPTION").unwrap().contains("AppMag = 20"));
    let known = [("thumbnail", 128, 102), ("label", 90, 80), ("macro", 200, 70)];
    assert_eq!(list(&dataset), known.map(|(name, width, height)| (name.to_owned(), width, height)));
    for (name, sample) in [("thumbnail", 2), ("label", 4), ("macro", 5)] {
        let picture = dataset.associated(name).unwrap();
        assert_eq!(corner(&picture), sample, "{name}");
        assert!(picture.info().associated.is_empty());
    }
    let error = dataset.associated("barcode").unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.message().contains("barcode"), "{error}");
    // It needs no handle of the slide.
    let label = dataset.associated("label").unwrap();
    drop(dataset);
    assert_eq!(corner(&label), 4);
}

#[test]
fn reduced_images_of_another_shape_are_thumbnails_and_no_levels() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture.tif");
    let reduced = |width, height| Image { subfile_type: 1, ..rgb(width, height) };
    let gray = Image { subfile_type: 1, ..Image::new(150, 100) };
    write(&path, &[(rgb(300, 200), 1), (reduced(150, 100), 2), (reduced(80, 20), 3)], &[(gray, 4)]);
    let dataset = Dataset::open(&path).unwrap();
    assert_eq!(dataset.info().levels.len(), 2);
    assert_eq!(list(&dataset), [("thumbnail".to_owned(), 80, 20), ("thumbnail 2".to_owned(), 150, 100)]);
    assert_eq!(corner(&dataset.associated("thumbnail").unwrap()), 3);
    let gray = dataset.associated("thumbnail 2").unwrap();
    assert_eq!((gray.info().n_bands, corner(&gray)), (1, 4));
}

#[test]
fn blocks_of_bytes_of_a_tiff_are_read_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture.tif");
    let profile: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let tags = vec![(34675, Values::Bytes(profile.clone())), (700, Values::Bytes(b"<x:xmpmeta/>\0".to_vec()))];
    write(&path, &[(Image { tags, ..rgb(30, 20) }, 1)], &[]);
    let dataset = Dataset::open(&path).unwrap();
    assert_eq!(dataset.info().blobs, ["icc", "xmp"]);
    assert_eq!(dataset.read_blob("icc").unwrap(), profile);
    assert_eq!(dataset.read_blob("xmp").unwrap(), b"<x:xmpmeta/>\0");
    assert_eq!(dataset.read_blob("exif").unwrap_err().kind(), ErrorKind::NotFound);
    // A file that says it has more than it has.
    let mut bytes = fs::read(&path).unwrap();
    let entry = bytes.windows(4).rposition(|tag| tag[..2] == 34675_u16.to_le_bytes() && tag[2] <= 7).unwrap();
    bytes[entry + 4..entry + 8].copy_from_slice(&u32::MAX.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let dataset = Dataset::open(&path).unwrap();
    assert_eq!((dataset.read_blob("icc").unwrap_err().kind(), corner(&dataset)), (ErrorKind::Corrupt, 1));
}

/// A JPEG file of so many pixels, with more segments after its first marker.
fn jpeg(width: u16, height: u16, segments: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let pixels = vec![90; usize::from(width) * usize::from(height)];
    jpeg_encoder::Encoder::new(&mut bytes, 90).encode(&pixels, width, height, jpeg_encoder::ColorType::Luma).unwrap();
    let more = segments
        .iter()
        .flat_map(|(marker, body)| [&[0xFF, *marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat());
    bytes.splice(2..2, more);
    bytes
}

/// A block of EXIF whose second directory points to `thumbnail`.
fn exif(thumbnail: &[u8]) -> Vec<u8> {
    let entry =
        |tag: u16, value: usize| [&tag.to_le_bytes()[..], &[4, 0, 1, 0, 0, 0], &(value as u32).to_le_bytes()].concat();
    let first = [b"II*\0\x08\0\0\0\x01\0".to_vec(), entry(256, 1), vec![26, 0, 0, 0]].concat();
    let second = [vec![2, 0], entry(513, 56), entry(514, thumbnail.len()), vec![0; 4]].concat();
    [first, second, thumbnail.to_vec()].concat()
}

#[test]
fn a_jpeg_has_its_blocks_of_bytes_a_comment_and_a_thumbnail() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture.jpg");
    let block = exif(&jpeg(16, 8, &[]));
    let segments = [
        (0xE1, [&b"Exif\0\0"[..], &block].concat()),
        (0xE2, b"ICC_PROFILE\0\x02\x02file".to_vec()),
        (0xE2, b"ICC_PROFILE\0\x01\x02pro".to_vec()),
        (0xFE, b"a comment".to_vec()),
    ];
    fs::write(&path, jpeg(64, 40, &segments)).unwrap();
    let dataset = Dataset::open(&path).unwrap();
    assert_eq!(dataset.info().blobs, ["exif", "icc"]);
    assert_eq!((dataset.read_blob("exif").unwrap(), dataset.read_blob("icc").unwrap()), (block, b"profile".to_vec()));
    assert_eq!(dataset.info().metadata("", "COMMENT"), Some("a comment"));
    assert_eq!(list(&dataset), [("thumbnail".to_owned(), 16, 8)]);
    let thumbnail = dataset.associated("thumbnail").unwrap();
    assert_eq!((thumbnail.levels()[0].width, corner(&thumbnail)), (16, 90));

    // A thumbnail with a thumbnail, and one that is none.
    let nested = exif(&jpeg(16, 8, &[(0xE1, [&b"Exif\0\0"[..], &exif(&jpeg(8, 8, &[]))].concat())]));
    fs::write(&path, jpeg(64, 40, &[(0xE1, [&b"Exif\0\0"[..], &nested].concat())])).unwrap();
    let dataset = Dataset::open(&path).unwrap();
    assert_eq!(list(&dataset).len(), 1);
    assert!(list(&dataset.associated("thumbnail").unwrap()).is_empty(), "a file could nest them without end");
    fs::write(&path, jpeg(64, 40, &[(0xE1, [&b"Exif\0\0"[..], &exif(b"\xFF\xD8\xFF\xE0 no")].concat())])).unwrap();
    let dataset = Dataset::open(&path).unwrap();
    assert!(list(&dataset).is_empty());
    assert_eq!(dataset.associated("thumbnail").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_png_has_its_blocks_of_bytes_and_says_what_a_pixel_measures() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture.png");
    let mut info = png::Info::with_size(8, 4);
    info.icc_profile = Some(b"profile".to_vec().into());
    info.exif_metadata = Some(b"II*\0".to_vec().into());
    info.pixel_dims = Some(png::PixelDimensions { xppu: 4000, yppu: 2000, unit: png::Unit::Meter });
    let encoder = png::Encoder::with_info(File::create(&path).unwrap(), info).unwrap();
    let mut encoder = encoder;
    encoder.add_itxt_chunk("XML:com.adobe.xmp".to_owned(), "<x/>".to_owned()).unwrap();
    encoder.write_header().unwrap().write_image_data(&[5; 32]).unwrap();
    let dataset = Dataset::open(&path).unwrap();
    assert_eq!(dataset.info().blobs, ["exif", "icc", "xmp"]);
    let read = |name: &str| dataset.read_blob(name).unwrap();
    assert_eq!((read("exif"), read("icc"), read("xmp")), (b"II*\0".to_vec(), b"profile".to_vec(), b"<x/>".to_vec()));
    assert_eq!(dataset.read_blob("iptc").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(dataset.info().pixel_size_um, Some((250.0, 500.0)));
}
