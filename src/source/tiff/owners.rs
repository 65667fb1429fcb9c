//! Which picture of a file a reduced one or a mask belongs to, where there are several.
//!
//! Some writers put the overviews of a picture right behind it; others, as GDAL, those of the first one behind all. Nothing
//! names the picture that they are of, so that what could be of the first and of the last is of none: levels are made then,
//! which are never those of another picture.

use crate::sync::Arc;

use super::directory::{Directory, Parser};
use super::family::{self, kind};
use super::image::Image;
use super::pages::{Picture, parse};
use super::{ReadAt, tags};

/// Pictures back from a directory that are asked whether it is theirs, besides the first one.
const MAX_OWNERS: usize = 64;

/// The kind of a directory that belongs to a picture, and how large its image is.
pub(super) type Size = (u64, u64, u64);

/// What samples mean: the palette as it is stored, and the text of the one that means nothing.
pub(super) type Meaning = (Option<Vec<u8>>, Option<String>);

/// A directory that is a reduced picture or a mask.
struct Other {
    directory: Directory,
    kind: u64,
    image: Image,
    /// As far as it says so; nothing of a mask.
    photometric: Option<u64>,
    meaning: Meaning,
}

impl Other {
    /// `None` when it cannot be read.
    fn new(parser: &Parser<'_>, directory: Directory, reader: &Arc<dyn ReadAt>) -> Option<Self> {
        let image = parse(parser, &directory, reader)?.image;
        let kind = kind(parser, &directory) & family::RELEVANT;
        let is_picture = kind & tags::SUBFILE_MASK == 0;
        let says = is_picture && directory.entry(tags::PHOTOMETRIC).is_some();
        let photometric = says.then(|| shown(&image));
        let meaning = if is_picture { meaning(parser, &directory, &image) } else { Meaning::default() };
        Some(Self { directory, kind, image, photometric, meaning })
    }

    fn size(&self) -> Size {
        (self.kind, self.image.level.width, self.image.level.height)
    }

    /// Whether it can be a part of `picture`, going by its sides as `has_size` does. There is but one of a kind and size in a
    /// picture.
    fn fits(&self, parser: &Parser<'_>, picture: &Picture, has_size: fn(&Image, &Image) -> bool) -> bool {
        let (base, image) = (&picture.image.image, &self.image);
        if picture.is_mask || picture.sizes.contains(&self.size()) {
            return false;
        }
        match self.kind {
            tags::SUBFILE_MASK => has_same_size(base, image),
            tags::SUBFILE_REDUCED => {
                (base.n_bands, base.sample) == (image.n_bands, image.sample)
                    && has_size(base, image)
                    && self.photometric.is_none_or(|photometric| photometric == shown(base))
                    && self.means_the_same(parser, picture)
            }
            _ => has_size(base, image),
        }
    }

    /// Whether what it says of its samples is what `picture` says.
    fn means_the_same(&self, parser: &Parser<'_>, picture: &Picture) -> bool {
        let (colors, nodata) = &self.meaning;
        if colors.is_none() && nodata.is_none() {
            return true;
        }
        let of_picture = || meaning(parser, &picture.directories[0], &picture.image.image);
        let (their_colors, their_nodata) = picture.meaning.get_or_init(of_picture);
        (colors.is_none() || colors == their_colors) && (nodata.is_none() || nodata == their_nodata)
    }
}

/// What `directory` says of the samples of its image.
pub(super) fn meaning(parser: &Parser<'_>, directory: &Directory, image: &Image) -> Meaning {
    let palette = directory.entry(tags::COLOR_MAP).filter(|_| image.photometric == tags::PHOTOMETRIC_PALETTE);
    let palette = palette.and_then(|entry| parser.bytes(entry).ok());
    (palette, parser.text(directory, tags::GDAL_NODATA).ok().flatten())
}

/// The photometric interpretation of an image as it is presented.
fn shown(image: &Image) -> u64 {
    match image.photometric {
        tags::PHOTOMETRIC_YCBCR if image.storage.jpeg_ycbcr || image.storage.ycbcr.is_some() => tags::PHOTOMETRIC_RGB,
        other => other,
    }
}

/// Directories that are reduced pictures or masks, and follow each other.
pub(super) struct Run {
    pub(super) directories: Vec<Directory>,
    /// Whether a picture that cannot be read is before them.
    pub(super) is_behind_unknown: bool,
    /// Whether no picture is behind them.
    pub(super) is_behind_all: bool,
}

