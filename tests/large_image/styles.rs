//! Rasters, and random styles for them.

use std::path::PathBuf;

use serde_json::{Value, json};
use tilekeep::{Dataset, Interleave, MemorySource, OpenOptions, SampleType};

use super::common::{data_dir, read_all, real_files};
use super::peer::Peer;
use super::tiff::tiff_writer::{Format, Image, Kind};
use super::tiff::{Folder, Pixels, to_bytes};

/// Pixels that a raster may have, so that all are soon compared.
const MAX_PIXELS: u64 = 300_000;
/// Real files that are taken.
const N_REAL: usize = 130;

/// Numbers that are the same in every run (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

/// A raster that both open.
pub(crate) struct Subject {
    pub(crate) path: PathBuf,
    /// The source of large_image that reads it.
    pub(crate) source: &'static str,
    pub(crate) dataset: Dataset,
    /// The samples, pixel after pixel.
    pub(crate) samples: Vec<f64>,
}

/// The types of samples that are compared, as numpy calls them.
const TYPES: [(&str, SampleType); 5] = [
    ("uint8", SampleType::U8),
    ("uint16", SampleType::U16),
    ("int16", SampleType::I16),
    ("float32", SampleType::F32),
    ("float64", SampleType::F64),
];

pub(crate) fn sample_of(dtype: &str) -> Option<SampleType> {
    TYPES.iter().find(|(name, _)| *name == dtype).map(|(_, sample)| *sample)
}

pub(crate) fn numbers(sample: SampleType, bytes: &[u8]) -> Vec<f64> {
    let chunks = bytes.chunks_exact(sample.bytes());
    match sample {
        SampleType::U8 => bytes.iter().copied().map(f64::from).collect(),
        SampleType::U16 => chunks.map(|b| f64::from(u16::from_le_bytes([b[0], b[1]]))).collect(),
        SampleType::I16 => chunks.map(|b| f64::from(i16::from_le_bytes([b[0], b[1]]))).collect(),
        SampleType::F32 => chunks.map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect(),
        SampleType::F64 => chunks.map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
        other => panic!("samples of type {}", other.name()),
    }
}

/// A file of these samples, by column, row and band.
pub(crate) fn write(folder: &Folder, name: &str, image: &Image, sample: impl Fn(u32, u32, usize) -> f64) -> PathBuf {
    let pixels = Pixels::from_fn(image, |x, y, band| {
        let sample = sample(x, y, band);
        to_bytes(image.kind, |_| sample as i64 as u64, sample)
    });
    let (path, mut writer) = folder.writer(name, Format::default());
    writer.image(image, |plane, col, row| Some(pixels.block(image, plane, col, row))).unwrap();
    writer.finish().unwrap();
    path
}

/// Rasters of every sample type and number of bands.
pub(crate) fn generated(folder: &Folder) -> Vec<Subject> {
    let mut subjects = Vec::new();
    for kind in [Kind::U8, Kind::U16, Kind::I16, Kind::F32, Kind::F64] {
        for n_bands in 1..=5 {
            let n_colors = if n_bands < 3 { 1 } else { 3 };
            let image =
                Image { n_bands, kind, extra_samples: vec![0; n_bands as usize - n_colors], ..Image::new(90, 70) };
            let path = write(folder, &format!("{kind:?}_{n_bands}.tif"), &image, |x, y, band| {
                let n = (x / 3 * 7 + y / 2 * 11 + band as u32 * 5) % 61;
                match (kind, n) {
                    (Kind::U8, n) => f64::from(n * 4),
                    (Kind::U16, n) => f64::from(n * 1071),
                    (Kind::I16, n) => f64::from(n * 1071) - 32_768.0,
                    (_, 3) => f64::NAN,
                    (_, 5) if n_bands % 2 == 0 => f64::INFINITY,
                    (_, 7) if n_bands % 2 == 0 => f64::NEG_INFINITY,
                    (_, n) if n % 2 == 0 => f64::from(n) * 3.0 - 40.0,
                    (_, n) => f64::from(n) / 7.0,
                }
            });
            let dataset = Dataset::open(&path).unwrap();
            subjects.push(Subject { path, source: "tifffile", dataset, samples: Vec::new() });
        }
    }
    subjects
}

/// Real files of the sample types and numbers of bands that are compared.
pub(crate) fn real() -> Vec<Subject> {
    let Some(dir) = data_dir() else { return Vec::new() };
    let mut subjects = Vec::new();
    for file in real_files(&dir) {
        let n_pixels = file.number("w").unwrap_or(0) * file.number("h").unwrap_or(0);
        let is_wanted = matches!(&*file.expect, "exact" | "close") && (1..=MAX_PIXELS).contains(&n_pixels);
        let Some(dataset) = is_wanted.then(|| Dataset::open(&file.path).ok()).flatten() else { continue };
        let info = dataset.info();
        let fits = TYPES.iter().any(|(_, sample)| *sample == info.sample) && info.n_bands <= 5;
        if fits {
            let source = match &*file.format {
                "png" | "jpeg" => "pil",
                _ if info.geotransform.is_some() => "rasterio",
                _ => "tifffile",
            };
            subjects.push(Subject { path: file.path, source, dataset, samples: Vec::new() });
        }
    }
    subjects
}

