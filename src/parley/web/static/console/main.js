/** The operator console: one stream of what changes, the views of it, and what may be done. */

import { bindThemeToggle } from "../shared/theme.js";
import { Api, Refused, WANTS_CREDENTIAL, inWords } from "./api.js";
import { confirm, isAsking, signIn, toast } from "./asking.js";
import { DetailView } from "./detail_view.js";
import { byId, setText } from "./dom.js";
import { counted, shortId } from "./format.js";
import { NodeView } from "./node_view.js";
import { ServersView } from "./servers_view.js";
import { SessionTable } from "./session_table.js";
import { SessionsView } from "./sessions_view.js";
import { Stream } from "./stream.js";

const TICK_MS = 1_000;

const api = new Api();
const table = new SessionTable();
const nodeView = new NodeView();
const sessionsView = new SessionsView(table, choose);
const serversView = new ServersView(askServer);
const detail = new DetailView(api, table);

const known = { node: null, upstreams: null, me: { name: "", anonymous: true, node: /** @type {string[]} */ ([]) } };
const link = { isUp: false, retryAtMs: 0, sinceMs: Date.now(), problem: "" };

// ---- the stream

const stream = new Stream(api, {
  told(name, data) {
    const nowMs = Date.now();
    if (name === "node") known.node = data;
    else if (name === "upstreams") known.upstreams = data;
    else if (name === "ended") table.ended(data.sessions, nowMs);
    else if (name === "sessions") table.update(data, nowMs);
    schedule();
  },
  connected() {
    link.isUp = true;
    showLink();
    askMe();
  },
  lost({ error, reason, retryMs }) {
    if (link.isUp) link.sinceMs = Date.now();
    link.isUp = false;
    link.retryAtMs = Date.now() + retryMs;
    link.problem = error instanceof Refused ? inWords(error) : reason === "stopping" ? "The node stops." : "";
    showLink();
  },
  async refused(code) {
    link.isUp = false;
    setText(byId("link-text"), "Signed out");
    document.body.dataset.link = "lost";
    await signIn(api, code);
  },
});

async function askMe() {
  try {
    known.me = await api.get("me");
  } catch (error) {
    if (!(error instanceof Refused && WANTS_CREDENTIAL.has(error.code))) toast(inWords(error));
  }
  byId("sign-out-button").hidden = !api.isSignedIn;
  byId("sign-out-button").title = known.me.name ? `Signed in as ${known.me.name}` : "";
  byId("servers-panel").hidden = byId("stats").hidden = !known.me.node.includes("observe");
  schedule();
}

function showLink() {
  document.body.dataset.link = link.isUp ? "up" : "lost";
  const notice = byId("notice");
  notice.hidden = link.isUp;
  if (link.isUp) {
    setText(byId("link-text"), "Live");
    return;
  }
  const waitS = Math.max(0, Math.ceil((link.retryAtMs - Date.now()) / 1000));
  const since = new Date(link.sinceMs).toLocaleTimeString("en-GB");
  setText(byId("link-text"), "Not connected");
  setText(byId("notice-text"), `${link.problem || "The node does not answer."} What is shown is of ${since}. Trying again${waitS ? ` in ${waitS} s` : ""}.`);
}

// ---- drawing: at most once a frame

let isScheduled = false;

function schedule() {
  if (isScheduled) return;
  isScheduled = true;
  // A page in the background gets no frames, and needs none.
  requestAnimationFrame(() => {
    isScheduled = false;
    render();
  });
}

function render() {
  const mayDrain = known.me.node.includes("drain");
  sessionsView.render();
  if (known.node) nodeView.show(known.node, { worstLagS: table.worstLag() }, mayDrain);
  if (known.upstreams) serversView.show(known.upstreams, mayDrain);
  detail.refresh();
  const { node } = known;
  document.title = node ? `${node.live} live · ${node.state} · Parley console` : "Parley console";
}

setInterval(() => {
  if (!link.isUp && link.retryAtMs) showLink();
  if (!link.isUp || document.hidden) return;
  table.forget(Date.now());
  sessionsView.tick();
  detail.refresh();
}, TICK_MS);

// ---- which session

function choose(id) {
  const target = id ? `#${id}` : location.pathname;
  if (location.hash !== (id ? target : "")) history.replaceState(null, "", target);
  sessionsView.mark(id);
  detail.open(id);
  // Where there is room for one of them alone, the detail stands in the lists' place.
  if (id && matchMedia("(max-width: 64rem)").matches) {
    scrollTo(0, 0);
    byId("detail").focus({ preventScroll: true });
  }
}

function close() {
  const { id } = detail;
  choose("");
  sessionsView.focus(id);
}

