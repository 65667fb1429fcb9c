//! Sample types, and the conversion of one into another.

use crate::error::{Error, Result};
use crate::memory::copy_bytes;

/// The type of one number of one band at one pixel, in the machine's byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum SampleType {
    /// Unsigned, 8 bits.
    U8 = 1,
    /// Signed, 8 bits.
    I8 = 2,
    /// Unsigned, 16 bits.
    U16 = 3,
    /// Signed, 16 bits.
    I16 = 4,
    /// Unsigned, 32 bits.
    U32 = 5,
    /// Signed, 32 bits.
    I32 = 6,
    /// Unsigned, 64 bits.
    U64 = 7,
    /// Signed, 64 bits.
    I64 = 8,
    /// IEEE 754, 32 bits.
    F32 = 9,
    /// IEEE 754, 64 bits.
    F64 = 10,
    /// Complex: two signed 16-bit integers, real part first.
    ComplexI16 = 11,
    /// Complex: two signed 32-bit integers, real part first.
    ComplexI32 = 12,
    /// Complex: two 32-bit floats, real part first.
    ComplexF32 = 13,
    /// Complex: two 64-bit floats, real part first.
    ComplexF64 = 14,
}

impl SampleType {
    /// Every sample type, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::U64,
        Self::I64,
        Self::F32,
        Self::F64,
        Self::ComplexI16,
        Self::ComplexI32,
        Self::ComplexF32,
        Self::ComplexF64,
    ];

    /// Bytes of one sample.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.component().1 * if self.is_complex() { 2 } else { 1 }
    }

    /// Whether a sample has a real and an imaginary part.
    #[must_use]
    pub const fn is_complex(self) -> bool {
        matches!(self, Self::ComplexI16 | Self::ComplexI32 | Self::ComplexF32 | Self::ComplexF64)
    }

    /// Whether a sample (or each part of it) is a floating-point number.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64 | Self::ComplexF32 | Self::ComplexF64)
    }

    /// The real type of a sample's parts: itself unless complex.
    #[must_use]
    pub const fn part(self) -> Self {
        self.component().0
    }

    /// The name in lower case: `u8` … `f64`, `ci16`, `ci32`, `cf32`, `cf64`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::ComplexI16 => "ci16",
            Self::ComplexI32 => "ci32",
            Self::ComplexF32 => "cf32",
            Self::ComplexF64 => "cf64",
        }
    }

    /// The sample type with this number (the enum's discriminant, as in the C ABI).
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|t| *t as i32 == number)
    }

    const fn component(self) -> (Self, usize) {
        match self {
            Self::U8 | Self::I8 => (self, 1),
            Self::U16 | Self::I16 => (self, 2),
            Self::U32 | Self::I32 | Self::F32 => (self, 4),
            Self::U64 | Self::I64 | Self::F64 => (self, 8),
            Self::ComplexI16 => (Self::I16, 2),
            Self::ComplexI32 => (Self::I32, 4),
            Self::ComplexF32 => (Self::F32, 4),
            Self::ComplexF64 => (Self::F64, 8),
        }
    }
}

/// A real sample in memory: how it is read, written and turned into others.
pub(crate) trait Sample: Copy + PartialEq + Send + Sync + 'static {
    const BYTES: usize;
    const FLOAT: bool;

    /// The sample in the first `BYTES` bytes of `bytes`, native byte order.
    fn read(bytes: &[u8]) -> Self;
    /// Writes the sample to the first `BYTES` bytes of `bytes`.
    fn write(self, bytes: &mut [u8]);
    fn to_f64(self) -> f64;
    fn to_i128(self) -> i128;
    /// The nearest sample: rounded half away from zero, clamped; NaN becomes 0 in an integer.
    fn from_f64(value: f64) -> Self;
    /// The nearest sample: clamped.
    fn from_i128(value: i128) -> Self;
}

macro_rules! integer_sample {
    ($($t:ty),*) => {$(
        impl Sample for $t {
            const BYTES: usize = size_of::<$t>();
            const FLOAT: bool = false;
            #[inline(always)]
            fn read(bytes: &[u8]) -> Self {
                let mut raw = [0; size_of::<$t>()];
                raw.copy_from_slice(&bytes[..size_of::<$t>()]);
                <$t>::from_ne_bytes(raw)
            }
            #[inline(always)]
            fn write(self, bytes: &mut [u8]) {
                bytes[..size_of::<$t>()].copy_from_slice(&self.to_ne_bytes());
            }
            #[inline(always)]
            #[allow(clippy::cast_lossless, reason = "64-bit integers have no lossless way")]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn to_i128(self) -> i128 {
                i128::from(self)
            }
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                // `as` saturates and sends NaN to 0.
                value.round() as $t
            }
            #[inline(always)]
            fn from_i128(value: i128) -> Self {
                value.clamp(i128::from(<$t>::MIN), i128::from(<$t>::MAX)) as $t
            }
        }
    )*};
}

