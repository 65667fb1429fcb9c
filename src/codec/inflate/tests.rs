use super::*;
use crate::error::ErrorKind;

/// Gives bytes in pieces of `piece`.
struct Pieces<'a> {
    bytes: &'a [u8],
    at: usize,
    piece: usize,
}

impl Feed for Pieces<'_> {
    fn bytes(&mut self) -> Result<&[u8]> {
        let end = (self.at / self.piece + 1) * self.piece;
        Ok(&self.bytes[self.at..end.min(self.bytes.len())])
    }

    fn consume(&mut self, n: usize) {
        self.at += n;
    }
}

fn deflate(data: &[u8], level: i32) -> Vec<u8> {
    let mut out = vec![0; zlib_rs::compress_bound(data.len()) + 100];
    let (packed, code) = zlib_rs::compress_slice(&mut out, data, zlib_rs::DeflateConfig::new(level));
    assert_eq!(code, zlib_rs::ReturnCode::Ok);
    packed.to_vec()
}

/// Bytes of all kinds: noise, runs, text, and repetitions at every distance.
fn data(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    let mut out: Vec<u8> = Vec::new();
    while out.len() < len {
        let n = 1 + random() as usize % 700;
        match random() % 4 {
            0 => (0..n).for_each(|_| out.push(random() as u8)),
            1 => out.extend(std::iter::repeat_n(random() as u8, n)),
            2 => (0..n).for_each(|_| out.push(b"eariotnslcudpmhg"[(random() % 16 * (random() % 16) / 16) as usize])),
            _ => {
                let distance = 1 + random() as usize % 40_000.min(out.len().max(1));
                (0..n).for_each(|_| out.push(out.len().checked_sub(distance).map_or(0, |at| out[at])));
            }
        }
    }
    out.truncate(len);
    out
}

fn decode(packed: &[u8], piece: usize, wanted: usize) -> Result<Vec<u8>> {
    let (mut inflate, mut feed) = (Inflate::new(), Pieces { bytes: packed, at: 0, piece });
    let mut all = Vec::new();
    loop {
        inflate.fill(&mut feed, wanted)?;
        let n = inflate.pending().len();
        if n == 0 {
            return Ok(all);
        }
        assert!(n <= wanted + OVERSHOOT);
        let n = n.min(wanted);
        all.extend(&inflate.pending()[..n]);
        inflate.take(n);
    }
}

#[test]
fn every_stream_gives_what_was_packed_whatever_the_pieces() {
    for level in [0, 1, 6, 9] {
        for len in [0, 1, 300, 400_000] {
            let data = data(len);
            let packed = deflate(&data, level);
            for (piece, wanted) in [(usize::MAX / 2, 1 << 16), (7, 1000), (8192, 3), (1 << 16, 70_000), (100, 25_000)] {
                assert!(
                    decode(&packed, piece, wanted).unwrap() == data,
                    "level {level}, {len} bytes, {piece}, {wanted}"
                );
            }
        }
    }
    let fixed = miniz_oxide::deflate::compress_to_vec_zlib(b"short", 1);
    assert_eq!(decode(&fixed, 1, 100).unwrap(), b"short");
}

#[test]
fn a_decoder_goes_on_from_every_snapshot() {
    let data = data(300_000);
    for level in [0, 1, 9] {
        let packed = deflate(&data, level);
        let (mut inflate, mut feed) = (Inflate::new(), Pieces { bytes: &packed, at: 0, piece: 5000 });
        let mut taken = 0;
        let mut snapshots = Vec::new();
        while taken < data.len() {
            snapshots.push((taken, feed.at, inflate.snapshot()));
            assert!(snapshots.last().unwrap().2.bytes() <= Snapshot::MAX_BYTES);
            inflate.fill(&mut feed, 10_007).unwrap();
            let n = inflate.pending().len().min(10_007);
            inflate.take(n);
            taken += n;
        }
        for (from, at, snapshot) in snapshots.iter().rev() {
            inflate.restore(snapshot).unwrap();
            let mut feed = Pieces { bytes: &packed, at: *at, piece: 5000 };
            let mut taken = *from;
            while taken < data.len().min(from + 70_000) {
                inflate.fill(&mut feed, 9000).unwrap();
                let n = inflate.pending().len();
                assert!(inflate.pending() == &data[taken..][..n], "level {level}, from {from}");
                inflate.take(n);
                taken += n;
            }
        }
    }
}

#[test]
fn a_broken_stream_is_corrupt_and_gives_only_what_others_make_of_it() {
    let packed = deflate(&data(30_000), 6);
    for cut in [0, 1, 2, 3, 10, packed.len() / 2, packed.len() - 6] {
        assert_eq!(decode(&packed[..cut], 64, 500).unwrap_err().kind(), ErrorKind::Corrupt, "cut at {cut}");
    }
    let mut state = 7_u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize
    };
    for _ in 0..3000 {
        let mut broken = packed.clone();
        for _ in 0..1 + next() % 3 {
            let at = next() % broken.len().min(if next() % 2 == 0 { 100 } else { usize::MAX });
            broken[at] ^= 1 << (next() % 8);
        }
        let ours = decode(&broken, 5000, 1000);
        let mut inflate = zlib_rs::Inflate::new(false, 15);
        let mut theirs = vec![0; 1 << 20];
        let status = inflate.decompress(&broken[2.min(broken.len())..], &mut theirs, zlib_rs::InflateFlush::NoFlush);
        let n = inflate.total_out() as usize;
        match (ours, status) {
            (Ok(ours), Ok(zlib_rs::Status::StreamEnd)) => assert!(ours == theirs[..n]),
            (Err(error), _) => assert_eq!(error.kind(), ErrorKind::Corrupt),
            (Ok(ours), _) => assert!(ours.len() >= 1 << 20, "{} bytes where another decoder fails", ours.len()),
        }
    }
}
