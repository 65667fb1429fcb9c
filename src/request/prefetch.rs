//! Tiles that a viewer will probably ask for next.

use std::collections::{HashMap, VecDeque};

use crate::dataset::Dataset;
use crate::error::Result;
use crate::render::{Tile, TileRequest, tile_cache_max};
use crate::sync::{Arc, Mutex};

use super::available::{self, Rect};
use super::pool::{Asks, Shared};
use super::queue::{Class, Place, Rank};
use super::viewport::is_cheap;
use super::work::{Outcome, TileWork, tile_key};

/// Of what may be kept of rendered tiles, the part that viewports have for tiles that they may come by.
const SHARE: u64 = 4;
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
    kept: Kept,
    places: HashMap<u128, Place>,
}

/// Where threads put what was loaded ahead, for all viewports that they serve.
#[derive(Default)]
pub(super) struct AheadBoard {
    slots: Mutex<Slots>,
}

/// What is kept there for one viewport.
#[derive(Clone)]
pub(super) struct Kept {
    board: Arc<AheadBoard>,
    viewport: u64,
}

#[derive(Default)]
struct Slots {
    viewports: HashMap<u64, OfViewport>,
    /// The tiles that are there, of all viewports, the oldest first.
    order: VecDeque<(u64, u128)>,
    bytes: u64,
    /// Viewports so far.
    last: u64,
}

struct OfViewport {
    /// `None` until it is there.
    tiles: HashMap<u128, Option<Tile>>,
    bytes: u64,
    max_bytes: u64,
}

/// How many bytes all viewports of one `Requests` may keep of tiles that nobody has asked for.
fn share() -> u64 {
    tile_cache_max() / SHARE
}

impl Slots {
    fn enter(&mut self) -> u64 {
        self.last += 1;
        // Bounded by the share of all until somebody says something else.
        self.viewports.insert(self.last, OfViewport { tiles: HashMap::new(), bytes: 0, max_bytes: u64::MAX });
        self.last
    }

    /// Waits for a tile.
    fn expect(&mut self, viewport: u64, key: u128) {
        if let Some(of) = self.viewports.get_mut(&viewport) {
            of.tiles.entry(key).or_default();
        }
    }

    /// A tile has come, if it is still waited for; what had to go for it. All viewports have `share` bytes.
    fn put(&mut self, viewport: u64, key: u128, tile: Tile, share: u64) -> Option<Vec<Tile>> {
        let of = self.viewports.get_mut(&viewport)?;
        let slot @ None = of.tiles.get_mut(&key)? else { return None };
        let bytes = tile.bytes.len() as u64;
        *slot = Some(tile);
        of.bytes += bytes;
        self.bytes += bytes;
        self.order.push_back((viewport, key));
        Some(self.shrink(viewport, share))
    }

    /// Stops waiting for a tile, or takes it out.
    fn remove(&mut self, viewport: u64, key: u128) -> Option<Tile> {
        let of = self.viewports.get_mut(&viewport)?;
        let tile = of.tiles.remove(&key)??;
        let bytes = tile.bytes.len() as u64;
        of.bytes -= bytes;
        self.bytes -= bytes;
        self.order.retain(|other| *other != (viewport, key));
        Some(tile)
    }

    /// Takes out the oldest tiles until the viewport is within what it may have, and all of them within `share`.
    fn shrink(&mut self, viewport: u64, share: u64) -> Vec<Tile> {
        let mut gone = Vec::new();
        while self.viewports.get(&viewport).is_some_and(|of| of.bytes > of.max_bytes) {
            let Some(oldest) = self.order.iter().position(|(other, _)| *other == viewport) else { break };
            gone.extend(self.order.remove(oldest).and_then(|(viewport, key)| self.remove(viewport, key)));
        }
        while self.bytes > share {
            let Some((viewport, key)) = self.order.pop_front() else { break };
            gone.extend(self.remove(viewport, key));
        }
        gone
    }

    /// Takes out everything of a viewport.
    fn clear(&mut self, viewport: u64) -> HashMap<u128, Option<Tile>> {
        let Some(of) = self.viewports.get_mut(&viewport) else { return HashMap::new() };
        self.order.retain(|(other, _)| *other != viewport);
        self.bytes -= std::mem::take(&mut of.bytes);
        std::mem::take(&mut of.tiles)
    }

