//! What the page asks for beside pictures, as JSON.
//!
//! | URL | what it is |
//! | --- | --- |
//! | `/api/datasets` | the rasters and what is known of them |
//! | `/api/stats?view=NAME` | what the caches and requests did and hold; says that the page of the view is still there |
//! | `/api/datasets/ID/histogram?band=1&bins=256` | how the samples of a band are spread; bands count from 1, as in styles |
//! | `/api/datasets/ID/curve` | the hit ratios that other budgets are predicted to have |
//! | `/api/datasets/ID/budget` | `POST {"bytes": N}` changes the budget, `null` makes it a share of the total |
//! | `/api/datasets/ID/views/NAME.png?style=…` | `POST` of a frame, see `views`: a view shows these tiles in this look |
//! | `/api/views/NAME?sequence=N` | `DELETE`: the view is gone; its last frame, by default the last that came, was N |
//! | `/api/tiles/budget` | `POST {"bytes": N}` changes how many bytes of rendered tiles are kept |

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value, json};
use tilekeep::{
    CacheBudget, CatalogStats, ColorInterpretation, Dataset, Error, PressureLevel, PressureStats, Stats, StoreStats,
    TileCacheStats, catalog_stats, process_stats, set_tile_cache_max, tile_cache_max, tile_cache_stats,
    tile_store_error, total_max,
};

use crate::catalog::{Catalog, Shown};
use crate::message::{Ask, Reply, escaped};
use crate::routes::{Viewer, asked_number, look, named, shown};
use crate::views::{self, Frame, view_name};

/// Budgets that the curve is asked for.
const POINTS: u32 = 64;
/// The share of hits for which a budget is suggested.
const GOAL: f64 = 0.95;

/// Pixels that the coarsest picture of a raster may be made of before it is asked for whatever is seen.
const CHEAP_PIXELS: u64 = 1 << 22;

pub(crate) fn answer(viewer: &Viewer, ask: &Ask, path: &[&str]) -> Result<Reply, Reply> {
    let catalog = &viewer.catalog;
    let is_get = matches!(ask.method.as_str(), "GET" | "HEAD");
    let last = |id: &str| catalog.last(id).ok_or_else(|| Reply::not_found(&format!("dataset {id}")));
    match path {
        [.., "budget"] | ["datasets", _, "views", _] if ask.method != "POST" => Err(Reply::not_allowed("POST")),
        ["views", _] if ask.method != "DELETE" => Err(Reply::not_allowed("DELETE")),
        ["datasets", id, "budget"] => set_budget(catalog, &*last(id)?, ask),
        ["datasets", id, "views", name] => show(viewer, &*shown(catalog, id)?, name, ask),
        ["views", name] => close(viewer, name, ask),
        ["tiles", "budget"] => set_tile_budget(ask),
        _ if !is_get => Err(Reply::not_allowed("GET, HEAD")),
        ["datasets"] => Ok(Reply::json(&catalog.iter().map(|(shown, _)| described(&shown)).collect())),
        ["stats"] => {
            viewer.views.hear(ask.value("view").unwrap_or_default().split(','));
            Ok(Reply::json(&stats(viewer)))
        }
        ["datasets", id, "histogram"] => histogram(&*shown(catalog, id)?, ask),
        ["datasets", id, "curve"] => Ok(Reply::json(&curve(&*last(id)?))),
        _ => Err(Reply::not_found(&format!("/api/{}", path.join("/")))),
    }
}

/// Shows a frame in a view.
fn show(viewer: &Viewer, shown: &Shown, name: &str, ask: &Ask) -> Result<Reply, Reply> {
    let (name, encoding) = named(name, view_name, ask)?;
    let look = look(viewer, shown, ask)?;
    let frame = Frame::read(shown, &look, encoding, ask)?;
    let missing = viewer.views.show(&viewer.requests, shown, &name, &frame);
    Ok(Reply::json(&json!({ "missing": missing, "version": shown.version() })))
}

/// Closes a view.
fn close(viewer: &Viewer, name: &str, ask: &Ask) -> Result<Reply, Reply> {
    let name = view_name(name).ok_or_else(|| Reply::not_found(&format!("view {name}")))?;
    let sequence = ask.value("sequence").map(|_| asked_number(ask, "sequence", 0)).transpose()?;
    Ok(Reply::json(&json!({ "closed": viewer.views.close(&name, sequence) })))
}

