/** Router and Dealer: one socket that knows all its peers by name. */
import { Dealer, EarshotError, Router } from "earshot"
import { Failure, Tally, must, plain, rate, say, type Act, type Part, type Stage } from "./stage.ts"

export const letters: Act = {
  name: "letters",
  title: "Router and Dealer: send to a peer by its name (tcp and ipc)",
  purpose:
    "A Router puts the sender's name before what it receives, and sends to the peer whose name comes first. A Dealer sends and receives freely, without turns.",
  run,
  parts: { resident },
}

const NAMES = ["ada", "ben", "cleo"]

async function run(stage: Stage): Promise<number> {
  // mandatory: a letter to nobody is an error, and a full letter box is waited for. Without it both would be dropped and counted.
  const office = new Router({ mandatory: true })
  await office.bind("tcp://127.0.0.1:*")
  const tcp = office.lastEndpoint
  await office.bind("ipc://*")
  const children = NAMES.map((name, index) =>
    stage.start("resident", { name, endpoint: index === 0 ? office.lastEndpoint : tcp }),
  )
  // Each says hello: from then on the Router knows where to find that name.
  for (let count = 0; count < NAMES.length; count++) {
    const [from, hello] = await stage.until(office.receive(), () => `only ${count} residents have said hello`)
    must(String(hello) === "hello", `${from} said ${hello} instead of hello`)
  }

  const total = stage.count(80_000)
  const tallies = new Map(NAMES.map((name) => [name, new Tally(`answers of ${name}`)]))
  const started = performance.now()
  const write = async (): Promise<void> => {
    for (let letter = 0; letter < total; letter++)
      for (const name of NAMES) await office.send([name, name, String(letter)])
  }
  const read = async (): Promise<void> => {
    for (let count = 0; count < total * NAMES.length; count++) {
      const [from, text, letter] = await office.receive()
      must(String(text) === `thanks from ${from}`, `${from} answered: ${text}`)
      const tally = tallies.get(String(from))
      must(tally !== undefined, `an answer came from ${from}, whom nobody knows`)
      tally.tick(Number(letter))
    }
  }
  const describe = (): string => [...tallies.values()].map((tally) => tally.missing(total)).join("; ")
  await stage.until(Promise.all([write(), read()]), describe)
  const taken = performance.now() - started
  for (const tally of tallies.values()) tally.check(total)

  const error: unknown = await office.send(["nobody", "hello?"]).catch((error: unknown) => error)
  const refused = error instanceof EarshotError && error.code === "EHOSTUNREACH"
  must(refused, `a letter to nobody ended in ${String(error)}`)
  for (const child of children) child.tell("done")
  await stage.end()
  await office.close()
  const count = total * NAMES.length
  say(
    `${plain(count)} letters to ${NAMES.join(", ")}, ${plain(count)} answers: ${rate(2 * count, taken)} messages a second`,
  )
  say(`a letter to somebody who isn't there was refused: EHOSTUNREACH`)
  return 2 * count
}

async function resident(part: Part): Promise<void> {
  const name = part.get("name")
  const dealer = new Dealer({ routingId: name })
  await dealer.connect(part.get("endpoint"))
  await dealer.send("hello")
  void part.hear().then(() => dealer.close())
  for await (const [to, letter] of dealer) {
    if (String(to) !== name) throw new Failure(`${name} got a letter to ${to}`)
    await dealer.send([`thanks from ${name}`, letter!])
  }
}