/// All that are generated, and some of the real ones: of every kind as many as there are, up to a share.
pub(crate) fn picked(subjects: Vec<Subject>, random: &mut Random) -> Vec<Subject> {
    let (mut picked, mut rest): (Vec<_>, Vec<_>) = subjects.into_iter().partition(|s| !is_real(s));
    let mut of_kind = std::collections::BTreeMap::new();
    while !rest.is_empty() && of_kind.values().sum::<usize>() < N_REAL {
        let subject = rest.swap_remove(random.below(rest.len()));
        let info = subject.dataset.info();
        let kind = (subject.source, info.sample.name(), info.n_bands);
        let n = of_kind.entry(kind).or_insert(0);
        if *n < N_REAL / 10 {
            *n += 1;
            picked.push(subject);
        }
    }
    picked
}

fn is_real(subject: &Subject) -> bool {
    data_dir().is_some_and(|dir| subject.path.starts_with(dir))
}

impl Subject {
    pub(crate) fn name(&self) -> String {
        let info = self.dataset.info();
        format!("{} ({} {}, by {})", self.path.display(), info.n_bands, info.sample.name(), self.source)
    }

    /// The raster, when large_image reads the same samples. Those of a lossy codec are taken from large_image.
    pub(crate) fn checked(mut self, peer: &mut Peer) -> Option<Self> {
        let raw = peer.ask(&self.path, self.source, &Value::Null).ok()?.pop()?;
        let (level, info) = (self.dataset.levels()[0], self.dataset.info());
        let shape = [level.height as usize, level.width as usize, info.n_bands as usize];
        let sample = sample_of(&raw.dtype)?;
        if raw.shape != shape || info.sample != sample {
            return None;
        }
        if read_all(&self.dataset, Interleave::Pixel).ok()? != raw.bytes {
            if info.compression != "jpeg" {
                return None;
            }
            let (width, height) = (level.width as u32, level.height as u32);
            let source = MemorySource::new(width, height, info.n_bands, sample, (64, 64), raw.bytes.clone()).unwrap();
            self.dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
        }
        self.samples = raw.numbers();
        Some(self)
    }

    fn n_bands(&self) -> usize {
        self.dataset.info().n_bands as usize
    }

    /// Whether ranges are taken from samples alike: without NaN and infinities, and from all samples.
    fn has_plain_ranges(&self) -> bool {
        let level = self.dataset.levels()[0];
        self.source != "rasterio"
            && level.width.max(level.height) <= 1024
            && self.samples.iter().all(|sample| sample.is_finite())
    }
}

const COLORS: [&str; 16] = [
    "red",
    "G",
    "GREEN",
    "green",
    "B",
    "#fff",
    "#000",
    "#8040c0",
    "#10203040",
    "white",
    "black",
    "#ffff",
    "steelblue",
    "#fff0",
    "#7f7f7f",
    "#ff8000ff",
];
const MAPS: [&str; 6] = ["viridis", "magma", "plasma", "inferno", "cividis", "turbo"];

fn palette(subject: &Subject, random: &mut Random) -> Value {
    let n = 2 + random.below(5);
    match random.below(5) {
        0 => json!(random.of(&COLORS)),
        1 => json!(random.of(&MAPS)),
        2 if subject.source != "rasterio" => {
            let numbers = |random: &mut Random| {
                let n = 3 + random.below(2);
                (0..n).map(|_| random.of(&[0.0, 0.25, 0.1, 1.0, 0.7])).collect::<Vec<f64>>()
            };
            json!((0..n).map(|_| numbers(random)).collect::<Vec<_>>())
        }
        3 => json!([random.of(&COLORS), random.of(&COLORS)]),
        _ => json!((0..n).map(|_| random.of(&COLORS)).collect::<Vec<_>>()),
    }
}

/// A sample that is there, or one close by.
fn number(subject: &Subject, random: &mut Random) -> f64 {
    for _ in 0..20 {
        let sample = subject.samples[random.below(subject.samples.len())];
        if sample.is_finite() {
            return sample + random.of(&[0.0, 0.0, 0.0, 1.0, -3.0, 0.5]);
        }
    }
    1.0
}

