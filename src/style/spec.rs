//! What a client says of a picture, before any dataset is known.

use crate::error::{Error, Result};
use crate::resample::Resampling;

use super::color::Rgba;

/// Bands that a style may have.
pub(super) const MAX_BANDS: usize = 64;
/// Colours that a palette may have.
pub(super) const MAX_COLORS: usize = 65_536;

/// How samples become a picture: from JSON text with [`parse`](Self::parse), or built with [`new`](Self::new).
///
/// The default is that of a raster of which nobody says anything: red, green and blue where there are such bands, the
/// colour table where there is one, otherwise the first band in greys; stretched over the range of the samples where
/// they are not of 8 bits, transparent where there is nothing.
///
/// ```
/// use tilekeep::{Bound, Palette, Style, StyleBand};
///
/// # fn main() -> tilekeep::Result<()> {
/// let text = r#"{"bands": [{"band": 2, "min": 0, "max": "auto:0.02", "palette": "viridis"}]}"#;
/// let built = Style::new([StyleBand::new(2).range(0.0, Bound::Auto(0.02)).palette(Palette::named("viridis")?)]);
/// assert_eq!(Style::parse(text)?, built);
/// # Ok(())
/// # }
/// ```
///
#[doc = include_str!("rules.md")]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Style {
    /// What is laid over one another, the first at the bottom.
    pub bands: StyleBands,
    /// The samples of the result; by default that of the first band that says it, otherwise 8 bits.
    pub dtype: Option<StyleDtype>,
    /// Keeps one of red, green, blue and opacity (0 to 3) alone.
    pub axis: Option<u8>,
    /// For bands that do not say how they are laid over those below.
    pub composite: Option<Composite>,
    /// How pixels of another size are made.
    pub resampling: Resampling,
    /// Whether colours are turned into sRGB by the profile in the file, before anything else. `None`: where there is one
    /// that can be applied. `Some(true)`: one that is there and cannot be applied is an error; without bands,
    /// [`Unstyled`](StyleBands::Unstyled), its colours are shown over their full range.
    pub icc: Option<bool>,
    /// How that profile treats colours that sRGB does not have, if it knows several ways.
    pub intent: RenderingIntent,
    /// Does as large_image does also where that is not what was meant; see [`Style`].
    pub compat: bool,
}

/// How a colour profile treats colours that sRGB does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RenderingIntent {
    /// All colours move, so that they keep their relations.
    #[default]
    Perceptual = 0,
    /// The nearest colour; white is white.
    RelativeColorimetric = 1,
    /// As vivid as before.
    Saturation = 2,
    /// The nearest colour; white is the white of the medium.
    AbsoluteColorimetric = 3,
}

/// The bands of a [`Style`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum StyleBands {
    /// Those that make a picture of the dataset.
    #[default]
    Visible,
    /// None: samples stay as they are.
    Unstyled,
    /// These; 64 at most.
    These(Vec<StyleBand>),
}

impl Default for Style {
    fn default() -> Self {
        Self {
            bands: StyleBands::Visible,
            dtype: None,
            axis: None,
            composite: None,
            resampling: Resampling::Nearest,
            icc: None,
            intent: RenderingIntent::Perceptual,
            compat: false,
        }
    }
}

impl Style {
    /// A style of these bands.
    #[must_use]
    pub fn new(bands: impl Into<Vec<StyleBand>>) -> Self {
        Self { bands: StyleBands::These(bands.into()), ..Self::default() }
    }

    /// The style that leaves samples as they are; `{}` as JSON.
    #[must_use]
    pub fn unstyled() -> Self {
        Self { bands: StyleBands::Unstyled, ..Self::default() }
    }

    /// Reads a style from JSON: large_image's, with the additions listed above. `null` is the
    /// default style, `{}` none.
    ///
    /// # Errors
    ///
    /// `invalid argument` with the path of the key that is unknown or has a bad value, as
    /// `bands[1].min: "atuo" is neither a number nor …`; `limit exceeded` for a text, a palette or a list of bands
    /// beyond all use.
    pub fn parse(text: &str) -> Result<Self> {
        super::json::style(text)
    }

    /// The same style with samples of another type.
    #[must_use]
    pub fn dtype(mut self, dtype: StyleDtype) -> Self {
        self.dtype = Some(dtype);
        self
    }

    /// The same style with one channel of the result, from 0 to 3.
    #[must_use]
    pub fn axis(mut self, axis: u8) -> Self {
        self.axis = Some(axis);
        self
    }

    /// The same style with this composite for bands that say none.
    #[must_use]
    pub fn composite(mut self, composite: Composite) -> Self {
        self.composite = Some(composite);
        self
    }

    /// The same style with another resampling.
    #[must_use]
    pub fn resampling(mut self, resampling: Resampling) -> Self {
        self.resampling = resampling;
        self
    }

    /// The same style with or without the colour profile in the file.
    #[must_use]
    pub fn icc(mut self, icc: bool) -> Self {
        self.icc = Some(icc);
        self
    }

