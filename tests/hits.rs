//! A block in memory is lent, and a tile in memory found, without a system call and without an allocation.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

use tiff_writer::{Blocks, Format, Image, TiffWriter};
use tilekeep::{
    CachePolicy, Dataset, Encoding, MemorySource, OpenOptions, SampleType, Style, TileRequest, Window, WindowRequest,
    clear_tile_cache,
};

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "common/strace.rs"]
mod strace;

#[path = "../examples/support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

/// Counts the allocations of the thread that asks for it; the test runner's other threads do not disturb.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is going away does not count any more.
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
}

#[expect(unsafe_code, reason = "an allocator that counts must be an allocator")]
// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: forwarded.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: forwarded.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: forwarded.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: forwarded.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn png_file(path: &Path) {
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), 1000, 3000);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&vec![77; 1000 * 3000 * 3]).unwrap();
}

/// The same pixels in strips that can be lent as they are.
fn tiff_file(path: &Path) {
    let image = Image { n_bands: 3, blocks: Blocks::Strips(349), ..Image::new(1000, 3000) };
    let mut writer = TiffWriter::new(std::fs::File::create(path).unwrap(), Format::default()).unwrap();
    writer.image(&image, |_, _, row| Some(vec![77; 3000 * image.stored_rows(row) as usize])).unwrap();
    writer.finish().unwrap();
}

#[expect(unsafe_code, reason = "mapping a file takes a promise")]
fn open(path: &Path) -> Dataset {
    let options = OpenOptions::default();
    let is_tiff = path.extension().is_some_and(|e| e == "tif");
    // SAFETY: the file was written before it is opened, and is let alone afterwards.
    let options = if is_tiff { unsafe { options.access_map() } } else { options };
    Dataset::open_with(path, &options).unwrap()
}

/// Locks every block of level 0, copies one out, again and again.
fn hit(dataset: &Dataset, n: u32, pixels: &mut [u8]) {
    let rows = dataset.levels()[0].rows();
    for i in 0..n {
        let block = dataset.lock_block((0, 0, i % rows)).unwrap();
        assert_eq!(block.bytes()[0], 77);
        drop(block);
        drop(dataset.block((0, 0, i % rows)).unwrap().into_shared());
        dataset.read_block((0, 0, i % rows), pixels).unwrap();
    }
}

#[test]
fn a_hit_allocates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture.png");
    png_file(&path);
    let (dataset, mut pixels) = (open(&path), vec![0; 1000 * 3000 * 3]);
    let rows = dataset.levels()[0].rows();
    assert!(rows > 3);
    hit(&dataset, rows, &mut pixels);
    let (loads, before) = (dataset.stats().loads, ALLOCATIONS.get());
    hit(&dataset, 1000, &mut pixels);
    assert_eq!((ALLOCATIONS.get() - before, dataset.stats().loads - loads), (0, 0));
    // And the counter counts.
    dataset.evict_all();
    hit(&dataset, 1, &mut pixels);
    assert!(ALLOCATIONS.get() > before);
}

#[test]
fn a_block_of_a_mapped_file_is_lent_without_an_allocation() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture.tif");
    tiff_file(&path);
    let (dataset, mut pixels) = (open(&path), vec![0; 1000 * 3000 * 3]);
    // The first one reads the arrays of offsets.
    hit(&dataset, 1, &mut pixels);
    let before = ALLOCATIONS.get();
    hit(&dataset, 1000, &mut pixels);
    assert_eq!((ALLOCATIONS.get() - before, dataset.stats().loads, dataset.stats().mapped), (0, 0, 3003));
}

