//! Files of several pictures, each of which can be opened as a raster of its own.

use crate::sample::SampleType;

/// A page of a file: a picture with overviews, masks and metadata of its own.
///
/// Opened by its number ([`OpenOptions::page`](crate::OpenOptions::page)) it is a raster like any other, with an
/// [`Identity`](crate::Identity), blocks and tiles that are not those of the other pages.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageInfo {
    /// What it is opened by: which of all pictures in the file it is, from 0. The numbers of those that only belong to
    /// another one, as its overviews and masks, are left out; so are those of pictures that cannot be read.
    pub number: u32,
    /// Pixels across.
    pub width: u64,
    /// Pixels down.
    pub height: u64,
    /// Bands.
    pub n_bands: u32,
    /// The type of every sample.
    pub sample: SampleType,
    /// Which frame of the raster that was opened it is; `None` for one that is no part of it.
    pub frame: Option<u32>,
    /// The first line of what it says of itself, up to 200 characters of it; often empty.
    pub description: String,
}