macro_rules! float_sample {
    ($($t:ty),*) => {$(
        impl Sample for $t {
            const BYTES: usize = size_of::<$t>();
            const FLOAT: bool = true;
            #[inline(always)]
            fn read(bytes: &[u8]) -> Self {
                let mut raw = [0; size_of::<$t>()];
                raw.copy_from_slice(&bytes[..size_of::<$t>()]);
                <$t>::from_ne_bytes(raw)
            }
            #[inline(always)]
            fn write(self, bytes: &mut [u8]) {
                bytes[..size_of::<$t>()].copy_from_slice(&self.to_ne_bytes());
            }
            #[inline(always)]
            #[allow(clippy::cast_lossless, reason = "one macro for both floats")]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn to_i128(self) -> i128 {
                self.round() as i128
            }
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $t
            }
            #[inline(always)]
            fn from_i128(value: i128) -> Self {
                value as $t
            }
        }
    )*};
}

integer_sample!(u8, i8, u16, i16, u32, i32, u64, i64);
float_sample!(f32, f64);

/// Runs `$body` with `$t` standing for the Rust type of the real sample type `$sample`.
///
/// A complex type stands for the type of its parts; the caller decides what that means.
macro_rules! with_sample {
    ($sample:expr, $t:ident => $body:expr) => {
        match $crate::sample::SampleType::part($sample) {
            $crate::sample::SampleType::U8 => {
                type $t = u8;
                $body
            }
            $crate::sample::SampleType::I8 => {
                type $t = i8;
                $body
            }
            $crate::sample::SampleType::U16 => {
                type $t = u16;
                $body
            }
            $crate::sample::SampleType::I16 => {
                type $t = i16;
                $body
            }
            $crate::sample::SampleType::U32 => {
                type $t = u32;
                $body
            }
            $crate::sample::SampleType::I32 => {
                type $t = i32;
                $body
            }
            $crate::sample::SampleType::U64 => {
                type $t = u64;
                $body
            }
            $crate::sample::SampleType::I64 => {
                type $t = i64;
                $body
            }
            $crate::sample::SampleType::F32 => {
                type $t = f32;
                $body
            }
            _ => {
                type $t = f64;
                $body
            }
        }
    };
}
pub(crate) use with_sample;

/// A run of samples in memory: their type and the distance in bytes from one to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) sample: SampleType,
    pub(crate) stride: usize,
}

/// Converts `n` samples at `source` into `n` samples at `target`.
///
/// Equal types are copied bit for bit. Otherwise integers clamp; floats round half away from zero, then clamp,
/// and NaN becomes 0; the real part of a complex sample is what a real one gets, and a complex one gets 0 as its
/// imaginary part.
///
/// Both slices must reach to the last sample of their run; shorter ones are an [`Error`] of kind `internal`.
pub(crate) fn convert(source: &[u8], from: Run, target: &mut [u8], to: Run, n: usize) -> Result<()> {
    if n == 0 {
        return Ok(());
    }
    let reach = |run: Run| (n - 1).checked_mul(run.stride).and_then(|b| b.checked_add(run.sample.bytes()));
    if reach(from).is_none_or(|r| r > source.len()) || reach(to).is_none_or(|r| r > target.len()) {
        return Err(Error::internal(format!("a run of {n} samples leaves its memory")));
    }
    if from.sample == to.sample {
        copy_run(source, from, target, to, n);
        return Ok(());
    }
    with_sample!(from.sample, A => with_sample!(to.sample, B => convert_run::<A, B>(source, from, target, to, n)));
    if to.sample.is_complex() {
        convert_imaginary(source, from, target, to, n);
    }
    Ok(())
}

fn copy_run(source: &[u8], from: Run, target: &mut [u8], to: Run, n: usize) {
    let bytes = from.sample.bytes();
    if from.stride == bytes && to.stride == bytes {
        copy_bytes(&source[..n * bytes], &mut target[..n * bytes]);
        return;
    }
    match bytes {
        1 => copy_strided::<1>(source, from.stride, target, to.stride, n),
        2 => copy_strided::<2>(source, from.stride, target, to.stride, n),
        4 => copy_strided::<4>(source, from.stride, target, to.stride, n),
        8 => copy_strided::<8>(source, from.stride, target, to.stride, n),
        _ => copy_strided::<16>(source, from.stride, target, to.stride, n),
    }
}

fn copy_strided<const BYTES: usize>(source: &[u8], from: usize, target: &mut [u8], to: usize, n: usize) {
    if to == BYTES && from > BYTES {
        // One band out of several, without a test of where each sample lies. Behind the last sample nothing may be left.
        if let Some((last, target)) = target[..n * BYTES].as_chunks_mut::<BYTES>().0.split_last_mut() {
            for (target, pixel) in target.iter_mut().zip(source.chunks_exact(from)) {
                target.copy_from_slice(&pixel[..BYTES]);
            }
            last.copy_from_slice(&source[(n - 1) * from..][..BYTES]);
        }
        return;
    }
    for i in 0..n {
        target[i * to..][..BYTES].copy_from_slice(&source[i * from..][..BYTES]);
    }
}

