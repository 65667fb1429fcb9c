//! A made-up landscape, computed for any place at any resolution.

/// Islands with mountains, lit from the north-west: a height and a moisture for every place, and colours from these.
pub(super) struct Landscape {
    /// Pixels of full resolution that the largest forms measure.
    scale: f64,
}

/// A square of pixels whose values are made together.
struct Patch {
    /// The centre of the first pixel, and the distance to the next one, in largest forms.
    x: f64,
    y: f64,
    pixel: f64,
    side: usize,
}

impl Landscape {
    pub(super) fn new(width: u32, height: u32) -> Self {
        Self { scale: f64::from(width.max(height).max(64)) / 2.4 }
    }

    /// RGB of `side` x `side` pixels, each of which measures `step` pixels of full resolution; `x, y` is the first.
    pub(super) fn tile(&self, step: f64, x: u64, y: u64, side: u32) -> Vec<u8> {
        let side = side as usize;
        let pixel = step / self.scale;
        // Slopes are computed from the neighbours of a pixel, so there is a border of one.
        let patch = Patch { x: (x as f64 - 0.5) * pixel, y: (y as f64 - 0.5) * pixel, pixel, side: side + 2 };
        let (heights, moistures) = relief(&patch);
        let run = 2.0 * pixel as f32;
        let mut out = Vec::with_capacity(side * side * 3);
        for row in 1..=side {
            for at in row * patch.side + 1..=row * patch.side + side {
                let across = (heights[at + 1] - heights[at - 1]) / run;
                let down = (heights[at + patch.side] - heights[at - patch.side]) / run;
                out.extend(color(heights[at], moistures[at], (across, down)));
            }
        }
        out
    }
}

impl Landscape {
    /// Heights of `side` x `side` pixels, each of which measures `step` pixels of full resolution; `x, y` is the first. Sea
    /// level is 0, the highest peaks are about 0.7. `side` is a multiple of four; the ground is computed at every fourth
    /// pixel.
    pub(super) fn heights(&self, step: f64, x: u64, y: u64, side: u32) -> Vec<f32> {
        let ground = Ground::new(self, step, x, y, side as usize);
        let places = (0..side as usize).flat_map(|row| (0..side as usize).map(move |col| (col, row)));
        places.map(|(col, row)| ground.height(col, row)).collect()
    }

    /// Elevations of `side` x `side` pixels in decimetres above 1000 m below the sea, 16 bits in native order, with the
    /// noise of a sensor. `side` is a multiple of four; the ground is computed at every fourth pixel.
    pub(super) fn elevations(&self, x: u64, y: u64, side: u32) -> Vec<u8> {
        let ground = Ground::new(self, 1.0, x, y, side as usize);
        let side = side as usize;
        let mut out = Vec::with_capacity(side * side * 2);
        for row in 0..side {
            for col in 0..side {
                let height = ground.height(col, row);
                let noise = hash((x as usize + col) as i32, (y as usize + row) as i32, 7) >> 28;
                let sample = (10_000.0 + 40_000.0 * height).clamp(0.0, 60_000.0) as u16 + noise as u16;
                out.extend(sample.to_ne_bytes());
            }
        }
        out
    }
}

/// Heights that are computed at every fourth pixel, and between these.
struct Ground {
    heights: Vec<f32>,
    side: usize,
}

impl Ground {
    const STEP: usize = 4;

    /// The ground below `side` x `side` pixels of `step` pixels of full resolution, from pixel `x, y` on.
    fn new(land: &Landscape, step: f64, x: u64, y: u64, side: usize) -> Self {
        let pixel = step * Self::STEP as f64 / land.scale;
        // The middle of a coarse pixel is that of the pixels of full resolution below it.
        let first = |at: u64| at as f64 / Self::STEP as f64 * pixel + (step - 1.0) / 2.0 / land.scale;
        let patch = Patch { x: first(x), y: first(y), pixel, side: side / Self::STEP + 1 };
        Self { heights: relief(&patch).0, side: patch.side }
    }

    fn height(&self, col: usize, row: usize) -> f32 {
        let part = |at: usize| (at % Self::STEP) as f32 / Self::STEP as f32;
        let upper = &self.heights[row / Self::STEP * self.side + col / Self::STEP..];
        let lower = &upper[self.side..];
        mix(mix(upper[0], upper[1], part(col)), mix(lower[0], lower[1], part(col)), part(row))
    }
}