const fromAddress = () => choose(/^#sess-[\w-]{1,100}$/.test(location.hash) ? location.hash.slice(1) : "");

// ---- what may be done

const TIMEOUT = (hint) => ({ name: "timeout_s", label: "Timeout, in seconds", hint });

function askDrain() {
  const live = known.node?.live ?? 0;
  confirm({
    title: "Drain this node?",
    text: [
      `It says on /ping that it is not ready, so that no new sessions are sent to it, and takes none once it has settled. ${counted(live, "session")} may finish, or move to another node if they share a store; what is left after the timeout is ended.`,
      "The process stays. Until it is stopped the drain can be taken back.",
    ],
    yes: "Drain the node",
    isGrave: true,
    fields: [TIMEOUT("Empty: as the settings say."), { name: "settle_s", label: "Settle, in seconds", hint: "How long it still takes new sessions. Empty: as the settings say." }],
    act: async (fields) => {
      await api.post("drain", fields);
      toast("The node is being drained.");
    },
  });
}

function askUndrain() {
  confirm({
    title: "Take the drain back?",
    text: ["The node takes new sessions again. What has moved or ended stays so."],
    yes: "Take it back",
    act: async () => {
      await api.delete("drain");
      toast("The node takes new sessions again.");
    },
  });
}

function askServer(server, what) {
  const path = `upstreams/${encodeURIComponent(server.name)}`;
  if (what === "undrain") {
    confirm({
      title: `Use ${server.name} again?`,
      text: ["It gets new streams again as soon as it is ready."],
      yes: "Use it again",
      act: async () => {
        await api.post(`${path}/undrain`);
        toast(`${server.name} is used again.`);
      },
    });
    return;
  }
  const others = known.upstreams.upstreams.filter((one) => one.pool === server.pool && one.name !== server.name && one.state === "ready");
  const where = others.length ? `The ${counted(server.streams, "stream")} on it ${server.streams === 1 ? "moves" : "move"} to ${counted(others.length, "other server")} of the pool: at a pause, and after half of the timeout without one. Nothing is lost by it.` : "No other server of its pool is ready: its streams stay until one is.";
  confirm({
    title: `Drain ${server.name}?`,
    text: [`It gets no new streams. ${where}`],
    yes: "Drain it",
    fields: [TIMEOUT("Empty: as the settings say.")],
    act: async (fields) => {
      await api.post(`${path}/drain`, fields);
      toast(`${server.name} is being drained.`);
    },
  });
}

function askEnd() {
  const { id } = detail;
  confirm({
    title: `End session ${shortId(id)}?`,
    text: ["Its client is told that the operator ended it, and does not resume by itself. What is not transcribed yet stays so. This can't be taken back."],
    yes: "End the session",
    isGrave: true,
    act: async () => {
      await api.post(`sessions/${encodeURIComponent(id)}/end`);
      toast(`Session ${shortId(id)} was ended.`);
    },
  });
}

function askMove() {
  const { id } = detail;
  confirm({
    title: `Move session ${shortId(id)}?`,
    text: ["Its streams are replaced by others, on another model server where one is ready: at the next pause, or in the end without one. Its client notices nothing, and nothing is lost."],
    yes: "Move the session",
    fields: [{ name: "within_s", label: "Within, in seconds", hint: "So long it waits for a pause.", value: "30" }],
    act: async (fields) => {
      const { legs, others } = await api.post(`sessions/${encodeURIComponent(id)}/move`, fields);
      const where = others ? `${counted(others, "other server")} ready` : "no other server is ready, so it may come back to the same one";
      toast(legs ? `${counted(legs, "stream")} of ${shortId(id)} to be replaced; ${where}.` : `${shortId(id)} has no stream to move now.`);
    },
  });
}

// ---- at the start

bindThemeToggle(byId("theme-button"), "static/shared/icons.svg");
byId("drain-button").addEventListener("click", askDrain);
byId("undrain-button").addEventListener("click", askUndrain);
byId("end-button").addEventListener("click", askEnd);
byId("move-button").addEventListener("click", askMove);
byId("detail-close").addEventListener("click", close);
byId("notice-button").addEventListener("click", () => stream.retry());
byId("sign-out-button").addEventListener("click", () => {
  api.signIn("");
  // All that is shown was for whoever signs out.
  location.reload();
});
addEventListener("hashchange", fromAddress);
addEventListener("keydown", (event) => {
  if (isAsking() || event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = /** @type {Element} */ (event.target).matches("input");
  if (event.key === "/" && !isTyping) {
    event.preventDefault();
    byId("search").focus();
  } else if (event.key === "Escape" && detail.id) close();
});
fromAddress();
stream.run();
