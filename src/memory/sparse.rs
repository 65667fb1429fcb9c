//! Arrays of zeros that get memory where they are written to, and lose it where somebody says so.

#![expect(unsafe_code, reason = "takes zeroed memory for values, and takes memory away under them")]

use std::ops::{Deref, Range};
use std::ptr::{self, NonNull};

use super::pool::{Map, page};

/// An array of fewer bytes is allocated like any other: to map it would take more than it can give back.
const LEAST_MAPPED: usize = 16 << 10;

/// What may be all zeros.
///
/// # Safety
///
/// A value whose bytes are 0 is valid, and its bytes may become 0 while others have a reference to it, for all of it is
/// atomic, or in a cell that nobody looks into meanwhile. It needs no drop.
pub(crate) unsafe trait Zero {
    /// The model checker's atomics are not numbers.
    #[cfg(shuttle)]
    fn zero() -> Self;

    /// Makes it what `zero` gives.
    #[cfg(shuttle)]
    fn clear(&self);
}

/// A fixed number of values, all 0 until they are written to.
///
/// Where the system can, a large one takes memory page by page, as it is written to, and
/// [gives it back](Self::discard) so.
pub(crate) struct Sparse<T: Zero> {
    start: NonNull<T>,
    len: usize,
    /// `None`: allocated.
    map: Option<Map>,
}

// SAFETY: it owns its values.
unsafe impl<T: Zero + Send> Send for Sparse<T> {}
// SAFETY: it lends its values and nothing else.
unsafe impl<T: Zero + Sync> Sync for Sparse<T> {}

impl<T: Zero> Sparse<T> {
    /// So many zeros. Without memory for them the process ends, as for a `Vec`.
    pub(crate) fn new(len: usize) -> Self {
        let is_large = !cfg!(shuttle) && len >= LEAST_MAPPED.div_ceil(size_of::<T>().max(1));
        let bytes = len.checked_mul(size_of::<T>()).filter(|_| is_large && align_of::<T>() <= page());
        let map = bytes.and_then(Map::sparse).map(Map::with_pointers);
        let start = match &map {
            Some(map) => map.start().0.cast(),
            None => NonNull::from(Box::leak(allocated::<T>(len))).cast(),
        };
        Self { start, len, map }
    }

    /// Gives back the memory of these values, which are 0 afterwards; of how many of them. It is none where the system cannot
    /// do that, or they lie on no page of their own; what was not given back is as it was, or 0.
    pub(crate) fn discard(&self, values: Range<usize>) -> usize {
        #[cfg(shuttle)]
        {
            self[values.clone()].iter().for_each(T::clear);
            values.len()
        }
        #[cfg(not(shuttle))]
        {
            let Some(map) = &self.map else { return 0 };
            assert!(values.start <= values.end && values.end <= self.len);
            let size = size_of::<T>();
            let (first, end) = ((values.start * size).next_multiple_of(page()), values.end * size / page() * page());
            // SAFETY: whole pages of the values, which may become 0 at any time.
            if first < end && unsafe { map.discard(first, end - first) } { (end - first) / size } else { 0 }
        }
    }
}

impl<T: Zero> Deref for Sparse<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `new` took memory for so many values, which are valid from the beginning, and it stays until the drop.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Zero> Drop for Sparse<T> {
    fn drop(&mut self) {
        if self.map.is_none() {
            // SAFETY: `new` leaked exactly this slice.
            drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(self.start.as_ptr(), self.len)) });
        }
    }
}

#[cfg(not(shuttle))]
fn allocated<T: Zero>(len: usize) -> Box<[T]> {
    // SAFETY: zeros are values.
    unsafe { Box::<[T]>::new_zeroed_slice(len).assume_init() }
}

#[cfg(shuttle)]
fn allocated<T: Zero>(len: usize) -> Box<[T]> {
    (0..len).map(|_| T::zero()).collect()
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    // SAFETY: an atomic number.
    unsafe impl Zero for AtomicU64 {}

    fn filled(len: usize) -> Sparse<AtomicU64> {
        let values = Sparse::<AtomicU64>::new(len);
        assert!(values.len() == len && values.iter().all(|value| value.swap(7, Ordering::Relaxed) == 0));
        values
    }

    #[test]
    fn what_is_discarded_is_zero_and_its_neighbours_are_not() {
        let values = filled(1 << 14);
        let n_page = page() / 8;
        let discarded = values.discard(1..4 * n_page);
        let is_left = |value: &AtomicU64| value.load(Ordering::Relaxed) == 7;
        let (zeros, rest) = values.split_at(4 * n_page);
        assert_eq!(zeros.iter().filter(|value| !is_left(value)).count(), discarded);
        assert!(zeros[..n_page].iter().all(is_left) && rest.iter().all(is_left));
        if cfg!(all(target_os = "linux", not(miri))) {
            assert_eq!(discarded, 3 * n_page);
        }
        // Nothing is on a page of its own.
        assert_eq!(values.discard(5 * n_page + 1..6 * n_page + 1), 0);
        // What was given back is there again when it is written to.
        assert!(values[n_page..2 * n_page].iter().all(|value| value.swap(9, Ordering::Relaxed) % 7 == 0));
        assert!(values[n_page..2 * n_page].iter().all(|value| value.load(Ordering::Relaxed) == 9));
    }

    #[test]
    fn a_small_array_is_like_any_other() {
        let values = filled(100);
        assert_eq!(values.discard(0..100), 0);
        assert!(values.iter().all(|value| value.load(Ordering::Relaxed) == 7));
        assert!(Sparse::<AtomicU64>::new(0).is_empty());
    }
}
