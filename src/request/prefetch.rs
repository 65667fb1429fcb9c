//! Tiles that a viewer will probably ask for next.

use std::collections::{HashMap, VecDeque};

use crate::dataset::Dataset;
use crate::error::Result;
use crate::render::{Tile, TileRequest};
use crate::sync::{Arc, Mutex};

use super::available::{self, Rect};
use super::pool::{Asks, Shared};
use super::queue::{Class, Place, Rank};
use super::viewport::is_cheap;
use super::work::{Outcome, TileWork, tile_key};

/// How many of the last steps of a pan are looked ahead.
const STEPS: f64 = 3.0;
/// A movement along an axis that is so much smaller than along the other is the hand's.
const WOBBLE: f64 = 0.2;

/// Where a viewer looks.
pub(super) struct View {
    centre: (f64, f64),
    /// The finest level that is shown, and what of level 0.
    level: u32,
    bounds: Rect,
    /// A tile of that level.
    like: TileRequest,
}

/// What comes next.
#[derive(Debug, Default, PartialEq)]
pub(super) enum Next {
    /// The viewer does not move: what was expected still is.
    #[default]
    Same,
    /// Nobody knows.
    Unknown,
    /// These, the first ones first.
    Tiles(Vec<TileRequest>),
}

impl View {
    /// What the tiles of a frame show; `None` of none.
    pub(super) fn new(dataset: &Dataset, wanted: &[TileRequest], centre: (f64, f64)) -> Option<Self> {
        let like = wanted.iter().min_by_key(|request| request.level)?.clone();
        let finest = wanted.iter().filter(|request| request.level == like.level);
        let bounds = finest.filter_map(|request| available::place(dataset, request)).reduce(Rect::union)?;
        Some(Self { centre, level: like.level, bounds, like })
    }

    /// What comes after this, when the frame before was another.
    pub(super) fn predict(&self, dataset: &Dataset, before: Option<&Self>) -> Next {
        let Some(before) = before else { return Next::Unknown };
        let moved = (self.centre.0 - before.centre.0, self.centre.1 - before.centre.1);
        let (width, height) =
            (self.bounds.width().max(before.bounds.width()), self.bounds.height().max(before.bounds.height()));
        if moved.0.abs() > width || moved.1.abs() > height {
            return Next::Unknown;
        }
        if self.level != before.level {
            // The next level in the same direction, of as many tiles as are shown now.
            let (level, by) = if self.level < before.level {
                (self.level.checked_sub(1), 0.5)
            } else {
                (self.level.checked_add(1), 2.0)
            };
            let level = level.filter(|level| (*level as usize) < dataset.levels().len() && is_cheap(dataset, *level));
            return level
                .map_or(Next::Unknown, |level| self.tiles(dataset, level, self.bounds.scaled(self.centre, by)));
        }
        let most = moved.0.abs().max(moved.1.abs());
        if most == 0.0 {
            return Next::Same;
        }
        let scale = dataset.scale(self.level).unwrap_or((1.0, 1.0));
        let tile = (f64::from(self.like.size.0) * scale.0, f64::from(self.like.size.1) * scale.1);
        let lead = |moved: f64, tile: f64, extent: f64| match moved.abs() {
            small if small < WOBBLE * most => 0.0,
            large => moved.signum() * (large * STEPS).clamp(tile, extent.max(tile)),
        };
        let lead = (lead(moved.0, tile.0, width), lead(moved.1, tile.1, height));
        self.tiles(dataset, self.level, self.bounds.moved(lead))
    }

    /// The tiles of a level under a part of level 0, those near the centre first.
    fn tiles(&self, dataset: &Dataset, level: u32, part: Rect) -> Next {
        let mut tiles = available::tiles_under(dataset, &self.like, level, part);
        tiles.sort_by_cached_key(|tile| available::place(dataset, tile).map(|place| place.far_from(self.centre)));
        Next::Tiles(tiles)
    }
}

/// What one viewport loads ahead.
pub(super) struct Ahead {
    shared: Arc<Shared<Outcome>>,
    board: Arc<AheadBoard>,
    places: HashMap<u128, Place>,
}

/// Where threads put what was loaded ahead.
pub(super) struct AheadBoard {
    slots: Mutex<Slots>,
    shared: Arc<Shared<Outcome>>,
}

#[derive(Default)]
struct Slots {
    /// `None` until it is there.
    tiles: HashMap<u128, Option<Tile>>,
    /// Those that are there, the oldest first; some of them may have gone.
    order: VecDeque<u128>,
    bytes: u64,
    max_bytes: u64,
}

impl Slots {
    fn remove(&mut self, key: u128) -> Option<Tile> {
        let tile = self.tiles.remove(&key)??;
        self.bytes -= tile.bytes.len() as u64;
        self.order.retain(|other| *other != key);
        Some(tile)
    }

    /// Takes out the oldest tiles until the rest is within the budget.
    fn shrink(&mut self) -> Vec<Tile> {
        let mut gone = Vec::new();
        while self.bytes > self.max_bytes {
            let Some(oldest) = self.order.front().copied() else { break };
            gone.extend(self.remove(oldest));
        }
        gone
    }
}

