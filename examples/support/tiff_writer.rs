//! Writes TIFF and BigTIFF files block by block: for the examples, the tests and the benches.
//!
//! Blocks come from a closure as native-endian samples and are encoded and written one at a time, so that a file may
//! be far larger than memory. The variety of files matters here, the compression ratio does not.
//!
//! ```ignore
//! let mut writer = TiffWriter::new(File::create("plain.tif")?, Format::default())?;
//! let image = Image { blocks: Blocks::Tiles(256, 256), ..Image::new(1000, 700) };
//! writer.image(&image, |_plane, _col, _row| Some(vec![7; 256 * 256]))?;
//! writer.finish()?;
//! ```
#![allow(unreachable_pub, reason = "included by path into several programs")]

mod encode;
mod landscape;
mod samples;

use std::io::{self, Seek, SeekFrom, Write};

use encode::encode;
#[allow(unused_imports, reason = "every program uses another part")]
pub use samples::{Scene, sample_elevations, sample_pyramid, sample_tiles};

/// What is the same for all of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// BigTIFF: offsets of 64 bits.
    pub big: bool,
    pub order: Order,
}

/// The order of bytes in a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// `II`.
    #[default]
    Little,
    /// `MM`.
    Big,
}

impl Order {
    fn is_native(self) -> bool {
        (self == Self::Little) == cfg!(target_endian = "little")
    }
}

/// The type of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Kind {
    pub const ALL: [Self; 10] =
        [Self::U8, Self::I8, Self::U16, Self::I16, Self::U32, Self::I32, Self::U64, Self::I64, Self::F32, Self::F64];

    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }

    /// The value of the tag SampleFormat.
    const fn format(self) -> u16 {
        match self {
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => 1,
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => 2,
            Self::F32 | Self::F64 => 3,
        }
    }
}

/// How an image is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// Tiles of this width and height, whole at the edges too.
    Tiles(u32, u32),
    /// Strips of this many rows; the last one has what is left.
    Strips(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
    Zstd,
    /// Of this number: blocks are given as they are to be stored.
    AsGiven(u16),
    /// With this quality. One, three or four bands of 8 bits, or planar; photometric 6 stores YCbCr made of RGB.
    Jpeg(u8),
}

impl Compression {
    /// The value of the tag Compression.
    pub const fn tag(self) -> u16 {
        match self {
            Self::None => 1,
            Self::Lzw => 5,
            Self::Jpeg(_) => 7,
            Self::Deflate => 8,
            Self::PackBits => 32773,
            Self::Zstd => 50000,
            Self::AsGiven(tag) => tag,
        }
    }
}

/// One directory and how its pixels are stored. Start from [`new`](Self::new) and change what differs.
#[derive(Clone, Debug)]
pub struct Image {
    pub width: u32,
    pub height: u32,
    pub blocks: Blocks,
    pub n_bands: u16,
    pub kind: Kind,
    /// PlanarConfiguration 2: every band in blocks of its own.
    pub planar: bool,
    pub compression: Compression,
    /// 1: none, 2: differences, 3: differences of the bytes of floats. 2 and 3 go with LZW, Deflate and ZSTD.
    pub predictor: u16,
    /// By default RGB for three bands or more and "black is zero" for fewer.
    pub photometric: Option<u16>,
    /// One value for each band beyond those of the photometric interpretation.
    pub extra_samples: Vec<u16>,
    /// Red, green and blue of each index.
    pub color_map: Option<Vec<[u16; 3]>>,
    /// NewSubfileType: 1 for a reduced version of another image, 4 for a mask.
    pub subfile_type: u32,
    pub nodata: Option<String>,
    /// The XML document of GDAL's metadata.
    pub gdal_metadata: Option<String>,
    pub pixel_scale: Option<[f64; 3]>,
    /// Any number of (column, row, 0, x, y, z).
    pub tiepoints: Vec<[f64; 6]>,
    pub geo_keys: Vec<(u16, Geo)>,
    /// The tables of JPEG blocks are written once, in the directory.
    pub shared_jpeg_tables: bool,
    /// Further tags, which take the place of those of the same number that the writer makes.
    pub tags: Vec<(u16, Values)>,
}

/// The value of a GeoTIFF key.
#[derive(Clone, Debug)]
pub enum Geo {
    Short(u16),
    Double(f64),
    Ascii(String),
}

