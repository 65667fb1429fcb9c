//! The operating system's cache and ours: blocks lent from a mapped file or by a client's source, and bytes let go.

use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tiff_writer::{Blocks, Compression, Format, Image, Kind, Order, TiffWriter, Values};
use tilekeep::{
    Access, BlockId, CachePolicy, Dataset, Error, ErrorKind, LentBytes, Level, MemorySource, OpenOptions, OsCache,
    ReadContext, Result, SampleType, SourceInfo, TileSource, Window, WindowRequest, check_block, conformance,
};

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "common/strace.rs"]
mod strace;

#[path = "../examples/support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

#[expect(unsafe_code, reason = "mapping a file takes a promise")]
fn mapped() -> OpenOptions {
    // SAFETY: the tests write their files before they open them, and keep them to themselves.
    unsafe { OpenOptions::default().access_map() }
}

/// The bytes of the block of an image: nothing that repeats, and other bytes in every block.
fn block_bytes(image: &Image, plane: u16, col: u32, row: u32) -> Vec<u8> {
    let pixels = image.block_size().0 as usize * image.stored_rows(row) as usize;
    let mut state = u64::from(plane) << 40 | u64::from(col) << 20 | u64::from(row);
    let mut bytes = Vec::with_capacity(pixels * image.bands_in_block() * image.kind.bytes());
    while bytes.len() < bytes.capacity() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.push((state >> 56) as u8);
    }
    bytes
}

fn write(path: &Path, format: Format, images: &[Image]) {
    let mut writer = TiffWriter::new(BufWriter::new(File::create(path).unwrap()), format).unwrap();
    for image in images {
        writer.image(image, |plane, col, row| Some(block_bytes(image, plane, col, row))).unwrap();
    }
    writer.finish().unwrap();
}

/// Every pixel of a level.
fn pixels(dataset: &Dataset, level: u32) -> Result<Vec<u8>> {
    let request = WindowRequest::new(level, dataset.level(level)?.window());
    let mut pixels = vec![0xA5; dataset.window_bytes(&request)?];
    dataset.read_window(&request, &mut pixels)?;
    Ok(pixels)
}

fn all_blocks(dataset: &Dataset, level: u32) -> Vec<BlockId> {
    let grid = dataset.levels()[level as usize];
    let planes = 0..dataset.info().n_planes();
    let place =
        |plane: u32| (0..grid.rows()).flat_map(move |row| (0..grid.cols()).map(move |col| (level, col, row, plane)));
    planes.flat_map(place).map(|(level, col, row, plane)| BlockId::new(level, col, row).with_plane(plane)).collect()
}

fn u16_tiles() -> Image {
    Image { blocks: Blocks::Tiles(64, 64), kind: Kind::U16, ..Image::new(200, 150) }
}

/// The parts of this process's memory in which the file at `path` is mapped.
#[cfg(target_os = "linux")]
fn mappings(path: &Path) -> Vec<Range<usize>> {
    let path = path.canonicalize().unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let ours = maps.lines().filter(|line| line.ends_with(path.to_str().unwrap()));
    ours.map(|line| {
        let (start, end) = line.split_whitespace().next().unwrap().split_once('-').unwrap();
        let number = |text| usize::from_str_radix(text, 16).unwrap();
        number(start)..number(end)
    })
    .collect()
}

#[test]
#[cfg(target_os = "linux")]
fn a_block_is_lent_from_the_mapping_and_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plain.tif");
    write(&path, Format::default(), &[u16_tiles()]);
    let dataset = Dataset::open_with(&path, &mapped().cache_max_bytes(0)).unwrap();
    let [map] = mappings(&path).try_into().unwrap();
    let blocks = all_blocks(&dataset, 0);
    for at in &blocks {
        let (first, second) = (dataset.lock_block(*at).unwrap(), dataset.block(*at).unwrap());
        assert!(first.is_mapped() && !first.is_cached());
        assert_eq!(first.bytes().as_ptr(), second.bytes().as_ptr());
        let bytes = first.bytes().as_ptr_range();
        assert!(map.contains(&bytes.start.addr()) && bytes.end.addr() <= map.end);
        assert_eq!(first.bytes(), block_bytes(&u16_tiles(), 0, at.col, at.row));
    }
    pixels(&dataset, 0).unwrap();
    let stats = dataset.stats();
    assert_eq!(stats.mapped, 3 * blocks.len() as u64);
    assert_eq!(
        (stats.hits, stats.misses, stats.loads, stats.entries, stats.bytes, stats.pixel_bytes, stats.locked_bytes),
        (0, 0, 0, 0, 0, 0, 0)
    );
}

