//! Whole files: what decoders make of them, and what another encoder makes of the same pixels.

use std::process::Command;

use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};
use proptest::prelude::*;

use super::*;
use crate::codec::Contexts;
use crate::codec::jpeg::{Colour, decode, info};
use crate::error::ErrorKind;
use crate::sample::SampleType;

const CHROMAS: [Chroma; 2] = [Chroma::Halved, Chroma::Full];

/// Numbers that look random; the same for the same seed.
pub(super) fn noise(seed: u32) -> impl FnMut() -> u32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    }
}

fn picture<'a>(color: Color<'a>, (width, height): (u32, u32), pixels: &'a [u8]) -> Picture<'a> {
    Picture { width, height, n_bands: color.n_bands() as u32, sample: SampleType::U8, color, pixels }
}

/// Hills with an edge across them and some grain: what photographs are made of.
fn photo((width, height): (u32, u32), n_bands: usize, grain: u32) -> Vec<u8> {
    let mut next = noise(width * 77 + height);
    let value = |x: u32, y: u32, band: usize| {
        let (x, y, band) = (f64::from(x), f64::from(y), band as f64);
        let hills = 60.0 * (x / (23.0 + 9.0 * band)).sin() * (y / 31.0 - band).cos();
        118.0 + hills + if 2.0 * x + 20.0 * (y / 17.0).sin() > y + 60.0 { 40.0 - 25.0 * band } else { 0.0 }
    };
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    pixels
        .flat_map(|(x, y)| (0..n_bands).map(move |band| value(x, y, band)))
        .map(|value| (value + f64::from(next() % (grain + 1))).clamp(0.0, 255.0) as u8)
        .collect()
}

fn decoded(file: &[u8], (width, height): (u32, u32), n_components: usize) -> Vec<u8> {
    let mut out = vec![0; width as usize * height as usize * n_components];
    decode(&mut Contexts::default(), None, file, Colour::Auto, &mut out, width, height, n_components).unwrap();
    out
}

fn worst(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let squares: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / squares.max(1) as f64).log10()
}

#[test]
fn pixels_share_their_colours_as_asked_for() {
    let samples: Vec<u8> = (0..800).map(|i| (i * 7) as u8).collect();
    const COLORS: &[[u8; 4]] = &[[9, 8, 7, 255]];
    for (color, n_components) in
        [(Color::Gray, 1), (Color::GrayAlpha, 1), (Color::Palette(COLORS), 3), (Color::Rgb, 3), (Color::Rgba, 3)]
    {
        for (chroma, luma) in [(Chroma::Halved, (2, 2)), (Chroma::Full, (1, 1))] {
            let file = encode(&picture(color, (20, 10), &samples[..200 * color.n_bands()]), 80, chroma).unwrap();
            let info = info(&file).unwrap();
            assert_eq!((info.width, info.height, info.components), (20, 10, n_components), "{color:?}");
            assert!(info.jfif);
            if n_components == 3 {
                assert_eq!(info.sampling[..3], [luma, (1, 1), (1, 1)], "{color:?}");
            }
        }
    }
}

