"""clock_offsets.py FOLDER: the rings of ranks on two hosts that share one clock: an offset is 0, give or take its error."""
import pathlib
import struct
import sys

hosts = set()
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.ring")):
    head = file.read_bytes()[:136]
    rank, ranks = struct.unpack_from("<ii", head, 24)
    host = head[40:104].split(b"\0")[0].decode()
    offset, error = struct.unpack_from("<qq", head, 120)
    print(f"rank {rank} of {ranks} on {host}: offset {offset} ns, error {error} ns")
    assert abs(offset) <= error + 1000, "the offset is wrong"
    assert (error > 0) == (host == "host-b"), "only another host's clock is asked"
    hosts.add(host)
assert hosts == {"host-a", "host-b"}, hosts
