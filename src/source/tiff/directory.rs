//! Headers, directories and their entries: TIFF and BigTIFF, both byte orders, values read when asked for.

use std::cell::{Cell, RefCell};
use std::collections::hash_map;
use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::source::{Limits, ReadAt};

/// Bytes read at a time while directories are parsed, so that neighbours cost one read.
const PAGE: u64 = 16 << 10;
/// Pages kept at a time.
const PAGES: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

macro_rules! number {
    ($name:ident, $t:ty) => {
        /// The number in the first bytes, which must be there.
        pub(super) fn $name(self, bytes: &[u8]) -> $t {
            let mut raw = [0; size_of::<$t>()];
            raw.copy_from_slice(&bytes[..size_of::<$t>()]);
            match self {
                Self::Little => <$t>::from_le_bytes(raw),
                Self::Big => <$t>::from_be_bytes(raw),
            }
        }
    };
}

impl ByteOrder {
    number!(u16, u16);
    number!(u32, u32);
    number!(u64, u64);
    number!(i16, i16);
    number!(i32, i32);
    number!(i64, i64);
    number!(f32, f32);
    number!(f64, f64);

    pub(super) fn is_native(self) -> bool {
        (self == Self::Little) == cfg!(target_endian = "little")
    }
}

/// What the header says: how to read the rest, and where the first directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) order: ByteOrder,
    pub(super) big: bool,
    pub(super) first: u64,
}

impl Header {
    /// Whether a file that starts with these bytes calls itself a TIFF.
    pub(super) fn matches(bytes: &[u8]) -> bool {
        matches!(bytes, [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..])
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        if !Self::matches(bytes) || bytes.len() < 8 {
            return Err(Error::corrupt("no TIFF header"));
        }
        let order = if bytes[0] == b'I' { ByteOrder::Little } else { ByteOrder::Big };
        let big = order.u16(&bytes[2..]) == 43;
        if !big {
            return Ok(Self { order, big, first: u64::from(order.u32(&bytes[4..])) });
        }
        if bytes.len() < 16 || order.u16(&bytes[4..]) != 8 || order.u16(&bytes[6..]) != 0 {
            return Err(Error::corrupt("a BigTIFF header whose offsets are not 8 bytes"));
        }
        Ok(Self { order, big, first: order.u64(&bytes[8..]) })
    }
}

/// The bytes of a TIFF file while its directories are read: pages are kept until the parser goes.
pub(super) struct Parser<'a> {
    reader: &'a dyn ReadAt,
    pub(super) header: Header,
    limits: Limits,
    pages: RefCell<HashMap<u64, Vec<u8>>>,
    spent: Cell<usize>,
}

/// One directory: its entries by tag, and where the next directory is (0: nowhere).
#[derive(Clone, Debug)]
pub(super) struct Directory {
    pub(super) offset: u64,
    pub(super) next: u64,
    entries: Vec<Entry>,
}

/// One entry of a directory. Values are not read yet unless they fit in the entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) tag: u16,
    pub(super) kind: FieldType,
    pub(super) count: u64,
    /// Where the values are in the file.
    pub(super) offset: u64,
}

/// The types of TIFF 6.0 and BigTIFF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldType {
    Byte,
    Ascii,
    Short,
    Long,
    Rational,
    SByte,
    Undefined,
    SShort,
    SLong,
    SRational,
    Float,
    Double,
    Long8,
    SLong8,
}

