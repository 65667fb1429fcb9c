//! Files that are cut off, damaged, swapped or made to harm: an error in words or pixels, in bounded time and memory.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs::{self, File};
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{data_dir, read_all, real_files};
use tiff_writer::{Blocks, Compression, Format, Geo, Image, Kind, Order, TiffWriter};
use tilekeep::{
    BlockId, CachePolicy, Dataset, ErrorKind, Interleave, Limits, MemorySource, OpenOptions, Result, SampleType,
    TileRequest, Window, WindowRequest, open_reader,
};

#[allow(dead_code)]
#[path = "../examples/support/tiff_writer.rs"]
mod tiff_writer;

/// No input may take longer; the slowest good one takes a thousandth of this.
const HANG: Duration = Duration::from_secs(20);
/// What reading may take beside the declared pixels.
const OVERHEAD_BYTES: usize = 256 << 20;
/// A file that declares more pixels than this is not thereby allowed more memory.
const MAX_DECLARED_BYTES: u64 = 1 << 30;

// ---- Memory: what this thread holds, and the most that it held. Everything here is read on the thread that asks.

thread_local! {
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

/// Counts memory that is wanted: an attempt that the system refuses is one that it might have granted.
fn count_wanted(bytes: usize) {
    // Gone while the thread ends, and then nobody asks any more.
    let live = LIVE_BYTES.try_with(Cell::get).unwrap_or(0);
    let _ = PEAK_BYTES.try_with(|peak| peak.set(peak.get().max(live.saturating_add(bytes as isize))));
}

fn count_live(change: isize) {
    let _ = LIVE_BYTES.try_with(|live| live.set(live.get() + change));
}

#[expect(unsafe_code, reason = "a global allocator is an unsafe trait")]
// SAFETY: every call is handed to the system's allocator as it is; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_wanted(layout.size());
        // SAFETY: the caller keeps the promises of `GlobalAlloc::alloc`, which are those of this call.
        let start = unsafe { System.alloc(layout) };
        count_live(if start.is_null() { 0 } else { layout.size() as isize });
        start
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_wanted(layout.size());
        // SAFETY: as in `alloc`.
        let start = unsafe { System.alloc_zeroed(layout) };
        count_live(if start.is_null() { 0 } else { layout.size() as isize });
        start
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_wanted(size);
        // SAFETY: as in `alloc`; `start` came from this allocator and so from the system's.
        let start = unsafe { System.realloc(start, layout, size) };
        count_live(if start.is_null() { 0 } else { size as isize - layout.size() as isize });
        start
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        count_live(-(layout.size() as isize));
        // SAFETY: as in `realloc`.
        unsafe { System.dealloc(start, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// ---- Other pictures: recycled block memory is full of something that no file here decodes to.

const OTHERS: [u8; 16] = *b"\xA5another\x5Apicture";

/// Leaves buffers full of `OTHERS` behind for blocks of `bytes`.
fn leave_other_pixels(bytes: usize) {
    if bytes == 0 || bytes > 1 << 20 {
        return;
    }
    const BLOCKS: usize = 12;
    let pixels = OTHERS.iter().copied().cycle().take(bytes * BLOCKS).collect();
    let source = MemorySource::new(bytes as u32, BLOCKS as u32, 1, SampleType::U8, (bytes as u32, 1), pixels).unwrap();
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    (0..BLOCKS as u32).for_each(|row| drop(dataset.block((0, 0, row)).unwrap()));
}

/// Whether 64 bytes in a row are of the other picture; they are then at some turn of its pattern.
fn holds_other_pixels(bytes: &[u8]) -> bool {
    // A run of 64 holds three whole patterns at least.
    let needle = OTHERS.repeat(3);
    bytes.windows(needle.len()).any(|window| window[0] == needle[0] && window == needle)
}

// ---- One input: everything that a client may ask of it.

/// What came of an input, or which rule was broken.
type Rule<T> = std::result::Result<T, String>;

/// What came of an input that kept the rules.
#[derive(Default)]
struct Outcome {
    errors: usize,
    blocks: usize,
}

impl Outcome {
    /// An error is fine when it says something and is nobody's fault but the file's.
    fn take<T>(&mut self, result: Result<T>) -> Rule<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::Internal => Err(error.to_string()),
            Err(error) if error.message().is_empty() => Err(format!("an error without a message: {error:?}")),
            Err(_) => {
                self.errors += 1;
                Ok(None)
            }
        }
    }
}

/// Opens, and reads up to 64 blocks of each level, a window and a tile. `Err` says which rule was broken.
fn torture(open: impl FnOnce() -> Result<Dataset>) -> Rule<Outcome> {
    let before = LIVE_BYTES.get();
    PEAK_BYTES.set(before);
    let start = Instant::now();
    let mut declared = 0;
    let worked = catch_unwind(AssertUnwindSafe(|| -> Rule<Outcome> {
        let mut outcome = Outcome::default();
        let Some(dataset) = outcome.take(open())? else { return Ok(outcome) };
        let info = dataset.info();
        let level = info.levels[0];
        let pixel = u64::from(info.n_bands) * info.sample.bytes() as u64;
        let image = level.width.saturating_mul(level.height).saturating_mul(pixel);
        declared = image.min(MAX_DECLARED_BYTES) as usize;
        leave_other_pixels(dataset.block_layout((0, 0, 0)).map_or(0, |layout| layout.bytes));
        read_everything(&dataset, &mut outcome)?;
        Ok(outcome)
    }));
    let outcome = worked.map_err(|_| "it panicked".to_owned())??;
    let took = start.elapsed();
    if took > HANG {
        return Err(format!("it took {took:?}"));
    }
    let peak = (PEAK_BYTES.get() - before).max(0) as usize;
    if peak > declared + OVERHEAD_BYTES {
        return Err(format!("{peak} bytes were allocated for an image of {declared}"));
    }
    Ok(outcome)
}

fn read_everything(dataset: &Dataset, outcome: &mut Outcome) -> Rule<()> {
    for number in 0..dataset.levels().len() as u32 {
        let level = dataset.levels()[number as usize];
        let places =
            (0..dataset.info().n_planes()).flat_map(|plane| (0..level.rows()).map(move |row| (plane, row))).flat_map(
                |(plane, row)| (0..level.cols()).map(move |col| BlockId::new(number, col, row).with_plane(plane)),
            );
        for at in places.take(64) {
            if let Some(block) = outcome.take(dataset.block(at))? {
                outcome.blocks += 1;
                if holds_other_pixels(block.bytes()) {
                    return Err(format!("{at} holds pixels of another picture"));
                }
            }
        }
        // Somewhere in the middle, as large as a few blocks, and of a size that a test can afford.
        let pixel = u64::from(dataset.info().n_bands) * dataset.info().sample.bytes() as u64;
        let side = if pixel < 64 { 200 } else { 1 };
        let (width, height) = (level.width.min(side), level.height.min(side));
        let window = Window::new((level.width - width) / 2, (level.height - height) / 2, width, height);
        let mut pixels = vec![0; (width * height * pixel) as usize];
        outcome.take(dataset.read_window(&WindowRequest::new(number, window), &mut pixels))?;
        if holds_other_pixels(&pixels) {
            return Err(format!("{window} of level {number} holds pixels of another picture"));
        }
    }
    if dataset.info().n_bands < 64 {
        outcome.take(dataset.read_tile(&TileRequest::new(0, 0, 0)))?;
    }
    Ok(())
}

fn torture_bytes(bytes: &[u8]) -> Rule<Outcome> {
    let bytes = Arc::new(bytes.to_vec());
    torture(|| Dataset::from_source(open_reader(bytes, Limits::default())?, &OpenOptions::default()))
}

// ---- Good files, and what is done to them.

struct Good {
    name: String,
    bytes: Vec<u8>,
    /// Makes a damaged file as consistent as its maker would, so that the damage is met and not the checksum.
    mend: fn(&mut [u8]),
}

/// xorshift64*: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end.max(1)
    }
}

