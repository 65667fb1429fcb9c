//! TIFF files whose one strip holds the whole image as codes of fax machines or as a picture: read in pieces where that can
//! be, in bounded memory, and otherwise within limits or not at all.

use std::io::Cursor;
use std::sync::Arc;

use counting::Counting;
use tiff_writer::{Compression, Format, Image, TiffWriter, Values};
use tilekeep::{
    BlockId, Dataset, ErrorKind, Interleave, Layout, Limits, OpenOptions, ReadAt, ReadContext, SourceInfo, TileSource,
    Window, WindowRequest, conformance, open_reader,
};

#[path = "common/counting.rs"]
mod counting;
#[allow(dead_code)]
#[path = "../examples/support/tiff_writer.rs"]
mod tiff_writer;

fn file_of(image: &Image, strip: &[u8]) -> Vec<u8> {
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()), Format::default()).unwrap();
    writer.image(image, |_, _, _| Some(strip.to_vec())).unwrap();
    writer.finish().unwrap().into_inner()
}

fn dataset(file: &Arc<Counting>, budget: u64) -> Dataset {
    let source = open_reader(Arc::clone(file) as Arc<dyn ReadAt>, Limits::default()).unwrap();
    Dataset::from_source(source, &OpenOptions::default().cache_max_bytes(budget)).unwrap()
}

fn pixels(dataset: &Dataset, window: Window) -> Vec<u8> {
    let request = WindowRequest::new(0, window).layout(Layout::Tight(Interleave::Pixel));
    let mut out = vec![0xa5; dataset.window_bytes(&request).unwrap()];
    dataset.read_window(&request, &mut out).unwrap();
    out
}

/// Bars of 8 pixels, shifted by up to 7 from row to row: all that it takes are the codes of a few runs.
#[derive(Clone, Copy)]
struct Bars {
    /// An even number of changes in a row.
    n_changes: u32,
    height: u32,
}

impl Bars {
    fn width(self) -> u32 {
        8 * self.n_changes + 16
    }

    /// How far a row is shifted: by no more than 1 from the one above.
    fn shift(y: u32) -> u32 {
        match y % 28 {
            up @ 0..7 => up,
            7..14 => 7,
            down @ 14..21 => 21 - down,
            _ => 0,
        }
    }

    fn pixel(self, x: u32, y: u32) -> u8 {
        let bar = x.saturating_sub(Self::shift(y)) / 8;
        u8::from(bar % 2 == 1 && bar < self.n_changes)
    }

    fn pixels(self, window: Window) -> Vec<u8> {
        let rows = window.y as u32..(window.y + window.height) as u32;
        let cols = window.x as u32..(window.x + window.width) as u32;
        rows.flat_map(|y| cols.clone().map(move |x| self.pixel(x, y))).collect()
    }
}

/// Zeros and ones to bytes.
#[derive(Default)]
struct Codes {
    bytes: Vec<u8>,
    n_bits: usize,
}

impl Codes {
    fn put(&mut self, code: &str) {
        for bit in code.bytes() {
            if self.n_bits.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().unwrap();
            *last |= (bit - b'0') << (7 - self.n_bits % 8);
            self.n_bits += 1;
        }
    }

    fn align(&mut self, bits: usize) {
        while !self.n_bits.is_multiple_of(bits) {
            self.put("0");
        }
    }
}

/// White runs of 8 to 16 pixels, and a black one of 8.
const WHITE: [&str; 9] = ["10011", "10100", "00111", "01000", "001000", "000011", "110100", "110101", "101010"];
const BLACK: &str = "000101";
const END_OF_LINE: &str = "000000000001";

fn runs(codes: &mut Codes, bars: Bars, shift: u32) {
    for bar in 0..bars.n_changes / 2 {
        codes.put(WHITE[if bar == 0 { shift as usize } else { 0 }]);
        codes.put(BLACK);
    }
    codes.put(WHITE[8 - shift as usize]);
}

