//! A client's own reader, as a struct of a description and two functions.

use std::ffi::{c_char, c_void};

use crate::block::Interleave;
use crate::cancel;
use crate::dataset::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::grid::{BlockId, Geotransform, Level};
use crate::sample::SampleType;
use crate::source::{Nodata, ReadContext, SourceInfo, TileSource, check_block};

use super::client::Client;
use super::dataset::{give, tilekeep_dataset};
use super::options::tilekeep_open_options;
use super::pointers::{Growing, array, end_of, null, out, read_options, read_struct, text};
use super::status::{TILEKEEP_ERR_CANCELLED, TILEKEEP_OK, guard, kind_of, take_said, tilekeep_status};

/// Reads one block. The buffer has exactly the bytes of the block: rows from the top without padding, bands side by
/// side, samples in native byte order; blocks of the last column and row have the pixels of the level only. All of it
/// must be written. A long read may ask tilekeep_read_cancelled whether it still is wanted. Called from any thread, from
/// several at once, never under a lock of the library. It may use other datasets, but must not read from its own: that
/// would wait for itself.
///
/// Returns TILEKEEP_OK or one of the TILEKEEP_ERR_ codes; tilekeep_set_last_error says why in words.
///
/// @since 0.1
pub type tilekeep_read_block_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        level: u32,
        col: u32,
        row: u32,
        plane: u32,
        frame: u32,
        buffer: *mut c_void,
        buffer_size: usize,
    ) -> tilekeep_status,
>;

/// For read_block to ask between pieces of its work, in the thread that it was called in: 1 when nobody wants the block any
/// more, because all requests for it were taken back. It may then stop, whatever it has written, and return
/// TILEKEEP_ERR_CANCELLED; the block is absent as if nobody had asked. 0 otherwise, and outside of read_block.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn tilekeep_read_cancelled() -> i32 {
    i32::from(cancel::is_stopping())
}

/// Releases user_data. Called exactly once, from any thread, when nobody will read any more.
///
/// @since 0.1
pub type tilekeep_destroy_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Size of a level of a client's own source, and of its blocks.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_source_level {
    /// Pixels across.
    pub width: u64,
    /// Pixels down.
    pub height: u64,
    /// Pixels across a block.
    pub block_width: u32,
    /// Pixels down a block.
    pub block_height: u32,
}

/// A client's own source: what it holds, and how it is read. The struct and its arrays are copied.
///
/// @since 0.1
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tilekeep_source {
    /// sizeof(tilekeep_source).
    pub struct_size: u32,
    /// Bands.
    pub n_bands: u32,
    /// The type of every sample, one of TILEKEEP_SAMPLE_.
    pub sample_type: i32,
    /// 1: every band is stored in blocks of its own, and the plane is the band. Otherwise 0.
    pub is_band_sequential: u32,
    /// Given to the functions as their first argument.
    pub user_data: *mut c_void,
    /// May be NULL.
    pub destroy: tilekeep_destroy_fn,
    /// Reads a block.
    pub read_block: tilekeep_read_block_fn,
    /// The levels that the source stores, finest first.
    pub levels: *const tilekeep_source_level,
    /// How many there are; at least 1.
    pub n_levels: u32,
    /// 1 when nodata is set, otherwise 0.
    pub has_nodata: u32,
    /// The sample value that means "nothing here".
    pub nodata: f64,
    /// Six numbers in GDAL's order, or NULL.
    pub geotransform: *const f64,
    /// A short name for messages, or NULL.
    pub name: *const c_char,
    /// Pictures of this size and kind; 0: one.
    pub n_frames: u32,
}

// SAFETY: `repr(C)`, size first. A function pointer is wrapped in `Option`, for which NULL is a value; that any other
// bytes are a function is the caller's promise, as for every pointer.
unsafe impl Growing for tilekeep_source {
    const NAME: &'static str = "tilekeep_source";
    const OLDEST: usize = end_of!(tilekeep_source, n_frames);

    fn defaults() -> Self {
        Self {
            struct_size: 0,
            n_bands: 0,
            sample_type: 0,
            is_band_sequential: 0,
            user_data: std::ptr::null_mut(),
            destroy: None,
            read_block: None,
            levels: std::ptr::null(),
            n_levels: 0,
            has_nodata: 0,
            nodata: 0.0,
            geotransform: std::ptr::null(),
            name: std::ptr::null(),
            n_frames: 0,
        }
    }
}

/// Opens a client's own source. options may be NULL. destroy is called exactly once: when the dataset was closed and
/// nobody reads any more, or before this returns a failure; not, though, when source is NULL or its struct_size is
/// wrong, for then it cannot be known.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tilekeep_open_source(
    source: *const tilekeep_source,
    options: *const tilekeep_open_options,
    dataset_out: *mut *mut tilekeep_dataset,
) -> tilekeep_status {
    guard(|| {
        // SAFETY: the header's rules for pointers.
        let source = unsafe { read_struct(source) }?;
        // From here on `destroy` runs, whatever happens.
        let client = Client { user_data: source.user_data, destroy: source.destroy };
        // SAFETY: as above.
        let (options, dataset_out) = unsafe { (read_options(options)?, out(dataset_out, "dataset_out")?) };
        let read_block = source.read_block.ok_or_else(|| null("read_block of tilekeep_source"))?;
        // SAFETY: as above.
        let info = unsafe { describe(&source) }?;
        let dataset = Dataset::from_source(ClientSource { info, read_block, client }, &options.to_options()?)?;
        give(dataset, dataset_out);
        Ok(())
    })
}

