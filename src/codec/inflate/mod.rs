//! Deflate (RFC 1951, in its zlib wrapping) that can be left at any symbol and taken up again there.
//!
//! A stream of a whole picture is too long to be decoded for every window of it. This decoder stops after about as many
//! bytes as it was asked for, and a [`Snapshot`] of it then holds all that decoding depends on: the bits read ahead, the
//! codes of the block, and the last 32 KiB. So a place to go on from need not be where a block of the stream ends, and
//! there are writers who put a whole picture into one.
//!
//! Checksums are not looked at: the one of a zlib stream covers all of it, and PNG has others.

mod copy;
mod snapshot;
mod table;

use crate::error::{Error, Result};
use copy::copy;
pub(crate) use snapshot::Snapshot;
use table::{Entry, Kind, MAX_CODE_BITS, Table};

/// How far back a copy may reach.
const HISTORY: usize = 32 << 10;
/// Bytes that may be asked for at once.
pub(crate) const MAX_WANTED: usize = 32 << 10;
/// The longest copy, the literals before it, and what a copy in steps writes too much.
const OVERSHOOT: usize = 258 + 4 + 16;
/// History, and room for several requests before it has to be moved.
const BUFFER: usize = HISTORY + 2 * MAX_WANTED + OVERSHOOT;
/// What a decoder holds: its buffer and its tables.
pub(crate) const STATE_BYTES: usize = BUFFER + (24 << 10);

/// Bits that the tables decide by at once.
const LARGE_ROOT: u32 = 12;
const SMALL_ROOT: u32 = 11;
const DISTANCE_ROOT: u32 = 9;

const MAX_LITLEN: usize = 288;
const MAX_DISTANCE: usize = 32;

/// Where compressed bytes come from.
pub(crate) trait Feed {
    /// The next bytes; none where the stream ends. The same ones again until they are consumed.
    fn bytes(&mut self) -> Result<&[u8]>;

    /// Goes on by `n` of them.
    fn consume(&mut self, n: usize);
}

/// A decoder in the middle of a stream.
pub(crate) struct Inflate {
    /// Bits that were read and not used, lowest first; above `n_bits` of them are zeros.
    hold: u64,
    n_bits: u32,
    block: Block,
    /// Whether the block is the last one.
    is_last: bool,
    codes: CodeLengths,
    litlen: Table<{ 1 << LARGE_ROOT }>,
    distance: Table<{ 1 << DISTANCE_ROOT }>,
    /// History and what was not taken yet.
    out: Vec<u8>,
    start: usize,
    end: usize,
}

/// What comes next in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// The two bytes of the zlib header.
    Wrapping,
    Header,
    Stored(u32),
    Codes,
    End,
}

/// The lengths of the codes of a block, of which its tables are made.
#[derive(Clone)]
struct CodeLengths {
    lengths: [u8; MAX_LITLEN + MAX_DISTANCE],
    n_litlen: usize,
    n_distance: usize,
}

impl Inflate {
    /// At the start of a zlib stream.
    pub(crate) fn new() -> Self {
        Self {
            hold: 0,
            n_bits: 0,
            block: Block::Wrapping,
            is_last: false,
            codes: CodeLengths { lengths: [0; MAX_LITLEN + MAX_DISTANCE], n_litlen: 0, n_distance: 0 },
            litlen: Table::default(),
            distance: Table::default(),
            out: vec![0; BUFFER],
            start: 0,
            end: 0,
        }
    }

    /// Goes back to the start of a zlib stream.
    pub(crate) fn reset(&mut self) {
        (self.hold, self.n_bits, self.block, self.is_last) = (0, 0, Block::Wrapping, false);
        (self.start, self.end) = (0, 0);
    }

