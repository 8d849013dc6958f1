// The example of members behind a relay, as built: three processes on loopback.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import t from "tap"
import { root } from "./program.ts"

t.test("two members that only a relay can reach greet each other over it", async (t) => {
  const program = join(root, "dist/examples/libp2p-relay/main.js")
  const child = spawn(process.execPath, [program], { env: { PATH: process.env["PATH"] }, timeout: 60_000 })
  let out = ""
  let errors = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text))
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text))
  const [code] = await once(child, "close")
  t.equal(code, 0, "ends by itself", { out, errors })
  t.equal(errors, "", "without complaints")
  t.match(out, /^hello, says bob to ada; over the relay$/m)
  t.match(out, /^hello, says ada to bob; over the relay$/m)
  const at = [...out.matchAll(/^(ada|bob) is at (.*)$/gm)].map(([, , places]) => places!)
  t.equal(at.length, 2)
  for (const places of at)
    t.match(places, /^libp2p:\/\/\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/\w+\/p2p-circuit\/p2p\/\w+#mesh$/)
})
