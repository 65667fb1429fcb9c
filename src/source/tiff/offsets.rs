//! The arrays that say where blocks are: read a page at a time, when a block of that page is asked for.

use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::source::ReadAt;

use super::directory::{ByteOrder, Entry};

/// Values read at a time.
const PAGE: u64 = 1024;

/// An array of unsigned integers in the file, such as `TileOffsets`. Readers never wait for each other: two that
/// want the same page at once both read it.
#[derive(Debug)]
pub(super) struct LazyArray {
    entry: Entry,
    order: ByteOrder,
    pages: Box<[OnceLock<Box<[u64]>>]>,
}

impl LazyArray {
    /// The array of `entry`, of which no more than `wanted` values will be asked for.
    pub(super) fn new(entry: Entry, order: ByteOrder, wanted: u64, file_len: u64) -> Result<Self> {
        let present = entry.count.min(wanted);
        let end = present.checked_mul(entry.kind.bytes()).and_then(|n| n.checked_add(entry.offset));
        if end.is_none_or(|end| end > file_len) {
            return Err(Error::corrupt(format!("tag {}: {present} values reach past the end", entry.tag)));
        }
        let entry = Entry { count: present, ..entry };
        let pages = (0..present.div_ceil(PAGE)).map(|_| OnceLock::new()).collect();
        Ok(Self { entry, order, pages })
    }

    /// Bytes held at most, once all pages were read.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.entry.count * 8 + (self.pages.len() * size_of::<OnceLock<Box<[u64]>>>()) as u64
    }

    /// Bytes held now.
    pub(super) fn held_bytes(&self) -> u64 {
        let read: usize = self.pages.iter().filter_map(|page| page.get()).map(|values| size_of_val(&**values)).sum();
        (read + size_of_val(&*self.pages)) as u64
    }

    /// The value at `index`.
    pub(super) fn get(&self, reader: &dyn ReadAt, index: u64) -> Result<u64> {
        if index >= self.entry.count {
            return Err(Error::corrupt(format!(
                "tag {}: there is no value {index}, only {}",
                self.entry.tag, self.entry.count
            )));
        }
        let page = &self.pages[(index / PAGE) as usize];
        let values = match page.get() {
            Some(values) => values,
            None => {
                let values = self.read_page(reader, index / PAGE)?;
                page.get_or_init(|| values)
            }
        };
        Ok(values[(index % PAGE) as usize])
    }

    fn read_page(&self, reader: &dyn ReadAt, page: u64) -> Result<Box<[u64]>> {
        let size = self.entry.kind.bytes();
        let first = page * PAGE;
        let n = (self.entry.count - first).min(PAGE);
        let mut bytes = vec![0; (n * size) as usize];
        let context = |e: Error| e.context(format!("tag {}", self.entry.tag));
        reader.read_at(self.entry.offset + first * size, &mut bytes).map_err(context)?;
        bytes
            .chunks_exact(size as usize)
            .map(|raw| self.entry.kind.unsigned(self.order, raw))
            .collect::<Option<Box<[u64]>>>()
            .ok_or_else(|| Error::corrupt(format!("tag {}: a value is not a whole positive number", self.entry.tag)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::directory::FieldType;
    use super::*;

    struct Counting(Vec<u8>, AtomicU64);

    impl ReadAt for Counting {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
            self.1.fetch_add(out.len() as u64, Ordering::Relaxed);
            self.0.read_at(offset, out)
        }
    }

    #[test]
    fn one_value_of_a_million_costs_one_page() {
        let bytes: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_be_bytes).collect();
        let file = Counting(bytes, AtomicU64::new(0));
        let entry = Entry { tag: 324, kind: FieldType::Long, count: 1_000_000, offset: 0 };
        let array = LazyArray::new(entry, ByteOrder::Big, u64::MAX, file.len()).unwrap();
        for index in [777_777, 777_778, 777_777] {
            assert_eq!(array.get(&file, index).unwrap(), index);
        }
        assert_eq!(file.1.load(Ordering::Relaxed), PAGE * 4);
        assert_eq!(array.held_bytes(), 977 * size_of::<OnceLock<Box<[u64]>>>() as u64 + PAGE * 8);
        assert_eq!(array.get(&file, 999_999).unwrap(), 999_999);
        assert!(array.get(&file, 1_000_000).unwrap_err().message().contains("324"));
    }

    #[test]
    fn an_array_beyond_the_file_is_refused() {
        let entry = Entry { tag: 324, kind: FieldType::Long8, count: u64::MAX / 8, offset: 0 };
        assert!(LazyArray::new(entry, ByteOrder::Big, u64::MAX, 1000).is_err());
        assert!(LazyArray::new(entry, ByteOrder::Big, 100, 1000).is_ok());
    }
}
