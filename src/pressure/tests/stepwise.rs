//! What is done about a sequence of readings.

use std::time::Duration;

use crate::memory::{Bound, Reading, Stalled};
use crate::pressure::PressureLevel::{self, Critical, Moderate, None as Calm};
use crate::pressure::steps::{Step, Steps};

const MIB: u64 = 1 << 20;
/// Time between two readings, a quarter of the time for which nothing may be wrong.
const INTERVAL: Duration = Duration::from_millis(250);

/// A process in a group of so many MiB on a machine with plenty, by the reading.
struct Process {
    steps: Steps,
    limit: u64,
    now: Duration,
    stalled: u64,
    is_ours: bool,
    host: Bound,
    /// The total that was asked for, in bytes.
    wanted: u64,
}

impl Process {
    fn new(limit_mib: u64) -> Self {
        Self {
            steps: Steps::new(4 * INTERVAL),
            limit: limit_mib * MIB,
            now: Duration::ZERO,
            stalled: 0,
            is_ours: true,
            host: Bound { limit: 64 << 30, used: 8 << 30 },
            wanted: 1 << 40,
        }
    }

    /// What follows when caches hold some MiB, and something else uses others; in MiB.
    fn next(&mut self, held: u64, others: u64) -> (u64, PressureLevel) {
        self.step(held, others, false)
    }

    fn step(&mut self, held: u64, others: u64, woken: bool) -> (u64, PressureLevel) {
        let group = Bound { limit: self.limit, used: (held + others) * MIB };
        let reading = Reading {
            host: Some(self.host),
            bounds: vec![group],
            stalled: Some(Stalled { micros: self.stalled, is_ours: self.is_ours }),
        };
        self.now += INTERVAL;
        let Step { cap, level } = self.steps.next(&reading, held * MIB, self.wanted, self.now, woken);
        (cap / MIB, level)
    }

    /// Steps without a change of what others use; caches hold all they may, up to `wanted`.
    fn settle(&mut self, mut held: u64, wanted: u64, others: u64, n: usize) -> Vec<(u64, PressureLevel)> {
        let mut seen = Vec::new();
        for _ in 0..n {
            let (cap, level) = self.next(held, others);
            held = cap.min(wanted);
            seen.push((cap, level));
        }
        seen
    }
}

#[test]
fn caches_may_fill_what_leaves_a_quarter_of_the_limit_free() {
    let mut process = Process::new(500);
    assert_eq!(process.next(0, 25), (350, Calm));
    assert_eq!(process.settle(100, 4096, 25, 100), [(350, Calm); 100]);
    // Of a large limit it is a gibibyte.
    let mut process = Process::new(32 << 10);
    let (cap, _) = process.next(1000, 1000);
    assert!((30 << 10..31 << 10).contains(&cap), "{cap}");
}

#[test]
fn what_others_take_is_given_up_at_once_and_comes_back_in_steps() {
    let mut process = Process::new(500);
    process.next(0, 25);
    assert_eq!(process.next(350, 25), (350, Calm));
    // 115 of 500 left: above the level, but more than caches shall fill.
    assert_eq!(process.next(350, 35), (350, Calm), "less than half a unit changes nothing");
    assert_eq!(process.next(350, 80), (295, Moderate));
    assert_eq!(process.next(295, 80), (295, Calm));
    assert_eq!(process.next(295, 150), (225, Moderate));
    assert_eq!(process.next(225, 150), (225, Calm));
    let back = process.settle(225, 4096, 25, 40);
    assert!(back.iter().all(|(_, level)| *level == Calm));
    let caps: Vec<u64> = back.iter().map(|(cap, _)| *cap).collect();
    assert!(caps.is_sorted() && *caps.last().unwrap() > 325, "{caps:?}");
    let growths: Vec<u64> = caps.windows(2).map(|pair| pair[1] - pair[0]).filter(|more| *more > 0).collect();
    assert!(growths.len() >= 3 && growths.iter().all(|more| (25..=32).contains(more)), "{growths:?}");
}

#[test]
fn nothing_grows_before_it_was_calm_for_some_time() {
    let mut process = Process::new(500);
    process.next(0, 25);
    process.next(350, 80);
    process.next(295, 150);
    for cap in [225, 155, 85] {
        assert_eq!([(); 4].map(|()| process.next(cap, 25).0), [cap; 4]);
        // Not so calm: the time begins anew.
        assert_eq!(process.next(cap, 445 - cap), ((cap - 70).max(15), Moderate));
    }
    let caps = [(); 10].map(|()| process.next(15, 25).0);
    assert!(caps[..4] == [15; 4] && caps[4] > 80 && caps[5..8] == [caps[4]; 3] && caps[8] > caps[4], "{caps:?}");
}

