//! The thumbnail in a block of EXIF, which is a small TIFF of its own.

use crate::source::Limits;

use super::directory::Parser;

const JPEG_OFFSET: u16 = 513;
const JPEG_BYTES: u16 = 514;

/// The JPEG file that the second directory of a block of EXIF points to.
pub(in crate::source) fn thumbnail(exif: &Vec<u8>) -> Option<Vec<u8>> {
    let parser = Parser::new(exif, Limits::default()).ok()?;
    let first = parser.directory(parser.header.first).ok()?;
    let second = parser.directory(Some(first.next).filter(|next| *next > 0)?).ok()?;
    let number = |tag| parser.first(&second, tag).ok().flatten().and_then(|value| usize::try_from(value).ok());
    let (start, len) = (number(JPEG_OFFSET)?, number(JPEG_BYTES)?);
    exif.get(start..start.checked_add(len)?).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_directory_says_where_the_thumbnail_is() {
        let entry = |tag: u16, value: u32| {
            [&tag.to_be_bytes()[..], &4_u16.to_be_bytes(), &1_u32.to_be_bytes(), &value.to_be_bytes()].concat()
        };
        let with = |len: u32| {
            [
                b"MM\0\x2A\0\0\0\x08\0\x01".to_vec(),
                entry(274, 1),
                26_u32.to_be_bytes().to_vec(),
                b"\0\x02".to_vec(),
                entry(JPEG_OFFSET, 56),
                entry(JPEG_BYTES, len),
                vec![0; 4],
                b"thumb".to_vec(),
            ]
            .concat()
        };
        assert_eq!(thumbnail(&with(5)).as_deref(), Some(&b"thumb"[..]));
        assert_eq!(thumbnail(&with(6)), None);
        assert_eq!(thumbnail(&with(u32::MAX)), None);
        assert_eq!(thumbnail(&b"MM\0\x2A\0\0\0\x08\0\0".to_vec()), None);
    }
}
