//! Servers that keep tiles, started on ports of this machine's own, and a way to them that can be slow.
#![allow(dead_code, unreachable_pub, reason = "every test uses another part")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// A server as a process of its own, which ends with this.
pub struct Server {
    program: &'static str,
    options: Vec<String>,
    pub port: u16,
    /// Where its socket is, if it is not to be reached by the port.
    socket: Option<PathBuf>,
    child: Child,
}

/// A port that nobody has just now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    /// `None` when there is no such program, which is a failure where peers are required.
    fn start(program: &'static str, options: &[&str]) -> Option<Self> {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        for _ in 0..5 {
            let port = free_port();
            let Some(child) = spawn(program, port, &options) else {
                assert!(std::env::var_os("TILEKEEP_REQUIRE_PEERS").is_none(), "{program} is not installed");
                eprintln!("SKIPPED: {program} is not installed");
                return None;
            };
            let mut server = Self { program, options: options.clone(), port, socket: None, child };
            if server.answers() {
                return Some(server);
            }
        }
        panic!("{program} does not start");
    }

    pub fn memcached(options: &[&str]) -> Option<Self> {
        Self::start("memcached", options)
    }

    /// A server that has a socket in place of a port.
    #[cfg(unix)]
    pub fn by_socket(program: &'static str, options: &[&str]) -> Option<Self> {
        // Where a server may make it that has another user's rights.
        let socket = std::env::temp_dir().join(format!("tilekeep-{}-{}.sock", std::process::id(), free_port()));
        let path = socket.to_str()?;
        let socket_options: &[&str] = match program {
            "memcached" => &["-a", "777", "-s", path],
            _ => &["--unixsocket", path],
        };
        let options: Vec<String> = options.iter().chain(socket_options).map(|option| (*option).to_owned()).collect();
        let child = spawn(program, 0, &options)?;
        let mut server = Self { program, options, port: 0, socket: Some(socket), child };
        assert!(server.answers(), "{program} does not start");
        Some(server)
    }

    pub fn redis(options: &[&str]) -> Option<Self> {
        Self::start("redis-server", options)
    }

    fn answers(&mut self) -> bool {
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end && self.child.try_wait().unwrap().is_none() {
            let is_there = match &self.socket {
                None => TcpStream::connect(("127.0.0.1", self.port)).is_ok(),
                #[cfg(unix)]
                Some(path) => std::os::unix::net::UnixStream::connect(path).is_ok(),
                #[cfg(not(unix))]
                Some(_) => false,
            };
            if is_there {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    pub fn address(&self) -> String {
        match &self.socket {
            None => format!("127.0.0.1:{}", self.port),
            Some(path) => format!("unix:{}", path.display()),
        }
    }

    pub fn kill(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A new process on the same port.
    pub fn restart(&mut self) {
        self.kill();
        for _ in 0..50 {
            self.child = spawn(self.program, self.port, &self.options).unwrap();
            if self.answers() {
                return;
            }
            // The port was not free yet.
            self.kill();
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{} does not start again", self.program);
    }

    /// Stops the process: connections stay, answers do not come.
    pub fn pause(&self) {
        self.signal("STOP");
        // A thread that runs at this moment may answer once more. One that is gone does not.
        let tasks = format!("/proc/{}/task", self.child.id());
        let is_stopped = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 'Z']))
        };
        while std::fs::read_dir(&tasks).is_ok_and(|mut tasks| !tasks.all(|task| task.is_ok_and(is_stopped))) {
            std::thread::yield_now();
        }
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Asks a line of text and gives what came back until there was nothing for a moment.
    pub fn tell(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        let (mut text, mut bytes) = (Vec::new(), [0; 4096]);
        loop {
            match stream.read(&mut bytes) {
                Ok(0) => break,
                Ok(n) => text.extend_from_slice(&bytes[..n]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("{error}"),
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if let Some(path) = &self.socket {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn spawn(program: &str, port: u16, options: &[String]) -> Option<Child> {
    let mut command = Command::new(program);
    let port = port.to_string();
    match program {
        "memcached" => command.args(["-l", "127.0.0.1", "-U", "0", "-u", "nobody", "-p", &port]),
        _ => command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port]),
    };
    command.args(options).stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
    command.current_dir(std::env::temp_dir()).spawn().ok()
}

/// A way to a server that lets bytes through, holds them back for a while, or swallows them.
pub struct Proxy {
    pub port: u16,
    mode: Arc<AtomicU8>,
}

#[derive(Clone, Copy)]
pub enum Way {
    Open = 0,
    /// Each answer comes 100 ms later.
    Slow = 1,
    /// Nothing comes.
    Swallows = 2,
    /// A byte comes every 20 ms.
    Drips = 3,
}

impl Proxy {
    /// It is there as long as the process.
    pub fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mode, to) = (Arc::new(AtomicU8::new(0)), server.port);
        let shared = Arc::clone(&mode);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let (back_from, back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let mode = Arc::clone(&shared);
                std::thread::spawn(move || carry(client, server, None));
                std::thread::spawn(move || carry(back_from, back_to, Some(&mode)));
            }
        });
        Self { port, mode }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn set(&self, way: Way) {
        self.mode.store(way as u8, Ordering::Relaxed);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, mode: Option<&AtomicU8>) {
    let mut bytes = [0; 65536];
    while let Ok(n) = from.read(&mut bytes) {
        match mode.map_or(0, |mode| mode.load(Ordering::Relaxed)) {
            1 => std::thread::sleep(Duration::from_millis(100)),
            2 => continue,
            3 => {
                for byte in &bytes[..n] {
                    std::thread::sleep(Duration::from_millis(20));
                    if to.write_all(&[*byte]).is_err() {
                        return;
                    }
                }
                continue;
            }
            _ => {}
        }
        if n == 0 || to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
