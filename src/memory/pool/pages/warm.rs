//! Free buffers that keep their memory, by size.

use std::collections::VecDeque;

use super::super::Start;

/// Lists are this many bytes of size apart.
const STEP: usize = 4096;

/// A buffer that nobody has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: Start,
    pub(super) size: usize,
}

/// A list of free buffers for every size. The last one freed is the first to be reused: it is the most likely to be in
/// the CPU's caches.
#[derive(Debug)]
pub(super) struct Warm {
    /// By size; the last one is of all the sizes beyond `largest`.
    lists: Vec<List>,
    largest: usize,
    bytes: usize,
    /// Counts buffers freed.
    clock: u64,
}

#[derive(Debug, Default)]
struct List {
    spans: VecDeque<Span>,
    /// When a buffer was added last.
    freed: u64,
}

impl Warm {
    /// Sizes beyond `largest` share a list, in which a size is searched for: it must be short.
    pub(super) fn new(largest: usize) -> Self {
        Self { lists: Vec::new(), largest, bytes: 0, clock: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn put(&mut self, span: Span) {
        let index = self.index(span.size);
        if index >= self.lists.len() {
            self.lists.resize_with(index + 1, List::default);
        }
        self.clock += 1;
        self.lists[index].freed = self.clock;
        self.lists[index].spans.push_back(span);
        self.bytes += span.size;
    }

    pub(super) fn take(&mut self, size: usize) -> Option<Start> {
        let index = self.index(size);
        let spans = &mut self.lists.get_mut(index)?.spans;
        // All but the last list have one size, which is found at once.
        let found = spans.iter().rposition(|span| span.size == size)?;
        let span = spans.remove(found)?;
        self.bytes -= size;
        Some(span.start)
    }

    /// Takes buffers out until `keep` bytes are left: those of the size that was freed the longest ago first, and of
    /// one size those that were freed first.
    pub(super) fn shed(&mut self, keep: usize) -> Vec<Span> {
        let mut shed = Vec::new();
        while self.bytes > keep {
            let filled = self.lists.iter_mut().filter(|list| !list.spans.is_empty());
            let Some(oldest) = filled.min_by_key(|list| list.freed) else { break };
            while self.bytes > keep
                && let Some(span) = oldest.spans.pop_front()
            {
                self.bytes -= span.size;
                shed.push(span);
            }
        }
        shed
    }

    fn index(&self, size: usize) -> usize {
        size.min(self.largest + STEP) / STEP
    }

    #[cfg(test)]
    pub(super) fn spans(&self) -> impl Iterator<Item = Span> {
        self.lists.iter().flat_map(|list| &list.spans).copied()
    }
}
