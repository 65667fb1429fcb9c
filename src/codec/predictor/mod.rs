//! Undoes what a TIFF writer did to a row before it compressed it: predictor 2, differences between
//! neighbouring pixels (TIFF 6.0, section 14), and predictor 3, differences between the bytes of floats
//! (Adobe's TIFF Technical Note 3).
//!
//! Rows are independent. Samples are native-endian when predictor 2 is undone, so bytes are swapped before;
//! predictor 3 has a byte order of its own and gives native-endian samples whatever the file says.

mod vector;

use crate::error::{Error, Result};

/// Undoes predictor 2 in place: every sample becomes the sum of the differences of its band up to it.
///
/// `rows` are native-endian samples of 1, 2, 4 or 8 bytes, `samples_per_pixel` beside each other, in rows of
/// `row_bytes`; the last row may be shorter.
///
/// # Errors
///
/// Unsupported for any other sample size. Corrupt when a pixel has no samples or a row no bytes.
pub(crate) fn undo_horizontal(
    rows: &mut [u8],
    row_bytes: usize,
    samples_per_pixel: usize,
    sample_bytes: usize,
) -> Result<()> {
    if row_bytes == 0 || samples_per_pixel == 0 {
        return Err(Error::corrupt(format!(
            "predictor 2 with {samples_per_pixel} samples in rows of {row_bytes} bytes"
        )));
    }
    let undo_row = match sample_bytes {
        1 => horizontal_row::<1>,
        2 => horizontal_row::<2>,
        4 => horizontal_row::<4>,
        8 => horizontal_row::<8>,
        _ => return Err(Error::unsupported(format!("predictor 2 with samples of {sample_bytes} bytes"))),
    };
    let pixel_bytes = samples_per_pixel.saturating_mul(sample_bytes);
    if vector::sum_rows(rows, row_bytes, pixel_bytes, sample_bytes) {
        return Ok(());
    }
    for row in rows.chunks_mut(row_bytes) {
        undo_row(row, samples_per_pixel);
    }
    Ok(())
}

/// Undoes predictor 3 in place: sums the bytes up, then puts the bytes of a sample together.
///
/// In a stored row the most significant bytes of all samples come first, then the next ones, and so on; each
/// byte is the difference to the byte `samples_per_pixel` before. `sample_bytes` is 2, 3, 4 or 8. `scratch`
/// is grown to a row and holds nothing of value before or after.
///
/// # Errors
///
/// Unsupported for any other sample size. Corrupt when `row_bytes` is no whole number of pixels, or `rows` no
/// whole number of rows.
pub(crate) fn undo_float(
    rows: &mut [u8],
    row_bytes: usize,
    samples_per_pixel: usize,
    sample_bytes: usize,
    scratch: &mut Vec<u8>,
) -> Result<()> {
    type Undo = fn(&mut [u8], &mut [u8], usize);
    type Join = fn(&[u8], &mut [u8]);
    let (undo_row, join): (Undo, Join) = match sample_bytes {
        2 => (float_row::<2>, join::<2>),
        3 => (float_row::<3>, join::<3>),
        4 => (float_row::<4>, join_four),
        8 => (float_row::<8>, join::<8>),
        _ => return Err(Error::unsupported(format!("predictor 3 with samples of {sample_bytes} bytes"))),
    };
    let whole_pixels = samples_per_pixel
        .checked_mul(sample_bytes)
        .is_some_and(|pixel_bytes| pixel_bytes != 0 && row_bytes != 0 && row_bytes.is_multiple_of(pixel_bytes));
    if !whole_pixels || !rows.len().is_multiple_of(row_bytes) {
        return Err(Error::corrupt(format!(
            "predictor 3 with {samples_per_pixel} samples of {sample_bytes} bytes in rows of {row_bytes} bytes, block of {} bytes",
            rows.len()
        )));
    }
    let are_summed = vector::sum_rows(rows, row_bytes, samples_per_pixel, 1);
    for row in rows.chunks_exact_mut(row_bytes) {
        scratch.clear();
        scratch.extend_from_slice(row);
        if are_summed {
            join(scratch, row);
        } else {
            undo_row(scratch, row, samples_per_pixel);
        }
    }
    Ok(())
}

/// Adds two samples of `B` bytes, wrapping.
#[inline(always)]
fn add<const B: usize>(a: [u8; B], b: [u8; B]) -> [u8; B] {
    // The arrays have the length that the branch names; the conversions vanish.
    let mut sum = a;
    match B {
        1 => sum[0] = a[0].wrapping_add(b[0]),
        2 => sum.copy_from_slice(&word(a, u16::from_ne_bytes).wrapping_add(word(b, u16::from_ne_bytes)).to_ne_bytes()),
        4 => sum.copy_from_slice(&word(a, u32::from_ne_bytes).wrapping_add(word(b, u32::from_ne_bytes)).to_ne_bytes()),
        _ => sum.copy_from_slice(&word(a, u64::from_ne_bytes).wrapping_add(word(b, u64::from_ne_bytes)).to_ne_bytes()),
    }
    sum
}

