//! Files that others wrote, and what established readers make of them.

mod common;

use std::collections::BTreeMap;
use std::process::Command;

use common::{Real, data_dir, read_all, real_files};
use serde_json::Value;
use tilekeep::{Dataset, ErrorKind, Interleave, SampleType};
use xxhash_rust::xxh64::xxh64;

/// Four inks and L*a*b* are presented as they are stored; GDAL converts them to RGBA.
const AS_STORED: [&str; 2] = ["rgbsmall_cmyk.tif", "cielab.tif"];

/// How the files of one codec fared.
#[derive(Default)]
struct Count {
    read: usize,
    unsupported: usize,
    refused: usize,
    wrong: usize,
}

fn print(title: &str, counts: &BTreeMap<String, Count>) {
    println!("{title:<16} {:>6} {:>12} {:>8} {:>6}", "read", "unsupported", "refused", "wrong");
    for (codec, c) in counts {
        println!("{codec:<16} {:>6} {:>12} {:>8} {:>6}", c.read, c.unsupported, c.refused, c.wrong);
    }
}

fn hash(pixels: &[u8]) -> String {
    format!("{:016x}", xxh64(pixels, 0))
}

#[test]
fn exact_files_have_the_pixels_that_gdal_reads() {
    let Some(dir) = data_dir() else { return };
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut failures = Vec::new();
    for real in real_files(&dir).iter().filter(|real| real.expect == "exact" && !is_as_stored(real)) {
        let count = counts.entry(real.codec()).or_default();
        let pixels = Dataset::open(&real.path)
            .and_then(|d| Ok((read_all(&d, Interleave::Pixel)?, read_all(&d, Interleave::Band)?)));
        match pixels {
            Ok((bip, bsq)) if hash(&bip) == real.text("xxh64_bip") && hash(&bsq) == real.text("xxh64_bsq") => {
                count.read += 1;
            }
            Ok(_) => {
                count.wrong += 1;
                failures.push(format!("wrong pixels: {}", real.facts));
            }
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                count.unsupported += 1;
                println!("unsupported: {}: {}", real.name, error.message());
            }
            Err(error) => {
                count.refused += 1;
                failures.push(format!("refused: {error}: {}", real.facts));
            }
        }
    }
    print("exact", &counts);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // What this build says it reads, it reads.
    for codec in [
        "png",
        "tiff none",
        "tiff deflate",
        "tiff lzw",
        "tiff packbits",
        "tiff zstd",
        "tiff ccitt_t6",
        "tiff lzma",
        "tiff next",
    ] {
        let count = &counts[codec];
        assert!(count.read > 0 && count.unsupported == 0, "{codec}: {} not read", count.unsupported);
    }
}

fn is_as_stored(real: &Real) -> bool {
    is_among(&AS_STORED, real)
}

#[test]
fn inks_are_presented_as_stored_and_make_the_colours_that_gdal_makes() {
    let Some(dir) = data_dir() else { return };
    let reals = real_files(&dir);
    let find = |name: &str| reals.iter().find(|real| real.name.ends_with(name)).unwrap();
    let real = find("rgbsmall_cmyk.tif");
    let dataset = Dataset::open(&real.path).unwrap();
    let inks = read_all(&dataset, Interleave::Pixel).unwrap();
    // How libtiff's RGBA interface mixes inks.
    let mix = |ink: u8, black: u8| ((255 - u32::from(ink)) * (255 - u32::from(black)) / 255) as u8;
    let rgba: Vec<u8> =
        inks.chunks_exact(4).flat_map(|p| [mix(p[0], p[3]), mix(p[1], p[3]), mix(p[2], p[3]), 255]).collect();
    assert_eq!(hash(&rgba), real.text("xxh64_bip"));

    let lab = Dataset::open(&find("cielab.tif").path).unwrap();
    assert_eq!((lab.info().n_bands, read_all(&lab, Interleave::Pixel).unwrap().len()), (3, 3));
}

