/* tilekeep: rasters far larger than memory, served as blocks, windows and tiles out of caches that the client steers.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Generated from the Rust sources: changes made here are lost.
 *
 * Rules that hold for every function:
 *
 * 1. A call that can fail returns tilekeep_status: TILEKEEP_OK is 0, failures are negative. Numbers are never reused.
 * 2. Outputs come last, their names end in _out, and they are written only on success.
 * 3. tilekeep_last_error() is the message of the last call that failed on this thread. A success leaves it alone.
 * 4. Handles are references; releasing NULL does nothing. Blocks, tiles and requests may outlive what they came from.
 *    Everything may be called from any thread at any time, except on a handle during or after its own release.
 * 5. Structs that may grow start with struct_size, which the caller sets to the sizeof of its struct, also where the
 *    struct is an output. A smaller one, of an older version, gets defaults for the rest.
 * 6. Enums are int32_t and checked. Texts are UTF-8 and end in 0. A NULL where none is allowed, a wrong struct_size, an
 *    unknown number or a coordinate out of range is an error with a message. Pointers that are not NULL must point to
 *    what the parameter says, aligned for it, and stay valid and unchanged by others during the call.
 * 7. A struct of callbacks has user_data, which they are given first, and destroy, which is called exactly once, also
 *    when the call that received the struct fails. Callbacks run on any thread, never under a lock.
 * 8. A bug in the library that would stop a program is TILEKEEP_ERR_INTERNAL with a message; the handle stays usable.
 *
 * Level 0 is full resolution. level, col, row count blocks or tiles from the top left; x, y, width, height are pixels of
 * their own level. Strides are bytes. Bands are numbered from 0.
 */

#ifndef TILEKEEP_H
#define TILEKEEP_H

#include <stddef.h>
#include <stdint.h>

// The call did what it says.
#define TILEKEEP_OK 0

// The call itself is wrong: a NULL, a coordinate out of range, a buffer too small, an unknown number of an enum.
#define TILEKEEP_ERR_INVALID_ARGUMENT -1

// The named thing does not exist: a file, a geotransform, a nodata value.
#define TILEKEEP_ERR_NOT_FOUND -2

// The operating system, or a source of the client, could not deliver the bytes.
#define TILEKEEP_ERR_IO -3

// The bytes are there and contradict themselves or their format.
#define TILEKEEP_ERR_CORRUPT -4

// The bytes are fine as far as can be told; this build cannot read them.
#define TILEKEEP_ERR_UNSUPPORTED -5

// A budget, or a limit on sizes that come from files, forbids it.
#define TILEKEEP_ERR_LIMIT_EXCEEDED -6

// The requester took the request back.
#define TILEKEEP_ERR_CANCELLED -7

// The dataset cannot be written.
#define TILEKEEP_ERR_READ_ONLY -8

// The source is no longer the one that was opened.
#define TILEKEEP_ERR_CHANGED -9

// A tile store failed.
#define TILEKEEP_ERR_STORE -10

// A bug of the library, or a panic in a callback. The handle stays usable.
#define TILEKEEP_ERR_INTERNAL -11

// The file is read by position, into memory of the library.
#define TILEKEEP_ACCESS_READ 0

// The file is mapped into memory, and uncompressed blocks that it stores as they are presented are lent from there:
// without a copy, without a place in the cache, at no cost to the budget. A tilekeep_cache_stats counts them as mapped.
//
// DANGER: nobody, in this process or another, may shorten or change the file, or the ".ovr" and ".msk" files beside it, for as long as
// the dataset is open or a block of it is locked. Reading a part of a mapped file that was cut off kills the process with
// SIGBUS, as does a disk or a network that fails to deliver it; bytes that change while they are read are undefined
// behaviour. Only who is sure of that may choose this.
#define TILEKEEP_ACCESS_MAP 1

// The operating system keeps the bytes of files that were read as it likes, beside the decoded blocks of the dataset.
#define TILEKEEP_OS_CACHE_KEEP 0

// The operating system is told to let go of the bytes of every block that was read, and of those before it that it caches
// in one unit with them, with one posix_fadvise a block. Linux, Android and FreeBSD; elsewhere, and with
// TILEKEEP_ACCESS_MAP, it changes nothing.
#define TILEKEEP_OS_CACHE_DROP 1

// Files beside a raster that say more of it are read: ".aux.xml" (GDAL's metadata), ".ovr" (overviews) and ".msk" (a mask)
// at the end of its name, and a world file (".tfw", ".pgw", ".jgw", ".wld") in the place of its extension. Each name is
// looked up once; the folder is not listed. One that is damaged is as if it were not there.
#define TILEKEEP_SIDECARS_READ 0

// No file but the raster is touched.
#define TILEKEEP_SIDECARS_IGNORE 1

// The block is lent to be read: the only mode so far.
#define TILEKEEP_LOCK_READ 0

// LRU or CLOCK-Pro, whichever does better on a sample of what is read.
#define TILEKEEP_POLICY_ADAPTIVE 0

// Blocks may be wanted again: they are kept, and remembered as used.
#define TILEKEEP_USE_NORMAL 0

// Everything is read once, in order: blocks are kept where they leave first, and those that are there gain nothing.
#define TILEKEEP_USE_SEQUENTIAL 1

// The reader only passes through: absent blocks are not kept, and nothing is remembered. What had to be decoded beside
// them is kept for the next steps where room is free, or in an eighth of the budget.
#define TILEKEEP_USE_NO_CACHE 2

// The least recently used block goes first, exactly.
#define TILEKEEP_POLICY_LRU 1

// Second chance: nearly TILEKEEP_POLICY_LRU.
#define TILEKEEP_POLICY_CLOCK 2

// CLOCK-Pro: keeps a part of a loop that is larger than the cache, and what is asked for often.
#define TILEKEEP_POLICY_CLOCK_PRO 3

// Nothing is kept that is not locked or in use.
#define TILEKEEP_POLICY_NONE 4

// A share of the total that grows and shrinks with what is read.
#define TILEKEEP_BUDGET_POOLED 0

// Bytes that are the dataset's own.
#define TILEKEEP_BUDGET_OWN 1

// Somebody looks at the dataset and comes back to what was seen.
#define TILEKEEP_CLASS_INTERACTIVE 0

// A job reads more than can be kept: it may hold a twentieth of the total, and is promised nothing.
#define TILEKEEP_CLASS_BATCH 1

// Soon: blocks in memory count as just used, and the system is asked to read the stored bytes of the others ahead.
#define TILEKEEP_ADVICE_WILL_NEED 0

// Not again: blocks that are not locked are forgotten.
#define TILEKEEP_ADVICE_DONT_NEED 1

// Once, in order: from now on its blocks are read as with TILEKEEP_USE_SEQUENTIAL.
#define TILEKEEP_ADVICE_SEQUENTIAL 2

// In any order, as if nothing had been said.
#define TILEKEEP_ADVICE_RANDOM 3

// Give back what is free already.
#define TILEKEEP_TRIM_FREE 0

// Also the half of every dataset's blocks that would go first, and of what is known of closed files.
#define TILEKEEP_TRIM_HALF 1

// Also every block that is not locked or in use, and all that is known of closed files.
#define TILEKEEP_TRIM_ALL 2

// No floor at all, in tilekeep_cache_budget.
#define TILEKEEP_NO_FLOOR UINT64_MAX

// The samples' own type.
#define TILEKEEP_SAMPLE_NATIVE 0

// Unsigned, 8 bits.
#define TILEKEEP_SAMPLE_U8 1

// Signed, 8 bits.
#define TILEKEEP_SAMPLE_I8 2

// Unsigned, 16 bits.
#define TILEKEEP_SAMPLE_U16 3

// Signed, 16 bits.
#define TILEKEEP_SAMPLE_I16 4

// Unsigned, 32 bits.
#define TILEKEEP_SAMPLE_U32 5

// Signed, 32 bits.
#define TILEKEEP_SAMPLE_I32 6

// Unsigned, 64 bits.
#define TILEKEEP_SAMPLE_U64 7

// Signed, 64 bits.
#define TILEKEEP_SAMPLE_I64 8

// IEEE 754 float, 32 bits.
#define TILEKEEP_SAMPLE_F32 9

// IEEE 754 float, 64 bits.
#define TILEKEEP_SAMPLE_F64 10

// Complex: two signed 16-bit integers, real part first.
#define TILEKEEP_SAMPLE_COMPLEX_I16 11

// Complex: two signed 32-bit integers, real part first.
#define TILEKEEP_SAMPLE_COMPLEX_I32 12

// Complex: two 32-bit floats, real part first.
#define TILEKEEP_SAMPLE_COMPLEX_F32 13

// Complex: two 64-bit floats, real part first.
#define TILEKEEP_SAMPLE_COMPLEX_F64 14

// A band of which nothing is known.
#define TILEKEEP_COLOR_UNDEFINED 0

// A band of luminance, or any single quantity.
#define TILEKEEP_COLOR_GRAY 1

// A band of indices into the colour table.
#define TILEKEEP_COLOR_PALETTE 2

// A red band.
#define TILEKEEP_COLOR_RED 3

// A green band.
#define TILEKEEP_COLOR_GREEN 4

// A blue band.
#define TILEKEEP_COLOR_BLUE 5

// A band of opacity.
#define TILEKEEP_COLOR_ALPHA 6

// A band of cyan ink.
#define TILEKEEP_COLOR_CYAN 7

// A band of magenta ink.
#define TILEKEEP_COLOR_MAGENTA 8

// A band of yellow ink.
#define TILEKEEP_COLOR_YELLOW 9

// A band of black ink.
#define TILEKEEP_COLOR_BLACK 10

// The luminance of a CIE L*a*b* or YCbCr picture.
#define TILEKEEP_COLOR_LUMINANCE 11

// The first chrominance.
#define TILEKEEP_COLOR_CHROMA_FIRST 12

// The second chrominance.
#define TILEKEEP_COLOR_CHROMA_SECOND 13

// The pixel whose area holds the centre of the new one.
#define TILEKEEP_RESAMPLING_NEAREST 0

// The mean over the area of the new pixel, without nodata and NaN.
#define TILEKEEP_RESAMPLING_AVERAGE 1

// Samples as they are, without a file around them.
#define TILEKEEP_ENCODING_RAW 0

// A PNG file.
#define TILEKEEP_ENCODING_PNG 1

// A JPEG file.
#define TILEKEEP_ENCODING_JPEG 2

// A WebP file; lossy ones only where the library was built with libwebp, as it is by default.
#define TILEKEEP_ENCODING_WEBP 3

// Squares of two by two pixels of a JPEG share their colour (4:2:0) below a quality of 90, none from there on.
#define TILEKEEP_CHROMA_AUTO 0

// Squares of two by two pixels share their colour (4:2:0).
#define TILEKEEP_CHROMA_HALVED 1

// Every pixel has its own colour (4:4:4).
#define TILEKEEP_CHROMA_FULL 2