const EXTREMES: [u64; 12] =
    [0, 1, 2, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 40, i64::MAX as u64, u64::MAX];

/// One to four places of damage: flipped bytes, runs of 0xFF, numbers at the edge of their range.
fn corrupt(bytes: &mut [u8], random: &mut Random) {
    for _ in 0..=random.below(4) {
        // Headers and directories are small, and more depends on them.
        let (start, end) = match random.below(4) {
            0 => (0, bytes.len().min(256)),
            1 => (bytes.len().saturating_sub(1024), bytes.len()),
            _ => (0, bytes.len()),
        };
        let at = start + random.below(end - start);
        match random.below(3) {
            0 => bytes[at] ^= 1 << random.below(8) | random.below(2) as u8,
            1 => {
                let end = (at + 1 + random.below(40)).min(bytes.len());
                bytes[at..end].fill(0xFF);
            }
            _ => {
                let size = [1, 2, 4, 8][random.below(4)];
                let at = at / 2 * 2;
                let value = EXTREMES[random.below(EXTREMES.len())];
                let value = if random.below(2) == 0 {
                    value.to_le_bytes()[..size].to_vec()
                } else {
                    value.to_be_bytes()[8 - size..].to_vec()
                };
                let n = size.min(bytes.len() - at);
                bytes[at..at + n].copy_from_slice(&value[..n]);
            }
        }
    }
}

