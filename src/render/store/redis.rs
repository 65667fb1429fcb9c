//! Tiles in a Redis or Valkey server: `PREFIX:KEY`, a string each.

use std::time::{Duration, Instant};

use ::redis::{Client, Cmd, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisError, cmd};

use crate::error::{Error, ErrorKind, Result};
use crate::render::key::TileKey;

use super::TileStore;
use super::pool::{Failure, Pool, left};

/// What a string of the server may hold.
const MAX_VALUE_BYTES: usize = 512 << 20;
/// Keys in one question.
const WINDOW: usize = 64;

pub(super) struct Options {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: u16,
    pub(super) prefix: String,
    pub(super) timeout: Duration,
    /// Seconds; 0 without end.
    pub(super) ttl: u32,
    pub(super) connections: usize,
}

/// Tiles in a Redis or Valkey server. See the module.
pub(super) struct Redis {
    client: Client,
    pool: Pool<::redis::Connection>,
    prefix: String,
    timeout: Duration,
    ttl: u32,
    /// What is asked over a new connection before anything else, and one. The client library waits for each of them
    /// as long as it may wait to be connected.
    n_greetings: u32,
}

impl Redis {
    pub(super) fn new(options: Options) -> Result<Self> {
        let mut settings = RedisConnectionInfo::default().set_db(i64::from(options.database)).set_skip_set_lib_name();
        let n_greetings = 1 + u32::from(options.password.is_some()) + u32::from(options.database != 0);
        if let Some(username) = options.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = options.password {
            settings = settings.set_password(password);
        }
        let server = format!("{}:{}", options.host, options.port);
        let address = ConnectionAddr::Tcp(options.host, options.port);
        let client = address.into_connection_info().and_then(|info| Client::open(info.set_redis_settings(settings)));
        let client = client.map_err(|e| Error::invalid(format!("{server}: {e}")))?;
        let pool = Pool::new(server, options.connections);
        Ok(Self { client, pool, prefix: options.prefix, timeout: options.timeout, ttl: options.ttl, n_greetings })
    }

    fn name(&self, key: TileKey) -> String {
        format!("{}:{key}", self.prefix)
    }

    /// Asks questions that depend on nothing but the connection, all within one timeout.
    fn ask<T>(&self, mut questions: impl FnMut(&mut Asking<'_>) -> Result<T, Failure>) -> Result<T> {
        let (server, end) = (self.pool.server(), Instant::now() + self.timeout);
        let connect = || {
            let left = left(end).map_err(|e| Failure::io(server, &e))?;
            self.client.get_connection_with_timeout(left / self.n_greetings).map_err(|e| failure(server, &e))
        };
        let answer = self.pool.with(end, connect, |connection| questions(&mut Asking { connection, server, end }));
        answer.map_err(Failure::into_error)
    }

    /// Removes the tiles of a source, or all: a few thousand keys at a time, each time within the timeout.
    fn remove_all(&self, source: Option<u128>) -> Result<()> {
        // Every key has the same length, so that the keys of a longer prefix do not match.
        let any = "?".repeat(32);
        let source = source.map_or_else(|| any.clone(), |source| format!("{source:032x}"));
        let pattern = format!("{}:{source}-{any}", self.prefix);
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

struct Asking<'a> {
    connection: &'a mut ::redis::Connection,
    server: &'a str,
    end: Instant,
}

impl Asking<'_> {
    fn ask<T: ::redis::FromRedisValue>(&mut self, question: &Cmd) -> Result<T, Failure> {
        let left = Some(left(self.end).map_err(|e| Failure::io(self.server, &e))?);
        let connection = &mut self.connection;
        let bounded = connection.set_read_timeout(left).and_then(|()| connection.set_write_timeout(left));
        bounded.and_then(|()| question.query(connection)).map_err(|e| failure(self.server, &e))
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
        if self.ttl > 0 {
            set.arg("EX").arg(self.ttl);
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
