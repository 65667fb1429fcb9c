//! Tiles in memcached servers.
//!
//! An item's key is `PREFIX:G:S:KEY`, where G and S are generations: random numbers, kept in the server under `PREFIX:g`
//! and `PREFIX:s:SOURCE`. Forgetting everything, or a raster, is writing another number; what was stored under the old
//! one is never asked for again, and goes when the server needs room. Each process reads them every 10 s: so long others
//! may still find what one has made them forget (which is not wrong, only not forgotten).
//!
//! A tile that is larger than an item may be is stored in parts, `KEY.0` and so on, and under its key is what to look for.
//! A part that is gone makes it a miss.
//!
//! Of several servers each tile has one, by rendezvous hashing: one that comes or goes changes the server of no tile but
//! its own. A server that fails is left alone for up to 4 s, and the others are not.

mod connection;
mod protocol;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};
use crate::render::key::TileKey;
use crate::sync::Mutex;

use self::connection::Connection;
use super::TileStore;
use super::backoff::Backoff;
use super::pool::{Failure, Pool};

/// What an item needs beside its value: the server's header, our key.
const ITEM_OVERHEAD: u64 = 512;
/// Flags of an item that says how large the tile is whose parts lie beside it.
const IN_PARTS: u32 = 1;
/// Larger tiles are not made.
const MAX_VALUE_BYTES: u64 = (2 << 30) + 4096;
/// For how long generations are believed.
const GENERATIONS_FOR: Duration = Duration::from_secs(10);
/// More sources' generations are not remembered.
const MAX_GENERATIONS: usize = 4096;

pub(super) struct Options {
    /// `HOST:PORT` each.
    pub(super) servers: Vec<String>,
    pub(super) prefix: String,
    pub(super) timeout: Duration,
    /// Seconds; 0 without end.
    pub(super) ttl: u32,
    /// The size of an item that the servers take.
    pub(super) item_max: u64,
    /// To each server.
    pub(super) connections: usize,
}

/// Tiles in memcached servers. See the module.
pub(super) struct Memcached {
    servers: Vec<Server>,
    options: Options,
}

struct Server {
    pool: Pool<Connection>,
    /// Used where there are several.
    backoff: Mutex<Backoff>,
    /// By source: both generations, and when they were read.
    generations: Mutex<HashMap<u128, (Generations, Instant)>>,
}

/// Of everything, and of one source.
type Generations = (u64, u64);

impl Memcached {
    pub(super) fn new(options: Options) -> Self {
        let server = |address: &String| Server {
            pool: Pool::new(address.clone(), options.connections),
            backoff: Mutex::default(),
            generations: Mutex::default(),
        };
        Self { servers: options.servers.iter().map(server).collect(), options }
    }

    fn server_of(&self, key: TileKey) -> usize {
        let rank = |server: &Server| {
            let (source, tile) = (key.source.to_le_bytes(), key.tile.to_le_bytes());
            xxh3_64(&[&source[..], &tile[..], server.pool.server().as_bytes()].concat())
        };
        (0..self.servers.len()).max_by_key(|i| rank(&self.servers[*i])).unwrap_or(0)
    }

    /// What an item's value may be.
    fn part_bytes(&self) -> usize {
        (self.options.item_max - ITEM_OVERHEAD) as usize
    }

    /// Asks a server something; `None` when it is one of several and left alone.
    fn ask<T>(
        &self,
        server: &Server,
        mut question: impl FnMut(&mut Connection) -> Result<T, Failure>,
    ) -> Result<Option<T>> {
        let alone = self.servers.len() == 1;
        if !alone && !server.backoff.lock().may_use(Instant::now()) {
            return Ok(None);
        }
        let end = Instant::now() + self.options.timeout;
        let connect = || Connection::open(server.pool.server(), end);
        let answer = server.pool.with(end, connect, |connection| question(connection.until(end)));
        if matches!(answer, Ok(_) | Err(Failure::Refused(_))) {
            server.backoff.lock().succeeded();
        } else {
            server.backoff.lock().failed(Instant::now());
            server.generations.lock().clear();
        }
        answer.map(Some).map_err(|failure| {
            let error = failure.into_error();
            // What one server does must not stop the use of the others.
            if alone { error } else { Error::limit(error.message()) }
        })
    }

