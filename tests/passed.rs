//! Tiles that are handed out as the file stores them.

mod common;
#[path = "common/tiff.rs"]
mod tiff;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use common::{data_dir, read_all, real_files};
use tiff::tiff_writer::{Blocks, Compression, Image, TiffWriter, Values};
use tiff::{FORMATS, Folder, Pixels};
use tilekeep::{
    CacheUse, Dataset, Edge, Encoding, ErrorKind, Interleave, Level, Limits, OpenOptions, Style, Tile, TileRequest,
    conformance, open_path, open_reader,
};

fn of_bytes(file: Vec<u8>) -> Dataset {
    let source = open_reader(Arc::new(file), Limits::default()).unwrap();
    Dataset::from_source(source, &OpenOptions::default()).unwrap()
}

/// A TIFF in memory whose blocks are these bytes.
fn tiff_of(image: &Image, block: impl FnMut(u16, u32, u32) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()), FORMATS[0]).unwrap();
    writer.image(image, block).unwrap();
    writer.finish().unwrap().into_inner()
}

/// The pixels of a file, decoded by what reads files.
fn decoded(tile: &Tile) -> Vec<u8> {
    if !tile.bytes.starts_with(b"RIFF") {
        return read_all(&of_bytes(tile.bytes.to_vec()), Interleave::Pixel).unwrap();
    }
    // There is no reader of WebP files, only of TIFFs that store them.
    let image = Image {
        n_bands: tile.n_bands as u16,
        extra_samples: if tile.n_bands == 4 { vec![2] } else { Vec::new() },
        compression: Compression::AsGiven(50001),
        ..Image::new(tile.width, tile.height)
    };
    read_all(&of_bytes(tiff_of(&image, |_, _, _| Some(tile.bytes.to_vec()))), Interleave::Pixel).unwrap()
}

/// The tile, made anew, and how many blocks were loaded for it.
fn with_loads(dataset: &Dataset, request: &TileRequest) -> tilekeep::Result<(Tile, u64)> {
    dataset.invalidate().unwrap();
    let before = dataset.stats().loads + dataset.stats().failed_loads;
    let tile = dataset.read_tile(request)?;
    Ok((tile, dataset.stats().loads + dataset.stats().failed_loads - before))
}

fn is_passed(dataset: &Dataset, request: &TileRequest) -> bool {
    with_loads(dataset, request).unwrap().1 == 0
}

/// Requests of tiles as large as blocks, a few of each level, and of all of a level as one tile.
fn requests(levels: &[Level]) -> Vec<TileRequest> {
    let mut requests = Vec::new();
    for (number, level) in (0..).zip(levels).filter(|(_, level)| level.native) {
        let (last_col, last_row) = (level.cols() - 1, level.rows() - 1);
        for (col, row) in [(0, 0), (last_col, 0), (0, last_row), (last_col, last_row), (last_col / 2, last_row / 2)] {
            requests.push(TileRequest::new(number, col, row).size(level.block_width, level.block_height));
        }
        if level.width.max(level.height) <= 4096 {
            requests.push(TileRequest::new(number, 0, 0).size(level.width as u32, level.height as u32));
        }
    }
    requests.retain(|request| request.size.0.max(request.size.1) <= 4096);
    requests
}

