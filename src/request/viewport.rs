//! What a frame of a viewer shows: a set of tiles that replaces the one before.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::grid::Window;
use crate::render::{Tile, TileRequest};
use crate::sync::{Arc, Condvar, Mutex, wait};

use super::available::{self, Available, Rect, at_most_tiles_under};
use super::calls::{call, may_wait};
use super::pool::{Asks, Shared};
use super::prefetch::{Ahead, AheadBoard, Kept, View};
use super::queue::{Class, Place, Rank};
use super::work::{Outcome, TileWork, tile_key};

/// The coarsest level is kept when it has no more tiles than this.
const MOST_BACKDROP: usize = 16;
/// A level that is not stored is made for the sake of showing something when it takes no more pixels than this.
const CHEAP_PIXELS: u64 = 1 << 22;

/// More tiles of one level are not listed for a frame.
const MOST_WANTED: u64 = 1 << 16;

type OnTile = Box<dyn Fn(&TileRequest, Result<Tile>) + Send + Sync>;

/// What a viewer wants to show of one dataset, frame by frame; made by [`Requests::viewport`](super::Requests::viewport).
///
/// Each [`want`](Self::want) replaces the set of the frame before: what is no longer wanted is dropped from the queue,
/// what still is keeps its place in it by its new distance. Tiles of the set stay here for as long as they are in it, and so
/// do those of the coarsest level: [`best_available`](Self::best_available) finds them whatever the cache of rendered tiles
/// forgets.
///
/// From one set to the next it sees where the viewer goes, and loads what comes next when nothing that was asked for waits:
/// the tiles ahead of a pan, the next level of a zoom. A jump gives all of that up.
///
/// When it was dropped no call of its function begins any more, and none runs: dropping waits for those that do. Not so in a
/// callback or in a thread of a [`Requests`](super::Requests), where nothing waits for callbacks: those in other threads go on.
pub struct Viewport {
    shared: Arc<Shared<Outcome>>,
    dataset: Dataset,
    priority: i32,
    board: Arc<Board>,
    places: HashMap<u128, Place>,
    last: Option<View>,
    ahead: Ahead,
}

/// The tiles of a viewport, where threads put them.
pub(super) struct Board {
    slots: Mutex<Slots>,
    /// Notified when no call of the function is under way.
    quiet: Condvar,
    on_tile: OnTile,
}

#[derive(Default)]
struct Slots {
    tiles: HashMap<u128, Slot>,
    /// Calls of the function that are under way.
    calls: usize,
}

enum Slot {
    Pending,
    Here(Tile),
    Failed,
}

impl Board {
    pub(super) fn find(&self, key: u128) -> Option<Tile> {
        match self.slots.lock().tiles.get(&key) {
            Some(Slot::Here(tile)) => Some(tile.clone()),
            _ => None,
        }
    }

    /// Returns when no call of the function is under way, where that may be waited for.
    fn wait_until_quiet(&self) {
        if !may_wait() {
            return;
        }
        let mut slots = self.slots.lock();
        while slots.calls > 0 {
            slots = wait(&self.quiet, slots);
        }
    }
}

/// What a viewport has to show, for those who look while it changes.
#[derive(Clone)]
pub(crate) struct Shown {
    dataset: Dataset,
    board: Arc<Board>,
    ahead: Kept,
}

impl Shown {
    /// See [`Viewport::tile`].
    pub(crate) fn tile(&self, request: &TileRequest) -> Option<Tile> {
        self.board.find(tile_key(&self.dataset, request))
    }

    /// See [`Viewport::tiles_under`].
    pub(crate) fn tiles_under(
        &self,
        like: &TileRequest,
        levels: RangeInclusive<u32>,
        window: &Window,
    ) -> Result<Vec<TileRequest>> {
        self.dataset.level(*levels.end())?;
        let mut tiles = Vec::new();
        for level in levels {
            let under = at_most_tiles_under(MOST_WANTED, &self.dataset, like, level, Rect::of(window));
            let too_many = || Error::limit(format!("more than {MOST_WANTED} tiles of level {level}"));
            tiles.extend(under.ok_or_else(too_many)?);
        }
        Ok(tiles)
    }

    /// See [`Viewport::best_available`].
    pub(crate) fn best_available(&self, request: &TileRequest) -> Option<Available> {
        available::available(&self.dataset, request, |tile| {
            let key = tile_key(&self.dataset, tile);
            self.board.find(key).or_else(|| self.ahead.find(key)).or_else(|| self.dataset.found_tile(tile))
        })
    }
}

