//! Codecs: stored bytes in, samples out.
//!
//! Everything here is a function of bytes. A codec knows no file, no directory, no cache; whoever calls it
//! says where the bytes came from and puts that into the error's context.
//!
//! | module | what it undoes |
//! | --- | --- |
//! | [`deflate`], [`lzw`], [`lzma`], [`packbits`], [`zstd`] | byte compression: bytes to the same bytes as before |
//! | [`stream`] | the same a piece at a time |
//! | [`ccitt`], [`next`], [`thunder`] | runs of pixels of 1, 2 and 4 bits to rows of packed pixels |
//! | [`inflate`] | deflate once more, for a stream that is left and taken up again in its middle |
//! | [`png_filter`] | the row filters of PNG |
//! | [`jpeg`] | lossy compression: bytes to pixel-interleaved samples of 8 and 12 bits |
//! | `jpeg2000`, `jpegxl` | pictures that are a block, where the build has the feature: bytes to samples |
//! | [`lerc`] | compression with a bounded error: bytes to samples of any type |
//! | [`webp`] | lossy and lossless compression: bytes to pixel-interleaved RGB or RGBA of 8 bits |
//! | [`jpeg_entropy`] | the entropy-coded data of a JPEG: any MCUs of it, also as a stream of their own |
//! | [`jpeg_planes`] | the coefficients of a JPEG: to samples of 8 and 12 bits, at full size or reduced |
//! | `jpeg_whole` | not to samples: a stored JPEG stream and its tables to a file |
//! | [`predictor`] | differences to samples, row by row |
//! | [`bytes`], [`bits`] | byte order, bit order, packed samples, short floats |
//! | [`ycbcr`] | units of luma with shared chroma to RGB |
//!
//! Output buffers are recycled memory that still holds another image. So a byte codec returns how many bytes
//! it wrote from the start of `out`, and what lies behind is the caller's to fill or to refuse; every other
//! function writes all of its output or fails. After an error the contents of `out` mean nothing.
//!
//! Input is hostile. Nothing here panics on it, loops without consuming it, or allocates more than a small
//! multiple of the size that the caller expects.

pub(crate) mod bits;
pub(crate) mod bytes;
pub(crate) mod ccitt;
pub(crate) mod deflate;
mod guard;
pub(crate) mod inflate;
pub(crate) mod jpeg;
#[cfg(feature = "jpeg2000")]
pub(crate) mod jpeg2000;
pub(crate) mod jpeg_entropy;
pub(crate) mod jpeg_planes;
mod jpeg_scan;
mod jpeg_whole;
#[cfg(feature = "jpegxl")]
pub(crate) mod jpegxl;
pub(crate) mod lerc;
pub(crate) mod lzma;
pub(crate) mod lzw;
pub(crate) mod next;
pub(crate) mod packbits;
pub(crate) mod png_filter;
pub(crate) mod predictor;
pub(crate) mod stream;
pub(crate) mod thunder;
pub(crate) mod webp;
pub(crate) mod ycbcr;
pub(crate) mod zstd;

/// What one decoding thread keeps from block to block so that a block costs no allocation.
///
/// The fields are apart so that a block can be read into `bytes` and decoded from there into `decoded` with
/// `contexts` borrowed beside them.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Compressed bytes as they were read.
    pub(crate) bytes: Vec<u8>,
    /// Decoded bytes that still need unpacking, rearranging or cutting before they are a block.
    pub(crate) decoded: Vec<u8>,
    /// A row that a predictor needs twice.
    pub(crate) spare: Vec<u8>,
    /// Decoder state.
    pub(crate) contexts: Contexts,
}

impl Scratch {
    /// Heap bytes held, to the accuracy that the libraries below let us see.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.decoded.capacity() + self.spare.capacity() + self.contexts.memory_bytes()
    }
}

/// Decoder state that is worth keeping; each part is created by the first block that needs it.
#[derive(Default)]
pub(crate) struct Contexts {
    ccitt: ccitt::Context,
    deflate: deflate::Context,
    /// A JPEG stream put together from its parts.
    jpeg: Vec<u8>,
    /// The components of a JPEG picture, apart.
    pub(crate) samples: Vec<u16>,
    /// What one codec made for the next.
    pub(crate) between: Vec<u8>,
    zstd: zstd::Context,
}

impl Contexts {
    fn memory_bytes(&self) -> usize {
        self.ccitt.memory_bytes()
            + self.deflate.memory_bytes()
            + self.jpeg.capacity()
            + self.samples.capacity() * 2
            + self.between.capacity()
            + self.zstd.memory_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_moves_between_threads_and_starts_empty() {
        fn assert_send<T: Send>(value: T) -> T {
            value
        }
        assert_eq!(assert_send(Scratch::default()).memory_bytes(), 0);
    }
}
