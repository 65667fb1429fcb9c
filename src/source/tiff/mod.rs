//! TIFF and BigTIFF, with what GeoTIFF, GDAL and COG put into them.
//!
//! Directories are parsed once, when the file is opened; afterwards every block is read by position and decoded by
//! whoever asks for it, without a lock. The offset arrays are read a page at a time, when they are needed.

mod decode;
mod decompress;
mod directory;
mod exif;
mod family;
mod frames;
mod geo;
mod image;
mod level;
mod offsets;
mod owners;
mod pages;
mod pieces;
mod slides;
mod storage;
mod strip_index;
mod strip_jpeg;
mod tags;
mod whole;
mod words;
mod woven;

use crate::block::{BlockLayout, Interleave};
use crate::error::{Error, Result};
use crate::grid::{BlockId, Window};
use crate::memory::{Charge, Class, Ledger, LentBytes};
use crate::sample::SampleType;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};

use super::scratch::ScratchPool;
use super::together::Together;
use super::{
    ColorInterpretation, Limits, Nodata, ReadAt, ReadContext, SourceInfo, StoredPicture, TileSource, check_block,
    no_such,
};
use directory::Parser;
pub(super) use exif::thumbnail;
use family::{Family, add_levels};
use image::{Image, Stored};
use level::LevelImage;
use pages::Picture;
use pieces::StripStream;
use storage::StripCodec;
use strip_index::StripIndexes;

/// A page of a TIFF file and those like it that follow, with the overviews of these in the same file.
pub(super) struct TiffSource {
    info: SourceInfo,
    reader: Arc<dyn ReadAt>,
    /// At least one, the first of which has a level. Of a mask any other one may have none: all pixels are valid.
    frames: Vec<Frame>,
    /// The masks of the frames, and of their overviews.
    mask: Option<Arc<TiffSource>>,
    /// Where the directories of the associated images are, in the order of `info.associated`.
    associated: Vec<u64>,
    /// Where the directory of the page is.
    directory: u64,
    limits: Limits,
    /// Whether samples of one bit are presented as 0 and 255.
    is_mask: bool,
    scratch: ScratchPool,
    /// Where the last reads of strips in pieces stopped, the oldest first. Taken out while they are used, so that no lock is
    /// held while decoding.
    strips: Mutex<Vec<StripStream>>,
    together: Together,
    strip_indexes: StripIndexes,
    /// Strips of JPEG of up to this many bytes of pixels are decoded at once.
    max_at_once: AtomicU64,
    metadata: Charge,
}

/// One picture of the file: an image a level, as in `info.levels`. They may arrange their bands in another way than `info`
/// says.
type Frame = Vec<LevelImage>;

impl TiffSource {
    /// Whether a file that starts with these bytes calls itself a TIFF.
    pub(super) fn matches(head: &[u8]) -> bool {
        directory::Header::matches(head)
    }

    /// The page of this number, from 0, of the file that `reader` has.
    pub(super) fn open(reader: Arc<dyn ReadAt>, page: u32, limits: Limits) -> Result<Self> {
        let parser = Parser::new(&*reader, limits)?;
        let directories = parser.chain(parser.header.first)?;
        let n = directories.len();
        let no_page = || Error::invalid(format!("page {page}: the pages are numbered 0 to {}", n - 1));
        let wanted = directories.get(page as usize).ok_or_else(no_page)?;
        let source = Self::of_directory(&parser, wanted, &reader, limits);
        let mut source = if page == 0 { source? } else { source.map_err(|e| e.context(format!("page {page}")))? };
        source.info.page = page;
        let pictures = pages::pictures(&parser, directories, page, &source.frames[0][0], &reader, limits);
        source.info.pages = pages::list(&parser, &pictures);

        // Frames before the page are none of its own, but what they lack is no level of any.
        let (mut frames, mut aside, mut masks) = (Vec::new(), Vec::new(), Vec::<Option<Self>>::new());
        let mut first_mask = None;
        for Picture { number, image, directories, .. } in pictures.into_iter().filter(|picture| picture.is_frame) {
            let family = Family::new(&parser, directories);
            let overviews = family.overviews(&image.image, &reader);
            let mask = if number < page { None } else { family.mask(&image.image, &reader, limits) };
            // A mask of another kind makes it another raster.
            if let (Some(mask), Some(known)) = (&mask, first_mask.and_then(|first: usize| masks[first].as_ref()))
                && !frames::are_alike(mask, known)
            {
                continue;
            }
            let mut frame = vec![image];
            add_levels(&mut frame, overviews, source.info.interleave, limits);
            if number < page {
                aside.push(frame);
                continue;
            }
            if number == page {
                let levels: Vec<_> = frame.iter().map(|level| level.directory).collect();
                (source.info.associated, source.associated) = family.associated(&levels, &reader).into_iter().unzip();
            }
            if let Ok(at) = source.info.pages.binary_search_by_key(&number, |page| page.number) {
                source.info.pages[at].frame = Some(frames.len() as u32);
            }
            if mask.is_some() && first_mask.is_none() {
                first_mask = Some(masks.len());
            }
            frames.push(frame);
            masks.push(mask);
        }
        source.frames = frames;
        source.align_frames(&aside)?;
        let mask = frames::join_masks(masks).map(Self::into_mask);
        source.info.n_mask_bands = mask.as_ref().map_or(0, |mask| mask.info.n_bands);
        source.mask = mask.map(Arc::new);
        source.count();
        Ok(source)
    }

