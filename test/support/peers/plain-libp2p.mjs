// A program of js-libp2p without Earshot: ZMTP 3.1 by hand over our protocol id. It says its multiaddr, answers requests
// at the name "plain" as a REP would, and with arguments (multiaddr, name) pushes messages to that socket first.
import { noise } from "@libp2p/noise"
import { tcp } from "@libp2p/tcp"
import { yamux } from "@libp2p/yamux"
import { multiaddr } from "@multiformats/multiaddr"

// What Node 20 has not.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((first, second) => ([resolve, reject] = [first, second]))
  return { promise, resolve, reject }
}
const { createLibp2p } = await import("libp2p")

const node = await createLibp2p({
  addresses: { listen: ["/ip4/127.0.0.1/tcp/0"] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
})

const greeting = Buffer.alloc(64)
greeting.set([0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1])
greeting.write("NULL", 12)

const frame = (flags, body) => {
  if (body.length < 256) return Buffer.concat([Buffer.from([flags, body.length]), body])
  const head = Buffer.alloc(9)
  head[0] = flags | 2
  head.writeBigUInt64BE(BigInt(body.length), 1)
  return Buffer.concat([head, body])
}
const ready = (type) => {
  const size = Buffer.alloc(4)
  size.writeUInt32BE(type.length)
  return frame(4, Buffer.concat([Buffer.from("\x05READY\x0bSocket-Type"), size, Buffer.from(type)]))
}

/** Greets, and gives each frame of a message to `onFrame`; resolves once the other side has said READY. */
function speak(stream, type, onFrame) {
  return new Promise((resolve) => {
    let bytes = Buffer.alloc(0)
    let greeted = false
    stream.addEventListener("message", ({ data }) => {
      bytes = Buffer.concat([bytes, data.subarray()])
      if (!greeted && bytes.length >= 64) {
        greeted = true
        bytes = bytes.subarray(64)
        stream.send(ready(type))
      }
      while (greeted && bytes.length >= 2) {
        const long = (bytes[0] & 2) !== 0
        if (long && bytes.length < 9) return
        const [head, size] = long ? [9, Number(bytes.readBigUInt64BE(1))] : [2, bytes[1]]
        if (bytes.length < head + size) return
        const [flags, body] = [bytes[0], bytes.subarray(head, head + size)]
        bytes = bytes.subarray(head + size)
        if (flags & 4) resolve()
        else onFrame(flags, body)
      }
    })
    stream.send(greeting)
  })
}

await node.handle("/earshot/zmtp/1.0.0/plain", (stream) => {
  void speak(stream, "REP", (flags, body) => {
    stream.send(frame(flags, Buffer.from(body.toString().toUpperCase())))
  })
})

const [to, name] = process.argv.slice(2)
if (to !== undefined) {
  const stream = await node.dialProtocol(multiaddr(to), `/earshot/zmtp/1.0.0/${name}`)
  await speak(stream, "PUSH", () => {})
  for (const text of ["one", "two"])
    stream.send(Buffer.concat([frame(1, Buffer.from(text)), frame(0, Buffer.from("!"))]))
  if (!stream.send(frame(0, Buffer.alloc(3_000_000, 7)))) await stream.onDrain()
  await stream.close()
}
process.send(node.getMultiaddrs()[0].toString())
process.once("disconnect", () => process.exit())
