// A picture of any size on a canvas, moved with pointers, wheel and keys.

import { Frames } from "./frames.js";

/** Pixels of the screen that a pixel of full resolution may measure. */
const CLOSEST = 32;
const EASE_MS = 70;
/** Zooms that are looked through for finer tiles in the place of one that is missing. */
const FINER = 2;
const CALM = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Where somebody looks, apart from the size of what is looked at: the middle as parts of width and height, and how
 * many pixels of the page the whole width takes. Several views can share one.
 */
export class Place {
  constructor() {
    Object.assign(this, { x: 0.5, y: 0.5, span: 0, goal: 0, anchor: null, moved: false, views: new Set() });
  }

  changed() {
    for (const view of this.views) view.redraw();
  }
}

export class View {
  constructor(pane, place, onActive, onVersion) {
    this.frames = new Frames((version) => this.dataset && version !== this.dataset.version && onVersion());
    Object.assign(this, { pane, onActive, layer: null, old: null, pointers: new Map(), frame: 0, last: 0 });
    /** What is seen of a raster where nothing of it is there. */
    this.empty = "#1d1f22";
    this.canvas = pane.querySelector("canvas");
    this.caption = pane.querySelector(".caption");
    this.context = this.canvas.getContext("2d");
    this.cursor = null;
    this.share(place);
    new ResizeObserver(() => this.resized()).observe(pane);
    this.listen();
  }

  share(place) {
    this.place?.views.delete(this);
    this.place = place;
    place.views.add(this);
    this.redraw();
  }

  get dataset() {
    return this.layer?.dataset;
  }

  get size() {
    return { width: this.pane.clientWidth, height: this.pane.clientHeight };
  }

  /** Shows another layer. What is on the screen stays until the new one is there. */
  show(layer) {
    const alike = ["id", "width", "height"].every((what) => this.dataset?.[what] === layer.dataset[what]);
    if (!alike) {
      this.old?.close();
      this.layer?.close();
      this.old = null;
    } else if (this.old) {
      // What was shown before is complete, this one never was.
      this.layer.close();
    } else {
      this.old = this.layer;
      this.old.rest();
    }
    this.layer = layer;
    layer.view = this.frames.name;
    // Otherwise there is something to show.
    if (!this.old) layer.look_ahead();
    if (!this.place.span) this.fit();
    this.redraw();
  }

  /** The span at which the whole picture is seen. */
  get whole() {
    const { width, height } = this.size;
    return Math.min(width, (height * this.dataset.width) / this.dataset.height) * 0.98;
  }

  fit() {
    if (!this.dataset || !this.size.width) return;
    Object.assign(this.place, { x: 0.5, y: 0.5, span: this.whole, goal: this.whole, anchor: null, moved: false });
    this.place.changed();
  }

  resized() {
    const ratio = devicePixelRatio || 1;
    const { width, height } = this.size;
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
    // What nobody moved stays whole.
    if (!this.place.moved && this === [...this.place.views][0]) this.fit();
    this.draw();
  }

  /** Pixels of the page to a pixel of full resolution. */
  get scale() {
    return this.place.span / this.dataset.width;
  }

  /** Place of a point of the pane, in pixels of full resolution. */
  at(x, y) {
    const { width, height } = this.size;
    const { dataset, place, scale } = this;
    return { x: place.x * dataset.width + (x - width / 2) / scale, y: place.y * dataset.height + (y - height / 2) / scale };
  }

  pan(dx, dy) {
    const { place, dataset, scale } = this;
    const inside = (part) => Math.min(1, Math.max(0, part));
    place.x = inside(place.x - dx / scale / dataset.width);
    place.y = inside(place.y - dy / scale / dataset.height);
    Object.assign(place, { anchor: null, moved: true });
    place.changed();
  }

