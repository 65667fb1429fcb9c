//! What an entry of a cache is worth beside those of others: how much its bytes cost to load, and how often they are used
//! again.

/// Loads after which the measured reuse is brought up to date.
const EPOCH: u32 = 32;
/// Nanoseconds a byte below which a load costs no more than a copy: cheaper ones do not differ.
const COPY: f32 = 0.25;
/// Hits for every load from which on entries count as used again. Among datasets that somebody looks at, the measure says
/// more about the last minute than about the next: ranked by it without an upper bound, a viewer of four images lost 5 to
/// 12 % of its hits, and what is read once only was no less in the way.
const USED_AGAIN: f32 = 1.0 / 16.0;
/// A load that is said to be a copy is believed up to so many nanoseconds a byte: into new memory a copy costs more than
/// into old, but a disk or a network that has to be asked costs more than that.
const MOST_OF_A_COPY: f32 = 1.0;
/// What an entry is worth that nobody ever came back for, beside one that is used again.
const LEAST: f32 = 1.0 / 256.0;

/// Measures what the entries of one cache are worth.
pub(super) struct Worth {
    hits: u64,
    loads: u32,
    /// Hits for every load, later ones counting more.
    reuse: f32,
    /// Nanoseconds a byte: the median of the loads, more or less.
    cost: f32,
}

impl Default for Worth {
    fn default() -> Self {
        Self { hits: 0, loads: 0, reuse: 1.0, cost: COPY }
    }
}

impl Worth {
    pub(super) fn note_hits(&mut self, n: u64) {
        self.hits += n;
    }

    /// Notes a load; the worth of an entry, when there is something new to say.
    pub(super) fn note_load(&mut self, bytes: u64, nanos: u64) -> Option<f32> {
        let cost = nanos as f32 / bytes.max(1) as f32;
        // A step up or down with every load ends where there are as many above as below: one that was interrupted does
        // not make the others dear.
        self.cost = (self.cost * if cost > self.cost { 1.25 } else { 0.8 }).clamp(COPY, 1e4);
        self.loads += 1;
        if self.loads < EPOCH {
            return None;
        }
        let ratio = self.hits as f32 / self.loads as f32;
        self.reuse += (ratio.min(8.0) - self.reuse) / 8.0;
        (self.hits, self.loads) = (0, 0);
        Some(self.value())
    }

    /// Whether loads cost no more than copies.
    pub(super) fn is_copy(&self) -> bool {
        self.cost <= MOST_OF_A_COPY
    }

    fn value(&self) -> f32 {
        // In powers of two, so that datasets that are about equally dear are equal.
        let cost = (self.cost / COPY).log2().round().exp2();
        cost.sqrt() * (self.reuse / USED_AGAIN).clamp(LEAST, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worth(n: u32, hits: u64, nanos: u64) -> f32 {
        let mut worth = Worth::default();
        let mut last = 0.0;
        for _ in 0..n {
            worth.note_hits(hits);
            last = worth.note_load(65_536, nanos).unwrap_or(last);
        }
        last
    }

    #[test]
    fn what_is_dear_and_used_again_is_worth_more() {
        assert!((worth(3200, 1, 100) - 1.0).abs() < 0.01);
        assert!((worth(3200, 0, 100) - LEAST).abs() < 0.001);
        let dear = worth(3200, 1, 65_536 * 4);
        assert!((3.9..=4.1).contains(&dear), "a load of 4 ns a byte is 16 times as dear as a copy: {dear}");
        assert!(worth(640, 0, 100) > 0.9 && worth(1280, 0, 100) < 0.3, "it takes a while to be sure");
    }

    #[test]
    fn one_slow_load_changes_nothing() {
        let mut worth = Worth::default();
        let values: Vec<f32> = (0..3200)
            .filter_map(|i| {
                worth.note_hits(1);
                worth.note_load(65_536, if i % 10 == 0 { 1 << 40 } else { 10 })
            })
            .collect();
        assert!(values.iter().all(|value| (0.9..=1.5).contains(value)), "{values:?}");
    }
}