/// Cuts every file of a format short in many places, and damages them a thousand times in all.
fn torture_format(goods: &[Good]) {
    let mut failures = Vec::new();
    let mut note = |what: String, outcome: Rule<Outcome>| {
        if let Err(rule) = outcome {
            failures.push(format!("{what}: {rule}"));
        }
    };
    for (number, good) in goods.iter().enumerate() {
        match torture_bytes(&good.bytes) {
            Ok(outcome) => assert!(outcome.errors == 0 && outcome.blocks > 0, "{} is no good file", good.name),
            Err(rule) => panic!("{}: {rule}", good.name),
        }
        let len = good.bytes.len();
        for cut in (0..len.min(512)).chain((512..len).step_by(97)) {
            note(format!("{} cut at {cut}", good.name), torture_bytes(&good.bytes[..cut]));
        }
        let share = 1000_usize.div_ceil(goods.len());
        for turn in 0..share {
            let seed = (number * share + turn + 1) as u64;
            let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let mut bytes = good.bytes.clone();
            corrupt(&mut bytes, &mut random);
            if random.below(4) > 0 {
                (good.mend)(&mut bytes);
            }
            note(format!("{} damaged with seed {seed}", good.name), torture_bytes(&bytes));
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures[..failures.len().min(30)].join("\n"));
}

/// A picture with some detail: it compresses, but not to nothing.
fn sample(x: u32, y: u32, band: u32) -> u32 {
    let relief = x * 2 + y + band * 40 + (x * y / 16) % 23;
    relief ^ ((x / 9 + y / 7) % 5)
}

fn to_bytes(kind: Kind, value: u32) -> Vec<u8> {
    match kind {
        Kind::U8 | Kind::I8 => vec![value as u8],
        Kind::U16 | Kind::I16 => (value as u16 * 11).to_ne_bytes().to_vec(),
        Kind::F32 => (value as f32 * 0.37).to_ne_bytes().to_vec(),
        _ => u64::from(value).to_ne_bytes()[..kind.bytes()].to_vec(),
    }
}

/// A TIFF of `image` and an overview of it.
fn tiff(name: &str, format: Format, image: &Image) -> Good {
    let block = |image: &Image, plane: u16, col: u32, row: u32| {
        let (width, height) = image.block_size();
        let bands = if image.planar { plane..plane + 1 } else { 0..image.n_bands };
        let mut block = Vec::new();
        for y in row * height..row * height + image.stored_rows(row) {
            for x in col * width..(col + 1) * width {
                bands.clone().for_each(|band| block.extend(to_bytes(image.kind, sample(x, y, band.into()))));
            }
        }
        block
    };
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()), format).unwrap();
    writer.image(image, |plane, col, row| Some(block(image, plane, col, row))).unwrap();
    let overview = image.reduced(2);
    writer.image(&overview, |plane, col, row| Some(block(&overview, plane, col, row))).unwrap();
    Good { name: name.to_owned(), bytes: writer.finish().unwrap().into_inner(), mend: |_| {} }
}