#[test]
fn what_is_left_out_and_what_is_looked_up_changes_no_byte() {
    let size = (45, 38);
    let n_pixels = 45 * 38;
    let mut next = noise(5);
    let colors: Vec<[u8; 4]> = (0..200).map(|_| next().to_le_bytes()).collect();
    let indices: Vec<u8> = (0..n_pixels).map(|i| if i % 3 == 0 { next() as u8 } else { (i / 45) as u8 }).collect();
    let rgba: Vec<u8> = indices.iter().flat_map(|index| color_of(&colors, *index)).collect();
    let rgb: Vec<u8> = rgba.chunks(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    let gray_alpha: Vec<u8> = indices.iter().flat_map(|gray| [*gray, next() as u8]).collect();
    for chroma in CHROMAS {
        let file = |color, pixels: &[u8]| encode(&picture(color, size, pixels), 83, chroma).unwrap();
        assert!(file(Color::Rgba, &rgba) == file(Color::Rgb, &rgb));
        assert!(file(Color::Palette(&colors), &indices) == file(Color::Rgb, &rgb));
        assert!(file(Color::GrayAlpha, &gray_alpha) == file(Color::Gray, &indices));
    }
}

#[test]
fn every_size_is_decoded_close_to_its_pixels() {
    const COLORS: &[[u8; 4]] = &[[200, 40, 90, 255], [60, 170, 20, 9]];
    for (width, height) in (1..=40).flat_map(|width| (1..=40).map(move |height| (width, height))) {
        let all = [Color::Rgb, Color::Gray, Color::Rgba, Color::GrayAlpha, Color::Palette(COLORS)];
        // Every size in one colour, all colours along the edges of MCUs.
        let n_colors = if width % 8 < 2 && height % 8 < 2 { all.len() } else { 1 };
        for color in &all[..n_colors] {
            let n_bands = color.n_bands();
            // Slopes, so that a row or column that is amiss is far off; another value in each band.
            let value =
                |i: usize, band: usize| (10 + i as u32 % width * 2 + i as u32 / width * 2) as u8 + 20 * band as u8;
            let mut pixels: Vec<u8> =
                (0..(width * height) as usize * n_bands).map(|i| value(i / n_bands, i % n_bands)).collect();
            if let Color::Palette(_) = color {
                pixels.fill((width % 2) as u8);
            }
            let (n_components, expected): (_, Vec<u8>) = match *color {
                Color::Gray | Color::GrayAlpha => (1, pixels.iter().step_by(n_bands).copied().collect()),
                Color::Palette(colors) => {
                    (3, pixels.iter().flat_map(|i| colors[usize::from(*i)][..3].to_vec()).collect())
                }
                _ => (3, pixels.chunks(n_bands).flat_map(|pixel| pixel[..3].to_vec()).collect()),
            };
            for chroma in CHROMAS {
                let file = encode(&picture(*color, (width, height), &pixels), 100, chroma).unwrap();
                let far = worst(&decoded(&file, (width, height), n_components), &expected);
                assert!(far <= 3, "{color:?} {width}x{height} {chroma:?}: {far}");
            }
        }
    }
}

/// The same by another encoder, whose table, codes and way of sharing chroma are these.
fn by_another(size: (u32, u32), color: ColorType, pixels: &[u8], quality: u8, chroma: Chroma) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, quality);
    encoder.set_sampling_factor(match chroma {
        Chroma::Halved => SamplingFactor::R_4_2_0,
        Chroma::Full => SamplingFactor::R_4_4_4,
    });
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    encoder.encode(pixels, size.0 as u16, size.1 as u16, color).unwrap();
    file
}

#[test]
fn files_of_every_quality_are_as_good_and_as_small_as_others() {
    let size = (200, 121);
    for (color, theirs, n_bands) in [(Color::Rgb, ColorType::Rgb, 3), (Color::Gray, ColorType::Luma, 1)] {
        let pixels = photo(size, n_bands, 12);
        let mut before = 0.0;
        for quality in 1..=100 {
            for chroma in if n_bands == 3 { &CHROMAS[..] } else { &CHROMAS[..1] } {
                let ours = encode(&picture(color, size, &pixels), quality, *chroma).unwrap();
                let theirs = by_another(size, theirs, &pixels, quality, *chroma);
                assert!(ours.len() as f64 <= 1.02 * theirs.len() as f64, "{} and {} bytes", ours.len(), theirs.len());
                let [ours, theirs] = [ours, theirs].map(|file| psnr(&decoded(&file, size, n_bands), &pixels));
                let what = format!("{color:?} {quality} {chroma:?}: {ours} and {theirs} dB");
                assert!(ours >= theirs - 0.05, "{what}");
                if *chroma == CHROMAS[0] {
                    assert!(ours >= before - 0.6, "{what}, {before} before");
                    before = ours;
                }
            }
        }
        assert!(before > 38.0, "{color:?}: {before} dB at most");
    }
}

