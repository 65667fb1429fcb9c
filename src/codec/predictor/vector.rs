//! Sums of differences, and floats from their bytes, 16 bytes at a time.
//!
//! A vector is summed up within itself in steps of 1, 2, 4, … pixels, as far as it reaches; then the last pixel of the
//! vector before it is added to all of its pixels. Only that last addition waits for the vector before, so a row costs two
//! instructions in a chain for 16 bytes, where one sample after the other costs one for each.

#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "vectors are loaded and stored by pointer"))]

/// Sums up rows of samples of `sample_bytes` in pixels of `pixel_bytes`, wrapping. `false`: nothing was done, for this
/// machine has no such instructions or the pixels no such size.
pub(super) fn sum_rows(rows: &mut [u8], row_bytes: usize, pixel_bytes: usize, sample_bytes: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    if let Some(steps) = x86::Steps::new(pixel_bytes) {
        return steps.sum_rows(rows, row_bytes, sample_bytes);
    }
    let _ = (rows, row_bytes, pixel_bytes, sample_bytes);
    false
}

/// Puts samples of four bytes together from planes of their bytes, the most significant first. `false`: nothing was done.
pub(super) fn join_four(planes: &[u8], samples: &mut [u8]) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        x86::join_four(planes, samples);
        true
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (planes, samples);
        false
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_add_epi16, _mm_add_epi32, _mm_add_epi64, _mm_loadu_si128, _mm_setzero_si128,
        _mm_shuffle_epi8, _mm_storeu_si128, _mm_unpackhi_epi8, _mm_unpackhi_epi16, _mm_unpacklo_epi8,
        _mm_unpacklo_epi16,
    };

    /// Bytes of a vector.
    const V: usize = size_of::<__m128i>();

    #[inline(always)]
    fn load(bytes: &[u8; V]) -> __m128i {
        // SAFETY: as many bytes as a vector has, at any alignment.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(bytes: &mut [u8; V], vector: __m128i) {
        // SAFETY: as above.
        unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), vector) }
    }

    /// What moves the bytes of a vector for pixels of one size.
    pub(super) struct Steps {
        /// By 1, 2, 4 and 8 pixels up, with zeros where nothing comes from; as many as change anything.
        up: [__m128i; 4],
        n_up: usize,
        /// The last pixel to all places of its bytes.
        last: __m128i,
        pixel_bytes: usize,
    }

    impl Steps {
        /// `None` when the machine lacks SSSE3, or a pixel is larger than a vector.
        pub(super) fn new(pixel_bytes: usize) -> Option<Self> {
            if !(1..=V).contains(&pixel_bytes) || !is_x86_feature_detected!("ssse3") {
                return None;
            }
            let moved = |by: usize| load(&std::array::from_fn(|i| i.checked_sub(by).map_or(0x80, |from| from as u8)));
            Some(Self {
                up: [1, 2, 4, 8].map(|pixels| moved(pixels * pixel_bytes)),
                n_up: [1, 2, 4, 8].iter().filter(|pixels| *pixels * pixel_bytes < V).count(),
                last: load(&std::array::from_fn(|i| (V - pixel_bytes + i % pixel_bytes) as u8)),
                pixel_bytes,
            })
        }

        pub(super) fn sum_rows(&self, rows: &mut [u8], row_bytes: usize, sample_bytes: usize) -> bool {
            // SAFETY: `new` found the feature that this asks for.
            unsafe { self.sum_samples(rows, row_bytes, sample_bytes) }
        }

        #[target_feature(enable = "ssse3")]
        fn sum_samples(&self, rows: &mut [u8], row_bytes: usize, sample_bytes: usize) -> bool {
            match sample_bytes {
                1 => self.sum_all::<1>(rows, row_bytes),
                2 => self.sum_all::<2>(rows, row_bytes),
                4 => self.sum_all::<4>(rows, row_bytes),
                8 => self.sum_all::<8>(rows, row_bytes),
                _ => return false,
            }
            true
        }

        #[target_feature(enable = "ssse3")]
        fn sum_all<const B: usize>(&self, rows: &mut [u8], row_bytes: usize) {
            let [a, b, c, d] = self.up;
            for row in rows.chunks_mut(row_bytes) {
                match self.n_up {
                    0 => self.sum_row::<0, B>(row, []),
                    1 => self.sum_row::<1, B>(row, [a]),
                    2 => self.sum_row::<2, B>(row, [a, b]),
                    3 => self.sum_row::<3, B>(row, [a, b, c]),
                    _ => self.sum_row::<4, B>(row, [a, b, c, d]),
                }
            }
        }

        #[target_feature(enable = "ssse3")]
        #[inline]
        fn sum_row<const N: usize, const B: usize>(&self, row: &mut [u8], up: [__m128i; N]) {
            let mut before = _mm_setzero_si128();
            let done = row.len() / V * V;
            for bytes in row.as_chunks_mut::<V>().0 {
                let mut sums = load(bytes);
                for step in up {
                    sums = add::<B>(sums, _mm_shuffle_epi8(sums, step));
                }
                before = add::<B>(sums, _mm_shuffle_epi8(before, self.last));
                store(bytes, before);
            }
            // What is left, sample by sample.
            let first = done.max(self.pixel_bytes);
            for at in (first..(row.len() + 1).saturating_sub(B)).step_by(B) {
                let (done, rest) = row.split_at_mut(at);
                let (sample, _) = rest.split_first_chunk_mut::<B>().expect("a whole sample is left");
                let before = done[at - self.pixel_bytes..].first_chunk::<B>().expect("a pixel has whole samples");
                *sample = super::super::add(*before, *sample);
            }
        }
    }

    #[target_feature(enable = "ssse3")]
    #[inline]
    fn add<const B: usize>(a: __m128i, b: __m128i) -> __m128i {
        match B {
            1 => _mm_add_epi8(a, b),
            2 => _mm_add_epi16(a, b),
            4 => _mm_add_epi32(a, b),
            _ => _mm_add_epi64(a, b),
        }
    }

    /// # Panics
    ///
    /// When `samples` is not as long as `planes`, or they are no whole number of samples.
    pub(super) fn join_four(planes: &[u8], samples: &mut [u8]) {
        assert!(planes.len() == samples.len() && planes.len().is_multiple_of(4));
        let n_samples = planes.len() / 4;
        let plane = |number: usize| &planes[number * n_samples..][..n_samples];
        let (most, second, third, least) = (plane(0), plane(1), plane(2), plane(3));
        let (groups, rest) = samples.as_chunks_mut::<{ 4 * V }>();
        let n_groups = groups.len();
        let each = groups.iter_mut().zip(most.as_chunks().0).zip(second.as_chunks().0);
        for (((group, most), second), (third, least)) in each.zip(third.as_chunks().0.iter().zip(least.as_chunks().0)) {
            // SAFETY: SSE2 is part of x86-64.
            let four = unsafe { join_vectors([most, second, third, least].map(|bytes: &[u8; V]| load(bytes))) };
            for (out, vector) in group.as_chunks_mut::<V>().0.iter_mut().zip(four) {
                store(out, vector);
            }
        }
        let first = n_groups * V;
        for (at, sample) in (first..).zip(rest.as_chunks_mut::<4>().0) {
            *sample = [least[at], third[at], second[at], most[at]];
        }
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn join_vectors([most, second, third, least]: [__m128i; 4]) -> [__m128i; 4] {
        let low = [_mm_unpacklo_epi8(least, third), _mm_unpackhi_epi8(least, third)];
        let high = [_mm_unpacklo_epi8(second, most), _mm_unpackhi_epi8(second, most)];
        [
            _mm_unpacklo_epi16(low[0], high[0]),
            _mm_unpackhi_epi16(low[0], high[0]),
            _mm_unpacklo_epi16(low[1], high[1]),
            _mm_unpackhi_epi16(low[1], high[1]),
        ]
    }
}