/// A tiled RGB image that says all sorts of things about itself.
fn talkative(compression: Compression) -> Image {
    Image {
        blocks: Blocks::Tiles(32, 32),
        n_bands: 3,
        compression,
        nodata: Some("0".to_owned()),
        gdal_metadata: Some("<GDALMetadata><Item name=\"A\">1</Item></GDALMetadata>".to_owned()),
        pixel_scale: Some([10.0, 10.0, 0.0]),
        tiepoints: vec![[0.0, 0.0, 0.0, 500.0, 900.0, 0.0]],
        geo_keys: vec![(1025, Geo::Short(1)), (1026, Geo::Ascii("there".to_owned())), (3072, Geo::Short(32632))],
        ..Image::new(90, 70)
    }
}

const LITTLE: Format = Format { big: false, order: Order::Little };
const BIG_ENDIAN: Format = Format { big: false, order: Order::Big };
const BIG_TIFF: Format = Format { big: true, order: Order::Little };

#[test]
fn broken_uncompressed_tiffs_do_no_harm() {
    let strips = Image { blocks: Blocks::Strips(16), kind: Kind::U16, planar: true, ..talkative(Compression::None) };
    let tiles = talkative(Compression::None);
    torture_format(&[tiff("tiles", LITTLE, &tiles), tiff("planar strips", BIG_ENDIAN, &strips)]);
}

#[test]
fn broken_lzw_tiffs_do_no_harm() {
    let image = Image { predictor: 2, ..talkative(Compression::Lzw) };
    torture_format(&[tiff("lzw", LITTLE, &image)]);
}

#[test]
fn broken_deflate_tiffs_do_no_harm() {
    let image = Image { predictor: 2, kind: Kind::U16, planar: true, ..talkative(Compression::Deflate) };
    let floats = Image { predictor: 3, kind: Kind::F32, ..talkative(Compression::Deflate) };
    torture_format(&[tiff("deflate", BIG_ENDIAN, &image), tiff("deflate of floats", LITTLE, &floats)]);
}

#[test]
fn broken_packbits_tiffs_do_no_harm() {
    let image = Image { blocks: Blocks::Strips(16), ..talkative(Compression::PackBits) };
    torture_format(&[tiff("packbits", LITTLE, &image)]);
}

#[test]
fn broken_zstd_tiffs_do_no_harm() {
    torture_format(&[tiff("zstd", LITTLE, &talkative(Compression::Zstd))]);
}

#[test]
fn broken_jpeg_tiffs_do_no_harm() {
    let image = talkative(Compression::Jpeg(80));
    let shared = Image { photometric: Some(6), shared_jpeg_tables: true, ..image.clone() };
    torture_format(&[tiff("jpeg", BIG_ENDIAN, &image), tiff("jpeg with shared tables", LITTLE, &shared)]);
}

#[test]
fn broken_big_tiffs_do_no_harm() {
    let none = talkative(Compression::None);
    let deflate = Image { predictor: 2, ..talkative(Compression::Deflate) };
    torture_format(&[tiff("big", BIG_TIFF, &none), tiff("big deflate", Format { big: true, ..BIG_ENDIAN }, &deflate)]);
}

// ---- PNG.

/// Rows of a PNG without their filter bytes.
fn png_row(y: u32, width: u32, color: png::ColorType, depth: png::BitDepth) -> Vec<u8> {
    let bits = depth as usize;
    let n_samples = width as usize * color.samples();
    let mut row = vec![0; (n_samples * bits).div_ceil(8)];
    for i in 0..n_samples {
        let value = sample(i as u32 / color.samples() as u32, y, (i % color.samples()) as u32);
        match bits {
            16 => row[i * 2..][..2].copy_from_slice(&(value as u16 * 11).to_be_bytes()),
            _ => row[i * bits / 8] |= (value as u8 & (0xFF >> (8 - bits))) << (8 - bits - i * bits % 8),
        }
    }
    row
}

