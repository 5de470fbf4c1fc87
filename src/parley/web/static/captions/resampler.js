/**
 * Audio of any rate at another one, piece by piece: a windowed-sinc low-pass, evaluated where each output sample lies
 * (Smith, "Digital Audio Resampling"). What lies over the lower rate's Nyquist frequency is damped by some 80 dB
 * instead of folding back into speech.
 */

/** Zero crossings of the sinc on either side; more make the edge of the band steeper. */
const CROSSINGS = 24;
/** Points of the filter between two zero crossings; between those it is interpolated. */
const POINTS = 512;
/** The passband's share of the lower rate's half. */
const ROLLOFF = 0.94;
/** Kaiser's window: 8 is some 80 dB of stopband. */
const BETA = 8;

export class Resampler {
  #from;
  #to;
  #step;
  #reach;
  #scale;
  #table;
  #pending;
  #next = 0;
  #first;

  /**
   * @param {number} from the rate of what comes, in Hz
   * @param {number} to the rate of what is made, in Hz
   */
  constructor(from, to) {
    if (!(from >= 3000 && from <= 768000 && to > 0)) throw new RangeError(`Audio at ${from} Hz can't be used.`);
    this.#from = Math.round(from);
    this.#to = Math.round(to);
    this.#scale = Math.min(1, this.#to / this.#from) * ROLLOFF;
    this.#reach = Math.ceil(CROSSINGS / this.#scale);
    this.#step = this.#scale * POINTS;
    this.#table = halfFilter(this.#scale);
    // Before the first sample there was silence.
    this.#pending = new Float32Array(this.#reach);
    this.#first = -this.#reach;
  }

  /**
   * A further piece; what it completes comes back.
   * @param {Float32Array} samples
   * @returns {Float32Array}
   */
  push(samples) {
    if (this.#from === this.#to) return Float32Array.from(samples);
    const input = new Float32Array(this.#pending.length + samples.length);
    input.set(this.#pending);
    input.set(samples, this.#pending.length);
    const end = this.#first + input.length;
    // Whole numbers: a position is next * from / to, exact for centuries of audio.
    const count = Math.max(0, Math.ceil(((end - this.#reach) * this.#to) / this.#from) - this.#next);
    const output = new Float32Array(count);
    for (let made = 0; made < count; made += 1) output[made] = this.#at(input, this.#next + made);
    this.#next += count;
    const keepFrom = Math.floor((this.#next * this.#from) / this.#to) - this.#reach + 1;
    const drop = Math.min(input.length, Math.max(0, keepFrom - this.#first));
    this.#pending = input.slice(drop);
    this.#first += drop;
    return output;
  }

  /**
   * The end: what the last samples still have to say.
   * @returns {Float32Array}
   */
  flush() {
    return this.#from === this.#to ? new Float32Array(0) : this.push(new Float32Array(this.#reach));
  }

  #at(input, number) {
    const position = number * this.#from;
    const whole = Math.floor(position / this.#to);
    const part = (position - whole * this.#to) / this.#to;
    const left = whole - this.#first;
    let sum = 0;
    for (let tap = 0; tap < this.#reach && left - tap >= 0; tap += 1) sum += input[left - tap] * this.#gain(part + tap);
    for (let tap = 0; tap < this.#reach && left + 1 + tap < input.length; tap += 1) {
      sum += input[left + 1 + tap] * this.#gain(1 - part + tap);
    }
    return sum;
  }

  #gain(distance) {
    const place = distance * this.#step;
    const index = Math.floor(place);
    if (index + 1 >= this.#table.length) return 0;
    const before = this.#table[index];
    return before + (this.#table[index + 1] - before) * (place - index);
  }
}

function halfFilter(scale) {
  const table = new Float32Array(CROSSINGS * POINTS + 1);
  const floor = bessel(BETA);
  for (let place = 0; place < table.length; place += 1) {
    const x = place / POINTS;
    const sinc = x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
    table[place] = scale * sinc * (bessel(BETA * Math.sqrt(1 - (x / CROSSINGS) ** 2)) / floor);
  }
  return table;
}

/** The modified Bessel function of the first kind, order 0, by its series. */
function bessel(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; k < 40; k += 1) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}
