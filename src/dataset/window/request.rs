//! What a window is asked for with.

use crate::block::Interleave;
use crate::dataset::CacheUse;
use crate::grid::Window;
use crate::resample::Resampling;
use crate::sample::SampleType;

/// Which pixels to read, and how they shall come. Build it with [`new`](Self::new) and change what differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WindowRequest {
    /// Which of several pictures; 0 by default.
    pub frame: u32,
    /// The level whose pixels the window counts.
    pub level: u32,
    /// What to read.
    pub window: Window,
    /// Width and height of the result; the window's own by default.
    pub size: (u32, u32),
    /// How pixels of another size are made.
    pub resampling: Resampling,
    /// Take the pixels of `level` even where a coarser one would do. By default a result of half the window's size or
    /// less is made from a coarser level: with [`Resampling::Nearest`] from one that is stored, with
    /// [`Resampling::Average`] from any.
    pub exact_level: bool,
    /// Bands in the order wanted, numbered from 0; `None` for all.
    pub bands: Option<Vec<u32>>,
    /// The sample type of the result; `None` for the source's own. Integers clamp, floats are rounded first.
    pub sample: Option<SampleType>,
    /// How the result lies in memory.
    pub layout: Layout,
    /// What the read means for the blocks that it comes by.
    pub cache_use: CacheUse,
}

/// How the samples of a window lie in the caller's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Without gaps, in this order.
    Tight(Interleave),
    /// With these distances in bytes, from the first sample on.
    Strided {
        /// To the next pixel.
        pixel: usize,
        /// To the next row.
        row: usize,
        /// To the next band.
        band: usize,
    },
}

impl WindowRequest {
    /// `window` of `level` as it is: all bands, own sample type, pixel-interleaved, not scaled.
    #[must_use]
    pub fn new(level: u32, window: Window) -> Self {
        let side = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            frame: 0,
            level,
            window,
            size: (side(window.width), side(window.height)),
            resampling: Resampling::Nearest,
            exact_level: false,
            bands: None,
            sample: None,
            layout: Layout::Tight(Interleave::Pixel),
            cache_use: CacheUse::Normal,
        }
    }

    /// The same request with a result of another size.
    #[must_use]
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.size = (width, height);
        self
    }

    /// The same request for another frame.
    #[must_use]
    pub fn frame(mut self, frame: u32) -> Self {
        self.frame = frame;
        self
    }

    /// The same request with another resampling.
    #[must_use]
    pub fn resampling(mut self, resampling: Resampling) -> Self {
        self.resampling = resampling;
        self
    }

    /// The same request for these bands, numbered from 0.
    #[must_use]
    pub fn bands(mut self, bands: impl Into<Vec<u32>>) -> Self {
        self.bands = Some(bands.into());
        self
    }

    /// The same request with samples of another type.
    #[must_use]
    pub fn sample(mut self, sample: SampleType) -> Self {
        self.sample = Some(sample);
        self
    }

    /// The same request by a reader of another kind.
    #[must_use]
    pub fn cache_use(mut self, cache_use: CacheUse) -> Self {
        self.cache_use = cache_use;
        self
    }

    /// The same request with another layout of the result.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }
}
