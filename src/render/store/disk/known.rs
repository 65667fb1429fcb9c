//! Which tiles a folder has, so that one that is absent costs no system call.
//!
//! A folder is listed when it is first asked for. What this process adds and removes is noted. What others add is
//! noticed when a tile is asked for that is not on the list: once a second at most the folder's modification time is
//! looked at, and when it changed the folder is listed again. Listing takes at most a fiftieth of the time: a folder that
//! takes longer is looked at less often. A tile on the list that another process removed is a file that cannot be opened.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use crate::render::key::TileKey;
use crate::sync::Mutex;

/// How often a folder is looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// Time stamps of folders may be so coarse: a change that is younger may be followed by another one with the same stamp.
const COARSE: Duration = Duration::from_secs(2);
/// More is not remembered: 16 Mi tiles of 4 bytes, 64 Ki folders.
const MAX_TILES: usize = 16 << 20;
const MAX_FOLDERS: usize = 64 << 10;

/// A folder of tiles: source and lowest byte.
pub(super) type FolderId = (u128, u8);

#[derive(Default)]
pub(super) struct Known {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    folders: HashMap<FolderId, Folder>,
    /// Of all folders.
    n_tiles: usize,
    /// Counts what this process adds.
    added: u64,
}

struct Folder {
    /// Bits 8 to 39 of each tile, sorted. Two that share them make a file that cannot be opened, and nothing worse.
    tiles: Vec<u32>,
    /// When the folder had last changed before it was listed; `None` when it was not there.
    changed: Option<SystemTime>,
    /// Whether a later change has another time stamp.
    settled: bool,
    /// When it is looked at again.
    next: Instant,
    /// [`State::added`] at the last addition of ours.
    added: u64,
}

/// What is known of a tile.
#[derive(Debug)]
pub(super) enum Look {
    Present,
    Absent,
    /// Look at the folder, and list it if [`Seen::is_current`] is false.
    Ask {
        folder: FolderId,
        seen: Seen,
    },
}

/// What was known of a folder before it was looked at.
#[derive(Debug)]
pub(super) struct Seen {
    /// `None` when nothing was.
    list: Option<(Option<SystemTime>, bool)>,
    added: u64,
}

impl Seen {
    /// Whether the list is the one of a folder that `changed` then.
    pub(super) fn is_current(&self, changed: Option<SystemTime>) -> bool {
        self.list.is_some_and(|(before, settled)| before == changed && settled)
    }
}

fn folder_of(key: TileKey) -> FolderId {
    (key.source, key.tile as u8)
}

fn short(tile: u128) -> u32 {
    (tile >> 8) as u32
}

impl Known {
    pub(super) fn look(&self, key: TileKey, now: Instant) -> Look {
        let mut state = self.state.lock();
        let (folder, added) = (folder_of(key), state.added);
        match state.folders.get_mut(&folder) {
            None => Look::Ask { folder, seen: Seen { list: None, added } },
            Some(known) if known.tiles.binary_search(&short(key.tile)).is_ok() => Look::Present,
            Some(known) if now < known.next => Look::Absent,
            Some(known) => {
                // Others need not look meanwhile.
                known.next = now + PERIOD;
                Look::Ask { folder, seen: Seen { list: Some((known.changed, known.settled)), added } }
            }
        }
    }

    /// Whether the tile is on the list.
    pub(super) fn contains(&self, key: TileKey) -> bool {
        let state = self.state.lock();
        state.folders.get(&folder_of(key)).is_some_and(|known| known.tiles.binary_search(&short(key.tile)).is_ok())
    }

