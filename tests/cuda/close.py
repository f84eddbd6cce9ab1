"""Whether the losses of two runs agree step by step. Arguments: two metrics.jsonl, a relative tolerance."""
import json
import math
import sys


def losses(path):
    lines = [json.loads(line) for line in open(path)]
    return {line["step"]: line["loss"] for line in lines if "gradient_norm" in line}


a, b = losses(sys.argv[1]), losses(sys.argv[2])
tolerance = float(sys.argv[3])
if not a or a.keys() != b.keys():
    sys.exit(f"FAILED: steps {sorted(a)} and {sorted(b)}")
worst = max(abs(a[s] - b[s]) / abs(a[s]) if math.isfinite(b[s]) else math.inf for s in a)
if not worst <= tolerance:
    sys.exit(f"FAILED: losses differ by {worst:.2e}, more than {tolerance}: {a} and {b}")
print(f"ok: {len(a)} losses from {a[min(a)]:.5f} to {a[max(a)]:.5f} agree to {worst:.1e}")
