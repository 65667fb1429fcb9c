//! Files that are opened again: shared while they are open, known when they were closed, noticed when they changed.
//!
//! The catalog is the process's, so that the tests take turns.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use goods::{jpeg_file, png_file};
use tempfile::TempDir;
use tiff_writer::{Blocks, Format, Image, TiffWriter};
use tilekeep::{
    CachePolicy, Dataset, ErrorKind, OpenOptions, Sidecars, TrimLevel, catalog_max, catalog_stats, forget,
    process_stats, set_catalog_max, trim,
};

#[path = "common/goods.rs"]
mod goods;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "common/strace.rs"]
mod strace;

#[allow(dead_code)]
#[path = "../examples/support/tiff_writer.rs"]
mod tiff_writer;

/// Counts what the thread that asks allocates, and what it holds; the test runner's other threads do not disturb.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<i64> = const { Cell::new(0) };
}

fn count(allocations: u64, bytes: i64) {
    // A thread that is going away does not count any more.
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + allocations));
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

#[expect(unsafe_code, reason = "an allocator that counts must be an allocator")]
// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: forwarded.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: forwarded.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size as i64 - layout.size() as i64);
        // SAFETY: forwarded.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: forwarded.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test at a time, with nothing in the catalog.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    trim(TrimLevel::All);
    turn
}

/// A file of 2 x 2 tiles, all bytes `value`.
fn write(path: &Path, value: u8) {
    write_pages(path, &[value]);
}

/// A file of such pictures.
fn write_pages(path: &Path, values: &[u8]) {
    let image = Image { blocks: Blocks::Tiles(64, 64), ..Image::new(128, 128) };
    let mut writer = TiffWriter::new(File::create(path).unwrap(), Format::default()).unwrap();
    for value in values {
        writer.image(&image, |_, _, _| Some(vec![*value; 64 * 64])).unwrap();
    }
    writer.finish().unwrap();
}

/// Makes a file old enough to be told from what it may become.
fn age(path: &Path) {
    let before = SystemTime::now() - Duration::new(3600, 1);
    File::options().write(true).open(path).unwrap().set_modified(before).unwrap();
}

fn folder() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("raster.tif");
    write(&path, 7);
    age(&path);
    (dir, path)
}

fn value(dataset: &Dataset) -> u8 {
    let block = dataset.block((0, 1, 1)).unwrap();
    assert!(block.bytes().iter().all(|byte| *byte == block.bytes()[0]));
    block.bytes()[0]
}

/// Whether both are one dataset: a block that one of them reads is there for the other one.
fn are_one(a: &Dataset, b: &Dataset) -> bool {
    a.evict_all();
    b.evict_all();
    let before = b.stats().loads;
    value(a);
    b.stats().loads == before + 1
}

#[test]
fn a_file_that_is_rewritten_at_once_is_another_one() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("raster.tif");
    for number in 0..200_u8 {
        write(&path, number);
        let before = Dataset::open(&path).unwrap();
        assert_eq!(value(&before), number);
        write(&path, 255 - number);
        let after = Dataset::open(&path).unwrap();
        assert_eq!(value(&after), 255 - number);
        assert!(before.identity() != after.identity());
        assert!(before.identity().unwrap().hash() != after.identity().unwrap().hash());
        assert_eq!(before.revalidate().unwrap_err().kind(), ErrorKind::Changed);
        drop((before, after));
        assert_eq!(value(&Dataset::open(&path).unwrap()), 255 - number);
    }
    // Replaced by another file of the same size and time.
    let (_dir, path) = folder();
    let before = Dataset::open(&path).unwrap();
    let (other, modified) = (path.with_extension("new"), fs::metadata(&path).unwrap().modified().unwrap());
    write(&other, 8);
    File::options().write(true).open(&other).unwrap().set_modified(modified).unwrap();
    fs::rename(&other, &path).unwrap();
    let after = Dataset::open(&path).unwrap();
    assert_eq!((value(&before), value(&after)), (7, 8));
}

