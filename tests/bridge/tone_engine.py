"""An engine that plays one steady tone into a session until it is killed: ``tone_engine.py SESSION FILL_SECONDS``."""

import sys
import time

import numpy as np

from jackdaw.dsp import SegmentWriter

FREQUENCY_HZ = 997.0
LEVEL = 0.5


def main() -> None:
    session, fill = sys.argv[1], float(sys.argv[2])
    writer = SegmentWriter.open(session)
    while not (rate := writer.reader_rate):
        time.sleep(0.005)
    writer.publish(target=int(fill * rate), limit=0, ring_rate=rate)
    frame = 0
    while True:
        if writer.fill < fill * rate:
            block = np.arange(frame, frame + 256)
            frame += len(block)
            tone = (LEVEL * np.sin(2 * np.pi * FREQUENCY_HZ / rate * block)).astype(np.float32)
            writer.write(np.stack([tone, tone], axis=1))
        else:
            time.sleep(0.005)


if __name__ == "__main__":
    main()
