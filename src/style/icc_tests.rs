//! Profiles: what they do to samples, and where they do nothing.

use std::borrow::Cow;

use moxcms::ColorProfile;
use png::{BitDepth, ColorType};

use crate::sample::{Sample, SampleType, with_sample};
use crate::sync::Arc;
use crate::{Dataset, Encoding, ErrorKind, Limits, OpenOptions, Result, Style, TileRequest};

/// A PNG of one row that carries a profile.
fn file(color: ColorType, depth: BitDepth, pixels: &[u8], profile: &[u8]) -> Vec<u8> {
    let n_pixels = pixels.len() / color.samples() / if depth == BitDepth::Sixteen { 2 } else { 1 };
    let mut info = png::Info::with_size(n_pixels as u32, 1);
    (info.color_type, info.bit_depth) = (color, depth);
    info.icc_profile = Some(Cow::Borrowed(profile));
    let mut bytes = Vec::new();
    let mut writer = png::Encoder::with_info(&mut bytes, info).unwrap().write_header().unwrap();
    writer.write_image_data(pixels).unwrap();
    writer.finish().unwrap();
    bytes
}

fn open(file: Vec<u8>) -> Dataset {
    let source = crate::source::open_reader(Arc::new(file), Limits::default()).unwrap();
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    assert!(dataset.info().blobs.iter().any(|name| name == "icc"));
    dataset
}

fn draw(dataset: &Dataset, style: &str) -> Result<Vec<f64>> {
    let (width, _) = (dataset.levels()[0].width as u32, ());
    let tile = dataset.read_tile(&TileRequest::new(0, 0, 0).size(width, 1).style(Style::parse(style)?))?;
    Ok(with_sample!(tile.sample, T => tile.bytes.chunks_exact(T::BYTES).map(|b| T::read(b).to_f64()).collect()))
}

fn hash(dataset: &Dataset, style: &str) -> u128 {
    Style::parse(style).and_then(|style| style.resolve(dataset, 0)).unwrap().hash()
}

/// Colours of which all channels differ, and greys.
fn colors() -> Vec<[f64; 3]> {
    let grey = (0..=16).map(|i| [f64::from(i) / 16.0; 3]);
    let steps = [0.0, 0.2, 0.35, 0.6, 0.85, 1.0];
    let mixed = (0..216).map(|i| [steps[i % 6], steps[i / 6 % 6], steps[i / 36]]);
    grey.chain(mixed).collect()
}