fn described(shown: &Shown) -> Value {
    let (dataset, info, grid) = (&shown.dataset, shown.dataset.info(), shown.grid());
    let level =
        |level: &tilekeep::Level| json!({ "width": level.width, "height": level.height, "stored": level.native });
    let band = |(band, color): (usize, &ColorInterpretation)| {
        let known = &info.bands[band];
        json!({
            "number": band + 1,
            "color": format!("{color:?}").to_lowercase(),
            "description": known.description,
            "unit": known.unit,
        })
    };
    let id = escaped(&shown.id);
    json!({
        "id": shown.id,
        "name": shown.name,
        "version": shown.version(),
        "format": info.format,
        "compression": info.compression,
        "sample": info.sample.name(),
        "width": grid.width,
        "height": grid.height,
        "max_zoom": grid.max_zoom(),
        "has_coarsest": has_coarsest(dataset),
        "has_thumbnail": info.associated.iter().any(|picture| picture.name == "thumbnail"),
        "levels": dataset.levels().iter().map(level).collect::<Vec<_>>(),
        "bands": info.colors.iter().enumerate().map(band).collect::<Vec<_>>(),
        "frames": info.n_frames,
        "nodata": info.nodata.map(|nodata| nodata.as_f64().to_string()),
        "color_table": info.color_table.is_some(),
        "epsg": info.epsg(),
        "geotransform": dataset.geotransform(0).map(|transform| transform.0),
        "tiles": format!("/{id}/xyz/{{z}}/{{x}}/{{y}}"),
        "dzi": format!("/{id}.dzi"),
        "iiif": format!("/iiif/{id}/info.json"),
    })
}

/// Whether the coarsest picture costs little: it is stored, or made of few pixels.
fn has_coarsest(dataset: &Dataset) -> bool {
    let stored = dataset.levels().iter().rfind(|level| level.native).unwrap_or(&dataset.levels()[0]);
    stored.width.saturating_mul(stored.height) <= CHEAP_PIXELS
}

fn stats(viewer: &Viewer) -> Value {
    let (process, tiles) = (process_stats(), tile_cache_stats());
    let dataset = |(shown, trouble): (Arc<Shown>, Option<Error>)| {
        let mut counts = counts(&shown.dataset.stats());
        counts["version"] = json!(shown.version());
        counts["trouble"] = json!(trouble.map(|error| error.to_string()));
        // Blocks that were begun to be read over a slow line, and those that came.
        counts["line"] =
            json!(shown.line.as_ref().map(|line| json!({ "begun": line.reads(), "read": line.finished() })));
        (shown.id.clone(), counts)
    };
    json!({
        "process": {
            "used_bytes": process.used_bytes,
            "max_bytes": total_max(),
            "held_bytes": process.held_bytes(),
            "loading_bytes": process.datasets.loading_bytes,
        },
        "pressure": viewer.watch.as_ref().map(|watch| pressure(&watch.stats())),
        "datasets": viewer.catalog.iter().map(dataset).collect::<serde_json::Map<_, _>>(),
        "requests": views::counts(&viewer.requests, &viewer.views, viewer.n_threads),
        "tiles": tile_counts(&tiles),
        "files": file_counts(&catalog_stats()),
        "store": viewer.catalog.store.as_ref().map(|kind| store_counts(kind, &tiles.store)),
    })
}

fn pressure(stats: &PressureStats) -> Value {
    json!({
        "level": match stats.level {
            PressureLevel::None => "none",
            PressureLevel::Moderate => "moderate",
            _ => "critical",
        },
        "shrinks": stats.shrinks,
        "growths": stats.growths,
        "wanted_bytes": stats.total_max_bytes,
        "max_bytes": stats.total_now_bytes,
        "limit_bytes": stats.limit_bytes,
        "used_bytes": stats.used_bytes,
    })
}

fn tile_counts(stats: &TileCacheStats) -> Value {
    json!({
        "hits": stats.hits,
        "misses": stats.misses,
        "coalesced": stats.coalesced,
        "rendered": stats.rendered,
        "passed": stats.passed,
        "failed": stats.failed,
        "evictions": stats.evictions,
        "uncached": stats.uncached,
        "tiles": stats.entries,
        "bytes": stats.bytes,
        "max_bytes": stats.max_bytes,
        "loading_bytes": stats.loading_bytes,
    })
}

fn file_counts(stats: &CatalogStats) -> Value {
    json!({
        "known": stats.entries,
        "closed": stats.closed,
        "bytes": stats.bytes,
        "max_bytes": stats.max_bytes,
        "hits": stats.hits,
        "misses": stats.misses,
        "open": stats.open_files,
    })
}

