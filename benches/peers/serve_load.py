"""Alternated load on running servers: requests per second, and per second of processor time of the server's processes.

    serve_load.py --oha oha --bodies FILE [--path /predict] [--rounds 6] [--seconds 4] NAME=PORT=PID ...

FILE has the body of a request in each line. The rounds of the servers alternate. Then, of each: the latency of a single connection, and latencies
at half of the load that it can take, corrected for coordinated omission. On a machine with other work, processor time is what to compare: a server
with more threads gets a larger share of the cores. Linux only.
"""

import argparse
import json
import os
import statistics
import subprocess


def tree(pid):
    found = [pid]
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children") as file:
            for child in file.read().split():
                found += tree(child)
    return found


def processor_seconds(pid):
    ticks = 0
    for process in tree(pid):
        with open(f"/proc/{process}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def load(args, port, seconds, *more):
    command = [args.oha, "--no-tui", "--output-format", "json", "-z", f"{seconds}s", "-m", "POST", "-T", "application/json"]
    command += ["-Z", args.bodies, "-w", *more, f"http://127.0.0.1:{port}{args.path}"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    wrong = {status: count for status, count in found["statusCodeDistribution"].items() if status != "200"}
    assert not wrong and not found["errorDistribution"], (wrong, found["errorDistribution"])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oha", default="oha")
    parser.add_argument("--bodies", required=True)
    parser.add_argument("--path", default="/predict")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("servers", nargs="+", metavar="NAME=PORT=PID")
    args = parser.parse_args()
    servers = [server.split("=") for server in args.servers]
    for _, port, _ in servers:
        load(args, port, 2, "-c", "32")
    full, half = {}, {}
    for _ in range(args.rounds):
        for name, port, pid in servers:
            before = processor_seconds(pid)
            summary = load(args, port, args.seconds, "-c", "32")["summary"]
            spent = processor_seconds(pid) - before
            rate = summary["requestsPerSec"]
            full.setdefault(name, []).append((rate, rate * summary["total"] / spent))
    for _ in range(max(args.rounds // 2, 1)):
        for name, port, _ in servers:
            single = load(args, port, args.seconds, "-c", "1")["latencyPercentiles"]
            rate = load(args, port, args.seconds, "-c", "32")["summary"]["requestsPerSec"]
            options = ["-c", "64", "-q", str(max(1, int(rate / 2))), "--latency-correction"]
            found = load(args, port, 2 * args.seconds, *options)["latencyPercentiles"]
            times = (single["p50"], single["p99"], found["p50"], found["p95"], found["p99"])
            half.setdefault(name, []).append((*(time * 1e3 for time in times), found["p99"] / single["p50"]))
    for name, *_ in servers:
        rate, efficiency = (statistics.median(values) for values in zip(*full[name]))
        single, slowest, p50, p95, p99, ratio = (statistics.median(values) for values in zip(*half[name]))
        print(
            f"{name}: {rate:.0f} requests/s, {efficiency:.0f} requests per processor second; single p50 {single:.2f} ms, "
            f"p99 {slowest:.2f} ms; at half load p50 {p50:.2f}, p95 {p95:.2f}, p99 {p99:.2f} ms, p99 / single p50 {ratio:.1f}"
        )


if __name__ == "__main__":
    main()
