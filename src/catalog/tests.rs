use std::collections::HashMap;
use std::sync::Barrier;

use super::*;
use crate::error::Error;
use crate::memory::Class;
use crate::sync::{AtomicU64, Ordering};

/// A file that is none: what it is, and what a dataset is of it.
struct Made;

#[derive(Debug)]
struct Source {
    stamp: u32,
    bytes: u64,
    rests: AtomicU64,
}

struct Handle {
    source: Arc<Source>,
    options: Options,
    number: Option<u64>,
    world: Arc<World>,
}

/// What makes another source, and what does not.
type Options = (u8, u8);

impl Kind for Made {
    type Source = Source;
    type Dataset = Handle;
    type Options = Options;
    type Stamp = u32;

    fn reads_alike(a: &Options, b: &Options) -> bool {
        a.0 == b.0
    }

    fn rest(source: &Source, options: &Options) -> Option<u64> {
        source.rests.fetch_add(1, Ordering::Relaxed);
        (options.0 != 9).then_some(source.bytes)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.world.catalog.closed(number);
        }
    }
}

/// Files by their places, and how often they were looked at, parsed, and made a dataset of.
struct World {
    catalog: Catalog<Made>,
    ledger: Arc<Ledger>,
    files: Mutex<HashMap<u64, File>>,
    looks: AtomicU64,
    parses: AtomicU64,
    makes: AtomicU64,
}

#[derive(Clone, Copy)]
struct File {
    stamp: u32,
    /// What it is, under whatever name.
    identity: u64,
    is_young: bool,
}

const BYTES: u64 = 1000;

impl World {
    fn new(max_bytes: u64) -> Arc<Self> {
        let ledger = Arc::new(Ledger::default());
        let [looks, parses, makes] = [0; 3].map(AtomicU64::new);
        let catalog = Catalog::new(max_bytes, &ledger);
        Arc::new(Self { catalog, ledger, files: Mutex::new(HashMap::new()), looks, parses, makes })
    }

    fn put(&self, place: u64, stamp: u32) {
        self.files.lock().insert(place, File { stamp, identity: place, is_young: false });
    }

    fn open(self: &Arc<Self>, place: u64, options: Options) -> Result<Arc<Handle>> {
        self.open_by(place, options, &|| ())
    }

    /// Opens, and does something while parsing.
    fn open_by(self: &Arc<Self>, place: u64, options: Options, meanwhile: &dyn Fn()) -> Result<Arc<Handle>> {
        let file = || {
            let found = self.files.lock().get(&place).copied();
            found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no file {place}")))
        };
        self.catalog.open(&Wanted {
            place: u128::from(place),
            options,
            look: &|| {
                self.looks.fetch_add(1, Ordering::Relaxed);
                file().map(|file| file.stamp)
            },
            parse: &|| {
                self.parses.fetch_add(1, Ordering::Relaxed);
                let File { stamp, identity, is_young } = file()?;
                meanwhile();
                let identity = (!is_young).then_some((u128::from(identity) << 64) + u128::from(stamp));
                let source = Arc::new(Source { stamp, bytes: BYTES, rests: AtomicU64::new(0) });
                Ok(Parsed { source, stamp, identity })
            },
            make: &|source, number| {
                self.makes.fetch_add(1, Ordering::Relaxed);
                Ok(Arc::new(Handle { source, options, number, world: Arc::clone(self) }))
            },
        })
    }

    /// Looks, parses and datasets made since this was asked last.
    fn work(&self) -> [u64; 3] {
        [&self.looks, &self.parses, &self.makes].map(|count| count.swap(0, Ordering::Relaxed))
    }

    fn check(&self) {
        let state = self.catalog.state.lock();
        state.check_invariants();
        let (stats, counted) = (state.stats(), self.ledger.bytes(Class::Metadata));
        assert_eq!(counted, stats.bytes - stats.closed * BYTES);
    }
}

