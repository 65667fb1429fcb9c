//! Pixels to samples of luma and chroma, in the places that the transform takes them from.
//!
//! Full-range YCbCr as JFIF has it (ITU-R BT.601's coefficients), less 128, in 15 binary places, each sample rounded once.
//! Where four pixels share their chroma it is that of their mean.

use super::Layout;
use super::transform::Pair;
use super::vector::Vectors;

/// Pixels that are converted together: a pair of blocks wide.
pub(super) const UNIT: usize = 16;

/// What red, green and blue are worth.
pub(super) const Y: [i16; 3] = [9_798, 19_235, 3_735];
pub(super) const CB: [i16; 3] = [-5_529, -10_855, 16_384];
pub(super) const CR: [i16; 3] = [16_384, -13_720, -2_664];
pub(super) const BINARY_PLACES: u32 = 15;
/// Added to luma to be rounded, and to be less by 128.
pub(super) const Y_BIAS: i32 = (1 << (BINARY_PLACES - 1)) - (128 << BINARY_PLACES);
/// Added to chroma to be rounded, halves down: the highest is 127.5.
pub(super) const C_BIAS: i32 = (1 << (BINARY_PLACES - 1)) - 1;
/// The same for the sum of four pixels.
pub(super) const C_BIAS_OF_FOUR: i32 = (1 << (BINARY_PLACES + 1)) - 1;

/// Units of a row of pixels twice, or of the two rows that share their chroma.
pub(super) type Rows<'a, T> = [&'a [[T; UNIT]]; 2];

/// Pixels of rows of blocks.
///
/// Where every pixel has chroma of its own there are two pairs of it for one of luma, each of Cb and Cr of eight pixels;
/// where four share it there is one for two of luma, of which the second is below the first.
#[derive(Debug)]
pub(super) struct Strip {
    layout: Layout,
    width: usize,
    pub(super) luma: Vec<Pair>,
    pub(super) chroma: Vec<Pair>,
}

impl Strip {
    /// One for rows of `width` pixels.
    pub(super) fn new(layout: Layout, width: usize) -> Self {
        let units = width.div_ceil(UNIT);
        let (luma, chroma) = match layout {
            Layout::Gray => (units, 0),
            Layout::Full => (units, 2 * units),
            Layout::Halved => (2 * units, units),
        };
        Self { layout, width, luma: vec![Pair::ZERO; luma], chroma: vec![Pair::ZERO; chroma] }
    }

    /// Fills it from row `y` of pixels on. The last row and the last column are repeated as often as it takes.
    ///
    /// `convert` puts units of a row of pixels to the row with that number of as many units of pairs.
    pub(super) fn fill<T: Copy>(
        &mut self,
        pixels: &[T],
        y: usize,
        mut convert: impl FnMut(usize, Rows<'_, T>, &mut [Pair], &mut [Pair]),
    ) {
        let width = self.width;
        let last = pixels.len() / width - 1;
        let row = |line: usize| &pixels[(y + line).min(last) * width..][..width];
        let (luma_each, chroma_each, step) = match self.layout {
            Layout::Gray => (1, 0, 1),
            Layout::Full => (1, 2, 1),
            Layout::Halved => (2, 1, 2),
        };
        for line in (0..self.layout.mcu_side()).step_by(step) {
            let rows = [row(line), row(line + step - 1)].map(<[T]>::as_chunks::<UNIT>);
            let n_units = rows[0].0.len();
            let (luma, luma_end) = self.luma.split_at_mut(luma_each * n_units);
            let (chroma, chroma_end) = self.chroma.split_at_mut(chroma_each * n_units);
            convert(line, rows.map(|(units, _)| units), luma, chroma);
            if !luma_end.is_empty() {
                let ends = rows.map(|(_, rest)| [std::array::from_fn(|i| rest[i.min(rest.len() - 1)])]);
                convert(line, ends.each_ref().map(|end| &end[..]), luma_end, chroma_end);
            }
        }
    }
}

/// Gray of pixels of `N` samples, of which the first is meant.
pub(super) fn gray<const N: usize>(line: usize, units: &[[[u8; N]; UNIT]], luma: &mut [Pair]) {
    for (unit, pair) in units.iter().zip(luma) {
        pair.rows[line] = unit.map(|pixel| i16::from(pixel[0]) - 128);
    }
}

/// Red, green and blue, and what else pixels of `N` samples have, which is left out.
pub(super) fn rgb<const N: usize>(
    vectors: Option<Vectors>,
    layout: Layout,
    line: usize,
    rows: Rows<'_, [u8; N]>,
    luma: &mut [Pair],
    chroma: &mut [Pair],
) {
    match (vectors, layout) {
        (Some(vectors), Layout::Halved) => vectors.rgb_halved(line, rows, luma, chroma),
        (Some(vectors), _) => vectors.rgb_full(line, rows[0], luma, chroma),
        (None, _) => from_samples(layout, line, rows, luma, chroma, |pixel| Samples::of(*pixel)),
    }
}

/// Luma, and sums of chroma that are not rounded yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Samples {
    luma: i16,
    sums: [i32; 2],
}

