use super::*;
use crate::error::ErrorKind;
use weezl::BitOrder as Order;

fn random(len: usize, values: u32, mut state: u32) -> Vec<u8> {
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) % values) as u8
        })
        .collect()
}

fn inputs() -> Vec<(String, Vec<u8>)> {
    let mut inputs = vec![("nothing".to_owned(), vec![])];
    for len in [1, 2, 15, 16, 17, 255, 4000, 20_000] {
        inputs.push((format!("{len} equal"), vec![7; len]));
        inputs.push((format!("{len} of 256 values"), random(len, 256, 1)));
        inputs.push((format!("{len} of 2 values"), random(len, 2, 2)));
        inputs.push((format!("{len} of 6 values"), random(len, 6, 3)));
        inputs.push((format!("{len} ramp"), (0..len).map(|i| (i / 3) as u8).collect()));
    }
    inputs
}

fn decoded(input: &[u8], out_len: usize) -> Result<Vec<u8>> {
    let mut out = vec![0xa5; out_len];
    decode(input, &mut out).map(|n| out[..n].to_vec())
}

/// Codes in TIFF's order; a clear code starts them, and one at `clear_at` entries if the table may not fill.
fn encode(data: &[u8], clear_at: Option<usize>) -> Vec<u8> {
    let (mut out, mut buffer, mut n_bits) = (vec![], 0_u64, 0);
    let mut put = |code: usize, width: u32, out: &mut Vec<u8>| {
        buffer = buffer << width | code as u64;
        n_bits += width;
        while n_bits >= 8 {
            n_bits -= 8;
            out.push((buffer >> n_bits) as u8);
        }
        buffer << (8 - n_bits)
    };
    let mut table = std::collections::HashMap::new();
    let (mut next, mut width) = (FIRST_FREE, 9);
    put(CLEAR, width, &mut out);
    let mut at = 0;
    while at < data.len() {
        let (mut code, mut len) = (usize::from(data[at]), 1);
        while let Some(&longer) = data.get(..at + len + 1).and_then(|_| table.get(&data[at..at + len + 1])) {
            (code, len) = (longer, len + 1);
        }
        put(code, width, &mut out);
        if next < TABLE_LEN {
            if let Some(string) = data.get(at..at + len + 1) {
                table.insert(string, next);
            }
            next += 1;
            // The encoder is one entry ahead of the decoder.
            width = (usize::BITS - next.leading_zeros()).clamp(9, MAX_WIDTH);
        }
        at += len;
        if clear_at == Some(next) {
            put(CLEAR, width, &mut out);
            table.clear();
            (next, width) = (FIRST_FREE, 9);
        }
    }
    put(END, width, &mut out);
    let last = put(0, 0, &mut out);
    out.push(last as u8);
    out
}

#[test]
fn what_weezl_encodes_comes_back() {
    for (name, data) in inputs() {
        let most = weezl::encode::Encoder::with_tiff_size_switch(Order::Msb, 8).encode(&data).unwrap();
        let least = weezl::encode::Encoder::new(Order::Lsb, 8).encode(&data).unwrap();
        for stream in [most, least] {
            assert!(decoded(&stream, data.len()).unwrap() == data, "{name}");
            assert!(decoded(&stream, data.len() + 100).unwrap() == data, "{name}, larger output");
            let half = data.len() / 2;
            assert!(decoded(&stream, half).unwrap() == data[..half], "{name}, smaller output");
        }
    }
}

#[test]
fn a_table_may_be_cleared_early_or_stay_full() {
    for (name, data) in inputs() {
        for clear_at in [Some(259), Some(511), Some(512), Some(4094), None] {
            let stream = encode(&data, clear_at);
            let oracle = weezl::decode::Decoder::with_tiff_size_switch(Order::Msb, 8).decode(&stream).unwrap();
            assert!(oracle == data, "the test's own encoder, {name}, {clear_at:?}");
            assert!(decoded(&stream, data.len()).unwrap() == data, "{name}, {clear_at:?}");
        }
    }
}

#[test]
fn a_code_may_name_the_entry_that_it_completes() {
    // Clear, 'a', 258 = "aa", 259 = "aaa", 260, end: each names the entry made in the same step.
    let (mut bits, mut stream) = (String::new(), vec![]);
    for code in [CLEAR, 97, 258, 259, 260, END] {
        bits += &format!("{code:09b}");
    }
    bits += "00";
    for byte in bits.as_bytes().chunks(8) {
        stream.push(u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap());
    }
    assert_eq!(decoded(&stream, 10).unwrap(), b"aaaaaaaaaa");
    assert_eq!(decoded(&stream, 100).unwrap(), b"aaaaaaaaaa");
    assert_eq!(decoded(&stream, 9).unwrap(), b"aaaaaaaaa");
}

#[test]
fn a_truncated_stream_gives_what_was_complete() {
    let data = random(5000, 6, 9);
    let stream = encode(&data, None);
    let mut longest = 0;
    for cut in (0..stream.len()).step_by(3) {
        let part = decoded(&stream[..cut], data.len()).unwrap();
        assert!(part.len() >= longest && part == data[..part.len()]);
        longest = part.len();
    }
}

#[test]
fn a_code_beyond_the_table_is_corrupt() {
    // Clear, then code 300.
    let stream = [0x80, 0x4b, 0, 0, 0];
    assert_eq!(decoded(&stream, 10).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn random_changes_give_what_weezl_gives_or_an_error() {
    let data = random(3000, 20, 4);
    let stream = encode(&data, Some(4094));
    for (seed, at) in (0..stream.len()).enumerate() {
        let mut broken = stream.clone();
        broken[at] ^= 1 << (seed % 8);
        let mut ours = vec![0xa5; 6000];
        let mut oracle = vec![0xa5; 6000];
        let n = match decode(&broken, &mut ours) {
            Ok(n) => n,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                continue;
            }
        };
        let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(Order::Msb, 8);
        let result = decoder.decode_bytes(&broken, &mut oracle);
        let n = n.min(result.consumed_out);
        assert!(ours[..n] == oracle[..n], "bit {} of byte {at}", seed % 8);
    }
}

#[test]
fn noise_never_panics() {
    let mut out = vec![0; 1000];
    for seed in 0..1000 {
        let mut noise = random(200, 256, seed);
        if seed % 2 == 0 {
            noise[..2].copy_from_slice(&[0, 1]);
        }
        if let Ok(n) = decode(&noise, &mut out) {
            assert!(n <= out.len());
        }
    }
}
