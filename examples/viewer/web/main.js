// The page: panes with pictures, and the controls of the one that was touched last.

import { CachePanel, bytes, count, terms } from "./cache.js";
import { PALETTES, band_name, plain, query, stretches, style } from "./look.js";
import { Range } from "./range.js";
import { memory, show_requests } from "./requests.js";
import { TilePanel } from "./tilecache.js";
import { Layer } from "./tiles.js";
import { Place, View } from "./zoom.js";

const find = (id) => document.getElementById(id);
const POLL_MS = 1000;

const state = { datasets: [], panes: [], active: null, stats: null };

function message(text) {
  find("error").hidden = !text;
  find("error").textContent = text ?? "";
}

function new_pane() {
  const pane = document.createElement("div");
  pane.className = "pane";
  pane.tabIndex = 0;
  pane.setAttribute("role", "application");
  pane.setAttribute("aria-label", "Picture: arrows move, plus and minus zoom, 0 shows all");
  pane.innerHTML = `<canvas></canvas>
    <div class="buttons"><button type="button" data-zoom="2" aria-label="Closer">+</button><button type="button"
    data-zoom="0.5" aria-label="Farther">−</button><button type="button" aria-label="Show all">⌂</button></div>
    <div class="caption"><b></b><span></span></div>`;
  find("panes").append(pane);
  const made = { pane, dataset: null, looks: new Map(), place: new Place() };
  made.view = new View(pane, made.place, () => activate(made), reload);
  state.panes.push(made);
  return made;
}

function activate(pane) {
  if (state.active === pane) return;
  state.active = pane;
  for (const other of state.panes) other.pane.classList.toggle("active", other === pane);
  if (pane.dataset) show_controls();
}

/** The look of the raster in a pane. */
function look(pane = state.active) {
  if (!pane.looks.has(pane.dataset.id)) pane.looks.set(pane.dataset.id, plain(pane.dataset));
  return pane.looks.get(pane.dataset.id);
}

function show(pane) {
  message(null);
  const [ending, options] = query(pane.dataset, look(pane));
  const onError = (text) => pane === state.active && message(text);
  const onChange = () => pane.view.redraw();
  const layer = new Layer(pane.dataset, ending, options, { onChange, onError, onVersion: reload });
  layer.keep = find("keep").checked;
  pane.view.show(layer);
}

function open_dataset(pane, dataset) {
  const other = pane.dataset?.id !== dataset.id;
  pane.dataset = dataset;
  show(pane);
  // Alone, a view starts with all of the raster; together with another one it stays where that is.
  if (other && (state.panes.length === 1 || !find("sync").checked)) pane.view.fit();
  if (pane === state.active) show_controls();
}

function set_views(n) {
  while (state.panes.length > n) {
    const pane = state.panes.pop();
    pane.view.close();
    pane.pane.remove();
  }
  while (state.panes.length < n) {
    const pane = new_pane();
    share_places();
    const at = state.datasets.indexOf(state.panes[0].dataset);
    open_dataset(pane, state.datasets[(at + 1) % state.datasets.length]);
  }
  find("one").setAttribute("aria-pressed", n === 1);
  find("two").setAttribute("aria-pressed", n === 2);
  find("panes").classList.toggle("several", n > 1);
  if (!state.panes.includes(state.active)) activate(state.panes[0]);
}

function share_places() {
  const together = find("sync").checked;
  state.panes.forEach((pane, i) => {
    if (i === 0) return;
    if (!together && pane.view.place === state.panes[0].place) Object.assign(pane.place, { ...state.panes[0].place, anchor: null, views: pane.place.views });
    pane.view.share(together ? state.panes[0].place : pane.place);
  });
}

function list_datasets() {
  find("datasets").replaceChildren(...state.datasets.map((dataset) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("role", "option");
    button.dataset.id = dataset.id;
    const name = document.createElement("span");
    name.textContent = dataset.name;
    const what = document.createElement("span");
    const bands = dataset.bands.length === 1 ? "1 band" : `${dataset.bands.length} bands`;
    what.textContent = `${dataset.width} × ${dataset.height} · ${bands} ${dataset.sample} · ${dataset.format} ${dataset.compression}`;
    button.append(name, what);
    button.addEventListener("click", () => open_dataset(state.active, dataset));
    return button;
  }));
}

