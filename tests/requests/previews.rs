//! Something to show until the tile is there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use tilekeep::{
    Arrival, AssociatedImage, BlockId, Dataset, Delivery, ErrorKind, MemorySource, OpenOptions, ReadContext, Request,
    Requests, Result, SampleType, SourceInfo, Tile, TileRequest, TileSource,
};

use super::{Gate, kind, linger, pyramid, tile, tiles};

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

/// A tile for which a preview is in memory, and itself must be read.
fn with_preview() -> (Gate, Dataset, TileRequest) {
    let (gate, dataset) = pyramid();
    gate.open();
    dataset.read_tile(&tile(2, 0, 0).size(64, 64)).unwrap();
    dataset.evict_all();
    gate.close();
    (gate, dataset, tile(0, 3, 3).size(64, 64))
}

/// The tile of another column.
fn beside(request: &TileRequest, col: u32) -> TileRequest {
    let mut beside = request.clone();
    beside.col = col;
    beside
}

#[test]
fn one_who_takes_it_back_while_it_is_previewed_is_told_before_that_returns() {
    let _tiles = tiles();
    let (gate, dataset, request) = with_preview();
    let requests = Requests::new(1).unwrap();
    let (begun, begins) = channel();
    let (goes_on, go_on) = channel::<()>();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let callback = {
        let heard = Arc::clone(&heard);
        move |arrival| match arrival {
            Arrival::Preview(_) => {
                begun.send(()).unwrap();
                go_on.recv().unwrap();
                heard.lock().unwrap().push("preview");
            }
            Arrival::Final(tile) => {
                assert_eq!(kind(tile), Some(ErrorKind::Cancelled));
                heard.lock().unwrap().push("cancelled");
            }
            other => panic!("{other:?}"),
        }
    };
    let asked = requests.request_tile(&dataset, request, 0, Delivery::progressive(callback));
    begins.recv().unwrap();
    thread::scope(|scope| {
        let cancels = scope.spawn(|| (asked.cancel(), heard.lock().unwrap().clone()));
        while asked.poll().is_none() {
            thread::yield_now();
        }
        linger();
        goes_on.send(()).unwrap();
        assert_eq!(cancels.join().unwrap(), (true, vec!["preview", "cancelled"]));
    });
    gate.open();
}

#[test]
fn two_take_back_each_other_while_they_are_previewed() {
    let _tiles = tiles();
    let (gate, dataset, request) = with_preview();
    let requests = Requests::new(4).unwrap();
    // Both are at their previews, with the request of the other.
    let meet = Arc::new(Barrier::new(3));
    let both: [Arc<Mutex<Option<Request<Tile>>>>; 2] = Default::default();
    let (sender, arrived) = channel();
    for n in 0..2 {
        let (meet, other, sender) = (Arc::clone(&meet), Arc::clone(&both[1 - n]), sender.clone());
        let mut hears_preview = false;
        let callback = move |arrival| match arrival {
            Arrival::Preview(_) => {
                hears_preview = true;
                meet.wait();
                meet.wait();
                let other = other.lock().unwrap().take().unwrap();
                assert!(other.cancel());
                hears_preview = false;
            }
            Arrival::Final(tile) => sender.send((n, hears_preview, kind(tile))).unwrap(),
            other => panic!("{other:?}"),
        };
        let like = beside(&request, 2 + n as u32);
        *both[n].lock().unwrap() = Some(requests.request_tile(&dataset, like, 0, Delivery::progressive(callback)));
    }
    meet.wait();
    meet.wait();
    let mut all = [arrived.recv().unwrap(), arrived.recv().unwrap()];
    all.sort_unstable_by_key(|(n, ..)| *n);
    assert_eq!(all, [0, 1].map(|n| (n, false, Some(ErrorKind::Cancelled))));
    gate.open();
}

#[test]
fn previews_go_by_the_priority_of_their_tiles() {
    let _tiles = tiles();
    let (gate, dataset, request) = with_preview();
    let requests = Requests::new(1).unwrap();
    let n_begun = gate.begun().len();
    let first = requests.request_block(&dataset, (0, 60, 60), 1000, Delivery::handle());
    gate.wait_for(n_begun + 1);
    let (sender, arrived) = channel();
    let all: Vec<_> = (0..3)
        .map(|col| {
            let (sender, like) = (sender.clone(), beside(&request, col));
            let callback = move |arrival| sender.send((col, matches!(arrival, Arrival::Preview(_)))).unwrap();
            requests.request_tile(&dataset, like, -100, Delivery::progressive(callback))
        })
        .collect();
    let urgent = beside(&request, 7);
    let urgent =
        requests.request_tile(&dataset, urgent, 100, Delivery::callback(move |_| sender.send((7, false)).unwrap()));
    all[2].set_priority(50);
    gate.open();
    let order: Vec<_> = arrived.iter().take(7).collect();
    let expected = [(7, false), (2, true), (2, false), (0, true), (1, true), (0, false), (1, false)];
    assert_eq!(order, expected);
    assert!(first.wait().is_ok() && urgent.wait().is_ok() && all.iter().all(|request| request.wait().is_ok()));
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
