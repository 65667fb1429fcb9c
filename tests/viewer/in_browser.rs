//! The page in a browser: tiles appear, controls act, nothing is blank meanwhile, and nobody complains.

use serde_json::{Value, json};
use tilekeep::{Dataset, Encoding, Style, TileRequest};

use crate::browser::Browser;
use crate::program::Server;
use crate::{counts, files, rgba};

/// Everything that is wanted is on the screen.
pub(crate) const SETTLED: &str = "globalThis.viewer?.settled() === true";

/// The colour of a pixel of a pane's canvas, by what the browser holds.
pub(crate) fn pixel(browser: &mut Browser, pane: usize, x: f64, y: f64) -> Vec<u64> {
    let script = format!(
        "Array.from(document.querySelectorAll('.pane canvas')[{pane}].getContext('2d').getImageData({x}, {y}, 1, 1).data)"
    );
    browser.value(&script).as_array().unwrap().iter().map(|part| part.as_u64().unwrap()).collect()
}

/// Changes a control as a person would.
fn set(browser: &mut Browser, id: &str, value: &str) {
    browser.value(&format!(
        "{{ const e = document.getElementById('{id}'); e.value = {}; e.dispatchEvent(new Event('input', {{bubbles: true}})); \
         e.dispatchEvent(new Event('change', {{bubbles: true}})); 0 }}",
        json!(value)
    ));
}

fn click(browser: &mut Browser, selector: &str) {
    browser.value(&format!("(document.querySelector({}).click(), 0)", json!(selector)));
}

/// Makes one pixel of the screen one of full resolution, at rest; gives where `x, y` of the raster is in the pane.
pub(crate) fn full_resolution(browser: &mut Browser, x: f64, y: f64) -> (f64, f64) {
    let script = format!(
        "{{ const v = viewer.state.panes[0].view, p = v.place, d = v.dataset; \
         Object.assign(p, {{ span: d.width, goal: d.width, anchor: null, moved: true }}); \
         p.x = (Math.round({x} - v.size.width / 2) + v.size.width / 2) / d.width; \
         p.y = (Math.round({y} - v.size.height / 2) + v.size.height / 2) / d.height; p.changed(); \
         [{x} - p.x * d.width + v.size.width / 2, {y} - p.y * d.height + v.size.height / 2] }}"
    );
    let at = browser.value(&script);
    browser.wait(SETTLED);
    (at[0].as_f64().unwrap().round(), at[1].as_f64().unwrap().round())
}

pub(crate) fn number(browser: &mut Browser, script: &str) -> f64 {
    browser.value(script).as_f64().unwrap_or_else(|| panic!("{script} is no number"))
}

pub(crate) fn wheel(browser: &mut Browser, x: f64, y: f64, by: f64) {
    let event = json!({ "type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": by });
    browser.call("Input.dispatchMouseEvent", event);
}

