//! Byte compression undone a piece at a time, for stored data that is too large to be one block.
//!
//! Slower than the decoders of whole blocks, and in memory that does not grow with the data.

use lzma_rust2::{Action, Status as XzStatus, XzStream};
use weezl::{BitOrder, LzwStatus};

use crate::error::{Error, Result};

use super::{lzma, packbits};

/// The codecs that can stop anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamCodec {
    Deflate,
    Lzma,
    Lzw,
    PackBits,
    #[cfg(feature = "libzstd")]
    Zstd,
}

/// What the decoders of libraries take that do not say it.
const DEFLATE_BYTES: usize = 48 << 10;
const LZW_BYTES: usize = 32 << 10;

/// A decoder in the middle of its data.
pub(crate) struct Stream(State);

enum State {
    Deflate(Box<zlib_rs::Inflate>),
    Lzma(Box<XzStream>),
    Lzw(Box<weezl::decode::Decoder>),
    PackBits(packbits::Stream),
    #[cfg(feature = "libzstd")]
    Zstd(zstd_safe::DCtx<'static>),
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Bytes of the input that are done with.
    pub(crate) consumed: usize,
    /// Bytes written from the start of the output.
    pub(crate) written: usize,
    /// Whether the data says that nothing follows.
    pub(crate) end: bool,
}

impl Stream {
    /// A decoder for data that starts with `head`, of which two bytes are looked at.
    pub(crate) fn new(codec: StreamCodec, head: &[u8]) -> Self {
        Self(match codec {
            StreamCodec::Deflate => State::Deflate(Box::new(zlib_rs::Inflate::new(true, 15))),
            StreamCodec::Lzma => State::Lzma(Box::new(XzStream::new_mem_limit(false, lzma::MAX_KIB))),
            StreamCodec::Lzw => State::Lzw(Box::new(match head {
                // The variant of the earliest writers, as in the decoder of whole blocks.
                [0, second, ..] if second & 1 == 1 => weezl::decode::Decoder::new(BitOrder::Lsb, 8),
                _ => weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8),
            })),
            StreamCodec::PackBits => State::PackBits(packbits::Stream::default()),
            #[cfg(feature = "libzstd")]
            StreamCodec::Zstd => State::Zstd(super::zstd::new_decoder()),
        })
    }

    /// Decodes on. A step that neither consumes nor writes anything needs more input, or room.
    ///
    /// # Errors
    ///
    /// Corrupt when the data contradicts itself, limit exceeded when it asks for too much memory.
    pub(crate) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step> {
        match &mut self.0 {
            State::Deflate(inflate) => {
                let before = (inflate.total_in(), inflate.total_out());
                let status = inflate.decompress(input, out, zlib_rs::InflateFlush::NoFlush);
                // Neither is more than the lengths of the buffers.
                let consumed = (inflate.total_in() - before.0) as usize;
                let written = (inflate.total_out() - before.1) as usize;
                match status {
                    Ok(status) => Ok(Step { consumed, written, end: status == zlib_rs::Status::StreamEnd }),
                    Err(_) if written > 0 => Ok(Step { consumed, written, end: false }),
                    Err(_) => Err(Error::corrupt("the zlib stream is broken")),
                }
            }
            State::Lzma(stream) => {
                let step = stream.process(input, out, Action::Run).map_err(|error| match error.kind() {
                    std::io::ErrorKind::OutOfMemory => {
                        Error::limit(format!("the xz stream asks for more than {} KiB of memory", lzma::MAX_KIB))
                    }
                    _ => Error::corrupt("the xz stream is broken"),
                })?;
                let end = step.status == XzStatus::StreamEnd;
                Ok(Step { consumed: step.bytes_consumed, written: step.bytes_produced, end })
            }
            State::Lzw(decoder) => {
                let result = decoder.decode_bytes(input, out);
                let status = result.status.map_err(|_| Error::corrupt("an lzw code is not in the table"))?;
                let end = matches!(status, LzwStatus::Done);
                Ok(Step { consumed: result.consumed_in, written: result.consumed_out, end })
            }
            State::PackBits(stream) => {
                let (consumed, written) = stream.step(input, out);
                Ok(Step { consumed, written, end: false })
            }
            #[cfg(feature = "libzstd")]
            State::Zstd(decoder) => {
                let mut source = zstd_safe::InBuffer::around(input);
                let mut target = zstd_safe::OutBuffer::around(out);
                // A frame that ends may be followed by another one.
                decoder
                    .decompress_stream(&mut target, &mut source)
                    .map_err(|_| Error::corrupt("a zstd frame is broken"))?;
                Ok(Step { consumed: source.pos(), written: target.pos(), end: false })
            }
        }
    }

