use super::*;
use std::sync::Arc;

#[test]
fn what_a_hit_looks_at_is_one_line() {
    assert_eq!((Slots::<[u32; 4], [u64; 4]>::bytes(), align_of::<Slot<[u32; 4], [u64; 4]>>()), (64, 64));
}

#[test]
fn slots_are_found_in_growing_segments() {
    assert_eq!([0, 63, 64, 191, 192].map(place), [(0, 0), (0, 63), (1, 0), (1, 127), (2, 0)]);
    assert_eq!(place(Slots::<u32, u32>::MAX - 1).0, SEGMENTS - 1);
}

/// Pins an entry if it is there.
fn is_pinned<K: Copy + Eq, V>(slots: &Slots<K, V>, slot: u32, key: K) -> bool {
    slots.pin(slot, &key).is_ok()
}

fn unpin<K: Copy + Eq, V>(slots: &Slots<K, V>, slot: u32) -> bool {
    // SAFETY: the place is of these slots.
    unsafe { slots.unpin(slots.place(slot)) }
}

#[test]
fn an_entry_is_pinned_by_its_key_only_and_taken_only_when_nobody_pins_it() {
    let slots = Slots::new();
    slots.grow_to(0);
    assert_eq!(slots.pin(0, &7).err(), Some(false));
    let value = Arc::new(70);
    slots.publish(0, (7, Arc::clone(&value)), 1, 0, 0);
    assert_eq!((is_pinned(&slots, 0, 8), is_pinned(&slots, 0, 7)), (false, true));
    assert_eq!((slots.word(0).state(), slots.word(0).pins()), (State::Clean, 2));
    assert_eq!(slots.take(0), Err(InUse));
    assert!(slots.park(0));
    assert!(!unpin(&slots, 0));
    assert!(unpin(&slots, 0), "the last pin of a parked entry says so");
    assert!(slots.unpark(0) && !slots.unpark(0) && !slots.park(0));
    assert_eq!(slots.take(0).as_deref(), Ok(&70));
    assert_eq!((slots.word(0).state(), is_pinned(&slots, 0, 7), Arc::strong_count(&value)), (State::Absent, false, 1));
}

#[test]
fn a_dirty_entry_stays_until_it_is_written() {
    let slots = Slots::new();
    slots.grow_to(100);
    slots.publish(100, ('k', 5), 0, 0, 0);
    slots.dirty(100);
    assert_eq!((slots.take(100), slots.word(100).state()), (Err(InUse), State::Dirty));
    assert!(slots.begin_writing(100) && !slots.begin_writing(100));
    assert_eq!((slots.take(100), slots.word(100).state()), (Err(InUse), State::Writing));
    slots.end_writing(100, false);
    assert_eq!(slots.word(100).state(), State::Dirty);
    assert!(slots.begin_writing(100));
    // Written to again while it is written back.
    slots.dirty(100);
    slots.end_writing(100, true);
    assert_eq!(slots.word(100).state(), State::Dirty);
    assert!(slots.begin_writing(100));
    slots.end_writing(100, true);
    assert!(slots.unpark(100));
    assert_eq!(slots.take(100), Ok(5));
}

#[test]
fn flags_stay_until_the_entry_goes_and_stand_in_the_way_of_nothing() {
    let slots = Slots::new();
    slots.grow_to(0);
    slots.publish(0, (7, 70), 0, WATCHED, 1);
    slots.set_flag(0, SAMPLED, true);
    let check = |watched, sampled| {
        assert_eq!((slots.word(0).has(WATCHED), slots.word(0).has(SAMPLED)), (watched, sampled));
    };
    assert!(is_pinned(&slots, 0, 7));
    assert!(slots.park(0));
    slots.dirty(0);
    assert!(slots.begin_writing(0));
    slots.end_writing(0, true);
    check(true, true);
    assert!(unpin(&slots, 0), "the last pin of a parked entry says so");
    assert!(slots.unpark(0));
    assert_eq!((slots.word(0).state(), slots.word(0).pins(), slots.word(0).is_parked()), (State::Clean, 0, false));
    slots.set_flag(0, WATCHED, false);
    check(false, true);
    assert_eq!(slots.take(0), Ok(70));
    check(false, false);
    slots.publish(0, (8, 80), 0, 0, 2);
    check(false, false);
}

