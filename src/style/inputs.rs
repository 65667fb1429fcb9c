//! Samples and masks that a plan works on, and the values that it makes of them.

use crate::block::Interleave;
use crate::dataset::{CacheUse, Dataset, Layout, WindowRequest};
use crate::error::{Error, Result};
use crate::grid::Window;
use crate::memory::zeroed;
use crate::resample::Resampling;
use crate::sample::{Sample, SampleType, with_sample};

use super::expr;
use super::icc::Profile;
use super::plan::Value;

/// Something that is read, by frame and band, both from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Input {
    Band {
        frame: u32,
        band: u32,
    },
    /// Which pixels of the band are valid.
    Mask {
        frame: u32,
        band: u32,
    },
}

impl Input {
    fn frame(&self) -> u32 {
        match self {
            Self::Band { frame, .. } | Self::Mask { frame, .. } => *frame,
        }
    }
}

/// The pixels of a window, one plane for each input.
#[derive(Debug)]
pub(crate) struct Samples {
    pub(super) sample: SampleType,
    pub(super) n_pixels: usize,
    pub(super) planes: Vec<Vec<u8>>,
}

/// Which pixels to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area<'a> {
    pub(crate) level: u32,
    pub(crate) window: &'a Window,
    pub(crate) resampling: Resampling,
    pub(crate) cache_use: CacheUse,
}

impl Samples {
    /// Reads all inputs, which are in order, and applies a colour profile to them.
    pub(super) fn read(dataset: &Dataset, inputs: &[Input], profile: Option<&Profile>, area: Area<'_>) -> Result<Self> {
        let sample = dataset.info().sample.part();
        let n_pixels = area.window.width.checked_mul(area.window.height).and_then(|n| usize::try_from(n).ok());
        let n_pixels = n_pixels.ok_or_else(|| Error::limit(format!("{} as one picture", area.window)))?;
        let plane_bytes = n_pixels.checked_mul(sample.bytes()).filter(|bytes| *bytes > 0);
        let plane_bytes = plane_bytes.ok_or_else(|| Error::limit(format!("{} as one picture", area.window)))?;
        let request = |frame: u32| {
            let mut request = WindowRequest::new(area.level, *area.window).frame(frame).resampling(area.resampling);
            request.cache_use = area.cache_use;
            request.layout(Layout::Tight(Interleave::Band))
        };
        let mut planes = Vec::with_capacity(inputs.len());
        for of_frame in inputs.chunk_by(|a, b| a.frame() == b.frame() && is_band(a) && is_band(b)) {
            let frame = of_frame[0].frame();
            if let Input::Mask { band, .. } = of_frame[0] {
                let mut plane = zeroed(n_pixels)?;
                dataset.read_mask_window(band, &request(frame), &mut plane)?;
                planes.push(plane);
                continue;
            }
            let bands = of_frame.iter().map(|input| match input {
                Input::Band { band, .. } | Input::Mask { band, .. } => *band,
            });
            let n_bytes = plane_bytes.checked_mul(of_frame.len());
            let n_bytes = n_bytes.ok_or_else(|| Error::limit(format!("{} bands at once", of_frame.len())))?;
            let mut bytes = zeroed(n_bytes)?;
            dataset.read_window(&request(frame).bands(bands.collect::<Vec<_>>()).sample(sample), &mut bytes)?;
            if of_frame.len() == 1 {
                planes.push(bytes);
            } else {
                planes.extend(bytes.chunks_exact(plane_bytes).map(<[u8]>::to_vec));
            }
        }
        if let Some(profile) = profile {
            profile.convert(inputs, &mut planes)?;
        }
        Ok(Self { sample, n_pixels, planes })
    }

    /// How many pixels there are.
    pub(crate) fn n_pixels(&self) -> usize {
        self.n_pixels
    }

    /// The samples of the input at `place`.
    pub(crate) fn plane(&self, place: usize) -> &[u8] {
        &self.planes[place]
    }

    /// `n` samples of the plane at `place` from pixel `first` on.
    fn numbers(&self, place: u32, first: usize, n: usize, out: &mut Vec<f64>) {
        out.clear();
        with_sample!(self.sample, T => {
            let bytes = &self.planes[place as usize][first * T::BYTES..][..n * T::BYTES];
            out.extend(bytes.chunks_exact(T::BYTES).map(|bytes| T::read(bytes).to_f64()));
        });
    }
}

fn is_band(input: &Input) -> bool {
    matches!(input, Input::Band { .. })
}

/// Values of a run of pixels, and memory to make them in.
#[derive(Default)]
pub(super) struct Values {
    pub(super) valid: Vec<bool>,
    /// The first of them holds the values.
    stack: Vec<Vec<f64>>,
    input: Vec<f64>,
}

impl Values {
    /// The values of `n` pixels from `first` on. NaN stays valid: who has no use for it leaves it out.
    pub(super) fn read(&mut self, value: &Value, samples: &Samples, first: usize, n: usize) {
        expr::values(&value.ops, n, &mut self.stack, |place, out| samples.numbers(place, first, n, out));
        self.valid.clear();
        self.valid.resize(n, true);
        for (place, nodata) in &value.input_nodata {
            samples.numbers(*place, first, n, &mut self.input);
            self.valid.iter_mut().zip(&self.input).for_each(|(valid, input)| *valid &= input != nodata);
        }
        if let Some(nodata) = value.nodata {
            self.valid.iter_mut().zip(&self.stack[0]).for_each(|(valid, value)| *valid &= *value != nodata);
        }
        for place in &value.masks {
            let mask = &samples.planes[*place as usize][first..first + n];
            self.valid.iter_mut().zip(mask).for_each(|(valid, mask)| *valid &= *mask != 0);
        }
    }

    pub(super) fn values(&self) -> &[f64] {
        self.stack.first().map_or(&[], Vec::as_slice)
    }
}
