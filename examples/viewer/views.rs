//! What pages show: one set of tiles for each of their views, which the library loads in a good order, and ahead.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tilekeep::{Encoding, Requests, Tile, TileRequest, Viewport, tile_cache_max};

use crate::catalog::Shown;
use crate::message::{Ask, Reply};
use crate::picture::Look;

/// Views that are kept; of more, those that were silent for longest go.
const MAX_VIEWS: usize = 32;
/// Tiles of a frame: what a screen of 8K takes, and some more.
pub(crate) const MAX_TILES: usize = 1024;
/// Bytes that a view may load ahead.
const MAX_AHEAD: u64 = 8 << 20;
/// A view of which nothing was heard for so long is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// Views that were closed and are known for as long; of more, the first that were go.
const MAX_CLOSED: usize = 1024;
/// Views go by their distance from the middle; what is asked for beside them goes before.
const PRIORITY: i32 = 0;
pub(crate) const BEFORE_VIEWS: i32 = 1;
/// Tiles that views load anyway, asked for so that they are sent.
pub(crate) const BEHIND_VIEWS: i32 = -1;

/// The views of all pages, by the names that the pages gave them.
#[derive(Default)]
pub(crate) struct Views {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    open: HashMap<String, View>,
    /// The last frame of views that are closed, and when they were: frames may still be on their way.
    closed: HashMap<String, (u64, Instant)>,
}

struct View {
    /// Of which dataset, and which version of it.
    of: (String, u128),
    viewport: Viewport,
    sequence: u64,
    heard: Instant,
}

/// What a view shows from now on.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Frames may overtake each other on their way; the greatest number is the last one.
    pub(crate) sequence: u64,
    /// Where it looks, in pixels of full resolution.
    pub(crate) centre: (f64, f64),
    pub(crate) tiles: Vec<TileRequest>,
}

impl Frame {
    /// The frame that a page posted: `{"sequence": N, "centre": [X, Y], "tiles": [[Z, X, Y], …]}`, with tiles of XYZ.
    pub(crate) fn read(shown: &Shown, look: &Look, encoding: Encoding, ask: &Ask) -> Result<Self, Reply> {
        let refused = |message: String| Reply::refused(StatusCode::BAD_REQUEST, message);
        let body: Value = serde_json::from_slice(&ask.body).map_err(|error| refused(format!("no JSON: {error}")))?;
        let grid = shown.grid();
        let sequence = body["sequence"].as_u64();
        let sequence = sequence.ok_or_else(|| refused(format!("sequence: {} is no number", body["sequence"])))?;
        let inside = |value: &Value, side: u64| value.as_f64().filter(|at| (0.0..=side as f64).contains(at));
        let centre = body["centre"].as_array().filter(|centre| centre.len() == 2);
        let centre = centre.and_then(|at| Some((inside(&at[0], grid.width)?, inside(&at[1], grid.height)?)));
        let centre = centre.ok_or_else(|| {
            let place = format!("no place in {} x {} pixels", grid.width, grid.height);
            refused(format!("centre: {} is {place}", body["centre"]))
        })?;
        let places = body["tiles"].as_array().ok_or_else(|| refused("tiles: they are a list".to_owned()))?;
        if places.len() > MAX_TILES {
            return Err(refused(format!("tiles: {} of them; a frame has {MAX_TILES} at most", places.len())));
        }
        let mut tiles = Vec::with_capacity(places.len());
        for place in places {
            let area = place.as_array().filter(|place| place.len() == 3).and_then(|place| {
                let z = u32::try_from(place[0].as_u64()?).ok()?;
                grid.xyz(z, place[1].as_u64()?, place[2].as_u64()?)
            });
            let area = area.ok_or_else(|| refused(format!("tiles: {place} is none of {}", shown.id)))?;
            // What no level has is of another raster, and asked for alone.
            tiles.extend(shown.pictures.level_tile(area, look, encoding));
        }
        Ok(Self { sequence, centre, tiles })
    }
}

impl Views {
    /// Shows a frame in a view, which is opened if there is none of this name; how many of its tiles are still to come.
    /// `None` for a frame that was overtaken.
    pub(crate) fn show(&self, requests: &Requests, shown: &Shown, name: &str, frame: &Frame) -> Option<usize> {
        let of = (shown.id.clone(), shown.version);
        let mut known = self.known.lock();
        let Known { open, closed } = &mut *known;
        let last = open.get(name).map(|view| view.sequence).max(closed.get(name).map(|(sequence, _)| *sequence));
        if last.is_some_and(|last| last >= frame.sequence) {
            return None;
        }
        let mut gone = Vec::new();
        if open.get(name).is_none_or(|view| view.of != of) {
            gone.extend(open.remove(name));
            while open.len() >= MAX_VIEWS {
                let silent = open.iter().min_by_key(|(_, view)| view.heard).map(|(name, _)| name.clone());
                gone.extend(silent.and_then(|name| open.remove(&name)));
            }
            // Tiles are sent to who asks for them: here they only come to be there.
            let mut viewport = requests.viewport(&shown.dataset, PRIORITY, |_, _| ());
            viewport.set_prefetch_max((tile_cache_max() / 4).min(MAX_AHEAD));
            let view = View { of, viewport, sequence: frame.sequence, heard: Instant::now() };
            open.insert(name.to_owned(), view);
        }
        let view = open.get_mut(name)?;
        (view.sequence, view.heard) = (frame.sequence, Instant::now());
        let n_missing = view.viewport.want(&frame.tiles, frame.centre);
        drop(known);
        drop(gone);
        Some(n_missing)
    }

