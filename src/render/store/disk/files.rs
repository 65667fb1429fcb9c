//! Names of files, lists of them, and locks.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::render::key::TileKey;

/// The folder of files that are being written.
pub(super) const TEMPORARY: &str = "tmp";
/// What files are taken to occupy is a multiple of this.
const BLOCK: u64 = 4096;

/// Bytes that a file of `len` bytes counts.
pub(super) const fn on_disk(len: u64) -> u64 {
    let len = if len == 0 { 1 } else { len };
    len.div_ceil(BLOCK).saturating_mul(BLOCK)
}

/// Where the file of a tile lies.
#[derive(Clone, Copy)]
pub(super) struct Place(TileKey);

impl Place {
    pub(super) fn of(key: TileKey) -> Self {
        Self(key)
    }

    pub(super) fn folder(self, root: &Path) -> PathBuf {
        root.join(format!("{:032x}/{:02x}", self.0.source, self.0.tile as u8))
    }

    pub(super) fn file(self, root: &Path) -> PathBuf {
        root.join(format!("{:032x}/{:02x}/{:032x}", self.0.source, self.0.tile as u8, self.0.tile))
    }
}

/// The number that `name` is in `digits` hexadecimal digits, as we write them.
fn number(name: &std::ffi::OsStr, digits: usize) -> Option<u128> {
    let name = name.to_str()?;
    let ours = name.len() == digits && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if ours { u128::from_str_radix(name, 16).ok() } else { None }
}

/// The numbers that name things in `folder`; other things there are not ours. A folder that is not there has none.
pub(super) fn numbers(folder: &Path, digits: usize, mut each: impl FnMut(u128) -> io::Result<()>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        if let Some(number) = number(&entry?.file_name(), digits) {
            each(number)?;
        }
    }
    Ok(())
}

/// The tiles in the folder of one lowest byte.
pub(super) fn tiles(folder: &Path) -> io::Result<Vec<u128>> {
    let mut tiles = Vec::new();
    numbers(folder, 32, |tile| {
        tiles.push(tile);
        Ok(())
    })?;
    Ok(tiles)
}

/// Every folder of tiles under `root`, of one source or of all.
pub(super) fn folders(
    root: &Path,
    source: Option<u128>,
    mut each: impl FnMut(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let mut in_source = |source: u128| {
        let path = root.join(format!("{source:032x}"));
        numbers(&path, 2, |byte| each(&path.join(format!("{byte:02x}"))))
    };
    match source {
        Some(source) => in_source(source),
        None => numbers(root, 32, in_source),
    }
}

/// Opens the file at `path`, made if need be, and locks it against other processes and threads until it is closed. Where
/// the system has no locks it is only opened.
pub(super) fn lock(path: &Path, within: Duration) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let end = Instant::now() + within;
    let mut pause = Duration::from_micros(50);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            // There is no waiting for a lock with a bound, and its holder may have been stopped.
            Err(TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(pause),
            Err(TryLockError::WouldBlock) => {
                let message = format!("{} was locked by another process for {within:?}", path.display());
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
        }
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_we_write_are_ours() {
        let dir = tempfile::tempdir().unwrap();
        let key = TileKey { source: 1, tile: 0xABCD };
        let file = Place::of(key).file(dir.path());
        fs::create_dir_all(Place::of(key).folder(dir.path())).unwrap();
        fs::write(&file, b"x").unwrap();
        assert!(file.ends_with(format!("{}1/cd/{}abcd", "0".repeat(31), "0".repeat(28))));
        for name in ["0", "+0000000000000000000000000000001", "0000000000000000000000000000ABCD", "notes.txt"] {
            fs::write(file.with_file_name(name), b"x").unwrap();
        }
        assert_eq!(tiles(file.parent().unwrap()).unwrap(), [0xABCD]);
        assert!(tiles(&dir.path().join("none")).unwrap().is_empty());
        let mut found = Vec::new();
        for source in [None, Some(1), Some(2)] {
            let each = |path: &Path| {
                found.push(path.to_owned());
                Ok(())
            };
            folders(dir.path(), source, each).unwrap();
        }
        assert_eq!(found, [file.parent().unwrap(); 2]);
    }

    #[test]
    fn a_lock_is_waited_for_and_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = lock(&path, Duration::ZERO).unwrap();
        assert_eq!(lock(&path, Duration::from_millis(1)).unwrap_err().kind(), io::ErrorKind::TimedOut);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| lock(&path, Duration::from_secs(60)).is_ok());
            drop(held);
            assert!(waits.join().unwrap());
        });
    }
}
