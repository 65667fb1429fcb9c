use super::*;
use crate::error::ErrorKind;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

const WIDTH: u16 = 45;
const HEIGHT: u16 = 37;

fn pixels(n_components: usize) -> Vec<u8> {
    let mut pixels = vec![];
    for y in 0..usize::from(HEIGHT) {
        for x in 0..usize::from(WIDTH) {
            pixels.extend((0..n_components).map(|band| (30 + x + y * (band + 1) / 2 + 20 * band) as u8));
        }
    }
    pixels
}

fn encode(kind: ColorType, progressive: bool, restart: u16) -> Vec<u8> {
    let n_components = match kind {
        ColorType::Luma => 1,
        ColorType::Rgb => 3,
        _ => 4,
    };
    let mut out = vec![];
    let mut encoder = Encoder::new(&mut out, 95);
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    encoder.set_progressive(progressive);
    if restart != 0 {
        encoder.set_restart_interval(restart);
    }
    encoder.encode(&pixels(n_components), WIDTH, HEIGHT, kind).unwrap();
    out
}

fn decoded(tables: Option<&[u8]>, stream: &[u8], colour: Colour, n_components: usize) -> Result<Vec<u8>> {
    let (width, height) = (u32::from(WIDTH), u32::from(HEIGHT));
    let mut out = vec![0xa5; usize::from(WIDTH) * usize::from(HEIGHT) * n_components];
    decode(&mut Contexts::default(), tables, stream, colour, &mut out, width, height, n_components).map(|()| out)
}

fn farthest(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn what_was_encoded_comes_back_nearly() {
    for progressive in [false, true] {
        for restart in [0, 3] {
            for (kind, n_components) in [(ColorType::Luma, 1), (ColorType::Rgb, 3)] {
                let stream = encode(kind, progressive, restart);
                let got = decoded(None, &stream, Colour::Auto, n_components).unwrap();
                let far = farthest(&got, &pixels(n_components));
                assert!(far <= 8, "{kind:?}, progressive {progressive}, restart {restart}: {far}");
            }
        }
    }
}

#[test]
fn four_components_become_the_same_cmyk_from_either_transform_and_rgb_when_three_are_asked_for() {
    let plain = encode(ColorType::Cmyk, false, 0);
    let transformed = encode(ColorType::CmykAsYcck, false, 0);
    assert_eq!(info(&transformed).unwrap().adobe_transform, Some(2));
    let cmyk = decoded(None, &plain, Colour::Auto, 4).unwrap();
    let far = farthest(&cmyk, &decoded(None, &transformed, Colour::Auto, 4).unwrap());
    assert!(far <= 8, "{far}");
    let rgb = decoded(None, &plain, Colour::Auto, 3).unwrap();
    for (rgb, cmyk) in rgb.chunks(3).zip(cmyk.chunks(4)) {
        for band in 0..3 {
            assert_eq!(u32::from(rgb[band]), u32::from(cmyk[band]) * u32::from(cmyk[3]) / 255);
        }
    }
}

#[test]
fn components_stay_as_stored_when_asked() {
    let stream = encode(ColorType::Rgb, false, 0);
    let stored = decoded(None, &stream, Colour::AsStored, 3).unwrap();
    let rgb: Vec<u8> = stored.as_chunks::<3>().0.iter().flat_map(|pixel| ycc_bytes_to_rgb(*pixel)).collect();
    let far = farthest(&rgb, &decoded(None, &stream, Colour::YcbcrToRgb, 3).unwrap());
    assert!(far <= 2, "{far}");
    assert!(farthest(&stored, &pixels(3)) > 20);
}

#[test]
fn shared_tables_and_an_abbreviated_stream_are_one_stream() {
    let whole = encode(ColorType::Rgb, false, 0);
    let (mut tables, mut stream) = (vec![0xff, SOI], vec![0xff, SOI]);
    let mut end = 0;
    for segment in Segments::new(&whole).unwrap() {
        let part = if matches!(segment.marker, DQT | DHT) { &mut tables } else { &mut stream };
        part.extend_from_slice(&whole[segment.range.clone()]);
        end = segment.range.end;
    }
    stream.extend_from_slice(&whole[end..]);
    tables.extend_from_slice(&[0xff, EOI]);
    let apart = decoded(Some(&tables), &stream, Colour::YcbcrToRgb, 3).unwrap();
    assert_eq!(apart, decoded(None, &whole, Colour::YcbcrToRgb, 3).unwrap());
    assert!(decoded(None, &stream, Colour::YcbcrToRgb, 3).is_err(), "no quantisation tables");
}

#[test]
fn a_stream_that_ends_early_is_an_error_with_and_without_an_end_marker() {
    for progressive in [false, true] {
        for restart in [0, 3] {
            let stream = encode(ColorType::Rgb, progressive, restart);
            // The last bytes may be padding and the end marker.
            for cut in (0..stream.len() - 4).step_by(7) {
                let mut part = stream[..cut].to_vec();
                let case = format!("{cut} of {} bytes, progressive {progressive}, restart {restart}", stream.len());
                assert!(decoded(None, &part, Colour::Auto, 3).is_err(), "{case}");
                if !progressive && restart == 0 {
                    part.extend_from_slice(&[0xff, EOI]);
                    assert!(decoded(None, &part, Colour::Auto, 3).is_err(), "{case}, with a marker");
                }
            }
        }
    }
}

#[test]
fn another_size_than_expected_is_corrupt_before_anything_is_decoded() {
    let stream = encode(ColorType::Luma, false, 0);
    let error = decode(&mut Contexts::default(), None, &stream, Colour::Auto, &mut [0; 64], 8, 8, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.message(), "jpeg frame of 45 x 37 pixels, expected 8 x 8");
    assert_eq!(decoded(None, &stream, Colour::Auto, 3).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn processes_that_are_not_read_are_named() {
    let stream = encode(ColorType::Luma, false, 0);
    let at = stream.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    for (sof, name) in [(3, "lossless jpeg (SOF3)"), (5, "hierarchical jpeg (SOF5)"), (9, "arithmetic jpeg (SOF9)")] {
        let mut other = stream.clone();
        other[at + 1] = 0xc0 + sof;
        let error = info(&other).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Unsupported, name));
    }
    for (sof, bits, name) in
        [(1, 16, "jpeg with 16 bits a sample (SOF1)"), (2, 12, "progressive jpeg with 12 bits a sample (SOF2)")]
    {
        let mut other = stream.clone();
        (other[at + 1], other[at + 4]) = (0xc0 + sof, bits);
        let error = info(&other).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Unsupported, name));
    }
}

