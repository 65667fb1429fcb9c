//! Where in the file MCUs start, as far as it was passed.

use crate::codec::inflate::Feed;
use crate::codec::jpeg_entropy::{Place, Scanner};
use crate::memory::{Charge, Class, Ledger};

/// MCUs from one point to the next, at least: about as many as a block has across.
const MIN_STEP: u64 = 16;

pub(super) struct Index {
    /// MCUs of the picture.
    n_mcus: u64,
    /// Places of the MCUs `step`, `2 * step`, and so on.
    points: Vec<Place>,
    step: u64,
    charge: Charge,
}

impl Index {
    /// One that takes this many bytes at most.
    pub(super) fn new(n_mcus: u64, max_bytes: usize) -> Self {
        let charge = Ledger::process().charge(Class::Metadata, 0);
        Self { n_mcus, points: Vec::new(), step: step(n_mcus, max_bytes), charge }
    }

    pub(super) fn bytes(&self) -> usize {
        self.points.capacity() * size_of::<Place>()
    }

    /// Bytes that it takes when all of the picture was passed.
    pub(super) fn most_bytes(&self) -> usize {
        usize::try_from(self.n_mcus / self.step).unwrap_or(usize::MAX).saturating_mul(size_of::<Place>())
    }

    /// MCUs from one point to the next.
    pub(super) fn step(&self) -> u64 {
        self.step
    }

    /// Changes how many bytes it may take. One that is made thinner stays so.
    pub(super) fn set_max(&mut self, max_bytes: usize) {
        let wanted = step(self.n_mcus, max_bytes);
        if wanted == u64::MAX {
            self.points = Vec::new();
        }
        while !self.points.is_empty() && self.step < wanted {
            self.points = self.points.iter().skip(1).step_by(2).copied().collect();
            self.step *= 2;
        }
        if self.points.is_empty() {
            self.step = wanted;
        }
        self.count();
    }

    /// Whether a point as near before this MCU as there are any is known.
    pub(super) fn reaches(&self, mcu: u64) -> bool {
        mcu / self.step <= self.points.len() as u64
    }

    /// The last point at or before this MCU that is known, by its number, which is from 1, and its place.
    pub(super) fn before(&self, mcu: u64) -> Option<(u64, Place)> {
        let n = (mcu / self.step).min(self.points.len() as u64);
        let last = n.checked_sub(1)?;
        Some((n, self.points[last as usize]))
    }

    /// Takes in places that were found.
    pub(super) fn take_in(&mut self, trail: &Trail) {
        // Somebody else may have been faster, or have made it thinner.
        let have = (self.points.len() as u64 + 1).checked_sub(trail.first);
        if let Some(have) = have.filter(|have| self.step == trail.step && *have < trail.found.len() as u64) {
            // Once for all: a vector that grows by itself may take twice of what is allowed.
            let all = (self.n_mcus / self.step) as usize;
            self.points.reserve_exact(all.saturating_sub(self.points.len()));
            self.points.extend(trail.found.iter().skip(have as usize));
            self.count();
        }
    }

    fn count(&mut self) {
        let bytes = self.bytes();
        self.charge.resize(bytes as u64);
    }
}

/// MCUs between points, so that those of the whole picture have room.
fn step(n_mcus: u64, max_bytes: usize) -> u64 {
    match (max_bytes / size_of::<Place>()) as u64 {
        0 => u64::MAX,
        n => n_mcus.div_ceil(n).max(MIN_STEP),
    }
}

/// Places for the index, found one after the other.
pub(super) struct Trail {
    step: u64,
    /// The number of the first one; that of MCU `step` is 1.
    first: u64,
    found: Vec<Place>,
    /// The MCU whose place comes next.
    next: u64,
}

impl Trail {
    /// Those from this MCU on.
    pub(super) fn behind(mcu: u64, step: u64) -> Self {
        let first = mcu.div_ceil(step).max(1);
        Self { step, first, found: Vec::new(), next: first.saturating_mul(step) }
    }

    /// None at all.
    pub(super) fn none() -> Self {
        Self { step: u64::MAX, first: 1, found: Vec::new(), next: u64::MAX }
    }

    /// Remembers where the next MCU starts, if the index is to have it.
    #[inline]
    pub(super) fn note<F: Feed>(&mut self, scanner: &Scanner<'_, F>) {
        if scanner.mcu() == self.next {
            self.found.push(scanner.place());
            self.next = self.next.saturating_add(self.step);
        }
    }

    /// The last place that was found, and its number.
    pub(super) fn last(&self) -> Option<(u64, Place)> {
        self.found.last().map(|place| (self.first + self.found.len() as u64 - 1, *place))
    }
}
