//! YCbCr samples that share their chroma, to RGB.
//!
//! TIFF 6.0, section 21: pixels are stored as *units* of `horizontal` x `vertical` of them, a unit being their luma
//! row by row, one Cb and one Cr. Rows and columns that fill up the units at the right and bottom edge are stored and
//! mean nothing. Chroma is repeated, not interpolated, and the arithmetic is libtiff's to the last bit, so that pixels
//! are those that readers built on it present.

use crate::error::{Error, Result};

/// How many pixels share their chroma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subsampling {
    horizontal: usize,
    vertical: usize,
}

impl Subsampling {
    /// Chroma shared by `horizontal` x `vertical` pixels.
    ///
    /// # Errors
    ///
    /// Corrupt unless both are 1, 2 or 4. Unsupported for 1x4 and 2x4: the specification asks for no more pixels down
    /// than across, and of what breaks that rule only 1x2 is read by others.
    pub(crate) fn new(horizontal: u64, vertical: u64) -> Result<Self> {
        match (horizontal, vertical) {
            (4, 1 | 2 | 4) | (1 | 2, 1 | 2) => {
                Ok(Self { horizontal: horizontal as usize, vertical: vertical as usize })
            }
            (1 | 2, 4) => Err(Error::unsupported(format!(
                "chroma shared by {horizontal}x{vertical} pixels, more down than across"
            ))),
            _ => Err(Error::corrupt(format!("chroma shared by {horizontal}x{vertical} pixels"))),
        }
    }

    /// Whether every pixel has chroma of its own.
    pub(crate) fn is_none(self) -> bool {
        self == Self { horizontal: 1, vertical: 1 }
    }

    /// Rows of pixels in a row of units.
    pub(crate) fn vertical(self) -> u32 {
        self.vertical as u32
    }

    /// Bytes of a row of units that holds rows of `width` pixels.
    pub(crate) fn row_bytes(self, width: usize) -> Option<usize> {
        width.div_ceil(self.horizontal).checked_mul(self.unit_bytes())
    }

    /// Rows of units that hold `n_rows` rows of pixels.
    pub(crate) fn rows(self, n_rows: usize) -> usize {
        n_rows.div_ceil(self.vertical)
    }

    fn unit_bytes(self) -> usize {
        self.horizontal * self.vertical + 2
    }
}

/// What each luma and each chroma sample adds to red, green and blue.
pub(crate) struct Conversion {
    luma: [i32; 256],
    cr_to_red: [i32; 256],
    cb_to_blue: [i32; 256],
    /// Green takes the sum of both, in 1/65,536; the half that rounds it is in that of Cb.
    cr_to_green: [i32; 256],
    cb_to_green: [i32; 256],
}

impl Conversion {
    /// The share of red, green and blue in luma, where a file does not say (CCIR 601-1).
    pub(crate) const DEFAULT_COEFFICIENTS: [f32; 3] = [0.299, 0.587, 0.114];
    /// The samples that stand for black and white in Y, and for no and full colour in Cb and Cr, where a file does not
    /// say.
    pub(crate) const DEFAULT_REFERENCE: [f32; 6] = [0.0, 255.0, 128.0, 255.0, 128.0, 255.0];

