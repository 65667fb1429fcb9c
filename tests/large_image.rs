//! Styles beside large_image's: the same styles over the same pixels, sample for sample.
//!
//! `TILEKEEP_PYTHON` names a Python that has large_image with its sources `pil`, `tifffile` and `rasterio`.
//! `tests/run.sh` makes one.

#[path = "common/mod.rs"]
mod common;
#[path = "large_image/peer.rs"]
mod peer;
#[path = "large_image/styles.rs"]
mod styles;
#[path = "common/tiff.rs"]
mod tiff;

use peer::{Array, Peer};
use serde_json::{Value, json};
use styles::{Random, Subject, generated, picked, real, style_for, ways_apart, write};
use tiff::tiff_writer::{Geo, Image, Kind};
use tilekeep::{Dataset, Result, SampleType, Style, Tile, TileRequest};

const N_STYLES: usize = 500;

/// The picture of the whole dataset.
fn draw(dataset: &Dataset, style: &Value) -> Result<Tile> {
    let level = dataset.levels()[0];
    let request = TileRequest::new(0, 0, 0).size(level.width as u32, level.height as u32);
    dataset.read_tile(&request.style(Style::parse(&style.to_string())?))
}

fn with(style: &Value, key: &str, value: &str) -> Value {
    let mut style = style.clone();
    style[key] = json!(value);
    style
}

/// What 8 or 16 bits hold of numbers that go to 255; NaN is 0.
fn clipped(number: f64, sample: SampleType, wide: bool) -> f64 {
    let round = |number: f64| if wide { number } else { f64::from(number as f32) };
    match sample {
        SampleType::U8 => f64::from(number as u8),
        _ => f64::from(round(round(number * 65_535.0) / 255.0) as u16),
    }
}

fn same(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan()
}

/// Whether two pictures have the same samples; 0 has no sign.
fn is_same_picture(a: &Tile, b: &Tile) -> bool {
    let shape = |tile: &Tile| (tile.width, tile.height, tile.n_bands, tile.sample);
    let [of_a, of_b] = [a, b].map(|tile| styles::numbers(tile.sample, &tile.bytes));
    shape(a) == shape(b) && of_a.len() == of_b.len() && of_a.into_iter().zip(of_b).all(|(a, b)| same(a, b))
}

/// The first sample where `tile` is not what large_image makes of it, if there is one.
fn difference(tile: &Tile, made: &Array, plain: &Array) -> Option<String> {
    let shape = [tile.height as usize, tile.width as usize, tile.n_bands as usize];
    if shape != made.shape {
        return Some(format!("{shape:?} instead of {:?}", made.shape));
    }
    let (wide, ours) = (plain.dtype == "float64", styles::numbers(tile.sample, &tile.bytes));
    let (made_numbers, plain_numbers) = (made.numbers(), plain.numbers());
    let same_type = styles::sample_of(&made.dtype) == Some(tile.sample);
    let wanted = |at: usize| {
        let plain: f64 = plain_numbers[at];
        match tile.sample {
            SampleType::F32 => f64::from(made_numbers[at] as f32),
            // What does not fit comes out of numpy's cast as it may; here it is clipped, as NaN is 0.
            SampleType::U8 | SampleType::U16 if same_type => {
                let top = if tile.sample == SampleType::U8 { 256.0 } else { 65_536.0 * 255.0 / 65_535.0 };
                let fits = plain > -1.0 && plain < top * (1.0 - 1e-6);
                if fits && plain >= 0.0 { made_numbers[at] } else { clipped(plain, tile.sample, wide) }
            }
            // Numbers that were not turned into 8 bits yet.
            _ => clipped(plain, tile.sample, wide),
        }
    };
    let at = (0..ours.len()).find(|at| !same(ours[*at], wanted(*at)))?;
    Some(format!("sample {at}: {} instead of {} (from {})", ours[at], wanted(at), plain_numbers[at]))
}

/// Where the picture with numbers that are not cast is not that of large_image, to the last bit of 32-bit floats.
fn float_difference(tile: &Tile, plain: &Array) -> Option<String> {
    let shape = [tile.height as usize, tile.width as usize, tile.n_bands as usize];
    if shape != plain.shape {
        return Some(format!("floats: {shape:?} instead of {:?}", plain.shape));
    }
    let ours = styles::numbers(tile.sample, &tile.bytes);
    let wide = plain.dtype == "float64";
    let wanted = |number: f64| f64::from(if wide { (number / 255.0) as f32 } else { number as f32 / 255.0 });
    let mut pairs = ours.iter().zip(plain.numbers());
    let (ours, theirs) = pairs.find(|(ours, theirs)| !same(**ours, wanted(*theirs)))?;
    Some(format!("floats: {ours} instead of {}", wanted(theirs)))
}

