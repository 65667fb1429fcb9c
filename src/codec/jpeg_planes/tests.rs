use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::*;
use crate::codec::Contexts;
use crate::codec::jpeg::{self, Colour, info};
use crate::error::ErrorKind;

const WIDTH: u16 = 83;
const HEIGHT: u16 = 61;

/// Without hard edges: what rings beyond black and white is cut off before pixels are averaged, and not before they are
/// reduced.
fn picture(n: usize) -> Vec<u8> {
    let wave = |at: usize, length: f64| (at as f64 / length).sin();
    let value = |x: usize, y: usize, band: usize| {
        120.0 + 40.0 * wave(x + 9 * band, 6.0) + 40.0 * wave(y, 4.0) + 10.0 * wave(x * y, 3.0) + 8.0 * band as f64
    };
    (0..usize::from(WIDTH) * usize::from(HEIGHT) * n)
        .map(|i| value(i / n % usize::from(WIDTH), i / n / usize::from(WIDTH), i % n) as u8)
        .collect()
}

fn stream(kind: ColorType, change: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let n = match kind {
        ColorType::Luma => 1,
        ColorType::Rgb => 3,
        _ => 4,
    };
    let mut out = vec![];
    let mut encoder = Encoder::new(&mut out, 90);
    change(&mut encoder);
    encoder.encode(&picture(n), WIDTH, HEIGHT, kind).unwrap();
    out
}

fn here(stream: &[u8], colour: Colour, n_bands: usize) -> Result<Vec<u8>> {
    let info = info(stream)?;
    let mut out = vec![0xa5; info.width as usize * info.height as usize * n_bands];
    decode(&info, None, stream, colour, n_bands, &mut vec![7; 100], &mut out).map(|()| out)
}

/// What the decoder of whole streams makes of it.
fn there(stream: &[u8], colour: Colour, n_bands: usize) -> Result<Vec<u8>> {
    let (width, height) = (u32::from(WIDTH), u32::from(HEIGHT));
    let mut out = vec![0xa5; usize::from(WIDTH) * usize::from(HEIGHT) * n_bands];
    jpeg::decode(&mut Contexts::default(), None, stream, colour, &mut out, width, height, n_bands).map(|()| out)
}

/// The largest difference, leaving out the last columns and rows, where the other one goes on into the padding.
fn farthest(a: &[u8], b: &[u8], n_bands: usize, edge: usize) -> u8 {
    assert_eq!(a.len(), b.len());
    let is_inside = |at: usize| {
        let (x, y) = (at / n_bands % usize::from(WIDTH), at / n_bands / usize::from(WIDTH));
        x + edge < usize::from(WIDTH) && y + edge < usize::from(HEIGHT)
    };
    let both = a.iter().zip(b).enumerate().filter(|(at, _)| is_inside(*at));
    both.map(|(_, (a, b))| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn two_decoders_are_a_step_apart_at_most() {
    use SamplingFactor as F;
    for factor in [F::R_4_4_4, F::R_4_2_2, F::R_4_4_0, F::R_4_2_0] {
        for restart in [0, 1, 5] {
            let stream = stream(ColorType::Rgb, |encoder| {
                encoder.set_sampling_factor(factor);
                if restart > 0 {
                    encoder.set_restart_interval(restart);
                }
            });
            let what = format!("{factor:?}, restart {restart}");
            let edge = usize::from(factor != F::R_4_4_4);
            for (colour, most) in [(Colour::AsStored, 1), (Colour::Auto, 3)] {
                let (ours, theirs) = (here(&stream, colour, 3).unwrap(), there(&stream, colour, 3).unwrap());
                let far = farthest(&ours, &theirs, 3, edge);
                assert!(far <= most, "{what}, {colour:?}: {far}");
            }
        }
    }
    for (kind, n) in [(ColorType::Luma, 1), (ColorType::Cmyk, 4), (ColorType::CmykAsYcck, 4)] {
        let stream = stream(kind, |encoder| encoder.set_sampling_factor(F::R_4_4_4));
        for n_bands in [n, n.min(3)] {
            let (ours, theirs) =
                (here(&stream, Colour::Auto, n_bands).unwrap(), there(&stream, Colour::Auto, n_bands).unwrap());
            let far = farthest(&ours, &theirs, n_bands, 0);
            assert!(far <= 3, "{kind:?} as {n_bands} bands: {far}");
        }
    }
}

#[test]
fn components_in_scans_of_their_own_are_the_same_picture() {
    use SamplingFactor as F;
    for factor in [F::R_4_4_4, F::R_4_2_2, F::R_4_4_0, F::R_4_2_0, F::R_4_1_1] {
        // The encoder puts components apart where it makes their tables.
        let [together, apart] = [false, true].map(|optimized| {
            stream(ColorType::Rgb, |encoder| {
                encoder.set_sampling_factor(factor);
                encoder.set_optimized_huffman_tables(optimized);
            })
        });
        assert_eq!(info(&apart).unwrap().scan_components, 1);
        assert!(here(&together, Colour::Auto, 3).unwrap() == here(&apart, Colour::Auto, 3).unwrap(), "{factor:?}");
        let far = farthest(&there(&apart, Colour::Auto, 3).unwrap(), &picture(3), 3, 0);
        // Four pixels share their chroma.
        assert!(far <= if factor == F::R_4_1_1 { 45 } else { 20 }, "{factor:?}: {far}");
    }
}

#[test]
fn a_stream_that_ends_early_is_an_error() {
    for (restart, optimized) in [(0, false), (3, false), (0, true)] {
        let stream = stream(ColorType::Rgb, |encoder| {
            encoder.set_optimized_huffman_tables(optimized);
            if restart > 0 {
                encoder.set_restart_interval(restart);
            }
        });
        assert!(here(&stream, Colour::Auto, 3).is_ok());
        for cut in (0..stream.len() - 4).step_by(7) {
            for end in [&[][..], &[0xff, 0xd9]] {
                let error = here(&[&stream[..cut], end].concat(), Colour::Auto, 3).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{cut} of {} bytes: {error}", stream.len());
            }
        }
    }
}

#[test]
fn a_stream_too_short_for_its_blocks_is_refused_before_there_is_memory_for_them() {
    use SamplingFactor as F;
    for optimized in [false, true] {
        let mut stream = stream(ColorType::Rgb, |encoder| {
            encoder.set_sampling_factor(F::R_4_2_0);
            encoder.set_optimized_huffman_tables(optimized);
        });
        let frame = stream.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        // So many MCUs that the bytes have room for five of their six blocks.
        let side = (stream.len() as f64 * 4.0 / 5.0).sqrt() as u16;
        let (width, height) = (side * 16, side * 16);
        stream[frame + 5..frame + 9].copy_from_slice(&[height.to_be_bytes(), width.to_be_bytes()].concat());
        let info = info(&stream).unwrap();
        let mut samples = vec![];
        let mut out = vec![0; usize::from(width) * usize::from(height) * 3];
        let error = decode(&info, None, &stream, Colour::Auto, 3, &mut samples, &mut out).unwrap_err();
        let n_blocks = 6 * u64::from(side) * u64::from(side);
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.message().contains(&format!("{n_blocks} blocks")), "{error}");
        assert_eq!(samples.capacity(), 0);
    }
}

#[test]
fn random_changes_never_get_out_of_hand() {
    let mut state = 1_u32;
    for optimized in [false, true] {
        let stream = stream(ColorType::Rgb, |encoder| encoder.set_optimized_huffman_tables(optimized));
        for _ in 0..1000 {
            let mut broken = stream.clone();
            for _ in 0..2 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (state >> 8) as usize % broken.len();
                broken[at] ^= 1 << (state & 7);
            }
            if info(&broken).is_ok_and(|info| info.width < 500 && info.height < 500) {
                let _ = here(&broken, Colour::Auto, 3);
            }
        }
    }
}

