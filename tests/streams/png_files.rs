//! PNG.

use std::sync::Arc;

use super::{Picture, compare_windows, texture, window};
use tilekeep::{Dataset, Limits, OpenOptions, Window, WindowRequest, open_reader};

pub(crate) fn png(width: u32, height: u32, color: png::ColorType, depth: png::BitDepth) -> Vec<u8> {
    let stride = (width as usize * color.samples() * depth as usize).div_ceil(8);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.set_filter(png::Filter::Adaptive);
    if color == png::ColorType::Indexed {
        encoder.set_palette((0..3 << depth as u32).map(|i| i as u8).collect::<Vec<u8>>());
    }
    encoder.write_header().unwrap().write_image_data(&texture(stride, height as usize)).unwrap();
    file
}

/// An interlaced PNG of 8 bits a sample, which the encoder does not make.
pub(crate) fn interlaced_png(width: u32, height: u32) -> Vec<u8> {
    const PASSES: [[usize; 4]; 7] =
        [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
    let pixels = texture(width as usize * 3, height as usize);
    let mut rows = Vec::new();
    for [left, top, across, down] in PASSES {
        for y in (top..height as usize).step_by(down) {
            rows.push(1);
            let mut before = [0; 3];
            for x in (left..width as usize).step_by(across) {
                let pixel: [u8; 3] = pixels[(y * width as usize + x) * 3..][..3].try_into().unwrap();
                rows.extend((0..3).map(|i| pixel[i].wrapping_sub(before[i])));
                before = pixel;
            }
        }
    }
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8; 4], content: &[u8]| {
        file.extend((content.len() as u32).to_be_bytes());
        file.extend(name);
        file.extend(content);
        file.extend(zlib_rs::crc32::crc32(zlib_rs::crc32::crc32(0, name), content).to_be_bytes());
    };
    chunk(b"IHDR", &[&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 1]].concat());
    for part in miniz_oxide::deflate::compress_to_vec_zlib(&rows, 3).chunks(8192) {
        chunk(b"IDAT", part);
    }
    chunk(b"IEND", b"");
    file
}

/// What the decoder of others makes of it, packed samples in a byte each and 16 bits in native order.
fn by_others(file: &[u8]) -> Vec<u8> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    let bits = frame.bit_depth as usize;
    if bits == 16 {
        pixels.as_chunks_mut::<2>().0.iter_mut().for_each(|b| *b = u16::from_be_bytes(*b).to_ne_bytes());
    }
    if bits >= 8 {
        return pixels;
    }
    let n = frame.width as usize * frame.color_type.samples();
    let sample = |row: &[u8], i: usize| row[i * bits / 8] >> (8 - bits - i * bits % 8) & ((1 << bits) - 1);
    pixels.chunks(frame.line_size).flat_map(|row| (0..n).map(|i| sample(row, i)).collect::<Vec<_>>()).collect()
}

#[test]
fn a_window_of_a_png_has_the_pixels_that_another_decoder_gives() {
    use png::{BitDepth as D, ColorType as C};
    let kinds = [
        (C::Rgb, D::Eight),
        (C::Rgba, D::Sixteen),
        (C::GrayscaleAlpha, D::Eight),
        (C::Grayscale, D::Sixteen),
        (C::Grayscale, D::One),
        (C::Indexed, D::Four),
        (C::Indexed, D::Eight),
    ];
    for (color, depth) in kinds {
        let file = png(1300, 1100, color, depth);
        let whole = by_others(&file);
        for budget in [0, 1 << 20, 64 << 20] {
            compare_windows(&Picture::open(file.clone(), budget), &whole, 25);
        }
    }
}

#[test]
fn a_window_of_an_interlaced_png_has_the_pixels_that_another_decoder_gives() {
    let file = interlaced_png(1301, 1103);
    let whole = by_others(&file);
    for budget in [0, 1 << 20, 64 << 20] {
        compare_windows(&Picture::open(file.clone(), budget), &whole, 25);
    }
}

