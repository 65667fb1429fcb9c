//! Tiles: what a viewer asks for, raw or encoded, and where they are kept.

mod bytes;
mod cache;
mod key;
mod plans;
mod store;
mod styled;
mod tile;

pub use crate::encode::{Chroma, Encoding};
pub use bytes::TileBytes;
pub use cache::{TileCacheStats, clear_tile_cache, set_tile_cache_max, tile_cache_max, tile_cache_stats};
pub use key::TileKey;
pub use plans::TileStyle;
pub use store::{StoreStats, TileStore, open_store};
pub use tile::{Edge, Tile, TileRequest};