fn band(subject: &Subject, random: &mut Random) -> Value {
    let (n_bands, geo) = (subject.n_bands(), subject.source == "rasterio");
    let mut band = json!({"min": number(subject, random), "max": number(subject, random)});
    match random.below(10) {
        0 if !geo => {}
        1 if !geo => band["band"] = json!("alpha"),
        2 if !geo => band["band"] = random.of(&[json!("red"), json!("green"), json!("blue"), json!("gray"), json!(-1)]),
        3 if !geo => band["band"] = json!(n_bands + 1 + random.below(3)),
        _ => band["band"] = json!(1 + random.below(n_bands)),
    }
    if random.one_in(4) && subject.has_plain_ranges() {
        for end in ["min", "max"] {
            match random.below(8) {
                0 => band[end] = json!(format!("{end}:0.{}", random.below(5))),
                1 => band[end] = json!(format!("auto:0.0{}", random.below(9))),
                2 => band[end] = json!(["max", "min"][random.below(2)]),
                3 => band[end] = json!("full"),
                4 => band[end] = json!("auto"),
                5 => {
                    band.as_object_mut().unwrap().remove(end);
                }
                _ => band[end] = json!(end),
            }
        }
    } else if random.one_in(8) {
        band["max"] = band["min"].clone();
    } else if random.one_in(6) {
        band["min"] = json!(band["min"].to_string());
    }
    if !random.one_in(4) {
        band["palette"] = palette(subject, random);
    }
    match random.below(6) {
        0 | 1 => band["nodata"] = json!(number(subject, random)),
        2 => band["nodata"] = json!(number(subject, random).to_string()),
        3 => band["nodata"] = json!("nan"),
        _ => {}
    }
    for (key, n, values) in [
        ("composite", 4, [json!("lighten"), json!("multiply")]),
        ("scheme", 3, [json!("discrete"), json!("linear")]),
        ("clamp", 3, [json!(false), json!(true)]),
        ("dtype", 12, [json!("uint8"), json!("source")]),
        ("axis", 16, [json!(0), json!(3)]),
    ] {
        // The step of an infinite sample is that which a cast happens to make.
        let is_cast = key == "scheme" && subject.samples.iter().any(|sample| sample.abs() > 1e15);
        if random.one_in(n) && !is_cast {
            band[key] = random.of(&values);
        }
    }
    band
}

/// A style that both take.
pub(crate) fn style_for(subject: &Subject, random: &mut Random) -> Value {
    if random.one_in(5) {
        return band(subject, random);
    }
    let bands: Vec<Value> = (0..1 + random.below(4)).map(|_| band(subject, random)).collect();
    let mut style = json!({"bands": bands});
    // Sources that know the ground lose what is said for all bands.
    if subject.source != "rasterio" {
        if random.one_in(5) {
            style["dtype"] = random.of(&[json!("uint8"), json!("uint16"), json!("float"), json!("source")]);
        }
        if random.one_in(6) {
            style["axis"] = json!(random.below(4));
        }
    }
    if random.one_in(8) {
        style["composite"] = random.of(&[json!("lighten"), json!("multiply")]);
    }
    style
}

/// Why the picture may be another one without `compat`: what `rules.md` says of it, as far as the style asks for it.
pub(crate) fn ways_apart(subject: &Subject, style: &Value) -> Vec<&'static str> {
    let bands: Vec<&Value> = match style["bands"].as_array() {
        Some(bands) => bands.iter().collect(),
        None => vec![style],
    };
    let (info, n_bands) = (subject.dataset.info(), subject.n_bands());
    let mut ways = Vec::new();
    let mut say = |apart: bool, way: &'static str| ways.extend(apart.then_some(way));
    say(style.get("composite").is_some() && style.get("bands").is_some(), "a composite for all bands counts");
    say(subject.samples.iter().any(|sample| sample.is_nan()), "NaN is nothing");
    let has_nodata = info.nodata.is_some() || info.band_nodata(0).is_some();
    for band in bands {
        let named = band["band"].as_u64().is_some_and(|number| number <= n_bands as u64);
        say(!named, "bands by name or by default, and such as there are not");
        let ends = [&band["min"], &band["max"]].map(|end| match end {
            Value::String(text) => text.parse().ok(),
            other => other.as_f64(),
        });
        let [Some(min), Some(max)] = ends else {
            say(band.get("nodata").is_some() || has_nodata, "nodata is in no statistics");
            say(true, "parts of samples are not taken from bins, nor ranges of NaN");
            continue;
        };
        let alone = n_bands == 1 && style["bands"].as_array().is_none_or(|bands| bands.len() == 1);
        let masks = band.get("nodata").is_some() || band["clamp"] == json!(false) || info.sample.is_float();
        say(alone && masks, "one band has opacity where it can be masked");
        let (low, high): (f64, f64) = if min <= max { (min, max) } else { (max, min) };
        let clamps = band["clamp"] != json!(false) && band["scheme"] != json!("discrete");
        // The samples of the band that is meant, which is there and has a number.
        let number = band["band"].as_u64().filter(|_| named).map_or(0, |number| number as usize - 1);
        let beyond = || {
            let mut samples = subject.samples.iter().skip(number).step_by(n_bands);
            samples.any(|sample| !(low..=high).contains(sample)) || min == max
        };
        let two = match &band["palette"] {
            Value::Array(colors) => colors.len() == 2,
            Value::String(name) => !MAPS.contains(&&**name),
            _ => true,
        };
        say(clamps && two && beyond(), "clamp holds for two colours too");
    }
    ways
}