#[test]
fn random_styles_make_the_pictures_of_large_image() {
    let Some(mut peer) = Peer::start() else { return };
    let folder = tiff::Folder::new();
    let mut subjects = generated(&folder);
    let n_generated = subjects.len();
    subjects.extend(real());
    let mut random = Random(0x7469_6C65);
    let mut usable: Vec<Subject> = Vec::new();
    let mut left_out = 0;
    for subject in picked(subjects, &mut random) {
        match subject.checked(&mut peer) {
            Some(subject) => usable.push(subject),
            None => left_out += 1,
        }
    }
    println!("{} rasters; {left_out} of which large_image makes other samples are left out", usable.len());
    assert!(usable.len() >= n_generated, "those that were generated are read alike");

    let (mut wrong, mut alike, mut apart, mut samples) = (Vec::new(), 0, 0, 0);
    for number in 0..N_STYLES {
        let subject = &usable[number % usable.len()];
        let style = style_for(subject, &mut random);
        let arrays = match peer.ask(&subject.path, subject.source, &style) {
            Ok(arrays) => arrays,
            Err(error) => panic!("{}: {style}: large_image says {error}", subject.name()),
        };
        let [made, plain] = &arrays[..] else { panic!("two arrays") };
        let compat = with(&style, "compat", "large_image");
        let tile = draw(&subject.dataset, &compat).unwrap_or_else(|e| panic!("{}: {style}: {e}", subject.name()));
        let floats = draw(&subject.dataset, &with(&compat, "dtype", "float")).unwrap();
        samples += tile.bytes.len() / tile.sample.bytes();
        for found in difference(&tile, made, plain).into_iter().chain(float_difference(&floats, plain)) {
            wrong.push(format!("{} with {style}: {found}", subject.name()));
        }

        // The same style without `compat` makes the same picture, but for what is known to be apart.
        let own = draw(&subject.dataset, &style);
        let ways = ways_apart(subject, &style);
        match own {
            Ok(own) if is_same_picture(&own, &tile) => alike += usize::from(ways.is_empty()),
            Ok(_) | Err(_) if !ways.is_empty() => apart += 1,
            Ok(_) => wrong.push(format!("{} with {style}: apart without compat", subject.name())),
            Err(error) => wrong.push(format!("{} with {style}: {error}", subject.name())),
        }
    }
    println!("{N_STYLES} styles, {samples} samples; without compat {alike} alike, {apart} apart as they shall be");
    assert!(wrong.is_empty(), "{} of {N_STYLES} styles:\n{}", wrong.len(), wrong[..wrong.len().min(12)].join("\n"));
    assert!(alike >= 30 && apart >= 60, "{alike} alike, {apart} apart");
}

