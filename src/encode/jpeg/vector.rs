//! The conversion of colours and the transform with vectors of 32 bytes, and the codes with the instructions that machines
//! with such vectors have for bits.
//!
//! All of it is arithmetic of whole numbers in the order that the plain functions have it in too, so files are the
//! same to the last bit.

#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "vectors are loaded and stored by pointer"))]

#[cfg(target_arch = "x86_64")]
pub(super) use x86::Vectors;

/// What machines of this kind do not have.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Clone, Copy, Debug)]
pub(super) enum Vectors {}

#[cfg(not(target_arch = "x86_64"))]
mod others {
    use super::super::color::{Rows, Strip, UNIT};
    use super::super::entropy::Entropy;
    use super::super::transform::{Pair, Quantizer};
    use super::Vectors;

    impl Vectors {
        pub(crate) fn new() -> Option<Self> {
            None
        }

        pub(crate) fn rgb_full<const N: usize>(
            self,
            _line: usize,
            _units: &[[[u8; N]; UNIT]],
            _luma: &mut [Pair],
            _chroma: &mut [Pair],
        ) {
            match self {}
        }

        pub(crate) fn rgb_halved<const N: usize>(
            self,
            _line: usize,
            _rows: Rows<'_, [u8; N]>,
            _luma: &mut [Pair],
            _chroma: &mut [Pair],
        ) {
            match self {}
        }

        pub(crate) fn transform(self, _pairs: &mut [Pair], _quantizer: &Quantizer) {
            match self {}
        }

        pub(crate) fn add(self, _entropy: &mut Entropy, _strip: &Strip, _n_mcus: usize, _file: &mut Vec<u8>) {
            match self {}
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, _mm256_abs_epi16, _mm256_add_epi16, _mm256_add_epi32, _mm256_cmpeq_epi8, _mm256_hadd_epi32,
        _mm256_loadu_si256, _mm256_loadu2_m128i, _mm256_madd_epi16, _mm256_movemask_epi8, _mm256_mulhi_epi16,
        _mm256_mulhrs_epi16, _mm256_packs_epi16, _mm256_packs_epi32, _mm256_permute2x128_si256,
        _mm256_permute4x64_epi64, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_shuffle_epi8,
        _mm256_sign_epi16, _mm256_slli_epi16, _mm256_srai_epi16, _mm256_srai_epi32, _mm256_storeu_si256,
        _mm256_sub_epi16, _mm256_unpackhi_epi16, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi16,
        _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
    };

    use super::super::color::{BINARY_PLACES, C_BIAS, C_BIAS_OF_FOUR, CB, CR, Rows, Strip, UNIT, Y, Y_BIAS};
    use super::super::entropy::Entropy;
    use super::super::transform::{EVEN, ODD, PLACES_BETWEEN, PLACES_OF_FACTORS, Pair, Quantizer};

    /// Says that the machine has AVX2, LZCNT, BMI1 and BMI2.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Vectors(());

    impl Vectors {
        pub(crate) fn new() -> Option<Self> {
            let has_all = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2");
            has_all.then_some(Self(()))
        }

        /// Units of a row of pixels that have chroma of their own.
        pub(crate) fn rgb_full<const N: usize>(
            self,
            line: usize,
            units: &[[[u8; N]; UNIT]],
            luma: &mut [Pair],
            chroma: &mut [Pair],
        ) {
            // SAFETY: `new` found what this asks for.
            unsafe { rgb_full(line, units, luma, chroma) }
        }

        /// Units of two rows of pixels, four of which share their chroma.
        pub(crate) fn rgb_halved<const N: usize>(
            self,
            line: usize,
            rows: Rows<'_, [u8; N]>,
            luma: &mut [Pair],
            chroma: &mut [Pair],
        ) {
            // SAFETY: as above.
            unsafe { rgb_halved(line, rows, luma, chroma) }
        }

        /// As [`super::super::transform::transform`].
        pub(crate) fn transform(self, pairs: &mut [Pair], quantizer: &Quantizer) {
            // SAFETY: as above.
            unsafe { transform(pairs, quantizer) }
        }

        /// As [`Entropy::add`].
        pub(crate) fn add(self, entropy: &mut Entropy, strip: &Strip, n_mcus: usize, file: &mut Vec<u8>) {
            // SAFETY: as above.
            unsafe { add(entropy, strip, n_mcus, file) }
        }
    }