// The samples of a pixel lie side by side.
#define TILEKEEP_INTERLEAVE_PIXEL 0

// A whole band, then the next one.
#define TILEKEEP_INTERLEAVE_BAND 1

// Tiles of the last column and row are smaller.
#define TILEKEEP_EDGE_CROP 0

// Tiles of the last column and row are whole, filled up with nodata or 0.
#define TILEKEEP_EDGE_PAD 1

// A mask is stored, for this band alone.
#define TILEKEEP_MASK_STORED_FOR_BAND 0

// Nobody says that any pixels are not valid.
#define TILEKEEP_MASK_ALL_VALID 1

// A mask is stored, in the file or in a ".msk" file beside it, for all bands.
#define TILEKEEP_MASK_STORED 2

// The last band is the opacity of the others.
#define TILEKEEP_MASK_ALPHA 6

// Pixels that are not nodata are valid.
#define TILEKEEP_MASK_NODATA 8

// Pixels that are not nodata in all bands at once are valid.
#define TILEKEEP_MASK_NODATA_VALUES 10

// Wait for as long as it takes.
#define TILEKEEP_WAIT_FOREVER UINT64_MAX

// Level of pressure: there is enough memory.
#define TILEKEEP_PRESSURE_NONE 0

// Little is free, or processes stand still for want of memory: caches are made smaller.
#define TILEKEEP_PRESSURE_MODERATE 1

// The system is about to end the process, or hardly gets anything done.
#define TILEKEEP_PRESSURE_CRITICAL 2

// Tiles in memory that show a tile, or parts of it, in another resolution. Give it to tilekeep_available_free, but for one
// that a callback is given.
//
// @since 0.1
typedef struct tilekeep_available tilekeep_available;

// An opened raster with a cache of its own for decoded blocks. Made by tilekeep_open, tilekeep_open_source and
// tilekeep_open_associated, released by tilekeep_close. Every call on it may come from any thread at any time, except while or after it is
// released.
//
// @since 0.1
typedef struct tilekeep_dataset tilekeep_dataset;

// Lowers the total of all caches while the process is short of memory, until it is released.
//
// It looks at the machine's memory, at the limits of the process's control groups, and at how long processes stood still
// for want of memory. Caches may fill what leaves a quarter of each limit free, of 4 GiB at most. Where more is used, by
// whomever, the total is lowered at once by as much, and while processes stand still by a quarter or a half of what caches
// hold, again and again; memory that is free then goes back to the system. When nothing was wrong for four intervals the
// total grows by a quarter of what is missing, or a 16th of what was asked for with tilekeep_set_total_max, and so on, up
// to that, which may be changed meanwhile. Locked blocks stay.
//
// @since 0.1
typedef struct tilekeep_pressure_watch tilekeep_pressure_watch;

// A tile, a block or a window that was asked for. Give it to tilekeep_request_free.
//
// @since 0.1
typedef struct tilekeep_request tilekeep_request;

// Threads that serve requests. Everything may be called from any thread, its own callbacks included.
//
// @since 0.1
typedef struct tilekeep_requests tilekeep_requests;

// Where a store of the client's puts a value that was asked for: see tilekeep_store_value_set.
//
// @since 0.1
typedef struct tilekeep_store_value tilekeep_store_value;

// What a viewer wants to show of one dataset, frame by frame. Tiles of the frame stay in memory for as long as they are in
// it, and so do those of the coarsest level, whatever the cache of rendered tiles forgets. Give it to
// tilekeep_viewport_free. Everything may be called from any thread, its own callback included.
//
// @since 0.1
typedef struct tilekeep_viewport tilekeep_viewport;

// What a call that can fail returns: TILEKEEP_OK, or one of the negative TILEKEEP_ERR_ codes.
//
// @since 0.1
typedef int32_t tilekeep_status;

// How a dataset is opened. Set struct_size to sizeof(tilekeep_open_options) and all else to 0 for the defaults.
//
// @since 0.1
typedef struct tilekeep_open_options {
    // sizeof(tilekeep_open_options).
    uint32_t struct_size;
    // Must be 0.
    uint32_t reserved;
    // Bytes of decoded blocks that the dataset may keep, a budget of its own; 0: a share of the total, as
    // tilekeep_set_cache_budget describes it. tilekeep_set_cache_max can set it to nothing.
    uint64_t cache_max_bytes;
    // Decoded bytes that one block may have; 0: 256 MiB.
    uint64_t max_block_bytes;
    // Decoded bytes of an image whose format can only be decoded as a whole, and what decoding it takes beside them; 0:
    // 1 GiB.
    uint64_t max_image_bytes;
    // Bytes of directories and tags that are read; 0: 64 MiB.
    uint64_t max_metadata_bytes;
    // How the bytes of a file are reached, one of TILEKEEP_ACCESS_. Of no matter to tilekeep_open_source.
    int32_t access;
    // What the operating system does with the bytes of a file, one of TILEKEEP_OS_CACHE_. Of no matter to
    // tilekeep_open_source.
    int32_t os_cache;
    // Bytes of an index of places in a compressed stream (PNG, JPEG, large strips of a TIFF), which is no more than an
    // eighth of the budget either; 0: 8 MiB.
    uint64_t max_index_bytes;
    // Whether files beside the raster are read, one of TILEKEEP_SIDECARS_. Of no matter to tilekeep_open_source.
    int32_t sidecars;
    // 0: all who open the same file with equal options have one dataset, with one cache, until its budget or policy is
    // changed; and what was parsed is kept when it is closed (tilekeep_set_catalog_max). 1: a dataset that nobody else has.
    // Of no matter to tilekeep_open_source.
    uint32_t own;
    // Which page of the file is opened: a number that tilekeep_page_info gives; 0: the first one. A page is a raster of its
    // own, with its overviews, masks and texts; those behind it that have its size, blocks and samples, mean the same by
    // them (photometric interpretation, palette, nodata) and have no other kind of mask are its further frames. A number
    // that the file does not have is TILEKEEP_ERR_INVALID_ARGUMENT, and so is any but 0 for a PNG, a JPEG and
    // tilekeep_open_source.
    uint32_t page;
    // Must be 0.
    uint32_t reserved_2;
} tilekeep_open_options;

// What a dataset is. Texts belong to the dataset and are valid until it is closed.
//
// @since 0.1
typedef struct tilekeep_dataset_info {
    // sizeof(tilekeep_dataset_info), set by the caller.
    uint32_t struct_size;
    // Levels, those that are made from finer ones included. Level 0 is full resolution.
    uint32_t n_levels;
    // Pixels across level 0.
    uint64_t width;
    // Pixels down level 0.
    uint64_t height;
    // Bands.
    uint32_t n_bands;
    // Planes of blocks: 1, or one a band when every band is stored in blocks of its own.
    uint32_t n_planes;
    // The type of a sample, one of TILEKEEP_SAMPLE_.
    int32_t sample_type;
    // Bytes of a sample.
    uint32_t sample_bytes;
    // Bits of a sample that carry information.
    uint32_t n_bits;
    // Items that tilekeep_metadata has.
    uint32_t n_metadata;
    // Keys that tilekeep_geo_key has.
    uint32_t n_geo_keys;
    // Colours that tilekeep_color_table has; 0 when there is no table.
    uint32_t n_colors;
    // The EPSG code of the coordinate reference system when the file states one, otherwise 0.
    uint32_t epsg;
    // Whether tilekeep_geotransform gives one: 1 or 0.
    uint8_t has_geotransform;
    // Whether tilekeep_nodata gives one: 1 or 0.
    uint8_t has_nodata;
    // 0.
    uint8_t reserved[2];
    // Short name of the format: "tiff", "bigtiff", "png", "jpeg", or what a client's source calls itself.
    const char *format;
    // Short name of how pixels are compressed: "none", "deflate", ...
    const char *compression;
    // Pictures of this size and kind: 1, or more for a file of several pages.
    uint32_t n_frames;
    // The coordinate reference system as well-known text, where a file beside the raster states it so; otherwise NULL.
    const char *srs_wkt;
    // Micrometres that a pixel of level 0 measures across, as slides and scans say it; 0 when nothing is said.
    double pixel_width_um;
    // Micrometres that a pixel of level 0 measures down.
    double pixel_height_um;
    // Points that tilekeep_gcp_info has.
    uint32_t n_gcps;
    // Pictures that tilekeep_associated_info has.
    uint32_t n_associated;
    // Blocks of bytes that tilekeep_blob_name has.
    uint32_t n_blobs;
    // Bands of the mask that is stored: 0 for none, 1 for one that is good for all bands, else one a band.
    uint32_t n_mask_bands;
    // Pages that tilekeep_page_info has; 0 for a format that has no such thing.
    uint32_t n_pages;
    // The page that this is.
    uint32_t page;
} tilekeep_dataset_info;

// One level of a dataset and how it is cut into blocks.
//
// @since 0.1
typedef struct tilekeep_level {
    // sizeof(tilekeep_level), set by the caller.
    uint32_t struct_size;
    // 1 when the file stores the level, 0 when it is made when it is asked for.
    uint32_t is_stored;
    // Pixels across.
    uint64_t width;
    // Pixels down.
    uint64_t height;
    // Pixels across a block.
    uint32_t block_width;
    // Pixels down a block.
    uint32_t block_height;
    // Columns of blocks.
    uint32_t n_cols;
    // Rows of blocks.
    uint32_t n_rows;
} tilekeep_level;

// What is known of files, open and closed.
//
// @since 0.1
typedef struct tilekeep_catalog_stats {
    // sizeof(tilekeep_catalog_stats), set by the caller.
    uint32_t struct_size;
    // 0.
    uint32_t reserved;
    // Files that are known: open ones, and those that were closed and are still known.
    uint64_t n_entries;
    // Of these, those that were closed.
    uint64_t n_closed;
    // Bytes of what is known of closed files.
    uint64_t bytes;
    // The most that these may be.
    uint64_t max_bytes;
    // Openings for which nothing was parsed.
    uint64_t hits;
    // Openings for which the file was parsed.
    uint64_t misses;
    // Closed files that were forgotten to make room.
    uint64_t evictions;
    // Files of which the process has a descriptor open for reading by position.
    uint64_t n_open_files;
} tilekeep_catalog_stats;

// Which block of a place, and what for. Set struct_size to sizeof(tilekeep_block_options) and all else to 0 for the
// defaults.
//
// @since 0.1
typedef struct tilekeep_block_options {
    // sizeof(tilekeep_block_options).
    uint32_t struct_size;
    // The plane: 0, or the band when every band is stored in blocks of its own.
    uint32_t plane;
    // TILEKEEP_LOCK_READ.
    int32_t mode;
    // Of tilekeep_read_block: one of TILEKEEP_USE_. A lock takes TILEKEEP_USE_NORMAL only.
    int32_t cache_use;
    // The frame: 0, or which of several pictures.
    uint32_t frame;
} tilekeep_block_options;

