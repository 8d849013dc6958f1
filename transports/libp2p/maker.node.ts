/** The adapter of libp2p, for nodes of ours: the only file that knows its packages, each loaded with the first use. */
import { getCiphers } from "node:crypto"
import { EarshotError, type ErrorCode } from "../../lib/errors.ts"
import { installed } from "./library.ts"
import type { Libp2pNode } from "./node.ts"

/** Connections a second that a node of ours takes from one host. libp2p's own 5 hold for loopback and NAT, too. */
const CONNECTIONS_PER_SECOND = 50

/** A private key (Ed25519) in libp2p's protobuf. */
export async function generateKey(): Promise<Uint8Array> {
  const { generateKeyPair, privateKeyToProtobuf } = await installed(() => import("@libp2p/crypto/keys"))
  return privateKeyToProtobuf(await generateKeyPair("Ed25519"))
}

/**
 * Makes and starts a node: TCP, Noise, Yamux. Rejects with EINVAL for bytes that are no key (`source`: where they came from) and what
 * is no multiaddr; EADDRINUSE, EACCES or EADDRNOTAVAIL for what can't be listened on.
 */
export async function createNode(listen: readonly string[], key: Uint8Array, source = "the key"): Promise<Libp2pNode> {
  const [{ createLibp2p }, { tcp }, { noise, pureJsCrypto }, { yamux }, { privateKeyFromProtobuf }] = await installed(
    () =>
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
    throw new EarshotError("EINVAL", `${source} is no private key of libp2p`, error)
  }
  // Bun has none, and Noise would break off at the first large message.
  const native = getCiphers().includes("chacha20-poly1305")
  try {
    return await createLibp2p({
      privateKey,
      addresses: { listen: [...listen] },
      transports: [tcp()],
      connectionEncrypters: [noise(native ? {} : { crypto: pureJsCrypto })],
      streamMuxers: [yamux()],
      connectionManager: { inboundConnectionThreshold: CONNECTIONS_PER_SECOND },
    })
  } catch (error) {
    throw new EarshotError(codeOf(error as Error), `can't listen on ${listen.join(", ")}`, error)
  }
}

/** libp2p has one error for all its addresses, and tells of each in its message alone. */
function codeOf({ name, message }: Error): ErrorCode {
  if (name === "InvalidMultiaddrError") return "EINVAL"
  return (/EADDRINUSE|EACCES/.exec(message)?.[0] as ErrorCode | undefined) ?? "EADDRNOTAVAIL"
}
