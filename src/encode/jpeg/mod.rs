//! Baseline JPEG (ITU-T T.81) with JFIF's header.
//!
//! A strip at a time, a row of MCUs: [`color`] turns its pixels to samples, [`transform`] those to coefficients in the same
//! memory, [`entropy`] those to codes. Machines with AVX2 do the first two with the vectors of [`vector`], several times as
//! fast.
//!
//! Tables and their scaling are libjpeg's, so a quality means what it does elsewhere. The Huffman codes are the
//! standard's: codes made for a picture take a second pass.

mod color;
mod entropy;
mod header;
mod tables;
#[cfg(test)]
mod tests;
mod transform;
mod vector;

use crate::error::{Error, Result};

use super::{Chroma, Color, Picture, color_of};
use color::{Rows, Samples, Strip};
use entropy::Entropy;
use transform::{Pair, Quantizer};
use vector::Vectors;

/// How the blocks of components make MCUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Gray,
    /// A block of each component.
    Full,
    /// Two by two blocks of luma, one of each chroma.
    Halved,
}

impl Layout {
    /// Pixels across and down.
    const fn mcu_side(self) -> usize {
        match self {
            Self::Gray | Self::Full => 8,
            Self::Halved => 16,
        }
    }
}

/// The picture as a JPEG file of `quality` 1 to 100. Palettes are expanded; opacity is dropped.
///
/// # Errors
///
/// Invalid argument for a side of 0 or of more than 65,535 pixels.
pub(crate) fn encode(picture: &Picture<'_>, quality: u8, chroma: Chroma) -> Result<Vec<u8>> {
    encode_with(Vectors::new(), picture, quality, chroma)
}

fn encode_with(vectors: Option<Vectors>, picture: &Picture<'_>, quality: u8, chroma: Chroma) -> Result<Vec<u8>> {
    let &Picture { width, height, color, pixels, .. } = picture;
    let size = match (u16::try_from(width), u16::try_from(height)) {
        (Ok(width), Ok(height)) if width > 0 && height > 0 => (width, height),
        _ => return Err(Error::invalid(format!("JPEG cannot hold {width}x{height} pixels"))),
    };
    let n_pixels = usize::from(size.0) * usize::from(size.1);
    if n_pixels.checked_mul(color.n_bands()) != Some(pixels.len()) {
        let (len, n_bands) = (pixels.len(), color.n_bands());
        return Err(Error::internal(format!("{len} bytes for {width}x{height} pixels of {n_bands} bands")));
    }
    let layout = match (color, chroma) {
        (Color::Gray | Color::GrayAlpha, _) => Layout::Gray,
        (_, Chroma::Full) => Layout::Full,
        (_, Chroma::Halved) => Layout::Halved,
    };
    let tables = [tables::scaled(&tables::LUMA, quality), tables::scaled(&tables::CHROMA, quality)];
    let mut file = Vec::with_capacity(n_pixels / 4 + 1024);
    header::write(&mut file, size, layout, &tables);
    let job = Job { vectors, layout, width: usize::from(size.0), quantizers: tables.each_ref().map(Quantizer::new) };
    match color {
        Color::Gray => job.gray(pixels.as_chunks::<1>().0, &mut file),
        Color::GrayAlpha => job.gray(pixels.as_chunks::<2>().0, &mut file),
        Color::Rgb => job.rgb(pixels.as_chunks::<3>().0, &mut file),
        Color::Rgba => job.rgb(pixels.as_chunks::<4>().0, &mut file),
        Color::Palette(colors) => job.palette(pixels, colors, &mut file),
    }
    file.extend_from_slice(&[0xff, 0xd9]);
    Ok(file)
}

/// What is the same for all strips of a picture.
struct Job {
    vectors: Option<Vectors>,
    layout: Layout,
    width: usize,
    /// Of luma and of chroma.
    quantizers: [Quantizer; 2],
}

impl Job {
    fn gray<const N: usize>(&self, pixels: &[[u8; N]], file: &mut Vec<u8>) {
        self.scan(pixels, file, |line, rows, luma, _| color::gray(line, rows[0], luma));
    }

    fn rgb<const N: usize>(&self, pixels: &[[u8; N]], file: &mut Vec<u8>) {
        self.scan(pixels, file, |line, rows, luma, chroma| {
            color::rgb(self.vectors, self.layout, line, rows, luma, chroma);
        });
    }

    fn palette(&self, pixels: &[u8], colors: &[[u8; 4]], file: &mut Vec<u8>) {
        let layout = self.layout;
        let colors: [[u8; 4]; 256] = std::array::from_fn(|index| color_of(colors, index as u8));
        let Some(vectors) = self.vectors else {
            // Without vectors a table of samples is faster than colours.
            let samples = colors.map(Samples::of);
            return self.scan(pixels, file, |line, rows, luma, chroma| {
                color::from_samples(layout, line, rows, luma, chroma, |index| samples[usize::from(*index)]);
            });
        };
        let n_rows = if layout == Layout::Halved { 2 } else { 1 };
        let mut colored = [(); 2].map(|()| vec![[[0; 4]; color::UNIT]; self.width.div_ceil(color::UNIT)]);
        self.scan(pixels, file, |line, rows, luma, chroma| {
            let n_units = rows[0].len();
            for (colored, row) in colored.iter_mut().zip(&rows[..n_rows]) {
                let pixels = colored.as_flattened_mut().iter_mut().zip(row.as_flattened());
                pixels.for_each(|(pixel, index)| *pixel = colors[usize::from(*index)]);
            }
            let rows = [&colored[0][..n_units], &colored[n_rows - 1][..n_units]];
            color::rgb(Some(vectors), layout, line, rows, luma, chroma);
        });
    }

    /// The entropy-coded data of all pixels; `convert` as for [`Strip::fill`].
    fn scan<T: Copy>(
        &self,
        pixels: &[T],
        file: &mut Vec<u8>,
        mut convert: impl FnMut(usize, Rows<'_, T>, &mut [Pair], &mut [Pair]),
    ) {
        let side = self.layout.mcu_side();
        let n_mcus = self.width.div_ceil(side);
        let mut strip = Strip::new(self.layout, self.width);
        let mut entropy = Entropy::new(self.layout);
        for y in (0..pixels.len() / self.width).step_by(side) {
            strip.fill(pixels, y, &mut convert);
            for (pairs, quantizer) in [&mut strip.luma, &mut strip.chroma].into_iter().zip(&self.quantizers) {
                match self.vectors {
                    Some(vectors) => vectors.transform(pairs, quantizer),
                    None => transform::transform(pairs, quantizer),
                }
            }
            match self.vectors {
                Some(vectors) => vectors.add(&mut entropy, &strip, n_mcus, file),
                None => entropy.add(&strip, n_mcus, file),
            }
        }
        entropy.finish(file);
    }
}
