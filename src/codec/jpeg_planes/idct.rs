//! The inverse transform of a block of coefficients (ITU-T T.81, A.3.3), to all of its samples or to means of them.
//!
//! A block is as many samples across and down as is asked for: 8, 4, 2 or 1. Fewer than 8 are the means of 2, 4 or 8
//! neighbours, exactly, but for the arithmetic: the mean of two neighbours of the transform of 8 is a transform of 4 of the
//! coefficients folded, and so on. So a reduced picture is what averaging the whole one gives, without the whole one.
//!
//! All is done for several rows or columns side by side, in floats: their 24 bits are more than samples of 12 bits need,
//! and every processor multiplies several of them at once.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Where the coefficient of each number of the stream belongs: the column of its frequency across, times 8, and down.
pub(super) const ORDER: [u8; 64] = {
    let mut order = [0; 64];
    let (mut at, mut diagonal) = (0, 0_u8);
    while diagonal < 15 {
        let least = diagonal.saturating_sub(7);
        let mut step = 0;
        while least + step <= diagonal - least {
            // Up to the right and down to the left by turns.
            let down = if diagonal.is_multiple_of(2) { diagonal - least - step } else { least + step };
            order[at] = (diagonal - down) * 8 + down;
            at += 1;
            step += 1;
        }
        diagonal += 1;
    }
    order
};

/// What coefficients are multiplied with, in the order of the stream, before [`inverse`] makes samples of them, however
/// many. `table` is their quantisation in this order.
pub(super) fn factors(table: &[u16; 64]) -> [f32; 64] {
    // What the fast transform of 8 leaves to its input is just what the mean of two neighbours has as a factor.
    let factor = |frequency: u8| {
        let scale = if frequency == 0 { FRAC_1_SQRT_2 } else { 1.0 };
        scale / 2.0 * (f64::from(frequency) * PI / 16.0).cos()
    };
    std::array::from_fn(|at| (f64::from(table[at]) * factor(ORDER[at] / 8) * factor(ORDER[at] % 8)) as f32)
}

/// Makes samples of coefficients that have their factors, in the places of [`ORDER`], and gives them to `put` row by row:
/// the row's number and its samples.
pub(super) fn inverse(block: &[f32; 64], side: (usize, usize), put: impl FnMut(usize, &[f32])) {
    let (columns, _) = block.as_chunks::<8>();
    let mut columns: [[f32; 8]; 8] = std::array::from_fn(|at| columns[at]);
    transform(side.0, &mut columns);
    match side.0 {
        8 => rows::<8>(&columns, side.1, put),
        4 => rows::<4>(&columns, side.1, put),
        2 => rows::<2>(&columns, side.1, put),
        _ => rows::<1>(&columns, side.1, put),
    }
}

/// As [`inverse`], of a block of which only the first `cut` samples across and down count: means are of those alone, each
/// held to `range` as at full size, and where there are none they are those of the last ones.
pub(super) fn inverse_cut(
    block: &[f32; 64],
    side: (usize, usize),
    cut: (usize, usize),
    range: (f32, f32),
    mut put: impl FnMut(usize, &[f32]),
) {
    let mut samples = [[0.0; 8]; 8];
    inverse(block, (8, 8), |row, values| samples[row].copy_from_slice(values));
    // The samples that number `at` of `side` is the mean of.
    let part = |at: usize, side: usize, cut: usize| {
        let n = 8 / side;
        (at * n).min(cut - 1)..((at + 1) * n).min(cut)
    };
    let mut means = [0.0; 8];
    for row in 0..side.1 {
        let lines = &samples[part(row, side.1, cut.1)];
        for (at, mean) in means[..side.0].iter_mut().enumerate() {
            let part = part(at, side.0, cut.0);
            let sum: f32 = lines.iter().flat_map(|line| &line[part.clone()]).map(|v| v.clamp(range.0, range.1)).sum();
            *mean = sum / (lines.len() * part.len()) as f32;
        }
        put(row, &means[..side.0]);
    }
}