#[test]
fn what_is_open_is_shared_and_what_was_closed_is_not_parsed_again() {
    let world = World::new(1 << 20);
    world.put(1, 7);
    let first = world.open(1, (0, 0)).unwrap();
    assert_eq!(world.work(), [1, 1, 1]);
    let second = world.open(1, (0, 0)).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(world.work(), [1, 0, 0]);
    let source = Arc::clone(&first.source);
    drop(first);
    assert_eq!((world.catalog.stats().closed, source.rests.load(Ordering::Relaxed)), (0, 0));
    drop(second);
    assert_eq!((world.catalog.stats().closed, source.rests.load(Ordering::Relaxed)), (1, 1));
    // With options that make the same source it is the same source.
    let third = world.open(1, (0, 1)).unwrap();
    assert!(Arc::ptr_eq(&source, &third.source));
    assert_eq!(world.work(), [1, 0, 1]);
    assert_eq!((world.catalog.stats().hits, world.catalog.stats().misses), (2, 1));
    // Others make another one, and one for themselves.
    let fourth = world.open(1, (1, 1)).unwrap();
    assert!(!Arc::ptr_eq(&third.source, &fourth.source) && world.work() == [1, 1, 1]);
    drop((third, fourth));
    assert_eq!(world.catalog.stats().closed, 2);
    // Some do not rest.
    drop(world.open(1, (9, 0)).unwrap());
    assert_eq!((world.catalog.stats().closed, world.catalog.stats().entries), (2, 2));
    world.check();
}

#[test]
fn what_changed_or_is_forgotten_is_parsed_again() {
    let world = World::new(1 << 20);
    world.put(1, 7);
    let (old, other) = (world.open(1, (0, 0)).unwrap(), world.open(1, (1, 0)).unwrap());
    drop(other);
    world.put(1, 8);
    let new = world.open(1, (0, 0)).unwrap();
    assert_eq!((old.source.stamp, new.source.stamp), (7, 8));
    assert_eq!((world.catalog.stats().entries, world.catalog.stats().closed), (1, 0), "all of the old one has gone");
    drop(old);
    assert_eq!(world.catalog.stats().closed, 0, "it does not come back either");
    world.work();
    world.catalog.forget(1);
    let again = world.open(1, (0, 0)).unwrap();
    assert!(!Arc::ptr_eq(&new, &again) && world.work() == [1, 1, 1]);
    world.catalog.forget_open(again.number.unwrap());
    drop((new, again));
    assert_eq!(world.catalog.stats().entries, 0);
    // A file that is gone is not known when it comes back.
    drop(world.open(1, (0, 0)).unwrap());
    let file = world.files.lock().remove(&1).unwrap();
    assert_eq!(world.open(1, (0, 0)).err().unwrap().kind(), ErrorKind::NotFound);
    world.files.lock().insert(1, file);
    world.work();
    drop(world.open(1, (0, 0)).unwrap());
    assert_eq!(world.work(), [1, 1, 1]);
    world.check();
}

#[test]
fn one_that_was_steered_is_left_to_those_who_have_it() {
    let world = World::new(1 << 20);
    world.put(1, 7);
    let steered = world.open(1, (0, 0)).unwrap();
    world.catalog.steered(steered.number.unwrap());
    let (other, same) = (world.open(1, (0, 0)).unwrap(), world.open(1, (0, 0)).unwrap());
    assert!(!Arc::ptr_eq(&steered, &other) && Arc::ptr_eq(&other, &same));
    drop(steered);
    assert_eq!(world.catalog.stats().closed, 0, "the place is open");
    world.catalog.steered(other.number.unwrap());
    drop((other, same));
    world.work();
    drop(world.open(1, (0, 0)).unwrap());
    assert_eq!(world.work(), [1, 0, 1], "its source was not");
    world.check();
}

#[test]
fn one_file_under_two_names_is_one_dataset() {
    let world = World::new(1 << 20);
    world.put(1, 7);
    world.files.lock().insert(2, File { stamp: 7, identity: 1, is_young: false });
    let (first, second) = (world.open(1, (0, 0)).unwrap(), world.open(2, (0, 0)).unwrap());
    assert!(Arc::ptr_eq(&first, &second));
    world.work();
    assert!(Arc::ptr_eq(&first, &world.open(2, (0, 0)).unwrap()));
    assert_eq!(world.work(), [1, 0, 0], "the second name is known by now");
    drop((first, second));
    world.check();
    assert_eq!(world.catalog.stats().entries, 1);
}

