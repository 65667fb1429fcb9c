use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Use(u64, Hint),
    /// The entry is locked and comes out when the policy names it.
    Lock(u64),
    Unlock(u64),
    Drop(u64),
    Budget(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let hint = prop_oneof![4 => Just(Hint::Normal), 1 => Just(Hint::Sequential)];
    let step = prop_oneof![
        12 => (0..48u64, hint).prop_map(|(key, hint)| Step::Use(key, hint)),
        2 => (0..48u64).prop_map(Step::Lock),
        2 => (0..48u64).prop_map(Step::Unlock),
        1 => (0..48u64).prop_map(Step::Drop),
        1 => (0..100u64).prop_map(Step::Budget),
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
    bytes: u64,
    max: u64,
}

fn bytes_of(key: u64) -> u64 {
    1 + key % 3
}

fn hash_of(key: u64) -> u64 {
    (key + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<P: Policy> Owner<P> {
    fn new(policy: P) -> Self {
        let mut owner = Self { policy, residents: HashMap::new(), free: Vec::new(), keys: Vec::new(), bytes: 0, max: 40 };
        owner.policy.set_max_bytes(owner.max);
        owner
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Use(key, hint) => match self.residents.get(&key) {
                Some(resident) => self.policy.touch(resident.slot, hint),
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
                    if std::mem::take(&mut resident.out) {
                        self.policy.restore(resident.slot, hash_of(key), bytes_of(key), Hint::Normal);
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
                self.policy.set_max_bytes(max);
                self.make_room(0);
            }
        }
        self.check();
    }

    fn load(&mut self, key: u64, hint: Hint) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.keys.push(0);
            self.keys.len() as u32 - 1
        });
        self.keys[slot as usize] = key;
        self.residents.insert(key, Resident { slot, locked: false, out: false });
        self.bytes += bytes_of(key);
        self.policy.insert(slot, hash_of(key), bytes_of(key), hint);
    }

    fn make_room(&mut self, bytes: u64) -> bool {
        while self.bytes + bytes > self.max {
            let Some(slot) = self.policy.victim() else { return false };
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
        self.policy.check_invariants();
        let mut ordered = Vec::new();
        self.policy.for_each(&mut |slot| ordered.push(slot));
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
}