fn rows<const L: usize>(columns: &[[f32; 8]; 8], side: usize, mut put: impl FnMut(usize, &[f32])) {
    let mut rows: [[f32; L]; 8] = std::array::from_fn(|row| std::array::from_fn(|column| columns[column][row]));
    transform(side, &mut rows);
    for (number, row) in rows[..side].iter().enumerate() {
        put(number, row);
    }
}

#[inline]
fn transform<const L: usize>(side: usize, lines: &mut [[f32; L]; 8]) {
    match side {
        8 => eight(lines),
        4 => four(lines),
        2 => two(lines),
        _ => {}
    }
}

#[inline]
fn zip<const L: usize>(a: &[f32; L], b: &[f32; L], of: impl Fn(f32, f32) -> f32) -> [f32; L] {
    std::array::from_fn(|at| of(a[at], b[at]))
}

#[inline]
fn add<const L: usize>(a: &[f32; L], b: &[f32; L]) -> [f32; L] {
    zip(a, b, |a, b| a + b)
}

#[inline]
fn sub<const L: usize>(a: &[f32; L], b: &[f32; L]) -> [f32; L] {
    zip(a, b, |a, b| a - b)
}

/// The cosine of pi / 8 and of 3 pi / 8.
const COS_1: f32 = 0.923_879_5;
const COS_3: f32 = 0.382_683_43;

/// The transform of Arai, Agui and Nakajima (1988): five multiplications.
#[inline]
fn eight<const L: usize>(lines: &mut [[f32; L]; 8]) {
    const ROOT: f32 = std::f32::consts::SQRT_2;
    let [x0, x1, x2, x3, x4, x5, x6, x7] = &*lines;
    let (sum, difference) = (add(x0, x4), sub(x0, x4));
    let inner = add(x2, x6);
    let turned = zip(&sub(x2, x6), &inner, |d, s| d * ROOT - s);
    let even = [add(&sum, &inner), add(&difference, &turned), sub(&difference, &turned), sub(&sum, &inner)];

    let (a, b) = (sub(x5, x3), add(x5, x3));
    let (c, d) = (add(x1, x7), sub(x1, x7));
    let o0 = add(&c, &b);
    let middle = zip(&c, &b, |c, b| (c - b) * ROOT);
    let shared = zip(&a, &d, |a, d| (a + d) * (2.0 * COS_1));
    let o1 = zip(&zip(&shared, &a, |shared, a| shared - a * (2.0 * (COS_1 + COS_3))), &o0, |v, o| v - o);
    let o2 = sub(&middle, &o1);
    let o3 = zip(&zip(&shared, &d, |shared, d| shared - d * (2.0 * (COS_1 - COS_3))), &o2, |v, o| v - o);
    for (at, odd) in [o0, o1, o2, o3].iter().enumerate() {
        (lines[at], lines[7 - at]) = (add(&even[at], odd), sub(&even[at], odd));
    }
}

/// Coefficients of 8 to those of the means of two neighbours: each takes the one that looks like it there.
#[inline]
fn fold<const L: usize>(lines: &[[f32; L]; 8]) -> [[f32; L]; 4] {
    [lines[0], sub(&lines[1], &lines[7]), sub(&lines[2], &lines[6]), sub(&lines[3], &lines[5])]
}

#[inline]
fn four<const L: usize>(lines: &mut [[f32; L]; 8]) {
    const ROOT: f32 = std::f32::consts::FRAC_1_SQRT_2;
    let [y0, y1, y2, y3] = fold(lines);
    let (outer, inner) = (zip(&y0, &y2, |a, b| a + b * ROOT), zip(&y0, &y2, |a, b| a - b * ROOT));
    let (first, second) = (zip(&y1, &y3, |a, b| a * COS_1 + b * COS_3), zip(&y1, &y3, |a, b| a * COS_3 - b * COS_1));
    let samples = [add(&outer, &first), add(&inner, &second), sub(&inner, &second), sub(&outer, &first)];
    lines[..4].copy_from_slice(&samples);
}