/// A row compared with the one above; `None` is white.
fn compared(codes: &mut Codes, bars: Bars, shift: u32, above: Option<u32>) {
    match above.map(|above| shift as i32 - above as i32) {
        Some(by) => {
            let code = match by {
                0 => "1",
                1 => "011",
                _ => "010",
            };
            (0..bars.n_changes).for_each(|_| codes.put(code));
        }
        None => {
            for bar in 0..bars.n_changes / 2 {
                codes.put("001");
                codes.put(WHITE[if bar == 0 { shift as usize } else { 0 }]);
                codes.put(BLACK);
            }
        }
    }
    // To the end, which is where the row above has no change either.
    codes.put("1");
}

/// The strip for a number of the tag Compression, and T4Options.
fn fax(bars: Bars, compression: u16, options: u32) -> Vec<u8> {
    let mut codes = Codes::default();
    for y in 0..bars.height {
        let (shift, above) = (Bars::shift(y), y.checked_sub(1).map(Bars::shift));
        match (compression, options) {
            (2, _) => {
                codes.align(8);
                runs(&mut codes, bars, shift);
            }
            (32771, _) => {
                codes.align(16);
                runs(&mut codes, bars, shift);
            }
            (3, 0) => {
                codes.put(END_OF_LINE);
                runs(&mut codes, bars, shift);
            }
            (3, _) => {
                codes.put(END_OF_LINE);
                let alone = y % 4 == 0;
                codes.put(if alone { "1" } else { "0" });
                if alone { runs(&mut codes, bars, shift) } else { compared(&mut codes, bars, shift, above) }
            }
            _ => compared(&mut codes, bars, shift, above),
        }
    }
    codes.bytes
}

fn fax_image(bars: Bars, compression: u16, options: u32) -> Image {
    let tags = vec![(258, Values::Short(vec![1])), (292, Values::Long(vec![options]))];
    Image {
        compression: Compression::AsGiven(compression),
        photometric: Some(0),
        tags,
        ..Image::new(bars.width(), bars.height)
    }
}

const FAX: [(u16, u32); 5] = [(2, 0), (32771, 0), (3, 0), (3, 1), (4, 0)];