    #[target_feature(enable = "avx2,lzcnt,bmi1,bmi2")]
    fn add(entropy: &mut Entropy, strip: &Strip, n_mcus: usize, file: &mut Vec<u8>) {
        entropy.add(strip, n_mcus, file);
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn load(lanes: &[i16; 16]) -> __m256i {
        // SAFETY: as many bytes as a vector has, at any alignment.
        unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn load_halves(low: &[u8; 16], high: &[u8; 16]) -> __m256i {
        // SAFETY: as above.
        unsafe { _mm256_loadu2_m128i(high.as_ptr().cast(), low.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn store(lanes: &mut [i16; 16], vector: __m256i) {
        // SAFETY: as above.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), vector) }
    }

    /// Two factors over and over, as `_mm256_madd_epi16` multiplies them with lanes side by side.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn factors([first, second]: [i16; 2]) -> __m256i {
        _mm256_set1_epi32(i32::from(second) << 16 | i32::from(first as u16))
    }

    /// Eight pixels in 16 bits: red beside green, and blue beside nothing.
    #[derive(Clone, Copy)]
    struct Eight {
        red_green: __m256i,
        blue: __m256i,
    }

    /// Where the bytes of [`Eight`] come from.
    #[derive(Clone, Copy)]
    struct Order {
        red_green: __m256i,
        blue: __m256i,
    }

    impl Order {
        /// Four pixels of `N` bytes from each half of 32 bytes, where they begin at these places.
        #[target_feature(enable = "avx2")]
        #[inline]
        fn new<const N: usize>(begin: [usize; 2]) -> Self {
            let (mut red_green, mut blue) = ([[0x80; 16]; 2], [[0x80; 16]; 2]);
            for half in 0..2 {
                for pixel in 0..4 {
                    let from = (begin[half] + N * pixel) as u8;
                    red_green[half][4 * pixel] = from;
                    red_green[half][4 * pixel + 2] = from + 1;
                    blue[half][4 * pixel] = from + 2;
                }
            }
            Self { red_green: load_halves(&red_green[0], &red_green[1]), blue: load_halves(&blue[0], &blue[1]) }
        }

        #[target_feature(enable = "avx2")]
        #[inline]
        fn of(self, bytes: __m256i) -> Eight {
            Eight { red_green: _mm256_shuffle_epi8(bytes, self.red_green), blue: _mm256_shuffle_epi8(bytes, self.blue) }
        }
    }

    /// The pixels of a unit with the numbers 0 to 3 and 8 to 11, then the others: so that packing puts samples in order.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn pixels_of<const N: usize>(unit: &[[u8; N]; UNIT]) -> [Eight; 2] {
        let bytes = unit.as_flattened();
        // Behind the last four pixels of three bytes there are no four bytes more.
        let last = N * UNIT - 16;
        let first = load_halves(sixteen(bytes, 0), sixteen(bytes, 8 * N));
        let second = load_halves(sixteen(bytes, 4 * N), sixteen(bytes, last));
        [Order::new::<N>([0, 0]).of(first), Order::new::<N>([0, 12 * N - last]).of(second)]
    }

    #[inline(always)]
    fn sixteen(bytes: &[u8], at: usize) -> &[u8; 16] {
        bytes[at..].first_chunk().expect("a unit has 16 more bytes")
    }

    impl Eight {
        /// What the colours of each pixel are worth together.
        #[target_feature(enable = "avx2")]
        #[inline]
        fn sums(self, [red, green, blue]: [i16; 3]) -> __m256i {
            let red_green = _mm256_madd_epi16(self.red_green, factors([red, green]));
            _mm256_add_epi32(red_green, _mm256_madd_epi16(self.blue, factors([blue, 0])))
        }

        #[target_feature(enable = "avx2")]
        #[inline]
        fn plus(self, other: Self) -> Self {
            Self {
                red_green: _mm256_add_epi16(self.red_green, other.red_green),
                blue: _mm256_add_epi16(self.blue, other.blue),
            }
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn rounded<const DROP: i32>(sums: __m256i, bias: i32) -> __m256i {
        _mm256_srai_epi32::<DROP>(_mm256_add_epi32(sums, _mm256_set1_epi32(bias)))
    }

    const PLACES: i32 = BINARY_PLACES as i32;
    const PLACES_OF_FOUR: i32 = PLACES + 2;

    #[target_feature(enable = "avx2")]
    #[inline]
    fn samples(pixels: [Eight; 2], of: [i16; 3], bias: i32) -> __m256i {
        let [first, second] = pixels;
        _mm256_packs_epi32(rounded::<PLACES>(first.sums(of), bias), rounded::<PLACES>(second.sums(of), bias))
    }

    /// From the sums of two rows.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn samples_of_four(pixels: [Eight; 2], of: [i16; 3]) -> __m256i {
        // Neighbours are added, and so come in order.
        let sums = _mm256_hadd_epi32(pixels[0].sums(of), pixels[1].sums(of));
        rounded::<PLACES_OF_FOUR>(sums, C_BIAS_OF_FOUR)
    }

    #[target_feature(enable = "avx2")]
    fn rgb_full<const N: usize>(line: usize, units: &[[[u8; N]; UNIT]], luma: &mut [Pair], chroma: &mut [Pair]) {
        for ((unit, luma), [left, right]) in units.iter().zip(luma).zip(chroma.as_chunks_mut::<2>().0) {
            let pixels = pixels_of(unit);
            store(&mut luma.rows[line], samples(pixels, Y, Y_BIAS));
            let (cb, cr) = (samples(pixels, CB, C_BIAS), samples(pixels, CR, C_BIAS));
            store(&mut left.rows[line], _mm256_permute2x128_si256::<0x20>(cb, cr));
            store(&mut right.rows[line], _mm256_permute2x128_si256::<0x31>(cb, cr));
        }
    }

    #[target_feature(enable = "avx2")]
    fn rgb_halved<const N: usize>(line: usize, rows: Rows<'_, [u8; N]>, luma: &mut [Pair], chroma: &mut [Pair]) {
        let units = rows[0].iter().zip(rows[1]);
        for (((above, below), luma), chroma) in units.zip(luma.as_chunks_mut::<2>().0).zip(chroma) {
            let (above, below) = (pixels_of(above), pixels_of(below));
            let block = &mut luma[line / 8];
            store(&mut block.rows[line % 8], samples(above, Y, Y_BIAS));
            store(&mut block.rows[line % 8 + 1], samples(below, Y, Y_BIAS));
            let both = [above[0].plus(below[0]), above[1].plus(below[1])];
            let mixed = _mm256_packs_epi32(samples_of_four(both, CB), samples_of_four(both, CR));
            store(&mut chroma.rows[line / 2], _mm256_permute4x64_epi64::<0b11_01_10_00>(mixed));
        }
    }

    #[target_feature(enable = "avx2")]
    fn transform(pairs: &mut [Pair], quantizer: &Quantizer) {
        for pair in pairs {
            let mut rows = [_mm256_setzero_si256(); 8];
            for (vector, row) in rows.iter_mut().zip(&pair.rows) {
                *vector = load(row);
            }
            rows = pass::<true, { PLACES_OF_FACTORS - PLACES_BETWEEN }>(rows);
            rows = transposed(rows);
            rows = pass::<false, { PLACES_OF_FACTORS + PLACES_BETWEEN }>(rows);
            let mut nonzero = [0; 2];
            for i in 0..4 {
                let first = quotients(rows[2 * i], quantizer, 2 * i);
                let second = quotients(rows[2 * i + 1], quantizer, 2 * i + 1);
                store(&mut pair.rows[2 * i], first);
                store(&mut pair.rows[2 * i + 1], second);
                // Packing keeps what is not 0 from becoming it.
                let bytes = _mm256_packs_epi16(first, second);
                let zeros = _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_setzero_si256()));
                let bits = !zeros.cast_unsigned();
                nonzero[0] |= u64::from(bits & 0xffff) << (16 * i);
                nonzero[1] |= u64::from(bits >> 16) << (16 * i);
            }
            pair.nonzero = nonzero;
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn quotients(coefficients: __m256i, quantizer: &Quantizer, row: usize) -> __m256i {
        let high = _mm256_mulhi_epi16(_mm256_abs_epi16(coefficients), load(&quantizer.reciprocal[row]));
        let quotients = _mm256_mulhrs_epi16(high, load(&quantizer.scale[row]));
        _mm256_sign_epi16(quotients, coefficients)
    }

    /// One pass down all columns; see [`super::super::transform`].
    #[target_feature(enable = "avx2")]
    #[inline]
    fn pass<const IS_FIRST: bool, const DROP: i32>(x: [__m256i; 8]) -> [__m256i; 8] {
        let (sum0, sum1) = (_mm256_add_epi16(x[0], x[7]), _mm256_add_epi16(x[1], x[6]));
        let (sum2, sum3) = (_mm256_add_epi16(x[2], x[5]), _mm256_add_epi16(x[3], x[4]));
        let first = interleaved(_mm256_sub_epi16(x[0], x[7]), _mm256_sub_epi16(x[1], x[6]));
        let second = interleaved(_mm256_sub_epi16(x[2], x[5]), _mm256_sub_epi16(x[3], x[4]));
        let (outer, inner) = (_mm256_add_epi16(sum0, sum3), _mm256_add_epi16(sum1, sum2));
        let even = interleaved(_mm256_sub_epi16(sum0, sum3), _mm256_sub_epi16(sum1, sum2));
        let [large, small] = EVEN;
        [
            plain::<IS_FIRST>(_mm256_add_epi16(outer, inner)),
            of_four::<DROP>(first, second, ODD[0]),
            of_two::<DROP>(even, [large, small]),
            of_four::<DROP>(first, second, ODD[1]),
            plain::<IS_FIRST>(_mm256_sub_epi16(outer, inner)),
            of_four::<DROP>(first, second, ODD[2]),
            of_two::<DROP>(even, [small, -large]),
            of_four::<DROP>(first, second, ODD[3]),
        ]
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn plain<const IS_FIRST: bool>(sums: __m256i) -> __m256i {
        if IS_FIRST {
            _mm256_slli_epi16::<PLACES_BETWEEN>(sums)
        } else {
            let half = _mm256_set1_epi16(1 << (PLACES_BETWEEN - 1));
            _mm256_srai_epi16::<PLACES_BETWEEN>(_mm256_add_epi16(sums, half))
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn of_two<const DROP: i32>([low, high]: [__m256i; 2], of: [i16; 2]) -> __m256i {
        let (low, high) = (_mm256_madd_epi16(low, factors(of)), _mm256_madd_epi16(high, factors(of)));
        let half = 1 << (DROP - 1);
        _mm256_packs_epi32(rounded::<DROP>(low, half), rounded::<DROP>(high, half))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn of_four<const DROP: i32>(first: [__m256i; 2], second: [__m256i; 2], [a, b, c, d]: [i16; 4]) -> __m256i {
        let (ab, cd) = (factors([a, b]), factors([c, d]));
        let low = _mm256_add_epi32(_mm256_madd_epi16(first[0], ab), _mm256_madd_epi16(second[0], cd));
        let high = _mm256_add_epi32(_mm256_madd_epi16(first[1], ab), _mm256_madd_epi16(second[1], cd));
        let half = 1 << (DROP - 1);
        _mm256_packs_epi32(rounded::<DROP>(low, half), rounded::<DROP>(high, half))
    }

    /// The lanes of both in turn, of the lower and of the upper half of each block.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn interleaved(a: __m256i, b: __m256i) -> [__m256i; 2] {
        [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)]
    }

    /// Rows and columns of each block exchanged.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn transposed(rows: [__m256i; 8]) -> [__m256i; 8] {
        let [a, b, c, d, e, f, g, h] = rows;
        let (ab, cd, ef, gh) = (interleaved(a, b), interleaved(c, d), interleaved(e, f), interleaved(g, h));
        let mut out = rows;
        for half in 0..2 {
            // Two columns of four rows in each.
            let top = [_mm256_unpacklo_epi32(ab[half], cd[half]), _mm256_unpackhi_epi32(ab[half], cd[half])];
            let bottom = [_mm256_unpacklo_epi32(ef[half], gh[half]), _mm256_unpackhi_epi32(ef[half], gh[half])];
            for two in 0..2 {
                out[4 * half + 2 * two] = _mm256_unpacklo_epi64(top[two], bottom[two]);
                out[4 * half + 2 * two + 1] = _mm256_unpackhi_epi64(top[two], bottom[two]);
            }
        }
        out
    }
}
