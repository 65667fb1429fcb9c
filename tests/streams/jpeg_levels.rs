//! The levels of a JPEG that its transform makes.

use super::jpeg_files::{at_once, jpeg};
use super::*;

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
fn what_decoding_takes_beside_the_pixels_counts_as_memory_of_the_picture() {
    use jpeg_encoder::{ColorType, SamplingFactor};
    let colour = |progressive, apart| {
        jpeg(801, 603, |encoder| {
            encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
            encoder.set_optimized_huffman_tables(apart);
            encoder.set_progressive(progressive);
        })
    };
    let mut inks = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut inks, 90);
    encoder.set_sampling_factor(SamplingFactor::R_4_4_4);
    encoder.set_progressive(true);
    encoder.encode(&texture(801 * 4, 603), 801, 603, ColorType::Cmyk).unwrap();
    let open = |file: &Vec<u8>, max| {
        let mut limits = Limits::default();
        limits.max_image_bytes = max;
        let source = open_reader(Arc::new(file.clone()), limits)?;
        Dataset::from_source(source, &OpenOptions::default())
    };
    let pixels = 801 * 603 * 3;
    open(&colour(false, false), pixels).unwrap();
    // Samples, or coefficients, of 51 x 38 MCUs of six blocks; coefficients of 101 x 76 blocks of four inks, and the inks.
    let (chroma_shared, of_inks) = (51 * 38 * 6 * 64 * 2, 101 * 76 * 4 * 64 * 2 + 801 * 603 * 4);
    let cases = [(colour(false, true), chroma_shared), (colour(true, false), chroma_shared), (inks, of_inks)];
    for (file, more) in cases {
        let max = pixels + more;
        let dataset = open(&file, max).unwrap();
        common::read_all(&dataset, tilekeep::Interleave::Pixel).unwrap();
        let error = open(&file, max - 1).unwrap_err();
        assert_eq!(error.kind(), tilekeep::ErrorKind::LimitExceeded);
        for part in [format!("{pixels} bytes"), format!("{more} bytes"), format!("{} bytes", max - 1)] {
            assert!(error.message().contains(&part), "{error}");
        }
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
