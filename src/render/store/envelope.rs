//! What a tile is wrapped in when it leaves the process: a trailer by which it is known again, whole and its own.
//!
//! The tile comes first and the trailer last, so that opening a value shortens it and moves nothing:
//!
//! | bytes | what |
//! | --- | --- |
//! | n | the tile |
//! | 4 | `tkpt` |
//! | 2 | version of this format: 1 |
//! | 2 | byte order of raw samples: 1 is little-endian, 2 is big-endian |
//! | 20 | width, height, bands, sample type, form of the encoding: 4 each |
//! | 8 | n |
//! | 16 | checksum: xxh3 of the tile, seeded with xxh3 of the 36 bytes before and the key |
//!
//! Numbers are little-endian. The key is in the checksum and nowhere else: a value under a key that is not its own is
//! damaged.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use crate::render::key::TileKey;
use crate::sample::SampleType;

const MAGIC: [u8; 4] = *b"tkpt";
const VERSION: u16 = 1;
const BYTE_ORDER: u16 = if cfg!(target_endian = "little") { 1 } else { 2 };
/// What is before the checksum.
const FIELDS: usize = 36;
const TRAILER: usize = FIELDS + 16;

/// What a tile is, beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TileHeader {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) n_bands: u32,
    pub(crate) sample: SampleType,
    /// Which encoding the bytes are in, by a number of the caller's.
    pub(crate) form: u32,
}

/// A tile as it was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredTile {
    pub(crate) header: TileHeader,
    pub(crate) bytes: Vec<u8>,
}

/// The value that is stored for a tile.
pub(crate) fn seal(key: TileKey, header: &TileHeader, bytes: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(bytes.len() + TRAILER);
    value.extend_from_slice(bytes);
    value.extend_from_slice(&MAGIC);
    value.extend_from_slice(&VERSION.to_le_bytes());
    value.extend_from_slice(&BYTE_ORDER.to_le_bytes());
    for number in [header.width, header.height, header.n_bands, header.sample as u32, header.form] {
        value.extend_from_slice(&number.to_le_bytes());
    }
    value.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    let sum = checksum(key, bytes, &value[bytes.len()..]);
    value.extend_from_slice(&sum.to_le_bytes());
    value
}

/// The tile in `value`; `None` when it is not what [`seal`] made for this `key`, in every bit.
pub(crate) fn open(key: TileKey, mut value: Vec<u8>) -> Option<StoredTile> {
    let (bytes, trailer) = value.split_last_chunk::<TRAILER>()?;
    let (fields, sum) = trailer.split_first_chunk::<FIELDS>()?;
    if checksum(key, bytes, fields).to_le_bytes() != *sum {
        return None;
    }
    let header = header(fields, bytes.len())?;
    value.truncate(value.len() - TRAILER);
    Some(StoredTile { header, bytes: value })
}

/// What the fields before the checksum say, when this version can read them.
fn header(fields: &[u8; FIELDS], n_bytes: usize) -> Option<TileHeader> {
    let short = |at: usize| u16::from_le_bytes([fields[at], fields[at + 1]]);
    let word = |at: usize| u32::from_le_bytes([fields[at], fields[at + 1], fields[at + 2], fields[at + 3]]);
    let len = u64::from(word(28)) | u64::from(word(32)) << 32;
    let ours = fields.starts_with(&MAGIC) && short(4) == VERSION && short(6) == BYTE_ORDER && len == n_bytes as u64;
    let sample = SampleType::from_number(i32::try_from(word(20)).ok()?)?;
    ours.then_some(TileHeader { width: word(8), height: word(12), n_bands: word(16), sample, form: word(24) })
}

fn checksum(key: TileKey, bytes: &[u8], fields: &[u8]) -> u128 {
    let mut seeds = [0; FIELDS + 32];
    seeds[..FIELDS].copy_from_slice(fields);
    seeds[FIELDS..FIELDS + 16].copy_from_slice(&key.source.to_le_bytes());
    seeds[FIELDS + 16..].copy_from_slice(&key.tile.to_le_bytes());
    xxh3_128_with_seed(bytes, xxh3_64(&seeds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: TileKey = TileKey { source: 7, tile: 9 };

    fn header(form: u32) -> TileHeader {
        TileHeader { width: 256, height: 200, n_bands: 3, sample: SampleType::U16, form }
    }

    #[test]
    fn what_was_sealed_is_opened() {
        for len in [0, 1, 15, 16, 17, 240, 241, 70_000] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
            let value = seal(KEY, &header(len), &bytes);
            assert_eq!(value.len(), bytes.len() + TRAILER);
            assert_eq!(open(KEY, value), Some(StoredTile { header: header(len), bytes }));
        }
    }

    #[test]
    fn a_value_that_differs_in_one_bit_is_damaged() {
        let value = seal(KEY, &header(1), b"some bytes of a tile");
        for bit in 0..value.len() * 8 {
            let mut other = value.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(KEY, other), None, "bit {bit}");
        }
    }

    #[test]
    fn a_value_that_is_cut_or_continued_is_damaged() {
        let value = seal(KEY, &header(1), b"some bytes of a tile");
        for len in 0..value.len() {
            assert_eq!(open(KEY, value[..len].to_vec()), None, "the first {len} bytes");
            assert_eq!(open(KEY, value[value.len() - len..].to_vec()), None, "the last {len} bytes");
        }
        assert_eq!(open(KEY, [value.clone(), value].concat()), None);
    }

    #[test]
    fn a_value_under_another_key_is_damaged() {
        let value = seal(KEY, &header(1), b"some bytes of a tile");
        for other in [TileKey { source: 8, ..KEY }, TileKey { tile: 8, ..KEY }, TileKey { source: 9, tile: 7 }] {
            assert_eq!(open(other, value.clone()), None);
        }
        assert!(open(KEY, value).is_some());
    }

    /// `value` with fields that nobody of this version writes, and the checksum that belongs to them.
    fn forged(at: usize, field: &[u8]) -> Vec<u8> {
        let tile = b"some bytes of a tile";
        let mut value = seal(KEY, &header(1), tile);
        value[tile.len() + at..tile.len() + at + field.len()].copy_from_slice(field);
        let sum = checksum(KEY, tile, &value[tile.len()..tile.len() + FIELDS]);
        value[tile.len() + FIELDS..].copy_from_slice(&sum.to_le_bytes());
        value
    }

    #[test]
    fn another_version_byte_order_or_length_is_not_read() {
        assert!(open(KEY, forged(24, &2_u32.to_le_bytes())).is_some());
        let foreign: [(usize, &[u8]); 7] = [
            (0, b"TKPT"),
            (4, &[2, 0]),
            (6, &(3 - BYTE_ORDER).to_le_bytes()),
            (20, &[0, 0, 0, 0]),
            (20, &[0xFF; 4]),
            (28, &u64::MAX.to_le_bytes()),
            (28, &19_u64.to_le_bytes()),
        ];
        for (at, field) in foreign {
            assert_eq!(open(KEY, forged(at, field)), None, "{field:?} at {at}");
        }
    }
}
