//! The page over a slow source, and over a file that changes: nothing is blank that need not be, and what nobody looks at
//! is not read.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::json;
use tilekeep::{Dataset, TileRequest};

use crate::browser::Browser;
use crate::in_browser::{SETTLED, assert_quiet, full_resolution, number, pixel, press, wheel};
use crate::program::Server;
use crate::{counts, tiff_writer};

/// A raster of 3000 x 2000 pixels in a folder of its own.
fn raster() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a picture.tif");
    tiff_writer::sample_pyramid(&path, 3000, 2000).unwrap();
    age(&path, 3);
    (folder, path)
}

fn age(path: &Path, hours: u64) {
    let file = File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3600 * hours)).unwrap();
}

fn start(options: &[&str], path: &Path) -> Server {
    Server::start_with(options.iter().map(AsRef::as_ref).chain([path.as_os_str()]))
}

fn open(browser: &mut Browser, server: &Server) {
    browser.resize(1000, 700, false);
    browser.open(&format!("http://127.0.0.1:{}/", server.port));
}

/// From now on every frame of the screen is looked at: where nothing is drawn the page shows a colour that no raster has.
/// Counts frames, and notes where such pixels are.
const WATCH: &str = "(() => { const v = viewer.state.panes[0].view; v.empty = '#ff00ff'; globalThis.frames = 0; \
    globalThis.blank = []; const watch = () => { frames++; const c = v.canvas; \
    const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; \
    for (let i = 0; i < d.length; i += 4 * 13) if (d[i] === 255 && d[i + 1] === 0 && d[i + 2] === 255) { \
    blank.push([i / 4 % c.width, Math.floor(i / 4 / c.width), v.place.x, v.place.y, v.place.span]); break; } \
    requestAnimationFrame(watch); }; watch(); return 0; })()";

/// From now on tiles are counted that come into view and are not there, each time that they do.
const COUNT: &str = "(() => { const l = viewer.state.panes[0].view.layer, want = l.want.bind(l); let before = new Set(); \
    globalThis.wanted = 0; l.want = (places) => { const now = new Set(places.map((p) => p.join('/'))); \
    for (const key of now) wanted += !before.has(key) && !l.tiles.has(key); before = now; want(places); }; return 0; })()";

