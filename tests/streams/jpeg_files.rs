//! JPEG, in pieces and at once.

use super::*;

/// A photo of sorts.
pub(crate) fn jpeg(width: u16, height: u16, change: impl FnOnce(&mut jpeg_encoder::Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, 85);
    change(&mut encoder);
    let pixels = texture(usize::from(width) * 3, height.into());
    encoder.encode(&pixels, width, height, jpeg_encoder::ColorType::Rgb).unwrap();
    file
}

/// All pixels as they are when the picture is decoded at once, which takes a budget of eight times their bytes.
pub(crate) fn at_once(file: Vec<u8>) -> Vec<u8> {
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