#[test]
fn passed_tiles_of_real_files_have_the_pixels_of_their_blocks() {
    let Some(dir) = data_dir() else { return };
    let (mut n_passed, mut n_files): (BTreeMap<String, u64>, BTreeMap<String, u64>) = Default::default();
    for real in real_files(&dir).iter().filter(|real| real.expect != "refused") {
        let Ok(dataset) = Dataset::open(&real.path) else { continue };
        let codec = real.codec();
        let encoding = match &codec[..] {
            "png" => Encoding::Png,
            "tiff webp" => Encoding::WebPLossless,
            "jpeg" | "tiff jpeg" => Encoding::jpeg(80),
            _ => continue,
        };
        let mut n = 0;
        for request in requests(dataset.levels()) {
            let Ok((tile, 0)) = with_loads(&dataset, &request.clone().encoding(encoding)) else { continue };
            // The codes of a damaged JPEG are not read on the way: it is handed out as it is.
            let raw = match dataset.read_tile(&request) {
                Err(error) if error.kind() == ErrorKind::Corrupt && codec.ends_with("jpeg") => continue,
                raw => raw.unwrap_or_else(|e| panic!("{}: {e}", real.name)),
            };
            assert_eq!((tile.width, tile.height, tile.n_bands), (raw.width, raw.height, raw.n_bands), "{}", real.name);
            assert!(decoded(&tile) == raw.bytes, "{}, {request:?}", real.name);
            n += 1;
        }
        if n == 0 {
            println!("not passed: {}", real.name);
        }
        *n_passed.entry(codec.clone()).or_default() += n;
        *n_files.entry(codec).or_default() += u64::from(n > 0);
    }
    println!("tiles passed: {n_passed:?}; files with one: {n_files:?}");
    for (codec, least) in [("png", 90), ("jpeg", 30), ("tiff jpeg", 10), ("tiff webp", 5)] {
        assert!(n_files[codec] >= least, "{codec}: {} files", n_files[codec]);
    }
}

#[test]
fn real_files_keep_the_promises_of_a_source_that_hands_out_pictures() {
    let Some(dir) = data_dir() else { return };
    let mut n = 0;
    for real in real_files(&dir).iter().filter(|real| matches!(&real.codec()[..], "tiff jpeg" | "tiff webp" | "png")) {
        let Ok((source, _)) = open_path(&real.path, Limits::default()) else { continue };
        let level = source.info().levels[0];
        if level.width * level.height > 1 << 20 {
            continue;
        }
        match conformance::check(&*source) {
            Err(error) if error.kind() == ErrorKind::Internal => panic!("{}: {error}", real.name),
            Err(_) => {}
            Ok(()) => n += 1,
        }
    }
    assert!(n > 100, "{n} files");
}

/// A TIFF of JPEG blocks, three by two of them with the last ones cut by the edge.
fn jpeg_tiff(n_bands: u16, photometric: u16, blocks: Blocks, shared_jpeg_tables: bool) -> (Image, Vec<u8>) {
    let image = Image {
        n_bands,
        photometric: Some(photometric),
        blocks,
        compression: Compression::Jpeg(90),
        shared_jpeg_tables,
        ..Image::new(150, 100)
    };
    let pixels = Pixels::from_fn(&image, |x, y, band| vec![(x + y / 2 + 70 * band as u32) as u8]);
    let file = tiff_of(&image, |plane, col, row| Some(pixels.block(&image, plane, col, row)));
    (image, file)
}

#[test]
fn jpeg_blocks_are_passed_whatever_their_components_mean_and_wherever_their_tables_are() {
    for (n_bands, photometric) in [(1, 1), (3, 2), (3, 6)] {
        for blocks in [Blocks::Tiles(64, 64), Blocks::Strips(48)] {
            for shared in [false, true] {
                let what = format!("{n_bands} bands, photometric {photometric}, {blocks:?}, shared tables {shared}");
                let (_, file) = jpeg_tiff(n_bands, photometric, blocks, shared);
                let source = open_reader(Arc::new(file.clone()), Limits::default()).unwrap();
                conformance::check(&*source).unwrap_or_else(|e| panic!("{what}: {e}"));
                let dataset = of_bytes(file);
                let level = dataset.levels()[0];
                let is_tiled = matches!(blocks, Blocks::Tiles(..));
                for row in 0..level.rows() {
                    for col in 0..level.cols() {
                        let request = TileRequest::new(0, col, row).size(level.block_width, level.block_height);
                        let encoded = request.clone().encoding(Encoding::jpeg(50));
                        let (tile, loads) = with_loads(&dataset, &encoded).unwrap();
                        // Tiles are stored with what lies beyond the edge, the last strip without.
                        let is_cut = is_tiled && (col == level.cols() - 1 || row == level.rows() - 1);
                        assert_eq!(loads, u64::from(is_cut), "{what}: ({col}, {row})");
                        let raw = dataset.read_tile(&request).unwrap();
                        assert_eq!((tile.width, tile.height), (raw.width, raw.height), "{what}");
                        if !is_cut {
                            assert!(decoded(&tile) == raw.bytes, "{what}: ({col}, {row})");
                        }
                        let padded = encoded.edge(Edge::Pad);
                        let is_padded = (u64::from(raw.width), u64::from(raw.height))
                            != (level.block_width.into(), level.block_height.into());
                        assert_eq!(is_passed(&dataset, &padded), !is_padded, "{what}: ({col}, {row}), padded");
                    }
                }
            }
        }
    }
}

