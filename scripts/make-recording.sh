#!/bin/sh
# Makes the recording that `parley demo` plays: each line of welcome.txt, spoken by flite's voice "slt", with a pause
# after it. Needs flite (Debian: apt-get install flite) and python3. The same flite gives the same file.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
text=$here/src/parley/client/recordings/welcome.txt
output=$here/src/parley/client/recordings/welcome.wav

if ! command -v flite >/dev/null; then
    echo "make-recording: flite is missing; on Debian: apt-get install flite" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=10
while IFS= read -r line; do
    flite -voice slt -t "$line" -o "$work/$number.wav"
    number=$((number + 1))
done <"$text"

python3 - "$output" "$work"/*.wav <<'PYTHON'
import array
import sys
import wave

RATE, LEAD_S, PAUSE_S, MARGIN_S, SILENT_BELOW = 16_000, 0.2, 0.6, 0.05, 200


def silence(seconds):
    return array.array("h", bytes(2 * int(RATE * seconds)))


whole = silence(LEAD_S)
for path in sys.argv[2:]:
    with wave.open(path) as part:
        assert part.getparams()[:3] == (1, 2, RATE), part.getparams()
        samples = array.array("h", part.readframes(part.getnframes()))
    # flite leaves silence of varying length around a sentence.
    loud = [place for place, sample in enumerate(samples) if abs(sample) > SILENT_BELOW]
    margin = int(RATE * MARGIN_S)
    whole += samples[max(0, loud[0] - margin) : loud[-1] + margin] + silence(PAUSE_S)
with wave.open(sys.argv[1], "wb") as output:
    output.setparams((1, 2, RATE, 0, "NONE", ""))
    output.writeframes(whole.tobytes())
print(f"{sys.argv[1]}: {len(whole) / RATE:.1f} s")
PYTHON
