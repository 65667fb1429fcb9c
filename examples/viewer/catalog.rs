//! The rasters that are shown, each under a name of its own in URLs.

use std::path::Path;

use tilekeep::{Dataset, Error};
use xxhash_rust::xxh3::xxh3_128;

use crate::grid::Grid;
use crate::picture::{Pictures, grid};

/// First parts of URLs that are no dataset's.
const RESERVED: [&str; 3] = ["api", "iiif", "web"];

/// One raster.
pub(crate) struct Shown {
    /// Its name in URLs: letters, digits, `-`, `_` and `.`.
    pub(crate) id: String,
    /// The name of its file.
    pub(crate) name: String,
    pub(crate) dataset: Dataset,
    pub(crate) pictures: Pictures,
    /// Another one for a file that was changed.
    pub(crate) version: u128,
}

impl Shown {
    pub(crate) fn grid(&self) -> Grid {
        grid(&self.dataset)
    }
}

/// All of them, in the order in which they were named.
pub(crate) struct Catalog {
    all: Vec<Shown>,
    /// The kind of store that tiles are kept in beside memory, if they are: its name alone, for an address may have a
    /// password in it.
    pub(crate) store: Option<String>,
}

impl Catalog {
    /// Opens files; those that cannot be opened are told to `failed`, and left out.
    pub(crate) fn open<P: AsRef<Path>>(files: impl IntoIterator<Item = P>, mut failed: impl FnMut(Error)) -> Self {
        let mut all: Vec<Shown> = Vec::new();
        for path in files {
            let path = path.as_ref();
            let dataset = match Dataset::open(path) {
                Ok(dataset) => dataset,
                Err(error) => {
                    failed(error);
                    continue;
                }
            };
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let id = free_id(&stem, |id| all.iter().any(|shown| shown.id == id));
            let name = path.file_name().map_or_else(|| id.clone(), |name| name.to_string_lossy().into_owned());
            let version = xxh3_128(format!("{:?}", dataset.identity()).as_bytes());
            let pictures = Pictures::new(dataset.clone());
            all.push(Shown { id, name, dataset, pictures, version });
        }
        Self { all, store: None }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Shown> {
        self.all.iter().find(|shown| shown.id == id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Shown> {
        self.all.iter()
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
