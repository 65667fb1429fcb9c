// What a raster's cache did and holds, what other budgets would do, and the budget.

import { fitted } from "./canvas.js";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** In the unit that takes no more than three digits before the point. */
export function bytes(n) {
  let unit = 0;
  while (n >= 999.5 && unit < UNITS.length - 1) [n, unit] = [n / 1024, unit + 1];
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${UNITS[unit]}`;
}

export function percent(ratio) {
  return ratio === null || ratio === undefined ? "–" : `${(ratio * 100).toFixed(1)} %`;
}

/** A number with its thousands apart. */
export function count(n) {
  return n.toLocaleString("en");
}

/** Fills a bar as far as a part is of the whole. */
export function fill(bar, part, whole) {
  bar.firstElementChild.style.width = `${whole > 0 ? Math.min(100, (100 * part) / whole) : 0}%`;
}

/** Asks for another budget; gives what it came to, or tells what is wrong. */
export async function post_budget(url, budget, onError) {
  const reply = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ bytes: budget }),
  });
  const answer = await reply.json();
  if (reply.ok) return answer.max_bytes;
  onError(answer.error);
  return null;
}

/** Fills a list of terms. */
export function terms(list, pairs) {
  while (list.children.length > 2 * pairs.length) list.lastChild.remove();
  pairs.forEach(([term, value], i) => {
    if (!list.children[2 * i]) list.append(document.createElement("dt"), document.createElement("dd"));
    list.children[2 * i].textContent = term;
    list.children[2 * i + 1].textContent = value;
  });
}

export class CachePanel {
  constructor(find, onError) {
    Object.assign(this, { find, onError, dataset: null, curve: null, stats: null, marks: new Map(), moving: false });
    const slider = find("budget");
    slider.addEventListener("input", () => {
      this.moving = true;
      this.draw();
    });
    slider.addEventListener("change", () => this.set(this.chosen));
    find("suggest").addEventListener("click", () => this.curve?.suggested_bytes && this.set(this.curve.suggested_bytes));
    find("share").addEventListener("click", () => this.set(null));
    new ResizeObserver(() => this.draw()).observe(find("curve"));
  }

  async show(dataset) {
    if (this.dataset?.id === dataset.id) return;
    Object.assign(this, { dataset, curve: null, moving: false });
    this.find("cached").textContent = dataset.name;
    await this.refresh(this.stats);
  }

  /** New counts, and with them a new curve. */
  async refresh(stats) {
    const { dataset } = this;
    if (!dataset || !stats) return;
    this.stats = stats;
    const reply = await fetch(`/api/datasets/${encodeURIComponent(dataset.id)}/curve`);
    if (!reply.ok || this.dataset !== dataset) return;
    this.curve = await reply.json();
    this.draw();
  }

  get ends() {
    const { points } = this.curve;
    return [Math.log(points[0][0]), Math.log(points.at(-1)[0])];
  }

  /** The budget that the slider stands at: its steps are equal factors. */
  get chosen() {
    const [low, high] = this.ends;
    return Math.round(Math.exp(low + (this.find("budget").value / 1000) * (high - low)));
  }

  async set(budget) {
    const { dataset } = this;
    const max_bytes = await post_budget(`/api/datasets/${encodeURIComponent(dataset.id)}/budget`, budget, this.onError);
    this.moving = false;
    if (max_bytes === null) return;
    // What is measured is measured from here on.
    const counts = this.stats?.datasets[dataset.id];
    if (counts) this.marks.set(dataset.id, { hits: counts.hits, misses: counts.misses });
    if (this.dataset === dataset && this.curve) {
      this.curve.max_bytes = max_bytes;
      this.draw();
    }
  }

  /** The share of hits since the budget was last changed. */
  get measured() {
    const counts = this.stats?.datasets[this.dataset.id];
    if (!counts) return null;
    const { hits, misses } = this.marks.get(this.dataset.id) ?? { hits: 0, misses: 0 };
    const n = counts.hits - hits + counts.misses - misses;
    return n > 0 ? (counts.hits - hits) / n : null;
  }

  predicted(budget) {
    const { points } = this.curve;
    const after = points.findIndex(([size]) => size >= budget);
    if (after <= 0) return (after === 0 ? points[0] : points.at(-1))[1];
    const [[low, before], [high, then]] = [points[after - 1], points[after]];
    return before + ((then - before) * Math.log(budget / low)) / Math.log(high / low);
  }

  draw() {
    const { find, curve, dataset } = this;
    const counts = this.stats?.datasets[dataset?.id];
    if (!curve || !counts) return;
    const [low, high] = this.ends;
    const slider = find("budget");
    if (!this.moving) slider.value = Math.round((1000 * (Math.log(Math.max(1, curve.max_bytes)) - low)) / (high - low));
    const budget = this.moving ? this.chosen : curve.max_bytes;
    find("budget-text").textContent = bytes(budget);
    find("predicted").textContent = percent(counts.hits + counts.misses ? this.predicted(budget) : null);
    find("measured").textContent = percent(this.measured);
    const suggested = curve.suggested_bytes;
    find("suggest").disabled = suggested === null;
    const goal = `${Math.round(curve.goal * 100)} %`;
    find("suggest").textContent = suggested === null ? `${goal}: none yet` : `${goal}: ${bytes(suggested)}`;
    find("suggest").title = suggested === null ? `Too much was read for the first time: no budget would have had ${goal} hits`
      : `The budget that would have had ${goal} hits`;
    fill(find("blocks-bar"), counts.bytes, counts.max_bytes);
    terms(find("counts"), [
      ["bytes of budget", `${bytes(counts.bytes)} of ${bytes(counts.max_bytes)}`],
      ["blocks kept", count(counts.blocks)],
      ["hits", count(counts.hits)],
      ["misses", count(counts.misses)],
      ["blocks loaded", count(counts.loads)],
      ["loaded again", count(counts.redundant_loads)],
      ["shared loads", count(counts.coalesced)],
      ["time in loads", `${(counts.load_ms / 1000).toFixed(2)} s`],
      ["loads under way", bytes(counts.loading_bytes)],
      ...(counts.line ? [["over the slow line", `${count(counts.line.read)} of ${count(counts.line.begun)}`]] : []),
    ]);
    this.plot(budget);
  }

  plot(budget) {
    const { context, width, height } = fitted(this.find("curve"));
    const { points } = this.curve;
    const [low, high] = this.ends;
    const box = { left: 40, right: width - 10, top: 10, bottom: height - 22 };
    const x = (size) => box.left + ((Math.log(size) - low) / (high - low)) * (box.right - box.left);
    const y = (ratio) => box.bottom - ratio * (box.bottom - box.top);
    context.clearRect(0, 0, width, height);
    context.font = "11px system-ui, sans-serif";
    context.lineWidth = 1;
    for (const ratio of [0, 0.5, 1]) {
      context.strokeStyle = "#2b2f34";
      context.beginPath();
      context.moveTo(box.left, Math.round(y(ratio)) + 0.5);
      context.lineTo(box.right, Math.round(y(ratio)) + 0.5);
      context.stroke();
      context.fillStyle = "#a3a9b1";
      context.textAlign = "right";
      context.textBaseline = "middle";
      context.fillText(`${ratio * 100}%`, box.left - 5, y(ratio));
    }
    context.textBaseline = "alphabetic";
    for (let size = 2 ** 20, i = 0; size <= points.at(-1)[0]; size *= 16, i++) {
      context.textAlign = i === 0 ? "left" : "center";
      context.fillText(bytes(size).replace(".0", ""), Math.min(x(size), width - 24), height - 7);
    }
    const at = Math.min(box.right, Math.max(box.left, x(Math.max(1, budget))));
    context.strokeStyle = "#f0b35a";
    context.beginPath();
    context.moveTo(at, box.top);
    context.lineTo(at, box.bottom);
    context.stroke();
    context.strokeStyle = "#6cb2ff";
    context.lineWidth = 2;
    context.beginPath();
    points.forEach(([size, ratio], i) => (i ? context.lineTo(x(size), y(ratio)) : context.moveTo(x(size), y(ratio))));
    context.stroke();
    const measured = this.measured;
    if (measured !== null && !this.moving) {
      context.fillStyle = "#f0b35a";
      context.beginPath();
      context.arc(at, y(measured), 4, 0, 2 * Math.PI);
      context.fill();
    }
  }
}
