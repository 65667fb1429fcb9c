//! What is known of single bands: what their samples mean, what they show, and which of them are valid.

use crate::sample::SampleType;

use super::{ColorInterpretation, Nodata, SourceInfo};

/// What the file says of one band beside its samples.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct BandInfo {
    /// A name or a sentence; often empty.
    pub description: String,
    /// The unit of what is measured, as `m`; often empty.
    pub unit: String,
    /// What is measured is `offset + scale * sample`. `None` is 1.
    pub scale: Option<f64>,
    /// See [`scale`](Self::scale). `None` is 0.
    pub offset: Option<f64>,
    /// The sample that means "nothing here", where it is not that of all bands.
    pub nodata: Option<Nodata>,
    /// The names of samples 0, 1, 2, …, for bands of classes.
    pub categories: Vec<String>,
}

/// What is known of the samples of a band as a whole. Whoever wrote it may have looked at a part of them only.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// The least sample.
    pub min: f64,
    /// The greatest sample.
    pub max: f64,
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub std_dev: f64,
}

/// A point whose place in the picture and on the ground is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gcp {
    /// A name; the file's number of it, from 1, when it says nothing else.
    pub id: String,
    /// More words; often empty.
    pub info: String,
    /// Pixels from the left edge of level 0.
    pub col: f64,
    /// Pixels from the top edge of level 0.
    pub row: f64,
    /// Ground coordinates.
    pub x: f64,
    /// Ground coordinates.
    pub y: f64,
    /// Height.
    pub z: f64,
}

/// A further picture in a file: a label, a thumbnail, an overview of a slide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociatedImage {
    /// Its name, by which it is opened: `thumbnail`, `label`, `macro`, …
    pub name: String,
    /// Pixels across.
    pub width: u64,
    /// Pixels down.
    pub height: u64,
}

/// How it is known which pixels of a band are valid. The numbers are GDAL's mask flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum MaskKind {
    /// A mask is stored, for this band alone.
    StoredForBand = 0,
    /// Nobody says that any are not.
    AllValid = 1,
    /// A mask is stored, in the file or in a `.msk` file beside it, for all bands.
    Stored = 2,
    /// The last band is their opacity.
    Alpha = 6,
    /// Those that are not nodata.
    Nodata = 8,
    /// Those that are not nodata in all bands (the metadata item `NODATA_VALUES`, one for each band).
    NodataValues = 10,
}

impl SourceInfo {
    /// What is said of `band`, numbered from 0; nothing for one that does not exist.
    #[must_use]
    pub fn band(&self, band: u32) -> BandInfo {
        self.bands.get(band as usize).cloned().unwrap_or_default()
    }

    /// The sample of `band` that means "nothing here".
    #[must_use]
    pub fn band_nodata(&self, band: u32) -> Option<Nodata> {
        self.bands.get(band as usize).and_then(|band| band.nodata).or(self.nodata)
    }

    /// The statistics that the file, or one beside it, states for `band`.
    #[must_use]
    pub fn statistics(&self, band: u32) -> Option<Statistics> {
        let domain = format!("band/{band}");
        let number = |key: &str| self.metadata(&domain, key).and_then(|value| value.trim().parse().ok());
        Some(Statistics {
            min: number("STATISTICS_MINIMUM")?,
            max: number("STATISTICS_MAXIMUM")?,
            mean: number("STATISTICS_MEAN")?,
            std_dev: number("STATISTICS_STDDEV")?,
        })
    }

    /// How it is known which pixels of `band` are valid, by the rules and in the order of GDAL.
    #[must_use]
    pub fn mask_kind(&self, band: u32) -> MaskKind {
        let last = self.n_bands.saturating_sub(1);
        let alpha_last = self.colors.last() == Some(&ColorInterpretation::Alpha)
            && matches!(self.n_bands, 2 | 4)
            && matches!(self.sample, SampleType::U8 | SampleType::U16);
        match self.n_mask_bands {
            1 => MaskKind::Stored,
            n if n > band => MaskKind::StoredForBand,
            _ if self.nodata_values().is_some() => MaskKind::NodataValues,
            _ if self.band_nodata(band).is_some_and(|nodata| can_be(nodata, self.sample)) => MaskKind::Nodata,
            _ if alpha_last && band < last => MaskKind::Alpha,
            _ => MaskKind::AllValid,
        }
    }

    /// One nodata value for each band, which only together mean that there is nothing.
    #[must_use]
    pub fn nodata_values(&self) -> Option<Vec<f64>> {
        let words = self.metadata("", "NODATA_VALUES")?.split_whitespace();
        let values: Vec<f64> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        (values.len() == self.n_bands as usize).then_some(values)
    }
}

/// Whether a sample can have that value.
fn can_be(nodata: Nodata, sample: SampleType) -> bool {
    let (least, most) = match sample.part() {
        SampleType::U8 => (0.0, f64::from(u8::MAX)),
        SampleType::I8 => (f64::from(i8::MIN), f64::from(i8::MAX)),
        SampleType::U16 => (0.0, f64::from(u16::MAX)),
        SampleType::I16 => (f64::from(i16::MIN), f64::from(i16::MAX)),
        SampleType::U32 => (0.0, f64::from(u32::MAX)),
        SampleType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        SampleType::F32 => {
            let value = nodata.as_f64();
            return !value.is_finite() || (value as f32).is_finite();
        }
        _ => return true,
    };
    (least..=most).contains(&nodata.as_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::Level;

    fn info(n_bands: u32, sample: SampleType) -> SourceInfo {
        SourceInfo::new("test", vec![Level::new(10, 10, 10, 10).unwrap()], n_bands, sample)
    }

    #[test]
    fn the_kind_of_a_mask_follows_the_order_of_gdal() {
        use ColorInterpretation as C;
        let mut plain = info(4, SampleType::U8);
        assert_eq!(plain.mask_kind(0), MaskKind::AllValid);
        plain.colors = vec![C::Red, C::Green, C::Blue, C::Alpha];
        assert_eq!([plain.mask_kind(0), plain.mask_kind(3)], [MaskKind::Alpha, MaskKind::AllValid]);
        plain.nodata = Some(Nodata::Float(256.0));
        assert_eq!(plain.mask_kind(0), MaskKind::Alpha, "no sample is 256");
        plain.bands[1].nodata = Some(Nodata::Float(7.0));
        assert_eq!([plain.mask_kind(0), plain.mask_kind(1)], [MaskKind::Alpha, MaskKind::Nodata]);
        plain.metadata.push(super::super::MetadataItem {
            domain: String::new(),
            key: "NODATA_VALUES".to_owned(),
            value: "1 2 3 4".to_owned(),
        });
        assert_eq!(plain.mask_kind(2), MaskKind::NodataValues);
        plain.n_mask_bands = 1;
        assert_eq!(plain.mask_kind(2), MaskKind::Stored);
        plain.n_mask_bands = 4;
        assert_eq!(plain.mask_kind(2), MaskKind::StoredForBand);
    }

    #[test]
    fn nodata_that_no_sample_can_have_masks_nothing() {
        for (sample, value, can) in [
            (SampleType::U8, f64::NAN, false),
            (SampleType::U8, -1.0, false),
            (SampleType::I16, -32768.0, true),
            (SampleType::F32, f64::NAN, true),
            (SampleType::F32, 1e39, false),
            (SampleType::F64, 1e39, true),
        ] {
            assert_eq!(can_be(Nodata::Float(value), sample), can, "{sample:?} {value}");
        }
    }
}
