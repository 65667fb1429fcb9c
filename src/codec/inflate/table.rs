//! From the next bits of a stream to what they mean: the codes of one block.

use crate::error::{Error, Result};

/// The longest code.
pub(super) const MAX_CODE_BITS: usize = 15;

/// What the next bits mean: how many they are, with those that are added, what they mean, the length of the code, and a
/// number.
#[derive(Clone, Copy)]
pub(super) struct Entry(u32);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Literal,
    Copy,
    End,
    Invalid,
}

impl Entry {
    const INVALID: Self = Self(3 << 8);
    /// Marks an entry that leads to others: `base` is where they start.
    const SUB: u32 = 1 << 10;
    /// Marks an entry of two literals, the first one in the lower byte of `base`; the code is that of the first.
    const PAIR: u32 = 1 << 11;

    const fn new(kind: Kind, extra: u32, base: u16) -> Self {
        Self((kind as u32) << 8 | extra | (base as u32) << 16)
    }

    /// The same entry with a code of so many bits.
    const fn coded(self, len: u32) -> Self {
        Self((self.0 + len) | (len << 12))
    }

    pub(super) fn literal(value: u16) -> Self {
        Self::new(Kind::Literal, 0, value)
    }

    /// RFC 1951, 3.2.5.
    pub(super) fn of_litlen(symbol: usize) -> Self {
        match symbol {
            0..=255 => Self::literal(symbol as u16),
            256 => Self::new(Kind::End, 0, 0),
            257..=264 => Self::new(Kind::Copy, 0, symbol as u16 - 254),
            265..=284 => {
                let extra = (symbol as u32 - 261) / 4;
                let base = 3 + ((4 + (symbol as u32 - 265) % 4) << extra);
                Self::new(Kind::Copy, extra, base as u16)
            }
            285 => Self::new(Kind::Copy, 0, 258),
            _ => Self::INVALID,
        }
    }

    pub(super) fn of_distance(symbol: usize) -> Self {
        match symbol {
            0..=3 => Self::new(Kind::Copy, 0, symbol as u16 + 1),
            4..=29 => {
                let extra = symbol as u32 / 2 - 1;
                Self::new(Kind::Copy, extra, (1 + ((2 + symbol as u32 % 2) << extra)) as u16)
            }
            _ => Self::INVALID,
        }
    }

    /// Bits of the code.
    #[inline(always)]
    pub(super) fn len(self) -> u32 {
        self.0 >> 12 & 15
    }

    /// Bits of the code and of what is added to the base.
    #[inline(always)]
    pub(super) fn all_bits(self) -> u32 {
        self.0 & 0xff
    }

    /// Bits that are added to the base.
    #[inline(always)]
    pub(super) fn extra(self) -> u32 {
        self.all_bits() - self.len()
    }

    #[inline(always)]
    pub(super) fn kind(self) -> Kind {
        match self.0 >> 8 & 3 {
            0 => Kind::Literal,
            1 => Kind::Copy,
            2 => Kind::End,
            _ => Kind::Invalid,
        }
    }

    #[inline(always)]
    pub(super) fn base(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The base and what `hold`, which starts with the code, adds to it.
    #[inline(always)]
    pub(super) fn value(self, hold: u64) -> usize {
        let added = hold >> self.len() & ((1 << (self.all_bits() - self.len())) - 1);
        usize::from(self.base()) + added as usize
    }

    /// Whether these are one literal or two, and not what leads to others.
    #[inline(always)]
    pub(super) fn is_literals(self) -> bool {
        self.0 & (3 << 8 | Self::SUB) == 0
    }

    #[inline(always)]
    pub(super) fn n_literals(self) -> usize {
        1 + (self.0 >> 11 & 1) as usize
    }

    #[inline(always)]
    fn is_sub(self) -> bool {
        self.0 & Self::SUB != 0
    }

    /// The entry of the first literal of a pair, or this one.
    fn first(self) -> Self {
        if self.0 & Self::PAIR == 0 { self } else { Self::literal(self.base() & 0xff).coded(self.len()) }
    }

    /// One after the other, if both are single literals.
    fn and(self, next: Self) -> Option<Self> {
        let is_single = |entry: Self| entry.0 & (3 << 8 | Self::SUB | Self::PAIR) == 0;
        let both = Self::literal(self.base() | next.base() << 8).0 | Self::PAIR;
        (is_single(self) && is_single(next)).then(|| Self(both | (self.len() + next.len()) | (self.len() << 12)))
    }
}

/// Codes by the bits that they start with, as many as `ROOT` has at most, which is a power of two; longer ones than that are
/// in `rest`.
pub(super) struct Table<const ROOT: usize> {
    root: Box<[Entry; ROOT]>,
    /// How many bits the root decides by.
    root_bits: u32,
    rest: Vec<Entry>,
    /// How many bits decide behind the root.
    rest_bits: u32,
}

impl<const ROOT: usize> Default for Table<ROOT> {
    fn default() -> Self {
        Self { root: Box::new([Entry::INVALID; ROOT]), root_bits: Self::MAX_ROOT_BITS, rest: Vec::new(), rest_bits: 0 }
    }
}

impl<const ROOT: usize> Table<ROOT> {
    pub(super) const MAX_ROOT_BITS: u32 = ROOT.ilog2();

