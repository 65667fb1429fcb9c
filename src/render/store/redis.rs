//! Tiles in a Redis or Valkey server: `PREFIX:KEY`, a string each.
//!
//! The protocol is the redis crate's. The connection is our own: the crate's bounds each read, and a question of many reads
//! has no end.

use std::time::{Duration, Instant};

use ::redis::{Cmd, FromRedisValue, Parser, RedisError, cmd};

use crate::error::{Error, ErrorKind, Result};
use crate::render::key::TileKey;

use super::TileStore;
use super::pool::{Failure, Pool};
use super::wire::Wire;

/// What a string of the server may hold.
const MAX_VALUE_BYTES: usize = 512 << 20;
/// Keys in one question.
const WINDOW: usize = 64;

pub(super) struct Options {
    /// `HOST:PORT` or `unix:PATH`.
    pub(super) server: String,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: u32,
    pub(super) prefix: String,
    pub(super) timeout: Duration,
    /// Seconds; 0 without end.
    pub(super) ttl: u32,
    pub(super) connections: usize,
}

/// Tiles in a Redis or Valkey server. See the module.
pub(super) struct Redis {
    pool: Pool<Connection>,
    options: Options,
}

impl Redis {
    pub(super) fn new(options: Options) -> Self {
        Self { pool: Pool::new(options.server.clone(), options.connections), options }
    }

    fn name(&self, key: TileKey) -> String {
        format!("{}:{key}", self.options.prefix)
    }

    /// Asks questions that depend on nothing but the connection, all within one timeout.
    fn ask<T>(&self, mut questions: impl FnMut(&mut Connection) -> Result<T, Failure>) -> Result<T> {
        let end = Instant::now() + self.options.timeout;
        let connect = || Connection::open(&self.options, end);
        let answer = self.pool.with(end, connect, |connection| {
            connection.wire.until(end);
            questions(connection)
        });
        answer.map_err(Failure::into_error)
    }

    /// Removes the tiles of a source, or all: a few thousand keys at a time, each time within the timeout.
    fn remove_all(&self, source: Option<u128>) -> Result<()> {
        // Every key has the same length, so that the keys of a longer prefix do not match.
        let any = "?".repeat(32);
        let source = source.map_or_else(|| any.clone(), |source| format!("{source:032x}"));
        let pattern = format!("{}:{source}-{any}", self.options.prefix);
        let mut cursor = 0_u64;
        loop {
            cursor = self.ask(|server| {
                let mut scan = cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(2000);
                let (next, names): (u64, Vec<Vec<u8>>) = server.ask(&scan)?;
                if !names.is_empty() {
                    server.ask::<u64>(cmd("UNLINK").arg(names))?;
                }
                Ok(next)
            })?;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}

struct Connection {
    wire: Wire,
    parser: Parser,
}

impl Connection {
    /// One that may ask questions.
    fn open(options: &Options, end: Instant) -> Result<Self, Failure> {
        let mut connection = Self { wire: Wire::open(&options.server, end)?, parser: Parser::new() };
        if let Some(password) = &options.password {
            connection.ask::<()>(cmd("AUTH").arg(&options.username).arg(password))?;
        }
        if options.database != 0 {
            connection.ask::<()>(cmd("SELECT").arg(options.database))?;
        }
        Ok(connection)
    }

    fn ask<T: FromRedisValue>(&mut self, question: &Cmd) -> Result<T, Failure> {
        self.wire.send(&question.get_packed_command())?;
        let value = self.parser.parse_value(&mut self.wire).and_then(::redis::Value::extract_error);
        let answer = value.and_then(|value| Ok(T::from_redis_value(value)?));
        answer.map_err(|e| failure(self.wire.server(), &e))
    }
}

fn failure(server: &str, error: &RedisError) -> Failure {
    let said = |kind| Error::new(kind, format!("{server}: {error}"));
    match error.code() {
        // The server is full, or thinks that the value is too large: it works.
        Some("OOM") => Failure::Refused(said(ErrorKind::LimitExceeded)),
        // It starts, is a replica, wants a password: nothing that the next value would change.
        Some(_) => Failure::Refused(said(ErrorKind::Store)),
        None if error.is_timeout() => Failure::Late(said(ErrorKind::Store)),
        None => Failure::Broken(said(ErrorKind::Store)),
    }
}

impl TileStore for Redis {
    fn get(&self, key: TileKey) -> Result<Option<Vec<u8>>> {
        self.ask(|server| server.ask(cmd("GET").arg(self.name(key))))
    }

    fn get_many(&self, keys: &[TileKey]) -> Result<Vec<Option<Vec<u8>>>> {
        self.ask(|server| {
            let mut values = Vec::with_capacity(keys.len());
            for keys in keys.chunks(WINDOW) {
                let names: Vec<String> = keys.iter().map(|key| self.name(*key)).collect();
                values.extend(server.ask::<Vec<Option<Vec<u8>>>>(cmd("MGET").arg(names))?);
            }
            Ok(values)
        })
    }

    fn put(&self, key: TileKey, value: &[u8]) -> Result<()> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(Error::limit(format!("a tile of {} bytes; Redis keeps up to {MAX_VALUE_BYTES}", value.len())));
        }
        let mut set = cmd("SET");
        set.arg(self.name(key)).arg(value);
        if self.options.ttl > 0 {
            set.arg("EX").arg(self.options.ttl);
        }
        self.ask(|server| server.ask(&set))
    }

    fn remove(&self, key: TileKey) -> Result<()> {
        self.ask(|server| server.ask::<u64>(cmd("UNLINK").arg(self.name(key)))).map(drop)
    }

    fn remove_source(&self, source: u128) -> Result<()> {
        self.remove_all(Some(source))
    }

    fn clear(&self) -> Result<()> {
        self.remove_all(None)
    }
}
