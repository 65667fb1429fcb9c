//! TIFF files whose blocks are pictures of JPEG 2000 and JPEG XL, with and without the features that read them.

mod common;

use std::fs::File;
use std::path::Path;
#[cfg(feature = "jpeg2000")]
use std::process::Command;

#[cfg(feature = "jpegxl")]
use common::data_dir;
use common::read_all;
#[cfg(any(feature = "jpeg2000", feature = "jpegxl"))]
use goods::Good;
#[cfg(feature = "jpeg2000")]
use tiff_writer::Kind;
use tiff_writer::{Blocks, Compression, Format, Image, Order, TiffWriter};
use tilekeep::{Dataset, ErrorKind, Interleave};
#[cfg(any(feature = "jpeg2000", feature = "jpegxl"))]
use torture::torture_format;

#[cfg(any(feature = "jpeg2000", feature = "jpegxl"))]
#[path = "common/goods.rs"]
mod goods;
#[allow(dead_code)]
#[path = "../examples/support/tiff_writer.rs"]
mod tiff_writer;
#[cfg(any(feature = "jpeg2000", feature = "jpegxl"))]
#[path = "common/torture.rs"]
mod torture;

/// A TIFF with the same stored bytes in each block.
fn write(path: &Path, image: &Image, order: Order, stored: &[u8]) {
    let format = Format { big: false, order };
    let mut writer = TiffWriter::new(File::create(path).unwrap(), format).unwrap();
    writer.image(image, |_, _, _| Some(stored.to_vec())).unwrap();
    writer.finish().unwrap();
}

#[test]
fn a_build_without_the_codec_says_so_with_tag_and_value() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture.tif");
    let codecs: [(&[u16], &str, bool); 2] = [
        (&[33003, 33005, 34712], "jpeg2000", cfg!(feature = "jpeg2000")),
        (&[50002, 52546], "jpegxl", cfg!(feature = "jpegxl")),
    ];
    for (numbers, feature, is_built) in codecs {
        for number in numbers {
            let image = Image {
                n_bands: 3,
                blocks: Blocks::Tiles(16, 16),
                compression: Compression::AsGiven(*number),
                ..Image::new(16, 16)
            };
            write(&path, &image, Order::Little, b"no picture");
            let read = Dataset::open(&path).and_then(|dataset| read_all(&dataset, Interleave::Pixel));
            let error = read.unwrap_err();
            let text = error.to_string();
            if is_built {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{text}");
            } else {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{text}");
                assert!(text.contains(&format!("(tag 259) {number}")) && text.contains(feature), "{text}");
            }
        }
    }
}

/// Samples that no two neighbours have in common; in two bytes for 16 bits.
#[cfg(feature = "jpeg2000")]
fn pixels(image: &Image) -> Vec<u8> {
    let mut bytes = Vec::new();
    for y in 0..image.height {
        for x in 0..image.width {
            for band in 0..u32::from(image.n_bands) {
                let value = x + y + band * 40 + (x * y / 16) % 23;
                match image.kind {
                    Kind::U16 => bytes.extend((value as u16 * 157).to_ne_bytes()),
                    _ => bytes.push(value as u8),
                }
            }
        }
    }
    bytes
}

/// `image` as a codestream that GDAL makes; `None` where GDAL is not there.
#[cfg(feature = "jpeg2000")]
fn codestream(dir: &Path, image: &Image, more: &[&str]) -> Option<Vec<u8>> {
    let (plain, stream) = (dir.join("plain.tif"), dir.join("stream.j2k"));
    let one = Image { blocks: Blocks::Strips(image.height), compression: Compression::None, ..image.clone() };
    write(&plain, &one, Order::Little, &pixels(image));
    let options = ["-q", "-of", "JP2OpenJPEG", "-co", "CODEC=J2K"].into_iter().chain(more.iter().copied());
    let made = Command::new("gdal_translate").args(options).args([&plain, &stream]).output();
    if made.is_ok_and(|made| made.status.success()) {
        return Some(std::fs::read(&stream).unwrap());
    }
    assert!(std::env::var_os("TILEKEEP_REQUIRE_PEERS").is_none(), "gdal_translate makes no JPEG 2000");
    eprintln!("SKIPPED: gdal_translate makes no JPEG 2000");
    None
}

#[cfg(feature = "jpeg2000")]
const LOSSLESS: [&str; 4] = ["-co", "REVERSIBLE=YES", "-co", "QUALITY=100"];

#[cfg(feature = "jpeg2000")]
fn jpeg_2000(number: u16, n_bands: u16, kind: Kind) -> Image {
    Image {
        n_bands,
        kind,
        photometric: Some(if n_bands == 3 { 2 } else { 1 }),
        blocks: Blocks::Tiles(80, 64),
        compression: Compression::AsGiven(number),
        ..Image::new(80, 64)
    }
}

#[cfg(feature = "jpeg2000")]
#[test]
fn lossless_jpeg_2000_comes_back_to_the_bit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture.tif");
    let cases = [(1, Kind::U8), (3, Kind::U8), (4, Kind::U8), (2, Kind::U16), (1, Kind::U16), (3, Kind::U16)];
    for (n_bands, kind) in cases {
        for more in [&[][..], &["-co", "BLOCKXSIZE=32", "-co", "BLOCKYSIZE=32"]] {
            let image = jpeg_2000(34712, n_bands, kind);
            let Some(stream) = codestream(dir.path(), &image, &[&LOSSLESS, more].concat()) else { return };
            for order in [Order::Little, Order::Big] {
                write(&path, &image, order, &stream);
                let dataset = Dataset::open(&path).unwrap();
                assert_eq!(dataset.info().compression, "jpeg 2000");
                let read = read_all(&dataset, Interleave::Pixel).unwrap_or_else(|e| panic!("{image:?}: {e}"));
                assert!(read == pixels(&image), "{image:?} {more:?} {order:?}");
            }
        }
    }
}

