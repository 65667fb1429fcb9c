//! Every kind of store does what the trait says, alone and when processes share it.

#[path = "common/servers.rs"]
mod servers;

use std::process::{Command, Stdio};

use servers::Server;
use tilekeep::{ErrorKind, TileKey, TileStore, open_store};

fn open(uri: &str) -> Box<dyn TileStore> {
    open_store(uri).unwrap().unwrap()
}

fn key(source: u128, n: u32) -> TileKey {
    // As spread as the hashes that real keys are.
    let tile = u128::from(n).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    TileKey { source: source | 0xFACE << 100, tile: tile ^ (tile >> 67) }
}

/// Bytes that only this key has.
fn value(key: TileKey, len: usize) -> Vec<u8> {
    let mut state = (key.source ^ key.tile.rotate_left(9)) as u64 | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The stores that this build and this machine have, by name, each with what must live as long.
fn each_store(mut check: impl FnMut(&str, &str)) {
    let mut n_checked = 0;
    if cfg!(feature = "disk") {
        let dir = tempfile::tempdir().unwrap();
        check("disk", &format!("disk:{}?max=1G", dir.path().display()));
        n_checked += 1;
    }
    if cfg!(feature = "memcached")
        && let Some(server) = Server::memcached(&["-m", "256"])
    {
        check("memcached", &format!("memcached://{}/a.b?timeout_ms=5000", server.address()));
        n_checked += 1;
        let others = [Server::memcached(&["-m", "256"]).unwrap(), Server::memcached(&["-m", "256"]).unwrap()];
        let [b, c] = others.each_ref().map(Server::address);
        check("three memcached", &format!("memcached://{},{b},{c}?timeout_ms=5000", server.address()));
    }
    if cfg!(feature = "redis")
        && let Some(server) = Server::redis(&[])
    {
        check("redis", &format!("redis://{}/3?prefix=a.b&timeout_ms=5000", server.address()));
        let secret = Server::redis(&["--requirepass", "pa@ss"]).unwrap();
        check("redis with a password", &format!("redis://:pa%40ss@{}?timeout_ms=5000&ttl=1000", secret.address()));
        n_checked += 1;
    }
    let n_built = [cfg!(feature = "disk"), cfg!(feature = "memcached"), cfg!(feature = "redis")];
    let required = std::env::var_os("TILEKEEP_REQUIRE_PEERS").is_some();
    assert!(!required || n_checked == n_built.into_iter().filter(|built| *built).count());
}

#[test]
fn what_was_put_comes_back_and_what_was_forgotten_does_not() {
    each_store(|name, uri| {
        let store = open(uri);
        let lens = [0, 1, 100, 65_536, 1_000_000, 1_048_064, 1_048_065, 1_048_576, 5_000_000];
        let keys: Vec<TileKey> = (0..lens.len() as u32).map(|n| key(1, n)).collect();
        for (key, len) in keys.iter().zip(lens) {
            assert_eq!(store.get(*key).unwrap(), None, "{name}: {len}");
            store.put(*key, &value(*key, len)).unwrap();
            assert!(store.get(*key).unwrap() == Some(value(*key, len)), "{name}: {len}");
        }
        // In place of one that is there, smaller or larger.
        for len in [2_500_000, 10] {
            store.put(keys[3], &value(keys[4], len)).unwrap();
            assert!(store.get(keys[3]).unwrap() == Some(value(keys[4], len)), "{name}: {len}");
        }
        store.put(keys[3], &value(keys[3], lens[3])).unwrap();
        // Many at once, some of them absent, one twice.
        let mut asked: Vec<TileKey> = (100..300).map(|n| key(1, n)).collect();
        for (i, key) in keys.iter().enumerate() {
            asked.insert(i * 13, *key);
        }
        asked.push(keys[2]);
        for (key, found) in asked.iter().zip(store.get_many(&asked).unwrap()) {
            let len = keys.iter().position(|k| k == key).map(|i| lens[i]);
            assert!(found == len.map(|len| value(*key, len)), "{name}: {len:?}");
        }
        assert!(store.get_many(&[]).unwrap().is_empty());

        store.remove(keys[1]).unwrap();
        store.remove(keys[1]).unwrap();
        store.remove(keys[8]).unwrap();
        assert_eq!((store.get(keys[1]).unwrap(), store.get(keys[8]).unwrap()), (None, None), "{name}");
        assert!(store.get(keys[2]).unwrap().is_some(), "{name}");

        let other = key(2, 0);
        store.put(other, b"of another raster").unwrap();
        store.remove_source(keys[0].source).unwrap();
        assert!(store.get_many(&keys).unwrap().iter().all(Option::is_none), "{name}");
        assert_eq!(store.get(other).unwrap().unwrap(), b"of another raster", "{name}");
        store.put(keys[0], b"again").unwrap();
        assert_eq!(open(uri).get(keys[0]).unwrap().unwrap(), b"again", "{name}");
        store.clear().unwrap();
        assert_eq!((store.get(other).unwrap(), store.get(keys[0]).unwrap()), (None, None), "{name}");
        store.put(other, b"after").unwrap();
        assert_eq!(store.get(other).unwrap().unwrap(), b"after", "{name}");
    });
}

#[test]
fn what_is_not_ours_stays_when_everything_is_forgotten() {
    if let Some(server) = cfg!(feature = "memcached").then(|| Server::memcached(&[])).flatten() {
        let (a, b) = (format!("memcached://{}/a", server.address()), format!("memcached://{}/b", server.address()));
        server.tell("set theirs 0 0 2\r\nhi");
        two_names(&*open(&a), &*open(&b));
        assert!(server.tell("get theirs").contains("hi"));
    }
    if let Some(server) = cfg!(feature = "redis").then(|| Server::redis(&[])).flatten() {
        // The keys of the second begin with the prefix of the first.
        let uri = |prefix| format!("redis://{}?prefix={prefix}", server.address());
        server.tell("SET a:theirs hi");
        two_names(&*open(&uri("a")), &*open(&uri("a:b")));
        assert!(server.tell("GET a:theirs").contains("hi"));
    }
    if cfg!(feature = "disk") {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("theirs"), b"hi").unwrap();
        let store = open(&format!("disk:{}", dir.path().display()));
        store.put(key(1, 1), b"ours").unwrap();
        store.clear().unwrap();
        assert_eq!(std::fs::read(dir.path().join("theirs")).unwrap(), b"hi");
        assert_eq!(store.get(key(1, 1)).unwrap(), None);
    }
}

