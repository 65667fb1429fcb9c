//! The directories of a file told apart: pictures, and those that belong to one of them.

use std::cell::OnceCell;

use crate::source::PageInfo;
use crate::sync::Arc;

use super::directory::{Directory, Entry, Parser};
use super::family::{self, is_aperio, kind};
use super::image::Image;
use super::owners::{Meaning, Run, Size, meaning, share_out};
use super::{LevelImage, Limits, ReadAt, check_block_bytes, tags};

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
    pub(super) is_mask: bool,
    /// What those that belong to it are, where somebody asked.
    pub(super) sizes: Vec<Size>,
    /// What it says of its samples, where somebody asked.
    pub(super) meaning: OnceCell<Meaning>,
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
    let of_wanted = &wanted_directory.map_or(Meaning::default(), |directory| meaning(parser, directory, &wanted.image));
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
                let run = Run { directories: std::mem::take(&mut others), is_behind_unknown, is_behind_all: false };
                share_out(parser, &mut pictures, run, reader);
                is_behind_unknown = false;
                let is_mask = kind(parser, &directory) & tags::SUBFILE_MASK != 0;
                let (directories, sizes, meaning) = (vec![directory], Vec::new(), OnceCell::new());
                pictures.push(Picture { number, image, directories, is_frame, is_page, is_mask, sizes, meaning });
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
    share_out(parser, &mut pictures, Run { directories: others, is_behind_unknown, is_behind_all: true }, reader);
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

pub(super) fn parse(parser: &Parser<'_>, directory: &Directory, reader: &Arc<dyn ReadAt>) -> Option<LevelImage> {
    let image = Image::parse(parser, directory, reader.len()).ok()?;
    Some(LevelImage::new(reader, image, directory.offset))
}