fn gdal_name(sample: SampleType) -> &'static str {
    match sample {
        SampleType::U8 => "Byte",
        SampleType::I8 => "Int8",
        SampleType::U16 => "UInt16",
        SampleType::I16 => "Int16",
        SampleType::U32 => "UInt32",
        SampleType::I32 => "Int32",
        SampleType::U64 => "UInt64",
        SampleType::I64 => "Int64",
        SampleType::F32 => "Float32",
        SampleType::F64 => "Float64",
        SampleType::ComplexI16 => "CInt16",
        SampleType::ComplexI32 => "CInt32",
        SampleType::ComplexF32 => "CFloat32",
        SampleType::ComplexF64 => "CFloat64",
        _ => "a type that this test does not know",
    }
}

/// Names of the facts in which a dataset differs from what is known of the file.
fn differences(dataset: &Dataset, real: &Real) -> Vec<String> {
    let (info, base) = (dataset.info(), dataset.levels()[0]);
    let mut found = Vec::new();
    let mut compare = |fact: &str, ours: String, theirs: String| {
        if ours != theirs {
            found.push(format!("{fact}: {ours}, not {theirs}"));
        }
    };
    let list = |values: &[f64]| values.iter().map(|v| format!("{v:.9e}")).collect::<Vec<_>>().join(" ");
    let floats =
        |value: &Value| value.as_array().map(|a| list(&a.iter().filter_map(Value::as_f64).collect::<Vec<_>>()));
    compare("size", format!("{}x{}", base.width, base.height), format!("{}x{}", real.facts["w"], real.facts["h"]));
    compare("dtype", gdal_name(info.sample).to_owned(), real.text("dtype").to_owned());
    if !is_as_stored(real) {
        compare("bands", info.n_bands.to_string(), real.facts["bands"].to_string());
    }
    compare(
        "geotransform",
        info.geotransform.map(|g| list(&g.0)).unwrap_or_default(),
        floats(&real.facts["geotransform"]).unwrap_or_default(),
    );
    let nodata = match &real.facts["nodata"] {
        Value::Null => None,
        Value::String(text) => Some(text.parse::<f64>().unwrap()),
        number => number.as_f64(),
    };
    let number = |v: Option<f64>| v.map(|v| format!("{v:.9e}")).unwrap_or_default();
    compare("nodata", number(info.nodata.map(|n| n.as_f64())), number(nodata));
    // PNG and JPEG are one stream: they have no stored blocks, and GDAL's levels of a JPEG are made while decoding.
    if info.format.ends_with("tiff") {
        let block = format!("[{},{}]", base.block_width, base.block_height);
        compare("block", block, real.facts["block"].to_string());
        let mut stored: Vec<_> = info.levels[1..].iter().map(|l| [l.width, l.height]).collect();
        let mut known: Vec<[u64; 2]> = serde_json::from_value(real.facts["overviews"].clone()).unwrap_or_default();
        stored.sort_unstable();
        known.sort_unstable();
        compare("overviews", format!("{stored:?}"), format!("{known:?}"));
    }
    found
}

/// Files in which something differs from GDAL, and why.
const KNOWN_DIFFERENCES: [(&str, &str); 11] = [
    // Georeferencing in a file beside the raster, which is not among the files. The next test puts one there.
    ("data/byte_nogeoref.tif", "geotransform"),
    ("gtiff/projection_from_esri_xml.tif", "geotransform"),
    ("data/png/test.png", "geotransform"),
    ("test_gdal_raster_tile_paeth.jpg", "geotransform"),
    // One strip holds the whole image. libtiff pretends that it is several strips of 8 KiB; here a block is what the
    // file stores, unless the strip is large.
    ("data/one_strip_nobytecount.tif", "block"),
    ("data/rgbsmall_cmyk.tif", "block"),
    ("data/slim_g4.tif", "block"),
    ("data/tif_webp_huge_single_strip.tif", "block"),
    // Compressed, and cut here: the strip is large.
    ("MS-FS/IMG_NED_R1C1.TIF", "block"),
    ("MS-FS/IMG_RGB_R1C1.TIF", "block"),
    ("gdrivers/data/utm.tif", "block"),
];

