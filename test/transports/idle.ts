/** A program with a listener, a link and nothing to do. It must end by itself. Arguments: module, factory, address. */
import { systemClock } from "../../lib/clock.ts"
import type { LinkSink, Transport } from "../../lib/contract.ts"

const [module = "", factory = "", address = ""] = process.argv.slice(2)
const transport = ((await import(module)) as Record<string, () => Transport>)[factory]!()
const options = { clock: systemClock, keepalive: 15_000, backlog: 100 }
const signal = new AbortController().signal

systemClock.hold()
const received = new Promise<void>((resolve) => {
  const sink: LinkSink = { onData: () => resolve(), onDrain() {}, onClose() {} }
  void transport.listen!(
    address,
    options,
    (link) => link.start(sink),
    () => {},
  ).then(async (listener) => {
    const link = await transport.dial(listener.address, options, signal)
    link.start({ onData() {}, onDrain() {}, onClose() {} })
    link.write([Buffer.from("x")])
  })
})
await received
console.log("idle")
systemClock.release()
