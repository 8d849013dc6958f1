// Option `busyPoll`: turns are asked for without a break for so long after each message, and none after that.
import t from "tap"
import { Reply, Request } from "../../lib/index.ts"
import { Polling } from "../../lib/polling.ts"
import { systemClock, type Clock } from "../../lib/clock.ts"
import { tidy, within } from "../support/sockets.ts"

t.test("turns follow each other for the span, once however often it is told", async (t) => {
  let now = 100
  const turns: (() => void)[] = []
  const clock: Clock = { ...systemClock, now: () => now, immediate: (callback) => void turns.push(callback) }
  const polling = new Polling(clock, 0.5)
  polling.active()
  polling.active()
  t.equal(turns.length, 1)
  const turn = (at: number): number => {
    now = at
    turns.shift()!()
    return turns.length
  }
  t.equal(turn(100.2), 1)
  t.equal(turn(100.4), 1)
  polling.active()
  t.equal(turns.length, 1)
  t.equal(turn(100.6), 1, "the span begins anew")
  t.equal(turn(100.9), 0, "over")
  polling.active()
  t.equal(turns.length, 1, "and again")
})

t.test("a socket polls only when asked to, and stops", async (t) => {
  for (const busyPoll of [0, 2000]) {
    let turns = 0
    let begun = 0
    // A turn takes 50 us, however long the machine keeps us waiting.
    const clock: Clock = {
      ...systemClock,
      now: () => turns * 0.05,
      immediate(callback) {
        turns++
        systemClock.immediate(callback)
      },
    }
    const reply = tidy(t, new Reply())
    await reply.bind("tcp://127.0.0.1:*")
    reply.onmessage = (message) => void reply.send(message)
    const request = tidy(t, new Request({ clock, busyPoll, heartbeatInterval: 0 }))
    await within("connected", request.connect(reply.lastEndpoint!))
    await within("answered", request.request("x"))
    begun = systemClock.now()
    let before
    do {
      before = turns
      await new Promise((resolve) => setTimeout(resolve, 5))
    } while (turns > before && systemClock.now() - begun < 5000)
    t.equal(turns, before, "it has come to rest")
    if (busyPoll === 0) t.ok(turns < 30, `${turns} turns`)
    else t.ok(turns > 40, `${turns} turns`)
  }
})
