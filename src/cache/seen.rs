//! Which keys were loaded before, to count what is loaded again.

/// Keys that are remembered before only every second one is.
const MOST: usize = 1 << 20;
/// So many are not worth forgetting.
const FEW: usize = 1 << 10;

/// A set of 32-bit fingerprints, 4 bytes a place and at most half full: 8 MiB at most. Of more than a million keys it
/// remembers a sample, and every one counts for those that it stands for.
#[derive(Default)]
pub(super) struct Seen {
    /// 0 is an empty place.
    places: Vec<u32>,
    len: usize,
    /// One key in 2^`shift` is remembered.
    shift: u32,
}

impl Seen {
    /// Notes a load. How many loads of keys that were loaded before it stands for: 0 for a first one.
    pub(super) fn load(&mut self, hash: u64) -> u64 {
        let print = hash as u32;
        if print == 0 || !self.samples(print) {
            return 0;
        }
        if 2 * (self.len + 1) > self.places.len() {
            self.make_room();
        }
        match self.find(print) {
            Ok(()) => 1 << self.shift,
            Err(place) => {
                self.places[place] = print;
                self.len += 1;
                0
            }
        }
    }

    /// Whether the key was loaded before; also `true` when it is not of the sample.
    pub(super) fn contains(&self, hash: u64) -> bool {
        let print = hash as u32;
        // Of what is not remembered nothing can be said against it.
        print == 0 || !self.samples(print) || (!self.places.is_empty() && self.find(print).is_ok())
    }

    /// Forgets all keys if they are more than this, and more than a few.
    pub(super) fn give_back(&mut self, most: usize) {
        if self.len > most.max(FEW) {
            *self = Self::default();
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.places.capacity() * size_of::<u32>()
    }

    /// By the lower bits, which say nothing about the place.
    fn samples(&self, print: u32) -> bool {
        print & ((1 << self.shift) - 1) == 0
    }

    fn find(&self, print: u32) -> Result<(), usize> {
        let mask = self.places.len() - 1;
        let mut place = ((u64::from(print) * self.places.len() as u64) >> 32) as usize;
        loop {
            match self.places[place] {
                0 => return Err(place),
                here if here == print => return Ok(()),
                _ => place = (place + 1) & mask,
            }
        }
    }

    /// Twice the places; or, when they are too many, half of the keys.
    fn make_room(&mut self) {
        let mut n_places = (2 * self.places.len()).max(64);
        if self.len >= MOST {
            self.shift += 1;
            n_places = self.places.len();
        }
        self.len = 0;
        for print in std::mem::replace(&mut self.places, vec![0; n_places]) {
            if print != 0
                && self.samples(print)
                && let Err(place) = self.find(print)
            {
                self.places[place] = print;
                self.len += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::replay::hash;
    use super::*;

    #[test]
    fn a_key_that_comes_again_is_counted_once_each_time() {
        let mut seen = Seen::default();
        let loads = |seen: &mut Seen, keys: std::ops::Range<u64>| keys.map(|key| seen.load(hash(key))).sum::<u64>();
        assert_eq!(loads(&mut seen, 0..20_000), 0);
        assert_eq!(loads(&mut seen, 10_000..25_000), 10_000);
        assert!(seen.memory_bytes() <= 25_000 * 16, "{}", seen.memory_bytes());
    }

    #[test]
    fn what_was_forgotten_is_new_and_what_comes_after_it_is_counted_again() {
        let mut seen = Seen::default();
        let loads = |seen: &mut Seen, keys: std::ops::Range<u64>| keys.map(|key| seen.load(hash(key))).sum::<u64>();
        loads(&mut seen, 0..1000);
        seen.give_back(0);
        assert_eq!(loads(&mut seen, 0..1000), 1000, "few are kept");
        loads(&mut seen, 0..100_000);
        seen.give_back(100_000);
        assert!(seen.contains(hash(99_999)));
        seen.give_back(99_000);
        assert_eq!(seen.memory_bytes(), 0);
        assert!((0..100_000).all(|key| hash(key) as u32 == 0 || !seen.contains(hash(key))));
        // Some have the same fingerprint.
        assert!(loads(&mut seen, 0..100_000) < 10);
        assert_eq!(loads(&mut seen, 0..100_000), 100_000);
    }

    #[test]
    fn of_very_many_keys_a_sample_is_remembered() {
        let mut seen = Seen::default();
        (0..3 << 20).for_each(|key| {
            seen.load(hash(key));
        });
        assert!(seen.memory_bytes() <= 8 << 20);
        let again: u64 = (0..3 << 20).map(|key| seen.load(hash(key))).sum();
        let share = again as f64 / f64::from(3 << 20);
        assert!((0.99..=1.01).contains(&share), "{share}");
    }
}
