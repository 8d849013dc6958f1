/** A node's private key in a file, so that its peer id stays the same. In libp2p's protobuf, as Kubo and others keep it. */
import { link, open, readFile, stat, unlink } from "node:fs/promises"
import type { Clock } from "../../lib/clock.ts"
import { wrap } from "../../lib/errors.ts"

/** The largest kind, RSA with 8,192 bits, has less than 5 KB. */
const MOST_BYTES = 65_536

/** What the file holds; a file that isn't there is made, for its owner alone. Two that make it at once get the same key. */
export async function keptKey(path: string, clock: Clock, generate: () => Promise<Uint8Array>): Promise<Uint8Array> {
  try {
    return (await keyIn(path)) ?? (await makeKey(path, clock, await generate()))
  } catch (error) {
    throw wrap(error, "EINVAL", `the key file ${path}: ${(error as Error).message}`)
  }
}

async function keyIn(path: string): Promise<Uint8Array | undefined> {
  try {
    const found = await stat(path)
    // What is a pipe or a device may never end.
    if (!found.isFile() || found.size > MOST_BYTES) throw new Error("it is no file with a key")
    return await readFile(path)
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") return undefined
    throw error
  }
}

/** Under a name of its own first: nobody shall ever read half a key. */
async function makeKey(path: string, clock: Clock, key: Uint8Array): Promise<Uint8Array> {
  const draft = `${path}.${Buffer.from(clock.randomBytes(6)).toString("hex")}`
  const file = await open(draft, "wx", 0o600)
  try {
    await file.writeFile(key)
    await file.sync()
    await link(draft, path)
    return key
  } catch (error) {
    if ((error as { code?: unknown }).code !== "EEXIST") throw error
    return await readFile(path)
  } finally {
    await file.close()
    await unlink(draft)
  }
}
