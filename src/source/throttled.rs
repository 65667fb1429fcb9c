//! A source that is made slow: for whoever wants to see how a viewer does far from its pixels.

use std::time::Duration;

use crate::cancel;
use crate::error::Result;
use crate::grid::{BlockId, Window};
use crate::memory::LentBytes;
use crate::sync::{Arc, AtomicU64, Ordering};

use super::{ReadContext, SourceInfo, StoredPicture, TileSource};

/// A source whose blocks take as long as if they came over a line: a time before each block, and so many bytes a second
/// then. Its pixels are those of the source within.
///
/// The bytes are those of decoded pixels. Readers do not share the line: of two blocks that are read at once each takes as
/// long as alone. Nothing is lent, and no advice reaches the source within, so that nothing gets around the line. A read
/// that is taken back ends at once.
///
/// ```
/// use std::time::Duration;
/// use tilekeep::{Dataset, MemorySource, OpenOptions, SampleType, Throttled};
///
/// # fn main() -> tilekeep::Result<()> {
/// let source = MemorySource::new(64, 64, 1, SampleType::U8, (32, 32), vec![7; 64 * 64])?;
/// let slow = Throttled::new(source, Duration::from_millis(2), 1 << 20);
/// let dataset = Dataset::from_source(slow, &OpenOptions::default())?;
/// assert_eq!(dataset.block((0, 1, 1))?.bytes()[0], 7);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Throttled<S> {
    source: S,
    latency: Duration,
    bytes_per_second: u64,
    reads: AtomicU64,
    finished: AtomicU64,
}

impl<S: TileSource> Throttled<S> {
    /// `source` behind a line that takes `latency` for every block, and `bytes_per_second`; 0 is without end.
    pub fn new(source: S, latency: Duration, bytes_per_second: u64) -> Self {
        Self { source, latency, bytes_per_second, reads: AtomicU64::new(0), finished: AtomicU64::new(0) }
    }

    /// Blocks that were begun to be read.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Blocks that were read: those that were taken back or failed are not.
    pub fn finished(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }

    fn wait(&self, bytes: usize) -> Result<()> {
        let nanos = (bytes as u128 * 1_000_000_000).checked_div(u128::from(self.bytes_per_second)).unwrap_or(0);
        let time = self.latency.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)));
        if time.is_zero() { cancel::check() } else { cancel::sleep(time) }
    }
}

impl<S: TileSource> TileSource for Throttled<S> {
    fn info(&self) -> &SourceInfo {
        self.source.info()
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], context: &mut ReadContext<'_>) -> Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.wait(out.len())?;
        self.source.read_block(at, out, context)?;
        self.finished.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn lend(&self, _at: BlockId) -> Option<LentBytes<'_>> {
        None
    }

    fn stored_picture(
        &self,
        frame: u32,
        level: u32,
        window: &Window,
        context: &mut ReadContext<'_>,
    ) -> Option<StoredPicture> {
        let picture = self.source.stored_picture(frame, level, window, context)?;
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.wait(picture.file.len()).ok()?;
        self.finished.fetch_add(1, Ordering::Relaxed);
        Some(picture)
    }

    fn may_keep(&self, bytes: u64) -> u64 {
        self.source.may_keep(bytes)
    }

    fn index_bytes(&self) -> u64 {
        self.source.index_bytes()
    }

    fn metadata_bytes(&self) -> u64 {
        self.source.metadata_bytes()
    }

    fn rest(&self) {
        self.source.rest();
    }

    fn mask(&self) -> Option<Arc<dyn TileSource>> {
        let mask = self.source.mask()?;
        Some(Arc::new(Throttled::new(mask, self.latency, self.bytes_per_second)))
    }

    fn open_associated(&self, name: &str) -> Result<Box<dyn TileSource>> {
        let picture = self.source.open_associated(name)?;
        Ok(Box::new(Throttled::new(picture, self.latency, self.bytes_per_second)))
    }

    fn read_blob(&self, name: &str) -> Result<Vec<u8>> {
        self.wait(0)?;
        self.source.read_blob(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, MemorySource, SampleType};

    fn source(latency: Duration, bytes_per_second: u64) -> Throttled<MemorySource> {
        let pixels = (0..70 * 45).map(|i| (i % 251) as u8).collect();
        let source = MemorySource::new(70, 45, 1, SampleType::U8, (32, 16), pixels).unwrap();
        Throttled::new(source, latency, bytes_per_second)
    }

    #[test]
    fn it_keeps_the_promises_of_a_source() {
        super::super::conformance::check(&source(Duration::from_micros(1), 1 << 30)).unwrap();
        super::super::conformance::check(&source(Duration::ZERO, 0)).unwrap();
    }

    #[test]
    fn a_read_that_is_taken_back_does_not_wait() {
        let source = source(Duration::from_secs(3600), 1);
        let token = Arc::new(cancel::Token::default());
        token.cancel();
        let read = cancel::run(&token, || {
            source.read_block(BlockId::new(0, 0, 0), &mut [0; 512], &mut ReadContext::default())
        });
        assert_eq!(read.unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!((source.reads(), source.finished()), (1, 0));
    }
}
