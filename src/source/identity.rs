//! What makes a file the same file.

use std::fs::Metadata;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, ErrorKind, Result};
use crate::sync::{AtomicU64, Ordering};

/// A file that was written to less than this before it was looked at may be written to again without getting another time:
/// systems count in steps of up to 10 ms.
const YOUNG_NS: i128 = 50_000_000;
/// The same where times are whole seconds, and perhaps only even ones.
const YOUNG_WHOLE_NS: i128 = 2_100_000_000;
const SECOND_NS: i128 = 1_000_000_000;

/// What makes two opened files the same raster: never reused for other content.
///
/// A file that changes gets another time of modification, unless it is written to twice before the clock of its file
/// system goes on. So the identity of a file that was written to just before it was opened (50 ms; 2.1 s where the time
/// is in whole seconds; a time in the future is always just before) is like no other one, not even that of the same
/// file opened again. A file that is written to in place and whose size and time are then put back, as some copying
/// programs do, is not told from what it was. The clock of the file system is taken to be that of the machine: of a
/// server whose clock is behind by more than that, changes within a step of its clock are missed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The path with links resolved.
    pub path: PathBuf,
    /// Bytes.
    pub len: u64,
    /// Last modification, nanoseconds since 1970; before that, as a negative number wraps around.
    pub modified_ns: u128,
    /// Device and inode, where the system has them.
    pub inode: (u64, u64),
    /// The page of the file, from 0.
    pub page: u32,
    /// What no other identity has, where the rest does not suffice.
    nonce: Option<u64>,
}

impl Identity {
    /// The identity of the file at `path`, links resolved, that looked like `stamp` when the time was `now` or later.
    pub(super) fn new(path: PathBuf, stamp: &Stamp, now: SystemTime) -> Self {
        let Stamp { len, modified_ns, inode } = *stamp;
        let nonce = stamp.is_young(now).then(next_nonce);
        Self { path, len, modified_ns: modified_ns as u128, inode, page: 0, nonce }
    }

    /// That of another page of the same file.
    pub(super) fn of_page(self, page: u32) -> Self {
        Self { page, ..self }
    }

    /// 128 bits of all of it: the same for equal identities, in all processes of a machine where the identity
    /// [is shareable](Self::is_shareable).
    #[must_use]
    pub fn hash(&self) -> u128 {
        let path = native_bytes(&self.path);
        let mut bytes = Vec::with_capacity(64 + path.len());
        bytes.extend(self.len.to_le_bytes());
        bytes.extend(self.modified_ns.to_le_bytes());
        bytes.extend(self.inode.0.to_le_bytes());
        bytes.extend(self.inode.1.to_le_bytes());
        bytes.push(u8::from(self.nonce.is_some()));
        bytes.extend(self.nonce.unwrap_or(0).to_le_bytes());
        // A path starts otherwise.
        if self.page > 0 {
            bytes.push(0);
            bytes.extend(self.page.to_le_bytes());
        }
        bytes.extend_from_slice(path);
        xxh3_128(&bytes)
    }

    /// Whether another process, or the next opening, would find the same identity. `false` for a file that was too young:
    /// what is made of it must not be kept under its identity where others look.
    #[must_use]
    pub fn is_shareable(&self) -> bool {
        self.nonce.is_none()
    }
}

/// What one look at a file says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(super) len: u64,
    /// Nanoseconds since 1970; the latest time that there is where the system does not know.
    modified_ns: i128,
    inode: (u64, u64),
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let modified_ns = metadata.modified().map_or(i128::MAX, since_1970);
        #[cfg(unix)]
        let inode = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let inode = (0, 0);
        Self { len: metadata.len(), modified_ns, inode }
    }

    /// Whether a file that looks like this could have been changed without looking otherwise, for one who looked at `now`
    /// or later.
    pub(crate) fn is_young(&self, now: SystemTime) -> bool {
        let margin = if self.modified_ns % SECOND_NS == 0 { YOUNG_WHOLE_NS } else { YOUNG_NS };
        self.modified_ns > since_1970(now) - margin
    }
}

/// A file, and what it looked like when it was opened.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Absolute.
    pub(crate) path: PathBuf,
    pub(crate) stamp: Stamp,
    /// Whether it could have been changed since without looking otherwise.
    is_young: bool,
}

