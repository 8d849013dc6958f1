// By which names an endpoint of tcp can be unbound: what was bound, or what that became, but nothing that stands for several.
import t from "tap"
import { EarshotError, Pull } from "../../lib/index.ts"

async function refused(call: () => Promise<void>): Promise<string> {
  try {
    await call()
    return "none"
  } catch (error) {
    return (error as EarshotError).code
  }
}

t.test("unbind by the name that was bound, or by what it became", async (t) => {
  const pull = new Pull()
  t.teardown(() => pull.close())
  await pull.bind("tcp://127.0.0.1:*")
  const port = pull.lastEndpoint!.split(":").at(-1)!
  await pull.unbind(pull.lastEndpoint!)
  for (const asked of [`tcp://*:${port}`, `tcp://127.0.0.1:${port}`]) {
    for (const name of [asked, undefined]) {
      await pull.bind(asked)
      await pull.unbind(name ?? pull.lastEndpoint!)
    }
    t.equal(await refused(async () => pull.unbind(asked)), "ENOENT")
  }
  for (const asked of ["tcp://127.0.0.1:*", "tcp://127.0.0.1:0", "tcp://*:*", "tcp://*:0"]) {
    await pull.bind(asked)
    t.equal(await refused(async () => pull.unbind(asked)), "ENOENT", asked)
    await pull.unbind(pull.lastEndpoint!)
  }
})
