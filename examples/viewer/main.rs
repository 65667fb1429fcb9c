//! Shows rasters in a browser, and what their caches do meanwhile.
//!
//! ```text
//! cargo run --release --example viewer [FILES…] [--port N] [--threads N] [--latency-ms N] [--bandwidth-mib N]
//!                                      [--store URI] [--allow-origin ORIGIN]
//! ```
//!
//! Without files it makes two large ones. The page is at `/`; other viewers find tiles as XYZ, DeepZoom and IIIF, see
//! `routes`. Everything comes from the library's public calls: the server is what a program of one's own would be.

mod api;
mod catalog;
mod grid;
mod message;
mod options;
mod page;
mod picture;
mod reduced;
mod routes;
mod sample;
mod server;
mod soon;
mod views;

use std::error::Error;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use catalog::Catalog;
use options::{Options, USAGE};
use routes::Viewer;
use server::Site;
use tilekeep::{PressureOptions, PressureWatch, Requests};
use views::Views;

#[path = "../support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

/// Where the page is when nobody says otherwise and nobody else is there.
const PORT: u16 = 8080;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("viewer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let Some(options) = Options::read(std::env::args_os().skip(1))? else {
        println!("{USAGE}");
        return Ok(());
    };
    // Before anything that takes long: a port that is taken is said at once.
    let listener = listen(options.port)?;
    // Caches give way while memory is short, where the system says so.
    let watch = PressureWatch::new(&PressureOptions::default()).inspect_err(|error| eprintln!("viewer: {error}")).ok();
    // What all rasters share: a store behind the cache of tiles, and threads.
    let store = options.store.as_deref().map(tilekeep::open_store).transpose()?.flatten();
    let kind = |uri: &String| uri.split(':').next().map(str::to_owned);
    let store_kind = options.store.as_ref().filter(|_| store.is_some()).and_then(kind);
    tilekeep::set_tile_store(store)?;
    let n_threads = options.n_threads();
    let requests = Requests::new(n_threads)?;

    let files = if options.files.is_empty() { sample::files()? } else { options.files };
    let mut catalog = Catalog::open(&files, options.line, |error| eprintln!("viewer: {error}"));
    catalog.store = store_kind;
    if catalog.iter().next().is_none() {
        return Err("there is nothing to show".into());
    }
    for (shown, _) in catalog.iter() {
        let (grid, info) = (shown.grid(), shown.dataset.info());
        println!(
            "{}: {} x {} pixels, {} of {}",
            shown.id,
            grid.width,
            grid.height,
            bands(info.n_bands),
            info.sample.name()
        );
    }
    println!("http://{}/", listener.local_addr()?);
    io::stdout().flush()?;
    let viewer = Arc::new(Viewer { catalog, requests, n_threads, views: Views::default(), watch });
    let answering = Arc::clone(&viewer);
    let site = Site {
        answer: Box::new(move |ask| routes::answer(&answering, ask)),
        tidy: Box::new(move || viewer.views.tidy(Instant::now())),
        allowed_origin: options.allowed_origin,
    };
    let served = server::run(listener, site);
    // Tiles that wait to be stored are not lost.
    tilekeep::flush_tile_store();
    tilekeep::set_tile_store(None)?;
    Ok(served?)
}

fn bands(n_bands: u32) -> String {
    if n_bands == 1 { "1 band".to_owned() } else { format!("{n_bands} bands") }
}

fn listen(port: Option<u16>) -> io::Result<TcpListener> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    match port {
        Some(port) => bind(port).map_err(|e| io::Error::new(e.kind(), format!("port {port}: {e}"))),
        None => bind(PORT).or_else(|_| bind(0)),
    }
}
