//! Memory that the caches hold: counted in a [`Ledger`], blocks allocated from a [`Pool`].

mod ledger;
mod pool;

pub(crate) use ledger::{Charge, Class, Ledger};
pub(crate) use pool::{Buffer, Pool};
