use std::path::Path;

use tempfile::TempDir;

use super::*;

const MIB: u64 = 1 << 20;
const MEMINFO: &str = "MemTotal:        8388608 kB\nMemFree:          524288 kB\nMemAvailable:    6291456 kB\n";
const V2_MOUNT: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
const V1_MOUNT: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n";

/// A folder with these files in it.
pub(crate) fn tree(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    files.iter().for_each(|(path, text)| write(root.path(), path, text));
    root
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A machine of 8 GiB, of which 6 could be had, with groups of version 2.
fn version_2(more: &[(&str, &str)]) -> TempDir {
    let machine = [
        ("proc/meminfo", MEMINFO),
        ("proc/self/cgroup", "0::/outer/inner\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
    ];
    tree(&[&machine, more].concat())
}

fn bound(limit_mib: u64, used_mib: u64) -> Bound {
    Bound { limit: limit_mib * MIB, used: used_mib * MIB }
}

const HOST: Option<Bound> = Some(Bound { limit: 8192 * MIB, used: 2048 * MIB });

#[test]
fn groups_of_version_2_bound_with_what_cannot_be_taken_back() {
    let root = version_2(&[
        ("sys/fs/cgroup/outer/inner/memory.max", "1073741824\n"),
        ("sys/fs/cgroup/outer/inner/memory.high", "536870912\n"),
        ("sys/fs/cgroup/outer/inner/memory.current", "314572800\n"),
        ("sys/fs/cgroup/outer/inner/memory.stat", "anon 1\nfile 2\ninactive_file 104857600\nactive_file 20971520\n"),
        ("sys/fs/cgroup/outer/memory.max", "2147483648\n"),
        ("sys/fs/cgroup/outer/memory.high", "max\n"),
        ("sys/fs/cgroup/outer/memory.current", "1073741824\n"),
    ]);
    let mut system = System::at(root.path());
    assert_eq!(system.memory_bytes(), Some(512 * MIB));
    let reading = system.read(None);
    assert_eq!(reading.host, HOST);
    assert_eq!(reading.bounds, [bound(512, 300 - 100 - 10), bound(2048, 1024)]);
    assert_eq!(reading.stalled, None);
}

#[test]
fn groups_of_version_1_bound_too_with_limits_that_cannot_be_seen_from_inside() {
    let unlimited = "9223372036854771712\n";
    let stat =
        "cache 1\nhierarchical_memory_limit 536870912\ntotal_inactive_file 10485760\ntotal_active_file 4194304\n";
    let root = tree(&[
        ("proc/meminfo", MEMINFO),
        ("proc/self/cgroup", "5:memory:/docker/1f\n1:name=systemd:/docker/1f\n0::/\n"),
        (
            "proc/self/mountinfo",
            "35 31 0:32 /docker/1f /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n41 31 0:38 / \
             /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        ),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", unlimited),
        ("sys/fs/cgroup/memory/memory.usage_in_bytes", "209715200\n"),
        ("sys/fs/cgroup/memory/memory.stat", stat),
        ("sys/fs/cgroup/unified/memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"),
        ("proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=9\nfull avg10=0.00 total=8\n"),
    ]);
    let mut system = System::at(root.path());
    assert_eq!(system.memory_bytes(), Some(512 * MIB));
    let reading = system.read(None);
    assert_eq!(reading.bounds, [bound(512, 200 - 10 - 2)]);
    // The group of all processes tells what the machine does.
    assert_eq!(reading.stalled, Some(Stalled { micros: 9, is_ours: false }));
}

#[test]
fn a_group_of_version_1_that_leaves_others_to_themselves_does_not_bound_them() {
    for (hierarchy, expected) in [("1\n", 256), ("0\n", 512), ("?", 256)] {
        let root = tree(&[
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "4:memory:/a/b\n"),
            ("proc/self/mountinfo", V1_MOUNT),
            ("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "536870912\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "268435456\n"),
            ("sys/fs/cgroup/memory/a/memory.use_hierarchy", hierarchy),
        ]);
        assert_eq!(System::at(root.path()).memory_bytes(), Some(expected * MIB), "{hierarchy}");
    }
}

#[test]
fn without_a_limit_the_machine_is_the_bound() {
    for more in [
        &[][..],
        &[("sys/fs/cgroup/outer/memory.max", "max\n"), ("sys/fs/cgroup/outer/memory.current", "1\n")],
        &[("sys/fs/cgroup/outer/memory.max", "9223372036854771712\n"), ("sys/fs/cgroup/outer/memory.current", "1\n")],
    ] {
        let root = version_2(more);
        let mut system = System::at(root.path());
        assert_eq!(system.memory_bytes(), Some(8192 * MIB));
        assert_eq!(system.read(None), Reading { host: HOST, ..Reading::default() });
    }
}

#[test]
fn nonsense_is_unknown() {
    let long = "9".repeat(100_000);
    for text in ["", "\n", "max", "-1", "12 34", "1e9", "99999999999999999999", "\u{0}\u{1}", "memory", long.as_str()] {
        let root = tree(&[
            ("proc/meminfo", &format!("MemTotal: {text}\nMemAvailable:")),
            ("proc/self/cgroup", "0::/a\n"),
            ("proc/self/mountinfo", V2_MOUNT),
            ("proc/self/status", &format!("RssAnon: {text}")),
            ("proc/pressure/memory", &format!("some total={text}")),
            ("sys/fs/cgroup/a/memory.max", text),
            ("sys/fs/cgroup/a/memory.high", text),
            ("sys/fs/cgroup/a/memory.current", text),
            ("sys/fs/cgroup/a/memory.stat", text),
            ("sys/fs/cgroup/a/memory.pressure", text),
            ("sys/fs/cgroup/a/cgroup.type", text),
        ]);
        let mut system = System::at(root.path());
        let reading = system.read(Some(MIB));
        if text != "12 34" {
            assert_eq!((system.memory_bytes(), reading), (None, Reading::default()), "{:.20}", text);
        }
    }
    let nothing = tree(&[]);
    let mut system = System::at(nothing.path());
    assert_eq!((system.memory_bytes(), system.read(Some(MIB))), (None, Reading::default()));
}

#[test]
fn what_cannot_be_taken_back_is_never_less_than_nothing() {
    let root = version_2(&[
        ("sys/fs/cgroup/outer/memory.max", "1048576"),
        ("sys/fs/cgroup/outer/memory.current", "10"),
        ("sys/fs/cgroup/outer/memory.stat", "inactive_file 18446744073709551615\nactive_file 18446744073709551615"),
    ]);
    assert_eq!(System::at(root.path()).read(None).bounds, [Bound { limit: MIB, used: 0 }]);
}

#[test]
fn a_process_that_is_moved_is_found_in_its_new_group() {
    let root = version_2(&[
        ("sys/fs/cgroup/other/memory.max", "1048576\n"),
        ("sys/fs/cgroup/other/memory.current", "524288\n"),
        ("sys/fs/cgroup/other/cgroup.type", "domain\n"),
        ("sys/fs/cgroup/other/memory.pressure", "some avg10=1.00 avg60=0.00 avg300=0.00 total=12\nfull total=3\n"),
    ]);
    let mut system = System::at(root.path());
    assert!(system.read(None).bounds.is_empty());
    write(root.path(), "proc/self/cgroup", "0::/other\n");
    let reading = system.read(None);
    assert_eq!(reading.bounds, [Bound { limit: MIB, used: MIB / 2 }]);
    assert_eq!(reading.stalled, Some(Stalled { micros: 12, is_ours: true }));
}

#[test]
fn a_limit_of_the_client_bounds_what_the_process_holds_itself() {
    let root =
        version_2(&[("proc/self/status", "Name:\tx\nVmRSS:\t 4096 kB\nRssAnon:\t 2048 kB\nRssShmem:\t 1024 kB\n")]);
    assert_eq!(System::at(root.path()).read(Some(64 * MIB)).bounds, [bound(64, 3)]);
    write(root.path(), "proc/self/status", "VmRSS:\t 4096 kB\n");
    assert_eq!(System::at(root.path()).read(Some(64 * MIB)).bounds, [bound(64, 4)]);
}

#[cfg(all(target_os = "linux", not(miri)))]
#[test]
fn this_system_says_what_it_has() {
    let mut system = System::here().unwrap();
    let memory = system.memory_bytes().expect("/proc/meminfo");
    let reading = system.read(Some(memory));
    let host = reading.host.expect("/proc/meminfo");
    assert!(memory <= host.limit && host.used <= host.limit, "{memory} {host:?}");
    let own = reading.bounds.last().expect("/proc/self/status");
    assert!(own.limit == memory && own.used > 0, "{own:?}");
}