#[test]
fn every_uncompressed_variant_has_the_same_pixels_mapped_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.tif");
    let (mut n_lent, mut n_read) = (0, 0);
    for kind in Kind::ALL {
        for blocks in [Blocks::Tiles(32, 48), Blocks::Strips(7), Blocks::Strips(61)] {
            for (n_bands, planar) in [(1, false), (3, false), (3, true)] {
                for big in [false, true] {
                    for order in [Order::Little, Order::Big] {
                        let image = Image { blocks, n_bands, kind, planar, ..Image::new(75, 61) };
                        let format = Format { big, order };
                        write(&path, format, &[image]);
                        let what = format!("{kind:?} {blocks:?} {n_bands} {planar} {format:?}");
                        let read = Dataset::open(&path).unwrap();
                        let dataset = Dataset::open_with(&path, &mapped()).unwrap();
                        assert!(pixels(&read, 0).unwrap() == pixels(&dataset, 0).unwrap(), "{what}");
                        let native = (order == Order::Little) == cfg!(target_endian = "little");
                        for at in all_blocks(&dataset, 0) {
                            let (expected, block) = (read.block(at).unwrap(), dataset.block(at).unwrap());
                            assert_eq!(block.layout(), expected.layout());
                            assert!(block.bytes() == expected.bytes(), "{what}: {at}");
                            assert_eq!(block.is_mapped(), native || kind.bytes() == 1, "{what}: {at}");
                            *if block.is_mapped() { &mut n_lent } else { &mut n_read } += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(n_lent > 1000 && n_read > 1000, "{n_lent} blocks were lent, {n_read} read");
}

#[test]
fn blocks_that_are_not_as_presented_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.tif");
    let tiles = |tags| Image { blocks: Blocks::Tiles(64, 64), tags, ..Image::new(100, 100) };
    let mut images = vec![
        // One bit a sample; bits of a byte in the other order.
        tiles(vec![(258, Values::Short(vec![1]))]),
        tiles(vec![(266, Values::Short(vec![2]))]),
    ];
    for compression in [Compression::Deflate, Compression::Lzw, Compression::PackBits, Compression::Zstd] {
        images.push(Image { compression, ..tiles(Vec::new()) });
        images.push(Image { compression, n_bands: 3, ..tiles(vec![(266, Values::Short(vec![2]))]) });
    }
    images.push(Image { compression: Compression::Jpeg(90), n_bands: 3, ..tiles(Vec::new()) });
    for image in images {
        write(&path, Format::default(), &[image]);
        let (read, dataset) = (Dataset::open(&path).unwrap(), Dataset::open_with(&path, &mapped()).unwrap());
        match pixels(&read, 0) {
            Ok(expected) => assert!(pixels(&dataset, 0).unwrap() == expected),
            // The writer does not turn the bits of what it compresses.
            Err(error) => assert_eq!(pixels(&dataset, 0).unwrap_err().to_string(), error.to_string()),
        }
        let stats = dataset.stats();
        assert_eq!((stats.mapped, stats.loads), (0, read.stats().loads));
    }
}

#[test]
fn samples_that_are_not_aligned_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("odd.tif");
    let mut writer = TiffWriter::new(File::create(&path).unwrap(), Format::default()).unwrap();
    // A directory ends at an even place that is no multiple of four; the tiles of the next image begin there.
    writer.sub_image(&Image::new(3, 1), |_, _, _| Some(vec![1; 3])).unwrap();
    let image = Image { kind: Kind::F32, ..u16_tiles() };
    writer.image(&image, |plane, col, row| Some(block_bytes(&image, plane, col, row))).unwrap();
    writer.finish().unwrap();
    let dataset = Dataset::open_with(&path, &mapped()).unwrap();
    let block = dataset.block((0, 1, 1)).unwrap();
    assert!(!block.is_mapped() && block.is_cached());
    assert!(block.bytes().as_ptr().addr().is_multiple_of(4));
    assert_eq!(block.bytes(), block_bytes(&image, 0, 1, 1));
    assert_eq!((dataset.stats().loads, dataset.stats().mapped), (1, 0));
}

#[test]
fn blocks_that_are_not_stored_and_levels_that_are_made_are_cached_as_ever() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse.tif");
    let image = Image { nodata: Some("7".to_owned()), ..Image::new(600, 400) };
    let image = Image { blocks: Blocks::Tiles(64, 64), ..image };
    let mut writer = TiffWriter::new(File::create(&path).unwrap(), Format::default()).unwrap();
    writer.image(&image, |_, col, row| (col != 2).then(|| block_bytes(&image, 0, col, row))).unwrap();
    writer.finish().unwrap();
    let (read, dataset) = (Dataset::open(&path).unwrap(), Dataset::open_with(&path, &mapped()).unwrap());
    assert!(dataset.block((0, 1, 1)).unwrap().is_mapped());
    let sparse = dataset.block((0, 2, 1)).unwrap();
    assert!(sparse.is_cached() && sparse.bytes().iter().all(|b| *b == 7));
    drop(sparse);
    for level in 0..dataset.levels().len() as u32 {
        assert!(pixels(&dataset, level).unwrap() == pixels(&read, level).unwrap(), "level {level}");
    }
    assert!(dataset.levels().len() > 1 && dataset.block((1, 0, 0)).unwrap().is_cached());
    let stats = dataset.stats();
    // Seven blocks that are not stored, and all of the levels above.
    let made: u64 = dataset.levels()[1..].iter().map(|level| u64::from(level.cols() * level.rows())).sum();
    assert_eq!((stats.loads, stats.entries), (7 + made, 7 + made));
}

#[test]
fn overviews_beside_the_file_and_in_it_are_lent_too() {
    let dir = tempfile::tempdir().unwrap();
    let (inside, beside) = (dir.path().join("inside.tif"), dir.path().join("beside.tif"));
    let base = u16_tiles();
    write(&inside, Format::default(), &[base.clone(), base.reduced(2)]);
    write(&beside, Format::default(), std::slice::from_ref(&base));
    write(&dir.path().join("beside.tif.ovr"), Format::default(), &[base.reduced(2)]);
    for path in [inside, beside] {
        let dataset = Dataset::open_with(&path, &mapped()).unwrap();
        let block = dataset.block((1, 1, 0)).unwrap();
        assert!(block.is_mapped());
        assert_eq!(block.bytes(), block_bytes(&base.reduced(2), 0, 1, 0));
    }
}

#[test]
fn files_that_are_cut_off_fail_as_they_do_when_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.tif");
    write(&path, Format::default(), &[u16_tiles(), u16_tiles().reduced(2)]);
    let whole = std::fs::read(&path).unwrap();
    let (mut n_errors, mut n_lent) = (0, 0);
    // The directories are at the end, that of the overview last.
    for len in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1, whole.len()] {
        std::fs::write(&path, &whole[..len]).unwrap();
        let (read, mapped) = (Dataset::open(&path), Dataset::open_with(&path, &mapped()));
        match (read, mapped) {
            (Ok(read), Ok(mapped)) => {
                for at in all_blocks(&read, 0) {
                    let (a, b) = (read.block(at), mapped.block(at));
                    n_lent += usize::from(b.as_ref().is_ok_and(|block| block.is_mapped()));
                    assert_eq!(a.map(|b| b.bytes().to_vec()).ok(), b.map(|b| b.bytes().to_vec()).ok());
                }
            }
            (Err(read), Err(mapped)) => {
                assert_eq!(mapped.to_string(), read.to_string());
                n_errors += 1;
            }
            _ => panic!("{len} bytes are opened in one way only"),
        }
    }
    assert!(n_errors >= 4 && n_lent > 0);
    // A block whose bytes end behind the file.
    let image = Image { tags: vec![(273, Values::Long(vec![whole.len() as u32]))], ..Image::new(100, 10) };
    write(&path, Format::default(), &[image]);
    let message = |options| Dataset::open_with(&path, options).unwrap().block((0, 0, 0)).unwrap_err().to_string();
    assert_eq!(message(&mapped()), message(&OpenOptions::default()));
}

