//! Blocks that are pictures, as files.

use crate::block::Interleave;
use crate::codec;
use crate::codec::jpeg::Colour;
use crate::grid::{BlockId, EdgeBlocks, Window};
use crate::memory::zeroed;
use crate::source::jpeg::check_whole;
use crate::source::{PictureFormat, StoredPicture};

use super::TiffSource;
use super::image::Stored;
use super::tags::Compression;

impl TiffSource {
    /// The block of exactly these pixels as a file, if it is one of JPEG or WebP.
    pub(super) fn whole_block(&self, frame: u32, number: u32, window: &Window) -> Option<StoredPicture> {
        let level = self.frames.get(frame as usize)?.get(number as usize)?;
        let (image, grid) = (&level.image, &level.image.level);
        let compression = image.storage.compression;
        if !matches!(compression, Compression::Jpeg | Compression::WebP) || self.is_mask {
            return None;
        }
        if image.interleave == Interleave::Band {
            return None;
        }
        // The pieces of a strip are no pictures; it may be one.
        if image.in_pieces && *window != grid.window() {
            return None;
        }
        let col = u32::try_from(window.x / u64::from(grid.block_width)).ok()?;
        let row = u32::try_from(window.y / u64::from(grid.block_height)).ok()?;
        let is_stored_whole = match grid.edge_blocks {
            EdgeBlocks::Cropped => true,
            EdgeBlocks::Padded => (window.width, window.height) == (grid.block_width.into(), grid.block_height.into()),
        };
        let is_block = image.in_pieces || grid.block_window(col, row) == Some(*window);
        if !is_block || !is_stored_whole {
            return None;
        }
        let at = BlockId::new(number, col, row).with_frame(frame);
        let Stored::At { offset, len } = level.stored(at).ok()? else { return None };
        let n_bands = image.n_bands;
        let decoded = window.width.checked_mul(window.height)?.checked_mul(n_bands.into())?;
        let len = level.len_to_read(offset, len, decoded).ok()?;
        let lent = level.reader.lend(offset, len);
        let mut read = Vec::new();
        let stored: &[u8] = match &lent {
            Some(lent) => lent,
            None => {
                read = zeroed(len).ok()?;
                level.read(offset, &mut read).ok()?;
                &read
            }
        };
        let size = |width: u32, height: u32| (u64::from(width), u64::from(height)) == (window.width, window.height);
        if compression == Compression::Jpeg {
            let colour = if image.storage.jpeg_ycbcr { Colour::YcbcrToRgb } else { Colour::AsStored };
            let tables = image.storage.jpeg_tables.as_deref();
            // What is not one baseline scan is decoded, to see whether it can be.
            let info = codec::jpeg::info(stored).ok()?;
            if !size(info.width, info.height) || u32::from(info.components) != n_bands {
                return None;
            }
            let mut more = codec::jpeg::decode_bytes(&info, colour, n_bands as usize);
            check_whole("JPEG block", decoded, more, self.limits).ok()?;
            if more.sum() > 0 {
                more.others = more.others.saturating_add(decoded);
            }
            let picture = self.scratch.with(|counted| {
                counted.count_decoding(more);
                codec::jpeg::whole(&mut counted.scratch.contexts, tables, stored, colour)
            })?;
            let fits = size(picture.width, picture.height) && u32::from(picture.n_components) == n_bands;
            return fits.then_some(StoredPicture { format: PictureFormat::Jpeg, file: picture.file });
        }
        let picture = codec::webp::whole(stored)?;
        // What is opaque may come without opacity, but not the other way round: it would not be shown.
        let fits = size(picture.width, picture.height) && (n_bands == 4 || n_bands == 3 && !picture.has_alpha);
        if !fits {
            return None;
        }
        let file = match lent {
            Some(lent) => lent[..picture.len].to_vec(),
            None => {
                read.truncate(picture.len);
                read
            }
        };
        Some(StoredPicture { format: PictureFormat::WebP, file })
    }
}
