//! A block's stored bytes to the bytes of its rows, as the codec of the file says.

use crate::block::Interleave;
use crate::codec::{self, Contexts};
use crate::error::{Error, Result};

use super::image::Image;
use super::tags::Compression;

/// Undoes the compression. Data for the first `needed` bytes must be there; some writers leave out the rows of a tile
/// that lie below the image, which are then zeros.
pub(super) fn decompress(
    image: &Image,
    input: &[u8],
    contexts: &mut Contexts,
    out: &mut [u8],
    needed: usize,
) -> Result<()> {
    let compression = image.storage.compression;
    let width = image.level.block_width;
    let row_bytes = || image.stored_row_bytes().ok_or_else(|| Error::limit("a row of a block is too long"));
    let written = match compression {
        Compression::None => {
            let n = input.len().min(out.len());
            out[..n].copy_from_slice(&input[..n]);
            n
        }
        Compression::Lzw => codec::lzw::decode(input, out)?,
        Compression::Deflate => codec::deflate::decode_zlib(contexts, input, out)?,
        Compression::PackBits => codec::packbits::decode(input, out),
        Compression::Lzma => codec::lzma::decode(input, out)?,
        Compression::Zstd => codec::zstd::decode(contexts, input, out)?,
        Compression::CcittRle | Compression::CcittRleWords | Compression::CcittGroup3 | Compression::CcittGroup4 => {
            let scheme = image.storage.scheme().ok_or_else(|| Error::internal("CCITT rows without a scheme"))?;
            codec::ccitt::decode(contexts, scheme, input, width, out)?
        }
        Compression::Next => codec::next::decode(input, width, row_bytes()?, out)?,
        Compression::Thunder => codec::thunder::decode(input, width, row_bytes()?, out)?,
        Compression::Lerc => lerc(image, input, contexts, out)?,
        Compression::WebP => codec::webp::decode(input, width, bands_in_block(image), out)?,
        #[cfg(feature = "jpeg2000")]
        Compression::Jpeg2000 => {
            let expected = codec::jpeg2000::Expected {
                width,
                n_bands: bands_in_block(image),
                sample_bytes: image.sample.bytes(),
                ycbcr: image.storage.jpeg_ycbcr,
            };
            codec::jpeg2000::decode(input, expected, out)?
        }
        #[cfg(feature = "jpegxl")]
        Compression::JpegXl => {
            let expected = codec::jpegxl::Expected { width, n_bands: bands_in_block(image), sample: image.sample };
            codec::jpegxl::decode(input, expected, out)?
        }
        #[cfg(not(feature = "jpeg2000"))]
        Compression::Jpeg2000 => return Err(Error::internal("JPEG 2000 is not in this build")),
        #[cfg(not(feature = "jpegxl"))]
        Compression::JpegXl => return Err(Error::internal("JPEG XL is not in this build")),
        Compression::Jpeg => return Err(Error::internal("JPEG is decoded elsewhere")),
    };
    if written < needed {
        return Err(Error::corrupt(format!(
            "{} bytes of {} data decode to {written} bytes instead of {needed}",
            input.len(),
            compression.name()
        )));
    }
    out[written..].fill(0);
    Ok(())
}

fn bands_in_block(image: &Image) -> usize {
    if image.interleave == Interleave::Band { 1 } else { image.n_bands as usize }
}

fn lerc(image: &Image, input: &[u8], contexts: &mut Contexts, out: &mut [u8]) -> Result<usize> {
    let expected = codec::lerc::Expected {
        width: image.level.block_width,
        n_bands: bands_in_block(image),
        sample: image.sample,
        alpha: image.storage.alpha && image.interleave == Interleave::Pixel,
    };
    let Some(packing) = image.storage.lerc_packing else { return codec::lerc::decode(input, expected, out) };
    // A blob is hardly larger than its samples, for which it falls back to what they are; and headers.
    let most = out.len() + out.len() / 4 + 4096;
    let mut blob = std::mem::take(&mut contexts.between);
    blob.resize(most, 0);
    let len = match packing {
        Compression::Deflate => codec::deflate::decode_zlib(contexts, input, &mut blob),
        _ => codec::zstd::decode(contexts, input, &mut blob),
    };
    let written = len.and_then(|len| codec::lerc::decode(&blob[..len], expected, out));
    contexts.between = blob;
    written
}