#[test]
fn a_strip_of_fax_codes_is_read_in_pieces_in_any_order() {
    let bars = Bars { n_changes: 250, height: 3000 };
    for (compression, options) in FAX {
        let what = format!("compression {compression}, options {options}");
        let strip = fax(bars, compression, options);
        let image = fax_image(bars, compression, options);
        let file = Counting::of(file_of(&image, &strip));
        let source = open_reader(Arc::clone(&file) as Arc<dyn ReadAt>, Limits::default()).unwrap();
        let level = source.info().levels[0];
        assert!(level.rows() > 3 && level.cols() == 1, "{what}");
        let read = |row: u32| {
            let at = BlockId::new(0, 0, row);
            let mut out = vec![0xa5; source.info().block_layout(at).unwrap().bytes];
            source.read_block(at, &mut out, &mut ReadContext::default()).unwrap();
            (out, level.block_window(0, row).unwrap())
        };
        for row in (0..level.rows()).chain((0..level.rows()).rev()).chain([2, 0, level.rows() - 1]) {
            let (out, window) = read(row);
            assert!(out == bars.pixels(window), "{what}, piece {row}");
        }
        conformance::check(&source).unwrap();

        // With bits of a byte the other way round.
        let mut tags = image.tags.clone();
        tags.push((266, Values::Short(vec![2])));
        let turned: Vec<u8> = strip.iter().map(|byte| byte.reverse_bits()).collect();
        let file = Counting::of(file_of(&Image { tags, ..image.clone() }, &turned));
        let window = Window::new(500, 2500, 300, 400);
        assert!(pixels(&dataset(&file, 8 << 20), window) == bars.pixels(window), "{what}, turned");

        // A strip that breaks off is read as far as it goes.
        let file = Counting::of(file_of(&image, &strip[..strip.len() / 2]));
        let short = dataset(&file, 8 << 20);
        let top = Window::new(0, 0, 400, 900);
        assert!(pixels(&short, top) == bars.pixels(top), "{what}, half");
        let request = WindowRequest::new(0, Window::new(0, 2000, 10, 10));
        let error = short.read_window(&request, &mut [0; 100]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
    }
}

#[test]
fn a_window_of_a_large_fax_costs_a_short_run_within_the_budget() {
    const BUDGET: u64 = 8 << 20;
    // 72 MB of pixels.
    let bars = Bars { n_changes: 1000, height: 9000 };
    let strip = fax(bars, 4, 0);
    let file = Counting::of(file_of(&fax_image(bars, 4, 0), &strip));
    let dataset = dataset(&file, BUDGET);
    let window = |x, y| Window::new(x, y, 256, 256);
    let opened = file.read();
    // To the last rows all of it is read, once.
    assert!(pixels(&dataset, window(7000, 8744)) == bars.pixels(window(7000, 8744)));
    let first = file.read() - opened;
    // With where it lies.
    assert!(first <= strip.len() as u64 + 16, "{first} bytes of {}", strip.len());
    let mut state = 1_u32;
    for _ in 0..40 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let at = window(u64::from(state >> 8) % 7000, u64::from(state >> 12) % 8700);
        let before = file.read();
        assert!(pixels(&dataset, at) == bars.pixels(at), "{at}");
        // Three pieces at most, the codes of which are an eighth of a mebibyte, and what is read beyond.
        let cost = file.read() - before;
        assert!(cost <= 400_000 && cost * 4 <= strip.len() as u64, "{cost} bytes of {} for {at}", strip.len());
        let stats = dataset.stats();
        let held = stats.bytes + stats.structure_bytes + stats.overhead_bytes + stats.index_bytes;
        assert!(held <= BUDGET && stats.index_bytes <= BUDGET / 8 && stats.index_bytes > 10_000, "{stats:?}");
    }
}

/// A photograph of sorts.
fn photo(width: u32, height: u32, n_bands: u32) -> Vec<u8> {
    let pixel = |i: u32| {
        let (x, y) = (i % width, i / width);
        (0..n_bands).map(move |band| ((x / 3 + y / 2 * (band + 1)) % 230 + (x * y / 97) % 20) as u8)
    };
    (0..width * height).flat_map(pixel).collect()
}

fn jpeg(width: u32, height: u32, n_bands: u32, progressive: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 85);
    encoder.set_progressive(progressive);
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_2_2);
    encoder.set_restart_interval(if n_bands == 1 { 37 } else { 0 });
    let color = if n_bands == 1 { jpeg_encoder::ColorType::Luma } else { jpeg_encoder::ColorType::Rgb };
    encoder.encode(&photo(width, height, n_bands), width as u16, height as u16, color).unwrap();
    bytes
}

/// The tables of a JPEG, and what is left of it.
fn split(jpeg: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut tables, mut rest, mut at) = (vec![0xff, 0xd8], vec![0xff, 0xd8], 2);
    loop {
        let len = 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        let is_table = matches!(jpeg[at + 1], 0xdb | 0xc4);
        (if is_table { &mut tables } else { &mut rest }).extend(&jpeg[at..at + len]);
        at += len;
        if jpeg[at - len + 1] == 0xda {
            rest.extend(&jpeg[at..]);
            tables.extend([0xff, 0xd9]);
            return (tables, rest);
        }
    }
}

fn jpeg_image(width: u32, height: u32, n_bands: u32) -> Image {
    let tags = vec![(530, Values::Short(vec![2, 2]))];
    Image {
        n_bands: n_bands as u16,
        compression: Compression::AsGiven(7),
        photometric: Some(if n_bands == 1 { 1 } else { 6 }),
        tags: if n_bands == 1 { Vec::new() } else { tags },
        ..Image::new(width, height)
    }
}

