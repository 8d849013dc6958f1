// Whatever is under way when members drain, close, are cut off or give up: every promise settles, with a code that says why,
// and neither timers nor holds nor listeners stay.
import { setMaxListeners } from "node:events"
import t from "tap"
import type { Mesh, Subscription } from "../../lib/mesh/index.ts"
import { testMesh } from "../../lib/mesh/testing.ts"
import { virtualClock } from "../support/virtual-clock.ts"

t.setTimeout(120_000)

const EXPECTED = new Set(["done", "TIMEOUT", "BUSY", "NO_RESPONDERS", "PEER_LOST", "EBADF", "given up"])
const NAMES = ["a", "b", "c", "d"] as const

for (let seed = 1; seed <= 40; seed++)
  t.test(`seed ${seed}`, async (t) => {
    const chance = virtualClock({ seed })
    const random = (): number => chance.random()
    const one = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)]!
    await using net = await testMesh(["a", "b", "c"], { clock: "virtual", seed })
    await net.join("d", random() < 0.5 ? { listen: [] } : {})
    const members: readonly Mesh[] = NAMES.map((name) => (net.mesh as Readonly<Record<string, Mesh>>)[name]!)
    const controller = new AbortController()
    const { signal } = controller
    setMaxListeners(0, signal)
    const takes = (most: number) => (): Promise<void> =>
      new Promise((resolve) => net.clock.timeout(resolve, random() * most))
    const subscriptions: Subscription[] = members.flatMap((mesh) => [
      mesh.serve("job", takes(3000), { concurrency: 2, queueSize: 3, signal }),
      mesh.subscribe("x", { signal }, takes(100)),
      mesh.subscribe("w", { queue: "crew", signal }, takes(500)),
    ])
    await net.settle()

    const outcomes: (string | undefined)[] = []
    const watch = (begin: () => Promise<unknown> | void): void => {
      const at = outcomes.push(undefined) - 1
      const settle = (how: string): void => {
        outcomes[at] = how
      }
      void (async () => begin())().then(
        () => settle("done"),
        (error: { code: string }) => settle(error === signal.reason ? "given up" : error.code),
      )
    }
    const read = async (all: AsyncIterable<unknown>): Promise<void> => {
      for await (const _ of all);
    }
    const acts: readonly ((mesh: Mesh) => void)[] = [
      (mesh) =>
        watch(() =>
          mesh.request("job", 1, { timeout: 4000, signal, idempotent: random() < 0.5, wait: random() * 3000 }),
        ),
      (mesh) => watch(() => mesh.request("job", 1, { timeout: 4000, signal })),
      (mesh) => watch(() => read(mesh.requestMany("job", 1, { signal, timeout: 3000 }))),
      (mesh) => watch(() => mesh.publish("w", 1, { onFull: "wait", confirm: random() < 0.3 })),
      (mesh) => watch(() => mesh.publish("w", 1, { onFull: "wait" })),
      (mesh) => watch(() => mesh.publish("x", 1, { confirm: true })),
      (mesh) => watch(() => mesh.flush()),
      (mesh) => watch(() => mesh.ready({ members: 3, timeout: 3000 })),
      (mesh) => watch(() => read(mesh.sample(">", { signal }))),
      () => watch(() => one(subscriptions).drain()),
      () => one(subscriptions).unsubscribe(),
      (mesh) => random() < 0.5 && watch(() => mesh.drain({ timeout: random() * 6000 })),
      (mesh) => random() < 0.3 && watch(() => mesh.close()),
      () => net.cut(one(["a", "b", "c"]), "d", { silent: random() < 0.5 }),
      () => net.heal(),
      () => random() < 0.2 && controller.abort(new Error("given up")),
    ]
    for (let step = 0; step < 50; step++) {
      one(acts)(one(members))
      await net.advance(Math.floor(random() ** 3 * 2000))
    }
    if (random() < 0.5) await net.until(Promise.allSettled(members.map((mesh) => mesh.drain({ timeout: 2000 }))))
    await net.close()
    // The handlers' own.
    await net.advance(3000)
    const odd = outcomes.filter((each) => !EXPECTED.has(each!))
    t.strictSame(odd, [], `${outcomes.length} outcomes`)
    t.strictSame([net.clock.timers, net.clock.holds], [0, 0], "nothing stays")
  })