/// A call that is over when this is dropped.
struct UnderWay<'a>(&'a Board);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut slots = self.0.slots.lock();
        slots.calls -= 1;
        let is_last = slots.calls == 0;
        drop(slots);
        if is_last {
            self.0.quiet.notify_all();
        }
    }
}

/// One tile of a viewport, asked for.
struct ForBoard {
    board: Arc<Board>,
    key: u128,
    request: TileRequest,
}

impl Asks<Outcome> for ForBoard {
    fn answer(&self, answer: Result<Outcome>) -> bool {
        let answer = match answer {
            Ok(Outcome::Tile(tile)) => Ok(tile),
            Ok(_) => return false,
            Err(error) => Err(error),
        };
        let mut slots = self.board.slots.lock();
        let Some(slot @ Slot::Pending) = slots.tiles.get_mut(&self.key) else { return false };
        *slot = answer.as_ref().map_or(Slot::Failed, |tile| Slot::Here(tile.clone()));
        // Under the lock, so that whoever lets go of the tiles knows of it.
        slots.calls += 1;
        drop(slots);
        let _under_way = UnderWay(&self.board);
        call(|| (self.board.on_tile)(&self.request, answer));
        true
    }

    /// Whoever hands in a frame is told of it by what is missing.
    fn refuse(&self) {
        if let Some(slot @ Slot::Pending) = self.board.slots.lock().tiles.get_mut(&self.key) {
            *slot = Slot::Failed;
        }
    }
}

impl Viewport {
    pub(super) fn new(
        (shared, ahead): (&Arc<Shared<Outcome>>, &Arc<AheadBoard>),
        dataset: &Dataset,
        priority: i32,
        on_tile: OnTile,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            dataset: dataset.clone(),
            priority,
            board: Arc::new(Board { slots: Mutex::default(), quiet: Condvar::new(), on_tile }),
            places: HashMap::new(),
            last: None,
            ahead: Ahead::new(shared, ahead),
        }
    }

    pub(super) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Changes how many bytes of tiles that nobody has asked for yet are kept here. All viewports of a
    /// [`Requests`](super::Requests) together keep a quarter of what may be kept of [rendered tiles](crate::tile_cache_max) at
    /// most, of which the oldest go first; by default one may have all of that. 0 loads nothing ahead.
    pub fn set_prefetch_max(&mut self, bytes: u64) {
        self.ahead.set_max(bytes);
    }

    /// Wants these tiles from now on, and no others: those of a frame, of one level or of several, and of one look.
    /// `centre` is where the viewer looks, in pixels of level 0.
    ///
    /// Coarse levels are loaded before fine ones, and within a level what is near the centre first. The tiles of the coarsest
    /// level are wanted too, if they are few and it is stored or cheap to make. Returns how many tiles of `wanted` are not at
    /// hand yet: the viewport's function gets each of them as it arrives, or what went wrong with it, and is told nothing of
    /// those that are dropped. One that failed is asked for again when it was not wanted meanwhile.
    pub fn want(&mut self, wanted: &[TileRequest], centre: (f64, f64)) -> usize {
        let dataset = &self.dataset;
        let keyed = |request: &TileRequest| (tile_key(dataset, request), request.clone());
        let asked: Vec<_> = wanted.iter().map(keyed).collect();
        let backdrop: Vec<_> = wanted.first().map(|like| backdrop(dataset, like)).unwrap_or_default();
        let all: Vec<_> = asked.iter().cloned().chain(backdrop.iter().map(keyed)).collect();
        let keys: HashSet<u128> = all.iter().map(|(key, _)| *key).collect();

        // What is not known here may be in memory all the same.
        let unknown = |key: &u128| !self.board.slots.lock().tiles.contains_key(key);
        let mut found: HashMap<u128, Tile> = HashMap::new();
        for (key, request) in all.iter().filter(|(key, _)| unknown(key)) {
            if let Some(tile) = self.ahead.take(*key).or_else(|| dataset.found_tile(request)) {
                found.insert(*key, tile);
            }
        }

        let mut gone = Vec::new();
        let mut missing = Vec::new();
        let mut slots = self.board.slots.lock();
        slots.tiles.retain(|key, slot| {
            let stays = keys.contains(key);
            if !stays {
                gone.push(std::mem::replace(slot, Slot::Failed));
            }
            stays
        });
        for (key, request) in &all {
            if !slots.tiles.contains_key(key) {
                let slot = found.remove(key).map_or(Slot::Pending, Slot::Here);
                if matches!(slot, Slot::Pending) {
                    missing.push((*key, request.clone()));
                }
                slots.tiles.insert(*key, slot);
            }
        }
        let pending: HashSet<u128> =
            slots.tiles.iter().filter(|(_, s)| matches!(s, Slot::Pending)).map(|(k, _)| *k).collect();
        drop(slots);
        drop(gone);

        let left: Vec<_> = self.places.keys().filter(|key| !pending.contains(key)).copied().collect();
        let mut n_dropped = 0;
        for key in left {
            n_dropped += u64::from(self.places.remove(&key).is_some_and(|place| self.shared.withdraw(place)));
        }
        if n_dropped > 0 {
            self.shared.count(|stats| stats.cancelled += n_dropped);
        }
        let n_levels = dataset.levels().len() as u32;
        for (key, request) in &all {
            if let Some(place) = self.places.get(key) {
                self.shared.set_rank(*place, self.rank(request, n_levels, centre));
            }
        }
        for (key, request) in missing {
            let rank = self.rank(&request, n_levels, centre);
            let work = Box::new(TileWork(dataset.clone(), request.clone()));
            let asks = Arc::new(ForBoard { board: Arc::clone(&self.board), key, request });
            if let Some(place) = self.shared.ask(key, rank, asks, work) {
                self.places.insert(key, place);
            }
            // Only now, so that what is under way goes on.
            self.ahead.leave(key);
        }

        let now = View::new(dataset, wanted, centre);
        let next = now.as_ref().map(|now| now.predict(dataset, self.last.as_ref())).unwrap_or_default();
        self.last = now.or(self.last.take());
        self.ahead.expect(dataset, next, |key| keys.contains(key), self.priority);
        asked.iter().filter(|(key, _)| pending.contains(key)).count()
    }

    /// The tiles of some levels that lie under a window of level 0, which may reach beyond it: what a frame
    /// [wants](Self::want). They look as `like` does.
    ///
    /// # Errors
    ///
    /// `invalid argument` when there is no such level; `limit exceeded` for more than 65,536 tiles of a level.
    pub fn tiles_under(
        &self,
        like: &TileRequest,
        levels: RangeInclusive<u32>,
        window: &Window,
    ) -> Result<Vec<TileRequest>> {
        self.shown().tiles_under(like, levels, window)
    }

    fn rank(&self, request: &TileRequest, n_levels: u32, centre: (f64, f64)) -> Rank {
        let far = available::place(&self.dataset, request).map_or(u64::MAX, |place| place.far_from(centre));
        let finer = n_levels.saturating_sub(1 + request.level);
        Rank { finer, far, ..Rank::new(Class::Wanted, self.priority) }
    }

    /// The tile if it is here.
    #[must_use]
    pub fn tile(&self, request: &TileRequest) -> Option<Tile> {
        self.shown().tile(request)
    }

    /// What can be shown of a tile now, without reading anything: the tile itself, all of the next finer level, or the
    /// nearest coarser levels with what there is of the finer one on top. `None` when nothing of it is in memory.
    #[must_use]
    pub fn best_available(&self, request: &TileRequest) -> Option<Available> {
        self.shown().best_available(request)
    }

    pub(crate) fn shown(&self) -> Shown {
        let (dataset, board) = (self.dataset.clone(), Arc::clone(&self.board));
        Shown { dataset, board, ahead: self.ahead.kept().clone() }
    }
}

