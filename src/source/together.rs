//! One decoding of a picture for all who want blocks of it meanwhile.
//!
//! What can only be decoded as a whole is decoded for one block, and the others are offered to the reader. Those that other
//! threads are reading at the time are not taken, though: each of these threads would decode all of it again, and hold all
//! of it.

use crate::cancel::{self, Token};
use crate::error::{ErrorKind, Result};
use crate::grid::BlockId;
use crate::memory::{Charge, Class, Ledger, zeroed};
use crate::sync::{Arc, AtomicBool, AtomicU32, Mutex, Ordering};

use super::ReadContext;
use super::rows::Decoded;

/// Decodings under way, one at a time for each place.
#[derive(Default)]
pub(super) struct Together {
    under_way: Mutex<Vec<Decoding>>,
}

/// Frame, level and plane, and which part of them is decoded at once.
type Place = (u32, u32, u32, u32);

/// Pixels of a block, or why there are none.
type Answer = Result<(Vec<u8>, Charge)>;

struct Decoding {
    place: Place,
    /// Of the work that decodes, which must hear when nobody waits any more.
    token: Option<Arc<Token>>,
    n_waiting: Arc<AtomicU32>,
    wants: Vec<Wanted>,
}

/// A block that a thread waits for.
struct Want {
    at: BlockId,
    n_bytes: usize,
    /// Where the thread sleeps.
    token: Arc<Token>,
    is_over: AtomicBool,
    answer: Mutex<Option<Answer>>,
    n_waiting: Arc<AtomicU32>,
}

/// What a thread does that wants a block.
enum Joined {
    Waits(Arc<Want>),
    /// For as many as wait.
    Decodes(Arc<AtomicU32>),
}

/// Whoever has it owes the thread an end of its wait, with an answer or without.
struct Wanted(Arc<Want>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.n_waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.is_over.store(true, Ordering::SeqCst);
        self.0.token.wake();
    }
}

/// The decoding that this thread does. Who waits at its end and got no answer, because the thread was told to stop or
/// panicked, tries for himself.
pub(super) struct Lead<'a> {
    together: &'a Together,
    place: Place,
}

impl Together {
    /// Has `decode` read the block `at`, or waits for another thread that is decoding for a block of the same part.
    ///
    /// # Errors
    ///
    /// What `decode` fails with, here or in that thread, and cancelled.
    pub(super) fn read(
        &self,
        at: BlockId,
        part: u32,
        out: &mut [u8],
        decode: impl FnOnce(&mut [u8], &Lead<'_>) -> Result<()>,
    ) -> Result<()> {
        let place = (at.frame, at.level, at.plane, part);
        let n_waiting = loop {
            let want = match self.join(place, at, out.len()) {
                Joined::Waits(want) => want,
                Joined::Decodes(n_waiting) => break n_waiting,
            };
            if !want.token.sleep_until(|| want.is_over.load(Ordering::SeqCst)) {
                self.leave(place, &want);
                return Err(cancel::stopped());
            }
            let answer = want.answer.lock().take();
            if let Some(answer) = answer {
                return answer.map(|(pixels, _charge)| out.copy_from_slice(&pixels));
            }
        };
        let lead = Lead { together: self, place };
        let _waited_for = cancel::waited_for(&n_waiting);
        let decoded = decode(out, &lead);
        if let Err(error) = decoded.as_ref()
            && error.kind() != ErrorKind::Cancelled
        {
            lead.answer(|_| Some(Err(error.clone())));
        }
        decoded
    }

    /// Joins those who wait, or makes this thread the one that decodes.
    fn join(&self, place: Place, at: BlockId, n_bytes: usize) -> Joined {
        let token = cancel::token();
        let mut under_way = self.under_way.lock();
        let Some(decoding) = under_way.iter_mut().find(|decoding| decoding.place == place) else {
            let n_waiting = Arc::default();
            under_way.push(Decoding { place, token, n_waiting: Arc::clone(&n_waiting), wants: Vec::new() });
            return Joined::Decodes(n_waiting);
        };
        decoding.n_waiting.fetch_add(1, Ordering::Relaxed);
        let want = Arc::new(Want {
            at,
            n_bytes,
            token: token.unwrap_or_default(),
            is_over: AtomicBool::new(false),
            answer: Mutex::default(),
            n_waiting: Arc::clone(&decoding.n_waiting),
        });
        decoding.wants.push(Wanted(Arc::clone(&want)));
        Joined::Waits(want)
    }

    /// A thread that waited does so no more.
    fn leave(&self, place: Place, want: &Arc<Want>) {
        let left = self.of(place, |decoding| {
            let at = decoding.wants.iter().position(|other| Arc::ptr_eq(&other.0, want))?;
            Some((decoding.wants.swap_remove(at), decoding.token.clone()))
        });
        if let Some(Some((wanted, token))) = left {
            drop(wanted);
            token.inspect(|token| token.wake());
        }
    }

    fn of<T>(&self, place: Place, look: impl FnOnce(&mut Decoding) -> T) -> Option<T> {
        self.under_way.lock().iter_mut().find(|decoding| decoding.place == place).map(look)
    }
}

impl Lead<'_> {
    /// Copies the block `at` of what was decoded to `out`, gives those who wait theirs, and offers all others.
    pub(super) fn hand_out(
        &self,
        decoded: &Decoded<'_>,
        at: BlockId,
        out: &mut [u8],
        context: &mut ReadContext<'_>,
    ) -> Result<()> {
        decoded.copy_block(at, out)?;
        let give = || self.give(|at, out| decoded.copy_block(at, out));
        give();
        decoded.offer(at, context);
        // Those who came since then.
        give();
        Ok(())
    }

