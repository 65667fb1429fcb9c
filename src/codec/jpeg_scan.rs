//! What a JPEG stream says about itself before its first scan (ITU-T T.81, annex B).

use crate::error::{Error, Result};

/// The header of a JPEG stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JpegInfo {
    /// Pixels of a row.
    pub(crate) width: u32,
    /// Rows.
    pub(crate) height: u32,
    /// Components of a pixel, 1 to 4.
    pub(crate) components: u8,
    /// Bits of a sample: 8 or 12.
    pub(crate) bits: u8,
    /// Whether the scans refine the image step by step.
    pub(crate) progressive: bool,
    /// The colour transform of an Adobe marker: 0 none, 1 YCbCr, 2 YCCK.
    pub(crate) adobe_transform: Option<u8>,
    /// Whether there is a JFIF marker, which fixes YCbCr.
    pub(crate) jfif: bool,
    /// The identifiers of the components; `RGB` in ASCII means what it says.
    pub(crate) component_ids: [u8; 4],
    /// Horizontal and vertical sampling factors of the components; (1, 1) of a single one.
    pub(crate) sampling: [(u8, u8); 4],
    /// Numbers of the quantisation tables of the components.
    pub(crate) quantisation: [u8; 4],
    /// MCUs between restart markers, 0 for none.
    pub(crate) restart_interval: u16,
    /// Components of the first scan.
    pub(crate) scan_components: u8,
}

impl JpegInfo {
    /// Bytes of a decoded sample.
    pub(crate) fn sample_bytes(&self) -> usize {
        if self.bits > 8 { 2 } else { 1 }
    }

    /// The largest of the sampling factors, across and down.
    pub(crate) fn most_sampled(&self) -> (u8, u8) {
        let factors = &self.sampling[..usize::from(self.components)];
        factors.iter().fold((1, 1), |most, factors| (most.0.max(factors.0), most.1.max(factors.1)))
    }

    /// Whether every sample of every component is that of a whole number of pixels, across and down.
    pub(super) fn is_of_whole_pixels(&self) -> bool {
        let (across, down) = self.most_sampled();
        let mut factors = self.sampling[..usize::from(self.components)].iter();
        factors.all(|(h, v)| across.is_multiple_of(*h) && down.is_multiple_of(*v))
    }

    /// That nothing here decodes these sampling factors in this process.
    pub(super) fn factors_not_read(&self) -> Error {
        let factors = self.sampling[..usize::from(self.components)].iter();
        let factors: Vec<_> = factors.map(|(h, v)| format!("{h}x{v}")).collect();
        let process = if self.progressive { "progressive jpeg" } else { "jpeg" };
        Error::unsupported(format!("{process} with sampling factors {}", factors.join(", ")))
    }
}

/// One marker segment: its code, and its bytes without marker and length.
pub(super) struct Segment<'a> {
    pub(super) marker: u8,
    pub(super) body: &'a [u8],
    /// Where the marker starts and where the segment ends, in the stream.
    pub(super) range: std::ops::Range<usize>,
}

pub(super) const SOI: u8 = 0xd8;
pub(super) const EOI: u8 = 0xd9;
pub(super) const SOS: u8 = 0xda;
pub(super) const DQT: u8 = 0xdb;
pub(super) const DRI: u8 = 0xdd;
pub(super) const DHT: u8 = 0xc4;
pub(super) const DAC: u8 = 0xcc;

/// Walks over the segments of a stream from its start-of-image marker on; ends before a bare marker that ends
/// the header (end of image), after a start of scan, and where the bytes end.
pub(super) struct Segments<'a> {
    stream: &'a [u8],
    at: usize,
    done: bool,
}

impl<'a> Segments<'a> {
    pub(super) fn new(stream: &'a [u8]) -> Result<Self> {
        if !stream.starts_with(&[0xff, SOI]) {
            return Err(Error::corrupt(format!(
                "jpeg stream of {} bytes does not start with its marker",
                stream.len()
            )));
        }
        Ok(Self { stream, at: 2, done: false })
    }

    /// Goes on at `at`, behind the data of a scan.
    pub(super) fn resume(&mut self, at: usize) {
        (self.at, self.done) = (at, false);
    }

    fn step(&mut self) -> Option<Segment<'a>> {
        // Bytes between segments are skipped, as libjpeg does.
        loop {
            let skipped =
                self.stream[self.at..].windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff))?;
            let start = self.at + skipped;
            let marker = self.stream[start + 1];
            self.at = start + 2;
            match marker {
                EOI => return None,
                // Markers without a length: a second start of image, restarts, and TEM.
                SOI | 0xd0..=0xd7 | 0x01 => {}
                _ => {
                    let length = self.stream.get(self.at..self.at + 2)?;
                    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
                    let end = self.at + length;
                    let body = self.stream.get(self.at + 2..end)?;
                    self.at = end;
                    return Some(Segment { marker, body, range: start..end });
                }
            }
        }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        if self.done {
            return None;
        }
        let segment = self.step();
        self.done = segment.as_ref().is_none_or(|segment| segment.marker == SOS);
        segment
    }
}

