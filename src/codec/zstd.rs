//! ZSTD (RFC 8878), as TIFF compression 50000 stores it: one or more frames.

use crate::error::{Error, Result};

use super::Contexts;

/// The largest window that a frame may ask for, as a power of two: what the reference library takes without
/// being told otherwise.
const MAX_WINDOW_LOG: u32 = 27;

/// A decoder that has grown beyond this, because a frame asked for a large window, is not kept.
#[cfg(feature = "libzstd")]
const MAX_KEPT_BYTES: usize = 4 << 20;

/// Decoder state kept from block to block: creating it is a good part of decoding a small block.
#[derive(Default)]
pub(crate) struct Context {
    #[cfg(feature = "libzstd")]
    decoder: Option<zstd_safe::DCtx<'static>>,
    #[cfg(not(feature = "libzstd"))]
    decoder: Option<ruzstd::decoding::FrameDecoder>,
}

impl Context {
    #[cfg(feature = "libzstd")]
    pub(super) fn memory_bytes(&self) -> usize {
        self.decoder.as_ref().map_or(0, zstd_safe::DCtx::sizeof)
    }

    /// The tables of a decoder; its window is not to be seen, but at most what the largest block needs.
    #[cfg(not(feature = "libzstd"))]
    pub(super) fn memory_bytes(&self) -> usize {
        if self.decoder.is_some() { 256 << 10 } else { 0 }
    }
}

/// Decodes the frames in `input` to the start of `out` and returns how many bytes it wrote.
///
/// Fewer than `out` holds means that the frames were complete and short. Frames that hold more are cut where
/// `out` is full. Skippable frames are skipped.
///
/// # Errors
///
/// Corrupt when a frame is needed that breaks off or contradicts itself.
#[cfg(feature = "libzstd")]
pub(crate) fn decode(contexts: &mut Contexts, input: &[u8], out: &mut [u8]) -> Result<usize> {
    use zstd_safe::{InBuffer, OutBuffer, ResetDirective};
    let decoder = contexts.zstd.decoder.get_or_insert_with(new_decoder);
    // The usual case: all of it fits. One call, no window of the decoder's own.
    if let Ok(written) = decoder.decompress(out, input) {
        return Ok(written);
    }
    decoder.reset(ResetDirective::SessionOnly).map_err(|_| bad_frame(input, 0, out))?;
    let expected = out.len();
    let mut source = InBuffer::around(input);
    let mut target = OutBuffer::around(&mut out[..]);
    let result = loop {
        let before = (source.pos(), target.pos());
        let step = decoder.decompress_stream(&mut target, &mut source);
        let written = target.pos();
        match step {
            Err(_) => break Err(written),
            Ok(_) if written == expected => break Ok(written),
            Ok(0) if source.pos() == input.len() => break Ok(written),
            Ok(_) if before == (source.pos(), written) => break Err(written),
            Ok(_) => {}
        }
    };
    // The next block is none of the stream's rest.
    let kept = decoder.reset(ResetDirective::SessionOnly).is_ok() && decoder.sizeof() <= MAX_KEPT_BYTES;
    if !kept {
        contexts.zstd.decoder = None;
    }
    result.map_err(|written| bad_frame(input, written, out))
}

/// A decoder that refuses windows that are too large.
#[cfg(feature = "libzstd")]
pub(super) fn new_decoder() -> zstd_safe::DCtx<'static> {
    let mut decoder = zstd_safe::DCtx::create();
    // Fails for numbers out of range only, and then the library's own limit holds.
    let _ = decoder.set_parameter(zstd_safe::DParameter::WindowLogMax(MAX_WINDOW_LOG));
    decoder
}

