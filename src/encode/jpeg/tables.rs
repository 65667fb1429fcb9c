//! The tables of ITU-T T.81, annex K, that nearly all files are made with, and the order of coefficients.

/// Coefficients of a block from the lowest frequency to the highest: row and column of each, as `8 * row + column`.
pub(super) const ZIGZAG: [u8; 64] = {
    let mut order = [0; 64];
    let (mut row, mut col, mut at) = (0, 0, 0);
    while at < 64 {
        order[at] = 8 * row + col;
        at += 1;
        // Up and to the right on even diagonals, back on odd ones; along the edge where one ends.
        if (row + col) % 2 == 0 {
            if col == 7 {
                row += 1;
            } else {
                col += 1;
                row = if row == 0 { 0 } else { row - 1 };
            }
        } else if row == 7 {
            col += 1;
        } else {
            row += 1;
            col = if col == 0 { 0 } else { col - 1 };
        }
    }
    order
};

/// What each coefficient of luma is divided by at a quality of 50, row by row.
pub(super) const LUMA: [u8; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, //
    12, 12, 14, 19, 26, 58, 60, 55, //
    14, 13, 16, 24, 40, 57, 69, 56, //
    14, 17, 22, 29, 51, 87, 80, 62, //
    18, 22, 37, 56, 68, 109, 103, 77, //
    24, 35, 55, 64, 81, 104, 113, 92, //
    49, 64, 78, 87, 103, 121, 120, 101, //
    72, 92, 95, 98, 112, 100, 103, 99,
];

/// The same of both kinds of chroma.
pub(super) const CHROMA: [u8; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, //
    18, 21, 26, 66, 99, 99, 99, 99, //
    24, 26, 56, 99, 99, 99, 99, 99, //
    47, 66, 99, 99, 99, 99, 99, 99, //
    99, 99, 99, 99, 99, 99, 99, 99, //
    99, 99, 99, 99, 99, 99, 99, 99, //
    99, 99, 99, 99, 99, 99, 99, 99, //
    99, 99, 99, 99, 99, 99, 99, 99,
];

/// A table for a quality of 1 to 100, as libjpeg scales it, so that a quality means what users are used to.
pub(super) fn scaled(table: &[u8; 64], quality: u8) -> [u8; 64] {
    let quality = u32::from(quality.clamp(1, 100));
    let percent = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    table.map(|step| ((u32::from(step) * percent + 50) / 100).clamp(1, 255) as u8)
}

/// Huffman codes as files define them: how many there are of each length from 1 to 16 bits, and what they stand for.
pub(super) struct Codes {
    pub(super) lengths: [u8; 16],
    pub(super) symbols: &'static [u8],
}

impl Codes {
    /// Code and length of every symbol; a length of 0 for those that have none.
    pub(super) const fn by_symbol(&self) -> [(u16, u8); 256] {
        let mut codes = [(0, 0); 256];
        let (mut code, mut at, mut length) = (0_u32, 0, 1);
        while length <= 16 {
            let mut left = self.lengths[length - 1];
            while left > 0 {
                codes[self.symbols[at] as usize] = (code as u16, length as u8);
                (code, at, left) = (code + 1, at + 1, left - 1);
            }
            (code, length) = (code * 2, length + 1);
        }
        codes
    }
}

const CATEGORIES: &[u8] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

/// Differences of the mean of luma.
pub(super) const LUMA_DC: Codes =
    Codes { lengths: [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], symbols: CATEGORIES };

/// Differences of the mean of chroma.
pub(super) const CHROMA_DC: Codes =
    Codes { lengths: [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], symbols: CATEGORIES };

/// Other coefficients of luma: how many zeros are before them, and how many bits they have.
pub(super) const LUMA_AC: Codes = Codes {
    lengths: [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125],
    symbols: &[
        0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
        0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72,
        0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37,
        0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
        0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
        0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3,
        0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
        0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
        0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
    ],
};

/// The same of chroma.
pub(super) const CHROMA_AC: Codes = Codes {
    lengths: [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119],
    symbols: &[
        0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
        0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1,
        0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36,
        0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
        0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
        0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
        0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
        0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
        0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_coefficients_visits_each_once_from_corner_to_corner() {
        assert_eq!(ZIGZAG[..12], [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25]);
        assert_eq!(ZIGZAG[56..], [53, 60, 61, 54, 47, 55, 62, 63]);
        let mut sorted = ZIGZAG;
        sorted.sort_unstable();
        assert_eq!(sorted, std::array::from_fn(|i| i as u8));
    }

    #[test]
    fn a_quality_scales_tables_as_libjpeg_does() {
        assert_eq!(scaled(&LUMA, 50), LUMA);
        assert_eq!(scaled(&CHROMA, 100), [1; 64]);
        assert_eq!(scaled(&LUMA, 90)[..8], [3, 2, 2, 3, 5, 8, 10, 12]);
        assert_eq!(scaled(&LUMA, 75)[..8], [8, 6, 5, 8, 12, 20, 26, 31]);
        assert_eq!(scaled(&LUMA, 10)[..8], [80, 55, 50, 80, 120, 200, 255, 255]);
        assert_eq!(scaled(&LUMA, 1), [255; 64]);
    }

    #[test]
    fn every_symbol_that_can_occur_has_a_code_of_its_own() {
        for codes in [LUMA_DC, CHROMA_DC, LUMA_AC, CHROMA_AC] {
            let n: usize = codes.lengths.iter().map(|n| usize::from(*n)).sum();
            assert_eq!(n, codes.symbols.len());
            let by_symbol = codes.by_symbol();
            let coded: Vec<_> = by_symbol.iter().filter(|(_, length)| *length > 0).collect();
            assert_eq!(coded.len(), n);
            for (i, (a, a_length)) in coded.iter().enumerate() {
                for (b, b_length) in &coded[i + 1..] {
                    let shorter = a_length.min(b_length);
                    assert_ne!(a >> (a_length - shorter), b >> (b_length - shorter), "one is the start of the other");
                }
            }
        }
        for codes in [LUMA_AC, CHROMA_AC] {
            let wanted = (0..16).flat_map(|run| (1..=10).map(move |bits| run << 4 | bits)).chain([0x00, 0xf0]);
            assert!(wanted.into_iter().all(|symbol: u8| codes.symbols.contains(&symbol)));
        }
    }
}
