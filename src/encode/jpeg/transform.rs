//! Samples to quantised frequencies.
//!
//! The transform is the forward DCT of T.81, A.3.3, in whole numbers: a first pass down the columns, one along the rows.
//! Each is the exact matrix in 13 binary places; sums and differences of opposite samples halve it, and for even
//! frequencies once more. Products are summed up in 32 bits and rounded once a pass, so that a coefficient is off by less than
//! a sixth of the smallest step of quality 100. The passes leave out a factor of 1/8, which is part of what
//! coefficients are divided by afterwards.
//!
//! Here is what every machine can do, and what the vectors of [`super::vector`] are compared with.

use super::tables::ZIGZAG;

/// A row of two blocks side by side.
type Lanes = [i16; 16];

/// Two blocks side by side: samples less 128, then coefficients.
///
/// Coefficients are transposed: a row for each frequency across, in it the frequencies down of one block, then those
/// of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(32))]
pub(super) struct Pair {
    pub(super) rows: [Lanes; 8],
    /// The coefficients of each block that are not 0: bit `8 * row + column` of the transposed block.
    pub(super) nonzero: [u64; 2],
}

impl Pair {
    pub(super) const ZERO: Self = Self { rows: [[0; 16]; 8], nonzero: [0; 2] };
}

/// Where a [`Pair`]'s first block has each coefficient, from the lowest frequency to the highest; the second has it 8
/// further.
pub(super) const PLACES: [u8; 64] = {
    let mut places = [0; 64];
    let mut at = 0;
    while at < 64 {
        places[at] = 16 * (ZIGZAG[at] % 8) + ZIGZAG[at] / 8;
        at += 1;
    }
    places
};

/// Divides coefficients by the steps of a table and rounds, with multiplications.
///
/// The divisors `d` are even, from 8 to 2040. With `2^s < d <= 2^(s + 1)` and `m = ceil(2^(15 + s) / d)` the quotient of any
/// `n` below 2^14 is `n * m / 2^16`, cut, then divided by `2^(s - 1)` and rounded, exactly: that `m` is too large adds less than
/// `n / 2^14 / d`, and what is to be rounded down is at least `1 / d` below what is not.
#[derive(Clone, Debug)]
#[repr(C, align(32))]
pub(super) struct Quantizer {
    /// `m`.
    pub(super) reciprocal: [[i16; 16]; 8],
    /// 2^(16 - s): vectors have no shift that differs by lane, but a multiplication that rounds in the 15th place.
    pub(super) scale: [[i16; 16]; 8],
}

impl Quantizer {
    /// That of a table in rows.
    pub(super) fn new(table: &[u8; 64]) -> Self {
        let mut quantizer = Self { reciprocal: [[0; 16]; 8], scale: [[0; 16]; 8] };
        for across in 0..8 {
            for lane in 0..16 {
                // The transform leaves out 1/8.
                let divisor = 8 * u32::from(table[lane % 8 * 8 + across].max(1));
                quantizer.reciprocal[across][lane] = (1_u32 << (15 + shift(divisor))).div_ceil(divisor) as i16;
                quantizer.scale[across][lane] = 1 << (16 - shift(divisor));
            }
        }
        quantizer
    }
}

/// `s` of a divisor.
fn shift(divisor: u32) -> u32 {
    (divisor - 1).ilog2()
}

/// Makes quantised coefficients of the samples of each pair.
pub(super) fn transform(pairs: &mut [Pair], quantizer: &Quantizer) {
    for pair in pairs {
        pass::<true>(&mut pair.rows);
        transpose(&mut pair.rows);
        pass::<false>(&mut pair.rows);
        pair.nonzero = quantize(&mut pair.rows, quantizer);
    }
}

/// Binary places of [`EVEN`] and [`ODD`].
pub(super) const PLACES_OF_FACTORS: i32 = 13;
/// Binary places that samples have between the passes.
pub(super) const PLACES_BETWEEN: i32 = 2;

/// How much of each pair of samples is in frequencies 2 and 6, of frequency 2: √2 cos(π/8) and √2 cos(3π/8).
pub(super) const EVEN: [i16; 2] = [10_703, 4_433];
/// The same for frequencies 1, 3, 5 and 7: √2 cos(nπ/16) for n = 1, 3, 5, 7, with the signs of each.
pub(super) const ODD: [[i16; 4]; 4] = {
    let [a, b, c, d] = [11_363, 9_633, 6_436, 2_260];
    [[a, b, c, d], [b, -d, -a, -c], [c, -a, d, b], [d, -c, b, -a]]
};

