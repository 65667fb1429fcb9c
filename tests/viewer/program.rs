//! The viewer as a program of its own, and a client that speaks just enough HTTP.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

/// The features of the library that this test was built with.
macro_rules! features {
    ($($name:literal)*) => { [$(($name, cfg!(feature = $name))),*] };
}

const FEATURES: [(&str, bool); 10] =
    features!["default" "disk" "icc" "jpeg2000" "jpegxl" "libdeflate" "libwebp" "libzstd" "memcached" "redis"];

/// The program, built with the features of this test, `default` among them: with others all of the library would be built
/// once more. After `cargo test`, which builds examples, there is nothing left to do.
pub(crate) fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--quiet", "--example", "viewer", "--no-default-features"]);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        for (feature, _) in FEATURES.iter().filter(|(_, is_on)| *is_on) {
            command.args(["--features", feature]);
        }
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        assert!(command.status().unwrap().success(), "{command:?}");
        let test = std::env::current_exe().unwrap();
        test.parent().and_then(Path::parent).unwrap().join("examples/viewer")
    })
}

/// A viewer that runs, on a port of its own.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start(files: &[&Path]) -> Self {
        Self::start_with(files.iter().map(|file| file.as_os_str()))
    }

    pub(crate) fn start_with(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut command = Command::new(program());
        let mut child = command.args(["--port", "0"]).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines
            .into_iter()
            .find_map(|line| line.strip_prefix("http://127.0.0.1:")?.trim_end_matches('/').parse().ok())
            .expect("the viewer says where it listens");
        Self { child, port }
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], b"")
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let reply = self.get(path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        serde_json::from_slice(&reply.body).unwrap()
    }

    /// A request of its own connection, with these headers beside `Host`.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "host") {
            head += &format!("host: 127.0.0.1:{}\r\n", self.port);
        }
        headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        // A server that refuses may close before it has read everything.
        let _ = stream.write_all(&[head.as_bytes(), b"\r\n", body].concat());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Reply::parse(&answer, method == "HEAD")
    }

    /// Asks the program to stop; gives whether it ended well.
    pub(crate) fn stop(mut self) -> bool {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        self.child.wait().unwrap().success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    fn parse(answer: &[u8], is_head: bool) -> Self {
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an answer with a head");
        let head = std::str::from_utf8(&answer[..end]).unwrap();
        let (first, lines) = head.split_once("\r\n").unwrap();
        let headers: Vec<_> = lines
            .split("\r\n")
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let reply = Self { status, headers, body: answer[end + 4..].to_vec() };
        if let Some(length) = reply.header("content-length").filter(|_| !is_head && status != 304) {
            assert_eq!(reply.body.len().to_string(), length);
        }
        reply
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[test]
fn the_program_is_built_with_all_features_that_there_are() {
    let manifest = include_str!("../../Cargo.toml");
    let table = manifest.split("\n[features]\n").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap();
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let mut names: Vec<_> = lines.filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
    names.sort_unstable();
    assert_eq!(names, FEATURES.map(|(name, _)| name));
}