    /// What the next bits mean, without a look at what follows: of two literals only the first.
    #[inline(always)]
    pub(super) fn look(&self, hold: u64) -> Entry {
        let index = hold as usize & ((1 << self.root_bits) - 1);
        self.follow(self.root[index], hold).first()
    }

    /// How many bits the root decides by.
    pub(super) fn root_bits(&self) -> u32 {
        self.root_bits
    }

    /// What a root of `BITS` bits, as this one is, says of the next bits.
    #[inline(always)]
    pub(super) fn root<const BITS: u32>(&self, hold: u64) -> Entry {
        self.root[hold as usize & ((1 << BITS) - 1)]
    }

    /// Where `entry`, which the root has for the next bits, leads to.
    #[inline(always)]
    pub(super) fn follow(&self, entry: Entry, hold: u64) -> Entry {
        if !entry.is_sub() {
            return entry;
        }
        let rest = hold >> self.root_bits & ((1 << self.rest_bits) - 1);
        self.rest[usize::from(entry.base()) + rest as usize]
    }

    /// Makes one entry of two literals where the root has the bits of both.
    pub(super) fn pair(&mut self) {
        // What follows an entry is at a smaller index, so it is a single one yet.
        for index in (0..1 << self.root_bits).rev() {
            let entry = self.root[index];
            let next = self.root[index >> entry.len()];
            if let Some(both) = entry.and(next)
                && both.all_bits() <= self.root_bits
            {
                self.root[index] = both;
            }
        }
    }

    /// Makes the table of codes of these lengths, 0 for symbols without one. A code that is not complete is an error,
    /// but for none at all and, where `one_is_enough`, for one of a single bit. The root decides by `root_bits`.
    pub(super) fn build(
        &mut self,
        root_bits: u32,
        lengths: &[u8],
        meaning: impl Fn(usize) -> Entry,
        one_is_enough: bool,
    ) -> Result<()> {
        let mut counts = [0_u32; MAX_CODE_BITS + 1];
        lengths.iter().for_each(|length| counts[usize::from(*length)] += 1);
        counts[0] = 0;
        let longest = (1..=MAX_CODE_BITS).rev().find(|bits| counts[*bits] > 0).unwrap_or(0);
        let mut next = [0_u32; MAX_CODE_BITS + 2];
        for bits in 1..=MAX_CODE_BITS {
            next[bits + 1] = (next[bits] + counts[bits]) << 1;
            if next[bits] + counts[bits] > 1 << bits {
                return Err(Error::corrupt("a deflate block with too many codes of a length"));
            }
        }
        let is_complete = next[MAX_CODE_BITS + 1] == 1 << (MAX_CODE_BITS + 1);
        if !is_complete && longest != 0 && !(one_is_enough && longest == 1) {
            return Err(Error::corrupt("a deflate block with codes that mean nothing"));
        }
        self.root_bits = root_bits.min(Self::MAX_ROOT_BITS);
        let n_root = 1 << self.root_bits;
        self.root[..n_root].fill(Entry::INVALID);
        self.rest.clear();
        self.rest_bits = (longest as u32).saturating_sub(self.root_bits);
        for (symbol, length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            let bits = u32::from(*length);
            let code = next[usize::from(*length)];
            next[usize::from(*length)] += 1;
            let reversed = (code.reverse_bits() >> (32 - bits)) as usize;
            let entry = meaning(symbol).coded(bits);
            if bits <= self.root_bits {
                self.root[reversed..n_root].iter_mut().step_by(1 << bits).for_each(|place| *place = entry);
                continue;
            }
            let root = &mut self.root[reversed % n_root];
            if root.0 & Entry::SUB == 0 {
                let start = self.rest.len();
                self.rest.resize(start + (1 << self.rest_bits), Entry::INVALID);
                *root = Entry((start as u32) << 16 | Entry::SUB);
            }
            let start = usize::from(root.base());
            let rest = &mut self.rest[start..start + (1 << self.rest_bits)];
            let places = rest[reversed >> self.root_bits..].iter_mut().step_by(1 << (bits - self.root_bits));
            places.for_each(|place| *place = entry);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_literals_at_once_are_those_one_after_the_other() {
        // A complete code; the last symbol is no literal.
        let mut lengths = [0; 257];
        let codes =
            [(0, 2), (7, 2), (255, 2), (3, 4), (4, 4), (5, 4), (9, 6), (10, 6), (11, 6), (20, 8), (21, 8), (22, 8)];
        codes.iter().for_each(|(symbol, length)| lengths[*symbol] = *length);
        lengths[256] = 8;
        for bits in [5, 11, 12] {
            let mut table = Table::<4096>::default();
            table.build(bits, &lengths, Entry::of_litlen, true).unwrap();
            let plain: Vec<Entry> = (0..1 << 16).map(|hold| table.look(hold)).collect();
            table.pair();
            let mut n_pairs = 0;
            for hold in 0..1_u64 << 16 {
                let (entry, first) = (table.root[hold as usize % (1 << bits)], plain[hold as usize]);
                assert_eq!(table.look(hold).0, first.0);
                if entry.is_literals() && entry.n_literals() == 2 {
                    n_pairs += 1;
                    let second = plain[(hold >> first.len()) as usize];
                    assert_eq!(entry.base(), first.base() | second.base() << 8);
                    assert_eq!((entry.all_bits(), second.kind() == Kind::Literal), (first.len() + second.len(), true));
                    assert!(entry.all_bits() <= bits);
                }
            }
            assert!(n_pairs > 0, "{bits}");
        }
    }
}
