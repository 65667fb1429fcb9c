//! What was opened, so that opening it again costs one look at it.
//!
//! It knows no raster. Opening twice with the same options gives the same dataset, as long as somebody has it. When the last
//! one lets go of it, its *source* rests: what was parsed, without what can be taken up again. Opening anew makes a dataset
//! over it. What rests is bounded in bytes; what was closed the longest ago goes first.
//!
//! ```text
//! open:  look -> mutex: is it open? being opened? at rest? -> no lock: parse, make a dataset -> mutex: note it
//! close: mutex: take it out -> no lock: let it rest, count its bytes -> mutex: put it there
//! ```
//!
//! Things are found by place, which is what they are opened by, and compared by what the look saw; and by identity, when
//! something that was parsed turns out to be open under another name. Every step is a look-up in a table, whatever the
//! number of entries. A thread takes the mutex here or the one of a flight, never both, and none while it looks, parses, or
//! drops anything.

mod flight;
mod state;
#[cfg(test)]
mod tests;

use crate::error::{ErrorKind, Result};
use crate::memory::Ledger;
use crate::sync::{Arc, Mutex};

use flight::{Duty, Flight, Landed};
use state::{Gone, Open, State};

/// How often something that changes all the time is looked at again before it is opened without the catalog.
const MOST_LOOKS: usize = 4;

/// What a catalog is of.
pub(crate) trait Kind: Sized {
    /// What is parsed.
    type Source;
    /// What is made of it, and shared.
    type Dataset;
    /// How it is opened.
    type Options: Copy + PartialEq;
    /// What one look sees; another one after every change.
    type Stamp: Copy + PartialEq;

    /// Whether both make the same source.
    fn reads_alike(a: &Self::Options, b: &Self::Options) -> bool;

    /// Lets go of what can be taken up again; how many bytes are held then. `None` for a source that must go too.
    fn rest(source: &Self::Source, options: &Self::Options) -> Option<u64>;
}

/// What was parsed.
pub(crate) struct Parsed<K: Kind> {
    pub(crate) source: Arc<K::Source>,
    pub(crate) stamp: K::Stamp,
    /// `None` when the stamp may stay the same after a change: nobody else may have it.
    pub(crate) identity: Option<u128>,
}

/// Something to be opened.
pub(crate) struct Wanted<'a, K: Kind> {
    /// What it is opened by.
    pub(crate) place: u128,
    pub(crate) options: K::Options,
    pub(crate) look: &'a dyn Fn() -> Result<K::Stamp>,
    pub(crate) parse: &'a dyn Fn() -> Result<Parsed<K>>,
    /// Makes a dataset of a source. The number, if there is one, is what [`Catalog::closed`] is told when the dataset goes.
    pub(crate) make: Make<'a, K>,
}

type Make<'a, K> = &'a dyn Fn(Arc<<K as Kind>::Source>, Option<u64>) -> Result<Arc<<K as Kind>::Dataset>>;

/// A dataset, and what it looks like if others may share it.
type Led<K> = (Arc<<K as Kind>::Dataset>, Option<<K as Kind>::Stamp>);

/// What a catalog did and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CatalogStats {
    /// Files that are known: open ones, and those that were closed and are still known.
    pub entries: u64,
    /// Of these, those that were closed.
    pub closed: u64,
    /// Bytes of what is known of closed files.
    pub bytes: u64,
    /// The most that these may be.
    pub max_bytes: u64,
    /// Openings for which nothing was parsed.
    pub hits: u64,
    /// Openings for which the file was parsed.
    pub misses: u64,
    /// Closed files that were forgotten to make room.
    pub evictions: u64,
    /// Files of which the process has a descriptor open for reading by position.
    pub open_files: u64,
}

pub(crate) struct Catalog<K: Kind> {
    state: Mutex<State<K>>,
}

impl<K: Kind> Catalog<K> {
    /// A catalog that holds so many bytes of what rests.
    pub(crate) fn new(max_bytes: u64, ledger: &Arc<Ledger>) -> Self {
        Self { state: Mutex::new(State::new(max_bytes, ledger)) }
    }

