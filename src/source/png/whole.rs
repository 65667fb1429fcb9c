//! The file without what is not its pixels.

use crate::memory::zeroed;
use crate::source::ReadAt;

/// Bytes of a chunk beside what it holds: length, name and checksum.
const AROUND: u64 = 12;

/// More chunks than that are not looked for: the usual ones hold 8 KiB of image data each.
const MAX_CHUNKS: usize = 1 << 16;

/// Chunks whose bytes are looked at and kept: what the pixels are made of, and which of them are clear.
const KEPT: [&[u8; 4]; 5] = [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"];

/// The file of `reader` with the chunks that its pixels are made of, and no others. `None` where one is not all there or not
/// as its checksum says, where they do not end, where there are very many, or where those that are kept have more than
/// `max_bytes`, which those of no sound picture have.
pub(super) fn file(reader: &dyn ReadAt, max_bytes: u64) -> Option<Vec<u8>> {
    let mut chunks = Vec::new();
    let (mut offset, mut kept_bytes) = (8_u64, 8_u64);
    let mut n_chunks = 0;
    loop {
        n_chunks += 1;
        if n_chunks > MAX_CHUNKS {
            return None;
        }
        let mut head = [0; 8];
        reader.read_at(offset, &mut head).ok()?;
        let [l3, l2, l1, l0, name @ ..] = head;
        let len = AROUND + u64::from(u32::from_be_bytes([l3, l2, l1, l0]));
        let is_kept = KEPT.contains(&&name);
        // An unknown chunk that must be understood, or one of the known whose name was damaged.
        let is_suspect = name[0].is_ascii_uppercase() || KEPT.iter().any(|kept| name.eq_ignore_ascii_case(*kept));
        if !is_kept && is_suspect || (offset == 8) != (name == *b"IHDR") {
            return None;
        }
        if is_kept {
            kept_bytes = kept_bytes.checked_add(len).filter(|bytes| *bytes <= max_bytes)?;
            chunks.push((offset, len));
        }
        offset = offset.checked_add(len).filter(|end| *end <= reader.len())?;
        if name == *b"IEND" {
            break;
        }
    }
    let mut file = zeroed(kept_bytes as usize).ok()?;
    let (signature, mut rest) = file.split_at_mut(8);
    signature.copy_from_slice(b"\x89PNG\r\n\x1a\n");
    for (offset, len) in chunks {
        let (chunk, behind) = rest.split_at_mut(len as usize);
        reader.read_at(offset, chunk).ok()?;
        reader.was_read(offset, len);
        let (covered, checksum) = chunk[4..].split_last_chunk::<4>()?;
        if zlib_rs::crc32::crc32(0, covered) != u32::from_be_bytes(*checksum) {
            return None;
        }
        rest = behind;
    }
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(change: impl FnOnce(&mut png::Encoder<'_, &mut Vec<u8>>)) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 40, 30);
        change(&mut encoder);
        let pixels: Vec<u8> = (0..40 * 30).map(|i| (i * i / 90) as u8).collect();
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        file
    }

    #[test]
    fn only_what_pixels_are_made_of_is_kept() {
        let plain = encoded(|_| {});
        let with_words = encoded(|encoder| encoder.add_text_chunk("Title".into(), "a".into()).unwrap());
        assert!(with_words.len() > plain.len());
        for source in [&plain, &with_words, &[&plain[..], b"behind the end"].concat()] {
            assert_eq!(file(source, 1 << 20).unwrap(), plain);
        }
        assert!(file(&plain, plain.len() as u64).is_some() && file(&plain, plain.len() as u64 - 1).is_none());
    }

    #[test]
    fn a_file_of_empty_chunks_is_not_walked_to_its_end() {
        let plain = encoded(|_| {});
        let empty = [[0; 4], *b"aaAa", zlib_rs::crc32::crc32(0, b"aaAa").to_be_bytes()].concat();
        let before_end = plain.len() - 12;
        let with = |n: usize| [&plain[..before_end], &empty.repeat(n), &plain[before_end..]].concat();
        assert_eq!(file(&with(1000), 1 << 20).unwrap(), plain);
        assert_eq!(file(&with(MAX_CHUNKS), 1 << 20), None);
    }

    #[test]
    fn what_breaks_off_or_is_damaged_is_not_whole() {
        let plain = encoded(|_| {});
        for cut in 0..plain.len() {
            assert_eq!(file(&plain[..cut].to_vec(), 1 << 20), None, "{cut} of {} bytes", plain.len());
        }
        for at in 8..plain.len() {
            let mut other = plain.clone();
            other[at] ^= 0x20;
            assert_eq!(file(&other, 1 << 20), None, "byte {at}");
        }
    }
}