    /// The image of one directory, with what is known of it and without those that belong to it.
    fn of_directory(
        parser: &Parser<'_>,
        first: &directory::Directory,
        reader: &Arc<dyn ReadAt>,
        limits: Limits,
    ) -> Result<Self> {
        let base = Image::parse(parser, first, reader.len())?;
        check_block_bytes(&base, base.interleave, limits)?;

        let mut info = SourceInfo::new(
            if parser.header.big { "bigtiff" } else { "tiff" },
            vec![base.level],
            base.n_bands,
            base.sample,
        );
        info.compression = base.storage.compression.name().to_owned();
        info.interleave = base.interleave;
        info.n_bits = base.n_bits();
        info.colors =
            base.colors(&parser.unsigned(first, tags::EXTRA_SAMPLES, u64::from(base.n_bands))?.unwrap_or_default());
        // What only describes the pixels must not make them unreadable.
        info.nodata = words::nodata(parser, first, base.sample).unwrap_or_default();
        if base.n_bands == 1 {
            colors(parser, first, &base, &mut info);
        }
        geo::place(parser, first, &mut info);
        words::describe(parser, first, &mut info);

        let has = |tag| first.entry(tag).is_some_and(|entry| entry.count > 0);
        info.blobs = tags::BLOBS.iter().filter(|(_, tag)| has(*tag)).map(|(name, _)| (*name).to_owned()).collect();
        let mut source = Self::new(info, LevelImage::new(reader, base, first.offset), limits);
        source.count();
        Ok(source)
    }

    fn new(info: SourceInfo, base: LevelImage, limits: Limits) -> Self {
        let metadata = Ledger::process().charge(Class::Metadata, 0);
        let (directory, scratch) = (base.directory, ScratchPool::default());
        let (reader, frames, associated) = (Arc::clone(&base.reader), vec![vec![base]], Vec::new());
        let (mask, is_mask, strips) = (None, false, Mutex::default());
        let strip_indexes = StripIndexes::new(limits.max_index_bytes);
        let max_at_once = AtomicU64::new(limits.max_index_bytes as u64);
        Self {
            info,
            reader,
            frames,
            mask,
            associated,
            directory,
            limits,
            is_mask,
            scratch,
            strips,
            together: Together::default(),
            strip_indexes,
            max_at_once,
            metadata,
        }
    }

    /// Puts what the images may hold on the ledger.
    fn count(&mut self) {
        self.metadata.resize(self.frames.iter().flatten().map(|level| level.image.memory_bytes()).sum());
        let n_strips = self.indexed_strips().fold(0_usize, |n, (_, n_strips)| n.saturating_add(n_strips));
        self.strip_indexes.set_strips(n_strips);
    }

    /// The images of strips of which an index may be made, and how many strips they have.
    fn indexed_strips(&self) -> impl Iterator<Item = (&Image, usize)> {
        let levels = self.frames.iter().flatten();
        let strips = levels.filter(|level| matches!(level.strip(), Some(StripCodec::Rows(_) | StripCodec::Jpeg)));
        strips.map(|level| {
            let image = &level.image;
            (image, if image.interleave == Interleave::Band { image.n_bands as usize } else { 1 })
        })
    }

    /// The image that a block is part of; `None` in a frame of a mask in which all pixels are valid. The block is there.
    fn image(&self, at: BlockId) -> Option<&LevelImage> {
        self.frames[at.frame as usize].get(at.level as usize)
    }
}

/// The colour table of one band; in a palette nodata is clear.
fn colors(parser: &Parser<'_>, directory: &directory::Directory, base: &Image, info: &mut SourceInfo) {
    let (photometric, bits) = (base.photometric, base.storage.bits);
    if photometric == tags::PHOTOMETRIC_PALETTE {
        info.color_table = words::color_table(parser, directory, bits).unwrap_or_default();
        let index = info.nodata.map(Nodata::as_f64).filter(|nodata| nodata.fract() == 0.0 && *nodata >= 0.0);
        if let (Some(table), Some(index)) = (&mut info.color_table, index)
            && let Some(color) = table.get_mut(index as usize)
        {
            color[3] = 0;
        }
    } else if matches!(base.sample, SampleType::U8 | SampleType::U16) {
        info.color_table = words::gray_table(photometric, bits);
        if info.color_table.is_some() {
            info.colors[0] = ColorInterpretation::Palette;
        }
    }
}