// A block and how its samples lie in memory. Strides are distances in bytes.
//
// @since 0.1
typedef struct tilekeep_block {
    // sizeof(tilekeep_block), set by the caller.
    uint32_t struct_size;
    // Pixels across; fewer than a block's at the right edge of the level.
    uint32_t width;
    // Pixels down; fewer than a block's at the bottom edge of the level.
    uint32_t height;
    // Bands in the block: all, or 1 when every band is stored in blocks of its own.
    uint32_t n_bands;
    // The type of a sample, one of TILEKEEP_SAMPLE_.
    int32_t sample_type;
    // 0.
    uint32_t reserved;
    // The first sample of the top left pixel, aligned to the size of a sample. NULL after tilekeep_read_block.
    const void *data;
    // Bytes from data on.
    size_t size;
    // From a sample to that of the next pixel to the right.
    size_t pixel_stride;
    // From a sample to that of the pixel below.
    size_t row_stride;
    // From a sample to that of the next band at the same pixel.
    size_t band_stride;
    // What tilekeep_unlock_block knows the lock by. 0 after tilekeep_read_block.
    uint64_t token;
} tilekeep_block;

// What the block cache of a dataset did since it was opened, and what it holds now.
//
// @since 0.1
typedef struct tilekeep_cache_stats {
    // sizeof(tilekeep_cache_stats), set by the caller.
    uint32_t struct_size;
    // 0.
    uint32_t reserved;
    // Blocks found in memory.
    uint64_t hits;
    // Blocks that were not.
    uint64_t misses;
    // Blocks read and decoded, or made from a finer level; failed ones included.
    uint64_t loads;
    // Loads that ended in an error.
    uint64_t failed_loads;
    // Misses that waited for a load that somebody else had begun.
    uint64_t coalesced;
    // Blocks that were decoded on the way to another one, and kept.
    uint64_t siblings;
    // Blocks forgotten to make room.
    uint64_t evictions;
    // Blocks handed out without being kept: because the budget had no room, because the reader only passed through, or
    // because reading them is a copy of what the system keeps and they were read for the first time.
    uint64_t uncached;
    // Blocks kept.
    uint64_t entries;
    // Bytes that count against the budget.
    uint64_t bytes;
    // Of these, bytes of locked blocks and of blocks in use.
    uint64_t locked_bytes;
    // Bytes set aside for loads under way.
    uint64_t loading_bytes;
    // Bytes of pixels of all blocks of the dataset that exist, kept or only lent.
    uint64_t pixel_bytes;
    // The budget.
    uint64_t max_bytes;
    // What the cache's own structures take. The budget counts a share of them with every block; what they take for blocks
    // that are gone counts against the total, until it is given back.
    uint64_t structure_bytes;
    // Loads of a block that had been loaded before: what a larger budget might have saved. Counted in a sample when
    // more than a million blocks were loaded; those that were loaded before nearly all went to others, or were trimmed,
    // may be new again.
    uint64_t redundant_loads;
    // Nanoseconds spent in loads that succeeded, all threads together.
    uint64_t load_ns;
    // Of bytes, what is counted for every block beside its pixels.
    uint64_t overhead_bytes;
    // Of bytes, those of blocks that were written to and must be written back.
    uint64_t dirty_bytes;
    // Blocks lent from a mapped file, which are neither hits nor misses.
    uint64_t mapped;
    // What the source keeps to find its way in a compressed stream (PNG, JPEG): a part of the budget, an eighth of it at most.
    uint64_t index_bytes;
} tilekeep_cache_stats;

// What a dataset's cache may hold. Set struct_size to sizeof(tilekeep_cache_budget) and all else to 0 for the default, a
// share of the total.
//
// All caches of the process together hold no more than the total. What a cache was promised is not taken from it for
// the sake of another one; when promises come to more than the total, all shrink by the same part.
//
// @since 0.1
typedef struct tilekeep_cache_budget {
    // sizeof(tilekeep_cache_budget), set by the caller.
    uint32_t struct_size;
    // One of TILEKEEP_BUDGET_.
    int32_t kind;
    // Own: bytes of decoded blocks that are kept, all of them promised; 0 keeps nothing. Pooled: the most that it may
    // hold; 0: up to the total.
    uint64_t max_bytes;
    // Pooled: bytes that no other dataset can take; 0: those of the last window that was read, at least 32 blocks;
    // TILEKEEP_NO_FLOOR: none. Own: must be 0.
    uint64_t floor_bytes;
    // Pooled: one of TILEKEEP_CLASS_. Own: must be 0.
    int32_t cache_class;
    // Must be 0.
    uint32_t reserved;
} tilekeep_cache_budget;

// What all datasets of the process did and hold together.
//
// @since 0.1
typedef struct tilekeep_memory_stats {
    // sizeof(tilekeep_memory_stats), set by the caller.
    uint32_t struct_size;
    // 0.
    uint32_t reserved;
    // The total that was asked for.
    uint64_t total_max_bytes;
    // Bytes that count against the total: blocks and rendered tiles kept, what is under way, what sources keep to find
    // their way in compressed streams, and what caches needed for blocks that are gone.
    uint64_t used_bytes;
    // Datasets that are open, or of which a block is still lent.
    uint64_t n_datasets;
    // Read buffers and decoder state.
    uint64_t scratch_bytes;
    // Parsed metadata and offset tables.
    uint64_t metadata_bytes;
    // Free block memory that is kept for the next block; tilekeep_trim gives it back.
    uint64_t free_bytes;
    // Addresses taken for block memory, lent, free, or with nothing behind them.
    uint64_t reserved_bytes;
    // The total that holds now: less than was asked for while a tilekeep_pressure_watch keeps it low.
    uint64_t total_now_bytes;
} tilekeep_memory_stats;

// Which pixels to read, and how they shall come. Set struct_size, level and the window; all else may be 0.
//
// @since 0.1
typedef struct tilekeep_window {
    // sizeof(tilekeep_window).
    uint32_t struct_size;
    // The level whose pixels the window counts.
    uint32_t level;
    // Pixels from the left edge of the level.
    uint64_t x;
    // Pixels from the top edge of the level.
    uint64_t y;
    // Pixels across; the window must lie in the level.
    uint64_t width;
    // Pixels down.
    uint64_t height;
    // Pixels across the result; 0: as the window.
    uint32_t out_width;
    // Pixels down the result; 0: as the window.
    uint32_t out_height;
    // One of TILEKEEP_RESAMPLING_.
    int32_t resampling;
    // 1: take the pixels of level even where a coarser one would do. Otherwise 0.
    uint32_t exact_level;
    // The sample type of the result, one of TILEKEEP_SAMPLE_.
    int32_t sample_type;
    // Bands in bands; 0: all bands of the dataset.
    uint32_t n_bands;
    // The bands wanted, numbered from 0, in the order wanted. May be NULL when n_bands is 0.
    const uint32_t *bands;
    // Bytes from a sample of the result to the next pixel's. All three strides 0: pixel-interleaved without gaps.
    size_t pixel_stride;
    // Bytes from a sample of the result to that of the pixel below.
    size_t row_stride;
    // Bytes from a sample of the result to the next band's.
    size_t band_stride;
    // One of TILEKEEP_USE_.
    int32_t cache_use;
    // The frame: 0, or which of several pictures.
    uint32_t frame;
} tilekeep_window;

// How a tile shall come. Set struct_size to sizeof(tilekeep_tile_options) and all else to 0 for a raw tile of
// 256 x 256 pixels.
//
// @since 0.1
typedef struct tilekeep_tile_options {
    // sizeof(tilekeep_tile_options).
    uint32_t struct_size;
    // Pixels across a tile; 0: 256.
    uint32_t width;
    // Pixels down a tile; 0: 256.
    uint32_t height;
    // One of TILEKEEP_ENCODING_.
    int32_t encoding;
    // Of a JPEG or a lossy WebP, from 1 to 100; 0: 85 for a JPEG, 75 for a WebP.
    uint32_t quality;
    // One of TILEKEEP_EDGE_.
    int32_t edge;
    // 1: samples from range_min to range_max become 0 to 255. Otherwise 0.
    uint32_t has_range;
    // Bands in bands; 0: all in a raw tile, those that make a picture in an encoded one.
    uint32_t n_bands;
    // The bands wanted, numbered from 0, in the order wanted. May be NULL when n_bands is 0.
    const uint32_t *bands;
    // The sample that becomes 0.
    double range_min;
    // The sample that becomes 255.
    double range_max;
    // One of TILEKEEP_USE_.
    int32_t cache_use;
    // The frame: 0, or which of several pictures.
    uint32_t frame;
    // The colours of the picture: a style as JSON, large_image's with additions (as
    // {"band": 1, "min": 0, "max": "auto:0.02", "palette": "viridis"}). NULL: none. With it n_bands and has_range must be
    // 0. An encoded tile then has 8 bits; a raw one has the channels of the picture (1, or red, green, blue and opacity)
    // in the sample type that the style says, or 8 bits.
    const char *style;
    // Of a JPEG, one of TILEKEEP_CHROMA_.
    int32_t chroma;
    // Of a WebP, 1: exactly these pixels; quality is then not looked at. Otherwise 0.
    uint32_t lossless;
    // Of a raw tile, one of TILEKEEP_INTERLEAVE_.
    int32_t interleave;
    // Of a PNG, 1: often half the bytes, for ten to twenty times the time that it takes to encode. Otherwise 0.
    uint32_t small_file;
    // 1: decode and encode even a tile of which the file stores a picture in the encoding asked for, with nothing to be
    // changed about its pixels. Otherwise 0: such a picture is handed out as it is, whatever its quality.
    uint32_t no_pass_through;
    // Must be 0.
    uint32_t reserved;
} tilekeep_tile_options;

// A tile: a file in memory, or samples. Give it to tilekeep_free_tile.
//
// @since 0.1
typedef struct tilekeep_tile {
    // sizeof(tilekeep_tile), set by the caller.
    uint32_t struct_size;
    // Pixels across.
    uint32_t width;
    // Pixels down.
    uint32_t height;
    // Bands of a raw tile, which lie without gaps; of an encoded one, those that were encoded.
    uint32_t n_bands;
    // The type of a sample, one of TILEKEEP_SAMPLE_.
    int32_t sample_type;
    // 0.
    uint32_t reserved;
    // The bytes, to be read only: the cache may have them too. They stay until tilekeep_free_tile.
    const void *data;
    // How many there are.
    size_t size;
    // What keeps the bytes; not to be touched.
    void *owner;
} tilekeep_tile;

// Where a tile is: tiles of the size asked for, from the top left of a level.
//
// @since 0.1
typedef struct tilekeep_tile_place {
    // The level that is cut into tiles.
    uint32_t level;
    // Tiles from the left.
    uint32_t col;
    // Tiles from the top.
    uint32_t row;
} tilekeep_tile_place;

