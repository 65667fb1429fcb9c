//! JPEG streams of 12 bits, and of any sampling factors, which no encoder at hand writes.
#![allow(unreachable_pub, reason = "a module of tests")]

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// A picture to be encoded: sequential Huffman coding (SOF1).
#[derive(Clone)]
pub struct DeepJpeg {
    pub width: u16,
    pub height: u16,
    /// Bits of a sample: 8 or 12.
    pub bits: u8,
    /// Sampling factors of each component.
    pub factors: Vec<(u8, u8)>,
    /// What every coefficient is divided by.
    pub quantisation: u8,
    /// MCUs between restart markers, 0 for none.
    pub restart: u16,
    /// Whether every component has a scan of its own.
    pub apart: bool,
    /// Segments that come first, with their markers.
    pub first: Vec<u8>,
}

/// Symbols of AC codes: the number of each is its code of eight bits.
fn ac_symbols(bits: u8) -> Vec<u8> {
    let runs = (0..16).flat_map(|run| (1..=bits + 2).map(move |size| run << 4 | size));
    runs.chain([0x00, 0xF0]).collect()
}

#[derive(Default)]
struct Bits {
    out: Vec<u8>,
    hold: u64,
    n: u32,
}

impl Bits {
    fn put(&mut self, bits: u32, n: u32) {
        self.hold = self.hold << n | u64::from(bits);
        self.n += n;
        while self.n >= 8 {
            self.n -= 8;
            let byte = (self.hold >> self.n) as u8;
            self.out.push(byte);
            if byte == 0xFF {
                self.out.push(0);
            }
        }
    }

    /// The bits of a number without its size, and the size.
    fn number(value: i32) -> (u32, u32) {
        let n = 32 - value.unsigned_abs().leading_zeros();
        let bits = if value < 0 { value + (1 << n) - 1 } else { value };
        (bits as u32, n)
    }

    fn end(&mut self) {
        let spare = self.n.next_multiple_of(8) - self.n;
        self.put((1 << spare) - 1, spare);
    }
}

impl DeepJpeg {
    /// Components of 4:4:4, all in one scan.
    pub fn new(width: u16, height: u16, n_components: usize) -> Self {
        let factors = vec![(1, 1); n_components];
        Self { width, height, bits: 12, factors, quantisation: 3, restart: 0, apart: false, first: Vec::new() }
    }

    /// The stream of the picture that has this sample of a component at a pixel.
    pub fn encode(&self, sample: impl Fn(usize, usize, usize) -> u16) -> Vec<u8> {
        let n = self.factors.len() as u8;
        let mut out = [&[0xFF, 0xD8][..], &self.first].concat();
        let n_categories = if self.bits > 8 { 16 } else { 12 };
        let mut segment = |marker: u8, body: &[u8]| {
            out.extend([0xFF, marker]);
            out.extend((body.len() as u16 + 2).to_be_bytes());
            out.extend(body);
        };
        segment(0xDB, &[&[0][..], &[self.quantisation; 64]].concat());
        let size = [self.height, self.width].map(u16::to_be_bytes).concat();
        let components: Vec<u8> = (1..).zip(&self.factors).flat_map(|(id, (h, v))| [id, h << 4 | v, 0]).collect();
        segment(0xC1, &[&[self.bits][..], &size, &[n], &components].concat());
        let counts = |len: usize, n: u8| (1..=16).map(move |at| if at == len { n } else { 0 });
        segment(0xC4, &[0].into_iter().chain(counts(5, n_categories)).chain(0..n_categories).collect::<Vec<u8>>());
        let symbols = ac_symbols(self.bits);
        segment(0xC4, &[0x10].into_iter().chain(counts(8, symbols.len() as u8)).chain(symbols).collect::<Vec<u8>>());
        if self.restart > 0 {
            segment(0xDD, &self.restart.to_be_bytes());
        }
        let scans: Vec<Vec<usize>> = match self.apart {
            true => (0..usize::from(n)).map(|at| vec![at]).collect(),
            false => vec![(0..usize::from(n)).collect()],
        };
        for scan in scans {
            let selectors = scan.iter().flat_map(|at| [*at as u8 + 1, 0]);
            let body: Vec<u8> = [scan.len() as u8].into_iter().chain(selectors).chain([0, 63, 0]).collect();
            out.extend([0xFF, 0xDA]);
            out.extend((body.len() as u16 + 2).to_be_bytes());
            out.extend(body);
            out.extend(self.scan(&scan, &sample));
        }
        out.extend([0xFF, 0xD9]);
        out
    }

