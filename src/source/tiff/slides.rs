//! What scanners of microscope slides say in the description of an image.

use crate::source::xml;

/// Micrometres of a pixel across and down, in a description as Aperio or the Open Microscopy Environment writes it.
pub(super) fn pixel_size_um(description: &str) -> Option<(f64, f64)> {
    if description.starts_with("Aperio") {
        let mut fields = description.split('|').filter_map(|field| field.split_once('='));
        let (_, value) = fields.find(|(name, _)| name.trim() == "MPP")?;
        return size(value).map(|size| (size, size));
    }
    let description = description.trim_start_matches('\u{feff}').trim();
    if !description.starts_with('<') || !description.contains("<OME") {
        return None;
    }
    let document = xml::parse(description)?;
    let pixels = document.descendants().find(|node| node.tag_name().name() == "Pixels")?;
    let side = |name: &str, unit: &str| {
        let factor = match pixels.attribute(unit).unwrap_or("\u{b5}m") {
            "\u{b5}m" | "\u{3bc}m" => 1.0,
            "nm" => 1e-3,
            "mm" => 1e3,
            "cm" => 1e4,
            "m" => 1e6,
            "\u{c5}" => 1e-4,
            "in" => 25_400.0,
            _ => return None,
        };
        size(pixels.attribute(name)?).map(|size| size * factor)
    };
    Some((side("PhysicalSizeX", "PhysicalSizeXUnit")?, side("PhysicalSizeY", "PhysicalSizeYUnit")?))
}

fn size(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|size: &f64| size.is_finite() && *size > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slide_says_what_a_pixel_measures() {
        let aperio =
            "Aperio Image Library v10\r\n46920x33014 (256x256) JPEG/RGB Q=30|AppMag = 20|MPP = 0.4990|Left = 25";
        assert_eq!(pixel_size_um(aperio), Some((0.499, 0.499)));
        let ome = |attributes: &str| {
            format!("<?xml version=\"1.0\"?><OME xmlns=\"o\"><Image><Pixels {attributes}/></Image></OME>")
        };
        let of = |attributes: &str| pixel_size_um(&ome(attributes));
        assert_eq!(of("PhysicalSizeX=\"0.5\" PhysicalSizeY=\"0.25\""), Some((0.5, 0.25)));
        let units = "PhysicalSizeX=\"250\" PhysicalSizeXUnit=\"nm\" PhysicalSizeY=\"2\" PhysicalSizeYUnit=\"mm\"";
        assert_eq!(of(units), Some((0.25, 2000.0)));
        assert_eq!(of("PhysicalSizeX=\"1\" PhysicalSizeXUnit=\"pixel\" PhysicalSizeY=\"2\""), None);
        for none in ["", "Aperio", "Aperio |MPP = much", "Aperio |MPP = -1", "<OME", "a holiday"] {
            assert_eq!(pixel_size_um(none), None, "{none}");
        }
    }
}
