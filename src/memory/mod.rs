//! Memory that the caches hold: counted in a [`Ledger`], blocks allocated from a [`Pool`] or lent by their source; copies of
//! it; arrays that get memory where it is used; and what the [`System`] says that the process may hold.

mod copy;
mod ledger;
mod lent;
mod pool;
mod sparse;
mod system;

use crate::error::{Error, Result};

pub(crate) use copy::{Rows, copy_bytes, copy_rows};
pub(crate) use ledger::{Charge, Class, Ledger};
pub(crate) use lent::KeptBytes;
pub use lent::LentBytes;
pub(crate) use pool::{Buffer, Pool};
pub(crate) use sparse::{Sparse, Zero};
#[cfg(test)]
pub(crate) use system::Stalled;
pub(crate) use system::{Bound, Reading, System, default_budget};

/// `len` zeros; a size that comes from a file or a caller must not abort the process when there is no such memory.
pub(crate) fn zeroed(len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| Error::limit(format!("no memory for {len} bytes")))?;
    bytes.resize(len, 0);
    Ok(bytes)
}
