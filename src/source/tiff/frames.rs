//! Pictures of one size in one file: pages, focal planes, points in time.

use crate::error::{Error, Result};

use super::{Frame, TiffSource};

/// Leaves the levels that all frames have, those `aside` included. A frame without any is none.
fn align(frames: &mut [Frame], aside: &[Frame]) {
    let Some(at) = frames.iter().position(|frame| !frame.is_empty()) else { return };
    let (first, others) = frames[at..].split_at_mut(1);
    let first = &mut first[0];
    let has_all = || others.iter().chain(aside).filter(|frame| !frame.is_empty());
    first.retain(|image| has_all().all(|frame| frame.iter().any(|other| other.is_like(image))));
    for frame in others {
        frame.retain(|image| first.iter().any(|other| other.is_like(image)));
    }
}

impl TiffSource {
    /// Leaves the levels that all frames have, those of pictures `aside` included, and says what there is now.
    pub(super) fn align_frames(&mut self, aside: &[Frame]) -> Result<()> {
        align(&mut self.frames, aside);
        self.info.n_frames = u32::try_from(self.frames.len()).map_err(|_| Error::limit("too many frames"))?;
        let levels = self.frames.iter().find(|frame| !frame.is_empty());
        self.info.levels = levels.into_iter().flatten().map(|image| image.image.level).collect();
        self.count();
        Ok(())
    }
}

/// Whether two masks can be those of frames of one raster.
pub(super) fn are_alike(one: &TiffSource, other: &TiffSource) -> bool {
    one.frames[0][0].is_like(&other.frames[0][0])
}

/// The masks of all frames as one source, in which a frame without a mask has no images: all of its pixels are valid.
/// `None` where no frame has one. They are alike.
pub(super) fn join_masks(mut masks: Vec<Option<TiffSource>>) -> Option<TiffSource> {
    let at = masks.iter().position(Option::is_some)?;
    let mut joined = masks[at].take()?;
    let first = joined.frames.swap_remove(0);
    joined.frames =
        masks.into_iter().map(|mask| mask.map_or_else(Frame::new, |mut m| m.frames.swap_remove(0))).collect();
    joined.frames[at] = first;
    joined.align_frames(&[]).ok()?;
    Some(joined)
}
