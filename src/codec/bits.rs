//! Samples that are no whole number of bytes, and floats that are no `f32`.

use crate::error::{Error, Result};

/// Unpacks one row of unsigned samples of `bits` bits, most significant bit first, into native-endian words of
/// 1 byte (up to 8 bits), 2 bytes (up to 16) or 4 bytes (up to 32). Writes `n_samples` words to `out`.
///
/// # Errors
///
/// Unsupported for 0 or more than 32 bits. Corrupt when `input` holds fewer samples. Invalid argument when
/// `out` is not `n_samples` words.
pub(crate) fn unpack(input: &[u8], bits: u32, n_samples: usize, out: &mut [u8]) -> Result<()> {
    let word_bytes = word_bytes(bits)?;
    let needed = n_samples.checked_mul(bits as usize).map(|n_bits| n_bits.div_ceil(8));
    if needed.is_none_or(|needed| input.len() < needed) {
        let len = input.len();
        return Err(Error::corrupt(format!("{n_samples} samples of {bits} bits in a row of {len} bytes")));
    }
    if n_samples.checked_mul(word_bytes) != Some(out.len()) {
        let len = out.len();
        return Err(Error::invalid(format!("{len} bytes for {n_samples} samples of {word_bytes} bytes")));
    }
    match bits {
        1 => unpack_small::<1, 8>(input, out),
        2 => unpack_small::<2, 4>(input, out),
        4 => unpack_small::<4, 2>(input, out),
        8 => out.copy_from_slice(&input[..out.len()]),
        _ => match word_bytes {
            1 => unpack_any(input, bits, out.as_chunks_mut::<1>().0, |value| [value as u8]),
            2 => unpack_any(input, bits, out.as_chunks_mut::<2>().0, |value| (value as u16).to_ne_bytes()),
            _ => unpack_any(input, bits, out.as_chunks_mut::<4>().0, u32::to_ne_bytes),
        },
    }
    Ok(())
}

/// The bytes of the word that a sample of `bits` bits unpacks to.
pub(crate) fn word_bytes(bits: u32) -> Result<usize> {
    match bits {
        1..=8 => Ok(1),
        9..=16 => Ok(2),
        17..=32 => Ok(4),
        _ => Err(Error::unsupported(format!("packed samples of {bits} bits"))),
    }
}

/// `N` samples of `BITS` bits in each byte.
fn unpack_small<const BITS: usize, const N: usize>(input: &[u8], out: &mut [u8]) {
    let spread = |byte: u8| std::array::from_fn(|at| (byte >> (8 - BITS - at * BITS)) & ((1 << BITS) - 1));
    let (whole, rest) = out.as_chunks_mut::<N>();
    for (samples, byte) in whole.iter_mut().zip(input) {
        *samples = spread(*byte);
    }
    if let Some(&byte) = input.get(whole.len()) {
        let samples: [u8; N] = spread(byte);
        let n_left = rest.len();
        rest.copy_from_slice(&samples[..n_left]);
    }
}

fn unpack_any<const W: usize>(input: &[u8], bits: u32, out: &mut [[u8; W]], word: fn(u32) -> [u8; W]) {
    let (mut buffer, mut n_bits) = (0_u64, 0);
    let mut bytes = input.iter();
    for sample in out {
        while n_bits < bits {
            // `unpack` checked that the input holds all samples.
            buffer = buffer << 8 | u64::from(bytes.next().copied().unwrap_or(0));
            n_bits += 8;
        }
        n_bits -= bits;
        *sample = word((buffer >> n_bits) as u32 & (u32::MAX >> (32 - bits)));
    }
}

/// Converts 24-bit floats (1 sign, 7 exponent, 16 mantissa bits) to `f32`, which holds all of them.
pub(crate) fn widen_f24(input: &[u8], big_endian: bool, out: &mut [u8]) {
    for (word, &[a, b, c]) in out.as_chunks_mut::<4>().0.iter_mut().zip(input.as_chunks::<3>().0) {
        let value = if big_endian { u32::from_be_bytes([0, a, b, c]) } else { u32::from_le_bytes([a, b, c, 0]) };
        *word = f24_bits_to_f32_bits(value).to_ne_bytes();
    }
}

/// Converts native-endian 16-bit floats to `f32`, which holds all of them.
pub(crate) fn widen_f16(input: &[u8], out: &mut [u8]) {
    for (word, half) in out.as_chunks_mut::<4>().0.iter_mut().zip(input.as_chunks::<2>().0) {
        *word = f16_bits_to_f32_bits(u16::from_ne_bytes(*half).into()).to_ne_bytes();
    }
}

fn f16_bits_to_f32_bits(half: u32) -> u32 {
    small_float_to_f32_bits::<5, 10>(half)
}

fn f24_bits_to_f32_bits(value: u32) -> u32 {
    small_float_to_f32_bits::<7, 16>(value)
}