    /// The conversion with these luma coefficients and this reference black and white.
    ///
    /// # Errors
    ///
    /// Corrupt when a coefficient is no number or that of green is 0, and when a reference is no number or beyond 32
    /// bits.
    pub(crate) fn new(coefficients: [f32; 3], reference: [f32; 6]) -> Result<Self> {
        let [red, green, blue] = coefficients;
        if coefficients.iter().any(|c| c.is_nan()) || green == 0.0 {
            return Err(Error::corrupt(format!("luma coefficients {coefficients:?}")));
        }
        if reference.iter().any(|r| r.is_nan() || r.abs() >= i32::MAX as f32) {
            return Err(Error::corrupt(format!("reference black and white {reference:?}")));
        }
        // Rounded to `f32` after every operation, as libtiff does.
        let (red_range, blue_range) = (2.0 - 2.0 * red, 2.0 - 2.0 * blue);
        let (cr_red, cb_blue) = (fixed(red_range), fixed(blue_range));
        let (cr_green, cb_green) = (-fixed(red * red_range / green), -fixed(blue * blue_range / green));
        let [y_black, y_white, cb_black, cb_white, cr_black, cr_white] = reference;
        let chroma =
            |code: usize, black: f32, white: f32| scaled(code as i64 - 128, black - 128.0, white - 128.0, 127.0);
        let cb: [i32; 256] = std::array::from_fn(|code| chroma(code, cb_black, cb_white));
        let cr: [i32; 256] = std::array::from_fn(|code| chroma(code, cr_black, cr_white));
        Ok(Self {
            luma: std::array::from_fn(|code| scaled(code as i64, y_black, y_white, 255.0)),
            cr_to_red: cr.map(|cr| (cr_red * cr + HALF) >> SHIFT),
            cb_to_blue: cb.map(|cb| (cb_blue * cb + HALF) >> SHIFT),
            cr_to_green: cr.map(|cr| cr_green * cr),
            cb_to_green: cb.map(|cb| cb_green * cb + HALF),
        })
    }

    /// What chroma adds to red, green and blue.
    fn chroma(&self, cb: u8, cr: u8) -> [i32; 3] {
        let (cb, cr) = (usize::from(cb), usize::from(cr));
        [self.cr_to_red[cr], (self.cb_to_green[cb] + self.cr_to_green[cr]) >> SHIFT, self.cb_to_blue[cb]]
    }

    fn pixel(&self, y: u8, chroma: [i32; 3]) -> [u8; 3] {
        let luma = self.luma[usize::from(y)];
        chroma.map(|chroma| (luma + chroma).clamp(0, 255) as u8)
    }
}

impl std::fmt::Debug for Conversion {
    /// Without the tables, which say nothing to a reader.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversion").finish_non_exhaustive()
    }
}

/// Binary places of what is multiplied with chroma.
const SHIFT: u32 = 16;
const HALF: i32 = 1 << (SHIFT - 1);

/// A factor of 0 to 2 as a fixed-point number; what is no number becomes 0.
fn fixed(factor: f32) -> i32 {
    let factor = if factor >= 0.0 { factor.min(2.0) } else { 0.0 };
    (f64::from(factor * (1 << SHIFT) as f32) + 0.5) as i32
}

/// A sample as a number from 0 at `black` to `range` at `white`, and beyond both as far as sums stay in 32 bits.
fn scaled(sample: i64, black: f32, white: f32, range: f32) -> i32 {
    const LIMIT: f32 = 4096.0;
    let span = if white == black { 1.0 } else { white - black };
    ((sample - black as i64) as f32 * range / span).clamp(-LIMIT, LIMIT) as i32
}

/// Converts rows of units to rows of `width` RGB pixels; as many as `out` has memory for.
///
/// # Errors
///
/// Invalid argument when `out` is not whole rows. Corrupt when `input` holds fewer of them.
pub(crate) fn to_rgb(
    conversion: &Conversion,
    subsampling: Subsampling,
    input: &[u8],
    width: usize,
    out: &mut [u8],
) -> Result<()> {
    let len = out.len();
    let stride = width.checked_mul(3).filter(|stride| *stride > 0 && len.is_multiple_of(*stride));
    let stride = stride.ok_or_else(|| Error::invalid(format!("{len} bytes for rows of {width} RGB pixels")))?;
    let needed = subsampling.row_bytes(width).and_then(|row| row.checked_mul(subsampling.rows(len / stride)));
    if needed.is_none_or(|needed| input.len() < needed) {
        let (n_rows, have) = (len / stride, input.len());
        return Err(Error::corrupt(format!("{n_rows} rows of {width} YCbCr pixels in {have} bytes")));
    }
    match subsampling.horizontal {
        1 => convert::<1>(conversion, subsampling, input, stride, out),
        2 => convert::<2>(conversion, subsampling, input, stride, out),
        _ => convert::<4>(conversion, subsampling, input, stride, out),
    }
    Ok(())
}

