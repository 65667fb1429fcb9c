//! The rules for pixels once more, plainly: whole pictures, channel by channel, straight from JSON. What plans make of
//! random styles and samples is compared with it.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::sample::{Sample, SampleType, with_sample};
use crate::{Dataset, MemorySource, OpenOptions, Style, TileRequest};

/// A picture of 40 x 30 pixels and a style for it, with explicit ranges.
#[derive(Clone, Debug)]
struct Case {
    sample: SampleType,
    n_bands: u32,
    pixels: Vec<Vec<f64>>,
    style: Value,
}

const N: usize = 1200;

/// The picture that the rules make: channels, and whether samples are floats, 16 or 8 bits.
fn expected(case: &Case) -> (usize, Vec<f64>) {
    let compat = case.style.get("compat").is_some();
    let bands = case.style["bands"].as_array().unwrap();
    let wide = case.sample == SampleType::F64;
    let f32_samples = case.sample == SampleType::F32;
    let round = |x: f64| if wide { x } else { f64::from(x as f32) };
    let n_bands = case.n_bands as usize;
    let mut channels = 4;
    if let [band] = &bands[..] {
        let gray = colors(band) == [[0.0, 0.0, 0.0, 255.0], [255.0; 4]];
        let sure = band.get("nodata").is_none() && band.get("clamp") != Some(&json!(false)) && !case.sample.is_float();
        if n_bands == 1 && gray && band.get("band") != Some(&json!("alpha")) && (compat || sure) {
            channels = 1;
        }
    }
    let mut out = vec![vec![0.0; N]; channels];
    for (number, band) in bands.iter().enumerate() {
        let constant = vec![255.0; N];
        let name = band.get("band").and_then(Value::as_str);
        let is_constant = name == Some("alpha") && n_bands != 2 && n_bands != 4;
        let samples = match (name, band.get("band").and_then(Value::as_u64)) {
            (Some("alpha"), _) if is_constant => &constant,
            (Some("alpha"), _) => &case.pixels[n_bands - 1],
            (Some("red"), _) => &case.pixels[0],
            (Some("blue"), _) if n_bands > 2 => &case.pixels[2],
            (_, Some(number)) => &case.pixels[number as usize - 1],
            _ => &case.pixels[usize::from(n_bands > 2)],
        };
        let single = f32_samples && !is_constant;
        let (min, max) = (band["min"].as_f64().unwrap(), band["max"].as_f64().unwrap());
        let delta = if max == min { 1.0 } else { max - min };
        let clamp = band.get("clamp") != Some(&json!(false));
        let nodata = band.get("nodata").map(|n| if n == "nan" { f64::NAN } else { n.as_f64().unwrap() });
        let gamma = band.get("gamma").map_or(1.0, |g| g.as_f64().unwrap());
        let own = band.get("composite").or(case.style.get("composite").filter(|_| !compat));
        let multiply = match own {
            Some(composite) => composite == "multiply",
            None => name == Some("alpha"),
        };
        let mut t = vec![0.0; N];
        let mut mask = vec![true; N];
        for i in 0..N {
            let v = samples[i];
            t[i] = if single { f64::from((v as f32 - min as f32) / delta as f32) } else { (v - min) / delta };
            let is_nodata = nodata.is_some_and(|n| v == n || f32_samples && v == f64::from(n as f32));
            mask[i] &= !is_nodata;
            mask[i] &= clamp || (t[i] >= 0.0 && t[i] <= 1.0);
            if !compat {
                mask[i] &= !v.is_nan();
                t[i] = t[i].clamp(0.0, 1.0);
            }
            if gamma != 1.0 {
                t[i] = if t[i] <= 0.0 { 0.0 } else { t[i].powf(1.0 / gamma) };
            }
        }
        let palette = colors(band);
        let n = palette.len();
        for (channel, out) in out.iter_mut().enumerate() {
            let column: Vec<f64> = palette.iter().map(|color| color[channel]).collect();
            let constant = column.iter().all(|c| *c == column[0]);
            if constant && column[0] == if multiply { 255.0 } else { 0.0 } {
                continue;
            }
            for i in 0..N {
                let color = if constant {
                    column[0]
                } else if band.get("scheme") == Some(&json!("discrete")) {
                    let step = (t[i] * n as f64).floor();
                    column[if step.is_nan() || step < 0.0 { 0 } else { (step as usize).min(n - 1) }]
                } else if n == 2 && column[0] == 0.0 {
                    t[i] * column[1]
                } else if t[i].is_nan() {
                    f64::NAN
                } else if t[i] <= 0.0 {
                    column[0]
                } else if t[i] >= 1.0 {
                    column[n - 1]
                } else {
                    let knot = |k: usize| if k == n - 1 { 1.0 } else { k as f64 * (1.0 / (n - 1) as f64) };
                    let k = (0..n - 1).rev().find(|k| knot(*k) <= t[i]).unwrap();
                    (column[k + 1] - column[k]) / (knot(k + 1) - knot(k)) * (t[i] - knot(k)) + column[k]
                };
                if multiply {
                    let factor = if constant && single { f64::from(color as f32 / 255.0) } else { color / 255.0 };
                    if number > 0 {
                        out[i] = round(out[i] * if mask[i] { factor } else { 1.0 });
                    }
                } else {
                    let value = if mask[i] { color } else { 0.0 };
                    let greater = number == 0 || value.is_nan() || value > out[i];
                    out[i] = round(if greater { value } else { out[i] });
                }
            }
        }
    }
    let said = |key: &str| {
        let first = bands.iter().find_map(|band| band.get(key)).cloned();
        case.style.get(key).cloned().or(first)
    };
    let dtype = said("dtype").map(|dtype| match (dtype.as_str().unwrap(), case.sample) {
        ("source", SampleType::U16) => "uint16".to_owned(),
        ("source", SampleType::F32 | SampleType::F64) => "float".to_owned(),
        (other, _) => other.to_owned(),
    });
    if let Some(axis) = said("axis").map(|axis| axis.as_u64().unwrap() as usize).filter(|axis| *axis < channels) {
        (out, channels) = (vec![out[axis].clone()], 1);
    }
    let cast = |x: f64| match dtype.as_deref() {
        Some("uint16") => f64::from(round(round(x * 65_535.0) / 255.0) as u16),
        Some("float") => f64::from(round(x / 255.0) as f32),
        _ => f64::from(x as u8),
    };
    (channels, (0..N).flat_map(|i| out.iter().map(|channel| cast(channel[i])).collect::<Vec<_>>()).collect())
}

