//! What a TIFF says in words: text tags, GDAL's metadata and nodata, the colour table.

use crate::error::Result;
use crate::sample::SampleType;
use crate::source::{ColorInterpretation, MetadataItem, Nodata, SourceInfo, numbers};

use super::directory::{Directory, Parser};
use super::{slides, tags};

/// Puts text tags, coefficients and GDAL's metadata into `info`. A metadata document that is not well-formed is given as
/// it is. A tag that cannot be read says nothing.
pub(super) fn describe(parser: &Parser<'_>, directory: &Directory, info: &mut SourceInfo) {
    let item = |domain: &str, key: &str, value| MetadataItem { domain: domain.to_owned(), key: key.to_owned(), value };
    for (tag, key) in tags::TEXT_TAGS {
        if let Ok(Some(value)) = parser.text(directory, tag) {
            info.metadata.push(item("", key, value));
        }
    }
    resolution(parser, directory, info);
    if let Some(size) = info.metadata("", "TIFFTAG_IMAGEDESCRIPTION").and_then(slides::pixel_size_um) {
        info.pixel_size_um = Some(size);
    }
    if let Ok(Some(xml)) = parser.text(directory, tags::GDAL_METADATA) {
        match gdal_items(&xml) {
            Some(found) => found.into_iter().for_each(|found| found.put_into(info)),
            None => info.metadata.push(item("xml:GDAL_METADATA", "", xml)),
        }
    }
    let coefficients = parser.floats(directory, tags::RPC_COEFFICIENTS).unwrap_or_default();
    if info.metadata.iter().all(|item| item.domain != "RPC") {
        info.metadata.extend(rpc(&coefficients).into_iter().map(|(key, value)| item("RPC", key, value)));
    }
}

/// The tags of resolution as metadata, with the words that GDAL uses.
fn resolution(parser: &Parser<'_>, directory: &Directory, info: &mut SourceInfo) {
    let mut put = |key: &str, value: String| {
        info.metadata.push(MetadataItem { domain: String::new(), key: key.to_owned(), value });
    };
    let number = |tag| parser.floats(directory, tag).ok().and_then(|values| values.first().copied());
    let (x, y) = (number(tags::X_RESOLUTION), number(tags::Y_RESOLUTION));
    for (key, value) in [("TIFFTAG_XRESOLUTION", x), ("TIFFTAG_YRESOLUTION", y)] {
        if let Some(value) = value {
            // A fraction of two 32-bit numbers has the digits of a float of 32 bits.
            put(key, general(value, 8));
        }
    }
    // Nothing said means inches.
    let unit = parser.first(directory, tags::RESOLUTION_UNIT).ok().flatten();
    match unit {
        Some(1) => put("TIFFTAG_RESOLUTIONUNIT", "1 (unitless)".to_owned()),
        Some(2) => put("TIFFTAG_RESOLUTIONUNIT", "2 (pixels/inch)".to_owned()),
        Some(3) => put("TIFFTAG_RESOLUTIONUNIT", "3 (pixels/cm)".to_owned()),
        _ => {}
    }
    let micrometres = match unit.unwrap_or(2) {
        2 => 25_400.0,
        3 => 10_000.0,
        _ => return,
    };
    let valid = |value: &f64| value.is_finite() && *value > 0.0;
    if let (Some(x), Some(y)) = (x.filter(valid), y.filter(valid)) {
        info.pixel_size_um = Some((micrometres / x, micrometres / y));
    }
}

/// The names and texts of the 92 numbers of a rational polynomial camera model, as GDAL names them.
fn rpc(numbers: &[f64]) -> Vec<(&'static str, String)> {
    const SINGLE: [&str; 12] = [
        "ERR_BIAS",
        "ERR_RAND",
        "LINE_OFF",
        "SAMP_OFF",
        "LAT_OFF",
        "LONG_OFF",
        "HEIGHT_OFF",
        "LINE_SCALE",
        "SAMP_SCALE",
        "LAT_SCALE",
        "LONG_SCALE",
        "HEIGHT_SCALE",
    ];
    const LISTS: [&str; 4] = ["LINE_NUM_COEFF", "LINE_DEN_COEFF", "SAMP_NUM_COEFF", "SAMP_DEN_COEFF"];
    if numbers.len() != 92 {
        return Vec::new();
    }
    let (single, lists) = numbers.split_at(12);
    let mut items: Vec<_> = SINGLE.iter().zip(single).map(|(name, number)| (*name, general(*number, 15))).collect();
    for (name, list) in LISTS.iter().zip(lists.chunks(20)) {
        let texts: Vec<_> = list.iter().map(|number| general(*number, 15)).collect();
        items.push((*name, texts.join(" ")));
    }
    items
}