#[test]
fn a_window_of_a_large_jpeg_strip_costs_a_short_run_within_the_budget() {
    const BUDGET: u64 = 8 << 20;
    for (n_bands, with_tables) in [(3, false), (3, true), (1, true)] {
        let (width, height) = (5000, 4000);
        let whole = jpeg(width, height, n_bands, false);
        let mut image = jpeg_image(width, height, n_bands);
        let strip = if with_tables {
            let (tables, rest) = split(&whole);
            image.tags.push((347, Values::Bytes(tables)));
            rest
        } else {
            whole.clone()
        };
        let known = dataset(&Counting::of(whole), 1 << 30);
        let expected = pixels(&known, known.levels()[0].window());
        let crop = |window: Window| -> Vec<u8> {
            let n = n_bands as usize;
            let rows = expected.chunks(width as usize * n).skip(window.y as usize).take(window.height as usize);
            rows.flat_map(|row| row[window.x as usize * n..][..window.width as usize * n].to_vec()).collect()
        };
        let file = Counting::of(file_of(&image, &strip));
        let dataset = dataset(&file, BUDGET);
        let level = dataset.levels()[0];
        assert_eq!((level.block_width, level.block_height), (256, 256));
        let corner = Window::new(4800, 3800, 200, 200);
        assert!(pixels(&dataset, corner) == crop(corner), "{n_bands}, {with_tables}");
        let mut state = 7_u32;
        for _ in 0..30 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let window = Window::new(u64::from(state >> 8) % 4700, u64::from(state >> 12) % 3700, 256, 256);
            let before = file.read();
            assert!(pixels(&dataset, window) == crop(window), "{n_bands}, {with_tables}, {window}");
            let cost = file.read() - before;
            // Four blocks, of each of which every row of MCUs is found by itself.
            assert!(cost <= 700_000 && cost * 2 <= strip.len() as u64, "{cost} bytes of {} for {window}", strip.len());
            let stats = dataset.stats();
            let held = stats.bytes + stats.structure_bytes + stats.overhead_bytes + stats.index_bytes;
            assert!(held <= BUDGET && stats.index_bytes <= BUDGET / 8 && stats.index_bytes > 1000, "{stats:?}");
        }
        // What the file stores is what a tile of all of it is.
        let source = open_reader(Arc::clone(&file) as Arc<dyn ReadAt>, Limits::default()).unwrap();
        let stored = source.stored_picture(0, 0, &level.window(), &mut ReadContext::default()).unwrap();
        let shown = open_reader(Arc::new(stored.file), Limits::default()).unwrap();
        assert_eq!((shown.info().levels[0].width, shown.info().n_bands), (u64::from(width), n_bands));
        let piece = level.block_window(1, 1).unwrap();
        assert!(source.stored_picture(0, 0, &piece, &mut ReadContext::default()).is_none());
    }
}