fn colors(band: &Value) -> Vec<[f64; 4]> {
    match band.get("palette") {
        None if band.get("band") == Some(&json!("alpha")) => vec![[255.0, 255.0, 255.0, 0.0], [255.0; 4]],
        None => vec![[0.0, 0.0, 0.0, 255.0], [255.0; 4]],
        Some(list) => list.as_array().unwrap().iter().map(|c| serde_json::from_value(c.clone()).unwrap()).collect(),
    }
}

fn dataset(case: &Case) -> Dataset {
    let mut bytes = vec![0; N * case.n_bands as usize * case.sample.bytes()];
    let in_order = (0..N).flat_map(|i| case.pixels.iter().map(move |band| band[i]));
    with_sample!(case.sample, T => {
        for (to, value) in bytes.chunks_exact_mut(T::BYTES).zip(in_order) {
            T::from_f64(value).write(to);
        }
    });
    let source = MemorySource::new(40, 30, case.n_bands, case.sample, (16, 16), bytes).unwrap();
    Dataset::from_source(source, &OpenOptions::default()).unwrap()
}

/// The samples of a tile as numbers.
fn numbers(sample: SampleType, bytes: &[u8]) -> Vec<f64> {
    with_sample!(sample, T => bytes.chunks_exact(T::BYTES).map(|bytes| T::read(bytes).to_f64()).collect())
}

fn color() -> impl Strategy<Value = Value> {
    let part = prop_oneof![Just(0u8), Just(255), 2u8..255];
    (part.clone(), part.clone(), part.clone(), prop_oneof![3 => Just(255u8), 1 => part])
        .prop_map(|(r, g, b, a)| json!([r, g, b, a]))
        .prop_filter("numbers from 0 to 1 mean something else", |c| {
            c.as_array().unwrap().iter().any(|part| part.as_f64() > Some(1.0))
        })
}