// What the cache of rendered tiles did since the process began, and what it holds.
//
// @since 0.1
typedef struct tilekeep_tile_stats {
    // sizeof(tilekeep_tile_stats), set by the caller.
    uint32_t struct_size;
    // 0.
    uint32_t reserved;
    // Tiles found in memory.
    uint64_t hits;
    // Tiles that were not.
    uint64_t misses;
    // Misses that waited for a tile that somebody else was making.
    uint64_t coalesced;
    // Tiles made of pixels: styled, encoded or both.
    uint64_t rendered;
    // Tiles that the source stores as they were asked for, so that nothing was decoded.
    uint64_t passed;
    // Tiles that could not be made.
    uint64_t failed;
    // Tiles forgotten to make room.
    uint64_t evictions;
    // Tiles handed out without being kept: the budget had no room, or the reader only passed through.
    uint64_t uncached;
    // Tiles kept.
    uint64_t entries;
    // Bytes that count against the budget: tiles kept, and their overhead.
    uint64_t bytes;
    // Of bytes, what is counted for every tile beside its bytes.
    uint64_t overhead_bytes;
    // Bytes set aside for tiles that are being made.
    uint64_t loading_bytes;
    // Bytes of all tiles that exist, kept or only held by a client.
    uint64_t tile_bytes;
    // The budget, or the total of all caches where that is less.
    uint64_t max_bytes;
    // Tiles found in the store; this and what follows since it was set, zeros without one.
    uint64_t store_hits;
    // Tiles that were not in the store.
    uint64_t store_misses;
    // Tiles that the store was not asked for, because it failed a moment ago.
    uint64_t store_skipped;
    // Questions to the store and writes to it that failed.
    uint64_t store_errors;
    // Values that came back damaged, and were removed.
    uint64_t store_damaged;
    // Tiles written to the store.
    uint64_t store_written;
    // Tiles that were not written: too many waited, or the write failed.
    uint64_t store_dropped;
    // Bytes of the values that came back.
    uint64_t store_read_bytes;
    // Bytes of the values written.
    uint64_t store_written_bytes;
    // Bytes that wait to be written now.
    uint64_t store_queued_bytes;
} tilekeep_tile_stats;

// What is known of a band. Texts belong to the dataset and are valid until it is closed.
//
// @since 0.1
typedef struct tilekeep_band {
    // sizeof(tilekeep_band), set by the caller.
    uint32_t struct_size;
    // What the band shows, one of TILEKEEP_COLOR_.
    int32_t color;
    // How it is known which pixels are valid, one of TILEKEEP_MASK_. The numbers are GDAL's mask flags.
    int32_t mask;
    // Names that tilekeep_category has.
    uint32_t n_categories;
    // Whether nodata is one: 1 or 0.
    uint8_t has_nodata;
    // Whether min, max, mean and std_dev are known: 1 or 0.
    uint8_t has_statistics;
    // 0.
    uint8_t reserved[6];
    // The sample that means "nothing here" in this band; it may be NaN. 64-bit integers may lose their last digits.
    double nodata;
    // What is measured is offset + scale * sample; 1 when nothing is said.
    double scale;
    // See scale; 0 when nothing is said.
    double offset;
    // The least sample, as somebody wrote it down.
    double min;
    // The greatest sample.
    double max;
    // The mean of the samples.
    double mean;
    // The standard deviation of the samples.
    double std_dev;
    // A name or a sentence; often empty.
    const char *description;
    // The unit of what is measured; often empty.
    const char *unit;
} tilekeep_band;

// A point whose place in the picture and on the ground is known. Texts belong to the dataset and are valid until it is
// closed.
//
// @since 0.1
typedef struct tilekeep_gcp {
    // sizeof(tilekeep_gcp), set by the caller.
    uint32_t struct_size;
    // 0.
    uint32_t reserved;
    // Pixels from the left edge of level 0.
    double col;
    // Pixels from the top edge of level 0.
    double row;
    // Ground coordinate.
    double x;
    // Ground coordinate.
    double y;
    // Height.
    double z;
    // A name; the file's number of it, from 1, when it says nothing else.
    const char *id;
    // More words; often empty.
    const char *info;
} tilekeep_gcp;

// A page of a file: a picture that is opened as a raster of its own, with its number as page in tilekeep_open_options.
// Texts belong to the dataset and are valid until it is closed.
//
// @since 0.1
typedef struct tilekeep_page {
    // sizeof(tilekeep_page), set by the caller.
    uint32_t struct_size;
    // What it is opened by: which of all pictures in the file it is, from 0. The numbers of those that only belong to
    // another one, as its overviews and masks, are left out; so are those of pictures that cannot be read.
    uint32_t number;
    // Pixels across.
    uint64_t width;
    // Pixels down.
    uint64_t height;
    // Bands.
    uint32_t n_bands;
    // The type of a sample, one of TILEKEEP_SAMPLE_.
    int32_t sample_type;
    // Which frame of this dataset it is; -1 for one that is no part of it.
    int32_t frame;
    // 0.
    uint32_t reserved;
    // The first line of what the page says of itself, up to 200 characters of it; often empty.
    const char *description;
} tilekeep_page;

// Releases user_data. Called exactly once, from any thread, when nobody will read any more.
//
// @since 0.1
typedef void (*tilekeep_destroy_fn)(void *user_data);

// Reads one block. The buffer has exactly the bytes of the block: rows from the top without padding, bands side by
// side, samples in native byte order; blocks of the last column and row have the pixels of the level only. All of it
// must be written. A long read may ask tilekeep_read_cancelled whether it still is wanted. Called from any thread, from
// several at once, never under a lock of the library. It may use other datasets, but must not read from its own: that
// would wait for itself.
//
// Returns TILEKEEP_OK or one of the TILEKEEP_ERR_ codes; tilekeep_set_last_error says why in words.
//
// @since 0.1
typedef tilekeep_status (*tilekeep_read_block_fn)(void *user_data,
                                                  uint32_t level,
                                                  uint32_t col,
                                                  uint32_t row,
                                                  uint32_t plane,
                                                  uint32_t frame,
                                                  void *buffer,
                                                  size_t buffer_size);

// Size of a level of a client's own source, and of its blocks.
//
// @since 0.1
typedef struct tilekeep_source_level {
    // Pixels across.
    uint64_t width;
    // Pixels down.
    uint64_t height;
    // Pixels across a block.
    uint32_t block_width;
    // Pixels down a block.
    uint32_t block_height;
} tilekeep_source_level;

// A client's own source: what it holds, and how it is read. The struct and its arrays are copied.
//
// @since 0.1
typedef struct tilekeep_source {
    // sizeof(tilekeep_source).
    uint32_t struct_size;
    // Bands.
    uint32_t n_bands;
    // The type of every sample, one of TILEKEEP_SAMPLE_.
    int32_t sample_type;
    // 1: every band is stored in blocks of its own, and the plane is the band. Otherwise 0.
    uint32_t is_band_sequential;
    // Given to the functions as their first argument.
    void *user_data;
    // May be NULL.
    tilekeep_destroy_fn destroy;
    // Reads a block.
    tilekeep_read_block_fn read_block;
    // The levels that the source stores, finest first.
    const struct tilekeep_source_level *levels;
    // How many there are; at least 1.
    uint32_t n_levels;
    // 1 when nodata is set, otherwise 0.
    uint32_t has_nodata;
    // The sample value that means "nothing here".
    double nodata;
    // Six numbers in GDAL's order, or NULL.
    const double *geotransform;
    // A short name for messages, or NULL.
    const char *name;
    // Pictures of this size and kind; 0: one.
    uint32_t n_frames;
} tilekeep_source;

// Looks a value up. The key is 65 characters: 32 hexadecimal digits that are the same for all tiles of a raster, a '-', and
// 32 digits. Gives the value with tilekeep_store_value_set and returns TILEKEEP_OK; returns TILEKEEP_ERR_NOT_FOUND
// when there is none, or another TILEKEEP_ERR_ code. Called from any thread, from several at once, never under a lock of
// the library.
//
// @since 0.1
typedef tilekeep_status (*tilekeep_store_get_fn)(void *user_data,
                                                 const char *key,
                                                 struct tilekeep_store_value *value);

// Keeps a value under a key, in place of one that is there. Called from a thread of the library's, for which it must not
// flush, clear or set the store, nor invalidate a dataset: that would wait for itself.
//
// @since 0.1
typedef tilekeep_status (*tilekeep_store_put_fn)(void *user_data,
                                                 const char *key,
                                                 const void *data,
                                                 size_t size);

// Forgets the values whose key begins with a text: all of the key, the 32 digits of one raster, or nothing, which is all
// that tilekeep put there. That there are none is no failure.
//
// @since 0.1
typedef tilekeep_status (*tilekeep_store_remove_fn)(void *user_data, const char *key_prefix);

// Looks n_keys values up at once, those of a viewport; the keys and how values are given are those of
// tilekeep_store_get_fn. values has a place for the value of each key; one that nothing was put into says that there is
// none. Returns TILEKEEP_OK, or another TILEKEEP_ERR_ code when the store did not answer.
//
// @since 0.1
typedef tilekeep_status (*tilekeep_store_get_many_fn)(void *user_data,
                                                      const char *const *keys,
                                                      struct tilekeep_store_value *const *values,
                                                      size_t n_keys);

// A client's own store of rendered tiles. The struct is copied.
//
// @since 0.1
typedef struct tilekeep_tile_store {
    // sizeof(tilekeep_tile_store).
    uint32_t struct_size;
    // Must be 0.
    uint32_t reserved;
    // Given to the functions as their first argument.
    void *user_data;
    // May be NULL.
    tilekeep_destroy_fn destroy;
    // Looks a value up.
    tilekeep_store_get_fn get;
    // Keeps a value.
    tilekeep_store_put_fn put;
    // Forgets values.
    tilekeep_store_remove_fn remove;
    // Looks many values up at once. NULL: get is called for each.
    tilekeep_store_get_many_fn get_many;
} tilekeep_tile_store;

// What was asked for and what became of it, since the threads were started.
//
// @since 0.1
typedef struct tilekeep_request_stats {
    // sizeof(tilekeep_request_stats), set by the caller.
    uint32_t struct_size;
    // 0.
    uint32_t reserved;
    // Jobs that wait for a thread.
    uint64_t queued;
    // Jobs that run, or whose answers are being given.
    uint64_t running;
    // Requests answered with what they asked for, or with why it could not be had.
    uint64_t answered;
    // Of these, those that were answered with a failure.
    uint64_t failed;
    // Requests that were taken back before they were answered.
    uint64_t cancelled;
    // Requests that joined a job which somebody else had asked for.
    uint64_t joined;
    // Jobs that were dropped before they began, because nobody wanted them any more.
    uint64_t dropped;
    // Jobs that were told to stop while they ran, for the same reason.
    uint64_t stopped;
    // Tiles that were loaded before anybody asked for them.
    uint64_t prefetched;
    // Of these, tiles that were then asked for.
    uint64_t prefetch_used;
    // Of these, tiles that were given up without having been asked for.
    uint64_t prefetch_wasted;
} tilekeep_request_stats;

