// A stream of js-libp2p used well: four bytes of length in front of each message, one `send` for each, and `drain` waited for
// whenever it says so. Mode `batched`: messages gathered by hand, 64 KiB to a `send`, as nobody does who needs them soon.
import { once } from "node:events"
import { addressOf, makeNode, placeOf } from "../support/libp2p-node.mjs"
import { percentiles, play, say, verify } from "../support/role.mjs"

const PROTOCOL = "/bench/1.0.0"
const HEAD = 4
const BATCH = 65_536

async function listening(onStream) {
  const node = await makeNode()
  await node.handle(PROTOCOL, onStream)
  say({ endpoint: placeOf(node) })
}

async function connected(endpoint) {
  const node = await makeNode()
  return await node.dialProtocol(await addressOf(endpoint), PROTOCOL)
}

function framed(body) {
  const frame = Buffer.allocUnsafe(HEAD + body.length)
  frame.writeUInt32BE(body.length)
  frame.set(body, HEAD)
  return frame
}

/** Calls `onMessage` with each body that comes: a view where it lies in one chunk, else gathered. */
function receive(stream, onMessage) {
  /** A head that is not complete, or nothing. */
  let head = Buffer.alloc(0)
  let body
  let filled = 0
  const take = (bytes) => {
    let chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (head.length > 0) {
      chunk = Buffer.concat([head, chunk])
      head = chunk.subarray(0, 0)
    }
    let at = 0
    if (body !== undefined) {
      at = chunk.copy(body, filled)
      filled += at
      if (filled < body.length) return
      const whole = body
      body = undefined
      onMessage(whole)
    }
    while (chunk.length - at >= HEAD) {
      const end = at + HEAD + chunk.readUInt32BE(at)
      if (end > chunk.length) {
        body = Buffer.allocUnsafe(end - at - HEAD)
        filled = chunk.copy(body, 0, at + HEAD)
        return
      }
      onMessage(chunk.subarray(at + HEAD, end))
      at = end
    }
    head = chunk.subarray(at)
  }
  stream.addEventListener("message", ({ data }) => {
    if (data instanceof Uint8Array) take(data)
    else for (const chunk of data) take(chunk)
  })
}

/** Both halves, and what is under way: the other side ends its own when it has all. */
async function ended(stream) {
  const gone = stream.status === "open" ? once(stream, "close") : undefined
  await stream.close()
  await gone
}

const senders = {
  async each(stream, body, total) {
    const frame = framed(body)
    for (let n = 0; n < total; n++) if (!stream.send(frame)) await stream.onDrain()
  },

  async batched(stream, body, total) {
    const frame = framed(body)
    const most = Math.max(1, Math.floor(BATCH / frame.length))
    for (let sent = 0; sent < total;) {
      const count = Math.min(most, total - sent)
      const batch = Buffer.allocUnsafe(count * frame.length)
      for (let n = 0; n < count; n++) batch.set(frame, n * frame.length)
      if (!stream.send(batch)) await stream.onDrain()
      sent += count
    }
  },
}

await play({
  async pull({ size, warm, total }) {
    let count = 0
    let start = 0
    let stream
    await new Promise((resolve, reject) => {
      const onStream = (opened) => {
        stream = opened
        receive(stream, (body) => {
          verify(body.length, size)
          if (++count === warm) start = performance.now()
          if (count === total) resolve()
        })
      }
      listening(onStream).catch(reject)
    })
    say({ count, seconds: (performance.now() - start) / 1000 })
    await ended(stream)
  },

  async push({ endpoint, size, total, mode }) {
    const stream = await connected(endpoint)
    await senders[mode](stream, Buffer.alloc(size), total)
    await ended(stream)
  },

  async reply() {
    await new Promise((resolve, reject) => {
      const onStream = (stream) => {
        receive(stream, (body) => stream.send(framed(body)))
        stream.addEventListener("remoteCloseWrite", () => resolve(ended(stream)))
      }
      listening(onStream).catch(reject)
    })
  },

  async request({ endpoint, size, warm, total }) {
    const stream = await connected(endpoint)
    const frame = framed(Buffer.alloc(size))
    const times = new Float64Array(total - warm)
    let count = 0
    let start = 0
    await new Promise((resolve) => {
      const ask = () => {
        start = performance.now()
        stream.send(frame)
      }
      receive(stream, (body) => {
        verify(body.length, size)
        if (count >= warm) times[count - warm] = performance.now() - start
        if (++count === total) resolve()
        else ask()
      })
      ask()
    })
    say(percentiles(times))
    await ended(stream)
  },
})