#[test]
fn a_jpeg_strip_in_pieces_keeps_the_promises_of_a_source() {
    let (strip, image) = (jpeg(1100, 700, 3, false), jpeg_image(1100, 700, 3));
    let mut limits = Limits::default();
    for max_index_bytes in [0, 8 << 20] {
        // Of nothing that it may keep, every block is decoded alone.
        limits.max_index_bytes = max_index_bytes;
        let source = open_reader(Arc::new(file_of(&image, &strip)), limits).unwrap();
        assert!(source.info().levels[0].cols() > 1);
        conformance::check(&source).unwrap();
    }
    // Half of it: what is there is read, and what is not is no made up pixel.
    let file = Counting::of(file_of(&image, &strip[..strip.len() / 2]));
    let short = dataset(&file, 1 << 20);
    short.block((0, 0, 0)).unwrap();
    assert_eq!(short.block((0, 4, 2)).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_progressive_strip_is_decoded_once_and_offered_in_blocks_within_its_limit() {
    let (strip, image) = (jpeg(1100, 700, 3, true), jpeg_image(1100, 700, 3));
    let file = Counting::of(file_of(&image, &strip));
    let whole = dataset(&file, 64 << 20);
    let opened = file.read();
    let known = dataset(&Counting::of(strip.clone()), 1 << 30);
    let window = whole.levels()[0].window();
    assert!(pixels(&whole, window) == pixels(&known, window));
    assert!(file.read() - opened < 2 * strip.len() as u64, "it was decoded more than once");
    assert_eq!((whole.stats().entries, whole.stats().loads), (15, 1));

    let mut limits = Limits::default();
    limits.max_image_bytes = 2_000_000;
    let source = open_reader(Arc::new(file_of(&image, &strip)), limits).unwrap();
    let source = Dataset::from_source(source, &OpenOptions::default().cache_max_bytes(1 << 20)).unwrap();
    let error = source.block((0, 0, 0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.message().contains("2310000"), "{error}");
}

#[test]
fn samples_of_a_strip_of_several_scans_count_in_its_limit() {
    let mut strip = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut strip, 85);
    // Each component in a scan of its own.
    encoder.set_optimized_huffman_tables(true);
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_2_2);
    encoder.encode(&photo(1100, 700, 3), 1100, 700, jpeg_encoder::ColorType::Ycbcr).unwrap();
    let file = file_of(&jpeg_image(1100, 700, 3), &strip);
    let open = |max_image_bytes: usize| {
        let mut limits = Limits::default();
        limits.max_image_bytes = max_image_bytes;
        let source = open_reader(Arc::new(file.clone()), limits).unwrap();
        Dataset::from_source(source, &OpenOptions::default().cache_max_bytes(1 << 20)).unwrap()
    };
    // 69 by 44 MCUs of six blocks of 64 samples of two bytes, beside three bytes a pixel.
    let (n_pixels, n_samples) = (1100 * 700 * 3, 69 * 44 * 6 * 64 * 2);
    let error = open(n_pixels + n_samples - 1).block((0, 0, 0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.message().contains(&n_samples.to_string()), "{error}");
    let known = dataset(&Counting::of(strip.clone()), 1 << 30);
    let window = known.levels()[0].window();
    assert!(pixels(&open(n_pixels + n_samples), window) == pixels(&known, window));
}

#[test]
fn a_strip_that_breaks_off_is_corrupt_also_where_all_of_it_may_not_be_decoded() {
    let (strip, image) = (jpeg(1100, 700, 3, false), jpeg_image(1100, 700, 3));
    let file = file_of(&image, &strip[..strip.len() / 2]);
    let mut limits = Limits::default();
    limits.max_image_bytes = 2_000_000;
    // Of a large budget all of it could be decoded at once, but for the limit.
    for budget in [1 << 20, 1 << 30] {
        let source = open_reader(Arc::new(file.clone()), limits).unwrap();
        let short = Dataset::from_source(source, &OpenOptions::default().cache_max_bytes(budget)).unwrap();
        short.block((0, 0, 0)).unwrap();
        let error = short.block((0, 4, 2)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

#[test]
fn codecs_that_cannot_stop_are_one_block_within_the_limit_and_refused_beyond_it() {
    let (width, height) = (1200, 800);
    let rgb = photo(width, height, 3);
    let mut webp = Vec::new();
    image_webp::WebPEncoder::new(&mut webp).encode(&rgb, width, height, image_webp::ColorType::Rgb8).unwrap();
    let image = Image { n_bands: 3, compression: Compression::AsGiven(50001), ..Image::new(width, height) };
    let file = Counting::of(file_of(&image, &webp));
    let within = dataset(&file, 8 << 20);
    let window = Window::new(300, 500, 200, 100);
    let row = |y: u64| rgb[((y * 1200 + 300) * 3) as usize..][..600].to_vec();
    let expected: Vec<u8> = (500..600).flat_map(row).collect();
    for _ in 0..3 {
        assert!(pixels(&within, window) == expected);
    }
    assert_eq!((within.stats().loads, within.stats().entries), (1, 1), "it is decoded once");
    assert!(file.read() < 2 * webp.len() as u64);

    let mut limits = Limits::default();
    limits.max_block_bytes = 2 << 20;
    let huge = |compression, n_bands, bits| {
        let sides = [256, 257, 278].map(|tag| (tag, Values::Long(vec![16_000])));
        let tags = sides.into_iter().chain([(258, Values::Short(vec![bits; n_bands as usize]))]).collect();
        Image { n_bands, compression: Compression::AsGiven(compression), tags, ..Image::new(2, 2) }
    };
    let cases = [
        (file_of(&image, &webp), limits, "2880000"),
        (file_of(&huge(50001, 3, 8), &webp), Limits::default(), "768000000"),
        (file_of(&huge(34887, 3, 8), b"Lerc2 "), Limits::default(), "768000000"),
        (file_of(&huge(32766, 1, 2), &[0; 100]), Limits::default(), "320000000"),
    ];
    for (file, limits, number) in cases {
        let error = open_reader(Arc::new(file), limits).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
        assert!(error.message().contains(number), "{error}");
    }
}

#[test]
fn many_strips_share_what_is_kept_of_them() {
    let bars = Bars { n_changes: 250, height: 3000 };
    let strip = fax(bars, 4, 0);
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()), Format::default()).unwrap();
    for _ in 0..6 {
        writer.image(&fax_image(bars, 4, 0), |_, _, _| Some(strip.clone())).unwrap();
    }
    let file = Counting::of(writer.finish().unwrap().into_inner());
    let dataset = dataset(&file, 2 << 20);
    let info: &SourceInfo = dataset.info();
    assert_eq!(info.n_frames, 6);
    let window = Window::new(1000, 2700, 64, 64);
    for frame in (0..6).chain((0..6).rev()) {
        let request = WindowRequest::new(0, window).frame(frame);
        let mut out = vec![0; 64 * 64];
        dataset.read_window(&request, &mut out).unwrap();
        assert!(out == bars.pixels(window));
        let stats = dataset.stats();
        assert!(stats.index_bytes > 0 && stats.index_bytes <= (2 << 20) / 8, "{stats:?}");
    }
}

#[test]
fn strips_in_files_beside_a_raster_share_what_is_kept_of_it() {
    const BUDGET: u64 = 128 << 10;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bars: Bars, metadata: Option<&str>| {
        let image = Image { gdal_metadata: metadata.map(str::to_owned), ..fax_image(bars, 4, 0) };
        std::fs::write(folder.path().join(name), file_of(&image, &fax(bars, 4, 0))).unwrap();
    };
    let (full, half) = (Bars { n_changes: 500, height: 6000 }, Bars { n_changes: 250, height: 3000 });
    let of_all = "<GDALMetadata><Item name=\"INTERNAL_MASK_FLAGS_1\">2</Item></GDALMetadata>";
    write("fax.tif", full, None);
    write("fax.tif.ovr", half, None);
    write("fax.tif.msk", full, Some(of_all));
    let options = OpenOptions::default().cache_max_bytes(BUDGET).shared(false);
    let dataset = Dataset::open_with(folder.path().join("fax.tif"), &options).unwrap();
    assert!(dataset.levels()[1].native);
    let mut known = 0;
    let mut grew = |what: &str| {
        let bytes = dataset.stats().index_bytes;
        assert!(bytes > known && bytes <= BUDGET / 8, "{what}: {bytes}, {known} before");
        known = bytes;
    };
    let request = |level, y| WindowRequest::new(level, Window::new(1000, y, 64, 64));
    let mut out = vec![0; 64 * 64];
    dataset.read_window(&request(1, 2900), &mut out).unwrap();
    assert!(out == half.pixels(Window::new(1000, 2900, 64, 64)));
    grew("overviews");
    dataset.read_mask_window(0, &request(0, 5900), &mut out).unwrap();
    grew("mask");
    dataset.read_window(&request(0, 5900), &mut out).unwrap();
    assert!(out == full.pixels(Window::new(1000, 5900, 64, 64)));
    grew("raster");
}
