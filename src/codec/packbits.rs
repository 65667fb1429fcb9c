//! PackBits, TIFF compression 32773 (TIFF 6.0, section 9): runs of equal and of different bytes.

/// The longest run.
const LONGEST: usize = 128;

/// Decodes `input` to the start of `out` and returns how many bytes it wrote. Bytes of `out` behind the returned count may
/// have been overwritten.
///
/// Stops where `out` is full or the input ends. A run that would go beyond the output is cut; a run of
/// different bytes that the input does not hold in full gives those that it holds. The code 128 means nothing.
pub(crate) fn decode(input: &[u8], out: &mut [u8]) -> usize {
    let (mut at, mut written) = (0, 0);
    while let Some(&code) = input.get(at) {
        at += 1;
        let left = out.len() - written;
        if left == 0 {
            break;
        }
        let target = &mut out[written..];
        match code {
            0..128 => {
                let (run, len) = (&input[at..], usize::from(code) + 1);
                // What is copied too much comes again; a copy of a length that is known is much faster.
                if let (Some(run), Some(target)) = (run.first_chunk::<LONGEST>(), target.first_chunk_mut()) {
                    *target = *run;
                    (at, written) = (at + len, written + len);
                    continue;
                }
                let run = &run[..run.len().min(len)];
                at += run.len();
                let len = run.len().min(left);
                target[..len].copy_from_slice(&run[..len]);
                written += len;
            }
            128 => {}
            129.. => {
                let Some(&value) = input.get(at) else { break };
                at += 1;
                let len = (257 - usize::from(code)).min(left);
                match target.first_chunk_mut::<LONGEST>() {
                    Some(target) => target.fill(value),
                    None => target[..len].fill(value),
                }
                written += len;
            }
        }
    }
    written
}

/// The same, a piece at a time.
#[derive(Default)]
pub(super) struct Stream {
    /// Bytes left of a run, and what is repeated; `None` for a run of different bytes.
    left: usize,
    value: Option<u8>,
    /// A repeated byte is still to come.
    wants_value: bool,
}

impl Stream {
    /// Decodes on, and returns how many bytes it consumed and wrote.
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> (usize, usize) {
        let (mut at, mut written) = (0, 0);
        loop {
            let room = out.len() - written;
            if self.left > 0 && !self.wants_value {
                let len = self.left.min(room);
                let len = if let Some(value) = self.value {
                    out[written..written + len].fill(value);
                    len
                } else {
                    let len = len.min(input.len() - at);
                    out[written..written + len].copy_from_slice(&input[at..at + len]);
                    at += len;
                    len
                };
                self.left -= len;
                written += len;
                if self.left > 0 {
                    return (at, written);
                }
            }
            let Some(&byte) = input.get(at).filter(|_| written < out.len()) else { return (at, written) };
            at += 1;
            if self.wants_value {
                (self.value, self.wants_value) = (Some(byte), false);
                continue;
            }
            match byte {
                0..128 => (self.left, self.value) = (usize::from(byte) + 1, None),
                128 => {}
                129.. => (self.left, self.wants_value) = (257 - usize::from(byte), true),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte by byte.
    fn plainly(input: &[u8], out_len: usize) -> Vec<u8> {
        let (mut input, mut out) = (input.iter().copied(), Vec::new());
        while let Some(code) = input.next() {
            match code {
                0..128 => out.extend(input.by_ref().take(usize::from(code) + 1)),
                128 => {}
                129.. => out.extend(input.next().into_iter().flat_map(|value| vec![value; 257 - usize::from(code)])),
            }
        }
        out.truncate(out_len);
        out
    }

    fn decoded(input: &[u8], out_len: usize) -> Vec<u8> {
        let mut out = vec![0xa5; out_len];
        let n = decode(input, &mut out);
        let (mut stream, mut pieces, mut rest) = (Stream::default(), vec![0; out_len], input);
        let mut done = 0;
        loop {
            let end = (done + 2).min(out_len);
            let (consumed, written) = stream.step(&rest[..rest.len().min(3)], &mut pieces[done..end]);
            (rest, done) = (&rest[consumed..], done + written);
            if consumed == 0 && written == 0 {
                break;
            }
        }
        assert_eq!(pieces[..done], out[..n], "in pieces");
        assert_eq!(out[..n], plainly(input, out_len), "byte by byte");
        out.truncate(n);
        out
    }

    #[test]
    fn the_example_of_the_specification_comes_back() {
        let packed = [0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa];
        let plain = [
            0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22, 0xaa, 0xaa, 0xaa, 0xaa,
            0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
        ];
        assert_eq!(decoded(&packed, plain.len()), plain);
        assert_eq!(decoded(&packed, 100), plain);
    }

    #[test]
    fn the_longest_runs_are_128_bytes() {
        let mut packed = vec![127];
        packed.extend(0..128);
        packed.extend([129, 9]);
        let plain: Vec<u8> = (0..128).chain([9; 128]).collect();
        assert_eq!(decoded(&packed, 256), plain);
    }

    #[test]
    fn the_code_128_means_nothing() {
        assert_eq!(decoded(&[128, 128, 0, 5, 128], 4), [5]);
    }

    #[test]
    fn runs_beyond_the_output_are_cut() {
        assert_eq!(decoded(&[4, 1, 2, 3, 4, 5], 3), [1, 2, 3]);
        assert_eq!(decoded(&[250, 7, 0, 1], 3), [7, 7, 7]);
        assert_eq!(decoded(&[250, 7], 0), Vec::<u8>::new());
    }

    #[test]
    fn input_that_ends_early_gives_what_it_holds() {
        assert_eq!(decoded(&[5, 1, 2], 10), [1, 2]);
        assert_eq!(decoded(&[250], 10), Vec::<u8>::new());
        assert_eq!(decoded(&[], 10), Vec::<u8>::new());
    }

    #[test]
    fn any_bytes_are_decoded_as_byte_by_byte() {
        let mut state = 1_u32;
        for n in 0..300_usize {
            let input: Vec<u8> = (0..n * 7)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            for out_len in [0, 1, 127, 128, 129, n * 3, n * 40, 20_000] {
                decoded(&input, out_len);
            }
        }
    }
}