#[inline(always)]
fn word<const B: usize, const N: usize, T>(bytes: [u8; B], from: fn([u8; N]) -> T) -> T {
    let mut same = [0; N];
    same.copy_from_slice(&bytes);
    from(same)
}

fn horizontal_row<const B: usize>(row: &mut [u8], samples_per_pixel: usize) {
    let (samples, _) = row.as_chunks_mut::<B>();
    match samples_per_pixel {
        1 => sum_pixels(samples, [[0; B]; 1]),
        2 => sum_pixels(samples, [[0; B]; 2]),
        3 => sum_pixels(samples, [[0; B]; 3]),
        4 => sum_pixels(samples, [[0; B]; 4]),
        _ => sum_wide_pixels(samples, samples_per_pixel),
    }
}

/// Sums in registers, one for each band, from `sums` on.
#[inline(always)]
fn sum_pixels<const B: usize, const S: usize>(samples: &mut [[u8; B]], mut sums: [[u8; B]; S]) {
    let (pixels, rest) = samples.as_chunks_mut::<S>();
    for pixel in pixels {
        for (sample, sum) in pixel.iter_mut().zip(&mut sums) {
            *sum = add(*sum, *sample);
            *sample = *sum;
        }
    }
    for (sample, sum) in rest.iter_mut().zip(sums) {
        *sample = add(sum, *sample);
    }
}

/// Adds each pixel to the next one, all its bands at once.
fn sum_wide_pixels<const B: usize>(samples: &mut [[u8; B]], samples_per_pixel: usize) {
    for start in (samples_per_pixel..samples.len()).step_by(samples_per_pixel) {
        let (done, rest) = samples.split_at_mut(start);
        for (sample, before) in rest.iter_mut().zip(&done[start - samples_per_pixel..]) {
            *sample = add(*before, *sample);
        }
    }
}

/// Undoes the row in `stored`, which it may change, to `row`; both are `samples * B` bytes.
fn float_row<const B: usize>(stored: &mut [u8], row: &mut [u8], samples_per_pixel: usize) {
    let n_samples = row.len() / B;
    // With one band, what each plane of bytes starts from is known from the totals of the planes before it.
    // Then the planes are summed up side by side, after the samples are put together, and not one after the
    // other in one long chain.
    let one_band = samples_per_pixel == 1;
    let mut starts = [0_u8; B];
    if one_band {
        for plane in 1..B {
            let before = &stored[(plane - 1) * n_samples..plane * n_samples];
            let total = before.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
            starts[plane] = starts[plane - 1].wrapping_add(total);
        }
    } else {
        horizontal_row::<1>(stored, samples_per_pixel);
    }
    join::<B>(stored, row);
    if one_band {
        sum_pixels(row.as_chunks_mut::<1>().0, native(starts).map(|start| [start]));
    }
}

/// Puts samples together from planes of their bytes, the most significant first.
fn join<const B: usize>(stored: &[u8], row: &mut [u8]) {
    let n_samples = row.len() / B;
    let mut left = stored;
    let planes: [&[u8]; B] = std::array::from_fn(|_| {
        let (plane, rest) = left.split_at(n_samples);
        left = rest;
        plane
    });
    let samples = &mut row.as_chunks_mut::<B>().0[..n_samples];
    for at in 0..n_samples {
        samples[at] = native(std::array::from_fn(|plane| planes[plane][at]));
    }
}

fn join_four(stored: &[u8], row: &mut [u8]) {
    if !vector::join_four(stored, row) {
        join::<4>(stored, row);
    }
}