impl FieldType {
    fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Byte,
            2 => Self::Ascii,
            3 => Self::Short,
            4 | 13 => Self::Long,
            5 => Self::Rational,
            6 => Self::SByte,
            7 => Self::Undefined,
            8 => Self::SShort,
            9 => Self::SLong,
            10 => Self::SRational,
            11 => Self::Float,
            12 => Self::Double,
            16 | 18 => Self::Long8,
            17 => Self::SLong8,
            _ => return None,
        })
    }

    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::Byte | Self::Ascii | Self::SByte | Self::Undefined => 1,
            Self::Short | Self::SShort => 2,
            Self::Long | Self::SLong | Self::Float => 4,
            Self::Rational | Self::SRational | Self::Double | Self::Long8 | Self::SLong8 => 8,
        }
    }

    /// One value as an unsigned integer; negative ones and fractions are `None`.
    pub(super) fn unsigned(self, order: ByteOrder, bytes: &[u8]) -> Option<u64> {
        match self {
            Self::Byte | Self::Undefined | Self::Ascii => Some(u64::from(bytes[0])),
            Self::Short => Some(u64::from(order.u16(bytes))),
            Self::Long => Some(u64::from(order.u32(bytes))),
            Self::Long8 => Some(order.u64(bytes)),
            Self::SByte => u64::try_from(bytes[0] as i8).ok(),
            Self::SShort => u64::try_from(order.i16(bytes)).ok(),
            Self::SLong => u64::try_from(order.i32(bytes)).ok(),
            Self::SLong8 => u64::try_from(order.i64(bytes)).ok(),
            Self::Rational | Self::SRational | Self::Float | Self::Double => None,
        }
    }

    fn float(self, order: ByteOrder, bytes: &[u8]) -> f64 {
        match self {
            Self::Byte | Self::Undefined | Self::Ascii => f64::from(bytes[0]),
            Self::Short => f64::from(order.u16(bytes)),
            Self::Long => f64::from(order.u32(bytes)),
            Self::Long8 => order.u64(bytes) as f64,
            Self::SByte => f64::from(bytes[0] as i8),
            Self::SShort => f64::from(order.i16(bytes)),
            Self::SLong => f64::from(order.i32(bytes)),
            Self::SLong8 => order.i64(bytes) as f64,
            Self::Float => f64::from(order.f32(bytes)),
            Self::Double => order.f64(bytes),
            Self::Rational => f64::from(order.u32(bytes)) / f64::from(order.u32(&bytes[4..])),
            Self::SRational => f64::from(order.i32(bytes)) / f64::from(order.i32(&bytes[4..])),
        }
    }
}

impl<'a> Parser<'a> {
    pub(super) fn new(reader: &'a dyn ReadAt, limits: Limits) -> Result<Self> {
        let mut head = [0; 16];
        let have = reader.len().min(16) as usize;
        let mut parser = Self {
            reader,
            header: Header { order: ByteOrder::Little, big: false, first: 0 },
            limits,
            pages: RefCell::default(),
            spent: Cell::new(0),
        };
        parser.read_at(0, &mut head[..have])?;
        parser.header = Header::parse(&head[..have])?;
        Ok(parser)
    }

