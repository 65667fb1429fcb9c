//! How much a file may make us allocate.

/// Bounds on sizes that come from files. A file that asks for more is refused with `limit exceeded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Decoded bytes of one block; 256 MiB by default.
    pub max_block_bytes: usize,
    /// Decoded bytes of an image that can only be decoded as a whole (progressive JPEG, in a TIFF too), and what decoding it
    /// takes beside them; 1 GiB by default.
    pub max_image_bytes: usize,
    /// Bytes of directories, tags, text chunks and the like; 64 MiB by default.
    pub max_metadata_bytes: usize,
    /// Bytes of an index of places in a compressed stream from which it can be decoded on (PNG, JPEG, strips of a TIFF
    /// that are CCITT or JPEG); 8 MiB by default. A dataset lets its source keep no more than an eighth of its budget either.
    pub max_index_bytes: usize,
    /// Directories, pages or frames looked at; 65,536 by default.
    pub max_directories: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_block_bytes: 256 << 20,
            max_image_bytes: 1 << 30,
            max_metadata_bytes: 64 << 20,
            max_index_bytes: 8 << 20,
            max_directories: 65_536,
        }
    }
}
