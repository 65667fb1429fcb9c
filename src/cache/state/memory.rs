//! What the structures of a cache take, and how that follows its entries down.
//!
//! They are made for as many entries as there were at once. An entry is counted with what it needs of them; when entries go
//! their part stays, and is counted apart, until so few are left that it pays to move them together.

use std::hash::Hash;

use crate::cache::ENTRY_OVERHEAD;
use crate::cache::index::Index;
use crate::cache::policy::renumber;
use crate::cache::slots::{Slots, State as SlotState};

use super::{Meta, State, came_so};

/// When no more than this part of the entries is left their structures shrink. Going through all slots is paid for by the entries
/// that went since it was last done, as long as those are this part of the slots: while some that are held keep the slots before
/// them, few may come and go.
const PART: u64 = 4;
/// Structures for fewer entries are not worth it, nor that they are counted where there are fewer.
const LEAST_ENTRIES: u64 = 256;
/// Keys that are remembered when memory is given back, for each entry that is left.
const SEEN_PER_ENTRY: usize = 16;

impl<K: Copy + Eq + Hash, V> State<K, V> {
    /// Bytes of slots, of what is known of them, of the index, the policy, and all that is remembered of accesses.
    pub(in crate::cache) fn structure_bytes(&self, index: &Index) -> usize {
        let policy = self.policy.as_ref().map_or(0, |policy| policy.learned_bytes());
        self.entry_structure_bytes(index) + policy + self.curve.memory_bytes() + self.seen.memory_bytes()
    }

    /// As far as they grow with the entries.
    fn entry_structure_bytes(&self, index: &Index) -> usize {
        let policy = self.policy.as_ref().map_or(0, |policy| policy.memory_bytes());
        self.slots_with_memory * Slots::<K, V>::bytes()
            + self.metas.capacity() * size_of::<Meta>()
            + self.free.capacity() * size_of::<u32>()
            + index.bytes()
            + policy
            + self.beside.memory_bytes()
    }

    /// Tells the account what structures take that are there for entries which are gone.
    pub(super) fn count_structures(&self, index: &Index) {
        let with_entries = self.entries.max(LEAST_ENTRIES) * ENTRY_OVERHEAD;
        self.account.hold_structures((self.entry_structure_bytes(index) as u64).saturating_sub(with_entries));
    }

    /// Entries went: their part of the structures is given back if it pays, and counted if not. What was found was noted.
    pub(in crate::cache) fn follow_entries(&mut self, slots: &Slots<K, V>, index: &Index) {
        let few_are_left = self.most_entries >= LEAST_ENTRIES && self.entries < self.most_entries / PART;
        let is_paid_for = self.entries == 0 || self.gone_entries >= u64::from(self.n_slots()) / PART;
        if few_are_left && is_paid_for {
            self.give_back_structures(slots, index);
        }
        self.count_structures(index);
    }

    /// Moves the entries together that nobody holds, and gives back what the structures have beyond them. Which entry goes next
    /// is as before. Of what was learned of entries that are gone the more is forgotten the fewer are left. What was found was
    /// noted.
    pub(in crate::cache) fn give_back_structures(&mut self, slots: &Slots<K, V>, index: &Index) {
        (self.most_entries, self.gone_entries) = (self.entries, 0);
        let to = self.move_together(slots, index);
        let is_free = |slot: u32| slots.word(slot).state() == SlotState::Absent;
        let n_slots = (0..self.n_slots()).rev().find(|slot| !is_free(*slot)).map_or(0, |last| last + 1);
        if let Some(policy) = &mut self.policy {
            policy.renumber(&to, n_slots as usize);
        }
        self.beside.renumber(&to, |slot, stamp| came_so(slots, slot, stamp));
        let behind = n_slots..self.n_slots();
        renumber(&mut self.metas, Meta::default(), &to, n_slots as usize);
        // The first ones are filled first, so that those behind them can go without memory.
        self.free = (0..n_slots).rev().filter(|slot| is_free(*slot)).collect();
        self.free.shrink_to_fit();
        let between = self.free.chunk_by(|a, b| *a == b + 1).map(|run| run[run.len() - 1]..run[0] + 1);
        self.slots_with_memory -= slots.discard(between.chain([behind]));
        index.shrink(self.entries as usize);
        self.curve.give_back();
        self.seen.give_back(SEEN_PER_ENTRY * self.entries as usize);
        if let Some(policy) = self.policy.as_mut().filter(|_| self.entries == 0) {
            policy.start_anew(slots);
        }
    }

    /// As [`give_back_structures`](Self::give_back_structures), now, if anything went.
    pub(in crate::cache) fn give_back(&mut self, slots: &Slots<K, V>, index: &Index) {
        if self.gone_entries > 0 {
            self.give_back_structures(slots, index);
        }
        self.count_structures(index);
    }

    /// Moves entries that nobody holds from the last slots to the first free ones; gives where the entry of each slot is now.
    fn move_together(&mut self, slots: &Slots<K, V>, index: &Index) -> Vec<u32> {
        let mut to: Vec<u32> = (0..self.n_slots()).collect();
        let mut free = (0..self.n_slots()).filter(|slot| slots.word(*slot).state() == SlotState::Absent);
        let mut next = free.next();
        for from in (0..self.n_slots()).rev() {
            let Some(first) = next.filter(|first| *first < from) else { break };
            let Ok(is_first) = slots.relocate(from, first) else { continue };
            self.slots_with_memory += usize::from(is_first);
            let hash = self.metas[from as usize].hash;
            index.remove(hash, from);
            index.insert(hash, first, self.entries as usize - 1);
            to[from as usize] = first;
            next = free.next();
        }
        to
    }
}
