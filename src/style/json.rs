//! Styles as JSON. Every complaint begins with the path of the key that it is about.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::resample::Resampling;

use super::color::{self, Rgba};
use super::spec::{
    BandChoice, Bound, Colors, Composite, MAX_BANDS, MAX_COLORS, Palette, RenderingIntent, Scheme, Style, StyleBand,
    StyleBands, StyleDtype, StyleNodata, checked,
};

/// Bytes that the text of a style may have.
const MAX_TEXT: usize = 8 << 20;
/// Characters of a value that are repeated in a message.
const MAX_SHOWN: usize = 60;

const BASE_KEYS: [&str; 6] = ["bands", "dtype", "axis", "icc", "resampling", "compat"];

pub(super) fn style(text: &str) -> Result<Style> {
    if text.len() > MAX_TEXT {
        return Err(Error::limit(format!("a style of {} bytes; it may have {MAX_TEXT}", text.len())));
    }
    let value: Value = serde_json::from_str(text).map_err(|e| Error::invalid(format!("the style is no JSON: {e}")))?;
    let keys = match value {
        Value::Null => return Ok(Style::default()),
        Value::Object(keys) => keys,
        other => return Err(bad("the style", &other, "an object")),
    };
    let mut style = Style::unstyled();
    base_keys(&keys, &mut style)?;
    match keys.get("bands") {
        Some(Value::Array(bands)) => {
            if let Some(key) = keys.keys().find(|key| !BASE_KEYS.contains(&key.as_str()) && *key != "composite") {
                return Err(unknown("", key));
            }
            if bands.len() > MAX_BANDS {
                return Err(Error::limit(format!("bands: {} bands; a style may have {MAX_BANDS}", bands.len())));
            }
            let bands: Vec<_> =
                bands.iter().enumerate().map(|(i, b)| band(&format!("bands[{i}]"), b)).collect::<Result<_>>()?;
            style.bands = if bands.is_empty() { StyleBands::Unstyled } else { StyleBands::These(bands) };
        }
        Some(other) => return Err(bad("bands", other, "a list")),
        None => {
            let of_band: Map<_, _> = keys.into_iter().filter(|(key, _)| !BASE_KEYS.contains(&key.as_str())).collect();
            // Alone, what concerns the whole changes nothing about the samples.
            if !of_band.is_empty() || style.dtype.is_some() || style.axis.is_some() {
                style.bands = StyleBands::These(vec![band_keys("", &of_band)?]);
            }
        }
    }
    Ok(style)
}

