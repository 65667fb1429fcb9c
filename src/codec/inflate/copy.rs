//! Copies of what was decoded before.

use crate::error::{Error, Result};

/// What repeats the lowest bytes of a word, as many as the index says, until the word is full.
const REPEAT: [u64; 8] = [
    0,
    0x0101_0101_0101_0101,
    0x0001_0001_0001_0001,
    0x0001_0000_0100_0001,
    0x0000_0001_0000_0001,
    0x0000_0100_0000_0001,
    0x0001_0000_0000_0001,
    0x0100_0000_0000_0001,
];

/// Repeats what is `distance` before `end`, and returns where it then ends. Up to 15 bytes behind that are written too.
#[inline(always)]
pub(super) fn copy(out: &mut [u8], end: usize, distance: usize, len: usize) -> Result<usize> {
    let Some(from) = end.checked_sub(distance).filter(|_| distance > 0) else {
        return Err(Error::corrupt(format!("a copy of what is {distance} bytes before, after {end} bytes")));
    };
    if distance >= 16 {
        steps::<16>(out, from, end, len);
    } else if distance >= 8 {
        steps::<8>(out, from, end, len);
    } else if let Some(word) = out.get(from..).and_then(|out| out.first_chunk()) {
        // The pattern as often as it fits into a word, and words as far apart.
        let mask = (1 << (8 * distance)) - 1;
        let word = (u64::from_le_bytes(*word) & mask).wrapping_mul(REPEAT[distance]).to_le_bytes();
        let step = distance * (8 / distance);
        for at in (end..end + len).step_by(step) {
            if let Some(target) = out.get_mut(at..).and_then(|out| out.first_chunk_mut()) {
                *target = word;
            }
        }
    }
    Ok(end + len)
}

/// Copies `N` bytes at a time, at least once: what is read may have been written just before, but not by the same step.
#[inline(always)]
fn steps<const N: usize>(out: &mut [u8], from: usize, to: usize, len: usize) {
    let mut done = 0;
    loop {
        let Some(bytes) = out.get(from + done..).and_then(|out| out.first_chunk::<N>()).copied() else { return };
        let Some(target) = out.get_mut(to + done..).and_then(|out| out.first_chunk_mut()) else { return };
        *target = bytes;
        done += N;
        // Most copies are short.
        if done >= len {
            return;
        }
    }
}
