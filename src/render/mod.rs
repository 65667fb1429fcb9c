//! Tiles: what a viewer asks for, raw or encoded, and where they are kept.

mod bytes;
mod cache;
mod draw;
mod key;
mod look;
mod passed;
mod plans;
mod read;
mod store;
mod styled;
#[cfg(test)]
mod tests;
mod tile;

pub use crate::encode::{Chroma, Encoding};
pub use bytes::TileBytes;
pub use cache::{
    TileCacheStats, clear_tile_cache, clear_tile_store, flush_tile_store, set_tile_cache_max, set_tile_store,
    tile_cache_max, tile_cache_stats, tile_store_error,
};
pub use key::TileKey;
pub use plans::TileStyle;
pub(crate) use store::get_one_by_one;
pub use store::{StoreStats, TileStore, open_store};
pub use tile::{Edge, Tile, TileRequest};
