//! A row as places where its colour changes.

/// Where the colour of a row changes: from white to black, back, and so on, in rising order.
#[derive(Default)]
pub(super) struct Changes(pub(super) Vec<u32>);

impl Changes {
    /// Adds a change. Two at one place are none.
    pub(super) fn push(&mut self, at: u32) {
        if self.0.last() == Some(&at) {
            self.0.pop();
        } else {
            self.0.push(at);
        }
    }

    /// Those of packed pixels.
    pub(super) fn of(width: u32, row: &[u8]) -> Self {
        let mut changes = Vec::new();
        let mut black = 0;
        for (first, byte) in (0..).step_by(8).zip(row) {
            // Bits that differ from the one before.
            let mut differ = byte ^ (byte >> 1 | black << 7);
            black = byte & 1;
            while differ != 0 {
                let bit = differ.leading_zeros();
                differ &= !(0x80 >> bit);
                changes.push(first + bit);
            }
        }
        while changes.last().is_some_and(|last| *last >= width) {
            changes.pop();
        }
        Self(changes)
    }

    /// Sets the bits that are black, and no other.
    pub(super) fn paint(&self, width: u32, row: &mut [u8]) {
        row.fill(0);
        for run in self.0.chunks(2) {
            let (start, end) = (run[0] as usize, run.get(1).copied().unwrap_or(width) as usize);
            if start >= end {
                continue;
            }
            let (first, last) = (start / 8, (end - 1) / 8);
            let (head, tail) = (0xff >> (start % 8), 0xff << (7 - (end - 1) % 8));
            if first == last {
                row[first] |= head & tail;
            } else {
                row[first] |= head;
                row[first + 1..last].fill(0xff);
                row[last] |= tail;
            }
        }
    }
}
