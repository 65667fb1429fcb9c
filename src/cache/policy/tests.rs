use std::collections::HashMap;

use proptest::prelude::*;

use super::replay::{self, Access, BLOCK, Replay, hash};
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Use(u64, Hint),
    /// The entry is locked and comes out when the policy names it.
    Lock(u64),
    Unlock(u64),
    Drop(u64),
    Budget(u64),
    /// Entries that are not locked move to the first slots.
    MoveTogether,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let hint = prop_oneof![4 => Just(Hint::Normal), 1 => Just(Hint::Sequential)];
    let step = prop_oneof![
        12 => (0..48u64, hint).prop_map(|(key, hint)| Step::Use(key, hint)),
        2 => (0..48u64).prop_map(Step::Lock),
        2 => (0..48u64).prop_map(Step::Unlock),
        1 => (0..48u64).prop_map(Step::Drop),
        1 => (0..100u64).prop_map(Step::Budget),
        1 => Just(Step::MoveTogether),
    ];
    prop::collection::vec(step, 1..400)
}

#[derive(Clone, Copy)]
struct Resident {
    slot: u32,
    locked: bool,
    /// Not with the policy because it was locked when the policy named it.
    out: bool,
}

/// What the core does around a policy, in small: slots, locks, a budget.
struct Owner<P> {
    policy: P,
    residents: HashMap<u64, Resident>,
    free: Vec<u32>,
    keys: Vec<u64>,
    used: Vec<u64>,
    clock: u64,
    /// For what is read in passing.
    early_clock: u64,
    bytes: u64,
    max: u64,
}

fn bytes_of(key: u64) -> u64 {
    1 + key % 3
}

impl<P: Policy> Owner<P> {
    fn new(policy: P) -> Self {
        let mut owner = Self {
            policy,
            residents: HashMap::new(),
            free: Vec::new(),
            keys: Vec::new(),
            used: Vec::new(),
            clock: 1 << 32,
            early_clock: 1 << 32,
            bytes: 0,
            max: 40,
        };
        owner.policy.set_max_bytes(owner.max, &owner.used);
        owner
    }

    fn note_use(&mut self, slot: u32, hint: Hint) {
        self.clock += 1;
        self.early_clock -= 1;
        self.used[slot as usize] = if hint == Hint::Normal { self.clock } else { self.early_clock };
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Use(key, hint) => match self.residents.get(&key) {
                Some(&Resident { slot, out, .. }) if hint == Hint::Normal => {
                    self.note_use(slot, hint);
                    if !out {
                        self.policy.note_sampled_hit(slot);
                    }
                }
                Some(_) => {}
                None => {
                    if self.make_room(bytes_of(key)) {
                        self.load(key, hint);
                    }
                }
            },
            Step::Lock(key) => {
                if let Some(resident) = self.residents.get_mut(&key) {
                    resident.locked = true;
                }
            }
            Step::Unlock(key) => {
                if let Some(resident) = self.residents.get_mut(&key) {
                    resident.locked = false;
                    let slot = resident.slot;
                    if std::mem::take(&mut resident.out) {
                        self.note_use(slot, Hint::Normal);
                        self.policy.restore(slot, hash(key), bytes_of(key), &self.used);
                    }
                }
                self.make_room(0);
            }
            Step::Drop(key) => {
                if let Some(resident) = self.residents.get(&key).copied().filter(|resident| !resident.locked) {
                    self.policy.remove(resident.slot);
                    self.forget(key, resident.slot);
                }
            }
            Step::Budget(max) => {
                self.max = max;
                self.policy.set_max_bytes(max, &self.used);
                self.make_room(0);
            }
            Step::MoveTogether => {
                let before = self.order();
                self.move_together();
                assert_eq!(self.order(), before);
            }
        }
        self.check();
    }

    fn move_together(&mut self) {
        let mut to: Vec<u32> = (0..self.keys.len() as u32).collect();
        let mut residents: Vec<&mut Resident> = self.residents.values_mut().collect();
        residents.sort_unstable_by_key(|resident| std::cmp::Reverse(resident.slot));
        self.free.sort_unstable_by(|a, b| b.cmp(a));
        for resident in residents.iter_mut().filter(|resident| !resident.locked && !resident.out) {
            let Some(first) = self.free.pop_if(|first| *first < resident.slot) else { break };
            let from = std::mem::replace(&mut resident.slot, first) as usize;
            to[from] = first;
            self.keys[first as usize] = self.keys[from];
            self.used[first as usize] = self.used[from];
        }
        let n_slots = residents.iter().map(|resident| resident.slot + 1).max().unwrap_or(0);
        self.policy.renumber(&to, n_slots as usize);
        self.keys.truncate(n_slots as usize);
        self.used.truncate(n_slots as usize);
        self.free =
            (0..n_slots).filter(|slot| !self.residents.values().any(|resident| resident.slot == *slot)).collect();
    }

    /// The keys, the one that would go first first.
    fn order(&self) -> Vec<u64> {
        let mut order = Vec::new();
        self.policy.for_each(&self.used, &mut |slot| order.push(self.keys[slot as usize]));
        order
    }

    fn load(&mut self, key: u64, hint: Hint) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.keys.push(0);
            self.used.push(0);
            self.keys.len() as u32 - 1
        });
        self.keys[slot as usize] = key;
        self.residents.insert(key, Resident { slot, locked: false, out: false });
        self.bytes += bytes_of(key);
        self.note_use(slot, hint);
        self.policy.insert(slot, hash(key), bytes_of(key), hint, &self.used);
    }

    fn make_room(&mut self, bytes: u64) -> bool {
        while self.bytes + bytes > self.max {
            let Some(slot) = self.policy.victim(&self.used) else { return false };
            let key = self.keys[slot as usize];
            let resident = self.residents.get_mut(&key).expect("the policy named an entry that is there");
            assert!(resident.slot == slot && !resident.out);
            if resident.locked {
                resident.out = true;
                self.policy.remove(slot);
            } else {
                self.policy.evict(slot);
                self.forget(key, slot);
            }
        }
        true
    }

    fn forget(&mut self, key: u64, slot: u32) {
        self.residents.remove(&key);
        self.free.push(slot);
        self.bytes -= bytes_of(key);
    }

    fn check(&self) {
        self.policy.check_invariants(&self.used);
        let mut ordered = Vec::new();
        self.policy.for_each(&self.used, &mut |slot| ordered.push(slot));
        ordered.sort_unstable();
        let mut expected: Vec<_> = self.residents.values().filter(|r| !r.out).map(|r| r.slot).collect();
        expected.sort_unstable();
        assert_eq!(ordered, expected);
    }
}

