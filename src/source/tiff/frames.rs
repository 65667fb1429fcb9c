//! Pictures of one size in one file: pages, focal planes, points in time.

use crate::error::{Error, Result};
use crate::sync::Arc;

use super::directory::{Directory, Parser};
use super::image::Image;
use super::{Frame, LevelImage, Limits, ReadAt, TiffSource, check_block_bytes, tags, words};

/// Cuts the directories of a file into those of each frame, its own first, with its image; those of the first frame first.
///
/// A frame is a directory of the same size, blocks and samples as `first`, with the same colours and nodata. What follows
/// belongs to the frame before it.
pub(super) fn groups(
    parser: &Parser<'_>,
    directories: Vec<Directory>,
    first: &LevelImage,
    reader: &Arc<dyn ReadAt>,
    limits: Limits,
) -> Vec<(LevelImage, Vec<Directory>)> {
    let of_first = &directories.first().map_or((None, None), |directory| meaning(parser, directory, &first.image));
    let mut groups: Vec<(LevelImage, Vec<Directory>)> = Vec::new();
    for directory in directories {
        let kind = parser.first(&directory, tags::NEW_SUBFILE_TYPE).ok().flatten().unwrap_or(0);
        let is_first = groups.is_empty();
        let is_picture = kind & (tags::SUBFILE_REDUCED | tags::SUBFILE_MASK) == 0;
        let image = (is_first || is_picture).then(|| Image::parse(parser, &directory, reader.len()).ok()).flatten();
        let image = image.map(|image| LevelImage::new(reader, image, directory.offset));
        // What is said of the pixels is said once for all frames.
        let is_frame = |image: &LevelImage| {
            let fits = check_block_bytes(&image.image, first.image.interleave, limits).is_ok();
            fits && image.is_like(first) && meaning(parser, &directory, &image.image) == *of_first
        };
        match (image.filter(|image| is_first || is_frame(image)), groups.last_mut()) {
            (Some(image), _) => groups.push((image, vec![directory])),
            (None, Some((_, group))) => group.push(directory),
            // The first directory is that of `first`, which was parsed.
            (None, None) => {}
        }
    }
    groups
}

/// What the samples of an image mean: their colours, and the one that means nothing.
fn meaning(parser: &Parser<'_>, directory: &Directory, image: &Image) -> (Option<Vec<[u8; 4]>>, Option<String>) {
    let is_palette = image.photometric == tags::PHOTOMETRIC_PALETTE;
    let table = is_palette.then(|| words::color_table(parser, directory, image.storage.bits).ok().flatten()).flatten();
    (table, parser.text(directory, tags::GDAL_NODATA).ok().flatten())
}

/// Leaves the levels that all frames have.
fn align(frames: &mut [Frame]) {
    let Some((first, others)) = frames.split_first_mut() else { return };
    first.retain(|image| others.iter().all(|frame| frame.iter().any(|other| other.is_like(image))));
    for frame in others {
        frame.retain(|image| first.iter().any(|other| other.is_like(image)));
    }
}

impl TiffSource {
    /// Leaves the levels that all frames have, and says what there is now.
    pub(super) fn align_frames(&mut self) -> Result<()> {
        align(&mut self.frames);
        self.info.n_frames = u32::try_from(self.frames.len()).map_err(|_| Error::limit("too many frames"))?;
        self.info.levels = self.frames[0].iter().map(|image| image.image.level).collect();
        self.count();
        Ok(())
    }
}

/// The masks of all frames as one source; `None` where a frame has none, or one of another kind.
pub(super) fn join_masks(masks: Vec<Option<TiffSource>>) -> Option<TiffSource> {
    let mut masks = masks.into_iter();
    let mut joined = masks.next().flatten()?;
    for mask in masks {
        let frame = mask?.frames.swap_remove(0);
        if !frame[0].is_like(&joined.frames[0][0]) {
            return None;
        }
        joined.frames.push(frame);
    }
    joined.align_frames().ok()?;
    Some(joined)
}
