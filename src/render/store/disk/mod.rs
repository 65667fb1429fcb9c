//! Tiles in a folder, one file each, shared by any number of processes.
//!
//! ```text
//! DIR/tilekeep-1/usage                       bytes of all tiles, and the lock under which they change
//! DIR/tilekeep-1/sweep                       the lock under which tiles are removed
//! DIR/tilekeep-1/tmp/PID-N                   being written; locked by its writer, so that it is known when one died
//! DIR/tilekeep-1/SOURCE/LL/TILE              32, 2 and 32 hexadecimal digits; LL is the lowest byte of TILE
//! ```
//!
//! A tile is written beside and renamed, so that a reader has it whole or not, whenever a writer dies. Nothing waits for
//! the disk: after a power failure files may be damaged, which their checksum shows.
//!
//! What is exact: the bytes of all tiles, rounded up to blocks of 4 KiB, do not exceed the maximum, whichever process
//! writes; a process that dies between counting and renaming makes the count too large, until the next sweep counts anew.
//! What is approximate: the order of removal. A file's modification time says when its tile was used last, to a minute
//! (where a process may not change it, when it was written). When the maximum is reached the process that reached it
//! removes the tiles unused for longest, to within a 64th of that time, until a tenth of the maximum is free.

mod files;
mod known;
mod sweep;
mod usage;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, ErrorKind, Result};
use crate::render::key::TileKey;
use crate::sync::{AtomicU64, Ordering};

use self::files::{Place, TEMPORARY, lock, on_disk};
use self::known::{Known, Look};
use self::usage::Usage;
use super::TileStore;

/// Files that say they are larger were not written by us.
const MAX_VALUE_BYTES: u64 = (2 << 30) + 4096;
/// A tile's time of last use is brought up to date when it is so old.
const TOUCH_AFTER: Duration = Duration::from_secs(60);
/// How long a writer waits for another process that counts or sweeps.
const LOCK_WITHIN: Duration = Duration::from_secs(10);

/// Tiles in a folder. See the module.
pub(super) struct DiskStore {
    root: PathBuf,
    max_bytes: u64,
    usage: Usage,
    known: Known,
    n_temporary: AtomicU64,
}

impl DiskStore {
    /// The store in `dir`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// `store error` when there is no such folder and none can be made.
    pub(super) fn open(dir: &Path, max_bytes: u64) -> Result<Self> {
        let root = dir.join("tilekeep-1");
        // A folder that cannot be written to may still be read from.
        if let Err(error) = fs::create_dir_all(root.join(TEMPORARY))
            && !dir.is_dir()
        {
            return Err(failed(dir, &error).context("a folder for tiles"));
        }
        let usage = Usage::new(root.join("usage"));
        let store = Self { root, max_bytes, usage, known: Known::default(), n_temporary: AtomicU64::new(0) };
        store.remove_leftovers();
        Ok(store)
    }

