//! Rendered tiles in a store: what goes there, what comes back, and processes that share one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use tilekeep::{
    CacheUse, Dataset, Encoding, Error, ErrorKind, MemorySource, OpenOptions, Result, SampleType, StoreStats, Style,
    Tile, TileKey, TileRequest, TileStore, clear_tile_cache, clear_tile_store, flush_tile_store, open_store,
    set_tile_store, tile_cache_stats, tile_store_error,
};

#[path = "common/servers.rs"]
mod servers;

/// A store that counts, and can be told to fail.
#[derive(Clone, Default)]
struct Shelf(Arc<Inner>);

#[derive(Default)]
struct Inner {
    values: Mutex<HashMap<TileKey, Vec<u8>>>,
    fails: AtomicBool,
    questions: AtomicU64,
}

impl Shelf {
    fn values(&self) -> Result<MutexGuard<'_, HashMap<TileKey, Vec<u8>>>> {
        if self.0.fails.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Store, "the shelf fell over"));
        }
        Ok(self.0.values.lock().unwrap())
    }
}

impl TileStore for Shelf {
    fn get(&self, key: TileKey) -> Result<Option<Vec<u8>>> {
        self.0.questions.fetch_add(1, Ordering::Relaxed);
        Ok(self.values()?.get(&key).cloned())
    }

    fn get_many(&self, keys: &[TileKey]) -> Result<Vec<Option<Vec<u8>>>> {
        self.0.questions.fetch_add(1, Ordering::Relaxed);
        let values = self.values()?;
        Ok(keys.iter().map(|key| values.get(key).cloned()).collect())
    }

    fn put(&self, key: TileKey, value: &[u8]) -> Result<()> {
        self.values()?.insert(key, value.to_vec());
        Ok(())
    }

    fn remove(&self, key: TileKey) -> Result<()> {
        self.values()?.remove(&key);
        Ok(())
    }

    fn remove_source(&self, source: u128) -> Result<()> {
        self.values()?.retain(|key, _| key.source != source);
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        self.values()?.clear();
        Ok(())
    }
}

/// The cache and its store belong to the process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(|failed| failed.into_inner());
    clear_tile_cache();
    guard
}

fn with_shelf() -> Shelf {
    let shelf = Shelf::default();
    set_tile_store(Some(Box::new(shelf.clone()))).unwrap();
    shelf
}

/// A grey PNG that was last written to so long ago.
fn picture(dir: &Path, name: &str, value: u8, old: bool) -> PathBuf {
    let path = dir.join(name);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 300, 200);
    encoder.set_color(png::ColorType::Grayscale);
    let pixels: Vec<u8> = (0..300 * 200).map(|i| (i / 300) as u8 ^ value).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    std::fs::write(&path, file).unwrap();
    if old {
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    }
    path
}

