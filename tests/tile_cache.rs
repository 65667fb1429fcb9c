//! The cache of rendered tiles: what is made once, what is shared, what is forgotten.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use tilekeep::{
    BlockId, CacheUse, Dataset, Encoding, Error, ErrorKind, Level, OpenOptions, ReadContext, Result, SampleType,
    SourceInfo, Style, Tile, TileCacheStats, TileRequest, TileSource, TileStyle, set_tile_cache_max, tile_cache_max,
    tile_cache_stats,
};

/// The cache belongs to the process: one test at a time, and what it counted meanwhile.
struct Alone(TileCacheStats, #[allow(dead_code, reason = "held")] MutexGuard<'static, ()>);

fn alone() -> Alone {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(|failed| failed.into_inner());
    Alone(tile_cache_stats(), guard)
}

impl Alone {
    /// Hits, misses and tiles rendered since the test began.
    fn counts(&self) -> (u64, u64, u64) {
        let now = tile_cache_stats();
        (now.hits - self.0.hits, now.misses - self.0.misses, now.rendered - self.0.rendered)
    }
}

/// A picture of three bands whose samples say which version of it was read.
struct Counting {
    info: SourceInfo,
    version: Arc<AtomicU64>,
    /// A read returns when so many tiles are waited for.
    wait_for: Option<(u64, u64)>,
    failures: AtomicUsize,
}

impl TileSource for Counting {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], _: &mut ReadContext<'_>) -> Result<()> {
        if let Some((before, waiters)) = self.wait_for {
            while tile_cache_stats().coalesced - before < waiters {
                thread::yield_now();
            }
        }
        let still = |n: usize| n.checked_sub(1);
        if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, still).is_ok() {
            return Err(Error::new(ErrorKind::Io, "the cable fell out"));
        }
        let version = self.version.load(Ordering::Relaxed) as usize;
        out.iter_mut().enumerate().for_each(|(i, s)| *s = (i * 7 + at.col as usize * 31 + version) as u8);
        Ok(())
    }
}

fn source() -> Counting {
    let levels = vec![Level::new(1024, 512, 256, 256).unwrap()];
    let info = SourceInfo::new("counting", levels, 3, SampleType::U8);
    Counting { info, version: Arc::default(), wait_for: None, failures: AtomicUsize::new(0) }
}

fn dataset(source: Counting) -> Dataset {
    Dataset::from_source(source, &OpenOptions::default()).unwrap()
}

fn styled(style: &str) -> TileRequest {
    TileRequest::new(0, 0, 0).encoding(Encoding::Png).style(Style::parse(style).unwrap())
}

fn same(a: &Tile, b: &Tile) -> bool {
    a.bytes.as_ptr() == b.bytes.as_ptr()
}

#[test]
fn six_spellings_of_one_style_are_one_tile() {
    let (alone, dataset) = (alone(), dataset(source()));
    let spellings = [
        r##"{"bands": [{"band": 1, "min": 0, "max": 100, "palette": ["#000", "#fff"]}]}"##,
        r#"{"palette": ["black", "white"], "max": 100, "min": 0, "band": 1}"#,
        r#"{"bands": [{"palette": "white", "max": "100.0", "min": "0", "band": "1"}]}"#,
        r##"{"bands": [{"band": "red", "min": -0.0, "max": 1e2, "palette": ["#000000", "#FFFFFFFF"]}]}"##,
        r#"{"expression": "(b1)", "min": 0.0, "max": 100, "scheme": "linear", "gamma": 1}"#,
        r#"{"band": 1, "min": 0, "max": 100, "palette": [[0, 0, 0], [1, 1, 1]], "clamp": true, "frame": 0}"#,
    ];
    let tiles: Vec<_> = spellings.iter().map(|style| dataset.read_tile(&styled(style)).unwrap()).collect();
    assert!(tiles.iter().all(|tile| same(tile, &tiles[0])));
    assert_eq!(alone.counts(), (5, 1, 1));
}