/// The policy follows hits most closely when room is scarce.
#[test]
fn a_hit_allocates_nothing_when_the_cache_is_full_either() {
    for policy in CachePolicy::ALL.into_iter().filter(|policy| *policy != CachePolicy::None) {
        let source = MemorySource::new(64 * 8, 64 * 8, 1, SampleType::U8, (8, 8), vec![77; 64 * 8 * 64 * 8]).unwrap();
        let options = OpenOptions::default().cache_max_bytes(1500 * (64 + Dataset::BLOCK_OVERHEAD));
        let dataset = Dataset::from_source(source, &options.cache_policy(policy)).unwrap();
        let read = |blocks: std::ops::Range<u32>| {
            let before = (dataset.stats().loads, ALLOCATIONS.get());
            blocks.for_each(|i| drop(dataset.lock_block((0, i % 64, i / 64)).unwrap()));
            (dataset.stats().loads - before.0, ALLOCATIONS.get() - before.1)
        };
        for _ in 0..3 {
            read(0..4096);
            read(3000..4000);
        }
        let mut hits = 0;
        for _ in 0..20 {
            for block in 3000..4000 {
                let (loads, allocations) = read(block..block + 1);
                assert!(loads > 0 || allocations == 0, "{policy:?}");
                hits += u64::from(loads == 0);
            }
        }
        assert!(hits > 10_000, "{policy:?}: {hits}");
    }
}

/// Tiles of every look that there is.
fn tile_requests() -> Vec<TileRequest> {
    let style = |text: &str| Style::parse(text).unwrap();
    let tile = TileRequest::new(0, 1, 1).encoding(Encoding::jpeg(80));
    vec![
        tile.clone(),
        tile.clone().encoding(Encoding::Png).bands([2, 1, 0]),
        tile.clone().range(10.0, 200.0),
        tile.clone().encoding(Encoding::Raw).range(10.0, 200.0).bands([1]),
        tile.clone().style(style(r#"{"band": 2, "min": 0, "max": 255, "palette": "viridis"}"#)),
        tile.style(style("{}")),
    ]
}

fn read_tiles(dataset: &Dataset, requests: &[TileRequest], n: u32) {
    for request in (0..n).flat_map(|_| requests) {
        assert!(!dataset.read_tile(request).unwrap().bytes.is_empty());
    }
}

#[test]
fn a_tile_in_memory_is_found_without_an_allocation() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture.png");
    png_file(&path);
    let (dataset, requests) = (open(&path), tile_requests());
    read_tiles(&dataset, &requests, 2);
    let before = ALLOCATIONS.get();
    read_tiles(&dataset, &requests, 1000);
    assert_eq!(ALLOCATIONS.get() - before, 0);
    clear_tile_cache();
    read_tiles(&dataset, &requests, 1);
    assert!(ALLOCATIONS.get() > before);
}

const CHILD: &str = "TILEKEEP_TEST_FILE_TO_HIT";

/// The other half of the next test: runs in a process of its own, watched from outside. The two look-ups of files that
/// do not exist mark in the trace where the hits begin and end.
#[test]
fn hits_between_two_marks() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let (dataset, mut pixels) = (open(path.as_ref()), vec![0; 1000 * 3000 * 3]);
    let (window, tiles) = (WindowRequest::new(0, Window::new(10, 10, 500, 2000)), tile_requests());
    hit(&dataset, 100, &mut pixels);
    dataset.read_window(&window, &mut pixels).unwrap();
    read_tiles(&dataset, &tiles, 2);
    strace::mark(strace::BEGIN);
    hit(&dataset, 1000, &mut pixels);
    dataset.read_window(&window, &mut pixels).unwrap();
    read_tiles(&dataset, &tiles, 1000);
    strace::mark(strace::END);
}

#[test]
fn a_hit_makes_no_system_call() {
    no_system_call("picture.png", png_file);
}

#[test]
fn a_block_of_a_mapped_file_is_lent_without_a_system_call() {
    no_system_call("picture.tif", tiff_file);
}

fn no_system_call(name: &str, write: impl Fn(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    write(&path);
    let Some(trace) = strace::trace("hits_between_two_marks", CHILD, &path) else { return };
    assert!(trace.of_the_test().is_empty(), "{:#?}", trace.of_the_test());
    // What the trace would have shown.
    let opened = trace.since_opened(&path);
    let reads = opened.iter().filter(|line| line.contains("pread64")).count();
    assert_eq!(reads > 0, name.ends_with("png"), "{opened:#?}");
}
