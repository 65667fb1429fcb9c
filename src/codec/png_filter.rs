//! The row filters of PNG (section 9 of its specification), undone in place.
//!
//! Sums are taken byte by byte, of the pixel to the left, of the row before, or of what both predict. Each pixel waits for
//! the one to its left, so what counts is how many instructions are between them: all bytes of a pixel go through them at
//! once, in a vector where the machine surely has one.

#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "calls of instructions that every x86-64 has"))]

use crate::error::{Error, Result};

use super::predictor;

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
        (1, 1 | 2 | 3 | 4 | 6 | 8) if row.is_empty() => {}
        (1, 1 | 2 | 3 | 4 | 6 | 8) => predictor::undo_horizontal(row, row.len(), pixel_bytes, 1)?,
        (3 | 4, 1) => of_size::<1>(filter, before, row),
        (3 | 4, 2) => of_size::<2>(filter, before, row),
        (3 | 4, 3) => of_size::<3>(filter, before, row),
        (3 | 4, 4) => of_size::<4>(filter, before, row),
        (3 | 4, 6) => of_size::<6>(filter, before, row),
        (3 | 4, 8) => of_size::<8>(filter, before, row),
        _ => return Err(Error::corrupt(format!("row filter {filter} of pixels of {pixel_bytes} bytes"))),
    }
    Ok(())
}

fn of_size<const N: usize>(filter: u8, before: &[u8], row: &mut [u8]) {
    let pixels = row.as_chunks_mut::<N>().0.iter_mut().zip(before.as_chunks::<N>().0);
    #[cfg(target_arch = "x86_64")]
    if N > 1 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            vector::undo(filter, pixels);
        }
        return;
    }
    undo_pixels(filter, pixels);
}

/// Undoes the filters 3 and 4 for pixels and those above them.
fn undo_pixels<'a, const N: usize>(filter: u8, pixels: impl Iterator<Item = (&'a mut [u8; N], &'a [u8; N])>) {
    let (mut left, mut corner) = ([0; N], [0; N]);
    for (pixel, up) in pixels {
        let predicted: [u8; N] = std::array::from_fn(|i| match filter {
            // The mean without a carry: what both have, and half of what one has.
            3 => (left[i] & up[i]) + ((left[i] ^ up[i]) >> 1),
            _ => paeth(left[i], up[i], corner[i]),
        });
        *pixel = std::array::from_fn(|i| pixel[i].wrapping_add(predicted[i]));
        (left, corner) = (*pixel, *up);
    }
}

/// Whichever of left, up and corner is nearest to `left + up - corner`, in that order: one of the ends where the corner is
/// far on the other side of them, otherwise the corner. Without branches, which cannot be foretold here.
#[inline(always)]
fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let (a, b, c) = (i16::from(left), i16::from(up), i16::from(corner));
    let (low, high) = (a.min(b), a.max(b));
    let turn = 3 * c - (a + b);
    let nearest = if high <= turn { low } else { c };
    (if turn <= low { high } else { nearest }) as u8
}

/// The same with the vectors that every x86-64 has. For pixels of a byte they are not faster.
#[cfg(target_arch = "x86_64")]
mod vector {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_add_epi16, _mm_and_si128, _mm_andnot_si128, _mm_avg_epu8, _mm_cmpgt_epi16,
        _mm_cvtsi64_si128, _mm_cvtsi128_si64, _mm_max_epi16, _mm_min_epi16, _mm_or_si128, _mm_packus_epi16,
        _mm_set1_epi8, _mm_setzero_si128, _mm_sub_epi8, _mm_sub_epi16, _mm_unpacklo_epi8, _mm_xor_si128,
    };

    #[target_feature(enable = "sse2")]
    #[inline]
    fn load<const N: usize>(pixel: &[u8; N]) -> __m128i {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(pixel);
        _mm_cvtsi64_si128(i64::from_le_bytes(bytes))
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn store<const N: usize>(pixel: &mut [u8; N], bytes: __m128i) {
        pixel.copy_from_slice(&_mm_cvtsi128_si64(bytes).to_le_bytes()[..N]);
    }

    /// `yes` where `mask` is set, `no` elsewhere.
    #[target_feature(enable = "sse2")]
    #[inline]
    fn choose(mask: __m128i, yes: __m128i, no: __m128i) -> __m128i {
        _mm_or_si128(_mm_and_si128(mask, yes), _mm_andnot_si128(mask, no))
    }

    #[target_feature(enable = "sse2")]
    pub(super) fn undo<'a, const N: usize>(filter: u8, pixels: impl Iterator<Item = (&'a mut [u8; N], &'a [u8; N])>) {
        let zero = _mm_setzero_si128();
        let mut left = zero;
        if filter == 3 {
            let one = _mm_set1_epi8(1);
            for (pixel, up) in pixels {
                let up = load(up);
                // The instruction rounds up.
                let odd = _mm_and_si128(_mm_xor_si128(left, up), one);
                left = _mm_add_epi8(load(pixel), _mm_sub_epi8(_mm_avg_epu8(left, up), odd));
                store(pixel, left);
            }
            return;
        }
        let mut corner = zero;
        for (pixel, up) in pixels {
            // As in `paeth`, in 16 bits each.
            let up = _mm_unpacklo_epi8(load(up), zero);
            let (low, high) = (_mm_min_epi16(left, up), _mm_max_epi16(left, up));
            let thrice = _mm_add_epi16(_mm_add_epi16(corner, corner), corner);
            let turn = _mm_sub_epi16(_mm_sub_epi16(thrice, up), left);
            let nearest = choose(_mm_cmpgt_epi16(high, turn), corner, low);
            let predicted = choose(_mm_cmpgt_epi16(turn, low), nearest, high);
            left = _mm_add_epi8(_mm_unpacklo_epi8(load(pixel), zero), predicted);
            store(pixel, _mm_packus_epi16(left, left));
            corner = up;
        }
    }
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

    fn scalar(filter: u8, pixel_bytes: usize, before: &[u8], row: &mut [u8]) {
        macro_rules! of_size {
            ($($n:literal)*) => {
                match pixel_bytes {
                    $($n => {
                        let pixels = row.as_chunks_mut::<$n>().0.iter_mut();
                        undo_pixels(filter, pixels.zip(before.as_chunks::<$n>().0));
                    })*
                    _ => unreachable!(),
                }
            };
        }
        of_size!(1 2 3 4 6 8);
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
                    let (mut ours, mut expected, filtered) = (row.clone(), row.clone(), row);
                    undo(filter, pixel_bytes, &before, &mut ours).unwrap();
                    if filter > 2 {
                        let mut twin = filtered.clone();
                        scalar(filter, pixel_bytes, &before, &mut twin);
                        assert_eq!(ours, twin, "filter {filter}, {n_pixels} pixels of {pixel_bytes} bytes");
                    }
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