/// The values of a tag.
#[derive(Clone, Debug)]
pub enum Values {
    Bytes(Vec<u8>),
    /// Written with a zero at its end.
    Ascii(String),
    Short(Vec<u16>),
    Long(Vec<u32>),
    Long8(Vec<u64>),
    Double(Vec<f64>),
}

impl Image {
    /// One band of bytes in a single strip, not compressed.
    pub fn new(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            blocks: Blocks::Strips(height),
            n_bands: 1,
            kind: Kind::U8,
            planar: false,
            compression: Compression::None,
            predictor: 1,
            photometric: None,
            extra_samples: Vec::new(),
            color_map: None,
            subfile_type: 0,
            nodata: None,
            gdal_metadata: None,
            pixel_scale: None,
            tiepoints: Vec::new(),
            geo_keys: Vec::new(),
            shared_jpeg_tables: false,
            tags: Vec::new(),
        }
    }

    /// An overview `factor` times smaller, sides rounded up: without what describes the whole file.
    pub fn reduced(&self, factor: u32) -> Self {
        Self {
            width: self.width.div_ceil(factor),
            height: self.height.div_ceil(factor),
            subfile_type: 1,
            gdal_metadata: None,
            pixel_scale: None,
            tiepoints: Vec::new(),
            geo_keys: Vec::new(),
            ..self.clone()
        }
    }

    /// Width and height of a block; strips are as wide as the image.
    pub fn block_size(&self) -> (u32, u32) {
        match self.blocks {
            Blocks::Tiles(width, height) => (width, height),
            Blocks::Strips(rows) => (self.width, rows),
        }
    }

    /// Columns and rows of blocks.
    pub fn grid(&self) -> (u32, u32) {
        let (width, height) = self.block_size();
        (self.width.div_ceil(width), self.height.div_ceil(height))
    }

    pub fn n_planes(&self) -> u16 {
        if self.planar { self.n_bands } else { 1 }
    }

    /// Bands that lie side by side in a block.
    pub fn bands_in_block(&self) -> usize {
        if self.planar { 1 } else { usize::from(self.n_bands) }
    }

    /// Rows of the blocks of a row of blocks as they are stored.
    pub fn stored_rows(&self, row: u32) -> u32 {
        match self.blocks {
            Blocks::Tiles(_, height) => height,
            Blocks::Strips(rows) => rows.min(self.height - row * rows),
        }
    }

    fn photometric(&self) -> u16 {
        self.photometric.unwrap_or(if self.n_bands >= 3 { 2 } else { 1 })
    }
}

/// A TIFF file being written: images one after the other, then [`finish`](Self::finish).
#[derive(Debug)]
pub struct TiffWriter<W> {
    out: W,
    format: Format,
    /// Where the next byte goes.
    at: u64,
    /// Where the offset of the next directory of the chain is to be written.
    link: u64,
    /// Directories that the next image lists as its sub-directories.
    sub: Vec<u64>,
}

impl<W: Write + Seek> TiffWriter<W> {
    /// Writes the header at the start of `out`.
    pub fn new(out: W, format: Format) -> io::Result<Self> {
        let mut writer = Self { out, format, at: 0, link: 0, sub: Vec::new() };
        let mut head = if format.order == Order::Little { b"II".to_vec() } else { b"MM".to_vec() };
        if format.big {
            head.extend(writer.u16(43));
            head.extend(writer.u16(8));
            head.extend(writer.u16(0));
        } else {
            head.extend(writer.u16(42));
        }
        writer.link = head.len() as u64;
        head.extend(writer.offset(0)?);
        writer.put(&head)?;
        Ok(writer)
    }

    /// Writes an image as the next directory of the chain.
    ///
    /// `block` gives the samples of the block at `plane, col, row` in native byte order, those of one pixel side by
    /// side; tiles are whole, the last strip has the rows that are left. `None` stores nothing for the block: both
    /// its offset and its byte count are 0.
    pub fn image(&mut self, image: &Image, block: impl FnMut(u16, u32, u32) -> Option<Vec<u8>>) -> io::Result<()> {
        let sub = std::mem::take(&mut self.sub);
        let (directory, link) = self.directory(image, &sub, block)?;
        let offset = self.offset(directory)?;
        self.out.seek(SeekFrom::Start(self.link))?;
        self.out.write_all(&offset)?;
        self.out.seek(SeekFrom::Start(self.at))?;
        self.link = link;
        Ok(())
    }

