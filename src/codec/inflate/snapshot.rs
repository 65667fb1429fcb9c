//! Where decoding can be taken up again.

use crate::error::Result;

use super::{Block, CodeLengths, HISTORY, Inflate};

/// All that decoding on depends on.
pub(crate) struct Snapshot {
    hold: u64,
    n_bits: u32,
    block: Block,
    is_last: bool,
    /// Present within a block that has codes.
    codes: Option<Box<CodeLengths>>,
    /// The last bytes, of which the last `pending` were not taken yet.
    window: Box<[u8]>,
    pending: usize,
}

impl Snapshot {
    /// Heap bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.window.len() + self.codes.as_ref().map_or(0, |codes| size_of_val(&**codes))
    }

    /// The most heap bytes of one.
    pub(crate) const MAX_BYTES: usize = HISTORY + size_of::<CodeLengths>();
}

impl Inflate {
    /// What decoding depends on from here.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let first = self.end.saturating_sub(HISTORY).min(self.start);
        Snapshot {
            hold: self.hold,
            n_bits: self.n_bits,
            block: self.block,
            is_last: self.is_last,
            codes: (self.block == Block::Codes).then(|| Box::new(self.codes.clone())),
            window: self.out[first..self.end].into(),
            pending: self.end - self.start,
        }
    }

    /// Goes to where `snapshot` was made.
    pub(crate) fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        (self.hold, self.n_bits) = (snapshot.hold, snapshot.n_bits);
        (self.block, self.is_last) = (snapshot.block, snapshot.is_last);
        self.end = snapshot.window.len();
        self.start = self.end - snapshot.pending;
        self.out[..self.end].copy_from_slice(&snapshot.window);
        if let Some(codes) = &snapshot.codes {
            self.codes = (**codes).clone();
            self.make_tables()?;
        }
        Ok(())
    }
}
