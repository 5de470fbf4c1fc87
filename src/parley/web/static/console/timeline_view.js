/** The waterfall of a session and its curves, drawn to one scale. */

import { byId, draw, make, setAttribute } from "./dom.js";
import { duration, fact, factName, ticks, words } from "./format.js";
import { cursorAt, kept, lanesOf, panned, whole, zoomed } from "./waterfall.js";

const LABEL_PX = 62;
const RIGHT_PX = 10;
const AXIS_PX = 34;
const ROW_PX = 20;
const BAR_PX = 12;
const LANE_GAP_PX = 8;
const TICK_PX = 84;
const CURVE_PX = 62;
/** A drag that is shorter is a click. */
const DRAG_PX = 6;

const CURVES = [
  { title: "seconds behind", series: [["lag_s", "lag"], ["held_s", "held"], ["model_delay_s", "model"]] },
  { title: "round trips", series: [["client_rtt_s", "client"], ["upstream_rtt_s", "upstream"]] },
];

/** A mark in words. @param {{kind: string, at_s: number, cursor_s: number, facts: any}} mark @returns {string} */
export function markWords(mark) {
  const facts = Object.entries(mark.facts).map(([name, value]) => `${factName(name)} ${fact(name, value)}`);
  const where = `at ${duration(mark.at_s)}, audio ${duration(mark.cursor_s)}`;
  return [`${words(mark.kind)} ${where}`, ...facts].join(", ");
}

export class TimelineView {
  #timeline = null;
  /** What is in view; null: all of it, as it grows. @type {{from: number, to: number} | null} */
  #view = null;
  #width = 0;
  #svg = null;
  #current = 0;
  /** @type {number | null} */
  #dragged = null;