/// A number with so many digits, as C's `%g` writes it.
fn general(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return value.to_string().to_lowercase();
    }
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim(mantissa), exponent.abs());
    }
    trim(&format!("{value:.*}", (digits as i32 - 1 - exponent) as usize))
}

/// An item of GDAL's metadata document.
struct Item {
    /// The band that it is about, from 0.
    band: Option<u32>,
    domain: String,
    key: String,
    value: String,
    /// What the item is beside a text: `scale`, `offset`, `unittype`, `description` or `colorinterp`.
    role: String,
}

impl Item {
    fn put_into(self, info: &mut SourceInfo) {
        let Self { band, domain, key, value, role } = self;
        let known = band.and_then(|band| info.bands.get_mut(band as usize));
        match (role.as_str(), known) {
            ("scale", Some(band)) => band.scale = numbers::leading_float(&value),
            ("offset", Some(band)) => band.offset = numbers::leading_float(&value),
            ("unittype", Some(band)) => band.unit = value,
            ("description", Some(band)) => band.description = value,
            ("colorinterp", Some(_)) => {
                if let Some(target) = band.and_then(|band| info.colors.get_mut(band as usize)) {
                    *target = numbers::color(&value).unwrap_or(ColorInterpretation::Undefined);
                }
            }
            _ => {
                let domain = match band {
                    Some(band) if domain.is_empty() => format!("band/{band}"),
                    Some(band) => format!("band/{band}/{domain}"),
                    None => domain,
                };
                info.metadata.push(MetadataItem { domain, key, value });
            }
        }
    }
}

fn gdal_items(xml: &str) -> Option<Vec<Item>> {
    // A node takes many times the bytes of its text.
    let document = crate::source::xml::parse(xml)?;
    let items = document.root_element().children().filter(|node| node.has_tag_name("Item"));
    let word = |item: &roxmltree::Node<'_, '_>, name| item.attribute(name).unwrap_or_default().to_owned();
    Some(
        items
            .filter_map(|item| {
                Some(Item {
                    band: item.attribute("sample").and_then(|s| s.trim().parse().ok()),
                    domain: word(&item, "domain"),
                    key: item.attribute("name")?.to_owned(),
                    // GDAL escapes its texts once more than XML asks for.
                    value: unescaped(item.text().unwrap_or_default()),
                    role: word(&item, "role"),
                })
            })
            .collect(),
    )
}

/// The value of GDAL's nodata tag; text that is no number means there is none.
pub(super) fn nodata(parser: &Parser<'_>, directory: &Directory, sample: SampleType) -> Result<Option<Nodata>> {
    Ok(parser.text(directory, tags::GDAL_NODATA)?.and_then(|text| numbers::nodata(&text, sample)))
}

/// A text whose entities are replaced by what they stand for.
fn unescaped(text: &str) -> String {
    const ENTITIES: [(&str, &str); 5] =
        [("&quot;", "\""), ("&lt;", "<"), ("&gt;", ">"), ("&apos;", "'"), ("&amp;", "&")];
    if !text.contains('&') {
        return text.to_owned();
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (from, to) = ENTITIES.into_iter().find(|(from, _)| rest.starts_with(from)).unwrap_or(("&", "&"));
        out.push_str(to);
        rest = &rest[from.len()..];
    }
    out + rest
}

/// RGBA of each index of what is no palette and is shown by one all the same: samples of one bit, and those where 0 is
/// white. GDAL presents them so.
pub(super) fn gray_table(photometric: u64, bits: u32) -> Option<Vec<[u8; 4]>> {
    let is_white = photometric == tags::PHOTOMETRIC_MIN_IS_WHITE;
    if !(is_white && bits <= 16 || photometric == tags::PHOTOMETRIC_MIN_IS_BLACK && bits == 1) {
        return None;
    }
    let last = (1_u32 << bits) - 1;
    Some(
        (0..=last)
            .map(|index| {
                let index = if is_white { last - index } else { index };
                let gray = (255 * index / last) as u8;
                [gray, gray, gray, 255]
            })
            .collect(),
    )
}

