//! What a tile is known by, and a request for one.

use std::fmt;
use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::dataset::Dataset;

use super::look::Look;
use super::tile::TileRequest;

/// Raised whenever equal requests would mean other bytes.
const VERSION: u32 = 1;

/// What a rendered tile is known by, in memory and in stores: two tiles with one key are equal, byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TileKey {
    /// The raster: its identity, which a changed file does not share.
    pub source: u128,
    /// Everything else that the bytes depend on: place, style, encoding, and the version of the rules for pixels.
    pub tile: u128,
}

impl Hash for TileKey {
    /// Word by word: to the hasher of the cache 16 bytes are 16 steps, a third of the time that a tile is found in.
    fn hash<H: Hasher>(&self, state: &mut H) {
        for number in [self.tile, self.source] {
            state.write_u64(number as u64);
            state.write_u64((number >> 64) as u64);
        }
    }
}

impl TileKey {
    /// What the tile of a request is known by, when its pixels are to look like this.
    pub(super) fn new(dataset: &Dataset, request: &TileRequest, look: &Look<'_>) -> Self {
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        // The first says what the last three are.
        let (look, last) = match look {
            Look::Styled(plan) => (0, [plan.hash() as u64, (plan.hash() >> 64) as u64, 0]),
            Look::Plain(shown) => {
                let bands = match shown.bands.chosen() {
                    Some(bands) => hash_of_bands(bands.iter().copied()),
                    None => hash_of_bands(0..dataset.info().n_bands),
                };
                // There is one 0.
                let [low, high] =
                    shown.range.map_or([0; 2], |(low, high)| [low, high].map(|end| (end + 0.0).to_bits()));
                (1 + u64::from(shown.range.is_some()), [low, high, bands])
            }
        };
        let words = [
            u64::from(VERSION),
            dataset.epoch(),
            pair(request.frame, request.level),
            pair(request.col, request.row),
            pair(request.size.0, request.size.1),
            pair(request.edge as u32, u32::from(request.pass_through)),
            u64::from(request.encoding.number()),
            look,
            last[0],
            last[1],
            last[2],
        ];
        let mut bytes = [0; 88];
        bytes.chunks_exact_mut(8).zip(words).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_le_bytes()));
        Self { source: dataset.tile_source(), tile: xxh3_128(&bytes) }
    }
}

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
            u64::from(self.encoding.number()),
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
        match &self.bands {
            Some(bands) => {
                put(&[1, bands.len() as u64]);
                bands.iter().for_each(|band| put(&[u64::from(*band)]));
            }
            None => put(&[0]),
        }
        xxh3_128(&bytes)
    }
}

/// A number for bands in their order; those of most tiles take no memory to be hashed.
fn hash_of_bands(bands: impl Iterator<Item = u32> + Clone) -> u64 {
    let mut bytes = [0; 32];
    let mut n = 0;
    for band in bands.clone() {
        let Some(place) = bytes.get_mut(n..n + 4) else {
            return xxh3_64(&bands.flat_map(u32::to_le_bytes).collect::<Vec<_>>());
        };
        place.copy_from_slice(&band.to_le_bytes());
        n += 4;
    }
    xxh3_64(&bytes[..n])
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
    fn many_bands_are_told_apart_as_few_are() {
        let bytes = |n: u32| (0..n).flat_map(u32::to_le_bytes).collect::<Vec<_>>();
        for n in [0, 1, 7, 8, 9, 200] {
            assert_eq!(hash_of_bands(0..n), xxh3_64(&bytes(n)), "{n}");
        }
    }

    #[test]
    fn no_bands_are_another_request_than_all_bands() {
        let source = crate::MemorySource::new(9, 9, 2, crate::SampleType::U8, (9, 9), vec![0; 162]).unwrap();
        let dataset = Dataset::from_source(source, &crate::OpenOptions::default()).unwrap();
        let plain = || TileRequest::new(0, 0, 0);
        let requests = [plain(), plain().bands(vec![]), plain().bands(vec![0]), plain().bands(vec![0, 1])];
        for (i, request) in requests.iter().enumerate() {
            let same = |other: &&TileRequest| other.spelling(&dataset) == request.spelling(&dataset);
            assert_eq!(requests.iter().position(|other| same(&other)), Some(i));
        }
    }

    #[test]
    fn a_key_in_words_has_all_its_digits() {
        let key = TileKey { source: 0xA5, tile: u128::MAX };
        assert_eq!(key.to_string(), format!("{}a5-{}", "0".repeat(30), "f".repeat(32)));
    }
}