impl Seen {
    /// The file at `path`, which looked like `stamp` when the time was `now` or later.
    pub(super) fn new(path: &Path, stamp: Stamp, now: SystemTime) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self { path, stamp, is_young: stamp.is_young(now) }
    }

    /// Whether it could have been changed since without looking otherwise.
    pub(super) fn is_young(&self) -> bool {
        self.is_young
    }

    /// Adds to `bytes` which file it is, and what it looked like.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        let Stamp { len, modified_ns, inode } = self.stamp;
        let path = native_bytes(&self.path);
        bytes.extend((path.len() as u64).to_le_bytes());
        bytes.extend_from_slice(path);
        bytes.extend(modified_ns.to_le_bytes());
        [len, inode.0, inode.1].into_iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    }

    /// Looks again. See [`RasterFile::check`](super::RasterFile::check).
    pub(super) fn check(&self) -> Result<()> {
        let changed = |what: &str| Err(Error::new(ErrorKind::Changed, format!("{}: {what}", self.path.display())));
        match look(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => changed("the file is gone"),
            Err(error) => Err(error),
            Ok(now) if now != self.stamp => changed("another file is there, or it was written to, since it was opened"),
            Ok(_) if self.is_young => changed("it was opened too soon after it was written to for a change to be seen"),
            Ok(_) => Ok(()),
        }
    }
}

/// Looks at the file at `path`, with one call of the system.
///
/// # Errors
///
/// What the system says, and `unsupported` for what is no regular file.
pub(crate) fn look(path: &Path) -> Result<Stamp> {
    let metadata = std::fs::metadata(path).map_err(|e| Error::from(e).context(path.display()))?;
    if !metadata.is_file() {
        return Err(Error::unsupported(format!("{}: not a regular file", path.display())));
    }
    Ok(Stamp::of(&metadata))
}

fn since_1970(time: SystemTime) -> i128 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}

/// The bytes of a path as the system has them.
pub(crate) fn native_bytes(path: &Path) -> &[u8] {
    #[cfg(unix)]
    return std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    #[cfg(not(unix))]
    path.as_os_str().as_encoded_bytes()
}

/// A number that was not given before, and most likely in no other process either.
fn next_nonce() -> u64 {
    static FIRST: OnceLock<u64> = OnceLock::new();
    static GIVEN: AtomicU64 = AtomicU64::new(0);
    let first = *FIRST.get_or_init(|| RandomState::new().hash_one(0));
    first.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn stamp(modified_ns: i128) -> Stamp {
        Stamp { len: 5, modified_ns, inode: (1, 2) }
    }

    fn identity(path: &str, stamp: &Stamp) -> Identity {
        Identity::new(PathBuf::from(path), stamp, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000))
    }

    #[test]
    fn a_file_is_young_for_as_long_as_its_time_may_stay_the_same() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let second = SECOND_NS;
        for (modified_ns, is_young) in [
            (1000 * second - YOUNG_NS, false),
            (1000 * second - YOUNG_NS + 1, true),
            (1000 * second, true),
            (2000 * second + 1, true),
            (i128::MAX, true),
            (999 * second, true),
            (998 * second, true),
            (997 * second, false),
            (-5, false),
            (0, false),
        ] {
            assert_eq!(stamp(modified_ns).is_young(now), is_young, "{modified_ns}");
        }
    }

    #[test]
    fn identities_of_a_young_file_are_like_no_other_one() {
        let young = stamp(1_000_000 * SECOND_NS);
        let (a, b) = (identity("/a", &young), identity("/a", &young));
        assert!(a != b && a.hash() != b.hash() && a == a.clone() && a.hash() == a.clone().hash());
        assert!(!a.is_shareable());
    }

    #[test]
    fn the_hash_is_of_all_that_the_identity_is() {
        let old = stamp(77);
        let one = identity("/a", &old);
        assert!(one.is_shareable());
        assert_eq!(one, identity("/a", &old));
        // The same in every process.
        assert_eq!(one.hash(), identity("/a", &old).hash());
        assert_eq!(one.hash(), 275_614_249_327_721_741_960_632_693_372_992_593_020);
        let others = [
            identity("/b", &old),
            identity("/a", &stamp(78)),
            identity("/a", &Stamp { len: 6, ..old }),
            identity("/a", &Stamp { inode: (1, 3), ..old }),
            identity("/a", &Stamp { inode: (2, 2), ..old }),
            identity("/a", &old).of_page(1),
            identity("/a", &old).of_page(2),
        ];
        for other in others {
            assert!(other != one && other.hash() != one.hash(), "{other:?}");
        }
    }

    #[test]
    fn times_before_1970_are_told_apart() {
        let time = |ns| SystemTime::UNIX_EPOCH - Duration::from_nanos(ns);
        assert_eq!((since_1970(time(7)), since_1970(time(8))), (-7, -8));
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_no_text_has_a_hash_of_its_own() {
        use std::os::unix::ffi::OsStringExt;
        let of = |last: u8| PathBuf::from(std::ffi::OsString::from_vec(vec![b'/', last]));
        let hash = |last| Identity::new(of(last), &stamp(77), SystemTime::now()).hash();
        assert_ne!(hash(0xFE), hash(0xFF));
    }
}
