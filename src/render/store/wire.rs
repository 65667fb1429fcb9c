//! One connection to a server: bytes, each with a time by which it must be there.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::pool::{Failure, left};
use super::spin::{Spin, Wait};

pub(super) struct Wire {
    server: String,
    socket: Box<dyn Socket>,
    /// What the socket was told to wait at most.
    patience: Duration,
    /// When the question that is being asked must be answered.
    end: Instant,
    spin: Spin,
    /// Whether nothing of the answer has come yet.
    is_asked: bool,
}

/// A connection of the system's.
trait Socket: Read + Write + Send {
    /// Sets how long one read or write may take.
    fn set_patience(&self, patience: Duration) -> io::Result<()>;

    /// A read that does not wait: [`WouldBlock`](io::ErrorKind::WouldBlock) when there is nothing yet.
    fn look(&self, into: &mut [u8]) -> io::Result<usize>;
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn look(socket: impl std::os::fd::AsFd, into: &mut [u8]) -> io::Result<usize> {
    let (n, _) = rustix::net::recv(socket, into, rustix::net::RecvFlags::DONTWAIT)?;
    Ok(n)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn look<S>(_: &S, _: &mut [u8]) -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

macro_rules! is_socket {
    ($stream:ty) => {
        impl Socket for $stream {
            fn set_patience(&self, patience: Duration) -> io::Result<()> {
                self.set_read_timeout(Some(patience))?;
                self.set_write_timeout(Some(patience))
            }

            fn look(&self, into: &mut [u8]) -> io::Result<usize> {
                look(self, into)
            }
        }
    };
}

is_socket!(TcpStream);
#[cfg(unix)]
is_socket!(UnixStream);

fn connect(server: &str, end: Instant) -> io::Result<Box<dyn Socket>> {
    #[cfg(unix)]
    if let Some(path) = server.strip_prefix("unix:") {
        return Ok(Box::new(connect_to_path(path, end)?));
    }
    let mut last = io::Error::other("the name has no address");
    for address in server.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(end)?) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(Box::new(stream));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// While a listener's queue is full the system has who connects wait, without end if it is not told otherwise.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn connect_to_path(path: &str, end: Instant) -> io::Result<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let address = SocketAddrUnix::new(path)?;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let stream = UnixStream::from(socket);
    loop {
        stream.set_write_timeout(Some(left(end)?))?;
        match rustix::net::connect(&stream, &address) {
            Ok(()) => return Ok(stream),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Where a listener's queue is full the system refuses at once.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn connect_to_path(path: &str, _: Instant) -> io::Result<UnixStream> {
    UnixStream::connect(path)
}

impl Wire {
    /// To `HOST:PORT` or `unix:PATH`.
    pub(super) fn open(server: &str, end: Instant) -> Result<Self, Failure> {
        let socket = connect(server, end).map_err(|e| Failure::io(server, &e))?;
        Ok(Self { server: server.into(), socket, patience: Duration::ZERO, end, spin: Spin::new(), is_asked: false })
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Begins a question that must be answered by `end`.
    pub(super) fn until(&mut self, end: Instant) {
        self.end = end;
    }

    /// Has the socket wait no longer than is left, or an eighth more: telling it so costs two system calls, and a
    /// question that is answered soon is asked with two.
    fn bound(&mut self) -> io::Result<()> {
        let left = left(self.end)?;
        if self.patience < left || self.patience > left + left / 8 {
            let patience = left + left / 16;
            self.socket.set_patience(patience)?;
            self.patience = patience;
        }
        Ok(())
    }

    pub(super) fn send(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        let mut send = || {
            while !bytes.is_empty() {
                self.bound()?;
                match self.socket.write(bytes) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(n) => bytes = &bytes[n..],
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        let sent = send().map_err(|e| Failure::io(&self.server, &e));
        self.is_asked = true;
        sent
    }
}

impl Read for Wire {
    /// At least one byte: an end is an error.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.bound()?;
            let mut read = |wait: Wait| match wait {
                Wait::Asleep => self.socket.read(into),
                Wait::Not => self.socket.look(into),
            };
            let is_first = std::mem::take(&mut self.is_asked);
            match if is_first { self.spin.wait(read) } else { read(Wait::Asleep) } {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}
