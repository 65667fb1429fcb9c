//! Servers that die, come back, fill up and keep one waiting.

#[path = "common/servers.rs"]
mod servers;

use std::time::{Duration, Instant};

use servers::{Proxy, Server, Way};
use tilekeep::{ErrorKind, TileKey, TileStore, open_store};

const TIMEOUT: Duration = Duration::from_millis(400);
/// What a call may take beyond its timeout on a machine that has much else to do.
const SLACK: Duration = Duration::from_secs(2);

fn open(uri: &str) -> Box<dyn TileStore> {
    open_store(uri).unwrap().unwrap()
}

fn key(n: u32) -> TileKey {
    TileKey { source: u128::from(n % 3), tile: u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835) }
}

fn value(n: u32, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(n * 97) as u8 ^ (i >> 8) as u8).collect()
}

/// Kinds of servers: how they are started, and the URI of a store at an address.
struct Kind {
    name: &'static str,
    built: bool,
    start: fn() -> Option<Server>,
    uri: fn(&str) -> String,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "memcached",
        built: cfg!(feature = "memcached"),
        start: || Server::memcached(&["-m", "64"]),
        uri: |address| format!("memcached://{address}?timeout_ms=400"),
    },
    Kind {
        name: "redis",
        built: cfg!(feature = "redis"),
        start: || Server::redis(&[]),
        uri: |address| format!("redis://{address}?timeout_ms=400"),
    },
];

fn each_server(check: impl Fn(&Kind, Server)) {
    for kind in KINDS.iter().filter(|kind| kind.built) {
        if let Some(server) = (kind.start)() {
            check(kind, server);
        }
    }
}

#[cfg(unix)]
#[test]
fn a_server_is_used_by_its_socket_too() {
    if cfg!(feature = "memcached")
        && let Some(server) = Server::by_socket("memcached", &["-m", "64"])
    {
        let uri = format!("memcached:{}?prefix=maps&timeout_ms=400", server.address());
        check_by_socket(server, &uri);
    }
    if cfg!(feature = "redis")
        && let Some(server) = Server::by_socket("redis-server", &["--requirepass", "a&b"])
    {
        let uri = format!("redis:{}?password=a%26b&database=3&prefix=maps&timeout_ms=400", server.address());
        check_by_socket(server, &uri);
    }
}

#[cfg(unix)]
fn check_by_socket(mut server: Server, uri: &str) {
    let store = open(uri);
    let sizes = [0, 1000, 100_000, 3_000_000];
    for (n, len) in (0..).zip(sizes) {
        store.put(key(n), &value(n, len)).unwrap();
        assert!(store.get(key(n)).unwrap() == Some(value(n, len)), "{len}");
    }
    let keys: Vec<_> = (0..5).map(key).collect();
    let found: Vec<_> = (0..).zip(sizes).map(|(n, len)| Some(value(n, len))).chain([None]).collect();
    assert!(store.get_many(&keys).unwrap() == found);
    store.clear().unwrap();
    assert!(store.get_many(&keys).unwrap().iter().all(Option::is_none));
    server.kill();
    assert_eq!(store.get(key(1)).unwrap_err().kind(), ErrorKind::Store);
    server.restart();
    assert_eq!(store.get(key(1)).unwrap(), None);
    let began = Instant::now();
    server.pause();
    assert_eq!(store.get(key(1)).unwrap_err().kind(), ErrorKind::Store);
    assert!(began.elapsed() < TIMEOUT + SLACK);
    server.resume();
}

#[cfg(all(any(target_os = "linux", target_os = "android"), feature = "memcached"))]
#[test]
fn nobody_waits_longer_than_told_for_a_socket_that_takes_no_more_connections() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    // Two wait to be taken in, which nobody does.
    rustix::net::listen(&listener, 1).unwrap();
    let store = open(&format!("memcached:unix:{}?timeout_ms=400", path.display()));
    let (sender, errors) = std::sync::mpsc::channel();
    std::thread::spawn(move || (0..5).all(|n| sender.send(store.get(key(n)).unwrap_err()).is_ok()));
    for n in 0..5 {
        let error = errors.recv_timeout(TIMEOUT + SLACK).unwrap_or_else(|_| panic!("question {n} has no end"));
        assert_eq!(error.kind(), ErrorKind::Store);
        assert!(error.message().contains("no answer in time"), "{error}");
    }
}

#[test]
fn a_server_that_comes_back_is_used_again_over_new_connections() {
    each_server(|kind, mut server| {
        let store = open(&(kind.uri)(&server.address()));
        for n in 0..20 {
            store.put(key(n), &value(n, 1000)).unwrap();
        }
        server.kill();
        assert_eq!(store.get(key(1)).unwrap_err().kind(), ErrorKind::Store, "{}", kind.name);
        server.restart();
        // At once: the old connection is known to be dead.
        assert_eq!(store.get(key(1)).unwrap(), None, "{}", kind.name);
        store.put(key(1), &value(1, 1000)).unwrap();
        // And when the restart was not noticed.
        server.restart();
        store.put(key(2), &value(2, 1000)).unwrap();
        assert_eq!(store.get_many(&[key(1), key(2)]).unwrap(), [None, Some(value(2, 1000))], "{}", kind.name);
    });
}