  /** Zooms by a factor; the point of the pane stays where it is. */
  zoom(factor, x = this.size.width / 2, y = this.size.height / 2, at_once = false) {
    const { place, dataset } = this;
    const most = Math.max(CLOSEST * dataset.width, this.whole);
    place.goal = Math.min(most, Math.max(this.whole / 4, place.goal * factor));
    const point = this.at(x, y);
    place.moved = true;
    place.anchor = { x: point.x / dataset.width, y: point.y / dataset.height, view: this, at: { x, y } };
    if (at_once || CALM.matches) this.glide(Infinity);
    place.changed();
  }

  /** Goes on to where a zoom leads. */
  glide(ms) {
    const { place, dataset } = this;
    if (place.goal === place.span || (place.anchor && place.anchor.view !== this && ms !== Infinity)) return;
    const rest = Math.log(place.goal / place.span) * Math.exp(-ms / EASE_MS);
    place.span = Math.abs(rest) < 0.002 ? place.goal : place.goal / Math.exp(rest);
    if (place.anchor) {
      const { width, height } = this.size;
      const { x, y, at } = place.anchor;
      place.x = x - (at.x - width / 2) / place.span;
      place.y = y - (at.y - height / 2) / ((place.span * dataset.height) / dataset.width);
      place.x = Math.min(1, Math.max(0, place.x));
      place.y = Math.min(1, Math.max(0, place.y));
    }
  }

  redraw() {
    if (!this.frame) this.frame = requestAnimationFrame((now) => this.tick(now));
  }

  tick(now) {
    this.frame = 0;
    if (!this.dataset || !this.place.span) return;
    this.glide(Math.min(50, now - this.last));
    this.last = now;
    this.draw();
    if (this.place.goal !== this.place.span) this.place.changed();
  }

  /** Whether every tile that is seen is there. */
  get settled() {
    return !!this.layer && !this.frame && (this.complete || this.layer.refused) && this.layer.settled;
  }

  draw() {
    const { context, canvas, layer } = this;
    if (!layer || !this.place.span) return;
    const { dataset } = layer;
    const ratio = canvas.width / Math.max(1, this.size.width);
    const scale = this.scale * ratio;
    const left = canvas.width / 2 - this.place.x * dataset.width * scale;
    const top = canvas.height / 2 - this.place.y * dataset.height * scale;
    const z = Math.min(dataset.max_zoom, Math.max(0, dataset.max_zoom - Math.floor(Math.log2(1 / scale) + 0.25)));
    const { step, cols, rows } = layer.grid(z);
    const cell = 256 * step * scale;
    const first = (offset) => Math.max(0, Math.floor(-offset / cell));
    const last = (offset, length, n) => Math.min(n - 1, Math.floor((length - offset) / cell));
    const places = [];
    for (let y = first(top); y <= last(top, canvas.height, rows); y++) {
      for (let x = first(left); x <= last(left, canvas.width, cols); x++) places.push([z, x, y]);
    }
    const far = ([, x, y]) => Math.hypot((x + 0.5) * cell + left - canvas.width / 2, (y + 0.5) * cell + top - canvas.height / 2);
    places.sort((a, b) => far(a) - far(b));

    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#131416";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.save();
    context.beginPath();
    context.rect(...edges([left, top], [dataset.width * scale, dataset.height * scale]));
    context.clip();
    context.fillStyle = this.empty;
    context.fillRect(0, 0, canvas.width, canvas.height);
    // Single pixels are seen as squares, not as a blur.
    context.imageSmoothingEnabled = step > 1 || scale < 2;
    const paint = { left, top, scale };
    this.complete = true;
    for (const place of places) this.complete = this.cell(place, paint) && this.complete;
    context.restore();
    if (this.complete && this.old) {
      this.old.close();
      this.old = null;
    }
    if (!layer.refused) this.tell(places);
    // The coarsest first, where it costs little: there is something to show soon.
    layer.want(z > 0 && dataset.has_coarsest ? [[0, 0, 0], ...places] : places);
    this.describe(z);
  }

  /** Tells the server what is seen. */
  tell(places) {
    const { dataset, place, layer, scale } = this;
    this.frames.show(layer, places, [place.x * dataset.width, place.y * dataset.height], scale);
  }

