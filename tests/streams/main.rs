//! Pictures that are one compressed stream: any window of them costs a short run of it, and has the right pixels.

#[path = "../common/mod.rs"]
mod common;
mod jpeg_files;
mod jpeg_levels;
mod png_files;

use std::sync::Arc;

use common::counting::Counting;
use jpeg_files::jpeg;
use png_files::{interlaced_png, png};
use tilekeep::{Dataset, Limits, OpenOptions, ReadAt, Result, Window, WindowRequest, open_reader};

/// An opened picture and what was read of it.
struct Picture {
    dataset: Dataset,
    file: Arc<Counting>,
}

impl Picture {
    fn open(bytes: Vec<u8>, budget: u64) -> Self {
        let file = Counting::of(bytes);
        let source = open_reader(Arc::<Counting>::clone(&file), Limits::default()).unwrap();
        let options = OpenOptions::default().cache_max_bytes(budget);
        Self { dataset: Dataset::from_source(source, &options).unwrap(), file }
    }

    /// The share of the file that `work` reads.
    fn share_read<T>(&self, work: impl FnOnce(&Dataset) -> T) -> (T, f64) {
        let before = self.file.read();
        let result = work(&self.dataset);
        (result, (self.file.read() - before) as f64 / self.file.len() as f64)
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
