//! Stores that misbehave, as the tile cache meets them.

#[cfg(any(feature = "memcached", feature = "redis"))]
#[path = "../../../tests/common/servers.rs"]
mod servers;

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
#[cfg(any(feature = "memcached", feature = "redis"))]
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::render::key::TileKey;
use crate::sample::SampleType;
use crate::sync::{Arc, AtomicBool, AtomicUsize, Mutex, Ordering};

use super::backoff::Waits;
use super::envelope::{StoredTile, TileHeader, seal};
use super::tier::{StoreOptions, StoreTier};
use super::{StoreStats, TileStore};

const HEADER: TileHeader = TileHeader { width: 2, height: 3, n_bands: 1, sample: SampleType::U8, form: 0 };

fn key(n: u32) -> TileKey {
    TileKey { source: u128::from(n % 2), tile: u128::from(n) }
}

fn tile(n: u32) -> Vec<u8> {
    (0..1000).map(|i| (i * n + n) as u8).collect()
}

fn sealed(n: u32) -> Vec<u8> {
    seal(key(n), &HEADER, &tile(n))
}

fn stored(n: u32) -> StoredTile {
    StoredTile { header: HEADER, bytes: tile(n) }
}

/// A store in memory that fails when it is told to.
#[derive(Default)]
struct Moody {
    values: Mutex<HashMap<TileKey, Vec<u8>>>,
    /// What reading and writing do.
    reads: Mutex<Mood>,
    writes: Mutex<Mood>,
    n_reads: AtomicUsize,
    n_writes: AtomicUsize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Mood {
    #[default]
    Works,
    Fails(ErrorKind),
    Panics,
}

impl Mood {
    fn check(self) -> Result<()> {
        match self {
            Self::Works => Ok(()),
            Self::Fails(kind) => Err(Error::new(kind, "not in the mood")),
            Self::Panics => panic!("a store of the client's"),
        }
    }
}

impl Moody {
    fn read(&self) -> Result<()> {
        self.n_reads.fetch_add(1, Ordering::Relaxed);
        let mood = *self.reads.lock();
        mood.check()
    }

    fn write(&self) -> Result<()> {
        self.n_writes.fetch_add(1, Ordering::Relaxed);
        let mood = *self.writes.lock();
        mood.check()
    }
}

impl TileStore for Arc<Moody> {
    fn get(&self, key: TileKey) -> Result<Option<Vec<u8>>> {
        self.read()?;
        Ok(self.values.lock().get(&key).cloned())
    }

    fn get_many(&self, keys: &[TileKey]) -> Result<Vec<Option<Vec<u8>>>> {
        self.read()?;
        let values = self.values.lock();
        Ok(keys.iter().map(|key| values.get(key).cloned()).collect())
    }

    fn put(&self, key: TileKey, value: &[u8]) -> Result<()> {
        self.write()?;
        self.values.lock().insert(key, value.to_vec());
        Ok(())
    }

    fn remove(&self, key: TileKey) -> Result<()> {
        self.write()?;
        self.values.lock().remove(&key);
        Ok(())
    }

