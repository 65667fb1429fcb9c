//! The entropy-coded data of a sequential JPEG (ITU-T T.81, annex F): from any known place in it, over MCUs that nobody
//! wants, to whoever makes pixels of its coefficients, and copied to a stream of its own.
//!
//! All that ties an MCU to those before it is where its bits start, the DC value of each component, of which a difference
//! is stored, and the restart markers. So MCUs out of the middle become a stream that any decoder reads when their DC
//! differences are coded anew and the rest of their bits is copied. The codes for that are our own ([`DC_TABLE`]):
//! a table that was made for one picture need not have a code for every difference.

mod excerpt;
mod huffman;

use crate::error::{Error, Result};

use super::inflate::Feed;
use super::jpeg_scan::{DHT, JpegInfo, SOS, Segments};

pub(crate) use excerpt::Excerpt;
use huffman::Huffman;
pub(crate) use huffman::Tables;

/// Categories of differences of 8-bit samples, and of samples of 12 bits.
const DC_CATEGORIES: u8 = 12;
const MOST_DC_CATEGORIES: u8 = 16;

/// The body of a table of DC codes: every category in four bits.
pub(crate) const DC_TABLE: [u8; 28] = {
    let mut table = [0; 28];
    table[3] = DC_CATEGORIES;
    let mut symbol = 0;
    while symbol < DC_CATEGORIES {
        table[16 + symbol as usize] = symbol;
        symbol += 1;
    }
    table
};

/// How the MCUs of a scan are coded.
pub(crate) struct Coding {
    components: Vec<Component>,
    tables: Tables,
    /// DC differences have fewer bits than this.
    dc_categories: u8,
    /// MCUs between restart markers, 0 for none.
    restart_interval: u64,
    /// Pixels of an MCU.
    pub(crate) mcu_width: u32,
    pub(crate) mcu_height: u32,
    pub(crate) mcus_across: u32,
    pub(crate) mcus_down: u32,
}

/// A component of a scan.
pub(crate) struct Component {
    /// Which of the frame's it is.
    pub(crate) index: usize,
    /// Its blocks in an MCU.
    pub(crate) across: u8,
    pub(crate) down: u8,
    dc: usize,
    ac: usize,
}

impl Coding {
    /// Bytes held beside itself.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.tables.memory_bytes() + self.components.capacity() * size_of::<Component>()
    }

    /// That of the stream that starts with `head`, which goes up to its first scan at least. `None` for one that is not
    /// coded in a single sequential scan, or whose tables are elsewhere or wrong.
    pub(crate) fn of(head: &[u8], info: &JpegInfo) -> Option<Self> {
        let mut tables = Tables::default();
        let mut scan = None;
        for segment in Segments::new(head).ok()? {
            match segment.marker {
                DHT => tables.define(segment.body)?,
                SOS => scan = Some(segment.body),
                _ => {}
            }
        }
        let coding = Self::of_scan(scan?, info, &tables, info.restart_interval)?;
        (coding.components.len() == usize::from(info.components)).then_some(coding)
    }

    /// That of a scan by the body of its header and the tables that were defined before it. `None` for one of another
    /// process, of components that the frame does not have in this order, or without its tables.
    pub(crate) fn of_scan(scan: &[u8], info: &JpegInfo, tables: &Tables, restart_interval: u16) -> Option<Self> {
        let (count, rest) = scan.split_first()?;
        let n = usize::from(*count);
        if n == 0 || info.progressive || rest.len() != 2 * n + 3 || rest[2 * n..] != [0, 63, 0] {
            return None;
        }
        let (h, v) = info.most_sampled();
        let mut components: Vec<Component> = Vec::new();
        for selector in rest[..2 * n].as_chunks::<2>().0 {
            let first = components.last().map_or(0, |before| before.index + 1);
            let ids = &info.component_ids[..usize::from(info.components)];
            // Another order than that of the frame is allowed by nobody.
            let index = first + ids.get(first..)?.iter().position(|id| *id == selector[0])?;
            let (dc, ac) = (usize::from(selector[1] >> 4), usize::from(selector[1] & 15));
            if tables.dc.get(dc)?.is_none() || tables.ac.get(ac)?.is_none() {
                return None;
            }
            // A scan of one component has one block after the other, whatever its factors are.
            let (across, down) = if n == 1 { (1, 1) } else { info.sampling[index] };
            components.push(Component { index, across, down, dc, ac });
        }
        // Pixels of the picture, which a single component of several has fewer blocks for.
        let (mcu_width, mcu_height) = match components[..] {
            [Component { index, .. }] => {
                let (own_h, own_v) = info.sampling[index];
                (8 * u32::from(h) / u32::from(own_h), 8 * u32::from(v) / u32::from(own_v))
            }
            _ => (8 * u32::from(h), 8 * u32::from(v)),
        };
        Some(Self {
            components,
            tables: tables.clone(),
            dc_categories: if info.bits > 8 { MOST_DC_CATEGORIES } else { DC_CATEGORIES },
            restart_interval: restart_interval.into(),
            mcu_width,
            mcu_height,
            mcus_across: info.width.div_ceil(mcu_width),
            mcus_down: info.height.div_ceil(mcu_height),
        })
    }

    /// The components of the scan.
    pub(crate) fn components(&self) -> &[Component] {
        &self.components
    }

    /// Numbers of the tables of DC codes that are used.
    pub(crate) fn dc_tables(&self) -> impl Iterator<Item = u8> {
        let used: [bool; 4] = std::array::from_fn(|id| self.components.iter().any(|component| component.dc == id));
        (0..4).filter(move |id| used[usize::from(*id)])
    }

    pub(crate) fn n_mcus(&self) -> u64 {
        u64::from(self.mcus_across) * u64::from(self.mcus_down)
    }
}

