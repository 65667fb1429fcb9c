//! PNG and JPEG files that are cut off or damaged: an error in words or pixels, in bounded time and memory.

mod common;

use std::fs;

use common::{data_dir, real_files};
use deep_jpeg::DeepJpeg;
use goods::{Good, interlaced_png, jpeg_file, mend_png, png_file};
use torture::torture_format;

#[path = "common/deep_jpeg.rs"]
mod deep_jpeg;
#[path = "common/goods.rs"]
mod goods;
#[path = "common/torture.rs"]
mod torture;

#[test]
fn broken_pngs_do_no_harm() {
    use png::{BitDepth as D, ColorType as C};
    let all: [(C, &[D]); 5] = [
        (C::Grayscale, &[D::One, D::Two, D::Four, D::Eight, D::Sixteen]),
        (C::Indexed, &[D::One, D::Two, D::Four, D::Eight]),
        (C::GrayscaleAlpha, &[D::Eight, D::Sixteen]),
        (C::Rgb, &[D::Eight, D::Sixteen]),
        (C::Rgba, &[D::Eight, D::Sixteen]),
    ];
    let goods: Vec<_> =
        all.into_iter().flat_map(|(color, depths)| depths.iter().map(move |d| png_file(color, *d))).collect();
    torture_format(&goods);
}

#[test]
fn broken_interlaced_pngs_do_no_harm() {
    let mut goods = vec![interlaced_png(png::ColorType::Grayscale), interlaced_png(png::ColorType::Rgba)];
    for real in data_dir().map(|dir| real_files(&dir)).unwrap_or_default() {
        let bytes = fs::read(&real.path).unwrap();
        let is_interlaced = bytes.starts_with(b"\x89PNG") && bytes.get(28) == Some(&1);
        if is_interlaced && real.expect == "exact" && bytes.len() < 1000 {
            goods.push(Good { name: real.name, bytes, mend: mend_png });
        }
    }
    torture_format(&goods);
}

#[test]
fn broken_jpegs_do_no_harm() {
    use jpeg_encoder::SamplingFactor;
    torture_format(&[
        jpeg_file("grey", 1, |_| {}),
        jpeg_file("colour", 3, |e| e.set_sampling_factor(SamplingFactor::R_4_2_0)),
        jpeg_file("progressive", 3, |e| e.set_progressive(true)),
        jpeg_file("restarts", 3, |e| e.set_restart_interval(3)),
        jpeg_file("inks", 4, |_| {}),
    ]);
}

#[test]
fn broken_jpegs_of_12_bits_of_unusual_factors_and_with_levels_do_no_harm() {
    let deep = |name: &str, picture: &DeepJpeg| {
        let bytes = picture.encode(|component, x, y| (900 + 20 * x + 10 * y + 400 * component) as u16);
        Good { name: format!("jpeg of 12 bits, {name}"), bytes, mend: |_| {} }
    };
    let eight = |name: &str, factors: &[(u8, u8)]| {
        let picture =
            DeepJpeg { bits: 8, factors: factors.to_vec(), restart: 2, ..DeepJpeg::new(50, 40, factors.len()) };
        let bytes = picture.encode(|component, x, y| (60 + 2 * x + y + 10 * component) as u16);
        Good { name: format!("jpeg of 8 bits, {name}"), bytes, mend: |_| {} }
    };
    let shared = vec![(2, 2), (1, 1), (1, 1)];
    let pixels: Vec<u8> = (0..300 * 270).map(|at| (60 + at % 300 / 3 + at / 300 / 4) as u8).collect();
    let mut with_levels = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut with_levels, 70);
    encoder.set_restart_interval(100);
    encoder.encode(&pixels, 300, 270, jpeg_encoder::ColorType::Luma).unwrap();
    let all = [
        deep("grey", &DeepJpeg { restart: 5, ..DeepJpeg::new(50, 40, 1) }),
        deep("colour", &DeepJpeg { factors: shared.clone(), ..DeepJpeg::new(50, 40, 3) }),
        deep("apart", &DeepJpeg { factors: shared, apart: true, ..DeepJpeg::new(50, 40, 3) }),
        deep("inks", &DeepJpeg::new(20, 20, 4)),
        eight("more blue than luma", &[(1, 1), (2, 2), (1, 2)]),
        eight("two components", &[(1, 1), (1, 1)]),
        eight("three pixels a sample", &[(1, 1), (3, 1), (1, 1)]),
        Good { name: "jpeg, with levels".to_owned(), bytes: with_levels, mend: |_| {} },
    ];
    torture_format(&all);
}
