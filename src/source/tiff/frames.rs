//! Which directories are pictures of their own, and which are coarser levels of one.

use crate::sync::Arc;

use super::directory::{Directory, Parser};
use super::image::Image;
use super::{Frame, LevelImage, Limits, ReadAt, check_block_bytes, tags};

/// Sub-directories of an image that are looked at; a pyramid has a few dozen at most.
const MAX_SUB_IFDS: u64 = 256;

/// What a directory says that it is: bits of NewSubfileType.
pub(super) fn kind(parser: &Parser<'_>, directory: &Directory) -> u64 {
    parser.first(directory, tags::NEW_SUBFILE_TYPE).ok().flatten().unwrap_or(0)
}

/// The pictures of a file whose first directory is `base`.
///
/// A frame is a directory of the same size, blocks and samples as the first. Those that call themselves reduced belong to
/// the frame before them, or whose sub-directories they are. All frames have the levels that every one of them has; a
/// directory that cannot be read is left out, and its level is then made from a finer one.
pub(super) fn read(
    parser: &Parser<'_>,
    directories: &[Directory],
    reader: &Arc<dyn ReadAt>,
    base: Image,
    limits: Limits,
) -> Vec<Frame> {
    let mut frames = vec![vec![LevelImage::new(reader, base)]];
    let mut reduced = vec![sub_images(parser, &directories[0], reader)];
    for directory in &directories[1..] {
        let kind = kind(parser, directory);
        if kind & tags::SUBFILE_MASK != 0 {
            continue;
        }
        let Ok(image) = Image::parse(parser, directory, reader.len()) else { continue };
        let image = LevelImage::new(reader, image);
        if kind & tags::SUBFILE_REDUCED != 0 {
            reduced.last_mut().expect("never empty").push(image);
        } else if image.is_like(&frames[0][0]) {
            frames.push(vec![image]);
            reduced.push(sub_images(parser, directory, reader));
        }
    }
    for (frame, reduced) in frames.iter_mut().zip(reduced) {
        add_overviews(frame, reduced, limits);
    }
    let (first, others) = frames.split_at_mut(1);
    first[0].retain(|image| others.iter().all(|frame| frame.iter().any(|other| other.is_like(image))));
    for frame in others {
        frame.retain(|image| first[0].iter().any(|other| other.is_like(image)));
    }
    frames
}

/// The images in sub-directories of `directory` that call themselves reduced.
fn sub_images(parser: &Parser<'_>, directory: &Directory, reader: &Arc<dyn ReadAt>) -> Vec<LevelImage> {
    let mut offsets = parser.unsigned(directory, tags::SUB_IFDS, MAX_SUB_IFDS).ok().flatten().unwrap_or_default();
    offsets.sort_unstable();
    offsets.dedup();
    let image = |offset| {
        let directory = parser.directory(offset).ok()?;
        let kind = kind(parser, &directory);
        let wanted = kind & tags::SUBFILE_REDUCED != 0 && kind & tags::SUBFILE_MASK == 0;
        let image = wanted.then(|| Image::parse(parser, &directory, reader.len()).ok()).flatten()?;
        Some(LevelImage::new(reader, image))
    };
    offsets.into_iter().filter_map(image).collect()
}

/// Adds those images to a frame that are coarser pictures of it.
pub(super) fn add_overviews(frame: &mut Frame, mut reduced: Vec<LevelImage>, limits: Limits) {
    reduced.sort_by_key(|o| std::cmp::Reverse((o.image.level.width, o.image.level.height)));
    for overview in reduced {
        if overview.fits(frame) && check_block_bytes(&overview.image, limits).is_ok() {
            frame.push(overview);
        }
    }
}

impl LevelImage {
    /// Whether the image is a coarser picture of the same samples as the first of `finer`.
    fn fits(&self, finer: &[Self]) -> bool {
        let last = &finer[finer.len() - 1].image;
        let image = &self.image;
        self.has_samples_of(&finer[0])
            && (image.level.width, image.level.height) != (last.level.width, last.level.height)
            && image.level.width <= last.level.width
            && image.level.height <= last.level.height
    }

    /// Whether both have the same size, blocks and samples, and show them in the same way.
    fn is_like(&self, other: &Self) -> bool {
        let of = |image: &Image| (image.level, image.photometric, image.storage.bits);
        self.has_samples_of(other) && of(&self.image) == of(&other.image)
    }

    fn has_samples_of(&self, other: &Self) -> bool {
        let of = |image: &Image| (image.n_bands, image.sample, image.interleave);
        of(&self.image) == of(&other.image)
    }
}
