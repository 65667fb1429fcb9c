// Tiles of one raster in one look: asked for as they are wanted, kept as long as there is room.

/** Tiles under way at a time. Browsers have six connections to one server: two stay free, for frames and counts. */
const AT_ONCE = 4;
/** Tiles that a layer keeps; a megabyte holds four. */
const MOST = 600;
/** Until a tile that failed is asked for again: at first, and at most, after twice as long each time. */
const AGAIN_MS = [1000, 60000];

/** Limits what all layers together ask for. */
let underWay = 0;
const waiting = new Set();

/** Starts what there is room for; layers take turns. */
function next() {
  while (underWay < AT_ONCE && waiting.size) {
    const [layer] = waiting;
    waiting.delete(layer);
    if (layer.start()) waiting.add(layer);
  }
}

/** Tiles of `dataset` with these `options` in the query; `ending` is the picture's format. */
export class Layer {
  constructor(dataset, ending, options, { onChange, onError, onVersion }) {
    Object.assign(this, { dataset, ending, onChange, onError, onVersion });
    this.query = new URLSearchParams(options).toString();
    this.tiles = new Map();
    this.loads = new Map();
    /** Tiles that failed and are still wanted: how often, and what asks for them again. */
    this.faults = new Map();
    this.wanted = [];
    this.keep = true;
    this.closed = false;
    /** The server does not make such pictures: what was shown before stays. */
    this.refused = false;
    /** The file changed: another layer will take the place of this one. */
    this.stale = false;
    /** What the server knows the view by that shows it. */
    this.view = "";
    /** Something to show in the place of the coarsest tile, and the request for it. */
    this.preview = null;
    this.early = null;
  }

  static key(z, x, y) {
    return `${z}/${x}/${y}`;
  }

  /** Columns and rows of a zoom, and the pixels of full resolution that one of its pixels measures. */
  grid(z) {
    const step = 2 ** (this.dataset.max_zoom - z);
    const side = (pixels) => Math.ceil(Math.ceil(pixels / step) / 256);
    return { step, cols: side(this.dataset.width), rows: side(this.dataset.height) };
  }

  /** The picture of a tile, when it is there. */
  get(z, x, y) {
    const key = Layer.key(z, x, y);
    const tile = this.tiles.get(key);
    if (tile) {
      // The end of a map is what was used last.
      this.tiles.delete(key);
      this.tiles.set(key, tile);
    }
    return tile?.picture;
  }

  /** Says which tiles are wanted now, the most urgent first: others are not waited for any longer. */
  want(places) {
    if (this.refused || this.stale) return;
    const keys = new Set(places.map((place) => Layer.key(...place)));
    for (const [key, load] of this.loads) {
      if (!keys.has(key)) load.abort();
    }
    for (const key of [...this.faults.keys()]) if (!keys.has(key)) this.forgive(key);
    if (!this.keep) {
      for (const key of [...this.tiles.keys()]) if (!keys.has(key)) this.drop(key);
    }
    this.wanted = places.filter((place) => {
      const key = Layer.key(...place);
      return !this.tiles.has(key) && !this.loads.has(key) && !this.faults.get(key)?.timer;
    });
    if (this.wanted.length) {
      waiting.add(this);
      next();
    }
  }

  /** How many of the tiles that were wanted last are not there. */
  get missing() {
    return this.wanted.length + this.loads.size;
  }

  /** Asks for whatever can be shown first of the whole. */
  async look_ahead() {
    const { has_coarsest, has_thumbnail } = this.dataset;
    if (this.early || this.tiles.size || !(has_coarsest || has_thumbnail)) return;
    this.early = new AbortController();
    try {
      const reply = await fetch(this.url(0, 0, 0, "png", "&soon=1"), { signal: this.early.signal });
      if (!reply.ok) return;
      const picture = await createImageBitmap(await reply.blob());
      if (this.closed || this.get(0, 0, 0)) return picture.close();
      this.preview = picture;
      this.onChange();
    } catch {
      // The tiles themselves are still to come.
    }
  }

  url(z, x, y, ending, more = "") {
    const path = this.dataset.tiles.replace("{z}", z).replace("{x}", x).replace("{y}", y);
    return `${path}.${ending}?${this.query}${more}`;
  }

  /** Asks for nothing more; what is there stays. */
  rest() {
    this.wanted = [];
    this.early?.abort();
    for (const load of this.loads.values()) load.abort();
    for (const key of [...this.faults.keys()]) this.forgive(key);
  }

  /** Whether nothing is wanted or under way. */
  get settled() {
    return !this.stale && this.missing === 0;
  }

  start() {
    const place = this.wanted.shift();
    if (!place) return false;
    const key = Layer.key(...place);
    const stop = new AbortController();
    this.loads.set(key, stop);
    underWay += 1;
    this.load(key, place, stop.signal).finally(() => {
      underWay -= 1;
      this.loads.delete(key);
      next();
      if (!this.closed) this.onChange();
    });
    return true;
  }

  async load(key, place, signal) {
    try {
      const [cache, headers] = [this.keep ? "default" : "no-store", this.view ? { "x-view": this.view } : {}];
      const reply = await fetch(this.url(...place, this.ending), { signal, cache, headers });
      if (!reply.ok) {
        const { error } = await reply.json().catch(() => ({ error: reply.statusText }));
        if (reply.status === 400 && !this.refused && !this.closed) {
          this.refused = true;
          this.rest();
          this.onError(error);
          return;
        }
        throw new Error(error);
      }
      const picture = await createImageBitmap(await reply.blob());
      const version = reply.headers.get("x-version");
      if (version !== this.dataset.version) {
        // Of another file than its neighbours.
        picture.close();
        this.stale = true;
        this.rest();
        return this.onVersion();
      }
      if (this.closed || signal.aborted) return picture.close();
      if (key === "0/0/0") this.drop_preview();
      this.tiles.set(key, { picture });
      if (this.forgive(key) && !this.faults.size) this.onError(null);
      for (const oldest of this.tiles.keys()) {
        if (this.tiles.size <= MOST) break;
        // The coarsest tile is what there is to show when nothing else is there.
        if (oldest !== "0/0/0") this.drop(oldest);
        else this.get(0, 0, 0);
      }
    } catch (error) {
      if (error.name === "AbortError" || this.closed || this.refused) return;
      this.fail(key, error.message);
    }
  }

  /** Has a tile asked for again after a while, if it is wanted then. */
  fail(key, text) {
    const [least, most] = AGAIN_MS;
    const tries = this.faults.get(key)?.tries ?? 0;
    const again = () => {
      fault.timer = 0;
      this.onChange();
    };
    const fault = { tries: tries + 1, timer: setTimeout(again, Math.min(most, least * 2 ** tries)) };
    this.faults.set(key, fault);
    this.onError(text);
  }

  /** Forgets that a tile failed; whether it did. */
  forgive(key) {
    clearTimeout(this.faults.get(key)?.timer);
    return this.faults.delete(key);
  }

  drop_preview() {
    this.early?.abort();
    this.preview?.close();
    this.preview = null;
  }

  drop(key) {
    this.tiles.get(key)?.picture?.close();
    this.tiles.delete(key);
  }

  close() {
    this.closed = true;
    this.rest();
    this.drop_preview();
    for (const key of [...this.tiles.keys()]) this.drop(key);
  }
}
