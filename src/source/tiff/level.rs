//! An image of a file as a level, and where the bytes of its blocks are.

use crate::error::{Error, ErrorKind, Result};
use crate::grid::BlockId;
use crate::source::ReadAt;
use crate::sync::Arc;

use super::image::{Image, Stored};
use super::storage::StripCodec;
use super::tags::Compression;

pub(super) struct LevelImage {
    pub(super) reader: Arc<dyn ReadAt>,
    pub(super) image: Image,
    /// Where its directory is.
    pub(super) directory: u64,
    /// Whether `reader` has the file in memory.
    pub(super) lent: bool,
}

impl LevelImage {
    pub(super) fn new(reader: &Arc<dyn ReadAt>, image: Image, directory: u64) -> Self {
        Self { reader: Arc::clone(reader), image, directory, lent: reader.lend(0, 0).is_some() }
    }

    /// Whether the image is a coarser picture of the same samples as the first of `finer`.
    pub(super) fn fits(&self, finer: &[Self]) -> bool {
        let (base, last) = (&finer[0].image, &finer[finer.len() - 1].image);
        let image = &self.image;
        image.n_bands == base.n_bands
            && image.sample == base.sample
            && (image.level.width, image.level.height) != (last.level.width, last.level.height)
            && image.level.width <= last.level.width
            && image.level.height <= last.level.height
    }

    /// Where the stored bytes of a block are; those of the whole strip, where a block is a piece of one that must be
    /// decoded.
    pub(super) fn stored(&self, at: BlockId) -> Result<Stored> {
        let stored = self.image.stored(&*self.reader, at.plane, at.col, at.row)?;
        let Stored::At { offset, len } = stored else { return Ok(stored) };
        if !self.image.in_pieces || self.image.storage.compression != Compression::None {
            return Ok(stored);
        }
        let before = self.image.stored_bytes(self.image.level.block_height as usize);
        let before = before.and_then(|bytes| (bytes as u64).checked_mul(u64::from(at.row)));
        let offset = before.and_then(|before| offset.checked_add(before));
        match (offset, before) {
            (Some(offset), Some(before)) => Ok(Stored::At { offset, len: len.map(|len| len.saturating_sub(before)) }),
            _ => Err(Error::corrupt(format!("piece {} of a strip lies outside of any file", at.row))),
        }
    }

    /// How the strip is decoded whose pieces are the blocks; `None` for other blocks, and where it is not compressed.
    pub(super) fn strip(&self) -> Option<StripCodec> {
        self.image.strip_codec().filter(|_| self.image.in_pieces)
    }

    /// How many of the stored bytes of a block are looked at, which decode to `decoded` bytes.
    pub(super) fn len_to_read(&self, offset: u64, len: Option<u64>, decoded: u64) -> Result<usize> {
        let compression = self.image.storage.compression;
        let file_len = self.reader.len();
        let left = file_len.saturating_sub(offset);
        // No byte count: what is left of the file, which can be more than the block needs. Some writers state more than
        // there is of a block; decoders stop when the block is full.
        let len = len.unwrap_or(left).min(decoded.saturating_mul(2).saturating_add(1 << 20));
        if len > left {
            return Err(Error::new(
                ErrorKind::Io,
                format!("{len} bytes at {offset} reach past the end; {file_len} bytes were there at open"),
            ));
        }
        if len.saturating_mul(compression.max_ratio()) < decoded {
            return Err(Error::corrupt(format!(
                "{len} bytes of {} data cannot hold {decoded} bytes of pixels",
                compression.name()
            )));
        }
        usize::try_from(len).map_err(|_| Error::limit(format!("{len} bytes of a block")))
    }

    /// Reads the bytes of a block by position.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.reader.read_at(offset, out)?;
        self.reader.was_read(offset, out.len() as u64);
        Ok(())
    }

    /// Whether both have the same size, blocks and samples, and show them in the same way. Pieces of a strip are offered as
    /// they lie in the file, so that their bands must be arranged in the same way too.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let of = |image: &Image| (image.level, image.n_bands, image.sample, image.photometric, image.storage.bits);
        let is_in_order = self.strip().or(other.strip()).is_none() || self.image.interleave == other.image.interleave;
        is_in_order && of(&self.image) == of(&other.image)
    }
}