  constructor() {
    const drawing = byId("drawing");
    new ResizeObserver(([entry]) => {
      this.#width = Math.floor(entry.contentRect.width);
      this.#draw();
    }).observe(drawing);
    const zoom = { "zoom-in": [zoomed, 0.5], "zoom-out": [zoomed, 2], "zoom-back": [panned, -0.5], "zoom-on": [panned, 0.5] };
    for (const [id, [change, by]] of Object.entries(zoom)) byId(id).addEventListener("click", () => this.#change(change, by));
    byId("zoom-fit").addEventListener("click", () => this.#look(null));
    drawing.addEventListener("pointerdown", (event) => this.#press(event));
    drawing.addEventListener("pointermove", (event) => this.#move(event));
    drawing.addEventListener("pointerup", (event) => this.#release(event));
    drawing.addEventListener("pointerleave", () => this.#hide());
    drawing.addEventListener("keydown", (event) => this.#key(event));
    drawing.addEventListener("focusin", (event) => this.#tell(/** @type {Element} */ (event.target)));
    drawing.addEventListener("focusout", () => this.#hide());
  }

  /** Another session. */
  clear() {
    this.#timeline = null;
    this.#view = null;
    this.#current = 0;
    this.#draw();
    byId("zoom-fit").setAttribute("aria-pressed", "true");
  }

  /** @param {any} timeline as the admin API answers with it */
  show(timeline) {
    this.#timeline = timeline;
    if (this.#dragged === null) this.#draw();
  }

  #change(change, by) {
    if (!this.#timeline) return;
    const all = whole(this.#timeline);
    this.#look(change(this.#view ?? all, by, all));
  }

  #look(view) {
    const all = this.#timeline ? whole(this.#timeline) : null;
    const isAll = !view || !all || (view.from <= all.from && view.to >= all.to);
    this.#view = isAll ? null : view;
    byId("zoom-fit").setAttribute("aria-pressed", String(isAll));
    this.#draw();
  }

  #scale() {
    const all = whole(this.#timeline);
    const view = this.#view ? kept(this.#view, all) : all;
    const width = Math.max(60, this.#width - LABEL_PX - RIGHT_PX);
    const x = (at) => LABEL_PX + ((at - view.from) / (view.to - view.from)) * width;
    const at = (pixel) => view.from + ((pixel - LABEL_PX) / width) * (view.to - view.from);
    return { view, width, x, at };
  }

  #draw() {
    const drawing = byId("drawing");
    const hadFocus = this.#svg?.contains(document.activeElement);
    this.#svg?.remove();
    this.#svg = null;
    if (!this.#timeline || this.#width < 120) {
      byId("curves").replaceChildren();
      return;
    }
    const scale = this.#scale();
    const lanes = lanesOf(this.#timeline);
    const height = AXIS_PX + lanes.reduce((sum, lane) => sum + lane.rows.length * ROW_PX + LANE_GAP_PX, 0);
    const label = `Timeline of ${lanes.length} lanes, ${duration(scale.view.from)} to ${duration(scale.view.to)}. Arrow keys go from mark to mark.`;
    this.#svg = draw("svg", { class: "waterfall", width: this.#width, height, viewBox: `0 0 ${this.#width} ${height}`, role: "group", "aria-label": label });
    this.#svg.append(clip(this.#width, height), this.#axis(scale, height));
    let top = AXIS_PX;
    const marks = [];
    for (const lane of lanes) {
      this.#svg.append(...this.#lane(lane, top, scale, marks));
      top += lane.rows.length * ROW_PX + LANE_GAP_PX;
    }
    this.#order(marks);
    drawing.prepend(this.#svg);
    if (hadFocus) this.#marks()[this.#current]?.focus();
    this.#drawCurves(scale);
  }

  #order(marks) {
    marks.sort((one, other) => one.at - other.at);
    this.#current = Math.min(this.#current, Math.max(0, marks.length - 1));
    for (const [place, { element }] of marks.entries()) {
      element.setAttribute("data-place", String(place));
      element.setAttribute("tabindex", place === this.#current ? "0" : "-1");
    }
  }

  #marks() {
    const marks = [...(this.#svg?.querySelectorAll(".mark") ?? [])];
    return marks.sort((one, other) => Number(one.dataset.place) - Number(other.dataset.place));
  }

  #axis(scale, height) {
    const group = draw("g", { class: "axis", "aria-hidden": "true" });
    const { marks, age_s: ageS, totals } = this.#timeline;
    for (const [y, text] of [[11, "time"], [25, "audio"]]) group.append(draw("text", { class: "lane-label", x: 0, y }, text));
    for (const { at, label } of ticks(scale.view.from, scale.view.to, Math.max(2, Math.floor(scale.width / TICK_PX)))) {
      const x = scale.x(at);
      group.append(draw("line", { x1: x, x2: x, y1: AXIS_PX - 4, y2: height - LANE_GAP_PX }));
      if (x > this.#width - 18) continue;
      group.append(draw("text", { x, y: 11 }, label));
      if (at >= 0) group.append(draw("text", { class: "cursor", x, y: 25 }, duration(cursorAt(marks, at, ageS, totals.received_s))));
    }
    return group;
  }

  #lane(lane, top, scale, marks) {
    const found = [draw("text", { class: "lane-label", x: 0, y: top + 14, "aria-hidden": "true" }, lane.label)];
    const inside = draw("g", { "clip-path": "url(#timeline-clip)" });
    for (const [row, spans] of lane.rows.entries()) {
      for (const span of spans) if (span.to >= scale.view.from && span.from <= scale.view.to) inside.append(...bar(span, top + row * ROW_PX, scale));
    }
    for (const point of lane.points) {
      if (point.at < scale.view.from - 1e-9 || point.at > scale.view.to + 1e-9) continue;
      const element = draw("g", { class: "mark", "data-tone": point.tone, role: "img", "aria-label": markWords(point.mark) }, ...shape(point.shape, scale.x(point.at), top + point.row * ROW_PX + ROW_PX / 2));
      marks.push({ at: point.at, element });
      inside.append(element);
    }
    return [...found, inside];
  }

  #drawCurves(scale) {
    const { curve } = this.#timeline;
    byId("curves").replaceChildren(...(curve.length > 1 ? CURVES.map((one) => curves(one, curve, scale, this.#width)) : []));
  }

  // ---- pointing

  #press(event) {
    if (event.button || !this.#timeline || event.target.closest(".tip")) return;
    this.#dragged = event.clientX - byId("drawing").getBoundingClientRect().left;
  }

  #move(event) {
    const box = byId("drawing").getBoundingClientRect();
    const x = event.clientX - box.left;
    if (this.#dragged !== null && Math.abs(x - this.#dragged) > DRAG_PX) {
      this.#showDrag(Math.min(x, this.#dragged), Math.max(x, this.#dragged));
      return;
    }
    const target = event.target.closest?.(".mark, .span");
    if (target) this.#tell(target, x, event.clientY - box.top);
    else this.#hide();
  }

  #release(event) {
    const from = this.#dragged;
    this.#dragged = null;
    this.#svg?.querySelector(".drag")?.remove();
    if (from === null || !this.#timeline) return;
    const x = event.clientX - byId("drawing").getBoundingClientRect().left;
    if (Math.abs(x - from) <= DRAG_PX) return;
    const { at } = this.#scale();
    this.#look(kept({ from: at(Math.min(x, from)), to: at(Math.max(x, from)) }, whole(this.#timeline)));
  }

  #showDrag(from, to) {
    const shown = this.#svg?.querySelector(".drag") ?? this.#svg?.appendChild(draw("rect", { class: "drag", y: 0, height: "100%" }));
    setAttribute(shown, "x", String(from));
    setAttribute(shown, "width", String(to - from));
  }

  #tell(element, x = null, y = null) {
    const text = element?.getAttribute?.("aria-label");
    if (!text || !element.matches(".mark, .span")) return;
    const tip = byId("tip");
    const box = byId("drawing").getBoundingClientRect();
    const of = element.getBoundingClientRect();
    const [head, ...facts] = text.split(", ");
    const shown = text === tip.dataset.text ? null : [make("strong", {}, head), ...facts.map((one) => make("span", {}, one))];
    if (shown) tip.replaceChildren(...shown);
    tip.dataset.text = text;
    tip.hidden = false;
    const left = (x ?? of.left + of.width / 2 - box.left) + 12;
    tip.style.insetInlineStart = `${Math.max(0, Math.min(left, box.width - tip.offsetWidth - 4))}px`;
    tip.style.insetBlockStart = `${(y ?? of.bottom - box.top) + 14}px`;
  }

  #hide() {
    byId("tip").hidden = true;
  }

  #key(event) {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined || !event.target.closest(".mark")) return;
    event.preventDefault();
    const marks = this.#marks();
    marks[this.#current]?.setAttribute("tabindex", "-1");
    this.#current = Math.min(marks.length - 1, Math.max(0, this.#current + step));
    marks[this.#current].setAttribute("tabindex", "0");
    marks[this.#current].focus();
  }
}

function clip(width, height) {
  const rect = draw("rect", { x: LABEL_PX - 6, y: 0, width: Math.max(0, width - LABEL_PX + 6), height });
  return draw("defs", {}, draw("clipPath", { id: "timeline-clip" }, rect));
}

function bar(span, top, scale) {
  const from = Math.max(scale.x(span.from), LABEL_PX - 6);
  const width = Math.max(1.5, Math.min(scale.x(span.to), LABEL_PX + scale.width + RIGHT_PX) - from);
  const facts = Object.entries(span.facts).map(([name, value]) => `${factName(name)} ${fact(name, value)}`);
  const label = [span.name, `${duration(span.from)} to ${duration(span.to)}`, `for ${duration(span.to - span.from)}`, ...facts].join(", ");
  const y = top + (ROW_PX - BAR_PX) / 2;
  const found = [draw("rect", { class: "span", "data-tone": span.tone, x: from, y, width, height: BAR_PX, rx: Math.min(3, width / 2), role: "img", "aria-label": label })];
  if (span.label && width > 24 + 6 * span.label.length) found.push(draw("text", { class: "span-label", "data-tone": span.tone, x: from + 6, y: y + 9.5, "aria-hidden": "true" }, span.label));
  return found;
}

/** What a mark looks like, with a ground that is easily hit. */
function shape(name, x, y) {
  const hit = draw("rect", { class: "hit", x: x - 6, y: y - ROW_PX / 2, width: 12, height: ROW_PX });
  const shapes = {
    tick: () => draw("path", { class: "line", d: `M${x} ${y - 8}V${y + 8}` }),
    text: () => draw("path", { class: "line", d: `M${x} ${y - 9}V${y + 9}M${x - 3.5} ${y - 9}h7` }),
    dot: () => draw("circle", { cx: x, cy: y, r: 3.6 }),
    square: () => draw("rect", { x: x - 4, y: y - 4, width: 8, height: 8, rx: 1 }),
    diamond: () => draw("path", { d: `M${x} ${y - 5.5}L${x + 5} ${y}L${x} ${y + 5.5}L${x - 5} ${y}Z` }),
    triangle: () => draw("path", { d: `M${x} ${y - 5}L${x + 5} ${y + 4}H${x - 5}Z` }),
    cross: () => draw("path", { class: "line", d: `M${x - 4} ${y - 4}l8 8M${x + 4} ${y - 4}l-8 8` }),
  };
  return [hit, shapes[name]()];
}

function curves({ title, series }, curve, scale, width) {
  const values = curve.flatMap((point) => series.map(([name]) => point[name])).filter((value) => value !== null);
  const top = Math.max(0.01, ...values);
  const y = (value) => CURVE_PX - 4 - (value / top) * (CURVE_PX - 14);
  const last = curve[curve.length - 1];
  const said = series.map(([name, label]) => `${label} ${duration(last[name])}`).join(", ");
  const svg = draw("svg", { class: "curve", width, height: CURVE_PX, viewBox: `0 0 ${width} ${CURVE_PX}`, role: "img", "aria-label": `${title}, of late: ${said}` });
  svg.append(draw("line", { class: "curve-base", x1: LABEL_PX, x2: width - RIGHT_PX, y1: y(0), y2: y(0) }), draw("line", { class: "curve-base", x1: LABEL_PX, x2: width - RIGHT_PX, y1: y(top), y2: y(top) }));
  svg.append(draw("text", { class: "lane-label", x: 0, y: y(top) + 4 }, duration(top)), draw("text", { class: "lane-label", x: 0, y: y(0) }, duration(0)));
  const inside = draw("g", { "clip-path": "url(#timeline-clip)" });
  for (const [place, [name]] of series.entries()) inside.append(draw("path", { class: "curve-line", "data-series": place, d: path(curve, name, scale.x, y) }));
  svg.append(inside);
  const legend = series.map(([name, label], place) => make("span", { class: "legend", "data-series": place }, `${label} `, make("b", {}, duration(last[name]))));
  return make("figure", {}, make("figcaption", {}, make("span", { class: "curve-title" }, title), ...legend), svg);
}

function path(curve, name, x, y) {
  let line = "";
  let isDown = false;
  for (const point of curve) {
    if (point[name] === null) isDown = false;
    else {
      // One alone is a dot: a line of no length has round ends.
      line += `${isDown ? "L" : "M"}${x(point.at_s).toFixed(1)} ${y(point[name]).toFixed(1)}${isDown ? "" : "h0"}`;
      isDown = true;
    }
  }
  return line;
}
