//! Tiles by request: found, or made.

use crate::dataset::Dataset;
use crate::error::Result;
use crate::grid::Window;

use super::cache::{TileCache, Wanted};
use super::key::TileKey;
use super::look::Look;
use super::tile::{Tile, TileRequest};

impl Dataset {
    /// One tile, raw or encoded: from the cache of rendered tiles, or made now. One that the source stores as it was asked
    /// for is handed out as it is, without a block being read ([`TileRequest::pass_through`]).
    ///
    /// Of all threads that ask for an absent tile one makes it. Raw tiles whose samples stay as they are are not in that
    /// cache: they are made of the blocks, which have one of their own.
    ///
    /// # Errors
    ///
    /// `invalid argument` when there is no such tile, band or size, when `range` is not two different finite numbers,
    /// or when the encoding has no such samples: PNG takes 8 and 16 bits unsigned, JPEG and WebP 8 bits, anything else
    /// needs a `range`. So are a style together with bands or a range, and what
    /// [`Style::resolve`](crate::Style::resolve) finds wrong. `unsupported` for an encoding that this build lacks.
    /// Otherwise what reading a block met.
    pub fn read_tile(&self, request: &TileRequest) -> Result<Tile> {
        let (visible, look) = (self.tile_window(request)?, self.look(request)?);
        match self.wanted(request, &look) {
            None => self.draw(request, &visible, &look).map(|(tile, _)| tile),
            Some(wanted) => TileCache::process().get_or_make(&wanted, || self.draw(request, &visible, &look)),
        }
    }

    /// Many tiles, as [`read_tile`](Self::read_tile) gives each: those of a viewport. The store, if there is one, is asked
    /// for all of them at once.
    pub fn read_tiles(&self, requests: &[TileRequest]) -> Vec<Result<Tile>> {
        let parts = requests.iter().map(|request| Ok((self.tile_window(request)?, self.look(request)?)));
        let parts: Vec<Result<(Window, Look<'_>)>> = parts.collect();
        let wanted = requests
            .iter()
            .zip(&parts)
            .map(|(request, parts)| parts.as_ref().ok().and_then(|(_, look)| self.wanted(request, look)));
        let wanted: Vec<Option<Wanted>> = wanted.collect();
        let kept: Vec<Wanted> = wanted.iter().flatten().copied().collect();
        let mut fetched = TileCache::process().fetch_many(&kept).into_iter();
        let tiles = requests.iter().zip(parts).zip(wanted).map(|((request, parts), wanted)| {
            let fetched = wanted.and_then(|_| fetched.next().flatten());
            let (visible, look) = parts?;
            let draw = || self.draw(request, &visible, &look);
            match wanted {
                None => draw().map(|(tile, _)| tile),
                // Nobody asks a second time for what was not there a moment ago.
                Some(wanted) => TileCache::process().get_or_fetch(&wanted, |_| fetched, draw),
            }
        });
        tiles.collect()
    }

    /// The tile if it is in memory: nothing is read for it, nor is a style resolved. Raw tiles that are no more than samples
    /// of blocks are never found.
    pub(crate) fn found_tile(&self, request: &TileRequest) -> Option<Tile> {
        let look = self.known_look(request)?;
        let wanted = self.wanted(request, &look)?;
        TileCache::process().peek(wanted.key)
    }

    /// What the tile of a request is known by; `None` when it is no more than samples of blocks.
    fn wanted(&self, request: &TileRequest, look: &Look<'_>) -> Option<Wanted> {
        if look.is_native(request) {
            return None;
        }
        Some(Wanted {
            key: TileKey::new(self, request, look),
            most: look.pixel_bytes(self) as u64 * u64::from(request.size.0) * u64::from(request.size.1),
            cache_use: request.cache_use,
            is_shareable: self.has_shareable_tiles(),
            encoding: request.encoding,
        })
    }

    /// Forgets all that is known of the pixels: blocks, ranges that styles asked for, and rendered tiles. For a client's own
    /// source whose pixels changed.
    ///
    /// A block that is locked stays as it is for those who hold it, and nobody finds it again. What is being read or
    /// rendered meanwhile is not found afterwards either.
    ///
    /// # Errors
    ///
    /// `store error` when the store may still have tiles; they are not found through this dataset any more.
    pub fn invalidate(&self) -> Result<()> {
        self.forget_pixels();
        TileCache::process().remove_source(self.tile_source(), self.has_shareable_tiles())
    }
}