/// Asks from four threads until `end`; returns how long one call took at most, and how many failed.
fn load(store: &dyn TileStore, end: Instant) -> (Duration, usize) {
    let one = |thread: u32| {
        let (mut longest, mut failed, mut n) = (Duration::ZERO, 0, thread);
        while Instant::now() < end {
            n = (n + 7) % 100;
            let began = Instant::now();
            let ok = match n % 3 {
                0 => store.put(key(n), &value(n, 20_000)).is_ok(),
                1 => store.get(key(n)).map(|found| assert!(found.is_none_or(|v| v == value(n, 20_000)))).is_ok(),
                _ => store.get_many(&[key(n), key(n + 1), key(n + 2)]).is_ok(),
            };
            longest = longest.max(began.elapsed());
            failed += usize::from(!ok);
        }
        (longest, failed)
    };
    std::thread::scope(|scope| {
        let threads = [0, 1, 2, 3].map(|thread| scope.spawn(move || one(thread)));
        let all = threads.map(|thread| thread.join().unwrap());
        (all.iter().map(|(longest, _)| *longest).max().unwrap(), all.iter().map(|(_, failed)| failed).sum())
    })
}

#[test]
fn no_call_takes_longer_than_its_timeout_whatever_the_server_does() {
    each_server(|kind, mut server| {
        let name = kind.name;
        let proxy = Proxy::to(&server);
        let direct = open(&(kind.uri)(&server.address()));
        let through = open(&(kind.uri)(&proxy.address()));
        for n in 0..100 {
            direct.put(key(n), &value(n, 20_000)).unwrap();
        }
        let soon = || Instant::now() + Duration::from_millis(900);
        let bounded = |what: &str, (longest, failed): (Duration, usize), fails: bool| {
            println!("{name}: {what}: {failed} failed, {longest:?} at most");
            assert!(longest < TIMEOUT + SLACK, "{name}: {what}: {longest:?}");
            assert_eq!(failed > 0, fails, "{name}: {what}: {failed} failed");
        };
        bounded("it works", load(&*direct, soon()), false);
        bounded("through a proxy", load(&*through, soon()), false);

        proxy.set(Way::Slow);
        assert!(load(&*through, soon()).0 < TIMEOUT + SLACK);
        proxy.set(Way::Drips);
        bounded("answers come byte by byte", load(&*through, soon()), true);
        proxy.set(Way::Open);
        bounded("they come at once again", load(&*through, soon()), false);
        proxy.set(Way::Swallows);
        bounded("nothing comes back", load(&*through, soon()), true);
        proxy.set(Way::Open);
        bounded("it comes back", load(&*through, soon()), false);

        server.pause();
        bounded("it was stopped", load(&*direct, soon()), true);
        server.resume();
        bounded("it goes on", load(&*direct, soon()), false);

        // Killed and started again in the middle.
        let end = Instant::now() + Duration::from_secs(2);
        std::thread::scope(|scope| {
            let loaded = scope.spawn(|| load(&*direct, end));
            std::thread::sleep(Duration::from_millis(500));
            server.restart();
            assert!(loaded.join().unwrap().0 < TIMEOUT + SLACK, "{name}");
        });
        bounded("it was restarted", load(&*direct, soon()), false);
    });
}

#[test]
fn a_full_memcached_forgets_the_oldest_and_keeps_the_newest() {
    if !cfg!(feature = "memcached") {
        return;
    }
    let Some(server) = Server::memcached(&["-m", "4"]) else { return };
    let store = open(&format!("memcached://{}?timeout_ms=5000", server.address()));
    let mut n_refused = 0;
    for n in 0..600 {
        match store.put(key(n), &value(n, 60_000)) {
            Ok(()) => assert!(store.get(key(n)).unwrap().is_none_or(|found| found == value(n, 60_000))),
            Err(error) => {
                // Refusing this value must not be taken for a server that fails.
                assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
                n_refused += 1;
            }
        }
    }
    let found: Vec<u32> = (0..600).filter(|n| store.get(key(*n)).unwrap().is_some()).collect();
    assert!(found.len() > 5 && found.len() < 200 && found.iter().all(|n| *n > 100), "{found:?}; {n_refused} refused");
    // Of a tile in parts some may have gone: then it is not there.
    for n in 1000..1020 {
        let _ = store.put(key(n), &value(n, 1_500_000));
    }
    for n in 1000..1020 {
        assert!(store.get(key(n)).unwrap().is_none_or(|found| found == value(n, 1_500_000)), "{n}");
    }
}

