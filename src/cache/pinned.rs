//! A value that stays for as long as somebody holds it.

#![expect(unsafe_code, reason = "the pin is what makes reading the slot sound")]

use std::hash::Hash;
use std::mem;
use std::ops::Deref;

use crate::sync::Arc;

use super::Cache;
use super::slots::Place;

/// A value that stays while this lives. `C` is how the cache is held: borrowed, or shared when the pin must be able
/// to outlive whoever made it.
pub(crate) struct Pinned<K: Copy + Eq + Hash, V, C: Deref<Target = Cache<K, V>>> {
    cache: C,
    pub(super) held: Held<K, V>,
}

pub(super) enum Held<K, V> {
    /// The entry at this place in the cache's slots, which has a pin for this.
    Slot(Place<K, V>),
    /// A value that the cache does not keep.
    Loose(Arc<V>),
    /// Given on to another pin.
    Nothing,
}

impl<K: Copy + Eq + Hash, V, C: Deref<Target = Cache<K, V>>> Pinned<K, V, C> {
    /// Takes over the pin that `held` stands for.
    #[inline]
    pub(super) fn new(cache: C, held: Held<K, V>) -> Self {
        Self { cache, held }
    }

    /// The same pin held through `cache`, which must be the cache that this pin is of.
    ///
    /// # Panics
    ///
    /// When it is another one.
    pub(crate) fn held_by<D: Deref<Target = Cache<K, V>>>(mut self, cache: D) -> Pinned<K, V, D> {
        assert!(std::ptr::eq(&raw const *self.cache, &raw const *cache), "a pin cannot move to another cache");
        Pinned { cache, held: mem::replace(&mut self.held, Held::Nothing) }
    }

    /// Whether the cache keeps the value.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self.held, Held::Slot(_))
    }
}

impl<K: Copy + Eq + Hash, V, C: Deref<Target = Cache<K, V>>> Deref for Pinned<K, V, C> {
    type Target = V;

    #[inline]
    fn deref(&self) -> &V {
        match &self.held {
            // SAFETY: the place is of this cache, and the pin is taken back when `self` is dropped or gives it on, and
            // then the borrow is over.
            Held::Slot(place) => unsafe { self.cache.slots.value(*place) },
            Held::Loose(value) => value,
            Held::Nothing => unreachable!("a pin that was given on is not looked at"),
        }
    }
}

impl<K: Copy + Eq + Hash, V, C: Deref<Target = Cache<K, V>>> Drop for Pinned<K, V, C> {
    #[inline]
    fn drop(&mut self) {
        if let Held::Slot(place) = self.held {
            // SAFETY: the place is of this cache.
            let is_last = unsafe { self.cache.slots.unpin(place) };
            if is_last {
                self.cache.settle(place.slot);
            }
        }
    }
}