    /// The tile, if it is in a view of this name and there.
    pub(crate) fn tile(&self, name: &str, shown: &Shown, request: &TileRequest) -> Option<Tile> {
        let known = self.known.lock();
        let view = known.open.get(name).filter(|view| view.of.0 == shown.id && view.of.1 == shown.version)?;
        view.viewport.tile(request)
    }

    /// Hears that the pages of these views are still there.
    pub(crate) fn hear<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let mut known = self.known.lock();
        for name in names {
            if let Some(view) = known.open.get_mut(name) {
                view.heard = Instant::now();
            }
        }
    }

    /// Takes back everything that a view wants; whether there was one. `sequence`: the last frame that it sent, by which a
    /// frame that comes later is known to be late, and one that came before this to be a new beginning.
    pub(crate) fn close(&self, name: &str, sequence: Option<u64>) -> bool {
        let mut known = self.known.lock();
        let Known { open, closed } = &mut *known;
        let seen = open.get(name).map(|view| view.sequence);
        let Some(last) = sequence.or(seen) else { return false };
        while closed.len() >= MAX_CLOSED && !closed.contains_key(name) {
            let first = closed.iter().min_by_key(|(_, (_, since))| *since).map(|(name, _)| name.clone());
            first.and_then(|name| closed.remove(&name));
        }
        let before = closed.get(name).map_or(0, |(sequence, _)| *sequence);
        closed.insert(name.to_owned(), (last.max(before), Instant::now()));
        let gone = seen.filter(|seen| *seen <= last).and_then(|_| open.remove(name));
        drop(known);
        gone.is_some()
    }

    /// Gives up the views of which nothing was heard for long, and forgets those that were closed long ago.
    pub(crate) fn tidy(&self, now: Instant) {
        let is_long_ago = |then: Instant| now.saturating_duration_since(then) > SILENCE;
        let mut known = self.known.lock();
        let Known { open, closed } = &mut *known;
        closed.retain(|_, (_, since)| !is_long_ago(*since));
        let is_silent = |view: &View| is_long_ago(view.heard);
        let silent: Vec<_> = open.iter().filter(|(_, view)| is_silent(view)).map(|(name, _)| name.clone()).collect();
        let gone: Vec<_> = silent.iter().filter_map(|name| open.remove(name)).collect();
        drop(known);
        drop(gone);
    }

    pub(crate) fn len(&self) -> usize {
        self.known.lock().open.len()
    }
}

/// What requests did, as JSON.
pub(crate) fn counts(requests: &Requests, views: &Views, n_threads: usize) -> Value {
    let stats = requests.stats();
    json!({
        "threads": n_threads,
        "views": views.len(),
        "queued": stats.queued,
        "running": stats.running,
        "answered": stats.answered,
        "failed": stats.failed,
        "cancelled": stats.cancelled,
        "joined": stats.joined,
        "dropped": stats.dropped,
        "stopped": stats.stopped,
        "prefetched": stats.prefetched,
        "prefetch_used": stats.prefetch_used,
        "prefetch_wasted": stats.prefetch_wasted,
    })
}

/// A view's name: short, letters, digits and `-`.
pub(crate) fn view_name(name: &str) -> Option<String> {
    let is_plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (1..=64).contains(&name.len()).then_some(name).filter(|name| is_plain(name)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn views_are_few_and_those_that_fall_silent_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tif");
        crate::tiff_writer::sample_pyramid(&path, 600, 400).unwrap();
        let catalog = Catalog::open([path], None, |error| panic!("{error}"));
        let shown = catalog.get("a").unwrap().unwrap();
        let (requests, views) = (Requests::new(1).unwrap(), Views::default());
        let show = |name: &str, sequence| {
            let frame = Frame { sequence, centre: (9.0, 9.0), tiles: vec![TileRequest::new(0, 0, 0)] };
            views.show(&requests, &shown, name, &frame)
        };
        assert_eq!((show("first", 5), show("first", 5), show("first", 4)), (Some(1), None, None));
        (0..MAX_VIEWS - 1).for_each(|i| assert!(show(&format!("v{i}"), 0).is_some()));
        views.hear(["first", "unknown"]);
        assert!(show("another", 0).is_some());
        assert_eq!(views.len(), MAX_VIEWS);
        // The one that was silent for longest went, and may come back; the one that was heard of did not.
        assert!(!views.close("v0", None) && views.close("first", None) && show("v0", 0).is_some());

        let soon = Instant::now() + SILENCE / 2;
        views.tidy(soon);
        assert_eq!(views.len(), MAX_VIEWS);
        views.tidy(soon + SILENCE);
        assert_eq!((views.len(), show("v0", 0).is_some()), (0, true));
    }

    #[test]
    fn views_that_were_closed_are_known_for_a_while_and_few() {
        let (views, start) = (Views::default(), Instant::now());
        let closed = || views.known.lock().closed.len();
        assert!(!views.close("first", Some(7)));
        (0..MAX_CLOSED).for_each(|i| assert!(!views.close(&format!("v{i}"), Some(1))));
        assert_eq!((closed(), views.known.lock().closed.contains_key("first")), (MAX_CLOSED, false));
        views.tidy(start + SILENCE / 2);
        assert_eq!(closed(), MAX_CLOSED);
        views.tidy(Instant::now() + SILENCE * 2);
        assert_eq!(closed(), 0);
    }

    #[test]
    fn names_of_views_are_short_and_plain() {
        assert!(view_name("0a-Z").is_some() && view_name(&"x".repeat(64)).is_some());
        assert!(["", "a b", "a/b", "ü", &"x".repeat(65)].iter().all(|name| view_name(name).is_none()));
    }
}
