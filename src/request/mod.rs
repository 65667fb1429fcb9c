//! What a viewer asks for and takes back: requests by priority, served by threads that the client sizes and owns.
//!
//! | file | what it is |
//! | --- | --- |
//! | `queue` | jobs in order of urgency, each with those who wait for it |
//! | `pool` | the threads that work the queue off |
//! | `work` | what can be asked for |
//! | `calls` | callbacks under way, and who may wait until others are over |
//! | `delivery` | how an answer reaches the one who asked |
//! | `signal` | what an event loop waits on |
//! | `available` | what can be shown of a tile at once |
//! | `preview` | something coarser, sooner |
//! | `viewport` | the set of tiles of a frame |
//! | `prefetch` | what a viewer will probably ask for next |
//!
//! Locks: a thread takes the one of the queue, of a request, of a viewport's tiles, of those loaded ahead, or of the signal,
//! never two at once, and none while it works, answers, or drops what is left of a job. The one exception is the C interface,
//! which holds the lock of its handle on a viewport while a frame is handed in, around these; nobody takes it the other way
//! round, and nothing of the client's runs meanwhile.

mod available;
mod calls;
mod delivery;
mod pool;
mod prefetch;
mod preview;
mod queue;
mod signal;
mod stats;
mod viewport;
mod work;

#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::sync::{OnceLock, Weak};

use crate::dataset::{Dataset, SharedBlock, WindowRequest};
use crate::error::Result;
use crate::grid::BlockId;
use crate::render::{Tile, TileBytes, TileRequest};
use crate::sync::{Arc, Mutex};

pub use available::{Available, AvailablePart};
use delivery::Waiting;
pub use delivery::{Arrival, Delivery, Request};
use pool::{Pool, Work};
use prefetch::AheadBoard;
use preview::{ForPreview, PreviewWork, preview_key};
use queue::{Class, Rank};
use signal::Signal;
pub use stats::RequestStats;
use viewport::Board;
pub(crate) use viewport::Shown;
pub use viewport::Viewport;
pub use work::Answer;
use work::{BlockWork, Outcome, TileWork, WindowWork, block_key, tile_key, window_key};

/// Threads that serve requests in order of their priority, until this is dropped.
///
/// A request is queued and answered later: by waiting for it or looking at it, to a function, to a channel, or as a
/// [`Future`]. Equal requests for one dataset are one job, which has the highest priority of all who asked; of equal
/// priorities the oldest goes first. Whoever takes a request back is answered `cancelled` at once and disturbs nobody else.
/// When nobody is left, a job that has not begun is dropped, and one that runs stops at its next check point, between
/// blocks, reads, rows or codec calls; what it was loading is then absent, as if nobody had asked.
///
/// Dropping it takes back all requests that are left and returns when its threads are gone. In a callback, and in a thread of
/// any `Requests`, it returns at once: the threads go as soon as what they are at is over.
///
/// ```
/// use tilekeep::{Dataset, Delivery, Encoding, MemorySource, OpenOptions, Requests, SampleType, TileRequest};
///
/// # fn main() -> tilekeep::Result<()> {
/// let source = MemorySource::new(512, 512, 1, SampleType::U8, (256, 256), vec![7; 512 * 512])?;
/// let dataset = Dataset::from_source(source, &OpenOptions::default())?;
/// let requests = Requests::new(2)?;
///
/// let tile = TileRequest::new(0, 1, 1).encoding(Encoding::Png);
/// let near = requests.request_tile(&dataset, tile, 10, Delivery::handle());
/// let (sender, arrived) = std::sync::mpsc::channel();
/// for col in 0..2 {
///     let far = TileRequest::new(0, col, 0).encoding(Encoding::Png);
///     requests.request_tile(&dataset, far, 0, Delivery::channel(sender.clone(), col)).detach();
/// }
/// assert_eq!(&near.wait()?.bytes[1..4], b"PNG");
/// let (_, tile) = arrived.recv().expect("two are on their way");
/// assert_eq!(tile?.width, 256);
/// # Ok(())
/// # }
/// ```
pub struct Requests {
    pool: Pool<Outcome>,
    boards: Mutex<Vec<Weak<Board>>>,
    ahead: Arc<AheadBoard>,
    /// Made when somebody wants to wait on it.
    signal: OnceLock<Arc<Signal>>,
}

impl Requests {
    /// Starts so many threads. As many as the machine has processors do for files that are at hand; a source far away is
    /// waited for by more.
    ///
    /// # Errors
    ///
    /// `invalid argument` for none, or more than 1024; `i/o error` when the system gives no more.
    pub fn new(n_threads: usize) -> Result<Self> {
        Ok(Self {
            pool: Pool::new(n_threads)?,
            boards: Mutex::default(),
            ahead: Arc::default(),
            signal: OnceLock::new(),
        })
    }