    fn is_pending(&self, viewport: u64, key: u128) -> bool {
        self.viewports.get(&viewport).is_some_and(|of| matches!(of.tiles.get(&key), Some(None)))
    }
}

impl Kept {
    /// The tile if it is there, to be shown as a part of something.
    pub(super) fn find(&self, key: u128) -> Option<Tile> {
        self.board.slots.lock().viewports.get(&self.viewport)?.tiles.get(&key).cloned().flatten()
    }

    /// Stops waiting for a tile, or takes it out.
    fn remove(&self, key: u128) -> Option<Tile> {
        self.board.slots.lock().remove(self.viewport, key)
    }

    fn is_pending(&self, key: u128) -> bool {
        self.board.slots.lock().is_pending(self.viewport, key)
    }
}

struct ForAhead {
    shared: Arc<Shared<Outcome>>,
    kept: Kept,
    key: u128,
}

impl Asks<Outcome> for ForAhead {
    fn is_request(&self) -> bool {
        false
    }

    fn answer(&self, answer: Result<Outcome>) -> bool {
        let (share, viewport) = (share(), self.kept.viewport);
        let mut slots = self.kept.board.slots.lock();
        let Ok(Outcome::Tile(tile)) = answer else {
            if slots.is_pending(viewport, self.key) {
                slots.remove(viewport, self.key);
            }
            return false;
        };
        let put = slots.put(viewport, self.key, tile, share);
        drop(slots);
        let Some(gone) = put else { return false };
        self.shared.count(|stats| {
            stats.prefetched += 1;
            stats.prefetch_wasted += gone.len() as u64;
        });
        false
    }
}

impl Ahead {
    pub(super) fn new(shared: &Arc<Shared<Outcome>>, board: &Arc<AheadBoard>) -> Self {
        let viewport = board.slots.lock().enter();
        let kept = Kept { board: Arc::clone(board), viewport };
        Self { shared: Arc::clone(shared), kept, places: HashMap::new() }
    }

    pub(super) fn set_max(&mut self, bytes: u64) {
        let share = share();
        let gone = {
            let mut slots = self.kept.board.slots.lock();
            if let Some(of) = slots.viewports.get_mut(&self.kept.viewport) {
                of.max_bytes = bytes;
            }
            slots.shrink(self.kept.viewport, share)
        };
        self.shared.count(|stats| stats.prefetch_wasted += gone.len() as u64);
        if bytes == 0 {
            self.give_up();
        }
    }

    /// The tile, which is asked for now.
    pub(super) fn take(&mut self, key: u128) -> Option<Tile> {
        let tile = self.kept.remove(key)?;
        self.places.remove(&key);
        self.shared.count(|stats| stats.prefetch_used += 1);
        Some(tile)
    }

    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Waits no more for a tile that is under way, because somebody asks for it.
    pub(super) fn leave(&mut self, key: u128) {
        if let Some(place) = self.places.remove(&key) {
            self.shared.withdraw(place);
            // It may have come meanwhile.
            if self.kept.remove(key).is_some() {
                self.shared.count(|stats| stats.prefetch_used += 1);
            }
        }
    }

    /// Expects what comes next, and no longer what is not in it; `has` are tiles that were asked for.
    pub(super) fn expect(&mut self, dataset: &Dataset, next: Next, has: impl Fn(&u128) -> bool, priority: i32) {
        let next = match next {
            Next::Same => return,
            Next::Unknown => return self.give_up(),
            Next::Tiles(tiles) => tiles,
        };
        if !self.has_room() {
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
            if let Some(place) = self.places.get(&key).filter(|_| self.kept.is_pending(key)) {
                self.shared.set_rank(*place, rank);
                continue;
            }
            if self.kept.find(key).is_some() || dataset.found_tile(&tile).is_some() {
                continue;
            }
            self.kept.board.slots.lock().expect(self.kept.viewport, key);
            let asks = Arc::new(ForAhead { shared: Arc::clone(&self.shared), kept: self.kept.clone(), key });
            let work = Box::new(TileWork(dataset.clone(), tile));
            if let Some(place) = self.shared.ask(key, rank, asks, work) {
                self.places.insert(key, place);
            }
        }
    }

