//! Shows rasters in a browser, and what their caches do meanwhile.
//!
//! ```text
//! cargo run --release --example viewer [FILES…] [--port N] [--allow-origin ORIGIN]
//! ```
//!
//! Without files it makes two large ones. The page is at `/`; other viewers find tiles as XYZ, DeepZoom and IIIF, see
//! `routes`. Everything comes from the library's public calls: the server is what a program of one's own would be.

mod api;
mod catalog;
mod grid;
mod message;
mod page;
mod picture;
mod routes;
mod sample;
mod server;

use std::error::Error;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

use catalog::Catalog;
use hyper::header::HeaderValue;
use server::Site;

#[path = "../support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

/// Where the page is when nobody says otherwise and nobody else is there.
const PORT: u16 = 8080;
const USAGE: &str = "usage: viewer [FILES…] [--port N] [--allow-origin ORIGIN]

Shows rasters in a browser; without files, two that it makes. The server listens on 127.0.0.1 only. Without a port it
takes 8080, or any that is free. Pages of another origin, such as http://localhost:3000, may read tiles when it is named;
* stands for all.";

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
    let files = if options.files.is_empty() { sample::files()? } else { options.files };
    let catalog = Catalog::open(&files, |error| eprintln!("viewer: {error}"));
    if catalog.iter().next().is_none() {
        return Err("there is nothing to show".into());
    }
    for shown in catalog.iter() {
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
    let answer = Box::new(move |ask: &message::Ask| routes::answer(&catalog, ask));
    server::run(listener, Site { answer, allowed_origin: options.allowed_origin })?;
    Ok(())
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

/// What the command line says.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    files: Vec<PathBuf>,
    port: Option<u16>,
    allowed_origin: Option<HeaderValue>,
}

impl Options {
    /// `None` when help is wanted.
    fn read(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Option<Self>, String> {
        let mut options = Self { files: Vec::new(), port: None, allowed_origin: None };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--help" | "-h") => return Ok(None),
                Some("--port") => {
                    let port = arguments.next().unwrap_or_default();
                    let number = port.to_str().and_then(|port| port.parse().ok());
                    options.port = Some(number.ok_or_else(|| format!("--port {}: no port", port.to_string_lossy()))?);
                }
                Some("--allow-origin") => {
                    let origin = arguments.next().unwrap_or_default();
                    let value = origin.to_str().filter(|origin| *origin == "*" || origin.contains("://"));
                    let value = value.and_then(|origin| HeaderValue::from_str(origin).ok());
                    let wrong = || format!("--allow-origin {}: no origin", origin.to_string_lossy());
                    options.allowed_origin = Some(value.ok_or_else(wrong)?);
                }
                Some("--") => options.files.extend(arguments.by_ref().map(PathBuf::from)),
                Some(option) if option.starts_with("--") => return Err(format!("{option}: no such option\n{USAGE}")),
                _ => options.files.push(argument.into()),
            }
        }
        Ok(Some(options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_files_and_a_port() {
        let read = |words: &[&str]| Options::read(words.iter().map(|word| (*word).into()));
        let options = |files: &[&str], port| {
            Ok(Some(Options { files: files.iter().map(PathBuf::from).collect(), port, allowed_origin: None }))
        };
        assert_eq!(read(&[]), options(&[], None));
        assert_eq!(read(&["a.tif", "--port", "0", "b.png"]), options(&["a.tif", "b.png"], Some(0)));
        assert_eq!(read(&["--", "--port"]), options(&["--port"], None));
        assert_eq!(read(&["a.tif", "--help"]), Ok(None));
        assert!(read(&["--port"]).is_err() && read(&["--port", "70000"]).is_err() && read(&["--prot", "1"]).is_err());
        let origin = |origin| read(&["--allow-origin", origin]).map(|options| options.unwrap().allowed_origin);
        assert_eq!(origin("http://localhost:3000"), Ok(Some(HeaderValue::from_static("http://localhost:3000"))));
        assert!(origin("*").is_ok() && origin("localhost").is_err() && origin("a://b\n").is_err());
    }
}
