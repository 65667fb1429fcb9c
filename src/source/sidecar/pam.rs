//! GDAL's persistent auxiliary metadata: an XML document in a file called `.aux.xml`.

use roxmltree::Node;

use crate::grid::Geotransform;
use crate::sample::SampleType;
use crate::source::numbers::{self, leading_float};
use crate::source::{BandInfo, ColorInterpretation, Gcp, MetadataItem, Nodata, xml};

/// What the document says of a dataset.
#[derive(Debug, Default)]
pub(super) struct Pam {
    pub(super) geotransform: Option<Geotransform>,
    pub(super) srs_wkt: Option<String>,
    pub(super) gcps: Vec<Gcp>,
    pub(super) metadata: Vec<MetadataItem>,
    /// Bands by their number from 0; those of which nothing is said are left out.
    pub(super) bands: Vec<(u32, PamBand)>,
}

/// What it says of a band. Its metadata is among that of the dataset.
#[derive(Debug, Default)]
pub(super) struct PamBand {
    /// `nodata` is in it.
    pub(super) info: BandInfo,
    pub(super) color: Option<ColorInterpretation>,
    pub(super) color_table: Option<Vec<[u8; 4]>>,
}

impl Pam {
    /// Reads a document about samples of that type; `None` when it is not well-formed, or about something else.
    pub(super) fn parse(text: &str, sample: SampleType) -> Option<Self> {
        let document = xml::parse(text)?;
        let root = document.root_element();
        if !root.has_tag_name("PAMDataset") {
            return None;
        }
        let mut pam = Self::default();
        for node in root.children().filter(Node::is_element) {
            match node.tag_name().name() {
                "GeoTransform" => pam.geotransform = transform(text_of(node)),
                "SRS" => pam.srs_wkt = Some(text_of(node).trim().to_owned()).filter(|wkt| !wkt.is_empty()),
                "GCPList" => pam.gcps = node.children().filter(|n| n.has_tag_name("GCP")).filter_map(gcp).collect(),
                "Metadata" => add_metadata(node, None, &mut pam.metadata),
                "PAMRasterBand" => {
                    let number = node.attribute("band").and_then(|n| n.trim().parse::<u32>().ok());
                    if let Some(band) = number.and_then(|number| number.checked_sub(1)) {
                        let metadata = node.children().filter(|child| child.has_tag_name("Metadata"));
                        metadata.for_each(|child| add_metadata(child, Some(band), &mut pam.metadata));
                        pam.bands.push((band, pam_band(node, sample)));
                    }
                }
                _ => {}
            }
        }
        Some(pam)
    }
}

fn text_of<'a>(node: Node<'a, '_>) -> &'a str {
    node.text().unwrap_or_default()
}

fn transform(text: &str) -> Option<Geotransform> {
    let numbers: Vec<f64> = text.split(',').map(leading_float).collect::<Option<_>>()?;
    Some(Geotransform(*numbers.first_chunk()?)).filter(|_| numbers.len() == 6)
}

fn gcp(node: Node<'_, '_>) -> Option<Gcp> {
    let word = |name: &str| node.attribute(name).unwrap_or_default().to_owned();
    let number = |name: &str| node.attribute(name).and_then(leading_float);
    Some(Gcp {
        id: word("Id"),
        info: word("Info"),
        col: number("Pixel")?,
        row: number("Line")?,
        x: number("X")?,
        y: number("Y")?,
        z: number("Z").or_else(|| number("GCPZ")).unwrap_or(0.0),
    })
}

/// Adds the items of a `Metadata` element. A domain of XML becomes one item without a key.
fn add_metadata(node: Node<'_, '_>, band: Option<u32>, items: &mut Vec<MetadataItem>) {
    let domain = node.attribute("domain").unwrap_or_default();
    let domain = match band {
        Some(band) if domain.is_empty() => format!("band/{band}"),
        Some(band) => format!("band/{band}/{domain}"),
        None => domain.to_owned(),
    };
    if node.attribute("format").is_some_and(|format| format.eq_ignore_ascii_case("xml")) {
        if let Some(child) = node.children().find(Node::is_element) {
            let value = node.document().input_text()[child.range()].to_owned();
            items.push(MetadataItem { domain, key: String::new(), value });
        }
        return;
    }
    for item in node.children().filter(|child| child.has_tag_name("MDI")) {
        if let Some(key) = item.attribute("key") {
            let value = text_of(item).to_owned();
            items.push(MetadataItem { domain: domain.clone(), key: key.to_owned(), value });
        }
    }
}

