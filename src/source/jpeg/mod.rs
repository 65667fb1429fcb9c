//! JPEG: square blocks, decoded one by one or all at once, and levels that the transform makes.

mod ahead;
mod index;
pub(in crate::source) mod pieces;
mod reduced;

use crate::codec::Scratch;
use crate::codec::jpeg::{self, Colour, DecodeBytes, JpegInfo};
use crate::error::{Error, ErrorKind, Result};
use crate::grid::{BlockId, Level, Window};
use crate::memory::LentBytes;
use crate::sample::SampleType;
use crate::sync::{Arc, AtomicBool, AtomicU64, Ordering};

use super::jpeg_marks::Marks;
use super::rows::Decoded;
use super::scratch::ScratchPool;
use super::together::{Lead, Together};
use super::{
    AssociatedImage, Limits, MetadataItem, PictureFormat, ReadAt, ReadContext, SourceInfo, StoredPicture, TileSource,
    check_block, no_such, tiff,
};
use pieces::Pieces;

/// The header is looked for in this many bytes first, and in more when it is not among them.
const HEAD: u64 = 64 << 10;

/// What the picture in the EXIF block is called.
const THUMBNAIL: &str = "thumbnail";

/// Pixels of a block, across and down.
const BLOCK: u64 = 256;

/// A JPEG file: grey or RGB, into which YCbCr and CMYK are converted.
///
/// Where blocks can be decoded alone there are up to three more levels, which the decoder makes ([`reduced`]), unless three
/// pixels share a sample.
///
/// A picture with no more pixels than the source may keep is decoded as a whole for whichever block is asked for, and the
/// other blocks are offered to the reader at once. Of a larger one each block is decoded alone ([`Pieces`]), if it is coded
/// in a single scan. Progressive pictures and those of several scans are decoded as a whole always, as are those that
/// break a rule that their decoder does not insist on: again for every block that is asked for and not kept, but once for
/// all that are asked for meanwhile ([`Together`]).
pub(super) struct JpegSource {
    info: SourceInfo,
    header: JpegInfo,
    marks: Marks,
    limits: Limits,
    reader: Arc<dyn ReadAt>,
    scratch: ScratchPool,
    together: Together,
    pieces: Option<Pieces>,
    /// Whether the pieces could not be decoded where the whole could.
    only_whole: AtomicBool,
    /// Pixels up to this many bytes are decoded at once.
    max_at_once: AtomicU64,
}

impl JpegSource {
    pub(super) fn matches(head: &[u8]) -> bool {
        head.starts_with(b"\xFF\xD8\xFF")
    }

    pub(super) fn open(reader: Arc<dyn ReadAt>, limits: Limits) -> Result<Self> {
        let (mut source, head) = Self::open_alone(reader, limits)?;
        // The head was read already; the thumbnail costs no further read.
        if let Some(thumbnail) = source.thumbnail(&head) {
            let level = thumbnail.info.levels[0];
            let (width, height) = (level.width, level.height);
            source.info.associated.push(AssociatedImage { name: THUMBNAIL.to_owned(), width, height });
        }
        Ok(source)
    }

    /// The picture without a look at its thumbnail, and the start of the file.
    fn open_alone(reader: Arc<dyn ReadAt>, limits: Limits) -> Result<(Self, Vec<u8>)> {
        let (header, head) = read_header(&*reader, limits)?;
        jpeg::check_frame(&header)?;
        let pieces = Pieces::new(&head, &header, limits.max_index_bytes);
        // Four inks are presented as red, green and blue, as GDAL does.
        let n_bands = u32::from(if header.components == 4 { 3 } else { header.components });
        let (width, height) = (u64::from(header.width), u64::from(header.height));
        let bytes = width * height * u64::from(n_bands);
        // A block of 64 samples takes at least two bits.
        if reader.len().saturating_mul(4096) < bytes {
            return Err(Error::corrupt(format!("{} bytes of JPEG cannot hold {bytes} bytes of pixels", reader.len())));
        }
        let level = Level::new(width, height, BLOCK.min(width) as u32, BLOCK.min(height) as u32)?;
        let mut levels = vec![level];
        if pieces.as_ref().is_some_and(Pieces::is_reducible) {
            reduced::add_levels(&mut levels);
        }
        let is_deep = header.bits > 8;
        let mut info = SourceInfo::new("jpeg", levels, n_bands, if is_deep { SampleType::U16 } else { SampleType::U8 });
        info.n_bits = is_deep.then_some(header.bits.into());
        "jpeg".clone_into(&mut info.compression);
        let marks = Marks::read(&head);
        info.blobs = marks.names();
        info.pixel_size_um = marks.pixel_size_um;
        if let Some(value) = marks.comment.clone() {
            info.metadata.push(MetadataItem { domain: String::new(), key: "COMMENT".to_owned(), value });
        }
        let source = Self {
            info,
            header,
            marks,
            limits,
            reader,
            scratch: ScratchPool::default(),
            together: Together::default(),
            pieces,
            only_whole: AtomicBool::new(false),
            max_at_once: AtomicU64::new(limits.max_index_bytes as u64),
        };
        if source.pieces.is_none() {
            source.check_whole()?;
        }
        Ok((source, head))
    }