#[test]
fn levels_are_left_later_than_they_are_entered() {
    let mut process = Process::new(100);
    // What is free, in units of 5 MiB, and the level then; caches hold nothing.
    for (free, expected) in [
        (100, Calm),
        (15, Calm),
        (14, Moderate),
        (15, Moderate),
        (19, Moderate),
        (20, Calm),
        (16, Calm),
        (14, Moderate),
        (5, Moderate),
        (4, Critical),
        (9, Critical),
        (10, Moderate),
        (5, Moderate),
        (0, Critical),
        (20, Calm),
    ] {
        assert_eq!(process.next(0, 100 - free).1, expected, "{free} free");
    }
}

#[test]
fn a_wavering_reading_changes_nothing() {
    let mut process = Process::new(500);
    process.next(0, 100);
    let caps: Vec<_> = (0..200).map(|i| process.next(275, 100 + i * 7 % 12)).collect();
    assert_eq!(caps, vec![(275, Calm); 200]);
}

#[test]
fn something_is_left_to_caches_until_the_limit_is_nearly_used_up() {
    let mut process = Process::new(512);
    assert_eq!(process.settle(60, 4096, 420, 5).last(), Some(&(16, Moderate)));
    assert_eq!(process.settle(16, 4096, 500, 5).last(), Some(&(4, Critical)));
    assert_eq!(process.settle(4, 4096, 420, 5).last(), Some(&(4, Moderate)));
    let back = process.settle(4, 4096, 20, 100);
    assert!(back.last().unwrap().0 > 340, "{back:?}");
}

#[test]
fn stalls_cost_a_quarter_or_a_half_of_what_is_held_for_every_sample() {
    let mut process = Process::new(4096);
    let (full, _) = process.next(1000, 100);
    assert!(full > 2900);
    let mut stall = |permille: u64, held: u64| {
        // Two readings are one sample.
        process.stalled += permille * 250;
        let first = process.next(held, 100);
        process.stalled += permille * 250;
        (first, process.next(held, 100))
    };
    assert_eq!(stall(99, 1000).1, (full, Calm));
    assert_eq!(stall(100, 1000), ((full, Calm), (750, Moderate)));
    assert_eq!(stall(100, 750), ((750, Moderate), (562, Moderate)));
    assert_eq!(stall(500, 562).1, (281, Critical));
    // Not as much, but not over.
    assert_eq!(stall(300, 280).1, (210, Critical));
    assert_eq!(stall(60, 210).1, (210, Moderate));
    assert_eq!(stall(1000, 210).1, (128, Critical), "a 32nd of the limit is left");
    assert_eq!(stall(0, 128).1, (128, Calm));
    let back = process.settle(128, 4096, 100, 200);
    assert!(back.is_sorted() && back.last().unwrap().0 + 410 > full, "{back:?}");
}

#[test]
fn who_is_woken_by_the_system_does_not_wait_for_a_sample_to_be_long() {
    let mut process = Process::new(4096);
    process.next(1000, 100);
    assert_eq!(process.step(1000, 100, true), (750, Moderate));
    process.now += INTERVAL;
    assert_eq!(process.next(750, 100).1, Calm);
}

#[test]
fn stalls_of_others_count_only_while_the_machine_is_short_itself() {
    let mut process = Process { is_ours: false, ..Process::new(4096) };
    let (full, _) = process.next(1000, 100);
    for _ in 0..10 {
        process.stalled += 250_000;
        assert_eq!(process.step(1000, 100, true), (full, Calm));
    }
    // Less than a gibibyte of 64 can be had.
    process.host.used = process.host.limit - 900 * MIB;
    process.stalled += 250_000;
    process.next(1000, 100);
    process.stalled += 500_000;
    process.now += INTERVAL;
    assert_eq!(process.next(1000, 100).1, Critical);
}

