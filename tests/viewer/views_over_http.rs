//! Views, requests that are taken back, and files that change, without a browser.

use std::fs::File;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::program::{Reply, Server};
use crate::{counts, escaped, files, rgba, tiff_writer};

/// A line by which nothing comes: answers are those that need no block.
const NEVER: [&str; 2] = ["--latency-ms", "60000"];
/// A style that says all numbers: nothing is read to find them.
const PLAIN: &str = r#"{"bands": [{"band": 1, "min": 0, "max": 255}]}"#;

fn server(options: &[&str], path: &std::path::Path) -> Server {
    Server::start_with(options.iter().map(AsRef::as_ref).chain([path.as_os_str()]))
}

/// Waits until something is as it should be.
fn wait<T: std::fmt::Debug>(what: &str, mut look: impl FnMut() -> T, is_so: impl Fn(&T) -> bool) -> T {
    let start = Instant::now();
    loop {
        let seen = look();
        if is_so(&seen) {
            return seen;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: {seen:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn show(server: &Server, path: &str, body: &str) -> Reply {
    let path = format!("/api/datasets/a-picture/views/{path}?style={}", escaped(PLAIN));
    server.ask("POST", &path, &[("content-type", "application/json")], body.as_bytes())
}

fn frame(sequence: u64, tiles: &[[u32; 3]]) -> String {
    json!({ "sequence": sequence, "centre": [550, 350], "tiles": tiles }).to_string()
}

fn requests<const N: usize>(server: &Server, names: [&str; N]) -> [u64; N] {
    counts(server, "requests", names)
}

/// The tiles of full resolution.
fn finest() -> Vec<[u32; 3]> {
    (0..5).flat_map(|x| (0..3).map(move |y| [3, x, y])).collect()
}

#[test]
fn clients_that_go_away_take_their_tiles_back() {
    let files = files();
    let server = server(&[NEVER[0], NEVER[1], "--threads", "2"], &files.picture);
    let ask = |[z, x, y]: [u32; 3]| {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        let path = format!("/a-picture/xyz/{z}/{x}/{y}.png?style={}", escaped(PLAIN));
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
        stream
    };
    let clients: Vec<_> = finest().into_iter().map(ask).collect();
    let twice = ask([3, 0, 0]);
    wait("all asked", || requests(&server, ["running", "queued", "joined"]), |now| *now == [2, 13, 1]);
    // Everybody goes but one, who wanted what somebody else wanted too.
    drop(clients);
    wait("all gone", || requests(&server, ["running", "queued"]), |now| *now == [1, 0]);
    drop(twice);
    wait("the last is gone", || requests(&server, ["running", "queued"]), |now| *now == [0, 0]);
    let [cancelled, dropped, stopped, answered] = requests(&server, ["cancelled", "dropped", "stopped", "answered"]);
    assert_eq!((cancelled, dropped + stopped, answered), (16, 15, 0));
    // What was begun was stopped; some were before they began to read.
    let stats = server.json("/api/stats");
    let line = &stats["datasets"]["a-picture"]["line"];
    assert!(line["begun"].as_u64().unwrap() <= stopped && line["read"] == 0, "{stats}");
}

#[test]
fn a_view_loads_its_tiles_and_forgets_those_of_the_frame_before() {
    let files = files();
    let fast = server(&["--threads", "2"], &files.picture);
    let reply = show(&fast, "one.png", &frame(1, &finest()));
    assert_eq!(reply.status, 200, "{}", reply.text());
    // With the one of the coarsest level.
    let [rendered] = wait("tiles are there", || counts(&fast, "tiles", ["rendered"]), |now| *now == [16]);
    // Who asks for one of them is sent it.
    let path = format!("/a-picture/xyz/3/2/1.png?style={}", escaped(PLAIN));
    let sent = fast.ask("GET", &path, &[("x-view", "one")], b"");
    assert!(sent.status == 200 && sent.body == fast.get(&path).body);
    assert_eq!(counts(&fast, "tiles", ["rendered"]), [rendered]);
    // A view holds its tiles, whatever becomes of the cache.
    assert_eq!(crate::set_budget(&fast, "tiles", &json!(0)), 0);
    assert!(fast.ask("GET", &path, &[("x-view", "one")], b"").body == sent.body);
    assert_eq!(counts(&fast, "tiles", ["rendered", "tiles"]), [rendered, 0]);

    let slow = server(&[NEVER[0], NEVER[1], "--threads", "2"], &files.picture);
    let missing = |body: &str| {
        let reply = show(&slow, "one.png", body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        serde_json::from_slice::<Value>(&reply.body).unwrap()["missing"].clone()
    };
    assert_eq!(missing(&frame(7, &finest())), 15);
    wait("two are begun", || requests(&slow, ["running", "queued"]), |now| *now == [2, 14]);
    assert_eq!(missing(&frame(9, &[[3, 0, 0], [3, 4, 2]])), 2);
    wait("two are left", || requests(&slow, ["running", "queued"]), |now| now.iter().sum::<u64>() == 3);
    // What comes too late changes nothing.
    assert_eq!(missing(&frame(8, &finest())), Value::Null);
    assert_eq!(requests(&slow, ["views"]), [1]);
    assert_eq!(slow.ask("DELETE", "/api/views/one", &[], b"").text(), r#"{"closed":true}"#);
    wait("none is left", || requests(&slow, ["running", "queued", "views"]), |now| *now == [0, 0, 0]);
    assert_eq!(slow.ask("DELETE", "/api/views/one", &[], b"").text(), r#"{"closed":false}"#);
    assert_eq!(slow.json("/api/stats")["datasets"]["a-picture"]["line"]["read"], 0);
}

#[test]
fn a_frame_that_comes_after_its_view_was_closed_opens_it_no_more() {
    let files = files();
    let server = server(&[], &files.picture);
    let missing = |sequence: u64| {
        let reply = show(&server, "one.png", &frame(sequence, &[[3, 0, 0]]));
        assert_eq!(reply.status, 200, "{}", reply.text());
        serde_json::from_slice::<Value>(&reply.body).unwrap()["missing"].is_u64()
    };
    let close = |query: &str| server.ask("DELETE", &format!("/api/views/one{query}"), &[], b"").text();
    let (closed, not_closed) = (r#"{"closed":true}"#, r#"{"closed":false}"#);
    let views = || requests(&server, ["views"]);
    assert!(missing(7));
    assert_eq!(close("?sequence=9"), closed);
    assert_eq!((missing(8), missing(9), views()), (false, false, [0]));
    // The page is looked at again.
    assert_eq!((missing(10), views()), (true, [1]));
    // What closed it before comes late itself.
    assert_eq!((close("?sequence=9").as_str(), views()), (not_closed, [1]));
    assert_eq!((close("").as_str(), missing(10), missing(11)), (closed, false, true));
    // The only frame may be what is late.
    assert_eq!(server.ask("DELETE", "/api/views/two?sequence=1", &[], b"").text(), not_closed);
    assert!(show(&server, "two.png", &frame(1, &[[3, 0, 0]])).text().contains(r#""missing":null"#));
    assert_eq!(views(), [1]);
    assert_eq!(server.ask("DELETE", "/api/views/one?sequence=x", &[], b"").status, 400);
    assert_eq!(server.ask("DELETE", "/api/views/o%20ne", &[], b"").status, 404);
}

#[test]
fn a_frame_that_makes_no_sense_is_refused_and_opens_no_view() {
    let files = files();
    let server = server(&[], &files.picture);
    let with = |key: &str, value: Value| {
        let mut body: Value = serde_json::from_str(&frame(1, &[[3, 0, 0]])).unwrap();
        body[key] = value;
        body.to_string()
    };
    let many = vec![[3, 0, 0]; 1025];
    for (body, words) in [
        (String::new(), "JSON"),
        ("[]".to_owned(), "sequence: null"),
        (frame(1, &[]).replace("[550,350]", "[NaN,0]"), "JSON"),
        (frame(1, &[]).replace("[550,350]", "[1e999,0]"), "JSON"),
        (with("sequence", json!(-1)), "sequence: -1"),
        (with("centre", json!([1101, 0])), "centre: [1101,0] is no place in 1100 x 700 pixels"),
        (with("centre", json!([-0.5, 0])), "centre: [-0.5,0]"),
        (with("centre", json!([null, 0])), "centre: [null,0]"),
        (with("centre", json!([1, 2, 3])), "centre: [1,2,3]"),
        (with("tiles", json!(7)), "tiles"),
        (with("tiles", json!(many)), "tiles: 1025 of them; a frame has 1024 at most"),
        (with("tiles", json!([[4, 0, 0]])), "tiles: [4,0,0] is none of a-picture"),
        (with("tiles", json!([[3, 5, 0]])), "tiles: [3,5,0]"),
        (with("tiles", json!([[3, -1, 0]])), "tiles: [3,-1,0]"),
        (with("tiles", json!([[3, 0.5, 0]])), "tiles: [3,0.5,0]"),
        (with("tiles", json!([[3, 18446744073709551615u64, 0]])), "tiles: [3,18446744073709551615,0]"),
        (with("tiles", json!([[3, 0]])), "tiles: [3,0]"),
    ] {
        let reply = show(&server, "one.png", &body);
        assert!(reply.status == 400 && reply.text().contains(words), "{body}: {} {}", reply.status, reply.text());
    }
    let as_json = [("content-type", "application/json")];
    let fine = frame(1, &[[3, 0, 0]]);
    let post = |path: &str, body: &[u8]| server.ask("POST", path, &as_json, body);
    for (path, status) in [
        ("/api/datasets/other/views/one.png", 404),
        ("/api/datasets/a-picture/views/o%20ne.png", 404),
        ("/api/datasets/a-picture/views/one", 404),
        ("/api/datasets/a-picture/views/one.gif", 400),
        ("/api/datasets/a-picture/views/one.png?style={", 400),
        ("/api/datasets/a-picture/views/one.png?frame=1", 400),
    ] {
        assert_eq!(post(path, fine.as_bytes()).status, status, "{path}");
    }
    assert_eq!(post("/api/datasets/a-picture/views/one.png", &vec![b' '; 100_000]).status, 413);
    assert_eq!(server.ask("GET", "/api/datasets/a-picture/views/one.png", &[], b"").header("allow"), Some("POST"));
    assert_eq!(server.ask("POST", "/api/views/one", &as_json, b"{}").header("allow"), Some("DELETE"));
    assert_eq!(counts(&server, "requests", ["views", "answered", "queued"]), [0; 3]);
    // However many names there are, few views are kept.
    (0..100).for_each(|i| assert_eq!(show(&server, &format!("v{i}.png"), &fine).status, 200));
    assert_eq!(counts(&server, "requests", ["views"]), [32]);
}

#[test]
fn what_can_be_shown_soon_is_shown_without_a_read() {
    let files = files();
    let server = server(&["--latency-ms", "100"], &files.picture);
    let query = format!("style={}", escaped(PLAIN));
    let begun = || server.json("/api/stats")["datasets"]["a-picture"]["line"]["begun"].clone();
    // Where nothing is known yet, one block is enough, and nobody waits until the raster's own ranges are found.
    let first = server.get("/a-picture/xyz/0/0/0.png?soon=1");
    assert_eq!((first.header("x-covered"), begun()), (Some("1"), json!(1)), "{}", first.text());
    let plain = rgba(&first.body);
    assert_eq!(plain, rgba(&server.get("/a-picture/xyz/0/0/0.png").body));

    let coarsest = rgba(&server.get(&format!("/a-picture/xyz/0/0/0.png?{query}")).body);
    let before = begun();
    let soon = server.get(&format!("/a-picture/xyz/3/2/1.webp?{query}&soon=1"));
    assert_eq!((soon.status, soon.header("content-type")), (200, Some("image/png")), "{}", soon.text());
    assert_eq!((soon.header("x-covered"), soon.header("cache-control")), (Some("1"), Some("no-store")));
    let (width, height, pixels) = rgba(&soon.body);
    assert_eq!((width, height), (256, 256));
    for (x, y) in [(0usize, 0usize), (100, 30), (255, 255)] {
        // Tile (2, 1) of 256 pixels, eight of which are one of the coarsest.
        let at = (256 + y) * 88 / 704 * coarsest.0 as usize + (512 + x) * 138 / 1104;
        let near = pixels[y * 256 + x].iter().zip(coarsest.2[at]).all(|(a, b)| a.abs_diff(b) < 24);
        assert!(near, "({x}, {y}): {:?}, not {:?}", pixels[y * 256 + x], coarsest.2[at]);
    }
    assert_eq!(begun(), before);
    // The tile itself is as soon as can be.
    let tile = server.get(&format!("/a-picture/xyz/3/2/1.png?{query}"));
    assert_eq!(server.get(&format!("/a-picture/xyz/3/2/1.png?{query}&soon=1")).body, tile.body);
    // Where nothing of a look is in memory, the coarsest level is read first.
    let look = escaped(r#"{"bands": [{"band": 2, "min": 0, "max": 255}]}"#);
    let first = server.get(&format!("/a-picture/xyz/3/0/0.png?style={look}&soon=1"));
    assert_eq!((first.status, first.header("x-covered")), (200, Some("1")), "{}", first.text());
}

#[test]
fn a_file_that_changes_is_noticed_and_one_that_is_gone_is_named() {
    let files = files();
    for line in [&[][..], &["--latency-ms", "1"]] {
        tiff_writer::sample_pyramid(&files.picture, 1100, 700).unwrap();
        let aged = |hours: u64| {
            let file = File::options().append(true).open(&files.picture).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(3600 * hours)).unwrap();
        };
        aged(3);
        let server = server(line, &files.picture);
        let version = || server.json("/api/datasets")[0]["version"].as_str().unwrap().to_owned();
        let (first, path) = (version(), "/a-picture/xyz/1/0/0.png");
        let old = server.get(&format!("{path}?v={first}"));
        assert_eq!(old.header("x-version"), Some(first.as_str()));
        let kept = crate::set_budget(&server, "datasets/a-picture", &json!(300_000));

        tiff_writer::sample_elevations(&files.picture, 1000, 800).unwrap();
        aged(2);
        let second = wait("another version", version, |now| *now != first);
        let described = server.json("/api/datasets")[0].clone();
        assert_eq!((described["width"].as_u64(), described["bands"].as_array().unwrap().len()), (Some(1000), 1));
        assert_eq!(server.json("/api/stats")["datasets"]["a-picture"]["max_bytes"], kept);
        // Whoever asks for the old one learns that it is gone.
        let new = server.get(&format!("{path}?v={first}"));
        assert_eq!((new.status, new.header("x-version")), (200, Some(second.as_str())));
        assert_eq!(new.header("cache-control"), Some("private, no-cache"));
        assert_ne!(new.body, old.body);
        assert_ne!(new.header("etag"), old.header("etag"));

        let away = files.picture.with_extension("away");
        std::fs::rename(&files.picture, &away).unwrap();
        let gone = wait("gone", || server.get(path), |reply| reply.status != 200);
        assert!(gone.status == 503 && gone.text().contains("a picture.tif"), "{} {}", gone.status, gone.text());
        let trouble = server.json("/api/stats")["datasets"]["a-picture"]["trouble"].clone();
        assert!(trouble.as_str().is_some_and(|words| words.contains("a picture.tif")), "{trouble}");
        assert_eq!(server.get("/").status, 200);
        std::fs::rename(&away, &files.picture).unwrap();
        wait("back", || server.get(path), |reply| reply.status == 200);
        assert_eq!(server.json("/api/stats")["datasets"]["a-picture"]["trouble"], Value::Null);
    }
}