/// What becomes of the blocks of an MCU while they are read.
pub(crate) trait Visitor {
    /// The block of this number begins, of the component of the scan of this number, with this DC value.
    ///
    /// # Errors
    ///
    /// Whatever there is against it.
    fn begin(&mut self, component: usize, block: u8, dc: i32) -> Result<()>;

    /// The AC coefficient `at`, in the order of the stream, and the zeros before it: a code for `symbol` and the bits that
    /// belong to it, together the lowest `n` of `bits`. A symbol whose lower four bits are 0 is no coefficient.
    fn code(&mut self, at: usize, symbol: u8, bits: u64, n: u32);

    /// The block ends.
    fn end(&mut self);
}

/// Nothing becomes of them.
impl Visitor for () {
    #[inline]
    fn begin(&mut self, _component: usize, _block: u8, _dc: i32) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn code(&mut self, _at: usize, _symbol: u8, _bits: u64, _n: u32) {}

    #[inline]
    fn end(&mut self) {}
}

/// Where an MCU starts, and what it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The offset of the next byte, and in the upper eight bits how many bits are before it.
    offset_and_bits: u64,
    bits: u64,
    dc: [i16; 4],
}

impl Place {
    /// The first MCU, the data of which start at `offset`.
    pub(crate) fn start(offset: u64) -> Self {
        Self { offset_and_bits: offset & OFFSETS, bits: 0, dc: [0; 4] }
    }

    /// The next byte to be read.
    pub(crate) fn offset(&self) -> u64 {
        self.offset_and_bits & OFFSETS
    }
}

const OFFSETS: u64 = (1 << 56) - 1;

/// A reader of MCUs. Its feed gives two bytes at least, unless only one is left.
pub(crate) struct Scanner<'a, F> {
    coding: &'a Coding,
    feed: F,
    offset: u64,
    /// Bits that were read, the next one highest of the lowest `n_bits`.
    hold: u64,
    n_bits: u32,
    /// How many of them are zeros that stand for a marker or the end of the file.
    n_made_up: u32,
    dc: [i32; 4],
    mcu: u64,
}

impl<'a, F: Feed> Scanner<'a, F> {
    /// At the MCU of this number, which starts at `place`; so does `feed`.
    pub(crate) fn new(coding: &'a Coding, feed: F, mcu: u64, place: &Place) -> Self {
        Self {
            coding,
            feed,
            offset: place.offset(),
            hold: place.bits,
            n_bits: (place.offset_and_bits >> 56) as u32,
            n_made_up: 0,
            dc: place.dc.map(i32::from),
            mcu,
        }
    }

    /// The number of the next MCU.
    pub(crate) fn mcu(&self) -> u64 {
        self.mcu
    }

    /// Bits before [`place`](Self::place)'s offset that no MCU has used.
    pub(crate) fn n_bits_left(&self) -> u32 {
        self.n_bits - self.n_made_up
    }

    /// Where the next MCU starts.
    pub(crate) fn place(&self) -> Place {
        let real = self.n_bits_left();
        Place {
            offset_and_bits: self.offset & OFFSETS | u64::from(real) << 56,
            bits: self.hold >> self.n_made_up & low(real),
            // Held to that by `values_after`.
            dc: self.dc.map(|dc| dc as i16),
        }
    }

    /// Goes on behind the next MCU.
    ///
    /// # Errors
    ///
    /// Corrupt when there is none or it breaks a rule, and what the feed fails with.
    pub(crate) fn skip(&mut self) -> Result<()> {
        self.visit(&mut ())
    }

    /// Reads the next MCU.
    ///
    /// # Errors
    ///
    /// As [`skip`](Self::skip), and what the visitor has against it.
    pub(crate) fn visit(&mut self, visitor: &mut impl Visitor) -> Result<()> {
        let coding = self.coding;
        if coding.restart_interval > 0 && self.mcu > 0 && self.mcu.is_multiple_of(coding.restart_interval) {
            self.restart()?;
        }
        for (at, component) in coding.components.iter().enumerate() {
            let (Some(dc), Some(ac)) = (&coding.tables.dc[component.dc], &coding.tables.ac[component.ac]) else {
                return Err(Error::internal("a component without its tables"));
            };
            for block in 0..component.across * component.down {
                self.dc[at] = self.dc_value(dc, self.dc[at])?;
                visitor.begin(at, block, self.dc[at])?;
                self.coefficients(ac, visitor)?;
                visitor.end();
            }
        }
        if self.n_bits < self.n_made_up {
            return Err(Error::corrupt(format!("the entropy-coded data break off in MCU {}", self.mcu)));
        }
        self.mcu += 1;
        Ok(())
    }

