//! What stands before the picture in a JPEG file: EXIF, XMP, a colour profile, a comment, a resolution.

use crate::error::Result;

use super::ReadAt;

/// Where blocks of bytes lie in the file, and what else the markers say.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Parts of the blocks of bytes by name, in order.
    parts: Vec<Part>,
    pub(super) comment: Option<String>,
    pub(super) pixel_size_um: Option<(f64, f64)>,
}

#[derive(Debug)]
struct Part {
    name: &'static str,
    /// A profile comes in numbered parts, not always in order.
    number: u8,
    offset: u64,
    len: usize,
}

const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const ICC: &[u8] = b"ICC_PROFILE\0";

impl Marks {
    /// Reads the markers in `head`, the start of a JPEG file, up to the picture or to what is no marker.
    pub(super) fn read(head: &[u8]) -> Self {
        let mut marks = Self::default();
        let mut at = 2;
        while let Some([0xFF, marker, high, low]) = head.get(at..at + 4).and_then(|bytes| bytes.first_chunk::<4>()) {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            match marker {
                // Bytes that fill up, before a marker.
                0xFF => {
                    at += 1;
                    continue;
                }
                // The picture begins, or ends.
                0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xD8..=0xDA => break,
                _ => {}
            }
            let Some(body) = len.checked_sub(2).and_then(|len| head.get(at + 4..at + 4 + len)) else { break };
            marks.add(*marker, body, at as u64 + 4);
            at += 2 + len;
        }
        marks.parts.sort_by_key(|part| (part.name, part.number));
        marks
    }

    /// Bytes held beside itself.
    pub(super) fn memory_bytes(&self) -> usize {
        self.parts.capacity() * size_of::<Part>() + self.comment.as_ref().map_or(0, String::capacity)
    }

    fn add(&mut self, marker: u8, body: &[u8], offset: u64) {
        let mut part = |name, number, skip: usize| {
            self.parts.push(Part { name, number, offset: offset + skip as u64, len: body.len() - skip });
        };
        match marker {
            0xE1 if body.starts_with(EXIF) => part("exif", 0, EXIF.len()),
            0xE1 if body.starts_with(XMP) => part("xmp", 0, XMP.len()),
            0xE2 if body.starts_with(ICC) && body.len() >= ICC.len() + 2 => part("icc", body[ICC.len()], ICC.len() + 2),
            0xE0 if body.starts_with(b"JFIF\0") && body.len() >= 12 => {
                let number = |i: usize| f64::from(u16::from_be_bytes([body[i], body[i + 1]]));
                let micrometres = match body[7] {
                    1 => 25_400.0,
                    2 => 10_000.0,
                    _ => return,
                };
                if number(8) > 0.0 && number(10) > 0.0 {
                    self.pixel_size_um = Some((micrometres / number(8), micrometres / number(10)));
                }
            }
            0xFE => {
                let text = body.split(|byte| *byte == 0).next().unwrap_or_default();
                self.comment = Some(String::from_utf8_lossy(text).into_owned());
            }
            _ => {}
        }
    }

    /// The names of the blocks of bytes.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.parts.iter().map(|part| part.name.to_owned()).collect();
        names.dedup();
        names
    }

    /// The block of bytes of this name, read now. Of EXIF and XMP only the first one counts.
    pub(super) fn blob(&self, reader: &dyn ReadAt, name: &str) -> Result<Option<Vec<u8>>> {
        let parts: Vec<_> = self.parts.iter().filter(|part| part.name == name).collect();
        if parts.is_empty() {
            return Ok(None);
        }
        let parts = if name == "icc" { &parts[..] } else { &parts[..1] };
        let mut bytes = Vec::new();
        for part in parts {
            let start = bytes.len();
            bytes.resize(start + part.len, 0);
            reader.read_at(part.offset, &mut bytes[start..])?;
        }
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
        [&[0xFF, marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat()
    }

    #[test]
    fn blocks_of_bytes_are_put_together_in_the_order_of_their_numbers() {
        let file = [
            b"\xFF\xD8".to_vec(),
            segment(0xE0, b"JFIF\0\x01\x02\x01\x00\xFE\x00\x7F\0\0"),
            segment(0xE2, b"ICC_PROFILE\0\x02\x02world"),
            segment(0xE1, b"Exif\0\0MM"),
            segment(0xE2, b"ICC_PROFILE\0\x01\x02hello "),
            vec![0xFF],
            segment(0xFE, b"said\0more"),
            segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
            segment(0xC0, b""),
            segment(0xFE, b"too late"),
        ]
        .concat();
        let marks = Marks::read(&file);
        assert_eq!(marks.names(), ["exif", "icc", "xmp"]);
        let blob = |name| marks.blob(&file, name).unwrap().map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(["exif", "icc", "xmp"].map(blob), ["MM", "hello world", "<x/>"].map(|text| Some(text.to_owned())));
        assert_eq!(blob("iptc"), None);
        assert_eq!(marks.comment.as_deref(), Some("said"));
        assert_eq!(marks.pixel_size_um, Some((100.0, 200.0)));
    }

    #[test]
    fn markers_that_reach_past_the_end_are_none() {
        for file in
            [&b""[..], b"\xFF\xD8", b"\xFF\xD8\xFF\xE1\0", b"\xFF\xD8\xFF\xE1\0\0", b"\xFF\xD8\xFF\xE1\xFF\xFFExif\0\0"]
        {
            assert!(Marks::read(file).names().is_empty());
        }
    }
}
