//! What is known of a request for a tile without reading anything.

use xxhash_rust::xxh3::xxh3_128;

use crate::dataset::Dataset;

use super::cache::TileCache;
use super::tile::{Tile, TileRequest};

impl TileRequest {
    /// Equal for equal requests of one dataset. Unlike the [`TileKey`](super::TileKey) it is had without resolving a style,
    /// which may read, so that requests which are written differently and come to the same tile differ in it.
    pub(crate) fn spelling(&self, dataset: &Dataset) -> u128 {
        let mut bytes = Vec::with_capacity(160);
        let mut put = |words: &[u64]| words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        put(&[
            dataset.number(),
            dataset.epoch(),
            u64::from(self.frame),
            u64::from(self.level),
            u64::from(self.col),
            u64::from(self.row),
            u64::from(self.size.0),
            u64::from(self.size.1),
            self.edge as u64,
            u64::from_le_bytes(self.encoding.key_bytes()),
            self.cache_use as u64,
            u64::from(self.pass_through),
        ]);
        match self.range {
            Some((low, high)) => put(&[1, low.to_bits(), high.to_bits()]),
            None => put(&[0]),
        }
        match &self.style {
            Some(style) => put(&[1, style.spelling() as u64, (style.spelling() >> 64) as u64]),
            None => put(&[0]),
        }
        if let Some(bands) = &self.bands {
            bands.iter().for_each(|band| put(&[u64::from(*band)]));
        }
        xxh3_128(&bytes)
    }
}

impl Dataset {
    /// The tile if it is in memory: nothing is read for it, nor is a style resolved. Raw tiles that are no more than samples
    /// of blocks are never found.
    pub(crate) fn found_tile(&self, request: &TileRequest) -> Option<Tile> {
        let look = self.known_look(request)?;
        let wanted = self.wanted(request, &look)?;
        TileCache::process().peek(wanted.key)
    }
}
