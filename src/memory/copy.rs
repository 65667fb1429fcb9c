//! Copies of pixels: bytes that lie side by side, and rows of them.

#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "memory is prefetched by pointer"))]

/// Bytes that the CPU fetches at once.
const LINE: usize = 64;
/// How many rows before it is written a row is fetched: as many as are copied while memory answers.
const ROWS_AHEAD: usize = 8;

/// Copies bytes that lie side by side; both slices must be equally long.
///
/// In short pieces: C libraries copy long runs in ways that take two to five times as long on some processors where the
/// target begins a few bytes after the source, modulo a page. Blocks of a mapped file begin anywhere, so that happens. Short
/// pieces cost no more elsewhere.
pub(crate) fn copy_bytes(source: &[u8], target: &mut [u8]) {
    const PIECE: usize = 256;
    for (source, target) in source.chunks(PIECE).zip(target.chunks_mut(PIECE)) {
        target.copy_from_slice(source);
    }
}

/// Rows of bytes within memory: how long they are, and how far apart they begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    pub(crate) n_rows: usize,
    pub(crate) row_bytes: usize,
    pub(crate) source_stride: usize,
    pub(crate) target_stride: usize,
}

/// Copies rows from the start of `source` to the start of `target`.
///
/// Rows of a block are short and lie far apart in a larger picture, so the CPU does not see what is written next and fetches
/// every line of the target when it is written. Here they are fetched some rows before.
///
/// # Panics
///
/// When the last row leaves its memory.
pub(crate) fn copy_rows(source: &[u8], target: &mut [u8], rows: Rows) {
    let Rows { n_rows, row_bytes, source_stride, target_stride } = rows;
    if row_bytes == source_stride && row_bytes == target_stride {
        copy_bytes(&source[..n_rows * row_bytes], &mut target[..n_rows * row_bytes]);
        return;
    }
    for row in 0..n_rows {
        if row + ROWS_AHEAD < n_rows {
            prefetch(&target[(row + ROWS_AHEAD) * target_stride..][..row_bytes]);
        }
        let source = source[row * source_stride..][..row_bytes].as_chunks::<LINE>();
        let target = target[row * target_stride..][..row_bytes].as_chunks_mut::<LINE>();
        for (source, target) in source.0.iter().zip(target.0) {
            *target = *source;
        }
        target.1.copy_from_slice(source.1);
    }
}

#[cfg(target_arch = "x86_64")]
fn prefetch(bytes: &[u8]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    for line in bytes.chunks(LINE).chain(bytes.last_chunk::<1>().map(|last| &last[..])) {
        // SAFETY: it reads nothing, and every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn prefetch(_bytes: &[u8]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_copied_and_nothing_beside_them() {
        let source: Vec<u8> = (0..100_000_u32).map(|i| ((i * 31) >> 3) as u8).collect();
        let cases =
            [(0, 5, 9, 9), (1, 0, 9, 9), (3, 1, 1, 7), (20, 63, 64, 65), (21, 64, 64, 64), (30, 200, 200, 1000)];
        for (n_rows, row_bytes, source_stride, target_stride) in cases {
            let rows = Rows { n_rows, row_bytes, source_stride, target_stride };
            let reach = |stride| if n_rows == 0 { 0 } else { (n_rows - 1) * stride + row_bytes };
            let mut target = vec![0xa5; reach(target_stride)];
            copy_rows(&source[..reach(source_stride)], &mut target, rows);
            let mut expected = vec![0xa5; target.len()];
            for row in 0..n_rows {
                for i in 0..row_bytes {
                    expected[row * target_stride + i] = source[row * source_stride + i];
                }
            }
            assert!(target == expected, "{rows:?}");
        }
    }

    #[test]
    #[should_panic(expected = "range end index")]
    fn a_row_that_leaves_its_memory_is_refused() {
        copy_rows(&[0; 9], &mut [0; 20], Rows { n_rows: 2, row_bytes: 5, source_stride: 5, target_stride: 10 });
    }
}
