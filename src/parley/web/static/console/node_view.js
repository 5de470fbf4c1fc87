/** The node: its state, its numbers, and its drain. */

import { byId, draw, make, setAttribute, setShare, setText } from "./dom.js";
import { age, counted, milliseconds, lag as lagText, size, words } from "./format.js";

const TONES = { ready: "good", starting: "warn", unready: "bad", draining: "warn", drained: "quiet" };
const HISTORY_MAX = 120;
const SPARK_WIDTH = 96;
const SPARK_HEIGHT = 22;

/**
 * The points of a small curve.
 * @param {number[]} values @param {number} most what is as high as it gets, at the least
 * @returns {string}
 */
export function sparkline(values, most) {
  const top = Math.max(most, ...values) || 1;
  const step = SPARK_WIDTH / (HISTORY_MAX - 1);
  const begin = SPARK_WIDTH - step * (values.length - 1);
  const points = values.map((value, place) => {
    const y = SPARK_HEIGHT - 1.5 - (value / top) * (SPARK_HEIGHT - 3);
    return `${(begin + place * step).toFixed(1)},${y.toFixed(1)}`;
  });
  return points.join(" ");
}

/** What is shown of the node: a name, a value, what it says more, and whether that is good. */
const STATS = [
  { name: "Places", spark: true, of: (node) => node.places, least: (node) => node.live_max, show: (node) => [`${node.places}`, `of ${node.live_max}`], tone: (node) => (node.places >= node.live_max ? "bad" : node.places >= 0.9 * node.live_max ? "warn" : "") },
  { name: "Sessions", show: (node) => [`${node.live}`, node.queued ? `${node.queued} queued` : node.opening ? `${node.opening} opening` : ""], tone: (node) => (node.queued ? "warn" : "") },
  { name: "Longest lag", spark: true, of: (_, extra) => extra.worstLagS, least: () => 1, show: (_, extra) => [lagText(extra.worstLagS), ""], tone: (_, extra) => (extra.worstLagS > 5 ? "bad" : extra.worstLagS > 2 ? "warn" : "") },
  { name: "Loop lag p99", spark: true, of: (node) => node.loop_lag.p99_ms, least: () => 10, show: (node) => [milliseconds(node.loop_lag.p99_ms), `max ${milliseconds(node.loop_lag.max_ms)}`], tone: (node) => (node.loop_lag.p99_ms > 100 ? "bad" : node.loop_lag.p99_ms > 20 ? "warn" : "") },
  { name: "Memory", spark: true, of: (node) => node.rss_bytes ?? 0, least: () => 0, show: (node) => [size(node.rss_bytes), ""], tone: () => "" },
  { name: "Uptime", show: (node) => [age(node.uptime_s), ""], tone: () => "" },
  { name: "Ended", show: (node) => [node.ended.toLocaleString("en"), node.moved ? `${node.moved.toLocaleString("en")} moved` : ""], tone: () => "" },
  { name: "Refused", show: (node) => refused(node), tone: (node) => (sum(node.refused) + node.expired ? "warn" : "") },
];

const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);

function refused(node) {
  const most = Object.entries(node.refused).sort((one, other) => other[1] - one[1])[0];
  const total = sum(node.refused) + node.expired;
  return [total.toLocaleString("en"), most ? words(most[0]) : node.expired ? "waited in vain" : ""];
}

export class NodeView {
  #tiles = STATS.map((stat) => {
    const line = draw("polyline", { class: "spark-line" });
    const value = make("span", { class: "stat-value" });
    const more = make("span", { class: "stat-more" });
    const spark = stat.spark ? [draw("svg", { class: "spark", viewBox: `0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, line)] : [];
    const tile = make("div", { class: "stat" }, make("dt", {}, stat.name), make("dd", {}, value, more, ...spark));
    return { stat, tile, value, more, line, history: /** @type {number[]} */ ([]) };
  });
  #before = 0;

  constructor() {
    byId("stats").replaceChildren(...this.#tiles.map(({ tile }) => tile));
  }

  /** @param {any} node as the admin API shows it @param {{worstLagS: number}} extra @param {boolean} mayDrain */
  show(node, extra, mayDrain) {
    const pill = byId("node-state");
    setText(pill, node.state);
    setAttribute(pill, "data-tone", TONES[node.state] ?? "quiet");
    setText(byId("node-version"), node.version);
    for (const tile of this.#tiles) this.#showTile(tile, node, extra);
    this.#showDrain(node, mayDrain);
  }

  #showTile({ stat, tile, value, more, line, history }, node, extra) {
    const [shown, besides] = stat.show(node, extra);
    setText(value, shown);
    setText(more, besides);
    setAttribute(tile, "data-tone", stat.tone(node, extra));
    if (!stat.spark) return;
    history.push(stat.of(node, extra));
    if (history.length > HISTORY_MAX) history.shift();
    line.setAttribute("points", sparkline(history, stat.least(node)));
  }

  #showDrain(node, mayDrain) {
    const { drain } = node;
    const isServing = drain.state === "serving";
    byId("drain-button").hidden = !mayDrain || !isServing;
    byId("undrain-button").hidden = !mayDrain || isServing || drain.is_final;
    byId("drain").hidden = isServing;
    if (isServing) {
      this.#before = 0;
      return;
    }
    this.#before = Math.max(this.#before, drain.live + drain.moved + drain.ended);
    const { title, text } = drainWords(drain);
    setText(byId("drain-title"), title);
    setText(byId("drain-text"), text);
    const share = this.#before ? 1 - drain.live / this.#before : drain.live ? 0 : 1;
    setShare(byId("drain-fill"), share);
    byId("drain-meter").setAttribute("aria-valuenow", String(Math.round(100 * share)));
  }
}

/** @param {any} drain as the admin API shows it @returns {{title: string, text: string}} */
export function drainWords(drain) {
  const gone = [drain.moved ? `${drain.moved} moved` : "", drain.ended ? `${drain.ended} ended` : ""].filter(Boolean);
  const left = drain.deadline_s === null || drain.deadline_s === undefined ? "" : `at most ${age(Math.ceil(drain.deadline_s))} more`;
  const final = drain.is_final ? "it ends with the process" : "";
  const title = drain.live ? `This node is being drained: ${counted(drain.live, "session")} left.` : "This node is drained and empty.";
  const parts = [...gone, drain.live ? left : "SIGTERM ends its process", final].filter(Boolean);
  return { title, text: parts.length ? `${parts.join(", ")}.`.replace(/^./, (first) => first.toUpperCase()) : "" };
}
