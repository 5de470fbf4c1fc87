// A network, a clock and a server for sessions, all of them driven by hand: the server keeps the session contract of
// docs/protocol.md, and what it "hears" of a piece of audio is the number that the piece consists of.

export class Time {
  nowMs = 0;
  #timers = [];
  #count = 0;

  now = () => this.nowMs;

  set = (run, ms) => {
    const timer = { atMs: this.nowMs + ms, order: (this.#count += 1), run };
    this.#timers.push(timer);
    return timer;
  };

  clear = (timer) => {
    this.#timers = this.#timers.filter((one) => one !== timer);
  };

  pass(ms) {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const due = this.#timers.filter((timer) => timer.atMs <= untilMs);
      if (due.length === 0) break;
      const next = due.reduce((a, b) => (b.atMs < a.atMs || (b.atMs === a.atMs && b.order < a.order) ? b : a));
      this.clear(next);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.run();
    }
    this.nowMs = untilMs;
  }
}

const DELAY_MS = 5;

class Socket {
  onopen = null;
  onmessage = null;
  onclose = null;
  bufferedAmount = 0;
  isOpen = false;
  isGone = false;
  sent = [];

  constructor(server, url) {
    this.server = server;
    this.url = new URL(url);
  }

  send(text) {
    if (!this.isOpen) throw new Error("it is not open");
    this.sent.push(JSON.parse(text));
    this.server.receive(this, JSON.parse(text));
  }

  close() {
    this.isGone = true;
    this.server.left(this);
  }

  /** As a browser does it: never while the page is at something else. */
  deliver(event) {
    const arrive = () => {
      if (!this.isGone) this.onmessage?.({ data: JSON.stringify(event) });
    };
    this.server.time.set(arrive, DELAY_MS);
  }

  /** The server closes it, after what it said before. */
  hangUp(code) {
    this.server.time.set(() => this.drop(code), DELAY_MS);
  }

  /** The connection breaks; what is on its way is lost. */
  drop(code = 1006) {
    if (this.isGone) return;
    this.isGone = true;
    this.server.left(this);
    this.onclose?.({ code });
  }
}

export class Server {
  isUp = true;
  windowS = 30;
  isPlain = false;
  credential = "";
  /** Sends nothing back, as a network that has died silently. */
  isMute = false;
  /** Messages of the client that never arrive: they are lost with the connection. */
  losesInput = false;
  sockets = [];
  sessions = new Map();
  #count = 0;

  constructor(time) {
    this.time = time;
  }

  connect = (url) => {
    const socket = new Socket(this, url);
    this.sockets.push(socket);
    this.time.set(() => this.#arrive(socket), 10);
    return socket;
  };

  get socket() {
    return this.sockets.at(-1);
  }

  #arrive(socket) {
    if (socket.isGone) return;
    if (!this.isUp) {
      socket.drop();
      return;
    }
    socket.isOpen = true;
    socket.isKnown = !this.credential;
    socket.onopen?.();
    if (socket.isKnown) this.#greet(socket);
  }

  #greet(socket) {
    if (socket.session || socket.url.searchParams.has("resume")) return;
    const offer = this.isPlain ? {} : { parley: { resume_window_s: this.windowS } };
    socket.session = { id: "sess-1", token: "", seq: 0, events: [], inputs: 0, items: 0, open: 0, texts: new Map(), ms: 0 };
    socket.session.waiting = [];
    socket.session.socket = socket;
    this.#out(socket, { type: "session.created", id: "sess-1", created: 1, ...offer });
  }

  left(socket) {
    if (socket.session?.socket === socket) socket.session.socket = null;
  }

  cut() {
    this.socket.drop();
  }

  /** The session is gone: a crash, or its time was over. */
  forget() {
    this.sessions.clear();
    this.cut();
  }

  #out(socket, event) {
    if (!this.isMute) socket?.deliver(event);
  }

  /** An event with a number, kept until it is acknowledged. */
  tell(session, event) {
    if (this.isPlain) {
      this.#out(session.socket, { ...event, item_id: undefined });
      return;
    }
    const numbered = { ...event, seq: (session.seq += 1) };
    session.events.push(numbered);
    this.#out(session.socket, numbered);
  }

  receive(socket, event) {
    if (this.losesInput) return;
    if (!socket.isKnown) {
      this.#authenticate(socket, event);
      return;
    }
    if (event.type === "session.resume") {
      this.#resume(socket, event);
      return;
    }
    const { session } = socket;
    if (event.type === "session.update") {
      if (event.parley?.resume) {
        session.token = `token-${(this.#count += 1)}`;
        this.sessions.set(session.token, session);
        const resume = { token: session.token, window_s: this.windowS };
        this.#out(socket, { type: "session.updated", id: session.id, resume });
      }
    } else if (event.type === "session.ack") {
      session.events = session.events.filter((one) => one.seq > event.seq);
    } else {
      session.inputs += 1;
      this.#input(session, event);
    }
  }

  #authenticate(socket, event) {
    if (event.type !== "session.authenticate" || event.token !== this.credential) {
      this.#out(socket, { type: "error", error: "Who?", parley: { code: "invalid-token", retry: "never" } });
      socket.hangUp(4401);
      return;
    }
    socket.isKnown = true;
    this.#greet(socket);
  }

  #resume(socket, { token, seq }) {
    const session = this.sessions.get(token);
    if (!session) {
      this.#out(socket, { type: "error", error: "No.", parley: { code: "unknown-session", retry: "new-session" } });
      socket.hangUp(4404);
      return;
    }
    socket.session = session;
    session.socket = socket;
    this.#out(socket, {
      type: "session.resumed",
      id: session.id,
      outcome: "resumed",
      input_seq: session.inputs,
      cursor_ms: session.ms,
      replayed_ms: [],
      lost: [],
    });
    for (const event of session.events.filter((one) => one.seq > seq)) this.#out(socket, event);
  }

  #input(session, event) {
    if (event.type === "input_audio_buffer.append") {
      const bytes = Buffer.from(event.audio, "base64");
      session.ms += bytes.length / 32;
      const text = ` ${bytes.readInt16LE(0)}`;
      session.texts.set(session.open, (session.texts.get(session.open) ?? "") + text);
      this.tell(session, { type: "transcription.delta", item_id: `item_${session.open}`, delta: text });
      if (session.inputs % 12 === 0) this.#ack(session);
      return;
    }
    if (event.type === "session.end") {
      this.#ack(session);
      this.tell(session, { type: "session.ended", reason: "client-ended", retry: "never" });
      session.socket?.hangUp(1000);
      return;
    }
    if (event.final) {
      const text = session.texts.get(session.open) ?? "";
      const steps = text.split(" ").length - 1;
      const usage = { prompt_tokens: 0, completion_tokens: steps, total_tokens: steps };
      this.tell(session, { type: "transcription.done", item_id: `item_${session.open}`, text, usage });
    } else session.open = session.items += 1;
    this.#ack(session);
  }

  #ack(session) {
    if (this.isPlain) return;
    this.#out(session.socket, { type: "session.ack", input_seq: session.inputs, cursor_ms: session.ms });
  }
}

/** A piece of audio that consists of a number. */
export const piece = (number, samples = 1280) => new Int16Array(samples).fill(number);

/** A generator of chances that is the same each time. */
export function chances(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
