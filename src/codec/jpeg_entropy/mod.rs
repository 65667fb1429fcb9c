//! The entropy-coded data of a baseline JPEG (ITU-T T.81, annex F), without what it says: from any known place in it, over
//! MCUs that nobody wants, and copied to a stream of its own.
//!
//! All that ties an MCU to those before it is where its bits start, the DC value of each component, of which a difference
//! is stored, and the restart markers. So MCUs out of the middle become a stream that any decoder reads when their DC
//! differences are coded anew and the rest of their bits is copied. The codes for that are our own ([`DC_TABLE`]):
//! a table that was made for one picture need not have a code for every difference.

use crate::error::{Error, Result};

use super::inflate::Feed;
use super::jpeg_scan::{DHT, JpegInfo, SOS, Segments};

/// Categories of differences of 8-bit samples.
const DC_CATEGORIES: u8 = 12;

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

/// How the MCUs of a picture are coded.
pub(crate) struct Coding {
    components: Vec<Component>,
    dc: [Option<Box<Huffman>>; 4],
    ac: [Option<Box<Huffman>>; 4],
    /// MCUs between restart markers, 0 for none.
    restart_interval: u64,
    /// Pixels of an MCU.
    pub(crate) mcu_width: u32,
    pub(crate) mcu_height: u32,
    pub(crate) mcus_across: u32,
    pub(crate) mcus_down: u32,
}

struct Component {
    blocks: u8,
    dc: usize,
    ac: usize,
}

impl Coding {
    /// Bytes held beside itself.
    pub(crate) fn memory_bytes(&self) -> usize {
        let tables = self.dc.iter().chain(&self.ac).flatten();
        let tables: usize = tables.map(|table| size_of::<Huffman>() + table.symbols.capacity()).sum();
        tables + self.components.capacity() * size_of::<Component>()
    }

    /// That of the stream that starts with `head`, which goes up to its first scan at least. `None` for one that is not
    /// coded in a single baseline scan, or whose tables are elsewhere or wrong.
    pub(crate) fn of(head: &[u8], info: &JpegInfo) -> Option<Self> {
        let (mut dc, mut ac) = ([const { None }; 4], [const { None }; 4]);
        let mut scan = None;
        for segment in Segments::new(head).ok()? {
            match segment.marker {
                DHT => huffman_tables(segment.body, &mut dc, &mut ac)?,
                SOS => scan = Some(segment.body),
                _ => {}
            }
        }
        let n = usize::from(info.components);
        let (count, rest) = scan?.split_first()?;
        if info.progressive || usize::from(*count) != n || rest.len() != 2 * n + 3 || rest[2 * n..] != [0, 63, 0] {
            return None;
        }
        let mut components = Vec::new();
        for (at, selector) in rest[..2 * n].as_chunks::<2>().0.iter().enumerate() {
            // Another order than that of the frame is allowed by nobody.
            if selector[0] != info.component_ids[at] {
                return None;
            }
            let (table_dc, table_ac) = (usize::from(selector[1] >> 4), usize::from(selector[1] & 15));
            let has_both = dc.get(table_dc)?.is_some() && ac.get(table_ac)?.is_some();
            let (h, v) = info.sampling[at];
            // A scan of one component has one block after the other, whatever its factors are.
            let blocks = if n == 1 { 1 } else { h * v };
            components.push(Component { blocks, dc: table_dc, ac: table_ac });
            if !has_both {
                return None;
            }
        }
        let factors = info.sampling[..n].iter().fold((1, 1), |most, f| (f.0.max(most.0), f.1.max(most.1)));
        let (h, v) = if n == 1 { (1, 1) } else { factors };
        let (mcu_width, mcu_height) = (8 * u32::from(h), 8 * u32::from(v));
        Some(Self {
            components,
            dc,
            ac,
            restart_interval: info.restart_interval.into(),
            mcu_width,
            mcu_height,
            mcus_across: info.width.div_ceil(mcu_width),
            mcus_down: info.height.div_ceil(mcu_height),
        })
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
        self.next(None)
    }

