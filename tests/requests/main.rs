//! What is asked for and taken back: in which order it is served, how it is delivered, and what is left when nobody wants it.

mod delivery;
#[cfg(unix)]
mod fd;
mod order;
mod previews;
mod stopping;
mod viewports;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tilekeep::{
    BlockId, Dataset, Encoding, ErrorKind, MemorySource, OpenOptions, ReadContext, Requests, Result, SampleType,
    SourceInfo, TileRequest, TileSource,
};

/// Pixels across and down a block.
const BLOCK: u32 = 16;

/// A source that lets reads through one by one, or all of them.
#[derive(Clone)]
struct Gate(Arc<(Mutex<Passed>, Condvar, MemorySource)>);

#[derive(Default)]
struct Passed {
    /// What is being or was read, in order.
    begun: Vec<BlockId>,
    finished: usize,
    allowed: usize,
}

impl Gate {
    fn new(cols: u32, rows: u32) -> Self {
        let (width, height) = (cols * BLOCK, rows * BLOCK);
        let pixels = (0..width * height).map(|i| (i / 7 % 251) as u8).collect();
        let source = MemorySource::new(width, height, 1, SampleType::U8, (BLOCK, BLOCK), pixels).unwrap();
        Self(Arc::new((Mutex::default(), Condvar::new(), source)))
    }

    fn dataset(&self) -> Dataset {
        Dataset::from_source(self.clone(), &OpenOptions::default()).unwrap()
    }

    fn allow(&self, n: usize) {
        let mut passed = self.0.0.lock().unwrap();
        passed.allowed = passed.allowed.saturating_add(n);
        drop(passed);
        self.0.1.notify_all();
    }

    fn open(&self) {
        self.allow(usize::MAX);
    }

    /// Lets no more reads through.
    fn close(&self) {
        self.0.0.lock().unwrap().allowed = 0;
    }

    fn begun(&self) -> Vec<BlockId> {
        self.0.0.lock().unwrap().begun.clone()
    }

    fn finished(&self) -> usize {
        self.0.0.lock().unwrap().finished
    }

    /// Returns when so many reads stand before the gate or have passed it.
    fn wait_for(&self, n: usize) {
        let mut passed = self.0.0.lock().unwrap();
        while passed.begun.len() < n {
            passed = self.0.1.wait(passed).unwrap();
        }
    }
}

impl TileSource for Gate {
    fn info(&self) -> &SourceInfo {
        self.0.2.info()
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], context: &mut ReadContext<'_>) -> Result<()> {
        let (passed, changed, source) = &*self.0;
        let mut state = passed.lock().unwrap();
        state.begun.push(at);
        changed.notify_all();
        while state.allowed == 0 {
            state = changed.wait(state).unwrap();
        }
        state.allowed -= usize::from(state.allowed < usize::MAX);
        drop(state);
        context.check()?;
        source.read_block(at, out, context)?;
        passed.lock().unwrap().finished += 1;
        Ok(())
    }
}

/// The tile that is one block.
fn tile(level: u32, col: u32, row: u32) -> TileRequest {
    TileRequest::new(level, col, row).size(BLOCK, BLOCK).encoding(Encoding::Png)
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// The cache of rendered tiles is one for all tests: those to which it matters what it holds run one after another.
fn tiles() -> MutexGuard<'static, ()> {
    static TILES: Mutex<()> = Mutex::new(());
    TILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks until something is so that another thread will make so.
fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

/// Gives others the processor, so that what does not wait for them is over before they are.
fn linger() {
    (0..1000).for_each(|_| thread::yield_now());
}

/// Waits until there is nothing left to do.
fn idle(requests: &Requests) {
    until(|| {
        let stats = requests.stats();
        stats.queued + stats.running == 0
    });
}

/// A dataset of 64 x 64 blocks in 3 levels, where all that is read is recorded.
fn pyramid() -> (Gate, Dataset) {
    let gate = Gate::new(64, 64);
    let dataset = gate.dataset();
    assert_eq!(dataset.levels().len(), 3);
    (gate, dataset)
}
