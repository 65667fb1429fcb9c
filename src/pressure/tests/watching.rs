//! A watch over a system of files, a total and a cache.

use std::fmt::Write as _;
use std::sync::mpsc::channel;

use crate::cache::{Account, Cache, CacheBudget, CachePolicy, ENTRY_OVERHEAD, Mode};
use crate::memory::Ledger;
use crate::pressure::PressureLevel::{self, Critical, Moderate, None as Calm};
use crate::pressure::*;

const MIB: u64 = 1 << 20;

/// A group of 512 MiB, a total, and a cache that may hold all of it, in which nothing is really held.
struct Place {
    root: tempfile::TempDir,
    total: Arc<Total>,
    cache: Arc<Cache<u64, ()>>,
}

impl Place {
    fn new(total_mib: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        let total = Total::new(total_mib * MIB);
        let account = Account::open(&total, CacheBudget::default());
        let cache = Arc::new(Cache::new(account, CachePolicy::Lru, Arc::new(Ledger::default())));
        cache.share();
        let place = Self { root, total, cache };
        place.write("proc/self/cgroup", "0::/group\n");
        place.write("proc/self/mountinfo", "30 23 0:26 / /cgroups rw - cgroup2 cgroup2 rw\n");
        place.write("proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 8000000 kB\n");
        place.write("cgroups/group/memory.max", "536870912\n");
        place.others_use(20);
        place
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Lets the group use what the cache holds and this much more.
    fn others_use(&self, mib: u64) {
        let mut text = String::new();
        writeln!(text, "{}", self.total.used_bytes() + mib * MIB).unwrap();
        self.write("cgroups/group/memory.current", &text);
    }

    /// Loads mebibytes until no more are kept; how many are.
    fn fill(&self) -> u64 {
        (0..600).for_each(|key| drop(self.cache.get_or_load(key, MIB - ENTRY_OVERHEAD, Mode::Use, || Ok(()))));
        self.total.used_bytes() / MIB
    }

    fn watch(&self, on_change: Option<OnChange>) -> PressureWatch {
        let options = PressureOptions::default().no_thread();
        PressureWatch::on(System::at(self.root.path()), &self.total, &options, Duration::ZERO, on_change).unwrap()
    }

    /// Looks when others use this much; what the total is then, in MiB, and the level.
    fn look(&self, watch: &PressureWatch, others_mib: u64) -> (u64, PressureLevel) {
        self.others_use(others_mib);
        let seen = watch.check();
        assert_eq!(seen.total_now_bytes, self.total.max_bytes());
        (seen.total_now_bytes / MIB, seen.level)
    }
}

#[test]
fn the_total_shrinks_and_grows_back_to_what_was_asked_for() {
    let place = Place::new(300);
    assert_eq!(place.fill(), 300);
    let watch = place.watch(None);
    assert_eq!(watch.stats().shrinks, 0);
    assert_eq!(place.look(&watch, 150), (234, Moderate));
    assert_eq!((place.total.used_bytes() / MIB, place.fill()), (234, 234));
    assert_eq!(place.look(&watch, 250), (134, Moderate));
    assert_eq!(place.total.used_bytes() / MIB, 134);
    assert_eq!(place.look(&watch, 250), (134, Calm));
    // Asked for while there is no memory for it: kept for later.
    place.total.set_max_bytes(320 * MIB);
    let seen = watch.stats();
    assert_eq!((seen.total_max_bytes, seen.total_now_bytes / MIB, seen.shrinks, seen.growths), (320 * MIB, 134, 2, 0));

    let back: Vec<u64> = (0..30).map(|_| place.look(&watch, 20).0).collect();
    assert!(back.is_sorted() && back[0] < 200 && back[29] == 320, "{back:?}");
    let seen = watch.stats();
    assert!(seen.growths >= 5 && seen.shrinks == 2 && seen.checks == 34, "{seen:?}");
    assert_eq!((seen.limit_bytes, seen.used_bytes, seen.level), (512 * MIB, (134 + 20) * MIB, Calm));
    assert_eq!(place.fill(), 320);
}

#[test]
fn a_total_beyond_the_limit_is_never_filled() {
    let place = Place::new(1 << 20);
    let watch = place.watch(None);
    assert_eq!(watch.stats().total_now_bytes / MIB, 364);
    assert_eq!(place.fill(), 364);
    assert_eq!(place.look(&watch, 20), (364, Calm));
    // One who asks for less is obeyed.
    place.total.set_max_bytes(64 * MIB);
    assert_eq!((place.look(&watch, 20), place.total.used_bytes()), ((64, Calm), 64 * MIB));
}

#[test]
fn what_was_asked_for_holds_again_when_nobody_watches() {
    let place = Place::new(4096);
    let watches = [place.watch(None), place.watch(None)];
    assert!(place.total.max_bytes() < 512 * MIB);
    let [first, second] = watches;
    drop(first);
    assert!(place.total.max_bytes() < 512 * MIB);
    drop(second);
    assert_eq!(place.total.max_bytes(), 4096 * MIB);
}

#[test]
fn changes_of_the_level_are_told_in_order_and_may_be_asked_about() {
    let place = Place::new(300);
    place.fill();
    let (sender, heard) = channel();
    let watch = Arc::new_cyclic(|me: &std::sync::Weak<PressureWatch>| {
        let me = me.clone();
        let tell = move |stats: &PressureStats| {
            // No lock is held: this would wait for ever, or look within a look.
            let known = me.upgrade().map(|watch| (watch.check().checks, watch.stats().level));
            assert!(known.is_none_or(|known| known == (stats.checks, stats.level)));
            sender.send((stats.level, stats.checks)).unwrap();
            assert!(stats.checks != 3, "a callback that panics");
        };
        place.watch(Some(Box::new(tell)))
    });
    for others in [150, 150, 505, 505, 505, 20, 20, 20] {
        place.look(&watch, others);
    }
    let heard: Vec<_> = heard.try_iter().collect();
    let levels: Vec<_> = heard.iter().map(|(level, _)| *level).collect();
    assert_eq!(levels, [Moderate, Calm, Critical, Calm]);
    assert!(heard.is_sorted_by_key(|(_, checks)| *checks), "{heard:?}");
}

#[test]
fn a_first_look_that_finds_little_is_told_before_there_is_a_watch() {
    let place = Place::new(300);
    place.others_use(505);
    let (sender, heard) = channel();
    let _watch = place.watch(Some(Box::new(move |stats: &PressureStats| sender.send(stats.level).unwrap())));
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [Critical]);
}