  close() {
    this.place.views.delete(this);
    this.frames.close();
    this.layer?.close();
    this.old?.close();
  }

  /** Draws what there is for a tile's place, each part from one source only, as tiles may be clear in part. */
  cell(place, paint) {
    const exact = this.layer.get(...place);
    if (exact) this.stamp(exact, this.layer, place, paint);
    else if (exact === undefined) this.fill(place, FINER, paint);
    return exact !== undefined;
  }

  /** Draws finer tiles in a tile's place, where they are there; elsewhere what was shown before, or something coarser. */
  fill(place, deep, paint) {
    const { layer, old } = this;
    const finer = deep > 0 ? this.finer(place) : [];
    const shown = old?.get(...place);
    if (finer.some((part) => this.has(part, deep - 1))) {
      for (const part of finer) {
        const picture = layer.get(...part);
        if (picture) this.stamp(picture, layer, part, paint);
        else this.fill(part, deep - 1, paint);
      }
    } else if (shown) this.stamp(shown, old, place, paint);
    else this.coarser(layer, ...place, paint) || (old && this.coarser(old, ...place, paint));
  }

  /** Whether a tile is there, or a finer one in its place. */
  has(place, deep) {
    return !!this.layer.get(...place) || (deep > 0 && this.finer(place).some((part) => this.has(part, deep - 1)));
  }

  /** The places of the next finer zoom in a tile's place. */
  finer([z, x, y]) {
    if (z >= this.layer.dataset.max_zoom) return [];
    const { cols, rows } = this.layer.grid(z + 1);
    const parts = [[0, 0], [1, 0], [0, 1], [1, 1]].map(([dx, dy]) => [z + 1, 2 * x + dx, 2 * y + dy]);
    return parts.filter(([, col, row]) => col < cols && row < rows);
  }

  /** Draws a part of the closest coarser tile, or of what there is in the place of the coarsest one. */
  coarser(layer, z, x, y, paint) {
    for (let up = 1; up <= z; up++) {
      const picture = layer.get(z - up, x >> up, y >> up);
      if (picture) return this.enlarge(picture, up, layer, [z, x, y], paint);
    }
    return !!layer.preview && this.enlarge(layer.preview, z, layer, [z, x, y], paint);
  }

  /** Draws the part of a picture, so many zooms coarser, that is in a tile's place. */
  enlarge(picture, up, layer, [z, x, y], paint) {
    const part = 256 / 2 ** up;
    // A coarse picture may lack what is less than one of its pixels at the edge.
    const from = [Math.min((x % 2 ** up) * part, picture.width - 1), Math.min((y % 2 ** up) * part, picture.height - 1)];
    const size = [Math.min(part, picture.width - from[0]), Math.min(part, picture.height - from[1])];
    this.context.drawImage(picture, ...from, ...size, ...this.ends(layer, [z, x, y], size.map((n) => n / part), paint));
    return true;
  }

  stamp(picture, layer, place, paint) {
    this.context.drawImage(picture, ...this.ends(layer, place, [picture.width / 256, picture.height / 256], paint));
  }

  /** Where so much of a tile's place is on the screen: in the last column and row all that there is of the raster. */
  ends(layer, [z, x, y], parts, { left, top, scale }) {
    const { step, cols, rows } = layer.grid(z);
    const cell = 256 * step * scale;
    const extent = parts.map((part) => part * cell);
    if (x === cols - 1) extent[0] = Math.max(extent[0], layer.dataset.width * scale - x * cell);
    if (y === rows - 1) extent[1] = Math.max(extent[1], layer.dataset.height * scale - y * cell);
    return edges([left + x * cell, top + y * cell], extent);
  }