    /// Writes an image that is no part of the chain: the next [`image`](Self::image) lists it as a sub-directory.
    pub fn sub_image(&mut self, image: &Image, block: impl FnMut(u16, u32, u32) -> Option<Vec<u8>>) -> io::Result<()> {
        let (directory, _) = self.directory(image, &[], block)?;
        self.sub.push(directory);
        Ok(())
    }

    /// Ends the file and gives back what it was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    /// Blocks and directory of an image; gives where the directory is, and where its link to the next one is.
    fn directory(
        &mut self,
        image: &Image,
        sub: &[u64],
        mut block: impl FnMut(u16, u32, u32) -> Option<Vec<u8>>,
    ) -> io::Result<(u64, u64)> {
        let (cols, rows) = image.grid();
        let (mut offsets, mut counts, mut tables) = (Vec::new(), Vec::new(), None);
        for plane in 0..image.n_planes() {
            for row in 0..rows {
                for col in 0..cols {
                    let Some(samples) = block(plane, col, row) else {
                        offsets.push(0);
                        counts.push(0);
                        continue;
                    };
                    let stored = encode(image, self.format.order, row, samples, &mut tables)?;
                    offsets.push(self.at);
                    counts.push(stored.len() as u64);
                    self.put(&stored)?;
                }
            }
        }
        let entries = self.entries(image, sub, (offsets, counts), tables)?;
        self.put_entries(&entries)
    }

    fn entries(
        &self,
        image: &Image,
        sub: &[u64],
        (offsets, counts): (Vec<u64>, Vec<u64>),
        tables: Option<Vec<u8>>,
    ) -> io::Result<Vec<(u16, Values)>> {
        let n_bands = usize::from(image.n_bands);
        let mut entries = vec![
            (254, Values::Long(vec![image.subfile_type])),
            (256, Values::Long(vec![image.width])),
            (257, Values::Long(vec![image.height])),
            (258, Values::Short(vec![image.kind.bytes() as u16 * 8; n_bands])),
            (259, Values::Short(vec![image.compression.tag()])),
            (262, Values::Short(vec![image.photometric()])),
            (277, Values::Short(vec![image.n_bands])),
            (284, Values::Short(vec![if image.planar { 2 } else { 1 }])),
            (339, Values::Short(vec![image.kind.format(); n_bands])),
        ];
        let (offset_tag, count_tag) = match image.blocks {
            Blocks::Tiles(width, height) => {
                entries.push((322, Values::Long(vec![width])));
                entries.push((323, Values::Long(vec![height])));
                (324, 325)
            }
            Blocks::Strips(rows) => {
                entries.push((278, Values::Long(vec![rows])));
                (273, 279)
            }
        };
        entries.push((offset_tag, self.offsets(offsets)?));
        entries.push((count_tag, self.offsets(counts)?));
        if image.predictor != 1 {
            entries.push((317, Values::Short(vec![image.predictor])));
        }
        if let Some(colors) = &image.color_map {
            let values = (0..3).flat_map(|part| colors.iter().map(move |color| color[part])).collect();
            entries.push((320, Values::Short(values)));
        }
        if !sub.is_empty() {
            entries.push((330, self.offsets(sub.to_vec())?));
        }
        if !image.extra_samples.is_empty() {
            entries.push((338, Values::Short(image.extra_samples.clone())));
        }
        entries.extend(tables.map(|tables| (347, Values::Bytes(tables))));
        if image.photometric() == 6 {
            // The encoder stores all components at full resolution.
            entries.push((530, Values::Short(vec![1, 1])));
        }
        entries.extend(image.pixel_scale.map(|scale| (33550, Values::Double(scale.to_vec()))));
        if !image.tiepoints.is_empty() {
            entries.push((33922, Values::Double(image.tiepoints.concat())));
        }
        if !image.geo_keys.is_empty() {
            entries.extend(geo_entries(&image.geo_keys));
        }
        entries.extend(image.gdal_metadata.clone().map(|xml| (42112, Values::Ascii(xml))));
        entries.extend(image.nodata.clone().map(|text| (42113, Values::Ascii(text))));
        entries.retain(|(tag, _)| image.tags.iter().all(|(other, _)| other != tag));
        entries.extend(image.tags.iter().cloned());
        entries.sort_by_key(|(tag, _)| *tag);
        Ok(entries)
    }

