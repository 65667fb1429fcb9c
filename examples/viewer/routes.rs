//! Which URL is answered by what.
//!
//! | URL | what it is |
//! | --- | --- |
//! | `/`, `/web/FILE` | the page |
//! | `/api/…` | what the page asks for, see `api` |
//! | `/DATASET/xyz/Z/X/Y.png` | tiles of 256 pixels: zoom 0 is one tile, the last zoom full resolution |
//! | `/DATASET.dzi`, `/DATASET_files/LEVEL/COL_ROW.png` | DeepZoom |
//! | `/iiif/DATASET/info.json`, `/iiif/DATASET/REGION/SIZE/0/default.jpg` | IIIF Image API 3, level 0 |
//!
//! The grid of XYZ is the raster's own, not that of a map of the world: nothing is reprojected. Pictures are `png`,
//! `jpg` or `webp`; `?style=` is a style as JSON, without which a raster is shown as it describes itself, `?quality=` that
//! of JPEG or WebP, which may be `lossless`, `?frame=` the page of a file that has several.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::json;
use tilekeep::{Delivery, Encoding, PressureWatch, Requests, Tile, TileRequest};
use xxhash_rust::xxh3::xxh3_128;

use crate::catalog::{Catalog, Shown};
use crate::grid::{Area, TILE, number};
use crate::message::{Answer, Ask, Reply, escaped, etag, is_known};
use crate::picture::Look;
use crate::views::{BEFORE_VIEWS, BEHIND_VIEWS, Views};
use crate::{api, page, soon};

const GET: &str = "GET, HEAD";
const IIIF: &str = "http://iiif.io/api/image/3/context.json";

/// What answers are made of.
pub(crate) struct Viewer {
    pub(crate) catalog: Catalog,
    /// Makes all tiles.
    pub(crate) requests: Requests,
    pub(crate) n_threads: usize,
    pub(crate) views: Views,
    /// Lowers what caches may hold while memory is short.
    pub(crate) watch: Option<PressureWatch>,
}

/// The answer to a request, or why there is none.
pub(crate) fn answer(viewer: &Viewer, ask: &Ask) -> Answer {
    routed(viewer, ask).unwrap_or_else(Answer::Now)
}

fn routed(viewer: &Viewer, ask: &Ask) -> Result<Answer, Reply> {
    let catalog = &viewer.catalog;
    let parts: Vec<&str> = ask.path.iter().map(String::as_str).collect();
    if let ["api", rest @ ..] = &parts[..] {
        return api::answer(viewer, ask, rest).map(Answer::Now);
    }
    if !matches!(ask.method.as_str(), "GET" | "HEAD") {
        return Err(Reply::not_allowed(GET));
    }
    let nowhere = || Reply::not_found(&format!("/{}", parts.join("/")));
    let at = |area: Option<Area>| area.ok_or_else(nowhere);
    let reply = match &parts[..] {
        [""] => page::file("index.html", ask)?,
        ["web", name] => page::file(name, ask)?,
        ["iiif", id] => {
            let to = format!("/iiif/{}/info.json", escaped(&shown(catalog, id)?.id));
            Reply { status: StatusCode::SEE_OTHER, ..Reply::new("text/plain", "") }.with("location", to)
        }
        ["iiif", id, "info.json"] => iiif_info(&*shown(catalog, id)?, ask),
        ["iiif", id, region, size, "0", name] => {
            let shown = shown(catalog, id)?;
            let encoding = named(name, |name| (name == "default").then_some(()), ask)?.1;
            let area = shown.grid().iiif(region, size).ok_or_else(|| {
                let message = format!("region {region} at size {size} is none that info.json lists");
                Reply::refused(StatusCode::BAD_REQUEST, message)
            })?;
            return picture(viewer, &shown, area, encoding, ask);
        }
        ["iiif", _, _, _, rotation, _] => {
            return Err(Reply::refused(StatusCode::BAD_REQUEST, format!("rotation {rotation}; there is only 0")));
        }
        [id, "xyz", z, x, y] => {
            let shown = shown(catalog, id)?;
            let (y, encoding) = named(y, number, ask)?;
            let area = number(z).zip(number(x)).and_then(|(z, x)| shown.grid().xyz(z, x, y));
            return picture(viewer, &shown, at(area)?, encoding, ask);
        }
        [name] if name.ends_with(".dzi") => deep_zoom_info(&*shown(catalog, &name[..name.len() - 4])?, ask),
        [name, level, tile] if name.ends_with("_files") => {
            let shown = shown(catalog, &name[..name.len() - "_files".len()])?;
            let place = |place: &str| place.split_once('_').and_then(|(col, row)| Some((number(col)?, number(row)?)));
            let ((col, row), encoding) = named(tile, place, ask)?;
            let area = number(level).and_then(|level| shown.grid().deep_zoom(level, col, row));
            return picture(viewer, &shown, at(area)?, encoding, ask);
        }
        _ => return Err(nowhere()),
    };
    Ok(reply.into())
}

