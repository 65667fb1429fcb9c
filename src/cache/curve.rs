//! How often a cache of another size would have hit.
//!
//! The method is AET (Hu et al., "Kinetic modeling of data eviction in cache", USENIX ATC 2016). A use that comes *t*
//! accesses after the last one of its block is a hit in an LRU cache that holds what *t* accesses bring in on average,
//! and that is known from how many blocks are used again how soon: a histogram of reuse times is all it takes. Times
//! are kept in accesses, what they bring in is counted in bytes, so that sizes may vary.
//!
//! Which reuse times are measured is chosen by access, not by key: one access of 2^n is watched until its block is used
//! again. A sample of keys, as SHARDS takes it, misses by 3 to 5 points on popularity as skewed as a tile server's,
//! where a few keys make many of the hits, and by more where a budget is close to one row of blocks. A watched access
//! that nobody came back for yet is evidence up to its age only (Kaplan and Meier, 1958).

use super::policy::hashed::{self, Hashed};

/// The most accesses watched at a time. Half as many made the mean error on a tile server up to 2.0 points, over a dozen
/// seeds; with these it is up to 0.7.
const MOST_WATCHED: usize = 1792;
/// So many were watched: from now on half as many are enough.
const MOST_AT_A_TIME: u64 = 1 << 14;
/// Accesses that can be watched before the next miss, at least.
const LEAST_ROOM: usize = 64;
/// Buckets for each doubling of the reuse time.
const BUCKETS_PER_OCTAVE: u64 = 8;

/// The reuse times of a dataset's blocks since it was opened, and the curve that follows: hit ratio over budget.
///
/// Mean error against LRU 0.0 to 1.6 points on loops, row-wise reads, viewers and a tile server. Holds 128 KiB at most,
/// however many blocks there are, and nothing before the first access.
#[derive(Default)]
pub(crate) struct ReuseCurve {
    accesses: u64,
    /// One of 2^`shift` accesses is watched.
    shift: u32,
    /// The next one.
    next: u64,
    /// Under the hash of the block's key.
    watched: Hashed<Watched>,
    watched_bytes: u64,
    /// How many were watched since `shift` last changed.
    watched_since: u64,
    buckets: Vec<Bucket>,
    /// Room for `thin`.
    ages: Vec<u32>,
    random: u64,
}

#[derive(Clone, Copy)]
struct Watched {
    at: u64,
    bytes: u64,
}

/// Reuse times between two powers of 2^⅛.
#[derive(Clone, Copy, Default)]
struct Bucket {
    /// Accesses that this stands for, and their bytes.
    weight: u64,
    bytes: u64,
    /// What was really seen: a loop has one reuse time, and its cliff is where it is.
    least: u64,
    most: u64,
}

/// `ratio` of the accesses hit at a budget of `bytes`. Between two points the curve is straight.
#[derive(Clone, Copy, Debug)]
struct Point {
    bytes: f64,
    ratio: f64,
}

impl ReuseCurve {
    /// Takes the memory that following hits may need, so that noting them takes none. To be called with every miss.
    pub(crate) fn prepare(&mut self) {
        if self.buckets.is_empty() {
            self.buckets.reserve_exact((64 * BUCKETS_PER_OCTAVE) as usize);
        }
        if self.watched.len() >= MOST_WATCHED {
            self.thin();
        }
        let wanted = (2 * self.watched.len()).clamp(LEAST_ROOM, MOST_WATCHED);
        self.watched.reserve(wanted.saturating_sub(self.watched.len()));
        self.ages.clear();
        self.ages.reserve_exact(self.watched.capacity().min(MOST_WATCHED));
    }

    /// Notes an access of the block with this well mixed hash. In access order.
    ///
    /// Without room for another watched access, which `prepare` makes, this one is passed over.
    pub(crate) fn record(&mut self, hash: u64, bytes: u64) {
        let mut may_be_watched = true;
        self.record_known(hash, bytes, &mut may_be_watched);
    }

    /// How many accesses can be passed over until the next one that is chosen, unless they are of watched blocks.
    pub(crate) fn skippable(&self) -> u64 {
        self.next.saturating_sub(self.accesses + 1)
    }

    /// Notes accesses of blocks that are not watched, no more than are skippable.
    pub(crate) fn skip(&mut self, accesses: u64) {
        debug_assert!(accesses <= self.skippable());
        self.accesses += accesses;
    }