fn png_file(color: png::ColorType, depth: png::BitDepth) -> Good {
    let (width, height) = (61, 45);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.add_text_chunk("Title".to_owned(), "a picture".to_owned()).unwrap();
    if color == png::ColorType::Indexed {
        let n = 1 << depth as u32;
        encoder.set_palette((0..n).flat_map(|i| [i as u8, 255 - i as u8, 7]).collect::<Vec<u8>>());
        encoder.set_trns(vec![0, 128]);
    }
    let rows: Vec<u8> = (0..height).flat_map(|y| png_row(y, width, color, depth)).collect();
    encoder.write_header().unwrap().write_image_data(&rows).unwrap();
    Good { name: format!("png {color:?} {depth:?}"), bytes, mend: mend_png }
}

/// An interlaced PNG of 8 bits a sample, which the encoder does not make.
fn interlaced_png(color: png::ColorType) -> Good {
    const PASSES: [(u32, u32, u32, u32); 7] =
        [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
    let (width, height, n) = (61, 45, color.samples());
    let mut rows = Vec::new();
    for (left, top, across, down) in PASSES {
        for y in (top..height).step_by(down as usize) {
            let row = png_row(y, width, color, png::BitDepth::Eight);
            rows.push(0);
            (left..width).step_by(across as usize).for_each(|x| rows.extend(&row[x as usize * n..][..n]));
        }
    }
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, color as u8, 0, 0, 1]);
    let packed = miniz_oxide::deflate::compress_to_vec_zlib(&rows, 6);
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, content) in [(b"IHDR", &header), (b"IDAT", &packed), (b"IEND", &Vec::new())] {
        bytes.extend((content.len() as u32).to_be_bytes());
        bytes.extend(name);
        bytes.extend(content);
        bytes.extend([0; 4]);
    }
    mend_png(&mut bytes);
    Good { name: format!("png {color:?} interlaced"), bytes, mend: mend_png }
}

/// Makes the checksum of every chunk right.
fn mend_png(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(len) = bytes.get(at..at + 4) {
        let len = u32::from_be_bytes(len.try_into().unwrap()) as usize;
        let Some(content) = bytes.get(at + 4..at + 8 + len) else { return };
        let checksum = content.iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ if sum & 1 == 1 { 0xEDB8_8320 } else { 0 })
        });
        let Some(stored) = bytes.get_mut(at + 8 + len..at + 12 + len) else { return };
        stored.copy_from_slice(&(!checksum).to_be_bytes());
        at += 12 + len;
    }
}

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

// ---- JPEG.

fn jpeg_file(name: &str, n_bands: u32, change: impl FnOnce(&mut jpeg_encoder::Encoder<&mut Vec<u8>>)) -> Good {
    use jpeg_encoder::{ColorType, Encoder};
    let (width, height) = (90, 70);
    let pixels: Vec<u8> = (0..height)
        .flat_map(|y| (0..width).flat_map(move |x| (0..n_bands).map(move |band| sample(x, y, band) as u8)))
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 85);
    change(&mut encoder);
    let color = match n_bands {
        1 => ColorType::Luma,
        3 => ColorType::Rgb,
        _ => ColorType::Cmyk,
    };
    encoder.encode(&pixels, width as u16, height as u16, color).unwrap();
    Good { name: format!("jpeg, {name}"), bytes, mend: |_| {} }
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

// ---- Real files that no reader takes.

