//! LZMA in the xz container, as TIFF compression 34925 stores it: LZMA2, with a filter of differences before it or none.

use lzma_rust2::{Action, Status, XzStream};

use crate::error::{Error, Result};

/// The most that a decoder may take, in KiB: the strongest of the usual settings asks for a dictionary of 64 MiB.
pub(super) const MAX_KIB: u32 = 96 << 10;

/// Decodes the xz stream at the start of `input` to the start of `out` and returns how many bytes it wrote.
///
/// Fewer than `out` holds means that the stream was complete and short. A stream that holds more is cut where `out` is
/// full. Bytes behind the stream are ignored.
///
/// # Errors
///
/// Corrupt when the stream breaks off, contradicts itself or fails a checksum. Limit exceeded for a dictionary of more
/// than 64 MiB.
pub(crate) fn decode(input: &[u8], out: &mut [u8]) -> Result<usize> {
    let mut stream = XzStream::new_mem_limit(false, MAX_KIB);
    let (mut consumed, mut written) = (0, 0);
    // When `out` is full, one byte more is asked for: either there is one, and the stream is cut, or what is left must
    // be the end of the stream.
    let mut one_more = [0];
    loop {
        let is_full = written == out.len();
        let target = if is_full { &mut one_more[..] } else { &mut out[written..] };
        let step = stream.process(&input[consumed..], target, Action::Run);
        let step = step.map_err(|error| match error.kind() {
            std::io::ErrorKind::OutOfMemory => {
                Error::limit(format!("xz stream of {} bytes asks for more than {MAX_KIB} KiB of memory", input.len()))
            }
            _ => bad_stream(input, written, out),
        })?;
        consumed += step.bytes_consumed;
        if is_full && step.bytes_produced > 0 {
            return Ok(written);
        }
        written += step.bytes_produced;
        match step.status {
            Status::StreamEnd => return Ok(written),
            Status::Ok if step.bytes_consumed == 0 && step.bytes_produced == 0 => {
                return Err(bad_stream(input, written, out));
            }
            Status::Ok => {}
        }
    }
}

#[cold]
fn bad_stream(input: &[u8], written: usize, out: &[u8]) -> Error {
    let (stored, expected) = (input.len(), out.len());
    Error::corrupt(format!("xz stream of {stored} bytes is broken after {written} of {expected} bytes"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// `000102…` 64 times over, in LZMA2 behind a filter of differences to the byte before, without a checksum.
    pub(in super::super) const STREAM: &[u8] = &[
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x00, 0xff, 0x12, 0xd9, 0x41, 0x02, 0x01, 0x03, 0x01, 0x00, 0x21,
        0x01, 0x16, 0x79, 0x20, 0xc4, 0xee, 0xe0, 0x3f, 0xff, 0x00, 0x36, 0x5d, 0x00, 0x00, 0x00, 0x95, 0x22, 0xbf,
        0x8c, 0x2e, 0xbc, 0x50, 0xa1, 0x33, 0x87, 0x4b, 0xd4, 0x02, 0x14, 0xb5, 0xf1, 0x91, 0xe6, 0x22, 0x6b, 0x48,
        0xc9, 0x56, 0x76, 0xb0, 0x46, 0x78, 0xd6, 0xb8, 0xf7, 0xd4, 0xfa, 0x84, 0x3b, 0xa0, 0x2c, 0x70, 0xb9, 0xb1,
        0xf5, 0x7e, 0x67, 0xbe, 0x0e, 0x91, 0x49, 0x24, 0x94, 0x71, 0xdd, 0xef, 0x01, 0x00, 0x00, 0x00, 0x00, 0x01,
        0x4a, 0x80, 0x80, 0x01, 0x00, 0x00, 0x49, 0x91, 0xeb, 0x30, 0xa8, 0x00, 0x0a, 0xfc, 0x02, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x59, 0x5a,
    ];

    pub(in super::super) fn plain() -> Vec<u8> {
        (0..=255).collect::<Vec<u8>>().repeat(64)
    }

    fn decoded(input: &[u8], out_len: usize) -> Result<Vec<u8>> {
        let mut out = vec![0xa5; out_len];
        decode(input, &mut out).map(|n| out[..n].to_vec())
    }

    #[test]
    fn a_stream_gives_all_its_bytes() {
        let plain = plain();
        assert!(decoded(STREAM, plain.len()).unwrap() == plain);
        assert!(decoded(STREAM, plain.len() + 9).unwrap() == plain, "a short stream");
        for len in [0, 1, 1000, plain.len() - 1] {
            assert!(decoded(STREAM, len).unwrap() == plain[..len], "a stream that is cut");
        }
        assert!(decoded(&[STREAM, b"behind"].concat(), plain.len()).unwrap() == plain);
    }

    #[test]
    fn truncated_streams_and_noise_are_corrupt() {
        let len = plain().len();
        for cut in 0..STREAM.len() {
            let error = decoded(&STREAM[..cut], len).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{cut} bytes: {error}");
        }
        assert_eq!(decoded(b"no stream at all", 10).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_dictionary_that_is_too_large_is_refused() {
        // The property behind the filter's identifier: 2^30 bytes, and the header's checksum.
        let mut large = STREAM.to_vec();
        let at = large.windows(2).position(|pair| pair == [0x21, 0x01]).unwrap() + 2;
        large[at] = 36;
        let header = 12..12 + (usize::from(large[12]) + 1) * 4;
        let sum = crc32(&large[header.start..header.end - 4]);
        large[header.end - 4..header.end].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(decoded(&large, 10).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
        })
    }

    #[test]
    fn random_changes_never_get_out_of_hand() {
        let mut state = 1_u32;
        for _ in 0..2000 {
            let mut broken = STREAM.to_vec();
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (state >> 8) as usize % broken.len();
            broken[at] ^= 1 << (state & 7);
            if let Ok(part) = decoded(&broken, 20_000) {
                assert!(part.len() <= 20_000);
            }
        }
    }
}
