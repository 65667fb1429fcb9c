//! What the header of a PNG says: colours, palette, transparency and words.

use super::super::{ColorInterpretation, MetadataItem, Nodata, SourceInfo};

pub(super) fn describe(info: &mut SourceInfo, header: &png::Info<'_>) {
    use ColorInterpretation as C;
    info.colors = match header.color_type {
        png::ColorType::Grayscale => vec![C::Gray],
        png::ColorType::GrayscaleAlpha => vec![C::Gray, C::Alpha],
        png::ColorType::Rgb => vec![C::Red, C::Green, C::Blue],
        png::ColorType::Rgba => vec![C::Red, C::Green, C::Blue, C::Alpha],
        png::ColorType::Indexed => vec![C::Palette],
    };
    let has = [
        ("exif", header.exif_metadata.is_some()),
        ("icc", header.icc_profile.is_some()),
        ("xmp", xmp(header).is_some()),
    ];
    info.blobs = has.into_iter().filter(|(_, has)| *has).map(|(name, _)| name.to_owned()).collect();
    if let Some(size) = header.pixel_dims.filter(|size| size.unit == png::Unit::Meter && size.xppu > 0 && size.yppu > 0)
    {
        info.pixel_size_um = Some((1e6 / f64::from(size.xppu), 1e6 / f64::from(size.yppu)));
    }
    let transparent = header.trns.as_deref().unwrap_or_default();
    // The decoder leaves one byte of each of the chunk's numbers, or two when samples have 16 bits.
    let numbers: Vec<u16> = match header.bit_depth {
        png::BitDepth::Sixteen => transparent.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect(),
        _ => transparent.iter().map(|b| u16::from(*b)).collect(),
    };
    match (header.color_type, numbers.as_slice()) {
        (png::ColorType::Indexed, alphas) => {
            let alpha = |i: usize| alphas.get(i).map_or(255, |a| *a as u8);
            let palette = header.palette.as_deref().unwrap_or_default().chunks_exact(3).enumerate();
            info.color_table = Some(palette.map(|(i, c)| [c[0], c[1], c[2], alpha(i)]).collect());
            // One transparent colour alone is an index that means "nothing here".
            let mut clear = alphas.iter().enumerate().filter(|(_, alpha)| **alpha == 0);
            if let (Some((index, _)), None) = (clear.next(), clear.next()) {
                info.nodata = Some(Nodata::Float(index as f64));
            }
        }
        (png::ColorType::Grayscale, [value]) => info.nodata = Some(Nodata::Float(f64::from(*value))),
        (png::ColorType::Rgb, [r, g, b]) => {
            let value = format!("{r} {g} {b}");
            info.metadata.push(MetadataItem { domain: String::new(), key: "NODATA_VALUES".to_owned(), value });
            // A transparent colour is one value for all bands only when it is grey.
            if r == g && g == b {
                info.nodata = Some(Nodata::Float(f64::from(*r)));
            }
        }
        _ => {}
    }
    let latin = header.uncompressed_latin1_text.iter().map(|t| (t.keyword.clone(), Some(t.text.clone())));
    let packed = header.compressed_latin1_text.iter().map(|t| (t.keyword.clone(), t.get_text().ok()));
    let utf8 = header.utf8_text.iter().map(|t| (t.keyword.clone(), t.get_text().ok()));
    for (key, value) in latin.chain(packed).chain(utf8) {
        if let Some(value) = value {
            info.metadata.push(MetadataItem { domain: String::new(), key, value });
        }
    }
}

fn xmp<'a>(header: &'a png::Info<'_>) -> Option<&'a png::text_metadata::ITXtChunk> {
    header.utf8_text.iter().find(|text| text.keyword == "XML:com.adobe.xmp")
}

/// The block of bytes of this name.
pub(super) fn blob(header: &png::Info<'_>, name: &str) -> Option<Vec<u8>> {
    match name {
        "icc" => header.icc_profile.as_ref().map(|bytes| bytes.to_vec()),
        "exif" => header.exif_metadata.as_ref().map(|bytes| bytes.to_vec()),
        "xmp" => xmp(header).and_then(|text| text.get_text().ok()).map(String::into_bytes),
        _ => None,
    }
}