pub(crate) fn press(browser: &mut Browser, key: &str) {
    browser.call(
        "Input.dispatchKeyEvent",
        json!({ "type": "keyDown", "key": key, "text": if key.len() == 1 { key } else { "" } }),
    );
    browser.call("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key }));
}

/// Every term and control in the panel is one line, and nothing reaches over its side.
fn assert_fits(browser: &mut Browser) {
    browser.wait("document.querySelectorAll('#tile-counts dd').length > 0");
    let wide = "(() => { const p = document.getElementById('panel'), side = p.getBoundingClientRect().right; \
                return [...p.querySelectorAll('*')].filter((e) => e.getBoundingClientRect().right > side + 0.5 || \
                (e.matches('dt, dd, h2, h3, button span') && e.getBoundingClientRect().height > 30) || \
                (e.matches('dt, dd, button, .check') && e.scrollWidth > e.clientWidth + 1)) \
                .map((e) => `${e.tagName} ${e.id} ${e.textContent}`); })()";
    assert_eq!(browser.value(wide), json!([]));
    assert_eq!(
        browser.value("document.getElementById('panel').scrollWidth <= document.getElementById('panel').clientWidth"),
        true
    );
}

pub(crate) fn assert_quiet(browser: &Browser) {
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}

#[test]
fn the_page_shows_the_pixels_that_the_library_makes_and_its_controls_act() {
    let Some(mut browser) = Browser::start() else { return };
    let browser = &mut browser;
    let files = files();
    let server = Server::start(&[&files.picture, &files.heights]);
    let dataset = Dataset::open(&files.picture).unwrap();
    browser.resize(1280, 800, false);
    browser.open(&format!("http://127.0.0.1:{}/", server.port));
    browser.wait(SETTLED);
    browser.keep_picture("first");
    assert_fits(browser);
    // Whatever a size is, it takes no more than three digits before the point, for which there is room.
    let widest = "(async () => { const { bytes } = await import('/web/cache.js'); \
                  return [0, 999, 1000, 102400, 1006 * 2 ** 20, 999.4 * 2 ** 30].map(bytes) })()";
    let texts = ["0 B", "999 B", "1.0 KiB", "100 KiB", "1.0 GiB", "999 GiB"];
    assert_eq!(browser.value(widest), json!(texts));
    browser.resize(1280, 1500, false);
    browser.wait(SETTLED);
    assert_fits(browser);
    browser.keep_picture("tall");
    browser.resize(1280, 800, false);
    browser.wait(SETTLED);

    // Every pixel of the raster is where it should be.
    let (x, y) = full_resolution(browser, 300.0, 280.0);
    let tile = dataset.read_tile(&TileRequest::new(0, 1, 1)).unwrap();
    for (dx, dy) in [(0, 0), (9, 0), (0, 17), (100, 60)] {
        let at = ((280 - 256 + dy) * tile.width as usize + 300 - 256 + dx) * 3;
        let shown = pixel(browser, 0, x + dx as f64, y + dy as f64);
        assert_eq!(
            shown[..3],
            tile.bytes[at..at + 3].iter().map(|s| u64::from(*s)).collect::<Vec<_>>(),
            "({dx}, {dy})"
        );
    }

    // Another style is seen as the library makes it; on the way there is always a picture.
    let before = pixel(browser, 0, x, y);
    browser.value(
        "{ globalThis.blank = 0; const c = document.querySelector('.pane canvas'); const watch = () => { \
         const p = c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data; \
         if (p[0] === 0x13 && p[1] === 0x14 && p[2] === 0x16 || p[0] === 0x1d && p[1] === 0x1f && p[2] === 0x22) blank++; \
         requestAnimationFrame(watch); }; watch(); 0 }",
    );
    set(browser, "mode", "single");
    set(browser, "palette", "viridis");
    set(browser, "min", "20");
    set(browser, "max", "200");
    set(browser, "gamma", "0.2");
    browser.wait(SETTLED);
    let text = browser.value("new URLSearchParams(viewer.state.panes[0].view.layer.query).get('style')");
    let request =
        TileRequest::new(0, 1, 1).style(Style::parse(text.as_str().unwrap()).unwrap()).encoding(Encoding::Png);
    let (width, _, pixels) = rgba(&dataset.read_tile(&request).unwrap().bytes);
    let after = pixel(browser, 0, x, y);
    let wanted = pixels[(280 - 256) * width as usize + 300 - 256];
    assert_eq!(after, wanted.map(u64::from), "{text}");
    assert_ne!(after, before);
    assert_eq!(browser.value("blank"), 0, "frames without a picture");

    // The wheel keeps the point below it, keys move and bring the whole back.
    let under = "(() => { const p = viewer.state.panes[0].view.at(400, 300); return [p.x, p.y]; })()";
    let (was, scale) = (browser.value(under), number(browser, "viewer.state.panes[0].view.scale"));
    wheel(browser, 400.0, 300.0, -400.0);
    browser.wait("(({ span, goal }) => span === goal)(viewer.state.panes[0].place)");
    browser.wait(&format!("viewer.state.panes[0].view.scale > {}", scale * 1.5));
    let is = browser.value(under);
    for side in [0, 1] {
        let apart = (was[side].as_f64().unwrap() - is[side].as_f64().unwrap()).abs();
        assert!(apart < 1.0, "{was} became {is}");
    }
    browser.value("(document.querySelector('.pane').focus(), 0)");
    let left = number(browser, "viewer.state.panes[0].place.x");
    press(browser, "ArrowRight");
    assert!(number(browser, "viewer.state.panes[0].place.x") > left);
    press(browser, "0");
    browser.wait("(({ x, y, moved }) => x === 0.5 && y === 0.5 && !moved)(viewer.state.panes[0].place)");
    browser.wait(SETTLED);

    // The budget is the library's.
    let stats = server.json("/api/stats")["datasets"]["a-picture"]["max_bytes"].clone();
    browser.wait("document.getElementById('budget-text').textContent !== ''");
    set(browser, "budget", "250");
    browser.wait("document.getElementById('counts').textContent.includes(' of ')");
    let budget = loop {
        let now = server.json("/api/stats")["datasets"]["a-picture"]["max_bytes"].clone();
        if now != stats {
            break now;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    // A quarter of the way from 1 to 16 MiB in equal factors is 2.
    let budget = budget.as_f64().unwrap() / f64::from(1 << 20);
    assert!((budget - 2.0).abs() < 0.05, "{budget} MiB");
    browser.wait("document.getElementById('counts').textContent.includes('2.0 MiB')");

    // When the browser keeps nothing, the server is asked for what was seen before.
    browser.value("(performance.setResourceTimingBufferSize(10000), 0)");
    let there_and_back = |browser: &mut Browser| {
        for key in ["-", "-", "-", "-", "0"] {
            press(browser, key);
            browser.wait(SETTLED);
        }
        number(browser, "performance.getEntriesByType('resource').filter((of) => of.name.includes('/xyz/')).length")
    };
    let kept = there_and_back(browser);
    assert_eq!(there_and_back(browser), kept);
    click(browser, "#keep");
    assert!(there_and_back(browser) >= kept + 15.0);
    click(browser, "#keep");

    // So is that of rendered tiles, and what it did is shown.
    let set_tiles = |browser: &mut Browser, step: &str, text: &str, bytes: std::ops::Range<u64>| {
        set(browser, "tile-budget", step);
        browser.wait(&format!("document.getElementById('tile-budget-text').textContent === '{text}'"));
        browser.wait("viewer.state.stats.tiles.max_bytes === viewer.state.tiles.chosen");
        let [max, used] = counts(&server, "tiles", ["max_bytes", "bytes"]);
        assert!(bytes.contains(&max) && used <= max, "{used} of {max} bytes");
    };
    set_tiles(browser, "0", "none", 0..1);
    set_tiles(browser, "1", "1.0 MiB", (1 << 20)..(1 << 20) + 20_000);
    let shown = "(name) => [...document.querySelectorAll('#tile-counts dt')].find((term) => term.textContent === name)\
                 ?.nextSibling.textContent";
    let rendered = counts(&server, "tiles", ["rendered"])[0];
    browser.wait(&format!("({shown})('rendered') === '{rendered}'"));
    browser.wait(&format!("({shown})('bytes of budget').endsWith(' of 1.0 MiB')"));

    // Tiles come in other forms.
    for (form, content_type) in [("webp?quality=lossless", "image/webp"), ("jpg?quality=50", "image/jpeg")] {
        set(browser, "encoding", form);
        browser.wait(SETTLED);
        let last = "performance.getEntriesByType('resource').findLast((of) => of.name.includes('/xyz/'))";
        let url = browser.value(&format!("{last}.name")).as_str().unwrap().to_owned();
        let path = url.split_once(&format!(":{}", server.port)).unwrap().1.to_owned();
        assert_eq!(server.get(&path).header("content-type"), Some(content_type), "{path}");
        let near = pixel(browser, 0, x, y).iter().zip(&after).all(|(a, b)| a.abs_diff(*b) < 40);
        assert!(near, "{form}");
    }
    set(browser, "encoding", "png");
    browser.wait(SETTLED);

    // A style with a mistake is told in the library's words, and the picture stays.
    assert_quiet(browser);
    let shown = pixel(browser, 0, x, y);
    set(browser, "mode", "json");
    set(browser, "json", r#"{"bands": [{"palete": "viridis"}]}"#);
    browser.wait("document.getElementById('error').textContent.includes('bands[0].palete')");
    browser.wait(SETTLED);
    assert_eq!(pixel(browser, 0, x, y), shown);
    set(browser, "mode", "single");
    browser.wait("document.getElementById('error').hidden");
    browser.wait(SETTLED);
    assert_eq!(pixel(browser, 0, x, y), shown);
    browser.complaints.retain(|complaint| !(complaint.contains("palete") && complaint.contains("400")));
    assert_quiet(browser);
}

#[test]
fn two_views_move_together_and_a_phone_has_room_for_everything() {
    let Some(mut browser) = Browser::start() else { return };
    let browser = &mut browser;
    let files = files();
    let server = Server::start(&[&files.picture, &files.heights]);
    browser.resize(1280, 800, false);
    browser.open(&format!("http://127.0.0.1:{}/", server.port));
    browser.wait(SETTLED);
    click(browser, "#two");
    browser.wait(&format!("viewer.state.panes.length === 2 && {SETTLED}"));
    let names = browser.value("viewer.state.panes.map((pane) => pane.dataset.id)");
    assert_eq!(names, json!(["a-picture", "heights"]));
    let ids =
        browser.value("viewer.state.panes.map((pane) => pane.view.canvas.width > 300 && pane.view.place.span > 0)");
    assert_eq!(ids, json!([true, true]));
    wheel(browser, 200.0, 400.0, -300.0);
    browser.wait(&format!("viewer.state.panes[0].place.moved && {SETTLED}"));
    let places = |browser: &mut Browser| -> Vec<Value> {
        let script = "viewer.state.panes.map(({ view: { place } }) => [place.x, place.y, place.span])";
        browser.value(script).as_array().unwrap().clone()
    };
    let together = places(browser);
    assert_eq!(together[0], together[1]);
    click(browser, "#sync");
    browser.value("(document.querySelectorAll('.pane')[1].focus(), 0)");
    press(browser, "ArrowLeft");
    let apart = places(browser);
    assert_eq!(apart[0], together[0]);
    assert_ne!(apart[1], together[1]);

    // The controls are those of the view that was touched, and its histogram is drawn.
    browser.wait("document.getElementById('active').textContent === 'heights.tif'");
    let drawn = "(() => { const c = document.getElementById('histogram'); const d = c.getContext('2d')\
                 .getImageData(0, 0, c.width, c.height).data; return d.some((v, i) => i % 4 === 0 && v === 0x8b); })()";
    browser.wait(drawn);
    browser.wait(SETTLED);
    browser.keep_picture("two");

    browser.resize(390, 844, true);
    browser.open(&format!("http://127.0.0.1:{}/?phone", server.port));
    browser.wait(SETTLED);
    let whole = "viewer.state.panes[0].view.size.height > 500 && document.documentElement.scrollWidth <= innerWidth";
    browser.wait(whole);
    // Two fingers that part zoom in.
    let scale = number(browser, "viewer.state.panes[0].view.scale");
    for (kind, apart) in [("touchStart", 40), ("touchMove", 60), ("touchMove", 120), ("touchEnd", 0)] {
        let finger = |id: i32, side: i32| json!({ "x": 195 + side * apart, "y": 400, "id": id });
        let points = if kind == "touchEnd" { json!([]) } else { json!([finger(0, -1), finger(1, 1)]) };
        browser.call("Input.dispatchTouchEvent", json!({ "type": kind, "touchPoints": points }));
    }
    browser.wait(&format!("viewer.state.panes[0].view.scale > {}", scale * 1.5));
    click(browser, "#toggle");
    browser.wait("document.getElementById('panel').clientHeight > 200");
    browser.wait("document.documentElement.scrollWidth <= innerWidth");
    browser.wait(SETTLED);
    assert_fits(browser);
    browser.keep_picture("phone");
    assert_quiet(browser);
}
