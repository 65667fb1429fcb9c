//! One connection to a memcached server: lines and counted bytes, each with a time by which it must be done.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::render::store::pool::{Failure, left};

/// No line of the protocol is longer.
const MAX_LINE: usize = 2048;
/// Bytes that are asked for when a line is wanted: most tiles come with the line before them.
const READ: usize = 64 << 10;

pub(super) struct Connection {
    server: String,
    stream: TcpStream,
    /// What was received and not read yet, from `start` on.
    received: Vec<u8>,
    start: usize,
    /// When the question that is being asked must be answered.
    end: Instant,
}

impl Connection {
    pub(super) fn open(server: &str, end: Instant) -> Result<Self, Failure> {
        let connect = || {
            let mut last = io::Error::other("the name has no address");
            for address in server.to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, left(end)?) {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        return Ok(stream);
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        };
        let stream = connect().map_err(|e| Failure::io(server, &e))?;
        Ok(Self { server: server.into(), stream, received: Vec::new(), start: 0, end })
    }

    /// Begins a question that must be answered by `end`.
    pub(super) fn until(&mut self, end: Instant) -> &mut Self {
        self.end = end;
        self
    }

    pub(super) fn send(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        let mut send = || {
            while !bytes.is_empty() {
                self.stream.set_write_timeout(Some(left(self.end)?))?;
                match self.stream.write(bytes) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(n) => bytes = &bytes[n..],
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        send().map_err(|e| Failure::io(&self.server, &e))
    }

    /// The next line, without its end.
    pub(super) fn line(&mut self) -> Result<String, Failure> {
        loop {
            let received = &self.received[self.start..];
            if let Some(len) = received.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&received[..len]).into_owned();
                self.start += len + 2;
                return Ok(line);
            }
            if received.len() > MAX_LINE {
                return Err(self.nonsense("a line without an end"));
            }
            self.received.drain(..self.start);
            self.start = 0;
            let mut received = std::mem::take(&mut self.received);
            let at = received.len();
            received.resize(at + READ, 0);
            let n = self.receive(&mut received[at..]);
            received.truncate(at + *n.as_ref().unwrap_or(&0));
            self.received = received;
            n?;
        }
    }

    /// The next `len` bytes and the end of line after them. Memory is taken as they come.
    pub(super) fn bytes(&mut self, len: usize) -> Result<Vec<u8>, Failure> {
        const STEP: usize = 1 << 20;
        let total = len + 2;
        let have = (self.received.len() - self.start).min(total);
        let mut bytes = self.received[self.start..self.start + have].to_vec();
        self.start += have;
        while bytes.len() < total {
            let at = bytes.len();
            bytes.resize(total.min(at + STEP), 0);
            let n = self.receive(&mut bytes[at..])?;
            bytes.truncate(at + n);
        }
        if !bytes.ends_with(b"\r\n") {
            return Err(self.nonsense("a value without an end"));
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    fn receive(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        let mut receive = || loop {
            self.stream.set_read_timeout(Some(left(self.end)?))?;
            match self.stream.read(into) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        };
        receive().map_err(|e| Failure::io(&self.server, &e))
    }

    pub(super) fn nonsense(&self, what: &str) -> Failure {
        Failure::Broken(Error::new(ErrorKind::Store, format!("{}: {what}", self.server)))
    }

    pub(super) fn refusal(&self, line: &str) -> Failure {
        Failure::Refused(Error::limit(format!("{}: {line}", self.server)))
    }
}