    /// As [`record`](Self::record), for a block of which somebody remembers whether it may be watched: most are not,
    /// and then there is nothing to look up.
    pub(crate) fn record_known(&mut self, hash: u64, bytes: u64, may_be_watched: &mut bool) {
        self.accesses += 1;
        let now = self.accesses;
        if std::mem::take(may_be_watched)
            && let Some(before) = self.watched.remove(&hash)
        {
            self.note_reuse(before, now);
        }
        if now < self.next {
            return;
        }
        self.watched_since += 1;
        if self.watched_since >= MOST_AT_A_TIME {
            self.thin();
        } else {
            self.choose_next();
        }
        if self.watched.len() < MOST_WATCHED.min(self.watched.capacity()) {
            self.watched_bytes += bytes;
            self.watched.insert(hash, Watched { at: now, bytes });
            *may_be_watched = true;
        }
    }

    #[cfg(test)]
    pub(crate) fn watches(&self, hash: u64) -> bool {
        self.watched.contains_key(&hash)
    }

    /// The share of the accesses so far, first ones included, that an LRU cache of each budget would have hit.
    pub(crate) fn predict(&self, budgets_bytes: &[u64]) -> Vec<f64> {
        let points = self.points();
        let ratio_at = |budget: f64| {
            let after = points.partition_point(|point| point.bytes <= budget);
            match (after.checked_sub(1).and_then(|before| points.get(before)), points.get(after)) {
                (Some(a), Some(b)) => a.ratio + (b.ratio - a.ratio) * (budget - a.bytes) / (b.bytes - a.bytes),
                (Some(last), None) => last.ratio,
                _ => 0.0,
            }
        };
        // Sums of fractions may miss a whole number of blocks by less than a byte.
        budgets_bytes.iter().map(|budget| ratio_at(*budget as f64 + 1.0)).collect()
    }

    /// A budget that reaches a hit ratio: the least one predicted to, with some room for what the prediction may miss,
    /// a point of the ratio and a sixteenth of the bytes. `None` when no budget is predicted to.
    pub(crate) fn suggest(&self, target_ratio: f64) -> Option<u64> {
        let points = self.points();
        let most = points.last().map_or(0.0, |point| point.ratio);
        if target_ratio.is_nan() || target_ratio <= 0.0 || target_ratio > most {
            return (target_ratio <= 0.0).then_some(0);
        }
        let aim = (target_ratio + 0.01).min(most);
        let reached = points.partition_point(|point| point.ratio < aim);
        let (a, b) = (points[reached - 1], points[reached]);
        let bytes = a.bytes + (b.bytes - a.bytes) * (aim - a.ratio) / (b.ratio - a.ratio);
        Some((bytes * (1.0 + 1.0 / 16.0)).ceil() as u64)
    }

    /// Bytes of memory held.
    pub(crate) fn memory_bytes(&self) -> usize {
        hashed::memory_bytes(&self.watched)
            + self.buckets.capacity() * size_of::<Bucket>()
            + self.ages.capacity() * size_of::<u32>()
    }

    /// Gives back the room that is not needed before the next miss.
    pub(crate) fn give_back(&mut self) {
        self.watched.shrink_to(LEAST_ROOM);
        // `thin` needs room for as many, and may come before the next miss.
        self.ages.clear();
        self.ages.shrink_to(self.watched.capacity().min(MOST_WATCHED));
    }

    fn note_reuse(&mut self, before: Watched, now: u64) {
        self.watched_bytes -= before.bytes;
        let time = now - before.at;
        let index = bucket_of(time);
        if index >= self.buckets.len() {
            self.buckets.resize(index + 1, Bucket::default());
        }
        let bucket = &mut self.buckets[index];
        bucket.least = if bucket.weight == 0 { time } else { bucket.least.min(time) };
        bucket.most = bucket.most.max(time);
        bucket.weight += 1 << self.shift;
        bucket.bytes = bucket.bytes.saturating_add(before.bytes << self.shift);
    }

    /// One of each 2^`shift` accesses in a row, any of them: less noise than choosing each by itself, and no beat with
    /// the rows of a raster.
    fn choose_next(&mut self) {
        // An xorshift of Marsaglia's.
        self.random = if self.random == 0 { 0x9e37_79b9_7f4a_7c15 } else { self.random };
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let run = 1 << self.shift;
        self.next = self.accesses / run * run + run + self.random % run;
    }

    /// Watches half as much from now on, and every second one of those that are watched, in the order of their age.
    fn thin(&mut self) {
        let Self { watched, ages, accesses, .. } = self;
        // Few are older than 32 bits can tell, and they may as well be one age.
        let age = |watched: &Watched| u32::try_from(*accesses - watched.at).unwrap_or(u32::MAX);
        ages.clear();
        ages.extend(watched.values().map(age));
        ages.sort_unstable_by(|a, b| b.cmp(a));
        watched.retain(|_, watched| {
            let age = age(watched);
            ages.binary_search_by(|other| age.cmp(other)).is_ok_and(|rank| rank % 2 == 1)
        });
        self.watched_bytes = self.watched.values().map(|watched| watched.bytes).sum();
        self.shift += 1;
        self.watched_since = 0;
        self.choose_next();
    }