#[test]
fn a_thread_looks_until_the_watch_goes_even_from_its_own_callback() {
    let place = Place::new(300);
    place.fill();
    let (sender, heard) = channel();
    let own = Arc::new(Mutex::new(None::<PressureWatch>));
    let there = Arc::clone(&own);
    let hear = move |stats: &PressureStats| {
        let dropped = there.lock().take();
        let is_own = dropped.is_some();
        drop(dropped);
        sender.send((stats.level, is_own, thread::current().name().map(str::to_owned))).unwrap();
    };
    let options = PressureOptions::default().interval(Duration::from_millis(1));
    let system = System::at(place.root.path());
    let watch = PressureWatch::on(system, &place.total, &options, Duration::ZERO, Some(Box::new(hear))).unwrap();
    // Looks go on by themselves.
    let checks = watch.stats().checks;
    while watch.stats().checks < checks + 3 {
        thread::yield_now();
    }
    *own.lock() = Some(watch);
    place.others_use(505);
    let (level, is_own, thread) = heard.recv().unwrap();
    assert_eq!((level, is_own, thread.as_deref()), (Critical, true, Some("tilekeep-memory")));
    // The thread lets go of the callback when it ends.
    assert!(heard.recv().is_err());
    assert_eq!(place.total.max_bytes(), 300 * MIB);
}

#[test]
fn a_system_that_says_nothing_is_not_watched() {
    let nothing = tempfile::tempdir().unwrap();
    let options = PressureOptions::default().no_thread();
    let total = Total::new(MIB);
    let refused = PressureWatch::on(System::at(nothing.path()), &total, &options, Duration::ZERO, None).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert_eq!(total.max_bytes(), MIB);
}
