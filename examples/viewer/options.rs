//! What the command line says.

use std::ffi::OsString;
use std::path::PathBuf;

use hyper::header::HeaderValue;

pub(crate) const USAGE: &str = "usage: viewer [FILES…] [--port N] [--store URI] [--allow-origin ORIGIN]

Shows rasters in a browser; without files, two that it makes. The server listens on 127.0.0.1 only. Without a port it
takes 8080, or any that is free.

Rendered tiles are kept in memory, and with a store beyond the program's end: disk:FOLDER?max=4G, memcached://HOST or
redis://HOST. Programs that name the same store share its tiles.

Pages of another origin, such as http://localhost:3000, may read tiles when it is named; * stands for all.";

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) port: Option<u16>,
    /// As [`tilekeep::open_store`] takes it.
    pub(crate) store: Option<String>,
    pub(crate) allowed_origin: Option<HeaderValue>,
}

impl Options {
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
    }
}
