//! Work that is under way stops when nobody wants it any more.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tilekeep::{
    Dataset, Delivery, Limits, MemorySource, OpenOptions, ReadAt, Requests, Result, SampleType, Throttled, TileRequest,
    Window, WindowRequest, open_reader,
};

use super::{Gate, until};

#[test]
fn running_work_stops_between_blocks() {
    let gate = Gate::new(8, 8);
    let (dataset, requests) = (gate.dataset(), Requests::new(1).unwrap());
    // A window of all blocks, one that is averaged, a tile of several, and a level that is made.
    let window = || WindowRequest::new(0, Window::new(0, 0, 128, 128));
    let average = || window().size(100, 100).resampling(tilekeep::Resampling::Average);
    for n in 0..3 {
        let (mut tiles, mut windows) = (Vec::new(), Vec::new());
        match n {
            0 => windows.push(requests.request_window(&dataset, window(), 0, Delivery::handle())),
            1 => windows.push(requests.request_window(&dataset, average(), 0, Delivery::handle())),
            _ => tiles.push(requests.request_tile(&dataset, TileRequest::new(0, 0, 0), 0, Delivery::handle())),
        }
        gate.wait_for(2 * n + 1);
        gate.allow(1);
        gate.wait_for(2 * n + 2);
        windows.iter().for_each(|request| assert!(request.cancel()));
        tiles.iter().for_each(|request| assert!(request.cancel()));
        gate.allow(1);
        until(|| requests.stats().running == 0);
        assert_eq!((gate.begun().len(), gate.finished()), (2 * n + 2, n + 1));
        dataset.evict_all();
    }
}

#[test]
fn a_throttled_source_is_taken_back_while_it_sleeps() {
    let source = MemorySource::new(64, 64, 1, SampleType::U8, (16, 16), vec![1; 64 * 64]).unwrap();
    let source = Arc::new(Throttled::new(source, Duration::from_secs(3600), 0));
    let dataset = Dataset::from_source(Arc::clone(&source), &OpenOptions::default()).unwrap();
    let requests = Requests::new(1).unwrap();
    let slow = requests.request_block(&dataset, (0, 1, 1), 0, Delivery::handle());
    until(|| source.reads() == 1);
    assert!(slow.cancel());
    until(|| requests.stats().running == 0);
    assert_eq!((source.finished(), dataset.stats().entries), (0, 0));
}

#[test]
fn a_block_of_many_tiles_is_taken_back_with_the_last_of_them() {
    let source = MemorySource::new(64, 64, 1, SampleType::U8, (64, 64), vec![1; 64 * 64]).unwrap();
    let source = Arc::new(Throttled::new(source, Duration::from_secs(3600), 0));
    let dataset = Dataset::from_source(Arc::clone(&source), &OpenOptions::default()).unwrap();
    let requests = Requests::new(3).unwrap();
    let tile = |i: u32| TileRequest::new(0, i % 2, i / 2).size(32, 32);
    let tiles: Vec<_> = (0..3).map(|i| requests.request_tile(&dataset, tile(i), 0, Delivery::handle())).collect();
    // One reads, and the others wait for it.
    until(|| dataset.stats().coalesced == 2 && source.reads() == 1);
    for (left, tile) in tiles.iter().enumerate().map(|(i, tile)| (2 - i as u64, tile)) {
        assert!(tile.cancel());
        if left > 0 {
            // The one who reads may be the first to go: he goes on for the others.
            until(|| requests.stats().running <= left + 1);
            assert_eq!(source.reads(), 1);
        }
    }
    until(|| requests.stats().running == 0);
    assert_eq!((source.reads(), source.finished(), dataset.stats().entries), (1, 0, 0));
}

/// Bytes that lets reads through as a [`Gate`] does.
struct GatedBytes {
    bytes: Vec<u8>,
    /// Reads that were begun, and whether they may go on.
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl ReadAt for GatedBytes {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.changed.notify_all();
        while !state.1 {
            state = self.changed.wait(state).unwrap();
        }
        drop(state);
        self.bytes.read_at(offset, out)
    }
}

#[test]
fn a_stream_that_is_taken_back_is_not_read_to_its_end() {
    // Noise, so that the file is as long as its pixels.
    let (side, mut seed) = (1500_u32, 1_u64);
    let noise: Vec<u8> = (0..side * side)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        })
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&noise).unwrap();
    let reader = Arc::new(GatedBytes { bytes, state: Mutex::new((0, true)), changed: Condvar::new() });
    let source = open_reader(Arc::<GatedBytes>::clone(&reader), Limits::default()).unwrap();
    let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
    let requests = Requests::new(1).unwrap();
    *reader.state.lock().unwrap() = (0, false);
    let last = dataset.levels()[0].rows() - 1;
    let asked = requests.request_block(&dataset, (0, 0, last), 0, Delivery::handle());
    let state = reader.state.lock().unwrap();
    drop(reader.changed.wait_while(state, |state| state.0 == 0).unwrap());
    assert!(asked.cancel());
    reader.state.lock().unwrap().1 = true;
    reader.changed.notify_all();
    until(|| requests.stats().running == 0);
    // The file has more than thirty times what is read at once.
    let reads = reader.state.lock().unwrap().0;
    assert!(reads <= 2, "{reads}");
    let stats = dataset.stats();
    assert_eq!((stats.entries, stats.failed_loads, stats.loading_bytes), (0, 0, 0));
    let block = requests.request_block(&dataset, (0, 0, last), 0, Delivery::handle()).wait().unwrap();
    assert_eq!(block.bytes()[..100], noise[block_start(&dataset, last)..][..100]);
}

fn block_start(dataset: &Dataset, row: u32) -> usize {
    let level = &dataset.levels()[0];
    row as usize * level.block_height as usize * level.width as usize
}