fn two_names(a: &dyn TileStore, b: &dyn TileStore) {
    for n in 0..5000 {
        a.put(key(1, n), b"a").unwrap();
    }
    b.put(key(1, 1), b"b").unwrap();
    assert_eq!(a.get(key(1, 1)).unwrap().unwrap(), b"a");
    a.clear().unwrap();
    assert!(a.get_many(&(0..5000).map(|n| key(1, n)).collect::<Vec<_>>()).unwrap().iter().all(Option::is_none));
    assert_eq!(b.get(key(1, 1)).unwrap().unwrap(), b"b");
}

/// Not a test of its own: the other process of the tests here.
#[test]
fn another_process() {
    let Ok(uri) = std::env::var("TILEKEEP_TEST_STORE") else { return };
    let range = std::env::var("TILEKEEP_TEST_RANGE").unwrap();
    let (from, to) = range.split_once('-').unwrap();
    let store = open(&uri);
    for n in from.parse().unwrap()..to.parse().unwrap() {
        let key = key(5, n);
        store.put(key, &value(key, 1000 + n as usize % 5000)).unwrap();
        // Of what others write, too, nothing is wrong.
        let other = crate::key(5, n ^ 1);
        if let Some(found) = store.get(other).unwrap() {
            assert!(found == value(other, 1000 + (n ^ 1) as usize % 5000));
        }
    }
}

fn spawn_another(uri: &str, range: &str) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "another_process", "--nocapture"]).env("TILEKEEP_TEST_STORE", uri);
    command.env("TILEKEEP_TEST_RANGE", range).stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn processes_share_a_store() {
    each_store(|name, uri| {
        let store = open(uri);
        // Asked for before it is there: what another process adds is noticed all the same.
        assert_eq!(store.get(key(5, 3)).unwrap(), None);
        let mut children = ["0-400", "200-600", "201-601"].map(|range| spawn_another(uri, range));
        for child in &mut children {
            assert!(child.wait().unwrap().success(), "{name}");
        }
        let found = |n: u32| store.get(key(5, n)).unwrap() == Some(value(key(5, n), 1000 + n as usize % 5000));
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        let missing = || (0..601).filter(|n| !found(*n)).count();
        while missing() > 0 && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        assert_eq!(missing(), 0, "{name}");
    });
}

#[test]
fn many_threads_use_one_store() {
    each_store(|name, uri| {
        let store = open(uri);
        std::thread::scope(|scope| {
            for thread in 0..8_u32 {
                let store = &store;
                scope.spawn(move || {
                    for n in 0..200 {
                        let key = key(7, (n * 7 + thread) % 150);
                        match (n + thread) % 4 {
                            0 => store.put(key, &value(key, 3000)).unwrap(),
                            1 if n % 20 == 1 => store.remove(key).unwrap(),
                            2 => {
                                let two = store.get_many(&[key, self::key(7, 999)]).unwrap();
                                assert!(two[0].as_ref().is_none_or(|v| *v == value(key, 3000)) && two[1].is_none());
                            }
                            _ => assert!(store.get(key).unwrap().is_none_or(|v| v == value(key, 3000)), "{name}"),
                        }
                    }
                });
            }
        });
    });
}

#[test]
fn a_server_that_is_not_there_is_an_error_and_no_more() {
    let port = servers::free_port();
    for (built, uri) in [
        (cfg!(feature = "memcached"), format!("memcached://127.0.0.1:{port}")),
        (cfg!(feature = "redis"), format!("redis://127.0.0.1:{port}")),
    ] {
        if !built {
            continue;
        }
        let store = open(&uri);
        let key = key(1, 1);
        let errors = [
            store.get(key).unwrap_err(),
            store.get_many(&[key]).unwrap_err(),
            store.put(key, b"x").unwrap_err(),
            store.remove(key).unwrap_err(),
            store.clear().unwrap_err(),
            store.remove_source(1).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Store);
            assert!(error.message().contains(&port.to_string()), "{error}");
        }
    }
}