/// Reads the keys that hold for all bands.
fn base_keys(keys: &Map<String, Value>, style: &mut Style) -> Result<()> {
    for (key, value) in keys {
        match key.as_str() {
            "dtype" => style.dtype = dtype(key, value)?,
            "axis" => style.axis = axis(key, value)?,
            "composite" => style.composite = composite(key, value)?,
            "resampling" => {
                style.resampling = match value.as_str() {
                    Some("nearest") => Resampling::Nearest,
                    Some("average") => Resampling::Average,
                    _ => return Err(bad(key, value, "nearest or average")),
                }
            }
            "icc" => {
                style.icc = match value {
                    Value::Null => None,
                    Value::Bool(icc) => Some(*icc),
                    _ => {
                        let intent = value.as_str().and_then(intent);
                        style.intent = intent.ok_or_else(|| bad(key, value, "true, false or the name of an intent"))?;
                        Some(true)
                    }
                }
            }
            "compat" => {
                style.compat = match value {
                    Value::Null => false,
                    Value::String(name) if name == "large_image" => true,
                    _ => return Err(bad(key, value, "large_image")),
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn intent(name: &str) -> Option<RenderingIntent> {
    Some(match &*name.to_ascii_lowercase() {
        "perceptual" => RenderingIntent::Perceptual,
        "relative_colorimetric" => RenderingIntent::RelativeColorimetric,
        "saturation" => RenderingIntent::Saturation,
        "absolute_colorimetric" => RenderingIntent::AbsoluteColorimetric,
        _ => return None,
    })
}

fn band(path: &str, value: &Value) -> Result<StyleBand> {
    match value {
        Value::Object(keys) => band_keys(&format!("{path}."), keys),
        other => Err(bad(path, other, "an object")),
    }
}

fn band_keys(prefix: &str, keys: &Map<String, Value>) -> Result<StyleBand> {
    let mut band = StyleBand::default();
    for (key, value) in keys {
        let path = &format!("{prefix}{key}");
        match key.as_str() {
            "band" => band.band = choice(path, value)?,
            "expression" => {
                let Some(text) = value.as_str() else { return Err(bad(path, value, "a text such as b1 / b2")) };
                if keys.contains_key("band") {
                    return Err(Error::invalid(format!("{path}: there is a band too; one of both")));
                }
                super::expr::parse(text).map_err(|error| error.context(path))?;
                band.band = BandChoice::Expression(text.to_owned());
            }
            "frame" if value.is_null() => {}
            "frame" => {
                let frame = integer(value).and_then(|frame| u32::try_from(frame).ok());
                band.frame = Some(frame.ok_or_else(|| bad(path, value, "the number of a frame"))?);
            }
            "framedelta" if value.is_null() => {}
            "framedelta" => band.frame_delta = integer(value).ok_or_else(|| bad(path, value, "a whole number"))?,
            "min" => band.min = bound(path, value)?,
            "max" => band.max = bound(path, value)?,
            "palette" if value.is_null() => {}
            "palette" => band.palette = Some(palette(path, value)?),
            "scheme" => {
                band.scheme = match value {
                    Value::Null => None,
                    Value::String(name) if name == "linear" => Some(Scheme::Linear),
                    Value::String(name) if name == "discrete" => Some(Scheme::Discrete),
                    Value::String(name) if name == "interval" => Some(Scheme::Interval),
                    _ => return Err(bad(path, value, "linear, discrete or interval")),
                }
            }
            "nodata" => band.nodata = nodata(path, value)?,
            "composite" => band.composite = composite(path, value)?,
            "clamp" => {
                band.clamp = match value {
                    Value::Null => true,
                    Value::Bool(clamp) => *clamp,
                    _ => return Err(bad(path, value, "true or false")),
                }
            }
            "gamma" => {
                let gamma = number(value).filter(|gamma| is_gamma(*gamma));
                band.gamma = gamma.ok_or_else(|| bad(path, value, "a number from 0.01 to 100"))?;
            }
            "dtype" => band.dtype = dtype(path, value)?,
            "axis" => band.axis = axis(path, value)?,
            "function" => return Err(Error::invalid(format!("{path}: a style does not run code"))),
            _ => return Err(unknown(prefix, key)),
        }
    }
    Ok(band)
}

pub(super) fn is_gamma(gamma: f64) -> bool {
    (0.01..=100.0).contains(&gamma)
}

fn choice(path: &str, value: &Value) -> Result<BandChoice> {
    let wanted = "the number of a band from 1 on, nor red, green, blue, gray or alpha";
    if value.is_null() || integer(value) == Some(-1) {
        return Ok(BandChoice::Default);
    }
    if let Some(number) = integer(value).and_then(|number| u32::try_from(number).ok()) {
        return if number > 0 { Ok(BandChoice::Number(number)) } else { Err(bad(path, value, wanted)) };
    }
    match value.as_str() {
        Some(name) if is_name(name) => Ok(BandChoice::Named(name.to_owned())),
        _ => Err(bad(path, value, wanted)),
    }
}

pub(super) fn is_name(name: &str) -> bool {
    ["red", "green", "blue", "gray", "grey", "alpha"].contains(&name)
}

fn bound(path: &str, value: &Value) -> Result<Bound> {
    match value {
        Value::Null => Ok(Bound::Auto(0.0)),
        Value::Number(number) => {
            let number = number.as_f64().filter(|number| number.is_finite());
            number.map(Bound::Number).ok_or_else(|| bad(path, value, "a finite number"))
        }
        Value::String(text) => text.parse().map_err(|error: Error| error.context(path)),
        _ => Err(bad(path, value, "a number or a text")),
    }
}

fn nodata(path: &str, value: &Value) -> Result<StyleNodata> {
    match value {
        Value::Null => Ok(StyleNodata::None),
        Value::String(text) if text == "auto" => Ok(StyleNodata::Auto),
        Value::String(text) if text.trim().eq_ignore_ascii_case("nan") => Ok(StyleNodata::Value(f64::NAN)),
        _ => match number(value) {
            Some(number) => Ok(StyleNodata::Value(number)),
            None => Err(bad(path, value, "a number, nan, auto or null")),
        },
    }
}

fn composite(path: &str, value: &Value) -> Result<Option<Composite>> {
    match value {
        Value::Null => Ok(None),
        Value::String(name) if name == "lighten" => Ok(Some(Composite::Lighten)),
        Value::String(name) if name == "multiply" => Ok(Some(Composite::Multiply)),
        _ => Err(bad(path, value, "lighten or multiply")),
    }
}

fn dtype(path: &str, value: &Value) -> Result<Option<StyleDtype>> {
    Ok(Some(match value.as_str() {
        Some("uint8") => StyleDtype::U8,
        Some("uint16") => StyleDtype::U16,
        Some("float") => StyleDtype::Float,
        Some("source") => StyleDtype::Source,
        _ if value.is_null() => return Ok(None),
        _ => return Err(bad(path, value, "uint8, uint16, float or source")),
    }))
}

fn axis(path: &str, value: &Value) -> Result<Option<u8>> {
    if value.is_null() {
        return Ok(None);
    }
    match integer(value) {
        Some(axis @ 0..=3) => Ok(Some(axis as u8)),
        _ => Err(bad(path, value, "0, 1, 2 or 3")),
    }
}

fn palette(path: &str, value: &Value) -> Result<Palette> {
    let many = |n: usize| {
        let limit = || Error::limit(format!("{path}: {n} colours; a palette may have {MAX_COLORS}"));
        if n > MAX_COLORS { Err(limit()) } else { Ok(()) }
    };
    let colors = match value {
        Value::String(name) => return Palette::named(name).map_err(|error| error.context(path)),
        // One colour of numbers, not a list of colours.
        Value::Array(numbers) if !numbers.is_empty() && numbers.iter().all(Value::is_number) => {
            Colors::Even(vec![[0.0, 0.0, 0.0, 255.0], color(path, value)?])
        }
        Value::Array(colors) => {
            many(colors.len())?;
            Colors::Even(
                colors.iter().enumerate().map(|(i, c)| color(&format!("{path}[{i}]"), c)).collect::<Result<_>>()?,
            )
        }
        Value::Object(colors) => {
            many(colors.len())?;
            let entry = |(key, c): (&String, &Value)| {
                let value =
                    key.trim().parse().map_err(|_| Error::invalid(format!("{path}: \"{key}\" is no number")))?;
                Ok((value, color(&format!("{path}.{key}"), c)?))
            };
            Colors::ByValue(colors.iter().map(entry).collect::<Result<_>>()?)
        }
        _ => return Err(bad(path, value, "a colour, a list of colours, a map or the name of one")),
    };
    checked(colors).map_err(|error| error.context(path))
}

fn color(path: &str, value: &Value) -> Result<Rgba> {
    let color = match value {
        Value::String(text) => color::of_text(text),
        Value::Array(numbers) => color::of_numbers(numbers),
        _ => None,
    };
    color.ok_or_else(|| bad(path, value, "a colour"))
}

/// A finite number, or a text that is one.
fn number(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    number.is_finite().then_some(number)
}

fn integer(value: &Value) -> Option<i64> {
    let number = number(value)?;
    (number.fract() == 0.0 && number.abs() < 2f64.powi(53)).then_some(number as i64)
}

fn bad(path: &str, value: &Value, wanted: &str) -> Error {
    let mut shown: String = value.to_string();
    if let Some((end, _)) = shown.char_indices().nth(MAX_SHOWN) {
        shown.truncate(end);
        shown.push('…');
    }
    Error::invalid(format!("{path}: {shown} is not {wanted}"))
}

fn unknown(prefix: &str, key: &str) -> Error {
    if key == "function" {
        return Error::invalid(format!("{prefix}{key}: a style does not run code"));
    }
    Error::invalid(format!("{prefix}{}: there is no such key", key.chars().take(MAX_SHOWN).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_bad_style_is_refused_with_the_path_of_its_key() {
        for (text, said) in [
            ("[]", "the style: [] is not an object"),
            ("{", "no JSON"),
            (r#"{"bands": 3}"#, "bands: 3 is not a list"),
            (r#"{"bands": [{}, {"min": "atuo"}]}"#, "bands[1].min: \"atuo\" is neither a number nor"),
            (r#"{"bands": [{"max": "auto:2"}]}"#, "bands[0].max: \"auto:2\""),
            (r#"{"max": "full:0.1"}"#, "max: \"full:0.1\""),
            (r#"{"max": "inf"}"#, "max: \"inf\""),
            (r##"{"bands": [{"pallete": "#fff"}]}"##, "bands[0].pallete: there is no such key"),
            (r#"{"bands": [{}], "min": 3}"#, "min: there is no such key"),
            (r#"{"colour": 3}"#, "colour: there is no such key"),
            (r#"{"function": "os.system"}"#, "function: a style does not run code"),
            (r#"{"bands": [], "function": "os.system"}"#, "function: a style does not run code"),
            (r#"{"band": 0}"#, "band: 0 is not"),
            (r#"{"band": 1.5}"#, "band: 1.5 is not"),
            (r#"{"band": "reed"}"#, "band: \"reed\" is not"),
            (r#"{"band": 1, "expression": "b1"}"#, "expression: there is a band too"),
            (r#"{"expression": "b1 +"}"#, "expression: \"b1 +\" has its end"),
            (r##"{"palette": ["#fff"]}"##, "palette: a list of 1 colours"),
            (r##"{"palette": ["#fff", "#ggg"]}"##, "palette[1]: \"#ggg\" is not a colour"),
            (r#"{"palette": "virids"}"#, "palette: \"virids\" is neither a colour"),
            (r##"{"palette": {"0": "#fff", "0.0": "#000"}}"##, "palette: two colours for 0"),
            (r##"{"palette": {"x": "#fff"}}"##, "palette: \"x\" is no number"),
            (r##"{"palette": {"3": "#f"}}"##, "palette.3: \"#f\" is not a colour"),
            (r#"{"palette": {}}"#, "palette: no colours"),
            (r#"{"scheme": "log"}"#, "scheme: \"log\" is not linear"),
            (r#"{"nodata": true}"#, "nodata: true is not"),
            (r#"{"composite": "darken"}"#, "composite: \"darken\" is not lighten or multiply"),
            (r#"{"clamp": 1}"#, "clamp: 1 is not true or false"),
            (r#"{"gamma": 0}"#, "gamma: 0 is not a number from"),
            (r#"{"dtype": "int"}"#, "dtype: \"int\" is not uint8"),
            (r#"{"axis": 4}"#, "axis: 4 is not 0, 1, 2 or 3"),
            (r#"{"icc": "nice"}"#, "icc: \"nice\" is not"),
            (r#"{"compat": "gdal"}"#, "compat: \"gdal\" is not large_image"),
            (r#"{"resampling": "cubic"}"#, "resampling: \"cubic\" is not nearest"),
            (r#"{"frame": -1}"#, "frame: -1 is not"),
        ] {
            let error = style(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}");
            assert!(
                error.message().starts_with(said) || said == "no JSON" && error.message().contains(said),
                "{error}"
            );
        }
    }

    #[test]
    fn size_and_depth_of_a_style_are_bounded() {
        let many = format!(r#"{{"bands": [{}{{}}]}}"#, "{},".repeat(MAX_BANDS));
        assert_eq!(style(&many).unwrap_err().kind(), ErrorKind::LimitExceeded);
        let palette = format!(r##"{{"palette": [{}"#fff"]}}"##, r##""#fff","##.repeat(MAX_COLORS));
        assert_eq!(style(&palette).unwrap_err().kind(), ErrorKind::LimitExceeded);
        assert_eq!(style(&" ".repeat(MAX_TEXT + 1)).unwrap_err().kind(), ErrorKind::LimitExceeded);
        assert_eq!(style(&"[".repeat(100_000)).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn null_is_the_default_and_an_empty_style_is_none() {
        assert_eq!(style("null").unwrap(), Style::default());
        for text in ["{}", r#"{"bands": []}"#] {
            assert_eq!(style(text).unwrap(), Style::unstyled(), "{text}");
        }
        assert_eq!(style(r#"{"icc": false}"#).unwrap().bands, StyleBands::Unstyled);
    }

    #[test]
    fn one_band_alone_is_a_list_of_one() {
        let alone =
            style(r##"{"band": 2, "min": "10", "max": "max:0.5", "palette": "R", "dtype": "uint16"}"##).unwrap();
        let listed = style(
            r##"{"bands": [{"band": "2", "min": 1e1, "max": "max:0.5", "palette": ["#000", "#f00"]}], "dtype": "uint16"}"##,
        );
        assert_eq!(alone, listed.unwrap());
    }
}
