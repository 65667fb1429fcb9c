//! The directories of a file told apart: pictures, and those that belong to one of them.

use crate::error::Result;
use crate::source::PageInfo;
use crate::sync::Arc;

use super::directory::{Directory, Entry, Parser};
use super::family::{self, is_aperio, kind};
use super::image::Image;
use super::{LevelImage, Limits, ReadAt, check_block_bytes, tags, words};

/// Pictures back from a directory that are asked whether it is theirs.
const MAX_OWNERS: usize = 64;
/// Bytes of a description that are read for its first line, and characters of that which are kept.
const DESCRIPTION_BYTES: u64 = 1024;
const DESCRIPTION_CHARS: usize = 200;

/// A picture of the file.
pub(super) struct Picture {
    /// The number of its directory.
    pub(super) number: u32,
    pub(super) image: LevelImage,
    /// Its own, and those of the chain that belong to it.
    pub(super) directories: Vec<Directory>,
    /// Whether it is one of those that are frames of one raster with the page that is wanted, and that page itself.
    pub(super) is_frame: bool,
    /// Whether it is a page, or only a picture because it is wanted.
    pub(super) is_page: bool,
    /// Whether it is a mask, to which nothing belongs.
    is_mask: bool,
}

/// The pictures among `directories`, in their order, where the one of number `page` is `wanted`.
///
/// A frame is a picture with the size, blocks and samples of that one, and with its colours and nodata. Directories that say
/// of themselves that they are a reduced picture or a mask belong to another one, and so do the further levels of a slide by
/// Aperio, which say nothing.
pub(super) fn pictures(
    parser: &Parser<'_>,
    directories: Vec<Directory>,
    page: u32,
    wanted: &LevelImage,
    reader: &Arc<dyn ReadAt>,
    limits: Limits,
) -> Vec<Picture> {
    let is_slide = directories.first().is_some_and(|first| is_aperio(parser, first));
    let says_picture = |directory: &Directory| kind(parser, directory) & family::RELEVANT == 0;
    let wanted_directory = directories.get(page as usize);
    let of_wanted = &wanted_directory.map_or((None, None), |directory| meaning(parser, directory, &wanted.image));
    let wants_picture = wanted_directory.is_some_and(says_picture);
    let wants_tiles = wanted_directory.is_some_and(|directory| directory.entry(tags::TILE_WIDTH).is_some());

    let mut pictures: Vec<Picture> = Vec::new();
    // Directories behind the last picture that are none, and whether there is one between that cannot be read.
    let (mut others, mut is_behind_unknown) = (Vec::new(), false);
    for (number, directory) in (0..).zip(directories) {
        let is_picture = says_picture(&directory);
        let is_wanted = number == page;
        let image = if is_wanted || is_picture { parse(parser, &directory, reader) } else { None };
        // What is said of the pixels is said once for all frames.
        let is_frame = |image: &LevelImage| {
            let fits = check_block_bytes(&image.image, wanted.image.interleave, limits).is_ok();
            wants_picture && fits && image.is_like(wanted) && meaning(parser, &directory, &image.image) == *of_wanted
        };
        let is_frame = is_wanted || image.as_ref().is_some_and(is_frame);
        let is_page = is_picture && (!is_slide || number == 0 || is_frame);
        match image.filter(|_| is_page || is_wanted) {
            Some(image) => {
                share_out(parser, &mut pictures, std::mem::take(&mut others), is_behind_unknown, reader);
                is_behind_unknown = false;
                let is_mask = kind(parser, &directory) & tags::SUBFILE_MASK != 0;
                pictures.push(Picture { number, image, directories: vec![directory], is_frame, is_page, is_mask });
            }
            None if is_slide => {
                let is_level = wants_tiles && directory.entry(tags::TILE_WIDTH).is_some();
                let page = pictures.iter().position(|picture| picture.number == page).filter(|_| is_level);
                if let Some(picture) = pictures.get_mut(page.unwrap_or(0)) {
                    picture.directories.push(directory);
                }
            }
            None if is_picture => is_behind_unknown = true,
            None => others.push(directory),
        }
    }
    share_out(parser, &mut pictures, others, is_behind_unknown, reader);
    pictures
}