/// Units of `H` pixels across. `input` holds all of the units that `out` needs.
fn convert<const H: usize>(
    conversion: &Conversion,
    subsampling: Subsampling,
    input: &[u8],
    stride: usize,
    out: &mut [u8],
) {
    let (unit_bytes, n_luma) = (subsampling.unit_bytes(), H * subsampling.vertical);
    let units_bytes = (stride / 3).div_ceil(H) * unit_bytes;
    for (units, rows) in input.chunks_exact(units_bytes).zip(out.chunks_mut(stride * subsampling.vertical)) {
        for (line, row) in rows.chunks_exact_mut(stride).enumerate() {
            let pixels = row.as_chunks_mut::<3>().0.chunks_mut(H);
            for (unit, pixels) in units.chunks_exact(unit_bytes).zip(pixels) {
                let chroma = conversion.chroma(unit[n_luma], unit[n_luma + 1]);
                for (pixel, y) in pixels.iter_mut().zip(&unit[line * H..][..H]) {
                    *pixel = conversion.pixel(*y, chroma);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const READ: [(u64, u64); 7] = [(1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4)];

    fn default_conversion() -> Conversion {
        Conversion::new(Conversion::DEFAULT_COEFFICIENTS, Conversion::DEFAULT_REFERENCE).unwrap()
    }

    /// The value of one pixel, found from its coordinates alone.
    fn scalar_pixel(conversion: &Conversion, (h, v): (usize, usize), input: &[u8], width: usize, at: usize) -> [u8; 3] {
        let (x, y) = (at % width, at / width);
        let unit = ((y / v) * width.div_ceil(h) + x / h) * (h * v + 2);
        let luma = input[unit + (y % v) * h + x % h];
        conversion.pixel(luma, conversion.chroma(input[unit + h * v], input[unit + h * v + 1]))
    }

    #[test]
    fn every_size_and_subsampling_equals_pixel_by_pixel() {
        let conversion = default_conversion();
        let input: Vec<u8> = (0..2000_u32).map(|i| (i * i * 37 + i * 11).to_le_bytes()[1]).collect();
        for (horizontal, vertical) in READ {
            let subsampling = Subsampling::new(horizontal, vertical).unwrap();
            for width in 1..=13 {
                for n_rows in 0..=9 {
                    let needed = subsampling.row_bytes(width).unwrap() * subsampling.rows(n_rows);
                    let mut out = vec![0xa5; width * n_rows * 3];
                    to_rgb(&conversion, subsampling, &input[..needed], width, &mut out).unwrap();
                    for (at, pixel) in out.as_chunks::<3>().0.iter().enumerate() {
                        let shared = (horizontal as usize, vertical as usize);
                        let expected = scalar_pixel(&conversion, shared, &input, width, at);
                        assert_eq!(*pixel, expected, "{horizontal}x{vertical}, {width}x{n_rows}, pixel {at}");
                    }
                    if needed > 0 {
                        let short = to_rgb(&conversion, subsampling, &input[..needed - 1], width, &mut out);
                        assert_eq!(short.unwrap_err().kind(), ErrorKind::Corrupt);
                    }
                }
            }
        }
    }

    #[test]
    fn colours_convert_as_libtiff_converts_them() {
        // Y, Cb, Cr and what `TIFFYCbCrtoRGB` makes of them with the default coefficients and reference.
        let cases = [
            ([0, 128, 128], [0, 0, 0]),
            ([255, 128, 128], [255, 255, 255]),
            ([76, 85, 255], [254, 0, 0]),
            ([150, 44, 21], [0, 255, 1]),
            ([29, 255, 107], [0, 0, 254]),
            ([100, 0, 0], [0, 235, 0]),
            ([100, 255, 255], [255, 0, 255]),
        ];
        for (ycbcr, rgb) in cases {
            let mut out = [0xa5; 3];
            to_rgb(&default_conversion(), Subsampling::new(1, 1).unwrap(), &ycbcr, 1, &mut out).unwrap();
            assert_eq!(out, rgb, "{ycbcr:?}");
        }
    }

    #[test]
    fn the_formula_of_the_specification_holds_within_rounding() {
        let exact = |y: f64, cb: f64, cr: f64, [r, g, b]: [f64; 3]| {
            let (red, blue) = (y + cr * (2.0 - 2.0 * r), y + cb * (2.0 - 2.0 * b));
            [red, (y - b * blue - r * red) / g, blue]
        };
        for coefficients in [Conversion::DEFAULT_COEFFICIENTS, [0.2126, 0.7152, 0.0722]] {
            let conversion = Conversion::new(coefficients, [16.0, 235.0, 128.0, 240.0, 128.0, 240.0]).unwrap();
            for code in 0..4096_u32 {
                let [y, cb, cr] = [code % 16, code / 16 % 16, code / 256].map(|v| (v * 17) as u8);
                let full =
                    |code: u8, black: f64, white: f64, range: f64| (f64::from(code) - black) * range / (white - black);
                let chroma = |code| full(code, 128.0, 240.0, 127.0);
                let coefficients = coefficients.map(f64::from);
                let expected = exact(full(y, 16.0, 235.0, 255.0), chroma(cb), chroma(cr), coefficients);
                let got = conversion.pixel(y, conversion.chroma(cb, cr));
                for (got, expected) in got.into_iter().zip(expected) {
                    let difference = f64::from(got) - expected.clamp(0.0, 255.0);
                    // Y, Cb and Cr are each cut to a whole number first.
                    assert!(difference.abs() < 4.0, "{y} {cb} {cr}: {got} for {expected}");
                }
            }
        }
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused_or_bounded() {
        let kind = |c, r| Conversion::new(c, r).unwrap_err().kind();
        let (c, r) = (Conversion::DEFAULT_COEFFICIENTS, Conversion::DEFAULT_REFERENCE);
        assert_eq!(kind([0.3, 0.0, 0.1], r), ErrorKind::Corrupt);
        assert_eq!(kind([f32::NAN, 0.5, 0.1], r), ErrorKind::Corrupt);
        assert_eq!(kind(c, [0.0, f32::NAN, 0.0, 0.0, 0.0, 0.0]), ErrorKind::Corrupt);
        assert_eq!(kind(c, [0.0, 0.0, 0.0, 0.0, -3e9, 0.0]), ErrorKind::Corrupt);
        let extremes = [2e9, -2e9, 0.0, 128.0, 1e-30];
        for black in extremes {
            for white in extremes {
                for coefficient in [f32::INFINITY, f32::MAX, -1e30, 1e-40, 0.3] {
                    let conversion = Conversion::new([coefficient; 3], [black, white, black, white, white, black]);
                    let conversion = conversion.unwrap();
                    for code in 0..=255 {
                        conversion.pixel(code, conversion.chroma(code, 255 - code));
                    }
                }
            }
        }
    }

    #[test]
    fn subsamplings_are_read_refused_or_wrong() {
        let kind = |h, v| Subsampling::new(h, v).unwrap_err().kind();
        assert_eq!((kind(1, 4), kind(2, 4)), (ErrorKind::Unsupported, ErrorKind::Unsupported));
        for (h, v) in [(0, 1), (1, 0), (3, 1), (8, 8), (u64::MAX, 1)] {
            assert_eq!(kind(h, v), ErrorKind::Corrupt, "{h}x{v}");
        }
        assert_eq!(Subsampling::new(1, 1).unwrap().row_bytes(usize::MAX), None);
    }

    #[test]
    fn memory_that_is_not_whole_rows_is_refused() {
        let kind = |width, len| {
            let subsampling = Subsampling::new(2, 2).unwrap();
            to_rgb(&default_conversion(), subsampling, &[0; 64], width, &mut vec![0; len]).unwrap_err().kind()
        };
        assert_eq!(kind(2, 7), ErrorKind::InvalidArgument);
        assert_eq!(kind(0, 0), ErrorKind::InvalidArgument);
        assert_eq!(kind(usize::MAX, 3), ErrorKind::InvalidArgument);
    }
}