#[test]
fn files_that_no_other_reader_takes_do_no_harm() {
    let Some(dir) = data_dir() else { return };
    let mut failures = Vec::new();
    let (mut refused, mut taken) = (0, 0);
    for real in real_files(&dir).iter().filter(|real| real.expect == "refused") {
        if let Err(rule) = torture(|| Dataset::open(&real.path)) {
            failures.push(format!("{}: {rule}", real.name));
        }
        match Dataset::open(&real.path).and_then(|dataset| read_all(&dataset, Interleave::Pixel)) {
            Err(_) => refused += 1,
            // Other readers give up where pixels can be had: no harm, but to be known.
            Ok(pixels) => {
                taken += 1;
                println!("read {}: {} bytes of pixels", real.name, pixels.len());
            }
        }
    }
    println!("{refused} refused, {taken} read");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

// ---- Files that change while they are open.

/// A file of 3 x 2 tiles of 64 x 64 bytes; every byte of tile `n` is `first + n`. Blocks lie in the file in order.
fn write_numbered(path: &Path, compression: Compression, first: u8) {
    let image = Image { blocks: Blocks::Tiles(64, 64), compression, ..Image::new(192, 128) };
    let mut writer = TiffWriter::new(File::create(path).unwrap(), LITTLE).unwrap();
    writer.image(&image, |_, col, row| Some(vec![first + (row * 3 + col) as u8; 64 * 64])).unwrap();
    writer.finish().unwrap();
}

fn assert_block(dataset: &Dataset, number: u32, value: u8) {
    let block = dataset.block((0, number % 3, number / 3)).unwrap();
    assert!(block.bytes().iter().all(|b| *b == value), "block {number}");
}

#[test]
fn a_file_that_is_cut_while_open_fails_where_it_is_gone_and_nowhere_else() {
    for compression in [Compression::None, Compression::Deflate] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cut.tif");
        write_numbered(&path, compression, 10);
        let whole = fs::read(&path).unwrap();
        let dataset = Dataset::open_with(&path, &OpenOptions::default().cache_policy(CachePolicy::Lru)).unwrap();
        assert_block(&dataset, 4, 14);
        // The stored bytes of the blocks come first and take the same space each.
        let tile = if compression == Compression::None { 64 * 64 } else { whole.len() as u64 / 6 };
        let cut = if compression == Compression::None { 8 + 2 * tile + tile / 2 } else { 8 };
        File::options().write(true).open(&path).unwrap().set_len(cut).unwrap();

        let readable: &[u32] = if compression == Compression::None { &[0, 1] } else { &[] };
        for number in readable {
            assert_block(&dataset, *number, 10 + *number as u8);
        }
        // What was read stays, though its bytes are gone.
        assert_block(&dataset, 4, 14);
        let gone: Vec<u32> = [0, 1, 2, 3, 5].into_iter().filter(|n| !readable.contains(n)).collect();
        for _ in 0..2 {
            for number in &gone {
                let error = dataset.block((0, number % 3, number / 3)).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                assert!(error.message().contains("cut.tif"), "{error}");
            }
        }
        let stats = dataset.stats();
        let n_readable = readable.len() as u64;
        assert_eq!(stats.failed_loads, 2 * gone.len() as u64, "a failure is not kept");
        assert_eq!(stats.loads, 1 + n_readable + stats.failed_loads);
        assert_eq!((stats.hits, stats.entries), (1, 1 + n_readable));

        // The bytes come back, and so do the blocks.
        fs::write(&path, &whole).unwrap();
        (0..6).for_each(|number| assert_block(&dataset, number, 10 + number as u8));
        assert_eq!(dataset.stats().failed_loads, stats.failed_loads);
    }
}

#[test]
fn a_picture_of_rows_that_is_cut_while_open_fails_with_an_io_error() {
    let mut noise = Vec::new();
    // More than a reader looks at when it opens a file.
    let mut encoder = png::Encoder::new(&mut noise, 600, 600);
    encoder.set_depth(png::BitDepth::Eight);
    let mut random = Random(7);
    let pixels: Vec<u8> = (0..600 * 600).map(|_| random.next() as u8).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for bytes in [noise, interlaced_png(png::ColorType::Rgba).bytes, jpeg_file("colour", 3, |_| {}).bytes] {
        let path = dir.path().join("cut");
        fs::write(&path, &bytes).unwrap();
        let dataset = Dataset::open(&path).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(50).unwrap();
        let error = dataset.block((0, 0, 0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{}: {error}", dataset.info().format);
        fs::write(&path, &bytes).unwrap();
        dataset.block((0, 0, 0)).unwrap();
        assert_eq!((dataset.stats().loads, dataset.stats().failed_loads), (2, 1));
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_is_replaced_stays_what_it_was_for_those_who_have_it_open() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("map.tif"), dir.path().join("new.tif"));
    write_numbered(&path, Compression::Deflate, 10);
    write_numbered(&other, Compression::Deflate, 90);
    let old = Dataset::open(&path).unwrap();
    fs::rename(&other, &path).unwrap();
    let new = Dataset::open(&path).unwrap();
    assert_ne!(old.identity(), new.identity());
    for _ in 0..2 {
        for number in 0..6 {
            assert_block(&old, number, 10 + number as u8);
            assert_block(&new, number, 90 + number as u8);
        }
        old.evict_all();
    }
}
