//! What stands before the entropy-coded data: JFIF's marker, the tables, the frame and the scan.

use super::Layout;
use super::tables::{CHROMA_AC, CHROMA_DC, Codes, LUMA_AC, LUMA_DC, ZIGZAG};

/// Writes everything up to the first byte of the scan. `tables` are those of luma and of chroma, in rows.
pub(super) fn write(file: &mut Vec<u8>, (width, height): (u16, u16), layout: Layout, tables: &[[u8; 64]; 2]) {
    let n_kinds = if layout == Layout::Gray { 1 } else { 2 };
    file.extend_from_slice(&[0xff, 0xd8]);
    // Version 1.1; pixels as wide as high; no thumbnail.
    segment(file, 0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    for (number, table) in (0..).zip(&tables[..n_kinds]) {
        let mut body = vec![number];
        body.extend(ZIGZAG.map(|at| table[usize::from(at)]));
        segment(file, 0xdb, &body);
    }
    // The number of each component, how many of its samples there are across and down in an MCU, and its table.
    let luma = if layout == Layout::Halved { 0x22 } else { 0x11 };
    let components = [[1, luma, 0], [2, 0x11, 1], [3, 0x11, 1]];
    let components = &components[..if layout == Layout::Gray { 1 } else { 3 }];
    let ([h, height_low], [w, width_low]) = (height.to_be_bytes(), width.to_be_bytes());
    let mut frame = vec![8, h, height_low, w, width_low, components.len() as u8];
    frame.extend(components.as_flattened());
    segment(file, 0xc0, &frame);
    for (number, [dc, ac]) in (0..).zip(&[[LUMA_DC, LUMA_AC], [CHROMA_DC, CHROMA_AC]][..n_kinds]) {
        for (class, Codes { lengths, symbols }) in [(0, dc), (0x10, ac)] {
            let mut body = vec![class | number];
            body.extend_from_slice(lengths);
            body.extend_from_slice(symbols);
            segment(file, 0xc4, &body);
        }
    }
    let mut scan = vec![components.len() as u8];
    scan.extend(components.iter().flat_map(|[number, _, table]| [*number, table * 0x11]));
    // All coefficients, with all of their bits.
    scan.extend_from_slice(&[0, 63, 0]);
    segment(file, 0xda, &scan);
}

/// `body` is short.
fn segment(file: &mut Vec<u8>, marker: u8, body: &[u8]) {
    file.extend_from_slice(&[0xff, marker]);
    file.extend_from_slice(&(body.len() as u16 + 2).to_be_bytes());
    file.extend_from_slice(body);
}