impl Landscape {
    /// As [`tile`](Self::tile) at full resolution, with the noise of a sensor.
    pub(super) fn photo(&self, x: u64, y: u64, side: u32) -> Vec<u8> {
        let mut pixels = self.tile(1.0, x, y, side);
        for (i, pixel) in pixels.chunks_exact_mut(3).enumerate() {
            let (col, row) = (x as usize + i % side as usize, y as usize + i / side as usize);
            let noise = hash(col as i32, row as i32, 11);
            for (band, sample) in pixel.iter_mut().enumerate() {
                // Two dice a band: small values are more likely than large ones.
                let dice = |at: usize| (noise >> (8 * band + 4 * at)) as i32 & 3;
                *sample = sample.saturating_add_signed((dice(0) - dice(1)) as i8);
            }
        }
        pixels
    }
}

/// Heights (sea level is 0, the highest peaks are about 0.7) and moistures (0 to 1).
fn relief(patch: &Patch) -> (Vec<f32>, Vec<f32>) {
    let n = patch.side * patch.side;
    let (mut land, mut uplift, mut moisture) = (vec![0.1; n], vec![0.0; n], vec![0.5; n]);
    let sum = |to: &mut [f32], share: f32, noise: &[f32]| to.iter_mut().zip(noise).for_each(|(t, n)| *t += share * n);
    octaves(patch, 10, (1.0, 0.5, 0.48), 1, |at, share, noise| sum(&mut land[at..], share, noise));
    octaves(patch, 3, (1.4, 0.8, 0.5), 21, |at, share, noise| sum(&mut uplift[at..], share, noise));
    octaves(patch, 6, (1.1, 0.6, 0.5), 41, |at, share, noise| sum(&mut moisture[at..], share, noise));
    // Mountains stand inland, where the ground rises.
    uplift.iter_mut().zip(&land).for_each(|(u, land)| *u = smooth(-0.25, 0.45, *u) * smooth(0.0, 0.22, *land));
    let (mut crests, mut weights) = (vec![0.0; n], uplift.clone());
    if uplift.iter().any(|u| *u > 0.0) {
        // Noise folded at zero has crests; small ones grow on large ones. A sharp crest would be a line of single
        // pixels, so it is rounded off.
        octaves(patch, 10, (2.6, 0.6, 0.5), 61, |at, share, noise| {
            for ((noise, weight), sum) in noise.iter().zip(&mut weights[at..]).zip(&mut crests[at..]) {
                let fold = (1.0 - 1.7 * (noise * noise + 0.002).sqrt()).max(0.0);
                let crest = fold * fold * *weight;
                *sum += share * crest;
                *weight = (*weight * 0.35 + crest * 1.1).min(1.0);
            }
        });
    }
    let heights = land.iter().zip(&crests).zip(&uplift).map(|((land, crest), uplift)| {
        // Lowlands are flatter than the sea floor.
        let ground = if *land > 0.0 { land * (0.4 + 0.3 * uplift) } else { *land };
        ground + 0.6 * crest
    });
    (heights.collect(), moisture)
}

/// Calls `add` for every row with noise of falling wavelengths: where the row starts in the patch, the octave's
/// amplitude, and the noise. `(frequency, amplitude, gain)` are those of the first octave and how the amplitude goes
/// on. Octaves that are finer than the pixels are left out, those that are nearly so are faded.
fn octaves(
    patch: &Patch,
    n: u32,
    (mut frequency, mut amplitude, gain): (f64, f32, f32),
    seed: u32,
    mut add: impl FnMut(usize, f32, &[f32]),
) {
    for octave in 0..n {
        let kept = 1.0 - smooth(0.2, 0.45, (frequency * patch.pixel) as f32);
        if kept <= 0.0 {
            break;
        }
        let share = amplitude * kept;
        noise(patch, frequency, seed + octave, |at, row| add(at, share, row));
        frequency *= 1.97;
        amplitude *= gain;
    }
}

/// Gradient noise after Perlin, from -1 to 1, with the smoother interpolation of 2002: calls `each` for every row. What
/// is the same for all pixels of a row of a cell is computed once.
fn noise(patch: &Patch, frequency: f64, seed: u32, mut each: impl FnMut(usize, &[f32])) {
    // Another part of the lattice for each octave, so that their zeros do not meet.
    let (shift_x, shift_y) = (f64::from(seed) * 17.31, f64::from(seed) * 29.57);
    let step = patch.pixel * frequency;
    let mut values = vec![0.0; patch.side];
    for row in 0..patch.side {
        let v = (patch.y + row as f64 * patch.pixel) * frequency + shift_y;
        let (top, fy) = (v.floor() as i32, (v - v.floor()) as f32);
        let ty = ease(fy);
        let mut col = 0;
        while col < patch.side {
            let u = (patch.x + col as f64 * patch.pixel) * frequency + shift_x;
            let left = u.floor();
            let end = (col + 1 + ((left + 1.0 - u) / step) as usize).min(patch.side);
            let corner = |dx: i32, dy: i32| gradient((left as i32).wrapping_add(dx), top.wrapping_add(dy), seed);
            let side = |dx: i32| {
                let (upper, lower) = (corner(dx, 0), corner(dx, 1));
                (mix(upper.0, lower.0, ty), mix(upper.1 * fy, lower.1 * (fy - 1.0), ty))
            };
            let (before, after) = (side(0), side(1));
            let (first, step) = ((u - left) as f32, step as f32);
            for (value, i) in values[col..end].iter_mut().zip(0u16..) {
                let fx = first + f32::from(i) * step;
                let between = mix(before.0 * fx + before.1, after.0 * (fx - 1.0) + after.1, ease(fx));
                *value = between * std::f32::consts::SQRT_2;
            }
            col = end;
        }
        each(row * patch.side, &values);
    }
}

