//! The page's files, which are part of the program.

use xxhash_rust::xxh3::xxh3_128;

use crate::message::{Ask, Reply, etag, is_known};

const FILES: [(&str, &str, &str); 13] = [
    ("index.html", "text/html; charset=utf-8", include_str!("web/index.html")),
    ("style.css", "text/css; charset=utf-8", include_str!("web/style.css")),
    ("icon.svg", "image/svg+xml", include_str!("web/icon.svg")),
    ("main.js", "text/javascript; charset=utf-8", include_str!("web/main.js")),
    ("zoom.js", "text/javascript; charset=utf-8", include_str!("web/zoom.js")),
    ("tiles.js", "text/javascript; charset=utf-8", include_str!("web/tiles.js")),
    ("look.js", "text/javascript; charset=utf-8", include_str!("web/look.js")),
    ("range.js", "text/javascript; charset=utf-8", include_str!("web/range.js")),
    ("canvas.js", "text/javascript; charset=utf-8", include_str!("web/canvas.js")),
    ("frames.js", "text/javascript; charset=utf-8", include_str!("web/frames.js")),
    ("requests.js", "text/javascript; charset=utf-8", include_str!("web/requests.js")),
    ("tilecache.js", "text/javascript; charset=utf-8", include_str!("web/tilecache.js")),
    ("cache.js", "text/javascript; charset=utf-8", include_str!("web/cache.js")),
];

/// Nothing but what the server itself sends is loaded or run.
const POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

pub(crate) fn file(name: &str, ask: &Ask) -> Result<Reply, Reply> {
    let found = FILES.iter().find(|(file, ..)| *file == name);
    let (_, content_type, text) = found.ok_or_else(|| Reply::not_found(&format!("/web/{name}")))?;
    let tag = etag(xxh3_128(text.as_bytes()));
    let known = is_known(ask.has.as_deref(), &tag);
    let reply = if known { Reply::unchanged() } else { Reply::new(content_type, text.as_bytes()) };
    Ok(reply.with("etag", tag).with("cache-control", "no-cache").with("content-security-policy", POLICY))
}
