//! The row filters of PNG (section 9 of its specification), undone in place.
//!
//! Sums are taken byte by byte, of the pixel to the left, of the row before, or of what both predict. A loop for each size
//! of pixel lets the compiler keep the pixel to the left in registers and add its bytes at once.

use crate::error::{Error, Result};

/// Turns the filtered bytes of `row` into what they were, `before` being the row above or zeros. `pixel_bytes` is 1 for
/// pixels of fewer than 8 bits.
///
/// # Errors
///
/// Corrupt for a filter that there is not.
pub(crate) fn undo(filter: u8, pixel_bytes: usize, before: &[u8], row: &mut [u8]) -> Result<()> {
    match (filter, pixel_bytes) {
        (0, _) => {}
        (2, _) => row.iter_mut().zip(before).for_each(|(byte, up)| *byte = byte.wrapping_add(*up)),
        (1 | 3 | 4, 1) => of_size::<1>(filter, before, row),
        (1 | 3 | 4, 2) => of_size::<2>(filter, before, row),
        (1 | 3 | 4, 3) => of_size::<3>(filter, before, row),
        (1 | 3 | 4, 4) => of_size::<4>(filter, before, row),
        (1 | 3 | 4, 6) => of_size::<6>(filter, before, row),
        (1 | 3 | 4, 8) => of_size::<8>(filter, before, row),
        _ => return Err(Error::corrupt(format!("row filter {filter} of pixels of {pixel_bytes} bytes"))),
    }
    Ok(())
}

fn of_size<const N: usize>(filter: u8, before: &[u8], row: &mut [u8]) {
    let pixels = row.as_chunks_mut::<N>().0.iter_mut();
    let above = before.as_chunks::<N>().0.iter();
    let mut left = [0; N];
    match filter {
        1 => pixels.for_each(|pixel| {
            *pixel = std::array::from_fn(|i| pixel[i].wrapping_add(left[i]));
            left = *pixel;
        }),
        3 => pixels.zip(above).for_each(|(pixel, up)| {
            // The mean without a carry: what both have, and half of what one has.
            *pixel = std::array::from_fn(|i| pixel[i].wrapping_add((left[i] & up[i]) + ((left[i] ^ up[i]) >> 1)));
            left = *pixel;
        }),
        _ => {
            let mut corner = [0; N];
            pixels.zip(above).for_each(|(pixel, up)| {
                *pixel = std::array::from_fn(|i| pixel[i].wrapping_add(paeth(left[i], up[i], corner[i])));
                (left, corner) = (*pixel, *up);
            });
        }
    }
}

/// Whichever of left, up and corner is nearest to `left + up - corner`, in that order.
#[inline(always)]
fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let (a, b, c) = (i16::from(left), i16::from(up), i16::from(corner));
    let (from_left, from_up) = ((b - c).abs(), (a - c).abs());
    let from_corner = (a + b - 2 * c).abs();
    let other = if from_up <= from_corner { up } else { corner };
    if from_left <= from_up && from_left <= from_corner { left } else { other }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// The formulas of the specification, byte by byte.
    fn plain(filter: u8, pixel_bytes: usize, before: &[u8], row: &mut [u8]) {
        for at in 0..row.len() {
            let has_left = at >= pixel_bytes;
            let left = if has_left { i32::from(row[at - pixel_bytes]) } else { 0 };
            let corner = if has_left { i32::from(before[at - pixel_bytes]) } else { 0 };
            let up = i32::from(before[at]);
            let predicted = match filter {
                0 => 0,
                1 => left,
                2 => up,
                3 => (left + up) / 2,
                _ => {
                    let p = left + up - corner;
                    let (pa, pb, pc) = ((p - left).abs(), (p - up).abs(), (p - corner).abs());
                    match () {
                        () if pa <= pb && pa <= pc => left,
                        () if pb <= pc => up,
                        () => corner,
                    }
                }
            };
            row[at] = (i32::from(row[at]) + predicted) as u8;
        }
    }

    #[test]
    fn every_filter_of_every_pixel_equals_byte_by_byte() {
        let mut state = 3_u32;
        let mut bytes = move |n: usize| -> Vec<u8> {
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            (0..n).map(|_| next()).collect()
        };
        for pixel_bytes in [1, 2, 3, 4, 6, 8] {
            for n_pixels in [0, 1, 2, 3, 15, 16, 17, 500] {
                for filter in 0..5 {
                    let (before, row) = (bytes(n_pixels * pixel_bytes), bytes(n_pixels * pixel_bytes));
                    let (mut ours, mut expected) = (row.clone(), row);
                    undo(filter, pixel_bytes, &before, &mut ours).unwrap();
                    plain(filter, pixel_bytes, &before, &mut expected);
                    assert_eq!(ours, expected, "filter {filter}, {n_pixels} pixels of {pixel_bytes} bytes");
                }
            }
        }
    }

    #[test]
    fn a_filter_that_there_is_not_is_corrupt() {
        for filter in 5..=255 {
            assert_eq!(undo(filter, 3, &[0; 6], &mut [0; 6]).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