/** Where other viewers find the raster. */
function list_links(dataset) {
  const urls = [["DeepZoom", dataset.dzi], ["IIIF", dataset.iiif], ["XYZ", `${dataset.tiles}.png`]];
  find("links").replaceChildren(...urls.map(([name, url]) => {
    const line = document.createElement("p");
    const link = document.createElement(url.includes("{") ? "span" : "a");
    if (link.tagName === "A") link.href = url;
    // It may break behind a slash.
    link.append(...url.split(/(?<=\/)/).flatMap((part) => [document.createElement("wbr"), part]));
    line.append(Object.assign(document.createElement("span"), { textContent: name, className: "muted" }), link);
    return line;
  }));
}

function select(options, value, onChange, label) {
  const field = document.createElement("label");
  field.className = "field";
  const name = document.createElement("span");
  name.textContent = label;
  const made = document.createElement("select");
  made.append(...options.map(([of, text]) => new Option(text, of)));
  made.value = value;
  made.addEventListener("change", () => onChange(Number(made.value)));
  field.append(name, made);
  return field;
}

/** Brings the controls to what the active pane shows. */
function show_controls() {
  const { dataset } = state.active;
  const of = look();
  find("active").textContent = dataset.name;
  for (const button of find("datasets").children) button.setAttribute("aria-selected", button.dataset.id === dataset.id);
  find("mode").value = of.mode;
  find("mode").querySelector('[value="rgb"]').disabled = dataset.bands.length < 2;
  const bands = dataset.bands.map((band) => [band.number, band_name(band)]);
  const choose = (label, value, set) => select(bands, value, (band) => { set(band); changed(true); }, label);
  const fields = {
    single: () => [choose("Band", of.band, (band) => (of.band = band))],
    rgb: () => ["Red", "Green", "Blue"].map((name, i) => choose(name, of.rgb[i], (band) => (of.rgb[i] = band))),
  };
  find("bands").replaceChildren(...(fields[of.mode]?.() ?? []));
  find("stretch").hidden = !stretches(of);
  find("palette-field").hidden = of.mode !== "single";
  find("json").hidden = of.mode !== "json";
  find("frame-field").hidden = dataset.frames < 2;
  find("frame").max = dataset.frames;
  find("frame").value = of.frame;
  find("palette").value = of.palette;
  find("gamma").value = Math.log10(of.gamma);
  find("gamma-text").textContent = of.gamma.toFixed(2);
  find("encoding").value = of.encoding;
  if (document.activeElement !== find("json")) find("json").value = of.json;
  range.set([of.min, of.max], of.cut, false);
  load_histogram();
  list_links(dataset);
  cache.show(dataset);
}

/** Another picture is wanted; with `controls`, other controls too. */
function changed(controls = false) {
  show(state.active);
  if (controls) show_controls();
}

/** Files changed: what shows them is made anew. */
async function reload() {
  if (state.reloading) return;
  state.reloading = true;
  try {
    const datasets = await (await fetch("/api/datasets")).json();
    state.datasets = datasets;
    list_datasets();
    for (const pane of state.panes) {
      const { dataset } = pane;
      const now = datasets.find(({ id }) => id === dataset.id);
      if (now.version === dataset.version) continue;
      // Other bands may need another look.
      if (now.bands.length !== dataset.bands.length || now.sample !== dataset.sample) pane.looks.delete(now.id);
      pane.dataset = now;
      show(pane);
    }
    show_controls();
  } catch {
    // The next poll tells again.
  }
  state.reloading = false;
}

let histogram_of = "";
async function load_histogram() {
  const { dataset } = state.active;
  const of = look();
  if (!stretches(of)) return;
  const band = of.mode === "single" ? of.band : of.rgb[0];
  const query = `band=${band}&frame=${of.frame - 1}&v=${dataset.version}`;
  const url = `/api/datasets/${encodeURIComponent(dataset.id)}/histogram?${query}`;
  if (histogram_of === url) return;
  histogram_of = url;
  const reply = await fetch(url);
  const histogram = await reply.json();
  if (histogram_of !== url) return;
  range.load(reply.ok ? histogram : null, !/f/.test(dataset.sample));
  if (!reply.ok) message(histogram.error);
}

