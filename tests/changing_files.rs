//! Files that change while they are open.

use std::fs::{self, File};
use std::path::Path;

use goods::{Random, interlaced_png, jpeg_file};
use tiff_writer::{Blocks, Compression, Format, Image, TiffWriter};
use tilekeep::{CachePolicy, Dataset, ErrorKind, OpenOptions};

#[path = "common/goods.rs"]
mod goods;
#[allow(dead_code)]
#[path = "../examples/support/tiff_writer.rs"]
mod tiff_writer;

/// A file of 3 x 2 tiles of 64 x 64 bytes; every byte of tile `n` is `first + n`. Blocks lie in the file in order.
fn write_numbered(path: &Path, compression: Compression, first: u8) {
    let image = Image { blocks: Blocks::Tiles(64, 64), compression, ..Image::new(192, 128) };
    let mut writer = TiffWriter::new(File::create(path).unwrap(), Format::default()).unwrap();
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
