//! Stored JPEG streams as files that any decoder shows in the right colours, without a decoder.

use crate::memory::zeroed;

use super::Contexts;
use super::jpeg::{Colour, Stored, decode, entropy_len, is_sampling_read, stored_as};
use super::jpeg_scan::{DHT, DQT, DRI, EOI, JpegInfo, SOI, SOS, Segment, Segments, info};

/// A JPEG file made of a stored stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WholeJpeg {
    pub(crate) file: Vec<u8>,
    /// Pixels of a row.
    pub(crate) width: u32,
    /// Rows.
    pub(crate) height: u32,
    /// 1 for greys, 3 for colours.
    pub(crate) n_components: u8,
}

/// JFIF 1.1 without a density: one component is grey, three are YCbCr.
const JFIF: [u8; 18] = *b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
/// Adobe's marker without a transform: three components are red, green and blue.
const ADOBE_RGB: [u8; 16] = *b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0\0";

/// Makes a file of `tables`, TIFF's JPEGTables, and `stream`, whose components mean what `colour` says. What the markers of
/// applications said in the stream is not in it: no orientation, no colour profile, no comment.
///
/// `None` where a decoder may not show all of it: when tables are missing, when the codes of a single baseline scan are fewer
/// than its pixels can do with, when restart markers are missing or out of order, when the end of image does not follow
/// right behind, and for other than one or three components of 8 bits. Whether the codes themselves are sound is left to who shows
/// them: reading them takes ten times as long as everything else here. Progressive pictures, and those in several scans, are
/// decoded to see whether they can be: what they are worth is that they lose nothing by being encoded again. How large the
/// picture may be is for the caller to say, who knows what the stream says of its size.
pub(crate) fn whole(
    contexts: &mut Contexts,
    tables: Option<&[u8]>,
    stream: &[u8],
    colour: Colour,
) -> Option<WholeJpeg> {
    let of_stream = info(stream).ok().filter(|info| info.bits == 8)?;
    let mark: &[u8] = match (of_stream.components, stored_as(&of_stream, colour)) {
        (1, _) | (3, Stored::Ycbcr) => &JFIF,
        (3, Stored::Bands) => &ADOBE_RGB,
        _ => return None,
    };
    let mut file = Vec::with_capacity(tables.map_or(0, <[u8]>::len) + stream.len() + mark.len());
    file.extend_from_slice(&[0xff, SOI]);
    file.extend_from_slice(mark);
    if let Some(tables) = tables {
        for Segment { marker, range, .. } in Segments::new(tables).ok()? {
            if matches!(marker, DQT | DHT | DRI) {
                file.extend_from_slice(&tables[range]);
            }
        }
    }
    let mut scans = None;
    for Segment { marker, range, .. } in Segments::new(stream).ok()? {
        if marker == SOS {
            scans = stream.get(range.end..);
        }
        if !matches!(marker, 0xe0..=0xef | 0xfe) {
            file.extend_from_slice(&stream[range]);
        }
    }
    let (scans, head_len) = (scans?, file.len());
    file.extend_from_slice(&scans[..image_len(scans)?]);
    // That of the file: a restart interval may come with the tables.
    let info = info(&file).ok()?;
    let is_same =
        (info.width, info.height, info.components) == (of_stream.width, of_stream.height, of_stream.components);
    if !is_same || !has_tables(&file) || !is_sampling_read(&info) {
        return None;
    }
    if is_one_scan(&file, &info) {
        if !is_scan_plausible(&info, &file[head_len..]) {
            return None;
        }
    } else {
        let n_components = usize::from(info.components);
        let mut pixels = zeroed(info.width as usize * info.height as usize * n_components).ok()?;
        decode(contexts, None, &file, Colour::Auto, &mut pixels, info.width, info.height, n_components).ok()?;
    }
    Some(WholeJpeg { file, width: info.width, height: info.height, n_components: info.components })
}