/// The raster of this name as it is now.
pub(crate) fn shown(catalog: &Catalog, id: &str) -> Result<Arc<Shown>, Reply> {
    let found = catalog.get(id).ok_or_else(|| Reply::not_found(&format!("dataset {id}")))?;
    found.map_err(|error| Reply::refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
}

/// A file's name as what `stem` makes of its first part, and the encoding that its ending says.
pub(crate) fn named<T>(name: &str, stem: impl Fn(&str) -> Option<T>, ask: &Ask) -> Result<(T, Encoding), Reply> {
    let parts = name.rsplit_once('.').and_then(|(first, ending)| Some((stem(first)?, ending)));
    let (first, ending) = parts.ok_or_else(|| Reply::not_found(name))?;
    let quality = || asked_number(ask, "quality", 85);
    let encoding = match ending {
        "png" => Encoding::Png,
        "jpg" | "jpeg" => Encoding::jpeg(quality()?),
        "webp" if ask.value("quality") == Some("lossless") => Encoding::WebPLossless,
        "webp" => Encoding::webp(quality()?),
        _ => return Err(Reply::refused(StatusCode::BAD_REQUEST, format!("{ending}: pictures are png, jpg or webp"))),
    };
    Ok((first, encoding))
}

/// A number of the query, or what it is by default.
pub(crate) fn asked_number<T: std::str::FromStr>(ask: &Ask, key: &str, default: T) -> Result<T, Reply> {
    let Some(text) = ask.value(key) else { return Ok(default) };
    number(text).ok_or_else(|| Reply::refused(StatusCode::BAD_REQUEST, format!("{key}: {text} is no such number")))
}

/// The picture of an area, unless the client has it.
fn picture(viewer: &Viewer, shown: &Shown, area: Area, encoding: Encoding, ask: &Ask) -> Result<Answer, Reply> {
    if ask.value("soon").is_some() {
        let plain = plain(shown, area, ask)?;
        let (dataset, request) = match plain {
            Some(request) => (shown.dataset.clone(), request),
            None => shown.pictures.tile(area, &look(viewer, shown, ask)?, encoding)?,
        };
        let size = (area.width as u32, area.height as u32);
        return Ok(soon::answer(&viewer.requests, &dataset, request, size));
    }
    let look = look(viewer, shown, ask)?;
    let (dataset, request) = shown.pictures.tile(area, &look, encoding)?;

    // Everything that the bytes depend on: it is known before they are made.
    let of = (env!("CARGO_PKG_VERSION"), shown.version, area, look.frame, look.plan, encoding);
    let tag = etag(xxh3_128(format!("{of:?}").as_bytes()));
    // What is asked for by version never changes; anything else has to be asked for again.
    let version = shown.version();
    let fixed = ask.value("v") == Some(version.as_str());
    let keep = if fixed { "private, max-age=31536000, immutable" } else { "private, no-cache" };
    let is_known = is_known(ask.has.as_deref(), &tag);
    let dressed = move |reply: Reply| reply.with("etag", tag).with("cache-control", keep).with("x-version", version);
    if is_known {
        return Ok(dressed(Reply::unchanged()).into());
    }
    // What is sent is what the cache of tiles holds.
    let reply = move |made: tilekeep::Result<Tile>| match made {
        Ok(tile) => dressed(Reply::new(content_type(encoding), Bytes::from_owner(tile.bytes))),
        Err(error) => error.into(),
    };
    if let Some(tile) = ask.view.as_ref().and_then(|view| viewer.views.tile(view, shown, &request)) {
        return Ok(reply(Ok(tile)).into());
    }
    let priority = if ask.view.is_some() { BEHIND_VIEWS } else { BEFORE_VIEWS };
    let asked = viewer.requests.request_tile(&dataset, request, priority, Delivery::handle());
    Ok(match asked.poll() {
        Some(made) => reply(made).into(),
        // A client that goes away drops this, and takes the tile back.
        None => Answer::Later(Box::pin(async move { reply(asked.await) })),
    })
}

/// The look that is asked for.
pub(crate) fn look(viewer: &Viewer, shown: &Shown, ask: &Ask) -> Result<Look, Reply> {
    let style = ask.value("style").unwrap_or_default();
    Ok(shown.pictures.look(&viewer.requests, asked_number(ask, "frame", 0)?, style)?)
}

/// What can be shown before the raster's own look is known.
fn plain(shown: &Shown, area: Area, ask: &Ask) -> Result<Option<TileRequest>, Reply> {
    let (frame, style) = (asked_number(ask, "frame", 0)?, ask.value("style").unwrap_or_default());
    let is_open = style.is_empty() && shown.pictures.known_look(frame, style).is_none();
    Ok(is_open.then(|| shown.pictures.plain_tile(area, frame)).flatten())
}

fn content_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Jpeg { .. } => "image/jpeg",
        Encoding::WebP { .. } | Encoding::WebPLossless => "image/webp",
        _ => "image/png",
    }
}

