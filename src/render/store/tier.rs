//! A store at arm's length: checked, written to from a thread of its own, left alone while it fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result, panic_message};
use crate::render::key::TileKey;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};

use super::TileStore;
use super::backoff::{Backoff, Waits};
use super::envelope::{self, StoredTile};
use super::queue::{Job, Queue};

/// How a store is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreOptions {
    /// Bytes that may wait to be written. What comes beyond is not stored.
    pub(crate) queue_max_bytes: usize,
    /// How long closing goes on writing what waits.
    pub(crate) close_within: Duration,
    /// For how long a store that failed is left alone.
    pub(crate) waits: Waits,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { queue_max_bytes: 64 << 20, close_within: Duration::from_secs(5), waits: Waits::default() }
    }
}

/// What was asked of a store since it was set, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Tiles found there.
    pub hits: u64,
    /// Tiles that were not there.
    pub misses: u64,
    /// Tiles that it was not asked for, because it failed a moment ago.
    pub skipped: u64,
    /// Questions and writes that failed. Nobody's tile fails for it.
    pub errors: u64,
    /// Values that came back damaged, and were removed.
    pub damaged: u64,
    /// Tiles written.
    pub written: u64,
    /// Tiles that were not written: the queue was full, or the write failed.
    pub dropped: u64,
    /// Bytes of the values that came back.
    pub read_bytes: u64,
    /// Bytes of the values written.
    pub written_bytes: u64,
    /// Bytes that wait to be written now.
    pub queued_bytes: u64,
}

/// A store that costs its users a miss at worst.
///
/// What is put is written by a thread of its own, which ends when this is dropped. A store that fails is left alone for
/// 0.1 to 4 s, reading apart from writing; meanwhile everything is a miss at once, and one caller at a time tries it
/// again. No lock is held while the store works.
pub(crate) struct StoreTier {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    store: Box<dyn TileStore>,
    queue: Queue,
    reading: Mutex<Backoff>,
    writing: Mutex<Backoff>,
    counts: Counts,
    last_error: Mutex<Option<Error>>,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    skipped: AtomicU64,
    errors: AtomicU64,
    damaged: AtomicU64,
    written: AtomicU64,
    failed_writes: AtomicU64,
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
}

fn count(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}

impl StoreTier {
    /// The tier over `store`; starts its thread.
    ///
    /// # Errors
    ///
    /// `i/o error` when the system gives no thread.
    pub(crate) fn new(store: Box<dyn TileStore>, options: StoreOptions) -> Result<Self> {
        let shared = Arc::new(Shared {
            store,
            queue: Queue::new(options.queue_max_bytes, options.close_within),
            reading: Mutex::new(Backoff::new(options.waits)),
            writing: Mutex::new(Backoff::new(options.waits)),
            counts: Counts::default(),
            last_error: Mutex::new(None),
        });
        let theirs = Arc::clone(&shared);
        let writer = std::thread::Builder::new().name("tilekeep store".into()).spawn(move || theirs.write_all());
        let writer = writer.map_err(|e| Error::from(e).context("the thread that writes to the tile store"))?;
        Ok(Self { shared, writer: Some(writer) })
    }

    /// The tile under `key`, if the store has it whole.
    pub(crate) fn get(&self, key: TileKey) -> Option<StoredTile> {
        let shared = &self.shared;
        if let Some(value) = shared.queue.value(key) {
            return shared.opened(key, value.to_vec());
        }
        match shared.ask(1, || shared.store.get(key))? {
            Ok(value) => shared.answer(key, value),
            Err(error) => {
                shared.question_failed(&[key], &error);
                None
            }
        }
    }

    /// The tiles under `keys`, in their order, for one question to the store.
    pub(crate) fn get_many(&self, keys: &[TileKey]) -> Vec<Option<StoredTile>> {
        let shared = &self.shared;
        let mut tiles: Vec<_> = keys
            .iter()
            .map(|key| shared.queue.value(*key).and_then(|value| shared.opened(*key, value.to_vec())))
            .collect();
        let asked: Vec<usize> = (0..keys.len()).filter(|i| tiles[*i].is_none()).collect();
        let missing: Vec<TileKey> = asked.iter().map(|i| keys[*i]).collect();
        if missing.is_empty() {
            return tiles;
        }
        let values = shared.ask(missing.len(), || {
            let values = shared.store.get_many(&missing)?;
            let (want, got) = (missing.len(), values.len());
            let error = || Error::new(ErrorKind::Store, format!("the store gave {got} values for {want} keys"));
            if want == got { Ok(values) } else { Err(error()) }
        });
        match values {
            None => {}
            Some(Ok(values)) => {
                for (i, value) in asked.into_iter().zip(values) {
                    tiles[i] = shared.answer(keys[i], value);
                }
            }
            Some(Err(error)) => shared.question_failed(&missing, &error),
        }
        tiles
    }

    /// Has `value`, which is sealed, written in its turn. It may be dropped; a value that waits is found.
    pub(crate) fn put(&self, key: TileKey, value: Vec<u8>) {
        self.shared.queue.push(key, value);
    }