#[test]
fn png_and_jpeg_files_are_decoded_from_the_mapping() {
    let dir = tempfile::tempdir().unwrap();
    let source =
        MemorySource::new(300, 200, 3, SampleType::U8, (64, 64), (0..180_000).map(|i| (i / 700) as u8).collect());
    let picture = Dataset::from_source(source.unwrap(), &OpenOptions::default()).unwrap();
    for (name, encoding) in [("a.png", tilekeep::Encoding::Png), ("a.jpg", tilekeep::Encoding::jpeg(90))] {
        let request = tilekeep::TileRequest::new(0, 0, 0).encoding(encoding);
        let path = dir.path().join(name);
        std::fs::write(&path, picture.read_tile(&request).unwrap().bytes).unwrap();
        let (read, mapped) = (Dataset::open(&path).unwrap(), Dataset::open_with(&path, &mapped()).unwrap());
        assert!(pixels(&read, 0).unwrap() == pixels(&mapped, 0).unwrap(), "{name}");
        assert_eq!(mapped.stats().mapped, 0);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_lent_block_outlives_the_dataset_and_the_mapping_goes_with_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plain.tif");
    write(&path, Format::default(), &[u16_tiles()]);
    let n_files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let dataset = Dataset::open_with(&path, &mapped()).unwrap();
    let lent = dataset.lock_block((0, 2, 1)).unwrap().into_shared();
    drop(dataset);
    assert_eq!(mappings(&path).len(), 1);
    let lent = std::thread::spawn(move || {
        assert_eq!(lent.bytes(), block_bytes(&u16_tiles(), 0, 2, 1));
        lent
    });
    drop(lent.join().unwrap());
    assert_eq!(mappings(&path).len(), 0);
    // Other tests open files meanwhile, but not a thousand.
    let before = n_files();
    for _ in 0..1000 {
        let dataset = Dataset::open_with(&path, &mapped()).unwrap();
        let lent = dataset.lock_block((0, 0, 0)).unwrap().into_shared();
        drop(dataset);
        drop(lent);
    }
    assert_eq!(mappings(&path).len(), 0);
    assert!(n_files() < before + 500);
}

#[test]
fn access_is_changed_by_a_promise_only() {
    let options = OpenOptions::default();
    assert_eq!((options.access(), options.os_cache), (Access::Read, OsCache::Keep));
    assert_eq!((mapped().access(), mapped().os_cache(OsCache::Drop).os_cache), (Access::Map, OsCache::Drop));
    for (number, access, os_cache) in [(0, Access::Read, OsCache::Keep), (1, Access::Map, OsCache::Drop)] {
        assert_eq!((Access::from_number(number), OsCache::from_number(number)), (Some(access), Some(os_cache)));
    }
    assert_eq!((Access::from_number(2), OsCache::from_number(-1)), (None, None));
}

/// A picture of bytes in memory, in blocks of 16 whole rows, that lends them and keeps some promises badly.
struct Lending {
    info: SourceInfo,
    pixels: Arc<Vec<u8>>,
    copy: Arc<Vec<u8>>,
    turned: AtomicBool,
    wrong: Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// Blocks end one byte early.
    Short,
    /// The next block is lent.
    Other,
    /// Blocks are lent now from here, now from there.
    Moving,
    /// Blocks that do not exist are lent.
    Outside,
    /// Lending panics.
    Panic,
}

impl Lending {
    fn new(wrong: Wrong) -> Self {
        let info = SourceInfo::new("lending", vec![Level::new(32, 100, 32, 16).unwrap()], 1, SampleType::U8);
        let pixels: Vec<u8> = (0..3200).map(|i| (i / 13) as u8).collect();
        Self { info, copy: Arc::new(pixels.clone()), pixels: Arc::new(pixels), turned: AtomicBool::new(false), wrong }
    }

    fn range(&self, at: BlockId) -> Result<Range<usize>> {
        let start = at.row as usize * 512;
        Ok(start..start + self.info.block_layout(at)?.bytes)
    }
}

impl TileSource for Lending {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], _context: &mut ReadContext<'_>) -> Result<()> {
        check_block(&self.info, at, out)?;
        out.copy_from_slice(&self.pixels[self.range(at)?]);
        Ok(())
    }

    fn lend(&self, at: BlockId) -> Option<LentBytes<'_>> {
        let range = self.range(at);
        match (self.wrong, range) {
            (Wrong::Panic, _) => panic!("told to"),
            (Wrong::Outside, Err(_)) => LentBytes::new(&self.pixels, 0..512),
            (_, Err(_)) => None,
            (Wrong::Short, Ok(range)) => LentBytes::new(&self.pixels, range.start..range.end - 1),
            (Wrong::Other, Ok(range)) => LentBytes::new(&self.pixels, range.start + 32..range.end + 32),
            (Wrong::Moving, Ok(range)) if self.turned.fetch_xor(true, Ordering::Relaxed) => {
                LentBytes::new(&self.copy, range)
            }
            (_, Ok(range)) => LentBytes::new(&self.pixels, range),
        }
    }
}