    /// The same style, done as large_image does.
    #[must_use]
    pub fn compat(mut self, compat: bool) -> Self {
        self.compat = compat;
        self
    }
}

impl std::str::FromStr for Style {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// One layer of a [`Style`]: which samples, and the colours they get.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StyleBand {
    /// Which samples.
    pub band: BandChoice,
    /// The frame; the one that is asked for by default.
    pub frame: Option<u32>,
    /// Frames to count on from the one asked for, when `frame` says nothing.
    pub frame_delta: i64,
    /// The sample of the first colour.
    pub min: Bound,
    /// The sample of the last colour. One that is less than `min` turns the palette round.
    pub max: Bound,
    /// Colours. Black to white by default; for opacity, transparent to opaque.
    pub palette: Option<Palette>,
    /// How colours follow samples; by default [`Scheme::Linear`], with a palette by value [`Scheme::Discrete`].
    pub scheme: Option<Scheme>,
    /// Which samples are nothing. NaN is nothing anyway.
    pub nodata: StyleNodata,
    /// How it is laid over the bands below; by default what the style says, then lighten, for opacity multiply.
    pub composite: Option<Composite>,
    /// Samples beyond `min` and `max`: whether they have the first or last colour (as by default), or are nothing.
    pub clamp: bool,
    /// Exponent of the stretch: what lies at `t` of the way from `min` to `max` is shown as if at `t^(1/gamma)`.
    pub gamma: f64,
    /// As [`Style::dtype`], where the style says none.
    pub dtype: Option<StyleDtype>,
    /// As [`Style::axis`], where the style says none.
    pub axis: Option<u8>,
}

impl Default for StyleBand {
    fn default() -> Self {
        Self {
            band: BandChoice::Default,
            frame: None,
            frame_delta: 0,
            min: Bound::Auto(0.0),
            max: Bound::Auto(0.0),
            palette: None,
            scheme: None,
            nodata: StyleNodata::None,
            composite: None,
            clamp: true,
            gamma: 1.0,
            dtype: None,
            axis: None,
        }
    }
}

impl StyleBand {
    /// The band of this number, **counted from 1** as in JSON, over its whole range from black to white.
    #[must_use]
    pub fn new(band: u32) -> Self {
        Self { band: BandChoice::Number(band), ..Self::default() }
    }

    /// What arithmetic makes of the bands, as `(b4 - b3) / (b4 + b3)`.
    #[must_use]
    pub fn expression(text: &str) -> Self {
        Self { band: BandChoice::Expression(text.to_owned()), ..Self::default() }
    }

    /// The same layer between these bounds.
    #[must_use]
    pub fn range(mut self, min: impl Into<Bound>, max: impl Into<Bound>) -> Self {
        (self.min, self.max) = (min.into(), max.into());
        self
    }

    /// The same layer in these colours.
    #[must_use]
    pub fn palette(mut self, palette: Palette) -> Self {
        self.palette = Some(palette);
        self
    }

    /// The same layer with another scheme.
    #[must_use]
    pub fn scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = Some(scheme);
        self
    }

    /// The same layer with other nodata.
    #[must_use]
    pub fn nodata(mut self, nodata: StyleNodata) -> Self {
        self.nodata = nodata;
        self
    }

    /// The same layer laid over those below in another way.
    #[must_use]
    pub fn composite(mut self, composite: Composite) -> Self {
        self.composite = Some(composite);
        self
    }

    /// The same layer with or without the samples beyond its range.
    #[must_use]
    pub fn clamp(mut self, clamp: bool) -> Self {
        self.clamp = clamp;
        self
    }

    /// The same layer with another gamma.
    #[must_use]
    pub fn gamma(mut self, gamma: f64) -> Self {
        self.gamma = gamma;
        self
    }
}

/// Which samples a [`StyleBand`] shows.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum BandChoice {
    /// The first band of a raster that lies on the ground or has at most two bands, else the second.
    #[default]
    Default,
    /// The band of this number, from 1.
    Number(u32),
    /// The band that shows `red`, `green`, `blue`, `gray` or `alpha`. Where no band says so: the first, second and third
    /// of three or more; the last of two or four for opacity, which otherwise is full.
    Named(String),
    /// Arithmetic over bands.
    Expression(String),
}

/// One end of the range of a [`StyleBand`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Bound {
    /// This sample.
    Number(f64),
    /// The least sample, but for this part of them (from 0 to 1).
    Min(f64),
    /// The greatest sample, but for this part of them.
    Max(f64),
    /// 0 and 255 when all bands fit in there, otherwise the least or greatest sample but for this part.
    Auto(f64),
    /// 0; and 65535 for samples of 16 bits without sign, 1 for floats, 255 for all others.
    Full,
}

