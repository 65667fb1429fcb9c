//! Whole sequential streams, in one scan or in several.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::grid::Window;

use super::super::inflate::Feed;
use super::super::jpeg::{Colour, entropy_len};
use super::super::jpeg_entropy::{Coding, Place, Scanner, Tables};
use super::super::jpeg_scan::{DHT, DQT, DRI, JpegInfo, SOS, Segment, Segments};
use super::{Frame, Planes, Quantisation};

/// Decodes one image to `out`: as the decoder of whole streams does, which knows no 12 bits and not every sampling; samples
/// of more than 8 bits are two bytes in native order. `samples` is memory for the components.
///
/// # Errors
///
/// Unsupported for a progressive stream, and for samples that are no whole number of pixels. Corrupt when the stream ends
/// before the last pixel or contradicts itself.
pub(crate) fn decode(
    info: &JpegInfo,
    tables: Option<&[u8]>,
    stream: &[u8],
    colour: Colour,
    n_bands: usize,
    samples: &mut Vec<u16>,
    out: &mut [u8],
) -> Result<()> {
    let frame = Frame::new(info, colour).filter(|_| !info.progressive).ok_or_else(|| info.factors_not_read())?;
    let (cols, rows) = mcus(info);
    // Before any memory is taken: a code for the mean and one for the end of the rest are two bits.
    let n_blocks = n_blocks(info);
    if stream.len() as u64 * 4 < n_blocks {
        return Err(Error::corrupt(format!("jpeg stream of {} bytes for {n_blocks} blocks or more", stream.len())));
    }
    // Components have codes of their own in each scan: they outlive the planes that read them.
    let scans = scans(info, tables, stream)?;
    let mut planes = frame.planes(0, cols, rows, samples)?;
    for scan in &scans {
        planes.read(scan)?;
    }
    planes.present(&Window::new(0, 0, info.width.into(), info.height.into()), n_bands, out)
}

/// Bytes that [`decode`] takes for samples, beside the pixels.
pub(crate) fn sample_bytes(info: &JpegInfo) -> u64 {
    let (cols, rows) = mcus(info);
    let blocks = info.sampling[..usize::from(info.components)].iter().map(|(h, v)| u64::from(*h) * u64::from(*v));
    u64::from(cols.end) * u64::from(rows.end) * blocks.sum::<u64>() * 64 * size_of::<u16>() as u64
}

/// The columns and rows of the MCUs of a scan of all components.
fn mcus(info: &JpegInfo) -> (Range<u32>, Range<u32>) {
    let most = info.most_sampled();
    let mcus = |pixels: u32, most: u8| 0..pixels.div_ceil(8 * u32::from(most));
    (mcus(info.width, most.0), mcus(info.height, most.1))
}

/// Blocks that a stream of this picture has at least: those of each component in a scan of its own, which are not filled up
/// to whole MCUs.
fn n_blocks(info: &JpegInfo) -> u64 {
    let most = info.most_sampled();
    let blocks = |pixels: u32, most: u8, own: u8| u64::from((pixels * u32::from(own)).div_ceil(8 * u32::from(most)));
    let components = info.sampling[..usize::from(info.components)].iter();
    components.map(|(h, v)| blocks(info.width, most.0, *h) * blocks(info.height, most.1, *v)).sum()
}

/// A scan and all that it needs.
struct Scan<'a> {
    coding: Coding,
    /// A quantisation table for each of its components.
    quantisation: Vec<[u16; 64]>,
    data: &'a [u8],
}

/// What segments have defined so far.
#[derive(Default)]
struct Defined {
    huffman: Tables,
    quantisation: Quantisation,
    restart_interval: u16,
}

impl Defined {
    fn take_in(&mut self, marker: u8, body: &[u8]) -> Result<()> {
        let defined = match (marker, body) {
            (DHT, body) => self.huffman.define(body),
            (DQT, body) => self.quantisation.define(body),
            (DRI, [high, low]) => {
                self.restart_interval = u16::from_be_bytes([*high, *low]);
                Some(())
            }
            _ => Some(()),
        };
        defined.ok_or_else(|| Error::corrupt(format!("jpeg with a wrong table in its segment {marker:#04x}")))
    }
}

/// The scans that together have every component once.
fn scans<'a>(info: &JpegInfo, tables: Option<&[u8]>, stream: &'a [u8]) -> Result<Vec<Scan<'a>>> {
    let mut defined = Defined::default();
    for Segment { marker, body, .. } in tables.map(Segments::new).transpose()?.into_iter().flatten() {
        defined.take_in(marker, body)?;
    }
    let mut scans: Vec<Scan<'a>> = Vec::new();
    let mut missing = (1_u32 << info.components) - 1;
    let mut segments = Segments::new(stream)?;
    while let Some(Segment { marker, body, range }) = segments.next() {
        defined.take_in(marker, body)?;
        if marker != SOS {
            continue;
        }
        let Defined { huffman, quantisation, restart_interval } = &defined;
        let coding = Coding::of_scan(body, info, huffman, *restart_interval).ok_or_else(|| {
            Error::corrupt(format!(
                "jpeg scan {} of components, coefficients or tables that there are not",
                scans.len()
            ))
        })?;
        for component in coding.components() {
            if missing & 1 << component.index == 0 {
                return Err(Error::corrupt(format!("jpeg with two scans of component {}", component.index)));
            }
            missing &= !(1 << component.index);
        }
        let tables = coding.components().iter().map(|component| quantisation.of(info, component.index).copied());
        let quantisation = tables.collect::<Option<Vec<_>>>();
        let quantisation =
            quantisation.ok_or_else(|| Error::corrupt("jpeg without the quantisation of a component"))?;
        let data = &stream[range.end..];
        let data = &data[..entropy_len(data)];
        scans.push(Scan { coding, quantisation, data });
        if missing == 0 {
            return Ok(scans);
        }
        segments.resume(range.end + data.len());
    }
    let n_missing = missing.count_ones();
    Err(Error::corrupt(format!("jpeg stream of {} bytes without scans of {n_missing} components", stream.len())))
}

impl<'a> Planes<'a> {
    /// Takes in all of a scan.
    fn read(&mut self, scan: &'a Scan<'_>) -> Result<()> {
        for (component, table) in scan.coding.components().iter().zip(&scan.quantisation) {
            self.set_table(component.index, table);
        }
        self.begin_scan(scan.coding.components());
        let mut scanner = Scanner::new(&scan.coding, Rest(scan.data), 0, &Place::start(0));
        for row in 0..scan.coding.mcus_down {
            crate::cancel::check()?;
            for col in 0..scan.coding.mcus_across {
                self.begin_mcu(col, row);
                scanner.visit(self)?;
            }
        }
        Ok(())
    }
}

/// What is left of the data of a scan.
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl Feed for Rest<'_> {
    #[inline]
    fn bytes(&mut self) -> Result<&[u8]> {
        Ok(self.0)
    }

    #[inline]
    fn consume(&mut self, n: usize) {
        self.0 = &self.0[n..];
    }
}
