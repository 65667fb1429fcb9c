//! From the colours of a profile to sRGB, by `moxcms`.
//!
//! Samples of 8 bits too are converted in 16 bits: in 8 the library cuts off what should be rounded, and pictures become half
//! a level darker.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformExecutor, TransformOptions};

use crate::error::{Error, Result};
use crate::sample::{Sample, SampleType};

use super::spec::RenderingIntent;

/// Pixels that are converted at a time.
const RUN: usize = 1024;
/// Bytes that a transform is taken to have beside those of its profile: tables of curves.
const TABLES: [usize; 2] = [128 << 10, 1 << 20];
/// Steps from 0 to full in each colour at which it is seen whether a transform changes anything.
const STEPS: usize = 9;

/// Samples of one or three planes to sRGB.
pub(super) struct Transform {
    how: How,
    n_bytes: usize,
    has_intents: bool,
}

enum How {
    /// What each grey becomes.
    Grays(Vec<u8>),
    WideGrays(Vec<u16>),
    Colors(Arc<Executor>),
    WideColors(Arc<Executor>),
}

type Executor = dyn TransformExecutor<u16> + Send + Sync;

impl fmt::Debug for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transform").field("n_bytes", &self.n_bytes).finish_non_exhaustive()
    }
}

impl Transform {
    /// The transform of a profile for samples of 8 or 16 bits; `None` when what comes out is what went in, but for what a
    /// rounding of 8 bits makes of it.
    pub(super) fn new(
        bytes: &[u8],
        intent: RenderingIntent,
        n_bands: usize,
        sample: SampleType,
    ) -> Result<Option<Self>> {
        guarded(|| Self::made(bytes, intent, n_bands, sample))
    }

    fn made(bytes: &[u8], intent: RenderingIntent, n_bands: usize, sample: SampleType) -> Result<Option<Self>> {
        let bad = |error| Error::corrupt(format!("the colour profile of {} bytes: {error}", bytes.len()));
        let profile = ColorProfile::new_from_slice(bytes).map_err(bad)?;
        let layout = match (profile.color_space, n_bands) {
            (DataColorSpace::Rgb, 3) => Layout::Rgb,
            (DataColorSpace::Gray, 1) => Layout::Gray,
            (space, _) => {
                return Err(Error::unsupported(format!("the colour profile is one of {space:?}, for {n_bands} bands")));
            }
        };
        let options = TransformOptions {
            rendering_intent: match intent {
                RenderingIntent::Perceptual => moxcms::RenderingIntent::Perceptual,
                RenderingIntent::RelativeColorimetric => moxcms::RenderingIntent::RelativeColorimetric,
                RenderingIntent::Saturation => moxcms::RenderingIntent::Saturation,
                RenderingIntent::AbsoluteColorimetric => moxcms::RenderingIntent::AbsoluteColorimetric,
            },
            ..TransformOptions::default()
        };
        let to = ColorProfile::new_srgb();
        let transform = profile.create_transform_16bit(layout, &to, Layout::Rgb, options).map_err(bad)?;
        let changes = changes_colors(&*transform, n_bands).map_err(bad)?;
        let how = match (layout, sample) {
            (Layout::Rgb, SampleType::U8) => How::Colors(transform),
            (Layout::Rgb, _) => How::WideColors(transform),
            (_, SampleType::U8) => How::Grays(grays(&*transform, 0..=u8::MAX).map_err(bad)?),
            _ => How::WideGrays(grays(&*transform, 0..=u16::MAX).map_err(bad)?),
        };
        let n_bytes = 2 * bytes.len() + TABLES[usize::from(sample != SampleType::U8)];
        // What is a matrix and curves has one way for all intents.
        let has_intents = n_bands == 3 && !profile.is_matrix_shaper();
        Ok(changes.then_some(Self { how, n_bytes, has_intents }))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.n_bytes
    }

    /// Whether another intent may make other colours.
    pub(super) fn has_intents(&self) -> bool {
        self.has_intents
    }

