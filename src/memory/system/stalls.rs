//! Pressure stall information (the kernel's accounting/psi): how long processes stood still for want of memory.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{MOST_NUMBERS, read};

/// Stalls of a tenth of a window wake. Without privileges a window must be a multiple of two seconds.
const TRIGGERS: [&str; 2] = ["some 100000 1000000\0", "some 200000 2000000\0"];

/// How long at least one process stood still, since the system or the group began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stalled {
    pub(crate) micros: u64,
    /// Whether only processes of the process's own group are meant. If not, they may be those of a group that is short of
    /// memory for itself.
    pub(crate) is_ours: bool,
}

/// Where stalls are told of.
#[derive(Debug)]
pub(super) struct StallFile {
    path: PathBuf,
    is_ours: bool,
}

impl StallFile {
    /// That of the process's own group of version 2, `group`, or else that of the machine.
    pub(super) fn find(group: Option<&Path>, root: &Path) -> Option<Self> {
        // The group of all processes has no type. What it tells is what the machine does.
        let ours = group.filter(|group| group.join("cgroup.type").exists()).map(|group| group.join("memory.pressure"));
        let candidates = [ours.map(|path| (path, true)), Some((root.join("proc/pressure/memory"), false))];
        let files = candidates.into_iter().flatten().map(|(path, is_ours)| Self { path, is_ours });
        files.into_iter().find(|file| file.read().is_some())
    }

    pub(super) fn read(&self) -> Option<Stalled> {
        let text = read(&self.path, MOST_NUMBERS)?;
        let mut words = text.lines().find(|line| line.starts_with("some "))?.split_ascii_whitespace();
        let micros = words.find_map(|word| word.strip_prefix("total="))?.parse().ok()?;
        Some(Stalled { micros, is_ours: self.is_ours })
    }

    /// The file, set up to wake who polls it.
    pub(super) fn trigger(&self) -> Option<File> {
        TRIGGERS.iter().find_map(|trigger| {
            let mut file = OpenOptions::new().read(true).write(true).open(&self.path).ok()?;
            file.write_all(trigger.as_bytes()).ok().map(|()| file)
        })
    }
}