/// One pass down all columns.
fn pass<const IS_FIRST: bool>(rows: &mut [Lanes; 8]) {
    let [a, b, c, d, e, f, g, h] = &*rows;
    let sums = [add(a, h), add(b, g), add(c, f), add(d, e)];
    let differences = [&subtract(a, h), &subtract(b, g), &subtract(c, f), &subtract(d, e)];
    let (outer, inner) = (add(&sums[0], &sums[3]), add(&sums[1], &sums[2]));
    let even = [&subtract(&sums[0], &sums[3]), &subtract(&sums[1], &sums[2])];
    let [large, small] = EVEN;
    *rows = [
        plain::<IS_FIRST>(add(&outer, &inner)),
        weighted::<IS_FIRST, 4>(differences, ODD[0]),
        weighted::<IS_FIRST, 2>(even, [large, small]),
        weighted::<IS_FIRST, 4>(differences, ODD[1]),
        plain::<IS_FIRST>(subtract(&outer, &inner)),
        weighted::<IS_FIRST, 4>(differences, ODD[2]),
        weighted::<IS_FIRST, 2>(even, [small, -large]),
        weighted::<IS_FIRST, 4>(differences, ODD[3]),
    ];
}

/// Both, lane by lane. Loops over lanes alone are what compilers make vectors of.
#[inline(always)]
fn each(a: &Lanes, b: &Lanes, of: impl Fn(i16, i16) -> i16) -> Lanes {
    let mut out = [0; 16];
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = of(*a, *b);
    }
    out
}

/// Sums have room in 16 bits: in the second pass they are at most 8 times 4 * 1024, and that only below 0.
#[inline(always)]
fn add(a: &Lanes, b: &Lanes) -> Lanes {
    each(a, b, |a, b| a + b)
}

#[inline(always)]
fn subtract(a: &Lanes, b: &Lanes) -> Lanes {
    each(a, b, |a, b| a - b)
}

#[inline(always)]
fn plain<const IS_FIRST: bool>(mut sums: Lanes) -> Lanes {
    let half = 1 << (PLACES_BETWEEN - 1);
    for sum in &mut sums {
        *sum = if IS_FIRST { *sum << PLACES_BETWEEN } else { (*sum + half) >> PLACES_BETWEEN };
    }
    sums
}

#[inline(always)]
fn weighted<const IS_FIRST: bool, const N: usize>(lanes: [&Lanes; N], factors: [i16; N]) -> Lanes {
    let drop = if IS_FIRST { PLACES_OF_FACTORS - PLACES_BETWEEN } else { PLACES_OF_FACTORS + PLACES_BETWEEN };
    let mut sums = [1 << (drop - 1); 16];
    for (lanes, factor) in lanes.into_iter().zip(factors) {
        for (sum, lane) in sums.iter_mut().zip(lanes) {
            *sum += i32::from(*lane) * i32::from(factor);
        }
    }
    let mut out = [0; 16];
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = (sum >> drop) as i16;
    }
    out
}

/// Exchanges rows and columns of each block.
fn transpose(rows: &mut [Lanes; 8]) {
    let before = *rows;
    for (row, lanes) in rows.iter_mut().enumerate() {
        for (lane, sample) in lanes.iter_mut().enumerate() {
            *sample = before[lane % 8][lane / 8 * 8 + row];
        }
    }
}

