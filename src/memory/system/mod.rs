//! What the system says of the memory that this process may use: the machine's, that of its control groups, and how long
//! processes stood still for want of it.
//!
//! Only Linux says so. What is absent, unreadable or no number is unknown, and bounds nothing. All files are looked for
//! below a root, so that tests have a system of their own.
//!
//! | file | what it is |
//! | --- | --- |
//! | `mounts` | where the process's control groups are mounted |
//! | `groups` | limit and use of one control group, of version 1 or 2 |
//! | `stalls` | pressure stall information, and being woken by it |

mod groups;
mod mounts;
mod stalls;

#[cfg(test)]
pub(crate) mod tests;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use groups::Group;
use stalls::StallFile;
pub(crate) use stalls::Stalled;

/// Of a file of numbers, what is read at most.
const MOST_NUMBERS: u64 = 64 << 10;
/// Of a list of mounts, what is read at most.
const MOST_MOUNTS: u64 = 4 << 20;
/// Bytes that are read at once.
const AT_ONCE: usize = 8 << 10;
/// What a machine is taken to have that does not say.
const UNKNOWN_MEMORY: u64 = 4 << 30;

/// A part of the memory that the process may use, within these bounds, until a client says otherwise. The system is asked
/// once.
pub(crate) fn default_budget(part: u64, least: u64, most: u64) -> u64 {
    static MEMORY: OnceLock<u64> = OnceLock::new();
    let ask = || System::here().and_then(|system| system.memory_bytes()).unwrap_or(UNKNOWN_MEMORY);
    (*MEMORY.get_or_init(ask) / part).clamp(least, most)
}

/// A limit, and what of it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) limit: u64,
    /// Without what the system would take back before it refuses anybody memory.
    pub(crate) used: u64,
}

/// What the system said at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The machine's memory.
    pub(crate) host: Option<Bound>,
    /// The process's control groups that have a limit, and what a client said that the process may have.
    pub(crate) bounds: Vec<Bound>,
    /// How long somebody stood still for want of memory.
    pub(crate) stalled: Option<Stalled>,
}

/// Where this process's numbers are.
#[derive(Debug)]
pub(crate) struct System {
    root: PathBuf,
    /// What the process's groups were said to be when they were looked for.
    membership: String,
    /// How often they were looked for.
    looks: u64,
    /// Its own groups and those above them.
    groups: Vec<Group>,
    stalls: Option<StallFile>,
}

impl System {
    /// The system that the process runs on; `None` where it says nothing.
    pub(crate) fn here() -> Option<Self> {
        (cfg!(any(target_os = "linux", target_os = "android")) && !cfg!(miri)).then(|| Self::at(Path::new("/")))
    }

    /// A system whose files lie below `root`.
    pub(crate) fn at(root: &Path) -> Self {
        let (membership, groups) = (String::new(), Vec::new());
        let mut system = Self { root: root.to_owned(), membership, looks: 0, groups, stalls: None };
        system.membership = system.read_membership();
        system.look_for_groups();
        system
    }

    /// The least of the machine's memory and of the limits of the process's groups.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        let host = meminfo(&self.root).map(|(total, _)| total);
        self.groups.iter().filter_map(Group::limit).chain(host).min()
    }

    /// What there is and what is used now. With `own_limit`, also this process against it.
    pub(crate) fn read(&mut self, own_limit: Option<u64>) -> Reading {
        // Somebody may have moved the process to another group.
        let membership = self.read_membership();
        if membership != self.membership {
            self.membership = membership;
            self.look_for_groups();
        }
        let meminfo = meminfo(&self.root);
        let host = meminfo.and_then(|(limit, available)| Some(Bound { limit, used: limit.saturating_sub(available?) }));
        // A group without a limit has one that no machine has.
        let most = meminfo.map_or(u64::MAX >> 2, |(total, _)| total);
        let limited =
            self.groups.iter().filter_map(|group| Some((group, group.limit().filter(|limit| *limit < most)?)));
        let groups = limited.filter_map(|(group, limit)| Some(Bound { limit, used: group.used()? }));
        let own = own_limit.and_then(|limit| Some(Bound { limit, used: resident(&self.root)? }));
        Reading { host, bounds: groups.chain(own).collect(), stalled: self.stalls.as_ref().and_then(StallFile::read) }
    }

    /// Another number whenever the process was found in another group, where stalls are told of in another file.
    pub(crate) fn place(&self) -> u64 {
        self.looks
    }

    /// A file that becomes readable when processes stand still for want of memory, where the system permits that.
    pub(crate) fn stall_trigger(&self) -> Option<File> {
        self.stalls.as_ref()?.trigger()
    }

    fn read_membership(&self) -> String {
        read(&self.root.join("proc/self/cgroup"), MOST_NUMBERS).unwrap_or_default()
    }

    fn look_for_groups(&mut self) {
        self.looks += 1;
        let mounts = read(&self.root.join("proc/self/mountinfo"), MOST_MOUNTS).unwrap_or_default();
        let folders = mounts::folders(&self.membership, &mounts, &self.root);
        self.groups = folders.memory.into_iter().flat_map(|(version, folders)| Group::all(version, folders)).collect();
        self.stalls = StallFile::find(folders.unified.as_deref(), &self.root);
    }
}

/// The text of a file, or as much of it as `most` bytes.
fn read(path: &Path, most: u64) -> Option<String> {
    // Such files say nothing of their length, and are read in ever longer parts otherwise.
    let mut bytes = Vec::with_capacity(AT_ONCE);
    File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The number behind `name` in a text of a name and a number per line.
fn number_of(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next()? == name).then(|| words.next()?.parse().ok()).flatten()
    })
}

/// The machine's memory, and what of it could be had.
fn meminfo(root: &Path) -> Option<(u64, Option<u64>)> {
    let text = read(&root.join("proc/meminfo"), MOST_NUMBERS)?;
    let bytes = |name| number_of(&text, name).and_then(|kib| kib.checked_mul(1024));
    Some((bytes("MemTotal:").filter(|total| *total > 0)?, bytes("MemAvailable:")))
}

/// Memory of this process alone that no file stands behind.
fn resident(root: &Path) -> Option<u64> {
    let text = read(&root.join("proc/self/status"), MOST_NUMBERS)?;
    let bytes = |name| number_of(&text, name).and_then(|kib| kib.checked_mul(1024));
    let anonymous = bytes("RssAnon:").map(|anon| anon.saturating_add(bytes("RssShmem:").unwrap_or(0)));
    anonymous.or_else(|| bytes("VmRSS:"))
}