fn srgb_curve(linear: f64) -> f64 {
    let linear = linear.clamp(0.0, 1.0);
    if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

fn srgb_linear(value: f64) -> f64 {
    if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

/// What the published numbers of a colour space make of a colour in sRGB: its curve, and its primaries seen from sRGB.
fn converted(color: [f64; 3], curve: fn(f64) -> f64, matrix: [[f64; 3]; 3]) -> [f64; 3] {
    let linear = color.map(curve);
    matrix.map(|row| srgb_curve(row[0] * linear[0] + row[1] * linear[1] + row[2] * linear[2]))
}

const P3: [[f64; 3]; 3] =
    [[1.224_940, -0.224_940, 0.0], [-0.042_057, 1.042_057, 0.0], [-0.019_638, -0.078_636, 1.098_274]];
const ADOBE: [[f64; 3]; 3] = [[1.398_356, -0.398_356, 0.0], [0.0, 1.0, 0.0], [0.0, -0.042_929, 1.042_929]];

#[test]
fn colours_of_a_profile_come_out_as_srgb() {
    let adobe_curve: fn(f64) -> f64 = |value| value.powf(2.199_218_75);
    for (name, profile, curve, matrix) in [
        ("Display P3", ColorProfile::new_display_p3(), srgb_linear as fn(f64) -> f64, P3),
        ("Adobe RGB", ColorProfile::new_adobe_rgb(), adobe_curve, ADOBE),
    ] {
        let profile = profile.encode().unwrap();
        for (depth, full) in [(BitDepth::Eight, 255.0), (BitDepth::Sixteen, 65_535.0)] {
            for color in [ColorType::Rgb, ColorType::Rgba] {
                let mut pixels = Vec::new();
                for (i, [r, g, b]) in colors().into_iter().enumerate() {
                    for part in [r, g, b, (i % 4) as f64 / 3.0].into_iter().take(color.samples()) {
                        let sample = (part * full) as u16;
                        match depth {
                            BitDepth::Eight => pixels.push(sample as u8),
                            _ => pixels.extend(sample.to_be_bytes()),
                        }
                    }
                }
                let dataset = open(file(color, depth, &pixels, &profile));
                let style = r#"{"dtype": "source", "bands": [
                    {"band": 1, "min": 0, "max": "full", "palette": "R"},
                    {"band": 2, "min": 0, "max": "full", "palette": "G"},
                    {"band": 3, "min": 0, "max": "full", "palette": "B"}]}"#;
                let (got, plain) = (
                    draw(&dataset, style).unwrap(),
                    draw(&dataset, &style.replacen('{', r#"{"icc": false, "#, 1)).unwrap(),
                );
                let (mut greatest, mut sum) = (0.0_f64, 0.0);
                for ((got, plain), given) in got.chunks_exact(4).zip(plain.chunks_exact(4)).zip(colors()) {
                    let given = given.map(|part| (part * full).trunc() / full);
                    let wanted = converted(given, curve, matrix);
                    for channel in 0..3 {
                        let wanted = wanted[channel] * full;
                        // Steep near black, where a step of a table is more than one of the samples.
                        let near = full / 255.0 * 2.0;
                        assert!(
                            (got[channel] - wanted).abs() <= near,
                            "{name} {depth:?}: {given:?}: {got:?}, {wanted}"
                        );
                        greatest = greatest.max((got[channel] - plain[channel]).abs());
                        sum += got[channel] - wanted;
                    }
                }
                assert!(greatest > full / 20.0, "{name}: without the profile it is another picture");
                let darker = sum / (3 * colors().len()) as f64 / (full / 255.0);
                assert!(darker.abs() < 0.1, "{name} {depth:?}: {darker} steps off on average");
            }
        }
    }
}

#[test]
fn greys_of_a_profile_come_out_as_srgb() {
    let profile = ColorProfile::new_gray_with_gamma(1.8).encode().unwrap();
    let eight: Vec<u8> = (0..=255).collect();
    let sixteen: Vec<u8> = (0..=255u16).flat_map(|i| (i * 257).to_be_bytes()).collect();
    for (depth, pixels, full) in [(BitDepth::Eight, eight, 255.0), (BitDepth::Sixteen, sixteen, 65_535.0)] {
        let dataset = open(file(ColorType::Grayscale, depth, &pixels, &profile));
        let got = draw(&dataset, r#"{"min": 0, "max": "full", "dtype": "source"}"#).unwrap();
        let wanted = |i: usize| srgb_curve((i as f64 / 255.0).powf(1.8)) * full;
        for (i, got) in got.iter().enumerate().skip(8) {
            assert!((got - wanted(i)).abs() <= full / 255.0 * 1.5, "{i}: {got} instead of {}", wanted(i));
        }
        let sum: f64 = got.iter().enumerate().map(|(i, got)| got - wanted(i)).sum();
        assert!((sum / 256.0).abs() < full / 255.0 * 0.1, "{depth:?}: they are {sum} off, of 256 together");
    }
}

#[test]
fn a_profile_comes_before_ranges_and_after_the_nodata_of_the_file() {
    let profile = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
    let dataset = open(file(ColorType::Grayscale, BitDepth::Sixteen, &[0, 0, 32, 0, 128, 0], &profile));
    let middle = |value: f64| srgb_curve(value / 65_535.0) * 65_535.0;
    let ends = (middle(0.0), middle(f64::from(128 << 8)));
    let got = draw(&dataset, r#"{"min": "min", "max": "max"}"#).unwrap();
    let wanted = (middle(f64::from(32 << 8)) - ends.0) / (ends.1 - ends.0) * 255.0;
    assert_eq!((got[0], got[2]), (0.0, 255.0));
    assert!((got[1] - wanted).abs() < 2.0, "{got:?}, {wanted}");

    // What is transparent in a PNG is so by its stored colour.
    let mut info = png::Info::with_size(3, 1);
    (info.color_type, info.bit_depth) = (ColorType::Grayscale, BitDepth::Eight);
    (info.icc_profile, info.trns) = (Some(Cow::Borrowed(&profile[..])), Some(Cow::Borrowed(&[0, 77][..])));
    let mut bytes = Vec::new();
    let mut writer = png::Encoder::with_info(&mut bytes, info).unwrap().write_header().unwrap();
    writer.write_image_data(&[10, 77, 200]).unwrap();
    writer.finish().unwrap();
    let dataset = open(bytes);
    let got = draw(&dataset, r#"{"min": 0, "max": 255, "nodata": "auto"}"#).unwrap();
    let opacity: Vec<f64> = got.chunks_exact(4).map(|pixel| pixel[3]).collect();
    assert_eq!(opacity, [255.0, 0.0, 255.0]);
    assert!(got[8] > 220.0, "and the others are converted: {got:?}");
}

#[test]
fn a_profile_is_part_of_the_plan_where_it_changes_something() {
    let pixels = [200, 30, 40, 0, 0, 90];
    let of = |profile: ColorProfile| open(file(ColorType::Rgb, BitDepth::Eight, &pixels, &profile.encode().unwrap()));
    let (p3, adobe, srgb) =
        (of(ColorProfile::new_display_p3()), of(ColorProfile::new_adobe_rgb()), of(ColorProfile::new_srgb()));
    let style = |icc: &str| format!(r#"{{"icc": {icc}, "bands": [{{"band": 2, "min": 0, "max": 255}}]}}"#);
    let hashes = [hash(&p3, &style("true")), hash(&adobe, &style("true")), hash(&p3, &style("false"))];
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
    for same in ["null", "\"perceptual\"", "\"Saturation\""] {
        assert_eq!(hash(&p3, &style(same)), hashes[0], "{same}");
    }
    // sRGB as sRGB, and opacity that no band has, are as without.
    assert_eq!(hash(&srgb, &style("true")), hashes[2]);
    let opacity = |icc| format!(r#"{{"icc": {icc}, "bands": [{{"band": "alpha", "min": 0, "max": 255}}]}}"#);
    assert_eq!(hash(&p3, &opacity("true")), hash(&p3, &opacity("false")));
    // One band of a picture has the colours of all three behind it.
    let one = draw(&p3, r#"{"band": 1, "min": 0, "max": 255, "axis": 0}"#).unwrap();
    let wanted = converted([200.0, 30.0, 40.0].map(|sample| sample / 255.0), srgb_linear, P3)[0] * 255.0;
    assert!((one[0] - wanted).abs() < 2.0, "{one:?}, {wanted}");
}

#[test]
fn a_stored_file_is_handed_out_only_where_no_profile_was_asked_for() {
    let pixels = [200, 30, 40, 0, 200, 90];
    let profile = ColorProfile::new_display_p3().encode().unwrap();
    let dataset = open(file(ColorType::Rgb, BitDepth::Eight, &pixels, &profile));
    let request = TileRequest::new(0, 0, 0).size(2, 1).encoding(Encoding::Png);
    let decoded = |request: &TileRequest| {
        let bytes = dataset.read_tile(request).unwrap().bytes.to_vec();
        let source = crate::source::open_reader(Arc::new(bytes), Limits::default()).unwrap();
        let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
        let tile = dataset.read_tile(&TileRequest::new(0, 0, 0)).unwrap();
        (tile.n_bands, tile.bytes.to_vec())
    };
    assert_eq!(decoded(&request), (3, pixels.to_vec()));
    for plain in ["{}", r#"{"icc": false}"#] {
        assert_eq!(decoded(&request.clone().style(Style::parse(plain).unwrap())), (3, pixels.to_vec()), "{plain}");
    }
    let (n_bands, colors) = decoded(&request.style(Style::parse(r#"{"icc": true}"#).unwrap()));
    assert_eq!(n_bands, 4);
    for (got, given) in colors.chunks_exact(4).zip(pixels.chunks_exact(3)) {
        let wanted = converted([0, 1, 2].map(|channel| f64::from(given[channel]) / 255.0), srgb_linear, P3);
        for channel in 0..3 {
            assert!((f64::from(got[channel]) - wanted[channel] * 255.0).abs() < 2.0, "{got:?}, {wanted:?}");
        }
        assert_eq!(got[3], 255);
    }
}

#[test]
fn a_profile_that_cannot_be_applied_is_an_error_for_who_asks_for_it() {
    let gray = ColorProfile::new_gray_with_gamma(2.2).encode().unwrap();
    let mut cut = ColorProfile::new_display_p3().encode().unwrap();
    cut.truncate(200);
    let rgb = [1, 2, 3, 200, 100, 50];
    for (color, pixels, profile, kind) in [
        (ColorType::Rgb, &rgb[..], &b"no profile at all"[..], ErrorKind::Corrupt),
        (ColorType::Rgb, &rgb, &cut, ErrorKind::Corrupt),
        (ColorType::Rgb, &rgb, &gray, ErrorKind::Unsupported),
        (ColorType::Grayscale, &[7; 4], &ColorProfile::new_srgb().encode().unwrap(), ErrorKind::Unsupported),
    ] {
        let dataset = open(file(color, BitDepth::Eight, pixels, profile));
        let error = draw(&dataset, r#"{"icc": true, "min": 0, "max": 255}"#).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().starts_with("icc: "), "{error}");
        let given = r#"{"min": 0, "max": 255}"#;
        assert_eq!(
            draw(&dataset, given).unwrap(),
            draw(&dataset, &given.replacen('{', r#"{"icc": false, "#, 1)).unwrap()
        );
    }
}

#[test]
fn a_damaged_profile_is_applied_or_refused() {
    let profile = ColorProfile::new_display_p3().encode().unwrap();
    let mut seed = 1_u32;
    for _ in 0..400 {
        let mut damaged = profile.clone();
        for _ in 0..3 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (seed >> 8) as usize % damaged.len();
            damaged[at] = seed as u8;
        }
        let dataset = open(file(ColorType::Rgb, BitDepth::Eight, &[1, 2, 3, 200, 100, 50], &damaged));
        if let Err(error) = draw(&dataset, r#"{"icc": true, "min": 0, "max": 255}"#) {
            assert!(error.message().starts_with("icc: "), "{error}");
        }
        assert_eq!(dataset.info().sample, SampleType::U8);
    }
}
