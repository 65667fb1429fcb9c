//! What one control group may use and uses (the kernel's admin-guide/cgroup-v2 and cgroup-v1/memory).

use std::path::{Path, PathBuf};

use super::mounts::Version;
use super::{MOST_NUMBERS, number_of, read};

/// A group that limits memory, or might.
#[derive(Debug)]
pub(super) struct Group {
    version: Version,
    folder: PathBuf,
}

impl Group {
    /// The groups of these folders, of which each lies in the next, as far as memory counts for them.
    pub(super) fn all(version: Version, folders: Vec<PathBuf>) -> Vec<Self> {
        let counts = |(at, folder): &(usize, PathBuf)| {
            // In version 1 a group may leave those below it to themselves.
            *at == 0 || version == Version::Two || number(folder, "memory.use_hierarchy") != Some(0)
        };
        let folders = folders.into_iter().enumerate().take_while(counts);
        folders.map(|(_, folder)| Self { version, folder }).collect()
    }

    /// Bytes from which on the group is slowed down or loses a process.
    pub(super) fn limit(&self) -> Option<u64> {
        match self.version {
            Version::One => {
                // With the limits of groups that cannot be seen from here.
                let inherited = self.stat().and_then(|stat| number_of(&stat, "hierarchical_memory_limit"));
                [number(&self.folder, "memory.limit_in_bytes"), inherited].into_iter().flatten().min()
            }
            // "max" is no number: there is no limit.
            Version::Two => {
                ["memory.max", "memory.high"].into_iter().filter_map(|name| number(&self.folder, name)).min()
            }
        }
    }

    /// Bytes that are used and would not be taken back for the asking. Of files that the system keeps, pages that were not
    /// used lately can go, and half of the others are taken to be needed.
    pub(super) fn used(&self) -> Option<u64> {
        let (current, inactive, active) = match self.version {
            Version::One => ("memory.usage_in_bytes", "total_inactive_file", "total_active_file"),
            Version::Two => ("memory.current", "inactive_file", "active_file"),
        };
        let current = number(&self.folder, current)?;
        let stat = self.stat().unwrap_or_default();
        let of = |name| number_of(&stat, name).unwrap_or(0);
        Some(current.saturating_sub(of(inactive)).saturating_sub(of(active) / 2))
    }

    fn stat(&self) -> Option<String> {
        read(&self.folder.join("memory.stat"), MOST_NUMBERS)
    }
}

fn number(folder: &Path, name: &str) -> Option<u64> {
    read(&folder.join(name), MOST_NUMBERS)?.trim().parse().ok()
}