#[test]
fn what_files_say_of_themselves_is_what_gdal_says() {
    let Some(dir) = data_dir() else { return };
    let (mut n_files, mut n_known, mut failures) = (0, 0, Vec::new());
    for real in real_files(&dir).iter().filter(|real| matches!(real.expect.as_str(), "exact" | "close")) {
        let Ok(dataset) = Dataset::open(&real.path) else { continue };
        n_files += 1;
        for difference in differences(&dataset, real) {
            let mut known = KNOWN_DIFFERENCES.iter();
            if known.any(|(name, fact)| real.name.ends_with(name) && difference.starts_with(fact)) {
                n_known += 1;
            } else {
                failures.push(format!("{}: {difference}", real.name));
            }
        }
    }
    println!("{n_files} files compared, {} differences beside the {n_known} known", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(n_files > 450, "only {n_files} files could be opened");
    assert_eq!(n_known, KNOWN_DIFFERENCES.len(), "a known difference is none any more");
}

#[test]
fn files_that_lie_elsewhere_are_placed_by_a_file_beside_them() {
    let Some(dir) = data_dir() else { return };
    let reals = real_files(&dir);
    let elsewhere = KNOWN_DIFFERENCES.iter().filter(|(_, fact)| *fact == "geotransform");
    for ((name, _), sidecar) in elsewhere.zip(["tifw", "tfw", "pgw", "jpg.aux.xml"]) {
        let real = reals.iter().find(|real| real.name.ends_with(name)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join(real.path.file_name().unwrap());
        std::fs::copy(&real.path, &copy).unwrap();
        let g: [f64; 6] = serde_json::from_value(real.facts["geotransform"].clone()).unwrap();
        let text = if sidecar.ends_with("xml") {
            format!("<PAMDataset><GeoTransform>{}</GeoTransform></PAMDataset>", g.map(|n| n.to_string()).join(", "))
        } else {
            let centre = [g[0] + 0.5 * (g[1] + g[2]), g[3] + 0.5 * (g[4] + g[5])];
            [g[1], g[4], g[2], g[5], centre[0], centre[1]].map(|n| n.to_string()).join("\n")
        };
        std::fs::write(copy.with_extension(sidecar), text).unwrap();
        let left = differences(&Dataset::open(&copy).unwrap(), real);
        assert!(left.is_empty(), "{name}: {left:?}");
    }
}

/// Damaged streams for which libjpeg warns and makes up pixels. A block that failed is an error here.
const DAMAGED: [&str; 12] = [
    "id_000961",
    "id_001458",
    "id_002005",
    "id_004851",
    "dc-predictor-overflow.jpg",
    "40bb78b1",
    "7997b6b2",
    "8546907d",
    "a17806f3",
    "f6b4389c",
    "fd44dc63",
    "subtract-with-overflow.jpg",
];

fn is_among(names: &[&str], real: &Real) -> bool {
    names.iter().any(|name| real.name.contains(name))
}

#[test]
fn samples_of_12_bits_are_those_of_other_decoders() {
    let Some(dir) = data_dir() else { return };
    let real = real_files(&dir).into_iter().find(|real| real.name.ends_with("mandrilmini_12bitjpeg.tif")).unwrap();
    let dataset = Dataset::open(&real.path).unwrap();
    let info = dataset.info();
    assert_eq!((info.sample, info.n_bits, info.n_bands), (SampleType::U16, Some(12), 3));
    let bytes = read_all(&dataset, Interleave::Pixel).unwrap();
    let samples: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|bytes| u16::from_ne_bytes(*bytes)).collect();
    // What libjpeg-turbo 3 gives.
    let known = [
        ((0, 0), [1543, 1463, 612]),
        ((63, 0), [1770, 1992, 1277]),
        ((20, 31), [1877, 2876, 3177]),
        ((32, 32), [3556, 1580, 1177]),
        ((63, 63), [1704, 2118, 1970]),
        ((10, 50), [2389, 2493, 1484]),
    ];
    for ((x, y), known) in known {
        let pixel = &samples[(y * 64 + x) * 3..][..3];
        assert!(
            pixel.iter().zip(known).all(|(ours, known)| ours.abs_diff(known) <= 4),
            "({x}, {y}): {pixel:?}, {known:?}"
        );
    }
    for (band, known) in [2164.558, 2213.941, 1796.710].into_iter().enumerate() {
        let mean = samples.iter().skip(band).step_by(3).map(|value| f64::from(*value)).sum::<f64>() / 4096.0;
        assert!((mean - known).abs() < 0.5, "band {band}: {mean}, {known}");
    }
}

/// A picture of 20000 x 20000 pixels, all of which the tests do not hold at once.
const LARGE: &str = "bug1488.tif";

#[test]
fn a_picture_that_is_too_large_to_hold_is_read_by_the_block() {
    let Some(dir) = data_dir() else { return };
    let real = real_files(&dir).into_iter().find(|real| real.name.ends_with(LARGE)).unwrap();
    let dataset = Dataset::open(&real.path).unwrap();
    let level = dataset.levels()[0];
    for (col, row) in [(0, 0), (level.cols() / 2, level.rows() / 2), (level.cols() - 1, level.rows() - 1)] {
        let block = dataset.block((0, col, row)).unwrap();
        let first = &block.bytes()[..3];
        assert!(block.bytes().chunks(3).all(|pixel| pixel == first), "the picture is of one colour");
    }
}

/// Halved chroma at the right and bottom edge of odd sizes: libjpeg repeats the last column and row, this decoder
/// goes on into the padding of the stream. In pictures of a few pixels that is most of them.
const EDGES: [&str; 5] =
    ["8a9cc8eeed66aeb423a91c44111d9450.jpg", "jpg-size-2x2.jpg", "jpg-size-4x4.jpg", "jpg-size-8x8.jpg", "pngbar.jpg"];

/// All pixels of a file as Debian's GDAL reads them, pixel-interleaved; `None` when GDAL is not installed or refuses.
fn second_reader(real: &Real) -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("pixels");
    let translated = Command::new("gdal_translate")
        .args(["-q", "-of", "ENVI", "-co", "INTERLEAVE=BIP"])
        .args([&real.path, &raw])
        .output()
        .ok()?;
    translated.status.success().then(|| std::fs::read(&raw).unwrap())
}