/// Reads the header of a JPEG stream up to its first scan. Looks at no entropy-coded byte.
///
/// # Errors
///
/// Unsupported for what is not baseline, extended or (of 8 bits) progressive Huffman coding, with the name of the
/// marker. Corrupt when no frame header or no scan comes, or the frame header contradicts itself.
pub(crate) fn info(stream: &[u8]) -> Result<JpegInfo> {
    let (mut adobe_transform, mut jfif, mut restart_interval, mut frame) = (None, false, 0, None);
    for Segment { marker, body, .. } in Segments::new(stream)? {
        match marker {
            0xe0 if body.starts_with(b"JFIF\0") => jfif = true,
            0xee if body.len() >= 12 && body.starts_with(b"Adobe") => adobe_transform = Some(body[11]),
            DRI if body.len() == 2 => restart_interval = u16::from_be_bytes([body[0], body[1]]),
            DAC => return Err(Error::unsupported("jpeg with arithmetic coding (DAC)")),
            DHT | 0xc8 => {}
            0xc0..=0xcf if frame.is_some() => return Err(Error::corrupt("jpeg stream with two frame headers")),
            0xc0..=0xcf => frame = Some(frame_header(marker, body)?),
            SOS => {
                let frame = frame.ok_or_else(|| Error::corrupt("jpeg stream with a scan before its frame header"))?;
                let scan_components = body.first().copied().unwrap_or(0);
                return Ok(JpegInfo { adobe_transform, jfif, restart_interval, scan_components, ..frame });
            }
            _ => {}
        }
    }
    Err(Error::corrupt(format!("jpeg stream of {} bytes has no scan", stream.len())))
}

fn frame_header(marker: u8, body: &[u8]) -> Result<JpegInfo> {
    let name = marker - 0xc0;
    let kind = match name {
        0..=2 => None,
        3 | 7 | 11 | 15 => Some("lossless"),
        5 | 6 => Some("hierarchical"),
        _ => Some("arithmetic"),
    };
    if let Some(kind) = kind {
        return Err(Error::unsupported(format!("{kind} jpeg (SOF{name})")));
    }
    let &[bits, h1, h0, w1, w0, components, ref table @ ..] = body else {
        return Err(Error::corrupt(format!("jpeg frame header of {} bytes", body.len())));
    };
    let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
    if bits != 8 && bits != 12 {
        return Err(Error::unsupported(format!("jpeg with {bits} bits a sample (SOF{name})")));
    }
    if bits == 12 && name == 2 {
        return Err(Error::unsupported("progressive jpeg with 12 bits a sample (SOF2)"));
    }
    if width == 0 || height == 0 {
        return Err(Error::corrupt(format!("jpeg frame of {width} x {height} pixels")));
    }
    if !(1..=4).contains(&components) {
        return Err(Error::unsupported(format!("jpeg with {components} components")));
    }
    if table.len() != 3 * usize::from(components) {
        return Err(Error::corrupt(format!("jpeg frame header of {} bytes for {components} components", body.len())));
    }
    let mut info = JpegInfo {
        width: width.into(),
        height: height.into(),
        components,
        bits,
        progressive: name == 2,
        adobe_transform: None,
        jfif: false,
        component_ids: [0; 4],
        sampling: [(0, 0); 4],
        quantisation: [0; 4],
        restart_interval: 0,
        scan_components: 0,
    };
    for (at, component) in table.chunks_exact(3).enumerate() {
        let (h, v) = (component[1] >> 4, component[1] & 15);
        if !(1..=4).contains(&h) || !(1..=4).contains(&v) {
            return Err(Error::corrupt(format!("jpeg component {at} with sampling factors {h} x {v}")));
        }
        info.component_ids[at] = component[0];
        // Without others to compare them with, factors mean nothing.
        info.sampling[at] = if components == 1 { (1, 1) } else { (h, v) };
        info.quantisation[at] = component[2];
    }
    Ok(info)
}

/// What the stream of a part of a picture takes from the stream of the whole one.
pub(crate) struct Parts {
    /// Tables, and the markers that say what the components mean.
    tables: Vec<u8>,
    frame: Vec<u8>,
    scan: Vec<u8>,
    data_offset: u64,
}

impl Parts {
    /// Bytes held beside itself.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.tables.capacity() + self.frame.capacity() + self.scan.capacity()
    }

    /// More bytes of tables are not taken along from part to part; all that can be of use have fewer.
    const MAX_TABLES: usize = 128 << 10;

    /// Those of the stream that starts with `head`, which goes up to its first scan at least. `None` where there is none,
    /// and where there are too many tables.
    pub(crate) fn of(head: &[u8]) -> Option<Self> {
        let (mut tables, mut frame) = (vec![], None);
        for Segment { marker, body, range } in Segments::new(head).ok()? {
            let data_offset = range.end as u64;
            let bytes = &head[range];
            match marker {
                DQT | DHT => tables.extend_from_slice(bytes),
                0xe0 if body.starts_with(b"JFIF\0") => tables.extend_from_slice(bytes),
                0xee if body.starts_with(b"Adobe") => tables.extend_from_slice(bytes),
                0xc0..=0xcf => frame = Some(bytes.to_vec()),
                SOS if tables.len() <= Self::MAX_TABLES => {
                    return Some(Self { tables, frame: frame?, scan: bytes.to_vec(), data_offset });
                }
                _ => {}
            }
        }
        None
    }

    /// Where the entropy-coded data of the whole picture start.
    pub(crate) fn data_offset(&self) -> u64 {
        self.data_offset
    }

    /// Writes a stream up to its entropy-coded data, for a frame of another size and with what `more` adds to the tables.
    pub(crate) fn start(&self, out: &mut Vec<u8>, width: u32, height: u32, more: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(&[0xff, SOI]);
        out.extend_from_slice(&self.tables);
        more(out);
        let frame = out.len();
        out.extend_from_slice(&self.frame);
        // Behind marker, length and bits of a sample.
        if let Some(size) = out.get_mut(frame + 5..frame + 9) {
            size[..2].copy_from_slice(&(height as u16).to_be_bytes());
            size[2..].copy_from_slice(&(width as u16).to_be_bytes());
        }
        out.extend_from_slice(&self.scan);
    }
}