/// Divides, and says which quotients are not 0.
fn quantize(rows: &mut [Lanes; 8], quantizer: &Quantizer) -> [u64; 2] {
    let mut nonzero = [0; 2];
    for (row, lanes) in rows.iter_mut().enumerate() {
        let (reciprocal, scale) = (&quantizer.reciprocal[row], &quantizer.scale[row]);
        let high = each(lanes, reciprocal, |n, m| ((i32::from(n.abs()) * i32::from(m)) >> 16) as i16);
        let quotients =
            each(&high, scale, |high, scale| ((i32::from(high) * i32::from(scale) + (1 << 14)) >> 15) as i16);
        *lanes = each(&quotients, lanes, |quotient, n| if n < 0 { -quotient } else { quotient });
        let bits = (0..16).map(|lane| u64::from(lanes[lane] != 0) << lane).sum::<u64>();
        nonzero[0] |= (bits & 0xff) << (8 * row);
        nonzero[1] |= (bits >> 8) << (8 * row);
    }
    nonzero
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::super::tests::noise;
    use super::*;

    /// The transform by its definition, times 8.
    fn exact(samples: &[[i16; 16]; 8], block: usize, across: usize, down: usize) -> f64 {
        let scale = |frequency: usize| if frequency == 0 { 0.5_f64.sqrt() } else { 1.0 };
        let cosine = |at: usize, frequency: usize| ((2 * at + 1) as f64 * frequency as f64 * PI / 16.0).cos();
        let each = (0..64).map(|i| {
            let (x, y) = (i % 8, i / 8);
            f64::from(samples[y][8 * block + x]) * cosine(x, across) * cosine(y, down)
        });
        2.0 * scale(across) * scale(down) * each.sum::<f64>()
    }

    #[test]
    fn frequencies_are_those_of_the_definition_within_a_sixth_of_the_smallest_step() {
        let mut worst = 0_f64;
        for seed in 0..200 {
            let mut next = noise(seed);
            // Noise, and the corners of the range of samples, which sums must have room for.
            let rows: [[i16; 16]; 8] = std::array::from_fn(|_| {
                std::array::from_fn(|_| match seed {
                    0 => -128,
                    1 => 127,
                    2..100 => {
                        if next().is_multiple_of(2) {
                            -128
                        } else {
                            127
                        }
                    }
                    _ => (next() % 256) as i16 - 128,
                })
            });
            let mut out = rows;
            pass::<true>(&mut out);
            transpose(&mut out);
            pass::<false>(&mut out);
            for at in 0..128 {
                let (block, across, down) = (at / 64, at / 8 % 8, at % 8);
                let error = f64::from(out[across][8 * block + down]) - exact(&rows, block, across, down);
                worst = worst.max(error.abs());
            }
        }
        // In units of an eighth of a coefficient.
        assert!(worst < 8.0 / 6.0, "{worst}");
    }

    #[test]
    fn the_highest_amplitude_of_each_frequency_has_room() {
        for frequency in 0..64 {
            let (across, down) = (frequency % 8, frequency / 8);
            let cosine = |at: usize, frequency: usize| ((2 * at + 1) as f64 * frequency as f64 * PI / 16.0).cos();
            let rows: [[i16; 16]; 8] = std::array::from_fn(|y| {
                std::array::from_fn(|x| {
                    let is_up = (cosine(x % 8, across) * cosine(y, down) > 0.0) == (x < 8);
                    if is_up { 127 } else { -128 }
                })
            });
            let mut pair = Pair { rows, ..Pair::ZERO };
            transform(std::slice::from_mut(&mut pair), &Quantizer::new(&[1; 64]));
            for block in 0..2 {
                let expected = exact(&rows, block, across, down) / 8.0;
                let got = f64::from(pair.rows[across][8 * block + down]);
                assert!((got - expected).abs() < 0.7, "{across}, {down}: {got} for {expected}");
                assert!(frequency == 0 || got.abs() < 1024.0, "{across}, {down}: {got} has no code");
            }
        }
    }

    #[test]
    fn multiplying_divides_exactly_and_rounds() {
        for step in 1..=255_u8 {
            let quantizer = Quantizer::new(&[step; 64]);
            let divisor = 8 * i32::from(step);
            for first in (0..=8192).step_by(128) {
                let values: [i32; 128] = std::array::from_fn(|i| (first + i as i32) * if i % 3 == 0 { -1 } else { 1 });
                let mut rows: [[i16; 16]; 8] =
                    std::array::from_fn(|row| std::array::from_fn(|lane| values[16 * row + lane] as i16));
                let nonzero = quantize(&mut rows, &quantizer);
                for (at, value) in values.into_iter().enumerate() {
                    let (row, lane) = (at / 16, at % 16);
                    let expected = (value.abs() + divisor / 2) / divisor * value.signum();
                    assert_eq!(i32::from(rows[row][lane]), expected, "{value} / {divisor}");
                    assert_eq!(nonzero[lane / 8] >> (8 * row + lane % 8) & 1 == 1, expected != 0);
                }
            }
        }
    }
}
