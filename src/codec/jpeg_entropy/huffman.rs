//! Tables of Huffman codes (ITU-T T.81, annexes B and C).

use crate::error::{Error, Result};

/// The tables that a stream has defined so far.
#[derive(Clone, Default)]
pub(crate) struct Tables {
    pub(super) dc: [Option<Box<Huffman>>; 4],
    pub(super) ac: [Option<Box<Huffman>>; 4],
}

impl Tables {
    /// Takes in the body of a segment that defines tables. `None` when it is wrong.
    pub(crate) fn define(&mut self, mut body: &[u8]) -> Option<()> {
        while let [kind, rest @ ..] = body {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let n = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(n)?;
            let tables = match kind >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return None,
            };
            *tables.get_mut(usize::from(kind & 15))? = Some(Box::new(Huffman::new(counts, symbols)?));
            body = rest;
        }
        Some(())
    }

    /// Bytes held beside itself.
    pub(super) fn memory_bytes(&self) -> usize {
        let tables = self.dc.iter().chain(&self.ac).flatten();
        tables.map(|table| size_of::<Huffman>() + table.memory_bytes()).sum()
    }
}

const FAST_BITS: u32 = 10;

/// A table of codes.
#[derive(Clone)]
pub(super) struct Huffman {
    /// By the next bits: the length of the code and its symbol; length 0 for a longer one.
    fast: [(u8, u8); 1 << FAST_BITS],
    /// For each length the first number of 16 bits beyond its codes, and what leads from a code to its symbol.
    ends: [u32; 17],
    starts: [i32; 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// Bytes held beside itself.
    pub(super) fn memory_bytes(&self) -> usize {
        self.symbols.capacity()
    }

    /// T.81, annex C. `None` when there are more codes of a length than it has room for.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
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
    pub(super) fn look(&self, bits: usize) -> Result<(u32, u8)> {
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