/// Whether a block of `image` may be held: as it is presented and, where samples are widened or rearranged, as it is
/// stored too.
fn check_block_bytes(image: &Image, presented: Interleave, limits: Limits) -> Result<()> {
    let n_bands = |interleave| if interleave == Interleave::Band { 1 } else { image.n_bands };
    let size = (image.level.block_width, image.level.block_height);
    let layout = |interleave| BlockLayout::new(size, 1, 1, n_bands(interleave), image.sample);
    let own = layout(image.interleave)?;
    let stored = if decode::stored_as_presented(image, &own) { Some(0) } else { image.stored_bytes(size.1 as usize) };
    let rearranged = if presented == image.interleave { 0 } else { layout(presented)?.bytes };
    let bytes = stored.and_then(|stored| stored.checked_add(own.bytes)).and_then(|b| b.checked_add(rearranged));
    let bytes = bytes.unwrap_or(usize::MAX);
    if bytes > limits.max_block_bytes {
        return Err(Error::limit(format!("blocks of {bytes} bytes, the limit is {} bytes", limits.max_block_bytes)));
    }
    Ok(())
}

impl TiffSource {
    /// Reads the block `at` of `level` as it is arranged in the file.
    fn read_stored(
        &self,
        level: &LevelImage,
        at: BlockId,
        layout: &BlockLayout,
        out: &mut [u8],
        context: &mut ReadContext<'_>,
    ) -> Result<()> {
        let (offset, len) = match level.stored(at)? {
            Stored::Sparse => {
                fill(out, self.info.nodata, layout);
                return Ok(());
            }
            Stored::At { offset, len } => (offset, len),
        };
        match level.strip() {
            None => {}
            Some(StripCodec::Jpeg) => return self.read_jpeg_piece(level, at, (offset, len), out, context),
            Some(codec) => return self.read_piece(level, at, layout, (codec, offset, len), out, context),
        }
        if decode::stored_in_place(&level.image, layout) {
            if let Some(len) = len.filter(|len| *len < out.len() as u64) {
                return Err(Error::corrupt(format!("{len} bytes are stored of {}", out.len())));
            }
            level.read(offset, out)?;
            decode::finish_order(&level.image, out);
            return Ok(());
        }
        let stored_bytes = level.image.stored_bytes(layout.bytes / layout.row_stride);
        let stored_bytes = stored_bytes.ok_or_else(|| Error::limit("a block is too large"))?;
        let len = level.len_to_read(offset, len, stored_bytes as u64)?;
        let lent = level.reader.lend(offset, len);
        self.scratch.with(|counted| {
            let scratch = &mut counted.scratch;
            if lent.is_none() {
                // All of them are written, so those that are there need not be zeros.
                scratch.bytes.resize(len, 0);
                level.read(offset, &mut scratch.bytes)?;
            }
            context.check()?;
            decode::decode(&level.image, layout, lent.as_deref(), counted, self.limits, out)
        })
    }

    /// The layout of the block `at` of `level`, where the file stores it as it is presented.
    fn layout_in_place(&self, level: &LevelImage, at: BlockId) -> Option<BlockLayout> {
        let layout = self.info.block_layout(at).ok()?;
        let in_place = level.image.interleave == self.info.interleave
            && decode::stored_in_place(&level.image, &layout)
            && !decode::is_turned(&level.image);
        in_place.then_some(layout)
    }
}

