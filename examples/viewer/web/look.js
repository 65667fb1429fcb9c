// What a picture looks like: the controls' values, and the style and query that they come to.

export const PALETTES = ["grayscale", "viridis", "magma", "plasma", "inferno", "cividis", "turbo", "terrain"];

/** The part of the samples at either end that an automatic range may leave out. */
export const CUT = 0.02;

const PRIMARIES = ["#f00", "#0f0", "#00f"];

/** The controls' values for a raster that nobody has touched. */
export function plain(dataset) {
  // Samples of 8 bits are colours as they are; others are measured, often with a few far from all the rest.
  const measured = /^[fiu]/.test(dataset.sample) && dataset.sample !== "u8" && !dataset.color_table;
  return {
    mode: !measured ? "own" : dataset.bands.length < 3 ? "single" : "rgb",
    band: 1,
    rgb: [1, 2, 3].map((band) => Math.min(band, dataset.bands.length)),
    min: null,
    max: null,
    cut: measured,
    gamma: 1,
    palette: /^[fi]/.test(dataset.sample) ? "terrain" : "grayscale",
    json: "",
    frame: 1,
    encoding: "png",
  };
}

/** Whether the look has a range, colours and gamma of its own. */
export function stretches(look) {
  return look.mode === "single" || look.mode === "rgb";
}

/** The style, as text; empty where the raster is shown as it says itself. */
export function style(look) {
  if (look.mode === "own") return "";
  if (look.mode === "json") return look.json.trim();
  const layer = (band, palette) => {
    const made = { band, palette, nodata: "auto" };
    if (look.min !== null || look.cut) made.min = look.min ?? `min:${CUT}`;
    if (look.max !== null || look.cut) made.max = look.max ?? `max:${CUT}`;
    if (look.gamma !== 1) made.gamma = look.gamma;
    return made;
  };
  const bands = look.mode === "single" ? [layer(look.band, look.palette === "grayscale" ? "#fff" : look.palette)]
    : look.rgb.map((band, i) => layer(band, PRIMARIES[i]));
  return JSON.stringify({ bands });
}

/** The ending of tiles' names, and their query. */
export function query(dataset, look) {
  const [ending, more] = look.encoding.split("?");
  const options = Object.fromEntries(new URLSearchParams(more ?? ""));
  options.v = dataset.version;
  const text = style(look);
  if (text) options.style = text;
  if (look.frame > 1) options.frame = look.frame - 1;
  return [ending, options];
}

/** What a band is called in lists. */
export function band_name(band) {
  const word = band.description || (band.color === "undefined" ? "" : band.color);
  return `${band.number}${word ? ` · ${word}` : ""}${band.unit ? ` (${band.unit})` : ""}`;
}