    /// Returns when what was put is written, or dropped because the store failed.
    pub(crate) fn flush(&self) {
        self.shared.queue.drain();
    }

    /// Forgets what is stored, and waits to be, for one raster.
    ///
    /// # Errors
    ///
    /// `store error` when it may still be there.
    pub(crate) fn remove_source(&self, source: u128) -> Result<()> {
        self.shared.queue.forget(|key| key.source == source);
        self.shared.commanded(|| self.shared.store.remove_source(source))
    }

    /// Forgets everything that is stored and waits to be.
    ///
    /// # Errors
    ///
    /// `store error` when some of it may still be there.
    pub(crate) fn clear(&self) -> Result<()> {
        self.shared.queue.forget(|_| true);
        self.shared.commanded(|| self.shared.store.clear())
    }

    pub(crate) fn stats(&self) -> StoreStats {
        let counts = &self.shared.counts;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            hits: get(&counts.hits),
            misses: get(&counts.misses),
            skipped: get(&counts.skipped),
            errors: get(&counts.errors),
            damaged: get(&counts.damaged),
            written: get(&counts.written),
            dropped: get(&counts.failed_writes) + self.shared.queue.dropped(),
            read_bytes: get(&counts.read_bytes),
            written_bytes: get(&counts.written_bytes),
            queued_bytes: self.shared.queue.bytes() as u64,
        }
    }

    /// What the store failed with last, however long ago.
    pub(crate) fn last_error(&self) -> Option<Error> {
        self.shared.last_error.lock().clone()
    }
}

impl Drop for StoreTier {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.take() {
            // It cannot have panicked: what a store panics with is caught.
            let _ = writer.join();
        }
    }
}

impl Shared {
    /// What the store says to a question for `n` tiles; `None` when it is left alone.
    fn ask<T>(&self, n: usize, question: impl FnOnce() -> Result<T>) -> Option<Result<T>> {
        if !self.reading.lock().may_use(Instant::now()) {
            count(&self.counts.skipped, n);
            return None;
        }
        let answer = caught(question);
        self.note(&self.reading, answer.as_ref().err());
        Some(answer)
    }

    fn answer(&self, key: TileKey, value: Option<Vec<u8>>) -> Option<StoredTile> {
        match value {
            Some(value) => self.opened(key, value),
            None => {
                count(&self.counts.misses, 1);
                None
            }
        }
    }

    fn opened(&self, key: TileKey, value: Vec<u8>) -> Option<StoredTile> {
        count(&self.counts.read_bytes, value.len());
        let tile = envelope::open(key, value);
        if tile.is_some() {
            count(&self.counts.hits, 1);
        } else {
            self.is_damaged(key);
        }
        tile
    }

    fn is_damaged(&self, key: TileKey) {
        count(&self.counts.damaged, 1);
        self.queue.push_removal(key);
    }

    fn question_failed(&self, keys: &[TileKey], error: &Error) {
        match (error.kind(), keys) {
            (ErrorKind::Corrupt, [key]) => self.is_damaged(*key),
            _ => count(&self.counts.misses, keys.len()),
        }
    }

    /// Remembers how a use of the store went.
    fn note(&self, backoff: &Mutex<Backoff>, error: Option<&Error>) {
        let Some(error) = error else {
            backoff.lock().succeeded();
            return;
        };
        count(&self.counts.errors, 1);
        if concerns_one_value(error) {
            backoff.lock().succeeded();
        } else {
            backoff.lock().failed(Instant::now());
        }
        let before = self.last_error.lock().replace(error.clone());
        drop(before);
    }

    /// Does what a client asked for, who hears of a failure.
    fn commanded(&self, command: impl FnOnce() -> Result<()>) -> Result<()> {
        let done = caught(command);
        self.note(&self.writing, done.as_ref().err());
        done
    }

    /// The life of the writer thread.
    fn write_all(&self) {
        while let Some(job) = self.queue.next(|| self.writing.lock().until()) {
            // It may be earlier than that: somebody waits for the queue to be empty.
            self.writing.lock().may_use(Instant::now());
            let done = caught(|| match &job {
                Job::Put(key, value) => self.store.put(*key, value),
                Job::Remove(key) => self.store.remove(*key),
            });
            self.note(&self.writing, done.as_ref().err());
            if let Job::Put(_, value) = &job {
                if done.is_ok() {
                    count(&self.counts.written, 1);
                    count(&self.counts.written_bytes, value.len());
                } else {
                    count(&self.counts.failed_writes, 1);
                }
            }
            let failed = done.is_err_and(|error| !concerns_one_value(&error));
            self.queue.done(&job, failed);
        }
    }
}

/// Whether the store works and only this value does not: too large, or unreadable.
fn concerns_one_value(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::LimitExceeded | ErrorKind::Corrupt)
}

/// Runs code of a store; a panic in it is a failure like any other.
fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(Error::new(ErrorKind::Store, format!("the tile store panicked: {}", panic_message(&*panic))))
    })
}
