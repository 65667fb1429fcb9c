//! Files beside a raster, found by asking for each name that one may have. The folder is not listed.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::source::access::FileUse;
use crate::source::file::open_regular;
use crate::source::identity::Seen;
use crate::source::{Limits, ReadAt};
use crate::sync::Arc;

/// Where a raster lies, for those who look beside it.
pub(in crate::source) struct Beside<'a> {
    pub(super) path: &'a Path,
    file_use: FileUse,
    pub(super) limits: Limits,
    /// What was opened.
    seen: RefCell<Vec<Seen>>,
}

impl<'a> Beside<'a> {
    pub(in crate::source) fn new(path: &'a Path, file_use: FileUse, limits: Limits) -> Self {
        Self { path, file_use, limits, seen: RefCell::default() }
    }

    /// The same for another file, whose neighbours are to be told of with [`add_seen`](Self::add_seen).
    pub(super) fn of<'b>(&self, path: &'b Path) -> Beside<'b> {
        Beside::new(path, self.file_use, self.limits)
    }

    /// What was opened beside another file counts here.
    pub(super) fn add_seen(&self, other: Beside<'_>) {
        self.seen.borrow_mut().extend(other.into_seen());
    }

    /// The files that were opened.
    pub(in crate::source) fn into_seen(self) -> Vec<Seen> {
        self.seen.into_inner()
    }

    /// The name of the raster with `suffix` at its end.
    pub(super) fn with_suffix(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    }

    /// The file of that name, if there is one that can be read.
    pub(super) fn open(&self, path: &Path) -> Option<Arc<dyn ReadAt>> {
        let (reader, seen) = open_regular(path, self.file_use).ok()?;
        self.seen.borrow_mut().push(seen);
        Some(reader)
    }

    /// The text of the file of that name, if it has `most` bytes or fewer. Bytes that are not UTF-8 are replaced.
    pub(super) fn text(&self, path: &Path, most: u64) -> Option<String> {
        let reader = self.open(path)?;
        let len = Some(reader.len()).filter(|len| *len <= most.min(self.limits.max_metadata_bytes as u64))?;
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        reader.read_at(0, &mut bytes).ok()?;
        Some(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    /// The names that a world file may have: the first and the last letter of the raster's extension and a `w`, the
    /// whole extension and a `w`, and `wld`; each in small letters, then in capitals.
    pub(super) fn world_files(&self) -> Vec<PathBuf> {
        let mut extensions = Vec::new();
        if let Some(extension) = self.path.extension().and_then(|e| e.to_str()).map(str::to_lowercase) {
            let (first, last) = (extension.chars().next(), extension.chars().last());
            if let (Some(first), Some(last), true) = (first, last, extension.chars().count() >= 2) {
                extensions.push(format!("{first}{last}w"));
                extensions.push(format!("{extension}w"));
            }
        }
        extensions.push("wld".to_owned());
        let both = extensions.iter().flat_map(|small| [small.clone(), small.to_uppercase()]);
        both.map(|extension| self.path.with_extension(OsString::from(extension))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::OsCache;

    fn names(path: &str) -> Vec<String> {
        let beside = Beside::new(Path::new(path), FileUse::Read(OsCache::Keep), Limits::default());
        beside.world_files().iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn a_world_file_is_looked_for_under_few_names() {
        assert_eq!(names("d/a.b.tif"), ["tfw", "TFW", "tifw", "TIFW", "wld", "WLD"].map(|e| format!("d/a.b.{e}")));
        assert_eq!(names("a.PNG")[..3], ["a.pgw", "a.PGW", "a.pngw"]);
        assert_eq!(names("a.jpeg")[..3], ["a.jgw", "a.JGW", "a.jpegw"]);
        assert_eq!(names("noext"), ["noext.wld", "noext.WLD"]);
        assert_eq!(names("a.x").len(), 2);
        assert_eq!(names("a.\u{e9}\u{e8}")[0], "a.\u{e9}\u{e8}w");
    }
}
