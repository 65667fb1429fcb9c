//! The bytes of all tiles in the folder, counted by all processes together.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::files::lock;

/// The file that has the count: 8 bytes, and 8 of checksum.
pub(super) struct Usage {
    path: PathBuf,
}

/// The count while nobody else changes it.
pub(super) struct Locked {
    file: File,
    bytes: Option<u64>,
}

impl Usage {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file is opened anew each time, so that the store lives on when somebody deletes the folder.
    pub(super) fn lock(&self, within: Duration) -> io::Result<Locked> {
        let mut file = lock(&self.path, within)?;
        let mut text = Vec::new();
        (&mut file).take(17).read_to_end(&mut text)?;
        let bytes = text.split_first_chunk::<8>().and_then(|(bytes, sum)| {
            let intact = *sum == xxh3_64(bytes).to_le_bytes();
            intact.then(|| u64::from_le_bytes(*bytes))
        });
        Ok(Locked { file, bytes })
    }
}

impl Locked {
    /// The count; `None` when it is not known.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    pub(super) fn set(&mut self, bytes: u64) -> io::Result<()> {
        let mut text = [0; 16];
        text[..8].copy_from_slice(&bytes.to_le_bytes());
        text[8..].copy_from_slice(&xxh3_64(&bytes.to_le_bytes()).to_le_bytes());
        self.file.rewind()?;
        self.file.write_all(&text)?;
        self.file.set_len(16)?;
        self.bytes = Some(bytes);
        Ok(())
    }

    /// Counts what was removed, if the count is known.
    pub(super) fn subtract(&mut self, bytes: u64) -> io::Result<()> {
        self.bytes.map_or(Ok(()), |before| self.set(before.saturating_sub(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_back_and_a_damaged_one_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("usage");
        let usage = Usage::new(path.clone());
        let read = || usage.lock(Duration::ZERO).unwrap().bytes();
        assert_eq!(read(), None);
        usage.lock(Duration::ZERO).unwrap().set(12_345).unwrap();
        assert_eq!(read(), Some(12_345));
        usage.lock(Duration::ZERO).unwrap().subtract(345).unwrap();
        assert_eq!(read(), Some(12_000));
        let text = std::fs::read(&path).unwrap();
        for damaged in [&text[..15], &[&text[..], &[0]].concat(), &[0; 16], b"12000", b""] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(read(), None);
        }
        usage.lock(Duration::ZERO).unwrap().subtract(1).unwrap();
        assert_eq!(read(), None);
    }
}