/// RGBA of each palette index. The tag holds 16 bits a colour; files whose numbers all fit in 8 mean those.
pub(super) fn color_table(parser: &Parser<'_>, directory: &Directory, bits: u32) -> Result<Option<Vec<[u8; 4]>>> {
    let Some(values) = parser.unsigned(directory, tags::COLOR_MAP, 3 << 16)? else { return Ok(None) };
    let n = values.len() / 3;
    if bits > 16 || n == 0 {
        return Ok(None);
    }
    let eight_bits = values.iter().all(|v| *v < 256);
    let scale = |v: u64| if eight_bits { v as u8 } else { (v / 257) as u8 };
    Ok(Some((0..n).map(|i| [scale(values[i]), scale(values[n + i]), scale(values[2 * n + i]), 255]).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_items_know_their_band_and_domain() {
        let xml = r#"<GDALMetadata><Item name="A">1 &amp; 2</Item><Item name="OFFSET" sample="2" role="offset">7</Item>
            <Item name="SCALE" sample="2" role="scale">0.5</Item><Item name="U" sample="0" role="unittype">m</Item>
            <Item name="DESCRIPTION" sample="1" role="description">nir</Item>
            <Item name="COLORINTERP" sample="2" role="colorinterp">Alpha</Item>
            <Item name="COLORINTERP" sample="9" role="colorinterp">Alpha</Item>
            <Item name="Q">&amp;quot;x&amp;quot; &amp;amp;lt; &amp; &amp;what</Item>
            <Item name="STATISTICS_MEAN" sample="1">3</Item><Item name="L" domain="RPC">x</Item></GDALMetadata>"#;
        let level = crate::grid::Level::new(4, 4, 4, 4).unwrap();
        let mut info = SourceInfo::new("tiff", vec![level], 3, SampleType::U8);
        gdal_items(xml).unwrap().into_iter().for_each(|item| item.put_into(&mut info));
        let said: Vec<_> =
            info.metadata.iter().map(|i| (i.domain.as_str(), i.key.as_str(), i.value.as_str())).collect();
        let quoted = ("", "Q", "\"x\" &lt; & &what");
        let statistics = ("band/1", "STATISTICS_MEAN", "3");
        let known = [("", "A", "1 & 2"), ("band/9", "COLORINTERP", "Alpha"), quoted, statistics, ("RPC", "L", "x")];
        assert_eq!(said, known);
        assert_eq!((info.bands[2].offset, info.bands[2].scale), (Some(7.0), Some(0.5)));
        assert_eq!((info.bands[0].unit.as_str(), info.bands[1].description.as_str()), ("m", "nir"));
        assert_eq!(info.colors[2], ColorInterpretation::Alpha);
        assert!(gdal_items("<GDALMetadata><Item").is_none());
    }

    #[test]
    fn bits_and_grays_from_white_to_black_have_colours() {
        let of = |photometric, bits| gray_table(photometric, bits).map(|t| t.iter().map(|c| c[0]).collect::<Vec<_>>());
        assert_eq!(of(1, 1), Some(vec![0, 255]));
        assert_eq!(of(0, 2), Some(vec![255, 170, 85, 0]));
        assert_eq!(of(0, 16).unwrap().len(), 65_536);
        assert_eq!((of(1, 8), of(0, 32)), (None, None));
    }

    #[test]
    fn numbers_are_written_as_c_writes_them() {
        for (value, digits, text) in [
            (72.0, 8, "72"),
            (0.1, 15, "0.1"),
            (1e-5, 15, "1e-05"),
            (-2.5e20, 15, "-2.5e+20"),
            (1_234_567_890.0, 8, "1.2345679e+09"),
            (0.000_123_4, 15, "0.0001234"),
            (0.0, 15, "0"),
        ] {
            assert_eq!(general(value, digits), text);
        }
    }

    #[test]
    fn a_camera_model_has_ninety_two_numbers() {
        let numbers: Vec<f64> = (0..92).map(f64::from).collect();
        let items = rpc(&numbers);
        assert_eq!((items.len(), &items[2], items[15].0), (16, &("LINE_OFF", "2".to_owned()), "SAMP_DEN_COEFF"));
        assert!(items[15].1.starts_with("72 73") && items[15].1.ends_with("90 91"));
        assert!(rpc(&numbers[1..]).is_empty());
    }
}
