//! Pictures that are one compressed stream: any window of them costs a short run of it, and has the right pixels.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tilekeep::{Dataset, Limits, OpenOptions, ReadAt, Result, Window, WindowRequest, open_reader};

/// Bytes in memory that count how many of them are read.
struct Counted {
    bytes: Vec<u8>,
    read: AtomicU64,
}

impl ReadAt for Counted {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.read.fetch_add(out.len() as u64, Ordering::Relaxed);
        self.bytes.read_at(offset, out)
    }
}

/// An opened picture and what was read of it.
struct Picture {
    dataset: Dataset,
    file: Arc<Counted>,
}

impl Picture {
    fn open(bytes: Vec<u8>, budget: u64) -> Self {
        let file = Arc::new(Counted { bytes, read: AtomicU64::new(0) });
        let source = open_reader(Arc::<Counted>::clone(&file), Limits::default()).unwrap();
        let options = OpenOptions::default().cache_max_bytes(budget);
        Self { dataset: Dataset::from_source(source, &options).unwrap(), file }
    }

    /// The share of the file that `work` reads.
    fn share_read<T>(&self, work: impl FnOnce(&Dataset) -> T) -> (T, f64) {
        let before = self.file.read.load(Ordering::Relaxed);
        let result = work(&self.dataset);
        (result, (self.file.read.load(Ordering::Relaxed) - before) as f64 / self.file.bytes.len() as f64)
    }
}