#[test]
fn a_client_source_lends_what_it_has_in_memory() {
    let source = Lending::new(Wrong::Nothing);
    conformance::check(&source).unwrap();
    let memory = Arc::clone(&source.pixels);
    let dataset = Dataset::from_source(Arc::new(source), &OpenOptions::default()).unwrap();
    let block = dataset.lock_block((0, 0, 6)).unwrap().into_shared();
    assert_eq!((block.bytes().as_ptr(), block.bytes().len()), (&raw const memory[6 * 512], 4 * 32));
    drop(dataset);
    assert_eq!((block.bytes()[0], Arc::strong_count(&memory)), ((6 * 512 / 13) as u8, 2));
}

#[test]
fn loans_that_break_their_promises_are_found_and_those_that_do_not_fit_are_not_used() {
    for (wrong, words) in [
        (Wrong::Short, "instead of 512"),
        (Wrong::Other, "as lent"),
        (Wrong::Moving, "not from there"),
        (Wrong::Outside, "does not exist"),
    ] {
        let error = conformance::check(&Lending::new(wrong)).unwrap_err();
        assert!(error.kind() == ErrorKind::Internal && error.message().contains(words), "{wrong:?}: {error}");
    }
    let open = |wrong| Dataset::from_source(Lending::new(wrong), &OpenOptions::default()).unwrap();
    let dataset = open(Wrong::Short);
    assert!(dataset.block((0, 0, 1)).unwrap().is_cached());
    let failed: Error = open(Wrong::Panic).block((0, 0, 1)).unwrap_err();
    assert!(failed.kind() == ErrorKind::Internal && failed.message().contains("panicked: told to"), "{failed}");
}