impl Samples {
    /// Those of a pixel that starts with red, green and blue.
    pub(super) fn of<const N: usize>(pixel: [u8; N]) -> Self {
        let sum = |factors: [i16; 3]| (0..3).map(|i| i32::from(factors[i]) * i32::from(pixel[i])).sum::<i32>();
        Self { luma: ((sum(Y) + Y_BIAS) >> BINARY_PLACES) as i16, sums: [sum(CB), sum(CR)] }
    }
}

/// Pixels of any kind, each turned to samples by `of`.
pub(super) fn from_samples<T>(
    layout: Layout,
    line: usize,
    rows: Rows<'_, T>,
    luma: &mut [Pair],
    chroma: &mut [Pair],
    of: impl Fn(&T) -> Samples,
) {
    if layout == Layout::Halved {
        let units = rows[0].iter().zip(rows[1]);
        for (((above, below), luma), chroma) in units.zip(luma.as_chunks_mut::<2>().0).zip(chroma) {
            let (block, at) = (&mut luma[line / 8], line % 8);
            for i in 0..UNIT / 2 {
                let four = [&above[2 * i], &above[2 * i + 1], &below[2 * i], &below[2 * i + 1]].map(&of);
                (block.rows[at][2 * i], block.rows[at][2 * i + 1]) = (four[0].luma, four[1].luma);
                (block.rows[at + 1][2 * i], block.rows[at + 1][2 * i + 1]) = (four[2].luma, four[3].luma);
                for kind in 0..2 {
                    let sum: i32 = four.iter().map(|samples| samples.sums[kind]).sum();
                    chroma.rows[line / 2][8 * kind + i] = ((sum + C_BIAS_OF_FOUR) >> (BINARY_PLACES + 2)) as i16;
                }
            }
        }
        return;
    }
    for ((unit, luma), chroma) in rows[0].iter().zip(luma).zip(chroma.as_chunks_mut::<2>().0) {
        for (i, pixel) in unit.iter().enumerate() {
            let samples = of(pixel);
            luma.rows[line][i] = samples.luma;
            for kind in 0..2 {
                let sample = ((samples.sums[kind] + C_BIAS) >> BINARY_PLACES) as i16;
                chroma[i / 8].rows[line][8 * kind + i % 8] = sample;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_those_of_the_formula_within_rounding() {
        for code in 0..1 << 15 {
            let pixel = [code, code >> 5, code >> 10].map(|v| (v % 32 * 255 / 31) as u8);
            let [r, g, b] = pixel.map(f64::from);
            let y = 0.299 * r + 0.587 * g + 0.114 * b;
            let samples = Samples::of(pixel);
            assert!((f64::from(samples.luma) + 128.0 - y).abs() <= 0.52, "{pixel:?}");
            for (sum, exact) in samples.sums.into_iter().zip([(b - y) / 1.772, (r - y) / 1.402]) {
                let sample = f64::from((sum + C_BIAS) >> BINARY_PLACES);
                assert!((sample - exact).abs() <= 0.52 && (-128.0..=127.0).contains(&sample), "{pixel:?}");
            }
        }
    }

    #[test]
    fn grays_have_no_colour() {
        for gray in 0..=255 {
            let samples = Samples::of([gray; 3]);
            assert_eq!((i32::from(samples.luma), samples.sums), (i32::from(gray) - 128, [0, 0]));
        }
    }
}
