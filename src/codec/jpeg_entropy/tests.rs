use super::excerpt::BitWriter;
use super::*;
use crate::codec::jpeg::info;
use crate::error::ErrorKind;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

struct Bytes<'a>(&'a [u8]);

impl Feed for Bytes<'_> {
    fn bytes(&mut self) -> Result<&[u8]> {
        Ok(self.0)
    }

    fn consume(&mut self, n: usize) {
        self.0 = &self.0[n..];
    }
}

fn picture(restart: u16) -> Vec<u8> {
    let (width, height) = (90, 70);
    let pixels: Vec<u8> = (0..width * height * 3_u32).map(|i| (i * i / 37 + i / 5) as u8).collect();
    let mut out = vec![];
    let mut encoder = Encoder::new(&mut out, 90);
    encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
    if restart > 0 {
        encoder.set_restart_interval(restart);
    }
    encoder.encode(&pixels, width as u16, height as u16, ColorType::Rgb).unwrap();
    out
}

fn coding(stream: &[u8]) -> (Coding, Place) {
    let data = Segments::new(stream).unwrap().find(|segment| segment.marker == SOS).unwrap().range.end;
    (Coding::of(stream, &info(stream).unwrap()).unwrap(), Place::start(data as u64))
}

#[test]
fn every_place_leads_to_the_places_after_it() {
    for restart in [0, 1, 7] {
        let stream = picture(restart);
        let (coding, start) = coding(&stream);
        assert_eq!((coding.mcus_across, coding.mcus_down, coding.n_mcus()), (6, 5, 30));
        let at = |mcu, place: &Place| Scanner::new(&coding, Bytes(&stream[place.offset() as usize..]), mcu, place);
        let mut scanner = at(0, &start);
        let mut places = vec![];
        while scanner.mcu() < coding.n_mcus() {
            places.push(scanner.place());
            scanner.skip().unwrap();
        }
        for (mcu, place) in places.iter().enumerate() {
            let mut scanner = at(mcu as u64, place);
            for after in &places[mcu..] {
                assert_eq!(scanner.place(), *after, "restart interval {restart}, from {mcu} to {}", scanner.mcu());
                scanner.skip().unwrap();
            }
            // There is no MCU behind the last one.
            assert_eq!((0..100).find_map(|_| scanner.skip().err()).unwrap().kind(), ErrorKind::Corrupt);
        }
    }
}

#[test]
fn broken_data_are_corrupt_or_other_mcus_and_end() {
    let mut state = 1_u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize
    };
    let mut n_failed = 0;
    for round in 0..2000 {
        let mut stream = picture(if round % 2 == 0 { 0 } else { 5 });
        let (coding, start) = coding(&stream);
        let data = start.offset() as usize;
        for _ in 0..1 + next() % 3 {
            let at = data + next() % (stream.len() - data);
            stream[at] ^= 1 << (next() % 8);
        }
        let mut scanner = Scanner::new(&coding, Bytes(&stream[data..]), 0, &start);
        let mut excerpt = Excerpt::default();
        let copied = (0..coding.n_mcus()).try_for_each(|_| scanner.visit(&mut excerpt));
        if let Err(error) = copied {
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            n_failed += 1;
        }
        assert!(excerpt.finish().len() < 4 * stream.len());
    }
    assert!(n_failed > 100, "{n_failed}");
}

#[test]
fn bits_are_written_as_they_are_read_with_zeros_after_every_0xff() {
    let mut writer = BitWriter::default();
    let bits = [(0b1, 1), (0b1111_1111, 8), (0x7fff_ffff, 31), (0, 5), (0xff, 8), (0b10, 2)];
    bits.iter().for_each(|(value, n)| writer.put(*value, *n));
    let out = writer.finish();
    assert!(out.windows(2).all(|pair| pair[0] != 0xff || pair[1] == 0), "{out:x?}");
    let plain: Vec<u8> =
        out.iter().enumerate().filter(|(i, b)| **b != 0 || *i == 0 || out[i - 1] != 0xff).map(|(_, b)| *b).collect();
    let written: String = bits.iter().map(|(value, n)| format!("{value:0n$b}", n = *n as usize)).collect();
    let read: String = plain.iter().map(|byte| format!("{byte:08b}")).collect();
    assert_eq!(read.trim_end_matches('1'), written.trim_end_matches('1'));
}

#[test]
fn a_table_with_more_codes_than_a_length_has_room_for_is_refused() {
    let mut counts = [0; 16];
    counts[1] = 5;
    assert!(Huffman::new(&counts, &[0, 1, 2, 3, 4]).is_none());
    counts[1] = 2;
    counts[15] = 1;
    let table = Huffman::new(&counts, &[7, 8, 9]).unwrap();
    assert_eq!(table.look(0b0100_0000_0000_0000).unwrap(), (2, 8));
    assert_eq!(table.look(0b1000_0000_0000_0000).unwrap(), (16, 9));
    assert_eq!(table.look(0xffff).unwrap_err().kind(), ErrorKind::Corrupt);
}
