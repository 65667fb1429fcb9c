//! Windows of any place, size, bands, sample type and layout, beside a model that takes one pixel at a time.

use std::fs::File;
use std::path::Path;

use tiff_writer::{Blocks, Format, Image, Kind, TiffWriter};
use tilekeep::{Dataset, Interleave, Layout, MemorySource, OpenOptions, SampleType, Window, WindowRequest};

#[path = "../examples/support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

const WIDTH: u32 = 150;
const HEIGHT: u32 = 117;
const N_BANDS: u32 = 3;

/// A sample that fits in a byte or does not, and is exact in every type that is at least as wide.
fn sample(x: u64, y: u64, band: u32) -> u16 {
    ((x * 7 + y * 131 + u64::from(band) * 1013) % 600) as u16
}

fn in_memory(block: (u32, u32)) -> Dataset {
    let places = (0..HEIGHT).flat_map(|y| (0..WIDTH).flat_map(move |x| (0..N_BANDS).map(move |band| (x, y, band))));
    let pixels = places.flat_map(|(x, y, band)| sample(u64::from(x), u64::from(y), band).to_ne_bytes()).collect();
    let source = MemorySource::new(WIDTH, HEIGHT, N_BANDS, SampleType::U16, block, pixels).unwrap();
    Dataset::from_source(source, &OpenOptions::default().cache_max_bytes(60_000)).unwrap()
}

/// The same in blocks of one band.
fn planar(path: &Path) -> Dataset {
    let image = Image {
        blocks: Blocks::Tiles(48, 32),
        n_bands: N_BANDS as u16,
        kind: Kind::U16,
        planar: true,
        ..Image::new(WIDTH, HEIGHT)
    };
    let mut writer = TiffWriter::new(File::create(path).unwrap(), Format::default()).unwrap();
    let block = |plane: u16, col: u32, row: u32| {
        let places = (0..32).flat_map(move |y| (0..48).map(move |x| (col * 48 + x, row * 32 + y)));
        places.flat_map(|(x, y)| sample(x.into(), y.into(), plane.into()).to_ne_bytes()).collect()
    };
    writer.image(&image, |plane, col, row| Some(block(plane, col, row))).unwrap();
    writer.finish().unwrap();
    Dataset::open(path).unwrap()
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn range(&mut self, size: u64) -> (u64, u64) {
        // Whole axes now and then: they are copied in other ways.
        if self.below(4) == 0 {
            return (0, size);
        }
        let start = self.below(size);
        (start, 1 + self.below(size - start))
    }
}

/// Strides in bytes of a result of these samples, and how many bytes it takes.
fn strides(random: &mut Random, (width, height, n_bands, bytes): (usize, usize, usize, usize)) -> (Layout, [usize; 3]) {
    match random.below(4) {
        0 => (Layout::Tight(Interleave::Band), [bytes, bytes * width, bytes * width * height]),
        1 => {
            let (row, pixel) = (bytes, bytes * height + 3);
            let band = pixel * width + 5;
            (Layout::Strided { pixel, row, band }, [pixel, row, band])
        }
        2 => {
            let (pixel, band) = (bytes * n_bands, bytes);
            let row = pixel * width + 7;
            (Layout::Strided { pixel, row, band }, [pixel, row, band])
        }
        _ => (Layout::Tight(Interleave::Pixel), [bytes * n_bands, bytes * n_bands * width, bytes]),
    }
}

fn check(dataset: &Dataset, random: &mut Random, scaled: bool) {
    let ((x, width), (y, height)) = (random.range(WIDTH.into()), random.range(HEIGHT.into()));
    let window = Window::new(x, y, width, height);
    let mut request = WindowRequest::new(0, window);
    request.exact_level = true;
    if scaled {
        request = request.size(1 + random.below(2 * width) as u32, 1 + random.below(2 * height) as u32);
    }
    let bands: Vec<u32> = match random.below(3) {
        0 => (0..1 + random.below(4)).map(|_| random.below(N_BANDS.into()) as u32).collect(),
        _ => (0..N_BANDS).collect(),
    };
    let kind = [SampleType::U16, SampleType::U8, SampleType::F32][random.below(3) as usize];
    let (out_width, out_height) = (request.size.0 as usize, request.size.1 as usize);
    let (layout, [pixel, row, band]) = strides(random, (out_width, out_height, bands.len(), kind.bytes()));
    let request = request.bands(bands.clone()).sample(kind).layout(layout);
    let mut expected = vec![0xA5; dataset.window_bytes(&request).unwrap() + 8];
    let mut out = expected.clone();
    for j in 0..out_height {
        for i in 0..out_width {
            let nearest = |first: u64, at: usize, n: usize, size: u64| {
                (first as f64 + (at as f64 + 0.5) * (size as f64 / n as f64)) as u64
            };
            let (from_x, from_y) = (nearest(x, i, out_width, width), nearest(y, j, out_height, height));
            for (place, number) in bands.iter().enumerate() {
                let value = sample(from_x, from_y, *number);
                let bytes = match kind {
                    SampleType::U16 => value.to_ne_bytes().to_vec(),
                    SampleType::U8 => vec![value.min(255) as u8],
                    _ => f32::from(value).to_ne_bytes().to_vec(),
                };
                expected[i * pixel + j * row + place * band..][..bytes.len()].copy_from_slice(&bytes);
            }
        }
    }
    dataset.read_window(&request, &mut out).unwrap();
    assert!(out == expected, "{request:?}");
}

#[test]
fn windows_have_the_pixels_of_the_model_and_touch_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    // Square blocks, strips of whole rows, one block; bands apart.
    let datasets = [
        in_memory((32, 16)),
        in_memory((WIDTH, 11)),
        in_memory((WIDTH, HEIGHT)),
        planar(&dir.path().join("planar.tif")),
    ];
    let mut random = Random(11);
    for dataset in &datasets {
        for turn in 0..400 {
            check(dataset, &mut random, turn % 4 == 0);
        }
    }
}