impl AheadBoard {
    /// The tile if it is there, to be shown as a part of something.
    pub(super) fn find(&self, key: u128) -> Option<Tile> {
        self.slots.lock().tiles.get(&key).cloned().flatten()
    }
}

struct ForAhead {
    board: Arc<AheadBoard>,
    key: u128,
}

impl Asks<Outcome> for ForAhead {
    fn is_request(&self) -> bool {
        false
    }

    fn answer(&self, answer: Result<Outcome>) -> bool {
        let mut slots = self.board.slots.lock();
        let Some(slot @ None) = slots.tiles.get_mut(&self.key) else { return false };
        let Ok(Outcome::Tile(tile)) = answer else {
            slots.tiles.remove(&self.key);
            return false;
        };
        let bytes = tile.bytes.len() as u64;
        *slot = Some(tile);
        slots.bytes += bytes;
        slots.order.push_back(self.key);
        let gone = slots.shrink();
        drop(slots);
        self.board.shared.count(|stats| {
            stats.prefetched += 1;
            stats.prefetch_wasted += gone.len() as u64;
        });
        false
    }
}

impl Ahead {
    pub(super) fn new(shared: &Arc<Shared<Outcome>>, max_bytes: u64) -> Self {
        let slots = Mutex::new(Slots { max_bytes, ..Slots::default() });
        let board = Arc::new(AheadBoard { slots, shared: Arc::clone(shared) });
        Self { shared: Arc::clone(shared), board, places: HashMap::new() }
    }

    pub(super) fn set_max(&mut self, bytes: u64) {
        let gone = {
            let mut slots = self.board.slots.lock();
            slots.max_bytes = bytes;
            slots.shrink()
        };
        self.shared.count(|stats| stats.prefetch_wasted += gone.len() as u64);
        if bytes == 0 {
            self.give_up();
        }
    }

    /// The tile, which is asked for now.
    pub(super) fn take(&mut self, key: u128) -> Option<Tile> {
        let tile = self.board.slots.lock().remove(key)?;
        self.places.remove(&key);
        self.shared.count(|stats| stats.prefetch_used += 1);
        Some(tile)
    }

    pub(super) fn board(&self) -> &Arc<AheadBoard> {
        &self.board
    }

    /// Waits no more for a tile that is under way, because somebody asks for it.
    pub(super) fn leave(&mut self, key: u128) {
        if let Some(place) = self.places.remove(&key) {
            self.shared.withdraw(place);
            self.board.slots.lock().tiles.remove(&key);
        }
    }

    /// Expects what comes next, and no longer what is not in it; `has` are tiles that were asked for.
    pub(super) fn expect(&mut self, dataset: &Dataset, next: Next, has: impl Fn(&u128) -> bool, priority: i32) {
        let next = match next {
            Next::Same => return,
            Next::Unknown => return self.give_up(),
            Next::Tiles(tiles) => tiles,
        };
        if self.board.slots.lock().max_bytes == 0 {
            return;
        }
        let next: Vec<_> = next.into_iter().map(|tile| (tile_key(dataset, &tile), tile)).collect();
        let next: Vec<_> = next.into_iter().filter(|(key, _)| !has(key)).collect();
        let left: Vec<_> = {
            let is_next = |key: &u128| next.iter().any(|(other, _)| other == key);
            self.places.keys().filter(|key| !is_next(key)).copied().collect()
        };
        left.into_iter().for_each(|key| self.forget_place(key));
        for (number, (key, tile)) in (0..).zip(next) {
            let rank = Rank { far: number, ..Rank::new(Class::Ahead, priority) };
            if let Some(place) = self.places.get(&key).filter(|_| self.is_pending(key)) {
                self.shared.set_rank(*place, rank);
                continue;
            }
            if self.board.find(key).is_some() || dataset.found_tile(&tile).is_some() {
                continue;
            }
            self.board.slots.lock().tiles.insert(key, None);
            let asks = Arc::new(ForAhead { board: Arc::clone(&self.board), key });
            let work = Box::new(TileWork(dataset.clone(), tile));
            if let Some(place) = self.shared.ask(key, rank, asks, work) {
                self.places.insert(key, place);
            }
        }
    }

    fn is_pending(&self, key: u128) -> bool {
        matches!(self.board.slots.lock().tiles.get(&key), Some(None))
    }

    /// Takes back a tile that is under way; one that is there stays.
    fn forget_place(&mut self, key: u128) {
        let Some(place) = self.places.remove(&key) else { return };
        self.shared.withdraw(place);
        let mut slots = self.board.slots.lock();
        if matches!(slots.tiles.get(&key), Some(None)) {
            slots.tiles.remove(&key);
        }
    }

    /// Takes everything back and forgets what is there.
    pub(super) fn give_up(&mut self) {
        for (_, place) in self.places.drain() {
            self.shared.withdraw(place);
        }
        let gone = {
            let mut slots = self.board.slots.lock();
            slots.order.clear();
            slots.bytes = 0;
            std::mem::take(&mut slots.tiles)
        };
        let wasted = gone.values().flatten().count() as u64;
        drop(gone);
        self.shared.count(|stats| stats.prefetch_wasted += wasted);
    }
}