/// Those of the whole picture reduced to `1 / 2^reduction`, by the codes of its only scan.
fn reduced(stream: &[u8], colour: Colour, reduction: u32, n_bands: usize) -> Vec<u8> {
    use crate::codec::jpeg_entropy::{Coding, Place, Scanner};
    use crate::codec::jpeg_scan::SOS;
    let info = info(stream).unwrap();
    let (coding, frame) = (Coding::of(stream, &info).unwrap(), Frame::of(stream, &info, colour).unwrap());
    let data = Segments::new(stream).unwrap().find(|segment| segment.marker == SOS).unwrap().range.end;
    let mut samples = vec![];
    let mut planes = frame.planes(reduction, 0..coding.mcus_across, 0..coding.mcus_down, &mut samples).unwrap();
    planes.begin_scan(coding.components());
    let mut scanner = Scanner::new(&coding, sequential::Rest(&stream[data..]), 0, &Place::start(0));
    for mcu in 0..coding.n_mcus() as u32 {
        planes.begin_mcu(mcu % coding.mcus_across, mcu / coding.mcus_across);
        scanner.visit(&mut planes).unwrap();
    }
    let (width, height) = frame.size(reduction);
    let mut out = vec![0xa5; width as usize * height as usize * n_bands];
    planes.present(&crate::grid::Window::new(0, 0, width.into(), height.into()), n_bands, &mut out).unwrap();
    out
}

#[test]
fn a_reduced_picture_is_the_mean_of_the_pixels_of_the_whole_one() {
    use SamplingFactor as F;
    let (width, height) = (usize::from(WIDTH), usize::from(HEIGHT));
    let kinds = [(ColorType::Luma, 1, 2), (ColorType::Rgb, 3, 5), (ColorType::Cmyk, 4, 2)];
    for (kind, n, most) in kinds {
        for factor in [F::R_4_4_4, F::R_4_2_2, F::R_4_4_0, F::R_4_2_0] {
            // Inks that pixels share are interpolated at full size, and that is another picture where they are steep.
            if n == 4 && factor != F::R_4_4_4 {
                continue;
            }
            let stream = stream(kind, |encoder| encoder.set_sampling_factor(factor));
            let whole = here(&stream, Colour::Auto, n).unwrap();
            for reduction in 0..4 {
                let side = 1 << reduction;
                let ours = reduced(&stream, Colour::Auto, reduction, n);
                let across = width.div_ceil(side);
                for (at, sample) in ours.iter().enumerate() {
                    let (x, y) = (at / n % across * side, at / n / across * side);
                    let (right, bottom) = ((x + side).min(width), (y + side).min(height));
                    let box_of = (y..bottom).flat_map(|y| (x..right).map(move |x| (x, y)));
                    let sum: usize = box_of.map(|(x, y)| usize::from(whole[(y * width + x) * n + at % n])).sum();
                    let n_pixels = (right - x) * (bottom - y);
                    let mean = (sum + n_pixels / 2) / n_pixels;
                    let far = mean.abs_diff(usize::from(*sample));
                    assert!(far <= most, "{kind:?}, {factor:?}, 1/{side}, ({x}, {y}): {sample} for {mean}");
                }
            }
        }
    }
}
