//! Places in a compressed stream from which it can be decoded on, in bounded memory.

use std::collections::BTreeMap;

use crate::memory::{Charge, Class, Ledger};
use crate::sync::{Arc, Mutex};

/// Places closer together are not worth their memory: so many bytes are decoded in a millisecond or two.
const MIN_SPACING: u64 = 512 << 10;
/// What an entry takes beside the restart point.
const ENTRY_BYTES: usize = 64;

/// An index of restart points, by their position in the decoded stream.
///
/// It fills up as the stream is decoded, with points as far apart as the memory for all of the stream makes necessary.
/// When it is given less memory, it forgets points; when it is given more, those that are missing come as they are
/// passed again.
pub(super) struct Restarts<P> {
    stream_bytes: u64,
    /// The most that one point takes.
    point_bytes: usize,
    state: Mutex<State<P>>,
}

struct State<P> {
    points: BTreeMap<u64, (Arc<P>, usize)>,
    spacing: u64,
    max_bytes: usize,
    bytes: usize,
    charge: Charge,
}

impl<P> Restarts<P> {
    /// Of a stream of so many decoded bytes, where a point takes up to `point_bytes` and all of them `max_bytes`.
    pub(super) fn new(stream_bytes: u64, point_bytes: usize, max_bytes: usize) -> Self {
        let point_bytes = point_bytes + ENTRY_BYTES;
        let state = State {
            points: BTreeMap::new(),
            spacing: spacing(stream_bytes, point_bytes, max_bytes),
            max_bytes,
            bytes: 0,
            charge: Ledger::process().charge(Class::Metadata, 0),
        };
        Self { stream_bytes, point_bytes, state: Mutex::new(state) }
    }

    /// Bytes that the points take.
    pub(super) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Bytes that they take when all of the stream was passed.
    pub(super) fn most_bytes(&self) -> usize {
        let state = self.state.lock();
        let n = usize::try_from(self.stream_bytes / state.spacing).unwrap_or(usize::MAX);
        n.saturating_mul(self.point_bytes).min(state.max_bytes)
    }

    /// How far apart points are.
    pub(super) fn spacing(&self) -> u64 {
        self.state.lock().spacing
    }

    /// Changes how many bytes the points may take.
    pub(super) fn set_max(&self, max_bytes: usize) {
        let mut state = self.state.lock();
        state.max_bytes = max_bytes;
        state.spacing = spacing(self.stream_bytes, self.point_bytes, max_bytes);
        let (spacing, mut last) = (state.spacing, None::<u64>);
        let mut forgotten = Vec::new();
        let State { points, bytes, .. } = &mut *state;
        points.retain(|position, (point, size)| {
            let stays = last.is_none_or(|last| position - last >= spacing) && *position >= spacing;
            if stays {
                last = Some(*position);
            } else {
                *bytes -= *size;
                forgotten.push(Arc::clone(point));
            }
            stays
        });
        let bytes = state.bytes;
        state.charge.resize(bytes as u64);
        drop(state);
        // Not under the lock.
        drop(forgotten);
    }

    /// The last point at or before `position`, and where it is.
    pub(super) fn nearest(&self, position: u64) -> Option<(u64, Arc<P>)> {
        let state = self.state.lock();
        state.points.range(..=position).next_back().map(|(at, (point, _))| (*at, Arc::clone(point)))
    }

    /// Whether a point at `position` is worth its memory.
    pub(super) fn wants(&self, position: u64) -> bool {
        let state = self.state.lock();
        let before = state.points.range(..=position).next_back().map_or(0, |(at, _)| *at);
        let after = state.points.range(position..).next().map(|(at, _)| *at);
        position - before >= state.spacing && after.is_none_or(|after| after - position >= state.spacing / 2)
    }

    /// Keeps a point of so many bytes, unless there is no memory left for it.
    pub(super) fn add(&self, position: u64, point: P, bytes: usize) {
        let bytes = bytes + ENTRY_BYTES;
        let mut state = self.state.lock();
        if state.bytes + bytes > state.max_bytes || state.points.contains_key(&position) {
            return;
        }
        state.points.insert(position, (Arc::new(point), bytes));
        state.bytes += bytes;
        let bytes = state.bytes;
        state.charge.resize(bytes as u64);
    }
}

/// Bytes between points, so that those of the whole stream have room.
fn spacing(stream_bytes: u64, point_bytes: usize, max_bytes: usize) -> u64 {
    match (max_bytes / point_bytes) as u64 {
        0 => u64::MAX,
        n => stream_bytes.div_ceil(n + 1).max(MIN_SPACING),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT: usize = 1000 - ENTRY_BYTES;

    fn pass(index: &Restarts<u64>, to: u64) {
        for position in (0..to).step_by(10_000) {
            if index.wants(position) {
                index.add(position, position, POINT);
            }
        }
    }

    #[test]
    fn points_are_as_far_apart_as_memory_makes_necessary() {
        let stream = 100 << 20;
        for n in [1, 3, 19, 10_000] {
            let index = Restarts::new(stream, POINT, n * 1000);
            pass(&index, stream);
            assert!(index.bytes() <= n * 1000 && index.bytes() >= (n * 1000).min(150_000) * 9 / 10, "{n}");
            for position in (0..stream).step_by(1 << 19) {
                let at = index.nearest(position).map_or(0, |(at, point)| {
                    assert_eq!(at, *point);
                    at
                });
                assert!(position - at <= index.spacing() + 10_000 + stream / (n as u64 + 1), "{position}: {at}");
            }
            // They are there.
            let bytes = index.bytes();
            pass(&index, stream);
            assert_eq!(index.bytes(), bytes);
        }
        let none = Restarts::new(stream, POINT, 999);
        pass(&none, stream);
        assert_eq!(none.bytes(), 0);
    }

    #[test]
    fn less_memory_forgets_points_and_more_finds_them_again() {
        let stream = 100 << 20;
        let index = Restarts::new(stream, POINT, 50_000);
        pass(&index, stream);
        let many = index.bytes();
        index.set_max(10_000);
        let few = index.bytes();
        assert!((4000..=10_000).contains(&few), "{few}");
        index.set_max(0);
        assert_eq!((index.bytes(), index.nearest(stream).is_none()), (0, true));
        index.set_max(50_000);
        pass(&index, stream);
        assert_eq!(index.bytes(), many);
    }
}