/// The same without C.
#[cfg(not(feature = "libzstd"))]
pub(crate) fn decode(contexts: &mut Contexts, input: &[u8], out: &mut [u8]) -> Result<usize> {
    use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
    use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
    use std::io::Read;
    let decoder = contexts.zstd.decoder.get_or_insert_with(|| {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(1 << MAX_WINDOW_LOG);
        decoder
    });
    let mut source = input;
    let mut written = 0;
    while !source.is_empty() && written < out.len() {
        match decoder.init(&mut source) {
            Ok(()) => {}
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                source = usize::try_from(length)
                    .ok()
                    .and_then(|length| source.get(length..))
                    .ok_or_else(|| bad_frame(input, written, out))?;
                continue;
            }
            Err(_) => return Err(bad_frame(input, written, out)),
        }
        // A block gives 128 KiB at most, so what waits in the decoder is a window and a block.
        while written < out.len() {
            if !decoder.is_finished() {
                decoder
                    .decode_blocks(&mut source, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|_| bad_frame(input, written, out))?;
            }
            let n = decoder.read(&mut out[written..]).map_err(|_| bad_frame(input, written, out))?;
            written += n;
            if decoder.is_finished() && decoder.can_collect() == 0 {
                break;
            }
        }
    }
    Ok(written)
}

fn bad_frame(input: &[u8], written: usize, out: &[u8]) -> Error {
    let (stored, expected) = (input.len(), out.len());
    Error::corrupt(format!("zstd frames of {stored} bytes are broken after {written} of {expected} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    fn sample(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * i / 7 % 97) as u8).collect()
    }

    fn frame(data: &[u8]) -> Vec<u8> {
        compress_to_vec(data, CompressionLevel::Fastest)
    }

    fn decoded(input: &[u8], out_len: usize) -> Result<Vec<u8>> {
        let mut contexts = Contexts::default();
        // Once before, so that the second run meets a used decoder.
        let _ = decode(&mut contexts, input, &mut vec![0; out_len / 2]);
        let mut out = vec![0xa5; out_len];
        decode(&mut contexts, input, &mut out).map(|n| out[..n].to_vec())
    }

    #[test]
    fn frames_give_their_bytes_one_after_the_other() {
        for len in [1, 1000, 400_000] {
            let data = sample(len);
            assert!(decoded(&frame(&data), len).unwrap() == data, "{len} bytes");
            let mut frames = frame(&data[..len / 2]);
            frames.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
            frames.extend(frame(&data[len / 2..]));
            assert!(decoded(&frames, len).unwrap() == data, "{len} bytes in two frames and one to skip");
        }
    }

    #[test]
    fn a_short_frame_says_how_much_it_gave() {
        let data = sample(3000);
        assert_eq!(decoded(&frame(&data), 5000).unwrap(), data);
    }

    #[test]
    fn longer_frames_are_cut_where_the_output_is_full() {
        let data = sample(400_000);
        let packed = frame(&data);
        for len in [1, 5000, 200_000, 399_999] {
            assert!(decoded(&packed, len).unwrap() == data[..len], "{len} bytes");
        }
    }

    #[test]
    fn truncated_frames_and_noise_are_corrupt() {
        let data = sample(300_000);
        let packed = frame(&data);
        for cut in [1, 3, 10, packed.len() / 2, packed.len() - 1] {
            assert_eq!(decoded(&packed[..cut], data.len()).unwrap_err().kind(), ErrorKind::Corrupt, "{cut} bytes");
        }
        assert_eq!(decoded(b"no frame at all", 10).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn random_changes_never_panic_and_never_claim_more_than_the_output() {
        let packed = frame(&sample(3000));
        let mut contexts = Contexts::default();
        let mut out = vec![0; 3000];
        let mut state = 1_u32;
        for _ in 0..1000 {
            let mut broken = packed.clone();
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (state >> 8) as usize % broken.len();
            broken[at] ^= 1 << (state & 7);
            if let Ok(n) = decode(&mut contexts, &broken, &mut out) {
                assert!(n <= out.len());
            }
        }
    }

    #[test]
    fn the_state_is_kept_and_counted() {
        let mut contexts = Contexts::default();
        decode(&mut contexts, &frame(b"abc"), &mut [0; 3]).unwrap();
        assert!(contexts.memory_bytes() > 0);
    }
}