fn drag(browser: &mut Browser, from: (f64, f64), to: (f64, f64), steps: u32) {
    let mut event = |kind: &str, x: f64, y: f64| {
        let of = json!({ "type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1 });
        browser.call("Input.dispatchMouseEvent", of);
    };
    event("mousePressed", from.0, from.1);
    for step in 1..=steps {
        let part = f64::from(step) / f64::from(steps);
        event("mouseMoved", from.0 + part * (to.0 - from.0), from.1 + part * (to.1 - from.1));
    }
    event("mouseReleased", to.0, to.1);
}

fn line(server: &Server, what: &str) -> u64 {
    server.json("/api/stats")["datasets"]["a-picture"]["line"][what].as_u64().unwrap()
}

#[test]
fn pan_and_zoom_over_a_slow_source_never_show_a_blank_tile() {
    let Some(mut browser) = Browser::start() else { return };
    let browser = &mut browser;
    let (_folder, path) = raster();
    let server = start(&["--latency-ms", "40", "--bandwidth-mib", "10", "--threads", "4"], &path);
    open(browser, &server);
    // From the first picture on there is always a coarser one.
    browser.wait("!!globalThis.viewer?.state.panes[0]?.view.layer?.get(0, 0, 0)");
    browser.value(WATCH);
    for _ in 0..6 {
        wheel(browser, 300.0, 250.0, -250.0);
    }
    browser.wait("(({ span, goal }) => span === goal)(viewer.state.panes[0].place)");
    drag(browser, (500.0, 400.0), (120.0, 200.0), 20);
    drag(browser, (120.0, 300.0), (560.0, 420.0), 20);
    for _ in 0..8 {
        wheel(browser, 400.0, 500.0, 220.0);
    }
    for key in ["+", "ArrowRight", "ArrowDown", "+", "+", "ArrowLeft", "-", "0", "+", "+", "+", "+"] {
        browser.value("(document.querySelector('.pane').focus(), 0)");
        press(browser, key);
    }
    // A jump: what is seen then is complete, pixel by pixel.
    let (x, y) = full_resolution(browser, 2700.0, 1700.0);
    let dataset = Dataset::open(&path).unwrap();
    let tile = dataset.read_tile(&TileRequest::new(0, 10, 6)).unwrap();
    for (dx, dy) in [(0, 0), (13, 5), (90, 70)] {
        let at = ((1700 - 6 * 256 + dy) * tile.width as usize + 2700 - 10 * 256 + dx) * 3;
        let shown = pixel(browser, 0, x + dx as f64, y + dy as f64);
        assert_eq!(shown[..3], tile.bytes[at..at + 3].iter().map(|s| u64::from(*s)).collect::<Vec<_>>());
    }
    let frames = number(browser, "frames");
    assert!(frames > 20.0, "{frames} frames");
    assert_eq!(browser.value("blank"), json!([]), "of {frames} frames");
    assert_quiet(browser);

    // A page that goes takes its view along.
    assert_eq!(counts(&server, "requests", ["views"]), [1]);
    browser.open("about:blank");
    while counts(&server, "requests", ["views"]) != [0] {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn who_zooms_out_sees_what_was_there_until_the_coarser_tiles_come() {
    let Some(mut browser) = Browser::start() else { return };
    let browser = &mut browser;
    let (_folder, path) = raster();
    let server = start(&[], &path);
    open(browser, &server);
    browser.wait("!!globalThis.viewer?.state.panes[0]?.view.layer?.get(0, 0, 0)");
    full_resolution(browser, 1500.0, 1000.0);
    browser.value(WATCH);
    // From now on nothing comes.
    browser.value(
        "(() => { const v = viewer.state.panes[0].view, stamp = v.stamp.bind(v); v.layer.want = () => {}; \
         for (const key of [...v.layer.tiles.keys()]) if (!/^(0|4)\\//.test(key)) v.layer.drop(key); \
         globalThis.drawn = new Set(); v.stamp = (picture, layer, place, paint) => { drawn.add(place.join('/')); \
         stamp(picture, layer, place, paint); }; v.zoom(1 / 4, 500, 350, true); return 0; })()",
    );
    browser.wait("!viewer.state.panes[0].view.frame && viewer.state.panes[0].view.scale < 0.3");
    let sharp = number(browser, "[...drawn].filter((key) => key.startsWith('4/')).length");
    assert!(sharp >= 12.0, "{sharp} tiles of full resolution: {}", browser.value("[...drawn].join(' ')"));
    let frames = number(browser, "frames");
    browser.wait(&format!("frames > {frames} + 1"));
    assert_eq!(browser.value("blank"), json!([]));
    assert_quiet(browser);
}

#[test]
fn what_is_passed_by_in_a_hurry_is_not_read() {
    let Some(mut browser) = Browser::start() else { return };
    let browser = &mut browser;
    let (_folder, path) = raster();
    let server = start(&["--latency-ms", "500", "--threads", "2"], &path);
    open(browser, &server);
    browser.wait(SETTLED);
    let before = line(&server, "begun");
    browser.value(COUNT);
    // All over the raster and through all zooms, so fast that nothing comes.
    browser.value(
        "(async () => { const { view } = viewer.state.panes[0], { place } = view; for (let i = 0; i < 40; i++) { \
         const span = view.dataset.width * 2 ** -(i % 3); Object.assign(place, { span, goal: span, anchor: null, \
         moved: true, x: (i * 0.37) % 1, y: (i * 0.73) % 1 }); place.changed(); \
         await new Promise((done) => setTimeout(done, 30)); } return 0; })()",
    );
    let (x, y) = full_resolution(browser, 300.0, 300.0);
    let (wanted, read) = (number(browser, "wanted") as u64, line(&server, "begun") - before);
    assert!(wanted > 200 && read < wanted / 2, "{wanted} tiles were wanted, {read} blocks read for them");
    let [cancelled, dropped, failed] = counts(&server, "requests", ["cancelled", "dropped", "failed"]);
    assert!(cancelled > 20 && dropped > 20, "{cancelled} requests taken back, {dropped} never begun");
    assert_eq!(failed, 0);
    let tile = Dataset::open(&path).unwrap().read_tile(&TileRequest::new(0, 1, 1)).unwrap();
    let at = ((300 - 256) * tile.width as usize + 300 - 256) * 3;
    assert_eq!(pixel(browser, 0, x, y)[..3], tile.bytes[at..at + 3].iter().map(|s| u64::from(*s)).collect::<Vec<_>>());
    assert_quiet(browser);

    // The panel tells.
    let shown = "(name) => [...document.querySelectorAll('#requests dt')].find((term) => term.textContent === name)\
                 ?.nextSibling.textContent";
    browser.wait(&format!("Number(({shown})('never begun')) >= {dropped}"));
    browser.wait(&format!("Number(({shown})('taken back')) >= {cancelled}"));
}

#[test]
fn a_pan_finds_what_was_loaded_ahead_of_it() {
    let Some(mut browser) = Browser::start() else { return };
    let browser = &mut browser;
    let (_folder, path) = raster();
    let server = start(&["--latency-ms", "5"], &path);
    open(browser, &server);
    browser.wait(SETTLED);
    full_resolution(browser, 500.0, 900.0);
    browser.value("(document.querySelector('.pane').focus(), 0)");
    for _ in 0..14 {
        press(browser, "ArrowRight");
        browser.wait(SETTLED);
        // As long as somebody looks at it.
        browser.wait("fetch('/api/stats').then((r) => r.json()).then(({ requests: r }) => r.queued + r.running === 0)");
    }
    let [ahead, used, wasted] = counts(&server, "requests", ["prefetched", "prefetch_used", "prefetch_wasted"]);
    assert!(used >= 4 && ahead >= used + wasted, "{ahead} loaded ahead, {used} used, {wasted} wasted");
    assert_quiet(browser);
}

#[test]
fn a_tile_that_failed_is_asked_for_again_after_a_while() {
    let Some(mut browser) = Browser::start() else { return };
    let browser = &mut browser;
    let (_folder, path) = raster();
    let server = start(&[], &path);
    open(browser, &server);
    browser.wait(SETTLED);
    // One tile does not come at first, nor when it is asked for again.
    browser.value(
        "(() => { const ask = fetch; globalThis.asked = 0; globalThis.fetch = (url, how) => /\\/4\\/2\\/1\\./.test(url) \
         && ++asked < 3 ? Promise.resolve(new Response('{\"error\": \"not now\"}', { status: 503 })) : ask(url, how); \
         return 0; })()",
    );
    let (x, y) = full_resolution(browser, 600.0, 400.0);
    assert_eq!(number(browser, "asked"), 3.0);
    let tile = Dataset::open(&path).unwrap().read_tile(&TileRequest::new(0, 2, 1)).unwrap();
    let at = ((400 - 256) * tile.width as usize + 600 - 512) * 3;
    assert_eq!(pixel(browser, 0, x, y)[..3], tile.bytes[at..at + 3].iter().map(|s| u64::from(*s)).collect::<Vec<_>>());
    // Nothing is told that is not so any more.
    browser.wait("document.getElementById('error').hidden");
    assert_eq!(number(browser, "viewer.state.panes[0].view.layer.faults.size"), 0.0);

    // One that leaves the view is forgotten.
    browser.value("(viewer.state.panes[0].view.layer.drop('4/2/1'), asked = 1, 0)");
    browser.value("(viewer.state.panes[0].view.redraw(), 0)");
    browser.wait("viewer.state.panes[0].view.layer.faults.size === 1");
    browser.value("(document.querySelector('.pane').focus(), 0)");
    press(browser, "0");
    browser.wait(SETTLED);
    assert_eq!(number(browser, "viewer.state.panes[0].view.layer.faults.size"), 0.0);
    assert_quiet(browser);
}

#[test]
fn a_file_that_changes_is_shown_as_it_is_and_nothing_is_blank_meanwhile() {
    let Some(mut browser) = Browser::start() else { return };
    let browser = &mut browser;
    let (_folder, path) = raster();
    let server = start(&["--latency-ms", "20"], &path);
    open(browser, &server);
    browser.wait(SETTLED);
    let (x, y) = full_resolution(browser, 600.0, 400.0);
    browser.value(WATCH);
    let before = browser.value("viewer.state.panes[0].dataset.version");
    let other = path.with_extension("new");
    {
        use tiff_writer::{Blocks, Format, Image, TiffWriter};
        let image = Image { blocks: Blocks::Tiles(256, 256), n_bands: 3, ..Image::new(3000, 2000) };
        let mut writer = TiffWriter::new(File::create(&other).unwrap(), Format::default()).unwrap();
        writer.image(&image, |_, _, _| Some([10, 200, 30].repeat(256 * 256))).unwrap();
        writer.finish().unwrap();
    }
    age(&other, 2);
    std::fs::rename(&other, &path).unwrap();
    browser.wait(&format!("viewer.state.panes[0].dataset.version !== {before} && {SETTLED}"));
    assert_eq!(pixel(browser, 0, x, y), [10, 200, 30, 255]);
    assert_eq!(browser.value("blank"), json!([]));
    assert_quiet(browser);

    // A file that goes away is named, what was seen stays, and it is shown again when it is back.
    let away = path.with_extension("away");
    std::fs::rename(&path, &away).unwrap();
    browser.wait("document.getElementById('error').textContent.includes('a picture.tif')");
    assert_eq!(pixel(browser, 0, x, y), [10, 200, 30, 255]);
    std::fs::rename(&away, &path).unwrap();
    browser.wait("document.getElementById('error').hidden");
    browser.wait(SETTLED);
    assert_eq!(browser.value("blank"), json!([]));
    assert_quiet(browser);
}
