//! Which images of a file belong to its first one: overviews, and masks of it and them.

use crate::block::Interleave;
use crate::error::Result;
use crate::sample::SampleType;
use crate::source::{AssociatedImage, Limits, ReadAt, SourceInfo};
use crate::sync::Arc;

use super::directory::{Directory, Parser};
use super::image::Image;
use super::{Frame, LevelImage, TiffSource, check_block_bytes, tags};

/// Sub-directories of an image that are looked at; a pyramid has a few dozen at most.
const MAX_SUB_IFDS: u64 = 256;

/// The directories of a file apart from the first, those in sub-directories of the first included.
pub(super) struct Family<'a> {
    parser: &'a Parser<'a>,
    directories: Vec<Directory>,
    /// Whether the file is a slide as Aperio writes them, with an order and names of its own.
    is_aperio: bool,
}

impl<'a> Family<'a> {
    pub(super) fn new(parser: &'a Parser<'a>, mut directories: Vec<Directory>) -> Self {
        let first = directories.remove(0);
        let offsets = parser.unsigned(&first, tags::SUB_IFDS, MAX_SUB_IFDS).ok().flatten().unwrap_or_default();
        let mut offsets: Vec<_> = offsets.into_iter().filter(|offset| *offset > 0).collect();
        offsets.sort_unstable();
        offsets.dedup();
        let is_aperio = is_aperio(parser, &first);
        directories.extend(offsets.into_iter().filter_map(|offset| parser.directory(offset).ok()));
        Self { parser, directories, is_aperio }
    }

    /// The images that are reduced versions of `base`, the first one. One that cannot be read is left out: its level is
    /// then made from a finer one.
    pub(super) fn overviews(&self, base: &Image, reader: &Arc<dyn ReadAt>) -> Vec<LevelImage> {
        let directories = self.directories.iter().filter(|directory| match self.is_aperio {
            true => directory.entry(tags::TILE_WIDTH).is_some(),
            false => kind(self.parser, directory) & RELEVANT == tags::SUBFILE_REDUCED,
        });
        let images = directories.filter_map(|directory| self.parse(directory, reader));
        images.filter(|level| has_shape_of(level, base)).collect()
    }

    /// Names and directories of the images that are no levels of the first, but pictures of their own that belong to it.
    /// `levels` are where the directories of the levels are.
    pub(super) fn associated(&self, levels: &[u64], reader: &Arc<dyn ReadAt>) -> Vec<(AssociatedImage, u64)> {
        let mut found: Vec<(AssociatedImage, u64)> = Vec::new();
        for (i, directory) in self.directories.iter().enumerate() {
            if levels.contains(&directory.offset) || found.len() as u64 == MAX_SUB_IFDS {
                continue;
            }
            let Some(name) = self.name(i, directory) else { continue };
            let Some(image) = self.parse(directory, reader) else { continue };
            let n_before = found.iter().filter(|(image, _)| image.name.split(' ').next() == Some(&name)).count();
            let name = if n_before == 0 { name } else { format!("{name} {}", n_before + 1) };
            let level = image.image.level;
            found.push((AssociatedImage { name, width: level.width, height: level.height }, directory.offset));
        }
        found
    }

    /// What the directory number `i` after the first is called, if it is a picture that belongs to the first.
    fn name(&self, i: usize, directory: &Directory) -> Option<String> {
        let kind = kind(self.parser, directory);
        if kind & tags::SUBFILE_MASK != 0 {
            return None;
        }
        if !self.is_aperio {
            return (kind & tags::SUBFILE_REDUCED != 0).then(|| "thumbnail".to_owned());
        }
        if directory.entry(tags::TILE_WIDTH).is_some() {
            return None;
        }
        // The second line starts with what the picture is, unless it is the thumbnail, which comes first.
        let text = description(self.parser, directory).unwrap_or_default();
        let word = text.lines().nth(1).and_then(|line| line.split_whitespace().next()).unwrap_or_default();
        Some(match (word, kind, i) {
            ("label" | "macro", _, _) => word.to_owned(),
            (_, _, 0) => "thumbnail".to_owned(),
            (_, 1, _) => "label".to_owned(),
            (_, 9, _) => "macro".to_owned(),
            _ => "picture".to_owned(),
        })
    }

    fn parse(&self, directory: &Directory, reader: &Arc<dyn ReadAt>) -> Option<LevelImage> {
        Image::parse(self.parser, directory, reader.len())
            .ok()
            .map(|image| LevelImage::new(reader, image, directory.offset))
    }

    /// The mask of the first image, which has its size, with those of its overviews.
    pub(super) fn mask(&self, base: &Image, reader: &Arc<dyn ReadAt>, limits: Limits) -> Option<TiffSource> {
        let size = (base.level.width, base.level.height);
        let fits = |mask: &LevelImage| {
            let image = &mask.image;
            (image.level.width, image.level.height) == size
                && image.sample == SampleType::U8
                && (image.n_bands == 1 || image.n_bands == base.n_bands)
                && check_block_bytes(image, image.interleave, limits).is_ok()
        };
        let mask = self.of_kind(tags::SUBFILE_MASK, reader).into_iter().find(fits)?;
        let coarser = self.of_kind(tags::SUBFILE_REDUCED | tags::SUBFILE_MASK, reader);
        Some(TiffSource::of_images("tiff", mask, coarser, limits))
    }