    /// The picture in the EXIF block of the file that `bytes` are the start of.
    fn thumbnail(&self, bytes: &dyn ReadAt) -> Option<Self> {
        let exif = self.marks.blob(bytes, "exif").ok()??;
        let file = tiff::thumbnail(&exif).filter(|file| Self::matches(file))?;
        // A thumbnail has none, or a file could nest them without end.
        let limits = Limits { max_metadata_bytes: HEAD as usize, ..self.limits };
        Self::open_alone(Arc::new(file), limits).ok().map(|(thumbnail, _)| thumbnail)
    }

    /// Bytes of all pixels.
    fn whole_bytes(&self) -> u64 {
        let level = &self.info.levels[0];
        level.width * level.height * self.pixel_bytes() as u64
    }

    fn pixel_bytes(&self) -> usize {
        self.info.n_bands as usize * self.info.sample.bytes()
    }

    /// Bytes that the whole picture takes beside its pixels while it is decoded.
    fn decode_bytes(&self) -> DecodeBytes {
        jpeg::decode_bytes(&self.header, Colour::Auto, self.info.n_bands as usize)
    }

    /// Whether the picture may be decoded as a whole.
    fn check_whole(&self) -> Result<()> {
        check_whole("JPEG", self.whole_bytes(), self.decode_bytes(), self.limits)
    }

    /// Bytes of the file that can be the picture: its pixels, stored as badly as can be, and as much metadata as is
    /// allowed. What comes after is not looked at.
    fn stream_bytes(&self) -> u64 {
        let level = &self.info.levels[0];
        let pixels = level.width * level.height * u64::from(self.header.components);
        self.reader.len().min(pixels.saturating_mul(3).saturating_add(self.limits.max_metadata_bytes as u64))
    }

    /// Decodes the block `at` alone.
    fn read_piece(&self, pieces: &Pieces, at: BlockId, out: &mut [u8]) -> Result<()> {
        let level = &self.info.levels[0];
        let window = level.block_window(at.col, at.row);
        let window = window.ok_or_else(|| Error::internal(format!("{at} has no pixels")))?;
        let components = self.info.n_bands as usize;
        self.scratch.with(|counted| {
            let scratch = &mut counted.scratch;
            if self.header.bits > 8 {
                let planes = pieces.planes(&*self.reader, 0, &window, &mut scratch.contexts.samples)?;
                return planes.present(&window, components, out);
            }
            pieces.decode(&*self.reader, Colour::Auto, scratch, &window, components, out)
        })
    }

    /// The stream where it is, or else read into `bytes`.
    fn lend_or_read(&self, bytes: &mut Vec<u8>) -> Result<Option<LentBytes<'_>>> {
        let len = self.stream_bytes();
        let lent = self.reader.lend(0, len as usize);
        if lent.is_none() {
            bytes.clear();
            bytes.resize(len as usize, 0);
            self.reader.read_at(0, bytes)?;
            self.reader.was_read(0, len);
        }
        Ok(lent)
    }

    /// Decodes the whole picture for the block `at` and all that others wait for, and offers the others of its level.
    fn read_whole(&self, at: BlockId, out: &mut [u8], context: &mut ReadContext<'_>) -> Result<()> {
        self.check_whole()?;
        self.together.read(at, 0, out, |out, lead| self.decode_whole(at, out, lead, context))
    }

    fn decode_whole(&self, at: BlockId, out: &mut [u8], lead: &Lead<'_>, context: &mut ReadContext<'_>) -> Result<()> {
        let (width, height) = (self.header.width, self.header.height);
        let components = self.info.n_bands as usize;
        self.scratch.with(|counted| {
            let Scratch { bytes, decoded, .. } = &mut counted.scratch;
            let lent = self.lend_or_read(bytes)?;
            let level = &self.info.levels[at.level as usize];
            let in_one_block = at.level == 0 && level.rows() == 1 && level.cols() == 1;
            decoded.clear();
            if !in_one_block {
                decoded.resize(width as usize * self.pixel_bytes() * height as usize, 0);
            }
            context.check()?;
            // Whole pictures are seldom small enough to be kept, so this is where they count.
            counted.count_decoding(self.decode_bytes());
            let Scratch { bytes, decoded, contexts, .. } = &mut counted.scratch;
            let bytes = lent.as_deref().unwrap_or(bytes);
            if in_one_block {
                jpeg::decode(contexts, None, bytes, Colour::Auto, out, width, height, components)?;
                lead.hand_on(out);
                return Ok(());
            }
            jpeg::decode(contexts, None, bytes, Colour::Auto, decoded, width, height, components)?;
            if at.level > 0 {
                reduced::average(decoded, width as usize, components, self.info.sample.bytes(), at.level)?;
            }
            let pixel_bytes = self.pixel_bytes();
            let decoded = Decoded { level, pixel_bytes, rows: 0..level.rows(), pixels: decoded };
            lead.hand_out(&decoded, at, out, context)
        })
    }
}