/// Gives the directories of a run that is behind `pictures` to those of them that they belong to:
/// all to the one of which all can be that, or each to the one of which it can, and none where that is not clear. One whose
/// sides are no whole part of those of any picture may be of the last one, if that is before it.
pub(super) fn share_out(parser: &Parser<'_>, pictures: &mut [Picture], run: Run, reader: &Arc<dyn ReadAt>) {
    let Run { directories, is_behind_unknown, is_behind_all } = run;
    // Nothing is before them when the first directory cannot be read, and another page is wanted.
    let Some(last) = pictures.len().checked_sub(1).filter(|_| !directories.is_empty()) else { return };
    let first = &mut pictures[0];
    if last == 0 && !is_behind_unknown && !first.is_mask {
        first.directories.extend(directories);
        return;
    }
    if first.sizes.is_empty() {
        first.sizes = first.directories[1..].iter().filter_map(|directory| size(parser, directory)).collect();
    }
    let others: Vec<_> =
        directories.into_iter().filter_map(|directory| Other::new(parser, directory, reader)).collect();
    let owners = owners(parser, pictures, &others, (is_behind_unknown, is_behind_all));
    for (other, owner) in others.into_iter().zip(owners) {
        if let Some(owner) = owner {
            pictures[owner].sizes.push(other.size());
            pictures[owner].directories.push(other.directory);
        }
    }
}

/// The number of the picture that each of `others`, which follow each other, belongs to.
fn owners(
    parser: &Parser<'_>,
    pictures: &[Picture],
    others: &[Other],
    (is_behind_unknown, is_behind_all): (bool, bool),
) -> Vec<Option<usize>> {
    let last = pictures.len() - 1;
    let near = || (1..=last).rev().take(MAX_OWNERS).chain([0]);
    let fits = |at: usize, other: &Other| other.fits(parser, &pictures[at], is_whole_times);
    let of_all: Vec<_> = near().filter(|at| others.iter().all(|other| fits(*at, other))).collect();
    let is_double = others.iter().enumerate().any(|(i, a)| others[..i].iter().any(|b| a.size() == b.size()));
    // Of several it is the last, right behind which they are, unless they can be those of the first; `candidates` are in the
    // order of `near`. All that is behind a reduced picture that was asked for is of the one picture that both are of. Not
    // every page has a mask, and one before a further page was hardly added later.
    let is_part = !pictures[last].is_page;
    let is_own_mask = |other: &Other| other.kind == tags::SUBFILE_MASK && !is_behind_all;
    let pick = |candidates: &[usize], of_last: bool| match candidates {
        [one] => Some(*one),
        [at, rest @ ..] if *at == last && !is_double => Some(last).filter(|_| of_last || !rest.contains(&0)),
        _ => None,
    };
    if let Some(owner) = pick(&of_all, is_part || others.iter().all(is_own_mask)) {
        return vec![Some(owner); others.len()];
    }
    let owner = |other: &Other| {
        let whole: Vec<_> = near().filter(|at| fits(*at, other)).collect();
        if !whole.is_empty() {
            return pick(&whole, is_own_mask(other));
        }
        // A page that has one of its own needs no other.
        let has_one = |at: usize| at != last && pictures[at].sizes.iter().any(|(kind, ..)| *kind == other.kind);
        let has_shape = |at: usize| other.fits(parser, &pictures[at], has_same_shape) && !has_one(at);
        let shaped: Vec<_> = near().filter(|at| has_shape(*at)).collect();
        pick(&shaped, false).filter(|owner| *owner == last && !is_behind_unknown)
    };
    others.iter().map(owner).collect()
}

/// What a directory of the first picture is, as [`Other::size`] says.
fn size(parser: &Parser<'_>, directory: &Directory) -> Option<Size> {
    let side = |tag| parser.first(directory, tag).ok().flatten();
    Some((kind(parser, directory) & family::RELEVANT, side(tags::IMAGE_WIDTH)?, side(tags::IMAGE_LENGTH)?))
}

fn has_same_size(base: &Image, image: &Image) -> bool {
    (base.level.width, base.level.height) == (image.level.width, image.level.height)
}

/// Whether `base` is a whole number of times as large, rounded up or down.
fn is_whole_times(base: &Image, image: &Image) -> bool {
    let (base, image) = (&base.level, &image.level);
    let nearest = |long: u64, short: u64| (long.saturating_add(short / 2)) / short;
    let is_side = |long: u64, short: u64, factor: u64| short == long / factor || short == long.div_ceil(factor);
    let factor = nearest(base.width, image.width).max(nearest(base.height, image.height));
    factor > 1 && is_side(base.width, image.width, factor) && is_side(base.height, image.height, factor)
}

/// Whether `image` is smaller, and its sides are in the proportion of those of `base`.
fn has_same_shape(base: &Image, image: &Image) -> bool {
    let (base, image) = (&base.level, &image.level);
    let expected = image.width as f64 * base.height as f64 / base.width as f64;
    image.width < base.width && (image.height as f64 - expected).abs() <= 2.0
}