fn band(n_bands: u32, values: std::ops::Range<i32>) -> impl Strategy<Value = Value> {
    let which = prop_oneof![
        4 => (1..=n_bands).prop_map(|band| json!(band)),
        1 => Just(json!("alpha")), 1 => Just(json!("red")), 1 => Just(json!("blue")), 1 => Just(json!("green")),
    ];
    let palette = prop::option::weighted(0.7, prop::collection::vec(color(), 2..6));
    let nodata =
        prop_oneof![3 => Just(None), 2 => values.clone().prop_map(|n| Some(json!(n))), 1 => Just(Some(json!("nan")))];
    let composite = prop_oneof![3 => Just(None), 1 => Just(Some("lighten")), 1 => Just(Some("multiply"))];
    let dtype = prop::option::weighted(0.1, prop_oneof![Just("uint8"), Just("uint16"), Just("float"), Just("source")]);
    let rest = (prop::bool::weighted(0.3), prop::bool::weighted(0.3), prop::option::weighted(0.2, 1u32..30), dtype);
    (which, values.clone(), values, palette, nodata, composite, rest).prop_map(
        |(which, min, max, palette, nodata, composite, (discrete, unclamped, gamma, dtype))| {
            let mut band = json!({"band": which, "min": min, "max": max});
            let mut set = |key: &str, value: Option<Value>| {
                if let Some(value) = value {
                    band[key] = value;
                }
            };
            set("palette", palette.map(Value::from));
            set("nodata", nodata);
            set("composite", composite.map(Value::from));
            set("scheme", discrete.then(|| json!("discrete")));
            set("clamp", unclamped.then_some(json!(false)));
            set("gamma", gamma.map(|gamma| json!(f64::from(gamma) / 10.0)));
            set("dtype", dtype.map(Value::from));
            band
        },
    )
}

fn case() -> impl Strategy<Value = Case> {
    use SampleType::{F32, F64, I16, U8, U16};
    let sample = prop_oneof![Just(U8), Just(U16), Just(I16), Just(F32), Just(F64)];
    (sample, 1u32..=5).prop_flat_map(|(sample, n_bands)| {
        let values = match sample {
            U8 => 0..256,
            U16 => 0..65_536,
            I16 => -32_768..32_768,
            _ => -300..300,
        };
        let one = {
            let float = sample.is_float();
            (values.clone(), 0u32..100).prop_map(move |(value, part)| match part {
                0..10 if float => f64::NAN,
                10..12 if float => f64::INFINITY,
                12..14 if float => f64::NEG_INFINITY,
                14..50 if float => f64::from((f64::from(value) / 7.0) as f32),
                _ => f64::from(value),
            })
        };
        // Few different samples, many pixels: nodata is met, and pictures are quickly made.
        let known = prop::collection::vec(one, 24);
        let styles = (
            prop::collection::vec(band(n_bands, values), 1..5),
            prop::option::weighted(0.2, prop_oneof![Just("uint8"), Just("uint16"), Just("float"), Just("source")]),
            prop::option::weighted(0.2, 0u32..4),
            prop::option::weighted(0.2, prop_oneof![Just("lighten"), Just("multiply")]),
            any::<bool>(),
        );
        (known, any::<u32>(), styles).prop_map(move |(known, seed, (mut bands, dtype, axis, composite, compat))| {
            let pick = |i: usize, band: usize| {
                let mixed = (i as u32 * 31 + band as u32 * 977).wrapping_add(seed).wrapping_mul(2_654_435_761);
                known[(mixed >> 16) as usize % known.len()]
            };
            // Some nodata is there.
            let there = known[0];
            if there.is_finite() && there.fract() == 0.0 && bands[0].get("nodata").is_some() {
                bands[0]["nodata"] = json!(there);
            }
            let mut style = json!({"bands": bands});
            if let Some(dtype) = dtype {
                style["dtype"] = json!(dtype);
            }
            if let Some(axis) = axis {
                style["axis"] = json!(axis);
            }
            if let Some(composite) = composite {
                style["composite"] = json!(composite);
            }
            if compat {
                style["compat"] = json!("large_image");
            }
            let pixels = (0..n_bands as usize).map(|band| (0..N).map(|i| pick(i, band)).collect()).collect();
            Case { sample, n_bands, pixels, style }
        })
    })
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let style = Style::parse(&case.style.to_string()).unwrap();
    let tile = dataset(case).read_tile(&TileRequest::new(0, 0, 0).style(style)).unwrap();
    let (channels, wanted) = expected(case);
    prop_assert_eq!(tile.n_bands as usize, channels);
    let got = numbers(tile.sample, &tile.bytes);
    prop_assert_eq!(got.len(), wanted.len());
    for (at, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
        prop_assert!(
            got == wanted || got.is_nan() && wanted.is_nan(),
            "pixel {}: {} instead of {}",
            at / channels,
            got,
            wanted
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_make_the_pixels_of_the_rules(case in case()) {
        check(&case)?;
    }
}