/// The means of the pairs that [`four`] gives.
#[inline]
fn two<const L: usize>(lines: &mut [[f32; L]; 8]) {
    const SUM: f32 = (COS_1 + COS_3) / 2.0;
    const DIFFERENCE: f32 = (COS_1 - COS_3) / 2.0;
    let [y0, y1, _, y3] = fold(lines);
    let slope = zip(&y1, &y3, |a, b| a * SUM - b * DIFFERENCE);
    (lines[0], lines[1]) = (add(&y0, &slope), sub(&y0, &slope));
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDES: [usize; 4] = [1, 2, 4, 8];

    /// The formula of the standard, with numbers of the stream.
    fn exact(coefficients: &[i32; 64]) -> [[f64; 8]; 8] {
        let scale = |frequency: usize| if frequency == 0 { FRAC_1_SQRT_2 / 2.0 } else { 0.5 };
        std::array::from_fn(|y| {
            std::array::from_fn(|x| {
                let wave = |at: usize, frequency: usize| {
                    scale(frequency) * ((2 * at + 1) as f64 * frequency as f64 * PI / 16.0).cos()
                };
                let terms = coefficients.iter().zip(ORDER).map(|(value, place)| {
                    f64::from(*value) * wave(x, usize::from(place / 8)) * wave(y, usize::from(place % 8))
                });
                terms.sum()
            })
        })
    }

    fn means(samples: &[[f64; 8]; 8], side: (usize, usize)) -> Vec<f64> {
        let (across, down) = (8 / side.0, 8 / side.1);
        let mut means = vec![];
        for y in 0..side.1 {
            for x in 0..side.0 {
                let rows = &samples[y * down..(y + 1) * down];
                let sum: f64 = rows.iter().map(|row| row[x * across..(x + 1) * across].iter().sum::<f64>()).sum();
                means.push(sum / (across * down) as f64);
            }
        }
        means
    }

    #[test]
    fn coefficients_come_in_the_order_of_the_standard() {
        let places: Vec<(u8, u8)> = ORDER.iter().map(|place| (place / 8, place % 8)).collect();
        assert_eq!(places[..7], [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1), (2, 0), (3, 0)]);
        assert_eq!(places[57..], [(4, 7), (5, 7), (6, 6), (7, 5), (7, 6), (6, 7), (7, 7)]);
        let mut sorted = ORDER;
        sorted.sort_unstable();
        assert!(sorted.iter().enumerate().all(|(at, place)| at == usize::from(*place)));
    }

    #[test]
    fn samples_are_those_of_the_formula_and_fewer_are_means_of_them() {
        let mut state = 1_u32;
        let mut next = move |bound: i32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as i32 % (2 * bound + 1) - bound
        };
        for round in 0..200 {
            let table: [u16; 64] = std::array::from_fn(|_| (next(20) + 21) as u16);
            // One coefficient after the other, then many of them.
            let values: [i32; 64] =
                std::array::from_fn(|at| if round < 64 { i32::from(at == round) * 50 } else { next(40) });
            let exact = exact(&std::array::from_fn(|at| values[at] * i32::from(table[at])));
            for side in SIDES.into_iter().flat_map(|across| SIDES.map(|down| (across, down))) {
                let factors = factors(&table);
                let mut block = [0.0; 64];
                for at in 0..64 {
                    block[usize::from(ORDER[at])] = values[at] as f32 * factors[at];
                }
                let mut samples = vec![];
                inverse(&block, side, |row, values| {
                    assert_eq!((row, values.len()), (samples.len() / side.0, side.0));
                    samples.extend_from_slice(values);
                });
                for (sample, mean) in samples.iter().zip(means(&exact, side)) {
                    assert!((f64::from(*sample) - mean).abs() < 0.02, "{side:?}: {sample} for {mean}");
                }
                assert_eq!(samples.len(), side.0 * side.1);
                // All samples as if there were others behind them.
                let mut uncut = vec![];
                let all = (f32::MIN, f32::MAX);
                inverse_cut(&block, side, (8, 8), all, |_, values| uncut.extend_from_slice(values));
                assert!(samples.iter().zip(&uncut).all(|(sample, mean)| (sample - mean).abs() < 0.02), "{side:?}");
            }
        }
    }
}
