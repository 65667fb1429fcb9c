//! The compressed stream of a PNG: the contents of its image data chunks, one after the other.

use crate::codec::inflate::Feed;
use crate::error::{Error, Result};
use crate::sync::Arc;

use super::super::ReadAt;

/// Bytes that are read at once.
pub(super) const BUFFER: usize = 32 << 10;

/// Reads image data chunks forward, from their start or from a [`Place`]. The checksum of a chunk is looked at when the
/// stream goes on behind it.
pub(super) struct Idat {
    reader: Arc<dyn ReadAt>,
    place: Place,
    buffer: Vec<u8>,
    /// Where in the file the buffer starts.
    buffer_at: u64,
}

/// A place in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Where in the file.
    offset: u64,
    /// What is left of the chunk there and the checksum up to there; none before a chunk.
    chunk: Option<(u32, u32)>,
    /// Whether the chunk there is not image data any more.
    is_end: bool,
}

impl Place {
    /// Before the chunk at `offset`.
    pub(super) fn before_chunk(offset: u64) -> Self {
        Self { offset, chunk: None, is_end: false }
    }
}

impl Idat {
    pub(super) fn new(reader: Arc<dyn ReadAt>, place: Place) -> Self {
        Self { reader, place, buffer: Vec::new(), buffer_at: 0 }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn go_to(&mut self, place: Place) {
        self.place = place;
    }

    /// What is in the buffer from the place on, read if it is fewer than `wanted`; still fewer where the file ends.
    fn ahead(&mut self, wanted: usize) -> Result<&[u8]> {
        let offset = self.place.offset;
        let start =
            offset.checked_sub(self.buffer_at).map_or(usize::MAX, |skip| usize::try_from(skip).unwrap_or(usize::MAX));
        if self.buffer.len().saturating_sub(start) < wanted {
            if !self.buffer.is_empty() {
                self.reader.was_read(self.buffer_at, self.buffer.len() as u64);
            }
            let n = self.reader.len().saturating_sub(offset).min(BUFFER as u64) as usize;
            self.buffer.resize(n, 0);
            self.buffer_at = offset;
            if let Err(error) = self.reader.read_at(offset, &mut self.buffer) {
                self.buffer.clear();
                return Err(error);
            }
            return Ok(&self.buffer);
        }
        Ok(&self.buffer[start..])
    }

    /// Four bytes as a number, and the place after them; `None` where the file ends.
    fn word(&mut self) -> Result<Option<u32>> {
        let word = self.ahead(4)?.first_chunk::<4>().copied();
        self.place.offset += 4;
        Ok(word.map(u32::from_be_bytes))
    }

    /// Goes to the next chunk that has bytes. `false` where the image data end.
    fn next_chunk(&mut self) -> Result<bool> {
        loop {
            match self.place.chunk {
                _ if self.place.is_end => return Ok(false),
                Some((0, checksum)) => {
                    if let Some(stored) = self.word()?
                        && stored != checksum
                    {
                        return Err(Error::corrupt(format!(
                            "PNG: an image data chunk has the checksum {checksum:08x}, not {stored:08x}"
                        )));
                    }
                    self.place.chunk = None;
                }
                Some(_) => return Ok(true),
                None => {
                    let (len, name) = (self.word()?, self.word()?);
                    match (len, name.map(u32::to_be_bytes)) {
                        (Some(len), Some(name)) if name == *b"IDAT" => {
                            self.place.chunk = Some((len, zlib_rs::crc32::crc32(0, &name)));
                        }
                        _ => self.place.is_end = true,
                    }
                }
            }
        }
    }
}

impl Feed for Idat {
    fn bytes(&mut self) -> Result<&[u8]> {
        if !matches!(self.place.chunk, Some((1.., _))) && !self.next_chunk()? {
            return Ok(&[]);
        }
        let left = self.place.chunk.map_or(0, |(left, _)| left) as usize;
        let ahead = self.ahead(1)?;
        Ok(&ahead[..ahead.len().min(left)])
    }

    fn consume(&mut self, n: usize) {
        let start = (self.place.offset - self.buffer_at) as usize;
        if let Some((left, checksum)) = &mut self.place.chunk {
            *checksum = zlib_rs::crc32::crc32(*checksum, &self.buffer[start..start + n]);
            *left -= n as u32;
            self.place.offset += n as u64;
        }
    }
}
