//! Opens rasters far larger than memory and serves their blocks, windows and tiles from caches that the client steers.

mod block;
mod cache;
mod codec;
mod dataset;
mod encode;
mod error;
mod grid;
mod memory;
mod render;
mod resample;
mod sample;
mod source;
mod sync;

pub use block::{Block, BlockLayout, Interleave};
pub use dataset::{BlockRef, Dataset, Layout, OpenOptions, SharedBlock, Stats, WindowRequest};
pub use error::{Error, ErrorKind, Result};
pub use grid::{BlockId, EdgeBlocks, Geotransform, Level, Window};
pub use render::{Edge, Encoding, Tile, TileRequest};
pub use resample::Resampling;
pub use sample::SampleType;
pub use source::{
    ColorInterpretation, GeoKey, GeoKeyValue, Identity, Limits, MemorySource, MetadataItem, Nodata, ReadAt,
    ReadContext, Siblings, SourceInfo, TileSource, check_block, conformance, open_path, open_reader,
};
