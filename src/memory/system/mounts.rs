//! Which folders show the process's control groups: `/proc/self/cgroup` and `/proc/self/mountinfo` put together
//! (cgroups(7), proc_pid_mountinfo(5)).

use std::path::{Path, PathBuf};

/// More groups above a process than this are not looked at.
const MOST_LEVELS: usize = 64;

/// The version of the interface that a folder has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// Folders of a process's control groups.
#[derive(Debug, Default)]
pub(super) struct Folders {
    /// Where memory may be limited: the process's own group first, then the groups above it, as far as they are mounted. On
    /// a machine with both versions only one of them limits memory, and the other one's folders say nothing of it.
    pub(super) memory: Vec<(Version, Vec<PathBuf>)>,
    /// The process's own group of version 2.
    pub(super) unified: Option<PathBuf>,
}

/// A line of the list of mounts.
struct Mount<'a> {
    /// What of the hierarchy is mounted.
    root: String,
    point: String,
    kind: &'a str,
    options: &'a str,
}

/// The folders of the process of which the two files were read. Mount points are taken to lie below `base`.
pub(super) fn folders(membership: &str, mountinfo: &str, base: &Path) -> Folders {
    let mounts: Vec<Mount<'_>> = mountinfo.lines().filter_map(mount).collect();
    let of = |version, path: &str| {
        let is_it = |mount: &&Mount<'_>| match version {
            Version::One => mount.kind == "cgroup" && mount.options.split(',').any(|option| option == "memory"),
            Version::Two => mount.kind == "cgroup2",
        };
        own_and_above(path, mounts.iter().filter(is_it), base)
    };
    let mut found = Folders::default();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let version = match (number, controllers) {
            ("0", "") => Version::Two,
            _ if controllers.split(',').any(|name| name == "memory") => Version::One,
            _ => continue,
        };
        let folders = of(version, path);
        if version == Version::Two {
            found.unified = folders.first().cloned();
        }
        if !folders.is_empty() {
            found.memory.push((version, folders));
        }
    }
    found
}

/// The folder of the group `path`, then those of the groups above it, in the mount that shows most of them.
fn own_and_above<'a>(path: &str, mounts: impl Iterator<Item = &'a Mount<'a>>, base: &Path) -> Vec<PathBuf> {
    let path = parts(path);
    let mut best: Option<(bool, usize, Vec<PathBuf>)> = None;
    for mount in mounts {
        let root = parts(&mount.root);
        // In a container the process may be named by one root and what is mounted by another: what is mounted is then the
        // process's own group, or one above it.
        let below = path.strip_prefix(root.as_slice());
        let rest = below.unwrap_or_default();
        if rest.contains(&"..") {
            continue;
        }
        let mut folder = base.join(mount.point.trim_start_matches('/'));
        let mut folders = vec![folder.clone()];
        for part in rest {
            folder.push(part);
            folders.push(folder.clone());
        }
        folders.reverse();
        folders.truncate(MOST_LEVELS);
        let is_better = best.as_ref().is_none_or(|(named, depth, _)| (below.is_some(), rest.len()) > (*named, *depth));
        if is_better {
            best = Some((below.is_some(), rest.len(), folders));
        }
    }
    best.map(|(_, _, folders)| folders).unwrap_or_default()
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

fn mount(line: &str) -> Option<Mount<'_>> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let mut kind = kind.split(' ');
    Some(Mount {
        root: unescaped(place.next()?),
        point: unescaped(place.next()?),
        kind: kind.next()?,
        options: kind.nth(1)?,
    })
}

/// A path as it was before blanks and the like in it were written as `\040`.
fn unescaped(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits =
            after.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        let number = digits.map(|digits| digits.iter().fold(0, |n, digit| n * 8 + u32::from(digit - b'0')));
        let (byte, next) = match number.and_then(|number| u8::try_from(number).ok()) {
            Some(byte) => (byte, &after[3..]),
            None => (*first, after),
        };
        bytes.push(byte);
        rest = next;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory folders of a process, by what the two files say.
    fn found(membership: &str, mountinfo: &str) -> Vec<Vec<String>> {
        let folders = folders(membership, mountinfo, Path::new("/"));
        let text = |folder: PathBuf| folder.to_str().unwrap().to_owned();
        folders.memory.into_iter().map(|(_, folders)| folders.into_iter().map(text).collect()).collect()
    }

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n";

    #[test]
    fn a_group_comes_before_those_above_it() {
        let expected = ["/sys/fs/cgroup/user.slice/a:b", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup"];
        assert_eq!(found("0::/user.slice/a:b\n", V2), [expected]);
        let expected = ["/sys/fs/cgroup/memory/docker", "/sys/fs/cgroup/memory"];
        assert_eq!(found("5:cpu,cpuacct:/x\n4:memory:/docker\n", V1), [expected]);
    }

    #[test]
    fn a_container_sees_its_own_group_whatever_it_is_called() {
        for (membership, root) in [
            // A name space of its own.
            ("0::/\n", "/"),
            // Named as outside, with that group mounted.
            ("0::/docker/1f\n", "/docker/1f"),
            // Named as inside, mounted by somebody outside.
            ("0::/\n", "/docker/1f"),
            ("0::/\n", "/../.."),
            ("0::/a/b\n", "/.."),
        ] {
            let mountinfo = format!("30 23 0:26 {root} /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
            assert_eq!(found(membership, &mountinfo), [["/sys/fs/cgroup"]], "{membership} {root}");
        }
        let inner = "30 23 0:26 /docker/1f /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(found("0::/docker/1f/in\n", inner), [["/sys/fs/cgroup/in", "/sys/fs/cgroup"]]);
    }

    #[test]
    fn a_group_outside_of_what_is_mounted_is_not_guessed_at() {
        assert!(found("0::/../other\n", V2).is_empty());
        assert_eq!(found("0::/../a\n", "1 1 0:1 /.. /cg rw - cgroup2 c rw"), [["/cg/a", "/cg"]]);
    }

    #[test]
    fn of_several_mounts_the_one_that_shows_most_is_taken() {
        let some = "31 23 0:26 /user.slice /mnt/some\\040place rw - cgroup2 cgroup2 rw\n";
        assert_eq!(found("0::/user.slice\n", &format!("{some}{V2}"))[0].len(), 2);
        assert_eq!(found("0::/user.slice\n", some), [["/mnt/some place"]]);
    }

    #[test]
    fn nonsense_names_no_group() {
        for (membership, mountinfo) in [
            ("", ""),
            ("0::/", ""),
            ("", V2),
            ("4:memory", V1),
            ("0::/a", "30 23 0:26 / /sys/fs/cgroup rw cgroup2 cgroup2 rw"),
            ("0::/a", "30 23 - cgroup2 cgroup2 rw\n - \n\u{0}"),
            ("4:cpu:/a\nx\n::", V1),
            ("4:memory:/a", V2),
        ] {
            assert!(found(membership, mountinfo).is_empty(), "{membership} {mountinfo}");
        }
    }
}