/// A style over a row of pixels: what large_image makes of it before the numbers are cast, and what comes of it here,
/// where it is something else.
struct Apart {
    what: &'static str,
    source: &'static str,
    samples: (Kind, u16, &'static [f64]),
    style: &'static str,
    theirs: (usize, &'static [f64]),
    ours: (SampleType, u32, &'static [f64]),
}

const NAN: f64 = f64::NAN;

const APART: [Apart; 9] = [
    Apart {
        what: "NaN as nodata is nothing",
        source: "tifffile",
        samples: (Kind::F32, 1, &[0.0, NAN, 4.0]),
        style: r#"{"min": 0, "max": 4, "nodata": "nan", "palette": ["B", "R"]}"#,
        theirs: (4, &[0.0, 0.0, 255.0, 255.0, NAN, 0.0, NAN, 255.0, 255.0, 0.0, 0.0, 255.0]),
        ours: (SampleType::U8, 4, &[0.0, 0.0, 255.0, 255.0, 0.0, 0.0, 0.0, 0.0, 255.0, 0.0, 0.0, 255.0]),
    },
    Apart {
        what: "NaN is nothing though nobody says so",
        source: "tifffile",
        samples: (Kind::F32, 1, &[4.0, NAN]),
        style: r##"{"min": 0, "max": 4, "palette": ["#200", "R"]}"##,
        theirs: (4, &[255.0, 0.0, 0.0, 255.0, NAN, 0.0, 0.0, 255.0]),
        ours: (SampleType::U8, 4, &[255.0, 0.0, 0.0, 255.0, 0.0, 0.0, 0.0, 0.0]),
    },
    Apart {
        what: "clamp holds for two colours of which the first is black",
        source: "tifffile",
        samples: (Kind::U16, 1, &[0.0, 10.0, 15.0, 20.0, 40.0]),
        style: r#"{"min": 10, "max": 20, "dtype": "float"}"#,
        theirs: (1, &[-255.0, 0.0, 127.5, 255.0, 765.0]),
        ours: (SampleType::F32, 1, &[0.0, 0.0, 0.5, 1.0, 1.0]),
    },
    Apart {
        what: "a composite for all bands counts",
        source: "tifffile",
        samples: (Kind::U8, 2, &[255.0, 51.0, 51.0, 255.0]),
        style: r#"{"composite": "multiply", "bands": [{"band": 1, "min": 0, "max": 255, "composite": "lighten"},
            {"band": 2, "min": 0, "max": 255}], "axis": 0}"#,
        theirs: (1, &[255.0, 255.0]),
        ours: (SampleType::U8, 1, &[51.0, 51.0]),
    },
    Apart {
        what: "nodata is in no range",
        source: "tifffile",
        samples: (Kind::U16, 2, &[100.0, 0.0, 200.0, 0.0, 300.0, 0.0, 60_000.0, 0.0]),
        style: r#"{"band": 1, "min": "min", "max": "max", "nodata": 60000, "palette": ["B", "R"], "axis": 0}"#,
        theirs: (1, &[0.0, 100.0 / 59_900.0 * 255.0, 200.0 / 59_900.0 * 255.0, 0.0]),
        ours: (SampleType::U8, 1, &[0.0, 127.0, 255.0, 0.0]),
    },
    Apart {
        what: "nodata is in no part of the samples either",
        source: "tifffile",
        samples: (Kind::U16, 2, &[100.0, 0.0, 200.0, 0.0, 300.0, 0.0, 60_000.0, 0.0]),
        style: r##"{"band": 1, "min": "min", "max": "max:0.1", "nodata": 60000, "palette": ["#100", "R"], "axis": 0}"##,
        theirs: (1, &[17.0, 100.0 / 59_900.0 * 238.0 + 17.0, 200.0 / 59_900.0 * 238.0 + 17.0, 0.0]),
        ours: (SampleType::U8, 1, &[17.0, 136.0, 255.0, 0.0]),
    },
    Apart {
        what: "nodata of the only band is transparent, not black",
        source: "tifffile",
        samples: (Kind::U8, 1, &[255.0, 7.0]),
        style: r#"{"min": 0, "max": 255, "nodata": 7}"#,
        theirs: (1, &[255.0, 0.0]),
        ours: (SampleType::U8, 4, &[255.0, 255.0, 255.0, 255.0, 0.0, 0.0, 0.0, 0.0]),
    },
    Apart {
        what: "the type of samples holds for rasters on the ground",
        source: "rasterio",
        samples: (Kind::U16, 1, &[0.0, 20.0]),
        style: r##"{"dtype": "uint16", "bands": [{"band": 1, "min": 0, "max": 20, "palette": ["#000", "#fff"]}]}"##,
        theirs: (1, &[0.0, 255.0]),
        ours: (SampleType::U16, 1, &[0.0, 65_535.0]),
    },
    Apart {
        what: "so does the channel that is picked",
        source: "rasterio",
        samples: (Kind::U16, 1, &[0.0, 20.0]),
        style: r#"{"axis": 2, "bands": [{"band": 1, "min": 0, "max": 20, "palette": ["R", "B"]}]}"#,
        theirs: (4, &[255.0, 0.0, 0.0, 255.0, 0.0, 0.0, 255.0, 255.0]),
        ours: (SampleType::U8, 1, &[0.0, 255.0]),
    },
];

#[test]
fn where_large_image_is_wrong_the_picture_is_another_one() {
    let Some(mut peer) = Peer::start() else { return };
    let folder = tiff::Folder::new();
    for (number, case) in APART.iter().enumerate() {
        let (kind, n_bands, samples) = case.samples;
        let on_the_ground = case.source == "rasterio";
        let width = samples.len() as u32 / u32::from(n_bands);
        let n_extra = n_bands as usize - 1;
        let mut image = Image { n_bands, kind, extra_samples: vec![0; n_extra], ..Image::new(width, 1) };
        if on_the_ground {
            image.pixel_scale = Some([1.0, 1.0, 0.0]);
            image.tiepoints = vec![[0.0, 0.0, 0.0, 10.0, 50.0, 0.0]];
            image.geo_keys = vec![(1024, Geo::Short(2)), (1025, Geo::Short(1)), (2048, Geo::Short(4326))];
        }
        let path = write(&folder, &format!("{number}.tif"), &image, |x, _, band| {
            samples[x as usize * usize::from(n_bands) + band]
        });
        let style: Value = serde_json::from_str(case.style).unwrap();
        let arrays = peer.ask(&path, case.source, &style).unwrap_or_else(|e| panic!("{}: {e}", case.what));
        let plain = &arrays[1];
        let theirs = plain.numbers();
        assert_eq!(plain.shape[2], case.theirs.0, "{}", case.what);
        let close = |(a, b): (&f64, &f64)| a.is_nan() && b.is_nan() || (a - b).abs() < 1e-4;
        let is_as_said = theirs.len() == case.theirs.1.len() && theirs.iter().zip(case.theirs.1).all(close);
        assert!(is_as_said, "{}: large_image makes {theirs:?}", case.what);

        let dataset = Dataset::open(&path).unwrap();
        let ours = draw(&dataset, &style).unwrap();
        let (sample, channels, wanted) = case.ours;
        assert_eq!((ours.sample, ours.n_bands), (sample, channels), "{}", case.what);
        assert_eq!(styles::numbers(ours.sample, &ours.bytes), wanted, "{}", case.what);
        // What is wrong on the ground only is not done on request.
        if !on_the_ground {
            let compat = draw(&dataset, &with(&style, "compat", "large_image")).unwrap();
            assert_eq!(difference(&compat, &arrays[0], plain), None, "{}", case.what);
            assert_ne!(compat, ours, "{}", case.what);
        }
    }
}
