//! Byte order and bit order of whole buffers.

/// Reverses the bytes of every sample in place; samples of one byte stay as they are.
///
/// `sample_bytes` is the size of what the byte order applies to: for complex numbers that of one part. Bytes
/// behind the last whole sample stay as they are.
pub(crate) fn swap_in_place(buffer: &mut [u8], sample_bytes: usize) {
    fn swap<const B: usize>(buffer: &mut [u8]) {
        for sample in buffer.as_chunks_mut::<B>().0 {
            sample.reverse();
        }
    }
    match sample_bytes {
        0 | 1 => {}
        2 => swap::<2>(buffer),
        3 => swap::<3>(buffer),
        4 => swap::<4>(buffer),
        8 => swap::<8>(buffer),
        _ => buffer.chunks_exact_mut(sample_bytes).for_each(<[u8]>::reverse),
    }
}

/// Reverses the bits of every byte in place: TIFF's fill order 2 to fill order 1.
pub(crate) fn reverse_bits(buffer: &mut [u8]) {
    for byte in buffer {
        *byte = byte.reverse_bits();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_every_whole_sample_are_reversed() {
        for sample_bytes in [0, 1, 2, 3, 4, 5, 8, 16] {
            for len in [0, 1, 15, 16, 17, 100] {
                let before: Vec<u8> = (0..len).collect();
                let mut expected = before.clone();
                if sample_bytes > 1 {
                    expected.chunks_exact_mut(sample_bytes).for_each(<[u8]>::reverse);
                }
                let mut after = before;
                swap_in_place(&mut after, sample_bytes);
                assert_eq!(after, expected, "{len} bytes, samples of {sample_bytes}");
            }
        }
    }

    #[test]
    fn the_bits_of_every_byte_are_reversed() {
        let mut buffer = [0b1000_0000, 0b0001_0011, 0xff, 0];
        reverse_bits(&mut buffer);
        assert_eq!(buffer, [0b0000_0001, 0b1100_1000, 0xff, 0]);
    }
}
