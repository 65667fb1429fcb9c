// Tells the server what a view shows, so that it makes what is seen in a good order, and then what comes next.

/** From one frame to the next at least. */
const EVERY_MS = 40;
/** Pixels of the page that a view moves before that is told where its tiles stay the same. */
const STEP = 32;
/** Tiles that the server takes in a frame. */
const MOST = 1024;

export class Frames {
  constructor(onVersion) {
    Object.assign(this, { onVersion, sequence: 0, told: null, next: null, busy: false });
    /** What the server knows the view by. */
    this.name = crypto.randomUUID();
  }

  /** Shows tiles of a layer, around a point in pixels of full resolution; `scale` is how large such a pixel is. */
  show(layer, places, centre, scale) {
    const tiles = places.slice(0, MOST);
    const url = `/api/datasets/${encodeURIComponent(layer.dataset.id)}/views/${this.name}.${layer.ending}?${layer.query}`;
    const frame = { url, tiles, centre, key: `${url} ${tiles.map((place) => place.join("/")).sort().join(" ")}` };
    const last = this.next ?? this.told;
    const moved = last && Math.hypot(centre[0] - last.centre[0], centre[1] - last.centre[1]) * scale;
    if (last?.key === frame.key && moved < STEP) return;
    this.next = frame;
    if (!this.busy) this.tell();
  }

  /** Tells the last frame; those that come meanwhile wait, and only the last of them is told. */
  async tell() {
    this.busy = true;
    while (this.next) {
      const { url, tiles, centre } = (this.told = this.next);
      this.next = null;
      try {
        const reply = await fetch(url, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ sequence: ++this.sequence, centre, tiles }),
        });
        if (reply.ok) this.onVersion((await reply.json()).version);
      } catch {
        // Tiles come all the same, in the order in which they are asked for.
        this.told = null;
      }
      await new Promise((done) => setTimeout(done, EVERY_MS));
    }
    this.busy = false;
  }

  /** The view is gone, or nobody looks; when somebody does again, all of it is told again. */
  close() {
    const url = `/api/views/${this.name}?sequence=${this.sequence}`;
    if (this.sequence) fetch(url, { method: "DELETE", keepalive: true }).catch(() => null);
    Object.assign(this, { told: null, next: null });
  }
}