    fn generation_keys(&self, source: u128) -> [String; 2] {
        let prefix = &self.options.prefix;
        [format!("{prefix}:g"), format!("{prefix}:s:{source:032x}")]
    }

    fn generations(&self, server: &Server, connection: &mut Connection, source: u128) -> Result<Generations, Failure> {
        let now = Instant::now();
        if let Some((known, read)) = server.generations.lock().get(&source)
            && now.duration_since(*read) < GENERATIONS_FOR
        {
            return Ok(*known);
        }
        let keys = self.generation_keys(source);
        // Whatever is there counts.
        let number = |item: &Option<(u32, Vec<u8>)>| item.as_ref().map(|(_, text)| xxh3_64(text));
        for _ in 0..2 {
            let items = connection.get(&keys, 1024)?;
            if let [Some(all), Some(own)] = [number(&items[0]), number(&items[1])] {
                let mut generations = server.generations.lock();
                if generations.len() >= MAX_GENERATIONS {
                    generations.clear();
                }
                generations.insert(source, ((all, own), now));
                return Ok((all, own));
            }
            for (key, item) in keys.iter().zip(&items) {
                if item.is_none() {
                    // Somebody else may be faster; then that one's is it.
                    connection.add(key, new_generation().as_bytes())?;
                }
            }
        }
        Err(connection.nonsense("it does not keep what it is given"))
    }

    fn item_key(&self, generations: Generations, key: TileKey) -> String {
        format!("{}:{:x}:{:x}:{key}", self.options.prefix, generations.0, generations.1)
    }

    /// The values under keys that are all of one server.
    fn get_from(&self, server: &Server, connection: &mut Connection, keys: &[TileKey]) -> Result<Values, Failure> {
        let mut names = Vec::with_capacity(keys.len());
        for key in keys {
            names.push(self.item_key(self.generations(server, connection, key.source)?, *key));
        }
        let items = connection.get(&names, self.options.item_max)?;
        let mut values = Values::with_capacity(items.len());
        for (name, item) in names.iter().zip(items) {
            values.push(match item {
                Some((IN_PARTS, total)) => self.join(connection, name, &total)?,
                Some((_, value)) => Some(value),
                None => None,
            });
        }
        Ok(values)
    }

    /// A value from its parts; `None` when one is not there, or not what the others belong to.
    fn join(&self, connection: &mut Connection, name: &str, manifest: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let Some((total, part)) = read_manifest(manifest) else { return Ok(None) };
        let n_parts = total.div_ceil(part);
        let mut value = Vec::new();
        // Few at a time: when an early one is gone, the others are not asked for.
        for first in (0..n_parts).step_by(8) {
            let names: Vec<String> = (first..n_parts.min(first + 8)).map(|i| format!("{name}.{i}")).collect();
            for item in connection.get(&names, self.options.item_max)? {
                let len = (total - value.len() as u64).min(part);
                match item {
                    Some((_, bytes)) if bytes.len() as u64 == len => value.extend_from_slice(&bytes),
                    _ => return Ok(None),
                }
            }
        }
        Ok(Some(value))
    }

    fn put_to(&self, server: &Server, connection: &mut Connection, key: TileKey, value: &[u8]) -> Result<(), Failure> {
        let name = self.item_key(self.generations(server, connection, key.source)?, key);
        let (part, ttl) = (self.part_bytes(), self.options.ttl);
        if value.len() <= part {
            connection.send_item(&name, 0, ttl, value)?;
            return connection.stored();
        }
        for (i, bytes) in value.chunks(part).enumerate() {
            connection.send_item(&format!("{name}.{i}"), 0, ttl, bytes)?;
            connection.stored()?;
        }
        let manifest = [(value.len() as u64).to_le_bytes(), (part as u64).to_le_bytes()].concat();
        connection.send_item(&name, IN_PARTS, ttl, &manifest)?;
        connection.stored()
    }