fn convert_run<A: Sample, B: Sample>(source: &[u8], from: Run, target: &mut [u8], to: Run, n: usize) {
    for i in 0..n {
        convert_one::<A, B>(&source[i * from.stride..]).write(&mut target[i * to.stride..]);
    }
}

#[inline(always)]
fn convert_one<A: Sample, B: Sample>(bytes: &[u8]) -> B {
    let value = A::read(bytes);
    if A::FLOAT { B::from_f64(value.to_f64()) } else { B::from_i128(value.to_i128()) }
}

fn convert_imaginary(source: &[u8], from: Run, target: &mut [u8], to: Run, n: usize) {
    let (half_from, half_to) = (from.sample.part().bytes(), to.sample.part().bytes());
    for i in 0..n {
        let out = &mut target[i * to.stride + half_to..][..half_to];
        if from.sample.is_complex() {
            let part = &source[i * from.stride + half_from..];
            with_sample!(from.sample, A => with_sample!(to.sample, B => convert_one::<A, B>(part).write(out)));
        } else {
            out.fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(from: SampleType, bytes: &[u8], to: SampleType) -> Vec<u8> {
        let mut out = vec![0xAA; to.bytes()];
        convert(bytes, Run { sample: from, stride: from.bytes() }, &mut out, Run { sample: to, stride: to.bytes() }, 1)
            .unwrap();
        out
    }

    #[test]
    fn integers_clamp_and_floats_round_then_clamp() {
        use SampleType::*;
        assert_eq!(one(I16, &(-5i16).to_ne_bytes(), U8), [0]);
        assert_eq!(one(U16, &700u16.to_ne_bytes(), U8), [255]);
        assert_eq!(one(F32, &2.5f32.to_ne_bytes(), U8), [3]);
        assert_eq!(one(F64, &(-2.5f64).to_ne_bytes(), I8), (-3i8).to_ne_bytes());
        assert_eq!(one(F32, &f32::NAN.to_ne_bytes(), I16), 0i16.to_ne_bytes());
        assert_eq!(one(F32, &f32::INFINITY.to_ne_bytes(), U64), u64::MAX.to_ne_bytes());
        assert_eq!(one(U64, &u64::MAX.to_ne_bytes(), I64), i64::MAX.to_ne_bytes());
        // No detour over f64, which could not tell these two apart.
        assert_eq!(one(I64, &((1i64 << 53) + 1).to_ne_bytes(), U64), ((1u64 << 53) + 1).to_ne_bytes());
    }

    #[test]
    fn complex_and_real_meet_in_the_real_part() {
        use SampleType::*;
        let value: Vec<u8> = [3i16, -7].iter().flat_map(|v| v.to_ne_bytes()).collect();
        assert_eq!(one(ComplexI16, &value, F32), 3f32.to_ne_bytes());
        let wide: Vec<u8> = [3f64, -7.0].iter().flat_map(|v| v.to_ne_bytes()).collect();
        assert_eq!(one(ComplexI16, &value, ComplexF64), wide);
        let real: Vec<u8> = [9f32, 0.0].iter().flat_map(|v| v.to_ne_bytes()).collect();
        assert_eq!(one(U8, &[9], ComplexF32), real);
    }

    #[test]
    fn strided_runs_touch_their_own_samples_only() {
        for sample in SampleType::ALL {
            let bytes = sample.bytes();
            let source: Vec<u8> = (0..bytes * 6).map(|i| i as u8).collect();
            let mut target = vec![0xEE; bytes * 9];
            convert(&source, Run { sample, stride: bytes * 2 }, &mut target, Run { sample, stride: bytes * 3 }, 3)
                .unwrap();
            for i in 0..9 {
                let got = &target[i * bytes..][..bytes];
                if i % 3 == 0 {
                    assert_eq!(got, &source[i / 3 * 2 * bytes..][..bytes], "{}", sample.name());
                } else {
                    assert!(got.iter().all(|b| *b == 0xEE), "{}", sample.name());
                }
            }
        }
    }

    #[test]
    fn a_run_that_leaves_its_memory_is_refused() {
        let run = Run { sample: SampleType::U16, stride: 2 };
        assert!(convert(&[0; 7], run, &mut [0; 8], run, 4).is_err());
        assert!(convert(&[0; 8], run, &mut [0; 7], run, 4).is_err());
    }

    #[test]
    fn numbers_are_the_ones_of_the_abi() {
        for sample in SampleType::ALL {
            assert_eq!(SampleType::from_number(sample as i32), Some(sample));
        }
        assert_eq!(SampleType::from_number(0), None);
        assert_eq!(SampleType::from_number(15), None);
    }
}
