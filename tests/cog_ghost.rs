//! Cloud-optimised GeoTIFFs as GDAL lays them out: an area before the first directory that says how, and tiles with their
//! size before them and their last bytes once more behind.

use std::sync::Arc;

use tilekeep::{Dataset, Interleave, Layout, Limits, OpenOptions, WindowRequest, open_reader};

const WIDTH: u32 = 40;
const HEIGHT: u32 = 20;
const TILE: u32 = 16;

fn sample(x: u32, y: u32) -> u8 {
    (x * 5 + y * 7 + 1) as u8
}

fn tile(col: u32, row: u32) -> Vec<u8> {
    (0..TILE * TILE).map(|i| sample(col * TILE + i % TILE, row * TILE + i / TILE)).collect()
}

/// What is before a tile and behind it.
type Around = ([u8; 4], [u8; 4]);

/// A file of tiles with their leaders and trailers as `around` makes them.
fn cog(known_incompatible: &str, around: fn(&[u8]) -> Around) -> Vec<u8> {
    let said = format!(
        "LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n\
         BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION={known_incompatible}\n"
    );
    let mut ghost = format!("GDAL_STRUCTURAL_METADATA_SIZE={:06} bytes\n{said}", said.len()).into_bytes();
    if !ghost.len().is_multiple_of(2) {
        ghost.push(b' ');
    }
    let (cols, rows) = (WIDTH.div_ceil(TILE), HEIGHT.div_ceil(TILE));
    let n = cols * rows;
    let entries: [(u16, u32, Option<u32>); 9] = [
        (256, 1, Some(WIDTH)),
        (257, 1, Some(HEIGHT)),
        (258, 1, Some(8)),
        (259, 1, Some(1)),
        (262, 1, Some(1)),
        (322, 1, Some(TILE)),
        (323, 1, Some(TILE)),
        // Behind the directory.
        (324, n, None),
        (325, n, None),
    ];
    let directory = 8 + ghost.len() as u32;
    let behind = directory + 2 + 12 * entries.len() as u32 + 4;
    let mut file = b"II*\0".to_vec();
    file.extend(directory.to_le_bytes());
    file.extend(ghost);
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, count, value) in entries {
        const LONG: u16 = 4;
        file.extend([tag, LONG].map(u16::to_le_bytes).concat());
        let place = if tag == 324 { behind } else { behind + 4 * n };
        file.extend([count, value.unwrap_or(place)].map(u32::to_le_bytes).concat());
    }
    file.extend([0; 4]);
    let step = 4 + TILE * TILE + 4;
    (0..n).for_each(|i| file.extend((behind + 8 * n + i * step + 4).to_le_bytes()));
    (0..n).for_each(|_| file.extend((TILE * TILE).to_le_bytes()));
    for (col, row) in (0..rows).flat_map(|row| (0..cols).map(move |col| (col, row))) {
        let tile = tile(col, row);
        let (leader, trailer) = around(&tile);
        file.extend(leader);
        file.extend(tile);
        file.extend(trailer);
    }
    file
}

fn read(file: Vec<u8>) -> Vec<u8> {
    let source = open_reader(Arc::new(file), Limits::default()).unwrap();
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    assert_eq!((dataset.levels()[0].width, dataset.levels()[0].height), (WIDTH.into(), HEIGHT.into()));
    let request = WindowRequest::new(0, dataset.levels()[0].window()).layout(Layout::Tight(Interleave::Pixel));
    let mut pixels = vec![0xA5; dataset.window_bytes(&request).unwrap()];
    dataset.read_window(&request, &mut pixels).unwrap();
    pixels
}

#[test]
fn tiles_between_their_leaders_and_trailers_are_read() {
    let expected: Vec<u8> = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| sample(x, y))).collect();
    let sound = |tile: &[u8]| ((tile.len() as u32).to_le_bytes(), *tile.last_chunk().unwrap());
    assert!(read(cog("NO", sound)) == expected);
    // After an edition by somebody who knows nothing of them, only the directory counts.
    assert!(read(cog("YES", |_| ([0xFF; 4], [0; 4]))) == expected);
    assert!(read(cog("NO", |_| ([0xFF; 4], [0; 4]))) == expected);
}