/// Runs the steps, then lets everything that is not locked go.
fn run(policy: impl Policy, steps: Vec<Step>) {
    let mut owner = Owner::new(policy);
    steps.into_iter().for_each(|step| owner.step(step));
    owner.step(Step::Budget(0));
    assert!(owner.residents.values().all(|resident| resident.locked));
}

proptest! {
    #[test]
    fn lru_names_what_may_go_and_nothing_else(steps in steps()) {
        run(Lru::default(), steps);
    }

    #[test]
    fn clock_names_what_may_go_and_nothing_else(steps in steps()) {
        run(Clock::default(), steps);
    }

    #[test]
    fn clock_pro_names_what_may_go_and_nothing_else(steps in steps()) {
        run(ClockPro::default(), steps);
    }

    #[test]
    fn adaptive_names_what_may_go_and_nothing_else(steps in steps(), every in 1..50_usize) {
        let mut owner = Owner::new(Adaptive::default());
        for (step, n) in steps.into_iter().zip(1..) {
            owner.step(step);
            if n % every == 0 {
                owner.policy.change(&owner.used);
                owner.check();
            }
        }
    }
}

#[test]
fn clock_pro_keeps_what_comes_back_and_lets_go_what_passes() {
    // Nobody is used after coming in.
    let used: Vec<u64> = (0..9).collect();
    let mut pro = ClockPro::default();
    pro.set_max_bytes(8, &used);
    (0..8).for_each(|slot| pro.insert(slot, hash(slot.into()), 1, Hint::Normal, &used));
    // Cold, in test, gone: a ghost.
    let gone = pro.victim(&used).unwrap();
    pro.evict(gone);
    pro.insert(gone, hash(100), 1, Hint::Normal, &used);
    let passing = pro.victim(&used).unwrap();
    assert_eq!(passing, gone, "what was first here is hot, what came last is cold");
    pro.evict(passing);
    pro.insert(passing, hash(100), 1, Hint::Normal, &used);
    assert_ne!(pro.victim(&used), Some(passing), "it came back while its ghost was here, so it is hot");
    let other = pro.victim(&used).unwrap();
    pro.evict(other);
    pro.insert(8, hash(101), 1, Hint::Sequential, &used);
    assert_eq!(pro.victim(&used), Some(8));
    pro.check_invariants(&used);
}

