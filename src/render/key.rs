//! What a tile is known by.

use std::fmt;

/// What a rendered tile is known by, in memory and in stores: two tiles with one key are equal, byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileKey {
    /// The raster: its identity, which a changed file does not share.
    pub source: u128,
    /// Everything else that the bytes depend on: place, style, encoding, and the version of the rules for pixels.
    pub tile: u128,
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
