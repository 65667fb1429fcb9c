//! Files without a fault, for tests to do harm to.
#![allow(dead_code, unreachable_pub, reason = "every test uses another part")]

pub struct Good {
    pub name: String,
    pub bytes: Vec<u8>,
    /// Makes a damaged file as consistent as its maker would, so that the damage is met and not the checksum.
    pub mend: fn(&mut [u8]),
}

/// xorshift64*: the same numbers on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end.max(1)
    }
}

/// A picture with some detail: it compresses, but not to nothing.
pub fn sample(x: u32, y: u32, band: u32) -> u32 {
    let relief = x * 2 + y + band * 40 + (x * y / 16) % 23;
    relief ^ ((x / 9 + y / 7) % 5)
}

/// Rows of a PNG without their filter bytes.
pub fn png_row(y: u32, width: u32, color: png::ColorType, depth: png::BitDepth) -> Vec<u8> {
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

pub fn png_file(color: png::ColorType, depth: png::BitDepth) -> Good {
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
pub fn interlaced_png(color: png::ColorType) -> Good {
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
pub fn mend_png(bytes: &mut [u8]) {
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

pub fn jpeg_file(name: &str, n_bands: u32, change: impl FnOnce(&mut jpeg_encoder::Encoder<&mut Vec<u8>>)) -> Good {
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
