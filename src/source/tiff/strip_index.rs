//! What is known of the insides of strips that are read in pieces: of those that were read last, in bounded memory.

use crate::source::restarts::Restarts;
use crate::sync::{Arc, Mutex};

use super::image::Image;
use super::pieces::RowPlace;
use super::storage::StripCodec;
use super::strip_jpeg::JpegStrip;

/// Strips of which something is known at once: those of a few bands, levels or frames.
const KEEP: usize = 4;

/// Frame, level and plane of a strip.
pub(super) type StripPlace = (u32, u32, u32);

/// The indices of strips, in no more bytes than were allowed.
pub(super) struct StripIndexes {
    state: Mutex<State>,
}

struct State {
    max_bytes: usize,
    /// Strips that may have an index.
    n_strips: usize,
    /// The one that was used last is the last.
    kept: Vec<(StripPlace, Arc<StripIndex>)>,
}

/// What is known of one strip.
#[expect(clippy::large_enum_variant, reason = "there are few, each behind a pointer")]
pub(super) enum StripIndex {
    Rows(Restarts<RowPlace>),
    Jpeg(JpegStrip),
}

impl StripIndexes {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { state: Mutex::new(State { max_bytes, n_strips: 1, kept: Vec::new() }) }
    }

    /// Says how many strips there are that may have an index.
    pub(super) fn set_strips(&self, n_strips: usize) {
        self.state.lock().n_strips = n_strips;
    }

    /// What is known of the strip at `place`; `make` makes it in so many bytes.
    pub(super) fn get(&self, place: StripPlace, make: impl FnOnce(usize) -> StripIndex) -> Arc<StripIndex> {
        let mut state = self.state.lock();
        if let Some(at) = state.kept.iter().position(|(known, _)| *known == place) {
            let known = state.kept.remove(at);
            let index = Arc::clone(&known.1);
            state.kept.push(known);
            return index;
        }
        // Nothing is read to make one.
        let index = Arc::new(make(state.share()));
        state.kept.push((place, Arc::clone(&index)));
        let oldest = (state.kept.len() > KEEP).then(|| state.kept.remove(0));
        drop(state);
        // Not under the lock.
        drop(oldest);
        index
    }

    /// Changes how many bytes all of them may take.
    pub(super) fn set_max(&self, max_bytes: usize) {
        let mut state = self.state.lock();
        state.max_bytes = max_bytes;
        let (share, kept) = (state.share(), state.kept.clone());
        drop(state);
        kept.iter().for_each(|(_, index)| index.set_max(share));
    }

    /// Bytes of all of them now.
    pub(super) fn bytes(&self) -> u64 {
        let kept = self.state.lock().kept.clone();
        kept.iter().map(|(_, index)| index.bytes() as u64).sum()
    }

    /// The most bytes that those of `images` take, each of which has so many strips.
    pub(super) fn most_bytes<'a>(&self, images: impl Iterator<Item = (&'a Image, usize)>) -> u64 {
        let share = self.state.lock().share() as u64;
        // The largest ones yet, from the largest on.
        let mut most = [0; KEEP];
        for (image, n_strips) in images {
            let bytes = StripIndex::wanted_bytes(image).min(share);
            for _ in 0..n_strips.min(KEEP) {
                let at = most.partition_point(|larger| *larger >= bytes);
                if at < KEEP {
                    most[at..].rotate_right(1);
                    most[at] = bytes;
                }
            }
        }
        most.iter().sum()
    }

    /// Forgets all of them.
    pub(super) fn clear(&self) {
        let kept = std::mem::take(&mut self.state.lock().kept);
        drop(kept);
    }
}

impl State {
    fn share(&self) -> usize {
        self.max_bytes / self.n_strips.clamp(1, KEEP)
    }
}

impl StripIndex {
    pub(super) fn of_rows(image: &Image, max_bytes: usize) -> Self {
        Self::Rows(Restarts::new(decoded_bytes(image), RowPlace::bytes(image.level.block_width), max_bytes))
    }

    pub(super) fn rows(&self) -> Option<&Restarts<RowPlace>> {
        match self {
            Self::Rows(restarts) => Some(restarts),
            Self::Jpeg(_) => None,
        }
    }

    pub(super) fn jpeg(&self) -> Option<&JpegStrip> {
        match self {
            Self::Rows(_) => None,
            Self::Jpeg(strip) => Some(strip),
        }
    }

    fn set_max(&self, max_bytes: usize) {
        match self {
            Self::Rows(restarts) => restarts.set_max(max_bytes),
            Self::Jpeg(strip) => strip.set_max(max_bytes),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Rows(restarts) => restarts.bytes(),
            Self::Jpeg(strip) => strip.index_bytes(),
        }
    }

    /// Bytes that the index of a strip of this image takes when nobody bounds it.
    fn wanted_bytes(image: &Image) -> u64 {
        match image.strip_codec() {
            Some(StripCodec::Rows(_)) => {
                Restarts::<RowPlace>::new(decoded_bytes(image), RowPlace::bytes(image.level.block_width), usize::MAX)
                    .most_bytes() as u64
            }
            Some(StripCodec::Jpeg) => JpegStrip::wanted_bytes(&image.level),
            _ => 0,
        }
    }
}

/// Bytes of the pixels of a strip as they are presented: the positions of an index.
fn decoded_bytes(image: &Image) -> u64 {
    image.level.width.saturating_mul(image.level.height).saturating_mul(image.sample.bytes() as u64)
}
