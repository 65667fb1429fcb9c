//! Tiles: what a viewer asks for, raw or encoded, and where they are kept.

mod key;
mod store;
mod styled;
mod tile;

pub use key::TileKey;
pub use store::TileStore;
pub use tile::{Edge, Encoding, Tile, TileRequest};