// A part of a tile that is at hand, and which part of the wanted tile it shows. Rectangles are x, y, width, height.
//
// @since 0.1
typedef struct tilekeep_available_part {
    // sizeof(tilekeep_available_part), set by the caller.
    uint32_t struct_size;
    // 1: a tile of level, which is that of the wanted one if it is the tile itself. 0: a picture of its own, as a thumbnail.
    uint32_t has_level;
    // The level of the tile at hand.
    uint32_t level;
    // Pixels across the tile at hand.
    uint32_t width;
    // Pixels down.
    uint32_t height;
    // As in tilekeep_tile.
    uint32_t n_bands;
    // The type of a sample, one of TILEKEEP_SAMPLE_.
    int32_t sample_type;
    // 0.
    uint32_t reserved;
    // The tile's bytes, in the encoding asked for, to be read only. They stay until tilekeep_available_free.
    const void *data;
    // How many there are.
    size_t size;
    // Which pixels of the tile at hand.
    double from[4];
    // Where in the wanted tile they go, in its pixels.
    double to[4];
} tilekeep_available_part;

// Hears how a request for a block ended: as tilekeep_tile_fn, with block in place of the tile. Its data is the buffer that
// was given for it, or else the block itself, to be read during the call only; its token is 0. To keep a block for longer,
// take it with tilekeep_request_wait_block.
//
// @since 0.1
typedef void (*tilekeep_block_fn)(void *user_data,
                                  tilekeep_status status,
                                  const struct tilekeep_block *block,
                                  const char *message);

// Who hears of a block. The struct is copied.
//
// @since 0.1
typedef struct tilekeep_block_callback {
    // sizeof(tilekeep_block_callback).
    uint32_t struct_size;
    // 0.
    uint32_t reserved;
    // Given to the functions as their first argument.
    void *user_data;
    // Hears of the block. May be NULL.
    tilekeep_block_fn arrived;
    // Releases user_data. Called exactly once, after the last call of arrived, from any thread. May be NULL.
    tilekeep_destroy_fn destroy;
} tilekeep_block_callback;

// Hears how a request ended: called exactly once, never under a lock of the library. status is TILEKEEP_OK and tile the
// tile, which is valid during the call only (to keep its bytes for longer, take the tile with tilekeep_request_wait);
// or status is a failure (TILEKEEP_ERR_CANCELLED when the request was taken back), tile is NULL and message says why,
// which is valid during the call and otherwise NULL.
//
// It runs in a thread of the tilekeep_requests, several of them at once for several requests; or, for a request that is
// taken back, in the thread that does so. It may call anything, but must not wait for requests that have no answer yet:
// that is TILEKEEP_ERR_INVALID_ARGUMENT. It may use and release this request too, where the client sees to it that no other
// thread releases it meanwhile.
//
// @since 0.1
typedef void (*tilekeep_tile_fn)(void *user_data,
                                 tilekeep_status status,
                                 const struct tilekeep_tile *tile,
                                 const char *message);

// Hears of something to show until the tile is there: cached tiles of other levels, a thumbnail in the file, or its
// coarsest level. Called at most once, before arrived and never at the same time; not when nothing is at hand sooner.
// preview is valid during the call only, and is not to be freed.
//
// It runs as tilekeep_tile_fn does.
//
// @since 0.1
typedef void (*tilekeep_preview_fn)(void *user_data, const struct tilekeep_available *preview);

// Who hears of a tile. The struct is copied.
//
// @since 0.1
typedef struct tilekeep_tile_callback {
    // sizeof(tilekeep_tile_callback).
    uint32_t struct_size;
    // 0.
    uint32_t reserved;
    // Given to the functions as their first argument.
    void *user_data;
    // Hears of the tile. May be NULL.
    tilekeep_tile_fn arrived;
    // Releases user_data. Called exactly once, after the last call of the others, from any thread. May be NULL.
    tilekeep_destroy_fn destroy;
    // Hears of a preview. NULL: none is looked for.
    tilekeep_preview_fn preview;
} tilekeep_tile_callback;

// Hears of a tile of a viewport as it arrives, or of what went wrong with it; not of those that were dropped meanwhile.
// tile and message are as in tilekeep_tile_fn. It runs in threads of the tilekeep_requests, in several of them at once for
// several tiles, never under a lock of the library; or with TILEKEEP_ERR_CANCELLED in the thread that frees these. It may
// call anything but what waits for requests, with the viewport too: tilekeep_viewport_free waits for it. Only where another
// callback frees the viewport must the client see to it that this one does not use it meanwhile.
//
// @since 0.1
typedef void (*tilekeep_viewport_fn)(void *user_data,
                                     uint32_t level,
                                     uint32_t col,
                                     uint32_t row,
                                     tilekeep_status status,
                                     const struct tilekeep_tile *tile,
                                     const char *message);

// Who hears of the tiles of a viewport. The struct is copied.
//
// @since 0.1
typedef struct tilekeep_viewport_callback {
    // sizeof(tilekeep_viewport_callback).
    uint32_t struct_size;
    // 0.
    uint32_t reserved;
    // Given to the functions as their first argument.
    void *user_data;
    // Hears of every tile. May be NULL.
    tilekeep_viewport_fn arrived;
    // Releases user_data. Called exactly once, when the viewport was freed and after the last call of arrived, from any
    // thread. May be NULL.
    tilekeep_destroy_fn destroy;
} tilekeep_viewport_callback;

// What a frame shows. Set struct_size, and either the tiles or the levels and the window; and the centre.
//
// @since 0.1
typedef struct tilekeep_frame {
    // sizeof(tilekeep_frame).
    uint32_t struct_size;
    // Tiles in tiles.
    uint32_t n_tiles;
    // The tiles wanted, of one level or of several. May be NULL when n_tiles is 0.
    const struct tilekeep_tile_place *tiles;
    // How all of them shall look. NULL: as tilekeep_read_tile does with NULL.
    const struct tilekeep_tile_options *options;
    // Where the viewer looks, in pixels of level 0: what is near is loaded first.
    double centre_x;
    // The same, from the top.
    double centre_y;
    // With n_tiles 0 and a width: all tiles of this level
    uint32_t finest_level;
    // to this one are wanted that lie under a window of level 0, which may reach beyond it.
    uint32_t coarsest_level;
    // Pixels of level 0 from the left.
    uint64_t x;
    // Pixels from the top.
    uint64_t y;
    // Pixels across. 0, with n_tiles 0: nothing is wanted any more.
    uint64_t width;
    // Pixels down.
    uint64_t height;
} tilekeep_frame;

// Hears how a request for a window ended: as tilekeep_tile_fn, with the pixels in the buffer that was given for them.
//
// @since 0.1
typedef void (*tilekeep_window_fn)(void *user_data, tilekeep_status status, const char *message);

// Who hears of a window. The struct is copied.
//
// @since 0.1
typedef struct tilekeep_window_callback {
    // sizeof(tilekeep_window_callback).
    uint32_t struct_size;
    // 0.
    uint32_t reserved;
    // Given to the functions as their first argument.
    void *user_data;
    // Hears of the window. May be NULL.
    tilekeep_window_fn arrived;
    // Releases user_data. Called exactly once, after the last call of arrived, from any thread. May be NULL.
    tilekeep_destroy_fn destroy;
} tilekeep_window_callback;

// How memory is watched; zeros are the defaults.
//
// @since 0.1
typedef struct tilekeep_pressure_options {
    // sizeof(tilekeep_pressure_options).
    uint32_t struct_size;
    // 1: no thread looks, only tilekeep_pressure_watch_check does. 0: a thread does.
    uint32_t no_thread;
    // Milliseconds from one look to the next; 0: 250.
    uint64_t interval_ms;
    // What the process itself may hold, files apart, if that is less than what the system lets it have; 0: not said.
    uint64_t limit_bytes;
} tilekeep_pressure_options;

// What a watch saw when it looked last, and did since it began.
//
// @since 0.1
typedef struct tilekeep_pressure_stats {
    // sizeof(tilekeep_pressure_stats), set by the caller.
    uint32_t struct_size;
    // How short of memory the process is: one of TILEKEEP_PRESSURE_.
    int32_t level;
    // How often it looked.
    uint64_t checks;
    // How often it lowered the total.
    uint64_t shrinks;
    // How often it raised it again.
    uint64_t growths;
    // The total that was asked for: what it grows back to.
    uint64_t total_max_bytes;
    // The total that holds.
    uint64_t total_now_bytes;
    // The limit that leaves least: the machine's memory, that of a control group, or what the client said.
    uint64_t limit_bytes;
    // What of it is used, by whomever, without what the system would take back for the asking.
    uint64_t used_bytes;
} tilekeep_pressure_stats;

// Hears that the level of pressure is another one; stats is valid during the call. It runs in the thread of the watch, or in
// one that checks or starts it, never under a lock of the library. It may call anything, and release the watch.
//
// @since 0.1
typedef void (*tilekeep_pressure_fn)(void *user_data, const struct tilekeep_pressure_stats *stats);

// Who hears of pressure. The struct is copied.
//
// @since 0.1
typedef struct tilekeep_pressure_callback {
    // sizeof(tilekeep_pressure_callback).
    uint32_t struct_size;
    // 0.
    uint32_t reserved;
    // Given to the functions as their first argument.
    void *user_data;
    // Hears of it. May be NULL.
    tilekeep_pressure_fn changed;
    // Releases user_data. Called exactly once, after the last call of changed, from any thread. May be NULL.
    tilekeep_destroy_fn destroy;
} tilekeep_pressure_callback;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The message of the last call that failed on this thread: one line, UTF-8, ending in 0. Empty when none did.
//
// A call that succeeds leaves it alone. It is valid until the next call on this thread fails.
//
// @since 0.1
const char *tilekeep_last_error(void);

// Says in words why a callback is about to return a failure: the message becomes part of what the caller of the
// library is told. For callbacks only; what tilekeep_last_error gives does not change. NULL is taken as an empty text.
//
// @since 0.1
void tilekeep_set_last_error(const char *message);

// The version of the library, as "major.minor.patch". Valid for as long as the program runs.
//
// @since 0.1
const char *tilekeep_version(void);

// Opens the raster file at path, with what the files beside it say. options may be NULL. Every handle that this gives is
// to be closed, also when several are of one dataset (see own in tilekeep_open_options).
//
// @since 0.1
tilekeep_status tilekeep_open(const char *path,
                              const struct tilekeep_open_options *options,
                              struct tilekeep_dataset **dataset_out);

// Releases a dataset. Blocks that are locked stay so, with their memory, until they are unlocked. NULL does nothing.
//
// @since 0.1
void tilekeep_close(struct tilekeep_dataset *dataset);

// Says what a dataset is. No file is read.
//
// @since 0.1
tilekeep_status tilekeep_info(const struct tilekeep_dataset *dataset, struct tilekeep_dataset_info *info_out);