#[test]
fn those_who_open_a_file_with_equal_options_have_one_dataset() {
    let _turn = turn();
    let (_dir, path) = folder();
    let first = Dataset::open(&path).unwrap();
    let second = Dataset::open_with(&path, &OpenOptions::default()).unwrap();
    assert!(are_one(&first, &second));
    assert_eq!(first.identity(), second.identity());
    for other in [
        OpenOptions::default().shared(false),
        OpenOptions::default().cache_max_bytes(1 << 20),
        OpenOptions::default().cache_policy(CachePolicy::Lru),
        OpenOptions::default().sidecars(Sidecars::Ignore),
    ] {
        let other = Dataset::open_with(&path, &other).unwrap();
        assert!(!are_one(&first, &other) && value(&other) == 7);
    }
    assert!(are_one(&first, &Dataset::open(&path).unwrap()));
    // Whoever changes the budget does not change it for those who come later.
    first.set_cache_max(0);
    let later = Dataset::open(&path).unwrap();
    assert!(later.cache_max() > 0 && !are_one(&first, &later) && are_one(&first, &second));
    later.set_cache_policy(CachePolicy::None);
    let last = Dataset::open(&path).unwrap();
    value(&last);
    // That it is a copy of what the system keeps is why it may not be kept at first.
    value(&last);
    assert_eq!((value(&last), last.stats().entries), (7, 1), "{:?}", last.stats());
}

#[cfg(unix)]
#[test]
fn a_file_under_two_names_is_one_dataset() {
    let _turn = turn();
    let (dir, path) = folder();
    let link = dir.path().join("link.tif");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let (direct, by_link) = (Dataset::open(&path).unwrap(), Dataset::open(&link).unwrap());
    assert!(are_one(&direct, &by_link));
    // The link leads somewhere else: another file.
    let other = dir.path().join("other.tif");
    write(&other, 9);
    age(&other);
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&other, &link).unwrap();
    assert_eq!(value(&Dataset::open(&link).unwrap()), 9);
    assert_eq!(value(&Dataset::open(&path).unwrap()), 7);
}

#[test]
fn of_all_who_open_a_file_at_once_one_parses_it() {
    let _turn = turn();
    let (_dir, path) = folder();
    for _ in 0..20 {
        forget(&path);
        let (before, start) = (catalog_stats(), Barrier::new(8));
        std::thread::scope(|scope| {
            let open = || {
                start.wait();
                Dataset::open(&path).unwrap()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            let datasets: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert!(datasets.iter().all(|dataset| are_one(&datasets[0], dataset)));
        });
        let after = catalog_stats();
        assert_eq!((after.misses - before.misses, after.hits - before.hits), (1, 7));
    }
}

#[test]
fn a_closed_file_is_known_without_a_block_and_without_a_descriptor() {
    let _turn = turn();
    let (_dir, path) = folder();
    let before = catalog_stats();
    let dataset = Dataset::open(&path).unwrap();
    drop(dataset.lock_block((0, 1, 1)).unwrap());
    assert_eq!(dataset.stats().entries, 1);
    let open = catalog_stats();
    assert_eq!((open.entries, open.closed, open.open_files), (1, 0, before.open_files + 1));
    let held = process_stats().datasets.pixel_bytes;
    drop(dataset);
    let closed = catalog_stats();
    assert_eq!((closed.entries, closed.closed, closed.open_files), (1, 1, before.open_files));
    assert!(closed.bytes > 500 && closed.bytes < 10_000, "{closed:?}");
    assert!(process_stats().metadata_bytes >= closed.bytes);
    assert!(process_stats().datasets.pixel_bytes < held);
    #[cfg(target_os = "linux")]
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        // The one that the folder is read by is gone by now.
        assert!(fs::read_link(entry.unwrap().path()).is_ok_and(|link| link != path));
    }
    let again = Dataset::open(&path).unwrap();
    assert_eq!((value(&again), again.stats().loads, again.stats().hits), (7, 1, 0));
    assert_eq!((catalog_stats().hits, catalog_stats().misses), (before.hits + 1, before.misses + 1));
    drop(again);

    // Nothing is known of those that failed, and of more than there is room for.
    let max = catalog_max();
    set_catalog_max(closed.bytes / 2);
    assert_eq!((catalog_stats().entries, catalog_stats().evictions), (0, closed.evictions + 1));
    drop(Dataset::open(&path).unwrap());
    assert_eq!(catalog_stats().entries, 0);
    set_catalog_max(max);
    let broken = path.with_extension("broken");
    fs::write(&broken, b"II*\0\x08\0\0\0").unwrap();
    age(&broken);
    for _ in 0..2 {
        assert!(Dataset::open(&broken).is_err());
    }
    assert_eq!((catalog_stats().entries, catalog_stats().misses), (0, before.misses + 4));
}