/// The bits of the `f32` that equals a float of one sign bit, `EXPONENT` and `MANTISSA` bits.
fn small_float_to_f32_bits<const EXPONENT: u32, const MANTISSA: u32>(value: u32) -> u32 {
    let sign = (value >> (EXPONENT + MANTISSA)) << 31;
    let exponent = (value >> MANTISSA) & ((1 << EXPONENT) - 1);
    let mantissa = value & ((1 << MANTISSA) - 1);
    let bias = (1 << (EXPONENT - 1)) - 1;
    let magnitude = match (exponent, mantissa) {
        // Infinity, and what is no number with its payload.
        (e, m) if e == (1 << EXPONENT) - 1 => 0xff << 23 | m << (23 - MANTISSA),
        (0, 0) => 0,
        // Too small for a leading one: normal in `f32`.
        (0, m) => {
            let shift = m.leading_zeros() - (31 - MANTISSA);
            let rest = (m << shift) & ((1 << MANTISSA) - 1);
            (127 - bias + 1 - shift) << 23 | rest << (23 - MANTISSA)
        }
        (e, m) => (e + 127 - bias) << 23 | m << (23 - MANTISSA),
    };
    sign | magnitude
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// One bit after the other.
    fn scalar_unpack(input: &[u8], bits: u32, n_samples: usize) -> Vec<u32> {
        let bit = |at: usize| u32::from(input[at / 8] >> (7 - at % 8) & 1);
        let bits = bits as usize;
        (0..n_samples).map(|i| (0..bits).fold(0, |value, b| value << 1 | bit(i * bits + b))).collect()
    }

    #[test]
    fn every_width_unpacks_as_bit_by_bit() {
        let input: Vec<u8> = (0..200_u32).map(|i| ((i * i * 31 + i * 7) >> 3) as u8).collect();
        for bits in 1..=32 {
            for n_samples in [0, 1, 2, 3, 7, 8, 9, 31, 50] {
                let word_bytes = word_bytes(bits).unwrap();
                let mut out = vec![0xa5; n_samples * word_bytes];
                let needed = (n_samples * bits as usize).div_ceil(8);
                unpack(&input[..needed], bits, n_samples, &mut out).unwrap();
                let got: Vec<u32> = out
                    .chunks(word_bytes)
                    .map(|word| match word {
                        [a] => u32::from(*a),
                        [a, b] => u32::from(u16::from_ne_bytes([*a, *b])),
                        _ => u32::from_ne_bytes(word.try_into().unwrap()),
                    })
                    .collect();
                assert_eq!(got, scalar_unpack(&input, bits, n_samples), "{n_samples} samples of {bits} bits");
            }
        }
    }

    #[test]
    fn rows_that_are_too_short_are_corrupt() {
        let kind =
            |bits, n_samples, out_len| unpack(&[0; 2], bits, n_samples, &mut vec![0; out_len]).unwrap_err().kind();
        assert_eq!(kind(1, 17, 17), ErrorKind::Corrupt);
        assert_eq!(kind(12, 2, 4), ErrorKind::Corrupt);
        assert_eq!(kind(12, usize::MAX, 4), ErrorKind::Corrupt);
        assert_eq!(kind(4, 4, 3), ErrorKind::InvalidArgument);
        assert_eq!(kind(0, 1, 1), ErrorKind::Unsupported);
        assert_eq!(kind(33, 1, 4), ErrorKind::Unsupported);
    }

    #[test]
    fn half_floats_keep_their_value() {
        let cases = [
            (0x0000, 0.0),
            (0x8000, -0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ];
        for (half, value) in cases {
            let mut out = [0; 4];
            widen_f16(&u16::to_ne_bytes(half), &mut out);
            assert_eq!(f32::from_ne_bytes(out).to_bits(), f32::to_bits(value), "{half:04x}");
        }
        let mut out = [0; 4];
        widen_f16(&u16::to_ne_bytes(0x7e01), &mut out);
        assert!(f32::from_ne_bytes(out).is_nan());
    }

    #[test]
    fn floats_of_24_bits_keep_their_value_in_either_byte_order() {
        let smallest = (2.0_f32).powi(-62 - 16);
        let cases: [(u32, f32); 7] = [
            (0, 0.0),
            (0x80_0000, -0.0),
            (0x3f_0000, 1.0),
            (0xbf_8000, -1.5),
            (0x00_0001, smallest),
            (0x01_0000, (2.0_f32).powi(-62)),
            (0x7f_0000, f32::INFINITY),
        ];
        for (bits, value) in cases {
            let [_, a, b, c] = bits.to_be_bytes();
            for (bytes, big_endian) in [([a, b, c], true), ([c, b, a], false)] {
                let mut out = [0; 4];
                widen_f24(&bytes, big_endian, &mut out);
                assert_eq!(f32::from_ne_bytes(out).to_bits(), value.to_bits(), "{bits:06x}");
            }
        }
    }

    #[test]
    fn integers_of_24_bits_become_32_bits() {
        let mut out = [0; 8];
        unpack(&[1, 2, 3, 4, 5, 6], 24, 2, &mut out).unwrap();
        assert_eq!(out, [0x01_0203_u32, 0x04_0506].map(u32::to_ne_bytes).concat()[..]);
    }
}