// Says what a level is.
//
// @since 0.1
tilekeep_status tilekeep_level_info(const struct tilekeep_dataset *dataset,
                                    uint32_t level,
                                    struct tilekeep_level *level_out);

// Gives item number index, from 0, of what the file says in words. The domain is empty for what describes the whole
// dataset, "band/0" for the first band. Any of the three outputs may be NULL. The texts are valid until the dataset is
// closed. TILEKEEP_ERR_NOT_FOUND past the last item.
//
// @since 0.1
tilekeep_status tilekeep_metadata(const struct tilekeep_dataset *dataset,
                                  uint32_t index,
                                  const char **domain_out,
                                  const char **key_out,
                                  const char **value_out);

// Gives key number index, from 0, of the GeoTIFF key directory, and its value as text. The text is valid until the
// dataset is closed. TILEKEEP_ERR_NOT_FOUND past the last key.
//
// @since 0.1
tilekeep_status tilekeep_geo_key(const struct tilekeep_dataset *dataset,
                                 uint32_t index,
                                 uint16_t *id_out,
                                 const char **value_out);

// Gives the transform from pixels of level 0 to the ground: six numbers in GDAL's order, for the top left corner of
// the top left pixel. transform_out must have room for all six. TILEKEEP_ERR_NOT_FOUND when there is none.
//
// @since 0.1
tilekeep_status tilekeep_geotransform(const struct tilekeep_dataset *dataset,
                                      double *transform_out);

// Gives the sample value that means "nothing here"; it may be NaN. 64-bit integers may lose their last digits.
// TILEKEEP_ERR_NOT_FOUND when there is none.
//
// @since 0.1
tilekeep_status tilekeep_nodata(const struct tilekeep_dataset *dataset,
                                double *nodata_out);

// Says what a band shows, as one of TILEKEEP_COLOR_. Bands are numbered from 0.
//
// @since 0.1
tilekeep_status tilekeep_band_color(const struct tilekeep_dataset *dataset,
                                    uint32_t band,
                                    int32_t *color_out);

// Gives colour number index of the colour table as four bytes: red, green, blue, opacity.
// TILEKEEP_ERR_NOT_FOUND past the last colour.
//
// @since 0.1
tilekeep_status tilekeep_color_table(const struct tilekeep_dataset *dataset,
                                     uint32_t index,
                                     uint8_t *rgba_out);

// Looks whether the file of a dataset, and those beside it that were read, are still those that were opened.
// TILEKEEP_ERR_CHANGED when one of them is not: opening the path again gives what is there now. The same when it cannot be
// told, because the file was written to less than 50 ms before it was opened (2.1 s where its time is in whole seconds).
// A client's own source is not asked.
//
// @since 0.1
tilekeep_status tilekeep_revalidate(const struct tilekeep_dataset *dataset);

// Forgets what is known of the file at path: whoever opens it next gets what is there then, files beside it included.
// Datasets that are open stay as they are.
//
// @since 0.1
tilekeep_status tilekeep_forget(const char *path);

// Changes how many bytes of what was parsed of closed files are kept. Those closed the longest ago go first; 0 keeps
// nothing. Until this is called it is a 64th of the memory that the process may use, from 1 to 64 MiB. A file of which this much is known is opened again at the cost of one look at it.
//
// @since 0.1
tilekeep_status tilekeep_set_catalog_max(uint64_t bytes);

// Says what is known of files.
//
// @since 0.1
tilekeep_status tilekeep_get_catalog_stats(struct tilekeep_catalog_stats *stats_out);

// Changes how many files, of all datasets that read by position, stay open between reads: 64 until this is called. The
// least recently read ones are closed and opened again when they are read; TILEKEEP_ERR_CHANGED when another file is there
// then.
//
// @since 0.1
tilekeep_status tilekeep_set_max_open_files(uint32_t n);

// Copies the pixels of a block into buffer: rows from the top without padding, bands side by side, samples in native
// byte order. options may be NULL. block_out, which may be NULL too, is told how the copy lies in memory; its data and
// token are 0, and there is nothing to unlock.
//
// @since 0.1
tilekeep_status tilekeep_read_block(const struct tilekeep_dataset *dataset,
                                    uint32_t level,
                                    uint32_t col,
                                    uint32_t row,
                                    const struct tilekeep_block_options *options,
                                    void *buffer,
                                    size_t buffer_size,
                                    struct tilekeep_block *block_out);

// Lends a block without a copy. It stays where it is, and asking for it again finds it, until its token is given to
// tilekeep_unlock_block; the dataset may be closed before that. options may be NULL. The pixels must not be written.
//
// TILEKEEP_ERR_LIMIT_EXCEEDED when the budget has no room beside the blocks that are locked, in use or being loaded at the
// moment.
//
// @since 0.1
tilekeep_status tilekeep_lock_block(const struct tilekeep_dataset *dataset,
                                    uint32_t level,
                                    uint32_t col,
                                    uint32_t row,
                                    const struct tilekeep_block_options *options,
                                    struct tilekeep_block *block_out);

// Gives a lent block back. Its token is used up: a second call with it is TILEKEEP_ERR_INVALID_ARGUMENT and does no
// harm.
//
// @since 0.1
tilekeep_status tilekeep_unlock_block(const struct tilekeep_block *block);

// Gives the dataset a budget of its own: so many bytes of decoded blocks are kept. What exceeds them goes at once, locked
// blocks when they are unlocked. 0 keeps nothing. tilekeep_set_cache_budget gives it a share of the total again.
//
// @since 0.1
tilekeep_status tilekeep_set_cache_max(const struct tilekeep_dataset *dataset,
                                       uint64_t bytes);

// Changes which blocks the dataset forgets first: one of TILEKEEP_POLICY_. Blocks that are kept stay.
//
// @since 0.1
tilekeep_status tilekeep_set_cache_policy(const struct tilekeep_dataset *dataset, int32_t policy);

// Says how many bytes of decoded blocks the dataset may keep: its budget, or the total where that is less.
//
// @since 0.1
tilekeep_status tilekeep_get_cache_max(const struct tilekeep_dataset *dataset, uint64_t *bytes_out);

// Forgets the blocks of level that touch a window of its pixels and are not locked. The window must lie in the level.
//
// @since 0.1
tilekeep_status tilekeep_evict(const struct tilekeep_dataset *dataset,
                               uint32_t level,
                               uint64_t x,
                               uint64_t y,
                               uint64_t width,
                               uint64_t height);

// Predicts the share of reads, from 0 to 1, that each of n budgets would have found in memory so far. ratios_out must
// have room for n numbers.
//
// @since 0.1
tilekeep_status tilekeep_cache_curve(const struct tilekeep_dataset *dataset,
                                     const uint64_t *budgets_bytes,
                                     uint32_t n,
                                     double *ratios_out);

// Gives a budget that is predicted to find this share of reads, from 0 to 1, in memory. TILEKEEP_ERR_NOT_FOUND when no
// budget is, because too much is read for the first time.
//
// @since 0.1
tilekeep_status tilekeep_suggest_cache_max(const struct tilekeep_dataset *dataset,
                                           double target_ratio,
                                           uint64_t *bytes_out);

// Says what the block cache of the dataset did, and what it holds.
//
// @since 0.1
tilekeep_status tilekeep_stats(const struct tilekeep_dataset *dataset,
                               struct tilekeep_cache_stats *stats_out);

// Changes what the dataset's cache may hold, and how it is shared with other datasets. What exceeds it goes at once,
// locked blocks when they are unlocked.
//
// @since 0.1
tilekeep_status tilekeep_set_cache_budget(const struct tilekeep_dataset *dataset,
                                          const struct tilekeep_cache_budget *budget);

// Changes how many bytes of decoded blocks the caches of all datasets hold together. What exceeds them goes at once,
// locked blocks when they are unlocked. Until this is called the total is an eighth of the memory that the process may use,
// from 16 to 512 MiB, and beside that what datasets were promised, budgets of their own included. On Linux that memory is
// the least of the machine's and of the limits of the process's control groups, as they were when they were first asked
// for; elsewhere it is taken to be 4 GiB. A tilekeep_pressure_watch may lower the total for a while.
//
// @since 0.1
tilekeep_status tilekeep_set_total_max(uint64_t bytes);

// Says how many bytes of decoded blocks the caches of all datasets may hold together when there is memory for them;
// total_now_bytes of tilekeep_memory_stats is what they may hold now.
//
// @since 0.1
tilekeep_status tilekeep_get_total_max(uint64_t *bytes_out);

// Gives memory back to the system: what to call when the system says that it is short of it. level is one of
// TILEKEEP_TRIM_. Budgets stay as they are, so that caches fill again;
// a tilekeep_pressure_watch lowers and raises them by itself.
//
// @since 0.1
tilekeep_status tilekeep_trim(int32_t level);

// Says how a window of pixels of level is going to be read, in every frame: advice is one of TILEKEEP_ADVICE_. The window
// must lie in the level. Nothing is decoded, and no pixel changes.
//
// @since 0.1
tilekeep_status tilekeep_advise(const struct tilekeep_dataset *dataset,
                                uint32_t level,
                                uint64_t x,
                                uint64_t y,
                                uint64_t width,
                                uint64_t height,
                                int32_t advice);

// As tilekeep_advise for one frame.
//
// @since 0.1
tilekeep_status tilekeep_advise_frame(const struct tilekeep_dataset *dataset,
                                      uint32_t frame,
                                      uint32_t level,
                                      uint64_t x,
                                      uint64_t y,
                                      uint64_t width,
                                      uint64_t height,
                                      int32_t advice);

// Says what all datasets of the process did and hold together. Either output may be NULL. Datasets that are closed count
// in what happened.
//
// @since 0.1
tilekeep_status tilekeep_process_stats(struct tilekeep_memory_stats *stats_out,
                                       struct tilekeep_cache_stats *datasets_out);

// Reads a window into buffer. What is needed beside the blocks is a few MiB at most, whatever the sizes.
//
// @since 0.1
tilekeep_status tilekeep_read_window(const struct tilekeep_dataset *dataset,
                                     const struct tilekeep_window *window,
                                     void *buffer,
                                     size_t buffer_size);

// Says how many bytes tilekeep_read_window needs for a window.
//
// @since 0.1
tilekeep_status tilekeep_window_size(const struct tilekeep_dataset *dataset,
                                     const struct tilekeep_window *window,
                                     size_t *size_out);

// Reads a tile, raw or encoded. col and row count tiles of the size asked for. options may be NULL. The bytes in
// tile_out belong to the caller until it gives them to tilekeep_free_tile.
//
// @since 0.1
tilekeep_status tilekeep_read_tile(const struct tilekeep_dataset *dataset,
                                   uint32_t level,
                                   uint32_t col,
                                   uint32_t row,
                                   const struct tilekeep_tile_options *options,
                                   struct tilekeep_tile *tile_out);