    /// The curve, rising in both directions.
    fn points(&self) -> Vec<Point> {
        let mut ages: Vec<(u64, f64)> = self
            .watched
            .values()
            .map(|watched| (self.accesses - watched.at, (watched.bytes << self.shift) as f64))
            .collect();
        ages.sort_unstable_by_key(|(age, _)| *age);
        let mut ages = ages.into_iter().peekable();

        let weight = ((self.watched.len() as u64) << self.shift) + self.buckets.iter().map(|b| b.weight).sum::<u64>();
        let mut at_risk = self.watched_bytes as f64 * (1_u64 << self.shift) as f64
            + self.buckets.iter().map(|bucket| bucket.bytes as f64).sum::<f64>();
        // What the next access brings in, on average, that the `time` accesses before it did not.
        let mut fresh_bytes = at_risk / weight.max(1) as f64;
        let (mut time, mut bytes, mut hits) = (0.0, 0.0, 0);
        let mut points = vec![Point { bytes: 0.0, ratio: 0.0 }];
        for bucket in self.buckets.iter().filter(|bucket| bucket.weight > 0) {
            while let Some((_, bytes)) = ages.next_if(|(age, _)| *age < bucket.least) {
                at_risk -= bytes;
            }
            let (least, most) = (bucket.least as f64, bucket.most as f64);
            bytes += (least - time) * fresh_bytes;
            points.push(Point { bytes, ratio: hits as f64 / weight as f64 });
            let still_fresh = fresh_bytes * (1.0 - bucket.bytes as f64 / at_risk).max(0.0);
            bytes += (most - least) * (fresh_bytes + still_fresh) / 2.0;
            hits += bucket.weight;
            points.push(Point { bytes, ratio: hits as f64 / weight as f64 });
            at_risk -= bucket.bytes as f64;
            (time, fresh_bytes) = (most, still_fresh);
        }
        points
    }
}

/// Finer than a tenth: the power of two, and the three bits below the first.
fn bucket_of(time: u64) -> usize {
    let octave = u64::from(time.max(1).ilog2());
    let eighth = ((time << (63 - octave)) >> 60) % BUCKETS_PER_OCTAVE;
    (octave * BUCKETS_PER_OCTAVE + eighth) as usize
}

#[cfg(test)]
mod tests {
    use super::super::policy::Lru;
    use super::super::policy::replay::{self, Access, BLOCK, Replay};
    use super::*;

    fn note(curve: &mut ReuseCurve, hash: u64, bytes: u64) {
        curve.prepare();
        curve.record(hash, bytes);
    }

    fn curve_of(trace: &[Access]) -> ReuseCurve {
        let mut curve = ReuseCurve::default();
        trace.iter().for_each(|access| note(&mut curve, access.hash, access.bytes));
        curve
    }

    /// What really hits.
    fn ratio(trace: &[Access], budget: u64) -> f64 {
        let mut cache = Replay::new(Lru::default(), budget);
        trace.iter().for_each(|access| {
            cache.access(*access);
        });
        cache.hits as f64 / trace.len() as f64
    }

    #[track_caller]
    fn check(trace: &[Access], blocks: &[u64]) {
        let curve = curve_of(trace);
        assert!(curve.memory_bytes() < 128 << 10, "{}", curve.memory_bytes());
        let budgets: Vec<u64> = blocks.iter().map(|blocks| blocks * BLOCK).collect();
        let (mut error, mut most): (f64, f64) = (0.0, 0.0);
        for (budget, predicted) in budgets.iter().zip(curve.predict(&budgets)) {
            let truth = ratio(trace, *budget);
            error += (predicted - truth).abs();
            most = most.max(truth);
        }
        let error = error / blocks.len() as f64;
        assert!(error <= 0.02, "mean error {error} in {blocks:?} blocks");
        for share in [0.2, 0.5, 0.8, 0.95] {
            let target = most * share;
            let budget = curve.suggest(target).expect("some budget reaches it");
            let reached = ratio(trace, budget);
            assert!(reached >= target, "{reached} of {target} in {} blocks", budget / BLOCK);
        }
    }

