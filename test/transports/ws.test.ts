import t from "tap"
import { systemClock } from "../../lib/clock.ts"
import { webSockets } from "../../transports/ws.ts"
import { transportConformance } from "../conformance/transport.ts"
import { CERTIFICATE, KEY } from "../support/certificate.ts"
import { Bench } from "./bench.ts"
import { turns } from "./recorder.ts"

transportConformance(t, {
  name: "ws",
  create: () => webSockets("ws"),
  wildcard: "127.0.0.1:*",
  nobody: "127.0.0.1:1",
  alone: "refused",
  malformed: "127.0.0.1:none",
  module: { url: new URL("../../transports/ws.ts", import.meta.url), factory: "webSockets" },
})

transportConformance(t, {
  name: "wss",
  create: () => webSockets("wss", { tls: { cert: CERTIFICATE, key: KEY, ca: CERTIFICATE } }),
  wildcard: "127.0.0.1:*/over/tls",
  nobody: "127.0.0.1:1",
  alone: "refused",
  malformed: "127.0.0.1:80/#",
  skips: {
    "a write that says wait is followed by one onDrain": "node:tls takes nothing at once, so every write has to wait",
  },
})

t.test("who is slow with what comes shares the process: soon others have their turn", async (t) => {
  const made = new Bench(webSockets("ws"))
  systemClock.hold()
  t.teardown(async () => {
    await made.dispose()
    systemClock.release()
  })
  const { address } = await made.listen("127.0.0.1:*")
  const [near, far] = await made.pair(address)
  const SIZE = 8 * 1024 * 1024
  far.sink.onChunk = () => {
    const end = performance.now() + 20
    while (performance.now() < end);
  }
  // Much of it is there before the first read.
  far.link.pause()
  for (let sent = 0; sent < SIZE; sent += 65_536) near.link.write([new Uint8Array(65_536)])
  far.link.resume()
  let [most, before] = [0, 0]
  while (before < SIZE) {
    await turns(1)
    most = Math.max(most, far.sink.bytes - before)
    before = far.sink.bytes
  }
  // Without its share it is 2 MiB on Node. A paused socket of Bun reads on a little: 512 KiB there, 192 on Node.
  t.ok(most <= 786_432, `at most ${most} bytes in one turn`)
})
