//! Colours as styles spell them.

use serde_json::Value;

/// Red, green, blue and opacity, from 0 to 255; fractions are kept.
pub(super) type Rgba = [f64; 4];

/// The colour that a text names: a CSS name, `#rgb`, `#rgba`, `#rrggbb`, `#rrggbbaa`, or one of the short names
/// `R`, `G`, `B`, `RED`, `GREEN`, `BLUE`, which are the pure colours (CSS calls half of green `green`).
pub(super) fn of_text(text: &str) -> Option<Rgba> {
    let pure = match text {
        "R" | "RED" => Some([255.0, 0.0, 0.0, 255.0]),
        "G" | "GREEN" => Some([0.0, 255.0, 0.0, 255.0]),
        "B" | "BLUE" => Some([0.0, 0.0, 255.0, 255.0]),
        _ => None,
    };
    if pure.is_some() {
        return pure;
    }
    if let Some(digits) = text.strip_prefix('#') {
        return of_digits(digits);
    }
    let name = text.to_ascii_lowercase();
    if name == "transparent" {
        return Some([0.0; 4]);
    }
    let at = NAMES.binary_search_by(|(known, _)| (*known).cmp(&name)).ok()?;
    let [_, r, g, b] = NAMES[at].1.to_be_bytes().map(f64::from);
    Some([r, g, b, 255.0])
}

fn of_digits(digits: &str) -> Option<Rgba> {
    let digits: Vec<u32> = digits.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let values: Vec<u32> = match digits.len() {
        3 | 4 => digits.iter().map(|d| d * 17).collect(),
        6 | 8 => digits.chunks_exact(2).map(|d| d[0] * 16 + d[1]).collect(),
        _ => return None,
    };
    let mut color = [255.0; 4];
    color.iter_mut().zip(values).for_each(|(to, from)| *to = f64::from(from));
    Some(color)
}

/// The colour of three or four numbers: from 0 to 1 when none is greater, otherwise from 0 to 255.
pub(super) fn of_numbers(values: &[Value]) -> Option<Rgba> {
    let numbers: Vec<f64> = values.iter().map(Value::as_f64).collect::<Option<_>>()?;
    if !matches!(numbers.len(), 3 | 4) || !numbers.iter().all(|n| (0.0..=255.0).contains(n)) {
        return None;
    }
    let scale = if numbers.iter().all(|n| *n <= 1.0) { 255.0 } else { 1.0 };
    let mut color = [255.0; 4];
    color.iter_mut().zip(numbers).for_each(|(to, from)| *to = from * scale);
    Some(color)
}

