//! What a tile is known by.

use std::fmt;

use xxhash_rust::xxh3::xxh3_128;

use crate::dataset::Dataset;

use super::tile::{Look, TileRequest};

/// Raised whenever equal requests would mean other bytes.
const VERSION: u32 = 1;

/// What a rendered tile is known by, in memory and in stores: two tiles with one key are equal, byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileKey {
    /// The raster: its identity, which a changed file does not share.
    pub source: u128,
    /// Everything else that the bytes depend on: place, style, encoding, and the version of the rules for pixels.
    pub tile: u128,
}

impl TileKey {
    /// What the tile of a request is known by, when its pixels are to look like this.
    pub(super) fn new(dataset: &Dataset, request: &TileRequest, look: &Look<'_>) -> Self {
        let mut bytes = Vec::with_capacity(128);
        let mut number = |n: u64| bytes.extend_from_slice(&n.to_le_bytes());
        number(u64::from(VERSION));
        number(dataset.epoch());
        number(u64::from(request.frame) << 32 | u64::from(request.level));
        number(u64::from(request.col) << 32 | u64::from(request.row));
        number(u64::from(request.size.0) << 32 | u64::from(request.size.1));
        number(request.edge as u64);
        number(u64::from_le_bytes(request.encoding.key_bytes()));
        match look {
            Look::Styled(plan) => {
                let hash = plan.hash();
                number(0);
                number(hash as u64);
                number((hash >> 64) as u64);
            }
            Look::Plain(shown) => {
                let (low, high) = shown.range.unwrap_or((f64::NAN, f64::NAN));
                number(1 + u64::from(shown.range.is_some()));
                // There is one 0.
                number((low + 0.0).to_bits());
                number((high + 0.0).to_bits());
                match &shown.bands {
                    Some(bands) => bands.iter().for_each(|band| number(u64::from(*band))),
                    None => (0..u64::from(dataset.info().n_bands)).for_each(number),
                }
            }
        }
        Self { source: dataset.tile_source(), tile: xxh3_128(&bytes) }
    }
}

impl fmt::Display for TileKey {
    /// 65 characters that any store takes as a key: digits, `a` to `f` and one `-`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{:032x}", self.source, self.tile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_words_has_all_its_digits() {
        let key = TileKey { source: 0xA5, tile: u128::MAX };
        assert_eq!(key.to_string(), format!("{}a5-{}", "0".repeat(30), "f".repeat(32)));
    }
}