/// One of 16 directions for each point of the lattice.
fn gradient(x: i32, y: i32, seed: u32) -> (f32, f32) {
    const COS: [f32; 5] = [1.0, 0.923_879_5, 0.707_106_77, 0.382_683_43, 0.0];
    const fn cos(direction: usize) -> f32 {
        match direction % 16 {
            d @ 0..=4 => COS[d],
            d @ 5..=8 => -COS[8 - d],
            d @ 9..=12 => -COS[d - 8],
            d => COS[16 - d],
        }
    }
    let direction = (hash(x, y, seed) >> 28) as usize;
    (cos(direction), cos(direction + 12))
}

/// A number for each point of a lattice; its highest bits are the best.
fn hash(x: i32, y: i32, seed: u32) -> u32 {
    let hash = (x as u32).wrapping_mul(0x8DA6_B343) ^ (y as u32).wrapping_mul(0xD816_3841);
    let hash = (hash ^ seed.wrapping_mul(0xCB1A_B31F)).wrapping_mul(0x2C1B_3C6D);
    (hash ^ (hash >> 15)).wrapping_mul(0x297A_2D39)
}

fn ease(t: f32) -> f32 {
    t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
}

fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// 0 below `low`, 1 above `high`, and a soft step between them.
fn smooth(low: f32, high: f32, value: f32) -> f32 {
    let t = ((value - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// The colour of a place, lit.
fn color(height: f32, moisture: f32, slope: (f32, f32)) -> [u8; 3] {
    const DEEP: [f32; 3] = [17.0, 52.0, 92.0];
    const SHALLOW: [f32; 3] = [52.0, 126.0, 156.0];
    const SHORE: [f32; 3] = [136.0, 196.0, 190.0];
    const SAND: [f32; 3] = [222.0, 208.0, 166.0];
    const GRASS: [f32; 3] = [124.0, 156.0, 84.0];
    const STEPPE: [f32; 3] = [196.0, 182.0, 122.0];
    const FOREST: [f32; 3] = [62.0, 104.0, 62.0];
    const ROCK: [f32; 3] = [146.0, 130.0, 112.0];
    const SNOW: [f32; 3] = [247.0, 249.0, 252.0];
    let blend = |a: [f32; 3], b: [f32; 3], t: f32| [mix(a[0], b[0], t), mix(a[1], b[1], t), mix(a[2], b[2], t)];

    let (exaggeration, base) = if height > 0.0 {
        let steepness = (slope.0 * slope.0 + slope.1 * slope.1).sqrt();
        let ground = blend(STEPPE, GRASS, smooth(0.3, 0.55, moisture));
        let wooded = smooth(0.42, 0.62, moisture) * smooth(0.01, 0.05, height);
        let ground = blend(ground, FOREST, wooded);
        let ground = blend(SAND, ground, smooth(0.001, 0.01, height));
        let ground = blend(ground, ROCK, smooth(0.24, 0.36, height + 0.02 * steepness));
        let snow = smooth(0.4, 0.47, height + 0.08 * (moisture - 0.5) - 0.012 * steepness);
        (0.5, blend(ground, SNOW, snow))
    } else {
        let water = blend(SHALLOW, DEEP, smooth(0.04, 0.34, -height));
        (0.09, blend(SHORE, water, smooth(0.0, 0.06, -height)))
    };
    // Light from the north-west; flat ground is lit as it is.
    let (sx, sy) = (slope.0 * exaggeration, slope.1 * exaggeration);
    let lit = (1.0 + (sx + sy) * std::f32::consts::FRAC_1_SQRT_2) / (1.0 + sx * sx + sy * sy).sqrt();
    let light = 0.6 + 0.4 * lit;
    // Shadows are a little blue.
    let shade = [light, light, 0.15 + 0.85 * light];
    [0, 1, 2].map(|part| (base[part] * shade[part] + 0.5) as u8)
}
