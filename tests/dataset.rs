//! What a dataset promises beyond single formats: places, sizes, failures beside successes.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::counting::Counting;
use tilekeep::{
    Advice, CacheBudget, CachePolicy, CacheUse, Dataset, ErrorKind, Level, MemorySource, OpenOptions, Resampling,
    SampleType, SourceInfo, TileSource, Window, WindowRequest, conformance, open_path, open_reader,
};

fn ramp(width: u32) -> Dataset {
    let pixels = (0..width).flat_map(|x| (x as f32).to_ne_bytes()).collect();
    let source = MemorySource::new(width, 1, 1, SampleType::F32, (256, 1), pixels).unwrap();
    Dataset::from_source(source, &OpenOptions::default()).unwrap()
}

fn floats(dataset: &Dataset, request: &WindowRequest) -> Vec<f32> {
    let mut bytes = vec![0; dataset.window_bytes(request).unwrap()];
    dataset.read_window(request, &mut bytes).unwrap();
    bytes.chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[test]
fn a_window_averaged_from_coarser_levels_shows_the_same_place() {
    // A size that is rounded up at every halving.
    let dataset = ramp(16_385);
    let request = WindowRequest::new(0, Window::new(15_360, 0, 1024, 1)).size(8, 1).resampling(Resampling::Average);
    let mut exact = request.clone();
    exact.exact_level = true;
    for (coarse, exact) in floats(&dataset, &request).iter().zip(floats(&dataset, &exact)) {
        assert!((coarse - exact).abs() < 0.1, "{coarse} where the pixels say {exact}");
    }
    assert!(dataset.geotransform(0).is_none());
}

#[test]
fn the_geotransform_of_a_made_level_steps_two_pixels_of_the_finer_one() {
    let mut source = MemorySource::new(1001, 3, 1, SampleType::U8, (256, 3), vec![0; 3003]).unwrap();
    source.info_mut().geotransform = Some(tilekeep::Geotransform([100.0, 2.0, 0.0, 50.0, 0.0, -2.0]));
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    assert_eq!(dataset.geotransform(2).unwrap().0, [100.0, 8.0, 0.0, 50.0, 0.0, -8.0]);
}

#[test]
fn averages_of_a_wide_window_are_those_of_its_parts() {
    // Wider than what is made at once.
    let dataset = ramp(100_000);
    let whole = WindowRequest::new(0, Window::new(0, 0, 100_000, 1)).size(70_000, 1).resampling(Resampling::Average);
    let wide = floats(&dataset, &whole);
    for x in [0, 6_999, 42_000, 69_990] {
        let part = WindowRequest::new(0, Window::new(x / 7 * 10, 0, 10, 1)).size(7, 1).resampling(Resampling::Average);
        let start = (x / 7 * 7) as usize;
        for (a, b) in wide[start..start + 7].iter().zip(floats(&dataset, &part)) {
            assert!((a - b).abs() < 0.02, "{a} {b}");
        }
    }
    let nearest = WindowRequest::new(0, Window::new(0, 0, 100_000, 1)).size(99_999, 1);
    assert!(floats(&dataset, &nearest).windows(2).all(|pair| pair[0] < pair[1]));
}

fn png(width: u32, height: u32, value: u8) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    // Rows that differ, so that a cut in the file is a cut in the picture.
    let pixels: Vec<u8> = (0..width * height).map(|i| value ^ (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    file
}

#[test]
fn a_block_offered_on_the_way_to_one_that_fails_is_not_kept_half_read() {
    // Recycled memory full of another picture.
    let other = MemorySource::new(1024, 1024, 1, SampleType::U8, (1024, 1024), vec![0xA5; 1 << 20]).unwrap();
    drop(Dataset::from_source(other, &OpenOptions::default()).unwrap().block((0, 0, 0)).unwrap());

    let mut file = png(1024, 4096, 0);
    file.truncate(file.len() * 3 / 8);
    let source = open_reader(Arc::new(file), tilekeep::Limits::default()).unwrap();
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    let rows = dataset.levels()[0].rows();
    assert!(dataset.block((0, 0, rows - 1)).is_err());
    for row in 0..rows {
        match dataset.block((0, 0, row)) {
            Ok(block) => assert!(block.bytes().windows(64).all(|run| run != [0xA5; 64]), "row {row}"),
            Err(error) => assert_ne!(error.kind(), ErrorKind::Internal, "{error}"),
        }
    }
    assert!(dataset.block((0, 0, 0)).is_ok() && dataset.block((0, 0, rows - 1)).is_err());
}

#[test]
fn png_and_jpeg_keep_the_promises_of_a_source() {
    let check = |path: &Path| conformance::check(&open_path(path, tilekeep::Limits::default()).unwrap().0).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (png_path, jpeg_path) = (dir.path().join("a.png"), dir.path().join("a.jpg"));
    std::fs::write(&png_path, png(1500, 1500, 3)).unwrap();
    check(&png_path);
    let pixels = vec![90; 900 * 700 * 3];
    let encoder = jpeg_encoder::Encoder::new_file(&jpeg_path, 80).unwrap();
    encoder.encode(&pixels, 900, 700, jpeg_encoder::ColorType::Rgb).unwrap();
    check(&jpeg_path);
}

#[test]
fn a_source_that_contradicts_itself_is_refused() {
    struct Odd(SourceInfo);
    impl TileSource for Odd {
        fn info(&self) -> &SourceInfo {
            &self.0
        }

        fn read_block(
            &self,
            _: tilekeep::BlockId,
            _: &mut [u8],
            _: &mut tilekeep::ReadContext<'_>,
        ) -> tilekeep::Result<()> {
            Ok(())
        }
    }
    let level = |width, height| Level::new(width, height, 16, 16).unwrap();
    let fine = SourceInfo::new("odd", vec![level(100, 100)], 1, SampleType::U8);
    let odd: [fn(&mut SourceInfo); 6] = [
        |info| info.levels.clear(),
        |info| info.levels[0].block_width = 0,
        |info| info.levels[0].width = u64::MAX,
        |info| info.levels[0].native = false,
        |info| info.levels.insert(0, Level::new(10, 10, 16, 16).unwrap()),
        |info| info.n_bands = 2,
    ];
    for change in odd {
        let mut info = fine.clone();
        change(&mut info);
        let refused = Dataset::from_source(Odd(info), &OpenOptions::default());
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    assert!(Dataset::from_source(Odd(fine), &OpenOptions::default()).is_ok());
}

#[test]
fn policies_are_changed_while_blocks_are_kept_and_locked() {
    let dataset = ramp(10_000);
    let locked = dataset.lock_block((0, 3, 0)).unwrap();
    for policy in CachePolicy::ALL {
        dataset.set_cache_policy(policy);
        (0..39).for_each(|col| drop(dataset.block((0, col, 0)).unwrap()));
        let kept = dataset.stats().entries;
        assert_eq!(kept, if policy == CachePolicy::None { 1 } else { 39 }, "{policy:?}");
        let loads = dataset.stats().loads;
        assert_eq!(dataset.lock_block((0, 3, 0)).unwrap().bytes().as_ptr(), locked.bytes().as_ptr());
        assert_eq!(dataset.stats().loads, loads);
    }
}

#[test]
fn a_batch_that_passes_through_leaves_the_cache_as_it_was() {
    let dataset = ramp(10_000);
    let block = 1024 + Dataset::BLOCK_OVERHEAD;
    dataset.set_cache_max(block * 8);
    let viewed = WindowRequest::new(0, Window::new(0, 0, 2048, 1));
    let all = WindowRequest::new(0, Window::new(0, 0, 10_000, 1));
    let loads_of = |request: &WindowRequest| {
        let before = dataset.stats().loads;
        floats(&dataset, request);
        dataset.stats().loads - before
    };
    assert_eq!((loads_of(&viewed), loads_of(&viewed)), (8, 0));
    // 40 blocks, of which 8 are there.
    assert_eq!(loads_of(&all.clone().cache_use(CacheUse::NoCache)), 32);
    assert_eq!((dataset.stats().entries, dataset.stats().uncached, loads_of(&viewed)), (8, 32, 0));
    // Read in order, blocks take the place of the one before.
    assert_eq!(loads_of(&all.clone().cache_use(CacheUse::Sequential)), 32);
    assert!(loads_of(&viewed) <= 1);
}

#[test]
fn advice_decides_which_blocks_stay() {
    let small = 64 + Dataset::BLOCK_OVERHEAD;
    let dataset = common::traces::Counted::new(8, CacheBudget::Own(4 * small), CachePolicy::Lru).dataset;
    let window = |col: u64, n: u64| Window::new(col * 8, 0, n * 8, 8);
    let read = |cols: std::ops::Range<u32>| {
        let before = dataset.stats().loads;
        cols.for_each(|col| drop(dataset.block((0, col, 0)).unwrap()));
        dataset.stats().loads - before
    };
    assert_eq!((read(0..4), read(0..4)), (4, 0));
    // What will be needed is as young as if it had been read.
    dataset.advise(0, &window(0, 1), Advice::WillNeed).unwrap();
    assert_eq!((read(4..5), read(0..1), read(1..2)), (1, 0, 1));
    // A window that is read once, in order, pushes nothing else out.
    assert_eq!((read(0..3), read(0..3)), (1, 0));
    dataset.advise(0, &window(10, 20), Advice::Sequential).unwrap();
    assert_eq!((read(10..30), read(0..3)), (20, 0));
    // Until it is read like any other.
    dataset.advise(0, &window(15, 1), Advice::Random).unwrap();
    assert_eq!((read(10..30), read(0..3)), (20, 3));
    dataset.advise(0, &window(1, 2), Advice::DontNeed).unwrap();
    assert_eq!((dataset.stats().entries, read(1..3), read(0..1)), (2, 2, 0));
    for (level, window) in [(0, Window::new(0, 0, 70_000, 1)), (0, Window::new(0, 0, 0, 1)), (99, window(0, 1))] {
        let error = dataset.advise(level, &window, Advice::WillNeed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
}

/// Reads blocks and lets them go; how many of them were in memory.
fn found(dataset: &Dataset, cache_use: CacheUse, blocks: impl Iterator<Item = (u32, u32)>) -> u64 {
    let before = dataset.stats().hits;
    blocks.for_each(|(col, row)| drop(dataset.block_with((0, col, row), cache_use).unwrap()));
    dataset.stats().hits - before
}

#[test]
fn a_window_of_a_made_level_that_is_read_in_passing_pushes_nothing_out() {
    let block = 4096 + Dataset::BLOCK_OVERHEAD;
    for policy in [CachePolicy::Lru, CachePolicy::Adaptive, CachePolicy::Clock, CachePolicy::ClockPro] {
        let dataset = common::traces::Counted::of_levels(&[(64, 64)], CacheBudget::Own(40 * block), policy).dataset;
        let viewed = || (0..40).map(|col| (col, 900));
        found(&dataset, CacheUse::Normal, viewed());
        let window = |cache_use| {
            let request = WindowRequest::new(0, Window::new(0, 0, 2048, 2048)).size(256, 256);
            let request = request.resampling(Resampling::Average).cache_use(cache_use);
            let before = dataset.stats().loads;
            dataset.read_window(&request, &mut [0; 1 << 16]).unwrap();
            dataset.stats().loads - before
        };
        // Blocks of four levels, each a quarter of those of the finer one.
        assert_eq!((window(CacheUse::NoCache), dataset.stats().evictions), (1024 + 256 + 64 + 16, 0), "{policy:?}");
        assert_eq!(found(&dataset, CacheUse::NoCache, viewed()), 40, "{policy:?}");
        // One of each level is under way at once, for which room must be set aside.
        assert_eq!(window(CacheUse::Sequential), 1024 + 256 + 64 + 16);
        if policy == CachePolicy::Lru {
            assert!(found(&dataset, CacheUse::NoCache, viewed()) >= 36);
        }
    }
}

#[test]
fn strips_from_which_blocks_beside_each_other_are_made_are_read_once_in_passing() {
    let source = MemorySource::new(2048, 256, 1, SampleType::U8, (2048, 16), vec![7; 2048 * 256]).unwrap();
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    let made = dataset.levels()[1];
    assert_eq!((made.width, made.cols(), made.rows()), (1024, 4, 1));
    let request = WindowRequest::new(1, Window::new(0, 0, 1024, 128)).cache_use(CacheUse::NoCache);
    dataset.read_window(&request, &mut [0; 1024 * 128]).unwrap();
    assert_eq!(dataset.stats().loads, 4 + 16);
}

/// Rows of 16 blocks; to read one of them all of a row are decoded, and offered.
struct Bands {
    info: SourceInfo,
    decoded: Arc<AtomicU64>,
}

impl TileSource for Bands {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_block(
        &self,
        at: tilekeep::BlockId,
        out: &mut [u8],
        context: &mut tilekeep::ReadContext<'_>,
    ) -> tilekeep::Result<()> {
        tilekeep::check_block(&self.info, at, out)?;
        self.decoded.fetch_add(1, Ordering::Relaxed);
        let fill = |col: u32, out: &mut [u8]| out.fill((col + at.row * 31) as u8);
        fill(at.col, out);
        for col in (at.col + 1..16).chain(0..at.col) {
            context.offer(tilekeep::BlockId { col, ..at }, &mut |out| {
                fill(col, out);
                Ok(())
            });
        }
        Ok(())
    }
}

#[test]
fn bands_that_are_read_in_passing_are_decoded_once_and_take_the_place_of_each_other() {
    let block = 4096 + Dataset::BLOCK_OVERHEAD;
    for policy in [CachePolicy::Lru, CachePolicy::Adaptive, CachePolicy::Clock, CachePolicy::ClockPro] {
        for cache_use in [CacheUse::NoCache, CacheUse::Sequential] {
            let decoded = Arc::<AtomicU64>::default();
            let level = Level::new(1024, 6400, 64, 64).unwrap();
            let info = SourceInfo::new("bands", vec![level], 1, SampleType::U8);
            let options = OpenOptions::default().cache_max_bytes(400 * block).cache_policy(policy);
            let dataset = Dataset::from_source(Bands { info, decoded: Arc::clone(&decoded) }, &options).unwrap();
            let blocks = |rows: std::ops::Range<u32>| rows.flat_map(|row| (0..16).map(move |col| (col, row)));
            // A viewer who fills the cache.
            found(&dataset, CacheUse::Normal, blocks(0..25));
            assert_eq!(found(&dataset, CacheUse::Normal, blocks(0..25)), 400);
            assert_eq!(decoded.swap(0, Ordering::Relaxed), 25);
            for _ in 0..2 {
                found(&dataset, cache_use, blocks(25..100));
                // CLOCK-Pro has a small part for all that is new, from which some go before they are asked for.
                let most = if policy == CachePolicy::ClockPro { 100 } else { 75 };
                let n = decoded.swap(0, Ordering::Relaxed);
                assert!((75..=most).contains(&n), "{policy:?}, {cache_use:?}: decoded {n} times");
            }
            // An eighth of the cache is what the bands have.
            let kept = dataset.stats().entries;
            dataset.evict(0, &Window::new(0, 0, 1024, 1600)).unwrap();
            let left = kept - dataset.stats().entries;
            assert!(left >= 348, "{policy:?}, {cache_use:?}: {left} blocks left");
        }
    }
}

#[test]
fn a_picture_that_is_read_in_passing_is_read_from_its_file_about_once() {
    let file = png(4096, 1024, 0);
    let len = file.len() as u64;
    let reader = Counting::of(file);
    let source = open_reader(Arc::<Counting>::clone(&reader), tilekeep::Limits::default()).unwrap();
    let block = 65_536 + Dataset::BLOCK_OVERHEAD;
    let dataset = Dataset::from_source(source, &OpenOptions::default().cache_max_bytes(32 * block)).unwrap();
    let level = dataset.levels()[0];
    assert_eq!((level.cols(), level.rows()), (16, 4));
    let last_row = || (0..16).map(|col| (col, 3));
    found(&dataset, CacheUse::Normal, last_row());
    let before = reader.read();
    found(&dataset, CacheUse::NoCache, (0..4).flat_map(|row| (0..16).map(move |col| (col, row))));
    let read = reader.read() - before;
    assert!(read <= len + len / 8, "{read} of {len} bytes");
    assert!(found(&dataset, CacheUse::NoCache, last_row()) >= 12);
}

#[test]
fn what_is_advised_to_be_read_in_order_gains_nothing_when_it_is_found_again() {
    let small = 64 + Dataset::BLOCK_OVERHEAD;
    let dataset = common::traces::Counted::new(8, CacheBudget::Own(20 * small), CachePolicy::Lru).dataset;
    let viewed = || (0..15).map(|col| (col, 0));
    found(&dataset, CacheUse::Normal, viewed());
    dataset.advise(0, &Window::new(15 * 8, 0, 800, 8), Advice::Sequential).unwrap();
    let passed = (15..115).flat_map(|col| [(col, 0); 3]);
    assert_eq!(found(&dataset, CacheUse::Normal, passed), 200);
    assert_eq!(found(&dataset, CacheUse::Normal, viewed()), 15);
}