#[test]
fn what_changes_pixels_is_decoded_and_encoded() {
    let (_, file) = jpeg_tiff(3, 6, Blocks::Tiles(64, 64), true);
    let dataset = of_bytes(file);
    let request = TileRequest::new(0, 1, 0).size(64, 64).encoding(Encoding::jpeg(80));
    assert!(is_passed(&dataset, &request));
    assert!(is_passed(&dataset, &request.clone().bands([0, 1, 2])));
    assert!(is_passed(&dataset, &request.clone().style(Style::unstyled())));
    assert!(is_passed(&dataset, &request.clone().encoding(Encoding::jpeg(10))));
    let others = [
        request.clone().pass_through(false),
        request.clone().encoding(Encoding::Png),
        request.clone().encoding(Encoding::WebPLossless),
        request.clone().encoding(Encoding::Raw),
        request.clone().bands([0]),
        request.clone().bands([2, 1, 0]),
        request.clone().range(0.0, 255.0),
        request.clone().style(Style::parse(r#"{"band": 1, "min": 0, "max": 255}"#).unwrap()),
        request.clone().size(32, 64),
        request.clone().size(65, 64),
        request.clone().size(128, 64),
    ];
    for other in others {
        assert!(!is_passed(&dataset, &other), "{other:?}");
    }
    assert!(dataset.read_tile(&request.clone().encoding(Encoding::jpeg(0))).is_err());
    assert!(dataset.read_tile(&request.frame(1)).is_err());
}

#[test]
fn levels_that_are_not_stored_are_encoded_and_stored_ones_passed() {
    let (image, _) = jpeg_tiff(3, 6, Blocks::Tiles(64, 64), true);
    let image = Image { width: 512, height: 512, ..image };
    let overview = Image { subfile_type: 1, width: 128, height: 128, ..image.clone() };
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()), FORMATS[0]).unwrap();
    for image in [&image, &overview] {
        let pixels = Pixels::from_fn(image, |x, y, _| vec![(x / 4 + y / 4) as u8]);
        writer.image(image, |plane, col, row| Some(pixels.block(image, plane, col, row))).unwrap();
    }
    let dataset = of_bytes(writer.finish().unwrap().into_inner());
    let passed: Vec<bool> = (0..3)
        .map(|level| is_passed(&dataset, &TileRequest::new(level, 1, 1).size(64, 64).encoding(Encoding::jpeg(80))))
        .collect();
    assert_eq!(passed, [true, false, true]);
}

