//! Pieces of a sequential JPEG: the MCUs of a block as a picture of their own, or their samples at full size or reduced.

use std::ops::Range;

use crate::cancel;
use crate::codec::Scratch;
use crate::codec::inflate::Feed;
use crate::codec::jpeg::{self, Colour, JpegInfo, Parts};
use crate::codec::jpeg_entropy::{Coding, DC_TABLE, Excerpt, Place, Scanner};
use crate::codec::jpeg_planes::{Frame, Planes};
use crate::error::{Error, Result};
use crate::grid::Window;
use crate::sync::Mutex;

use super::super::ReadAt;
use super::super::rows::copy_part;
use super::ahead::Ahead;
use super::index::{Index, Trail};

/// Bytes that are read at once on the way to an MCU that the index does not reach yet, and within reach of it.
const FAR_BYTES: usize = 64 << 10;
const NEAR_BYTES: usize = 4 << 10;
/// MCUs that are passed before it is asked again whether anybody still waits: a small part of a second.
const CHECK_EVERY: u64 = 4096;
/// Samples of whole rows of blocks are made at once, if they take no more bytes than this: enough for a row of blocks of
/// 256 x 256 in three bands of the widest picture at an eighth of its size.
const WIDE_BYTES: u64 = 16 << 20;

/// A picture whose MCUs can be found one by one.
///
/// The index has the place of every so many MCUs, as far as the entropy-coded data were read: without a transform, which is
/// a small part of what decoding costs. Restart markers are passed like anything else and are not in a piece.
pub(in crate::source) struct Pieces {
    coding: Coding,
    parts: Parts,
    /// What samples are made with; `None` where only whole streams can be decoded.
    frame: Option<Frame>,
    size: (u32, u32),
    /// Neighbours that an MCU needs for pixels at its edge: none where chroma is not interpolated.
    margin: u32,
    index: Mutex<Index>,
}