    fn remove_source(&self, source: u128) -> Result<()> {
        self.write()?;
        self.values.lock().retain(|key, _| key.source != source);
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        self.write()?;
        self.values.lock().clear();
        Ok(())
    }
}

fn tier_over(store: &Arc<Moody>) -> StoreTier {
    StoreTier::new(Box::new(Arc::clone(store)), StoreOptions::default()).unwrap()
}

/// A tier whose store is left alone for so long after every failure.
fn tier_that_waits(store: &Arc<Moody>, wait: Duration) -> StoreTier {
    let waits = Waits { first: wait, longest: wait };
    StoreTier::new(Box::new(Arc::clone(store)), StoreOptions { waits, ..StoreOptions::default() }).unwrap()
}

#[test]
fn what_was_put_is_found_before_and_after_it_is_written() {
    let store = Arc::new(Moody::default());
    let tier = tier_over(&store);
    assert_eq!(tier.get(key(1)), None);
    tier.put(key(1), sealed(1));
    assert_eq!(tier.get(key(1)), Some(stored(1)));
    tier.put(key(2), sealed(2));
    tier.flush();
    assert_eq!(tier.get_many(&[key(3), key(2), key(1)]), [None, Some(stored(2)), Some(stored(1))]);
    let len = sealed(1).len() as u64;
    let expected = StoreStats {
        hits: 3,
        misses: 2,
        written: 2,
        read_bytes: 3 * len,
        written_bytes: 2 * len,
        ..StoreStats::default()
    };
    assert_eq!(tier.stats(), expected);
    assert!(tier.last_error().is_none());
}

#[test]
fn a_damaged_value_is_a_miss_and_is_removed() {
    let store = Arc::new(Moody::default());
    let tier = tier_over(&store);
    let mut damaged = sealed(1);
    damaged[5] ^= 1;
    store.values.lock().insert(key(1), damaged);
    store.values.lock().insert(key(2), sealed(1));
    store.values.lock().insert(key(3), Vec::new());
    store.values.lock().insert(key(4), sealed(4));
    assert_eq!(tier.get(key(1)), None);
    assert_eq!(tier.get_many(&[key(2), key(3), key(4)]), [None, None, Some(stored(4))]);
    tier.flush();
    assert_eq!(store.values.lock().keys().copied().collect::<Vec<_>>(), [key(4)]);
    assert_eq!((tier.stats().damaged, tier.stats().hits, tier.stats().errors), (3, 1, 0));
}

const FAILURES: [Mood; 3] = [Mood::Fails(ErrorKind::Store), Mood::Fails(ErrorKind::Io), Mood::Panics];

#[test]
fn a_store_that_fails_or_panics_is_left_alone_and_nobody_notices() {
    for mood in FAILURES {
        let store = Arc::new(Moody::default());
        let tier = tier_that_waits(&store, Duration::from_secs(3600));
        *store.reads.lock() = mood;
        for _ in 0..100 {
            assert_eq!(tier.get(key(1)), None);
        }
        assert_eq!(tier.get_many(&[key(1), key(2)]), [None, None]);
        let stats = tier.stats();
        assert_eq!(store.n_reads.load(Ordering::Relaxed), 1, "{mood:?}");
        assert_eq!((stats.errors, stats.misses, stats.skipped), (1, 1, 101), "{mood:?}");
        assert!(tier.last_error().is_some());
    }
}

#[test]
fn a_store_that_works_again_is_used_again() {
    for mood in FAILURES {
        let store = Arc::new(Moody::default());
        let tier = tier_that_waits(&store, Duration::ZERO);
        tier.put(key(1), sealed(1));
        tier.flush();
        *store.reads.lock() = mood;
        assert_eq!([tier.get(key(1)), tier.get(key(1))], [None, None]);
        *store.reads.lock() = Mood::Works;
        assert_eq!(tier.get(key(1)), Some(stored(1)));
        assert_eq!((tier.stats().errors, tier.stats().skipped), (2, 0), "{mood:?}");
    }
}

#[test]
fn a_store_that_cannot_be_written_is_still_read() {
    let store = Arc::new(Moody::default());
    let tier = tier_over(&store);
    tier.put(key(1), sealed(1));
    tier.flush();
    *store.writes.lock() = Mood::Panics;
    for n in 2..50 {
        tier.put(key(n), sealed(n));
        assert_eq!(tier.get(key(1)), Some(stored(1)));
    }
    tier.flush();
    let stats = tier.stats();
    assert_eq!((stats.written, stats.dropped, stats.queued_bytes, stats.skipped), (1, 48, 0, 0));
    assert!(tier.last_error().unwrap().message().contains("a store of the client's"));
    assert_eq!(tier.clear().unwrap_err().kind(), ErrorKind::Store);
}

#[test]
fn a_value_that_is_not_for_the_store_does_not_stop_the_others() {
    let store = Arc::new(Moody::default());
    let tier = tier_over(&store);
    *store.writes.lock() = Mood::Fails(ErrorKind::LimitExceeded);
    for n in 0..5 {
        tier.put(key(n), sealed(n));
    }
    tier.flush();
    assert_eq!(store.n_writes.load(Ordering::Relaxed), 5);
    assert_eq!((tier.stats().dropped, tier.stats().errors), (5, 5));
    *store.writes.lock() = Mood::Works;
    tier.put(key(7), sealed(7));
    tier.flush();
    assert_eq!(tier.stats().written, 1);
}

/// A store whose writes begin and end when the test says so.
struct Gated {
    began: Mutex<Sender<TileKey>>,
    go_on: Mutex<Receiver<()>>,
    inner: Arc<Moody>,
    gated: Arc<AtomicBool>,
}

impl TileStore for Gated {
    fn get(&self, key: TileKey) -> Result<Option<Vec<u8>>> {
        self.inner.get(key)
    }

    fn put(&self, key: TileKey, value: &[u8]) -> Result<()> {
        if self.gated.load(Ordering::Relaxed) {
            self.began.lock().send(key).unwrap();
            self.go_on.lock().recv().unwrap();
        }
        self.inner.put(key, value)
    }

    fn remove(&self, key: TileKey) -> Result<()> {
        self.inner.remove(key)
    }

    fn remove_source(&self, source: u128) -> Result<()> {
        self.inner.remove_source(source)
    }

