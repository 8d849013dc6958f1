/** The adapter of what everybody needs of libp2p's packages, loaded with the first use. For nodes of ours: maker.node.ts. */
import { EarshotError } from "../../lib/errors.ts"

/**
 * js-libp2p 3 needs it for each dial, and Node 20 has none: there a dial fails with an error that says nothing of it.
 * As ECMA-262 (27.2.4.8) has it.
 */
export function completePromise(): void {
  if ("withResolvers" in Promise) return
  Object.defineProperty(Promise, "withResolvers", { value: withResolvers, writable: true, configurable: true })
}

function withResolvers(this: PromiseConstructor): object {
  let resolve: unknown
  let reject: unknown
  const promise = new this((first, second) => ([resolve, reject] = [first, second]))
  return { promise, resolve, reject }
}

/** A text as the multiaddr that libp2p wants. Throws EINVAL for what is none. */
export async function toMultiaddr(text: string): Promise<unknown> {
  const { multiaddr } = await installed(() => import("@multiformats/multiaddr"))
  try {
    return multiaddr(text)
  } catch (error) {
    throw new EarshotError("EINVAL", `${text} is no multiaddr: ${(error as Error).message}`, error)
  }
}

/** What `load` imports. Rejects with ENOTSUP where it is not installed. */
export async function installed<T>(load: () => Promise<T>): Promise<T> {
  completePromise()
  try {
    return await load()
  } catch (error) {
    if ((error as { code?: unknown }).code !== "ERR_MODULE_NOT_FOUND") throw error
    const names = "libp2p @libp2p/tcp @libp2p/noise @libp2p/yamux @libp2p/crypto @multiformats/multiaddr"
    throw new EarshotError("ENOTSUP", `libp2p:// needs npm packages that are optional: npm install ${names}`, error)
  }
}
