"""What one TCP stream carries from host-a to host-b and back, in Mbit/s of payload; runs on host-a of
two_hosts.sh. As `throughput.py receive`, and as `throughput.py send HOST`, it is one end of that stream."""
import os
import socket
import subprocess
import sys
import time

PORT = 5001
START, SECONDS = 0.1, 0.5  # the start is not measured: the bucket is full, and TCP feels its way


def receive():
    server = socket.create_server(("", PORT))
    print("ready", flush=True)
    stream, _ = server.accept()
    begin = time.monotonic() + START
    got = 0
    while block := stream.recv(1 << 20):
        if time.monotonic() > begin:
            got += len(block)
    print(8e-6 * got / (time.monotonic() - begin))


def send(host):
    stream = socket.create_connection((host, PORT))
    end = time.monotonic() + START + SECONDS
    while time.monotonic() < end:
        stream.sendall(bytes(1 << 16))


def rate(source, sink):
    def on(host, arguments):
        command = f"'{sys.executable}' '{os.path.abspath(__file__)}' {arguments}"
        enter = os.path.join(os.path.dirname(os.path.abspath(__file__)), "enter_host.sh")
        return subprocess.Popen([enter, host, command], stdout=subprocess.PIPE, text=True)

    receiver = on(sink, "receive")
    receiver.stdout.readline()
    on(source, f"send {sink}").wait()
    return float(receiver.stdout.readline())


if sys.argv[1:2] == ["receive"]:
    receive()
elif sys.argv[1:2] == ["send"]:
    send(sys.argv[2])
else:
    print(f"{rate('host-a', 'host-b'):.0f} {rate('host-b', 'host-a'):.0f}")
