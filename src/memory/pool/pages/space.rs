//! Reserved addresses: regions, and the runs of each that are neither lent nor warm and have no memory.
//!
//! A buffer takes the first run that is long enough, in the order of addresses, and a freed one joins the free runs
//! beside it. So addresses serve one size after another, use gathers at one end, and regions at the other become empty
//! and go back to the system.

use super::super::Start;
use super::map::{Map, Place};
use super::warm::Span;
use crate::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct Space {
    /// In the order of their addresses.
    regions: Vec<Region>,
    bytes: usize,
}

#[derive(Debug)]
struct Region {
    map: Arc<Map>,
    /// Free, in the order of their offsets; no two touch.
    runs: Vec<Run>,
    /// No run is longer.
    longest: usize,
    /// One buffer that is all of the region.
    own: bool,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    offset: usize,
    len: usize,
}

impl Space {
    /// Bytes of all regions.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A place in a region that others share.
    pub(super) fn take(&mut self, len: usize) -> Option<Place> {
        self.regions.iter_mut().find_map(|region| region.take(len))
    }

    /// Adds a region for many buffers.
    pub(super) fn add(&mut self, map: Map) {
        let whole = Run { offset: 0, len: map.len() };
        self.insert(Region { longest: whole.len, runs: vec![whole], map: Arc::new(map), own: false });
    }

    /// Adds a region for one buffer, which is taken from it.
    pub(super) fn add_own(&mut self, map: Map) -> Place {
        let map = Arc::new(map);
        let place = Place { offset: 0, len: map.len(), map: Arc::clone(&map) };
        self.insert(Region { map, runs: Vec::new(), longest: 0, own: true });
        place
    }

    /// Where the buffers lie; neighbours make one place.
    pub(super) fn places(&self, mut spans: Vec<Span>) -> Vec<Place> {
        spans.sort_unstable_by_key(|span| span.start);
        let mut places: Vec<Place> = Vec::with_capacity(spans.len());
        for Span { start, size } in spans {
            let map = &self.regions[self.index(start)].map;
            let offset = start.0.addr().get() - map.start().0.addr().get();
            match places.last_mut() {
                Some(last) if Arc::ptr_eq(&last.map, map) && last.offset + last.len == offset => last.len += size,
                _ => places.push(Place { map: Arc::clone(map), offset, len: size }),
            }
        }
        places
    }

    /// Makes a place free. Returns its region when that is to be unmapped: when it is empty, and so is another one,
    /// which serves the next buffer.
    pub(super) fn give(&mut self, place: &Place) -> Option<Arc<Map>> {
        let index = self.index(place.start());
        self.regions[index].give(place.offset, place.len);
        let surplus = self.regions[index].is_empty()
            && (self.regions[index].own || self.regions.iter().filter(|region| region.is_empty()).count() > 1);
        surplus.then(|| {
            self.bytes -= self.regions[index].map.len();
            self.regions.remove(index).map
        })
    }

    /// Takes all empty regions out, to be unmapped.
    pub(super) fn take_empty(&mut self) -> Vec<Arc<Map>> {
        let empty = self.regions.extract_if(.., |region| region.is_empty()).map(|region| region.map);
        let empty: Vec<_> = empty.collect();
        self.bytes -= empty.iter().map(|map| map.len()).sum::<usize>();
        empty
    }

    fn insert(&mut self, region: Region) {
        self.bytes += region.map.len();
        let index = self.regions.partition_point(|other| other.map.start() < region.map.start());
        self.regions.insert(index, region);
    }

    /// Which region `start` lies in.
    fn index(&self, start: Start) -> usize {
        let after = self.regions.partition_point(|region| region.map.start() <= start);
        debug_assert!(after > 0, "memory that is not ours");
        after - 1
    }
}

impl Region {
    fn is_empty(&self) -> bool {
        self.runs.first().is_some_and(|run| run.len == self.map.len())
    }

    fn take(&mut self, len: usize) -> Option<Place> {
        if self.longest < len {
            return None;
        }
        let Some(index) = self.runs.iter().position(|run| run.len >= len) else {
            self.longest = self.runs.iter().map(|run| run.len).max().unwrap_or(0);
            return None;
        };
        let run = &mut self.runs[index];
        let place = Place { map: Arc::clone(&self.map), offset: run.offset, len };
        *run = Run { offset: run.offset + len, len: run.len - len };
        if run.len == 0 {
            self.runs.remove(index);
        }
        Some(place)
    }

    fn give(&mut self, offset: usize, len: usize) {
        let index = self.runs.partition_point(|run| run.offset < offset);
        let joins_next = self.runs.get(index).is_some_and(|next| offset + len == next.offset);
        let joins_last = index > 0 && self.runs[index - 1].offset + self.runs[index - 1].len == offset;
        let len = if joins_next { len + self.runs[index].len } else { len };
        let joined = match (joins_last, joins_next) {
            (true, true) => {
                self.runs.remove(index);
                self.runs[index - 1].len += len;
                self.runs[index - 1].len
            }
            (true, false) => {
                self.runs[index - 1].len += len;
                self.runs[index - 1].len
            }
            (false, true) => {
                self.runs[index] = Run { offset, len };
                len
            }
            (false, false) => {
                self.runs.insert(index, Run { offset, len });
                len
            }
        };
        self.longest = self.longest.max(joined);
    }
}

#[cfg(test)]
impl Space {
    /// Panics unless the runs are what the fields promise, apart from `warm`, and `lent` is all the rest.
    pub(super) fn check_invariants(&self, warm: impl Iterator<Item = Span>, lent: usize) {
        let mut unused: Vec<(usize, usize)> = warm.map(|span| (span.start.0.addr().get(), span.size)).collect();
        for region in &self.regions {
            let start = region.map.start().0.addr().get();
            unused.extend(region.runs.iter().map(|run| (start + run.offset, run.len)));
            assert!(region.runs.iter().all(|run| run.len > 0 && run.len <= region.longest), "{region:?}");
            assert!(region.runs.is_sorted_by(|a, b| a.offset + a.len < b.offset), "{region:?}");
            assert!(!region.own || region.runs.is_empty(), "{region:?}");
        }
        unused.sort_unstable();
        assert!(unused.is_sorted_by(|a, b| a.0 + a.1 <= b.0), "overlap");
        for (start, len) in &unused {
            let inside = |region: &Region| {
                let first = region.map.start().0.addr().get();
                first <= *start && start + len <= first + region.map.len()
            };
            assert!(self.regions.iter().any(inside), "{len} bytes outside of all regions");
        }
        assert_eq!(unused.iter().map(|(_, len)| len).sum::<usize>() + lent, self.bytes);
        assert_eq!(self.bytes, self.regions.iter().map(|region| region.map.len()).sum::<usize>());
        assert!(self.regions.iter().filter(|region| region.is_empty()).count() <= 1, "more than one empty region");
    }
}
