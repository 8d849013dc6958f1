// How long until a listener has been reached by 1,000 sockets that connect at once? Each sends one message, so that the
// end of the handshakes is seen in the same way on every side: until the listener has all 1,000 messages.
// Two processes, a backlog of 4,096 on every side (libzmq's default of 100 costs it whole seconds of SYN retries).
import { start } from "../support/sides.mjs"

const SOCKETS = 1_000

export function storm() {
  const name = "1,000 connects"
  const row = (theirs) => ({ name, ours: "earshot", theirs, figure: "ms", unit: "ms" })
  return [
    {
      name,
      sides: ["zeromq", "earshot", "libzmq", "net"],
      rows: [row("zeromq"), row("libzmq"), row("net")],
      run: measure,
    },
  ]
}

async function measure(side) {
  const listener = start(side, "gather")
  let crowd
  try {
    const { endpoint } = await listener.answer()
    crowd = start(side, "crowd", { endpoint })
    await crowd.answer()
    listener.order(SOCKETS)
    crowd.order(SOCKETS)
    const [{ begun }, { at }] = await Promise.all([crowd.answer(listener), listener.answer(crowd)])
    return { ms: at - begun }
  } finally {
    await Promise.all([listener.stop(), crowd?.stop()])
  }
}