/// Hits of one cache, or of one for each dataset.
fn hits<P: Policy + Default>(trace: &[Access], blocks: u64, apart: bool) -> u64 {
    let mut caches = HashMap::new();
    for access in trace {
        let dataset = if apart { access.dataset } else { 0 };
        caches.entry(dataset).or_insert_with(|| Replay::new(P::default(), blocks * BLOCK)).access(*access);
    }
    caches.values().map(|cache| cache.hits).sum()
}

/// Blocks; LRU's hits, to the unit; the least that adaptive must hit.
type Expected = (u64, u64, u64);

#[track_caller]
fn check_hits(trace: &[Access], apart: bool, expected: &[Expected]) {
    for &(blocks, lru, least) in expected {
        assert_eq!(hits::<Lru>(trace, blocks, apart), lru, "LRU in {blocks} blocks");
        let adaptive = hits::<Adaptive>(trace, blocks, apart);
        assert!(adaptive >= least, "{adaptive} of {least} hits in {blocks} blocks");
    }
}

/// The least that counts as so many percent.
fn percent(hits: u64, percent: u64) -> u64 {
    (hits * percent).div_ceil(100)
}

#[test]
fn a_loop_hits_what_fits() {
    let expected = [
        (40, 0, 0),
        (1000, 0, percent(11_000, 85)),
        (2000, 0, percent(22_000, 85)),
        (3600, 0, percent(39_600, 83)),
        (4000, 44_000, 44_000),
    ];
    check_hits(&replay::cyclic(4000, 12), false, &expected);
}

#[test]
fn rows_that_fit_are_kept_whole() {
    let expected = [67, 192, 960].map(|blocks| (blocks, 107_520, percent(107_520, 99)));
    check_hits(&replay::rows(64, 60, 4, 8), false, &expected);
}

#[test]
fn a_viewer_is_served_as_by_lru() {
    let Some(trace) = replay::viewer() else { return };
    let as_lru = |(blocks, lru)| (blocks, lru, percent(lru, 99));
    check_hits(&trace, false, &[(256, 39_214), (512, 43_403), (1024, 45_612)].map(as_lru));
    check_hits(&trace, true, &[(91, 28_999), (182, 44_605), (365, 59_005)].map(as_lru));
}

#[test]
fn a_tile_server_is_served_as_by_clock_pro() {
    let Some(trace) = replay::tile_server() else { return };
    let expected = [(4096, 70_876, percent(144_324, 98)), (16_384, 158_070, percent(217_066, 98))];
    check_hits(&trace, false, &expected);
}

#[test]
fn nothing_hits_more_than_belady() {
    let (cyclic, rows) = (replay::cyclic(4000, 12), replay::rows(64, 60, 4, 8));
    let mut cases = vec![
        (&cyclic, [(40, 440), (1000, 11_000), (3600, 39_600)]),
        (&rows, [(67, 107_532), (192, 108_032), (960, 110_400)]),
    ];
    let viewer = replay::viewer();
    cases.extend(viewer.iter().map(|trace| (trace, [(256, 49_663), (512, 59_959), (1024, 69_635)])));
    for (trace, expected) in cases {
        for (blocks, most) in expected {
            assert_eq!(replay::belady(trace, blocks * BLOCK), most, "{blocks} blocks");
            assert!(hits::<ClockPro>(trace, blocks, false) <= most);
        }
    }
}

/// What they hit when a hit still set a bit in the policy's own memory.
#[test]
fn clocks_hit_to_the_unit_what_they_did_with_bits_for_uses() {
    let mut cases = vec![
        (replay::cyclic(4000, 12), vec![(40, 0, 418), (1000, 0, 10_648), (3600, 0, 38_357), (4000, 44_000, 44_000)]),
        (replay::rows(64, 60, 4, 8), vec![(67, 106_803, 91_445), (192, 107_520, 104_653), (960, 107_520, 107_425)]),
    ];
    let viewer = [(256, 38_238, 22_863), (512, 42_884, 32_569), (1024, 49_897, 50_799)];
    cases.extend(replay::viewer().map(|trace| (trace, viewer.to_vec())));
    let tile_server = [(4096, 76_288, 143_934), (16_384, 167_526, 225_897)];
    cases.extend(replay::tile_server().map(|trace| (trace, tile_server.to_vec())));
    for (trace, expected) in cases {
        for (blocks, clock, pro) in expected {
            let reached = (hits::<Clock>(&trace, blocks, false), hits::<ClockPro>(&trace, blocks, false));
            assert_eq!(reached, (clock, pro), "{blocks} blocks");
        }
    }
}
