//! What can be asked for.

use xxhash_rust::xxh3::xxh3_128;

use crate::dataset::{Dataset, SharedBlock, WindowRequest};
use crate::error::Result;
use crate::grid::BlockId;
use crate::memory::zeroed;
use crate::render::{Tile, TileBytes, TileRequest};
use crate::sync::Arc;

use super::available::Available;
use super::pool::Work;

/// What a request is answered with.
#[derive(Clone)]
pub(super) enum Outcome {
    Tile(Tile),
    Block(Arc<SharedBlock>),
    Window(TileBytes),
    Preview(Option<Available>),
}

/// What can be asked for: a [`Tile`], a block, or the bytes of a window.
pub trait Answer: sealed::Answer + Clone + Send + 'static {}

impl<T: sealed::Answer + Clone + Send + 'static> Answer for T {}

pub(super) mod sealed {
    use super::Outcome;

    pub trait Answer: Sized {
        #[expect(private_interfaces, reason = "the trait is sealed: nobody else sees its functions")]
        fn of(outcome: Outcome) -> Option<Self>;
    }
}

impl sealed::Answer for Tile {
    #[expect(private_interfaces, reason = "as in the trait")]
    fn of(outcome: Outcome) -> Option<Self> {
        if let Outcome::Tile(tile) = outcome { Some(tile) } else { None }
    }
}

impl sealed::Answer for Arc<SharedBlock> {
    #[expect(private_interfaces, reason = "as in the trait")]
    fn of(outcome: Outcome) -> Option<Self> {
        if let Outcome::Block(block) = outcome { Some(block) } else { None }
    }
}

impl sealed::Answer for TileBytes {
    #[expect(private_interfaces, reason = "as in the trait")]
    fn of(outcome: Outcome) -> Option<Self> {
        if let Outcome::Window(bytes) = outcome { Some(bytes) } else { None }
    }
}

pub(super) struct TileWork(pub(super) Dataset, pub(super) TileRequest);
pub(super) struct BlockWork(pub(super) Dataset, pub(super) BlockId);
pub(super) struct WindowWork(pub(super) Dataset, pub(super) WindowRequest);

impl Work<Outcome> for TileWork {
    fn run(&self) -> Result<Outcome> {
        self.0.read_tile(&self.1).map(Outcome::Tile)
    }
}

impl Work<Outcome> for BlockWork {
    fn run(&self) -> Result<Outcome> {
        self.0.block(self.1).map(|block| Outcome::Block(Arc::new(block.into_shared())))
    }
}

impl Work<Outcome> for WindowWork {
    fn run(&self) -> Result<Outcome> {
        let Self(dataset, request) = self;
        let mut bytes = zeroed(dataset.window_bytes(request)?)?;
        dataset.read_window(request, &mut bytes)?;
        Ok(Outcome::Window(bytes.into()))
    }
}

/// Equal for two who ask for the same block.
pub(super) fn block_key(dataset: &Dataset, at: BlockId) -> u128 {
    key("block", dataset, &format!("{at:?}"))
}

/// Equal for two who ask for the same window.
pub(super) fn window_key(dataset: &Dataset, request: &WindowRequest) -> u128 {
    key("window", dataset, &format!("{request:?}"))
}

/// Equal for two who ask for the same tile.
pub(super) fn tile_key(dataset: &Dataset, request: &TileRequest) -> u128 {
    request.spelling(dataset)
}

fn key(what: &str, dataset: &Dataset, spelling: &str) -> u128 {
    xxh3_128(format!("{what} {} {} {spelling}", dataset.number(), dataset.epoch()).as_bytes())
}
