//! Removing tiles: the ones unused for longest, those of a raster, all; and what writers that died left behind.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::files::{TEMPORARY, folders, lock, numbers, on_disk};
use super::{DiskStore, LOCK_WITHIN};

/// Removed files between two notes of what they counted.
const BATCH: usize = 256;
/// A file being written that is no older is left alone.
const YOUNG: Duration = Duration::from_secs(1);
/// A file being written is given up when it is so old, where locks do not tell.
const ABANDONED: Duration = Duration::from_secs(600);

impl DiskStore {
    /// Makes room for a file of `size` bytes, or counts what there is.
    pub(super) fn make_room(&self, size: u64) -> io::Result<()> {
        let _sweep = lock(&self.root.join("sweep"), LOCK_WITHIN)?;
        let counted = self.usage.lock(LOCK_WITHIN)?.bytes();
        if counted.is_some_and(|used| used.saturating_add(size) <= self.max_bytes) {
            // Another process was faster.
            return Ok(());
        }
        self.remove_leftovers();
        let now = SystemTime::now();
        let mut ages = Ages::default();
        self.each_tile(None, |_, file| {
            ages.add(file.age(now), file.size);
            Ok(false)
        })?;
        self.correct(counted, ages.total)?;
        let target = (self.max_bytes / 10 * 9).min(self.max_bytes - size);
        if counted.is_none() && ages.total.saturating_add(size) <= self.max_bytes {
            return Ok(());
        }
        let mut too_old = ages.oldest(ages.total.saturating_sub(target));
        self.each_tile(None, |_, file| Ok(too_old.takes(file.age(now), file.size)))
    }

    /// Removes the tiles of one source, or all.
    pub(super) fn remove_all(&self, source: Option<u128>) -> io::Result<()> {
        let _sweep = lock(&self.root.join("sweep"), LOCK_WITHIN)?;
        self.known.forget(source);
        self.each_tile(source, |_, _| Ok(true))?;
        self.known.forget(source);
        Ok(())
    }

    /// Puts right a count that was `counted` when the files, of `found` bytes, began to be counted. Meanwhile others may
    /// have added, and counted, more; nobody removes.
    fn correct(&self, counted: Option<u64>, found: u64) -> io::Result<()> {
        let mut usage = self.usage.lock(LOCK_WITHIN)?;
        let exact = match (usage.bytes(), counted) {
            (Some(now), Some(before)) => now.saturating_sub(before.saturating_sub(found)).max(found),
            _ => found,
        };
        if usage.bytes() == Some(exact) { Ok(()) } else { usage.set(exact) }
    }

    /// Shows every tile to `remove`, and removes those for which it is true, and folders that are empty then.
    fn each_tile(
        &self,
        source: Option<u128>,
        mut remove: impl FnMut(&Path, TileFile) -> io::Result<bool>,
    ) -> io::Result<()> {
        let (mut n_removed, mut removed) = (0, 0);
        let result = folders(&self.root, source, |folder| {
            let mut any_removed = false;
            numbers(folder, 32, |tile| {
                let path = folder.join(format!("{tile:032x}"));
                let Ok(metadata) = fs::symlink_metadata(&path) else { return Ok(()) };
                let file = TileFile { size: on_disk(metadata.len()), used: metadata.modified().ok() };
                if !metadata.is_file() || !remove(&path, file)? {
                    return Ok(());
                }
                match fs::remove_file(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                    done => done?,
                }
                any_removed = true;
                n_removed += 1;
                removed += file.size;
                if n_removed % BATCH == 0 {
                    self.usage.lock(LOCK_WITHIN)?.subtract(std::mem::take(&mut removed))?;
                }
                Ok(())
            })?;
            if any_removed {
                // Neither succeeds when something is in it, which is as it should be.
                let _ = fs::remove_dir(folder);
                let _ = folder.parent().map(fs::remove_dir);
            }
            Ok(())
        });
        if removed > 0 {
            self.usage.lock(LOCK_WITHIN)?.subtract(removed)?;
        }
        result
    }

