// What the cache of rendered tiles and the store behind it did and hold, and the cache's budget.

import { bytes, count, fill, percent, post_budget, terms } from "./cache.js";

/** The least budget of the slider, beside none. */
const LEAST = 2 ** 20;

export class TilePanel {
  constructor(find, onError) {
    Object.assign(this, { find, onError, stats: null, moving: false });
    const slider = find("tile-budget");
    slider.addEventListener("input", () => {
      this.moving = true;
      this.draw();
    });
    slider.addEventListener("change", () => this.set(this.chosen));
  }

  refresh(stats) {
    this.stats = stats;
    this.draw();
  }

  /** From the least budget to the greatest, as logarithms. */
  get ends() {
    return [Math.log(LEAST), Math.log(Math.max(64 * LEAST, this.stats.process.max_bytes))];
  }

  /** The budget that the slider stands at: 0 is none, its other steps are equal factors. */
  get chosen() {
    const [low, high] = this.ends;
    const step = Number(this.find("tile-budget").value);
    return step === 0 ? 0 : Math.round(Math.exp(low + (step / 1000) * (high - low)));
  }

  async set(budget) {
    const max_bytes = await post_budget("/api/tiles/budget", budget, this.onError);
    this.moving = false;
    if (max_bytes !== null && this.stats) this.stats.tiles.max_bytes = max_bytes;
    this.draw();
  }

  draw() {
    const { find, stats } = this;
    if (!stats) return;
    const { tiles, store } = stats;
    const [low, high] = this.ends;
    const place = tiles.max_bytes === 0 ? 0 : (1000 * (Math.log(tiles.max_bytes) - low)) / (high - low);
    if (!this.moving) find("tile-budget").value = tiles.max_bytes === 0 ? 0 : Math.max(1, Math.round(place));
    const budget = this.moving ? this.chosen : tiles.max_bytes;
    find("tile-budget-text").textContent = budget === 0 ? "none" : bytes(budget);
    fill(find("tiles-bar"), tiles.bytes, tiles.max_bytes);
    const asked = tiles.hits + tiles.misses;
    terms(find("tile-counts"), [
      ["bytes of budget", `${bytes(tiles.bytes)} of ${bytes(tiles.max_bytes)}`],
      ["tiles kept", count(tiles.tiles)],
      ["hits", `${count(tiles.hits)} (${asked ? percent(tiles.hits / asked) : "–"})`],
      ["misses", count(tiles.misses)],
      ["rendered", count(tiles.rendered)],
      ["passed through", count(tiles.passed)],
      ["shared", count(tiles.coalesced)],
      ["forgotten", count(tiles.evictions)],
    ]);
    find("store").hidden = !store;
    if (!store) return;
    find("store-kind").textContent = store.kind;
    terms(find("store-counts"), [
      ["hits", `${count(store.hits)}, ${bytes(store.read_bytes)}`],
      ["misses", count(store.misses)],
      ["written", `${count(store.written)}, ${bytes(store.written_bytes)}`],
      ["to be written", bytes(store.queued_bytes)],
      ["failed or skipped", count(store.errors + store.damaged + store.dropped + store.skipped)],
    ]);
    find("store-error").hidden = !store.last_error;
    find("store-error").textContent = store.last_error ?? "";
  }
}
