use super::*;
use std::thread;

/// Bytes of a file that are read, once it is open, when they are let through.
struct Gated {
    bytes: Vec<u8>,
    is_shut: AtomicBool,
    n_reads: AtomicU64,
}

impl ReadAt for Gated {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.n_reads.fetch_add(1, Ordering::SeqCst);
        while self.is_shut.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        self.bytes.read_at(offset, out)
    }
}

#[test]
fn a_progressive_picture_is_decoded_once_for_all_who_read_it_at_once() {
    const SIDE: u16 = 1000;
    let pixels: Vec<u8> = (0..u32::from(SIDE).pow(2)).map(|at| (at % 1000 / 5 + at / 40_000) as u8).collect();
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 95);
    encoder.set_progressive(true);
    encoder.encode(&pixels, SIDE, SIDE, jpeg_encoder::ColorType::Luma).unwrap();
    let read_all = |source: &JpegSource, of: &[BlockId], let_through: &dyn Fn()| -> Vec<Vec<u8>> {
        thread::scope(|scope| {
            let read = |at: BlockId| {
                let mut out = vec![0; source.info.block_layout(at).unwrap().bytes];
                source.read_block(at, &mut out, &mut ReadContext::default()).unwrap();
                out
            };
            let threads: Vec<_> = of.iter().map(|at| scope.spawn(move || read(*at))).collect();
            let_through();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    };
    let blocks: Vec<BlockId> = (0..16).map(|at| BlockId::new(0, at % 4, at / 4)).collect();
    let file = Arc::new(Gated { bytes, is_shut: AtomicBool::new(false), n_reads: AtomicU64::new(0) });
    let source = JpegSource::open(Arc::clone(&file) as Arc<dyn ReadAt>, Limits::default()).unwrap();
    let alone: Vec<Vec<u8>> = blocks.iter().map(|at| read_all(&source, &[*at], &|| {}).remove(0)).collect();
    assert!(alone.iter().any(|block| *block != alone[0]));
    let reads_of_one = {
        let before = file.n_reads.load(Ordering::SeqCst);
        read_all(&source, &blocks[..1], &|| {});
        file.n_reads.load(Ordering::SeqCst) - before
    };
    assert_eq!(reads_of_one, 1);

    let before = file.n_reads.load(Ordering::SeqCst);
    file.is_shut.store(true, Ordering::SeqCst);
    let together = read_all(&source, &blocks, &|| {
        let n_reads = || file.n_reads.load(Ordering::SeqCst) - before;
        // Each thread waits, or reads for itself.
        while source.together.n_waiting() as u64 + n_reads() < blocks.len() as u64 {
            thread::yield_now();
        }
        file.is_shut.store(false, Ordering::SeqCst);
    });
    assert!(together == alone);
    assert_eq!(file.n_reads.load(Ordering::SeqCst) - before, 1, "one decoding");
}