unsafe fn describe(source: &tilekeep_source) -> Result<SourceInfo> {
    let sample = SampleType::from_number(source.sample_type)
        .ok_or_else(|| Error::invalid(format!("sample_type {}", source.sample_type)))?;
    if source.n_bands == 0 || source.n_bands > 65_535 || source.n_levels == 0 {
        return Err(Error::invalid(format!("a source of {} bands and {} levels", source.n_bands, source.n_levels)));
    }
    // SAFETY: the header's rules for pointers.
    let stored = unsafe { array(source.levels, source.n_levels as usize, "levels") }?;
    let invalid = |e: Error| Error::invalid(e.message().to_owned());
    let levels: Result<Vec<Level>> =
        stored.iter().map(|l| Level::new(l.width, l.height, l.block_width, l.block_height).map_err(invalid)).collect();
    let levels = levels?;
    let name = if source.name.is_null() {
        "client source"
    } else {
        // SAFETY: as above.
        unsafe { text(source.name, "name") }?
    };
    let mut info = SourceInfo::new(name, levels, source.n_bands, sample);
    let flag = |name: &str, value: u32| match value {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Error::invalid(format!("{name} is {other}; 0 or 1"))),
    };
    info.n_frames = source.n_frames.max(1);
    if flag("is_band_sequential", source.is_band_sequential)? {
        info.interleave = Interleave::Band;
    }
    if flag("has_nodata", source.has_nodata)? {
        info.nodata = Some(Nodata::Float(source.nodata));
    }
    if !source.geotransform.is_null() {
        // SAFETY: not NULL, and the caller promises six numbers.
        info.geotransform = Some(Geotransform(unsafe { source.geotransform.cast::<[f64; 6]>().read_unaligned() }));
    }
    Ok(info)
}

type ReadBlock = unsafe extern "C" fn(*mut c_void, u32, u32, u32, u32, u32, *mut c_void, usize) -> tilekeep_status;

struct ClientSource {
    info: SourceInfo,
    read_block: ReadBlock,
    client: Client,
}

impl TileSource for ClientSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], _context: &mut ReadContext<'_>) -> Result<()> {
        check_block(&self.info, at, out)?;
        // Recycled memory holds pixels of other datasets, which a callback that writes too little must not show.
        out.fill(0);
        take_said();
        let target = out.as_mut_ptr().cast::<c_void>();
        // SAFETY: the client's function, called as the header says, with memory that is ours and exactly as long as
        // stated.
        let status = unsafe {
            let user_data = self.client.user_data;
            (self.read_block)(user_data, at.level, at.col, at.row, at.plane, at.frame, target, out.len())
        };
        let said = take_said();
        match status {
            TILEKEEP_OK => Ok(()),
            // Whoever waits would take it for his own request.
            TILEKEEP_ERR_CANCELLED if !cancel::is_cancelled() => {
                Err(Error::new(ErrorKind::Io, "the source stopped, though the block is wanted"))
            }
            status if said.is_empty() => Err(Error::new(kind_of(status), format!("the source returned {status}"))),
            status => Err(Error::new(kind_of(status), said)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" fn read(
        user_data: *mut c_void,
        _: u32,
        col: u32,
        row: u32,
        plane: u32,
        frame: u32,
        buffer: *mut c_void,
        size: usize,
    ) -> tilekeep_status {
        // SAFETY: the library gives a buffer of that size.
        let out = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), size) };
        out.fill((frame * 64 + col * 16 + row * 4 + plane) as u8);
        // SAFETY: the test gives a counter that lives until `destroy`.
        unsafe {
            (*user_data.cast::<std::sync::atomic::AtomicU32>()).fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        };
        TILEKEEP_OK
    }

    #[test]
    fn a_source_of_c_functions_keeps_the_promises_of_a_source() {
        let reads = std::sync::atomic::AtomicU32::new(0);
        let level = tilekeep_source_level { width: 100, height: 70, block_width: 32, block_height: 32 };
        let described = tilekeep_source {
            n_bands: 3,
            n_frames: 2,
            sample_type: 3,
            is_band_sequential: 1,
            levels: &raw const level,
            n_levels: 1,
            ..tilekeep_source::defaults()
        };
        // SAFETY: the level lives during the call.
        let info = unsafe { describe(&described) }.unwrap();
        let client = Client { user_data: (&raw const reads).cast_mut().cast(), destroy: None };
        crate::conformance::check(&ClientSource { info, read_block: read, client }).unwrap();
        assert!(reads.into_inner() > 36);
    }
}