/// The names of CSS in order.
#[rustfmt::skip]
const NAMES: [(&str, u32); 148] = [
    ("aliceblue", 0x00f0_f8ff), ("antiquewhite", 0x00fa_ebd7), ("aqua", 0x0000_ffff), ("aquamarine", 0x007f_ffd4),
    ("azure", 0x00f0_ffff), ("beige", 0x00f5_f5dc), ("bisque", 0x00ff_e4c4), ("black", 0x0000_0000),
    ("blanchedalmond", 0x00ff_ebcd), ("blue", 0x0000_00ff), ("blueviolet", 0x008a_2be2), ("brown", 0x00a5_2a2a),
    ("burlywood", 0x00de_b887), ("cadetblue", 0x005f_9ea0), ("chartreuse", 0x007f_ff00), ("chocolate", 0x00d2_691e),
    ("coral", 0x00ff_7f50), ("cornflowerblue", 0x0064_95ed), ("cornsilk", 0x00ff_f8dc), ("crimson", 0x00dc_143c),
    ("cyan", 0x0000_ffff), ("darkblue", 0x0000_008b), ("darkcyan", 0x0000_8b8b), ("darkgoldenrod", 0x00b8_860b),
    ("darkgray", 0x00a9_a9a9), ("darkgreen", 0x0000_6400), ("darkgrey", 0x00a9_a9a9), ("darkkhaki", 0x00bd_b76b),
    ("darkmagenta", 0x008b_008b), ("darkolivegreen", 0x0055_6b2f), ("darkorange", 0x00ff_8c00),
    ("darkorchid", 0x0099_32cc), ("darkred", 0x008b_0000), ("darksalmon", 0x00e9_967a), ("darkseagreen", 0x008f_bc8f),
    ("darkslateblue", 0x0048_3d8b), ("darkslategray", 0x002f_4f4f), ("darkslategrey", 0x002f_4f4f),
    ("darkturquoise", 0x0000_ced1), ("darkviolet", 0x0094_00d3), ("deeppink", 0x00ff_1493),
    ("deepskyblue", 0x0000_bfff), ("dimgray", 0x0069_6969), ("dimgrey", 0x0069_6969), ("dodgerblue", 0x001e_90ff),
    ("firebrick", 0x00b2_2222), ("floralwhite", 0x00ff_faf0), ("forestgreen", 0x0022_8b22), ("fuchsia", 0x00ff_00ff),
    ("gainsboro", 0x00dc_dcdc), ("ghostwhite", 0x00f8_f8ff), ("gold", 0x00ff_d700), ("goldenrod", 0x00da_a520),
    ("gray", 0x0080_8080), ("green", 0x0000_8000), ("greenyellow", 0x00ad_ff2f), ("grey", 0x0080_8080),
    ("honeydew", 0x00f0_fff0), ("hotpink", 0x00ff_69b4), ("indianred", 0x00cd_5c5c), ("indigo", 0x004b_0082),
    ("ivory", 0x00ff_fff0), ("khaki", 0x00f0_e68c), ("lavender", 0x00e6_e6fa), ("lavenderblush", 0x00ff_f0f5),
    ("lawngreen", 0x007c_fc00), ("lemonchiffon", 0x00ff_facd), ("lightblue", 0x00ad_d8e6),
    ("lightcoral", 0x00f0_8080), ("lightcyan", 0x00e0_ffff), ("lightgoldenrodyellow", 0x00fa_fad2),
    ("lightgray", 0x00d3_d3d3), ("lightgreen", 0x0090_ee90), ("lightgrey", 0x00d3_d3d3), ("lightpink", 0x00ff_b6c1),
    ("lightsalmon", 0x00ff_a07a), ("lightseagreen", 0x0020_b2aa), ("lightskyblue", 0x0087_cefa),
    ("lightslategray", 0x0077_8899), ("lightslategrey", 0x0077_8899), ("lightsteelblue", 0x00b0_c4de),
    ("lightyellow", 0x00ff_ffe0), ("lime", 0x0000_ff00), ("limegreen", 0x0032_cd32), ("linen", 0x00fa_f0e6),
    ("magenta", 0x00ff_00ff), ("maroon", 0x0080_0000), ("mediumaquamarine", 0x0066_cdaa), ("mediumblue", 0x0000_00cd),
    ("mediumorchid", 0x00ba_55d3), ("mediumpurple", 0x0093_70db), ("mediumseagreen", 0x003c_b371),
    ("mediumslateblue", 0x007b_68ee), ("mediumspringgreen", 0x0000_fa9a), ("mediumturquoise", 0x0048_d1cc),
    ("mediumvioletred", 0x00c7_1585), ("midnightblue", 0x0019_1970), ("mintcream", 0x00f5_fffa),
    ("mistyrose", 0x00ff_e4e1), ("moccasin", 0x00ff_e4b5), ("navajowhite", 0x00ff_dead), ("navy", 0x0000_0080),
    ("oldlace", 0x00fd_f5e6), ("olive", 0x0080_8000), ("olivedrab", 0x006b_8e23), ("orange", 0x00ff_a500),
    ("orangered", 0x00ff_4500), ("orchid", 0x00da_70d6), ("palegoldenrod", 0x00ee_e8aa), ("palegreen", 0x0098_fb98),
    ("paleturquoise", 0x00af_eeee), ("palevioletred", 0x00db_7093), ("papayawhip", 0x00ff_efd5),
    ("peachpuff", 0x00ff_dab9), ("peru", 0x00cd_853f), ("pink", 0x00ff_c0cb), ("plum", 0x00dd_a0dd),
    ("powderblue", 0x00b0_e0e6), ("purple", 0x0080_0080), ("rebeccapurple", 0x0066_3399), ("red", 0x00ff_0000),
    ("rosybrown", 0x00bc_8f8f), ("royalblue", 0x0041_69e1), ("saddlebrown", 0x008b_4513), ("salmon", 0x00fa_8072),
    ("sandybrown", 0x00f4_a460), ("seagreen", 0x002e_8b57), ("seashell", 0x00ff_f5ee), ("sienna", 0x00a0_522d),
    ("silver", 0x00c0_c0c0), ("skyblue", 0x0087_ceeb), ("slateblue", 0x006a_5acd), ("slategray", 0x0070_8090),
    ("slategrey", 0x0070_8090), ("snow", 0x00ff_fafa), ("springgreen", 0x0000_ff7f), ("steelblue", 0x0046_82b4),
    ("tan", 0x00d2_b48c), ("teal", 0x0000_8080), ("thistle", 0x00d8_bfd8), ("tomato", 0x00ff_6347),
    ("turquoise", 0x0040_e0d0), ("violet", 0x00ee_82ee), ("wheat", 0x00f5_deb3), ("white", 0x00ff_ffff),
    ("whitesmoke", 0x00f5_f5f5), ("yellow", 0x00ff_ff00), ("yellowgreen", 0x009a_cd32),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_colour_are_one_colour() {
        let white = Some([255.0; 4]);
        for text in ["white", "White", "#fff", "#FFFF", "#ffffff", "#FFFFFFFF"] {
            assert_eq!(of_text(text), white, "{text}");
        }
        let numbers = |text: &str| of_numbers(serde_json::from_str::<Value>(text).unwrap().as_array().unwrap());
        for text in ["[1, 1, 1]", "[1.0, 1, 1, 1]", "[255, 255, 255]", "[255, 255, 255, 255.0]"] {
            assert_eq!(numbers(text), white, "{text}");
        }
        assert_eq!(of_text("green"), Some([0.0, 128.0, 0.0, 255.0]));
        assert_eq!(of_text("G"), Some([0.0, 255.0, 0.0, 255.0]));
        assert_eq!(of_text("#1234"), Some([17.0, 34.0, 51.0, 68.0]));
        for none in ["[1, 1]", "[1, 1, 256]", "[1, 1, -1]", "[\"1\", 1, 1]"] {
            assert_eq!(numbers(none), None, "{none}");
        }
        for none in ["", "#", "#12", "#12345", "#gggggg", "whit", "#ééé"] {
            assert_eq!(of_text(none), None, "{none}");
        }
    }

    #[test]
    fn every_name_is_found() {
        assert!(NAMES.is_sorted());
        assert!(NAMES.iter().all(|(name, _)| of_text(name).is_some()));
    }
}
