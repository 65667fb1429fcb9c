//! Bytes that belong to somebody else, who keeps them where they are for as long as they are lent.

#![expect(unsafe_code, reason = "refers to memory that its owner keeps alive, without a borrow")]

use std::fmt;
use std::ops::{Deref, Range};
use std::ptr::NonNull;

use crate::sync::Arc;

/// Bytes out of memory that its owner holds anyway: a mapped file, a picture that is kept whole.
///
/// They are not copied, and nothing is counted. Whoever needs them for longer than `'a` shares the owner.
#[derive(Clone, Copy)]
pub struct LentBytes<'a> {
    bytes: &'a [u8],
    owner: &'a dyn Owner,
}

/// Something whose bytes were asked for once, and that can be kept alive.
trait Owner: Sync {
    fn share(&self) -> Arc<dyn Send + Sync>;
}

impl<T: Send + Sync + 'static> Owner for Arc<T> {
    fn share(&self) -> Arc<dyn Send + Sync> {
        Self::clone(self)
    }
}

impl<'a> LentBytes<'a> {
    /// The bytes of `owner` in `range`; `None` where it does not have so many.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tilekeep::LentBytes;
    ///
    /// let picture = Arc::new(vec![1, 2, 3, 4]);
    /// assert_eq!(*LentBytes::new(&picture, 1..3).unwrap(), [2, 3]);
    /// assert!(LentBytes::new(&picture, 3..5).is_none());
    /// ```
    #[must_use]
    pub fn new<T: AsRef<[u8]> + Send + Sync + 'static>(owner: &'a Arc<T>, range: Range<usize>) -> Option<Self> {
        T::as_ref(owner).get(range).map(|bytes| Self { bytes, owner })
    }

    /// The same bytes for as long as somebody wants them, for the price of a reference count.
    pub(crate) fn keep(self) -> KeptBytes {
        KeptBytes { start: NonNull::from(self.bytes).cast(), len: self.bytes.len(), _owner: self.owner.share() }
    }

    /// The bytes for as long as they are lent.
    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl Deref for LentBytes<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl fmt::Debug for LentBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LentBytes").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// Lent bytes that keep their owner.
pub(crate) struct KeptBytes {
    start: NonNull<u8>,
    len: usize,
    _owner: Arc<dyn Send + Sync>,
}

// SAFETY: this is a shared reference to bytes and a reference count of their owner, which may be shared and sent.
unsafe impl Send for KeptBytes {}
// SAFETY: as above.
unsafe impl Sync for KeptBytes {}

impl Deref for KeptBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `start` and `len` are a slice that `as_ref` gave for a borrow of the owner. That borrow may be taken to
        // last as long as `_owner`, which was counted while it lasted: the owner does not move inside its `Arc`, and
        // while ours is one of the references nobody else gets it mutably.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_keeps_its_owner() {
        let owner = Arc::new([1_u8, 2, 3, 4, 5]);
        let lent = LentBytes::new(&owner, 1..4).unwrap();
        assert_eq!((lent.as_ptr(), Arc::strong_count(&owner)), (&raw const owner[1], 1));
        let kept = lent.keep();
        assert_eq!((kept.as_ptr(), Arc::strong_count(&owner)), (&raw const owner[1], 2));
        let weak = Arc::downgrade(&owner);
        drop(owner);
        assert_eq!(std::thread::spawn(move || kept.to_vec()).join().unwrap(), [2, 3, 4]);
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn what_the_owner_does_not_have_is_not_lent() {
        let owner = Arc::new(vec![0_u8; 10]);
        #[expect(clippy::reversed_empty_ranges, reason = "it must not be taken for a length")]
        let wrong = [5..11, 11..11, 7..3, usize::MAX - 1..usize::MAX];
        for range in wrong {
            assert!(LentBytes::new(&owner, range).is_none());
        }
        assert_eq!(LentBytes::new(&owner, 10..10).unwrap().len(), 0);
    }
}