    /// Every directory of the chain that starts at `first`, up to the limit. A chain that comes back to a directory
    /// it has been to ends there; a later directory that cannot be read ends it too.
    pub(super) fn chain(&self, first: u64) -> Result<Vec<Directory>> {
        let mut seen = HashSet::new();
        let mut directories = Vec::new();
        let mut next = first;
        while next != 0 && seen.insert(next) && directories.len() < self.limits.max_directories {
            match self.directory(next) {
                Ok(directory) => {
                    next = directory.next;
                    directories.push(directory);
                }
                Err(error) if directories.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        if directories.is_empty() { Err(Error::corrupt("a TIFF without a directory")) } else { Ok(directories) }
    }

    /// The directory at `offset`. Entries of unknown field types are passed over.
    pub(super) fn directory(&self, offset: u64) -> Result<Directory> {
        let (order, big) = (self.header.order, self.header.big);
        let (count_bytes, entry_bytes, next_bytes) = if big { (8, 20, 8) } else { (2, 12, 4) };
        let context = |e: Error| e.context(format!("directory at {offset}"));
        let mut count_field = [0; 8];
        self.read_at(offset, &mut count_field[..count_bytes]).map_err(context)?;
        let count = if big { order.u64(&count_field) } else { u64::from(order.u16(&count_field)) };
        if count == 0 || count > u64::from(u16::MAX) {
            return Err(context(Error::corrupt(format!("{count} entries"))));
        }
        self.spend(count as usize * entry_bytes).map_err(context)?;
        let mut bytes = vec![0; count as usize * entry_bytes];
        let start = offset + count_bytes as u64;
        self.read_at(start, &mut bytes).map_err(context)?;
        let mut entries = Vec::with_capacity(count as usize);
        for (i, raw) in bytes.chunks_exact(entry_bytes).enumerate() {
            let Some(kind) = FieldType::from_number(order.u16(&raw[2..])) else { continue };
            let (count, value, inline) = if big {
                (order.u64(&raw[4..]), order.u64(&raw[12..]), 8)
            } else {
                (u64::from(order.u32(&raw[4..])), u64::from(order.u32(&raw[8..])), 4)
            };
            let fits = count.checked_mul(kind.bytes()).is_some_and(|n| n <= inline);
            let here = start + (i * entry_bytes) as u64 + if big { 12 } else { 8 };
            entries.push(Entry { tag: order.u16(raw), kind, count, offset: if fits { here } else { value } });
        }
        // In order already, by the specification. The first of two entries with one tag counts.
        entries.sort_by_key(|e: &Entry| e.tag);
        entries.dedup_by_key(|e| e.tag);
        let mut next = [0; 8];
        // A file that ends right after the last entry has no next directory.
        let after = start + bytes.len() as u64;
        let next = match self.read_at(after, &mut next[..next_bytes]) {
            Ok(()) if big => order.u64(&next),
            Ok(()) => u64::from(order.u32(&next)),
            Err(_) => 0,
        };
        Ok(Directory { offset, next, entries })
    }

    /// All bytes of an entry's values.
    pub(super) fn bytes(&self, entry: &Entry) -> Result<Vec<u8>> {
        let len = entry
            .count
            .checked_mul(entry.kind.bytes())
            .filter(|len| entry.offset.checked_add(*len).is_some_and(|end| end <= self.reader.len()))
            .ok_or_else(|| Error::corrupt(format!("tag {}: {} values reach past the end", entry.tag, entry.count)))?;
        self.spend(usize::try_from(len).unwrap_or(usize::MAX)).map_err(|e| e.context(format!("tag {}", entry.tag)))?;
        let mut bytes = vec![0; len as usize];
        self.read_at(entry.offset, &mut bytes).map_err(|e| e.context(format!("tag {}", entry.tag)))?;
        Ok(bytes)
    }

    /// The first `most` values of a tag as unsigned integers; `None` when the directory does not have it.
    pub(super) fn unsigned(&self, directory: &Directory, tag: u16, most: u64) -> Result<Option<Vec<u64>>> {
        let Some(entry) = directory.entry(tag) else { return Ok(None) };
        let entry = &Entry { count: entry.count.min(most), ..*entry };
        let bytes = self.bytes(entry)?;
        self.spend(bytes.len() / entry.kind.bytes() as usize * size_of::<u64>())?;
        let values = bytes
            .chunks_exact(entry.kind.bytes() as usize)
            .map(|raw| entry.kind.unsigned(self.header.order, raw))
            .collect::<Option<Vec<u64>>>()
            .ok_or_else(|| Error::corrupt(format!("tag {tag}: a value is not a whole positive number")))?;
        Ok(Some(values))
    }

    /// The first value of a tag as an unsigned integer.
    pub(super) fn first(&self, directory: &Directory, tag: u16) -> Result<Option<u64>> {
        let Some(entry) = directory.entry(tag).filter(|e| e.count > 0) else { return Ok(None) };
        let one = Entry { count: 1, ..*entry };
        let bytes = self.bytes(&one)?;
        let value = one.kind.unsigned(self.header.order, &bytes);
        value.map(Some).ok_or_else(|| Error::corrupt(format!("tag {tag}: not a whole positive number")))
    }

    /// The values of a tag as floats, empty when the directory does not have it.
    pub(super) fn floats(&self, directory: &Directory, tag: u16) -> Result<Vec<f64>> {
        let Some(entry) = directory.entry(tag) else { return Ok(Vec::new()) };
        let bytes = self.bytes(entry)?;
        self.spend(bytes.len() / entry.kind.bytes() as usize * size_of::<f64>())?;
        let values = bytes.chunks_exact(entry.kind.bytes() as usize);
        Ok(values.map(|raw| entry.kind.float(self.header.order, raw)).collect())
    }

    /// The text of a tag without the zeros at its end. Bytes that are not UTF-8 are taken as Latin-1.
    pub(super) fn text(&self, directory: &Directory, tag: u16) -> Result<Option<String>> {
        directory.entry(tag).map_or(Ok(None), |entry| self.text_of(entry))
    }

    /// As [`text`](Self::text), of the values of an entry.
    pub(super) fn text_of(&self, entry: &Entry) -> Result<Option<String>> {
        if entry.kind.bytes() != 1 {
            return Ok(None);
        }
        let bytes = self.bytes(entry)?;
        let text = bytes.split(|b| *b == 0).next().unwrap_or_default();
        Ok(Some(match std::str::from_utf8(text) {
            Ok(text) => text.to_owned(),
            Err(_) => text.iter().map(|b| char::from(*b)).collect(),
        }))
    }

    /// Counts `bytes` of metadata against the limit before they are allocated.
    fn spend(&self, bytes: usize) -> Result<()> {
        let spent = self.spent.get().saturating_add(bytes);
        if spent > self.limits.max_metadata_bytes {
            let limit = self.limits.max_metadata_bytes;
            return Err(Error::limit(format!("{bytes} bytes more exceed the limit of {limit} bytes of metadata")));
        }
        self.spent.set(spent);
        Ok(())
    }

    /// Reads through the pages that are kept; values of several pages are read past them.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let page = offset / PAGE;
        let within = (offset % PAGE) as usize;
        let end = within + out.len();
        if end as u64 > PAGE {
            return self.reader.read_at(offset, out);
        }
        let mut pages = self.pages.borrow_mut();
        if pages.len() >= PAGES {
            pages.clear();
        }
        let bytes = match pages.entry(page) {
            hash_map::Entry::Occupied(kept) => kept.into_mut(),
            hash_map::Entry::Vacant(empty) => {
                let start = page * PAGE;
                let mut bytes = vec![0; self.reader.len().saturating_sub(start).min(PAGE) as usize];
                self.reader.read_at(start, &mut bytes)?;
                empty.insert(bytes)
            }
        };
        match bytes.get(within..end) {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                Ok(())
            }
            None => self.reader.read_at(offset, out),
        }
    }
}