impl TileSource for JpegSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], context: &mut ReadContext<'_>) -> Result<()> {
        check_block(&self.info, at, out)?;
        // Reduced, there is less of it than of what all of it is decoded to.
        let at_once = at.level == 0
            && self.whole_bytes() <= self.max_at_once.load(Ordering::Relaxed)
            && self.check_whole().is_ok();
        let pieces = self.pieces.as_ref().filter(|_| !at_once && !self.only_whole.load(Ordering::Relaxed));
        let Some(pieces) = pieces else { return self.read_whole(at, out, context) };
        let read = match at.level {
            0 => self.read_piece(pieces, at, out),
            _ => self.read_reduced(pieces, at, out, context),
        };
        match read {
            // What its decoder makes of a stream that breaks a rule, and what it says of it, is found out with all of it, unless
            // it is too large for that.
            Err(error) if error.kind() == ErrorKind::Corrupt && self.check_whole().is_ok() => {
                self.read_whole(at, out, context)?;
                self.only_whole.store(true, Ordering::Relaxed);
                Ok(())
            }
            read => read,
        }
    }

    fn stored_picture(
        &self,
        frame: u32,
        level: u32,
        window: &Window,
        _context: &mut ReadContext<'_>,
    ) -> Option<StoredPicture> {
        if (frame, level) != (0, 0) || *window != self.info.levels[0].window() {
            return None;
        }
        self.check_whole().ok()?;
        self.scratch.with(|counted| {
            let lent = self.lend_or_read(&mut counted.scratch.bytes).ok()?;
            let mut more = self.decode_bytes();
            if more.sum() > 0 {
                // What is not one baseline scan is decoded, to see whether it can be.
                more.others = more.others.saturating_add(self.whole_bytes());
            }
            counted.count_decoding(more);
            let Scratch { bytes, contexts, .. } = &mut counted.scratch;
            let picture = jpeg::whole(contexts, None, lent.as_deref().unwrap_or(bytes), Colour::Auto)?;
            let of_header = (self.header.width, self.header.height, self.header.components);
            let is_same = (picture.width, picture.height, picture.n_components) == of_header;
            is_same.then_some(StoredPicture { format: PictureFormat::Jpeg, file: picture.file })
        })
    }

    fn may_keep(&self, bytes: u64) -> u64 {
        self.max_at_once.store(bytes, Ordering::Relaxed);
        let Some(pieces) = &self.pieces else { return 0 };
        let max = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.limits.max_index_bytes);
        pieces.set_max(max);
        pieces.most_bytes() as u64
    }

    fn index_bytes(&self) -> u64 {
        self.pieces.as_ref().map_or(0, |pieces| pieces.index_bytes() as u64)
    }

    fn metadata_bytes(&self) -> u64 {
        let pieces = self.pieces.as_ref().map_or(0, Pieces::memory_bytes);
        (size_of::<Self>() + pieces + self.marks.memory_bytes()) as u64 + self.info.memory_bytes()
    }

    fn rest(&self) {
        self.scratch.rest();
        if let Some(pieces) = &self.pieces {
            pieces.set_max(0);
        }
        self.reader.rest();
    }

    fn open_associated(&self, name: &str) -> Result<Box<dyn TileSource>> {
        let thumbnail = if name == THUMBNAIL { self.thumbnail(&self.reader) } else { None };
        Ok(Box::new(thumbnail.ok_or_else(|| no_such("picture", name))?))
    }

    fn read_blob(&self, name: &str) -> Result<Vec<u8>> {
        self.marks.blob(&*self.reader, name)?.ok_or_else(|| no_such("block of bytes", name))
    }
}

/// Whether `what`, of so many bytes of pixels, may be decoded as a whole.
pub(super) fn check_whole(what: &str, bytes: u64, beside: DecodeBytes, limits: Limits) -> Result<()> {
    let (more, max) = (beside.sum(), limits.max_image_bytes as u64);
    if bytes.saturating_add(more) <= max {
        return Ok(());
    }
    let more = if more > 0 { format!(" and {more} bytes that decoding takes beside them") } else { String::new() };
    Err(Error::limit(format!("a {what} of {bytes} bytes of pixels{more}, the limit is {max} bytes")))
}

fn read_header(reader: &dyn ReadAt, limits: Limits) -> Result<(JpegInfo, Vec<u8>)> {
    let most = reader.len().min(limits.max_metadata_bytes as u64);
    let mut len = HEAD.min(most);
    loop {
        let mut head = vec![0; len as usize];
        reader.read_at(0, &mut head)?;
        match jpeg::info(&head) {
            Ok(info) => return Ok((info, head)),
            Err(error) if len == most || error.kind() == ErrorKind::Unsupported => return Err(error),
            Err(_) => len = len.saturating_mul(8).min(most),
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
