//! Tiles of small rasters in memory.

use crate::error::ErrorKind;
use crate::sample::SampleType;
use crate::source::ColorInterpretation;
use crate::sync::Arc;
use crate::{Dataset, Edge, Encoding, MemorySource, OpenOptions, TileRequest};

fn dataset(sample: SampleType, n_bands: u32, value: impl Fn(usize) -> Vec<u8>) -> Dataset {
    let pixels = (0..300 * 200 * n_bands as usize).flat_map(value).collect();
    let source = MemorySource::new(300, 200, n_bands, sample, (64, 64), pixels).unwrap();
    Dataset::from_source(source, &OpenOptions::default()).unwrap()
}

fn decode_png(file: &[u8]) -> (Vec<u8>, png::OutputInfo) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    pixels.truncate(info.buffer_size());
    (pixels, info)
}

#[test]
fn edge_tiles_are_cropped_or_padded() {
    let dataset = dataset(SampleType::U8, 1, |i| vec![(i % 300) as u8 | 1]);
    let cropped = dataset.read_tile(&TileRequest::new(0, 1, 0)).unwrap();
    assert_eq!((cropped.width, cropped.height, cropped.bytes.len()), (44, 200, 44 * 200));
    let padded = dataset.read_tile(&TileRequest::new(0, 1, 0).edge(Edge::Pad)).unwrap();
    assert_eq!((padded.width, padded.height, padded.bytes.len()), (256, 256, 256 * 256));
    for (y, row) in padded.bytes.chunks(256).enumerate() {
        let valid = if y < 200 { &cropped.bytes[y * 44..][..44] } else { &[][..] };
        assert_eq!(&row[..valid.len()], valid);
        assert!(row[valid.len()..].iter().all(|s| *s == 0));
    }
    let outside = dataset.read_tile(&TileRequest::new(0, 2, 0)).unwrap_err();
    assert_eq!(outside.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn png_holds_the_pixels_of_the_raw_tile() {
    for (sample, n_bands) in [(SampleType::U8, 1), (SampleType::U8, 3), (SampleType::U16, 1), (SampleType::U16, 3)] {
        let dataset = dataset(sample, n_bands, |i| (i as u16).to_ne_bytes()[..sample.bytes()].to_vec());
        let request = TileRequest::new(0, 0, 0).size(128, 100);
        let raw = dataset.read_tile(&request).unwrap();
        let file = dataset.read_tile(&request.encoding(Encoding::Png)).unwrap();
        let (mut pixels, info) = decode_png(&file.bytes);
        if sample == SampleType::U16 && cfg!(target_endian = "little") {
            pixels.chunks_exact_mut(2).for_each(<[u8]>::reverse);
        }
        assert_eq!((info.width, info.height), (128, 100));
        assert_eq!(pixels, raw.bytes);
    }
}

#[test]
fn a_range_makes_eight_bits_of_anything() {
    let dataset = dataset(SampleType::F32, 1, |i| ((i % 300) as f32 - 10.0).to_ne_bytes().to_vec());
    let request = TileRequest::new(0, 0, 0).size(300, 1);
    assert!(dataset.read_tile(&request.clone().encoding(Encoding::Png)).is_err());
    let tile = dataset.read_tile(&request.clone().range(0.0, 255.0)).unwrap();
    assert_eq!(
        (tile.sample, tile.bytes[5], tile.bytes[10], tile.bytes[110], tile.bytes[299]),
        (SampleType::U8, 0, 0, 100, 255)
    );
    let inverted = dataset.read_tile(&request.clone().range(255.0, 0.0)).unwrap();
    assert_eq!(inverted.bytes[110], 155);
    for (low, high) in [(1.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
        assert!(dataset.read_tile(&request.clone().range(low, high)).is_err());
    }
}

#[test]
fn jpeg_is_close_to_the_raw_tile() {
    let dataset = dataset(SampleType::U8, 3, |i| vec![(i / 900) as u8]);
    let request = TileRequest::new(0, 0, 0).size(160, 96);
    let raw = dataset.read_tile(&request).unwrap();
    let file = dataset.read_tile(&request.clone().encoding(Encoding::jpeg(90))).unwrap();
    let decoded = crate::source::open_reader(Arc::new(file.bytes.to_vec()), crate::Limits::default()).unwrap();
    let decoded = Dataset::from_source(decoded, &OpenOptions::default()).unwrap();
    let back = decoded.read_tile(&request).unwrap();
    assert!(raw.bytes.iter().zip(&back.bytes).all(|(a, b)| a.abs_diff(*b) <= 4));
    assert!(dataset.read_tile(&request.encoding(Encoding::jpeg(0))).is_err());
}

#[test]
fn palettes_stay_palettes_in_png_and_are_expanded_for_jpeg() {
    let mut source = MemorySource::new(4, 1, 1, SampleType::U8, (4, 1), vec![0, 1, 2, 9]).unwrap();
    source.info_mut().colors = vec![ColorInterpretation::Palette];
    source.info_mut().color_table = Some(vec![[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 0]]);
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    let file = dataset.read_tile(&TileRequest::new(0, 0, 0).encoding(Encoding::Png)).unwrap();
    let (pixels, info) = decode_png(&file.bytes);
    assert_eq!((pixels, info.color_type), (vec![0, 1, 2, 9], png::ColorType::Indexed));
    let file = dataset.read_tile(&TileRequest::new(0, 0, 0).encoding(Encoding::jpeg(90))).unwrap();
    assert!(file.bytes.starts_with(&[0xFF, 0xD8]));
}

#[test]
fn samples_of_few_bits_are_shown_by_what_they_can_hold() {
    let mut source = MemorySource::new(4, 1, 1, SampleType::U8, (4, 1), vec![0, 1, 2, 3]).unwrap();
    source.info_mut().n_bits = Some(2);
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    let request = TileRequest::new(0, 0, 0);
    assert_eq!(dataset.read_tile(&request).unwrap().bytes, [0, 1, 2, 3]);
    let file = dataset.read_tile(&request.encoding(Encoding::Png)).unwrap();
    assert_eq!(decode_png(&file.bytes).0, [0, 85, 170, 255]);
}

#[test]
fn padding_is_nodata_and_transparent() {
    let mut source = MemorySource::new(1, 1, 2, SampleType::U8, (1, 1), vec![7, 255]).unwrap();
    source.info_mut().nodata = Some(crate::Nodata::Float(9.0));
    source.info_mut().colors = vec![ColorInterpretation::Gray, ColorInterpretation::Alpha];
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    let request = TileRequest::new(0, 0, 0).size(2, 1).edge(Edge::Pad);
    assert_eq!(dataset.read_tile(&request).unwrap().bytes, [7, 255, 9, 0]);
    assert_eq!(dataset.read_tile(&request.bands([1])).unwrap().bytes, [255, 0]);
}

#[test]
fn bands_one_after_the_other_are_those_of_the_interleaved_tile() {
    let dataset = dataset(SampleType::U16, 3, |i| (i as u16).to_ne_bytes().to_vec());
    let request = TileRequest::new(0, 1, 0).bands([2, 0]).edge(Edge::Pad);
    let by_pixel = dataset.read_tile(&request).unwrap();
    let by_band = dataset.read_tile(&request.encoding(Encoding::RawBands)).unwrap();
    assert_eq!(by_band.bytes.len(), by_pixel.bytes.len());
    for (i, pixel) in by_pixel.bytes.chunks(4).enumerate() {
        assert_eq!(by_band.bytes[2 * i..][..2], pixel[..2]);
        assert_eq!(by_band.bytes[2 * (256 * 256 + i)..][..2], pixel[2..]);
    }
}

#[test]
fn webp_holds_the_pixels_of_the_raw_tile() {
    let dataset = dataset(SampleType::U8, 4, |i| vec![(i / 4 * (i % 4 + 1)) as u8]);
    let request = TileRequest::new(0, 0, 0).size(100, 80);
    let raw = dataset.read_tile(&request).unwrap();
    let request = request.bands([0, 1, 2, 3]);
    let file = dataset.read_tile(&request.clone().encoding(Encoding::WebPLossless)).unwrap();
    let mut pixels = vec![0; raw.bytes.len()];
    crate::codec::webp::decode(&file.bytes, 100, 4, &mut pixels).unwrap();
    assert!(pixels == raw.bytes);
    let lossy = dataset.read_tile(&request.encoding(Encoding::webp(40)));
    match cfg!(feature = "libwebp") {
        true => assert_eq!(lossy.unwrap().bytes[8..16], *b"WEBPVP8X"),
        false => assert_eq!(lossy.unwrap_err().kind(), ErrorKind::Unsupported),
    }
}

#[test]
fn wide_samples_need_a_range_where_a_file_has_eight_bits() {
    let dataset = dataset(SampleType::U16, 1, |i| (i as u16).to_ne_bytes().to_vec());
    for encoding in [Encoding::jpeg(80), Encoding::WebPLossless] {
        let request = TileRequest::new(0, 0, 0).encoding(encoding);
        let error = dataset.read_tile(&request).unwrap_err();
        assert!(error.message().contains("u16"), "{error}");
        assert_eq!(dataset.read_tile(&request.range(0.0, 60_000.0)).unwrap().sample, SampleType::U8);
    }
    assert!(dataset.read_tile(&TileRequest::new(0, 0, 0).encoding(Encoding::PngSmall)).is_ok());
}

#[test]
fn a_tile_that_no_memory_can_hold_is_refused() {
    let source = MemorySource::new(1, 1, 60_000, SampleType::F64, (1, 1), vec![0; 480_000]).unwrap();
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    let request = TileRequest::new(0, 0, 0).size(16_384, 16_384).edge(Edge::Pad);
    assert_eq!(dataset.read_tile(&request).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[test]
fn four_bands_that_are_no_picture_need_to_be_chosen_from() {
    let dataset = dataset(SampleType::U8, 5, |i| vec![i as u8]);
    let request = TileRequest::new(0, 0, 0).encoding(Encoding::Png);
    assert_eq!(dataset.read_tile(&request).unwrap().n_bands, 3);
    assert_eq!(dataset.read_tile(&request.clone().bands([4])).unwrap().n_bands, 1);
    assert!(dataset.read_tile(&request.clone().bands([0, 1, 2, 3, 4])).is_err());
    assert!(dataset.read_tile(&request.bands([5])).is_err());
}

#[test]
fn bands_that_there_are_not_are_refused_whatever_the_edge() {
    let mut source = MemorySource::new(1, 1, 2, SampleType::U8, (1, 1), vec![7, 255]).unwrap();
    source.info_mut().nodata = Some(crate::Nodata::Float(9.0));
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    let request = TileRequest::new(0, 0, 0).size(2, 1);
    for edge in [Edge::Crop, Edge::Pad] {
        for (bands, words) in [(&[][..], "no bands"), (&[0, 2], "band 2"), (&[u32::MAX], "band 4294967295")] {
            let error = dataset.read_tile(&request.clone().edge(edge).bands(bands)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.message().contains(words), "{error}");
        }
    }
}

#[test]
fn outside_the_raster_there_is_the_nodata_of_each_band() {
    let mut source = MemorySource::new(1, 1, 3, SampleType::U8, (1, 1), vec![7, 8, 10]).unwrap();
    let band = |nodata: f64| crate::BandInfo { nodata: Some(crate::Nodata::Float(nodata)), ..Default::default() };
    let info = source.info_mut();
    (info.nodata, info.bands) =
        (Some(crate::Nodata::Float(9.0)), vec![band(5.0), crate::BandInfo::default(), band(6.0)]);
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    let tile = dataset.read_tile(&TileRequest::new(0, 0, 0).size(2, 1).edge(Edge::Pad).bands([2, 1, 0, 2])).unwrap();
    assert_eq!(tile.bytes[..], [10, 8, 7, 10, 6, 9, 5, 6]);
}