    /// Heap bytes that a decoder holds, of LZMA and ZSTD with the window that their encoders choose when they are not told.
    pub(crate) fn usual_bytes(codec: StreamCodec) -> usize {
        match codec {
            StreamCodec::Deflate => DEFLATE_BYTES,
            StreamCodec::Lzma => 9 << 20,
            StreamCodec::Lzw => LZW_BYTES,
            StreamCodec::PackBits => 0,
            #[cfg(feature = "libzstd")]
            StreamCodec::Zstd => 9 << 20,
        }
    }

    /// Heap bytes held, to the accuracy that the libraries below let us see.
    pub(crate) fn memory_bytes(&self) -> usize {
        match &self.0 {
            State::Deflate(_) => DEFLATE_BYTES,
            State::Lzma(stream) => stream.memory_usage().map_or(0, |kib| kib as usize * 1024),
            State::Lzw(_) => LZW_BYTES,
            State::PackBits(_) => 0,
            #[cfg(feature = "libzstd")]
            State::Zstd(decoder) => decoder.sizeof(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Vec<u8> {
        (0..200_000_u64).map(|i| (i / 7 * i % 251) as u8).collect()
    }

    fn packed(codec: StreamCodec, data: &[u8]) -> Vec<u8> {
        match codec {
            StreamCodec::Deflate => miniz_oxide::deflate::compress_to_vec_zlib(data, 3),
            StreamCodec::Lzma => lzma::tests::STREAM.to_vec(),
            StreamCodec::Lzw => weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8).encode(data).unwrap(),
            StreamCodec::PackBits => data.chunks(100).flat_map(|run| [&[run.len() as u8 - 1], run].concat()).collect(),
            #[cfg(feature = "libzstd")]
            StreamCodec::Zstd => ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest),
        }
    }

    const ALL: &[StreamCodec] = &[
        StreamCodec::Deflate,
        StreamCodec::Lzma,
        StreamCodec::Lzw,
        StreamCodec::PackBits,
        #[cfg(feature = "libzstd")]
        StreamCodec::Zstd,
    ];

    /// Everything that comes out of pieces of `input_len` and `out_len` bytes.
    fn decoded(codec: StreamCodec, input: &[u8], input_len: usize, out_len: usize, most: usize) -> Result<Vec<u8>> {
        let mut stream = Stream::new(codec, input);
        let (mut at, mut out) = (0, Vec::new());
        while out.len() < most {
            let mut piece = vec![0; out_len.min(most - out.len())];
            let end = input.len().min(at + input_len);
            let step = stream.step(&input[at..end], &mut piece)?;
            out.extend(&piece[..step.written]);
            at += step.consumed;
            if step.end || step.consumed == 0 && step.written == 0 {
                break;
            }
        }
        assert!(stream.memory_bytes() < 16 << 20);
        Ok(out)
    }

    #[test]
    fn pieces_of_any_size_give_the_same_bytes() {
        for codec in ALL {
            let data = if *codec == StreamCodec::Lzma { lzma::tests::plain() } else { plain() };
            let stream = packed(*codec, &data);
            for (input_len, out_len) in [(usize::MAX, 1 << 20), (1000, 777), (7, 5000), (4096, 3)] {
                let input_len = input_len.min(stream.len());
                let got = decoded(*codec, &stream, input_len, out_len, data.len()).unwrap();
                assert!(got == data, "{codec:?} in pieces of {input_len} and {out_len}");
            }
        }
    }

    #[test]
    fn data_that_breaks_off_gives_fewer_bytes_or_an_error() {
        for codec in ALL {
            let data = if *codec == StreamCodec::Lzma { lzma::tests::plain() } else { plain() };
            let stream = packed(*codec, &data);
            for cut in [0, 1, 5, stream.len() / 2, stream.len() * 9 / 10] {
                if let Ok(part) = decoded(*codec, &stream[..cut], 1000, 1000, data.len()) {
                    // The last bytes of a stream may be checks and indices.
                    let is_short = part.len() < data.len() || cut > stream.len() / 2;
                    assert!(is_short && data.starts_with(&part), "{codec:?}, {cut} bytes");
                }
            }
        }
    }

    #[test]
    fn random_changes_never_get_out_of_hand() {
        let mut state = 1_u32;
        for codec in ALL {
            let stream = packed(*codec, &plain()[..5000]);
            for _ in 0..300 {
                let mut broken = stream.clone();
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (state >> 8) as usize % broken.len();
                broken[at] ^= 1 << (state & 7);
                if let Ok(part) = decoded(*codec, &broken, 500, 500, 20_000) {
                    assert!(part.len() <= 20_000);
                }
            }
        }
    }
}