fn store_counts(kind: &str, stats: &StoreStats) -> Value {
    json!({
        "kind": kind,
        "hits": stats.hits,
        "misses": stats.misses,
        "skipped": stats.skipped,
        "errors": stats.errors,
        "damaged": stats.damaged,
        "written": stats.written,
        "dropped": stats.dropped,
        "read_bytes": stats.read_bytes,
        "written_bytes": stats.written_bytes,
        "queued_bytes": stats.queued_bytes,
        "last_error": tile_store_error().map(|error| error.to_string()),
    })
}

fn counts(stats: &Stats) -> Value {
    json!({
        "hits": stats.hits,
        "misses": stats.misses,
        "loads": stats.loads,
        "failed_loads": stats.failed_loads,
        "redundant_loads": stats.redundant_loads,
        "coalesced": stats.coalesced,
        "evictions": stats.evictions,
        "uncached": stats.uncached,
        "load_ms": stats.load_time.as_secs_f64() * 1000.0,
        "blocks": stats.entries,
        "bytes": stats.bytes,
        "max_bytes": stats.max_bytes,
        "loading_bytes": stats.loading_bytes,
    })
}

fn histogram(shown: &Shown, ask: &Ask) -> Result<Reply, Reply> {
    let band: u32 = asked_number(ask, "band", 1)?;
    let band = band.checked_sub(1).ok_or_else(|| Reply::refused(StatusCode::BAD_REQUEST, "band: they count from 1"))?;
    let (frame, n_bins) = (asked_number(ask, "frame", 0)?, asked_number(ask, "bins", 256)?);
    let histogram = shown.dataset.histogram(frame, band, n_bins)?;
    let value = histogram.map(|of| json!({ "low": of.low, "high": of.high, "counts": of.counts }));
    Ok(Reply::json(&value.unwrap_or(Value::Null)))
}

/// The least and the greatest budget that make sense: a few blocks, and all pixels of all levels.
fn budgets(shown: &Shown) -> (u64, u64) {
    let info = shown.dataset.info();
    let pixels: u64 = shown
        .dataset
        .levels()
        .iter()
        .fold(0, |sum, level| sum.saturating_add(level.width.saturating_mul(level.height)));
    let pixel = u64::from(info.n_bands) * info.sample.bytes() as u64;
    let all = pixels.saturating_mul(pixel).saturating_mul(u64::from(info.n_frames));
    (1 << 20, all.clamp(16 << 20, 8 << 30).next_power_of_two())
}

fn curve(shown: &Shown) -> Value {
    let (least, most) = budgets(shown);
    let step = (most as f64 / least as f64).powf(1.0 / f64::from(POINTS - 1));
    let bytes: Vec<u64> = (0..POINTS).map(|i| (least as f64 * step.powi(i as i32)).round() as u64).collect();
    let ratios = shown.dataset.cache_curve(&bytes);
    json!({
        "points": bytes.into_iter().zip(ratios).collect::<Vec<_>>(),
        "goal": GOAL,
        "suggested_bytes": shown.dataset.suggest_cache_max(GOAL),
        "max_bytes": shown.dataset.cache_max(),
    })
}

fn set_budget(catalog: &Catalog, shown: &Shown, ask: &Ask) -> Result<Reply, Reply> {
    catalog.set_budget(shown, asked_bytes(ask)?.map_or_else(CacheBudget::default, CacheBudget::Own));
    Ok(Reply::json(&json!({ "max_bytes": shown.dataset.cache_max() })))
}

fn set_tile_budget(ask: &Ask) -> Result<Reply, Reply> {
    let refused = || Reply::refused(StatusCode::BAD_REQUEST, "bytes: null; rendered tiles have a budget of their own");
    set_tile_cache_max(asked_bytes(ask)?.ok_or_else(refused)?);
    Ok(Reply::json(&json!({ "max_bytes": tile_cache_max() })))
}

/// The number of bytes that the body says; `None` for `null`.
fn asked_bytes(ask: &Ask) -> Result<Option<u64>, Reply> {
    let refused = |message: &str| Reply::refused(StatusCode::BAD_REQUEST, message);
    let body: Value = serde_json::from_slice(&ask.body).map_err(|error| refused(&format!("no JSON: {error}")))?;
    match body.get("bytes") {
        Some(Value::Null) => Ok(None),
        Some(bytes) => {
            let number = bytes.as_u64().ok_or_else(|| refused(&format!("bytes: {bytes} is no number of bytes")))?;
            Ok(Some(number))
        }
        None => Err(refused("the body is {\"bytes\": N}")),
    }
}