    /// Gives those who wait for the only block there is what this thread has of it.
    pub(super) fn hand_on(&self, block: &[u8]) {
        self.give(|_, out| {
            out.copy_from_slice(block);
            Ok(())
        });
    }

    /// Gives those who wait now their blocks, which `copy` copies.
    fn give(&self, copy: impl Fn(BlockId, &mut [u8]) -> Result<()>) {
        self.answer(|want| {
            let charge = Ledger::process().charge(Class::Scratch, want.n_bytes as u64);
            let copied = zeroed(want.n_bytes).and_then(|mut bytes| copy(want.at, &mut bytes).map(|()| bytes));
            // Who gets no copy tries for himself.
            copied.ok().map(|bytes| Ok((bytes, charge)))
        });
    }

    fn answer(&self, answer: impl Fn(&Want) -> Option<Answer>) {
        let wants = self.together.of(self.place, |decoding| std::mem::take(&mut decoding.wants)).unwrap_or_default();
        for wanted in wants {
            let answer = answer(&wanted.0);
            *wanted.0.answer.lock() = answer;
        }
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut under_way = self.together.under_way.lock();
        let at = under_way.iter().position(|decoding| decoding.place == self.place);
        let ended = at.map(|at| under_way.swap_remove(at));
        drop(under_way);
        // Those who still wait are woken outside the lock.
        drop(ended);
    }
}

