//! Far more datasets than files that may be open.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use tiff_writer::{Blocks, Format, Image, TiffWriter};
use tilekeep::{Dataset, OpenOptions, OsCache, max_open_files, set_max_open_files};

#[allow(dead_code)]
#[path = "../examples/support/tiff_writer.rs"]
mod tiff_writer;

const N_FILES: u32 = 1000;
const CHILD: &str = "TILEKEEP_TEST_FOLDER_OF_MANY";

/// A file of 2 x 2 tiles, each of which has bytes that no other tile of any file has in this order.
fn write(path: &Path, number: u32) {
    let image = Image { blocks: Blocks::Tiles(16, 16), ..Image::new(32, 32) };
    let mut writer = TiffWriter::new(File::create(path).unwrap(), Format::default()).unwrap();
    writer.image(&image, |_, col, row| Some(tile(number, col, row))).unwrap();
    writer.finish().unwrap();
}

fn tile(number: u32, col: u32, row: u32) -> Vec<u8> {
    (number * 4 + row * 2 + col).to_le_bytes().iter().copied().cycle().take(256).collect()
}

fn n_open() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// The other half of the next test: runs in a process that may have 100 files open.
#[test]
fn many_datasets_in_a_process_of_few_files() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let path = |number: u32| Path::new(&dir).join(format!("{number}.tif"));
    let (mut datasets, mut most) = (Vec::new(), 0);
    for number in 0..N_FILES {
        let os_cache = if number % 2 == 0 { OsCache::Keep } else { OsCache::Drop };
        let options = OpenOptions::default().cache_max_bytes(0).os_cache(os_cache);
        datasets.push(Dataset::open_with(path(number), &options).unwrap());
    }
    for (col, row) in [(0, 0), (1, 1), (1, 0), (0, 1)] {
        for (dataset, number) in datasets.iter().zip(0..) {
            assert_eq!(dataset.block((0, col, row)).unwrap().bytes(), tile(number, col, row), "{number}");
        }
        most = most.max(n_open());
    }
    // The program needs some of its own.
    assert!(most <= max_open_files() + 16, "{most} files are open");

    // A file of the program's own that takes the last place: others make room.
    set_max_open_files(1000);
    let mut own = Vec::new();
    while let Ok(file) = File::open(path(0)) {
        own.push(file);
    }
    // Nothing of ours may be open for that to be hard; one place is enough.
    own.truncate(own.len().saturating_sub(2));
    for (dataset, number) in datasets.iter().zip(0..) {
        assert_eq!(dataset.block((0, 1, 0)).unwrap().bytes(), tile(number, 1, 0), "{number}");
    }
    drop(own);
    set_max_open_files(0);
    assert_eq!(datasets[7].block((0, 1, 0)).unwrap().bytes(), tile(7, 1, 0));
    let idle = n_open();
    assert!(idle <= 16, "{idle} files are open");
    println!("{most} files were open at most");
}

#[cfg(target_os = "linux")]
#[test]
fn a_thousand_datasets_are_read_round_robin_by_a_process_that_may_have_a_hundred_files_open() {
    let dir = tempfile::tempdir().unwrap();
    (0..N_FILES).for_each(|number| write(&dir.path().join(format!("{number}.tif")), number));
    let child = Command::new("sh")
        .args(["-c", "ulimit -n 100; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "many_datasets_in_a_process_of_few_files", "--test-threads", "1", "--nocapture"])
        .env(CHILD, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    assert!(said.contains("files were open at most"), "{said}");
}