fn pam_band(node: Node<'_, '_>, sample: SampleType) -> PamBand {
    let mut band = PamBand::default();
    for node in node.children().filter(Node::is_element) {
        let text = text_of(node);
        match node.tag_name().name() {
            "Description" => text.clone_into(&mut band.info.description),
            "UnitType" => text.clone_into(&mut band.info.unit),
            "Scale" => band.info.scale = leading_float(text),
            "Offset" => band.info.offset = leading_float(text),
            "NoDataValue" => {
                let exact = node.attribute("le_hex_equiv").and_then(float_of_hex);
                band.info.nodata = exact.map(Nodata::Float).or_else(|| numbers::nodata(text, sample));
            }
            "ColorInterp" => band.color = numbers::color(text),
            "CategoryNames" => {
                let names = node.children().filter(|child| child.has_tag_name("Category"));
                band.info.categories = names.map(|child| text_of(child).to_owned()).collect();
            }
            "ColorTable" => {
                let entries = node.children().filter(|child| child.has_tag_name("Entry"));
                band.color_table = Some(entries.take(1 << 16).map(color_entry).collect());
            }
            _ => {}
        }
    }
    band
}

fn color_entry(node: Node<'_, '_>) -> [u8; 4] {
    let part = |name: &str, default: u8| {
        node.attribute(name).and_then(leading_float).map_or(default, |value| value.clamp(0.0, 255.0) as u8)
    };
    [part("c1", 0), part("c2", 0), part("c3", 0), part("c4", 255)]
}

/// The eight bytes of a float, least first, as hexadecimal digits.
fn float_of_hex(text: &str) -> Option<f64> {
    let bits = u64::from_str_radix(text.trim(), 16).ok().filter(|_| text.trim().len() == 16)?;
    Some(f64::from_bits(bits.swap_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_document_says_is_read() {
        let pam = Pam::parse(
            r#"<PAMDataset>
              <SRS dataAxisToSRSAxisMapping="2,1">GEOGCS["w"]</SRS>
              <GeoTransform> 1.0e+00,  2.0, 0.5,  3, -0.5, -2</GeoTransform>
              <GCPList Projection=""><GCP Id="a" Pixel="1" Line="2" X="3" Y="4"/><GCP Id="b" Line="2"/></GCPList>
              <Metadata><MDI key="A">1 &lt; 2</MDI></Metadata>
              <Metadata domain="xml:X" format="xml"><x y="1"><z/></x></Metadata>
              <PAMRasterBand band="2">
                <NoDataValue le_hex_equiv="FFFFFFFFFFFFEFFF">-1.79e+308</NoDataValue>
                <Description>d</Description><UnitType>m</UnitType><Scale>0.5</Scale><Offset>-3</Offset>
                <ColorInterp>Palette</ColorInterp><CategoryNames><Category>none</Category><Category/></CategoryNames>
                <ColorTable><Entry c1="1" c2="2" c3="300" c4="4"/><Entry c1="9"/></ColorTable>
                <Metadata><MDI key="STATISTICS_MEAN">7</MDI></Metadata><Metadata domain="D"><MDI key="K">V</MDI></Metadata>
              </PAMRasterBand>
              <PAMRasterBand band="0"><Description>none has this number</Description></PAMRasterBand>
            </PAMDataset>"#,
            SampleType::F64,
        )
        .unwrap();
        assert_eq!(pam.geotransform, Some(Geotransform([1.0, 2.0, 0.5, 3.0, -0.5, -2.0])));
        assert_eq!(pam.srs_wkt.as_deref(), Some(r#"GEOGCS["w"]"#));
        let point = Gcp { id: "a".to_owned(), col: 1.0, row: 2.0, x: 3.0, y: 4.0, ..Gcp::default() };
        assert_eq!(pam.gcps, [point]);
        let said: Vec<_> = pam.metadata.iter().map(|i| (i.domain.as_str(), i.key.as_str(), i.value.as_str())).collect();
        let xml = r#"<x y="1"><z/></x>"#;
        let known =
            [("", "A", "1 < 2"), ("xml:X", "", xml), ("band/1", "STATISTICS_MEAN", "7"), ("band/1/D", "K", "V")];
        assert_eq!(said, known);
        let [(1, band)] = pam.bands.as_slice() else { panic!("{:?}", pam.bands) };
        assert_eq!(band.info.nodata, Some(Nodata::Float(f64::MIN)));
        assert_eq!((band.info.description.as_str(), band.info.unit.as_str()), ("d", "m"));
        assert_eq!((band.info.scale, band.info.offset), (Some(0.5), Some(-3.0)));
        assert_eq!(band.color, Some(ColorInterpretation::Palette));
        assert_eq!(band.info.categories, ["none", ""]);
        assert_eq!(band.color_table.as_deref(), Some(&[[1, 2, 255, 4], [9, 0, 0, 255]][..]));
    }

    #[test]
    fn another_document_says_nothing() {
        for text in
            ["", "<PAMDataset>", "<VRTDataset/>", "<!DOCTYPE a [<!ENTITY b \"c\">]><PAMDataset>&b;</PAMDataset>"]
        {
            assert!(Pam::parse(text, SampleType::U8).is_none(), "{text}");
        }
        let wrong = "<PAMDataset><GeoTransform>1,2,3</GeoTransform><PAMRasterBand/></PAMDataset>";
        let pam = Pam::parse(wrong, SampleType::U8).unwrap();
        assert!(pam.geotransform.is_none() && pam.bands.is_empty());
    }
}