    /// Removes files whose writers died. What cannot be removed now is tried again later.
    pub(super) fn remove_leftovers(&self) {
        let Ok(entries) = fs::read_dir(self.root.join(TEMPORARY)) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let age =
                entry.metadata().and_then(|metadata| metadata.modified()).map(|at| at.elapsed().unwrap_or_default());
            // A young one may be of a writer that did not come to lock it yet.
            let Some(age) = age.ok().filter(|age| *age > YOUNG) else { continue };
            let dead = match File::open(&path).map(|file| file.try_lock()) {
                Ok(Ok(())) => true,
                Ok(Err(fs::TryLockError::Error(_))) => age > ABANDONED,
                _ => false,
            };
            if dead {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct TileFile {
    size: u64,
    used: Option<SystemTime>,
}

impl TileFile {
    /// Nanoseconds since the last use.
    fn age(self, now: SystemTime) -> u64 {
        let age = self.used.and_then(|used| now.duration_since(used).ok()).unwrap_or_default();
        u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Bytes by age, in classes that are a 64th of an age wide: what a sweep remembers of any number of files.
struct Ages {
    bytes: Vec<u64>,
    total: u64,
}

const N_CLASSES: usize = 59 * 64;

impl Default for Ages {
    fn default() -> Self {
        Self { bytes: vec![0; N_CLASSES], total: 0 }
    }
}

fn class(age: u64) -> usize {
    match age.checked_ilog2() {
        Some(log) if log >= 6 => (log as usize - 5) * 64 + (age >> (log - 6)) as usize % 64,
        _ => age as usize,
    }
}

impl Ages {
    fn add(&mut self, age: u64, bytes: u64) {
        self.bytes[class(age)] += bytes;
        self.total += bytes;
    }

    /// Which files to remove so that at least `bytes` go.
    fn oldest(&self, bytes: u64) -> TooOld {
        let mut left = bytes;
        for (class, in_class) in self.bytes.iter().enumerate().rev() {
            if *in_class >= left {
                return TooOld { class, left };
            }
            left -= in_class;
        }
        TooOld { class: 0, left }
    }
}

/// Files of all classes beyond `class`, and `left` bytes of that one.
struct TooOld {
    class: usize,
    left: u64,
}

impl TooOld {
    fn takes(&mut self, age: u64, bytes: u64) -> bool {
        let class = class(age);
        if class != self.class {
            return class > self.class;
        }
        let takes = self.left > 0;
        self.left = self.left.saturating_sub(bytes);
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_in_the_order_of_ages_and_a_64th_wide() {
        let mut ages: Vec<u64> =
            (0..64).flat_map(|bit| [0, 1, 77, 1 << 20].map(|more| (1_u64 << bit) + more)).collect();
        ages.extend([0, u64::MAX]);
        ages.sort_unstable();
        for pair in ages.windows(2) {
            assert!(class(pair[0]) <= class(pair[1]), "{pair:?}");
        }
        for age in ages.into_iter().filter(|age| *age < u64::MAX / 2) {
            assert!(class(age) < class(age + age / 64 + 1), "{age}");
        }
        assert_eq!(class(u64::MAX), N_CLASSES - 1);
    }

    #[test]
    fn the_oldest_go_and_no_more_than_need_be() {
        let mut ages = Ages::default();
        let files: Vec<(u64, u64)> = (1..=1000).map(|i| (i * 1_000_000_000, 4096 * (1 + i % 3))).collect();
        for (age, size) in &files {
            ages.add(*age, *size);
        }
        for bytes in [0, 1, 4096, 100_000, 2_000_000, ages.total] {
            let mut too_old = ages.oldest(bytes);
            let (gone, kept): (Vec<_>, Vec<_>) = files.iter().partition(|(age, size)| too_old.takes(*age, *size));
            let freed: u64 = gone.iter().map(|(_, size)| size).sum();
            assert!(freed >= bytes && freed < bytes + 3 * 4096, "{freed} of {bytes}");
            let youngest_gone = gone.iter().map(|(age, _)| *age).min().unwrap_or(u64::MAX);
            let oldest_kept = kept.iter().map(|(age, _)| *age).max().unwrap_or(0);
            assert!(youngest_gone as f64 * 65.0 / 64.0 + 1.0 >= oldest_kept as f64, "{youngest_gone} {oldest_kept}");
        }
    }
}