    fn put_entries(&mut self, entries: &[(u16, Values)]) -> io::Result<(u64, u64)> {
        let inline = if self.format.big { 8 } else { 4 };
        let mut directory = if self.format.big {
            self.u64(entries.len() as u64).to_vec()
        } else {
            self.u16(entries.len() as u16).to_vec()
        };
        for (tag, values) in entries {
            let (kind, count, mut bytes) = self.values(values);
            directory.extend(self.u16(*tag));
            directory.extend(self.u16(kind));
            directory.extend(self.offset(count)?);
            if bytes.len() > inline {
                self.align()?;
                let offset = self.offset(self.at)?;
                self.put(&bytes)?;
                bytes = offset;
            }
            bytes.resize(inline, 0);
            directory.extend(bytes);
        }
        self.align()?;
        let start = self.at;
        let link = start + directory.len() as u64;
        directory.extend(self.offset(0)?);
        self.put(&directory)?;
        Ok((start, link))
    }

    /// Field type, count and bytes.
    fn values(&self, values: &Values) -> (u16, u64, Vec<u8>) {
        let (kind, size, bytes) = match values {
            Values::Bytes(bytes) => (7, 1, bytes.clone()),
            Values::Ascii(text) => (2, 1, [text.as_bytes(), b"\0"].concat()),
            Values::Short(values) => (3, 2, values.iter().flat_map(|v| self.u16(*v)).collect()),
            Values::Long(values) => (4, 4, values.iter().flat_map(|v| self.u32(*v)).collect()),
            Values::Long8(values) => (16, 8, values.iter().flat_map(|v| self.u64(*v)).collect()),
            Values::Double(values) => (12, 8, values.iter().flat_map(|v| self.u64(v.to_bits())).collect()),
        };
        (kind, (bytes.len() / size) as u64, bytes)
    }

    fn offsets(&self, values: Vec<u64>) -> io::Result<Values> {
        if self.format.big {
            return Ok(Values::Long8(values));
        }
        Ok(Values::Long(values.into_iter().map(narrow).collect::<io::Result<_>>()?))
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Directories and values start at a word boundary.
    fn align(&mut self) -> io::Result<()> {
        let gap = self.at.next_multiple_of(8) - self.at;
        self.put(&[0; 8][..gap as usize])
    }

    /// A number as wide as the file's offsets.
    fn offset(&self, value: u64) -> io::Result<Vec<u8>> {
        Ok(if self.format.big { self.u64(value).to_vec() } else { self.u32(narrow(value)?).to_vec() })
    }

    fn u16(&self, value: u16) -> [u8; 2] {
        if self.format.order == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    fn u32(&self, value: u32) -> [u8; 4] {
        if self.format.order == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    fn u64(&self, value: u64) -> [u8; 8] {
        if self.format.order == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }
}

fn narrow(value: u64) -> io::Result<u32> {
    let too_large = |_| io::Error::new(io::ErrorKind::InvalidInput, "more than 4 GiB: that takes a BigTIFF");
    u32::try_from(value).map_err(too_large)
}

/// The key directory and the two tags with the values that do not fit in it.
fn geo_entries(keys: &[(u16, Geo)]) -> Vec<(u16, Values)> {
    let mut directory = vec![1, 1, 0, keys.len() as u16];
    let (mut doubles, mut text) = (Vec::new(), String::new());
    for (id, value) in keys {
        let (location, count, value) = match value {
            Geo::Short(code) => (0, 1, *code),
            Geo::Double(number) => {
                doubles.push(*number);
                (34736, 1, doubles.len() as u16 - 1)
            }
            Geo::Ascii(words) => {
                let start = text.len() as u16;
                text.push_str(words);
                text.push('|');
                (34737, words.len() as u16 + 1, start)
            }
        };
        directory.extend([*id, location, count, value]);
    }
    let mut entries = vec![(34735, Values::Short(directory))];
    if !doubles.is_empty() {
        entries.push((34736, Values::Double(doubles)));
    }
    if !text.is_empty() {
        entries.push((34737, Values::Ascii(text)));
    }
    entries
}
