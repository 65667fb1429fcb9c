//! Files that are open at the moment: the process has so many at most, the least recently read one is closed.

use std::fs::File;
use std::path::PathBuf;
use std::sync::OnceLock;

use lru::LruCache;

use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};

use super::file::open_checked;
use super::identity::Stamp;

/// Files that are open between reads, until somebody says otherwise.
const DEFAULT_MAX: usize = 64;

/// Changes how many files, of all datasets that read by position, stay open between reads. The least recently read ones
/// are closed and opened again when they are read; a file that is then another one gives an error of kind `changed`. A file
/// that is being read by several threads may be open beside these. 64 until this is called.
pub fn set_max_open_files(n: usize) {
    Handles::process().set_max(n);
}

/// How many files stay open between reads.
#[must_use]
pub fn max_open_files() -> usize {
    Handles::process().open.lock().max
}

/// How many files are open between reads now.
pub(crate) fn open_files() -> usize {
    Handles::process().open.lock().files.len()
}

/// Open files by the number of who reads them, the most recently read first.
struct Handles {
    open: Mutex<Open>,
}

struct Open {
    files: LruCache<u64, Arc<File>>,
    max: usize,
}

impl Handles {
    fn process() -> &'static Self {
        static PROCESS: OnceLock<Handles> = OnceLock::new();
        PROCESS.get_or_init(|| Self::new(DEFAULT_MAX))
    }

    fn new(max: usize) -> Self {
        Self { open: Mutex::new(Open { files: LruCache::unbounded(), max }) }
    }

    fn get(&self, number: u64) -> Option<Arc<File>> {
        self.open.lock().files.get(&number).map(Arc::clone)
    }

    /// Keeps a file that was opened, unless somebody else was faster: then that one is used.
    fn keep(&self, number: u64, file: Arc<File>) -> Arc<File> {
        let mut open = self.open.lock();
        if let Some(kept) = open.files.get(&number).map(Arc::clone) {
            drop(open);
            return kept;
        }
        open.files.put(number, Arc::clone(&file));
        let closed = open.too_many();
        drop(open);
        // Not under the lock.
        drop(closed);
        file
    }

    fn set_max(&self, max: usize) {
        let mut open = self.open.lock();
        open.max = max;
        let mut closed = Vec::new();
        while let Some(file) = open.too_many() {
            closed.push(file);
        }
        drop(open);
        drop(closed);
    }

    fn close(&self, number: u64) {
        let closed = self.open.lock().files.pop(&number);
        drop(closed);
    }

    /// Closes all of them; whether there were any.
    fn close_all(&self) -> bool {
        let closed = std::mem::replace(&mut self.open.lock().files, LruCache::unbounded());
        !closed.is_empty()
    }
}

impl Open {
    /// One that must be closed.
    fn too_many(&mut self) -> Option<Arc<File>> {
        if self.files.len() > self.max { self.files.pop_lru().map(|(_, file)| file) } else { None }
    }
}

/// A file that is open whenever it is read.
#[derive(Debug)]
pub(super) struct Handle {
    number: u64,
    path: PathBuf,
    stamp: Stamp,
}

impl Handle {
    /// The file at `path`, an absolute one, that was opened and looks like `stamp`.
    pub(super) fn new(path: PathBuf, file: File, stamp: Stamp) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Handles::process().keep(number, Arc::new(file));
        Self { number, path, stamp }
    }

    pub(super) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The open file. No lock is held by whoever reads it.
    ///
    /// # Errors
    ///
    /// When it must be opened again: what the system says, and `changed` when another file is there now.
    pub(super) fn file(&self) -> Result<Arc<File>> {
        if let Some(file) = Handles::process().get(self.number) {
            return Ok(file);
        }
        let changed = |what: &str| Error::new(ErrorKind::Changed, format!("{}: {what}", self.path.display()));
        let (file, metadata) = open_checked(&self.path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => changed("the file is gone since it was opened"),
            _ => error,
        })?;
        if Stamp::of(&metadata) != self.stamp {
            return Err(changed("another file is there, or it was written to, since it was opened"));
        }
        Ok(Handles::process().keep(self.number, Arc::new(file)))
    }

    /// Closes the file until it is read again.
    pub(super) fn close(&self) {
        Handles::process().close(self.number);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// Opens a file. When the system says that too many are open, those that nobody reads at the moment are closed first.
pub(super) fn open_with_room(open: impl Fn() -> std::io::Result<File>) -> std::io::Result<File> {
    match open() {
        Err(error) if is_full(&error) && Handles::process().close_all() => open(),
        opened => opened,
    }
}

/// Whether the process or the system has no room for one more open file.
fn is_full(error: &std::io::Error) -> bool {
    // ENFILE and EMFILE are these numbers on all systems that come from Unix.
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<File> {
        Arc::new(tempfile::tempfile().unwrap())
    }

    #[test]
    fn the_least_recently_read_file_is_closed() {
        let handles = Handles::new(3);
        let files: Vec<_> = (0..5).map(|number| handles.keep(number, file())).collect();
        let is_open = || (0..5).filter(|number| handles.open.lock().files.contains(number)).collect::<Vec<_>>();
        assert_eq!(is_open(), [2, 3, 4]);
        assert!(handles.get(0).is_none() && handles.get(2).is_some());
        handles.keep(0, file());
        assert_eq!(is_open(), [0, 2, 4]);
        // Whoever is late takes the one that is there.
        assert!(Arc::ptr_eq(&handles.keep(2, file()), &files[2]));
        handles.set_max(1);
        assert_eq!(is_open(), [2]);
        handles.close(2);
        assert_eq!(is_open(), [0; 0]);
        assert_eq!(files.iter().filter(|file| Arc::strong_count(file) > 1).count(), 0);
        handles.set_max(0);
        let unkept = handles.keep(7, file());
        assert_eq!((Arc::strong_count(&unkept), is_open().len()), (1, 0));
    }

    #[test]
    fn all_files_are_closed_when_the_system_has_no_room() {
        let handles = Handles::new(10);
        (0..4).for_each(|number| drop(handles.keep(number, file())));
        assert!(handles.close_all() && !handles.close_all());
        assert!(is_full(&std::io::Error::from_raw_os_error(24)) && !is_full(&std::io::Error::from_raw_os_error(2)));
    }
}
