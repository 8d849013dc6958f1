// The first import of lib/index.ts: refuses a Node that is too old with one sentence, before anything else of ours runs.
// Imports nothing and uses no recent syntax, so that an old Node gets as far as the sentence.
// Bun and Deno also report a `versions.node`; their own numbers decide there, and a browser has no `process` at all.

type Versions = { readonly [name: string]: string | undefined }

/** The sentence to fail with on this runtime, or undefined where Earshot runs. */
export function unsupported(versions: Versions | undefined): string | undefined {
  const node = versions?.["node"]
  if (node === undefined || versions?.["bun"] !== undefined || versions?.["deno"] !== undefined) return undefined
  const [major = 0, minor = 0] = node.split(".").map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return undefined
  return `Earshot needs Node 20.19 or newer, and this is Node ${node}.`
}

const sentence = unsupported((globalThis as { process?: { versions?: Versions } }).process?.versions)
if (sentence !== undefined) throw new Error(sentence)