#[test]
fn a_tile_with_a_part_gone_is_not_there() {
    if !cfg!(feature = "memcached") {
        return;
    }
    let Some(server) = Server::memcached(&["-I", "64k", "-o", "slab_chunk_max=16384"]) else { return };
    let store = open(&format!("memcached://{}/p?item_max=64K", server.address()));
    store.put(key(1), &value(1, 300_000)).unwrap();
    assert!(store.get(key(1)).unwrap() == Some(value(1, 300_000)));
    let dump = server.tell("lru_crawler metadump all");
    let name = dump.lines().find_map(|line| {
        let name = line.split(' ').next()?.strip_prefix("key=")?.replace("%3A", ":");
        name.ends_with(".3").then_some(name)
    });
    let name = name.unwrap_or_else(|| panic!("{dump}"));
    assert!(server.tell(&format!("md {name}")).starts_with("HD"));
    assert_eq!(store.get(key(1)).unwrap(), None);
    store.put(key(1), &value(1, 300_000)).unwrap();
    assert!(store.get(key(1)).unwrap().is_some());
    // Items larger than the server takes are its refusal, not its failure.
    let too_large = open(&format!("memcached://{}/p", server.address()));
    assert_eq!(too_large.put(key(2), &value(2, 200_000)).unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert!(too_large.get(key(1)).unwrap().is_some());
}

#[test]
fn of_several_memcached_servers_one_that_dies_takes_only_its_own_tiles() {
    if !cfg!(feature = "memcached") {
        return;
    }
    let Some(mut dies) = Server::memcached(&[]) else { return };
    let others = [Server::memcached(&[]).unwrap(), Server::memcached(&[]).unwrap()];
    let [b, c] = others.each_ref().map(Server::address);
    let store = open(&format!("memcached://{},{b},{c}?timeout_ms=400", dies.address()));
    let keys: Vec<TileKey> = (0..300).map(key).collect();
    for (n, key) in keys.iter().enumerate() {
        store.put(*key, &value(n as u32, 100)).unwrap();
    }
    dies.kill();
    let there = || store.get_many(&keys).unwrap().iter().filter(|value| value.is_some()).count();
    assert!((150..250).contains(&there()), "{} of 300", there());
    // The failure of one is no failure of the store.
    for (n, key) in keys.iter().enumerate() {
        match (store.get(*key), store.put(*key, &value(n as u32, 100))) {
            (Ok(found), _) => assert!(found.is_none_or(|found| found == value(n as u32, 100))),
            (Err(error), _) => assert_eq!(error.kind(), ErrorKind::LimitExceeded),
        }
    }
    dies.restart();
    let end = Instant::now() + Duration::from_secs(10);
    while there() < 300 && Instant::now() < end {
        for (n, key) in keys.iter().enumerate() {
            let _ = store.put(*key, &value(n as u32, 100));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(there(), 300);
}

#[test]
fn a_full_redis_refuses_values_and_is_still_read() {
    if !cfg!(feature = "redis") {
        return;
    }
    let Some(server) = Server::redis(&["--maxmemory", "5mb"]) else { return };
    let store = open(&format!("redis://{}?timeout_ms=5000", server.address()));
    let results: Vec<_> = (0..200).map(|n| store.put(key(n), &value(n, 60_000))).collect();
    let refused = results.iter().find_map(|result| result.as_ref().err()).unwrap();
    assert_eq!(refused.kind(), ErrorKind::LimitExceeded, "{refused}");
    for n in 0..200 {
        let found = store.get(key(n)).unwrap();
        assert!(found == results[n as usize].is_ok().then(|| value(n, 60_000)), "{n}");
    }
    server.tell("CONFIG SET maxmemory-policy allkeys-lru");
    store.put(key(500), &value(500, 60_000)).unwrap();
    assert!(store.get(key(500)).unwrap() == Some(value(500, 60_000)));
}

#[test]
fn a_wrong_password_or_a_server_of_another_kind_is_an_error() {
    if cfg!(feature = "redis")
        && let Some(server) = Server::redis(&["--requirepass", "right"])
    {
        for user in ["", ":wrong@", "nobody:right@", "default:wrong@"] {
            let store = open(&format!("redis://{user}{}", server.address()));
            let error = store.get(key(1)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Store, "{error}");
            assert!(!error.message().contains("wrong@"), "{error}");
        }
        for user in [":right@", "default:right@"] {
            assert_eq!(open(&format!("redis://{user}{}/7", server.address())).get(key(1)).unwrap(), None);
        }
        let error = open(&format!("redis://:right@{}/999", server.address())).get(key(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store, "there is no such database: {error}");
        if cfg!(feature = "memcached") {
            let store = open(&format!("memcached://{}", server.address()));
            assert_eq!(store.get(key(1)).unwrap_err().kind(), ErrorKind::Store);
        }
    }
    if cfg!(all(feature = "redis", feature = "memcached"))
        && let Some(server) = Server::memcached(&[])
    {
        let store = open(&format!("redis://{}", server.address()));
        assert_eq!(store.get(key(1)).unwrap_err().kind(), ErrorKind::Store);
    }
}

#[test]
fn what_has_a_time_to_live_goes_when_it_is_over() {
    each_server(|kind, server| {
        let store = open(&format!("{}&ttl=1", (kind.uri)(&server.address())));
        store.put(key(1), b"short").unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while store.get(key(1)).unwrap().is_some() {
            assert!(Instant::now() < end, "{}", kind.name);
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}
