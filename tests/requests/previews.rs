//! Something to show until the tile is there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use tilekeep::{
    Arrival, AssociatedImage, BlockId, Dataset, Delivery, MemorySource, OpenOptions, ReadContext, Requests, Result,
    SampleType, SourceInfo, TileRequest, TileSource,
};

use super::{pyramid, tile, tiles};

#[test]
fn a_progressive_request_brings_a_preview_and_then_the_tile() {
    let _tiles = tiles();
    let (gate, dataset) = pyramid();
    let requests = Requests::new(2).unwrap();
    let like = |level, col, row| tile(level, col, row).size(64, 64);
    gate.open();
    dataset.read_tile(&like(2, 0, 0)).unwrap();
    dataset.evict_all();
    let (sender, arrived) = channel();
    let delivery = |sender: &std::sync::mpsc::Sender<_>| {
        let sender = sender.clone();
        Delivery::progressive(move |arrival| sender.send(arrival).unwrap())
    };
    let request = requests.request_tile(&dataset, like(0, 3, 3), 0, delivery(&sender));
    let all: Vec<_> = [arrived.recv().unwrap()].into_iter().collect();
    assert!(request.wait().is_ok());
    match &all[0] {
        Arrival::Preview(preview) => {
            assert_eq!((preview.covered, preview.parts[0].level), (1.0, Some(2)));
            assert!(matches!(arrived.recv().unwrap(), Arrival::Final(Ok(_))));
        }
        // The tile may have been faster.
        Arrival::Final(tile) => assert!(tile.is_ok()),
        other => panic!("{other:?}"),
    }
    // Nothing coarser is at hand for the coarsest, and a preview of what is there is not needed.
    requests.request_tile(&dataset, like(2, 1, 1), 0, delivery(&sender)).detach();
    assert!(matches!(arrived.recv().unwrap(), Arrival::Final(Ok(_))));
    drop(sender);
    drop(requests);
    assert!(arrived.recv().is_err());
}

#[test]
fn a_preview_comes_first_where_one_thread_does_both() {
    let _tiles = tiles();
    static N: AtomicUsize = AtomicUsize::new(0);
    let (gate, dataset) = pyramid();
    gate.open();
    let requests = Requests::new(1).unwrap();
    let (sender, arrived) = channel();
    let callback = move |arrival| {
        N.fetch_add(1, Ordering::Relaxed);
        sender.send(arrival).unwrap();
    };
    let request = tile(0, 3, 3).size(64, 64);
    let asked = requests.request_tile(&dataset, request, 0, Delivery::progressive(callback));
    // Nothing is in memory: the coarsest level is made, which is cheap here.
    assert!(matches!(arrived.recv().unwrap(), Arrival::Preview(preview) if preview.parts[0].level == Some(2)));
    assert!(matches!(arrived.recv().unwrap(), Arrival::Final(Ok(_))));
    assert!(asked.wait().is_ok());
    drop(requests);
    assert_eq!(N.load(Ordering::Relaxed), 2);
}

/// A raster with a thumbnail of half its size, all of it of one value.
struct WithThumbnail {
    source: MemorySource,
    value: u8,
}

impl TileSource for WithThumbnail {
    fn info(&self) -> &SourceInfo {
        self.source.info()
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], context: &mut ReadContext<'_>) -> Result<()> {
        self.source.read_block(at, out, context)
    }

    fn open_associated(&self, _name: &str) -> Result<Box<dyn TileSource>> {
        let pixels = vec![self.value; 100 * 50];
        Ok(Box::new(MemorySource::new(100, 50, 1, SampleType::U8, (100, 50), pixels)?))
    }
}

#[test]
fn a_thumbnail_in_the_file_is_a_preview() {
    let mut source = MemorySource::new(200, 100, 1, SampleType::U8, (200, 100), vec![1; 200 * 100]).unwrap();
    source.info_mut().associated = vec![AssociatedImage { name: "thumbnail".to_owned(), width: 100, height: 50 }];
    let dataset = Dataset::from_source(WithThumbnail { source, value: 99 }, &OpenOptions::default()).unwrap();
    let requests = Requests::new(1).unwrap();
    let (sender, arrived) = channel();
    let delivery = || {
        let sender = sender.clone();
        Delivery::progressive(move |arrival| sender.send(arrival).unwrap())
    };
    let raw = TileRequest::new(0, 1, 0).size(64, 64);
    requests.request_tile(&dataset, raw.clone(), 0, delivery()).detach();
    let Arrival::Preview(preview) = arrived.recv().unwrap() else { panic!("no preview") };
    let part = &preview.parts[0];
    assert_eq!((part.level, preview.covered, part.tile.bytes[0]), (None, 1.0, 99));
    assert_eq!((part.from, part.to), ([32.0, 0.0, 32.0, 32.0], [0.0, 0.0, 64.0, 64.0]));
    assert!(matches!(arrived.recv().unwrap(), Arrival::Final(Ok(tile)) if tile.bytes[0] == 1));
    // A tile that looks different has none.
    requests.request_tile(&dataset, raw.range(0.0, 10.0), 0, delivery()).detach();
    assert!(matches!(arrived.recv().unwrap(), Arrival::Final(Ok(_))));
}