/// A part of the picture in whole MCUs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    cols: Range<u32>,
    rows: Range<u32>,
    /// Its pixels.
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl Pieces {
    /// Those of the picture that starts with `head`; `None` when it must be decoded whole.
    pub(in crate::source) fn new(head: &[u8], info: &JpegInfo, max_index_bytes: usize) -> Option<Self> {
        let coding = Coding::of(head, info)?;
        let parts = Parts::of(head)?;
        let frame = Frame::of(head, info, Colour::Auto);
        if info.bits > 8 && frame.is_none() {
            return None;
        }
        let is_subsampled = coding.mcu_width > 8 || coding.mcu_height > 8;
        let index = Index::new(coding.n_mcus(), max_index_bytes);
        Some(Self {
            coding,
            parts,
            frame,
            size: (info.width, info.height),
            margin: u32::from(is_subsampled),
            index: Mutex::new(index),
        })
    }

    /// Bytes that it holds beside itself.
    pub(in crate::source) fn memory_bytes(&self) -> usize {
        let frame = self.frame.as_ref().map_or(0, Frame::memory_bytes);
        self.coding.memory_bytes() + self.parts.memory_bytes() + frame + self.index_bytes()
    }

    pub(in crate::source) fn index_bytes(&self) -> usize {
        self.index.lock().bytes()
    }

    /// Bytes that the index takes when all of the picture was passed.
    pub(in crate::source) fn most_bytes(&self) -> usize {
        self.index.lock().most_bytes()
    }

    /// Changes how many bytes the index may take. One that is made thinner stays so.
    pub(in crate::source) fn set_max(&self, max_index_bytes: usize) {
        self.index.lock().set_max(max_index_bytes);
    }

    /// Whether [`planes`](Self::planes) makes samples of reduced pictures.
    pub(super) fn is_reducible(&self) -> bool {
        self.frame.as_ref().is_some_and(Frame::is_reducible)
    }

    /// What must be decoded for `window`.
    fn around(&self, window: &Window) -> Piece {
        self.around_with(window, self.margin)
    }

    fn around_with(&self, window: &Window, margin: u32) -> Piece {
        let mcus = |start: u64, len: u64, side: u32, n: u32| {
            let first = (start / u64::from(side)) as u32;
            let end = (start + len).div_ceil(u64::from(side)) as u32;
            first.saturating_sub(margin)..(end + margin).min(n)
        };
        let Coding { mcu_width, mcu_height, mcus_across, mcus_down, .. } = self.coding;
        let cols = mcus(window.x, window.width, mcu_width, mcus_across);
        let rows = mcus(window.y, window.height, mcu_height, mcus_down);
        let (left, top) = (cols.start * mcu_width, rows.start * mcu_height);
        let (right, bottom) = ((cols.end * mcu_width).min(self.size.0), (rows.end * mcu_height).min(self.size.1));
        Piece { cols, rows, left, top, width: right - left, height: bottom - top }
    }

    /// The stream of a piece, put together in the memory of `stream`.
    fn stream(&self, reader: &dyn ReadAt, piece: &Piece, mut stream: Vec<u8>) -> Result<Vec<u8>> {
        stream.clear();
        self.parts.start(&mut stream, piece.width, piece.height, |out| {
            for id in self.coding.dc_tables() {
                let len = (2 + 1 + DC_TABLE.len()) as u16;
                out.extend_from_slice(&[0xff, 0xc4, (len >> 8) as u8, len as u8, id]);
                out.extend_from_slice(&DC_TABLE);
            }
        });
        let mut copy = Excerpt::to(stream);
        self.each_row(reader, piece, |scanner, _| piece.cols.clone().try_for_each(|_| scanner.visit(&mut copy)))?;
        let mut stream = copy.finish();
        stream.extend_from_slice(&[0xff, 0xd9]);
        Ok(stream)
    }

    /// Decodes the pixels of `window`, of 8 bits a sample, to `out`.
    pub(in crate::source) fn decode(
        &self,
        reader: &dyn ReadAt,
        colour: Colour,
        scratch: &mut Scratch,
        window: &Window,
        n_components: usize,
        out: &mut [u8],
    ) -> Result<()> {
        let piece = self.around(window);
        let Scratch { bytes, decoded, contexts, .. } = scratch;
        *bytes = self.stream(reader, &piece, std::mem::take(bytes))?;
        let stride = piece.width as usize * n_components;
        decoded.resize(stride * piece.height as usize, 0);
        cancel::check()?;
        jpeg::decode(contexts, None, bytes, colour, decoded, piece.width, piece.height, n_components)?;
        let place = (window.x as usize - piece.left as usize, window.y as usize - piece.top as usize);
        copy_part(decoded, stride, n_components, place, window, out);
        Ok(())
    }

    /// Has `read` read the MCUs of each row of a piece.
    fn each_row(
        &self,
        reader: &dyn ReadAt,
        piece: &Piece,
        mut read: impl FnMut(&mut Scanner<'_, Ahead<'_>>, u32) -> Result<()>,
    ) -> Result<()> {
        let mut scanner: Option<Scanner<'_, Ahead<'_>>> = None;
        for row in piece.rows.clone() {
            cancel::check()?;
            let first = self.number(piece.cols.start, row);
            let (mcu, place) = self.nearest(reader, first)?;
            let mut here = match scanner.take() {
                Some(scanner) if (mcu..=first).contains(&scanner.mcu()) => scanner,
                _ => Scanner::new(&self.coding, Ahead::new(reader, place.offset(), NEAR_BYTES), mcu, &place),
            };
            skip_to(&mut here, first)?;
            read(&mut here, row)?;
            scanner = Some(here);
        }
        Ok(())
    }

    /// The number of an MCU.
    fn number(&self, col: u32, row: u32) -> u64 {
        u64::from(row) * u64::from(self.coding.mcus_across) + u64::from(col)
    }

    /// Whether the samples of `row`, a row of blocks of the picture that is reduced to `1 / 2^reduction`, are better made at
    /// once: those who want one of its blocks pass the codes of the others on the way, because the index does not reach
    /// behind them.
    pub(super) fn is_better_wide(&self, reduction: u32, row: &Window) -> bool {
        let last = self.around_with(&at_full_size(row, reduction), 0).rows.end;
        let wanted = self.number(0, last).saturating_sub(1);
        let fits = self.frame.as_ref().is_some_and(|frame| frame.bytes(row.width, row.height) <= WIDE_BYTES);
        fits && !self.index.lock().reaches(wanted)
    }

    /// The samples that `window` needs, which counts pixels of the picture that is reduced to `1 / 2^reduction`. They are
    /// kept in `samples`.
    pub(super) fn planes<'a>(
        &'a self,
        reader: &dyn ReadAt,
        reduction: u32,
        window: &Window,
        samples: &'a mut Vec<u16>,
    ) -> Result<Planes<'a>> {
        let frame = self.frame.as_ref().ok_or_else(|| Error::internal("samples of a JPEG that has none"))?;
        // Chroma is interpolated at full size only.
        let piece = self.around_with(&at_full_size(window, reduction), if reduction == 0 { self.margin } else { 0 });
        let mut planes = frame.planes(reduction, piece.cols.clone(), piece.rows.clone(), samples)?;
        planes.begin_scan(self.coding.components());
        let mut row_of = |scanner: &mut Scanner<'_, Ahead<'_>>, row: u32, trail: &mut Trail| {
            piece.cols.clone().try_for_each(|col| {
                trail.note(scanner);
                planes.begin_mcu(col, row);
                scanner.visit(&mut planes)
            })
        };
        if piece.cols != (0..self.coding.mcus_across) {
            self.each_row(reader, &piece, |scanner, row| row_of(scanner, row, &mut Trail::none()))?;
            return Ok(planes);
        }
        // Nothing is passed twice, and the index has it afterwards.
        let first = self.number(0, piece.rows.start);
        let (mcu, place) = self.nearest(reader, first)?;
        let mut scanner = Scanner::new(&self.coding, Ahead::new(reader, place.offset(), FAR_BYTES), mcu, &place);
        skip_to(&mut scanner, first)?;
        let mut trail = Trail::behind(first, self.index.lock().step());
        let read: Result<()> = piece.rows.clone().try_for_each(|row| {
            cancel::check()?;
            row_of(&mut scanner, row, &mut trail)
        });
        self.index.lock().take_in(&trail);
        read.map(|()| planes)
    }

    /// The last MCU at or before this one whose place is in the index, which is filled up to there.
    fn nearest(&self, reader: &dyn ReadAt, mcu: u64) -> Result<(u64, Place)> {
        let (step, known, reaches) = {
            let index = self.index.lock();
            (index.step(), index.before(mcu), index.reaches(mcu))
        };
        let (n_known, known) = known.unwrap_or_else(|| (0, Place::start(self.parts.data_offset())));
        if reaches {
            return Ok((n_known * step, known));
        }
        let feed = Ahead::new(reader, known.offset(), FAR_BYTES);
        let mut scanner = Scanner::new(&self.coding, feed, n_known * step, &known);
        let mut trail = Trail::behind(scanner.mcu() + 1, step);
        let scanned: Result<()> = (n_known + 1..=mcu / step).try_for_each(|n| {
            cancel::check()?;
            skip_to(&mut scanner, n * step)?;
            trail.note(&scanner);
            Ok(())
        });
        self.index.lock().take_in(&trail);
        scanned?;
        let (n, place) = trail.last().unwrap_or((n_known, known));
        Ok((n * step, place))
    }
}