/// Bytes from behind the first scan header to behind the end of the image, which must come.
fn image_len(scans: &[u8]) -> Option<usize> {
    let mut at = entropy_len(scans);
    loop {
        // Fill bytes may precede a marker.
        while scans[at..].starts_with(&[0xff, 0xff]) {
            at += 1;
        }
        match scans[at..] {
            [0xff, EOI, ..] => return Some(at + 2),
            [0xff, marker, high, low, ..] => {
                let len = usize::from(u16::from_be_bytes([high, low]));
                let end = (at + 2).checked_add(len).filter(|end| len >= 2 && *end <= scans.len())?;
                at = if marker == SOS { end + entropy_len(&scans[end..]) } else { end };
            }
            _ => return None,
        }
    }
}

/// Whether there is every table that a component needs.
fn has_tables(file: &[u8]) -> bool {
    // Quantisation tables by number; Huffman tables by class, the upper four bits, and number.
    let (mut quantisation, mut huffman) = ((0_u32, 0_u32), (0_u32, 0_u32));
    let Ok(segments) = Segments::new(file) else { return false };
    for Segment { marker, body, .. } in segments {
        let mut rest = body;
        match marker {
            DHT => {
                while let Some((first, table)) = rest.split_first() {
                    let n_codes = table.first_chunk::<16>().map(|n| n.iter().map(|n| usize::from(*n)).sum::<usize>());
                    let Some(behind) = n_codes.and_then(|n| table.get(16 + n..)) else { return false };
                    huffman.0 |= 1 << (first & 31);
                    rest = behind;
                }
            }
            DQT => {
                while let Some((first, table)) = rest.split_first() {
                    // 64 numbers of 8 or 16 bits.
                    let len = if first >> 4 == 0 { 64 } else { 128 };
                    let Some(behind) = table.get(len..) else { return false };
                    quantisation.0 |= 1 << (first & 15);
                    rest = behind;
                }
            }
            0xc0..=0xc2 => {
                let components = body.get(6..).unwrap_or_default().as_chunks::<3>().0;
                quantisation.1 = components.iter().fold(0, |needed, component| needed | 1 << (component[2] & 15));
            }
            SOS => {
                let selectors = body.get(1..).unwrap_or_default().as_chunks::<2>().0;
                let n = usize::from(body.first().copied().unwrap_or(0)).min(selectors.len());
                // A scan that refines needs one class only, and is decoded anyhow.
                huffman.1 = selectors[..n]
                    .iter()
                    .fold(0, |needed, [_, tables]| needed | 1 << (tables >> 4 & 15) | 1 << (16 + (tables & 15)));
            }
            _ => {}
        }
    }
    let is_progressive = info(file).is_ok_and(|info| info.progressive);
    let has_huffman = if is_progressive { huffman.0 != 0 } else { huffman.1 & !huffman.0 == 0 };
    has_huffman && quantisation.1 != 0 && quantisation.1 & !quantisation.0 == 0
}

/// Whether one scan makes all components at once, from the first coefficient to the last.
fn is_one_scan(file: &[u8], info: &JpegInfo) -> bool {
    let Ok(segments) = Segments::new(file) else { return false };
    let scan = segments.filter(|segment| segment.marker == SOS).last();
    let n = usize::from(info.components);
    let Some((count, rest)) = scan.and_then(|scan| scan.body.split_first()) else { return false };
    let selectors = rest.get(..2 * n).unwrap_or_default().as_chunks::<2>().0;
    let in_order = selectors.iter().zip(&info.component_ids).all(|([id, _], of_frame)| id == of_frame);
    !info.progressive && usize::from(*count) == n && rest.get(2 * n..) == Some(&[0, 63, 0]) && in_order
}