#[test]
fn a_block_that_breaks_off_or_is_too_large_is_not_passed() {
    let (_, whole) = jpeg_tiff(3, 6, Blocks::Tiles(64, 64), false);
    let whole =
        of_bytes(whole).read_tile(&TileRequest::new(0, 0, 0).size(64, 64).encoding(Encoding::jpeg(80))).unwrap();
    let image = Image {
        n_bands: 3,
        photometric: Some(6),
        blocks: Blocks::Tiles(64, 64),
        compression: Compression::AsGiven(7),
        ..Image::new(128, 64)
    };
    // The second block stays as it is.
    let with_first = |first: Vec<u8>| {
        let mut blocks = [first, whole.bytes.to_vec()].into_iter();
        of_bytes(tiff_of(&image, |_, _, _| blocks.next()))
    };
    let request = TileRequest::new(0, 0, 0).size(64, 64).encoding(Encoding::jpeg(80));
    assert!(is_passed(&with_first(whole.bytes.to_vec()), &request));
    let half = whole.bytes[..whole.bytes.len() / 2].to_vec();
    let with_end = [&half[..], &[0xff, 0xd9]].concat();
    for broken in [half, with_end, b"no picture at all".to_vec()] {
        let dataset = with_first(broken);
        assert_eq!(dataset.read_tile(&request).unwrap_err().kind(), ErrorKind::Corrupt);
        let neighbour = TileRequest::new(0, 1, 0).size(64, 64).encoding(Encoding::jpeg(80));
        assert!(is_passed(&dataset, &neighbour), "others stay good");
    }
    // A picture of another size than the block.
    let small = of_bytes(jpeg_tiff(3, 6, Blocks::Tiles(48, 48), false).1);
    let small = small.read_tile(&TileRequest::new(0, 0, 0).size(48, 48).encoding(Encoding::jpeg(80))).unwrap();
    assert_eq!(with_first(small.bytes.to_vec()).read_tile(&request).unwrap_err().kind(), ErrorKind::Corrupt);
    // Nothing is stored of the block: it is made.
    let sparse = of_bytes(tiff_of(&image, |_, col, _| (col == 1).then(|| whole.bytes.to_vec())));
    let (tile, loads) = with_loads(&sparse, &request).unwrap();
    assert!(loads == 1 && decoded(&tile).iter().all(|sample| *sample == 0));
}

#[test]
fn opacity_that_a_dataset_has_not_is_not_passed() {
    let lossless = |color: image_webp::ColorType, n_bands: usize| {
        let pixels: Vec<u8> = (0..32 * 32 * n_bands).map(|i| (i * 7 / 5) as u8).collect();
        let mut file = Vec::new();
        image_webp::WebPEncoder::new(&mut file).encode(&pixels, 32, 32, color).unwrap();
        file
    };
    let rgb = lossless(image_webp::ColorType::Rgb8, 3);
    let rgba = lossless(image_webp::ColorType::Rgba8, 4);
    let dataset = |n_bands: u16, extra: u16, file: &[u8]| {
        let image = Image {
            n_bands,
            extra_samples: if n_bands == 4 { vec![extra] } else { Vec::new() },
            blocks: Blocks::Tiles(32, 32),
            compression: Compression::AsGiven(50001),
            ..Image::new(32, 32)
        };
        of_bytes(tiff_of(&image, |_, _, _| Some(file.to_vec())))
    };
    let request = TileRequest::new(0, 0, 0).size(32, 32).encoding(Encoding::WebPLossless);
    for (n_bands, extra, file, expected) in [
        (3, 0, &rgb, true),
        (3, 0, &rgba, false),
        (4, 2, &rgba, true),
        // What is opaque need not say so.
        (4, 2, &rgb, true),
        // The fourth band is no opacity, and not shown.
        (4, 0, &rgba, false),
    ] {
        let dataset = dataset(n_bands, extra, file);
        assert_eq!(is_passed(&dataset, &request), expected, "{n_bands} bands, extra sample {extra}");
        assert!(!is_passed(&dataset, &request.clone().encoding(Encoding::jpeg(80))));
        if expected {
            let tile = dataset.read_tile(&request).unwrap();
            assert!(&tile.bytes == file);
            assert!(decoded(&tile) == dataset.read_tile(&request.clone().encoding(Encoding::Raw)).unwrap().bytes);
        }
    }
}