const range = new Range(find, ([min, max], cut) => {
  Object.assign(look(), { min, max, cut });
  changed();
});
const cache = new CachePanel(find, message);
const tiles = new TilePanel(find, message);
state.tiles = tiles;

function listen() {
  find("mode").addEventListener("change", (event) => {
    const of = look();
    if (event.target.value === "json") {
      of.json = JSON.stringify(JSON.parse(style(of) || "null"), null, 1);
      find("json").value = of.json;
    }
    of.mode = event.target.value;
    changed(true);
  });
  find("palette").append(...PALETTES.flatMap((name) => [new Option(name, name), new Option(`${name}, turned round`, `${name}_r`)]));
  find("palette").addEventListener("change", (event) => { look().palette = event.target.value; changed(); });
  find("gamma").addEventListener("input", (event) => {
    look().gamma = Number((10 ** event.target.value).toFixed(3));
    find("gamma-text").textContent = look().gamma.toFixed(2);
  });
  find("gamma").addEventListener("change", () => changed());
  find("frame").addEventListener("change", (event) => {
    const frame = Math.round(Number(event.target.value));
    look().frame = Math.min(state.active.dataset.frames, Math.max(1, frame || 1));
    changed(true);
  });
  find("encoding").addEventListener("change", (event) => { look().encoding = event.target.value; changed(); });
  find("json").addEventListener("change", (event) => { look().json = event.target.value; changed(); });
  find("keep").addEventListener("change", (event) => {
    for (const pane of state.panes) pane.view.layer.keep = event.target.checked;
  });
  find("one").addEventListener("click", () => set_views(1));
  find("two").addEventListener("click", () => set_views(2));
  find("sync").addEventListener("change", share_places);
  addEventListener("pagehide", () => state.panes.forEach((pane) => pane.view.frames.close()));
  document.addEventListener("visibilitychange", () => {
    for (const pane of state.panes) document.hidden ? pane.view.frames.close() : pane.view.redraw();
  });
  find("toggle").addEventListener("click", () => {
    const folded = document.body.classList.toggle("folded");
    find("toggle").setAttribute("aria-expanded", !folded);
  });
}

/** Sees whether files changed, or cannot be read any more, or can again. */
function look_after() {
  const { datasets } = state.stats;
  if (state.panes.some((pane) => datasets[pane.dataset.id].version !== pane.dataset.version)) reload();
  for (const pane of state.panes) {
    const { trouble } = datasets[pane.dataset.id];
    if (trouble && pane === state.active) message(trouble);
    if (!trouble && pane.trouble) show(pane);
    pane.trouble = trouble;
  }
}

async function poll() {
  if (!document.hidden) {
    try {
      const views = state.panes.map((pane) => pane.view.frames.name).join();
      state.stats = await (await fetch(`/api/stats?view=${views}`)).json();
      look_after();
      const { process, files } = state.stats;
      terms(find("process"), [
        ["in caches", `${bytes(process.used_bytes)} of ${bytes(process.max_bytes)}`],
        ["held in all", bytes(process.held_bytes)],
        ...memory(state.stats.pressure),
        ["loads under way", bytes(process.loading_bytes)],
        ["files known", `${count(files.known)}, ${count(files.closed)} closed`],
        ["files open", count(files.open)],
        ["files parsed", `${count(files.misses)} of ${count(files.hits + files.misses)}`],
      ]);
      show_requests(find, state.stats);
      tiles.refresh(state.stats);
      await cache.refresh(state.stats);
      if (state.lost) message(null);
      state.lost = false;
    } catch {
      state.lost = true;
      message("The server does not answer.");
    }
  }
  setTimeout(poll, POLL_MS);
}

async function start() {
  listen();
  if (matchMedia("(max-width: 720px)").matches) find("toggle").click();
  state.datasets = await (await fetch("/api/datasets")).json();
  list_datasets();
  const pane = new_pane();
  activate(pane);
  open_dataset(pane, state.datasets[0]);
  poll();
}

start();

/** For tests and the console: what is shown, and whether all of it is there. */
globalThis.viewer = { state, settled: () => state.panes.length > 0 && state.panes.every((pane) => pane.view.settled) };