#[test]
fn a_use_is_stamped_unless_a_flag_wants_more() {
    let slots = Slots::new();
    slots.grow_to(0);
    assert_eq!(slots.note_plain_use(0, Some(1), WATCHED), None);
    slots.publish(0, (7, 70), 1, SAMPLED, 2);
    assert_eq!((slots.note_plain_use(0, Some(3), WATCHED | SAMPLED), slots.last_use(0)), (None, 2));
    assert_eq!((slots.note_plain_use(0, Some(4), WATCHED), slots.last_use(0)), (Some(true), 4));
    assert_eq!((slots.note_plain_use(0, None, WATCHED), slots.last_use(0)), (Some(true), 4));
    slots.park(0);
    assert_eq!((slots.note_plain_use(0, Some(5), WATCHED), slots.last_use(0)), (Some(false), 5));
    slots.note_use(0, 6);
    assert_eq!(slots.last_use(0), 6);
}

#[test]
fn values_that_are_left_are_dropped_with_the_slots() {
    let value = Arc::new(());
    let slots = Slots::new();
    slots.grow_to(3);
    slots.publish(3, (0, Arc::clone(&value)), 0, 0, 0);
    drop(slots);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_pin_by_mistake_is_taken_back_once_whatever_becomes_of_the_slot() {
    // Large enough to be mapped, and its neighbours.
    let n = 4096;
    let slots = Slots::new();
    (0..n).for_each(|slot| slots.grow_to(slot));
    assert!((0..n).all(|slot| slots.publish(slot, (slot, Arc::new(slot)), 0, 0, 0)));
    let late = slots.slot(n - 1);
    let pins = || slots.word(n - 1).pins();
    // What a reader does who was sent to an entry that is gone by now, up to the moment when he sees that.
    let pin = || late.word.fetch_add(1, Ordering::Acquire);
    assert!((1000..n).all(|slot| slots.take(slot).is_ok()));
    let before = pin();
    assert!(!take_back(late, before) && pins() == 0);
    // The memory goes, and an entry comes, before he takes it back.
    let before = pin();
    let discarded = slots.discard(std::iter::once(1000..n));
    assert_eq!(discarded > 2000, cfg!(all(target_os = "linux", not(miri))));
    assert!(!take_back(late, before) && pins() == 0);
    if discarded > 0 {
        let [first, second] = [pin(), pin()];
        assert!(!take_back(late, first) && !take_back(late, second) && pins() == 0);
    }
    let before = pin();
    assert_eq!(slots.publish(n - 1, (7, Arc::new(70)), 1, 0, 0), discarded > 0);
    assert!(slots.park(n - 1));
    assert!(!take_back(late, before));
    assert_eq!((pins(), slots.take(n - 1)), (1, Err(InUse)));
    assert!(unpin(&slots, n - 1) && slots.unpark(n - 1));
    assert_eq!(slots.take(n - 1).as_deref(), Ok(&70));
    assert!((0..1000).all(|slot| slots.take(slot).as_deref() == Ok(&slot)));
}

#[test]
fn an_entry_moves_as_it_is_unless_it_is_in_use() {
    let slots = Slots::new();
    slots.grow_to(2);
    let value = Arc::new(70);
    slots.publish(2, (7, Arc::clone(&value)), 1, SAMPLED | BESIDE, 5);
    assert_eq!(slots.relocate(2, 0), Err(InUse));
    assert!(slots.park(2) && unpin(&slots, 2));
    assert_eq!(slots.relocate(2, 0), Err(InUse), "it is in no eviction structure");
    assert!(slots.unpark(2));
    assert_eq!(slots.relocate(2, 0), Ok(true));
    assert_eq!((slots.word(2).state(), slots.key(0), slots.last_use(0)), (State::Absent, Some(7), 5));
    assert!(slots.word(0).has(SAMPLED) && slots.word(0).has(BESIDE) && !slots.word(0).has(WATCHED));
    assert_eq!(slots.take(0).as_deref(), Ok(&70));
    assert_eq!(Arc::strong_count(&value), 1);
}