#[test]
fn what_was_parsed_of_each_page_is_known_when_all_are_closed() {
    let _turn = turn();
    let (_dir, path) = folder();
    write_pages(&path, &[5, 6, 7]);
    age(&path);
    // By their numbers, for alike pictures are the frames of one dataset where no number is given.
    let open = |page| Dataset::open_with(&path, &OpenOptions::default().page(page)).unwrap();
    let before = catalog_stats();
    drop([0, 1, 2].map(open));
    let parsed = catalog_stats();
    assert_eq!((parsed.hits - before.hits, parsed.misses - before.misses, parsed.closed), (0, 3, 3));
    assert_eq!([2, 1, 0].map(|page| value(&open(page))), [7, 6, 5]);
    let again = catalog_stats();
    assert_eq!((again.hits - parsed.hits, again.misses - parsed.misses), (3, 0));
}

#[expect(unsafe_code, reason = "mapping a file takes a promise")]
#[test]
fn a_mapped_file_is_not_held_when_it_was_closed() {
    let _turn = turn();
    let (_dir, path) = folder();
    // SAFETY: the file is let alone while it is open.
    let options = unsafe { OpenOptions::default().access_map() };
    let (first, second) = (Dataset::open_with(&path, &options).unwrap(), Dataset::open_with(&path, &options).unwrap());
    value(&first);
    assert_eq!(second.stats().mapped, 1, "it is shared like others");
    drop((first, second));
    assert_eq!(catalog_stats().entries, 0);
}

#[test]
fn revalidating_tells_whether_the_files_are_those_that_were_opened() {
    let _turn = turn();
    let (dir, path) = folder();
    let beside = dir.path().join("raster.tif.aux.xml");
    let pam = |unit: &str| {
        let text =
            format!("<PAMDataset><PAMRasterBand band=\"1\"><UnitType>{unit}</UnitType></PAMRasterBand></PAMDataset>");
        fs::write(&beside, text).unwrap();
        age(&beside);
    };
    let unit = |dataset: &Dataset| dataset.info().bands[0].unit.clone();
    pam("m");
    let dataset = Dataset::open(&path).unwrap();
    for _ in 0..3 {
        dataset.revalidate().unwrap();
    }
    // Opening looks at the raster alone, but for those who look again.
    pam("feet");
    let old = Dataset::open(&path).unwrap();
    assert_eq!(unit(&old), "m");
    let error = dataset.revalidate().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed);
    assert!(error.message().contains("raster.tif.aux.xml"), "{error}");
    assert_eq!(unit(&Dataset::open(&path).unwrap()), "feet");
    assert!(are_one(&dataset, &old));
    drop((dataset, old));
    assert_eq!(unit(&Dataset::open(&path).unwrap()), "feet", "what was closed last was not what is there");

    // What nobody read is not missed; `forget` lets it be found.
    let dataset = Dataset::open(&path).unwrap();
    fs::write(dir.path().join("raster.tfw"), "2\n0\n0\n-2\n1\n1\n").unwrap();
    dataset.revalidate().unwrap();
    assert!(Dataset::open(&path).unwrap().info().geotransform.is_none());
    forget(&path);
    assert!(Dataset::open(&path).unwrap().info().geotransform.is_some());

    fs::remove_file(&beside).unwrap();
    assert_eq!(dataset.revalidate().unwrap_err().kind(), ErrorKind::Changed);
    let dataset = Dataset::open_with(&path, &OpenOptions::default().sidecars(Sidecars::Ignore)).unwrap();
    dataset.revalidate().unwrap();
    write(&path, 8);
    age(&path);
    assert_eq!(dataset.revalidate().unwrap_err().kind(), ErrorKind::Changed);
    fs::remove_file(&path).unwrap();
    let error = dataset.revalidate().unwrap_err();
    assert!(error.kind() == ErrorKind::Changed && error.message().contains("gone"), "{error}");
    assert_eq!(Dataset::open(&path).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn what_a_closed_file_counts_is_about_what_it_takes() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let tiff = |name: &str, images: &[Image], is_stored: &dyn Fn(u32, u32) -> bool| {
        let mut writer = TiffWriter::new(File::create(path(name)).unwrap(), Format::default()).unwrap();
        for image in images {
            let (width, height) = image.block_size();
            let block = vec![1; width as usize * height as usize];
            writer.image(image, |_, col, row| is_stored(col, row).then(|| block.clone())).unwrap();
        }
        writer.finish().unwrap();
    };
    let tiles = |side| Image { blocks: Blocks::Tiles(16, 16), ..Image::new(side, side) };
    tiff("plain.tif", &[tiles(64)], &|_, _| true);
    tiff("tiles.tif", &[tiles(16 * 1000)], &|col, row| (col + row) % 100 == 0);
    tiff("directories.tif", &vec![tiles(32); 300], &|_, _| true);
    let item = |i| format!("<Item name=\"name of item {i}\">what is said in item number {i}</Item>");
    let words: String = (0..500).map(item).collect();
    let words = Image { gdal_metadata: Some(format!("<GDALMetadata>{words}</GDALMetadata>")), ..tiles(64) };
    tiff("words.tif", &[words], &|_, _| true);
    fs::write(path("picture.png"), png_file(png::ColorType::Rgba, png::BitDepth::Eight).bytes).unwrap();
    fs::write(path("picture.jpg"), jpeg_file("colour", 3, |_| {}).bytes).unwrap();
    for (name, n_blocks) in [
        ("plain.tif", 1),
        ("tiles.tif", 1),
        ("tiles.tif", 1000),
        ("directories.tif", 1),
        ("words.tif", 1),
        ("picture.png", 1),
        ("picture.jpg", 1),
    ] {
        let path = path(name);
        age(&path);
        let use_it = || {
            let dataset = Dataset::open(&path).unwrap();
            for row in 0..n_blocks {
                dataset.block((0, 0, row)).unwrap();
            }
        };
        // Once before, for what the process sets up once and what tables grow by.
        use_it();
        trim(TrimLevel::All);
        let (before, held) = (catalog_stats(), HELD.get());
        use_it();
        let counted = (catalog_stats().bytes - before.bytes) as f64;
        let taken = (HELD.get() - held) as f64;
        println!("{name}, {n_blocks} blocks read: {counted} bytes counted, {taken} taken");
        assert!((0.5..=2.0).contains(&(counted / taken)), "{name}: {counted} bytes counted, {taken} taken");
    }
}