    fn scan(&self, scan: &[usize], sample: &impl Fn(usize, usize, usize) -> u16) -> Vec<u8> {
        let most = self.factors.iter().fold((1, 1), |most, f| (f.0.max(most.0), f.1.max(most.1)));
        let (width, height) = (usize::from(self.width), usize::from(self.height));
        let alone = scan.len() == 1;
        // Pixels of an MCU.
        let (across, down) = match alone {
            true => {
                let (h, v) = self.factors[scan[0]];
                (8 * usize::from(most.0 / h), 8 * usize::from(most.1 / v))
            }
            false => (8 * usize::from(most.0), 8 * usize::from(most.1)),
        };
        let (mut bits, mut before, symbols) = (Bits::default(), [0; 4], ac_symbols(self.bits));
        let mut n_mcus = 0_u32;
        for row in 0..height.div_ceil(down) {
            for col in 0..width.div_ceil(across) {
                if self.restart > 0 && n_mcus > 0 && n_mcus.is_multiple_of(self.restart.into()) {
                    bits.end();
                    bits.out.extend([0xFF, 0xD0 + ((n_mcus / u32::from(self.restart) - 1) % 8) as u8]);
                    before = [0; 4];
                }
                n_mcus += 1;
                for component in scan {
                    let (h, v) = self.factors[*component];
                    let shared = (usize::from(most.0 / h), usize::from(most.1 / v));
                    let (h, v) = if alone { (1, 1) } else { (usize::from(h), usize::from(v)) };
                    for (y, x) in (0..v).flat_map(|y| (0..h).map(move |x| (y, x))) {
                        let (left, top) = ((col * h + x) * 8, (row * v + y) * 8);
                        let mean = |x: usize, y: usize| {
                            let places = (0..shared.1).flat_map(|b| (0..shared.0).map(move |a| (a, b)));
                            let sum: u32 = places
                                .map(|(a, b)| {
                                    let (x, y) = ((left + x) * shared.0 + a, (top + y) * shared.1 + b);
                                    u32::from(sample(*component, x.min(width - 1), y.min(height - 1)))
                                })
                                .sum();
                            f64::from(sum) / (shared.0 * shared.1) as f64 - f64::from(1_u16 << (self.bits - 1))
                        };
                        let block: [[f64; 8]; 8] = std::array::from_fn(|y| std::array::from_fn(|x| mean(x, y)));
                        self.block(&block, &mut before[*component], &symbols, &mut bits);
                    }
                }
            }
        }
        bits.end();
        bits.out
    }

    fn block(&self, samples: &[[f64; 8]; 8], before: &mut i32, symbols: &[u8], bits: &mut Bits) {
        let wave = |at: usize, frequency: usize| {
            let scale = if frequency == 0 { FRAC_1_SQRT_2 / 2.0 } else { 0.5 };
            scale * ((2 * at + 1) as f64 * frequency as f64 * PI / 16.0).cos()
        };
        let mut places: Vec<(usize, usize)> = (0..64).map(|at| (at % 8, at / 8)).collect();
        places.sort_by_key(|(u, v)| (u + v, if (u + v) % 2 == 0 { *u } else { *v }));
        let values: Vec<i32> = places
            .iter()
            .map(|(u, v)| {
                let rows = samples.iter().enumerate().map(|(y, row)| {
                    let sum: f64 = row.iter().enumerate().map(|(x, sample)| sample * wave(x, *u)).sum();
                    sum * wave(y, *v)
                });
                (rows.sum::<f64>() / f64::from(self.quantisation)).round() as i32
            })
            .collect();
        let (number, n) = Bits::number(values[0] - *before);
        *before = values[0];
        bits.put(n, 5);
        bits.put(number, n);
        let code = |symbol: u8| symbols.iter().position(|s| *s == symbol).unwrap() as u32;
        let mut run = 0;
        for value in &values[1..] {
            if *value == 0 {
                run += 1;
                continue;
            }
            for _ in 0..run / 16 {
                bits.put(code(0xF0), 8);
            }
            let (number, n) = Bits::number(*value);
            bits.put(code((run % 16) << 4 | n as u8), 8);
            bits.put(number, n);
            run = 0;
        }
        if run > 0 {
            bits.put(code(0), 8);
        }
    }
}
