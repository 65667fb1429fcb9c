//! The rasters that are shown, each under a name of its own in URLs, as they are now.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tilekeep::{CacheBudget, Dataset, ErrorKind, Limits, OpenOptions, Result, Throttled, TileSource, open_path};
use xxhash_rust::xxh3::xxh3_128;

use crate::grid::Grid;
use crate::picture::{Pictures, grid};

/// First parts of URLs that are no dataset's.
const RESERVED: [&str; 3] = ["api", "iiif", "web"];
/// How long a file is taken to be what it was. Each look costs one question to the system for the file, and one for each
/// beside it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A slow line between a file and its reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// Before each block.
    pub(crate) latency: Duration,
    /// 0 is without end.
    pub(crate) bytes_per_second: u64,
}

/// One raster, as it was when its file was opened.
pub(crate) struct Shown {
    /// Its name in URLs: letters, digits, `-`, `_` and `.`.
    pub(crate) id: String,
    /// The name of its file.
    pub(crate) name: String,
    pub(crate) dataset: Dataset,
    pub(crate) pictures: Pictures,
    /// Another one for a file that was changed.
    pub(crate) version: u128,
    /// The line that it is read through.
    pub(crate) line: Option<Arc<Throttled<Box<dyn TileSource>>>>,
    /// Knows the file, which a dataset behind a line does not.
    file: Dataset,
}

impl Shown {
    fn open(path: &Path, id: &str, line: Option<Line>) -> Result<Self> {
        // First: of a file that changes meanwhile this is what it was before, and the next look tells.
        let file = Dataset::open(path)?;
        let (dataset, line) = match line {
            None => (file.clone(), None),
            Some(Line { latency, bytes_per_second }) => {
                let (source, _) = open_path(path, Limits::default())?;
                let line = Arc::new(Throttled::new(source, latency, bytes_per_second));
                (Dataset::from_source(Arc::clone(&line), &OpenOptions::default())?, Some(line))
            }
        };
        let version = xxh3_128(format!("{:?}", file.identity()).as_bytes());
        let name = path.file_name().map_or_else(|| id.to_owned(), |name| name.to_string_lossy().into_owned());
        let pictures = Pictures::new(dataset.clone());
        Ok(Self { id: id.to_owned(), name, dataset, pictures, version, line, file })
    }

    pub(crate) fn grid(&self) -> Grid {
        grid(&self.dataset)
    }

    /// What URLs call its version.
    pub(crate) fn version(&self) -> String {
        format!("{:032x}", self.version)
    }
}

/// All of them, in the order in which they were named.
pub(crate) struct Catalog {
    all: Vec<Entry>,
    line: Option<Line>,
    /// The kind of store that tiles are kept in beside memory, if they are: its name alone, for an address may have a
    /// password in it.
    pub(crate) store: Option<String>,
}

struct Entry {
    id: String,
    path: PathBuf,
    now: Mutex<Now>,
}

struct Now {
    shown: Arc<Shown>,
    /// Why what is in the file's place cannot be shown.
    trouble: Option<tilekeep::Error>,
    looked: Instant,
    /// What somebody set, for what takes the file's place too.
    budget: Option<CacheBudget>,
}

impl Catalog {
    /// Opens files, through a slow line if there is one; those that cannot be opened are told to `failed`, and left out.
    pub(crate) fn open<P: AsRef<Path>>(
        files: impl IntoIterator<Item = P>,
        line: Option<Line>,
        mut failed: impl FnMut(tilekeep::Error),
    ) -> Self {
        let mut all: Vec<Entry> = Vec::new();
        for path in files {
            let path = path.as_ref();
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let id = free_id(&stem, |id| all.iter().any(|entry| entry.id == id));
            match Shown::open(path, &id, line) {
                Ok(shown) => {
                    let now = Now { shown: Arc::new(shown), trouble: None, looked: Instant::now(), budget: None };
                    all.push(Entry { id, path: path.to_owned(), now: Mutex::new(now) });
                }
                Err(error) => failed(error),
            }
        }
        Self { all, line, store: None }
    }

    /// The raster of this name, or why what is there now cannot be shown.
    pub(crate) fn get(&self, id: &str) -> Option<Result<Arc<Shown>>> {
        let entry = self.all.iter().find(|entry| entry.id == id)?;
        let (shown, trouble) = self.now(entry);
        Some(trouble.map_or(Ok(shown), Err))
    }

    /// The raster of this name as it was last seen: for what is known of it without its file.
    pub(crate) fn last(&self, id: &str) -> Option<Arc<Shown>> {
        let entry = self.all.iter().find(|entry| entry.id == id)?;
        Some(self.now(entry).0)
    }

    /// Every raster as it was last seen, and why what is there now cannot be shown.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Arc<Shown>, Option<tilekeep::Error>)> {
        self.all.iter().map(|entry| self.now(entry))
    }

    /// Changes the budget of a raster's blocks, of those too that take the place of its file.
    pub(crate) fn set_budget(&self, shown: &Shown, budget: CacheBudget) {
        shown.dataset.set_cache_budget(budget);
        if let Some(entry) = self.all.iter().find(|entry| entry.id == shown.id) {
            entry.now.lock().budget = Some(budget);
        }
    }

    /// What is in the place of a file: it is looked at when the last look was long enough ago.
    fn now(&self, entry: &Entry) -> (Arc<Shown>, Option<tilekeep::Error>) {
        let seen = |now: &Now| (Arc::clone(&now.shown), now.trouble.clone());
        let (before, budget) = {
            let mut now = entry.now.lock();
            if now.looked.elapsed() < LOOK_EVERY {
                return seen(&now);
            }
            // Others go on with what was there while one looks.
            now.looked = Instant::now();
            (Arc::clone(&now.shown), now.budget)
        };
        let after = match before.file.revalidate() {
            Err(error) if error.kind() == ErrorKind::Changed => {
                Shown::open(&entry.path, &entry.id, self.line).map(Some)
            }
            still => still.map(|()| None),
        };
        let mut now = entry.now.lock();
        match after {
            Ok(None) => now.trouble = None,
            Ok(Some(shown)) => {
                budget.into_iter().for_each(|budget| shown.dataset.set_cache_budget(budget));
                (now.shown, now.trouble) = (Arc::new(shown), None);
            }
            Err(error) => now.trouble = Some(error),
        }
        seen(&now)
    }
}

/// A name for URLs out of that of a file, with a number where it is taken.
fn free_id(stem: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let id: String = stem.trim_start_matches('.').chars().map(plain).collect();
    let id = if id.is_empty() { "raster".to_owned() } else { id };
    let is_free = |id: &String| !is_taken(id) && !RESERVED.contains(&id.as_str());
    std::iter::once(id.clone()).chain((2u32..).map(|n| format!("{id}-{n}"))).find(is_free).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_urls_are_plain_and_differ() {
        let id = |stem: &str, taken: &[&str]| free_id(stem, |id| taken.contains(&id));
        assert_eq!(id("berlin_2024.v2", &[]), "berlin_2024.v2");
        assert_eq!(id("a/b c?ü", &[]), "a-b-c--");
        assert_eq!(id("..", &[]), "raster");
        assert_eq!(id("x", &["x", "x-2"]), "x-3");
        assert_eq!(id("iiif", &[]), "iiif-2");
    }
}