    fn clear(&self) -> Result<()> {
        self.inner.clear()
    }
}

struct Gate {
    tier: StoreTier,
    inner: Arc<Moody>,
    began: Receiver<TileKey>,
    go_on: Sender<()>,
    gated: Arc<AtomicBool>,
}

fn gate(queue_max_bytes: usize) -> Gate {
    let inner = Arc::new(Moody::default());
    let gated = Arc::new(AtomicBool::new(true));
    let ((began_in, began), (go_on, go_on_out)) = (channel(), channel());
    let store = Gated {
        began: Mutex::new(began_in),
        go_on: Mutex::new(go_on_out),
        inner: Arc::clone(&inner),
        gated: Arc::clone(&gated),
    };
    let tier = StoreTier::new(Box::new(store), StoreOptions { queue_max_bytes, ..StoreOptions::default() }).unwrap();
    Gate { tier, inner, began, go_on, gated }
}

impl Gate {
    fn open(&self) {
        self.gated.store(false, Ordering::Relaxed);
        self.go_on.send(()).unwrap();
    }
}

#[test]
fn the_queue_holds_the_bytes_that_it_may_and_the_rest_is_dropped() {
    let each = sealed(1).len() + 160;
    let gate = gate(10 * each);
    for n in 0..50 {
        gate.tier.put(key(n), sealed(n));
        // Equal to the one that waits: it is not queued twice.
        gate.tier.put(key(0), sealed(0));
        assert!(gate.tier.stats().queued_bytes <= 10 * each as u64);
    }
    assert_eq!(gate.began.recv().unwrap(), key(0));
    let stats = gate.tier.stats();
    assert_eq!((stats.dropped, stats.queued_bytes), (40, 10 * each as u64));
    assert_eq!(gate.tier.get(key(9)), Some(stored(9)));
    gate.open();
    gate.tier.flush();
    let stats = gate.tier.stats();
    assert_eq!((stats.written, stats.dropped, stats.queued_bytes), (10, 40, 0));
}

/// A store that says which values it cannot read, and asks for many of them one by one.
struct Fussy(Arc<Moody>);

impl TileStore for Fussy {
    fn get(&self, key: TileKey) -> Result<Option<Vec<u8>>> {
        let value = self.0.get(key)?;
        if value.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::corrupt("scratched"));
        }
        Ok(value)
    }

    fn put(&self, key: TileKey, value: &[u8]) -> Result<()> {
        self.0.put(key, value)
    }

    fn remove(&self, key: TileKey) -> Result<()> {
        self.0.remove(key)
    }

    fn remove_source(&self, source: u128) -> Result<()> {
        self.0.remove_source(source)
    }

    fn clear(&self) -> Result<()> {
        self.0.clear()
    }
}

#[test]
fn a_value_that_cannot_be_read_is_missed_alone() {
    let store = Arc::new(Moody::default());
    let tier = StoreTier::new(Box::new(Fussy(Arc::clone(&store))), StoreOptions::default()).unwrap();
    for n in 1..4 {
        store.values.lock().insert(key(n), if n == 2 { Vec::new() } else { sealed(n) });
    }
    assert_eq!(tier.get_many(&[key(1), key(2), key(3), key(4)]), [Some(stored(1)), None, Some(stored(3)), None]);
    tier.flush();
    assert!(!store.values.lock().contains_key(&key(2)));
    let stats = tier.stats();
    assert_eq!((stats.hits, stats.damaged, stats.misses, stats.skipped), (2, 1, 1, 0));
    assert_eq!(tier.get(key(1)), Some(stored(1)));
}

#[test]
fn closing_writes_what_waits() {
    let gate = gate(1 << 20);
    for n in 0..20 {
        gate.tier.put(key(n), sealed(n));
    }
    gate.began.recv().unwrap();
    gate.open();
    let inner = Arc::clone(&gate.inner);
    drop(gate.tier);
    assert_eq!(inner.values.lock().len(), 20);
    assert_eq!(Arc::strong_count(&inner), 2, "the thread is gone, and the store with it");
}

#[test]
fn closing_gives_up_when_the_store_fails() {
    let gate = gate(1 << 20);
    for n in 0..20 {
        gate.tier.put(key(n), sealed(n));
    }
    gate.began.recv().unwrap();
    *gate.inner.writes.lock() = Mood::Fails(ErrorKind::Store);
    gate.inner.n_writes.store(0, Ordering::Relaxed);
    let inner = Arc::clone(&gate.inner);
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| {
            drop(gate.tier);
        });
        gate.gated.store(false, Ordering::Relaxed);
        gate.go_on.send(()).unwrap();
        closing.join().unwrap();
    });
    // The one under way; perhaps a second when closing began after it had failed.
    assert!(inner.n_writes.load(Ordering::Relaxed) <= 2);
}