fn deep_zoom_info(shown: &Shown, ask: &Ask) -> Reply {
    let grid = shown.grid();
    let format = ask.value("format").filter(|format| ["jpg", "webp"].contains(format)).unwrap_or("png");
    let (width, height) = (grid.width, grid.height);
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Image xmlns=\"http://schemas.microsoft.com/deepzoom/2008\" \
         Format=\"{format}\" Overlap=\"0\" TileSize=\"{TILE}\"><Size Width=\"{width}\" Height=\"{height}\"/></Image>\n"
    );
    Reply::new("application/xml", xml).with("cache-control", "private, no-cache")
}

fn iiif_info(shown: &Shown, ask: &Ask) -> Reply {
    let grid = shown.grid();
    let size = |(width, height): (u64, u64)| json!({ "width": width, "height": height });
    let (max_width, max_height) = grid.max_size();
    let info = json!({
        "@context": IIIF,
        "id": format!("http://{}/iiif/{}", ask.host, escaped(&shown.id)),
        "type": "ImageService3",
        "protocol": "http://iiif.io/api/image",
        "profile": "level0",
        "width": grid.width,
        "height": grid.height,
        "maxWidth": max_width,
        "maxHeight": max_height,
        "sizes": grid.whole_sizes().into_iter().map(size).collect::<Vec<_>>(),
        "tiles": [{ "width": TILE, "height": TILE, "scaleFactors": grid.scale_factors() }],
        "extraFormats": ["png", "webp"],
        "preferredFormats": ["jpg"],
    });
    let content_type = format!("application/ld+json;profile=\"{IIIF}\"");
    Reply::new(&content_type, info.to_string()).with("cache-control", "private, no-cache")
}
