//! Numbers in texts, read as the programs read them that wrote them.

use crate::sample::SampleType;

use super::{ColorInterpretation, Nodata};

/// A nodata value that was written down for samples of this type; text that is no number means there is none.
pub(super) fn nodata(text: &str, sample: SampleType) -> Option<Nodata> {
    let text = text.trim();
    match sample {
        SampleType::I64 => text.parse().ok().map(Nodata::Int),
        SampleType::U64 => text.parse().ok().map(Nodata::UInt),
        // Texts have too few digits, or too many: what is meant is the sample next to the number.
        SampleType::F32 => leading_float(text).map(|value| {
            let sample = f64::from(value as f32);
            Nodata::Float(if sample.is_infinite() { value } else { sample })
        }),
        _ => leading_float(text).map(Nodata::Float),
    }
}

/// The number that a text starts with, as C's `strtod` reads it: `-9999.0 (filled)` is -9999.
pub(super) fn leading_float(text: &str) -> Option<f64> {
    // No number is longer, and the text may be.
    let text: String = text.trim_start().chars().take(64).collect();
    let lower = text.to_ascii_lowercase();
    match lower.trim_end() {
        "nan" | "+nan" | "-nan" | "-1.#ind" | "1.#qnan" | "-1.#qnan" => return Some(f64::NAN),
        "1.#inf" => return Some(f64::INFINITY),
        "-1.#inf" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    let ends = lower.char_indices().map(|(i, c)| i + c.len_utf8()).rev();
    ends.into_iter().find_map(|end| lower[..end].parse().ok())
}

/// What a band shows, by the name that GDAL writes.
pub(super) fn color(name: &str) -> Option<ColorInterpretation> {
    use ColorInterpretation as C;
    const NAMES: [(&str, ColorInterpretation); 14] = [
        ("Undefined", C::Undefined),
        ("Gray", C::Gray),
        ("Palette", C::Palette),
        ("Red", C::Red),
        ("Green", C::Green),
        ("Blue", C::Blue),
        ("Alpha", C::Alpha),
        ("Cyan", C::Cyan),
        ("Magenta", C::Magenta),
        ("Yellow", C::Yellow),
        ("Black", C::Black),
        ("YCbCr_Y", C::Luminance),
        ("YCbCr_Cb", C::ChromaFirst),
        ("YCbCr_Cr", C::ChromaSecond),
    ];
    let name = name.trim();
    NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, color)| *color)
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
    fn colours_have_the_names_of_gdal() {
        assert_eq!(color(" alpha"), Some(ColorInterpretation::Alpha));
        assert_eq!(color("Hue"), None);
    }
}
