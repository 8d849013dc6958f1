/**
 * Earshot talks to every program that uses ZeroMQ, in whatever language. The other end here is libzmq, which nearly all
 * of them use, by way of npm zeromq. In Python it would be:
 *
 *   import zmq                                    # pip install pyzmq
 *   reply = zmq.Context().socket(zmq.REP)
 *   reply.bind("tcp://127.0.0.1:5555")
 *   while True:
 *       question = reply.recv_string()
 *       reply.send_string(question.upper())
 *
 *   node dist/examples/other-languages.js
 */
import { Request } from "earshot"

/** The other end, which does what those lines of Python do. Undefined where npm zeromq is not installed. */
async function otherEnd(): Promise<{ endpoint: string; close: () => void } | undefined> {
  // npm zeromq has the same names, so Earshot's types do for it; and this compiles where it isn't installed.
  const name: string = "zeromq"
  const zmq = await import(name).then(
    (module: unknown) => module as typeof import("earshot"),
    () => undefined,
  )
  if (zmq === undefined) return undefined
  const reply = new zmq.Reply()
  await reply.bind("tcp://127.0.0.1:*")
  const serve = async (): Promise<void> => {
    for await (const [question] of reply) await reply.send(String(question).toUpperCase())
  }
  void serve()
  return { endpoint: reply.lastEndpoint!, close: () => void reply.close() }
}

const other = await otherEnd()
if (other === undefined) console.log("npm zeromq is not installed: there is nobody to talk to")
else {
  const request = new Request()
  request.connect(other.endpoint)
  const words = ["hello", "from", "the", "other", "side"]
  // All at once: REP gives back the id that request() puts in front, so each reply finds its question.
  const replies = await Promise.all(words.map((word) => request.request(word)))
  console.log(`libzmq says: ${replies.map(String).join(" ")}`)
  await request.close()
  other.close()
}