#[test]
fn what_waits_is_forgotten_with_its_raster() {
    let gate = gate(1 << 20);
    for n in 0..10 {
        gate.tier.put(key(n), sealed(n));
    }
    gate.began.recv().unwrap();
    std::thread::scope(|scope| {
        let removing = scope.spawn(|| gate.tier.remove_source(0));
        gate.open();
        removing.join().unwrap().unwrap();
    });
    gate.tier.flush();
    let mut left: Vec<_> = gate.inner.values.lock().keys().copied().collect();
    left.sort();
    assert_eq!(left, [1, 3, 5, 7, 9].map(key));
    gate.tier.clear().unwrap();
    assert!(gate.inner.values.lock().is_empty());
    assert_eq!(gate.tier.get(key(1)), None);
}

/// Asks and puts from four threads until it was enough; returns how long one call took at most.
#[cfg(any(feature = "memcached", feature = "redis"))]
fn load(tier: &StoreTier, is_enough: impl Fn(StoreStats) -> bool + Sync) -> Duration {
    let (is_enough, end) = (&is_enough, Instant::now() + PATIENCE);
    let one = |thread: u32| {
        let (mut longest, mut n) = (Duration::ZERO, thread);
        while !is_enough(tier.stats()) {
            n = (n + 7) % 100;
            let began = Instant::now();
            assert!(began < end, "{:?}, {:?}", tier.stats(), tier.last_error());
            match n % 3 {
                0 => tier.put(key(n), sealed(n)),
                1 => assert!(tier.get(key(n)).is_none_or(|found| found == stored(n))),
                _ => {
                    let found = tier.get_many(&[key(n), key(n + 1)]);
                    assert!(found[0].as_ref().is_none_or(|found| *found == stored(n)));
                }
            }
            longest = longest.max(began.elapsed());
        }
        longest
    };
    std::thread::scope(|scope| {
        let threads = [0, 1, 2, 3].map(|thread| scope.spawn(move || one(thread)));
        threads.map(|thread| thread.join().unwrap()).into_iter().max().unwrap()
    })
}

/// When a test gives up what should have come long before.
#[cfg(any(feature = "memcached", feature = "redis"))]
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(any(feature = "memcached", feature = "redis"))]
#[test]
fn a_server_may_die_hang_and_come_back_and_costs_misses_alone() {
    use self::servers::Server;

    type Start = fn() -> Option<Server>;
    let start: [(bool, &str, Start); 2] = [
        (cfg!(feature = "memcached"), "memcached", || Server::memcached(&[])),
        (cfg!(feature = "redis"), "redis", || Server::redis(&[])),
    ];
    for (built, scheme, start) in start {
        let Some(mut server) = built.then(start).flatten() else { continue };
        let store =
            super::uri::open_store(&format!("{scheme}://{}?timeout_ms=300", server.address())).unwrap().unwrap();
        let waits = Waits { first: Duration::from_millis(20), longest: Duration::from_millis(200) };
        let tier = StoreTier::new(store, StoreOptions { waits, ..StoreOptions::default() }).unwrap();
        // The timeout, and what a busy machine adds to it.
        let bound = Duration::from_millis(300 + 1500);
        let comes_back = |what: &str| {
            let (before, end) = (tier.stats().hits, Instant::now() + PATIENCE);
            while tier.stats().hits == before {
                assert!(Instant::now() < end, "{scheme}: {what}: {:?}, {:?}", tier.stats(), tier.last_error());
                tier.put(key(1), sealed(1));
                // While it waits it would be found without the server.
                tier.flush();
                tier.get(key(1));
            }
        };
        assert!(load(&tier, |stats| stats.written > 20 && stats.hits > 100) < bound);
        assert_eq!(tier.stats().errors, 0, "{scheme}: {:?}", tier.last_error());

        server.kill();
        assert!(load(&tier, |stats| stats.errors > 2 && stats.skipped > 1000) < bound);
        let stats = tier.stats();
        assert!(stats.skipped > 10 * stats.errors, "{scheme}: {stats:?}");
        server.restart();
        comes_back("killed");

        server.pause();
        let before = tier.stats().errors;
        assert!(load(&tier, |stats| stats.errors > before + 2) < bound);
        server.resume();
        comes_back("stopped");

        let (before, is_back) = (tier.stats().hits, AtomicBool::new(false));
        std::thread::scope(|scope| {
            let loaded = scope.spawn(|| load(&tier, |_| is_back.load(Ordering::Relaxed)));
            while tier.stats().hits < before + 50 {
                std::thread::yield_now();
            }
            server.restart();
            is_back.store(true, Ordering::Relaxed);
            assert!(loaded.join().unwrap() < bound);
        });
        comes_back("restarted in the middle");

        // Closing does not wait for a server that hangs longer than for one answer.
        server.pause();
        tier.put(key(1), sealed(1));
        let began = Instant::now();
        drop(tier);
        assert!(began.elapsed() < bound);
        server.resume();
    }
}