/// Big-endian bytes in the order of this machine.
#[inline(always)]
fn native<const B: usize>(mut bytes: [u8; B]) -> [u8; B] {
    if cfg!(target_endian = "little") {
        bytes.reverse();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use proptest::prelude::*;

    /// The samples of a row as numbers; predictor 2 only adds, so 64 bits hold them all.
    fn numbers(row: &[u8], sample_bytes: usize) -> Vec<u64> {
        row.chunks_exact(sample_bytes)
            .map(|bytes| match bytes {
                [a] => u64::from(*a),
                [a, b] => u64::from(u16::from_ne_bytes([*a, *b])),
                [a, b, c, d] => u64::from(u32::from_ne_bytes([*a, *b, *c, *d])),
                _ => u64::from_ne_bytes(bytes.try_into().unwrap()),
            })
            .collect()
    }

    fn scalar_horizontal(row: &[u8], samples_per_pixel: usize, sample_bytes: usize) -> Vec<u64> {
        let mask = u64::MAX >> (64 - 8 * sample_bytes);
        let mut samples = numbers(row, sample_bytes);
        for i in samples_per_pixel..samples.len() {
            samples[i] = samples[i].wrapping_add(samples[i - samples_per_pixel]) & mask;
        }
        samples
    }

    /// The other direction of predictor 3, from the specification: planes, most significant first, then
    /// differences.
    fn scalar_float_forwards(row: &[u8], samples_per_pixel: usize, sample_bytes: usize) -> Vec<u8> {
        let n = row.len() / sample_bytes;
        let mut stored = vec![0; row.len()];
        for (i, sample) in row.chunks_exact(sample_bytes).enumerate() {
            for (byte, value) in sample.iter().enumerate() {
                let plane = if cfg!(target_endian = "little") { sample_bytes - 1 - byte } else { byte };
                stored[plane * n + i] = *value;
            }
        }
        for i in (samples_per_pixel..stored.len()).rev() {
            stored[i] = stored[i].wrapping_sub(stored[i - samples_per_pixel]);
        }
        stored
    }

    proptest! {
        #[test]
        fn differences_are_summed_up_band_by_band(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
            sample_log in 0_u32..4,
            samples_per_pixel in 1_usize..8,
            width in 1_usize..20,
        ) {
            let sample_bytes = 1 << sample_log;
            let row_bytes = width * samples_per_pixel * sample_bytes;
            let mut rows = bytes.clone();
            undo_horizontal(&mut rows, row_bytes, samples_per_pixel, sample_bytes).unwrap();
            for (got, stored) in rows.chunks(row_bytes).zip(bytes.chunks(row_bytes)) {
                prop_assert_eq!(numbers(got, sample_bytes), scalar_horizontal(stored, samples_per_pixel, sample_bytes));
            }
        }

        #[test]
        fn float_rows_come_back(
            bytes in prop::collection::vec(any::<u8>(), 2000),
            sample_bytes in prop::sample::select(vec![2_usize, 3, 4, 8]),
            samples_per_pixel in 1_usize..6,
            width in 1_usize..40,
        ) {
            let row_bytes = width * samples_per_pixel * sample_bytes;
            let plain = &bytes[..bytes.len() / row_bytes * row_bytes];
            let mut rows: Vec<u8> = plain
                .chunks(row_bytes)
                .flat_map(|row| scalar_float_forwards(row, samples_per_pixel, sample_bytes))
                .collect();
            undo_float(&mut rows, row_bytes, samples_per_pixel, sample_bytes, &mut vec![1, 2, 3]).unwrap();
            prop_assert_eq!(rows, plain);
        }
    }

    /// What is done where there are no vectors is the oracle of what is done where there are.
    #[test]
    fn rows_are_summed_alike_with_vectors_and_without() {
        let bytes: Vec<u8> = (0..4000_u32).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 21) as u8).collect();
        for (sample_log, samples_per_pixel) in (0..4_u32).flat_map(|log| (1..18_usize).map(move |n| (log, n))) {
            let sample_bytes = 1 << sample_log;
            for width in [1, 2, 5, 16, 17, 64] {
                let row_bytes = width * samples_per_pixel * sample_bytes;
                let mut rows = bytes[..bytes.len().min(3 * row_bytes)].to_vec();
                let mut plain = rows.clone();
                plain.chunks_mut(row_bytes).for_each(|row| match sample_bytes {
                    1 => horizontal_row::<1>(row, samples_per_pixel),
                    2 => horizontal_row::<2>(row, samples_per_pixel),
                    4 => horizontal_row::<4>(row, samples_per_pixel),
                    _ => horizontal_row::<8>(row, samples_per_pixel),
                });
                undo_horizontal(&mut rows, row_bytes, samples_per_pixel, sample_bytes).unwrap();
                assert_eq!(rows, plain, "{width} pixels of {samples_per_pixel} samples of {sample_bytes} bytes");
            }
        }
    }

    #[test]
    fn floats_are_put_together_alike_with_vectors_and_without() {
        let planes: Vec<u8> = (0..4 * 150_u32).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 21) as u8).collect();
        for n_samples in 0..150 {
            let (mut samples, mut plain) = (vec![0; 4 * n_samples], vec![0; 4 * n_samples]);
            join_four(&planes[..4 * n_samples], &mut samples);
            join::<4>(&planes[..4 * n_samples], &mut plain);
            assert_eq!(samples, plain);
        }
    }

    #[test]
    fn sizes_that_no_writer_has_are_errors() {
        let mut rows = vec![0; 24];
        assert_eq!(undo_horizontal(&mut rows, 24, 1, 3).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(undo_horizontal(&mut rows, 0, 1, 1).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(undo_horizontal(&mut rows, 24, 0, 1).unwrap_err().kind(), ErrorKind::Corrupt);
        let mut scratch = vec![];
        assert_eq!(undo_float(&mut rows, 24, 1, 1, &mut scratch).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(undo_float(&mut rows, 22, 1, 4, &mut scratch).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(undo_float(&mut rows, 16, 1, 4, &mut scratch).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(undo_float(&mut rows, 24, 0, 4, &mut scratch).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
