//! A store in a folder: bounded, found whole by every process whoever dies, and harmless when the disk is full.
#![cfg(feature = "disk")]

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use tilekeep::{ErrorKind, TileKey, TileStore, open_store};

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "common/strace.rs"]
mod strace;

fn open(dir: &Path, max: &str) -> Box<dyn TileStore> {
    open_store(&format!("disk:{}?max={max}", dir.display())).unwrap().unwrap()
}

fn key(n: u32) -> TileKey {
    let tile = u128::from(n).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    TileKey { source: u128::from(n % 3), tile: tile ^ (tile >> 67) }
}

/// Bytes that only this key has.
fn value(n: u32, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(n * 97) as u8 ^ (i >> 8) as u8).collect()
}

/// The files of tiles and their lengths.
fn tile_files(dir: &Path) -> Vec<(PathBuf, u64)> {
    fn walk(dir: &Path, depth: usize, found: &mut Vec<(PathBuf, u64)>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => walk(&entry.path(), depth + 1, found),
                Ok(metadata) if depth == 2 => found.push((entry.path(), metadata.len())),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(&dir.join("tilekeep-1"), 0, &mut found);
    found
}

fn bytes_on_disk(dir: &Path) -> u64 {
    tile_files(dir).iter().map(|(_, len)| len.max(&1).div_ceil(4096) * 4096).sum()
}

fn file_of(dir: &Path, n: u32) -> PathBuf {
    let name = format!("{:032x}", key(n).tile);
    let files = tile_files(dir);
    files.into_iter().map(|(path, _)| path).find(|path| path.ends_with(&name)).unwrap()
}

fn leftovers(dir: &Path) -> usize {
    fs::read_dir(dir.join("tilekeep-1/tmp")).map_or(0, Iterator::count)
}

/// This program once more, as `test` with `dir`.
fn again(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env("TILEKEEP_TEST_DIR", dir);
    command
}

fn given_dir() -> Option<PathBuf> {
    std::env::var_os("TILEKEEP_TEST_DIR").map(PathBuf::from)
}

#[test]
fn the_folder_never_holds_more_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let stores = [open(dir.path(), "1M"), open(dir.path(), "1M")];
    for n in 0..400 {
        let len = [10, 5000, 40_000][n as usize % 3];
        stores[n as usize % 2].put(key(n), &value(n, len)).unwrap();
        let bytes = bytes_on_disk(dir.path());
        assert!(bytes <= 1 << 20, "{bytes} after {n}");
        let found = stores[(n as usize + 1) % 2].get(key(n)).unwrap();
        assert!(found.is_none_or(|found| found == value(n, len)));
    }
    // A sweep leaves nine tenths, and one follows only when they were filled again.
    assert!(bytes_on_disk(dir.path()) > (1 << 20) * 8 / 10);
    let error = stores[0].put(key(1), &vec![0; (1 << 20) + 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    stores[0].put(key(1), &vec![7; 1 << 20]).unwrap();
    assert_eq!(tile_files(dir.path()).len(), 1);
}

#[test]
fn the_tiles_unused_for_longest_go_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), "400K");
    for n in 0..100 {
        store.put(key(n), &value(n, 4000)).unwrap();
        // Each three hundredths older than the next: a sweep tells ages apart by a 64th.
        let age = Duration::from_secs_f64(1e5 * 1.03_f64.powi(100 - n as i32));
        let file = File::options().write(true).open(file_of(dir.path(), n)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }
    // The three oldest are used; then one more than fits comes.
    for n in 0..3 {
        assert!(store.get(key(n)).unwrap().is_some());
    }
    store.put(key(100), &value(100, 4000)).unwrap();
    let store = open(dir.path(), "400K");
    let kept: Vec<u32> = (0..=100).filter(|n| store.get(key(*n)).unwrap().is_some()).collect();
    // A tenth is made free: ten files of a hundred.
    let expected: Vec<u32> = (0..3).chain(13..=100).collect();
    assert_eq!(kept, expected);
}

#[test]
fn a_count_that_was_lost_or_is_wrong_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), "100K");
    for n in 0..20 {
        store.put(key(n), &value(n, 4000)).unwrap();
    }
    for damage in [None, Some(&b"garbage"[..])] {
        let path = dir.path().join("tilekeep-1/usage");
        match damage {
            None => fs::remove_file(&path).unwrap(),
            Some(bytes) => fs::write(&path, bytes).unwrap(),
        }
        for n in 20..60 {
            store.put(key(n), &value(n, 4000)).unwrap();
            assert!(bytes_on_disk(dir.path()) <= 100 << 10);
        }
    }
    // Somebody deletes files by hand: there is room for as many again.
    for (path, _) in tile_files(dir.path()) {
        fs::remove_file(path).unwrap();
    }
    for n in 100..125 {
        store.put(key(n), &value(n, 4000)).unwrap();
    }
    assert!(tile_files(dir.path()).len() >= 22);
    // Or all of it.
    fs::remove_dir_all(dir.path().join("tilekeep-1")).unwrap();
    store.put(key(1), b"1").unwrap();
    assert_eq!(store.get(key(1)).unwrap().unwrap(), b"1");
    assert_eq!(store.get(key(101)).unwrap(), None);
}

