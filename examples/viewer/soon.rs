//! What can be shown of a tile before it is there: other tiles in memory, a thumbnail, the coarsest level.

use hyper::StatusCode;
use parking_lot::Mutex;
use tilekeep::{Arrival, Available, AvailablePart, Dataset, Delivery, Encoding, Error, ErrorKind, Requests, Result};
use tilekeep::{Tile, TileRequest};
use tokio::sync::oneshot;

use crate::message::{Answer, Reply};
use crate::reduced::colors_of_png;
use crate::server::elsewhere;
use crate::views::BEFORE_VIEWS;

/// Says of a picture how much of the tile's area it shows.
const COVERED: &str = "x-covered";

/// The first picture of a tile that there is, as PNG: the tile itself, what is in memory of other levels, or a preview.
pub(crate) fn answer(requests: &Requests, dataset: &Dataset, request: TileRequest, size: (u32, u32)) -> Answer {
    let request = request.encoding(Encoding::Png);
    if let Some(available) = requests.best_available(dataset, &request) {
        return picture(&available, size).unwrap_or_else(Reply::from).into();
    }
    let (sender, first) = oneshot::channel();
    let sender = Mutex::new(Some(sender));
    let bring = move |arrival| {
        if let Some(sender) = sender.lock().take() {
            let _ = sender.send(arrival);
        }
    };
    let asked = requests.request_tile(dataset, request, BEFORE_VIEWS, Delivery::progressive(bring));
    Answer::Later(Box::pin(async move {
        let first = first.await;
        // Whoever wants the tile beside its preview asks for it.
        drop(asked);
        match first {
            Ok(Arrival::Preview(available)) => {
                elsewhere(move || picture(&available, size).unwrap_or_else(Reply::from)).await
            }
            Ok(Arrival::Final(tile)) => tile.map_or_else(Reply::from, |tile| reply(tile.bytes.to_vec(), 1.0)),
            _ => Reply::refused(StatusCode::SERVICE_UNAVAILABLE, "nothing can be shown"),
        }
    }))
}

fn reply(png: Vec<u8>, covered: f64) -> Reply {
    Reply::new("image/png", png).with("cache-control", "no-store").with(COVERED, covered.to_string())
}

/// The parts drawn over each other.
fn picture(available: &Available, (width, height): (u32, u32)) -> Result<Reply> {
    if let [AvailablePart { tile: Tile { bytes, width: w, height: h, .. }, from, to, .. }] = &available.parts[..] {
        let all = [0.0, 0.0, f64::from(*w), f64::from(*h)];
        if (*w, *h) == (width, height) && *from == all && *to == all {
            return Ok(reply(bytes.to_vec(), available.covered));
        }
    }
    let (across, down) = (width as usize, height as usize);
    let mut canvas = vec![[0u8; 4]; across * down];
    for part in &available.parts {
        let (w, colors) = colors_of_png(&part.tile.bytes)?;
        let h = colors.len() / w.max(1);
        let ([from_x, from_y, from_w, from_h], [to_x, to_y, to_w, to_h]) = (part.from, part.to);
        let span = |start: f64, length: f64, side: usize| {
            (start.round().max(0.0) as usize).min(side)..((start + length).round().max(0.0) as usize).min(side)
        };
        let at = |pixel: usize, (to, to_length): (f64, f64), (from, from_length): (f64, f64), side: usize| {
            let place = from + (pixel as f64 + 0.5 - to) / to_length * from_length;
            (place.max(0.0) as usize).min(side.saturating_sub(1))
        };
        for y in span(to_y, to_h, down) {
            let line = at(y, (to_y, to_h), (from_y, from_h), h) * w;
            for x in span(to_x, to_w, across) {
                canvas[y * across + x] = colors[line + at(x, (to_x, to_w), (from_x, from_w), w)];
            }
        }
    }
    let failed = |error: png::EncodingError| Error::new(ErrorKind::Internal, format!("a preview: {error}"));
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_compression(png::Compression::Fastest);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(canvas.as_flattened()).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(reply(file, available.covered))
}