#[test]
fn close_files_are_within_four_steps_of_a_second_reader() {
    let Some(dir) = data_dir() else { return };
    let installed = Command::new("gdal_translate").arg("--version").output().is_ok();
    if !installed {
        assert!(std::env::var_os("TILEKEEP_REQUIRE_PEERS").is_none(), "gdal_translate is not installed");
        eprintln!("SKIPPED: gdal_translate is not installed");
        return;
    }
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut far = Vec::new();
    for real in real_files(&dir).iter().filter(|real| real.expect == "close" && !real.name.ends_with(LARGE)) {
        let count = counts.entry(real.codec()).or_default();
        let ours = match Dataset::open(&real.path).and_then(|d| read_all(&d, Interleave::Pixel)) {
            Ok(pixels) => pixels,
            Err(error) => {
                let by_kind =
                    if error.kind() == ErrorKind::Unsupported { &mut count.unsupported } else { &mut count.refused };
                *by_kind += 1;
                println!("not read: {}: {error}", real.name);
                if error.kind() != ErrorKind::Unsupported && !is_among(&DAMAGED, real) {
                    far.push(format!("{}: {error}", real.name));
                }
                continue;
            }
        };
        let Some(theirs) = second_reader(real) else {
            println!("the second reader refuses: {}", real.name);
            continue;
        };
        let near = ours.iter().zip(&theirs).filter(|(a, b)| a.abs_diff(**b) <= 4).count();
        if ours.len() == theirs.len() && near as f64 >= 0.999 * ours.len() as f64 {
            count.read += 1;
        } else {
            count.wrong += 1;
            let line = format!("{}: {near} of {} samples near ({} theirs)", real.name, ours.len(), theirs.len());
            println!("far: {line}");
            if !is_among(&EDGES, real) {
                far.push(line);
            }
        }
    }
    print("close", &counts);
    assert!(far.is_empty(), "{}", far.join("\n"));
    assert!(counts["jpeg"].read > 30 && counts["tiff jpeg"].read > 15, "hardly a file was compared");
}