#[test]
fn a_whole_png_or_jpeg_is_passed_without_what_is_not_its_pixels() {
    let folder = Folder::new();
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, 300, 200);
    encoder.set_color(png::ColorType::Rgb);
    encoder.add_text_chunk("Title".to_owned(), "words".to_owned()).unwrap();
    let pixels: Vec<u8> = (0..300 * 200 * 3).map(|i: u32| (i / 3 % 300 + i / 900 * (i % 3)) as u8).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    std::fs::write(folder.path("a.png"), &png).unwrap();

    let mut jpeg = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut jpeg, 90);
    // An orientation: viewers turn such a picture.
    encoder
        .add_app_segment(1, b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec())
        .unwrap();
    encoder.encode(&pixels, 300, 200, jpeg_encoder::ColorType::Rgb).unwrap();
    std::fs::write(folder.path("a.jpg"), &jpeg).unwrap();

    for (name, encoding, extra) in [("a.png", Encoding::Png, &b"tEXt"[..]), ("a.jpg", Encoding::jpeg(90), &b"Exif"[..])]
    {
        let stored = std::fs::read(folder.path(name)).unwrap();
        let dataset = Dataset::open(folder.path(name)).unwrap();
        let request = TileRequest::new(0, 0, 0).size(512, 512).encoding(encoding);
        let (tile, loads) = with_loads(&dataset, &request).unwrap();
        assert_eq!((tile.width, tile.height, loads), (300, 200, 0), "{name}");
        let has = |bytes: &[u8]| bytes.windows(4).any(|part| part == extra);
        assert!(has(&stored) && !has(&tile.bytes), "{name}");
        assert!(decoded(&tile) == read_all(&dataset, Interleave::Pixel).unwrap(), "{name}");
        assert!(is_passed(&dataset, &request.clone().size(300, 200).edge(Edge::Pad)), "{name}");
        assert!(!is_passed(&dataset, &request.clone().edge(Edge::Pad)), "{name}");
        assert!(!is_passed(&dataset, &request.clone().size(299, 200)), "{name}");
        // Colours of indices that a file beside it has.
        std::fs::write(
            folder.path(&format!("{name}.aux.xml")),
            "<PAMDataset><PAMRasterBand band=\"1\"><ColorInterp>Gray</ColorInterp></PAMRasterBand></PAMDataset>",
        )
        .unwrap();
        assert!(is_passed(&Dataset::open(folder.path(name)).unwrap(), &request), "{name}");
    }
}

#[test]
fn a_colour_that_is_clear_only_in_the_file_and_colours_from_elsewhere_are_not_passed() {
    let folder = Folder::new();
    let write = |name: &str, clear: Option<u8>| {
        let mut png = Vec::new();
        let mut encoder = png::Encoder::new(&mut png, 16, 16);
        if let Some(clear) = clear {
            encoder.set_trns(vec![0, clear]);
        }
        encoder.write_header().unwrap().write_image_data(&[7; 256]).unwrap();
        std::fs::write(folder.path(name), png).unwrap();
        Dataset::open(folder.path(name)).unwrap()
    };
    let request = TileRequest::new(0, 0, 0).encoding(Encoding::Png);
    assert!(is_passed(&write("gray.png", None), &request));
    assert!(!is_passed(&write("clear.png", Some(7)), &request));
    let table = "<PAMDataset><PAMRasterBand band=\"1\"><ColorInterp>Palette</ColorInterp><ColorTable>\
                 <Entry c1=\"255\" c2=\"0\" c3=\"0\" c4=\"255\"/></ColorTable></PAMRasterBand></PAMDataset>";
    std::fs::write(folder.path("red.png.aux.xml"), table).unwrap();
    let red = write("red.png", None);
    assert!(red.info().color_table.is_some());
    assert!(!is_passed(&red, &request));
}

