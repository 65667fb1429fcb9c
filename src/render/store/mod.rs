//! Where rendered tiles are kept beyond this process's memory.

mod backoff;
#[cfg(feature = "disk")]
mod disk;
mod envelope;
#[cfg(feature = "memcached")]
mod memcached;
#[cfg(any(feature = "memcached", feature = "redis"))]
mod pool;
mod queue;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "memcached", feature = "redis"))]
mod spin;
#[cfg(test)]
mod tests;
mod tier;
mod uri;
#[cfg(any(feature = "memcached", feature = "redis"))]
mod wire;

use crate::error::{ErrorKind, Result};

use super::key::TileKey;

pub use tier::StoreStats;
pub use uri::open_store;
pub(crate) use {
    envelope::{StoredTile, TileHeader, seal},
    tier::{StoreOptions, StoreTier},
};

/// A place that keeps rendered tiles beyond this process's memory: a disk, a server, or something of the client's.
///
/// A store is asked only for what is not in memory. It need not trust itself: values come with a checksum, and one that
/// comes back damaged is removed and made again. Every call may come from any thread, and several at once. A call that
/// fails is a miss and a count, and the store is left alone for a while; nobody's tile fails for it.
pub trait TileStore: Send + Sync {
    /// The value under `key`, as it was put; `None` when there is none.
    ///
    /// # Errors
    ///
    /// `store error` when the store did not answer; `corrupt data` when it works and only this value cannot be read.
    fn get(&self, key: TileKey) -> Result<Option<Vec<u8>>>;

    /// The values under `keys`, in their order. Worth its own code where one question is cheaper than many. A value that
    /// cannot be read is not an error of all of them: an empty one says that it is damaged.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    fn get_many(&self, keys: &[TileKey]) -> Result<Vec<Option<Vec<u8>>>> {
        get_one_by_one(self, keys)
    }

    /// Keeps `value` under `key`, in place of one that is there. It is called from a thread of the tile cache's own.
    ///
    /// # Errors
    ///
    /// `store error` when the value was not kept; `limit exceeded` when the store works and only this value is not for
    /// it, which is then not left alone.
    fn put(&self, key: TileKey, value: &[u8]) -> Result<()>;

    /// Forgets the value under `key`, if there is one.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    fn remove(&self, key: TileKey) -> Result<()>;

    /// Forgets what is kept for one raster, [`TileKey::source`].
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    fn remove_source(&self, source: u128) -> Result<()>;

    /// Forgets everything that tilekeep put there, and nothing else.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    fn clear(&self) -> Result<()>;
}

/// The values under `keys` by a question for each.
pub(crate) fn get_one_by_one<S: TileStore + ?Sized>(store: &S, keys: &[TileKey]) -> Result<Vec<Option<Vec<u8>>>> {
    let one = |key: &TileKey| match store.get(*key) {
        // Nobody's value is empty: this one is found to be damaged, and removed.
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Some(Vec::new())),
        Err(error) if error.kind() == ErrorKind::LimitExceeded => Ok(None),
        value => value,
    };
    keys.iter().map(one).collect()
}