/// Passes the MCUs before this one.
fn skip_to<F: Feed>(scanner: &mut Scanner<'_, F>, mcu: u64) -> Result<()> {
    while scanner.mcu() < mcu {
        if scanner.mcu().is_multiple_of(CHECK_EVERY) {
            cancel::check()?;
        }
        scanner.skip()?;
    }
    Ok(())
}

/// The pixels of level 0 that a window of the reduced picture shows; it may reach beyond the picture.
fn at_full_size(window: &Window, reduction: u32) -> Window {
    Window::new(window.x << reduction, window.y << reduction, window.width << reduction, window.height << reduction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Token;
    use crate::error::ErrorKind;
    use crate::sync::{Arc, AtomicU64, Ordering};

    /// Bytes whose first reading takes back the work that it is for.
    struct Cancelling {
        bytes: Vec<u8>,
        token: Arc<Token>,
        n_read: AtomicU64,
    }

    impl ReadAt for Cancelling {
        fn len(&self) -> u64 {
            self.bytes.len() as u64
        }

        fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
            self.n_read.fetch_add(out.len() as u64, Ordering::Relaxed);
            self.token.cancel();
            self.bytes.read_at(offset, out)
        }
    }

    #[test]
    fn passing_what_nobody_wants_can_be_taken_back() {
        let (width, height) = (1024, 1024);
        let pixels: Vec<u8> = (0..width * height).map(|at: u32| (at.wrapping_mul(at) >> 7) as u8).collect();
        let mut bytes = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut bytes, 80);
        encoder.encode(&pixels, width as u16, height as u16, jpeg_encoder::ColorType::Luma).unwrap();
        let info = jpeg::info(&bytes).unwrap();
        // The index has no room for any place, or for all of them.
        for max_index_bytes in [0, 1 << 20] {
            let pieces = Pieces::new(&bytes, &info, max_index_bytes).unwrap();
            assert!(pieces.coding.n_mcus() == 16_384);
            let window = Window::new(0, 1000, 20, 10);
            let read_with = |of: &dyn Fn(&dyn ReadAt) -> Result<()>| {
                let token = Arc::new(Token::default());
                let reader = Cancelling { bytes: bytes.clone(), token: Arc::clone(&token), n_read: AtomicU64::new(0) };
                let error = cancel::run(&token, || of(&reader)).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Cancelled);
                let n_read = reader.n_read.load(Ordering::Relaxed);
                assert!(n_read < bytes.len() as u64 / 2, "{n_read} of {} bytes", bytes.len());
            };
            read_with(&|reader| pieces.stream(reader, &pieces.around(&window), vec![]).map(drop));
            let wide = Window::new(0, 1000, 1024, 10);
            read_with(&|reader| pieces.planes(reader, 0, &wide, &mut vec![]).map(drop));
        }
    }
}
