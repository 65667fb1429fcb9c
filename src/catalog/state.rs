//! What the catalog's mutex guards: what is open, what is being opened, and what rests.

use std::collections::HashMap;
use std::sync::Weak;

use lru::LruCache;

use crate::memory::{Charge, Class, Ledger};
use crate::sync::Arc;

use super::flight::Flight;
use super::{CatalogStats, Kind, Parsed};

/// Sources of one place that rest, opened with options that make the source another one: pages of a file, above all.
const MOST_OF_A_PLACE: usize = 64;
/// Names of one dataset; under further ones it is parsed again, and found to be the same.
const MOST_NAMES: usize = 8;
/// What a place takes in the table of those that rest, beside what rests there: its key twice, a node, and two blocks of
/// the allocator.
const PLACE_BYTES: usize = 144;

pub(super) struct State<K: Kind> {
    /// By a number that is never given again.
    open: HashMap<u64, Open<K>>,
    /// The numbers of what is open, by place and by identity.
    names: HashMap<u128, Vec<u64>>,
    /// By place.
    opening: HashMap<u128, Vec<Opening<K>>>,
    /// By place, the one that was closed last first.
    resting: LruCache<u128, Vec<Resting<K>>>,
    n_resting: u64,
    max_bytes: u64,
    /// Of what rests.
    bytes: u64,
    /// Of that, what is held here and not by the sources, which have charges of their own.
    charge: Charge,
    pub(super) counts: CatalogStats,
    last_number: u64,
}

pub(super) struct Open<K: Kind> {
    pub(super) options: K::Options,
    pub(super) stamp: K::Stamp,
    pub(super) identity: u128,
    pub(super) source: Arc<K::Source>,
    pub(super) dataset: Weak<K::Dataset>,
    /// The places that it was opened at.
    pub(super) places: Vec<u128>,
    /// Whether its budget or policy was changed, so that it is left to those who have it.
    pub(super) is_steered: bool,
}

struct Opening<K: Kind> {
    options: K::Options,
    stamp: K::Stamp,
    flight: Arc<Flight<K::Dataset>>,
}

pub(super) struct Resting<K: Kind> {
    options: K::Options,
    stamp: K::Stamp,
    pub(super) identity: u128,
    pub(super) source: Arc<K::Source>,
    bytes: u64,
}

/// What was taken out, to be dropped when the mutex is free again.
pub(super) struct Gone<K: Kind> {
    resting: Vec<Resting<K>>,
    open: Vec<Open<K>>,
}

impl<K: Kind> Default for Gone<K> {
    fn default() -> Self {
        Self { resting: Vec::new(), open: Vec::new() }
    }
}

/// A flight, to be known again in the list of those that are under way.
fn is_same<D>(flight: &Arc<Flight<D>>, other: &Arc<Flight<D>>) -> bool {
    Arc::ptr_eq(flight, other)
}

