//! Coarser levels of TIFF files: stored in all places where they may be, or made from finer ones.

use tiff::tiff_writer::{Blocks, Compression, Format, Image, Kind, Values};
use tiff::{FORMATS, Folder, Pixels, assert_pixels, halved, read, to_bytes};
use tilekeep::{CachePolicy, Dataset, Interleave, Limits, OpenOptions, conformance, open_path};

#[path = "common/tiff.rs"]
mod tiff;

/// What is special about where the reduced images of a file are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Chain,
    /// Coarsest first.
    ChainBackwards,
    SubDirectories,
    /// In a file of their own, with `.ovr` at the end of its name.
    Beside,
}

#[test]
fn overviews_are_found_wherever_they_are() {
    let folder = Folder::new();
    for place in [Place::Chain, Place::ChainBackwards, Place::SubDirectories, Place::Beside] {
        for (planar, format) in [false, true].into_iter().zip([FORMATS[0], FORMATS[3]]) {
            let base = Image {
                blocks: Blocks::Tiles(64, 64),
                n_bands: 3,
                planar,
                kind: Kind::U16,
                compression: Compression::Deflate,
                ..Image::new(401, 303)
            };
            // Overviews may be stored otherwise than the first image.
            let overviews = [
                Image { compression: Compression::Lzw, blocks: Blocks::Tiles(128, 32), ..base.reduced(2) },
                Image { compression: Compression::None, blocks: Blocks::Strips(10), ..base.reduced(4) },
            ];
            let pictures: Vec<_> =
                [&base].into_iter().chain(&overviews).zip(0..).map(|(i, n)| Pixels::new(i, n)).collect();
            let block = |n: usize, image: &Image, plane, col, row| Some(pictures[n].block(image, plane, col, row));
            let (path, mut writer) = folder.writer(&format!("{place:?}-{planar}.tif"), format);
            if place == Place::SubDirectories {
                for (n, image) in overviews.iter().enumerate() {
                    writer.sub_image(image, |plane, col, row| block(n + 1, image, plane, col, row)).unwrap();
                }
            }
            writer.image(&base, |plane, col, row| block(0, &base, plane, col, row)).unwrap();
            // Neither a mask nor another page is a level.
            let mask = Image { subfile_type: 4, ..Image::new(401, 303) };
            let page = Image { subfile_type: 2, ..base.reduced(2) };
            writer.image(&mask, |_, _, _| Some(vec![0; 401 * 303])).unwrap();
            writer.image(&page, |_, _, _| None).unwrap();
            if place == Place::Beside {
                writer.finish().unwrap();
                writer = folder.writer(&format!("{place:?}-{planar}.tif.ovr"), format).1;
            }
            if place != Place::SubDirectories {
                let mut order = [0, 1];
                if place == Place::ChainBackwards {
                    order.reverse();
                }
                for n in order {
                    let image = &overviews[n];
                    writer.image(image, |plane, col, row| block(n + 1, image, plane, col, row)).unwrap();
                }
            }
            writer.finish().unwrap();

            let dataset = Dataset::open(&path).unwrap();
            let sizes: Vec<_> = dataset.levels().iter().map(|l| (l.width, l.height, l.native)).collect();
            assert_eq!(sizes, [(401, 303, true), (201, 152, true), (101, 76, true)], "{place:?}");
            for (level, pixels) in (0..).zip(&pictures) {
                assert_pixels(&dataset, level, pixels, &format!("{place:?}"));
            }
            let (source, _) = open_path(&path, Limits::default()).unwrap();
            conformance::check(&source).unwrap();
        }
    }
}

#[test]
fn overviews_of_the_file_itself_win_over_those_beside_it() {
    let folder = Folder::new();
    let base = Image { blocks: Blocks::Tiles(64, 64), ..Image::new(400, 300) };
    let small = Image { blocks: Blocks::Tiles(64, 64), ..base.reduced(2) };
    for (name, seed) in [("both.tif", 1), ("both.tif.ovr", 7)] {
        let (_, mut writer) = folder.writer(name, Format::default());
        for image in [&base, &small].into_iter().skip(usize::from(seed == 7)) {
            let pixels = Pixels::new(image, seed);
            writer.image(image, |plane, col, row| Some(pixels.block(image, plane, col, row))).unwrap();
        }
        writer.finish().unwrap();
    }
    let dataset = Dataset::open(folder.path("both.tif")).unwrap();
    assert_pixels(&dataset, 1, &Pixels::new(&small, 1), "both");
}

#[test]
fn an_overview_that_cannot_be_read_is_made_from_the_finer_level() {
    let folder = Folder::new();
    let base = Image { blocks: Blocks::Tiles(64, 64), ..Image::new(400, 300) };
    let foreign = Image { tags: vec![(259, Values::Short(vec![65000]))], ..base.reduced(2) };
    let pixels = Pixels::new(&base, 4);
    let (path, mut writer) = folder.writer("foreign.tif", Format::default());
    writer.image(&base, |plane, col, row| Some(pixels.block(&base, plane, col, row))).unwrap();
    writer.image(&foreign, |_, _, _| Some(vec![9; 64 * 64])).unwrap();
    writer.finish().unwrap();
    let dataset = Dataset::open(&path).unwrap();
    assert!(!dataset.levels()[1].native);
    assert_eq!(read(&dataset, 1, Interleave::Pixel).unwrap(), halved(&pixels, None).bytes);
}