    /// Makes another generation of everything or of one source, on every server.
    fn renew(&self, source: Option<u128>) -> Result<()> {
        let keys = self.generation_keys(source.unwrap_or(0));
        let key = if source.is_some() { &keys[1] } else { &keys[0] };
        let mut result = Ok(());
        for server in &self.servers {
            let renewed = self.ask(server, |connection| {
                connection.send_item(key, 0, 0, new_generation().as_bytes())?;
                connection.stored()
            });
            server.generations.lock().clear();
            result = result.and(match renewed {
                Ok(Some(())) => Ok(()),
                Ok(None) => Err(Error::limit(format!("{}: it is left alone now", server.pool.server()))),
                Err(error) => Err(error),
            });
        }
        result
    }
}

type Values = Vec<Option<Vec<u8>>>;

/// The size of a value and of its parts.
fn read_manifest(bytes: &[u8]) -> Option<(u64, u64)> {
    let (total, part) = bytes.split_first_chunk::<8>()?;
    let (total, part) = (u64::from_le_bytes(*total), u64::from_le_bytes(part.try_into().ok()?));
    let sane = total <= MAX_VALUE_BYTES && part >= 512 && part < total;
    sane.then_some((total, part))
}

/// A number that nobody has had before, in words.
fn new_generation() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

impl TileStore for Memcached {
    fn get(&self, key: TileKey) -> Result<Option<Vec<u8>>> {
        let server = &self.servers[self.server_of(key)];
        let values = self.ask(server, |connection| self.get_from(server, connection, &[key]))?;
        Ok(values.and_then(|mut values| values.pop().flatten()))
    }

    fn get_many(&self, keys: &[TileKey]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut of_server = vec![Vec::new(); self.servers.len()];
        for (i, key) in keys.iter().enumerate() {
            of_server[self.server_of(*key)].push(i);
        }
        let (mut all, mut any_answer, mut failure) = (vec![None; keys.len()], false, None);
        for (server, places) in self.servers.iter().zip(of_server).filter(|(_, places)| !places.is_empty()) {
            let theirs: Vec<TileKey> = places.iter().map(|i| keys[*i]).collect();
            match self.ask(server, |connection| self.get_from(server, connection, &theirs)) {
                Ok(values) => {
                    any_answer = true;
                    for (i, value) in places.into_iter().zip(values.unwrap_or_default()) {
                        all[i] = value;
                    }
                }
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if !any_answer => Err(error),
            _ => Ok(all),
        }
    }

    fn put(&self, key: TileKey, value: &[u8]) -> Result<()> {
        if value.len() as u64 > MAX_VALUE_BYTES {
            return Err(Error::limit(format!("a tile of {} bytes", value.len())));
        }
        let server = &self.servers[self.server_of(key)];
        let stored = self.ask(server, |connection| self.put_to(server, connection, key, value))?;
        stored.ok_or_else(|| Error::limit(format!("{}: it is left alone now", server.pool.server())))
    }

    fn remove(&self, key: TileKey) -> Result<()> {
        let server = &self.servers[self.server_of(key)];
        let removed = self.ask(server, |connection| {
            let name = self.item_key(self.generations(server, connection, key.source)?, key);
            connection.delete(&name)
        })?;
        removed.ok_or_else(|| Error::limit(format!("{}: it is left alone now", server.pool.server())))
    }

    fn remove_source(&self, source: u128) -> Result<()> {
        self.renew(Some(source))
    }

    fn clear(&self) -> Result<()> {
        self.renew(None)
    }
}
