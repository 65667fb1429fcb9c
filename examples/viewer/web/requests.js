// What became of the requests that the server was asked to serve, and how much memory there is for them.

import { bytes, count, terms } from "./cache.js";

/** What the system's memory allows, where it is known. */
export function memory(pressure) {
  if (!pressure) return [];
  const { level, used_bytes, limit_bytes, shrinks, growths } = pressure;
  return [
    ["memory used", `${bytes(used_bytes)} of ${bytes(limit_bytes)}`],
    ["memory is", level === "none" ? "enough" : level === "moderate" ? "short" : "very short"],
    ["caches shrank, grew", `${count(shrinks)}, ${count(growths)}`],
  ];
}

export function show_requests(find, stats) {
  const { requests } = stats;
  terms(find("requests"), [
    ["waiting", count(requests.queued)],
    ["running", `${count(requests.running)} of ${count(requests.threads)} threads`],
    ["answered", count(requests.answered)],
    ["taken back", count(requests.cancelled)],
    ["never begun", count(requests.dropped)],
    ["stopped midway", count(requests.stopped)],
    ["loaded ahead", count(requests.prefetched)],
    ["of these used", count(requests.prefetch_used)],
    ["of these wasted", count(requests.prefetch_wasted)],
  ]);
}