impl Drop for Viewport {
    fn drop(&mut self) {
        let gone = std::mem::take(&mut self.board.slots.lock().tiles);
        drop(gone);
        let n_dropped = self.places.values().filter(|place| self.shared.withdraw(**place)).count() as u64;
        self.shared.count(|stats| stats.cancelled += n_dropped);
        self.ahead.give_up();
        self.board.wait_until_quiet();
    }
}

impl std::fmt::Debug for Viewport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Viewport").field("dataset", &self.dataset).finish_non_exhaustive()
    }
}

/// The tiles of the coarsest level, if it costs little to have them.
pub(super) fn backdrop(dataset: &Dataset, like: &TileRequest) -> Vec<TileRequest> {
    let level = dataset.levels().len() as u32 - 1;
    let Some(all) = available::place_of_level(dataset, level).filter(|_| is_cheap(dataset, level)) else {
        return Vec::new();
    };
    let tiles = available::tiles_under(dataset, like, level, all);
    if tiles.len() > MOST_BACKDROP { Vec::new() } else { tiles }
}

/// Whether a level is stored, or made of few pixels.
pub(super) fn is_cheap(dataset: &Dataset, level: u32) -> bool {
    let levels = dataset.levels();
    let stored = levels[..=(level as usize).min(levels.len() - 1)].iter().rposition(|level| level.native);
    let stored = stored.unwrap_or(0);
    stored == level as usize || levels[stored].width.saturating_mul(levels[stored].height) <= CHEAP_PIXELS
}
