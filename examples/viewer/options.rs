//! What the command line says.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hyper::header::HeaderValue;

use crate::catalog::Line;

pub(crate) const USAGE: &str = "usage: viewer [FILES…] [--port N] [--threads N] [--latency-ms N] [--bandwidth-mib N]
              [--store URI] [--allow-origin ORIGIN]

Shows rasters in a browser; without files, two that it makes. The server listens on 127.0.0.1 only. Without a port it
takes 8080, or any that is free.

Tiles are made by as many threads as there are processors, or as --threads says. With a latency, in milliseconds for
each block, or a bandwidth, in MiB of pixels a second for each thread, files are read as if they were far away; there
are 8 threads then, unless something else is said.

Rendered tiles are kept in memory, and with a store beyond the program's end: disk:FOLDER?max=4G, memcached://HOST or
redis://HOST. Programs that name the same store share its tiles.

Pages of another origin, such as http://localhost:3000, may read tiles when it is named; * stands for all.";

/// Threads that wait for a line, where nobody says how many.
const THREADS_FAR_AWAY: usize = 8;
/// The longest latency.
const MAX_MS: u64 = 60_000;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) port: Option<u16>,
    threads: Option<usize>,
    /// Files are read through this.
    pub(crate) line: Option<Line>,
    /// As [`tilekeep::open_store`] takes it.
    pub(crate) store: Option<String>,
    pub(crate) allowed_origin: Option<HeaderValue>,
}

impl Options {
    /// How many threads make tiles.
    pub(crate) fn n_threads(&self) -> usize {
        let of_machine = || std::thread::available_parallelism().map_or(2, |n| n.get()).clamp(2, 64);
        self.threads.unwrap_or_else(|| if self.line.is_some() { THREADS_FAR_AWAY } else { of_machine() })
    }

    /// `None` when help is wanted.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Self>, String> {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_default();
            match argument.to_str() {
                Some("--help" | "-h") => return Ok(None),
                Some("--port") => {
                    let port = value();
                    let number = port.to_str().and_then(|port| port.parse().ok());
                    options.port = Some(number.ok_or_else(|| format!("--port {}: no port", port.to_string_lossy()))?);
                }
                Some("--threads") => {
                    let number = number("--threads", &value(), "1 to 1024", |n: &usize| (1..=1024).contains(n))?;
                    options.threads = Some(number);
                }
                Some("--latency-ms") => {
                    let ms = number("--latency-ms", &value(), "0 to 60000 milliseconds", |ms| *ms <= MAX_MS)?;
                    options.line.get_or_insert_default().latency = Duration::from_millis(ms);
                }
                Some("--bandwidth-mib") => {
                    let is_some = |mib: &f64| (0.001..=1e6).contains(mib);
                    let mib = number("--bandwidth-mib", &value(), "0.001 to 1000000 MiB a second", is_some)?;
                    options.line.get_or_insert_default().bytes_per_second = (mib * f64::from(1 << 20)) as u64;
                }
                Some("--store") => {
                    let uri = value().into_string().ok().filter(|uri| !uri.is_empty());
                    options.store = Some(uri.ok_or("--store: it takes a URI, such as disk:FOLDER")?);
                }
                Some("--allow-origin") => {
                    let origin = value();
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

/// The number that an option takes.
fn number<T: FromStr>(option: &str, text: &OsStr, what: &str, is_one: impl Fn(&T) -> bool) -> Result<T, String> {
    let number = text.to_str().and_then(|text| text.parse().ok()).filter(is_one);
    number.ok_or_else(|| format!("{option} {}: it takes {what}", text.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Option<Options>, String> {
        Options::read(words.iter().map(|word| (*word).into()))
    }

    #[test]
    fn the_command_line_is_files_and_options() {
        let options = |files: &[&str], port| {
            let files = files.iter().map(PathBuf::from).collect();
            Ok(Some(Options { files, port, ..Options::default() }))
        };
        assert_eq!(read(&[]), options(&[], None));
        assert_eq!(read(&["a.tif", "--port", "0", "b.png"]), options(&["a.tif", "b.png"], Some(0)));
        assert_eq!(read(&["--", "--port"]), options(&["--port"], None));
        assert_eq!(read(&["a.tif", "--help"]), Ok(None));
        assert!(read(&["--port"]).is_err() && read(&["--port", "70000"]).is_err() && read(&["--prot", "1"]).is_err());
        let origin = |origin| read(&["--allow-origin", origin]).map(|options| options.unwrap().allowed_origin);
        assert_eq!(origin("http://localhost:3000"), Ok(Some(HeaderValue::from_static("http://localhost:3000"))));
        assert!(origin("*").is_ok() && origin("localhost").is_err() && origin("a://b\n").is_err());
        let store = read(&["a.tif", "--store", "disk:tiles?max=1G"]).unwrap().unwrap().store;
        assert_eq!(store.as_deref(), Some("disk:tiles?max=1G"));
        assert!(read(&["--store"]).is_err());

        let far = read(&["--latency-ms", "20", "--bandwidth-mib", "0.5"]).unwrap().unwrap();
        assert_eq!(far.line, Some(Line { latency: Duration::from_millis(20), bytes_per_second: 1 << 19 }));
        assert_eq!((far.n_threads(), read(&["--threads", "3"]).unwrap().unwrap().n_threads()), (8, 3));
        for (option, value) in [
            ("--threads", "0"),
            ("--threads", "1025"),
            ("--latency-ms", "-1"),
            ("--latency-ms", "60001"),
            ("--bandwidth-mib", "0"),
            ("--bandwidth-mib", "NaN"),
            ("--bandwidth-mib", "inf"),
        ] {
            let refused = read(&[option, value]).unwrap_err();
            assert!(refused.starts_with(&format!("{option} {value}: it takes")), "{refused}");
        }
    }
}