#[test]
fn a_reader_that_passes_through_gets_stored_samples_without_a_load() {
    let folder = Folder::new();
    let image = Image { n_bands: 3, blocks: Blocks::Tiles(32, 32), ..Image::new(80, 64) };
    let path = folder.write(FORMATS[0], &image, &Pixels::new(&image, 0));
    let dataset = Dataset::open(&path).unwrap();
    for (col, row) in [(0, 0), (1, 1), (2, 1)] {
        let request = TileRequest::new(0, col, row).size(32, 32);
        let (normal, loads) = with_loads(&dataset, &request).unwrap();
        assert_eq!(loads, 1);
        for edge in [Edge::Crop, Edge::Pad] {
            let passing = request.clone().edge(edge).cache_use(CacheUse::NoCache);
            let (passed, loads) = with_loads(&dataset, &passing).unwrap();
            assert_eq!(loads, u64::from(col == 2), "whole blocks only");
            if (edge, col) != (Edge::Pad, 2) {
                assert!(passed == normal, "({col}, {row})");
            }
        }
        // One that is there is not read again.
        let _ = dataset.lock_block((0, col, row)).unwrap();
        assert!(dataset.read_tile(&request.cache_use(CacheUse::NoCache)).unwrap() == normal);
    }
}

/// All pixels of a file as GDAL reads it; `None` where GDAL is not there.
fn by_gdal(folder: &Folder, file: &Path) -> Option<Vec<u8>> {
    let out = folder.path("gdal.bin");
    let made =
        Command::new("gdal_translate").args(["-q", "-of", "ENVI", "-co", "INTERLEAVE=BIP"]).args([file, &out]).output();
    if made.is_ok_and(|made| made.status.success()) {
        return Some(std::fs::read(&out).unwrap());
    }
    assert!(std::env::var_os("TILEKEEP_REQUIRE_PEERS").is_none(), "gdal_translate does not read {}", file.display());
    eprintln!("SKIPPED: no gdal_translate that reads {}", file.display());
    None
}

#[test]
fn another_reader_sees_the_same_colours_in_passed_tiles() {
    for (n_bands, photometric) in [(1, 1), (3, 2), (3, 6)] {
        let folder = Folder::new();
        let dataset = of_bytes(jpeg_tiff(n_bands, photometric, Blocks::Tiles(64, 64), true).1);
        let request = TileRequest::new(0, 1, 0).size(64, 64);
        let raw = dataset.read_tile(&request).unwrap();
        let (tile, loads) = with_loads(&dataset, &request.encoding(Encoding::jpeg(80))).unwrap();
        assert_eq!(loads, 0);
        let path = folder.path("tile.jpg");
        std::fs::write(&path, &tile.bytes).unwrap();
        let Some(theirs) = by_gdal(&folder, &path) else { return };
        assert_eq!(theirs.len(), raw.bytes.len());
        let far = theirs.iter().zip(&raw.bytes).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(far <= Some(4), "photometric {photometric}: {far:?}");
    }
}

#[test]
fn a_tag_of_the_image_turns_greys_round_and_is_not_lost() {
    // White is zero: the file shows the opposite of what the stream alone would.
    let (image, _) = jpeg_tiff(1, 0, Blocks::Tiles(64, 64), false);
    let image = Image { tags: vec![(262, Values::Short(vec![0]))], ..image };
    let pixels = Pixels::from_fn(&image, |x, _, _| vec![x as u8]);
    let dataset = of_bytes(tiff_of(&image, |plane, col, row| Some(pixels.block(&image, plane, col, row))));
    let request = TileRequest::new(0, 0, 0).size(64, 64).encoding(Encoding::jpeg(80));
    let (tile, loads) = with_loads(&dataset, &request).unwrap();
    assert_eq!(loads, 1);
    assert!(decoded(&tile)[0] > 250);
}