  describe(z) {
    const { dataset } = this;
    const name = this.caption.querySelector("b");
    const percent = this.scale * (devicePixelRatio || 1) * 100;
    const parts = [`${percent < 10 ? percent.toFixed(1) : Math.round(percent)} %`, `zoom ${z} of ${dataset.max_zoom}`];
    if (this.layer.missing) parts.push(`${this.layer.missing} to come`);
    const point = this.cursor && this.at(this.cursor.x, this.cursor.y);
    if (point && point.x >= 0 && point.y >= 0 && point.x < dataset.width && point.y < dataset.height) {
      parts.push(`x ${Math.floor(point.x)}, y ${Math.floor(point.y)}`);
      const g = dataset.geotransform;
      if (g) {
        const ground = [g[0] + point.x * g[1] + point.y * g[2], g[3] + point.x * g[4] + point.y * g[5]];
        const digits = Math.abs(g[1]) < 0.01 ? 5 : 0;
        parts.push(ground.map((value) => value.toFixed(digits)).join(", "));
      }
    }
    name.textContent = dataset.name;
    name.nextSibling.textContent = `   ${parts.join("   ")}`;
  }

  listen() {
    const { canvas, pane } = this;
    const point = (event) => {
      const box = canvas.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    canvas.addEventListener("pointerdown", (event) => {
      this.onActive();
      pane.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, point(event));
      pane.classList.add("dragging");
    });
    canvas.addEventListener("pointermove", (event) => {
      this.cursor = point(event);
      const before = this.pointers.get(event.pointerId);
      if (!this.dataset) return;
      if (!before) return this.redraw();
      const gathered = () => {
        const all = [...this.pointers.values()];
        const middle = { x: all.reduce((sum, p) => sum + p.x, 0) / all.length, y: all.reduce((sum, p) => sum + p.y, 0) / all.length };
        return { middle, apart: all.length > 1 ? Math.hypot(all[0].x - all[1].x, all[0].y - all[1].y) : 0 };
      };
      const was = gathered();
      this.pointers.set(event.pointerId, this.cursor);
      const is = gathered();
      this.pan(is.middle.x - was.middle.x, is.middle.y - was.middle.y);
      if (was.apart > 0 && is.apart > 0) this.zoom(is.apart / was.apart, is.middle.x, is.middle.y, true);
    });
    const up = (event) => {
      this.pointers.delete(event.pointerId);
      if (!this.pointers.size) pane.classList.remove("dragging");
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("pointerleave", () => {
      this.cursor = null;
      this.redraw();
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (!this.dataset) return;
      const pixels = event.deltaY * [1, 30, 300][event.deltaMode];
      const { x, y } = point(event);
      // A pinch on a touch pad comes as a wheel with the control key, in small steps.
      this.zoom(Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.0022)), x, y);
    }, { passive: false });
    canvas.addEventListener("dblclick", (event) => {
      const { x, y } = point(event);
      this.zoom(event.shiftKey ? 0.5 : 2, x, y);
    });
    pane.addEventListener("keydown", (event) => {
      const far = event.shiftKey ? 400 : 80;
      const keys = {
        ArrowLeft: () => this.pan(far, 0), ArrowRight: () => this.pan(-far, 0),
        ArrowUp: () => this.pan(0, far), ArrowDown: () => this.pan(0, -far),
        "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), "_": () => this.zoom(1 / 1.5),
        0: () => this.fit(), Home: () => this.fit(),
      };
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey || event.target !== pane) return;
      event.preventDefault();
      if (this.dataset) keys[event.key]();
    });
    pane.addEventListener("focus", () => this.onActive());
    for (const button of pane.querySelectorAll(".buttons button")) {
      button.addEventListener("click", () => {
        if (!this.dataset) return;
        if (button.dataset.zoom) this.zoom(Number(button.dataset.zoom));
        else this.fit();
      });
    }
  }
}

/** A rectangle on whole pixels of the screen, so that neighbours have no seam. */
function edges(to, extent) {
  const [x, y] = to.map(Math.round);
  return [x, y, Math.round(to[0] + extent[0]) - x, Math.round(to[1] + extent[1]) - y];
}
