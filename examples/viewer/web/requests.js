// What became of the requests that the server was asked to serve.

import { count, terms } from "./cache.js";

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
