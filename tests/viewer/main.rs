//! The viewer of the examples: what its URLs give, and what its page shows in a browser.
#![cfg(unix)]

mod browser;
mod in_browser;
mod program;
mod slow;
mod views_over_http;

/// The program's parts, for the tests that they bring: an example that is tested is not built as a program.
macro_rules! parts {
    ($($name:ident $path:literal)*) => { $(#[path = $path] #[allow(dead_code)] mod $name;)* };
}

parts! {
    api "../../examples/viewer/api.rs"
    catalog "../../examples/viewer/catalog.rs"
    grid "../../examples/viewer/grid.rs"
    message "../../examples/viewer/message.rs"
    options "../../examples/viewer/options.rs"
    page "../../examples/viewer/page.rs"
    picture "../../examples/viewer/picture.rs"
    reduced "../../examples/viewer/reduced.rs"
    routes "../../examples/viewer/routes.rs"
    server "../../examples/viewer/server.rs"
    soon "../../examples/viewer/soon.rs"
    views "../../examples/viewer/views.rs"
    tiff_writer "../../examples/support/tiff_writer.rs"
}

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tilekeep::{Dataset, Encoding, Style, TileRequest, WindowRequest};

use program::Server;

/// Text as part of a URL.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// A folder with a picture of 1100 x 700 pixels, heights of 600 x 600, and a raster whose one overview is a third as wide.
pub(crate) struct Files {
    _folder: tempfile::TempDir,
    pub(crate) picture: PathBuf,
    pub(crate) heights: PathBuf,
    thirds: PathBuf,
}

pub(crate) fn files() -> Files {
    use tiff_writer::{Blocks, Format, Image, TiffWriter};
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let files = Files {
        picture: file("a picture.tif"),
        heights: file("heights.tif"),
        thirds: file("thirds.tif"),
        _folder: folder,
    };
    tiff_writer::sample_pyramid(&files.picture, 1100, 700).unwrap();
    tiff_writer::sample_elevations(&files.heights, 600, 600).unwrap();
    let image = Image { blocks: Blocks::Tiles(256, 256), ..Image::new(900, 900) };
    let mut writer = TiffWriter::new(std::fs::File::create(&files.thirds).unwrap(), Format::default()).unwrap();
    let tile = |step: u32, col: u32, row: u32| {
        let places = (0..256).flat_map(move |y| (0..256).map(move |x| (col * 256 + x, row * 256 + y)));
        Some(places.map(|(x, y)| ((x + y) * step / 8) as u8).collect())
    };
    writer.image(&image, |_, col, row| tile(1, col, row)).unwrap();
    writer.image(&image.reduced(3), |_, col, row| tile(3, col, row)).unwrap();
    writer.finish().unwrap();
    // Of files that changed a moment ago nothing is kept for other processes.
    for path in [&files.picture, &files.heights, &files.thirds] {
        let file = std::fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    }
    files
}

/// Changes a budget, and gives what it came to.
fn set_budget(server: &Server, of: &str, bytes: &Value) -> Value {
    let body = json!({ "bytes": bytes }).to_string();
    let as_json = [("content-type", "application/json")];
    let reply = server.ask("POST", &format!("/api/{of}/budget"), &as_json, body.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_slice::<Value>(&reply.body).unwrap()["max_bytes"].clone()
}

/// Some of the counts of `/api/stats`.
fn counts<const N: usize>(server: &Server, of: &str, names: [&str; N]) -> [u64; N] {
    let stats = server.json("/api/stats");
    names.map(|name| stats[of][name].as_u64().unwrap_or_else(|| panic!("{name} in {stats}")))
}

/// Width, height, and red, green, blue and opacity of every pixel.
pub(crate) fn rgba(png: &[u8]) -> (u32, u32, Vec<[u8; 4]>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
    decoder.set_transformations(png::Transformations::normalize_to_color8() | png::Transformations::ALPHA);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let pixels = match info.color_type {
        png::ColorType::Rgba => pixels.as_chunks().0.to_vec(),
        _ => pixels.as_chunks().0.iter().map(|[gray, alpha]| [*gray, *gray, *gray, *alpha]).collect(),
    };
    (info.width, info.height, pixels)
}

#[test]
#[cfg(target_os = "linux")]
fn how_much_memory_there_is_and_what_caches_may_have_of_it_is_told() {
    let files = files();
    let server = Server::start(&[&files.picture]);
    let pressure = server.json("/api/stats")["pressure"].clone();
    let number = |key: &str| pressure[key].as_u64().unwrap_or_else(|| panic!("{key}: {pressure}"));
    assert!((1..number("limit_bytes")).contains(&number("used_bytes")), "{pressure}");
    assert!(number("max_bytes") <= number("wanted_bytes"), "{pressure}");
    assert!(["none", "moderate", "critical"].map(Some).contains(&pressure["level"].as_str()), "{pressure}");
}

#[test]
fn the_three_grids_give_the_tiles_that_the_library_gives() {
    let files = files();
    let server = Server::start(&[&files.picture]);
    let dataset = Dataset::open(&files.picture).unwrap();
    // Zoom or level of each, level of the dataset, column and row; IIIF's region and size.
    for (xyz, deep_zoom, level, (col, row), iiif) in [
        ("3/2/1", "11/2_1", 0, (2, 1), "512,256,256,256/256,256"),
        ("3/4/2", "11/4_2", 0, (4, 2), "1024,512,76,188/76,188"),
        ("2/1/1", "10/1_1", 1, (1, 1), "512,512,512,188/256,94"),
        ("1/0/0", "9/0_0", 2, (0, 0), "0,0,1024,700/256,175"),
        ("0/0/0", "8/0_0", 3, (0, 0), "0,0,1100,700/138,88"),
    ] {
        let request = TileRequest::new(level, col, row).style(Style::default());
        let mut endings = vec![
            ("png", "image/png", Encoding::Png),
            ("jpg", "image/jpeg", Encoding::jpeg(85)),
            ("jpg?quality=40", "image/jpeg", Encoding::jpeg(40)),
            ("webp?quality=lossless", "image/webp", Encoding::WebPLossless),
        ];
        if cfg!(feature = "libwebp") {
            endings.push(("webp", "image/webp", Encoding::webp(85)));
            endings.push(("webp?quality=40", "image/webp", Encoding::webp(40)));
        }
        for (ending, content_type, encoding) in endings {
            let same = dataset.read_tile(&request.clone().encoding(encoding)).unwrap();
            for path in [
                format!("/a-picture/xyz/{xyz}.{ending}"),
                format!("/a-picture_files/{deep_zoom}.{ending}"),
                format!("/iiif/a-picture/{iiif}/0/default.{ending}"),
            ] {
                let reply = server.get(&path);
                assert_eq!((reply.status, reply.header("content-type")), (200, Some(content_type)), "{path}");
                assert!(reply.body == same.bytes[..], "{path}");
            }
        }
        // The picture has 8 bits, so that its own colours are shown.
        let raw = dataset.read_tile(&TileRequest::new(level, col, row)).unwrap();
        let (width, height, pixels) = rgba(&server.get(&format!("/a-picture/xyz/{xyz}.png")).body);
        assert_eq!((width, height), (raw.width, raw.height));
        assert!(pixels.iter().zip(raw.bytes.as_chunks::<3>().0).all(|(shown, raw)| shown[..3] == raw[..]));
    }
}

#[test]
fn the_tiles_of_a_zoom_make_up_its_level() {
    let files = files();
    let server = Server::start(&[&files.picture]);
    let dataset = Dataset::open(&files.picture).unwrap();
    for (z, number) in [(3, 0), (2, 1)] {
        let level = dataset.levels()[number as usize];
        let mut whole = vec![0; (level.width * level.height * 3) as usize];
        dataset.read_window(&WindowRequest::new(number, level.window()), &mut whole).unwrap();
        let mut n_pixels = 0;
        for (col, row) in
            (0..level.height.div_ceil(256)).flat_map(|y| (0..level.width.div_ceil(256)).map(move |x| (x, y)))
        {
            let (width, _, pixels) = rgba(&server.get(&format!("/a-picture/xyz/{z}/{col}/{row}.png")).body);
            for (i, pixel) in pixels.iter().enumerate() {
                let (x, y) = (col as usize * 256 + i % width as usize, row as usize * 256 + i / width as usize);
                assert_eq!(pixel[..3], whole[(y * level.width as usize + x) * 3..][..3], "zoom {z}: ({x}, {y})");
            }
            n_pixels += pixels.len() as u64;
        }
        assert_eq!(n_pixels, level.width * level.height);
    }
}

#[test]
fn zooms_that_the_file_has_no_level_for_are_made() {
    let files = files();
    let server = Server::start(&[&files.thirds, &files.picture]);
    // 900 / 4 is neither a stored level nor one that is filled in.
    let (width, height, pixels) = rgba(&server.get("/thirds/xyz/0/0/0.png").body);
    assert_eq!((width, height), (225, 225));
    for (x, y) in [(0, 0), (10, 20), (100, 50)] {
        let shown = i32::from(pixels[y * 225 + x][0]);
        let wanted = ((4.0 * (x + y) as f64 + 3.0) / 8.0) as i32;
        assert!((shown - wanted).abs() <= 2, "({x}, {y}): {shown}, not {wanted}");
    }
    for (level, size) in [(0, (1, 1)), (3, (5, 3)), (7, (69, 44))] {
        let (width, height, pixels) = rgba(&server.get(&format!("/a-picture_files/{level}/0_0.png")).body);
        assert_eq!((width, height), size, "level {level}");
        assert!(pixels.iter().all(|pixel| pixel[3] == 255));
    }
}

#[test]
fn a_style_in_the_query_makes_other_pictures_and_a_wrong_one_is_named() {
    let files = files();
    let server = Server::start(&[&files.heights]);
    let dataset = Dataset::open(&files.heights).unwrap();
    let text = r#"{"bands": [{"band": 1, "min": -100, "max": 2000, "palette": "viridis", "nodata": "auto"}]}"#;
    let reply = server.get(&format!("/heights/xyz/2/0/1.png?style={}", escaped(text)));
    let request = TileRequest::new(0, 0, 1).style(Style::parse(text).unwrap()).encoding(Encoding::Png);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.body == dataset.read_tile(&request).unwrap().bytes[..]);
    assert_ne!(reply.body, server.get("/heights/xyz/2/0/1.png").body);

    for (query, words) in [
        (format!("style={}", escaped(r#"{"bands": [{"palete": "viridis"}]}"#)), "bands[0].palete"),
        (format!("style={}", escaped(r#"{"bands": [{"band": 7}]}"#)), "bands[0].band"),
        ("style={".to_owned(), "JSON"),
        // Floats as they are fit in no file.
        (format!("style={}", escaped("{}")), "range"),
        ("frame=1".to_owned(), "frame"),
        ("frame=x".to_owned(), "frame: x"),
    ] {
        let reply = server.get(&format!("/heights/xyz/2/0/1.png?{query}"));
        assert!(reply.status == 400 && reply.text().contains(words), "{query}: {} {}", reply.status, reply.text());
    }
    for (ending, words) in
        [("jpg?quality=101", "101"), ("webp?quality=0", "quality 0"), ("jpg?quality=lossless", "lossless")]
    {
        let reply = server.get(&format!("/heights/xyz/2/0/1.{ending}"));
        assert!(reply.status == 400 && reply.text().contains(words), "{ending}: {}", reply.text());
    }
}

#[test]
fn webp_tiles_have_the_pixels_of_png_tiles() {
    let files = files();
    let server = Server::start(&[&files.picture]);
    let decoded = |ending: &str| -> (u32, u32, Vec<[u8; 4]>) {
        let reply = server.get(&format!("/a-picture/xyz/2/1/1.{ending}"));
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("image/webp")), "{}", reply.text());
        let mut decoder = image_webp::WebPDecoder::new(std::io::Cursor::new(reply.body)).unwrap();
        let mut pixels = vec![0; decoder.output_buffer_size().unwrap()];
        decoder.read_image(&mut pixels).unwrap();
        let colors = match decoder.has_alpha() {
            true => pixels.as_chunks().0.to_vec(),
            false => pixels.as_chunks().0.iter().map(|[r, g, b]| [*r, *g, *b, 255]).collect(),
        };
        (decoder.dimensions().0, decoder.dimensions().1, colors)
    };
    let png = rgba(&server.get("/a-picture/xyz/2/1/1.png").body);
    assert_eq!(decoded("webp?quality=lossless"), png);
    if cfg!(feature = "libwebp") {
        let lossy = decoded("webp?quality=95");
        assert_eq!((lossy.0, lossy.1), (png.0, png.1));
        let far = |(a, b): (&[u8; 4], &[u8; 4])| a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>();
        let apart: u64 = lossy.2.iter().zip(&png.2).map(far).sum();
        assert!(apart > 0 && apart < 4 * 4 * png.2.len() as u64, "{apart}");
    } else {
        let reply = server.get("/a-picture/xyz/2/1/1.webp");
        assert!(reply.status == 400 && reply.text().contains("libwebp"), "{}", reply.text());
    }
}

#[test]
fn a_client_that_has_a_picture_is_not_sent_it_again() {
    let files = files();
    let server = Server::start(&[&files.heights]);
    let path = "/heights/xyz/1/0/0.png";
    let first = server.get(path);
    let tag = first.header("etag").unwrap();
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    let again = server.ask("GET", path, &[("if-none-match", tag)], b"");
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag)));
    // Another spelling of the same picture is the same; another picture, or another file, is not.
    let of = |query: &str| server.get(&format!("{path}?{query}")).header("etag").unwrap().to_owned();
    let styled = |style: &str| of(&format!("style={}", escaped(style)));
    assert_eq!(styled("null"), tag);
    assert_eq!(styled(r#"{"min": 0, "max": 9}"#), styled(r#"{"bands": [{"max": "9.0", "min": 0.0}]}"#));
    assert_ne!(styled(r#"{"min": 0, "max": 9}"#), styled(r#"{"min": 0, "max": 8}"#));
    assert_ne!(server.get("/heights/xyz/1/1/0.png").header("etag"), Some(tag));
    let version = server.json("/api/datasets")[0]["version"].as_str().unwrap().to_owned();
    let by_version = server.get(&format!("{path}?v={version}"));
    assert!(by_version.header("cache-control").unwrap().ends_with("immutable"));

    tiff_writer::sample_elevations(&files.heights, 600, 600).unwrap();
    let other = Server::start(&[&files.heights]);
    assert_ne!(other.get(path).header("etag"), Some(tag));
}

#[test]
fn what_does_not_exist_or_is_not_allowed_says_so() {
    let files = files();
    let server = Server::start(&[&files.picture]);
    for path in [
        "/a-picture/xyz/3/5/0.png",
        "/a-picture/xyz/4/0/0.png",
        "/a-picture/xyz/3/-1/0.png",
        "/a-picture/xyz/3/0/99999999999999999999.png",
        "/a-picture/xyz/3/0/0",
        "/a-picture_files/12/0_0.png",
        "/a-picture_files/11/0.png",
        "/other/xyz/0/0/0.png",
        "/other.dzi",
        "/iiif/other/info.json",
        "/web/../main.rs",
        "/web/..%2Fmain.rs",
        "/../../../../etc/passwd",
        "/api/datasets/other/curve",
        "/api",
    ] {
        let reply = server.get(path);
        assert!(reply.status == 404 && reply.text().contains("not found"), "{path}: {} {}", reply.status, reply.text());
    }
    for path in [
        "/iiif/a-picture/0,0,256,256/256,256/90/default.jpg",
        "/iiif/a-picture/0,0,300,300/300,300/0/default.jpg",
        "/a-picture/xyz/0/0/0.gif",
        "/api/datasets/a-picture/histogram?band=0",
        "/api/datasets/a-picture/histogram?band=4",
        "/api/datasets/a-picture/histogram?bins=0",
        "/%ff",
    ] {
        assert_eq!(server.get(path).status, 400, "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let reply = server.ask(method, "/a-picture/xyz/0/0/0.png", &[("content-type", "application/json")], b"{}");
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    assert_eq!(server.ask("GET", "/api/datasets/a-picture/budget", &[], b"").header("allow"), Some("POST"));
    assert_eq!(server.ask("GET", "/", &[("host", "evil.example")], b"").status, 421);
    assert_eq!(server.ask("GET", "/", &[("x-long", &"x".repeat(200_000))], b"").status, 431);
    let head = server.ask("HEAD", "/a-picture/xyz/0/0/0.png", &[], b"");
    let length = server.get("/a-picture/xyz/0/0/0.png").body.len().to_string();
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, Some(length.as_str())));
    let budget = "/api/datasets/a-picture/budget";
    assert_eq!(server.ask("POST", budget, &[("content-type", "text/plain")], b"{\"bytes\": 0}").status, 415);
    let as_json = [("content-type", "application/json")];
    assert_eq!(server.ask("POST", budget, &as_json, &vec![b' '; 100_000]).status, 413);
    for body in ["", "{}", "[1]", r#"{"bytes": -1}"#, r#"{"bytes": "many"}"#] {
        assert_eq!(server.ask("POST", budget, &as_json, body.as_bytes()).status, 400, "{body}");
    }
}

#[test]
fn what_info_json_lists_can_be_had() {
    let files = files();
    let server = Server::start(&[&files.picture]);
    let base = server.get("/iiif/a-picture");
    assert_eq!((base.status, base.header("location")), (303, Some("/iiif/a-picture/info.json")));
    let info = server.json("/iiif/a-picture/info.json");
    assert_eq!(info["id"], format!("http://127.0.0.1:{}/iiif/a-picture", server.port));
    assert_eq!((info["type"].as_str(), info["profile"].as_str()), (Some("ImageService3"), Some("level0")));
    assert_eq!((info["width"].as_u64(), info["height"].as_u64()), (Some(1100), Some(700)));
    let sizes = info["sizes"].as_array().unwrap();
    assert_eq!(sizes.len(), 3);
    for size in sizes {
        let (width, height) = (size["width"].as_u64().unwrap(), size["height"].as_u64().unwrap());
        let (w, h, _) = rgba(&server.get(&format!("/iiif/a-picture/full/{width},{height}/0/default.png")).body);
        assert_eq!((u64::from(w), u64::from(h)), (width, height));
    }
    let (width, height, _) = rgba(&server.get("/iiif/a-picture/full/max/0/default.png").body);
    assert_eq!((width, height), (550, 350));
    let tiles = &info["tiles"][0];
    for factor in tiles["scaleFactors"].as_array().unwrap() {
        let factor = factor.as_u64().unwrap();
        let side = tiles["width"].as_u64().unwrap() * factor;
        for (x, y) in
            (0..700).step_by(side as usize).flat_map(|y| (0..1100).step_by(side as usize).map(move |x| (x, y)))
        {
            let (w, h) = (side.min(1100 - x), side.min(700 - y));
            let (width, height) = (w.div_ceil(factor), h.div_ceil(factor));
            let path = format!("/iiif/a-picture/{x},{y},{w},{h}/{width},{height}/0/default.png");
            let picture = rgba(&server.get(&path).body);
            assert_eq!((u64::from(picture.0), u64::from(picture.1)), (width, height), "{path}");
        }
    }
    let xml = server.get("/a-picture.dzi").text();
    assert!(xml.contains(r#"TileSize="256""#) && xml.contains(r#"<Size Width="1100" Height="700"/>"#), "{xml}");
}

#[test]
fn budgets_change_and_counts_tell() {
    let files = files();
    let server = Server::start(&[&files.picture, &files.heights]);
    for path in ["/a-picture/xyz/3/0/0.png", "/a-picture/xyz/3/0/0.png?quality=1", "/a-picture/xyz/3/1/0.png"] {
        assert_eq!(server.get(path).status, 200);
    }
    let counts = server.json("/api/stats")["datasets"]["a-picture"].clone();
    assert!(counts["hits"].as_u64() >= Some(1) && counts["loads"].as_u64() >= Some(2), "{counts}");
    let budget = |bytes: Value| {
        set_budget(&server, "datasets/a-picture", &bytes);
        server.json("/api/stats")["datasets"].clone()
    };
    let shared = counts["max_bytes"].as_u64().unwrap();
    let own = budget(json!(300_000));
    assert_eq!(own["a-picture"]["max_bytes"], 300_000);
    assert!(own["heights"]["max_bytes"].as_u64() >= Some(shared), "{own}");
    assert!(own["a-picture"]["bytes"].as_u64().unwrap() <= 300_000);
    assert_eq!(budget(json!(null))["a-picture"]["max_bytes"].as_u64(), Some(shared));

    let curve = server.json("/api/datasets/a-picture/curve");
    let ratios: Vec<f64> = curve["points"].as_array().unwrap().iter().map(|point| point[1].as_f64().unwrap()).collect();
    assert!(ratios.len() > 10 && ratios.is_sorted() && *ratios.last().unwrap() > 0.0, "{ratios:?}");
    let histogram = server.json("/api/datasets/heights/histogram?band=1&bins=64");
    let same = Dataset::open(&files.heights).unwrap().histogram(0, 0, 64).unwrap().unwrap();
    assert_eq!(histogram, json!({ "low": same.low, "high": same.high, "counts": same.counts }));
}

#[test]
fn many_clients_at_once_get_their_tiles_and_each_block_is_loaded_once() {
    let files = files();
    let server = Server::start(&[&files.picture]);
    let path = "/a-picture/xyz/3/1/1.png?style=%7B%7D";
    let bodies: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..24).map(|_| scope.spawn(|| server.get(path).body)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert!(bodies[0].starts_with(b"\x89PNG") && bodies.iter().all(|body| *body == bodies[0]));
    let counts = server.json("/api/stats")["datasets"]["a-picture"].clone();
    assert_eq!(counts["loads"], 1, "{counts}");
    assert_eq!(crate::counts(&server, "requests", ["answered"]), [24]);
    assert_eq!(crate::counts(&server, "tiles", ["rendered"]), [1]);
}

#[test]
fn a_tile_is_made_once_as_long_as_there_is_room_for_it() {
    let files = files();
    let server = Server::start(&[&files.picture, &files.thirds]);
    let count = || counts(&server, "tiles", ["hits", "misses", "rendered"]);
    let path = "/a-picture/xyz/3/1/1.png";
    let first = server.get(path).body;
    assert_eq!(count(), [0, 1, 1]);
    // Another spelling of the same style is the same tile; another encoding is not.
    for same in ["", "?style=null", "?style=%20null", "?v=other"] {
        assert!(server.get(&format!("{path}{same}")).body == first);
    }
    assert_eq!(count(), [4, 1, 1]);
    server.get("/a-picture/xyz/3/1/1.jpg");
    assert_eq!(count(), [4, 2, 2]);
    // What no level has is made of tiles of a finer level, which are kept too, and once.
    let made = server.get("/thirds/xyz/0/0/0.png").body;
    let [_, _, rendered] = count();
    assert!(server.get("/thirds/xyz/0/0/0.png").body == made && rendered > 3);
    assert_eq!(count()[2], rendered);
    server.get("/thirds/xyz/0/0/0.jpg");
    assert_eq!(count()[2], rendered + 1);

    let [tiles, bytes, max] = counts(&server, "tiles", ["tiles", "bytes", "max_bytes"]);
    assert!(
        tiles == rendered + 1 && bytes > 0 && max == tilekeep::tile_cache_max(),
        "{tiles} tiles, {bytes} of {max} bytes"
    );
    assert_eq!(set_budget(&server, "tiles", &json!(0)), 0);
    assert_eq!(counts(&server, "tiles", ["tiles", "bytes", "max_bytes"]), [0; 3]);
    let [hits, _, rendered] = count();
    assert!((0..3).all(|_| server.get(path).body == first));
    assert_eq!((count()[0], count()[2]), (hits, rendered + 3));
    assert_eq!(set_budget(&server, "tiles", &json!(8 << 20)), 8 << 20);
    assert!((0..3).all(|_| server.get(path).body == first));
    assert_eq!((count()[0], count()[2]), (hits + 2, rendered + 4));
    let as_json = [("content-type", "application/json")];
    for body in ["", "{}", r#"{"bytes": null}"#, r#"{"bytes": 0.5}"#] {
        assert_eq!(server.ask("POST", "/api/tiles/budget", &as_json, body.as_bytes()).status, 400, "{body}");
    }
    assert_eq!(server.ask("GET", "/api/tiles/budget", &[], b"").header("allow"), Some("POST"));
}

#[cfg(feature = "disk")]
#[test]
fn a_viewer_finds_the_tiles_that_another_one_stored() {
    let files = files();
    let folder = tempfile::tempdir().unwrap();
    let store = format!("disk:{}?max=64M", folder.path().join("tiles").display());
    let start = || Server::start_with(["--store".as_ref(), store.as_ref(), files.picture.as_os_str()]);
    let tiles: Vec<String> =
        (0..5).flat_map(|x| (0..3).map(move |y| format!("/a-picture/xyz/3/{x}/{y}.png"))).collect();
    let get_all = |server: &Server| tiles.iter().map(|path| server.get(path).body).collect::<Vec<_>>();
    let first = start();
    let made = get_all(&first);
    assert_eq!(counts(&first, "tiles", ["misses", "rendered"]), [15, 15]);
    assert_eq!(counts(&first, "store", ["hits", "misses", "errors"]), [0, 15, 0]);
    assert_eq!(first.json("/api/stats")["store"]["kind"], "disk");
    // What was not written when it is asked to stop is written then.
    assert!(first.stop());

    let second = start();
    assert!(second.get(&tiles[0]).body == made[0]);
    // Blocks were read to know how to show the picture, but none for tiles.
    let loads = |server: &Server| server.json("/api/stats")["datasets"]["a-picture"]["loads"].clone();
    let before = loads(&second);
    assert!(get_all(&second) == made);
    assert_eq!(loads(&second), before);
    assert_eq!(counts(&second, "tiles", ["hits", "misses", "rendered"]), [1, 15, 0]);
    assert_eq!(counts(&second, "store", ["hits", "misses", "errors"]), [15, 0, 0]);
    // Both at once share it too, and memory is asked first.
    let third = start();
    assert!(get_all(&third) == made && get_all(&third) == made);
    assert_eq!(counts(&third, "tiles", ["hits", "rendered"]), [15, 0]);
    assert_eq!(counts(&third, "store", ["hits"]), [15]);

    let wrong = std::process::Command::new(program::program()).args(["--store", "disc:x"]).output().unwrap();
    let words = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && words.contains("tile store disc:"), "{words}");
}

#[test]
fn pages_of_another_origin_may_read_only_when_it_was_named() {
    let files = files();
    let header = |server: &Server, path: &str| {
        let reply = server.ask("GET", path, &[("origin", "http://localhost:3000")], b"");
        reply.header("access-control-allow-origin").map(str::to_owned)
    };
    let closed = Server::start(&[&files.picture]);
    let named = ["--allow-origin".as_ref(), "http://localhost:3000".as_ref(), files.picture.as_os_str()];
    let open = Server::start_with(named);
    for path in ["/a-picture/xyz/0/0/0.png", "/iiif/a-picture/info.json", "/a-picture.dzi"] {
        assert_eq!(header(&closed, path), None);
        assert_eq!(header(&open, path).as_deref(), Some("http://localhost:3000"));
    }
    // What changes something takes a question that is not answered.
    assert_eq!(open.ask("OPTIONS", "/api/datasets/a-picture/budget", &[], b"").status, 405);
}

#[test]
fn the_server_stops_when_it_is_asked_to() {
    let files = files();
    let server = Server::start(&[&files.picture]);
    // A connection that waits for its next request does not hold it up for long.
    let idle = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let port = server.port;
    assert_eq!(server.get("/").status, 200);
    assert!(server.stop());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    drop(idle);
}

#[test]
fn a_file_that_cannot_be_opened_is_named_and_the_others_are_shown() {
    let files = files();
    let missing = files.picture.with_file_name("missing.tif");
    let server = Server::start(&[&missing, &files.picture]);
    assert_eq!(server.json("/api/datasets").as_array().unwrap().len(), 1);
    let alone = std::process::Command::new(program::program()).arg(&missing).output().unwrap();
    assert!(!alone.status.success() && String::from_utf8_lossy(&alone.stderr).contains("missing.tif"));
    let twice =
        std::process::Command::new(program::program()).args(["--port", &server.port.to_string()]).output().unwrap();
    let words = String::from_utf8_lossy(&twice.stderr).into_owned();
    assert!(!twice.status.success() && words.contains(&format!("port {}", server.port)), "{words}");
}
