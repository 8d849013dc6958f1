// A member of a mesh without Earshot: a DEALER of libzmq (npm zeromq), MessagePack, and lib/mesh/PROTOCOL.md. It joins as a
// leaf over one link, publishes `foreign.hello`, listens to `greetings.*`, adds numbers on `foreign.add`, and says goodbye on
// SIGTERM or Ctrl-C:
//
//   node examples/foreign-member/member.mjs tcp://127.0.0.1:4101 [network]
import { randomBytes } from "node:crypto"
import { pack, unpack } from "msgpackr"
import { Dealer } from "zeromq"

const [ASK, HELLO, WELCOME, REFUSE, INTEREST, BARRIER] = [1, 2, 3, 4, 8, 9]
const [PUBLISH, REPLY, REQUEST, ACCEPT, CONFIRM, SYNC, SYNCED, GOODBYE] = [16, 17, 18, 19, 21, 25, 26, 37]
const [PLAIN, CONFIRMED, FAILED, RESET, RESPONDS] = [1, 4, 1, 1, 1]

const [endpoint, network = "default"] = process.argv.slice(2)
const id = randomBytes(16).toString("hex")
const nonce = randomBytes(16).toString("hex")
const socket = new Dealer({
  linger: 1000,
  immediate: true,
  heartbeatInterval: 2000,
  heartbeatTimeout: 6000,
  heartbeatTimeToLive: 6000,
})
const listening = new Map() // pattern -> handler
const serving = new Map() // subject -> handler
const wanted = new Map() // what the other side wants: key -> pattern
let linked = false
let link = 0 // the number of this link
let greeted = false
let sending = Promise.resolve()

// --- Bytes ---

const head = (kind, flags = 0, number) => {
  const bytes = Buffer.from([kind, flags, 0, 0, 0, 0])
  if (number === undefined) return bytes.subarray(0, 2)
  bytes.writeUInt32BE(number, 2)
  return bytes
}

function content(subject, data) {
  const size = Buffer.alloc(2)
  size.writeUInt16BE(Buffer.byteLength(subject))
  return Buffer.concat([size, Buffer.from(subject), Buffer.from([1, 0, 0]), pack(data)])
}

const decoders = [(body) => body, unpack, (body) => JSON.parse(String(body)), String]

function readContent([first, second]) {
  let at = 2 + first.readUInt16BE(0)
  const subject = first.toString("utf8", 2, at)
  const codec = first[at++]
  if (codec === 255) at += 1 + first[at] // called by name: not one of ours
  at += 2 + first.readUInt16BE(at) // headers
  return { subject, data: (decoders[codec] ?? decoders[0])(second ?? first.subarray(at)) }
}

function matches(pattern, subject) {
  const [tokens, given] = [pattern.split("."), subject.split(".")]
  if (/^[*>]/.test(pattern) && /^(\$|_INBOX(\.|$))/.test(subject)) return false
  if (tokens.at(-1) === ">" ? given.length < tokens.length : given.length !== tokens.length) return false
  return tokens.every((token, i) => token === "*" || token === ">" || token === given[i])
}

// --- What it does ---

const send = (...frames) => void (sending = sending.then(() => socket.send(frames)))

function publish(subject, data) {
  if (linked && [...wanted.values()].some((pattern) => matches(pattern, subject)))
    send(head(PUBLISH, PLAIN), content(subject, data))
}

async function answer(number, { subject, data }) {
  send(head(ACCEPT, 0, number))
  try {
    send(head(REPLY, 0, number), content("", await serving.get(subject)(data)))
  } catch (error) {
    send(head(REPLY, FAILED, number), content("", { code: "REMOTE", message: error.message }))
  }
}

const on = {
  [ASK](_, [body]) {
    const features = [] // none of the optional ones
    linked = false // libzmq has connected anew: all is to be said again
    if (unpack(body).version[0] !== 1) throw new Error("it speaks another version")
    const hello = { id, nonce, network, version: [1, 0], features, name: "foreign", endpoints: [], leaf: true }
    send(head(HELLO), pack({ ...hello, meta: { by: "npm zeromq" }, epoch: 1, link: ++link, taken: 0 }))
  },
  [WELCOME]() {
    linked = true
    const plain = [...listening.keys()].map((pattern) => [1, pattern, null, 0])
    const served = [...serving.keys()].map((subject) => [1, subject, subject, RESPONDS])
    send(head(INTEREST, RESET), pack([...plain, ...served]))
    send(head(BARRIER))
  },
  [REFUSE](_, [body]) {
    throw new Error(unpack(body).text)
  },
  [INTEREST](first, [body]) {
    if (first[1] & RESET) wanted.clear()
    for (const [add, pattern, group, flags] of unpack(body))
      if (add === 1) wanted.set(`${flags & RESPONDS} ${group} ${pattern}`, pattern)
      else wanted.delete(`${flags & RESPONDS} ${group} ${pattern}`)
  },
  [BARRIER]() {
    if (!greeted) publish("foreign.hello", { from: id })
    greeted = true
  },
  [PUBLISH](first, frames) {
    const { subject, data } = readContent(frames)
    if (first[1] & PLAIN)
      for (const [pattern, handler] of listening) if (matches(pattern, subject)) handler(data, subject)
    if (first[1] & CONFIRMED) send(head(CONFIRM, 0, first.readUInt32BE(2)))
  },
  [REQUEST]: (first, frames) => answer(first.readUInt32BE(2), readContent(frames)),
  [SYNC]: (first) => send(head(SYNCED, 0, first.readUInt32BE(2))),
}

// --- What it is for ---

listening.set("greetings.*", (data, subject) => {
  console.log(`heard ${subject} ${JSON.stringify(data)}`)
  publish("foreign.heard", data)
})
serving.set("foreign.add", ([a, b]) => {
  if (typeof a !== "number" || typeof b !== "number") throw new Error("two numbers, please")
  return a + b
})
for (const signal of ["SIGTERM", "SIGINT"])
  process.once(signal, () => {
    send(head(GOODBYE))
    void sending.then(() => socket.close())
  })

socket.connect(endpoint)
for await (const [first, ...frames] of socket) on[first[0]]?.(first, frames) // other kinds: skipped