impl TileSource for TiffSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], context: &mut ReadContext<'_>) -> Result<()> {
        let layout = check_block(&self.info, at, out)?;
        let Some(level) = self.image(at) else {
            out.fill(255);
            return Ok(());
        };
        // What is decoded on the way is no mask yet.
        let mut nobody = ReadContext::default();
        let context = if self.is_mask { &mut nobody } else { context };
        if level.image.interleave == self.info.interleave {
            self.read_stored(level, at, &layout, out, context)?;
        } else {
            self.read_rearranged(level, at, &layout, out)?;
        }
        if self.is_mask && level.image.storage.bits == 1 {
            out.iter_mut().for_each(|sample| *sample = if *sample == 0 { 0 } else { 255 });
        }
        Ok(())
    }

    fn lend(&self, at: BlockId) -> Option<LentBytes<'_>> {
        // Only a block that is there has a layout.
        self.info.block_layout(at).ok()?;
        let level = self.image(at)?;
        let layout = self.layout_in_place(level, at).filter(|_| level.lent)?;
        match level.stored(at).ok()? {
            Stored::At { offset, len } if len.is_none_or(|len| len >= layout.bytes as u64) => {
                level.reader.lend(offset, layout.bytes)
            }
            _ => None,
        }
    }

    fn stored_picture(
        &self,
        frame: u32,
        level: u32,
        window: &Window,
        _context: &mut ReadContext<'_>,
    ) -> Option<StoredPicture> {
        self.whole_block(frame, level, window)
    }

    fn is_a_copy(&self, at: BlockId) -> bool {
        let level = self.info.block_layout(at).ok().and_then(|_| self.image(at));
        level.is_some_and(|level| level.reader.is_kept_by_system() && self.layout_in_place(level, at).is_some())
    }

    fn metadata_bytes(&self) -> u64 {
        let images: u64 = self.frames.iter().flatten().map(|level| level.image.held_bytes()).sum();
        let levels: usize = self.frames.iter().map(|frame| frame.capacity() * size_of::<LevelImage>()).sum();
        let frames = self.frames.capacity() * size_of::<Frame>() + self.associated.capacity() * size_of::<u64>();
        let mask = self.mask.as_ref().map_or(0, |mask| mask.metadata_bytes());
        (size_of::<Self>() + levels + frames) as u64 + images + self.info.memory_bytes() + mask
    }

    fn may_keep(&self, bytes: u64) -> u64 {
        self.max_at_once.store(bytes, Ordering::Relaxed);
        let max = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.limits.max_index_bytes);
        // A mask that has strips too has half of it.
        let shares = self.mask.as_ref().is_some_and(|mask| mask.indexed_strips().next().is_some());
        let own = if shares { max / 2 } else { max };
        self.strip_indexes.set_max(own);
        let of_mask = self.mask.as_ref().map_or(0, |mask| mask.may_keep(own as u64));
        self.strip_indexes.most_bytes(self.indexed_strips()) + self.decoder_bytes() + of_mask
    }

    fn index_bytes(&self) -> u64 {
        self.strip_indexes.bytes() + self.mask.as_ref().map_or(0, |mask| mask.index_bytes())
    }

    fn rest(&self) {
        self.scratch.rest();
        self.strip_indexes.clear();
        let strips = std::mem::take(&mut *self.strips.lock());
        drop(strips);
        self.reader.rest();
        self.mask.iter().for_each(|mask| mask.rest());
    }

    fn mask(&self) -> Option<Arc<dyn TileSource>> {
        self.mask.clone().map(|mask| mask as Arc<dyn TileSource>)
    }

    fn open_associated(&self, name: &str) -> Result<Box<dyn TileSource>> {
        let place = self.info.associated.iter().position(|image| image.name == name);
        let offset = place.and_then(|i| self.associated.get(i)).ok_or_else(|| no_such("picture", name))?;
        let parser = Parser::new(&*self.reader, self.limits)?;
        Ok(Box::new(Self::of_directory(&parser, &parser.directory(*offset)?, &self.reader, self.limits)?))
    }

    fn read_blob(&self, name: &str) -> Result<Vec<u8>> {
        let parser = Parser::new(&*self.reader, self.limits)?;
        let tag = tags::BLOBS.iter().find(|(known, _)| *known == name).map(|(_, tag)| *tag);
        let directory = parser.directory(self.directory)?;
        let entry = tag.and_then(|tag| directory.entry(tag)).ok_or_else(|| no_such("block of bytes", name))?;
        parser.bytes(entry)
    }

    /// May read the pages of the offset arrays that name the block, as reading the block would.
    fn will_need(&self, at: BlockId) {
        let Ok(layout) = self.info.block_layout(at) else { return };
        let Some(level) = self.image(at) else { return };
        // All of a strip to get at one piece of it: more than anybody would want.
        if level.strip().is_some() {
            return;
        }
        if let Ok(Stored::At { offset, len }) = level.stored(at) {
            level.reader.will_need(offset, len.unwrap_or(layout.bytes as u64));
        }
    }
}

/// Fills a block that the file does not store with nodata, or with zeros.
fn fill(out: &mut [u8], nodata: Option<Nodata>, layout: &BlockLayout) {
    use crate::sample::{Sample, with_sample};
    let Some(nodata) = nodata else {
        out.fill(0);
        return;
    };
    let part = layout.sample.part();
    with_sample!(part, T => {
        let value: T = match nodata {
            Nodata::Float(value) => Sample::from_f64(value),
            Nodata::Int(value) => Sample::from_i128(i128::from(value)),
            Nodata::UInt(value) => Sample::from_i128(i128::from(value)),
        };
        for sample in out.chunks_exact_mut(part.bytes()) {
            value.write(sample);
        }
    });
}