const CHILD: &str = "TILEKEEP_TEST_FILE_TO_ACCESS";

/// The other half of the next tests: runs in a process of its own, watched from outside. The two look-ups of files that
/// do not exist mark in the trace where reading begins and ends.
#[test]
fn reads_between_two_marks() {
    let Some(path) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let options = if path.ends_with("mapped.tif") { mapped() } else { OpenOptions::default() };
    let dataset = Dataset::open_with(&path, &options.os_cache(OsCache::Drop)).unwrap();
    // One window first: it reads the arrays of offsets.
    let mut first = vec![0; 64 * 64 * 2];
    dataset.read_window(&WindowRequest::new(0, Window::new(0, 0, 64, 64)), &mut first).unwrap();
    dataset.evict_all();
    strace::mark(strace::BEGIN);
    let read = pixels(&dataset, 0).unwrap();
    strace::mark(strace::END);
    assert_eq!(dataset.stats().mapped, 0);
    assert!(read == pixels(&Dataset::open(&path).unwrap(), 0).unwrap());
}

/// System calls between the marks that name one of `names`, while a file of `image` is read; `None` without strace.
fn traced(name: &str, image: &Image, names: &[&str]) -> Option<Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    write(&path, Format::default(), std::slice::from_ref(image));
    let trace = strace::trace("reads_between_two_marks", CHILD, &path)?;
    let wanted = |line: &&String| names.iter().any(|name| line.contains(name));
    Some(trace.between().iter().filter(wanted).cloned().collect())
}