    fn of_kind(&self, wanted: u64, reader: &Arc<dyn ReadAt>) -> Vec<LevelImage> {
        let is_wanted = |directory: &&Directory| kind(self.parser, directory) & RELEVANT == wanted;
        self.directories.iter().filter(is_wanted).filter_map(|directory| self.parse(directory, reader)).collect()
    }
}

/// The bits of a directory's kind that are looked at.
pub(super) const RELEVANT: u64 = tags::SUBFILE_REDUCED | tags::SUBFILE_MASK;

/// Whether a directory is of a slide as Aperio writes them.
pub(super) fn is_aperio(parser: &Parser<'_>, directory: &Directory) -> bool {
    description(parser, directory).is_some_and(|text| text.starts_with("Aperio"))
}

fn description(parser: &Parser<'_>, directory: &Directory) -> Option<String> {
    parser.text(directory, tags::IMAGE_DESCRIPTION).ok().flatten()
}

/// Whether the sides of an image are in about the proportion of those of `base`, which those of a label are not. Files
/// are known whose overviews are as wide again as they should be.
fn has_shape_of(level: &LevelImage, base: &Image) -> bool {
    let (here, there) = (&level.image.level, &base.level);
    let expected = here.width as f64 * there.height as f64 / there.width as f64;
    let height = here.height as f64;
    (height - expected).abs() <= 2.0 || (0.5..=2.0).contains(&(height / expected))
}

pub(super) fn kind(parser: &Parser<'_>, directory: &Directory) -> u64 {
    parser.first(directory, tags::NEW_SUBFILE_TYPE).ok().flatten().unwrap_or(0)
}

impl TiffSource {
    /// The images of `reader`, all of which are overviews of the raster that `finer` describes; `None` where none fits.
    pub(in crate::source) fn overviews_of(finer: &SourceInfo, reader: Arc<dyn ReadAt>, limits: Limits) -> Option<Self> {
        let parser = Parser::new(&*reader, limits).ok()?;
        let directories = parser.chain(parser.header.first).ok()?;
        let is_picture = |directory: &&Directory| kind(&parser, directory) & tags::SUBFILE_MASK == 0;
        let images = directories.iter().filter(is_picture).filter_map(|directory| {
            let image = Image::parse(&parser, directory, reader.len()).ok()?;
            Some(LevelImage::new(&reader, image, directory.offset))
        });
        let base = finer.levels[0];
        let mut images: Vec<_> = images
            .filter(|level| {
                let image = &level.image;
                image.n_bands == finer.n_bands
                    && image.sample == finer.sample
                    && (image.level.width, image.level.height) != (base.width, base.height)
                    && image.level.width <= base.width
                    && image.level.height <= base.height
                    && (level.strip().is_none() || image.interleave == finer.interleave)
                    && check_block_bytes(image, finer.interleave, limits).is_ok()
            })
            .collect();
        images.sort_by_key(|level| std::cmp::Reverse((level.image.level.width, level.image.level.height)));
        if images.is_empty() {
            return None;
        }
        let first = images.remove(0);
        let mut source = Self::of_images("tiff", first, Vec::new(), limits);
        source.info.interleave = finer.interleave;
        source.info.nodata = finer.nodata;
        source.add_levels(images, limits);
        Some(source)
    }

    /// A source of `base` and what fits it of `coarser`, about which nothing else is known.
    fn of_images(format: &str, base: LevelImage, coarser: Vec<LevelImage>, limits: Limits) -> Self {
        let image = &base.image;
        let mut info = SourceInfo::new(format, vec![image.level], image.n_bands, image.sample);
        info.interleave = image.interleave;
        info.n_bits = image.n_bits();
        let mut source = Self::new(info, base, limits);
        source.add_levels(coarser, limits);
        source
    }

    /// Takes this for a mask: where it has one bit a pixel, that becomes 0 or 255.
    pub(in crate::source) fn into_mask(mut self) -> Self {
        self.is_mask = true;
        self
    }

    /// Adds the images that are coarser pictures of the same samples to the levels of the only frame.
    fn add_levels(&mut self, images: Vec<LevelImage>, limits: Limits) {
        add_levels(&mut self.frames[0], images, self.info.interleave, limits);
        self.info.levels = self.frames[0].iter().map(|level| level.image.level).collect();
        self.count();
    }
}

/// Adds the images that are coarser pictures of the same samples to the levels of `frame`, whose blocks are presented in
/// this order.
pub(super) fn add_levels(frame: &mut Frame, mut images: Vec<LevelImage>, interleave: Interleave, limits: Limits) {
    images.sort_by_key(|o| std::cmp::Reverse((o.image.level.width, o.image.level.height)));
    for image in images {
        let fits: Result<()> = check_block_bytes(&image.image, interleave, limits);
        // Pieces of a strip are offered as they lie in the file.
        let in_order = image.strip().is_none() || image.image.interleave == interleave;
        if in_order && image.fits(frame) && fits.is_ok() {
            frame.push(image);
        }
    }
}