// Releases the bytes of a tile and sets its data to NULL and its size to 0, so that a second call does nothing. A tile
// of NULL, or one that was released, does nothing.
//
// @since 0.1
void tilekeep_free_tile(struct tilekeep_tile *tile);

// Reads many tiles, those of a viewport, each as tilekeep_read_tile does; a store of tiles is asked once for all of them.
// options may be NULL.
//
// tiles_out has n_tiles structs, all with their struct_size set, and statuses_out a status for each. A tile that cannot
// be read costs the others nothing: where statuses_out has TILEKEEP_OK the tile is written and belongs to the caller
// until it is given to tilekeep_free_tile, elsewhere the struct is as it was. Returns TILEKEEP_OK when all were read,
// otherwise the first status that is not, with its words in tilekeep_last_error. When the arguments themselves are wrong
// nothing is written at all.
//
// @since 0.1
tilekeep_status tilekeep_read_tiles(const struct tilekeep_dataset *dataset,
                                    const struct tilekeep_tile_place *places,
                                    size_t n_tiles,
                                    const struct tilekeep_tile_options *options,
                                    struct tilekeep_tile *tiles_out,
                                    tilekeep_status *statuses_out);

// Changes how many bytes of rendered tiles are kept, for all datasets together. Until it is called they are a 64th of the
// memory that the process may use, as tilekeep_set_total_max describes it, from 2 to 64 MiB. What exceeds them goes at once;
// 0 keeps nothing. They are a part of the total that no dataset can take.
//
// @since 0.1
tilekeep_status tilekeep_set_tile_cache_max(uint64_t bytes);

// Says how many bytes of rendered tiles may be kept: the budget, or the total where that is less.
//
// @since 0.1
tilekeep_status tilekeep_get_tile_cache_max(uint64_t *bytes_out);

// Says what the cache of rendered tiles did and holds.
//
// @since 0.1
tilekeep_status tilekeep_tile_cache_stats(struct tilekeep_tile_stats *stats_out);

// Forgets all rendered tiles in memory.
//
// @since 0.1
tilekeep_status tilekeep_clear_tile_cache(void);

// Forgets all that is known of the dataset's pixels: blocks, ranges that styles asked for, rendered tiles. For a
// client's own source whose pixels changed. A block that is locked stays as it is for those who hold it, and nobody
// finds it again. What is being read or rendered meanwhile is not found afterwards either.
//
// @since 0.1
tilekeep_status tilekeep_invalidate(const struct tilekeep_dataset *dataset);

// Says what is known of a band. Bands are numbered from 0.
//
// @since 0.1
tilekeep_status tilekeep_band_info(const struct tilekeep_dataset *dataset,
                                   uint32_t band,
                                   struct tilekeep_band *band_out);

// Gives the name of sample number index, from 0, of a band of classes. It is valid until the dataset is closed.
// TILEKEEP_ERR_NOT_FOUND past the last name.
//
// @since 0.1
tilekeep_status tilekeep_category(const struct tilekeep_dataset *dataset,
                                  uint32_t band,
                                  uint32_t index,
                                  const char **name_out);

// Reads which pixels of a band are valid, for the window that tilekeep_read_window would read: one byte a pixel, 0 where
// there is nothing, 255 where the pixel is valid. With an alpha band, and where the pixels of a stored mask are averaged,
// what is between says how much. The window must say neither bands nor a sample type. Without strides buffer takes as
// many bytes as the result has pixels.
//
// @since 0.1
tilekeep_status tilekeep_read_mask_window(const struct tilekeep_dataset *dataset,
                                          uint32_t band,
                                          const struct tilekeep_window *window,
                                          void *buffer,
                                          size_t buffer_size);

// Gives control point number index, from 0. TILEKEEP_ERR_NOT_FOUND past the last one.
//
// @since 0.1
tilekeep_status tilekeep_gcp_info(const struct tilekeep_dataset *dataset,
                                  uint32_t index,
                                  struct tilekeep_gcp *gcp_out);

// Gives the name and the size in pixels of further picture number index, from 0: "thumbnail", "label", "macro", ... Any
// of the three outputs may be NULL. The name is valid until the dataset is closed. TILEKEEP_ERR_NOT_FOUND past the last
// one.
//
// @since 0.1
tilekeep_status tilekeep_associated_info(const struct tilekeep_dataset *dataset,
                                         uint32_t index,
                                         const char **name_out,
                                         uint64_t *width_out,
                                         uint64_t *height_out);

// Opens the further picture of this name as a dataset of its own, which tilekeep_close releases. It may outlive the
// dataset that it comes from. TILEKEEP_ERR_NOT_FOUND when there is none of this name.
//
// @since 0.1
tilekeep_status tilekeep_open_associated(const struct tilekeep_dataset *dataset,
                                         const char *name,
                                         struct tilekeep_dataset **dataset_out);

// Gives the name of block of bytes number index, from 0: "exif", "icc", "xmp", ... It is valid until the dataset is
// closed. TILEKEEP_ERR_NOT_FOUND past the last one.
//
// @since 0.1
tilekeep_status tilekeep_blob_name(const struct tilekeep_dataset *dataset,
                                   uint32_t index,
                                   const char **name_out);

// Reads the block of bytes of this name from the file to the start of buffer, and gives its size. With a buffer_size of
// 0 nothing is written to buffer, which may then be NULL, and the size is given all the same. A buffer that is too small
// is an error. TILEKEEP_ERR_NOT_FOUND when there is none of this name.
//
// @since 0.1
tilekeep_status tilekeep_read_blob(const struct tilekeep_dataset *dataset,
                                   const char *name,
                                   void *buffer,
                                   size_t buffer_size,
                                   size_t *size_out);

// Says what the page at place index, from 0, of the list of pages is. No file is read. TILEKEEP_ERR_NOT_FOUND past the last
// one.
//
// @since 0.1
tilekeep_status tilekeep_page_info(const struct tilekeep_dataset *dataset,
                                   uint32_t index,
                                   struct tilekeep_page *page_out);

// For read_block to ask between pieces of its work, in the thread that it was called in: 1 when nobody wants the block any
// more, because all requests for it were taken back. It may then stop, whatever it has written, and return
// TILEKEEP_ERR_CANCELLED; the block is absent as if nobody had asked. 0 otherwise, and outside of read_block.
//
// @since 0.1
int32_t tilekeep_read_cancelled(void);

// Opens a client's own source. options may be NULL. destroy is called exactly once: when the dataset was closed and
// nobody reads any more, or before this returns a failure; not, though, when source is NULL or its struct_size is
// wrong, for then it cannot be known.
//
// @since 0.1
tilekeep_status tilekeep_open_source(const struct tilekeep_source *source,
                                     const struct tilekeep_open_options *options,
                                     struct tilekeep_dataset **dataset_out);

// Keeps rendered tiles in a store too, beyond this process's memory, in place of the store that was set before. A tile
// that is not in memory is looked for there before it is made, and written there afterwards, by a thread of the library's
// own. A store that is slow, full or gone costs a miss and a count, never a tile. Only tiles of files are stored.
//
// The URI is one of
//
// ```text
// memory:                                                      no store
// disk:DIR?max=SIZE                                            files in a folder that processes may share
// memcached://HOST:PORT,.../PREFIX?timeout_ms=500              memcached servers
// memcached:unix:PATH?prefix=P&timeout_ms=500                   a memcached server of this machine, by its socket
// redis://USER:PASSWORD@HOST:PORT/DB?prefix=P&timeout_ms=500   a Redis or Valkey server
// redis:unix:PATH?password=PASSWORD&prefix=P&timeout_ms=500    a Redis or Valkey server of this machine, by its socket
// ```
//
// of which all but the scheme, the folder and the host may be left out. SIZE may end in K, M, G or T. A build without one
// of them says TILEKEEP_ERR_UNSUPPORTED.
//
// @since 0.1
tilekeep_status tilekeep_set_tile_store(const char *uri);

// Keeps rendered tiles in a store of the client's, as tilekeep_set_tile_store does. destroy is called exactly once: when
// another store was set and nobody uses this one any more, or before this returns a failure; not, though, when store is
// NULL or its struct_size is wrong, for then it cannot be known. A store that is set when the program ends is not
// destroyed.
//
// @since 0.1
tilekeep_status tilekeep_set_client_tile_store(const struct tilekeep_tile_store *store);

// Gives a value to the library, from within the function that looks it up; the bytes are copied. An earlier value is
// replaced.
//
// @since 0.1
tilekeep_status tilekeep_store_value_set(struct tilekeep_store_value *value,
                                         const void *data,
                                         size_t size);

// Returns when the tiles made so far are in the store, or were dropped because it failed. Does nothing without one.
//
// @since 0.1
tilekeep_status tilekeep_flush_tile_store(void);

// Forgets what tilekeep has in the store, for all who share it. TILEKEEP_ERR_NOT_FOUND when no store is set.
//
// @since 0.1
tilekeep_status tilekeep_clear_tile_store(void);

// Returns what the store failed with last, however long ago, with its words in tilekeep_last_error; TILEKEEP_OK when it
// did not, or none is set.
//
// @since 0.1
tilekeep_status tilekeep_tile_store_error(void);

// Starts n_threads threads, 1 to 1024, that serve requests.
//
// @since 0.1
tilekeep_status tilekeep_requests_new(uint32_t n_threads, struct tilekeep_requests **requests_out);

// Takes back all requests that have no answer yet, and returns when the threads are gone: no callback runs any more. In a
// callback, its own or of other requests, it returns at once: the threads go as soon as what they are at is over, and
// callbacks that run in others go on meanwhile.
//
// @since 0.1
void tilekeep_requests_free(struct tilekeep_requests *requests);

// Says what was asked for and what became of it.
//
// @since 0.1
tilekeep_status tilekeep_requests_stats(const struct tilekeep_requests *requests,
                                        struct tilekeep_request_stats *stats_out);

// Gives a file descriptor for event loops, which is readable (as poll, epoll and kqueue say it) for as long as there are
// answers that nobody has looked at: to requests without a callback, made after the first call of this. Looking is
// tilekeep_request_poll that says 1, a wait that ends with the answer, and tilekeep_request_free.
//
// It is to be waited on only, never read, written or closed, and not to be used after tilekeep_requests_free. Without a
// call of this there is none. TILEKEEP_ERR_UNSUPPORTED where the system is no Unix.
//
// @since 0.1
tilekeep_status tilekeep_requests_fd(const struct tilekeep_requests *requests,
                                     int32_t *fd_out);

// Changes how many threads at most load what nobody has asked for yet, for the viewports of requests: half of them until
// this is called, and one at least. 0: nothing is loaded ahead.
//
// @since 0.1
tilekeep_status tilekeep_requests_set_prefetch_threads(const struct tilekeep_requests *requests,
                                                       uint32_t n_threads);

