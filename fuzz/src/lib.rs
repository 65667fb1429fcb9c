//! What every target does with a file: it opens it and reads some of everything, in small limits.

use std::sync::Arc;

use tilekeep::{
    BlockId, CacheUse, Dataset, Encoding, Error, ErrorKind, Limits, OpenOptions, Result, TileRequest, Window,
    WindowRequest, open_page, open_reader,
};

/// Levels, frames and planes of which blocks are read.
const SOME: u32 = 3;
/// Samples of a raster that is read whole: levels that are not stored are made of all of it.
const SMALL: u64 = 1 << 20;

/// Reads a file of these bytes.
///
/// # Panics
///
/// When the library says that it did something wrong itself, when a block differs from read to read, and where the library
/// panics outside of a source.
pub fn read_file(bytes: &[u8]) {
    let mut limits = Limits::default();
    limits.max_block_bytes = 4 << 20;
    limits.max_image_bytes = 16 << 20;
    limits.max_metadata_bytes = 1 << 20;
    limits.max_index_bytes = 1 << 20;
    limits.max_directories = 64;
    let source = match open_reader(Arc::new(bytes.to_vec()), limits) {
        Ok(source) => source,
        Err(error) => return check(&error),
    };
    let mut options = OpenOptions::default().cache_max_bytes(1 << 20);
    options.limits = limits;
    match Dataset::from_source(source, &options) {
        Ok(dataset) => {
            read_dataset(&dataset);
            read_beside(&dataset);
        }
        Err(error) => check(&error),
    }
    // The second page; the first one is what was read.
    match open_page(Arc::new(bytes.to_vec()), 1, limits).and_then(|page| Dataset::from_source(page, &options)) {
        Ok(page) => read_dataset(&page),
        Err(error) => check(&error),
    }
}

/// What a file has beside its pixels: masks, blocks of bytes, pictures by name.
fn read_beside(dataset: &Dataset) {
    let info = dataset.info();
    let level = info.levels[0];
    let (width, height) = (level.width.min(100), level.height.min(100));
    let window = Window::new(level.width - width, level.height - height, width, height);
    for band in 0..info.n_bands.min(SOME) {
        let mut mask = vec![0; (width * height) as usize];
        let read = dataset
            .mask_kind(band)
            .and_then(|_| dataset.read_mask_window(band, &WindowRequest::new(0, window), &mut mask));
        read.unwrap_or_else(|error| check(&error));
    }
    for name in info.blobs.iter().take(8) {
        dataset.read_blob(name).map(drop).unwrap_or_else(|error| check(&error));
    }
    for picture in info.associated.iter().take(SOME as usize) {
        dataset.associated(&picture.name).map(|picture| read_dataset(&picture)).unwrap_or_else(|error| check(&error));
    }
}

fn read_dataset(dataset: &Dataset) {
    let info = dataset.info();
    let n_levels = info.levels.len() as u32;
    for level in 0..n_levels.min(SOME) {
        let grid = info.levels[level as usize];
        let corners = [(0, 0), (grid.cols() - 1, grid.rows() - 1), (grid.cols() / 2, grid.rows() / 2)];
        for (frame, plane) in
            (0..info.n_frames.min(SOME)).flat_map(|f| (0..info.n_planes().min(SOME)).map(move |p| (f, p)))
        {
            for (col, row) in corners {
                look_twice(dataset, BlockId { frame, level, plane, row, col });
            }
        }
    }
    let coarsest = dataset.levels().len() as u32 - 1;
    let (finest, grid) = (dataset.levels()[0], dataset.levels()[coarsest as usize]);
    let n_samples = finest.width.saturating_mul(finest.height).saturating_mul(u64::from(info.n_bands));
    if n_samples <= SMALL {
        let request = WindowRequest::new(coarsest, Window::new(0, 0, grid.width, grid.height));
        let read = dataset.window_bytes(&request).and_then(|n| dataset.read_window(&request, &mut vec![0; n]));
        read.unwrap_or_else(|error| check(&error));
        let tile = TileRequest::new(coarsest, 0, 0).size(64, 64).encoding(Encoding::Png);
        dataset.read_tile(&tile).map(drop).unwrap_or_else(|error| check(&error));
        // Of the size of blocks, a tile may be what is stored.
        for encoding in [Encoding::Png, Encoding::jpeg(80), Encoding::WebPLossless] {
            let (width, height) = (finest.block_width.min(4096), finest.block_height.min(4096));
            let tile = TileRequest::new(0, 0, 0).size(width, height).encoding(encoding);
            dataset.read_tile(&tile).map(drop).unwrap_or_else(|error| check(&error));
        }
    }
}

/// A block is the same whatever its memory held before.
fn look_twice(dataset: &Dataset, at: BlockId) {
    let look = || -> Result<Vec<u8>> {
        let block = dataset.block_with(at, CacheUse::NoCache)?;
        let layout = *block.layout();
        let row_bytes = layout.width as usize * layout.pixel_stride;
        let rows = block.bytes().chunks(layout.row_stride).take(layout.height as usize);
        Ok(rows.flat_map(|row| row[..row_bytes].to_vec()).collect())
    };
    match (look(), look()) {
        (Ok(first), Ok(second)) => assert!(first == second, "{at} differs from read to read"),
        (Err(first), Err(second)) => {
            check(&first);
            check(&second);
        }
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => panic!("{at} is read only sometimes: {error}"),
    }
}

fn check(error: &Error) {
    assert!(error.kind() != ErrorKind::Internal, "{error}");
}
