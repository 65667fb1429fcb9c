//! Waiting for an answer: asleep, or looking for it again and again.
//!
//! A server on the same machine answers within tens of microseconds. While the machine is idle, as much again passes until
//! a thread that slept is awake, and whoever looked for the answer meanwhile has it when it comes. While it is busy, who
//! sleeps is awake at once, and who looks keeps the server from its core. So each connection goes by what was faster of
//! late, and tries the other way now and then.

use std::hint::spin_loop;
use std::io;
use std::num::NonZero;
use std::sync::OnceLock;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use crate::sync::{AtomicUsize, Ordering};

/// How long an answer is looked for before sleeping.
const SPIN: Duration = Duration::from_micros(80);
/// Answers by which both ways are known at first, and one in how many of the later ones is waited for by the way that was
/// slower.
const FIRST: u32 = 8;
const PERIOD: u32 = 32;
/// A wait that took longer counts as this: whatever it was waiting for, it was not for waking up.
const MAX_NANOS: u64 = 400_000;

/// How a read waits for what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Asleep,
    /// It gives [`WouldBlock`](io::ErrorKind::WouldBlock) where it would have to.
    Not,
}

/// How the answers over one connection are waited for.
pub(super) struct Spin {
    turns: &'static Turns,
    habit: Habit,
}

impl Spin {
    pub(super) fn new() -> Self {
        static TURNS: OnceLock<Turns> = OnceLock::new();
        let turns = TURNS.get_or_init(|| Turns::new(available_parallelism().map_or(1, NonZero::get)));
        Self { turns, habit: Habit::default() }
    }

    /// What `read` gives of the start of an answer.
    pub(super) fn wait<T>(&mut self, mut read: impl FnMut(Wait) -> io::Result<T>) -> io::Result<T> {
        let turn = if self.habit.looks() { self.turns.take() } else { None };
        let looks = turn.is_some();
        let start = Instant::now();
        let mut answer = None;
        while looks && answer.is_none() && start.elapsed() < SPIN {
            answer = match read(Wait::Not) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                read => Some(read),
            };
            spin_loop();
        }
        drop(turn);
        let answer = answer.unwrap_or_else(|| read(Wait::Asleep));
        self.habit.took(looks, start.elapsed());
        answer
    }
}

/// Which way was faster.
#[derive(Default)]
struct Habit {
    n: u32,
    /// Averages in nanoseconds in which later waits weigh more, of sleeping and of looking.
    nanos: [u64; 2],
}

impl Habit {
    /// Whether the next answer is looked for.
    fn looks(&self) -> bool {
        if self.n < FIRST {
            return self.n % 2 == 1;
        }
        let [asleep, looking] = self.nanos;
        // It takes a core meanwhile, so it must be worth it.
        let is_worth_it = looking < asleep - asleep / 4;
        is_worth_it != self.n.is_multiple_of(PERIOD)
    }

    fn took(&mut self, looked: bool, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).map_or(MAX_NANOS, |nanos| nanos.min(MAX_NANOS));
        let average = &mut self.nanos[usize::from(looked)];
        *average = if *average == 0 { nanos } else { (*average * 7 + nanos) / 8 };
        // It stays beyond the first ones.
        self.n = self.n.checked_add(1).unwrap_or(FIRST);
    }
}

/// How many threads look now: half of the cores, and none on a single one, where nobody could answer meanwhile.
struct Turns {
    most: usize,
    taken: AtomicUsize,
}

impl Turns {
    fn new(n_cores: usize) -> Self {
        Self { most: n_cores / 2, taken: AtomicUsize::new(0) }
    }

    fn take(&self) -> Option<Turn<'_>> {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        let turn = Turn(self);
        (before < self.most).then_some(turn)
    }
}

/// The right to look.
struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the next `n` answers are looked for where that takes `looking` microseconds, and sleeping `asleep`.
    fn looked_for(habit: &mut Habit, n: u32, asleep: u64, looking: u64) -> u32 {
        let mut n_looked_for = 0;
        for _ in 0..n {
            let looks = habit.looks();
            habit.took(looks, Duration::from_micros(if looks { looking } else { asleep }));
            n_looked_for += u32::from(looks);
        }
        n_looked_for
    }

    #[test]
    fn the_faster_way_is_gone_and_the_other_tried_now_and_then() {
        let mut habit = Habit::default();
        assert_eq!(looked_for(&mut habit, 8, 80, 30), 4, "both are tried first");
        assert_eq!(looked_for(&mut habit, 3200, 80, 30), 3100);
        // The machine becomes busy: that is seen at once, for looking is what is done.
        let n = looked_for(&mut habit, 3200, 25, 90);
        assert!((100..150).contains(&n), "{n}");
        // It is idle again, and a few trials of looking are enough.
        let n = looked_for(&mut habit, 3200, 80, 30);
        assert!((2600..3100).contains(&n), "{n}");
        // A server that is far away: no gain, no core is spent.
        let n = looked_for(&mut Habit::default(), 3200, 500, 580);
        assert!((100..110).contains(&n), "{n}");
    }

    #[test]
    fn half_of_the_cores_look_at_a_time_and_a_single_one_never() {
        let found_by = |n_cores: usize, n_taken: usize| {
            let turns: &'static Turns = Box::leak(Box::new(Turns::new(n_cores)));
            let taken: Vec<_> = (0..n_taken).map(|_| turns.take().expect("one is left")).collect();
            // The second answer would be looked for.
            let mut spin = Spin { turns, habit: Habit { n: 1, ..Habit::default() } };
            let found = spin.wait(Ok).unwrap();
            drop(taken);
            assert_eq!(turns.taken.load(Ordering::Relaxed), 0);
            found
        };
        assert_eq!([found_by(1, 0), found_by(4, 0)], [Wait::Asleep, Wait::Not]);
        assert_eq!([found_by(4, 1), found_by(4, 2)], [Wait::Not, Wait::Asleep]);
    }

    #[test]
    fn what_does_not_come_soon_is_waited_for_asleep() {
        let mut spin = Spin { turns: Box::leak(Box::new(Turns::new(2))), habit: Habit { n: 1, ..Habit::default() } };
        let mut looks = 0;
        let answer = spin.wait(|wait| match wait {
            Wait::Asleep => Ok(7),
            Wait::Not => {
                looks += 1;
                Err(io::ErrorKind::WouldBlock.into())
            }
        });
        assert_eq!(answer.unwrap(), 7);
        assert!(looks > 0);
        assert!(spin.habit.nanos[1] >= 80_000, "looking in vain counts against it");
    }
}