/// Not a test of its own: writes until it is killed.
#[test]
fn writer() {
    let Some(dir) = given_dir() else { return };
    let store = open(&dir, "4M");
    let start = std::process::id();
    for i in 0.. {
        let n = (start.wrapping_mul(31).wrapping_add(i * 7)) % 60;
        store.put(key(n), &value(n, 1000 + 5000 * n as usize)).unwrap();
        if i == 0 {
            println!("writes");
        }
    }
}

/// Not a test of its own: reads until its input ends, and says how often it found something.
#[test]
fn reader() {
    let Some(dir) = given_dir() else { return };
    let store = open(&dir, "4M");
    let (mut found, mut wrong, mut i) = (0, 0, 0_u32);
    let ended = std::thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
    while !ended.is_finished() {
        let n = i % 60;
        i += 1;
        if let Some(bytes) = store.get(key(n)).unwrap() {
            found += 1;
            wrong += u32::from(bytes != value(n, 1000 + 5000 * n as usize));
        }
    }
    println!("found {found} wrong {wrong}");
}

#[test]
fn writers_that_are_killed_leave_no_wrong_tile() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = again("reader", dir.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let spawn = || again("writer", dir.path()).stdout(Stdio::piped()).spawn().unwrap();
    let wait_until_it_writes = |child: &mut Child| {
        let (mut text, mut byte) = (Vec::new(), [0]);
        while !text.ends_with(b"writes\n") {
            assert_eq!(child.stdout.as_mut().unwrap().read(&mut byte).unwrap(), 1, "a writer died of itself");
            text.push(byte[0]);
        }
    };
    let (mut n_left, mut over) = (0, 0);
    let mut writers = [spawn(), spawn()];
    for kill in 0..200_u64 {
        let writer = &mut writers[kill as usize % 2];
        wait_until_it_writes(writer);
        // Anywhere in what it does.
        std::thread::sleep(Duration::from_micros(kill * 7919 % 10_000));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let theirs = format!("{}-", writer.id());
        let mut left = fs::read_dir(dir.path().join("tilekeep-1/tmp")).unwrap().flatten();
        n_left += usize::from(left.any(|entry| entry.file_name().to_string_lossy().starts_with(&theirs)));
        over += usize::from(bytes_on_disk(dir.path()) > 4 << 20);
        *writer = spawn();
    }
    for writer in &mut writers {
        writer.kill().unwrap();
        writer.wait().unwrap();
    }
    drop(reader.stdin.take());
    let said = String::from_utf8(reader.wait_with_output().unwrap().stdout).unwrap();
    let said = said.lines().find(|line| line.starts_with("found ")).expect("the reader lives");
    let numbers: Vec<u32> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    println!("200 kills, {n_left} in the middle of a write; {said}");
    let [found, wrong] = numbers[..] else { panic!("{said}") };
    assert!(found > 20, "{found}");
    assert_eq!((wrong, over), (0, 0));
    assert!(n_left > 0, "no writer was killed in the middle of a write");

    // Once they are old enough to be nobody's, what was left behind goes.
    for entry in fs::read_dir(dir.path().join("tilekeep-1/tmp")).unwrap() {
        let file = File::options().write(true).open(entry.unwrap().path()).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(10)).unwrap();
    }
    let store = open(dir.path(), "4M");
    assert_eq!(leftovers(dir.path()), 0);
    let found = (0..60).filter(|n| {
        let value = value(*n, 1000 + 5000 * *n as usize);
        store.get(key(*n)).unwrap().is_some_and(|found| {
            assert!(found == value);
            true
        })
    });
    assert!(found.count() > 10);
    for n in 0..60 {
        store.put(key(n), &value(n, 1000 + 5000 * n as usize)).unwrap();
    }
    assert!(bytes_on_disk(dir.path()) <= 4 << 20);
}