#[test]
fn three_styles_in_two_encodings_are_one_decode() {
    let (alone, dataset) = (alone(), dataset(source()));
    for palette in ["viridis", "magma", "grayscale"] {
        let style =
            TileStyle::from(Style::parse(&format!(r#"{{"min": 0, "max": 255, "palette": "{palette}"}}"#)).unwrap());
        for encoding in [Encoding::Png, Encoding::jpeg(80)] {
            let request = TileRequest::new(0, 1, 0).encoding(encoding).style(style.clone());
            let first = dataset.read_tile(&request).unwrap();
            assert!(same(&first, &dataset.read_tile(&request).unwrap()));
        }
    }
    assert_eq!(alone.counts(), (6, 6, 6));
    assert_eq!(dataset.stats().loads, 1);
}

#[test]
fn eight_threads_on_one_cold_tile_are_one_decode_and_one_encode() {
    let alone = alone();
    let dataset = dataset(Counting { wait_for: Some((tile_cache_stats().coalesced, 7)), ..source() });
    let request = TileRequest::new(0, 0, 0).encoding(Encoding::Png);
    let tiles: Vec<_> = thread::scope(|scope| {
        let readers: Vec<_> = (0..8).map(|_| scope.spawn(|| dataset.read_tile(&request).unwrap())).collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    assert!(tiles.iter().all(|tile| same(tile, &tiles[0])));
    assert_eq!(alone.counts(), (0, 8, 1));
    assert_eq!(dataset.stats().loads, 1);
}

#[test]
fn everything_that_bytes_depend_on_makes_another_tile() {
    let (alone, dataset) = (alone(), dataset(source()));
    let base = TileRequest::new(0, 0, 0).encoding(Encoding::Png);
    let requests = [
        base.clone(),
        base.clone().encoding(Encoding::jpeg(80)),
        base.clone().encoding(Encoding::jpeg(81)),
        base.clone().bands([0]),
        base.clone().bands([2, 1, 0]),
        base.clone().range(0.0, 100.0),
        base.clone().range(0.0, 101.0),
        base.clone().range(0.0, 100.0).encoding(Encoding::Raw),
        base.clone().size(256, 128),
        base.clone().edge(tilekeep::Edge::Pad),
        TileRequest::new(0, 1, 0).encoding(Encoding::Png),
        TileRequest::new(0, 0, 1).encoding(Encoding::Png),
        TileRequest::new(1, 0, 0).encoding(Encoding::Png),
        styled(r#"{"min": 0, "max": 1}"#),
        styled(r#"{"min": 0, "max": 2}"#),
        styled(r#"{"min": 0, "max": 2, "dtype": "uint16"}"#).encoding(Encoding::Raw),
    ];
    let tiles: Vec<_> = requests.iter().map(|request| dataset.read_tile(request).unwrap()).collect();
    for (i, tile) in tiles.iter().enumerate() {
        assert!(tiles[..i].iter().all(|other| !same(other, tile)), "{:?}", requests[i]);
        assert!(same(tile, &dataset.read_tile(&requests[i]).unwrap()));
    }
    // What is the same in other words is the same tile.
    assert!(same(&tiles[0], &dataset.read_tile(&base.clone().bands([0, 1, 2])).unwrap()));
    assert!(same(&tiles[5], &dataset.read_tile(&base.clone().range(-0.0, 100.0)).unwrap()));
    let n = requests.len() as u64;
    assert_eq!(alone.counts(), (n + 2, n, n));
}

#[test]
fn raw_tiles_of_plain_samples_are_in_no_second_cache() {
    let (alone, dataset) = (alone(), dataset(source()));
    let request = TileRequest::new(0, 0, 0);
    for request in [request.clone(), request.clone().bands([1]), request.style(Style::unstyled())] {
        assert!(!same(&dataset.read_tile(&request).unwrap(), &dataset.read_tile(&request).unwrap()));
    }
    assert_eq!(alone.counts(), (0, 0, 0));
}

#[test]
fn what_was_invalidated_is_made_anew() {
    let (alone, source) = (alone(), source());
    let version = Arc::clone(&source.version);
    let dataset = dataset(source);
    let request = styled(r#"{"min": "min", "max": "max"}"#);
    let before = dataset.read_tile(&request).unwrap();
    version.store(3, Ordering::Relaxed);
    assert!(same(&before, &dataset.read_tile(&request).unwrap()));
    let entries = tile_cache_stats().entries;
    dataset.invalidate().unwrap();
    assert_eq!(tile_cache_stats().entries, entries - 1);
    assert_ne!(dataset.read_tile(&request).unwrap().bytes, before.bytes);
    assert_eq!(alone.counts(), (1, 2, 2));
}

#[test]
fn a_tile_that_failed_is_made_when_it_is_asked_for_again() {
    let alone = alone();
    let dataset = dataset(Counting { failures: AtomicUsize::new(1), ..source() });
    let request = TileRequest::new(0, 0, 0).encoding(Encoding::Png);
    let failed = dataset.read_tile(&request).unwrap_err();
    assert!(failed.kind() == ErrorKind::Io && failed.message().contains("cable"), "{failed}");
    assert_eq!(tile_cache_stats().failed, alone.0.failed + 1);
    dataset.read_tile(&request).unwrap();
    assert_eq!(alone.counts(), (0, 2, 1));
}

#[test]
fn the_budget_holds_and_what_a_client_has_stays_with_it() {
    let (alone, dataset) = (alone(), dataset(source()));
    let default = tile_cache_max();
    // 64 MiB where there are 4 GiB of memory, less where there is less.
    assert!((2 << 20..=64 << 20).contains(&default), "{default}");
    let request = |i: u32| TileRequest::new(0, i % 4, i / 4 % 2).range(0.0, 1.0 + f64::from(i));
    let tile_bytes = 3 * 65_536;
    set_tile_cache_max(4 * (tile_bytes + Dataset::BLOCK_OVERHEAD));
    let held: Vec<_> = (0..40)
        .map(|i| {
            let tile = dataset.read_tile(&request(i)).unwrap();
            let stats = tile_cache_stats();
            assert!(stats.bytes + stats.loading_bytes <= stats.max_bytes, "{stats:?}");
            tile
        })
        .collect();
    let stats = tile_cache_stats();
    assert_eq!((stats.entries, stats.bytes, stats.loading_bytes), (4, stats.max_bytes, 0));
    assert!(stats.tile_bytes >= 40 * tile_bytes);
    set_tile_cache_max(0);
    assert_eq!((tile_cache_stats().entries, tile_cache_stats().bytes), (0, 0));
    for (i, tile) in (0..40).zip(&held) {
        assert_eq!(dataset.read_tile(&request(i)).unwrap().bytes, tile.bytes);
    }
    assert_eq!(alone.counts(), (0, 80, 80));
    drop(held);
    assert!(tile_cache_stats().tile_bytes < stats.tile_bytes - 39 * tile_bytes);
    set_tile_cache_max(default);
}

#[test]
fn a_reader_who_passes_through_leaves_no_tile() {
    let (alone, dataset) = (alone(), dataset(source()));
    let request = TileRequest::new(0, 0, 0).encoding(Encoding::Png);
    let passing = request.clone().cache_use(CacheUse::NoCache);
    let first = dataset.read_tile(&passing).unwrap();
    assert!(!same(&first, &dataset.read_tile(&passing).unwrap()));
    let kept = dataset.read_tile(&request).unwrap();
    assert!(same(&kept, &dataset.read_tile(&passing).unwrap()));
    assert_eq!(alone.counts(), (1, 3, 3));
}

#[test]
fn who_opens_a_file_again_finds_its_tiles_and_not_those_of_another_file() {
    let alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, value: u8| {
        let path = dir.path().join(name);
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 300, 200);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&vec![value; 300 * 200]).unwrap();
        std::fs::write(&path, file).unwrap();
        path
    };
    // Not so young that the next change could go unnoticed.
    let old = |path: &std::path::Path| {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
    };
    let (one, other) = (write("one.png", 1), write("other.png", 2));
    old(&one);
    old(&other);
    let request = TileRequest::new(0, 0, 0).size(64, 64).encoding(Encoding::Png);
    let read = |path| Dataset::open(path).unwrap().read_tile(&request).unwrap();
    let first = read(&one);
    assert!(same(&first, &read(&one)));
    assert!(!same(&first, &read(&other)));
    write("one.png", 3);
    assert_ne!(read(&one).bytes, first.bytes);
    assert_eq!(alone.counts(), (1, 3, 3));
}
