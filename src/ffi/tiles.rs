//! Many tiles at once.

use crate::error::{Error, Result};
use crate::render::{Tile, TileRequest};

use super::dataset::tilekeep_dataset;
use super::pointers::{Growing, Out, array, borrow, null, read_options};
use super::status::{TILEKEEP_OK, guard, status_of, tilekeep_status};
use super::tile::{put_tile, tilekeep_tile, tilekeep_tile_options};

/// Where a tile is: tiles of the size asked for, from the top left of a level.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_tile_place {
    /// The level that is cut into tiles.
    pub level: u32,
    /// Tiles from the left.
    pub col: u32,
    /// Tiles from the top.
    pub row: u32,
}

/// Reads many tiles, those of a viewport, each as tilekeep_read_tile does; a store of tiles is asked once for all of them.
/// options may be NULL.
///
/// tiles_out has n_tiles structs, all with their struct_size set, and statuses_out a status for each. A tile that cannot
/// be read costs the others nothing: where statuses_out has TILEKEEP_OK the tile is written and belongs to the caller
/// until it is given to tilekeep_free_tile, elsewhere the struct is as it was. Returns TILEKEEP_OK when all were read,
/// otherwise the first status that is not, with its words in tilekeep_last_error. When the arguments themselves are wrong
/// nothing is written at all.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_read_tiles(
    dataset: *const tilekeep_dataset,
    places: *const tilekeep_tile_place,
    n_tiles: usize,
    options: *const tilekeep_tile_options,
    tiles_out: *mut tilekeep_tile,
    statuses_out: *mut tilekeep_status,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let (handle, options) = unsafe { (borrow(dataset, "dataset")?, read_options(options)?) };
        // SAFETY: as above.
        let places = unsafe { array(places, n_tiles, "places") }?;
        if n_tiles == 0 {
            return Ok(());
        }
        if statuses_out.is_null() {
            return Err(null("statuses_out"));
        }
        // SAFETY: as above.
        let outs = unsafe { outs(tiles_out, n_tiles) }?;
        // SAFETY: as above.
        let base = unsafe { options.to_request(0, 0, 0) }?;
        let requests = places.iter().map(|place| TileRequest {
            level: place.level,
            col: place.col,
            row: place.row,
            ..base.clone()
        });
        let tiles: Vec<Result<Tile>> = handle.dataset.read_tiles(&requests.collect::<Vec<_>>());
        let mut failure = Ok(());
        for (i, (tile, tile_out)) in tiles.into_iter().zip(outs).enumerate() {
            let status = match tile {
                Ok(tile) => {
                    put_tile(tile, tile_out);
                    TILEKEEP_OK
                }
                Err(error) => {
                    let status = status_of(error.kind());
                    failure = failure.and(Err(error));
                    status
                }
            };
            // SAFETY: the caller promises as many statuses as tiles.
            unsafe { statuses_out.add(i).write(status) };
        }
        failure
    })
}

/// The structs of the caller's array, which lie as far apart as they say that they are large.
unsafe fn outs(tiles: *mut tilekeep_tile, n: usize) -> Result<Vec<Out<tilekeep_tile>>> {
    // SAFETY: forwarded.
    let first = unsafe { Out::new(tiles) }?;
    let size = first.size();
    let mut outs = vec![first];
    for i in 1..n {
        // SAFETY: the caller promises `n` structs of the size that they state.
        let out = unsafe { Out::new(tiles.byte_add(i * size)) }?;
        if out.size() != size {
            let (name, other) = (tilekeep_tile::NAME, out.size());
            return Err(Error::invalid(format!("struct_size of {name} {i} is {other}, of the first it is {size}")));
        }
        outs.push(out);
    }
    Ok(outs)
}
