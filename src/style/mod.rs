//! Styles: the description of a picture, what it comes to for one dataset, and the colours of its pixels.
//!
//! A [`Style`] is parsed or built, then resolved against a dataset: bands get numbers, palettes colours, ranges numbers
//! and nodata values. What comes of it is a [`StylePlan`], which is all that the pixels depend on. Plans of equal
//! spelling or not are equal when they say the same, and their [`hash`](StylePlan::hash) is what a tile is known by.
//!
//! What the keys mean, and what comes of each pixel, is said in `rules.md`, which is part of the documentation of `Style`.

mod apply;
mod blend;
mod color;
mod colormap;
mod expr;
mod icc;
#[cfg(feature = "icc")]
mod icc_transform;
mod inputs;
mod json;
mod plan;
mod resolve;
mod spec;

pub(crate) use inputs::{Area, Samples};
pub use plan::Plan as StylePlan;
pub use spec::{
    BandChoice, Bound, Composite, Palette, RenderingIntent, Scheme, Style, StyleBand, StyleBands, StyleDtype,
    StyleNodata,
};

#[cfg(all(test, feature = "icc"))]
mod icc_tests;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