/// Not a test of its own: runs where files may not be larger than 64 KiB.
#[test]
fn where_files_are_bounded() {
    let Some(dir) = given_dir() else { return };
    let store = open(&dir, "1G");
    store.put(key(1), &value(1, 5000)).unwrap();
    let error = store.put(key(2), &value(2, 500_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store, "{error}");
    assert_eq!(store.get(key(2)).unwrap(), None);
    assert!(store.get(key(1)).unwrap().unwrap() == value(1, 5000));
    assert_eq!(leftovers(&dir), 0);
}

#[cfg(unix)]
#[test]
fn a_write_that_fails_in_the_middle_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    // The signal that would end the process is ignored; the write fails then.
    let script = "trap '' XFSZ; ulimit -f 128; exec \"$0\" --exact where_files_are_bounded";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(program).env("TILEKEEP_TEST_DIR", dir.path());
    // Through a pipe: what it says may go to a file that is larger than that already.
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(tile_files(dir.path()).len(), 1);
}

/// Not a test of its own: runs where the folder is a file system of 1 MiB.
#[test]
fn where_the_disk_is_small() {
    let Some(dir) = given_dir() else { return };
    let store = open(&dir, "1G");
    let results: Vec<_> = (0..60).map(|n| store.put(key(n), &value(n, 50_000))).collect();
    let n_stored = results.iter().take_while(|result| result.is_ok()).count();
    assert!((5..30).contains(&n_stored), "{n_stored}");
    let error = results[n_stored].clone().unwrap_err();
    assert_eq!((error.kind(), error.message().contains("No space")), (ErrorKind::Store, true), "{error}");
    for n in 0..60 {
        let found = store.get(key(n)).unwrap();
        assert!(found == results[n as usize].is_ok().then(|| value(n, 50_000)), "{n}");
    }
    // What is forgotten makes room.
    store.remove_source(0).unwrap();
    store.put(key(61), &value(61, 50_000)).unwrap();
    assert!(Command::new("mount").args(["-o", "remount,ro"]).arg(&dir).status().unwrap().success());
    let reopened = open(&dir, "1G");
    for store in [&store, &reopened] {
        assert_eq!(store.put(key(70), b"x").unwrap_err().kind(), ErrorKind::Store);
        assert_eq!(store.remove(key(61)).unwrap_err().kind(), ErrorKind::Store);
        assert!(store.get(key(61)).unwrap().unwrap() == value(61, 50_000));
        assert_eq!(store.get(key(70)).unwrap(), None);
    }
    println!("a small disk was filled");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_or_read_only_disk_is_an_error_and_what_is_there_is_found() {
    let dir = tempfile::tempdir().unwrap();
    // Mounted for the child alone, and gone with it. Not everybody may.
    let script = "mount -t tmpfs -o size=1m none \"$TILEKEEP_TEST_DIR\" || exit 0; \
                  exec \"$0\" --exact where_the_disk_is_small --nocapture";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(std::env::current_exe().unwrap());
    let Ok(done) = command.env("TILEKEEP_TEST_DIR", dir.path()).output() else { return };
    let said = String::from_utf8_lossy(&done.stdout);
    if said.contains("running 1 test") {
        assert!(said.contains("a small disk was filled"), "{said}{}", String::from_utf8_lossy(&done.stderr));
    } else {
        eprintln!("SKIPPED: nothing can be mounted here");
    }
}

/// Not a test of its own: asks for tiles that are not there.
#[test]
fn asks_for_what_is_absent() {
    let Some(dir) = given_dir() else { return };
    let store = open(&dir, "1G");
    let mut absent: Vec<TileKey> = Vec::new();
    for n in 0..2000_u32 {
        let key = TileKey { source: 1, tile: u128::from(n) << 8 | u128::from(n % 4) };
        absent.push(key);
    }
    for key in &absent[..4] {
        assert_eq!(store.get(*key).unwrap(), None);
    }
    strace::mark(strace::BEGIN);
    for key in absent.iter().cycle().take(100_000) {
        assert_eq!(store.get(*key).unwrap(), None);
    }
    strace::mark(strace::END);
}

#[cfg(target_os = "linux")]
#[test]
fn a_tile_that_is_not_there_costs_no_system_call() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), "1G").put(TileKey { source: 1, tile: 0xFF << 32 }, b"x").unwrap();
    let Some(trace) = strace::trace("asks_for_what_is_absent", "TILEKEEP_TEST_DIR", dir.path()) else { return };
    let calls: Vec<_> = trace.between().iter().filter(|line| line.contains("tilekeep-1")).collect();
    // Four folders, looked at once a second at most; on a busy machine it may take a few.
    assert!(calls.len() <= 40, "{} calls for 100,000 questions: {:?}", calls.len(), &calls[..10]);
    assert!(calls.iter().all(|call| call.contains("stat")), "{calls:?}");
}
