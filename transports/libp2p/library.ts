/** The adapter of libp2p: the only file that knows its packages, each loaded with the first use. */
import { EarshotError } from "../../lib/errors.ts"
import type { Libp2pNode } from "./node.ts"

/** Connections a second that a node of ours takes from one host. libp2p's own 5 hold for loopback and NAT, too. */
const CONNECTIONS_PER_SECOND = 50

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

/** A private key (Ed25519) in libp2p's protobuf. */
export async function generateKey(): Promise<Uint8Array> {
  const { generateKeyPair, privateKeyToProtobuf } = await installed(() => import("@libp2p/crypto/keys"))
  return privateKeyToProtobuf(await generateKeyPair("Ed25519"))
}

/** Makes and starts a node: TCP, Noise, Yamux. Throws EINVAL for bytes that are no key; what can't be listened on rejects as libp2p says. */
export async function createNode(listen: readonly string[], key: Uint8Array): Promise<Libp2pNode> {
  const [{ createLibp2p }, { tcp }, { noise }, { yamux }, { privateKeyFromProtobuf }] = await installed(() =>
    Promise.all([
      import("libp2p"),
      import("@libp2p/tcp"),
      import("@libp2p/noise"),
      import("@libp2p/yamux"),
      import("@libp2p/crypto/keys"),
    ]),
  )
  let privateKey
  try {
    privateKey = privateKeyFromProtobuf(key)
  } catch (error) {
    throw new EarshotError("EINVAL", "the key is no private key of libp2p", error)
  }
  return createLibp2p({
    privateKey,
    addresses: { listen: [...listen] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { inboundConnectionThreshold: CONNECTIONS_PER_SECOND },
  })
}

async function installed<T>(load: () => Promise<T>): Promise<T> {
  completePromise()
  try {
    return await load()
  } catch (error) {
    if ((error as { code?: unknown }).code !== "ERR_MODULE_NOT_FOUND") throw error
    const names = "libp2p @libp2p/tcp @libp2p/noise @libp2p/yamux @libp2p/crypto @multiformats/multiaddr"
    throw new EarshotError("ENOTSUP", `libp2p:// needs npm packages that are optional: npm install ${names}`, error)
  }
}