/// Those that are pages, without the frames that they are.
pub(super) fn list(parser: &Parser<'_>, pictures: &[Picture]) -> Vec<PageInfo> {
    let pages = pictures.iter().filter(|picture| picture.is_page).map(|picture| {
        let image = &picture.image.image;
        PageInfo {
            number: picture.number,
            width: image.level.width,
            height: image.level.height,
            n_bands: image.n_bands,
            sample: image.sample,
            frame: None,
            description: picture.directories.first().map_or_else(String::new, |own| description(parser, own)),
        }
    });
    pages.collect()
}

/// The first line of a directory's description, or of its name.
fn description(parser: &Parser<'_>, directory: &Directory) -> String {
    let first_line = |tag| {
        let entry = directory.entry(tag)?;
        let text = parser.text_of(&Entry { count: entry.count.min(DESCRIPTION_BYTES), ..*entry }).ok()??;
        let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
        Some(line.chars().take(DESCRIPTION_CHARS).collect())
    };
    first_line(tags::IMAGE_DESCRIPTION).or_else(|| first_line(tags::PAGE_NAME)).unwrap_or_default()
}

fn parse(parser: &Parser<'_>, directory: &Directory, reader: &Arc<dyn ReadAt>) -> Option<LevelImage> {
    let image = Image::parse(parser, directory, reader.len()).ok()?;
    Some(LevelImage::new(reader, image, directory.offset))
}

/// Gives directories that are reduced pictures or masks, and follow each other, to those of `pictures` that they belong to:
/// to the nearest one of which all can be that, or each to the nearest one of which it can. One whose sides are no whole part
/// of those of any picture may be of the last one, if that is before it.
///
/// Some writers put the overviews of a picture right behind it, others those of the first one behind all.
fn share_out(
    parser: &Parser<'_>,
    pictures: &mut [Picture],
    directories: Vec<Directory>,
    is_behind_unknown: bool,
    reader: &Arc<dyn ReadAt>,
) {
    // Nothing is before them when the first directory cannot be read, and another page is wanted.
    let Some(mut last) = pictures.len().checked_sub(1) else { return };
    if last == 0 && !is_behind_unknown && !pictures[0].is_mask {
        pictures[0].directories.extend(directories);
        return;
    }
    let others: Vec<_> = directories
        .into_iter()
        .map(|directory| {
            let image = parse(parser, &directory, reader).map(|image| image.image);
            let kind = kind(parser, &directory) & family::RELEVANT;
            (directory, kind, image)
        })
        .collect();
    let fits = |at: usize, (_, kind, image): &(Directory, u64, Option<Image>), has_size: fn(&Image, &Image) -> bool| {
        let base = &pictures[at].image.image;
        image.as_ref().is_some_and(|image| {
            let has_samples = (base.n_bands, base.sample) == (image.n_bands, image.sample);
            match *kind {
                _ if pictures[at].is_mask => false,
                tags::SUBFILE_MASK => has_same_size(base, image),
                tags::SUBFILE_REDUCED => has_samples && has_size(base, image),
                _ => has_size(base, image),
            }
        })
    };
    let n = pictures.len();
    let nearest = || (0..n).rev().take(MAX_OWNERS);
    let of_all = nearest().find(|at| others.iter().all(|other| fits(*at, other, is_whole_times)));
    let mut owners = Vec::with_capacity(others.len());
    for other in &others {
        let one = || [last].into_iter().chain(nearest()).find(|at| fits(*at, other, is_whole_times));
        let of_last = || Some(n - 1).filter(|at| !is_behind_unknown && fits(*at, other, has_same_shape));
        let owner = of_all.or_else(one).or_else(of_last);
        last = owner.unwrap_or(last);
        owners.push(owner);
    }
    for ((directory, ..), owner) in others.into_iter().zip(owners) {
        if let Some(owner) = owner {
            pictures[owner].directories.push(directory);
        }
    }
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

/// What the samples of an image mean: their colours, and the one that means nothing.
fn meaning(parser: &Parser<'_>, directory: &Directory, image: &Image) -> (Option<Vec<[u8; 4]>>, Option<String>) {
    let is_palette = image.photometric == tags::PHOTOMETRIC_PALETTE;
    let colors = |bits| -> Result<Option<Vec<[u8; 4]>>> { words::color_table(parser, directory, bits) };
    let table = is_palette.then(|| colors(image.storage.bits).ok().flatten()).flatten();
    (table, parser.text(directory, tags::GDAL_NODATA).ok().flatten())
}