fn request(col: u32, row: u32) -> TileRequest {
    let style = Style::parse(r#"{"palette": "viridis", "min": 0, "max": 255}"#).unwrap();
    TileRequest::new(0, col, row).size(64, 64).encoding(Encoding::Png).style(style)
}

fn rendered() -> u64 {
    tile_cache_stats().rendered
}

fn store() -> StoreStats {
    tile_cache_stats().store
}

#[test]
fn a_tile_that_left_memory_comes_back_from_the_store() {
    let (_alone, shelf, dir) = (alone(), with_shelf(), tempfile::tempdir().unwrap());
    let dataset = Dataset::open(picture(dir.path(), "a.png", 1, true)).unwrap();
    let before = rendered();
    let made: Vec<Tile> = (0..4).map(|col| dataset.read_tile(&request(col, 0)).unwrap()).collect();
    flush_tile_store();
    assert_eq!((rendered() - before, shelf.values().unwrap().len(), store().written), (4, 4, 4));
    clear_tile_cache();
    drop(dataset);
    let again = Dataset::open_with(dir.path().join("a.png"), &OpenOptions::default().shared(false)).unwrap();
    for (col, tile) in (0..4).zip(&made) {
        assert_eq!(again.read_tile(&request(col, 0)).unwrap(), *tile);
        assert_eq!(again.read_tile(&request(col, 0)).unwrap(), *tile);
    }
    assert_eq!((rendered() - before, store().hits, store().misses), (4, 4, 4));
    assert_eq!(again.stats().loads, 0);
}

#[test]
fn a_viewport_is_one_question() {
    let (_alone, shelf, dir) = (alone(), with_shelf(), tempfile::tempdir().unwrap());
    let dataset = Dataset::open(picture(dir.path(), "a.png", 1, true)).unwrap();
    let requests: Vec<_> = (0..12).map(|i| request(i % 4, i / 4)).collect();
    let one_by_one: Vec<_> = requests.iter().map(|request| dataset.read_tile(request).unwrap()).collect();
    flush_tile_store();
    clear_tile_cache();
    dataset.read_tile(&requests[5]).unwrap();
    let before = (rendered(), shelf.0.questions.load(Ordering::Relaxed), store().hits);
    let mut asked = requests.clone();
    // One that is no tile fails alone; one that has no place in the cache is there all the same.
    asked.insert(3, request(99, 0));
    asked.push(TileRequest::new(0, 0, 0).size(64, 64));
    let mut tiles = dataset.read_tiles(&asked);
    assert_eq!(tiles.remove(3).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(tiles.pop().unwrap().unwrap().bytes.len(), 64 * 64);
    assert_eq!(tiles.into_iter().collect::<Result<Vec<_>>>().unwrap(), one_by_one);
    let after = (rendered(), shelf.0.questions.load(Ordering::Relaxed), store().hits);
    assert_eq!((after.0 - before.0, after.1 - before.1, after.2 - before.2), (0, 1, 11));
    // All in memory now.
    assert!(dataset.read_tiles(&requests).iter().all(Result::is_ok));
    assert_eq!(shelf.0.questions.load(Ordering::Relaxed), after.1);
}

#[test]
fn what_others_could_not_know_again_is_not_stored() {
    let (_alone, shelf, dir) = (alone(), with_shelf(), tempfile::tempdir().unwrap());
    let young = Dataset::open(picture(dir.path(), "young.png", 1, false)).unwrap();
    let own = MemorySource::new(300, 200, 1, SampleType::U8, (64, 64), vec![7; 300 * 200]).unwrap();
    let own = Dataset::from_source(own, &OpenOptions::default()).unwrap();
    let old = Dataset::open(picture(dir.path(), "old.png", 1, true)).unwrap();
    old.read_tile(&request(0, 0).cache_use(CacheUse::NoCache)).unwrap();
    for dataset in [&young, &own] {
        dataset.read_tile(&request(0, 0)).unwrap();
    }
    flush_tile_store();
    assert_eq!((shelf.values().unwrap().len(), store().hits), (0, 0));
}

#[test]
fn a_store_that_fails_costs_no_tile() {
    let (_alone, shelf, dir) = (alone(), with_shelf(), tempfile::tempdir().unwrap());
    let dataset = Dataset::open(picture(dir.path(), "a.png", 1, true)).unwrap();
    shelf.0.fails.store(true, Ordering::Relaxed);
    let before = rendered();
    for col in 0..4 {
        dataset.read_tile(&request(col, 0)).unwrap();
    }
    flush_tile_store();
    assert_eq!(rendered() - before, 4);
    assert!(store().errors >= 1 && store().dropped == 4, "{:?}", store());
    assert!(tile_store_error().unwrap().message().contains("fell over"));
    assert_eq!(clear_tile_store().unwrap_err().kind(), ErrorKind::Store);
    assert_eq!(dataset.invalidate().unwrap_err().kind(), ErrorKind::Store);
}

#[test]
fn a_damaged_value_is_made_again() {
    let (_alone, shelf, dir) = (alone(), with_shelf(), tempfile::tempdir().unwrap());
    let dataset = Dataset::open(picture(dir.path(), "a.png", 1, true)).unwrap();
    let good = dataset.read_tile(&request(0, 0)).unwrap();
    flush_tile_store();
    for damage in [0, 20, usize::MAX] {
        {
            let mut values = shelf.values().unwrap();
            let value = values.values_mut().next().unwrap();
            let at = damage.min(value.len() - 1);
            value[at] ^= 0x10;
        }
        clear_tile_cache();
        let before = rendered();
        assert_eq!(dataset.read_tile(&request(0, 0)).unwrap(), good);
        flush_tile_store();
        assert_eq!(rendered() - before, 1);
    }
    assert_eq!(store().damaged, 3);
    clear_tile_cache();
    let before = rendered();
    assert_eq!(dataset.read_tile(&request(0, 0)).unwrap(), good);
    assert_eq!(rendered() - before, 0);
}

#[test]
fn invalidating_a_dataset_takes_its_tiles_out_of_the_store_and_no_others() {
    let (_alone, shelf, dir) = (alone(), with_shelf(), tempfile::tempdir().unwrap());
    let (one, other) = (picture(dir.path(), "one.png", 1, true), picture(dir.path(), "other.png", 2, true));
    let (one, other) = (Dataset::open(one).unwrap(), Dataset::open(other).unwrap());
    for dataset in [&one, &other] {
        dataset.read_tile(&request(0, 0)).unwrap();
        dataset.read_tile(&request(1, 0)).unwrap();
    }
    flush_tile_store();
    assert_eq!(shelf.values().unwrap().len(), 4);
    one.invalidate().unwrap();
    assert_eq!(shelf.values().unwrap().len(), 2);
    clear_tile_cache();
    let before = rendered();
    other.read_tile(&request(0, 0)).unwrap();
    one.read_tile(&request(0, 0)).unwrap();
    assert_eq!(rendered() - before, 1);
    clear_tile_store().unwrap();
    assert!(shelf.values().unwrap().is_empty());
    set_tile_store(None).unwrap();
    assert_eq!(clear_tile_store().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store(), StoreStats::default());
}

/// In the second process: reads the tiles of a file, and prints how many it rendered, how many blocks were decoded, and a
/// checksum of the tiles.
const IN_CHILD: &str = "TILEKEEP_TEST_STORE";

fn read_all(path: &Path, uri: &str) -> String {
    set_tile_store(open_store(uri).unwrap()).unwrap();
    let dataset = Dataset::open(path).unwrap();
    let before = rendered();
    let mut sum = 0;
    for i in 0..12 {
        let tile = dataset.read_tile(&request(i % 4, i / 4)).unwrap();
        sum = tile.bytes.iter().fold(sum, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    }
    set_tile_store(None).unwrap();
    format!("{} rendered, {} decoded, {sum:x}", rendered() - before, dataset.stats().loads)
}

#[test]
fn the_second_process_of_a_store_decodes_nothing() {
    if let Some(uri) = std::env::var_os(IN_CHILD) {
        let path = std::env::var_os("TILEKEEP_TEST_PICTURE").unwrap();
        println!("<{}>", read_all(path.as_ref(), uri.to_str().unwrap()));
        return;
    }
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = picture(dir.path(), "a.png", 9, true);
    let run = |uri: &str| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "the_second_process_of_a_store_decodes_nothing", "--nocapture"]);
        let output = child.env(IN_CHILD, uri).env("TILEKEEP_TEST_PICTURE", &path).output().unwrap();
        assert!(output.status.success(), "{uri}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = text.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        said.unwrap_or_else(|| panic!("{uri}: {text}")).0.to_owned()
    };
    let check = |uri: &str| {
        let (first, second) = (run(uri), run(uri));
        let (counts, sum) = first.rsplit_once(' ').unwrap();
        assert!(counts.starts_with("12 rendered, ") && !counts.contains(" 0 decoded"), "{uri}: {first}");
        assert_eq!(second, format!("0 rendered, 0 decoded, {sum}"), "{uri}");
    };
    if cfg!(feature = "disk") {
        check(&format!("disk:{}", dir.path().join("tiles").display()));
    }
    if cfg!(feature = "memcached")
        && let Some(server) = servers::Server::memcached(&[])
    {
        check(&format!("memcached://{}/test", server.address()));
    }
    if cfg!(feature = "redis")
        && let Some(server) = servers::Server::redis(&[])
    {
        check(&format!("redis://{}/0?prefix=test", server.address()));
    }
}
