/** The microphone, through an AudioWorklet. */

const WORKLET = new URL("capture_worklet.js", import.meta.url);
/** How long the last piece may take to come once the end was asked for. */
const FLUSH_MS = 500;
/** How long a browser may take to begin with audio. */
const START_MS = 5_000;

/** Why there is no audio; `code` is one that `phrases.failure` knows. */
export class SourceFailure extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

export class Microphone {
  #stream = null;
  #context = null;
  #node = null;
  #take;
  #onLost;
  #onEnd = null;

  /**
   * @param {(pcm: Int16Array, capturedMs: number) => void} take a piece of 80 ms
   * @param {() => void} onLost the device went away
   */
  constructor(take, onLost) {
    this.#take = take;
    this.#onLost = onLost;
  }

  /**
   * Begin.
   * @param {string} deviceId empty: the system's choice
   * @throws {SourceFailure}
   */
  async open(deviceId) {
    if (!navigator.mediaDevices?.getUserMedia) throw new SourceFailure("microphone-insecure");
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({
        // A model is trained on rooms as they are: suppression takes quiet voices with the noise.
        audio: {
          deviceId: deviceId ? { exact: deviceId } : undefined,
          channelCount: 1,
          echoCancellation: false,
          noiseSuppression: false,
          autoGainControl: true,
        },
      });
      await this.#listen();
    } catch (error) {
      this.#release();
      throw error instanceof SourceFailure ? error : new SourceFailure(REASONS[error?.name] ?? "microphone-busy");
    }
  }

  async #listen() {
    const context = (this.#context = new AudioContext({ latencyHint: "interactive" }));
    await context.audioWorklet.addModule(WORKLET);
    // A phone call takes the microphone, and gives it back suspended.
    context.onstatechange = () => {
      if (context.state === "interrupted" || context.state === "suspended") context.resume().catch(() => {});
    };
    // Without a sound device some browsers never begin, and don't say so.
    await Promise.race([context.resume(), new Promise((resolve) => setTimeout(resolve, START_MS))]);
    if (context.state !== "running") throw new SourceFailure("audio-blocked");
    const node = (this.#node = new AudioWorkletNode(context, "capture", { outputChannelCount: [1] }));
    node.port.onmessage = ({ data }) => this.#took(data);
    // It puts out silence; not every browser runs what leads nowhere.
    context.createMediaStreamSource(this.#stream).connect(node).connect(context.destination);
    for (const track of this.#stream.getAudioTracks()) track.onended = () => this.#onLost();
  }

  #took(data) {
    if (data === null) {
      this.#onEnd?.();
      return;
    }
    const ageMs = Math.max(0, (this.#context.currentTime - data.atS) * 1000);
    this.#take(data.pcm, performance.now() - ageMs);
  }

  /** End: the last piece is taken before this is done. */
  async close() {
    if (this.#node) {
      await new Promise((resolve) => {
        this.#onEnd = resolve;
        setTimeout(resolve, FLUSH_MS);
        this.#node.port.postMessage("finish");
      });
    }
    this.#release();
  }

  #release() {
    if (this.#node) this.#node.port.onmessage = null;
    for (const track of this.#stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    this.#context?.close().catch(() => {});
    this.#node = this.#context = this.#stream = null;
  }
}

const REASONS = {
  NotAllowedError: "microphone-denied",
  SecurityError: "microphone-denied",
  NotFoundError: "microphone-missing",
  OverconstrainedError: "microphone-missing",
};

/**
 * The microphones there are; without names until the page was once allowed to listen.
 * @returns {Promise<{id: string, label: string}[]>}
 */
export async function microphones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return devices
    .filter((device) => device.kind === "audioinput" && device.deviceId && device.label)
    .map((device) => ({ id: device.deviceId, label: device.label }));
}