/// Whether the codes in `scan` can be those of all pixels, by their number and by the restart markers among them, and the
/// end of the image comes right behind them.
fn is_scan_plausible(info: &JpegInfo, scan: &[u8]) -> bool {
    let n = usize::from(info.components);
    let most = |factor: fn(&(u8, u8)) -> u8| info.sampling[..n].iter().map(factor).max().unwrap_or(1);
    // A scan of one component has one block after the other, whatever its factors are.
    let (across, down) = if n == 1 { (1, 1) } else { (most(|f| f.0), most(|f| f.1)) };
    let blocks_of = |(h, v): (u8, u8)| if n == 1 { 1 } else { u64::from(h) * u64::from(v) };
    let n_mcus =
        u64::from(info.width.div_ceil(8 * u32::from(across))) * u64::from(info.height.div_ceil(8 * u32::from(down)));
    let n_blocks = n_mcus * info.sampling[..n].iter().map(|factors| blocks_of(*factors)).sum::<u64>();
    let n_restarts = match u64::from(info.restart_interval) {
        0 => 0,
        interval => n_mcus.saturating_sub(1) / interval,
    };
    let len = entropy_len(scan);
    let (mut at, mut restarts) = (0, 0_u64);
    while let Some(next) = scan[at..len].iter().position(|byte| *byte == 0xff) {
        let code = scan.get(at + next + 1).copied().unwrap_or(0);
        if code != 0 {
            if u64::from(code) != 0xd0 + restarts % 8 {
                return false;
            }
            restarts += 1;
        }
        at = (at + next + 2).min(len);
    }
    let behind = &scan[len..];
    let n_fill = behind.windows(2).take_while(|pair| *pair == [0xff, 0xff]).count();
    // No block has less than a code for its mean and one for the end of the rest.
    len as u64 * 8 >= n_blocks * 2 && restarts == n_restarts && behind[n_fill..] == [0xff, EOI]
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

    use super::*;

    const WIDTH: u16 = 45;
    const HEIGHT: u16 = 37;

    fn whole(tables: Option<&[u8]>, stream: &[u8], colour: Colour) -> Option<WholeJpeg> {
        super::whole(&mut Contexts::default(), tables, stream, colour)
    }

    fn encode(kind: ColorType, change: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
        let n = match kind {
            ColorType::Luma => 1,
            ColorType::Cmyk => 4,
            _ => 3,
        };
        let pixels: Vec<u8> =
            (0..usize::from(WIDTH) * usize::from(HEIGHT) * n).map(|i| (i * i / 700 + i % n * 50) as u8).collect();
        let mut stream = Vec::new();
        let mut encoder = Encoder::new(&mut stream, 85);
        encoder.add_app_segment(1, b"Exif\0\0 turn it round".to_vec()).unwrap();
        change(&mut encoder);
        encoder.encode(&pixels, WIDTH, HEIGHT, kind).unwrap();
        stream
    }

    fn decoded(tables: Option<&[u8]>, stream: &[u8], colour: Colour, n: usize) -> Vec<u8> {
        let (width, height) = (u32::from(WIDTH), u32::from(HEIGHT));
        let mut out = vec![0; width as usize * height as usize * n];
        decode(&mut Contexts::default(), tables, stream, colour, &mut out, width, height, n).unwrap();
        out
    }

    /// The stream without its tables, and these.
    fn apart(whole: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (mut tables, mut stream, mut end) = (vec![0xff, SOI], vec![0xff, SOI], 0);
        for Segment { marker, range, .. } in Segments::new(whole).unwrap() {
            end = range.end;
            match marker {
                DQT | DHT | DRI => tables.extend_from_slice(&whole[range]),
                // Neither JFIF's marker nor another is left in a TIFF.
                0xe0..=0xef => {}
                _ => stream.extend_from_slice(&whole[range]),
            }
        }
        tables.extend_from_slice(&[0xff, EOI]);
        stream.extend_from_slice(&whole[end..]);
        (tables, stream)
    }

    #[test]
    fn a_stream_and_its_tables_are_a_file_of_the_same_pixels_whatever_its_components_mean() {
        for (kind, n) in [(ColorType::Luma, 1), (ColorType::Rgb, 3)] {
            for restart in [0, 2] {
                for sampling in [SamplingFactor::R_4_4_4, SamplingFactor::R_4_2_0] {
                    let (tables, stream) = apart(&encode(kind, |encoder| {
                        encoder.set_sampling_factor(sampling);
                        encoder.set_restart_interval(restart);
                    }));
                    for colour in [Colour::AsStored, Colour::YcbcrToRgb] {
                        let made = whole(Some(&tables), &stream, colour).unwrap();
                        let size = (u32::from(WIDTH), u32::from(HEIGHT));
                        assert_eq!((made.width, made.height, usize::from(made.n_components)), (size.0, size.1, n));
                        // Read as any file is, by its markers.
                        let expected = decoded(Some(&tables), &stream, colour, n);
                        let what = format!("{kind:?}, {colour:?}, restart {restart}, {sampling:?}");
                        assert!(decoded(None, &made.file, Colour::Auto, n) == expected, "{what}");
                        assert!(whole(None, &stream, colour).is_none(), "{what}: no tables");
                    }
                }
            }
        }
    }

    #[test]
    fn files_lose_their_orientation_and_keep_their_colours() {
        for progressive in [false, true] {
            let file = encode(ColorType::Rgb, |encoder| encoder.set_progressive(progressive));
            let made = whole(None, &file, Colour::Auto).unwrap();
            assert!(
                !made.file.windows(4).any(|bytes| bytes == b"Exif") && file.windows(4).any(|bytes| bytes == b"Exif")
            );
            assert!(decoded(None, &made.file, Colour::Auto, 3) == decoded(None, &file, Colour::Auto, 3));
            let with_more = [&file[..], b"what a camera put behind its picture"].concat();
            assert_eq!(whole(None, &with_more, Colour::Auto).unwrap(), made);
        }
    }

    #[test]
    fn what_breaks_off_is_no_file() {
        for (progressive, restart) in [(false, 0), (false, 2), (true, 0)] {
            let file = encode(ColorType::Rgb, |encoder| {
                encoder.set_progressive(progressive);
                encoder.set_restart_interval(restart);
            });
            // An end marker takes the last two bytes.
            for cut in (0..file.len() - 2).step_by(3).chain([file.len() - 3]) {
                let mut part = file[..cut].to_vec();
                let what = format!("{cut} of {} bytes, progressive {progressive}, restart {restart}", file.len());
                assert!(whole(None, &part, Colour::Auto).is_none(), "{what}");
                // An end marker does not make it good where a restart marker is missing, or nearly all of the codes.
                if !progressive && (cut < file.len() * 9 / 10 && restart > 0 || cut < file.len() / 8) {
                    part.extend_from_slice(&[0xff, EOI]);
                    assert!(whole(None, &part, Colour::Auto).is_none(), "{what}, with an end");
                }
            }
        }
    }

    #[test]
    fn restart_markers_that_are_not_those_of_the_pixels_are_no_file() {
        let file = encode(ColorType::Luma, |encoder| encoder.set_restart_interval(4));
        assert!(whole(None, &file, Colour::Auto).is_some());
        let markers: Vec<usize> =
            (0..file.len() - 1).filter(|at| file[*at] == 0xff && matches!(file[at + 1], 0xd0..=0xd7)).collect();
        assert_eq!(markers.len(), 7);
        for at in markers {
            let mut other = file.clone();
            other[at + 1] ^= 1;
            assert!(whole(None, &other, Colour::Auto).is_none());
            let mut less = file.clone();
            less.drain(at..at + 2);
            assert!(whole(None, &less, Colour::Auto).is_none());
            let mut more = file.clone();
            more.splice(at..at, [0xff, file[at + 1]]);
            assert!(whole(None, &more, Colour::Auto).is_none());
        }
    }

    #[test]
    fn tables_that_the_scan_names_must_be_there() {
        let file = encode(ColorType::Luma, |_| {});
        let scan = file.windows(2).position(|pair| pair == [0xff, SOS]).unwrap();
        for tables in [0x01, 0x10, 0x22] {
            let mut other = file.clone();
            other[scan + 6] = tables;
            assert!(whole(None, &other, Colour::Auto).is_none(), "{tables:02x}");
        }
    }

    #[test]
    fn four_components_are_left_to_a_decoder() {
        let file = encode(ColorType::Cmyk, |_| {});
        assert!(whole(None, &file, Colour::Auto).is_none() && whole(None, &file, Colour::AsStored).is_none());
    }

    #[test]
    fn random_changes_never_get_out_of_hand() {
        let mut state = 1_u32;
        for progressive in [false, true] {
            let stream = encode(ColorType::Rgb, |encoder| encoder.set_progressive(progressive));
            for _ in 0..500 {
                let mut broken = stream.clone();
                for _ in 0..2 {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let at = (state >> 8) as usize % broken.len();
                    broken[at] ^= 1 << (state & 7);
                }
                let _ = whole(None, &broken, Colour::Auto);
            }
        }
    }
}
