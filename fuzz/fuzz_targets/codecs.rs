//! The first bytes choose a kind of TIFF block, and the rest is what it is said to hold: a file around it is always well
//! formed, so that every input reaches a decoder.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

const COMPRESSIONS: [u16; 19] =
    [1, 2, 3, 4, 5, 7, 8, 32766, 32771, 32773, 32809, 32946, 34712, 34887, 34925, 50000, 50001, 50002, 6];

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some((kind, stored)) = bytes.split_first_chunk::<10>() else { return Corpus::Reject };
    tilekeep_fuzz::read_file(&file(kind, stored));
    Corpus::Keep
});

/// A TIFF of one block.
fn file(kind: &[u8; 10], stored: &[u8]) -> Vec<u8> {
    let [compression, width, height, bands, bits, format, predictor, photometric, options, flags] = kind.map(u32::from);
    let bits = [1, 2, 4, 8, 8, 10, 12, 14, 16, 16, 24, 32, 32, 64, 3, 128][bits as usize % 16];
    let bands = 1 + bands % 5;
    let compression = u32::from(COMPRESSIONS[compression as usize % COMPRESSIONS.len()]);
    let (width, height) = (1 + width, 1 + height);
    let planar = 1 + (flags & 1);
    let n_blocks = if planar == 2 { bands } else { 1 };
    let mut entries: Vec<(u16, u16, Vec<u32>)> = vec![
        (256, 4, vec![width]),
        (257, 4, vec![height]),
        (258, 3, vec![bits; bands as usize]),
        (259, 3, vec![compression]),
        (262, 3, vec![[0, 1, 2, 3, 5, 6, 8][photometric as usize % 7]]),
        (266, 3, vec![1 + (flags >> 1 & 1)]),
        (273, 4, vec![0; n_blocks as usize]),
        (277, 3, vec![bands]),
        (278, 4, vec![height]),
        (279, 4, vec![stored.len() as u32; n_blocks as usize]),
        (284, 3, vec![planar]),
        (292, 4, vec![options & 7]),
        (317, 3, vec![1 + predictor % 3]),
        (339, 3, vec![1 + format % 6; bands as usize]),
        (530, 3, vec![1 << (options & 3), 1 << (options >> 2 & 3)]),
        (50674, 4, vec![4, options % 3]),
    ];
    let is_big_endian = flags >> 2 & 1 == 1;
    let number = |value: u32, bytes: usize| -> Vec<u8> {
        let all = if is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        if is_big_endian { all[4 - bytes..].to_vec() } else { all[..bytes].to_vec() }
    };
    // Header, directory, values that do not fit in it, the block.
    let size = |kind: u16| if kind == 3 { 2 } else { 4 };
    let directory = 8 + 2 + 12 * entries.len() + 4;
    let outside: usize =
        entries.iter().map(|(_, kind, values)| size(*kind) * values.len()).filter(|bytes| *bytes > 4).sum();
    let start = (directory + outside) as u32;
    entries.iter_mut().filter(|entry| entry.0 == 273).for_each(|entry| entry.2.fill(start));
    let mut out = if is_big_endian { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
    out.extend(number(8, 4));
    out.extend(number(entries.len() as u32, 2));
    let mut values_outside = Vec::new();
    for (tag, kind, values) in &entries {
        out.extend(number(u32::from(*tag), 2));
        out.extend(number(u32::from(*kind), 2));
        out.extend(number(values.len() as u32, 4));
        let mut bytes: Vec<u8> = values.iter().flat_map(|value| number(*value, size(*kind))).collect();
        if bytes.len() > 4 {
            out.extend(number((directory + values_outside.len()) as u32, 4));
            values_outside.extend(bytes);
        } else {
            bytes.resize(4, 0);
            out.extend(bytes);
        }
    }
    out.extend(number(0, 4));
    out.extend(values_outside);
    out.extend(stored);
    out
}
