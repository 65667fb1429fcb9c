use std::thread;

use super::*;
use crate::ErrorKind;

fn pool_of(sizes: Sizes) -> (Arc<Pool>, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    (Arc::new(Pool::new(&ledger, sizes)), ledger)
}

/// A pool so small that a few dozen buffers come by everything that it does.
fn small() -> (Arc<Pool>, Arc<Ledger>) {
    let page = page();
    pool_of(Sizes { slack: 32 * page, region: 64 * page, largest_shared: 16 * page })
}

fn counts(pool: &Pool) -> (usize, usize, usize) {
    (pool.free_bytes(), pool.lent_bytes(), pool.reserved_bytes())
}

#[test]
fn sizes_are_whole_pages_or_powers_of_two() {
    let page = page();
    let cases = [(0, 64), (1, 64), (65, 128), (2000, 2048), (page / 2 + 1, page), (page, page), (page + 1, 2 * page)];
    for (len, size) in cases {
        assert_eq!(Pool::size_of(len), Some(size), "{len}");
    }
    assert_eq!(Pool::size_of(usize::MAX), None);
    assert_eq!(Pool::size_of(isize::MAX as usize), None);
}

#[test]
fn buffers_start_where_any_sample_may() {
    let (pool, _) = small();
    let page = page();
    for len in [1, 100, 2048, page, 5 * page + 1, 40 * page] {
        let buffers: Vec<_> = (0..5).map(|_| pool.take(len).unwrap()).collect();
        let align = if len >= page { 64 } else { 16 };
        assert!(buffers.iter().all(|buffer| buffer.as_ptr().addr().is_multiple_of(align)), "{len}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "it ends where the memory does")]
fn memory_that_nobody_has_is_a_limit_not_an_abort() {
    let (pool, _) = small();
    for len in [usize::MAX, isize::MAX as usize, isize::MAX as usize - 100_000] {
        assert_eq!(pool.take(len).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }
    assert_eq!(counts(&pool), (0, 0, 0));
    assert_eq!(pool.take(0).unwrap().len(), 0);
}

#[test]
fn a_small_buffer_leaves_nothing_behind() {
    let (pool, _) = small();
    let buffers: Vec<_> = (0..100).map(|_| pool.take(1000).unwrap()).collect();
    assert_eq!(counts(&pool), (0, 102_400, 102_400));
    drop(buffers);
    assert_eq!(counts(&pool), (0, 0, 0));
}

#[test]
fn a_buffer_is_three_words_what_a_reader_needs_first() {
    assert_eq!((size_of::<Buffer>(), std::mem::offset_of!(Buffer, start)), (3 * size_of::<usize>(), 0));
}

/// A lent buffer and the byte that it is filled with.
struct Filled {
    buffer: Buffer,
    byte: u8,
}

impl Filled {
    fn new(mut buffer: Buffer, byte: u8) -> Self {
        buffer.fill(byte);
        Self { buffer, byte }
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        assert!(self.buffer.iter().all(|byte| *byte == self.byte), "somebody else wrote here");
    }
}

/// Takes and gives back at random; `next` gives the random numbers.
fn churn(pool: &Arc<Pool>, steps: usize, mut next: impl FnMut(usize) -> usize) {
    let mut live = Vec::new();
    for step in 0..steps {
        if live.len() > 40 || next(5) < 2 && !live.is_empty() {
            live.swap_remove(next(live.len()));
        } else {
            let n_pages = [1, 3, 3, 16, 20, 40][next(6)];
            live.push(Filled::new(pool.take(n_pages * page() - next(100)).unwrap(), step as u8));
        }
    }
}

fn random(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    }
}

#[test]
fn threads_share_a_pool() {
    let (pool, ledger) = small();
    thread::scope(|scope| {
        for seed in 1..=4 {
            let pool = &pool;
            scope.spawn(move || churn(pool, 2000, random(seed)));
        }
    });
    let (free, lent, _) = counts(&pool);
    assert!(free <= 32 * page() && lent == 0);
    assert_eq!(ledger.bytes(Class::Pool), free as u64);
    pool.trim();
    assert_eq!(counts(&pool), (0, 0, 0));
    assert_eq!(ledger.bytes(Class::Pool), 0);
}

#[cfg(all(target_os = "linux", not(miri)))]
mod paged {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_buffer_freed_serves_the_next_of_its_size() {
        let (pool, ledger) = small();
        let page = page();
        let mut buffers: Vec<_> = (0..3).map(|_| pool.take(2 * page).unwrap()).collect();
        assert!(buffers.iter().all(|buffer| buffer.iter().all(|byte| *byte == 0)));
        buffers[1].fill(7);
        let starts: Vec<_> = buffers.iter().map(|buffer| buffer.as_ptr()).collect();
        // Freed: 0, then 1. Another size in between makes no difference.
        let mut buffers = buffers.into_iter();
        drop((buffers.next(), pool.take(page).unwrap(), buffers.next()));
        assert_eq!(counts(&pool), (5 * page, 2 * page, 64 * page));
        assert_eq!(ledger.bytes(Class::Pool), 5 * page as u64);
        let second = pool.take(2 * page - 100).unwrap();
        assert_eq!((second.as_ptr(), second[0], second.len()), (starts[1], 7, 2 * page - 100));
        assert_eq!(pool.take(2 * page).unwrap().as_ptr(), starts[0]);
    }

    #[test]
    fn free_memory_is_bounded_and_the_size_freed_longest_ago_goes_first() {
        let (pool, _) = small();
        let page = page();
        let take = |n: usize, n_pages: usize| (0..n).map(|_| pool.take(n_pages * page).unwrap()).collect::<Vec<_>>();
        let (a, b) = (take(8, 2), take(16, 1));
        drop((a, b));
        assert_eq!(pool.free_bytes(), 32 * page);
        // Three pages too many: at least that and an eighth of the slack leave, all of them from the older size.
        let one_more = take(1, 3);
        drop(one_more);
        assert_eq!(pool.free_bytes(), (32 + 3 - 8) * page);
        let newer = take(16, 1);
        assert_eq!(counts(&pool), ((27 - 16) * page, 16 * page, 64 * page));
        drop(newer);
        pool.pages.check_invariants();
    }

    #[test]
    fn free_memory_follows_what_may_be_lent_within_bounds() {
        let (pool, _) = pool_of(Sizes { slack: 4 << 20, region: 16 << 20, largest_shared: 1 << 20 });
        let fill = || drop((0..10).map(|_| pool.take(512 << 10).unwrap()).collect::<Vec<_>>());
        let most_free = |total: u64| {
            pool.follow_total(total);
            let at_once = pool.free_bytes();
            fill();
            (at_once, pool.free_bytes())
        };
        fill();
        let kept = pool.free_bytes();
        assert!(kept > 3 << 20 && kept <= 4 << 20, "{kept}");
        let (at_once, later) = most_free(32 << 20);
        assert!(at_once == 2 << 20 && later > 1 << 20 && later <= 2 << 20, "{at_once}, {later}");
        let (at_once, later) = most_free(0);
        assert!(at_once <= 1 << 20 && later > 0 && later <= 1 << 20, "{at_once}, {later}");
        let (at_once, later) = most_free(1 << 40);
        assert!(at_once <= 1 << 20 && later > 3 << 20 && later <= 4 << 20, "{at_once}, {later}");
    }

    #[test]
    fn memory_that_was_given_back_is_zero() {
        let (pool, _) = small();
        let page = page();
        let mut buffers: Vec<_> = (0..10).map(|_| pool.take(6 * page).unwrap()).collect();
        buffers.iter_mut().for_each(|buffer| buffer.fill(7));
        let all: Vec<_> = buffers.iter().map(|buffer| buffer.as_ptr()).collect();
        drop(buffers);
        assert_eq!(pool.free_bytes(), 24 * page, "the rest has no memory");
        // Six of the ten come from their addresses.
        let again: Vec<_> = (0..10).map(|_| pool.take(6 * page).unwrap()).collect();
        let zeros = again.iter().filter(|buffer| buffer.iter().all(|byte| *byte == 0)).count();
        let sevens = again.iter().filter(|buffer| buffer.iter().all(|byte| *byte == 7)).count();
        assert_eq!((zeros, sevens), (6, 4));
        assert!(again.iter().all(|buffer| all.contains(&buffer.as_ptr())));
    }

    #[test]
    fn a_large_buffer_is_unmapped_unless_the_slack_holds_it() {
        let (pool, _) = small();
        let page = page();
        let (fits, too_large) = (pool.take(20 * page).unwrap(), pool.take(33 * page).unwrap());
        let other = pool.take(page).unwrap();
        drop((other, too_large));
        assert_eq!(counts(&pool), (page, 20 * page, (64 + 20) * page));
        drop(fits);
        assert_eq!(counts(&pool), (21 * page, 0, (64 + 20) * page));
        let another = pool.take(21 * page).unwrap();
        assert_eq!(pool.free_bytes(), 21 * page, "another size does not serve");
        drop(another);
        assert_eq!(counts(&pool), (21 * page, 0, (64 + 21) * page), "both are too much");
    }

    #[test]
    fn trim_keeps_what_is_lent_and_nothing_else() {
        let (pool, ledger) = small();
        let page = page();
        let buffers: Vec<_> = (0..60).map(|i| pool.take((1 + i % 7) * page).unwrap()).collect();
        let large = pool.take(20 * page).unwrap();
        let mut lent = Filled::new(pool.take(3 * page).unwrap(), 9);
        drop((buffers, large));
        pool.trim();
        assert_eq!(counts(&pool), (0, 3 * page, 64 * page));
        assert_eq!(ledger.bytes(Class::Pool), 0);
        lent.buffer.fill(9);
        drop(lent);
        pool.trim();
        assert_eq!(counts(&pool), (0, 0, 0));
        assert_eq!(pool.take(page).unwrap()[0], 0);
    }

    #[test]
    fn addresses_serve_one_size_after_another() {
        let (pool, _) = small();
        let page = page();
        let budget = 1600 * page;
        let mut next = random(3);
        let mut held: Vec<Filled> = Vec::new();
        for n_pages in [1, 12, 3, 1, 5, 16, 2, 20, 7, 1, 12] {
            // What fills the budget beside the tenth that is held from the size before.
            let n = (budget - budget / 10) / (n_pages * page);
            let all: Vec<_> = (0..n).map(|i| Filled::new(pool.take(n_pages * page).unwrap(), i as u8)).collect();
            drop(held);
            held = all.into_iter().filter(|_| next(10) == 0).collect();
            pool.pages.check_invariants();
            let (free, _, reserved) = counts(&pool);
            assert!(free <= 32 * page);
            assert!(reserved <= 2 * budget, "{} of {} pages", reserved / page, budget / page);
        }
        drop(held);
        assert!(counts(&pool).2 <= (32 + 64) * page * 2);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Take(usize),
        Drop(usize),
        Trim,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let page = page();
        let len = prop_oneof![
            1 => 0..page,
            4 => Just(2 * page),
            3 => Just(5 * page),
            4 => page / 2 + 1..24 * page,
            1 => 16 * page..40 * page,
        ];
        let step = prop_oneof![
            10 => len.prop_map(Step::Take),
            9 => any::<usize>().prop_map(Step::Drop),
            1 => Just(Step::Trim),
        ];
        prop::collection::vec(step, 1..300)
    }

    /// What a pool does, without addresses.
    #[derive(Default)]
    struct Model {
        /// Sizes in the order in which they were freed.
        free: Vec<usize>,
        /// When a size was freed last; large ones count as one.
        freed: HashMap<usize, usize>,
        lent: usize,
        n_freed: usize,
    }

    impl Model {
        fn take(&mut self, size: usize) {
            self.lent += size;
            if let Some(found) = self.free.iter().rposition(|free| *free == size) {
                self.free.remove(found);
            }
        }

        fn drop(&mut self, size: usize) {
            let page = page();
            self.lent -= size;
            if size < page || size > 32 * page {
                return;
            }
            let class = |size: usize| size.min(17 * page);
            self.n_freed += 1;
            self.free.push(size);
            self.freed.insert(class(size), self.n_freed);
            if self.bytes() > 32 * page {
                while self.bytes() > 28 * page {
                    // Of sizes freed at the same time the first one in the list was freed first.
                    let oldest = (0..self.free.len()).min_by_key(|i| self.freed[&class(self.free[*i])]);
                    self.free.remove(oldest.unwrap());
                }
            }
        }

        fn bytes(&self) -> usize {
            self.free.iter().sum()
        }
    }

    proptest! {
        #[test]
        fn a_pool_does_what_a_naive_one_does(steps in steps()) {
            let page = page();
            let (pool, ledger) = small();
            let mut model = Model::default();
            let mut live: Vec<Filled> = Vec::new();
            let mut peak = 0;
            for (i, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Take(len) => {
                        live.push(Filled::new(pool.take(len).unwrap(), i as u8));
                        model.take(Pool::size_of(len).unwrap());
                    }
                    Step::Drop(which) if !live.is_empty() => {
                        let gone = live.swap_remove(which % live.len());
                        model.drop(Pool::size_of(gone.buffer.len()).unwrap());
                    }
                    Step::Drop(_) => {}
                    Step::Trim => {
                        pool.trim();
                        model.free.clear();
                    }
                }
                pool.pages.check_invariants();
                let (free, lent, reserved) = counts(&pool);
                prop_assert_eq!((free, lent), (model.bytes(), model.lent));
                prop_assert_eq!(ledger.bytes(Class::Pool), free as u64);
                prop_assert!(free <= 32 * page);
                peak = peak.max(lent);
                prop_assert!(reserved <= 2 * (peak + 32 * page) + 2 * 64 * page, "{} of {}", reserved, peak);
            }
            drop(live);
            pool.trim();
            prop_assert_eq!(counts(&pool), (0, 0, 0));
        }
    }
}
