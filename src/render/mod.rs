//! Tiles: what a viewer asks for, raw or encoded.

mod styled;
mod tile;

pub use tile::{Edge, Encoding, Tile, TileRequest};
