//! XML that files bring along: parsed in bounded time and memory.

use roxmltree::{Document, ParsingOptions};

/// Elements, attributes' texts and comments of a document.
const MAX_NODES: u32 = 1 << 18;
/// Attributes of one element: the parser compares each with all others.
const MAX_ATTRIBUTES: usize = 512;

/// The document that `text` is; `None` where it is none, or one that would take too long.
pub(super) fn parse(text: &str) -> Option<Document<'_>> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if !is_modest(text) {
        return None;
    }
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).ok()
}

/// Whether no element has very many attributes: between one angle bracket that opens and the next one there are as many
/// equals signs before quotes as there are attributes, or more.
fn is_modest(text: &str) -> bool {
    let (mut n, mut before) = (0, 0);
    text.bytes().filter(|byte| !byte.is_ascii_whitespace()).all(|byte| {
        match byte {
            b'<' => n = 0,
            b'"' | b'\'' if before == b'=' => n += 1,
            _ => {}
        }
        before = byte;
        n <= MAX_ATTRIBUTES
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_of_many_attributes_is_refused_before_it_is_parsed() {
        let with = |n: usize| {
            let attributes: String = (0..n).map(|i| format!(" a{i}=\"\"")).collect();
            format!("<A{attributes}><B c=\"1\"/></A>")
        };
        assert!(parse(&with(MAX_ATTRIBUTES)).is_some());
        // Would take minutes.
        assert!(parse(&with(400_000)).is_none());
        assert!(parse("\u{feff} <A/>").is_some() && parse("<A>").is_none());
    }
}
