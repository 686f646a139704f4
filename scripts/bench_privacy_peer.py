#!/usr/bin/env python3
"""Times dp_accounting's PLD accountant beside `fastdp privacy`, for the same questions in one run.

Usage: python3 scripts/bench_privacy_peer.py PATH_TO_FASTDP [--calibrate]
Needs the package dp-accounting (0.6.0). Prints one JSON object: seconds, medians of three; the times
of fastdp include starting the program.
"""
import json
import statistics
import subprocess
import sys
import time

from dp_accounting import dp_event, mechanism_calibration
from dp_accounting.pld import pld_privacy_accountant

RATE, STEPS, DELTA, SIGMA = 256 / 979200, 38250, 1e-6, 0.9
INTERVAL = 4.5e-5  # gives this question an error of 0.1 %


def median_seconds(work, repeats=3):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return statistics.median(times), result


def event(sigma):
    step = dp_event.PoissonSampledDpEvent(RATE, dp_event.GaussianDpEvent(sigma))
    return dp_event.SelfComposedDpEvent(step, STEPS)


def accountant():
    return pld_privacy_accountant.PLDAccountant(value_discretization_interval=INTERVAL)


def fastdp(program, *question):
    command = [program, "privacy", *question, "--sampling-rate", repr(RATE), "--steps", str(STEPS),
               "--delta", str(DELTA), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def main():
    program = sys.argv[1]
    ours, answer = median_seconds(
        lambda: fastdp(program, "epsilon", "--noise-multiplier", str(SIGMA)))
    peer, value = median_seconds(lambda: accountant().compose(event(SIGMA)).get_epsilon(DELTA))
    result = {"epsilonSeconds": ours, "epsilonPeerSeconds": peer, "epsilonRatio": peer / ours,
              "epsilon": [answer["epsilonLower"], answer["epsilon"]], "epsilonPeer": value}
    if "--calibrate" in sys.argv:
        ours, answer = median_seconds(lambda: fastdp(program, "noise", "--epsilon", "1"))
        peer, value = median_seconds(lambda: mechanism_calibration.calibrate_dp_mechanism(
            accountant, event, 1.0, DELTA,
            mechanism_calibration.ExplicitBracketInterval(0.3, 2.0), tol=1e-5), repeats=1)
        result |= {"calibrationSeconds": ours, "calibrationPeerSeconds": peer,
                   "calibrationRatio": peer / ours, "noiseMultiplier": answer["noiseMultiplier"],
                   "noiseMultiplierPeer": value}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
