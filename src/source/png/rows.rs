//! Rows of a PNG in the order of the stream, from its start or from where it was left before.

use crate::codec::inflate::{self, Inflate, Snapshot};
use crate::codec::png_filter;
use crate::error::{Error, Result};
use crate::sync::Arc;

use super::super::ReadAt;
use super::super::restarts::Restarts;
use super::idat::{self, Idat, Place};
use super::passes::Pass;

/// All that the rows from a place on depend on.
pub(super) struct Restart {
    snapshot: Snapshot,
    place: Place,
    /// The row before; empty at the start of a pass.
    before: Box<[u8]>,
}

impl Restart {
    /// The most that one takes where rows have so many bytes.
    pub(super) fn max_bytes(row_bytes: usize) -> usize {
        size_of::<Self>() + Snapshot::MAX_BYTES + row_bytes
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.snapshot.bytes() + self.before.len()
    }
}

/// A decoder of rows, between two of them.
pub(super) struct Rows {
    inflate: Inflate,
    idat: Idat,
    /// Where in the inflated stream the next row starts.
    position: u64,
    before: Vec<u8>,
    row: Vec<u8>,
}

impl Rows {
    pub(super) fn new(reader: Arc<dyn ReadAt>, start: Place) -> Self {
        let idat = Idat::new(reader, start);
        Self { inflate: Inflate::new(), idat, position: 0, before: Vec::new(), row: Vec::new() }
    }

    /// What one holds where rows have so many bytes.
    pub(super) fn state_bytes(row_bytes: usize) -> usize {
        inflate::STATE_BYTES + idat::BUFFER + 2 * row_bytes
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Goes to where the stream starts.
    pub(super) fn go_to_start(&mut self, start: Place) {
        self.inflate.reset();
        self.idat.go_to(start);
        self.position = 0;
    }

    /// Goes to `position`, where `restart` was made.
    pub(super) fn go_to(&mut self, position: u64, restart: &Restart) -> Result<()> {
        self.inflate.restore(&restart.snapshot)?;
        self.idat.go_to(restart.place);
        self.position = position;
        self.before.clear();
        self.before.extend_from_slice(&restart.before);
        Ok(())
    }

    /// What it takes to go on from here elsewhere.
    pub(super) fn restart(&self, is_first_of_pass: bool) -> Restart {
        Restart {
            snapshot: self.inflate.snapshot(),
            place: self.idat.place(),
            before: if is_first_of_pass { Box::default() } else { self.before.as_slice().into() },
        }
    }

    /// The next row, which is one of `pass`. Leaves a restart point before it where the index wants one.
    pub(super) fn next(&mut self, pass: &Pass, restarts: &Restarts<Restart>) -> Result<&[u8]> {
        let row = pass.row_at(self.position);
        if restarts.wants(self.position) {
            let restart = self.restart(row == 0);
            let bytes = restart.bytes();
            restarts.add(self.position, restart, bytes);
        }
        if row == 0 {
            self.before.clear();
            self.before.resize(pass.row_bytes, 0);
        }
        let mut filter = [0];
        self.row.resize(pass.row_bytes, 0);
        let (inflate, idat) = (&mut self.inflate, &mut self.idat);
        let read = read(inflate, idat, &mut filter).and_then(|()| read(inflate, idat, &mut self.row));
        read.and_then(|()| png_filter::undo(filter[0], pass.pixel_bytes, &self.before, &mut self.row))
            .map_err(|error| error.context(format!("row {row}")))?;
        self.position = pass.position(row + 1);
        std::mem::swap(&mut self.before, &mut self.row);
        Ok(&self.before)
    }
}

fn read(inflate: &mut Inflate, idat: &mut Idat, mut out: &mut [u8]) -> Result<()> {
    while !out.is_empty() {
        if inflate.pending().is_empty() {
            inflate.fill(idat, out.len())?;
        }
        let pending = inflate.pending();
        if pending.is_empty() {
            return Err(Error::corrupt("the picture ends before"));
        }
        let n = pending.len().min(out.len());
        out[..n].copy_from_slice(&pending[..n]);
        inflate.take(n);
        out = &mut out[n..];
    }
    Ok(())
}