#[cfg(all(test, not(shuttle)))]
impl Together {
    /// How many wait for a block of level 0.
    pub(super) fn n_waiting(&self) -> usize {
        self.of((0, 0, 0, 0), |decoding| decoding.wants.len()).unwrap_or(0)
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::thread;

    const N: u32 = 8;

    fn block(col: u32) -> BlockId {
        BlockId::new(0, col, 0)
    }

    fn fill(at: BlockId, out: &mut [u8]) -> Result<()> {
        out.fill(at.col as u8);
        Ok(())
    }

    fn wait_until(is_so: impl Fn() -> bool) {
        while !is_so() {
            thread::yield_now();
        }
    }

    /// How whoever decoded first ended, what the others got, and how many of them decoded.
    type Ended = (thread::Result<Result<()>>, Vec<Result<Vec<u8>>>, u32);

    /// Reads blocks 1 to `N` in threads of their own once `lead` decodes block 0. Who decodes gives to the others.
    fn with_others(together: &Together, lead: impl FnOnce(&Lead<'_>) -> Result<()> + Send) -> Ended {
        let n_decoded = AtomicU32::new(0);
        let is_leading = AtomicBool::new(false);
        thread::scope(|scope| {
            let first = scope.spawn(|| {
                together.read(block(0), 0, &mut [0; 4], |_, to| {
                    is_leading.store(true, Ordering::SeqCst);
                    wait_until(|| together.n_waiting() == N as usize);
                    lead(to)
                })
            });
            wait_until(|| is_leading.load(Ordering::SeqCst));
            let read = |col: u32| {
                let mut out = vec![0xff; 4];
                let read = together.read(block(col), 0, &mut out, |out, lead| {
                    n_decoded.fetch_add(1, Ordering::Relaxed);
                    lead.give(fill);
                    fill(block(col), out)
                });
                read.map(|()| out)
            };
            let others: Vec<_> = (1..=N).map(|col| scope.spawn(move || read(col))).collect();
            let first = first.join();
            let others = others.into_iter().map(|other| other.join().expect("no other panics")).collect();
            (first, others, n_decoded.load(Ordering::Relaxed))
        })
    }

    fn check_pixels(others: &[Result<Vec<u8>>]) {
        let expected: Vec<Vec<u8>> = (1..=N).map(|col| vec![col as u8; 4]).collect();
        assert_eq!(others.iter().map(|out| out.clone().unwrap()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn one_decodes_for_all_who_wait() {
        let together = Together::default();
        let (first, others, n_decoded) = with_others(&together, |lead| {
            lead.give(fill);
            Ok(())
        });
        assert!(first.unwrap().is_ok() && n_decoded == 0);
        check_pixels(&others);
        assert!(together.under_way.lock().is_empty());
    }

    #[test]
    fn who_gets_nothing_decodes_for_himself() {
        type Fails = fn(&Lead<'_>) -> Result<()>;
        let fails: [Fails; 3] = [
            |_| Err(cancel::stopped()),
            |_| panic!("a decoder of tests"),
            |lead| {
                lead.give(|at, out| if at.col % 2 == 0 { fill(at, out) } else { Err(Error::corrupt("odd")) });
                Ok(())
            },
        ];
        for lead in fails {
            let together = Together::default();
            let (_, others, n_decoded) = with_others(&together, lead);
            assert!((1..=N).contains(&n_decoded), "{n_decoded}");
            check_pixels(&others);
            assert!(together.under_way.lock().is_empty());
        }
    }

    #[test]
    fn a_failure_is_that_of_all_who_wait() {
        let together = Together::default();
        let (first, others, n_decoded) = with_others(&together, |_| Err(Error::corrupt("broken")));
        assert_eq!(first.unwrap().unwrap_err().kind(), ErrorKind::Corrupt);
        let messages: Vec<String> = others.into_iter().map(|other| other.unwrap_err().to_string()).collect();
        assert!(messages.iter().all(|message| message.contains("broken")) && n_decoded == 0, "{messages:?}");
        // It is not remembered.
        assert!(together.read(block(0), 0, &mut [0], |_, _| Ok(())).is_ok());
    }

    #[test]
    fn another_level_plane_or_part_is_not_waited_for() {
        let together = Together::default();
        let read = together.read(block(0), 0, &mut [0], |_, _| {
            together.read(BlockId::new(1, 0, 0), 0, &mut [0], |_, _| Ok(()))?;
            together.read(block(0).with_plane(1), 0, &mut [0], |_, _| Ok(()))?;
            together.read(block(0), 1, &mut [0], |_, _| Ok(()))
        });
        assert!(read.is_ok());
    }

    #[test]
    fn who_is_told_to_stop_leaves_and_who_decodes_goes_on_for_the_others_only() {
        let together = Together::default();
        let (of_lead, of_other) = (Arc::new(Token::default()), Arc::new(Token::default()));
        thread::scope(|scope| {
            let lead = scope.spawn(|| {
                cancel::run(&of_lead, || {
                    together.read(block(0), 0, &mut [0], |_, _| {
                        wait_until(|| together.n_waiting() == 1);
                        of_lead.cancel();
                        // Somebody waits.
                        cancel::check()?;
                        of_other.cancel();
                        assert!(!of_lead.sleep_until(|| false), "nobody waits");
                        cancel::check()
                    })
                })
            });
            wait_until(|| !together.under_way.lock().is_empty());
            let read = cancel::run(&of_other, || together.read(block(1), 0, &mut [0], |_, _| panic!("it waits")));
            assert_eq!(read.unwrap_err().kind(), ErrorKind::Cancelled);
            assert_eq!(lead.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        });
        assert!(together.under_way.lock().is_empty());
    }
}