#[test]
fn a_young_file_is_shared_by_nobody() {
    let world = World::new(1 << 20);
    world.files.lock().insert(1, File { stamp: 7, identity: 1, is_young: true });
    let (first, second) = (world.open(1, (0, 0)).unwrap(), world.open(1, (0, 0)).unwrap());
    assert!(!Arc::ptr_eq(&first, &second));
    drop((first, second));
    assert_eq!(world.catalog.stats().entries, 0);
    // Those who wait for one that turns out to be young parse for themselves.
    let looked = || world.looks.load(Ordering::Relaxed);
    world.work();
    let wait = || {
        while looked() < 4 {
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        let openings: Vec<_> = (0..4).map(|_| scope.spawn(|| world.open_by(1, (0, 0), &wait).unwrap())).collect();
        let handles: Vec<_> = openings.into_iter().map(|opening| opening.join().unwrap()).collect();
        assert!((1..4).all(|i| !Arc::ptr_eq(&handles[0], &handles[i])));
    });
    assert_eq!(world.work()[1..], [4, 4]);
    world.check();
}

#[test]
fn of_all_who_open_an_unknown_file_at_once_one_parses_it() {
    let world = World::new(1 << 20);
    world.put(1, 7);
    let start = Barrier::new(8);
    let looked = || world.looks.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        let open = || {
            start.wait();
            // All of them have looked before it is parsed.
            let wait = || {
                while looked() < 8 {
                    std::thread::yield_now();
                }
            };
            world.open_by(1, (0, 0), &wait).unwrap()
        };
        let openings: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        let handles: Vec<_> = openings.into_iter().map(|opening| opening.join().unwrap()).collect();
        assert!(handles.iter().all(|handle| Arc::ptr_eq(handle, &handles[0])));
    });
    assert_eq!(world.work(), [8, 1, 1]);
    world.check();
}

#[test]
fn a_failure_is_told_to_all_who_wait_and_not_remembered() {
    let world = World::new(1 << 20);
    world.put(1, 7);
    let n_parses = AtomicU64::new(0);
    let fails = |how: &(dyn Fn() -> Result<Parsed<Made>> + Sync)| {
        let parse = || {
            n_parses.fetch_add(1, Ordering::Relaxed);
            how()
        };
        let make = |_, _| panic!("nothing was parsed");
        world.catalog.open(&Wanted { place: 1, options: (0, 0), look: &|| Ok(7), parse: &parse, make: &make }).err()
    };
    let corrupt = || Err(Error::corrupt("the tables contradict each other"));
    assert_eq!(fails(&corrupt).unwrap().kind(), ErrorKind::Corrupt);
    assert_eq!(fails(&corrupt).unwrap().kind(), ErrorKind::Corrupt);
    assert_eq!(n_parses.load(Ordering::Relaxed), 2);
    // A leader that panics while another one waits for it.
    let (parsing, is_parsing) = std::sync::mpsc::channel();
    let (wait, waiting) = std::sync::mpsc::channel::<()>();
    let waiting = Mutex::new(waiting);
    let panics = || {
        parsing.send(()).unwrap();
        waiting.lock().recv().unwrap();
        panic!("the source is broken");
    };
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| fails(&panics));
        is_parsing.recv().unwrap();
        let follower = scope.spawn(|| fails(&corrupt));
        // Whether the follower waits already or comes too late it is told of a failure.
        wait.send(()).unwrap();
        assert!(leader.join().is_err());
        let kind = follower.join().unwrap().unwrap().kind();
        assert!(matches!(kind, ErrorKind::Internal | ErrorKind::Corrupt), "{kind:?}");
    });
    world.open(1, (0, 0)).unwrap();
    world.check();
}

