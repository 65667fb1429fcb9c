//! Where rendered tiles are kept beside memory.

use std::ffi::{CString, c_char, c_void};

use crate::error::{Error, ErrorKind, Result};
use crate::render::{self, TileKey, TileStore};

use super::client::Client;
use super::pointers::{Growing, borrow_mut, end_of, null, read_struct, text};
use super::source::tilekeep_destroy_fn;
use super::status::{TILEKEEP_ERR_NOT_FOUND, TILEKEEP_OK, guard, kind_of, take_said, tilekeep_status};

/// Where a store of the client's puts a value that was asked for: see tilekeep_store_value_set.
///
/// @since 0.1
pub struct tilekeep_store_value {
    bytes: Option<Vec<u8>>,
}

/// Looks a value up. The key is 65 characters: 32 hexadecimal digits that are the same for all tiles of a raster, a '-', and
/// 32 digits. Gives the value with tilekeep_store_value_set and returns TILEKEEP_OK; returns TILEKEEP_ERR_NOT_FOUND
/// when there is none, or another TILEKEEP_ERR_ code. Called from any thread, from several at once, never under a lock of
/// the library.
///
/// @since 0.1
pub type tilekeep_store_get_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        key: *const c_char,
        value: *mut tilekeep_store_value,
    ) -> tilekeep_status,
>;

/// Looks n_keys values up at once, those of a viewport; the keys and how values are given are those of
/// tilekeep_store_get_fn. values has a place for the value of each key; one that nothing was put into says that there is
/// none. Returns TILEKEEP_OK, or another TILEKEEP_ERR_ code when the store did not answer.
///
/// @since 0.1
pub type tilekeep_store_get_many_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        keys: *const *const c_char,
        values: *const *mut tilekeep_store_value,
        n_keys: usize,
    ) -> tilekeep_status,
>;

/// Keeps a value under a key, in place of one that is there. Called from a thread of the library's, for which it must not
/// flush, clear or set the store, nor invalidate a dataset: that would wait for itself.
///
/// @since 0.1
pub type tilekeep_store_put_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        key: *const c_char,
        data: *const c_void,
        size: usize,
    ) -> tilekeep_status,
>;

/// Forgets the values whose key begins with a text: all of the key, the 32 digits of one raster, or nothing, which is all
/// that tilekeep put there. That there are none is no failure.
///
/// @since 0.1
pub type tilekeep_store_remove_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, key_prefix: *const c_char) -> tilekeep_status>;

/// A client's own store of rendered tiles. The struct is copied.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_tile_store {
    /// sizeof(tilekeep_tile_store).
    pub struct_size: u32,
    /// Must be 0.
    pub reserved: u32,
    /// Given to the functions as their first argument.
    pub user_data: *mut c_void,
    /// May be NULL.
    pub destroy: tilekeep_destroy_fn,
    /// Looks a value up.
    pub get: tilekeep_store_get_fn,
    /// Keeps a value.
    pub put: tilekeep_store_put_fn,
    /// Forgets values.
    pub remove: tilekeep_store_remove_fn,
    /// Looks many values up at once. NULL: get is called for each.
    pub get_many: tilekeep_store_get_many_fn,
}

// SAFETY: `repr(C)`, size first. A function pointer is wrapped in `Option`, for which NULL is a value; that any other
// bytes are a function is the caller's promise, as for every pointer.
unsafe impl Growing for tilekeep_tile_store {
    const NAME: &'static str = "tilekeep_tile_store";
    const OLDEST: usize = end_of!(tilekeep_tile_store, remove);

    fn defaults() -> Self {
        Self {
            struct_size: 0,
            reserved: 0,
            user_data: std::ptr::null_mut(),
            destroy: None,
            get: None,
            put: None,
            remove: None,
            get_many: None,
        }
    }
}

/// Keeps rendered tiles in a store too, beyond this process's memory, in place of the store that was set before. A tile
/// that is not in memory is looked for there before it is made, and written there afterwards, by a thread of the library's
/// own. A store that is slow, full or gone costs a miss and a count, never a tile. Only tiles of files are stored.
///
/// The URI is one of
///
/// ```text
/// memory:                                                      no store
/// disk:DIR?max=SIZE                                            files in a folder that processes may share
/// memcached://HOST:PORT,.../PREFIX?timeout_ms=500              memcached servers
/// memcached:unix:PATH?prefix=P&timeout_ms=500                   a memcached server of this machine, by its socket
/// redis://USER:PASSWORD@HOST:PORT/DB?prefix=P&timeout_ms=500   a Redis or Valkey server
/// redis:unix:PATH?password=PASSWORD&prefix=P&timeout_ms=500    a Redis or Valkey server of this machine, by its socket
/// ```
///
/// of which all but the scheme, the folder and the host may be left out. SIZE may end in K, M, G or T. A build without one
/// of them says TILEKEEP_ERR_UNSUPPORTED.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_set_tile_store(uri: *const c_char) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let uri = unsafe { text(uri, "uri") }?;
        render::set_tile_store(render::open_store(uri)?)
    })
}

/// Keeps rendered tiles in a store of the client's, as tilekeep_set_tile_store does. destroy is called exactly once: when
/// another store was set and nobody uses this one any more, or before this returns a failure; not, though, when store is
/// NULL or its struct_size is wrong, for then it cannot be known. A store that is set when the program ends is not
/// destroyed.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_set_client_tile_store(store: *const tilekeep_tile_store) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let store = unsafe { read_struct(store) }?;
        // From here on `destroy` runs, whatever happens.
        let client = Client { user_data: store.user_data, destroy: store.destroy };
        if store.reserved != 0 {
            return Err(Error::invalid("tilekeep_tile_store: reserved is not 0"));
        }
        let get = store.get.ok_or_else(|| null("get of tilekeep_tile_store"))?;
        let put = store.put.ok_or_else(|| null("put of tilekeep_tile_store"))?;
        let remove = store.remove.ok_or_else(|| null("remove of tilekeep_tile_store"))?;
        render::set_tile_store(Some(Box::new(ClientStore { get, get_many: store.get_many, put, remove, client })))
    })
}