impl From<f64> for Bound {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl std::str::FromStr for Bound {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (word, part) = match text.split_once(':') {
            Some((word, part)) => (word, part.trim().parse().ok().filter(|part| (0.0..=1.0).contains(part))),
            None => (text, Some(0.0)),
        };
        let bound = match (word.trim(), part) {
            ("min", Some(part)) => Some(Self::Min(part)),
            ("max", Some(part)) => Some(Self::Max(part)),
            ("auto", Some(part)) => Some(Self::Auto(part)),
            ("full", Some(_)) if !text.contains(':') => Some(Self::Full),
            _ => text.trim().parse().ok().filter(|number: &f64| number.is_finite()).map(Self::Number),
        };
        bound.ok_or_else(|| {
            Error::invalid(format!(
                "\"{text}\" is neither a number nor min, max, auto or full, nor one of the first three with a part from \
                 0 to 1 as in auto:0.02"
            ))
        })
    }
}

/// The colours of a [`StyleBand`].
#[derive(Clone, Debug, PartialEq)]
pub struct Palette(pub(super) Colors);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Colors {
    /// Spread evenly from `min` to `max`; two or more.
    Even(Vec<Rgba>),
    /// By sample, in ascending order.
    ByValue(Vec<(f64, Rgba)>),
    /// The colour table of the dataset.
    Table,
}

impl Palette {
    /// The colour table of the dataset, by index; evenly spread when the band says `min` or `max`.
    pub const COLORTABLE: Self = Self(Colors::Table);

    /// From black to the colour, or the colour map, of this name; see [`Style`] for the names.
    ///
    /// # Errors
    ///
    /// `invalid argument` when nothing is called so.
    pub fn named(name: &str) -> Result<Self> {
        if let Some(color) = super::color::of_text(name) {
            return Ok(Self(Colors::Even(vec![[0.0, 0.0, 0.0, 255.0], color])));
        }
        if name == "colortable" {
            return Ok(Self::COLORTABLE);
        }
        let Some(map) = super::colormap::named(name) else {
            let names = super::colormap::NAMES;
            return Err(Error::invalid(format!(
                "\"{name}\" is neither a colour nor colortable nor a colour map ({names}, or one of these with _r)"
            )));
        };
        let opaque = |[r, g, b]: [u8; 3]| [r, g, b, 255].map(f64::from);
        Ok(Self(Colors::Even(map.into_iter().map(opaque).collect())))
    }

    /// Colours (red, green, blue, opacity) spread evenly from `min` to `max`.
    ///
    /// # Errors
    ///
    /// `invalid argument` for fewer than two, `limit exceeded` for more than 65,536.
    pub fn even(colors: &[[u8; 4]]) -> Result<Self> {
        checked(Colors::Even(colors.iter().map(|c| c.map(f64::from)).collect()))
    }

    /// Colours by sample value.
    ///
    /// # Errors
    ///
    /// `invalid argument` for none, for a value that is not finite or is there twice, `limit exceeded` for more than
    /// 65,536.
    pub fn by_value(colors: &[(f64, [u8; 4])]) -> Result<Self> {
        checked(Colors::ByValue(colors.iter().map(|(value, c)| (*value, c.map(f64::from))).collect()))
    }
}

/// The palette, when there is nothing wrong with it.
pub(super) fn checked(mut colors: Colors) -> Result<Palette> {
    let n = match &mut colors {
        Colors::Even(even) if even.len() < 2 => {
            return Err(Error::invalid(format!("a list of {} colours; it takes two or more", even.len())));
        }
        Colors::Even(even) => even.len(),
        Colors::ByValue(values) => {
            values.sort_by(|a, b| a.0.total_cmp(&b.0));
            if let Some((value, _)) = values.iter().find(|(value, _)| !value.is_finite()) {
                return Err(Error::invalid(format!("a colour for {value}")));
            }
            if let Some(twice) = values.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(Error::invalid(format!("two colours for {}", twice[0].0)));
            }
            if values.is_empty() {
                return Err(Error::invalid("no colours"));
            }
            values.len()
        }
        Colors::Table => 0,
    };
    if n > MAX_COLORS {
        return Err(Error::limit(format!("{n} colours; a palette may have {MAX_COLORS}")));
    }
    Ok(Palette(colors))
}

/// How the colours of a [`StyleBand`] follow its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Mixed between neighbouring colours.
    Linear,
    /// As many steps of equal width as there are colours. With a palette by value: exactly those values; every other
    /// sample is nothing.
    Discrete,
    /// Only with a palette by value: each colour from its value up to the next.
    Interval,
}

/// How a layer is laid over those below it, colour by colour and in opacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Composite {
    /// The greater of both.
    Lighten,
    /// Both multiplied, 255 being 1. The lowest layer has nothing to multiply, and stays out.
    Multiply,
}

/// Which samples of a [`StyleBand`] are nothing, beside NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum StyleNodata {
    /// None.
    #[default]
    None,
    /// What the dataset says: nodata, or a mask.
    Auto,
    /// Those of this value; NaN is one.
    Value(f64),
}

/// The samples of a styled tile that is not encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StyleDtype {
    /// From 0 to 255.
    U8,
    /// From 0 to 65535.
    U16,
    /// From 0 to 1, in 32 bits.
    Float,
    /// `U16` for a dataset of such samples, `Float` for one of floats, `U8` for any other.
    Source,
}