    fn dc_value(&mut self, table: &Huffman, before: i32) -> Result<i32> {
        self.refill()?;
        let (len, category) = table.look(self.peek(16))?;
        self.n_bits -= len;
        if category >= self.coding.dc_categories {
            return Err(Error::corrupt(format!("a DC difference of {category} bits")));
        }
        let n = u32::from(category);
        let value = before + extended(self.hold >> (self.n_bits - n), n);
        self.n_bits -= n;
        if i16::try_from(value).is_err() {
            return Err(Error::corrupt(format!("a DC value of {value}")));
        }
        Ok(value)
    }

    /// Goes over the AC coefficients of a block.
    #[inline]
    fn coefficients(&mut self, table: &Huffman, visitor: &mut impl Visitor) -> Result<()> {
        let mut at = 1;
        while at < 64 {
            self.refill()?;
            let (len, symbol) = table.look(self.peek(16))?;
            let n = len + u32::from(symbol & 15);
            at += usize::from(symbol >> 4);
            visitor.code(at, symbol, self.hold >> (self.n_bits - n) & low(n), n);
            self.n_bits -= n;
            match symbol {
                0 => break,
                // A run of 16 zeros; other runs without a coefficient are none of a sequential scan.
                _ if symbol & 15 == 0 && symbol != 0xf0 => {
                    return Err(Error::corrupt(format!("an AC symbol {symbol:#04x} in a sequential scan")));
                }
                _ => at += 1,
            }
        }
        if at > 64 {
            return Err(Error::corrupt("a block of more than 64 coefficients"));
        }
        Ok(())
    }

    /// Goes on behind a restart marker, which has to come next.
    fn restart(&mut self) -> Result<()> {
        let expected = 0xd0 + ((self.mcu / self.coding.restart_interval - 1) % 8) as u8;
        let spare = self.n_bits - self.n_made_up;
        // One fill byte after the other may precede it.
        while self.feed.bytes()?.starts_with(&[0xff, 0xff]) {
            self.consume(1);
        }
        if spare >= 8 || !self.feed.bytes()?.starts_with(&[0xff, expected]) {
            return Err(Error::corrupt(format!("no restart marker before MCU {}", self.mcu)));
        }
        self.consume(2);
        (self.hold, self.n_bits, self.n_made_up, self.dc) = (0, 0, 0, [0; 4]);
        Ok(())
    }

    fn consume(&mut self, n: usize) {
        self.feed.consume(n);
        self.offset += n as u64;
    }

    #[inline]
    fn peek(&self, n: u32) -> usize {
        (self.hold >> (self.n_bits - n) & low(n)) as usize
    }

    /// Makes sure of 32 bits: no code with what belongs to it has more.
    #[inline]
    fn refill(&mut self) -> Result<()> {
        if self.n_bits > 32 {
            return Ok(());
        }
        if let Some(word) = self.feed.bytes()?.first_chunk::<4>() {
            let word = u32::from_be_bytes(*word);
            // No byte of it is 0xff.
            if (!word).wrapping_sub(0x0101_0101) & word & 0x8080_8080 == 0 {
                self.hold = self.hold << 32 | u64::from(word);
                self.n_bits += 32;
                self.consume(4);
                return Ok(());
            }
        }
        self.refill_by_bytes()
    }

    fn refill_by_bytes(&mut self) -> Result<()> {
        while self.n_bits <= 32 {
            let (byte, used) = match *self.feed.bytes()? {
                [0xff, 0, ..] => (0xff, 2),
                [] | [0xff, ..] => (0, 0),
                [byte, ..] => (byte, 1),
            };
            self.consume(used);
            self.hold = self.hold << 8 | u64::from(byte);
            self.n_bits += 8;
            if used == 0 {
                self.n_made_up += 8;
                if self.n_made_up > 128 {
                    return Err(Error::corrupt(format!("the entropy-coded data break off in MCU {}", self.mcu)));
                }
            }
        }
        Ok(())
    }
}

fn low(n: u32) -> u64 {
    (1 << n) - 1
}

/// The number in the lowest `n` bits, at most 16 of them: one whose first bit is 0 is negative (T.81, F.2.2.1).
#[inline]
pub(crate) fn extended(bits: u64, n: u32) -> i32 {
    let bits = (bits & low(n)) as i32;
    // All ones for a first bit of 0.
    let mask = (bits >> n.saturating_sub(1)) - 1;
    bits + (mask & (1 - (1 << n)))
}

#[cfg(test)]
mod tests;
