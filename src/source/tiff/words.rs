//! What a TIFF says in words: text tags, GDAL's metadata and nodata, the colour table.

use crate::error::Result;
use crate::sample::SampleType;
use crate::source::{MetadataItem, Nodata};

use super::directory::{Directory, Parser};
use super::tags;

/// Text tags and GDAL's metadata. A metadata document that is not well-formed is given as it is.
pub(super) fn metadata(parser: &Parser<'_>, directory: &Directory) -> Result<Vec<MetadataItem>> {
    let mut items = Vec::new();
    for (tag, key) in tags::TEXT_TAGS {
        if let Some(value) = parser.text(directory, tag)? {
            items.push(MetadataItem { domain: String::new(), key: key.to_owned(), value });
        }
    }
    if let Some(xml) = parser.text(directory, tags::GDAL_METADATA)? {
        match gdal_items(&xml) {
            Some(found) => items.extend(found),
            None => items.push(MetadataItem { domain: "xml:GDAL_METADATA".to_owned(), key: String::new(), value: xml }),
        }
    }
    Ok(items)
}

fn gdal_items(xml: &str) -> Option<Vec<MetadataItem>> {
    // A node takes many times the bytes of its text.
    let options = roxmltree::ParsingOptions { nodes_limit: 1 << 18, ..roxmltree::ParsingOptions::default() };
    let document = roxmltree::Document::parse_with_options(xml.trim(), options).ok()?;
    let items = document.root_element().children().filter(|node| node.has_tag_name("Item"));
    Some(
        items
            .filter_map(|item| {
                let key = item.attribute("name")?.to_owned();
                let value = item.text().unwrap_or_default().to_owned();
                let domain = item.attribute("domain").unwrap_or_default();
                let domain = match item.attribute("sample").and_then(|s| s.parse::<u32>().ok()) {
                    Some(sample) if domain.is_empty() => format!("band/{sample}"),
                    Some(sample) => format!("band/{sample}/{domain}"),
                    None => domain.to_owned(),
                };
                Some(MetadataItem { domain, key, value })
            })
            .collect(),
    )
}

/// The value of GDAL's nodata tag; text that is no number means there is none.
pub(super) fn nodata(parser: &Parser<'_>, directory: &Directory, sample: SampleType) -> Result<Option<Nodata>> {
    let Some(text) = parser.text(directory, tags::GDAL_NODATA)? else { return Ok(None) };
    let text = text.trim();
    Ok(match sample {
        SampleType::I64 => text.parse().ok().map(Nodata::Int),
        SampleType::U64 => text.parse().ok().map(Nodata::UInt),
        // Texts have too few digits, or too many: what is meant is the sample next to the number.
        SampleType::F32 => leading_float(text).map(|value| {
            let sample = f64::from(value as f32);
            Nodata::Float(if sample.is_infinite() { value } else { sample })
        }),
        _ => leading_float(text).map(Nodata::Float),
    })
}

/// The number that a text starts with, as C's `strtod` reads it: `-9999.0 (filled)` is -9999.
fn leading_float(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "nan" | "+nan" | "-nan" | "-1.#ind" | "1.#qnan" | "-1.#qnan" => return Some(f64::NAN),
        "1.#inf" => return Some(f64::INFINITY),
        "-1.#inf" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    let ends = lower.char_indices().map(|(i, c)| i + c.len_utf8()).rev();
    ends.into_iter().find_map(|end| lower[..end].parse().ok())
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
    fn nodata_is_read_as_c_reads_numbers() {
        assert_eq!(leading_float("-9999"), Some(-9999.0));
        assert_eq!(leading_float("1e3 rest"), Some(1000.0));
        assert_eq!(leading_float("-3.4e+38"), Some(-3.4e38));
        assert!(leading_float("NaN").unwrap().is_nan());
        assert_eq!(leading_float("none"), None);
        assert_eq!(leading_float(""), None);
    }

    #[test]
    fn metadata_items_know_their_band_and_domain() {
        let xml = r#"<GDALMetadata><Item name="A">1 &amp; 2</Item><Item name="OFFSET" sample="2" role="offset">7</Item>
            <Item name="L" domain="RPC">x</Item></GDALMetadata>"#;
        let items = gdal_items(xml).unwrap();
        let said: Vec<_> = items.iter().map(|i| (i.domain.as_str(), i.key.as_str(), i.value.as_str())).collect();
        assert_eq!(said, [("", "A", "1 & 2"), ("band/2", "OFFSET", "7"), ("RPC", "L", "x")]);
        assert!(gdal_items("<GDALMetadata><Item").is_none());
    }
}