    /// Whether the folder has the tile, as far as is known without asking; it is asked once a second at most.
    fn has(&self, key: TileKey) -> Result<bool> {
        let (folder, seen) = match self.known.look(key, Instant::now()) {
            Look::Present => return Ok(true),
            Look::Absent => return Ok(false),
            Look::Ask { folder, seen } => (folder, seen),
        };
        let path = Place::of(key).folder(&self.root);
        let began = Instant::now();
        let changed = match fs::metadata(&path).and_then(|metadata| metadata.modified()) {
            Ok(changed) => Some(changed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&path, &error)),
        };
        if seen.is_current(changed) {
            return Ok(false);
        }
        // The time of the change was read before the list: what is added meanwhile is a later change.
        let tiles = if changed.is_some() { files::tiles(&path).map_err(|e| failed(&path, &e))? } else { Vec::new() };
        self.known.listed(folder, &seen, tiles, changed, began);
        Ok(self.known.contains(key))
    }

    fn read(&self, key: TileKey) -> Result<Option<Vec<u8>>> {
        let path = Place::of(key).file(&self.root);
        let read = || -> io::Result<Result<Vec<u8>, u64>> {
            let mut file = File::open(&path)?;
            let metadata = file.metadata()?;
            let len = metadata.len();
            if len > MAX_VALUE_BYTES {
                return Ok(Err(len));
            }
            let mut value = Vec::new();
            value.try_reserve_exact(len as usize + 1)?;
            (&mut file).take(len).read_to_end(&mut value)?;
            let now = SystemTime::now();
            if metadata.modified().is_ok_and(|used| now.duration_since(used).is_ok_and(|age| age > TOUCH_AFTER)) {
                // Who may not change it leaves it as it is.
                let _ = file.set_modified(now);
            }
            Ok(Ok(value))
        };
        match read() {
            Ok(Ok(value)) => Ok(Some(value)),
            Ok(Err(len)) => Err(Error::corrupt(format!("{}: a tile of {len} bytes", path.display()))),
            // Another process removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.known.remove(key);
                Ok(None)
            }
            Err(error) => Err(failed(&path, &error)),
        }
    }

    /// Writes `value` to a file of its own, which is removed again when it comes to nothing.
    fn write(&self, value: &[u8]) -> io::Result<Temporary> {
        let folder = self.root.join(TEMPORARY);
        let mut again = false;
        loop {
            let number = self.n_temporary.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{}-{number}", std::process::id()));
            match File::create_new(&path) {
                Ok(mut file) => {
                    // Where there are no locks, age tells that a writer died.
                    let _ = file.try_lock();
                    let written = file.write_all(value);
                    let temporary = Temporary { path, renamed: false, _file: file };
                    written?;
                    return Ok(temporary);
                }
                // One that is left over from a process with our number, or is written by another instance.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && !again => {
                    fs::create_dir_all(&folder)?;
                    again = true;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Counts and names a file that is written; `false` when there is no room for it now.
    fn publish(&self, key: TileKey, temporary: &mut Temporary, size: u64) -> io::Result<bool> {
        let place = Place::of(key);
        let path = place.file(&self.root);
        let mut usage = self.usage.lock(LOCK_WITHIN)?;
        let Some(used) = usage.bytes() else { return Ok(false) };
        let old = fs::metadata(&path).map_or(0, |metadata| on_disk(metadata.len()));
        if used.saturating_add(size).saturating_sub(old) > self.max_bytes {
            return Ok(false);
        }
        usage.set(used + size)?;
        let mut named = fs::rename(&temporary.path, &path);
        if named.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            named = fs::create_dir_all(place.folder(&self.root)).and_then(|()| fs::rename(&temporary.path, &path));
        }
        if let Err(error) = named {
            usage.set(used)?;
            return Err(error);
        }
        temporary.renamed = true;
        if old > 0 {
            usage.set((used + size).saturating_sub(old))?;
        }
        Ok(true)
    }
}

impl TileStore for DiskStore {
    fn get(&self, key: TileKey) -> Result<Option<Vec<u8>>> {
        if self.has(key)? { self.read(key) } else { Ok(None) }
    }

    fn put(&self, key: TileKey, value: &[u8]) -> Result<()> {
        let size = on_disk(value.len() as u64);
        if size > self.max_bytes {
            let message = format!("a tile of {} bytes in a store of {}", value.len(), self.max_bytes);
            return Err(Error::limit(message));
        }
        let mut temporary = self.write(value).map_err(|e| failed(&self.root, &e))?;
        // Others fill what was made free, but not for ever.
        for _ in 0..8 {
            if self.publish(key, &mut temporary, size).map_err(|e| failed(&self.root, &e))? {
                self.known.add(key);
                return Ok(());
            }
            self.make_room(size).map_err(|e| failed(&self.root, &e))?;
        }
        Err(Error::new(ErrorKind::Store, format!("{}: others take all room that is made", self.root.display())))
    }

    fn remove(&self, key: TileKey) -> Result<()> {
        let removed = || {
            let _sweep = lock(&self.root.join("sweep"), LOCK_WITHIN)?;
            let mut usage = self.usage.lock(LOCK_WITHIN)?;
            let path = Place::of(key).file(&self.root);
            let size = match fs::metadata(&path) {
                Ok(metadata) => on_disk(metadata.len()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            };
            fs::remove_file(&path)?;
            usage.subtract(size)
        };
        removed().map_err(|e| failed(&self.root, &e))?;
        self.known.remove(key);
        Ok(())
    }

    fn remove_source(&self, source: u128) -> Result<()> {
        self.remove_all(Some(source)).map_err(|e| failed(&self.root, &e))
    }

    fn clear(&self) -> Result<()> {
        self.remove_all(None).map_err(|e| failed(&self.root, &e))
    }
}

/// A file that is removed unless it got its name.
struct Temporary {
    path: PathBuf,
    renamed: bool,
    /// Holds the lock that says that its writer lives.
    _file: File,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // If this fails too, it is a leftover.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::new(ErrorKind::Store, format!("{}: {error}", path.display()))
}