#[test]
fn what_decoding_takes_beside_the_pixels_is_known_before() {
    // 45 x 37 pixels are 6 x 5 blocks, and four bytes of inks each.
    let (blocks, inks) = (6 * 5 * 64 * 2, 45 * 37 * 4);
    for (kind, n_stored) in [(ColorType::Luma, 1), (ColorType::Rgb, 3), (ColorType::Cmyk, 4)] {
        for progressive in [false, true] {
            let info = info(&encode(kind, progressive, 0)).unwrap();
            let coefficients = if progressive { n_stored * blocks } else { 0 };
            let bytes = |colour, n| decode_bytes(&info, colour, n);
            let expected = |others| DecodeBytes { samples: 0, others };
            assert_eq!(bytes(Colour::AsStored, n_stored as usize), expected(coefficients));
            let to_rgb = coefficients + if n_stored == 4 { inks } else { 0 };
            assert_eq!(bytes(Colour::Auto, n_stored.min(3) as usize), expected(to_rgb));
        }
    }
    let mut apart = vec![];
    let mut encoder = Encoder::new(&mut apart, 95);
    encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
    encoder.set_optimized_huffman_tables(true);
    encoder.encode(&pixels(3), WIDTH, HEIGHT, ColorType::Rgb).unwrap();
    let bytes = decode_bytes(&info(&apart).unwrap(), Colour::Auto, 3);
    // 3 x 3 MCUs of six blocks.
    assert_eq!(bytes, DecodeBytes { samples: 3 * 3 * 6 * 64 * 2, others: 0 });
}

#[test]
fn random_changes_never_get_out_of_hand() {
    for progressive in [false, true] {
        let stream = encode(ColorType::Rgb, progressive, 0);
        let mut state = 1_u32;
        for _ in 0..300 {
            let mut broken = stream.clone();
            for _ in 0..2 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (state >> 8) as usize % broken.len();
                broken[at] ^= 1 << (state & 7);
            }
            let _ = decoded(None, &broken, Colour::Auto, 3);
        }
    }
}
