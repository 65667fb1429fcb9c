//! Deflate in its zlib wrapping (RFC 1950), as TIFF compressions 8 and 32946 and PNG store it.
//!
//! libdeflate decodes a whole stream in one call and is the fastest that there is, but it cannot stop in the
//! middle of a stream, and what it has written by then is not promised. Streams that hold more than the block
//! (writers that pad the last strip) therefore go through the streaming decoder a second time.

use crate::error::{Error, Result};

use super::Contexts;

/// What an inflate state of zlib-rs allocates: the 32 KiB window and its padding, tables, bookkeeping.
const STREAMING_BYTES: usize = 48 << 10;

/// What a libdeflate decompressor allocates: its decode tables.
#[cfg(feature = "libdeflate")]
const WHOLE_BYTES: usize = 12 << 10;

/// Decoder state kept from block to block.
#[derive(Default)]
pub(crate) struct Context {
    #[cfg(feature = "libdeflate")]
    whole: Option<libdeflater::Decompressor>,
    streaming: Option<zlib_rs::Inflate>,
}

impl Context {
    pub(super) fn memory_bytes(&self) -> usize {
        #[cfg(feature = "libdeflate")]
        let whole = if self.whole.is_some() { WHOLE_BYTES } else { 0 };
        #[cfg(not(feature = "libdeflate"))]
        let whole = 0;
        whole + if self.streaming.is_some() { STREAMING_BYTES } else { 0 }
    }
}

/// Decodes the zlib stream at the start of `input` to the start of `out` and returns how many bytes it wrote.
///
/// Fewer than `out` holds means that the stream was complete and short. A stream that holds more is cut where
/// `out` is full. Bytes behind the stream are ignored.
///
/// # Errors
///
/// Corrupt when the stream breaks off, contradicts itself or fails its checksum before `out` is full. The
/// checksum of a stream that is cut is not looked at: it covers bytes that nobody decoded.
pub(crate) fn decode_zlib(contexts: &mut Contexts, input: &[u8], out: &mut [u8]) -> Result<usize> {
    #[cfg(feature = "libdeflate")]
    {
        let whole = contexts.deflate.whole.get_or_insert_with(libdeflater::Decompressor::new);
        match whole.zlib_decompress(input, out) {
            Ok(written) => return Ok(written),
            Err(libdeflater::DecompressionError::InsufficientSpace) => {}
            Err(libdeflater::DecompressionError::BadData) => return Err(bad_stream(input, None, out)),
        }
    }
    decode_streaming(&mut contexts.deflate, input, out)
}

fn decode_streaming(context: &mut Context, input: &[u8], out: &mut [u8]) -> Result<usize> {
    use zlib_rs::{Inflate, InflateFlush, Status};
    let inflate = match &mut context.streaming {
        Some(inflate) => {
            inflate.reset(true);
            inflate
        }
        none => none.insert(Inflate::new(true, 15)),
    };
    let (mut consumed, mut written) = (0, 0);
    // When `out` is full, one byte more is asked for: either there is one, and the stream is cut, or what is
    // left must be the end of the stream with the right checksum.
    let mut one_more = [0];
    loop {
        let target = if written < out.len() { &mut out[written..] } else { &mut one_more[..] };
        let status = inflate.decompress(&input[consumed..], target, InflateFlush::NoFlush);
        let before = (consumed, written);
        consumed = usize::try_from(inflate.total_in()).unwrap_or(usize::MAX).min(input.len());
        written = usize::try_from(inflate.total_out()).unwrap_or(usize::MAX);
        match status {
            _ if written > out.len() => return Ok(out.len()),
            Ok(Status::StreamEnd) => return Ok(written),
            Ok(_) if (consumed, written) != before => {}
            _ => return Err(bad_stream(input, Some(written), out)),
        }
    }
}