    /// What was decoded and not taken.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.out[self.start..self.end]
    }

    /// Takes the first `n` of the pending bytes.
    pub(crate) fn take(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }

    /// Decodes until at least `wanted` bytes are pending, and little more; fewer only where the stream ends.
    ///
    /// # Errors
    ///
    /// Corrupt when the stream breaks off or is none, and what `feed` fails with. The decoder is then good for
    /// [`reset`](Self::reset) and [`restore`](Self::restore) only.
    pub(crate) fn fill(&mut self, feed: &mut impl Feed, wanted: usize) -> Result<()> {
        let wanted = wanted.min(MAX_WANTED);
        if self.out.len() - self.start < wanted + OVERSHOOT {
            let keep = self.start.min(self.end.saturating_sub(HISTORY));
            self.out.copy_within(keep..self.end, 0);
            self.start -= keep;
            self.end -= keep;
        }
        let target = self.start + wanted;
        while self.end < target {
            match self.block {
                Block::Wrapping => self.wrapping(feed)?,
                Block::Header => self.header(feed)?,
                Block::Stored(left) => self.stored(feed, left, target)?,
                Block::Codes => self.coded(feed, target)?,
                Block::End => break,
            }
        }
        Ok(())
    }

    fn wrapping(&mut self, feed: &mut impl Feed) -> Result<()> {
        let (method, flags) = (self.bits(feed, 8)?, self.bits(feed, 8)?);
        let is_zlib = method & 15 == 8 && method >> 4 <= 7 && flags & 0x20 == 0 && (method << 8 | flags) % 31 == 0;
        if !is_zlib {
            return Err(Error::corrupt(format!("bytes {method:#04x} {flags:#04x} start no zlib stream")));
        }
        self.block = Block::Header;
        Ok(())
    }

    fn header(&mut self, feed: &mut impl Feed) -> Result<()> {
        if self.is_last {
            self.block = Block::End;
            return Ok(());
        }
        self.is_last = self.bits(feed, 1)? == 1;
        match self.bits(feed, 2)? {
            0 => {
                let spare = self.n_bits % 8;
                self.bits(feed, spare)?;
                let (len, inverse) = (self.bits(feed, 16)?, self.bits(feed, 16)?);
                if len != inverse ^ 0xffff {
                    return Err(Error::corrupt(format!("a stored block of {len} bytes, or of {}", inverse ^ 0xffff)));
                }
                self.block = Block::Stored(len);
            }
            1 => {
                let lengths = &mut self.codes.lengths;
                for (range, length) in [(0..144, 8), (144..256, 9), (256..280, 7), (280..288, 8), (288..320, 5)] {
                    lengths[range].fill(length);
                }
                (self.codes.n_litlen, self.codes.n_distance) = (MAX_LITLEN, MAX_DISTANCE);
                self.make_tables()?;
                self.block = Block::Codes;
            }
            2 => {
                self.code_lengths(feed)?;
                self.make_tables()?;
                self.block = Block::Codes;
            }
            _ => return Err(Error::corrupt("a deflate block of the fourth kind, of which there are three")),
        }
        Ok(())
    }

    fn code_lengths(&mut self, feed: &mut impl Feed) -> Result<()> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let n_litlen = 257 + self.bits(feed, 5)? as usize;
        let n_distance = 1 + self.bits(feed, 5)? as usize;
        let n_codes = 4 + self.bits(feed, 4)? as usize;
        if n_litlen > 286 || n_distance > 30 {
            return Err(Error::corrupt(format!("a deflate block with {n_litlen} and {n_distance} codes")));
        }
        let mut lengths = [0; 19];
        for at in &ORDER[..n_codes] {
            lengths[*at] = self.bits(feed, 3)? as u8;
        }
        let mut table = Table::<128>::default();
        table.build(7, &lengths, |symbol| Entry::literal(symbol as u16), false)?;
        let n = n_litlen + n_distance;
        let mut at = 0;
        while at < n {
            let symbol = self.symbol(feed, |inflate| table.look(inflate.hold))?.base();
            let (value, times) = match symbol {
                0..=15 => (symbol as u8, 1),
                16 if at == 0 => return Err(Error::corrupt("a deflate code that repeats none")),
                16 => (self.codes.lengths[at - 1], 3 + self.bits(feed, 2)?),
                17 => (0, 3 + self.bits(feed, 3)?),
                _ => (0, 11 + self.bits(feed, 7)?),
            };
            let end = at + times as usize;
            if end > n {
                return Err(Error::corrupt(format!("a deflate block with more than {n} codes")));
            }
            self.codes.lengths[at..end].fill(value);
            at = end;
        }
        if self.codes.lengths[256] == 0 {
            return Err(Error::corrupt("a deflate block without an end"));
        }
        (self.codes.n_litlen, self.codes.n_distance) = (n_litlen, n_distance);
        Ok(())
    }

    fn make_tables(&mut self) -> Result<()> {
        let (litlen, rest) = self.codes.lengths.split_at(self.codes.n_litlen);
        // Where most symbols are literals, two of them are found at once in a table that has the bits of both. Otherwise a
        // smaller one leaves more of the first cache to what is copied.
        let literals = litlen.iter().take(256).filter(|length| **length > 0);
        let share: u32 = literals.map(|length| 1 << (MAX_CODE_BITS - usize::from(*length))).sum();
        if 2 * share > 1 << MAX_CODE_BITS {
            self.litlen.build(LARGE_ROOT, litlen, Entry::of_litlen, true)?;
            self.litlen.pair();
        } else {
            self.litlen.build(SMALL_ROOT, litlen, Entry::of_litlen, true)?;
        }
        self.distance.build(DISTANCE_ROOT, &rest[..self.codes.n_distance], Entry::of_distance, true)
    }

    fn stored(&mut self, feed: &mut impl Feed, left: u32, target: usize) -> Result<()> {
        if left == 0 {
            self.block = Block::Header;
            return Ok(());
        }
        // Whole bytes that were read ahead come first.
        if self.n_bits > 0 {
            let byte = self.bits(feed, 8)?;
            self.out[self.end] = byte as u8;
            self.end += 1;
            self.block = Block::Stored(left - 1);
            return Ok(());
        }
        let bytes = feed.bytes()?;
        let n = bytes.len().min(left as usize).min(target - self.end);
        if n == 0 {
            return Err(broken_off());
        }
        self.out[self.end..][..n].copy_from_slice(&bytes[..n]);
        feed.consume(n);
        self.end += n;
        self.block = Block::Stored(left - n as u32);
        Ok(())
    }

    fn coded(&mut self, feed: &mut impl Feed, target: usize) -> Result<()> {
        while self.end < target && self.block == Block::Codes {
            let bytes = feed.bytes()?;
            if bytes.len() >= FAST_BYTES {
                let used = match self.litlen.root_bits() {
                    LARGE_ROOT => self.fast::<LARGE_ROOT>(bytes, target)?,
                    _ => self.fast::<SMALL_ROOT>(bytes, target)?,
                };
                feed.consume(used);
            } else {
                self.one(feed)?;
            }
        }
        Ok(())
    }

    /// One literal or copy, without reading a byte more than it takes.
    fn one(&mut self, feed: &mut impl Feed) -> Result<()> {
        let entry = self.symbol(feed, |inflate| inflate.litlen.look(inflate.hold))?;
        match entry.kind() {
            Kind::Literal => {
                self.out[self.end] = entry.base() as u8;
                self.end += 1;
            }
            Kind::End => self.block = Block::Header,
            _ => {
                let len = usize::from(entry.base()) + self.bits(feed, entry.extra())? as usize;
                let entry = self.symbol(feed, |inflate| inflate.distance.look(inflate.hold))?;
                let distance = usize::from(entry.base()) + self.bits(feed, entry.extra())? as usize;
                self.end = copy(&mut self.out, self.end, distance, len)?;
            }
        }
        Ok(())
    }

    /// As many literals and copies as `input` surely holds, at most to a little beyond `target`. Returns what of `input`
    /// was used.
    fn fast<const ROOT_BITS: u32>(&mut self, input: &[u8], target: usize) -> Result<usize> {
        let (mut hold, mut n_bits, mut at, mut end) = (self.hold, self.n_bits, 0, self.end);
        let (litlen, distances, out) = (&self.litlen, &self.distance, &mut self.out[..]);
        macro_rules! refill {
            () => {
                let Some(word) = input[at..].first_chunk::<8>() else { break };
                // What does not fit is read again: `n_bits` counts whole bytes only.
                hold |= u64::from_le_bytes(*word) << n_bits;
                at += ((63 - n_bits) >> 3) as usize;
                n_bits |= 56;
            };
        }
        macro_rules! drop_bits {
            ($entry:expr) => {
                hold >>= $entry.all_bits();
                n_bits -= $entry.all_bits();
            };
        }
        macro_rules! put {
            ($entry:expr) => {
                let Some(target) = out.get_mut(end..end + 2) else { break };
                target.copy_from_slice(&$entry.base().to_le_bytes());
                end += $entry.n_literals();
                drop_bits!($entry);
            };
        }
        let mut failed = None;
        while end < target && at + FAST_BYTES <= input.len() {
            refill!();
            let mut entry = litlen.root::<ROOT_BITS>(hold);
            if entry.is_literals() {
                put!(entry);
                entry = litlen.root::<ROOT_BITS>(hold);
                if entry.is_literals() {
                    put!(entry);
                    entry = litlen.root::<ROOT_BITS>(hold);
                    if entry.is_literals() {
                        put!(entry);
                        continue;
                    }
                }
                // A copy takes up to 48 bits.
                refill!();
            }
            if entry.kind() != Kind::Copy {
                entry = litlen.follow(entry, hold);
                match entry.kind() {
                    Kind::Literal => {
                        put!(entry);
                        continue;
                    }
                    Kind::Copy => {}
                    Kind::End => {
                        drop_bits!(entry);
                        self.block = Block::Header;
                        break;
                    }
                    Kind::Invalid => {
                        failed = Some(no_code());
                        break;
                    }
                }
            }
            let len = entry.value(hold);
            drop_bits!(entry);
            let entry = distances.follow(distances.root::<DISTANCE_ROOT>(hold), hold);
            if entry.kind() != Kind::Copy {
                failed = Some(no_code());
                break;
            }
            let distance = entry.value(hold);
            drop_bits!(entry);
            match copy(out, end, distance, len) {
                Ok(after) => end = after,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        (self.hold, self.n_bits, self.end) = (hold & ((1 << n_bits) - 1), n_bits, end);
        failed.map_or(Ok(at), Err)
    }

    /// The next symbol by what `look` finds, reading no byte more than it takes.
    fn symbol(&mut self, feed: &mut impl Feed, look: impl Fn(&Self) -> Entry) -> Result<Entry> {
        loop {
            let entry = look(self);
            if entry.len() <= self.n_bits && entry.kind() != Kind::Invalid {
                self.hold >>= entry.len();
                self.n_bits -= entry.len();
                return Ok(entry);
            }
            if self.n_bits as usize >= MAX_CODE_BITS {
                return Err(no_code());
            }
            self.one_byte_more(feed)?;
        }
    }

    /// The next `n` bits, at most 16.
    fn bits(&mut self, feed: &mut impl Feed, n: u32) -> Result<u32> {
        while self.n_bits < n {
            self.one_byte_more(feed)?;
        }
        let value = self.hold & ((1 << n) - 1);
        self.hold >>= n;
        self.n_bits -= n;
        Ok(value as u32)
    }

    fn one_byte_more(&mut self, feed: &mut impl Feed) -> Result<()> {
        let byte = *feed.bytes()?.first().ok_or_else(broken_off)?;
        feed.consume(1);
        self.hold |= u64::from(byte) << self.n_bits;
        self.n_bits += 8;
        Ok(())
    }
}

/// Two words: both reads of a literal or copy are within them.
const FAST_BYTES: usize = 16;

fn broken_off() -> Error {
    Error::corrupt("the compressed stream breaks off")
}

fn no_code() -> Error {
    Error::corrupt("the compressed stream has bits that are no code")
}

#[cfg(test)]
mod tests;
