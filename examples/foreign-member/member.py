"""A member of a mesh without Earshot: a DEALER of libzmq (pyzmq), MessagePack, and lib/mesh/PROTOCOL.md.

It joins as a leaf over one link, publishes `foreign.hello`, listens to `greetings.*`, adds numbers on `foreign.add`, and says
goodbye on SIGTERM or Ctrl-C:

  python3 examples/foreign-member/member.py tcp://127.0.0.1:4101 [network]

Debian has what it needs as python3-zmq and python3-msgpack.
"""

import json
import re
import secrets
import signal
import struct
import sys

import msgpack
import zmq

ASK, HELLO, WELCOME, REFUSE, INTEREST, BARRIER = 1, 2, 3, 4, 8, 9
PUBLISH, REPLY, REQUEST, ACCEPT, CONFIRM, SYNC, SYNCED, GOODBYE = 16, 17, 18, 19, 21, 25, 26, 37
PLAIN, CONFIRMED, FAILED, RESET, RESPONDS = 1, 4, 1, 1, 1


def head(kind, flags=0, number=None):
    return bytes([kind, flags]) + (b"" if number is None else struct.pack(">I", number))


def content(subject, data):
    text = subject.encode()
    return struct.pack(">H", len(text)) + text + b"\x01\x00\x00" + msgpack.packb(data)


DECODERS = {1: msgpack.unpackb, 2: json.loads, 3: bytes.decode}


def read_content(frames):
    first = frames[0]
    at = 2 + struct.unpack_from(">H", first)[0]
    subject, codec = first[2:at].decode(), first[at]
    at += 1
    if codec == 255:  # called by name: not one of ours
        at += 1 + first[at]
    at += 2 + struct.unpack_from(">H", first, at)[0]  # headers
    return subject, DECODERS.get(codec, bytes)(frames[1] if len(frames) > 1 else first[at:])


def matches(pattern, subject):
    tokens, given = pattern.split("."), subject.split(".")
    if tokens[0] in "*>" and re.match(r"\$|_INBOX(\.|$)", subject):
        return False
    if len(given) < len(tokens) if tokens[-1] == ">" else len(given) != len(tokens):
        return False
    return all(token in "*>" or token == each for token, each in zip(tokens, given))


class Member:
    def __init__(self, endpoint, network):
        self.id, self.nonce, self.network = secrets.token_hex(16), secrets.token_hex(16), network
        self.listening, self.serving, self.wanted = {}, {}, {}
        self.linked, self.link, self.greeted, self.leaving = False, 0, False, False
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        for option, value in [("LINGER", 1000), ("IMMEDIATE", 1), ("RCVTIMEO", 200), ("HEARTBEAT_IVL", 2000),
                              ("HEARTBEAT_TIMEOUT", 6000), ("HEARTBEAT_TTL", 6000)]:
            self.socket.setsockopt(getattr(zmq, option), value)
        self.socket.connect(endpoint)

    def send(self, *frames):
        self.socket.send_multipart(frames)

    def publish(self, subject, data):
        if self.linked and any(matches(pattern, subject) for pattern in self.wanted.values()):
            self.send(head(PUBLISH, PLAIN), content(subject, data))

    def run(self):
        while not self.leaving:
            try:
                first, *frames = self.socket.recv_multipart()
            except zmq.Again:
                continue
            self.on(first[0], first[1], struct.unpack_from(">I", first, 2)[0] if len(first) >= 6 else 0, frames)
        self.send(head(GOODBYE))
        self.socket.close()

    def on(self, kind, flags, number, frames):
        if kind == ASK:  # libzmq may have connected anew: all is to be said again
            self.linked, self.link = False, self.link + 1
            self.send(head(HELLO), msgpack.packb({
                "id": self.id, "nonce": self.nonce, "network": self.network, "version": [1, 0], "features": [],
                "name": "foreign", "endpoints": [], "leaf": True, "meta": {"by": "pyzmq"}, "epoch": 1,
                "link": self.link, "taken": 0}))
        elif kind == WELCOME:
            self.linked = True
            self.send(head(INTEREST, RESET), msgpack.packb(
                [[1, pattern, None, 0] for pattern in self.listening]
                + [[1, subject, subject, RESPONDS] for subject in self.serving]))
            self.send(head(BARRIER))
        elif kind == REFUSE:
            sys.exit(msgpack.unpackb(frames[0])["text"])
        elif kind == INTEREST:
            if flags & RESET:
                self.wanted.clear()
            for add, pattern, group, bits, *_ in msgpack.unpackb(frames[0]):
                if add == 1:
                    self.wanted[(bits & RESPONDS, group, pattern)] = pattern
                else:
                    self.wanted.pop((bits & RESPONDS, group, pattern), None)
        elif kind == BARRIER and not self.greeted:
            self.greeted = True
            self.publish("foreign.hello", {"from": self.id})
        elif kind == PUBLISH:
            subject, data = read_content(frames)
            for pattern, handler in self.listening.items():
                if flags & PLAIN and matches(pattern, subject):
                    handler(data, subject)
            if flags & CONFIRMED:
                self.send(head(CONFIRM, 0, number))
        elif kind == REQUEST:
            subject, data = read_content(frames)
            self.send(head(ACCEPT, 0, number))
            try:
                self.send(head(REPLY, 0, number), content("", self.serving[subject](data)))
            except Exception as error:
                self.send(head(REPLY, FAILED, number), content("", {"code": "REMOTE", "message": str(error)}))
        elif kind == SYNC:
            self.send(head(SYNCED, 0, number))


member = Member(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "default")


def heard(data, subject):
    print("heard", subject, json.dumps(data, separators=(",", ":")), flush=True)
    member.publish("foreign.heard", data)


def add(numbers):
    if not all(isinstance(number, (int, float)) for number in numbers):
        raise ValueError("two numbers, please")
    return numbers[0] + numbers[1]


def leave(*_):
    member.leaving = True


member.listening["greetings.*"] = heard
member.serving["foreign.add"] = add
signal.signal(signal.SIGTERM, leave)
signal.signal(signal.SIGINT, leave)
member.run()