#[test]
fn missing_levels_are_means_of_the_finer_one() {
    let folder = Folder::new();
    for kind in Kind::ALL {
        for nodata in [None, Some(7.0)] {
            for (planar, blocks) in [(false, Blocks::Tiles(128, 64)), (true, Blocks::Strips(11))] {
                let image = Image {
                    kind,
                    planar,
                    blocks,
                    n_bands: 2,
                    nodata: nodata.map(|value| value.to_string()),
                    ..Image::new(277, 531)
                };
                let bits = kind.bytes() as u32 * 8;
                let picture = Pixels::from_fn(&image, |x, y, band| {
                    let place = u64::from(x) * 31 + u64::from(y) * 17 + band as u64;
                    let noise = place.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    // A third is nodata, in patches that hide whole pixels of the coarser level too.
                    if (x / 3 + y / 3) % 3 == 0 {
                        return to_bytes(kind, |_| 7, 7.0);
                    }
                    to_bytes(kind, |_| noise >> (64 - bits), (noise >> 40) as f64 * 0.013 - 9000.0)
                });
                let path = folder.write(Format::default(), &image, &picture);
                let dataset = Dataset::open(&path).unwrap();
                let sizes: Vec<_> = dataset.levels().iter().map(|l| (l.width, l.height, l.native)).collect();
                assert_eq!(sizes, [(277, 531, true), (139, 266, false), (70, 133, false)]);
                let half = halved(&picture, nodata);
                let what = format!("{kind:?} {nodata:?} {blocks:?}");
                assert_pixels(&dataset, 1, &half, &what);
                assert_pixels(&dataset, 2, &halved(&half, nodata), &what);
            }
        }
    }
}

#[test]
fn palette_indices_are_not_mixed() {
    let image = Image {
        blocks: Blocks::Tiles(64, 64),
        photometric: Some(3),
        color_map: Some((0..256).map(|i| [i, 255 - i, i]).collect()),
        ..Image::new(300, 200)
    };
    let picture = Pixels::new(&image, 6);
    let folder = Folder::new();
    let dataset = Dataset::open(folder.write(Format::default(), &image, &picture)).unwrap();
    let first = Pixels::from_fn(&Image::new(150, 100), |x, y, _| picture.sample(x * 2, y * 2, 0).to_vec());
    assert_pixels(&dataset, 1, &first, "palette");
}

#[test]
fn levels_between_stored_ones_that_are_far_apart_are_made() {
    let folder = Folder::new();
    let base = Image { blocks: Blocks::Tiles(128, 128), ..Image::new(1100, 900) };
    let small = Image { blocks: Blocks::Tiles(128, 128), ..base.reduced(4) };
    let (fine, coarse) = (Pixels::new(&base, 1), Pixels::new(&small, 2));
    let (path, mut writer) = folder.writer("gap.tif", Format::default());
    writer.image(&base, |plane, col, row| Some(fine.block(&base, plane, col, row))).unwrap();
    writer.image(&small, |plane, col, row| Some(coarse.block(&small, plane, col, row))).unwrap();
    writer.finish().unwrap();
    let dataset = Dataset::open(&path).unwrap();
    let made: Vec<_> = dataset.levels().iter().map(|l| l.native).collect();
    assert_eq!(made, [true, false, true, false]);
    for (level, expected) in (0..).zip([&fine, &halved(&fine, None), &coarse, &halved(&coarse, None)]) {
        assert_pixels(&dataset, level, expected, "gap");
    }
}

#[test]
fn each_block_of_a_pyramid_is_made_once() {
    let folder = Folder::new();
    let image = Image { blocks: Blocks::Tiles(64, 64), ..Image::new(601, 402) };
    let path = folder.write(Format::default(), &image, &Pixels::new(&image, 8));
    // The default policy keeps uncompressed blocks only when they are read again.
    let dataset = Dataset::open_with(path, &OpenOptions::default().cache_policy(CachePolicy::Lru)).unwrap();
    let counts: Vec<_> = dataset.levels().iter().map(|l| u64::from(l.cols() * l.rows())).collect();
    assert_eq!(counts, [70, 20, 6]);
    read(&dataset, 2, Interleave::Pixel).unwrap();
    let after_coarsest = dataset.stats();
    assert_eq!((after_coarsest.loads, after_coarsest.misses, after_coarsest.entries), (96, 96, 96));
    for level in [1, 0, 2] {
        read(&dataset, level, Interleave::Band).unwrap();
    }
    let stats = dataset.stats();
    assert_eq!((stats.loads, stats.misses, stats.failed_loads, stats.evictions), (96, 96, 0, 0));
    assert_eq!(stats.hits - after_coarsest.hits, 96);

    // One block of the coarsest level needs what lies under it and nothing else.
    dataset.evict_all();
    dataset.block((2, 0, 0)).unwrap();
    assert_eq!(dataset.stats().loads - stats.loads, 1 + 4 + 16);
}