impl<K: Kind> State<K> {
    pub(super) fn new(max_bytes: u64, ledger: &Arc<Ledger>) -> Self {
        Self {
            open: HashMap::new(),
            names: HashMap::new(),
            opening: HashMap::new(),
            resting: LruCache::unbounded(),
            n_resting: 0,
            max_bytes,
            bytes: 0,
            charge: ledger.charge(Class::Metadata, 0),
            counts: CatalogStats::default(),
            last_number: 0,
        }
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Takes out what was opened at `place` when it did not look like `stamp`.
    pub(super) fn forget_others(&mut self, place: u128, stamp: K::Stamp, gone: &mut Gone<K>) {
        let others = |number: &u64| self.open.get(number).is_some_and(|open| open.stamp != stamp);
        let others: Vec<_> = self.names.get(&place).into_iter().flatten().copied().filter(others).collect();
        gone.open.extend(others.into_iter().filter_map(|number| self.take_open(number)));
        if self.resting.peek(&place).is_some_and(|list| list.iter().any(|resting| resting.stamp != stamp)) {
            self.take_resting(place, gone, |resting| resting.stamp != stamp);
        }
    }

    /// Takes out all that is known of `place`.
    pub(super) fn forget(&mut self, place: u128, gone: &mut Gone<K>) {
        let numbers = self.names.get(&place).cloned().unwrap_or_default();
        gone.open.extend(numbers.into_iter().filter_map(|number| self.take_open(number)));
        self.take_resting(place, gone, |_| true);
        // Those who are opening it read what is to be forgotten: they do not come in any more.
        self.opening.remove(&place);
    }

    /// What is open under `name` and can be shared.
    pub(super) fn shared(&self, name: u128, options: &K::Options, stamp: K::Stamp) -> Option<(u64, Arc<K::Dataset>)> {
        self.names.get(&name)?.iter().find_map(|number| {
            let open = self.open.get(number)?;
            let fits = open.options == *options && open.stamp == stamp && !open.is_steered;
            let dataset = if fits { open.dataset.upgrade() } else { None };
            dataset.map(|dataset| (*number, dataset))
        })
    }

    /// The same opening, if it is under way.
    pub(super) fn under_way(
        &self,
        place: u128,
        options: &K::Options,
        stamp: K::Stamp,
    ) -> Option<Arc<Flight<K::Dataset>>> {
        let same = |opening: &&Opening<K>| opening.options == *options && opening.stamp == stamp;
        self.opening.get(&place)?.iter().find(same).map(|opening| Arc::clone(&opening.flight))
    }

    /// A new flight for this opening.
    pub(super) fn begin(&mut self, place: u128, options: K::Options, stamp: K::Stamp) -> Arc<Flight<K::Dataset>> {
        let flight = Arc::new(Flight::default());
        let opening = Opening { options, stamp, flight: Arc::clone(&flight) };
        self.opening.entry(place).or_default().push(opening);
        flight
    }

    /// The opening is over; whether nobody said meanwhile that it is to be forgotten.
    pub(super) fn end(&mut self, place: u128, flight: &Arc<Flight<K::Dataset>>) -> bool {
        let Some(list) = self.opening.get_mut(&place) else { return false };
        let Some(at) = list.iter().position(|opening| is_same(&opening.flight, flight)) else { return false };
        list.swap_remove(at);
        if list.is_empty() {
            self.opening.remove(&place);
        }
        true
    }

    /// A source that rests at `place` and reads as `options` say, or one whose dataset is going away at this moment.
    pub(super) fn take(
        &mut self,
        place: u128,
        options: &K::Options,
        stamp: K::Stamp,
        gone: &mut Gone<K>,
    ) -> Option<Parsed<K>> {
        let fits = |resting: &Resting<K>| resting.stamp == stamp && K::reads_alike(&resting.options, options);
        if let Some(list) = self.resting.peek_mut(&place) {
            let at = list.iter().position(fits)?;
            let taken = list.swap_remove(at);
            if list.is_empty() {
                self.resting.pop(&place);
            }
            self.left(&taken);
            return Some(Parsed { source: taken.source, stamp, identity: Some(taken.identity) });
        }
        let going = self.names.get(&place)?.iter().copied().find(|number| {
            self.open.get(number).is_some_and(|open| {
                open.dataset.strong_count() == 0 && open.stamp == stamp && K::reads_alike(&open.options, options)
            })
        })?;
        let open = self.take_open(going)?;
        let taken = Parsed { source: Arc::clone(&open.source), stamp, identity: Some(open.identity) };
        gone.open.push(open);
        Some(taken)
    }

    pub(super) fn add_open(&mut self, number: u64, open: Open<K>) {
        for name in open.places.iter().chain([&open.identity]) {
            self.names.entry(*name).or_default().push(number);
        }
        self.open.insert(number, open);
    }

    /// What is open is opened at `place` too.
    pub(super) fn add_place(&mut self, number: u64, place: u128) {
        let Some(open) = self.open.get_mut(&number) else { return };
        if open.places.len() < MOST_NAMES && !open.places.contains(&place) {
            open.places.push(place);
            self.names.entry(place).or_default().push(number);
        }
    }

    pub(super) fn steer(&mut self, number: u64) {
        if let Some(open) = self.open.get_mut(&number) {
            open.is_steered = true;
        }
    }

    pub(super) fn take_open(&mut self, number: u64) -> Option<Open<K>> {
        let open = self.open.remove(&number)?;
        for name in open.places.iter().chain([&open.identity]) {
            if let Some(numbers) = self.names.get_mut(name) {
                numbers.retain(|other| *other != number);
                if numbers.is_empty() {
                    self.names.remove(name);
                }
            }
        }
        Some(open)
    }

    /// Keeps the source of what was open, unless another one of that place is.
    pub(super) fn rest(&mut self, open: Open<K>, bytes: u64, gone: &mut Gone<K>) {
        let Some(place) = open.places.first().copied() else { return };
        let is_open = self.names.get(&place).into_iter().flatten().any(|number| {
            let alike = |other: &Open<K>| other.stamp == open.stamp && K::reads_alike(&other.options, &open.options);
            self.open.get(number).is_some_and(alike)
        });
        if is_open {
            gone.open.push(open);
            return;
        }
        let bytes = bytes.saturating_add(Self::entry_bytes());
        let (options, stamp, identity) = (open.options, open.stamp, open.identity);
        let resting = Resting { options, stamp, identity, source: Arc::clone(&open.source), bytes };
        gone.open.push(open);
        self.take_resting(place, gone, |other| K::reads_alike(&other.options, &options));
        let list = self.resting.get_or_insert_mut(place, || Vec::with_capacity(1));
        list.push(resting);
        let too_many = if list.len() > MOST_OF_A_PLACE { Some(list.remove(0)) } else { None };
        self.n_resting += 1;
        self.bytes += bytes;
        if let Some(oldest) = too_many {
            self.left(&oldest);
            self.counts.evictions += 1;
            gone.resting.push(oldest);
        }
        self.shrink_to(self.max_bytes, gone);
    }

    pub(super) fn set_max_bytes(&mut self, max_bytes: u64, gone: &mut Gone<K>) {
        self.max_bytes = max_bytes;
        self.shrink_to(max_bytes, gone);
    }

    pub(super) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Forgets what was closed the longest ago, until the rest has so many bytes.
    pub(super) fn shrink_to(&mut self, bytes: u64, gone: &mut Gone<K>) {
        while self.bytes > bytes {
            let Some((_, list)) = self.resting.pop_lru() else { break };
            list.iter().for_each(|resting| self.left(resting));
            self.counts.evictions += list.len() as u64;
            gone.resting.extend(list);
        }
        self.count();
    }

    pub(super) fn stats(&self) -> CatalogStats {
        CatalogStats {
            entries: self.open.len() as u64 + self.n_resting,
            closed: self.n_resting,
            bytes: self.bytes,
            max_bytes: self.max_bytes,
            ..self.counts
        }
    }

    /// Takes what `leaves` says from what rests at `place`.
    fn take_resting(&mut self, place: u128, gone: &mut Gone<K>, leaves: impl Fn(&Resting<K>) -> bool) {
        let Some(list) = self.resting.peek_mut(&place) else { return };
        let taken: Vec<_> = list.extract_if(.., |resting| leaves(resting)).collect();
        if list.is_empty() {
            self.resting.pop(&place);
        }
        taken.iter().for_each(|resting| self.left(resting));
        gone.resting.extend(taken);
    }

    /// Something does not rest any more.
    fn left(&mut self, resting: &Resting<K>) {
        self.bytes -= resting.bytes;
        self.n_resting -= 1;
        self.count();
    }

    fn count(&mut self) {
        self.charge.resize(self.n_resting * Self::entry_bytes());
    }

    /// What one source that rests takes beside itself.
    fn entry_bytes() -> u64 {
        (PLACE_BYTES + size_of::<Resting<K>>()) as u64
    }

    /// Checks what must be so whenever the mutex is free.
    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        let resting: Vec<_> = self.resting.iter().flat_map(|(_, list)| list).collect();
        assert!(self.resting.iter().all(|(_, list)| !list.is_empty() && list.len() <= MOST_OF_A_PLACE));
        assert_eq!(self.n_resting, resting.len() as u64);
        assert_eq!(self.bytes, resting.iter().map(|resting| resting.bytes).sum::<u64>());
        assert_eq!(self.charge.bytes(), self.n_resting * Self::entry_bytes());
        assert!(self.bytes <= self.max_bytes);
        assert!(self.opening.values().all(|list| !list.is_empty()));
        let n_names: usize = self.names.values().map(Vec::len).sum();
        assert_eq!(n_names, self.open.values().map(|open| open.places.len() + 1).sum::<usize>());
        for (name, numbers) in &self.names {
            assert!(!numbers.is_empty());
            for number in numbers {
                let open = &self.open[number];
                assert!(open.identity == *name || open.places.contains(name));
            }
        }
    }
}
