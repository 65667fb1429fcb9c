//! Plans: which styles are the same, which are not, and what is taken from a dataset.

use proptest::prelude::*;

use crate::{
    Bound, Composite, Dataset, Encoding, ErrorKind, MemorySource, Nodata, OpenOptions, Palette, SampleType, Style,
    StyleBand, StyleNodata, TileRequest,
};

fn source(n_bands: u32, samples: Vec<u16>) -> MemorySource {
    let n_pixels = samples.len() as u32 / n_bands;
    let bytes = samples.iter().flat_map(|sample| sample.to_ne_bytes()).collect();
    MemorySource::new(n_pixels, 1, n_bands, SampleType::U16, (64, 1), bytes).unwrap()
}

fn dataset(n_bands: u32, samples: Vec<u16>) -> Dataset {
    Dataset::from_source(source(n_bands, samples), &OpenOptions::default()).unwrap()
}

fn hash(dataset: &Dataset, style: &str) -> u128 {
    Style::parse(style).and_then(|style| style.resolve(dataset, 0)).unwrap_or_else(|e| panic!("{style}: {e}")).hash()
}

fn pixels(dataset: &Dataset, style: &str) -> Vec<u8> {
    let request = TileRequest::new(0, 0, 0).style(Style::parse(style).unwrap());
    dataset.read_tile(&request).unwrap_or_else(|e| panic!("{style}: {e}")).bytes.to_vec()
}

#[test]
fn spellings_of_one_picture_have_one_hash() {
    let dataset = dataset(3, (0..300).collect());
    let wanted = hash(&dataset, r##"{"bands": [{"band": 1, "min": 0, "max": 297, "palette": ["#000", "#fff"]}]}"##);
    for same in [
        r##"{"palette": ["#000", "#fff"], "max": 297, "min": 0, "band": 1}"##,
        r##"{"bands": [{"palette": "white", "max": "297.0", "min": "0", "band": "1"}]}"##,
        r##"{"bands": [{"band": "red", "min": -0.0, "max": 2.97e2, "palette": ["black", "#FFFFFFFF"]}], "axis": null}"##,
        r##"{"expression": " ( b1 ) ", "min": 0.0, "max": "max", "scheme": "linear", "gamma": 1.0}"##,
        r##"{"bands": [{"band": 1, "min": "min", "max": "auto", "palette": [[0, 0, 0], [1, 1, 1, 1]], "clamp": true}]}"##,
        r##"{"band": 1, "min": "auto", "composite": "lighten", "nodata": "nan", "frame": 0, "resampling": "nearest"}"##,
        r##"{"bands": [{"band": 1, "min": 0, "max": 297}, {"band": 1, "min": 0, "max": 297}], "dtype": "uint8"}"##,
    ] {
        assert_eq!(hash(&dataset, same), wanted, "{same}");
    }
    let red_first = r#"{"bands": [{"band": 1, "palette": "R"}, {"band": 3, "palette": "B"}]}"#;
    let blue_first = r#"{"bands": [{"band": 3, "palette": "B"}, {"band": 1, "palette": "R"}]}"#;
    assert_eq!(hash(&dataset, red_first), hash(&dataset, blue_first));
    let built = Style::new([StyleBand::new(1).range(0.0, Bound::Max(0.0)).palette(Palette::named("white").unwrap())]);
    assert_eq!(built.resolve(&dataset, 0).unwrap().hash(), wanted);
}

#[test]
fn a_plan_keeps_its_hash_from_one_process_to_the_next() {
    // Another number here means that tiles in stores are no longer found: then the version of the encoding was raised.
    let dataset = dataset(1, vec![1, 2, 3]);
    assert_eq!(hash(&dataset, r#"{"min": 1, "max": 3}"#), 58_963_065_832_579_982_104_285_297_434_797_851_504);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pictures_that_differ_have_hashes_that_differ(a in any_style(), b in any_style()) {
        let dataset = dataset(3, (0..300).map(|i| (i * 191) % 1000).collect());
        let (styles, same) = ((Style::parse(&a).unwrap(), Style::parse(&b).unwrap()), a == b);
        let hashes = (styles.0.resolve(&dataset, 0).unwrap().hash(), styles.1.resolve(&dataset, 0).unwrap().hash());
        prop_assert!(!same || hashes.0 == hashes.1);
        let (first, second) = (pixels(&dataset, &a), pixels(&dataset, &b));
        prop_assert!(first == second || hashes.0 != hashes.1, "{} and {}", a, b);
    }
}

/// Styles of which many are close to one another.
fn any_style() -> impl Strategy<Value = String> {
    let palette =
        prop::sample::select(vec!["\"R\"", "\"#f00\"", "[\"#100\", \"red\"]", "\"viridis\"", "\"viridis_r\""]);
    let nodata = prop::sample::select(vec!["null", "3", "3.5", "\"auto\""]);
    let scheme = prop::sample::select(vec!["linear", "discrete"]);
    (1u32..4, 0u32..3, 900u32..903, palette, nodata, scheme, any::<bool>(), 0u32..5).prop_map(
        |(band, min, max, palette, nodata, scheme, clamp, axis)| {
            let axis = if axis < 4 { axis.to_string() } else { "null".to_owned() };
            format!(
                r#"{{"band": {band}, "min": {min}, "max": {max}, "palette": {palette}, "nodata": {nodata},
                    "scheme": "{scheme}", "clamp": {clamp}, "axis": {axis}}}"#
            )
        },
    )
}

