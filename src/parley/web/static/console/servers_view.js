/** Model servers and their pools. */

import { byId, make, setAttribute, setShare, setText } from "./dom.js";
import { counted, duration, words } from "./format.js";

const TONES = { ready: "good", full: "warn", draining: "quiet", loading: "warn" };

/** What a server says of itself. @param {any} engine @returns {string} */
export function engineWords(engine) {
  if (!engine) return "–";
  const parts = [`${engine.running} run`, `${engine.waiting} wait`];
  return [...parts, `KV ${Math.round(100 * engine.kv_cache_usage)} %`].join(", ");
}

export class ServersView {
  /** @type {Map<string, any>} */
  #rows = new Map();
  #act;

  /** @param {(server: any, what: "drain" | "undrain") => void} act */
  constructor(act) {
    this.#act = act;
  }

  /** @param {{upstreams: any[], pools: any[]}} list @param {boolean} mayDrain */
  show(list, mayDrain) {
    const body = byId("servers");
    const seen = new Set();
    for (const [place, server] of list.upstreams.entries()) {
      const key = `${server.pool} ${server.name}`;
      seen.add(key);
      let row = this.#rows.get(key);
      if (!row) {
        row = this.#make();
        this.#rows.set(key, row);
      }
      row.server = server;
      fill(row, server, list.pools.length > 1, mayDrain);
      if (body.children[place] !== row.element) body.insertBefore(row.element, body.children[place] ?? null);
    }
    for (const [key, row] of this.#rows) {
      if (seen.has(key)) continue;
      row.element.remove();
      this.#rows.delete(key);
    }
    setText(byId("pools-note"), list.pools.map(poolWords).join(" · "));
  }

  #make() {
    const cell = (attributes = {}) => make("td", attributes);
    const row = {
      server: null,
      name: make("th", { scope: "row", class: "mono" }),
      pill: make("span", { class: "pill pill-small" }),
      streams: make("span", { class: "streams-count tabular" }),
      fill: make("div", { class: "meter-fill" }),
      delay: cell({ class: "number delay" }),
      engine: cell({ class: "wide tabular" }),
      models: cell({ class: "wide" }),
      why: cell({ class: "why" }),
      button: make("button", { class: "button button-small", type: "button" }),
    };
    row.meter = make("div", { class: "meter meter-small" }, row.fill);
    row.button.addEventListener("click", () => this.#act(row.server, isDrained(row.server) ? "undrain" : "drain"));
    const state = make("td", {}, row.pill);
    const streams = make("td", {}, make("div", { class: "streams" }, row.streams, row.meter));
    row.element = make("tr", {}, row.name, state, streams, row.delay, row.engine, row.models, row.why, make("td", { class: "actions" }, row.button));
    return row;
  }
}

const isDrained = (server) => server.state === "draining";

function fill(row, server, namesPool, mayDrain) {
  setText(row.name, namesPool ? `${server.pool} / ${server.name}` : server.name);
  setAttribute(row.name, "title", server.url);
  setText(row.pill, words(server.state));
  setAttribute(row.pill, "data-tone", TONES[server.state] ?? "bad");
  setText(row.streams, server.streams_max ? `${server.streams} / ${server.streams_max}` : `${server.streams}`);
  row.meter.hidden = !server.streams_max;
  setShare(row.fill, server.streams_max ? server.streams / server.streams_max : 0);
  setText(row.delay, duration(server.delay_p95_s));
  setText(row.engine, engineWords(server.engine));
  setAttribute(row.engine, "title", `${server.kind} ${server.version}`.trim());
  setText(row.models, server.models.join(", ") || "–");
  setText(row.why, server.reason);
  row.button.hidden = !mayDrain;
  setText(row.button, isDrained(server) ? "Use again" : "Drain…");
  setAttribute(row.button, "aria-label", isDrained(server) ? `Use ${server.name} again` : `Drain ${server.name}`);
}

function poolWords(pool) {
  const state = !pool.ready ? "not ready" : pool.takes_new ? "takes new sessions" : "takes no new sessions";
  return `${pool.name}: ${state}, ${counted(pool.streams, "stream")}`;
}