#[test]
fn what_is_forgotten_while_it_is_parsed_is_not_known_afterwards() {
    let world = World::new(1 << 20);
    world.put(1, 7);
    let handle = world.open_by(1, (0, 0), &|| world.catalog.forget(1)).unwrap();
    assert_eq!(handle.source.stamp, 7);
    drop(handle);
    assert_eq!(world.catalog.stats().entries, 0);
    // One that changes between the look and the parsing is known as what it is now.
    let handle = world.open_by(1, (0, 0), &|| world.put(1, 8)).unwrap();
    drop(handle);
    let new = world.open(1, (0, 0)).unwrap();
    assert_eq!(new.source.stamp, 8);
    world.check();
}

#[test]
fn a_dataset_is_found_as_cheaply_among_a_hundred_thousand_and_what_was_closed_first_goes() {
    const N: u64 = 100_000;
    let world = World::new(u64::MAX);
    for place in 0..N {
        world.put(place, 1);
        drop(world.open(place, (0, 0)).unwrap());
    }
    assert_eq!(world.work(), [N; 3]);
    let stats = world.catalog.stats();
    assert_eq!((stats.closed, stats.evictions), (N, 0));
    let entry = stats.bytes / N;
    assert!((BYTES + 100..BYTES + 600).contains(&entry), "{entry}");
    // The first half is used again, so the second one is older.
    for place in 0..N / 2 {
        drop(world.open(place, (0, 0)).unwrap());
    }
    assert_eq!(world.work(), [N / 2, 0, N / 2]);
    world.catalog.set_max_bytes(stats.bytes / 2);
    assert_eq!((world.catalog.stats().closed, world.catalog.stats().evictions), (N / 2, N / 2));
    for place in (0..N).step_by(97) {
        drop(world.open(place, (0, 0)).unwrap());
        let parsed = u64::from(place >= N / 2);
        assert_eq!(world.work(), [1, parsed, 1], "{place}");
    }
    world.catalog.give_up(1, 2);
    assert!((N / 4 - 1..=N / 4).contains(&world.catalog.stats().closed));
    world.catalog.give_up(1, 1);
    assert_eq!((world.catalog.stats().closed, world.catalog.stats().bytes), (0, 0));
    world.check();
}

#[test]
fn whatever_is_opened_closed_changed_and_forgotten_nobody_gets_what_was_there_before() {
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut below = |n: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % n
    };
    let world = World::new(12 * (BYTES + 200));
    let mut handles: Vec<Arc<Handle>> = Vec::new();
    let mut stamps = 0;
    let mut change = |place: u64| {
        stamps += 1;
        // Two places each are one file.
        for name in [place & !1, place | 1] {
            world.files.lock().insert(name, File { stamp: stamps, identity: place / 2, is_young: stamps % 5 == 0 });
        }
    };
    (0..20).for_each(&mut change);
    let mut n_shared = 0;
    for _ in 0..20_000 {
        let place = below(20);
        match below(30) {
            0 => change(place),
            1 => world.catalog.forget(u128::from(place)),
            2 => world.catalog.set_max_bytes(below(20) * (BYTES + 200)),
            3..=15 if !handles.is_empty() => drop(handles.swap_remove(below(handles.len() as u64) as usize)),
            16 if !handles.is_empty() => {
                let handle = &handles[below(handles.len() as u64) as usize];
                handle.number.into_iter().for_each(|number| world.catalog.steered(number));
            }
            _ => {
                let options = (below(6) as u8, below(2) as u8);
                let handle = world.open(place, options).unwrap();
                assert_eq!((handle.source.stamp, handle.options), (world.files.lock()[&place].stamp, options));
                n_shared += u64::from(handles.iter().any(|other| Arc::ptr_eq(other, &handle)));
                handles.push(handle);
            }
        }
        world.check();
    }
    let stats = world.catalog.stats();
    assert!(n_shared > 200 && stats.evictions > 200 && stats.hits > 500, "{n_shared} {stats:?}");
    handles.clear();
    world.check();
}