    /// Appends the next MCU to `copy`.
    ///
    /// # Errors
    ///
    /// As [`skip`](Self::skip), and corrupt when its DC values are farther from those before than any encoder makes them.
    pub(crate) fn copy(&mut self, copy: &mut Excerpt) -> Result<()> {
        self.next(Some(copy))
    }

    fn next(&mut self, mut copy: Option<&mut Excerpt>) -> Result<()> {
        let coding = self.coding;
        if coding.restart_interval > 0 && self.mcu > 0 && self.mcu.is_multiple_of(coding.restart_interval) {
            self.restart()?;
        }
        for (at, component) in coding.components.iter().enumerate() {
            let (Some(dc), Some(ac)) = (&coding.dc[component.dc], &coding.ac[component.ac]) else {
                return Err(Error::internal("a component without its tables"));
            };
            for _ in 0..component.blocks {
                self.dc[at] = self.dc_value(dc, self.dc[at])?;
                match &mut copy {
                    Some(copy) => {
                        copy.dc(at, self.dc[at])?;
                        self.coefficients(ac, |bits, n| copy.bits.put(bits, n))?;
                    }
                    None => self.coefficients(ac, |_, _| {})?,
                }
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
        if category >= DC_CATEGORIES {
            return Err(Error::corrupt(format!("a DC difference of {category} bits")));
        }
        let n = u32::from(category);
        let bits = (self.hold >> (self.n_bits - n) & low(n)) as i32;
        self.n_bits -= n;
        // T.81, F.2.2.1: a first bit of 0 is a negative one.
        let difference = if n > 0 && bits >> (n - 1) == 0 { bits - (1 << n) + 1 } else { bits };
        let value = before + difference;
        if i16::try_from(value).is_err() {
            return Err(Error::corrupt(format!("a DC value of {value}")));
        }
        Ok(value)
    }

    /// Goes over the AC coefficients of a block, with their bits to `put`.
    #[inline]
    fn coefficients(&mut self, table: &Huffman, mut put: impl FnMut(u64, u32)) -> Result<()> {
        let mut at = 1;
        while at < 64 {
            self.refill()?;
            let (len, symbol) = table.look(self.peek(16))?;
            let n = len + u32::from(symbol & 15);
            put(self.hold >> (self.n_bits - n) & low(n), n);
            self.n_bits -= n;
            match symbol {
                0 => break,
                // A run of 16 zeros; other runs without a coefficient are none of baseline's.
                _ if symbol & 15 == 0 && symbol != 0xf0 => {
                    return Err(Error::corrupt(format!("an AC symbol {symbol:#04x} in a baseline scan")));
                }
                _ => at += usize::from(symbol >> 4) + 1,
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

/// Entropy-coded data that are put together from MCUs of elsewhere.
#[derive(Default)]
pub(crate) struct Excerpt {
    bits: BitWriter,
    dc: [i32; 4],
}

impl Excerpt {
    /// Appends to `stream`.
    pub(crate) fn to(stream: Vec<u8>) -> Self {
        Self { bits: BitWriter { out: stream, ..BitWriter::default() }, dc: [0; 4] }
    }

    /// The stream, up to a whole byte.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.bits.finish()
    }

    fn dc(&mut self, component: usize, value: i32) -> Result<()> {
        let difference = value - self.dc[component];
        let n = 32 - difference.unsigned_abs().leading_zeros();
        if n >= u32::from(DC_CATEGORIES) {
            return Err(Error::corrupt(format!("DC values that differ by {difference}")));
        }
        self.dc[component] = value;
        let bits = if difference < 0 { difference + (1 << n) - 1 } else { difference };
        self.bits.put(u64::from(n) << n | bits as u64, 4 + n);
        Ok(())
    }
}

/// Bits to bytes, with a zero after every 0xff.
#[derive(Default)]
struct BitWriter {
    out: Vec<u8>,
    hold: u64,
    n_bits: u32,
}

impl BitWriter {
    /// Appends the lowest `n` bits, at most 32 of them; the others are zeros.
    #[inline]
    fn put(&mut self, bits: u64, n: u32) {
        self.hold = self.hold << n | bits;
        self.n_bits += n;
        if self.n_bits >= 32 {
            self.n_bits -= 32;
            let word = (self.hold >> self.n_bits) as u32;
            if (!word).wrapping_sub(0x0101_0101) & word & 0x8080_8080 == 0 {
                self.out.extend_from_slice(&word.to_be_bytes());
            } else {
                word.to_be_bytes().into_iter().for_each(|byte| self.push(byte));
            }
        }
    }

    fn push(&mut self, byte: u8) {
        self.out.push(byte);
        if byte == 0xff {
            self.out.push(0);
        }
    }

    /// Fills up the last byte with ones.
    fn finish(mut self) -> Vec<u8> {
        let spare = self.n_bits.next_multiple_of(8) - self.n_bits;
        self.hold = self.hold << spare | low(spare);
        self.n_bits += spare;
        while self.n_bits > 0 {
            self.n_bits -= 8;
            self.push((self.hold >> self.n_bits) as u8);
        }
        self.out
    }
}

const FAST_BITS: u32 = 10;

/// A table of codes.
struct Huffman {
    /// By the next bits: the length of the code and its symbol; length 0 for a longer one.
    fast: [(u8, u8); 1 << FAST_BITS],
    /// For each length the first number of 16 bits beyond its codes, and what leads from a code to its symbol.
    ends: [u32; 17],
    starts: [i32; 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// T.81, annex C. `None` when there are more codes of a length than it has room for.
    fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table =
            Self { fast: [(0, 0); 1 << FAST_BITS], ends: [0; 17], starts: [0; 17], symbols: symbols.to_vec() };
        let (mut code, mut at) = (0_u32, 0);
        for (len, count) in (1..=16_u32).zip(counts) {
            let count = u32::from(*count);
            table.starts[len as usize] = at as i32 - code as i32;
            for _ in 0..count {
                if code >= 1 << len {
                    return None;
                }
                if len <= FAST_BITS {
                    let first = (code << (FAST_BITS - len)) as usize;
                    table.fast[first..first + (1 << (FAST_BITS - len))].fill((len as u8, symbols[at]));
                }
                code += 1;
                at += 1;
            }
            table.ends[len as usize] = code << (16 - len);
            code <<= 1;
        }
        Some(table)
    }

    /// The length of the code that these 16 bits start with, and its symbol.
    #[inline]
    fn look(&self, bits: usize) -> Result<(u32, u8)> {
        let (len, symbol) = self.fast[bits >> (16 - FAST_BITS)];
        if len > 0 { Ok((len.into(), symbol)) } else { self.look_far(bits as u32) }
    }

    fn look_far(&self, bits: u32) -> Result<(u32, u8)> {
        let len = (FAST_BITS as usize + 1..17).find(|len| bits < self.ends[*len]);
        let symbol = len.and_then(|len| {
            let at = (bits >> (16 - len)) as i32 + self.starts[len];
            Some((len as u32, *self.symbols.get(usize::try_from(at).ok()?)?))
        });
        symbol.ok_or_else(|| Error::corrupt("bits that are no Huffman code"))
    }
}

fn huffman_tables(
    mut body: &[u8],
    dc: &mut [Option<Box<Huffman>>; 4],
    ac: &mut [Option<Box<Huffman>>; 4],
) -> Option<()> {
    while let [kind, rest @ ..] = body {
        let (counts, rest) = rest.split_first_chunk::<16>()?;
        let n = counts.iter().map(|count| usize::from(*count)).sum();
        let (symbols, rest) = rest.split_at_checked(n)?;
        let tables = match kind >> 4 {
            0 => &mut *dc,
            1 => &mut *ac,
            _ => return None,
        };
        *tables.get_mut(usize::from(kind & 15))? = Some(Box::new(Huffman::new(counts, symbols)?));
        body = rest;
    }
    Some(())
}

#[cfg(test)]
mod tests;