#[test]
fn opening_again_allocates_as_little_among_many_known_files_as_among_few() {
    let _turn = turn();
    let (dir, path) = folder();
    set_catalog_max(1 << 30);
    let allocations = |path: &Path| {
        let before = ALLOCATIONS.get();
        drop(Dataset::open(path).unwrap());
        ALLOCATIONS.get() - before
    };
    let most = |paths: &[PathBuf]| paths.iter().map(|path| allocations(path)).max().unwrap();
    let mut paths = Vec::new();
    let mut add = |n: usize| {
        for number in paths.len()..n {
            let link = dir.path().join(format!("{number:06}.tif"));
            fs::hard_link(&path, &link).unwrap();
            drop(Dataset::open(&link).unwrap());
            paths.push(link);
        }
        paths.clone()
    };
    let few = most(&add(10));
    let many = most(&add(20_000));
    assert_eq!(catalog_stats().closed, 20_000);
    println!("{few} allocations among 10 known files, {many} among 20,000");
    // Tables that are put in order again after many were taken out and put in may count.
    assert!(many <= few + 1 && few < 200, "{few} {many}");
    set_catalog_max(64 << 20);
}

const CHILD: &str = "TILEKEEP_TEST_FILE_TO_OPEN_AGAIN";

/// The other half of the next test: runs in a process of its own, watched from outside. The look-ups of files that do not
/// exist mark in the trace where opening begins and ends.
#[test]
fn opening_again_between_two_marks() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    // For what is set up once in a process, and what its memory grows by.
    (0..10).for_each(|_| assert_eq!(value(&Dataset::open(&path).unwrap()), 7));
    strace::mark(strace::BEGIN);
    let dataset = Dataset::open(&path).unwrap();
    strace::mark(strace::END);
    println!("{:?}", dataset.info().epsg());
}

#[test]
fn opening_again_is_one_look() {
    let (_dir, path) = folder();
    let world = path.with_extension("tfw");
    fs::write(&world, "2\n0\n0\n-2\n1\n1\n").unwrap();
    // As old as the raster: what lies beside it is part of what is known again.
    let old = fs::metadata(&path).unwrap().modified().unwrap();
    File::options().write(true).open(&world).unwrap().set_modified(old).unwrap();
    let Some(trace) = strace::trace("opening_again_between_two_marks", CHILD, &path) else { return };
    // What memory grows by is not asked of the file.
    let of_memory = ["brk(", "mmap(", "mprotect(", "munmap(", "madvise("];
    let is_of_memory = |call: &&str| of_memory.iter().any(|name| call.contains(name));
    let calls: Vec<&str> = trace.of_the_test().into_iter().filter(|call| !is_of_memory(call)).collect();
    assert_eq!(calls.len(), 1, "{calls:#?}");
    assert!(calls[0].contains("stat") && calls[0].contains("raster.tif"), "{calls:#?}");
}