    /// Asks for a tile, as [`Dataset::read_tile`] gives it.
    ///
    /// One that is in the cache of rendered tiles is there at once, when it is delivered through the handle only.
    pub fn request_tile(
        &self,
        dataset: &Dataset,
        request: TileRequest,
        priority: i32,
        delivery: Delivery<Tile>,
    ) -> Request<Tile> {
        let shared = &self.pool.shared;
        if delivery.is_handle()
            && let Some(tile) = dataset.found_tile(&request)
        {
            shared.count(|stats| stats.answered += 1);
            return Request::answered(shared, self.signal.get(), Ok(tile));
        }
        let (key, with_preview) = (tile_key(dataset, &request), delivery.is_progressive());
        let waiting = Waiting::new(delivery, self.signal.get());
        let preview = with_preview.then(|| {
            let asks = Arc::new(ForPreview(Arc::clone(&waiting)));
            let work = Box::new(PreviewWork(dataset.clone(), request.clone()));
            shared.ask(preview_key(dataset, &request), Rank::new(Class::Preview, priority), asks, work)
        });
        self.ask(key, priority, (waiting, preview.flatten()), Box::new(TileWork(dataset.clone(), request)))
    }

    /// Asks for a block, to be lent as [`Dataset::block`] does.
    pub fn request_block(
        &self,
        dataset: &Dataset,
        at: impl Into<BlockId>,
        priority: i32,
        delivery: Delivery<Arc<SharedBlock>>,
    ) -> Request<Arc<SharedBlock>> {
        let at = at.into();
        let work = Box::new(BlockWork(dataset.clone(), at));
        self.ask(block_key(dataset, at), priority, (Waiting::new(delivery, self.signal.get()), None), work)
    }

    /// Asks for the bytes of a window, as [`Dataset::read_window`] writes them into a buffer of
    /// [`Dataset::window_bytes`].
    pub fn request_window(
        &self,
        dataset: &Dataset,
        request: WindowRequest,
        priority: i32,
        delivery: Delivery<TileBytes>,
    ) -> Request<TileBytes> {
        let key = window_key(dataset, &request);
        let work = Box::new(WindowWork(dataset.clone(), request));
        self.ask(key, priority, (Waiting::new(delivery, self.signal.get()), None), work)
    }

    fn ask<T: Answer>(
        &self,
        key: u128,
        priority: i32,
        (waiting, preview): (Arc<Waiting<T>>, Option<queue::Place>),
        work: Box<dyn Work<Outcome>>,
    ) -> Request<T> {
        let shared = &self.pool.shared;
        let place = shared.ask(key, Rank::new(Class::Wanted, priority), Arc::<Waiting<T>>::clone(&waiting), work);
        Request::new(shared, waiting, (place, preview))
    }

    /// A viewport on a dataset, which wants nothing yet. Its tiles are requests of this priority; each is given to `on_tile`
    /// as it arrives, in a thread of this and with no lock held.
    pub fn viewport(
        &self,
        dataset: &Dataset,
        priority: i32,
        on_tile: impl Fn(&TileRequest, Result<Tile>) + Send + Sync + 'static,
    ) -> Viewport {
        let viewport = Viewport::new((&self.pool.shared, &self.ahead), dataset, priority, Box::new(on_tile));
        let mut boards = self.boards.lock();
        boards.retain(|board| board.strong_count() > 0);
        boards.push(Arc::downgrade(viewport.board()));
        drop(boards);
        viewport
    }

    /// What can be shown of a tile now, without reading anything, out of the cache of rendered tiles and of what viewports
    /// show; see [`Viewport::best_available`].
    #[must_use]
    pub fn best_available(&self, dataset: &Dataset, request: &TileRequest) -> Option<Available> {
        let boards: Vec<_> = self.boards.lock().iter().filter_map(Weak::upgrade).collect();
        available::available(dataset, request, |tile| {
            let key = tile_key(dataset, tile);
            boards.iter().find_map(|board| board.find(key)).or_else(|| dataset.found_tile(tile))
        })
    }

    /// A file descriptor for event loops: readable for as long as there are answers that nobody has looked at, to requests
    /// that were made after the first call of this and are delivered through the [`Request`] only. Looking is
    /// [`Request::poll`] or waiting, and so is dropping the request.
    ///
    /// It is to be waited on, as with `poll` or `epoll`, never read or written. Whoever never calls this has none.
    ///
    /// # Errors
    ///
    /// `i/o error` when the system gives none.
    #[cfg(unix)]
    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        if let Some(signal) = self.signal.get() {
            return Ok(signal.as_fd());
        }
        let made = Arc::new(Signal::new()?);
        Ok(self.signal.get_or_init(|| made).as_fd())
    }

    /// Changes how many threads at most load what nobody has asked for yet: half of all until this is called, and one at
    /// least. With 0 nothing is loaded ahead.
    pub fn set_prefetch_threads(&self, at_most: usize) {
        self.pool.shared.set_most_ahead(at_most);
    }

    /// What was asked for and what became of it.
    #[must_use]
    pub fn stats(&self) -> RequestStats {
        self.pool.shared.stats()
    }
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests").field("stats", &self.stats()).finish()
    }
}