    #[test]
    fn a_loop_has_its_cliff_where_it_is() {
        check(&replay::cyclic(4000, 12), &[40, 500, 1000, 2000, 3000, 3600, 3900, 4000, 5000]);
    }

    #[test]
    fn rows_have_two_cliffs() {
        check(&replay::rows(64, 60, 4, 8), &[32, 60, 67, 100, 192, 480, 960, 2000, 3000, 4000]);
    }

    #[test]
    fn the_longer_it_watches_the_less_it_has_to() {
        let trace = replay::rows(16, 20, 200, 4);
        check(&trace, &[8, 15, 16, 17, 24, 64, 200, 310, 330, 400]);
        let curve = curve_of(&trace);
        assert!(curve.watched_since < MOST_AT_A_TIME && curve.shift >= 3, "{}", curve.shift);
    }

    #[test]
    fn accesses_that_are_skipped_count_as_if_they_were_noted() {
        let trace = replay::rows(64, 60, 4, 8);
        let (mut noted, mut skipped) = (ReuseCurve::default(), ReuseCurve::default());
        let mut may_be_watched = Hashed::default();
        for Access { hash, bytes, .. } in trace {
            note(&mut noted, hash, bytes);
            skipped.prepare();
            let may_be_watched = may_be_watched.entry(hash).or_insert(false);
            if *may_be_watched || skipped.skippable() == 0 {
                skipped.record_known(hash, bytes, may_be_watched);
            } else {
                skipped.skip(1);
            }
        }
        let budgets: Vec<u64> = (1..4000).map(|blocks| blocks * BLOCK).collect();
        assert_eq!(noted.predict(&budgets), skipped.predict(&budgets));
    }

    #[test]
    fn a_viewer_is_predicted_to_two_points_alone_and_among_others() {
        let Some(trace) = replay::viewer() else { return };
        check(&trace, &[64, 128, 256, 512, 768, 1024, 1500, 2048, 4096]);
        for dataset in 0..4 {
            let own: Vec<Access> = trace.iter().filter(|access| access.dataset == dataset).copied().collect();
            check(&own, &[32, 64, 91, 182, 270, 365, 500, 1000, 2000]);
        }
    }

    #[test]
    fn a_tile_server_is_predicted_to_two_points() {
        let Some(trace) = replay::tile_server() else { return };
        check(&trace, &[1024, 2048, 4096, 8192, 16_384, 32_768, 65_536]);
    }

    #[test]
    fn what_gave_memory_back_predicts_the_same() {
        let trace = replay::rows(64, 60, 4, 8);
        let (kept, mut gave_back) = (curve_of(&trace), ReuseCurve::default());
        for (access, n) in trace.iter().zip(1..) {
            note(&mut gave_back, access.hash, access.bytes);
            if n % 10_000 == 0 {
                gave_back.give_back();
            }
        }
        let budgets: Vec<u64> = (1..4000).map(|blocks| blocks * BLOCK).collect();
        assert_eq!(kept.predict(&budgets), gave_back.predict(&budgets));
        // Hits take no memory: it thins what it watches while there is no miss.
        gave_back.give_back();
        let (room, shift) = (gave_back.ages.capacity(), gave_back.shift);
        trace.iter().cycle().take(200_000).for_each(|access| gave_back.record(access.hash, access.bytes));
        assert!(gave_back.shift > shift);
        assert_eq!(gave_back.ages.capacity(), room);
    }

    #[test]
    fn without_reuse_there_is_nothing_to_suggest() {
        let mut curve = ReuseCurve::default();
        assert_eq!((curve.predict(&[0, u64::MAX]), curve.suggest(0.5), curve.memory_bytes()), (vec![0.0; 2], None, 0));
        replay::cyclic(5000, 1).iter().for_each(|access| note(&mut curve, access.hash, access.bytes));
        assert_eq!((curve.predict(&[0, u64::MAX]), curve.suggest(0.5)), (vec![0.0; 2], None));
        assert_eq!((curve.suggest(0.0), curve.suggest(f64::NAN)), (Some(0), None));
    }

    #[test]
    fn the_curve_rises_and_stays_within_bounds() {
        let mut curve = ReuseCurve::default();
        let budgets: Vec<u64> = (0..60).map(|power| 1 << power).collect();
        for step in 0..20_000_u64 {
            let key = step * step % 977 + step / 500;
            note(&mut curve, replay::hash(key), (1 + key % 7) << 10);
            if step.is_power_of_two() || step % 4999 == 0 {
                let ratios = curve.predict(&budgets);
                assert!(ratios.is_sorted() && ratios.iter().all(|ratio| (0.0..=1.0).contains(ratio)), "{ratios:?}");
            }
        }
    }
}