/// Gives a value to the library, from within the function that looks it up; the bytes are copied. An earlier value is
/// replaced.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_store_value_set(
    value: *mut tilekeep_store_value,
    data: *const c_void,
    size: usize,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (value, data) = unsafe { (borrow_mut(value, "value")?, super::pointers::bytes(data, size, "data")?) };
        let mut copy = Vec::new();
        copy.try_reserve_exact(data.len()).map_err(|_| Error::limit(format!("no memory for {size} bytes")))?;
        copy.extend_from_slice(data);
        value.bytes = Some(copy);
        Ok(())
    })
}

/// Returns when the tiles made so far are in the store, or were dropped because it failed. Does nothing without one.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn tilekeep_flush_tile_store() -> tilekeep_status {
    guard(|| {
        render::flush_tile_store();
        Ok(())
    })
}

/// Forgets what tilekeep has in the store, for all who share it. TILEKEEP_ERR_NOT_FOUND when no store is set.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn tilekeep_clear_tile_store() -> tilekeep_status {
    guard(render::clear_tile_store)
}

/// Returns what the store failed with last, however long ago, with its words in tilekeep_last_error; TILEKEEP_OK when it
/// did not, or none is set.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn tilekeep_tile_store_error() -> tilekeep_status {
    guard(|| render::tile_store_error().map_or(Ok(()), Err))
}

type Get = unsafe extern "C" fn(*mut c_void, *const c_char, *mut tilekeep_store_value) -> tilekeep_status;
type GetMany =
    unsafe extern "C" fn(*mut c_void, *const *const c_char, *const *mut tilekeep_store_value, usize) -> tilekeep_status;
type Put = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_void, usize) -> tilekeep_status;
type Remove = unsafe extern "C" fn(*mut c_void, *const c_char) -> tilekeep_status;

struct ClientStore {
    get: Get,
    get_many: Option<GetMany>,
    put: Put,
    remove: Remove,
    client: Client,
}

impl ClientStore {
    fn remove(&self, prefix: String) -> Result<()> {
        let prefix = c_text(prefix)?;
        take_said();
        // SAFETY: the client's function, called as the header says, with a text that lives during the call.
        told(unsafe { (self.remove)(self.client.user_data, prefix.as_ptr()) })
    }
}

impl TileStore for ClientStore {
    fn get(&self, key: TileKey) -> Result<Option<Vec<u8>>> {
        let (key, mut value) = (c_text(key.to_string())?, tilekeep_store_value { bytes: None });
        take_said();
        // SAFETY: the client's function, called as the header says, with a text and a value that live during the call.
        match unsafe { (self.get)(self.client.user_data, key.as_ptr(), &raw mut value) } {
            TILEKEEP_ERR_NOT_FOUND => Ok(None),
            status => told(status).map(|()| value.bytes),
        }
    }

    fn get_many(&self, keys: &[TileKey]) -> Result<Vec<Option<Vec<u8>>>> {
        let Some(get_many) = self.get_many else { return render::get_one_by_one(self, keys) };
        let keys: Vec<CString> = keys.iter().map(|key| c_text(key.to_string())).collect::<Result<_>>()?;
        let mut values: Vec<_> = keys.iter().map(|_| tilekeep_store_value { bytes: None }).collect();
        let names: Vec<*const c_char> = keys.iter().map(|key| key.as_ptr()).collect();
        let places: Vec<*mut tilekeep_store_value> = values.iter_mut().map(std::ptr::from_mut).collect();
        take_said();
        // SAFETY: the client's function, called as the header says, with texts and values that live during the call, as
        // many as stated.
        told(unsafe { get_many(self.client.user_data, names.as_ptr(), places.as_ptr(), names.len()) })?;
        Ok(values.into_iter().map(|value| value.bytes).collect())
    }

    fn put(&self, key: TileKey, value: &[u8]) -> Result<()> {
        let key = c_text(key.to_string())?;
        take_said();
        // SAFETY: the client's function, called as the header says, with memory of exactly the size stated.
        told(unsafe { (self.put)(self.client.user_data, key.as_ptr(), value.as_ptr().cast(), value.len()) })
    }

    fn remove(&self, key: TileKey) -> Result<()> {
        self.remove(key.to_string())
    }

    fn remove_source(&self, source: u128) -> Result<()> {
        self.remove(format!("{source:032x}"))
    }

    fn clear(&self) -> Result<()> {
        self.remove(String::new())
    }
}

fn c_text(text: String) -> Result<CString> {
    CString::new(text).map_err(|_| Error::internal("a key with a zero in it"))
}

/// What a callback returned, in the words that it left.
fn told(status: tilekeep_status) -> Result<()> {
    let said = take_said();
    match status {
        TILEKEEP_OK => Ok(()),
        status if said.is_empty() => Err(Error::new(store_kind(status), format!("the store returned {status}"))),
        status => Err(Error::new(store_kind(status), said)),
    }
}

/// A limit is one of this value, and damage too; whatever else a client returns is the store's failure.
fn store_kind(status: tilekeep_status) -> ErrorKind {
    match kind_of(status) {
        kind @ (ErrorKind::LimitExceeded | ErrorKind::Corrupt) => kind,
        _ => ErrorKind::Store,
    }
}