#[test]
fn of_several_limits_the_one_that_leaves_least_is_obeyed() {
    let mut steps = Steps::new(INTERVAL);
    let bound = |limit, used| Bound { limit: limit * MIB, used: used * MIB };
    let reading =
        Reading { host: Some(bound(8000, 100)), bounds: vec![bound(500, 100), bound(1000, 900)], stalled: None };
    assert_eq!(steps.next(&reading, 200 * MIB, 1 << 40, INTERVAL, false), Step { cap: 50 * MIB, level: Moderate });
    let nothing = steps.next(&Reading::default(), 50 * MIB, 1 << 40, 2 * INTERVAL, false);
    assert_eq!(nothing.level, Calm);
}

/// What follows when a machine of so many GiB has some MiB left, or nothing is known but stalls; caches hold `held` MiB of
/// 512 that were asked for.
struct Machine {
    steps: Steps,
    gib: Option<u64>,
    now: Duration,
    stalled: u64,
}

impl Machine {
    const WANTED: u64 = 512;

    fn new(gib: Option<u64>) -> Self {
        Self { steps: Steps::new(4 * INTERVAL), gib, now: Duration::ZERO, stalled: 0 }
    }

    fn next(&mut self, held: u64, left_mib: u64) -> (u64, PressureLevel) {
        let host = self.gib.map(|gib| Bound { limit: gib << 30, used: (gib << 30) - left_mib * MIB });
        let stalled = Some(Stalled { micros: self.stalled, is_ours: true });
        self.now += INTERVAL;
        let reading = Reading { host, bounds: Vec::new(), stalled };
        let Step { cap, level } = self.steps.next(&reading, held * MIB, Self::WANTED * MIB, self.now, false);
        (cap.min(Self::WANTED * MIB) / MIB, level)
    }

    /// What the total is while caches hold all of it and nothing is wrong any more, whenever it changes.
    fn back(&mut self, mut held: u64) -> Vec<u64> {
        let mut seen = vec![held];
        for _ in 0..100 {
            held = self.next(held, 8 << 10).0;
            seen.push(held);
        }
        seen.dedup();
        seen
    }
}

#[test]
fn a_large_machine_that_is_short_lowers_the_total_in_steps_too() {
    let mut machine = Machine::new(Some(64));
    assert_eq!(machine.next(512, 4096), (512, Calm));
    assert_eq!(machine.next(512, 900), (388, Calm));
    assert_eq!(machine.next(388, 900), (264, Calm));
    assert_eq!(machine.next(264, 600), (128, Moderate), "no more than a quarter of what was asked for stays");
    assert_eq!(machine.next(128, 600), (128, Moderate));
    assert_eq!(machine.next(128, 200), (32, Critical));
    assert_eq!(machine.next(32, 100), (32, Critical));
    let back = machine.back(32);
    assert!(back.is_sorted() && back.len() >= 6 && back[1] < 160 && back.last() == Some(&512), "{back:?}");
}

#[test]
fn stalls_alone_lower_the_total_in_steps_and_it_comes_back_in_steps() {
    for gib in [None, Some(16)] {
        let mut machine = Machine::new(gib);
        let mut held = machine.next(512, 8 << 10).0;
        let mut seen = vec![held];
        for _ in 0..20 {
            machine.stalled += 50_000;
            held = machine.next(held, 8 << 10).0;
            seen.push(held);
        }
        seen.dedup();
        assert_eq!(seen, [512, 384, 288, 216, 162, 128], "{gib:?}");
        // A quarter of what is missing: of 384, then of 288.
        let back = machine.back(held);
        assert!(back[..3] == [128, 224, 296] && back.last() == Some(&512), "{gib:?}: {back:?}");
        assert!(back.windows(2).all(|pair| pair[1] - pair[0] <= 96), "{gib:?}: {back:?}");
    }
}

#[test]
fn no_numbers_are_too_odd() {
    let numbers = [0, 1, 19, 20, 21, u64::MAX / 2, u64::MAX - 1, u64::MAX];
    let mut steps = Steps::new(Duration::ZERO);
    for (i, limit) in numbers.into_iter().enumerate() {
        for used in numbers {
            for held in numbers {
                let reading = Reading {
                    host: (i % 2 == 0).then_some(Bound { limit: used, used: held }),
                    bounds: vec![Bound { limit, used }],
                    stalled: Some(Stalled { micros: held, is_ours: true }),
                };
                let (now, wanted) = (Duration::from_secs(used >> 32), limit ^ held);
                steps.next(&reading, held, wanted, now, i % 3 == 0);
            }
        }
    }
}