    fn has_room(&self) -> bool {
        let slots = self.kept.board.slots.lock();
        let max_bytes = slots.viewports.get(&self.kept.viewport).map_or(0, |of| of.max_bytes);
        drop(slots);
        max_bytes.min(share()) > 0
    }

    /// Takes back a tile that is under way; one that is there stays.
    fn forget_place(&mut self, key: u128) {
        let Some(place) = self.places.remove(&key) else { return };
        self.shared.withdraw(place);
        let mut slots = self.kept.board.slots.lock();
        if slots.is_pending(self.kept.viewport, key) {
            slots.remove(self.kept.viewport, key);
        }
    }

    /// Takes everything back and forgets what is there.
    pub(super) fn give_up(&mut self) {
        for (_, place) in self.places.drain() {
            self.shared.withdraw(place);
        }
        let gone = self.kept.board.slots.lock().clear(self.kept.viewport);
        let wasted = gone.values().flatten().count() as u64;
        drop(gone);
        self.shared.count(|stats| stats.prefetch_wasted += wasted);
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.give_up();
        self.kept.board.slots.lock().viewports.remove(&self.kept.viewport);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::sample::SampleType;

    fn tile(bytes: usize) -> Tile {
        Tile { width: 1, height: 1, n_bands: 1, sample: SampleType::U8, bytes: vec![0; bytes].into() }
    }

    fn check(slots: &Slots) {
        let there = |of: &OfViewport| of.tiles.values().flatten().map(|tile| tile.bytes.len() as u64).sum::<u64>();
        assert!(slots.viewports.values().all(|of| of.bytes == there(of)));
        assert_eq!(slots.bytes, slots.viewports.values().map(there).sum::<u64>());
        let n_there: usize = slots.viewports.values().map(|of| of.tiles.values().flatten().count()).sum();
        assert_eq!(slots.order.len(), n_there);
    }

    #[test]
    fn all_viewports_together_keep_no_more_than_their_share() {
        let mut slots = Slots::default();
        let viewports = [(); 3].map(|()| slots.enter());
        let mut n_gone = 0;
        for key in 0..20 {
            for viewport in viewports {
                slots.expect(viewport, key);
                n_gone += slots.put(viewport, key, tile(10), 100).unwrap().len();
                check(&slots);
                assert!(slots.bytes <= 100);
            }
        }
        assert_eq!(n_gone, 50);
        // What is left are the last ones, whosever they are.
        assert!(viewports.iter().all(|viewport| slots.viewports[viewport].bytes >= 30));
        // One may have less of its own, and takes nothing from the others for it.
        slots.viewports.get_mut(&viewports[0]).unwrap().max_bytes = 10;
        assert_eq!(slots.shrink(viewports[0], 100).len(), 2);
        check(&slots);
        assert_eq!((slots.bytes, slots.clear(viewports[1]).len()), (80, 3));
        check(&slots);
        // Nobody waits for it.
        assert!(slots.put(viewports[2], 99, tile(10), 100).is_none());
        slots.expect(viewports[2], 99);
        assert!(slots.remove(viewports[2], 99).is_none() && !slots.is_pending(viewports[2], 99));
        // A share that is gone leaves nothing.
        slots.shrink(viewports[2], 0);
        check(&slots);
        assert_eq!(slots.bytes, 0);
    }

    #[test]
    fn making_room_ends_though_nothing_can_be_found_to_go() {
        let mut slots = Slots::default();
        let viewport = slots.enter();
        slots.expect(viewport, 1);
        assert!(slots.put(viewport, 1, tile(10), 100).unwrap().is_empty());
        slots.order.push_front((viewport, 7));
        slots.order.push_front((99, 1));
        slots.viewports.get_mut(&viewport).unwrap().tiles.remove(&1);
        assert!(slots.shrink(viewport, 5).is_empty() && slots.order.is_empty());
    }
}