#[test]
#[cfg(target_os = "linux")]
fn bytes_are_let_go_once_for_every_block_that_was_read() {
    for compression in [Compression::None, Compression::Deflate] {
        let image = Image { compression, ..u16_tiles() };
        let Some(calls) = traced("read.tif", &image, &["pread64(", "fadvise64("]) else { return };
        // Offset and length of each, as pread64(fd, bytes, length, offset) and fadvise64(fd, offset, length, advice).
        let arguments = |line: &str, from_end: usize| {
            let inside = &line[..line.rfind(')').unwrap()];
            inside.rsplit(", ").nth(from_end).unwrap().parse::<u64>().unwrap()
        };
        let read: Vec<_> = calls.iter().filter(|l| l.contains("pread64")).collect();
        let let_go: Vec<_> = calls.iter().filter(|l| l.contains("POSIX_FADV_DONTNEED")).collect();
        assert_eq!((read.len(), let_go.len(), calls.len()), (12, 12, 24), "{calls:#?}");
        for (read, let_go) in read.iter().zip(let_go) {
            // From the start of the unit of 2 MiB, here that of the file, to the end of the block.
            assert_eq!((arguments(let_go, 2), arguments(let_go, 1)), (0, arguments(read, 0) + arguments(read, 1)));
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_is_let_go_is_not_in_the_cache_of_the_system() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.tif");
    let image = Image { blocks: Blocks::Tiles(256, 256), kind: Kind::U16, ..Image::new(2048, 2048) };
    write(&path, Format::default(), std::slice::from_ref(&image));
    let file = File::open(&path).unwrap();
    file.sync_all().unwrap();
    let resident = || -> Option<u64> {
        let output = Command::new("fincore").args(["--bytes", "--noheadings", "--output", "RES"]).arg(&path).output();
        String::from_utf8(output.ok()?.stdout).ok()?.trim().parse().ok()
    };
    let read = |os_cache| {
        let dataset = Dataset::open_with(&path, &OpenOptions::default().os_cache(os_cache)).unwrap();
        pixels(&dataset, 0).unwrap();
    };
    // Some file systems are nothing but cache, and some machines have no program that tells.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    if resident().is_none_or(|bytes| bytes > 0) {
        eprintln!("SKIPPED: what the system keeps of a file cannot be seen here");
        return;
    }
    read(OsCache::Keep);
    assert!(resident().unwrap() > 6 << 20);
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    read(OsCache::Drop);
    assert!(resident().unwrap() < 2 << 20, "{} bytes are left", resident().unwrap());
}

#[test]
#[cfg(target_os = "linux")]
fn compressed_blocks_of_a_mapped_file_are_decoded_without_reading() {
    let image = Image { compression: Compression::Deflate, ..u16_tiles() };
    let Some(calls) = traced("mapped.tif", &image, &["read", "fadvise64("]) else { return };
    assert!(calls.is_empty(), "{calls:#?}");
}

#[test]
fn a_block_that_is_a_copy_of_what_the_system_keeps_is_kept_when_it_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, compression, kind| {
        let path = dir.path().join(name);
        let large = Image { blocks: Blocks::Tiles(256, 256), kind, compression, ..Image::new(600, 600) };
        write(&path, Format::default(), &[large]);
        path
    };
    let plain = write("plain.tif", Compression::None, Kind::U16);
    let deflate = write("deflate.tif", Compression::Deflate, Kind::U16);
    // Blocks kept after they were read once, twice, three times, and loads by then.
    let kept = |path: &Path, options: OpenOptions| {
        let dataset = Dataset::open_with(path, &options).unwrap();
        let stats = [(); 3].map(|()| {
            all_blocks(&dataset, 0).into_iter().for_each(|at| drop(dataset.block(at).unwrap()));
            dataset.stats()
        });
        (stats.map(|stats| stats.entries), stats[2].loads, stats[2].redundant_loads)
    };
    let options = OpenOptions::default();
    assert_eq!(kept(&plain, options), ([0, 9, 9], 18, 9));
    assert_eq!(kept(&deflate, options), ([9, 9, 9], 9, 0));
    // What a client says in so many words is done.
    assert_eq!(kept(&plain, options.cache_policy(CachePolicy::Lru)), ([9, 9, 9], 9, 0));
    assert_eq!(kept(&plain, options.os_cache(OsCache::Drop)), ([9, 9, 9], 9, 0));
    let dataset = Dataset::open(&plain).unwrap();
    drop(dataset.lock_block((0, 1, 1)).unwrap());
    assert_eq!(dataset.stats().entries, 1);
}