fn bad_stream(input: &[u8], written: Option<usize>, out: &[u8]) -> Error {
    let (stored, expected) = (input.len(), out.len());
    Error::corrupt(match written {
        Some(written) => format!("zlib stream of {stored} bytes is broken after {written} of {expected} bytes"),
        None => format!("zlib stream of {stored} bytes is broken, {expected} bytes were expected of it"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn deflate(data: &[u8]) -> Vec<u8> {
        let mut out = vec![0; zlib_rs::compress_bound(data.len())];
        let (packed, code) = zlib_rs::compress_slice(&mut out, data, zlib_rs::DeflateConfig::new(6));
        assert_eq!(code, zlib_rs::ReturnCode::Ok);
        packed.to_vec()
    }

    fn sample(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * i / 7 % 97) as u8).collect()
    }

    /// Decodes both ways, checks that they agree, and returns the bytes.
    fn decode(input: &[u8], out_len: usize) -> Result<Vec<u8>> {
        let mut contexts = Contexts::default();
        let mut out = vec![0xa5; out_len];
        let first = decode_zlib(&mut contexts, input, &mut out).map(|n| out[..n].to_vec());
        let mut out = vec![0x5a; out_len];
        for _ in 0..2 {
            let streaming = decode_streaming(&mut contexts.deflate, input, &mut out).map(|n| out[..n].to_vec());
            match (&first, &streaming) {
                (Ok(a), Ok(b)) => assert_eq!(a, b),
                (Err(a), Err(b)) => assert_eq!(a.kind(), b.kind()),
                _ => panic!("whole: {}, streaming: {}", first.is_ok(), streaming.is_ok()),
            }
        }
        first
    }

    #[test]
    fn a_stream_of_the_expected_size_gives_all_its_bytes() {
        for len in [0, 1, 1000, 300_000] {
            let data = sample(len);
            assert_eq!(decode(&deflate(&data), len).unwrap(), data, "{len} bytes");
        }
    }

    #[test]
    fn a_short_stream_says_how_much_it_gave() {
        let data = sample(3000);
        assert_eq!(decode(&deflate(&data), 4096).unwrap(), data);
    }

    #[test]
    fn a_longer_stream_is_cut_where_the_output_is_full() {
        let data = sample(200_000);
        let packed = deflate(&data);
        for len in [0, 1, 4096, 199_999] {
            assert_eq!(decode(&packed, len).unwrap(), data[..len], "{len} bytes");
        }
    }

    #[test]
    fn bytes_behind_the_stream_are_ignored() {
        let data = sample(5000);
        let mut packed = deflate(&data);
        packed.extend_from_slice(b"anything");
        assert_eq!(decode(&packed, 5000).unwrap(), data);
    }

    #[test]
    fn a_truncated_or_changed_stream_is_corrupt() {
        let data = sample(5000);
        let packed = deflate(&data);
        let mut cases: Vec<Vec<u8>> =
            [0, 1, 2, packed.len() / 2, packed.len() - 4, packed.len() - 1].map(|cut| packed[..cut].to_vec()).to_vec();
        let mut bad_checksum = packed.clone();
        *bad_checksum.last_mut().unwrap() ^= 1;
        cases.push(bad_checksum);
        cases.push(packed[2..packed.len() - 4].to_vec());
        for input in cases {
            assert_eq!(decode(&input, 5000).unwrap_err().kind(), ErrorKind::Corrupt, "{} bytes", input.len());
        }
    }

    #[test]
    fn random_changes_never_panic_and_never_claim_more_than_the_output() {
        let packed = deflate(&sample(20_000));
        let mut contexts = Contexts::default();
        let mut out = vec![0; 20_000];
        let mut state = 1_u32;
        for _ in 0..2000 {
            let mut broken = packed.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (state >> 8) as usize % broken.len();
                broken[at] ^= 1 << (state & 7);
            }
            if let Ok(n) = decode_zlib(&mut contexts, &broken, &mut out) {
                assert!(n <= out.len());
            }
            let _ = decode_streaming(&mut contexts.deflate, &broken, &mut out);
        }
    }

    #[test]
    fn the_state_is_kept_and_counted() {
        let mut contexts = Contexts::default();
        decode_zlib(&mut contexts, &deflate(b"abc"), &mut [0; 3]).unwrap();
        assert!(contexts.memory_bytes() > 0);
    }
}