fn window(dataset: &Dataset, window: Window) -> Vec<u8> {
    let request = WindowRequest::new(0, window);
    let mut pixels = vec![0xA5; dataset.window_bytes(&request).unwrap()];
    dataset.read_window(&request, &mut pixels).unwrap();
    pixels
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Bytes that compress to about a half: slopes with noise on them.
fn texture(stride: usize, n_rows: usize) -> Vec<u8> {
    let mut random = Random(stride as u64);
    (0..stride * n_rows).map(|i| ((i % stride / 7 + i / stride / 5) as u64 + random.below(12)) as u8).collect()
}

fn png(width: u32, height: u32, color: png::ColorType, depth: png::BitDepth) -> Vec<u8> {
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
fn interlaced_png(width: u32, height: u32) -> Vec<u8> {
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

/// Reads windows here and there and compares each with the same pixels of `whole`.
fn compare_windows(picture: &Picture, whole: &[u8], n: usize) {
    let (info, level) = (picture.dataset.info(), picture.dataset.levels()[0]);
    let pixel = info.n_bands as usize * info.sample.bytes();
    let stride = level.width as usize * pixel;
    assert_eq!(whole.len(), stride * level.height as usize);
    let mut random = Random(5);
    for _ in 0..n {
        let (width, height) = (1 + random.below(level.width.min(300)), 1 + random.below(level.height.min(300)));
        let (x, y) = (random.below(level.width - width + 1), random.below(level.height - height + 1));
        let ours = window(&picture.dataset, Window::new(x, y, width, height));
        let rows = whole[y as usize * stride..].chunks(stride).take(height as usize);
        let expected: Vec<u8> =
            rows.flat_map(|row| &row[x as usize * pixel..][..width as usize * pixel]).copied().collect();
        assert!(ours == expected, "{width}x{height} at {x}, {y}");
    }
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
fn blocks_and_what_the_source_keeps_beside_them_are_within_the_budget() {
    let budget = 4 << 20;
    let files = [png(1500, 6000, png::ColorType::Rgb, png::BitDepth::Eight), jpeg(3001, 2503, |_| {})];
    for file in files {
        let picture = Picture::open(file, budget);
        let level = picture.dataset.levels()[0];
        for (row, col) in (0..level.rows()).flat_map(|row| (0..level.cols()).map(move |col| (row, col))) {
            drop(picture.dataset.block((0, col, row)).unwrap());
        }
        let stats = picture.dataset.stats();
        assert!(stats.index_bytes > 0 && stats.max_bytes == budget, "{stats:?}");
        assert!(stats.bytes + stats.index_bytes <= budget, "{stats:?}");
        // Three quarters are left for blocks in any case.
        assert!(stats.bytes > budget / 2, "{stats:?}");
    }
}

// ---- JPEG.

/// A photo of sorts.
fn jpeg(width: u16, height: u16, change: impl FnOnce(&mut jpeg_encoder::Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, 85);
    change(&mut encoder);
    let pixels = texture(usize::from(width) * 3, height.into());
    encoder.encode(&pixels, width, height, jpeg_encoder::ColorType::Rgb).unwrap();
    file
}

/// All pixels as they are when the picture is decoded at once, which takes a budget of eight times their bytes.
fn at_once(file: Vec<u8>) -> Vec<u8> {
    let picture = Picture::open(file, 1 << 30);
    let pixels = common::read_all(&picture.dataset, tilekeep::Interleave::Pixel).unwrap();
    assert_eq!(picture.dataset.stats().loads, 1);
    pixels
}

#[test]
fn a_window_of_a_jpeg_has_the_pixels_that_it_has_when_all_is_decoded_at_once() {
    use jpeg_encoder::SamplingFactor as F;
    let factors = [F::R_4_2_0, F::R_4_2_2, F::R_4_4_4, F::R_4_4_0, F::R_4_1_1];
    // The encoder puts 4 pixels a sample and tables of its own making into a scan for each component.
    let mut files: Vec<(String, bool, Vec<u8>)> = Vec::new();
    for factor in factors {
        for (restart, optimized) in [(0, false), (1, false), (37, false), (0, true)] {
            let file = jpeg(801, 603, |encoder| {
                encoder.set_sampling_factor(factor);
                encoder.set_optimized_huffman_tables(optimized);
                if restart > 0 {
                    encoder.set_restart_interval(restart);
                }
            });
            let one_scan = !optimized && !matches!(factor, F::R_4_1_1);
            files.push((format!("{factor:?}, restarts {restart}, optimized {optimized}"), one_scan, file));
        }
    }
    files.push(("progressive".to_owned(), false, jpeg(801, 603, |encoder| encoder.set_progressive(true))));
    for (name, color, n) in [("grey", jpeg_encoder::ColorType::Luma, 1), ("inks", jpeg_encoder::ColorType::Cmyk, 4)] {
        let mut file = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut file, 90);
        encoder.set_optimized_huffman_tables(n == 1);
        encoder.encode(&texture(801 * n, 603), 801, 603, color).unwrap();
        files.push((name.to_owned(), true, file));
    }
    for (name, one_scan, file) in files {
        println!("{name}");
        let whole = at_once(file.clone());
        for budget in [0, 1 << 20] {
            let picture = Picture::open(file.clone(), budget);
            compare_windows(&picture, &whole, 12);
            assert_eq!(picture.dataset.stats().index_bytes > 0, budget > 0 && one_scan, "{name}");
        }
    }
}

#[test]
fn a_window_of_a_large_jpeg_reads_a_short_run_of_the_stream() {
    let picture = Picture::open(jpeg(3000, 4000, |_| {}), 8 << 20);
    let (_, share) = picture.share_read(|dataset| window(dataset, Window::new(0, 3990, 10, 10)));
    assert!((0.9..1.6).contains(&share), "{share}");
    let index = picture.dataset.stats().index_bytes;
    assert!(index > 10 << 10 && index <= 1 << 20, "{index}");
    for y in [3000, 1000, 2000] {
        picture.dataset.evict_all();
        let (_, share) = picture.share_read(|dataset| window(dataset, Window::new(700, y, 256, 256)));
        assert!(share < 0.2, "{share} of the file for a window at {y}");
    }
    picture.dataset.set_cache_max(40 << 10);
    assert!((1..=5 << 10).contains(&picture.dataset.stats().index_bytes));
}

/// A photo without hard edges, whose means are those of its pixels also where the transform makes them.
fn smooth_jpeg(width: u16, height: u16, change: impl FnOnce(&mut jpeg_encoder::Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let wave = |at: usize, length: f64| (at as f64 / length).sin();
    let (across, down) = (usize::from(width), usize::from(height));
    let columns: Vec<f64> = (0..across * 3).map(|i| 125.0 + 45.0 * wave(i / 3 + i % 3 * 20, 13.0)).collect();
    let rows: Vec<f64> = (0..down).map(|y| 40.0 * wave(y, 9.0)).collect();
    let mut random = Random(1);
    let pixels: Vec<u8> = rows
        .iter()
        .flat_map(|row| columns.iter().map(|column| (row + column + random.below(8) as f64) as u8).collect::<Vec<_>>())
        .collect();
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, 90);
    change(&mut encoder);
    encoder.encode(&pixels, width, height, jpeg_encoder::ColorType::Rgb).unwrap();
    file
}

fn level_of(dataset: &Dataset, level: u32) -> Vec<u8> {
    let request = WindowRequest::new(level, dataset.levels()[level as usize].window());
    let mut pixels = vec![0xA5; dataset.window_bytes(&request).unwrap()];
    dataset.read_window(&request, &mut pixels).unwrap();
    pixels
}

/// The largest difference of a level from the means of the pixels of level 0, and the mean difference.
fn differences(whole: &[u8], width: usize, height: usize, pixels: &[u8], side: usize) -> (u32, f64) {
    let across = width.div_ceil(side);
    let n = whole.len() / (width * height);
    assert_eq!(pixels.len(), across * height.div_ceil(side) * n);
    let (mut most, mut sum) = (0, 0.0);
    for (at, value) in pixels.iter().enumerate() {
        let (x, y) = (at / n % across * side, at / n / across * side);
        let (right, bottom) = ((x + side).min(width), (y + side).min(height));
        let places = (y..bottom).flat_map(|y| (x..right).map(move |x| (y * width + x) * n + at % n));
        let n_pixels = ((right - x) * (bottom - y)) as u32;
        let mean = (places.map(|at| u32::from(whole[at])).sum::<u32>() + n_pixels / 2) / n_pixels;
        let far = mean.abs_diff(u32::from(*value));
        most = most.max(far);
        sum += f64::from(far);
    }
    (most, sum / pixels.len() as f64)
}

#[test]
fn coarse_levels_of_a_jpeg_are_means_of_its_pixels_whatever_the_budget_and_the_order() {
    use jpeg_encoder::SamplingFactor as F;
    for (factor, restart) in [(F::R_4_4_4, 0), (F::R_4_2_2, 5), (F::R_4_4_0, 0), (F::R_4_2_0, 0), (F::R_4_2_0, 1)] {
        let file = smooth_jpeg(1301, 1103, |encoder| {
            encoder.set_sampling_factor(factor);
            if restart > 0 {
                encoder.set_restart_interval(restart);
            }
        });
        let whole = at_once(file.clone());
        let picture = Picture::open(file.clone(), 1 << 30);
        let levels = picture.dataset.levels();
        let sizes: Vec<_> = levels.iter().map(|level| (level.width, level.height, level.native)).collect();
        assert_eq!(sizes, [(1301, 1103, true), (651, 552, false), (326, 276, false), (163, 138, false)]);
        assert_eq!(picture.dataset.info().levels, levels);
        let expected: Vec<_> = (0..4).map(|level| level_of(&picture.dataset, level)).collect();
        for (level, pixels) in expected.iter().enumerate().skip(1) {
            let (most, mean) = differences(&whole, 1301, 1103, pixels, 1 << level);
            assert!(most <= 6 && mean < 1.0, "{factor:?}, restart {restart}, level {level}: {most}, {mean}");
        }
        for budget in [0, 60 << 10, 1 << 20] {
            let picture = Picture::open(file.clone(), budget);
            // From the last block to the first, so that nothing was passed that comes.
            for level in [2, 1, 3] {
                let grid = picture.dataset.levels()[level];
                for (row, col) in (0..grid.rows()).flat_map(|row| (0..grid.cols()).map(move |col| (row, col))).rev() {
                    let block = picture.dataset.block((level as u32, col, row)).unwrap();
                    let window = grid.block_window(col, row).unwrap();
                    let len = window.width as usize * 3;
                    for (y, line) in block.bytes().chunks_exact(len).enumerate() {
                        let at = ((window.y as usize + y) * grid.width as usize + window.x as usize) * 3;
                        assert!(line == &expected[level][at..at + len], "budget {budget}, level {level}, {col}, {row}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_fills_up_the_last_blocks_of_a_jpeg_is_in_none_of_its_levels() {
    use jpeg_encoder::{ColorType, SamplingFactor as F};
    let kinds =
        [(ColorType::Luma, F::R_4_4_4, 100), (ColorType::Luma, F::R_4_4_4, 60), (ColorType::Rgb, F::R_4_2_0, 95)];
    for (kind, factor, quality) in kinds {
        let n = if matches!(kind, ColorType::Luma) { 1 } else { 3 };
        for (width, height) in [(1025, 1026), (1027, 1025), (1031, 1029)] {
            let dark = |x: usize, y: usize| (40 + (x + 2 * y) / 30) as u8;
            // Grey in every band, and white beyond what is shown.
            let value = |x: usize, y: usize| if x < width && y < height { dark(x, y) } else { 255 };
            let places = (0..1032).flat_map(|y| (0..1032).map(move |x| (x, y)));
            let pixels: Vec<u8> = places.flat_map(|(x, y)| vec![value(x, y); n]).collect();
            let mut file = Vec::new();
            let mut encoder = jpeg_encoder::Encoder::new(&mut file, quality);
            encoder.set_sampling_factor(factor);
            encoder.encode(&pixels, 1032, 1032, kind).unwrap();
            let frame = file.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
            file[frame + 5..frame + 7].copy_from_slice(&(height as u16).to_be_bytes());
            file[frame + 7..frame + 9].copy_from_slice(&(width as u16).to_be_bytes());
            let whole = at_once(file.clone());
            let picture = Picture::open(file, 1 << 20);
            for level in 1..4 {
                let (most, _) = differences(&whole, width, height, &level_of(&picture.dataset, level), 1 << level);
                assert!(most <= 3, "{kind:?}, quality {quality}, {width} x {height}, level {level}: {most}");
            }
        }
    }
}

#[test]
fn the_first_view_of_a_large_jpeg_reads_its_codes_once_and_decodes_no_block_of_its_finest_level() {
    let picture = Picture::open(smooth_jpeg(4000, 3000, |_| {}), 16 << 20);
    let coarsest = picture.dataset.levels().len() as u32 - 1;
    assert_eq!(coarsest, 4);
    let (_, share) = picture.share_read(|dataset| level_of(dataset, coarsest));
    assert!((0.95..1.1).contains(&share), "{share} of the file");
    // 2 x 2 blocks of level 3, or those of them that were not offered, and one made of them.
    let stats = picture.dataset.stats();
    assert!(stats.loads <= 5 && stats.index_bytes > 0, "{stats:?}");
    // The index leads to any block of the other levels now.
    let (_, share) = picture.share_read(|dataset| drop(dataset.block((1, 3, 4)).unwrap()));
    assert!(share < 0.15, "{share} of the file");
    let picture = Picture::open(smooth_jpeg(4000, 3000, |_| {}), 64 << 20);
    let (_, share) = picture.share_read(|dataset| level_of(dataset, 1));
    assert!((0.95..1.3).contains(&share), "{share} of the file");
}

#[test]
fn damage_beside_a_block_of_a_coarse_level_is_none_of_the_block_whatever_was_read_before() {
    let mut file = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut file, 85);
    encoder.encode(&texture(1500, 520), 1500, 520, jpeg_encoder::ColorType::Luma).unwrap();
    let mut n_damaged = 0;
    for percent in 960..1000 {
        let picture = Picture::open(file[..file.len() * percent / 1000].to_vec(), 1 << 20);
        let read = |col: u32| {
            let block = picture.dataset.block_with((1, col, 0), tilekeep::CacheUse::NoCache);
            block.map(|block| block.bytes().to_vec()).map_err(|error| error.kind())
        };
        let first = read(0);
        for _ in 0..3 {
            assert!(read(0) == first, "{percent} of 1000 parts");
        }
        n_damaged += u32::from(first.is_ok() && read(2) == Err(tilekeep::ErrorKind::Corrupt));
    }
    assert!(n_damaged > 3, "{n_damaged}");
}

#[test]
fn a_jpeg_that_is_too_large_to_be_decoded_at_once_says_what_is_wrong_with_its_pieces() {
    let mut file = jpeg(900, 700, |_| {});
    file.truncate(file.len() / 2);
    let mut limits = Limits::default();
    limits.max_image_bytes = 1 << 20;
    let source = open_reader(Arc::new(file), limits).unwrap();
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    for level in [0, 1] {
        let grid = dataset.levels()[level as usize];
        let error = dataset.block((level, 0, grid.rows() - 1)).unwrap_err();
        assert_eq!(error.kind(), tilekeep::ErrorKind::Corrupt, "level {level}: {error}");
    }
}

#[test]
fn samples_that_are_decoded_beside_the_pixels_count_as_memory_of_the_picture() {
    let mut limits = Limits::default();
    limits.max_image_bytes = 2_000_000;
    let open = |apart| {
        let file = jpeg(801, 603, |encoder| {
            encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::R_4_2_0);
            encoder.set_optimized_huffman_tables(apart);
        });
        open_reader(Arc::new(file), limits)
    };
    open(false).unwrap();
    let error = open(true).err().unwrap();
    assert_eq!(error.kind(), tilekeep::ErrorKind::LimitExceeded);
    // 51 x 38 MCUs of six blocks.
    let (pixels, samples) = (801 * 603 * 3, 51 * 38 * 6 * 64 * 2);
    for part in [format!("{pixels} bytes"), format!("{samples} bytes"), "2000000 bytes".to_owned()] {
        assert!(error.message().contains(&part), "{error}");
    }
}

#[test]
fn levels_of_what_only_the_decoder_of_whole_streams_takes_are_averaged() {
    let mut file = smooth_jpeg(700, 600, |encoder| encoder.set_restart_interval(9));
    let whole = at_once(file.clone());
    // Restart markers out of order.
    let marker = (0..file.len() - 1).rfind(|at| file[*at] == 0xFF && (0xD0..=0xD7).contains(&file[*at + 1])).unwrap();
    file[marker + 1] = 0xD0 + (file[marker + 1] + 3) % 8;
    let picture = Picture::open(file, 16 << 20);
    drop(picture.dataset.block((0, 2, 2)).unwrap());
    // What comes before them the transform makes, the last block is averaged.
    let (most, mean) = differences(&whole, 700, 600, &level_of(&picture.dataset, 1), 2);
    assert!(most <= 6 && mean < 1.0, "{most}, {mean}");
    let block = picture.dataset.block((1, 1, 1)).unwrap();
    let last_row = block.bytes().chunks_exact(94 * 3).last().unwrap();
    for (at, value) in last_row.iter().enumerate() {
        let left = (598 * 700 + 512 + at / 3 * 2) * 3 + at % 3;
        let sum: u32 = [0, 3, 2100, 2103].map(|more| u32::from(whole[left + more])).iter().sum();
        assert_eq!(u32::from(*value), (sum + 2) / 4, "sample {at}");
    }
}

#[test]
fn real_jpegs_have_the_same_pixels_in_pieces_as_at_once() {
    let Some(dir) = common::data_dir() else { return };
    let (mut n_same, mut n_in_pieces, mut n_refused) = (0, 0, 0);
    for real in common::real_files(&dir).iter().filter(|real| real.format == "jpeg") {
        let open = |budget| Dataset::open_with(&real.path, &OpenOptions::default().cache_max_bytes(budget));
        let read = |budget| {
            let dataset = open(budget)?;
            let pixels = common::read_all(&dataset, tilekeep::Interleave::Pixel)?;
            Ok((pixels, dataset.stats().index_bytes))
        };
        let both: (Result<_>, Result<_>) = (read(1 << 32), read(4096));
        match both {
            (Ok((whole, _)), Ok((pieces, index_bytes))) => {
                assert!(whole == pieces, "{}", real.name);
                n_same += 1;
                n_in_pieces += u32::from(index_bytes > 0);
            }
            (Err(whole), Err(pieces)) => {
                assert_eq!(whole.kind(), pieces.kind(), "{}: {whole} and {pieces}", real.name);
                n_refused += 1;
            }
            (whole, pieces) => panic!("{}: {:?} and {:?}", real.name, whole.err(), pieces.err()),
        }
    }
    println!("{n_same} with the same pixels, {n_in_pieces} of them with an index, {n_refused} refused both times");
    assert!(n_same > 30 && n_in_pieces > 5);
}

// ---- Both.

#[test]
fn pictures_of_one_stream_keep_the_promises_of_a_source() {
    let mut limits = Limits::default();
    // Nothing is decoded at once.
    limits.max_index_bytes = 100 << 10;
    let files = [
        png(1500, 900, png::ColorType::Rgb, png::BitDepth::Eight),
        interlaced_png(1100, 700),
        jpeg(900, 700, |_| {}),
        jpeg(900, 700, |encoder| encoder.set_progressive(true)),
    ];
    for file in files {
        let source = open_reader(Arc::new(file), limits).unwrap();
        tilekeep::conformance::check(&*source).unwrap();
    }
}

#[test]
fn threads_that_read_here_and_there_get_the_right_pixels() {
    for file in [png(1500, 1200, png::ColorType::Rgb, png::BitDepth::Eight), jpeg(1500, 1200, |_| {})] {
        let whole =
            common::read_all(&Picture::open(file.clone(), 1 << 30).dataset, tilekeep::Interleave::Pixel).unwrap();
        let picture = Picture::open(file, 1 << 20);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| compare_windows(&picture, &whole, 12));
            }
        });
    }
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

#[test]
fn a_jpeg_that_breaks_off_fails_where_it_is_gone() {
    let mut file = jpeg(1500, 1200, |_| {});
    file.truncate(file.len() / 2);
    let picture = Picture::open(file, 1 << 20);
    let block = |row| picture.dataset.block((0, 2, row)).map(drop);
    for _ in 0..2 {
        block(0).unwrap();
        assert_eq!(block(4).unwrap_err().kind(), tilekeep::ErrorKind::Corrupt);
        block(1).unwrap();
        picture.dataset.evict_all();
    }
}
