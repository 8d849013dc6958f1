/**
 * Sensors and alarms of a LAN: sensors publish, a watcher raises alarms, whoever is interested hears them.
 *
 *   node dist/examples/mesh-alarms.js                     all of it, in processes of this machine
 *   node dist/examples/mesh-alarms.js sensor kitchen      one part, on as many machines of a LAN as you like
 *   node dist/examples/mesh-alarms.js watcher
 *   node dist/examples/mesh-alarms.js siren
 *
 * Nothing here says where anybody is. On a LAN the members are open to it: whoever is on it may join.
 */
import { spawn, type ChildProcess } from "node:child_process"
import { Mesh } from "earshot/mesh"

const HOT = 30

/** Publishes a reading every 100 ms. `warms`: degrees that it gets warmer by each time. */
async function sensor(mesh: Mesh, room: string, warms: number): Promise<void> {
  mesh.setMeta({ room })
  for (let celsius = 20; ; celsius += warms) {
    // Whoever is there gets it; nobody else is waited for.
    await mesh.publish(`sensors.${room}.temp`, { celsius })
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** Raises an alarm when a room gets hot, and when its sensor is gone. */
async function watcher(mesh: Mesh): Promise<void> {
  const hot = new Set<string>()
  mesh.on("leave", ({ member, reason }) => {
    // Live, by the heartbeats of the links: no timer of ours, and no "I am alive" messages.
    const { room } = member.meta
    if (typeof room === "string") void mesh.publish(`alarms.${room}.silent`, { reason })
  })
  for await (const { subject, data } of mesh.subscribe<{ celsius: number }>("sensors.*.temp")) {
    const [, room] = subject.split(".") as [string, string]
    if (data.celsius < HOT) hot.delete(room)
    else if (!hot.has(room)) {
      hot.add(room)
      await mesh.publish(`alarms.${room}.hot`, data)
    }
  }
}

/** Tells of every alarm. */
async function siren(mesh: Mesh, until: (subject: string) => boolean): Promise<void> {
  for await (const { subject, data } of mesh.subscribe("alarms.>")) {
    console.log(`${subject} ${JSON.stringify(data)}`)
    if (until(subject)) break
  }
}

/** All of it on this machine: the kitchen gets warm, the cellar's sensor breaks. */
async function demo(): Promise<void> {
  const network = `alarms-${process.pid}`
  const start = (...words: string[]): ChildProcess =>
    spawn(process.execPath, [process.argv[1]!, ...words], {
      env: { ...process.env, EARSHOT_NETWORK: network, ALARMS_HERE: "yes" },
      stdio: "inherit",
    })
  const mesh = await Mesh.join({ name: "siren", network })
  const alarms = siren(mesh, (subject) => {
    if (subject === "alarms.kitchen.hot") cellar.kill("SIGKILL")
    return subject === "alarms.cellar.silent"
  })
  const others = [start("watcher"), start("sensor", "kitchen", "1")]
  const cellar = start("sensor", "cellar", "0")
  await alarms
  for (const child of others) child.kill()
  await mesh.close()
}

const [part, room = "here", warms = "0.1"] = process.argv.slice(2)
if (part === undefined) await demo()
else {
  const mesh = await Mesh.join({
    name: part === "sensor" ? room : part,
    open: process.env["ALARMS_HERE"] === undefined,
  })
  if (part === "sensor") await sensor(mesh, room, Number(warms))
  else if (part === "watcher") await watcher(mesh)
  else await siren(mesh, () => false)
}
