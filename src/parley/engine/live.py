"""dev"""
from collections import deque

import numpy as np

from parley.engine.clock import *
from parley.engine.detector import HOP_SAMPLES, Detector
from parley.engine.gate import PRE_ROLL_HOPS, START_HOPS, Gate, GateState, hops
from parley.engine.recognizer import Recognizer
from parley.engine.segment import SEGMENT_MAX_HOPS, Segment, Tuning
from parley.engine.vocabulary import Vocabulary


class LiveTranscriber:
    def __init__(self, recognizer, detector, vocabulary, tuning=Tuning()):
        self.r, self.d, self.v, self.t = recognizer, detector, vocabulary, tuning
        self.buf = bytearray(); self.fed = 0; self.consumed = 0; self.emitted = 0
        self.gate = Gate(); self.pre = deque(maxlen=PRE_ROLL_HOPS + START_HOPS); self.seg = None
        self.ended = False; self.finished = False; self.out = []; self.decoded = 0; self.behind = 0.0

    def feed(self, b):
        self.buf += b; self.fed += len(b) // 2

    def end(self):
        self.ended = True

    def step(self, behind_s=0.0):
        self.behind = behind_s
        deltas = []
        start = self.decoded
        while len(deltas) < 12 and self.decoded == start:
            need = samples_for_delta(self.emitted)
            if self.fed >= need:
                self._consume(need)
                deltas.append("".join(self.out)); self.out.clear(); self.emitted += 1
            elif self.ended and not self.finished:
                deltas += self._tail()
            else:
                break
        return deltas

    def _tail(self):
        self.finished = True
        total = deltas_of_turn(self.fed)
        rem = -(self.fed - self.consumed) % HOP_SAMPLES
        self.buf += bytes(2 * rem)
        self._consume(self.fed + rem)
        if self.seg: self._settle()
        rest = [""] * (total - self.emitted)
        if rest:
            rest[max(0, delta_covering(self.fed) - self.emitted)] = "".join(self.out)
        return rest

    def _consume(self, upto):
        n = (upto - self.consumed) // HOP_SAMPLES
        if n <= 0: return
        b = bytes(self.buf[: n * HOP_SAMPLES * 2]); del self.buf[: n * HOP_SAMPLES * 2]
        a = np.frombuffer(b, "<i2").astype(np.float32).reshape(n, HOP_SAMPLES) * np.float32(1 / 32768)
        self.consumed += n * HOP_SAMPLES
        for h in a: self._hop(h)

    def _pause(self):
        n = self.seg.hops if self.seg else 0
        if n < hops(5): return hops(self.t.pause_s)
        return hops(self.t.pause5_s) if n < hops(8) else hops(self.t.pause8_s)

    def _hop(self, h):
        s = self.gate.push(self.d.probability(h), self._pause())
        if s is GateState.SILENCE:
            self.pre.append(h.copy()); return
        if s is GateState.START:
            self.pre.append(h.copy()); self.seg = Segment(self.r, self.v, self.t)
            for x in self.pre: self.seg.append(x)
            self.pre.clear(); self.last = self.seg.hops; return
        seg = self.seg; seg.append(h)
        if s is GateState.END:
            self._settle(); return
        silent = self.gate.silent_hops; early = hops(self.t.early_s)
        second = hops(self.t.second_pause_s) if self.t.second_pause_s else 0
        if silent >= early:
            if silent == early or silent == second: self._decode(True)
        elif seg.hops - self.last >= max(hops(self.t.interval_s), int(self.t.growth * seg.hops), hops(min(self.behind, 1.28))):
            self._decode(False)
        if seg.hops >= SEGMENT_MAX_HOPS:
            texts, self.seg = seg.split(); self._say(texts); self.decoded += 1; self.last = 0
            self._decode(False)

    def _decode(self, pause):
        self.decoded += 1; self._say(self.seg.decode(pause)); self.last = self.seg.hops

    def _settle(self):
        seg = self.seg; self.seg = None; self.decoded += 1
        self._say(seg.settle(min(seg.hops, seg.hops - self.gate.silent_hops + hops(0.2))))

    def _say(self, texts):
        for t in texts:
            if t: self.out.append(" " + t)