// Says what can be shown of a tile now, without reading anything: the tile itself, all of the next finer level, or the
// nearest coarser levels with what there is of the finer one on top; out of the cache of rendered tiles and of what the
// viewports of requests show. TILEKEEP_ERR_NOT_FOUND when nothing of it is in memory. options may be NULL.
//
// @since 0.1
tilekeep_status tilekeep_best_available(const struct tilekeep_requests *requests,
                                        const struct tilekeep_dataset *dataset,
                                        uint32_t level,
                                        uint32_t col,
                                        uint32_t row,
                                        const struct tilekeep_tile_options *options,
                                        struct tilekeep_available **available_out);

// Says how many parts there are, to be drawn in their order, the coarsest first; and how much of the tile's area they
// cover, from 0 to 1.
//
// @since 0.1
tilekeep_status tilekeep_available_info(const struct tilekeep_available *available,
                                        uint32_t *n_parts_out,
                                        double *covered_out);

// Describes one part.
//
// @since 0.1
tilekeep_status tilekeep_available_part_info(const struct tilekeep_available *available,
                                             uint32_t index,
                                             struct tilekeep_available_part *part_out);

// Releases what tilekeep_best_available or tilekeep_viewport_best_available gave. NULL does nothing.
//
// @since 0.1
void tilekeep_available_free(struct tilekeep_available *available);

// Asks for a block, and returns at once; otherwise as tilekeep_request_tile. options may be NULL; its cache_use must be
// TILEKEEP_USE_NORMAL.
//
// With a buffer, the pixels are copied there as tilekeep_read_block does. It must live until arrived or, where that is
// NULL, destroy is called. Without a callback it must live until tilekeep_request_poll says 1, a wait ends with the answer, or
// tilekeep_request_cancel or tilekeep_request_free returns, and these are what writes to it. What is in it when a request
// fails is not defined. buffer may be NULL and buffer_size 0: the block is then lent where it lies, without a copy.
//
// @since 0.1
tilekeep_status tilekeep_request_block(const struct tilekeep_requests *requests,
                                       const struct tilekeep_dataset *dataset,
                                       uint32_t level,
                                       uint32_t col,
                                       uint32_t row,
                                       const struct tilekeep_block_options *options,
                                       void *buffer,
                                       size_t buffer_size,
                                       int32_t priority,
                                       const struct tilekeep_block_callback *callback,
                                       struct tilekeep_request **request_out);

// Takes a request back: its callback hears TILEKEEP_ERR_CANCELLED in this thread, before this returns. One that has its
// answer keeps it. Others who asked for the same are served; when nobody is left, the work is dropped, or stops soon.
//
// While another thread calls its preview this waits until that is over; preview must therefore not wait for a thread that
// calls this. Within a callback, and within read_block of a source in a thread of the tilekeep_requests, nothing waits for
// callbacks: arrived then hears TILEKEEP_ERR_CANCELLED in the thread that calls preview, as soon as that is over.
//
// @since 0.1
tilekeep_status tilekeep_request_cancel(const struct tilekeep_request *request);

// Changes the priority of a request that still waits for a thread, and of its preview.
//
// @since 0.1
tilekeep_status tilekeep_request_set_priority(const struct tilekeep_request *request, int32_t priority);

// Says in is_answered_out whether a request has its answer: 1 or 0.
//
// @since 0.1
tilekeep_status tilekeep_request_poll(const struct tilekeep_request *request, int32_t *is_answered_out);

// Waits for the answer to a request for at most timeout_ms milliseconds, or TILEKEEP_WAIT_FOREVER. Returns what the
// request ended with, TILEKEEP_ERR_CANCELLED when it was taken back, or TILEKEEP_ERR_NOT_FOUND when there is no answer by
// then. tile_out may be NULL, and must be for what is no tile; otherwise its bytes belong to the caller until it gives them
// to tilekeep_free_tile. It may be called again. A callback may still be about to hear of it.
//
// @since 0.1
tilekeep_status tilekeep_request_wait(const struct tilekeep_request *request,
                                      uint64_t timeout_ms,
                                      struct tilekeep_tile *tile_out);

// As tilekeep_request_wait for a block that was asked for. block_out tells how it lies in memory. With a buffer, data is
// that buffer and token is 0. Without one the block is lent as by tilekeep_lock_block until it is given to
// tilekeep_unlock_block, once for every call of this; it is never refused for want of budget, but only in the cache where
// that has room.
//
// @since 0.1
tilekeep_status tilekeep_request_wait_block(const struct tilekeep_request *request,
                                            uint64_t timeout_ms,
                                            struct tilekeep_block *block_out);

// Releases a request. One that has no answer yet is taken back as by tilekeep_request_cancel. A callback that was about to
// hear of the answer in another thread still does, and is not waited for: one that uses the request itself may only do so
// where the client sees to it that it is not released meanwhile. NULL does nothing.
//
// @since 0.1
void tilekeep_request_free(struct tilekeep_request *request);

// Asks for a tile, as tilekeep_read_tile gives it, and returns at once. Greater priorities go first, of equal ones the
// oldest. Equal requests are made once, at the highest priority of all.
//
// With a preview in callback, something coarser comes first where it is at hand sooner; all of that is one request.
//
// options may be NULL, and so may callback. request_out may be NULL where there is a callback: the request then goes on
// until it is answered, and cannot be taken back. Otherwise the callback may run before this returns.
//
// destroy of the callback is called exactly once, also when this returns a failure (arrived is then never called); not,
// though, when callback's struct_size is wrong, for then it cannot be known.
//
// @since 0.1
tilekeep_status tilekeep_request_tile(const struct tilekeep_requests *requests,
                                      const struct tilekeep_dataset *dataset,
                                      uint32_t level,
                                      uint32_t col,
                                      uint32_t row,
                                      const struct tilekeep_tile_options *options,
                                      int32_t priority,
                                      const struct tilekeep_tile_callback *callback,
                                      struct tilekeep_request **request_out);

// Makes a viewport on a dataset, which wants nothing yet. Its tiles are requests of this priority. callback may be NULL:
// tilekeep_viewport_tile tells what is there. destroy of it is called exactly once, also when this returns a failure; not,
// though, when its struct_size is wrong. The dataset may be closed meanwhile, and the viewport may outlive requests, from
// when on nothing arrives.
//
// @since 0.1
tilekeep_status tilekeep_viewport_new(const struct tilekeep_requests *requests,
                                      const struct tilekeep_dataset *dataset,
                                      int32_t priority,
                                      const struct tilekeep_viewport_callback *callback,
                                      struct tilekeep_viewport **viewport_out);

// Hands in the next frame, which replaces the one before: what is no longer wanted is dropped from the queue, what still is
// keeps its place by its new distance. Coarse levels are loaded before fine ones, and within a level what is near the centre
// first; then, as the frames so far suggest, what comes next in a pan or a zoom. A jump gives that up. The tiles of the
// coarsest level are wanted too, if they are few and it is stored or cheap to make.
//
// n_missing_out may be NULL; it is told how many tiles of the frame are not at hand yet. The callback hears of each of them,
// and of the coarsest level's. One that failed is asked for again when a frame did without it.
//
// @since 0.1
tilekeep_status tilekeep_viewport_want(const struct tilekeep_viewport *viewport,
                                       const struct tilekeep_frame *frame,
                                       size_t *n_missing_out);

// Gives a tile of the frame if it is there, and TILEKEEP_ERR_NOT_FOUND otherwise. Its bytes belong to the caller until it
// gives them to tilekeep_free_tile.
//
// @since 0.1
tilekeep_status tilekeep_viewport_tile(const struct tilekeep_viewport *viewport,
                                       uint32_t level,
                                       uint32_t col,
                                       uint32_t row,
                                       struct tilekeep_tile *tile_out);

// As tilekeep_best_available for a tile that looks as those of the last frame, out of this viewport too.
//
// @since 0.1
tilekeep_status tilekeep_viewport_best_available(const struct tilekeep_viewport *viewport,
                                                 uint32_t level,
                                                 uint32_t col,
                                                 uint32_t row,
                                                 struct tilekeep_available **available_out);

// Changes how many bytes of tiles that nobody has asked for yet are kept for the viewport. All viewports of one
// tilekeep_requests together keep a quarter of what may be kept of rendered tiles at most, of which the oldest go first; until
// this is called one may have all of that. 0: nothing is loaded ahead.
//
// @since 0.1
tilekeep_status tilekeep_viewport_set_prefetch_max(const struct tilekeep_viewport *viewport,
                                                   uint64_t bytes);

// Releases a viewport: what it waits for is dropped, and when this returns no call of its callback begins any more, and none
// runs. Within a callback, its own or another one, nothing waits for callbacks: calls that run in other threads then go on,
// and must not use the viewport any more. destroy may still be about to be called. NULL does nothing.
//
// @since 0.1
void tilekeep_viewport_free(struct tilekeep_viewport *viewport);

// Asks for a window, which is read as by tilekeep_read_window, and returns at once; otherwise as tilekeep_request_tile. What
// lies between the samples in buffer stays as it is; windows that differ in their strides only are read once.
//
// buffer must live until arrived or, where that is NULL, destroy is called. Without a callback it must live until
// tilekeep_request_poll says 1, a wait ends with the answer, or tilekeep_request_cancel or tilekeep_request_free returns, and
// these are what writes to it. What is in it when a request fails is not defined. Until the request is released, the
// library keeps the pixels too.
//
// @since 0.1
tilekeep_status tilekeep_request_window(const struct tilekeep_requests *requests,
                                        const struct tilekeep_dataset *dataset,
                                        const struct tilekeep_window *window,
                                        void *buffer,
                                        size_t buffer_size,
                                        int32_t priority,
                                        const struct tilekeep_window_callback *callback,
                                        struct tilekeep_request **request_out);

// Looks for the first time, and begins to watch memory. options may be NULL, and so may callback, which may be called
// before this returns. TILEKEEP_ERR_UNSUPPORTED where the system does not say what memory there is, as all but Linux.
//
// destroy of the callback is called exactly once, also when this returns a failure; not, though, when callback's
// struct_size is wrong, for then it cannot be known.
//
// @since 0.1
tilekeep_status tilekeep_watch_pressure(const struct tilekeep_pressure_options *options,
                                        const struct tilekeep_pressure_callback *callback,
                                        struct tilekeep_pressure_watch **watch_out);

// Looks now, unless another thread does so just then, and says what is known. stats_out may be NULL.
//
// @since 0.1
tilekeep_status tilekeep_pressure_watch_check(const struct tilekeep_pressure_watch *watch,
                                              struct tilekeep_pressure_stats *stats_out);

// Says what was seen and done, without looking.
//
// @since 0.1
tilekeep_status tilekeep_pressure_watch_stats(const struct tilekeep_pressure_watch *watch,
                                              struct tilekeep_pressure_stats *stats_out);

// Stops watching: the total is what was asked for again. Returns when the thread is gone and no callback runs any more;
// within a callback at once, and destroy then follows when the callback is over. NULL does nothing.
//
// @since 0.1
void tilekeep_pressure_watch_free(struct tilekeep_pressure_watch *watch);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TILEKEEP_H */
