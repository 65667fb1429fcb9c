// A histogram with two handles, which are the range.

import { fitted } from "./canvas.js";
import { CUT } from "./look.js";

/** Pixels around a handle that take hold of it. */
const REACH = 24;

export class Range {
  constructor(find, onChange) {
    const [canvas, min, max] = ["histogram", "min", "max"].map(find);
    Object.assign(this, { find, canvas, min, max, onChange, histogram: null, range: [null, null], cut: false, held: null });
    const typed = () => {
      const number = (input) => {
        const value = input.value.trim() === "" ? null : Number(input.value.replace(",", "."));
        input.setAttribute("aria-invalid", Number.isNaN(value));
        return value;
      };
      const range = [number(min), number(max)];
      if (range.every((value) => value === null || Number.isFinite(value))) this.set(range, this.cut, true);
    };
    min.addEventListener("change", typed);
    max.addEventListener("change", typed);
    find("auto").addEventListener("click", () => this.set([null, null], false, true));
    find("cut").addEventListener("click", () => this.set([null, null], true, true));
    canvas.addEventListener("pointerdown", (event) => this.hold(event));
    canvas.addEventListener("pointermove", (event) => this.held !== null && this.drag(event));
    const release = () => {
      if (this.held === null) return;
      this.held = null;
      this.onChange(this.range, this.cut);
    };
    canvas.addEventListener("pointerup", release);
    canvas.addEventListener("pointercancel", release);
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** Another histogram: low and high edge, and counts; `null` when there is none. Of integers, the high edge is one more. */
  load(histogram, integers) {
    Object.assign(this, { histogram, integers });
    this.draw();
  }

  /** Another range: an end that is `null` is found by the library, with `cut` without the last of the samples. */
  set(range, cut, tell) {
    Object.assign(this, { range, cut });
    [this.min.value, this.max.value] = range.map((value) => (value === null ? "" : short(value)));
    [this.min.placeholder, this.max.placeholder] = cut ? [CUT, 1 - CUT].map((part) => `${100 * part} %`) : ["least", "greatest"];
    const open = range.includes(null);
    this.find("auto").setAttribute("aria-pressed", open && !cut);
    this.find("cut").setAttribute("aria-pressed", open && cut);
    this.draw();
    if (tell) this.onChange(range, cut);
  }

  /** Both ends; those that the library finds as far as the histogram tells. */
  get ends() {
    const [low, high] = this.edges;
    const { counts } = this.histogram;
    const at = (part) => {
      const goal = part * counts.reduce((a, b) => a + b, 0);
      let [sum, i] = [0, 0];
      while (i < counts.length && sum + counts[i] < goal) sum += counts[i++];
      return low + ((high - low) * (i + (counts[i] ? (goal - sum) / counts[i] : 0))) / counts.length;
    };
    const found = this.cut ? [at(CUT), at(1 - CUT)] : [low, high];
    return this.range.map((end, side) => end ?? found[side]);
  }

  get edges() {
    const { low, high } = this.histogram;
    return [low, high > low ? high : low + 1];
  }

  value(event) {
    const box = this.canvas.getBoundingClientRect();
    const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const [low, high] = this.edges;
    const value = low + part * (high - low);
    // No more digits than the width of a pixel is worth.
    const digits = Math.max(0, 1 - Math.floor(Math.log10((high - low) / box.width)));
    return Number(value.toFixed(Math.min(20, digits)));
  }

  hold(event) {
    if (!this.histogram) return;
    this.canvas.setPointerCapture(event.pointerId);
    const [low, high] = this.edges;
    const { ends } = this;
    const at = this.value(event);
    const far = ends.map((end) => Math.abs(end - at));
    this.held = far[0] === far[1] ? Number(at > ends[0]) : Number(far[1] < far[0]);
    const pixel = (high - low) / this.canvas.clientWidth;
    if (far[this.held] > REACH * pixel) this.drag(event);
  }

  drag(event) {
    const range = [...this.range];
    range[this.held] = this.value(event);
    this.set(range, this.cut, false);
  }

  draw() {
    const { context, width, height } = fitted(this.canvas);
    context.clearRect(0, 0, width, height);
    const { histogram } = this;
    if (!histogram) {
      context.fillStyle = "#a3a9b1";
      context.font = "12px system-ui, sans-serif";
      context.textAlign = "center";
      context.fillText("no samples", width / 2, height / 2);
      return;
    }
    const { counts } = histogram;
    const [low, high] = this.edges;
    const x = (value) => ((value - low) / (high - low)) * width;
    const [from, to] = this.ends.map((value) => Math.min(width, Math.max(0, x(value))));
    context.fillStyle = "#22384f";
    context.fillRect(Math.min(from, to), 0, Math.abs(to - from), height);
    // Roots, so that a few very common values do not flatten all others.
    const most = Math.sqrt(counts.reduce((a, b) => Math.max(a, b), 1));
    context.fillStyle = "#8b939d";
    counts.forEach((count, i) => {
      const [start, end] = [i, i + 1].map((edge) => Math.round((edge / counts.length) * width));
      const tall = (Math.sqrt(count) / most) * (height - 22);
      context.fillRect(start, height - 16 - tall, Math.max(1, end - start - (end - start > 4 ? 1 : 0)), tall);
    });
    context.fillStyle = "#6cb2ff";
    for (const end of [from, to]) context.fillRect(Math.min(width - 2, Math.max(0, end - 1)), 0, 2, height - 14);
    context.fillStyle = "#a3a9b1";
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "alphabetic";
    context.textAlign = "left";
    context.fillText(short(low), 4, height - 4);
    context.textAlign = "right";
    context.fillText(short(this.integers ? high - 1 : high), width - 4, height - 4);
  }
}

/** A number as people write it: up to six digits that count. */
export function short(value) {
  return String(Number(value.toPrecision(6)));
}