#[test]
fn a_window_in_the_middle_reads_a_short_run_of_the_stream() {
    let (width, height) = (1500, 6000);
    let picture = Picture::open(png(width, height, png::ColorType::Rgb, png::BitDepth::Eight), 8 << 20);
    // The way to the bottom is the whole file, once.
    let bottom = Window::new(0, u64::from(height) - 100, 100, 100);
    let (_, share) = picture.share_read(|dataset| window(dataset, bottom));
    assert!((0.9..1.1).contains(&share), "{share}");
    let index = picture.dataset.stats().index_bytes;
    assert!(index > 500 << 10 && index <= 1 << 20, "{index}");
    // The index has a point about every 1 MiB of 27, and a window has 256 rows and those of the bands that it touches.
    for y in [3000, 1000, 5000, 2000] {
        picture.dataset.evict_all();
        let (_, share) = picture.share_read(|dataset| window(dataset, Window::new(700, y, 256, 256)));
        assert!(share < 0.2, "{share} of the file for a window at {y}");
    }
    // Its neighbour was decoded with it.
    let (_, share) = picture.share_read(|dataset| window(dataset, Window::new(900, 2000, 256, 256)));
    assert!(share < 0.05, "{share}");
}

#[test]
fn going_down_reads_the_stream_once_and_going_up_little_more_than_that() {
    let file = png(1500, 4000, png::ColorType::Rgb, png::BitDepth::Eight);
    let picture = Picture::open(file, 8 << 20);
    let rows = |dataset: &Dataset, order: &mut dyn Iterator<Item = u32>| {
        let level = dataset.levels()[0];
        order.for_each(|row| (0..level.cols()).for_each(|col| drop(dataset.block((0, col, row)).unwrap())));
    };
    let n_rows = picture.dataset.levels()[0].rows();
    let (_, down) = picture.share_read(|dataset| rows(dataset, &mut (0..n_rows)));
    assert!((0.9..1.1).contains(&down), "{down}");
    picture.dataset.evict_all();
    let (_, up) = picture.share_read(|dataset| rows(dataset, &mut (0..n_rows).rev()));
    assert!(up < 2.5, "{up}");
}

#[test]
fn an_interlaced_png_is_read_down_in_two_goes() {
    let picture = Picture::open(interlaced_png(1500, 3000), 8 << 20);
    let level = picture.dataset.levels()[0];
    let (_, share) = picture.share_read(|dataset| {
        for row in 0..level.rows() {
            (0..level.cols()).for_each(|col| drop(dataset.block((0, col, row)).unwrap()));
        }
    });
    assert!(share < 2.6, "{share}");
}

#[test]
fn the_index_is_bounded_by_the_budget_and_by_the_limit() {
    let file = png(1500, 6000, png::ColorType::Rgb, png::BitDepth::Eight);
    let picture = Picture::open(file.clone(), 8 << 20);
    let bottom = Window::new(0, 5990, 10, 10);
    window(&picture.dataset, bottom);
    let before = picture.dataset.stats().index_bytes;
    picture.dataset.set_cache_max(2 << 20);
    let after = picture.dataset.stats().index_bytes;
    assert!(after <= 256 << 10 && after > 0 && after < before, "{before}, {after}");
    picture.dataset.set_cache_max(0);
    assert_eq!(picture.dataset.stats().index_bytes, 0);
    window(&picture.dataset, bottom);

    let mut limits = Limits::default();
    limits.max_index_bytes = 100 << 10;
    let source = open_reader(Arc::new(file), limits).unwrap();
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    window(&dataset, bottom);
    let index = dataset.stats().index_bytes;
    assert!(index > 0 && index <= 100 << 10, "{index}");
}

#[test]
fn a_chunk_with_a_wrong_checksum_fails_where_the_stream_goes_on_behind_it() {
    let mut file = interlaced_png(1300, 900);
    let chunks: Vec<usize> = (8..file.len() - 4).filter(|at| file[*at..].starts_with(b"IDAT")).collect();
    // The checksum of a chunk in the last pass is before the length of the next one.
    let next = chunks[chunks.len() * 9 / 10];
    file[next - 8] ^= 1;
    let picture = Picture::open(file, 1 << 20);
    let row = |y| {
        let request = WindowRequest::new(0, Window::new(0, y, 10, 1));
        picture.dataset.read_window(&request, &mut [0; 30])
    };
    row(0).unwrap();
    for _ in 0..2 {
        let error = row(899).unwrap_err();
        assert_eq!(error.kind(), tilekeep::ErrorKind::Corrupt);
        assert!(error.message().contains("checksum"), "{error}");
        row(100).unwrap();
    }
}
