//! Samples to the stored bytes of a block: predictors, byte order, compression.

use std::io;

use super::{Compression, Image, Order};

/// The stored bytes of a block.
pub(super) fn encode(
    image: &Image,
    order: Order,
    row: u32,
    mut samples: Vec<u8>,
    tables: &mut Option<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    if let Compression::AsGiven(_) = image.compression {
        return Ok(samples);
    }
    let size = image.kind.bytes();
    let (width, rows) = (image.block_size().0, image.stored_rows(row));
    let row_bytes = width as usize * image.bands_in_block() * size;
    if samples.len() != row_bytes * rows as usize {
        let message = format!("a block of {} bytes instead of {}", samples.len(), row_bytes * rows as usize);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    if let Compression::Jpeg(quality) = image.compression {
        return encode_jpeg(image, quality, rows, &samples, tables);
    }
    for row in samples.chunks_exact_mut(row_bytes) {
        match image.predictor {
            2 => difference(row, image.bands_in_block(), size),
            3 => difference_of_float_bytes(row, image.bands_in_block(), size),
            _ => {}
        }
    }
    // The bytes of predictor 3 have an order of their own.
    if !order.is_native() && image.predictor != 3 {
        samples.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    Ok(match image.compression {
        Compression::Lzw => weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8)
            .encode(&samples)
            .map_err(io::Error::other)?,
        Compression::Deflate => miniz_oxide::deflate::compress_to_vec_zlib(&samples, DEFLATE_LEVEL),
        Compression::Zstd => {
            ruzstd::encoding::compress_to_vec(&samples[..], ruzstd::encoding::CompressionLevel::Fastest)
        }
        // Packets must not reach from one row into the next.
        Compression::PackBits => samples.chunks_exact(row_bytes).flat_map(pack_bits).collect(),
        Compression::None | Compression::AsGiven(_) | Compression::Jpeg(_) => samples,
    })
}

/// Fast: files are made and thrown away.
const DEFLATE_LEVEL: u8 = 3;

/// Predictor 2: the difference to the same band's sample of the pixel before, as integers that wrap.
fn difference(row: &mut [u8], n_bands: usize, size: usize) {
    let stride = n_bands * size;
    for at in (stride..row.len()).step_by(size).rev() {
        let mut borrow = false;
        for digit in 0..size {
            // From the least significant byte to the most significant one.
            let here = at + if cfg!(target_endian = "little") { digit } else { size - 1 - digit };
            let (less, first) = row[here].overflowing_sub(row[here - stride]);
            let (less, second) = less.overflowing_sub(u8::from(borrow));
            row[here] = less;
            borrow = first || second;
        }
    }
}

/// Predictor 3: the most significant bytes of all samples of the row, then the next ones, and so on; of these the
/// differences.
fn difference_of_float_bytes(row: &mut [u8], n_bands: usize, size: usize) {
    let n_samples = row.len() / size;
    let mut planes = vec![0; row.len()];
    for (i, sample) in row.chunks_exact(size).enumerate() {
        for significance in 0..size {
            let at = if cfg!(target_endian = "little") { size - 1 - significance } else { significance };
            planes[significance * n_samples + i] = sample[at];
        }
    }
    for at in (n_bands..planes.len()).rev() {
        planes[at] = planes[at].wrapping_sub(planes[at - n_bands]);
    }
    row.copy_from_slice(&planes);
}

/// Runs of three equal bytes or more as two bytes, everything else as it is, in pieces of at most 128.
fn pack_bits(row: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let run_at = |at: usize| row[at..].iter().take(128).take_while(|byte| **byte == row[at]).count();
    let mut at = 0;
    while at < row.len() {
        let run = run_at(at);
        if run >= 3 {
            packed.extend([(1 - run as isize) as u8, row[at]]);
            at += run;
            continue;
        }
        let start = at;
        while at < row.len() && at - start < 128 && run_at(at) < 3 {
            at += 1;
        }
        packed.push((at - start - 1) as u8);
        packed.extend(&row[start..at]);
    }
    packed
}

fn encode_jpeg(
    image: &Image,
    quality: u8,
    rows: u32,
    samples: &[u8],
    tables: &mut Option<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
    let colors = match (image.bands_in_block(), image.photometric()) {
        (1, _) => ColorType::Luma,
        (3, 6) => ColorType::Rgb,
        // Components as they are, whatever they mean.
        (3, _) => ColorType::Ycbcr,
        (4, _) => ColorType::Cmyk,
        (n, _) => return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("JPEG of {n} components"))),
    };
    let too_large = |_| io::Error::new(io::ErrorKind::InvalidInput, "a JPEG stream is at most 65535 pixels wide");
    let width = u16::try_from(image.block_size().0).map_err(too_large)?;
    let height = u16::try_from(rows).map_err(too_large)?;
    let mut stream = Vec::new();
    let mut encoder = Encoder::new(&mut stream, quality);
    encoder.set_sampling_factor(SamplingFactor::R_4_4_4);
    // The encoder turns inks round, as picture files have them; in TIFF they are as they are.
    let turned: Vec<u8>;
    let samples = if matches!(colors, ColorType::Cmyk) {
        turned = samples.iter().map(|ink| 255 - ink).collect();
        &turned
    } else {
        samples
    };
    encoder.encode(samples, width, height, colors).map_err(io::Error::other)?;
    if !image.shared_jpeg_tables {
        return Ok(stream);
    }
    let (shared, rest) = split_tables(&stream);
    if *tables.get_or_insert_with(|| shared.clone()) != shared {
        return Err(io::Error::other("the encoder changed its tables from block to block"));
    }
    Ok(rest)
}

/// A JPEG stream as one with only its tables and one without them.
fn split_tables(stream: &[u8]) -> (Vec<u8>, Vec<u8>) {
    const START: [u8; 2] = [0xFF, 0xD8];
    const END: [u8; 2] = [0xFF, 0xD9];
    let (mut tables, mut rest) = (START.to_vec(), START.to_vec());
    let mut at = 2;
    loop {
        let (marker, len) = (stream[at + 1], usize::from(u16::from_be_bytes([stream[at + 2], stream[at + 3]])));
        match marker {
            // DQT and DHT.
            0xDB | 0xC4 => tables.extend(&stream[at..at + 2 + len]),
            // The scan, and everything after it.
            0xDA => break,
            _ => rest.extend(&stream[at..at + 2 + len]),
        }
        at += 2 + len;
    }
    tables.extend(END);
    rest.extend(&stream[at..]);
    (tables, rest)
}