#[cfg(feature = "jpeg2000")]
#[test]
fn ycbcr_of_aperio_becomes_rgb_with_and_without_shared_chroma() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture.tif");
    // Components as they are stored: luma, and chroma that is no colour.
    let image = jpeg_2000(33003, 3, Kind::U8);
    let stored = ["-co", "REVERSIBLE=YES", "-co", "QUALITY=100", "-co", "YCC=NO"];
    let Some(stream) = codestream(dir.path(), &image, &stored) else { return };
    let read = |number: u16, stream: &[u8]| {
        write(&path, &Image { compression: Compression::AsGiven(number), ..image.clone() }, Order::Little, stream);
        read_all(&Dataset::open(&path).unwrap(), Interleave::Pixel).unwrap()
    };
    assert!(read(33005, &stream) == pixels(&image), "stored as RGB");
    let convert = |pixel: &[u8]| {
        let [y, cb, cr] = [0, 1, 2].map(|band| f64::from(pixel[band]) - if band == 0 { 0.0 } else { 128.0 });
        [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb].map(|v| v.round().clamp(0.0, 255.0))
    };
    let expected = pixels(&image).chunks(3).flat_map(convert).collect::<Vec<_>>();
    let worst = read(33003, &stream).iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
    assert!(worst <= 1.0, "{worst}");

    let shared = codestream(dir.path(), &image, &["-co", "QUALITY=80", "-co", "YCBCR420=YES"]).unwrap();
    let far = read(33003, &shared).iter().zip(&pixels(&image)).filter(|(a, b)| a.abs_diff(**b) > 24).count();
    assert!(far * 20 < pixels(&image).len(), "{far} samples are far from what they were");
}

#[cfg(feature = "jpeg2000")]
#[test]
fn jpeg_2000_that_is_cut_damaged_or_of_another_size_is_no_picture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture.tif");
    let image = jpeg_2000(33005, 3, Kind::U8);
    let Some(stream) = codestream(dir.path(), &image, &LOSSLESS) else { return };
    let read = |image: &Image, stream: &[u8]| {
        write(&path, image, Order::Little, stream);
        read_all(&Dataset::open(&path)?, Interleave::Pixel)
    };
    // A block of no bytes is one that is not stored.
    for cut in (1..stream.len() - 2).step_by(61) {
        let error = read(&image, &stream[..cut]).err().unwrap_or_else(|| panic!("{cut} of {} bytes", stream.len()));
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{cut}: {error}");
    }
    let others = [
        Image { blocks: Blocks::Tiles(96, 64), ..image.clone() },
        Image { n_bands: 4, ..image.clone() },
        Image { blocks: Blocks::Tiles(80, 48), ..image.clone() },
    ];
    for other in others {
        let error = read(&other, &stream).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    // Tiles without end, behind marker, length and capabilities.
    let mut many = stream.clone();
    many[24..32].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
    let error = read(&image, &many).unwrap_err();
    assert!(error.message().contains("tiles"), "{error}");
    write(&path, &image, Order::Little, &stream);
    let bytes = std::fs::read(&path).unwrap();
    torture_format(&[Good { name: "jpeg 2000".to_owned(), bytes, mend: |_| {} }]);
}

#[cfg(feature = "jpegxl")]
#[test]
fn lossless_jpeg_xl_is_the_same_as_the_plain_file_beside_it() {
    let Some(dir) = data_dir() else { return };
    let dir = dir.join("files/gdal/autotest/gcore/data");
    let cases = [
        ("gtiff/byte_JXL.tif", "gtiff/byte_NONE_tiled.tif"),
        ("gtiff/byte_JXL_tiled.tif", "gtiff/byte_NONE_tiled.tif"),
        ("gtiff/rgbsmall_JXL_separate.tif", "gtiff/rgbsmall_NONE.tif"),
        ("gtiff/rgbsmall_JXL_tiled.tif", "gtiff/rgbsmall_NONE.tif"),
    ];
    let read = |name: &str| {
        let dataset = Dataset::open(dir.join(name)).unwrap();
        read_all(&dataset, Interleave::Pixel).unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    for (compressed, plain) in cases {
        let (ours, theirs) = (read(compressed), read(plain));
        let worst = ours.iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(ours == theirs, "{compressed}: samples are up to {worst:?} away");
    }
    assert_eq!(read("gtiff/jxl-rgbi.tif").len(), 20 * 20 * 4);
}

#[cfg(feature = "jpegxl")]
#[test]
fn damaged_jpeg_xl_is_an_error_or_a_picture() {
    let Some(dir) = data_dir() else { return };
    let goods = ["rgbsmall_JXL_tiled.tif", "jxl-rgbi.tif"].map(|name| {
        let bytes = std::fs::read(dir.join("files/gdal/autotest/gcore/data/gtiff").join(name)).unwrap();
        Good { name: name.to_owned(), bytes, mend: |_| {} }
    });
    torture_format(&goods);
}