    /// Converts the planes at `places`: as many as the profile has colours.
    pub(super) fn convert(&self, places: &[usize], planes: &mut [Vec<u8>]) -> Result<()> {
        match &self.how {
            How::Grays(grays) => planes[places[0]].iter_mut().for_each(|gray| *gray = grays[usize::from(*gray)]),
            How::WideGrays(grays) => planes[places[0]].chunks_exact_mut(2).for_each(|bytes| {
                grays[usize::from(u16::read(bytes))].write(bytes);
            }),
            How::Colors(transform) => return guarded(|| convert::<u8>(&**transform, places, planes)),
            How::WideColors(transform) => return guarded(|| convert::<u16>(&**transform, places, planes)),
        }
        Ok(())
    }
}

/// A sample that is widened to 16 bits and back.
trait Narrow: Sample {
    fn widened(self) -> u16;
    /// The nearest to what 16 bits say.
    fn narrowed(wide: u16) -> Self;
}

impl Narrow for u8 {
    fn widened(self) -> u16 {
        u16::from(self) * 257
    }

    fn narrowed(wide: u16) -> Self {
        ((u32::from(wide) + 128) / 257) as Self
    }
}

impl Narrow for u16 {
    fn widened(self) -> u16 {
        self
    }

    fn narrowed(wide: u16) -> Self {
        wide
    }
}

/// Converts three planes of samples.
fn convert<T: Narrow>(transform: &Executor, places: &[usize], planes: &mut [Vec<u8>]) -> Result<()> {
    let (mut from, mut to) = (vec![0; RUN * 3], vec![0; RUN * 3]);
    let n_bytes = planes[places[0]].len();
    for first in (0..n_bytes).step_by(RUN * T::BYTES) {
        let bytes = first..n_bytes.min(first + RUN * T::BYTES);
        let n = bytes.len() / T::BYTES * 3;
        for (channel, place) in places.iter().enumerate() {
            let samples = planes[*place][bytes.clone()].chunks_exact(T::BYTES);
            from[channel..n].iter_mut().step_by(3).zip(samples).for_each(|(to, bytes)| *to = T::read(bytes).widened());
        }
        let result = transform.transform(&from[..n], &mut to[..n]);
        result.map_err(|error| Error::internal(format!("applying a colour profile: {error}")))?;
        for (channel, place) in places.iter().enumerate() {
            let samples = planes[*place][bytes.clone()].chunks_exact_mut(T::BYTES);
            to[channel..n].iter().step_by(3).zip(samples).for_each(|(from, bytes)| T::narrowed(*from).write(bytes));
        }
    }
    Ok(())
}

/// What becomes of greys: their red, which is their green and blue too.
fn grays<T: Narrow>(
    transform: &Executor,
    ramp: impl Iterator<Item = T>,
) -> std::result::Result<Vec<T>, moxcms::CmsError> {
    let ramp: Vec<u16> = ramp.map(Narrow::widened).collect();
    let mut colors = vec![0; ramp.len() * 3];
    transform.transform(&ramp, &mut colors)?;
    Ok(colors.into_iter().step_by(3).map(T::narrowed).collect())
}

/// Whether any of some colours all over the cube comes out more than a step of 8 bits away.
fn changes_colors(transform: &Executor, n_bands: usize) -> std::result::Result<bool, moxcms::CmsError> {
    let step = |at: usize| (at * usize::from(u16::MAX) / (STEPS - 1)) as u16;
    let colors: Vec<u16> = (0..STEPS.pow(n_bands as u32))
        .flat_map(|i| (0..n_bands).map(move |band| i / STEPS.pow(band as u32) % STEPS))
        .map(step)
        .collect();
    let mut to = vec![0; colors.len() / n_bands * 3];
    transform.transform(&colors, &mut to)?;
    let wanted = colors.chunks_exact(n_bands).flat_map(|color| (0..3).map(|channel| color[channel % n_bands]));
    Ok(wanted.zip(to).any(|(wanted, got)| wanted.abs_diff(got) > 257))
}

/// The library reads what a file holds: its panic is the file's.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = crate::error::panic_message(&*panic);
        Err(Error::corrupt(format!("the colour profile cannot be applied: {message}")))
    })
}