impl Directory {
    pub(super) fn entry(&self, tag: u16) -> Option<&Entry> {
        self.entries.binary_search_by_key(&tag, |e| e.tag).ok().map(|i| &self.entries[i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classic(entries: &[(u16, u16, u32, [u8; 4])], next: u32) -> Vec<u8> {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        bytes.extend((entries.len() as u16).to_le_bytes());
        for (tag, kind, count, value) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(count.to_le_bytes());
            bytes.extend(value);
        }
        bytes.extend(next.to_le_bytes());
        bytes
    }

    #[test]
    fn inline_values_unknown_types_and_repeated_tags() {
        let file = classic(
            &[(256, 3, 1, [7, 0, 9, 9]), (256, 3, 1, [8, 0, 0, 0]), (300, 99, 1, [1; 4]), (301, 9, 1, [0xFF; 4])],
            0,
        );
        let parser = Parser::new(&file, Limits::default()).unwrap();
        let directory = parser.directory(parser.header.first).unwrap();
        assert_eq!(parser.first(&directory, 256).unwrap(), Some(7));
        assert!(directory.entry(300).is_none());
        assert!(parser.first(&directory, 301).is_err());
        assert_eq!(parser.floats(&directory, 301).unwrap(), [-1.0]);
        assert_eq!(parser.first(&directory, 999).unwrap(), None);
    }

    #[test]
    fn a_chain_that_bites_its_tail_ends() {
        let file = classic(&[(256, 3, 1, [7, 0, 0, 0])], 8);
        let parser = Parser::new(&file, Limits::default()).unwrap();
        assert_eq!(parser.chain(8).unwrap().len(), 1);
    }

    #[test]
    fn counts_beyond_the_file_are_refused_before_memory_is_taken() {
        let file = classic(&[(270, 2, u32::MAX, [0; 4]), (271, 12, 0x4000_0000, [0; 4])], 0);
        let parser = Parser::new(&file, Limits::default()).unwrap();
        let directory = parser.directory(8).unwrap();
        assert!(parser.text(&directory, 270).unwrap_err().message().contains("270"));
        assert!(parser.floats(&directory, 271).is_err());
    }

    #[test]
    fn headers_that_are_not_tiff_are_refused() {
        for bytes in [&b""[..], b"II", b"II*\0", b"II+\0\x04\0\0\0\0\0\0\0\0\0\0\0", b"PK\x03\x04aaaaaaaa"] {
            assert!(Parser::new(&bytes.to_vec(), Limits::default()).is_err(), "{bytes:?}");
        }
    }
}
