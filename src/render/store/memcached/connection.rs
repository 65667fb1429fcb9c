//! One connection to a memcached server: lines and counted bytes.

use std::io::Read;
use std::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::render::store::pool::Failure;
use crate::render::store::wire::Wire;

/// No line of the protocol is longer.
const MAX_LINE: usize = 2048;
/// Bytes that are asked for when a line is wanted: most tiles come with the line before them.
const READ: usize = 64 << 10;

pub(super) struct Connection {
    wire: Wire,
    /// What was received and not read yet is here, from `start` to `end`.
    received: Vec<u8>,
    start: usize,
    end: usize,
}

impl Connection {
    /// As [`Wire::open`].
    pub(super) fn open(server: &str, end: Instant) -> Result<Self, Failure> {
        Ok(Self { wire: Wire::open(server, end)?, received: vec![0; READ], start: 0, end: 0 })
    }

    /// Begins a question that must be answered by `end`.
    pub(super) fn until(&mut self, end: Instant) -> &mut Self {
        self.wire.until(end);
        self
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.wire.send(bytes)
    }

    /// The next line, without its end.
    pub(super) fn line(&mut self) -> Result<String, Failure> {
        loop {
            let received = &self.received[self.start..self.end];
            if let Some(len) = received.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&received[..len]).into_owned();
                self.start += len + 2;
                return Ok(line);
            }
            let len = received.len();
            if len > MAX_LINE {
                return Err(self.nonsense("a line without an end"));
            }
            self.received.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, len);
            let mut received = std::mem::take(&mut self.received);
            let n = self.receive(&mut received[len..]);
            self.received = received;
            self.end += n?;
        }
    }

    /// The next `len` bytes and the end of line after them. Memory is taken as they come.
    pub(super) fn bytes(&mut self, len: usize) -> Result<Vec<u8>, Failure> {
        const STEP: usize = 1 << 20;
        let total = len + 2;
        let have = (self.end - self.start).min(total);
        let mut bytes = Vec::with_capacity(total.min(STEP));
        bytes.extend_from_slice(&self.received[self.start..self.start + have]);
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
        self.wire.read(into).map_err(|e| Failure::io(self.wire.server(), &e))
    }

    pub(super) fn nonsense(&self, what: &str) -> Failure {
        Failure::Broken(Error::new(ErrorKind::Store, format!("{}: {what}", self.wire.server())))
    }

    pub(super) fn refusal(&self, line: &str) -> Failure {
        Failure::Refused(Error::limit(format!("{}: {line}", self.wire.server())))
    }
}