    /// The dataset that is wanted: one that is open, or one made of a source that rests or is parsed now.
    ///
    /// Of all who ask for the same at once one opens it, and all get the same, failures included. A failure is not
    /// remembered.
    ///
    /// # Errors
    ///
    /// What looking, parsing or making met; `internal` when it panicked.
    pub(crate) fn open(&self, wanted: &Wanted<'_, K>) -> Result<Arc<K::Dataset>> {
        let Wanted { place, options, .. } = wanted;
        for _ in 0..MOST_LOOKS {
            let stamp = (wanted.look)().inspect_err(|error| {
                if error.kind() == ErrorKind::NotFound {
                    self.forget(*place);
                }
            })?;
            let mut gone = Gone::default();
            let mut state = self.state.lock();
            state.forget_others(*place, stamp, &mut gone);
            if let Some((_, dataset)) = state.shared(*place, options, stamp) {
                state.counts.hits += 1;
                drop(state);
                return Ok(dataset);
            }
            if let Some(flight) = state.under_way(*place, options, stamp) {
                drop(state);
                drop(gone);
                match flight.wait()? {
                    Landed::Shared(dataset) => {
                        self.state.lock().counts.hits += 1;
                        return Ok(dataset);
                    }
                    Landed::Alone => break,
                    Landed::Again => continue,
                }
            }
            let at_rest = state.take(*place, options, stamp, &mut gone);
            let count = if at_rest.is_some() { &mut state.counts.hits } else { &mut state.counts.misses };
            *count += 1;
            let number = state.next_number();
            let flight = state.begin(*place, *options, stamp);
            drop(state);
            drop(gone);
            let duty = Duty::new(|result| {
                // Nobody joins any more who would not be told.
                self.state.lock().end(*place, &flight);
                flight.land(result);
            });
            let opened = self.lead(wanted, &flight, number, at_rest);
            duty.end(match &opened {
                Ok((dataset, Some(seen))) if *seen == stamp => Ok(Landed::Shared(Arc::clone(dataset))),
                Ok((_, Some(_))) => Ok(Landed::Again),
                Ok((_, None)) => Ok(Landed::Alone),
                Err(error) => Err(error.clone()),
            });
            return opened.map(|(dataset, _)| dataset);
        }
        self.state.lock().counts.misses += 1;
        (wanted.make)((wanted.parse)()?.source, None)
    }

    /// Opens what is wanted, and notes it if others may share it.
    fn lead(
        &self,
        wanted: &Wanted<'_, K>,
        flight: &Arc<Flight<K::Dataset>>,
        number: u64,
        at_rest: Option<Parsed<K>>,
    ) -> Result<Led<K>> {
        let Parsed { source, stamp, identity } = match at_rest {
            Some(parsed) => parsed,
            None => (wanted.parse)()?,
        };
        let Some(identity) = identity else { return Ok(((wanted.make)(source, None)?, None)) };
        let dataset = (wanted.make)(Arc::clone(&source), Some(number))?;
        let mut state = self.state.lock();
        if !state.end(wanted.place, flight) {
            // Somebody said that what was read meanwhile is to be forgotten.
            return Ok((dataset, None));
        }
        if let Some((other, shared)) = state.shared(identity, &wanted.options, stamp) {
            state.add_place(other, wanted.place);
            drop(state);
            return Ok((shared, Some(stamp)));
        }
        let weak = Arc::downgrade(&dataset);
        let (options, places) = (wanted.options, vec![wanted.place]);
        state.add_open(number, Open { options, stamp, identity, source, dataset: weak, places, is_steered: false });
        Ok((dataset, Some(stamp)))
    }

    /// The dataset of this number is going away: its source rests.
    pub(crate) fn closed(&self, number: u64) {
        let open = self.state.lock().take_open(number);
        let Some(open) = open else { return };
        let Some(bytes) = K::rest(&open.source, &open.options) else { return };
        let mut gone = Gone::default();
        self.state.lock().rest(open, bytes, &mut gone);
        drop(gone);
    }

    /// The dataset of this number is no longer as its options say: it is left to those who have it.
    pub(crate) fn steered(&self, number: u64) {
        self.state.lock().steer(number);
    }

    /// Forgets the dataset of this number: it is not shared any more, and its source goes with it.
    pub(crate) fn forget_open(&self, number: u64) {
        let gone = self.state.lock().take_open(number);
        drop(gone);
    }

    /// Forgets what is known of `place`, as [`forget_open`](Self::forget_open).
    pub(crate) fn forget(&self, place: u128) {
        let mut gone = Gone::default();
        self.state.lock().forget(place, &mut gone);
        drop(gone);
    }

    /// Changes how many bytes of what rests are held.
    pub(crate) fn set_max_bytes(&self, max_bytes: u64) {
        let mut gone = Gone::default();
        self.state.lock().set_max_bytes(max_bytes, &mut gone);
        drop(gone);
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.state.lock().max_bytes()
    }

    /// Forgets this part of what rests.
    pub(crate) fn give_up(&self, numerator: u64, denominator: u64) {
        let mut gone = Gone::default();
        let mut state = self.state.lock();
        let left = state.bytes() - state.bytes().saturating_mul(numerator).div_ceil(denominator).min(state.bytes());
        state.shrink_to(left, &mut gone);
        drop(state);
        drop(gone);
    }

    /// What the catalog did and holds; it knows nothing of `open_files`.
    pub(crate) fn stats(&self) -> CatalogStats {
        self.state.lock().stats()
    }
}