#[test]
fn the_hardest_pixels_are_coded_too() {
    let size = (64, 48);
    let mut next = noise(9);
    // Black and white at random have the largest coefficients and the most of them, none of them 0.
    let pixels: Vec<u8> = (0..64 * 48 * 3).map(|_| if next() & 64 == 0 { 0 } else { 255 }).collect();
    for (chroma, least) in [(Chroma::Halved, 4.0), (Chroma::Full, 35.0)] {
        let file = encode(&picture(Color::Rgb, size, &pixels), 100, chroma).unwrap();
        let quality = psnr(&decoded(&file, size, 3), &pixels);
        assert!(quality > least, "{chroma:?}: {quality} dB");
    }
    // The largest difference of means, back and forth.
    let squares: Vec<u8> = (0..64 * 48).map(|i| if (i % 64 / 8 + i / 64 / 8) % 2 == 0 { 0 } else { 255 }).collect();
    let file = encode(&picture(Color::Gray, size, &squares), 100, Chroma::Full).unwrap();
    assert!(decoded(&file, size, 1) == squares);
}

#[test]
fn sides_that_the_format_has_no_room_for_are_refused() {
    let pixels = vec![7; 65_536];
    for (width, height) in [(65_536, 1), (1, 65_536), (0, 5), (5, 0), (0, 0), (u32::MAX, u32::MAX)] {
        let len = (u64::from(width) * u64::from(height)).min(65_536) as usize;
        let error = encode(&picture(Color::Gray, (width, height), &pixels[..len]), 80, Chroma::Full).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains(&format!("{width}x{height}")), "{error}");
    }
    for size in [(65_535, 1), (1, 65_535)] {
        let file = encode(&picture(Color::Gray, size, &pixels[1..]), 80, Chroma::Full).unwrap();
        assert!(worst(&decoded(&file, size, 1), &pixels[1..]) <= 1, "{size:?}");
    }
    let short = encode(&picture(Color::Rgb, (10, 10), &pixels[..299]), 80, Chroma::Full).unwrap_err();
    assert_eq!(short.kind(), ErrorKind::Internal);
}

proptest! {
    #[test]
    fn vectors_make_the_same_files_as_plain_code(
        (width, height) in (1_u32..70, 1_u32..40),
        quality in 1_u8..=100,
        kind in 0_usize..5,
        grain in 0_u32..256,
        is_halved: bool,
    ) {
        let colors: Vec<[u8; 4]> = (0..=255).map(|i| [i, 255 - i, i / 3, i]).collect();
        let all = [Color::Rgb, Color::Gray, Color::Rgba, Color::GrayAlpha, Color::Palette(&colors)];
        let pixels = photo((width, height), all[kind].n_bands(), grain);
        let picture = picture(all[kind], (width, height), &pixels);
        let chroma = CHROMAS[usize::from(!is_halved)];
        let plain = encode_with(None, &picture, quality, chroma).unwrap();
        prop_assert!(encode(&picture, quality, chroma).unwrap() == plain);
    }
}

#[test]
fn libjpeg_reads_the_files_without_a_warning_and_sees_the_same_pixels() {
    let size = (203, 117);
    let folder = tempfile::tempdir().unwrap();
    let (file, raw) = (folder.path().join("made.jpg"), folder.path().join("made.raw"));
    for (color, n_bands, quality, chroma) in [
        (Color::Rgb, 3, 75, Chroma::Full),
        (Color::Rgb, 3, 100, Chroma::Full),
        (Color::Rgb, 3, 30, Chroma::Halved),
        (Color::Gray, 1, 90, Chroma::Full),
    ] {
        let pixels = photo(size, n_bands, 20);
        let bytes = encode(&picture(color, size, &pixels), quality, chroma).unwrap();
        std::fs::write(&file, &bytes).unwrap();
        let options = ["-of", "ENVI", "-co", "INTERLEAVE=BIP"];
        let made = match Command::new("gdal_translate").args(options).args([&file, &raw]).output() {
            Ok(made) => made,
            Err(e) => {
                assert!(std::env::var_os("TILEKEEP_REQUIRE_PEERS").is_none(), "no gdal_translate: {e}");
                eprintln!("SKIPPED: no gdal_translate: {e}");
                return;
            }
        };
        let words = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success() && !words.contains("Warning") && !words.contains("ERROR"), "{words}");
        let theirs = std::fs::read(&raw).unwrap();
        let (there, here) = (psnr(&theirs, &pixels), psnr(&decoded(&bytes, size, n_bands), &pixels));
        assert!((there - here).abs() < 0.3, "{color:?} {quality} {chroma:?}: {there} dB, {here} dB of our decoder");
    }
}
