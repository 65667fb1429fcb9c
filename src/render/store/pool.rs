//! Connections to one server, kept for whoever comes next.

use std::io;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::sync::{Condvar, Mutex, wait_for};

/// Why a question had no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was none in time.
    Late(Error),
    /// The connection is gone, or nothing that came over it made sense.
    Broken(Error),
    /// The server works and says no.
    Refused(Error),
}

impl Failure {
    /// The failure to talk to `server`.
    pub(super) fn io(server: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                Self::Late(Error::new(ErrorKind::Store, format!("{server}: no answer in time")))
            }
            _ => Self::Broken(Error::new(ErrorKind::Store, format!("{server}: {error}"))),
        }
    }

    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Late(error) | Self::Broken(error) | Self::Refused(error) => error,
        }
    }
}

/// The time left until `end`; an error when there is none.
pub(super) fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Up to `max` connections, each used by one thread at a time.
pub(super) struct Pool<C> {
    server: String,
    max: usize,
    state: Mutex<State<C>>,
    freed: Condvar,
}

struct State<C> {
    idle: Vec<C>,
    n_used: usize,
}

impl<C> Pool<C> {
    pub(super) fn new(server: String, max: usize) -> Self {
        Self { server, max, state: Mutex::new(State { idle: Vec::new(), n_used: 0 }), freed: Condvar::new() }
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Does `work` over a connection, which is kept when it is still good. A kept one may have been closed by the server
    /// since: then the work is tried once more over a new one. Ends at `end`, if `connect` and `work` do.
    pub(super) fn with<T>(
        &self,
        end: Instant,
        connect: impl Fn() -> Result<C, Failure>,
        mut work: impl FnMut(&mut C) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (_permit, idle) = self.permit(end)?;
        if let Some(mut connection) = idle {
            match work(&mut connection) {
                // The others are as old.
                Err(Failure::Broken(_)) => self.drop_idle(),
                done => return self.keep(connection, done),
            }
        }
        let mut connection = connect()?;
        let done = work(&mut connection);
        self.keep(connection, done)
    }

    fn keep<T>(&self, connection: C, done: Result<T, Failure>) -> Result<T, Failure> {
        if matches!(done, Ok(_) | Err(Failure::Refused(_))) {
            self.state.lock().idle.push(connection);
        } else {
            self.drop_idle();
        }
        done
    }

    fn drop_idle(&self) {
        let idle = std::mem::take(&mut self.state.lock().idle);
        drop(idle);
    }

    fn permit(&self, end: Instant) -> Result<(Permit<'_, C>, Option<C>), Failure> {
        let mut state = self.state.lock();
        while state.n_used >= self.max {
            let Ok(left) = left(end) else {
                let message = format!("{}: all {} connections were busy", self.server, self.max);
                return Err(Failure::Late(Error::new(ErrorKind::Store, message)));
            };
            state = wait_for(&self.freed, state, left);
        }
        state.n_used += 1;
        let idle = state.idle.pop();
        Ok((Permit(self), idle))
    }
}

/// The right to have a connection.
struct Permit<'a, C>(&'a Pool<C>);

impl<C> Drop for Permit<'_, C> {
    fn drop(&mut self) {
        self.0.state.lock().n_used -= 1;
        self.0.freed.notify_all();
    }
}
