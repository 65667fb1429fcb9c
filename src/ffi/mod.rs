//! The C ABI: the public API again, spelled for C. Nothing imports it.
//!
//! Its comments are written for readers of `include/tilekeep.h`, which is generated from them. The rules that all
//! functions follow stand at the top of that header (`cbindgen.toml` holds their text).

#![expect(unsafe_code, reason = "a C ABI takes and gives raw pointers")]
#![allow(non_camel_case_types, reason = "the names are those that C programs write")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "one rule of the header covers all pointers of a call")]
#![allow(clippy::missing_safety_doc, reason = "the rules at the top of the header are the contract of every function")]

pub mod blocks;
pub mod cache;
pub mod catalog;
mod client;
pub mod codes;
pub mod dataset;
pub mod describe;
pub mod facts;
pub mod info;
pub mod options;
pub mod pages;
mod pointers;
pub mod pressure;
pub mod request;
pub mod source;
pub mod status;
pub mod tile;
pub mod tile_cache;
pub mod tile_store;
pub mod tiles;
mod tokens;
pub mod window;
