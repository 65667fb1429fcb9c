//! JPEG: one level in strips of whole rows, decoded in one go.

use crate::codec::Scratch;
use crate::codec::jpeg::{self, Colour, JpegInfo};
use crate::error::{Error, Result};
use crate::grid::BlockId;
use crate::sample::SampleType;
use crate::sync::Arc;

use super::rows::{self, Decoded};
use super::scratch::ScratchPool;
use super::{Limits, ReadAt, ReadContext, SourceInfo, TileSource, check_block};

/// The header is looked for in this many bytes first, and in more when it is not among them.
const HEAD: u64 = 64 << 10;

/// A JPEG file: grey or RGB, into which YCbCr and CMYK are converted.
///
/// Its decoder knows the whole picture only, so every block asked for decodes all of it; the other blocks are offered
/// to the reader at once, and a cache that has room for them makes it one decode for all.
pub(super) struct JpegSource {
    info: SourceInfo,
    header: JpegInfo,
    max_metadata_bytes: u64,
    reader: Arc<dyn ReadAt>,
    scratch: ScratchPool,
}

impl JpegSource {
    pub(super) fn matches(head: &[u8]) -> bool {
        head.starts_with(b"\xFF\xD8\xFF")
    }

    pub(super) fn open(reader: Arc<dyn ReadAt>, limits: Limits) -> Result<Self> {
        let header = read_header(&*reader, limits)?;
        // Four inks are presented as red, green and blue, as GDAL does.
        let n_bands = u32::from(if header.components == 4 { 3 } else { header.components });
        let (width, height) = (u64::from(header.width), u64::from(header.height));
        let bytes = width * height * u64::from(n_bands);
        if bytes > limits.max_image_bytes as u64 {
            return Err(Error::limit(format!(
                "a JPEG of {bytes} bytes of pixels, the limit is {} bytes",
                limits.max_image_bytes
            )));
        }
        // A block of 64 samples takes at least two bits.
        if reader.len().saturating_mul(4096) < bytes {
            return Err(Error::corrupt(format!("{} bytes of JPEG cannot hold {bytes} bytes of pixels", reader.len())));
        }
        let level = rows::bands(width, height, u64::from(n_bands))?;
        let mut info = SourceInfo::new("jpeg", vec![level], n_bands, SampleType::U8);
        "jpeg".clone_into(&mut info.compression);
        Ok(Self {
            info,
            header,
            max_metadata_bytes: limits.max_metadata_bytes as u64,
            reader,
            scratch: ScratchPool::default(),
        })
    }
}

impl JpegSource {
    /// Bytes of the file that can be the picture: its pixels, stored as badly as can be, and as much metadata as is
    /// allowed. What comes after is not looked at.
    fn stream_bytes(&self) -> u64 {
        let level = &self.info.levels[0];
        let pixels = level.width * level.height * u64::from(self.header.components);
        self.reader.len().min(pixels.saturating_mul(3).saturating_add(self.max_metadata_bytes))
    }
}

impl TileSource for JpegSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], context: &mut ReadContext<'_>) -> Result<()> {
        check_block(&self.info, at, out)?;
        let (width, height) = (self.header.width, self.header.height);
        let components = self.info.n_bands as usize;
        self.scratch.with(|counted| {
            let Scratch { bytes, decoded, .. } = &mut counted.scratch;
            let len = self.stream_bytes();
            let lent = self.reader.lend(0, len as usize);
            if lent.is_none() {
                bytes.clear();
                bytes.resize(len as usize, 0);
                self.reader.read_at(0, bytes)?;
                self.reader.was_read(0, len);
            }
            let level = &self.info.levels[0];
            let in_one_block = level.rows() == 1 && level.cols() == 1;
            decoded.clear();
            if !in_one_block {
                decoded.resize(width as usize * components * height as usize, 0);
            }
            // Whole pictures are seldom small enough to be kept, so this is where they count.
            counted.count();
            let Scratch { bytes, decoded, contexts } = &mut counted.scratch;
            let bytes = lent.as_deref().unwrap_or(bytes);
            if in_one_block {
                return jpeg::decode(contexts, None, bytes, Colour::Auto, out, width, height, components);
            }
            jpeg::decode(contexts, None, bytes, Colour::Auto, decoded, width, height, components)?;
            let decoded = Decoded { info: &self.info, rows: 0..level.rows(), pixels: decoded };
            decoded.copy_block(at, out)?;
            decoded.offer(at, context);
            Ok(())
        })
    }
}

fn read_header(reader: &dyn ReadAt, limits: Limits) -> Result<JpegInfo> {
    let most = reader.len().min(limits.max_metadata_bytes as u64);
    let mut len = HEAD.min(most);
    loop {
        let mut head = vec![0; len as usize];
        reader.read_at(0, &mut head)?;
        match jpeg::info(&head) {
            Ok(info) => return Ok(info),
            Err(error) if len == most || error.kind() == crate::ErrorKind::Unsupported => return Err(error),
            Err(_) => len = len.saturating_mul(8).min(most),
        }
    }
}
