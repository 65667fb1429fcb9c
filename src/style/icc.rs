//! Colour profiles: the samples of a file as sRGB.

use super::inputs::Input;
use super::spec::{RenderingIntent, Style};
use crate::dataset::Dataset;
use crate::error::{Error, ErrorKind, Result};

#[cfg(feature = "icc")]
use {
    super::icc_transform::Transform,
    crate::sample::SampleType,
    crate::source::{ColorInterpretation, SourceInfo},
};

/// The transform of a build that has none.
#[cfg(not(feature = "icc"))]
#[derive(Debug)]
struct Transform;

/// A colour profile that is applied to samples, made ready.
#[derive(Debug)]
pub(super) struct Profile {
    /// The bands that it is about, from 0: grey, or red, green and blue.
    bands: Vec<u32>,
    /// Of its bytes, and the intent where it makes a difference.
    hash: u128,
    transform: Transform,
}

impl Profile {
    /// The profile that a style applies to a dataset; `None` where there is none, or none is wanted, or where it changes
    /// nothing that can be seen.
    ///
    /// A profile that cannot be applied is an error for a style that asks for it, and left alone for one that does not.
    pub(super) fn of(style: &Style, dataset: &Dataset) -> Result<Option<Self>> {
        let has_profile = dataset.info().blobs.iter().any(|name| name == "icc");
        if !has_profile || style.icc == Some(false) {
            return Ok(None);
        }
        match Self::made(dataset, style.intent) {
            Ok(profile) => Ok(profile),
            Err(error) if style.icc == Some(true) => Err(error.context("icc")),
            // Samples that cannot be read now may be read the next time.
            Err(error) if !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => Err(error),
            Err(_) => Ok(None),
        }
    }

    #[cfg(not(feature = "icc"))]
    fn made(_: &Dataset, _: RenderingIntent) -> Result<Option<Self>> {
        Err(Error::unsupported("this build does not apply the colour profile of the file (feature icc)"))
    }

    #[cfg(feature = "icc")]
    fn made(dataset: &Dataset, intent: RenderingIntent) -> Result<Option<Self>> {
        let bands = colored(dataset.info())?;
        let bytes = dataset.read_blob("icc")?;
        let transform = Transform::new(&bytes, intent, bands.len(), dataset.info().sample)?;
        Ok(transform.map(|transform| {
            let intent = if transform.has_intents() { intent as u64 } else { 0 };
            Self { bands, hash: xxhash_rust::xxh3::xxh3_128_with_seed(&bytes, intent), transform }
        }))
    }

    pub(super) fn hash(&self) -> u128 {
        self.hash
    }

    /// What an input cannot be converted without, itself among them; nothing when it is left as it is.
    pub(super) fn needs(&self, input: Input) -> impl Iterator<Item = Input> {
        let converted = match input {
            Input::Band { frame, band } if self.bands.contains(&band) => Some(frame),
            _ => None,
        };
        let bands = self.bands.iter();
        bands.filter_map(move |band| converted.map(|frame| Input::Band { frame, band: *band }))
    }

    /// Bytes that the profile takes.
    pub(super) fn memory_bytes(&self) -> usize {
        #[cfg(feature = "icc")]
        return size_of::<Self>() + self.transform.memory_bytes();
        #[cfg(not(feature = "icc"))]
        return size_of::<Self>();
    }

    /// Converts the planes of `inputs`, which hold all that is needed, in place.
    pub(super) fn convert(&self, inputs: &[Input], planes: &mut [Vec<u8>]) -> Result<()> {
        for (first, input) in inputs.iter().enumerate() {
            // Once for each frame: by its first band.
            if self.bands.iter().min().is_none_or(|band| !is_band(input, *band)) {
                continue;
            }
            let Input::Band { frame, .. } = *input else { continue };
            let place = |band: &u32| {
                let wanted = Input::Band { frame, band: *band };
                let place = inputs[first..].iter().position(|input| *input == wanted).map(|at| at + first);
                place.ok_or_else(|| Error::internal(format!("band {} for a colour profile was not read", band + 1)))
            };
            let places = self.bands.iter().map(place).collect::<Result<Vec<_>>>()?;
            #[cfg(feature = "icc")]
            self.transform.convert(&places, planes)?;
            #[cfg(not(feature = "icc"))]
            let _ = (&self.transform, places, &*planes);
        }
        Ok(())
    }
}

fn is_band(input: &Input, wanted: u32) -> bool {
    matches!(input, Input::Band { band, .. } if *band == wanted)
}

/// The bands that a profile can be about.
#[cfg(feature = "icc")]
fn colored(info: &SourceInfo) -> Result<Vec<u32>> {
    use ColorInterpretation::{Blue, Gray, Green, Red};
    let find = |color| info.colors.iter().position(|c| *c == color).map(|band| band as u32);
    let is_full = info.n_bits.is_none_or(|bits| bits as usize == info.sample.bytes() * 8);
    if !is_full || !matches!(info.sample, SampleType::U8 | SampleType::U16) {
        let bits = info.n_bits.map(|bits| format!(" of {bits} bits")).unwrap_or_default();
        return Err(Error::unsupported(format!(
            "colour profiles are applied to samples of 8 and 16 bits without sign, not to {}{bits}",
            info.sample.name()
        )));
    }
    match (find(Red), find(Green), find(Blue), find(Gray)) {
        (Some(red), Some(green), Some(blue), _) => Ok(vec![red, green, blue]),
        (.., Some(gray)) => Ok(vec![gray]),
        _ => Err(Error::unsupported(
            "colour profiles are applied to red, green and blue or to grey, and there are neither",
        )),
    }
}