#[test]
fn ranges_are_those_of_the_samples_without_nodata() {
    let mut source = source(1, (0..=800).chain([65_535; 200]).collect());
    source.info_mut().nodata = Some(Nodata::Float(65_535.0));
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    for (range, numbers) in [
        (r#""max": "max""#, r#""min": 0, "max": 800"#),
        (r#""min": "min", "max": "auto", "nodata": 800"#, r#""min": 0, "max": 799, "nodata": 800"#),
        (r#""min": "full", "max": "full""#, r#""min": 0, "max": 65535"#),
        (r#""min": "max", "max": "min""#, r#""min": 800, "max": 0"#),
        (r#""min": "auto:0.1", "max": "auto:0.2""#, r#""min": 80, "max": 640"#),
        (
            r#""min": "min", "max": "max", "compat": "large_image""#,
            r#""min": 0, "max": 65535, "compat": "large_image""#,
        ),
    ] {
        let (range, numbers) = (format!("{{{range}}}"), format!("{{{numbers}}}"));
        assert_eq!(hash(&dataset, &range), hash(&dataset, &numbers), "{range}");
    }
    let loads = dataset.stats().loads;
    hash(&dataset.clone(), r#"{"min": "auto:0.3"}"#);
    assert_eq!(dataset.stats().loads, loads, "what is known of a band is known to all clones");
}

#[test]
fn pictures_of_eight_bits_are_not_stretched() {
    let dataset = dataset(2, vec![10, 20, 200, 100]);
    assert_eq!(hash(&dataset, r#"{"band": 1}"#), hash(&dataset, r#"{"band": 1, "min": 0, "max": 255}"#));
    let beyond = self::dataset(2, vec![10, 20, 200, 300]);
    assert_eq!(hash(&beyond, r#"{"band": 1}"#), hash(&beyond, r#"{"band": 1, "min": 10, "max": 200}"#));
}

#[test]
fn the_numbers_of_a_range_are_read_to_the_last_bit() {
    let ends: [f64; 3] = [132.0172472394173, 105.04665875299665, 1.7976931348623157e-7];
    for end in ends {
        let style = Style::parse(&format!(r#"{{"min": {end:?}}}"#)).unwrap();
        let wanted = Style::new([StyleBand { min: Bound::Number(end), ..StyleBand::default() }]);
        assert_eq!(style.bands, wanted.bands, "{end:?}");
    }
}

#[test]
fn a_range_of_opacity_that_no_band_has_ends_where_it_says() {
    let dataset = dataset(1, vec![10, 20, 300, 400]);
    for (range, numbers) in [
        (r#""min": "max", "max": "full""#, r#""min": 65535, "max": 65535"#),
        (r#""min": "min", "max": "min""#, r#""min": 0, "max": 0"#),
        (r#""min": "min:0.1", "max": "max""#, r#""min": 0, "max": 65535"#),
    ] {
        let style = |range| format!(r#"{{"band": "alpha", {range}, "compat": "large_image"}}"#);
        assert_eq!(hash(&dataset, &style(range)), hash(&dataset, &style(numbers)), "{range}");
    }
}

#[test]
fn palettes_by_value_are_exact_stepped_or_mixed() {
    let dataset = dataset(1, vec![0, 5, 10, 15, 20, 25]);
    let of =
        |more: &str| pixels(&dataset, &format!(r#"{{"palette": {{"20": [0, 0, 200], "10": [100, 0, 0, 50]}}{more}}}"#));
    let (red, blue, none) = ([100, 0, 0, 50], [0, 0, 200, 255], [0; 4]);
    assert_eq!(of(""), [none, none, red, none, blue, none].concat());
    assert_eq!(of(r#", "scheme": "interval""#), [red, red, red, red, blue, blue].concat());
    assert_eq!(of(r#", "scheme": "interval", "clamp": false"#), [none, none, red, red, blue, blue].concat());
    assert_eq!(of(r#", "scheme": "linear""#), [red, red, red, [50, 0, 100, 152], blue, blue].concat());
    assert_eq!(
        of(r#", "scheme": "linear", "clamp": false"#),
        [none, none, red, [50, 0, 100, 152], blue, none].concat()
    );
}

#[test]
fn the_colour_table_is_taken_by_index() {
    let mut source = source(1, vec![0, 1, 2, 3]);
    source.info_mut().colors = vec![crate::ColorInterpretation::Palette];
    source.info_mut().color_table = Some(vec![[1, 2, 3, 255], [79, 80, 81, 255], [9, 8, 7, 128]]);
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    let wanted = [1, 2, 3, 255, 79, 80, 81, 255, 9, 8, 7, 128, 0, 0, 0, 0];
    assert_eq!(pixels(&dataset, r#"{"palette": "colortable"}"#), wanted);
    assert_eq!(pixels(&dataset, "null"), wanted);
}

#[test]
fn expressions_are_masked_where_a_band_is_nodata() {
    let mut source = source(2, vec![1, 3, 9, 9, 0, 4, 0, 0]);
    source.info_mut().nodata = Some(Nodata::Float(9.0));
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    let ndvi = r#"{"expression": "(b2-b1)/(b2+b1)", "min": -1, "max": 1, "nodata": "auto", "gamma": 1}"#;
    assert_eq!(
        pixels(&dataset, ndvi),
        [[191, 191, 191, 255], [0; 4], [255; 4], [0; 4]].concat(),
        "0 / 0 is nothing either"
    );
    let ranged = r#"{"expression": "(b2-b1)/(b2+b1)", "nodata": "auto"}"#;
    assert_eq!(pixels(&dataset, ranged), [[0, 0, 0, 255], [0; 4], [255; 4], [0; 4]].concat());
}

#[test]
fn nodata_is_transparent_also_in_the_default_style() {
    let mut source = source(1, vec![0, 7, 300]);
    source.info_mut().nodata = Some(Nodata::Float(7.0));
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    assert_eq!(pixels(&dataset, "null"), [[0, 0, 0, 255], [0; 4], [255; 4]].concat());
    let compat = r#"{"nodata": 7, "min": 0, "max": 300, "compat": "large_image"}"#;
    assert_eq!(pixels(&dataset, compat), [0, 0, 255], "one band has no opacity there");
}

#[test]
fn what_a_dataset_lacks_is_named() {
    let dataset = dataset(2, vec![1, 2, 3, 4]);
    for (style, said) in [
        (r#"{"band": 3}"#, "bands[0].band: band 3; the bands are numbered 1 to 2"),
        (r#"{"bands": [{}, {"expression": "b1 / b3"}]}"#, "bands[1].expression: band 3; the bands are numbered 1 to 2"),
        (r#"{"frame": 1}"#, "bands[0].frame: frame 1; the frames are numbered 0 to 0"),
        (r#"{"framedelta": -1}"#, "bands[0].framedelta: frame -1; the frames are numbered 0 to 0"),
        (r#"{"palette": "colortable"}"#, "bands[0].palette: the dataset has no colour table"),
        (r#"{"scheme": "interval"}"#, "bands[0].scheme: interval takes a palette by value"),
        (r##"{"palette": {"1": "#fff"}, "max": 3}"##, "bands[0].min, max: a palette by value"),
        (r#"{"min": -1e308, "max": 1e308}"#, "bands[0].max: from"),
    ] {
        let error = Style::parse(style).unwrap().resolve(&dataset, 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{style}");
        assert!(error.message().starts_with(said), "{style}: {error}");
    }
    let gamma = Style::new([StyleBand::new(1).gamma(f64::NAN)]);
    assert!(gamma.resolve(&dataset, 0).is_err());
    let part = Style::new([StyleBand::new(1).range(Bound::Auto(2.0), 3.0)]);
    assert!(part.resolve(&dataset, 0).is_err());
}

#[test]
fn an_encoded_tile_holds_the_picture_of_the_raw_one() {
    let dataset = dataset(3, (0..300).collect());
    let style = Style::new([
        StyleBand::new(1).palette(Palette::named("R").unwrap()),
        StyleBand::new(2).palette(Palette::named("turbo").unwrap()).nodata(StyleNodata::Value(4.0)),
        StyleBand::new(3).palette(Palette::named("white").unwrap()).composite(Composite::Multiply),
    ]);
    let request = TileRequest::new(0, 0, 0).size(64, 1).style(style);
    let raw = dataset.read_tile(&request).unwrap();
    assert_eq!((raw.n_bands, raw.sample, raw.bytes.len()), (4, SampleType::U8, 64 * 4));
    let png = dataset.read_tile(&request.clone().encoding(Encoding::Png)).unwrap();
    let decoded =
        crate::source::open_reader(crate::sync::Arc::new(png.bytes.to_vec()), crate::Limits::default()).unwrap();
    let decoded = Dataset::from_source(decoded, &OpenOptions::default()).unwrap();
    assert_eq!(decoded.read_tile(&TileRequest::new(0, 0, 0)).unwrap().bytes, raw.bytes);
    let jpeg = dataset.read_tile(&request.clone().encoding(Encoding::jpeg(90))).unwrap();
    assert!(jpeg.bytes.starts_with(&[0xFF, 0xD8]));
    for wrong in [request.clone().bands([0]), request.clone().range(0.0, 1.0)] {
        assert_eq!(dataset.read_tile(&wrong).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    assert!(dataset.read_tile(&request.encoding(Encoding::jpeg(0))).is_err());
}

#[test]
fn what_has_few_colours_is_a_png_with_a_palette_of_the_same_pixels() {
    let samples = (0..=255).collect::<Vec<u8>>();
    let source = MemorySource::new(16, 16, 1, SampleType::U8, (16, 16), samples).unwrap();
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    for (style, has_palette) in [
        (r#"{"palette": "viridis", "min": 10, "max": 200}"#, true),
        (r#"{"palette": "magma", "min": 10, "max": 200, "nodata": 77, "clamp": false}"#, true),
        (r##"{"palette": {"3": "#12345678", "9": "red"}}"##, true),
        (r#"{"bands": [{"palette": "R", "min": 0, "max": 9}, {"palette": "viridis", "min": 9, "max": 90}]}"#, false),
        (r#"{"palette": "viridis", "min": 10, "max": 200, "axis": 1}"#, false),
    ] {
        let request = TileRequest::new(0, 0, 0).style(Style::parse(style).unwrap());
        let raw = dataset.read_tile(&request).unwrap();
        let file = dataset.read_tile(&request.encoding(Encoding::Png)).unwrap();
        assert_eq!((file.n_bands, file.sample), (raw.n_bands, raw.sample));
        let mut decoder = png::Decoder::new(std::io::Cursor::new(&file.bytes[..]));
        decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::ALPHA);
        let mut reader = decoder.read_info().unwrap();
        assert_eq!(reader.info().color_type == png::ColorType::Indexed, has_palette, "{style}");
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let bytes = reader.next_frame(&mut pixels).unwrap().buffer_size();
        let wanted: Vec<u8> = match raw.n_bands {
            1 => raw.bytes.iter().flat_map(|gray| [*gray, 255]).collect(),
            _ => raw.bytes.to_vec(),
        };
        assert_eq!(pixels[..bytes], wanted, "{style}");
    }
}

#[test]
fn a_tile_beyond_the_edge_is_transparent_there() {
    let dataset = dataset(3, (0..30).collect());
    let style = Style::parse(r#"{"band": 1, "min": -1, "max": 30}"#).unwrap();
    let request = TileRequest::new(0, 1, 0).size(8, 2).edge(crate::Edge::Pad).style(style);
    let tile = dataset.read_tile(&request).unwrap();
    assert_eq!((tile.width, tile.height), (8, 2));
    let opaque: Vec<bool> = tile.bytes.chunks_exact(4).map(|pixel| pixel[3] == 255).collect();
    assert_eq!(opaque, (0..16).map(|i| i < 2).collect::<Vec<_>>());
}

#[test]
fn an_empty_style_leaves_samples_as_they_are() {
    let dataset = dataset(3, (0..30).collect());
    let request = TileRequest::new(0, 0, 0);
    let plain = dataset.read_tile(&request).unwrap();
    assert_eq!(dataset.read_tile(&request.style(Style::unstyled())).unwrap(), plain);
}

#[test]
fn wide_tiles_are_made_in_parts_and_with_tables_alike() {
    // Enough pixels that tables are made, against few that are worked out one by one.
    let dataset = dataset(1, (0..70_000u32).map(|i| (i % 60_000) as u16).collect());
    let style = Style::parse(r#"{"palette": "viridis", "min": 100, "max": 50000, "nodata": 7}"#).unwrap();
    let plan = style.resolve(&dataset, 0).unwrap();
    let read = |x: u64, width: u64| {
        let window = crate::Window::new(x, 0, width, 1);
        let area = super::Area {
            level: 0,
            window: &window,
            resampling: crate::Resampling::Nearest,
            cache_use: crate::CacheUse::Normal,
        };
        let mut out = vec![0; width as usize * 4];
        plan.apply(&plan.read(&dataset, area).unwrap(), &mut out).unwrap();
        out
    };
    let before: Vec<u8> = (0..70_000).step_by(7000).flat_map(|x| read(x, 7000)).collect();
    assert!(plan.tables.get().is_none());
    assert_eq!(read(0, 70_000), before);
    assert!(plan.tables.get().is_some());
    assert_eq!(read(0, 7000), before[..28_000]);
}

#[test]
fn bytes_from_tables_are_those_that_are_worked_out() {
    let bytes: Vec<u8> = (0..40 * 30 * 3).map(|i| (i * 7 + i / 256) as u8).collect();
    let source = MemorySource::new(40, 30, 3, SampleType::U8, (40, 30), bytes.clone()).unwrap();
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    let layers = |of: &dyn Fn(u32, &str) -> String| {
        let bands: Vec<String> = [(3, "B"), (1, "R"), (2, "G")].iter().map(|(band, color)| of(*band, color)).collect();
        bands.join(", ")
    };
    let as_they_are =
        layers(&|band, color| format!(r#"{{"band": {band}, "palette": "{color}", "min": 0, "max": 255}}"#));
    for (bands, axis) in [
        (as_they_are.clone(), "null"),
        (as_they_are.clone(), "1"),
        // Apart, with nodata, with equal constants, over one another, and the same channel twice.
        (layers(&|band, color| format!(r#"{{"band": {band}, "palette": "{color}", "min": 9, "max": 200}}"#)), "null"),
        (layers(&|band, color| format!(r#"{{"band": {band}, "palette": "{color}", "max": 99, "nodata": 3}}"#)), "null"),
        (layers(&|band, _| format!(r##"{{"band": {band}, "palette": ["#102", "#1f2"], "max": 99}}"##)), "null"),
        (layers(&|band, _| format!(r#"{{"band": {band}, "palette": "viridis", "max": {}}}"#, 50 * band)), "2"),
        (layers(&|band, _| format!(r#"{{"band": {band}, "palette": "R", "min": {band}}}"#)), "null"),
    ] {
        let style = Style::parse(&format!(r#"{{"bands": [{bands}], "axis": {axis}}}"#)).unwrap();
        let draw = |y: u64, height: u64| {
            let plan = style.resolve(&dataset, 0).unwrap();
            let window = crate::Window::new(0, y, 40, height);
            let (resampling, cache_use) = (crate::Resampling::Nearest, crate::CacheUse::Normal);
            let area = super::Area { level: 0, window: &window, resampling, cache_use };
            let mut out = vec![0; 40 * height as usize * plan.n_channels() as usize];
            plan.apply(&plan.read(&dataset, area).unwrap(), &mut out).unwrap();
            assert_eq!(plan.tables.get().is_some(), height > 6);
            out
        };
        let plain: Vec<u8> = (0..30).step_by(2).flat_map(|y| draw(y, 2)).collect();
        assert_eq!(draw(0, 30), plain, "{bands}");
        if bands == as_they_are && axis == "null" {
            let wanted: Vec<u8> = bytes.chunks_exact(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect();
            assert_eq!(plain, wanted);
        }
    }
}