    /// Takes in a list that was made since `began`, of a folder that had `changed` before.
    pub(super) fn listed(
        &self,
        folder: FolderId,
        seen: &Seen,
        tiles: Vec<u128>,
        changed: Option<SystemTime>,
        began: Instant,
    ) {
        let mut tiles: Vec<u32> = tiles.into_iter().map(short).collect();
        let next = Instant::now() + PERIOD.max(began.elapsed() * 50);
        let settled = changed.is_none_or(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > COARSE));
        let mut state = self.state.lock();
        let before = state.folders.remove(&folder);
        state.n_tiles -= before.as_ref().map_or(0, |folder| folder.tiles.len());
        let mut added = 0;
        if let Some(before) = &before
            && before.added > seen.added
        {
            // Ours may have come after the list.
            tiles.extend(&before.tiles);
            added = before.added;
        }
        tiles.sort_unstable();
        tiles.dedup();
        tiles.shrink_to_fit();
        // Everything is found again by listing.
        let forgotten = if state.n_tiles + tiles.len() > MAX_TILES || state.folders.len() >= MAX_FOLDERS {
            state.n_tiles = 0;
            std::mem::take(&mut state.folders)
        } else {
            HashMap::new()
        };
        state.n_tiles += tiles.len();
        state.folders.insert(folder, Folder { tiles, changed, settled, next, added });
        drop(state);
        drop((before, forgotten));
    }

    /// Notes a tile of ours. In a folder that was never listed it will be listed.
    pub(super) fn add(&self, key: TileKey) {
        let mut state = self.state.lock();
        state.added += 1;
        let (added, mut more) = (state.added, 0);
        if let Some(known) = state.folders.get_mut(&folder_of(key)) {
            known.added = added;
            if let Err(at) = known.tiles.binary_search(&short(key.tile)) {
                known.tiles.insert(at, short(key.tile));
                more = 1;
            }
        }
        state.n_tiles += more;
    }

    /// Notes that a tile is gone.
    pub(super) fn remove(&self, key: TileKey) {
        let mut state = self.state.lock();
        let mut less = 0;
        if let Some(known) = state.folders.get_mut(&folder_of(key))
            && let Ok(at) = known.tiles.binary_search(&short(key.tile))
        {
            known.tiles.remove(at);
            less = 1;
        }
        state.n_tiles -= less;
    }

    /// Notes that the tiles of a source, or all, are gone.
    pub(super) fn forget(&self, source: Option<u128>) {
        let mut state = self.state.lock();
        let folders = std::mem::take(&mut state.folders);
        let (gone, kept): (HashMap<_, _>, _) =
            folders.into_iter().partition(|((of, _), _)| source.is_none_or(|source| source == *of));
        state.folders = kept;
        state.n_tiles -= gone.values().map(|folder| folder.tiles.len()).sum::<usize>();
        drop(state);
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tile: u128) -> TileKey {
        TileKey { source: 3, tile }
    }

    fn ask(known: &Known, tile: u128, now: Instant) -> (FolderId, Seen) {
        match known.look(key(tile), now) {
            Look::Ask { folder, seen } => (folder, seen),
            other => panic!("{other:?}"),
        }
    }

    fn old() -> SystemTime {
        SystemTime::now() - Duration::from_secs(100)
    }

    #[test]
    fn an_absent_tile_is_looked_for_once_a_second() {
        let (known, now) = (Known::default(), Instant::now());
        let (folder, seen) = ask(&known, 0x105, now);
        assert!(!seen.is_current(None));
        let changed = Some(old());
        known.listed(folder, &seen, vec![0x205, 0x305], changed, now);
        assert!(matches!(known.look(key(0x205), now), Look::Present));
        assert!(matches!(known.look(key(0x105), now), Look::Absent));
        let later = now + 3 * PERIOD;
        let (_, seen) = ask(&known, 0x105, later);
        assert!(seen.is_current(changed) && !seen.is_current(Some(SystemTime::now())) && !seen.is_current(None));
        assert!(matches!(known.look(key(0x105), later), Look::Absent), "one looks, others go on");
    }

    #[test]
    fn a_fresh_change_is_not_taken_for_the_last_one() {
        let (known, now) = (Known::default(), Instant::now());
        let (folder, seen) = ask(&known, 1, now);
        let changed = Some(SystemTime::now());
        known.listed(folder, &seen, vec![], changed, now);
        assert!(!ask(&known, 1, now + 3 * PERIOD).1.is_current(changed));
    }

    #[test]
    fn what_we_add_while_a_folder_is_listed_stays_known() {
        let (known, now) = (Known::default(), Instant::now());
        let (folder, seen) = ask(&known, 1, now);
        known.listed(folder, &seen, vec![], Some(old()), now);
        let (folder, seen) = ask(&known, 1, now + 3 * PERIOD);
        known.add(key(0x201));
        known.listed(folder, &seen, vec![0x301], Some(old()), now);
        assert!(known.contains(key(0x201)) && known.contains(key(0x301)));
        known.remove(key(0x201));
        assert!(!known.contains(key(0x201)));
        known.forget(Some(4));
        assert!(known.contains(key(0x301)));
        known.forget(Some(3));
        assert_eq!((known.contains(key(0x301)), known.state.lock().n_tiles), (false, 0));
    }
}
