//! What can be shown of a tile at once.

use std::ffi::c_void;

use crate::error::{Error, ErrorKind, Result};
use crate::render::TileRequest;
use crate::request::Available;

use super::super::dataset::tilekeep_dataset;
use super::super::pointers::{Growing, Out, borrow, end_of, out, read_options};
use super::super::status::{guard, tilekeep_status};
use super::super::tile::tilekeep_tile_options;
use super::tilekeep_requests;

/// Tiles in memory that show a tile, or parts of it, in another resolution. Give it to tilekeep_available_free, but for one
/// that a callback is given.
///
/// @since 0.1
pub struct tilekeep_available {
    available: Available,
}

impl From<Available> for tilekeep_available {
    fn from(available: Available) -> Self {
        Self { available }
    }
}

/// A part of a tile that is at hand, and which part of the wanted tile it shows. Rectangles are x, y, width, height.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_available_part {
    /// sizeof(tilekeep_available_part), set by the caller.
    pub struct_size: u32,
    /// 1: a tile of level, which is that of the wanted one if it is the tile itself. 0: a picture of its own, as a thumbnail.
    pub has_level: u32,
    /// The level of the tile at hand.
    pub level: u32,
    /// Pixels across the tile at hand.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// As in tilekeep_tile.
    pub n_bands: u32,
    /// The type of a sample, one of TILEKEEP_SAMPLE_.
    pub sample_type: i32,
    /// 0.
    pub reserved: u32,
    /// The tile's bytes, in the encoding asked for, to be read only. They stay until tilekeep_available_free.
    pub data: *const c_void,
    /// How many there are.
    pub size: usize,
    /// Which pixels of the tile at hand.
    pub from: [f64; 4],
    /// Where in the wanted tile they go, in its pixels.
    pub to: [f64; 4],
}

// SAFETY: `repr(C)`, numbers and a raw pointer only, size first.
unsafe impl Growing for tilekeep_available_part {
    const NAME: &'static str = "tilekeep_available_part";
    const OLDEST: usize = end_of!(tilekeep_available_part, to);

    fn defaults() -> Self {
        Self {
            struct_size: 0,
            has_level: 0,
            level: 0,
            width: 0,
            height: 0,
            n_bands: 0,
            sample_type: 0,
            reserved: 0,
            data: std::ptr::null(),
            size: 0,
            from: [0.0; 4],
            to: [0.0; 4],
        }
    }
}

/// Says what can be shown of a tile now, without reading anything: the tile itself, all of the next finer level, or the
/// nearest coarser levels with what there is of the finer one on top; out of the cache of rendered tiles and of what the
/// viewports of requests show. TILEKEEP_ERR_NOT_FOUND when nothing of it is in memory. options may be NULL.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_best_available(
    requests: *const tilekeep_requests,
    dataset: *const tilekeep_dataset,
    level: u32,
    col: u32,
    row: u32,
    options: *const tilekeep_tile_options,
    available_out: *mut *mut tilekeep_available,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, from) = unsafe { (borrow(requests, "requests")?, borrow(dataset, "dataset")?) };
        // SAFETY: as above.
        let request = unsafe { read_options(options)?.to_request(level, col, row) }?;
        // SAFETY: as above.
        let available_out = unsafe { out(available_out, "available_out") }?;
        give(handle.requests.best_available(&from.dataset, &request), &request, available_out)
    })
}

/// Gives what is at hand of a tile to the caller.
pub(super) fn give(
    available: Option<Available>,
    request: &TileRequest,
    available_out: &mut *mut tilekeep_available,
) -> Result<()> {
    let none = || nothing(request);
    *available_out = Box::into_raw(Box::new(available.ok_or_else(none)?.into()));
    Ok(())
}

/// The failure when a tile is not in memory.
pub(super) fn nothing(request: &TileRequest) -> Error {
    let TileRequest { level, col, row, .. } = request;
    Error::new(ErrorKind::NotFound, format!("tile ({col}, {row}) of level {level}: nothing of it is in memory"))
}

/// Says how many parts there are, to be drawn in their order, the coarsest first; and how much of the tile's area they
/// cover, from 0 to 1.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_available_info(
    available: *const tilekeep_available,
    n_parts_out: *mut u32,
    covered_out: *mut f64,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let available = &unsafe { borrow(available, "available") }?.available;
        // SAFETY: as above.
        let (n_parts_out, covered_out) =
            unsafe { (out(n_parts_out, "n_parts_out")?, out(covered_out, "covered_out")?) };
        (*n_parts_out, *covered_out) = (available.parts.len() as u32, available.covered);
        Ok(())
    })
}

/// Describes one part.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_available_part_info(
    available: *const tilekeep_available,
    index: u32,
    part_out: *mut tilekeep_available_part,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, part_out) = unsafe { (borrow(available, "available")?, Out::new(part_out)?) };
        let parts = &handle.available.parts;
        let part = parts
            .get(index as usize)
            .ok_or_else(|| Error::invalid(format!("part {index}: the parts are numbered 0 to {}", parts.len() - 1)))?;
        part_out.write(&tilekeep_available_part {
            struct_size: 0,
            has_level: u32::from(part.level.is_some()),
            level: part.level.unwrap_or(0),
            width: part.tile.width,
            height: part.tile.height,
            n_bands: part.tile.n_bands,
            sample_type: part.tile.sample as i32,
            reserved: 0,
            data: part.tile.bytes.as_ptr().cast(),
            size: part.tile.bytes.len(),
            from: part.from,
            to: part.to,
        });
        Ok(())
    })
}

/// Releases what tilekeep_best_available or tilekeep_viewport_best_available gave. NULL does nothing.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_available_free(available: *mut tilekeep_available) {
    guard(|| {
        if !available.is_null() {
            // SAFETY: `give` made the box, and the caller gives it up.
            drop(unsafe { Box::from_raw(available) });
        }
        Ok(())
    });
}
